"""Writing files so that no reader ever meets half of one."""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from uvgen.errors import DatasetError, UvgenError

if TYPE_CHECKING:
    import h5py
    from typing_extensions import Buffer

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


@contextmanager
def new_hdf5(path: Path) -> Iterator["h5py.File"]:
    """Make an HDF5 file; where the disk does not take it, an OSError says so, and nothing worse happens.

    HDF5 itself cannot close a file whose buffers it cannot write: it raises over and over, and may crash the process
    on exit. So it writes through an object that remembers the first failure and lets HDF5 finish. An interrupt inside
    HDF5 may crash it too: use `uvgen.interrupts.interrupts_deferred` around.

    Parameters
    ----------
    path : Path
        File to make, or to replace.

    Yields
    ------
    h5py.File
        Open for writing.

    Raises
    ------
    OSError
        The first failure to write.
    """
    import h5py

    with open(path, "w+b", buffering=0) as raw:
        target = _RememberingFile(raw)
        try:
            with h5py.File(target, "w", libver=("earliest", "v110")) as file:
                yield file
        except (OSError, RuntimeError):
            if target.failure is None:
                raise
        if target.failure is not None:
            raise target.failure


class _RememberingFile:
    """A binary file whose writes never fail; `failure` holds the first that did."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self.failure: OSError | None = None
        self.seek, self.tell, self.flush = raw.seek, raw.tell, raw.flush
        self.read, self.readinto = raw.read, raw.readinto

    def write(self, data: "Buffer") -> int:
        view = memoryview(data).cast("B")
        if self.failure is None:
            try:
                written = 0
                while written < len(view):
                    written += self._raw.write(view[written:]) or 0
            except OSError as error:
                self.failure = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        if self.failure is None:
            try:
                return self._raw.truncate(size)
            except OSError as error:
                self.failure = error
        return size or 0


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
