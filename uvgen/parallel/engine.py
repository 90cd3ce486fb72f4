"""What uvgen needs of a cluster: calling a function on its machines, and the outcome of each call.

`dask.py` and `ray.py` implement it. To support another cluster, write a class with the methods of `Engine`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

Serve = Callable[..., tuple[str, bytes, int]]
"""``serve(assignment, job, task, counted, abandoned)``, see `uvgen.jobs.host.serve`; importable."""


class Event(NamedTuple):
    """What an engine hears of a call.

    | `kind` | when | `content` |
    | --- | --- | --- |
    | "begun" | the call starts, or starts anew after its machine was lost | None |
    | "counted" | more samples are done | how many |
    | "done" | `Serve` returned | what it returned |
    | "lost" | the call's machine was lost too often | how, as text |
    | "raised" | there was an exception outside of `Serve` | the exception |
    """

    number: int
    kind: str
    content: Any


class Engine(Protocol):
    """A cluster, connected."""

    @property
    def name(self) -> str:
        """How messages name it, such as "the Dask cluster at tcp://10.0.0.1:8786"."""

    def slots(self) -> int:
        """How many calls can run at a time on the machines that are there now."""

    def on_each(self, function: Callable[..., Any], *values: Any) -> dict[str, Any]:
        """What ``function(*values)`` returns in each worker process, or the exception it raised, by process."""

    def send(self, data: bytes) -> Any:
        """Send bytes that many calls need to each worker process once; returns the handle to pass to `submit`."""

    def submit(self, number: int, serve: Serve, assignment: Any, job: Any, task: bytes) -> None:
        """Call ``serve(assignment, job, task, counted, abandoned)`` on some machine; events give its `number`."""

    def wait(self, seconds: float) -> Sequence[Event]:
        """The next events, waiting for the first of them no longer than so many seconds; perhaps none."""

    def stop(self) -> None:
        """Give up all calls and kill the processes that they run."""

    def close(self) -> None:
        """Disconnect from the cluster, or end it if it was started for this run."""
