"""Whether anything grows with the data set: rate, memory and handles of builds, start-up of loader workers, listing.

    python benchmarks/scale.py [--data 300W_LP/ --model bfm.h5] [--samples 1000 10000 50000] [--size 64] [--dask]
    python benchmarks/scale.py --startup 1000 100000 1000000
    python benchmarks/scale.py --listing 1000000

Builds are of samples that link to a few files again and again, at 64 px unless `--size` says otherwise (256 is what
people build, and takes seven times the disk and about twice the time). "ms/sample" is processor time of all processes,
which other work on the machine changes less than the rates. Memory is PSS, which counts a page that processes share
once; of the workers it is the sum. It is read when a quarter of the shards is made and at the end, as are the handles.
`--dask` also builds on Dask, with two workers: on a cluster that the run starts for itself, and on one that is running
already, its scheduler and workers in processes of their own. `--startup` writes an index of so many samples, with names
as long as 300W-LP's and without shards, and times a loader worker from its start to its first answer. `--listing` makes
that many empty images and as many `.mat`.
Nothing is asserted: machines are noisy; compare rows of one run.
"""

import argparse
import hashlib
import io
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from multiprocessing import get_context
from multiprocessing.context import set_spawning_popen
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from build import repeated  # before NumPy: `timing`, which it imports, asks for one BLAS thread

# isort: split
import uvgen
from uvgen.datasets.config import BuildConfig, DatasetConfig
from uvgen.datasets.record import ShardResult
from uvgen.shards.index import Index, ShardEntry
from uvgen.synth.sample_set import builtin_samples

PER_SHARD = 64
QUIET = {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False", "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "500ms"}


def children(pid: int) -> list[int]:
    """Processes below one."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found, more = [], [pid]
    while more:
        more = [child for child, parent in parents.items() if parent in more]
        found += more
    return found


def pss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def handles(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def processor_seconds(pids: list[int]) -> float:
    """What processes, those below them, and the ended ones that they have waited for have used."""
    ticks = 0
    for pid in {*pids, *(child for parent in pids for child in children(parent))}:
        try:
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:  # it has ended, and its parent has waited for it
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def state(beside: list[int]) -> tuple[float, float, int, int]:
    """Memory of this process and of those below it or a cluster's, MB; handles of this one, and the most of another."""
    pid, below = os.getpid(), [child for pid in (os.getpid(), *beside) for child in children(pid)] + beside
    return pss_mb(pid), sum(map(pss_mb, below)), handles(pid), max(map(handles, below), default=0)


