"""A bounded cache of files from object stores: by the SHA-256 of their content, safe for several processes.

A file has its hash as its name. It is verified when it is fetched; its time then gets a mark, which lasts until the
file is written to. One without the mark is verified again before it is used: a hash takes 0.9 s per GB, too long for
each process. Files that were not used for longest are deleted where the limit is reached; a process that has one open
goes on reading it.
"""

import errno
import os
import shutil
import stat
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from uvgen.errors import DatasetError, UvgenError
from uvgen.storage.cache import cache_folder
from uvgen.storage.files import has_sha256, is_temporary, new_temporary, remove_leftovers
from uvgen.storage.locks import locked_file
from uvgen.storage.names import brief, is_sha256, os_reason
from uvgen.storage.objects import fetch, stored_size
from uvgen.storage.reading import let_go, read_file
from uvgen.storage.transfers import patience_s

_DEFAULT_BYTES = 50e9
_LOOKS = 16  # at the whole folder, while as many bytes are fetched as the cache holds
_HELD = ".lock-room"  # says how many bytes the cache holds
_LONGEST_NOTE = 18  # digits of it
_ROOM_S = 10.0  # making room takes a moment, if the process that does it is not stopped
_SECOND = 10**9  # ns
_LARGE = 1 << 30  # bytes; few shards have more
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


def cache_limit(folder: Path, held: int | None = None) -> float:
    """Bytes that the cache may take: ``UVGEN_STORE_CACHE_GB``, or 50 GB, but at most half of what could be free.

    `held` is what its files have; without it, they are listed.
    """
    with suppress(ValueError):
        if (stated := float(os.environ.get("UVGEN_STORE_CACHE_GB", ""))) > 0:
            return stated * 1e9
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return _DEFAULT_BYTES
    held = sum(size for _, size, _ in _files(folder)) if held is None else held
    return min(_DEFAULT_BYTES, (free + held) / 2)


def objects_folder() -> Path:
    """Where the cached files are."""
    return cache_folder() / "objects"


def cached(sha256: str, suffix: str) -> Path:
    """Where a file of this content is, or would be; ValueError for what is no hash: it may be another file's path."""
    if not is_sha256(sha256):
        raise ValueError(f"the hash {brief(sha256)!r}, expected 64 hexadecimal digits")
    return objects_folder() / f"{sha256}{suffix}"


def is_cached(sha256: str, suffix: str, size: int) -> bool:
    """Whether it is there, and has that content; that counts as a use.

    What changed on the disk without a write, in size or time, is not noticed.
    """
    path = cached(sha256, suffix)
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            return False
        version = os.fspath(path), status.st_ino, status.st_mtime_ns
        if status.st_mtime_ns % _SECOND != _mark(sha256) and version not in _verified:
            if not has_sha256(path, sha256):
                return False
            _verified.add(version)  # in case that it cannot be marked
            if path.lstat().st_mtime_ns != status.st_mtime_ns:  # written to meanwhile
                return False
    except OSError:
        return False
    with suppress(OSError):  # a read-only cache, or another user's
        _use(path, sha256)
    return True


_verified: set[tuple[str, int, int]] = set()  # path, inode and time of files of a cache that cannot be written


def _mark(sha256: str) -> int:
    """Nanoseconds of the time of a file that was verified: whole microseconds, which most file systems keep."""
    return 1000 * (1 + int(sha256[:8], 16) % 999_999)


def _use(path: Path, sha256: str) -> None:
    """Say that a verified file was used just now, by the time of access alone once it has its mark.

    Who has it open takes another time of its last change for a write, and hashes it again.
    """
    now, written = time.time_ns(), path.stat().st_mtime_ns
    if written % _SECOND != _mark(sha256):
        written = now // _SECOND * _SECOND + _mark(sha256)
    os.utime(path, ns=(now, written))


