"""Tasks at which a worker's process dies: tried again, then their parts one by one, then without the parts to blame."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from uvgen.errors import WorkerError
from uvgen.jobs.cluster import ClusterWorkers
from uvgen.parallel.workers import TOOK_LONGER, Workers
from uvgen.storage.names import brief


@dataclass(slots=True, eq=False)
class Try:
    """A task, or a part of one, on its way."""

    task: Any
    whole: "Whole | None" = None  # of which it is a part
    number: int = 0  # of the part
    deaths: int = 0
    divided: bool = False  # made without the parts that were found to be the cause
    unopened: bool = False  # and without a look at their files


@dataclass(slots=True, eq=False)
class Whole:
    """A task whose parts are tried one by one."""

    task: Any
    left: int
    how: str  # became of its own processes
    causes: dict[int, str] = field(default_factory=dict)


Pool = Workers[Try] | ClusterWorkers[Try]


def after_death_of(job: Any, pool: Pool, one: Try, how: str, retries: int) -> None:
    """Submit a task again at which a process died, or its parts; WorkerError if nothing is left to try.

    Parameters
    ----------
    job : Job
        See `uvgen.jobs.run.Job`.
    pool : Pool
        Its workers.
    one : Try
        What the process died at.
    how : str
        What became of the process: "was killed (SIGKILL)".
    retries : int
        How often a task or a part is tried again.
    """
    one.deaths += 1
    cause = f"its process {how}" + (f", {one.deaths} times" if one.deaths > 1 else "")
    if one.deaths <= retries:
        pool.submit(one, one.task, first=True)
    elif one.whole is not None:
        one.whole.causes[one.number] = cause
        settle(job, pool, one.whole)
    elif one.divided and not one.unopened and hasattr(job, "unopened"):
        task = job.unopened(one.task)
        pool.submit(Try(task, divided=True, unopened=True), task, first=True)
    elif one.divided or not hasattr(job, "parts"):
        raise WorkerError(f"{_label(one.task)}: {cause}; {_cure(how)}")
    else:
        parts = job.parts(one.task)
        whole = Whole(one.task, len(parts), cause)
        if len(parts) == 1:  # it was tried alone
            whole.causes[0] = cause
            settle(job, pool, whole)
            return
        for number, part in reversed([*enumerate(parts)]):
            pool.submit(Try(part, whole, number), part, first=True)


def settle(job: Any, pool: Pool, whole: Whole) -> None:
    """Note that a part was tried; after the last, make the task without those at which processes died."""
    whole.left -= 1
    if whole.left:
        return
    if not whole.causes:
        raise WorkerError(
            f"{_label(whole.task)}: {whole.how}, though none at any of its samples alone; {_cure(whole.how)}"
        )
    task = job.without(whole.task, whole.causes)
    pool.submit(Try(task, divided=True), task, first=True)


def _cure(how: str) -> str:
    return "give it more time (--timeout)" if TOOK_LONGER in how else "out of memory? Try fewer workers"


def _label(task: Any) -> str:
    name = getattr(task, "file", None) or getattr(task, "name", None)  # of a named tuple too
    if name is None and isinstance(task, Sequence) and not isinstance(task, str) and task:
        return _label(task[0]) + (f" and {len(task) - 1} more" if task[1:] else "")
    return brief(name or task)
