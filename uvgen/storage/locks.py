"""One process at a time in a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uvgen.errors import DatasetError
from uvgen.storage.files import TEMPORARY_PREFIX


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder at the same time; the dead hold nothing.

    Parameters
    ----------
    folder : Path
        Made where it is missing.

    Raises
    ------
    DatasetError
        Where another process is at work in it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)  # the folder itself is locked: no file is left behind
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error
    try:
        _lock(handle, folder)
        _remove_leftovers(folder)  # of runs that were killed
        try:
            yield
        finally:
            _remove_leftovers(folder)  # of workers that were
    finally:
        os.close(handle)


def _remove_leftovers(folder: Path) -> None:
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        leftover.unlink(missing_ok=True)


def _lock(handle: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DatasetError(f"{folder}: another uvgen is writing into it; wait for it to finish") from error
    except OSError:  # a file system without locks
        return
