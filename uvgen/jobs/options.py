"""How a job runs: on how many processes, and what happens if one of them dies or takes too long."""

import math
from dataclasses import dataclass

from uvgen.checks import check_instance, choice, number_in, plain_number, shown
from uvgen.errors import InputError


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a function runs: on how many processes, and what happens if one dies or takes too long.

    The results do not depend on it. Each function says what a task is, such as a shard or a video.

    Attributes
    ----------
    workers : int
        Number of processes. With 1 and no `timeout`, the work is done in the caller's process, and whatever would kill
        a worker kills that.
    retries : int
        How often a task is tried again if its process dies (killed, out of memory, crashed) or takes too long. After
        that, its parts, such as samples, are tried one by one, and those at which processes die are left out, if the
        function can do without them.
    timeout : float, optional
        Seconds that a task or a part may take before its process is killed.

    Raises
    ------
    InputError
        If one of them is out of range.

    Examples
    --------
    >>> run = uvgen.RunOptions(workers=8, timeout=600)
    >>> uvgen.build_shards("300W_LP/", "shards/", model="bfm.h5", run=run)
    >>> uvgen.verify_shards("shards/", run=run)
    """

    workers: int = 1
    retries: int = 2
    timeout: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "workers", number_in(self.workers, "workers", 1, whole=True))
        object.__setattr__(self, "retries", number_in(self.retries, "retries", 0, whole=True))
        seconds = plain_number(self.timeout)
        if seconds is not None:
            if type(seconds) not in (int, float) or not 0 < seconds < math.inf:
                raise InputError(f"timeout: {shown(self.timeout)}, expected seconds above 0, or None for no limit")
            object.__setattr__(self, "timeout", seconds)


def check_run(run: object) -> None:
    """Raise InputError for what is no `RunOptions`, such as a number of processes."""
    check_instance(run, "run", RunOptions, "uvgen.RunOptions(workers=8)")


def check_on_error(on_error: str) -> None:
    """Raise InputError if what happens at a bad sample is neither "skip" nor "fail"."""
    choice(on_error, "on_error", ("skip", "fail"))
