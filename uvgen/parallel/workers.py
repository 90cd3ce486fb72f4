"""Worker processes that may die or hang: the caller is told, and a new process replaces each that died."""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.spawn import get_executable
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

from uvgen.errors import DatasetError, UvgenError, WorkerError
from uvgen.interrupts import children_end_unseen, interrupts_blocked
from uvgen.progress import advance

Work = TypeVar("Work")

TOOK_LONGER = "took longer than"
"""How what became of a process begins where it was given no more time."""

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from uvgen.parallel.child import main; main(*sys.argv[2:])"
)
_ONE_THREAD = {
    **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMBA", "NUMEXPR")},
    "VECLIB_MAXIMUM_THREADS": "1",
}
_MOST_FAILED_STARTS = 3
_LONGEST_WAIT_S = 1.0  # at a time, if there is a limit: a longer wait is one in which this process was stopped
_FIRST_START_S = 120.0  # that the first process may take to open its job, if tasks have a limit
_SLOWER_START = 10.0  # times what the slowest start took so far, ...
_SHORTEST_LIMIT_S = 20.0  # ... but not less than this: the others'


def unpacked(data: bytes) -> BaseException:
    """The error that a process has packed; WorkerError if its memory ran out."""
    error: BaseException = pickle.loads(data)
    if not isinstance(error, MemoryError):
        return error
    what = str(error) if error.args and ": " in str(error) else "a worker process has run out of memory"
    out_of_memory = WorkerError(f"{what}; fewer workers need less")
    out_of_memory.__cause__ = error
    return out_of_memory


class Death(NamedTuple):
    """What became of a process at a task: ``was killed by signal 9 (SIGKILL)``."""

    how: str


@dataclass(slots=True, eq=False)
class _Worker(Generic[Work]):
    process: "subprocess.Popen[bytes]"
    pipe: Connection
    deadline: float | None = None
    ready: bool = False
    started: float = 0.0
    work: Work | None = None
    number: int = -1
    counted: int = 0  # samples of this work that it said are done
    warm: bool = False  # whether it has said so of a sample of this job: what it compiles is compiled


