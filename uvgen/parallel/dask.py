"""A Dask cluster as an engine: an existing one, or one started on this machine for the run."""

import json
import logging
import queue
import re
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from uvgen.errors import DependencyError, WorkerError
from uvgen.interrupts import interrupts_blocked
from uvgen.parallel.engine import Event, Serve

_CONNECT_S = 10
_MOST_BYTES = 1 << 20  # of a scheduler's file
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s",
}  # Dask's own measurements of a cluster of this machine take 7% of a core for each of its processes
_ADDRESS = re.compile(r"((?:tcp|tls|ws|wss|ucx|ucxx)://)?(\[[0-9a-fA-F:.]+\]|[^\[\]/:\s]+):\d+")


class DaskEngine:
    """A client of a Dask scheduler.

    Parameters
    ----------
    address : str, optional
        Where the scheduler listens, ``tcp://10.0.0.1:8786``, or the scheduler's file. By default what Dask's own
        configuration says (``DASK_SCHEDULER_ADDRESS``), or else a cluster of this machine, which ends with the run.
    workers : int, optional
        Calls that run at a time; by default as many as the cluster has threads.

    Raises
    ------
    DependencyError
        If Dask is not installed.
    WorkerError
        If no scheduler answers.
    """

    def __init__(self, address: str | None, workers: int | None) -> None:
        try:
            import dask
            import distributed  # noqa: F401
        except ImportError as error:
            raise DependencyError(f"backend: 'dask' needs Dask ({error}); pip install 'distributed'") from error
        for logger in ("distributed", "distributed.client", "distributed.scheduler", "tornado.application"):
            logging.getLogger(logger).setLevel(logging.CRITICAL + 1)  # failures become events or errors here
        self._most = workers
        self._cluster: Any = None
        address = address or dask.config.get("scheduler-address", None)
        try:
            if address is None:
                with interrupts_blocked([signal.SIGINT]):  # one in the middle of this would leave threads behind
                    self._cluster = _own_cluster(workers)
                where: dict[str, Any] = {"address": self._cluster}
            elif "://" not in address and Path(address).is_file():
                _check_answer(_address_in(Path(address)))
                where = {"scheduler_file": address}
            elif not _ADDRESS.fullmatch(address):  # Dask's client would try it forever
                raise ValueError("no such file, and no address")
            else:
                _check_answer(address)
                where = {"address": address}
            client: Any = _client(**where)
        except Exception as error:  # of any type, as where packages or certificates of a protocol are missing
            self._end_cluster()
            what = f"{address}: no Dask scheduler answers" if address else "a Dask cluster cannot be started"
            raise WorkerError(
                f"{what} ({' '.join(str(error).split())[:200] or type(error).__name__}); expected the address that "
                "`dask scheduler` prints, such as tcp://10.0.0.1:8786, or its --scheduler-file"
            ) from error
        except KeyboardInterrupt:
            self._end_cluster()
            raise
        self._client = client
        self.name = f"the Dask cluster at {self._client.scheduler.address}"
        self._heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._topic = f"uvgen-{uuid4().hex}"
        self._client.subscribe_topic(self._topic, self._hear)
        self._futures: dict[int, Any] = {}  # by number
        self._waiting: deque[tuple[int, Serve, Any, Any, bytes]] = deque()  # held back if `workers` is a limit
        self._sent = 0

    def slots(self) -> int:
        """See `Engine`; a call takes one thread of a worker."""
        with self._answering():
            threads: int = sum(self._client.nthreads().values())
        return min(threads, self._most or threads)

    def on_each(self, function: Callable[..., Any], *values: Any) -> dict[str, Any]:
        """See `Engine`."""
        with self._answering():
            return dict(self._client.run(function, *values, on_error="return"))

    def send(self, data: bytes) -> Any:
        """See `Engine`; the bytes are the result of a task, which Dask makes again if their worker is lost."""
        self._sent += 1
        with self._answering():
            return self._client.submit(bytes, data, key=f"{self._topic}-job-{self._sent}", pure=False)

    def submit(self, number: int, serve: Serve, assignment: Any, job: Any, task: bytes) -> None:
        """See `Engine`."""
        self._waiting.append((number, serve, assignment, job, task))
        self._hand_out()

    def _hand_out(self) -> None:
        """Pass calls to the scheduler; on a shared cluster, whose threads may be more, `workers` at a time."""
        limit = self._most if self._cluster is None else None
        while self._waiting and (limit is None or len(self._futures) < limit):
            number, serve, assignment, job, task = self._waiting.popleft()
            with self._answering():
                future = self._client.submit(
                    _call, serve, assignment, job, task, self._topic, number, key=f"{self._topic}-{number}", pure=False
                )
            self._futures[number] = future
            future.add_done_callback(lambda done, number=number: self._heard.put(Event(number, "ended", done)))

    def wait(self, seconds: float) -> Sequence[Event]:
        """See `Engine`."""
        try:
            events = [self._heard.get(timeout=seconds)]
        except queue.Empty:
            return []
        while not self._heard.empty():
            events.append(self._heard.get())
        known = [event for event in map(self._ended, events) if event is not None]
        self._hand_out()
        return known

    def stop(self) -> None:
        """Cancel all tasks; workers notice that and kill the processes that they run."""
        self._waiting.clear()
        futures, self._futures = [*self._futures.values()], {}
        if futures and self._client.status == "running":
            with suppress(OSError, TimeoutError):  # if the scheduler is lost, there is nothing to cancel
                self._client.cancel(futures, force=True)

    def close(self) -> None:
        """See `Engine`."""
        with suppress(OSError, TimeoutError):
            self._client.close(timeout=5)
        self._end_cluster()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """WorkerError if the scheduler is lost within the block."""
        try:
            yield
        except (OSError, TimeoutError, RuntimeError) as error:
            raise WorkerError(
                f"{self.name} does not answer ({' '.join(str(error).split())[:200]}); start it again, and run the same "
                "command again to continue"
            ) from error

    def _end_cluster(self) -> None:
        if self._cluster is not None:
            self._cluster.close(timeout=10)

    def _hear(self, event: tuple[float, Any]) -> None:
        """Queue what a worker reports of a call; runs in the client's own thread."""
        _, (number, n) = event
        self._heard.put(Event(number, "begun", None) if n is None else Event(number, "counted", n))

    def _ended(self, event: Event) -> Event | None:
        """The event with a finished future's result in place of the future; None for a call that was given up."""
        if event.kind != "ended":
            return event
        from distributed import KilledWorker

        number, future = event.number, event.content
        if self._futures.pop(number, None) is None:
            return None
        try:
            return Event(number, "done", future.result(timeout=_CONNECT_S))
        except KilledWorker as error:
            return Event(number, "lost", f"was lost with its Dask worker {error.allowed_failures + 1} times")
        except CancelledError:
            return Event(
                number, "raised", WorkerError(f"{self.name} was lost, or has dropped the work; is it running?")
            )
        except Exception as error:
            return Event(number, "raised", error)


