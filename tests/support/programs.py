"""Runs the programs of `examples/` in this process: starting Python with PyTorch takes longer than their work."""

import runpy
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    """How a program ended, and what it printed."""

    status: int
    stdout: str
    stderr: str


@contextmanager
def beside(program: Path) -> Iterator[None]:
    """Inside, files beside a program can be imported; then they are forgotten, for others have files of these names."""
    loaded = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(program.parent)
        try:
            yield
        finally:
            for name in set(sys.modules) - loaded:
                if str(ROOT / "examples") in str(getattr(sys.modules[name], "__file__", "")):
                    del sys.modules[name]


class Runner:
    """Called with a program and its arguments as on the command line; what it changes in the process is set back."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, program: Path, *arguments: object, status: int = 0) -> Done:
        import torch  # where it is missing, tests skip

        handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
        n_threads, found = torch.get_num_threads(), 0
        self.capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch, beside(program):
            patch.setattr(sys, "argv", [str(word) for word in (program, *arguments)])
            try:
                runpy.run_path(str(program), run_name="__main__")
            except SystemExit as ended:
                found = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
                if isinstance(ended.code, str):  # as Python does at the end of a process
                    sys.stderr.write(f"{ended.code}\n")
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                torch.set_num_threads(n_threads)
        done = Done(found, *self.capsys.readouterr())
        assert done.status == status, done.stdout + done.stderr
        return done
