"""Standard streams that are not read, such as a full pipe or a stopped terminal: writing to them blocks forever."""

import contextlib
import os
import select
import sys
from typing import TextIO

_SECONDS = 0.25


def takes_a_line(stream: TextIO | None, seconds: float | None = 0.0) -> bool:
    """Whether a line can be written without waiting; None: wait until it can. A write that fails at once counts."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)  # type: ignore[union-attr]
        return bool(poll.poll(None if seconds is None else 1000 * seconds))
    except (AttributeError, OSError, ValueError):  # no stream, one without a file, or a system without poll
        return True


def leave_unread_streams() -> None:
    """Discard remaining output if the stream is not read: otherwise the process would block when it exits."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        if not takes_a_line(stream, _SECONDS):
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)
