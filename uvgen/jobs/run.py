"""Running tasks on any number of processes, and resuming interrupted runs.

A job is a value that travels to each worker process once and is opened there; its results are noted in a record, which
knows which units are finished. Build and augment (`datasets/record.py`), synth (`synth/folder.py`) and export
(`datasets/export/run.py`) run this way and have a record each.
"""

import os
import re
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from uvgen.errors import DatasetError, SettingsError
from uvgen.jobs.cluster import ClusterWorkers, chosen_engine
from uvgen.jobs.options import RunOptions
from uvgen.jobs.tries import Pool, Try, after_death_of, settle
from uvgen.parallel.travel import traveling
from uvgen.parallel.workers import Death, Workers
from uvgen.progress import begin
from uvgen.storage.files import remove_leftovers
from uvgen.storage.locks import exclusive, scratch_folder
from uvgen.storage.names import brief, os_reason, unencodable
from uvgen.storage.urls import url_of

Unit = TypeVar("Unit")
Unit_contra = TypeVar("Unit_contra", contravariant=True)
Task = TypeVar("Task")
Task_contra = TypeVar("Task_contra", contravariant=True)
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Result_contra = TypeVar("Result_contra", contravariant=True)


class Job(Protocol[Task_contra, Result_co]):
    """Everything that a process needs to carry out tasks. It must be picklable; a model with a file is pickled as its
    path.

    A job may have three more methods, which are used if processes die at a task: ``parts(task)`` returns tasks that
    each try one part (one sample) and leave nothing behind; ``without(task, causes)`` returns the task without the
    parts whose numbers are in `causes`, which says for each how its process ended; ``unopened(task)`` returns that
    task such that the files of these parts are not even opened, if processes die at it too.
    """

    def open(self) -> Callable[[Task_contra], Result_co]:
        """Load what is needed, and return the function that makes one task."""


class Record(Protocol[Unit_contra, Result_contra]):
    """A folder's record of the units that are finished in it."""

    def resume(self) -> None:
        """Read what the folder holds; SettingsError if it was made with other settings."""

    def is_finished(self, unit: Unit_contra) -> bool:
        """Whether an earlier run made this unit, and it is whole."""

    def discard(self, unit: Unit_contra) -> None:
        """Remove what an earlier run left of a unit that is made again, if that would be in the way."""

    def add(self, result: Result_contra) -> None:
        """Note the result of a task."""

    def pause(self) -> None:
        """Record what is finished so far: the run ends early. If that fails, nothing happens."""

    def finish(self) -> None:
        """Record that all units are finished."""


