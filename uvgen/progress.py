"""Progress: reported by the code that does the work, and shown by a display that the caller chooses.

The work calls `begin` and `advance`. These reach the display that `shown_on` has set: that of a command or, in a worker
process, that of the process which started it. Without a display, they do nothing.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

Batch = TypeVar("Batch")


class Display(Protocol):
    """Where progress is shown."""

    def begin(self, what: str, total: int | None, first: str, of: str) -> None:
        """A phase `what` begins, such as "building". It has `total` samples (or other things, see `of`), if that is
        known. Until the first is done, the phase is called `first`."""

    def advance(self, n: int, *, starting: bool = False) -> None:
        """`n` more samples are done. Negative if work was lost and has to be done again. While some workers have not
        finished their first sample, `starting`: the rate is not that of all of them yet."""


_display: ContextVar[Display | None] = ContextVar("_display", default=None)


@contextmanager
def shown_on(display: Display | None) -> Iterator[None]:
    """Show progress on this display within the block."""
    token = _display.set(display)
    try:
        yield
    finally:
        _display.reset(token)


def begin(what: str, total: int | None = None, *, first: str = "", of: str = "sample") -> None:
    """Report that a phase of the work begins.

    Parameters
    ----------
    what : str
        What is done, such as "reading a few samples".
    total : int, optional
        Number of samples, if they are counted.
    first : str
        What is done until the first sample is finished, if it has another name: "starting".
    of : str
        The noun for one of the things that are counted.
    """
    display = _display.get()
    if display is not None:
        display.begin(what, total, first or what, of)


def advance(n: int, *, starting: bool = False) -> None:
    """Report that `n` more samples are done, and whether some workers have not finished their first one."""
    display = _display.get()
    if display is not None:
        display.advance(n, starting=starting)


def counted(batches: Iterable[tuple[int, Batch]]) -> Iterator[Batch]:
    """Yield the batches of pairs (number of samples, batch); a batch counts as done when the next one is requested."""
    for n, batch in batches:
        yield batch
        advance(n)
