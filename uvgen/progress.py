"""How far the work is: said by whatever does it, shown by whoever wants to see it.

Work says `begin` and `advance`, and does not know who listens: a command's display, nobody, or, in a worker process,
the process that it works for. What is shown never changes what is made.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Display(Protocol):
    """Where progress is shown."""

    def begin(self, what: str, total: int | None) -> None:
        """A phase begins: "building", of so many samples where that is known."""

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


def begin(what: str, total: int | None = None) -> None:
    """Say that a phase of the work begins, "reading a few samples"."""
    display = _display.get()
    if display is not None:
        display.begin(what, total)


def advance(n: int) -> None:
    """Say that so many samples more are done."""
    display = _display.get()
    if display is not None:
        display.advance(n)
