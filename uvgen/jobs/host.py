"""What runs on a machine of a cluster: a child process that makes tasks, as on one machine.

A cluster's worker (a thread of a Dask worker, or a Ray actor) starts the child process and keeps it for the run. A
sample that crashes or hangs its process ends only that child, and the cluster's worker goes on.
"""

import atexit
import errno
import os
import pickle
import platform
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, NamedTuple

from uvgen._version import __version__
from uvgen.errors import UvgenError, WorkerError
from uvgen.parallel.child import packed
from uvgen.parallel.workers import Death, Workers
from uvgen.progress import shown_on
from uvgen.storage.files import sha256_file
from uvgen.storage.locks import scratch_folder
from uvgen.storage.names import os_reason

_SECONDS_BETWEEN_LOOKS = 0.3
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Assignment(NamedTuple):
    """What all calls of one run have in common."""

    run: str  # a random name
    job: str  # the SHA-256 of its bytes
    function: tuple[str, str]  # module and name of what opens a job's file
    timeout: float | None  # seconds per task
    versions: dict[str, str]  # of the machine that started the run
    token: str | None = None  # path of a file in the output folder, while there is work
    files: tuple[tuple[str, str], ...] = ()  # paths of files that the job refers to, and their SHA-256


class Machine(NamedTuple):
    """What `probe` finds on a worker's machine before the run."""

    name: str
    versions: dict[str, str]
    sees: bool  # whether the token file is there
    files: dict[str, str]  # SHA-256 of files, by path; "" if one cannot be read


def versions() -> dict[str, str]:
    """Versions of Python, uvgen and the packages it requires: the bytes may depend on each."""
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "uvgen": __version__}
    for line in requires("uvgen") or ():
        if "extra ==" not in line:
            package = "".join(c if c.isalnum() or c in "-_." else " " for c in line).split()[0]
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = "none"
    return found


@lru_cache(maxsize=1)
def _versions_at(_: str) -> dict[str, str]:
    """Versions on this machine, looked up once in a run: that takes 30 ms."""
    return versions()


def probe(token: str | None, files: tuple[str, ...]) -> Machine:
    """Look at the machine that this runs on.

    Parameters
    ----------
    token : str, optional
        Path of a file in the output folder, which a machine sees only if the folder is shared.
    files : tuple of str
        Paths of the files to hash.
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
    try:
        return sha256_file(Path(path))
    except OSError:
        return ""


def serve(
    assignment: Assignment, job: bytes, task: bytes, counted: Callable[[int], object], abandoned: Callable[[], bool]
) -> tuple[str, bytes, int]:
    """Make a task in a child process.

    Parameters
    ----------
    assignment : Assignment
        What the calls of the run have in common.
    job, task : bytes
        The content of a file as `Workers.open` expects it, and the pickled task.
    counted : callable
        Called with the number of samples done since the last call.
    abandoned : callable
        Returns True once the result is no longer wanted; the child process is then killed.

    Returns
    -------
    (str, bytes, int)
        "made" and the pickled result, "died" and how, or "raised" and the pickled error; then the number of samples
        that were counted.
    """
    display = _Display(counted)
    try:
        if (own := _versions_at(assignment.run)) != assignment.versions:
            raise WorkerError(differing(socket.gethostname(), own, assignment.versions))
        _check_joined(assignment.token, assignment.files)
        with shown_on(display):
            outcome = _Host.take(assignment).make(assignment, job, task, abandoned)
    except OSError as error:
        return "raised", packed(error if isinstance(error, UvgenError) else _of_machine(error)), display.done
    except BaseException as error:
        return "raised", packed(error), display.done
    if isinstance(outcome, Death):
        return "died", f"{outcome.how} on {socket.gethostname()}".encode(), display.done
    return "made", pickle.dumps(outcome), display.done


@lru_cache(maxsize=1)
def _check_joined(token: str | None, files: tuple[tuple[str, str], ...]) -> None:
    """Raise WorkerError if this machine, which may have joined after the others were looked at, cannot take part.

    What it writes would not be where the run looks for it.
    """
    name = socket.gethostname()
    if token is not None and not Path(token).exists():
        raise WorkerError(unseen(Path(token).parent, name))
    for path, sha in files:
        if (found := _sha(path)) != sha:
            raise WorkerError(
                other_file(path, name) if found else f"{path}: {name} does not have it, the first machines do; copy it"
            )


def unseen(folder: Path, machine: str) -> str:
    """The message that a machine does not see the folder that is filled."""
    return f"{folder}: {machine} does not see it, expected a folder that all machines share under one path"


def other_file(path: str, machine: str) -> str:
    """The message that a machine has another content in a file."""
    return f"{path}: {machine} has another file there; copy one to all"


def _of_machine(error: OSError) -> WorkerError:
    """What the system of this machine refuses, such as a file on a full disk, with the machine's name."""
    what = f"{error.filename}: {os_reason(error)}" if error.filename else os_reason(error)
    hint = "; TMPDIR on that machine needs a folder with free space" if error.errno in _FULL else ""
    return WorkerError(f"{socket.gethostname()}: {what}{hint}")


def differing(machine: str, there: dict[str, str], here: dict[str, str]) -> str:
    """The message that versions differ."""
    differ = [f"{name} {there.get(name, 'none')}, here {v}" for name, v in here.items() if there.get(name) != v]
    return (
        f"{machine}: other versions than here ({'; '.join(differ[:4])}), which may give other bytes; install the same "
        "on all machines"
    )


class _Display:
    """A progress display that passes the samples that the child has done on to `counted`."""

    def __init__(self, counted: Callable[[int], object]) -> None:
        self._counted, self.done = counted, 0

    def begin(self, what: str, total: int | None, first: str, of: str) -> None:
        """Do nothing: the machine that started the run shows phases."""

    def advance(self, n: int, *, starting: bool = False) -> None:
        self.done += n
        self._counted(n)


class _Host:
    """A child process of one run, and the scratch folder that it works in."""

    idle: list["_Host"] = []  # noqa: RUF012  # kept for the next task by this process
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
        """An idle host of this run, or a new one; idle hosts of other runs are closed."""
        with cls.guard:
            mine = next((host for host in cls.idle if host.run == assignment.run), None)
            others = [host for host in cls.idle if host.run != assignment.run]
            cls.idle[:] = [host for host in cls.idle if host is not mine and host not in others]
        for host in others:
            host.close()
        return mine or cls(assignment)

    def make(self, assignment: Assignment, job: bytes, task: bytes, abandoned: Callable[[], bool]) -> Any:
        """The result of a task, or a `Death`."""
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
            if abandoned():  # checked again: `Workers` may start another process for the same task
                self._workers.kill()


@atexit.register
def end_hosts() -> None:
    """End the child processes of this process that wait for tasks."""
    with _Host.guard:
        idle, _Host.idle[:] = [*_Host.idle], []
    for host in idle:
        host.close()
