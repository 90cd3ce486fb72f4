"""A bounded cache of files from object stores: by the SHA-256 of their content, safe for several processes.

A file is verified once, when it is fetched, and then has its hash as its name. Those that were not used for longest are
deleted where the limit is reached; a process that has one open goes on reading it.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from uvgen.errors import DatasetError, UvgenError
from uvgen.storage.cache import cache_folder
from uvgen.storage.files import new_temporary, remove_leftovers
from uvgen.storage.locks import locked
from uvgen.storage.objects import fetch

_DEFAULT_BYTES = 50e9
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


def cache_limit(folder: Path) -> float:
    """Bytes that the cache may take: ``UVGEN_STORE_CACHE_GB``, or 50 GB, but at most half of what could be free."""
    with suppress(ValueError):
        if (stated := float(os.environ.get("UVGEN_STORE_CACHE_GB", ""))) > 0:
            return stated * 1e9
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return _DEFAULT_BYTES
    return min(_DEFAULT_BYTES, (free + sum(size for _, size, _ in _files(folder))) / 2)


def objects_folder() -> Path:
    """Where the cached files are."""
    return cache_folder() / "objects"


def cached(sha256: str, suffix: str) -> Path:
    """Where a file of this content is, or would be."""
    return objects_folder() / f"{sha256}{suffix}"


def is_cached(sha256: str, suffix: str, size: int) -> bool:
    """Whether it is there; that counts as a use."""
    path = cached(sha256, suffix)
    try:
        if path.stat().st_size != size:
            return False
        os.utime(path)
    except OSError:
        return False
    return True


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
        Where it cannot be fetched, has another content in the store, or the disk is full.
    """
    path = cached(sha256, place.suffix)
    if is_cached(sha256, place.suffix, size):
        return path
    try:
        with _alone(sha256[:3]):
            if not is_cached(sha256, place.suffix, size):  # another process may have fetched it meanwhile
                make_room(size)
                try:
                    fetch(place, path, sha256=sha256, size=size)
                except DatasetError as error:
                    if not _is_full(error) or not make_room(size, of=0):
                        raise
                    fetch(place, path, sha256=sha256, size=size)
                make_room(0, besides=path)  # others were fetched at the same time
    except OSError as error:
        if isinstance(error, DatasetError) and not _is_full(error):
            raise
        raise _unwritable(path, error) from error
    return path


def _is_full(error: BaseException) -> bool:
    """Whether a disk of this machine is full."""
    return getattr(error.__cause__ if isinstance(error, DatasetError) else error, "errno", None) in _FULL


class Draft:
    """A new file in the cache's folder, under a temporary name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: Path | None = None

    def keep(self, sha256: str, suffix: str, size: int) -> None:
        """Take it into the cache in the end, so that it need not be fetched; where there is no room, it is not."""
        make_room(size)
        self._kept = cached(sha256, suffix)

    def close(self) -> None:
        """Remove the temporary name."""
        with suppress(OSError):
            if self._kept is not None:
                os.link(self.path, self._kept)
        with suppress(OSError):
            self.path.unlink()


@contextmanager
def draft(name: str) -> Iterator[Draft]:
    """A new file in the cache's folder, which is removed afterwards, or kept as one that was fetched.

    Parameters
    ----------
    name : str
        What it is to become.

    Raises
    ------
    DatasetError
        Where it cannot be written.
    """
    place = objects_folder() / name
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        path, handle = new_temporary(place.parent, name)
        found = Draft(path)
        try:
            yield found
        finally:
            os.close(handle)  # first: HDF5 opens no file that another process has locked
            found.close()
    except OSError as error:
        if isinstance(error, UvgenError) and not _is_full(error):
            raise
        raise _unwritable(place, error) from error


def forget(sha256: str, suffix: str) -> None:
    """Delete a file from the cache: the next use fetches it again."""
    with suppress(OSError):
        cached(sha256, suffix).unlink()


def make_room(size: int, *, of: float | None = None, besides: Path | None = None) -> bool:
    """Delete what was not used for longest until `size` more bytes are within the limit, or `of` bytes; whether any.

    A single file, `besides`, is never deleted.
    """
    folder = objects_folder()
    remove_leftovers(folder)
    limit = cache_limit(folder) if of is None else of
    with _alone("room"):
        files = sorted(_files(folder))
        total, deleted = sum(held for _, held, _ in files), False
        for _, held, path in files:
            if total + size <= limit:
                break
            if besides is not None and path == os.fspath(besides):
                continue
            with suppress(OSError):
                Path(path).unlink()
                deleted = True
            total -= held
    return deleted


class _DoneError(Exception):
    """Ends a draft without putting it into place."""


def _files(folder: Path) -> list[tuple[int, int, str]]:
    """Time of the last use, size and path of each cached file."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime_ns, status.st_size, entry.path))
    return found


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Do something in one process and thread at a time: others wait."""
    folder = objects_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".lock-{name}"
    path.touch(exist_ok=True)
    with locked(path, wait=True):
        yield


def _unwritable(path: Path, error: BaseException) -> DatasetError:
    cause = error.__cause__ if isinstance(error, DatasetError) else error
    error = cause if isinstance(cause, OSError) else OSError(str(error))
    what = "is full" if error.errno in _FULL else f"cannot be written ({error.strerror or error})"
    return DatasetError(
        f"{path.parent}: {what}, expected room for what comes from and goes to the store; free some, or set "
        "UVGEN_CACHE to another folder"
    )
