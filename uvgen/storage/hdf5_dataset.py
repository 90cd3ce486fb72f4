"""A dataset of an HDF5 file that may come from anyone: what it declares is checked, and its bytes are read at the
checked places; see `uvgen.storage.hdf5_reading`.
"""

import math
import zlib
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from h5py import h5d, h5s, h5t, h5z
from numpy.typing import NDArray

from uvgen.errors import UvgenError
from uvgen.storage.reading import open_regular

if TYPE_CHECKING:
    from uvgen.storage.hdf5_reading import Hdf5File

MAX_INFLATED_BYTES = 4 << 30
"""What a compressed dataset may take in memory if it is read whole, unless the caller allows more."""

_MAX_RATIO = 1100  # deflate reaches 1032
_FREE_CHUNK_BYTES = 64 << 20  # of a chunk, which may be larger than what is in it: the dataset may grow
_FILTERS = {h5z.FILTER_DEFLATE: "gzip", h5z.FILTER_SHUFFLE: "shuffle"}
_LZF = 32000
_LAYOUTS = {h5d.COMPACT: "compact", h5d.CONTIGUOUS: "contiguous", h5d.CHUNKED: "chunked"}
_CLASSES = {
    h5t.INTEGER: "integers", h5t.FLOAT: "floats", h5t.ENUM: "an enumeration", h5t.STRING: "strings",
    h5t.TIME: "times", h5t.BITFIELD: "bit fields", h5t.OPAQUE: "opaque bytes", h5t.COMPOUND: "compounds",
    h5t.REFERENCE: "references", h5t.VLEN: "values of variable length", h5t.ARRAY: "arrays",
}  # fmt: skip