def run_job(
    job: Job[Task, Result],
    units: Sequence[Unit],
    record: Record[Unit, Result],
    folder: Path,
    run: RunOptions,
    *,
    group: Callable[[list[Unit]], list[Task]] = list,  # type: ignore[assignment]
    progress: Callable[[Result], object] | None = None,
    doing: str = "working",
    count: Callable[[Unit], int] | None = None,
    of: str = "sample",
    locked: bool = False,
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
    folder : Path
        The folder that is filled; other processes are kept from writing into it meanwhile.
    run : RunOptions
        On how many processes, and what happens if one dies or takes too long.
    group : callable
        Makes tasks of unfinished units; each is a task of its own by default.
    progress : callable, optional
        Called with each result, after it was noted.
    doing : str
        What the progress display calls the work: "building".
    count : callable, optional
        How many samples a unit has, as the job's processes count them (`uvgen.progress.advance`).
    of : str
        What one of those is called, if it is not a sample: "photograph".
    locked : bool
        Whether the caller holds the folder's lock.

    Raises
    ------
    DatasetError
        If the folder cannot be written or vanishes, another process is at work in it (`BusyError`), or it was made
        with other settings (`SettingsError`).
    WorkerError
        If processes cannot be started, or die at a task again and again, and no part of it is the cause.
    """
    with nullcontext(_nothing) if locked else exclusive(folder) as check_folder:
        record.resume()
        left = [unit for unit in units if not record.is_finished(unit)]
        # a disk may lock for each machine alone: what another one is writing would count as left behind
        tidy = partial(remove_leftovers, folder) if chosen_engine() is None else _nothing
        seen = folder if url_of(folder) is None else None  # a store is seen from everywhere
        try:
            for unit in left:
                record.discard(unit)
            tasks = group(left)
            if left:
                begin(doing, None if count is None else sum(map(count, left)), first=_first(), of=of)
            with closing(
                results(job, tasks, run, after_death=tidy, folder=seen)
            ) as made:  # an error here ends the workers before anything else happens
                for result in made:
                    check_folder()
                    record.add(result)
                    if progress is not None:
                        progress(result)
            check_folder()
            record.finish()
        except BaseException:
            with suppress(DatasetError):
                check_folder()  # nothing is written into a folder that has taken its place
                record.pause()
            raise


_compiled = False  # whether a job of this process has said that it compiles


def _first() -> str:
    """What a process does before its first task; a command's first processes compile what later ones find."""
    global _compiled
    from uvgen.compiled import are_cached

    if _compiled or are_cached():
        return "starting"
    _compiled = True
    return "compiling kernels, once"


def _nothing() -> None:
    pass


def results(
    job: Job[Task, Result],
    tasks: Sequence[Task],
    run: RunOptions,
    *,
    after_death: Callable[[], object] = _nothing,
    folder: Path | None = None,
) -> Generator[Result, None, None]:
    """The results of all tasks of a job, in the order in which they are ready.

    A task at which its process dies is made again by another one. If all of them die, its parts are tried one by one,
    and it is made without those at which processes die: see `Job`.

    Parameters
    ----------
    job : Job
        Makes tasks.
    tasks : sequence
        What to make.
    run : RunOptions
        On how many processes, and what happens if one dies or takes too long.
    after_death : callable
        Called when a process has died.
    folder : Path, optional
        Where the processes write: all machines of a cluster (`uvgen.jobs.cluster.running_on`) must see it.

    Yields
    ------
    What the job returns. An error in a process ends the others and is raised here.
    """
    if not tasks:
        return
    if _works_here(run):
        make = job.open()
        yield from (_alone(make, task) for task in tasks)
        return
    shared = _shared.get()
    with nullcontext(shared) if shared and not shared.busy else _own_workers(run) as pool:
        try:
            pool.open(_dumped(job, pool, folder))
            for task in tasks:
                pool.submit(Try(task), task)
            for one, outcome in pool:
                if isinstance(outcome, Death):
                    after_death()
                    after_death_of(job, pool, one, outcome.how, run.retries)
                elif one.whole is None:
                    yield outcome
                else:
                    settle(job, pool, one.whole)
        except BaseException:
            pool.close()
            raise


def _works_here(run: RunOptions) -> bool:
    """Whether this process makes the tasks itself."""
    return run.workers == 1 and run.timeout is None and chosen_engine() is None


_shared = ContextVar["Pool | None"]("_shared", default=None)


@contextmanager
def same_workers(run: RunOptions) -> Iterator[None]:
    """Within the block, calls of `results` one after the other use the same processes, which start once."""
    if _works_here(run):
        yield
        return
    with _own_workers(run) as pool:
        token = _shared.set(pool)
        try:
            yield
        finally:
            _shared.reset(token)


@contextmanager
def _own_workers(run: RunOptions) -> "Iterator[Pool]":
    engine = chosen_engine()
    with scratch_folder() as folder:
        if engine is None:
            with Workers[Try](open_job, folder, run.workers, run.timeout) as pool:
                yield pool
        else:
            with ClusterWorkers[Try](engine, open_job, folder, run.timeout) as pool:
                yield pool


def _dumped(job: Any, pool: "Pool", out: Path | None) -> str:
    """A job in a file, once for all workers, which map its arrays.

    A model is pickled as its file's path, or as a whole if some machine of a cluster does not have that file.
    """
    import joblib

    folder = pool.folder
    name = f"job-{len(os.listdir(folder))}"

    def dump(*, whole: bool) -> list[Path]:
        try:
            with traveling(whole=whole) as files:
                joblib.dump(job, folder / name)
        except OSError as error:
            found = os_reason(error)
            raise DatasetError(
                f"{folder / name}: cannot be written ({found}); set TMPDIR to a folder with free space"
            ) from error
        return files

    files = dump(whole=False)
    if isinstance(pool, ClusterWorkers) and pool.check(out, files):
        dump(whole=True)
    return name


def open_job(path: Path) -> Callable[[Any], Any]:
    """In a worker process: the function that makes a task of the job that lies in a file."""
    import joblib

    return partial(_alone, joblib.load(path, mmap_mode="r").open())


def _alone(make: Callable[[Task], Result], task: Task) -> Result:
    with _libraries(len(sys.modules)).limit(limits=1, user_api="blas"):  # more is slower, and changes the last bits
        try:
            return make(task)
        except UnicodeEncodeError as error:
            if not (why := unencodable(error.object)):
                raise
            raise DatasetError(f"{brief(error.object)}: {why}") from error


@lru_cache(maxsize=1)
def _libraries(n_modules: int) -> Any:
    """The libraries that this process has loaded; looked for again, which takes milliseconds, after imports alone."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def check_same(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Raise SettingsError if what a folder holds was made otherwise than it would be now.

    Parameters
    ----------
    folder : Path
        For the message.
    old, new : mapping
        Settings; the message states the first that differs.
    names : mapping of str to str
        What to say instead of the values of some settings, such as hashes; "{old}" and "{new}" stand for them.
    """
    for key in {**new, **old}:
        if old.get(key) != new.get(key):
            how = f"with {names.get(key, '{key} = {old}, now it is {new}')}"
            values = old.get(key), new.get(key)
            if key not in names and all(value is None or isinstance(value, bool) for value in values):
                how = "with {key}, now without" if old.get(key) else "without {key}, now with"
            how = how.format(key=brief(key), old=brief(values[0]), new=brief(values[1]))
            how = re.sub(r"^with 1 samples\b", "with 1 sample", how)
            raise SettingsError(
                f"{folder}: was made {how}; choose another output folder, or overwrite this one to start anew"
            )
