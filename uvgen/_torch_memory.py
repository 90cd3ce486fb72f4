"""Memory for batches, used again: in one process, and between a data loader's worker and the process it works for.

A batch's fresh memory costs a page fault every 4 kB, together as long as reading the samples; fresh shared memory
costs several times that, and every tensor in it a connection between the processes.
"""

import math
import os
import threading
import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

_SPARE = 4  # buffers of one size kept for the next batch
_MOST_SLOTS = 8  # of a worker; a data loader has three or four in use
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
    """Memory of this process, used again once nobody holds the tensors made of it."""

    def __init__(self) -> None:
        self._spare: dict[int, list[NDArray[np.uint8]]] = {}
        self._scratch = threading.local()

    def __reduce__(self) -> Any:
        return Buffers, ()  # each process has its own

    def take(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """An uninitialized tensor."""
        size = math.prod(shape) * dtype.itemsize
        spare = self._spare.setdefault(size, [])
        memory = spare.pop() if spare else np.empty(size, np.uint8)
        handle = memory[:]  # lives as long as the tensor's storage, which holds it
        weakref.finalize(handle, _keep, spare, memory).atexit = False
        return torch.from_numpy(handle).view(dtype).view(shape)

    def borrow(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Memory that is overwritten when the same thread borrows the same name again."""
        found = getattr(self._scratch, name, None)
        if found is None or found.shape != shape or found.dtype != dtype:
            found = np.empty(shape, dtype)
            setattr(self._scratch, name, found)
        return found


def _keep(spare: list[NDArray[np.uint8]], memory: NDArray[np.uint8]) -> None:
    if len(spare) < _SPARE:
        spare.append(memory)


class Slots:
    """Shared memory of a worker, used again once the process that it was sent to holds no tensor made of it.

    The receiver maps the same memory and clears the slot's first byte when it is done with it.
    """

    def __init__(self) -> None:
        self._slots: list[_Slot] = []

    def __reduce__(self) -> Any:
        return Slots, ()  # each process has its own

    def take(self, layout: Layout) -> tuple["Parcel", dict[str, torch.Tensor]]:
        """A parcel to send, and its arrays to fill; free again where the parcel is dropped before it was sent."""
        places, stop = {}, _HEADER
        for name, (shape, dtype) in layout.items():
            places[name] = Place(stop, shape, dtype)
            stop += -(-math.prod(shape) * dtype.itemsize // _HEADER) * _HEADER
        slot = next((slot for slot in self._slots if slot.free and len(slot.memory) >= stop), None)
        if slot is None:
            slot = _Slot(stop)
            self._slots = [*self._slots[1 - _MOST_SLOTS :], slot]  # who still holds the oldest keeps its memory
        parcel = Parcel(slot, places)
        slot.parcel = weakref.ref(parcel)
        return parcel, {name: place.of(slot.memory) for name, place in places.items()}


class _Slot:
    def __init__(self, size: int) -> None:
        self.memory = torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(size))
        self.memory[0] = 0
        self.parcel: Any = lambda: None

    @property
    def free(self) -> bool:
        return self.parcel() is None and not self.memory[0]


class Parcel:
    """Arrays in a slot on their way to another process, where they arrive as a dict of tensors."""

    def __init__(self, slot: _Slot, places: dict[str, Place]) -> None:
        self._slot, self._places = slot, places

    def __reduce__(self) -> Any:  # in whatever thread pickles it; until then, the parcel itself keeps the slot
        self._slot.memory[0] = 1
        return _receive, (self._slot.memory, self._places)


def _receive(memory: torch.Tensor, places: dict[str, Place]) -> dict[str, torch.Tensor]:
    array = memory.numpy()
    handle = array[:]  # lives as long as the storage of the tensors, which holds it
    weakref.finalize(handle, _clear, array, os.getpid()).atexit = False
    received = torch.from_numpy(handle)
    return {name: place.of(received) for name, place in places.items()}


def _clear(array: NDArray[np.uint8], pid: int) -> None:
    if os.getpid() == pid:  # a process forked from the receiver inherits what that one still uses
        array[0] = 0