class Hdf5Dataset:
    """A dataset that `Hdf5File.safe_dataset` has checked.

    Attributes
    ----------
    name : str
        Its name.
    shape : tuple of int
        Its shape.
    dtype : np.dtype
        Of plain numbers, bool or bytes of fixed length.
    by_row : bool
        Whether each row of the first axis is a chunk of its own, which `read_row` then reads.
    """

    def __init__(self, file: "Hdf5File", name: str, dataset: Any) -> None:
        self._file, self.name, self._id = file, name, dataset
        kind = dataset.get_type()  # first: HDF5 also looks for a fill value of variable length, in the property list
        self.dtype = string_type(file, kind, name) or number_type(file, kind, name)
        self._padding = kind.get_strpad() if self.dtype.kind == "S" else h5t.STR_NULLPAD
        plist = dataset.get_create_plist()  # before the shape: that of a virtual dataset depends on other files
        layout = plist.get_layout()
        if layout not in _LAYOUTS:
            raise file.refused(f"{name} is a virtual dataset, expected one that lies in this file")
        if plist.get_external_count():
            raise file.refused(f"{name} is stored in another file (external storage), expected this one")
        self._layout = _LAYOUTS[layout]
        space = dataset.get_space()
        if space.get_simple_extent_type() not in (h5s.SCALAR, h5s.SIMPLE):
            raise file.refused(f"{name} is empty (no shape), expected values")
        self.shape: tuple[int, ...] = tuple(space.get_simple_extent_dims())
        self.n_bytes = math.prod(self.shape) * self.dtype.itemsize
        self._filters = [plist.get_filter(k)[:3] for k in range(plist.get_nfilters())]
        self._chunk: tuple[int, ...] = plist.get_chunk() if self._layout == "chunked" else ()
        self._check_filters()
        self._check_size()
        self.by_row = bool(self.shape) and self._chunk == (1, *self.shape[1:])

    def _check_filters(self) -> None:
        for number, _, values in self._filters:
            if number == _LZF:  # only HDF5 could unpack it, and would not notice that a chunk is too short
                raise self._refused("is packed with LZF, expected gzip or none; h5repack -f GZIP=4 packs it anew")
            if number not in _FILTERS:
                raise self._refused(f"has filter {number}, expected gzip, shuffle or none")
            if number == h5z.FILTER_SHUFFLE and tuple(values[:1]) != (self.dtype.itemsize,):
                raise self._refused(f"has a shuffle filter for another size, {tuple(values)}")
        kinds = [number for number, *_ in self._filters]
        if kinds not in ([], [2], [1], [2, 1]) or (kinds and self._layout != "chunked"):
            raise self._refused(f"has filters {kinds}, expected one compression, perhaps after shuffle")

    def _check_size(self) -> None:
        stored = self._id.get_storage_size()
        if self._layout == "chunked":
            if len(self._chunk) != len(self.shape) or min(self._chunk, default=0) < 1:
                raise self._refused(f"has chunks of {self._chunk}, expected {len(self.shape)} axes")
            if self._chunk_bytes > max(_FREE_CHUNK_BYTES, 2 * self.n_bytes):  # a whole one is unpacked
                raise self._refused(f"has chunks of {self._chunk_bytes} bytes, its shape needs {self.n_bytes}")
            n_chunks = math.prod(-(-n // k) for n, k in zip(self.shape, self._chunk, strict=True))
            if n_chunks * self._chunk_bytes > max(_FREE_CHUNK_BYTES, (1 << len(self.shape)) * self.n_bytes):
                raise self._refused(f"has {n_chunks} chunks of {self._chunk_bytes} bytes for {self.n_bytes}")
        elif stored != self.n_bytes:
            raise self._refused(f"stores {stored} bytes, its shape {self.shape} needs {self.n_bytes}")
        self._file.check_stored(self._id, self.name, stored)
        if self.n_bytes > (_MAX_RATIO if self._filters else 1) * stored:
            raise self._refused(f"declares {self.n_bytes} bytes and stores {stored}; a part was never written")
        self._offset = self._id.get_offset() if self._layout == "contiguous" else None
        if self._layout == "contiguous" and self.n_bytes:
            if self._offset is None:
                raise self._refused("was never written")
            if not 0 <= self._offset <= self._file.size - self.n_bytes:
                raise self._refused(f"ends at byte {self._offset + self.n_bytes}, the file at {self._file.size}")

    def _refused(self, what: str) -> UvgenError:
        return self._file.refused(f"{self.name} {what}")

    @property
    def offset(self) -> int | None:
        """Where its bytes lie in the file, if they do so in one piece and a map may show them."""
        return None if self._file.user_block else self._offset

    @property
    def _chunk_bytes(self) -> int:
        return math.prod(self._chunk) * self.dtype.itemsize

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Its attributes, see `Hdf5File.attributes`."""
        return self._file.attributes_of(self._id, self.name)

    @cached_property
    def _places(self) -> dict[tuple[int, ...], tuple[int, int, int]]:
        """Filter mask, offset and bytes of each chunk by its first element: all are there, and lie in the file."""
        n_chunks = math.prod(-(-n // k) for n, k in zip(self.shape, self._chunk, strict=True))
        self._file.check_chunks(self._id, self.name, n_chunks, self.n_bytes)
        if self._id.get_num_chunks() != n_chunks:
            raise self._refused(f"has {self._id.get_num_chunks()} chunks, its shape needs {n_chunks}")
        found: dict[tuple[int, ...], tuple[int, int, int]] = {}
        self._id.chunk_iter(lambda c: found.__setitem__(c.chunk_offset, (c.filter_mask, c.byte_offset, c.size)))
        whole, slack = self._chunk_bytes, self._chunk_bytes // 100 + 1024 if self._filters else 0
        for start, (mask, offset, size) in found.items():
            if any(k % c or not 0 <= k < n for k, c, n in zip(start, self._chunk, self.shape, strict=True)):
                raise self._refused(f"has a chunk at {start}, outside of its shape {self.shape}")
            is_packed = any(not mask >> k & 1 for k, (number, *_) in enumerate(self._filters) if number != 2)
            if not (0 < size <= whole + slack if is_packed else size == whole):
                raise self._refused(f"has a chunk of {size} bytes at {start}, expected {whole}")
            if mask >> len(self._filters):
                raise self._refused(f"has a chunk with filter mask {mask} at {start}")
            if not self._file.user_block and not 0 < offset <= self._file.size - size:
                raise self._refused(f"has a chunk at {start} that ends outside of the file")
        if len(found) != n_chunks or sum(size for *_, size in found.values()) > self._file.size:
            raise self._refused("has chunks that lie over each other")
        return found

    def read_row(self, row: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """One row of a dataset that is stored `by_row`; `out` is C-contiguous, of its shape and dtype."""
        out = np.empty(self.shape[1:], self.dtype) if out is None else out
        try:
            self._read_chunk((row, *(0,) * (len(self.shape) - 1)), out)
        except (UvgenError, MemoryError):
            raise
        except Exception as error:
            raise self._refused(f"of sample {row} cannot be read ({reason(error)})") from error
        _unpad(out, self._padding)
        return out

    def _read_chunk(self, start: tuple[int, ...], out: NDArray[Any]) -> None:
        mask, offset, size = self._places[start]
        if not self._filters and not self._file.user_block:
            self._file.read_into(out, offset)
            return
        used = [number for k, (number, *_) in enumerate(self._filters) if not mask >> k & 1]
        data: NDArray[Any] = np.empty(size, np.uint8)
        if self._file.user_block:  # versions of HDF5 differ in whether places count from its end
            data[:] = np.frombuffer(self._id.read_direct_chunk(start)[1], np.uint8)
        else:
            self._file.read_into(data, offset)
        if h5z.FILTER_DEFLATE in used:  # not by HDF5, which inflates whatever comes, a thousandfold
            inflater = zlib.decompressobj()
            data = np.frombuffer(inflater.decompress(data.data, self._chunk_bytes), np.uint8)
            if inflater.decompress(inflater.unconsumed_tail, 1) or not inflater.eof or len(data) != self._chunk_bytes:
                raise ValueError(f"{len(data)} bytes or more, expected {self._chunk_bytes}")
        planes = self.dtype.itemsize if h5z.FILTER_SHUFFLE in used else 1
        target = out.reshape(-1).view(np.uint8).reshape(-1, planes)
        for k, plane in enumerate(data.reshape(planes, -1)):  # twice as fast as a transposition
            target[:, k] = plane

    def read(self, max_bytes: int = MAX_INFLATED_BYTES) -> NDArray[Any]:
        """All of it; if it is compressed and takes more than `max_bytes`, it is refused."""
        if self._filters and self.n_bytes > max_bytes:
            raise self._refused(f"is compressed and takes {self.n_bytes} bytes, more than max_bytes={max_bytes}")
        with self._file.guarded(self.name):
            out = np.empty(self.shape, self.dtype)
            if not self.n_bytes:
                return out
            if self._layout == "compact" or (self._layout == "contiguous" and self._file.user_block):
                kind = h5t.py_create(self.dtype) if out.dtype.kind != "S" else self._id.get_type()
                self._id.read(h5s.ALL, h5s.ALL, out, kind)  # texts as they are: no conversion of their encoding
            elif self._layout == "contiguous":
                self._file.read_into(out, self._offset or 0)
            else:
                part = np.empty(self._chunk, self.dtype)
                for start in self._places:
                    self._read_chunk(start, part)
                    place = tuple(slice(k, k + c) for k, c in zip(start, self._chunk, strict=True))
                    target = out[place]
                    target[...] = part[tuple(slice(n) for n in target.shape)]
            _unpad(out, self._padding)
            return out.view(np.uint8) != 0 if out.dtype == np.bool_ else out

    @cached_property
    def _whole(self) -> NDArray[Any]:
        return self.read()

    def read_range(self, start: int, stop: int) -> NDArray[Any]:
        """Elements `start` to `stop` of the first axis of a contiguous dataset; of another, cut from all of it.

        That is unpacked once and kept, since each of many samples would take as long as all of them.
        """
        with self._file.guarded(self.name):
            if not 0 <= start <= stop <= self.shape[0]:
                raise ValueError(f"elements {start} to {stop} of {self.shape[0]}")
            if self._offset is None:
                return self._whole[start:stop]
            out = np.empty((stop - start, *self.shape[1:]), self.dtype)
            self._file.read_into(out, self._offset + start * (self.n_bytes // max(self.shape[0], 1)))
            return out

    def map(self) -> NDArray[Any]:
        """All of it, mapped from the file if it lies there in one piece, and read otherwise; read-only."""
        if (offset := self.offset) is None or not self.n_bytes or self.dtype.kind not in "fiu":
            return self.read()
        with self._file.guarded(self.name), open_regular(self._file.path) as file:
            return np.memmap(file, mode="r", dtype=self.dtype, shape=self.shape, offset=offset)


def string_type(file: "Hdf5File", kind: Any, name: str) -> np.dtype[Any] | None:
    """Bytes of fixed length, or None for what is no string."""
    if kind.get_class() != h5t.STRING:
        return None
    if kind.is_variable_str():
        raise file.refused(
            f"{name} is text of variable length, expected a fixed one; was it made by an earlier uvgen? "
            "Make the file again"
        )
    return np.dtype(f"S{kind.get_size()}")


def number_type(file: "Hdf5File", kind: Any, name: str) -> np.dtype[Any]:
    """Plain numbers as NumPy has them, in either byte order, and h5py's bool; all else is refused."""
    if kind.get_class() == h5t.ENUM and kind.get_nmembers() != 2:  # no bool; h5py would read all names for its dtype
        kind = kind.get_super()
    plain = kind.get_class() in (h5t.INTEGER, h5t.FLOAT, h5t.ENUM)
    dtype: np.dtype[Any] | None = np.dtype(kind.dtype) if plain else None
    if dtype is None or dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype.itemsize != kind.get_size():
        raise file.refused(f"{name} holds {_CLASSES.get(kind.get_class(), 'an unknown type')}, expected plain numbers")
    if kind.get_class() == h5t.ENUM and dtype.kind != "b":
        dtype, kind = np.dtype(dtype.str), kind.get_super()  # without h5py's note of the names
    if not kind.equal(_file_type(dtype)):
        raise file.refused(f"{name} holds numbers that NumPy does not have, expected plain ones")
    return dtype


@cache
def _file_type(dtype: np.dtype[Any]) -> Any:
    """HDF5's type of plain numbers: to make one takes as long as to read an attribute."""
    return h5t.py_create(dtype)


def unpadded(text: bytes, padding: int) -> bytes:
    """A text of fixed length (NumPy has cut zeros off its end) without what fills it up."""
    if padding == h5t.STR_NULLTERM:
        return text.split(b"\0", 1)[0]
    return text.rstrip(b" ") if padding == h5t.STR_SPACEPAD else text


def _unpad(texts: NDArray[Any], padding: int) -> None:
    """`unpadded`, in an array of texts."""
    if padding == h5t.STR_NULLPAD or not texts.size:  # as NumPy has them
        return
    letters = texts.reshape(-1).view(np.uint8).reshape(texts.size, -1)
    if padding == h5t.STR_NULLTERM:
        letters[np.logical_or.accumulate(letters == 0, axis=1)] = 0
    else:
        is_blank = (letters == ord(" ")) | (letters == 0)
        letters[np.logical_and.accumulate(is_blank[:, ::-1], axis=1)[:, ::-1]] = 0


def reason(error: Exception) -> str:
    """The message of an exception in one line, or its type if it has no message."""
    return " ".join(str(error).split())[:300] or type(error).__name__
