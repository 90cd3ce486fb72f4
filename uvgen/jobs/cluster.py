"""Work on a cluster: `running_on` selects one, and `ClusterWorkers` runs tasks there as `Workers` does here."""

import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeVar
from uuid import uuid4

from uvgen.checks import choice, number_in, shown
from uvgen.errors import DatasetError, InputError, UvgenError, WorkerError
from uvgen.jobs.host import (
    Assignment,
    Machine,
    differing,
    end_hosts,
    other_file,
    probe,
    serve,
    unseen,
    versions,
)
from uvgen.parallel.engine import Engine, Event
from uvgen.parallel.workers import Death, unpacked
from uvgen.progress import advance
from uvgen.storage.files import new_temporary
from uvgen.storage.names import brief, os_reason
from uvgen.storage.reading import let_go

BACKENDS = ("local", "dask", "ray")
"""Where work can run."""

Work = TypeVar("Work")

_AHEAD = 2  # tasks handed out per slot, so that the next one is there when one ends
_WAIT_S = 0.5
_NOBODY_S = 60.0  # how long a cluster may be without workers

_engine: ContextVar[Engine | None] = ContextVar("_engine", default=None)


@contextmanager
def running_on(backend: str = "local", address: str | None = None, *, workers: int | None = None) -> Iterator[None]:
    """Run functions that take `run` on a cluster within the block; the bytes are the same.

    Each task runs in a process of its own there, as on this machine: a process that is killed or hangs costs one try of
    its task, and a machine that is lost costs one try of each task that it was working on. All machines must see the
    folders under the same path. If one does not have the model's file, the model is sent once to each worker.

    Parameters
    ----------
    backend : {"local", "dask", "ray"}
        "local" means processes on this machine.
    address : str, optional
        Address of the scheduler. The default is the one that Dask or Ray is configured for; without that, a cluster of
        this machine's processors is started and ends with the block.
    workers : int, optional
        How many tasks run at a time; by default as many as the cluster has room for. It replaces the `workers` of the
        `RunOptions` that functions within the block get.

    Raises
    ------
    InputError
        If `backend` is unknown, `address` is not text, `workers` is below 1, or an address is given for "local".
    DependencyError
        If the engine is not installed.
    WorkerError
        If no scheduler answers, or a machine of the cluster cannot take part.

    Examples
    --------
    >>> with uvgen.running_on("dask", "tcp://10.0.0.1:8786"):  # doctest: +SKIP
    ...     uvgen.build_shards("300W_LP/", "shards/", model="bfm.h5")
    """
    choice(backend, "backend", BACKENDS)
    if not isinstance(address, str | None):
        raise InputError(f"address: {shown(address)}, expected text such as 'tcp://10.0.0.1:8786', or None")
    if workers is not None:
        workers = number_in(workers, "workers", 1, whole=True)
    if backend == "local":
        if address is not None:
            raise InputError(f"address: {address!r}, expected None with backend 'local'; choose 'dask' or 'ray'")
        yield
        return
    engine: Engine
    if backend == "dask":
        from uvgen.parallel.dask import DaskEngine

        engine = DaskEngine(address, workers)
    else:
        from uvgen.parallel.ray import RayEngine

        engine = RayEngine(address, workers)
    token = _engine.set(engine)
    try:
        yield
    finally:
        _engine.reset(token)
        engine.close()
        end_hosts()  # of a cluster that was started for this block: its workers are threads of this process


def chosen_engine() -> Engine | None:
    """The cluster that the enclosing `running_on` chose, or None for this machine."""
    return _engine.get()


