"""Writing shards, one at a time, each whole or not there."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from uvgen.interrupts import interrupts_deferred
from uvgen.shards.format import FORMAT, VERSION, Field
from uvgen.shards.index import ShardEntry
from uvgen.storage.files import replaced_on_success, sha256_file
from uvgen.storage.hdf5 import new_hdf5, write_attributes
from uvgen.storage.object_cache import draft
from uvgen.storage.objects import remove, upload
from uvgen.storage.urls import url_of

_HELD_BYTES = 512 << 20  # 32 samples of 1024 px


def as_stored(text: str) -> str:
    """A text as readers get it: what is no UTF-8 is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def held_at_once(fields: Mapping[str, Field], most: int) -> int:
    """How many samples are held, and appended, at once: `most`, or fewer of large ones.

    A shard's bytes depend on it, so all code that writes samples takes the number from here.
    """
    size = sum(math.prod(f.shape) * np.dtype(f.dtype).itemsize for f in fields.values() if f.chunked)
    return max(1, min(most, _HELD_BYTES // max(size, 1)))


class ShardWriter:
    """Writes one shard, of as many samples as are appended, into an open file.

    Parameters
    ----------
    file : h5py.File
        Empty, open for writing.
    fields : mapping of str to Field
        What each sample has.
    compression : {None, "gzip"}
        For chunked fields.
    """

    def __init__(self, file: h5py.File, fields: Mapping[str, Field], compression: str | None = None) -> None:
        self._file = file
        self._fields = fields
        self._rows: dict[str, list[NDArray[Any]]] = {name: [] for name, f in fields.items() if not f.chunked}
        self._compressed = compression is not None
        self.n_samples = 0
        self.names: str | None = None  # of the samples, a line each, once they are written
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

    def finish(self, attributes: Mapping[str, Any]) -> None:
        """Write the small fields and the attributes."""
        for name, parts in self._rows.items():
            f = self._fields[name]
            if f.dtype == "str":
                texts = [as_stored(str(text)).encode() for part in parts for text in part]
                width = max(map(len, texts), default=1) or 1  # HDF5 has no empty strings of fixed length
                self._file.create_dataset(name, data=np.array(texts, h5py.string_dtype("utf-8", width)))
                if name == "name":
                    self.names = "\n".join(text.decode() for text in texts)
            elif f.dtype == "bytes":
                pieces = [piece for part in parts for piece in part]
                ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
                self._file.create_dataset(f"{name}_data", data=np.frombuffer(b"".join(pieces), np.uint8))
                self._file.create_dataset(f"{name}_end", data=ends)
            else:
                empty = np.empty((0, *f.shape), f.dtype)
                self._file.create_dataset(name, data=np.concatenate([empty, *parts]))
        for name, f in self._fields.items():
            owner = self._file[f"{name}_data" if f.dtype == "bytes" else name]
            write_attributes(owner, dict(sorted(f.attributes.items())))
        # sorted, as readers find them: copied shards have the bytes of the originals
        write_attributes(self._file, dict(sorted({"format": FORMAT, "version": VERSION, **attributes}.items())))


def write_shard(
    path: Path,
    fields: Mapping[str, Field],
    compression: str | None,
    batches: Iterable[Mapping[str, Any]],
    attributes: Mapping[str, Any],
    *,
    expected: str | None = None,
) -> ShardEntry:
    """Write one shard under a temporary name and rename it into place; Ctrl-C counts between batches alone.

    Parameters
    ----------
    path : Path
        The shard; no file is left if no batch has a sample. One of a store's mirror is uploaded.
    fields : mapping of str to Field
        What a sample has.
    compression : {None, "gzip"}
        Of the chunked fields.
    batches : iterable of mapping
        Rows, as `ShardWriter.append` takes them; empty ones are passed over. Made while the file is open.
    attributes : mapping
        As `ShardWriter.finish` takes them.
    expected : str, optional
        The only SHA-256 that it may have: with another, or without samples, what stands at `path` stays as it is.

    Returns
    -------
    ShardEntry
        What was made, even if it was not put into place.

    Raises
    ------
    DatasetError
        If it cannot be written.
    """
    how = (fields, compression, batches, attributes)
    if url_of(path):
        return _uploaded(path, expected, *how)
    try:
        with interrupts_deferred() as check_interrupt, replaced_on_success(path, make_folder=False) as temporary:
            made = _written(temporary, path.name, check_interrupt, *how)
            if expected is not None and made.sha256 != expected:
                raise _UnexpectedError(made)
    except _UnexpectedError as error:
        return error.made
    if not made.samples:
        path.unlink()
    return made


def _written(
    temporary: Path, name: str, check_interrupt: Callable[[], None], fields: Mapping[str, Field],
    compression: str | None, batches: Iterable[Mapping[str, Any]], attributes: Mapping[str, Any],
) -> ShardEntry:  # fmt: skip
    """Fill a file with a shard; its entry under its name."""
    with new_hdf5(temporary) as file:
        writer = ShardWriter(file, fields, compression)
        for rows in batches:
            if rows:
                writer.append(rows)
            check_interrupt()
        writer.finish(attributes)
    if not writer.n_samples:
        return ShardEntry(name, 0, 0, None)
    size_bytes, digest = temporary.stat().st_size, sha256_file(temporary)
    return ShardEntry(name, writer.n_samples, size_bytes, digest, writer.names)


def _uploaded(path: Path, expected: str | None, *how: Any) -> ShardEntry:
    """Write a shard on this machine, and upload it once it is whole; it stays in the cache as one that was fetched."""
    with draft(path.name) as new:
        with interrupts_deferred() as check_interrupt:
            made = _written(new.path, path.name, check_interrupt, *how)
        if made.sha256 is not None and expected in (None, made.sha256):
            upload(path, new.path)
            new.keep(made.sha256, path.suffix, made.size_bytes)
        elif made.sha256 is None and expected is None:
            remove([path])  # of an earlier run, when samples of it could be used
    return made


class _UnexpectedError(Exception):
    """Another shard was made than the one that is to be replaced."""

    def __init__(self, made: ShardEntry) -> None:
        super().__init__(made)
        self.made = made
