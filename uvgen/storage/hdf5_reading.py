"""Reading HDF5 files that may come from anyone: nothing is followed, mapped or inflated before it was checked.

HDF5 can do much that a file of numbers has no use for: links and datasets that lie in other files, filters that are
loaded as plug-ins, types that hold pointers, sizes that are larger than what is stored. `open_hdf5` refuses all of it,
by looking at what a file declares before asking HDF5 to follow it. Samples' bytes are then read at the checked places
by `os.preadv`, not by HDF5. What remains is HDF5's own reading of the file's structure, of attributes and of small
datasets that are stored in it, all of fixed length: HDF5 2.0.0 may search forever for a text of variable length in a
damaged file. A fault in that cannot be caught here, see SECURITY.md, but in another process: `opened_by`.

This module, and `uvgen.storage.hdf5` and `uvgen.shards.writer` for new files, are the only ones that use h5py.
"""

import errno
import math
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5l, h5o, h5s, h5t, h5z
from numpy.typing import NDArray

from uvgen.errors import DatasetError, UvgenError
from uvgen.storage.hdf5_headers import CHUNKED, COMPACT, CONTIGUOUS, layout_classes
from uvgen.storage.names import brief, printable

MAX_INFLATED_BYTES = 4 << 30
"""What a compressed dataset may take in memory if it is read whole, unless the caller allows more."""

_MAX_MEMBERS, _MAX_ATTRIBUTES, _MAX_ELEMENTS, _MAX_TEXT = 1024, 256, 1024, 1 << 24
_MAX_RATIO = 1100  # deflate reaches 1032
_FILTERS = {h5z.FILTER_DEFLATE: "gzip", h5z.FILTER_SHUFFLE: "shuffle"}
_LZF = 32000
_LAYOUTS = {h5d.COMPACT: "compact", h5d.CONTIGUOUS: "contiguous", h5d.CHUNKED: "chunked"}
_CLASSES = {
    h5t.INTEGER: "integers", h5t.FLOAT: "floats", h5t.ENUM: "an enumeration", h5t.STRING: "strings",
    h5t.TIME: "times", h5t.BITFIELD: "bit fields", h5t.OPAQUE: "opaque bytes", h5t.COMPOUND: "compounds",
    h5t.REFERENCE: "references", h5t.VLEN: "values of variable length", h5t.ARRAY: "arrays",
}  # fmt: skip


Opener = Callable[[Path, type[UvgenError], str, str, int], "Hdf5File"]
"""What `open_hdf5` does with its arguments, in their order."""

_opener: ContextVar[Opener | None] = ContextVar("opener", default=None)


@contextmanager
def opened_by(opener: Opener | None) -> Iterator[None]:
    """Inside, `open_hdf5` opens files by this function, such as `Hdf5Process.open`; None changes nothing."""
    if opener is None:
        yield
        return
    token = _opener.set(opener)
    try:
        yield
    finally:
        _opener.reset(token)


def is_opened_elsewhere() -> bool:
    """Whether `opened_by` holds here."""
    return _opener.get() is not None


def open_hdf5(
    path: Path, error: type[UvgenError] = DatasetError, hint: str = "", lead: str = "", *, user_block: int = 0
) -> "Hdf5File":
    """Open an HDF5 file for reading what is safe to read in it: the one way to open one, see `opened_by`.

    Parameters
    ----------
    path : Path
        The file.
    error : type
        Kind of error that everything about this file is raised as.
    hint, lead : str
        What its messages end with: what to do; and what they begin with, after the file's name.
    user_block : int
        Bytes before the HDF5 content that the file may have: 512 for MATLAB's.

    Returns
    -------
    Hdf5File
        To be closed, or used as a context manager.

    Raises
    ------
    UvgenError
        Of the kind `error`: if the file is missing, not HDF5, or damaged.
    """
    return (_opener.get() or Hdf5File)(path, error, hint, lead, user_block)


def safe_dataset(file: "Hdf5File", name: str) -> "Hdf5Dataset":
    """A dataset of an open file, after every check: of the links to it, then of what it declares.

    Parameters
    ----------
    file : Hdf5File
        See `open_hdf5`.
    name : str
        Its name; groups on the way are separated by ``/``.

    Returns
    -------
    Hdf5Dataset

    Raises
    ------
    UvgenError
        Of the file's kind: if a link on the way is not a hard one, or the object is no dataset of plain numbers or
        strings of fixed length that lies in this file.
    """
    return file.dataset(name)


