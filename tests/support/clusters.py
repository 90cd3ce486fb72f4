"""A Dask cluster on the loopback, each of its processes started by itself, so that one can be killed or made odd."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from support.builds import PATIENCE_S

BUILD = ("build", "--subset", "IBUG", "--size", "32", "--uv-size", "32", "--shard-size", "8", "--quiet")


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files with the same bytes."""
    names = sorted(os.listdir(one))
    return names == sorted(os.listdir(other)) and all((one / n).read_bytes() == (other / n).read_bytes() for n in names)


class DaskCluster:
    """A scheduler and its workers; `first` is Python code that a worker runs before anything else."""

    def __init__(self, folder: Path, stack: ExitStack, n_workers: int = 2, first: str = "") -> None:
        self._stack, self._folder = stack, folder
        self.file = folder / "scheduler.json"
        self.scheduler = self._start("distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard",
                                     "--host", "127.0.0.1", "--scheduler-file", str(self.file))  # fmt: skip
        end = time.monotonic() + PATIENCE_S
        while not self.file.exists():
            assert self.scheduler.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        self.workers = [self.add(first) for _ in range(n_workers)]

    def add(self, first: str = "") -> "subprocess.Popen[bytes]":
        """Start a worker."""
        return self._start("distributed.cli.dask_worker", "--scheduler-file", str(self.file), "--nthreads", "1",
                           "--no-dashboard", "--no-nanny", "--local-directory", str(self._folder),
                           first=first)  # fmt: skip

    def _start(self, module: str, *arguments: str, first: str = "") -> "subprocess.Popen[bytes]":
        program = f"{first}\nfrom {module} import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process
