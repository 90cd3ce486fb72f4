"""Ctrl-C at any odd point of a command."""

import resource
import signal
import subprocess
import sys
from typing import Any

import pytest

from uvgen.interrupts import interrupts_kept


def test_interrupt_that_python_drops_is_remembered_and_prints_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a destructor, or in importlib's callbacks while a command is starting."""
    dropped: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: dropped.append(one.exc_type))

    class Faulty:
        def __del__(self) -> None:
            raise ValueError

    class Interrupted:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it
    try:
        with pytest.raises(KeyboardInterrupt), interrupts_kept() as check:
            Faulty()
            Interrupted()
            check()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    Faulty()
    assert dropped == [ValueError, ValueError]


def test_command_whose_parent_ignores_the_ends_of_children_sees_those_of_its_own() -> None:
    """Else a worker that is killed, or has no processor time left, counts as ended with status 0."""
    program = (
        "import signal, subprocess, sys\n"
        "from uvgen.interrupts import children_end_unseen\n"
        "from uvgen.cli.main import main\n"
        "assert children_end_unseen()\n"
        "try: main(['info', '/none'])\n"
        "except SystemExit: assert not children_end_unseen()\n"
        "print(subprocess.run(['sh', '-c', 'kill -9 $$']).returncode)"
    )
    ignore: Any = lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # noqa: E731
    run = subprocess.run([sys.executable, "-c", program], preexec_fn=ignore, capture_output=True, text=True)
    assert run.stdout == "-9\n", run.stderr


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them")
def test_processor_time_ends_with_its_own_signal_before_the_system_kills() -> None:
    """``ulimit -t`` sets both limits, and the system sends only SIGKILL when they are reached at once."""
    spend = "from uvgen.interrupts import expect_time_limit; expect_time_limit()\nwhile True: pass"
    found = subprocess.run(
        [sys.executable, "-c", spend], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (2, 2)), check=False
    )
    assert found.returncode == -signal.SIGXCPU


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_that_comes_while_python_ends_changes_nothing(number: signal.Signals) -> None:
    """The command has done its work: no traceback, and no other status."""
    program = (
        f"import atexit, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"atexit.register(signal.raise_signal, {int(number)}); sys.argv[1:] = ['--version']\n"
        "from uvgen.__main__ import main; main()"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "") and run.stdout.startswith("uvgen, version")