class ClusterWorkers(Generic[Work]):
    """Processes on the machines of a cluster that make tasks; used as `uvgen.parallel.workers.Workers` is."""

    def __init__(
        self, engine: Engine, function: Callable[[Path], Any], folder: Path, timeout: float | None = None
    ) -> None:
        self._engine, self.folder = engine, folder
        self._assignment = Assignment(uuid4().hex, "", (function.__module__, function.__name__), timeout, versions())
        self._job: Any = None
        self._waiting: deque[tuple[Work, Any]] = deque()
        self._out: dict[int, tuple[Work, Any]] = {}  # tasks handed to the engine, by number
        self._counted: dict[int, int] = {}  # samples of each that were counted as done
        self._numbers = 0
        self._alone_since: float | None = None
        self._token: tuple[Path, int] | None = None  # a file in the output folder, and its handle

    def open(self, job: str) -> None:
        """Send the processes a job, a file in the folder, from which they make the function for tasks."""
        data = (self.folder / job).read_bytes()
        self._assignment = self._assignment._replace(job=sha256(data).hexdigest())
        self._job = self._engine.send(data)

    def check(self, folder: Path | None, files: list[Path]) -> list[Path]:
        """Check that every machine can take part; return the files that some machine does not have.

        Parameters
        ----------
        folder : Path, optional
            Where results are written; all machines must see it.
        files : list of Path
            Files that the job refers to by path.

        Raises
        ------
        WorkerError
            If a machine has other versions, does not see the folder, or has other content in one of the files.
        DatasetError
            If nothing can be written into the folder.
        """
        self._remove_token()
        try:
            if folder is not None:
                self._token = new_temporary(folder, "cluster")
        except OSError as error:
            raise DatasetError(
                f"{folder}: cannot be written ({os_reason(error)}); check its permissions and free space"
            ) from error
        try:
            missing = self._look_at_machines(folder, files)
        except BaseException:
            self._remove_token()
            raise
        return [path for path in files if str(path) in missing]

    def _look_at_machines(self, folder: Path | None, files: list[Path]) -> set[str]:
        """Which files some machine does not have; those that join later are compared with what is found here."""
        token = None if self._token is None else str(self._token[0])
        self._wait_for_workers()
        names = tuple(str(path) for path in files)
        here = probe(None, names)
        there = self._engine.on_each(probe, token, names)
        missing: set[str] = set()
        for where, machine in sorted(there.items()):
            if not isinstance(machine, Machine):
                raise WorkerError(f"{where}: cannot run uvgen ({brief(machine)}); install uvgen on all machines")
            if machine.versions != here.versions:
                raise WorkerError(differing(f"{machine.name} ({where})", machine.versions, here.versions))
            if not machine.sees:
                raise WorkerError(unseen(folder or Path(), f"{machine.name} ({where})"))
            for name, sha in machine.files.items():
                if sha and sha != here.files[name]:
                    raise WorkerError(other_file(name, f"{machine.name} ({where})"))
                if not sha:
                    missing.add(name)
        by_path = () if missing else tuple(here.files.items())
        self._assignment = self._assignment._replace(token=token, files=by_path)
        return missing

    def _remove_token(self) -> None:
        """Remove the file by which machines know the output folder."""
        if self._token is not None:
            (path, handle), self._token = self._token, None
            with suppress(OSError):
                path.unlink()
            let_go(handle)

    def submit(self, work: Work, task: Any, *, first: bool = False) -> None:
        """Queue a task, which `__iter__` returns with `work`; `first` puts it before those that wait."""
        (self._waiting.appendleft if first else self._waiting.append)((work, task))

    @property
    def busy(self) -> bool:
        """Whether there is work that is not finished."""
        return bool(self._waiting or self._out)

    def __iter__(self) -> Iterator[tuple[Work, Any]]:
        """Each `work` with the result of its task, or with a `Death`; see `Workers`."""
        while self.busy:
            heard = self._wait_for_workers()
            for _ in range(min(_AHEAD * self._engine.slots() - len(self._out), len(self._waiting))):
                self._numbers += 1
                self._out[self._numbers] = one = self._waiting.popleft()
                self._engine.submit(self._numbers, serve, self._assignment, self._job, pickle.dumps(one[1]))
            for event in heard or self._engine.wait(_WAIT_S):
                if event.number in self._out and (outcome := self._heard(event)) is not None:
                    yield outcome
        self._remove_token()

    def close(self) -> None:
        """Kill the processes and drop all tasks."""
        self._waiting.clear()
        self._out.clear()
        self._counted.clear()
        self._remove_token()
        self._engine.stop()

    def __enter__(self) -> "ClusterWorkers[Work]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _heard(self, event: Event) -> tuple[Work, Any] | None:
        """The task's `work` and outcome if the event ends it, else None; counts samples for the progress."""
        number = event.number
        counted = self._counted.pop(number, 0)
        if event.kind == "counted":
            self._counted[number] = counted + event.content
            advance(event.content)
            return None
        if event.kind == "begun":
            advance(-counted)
            return None
        work, _ = self._out.pop(number)
        if event.kind == "raised":
            error = event.content
            if isinstance(error, UvgenError):
                raise error
            raise WorkerError(f"{self._engine.name}: {type(error).__name__}: {brief(error)}") from error
        if event.kind == "lost":
            advance(-counted)
            return work, Death(event.content)
        kind, content, in_all = event.content
        if kind == "raised":
            raise unpacked(content)
        if kind == "died":
            advance(-counted)
            return work, Death(content.decode())
        advance(in_all - counted)
        return work, pickle.loads(content)

    def _wait_for_workers(self) -> Sequence[Event]:
        """Wait until the cluster has a worker or says something, and return what it said.

        Raises WorkerError if it has had no worker for a while.
        """
        while not self._engine.slots():
            now = time.monotonic()
            self._alone_since = now if self._alone_since is None else self._alone_since
            if now - self._alone_since > _NOBODY_S:
                raise WorkerError(
                    f"{self._engine.name}: has had no worker for {_NOBODY_S:g} s; start some (`dask worker ADDRESS`, "
                    "`ray start --address …`), and run the same command again to continue"
                )
            if heard := self._engine.wait(_WAIT_S):
                return heard
        self._alone_since = None
        return ()
