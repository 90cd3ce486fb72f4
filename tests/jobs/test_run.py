"""Running tasks: what is finished is left alone, a job travels once, and errors are the task's own."""

import errno
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from support.jobs import BrokenToOpen, DeadlySum, DeadlyTogether, DeadlyToOpen, DeadlyWhole, Multiply, WithoutMemory

from uvgen.errors import DatasetError, InputError, OutputError, SampleError, WorkerError
from uvgen.jobs import run
from uvgen.jobs.options import RunOptions, check_on_error
from uvgen.jobs.run import _libraries, check_same, results, run_job
from uvgen.parallel import child
from uvgen.parallel.child import packed
from uvgen.storage.files import temporary_name


@dataclass
class Files:
    """A record whose files say what is finished."""

    folder: Path
    added: list[int] = field(default_factory=list)
    discarded: list[int] = field(default_factory=list)
    ended: bool = False

    def resume(self) -> None:
        pass

    def is_finished(self, number: int) -> bool:
        return (self.folder / str(number)).exists()

    def discard(self, number: int) -> None:
        self.discarded.append(number)

    def add(self, result: tuple[int, int, int]) -> None:
        self.added.append(result[0])

    def pause(self) -> None:
        pass

    def finish(self) -> None:
        self.ended = True


def job(folder: Path) -> Multiply:
    return Multiply(folder, np.arange(10.0) + 1)


def test_run_makes_what_is_not_finished_and_notes_each(tmp_path: Path) -> None:
    (tmp_path / "3").write_text("mine")
    record, seen = Files(tmp_path), list[int]()
    run_job(job(tmp_path), range(5), record, tmp_path, RunOptions(1), progress=lambda result: seen.append(result[0]))
    assert record.added == seen == record.discarded == [0, 1, 2, 4] and record.ended
    assert (tmp_path / "3").read_text() == "mine" and (tmp_path / "4").read_text() == "20.0"


def test_run_with_nothing_left_opens_no_job(tmp_path: Path) -> None:
    (tmp_path / "0").write_text("")
    one, record = job(tmp_path), Files(tmp_path)
    run_job(one, [0], record, tmp_path, RunOptions(3))
    assert one.opened == [] and record.ended


@pytest.mark.parametrize("on_cluster", [False, True])
def test_run_removes_what_dead_processes_left_unless_other_machines_write_there_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_cluster: bool
) -> None:
    """A disk may lock for each machine alone."""
    left = tmp_path / temporary_name("7")

    def die(*_: object, after_death: Callable[[], object], **__: object) -> Iterator[tuple[int, int, int]]:
        left.write_text("half")
        after_death()
        assert left.exists() == on_cluster
        yield 7, 0, 0

    monkeypatch.setattr(run, "results", die)
    monkeypatch.setattr(run, "chosen_engine", lambda: "a cluster" if on_cluster else None)
    run_job(job(tmp_path), [7], Files(tmp_path), tmp_path, RunOptions(2))
    assert not left.exists()


def test_run_groups_units_into_tasks(tmp_path: Path) -> None:
    class Sum:
        def open(self) -> Callable[[list[int]], tuple[int, int, int]]:
            return lambda numbers: (sum(numbers), 0, 0)

    record = Files(tmp_path)
    run_job(Sum(), range(5), record, tmp_path, RunOptions(1), group=lambda todo: [todo[:2], todo[2:]])
    assert record.added == [1, 9]


@pytest.mark.slow
def test_run_on_workers_opens_the_job_once_in_each(tmp_path: Path) -> None:
    made = list(results(job(tmp_path), range(8), RunOptions(2)))
    assert sorted(number for number, _, _ in made) == list(range(8))
    assert os.getpid() not in {pid for _, pid, _ in made}
    assert {opened for _, _, opened in made} == {1}
    assert (tmp_path / "7").read_text() == "56.0"  # of the table, which the workers map


