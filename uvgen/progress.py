"""How far the work is: said by whatever does it, shown by whoever wants to see it.

Work says `begin` and `advance`, and does not know who listens: a command's display, nobody, or, in a worker process,
the process that it works for. What is shown never changes what is made.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

Batch = TypeVar("Batch")


class Display(Protocol):
    """Where progress is shown."""

    def begin(self, what: str, total: int | None, first: str, of: str) -> None:
        """A phase begins: "building", of so many samples, or `of`, where known; until one is done, it is `first`."""

    def advance(self, n: int) -> None:
        """So many samples more are done; fewer than none where work was lost and is done again."""


_display: ContextVar[Display | None] = ContextVar("_display", default=None)


@contextmanager
def shown_on(display: Display | None) -> Iterator[None]:
    """Within the block, progress is shown there."""
    token = _display.set(display)
    try:
        yield
    finally:
        _display.reset(token)


def begin(what: str, total: int | None = None, *, first: str = "", of: str = "sample") -> None:
    """Say that a phase of the work begins.

    Parameters
    ----------
    what : str
        "reading a few samples".
    total : int, optional
        Samples to come, where they are counted.
    first : str
        What goes on until the first of them is done, where that is something else: "starting".
    of : str
        What one of those that are counted is.
    """
    display = _display.get()
    if display is not None:
        display.begin(what, total, first or what, of)


def advance(n: int) -> None:
    """Say that so many samples more are done."""
    display = _display.get()
    if display is not None:
        display.advance(n)


def counted(batches: Iterable[tuple[int, Batch]]) -> Iterator[Batch]:
    """Batches of something, each with how many samples it is; they count as done when the next one is asked for."""
    for n, batch in batches:
        yield batch
        advance(n)
