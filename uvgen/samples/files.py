"""What a sample's files hold, and whether the folder that they were found in is still there."""

import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from uvgen.errors import DatasetError, DependencyError, ListChangedError, ModelError, SampleError, WorkerError
from uvgen.samples.find import Sample
from uvgen.samples.parameter_list import is_list, is_listed
from uvgen.shards.index import SkippedSample
from uvgen.storage.files import sha256_file
from uvgen.storage.names import brief, os_reason
from uvgen.storage.reading import OUT_OF_REACH, SHORTAGES, max_bytes

_GONE = OUT_OF_REACH | {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM}


def files_sha256(sample: Sample, *more: Path) -> str:
    """Hash of what a sample's image and parameters hold, or of why they cannot be read; and of what was wrong with them
    when they were found, such as a second image of the same name, which other files may mend.

    Where a bound of pixels was set, it counts, too. Of a file that is too large to be read, its size stands for its
    content: hashing a sparse file of a terabyte, which takes no place on a disk, would take an hour.

    Parameters
    ----------
    sample : Sample
        As `uvgen.find_samples` lists it.
    more : Path
        Other files of the sample.

    Returns
    -------
    str
        64 hexadecimal digits; others if a file was mended, added or removed. At which sample processes died makes no
        difference: it is tried again when its files change.
    """
    digest = hashlib.sha256()
    for path in (sample.image, sample.parameters, *more):
        is_shared = sample.row is not None and path is sample.parameters
        digest.update(_state(path, _sha256_of_list if is_shared else sha256_file).encode())
    if raised := os.environ.get("UVGEN_MAX_PIXELS"):  # with another bound, a picture may be read
        digest.update(raised.encode("utf-8", "surrogateescape"))
    if sample.problem and not sample.deadly:
        digest.update(sample.problem.rpartition(": ")[2].encode("utf-8", "surrogatepass"))  # without its path
    return digest.hexdigest()


def confirmed(skipped: SkippedSample, tried: Callable[[Callable[[Any, Exception], None]], object]) -> SkippedSample:
    """A skipped sample, such that the next run makes it if its files can be used now, after their hash was taken.

    A read may fail once, as on a network's disk, or a file may still be copied: then the hash is not that of what could
    not be used.

    Parameters
    ----------
    skipped : SkippedSample
        As it was skipped.
    tried : callable
        Makes this sample alone, given what is called if that fails.
    """
    errors = list[Exception]()
    tried(lambda _, error: errors.append(error))
    if errors or skipped.files_sha256 is None:
        return skipped
    other = hashlib.sha256(f"changed, or could not be read once: {skipped.files_sha256}".encode()).hexdigest()
    return replace(skipped, files_sha256=other)


def _sha256_of_list(path: Path) -> str:
    """SHA-256 of a list of samples, which is hashed once while it does not change, not once for each of its rows."""
    stat = path.stat()
    return _sha256_once(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=2)
def _sha256_once(path: Path, size: int, time_ns: int) -> str:
    return sha256_file(path)


def _state(path: Path | None, sha256: Callable[[Path], str]) -> str:
    if path is None:
        return "none "
    try:
        if not path.is_file():  # of a pipe, reading would wait forever
            return "missing "
        if (size := path.stat().st_size) > max_bytes():
            return f"{size} bytes "
        return f"{sha256(path)} "
    except OSError as error:
        return f"error {error.errno} "


def check_machine(error: BaseException) -> None:
    """Raise if a file cannot be read because the machine lacks something: no sample is to be skipped for that.

    Parameters
    ----------
    error : Exception
        Why a file cannot be used; what counts are the errors that it comes from.

    Raises
    ------
    MemoryError
        If memory ran out.
    DatasetError
        If there are too many open files.
    WorkerError, DependencyError, ModelError, ListChangedError
        If it is one: no process could be started, a package is missing, or a model, a detector's weights or a list
        have changed.
    """
    if isinstance(error, WorkerError | DependencyError | ModelError | ListChangedError):
        raise error
    cause = error.__cause__
    while cause is not None:
        if isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM:
            raise MemoryError(f"{str(error).split(': ')[0]}: memory ran out while it was read") from error
        if isinstance(cause, OSError) and cause.errno in SHORTAGES:
            advice = "" if "(ulimit" in str(error) else "; raise the limit (ulimit -a) or use fewer workers"
            raise DatasetError(f"{error}{advice}") from error
        cause = cause.__cause__


def check_source(sample: Sample, error: BaseException) -> None:
    """Raise DatasetError if a sample cannot be read because its whole folder has vanished; and as `check_machine`.

    Parameters
    ----------
    sample : Sample
        Could not be used.
    error : Exception
        Why; what counts is the OSError that it comes from.
    """
    check_machine(error)
    for path in (sample.image, sample.parameters):
        if path is not None:
            check_folder_of(path, error)


def check_folder_of(path: Path, error: BaseException) -> None:
    """As `check_source`, for a file alone."""
    check_machine(error)
    if isinstance(error.__cause__, OSError) and error.__cause__.errno in _GONE:
        check_still_there(path.parent)


def is_out_of_reach(path: Path, error: OSError) -> bool:
    """Whether a file is there but cannot be read at present: it may be what it was, and so may what was made of it.

    Parameters
    ----------
    path : Path
        The file.
    error : OSError
        Why it cannot be read, or an error that comes from that.

    Returns
    -------
    bool
        False if it is missing, or can be read and is of no use. A link to what is not there is out of reach: it leads
        to a disk that is not mounted, or git-annex has not fetched the file.

    Raises
    ------
    DatasetError, MemoryError, WorkerError
        As `check_source`; a DatasetError as it is.
    """
    if isinstance(error, DatasetError):  # not of this file alone
        raise error
    cause = error if error.__cause__ is None else error.__cause__
    if isinstance(cause, OSError):
        met = DatasetError(f"{path}: cannot be read ({os_reason(cause)})")
        met.__cause__ = cause
        check_folder_of(path, met)
    if not isinstance(cause, OSError):
        return False
    return cause.errno in _GONE - {errno.ENOENT, errno.ENOTDIR} or (cause.errno == errno.ENOENT and path.is_symlink())


def check_still_there(folder: Path) -> None:
    """Raise DatasetError if a folder that held files is not there any more, cannot be read, or is empty."""
    why = "is empty now"
    try:
        with os.scandir(folder) as entries:
            if next(entries, None) is not None:
                return
    except OSError as error:
        why = os_reason(error)
    raise DatasetError(
        f"{folder}: the samples' folder has vanished ({why}): deleted or unmounted? Run the command again once it is "
        "there"
    ) from None


def source_path(root: Path, source: str, data: str | os.PathLike[str]) -> Path:
    """The image that a sample of a data set names as its source.

    Parameters
    ----------
    root : Path
        The folder that the set was built from, or that of the list: `uvgen.samples.find.folder_of` of `data`.
    source : str
        What the sample says.
    data : path
        What the set was built from.

    Raises
    ------
    SampleError
        If it leads out of the folder, to no image of the list: a data set may come from anyone, and is to have no other
        file read.
    """
    path = PurePosixPath(source)
    inside = ".." not in path.parts or (is_list(data) and is_listed(root / path, data))
    if path.is_absolute() or not path.parts or not inside:
        raise SampleError(f"{brief(path)}: leads out of {root}, expected an image in it, or one that a list names")
    return root / path
