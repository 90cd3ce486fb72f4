"""Commands whose output nobody reads, as behind a stopped pager: signals end them all the same."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.builds import COMMAND, PATIENCE_S, have, start, wait_for

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


def run_in_shell(arguments: str, tail: str) -> "subprocess.CompletedProcess[str]":
    """A command with its streams as the shell's words say."""
    line = f"{shlex.join(COMMAND)} {arguments} {tail}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE_S)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="of Linux")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_stdout_is_named(unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    done = run_in_shell("build --help", "> /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("uvgen: stdout: No space left on device; ")
    assert done.stderr.count("\n") == 1


def test_reader_that_goes_ends_a_command_as_sigpipe_would() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*COMMAND, "--version"], stdout=writing, stderr=subprocess.PIPE, timeout=PATIENCE_S)
    os.close(writing)
    assert done.returncode == 141 and not done.stderr


def test_result_for_a_closed_stdout_is_an_error(tree: Path, model_path: Path, tmp_path: Path) -> None:
    shards = tmp_path / "out"
    have(tree, model_path, shards)
    for arguments in ("select {} --min-yaw 0 --out -", "info {} --json"):
        done = run_in_shell(arguments.format(shlex.quote(str(shards))), ">&-")
        assert done.returncode == 1
        assert done.stderr == "uvgen: stdout: closed, expected a file, a pipe or a terminal for the result\n"


def test_closed_streams_are_not_given_to_files() -> None:
    """The number of a closed stream is that of the next file that is opened, here and in worker processes."""
    code = (
        "import os; from uvgen.cli.streams import keep_closed_streams; keep_closed_streams(); "
        "assert all(os.path.samestat(os.fstat(n), os.stat(os.devnull)) and os.get_inheritable(n) for n in range(3)); "
        "assert os.open('.', os.O_RDONLY) > 2"
    )
    line = f"{shlex.join([sys.executable, '-c', code])} <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", line], timeout=PATIENCE_S).returncode == 0


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("sys.modules['uvgen.cli.main'] = Stopped()", id="imports"),
        pytest.param("import click; click.Group.parse_args = Stopped.__getattr__", id="arguments"),
    ],
)
def test_interrupt_before_a_command_begins_is_a_line(what: str) -> None:
    code = f"""
import os, signal, sys
class Stopped:
    def __getattr__(self, *_):
        os.kill(os.getpid(), signal.SIGINT)
from uvgen.__main__ import main
{what}
main()
"""
    done = subprocess.run([sys.executable, "-c", code, "info"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 130
    assert done.stderr.strip() == "uvgen: interrupted"
