"""What a cluster must offer: a function called on its machines, with word of what became of each call.

`dask.py` and `ray.py` are such engines. One more is a class with the methods of `Engine`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

Serve = Callable[..., tuple[str, bytes, int]]
"""``serve(assignment, job, task, counted, abandoned)``, see `uvgen.jobs.host.serve`; importable."""


class Event(NamedTuple):
    """What an engine hears of the call of this number.

    `kind` is "begun" (perhaps anew, after its machine was lost), "counted" (so many samples more are done), "done"
    (what `Serve` returned), "lost" (how: its machine was lost too often) or "raised" (an exception outside of `Serve`).
    """

    number: int
    kind: str
    content: Any


class Engine(Protocol):
    """A cluster, connected."""

    @property
    def name(self) -> str:
        """What messages call it: "the Dask cluster at tcp://10.0.0.1:8786"."""

    def slots(self) -> int:
        """How many calls run at a time, on all machines that are there now."""

    def on_each(self, function: Callable[..., Any], *values: Any) -> dict[str, Any]:
        """What ``function(*values)`` returns in each worker process, by its name; an exception where it raised one."""

    def send(self, data: bytes) -> Any:
        """Bytes that many calls need, which each worker process gets once; the handle stands for them in `submit`."""

    def submit(self, number: int, serve: Serve, assignment: Any, job: Any, task: bytes) -> None:
        """Have ``serve(assignment, job, task, …)`` called."""

    def wait(self, seconds: float) -> Sequence[Event]:
        """What was heard; nothing after so many seconds without a word."""

    def stop(self) -> None:
        """Give up all calls; what they run is killed."""

    def close(self) -> None:
        """Leave the cluster; one that was started for this run ends."""
