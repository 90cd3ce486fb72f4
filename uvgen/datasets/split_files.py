"""`splits.json`: named parts of a data set, such as "train" and "val", as lists of sample names."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uvgen.datasets.config import is_number
from uvgen.described import described
from uvgen.errors import BusyError, DatasetError, InputError, SettingsError
from uvgen.samples.selection import like_names
from uvgen.storage.files import check_file, replaced_on_success, same_content
from uvgen.storage.locks import locked
from uvgen.storage.names import brief, os_reason
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import max_bytes
from uvgen.storage.text import read_text
from uvgen.wording import are, count

SPLITS = "splits.json"
"""The file's name, beside `dataset.json`."""

_FORMAT, _VERSION = "uvgen-splits", 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WAIT_S = 10.0  # for another process that writes splits: that takes a moment
_ROUNDING = 1e-6  # of fractions' sum
_WHAT = "the splits that `uvgen split` wrote"


@dataclass(frozen=True, slots=True)
class Split:
    """A named part of a data set.

    Attributes
    ----------
    name : str
        Name of the part, such as "train".
    samples : tuple of str
        Names, in the order of the data set.
    made : mapping
        What made it, plain values: fraction, seed and `by`, or criteria.
    """

    name: str
    samples: tuple[str, ...]
    made: Mapping[str, Any]

    __repr__ = described


def check_split_name(name: str) -> None:
    """Raise InputError unless a name can be a part's: letters, digits, dots, dashes and underscores."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"split {name!r}: expected a name of letters, digits, '.', '-' and '_', such as train")


def read_splits(path: Path) -> dict[str, Split]:
    """The parts that a file lists, by name.

    Raises
    ------
    DatasetError
        If it is missing or holds something else.
    """
    try:
        content = parse_json(read_text(path, _WHAT, most_bytes=max_bytes()))
        _check_object(content, "it")
        version = content.get("version")
        if content.get("format") != _FORMAT or type(version) is not int or version != _VERSION:
            raise ValueError(f"format {brief(content.get('format'))}, version {brief(version)}")
        found = {}
        for name, entry in _check_object(content.get("splits"), "splits").items():
            check_split_name(name)
            if "samples" not in _check_object(entry, name):
                raise ValueError(f"{name} has no samples")
            samples, made = entry["samples"], {key: value for key, value in entry.items() if key != "samples"}
            if not isinstance(samples, list) or not all(isinstance(sample, str) for sample in samples):
                raise ValueError(f"samples of {name} are not a list of names")
            if len(set(samples)) < len(samples):
                raise ValueError(f"{name} lists a sample twice")
            found[name] = Split(name, tuple(samples), made)
        return found
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file, expected {_WHAT}; run it first") from error
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({os_reason(error)}), expected {_WHAT}") from error
    except (InputError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise DatasetError(
            f"{path}: cannot be used ({brief(reason)}), expected {_WHAT}; delete it, and run that again"
        ) from error


def _check_object(value: Any, what: str) -> dict[str, Any]:
    """The value; ValueError if it is no JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {brief(json.dumps(value))[:40]}, expected a JSON object")
    return value


def write_splits(path: Path, splits: Iterable[Split], *, overwrite: bool = False) -> None:
    """Add parts to a file of splits.

    Parameters
    ----------
    path : Path
        The file; parts of other names that it lists are kept.
    splits : iterable of Split
        Parts to add.
    overwrite : bool
        Whether to replace parts of the same names with other samples; otherwise they are refused.

    Raises
    ------
    SettingsError
        If a part is there with other samples, or the file cannot be written.
    DatasetError
        If the file holds something else, or another process is writing into its folder (`BusyError`).
    """
    folder = path.absolute().parent
    if not folder.exists():
        check_file(path)
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:  # two at once would each keep what they have read
            stack.enter_context(locked(folder, wait=True, most_s=_WAIT_S))
        except BlockingIOError as error:  # a build, or a process that is stopped
            raise BusyError(f"{folder}: another uvgen is writing into it; wait for it to finish") from error
        _write_splits(path, splits, overwrite)