def _own_cluster(threads: int | None) -> Any:
    """A scheduler and one Dask worker, both in this process; by default with as many threads as there are processors.

    Calls have processes of their own (`uvgen.jobs.host`). Dask workers in further processes would take seconds to
    start, and processor time from those. There is no dashboard; the port of the scheduler's other pages is a free one,
    since Dask would warn of another cluster on its usual port.
    """
    import dask
    from dask.system import CPU_COUNT
    from distributed import LocalCluster

    with dask.config.set(_QUIET):
        return LocalCluster(
            n_workers=1, threads_per_worker=threads or CPU_COUNT, processes=False, memory_limit=0,
            dashboard_address=":0", scheduler_kwargs={"dashboard": False}, silence_logs=logging.CRITICAL,
        )  # fmt: skip


def _client(**where: Any) -> Any:
    """A client; one that finds no scheduler is left alone, whereas Dask's waits for itself as it is deleted."""
    from distributed import Client

    class Quiet(Client):  # type: ignore[misc, unused-ignore]
        is_connected = False

        def __del__(self) -> None:
            if self.is_connected:
                whole: Any = super()
                whole.__del__()

    made: Any = Quiet  # Dask's classes have types in part
    client: Any = made(**where, timeout=_CONNECT_S, set_as_default=False)
    client.is_connected = True
    return client


def _check_answer(address: str) -> None:
    """Raise an error if what takes a connection does not say in time that it is a scheduler: Dask's client would wait
    for it without end."""
    import asyncio

    from distributed import rpc
    from distributed.security import Security

    async def ask() -> None:
        async with rpc(address, connection_args=Security().get_connection_args("client")) as scheduler:
            await asyncio.wait_for(scheduler.identity(), _CONNECT_S)

    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook's own has a loop that runs already
            thread.submit(lambda: asyncio.run(ask())).result()
    except TimeoutError as error:
        raise ValueError(f"no answer within {_CONNECT_S} s") from error


def _address_in(path: Path) -> str:
    """The address in a scheduler's file; ValueError if it states none, for which Dask's client would wait."""
    with open(path, "rb") as file:
        data = file.read(_MOST_BYTES)
    try:
        address = json.loads(data)["address"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError("the file names no scheduler's address") from error
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
        raise ValueError(f"the file states {address!r:.60}, which is not an address")
    return address


def _call(serve: Serve, assignment: Any, job: bytes, task: bytes, topic: str, number: int) -> tuple[str, bytes, int]:
    """Run `serve`, in a thread of a Dask worker, and report its start and its counts."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def abandoned() -> bool:
        state = worker.state.tasks.get(key)
        return state is None or state.state == "cancelled"

    worker.log_event(topic, [number, None])
    return serve(assignment, job, task, lambda n: worker.log_event(topic, [number, n]), abandoned)
