"""How a job runs: on how many processes, and what happens if one of them dies or takes too long."""

import math
from dataclasses import dataclass

from uvgen.checks import choice, number_in, plain_number, shown
from uvgen.errors import InputError

RETRIES = 2
"""How often a task is tried again after its process died, by default."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a job runs.

    Attributes
    ----------
    workers : int
        Processes. 1 without `timeout` works in the caller's process, which then dies of whatever would kill a worker.
    retries : int
        How often a task whose process died, or a part of it, is tried again.
    timeout : float, optional
        Seconds that a task or a part may take before its process is killed, which counts as its death.

    Raises
    ------
    InputError
        If one of them is out of range.
    """

    workers: int = 1
    retries: int = RETRIES
    timeout: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "workers", number_in(self.workers, "workers", 1, whole=True))
        object.__setattr__(self, "retries", number_in(self.retries, "retries", 0, whole=True))
        seconds = plain_number(self.timeout)
        if seconds is not None:
            if type(seconds) not in (int, float) or not 0 < seconds < math.inf:
                raise InputError(f"timeout: {shown(self.timeout)}, expected seconds above 0, or None for no limit")
            object.__setattr__(self, "timeout", seconds)


def check_on_error(on_error: str) -> None:
    """Raise InputError if what happens at a bad sample is neither "skip" nor "fail"."""
    choice(on_error, "on_error", ("skip", "fail"))
