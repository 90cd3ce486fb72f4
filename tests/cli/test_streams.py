"""Commands whose output nobody reads, as behind a stopped pager: signals end them all the same."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.builds import PATIENCE_S, start, wait_for

from uvgen.cli.streams import takes_a_line


@contextmanager
def unread_pipe() -> Iterator[int]:
    """The writing end of a pipe that is full."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for size in (4096, 1):
        try:
            while True:
                os.write(writing, b"x" * size)
        except BlockingIOError:
            pass
    os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


def test_pipe_takes_a_line_unless_it_is_full(tmp_path: Path) -> None:
    with unread_pipe() as full, os.fdopen(os.dup(full), "w") as stream:
        assert not takes_a_line(stream)
    with (tmp_path / "file").open("w") as stream:
        assert takes_a_line(stream) and takes_a_line(stream, None)
    assert takes_a_line(stream) and takes_a_line(None)  # writing fails at once


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verbose", "number", "status"),
    [
        pytest.param((), signal.SIGTERM, 143, id="a thread speaks"),
        pytest.param(("--verbose",), signal.SIGINT, 130, id="each sample is a line", marks=pytest.mark.long),
    ],
)
def test_command_whose_output_nobody_reads_is_ended_by_a_signal(tmp_path, verbose, number, status) -> None:
    out = tmp_path / "out"
    arguments = ("synth", "--count", 5000, "--subset", "AFW", "--size", 64, "--workers", 2, "--out", out, *verbose)
    with unread_pipe() as full:
        process = start(*arguments, stdout=full, stderr=full)
        wait_for(lambda: len(list(out.glob("AFW/*.mat"))) > 20, process)
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == status
    assert not list(out.glob(".uvgen-*"))


def test_streams_that_nobody_reads_do_not_hold_up_the_end_of_a_process() -> None:
    code = (
        "from uvgen.cli.streams import leave_unread_streams; print('a line'); leave_unread_streams(); print('the end')"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # lines are kept
    with unread_pipe() as full:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, stdout=full, stderr=full, timeout=PATIENCE_S, env=environment)
        assert done.returncode == 0
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.stdout == b"a line\nthe end\n" and not done.stderr
