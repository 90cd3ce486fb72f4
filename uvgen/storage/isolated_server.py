"""The process at the other end of `uvgen.storage.isolated`: it opens HDF5 files and answers requests about them.

A message is two lengths, JSON and plain bytes. This process gives up the rights that reading does not need.
"""

import errno
import json
import os
import signal
import struct
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError, UvgenError
from uvgen.storage.hdf5_dataset import Hdf5Dataset
from uvgen.storage.hdf5_reading import Hdf5File, open_hdf5

MAX_SECONDS = 120.0
"""How long a request may take before the process counts as hung and is killed."""

READY = "ready"
"""The first answer, before any request."""

_MAX_MEMORY = 16 << 30
_MAX_HEADER = 64 << 20
_MAX_OPEN = 64
_SPARE_SECONDS = 10
_SHORT_OF_FILES = (errno.EMFILE, errno.ENFILE)

_OpenFiles = OrderedDict[tuple[str, int], tuple[Hdf5File, dict[str, Hdf5Dataset]]]


def serve() -> None:
    """Answer requests from standard input until it ends."""
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)  # whatever a library prints is no answer
    _give_up_rights()
    files: _OpenFiles = OrderedDict()
    with suppress(OSError):
        send(target, READY)
    while True:
        try:
            request, _ = receive(source)
        except (OSError, ValueError):
            return
        _end_in(MAX_SECONDS + _SPARE_SECONDS)  # the other process ends this one before, unless it is killed itself
        try:
            answer, array = _answer(files, request)
        except (UvgenError, MemoryError) as error:
            answer, array = {"error": str(error), "errno": _shortage(error)}, None
        try:
            send(target, answer, array)
        except OSError:
            return
        _end_in(0)


def _end_in(seconds: float) -> None:
    """Let the system end this process after a while, even within HDF5; 0 takes that back."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _answer(files: _OpenFiles, request: dict[str, Any]) -> tuple[Any, NDArray[Any] | None]:
    path, user_block, what, arguments = (request[key] for key in ("path", "user_block", "what", "arguments"))
    key = path, user_block
    if what == "open" and key in files and files[key][0].has_changed():
        files.pop(key)[0].close()
    while key not in files:
        try:
            opened = open_hdf5(Path(path), DatasetError, request["hint"], request["lead"], user_block=user_block)
        except UvgenError as error:
            if _shortage(error) not in _SHORT_OF_FILES or not files:
                raise
            files.popitem(last=False)[1][0].close()
            continue
        files[key] = opened, {}
        if len(files) > _MAX_OPEN:
            files.popitem(last=False)[1][0].close()
    file, datasets = files[key]
    files.move_to_end(key)
    state = None if file.state is None else [list(file.state[0]), *file.state[1:]]
    if what == "open":
        return state, None
    if request["opened"] not in (None, state):  # by a process that ended, or that closed it for others
        raise DatasetError(f"{path}: is another file than the one that was opened; was it replaced? Open it again")
    if what == "members":
        return file.members(*arguments), None
    if what == "is_group":
        return file.is_group(*arguments), None
    if what == "attributes":
        return _plain(file.attributes), None
    name = arguments[0]
    data = datasets[name] = datasets.get(name) or file.safe_dataset(name)
    if what == "dataset":
        place = {"offset": data.offset, "by_row": data.by_row}
        return {"dtype": data.dtype.str, "shape": data.shape, **place}, None
    if what == "dataset attributes":
        return _plain(data.attributes), None
    if what == "read_row":
        return None, data.read_row(*arguments[1:])
    return None, data.read_range(*arguments[1:]) if what == "read_range" else data.read(*arguments[1:])


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in attributes.items()}


def _give_up_rights() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = [("RLIMIT_CORE", 0), ("RLIMIT_FSIZE", 0), ("RLIMIT_NPROC", 0), ("RLIMIT_AS", _MAX_MEMORY)]
    for name, value in limits:
        with suppress(AttributeError, OSError, ValueError):  # not on this system, or a lower limit is set
            resource.setrlimit(getattr(resource, name), (value, value))


def _shortage(error: BaseException) -> int | None:
    """The resource that the machine lacks, as an errno, if that is why a file cannot be read."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return errno.ENOMEM
        if isinstance(cause, OSError) and cause.errno in (*_SHORT_OF_FILES, errno.ENOMEM, errno.EAGAIN):
            return cause.errno
        cause = cause.__cause__
    return None


class GoneError(OSError):
    """The other end of a pipe is closed."""


def send(pipe: Any, value: Any, array: NDArray[Any] | None = None) -> None:
    """Write a message to a pipe: a JSON value, and the bytes of an array."""
    header = json.dumps(value).encode()
    data = b"" if array is None else memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    pipe.write(struct.pack("<QQ", len(header), len(data)) + header)
    pipe.write(data)
    pipe.flush()


def receive(pipe: Any) -> tuple[Any, bytearray]:
    """The next message of a pipe; GoneError if it has ended, OSError if the lengths cannot be."""
    lengths = pipe.read(16)
    if len(lengths) < 16:
        raise GoneError("the other process has ended")
    n_header, n_data = struct.unpack("<QQ", lengths)
    if n_header > _MAX_HEADER or n_data > _MAX_MEMORY:
        raise OSError("an answer that cannot be")
    header, data = pipe.read(n_header), bytearray(n_data)
    if len(header) < n_header or pipe.readinto(data) < n_data:
        raise GoneError("the other process has ended")
    return json.loads(header), data
