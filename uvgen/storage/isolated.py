"""Reading HDF5 files in a process of its own: a file that breaks HDF5 ends that process, not the caller's.

`Hdf5Process.open` gives what `uvgen.storage.hdf5_reading.open_hdf5` gives, with the same checks, made over there.
Inside `reading_in_child`, `open_hdf5` does so itself. Requests and answers are JSON and plain bytes, never pickles, and
answers are checked. The process is no sandbox: it runs with the user's rights, though it may neither write files nor,
on Linux, start processes (root aside).
"""

import errno
import math
import os
import re
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError, UvgenError, WorkerError
from uvgen.storage.hdf5_dataset import MAX_INFLATED_BYTES, Hdf5Dataset
from uvgen.storage.hdf5_reading import Hdf5File, is_opened_elsewhere, opened_by
from uvgen.storage.isolated_server import MAX_SECONDS, READY, GoneError, receive, send
from uvgen.storage.names import printable

_MAX_MESSAGE = 2000  # characters of an error
_SECONDS_BETWEEN_LOOKS = 1.0
_FROM_OUTSIDE = (
    {
        signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP,
        signal.SIGXCPU,  # it has read for long under `ulimit -t`: a new one has all of that time again
        signal.SIGALRM,  # its own clock, by which it ends without its owner, went on while both were stopped (Ctrl-Z)
    }
    if os.name == "posix"
    else set()
)  # fmt: skip


class _EndedError(Exception):
    """The process has ended, or was ended because its answer took too long or cannot be."""

    def __init__(self, how: str, is_from_outside: bool = False, has_served: bool = True) -> None:
        super().__init__(how, is_from_outside, has_served)
        self.how, self.is_from_outside, self.has_served = how, is_from_outside, has_served

    def __str__(self) -> str:
        return self.how


@contextmanager
def reading_in_child(untrusted: bool) -> Iterator[None]:
    """If files are not trusted, read all HDF5 files within the block in one child process, which ends with the block.

    Only for what is read whole there: see `Hdf5Process` for files that stay open.
    """
    if not untrusted or is_opened_elsewhere():
        yield
        return
    process = Hdf5Process()
    try:
        with opened_by(process.open):
            yield
    finally:
        process.close()


class Hdf5Process:
    """A child process that reads HDF5 files. It is started by the first request, and again if it has crashed."""

    def __init__(self, max_seconds: float | None = None) -> None:
        self._lock, self._max_seconds = threading.Lock(), MAX_SECONDS if max_seconds is None else max_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._is_ready = False  # whether the process has said that it runs
        self._broke: dict[tuple[str, int, int], str] = {}  # files at which a process ended, and how

    def open(
        self, path: Path, error: type[UvgenError] = DatasetError, hint: str = "", lead: str = "", user_block: int = 0
    ) -> Hdf5File:
        """As `uvgen.storage.hdf5_reading.open_hdf5`."""
        return _IsolatedFile(self, path, error, hint, lead, user_block)

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def ask(self, file: "_IsolatedFile", what: str, *arguments: Any) -> tuple[Any, bytearray]:
        """The answer to a request about a file: a JSON value, and the bytes of an array."""
        request = {"path": str(file.path), "user_block": file.user_block, "hint": file.hint, "lead": file.lead,
                   "opened": file.opened, "what": what, "arguments": arguments}  # fmt: skip
        with self._lock:
            state = _state(file.path)
            if state in self._broke:  # each further request would wait as long again
                raise file.refused(self._broke[state])
            for is_last in (False, True):
                try:
                    answer, data = self._exchanged(file.path, request)
                    break
                except _EndedError as ended:
                    if ended.is_from_outside and not is_last:  # as by the system, which is short of memory
                        continue
                    if not ended.has_served:  # it saw no file
                        raise _not_started(file.path, RuntimeError(f"it {ended}")) from ended
                    self._broke[state] = f"the process that read it {ended}: the file is damaged, or made to do harm"
                    raise file.refused(self._broke[state]) from ended
        if isinstance(answer, dict) and isinstance(answer.get("error"), str):
            raise _passed_on(file, answer)
        return answer, data

    def _exchanged(self, path: Path, request: dict[str, Any]) -> tuple[Any, bytearray]:
        """The answer of the process; _EndedError if it crashes, hangs, or sends an invalid answer."""
        try:
            child = self._started()
        except OSError as error:  # no more processes, files or memory
            raise _not_started(path, error) from error
        hung, answered = threading.Event(), threading.Event()
        watch = threading.Thread(target=_end_hung, args=(child, hung, answered, self._max_seconds), daemon=True)
        try:
            watch.start()
        except RuntimeError as error:  # no more threads
            self._end()
            raise _not_started(path, error) from error
        try:
            if not self._is_ready:
                self._is_ready = receive(child.stdout)[0] == READY
                if not self._is_ready:
                    raise ValueError("an answer that cannot be")
            send(child.stdin, request)
            return receive(child.stdout)
        except (OSError, ValueError, RecursionError) as error:
            is_gone = isinstance(error, GoneError | BrokenPipeError)
            if is_gone:
                with suppress(subprocess.TimeoutExpired):  # its own status, not that of being killed here
                    child.wait(timeout=5)
            child.kill()
            status, was_ready = child.wait(), self._is_ready
            self._end()
            if hung.is_set():
                raise _EndedError(f"took more than {self._max_seconds:g} s") from error
            from_outside = is_gone and -status in _FROM_OUTSIDE
            raise _EndedError(f"ended with status {status}", from_outside, was_ready or not is_gone) from error
        except BaseException:  # Ctrl-C, or no memory for the answer: the next request would read the rest of it
            self._end()
            raise
        finally:
            answered.set()

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._child is None or self._child.poll() is not None:
            self._end()
            child = subprocess.Popen(
                self._command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            self._child, self._finalizer, self._is_ready = child, weakref.finalize(self, _end_child, child), False
        return self._child

    def _command(self) -> list[str]:
        # the same packages as here, and none of the working folder's
        code = f"import sys; sys.path[:] = {sys.path!r}; from uvgen.storage.isolated_server import serve; serve()"
        return [sys.executable, "-c", code]

    def _end(self) -> None:
        if self._child is not None:
            self._finalizer()
            self._child = None


def _not_started(path: Path, error: OSError | RuntimeError) -> WorkerError:
    """For what is the machine's fault, and no file's."""
    why = getattr(error, "strerror", None) or error
    return WorkerError(f"{path}: no process can be started to read it in ({why}); raise the limits (ulimit -a)")


def _passed_on(file: "_IsolatedFile", answer: dict[str, Any]) -> Exception:
    """The error that the process met; if the machine is short of something, with that as its cause."""
    code = answer.get("errno")
    if code == errno.ENOMEM:
        return MemoryError(f"{file.path}: memory ran out while it was read")
    error = file.error(printable(answer["error"])[:_MAX_MESSAGE])
    if type(code) is int:
        error.__cause__ = OSError(code, os.strerror(code))
    return error


def _state(path: Path) -> tuple[str, int, int]:
    """What tells a file from what it is after a change."""
    try:
        stat = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), stat.st_size, stat.st_mtime_ns


