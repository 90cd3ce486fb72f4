"""Shards: HDF5 files of samples, and `dataset.json`, which lists them: the format and its writer.

A data set is a folder::

    dataset.json        what the set holds: configuration, each finished shard with its SHA-256, skipped samples
    IBUG-00000.h5 …     the shards

A shard has one dataset a field, first axis the samples. Large fields (`Field.chunked`) are stored one sample a
chunk, so that reading a sample costs one read; small ones contiguously. Fields of bytes (JPEG images) are two
datasets: ``NAME_data``, all samples' bytes, and ``NAME_end``, where each sample's end. Integer fields that stand for
real numbers carry the attributes ``scale_factor`` and ``add_offset``: value = code * scale_factor + add_offset (as in
the CF conventions). `constants` are datasets without a sample axis. The file's attributes say where it comes
from. Files hold no times and no machine names: the same input gives the same bytes.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError
from uvgen.storage.files import replaced_on_success

FORMAT, VERSION = "uvgen-shard", 1
INDEX = "dataset.json"


@dataclass(frozen=True, slots=True)
class Field:
    """How one field of a sample is stored.

    Attributes
    ----------
    dtype : str
        NumPy dtype, ``"str"`` for text, or ``"bytes"`` for encoded data of any length.
    shape : tuple of int
        One sample's shape.
    chunked : bool
        One sample a chunk, written as it comes; otherwise contiguous, written at the end.
    attributes : mapping
        HDF5 attributes: units, frame, ``scale_factor`` and ``add_offset``.
    """

    dtype: str
    shape: tuple[int, ...]
    chunked: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)


AUGMENTED = {
    "augmentation": Field("str", (), attributes={"content": "what was done, JSON"}),
    "flipped": Field("bool", (), attributes={"content": "mirrored after `crop`: x becomes size - 1 - x"}),
}
"""Fields that augmented samples have besides the others."""


class ShardWriter:
    """Writes one shard, of as many samples as are appended, into an open file.

    Parameters
    ----------
    file : h5py.File
        Empty, open for writing.
    fields : mapping of str to Field
        What each sample has.
    compression : {None, "lzf", "gzip"}
        For chunked fields.
    """

    def __init__(self, file: h5py.File, fields: Mapping[str, Field], compression: str | None = None) -> None:
        self._file = file
        self._fields = fields
        self._rows: dict[str, list[NDArray[Any]]] = {name: [] for name, f in fields.items() if not f.chunked}
        self._compressed = compression is not None
        self.n_samples = 0
        for name, f in fields.items():
            if f.chunked:
                self._file.create_dataset(
                    name, (0, *f.shape), f.dtype, maxshape=(None, *f.shape), chunks=(1, *f.shape),
                    compression=compression, shuffle=compression is not None, fillvalue=None,
                )  # fmt: skip

    def append(self, rows: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
        """Append samples: for each field an array (or sequence) whose first axis is the samples."""
        n = len(next(iter(rows.values())))
        for name, f in self._fields.items():
            if not f.chunked:
                self._rows[name].append(
                    np.asarray(rows[name], dtype=object if f.dtype in ("str", "bytes") else f.dtype)
                )
                continue
            dataset = self._file[name]
            dataset.resize(self.n_samples + n, axis=0)
            array = np.ascontiguousarray(rows[name], dtype=f.dtype)
            if self._compressed:
                dataset[self.n_samples :] = array
                continue
            start = (0,) * len(f.shape)
            for k in range(n):  # past HDF5's selection machinery: the bytes of a chunk are those of a sample
                dataset.id.write_direct_chunk((self.n_samples + k, *start), array[k])
        self.n_samples += n

    def finish(self, constants: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]) -> None:
        """Write the small fields, the constants and the attributes."""
        for name, parts in self._rows.items():
            f = self._fields[name]
            if f.dtype == "str":
                texts = [str(text) for part in parts for text in part]
                width = max((len(text.encode()) for text in texts), default=1)
                self._file.create_dataset(name, data=texts, dtype=h5py.string_dtype("utf-8", width))
            elif f.dtype == "bytes":
                pieces = [piece for part in parts for piece in part]
                ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
                self._file.create_dataset(f"{name}_data", data=np.frombuffer(b"".join(pieces), np.uint8))
                self._file.create_dataset(f"{name}_end", data=ends)
            else:
                empty = np.empty((0, *f.shape), f.dtype)
                self._file.create_dataset(name, data=np.concatenate([empty, *parts]))
        for name, f in self._fields.items():
            self._file[f"{name}_data" if f.dtype == "bytes" else name].attrs.update(f.attributes)
        for name, array in constants.items():
            self._file.create_dataset(name, data=array, compression="gzip")  # masks shrink to nothing
        self._file.attrs.update({"format": FORMAT, "version": VERSION, "constants": list(constants), **attributes})


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One finished shard in `dataset.json`."""

    file: str
    samples: int
    size_bytes: int
    sha256: str | None  # None where every sample was skipped: there is no file


