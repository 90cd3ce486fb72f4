"""Reading HDF5 files that may come from anyone: nothing is followed, mapped or inflated before it was checked.

HDF5 can do much that a file of numbers has no use for: links and datasets that lie in other files, filters that are
loaded as plug-ins, types that hold pointers, sizes that are larger than what is stored. `open_hdf5` refuses all of it,
by looking at what a file declares before asking HDF5 to follow it. Samples' bytes are then read at the checked places
by `os.preadv`, not by HDF5. What remains is HDF5's own reading of the file's structure, of attributes and of small
datasets that are stored in it, all of fixed length: HDF5 2.0.0 may search forever for a text of variable length in a
damaged file. A fault in that cannot be caught here, see SECURITY.md, but in another process: `opened_by`.

This module and `uvgen.storage.hdf5_dataset`, and `uvgen.storage.hdf5` and `uvgen.shards.writer` for new files, are the
only ones that use h5py.
"""

import errno
import hashlib
import math
import os
import stat
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5l, h5o, h5s
from h5py._objects import phil
from numpy.typing import NDArray

from uvgen.errors import DatasetError, UvgenError
from uvgen.storage.hdf5_dataset import Hdf5Dataset, number_type, reason, string_type, unpadded
from uvgen.storage.hdf5_headers import CHUNKED, COMPACT, CONTIGUOUS, UNFILTERED_EDGE, layout_classes
from uvgen.storage.names import brief, printable

_MAX_MEMBERS, _MAX_ATTRIBUTES, _MAX_ELEMENTS, _MAX_TEXT = 1024, 256, 1024, 1 << 24
_LONGEST_NAME, _MOST_NAMES = 1024, 8  # bytes; of one dataset, in several groups
_FREE_CHUNKS, _LEAST_CHUNK = 1 << 16, 64  # their number in any file; bytes of each, in the mean, beyond that
_BLOCK = 1 << 20  # bytes that are hashed at once

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
    layouts = file.layouts_at(link.u + file.user_block)
    if UNFILTERED_EDGE in layouts:
        raise file.refused(
            f"{part} leaves chunks at its edge unfiltered, expected all as its filters say; h5repack stores it anew"
        )
    if not layouts <= {COMPACT, CONTIGUOUS, CHUNKED}:
        raise file.refused(f"{part} is a virtual dataset, expected one that lies in this file")


def _of_one_object(group: Any, names: list[str]) -> list[str]:
    """Two names that are hard links to one object; none if there are no two."""
    places = dict[int, str]()
    for name in names:
        link = group.links.get_info(name.encode())
        if link.type == h5l.TYPE_HARD and (other := places.setdefault(link.u, name)) != name:
            return [other, name]
    return []


def _repeated(names: list[str]) -> str:
    """A name that is there twice, so that it is not known which of the two is meant; "" if there is none."""
    return next((name for name, n in Counter(names).items() if n > 1), "")


_WITHOUT_LOCKS = {getattr(errno, name) for name in ("ENOLCK", "EOPNOTSUPP", "ENOTSUP") if hasattr(errno, name)}
_OPEN_WITHOUT = "locking flag"  # HDF5's words where this process has the file open in the other way


def _opened(path: Path) -> h5py.File:
    """A file, locked as HDF5 does; as it is on a file system without locks, which HDF5 knows by ENOSYS alone."""
    how: Any = {"driver": "sec2", "rdcc_nbytes": 0}
    try:
        return h5py.File(path, "r", **how)
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS and _OPEN_WITHOUT not in str(error):
            raise
        return h5py.File(path, "r", locking=False, **how)


