"""Ctrl-C at any odd point of a command."""

import signal
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
