"""Writing files so that no reader ever meets half of one."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from uvgen.errors import DatasetError

TEMPORARY_PREFIX = ".uvgen-"


@contextmanager
def replaced_on_success(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` if the body succeeds, remove it if not.

    Parameters
    ----------
    path : Path
        The file to make; what stands there is replaced at once, never half.

    Yields
    ------
    Path
        The temporary name, hidden, in the same folder.

    Raises
    ------
    DatasetError
        Where the folder cannot be written or is full; it names the file.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: cannot be written ({error.strerror or error}); free space, rights?") from error
    finally:
        with suppress(OSError):  # renamed, or never made
            temporary.unlink()


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
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    lock = folder / f"{TEMPORARY_PREFIX}lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = open(lock, "w")  # noqa: SIM115 - held for the whole block
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error
    with handle:
        try:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # no such locks on Windows: there, two runs at once are the user's to avoid
            pass
        except OSError as error:
            raise DatasetError(f"{folder}: another uvgen is writing into it; wait for it to finish") from error
        for leftover in folder.glob(f"{TEMPORARY_PREFIX}*-*"):  # of runs that were killed
            leftover.unlink(missing_ok=True)
        yield
        lock.unlink(missing_ok=True)
