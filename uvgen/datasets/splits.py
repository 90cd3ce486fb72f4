"""Dividing a data set into named parts, such as "train" and "val": what `uvgen split` does.

A split takes whole photographs: turned versions, mirror images and augmented copies of one never end up in two parts.
It depends on the seed and the photographs' names alone, so that a set of crops at 128 px and its augmented copies are
divided as the set at 256 px is.
"""

import hashlib
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uvgen.checks import check_optional_paths, check_paths, check_several, seed_number, shown, true_or_false
from uvgen.datasets.config import DatasetConfig, is_number
from uvgen.datasets.naming import original_name
from uvgen.datasets.open import reader_of
from uvgen.datasets.split_files import SPLITS, Split, check_split_name, read_splits, write_splits
from uvgen.described import described
from uvgen.errors import DatasetError, InputError
from uvgen.samples.photographs import source_photograph
from uvgen.shards.index import Index, data_folder
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.names import brief
from uvgen.wording import count

PHOTOGRAPH, SAMPLE = "photograph", "sample"
_VAL_SHARE = 0.05  # of the photographs


@dataclass(frozen=True, slots=True)
class SplitResult:
    """The result of `uvgen.split_shards`.

    Attributes
    ----------
    splits : tuple of Split
        The parts, in the order in which they were asked for.
    photographs : mapping of str to int
        How many photographs (or groups) each has.
    left_out : int
        Samples in none of them, if the fractions do not sum to 1.
    path : Path
        The file that lists the parts.
    """

    splits: tuple[Split, ...]
    photographs: Mapping[str, int]
    left_out: int
    path: Path

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The result as `uvgen split --json` prints it."""
        return {
            "path": str(self.path),
            "splits": {
                split.name: {**split.made, "samples": len(split.samples), "groups": self.photographs[split.name]}
                for split in self.splits
            },
            "left_out": self.left_out,
        }


def split_shards(
    path: str | os.PathLike[str],
    fractions: Mapping[str, float],
    *,
    seed: int = 0,
    by: str = PHOTOGRAPH,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    untrusted: bool = False,
) -> SplitResult:
    """Divide a data set into named parts by photographs, and write their lists; no shard is touched.

    Parameters
    ----------
    path : path-like
        Folder that ``uvgen build`` or ``uvgen augment`` made.
    fractions : mapping of str to float
        Part of the photographs for each name, ``{"train": 0.9, "val": 0.1}``; they sum to 1, or to less if some
        samples are to be in no part.
    seed : int
        Random seed: another seed gives another division.
    by : str
        What is never divided: "photograph" (see `uvgen.samples.photographs.source_photograph`), "sample", or a regular
        expression: samples are kept together if it matches the same text in their names, or its first group does.
    out : path-like, optional
        File to write; ``splits.json`` in the folder by default, where readers find it.
    overwrite : bool
        Whether to replace parts of the same names that are divided otherwise.
    untrusted : bool
        Read the shards in a child process, if the index does not name their samples: see `uvgen.open_shards`.

    Returns
    -------
    SplitResult

    Raises
    ------
    InputError
        If a name or fraction is out of range, the expression matches nothing in a name, a part would be empty, or an
        argument is of the wrong type.
    DatasetError
        If the folder is not a data set, the file holds something else, or it cannot be written.

    Examples
    --------
    >>> uvgen.split_shards("shards/", {"train": 0.9, "val": 0.1}).photographs
    """
    check_paths(path=path)
    check_optional_paths(out=out)
    _check_fractions(fractions)
    seed = seed_number(seed)
    folder = data_folder(path, changes="splits.json is written into it" if out is None else "")
    index = Index.read(folder)
    config = DatasetConfig.of_index(index, folder)
    names = reader_of(folder, index, config, untrusted=untrusted).names
    if not names:
        raise DatasetError(f"{folder / DATASET_INDEX}: the set holds no samples, expected some to divide")
    groups = group_samples(names, by, copies=config.augmentation is not None)
    keys = sorted(groups, key=lambda group: (_place(seed, group), group))
    splits, photographs, first, total = [], {}, 0, 0.0
    for name, fraction in fractions.items():
        total += fraction
        stop = round(min(total, 1.0) * len(keys))
        if stop == first:
            what = "photograph" if by == PHOTOGRAPH else "group"
            held = " (versions of one, and the frames of a video, stay together)" if len(keys) < len(names) else ""
            raise InputError(
                f"fractions: {name} = {fraction:g} of {count(len(keys), what)} is none{held}; give it more, or make "
                "a larger set"
            )
        members = {sample for group in keys[first:stop] for sample in groups[group]}
        made = {"fraction": float(fraction), "seed": int(seed), "by": by}
        splits.append(Split(name, tuple(sample for sample in names if sample in members), made))
        photographs[name], first = stop - first, stop
    target = folder / SPLITS if out is None else Path(out)
    write_splits(target, splits, overwrite=overwrite)
    return SplitResult(tuple(splits), photographs, len(names) - sum(len(split.samples) for split in splits), target)


def _place(seed: int, group: str) -> bytes:
    """Where a group stands in the order that is cut: the same in every data set that has it."""
    return hashlib.sha256(f"{seed}\n{group}".encode()).digest()


def _check_fractions(fractions: Mapping[str, float]) -> None:
    if not isinstance(fractions, Mapping):
        raise InputError(f'fractions: {shown(fractions)}, expected a mapping, {{"train": 0.9, "val": 0.1}}')
    if not fractions:
        raise InputError("fractions: none, expected parts such as train=0.9, val=0.1")
    for name, fraction in fractions.items():
        check_split_name(name)
        if not is_number(fraction) or not 0 < fraction <= 1:
            raise InputError(f"fractions: {name} = {fraction}, expected a share above 0, up to 1")
    if (total := math.fsum(fractions.values())) > 1 + 1e-9:
        raise InputError(f"fractions: they sum to {total:g}, expected 1, or less to leave samples out")


def group_samples(names: Sequence[str], by: str = PHOTOGRAPH, *, copies: bool = False) -> dict[str, list[str]]:
    """Group samples by the photograph, or other text in their names, that they have in common.

    Parameters
    ----------
    names : sequence of str
        Samples' names.
    by : str
        See `split_shards`.
    copies : bool
        Whether the samples are augmented copies, whose names end in ``-0`` and so on.

    Returns
    -------
    dict of str to list of str

    Raises
    ------
    InputError
        If `by` is not a regular expression, or does not match a name.
    """
    check_several(names, "names")
    copies = true_or_false(copies, "copies")
    if not isinstance(by, str):
        raise InputError(f"by: {shown(by)}, expected photograph, sample or a regular expression")
    try:
        pattern = None if by in (PHOTOGRAPH, SAMPLE) else re.compile(by)
    except (re.error, OverflowError, RecursionError, TypeError) as error:
        raise InputError(
            f"by: {brief(repr(by))}, expected photograph, sample or a regular expression ({brief(error)})"
        ) from error
    groups: dict[str, list[str]] = {}
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"names: {shown(name)} in it, expected names of samples")
        group = original_name(name) if copies else name
        if by == PHOTOGRAPH:
            group = source_photograph(group)
        elif pattern is not None:
            found = pattern.search(group)
            if found is None:
                raise InputError(f"by: {by!r} does not match {brief(name)}, expected an expression that matches all")
            group = found[1] if pattern.groups and found[1] is not None else found[0]
        groups.setdefault(group, []).append(name)
    return groups


def train_and_val(
    names: Sequence[str], folder: Path | None = None, *, copies: bool = False
) -> tuple[list[str], list[str]]:
    """Samples to train with, and those to validate with, of whole photographs.

    Parameters
    ----------
    names : sequence of str
        Samples' names.
    folder : Path, optional
        A data set; if its ``splits.json`` has parts train and val, they count, and what is in neither is left out.
    copies : bool
        As for `group_samples`.

    Returns
    -------
    train, val : list of str
        In the order of `names`. Without such parts, a twentieth of the photographs is val: those that `split_shards`
        gives to its last part.
    """
    splits = {} if folder is None or not (folder / SPLITS).exists() else read_splits(folder / SPLITS)
    if {"train", "val"} <= set(splits):
        chosen = tuple(set(splits[name].samples) for name in ("train", "val"))
    else:
        groups = group_samples(names, copies=copies)
        keys = sorted(groups, key=lambda group: (_place(0, group), group))
        n_val = max(round(_VAL_SHARE * len(keys)), int(len(keys) > 1))
        val = {name for key in keys[len(keys) - n_val :] for name in groups[key]}
        chosen = set(names) - val, val
    train, val_names = ([name for name in names if name in part] for part in chosen)
    return train, val_names