@pytest.mark.slow
def test_run_on_workers_raises_the_task_s_own_error(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match="number -2: below 0"):
        run_job(job(tmp_path), [1, -2, 3, 4], Files(tmp_path), tmp_path, RunOptions(2))


def test_one_worker_works_in_this_process_and_more_never_do(tmp_path: Path) -> None:
    for workers, timeout in ((1, None), (4, None), (1, 300.0)):
        ((_, pid, _),) = results(job(tmp_path), [5], RunOptions(workers, timeout=timeout))
        assert (pid == os.getpid()) == (workers == 1 and timeout is None)


def test_run_in_a_folder_that_another_run_holds_is_refused(tmp_path: Path) -> None:
    def meanwhile(_: object) -> None:
        with pytest.raises(DatasetError, match="another uvgen is writing into it"):
            run_job(job(tmp_path), range(3), Files(tmp_path), tmp_path, RunOptions(1))

    run_job(job(tmp_path), range(1), Files(tmp_path), tmp_path, RunOptions(1), progress=meanwhile)


def test_check_same_states_the_first_difference(tmp_path: Path) -> None:
    check_same(tmp_path, {"a": 1}, {"a": 1}, {})
    with pytest.raises(OutputError, match="was made with 1 sample, now they are 10;"):
        check_same(tmp_path, {"n": 1}, {"n": 10}, {"n": "{old} samples, now they are {new}"})
    with pytest.raises(OutputError, match=r"was made with b = 2, now it is 3; choose another output folder"):
        check_same(tmp_path, {"a": 1, "b": 2}, {"a": 1, "b": 3}, {})
    with pytest.raises(OutputError, match="was made with another model;"):
        check_same(tmp_path, {"hash": "x"}, {"hash": "y"}, {"hash": "another model"})
    with pytest.raises(OutputError, match="c = 1, now it is None"):
        check_same(tmp_path, {"c": 1}, {}, {})
    with pytest.raises(OutputError, match="was made with meshes, now without; choose"):
        check_same(tmp_path, {"meshes": True}, {}, {})
    with pytest.raises(OutputError, match="was made without meshes, now with; choose"):
        check_same(tmp_path, {"meshes": None}, {"meshes": True}, {})


def test_run_options_out_of_range_raise() -> None:
    with pytest.raises(InputError, match="workers: 0, expected 1 or more"):
        RunOptions(0)
    with pytest.raises(InputError, match="on_error: 'stop', expected 'skip' or 'fail'"):
        check_on_error("stop")
    with pytest.raises(InputError, match="retries: -1, expected 0 or more"):
        RunOptions(retries=-1)
    for timeout in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match=r"timeout: .*, expected seconds above 0, or None for no limit"):
            RunOptions(timeout=timeout)


@pytest.mark.parametrize("value", [1.5, "2", True, float("nan"), [1]])
def test_run_options_of_another_type_are_refused_by_name(value: Any) -> None:
    for name in ("workers", "retries"):
        with pytest.raises(InputError, match=rf"^{name}: .*, expected a whole number, [01] or more"):
            RunOptions(**{name: value})
    if value != 1.5:
        with pytest.raises(InputError, match=r"^timeout: .*, expected seconds above 0, or None for no limit"):
            RunOptions(timeout=value)


def test_run_options_keep_numbers_of_numpy_as_pythons_own() -> None:
    how = RunOptions(np.int64(2), np.int8(0), np.float32(1.5))  # type: ignore[arg-type]
    assert (how.workers, how.retries, how.timeout) == (2, 0, 1.5)
    assert [type(value) for value in (how.workers, how.retries, how.timeout)] == [int, int, float]


@pytest.mark.slow
def test_results_leave_out_the_part_at_which_processes_die(tmp_path: Path) -> None:
    deaths: list[int] = []
    tasks = [[1, 2], [3, 13, 4], [5]]
    made = results(DeadlySum(), tasks, RunOptions(2, 1), after_death=lambda: deaths.append(1))
    assert sorted(made) == [3, 5, 7]
    assert len(deaths) == 4  # two of the task's processes, and two of the number's


