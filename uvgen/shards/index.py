"""`dataset.json`: what a data set was made of and which shards are finished."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from uvgen.errors import DatasetError, InputError, UvgenError
from uvgen.shards.constants import CONSTANTS
from uvgen.shards.format import LEAST_SAMPLE_BYTES, VERSION
from uvgen.storage.cache import cache_folder
from uvgen.storage.files import has_sha256, remove_leftovers, replaced_on_success, same_content
from uvgen.storage.folders import DATA_SET, DATASET_INDEX, SHARD_NAME, instead
from uvgen.storage.names import brief, is_sha256, os_reason, printable
from uvgen.storage.objects import fetch, listed
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import irregular, max_bytes, read_file, what_helps
from uvgen.storage.text import read_text
from uvgen.storage.transfers import MissingError
from uvgen.storage.urls import local_path, refuse_url, url_of
from uvgen.wording import count


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One finished shard in `dataset.json`."""

    file: str
    samples: int
    size_bytes: int
    sha256: str | None  # None if every sample was skipped: there is no file
    names: str | None = None  # of its samples, a line each; None in sets of older versions

    @property
    def sample_names(self) -> list[str] | None:
        """The names of its samples; None if the index does not have them."""
        if self.names is None or not self.samples:
            return None if self.samples else []
        names = self.names.split("\n")
        return names if len(names) == self.samples else None


@dataclass(frozen=True, slots=True)
class SkippedSample:
    """One sample that could not be used, and why.

    Attributes
    ----------
    name : str
        Name of the sample.
    shard : str
        File name of the shard that would have it.
    reason : str
        Why it was skipped.
    files_sha256 : str or None
        Hash of what its files held then: if they change, the sample is tried again.
    """

    name: str
    shard: str
    reason: str
    files_sha256: str | None = None


_FIELDS = {kind: tuple(item.name for item in fields(kind)) for kind in (ShardEntry, SkippedSample)}
_KEYS = {kind: frozenset(names) for kind, names in _FIELDS.items()}
_SPLITS = "splits.json"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~-]{0,200}\.h5")  # for which `check` need not look closer

Entry = TypeVar("Entry", ShardEntry, SkippedSample)


