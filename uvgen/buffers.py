"""Buffers of one call, kept for the next: fresh pages cost as much as the work that fills them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Buffer = TypeVar("Buffer")


class BufferPool(Generic[Buffer]):
    """Lends a buffer to one call at a time, so that calls may come from several threads.

    It is pickled and copied without its buffers: another process makes its own.

    Parameters
    ----------
    make : callable
        Makes a buffer where none is free: a class or a function of a module, which can be pickled.
    """

    def __init__(self, make: Callable[[], Buffer]) -> None:
        self._make = make
        self._free: list[Buffer] = []

    def __reduce__(self) -> tuple[type["BufferPool[Buffer]"], tuple[Callable[[], Buffer]]]:
        return type(self), (self._make,)

    @contextmanager
    def borrowed(self) -> Iterator[Buffer]:
        """A buffer that nobody else has; what it holds is undefined. It is dropped where an exception is raised."""
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = self._make()
        yield buffer
        self._free.append(buffer)