def _used(status: os.stat_result) -> int:
    """When a file was last used: also where the disk keeps no time of access."""
    return max(status.st_atime_ns, status.st_mtime_ns)


def cached_file(place: Path, sha256: str, size: int) -> Path:
    """A file of a store, from the cache, where it is put first if it is not there.

    Parameters
    ----------
    place : Path
        Its place in the store's mirror.
    sha256, size : str, int
        What it is known to have.

    Raises
    ------
    DatasetError
        If it cannot be fetched, has another content in the store, or the disk is full.
    """
    path = cached(sha256, place.suffix)
    if is_cached(sha256, place.suffix, size):
        return path
    try:
        with _alone(sha256[:3], patience_s()):  # not alone, it is fetched twice, which does no harm
            if not is_cached(sha256, place.suffix, size):  # another process may have fetched it meanwhile
                if size > _LARGE:  # before others make room for it, and as many parts of it are listed
                    _check_size(place, size)
                make_room(size)
                try:
                    fetch(place, path, sha256=sha256, size=size)
                except DatasetError as error:
                    if not _is_full(error) or not make_room(size, of=0):
                        raise
                    fetch(place, path, sha256=sha256, size=size)
                with suppress(OSError):
                    _use(path, sha256)
                make_room(0, added=size, besides=path)  # others were fetched at the same time
    except OSError as error:
        if isinstance(error, DatasetError) and not _is_full(error):
            raise
        raise _unwritable(path, error) from error
    return path


def _check_size(place: Path, size: int) -> None:
    """Raise DatasetError unless a file of a store has as many bytes as an index says."""
    if (found := stored_size(place)) != size:
        raise DatasetError(f"{place}: {found} bytes in the store, expected {size}; damaged or changed in the store?")


def _is_full(error: BaseException) -> bool:
    """Whether a disk of this machine is full."""
    return getattr(error.__cause__ if isinstance(error, DatasetError) else error, "errno", None) in _FULL


