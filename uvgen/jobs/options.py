"""How a job runs: on how many processes, and what happens if one of them dies or takes too long."""

import math
from dataclasses import dataclass

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
        if self.workers < 1:
            raise InputError(f"workers: {self.workers}, expected 1 or more")
        if self.retries < 0:
            raise InputError(f"retries: {self.retries}, expected 0 or more")
        if self.timeout is not None and not self.timeout > 0:
            raise InputError(f"timeout: {self.timeout}, expected seconds above 0, or None for no limit")
        if self.timeout is not None and math.isinf(self.timeout):
            raise InputError("timeout: infinite, expected a number of seconds, or None for no limit")


def check_on_error(on_error: str) -> None:
    """Raise InputError if what happens at a bad sample is neither "skip" nor "fail"."""
    if on_error not in ("skip", "fail"):
        raise InputError(f"on_error: {on_error!r}, expected 'skip' or 'fail'")
