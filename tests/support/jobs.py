"""A job of the tests, at module level, so that worker processes find it."""

import os
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
