"""Memory for batches that is reused, within a process and between a data loader's worker and the training process.

A batch's fresh memory costs a page fault every 4 kB, together as long as reading the samples; fresh shared memory
costs several times that, and every tensor in it a connection between the processes. If the system has memory
without a name (Linux), slots are made of it, whatever PyTorch's sharing strategy is: nothing is left of them when
their processes are killed.
"""

import itertools
import math
import mmap
import multiprocessing
import multiprocessing.reduction
import multiprocessing.util
import os
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from uvgen.parallel.child import end_after_parent

_SPARE = 8  # buffers kept for the next batches
_MOST_FREE = 4  # slots kept by a worker besides those that are lent
_HEADER = 64  # bytes before a slot's content; the first says whether it is lent


class Place(NamedTuple):
    """Where in a slot an array lies."""

    start: int
    shape: tuple[int, ...]
    dtype: torch.dtype

    def of(self, memory: torch.Tensor) -> torch.Tensor:
        """The array, in a slot's memory (n,) uint8."""
        stop = self.start + math.prod(self.shape) * self.dtype.itemsize
        return memory[self.start : stop].view(self.dtype).view(self.shape)


Layout = Mapping[str, tuple[tuple[int, ...], torch.dtype]]
"""Shape and dtype of each array."""


class Buffers:
    """Memory of this process that is reused when the tensors made from it are gone."""

    def __init__(self) -> None:
        self._spare: deque[NDArray[np.uint8]] = deque(maxlen=_SPARE)  # its methods are safe in threads
        self._scratch = threading.local()

    def __reduce__(self) -> Any:
        return Buffers, ()  # each process has its own

    def take(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """An uninitialized tensor."""
        size = math.prod(shape) * dtype.itemsize
        memory = self._fitting(size)
        handle = memory[:size]  # lives as long as the tensor's storage, which holds it
        weakref.finalize(handle, self._spare.append, memory).atexit = False
        return torch.from_numpy(handle).view(dtype).view(shape)

    def _fitting(self, size: int) -> NDArray[np.uint8]:
        others = []
        try:
            for _ in range(_SPARE):
                memory = self._spare.pop()
                if size <= len(memory) <= 2 * size:
                    return memory
                others.append(memory)
        except IndexError:  # there are no more
            pass
        finally:
            self._spare.extendleft(others)
        return np.empty(size, np.uint8)

    def borrow(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Memory that is overwritten when the same thread borrows the same name again."""
        found = getattr(self._scratch, name, None)
        if found is None or found.shape != shape or found.dtype != dtype:
            found = np.empty(shape, dtype)
            setattr(self._scratch, name, found)
        return found


class Slots:
    """Shared memory of a worker that is reused when the receiving process has dropped the tensors made from it.

    The receiver maps the same memory and clears the slot's first byte when it is done with it. A process forked from
    the receiver must not use what it inherits: it cannot tell when the receiver lets go of it.
    """

    def __init__(self) -> None:
        self._slots: list[_Slot] = []
        self._cleared_at_exit = False

    def __reduce__(self) -> Any:
        return Slots, ()  # each process has its own

    def take(self, layout: Layout) -> "Parcel":
        """A parcel to fill and send. If it is dropped before it is sent, its memory is free again."""
        if not self._cleared_at_exit:
            if multiprocessing.parent_process() is not None:
                end_after_parent()  # PyTorch's own check lets workers live for five seconds more
            # a worker's exit runs no destructors, without which shared files outlive it
            multiprocessing.util.Finalize(None, self._slots.clear, exitpriority=1)
            self._cleared_at_exit = True
        places, stop = {}, _HEADER
        for name, (shape, dtype) in layout.items():
            places[name] = Place(stop, shape, dtype)
            stop += -(-math.prod(shape) * dtype.itemsize // _HEADER) * _HEADER
        free = [slot for slot in self._slots if slot.free]
        large = [slot for slot in free if len(slot.memory) >= stop]
        chosen = large[0] if large else _Slot(stop)
        lent = [slot for slot in self._slots if slot not in free]
        self._slots[:] = [*lent, chosen, *large[1 : 1 + _MOST_FREE]]
        return chosen.lend(places)


class _Slot:
    def __init__(self, size: int) -> None:
        self._file = _Nameless(size) if _NAMELESS else None
        if self._file is not None:
            self.memory = torch.from_numpy(self._file.array())
        else:
            self.memory = torch.empty(size, dtype=torch.uint8).share_memory_()
        self.memory[0] = 0
        self._parcel: Any = lambda: None

    @property
    def free(self) -> bool:
        return self._parcel() is None and not self.memory[0]

    def lend(self, places: dict[str, Place]) -> "Parcel":
        parcel = Parcel(self.memory, places, self._file)
        self._parcel = weakref.ref(parcel)
        return parcel


_NAMELESS = hasattr(os, "memfd_create") and hasattr(multiprocessing.reduction, "DupFd")


class _Nameless:
    """Memory without a name, passed to other processes by its descriptor, and freed when the last of them ends."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._handle = os.memfd_create("uvgen")
        weakref.finalize(self, os.close, self._handle).atexit = False
        os.posix_fallocate(self._handle, 0, size)  # an error here, if writing would kill the process

    def array(self) -> NDArray[np.uint8]:
        """The memory; it stays as long as an array of it does."""
        return np.frombuffer(mmap.mmap(self._handle, self._size), np.uint8)

    def __reduce__(self) -> Any:
        return _open_nameless, (multiprocessing.reduction.DupFd(self._handle), self._size)


def _open_nameless(sent: Any, size: int) -> NDArray[np.uint8]:
    handle = sent.detach()
    try:
        return np.frombuffer(mmap.mmap(handle, size), np.uint8)
    finally:
        os.close(handle)


class Parcel:
    """Arrays in a slot on their way to another process, where they arrive as a dict of tensors."""

    def __init__(self, memory: torch.Tensor, places: dict[str, Place], file: _Nameless | None) -> None:
        self._memory, self._places, self._file = memory, places, file

    def tensors(self) -> dict[str, torch.Tensor]:
        """The arrays. Do not use them after the parcel was sent or dropped."""
        return {name: place.of(self._memory) for name, place in self._places.items()}

    def __reduce__(self) -> Any:  # in whatever thread pickles it; until then, the parcel itself keeps the slot
        self._memory[0] = 1
        return _receive, (self._memory if self._file is None else self._file, self._places)


# What a process forked from the receiver inherits it must never free: if shared memory has a name (the sharing
# strategy "file_system"), that would remove the name, under which the worker sends the same slot again.
_received: "weakref.WeakValueDictionary[int, NDArray[np.uint8]]" = weakref.WeakValueDictionary()
_numbers = itertools.count()
_inherited: list[NDArray[np.uint8]] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _inherited.extend(_received.values()))


def _receive(memory: torch.Tensor | NDArray[np.uint8], places: dict[str, Place]) -> dict[str, torch.Tensor]:
    array = memory.numpy() if isinstance(memory, torch.Tensor) else memory
    _received[next(_numbers)] = array
    handle = array[:]  # lives as long as the storage of the tensors, which holds it
    weakref.finalize(handle, _clear, array, os.getpid()).atexit = False
    received = torch.from_numpy(handle)
    return {name: place.of(received) for name, place in places.items()}


def _clear(array: NDArray[np.uint8], pid: int) -> None:
    if os.getpid() == pid:  # a process forked from the receiver inherits what that one still uses
        array[0] = 0
