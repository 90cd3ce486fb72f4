"""Files and folders that are written whole or not at all: readers never see a partial one."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from uvgen.errors import DatasetError, OutputError, UvgenError

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
        raise DatasetError(
            f"{path}: cannot be written ({error.strerror or error}); check free space, permissions"
        ) from error
    finally:
        with suppress(OSError):  # renamed, or never made
            temporary.unlink()


def draft_of(folder: Path) -> Path:
    """Where `folder_on_success` makes a folder: beside it, hidden, under the same name in each run."""
    target = Path(os.path.realpath(folder))
    return target.with_name(f"{TEMPORARY_PREFIX}{target.name}")


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
        Where the folder exists and is not empty.
    DatasetError
        Where it cannot be written, or the disk is full.
    """
    check_new_folder(folder)
    draft = draft_of(folder)
    try:
        draft.mkdir(parents=True, exist_ok=True)
        yield draft
        os.replace(draft, os.path.realpath(folder))
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        if isinstance(error, UvgenError):
            raise
        raise DatasetError(
            f"{folder}: cannot be written ({error.strerror or error}); check free space, permissions"
        ) from error
    except Exception:
        shutil.rmtree(draft, ignore_errors=True)
        raise


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
