"""Atomic writes of files and folders: readers never see a partial one."""

import errno
import hashlib
import hmac
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from uvgen.errors import SCHEMES, DatasetError, OutputError, UvgenError
from uvgen.storage.cache import cache_folder
from uvgen.storage.contents import discard
from uvgen.storage.reading import open_regular

TEMPORARY_PREFIX = ".uvgen-"
_TEMPORARY = re.compile(r"\.uvgen-tmp-[0-9a-f]{12}-.*", re.DOTALL)
_PROBE = "probe"


@contextmanager
def replaced_on_success(
    path: Path, *, folder: Path | None = None, flush: bool = True, make_folder: bool = True
) -> Iterator[Path]:
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
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error, UvgenError) or (in_body and _names_another(error, temporary)):  # of what the body read
            raise
        moved = ": its folder was moved, removed or replaced" if error.errno == errno.ENOENT else ""
        raise DatasetError(
            f"{path}: cannot be written ({error.strerror or error}{moved}); check free space, permissions"
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):  # renamed
                temporary.unlink()
            os.close(handle)


def _names_another(error: OSError, place: Path | None) -> bool:
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
    while True:
        path = folder / temporary_name(name)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if lock_handle(handle, path):
            return path, handle
        os.close(handle)  # another process removed it as a leftover, before it was locked


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
        os.close(handle)
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

    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError if it is held, or there are no locks
            if os.path.samestat(os.fstat(handle), os.lstat(path)):
                path.unlink()
    finally:
        os.close(handle)


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


def draft_of(folder: Path) -> Path:
    """Where `folder_on_success` makes a folder: beside it, hidden, under the same name in each run of this user.

    The name ends in a code that only this user's uvgen knows: a folder or a link that came from elsewhere, such as an
    unpacked archive, is never taken for a draft.
    """
    target = Path(os.path.realpath(folder))
    code = hmac.new(_secret(), os.fsencode(target), "sha256").hexdigest()[:16]
    return target.with_name(f"{TEMPORARY_PREFIX}{os.fsdecode(os.fsencode(target.name)[-120:])}-{code}")


def other_drafts(folder: Path) -> list[Path]:
    """Folders beside one that have the names of its drafts, were it at another path or another user's.

    A run that was interrupted before its folder was moved does not go on: such a draft is left for people to delete.
    """
    own = draft_of(folder)
    draft = re.compile(re.escape(own.name[:-16]) + "[0-9a-f]{16}")
    with suppress(OSError):
        names = sorted(name for name in os.listdir(own.parent) if draft.fullmatch(name) and name != own.name)
        return [path for name in names if (path := own.parent / name).is_dir() and not path.is_symlink()]
    return []


@cache
def _secret() -> bytes:
    """A number that is made once and kept in the user's cache folder; if that cannot be written, the machine's."""
    path = cache_folder() / "secret"
    with suppress(OSError):
        if path.exists() and path.stat().st_size != 32:  # cut short by a power failure
            path.unlink()
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(temporary_name(path.name))
            temporary.touch(mode=0o600, exist_ok=False)
            try:
                temporary.write_bytes(secrets.token_bytes(32))
                with suppress(FileExistsError):  # another process was faster
                    os.link(temporary, path)
            finally:
                temporary.unlink()
        found = path.read_bytes()
        if len(found) == 32:
            return found
    with suppress(OSError):  # the same until the machine is started anew
        return Path("/proc/sys/kernel/random/boot_id").read_bytes() + str(os.getuid()).encode()
    return secrets.token_bytes(32)


def check_new_folder(folder: Path) -> None:
    """Raise OutputError unless a folder can be made: it is missing or empty, and no mount point."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise OutputError(f"{folder}: exists and is not empty, expected a new folder; choose another, or remove it")
    if os.path.ismount(folder):
        raise OutputError(f"{folder}: is a mount point, expected a folder that can be replaced; choose one in it")


@contextmanager
def folder_on_success(folder: Path) -> Iterator[Path]:
    """Give a draft of a folder (`draft_of`); rename it to `folder` if the body succeeds.

    What a killed or interrupted run left in the draft is kept, so that the next run can finish it; after any other
    failure the draft is removed. Hold a lock around this, so that no other process works on the draft.

    Parameters
    ----------
    folder : Path
        The folder to make. One that is empty is replaced.

    Yields
    ------
    Path
        The draft, hidden; it exists.

    Raises
    ------
    OutputError
        If the folder exists and is not empty.
    DatasetError
        If it cannot be written, or the disk is full.
    OSError
        Of the body, where it is about files outside of the draft.
    """
    check_no_url(folder)
    draft = draft_of(folder)
    try:
        check_new_folder(folder)
    except UvgenError:  # made meanwhile, by another command
        with suppress(OSError):
            draft.rmdir()  # whoever holds the lock has made it; what a killed run left stays
        raise
    in_body = False
    try:
        if draft.is_symlink():  # what it leads to is not ours
            draft.unlink()
        draft.mkdir(parents=True, exist_ok=True)
        made = os.lstat(draft)
        in_body = True
        yield draft
        in_body = False
        if not os.path.samestat(made, os.lstat(draft)):  # a link, or another folder: whose files are in it?
            raise DatasetError(f"{draft}: was moved or replaced while it was written; run the command again")
        os.replace(draft, os.path.realpath(folder))
    except OSError as error:
        discard(draft, TEMPORARY_PREFIX)
        if isinstance(error, UvgenError) or (in_body and _names_another(error, draft)):
            raise
        raise DatasetError(
            f"{folder}: cannot be written ({error.strerror or error}); check free space, permissions"
        ) from error
    except Exception:
        discard(draft, TEMPORARY_PREFIX)
        raise
    except BaseException:
        with suppress(OSError):
            draft.rmdir()  # if it is empty: there is nothing to go on with
        raise


def beside(folder: Path) -> Path:
    """If a folder is put that is to replace another one, hidden beside it, until `exchange` does."""
    return draft_of(folder).with_name(f"{draft_of(folder).name}-new")


def exchange(new: Path, folder: Path) -> None:
    """Put a finished folder in the place of an older one, which is removed."""
    away, place = draft_of(folder), Path(os.path.realpath(folder))
    shutil.rmtree(away, ignore_errors=True)
    os.replace(place, away)
    try:
        os.replace(new, place)
    except OSError:
        os.replace(away, place)
        raise
    shutil.rmtree(away, ignore_errors=True)


def same_content(path: Path, data: bytes) -> bool:
    """Whether a file holds these bytes already, and need not be written."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
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
        If it cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto


def has_sha256(path: Path, sha256: str, *, most_bytes: int | None = None) -> bool:
    """Whether a regular file is there, can be read, has no more than `most_bytes`, and has this SHA-256."""
    try:
        return (most_bytes is None or path.stat().st_size <= most_bytes) and sha256_file(path) == sha256
    except OSError:
        return False
