"""Tasks at which processes die: how often they are tried, then their parts, then without these."""

from typing import Any, NamedTuple

import pytest

from uvgen.errors import WorkerError
from uvgen.jobs.tries import Try, after_death_of, settle


class Pool:
    """Keeps what is submitted."""

    def __init__(self) -> None:
        self.given: list[tuple[Try, Any]] = []

    def submit(self, one: Try, task: Any, *, first: bool = False) -> None:
        assert first  # before what has not been tried yet
        self.given.append((one, task))


class Whole:
    """A job whose tasks have no parts."""


class Parted:
    """A job whose tasks are tuples of parts."""

    def parts(self, task: tuple[str, ...]) -> list[str]:
        return list(task)

    def without(self, task: tuple[str, ...], causes: dict[int, str]) -> tuple[str, ...]:
        return tuple(f"not {part}: {causes[k]}" if k in causes else part for k, part in enumerate(task))


def die(job: Any, pool: Any, one: Try, retries: int) -> None:
    after_death_of(job, pool, one, "was killed", retries)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_task_is_tried_again_as_often_as_asked(retries: int) -> None:
    pool, one = Pool(), Try("task")
    for _ in range(retries):
        die(Whole(), pool, one, retries)
    assert pool.given == [(one, "task")] * retries
    times = f", {retries + 1} times" if retries else ""
    with pytest.raises(WorkerError, match=f"^task: its process was killed{times}; out of memory"):
        die(Whole(), pool, one, retries)


def test_the_parts_of_a_task_are_tried_one_by_one_and_those_to_blame_are_left_out() -> None:
    job, pool = Parted(), Pool()
    die(job, pool, Try(("a", "b", "c")), 0)
    parts = pool.given[::-1]  # each goes before the last
    assert [task for _, task in parts] == ["a", "b", "c"]
    for one, task in parts:
        if task == "b":
            die(job, pool, one, 0)
        else:
            settle(job, pool, one.whole)
    again, task = pool.given[-1]
    assert task == ("a", "not b: its process was killed", "c") and again.divided
    with pytest.raises(WorkerError, match="out of memory"):
        die(job, pool, again, 0)


def test_a_task_at_which_processes_die_without_the_parts_to_blame_is_made_without_opening_these() -> None:
    class Closing(Parted):
        def unopened(self, task: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(part.replace("not", "never") for part in task)

    job, pool = Closing(), Pool()
    die(job, pool, Try(("a", "not b"), divided=True), 0)
    one, task = pool.given.pop()
    assert task == ("a", "never b") == one.task
    with pytest.raises(WorkerError, match="out of memory"):
        die(job, pool, one, 0)


def test_a_task_of_which_no_part_is_to_blame_ends_the_run() -> None:
    job, pool = Parted(), Pool()
    die(job, pool, Try(("a", "b")), 0)
    (first, _), (second, _) = pool.given
    settle(job, pool, first.whole)
    with pytest.raises(WorkerError, match="was killed, though none at any of its samples alone"):
        settle(job, pool, second.whole)


class Named(NamedTuple):
    """A task with a name, as those of exports and reports are."""

    name: str
    rows: range


@pytest.mark.parametrize(
    ("task", "label"),
    [(Named("IBUG-00000", range(9)), "IBUG-00000"), (("a", "b", "c"), "a and 2 more"), (["a"], "a"), ((), r"\(\)")],
)
def test_a_task_is_called_by_its_name_or_by_what_is_in_it(task: Any, label: str) -> None:
    with pytest.raises(WorkerError, match=f"^{label}: its process was killed; out of memory"):
        die(Whole(), Pool(), Try(task), 0)
