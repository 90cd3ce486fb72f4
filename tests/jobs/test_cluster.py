"""Work on a cluster: what `ClusterWorkers` makes of any engine, here one of threads, with children of this machine."""

import os
import pickle
import queue
import socket
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.jobs import DeadlySum, Multiply
from support.models import builtin_model

from uvgen.errors import DatasetError, InputError, SampleError, WorkerError
from uvgen.jobs import cluster, host
from uvgen.jobs.options import RunOptions
from uvgen.jobs.run import results, run_job
from uvgen.parallel.engine import Event
from uvgen.parallel.travel import traveling
from uvgen.progress import shown_on


class Threads:
    """An engine whose machines are threads; `losses` of its first calls are lost with their machine."""

    name = "the cluster of threads"

    def __init__(self, slots: int = 2, losses: int = 0, machine: host.Machine | Exception | None = None) -> None:
        self.n_slots, self.losses, self.machine = slots, losses, machine
        self.heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.sent: list[bytes] = []
        self.stopped = False

    def slots(self) -> int:
        return self.n_slots

    def on_each(self, function: Any, *values: Any) -> dict[str, Any]:
        return {"thread 0": self.machine or function(*values)}

    def send(self, data: bytes) -> bytes:
        self.sent.append(data)
        return data

    def submit(self, number: int, serve: Any, assignment: Any, job: bytes, task: bytes) -> None:
        if self.losses:
            self.losses -= 1
            self.heard.put(Event(number, "begun", None))
            self.heard.put(Event(number, "counted", 5))
            self.heard.put(Event(number, "lost", "was lost with its thread"))
            return

        def call() -> None:
            self.heard.put(Event(number, "begun", None))
            counted = lambda n: self.heard.put(Event(number, "counted", n))  # noqa: E731
            self.heard.put(Event(number, "done", serve(assignment, job, task, counted, lambda: self.stopped)))

        threading.Thread(target=call).start()

    def wait(self, seconds: float) -> list[Event]:
        try:
            return [self.heard.get(timeout=seconds)]
        except queue.Empty:
            return []

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        self.stop()


@contextmanager
def on(engine: Threads) -> Iterator[Threads]:
    token = cluster._engine.set(engine)
    try:
        yield engine
    finally:
        cluster._engine.reset(token)
        host.end_hosts()


class Record:
    def __init__(self) -> None:
        self.added: list[Any] = []

    def resume(self) -> None: ...

    def is_finished(self, unit: int) -> bool:
        return False

    def discard(self, unit: int) -> None: ...

    def add(self, result: Any) -> None:
        self.added.append(result[0])

    def pause(self) -> None: ...

    def finish(self) -> None: ...


class Counts:
    def __init__(self) -> None:
        self.n = 0

    def begin(self, *_: object) -> None: ...

    def advance(self, n: int, *, starting: bool = False) -> None:
        self.n += n


def machine(**changes: Any) -> host.Machine:
    return host.Machine("node7", host.versions(), True, {})._replace(**changes)


@pytest.mark.slow
def test_run_on_a_cluster_makes_all_in_processes_that_are_kept(tmp_path: Path) -> None:
    record, job = Record(), Multiply(tmp_path, np.arange(10.0) + 1)
    with on(Threads()) as engine:
        run_job(job, range(8), record, tmp_path, RunOptions(1))
        made = {int((tmp_path / str(k)).read_text().split(".")[0]) for k in range(8)}
    assert sorted(record.added) == list(range(8)) and made == {k * (k + 1) for k in range(8)}
    assert len(engine.sent) == 1 and sorted(os.listdir(tmp_path)) == [str(k) for k in range(8)]


@pytest.mark.slow
def test_run_on_a_cluster_leaves_out_what_kills_and_tries_again_what_was_lost() -> None:
    counts = Counts()
    with on(Threads(losses=2)), shown_on(counts):
        made = list(results(DeadlySum(), [[1, 2], [3, 13, 4], [5]], RunOptions(1, 1)))
    assert sorted(made) == [3, 5, 7]
    assert counts.n == 0  # five were counted by each that was lost, and are not done


@pytest.mark.slow
def test_run_on_a_cluster_raises_a_tasks_error(tmp_path: Path) -> None:
    job = Multiply(tmp_path, np.arange(10.0))
    with on(Threads()) as engine, pytest.raises(SampleError, match="number -2: below 0"):
        run_job(job, [-2, 1], Record(), tmp_path, RunOptions(1))
    assert engine.stopped