def _checked_dataset(file: "Hdf5File", name: str) -> "Hdf5Dataset":
    with file.guarded(name):
        if _checked_type(file, name) != h5o.TYPE_DATASET:
            raise file.refused(f"{name} is not a dataset, expected one")
        return Hdf5Dataset(file, name, h5d.open(file.id, name.encode()))


def _checked_type(file: "Hdf5File", name: str) -> int:
    """What an object is, each link to it checked before it is followed."""
    group = file.root
    *groups, last = name.split("/")
    for part in groups:
        _check_link(file, group, part)
        if h5o.get_info(group, part.encode()).type != h5o.TYPE_GROUP:
            raise file.refused(f"{name}: {part} is not a group")
        group = h5o.open(group, part.encode())
    _check_link(file, group, last)
    return int(h5o.get_info(group, last.encode()).type)


def _check_link(file: "Hdf5File", group: Any, part: str) -> None:
    """Before it is followed: a check of what was opened comes too late (CVE-2026-1669 in Keras)."""
    if part in ("", ".", "..") or "\0" in part:
        raise file.refused(f"{part!r}: not a name of a dataset")
    if not group.links.exists(part.encode()):
        raise file.refused(f"no dataset {part}")
    link = group.links.get_info(part.encode())
    if link.type != h5l.TYPE_HARD:
        names = {h5l.TYPE_SOFT: "soft", h5l.TYPE_EXTERNAL: "external"}
        raise file.refused(
            f"{part} is a link ({names.get(link.type, 'user-defined')}), expected a dataset of this file"
        )
    if not layout_classes(file.read_bytes, link.u + file.user_block) <= {COMPACT, CONTIGUOUS, CHUNKED}:
        raise file.refused(f"{part} is a virtual dataset, expected one that lies in this file")