def build(options: argparse.Namespace, backend: str, workers: int, data: Path, address: str, beside: list[int]) -> None:
    """Print a row: samples per second once each worker has made a shard, then memory and handles early and late."""
    config = BuildConfig(size=options.size, uv_size=options.size, shard_size=options.shard_size)
    samples = uvgen.find_samples(data)
    n_shards = -(-len(samples) // config.shard_size)
    marks: list[float] = []
    states: list[tuple[float, float, int, int]] = []

    def finished(_: ShardResult) -> None:
        marks.append(time.perf_counter())
        if len(marks) in (max(n_shards // 4, 1), n_shards):
            states.append(state(beside))

    started, used = time.perf_counter(), processor_seconds([os.getpid(), *beside])
    how: Any = {"model": options.model or "builtin", "config": config, "run": uvgen.RunOptions(workers)}
    how["progress"] = finished
    where = {"local": ("local", None), "dask": ("dask", None), "running": ("dask", address)}[backend]
    with uvgen.running_on(*where, workers=None if backend == "local" else workers):
        uvgen.build_shards(samples, data.parent / "out", **how)
    seconds = time.perf_counter() - started
    cost = (processor_seconds([os.getpid(), *beside]) - used) / len(samples) * 1e3
    first = min(workers, len(marks) - 1)
    rate = config.shard_size * (len(marks) - first) / (marks[-1] - marks[first - 1])
    early, late = states[0], states[-1]
    memory = f"{early[0]:6.0f} {late[0]:6.0f} {early[1]:8.0f} {late[1]:6.0f}"
    fds = f"{early[2]:6} {late[2]:4} {early[3]:6} {late[3]:4}"
    row = f"{backend:<7} {workers:7} {len(samples):8} {seconds:8.1f} {rate:9.0f} {cost:9.2f}"
    print(f"{row}   {memory}   {fds}", flush=True)


@contextmanager
def dask_cluster(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """A scheduler and two workers, as one starts them on machines; its address and its processes."""
    file = folder / "scheduler.json"
    with ExitStack() as stack:

        def start(module: str, *arguments: str) -> int:
            program = [sys.executable, "-c", f"from distributed.cli.{module} import main; main()", *arguments]
            how = {"env": {**os.environ, **QUIET}, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = subprocess.Popen([*program, "--no-dashboard"], **how)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process.pid

        at = ("--scheduler-file", str(file))
        pids = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", *at)]
        while not file.exists():
            time.sleep(0.1)
        own = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder / "dask"))
        pids += [start("dask_worker", *at, *own) for _ in range(2)]
        from distributed import Client

        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(2)
        yield str(file), pids


def builds(options: argparse.Namespace, folder: Path) -> None:
    """Each row in a process of its own, so that none begins with what another one left in memory."""
    print("                                                         memory, MB: early, late       handles: early, late")
    print("backend workers  samples  seconds samples/s ms/sample    parent        workers         parent      worker")
    with dask_cluster(folder) if options.dask else nullcontext(("", [])) as (address, pids):
        for n in options.samples:
            data = folder / f"data-{n}"
            repeated(uvgen.find_samples(options.data or builtin_samples()), n, data)
            rows = [("local", 1), ("local", 2), *([("dask", 2), ("running", 2)] if options.dask else [])]
            for backend, workers in [row for row in rows if row[1] in options.workers] * options.turns:
                beside = pids if backend == "running" else []
                arguments = (options, backend, workers, data, address, beside)
                process = get_context("spawn").Process(target=build, args=arguments)
                process.start()
                process.join()
                shutil.rmtree(folder / "out", ignore_errors=True)
            shutil.rmtree(data)


def write_index(folder: Path, n: int) -> int:
    """An index of n samples; its size in bytes."""
    folder.mkdir()
    per = min(PER_SHARD, n)
    entries = [
        ShardEntry(
            f"HELEN-{k:05d}.h5", per, per * 300_000, hashlib.sha256(b"%d" % k).hexdigest(),
            "\n".join(f"HELEN/HELEN_image_{k * per + j:08d}_1_{j % 17}" for j in range(per)),
        )
        for k in range(n // per)
    ]  # fmt: skip
    stated = DatasetConfig(BuildConfig(), "builtin", "0" * 64, "1" * 64).to_plain()
    plan = {"samples": n // per * per, "names_sha256": "0" * 64}
    Index(uvgen.__version__, stated, plan, entries).write(folder)
    return (folder / "dataset.json").stat().st_size


class Holder:
    """What a `ShardDataset` gives its workers, without the shards that its start would open."""

    def __init__(self, folder: Path) -> None:
        from uvgen.torch import ShardDataset

        reader = uvgen.open_shards(folder)
        self.dataset = ShardDataset.__new__(ShardDataset)
        self.dataset.__dict__.update(reader=reader, _epoch=_shared_number(), _shared=None)


def _shared_number() -> Any:
    import torch

    return torch.zeros((), dtype=torch.int64).share_memory_()


def answer(holder: Holder, pipe: Any) -> None:
    """In a worker: find the last sample's shard, and say what this process holds alone."""
    reader = holder.dataset.reader
    reader.shard_range(len(reader) - 1)
    private = [line for line in Path("/proc/self/smaps_rollup").read_text().splitlines() if "Private_Dirty" in line]
    pipe.send(int(private[0].split()[1]) / 1024)


class _Popen:  # what `ForkingPickler` asks of a process that is being started
    def duplicate_for_child(self, handle: int) -> int:
        return handle

    DupFd = duplicate_for_child


def pickled_bytes(value: Any) -> int:
    """How much a worker that is spawned gets through its pipe."""
    file = io.BytesIO()
    set_spawning_popen(_Popen())
    try:
        ForkingPickler(file, 5).dump(value)
    finally:
        set_spawning_popen(None)
    return file.tell()


def startup(counts: list[int], repeats: int, folder: Path) -> None:
    print("samples   index MB  open s  pickled   fork ms (MB)   forkserver ms (MB)   spawn ms (MB)")
    for n in counts:
        size = write_index(folder / f"index-{n}", n)
        started = time.perf_counter()
        holder = Holder(folder / f"index-{n}")
        opened = time.perf_counter() - started
        n_bytes = pickled_bytes(holder)
        cells = []
        for method in ("fork", "forkserver", "spawn"):
            context = get_context(method)
            times, memory = [], 0.0
            for _ in range(repeats + 1):  # the first starts the fork server
                ours, theirs = context.Pipe()
                process = context.Process(target=answer, args=(holder, theirs))
                started = time.perf_counter()
                process.start()
                memory = ours.recv()
                times.append(time.perf_counter() - started)
                process.join()
            cells.append(f"{min(times[1:]) * 1e3:7.0f} ({memory:.0f})")
        print(f"{n:8} {size / 1e6:9.1f} {opened:7.2f} {n_bytes:8}   " + "     ".join(cells), flush=True)


def listing(n: int, folder: Path) -> None:
    for k in range(8):
        (folder / f"SUBSET{k}").mkdir()
        handle = os.open(folder / f"SUBSET{k}", os.O_RDONLY)
        for j in range(n // 8):
            for suffix in ("jpg", "mat"):
                os.close(os.open(f"SUBSET{k}_image_{j:07d}_1_0.{suffix}", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
        os.close(handle)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started, used = time.perf_counter(), time.process_time()
    found = uvgen.find_samples(folder)
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(found)} samples, {2 * len(found)} files: {seconds:.1f} s ({cpu:.1f} s of CPU), {peak - before:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="samples to link to; the built-in ones by default")
    parser.add_argument("--model", type=Path, help="of --data")
    parser.add_argument("--samples", type=int, nargs="*", default=[1000, 10_000, 50_000])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--shard-size", type=int, default=PER_SHARD)
    parser.add_argument("--dask", action="store_true", help="also build on Dask clusters of this machine, 2 workers")
    parser.add_argument("--turns", type=int, default=1, help="how often to repeat the rows")
    parser.add_argument("--startup", type=int, nargs="+", help="time loader workers instead, at so many samples")
    parser.add_argument("--listing", type=int, help="list that many samples instead")
    parser.add_argument("--repeats", type=int, default=3, help="of --startup")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix=".benchmark-") as name:
        if options.startup:
            startup(options.startup, options.repeats, Path(name))
        elif options.listing:
            listing(options.listing, Path(name))
        else:
            builds(options, Path(name))


if __name__ == "__main__":
    sys.exit(main())