@pytest.mark.slow
def test_dask_cluster_of_its_own_is_threads_of_this_process_and_leaves_no_process_behind(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: pip install distributed")
    record, before = Record(), children_of(os.getpid())
    with cluster.running_on("dask", workers=2):
        engine = cluster.chosen_engine()
        assert engine is not None and engine.slots() == 2
        assert engine.on_each(os.getpid) == dict.fromkeys(engine.on_each(os.getpid), os.getpid())
        run_job(Multiply(tmp_path, np.arange(10.0) + 1), range(8), record, tmp_path, RunOptions(1))
        started = children_of(os.getpid()) - before
    assert sorted(record.added) == list(range(8))
    assert 1 <= len(started) <= 2, "the processes that make tasks, and no others"
    assert not host._Host.idle and not children_of(os.getpid()) - before


def children_of(parent: int) -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.add(int(path.parent.name))
    return found


def test_versions_are_looked_up_once_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    monkeypatch.setattr(host, "versions", lambda: looked.append(1) or {"uvgen": "there"})
    for run_name in ("one", "one", "other"):
        assignment = host.Assignment(run_name, "job", ("support.jobs", "sleeper"), None, {"uvgen": "here"})
        kind, _, _ = host.serve(assignment, b"", b"", lambda n: None, lambda: False)
        assert kind == "raised"
    assert len(looked) == 2


@pytest.mark.slow
def test_call_that_nobody_waits_for_kills_its_process() -> None:
    assignment = host.Assignment("run", "job", ("support.jobs", "sleeper"), None, host.versions())
    looked: list[int] = []

    def abandoned() -> bool:
        looked.append(1)
        return len(looked) > 3

    with on(Threads()):
        kind, _, _ = host.serve(assignment, b"", pickle.dumps(None), lambda n: None, abandoned)
    assert kind in ("died", "raised") and not host._Host.idle


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (machine(versions={**host.versions(), "numpy": "0.1"}),
         r"^node7 \(thread 0\): other versions than here \(numpy 0\.1, here \d.*\), which may give "),
        (machine(sees=False), r": node7 \(thread 0\) does not see it, expected a folder that all machines share"),
        (ModuleNotFoundError("No module named 'uvgen'"), r"^thread 0: cannot run uvgen \(.*uvgen.*\); install uvgen"),
    ],
)  # fmt: skip
def test_machine_that_cannot_take_part_is_named_before_any_work(tmp_path: Path, there: Any, message: str) -> None:
    with on(Threads(machine=there)) as engine, pytest.raises(WorkerError, match=message):
        run_job(Multiply(tmp_path, np.arange(3.0)), [1], Record(), tmp_path, RunOptions(1))
    assert not engine.sent and not os.listdir(tmp_path)


class Joined(Threads):
    """Machines that joined after the others were looked at, and have other files."""

    def __init__(self, **changes: Any) -> None:
        super().__init__()
        self.changes, self.tokens = changes, list[bool]()

    def submit(self, number: int, serve: Any, assignment: Any, job: bytes, task: bytes) -> None:
        self.tokens.append(Path(assignment.token).exists())
        super().submit(number, serve, assignment._replace(**self.changes), job, task)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token": "/nowhere/token"}, r"^/nowhere: .* does not see it, expected a folder that all machines share"),
        ({"files": ((__file__, "ab"),)}, r"test_cluster\.py: .* has another file there; copy one to all"),
        ({"files": (("/nowhere/model.h5", "ab"),)}, r"^/nowhere/model\.h5: .* does not have it"),
    ],
)
def test_machine_that_joins_later_and_cannot_take_part_ends_the_run(changes: Any, message: str, tmp_path: Path) -> None:
    with on(Joined(**changes)) as engine, pytest.raises(WorkerError, match=message):
        run_job(Multiply(tmp_path, np.arange(3.0)), [1], Record(), tmp_path, RunOptions(1))
    assert engine.tokens == [True] and not os.listdir(tmp_path)


def test_model_travels_as_its_file_or_whole_where_a_machine_has_none(tmp_path: Path) -> None:
    from uvgen.models.load import load_model
    from uvgen.models.model_file import save_model

    path = tmp_path / "model.h5"
    save_model(builtin_model(), path)
    model = load_model(path)
    with traveling() as files:
        small = pickle.dumps(model)
    assert [str(file) for file in files] == [str(model.path)] and len(small) < 1000
    with traveling(whole=True) as files:
        large = pickle.dumps(model)
    assert not files and len(large) > 1_000_000
    assert pickle.loads(large).content_sha256 == pickle.loads(small).content_sha256

    class Job(DeadlySum):
        def __init__(self) -> None:
            self.model = model

    for found, n_bytes in ((host.probe(None, (str(path),)).files[str(path)], 10_000), ("", 1_000_000)):
        pool = cluster.ClusterWorkers[int](Threads(machine=machine(files={str(path): found})), results, tmp_path)
        missing = pool.check(None, [path])
        assert missing == ([] if n_bytes == 10_000 else [path])
    other = cluster.ClusterWorkers[int](Threads(machine=machine(files={str(path): "ab"})), results, tmp_path)
    with pytest.raises(WorkerError, match=r"model\.h5: node7 \(thread 0\) has another file there; copy one to all"):
        other.check(None, [path])


