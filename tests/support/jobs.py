"""A job of the tests, at module level, so that worker processes find it."""

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import SampleError


@dataclass(frozen=True, eq=False)
class Multiply:
    """Writes each number times a table's, and says which process did and how often the job was opened in it."""

    folder: Path
    table: NDArray[np.float64]
    opened: list[int] = field(default_factory=list)

    def open(self) -> Callable[[int], tuple[int, int, int]]:
        self.opened.append(os.getpid())
        return self.make

    def make(self, number: int) -> tuple[int, int, int]:
        if number < 0:
            raise SampleError(f"number {number}: below 0")
        (self.folder / str(number)).write_text(str(float(self.table[number] * number)))
        return number, os.getpid(), len(self.opened)


class DeadlyWhole:
    """Adds numbers up; processes die of 13, and nothing can be left out."""

    def open(self) -> Callable[[list[int]], int]:
        return self.make

    def make(self, numbers: list[int]) -> int:
        if 13 in numbers:
            os._exit(9)
        return sum(numbers)


class DeadlySum(DeadlyWhole):
    """The same, with parts of a number each."""

    def parts(self, task: list[int]) -> list[list[int]]:
        return [[number] for number in task]

    def without(self, task: list[int], causes: dict[int, str]) -> list[int]:
        return [number for k, number in enumerate(task) if k not in causes]


class DeadlyTogether(DeadlySum):
    """Processes die of any two numbers at once."""

    def make(self, numbers: list[int]) -> int:
        if len(numbers) > 1:
            os._exit(9)
        return sum(numbers)


class BrokenToOpen(DeadlyWhole):
    """Processes say that they cannot be opened, and take a while to end."""

    def open(self) -> Callable[[list[int]], int]:
        os.dup(int(sys.argv[2]))  # the pipe stays open while the interpreter waits for the thread
        threading.Thread(target=time.sleep, args=(2,)).start()
        raise OSError(24, "Too many open files")


class WithoutMemory(DeadlyWhole):
    """Processes that may take 4 MB more once they are opened: less than BLAS works in."""

    def open(self) -> Callable[[list[int]], int]:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + (4 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        return self.make


class DeadlyToOpen(DeadlyWhole):
    """Processes die before they make anything."""

    def open(self) -> Callable[[list[int]], int]:
        os._exit(9)


def pair_of_tasks(job: Path) -> Callable[[str], str]:
    """For `Workers`: "quick" ends once "slow" has begun, which takes a while longer."""
    begun = job.with_name("begun")

    def make(task: str) -> str:
        if task == "slow":
            begun.touch()
            time.sleep(2)
        while not begun.exists():
            time.sleep(0.01)
        return task

    return make
