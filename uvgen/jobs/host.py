"""What runs on a machine of a cluster: a process of its own for each task, as on this machine.

A cluster's worker (a thread of a Dask worker, a Ray actor) holds a child process that makes tasks. A sample that kills
its process, or hangs, so costs that process alone, and the cluster's worker stays.
"""

import atexit
import os
import pickle
import platform
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from hashlib import sha256
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, NamedTuple

from uvgen._version import __version__
from uvgen.errors import WorkerError
from uvgen.parallel.child import packed
from uvgen.parallel.workers import Death, Workers
from uvgen.progress import shown_on
from uvgen.storage.locks import scratch_folder

_SECONDS_BETWEEN_LOOKS = 0.3
_CHUNK = 1 << 22


class Assignment(NamedTuple):
    """What calls of one run have in common."""

    run: str
    job: str  # the SHA-256 of its bytes
    function: tuple[str, str]  # module and name of what opens a job's file
    timeout: float | None
    versions: dict[str, str]


class Machine(NamedTuple):
    """What a worker says of itself before the run."""

    name: str
    versions: dict[str, str]
    sees: bool  # the file that was asked for
    files: dict[str, str]  # SHA-256 of files, by path; "" where one is missing


def versions() -> dict[str, str]:
    """Of Python, uvgen and what it requires: the bytes may depend on each."""
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "uvgen": __version__}
    for line in requires("uvgen") or ():
        if "extra ==" not in line:
            package = "".join(c if c.isalnum() or c in "-_." else " " for c in line).split()[0]
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = "none"
    return found


def probe(token: str | None, files: tuple[str, ...]) -> Machine:
    """What this machine is, has and sees.

    Parameters
    ----------
    token : str, optional
        A file that is there where the output folder is shared.
    files : tuple of str
        Those whose content counts.
    """
    sees = token is None or Path(token).exists()
    return Machine(socket.gethostname(), versions(), sees, {file: _sha(file) for file in files})


def _sha(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return _sha_of(path, status.st_size, status.st_mtime_ns)


@cache
def _sha_of(path: str, size: int, changed: int) -> str:
    digest = sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def serve(
    assignment: Assignment, job: bytes, task: bytes, counted: Callable[[int], object], abandoned: Callable[[], bool]
) -> tuple[str, bytes, int]:
    """Make a task in a child process.

    Parameters
    ----------
    assignment : Assignment
        Of the run.
    job, task : bytes
        A file as `Workers.open` expects it, and a pickle.
    counted : callable
        Called with the number of samples that are done since the last call.
    abandoned : callable
        Whether nobody waits for the result any more: then the process is killed.

    Returns
    -------
    (str, bytes, int)
        "made" and the pickled result, "died" and how, or "raised" and the pickled error; with how many samples were
        counted.
    """
    display = _Display(counted)
    try:
        if (own := versions()) != assignment.versions:
            raise WorkerError(differing(socket.gethostname(), own, assignment.versions))
        with shown_on(display):
            outcome = _Host.take(assignment).make(assignment, job, task, abandoned)
    except BaseException as error:
        return "raised", packed(error), display.done
    if isinstance(outcome, Death):
        return "died", f"{outcome.how} on {socket.gethostname()}".encode(), display.done
    return "made", pickle.dumps(outcome), display.done


def differing(machine: str, there: dict[str, str], here: dict[str, str]) -> str:
    """The message that versions differ."""
    differ = [f"{name} {there.get(name, 'none')}, here {v}" for name, v in here.items() if there.get(name) != v]
    return (
        f"{machine}: other versions than here ({'; '.join(differ[:4])}), which may give other bytes; install the same "
        "on all machines"
    )


class _Display:
    """Samples that a child says are done, passed on."""

    def __init__(self, counted: Callable[[int], object]) -> None:
        self._counted, self.done = counted, 0

    def begin(self, what: str, total: int | None, first: str, of: str) -> None:
        """Nothing: phases are the caller's."""

    def advance(self, n: int) -> None:
        self.done += n
        self._counted(n)


class _Host:
    """A child process for one run, with the scratch folder that it works in."""

    idle: list["_Host"] = []  # noqa: RUF012  # of this process
    guard = threading.Lock()

    def __init__(self, assignment: Assignment) -> None:
        self.run, self._job, self._jobs = assignment.run, "", 0
        self._stack = ExitStack()
        folder = self._stack.enter_context(scratch_folder())
        module, name = assignment.function
        function = getattr(import_module(module), name)
        self._workers = self._stack.enter_context(Workers[None](function, folder, 1, assignment.timeout))

    @classmethod
    def take(cls, assignment: Assignment) -> "_Host":
        """An idle one of this run, or a new one; those of other runs end."""
        with cls.guard:
            mine = next((host for host in cls.idle if host.run == assignment.run), None)
            others = [host for host in cls.idle if host.run != assignment.run]
            cls.idle[:] = [host for host in cls.idle if host is not mine and host not in others]
        for host in others:
            host.close()
        return mine or cls(assignment)

    def make(self, assignment: Assignment, job: bytes, task: bytes, abandoned: Callable[[], bool]) -> Any:
        """What comes of a task, or a `Death`."""
        ended = threading.Event()
        watch = threading.Thread(target=self._kill_if, args=(abandoned, ended), daemon=True)
        watch.start()
        try:
            if assignment.job != self._job:
                self._jobs += 1
                name = f"job-{self._jobs}"
                (self._workers.folder / name).write_bytes(job)
                self._workers.open(name)
                self._job = assignment.job
            self._workers.submit(None, pickle.loads(task))
            [(_, outcome)] = [*self._workers]
        except BaseException:
            ended.set()
            self.close()
            raise
        ended.set()
        watch.join()
        if abandoned():
            self.close()
        else:
            with self.guard:
                self.idle.append(self)
        return outcome

    def close(self) -> None:
        """End the process and remove its folder."""
        self._stack.close()

    def _kill_if(self, abandoned: Callable[[], bool], ended: threading.Event) -> None:
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            if abandoned():  # a process that is started meanwhile is killed the next time
                self._workers.kill()


@atexit.register
def _end_hosts() -> None:
    for host in _Host.idle:
        host.close()
    _Host.idle.clear()