class Hdf5File:
    """An HDF5 file that `open_hdf5` opened.

    Attributes
    ----------
    path : Path
        Where it is.
    id : h5py.h5f.FileID
        For this module.
    root : h5py.h5g.GroupID
        The group that everything is in, for this module.
    size : int
        Bytes of the file.
    """

    def __init__(self, path: Path, error: type[UvgenError], hint: str, lead: str, user_block: int = 0) -> None:
        self.path, self._error, self._hint, self._lead = path, error, hint, lead
        if not path.exists():
            raise self.refused("no such file")
        try:
            if not path.is_file():
                raise OSError("no regular file")
            # Samples are read whole and in any order: HDF5's chunk cache would copy each once more. The driver that
            # HDF5_DRIVER names may have no file that can be read beside it.
            self._file = h5py.File(path, "r", driver="sec2", rdcc_nbytes=0)
        except MemoryError:
            raise
        except Exception as error_:  # h5py raises many kinds on damaged files
            if isinstance(error_, OSError) and error_.errno in (errno.EMFILE, errno.ENFILE):  # the file is not at fault
                raise error(
                    f"{path}: cannot be opened, too many files are open; raise the limit (ulimit -n)"
                ) from error_
            refused = self.refused(f"cannot be read ({_reason(error_)})")
            if "truncated file" in str(error_):
                refused = error(f"{refused}; it is cut short: copy or download it again")
            raise refused from error_
        self.id = self._file.id
        with self.guarded("the file"):
            plist = self.id.get_create_plist()
            self.user_block = int(plist.get_userblock())
            if self.user_block not in (0, user_block):
                raise self.refused("has a user block, expected none")
            if (sizes := plist.get_sizes()) != (8, 8):
                raise self.refused(f"has offsets of {sizes[0]} and lengths of {sizes[1]} bytes, expected 8")
            # Windows has no preadv: there the bytes come through a file of their own
            self._descriptor = self.id.get_vfd_handle() if hasattr(os, "preadv") else None
            self.size = path.stat().st_size
            self.root = h5o.open(self.id, b"/")
        self._written = self._last_written()

    def __enter__(self) -> "Hdf5File":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; what was read stays."""
        self._descriptor = None
        self._file.close()

    def has_changed(self) -> bool:
        """Whether the open file was written to since it was opened; a new file of its name is another one."""
        now = self._last_written()
        return now is not None and self._written is not None and now[0] == self._written[0] and now != self._written

    def _last_written(self) -> tuple[tuple[int, int], int, int] | None:
        """Which file it is, its size and the time of its last change; None if that cannot be told."""
        try:
            stat = self.path.stat() if self._descriptor is None else os.fstat(self._descriptor)
        except OSError:
            return None
        return (stat.st_dev, stat.st_ino), stat.st_size, stat.st_mtime_ns

    def refused(self, what: str) -> UvgenError:
        """The error that says why the file is refused, to be raised."""
        return self._error(f"{self.path}: {self._lead}{brief(what)}{self._hint}")

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Raise whatever HDF5 and NumPy make of damage as an error that names the file."""
        try:
            yield
        except (UvgenError, MemoryError):
            raise
        except Exception as error:
            raise self.refused(f"{what} cannot be read ({_reason(error)})") from error

    @property
    def names(self) -> list[str]:
        """Names of the members, whatever they are; nothing is opened."""
        return self.members("")

    def is_group(self, name: str) -> bool:
        """Whether a member of the file, reached by hard links alone, is a group."""
        with self.guarded(name):
            return bool(_checked_type(self, name) == h5o.TYPE_GROUP)

    def members(self, name: str) -> list[str]:
        """Names of the members of a group, "" for the file's own; they are not opened."""
        if name and not self.is_group(name):
            raise self.refused(f"{name} is not a group, expected one")
        with self.guarded("the list of datasets"):
            group = h5o.open(self.id, name.encode() or b"/")
            if group.get_num_objs() > _MAX_MEMBERS:
                raise self.refused(f"has {group.get_num_objs()} members, expected {_MAX_MEMBERS} at most")
            names = list(h5py.Group(group))
            if odd := [member for member in names if printable(member) != member]:
                raise self.refused(f"has a member named {odd[0]!r}, expected names that can be printed")
            return names

    def dataset(self, name: str) -> "Hdf5Dataset":
        """See `safe_dataset`."""
        return _checked_dataset(self, name)

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The file's attributes: texts, numbers and small arrays of numbers."""
        with self.guarded("an attribute of the file"):
            return self.attributes_of(self.root, "the file")

    def attributes_of(self, owner: Any, what: str) -> dict[str, Any]:
        """The attributes of an object of this file, by its identifier, each checked before it is read."""
        with self.guarded(f"an attribute of {what}"):
            count = h5a.get_num_attrs(owner)
            if count > _MAX_ATTRIBUTES:
                raise self.refused(f"{what} has {count} attributes, expected {_MAX_ATTRIBUTES} at most")
            names: list[bytes] = []
            h5a.iterate(owner, lambda name, *_: names.append(name))
            return {name.decode(): self._attribute(owner, name, what) for name in names}

    def _attribute(self, owner: Any, name: bytes, what: str) -> Any:
        label = f"attribute {name.decode()} of {what}"
        found = h5a.open(owner, name)
        kind, space = found.get_type(), found.get_space()
        text_type = _string_type(self, kind, label)
        dtype = text_type or _number_type(self, kind, label)
        if space.get_simple_extent_type() not in (h5s.SCALAR, h5s.SIMPLE):
            raise self.refused(f"{label} is empty, expected a value")
        shape = space.get_simple_extent_dims()  # the attribute's own properties open its type and space anew
        count = math.prod(shape)
        if count > _MAX_ELEMENTS or count * dtype.itemsize > _MAX_TEXT:
            raise self.refused(f"{label} has {count} values, expected {_MAX_ELEMENTS} at most, of {_MAX_TEXT} bytes")
        value = np.empty(shape, dtype)
        found.read(value, kind)  # of the type that it has in the file: nothing is converted
        if text_type is None:
            value = value.view(np.uint8) != 0 if dtype == np.bool_ else value
            return value.tolist() if shape else value[()]
        padding = kind.get_strpad()
        texts = [_unpadded(text, padding).decode() for text in value.ravel().tolist()]
        return texts if shape else texts[0]

    def read_bytes(self, offset: int, n: int) -> bytes:
        """Some of the file's bytes; OSError if there are fewer."""
        if not 0 <= n <= self.size - offset:
            raise OSError(f"bytes {offset} to {offset + n} of {self.size}")
        buffer = np.empty(n, np.uint8)
        self.read_into(buffer, offset)
        return buffer.tobytes()

    def read_into(self, buffer: NDArray[Any], offset: int) -> None:
        """Fill a contiguous buffer with the file's bytes from an offset on; OSError if there are fewer."""
        view = memoryview(buffer.reshape(-1).view(np.uint8).data)
        if self._descriptor is None:
            with open(self.path, "rb") as file:
                file.seek(offset)
                read = file.readinto(view)
        else:
            read = os.preadv(self._descriptor, [view], offset)
            while 0 < read < len(view):  # Linux reads 2 GB at most
                more = os.preadv(self._descriptor, [view[read:]], offset + read)
                read = read + more if more else -1
        if read != len(view):
            raise OSError("the file is shorter than it was")


