"""Atomic writes of files: readers never see a partial one. `drafts.py` makes whole folders."""

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from uvgen.errors import SCHEMES, DatasetError, OutputError, UvgenError
from uvgen.storage.names import os_reason
from uvgen.storage.reading import MAY_BE_DAMAGED, OUT_OF_REACH, SHORTAGES, let_go, open_regular, what_helps

TEMPORARY_PREFIX = ".uvgen-"
_TEMPORARY = re.compile(r"\.uvgen-tmp-[0-9a-f]{12}-.*", re.DOTALL)
_PROBE = "probe"
TRIES = 20  # at a new file: another process has to open it before it is locked, to take it for a leftover
_HASHED_AT_ONCE = 1 << 18
_MOST_UNSTATED = 1 << 28  # bytes that a file may have beyond those that it states


def move(old: Path, new: Path) -> None:
    """Rename a file or folder as `os.replace` does; an OSError that says so although it was done counts for nothing.

    A network's disk may do it and lose the answer: when it is asked again, the old name is gone.
    """
    moved = os.lstat(old)
    try:
        os.replace(old, new)
    except OSError:
        with suppress(OSError):
            if not os.path.lexists(old) and os.path.samestat(moved, os.lstat(new)):
                return
        raise


@contextmanager
def replaced_on_success(
    path: Path, *, folder: Path | None = None, flush: bool = True, make_folder: bool = True,
    place: Callable[[Path, Path], object] | None = None,
) -> Iterator[Path]:  # fmt: skip
    """Give a temporary name beside `path`; rename it to `path` if the body succeeds, remove it if not.

    The temporary file is locked while its process runs, so that `remove_leftovers` recognizes files of ended processes.

    Parameters
    ----------
    path : Path
        The file to make. An existing file is replaced atomically.
    folder : Path, optional
        Folder of the temporary file, on the same file system; by default that of `path`.
    flush : bool
        Whether to write the content to disk before the file is renamed, so that a crash of the machine leaves no empty
        file.
    make_folder : bool
        Whether to make the folder of `path` if it is missing. Pass False if it existed before: if it was removed since,
        that is an error.
    place : callable, optional
        Gives the file its name, in place of `move`: called with both names, it may raise in place of it.

    Yields
    ------
    Path
        The temporary name, hidden; an empty file.

    Raises
    ------
    DatasetError
        If the folder cannot be written or is full; it names the file.
    OSError
        Of the body, where it is about another file, such as one that it reads.
    """
    check_no_url(path)
    temporary, handle, in_body = None, -1, False
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary, handle = new_temporary(folder or path.parent, path.name)
        in_body = True
        yield temporary
        in_body = False
        if flush:
            os.fsync(handle)
        share_lock(handle)
        (place or move)(temporary, path)
        written, handle = handle, -1
        os.close(written)
    except OSError as error:
        if isinstance(error, UvgenError) or (in_body and names_another(error, temporary)):  # of what the body read
            raise
        moved = ": its folder was moved, removed or replaced" if error.errno == errno.ENOENT else ""
        helps = what_helps(error, "check free space, permissions")
        raise DatasetError(f"{path}: cannot be written ({os_reason(error)}{moved}); {helps}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):  # renamed
                temporary.unlink()
        if handle >= 0:
            let_go(handle)


def flush(path: Path) -> None:
    """Have a finished file on the disk before a journal lists it; DatasetError if it cannot be written there."""
    try:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    except OSError as error:
        helps = what_helps(error, "check free space, permissions")
        raise DatasetError(f"{path}: cannot be written ({os_reason(error)}); {helps}") from error


def names_another(error: OSError, place: Path | None) -> bool:
    """Whether an error is about other files than a place, or one in it. That of a full disk names no file at all."""
    names = [name for name in (error.filename, error.filename2) if isinstance(name, str | bytes | os.PathLike)]
    paths = [Path(os.path.abspath(os.fsdecode(name))) for name in names]
    return bool(paths) and not any(place and path.is_relative_to(os.path.abspath(place)) for path in paths)


def temporary_name(name: str) -> str:
    """A new name for the temporary file of a file. It ends in the name of that file."""
    return f"{TEMPORARY_PREFIX}tmp-{secrets.token_hex(6)}-{name[-50:]}"


def is_temporary(name: str) -> bool:
    """Whether a file has a name of `temporary_name`."""
    return _TEMPORARY.fullmatch(name) is not None


def new_temporary(folder: Path, name: str) -> tuple[Path, int]:
    """An empty file of a hidden name, and the descriptor that holds its lock."""
    path = folder / name
    for _ in range(TRIES):
        path = folder / temporary_name(name)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if lock_handle(handle, path):
            return path, handle
        let_go(handle)  # another process removed it as a leftover, before it was locked
        path.unlink(missing_ok=True)
    raise unlockable(path)


def delete(path: Path, cure: str = "check permissions") -> None:
    """Delete a file of ours, if it is there; DatasetError, which says what helps, if that cannot be done."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be removed ({os_reason(error)}); {cure}") from error


def unlockable(path: Path) -> OSError:
    """The error of new files or folders none of which could be locked, again and again."""
    why = "its disk shows what was just made as something else, or as locked by others"
    return OSError(errno.ENOLCK, why, os.fspath(path))


def folds_case(folder: Path) -> bool:
    """Whether the file system of a folder ignores letter case, as most disks of macOS do. The folder may be missing."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        path, handle = new_temporary(folder, "case")
    except OSError:  # the later write reports it
        return False
    try:
        return path.with_name(path.name.swapcase()).exists()
    finally:
        let_go(handle)
        path.unlink(missing_ok=True)


def share_lock(handle: int) -> None:
    """Share the lock of a temporary file before the file is renamed: a reader, such as HDF5, can then lock it too, but
    other processes do not remove it."""
    import fcntl

    with suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)


