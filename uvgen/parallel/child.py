"""A worker process: opens a job, makes one task after the other, and ends when its parent does.

Tasks and results travel as files in the run's folder, and only their names through the pipe: a message is so short that
neither side ever waits for a process that does not read.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_COUNTS = 0.2
_NO_MEMORY = pickle.dumps(MemoryError())  # now, while there is some
_BLAS_SIDE = 256  # BLAS multiplies small matrices without memory of its own


def main(descriptor: str, parent: str, module: str, function: str, folder: str) -> None:
    """Serve the process `parent` through a pipe: ``module.function(folder / job)`` returns what makes its tasks."""
    from uvgen.interrupts import SIGNALS, expect_time_limit
    from uvgen.progress import shown_on

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's matter
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    expect_time_limit()
    end_with(int(parent))
    from multiprocessing.connection import Connection

    pipe = Connection(int(descriptor))
    counter = _Counter(pipe)
    make: Any = None
    while True:
        try:
            order, number = pipe.recv_bytes().decode().split()
        except EOFError:
            return
        if order == "open":
            make = None  # its memory is needed
            try:
                make = getattr(import_module(module), function)(Path(folder, number))
                _take_blas_memory()
            except BaseException as error:
                pipe.send_bytes(b"broken " + packed(error))
                return
            pipe.send_bytes(b"ready")
            continue
        try:
            task = Path(folder, f"task-{number}")
            with shown_on(counter):
                result = make(pickle.loads(task.read_bytes()))
            _write(Path(folder, f"result-{number}"), pickle.dumps(result))
        except BaseException as error:
            pipe.send_bytes(b"raised " + packed(error))
        else:
            counter.send()
            pipe.send_bytes(b"made")


def _write(path: Path, data: bytes) -> None:
    """Write a result; DatasetError if the run's folder is full: the error of the system alone names no file."""
    try:
        path.write_bytes(data)
    except OSError as error:
        from uvgen.errors import DatasetError

        raise DatasetError(
            f"{path}: cannot be written ({error.strerror or error}); set TMPDIR to a folder with free space"
        ) from error


def _take_blas_memory() -> None:
    """Let BLAS take the memory that it works in; if there is none, it ends the process.

    Such a process counts as one that cannot be started; no sample is blamed for it.
    """
    import numpy as np

    square = np.ones((_BLAS_SIDE, _BLAS_SIDE))
    np.matmul(square, square)


class _Counter:
    """Tells the parent now and then how many samples more are done, as `uvgen.progress.Display`."""

    def __init__(self, pipe: Any) -> None:
        self._pipe, self._done, self._sent_at = pipe, 0, 0.0

    def begin(self, what: str, total: int | None, first: str, of: str) -> None:
        """Nothing: phases are the parent's."""

    def advance(self, n: int, *, starting: bool = False) -> None:
        self._done += n
        if time.monotonic() - self._sent_at >= _SECONDS_BETWEEN_COUNTS:
            self.send()

    def send(self) -> None:
        """What was not sent yet."""
        if self._done:
            self._pipe.send_bytes(f"some {self._done}".encode())
        self._done, self._sent_at = 0, time.monotonic()


def packed(error: BaseException) -> bytes:
    """An error as bytes; with where it was raised, unless it is meant for people. MemoryError if memory ran out."""
    try:
        return _packed(error)
    except MemoryError:
        return _NO_MEMORY


def _packed(error: BaseException) -> bytes:
    from uvgen.errors import UvgenError

    text = "".join(traceback.format_exception(error))
    if not isinstance(error, Exception):  # an exit: the parent's is not meant
        error = RuntimeError(f"{type(error).__name__}: {error}")
    if not isinstance(error, UvgenError):
        error.add_note(f"In a worker process:\n{text}")
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except MemoryError:
        raise
    except Exception:  # an error that cannot travel
        data = pickle.dumps(RuntimeError(text))
    return data


def end_with(parent: int) -> None:
    """Let this process be killed when its parent ends, whichever way; at once if it has ended already.

    Linux does so itself; it follows the thread that started this process, which is the one that waits for its results.
    Elsewhere, a thread looks now and then.
    """
    if not _killed_by_kernel():
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def end_after_parent() -> None:
    """Let this process, which others have started, be killed within a second of its parent's end.

    By a thread: the kernel would follow the thread that started it, which may end before the process does. What a
    fork server started is its child, and the server lives as long as any of them: there, the process counts that asked
    for it.
    """
    parent, asked_by = os.getppid(), multiprocessing.parent_process()
    by_server = None if asked_by is None or asked_by.pid == parent else asked_by
    threading.Thread(target=_watch, args=(parent, by_server), daemon=True).start()


def _killed_by_kernel() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    try:
        prctl: Any = ctypes.CDLL(None, use_errno=True).prctl
        return bool(prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def _watch(parent: int, asked_by: Any = None) -> None:
    while os.getppid() == parent and (asked_by is None or asked_by.is_alive()):
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGKILL)