@dataclass(slots=True)
class Index:
    """`dataset.json`: what the set was made of and which shards are finished."""

    uvgen: str
    config: dict[str, Any]
    plan: dict[str, Any]
    shards: list[ShardEntry] = field(default_factory=list)
    skipped: list[SkippedSample] = field(default_factory=list)
    constants_sha256: str | None = None
    outdated: dict[str, str] = field(default_factory=dict)  # SHA-256 of shards whose samples have another name now

    @property
    def n_samples(self) -> int:
        """Samples in the finished shards."""
        return sum(entry.samples for entry in self.shards)

    @property
    def missing(self) -> int:
        """Samples, skipped ones aside, that an unfinished set does not have yet."""
        return int(self.plan["samples"]) - self.n_samples - len(self.skipped)

    def write(self, folder: Path) -> bytes:
        """Replace the folder's `dataset.json` if it differs; entries are sorted, whatever order they came in.

        Returns the file's content.
        """
        content: dict[str, Any] = {
            "format": "uvgen-dataset",
            "version": VERSION,
            "uvgen": self.uvgen,
            "n_samples": self.n_samples,
            "config": self.config,
            "plan": self.plan,
            "constants_sha256": self.constants_sha256,
            "shards": [plain(entry) for entry in sorted(self.shards, key=lambda entry: entry.file)],
            "skipped": [plain(entry) for entry in sorted(self.skipped, key=lambda entry: (entry.name, entry.shard))],
        }
        if self.outdated:
            content["outdated"] = dict(sorted(self.outdated.items()))
        data, path = sealed(content), folder / DATASET_INDEX
        if not same_content(path, data):
            with replaced_on_success(path, make_folder=False) as temporary:
                temporary.write_bytes(data)
        return data

    def check(self, n_samples: int) -> None:
        """Raise ValueError if a value is none that uvgen writes; `n_samples` is what is stated of all shards."""
        numbers = [n_samples, self.plan["samples"]]
        texts = [self.uvgen, *(text for skip in self.skipped for text in (skip.name, skip.shard, skip.reason))]
        hashes = [entry.sha256 for entry in self.shards if entry.samples]
        hashes += [] if self.constants_sha256 is None else [self.constants_sha256]
        hashes += [skip.files_sha256 for skip in self.skipped if skip.files_sha256 is not None]
        if not isinstance(self.outdated, dict):
            raise ValueError("outdated shards that are not an object")
        texts += self.outdated
        hashes += self.outdated.values()
        for entry in self.shards:
            numbers += [entry.samples, entry.size_bytes]
            texts += [entry.file] if entry.names is None else [entry.file, entry.names]
        if any(type(number) is not int or not 0 <= number < 1 << 60 for number in numbers):
            raise ValueError("a count that is not a number of samples or bytes")
        if not all(isinstance(text, str) for text in (*texts, *hashes)):
            raise ValueError("a name, reason or hash that is not text")
        if odd := [text for text in hashes if text is not None and not is_sha256(text)]:
            raise ValueError(f"the hash {brief(odd[0])!r}, expected 64 hexadecimal digits")
        if odd := [name for name in self.outdated if not _is_named_well(name)]:
            raise ValueError(f"an outdated shard named {odd[0]!r}")
        for entry in self.shards:
            name = entry.file
            if not name.endswith(".h5") or name.startswith("."):  # hidden: temporary files have such names
                raise ValueError(f"a shard named {name!r}, expected a name that ends in .h5 and is not a temporary one")
            if entry.samples * LEAST_SAMPLE_BYTES > entry.size_bytes:
                raise ValueError(f"{count(entry.samples, 'sample')} in the {entry.size_bytes} bytes of {name!r}")
            if not _is_named_well(name) or (entry.sha256 is None) != (entry.samples == 0):
                raise ValueError(f"entry of {entry.file!r} with {count(entry.samples, 'sample')}")
            if entry.samples and entry.names is not None and entry.names.count("\n") + 1 != entry.samples:
                raise ValueError(f"other names than the {count(entry.samples, 'sample')} of {name!r}, a line each")
        if len({entry.file for entry in self.shards}) < len(self.shards):
            raise ValueError("a shard is listed twice")
        if self.missing < 0:
            raise ValueError(f"{count(self.n_samples, 'sample')} and {len(self.skipped)} skipped, more than its plan's")
        if n_samples != self.n_samples:
            raise ValueError(f"{count(n_samples, 'sample')} in all, its shards have {self.n_samples}")

    @classmethod
    def read(cls, folder: Path) -> "Index":
        """Read a folder's `dataset.json`; DatasetError if it is missing or not one."""
        path = folder / DATASET_INDEX
        try:
            text, whole = _text(path)
            content = parse_json(text)
            if content["format"] != "uvgen-dataset":
                raise ValueError(f"format {brief(content['format'])!r}")
            if content["version"] != VERSION:
                raise DatasetError(
                    f"{path}: version {brief(content['version'])}, expected {VERSION}; build the data set again"
                )
            if not whole:
                raise ValueError("its content does not have the checksum that is written in it")
            if not isinstance(content["config"], dict) or not isinstance(content["plan"], dict):
                raise ValueError("config or plan is not an object")
            index = cls(
                content["uvgen"], content["config"], content["plan"],
                [known(ShardEntry, entry) for entry in content["shards"]],
                [known(SkippedSample, entry) for entry in content["skipped"]],
                content.get("constants_sha256"),
                content.get("outdated", {}),
            )  # fmt: skip
            index.check(content["n_samples"])
            return index
        except FileNotFoundError as error:
            expected = "a folder that `uvgen build` made"
            if found := instead(folder, wanted=DATA_SET, expected=expected):
                raise DatasetError(f"{folder}: {found}") from error
            what = f"{path}: no such file" if folder.is_dir() else f"{folder}: no such folder"
            raise DatasetError(f"{what}, expected {expected}") from error
        except DatasetError:
            raise
        except InputError as error:  # no text
            raise DatasetError(str(error)) from error
        except OSError as error:
            helps = what_helps(error, "check permissions")
            raise DatasetError(f"{path}: cannot be read ({os_reason(error)}); {helps}") from error
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise DatasetError(
                f"{path}: not a data set's index ({brief(error)}); is it damaged, edited by hand, or made "
                "by an earlier uvgen? Build the data set again"
            ) from error


def _is_named_well(file: str) -> bool:
    """Whether a shard may have this name."""
    if _PLAIN_NAME.fullmatch(file):
        return True
    plain_name = file == Path(file).name == printable(file) and len(file.encode()) < 256
    return plain_name and file.endswith(".h5") and not file.startswith(".")


_SEAL = b',\n  "sha256": "'


def _text(path: Path) -> tuple[str, bool]:
    """An index's text, and whether it has the checksum that is written in it."""
    try:
        data = read_file(path)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        data = b""
    if _is_sealed(data):  # as it was written; the long way takes three times as long
        return data.decode(), True
    text = read_text(path, "a data set's index", most_bytes=max_bytes())  # an editor may have added a byte-order mark
    return text, _is_sealed(text.encode())