def lock_handle(handle: int, path: Path) -> bool:
    """Lock an open file or folder. Returns True if this process has the lock, or the file system has no locks.

    Returns False if another process has the lock, and if `path` is no longer that file: a process that removes a file
    locks it first.
    """
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except OSError:
        return False


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove temporary files that ended processes left in a folder: those that no process has locked.

    Parameters
    ----------
    folder : Path
        May be missing or read-only: then nothing happens.
    name : str
        Only those of this file.
    """
    with suppress(OSError):
        found = [entry.path for entry in os.scandir(folder) if _TEMPORARY.fullmatch(entry.name)]
        for path in found:
            if path.endswith(f"-{name[-50:]}") or not name:
                with suppress(OSError):
                    _remove_if_dead(Path(path))


def _remove_if_dead(path: Path) -> None:
    import fcntl

    flags = os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(path, os.O_RDWR | flags)  # NFS lets nobody lock what is open for reading alone
    except PermissionError:  # another user's
        handle = os.open(path, os.O_RDONLY | flags)
    try:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError if it is held, or there are no locks
            if os.path.samestat(os.fstat(handle), os.lstat(path)):
                path.unlink()
    finally:
        let_go(handle)


def check_folder(folder: Path, path: Path | None = None, *, may_be_full: bool = False) -> None:
    """Raise OutputError unless files, such as `path`, can be made in a folder; one that is missing would be made.

    If files in it are deleted first, its disk may be full.
    """
    check_no_url(folder)
    place = Path(os.path.abspath(folder))
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    code = 0
    if path is None and place == Path(os.path.abspath(folder)) and place.is_file():
        raise OutputError(f"{folder}: a file, expected a folder to make; choose another name")
    if not place.is_dir():
        code = errno.EEXIST if path is None and place == Path(os.path.abspath(folder)) else errno.ENOTDIR
    elif not os.access(place, os.W_OK | os.X_OK):
        read_only = hasattr(os, "statvfs") and os.statvfs(place).f_flag & os.ST_RDONLY
        code = errno.EROFS if read_only else errno.EACCES
    else:
        code = _refusal(place)
    if code and not (may_be_full and code in (errno.ENOSPC, errno.EDQUOT)):
        raise OutputError(f"{path or folder}: cannot be written ({os.strerror(code)}); choose another folder")


def check_no_url(path: Path) -> None:
    """Raise OutputError if a path was made of a URL by what takes none: no folder is to be called ``s3:``."""
    if scheme := next((part for part in path.parts if part.endswith(":") and part[:-1] in (*SCHEMES, "file")), None):
        raise OutputError(
            f"{scheme}//{'/'.join(path.parts[path.parts.index(scheme) + 1 :])}: a URL, expected a path on this "
            "machine; copy what is written to the store"
        )


def _refusal(folder: Path) -> int:
    """Why nothing can be made in a folder, 0 if something can: rights do not say it of root, nor of all disks."""
    _remove_dead_probes(folder)
    probe = folder / temporary_name(_PROBE)
    try:
        probe.mkdir()
    except OSError as error:
        return error.errno or errno.EIO
    with suppress(OSError):  # another process took it for a leftover
        probe.rmdir()
    return 0


def _remove_dead_probes(folder: Path) -> None:
    """Remove probes of killed processes; one of a living process has done what it was made for."""
    with suppress(OSError):
        for entry in [*os.scandir(folder)]:
            if _TEMPORARY.fullmatch(entry.name) and entry.name.endswith(f"-{_PROBE}"):
                with suppress(OSError):  # not an empty folder
                    Path(entry.path).rmdir()


def check_file(path: Path) -> None:
    """Raise OutputError unless a file can be made or replaced; remove what a killed process left of it."""
    if path.is_dir():
        raise OutputError(f"{path}: a folder, expected a file to write; choose another name")
    check_folder(path.absolute().parent, path)
    remove_leftovers(path.absolute().parent, path.name)


def same_content(path: Path, data: bytes) -> bool:
    """Whether a file holds these bytes already, and need not be written."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def is_same_file(path: Path, other: Path) -> bool:
    """Whether two names are of one file, as of any case where the disk ignores it; False if one of them is missing."""
    try:
        return path.samefile(other)
    except OSError:
        return False


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes.

    Parameters
    ----------
    path : Path
        File to read.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    OSError
        If it cannot be read, is no regular file, or has no end.
    """
    try:
        with open_regular(path) as file:
            return sha256_of(file)
    except OSError as error:
        error.filename = error.filename or str(path)  # which those of a read lack
        raise


def sha256_of(file: BinaryIO) -> str:
    """SHA-256 of what is left of an open regular file; OSError if that is far more than the file states.

    Files that the kernel makes up state no size: hashing one that gives what all addresses of a process hold would take
    hours.
    """
    digest, block = hashlib.sha256(), memoryview(bytearray(_HASHED_AT_ONCE))
    left = os.fstat(file.fileno()).st_size + _MOST_UNSTATED
    while n := file.readinto(block):  # type: ignore[attr-defined]  # a BufferedReader
        left -= n
        if left < 0:
            raise OSError(errno.EFBIG, "more bytes than it states", file.name)
        digest.update(block[:n])
    return digest.hexdigest()


def has_sha256(path: Path, sha256: str, *, most_bytes: int | None = None) -> bool:
    """Whether a regular file is there, can be read, has no more than `most_bytes`, and has this SHA-256.

    DatasetError if that cannot be known, such as with too many open files, or with a server that does not answer: it
    does not count as damaged. A disk that fails to read it (EIO), and a file system that is damaged, may be so there.
    """
    try:
        return (most_bytes is None or path.stat().st_size <= most_bytes) and sha256_file(path) == sha256
    except OSError as error:
        check_readable(path, error)
        return False


def check_readable(path: Path, error: OSError) -> None:
    """Raise DatasetError if an error at reading a file does not say that the file is damaged: see `has_sha256`."""
    if error.errno in SHORTAGES or error.errno in OUT_OF_REACH - MAY_BE_DAMAGED:
        raise DatasetError(f"{path}: cannot be read ({os_reason(error)}); {what_helps(error, '')}") from error
