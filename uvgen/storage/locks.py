"""One process at a time: a lock on a folder or a file, released when its process ends, even if it is killed."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from uvgen.errors import BusyError, OutputError
from uvgen.storage.files import TEMPORARY_PREFIX


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[int]:
    """Hold the lock of a file or folder, which exists; on a file system without locks, do nothing.

    Parameters
    ----------
    path : Path
        What to lock.
    wait : bool
        Whether to wait for another process that holds it, or to raise.

    Yields
    ------
    int
        The file descriptor that holds the lock.

    Raises
    ------
    BlockingIOError
        Where another process holds it and `wait` is false.
    OSError
        Where the path cannot be opened.
    """
    import fcntl

    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks
            pass
        yield handle
    finally:
        os.close(handle)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder meanwhile, and remove what killed ones left in it.

    Parameters
    ----------
    folder : Path
        Made where it is missing. It is locked itself: no lock file is left behind.

    Raises
    ------
    BusyError
        Where another process is at work in it.
    OutputError
        Where it cannot be made.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = stack.enter_context(locked(folder, wait=False))
            if not os.path.samestat(os.fstat(handle), os.stat(folder)):
                raise BlockingIOError  # renamed meanwhile, by whoever held the lock
        except BlockingIOError as error:
            raise BusyError(f"{folder}: another uvgen is writing into it; wait for it to finish") from error
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
        _remove_leftovers(folder)  # of runs that were killed
        stack.callback(_remove_leftovers, folder)  # of workers that were
        yield


def _remove_leftovers(folder: Path) -> None:
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if not leftover.is_dir():  # a folder is the draft of another job
            leftover.unlink(missing_ok=True)