def sealed(content: Mapping[str, Any]) -> bytes:
    """The bytes of an index: JSON whose last field is the SHA-256 of all bytes before it."""
    data = json.dumps(content, indent=2, ensure_ascii=False).removesuffix("\n}").encode()
    return data + _SEAL + hashlib.sha256(data).hexdigest().encode() + b'"\n}\n'


def _is_sealed(data: bytes) -> bool:
    end = data.rfind(_SEAL)
    found = None if end < 0 else re.fullmatch(rb'([0-9a-f]{64})"\n}\n', data[end + len(_SEAL) :])
    return found is not None and found[1].decode() == hashlib.sha256(memoryview(data)[:end]).hexdigest()


def plain(entry: ShardEntry | SkippedSample) -> dict[str, Any]:
    """An entry as JSON has it; fields that are optional stand there only if they are known."""
    return {key: value for key, value in asdict(entry).items() if value is not None or key == "sha256"}


def known(kind: type[Entry], values: Mapping[str, Any]) -> Entry:
    """An entry of its known fields: what another version of uvgen added is ignored."""
    if values.keys() == _KEYS[kind]:  # as nearly always
        return kind(**values)
    return kind(**{name: values[name] for name in _FIELDS[kind] if name in values})


def data_folder(path: str | os.PathLike[str], *, changes: str = "") -> Path:
    """The folder of a data set, of which `path` may name the `dataset.json`; DatasetError for another file.

    Of a data set in an object store, its mirror on this machine, with what its index lists now; InputError if a
    command changes the set and says how (`changes`).
    """
    path = local_path(path)
    if path.name == DATASET_INDEX:
        path = path.parent
    elif os.path.exists(path) and not path.is_dir():  # noqa: PTH110 - Path's raises where the name is too long
        if SHARD_NAME.fullmatch(path.name) and (path.parent / DATASET_INDEX).exists():
            raise DatasetError(f"{path}: a shard of a data set; give the folder {path.parent}")
        kind = irregular(path.stat().st_mode) or "a file"
        raise DatasetError(f"{path}: {kind}, expected the folder of a data set (with {DATASET_INDEX})")
    if url_of(path):
        if changes:
            refuse_url(path, "the folder of a data set", f"{changes}; copy the set, `aws s3 sync`")
        mirror_set(path)
    return path


def mirror_set(folder: Path) -> None:
    """Bring a mirror's small files up to what the store holds: the index, the constants and the splits.

    Raises
    ------
    DatasetError
        If the store cannot be reached or holds no data set there.
    """
    remove_leftovers(folder)
    try:
        index = fetch_index(folder) or Index.read(folder)
    except MissingError as error:
        raise DatasetError(_no_set(folder)) from error
    if index.constants_sha256 and not has_sha256(folder / CONSTANTS, index.constants_sha256, most_bytes=max_bytes()):
        _fetch_or_forget(folder / CONSTANTS, index.constants_sha256)
    _fetch_or_forget(folder / _SPLITS)


def fetch_index(folder: Path) -> Index | None:
    """Fetch a data set's index; None if what is there is none that can be read, also when it is fetched again.

    DatasetError if it cannot be fetched, `MissingError` if there is none.
    """
    for _ in range(2):
        fetch(folder / DATASET_INDEX)
        with suppress(DatasetError):
            return Index.read(folder)
    return None


def _fetch_or_forget(path: Path, sha256: str | None = None) -> None:
    """Fetch a file that may be missing; who needs it says so."""
    try:
        fetch(path, sha256=sha256)
    except MissingError:
        _remove(path)
    except DatasetError as error:  # who may not list a bucket hears of a missing file that it may not be read
        if sha256 is not None or not isinstance(error.__cause__, PermissionError):
            raise
        _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        if not os.path.lexists(path):  # on a read-only disk
            return
        raise DatasetError(
            f"{path}: is in the cache, {cache_folder()}, but not in the store, and cannot be deleted "
            f"({os_reason(error)}); delete it, or set UVGEN_CACHE to another folder"
        ) from error


def _no_set(folder: Path) -> str:
    """What to say of a place in a store without an index."""
    try:
        there = listed(folder)
    except UvgenError:
        there = {}
    sets = sorted({name.rpartition("/")[0] for name in there if name.endswith(f"/{DATASET_INDEX}")})
    expected = f"expected one that `uvgen build` made, with {DATASET_INDEX}"
    if sets:
        return f"{folder}: not a data set, {expected}; those below it: {', '.join(sets[:3])}"
    held = f"holds {count(len(there), 'file')}, but no {DATASET_INDEX}" if there else "holds nothing"
    return f"{folder}: not a data set, it {held}; {expected}"
