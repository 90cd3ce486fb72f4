"""Running tasks on any number of processes, and going on where an earlier run stopped.

A job is a value that travels to each worker process once and is opened there; what it makes is noted in a record, which
knows which units are finished. Build and augment (`datasets/record.py`), synth (`synth/folder.py`) and export
(`datasets/export/run.py`) run this way and have a record each.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from uvgen.errors import DatasetError, InputError, SettingsError
from uvgen.parallel.workers import run_on_workers
from uvgen.storage.locks import exclusive

Unit = TypeVar("Unit")
Unit_contra = TypeVar("Unit_contra", contravariant=True)
Task = TypeVar("Task")
Task_contra = TypeVar("Task_contra", contravariant=True)
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Result_contra = TypeVar("Result_contra", contravariant=True)


class Job(Protocol[Task_contra, Result_co]):
    """What every process needs to make tasks. It must be picklable; a model that has a file is pickled as its path."""

    def open(self) -> Callable[[Task_contra], Result_co]:
        """Load what is needed, and return the function that makes one task."""


class Record(Protocol[Unit_contra, Result_contra]):
    """What a folder says about the work that is finished in it."""

    def resume(self) -> None:
        """Read what the folder holds; SettingsError where it was made with other settings."""

    def is_finished(self, unit: Unit_contra) -> bool:
        """Whether an earlier run made this unit, and it is whole."""

    def add(self, result: Result_contra) -> None:
        """Note what a task made."""

    def finish(self) -> None:
        """Record that all units are finished."""


def run(
    job: Job[Task, Result],
    units: Sequence[Unit],
    record: Record[Unit, Result],
    folder: Path | None,
    *,
    workers: int,
    group: Callable[[list[Unit]], list[Task]] = list,  # type: ignore[assignment]
    progress: Callable[[Result], object] | None = None,
) -> None:
    """Make the units that are not finished yet, while the folder is locked against other processes.

    Parameters
    ----------
    job : Job
        Makes tasks.
    units : sequence
        All that the folder is to hold.
    record : Record
        Says which of them are finished, and notes each result.
    folder : Path or None
        Where they go; other processes are kept from writing into it meanwhile. None where the caller holds its lock.
    workers : int
        Processes; 1 works in this one.
    group : callable
        Makes tasks of unfinished units; each is a task of its own by default.
    progress : callable, optional
        Called with each result, after it was noted.

    Raises
    ------
    DatasetError
        Where the folder cannot be written, another process is at work in it (`BusyError`), or it was made with other
        settings (`SettingsError`).
    """
    with nullcontext() if folder is None else exclusive(folder):
        record.resume()
        for result in results(job, group([unit for unit in units if not record.is_finished(unit)]), workers):
            record.add(result)
            if progress is not None:
                progress(result)
        record.finish()


def results(job: Job[Task, Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    """What a job makes of each task, in the order in which they are ready; a single task is made in this process."""
    if not tasks:
        return
    if min(workers, len(tasks)) == 1:
        make = job.open()
        yield from (_alone(make, task) for task in tasks)
        return
    import joblib

    with tempfile.TemporaryDirectory(prefix="uvgen-") as folder:
        path = Path(folder, "job")
        try:
            joblib.dump(job, path)  # once for all workers, which map its arrays
        except OSError as error:
            raise DatasetError(
                f"{path}: cannot be written ({error.strerror or error}); set TMPDIR to a folder with free space"
            ) from error
        yield from run_on_workers(_make, [(path, task) for task in tasks], workers)


def _make(job: Path, task: Any) -> Any:
    """Make a task in a worker process, which opens the job once and keeps it for its other tasks."""
    return _alone(_opened(job), task)


@lru_cache(maxsize=1)
def _opened(job: Path) -> Callable[[Any], Any]:
    import joblib

    return joblib.load(job, mmap_mode="r").open()


def _alone(make: Callable[[Task], Result], task: Task) -> Result:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # more would be slower, and would change the last bits
        return make(task)


def check_run(workers: int, on_error: str = "skip") -> None:
    """Raise InputError where how to run is out of range."""
    if workers < 1:
        raise InputError(f"workers: {workers}, expected 1 or more")
    if on_error not in ("skip", "fail"):
        raise InputError(f"on_error: {on_error!r}, expected 'skip' or 'fail'")


def check_same(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Raise SettingsError where what a folder holds was made otherwise than it would be now.

    Parameters
    ----------
    folder : Path
        For the message.
    old, new : mapping
        Settings; the message states the first that differs.
    names : mapping of str to str
        What to say instead of the values of some settings, such as hashes.
    """
    for key in {**new, **old}:
        if old.get(key) != new.get(key):
            what = names.get(key, f"{key} = {old.get(key)}, now it is {new.get(key)}")
            raise SettingsError(
                f"{folder}: was made with {what}; choose another output folder, or overwrite this one to start anew"
            )