class Hdf5Dataset:
    """A dataset that `safe_dataset` has checked.

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

    def __init__(self, file: Hdf5File, name: str, dataset: Any) -> None:
        self._file, self.name, self._id = file, name, dataset
        kind = dataset.get_type()  # first: HDF5 also looks for a fill value of variable length, in the property list
        self.dtype = _string_type(file, kind, name) or _number_type(file, kind, name)
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
            if stored > self._file.size:
                raise self._refused(f"stores {stored} bytes, the file has {self._file.size}")
        elif stored != self.n_bytes:
            raise self._refused(f"stores {stored} bytes, its shape {self.shape} needs {self.n_bytes}")
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
            if not 0 < offset <= self._file.size - size:
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
            raise self._refused(f"of sample {row} cannot be read ({_reason(error)})") from error
        return out

    def _read_chunk(self, start: tuple[int, ...], out: NDArray[Any]) -> None:
        mask, offset, size = self._places[start]
        if not self._filters:
            self._file.read_into(out, offset)
            return
        used = [number for k, (number, *_) in enumerate(self._filters) if not mask >> k & 1]
        data: NDArray[Any] = np.empty(size, np.uint8)
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
            if self._layout == "compact" or self._file.user_block:  # whose places count from its end
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
            return out.view(np.uint8) != 0 if out.dtype == np.bool_ else out

    def read_range(self, start: int, stop: int) -> NDArray[Any]:
        """Elements `start` to `stop` of the first axis of a contiguous dataset; of another, cut from all of it."""
        with self._file.guarded(self.name):
            if not 0 <= start <= stop <= self.shape[0]:
                raise ValueError(f"elements {start} to {stop} of {self.shape[0]}")
            if self._offset is None:
                return self.read()[start:stop]
            out = np.empty((stop - start, *self.shape[1:]), self.dtype)
            self._file.read_into(out, self._offset + start * (self.n_bytes // max(self.shape[0], 1)))
            return out

    def map(self) -> NDArray[Any]:
        """All of it, mapped from the file if it lies there in one piece, and read otherwise; read-only."""
        if (offset := self.offset) is None or not self.n_bytes or self.dtype.kind not in "fiu":
            return self.read()
        with self._file.guarded(self.name):
            return np.memmap(self._file.path, mode="r", dtype=self.dtype, shape=self.shape, offset=offset)


def _string_type(file: Hdf5File, kind: Any, name: str) -> np.dtype[Any] | None:
    """Bytes of fixed length, or None for what is no string."""
    if kind.get_class() != h5t.STRING:
        return None
    if kind.is_variable_str():
        raise file.refused(
            f"{name} is text of variable length, expected a fixed one; was it made by an earlier uvgen? "
            "Make the file again"
        )
    return np.dtype(f"S{kind.get_size()}")


def _number_type(file: Hdf5File, kind: Any, name: str) -> np.dtype[Any]:
    """Plain numbers as NumPy has them, in either byte order, and h5py's bool; all else is refused."""
    plain = kind.get_class() in (h5t.INTEGER, h5t.FLOAT, h5t.ENUM)
    dtype: np.dtype[Any] | None = np.dtype(kind.dtype) if plain else None
    if dtype is None or dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype.itemsize != kind.get_size():
        raise file.refused(f"{name} holds {_CLASSES.get(kind.get_class(), 'an unknown type')}, expected plain numbers")
    if kind.get_class() == h5t.ENUM and dtype.kind != "b":
        dtype = np.dtype(dtype.str)  # without h5py's note of the names
    elif not kind.equal(_file_type(dtype)):
        raise file.refused(f"{name} holds numbers that NumPy does not have, expected plain ones")
    return dtype


@cache
def _file_type(dtype: np.dtype[Any]) -> Any:
    """HDF5's type of plain numbers: to make one takes as long as to read an attribute."""
    return h5t.py_create(dtype)


def _unpadded(text: bytes, padding: int) -> bytes:
    """A text of fixed length (NumPy has cut zeros off its end) without what fills it up."""
    if padding == h5t.STR_NULLTERM:
        return text.split(b"\0", 1)[0]
    return text.rstrip(b" ") if padding == h5t.STR_SPACEPAD else text


def _reason(error: Exception) -> str:
    """The message of an exception in one line, or its type if it has no message."""
    return " ".join(str(error).split())[:300] or type(error).__name__