def _end_hung(
    child: "subprocess.Popen[bytes]", hung: threading.Event, answered: threading.Event, seconds: float
) -> None:
    """Kill the process if it does not answer in time; while this one is stopped (Ctrl-Z), no time passes."""
    left = seconds
    while left > 0:
        look = min(left, _SECONDS_BETWEEN_LOOKS)
        if answered.wait(look):
            return
        left -= look
    hung.set()
    child.kill()


def _end_child(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(OSError):  # a request that was not sent is written on closing
                pipe.close()


class _IsolatedFile(Hdf5File):
    """A file that another process has open."""

    def __init__(
        self, process: Hdf5Process, path: Path, error: type[UvgenError], hint: str, lead: str, user_block: int
    ) -> None:
        self.path, self._error, self._hint, self._lead = path, error, hint, lead
        self.error, self.hint, self.lead, self.user_block = error, hint, lead, user_block
        self._process, self._descriptor = process, None
        self.opened: Any = None  # the state of the file that the process opened, as it says
        self.opened = self._ask("open")[0]
        with self.guarded("the file"):
            self.size = path.stat().st_size
        self.state = self._last_written()

    def _ask(self, what: str, *arguments: Any) -> tuple[Any, bytearray]:
        return self._process.ask(self, what, *arguments)

    def close(self) -> None:
        """Nothing: the process closes files that were not used for long."""

    def is_group(self, name: str) -> bool:
        return self._ask("is_group", name)[0] is True

    def members(self, name: str) -> list[str]:
        found = self._ask("members", name)[0]
        if not isinstance(found, list):
            raise self.refused("members that are not a list")
        return [printable(str(member)) for member in found]

    @cached_property
    def attributes(self) -> dict[str, Any]:
        return _mapping(self, self._ask("attributes")[0])

    def safe_dataset(self, name: str) -> Hdf5Dataset:
        return _IsolatedDataset(self, name)


def _mapping(file: _IsolatedFile, answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise file.refused("attributes that cannot be")
    return answer


class _IsolatedDataset(Hdf5Dataset):
    """A dataset of such a file."""

    def __init__(self, file: _IsolatedFile, name: str) -> None:
        self._file, self._isolated, self.name = file, file, name
        with file.guarded(name):
            found, _ = file._ask("dataset", name)
            if not re.fullmatch(r"[<>|][fiubS]\d{1,9}", found["dtype"]) or not isinstance(found["by_row"], bool):
                raise ValueError("an answer that cannot be")
            self.dtype, self.shape, self.by_row = np.dtype(found["dtype"]), tuple(found["shape"]), found["by_row"]
            self._offset = found["offset"]  # for `map`, which reads no HDF5
            numbers = [*self.shape, 0 if self._offset is None else self._offset]
            if any(type(n) is not int or n < 0 for n in numbers):
                raise ValueError("an answer that cannot be")
        self.n_bytes = math.prod(self.shape) * self.dtype.itemsize

    @cached_property
    def attributes(self) -> dict[str, Any]:
        return _mapping(self._isolated, self._isolated._ask("dataset attributes", self.name)[0])

    def _array(self, data: bytearray, shape: tuple[int, ...]) -> NDArray[Any]:
        with self._file.guarded(self.name):
            array = np.frombuffer(data, self.dtype).reshape(shape)
            return array.view(np.uint8) != 0 if array.dtype == np.bool_ else array

    def read_row(self, row: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        found = self._array(self._isolated._ask("read_row", self.name, int(row))[1], self.shape[1:])
        if out is None:
            return found
        out[...] = found
        return out

    def read(self, max_bytes: int = MAX_INFLATED_BYTES) -> NDArray[Any]:
        return self._array(self._isolated._ask("read", self.name, max_bytes)[1], self.shape)

    def read_range(self, start: int, stop: int) -> NDArray[Any]:
        data = self._isolated._ask("read_range", self.name, int(start), int(stop))[1]
        return self._array(data, (stop - start, *self.shape[1:]))
