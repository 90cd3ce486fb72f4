"""Writing files so that no reader ever meets half of one."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from uvgen.errors import DatasetError, UvgenError

TEMPORARY_PREFIX = ".uvgen-"


@contextmanager
def replaced_on_success(path: Path, *, folder: Path | None = None, flush: bool = True) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` if the body succeeds, remove it if not.

    Parameters
    ----------
    path : Path
        The file to make; what stands there is replaced at once, never half.
    folder : Path, optional
        Of the temporary file, on the same file system; that of `path` by default.
    flush : bool
        Whether the content is on disk before the name is: a crash of the machine then leaves no empty file.

    Yields
    ------
    Path
        The temporary name, hidden.

    Raises
    ------
    DatasetError
        Where the folder cannot be written or is full; it names the file.
    """
    temporary = (folder or path.parent) / f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if flush:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error, UvgenError):  # of what the body read
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
