"""Standard streams that are closed, full or not read: a full pipe or a stopped terminal blocks a write forever."""

import contextlib
import errno
import os
import select
import sys
import traceback
from collections.abc import Iterator
from typing import TextIO

import click

from uvgen.errors import UvgenError

_SECONDS = 0.25

UNREAD_STATUS = 128 + 13
"""Exit status if the reader of a pipe has gone: what a shell shows of a program that SIGPIPE ended, as of ls or git."""


def keep_closed_streams() -> None:
    """Let descriptors 0 to 2 that are closed lead nowhere.

    The system gives the lowest number that is free to the next file that is opened. That may be a shard, and what C
    libraries print, here or in a worker process, would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            if os.open(os.devnull, os.O_RDWR) == number:
                os.set_inheritable(number, True)


def print_result(text: str, *, nl: bool = True) -> None:
    """Print what a command was asked to print: without stdout, it has not done its work."""
    if sys.stdout is None:
        raise UvgenError("stdout: closed, expected a file, a pipe or a terminal for the result")
    click.echo(text, nl=nl)


def is_of_stdout(error: OSError) -> bool:
    """Whether writing to stdout raised this error; if so, what could not be written is discarded.

    Python's errors of streams name no file. All output is printed by ``click.echo``, whose argument `file` says where.
    """
    *_, (frame, _) = [(None, 0), *traceback.walk_tb(error.__traceback__)]
    if frame is None or frame.f_code is not click.echo.__code__ or frame.f_locals.get("file") is not sys.stdout:
        return False
    _discard(1)
    return True


@contextlib.contextmanager
def ended_with_reader() -> Iterator[None]:
    """End the command with `UNREAD_STATUS`, and without a message, if the reader of a pipe has gone."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        for number in (1, 2):
            _discard(number)
        raise click.exceptions.Exit(UNREAD_STATUS) from error


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
            _discard(number)


def _discard(number: int) -> None:
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
