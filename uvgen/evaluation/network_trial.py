"""A network's first run, in a child process, which is killed if the network never ends or takes all memory.

An ONNX file is a program. Opening it already runs part of it (constants are folded) in C++ code, which neither Ctrl-C
nor a time limit in Python can stop.
"""

import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from uvgen.errors import DatasetError, InputError
from uvgen.evaluation.network import Network, NetworkOptions, check_network_file
from uvgen.parallel.workers import Death, Workers
from uvgen.storage.locks import scratch_folder
from uvgen.storage.names import brief

MAX_SECONDS = 120.0
"""How long opening the file and running it on these crops may take if no time limit is given."""

_LEAST_SECONDS = 20.0  # large networks take longer to open than a limit for a few photographs allows
_MAX_MEMORY = 16 << 30
_KEPT: dict[tuple[str, NetworkOptions], "NetworkSizes"] = {}  # results of this process, by hash and options


class NetworkSizes(NamedTuple):
    """Sizes that a network's first run shows: the side of its crops, px, and of its maps, texels."""

    crop_size: int
    uv_size: int


def try_network(path: Path, sha256: str, options: NetworkOptions, timeout: float | None = None) -> NetworkSizes:
    """Open a network and run it on a black crop, and twice on another, in a child process.

    Parameters
    ----------
    path : Path
        ONNX file.
    sha256 : str
        `uvgen.evaluation.network.hash_network` of the file; a network that passed is not tried again by this process.
    options : NetworkOptions
        How it is called.
    timeout : float, optional
        Time limit, s; 120 by default. Less than 20 counts as 20.

    Returns
    -------
    NetworkSizes

    Raises
    ------
    InputError
        If it is not a network, its shapes do not fit, its maps are random, or its process was killed or took too long.
    DependencyError
        If onnxruntime is not installed.
    WorkerError
        If no process can be started.
    DatasetError
        If the folder for temporary files cannot be written.
    """
    check_network_file(path)
    tried = sha256, replace(options, scale="px", convention="exact")  # these only change what is done with its output
    if tried in _KEPT:
        return _KEPT[tried]
    limit = MAX_SECONDS if timeout is None else max(timeout, _LEAST_SECONDS)
    with scratch_folder() as folder, Workers[str](open_trial, folder, 1, limit) as workers:
        job = folder / "job-0"
        try:
            job.write_bytes(pickle.dumps((path, options)))
        except OSError as error:
            raise DatasetError(f"{job}: cannot be written ({brief(error)}); set TMPDIR to another folder") from error
        workers.open(job.name)
        workers.submit(path.name, None)
        sizes: NetworkSizes | Death
        ((_, sizes),) = workers
    if isinstance(sizes, Death):
        raise InputError(f"{path}: a process that ran it on a black crop {sizes.how}, expected a network")
    _KEPT[tried] = sizes
    return sizes


def open_trial(job: Path) -> Callable[[None], NetworkSizes]:
    """The function that runs the network, in the process that `try_network` starts."""
    path, options = pickle.loads(job.read_bytes())
    _limit_memory()

    def run(_: None) -> NetworkSizes:
        try:
            network = Network(path, options)
            network.check_repeatable()
        except MemoryError as error:
            limit = _memory_limit()
            raised = "; raise the limit (ulimit -v)" if limit < _MAX_MEMORY else ""
            what = f"{path}: asks for more than {limit / (1 << 30):.3g} GiB, expected a network{raised}"
            raise InputError(what) from error
        return NetworkSizes(network.size, network.uv_size)

    return run


def _memory_limit() -> int:
    """Bytes that this process may take: what `_limit_memory` sets, or less."""
    try:
        import resource

        return min(limit for limit in (*resource.getrlimit(resource.RLIMIT_AS), _MAX_MEMORY) if limit >= 0)
    except (ImportError, AttributeError, OSError):  # Windows, macOS
        return _MAX_MEMORY


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    for name, value in (("RLIMIT_CORE", 0), ("RLIMIT_AS", _MAX_MEMORY)):
        with suppress(AttributeError, OSError, ValueError):  # not on this system, or a lower limit is set
            resource.setrlimit(getattr(resource, name), (value, value))