@pytest.mark.slow
def test_results_that_no_part_is_the_cause_of_raise(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"its process ended with status 9, though none at any of its samples alone"):
        list(results(DeadlyTogether(), [[6, 7]], RunOptions(2, 0)))
    with pytest.raises(WorkerError, match=r"^13: its process ended with status 9, 2 times; out of memory"):
        list(results(DeadlyWhole(), [[13]], RunOptions(2, 1)))


@pytest.mark.slow
def test_death_in_a_program_that_ignores_the_ends_of_children_is_of_unknown_cause() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(WorkerError, match="its process ended, it is unknown how: SIGCHLD is ignored, 2 times"):
            list(results(DeadlyWhole(), [[13]], RunOptions(2, 1)))
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.slow
def test_processes_that_cannot_open_the_job_raise(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="worker processes cannot be started: one ended with status 9; try fewer"):
        list(results(DeadlyToOpen(), [[1]], RunOptions(2)))


@pytest.mark.slow
def test_processes_that_say_why_they_cannot_open_the_job_and_take_a_while_to_end_raise(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"cannot be started: OSError: \[Errno 24\] Too many open files; try fewer"):
        list(results(BrokenToOpen(), [[1]], RunOptions(2)))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits address space")
def test_processes_without_memory_for_blas_are_no_task_s_fault(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="worker processes cannot be started: "):
        list(results(WithoutMemory(), [[1]], RunOptions(2, 0)))


def test_tasks_in_this_process_have_one_blas_thread_and_libraries_are_looked_for_after_imports_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []
    look_for = threadpoolctl.ThreadpoolController.__init__

    def threads() -> list[int]:
        return [found["num_threads"] for found in threadpoolctl.threadpool_info() if found["user_api"] == "blas"]

    def look(self: threadpoolctl.ThreadpoolController) -> None:
        looked.append(1)
        look_for(self)

    class Threads:
        def open(self) -> Callable[[int], list[int]]:
            return lambda _: threads()

    class Looks:
        def open(self) -> Callable[[int], int]:
            return lambda _: len(looked)

    before = threads()
    assert list(results(Threads(), range(2), RunOptions(1))) == [[1] * len(before)] * 2 and threads() == before
    _libraries.cache_clear()
    monkeypatch.setattr(threadpoolctl.ThreadpoolController, "__init__", look)
    assert list(results(Looks(), range(3), RunOptions(1))) == [1, 1, 1]
    monkeypatch.setitem(sys.modules, "imported meanwhile", sys)
    assert list(results(Looks(), range(2), RunOptions(1))) == [2, 2]


@pytest.mark.parametrize("at", ["traceback.format_exception", "pickle.dumps"])
def test_packed_without_memory_says_that_it_ran_out(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(f"uvgen.parallel.child.{at}", fail)
    error = pickle.loads(packed(SystemError("error return without exception set")))
    assert isinstance(error, MemoryError)


def test_task_whose_file_the_locale_cannot_name_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Writes:
        def open(self) -> Callable[[str], object]:
            return lambda name: os.fsencode(name)

    monkeypatch.setattr("os.fsencode", lambda name: name.encode("ascii", "surrogateescape"))
    with pytest.raises(DatasetError, match=r"^/out/Ž\.jpg: 'Ž' is no character of ascii, this locale's encoding"):
        list(results(Writes(), ["/out/Ž.jpg"], RunOptions(1)))


def test_result_for_which_the_run_s_folder_has_no_space_names_that_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the folder that is written to, as the system's error of a full disk names no file."""
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DatasetError, match=r"result-1: cannot be written \(No space left on device\); set TMPDIR to"):
        child._write(tmp_path / "result-1", b"result")


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