class Draft:
    """A new file in the cache's folder, under a temporary name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: Path | None = None
        self._sha256 = ""

    def keep(self, sha256: str, suffix: str, size: int) -> None:
        """Take it into the cache in the end, so that it need not be fetched; if there is no room, it is not."""
        make_room(size)
        self._kept, self._sha256 = cached(sha256, suffix), sha256

    def close(self) -> None:
        """Remove the temporary name."""
        with suppress(OSError):
            if self._kept is not None:
                os.link(self.path, self._kept)
                _use(self._kept, self._sha256)
                make_room(0, added=self._kept.stat().st_size, besides=self._kept)
        with suppress(OSError):
            self.path.unlink()


@contextmanager
def draft(name: str) -> Iterator[Draft]:
    """A new file in the cache's folder, which is removed afterward, or kept as one that was fetched.

    Parameters
    ----------
    name : str
        What it is to become.

    Raises
    ------
    DatasetError
        If it cannot be written.
    """
    place = objects_folder() / name
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        path, handle = new_temporary(place.parent, name)
        found = Draft(path)
        try:
            yield found
        finally:
            let_go(handle)  # first: HDF5 opens no file that another process has locked
            found.close()
    except OSError as error:
        if isinstance(error, UvgenError) and not _is_full(error):
            raise
        raise _unwritable(place, error) from error


def forget(sha256: str, suffix: str) -> bool:
    """Delete a file from the cache, so that the next use fetches it again; False if it cannot be deleted."""
    path = cached(sha256, suffix)
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError as error:
        return isinstance(error, FileNotFoundError)  # another process has deleted it
    with suppress(OSError):
        make_room(0, added=-size)
    return True


@dataclass(slots=True)
class _Look:
    """What this process saw when it last listed the cache."""

    oldest: deque[tuple[int, int, str]]  # files, those first that were not used for longest
    left: float  # bytes that may be added until it looks again


_looks: dict[str, _Look] = {}  # by folder


def make_room(size: int, *, added: int = 0, of: float | None = None, besides: Path | None = None) -> bool:
    """Delete what was not used for longest until `size` more bytes are within the limit, or `of` bytes; whether any.

    The folder is not listed for each file, which would take a time that grows with the square of their number. How many
    bytes it holds stands in the lock's file; a process looks itself when it begins, and now and then, as files may also
    have been deleted by hand.

    Parameters
    ----------
    size : int
        Bytes that are to come.
    added : int
        Bytes that have come since the last call.
    of : float, optional
        The limit, if it is not the cache's.
    besides : Path, optional
        A file that is not deleted.
    """
    folder, deleted = objects_folder(), False
    with _alone("room", _ROOM_S) as is_alone:
        if not is_alone:
            return False
        look, held = _looks.get(os.fspath(folder)), _noted(folder)
        fresh = look is None or held is None or look.left <= 0
        if look is None or held is None or fresh:
            look, held = _look_at(folder)
        else:
            held, look.left = held + added, look.left - added
        limit = cache_limit(folder, held) if of is None else of
        while held + size > limit:
            if not look.oldest:
                if fresh:
                    break
                (look, held), fresh = _look_at(folder), True
                continue
            used, bytes_of, path = look.oldest.popleft()
            with suppress(OSError):  # another process has deleted it
                if _used(os.stat(path)) == used and (besides is None or path != os.fspath(besides)):
                    Path(path).unlink()
                    deleted, held = True, held - bytes_of
        _note(folder, held)
    return deleted


def _look_at(folder: Path) -> tuple[_Look, int]:
    """List the folder, and remove what killed processes left in it; also the bytes of its files."""
    remove_leftovers(folder)
    files = sorted(_files(folder))
    held = sum(size for _, size, _ in files)
    look = _looks[os.fspath(folder)] = _Look(deque(files), cache_limit(folder, held) / _LOOKS)
    return look, held


def _noted(folder: Path) -> int | None:
    """How many bytes the cache holds, as processes have noted it; None if that is not known."""
    with suppress(OSError, ValueError):
        return max(int(read_file(folder / _HELD, _LONGEST_NOTE)), 0)
    return None


def _note(folder: Path, held: int) -> None:
    with suppress(OSError):  # on a full disk it is empty then, and the next process looks itself
        handle = os.open(folder / _HELD, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        with open(handle, "w", encoding="ascii") as file:
            file.write(str(held))


def _files(folder: Path) -> list[tuple[int, int, str]]:
    """Time of the last use, size and path of each cached file."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    found.append((_used(status), status.st_size, entry.path))
    return found


@contextmanager
def _alone(name: str, most_s: float) -> Iterator[bool]:
    """Do something in one process and thread at a time; others wait, as long as files that are fetched grow.

    Yields
    ------
    bool
        False if nothing grew for `most_s` seconds while another process held the lock: it is stopped, perhaps.
    """
    folder, is_alone = objects_folder(), False
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        grown = None
        while not is_alone:
            try:
                stack.enter_context(locked_file(folder / f".lock-{name}", most_s=most_s))
                is_alone = True
            except BlockingIOError:
                if grown == (grown := _grown(folder)):
                    break
        yield is_alone


def _grown(folder: Path) -> list[tuple[str, int, int]]:
    """How far the files are that are being fetched."""
    found = []
    for entry in os.scandir(folder):
        if is_temporary(entry.name):
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                found.append((entry.name, status.st_size, status.st_mtime_ns))
    return sorted(found)


def _unwritable(path: Path, error: BaseException) -> DatasetError:
    cause = error.__cause__ if isinstance(error, DatasetError) else error
    error = cause if isinstance(cause, OSError) else OSError(str(error))
    what = "is full" if error.errno in _FULL else f"cannot be written ({os_reason(error)})"
    return DatasetError(
        f"{path.parent}: {what}, expected room for what comes from and goes to the store; free some, or set "
        "UVGEN_CACHE to another folder"
    )
