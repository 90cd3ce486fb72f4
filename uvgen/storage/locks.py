"""One process at a time: a lock on a folder or a file, released when its process ends, even if it is killed."""

import errno
import hashlib
import math
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from uvgen.errors import MIRROR, BusyError, DatasetError, OutputError
from uvgen.storage.files import TRIES, lock_handle, remove_leftovers, unlockable
from uvgen.storage.names import os_reason
from uvgen.storage.reading import irregular, let_go

_PAUSE_S = 0.05  # between looks at a lock that is waited for
_MACHINE = hashlib.sha256(os.fsencode(platform.node())).hexdigest()[:8]
_SCRATCH = f"uvgen-run-{_MACHINE}-"  # TMPDIR may be one of several machines, on a disk that locks for each alone
_SCRATCH_FILE = re.compile(
    rf"(job|task|result)-\d+|{MIRROR}"
)  # what a run keeps in its folder; a user's is never removed


@contextmanager
def locked(path: Path, *, wait: bool, most_s: float = math.inf) -> Iterator[int]:
    """Hold the lock of a file or folder, which exists; on a file system without locks, do nothing.

    Parameters
    ----------
    path : Path
        What to lock.
    wait : bool
        Whether to wait for another process that holds it, or to raise.
    most_s : float
        How many seconds to wait: the other process may be stopped.

    Yields
    ------
    int
        The file descriptor that holds the lock.

    Raises
    ------
    BlockingIOError
        If another process holds it and `wait` is false, or holds it for longer than `most_s`.
    OSError
        If the path cannot be opened, or is neither a file nor a folder.
    """
    import fcntl

    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # to open a pipe would last until somebody writes to it
    try:
        if (kind := irregular(os.fstat(handle).st_mode)) not in (None, "a folder"):
            raise OSError(errno.EINVAL, f"{path.name} is {kind}, expected a file; remove it", os.fspath(path))
        end = time.monotonic() + (most_s if wait else 0.0)
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait and end == math.inf else fcntl.LOCK_NB))
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise
                time.sleep(_PAUSE_S)
                continue
            except OSError:  # a file system without locks
                pass
            break
        yield handle
    finally:
        let_go(handle)


@contextmanager
def locked_file(path: Path, *, most_s: float = math.inf) -> Iterator[None]:
    """Hold the lock of a file that serves for nothing else, and is made if it is missing; wait for other processes.

    Raises
    ------
    BlockingIOError
        If another process holds it for longer than `most_s` seconds.
    OSError
        If it cannot be made or opened, or is something else, such as a link; `strerror` says which.
    """
    try:
        let_go(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666))
    except OSError as error:
        kind = {errno.EISDIR: "a folder", errno.ELOOP: "a link", errno.ENXIO: "a socket"}.get(error.errno or 0)
        if kind is None:
            raise
        raise OSError(error.errno, f"{path.name} is {kind}, expected a file; remove it", os.fspath(path)) from error
    with locked(path, wait=True, most_s=most_s):
        yield


def remove_unlocked(folder: Path) -> None:
    """Remove a folder that a killed process left, if it is there; one that a process has locked stays."""
    with suppress(OSError), locked(folder, wait=False):
        shutil.rmtree(folder)


@contextmanager
def exclusive(folder: Path, shown: Path | None = None) -> Iterator[Callable[[], None]]:
    """Keep other processes from writing into a folder meanwhile, and remove what killed ones left in it.

    Parameters
    ----------
    folder : Path
        Made if it is missing. It is locked itself: no lock file is left behind. A store's is claimed, see
        `uvgen.storage.claims`.
    shown : Path, optional
        What messages call the folder, if it is a hidden one that takes this place.

    Yields
    ------
    callable
        To be called now and then: raises DatasetError if the folder was deleted, unmounted or replaced, or another
        run has claimed a store's.

    Raises
    ------
    BusyError
        If another process is at work in it.
    OutputError
        If it cannot be made.
    """
    with ExitStack() as stack:
        is_new = False
        try:
            try:
                folder.mkdir(parents=True)
                is_new = True
            except FileExistsError:
                if not folder.is_dir():
                    raise
            handle = stack.enter_context(locked(folder, wait=False))
            if not _is_there(handle, folder):
                if not _is_steady(folder):
                    raise unlockable(folder)
                raise BlockingIOError  # renamed meanwhile, by whoever held the lock
        except BlockingIOError as error:
            raise BusyError(f"{shown or folder}: another uvgen is writing into it; wait for it to finish") from error
        except OSError as error:
            if is_new:  # by a umask that takes all rights
                with suppress(OSError):
                    folder.rmdir()
            raise OutputError(
                f"{shown or folder}: cannot be written ({os_reason(error)}); choose another folder"
            ) from error

        check_claim = None
        if MIRROR in folder.parts:  # a store's: other machines see no lock of this one
            from uvgen.storage.claims import claimed

            check_claim = stack.enter_context(claimed(folder))

        def check() -> None:
            if check_claim is not None:
                check_claim()
            if not _is_there(handle, folder):
                raise DatasetError(
                    f"{folder}: was deleted, moved or unmounted while it was written; run the command again once it "
                    "is there"
                )

        remove_leftovers(folder)  # of runs that were killed
        stack.callback(remove_leftovers, folder)  # of workers that were
        yield check


def _is_there(handle: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(folder))
    except OSError:
        return False


def _is_steady(folder: Path) -> bool:
    """Whether a folder has the same number twice. Where disks make one up each time, nothing can be locked."""
    try:
        return os.path.samestat(os.stat(folder), os.stat(folder))
    except OSError:  # it is gone
        return True


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder in TMPDIR, locked while this process runs; those that dead ones of this machine left are removed.

    Raises
    ------
    DatasetError
        If none can be made.
    """
    place = Path(tempfile.gettempdir())
    _remove_dead_scratch(place)
    with ExitStack() as stack:
        try:
            folder, handle = _new_scratch(place)
        except OSError as error:
            raise DatasetError(
                f"{place}: no temporary folder can be made in it ({os_reason(error)}); set TMPDIR to another"
            ) from error
        stack.callback(let_go, handle)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder


def _new_scratch(place: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock."""
    for _ in range(TRIES):
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=place))
        with suppress(FileNotFoundError):  # another run removed it as a leftover, before it was locked
            handle = os.open(folder, os.O_RDONLY)
            if lock_handle(handle, folder):
                return folder, handle
            let_go(handle)
            folder.rmdir()
    raise unlockable(place)


def _remove_dead_scratch(place: Path) -> None:
    with suppress(OSError):
        for entry in [*os.scandir(place)]:
            if re.fullmatch(rf"{_SCRATCH}[a-z0-9_]{{8}}", entry.name) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _remove_scratch_if_dead(Path(entry.path))


def _remove_scratch_if_dead(folder: Path) -> None:
    import fcntl

    handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if os.fstat(handle).st_uid == os.getuid() and all(_SCRATCH_FILE.fullmatch(n) for n in os.listdir(folder)):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError if its process lives
            shutil.rmtree(folder)
    finally:
        let_go(handle)