def test_cluster_without_workers_is_waited_for_and_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cluster, "_NOBODY_S", 0.0)
    with on(Threads(slots=0)), pytest.raises(WorkerError, match=r"has had no worker for 0 s; start some"):
        run_job(Multiply(tmp_path, np.arange(3.0)), [1], Record(), tmp_path, RunOptions(1))


def test_outcome_that_is_heard_while_the_cluster_has_no_worker_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Leaving(Threads):
        def submit(self, number: int, *_: Any) -> None:
            self.n_slots, self.late = 0, [Event(number, "lost", "was lost with its thread")]

        def wait(self, seconds: float) -> list[Event]:
            if self.n_slots or not self.asked:
                self.asked = True
                return []
            heard, self.late = self.late, []
            return heard

        asked = False

    monkeypatch.setattr(cluster, "_NOBODY_S", 0.0)
    pool = cluster.ClusterWorkers[str](Leaving(), results, tmp_path)
    pool.submit("work", None)
    assert [(work, death.how) for work, death in pool] == [("work", "was lost with its thread")]


def test_output_folder_that_cannot_be_written_is_named_before_any_work(tmp_path: Path) -> None:
    pool = cluster.ClusterWorkers[str](Threads(), results, tmp_path)
    with pytest.raises(DatasetError, match=r"gone: cannot be written \(No such file .*\); check its permissions and"):
        pool.check(tmp_path / "gone", [])


def test_dask_of_others_is_handed_as_many_calls_as_were_asked_for() -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: pip install distributed")
    from uvgen.parallel.dask import DaskEngine

    class Client:
        def __init__(self) -> None:
            self.futures: list[Future[Any]] = []

        def submit(self, *_: Any, **__: Any) -> "Future[Any]":
            self.futures.append(Future())
            return self.futures[-1]

    engine, client = DaskEngine.__new__(DaskEngine), Client()
    engine._client, engine._cluster, engine._most, engine._topic = client, None, 2, "topic"
    engine._heard, engine._futures, engine._waiting = queue.SimpleQueue(), {}, deque()
    for number in range(5):
        engine.submit(number, host.serve, None, None, b"")
    assert len(client.futures) == 2
    client.futures[1].set_result("made")
    assert [tuple(event) for event in engine.wait(9)] == [(1, "done", "made")]
    assert len(client.futures) == 3


def test_ray_without_calls_waits_as_long_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from uvgen.parallel import ray

    slept: list[float] = []
    monkeypatch.setattr(ray.time, "sleep", slept.append)
    engine = ray.RayEngine.__new__(ray.RayEngine)
    engine._actors, engine._calls, engine._waiting, engine._counts, engine._asked = [], {}, deque(), {}, 0.0
    monkeypatch.setattr(ray.RayEngine, "_all_actors", lambda self: [])
    assert engine.wait(0.5) == [] and slept == [0.5]


def test_ray_that_does_not_start_is_an_error_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    from uvgen.parallel.ray import RayEngine

    ended: list[int] = []

    def init(*_: object, **__: object) -> None:
        raise Exception("The current node timed out during startup.")  # as Ray does

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init, shutdown=lambda: ended.append(1)))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(WorkerError, match=r"^a Ray cluster cannot be started \(The current node timed out .*again$"):
        RayEngine(None, 1)
    with pytest.raises(WorkerError, match=r"^auto: no Ray cluster answers \(The current node timed out"):
        RayEngine("auto", 1)
    assert len(ended) == 2


def test_ray_address_at_which_nothing_listens_is_refused_at_once() -> None:
    from uvgen.parallel.ray import check_answers

    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        for address in (place, f"ray://{place}", "auto", ""):
            check_answers(address)
    for address in (place, f"ray://{place}"):
        with pytest.raises(ConnectionRefusedError):
            check_answers(address)


def test_running_on_of_bad_arguments_raises() -> None:
    for arguments, message in (
        (("slurm",), r"backend: 'slurm', expected 'local', 'dask' or 'ray'"),
        (("local", "tcp://x:1"), r"address: 'tcp://x:1', expected None with backend 'local'; choose 'dask' or 'ray'"),
        (("dask", 5), r"address: 5, expected text such as 'tcp://10.0.0.1:8786', or None"),
    ):
        with pytest.raises(InputError, match=message), cluster.running_on(*arguments):
            pass
    with pytest.raises(InputError, match="workers: 0, expected 1 or more"), cluster.running_on("dask", workers=0):
        pass
