"""A Ray cluster as an engine: an existing one, or one started on this machine for the run."""

import logging
import os
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from uvgen.errors import DependencyError, WorkerError
from uvgen.parallel.engine import Event, Serve

_SECONDS_BETWEEN_COUNTS = 1.0
_CONNECT_S = 10
_ADDRESS = re.compile(r"(ray://)?(?P<host>\[[0-9a-fA-F:.]+\]|[^\[\]/:\s]+):(?P<port>\d{1,5})")


class RayEngine:
    """A driver of a Ray cluster, with an actor for each of its processors.

    Parameters
    ----------
    address : str, optional
        ``ray://10.0.0.1:10001``, ``10.0.0.1:6379`` or ``auto``. By default what ``RAY_ADDRESS`` says, or else a cluster
        of this machine, which ends with the run.
    workers : int, optional
        Calls that run at a time; by default as many as the cluster has processors.

    Raises
    ------
    DependencyError
        If Ray is not installed.
    WorkerError
        If no cluster answers.
    """

    def __init__(self, address: str | None, workers: int | None) -> None:
        try:
            import ray
        except ImportError as error:
            raise DependencyError(f"backend: 'ray' needs Ray ({error}); pip install 'ray'") from error
        self._ray: Any = ray
        address = address or os.environ.get("RAY_ADDRESS")
        options: dict[str, Any] = {} if address else {"num_cpus": workers, "include_dashboard": False}
        try:
            check_answers(address or "")
            ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, namespace="uvgen", **options)
        except Exception as error:  # of any type: Ray's own has none if a cluster is not up in time
            with suppress(Exception):
                ray.shutdown()  # what was started
            why = " ".join(str(error).split())[:200] or type(error).__name__
            if address:
                raise WorkerError(
                    f"{address}: no Ray cluster answers ({why}); expected an address such as ray://10.0.0.1:10001, or "
                    "auto on a machine of the cluster"
                ) from error
            raise WorkerError(
                f"a Ray cluster cannot be started ({why}); is this machine busy? Run the same command again"
            ) from error
        self.name = f"the Ray cluster at {address or 'this machine'}"
        self._most = workers
        self._class: Any = self._ray.remote(num_cpus=1, max_restarts=-1, max_concurrency=2)(_Actor)
        self._actors: list[Any] = []
        self._calls: dict[Any, tuple[int, Any]] = {}  # by reference: number and actor
        self._waiting: deque[tuple[int, Serve, Any, Any, bytes]] = deque()
        self._counts: dict[Any, int] = {}  # by reference of a call of `_Actor.count`: number
        self._asked = time.monotonic()  # when `_Actor.count` was called last

    def slots(self) -> int:
        """See `Engine`; a call takes one processor."""
        processors = int(self._ray.cluster_resources().get("CPU", 0))
        return min(processors, self._most or processors)

    def on_each(self, function: Callable[..., Any], *values: Any) -> dict[str, Any]:
        """See `Engine`; there is one process per slot."""
        asked = [actor.call.remote(function, *values) for actor in self._all_actors()]
        answers: dict[str, Any] = {}
        for k, reference in enumerate(asked):
            try:
                answers[f"actor {k}"] = self._ray.get(reference)
            except Exception as error:
                answers[f"actor {k}"] = getattr(error, "cause", None) or error
        return answers

    def send(self, data: bytes) -> Any:
        """See `Engine`."""
        return self._ray.put(data)

    def submit(self, number: int, serve: Serve, assignment: Any, job: Any, task: bytes) -> None:
        """See `Engine`."""
        self._waiting.append((number, serve, assignment, job, task))
        self._assign()

    def wait(self, seconds: float) -> Sequence[Event]:
        """See `Engine`."""
        self._assign()
        if time.monotonic() - self._asked > _SECONDS_BETWEEN_COUNTS and not self._counts:
            self._counts = {actor.count.remote(): number for number, actor in self._calls.values()}
            self._asked = time.monotonic()
        pending = [*self._calls, *self._counts]
        if not pending:
            time.sleep(seconds)
            return []
        ready, _ = self._ray.wait(pending, num_returns=1, timeout=seconds)
        return [event for event in map(self._ended, ready) if event is not None]

    def stop(self) -> None:
        """Kill the actors and the processes that they run; the next call starts new ones."""
        self._waiting.clear()
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors, self._calls, self._counts = [], {}, {}

    def close(self) -> None:
        """See `Engine`."""
        self.stop()
        self._ray.shutdown()

    def _all_actors(self) -> list[Any]:
        while len(self._actors) < self.slots():
            self._actors.append(self._class.remote())
        return self._actors

    def _assign(self) -> None:
        busy = {actor for _, actor in self._calls.values()}
        idle = [actor for actor in self._all_actors() if actor not in busy] if self._waiting else []
        for actor in idle[: len(self._waiting)]:
            number, serve, assignment, job, task = self._waiting.popleft()
            self._calls[actor.make.remote(serve, assignment, job, task)] = (number, actor)

    def _ended(self, reference: Any) -> Event | None:
        from ray.exceptions import RayActorError, RayTaskError

        if reference in self._counts:
            number = self._counts.pop(reference)
            try:
                return Event(number, "counted", self._ray.get(reference))
            except Exception:  # the call itself raises it too
                return None
        number, _ = self._calls.pop(reference)
        try:
            return Event(number, "done", self._ray.get(reference))
        except RayActorError:
            return Event(number, "lost", "was lost with its Ray worker")
        except RayTaskError as error:
            return Event(number, "raised", getattr(error, "cause", None) or error)
        except Exception as error:
            return Event(number, "raised", error)


def check_answers(address: str) -> None:
    """Raise OSError if nothing listens at ``HOST:PORT``, with or without ``ray://``: Ray would try for minutes."""
    if found := _ADDRESS.fullmatch(address):
        socket.create_connection((found["host"].strip("[]"), int(found["port"])), timeout=_CONNECT_S).close()


class _Actor:
    """A worker process of Ray: it runs one call at a time, and `count` beside it."""

    def __init__(self) -> None:
        self._done = 0

    def make(self, serve: Serve, assignment: Any, job: bytes, task: bytes) -> tuple[str, bytes, int]:
        """Make a task."""
        self._done = 0
        return serve(assignment, job, task, self._add, lambda: False)  # Ray ends this process with its driver

    def count(self) -> int:
        """Samples done since the last call of this method."""
        done, self._done = self._done, 0
        return done

    def call(self, function: Callable[..., Any], *values: Any) -> Any:
        """Call a function in this process."""
        return function(*values)

    def _add(self, n: int) -> None:
        self._done += n