def _let_go(file: h5py.File) -> None:
    """Close a file that was only read: an error of that counts for nothing, see `uvgen.storage.reading.let_go`.

    HDF5 cannot go on after one: it keeps the file as half closed, and the process dies when it closes it again on exit
    (seen with HDF5 2.0). So nothing that could fail is left to it: `dup2` closes what the descriptor meant before, and
    says nothing of errors. HDF5 has one descriptor for all that opened a file; the last of them takes it along.
    """
    with phil:
        if hasattr(os, "preadv") and file.id.valid and h5f.get_obj_count(file.id, h5f.OBJ_FILE) == 1:
            with suppress(OSError), open(os.devnull, "rb") as nothing:
                os.dup2(nothing.fileno(), file.id.get_vfd_handle(), inheritable=False)
        file.close()


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
    state : tuple or None
        Which file it is, its size and the time of its last change, as it was opened; None if that cannot be told.
    """

    def __init__(self, path: Path, error: type[UvgenError], hint: str, lead: str, user_block: int = 0) -> None:
        self.path, self._error, self._hint, self._lead = path, error, hint, lead
        self._attributes_seen, self._attribute_bytes = set[tuple[str, bytes]](), 0
        self._layouts, self._header_bytes = dict[int, set[int]](), 0  # of objects, by their addresses
        self._stored, self._chunks = dict[int, int](), dict[int, tuple[int, int]]()  # of datasets, by their addresses
        self._names = dict[int, set[str]]()  # by which datasets were read
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise OSError("no regular file")
            # Samples are read whole and in any order: HDF5's chunk cache would copy each once more. The driver that
            # HDF5_DRIVER names may have no file that can be read beside it.
            self._file = _opened(path)
        except MemoryError:
            raise
        except (FileNotFoundError, NotADirectoryError) as error_:
            raise self.refused("no such file") from error_
        except Exception as error_:  # h5py raises many kinds on damaged files
            if isinstance(error_, OSError) and error_.errno in (errno.EMFILE, errno.ENFILE):  # the file is not at fault
                raise error(
                    f"{path}: cannot be opened, too many files are open; raise the limit (ulimit -n)"
                ) from error_
            refused = self.refused(f"cannot be read ({reason(error_)})")
            if "truncated file" in str(error_):
                refused = error(f"{refused}; it is cut short: copy or download it again")
            raise refused from error_
        self._let_go = weakref.finalize(self, _let_go, self._file)  # also of those that nobody closes, at exit too
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
            self.size = (path.stat() if self._descriptor is None else os.fstat(self._descriptor)).st_size
            self.root = h5o.open(self.id, b"/")
        self.state = self._last_written()

    def __enter__(self) -> "Hdf5File":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; what was read stays."""
        self._descriptor = None
        self._let_go()

    def has_changed(self) -> bool:
        """Whether the open file was written to since it was opened; a new file of its name is another one."""
        now = self._last_written()
        return now is not None and self.state is not None and now[0] == self.state[0] and now != self.state

    def sha256(self) -> str | None:
        """Of the open file as it is now, whatever has its name; None if another process has it open."""
        if self._descriptor is None:
            return None
        digest, place = hashlib.sha256(), 0
        with self.guarded("the file"):
            while block := os.pread(self._descriptor, _BLOCK, place):  # HDF5 may count on the descriptor's own place
                digest.update(block)
                place += len(block)
        return digest.hexdigest()

    def _last_written(self) -> tuple[tuple[int, int], int, int] | None:
        """Which file it is, its size and the time of its last change; None if that cannot be told."""
        try:
            status = self.path.stat() if self._descriptor is None else os.fstat(self._descriptor)
        except OSError:
            return None
        return (status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns

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
            raise self.refused(f"{what} cannot be read ({reason(error)})") from error

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
            names = list[str]()

            def take(name: bytes) -> int | None:  # one after the other: entries may share a name of megabytes
                if len(name) > _LONGEST_NAME:
                    return len(name)
                names.append(name.decode("utf-8", "surrogateescape"))
                return None

            longest, _ = group.links.iterate(take)
            if longest is not None:
                raise self.refused(f"has a name of {longest} bytes, expected {_LONGEST_NAME} at most")
            if odd := [member for member in names if printable(member) != member]:
                raise self.refused(f"has a member named {odd[0]!r}, expected names that can be printed")
            if twice := _repeated(names):
                raise self.refused(f"has {twice} twice, expected it once")
            if of_one := _of_one_object(group, names):  # each name would be read, and unpacked, anew
                raise self.refused(f"has {' and '.join(of_one)} for one dataset, expected a name for each")
            return names

    def safe_dataset(self, name: str) -> Hdf5Dataset:
        """A dataset, after every check: of the links to it, then of what it declares.

        Parameters
        ----------
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
        with self.guarded(name):
            if _checked_type(self, name) != h5o.TYPE_DATASET:
                raise self.refused(f"{name} is not a dataset, expected one")
            return Hdf5Dataset(self, name, h5d.open(self.id, name.encode()))

    def layouts_at(self, address: int) -> set[int]:
        """`layout_classes` of an object of this file; ValueError also if headers have more bytes than the file: their
        blocks lie over each other."""

        def read(offset: int, n: int) -> bytes:
            self._header_bytes += n
            if self._header_bytes > (most := max(self.size, _MAX_TEXT)):
                raise ValueError(f"headers of more than {most} bytes, expected the file's size at most")
            return self.read_bytes(offset, n)

        if address not in self._layouts:
            self._layouts[address] = layout_classes(read, address, self.user_block)
        return self._layouts[address]

    def check_stored(self, dataset: Any, name: str, n_bytes: int) -> None:
        """Raise an error of the file's kind if it has fewer bytes than its datasets store, this one among them: their
        headers are their own, but may all say that they lie at one place. Likewise if it was read by many names."""
        address = h5o.get_info(dataset).addr
        names = self._names.setdefault(address, set())
        names.add(name)
        if len(names) > _MOST_NAMES:  # each is read, and unpacked, anew; statismo's groups may share a few
            raise self.refused(f"has {', '.join(sorted(names)[:2])} … for one dataset, expected a name for each")
        self._stored[address] = n_bytes
        if (total := sum(self._stored.values())) > self.size:
            stores = f"{name} stores {n_bytes} bytes"
            stores += f", after others of {total - n_bytes}" if total > n_bytes else ""
            raise self.refused(f"{stores}, the file has {self.size}")

    def check_chunks(self, dataset: Any, name: str, n_chunks: int, n_bytes: int) -> None:
        """Raise an error of the file's kind if its datasets, this one among them, have many small chunks: each takes
        some hundred bytes and a read."""
        self._chunks[h5o.get_info(dataset).addr] = n_chunks, n_bytes
        total, of_bytes = map(sum, zip(*self._chunks.values(), strict=True))
        if total > max(_FREE_CHUNKS, self.size // _LEAST_CHUNK, of_bytes // _LEAST_CHUNK):
            what = f"{name} has {n_chunks} chunks for {n_bytes} bytes"
            what += f", after others of {total - n_chunks}" if total > n_chunks else ""
            raise self.refused(
                f"{what}, expected {_LEAST_CHUNK} bytes or more in each; h5repack -l CONTI stores it in one piece"
            )

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
            if twice := _repeated([name.decode() for name in names]):
                raise self.refused(f"{what} has an attribute {printable(twice)} twice, expected it once")
            return {name.decode(): self._attribute(owner, name, what) for name in names}

    def _attribute(self, owner: Any, name: bytes, what: str) -> Any:
        label = f"attribute {name.decode()} of {what}"
        found = h5a.open(owner, name)
        kind, space = found.get_type(), found.get_space()
        text_type = string_type(self, kind, label)
        dtype = text_type or number_type(self, kind, label)
        if space.get_simple_extent_type() not in (h5s.SCALAR, h5s.SIMPLE):
            raise self.refused(f"{label} is empty, expected a value")
        shape = space.get_simple_extent_dims()  # the attribute's own properties open its type and space anew
        count = math.prod(shape)
        if count > _MAX_ELEMENTS or count * dtype.itemsize > _MAX_TEXT:
            raise self.refused(f"{label} has {count} values, expected {_MAX_ELEMENTS} at most, of {_MAX_TEXT} bytes")
        if (what, name) not in self._attributes_seen:
            self._attributes_seen.add((what, name))
            self._attribute_bytes += len(name) + count * dtype.itemsize
        if self._attribute_bytes > (most := max(self.size, _MAX_TEXT)):  # HDF5 may store one for many datasets
            raise self.refused(f"its attributes have more than {most} bytes, expected the file's size at most")
        value = np.empty(shape, dtype)
        found.read(value, kind)  # of the type that it has in the file: nothing is converted
        if text_type is None:
            value = value.view(np.uint8) != 0 if dtype == np.bool_ else value
            return value.tolist() if shape else value[()]
        padding = kind.get_strpad()
        texts = [unpadded(text, padding).decode() for text in value.ravel().tolist()]
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
