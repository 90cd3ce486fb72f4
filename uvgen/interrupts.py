"""Ctrl-C, SIGTERM and SIGHUP in the middle of work that must not be cut at any odd point.

Python raises KeyboardInterrupt wherever it happens to be. Inside HDF5 that may crash the process, inside a destructor
it is dropped, and in starting worker processes it prints their tracebacks. SIGTERM and SIGHUP end a process at once,
and what it was about to remove stays; the command makes them exceptions of the same family.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""Those that ask a program to end; SIGXCPU: because it has used up its processor time (``ulimit -S -t``)."""

_SECONDS_TO_END = 5  # of processor time

_kept: list[Callable[[], None]] = []  # the check of the block of `interrupts_kept` that this process is in


class Terminated(KeyboardInterrupt):
    """SIGTERM, SIGHUP or SIGXCPU, as an exception.

    Attributes
    ----------
    number : int
        The signal.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(number)
        self.number = int(number)


def exit_status(error: KeyboardInterrupt) -> int:
    """What a shell expects of a program that a signal ended: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + (error.number if isinstance(error, Terminated) else signal.SIGINT)


@contextmanager
def interrupts_deferred() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back, and SIGTERM and SIGHUP if the program handles them; leaving the block lets them through.

    Yields
    ------
    callable
        To be called at points where stopping is safe: does what the signal would have done, if there was one.
    """
    seen: list[int] = []
    previous: dict[int, Any] = {}

    def check() -> None:
        while seen:
            number = seen.pop(0)
            handler = previous[number]
            if callable(handler):
                handler(number, None)
            else:  # the system's default, which ends the process
                raise KeyboardInterrupt

    handled = [number for number in SIGNALS if number == signal.SIGINT or callable(signal.getsignal(number))]
    try:
        with _handler(handled, lambda number, _: seen.append(number), previous):
            yield check
    finally:
        check()


@contextmanager
def interrupts_kept() -> Iterator[Callable[[], None]]:
    """Raise KeyboardInterrupt as Python does, for SIGTERM and SIGHUP too, and remember it: destructors drop it.

    The first one counts. While it is being obeyed, which takes a moment, more of them change nothing: what was begun is
    ended and removed. Within such a block, another one is the same block.

    Yields
    ------
    callable
        To be called now and then: raises KeyboardInterrupt (`Terminated`) if there was one.
    """
    if _kept:
        yield _kept[-1]
        return
    seen: list[int] = []

    def stop(number: int) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)

    def handle(number: int, _: object) -> None:
        if not seen:
            seen.append(number)
            stop(number)

    def check() -> None:
        if seen:
            stop(seen[0])

    _kept.append(check)
    try:
        with _handler(SIGNALS, handle, {}, keep=lambda: bool(seen)), _dropped_in_silence(seen):
            yield check
    finally:
        _kept.clear()


@contextmanager
def _dropped_in_silence(seen: list[int]) -> Iterator[None]:
    """Print no traceback of an interrupt that Python drops, in a destructor or a callback: `seen` remembers it."""
    before = sys.unraisablehook

    def hook(dropped: Any) -> None:
        if not (seen and issubclass(dropped.exc_type, KeyboardInterrupt)):
            before(dropped)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        if sys.unraisablehook is hook:
            sys.unraisablehook = before


def expect_time_limit() -> None:
    """Let SIGXCPU come some seconds before the hard limit of processor time, at which the system kills.

    ``ulimit -t`` sets both limits alike. The time between them is for what must not be cut, and for cleaning up.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard not in (resource.RLIM_INFINITY, 0) and (soft == resource.RLIM_INFINITY or soft >= hard):
        resource.setrlimit(resource.RLIMIT_CPU, (max(hard - _SECONDS_TO_END, hard // 2, 1), hard))


def children_end_unseen() -> bool:
    """Whether SIGCHLD is ignored, as daemons do: of a child process, whatever ended it, Python then reads status 0."""
    return hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN


def see_children_end() -> None:
    """Do not ignore SIGCHLD, although the process that started this one does."""
    if children_end_unseen():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def ignore_interrupts() -> None:
    """Let more of them change nothing until the process ends: as Python ends, it takes its own handlers away."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def interrupts_blocked(signals: Sequence[signal.Signals] = SIGNALS) -> Iterator[None]:
    """Hold the signals back from this thread; a process or thread that is started meanwhile has them blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _handler(
    numbers: Any, handler: Callable[[int, Any], object], previous: dict[int, Any],
    keep: Callable[[], bool] = lambda: False,
) -> Iterator[None]:  # fmt: skip
    """Handle signals by a function within the block, and afterward as before unless `keep` says otherwise.

    `previous` is filled with the handlers that were there. Signals that are ignored (nohup, workers) stay so, and
    outside the main thread, which alone may change handlers, nothing happens.
    """
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in numbers}
        previous.update({n: old for n, old in found.items() if old not in (signal.SIG_IGN, None)})
    for number in previous:
        signal.signal(number, handler)
    try:
        yield
    finally:
        if not keep():
            for number, old in previous.items():
                signal.signal(number, old)