class Workers(Generic[Work]):
    """Processes that make tasks, one BLAS thread each, started as there is work for them.

    Parameters
    ----------
    function : callable
        ``function(folder / job)`` is called once in each process and returns the function that makes a task.
        Importable.
    folder : Path
        Holds jobs, see `open`, and tasks and results on their way.
    count : int
        Processes at most.
    timeout : float, optional
        Seconds that a task may take; then its process is killed.
    """

    def __init__(self, function: Callable[[Path], Any], folder: Path, count: int, timeout: float | None = None) -> None:
        self._function, self.folder, self._count, self._timeout = function, folder, count, timeout
        self._waiting: deque[tuple[Work, Any]] = deque()
        self._workers: list[_Worker[tuple[Work, Any]]] = []
        self._failed_starts = self._numbers = 0
        self._slowest_start = 0.0
        self._job = ""

    def open(self, job: str) -> None:
        """Let the processes that are there, and those to come, open a job: a file in the folder."""
        self._job = job
        for worker in [*self._workers]:
            self._let_open(worker)

    def _let_open(self, worker: _Worker[tuple[Work, Any]]) -> None:
        worker.ready, worker.warm, worker.started = False, False, time.monotonic()
        worker.deadline = None
        try:
            worker.pipe.send_bytes(f"open {self._job}".encode())
        except OSError:  # it has died already
            if worker in self._workers:
                self._end(worker)

    def submit(self, work: Work, task: Any, *, first: bool = False) -> None:
        """Have a task made; `work` stands for it, and `first` puts it before those that wait."""
        (self._waiting.appendleft if first else self._waiting.append)((work, task))

    def __iter__(self) -> Iterator[tuple[Work, Any]]:
        """Each work with what was made of its task, or with a `Death`; until there is none, submitted meanwhile or not.

        Raises
        ------
        WorkerError
            If processes cannot be started.
        Exception
            What the function raised in a process.
        """
        while self.busy:
            self._assign()
            for worker in self._wait():
                outcome = self._receive(worker)
                if outcome is not None:
                    yield outcome

    @property
    def busy(self) -> bool:
        """Whether there is work that is not finished."""
        return bool(self._waiting) or any(worker.work is not None for worker in self._workers)

    def __enter__(self) -> "Workers[Work]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def kill(self) -> None:
        """Kill the processes. A thread that waits for them is told that they died; another one calls this."""
        for worker in [*self._workers]:
            worker.process.kill()

    def close(self) -> None:
        """End the processes, whatever they are doing, and forget what they were to do; others may be started."""
        self._waiting.clear()
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()
            worker.pipe.close()
        self._workers.clear()

    def _assign(self) -> None:
        """Give work to idle processes, and start others if there is more."""
        for worker in [*self._workers]:
            if worker.ready and worker.work is None and self._waiting:
                self._send(worker)
        starting = sum(not worker.ready for worker in self._workers)
        while len(self._workers) < self._count and starting < len(self._waiting):
            try:
                worker = self._start()
                self._workers.append(worker)
                self._let_open(worker)
            except OSError as error:  # no more processes, files or memory
                where = f"{error.filename}: " if error.filename else ""  # of the interpreter, which may not be run
                self._give_up_start(f"{where}{error.strerror or error}")
            starting += 1

    def _give_up_start(self, why: str) -> None:
        """Go on with the processes that work; WorkerError if there is none."""
        self._count = len(self._workers)
        if not self._count:
            raise WorkerError(
                f"worker processes cannot be started: {why}; try fewer workers, or raise the limits (ulimit -a)"
            )

    def _start(self) -> _Worker[tuple[Work, Any]]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            where = json.dumps([os.path.abspath(path) for path in sys.path])
            function = (self._function.__module__, self._function.__name__)
            with interrupts_blocked():  # until it ignores Ctrl-C
                process = subprocess.Popen(
                    [get_executable(), "-c", _PROGRAM, where, str(theirs.fileno()), str(os.getpid()), *function,
                     str(self.folder)],
                    pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env={**os.environ, **_ONE_THREAD},
                )  # fmt: skip
            return _Worker(process, Connection(ours.detach()))

    def _send(self, worker: _Worker[tuple[Work, Any]]) -> None:
        worker.work = self._waiting.popleft()
        worker.number = self._numbers = self._numbers + 1
        path = self.folder / f"task-{worker.number}"
        try:
            path.write_bytes(pickle.dumps(worker.work[1]))
        except OSError as error:
            raise DatasetError(
                f"{path}: cannot be written ({error.strerror or error}); set TMPDIR to a folder with free space"
            ) from error
        worker.deadline = None if self._timeout is None else time.monotonic() + self._timeout
        try:
            worker.pipe.send_bytes(f"make {worker.number}".encode())
        except OSError:  # it has died while it had nothing to do
            self._waiting.appendleft(worker.work)
            worker.work = None
            self._end(worker)

    def _wait(self) -> list[_Worker[tuple[Work, Any]]]:
        """Processes that have something to say, or no time left."""
        busy = [worker for worker in self._workers if worker.work is not None or not worker.ready]
        if self._timeout is not None:
            longest = max(self._timeout, _SHORTEST_LIMIT_S, _SLOWER_START * self._slowest_start)
            for worker in busy:
                if not worker.ready:
                    worker.deadline = worker.started + (longest if self._slowest_start else _FIRST_START_S)
        limits = [worker.deadline for worker in busy if worker.deadline is not None]
        before = time.monotonic()
        patience = None if not limits else min(max(0.0, min(limits) - before), _LONGEST_WAIT_S)
        heard = set(map(id, wait([worker.pipe for worker in busy], patience)))
        now = time.monotonic()
        if patience is not None and now - before > patience + 1:  # stopped (Ctrl-Z), and going on
            for worker in busy:
                worker.started += now - before
                worker.deadline = None if worker.deadline is None else worker.deadline + now - before
        late = [w for w in busy if w.deadline is not None and w.deadline <= now]
        return [w for w in busy if id(w.pipe) in heard] + [w for w in late if id(w.pipe) not in heard]

    def _receive(self, worker: _Worker[tuple[Work, Any]]) -> tuple[Work, Any] | None:
        """What came of a process's work, if it has ended one way or the other."""
        message = b""
        if worker.pipe.poll():
            with suppress(EOFError, OSError):
                message = worker.pipe.recv_bytes()
        kind, _, content = message.partition(b" ")
        if kind == b"ready":
            worker.ready, worker.deadline, self._failed_starts = True, None, 0
            self._slowest_start = max(self._slowest_start, time.monotonic() - worker.started)
            return None
        if kind == b"some":
            worker.counted += int(content)
            worker.warm = True
            advance(int(content), starting=any(not w.warm for w in self._workers if w.work is not None or not w.ready))
            return None
        if kind == b"broken":
            self._failed_start(worker, pickle.loads(content))
            return None
        if kind == b"raised":
            raise unpacked(content)
        work, worker.work, worker.deadline = worker.work, None, None
        counted, worker.counted = worker.counted, 0
        if kind == b"made" and work is not None:
            path = self.folder / f"result-{worker.number}"
            result = pickle.loads(path.read_bytes())
            for done in (path, self.folder / f"task-{worker.number}"):
                done.unlink(missing_ok=True)
            return work[0], result
        how = self._end(worker)
        if work is None:
            self._failed_start(worker, how)
            return None
        (self.folder / f"task-{worker.number}").unlink(missing_ok=True)
        advance(-counted)  # they are to be done again
        return work[0], Death(how)

    def _end(self, worker: _Worker[tuple[Work, Any]]) -> str:
        """Remove a process that has died, or has no time left; say how it ended."""
        self._workers.remove(worker)
        hung = not worker.pipe.poll()  # a dead one's pipe is at its end
        worker.process.kill()
        status = worker.process.wait()
        worker.pipe.close()
        if hung and self._timeout is not None:  # without a limit: it has said why it ends, and is about to
            return f"{TOOK_LONGER} {self._timeout:g} s"
        if status == -getattr(signal, "SIGXCPU", 0):  # no fault of the task's, which is not to be left out for it
            raise WorkerError(
                "a worker process has used up its processor time; raise the limit (ulimit -t), and run the command "
                "again"
            )
        if status == 0 and children_end_unseen():
            return "ended, it is unknown how: SIGCHLD is ignored"
        if status >= 0:
            return f"ended with status {status}"
        try:
            return f"was killed by signal {-status} ({signal.Signals(-status).name})"
        except ValueError:
            return f"was killed by signal {-status}"

    def _failed_start(self, worker: _Worker[tuple[Work, Any]], why: Any) -> None:
        """Count a process that died before its first task; after a few in a row, do without."""
        if isinstance(why, UvgenError):
            raise why
        if worker in self._workers:
            self._end(worker)
        self._failed_starts += 1
        if isinstance(why, BaseException) or self._failed_starts >= _MOST_FAILED_STARTS:
            try:
                self._give_up_start(f"{type(why).__name__}: {why}" if isinstance(why, BaseException) else f"one {why}")
            except WorkerError as error:
                raise error from (why if isinstance(why, BaseException) else None)