def _write_splits(path: Path, splits: Iterable[Split], overwrite: bool) -> None:
    there = read_splits(path) if path.exists() else {}
    for split in splits:
        if twice := [name for name, n in Counter(split.samples).items() if n > 1]:
            raise DatasetError(
                f"{path}: sample {brief(twice[0])} would be in {split.name} twice, as it is in the data set; "
                "run `uvgen verify` on that"
            )
        old = there.get(split.name)
        if old is not None and old.samples != split.samples and not overwrite:
            raise SettingsError(
                f"{path}: has a split {split.name} of {count(len(old.samples), 'other sample')} already; choose "
                "another name or file, or overwrite it"
            )
        there[split.name] = split
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "splits": {name: {**split.made, "samples": list(split.samples)} for name, split in sorted(there.items())},
    }
    data = (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
    if not same_content(path, data):
        check_file(path)
        with replaced_on_success(path) as temporary:
            temporary.write_bytes(data)


def split_names(folder: Path, name: str) -> tuple[str, ...]:
    """The samples of one of a folder's splits; InputError if it has none of this name."""
    splits = read_splits(folder / SPLITS)
    if name not in splits:
        raise InputError(f"split {name!r}: not in {folder / SPLITS}, which has {', '.join(splits) or 'none'}")
    return splits[name].samples


def find_split(folder: Path, name: str, there: Sequence[str]) -> list[int]:
    """Which of a set's samples, named `there`, are in one of its splits, ascending; InputError if one is missing."""
    names, path = split_names(folder, name), folder / SPLITS
    if not names:
        raise InputError(f"{path}: split {name} lists no samples, expected one or more; run `uvgen split` again")
    listed = set(names)  # each is a sample's name as it is: what lists of people may look like does not count
    if missing := sorted(listed.difference(there)):
        which = f"{count(len(missing), 'listed sample')} {are(len(missing))} not there, first {brief(missing[0])}"
        raise InputError(f"{path}: split {name}: {which}; {like_names(missing[0], there)}; run `uvgen split` again")
    return [k for k, sample in enumerate(there) if sample in listed]


def check_train_and_val(folder: Path, names: Sequence[str], chosen: Sequence[str]) -> None:
    """Raise InputError if a folder's splits train and val, which exports take if both are there, name other samples
    than its own (`names`), none of those that are exported (`chosen`), or one of them both."""
    splits = read_splits(folder / SPLITS) if (folder / SPLITS).exists() else {}
    if {"train", "val"} <= set(splits):
        for name in ("train", "val"):
            find_split(folder, name, names)
        if twice := sorted({*splits["train"].samples} & {*splits["val"].samples}):
            raise InputError(
                f"{folder / SPLITS}: its splits train and val both have {brief(twice[0])}, expected samples to train "
                "with that are not validated with; make one of them anew"
            )
        if {*splits["train"].samples, *splits["val"].samples}.isdisjoint(chosen):
            raise InputError(
                f"{folder / SPLITS}: its splits train and val have none of the samples that were chosen, expected "
                "some: the export would list nothing to train or validate with; choose others (names, split)"
            )


def about_unsplit(folder: Path, names: Sequence[str]) -> list[str]:
    """A warning if some of a set's samples are in none of the parts by which all of it was divided, as those that came
    into it later."""
    try:
        splits = read_splits(folder / SPLITS).values() if (folder / SPLITS).exists() else ()
    except DatasetError:  # `uvgen verify` says so
        return []
    divisions: dict[str, list[Split]] = {}
    for split in splits:
        fraction = split.made.get("fraction", 0)
        if is_number(fraction) and 0 < fraction <= 1:
            divisions.setdefault(f"{split.made.get('seed')} {split.made.get('by')}", []).append(split)
    for parts in divisions.values():
        listed = {name for part in parts for name in part.samples}
        is_whole = sum(part.made["fraction"] for part in parts) > 1 - _ROUNDING
        if is_whole and (odd := [name for name in names if name not in listed]):
            which = ", ".join(part.name for part in parts)
            return [
                f"{folder / SPLITS}: {count(len(odd), 'sample')} {are(len(odd))} in none of its splits ({which}), "
                f"first {brief(odd[0])}; run `uvgen split --overwrite` to divide the set again"
            ]
    return []


def check_splits(folder: Path, names: Sequence[str]) -> list[str]:
    """What is wrong with a folder's splits, if it has some: samples that the set does not have."""
    path = folder / SPLITS
    if not path.exists():
        return []
    try:
        splits = read_splits(path)
    except DatasetError as error:
        return [str(error)]
    there = set(names)
    return [
        f"{path}: split {split.name} lists {count(len(missing), 'sample')} that {are(len(missing))} not in the set, "
        f"first {missing[0]}; run `uvgen split` again"
        for split in splits.values()
        if (missing := [sample for sample in split.samples if sample not in there])
    ]
