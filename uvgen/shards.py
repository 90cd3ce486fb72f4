"""Shards: HDF5 files of samples, and `dataset.json`, which lists them. Knows nothing of faces.

A data set is a folder::

    dataset.json        what the set holds: configuration, each finished shard with its SHA-256, skipped samples
    IBUG-00000.h5 …     the shards

A shard has one dataset a field, first axis the samples. Large fields (`Field.chunked`) are stored one sample a
chunk, so that reading a sample costs one read; small ones contiguously. Integer fields that stand for real
numbers carry the attributes ``scale_factor`` and ``add_offset``: value = code * scale_factor + add_offset (as in
the CF conventions). `constants` are datasets without a sample axis. The file's attributes say where it comes
from. Files hold no times and no machine names: the same input gives the same bytes.
"""

import json
import operator
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, overload

import h5py
import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError
from uvgen.files import replaced_on_success

FORMAT, VERSION = "uvgen-shard", 1
INDEX = "dataset.json"
_MAX_OPEN = 64  # files a reader keeps open


@dataclass(frozen=True, slots=True)
class Field:
    """How one field of a sample is stored.

    Attributes
    ----------
    dtype : str
        NumPy dtype, or ``"str"`` for text.
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
                self._rows[name].append(np.asarray(rows[name], dtype=object if f.dtype == "str" else f.dtype))
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
            else:
                empty = np.empty((0, *f.shape), f.dtype)
                self._file.create_dataset(name, data=np.concatenate([empty, *parts]))
        for name, f in self._fields.items():
            self._file[name].attrs.update(f.attributes)
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
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, DatasetError):
                raise
            raise DatasetError(f"{path}: not a data set's index ({error}); was it edited?") from error


def decode(array: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[Any]:
    """Real values, float32, of fixed-point codes; other arrays as they are.

    Parameters
    ----------
    array : ndarray
        As stored.
    attributes : mapping
        The dataset's attributes; ``scale_factor`` and ``add_offset`` mark fixed-point codes.

    Returns
    -------
    ndarray
        ``codes * scale_factor + add_offset``, or `array` itself.
    """
    if "scale_factor" not in attributes:
        return array
    values = np.multiply(array, np.float32(attributes["scale_factor"]), dtype=np.float32)
    values += np.float32(attributes["add_offset"])
    return values


class ShardReader:
    """Random access to the samples of a data set. Made by `open_shards`.

    A sample is a dict of arrays (fixed-point maps come as float32) and strings. Files are opened on first use,
    by each process for itself: a reader may be pickled, sent to workers, or carried through a fork.

    Attributes
    ----------
    folder : Path
        Where the shards are.
    config : dict
        What the set was built with.
    names : list of str
        Every sample's name, in order (read on first use).
    """

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder = folder
        self.config = index.config
        self._shards = [entry for entry in index.shards if entry.samples]
        self._ends = np.cumsum([entry.samples for entry in self._shards], dtype=np.int64)
        self._open: OrderedDict[int, _OpenShard] = OrderedDict()
        self._pid = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> dict[str, Any]: ...
    def __getitem__(self, key: int | slice) -> dict[str, Any]:
        """One sample, or for a slice its samples stacked along a new first axis (strings as a list)."""
        if isinstance(key, slice):
            return self._stack(range(*key.indices(len(self))))
        n, key = len(self), operator.index(key)
        if not -n <= key < n:
            raise IndexError(f"sample {key} of {n}")
        shard, row = self._locate(key % n)
        return {name: shard.read(name, row) for name in shard.fields}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[k] for k in range(len(self)))

    def _locate(self, key: int) -> tuple["_OpenShard", int]:
        number = int(np.searchsorted(self._ends, key, side="right"))
        return self._shard(number), key - int(self._ends[number] - self._shards[number].samples)

    def _stack(self, keys: range) -> dict[str, Any]:
        samples = [self[k] for k in keys]
        if not samples:
            return {}
        return {
            name: [s[name] for s in samples] if isinstance(value, str) else np.stack([s[name] for s in samples])
            for name, value in samples[0].items()
        }

    def _shard(self, number: int) -> "_OpenShard":
        if self._pid != os.getpid():  # handles of the process that forked this one are not ours to close
            self._open, self._pid = OrderedDict(), os.getpid()
        if number in self._open:
            self._open.move_to_end(number)
        else:
            if len(self._open) >= _MAX_OPEN:
                self._open.popitem(last=False)[1].file.close()
            self._open[number] = _OpenShard(self.folder / self._shards[number].file, self._shards[number].samples)
        return self._open[number]

    @property
    def names(self) -> list[str]:
        """Every sample's name, in order."""
        return [name for k in range(len(self._shards)) for name in self._shard(k).file["name"].asstr()[()]]

    @property
    def constants(self) -> dict[str, NDArray[Any]]:
        """What holds for all samples: the weight mask and the coverage."""
        if not self._shards:
            return {}
        shard = self._shard(0)
        return {name: shard.file[name][()] for name in shard.constants}


class _OpenShard:
    def __init__(self, path: Path, n_samples: int) -> None:
        try:
            self.file = h5py.File(path, "r")
        except OSError as error:
            raise DatasetError(f"{path}: cannot be opened ({error}); run `uvgen verify {path.parent}`") from error
        if self.file.attrs.get("format") != FORMAT:
            raise DatasetError(f"{path}: not a shard of uvgen; run `uvgen verify {path.parent}`")
        self.constants = [str(name) for name in self.file.attrs["constants"]]
        self.fields = [name for name in self.file if name not in self.constants]
        self._datasets = {name: self.file[name] for name in self.fields}
        self._attributes = {name: dict(data.attrs) for name, data in self._datasets.items()}
        for name, data in self._datasets.items():
            if len(data) != n_samples:
                raise DatasetError(f"{path}: {name} has {len(data)} rows, {INDEX} says {n_samples}; build it again")

    def read(self, name: str, row: int) -> Any:
        value = self._datasets[name][row]
        return value.decode() if isinstance(value, bytes) else decode(value, self._attributes[name])


def is_shard(path: Path) -> bool:
    """Whether a file is a shard of uvgen, of any version."""
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == FORMAT)
    except OSError:
        return False


def open_shards(path: str | os.PathLike[str]) -> ShardReader:
    """Open a data set for reading.

    Parameters
    ----------
    path : path-like
        Folder that ``uvgen build`` made, or its ``dataset.json``.

    Returns
    -------
    ShardReader
        A sequence: ``len(reader)``, ``reader[i]``, ``reader[2:5]``, iteration.

    Raises
    ------
    DatasetError
        Where the index is missing or damaged.
    """
    folder = Path(path)
    if folder.name == INDEX:
        folder = folder.parent
    return ShardReader(folder, Index.read(folder))