@dataclass(frozen=True, slots=True)
class SkippedSample:
    """One sample that could not be used, and why."""

    name: str
    shard: str
    reason: str


@dataclass(slots=True)
class Index:
    """`dataset.json`: what the set was made of and which shards are finished."""

    uvgen: str
    config: dict[str, Any]
    plan: dict[str, Any]
    shards: list[ShardEntry] = field(default_factory=list)
    skipped: list[SkippedSample] = field(default_factory=list)

    @property
    def n_samples(self) -> int:
        """Samples in the finished shards."""
        return sum(entry.samples for entry in self.shards)

    @property
    def missing(self) -> int:
        """Samples, skipped ones aside, that an unfinished set does not have yet."""
        return int(self.plan["samples"]) - self.n_samples - len(self.skipped)

    def write(self, folder: Path) -> None:
        """Replace the folder's `dataset.json`; entries are sorted, whatever order they came in."""
        content = {
            "format": "uvgen-dataset",
            "version": VERSION,
            "uvgen": self.uvgen,
            "n_samples": self.n_samples,
            "config": self.config,
            "plan": self.plan,
            "shards": [asdict(entry) for entry in sorted(self.shards, key=lambda entry: entry.file)],
            "skipped": [asdict(entry) for entry in sorted(self.skipped, key=lambda entry: entry.name)],
        }
        with replaced_on_success(folder / INDEX) as temporary:
            temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _check(self, n_samples: int) -> None:
        for entry in self.shards:
            named_well = entry.file == Path(entry.file).name
            if not named_well or entry.samples < 0 or (entry.sha256 is None) != (entry.samples == 0):
                raise ValueError(f"entry of {entry.file!r} with {entry.samples} samples")
        if len({entry.file for entry in self.shards}) < len(self.shards):
            raise ValueError("a shard is listed twice")
        if self.missing < 0:
            raise ValueError(f"{self.n_samples} samples and {len(self.skipped)} skipped, more than its plan's")
        if n_samples != self.n_samples:
            raise ValueError(f"{n_samples} samples in all, its shards have {self.n_samples}")

    @classmethod
    def read(cls, folder: Path) -> "Index":
        """Read a folder's `dataset.json`; DatasetError where it is missing or not one."""
        path = folder / INDEX
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != "uvgen-dataset":
                raise ValueError(f"format {content['format']!r}")
            if content["version"] > VERSION:
                raise DatasetError(f"{path}: version {content['version']}, this uvgen reads {VERSION}; update uvgen")
            index = cls(
                content["uvgen"], content["config"], content["plan"],
                [ShardEntry(**entry) for entry in content["shards"]],
                [SkippedSample(**entry) for entry in content["skipped"]],
            )  # fmt: skip
            index._check(content["n_samples"])
            return index
        except FileNotFoundError as error:
            raise DatasetError(f"{path}: no such file; expected a folder that `uvgen build` made") from error
        except DatasetError:
            raise
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read ({error.strerror}); rights?") from error
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{path}: not a data set's index ({error}); was it edited?") from error


def data_folder(path: str | os.PathLike[str]) -> Path:
    """The folder of a data set, of which `path` may name the `dataset.json`; DatasetError for another file."""
    path = Path(path)
    if path.name == INDEX:
        return path.parent
    if path.is_file():
        raise DatasetError(f"{path}: a file, expected the folder of a data set (with {INDEX})")
    return path


def is_shard(path: Path) -> bool:
    """Whether a file is a shard of uvgen, of any version."""
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == FORMAT)
    except OSError:
        return False
