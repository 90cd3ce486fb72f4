"""Ctrl-C in the middle of work that must not be cut at any odd point.

Python raises KeyboardInterrupt wherever it happens to be. Inside HDF5 that may crash the process, inside a destructor
it is dropped, and in starting worker processes it prints their tracebacks.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_deferred() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back; leaving the block raises it.

    Yields
    ------
    callable
        To be called at points where stopping is safe: raises KeyboardInterrupt if there was one.
    """
    seen: list[int] = []

    def check() -> None:
        if seen:
            raise KeyboardInterrupt

    with _handler(lambda number, _: seen.append(number)):
        yield check
    check()


@contextmanager
def interrupts_kept() -> Iterator[Callable[[], None]]:
    """Raise KeyboardInterrupt as Python does, and remember it: where it falls into a destructor, Python drops it.

    Yields
    ------
    callable
        To be called now and then: raises KeyboardInterrupt if there was one.
    """
    seen: list[int] = []

    def handle(number: int, _: object) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if seen:
            raise KeyboardInterrupt

    with _handler(handle):
        yield check


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Ignore Ctrl-C; processes that are started meanwhile ignore it for good."""
    with _handler(signal.SIG_IGN):
        yield


@contextmanager
def _handler(handler: "Callable[[int, object], object] | signal.Handlers") -> Iterator[None]:
    previous = signal.getsignal(signal.SIGINT)
    # only the main thread may change it; a worker that ignores it must go on doing so
    if threading.current_thread() is not threading.main_thread() or previous in (signal.SIG_IGN, None):
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
