"""How fast a data loader reads a shuffled epoch from an object store, against the same shards on this machine.

    python benchmarks/store.py --shards shards/ [--workers 2] [--group 8] [--repeats 3] [--floats] [--augment]

The store is moto's S3 server, in a process of its own on loopback: a Python program, which shares the machine's cores
with the loader and is slower than a real store's end of a fast network. Each repeat reads three epochs in the same
order: from the folder, from the store with an empty cache, and from the store once more, when the cache holds what fits
(UVGEN_STORE_CACHE_GB). Each kind's fastest counts, in samples per second; the workers' start is left out. The processor
time is that of the epoch in which the loader, which is the training process and its workers, used least, their start
included; it hardly changes with what else the machine does, so that its ratio is the one to read. Samples are read in
the compact form, for which a loader does little more than copy; with `--floats` as `ShardDataset` gives them by
default, and with `--augment` drawn anew as PRNet does. Nothing is asserted: machines are
noisy; read the ratios.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import timing  # noqa: F401  before NumPy: it asks for one BLAS thread

# isort: split
from torch.utils.data import DataLoader

from uvgen.augment import Augmentation
from uvgen.storage.object_cache import objects_folder
from uvgen.storage.objects import upload
from uvgen.storage.urls import local_path
from uvgen.torch import ShardDataset, ShardSampler

SERVER = """
import logging, sys, time
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--group", type=int, default=64, help="shards that are shuffled with each other")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--floats", action="store_true", help="read float32 tensors, not the compact form")
    parser.add_argument("--augment", action="store_true", help="augment samples with the preset `prnet`")
    options = parser.parse_args()
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        with tempfile.TemporaryDirectory() as cache:
            measure(options, server, cache)
    finally:
        server.kill()


def measure(options: argparse.Namespace, server: "subprocess.Popen[str]", cache: str) -> None:
    """Upload the shards, and print the rates."""
    assert server.stdout is not None
    address = f"http://127.0.0.1:{server.stdout.readline().strip()}"
    os.environ.update(
        AWS_ENDPOINT_URL=address, AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="us-east-1",
        UVGEN_CACHE=cache,
    )  # fmt: skip
    urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT")).close()
    files = [path for path in options.shards.iterdir() if path.is_file() and not path.name.startswith(".")]
    began = time.perf_counter()
    for path in files:
        upload(local_path(f"s3://bucket/shards/{path.name}"), path)
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"uploaded {size:.0f} MB, {size / (time.perf_counter() - began):.0f} MB/s")
    kinds = ("folder", "store, first epoch", "store, second epoch")
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    used: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    for repeat in range(options.repeats):
        for path in objects_folder().glob("*.h5"):
            path.unlink()
        for kind, found in rates.items():
            where = str(options.shards) if kind == "folder" else "s3://bucket/shards"
            before = processor_seconds(server.pid)
            found.append(epoch(where, options, repeat))
            used[kind].append([now - then for now, then in zip(processor_seconds(server.pid), before, strict=True)])
    local, cost = max(rates["folder"]), min(sum(one[:2]) for one in used["folder"])
    for kind, found in rates.items():
        parent, workers, serving = min(used[kind], key=lambda one: sum(one[:2]))
        print(
            f"{kind:20} {max(found):7.0f} samples/s, {max(found) / local:4.0%} of the folder's; processor time: "
            f"training process {parent:.2f} s, workers {workers:.2f} s ({cost / (parent + workers):4.0%}), "
            f"server {serving:.2f} s"
        )


def processor_seconds(server: int) -> list[float]:
    """What this process has used, its children that have ended, and the server."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[11:13]
    return [time.process_time(), ended.ru_utime + ended.ru_stime, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")]


def epoch(path: str, options: argparse.Namespace, number: int) -> float:
    """Samples per second of a shuffled epoch, from the first sample that is asked for on."""
    augmentation = Augmentation.preset("prnet") if options.augment else None
    data = ShardDataset(path, compact=not options.floats, weight_mask=options.floats, augmentation=augmentation)
    sampler = ShardSampler(data, shards_at_once=options.group, window=1)
    sampler.set_epoch(number)
    loader = DataLoader(data, batch_size=16, sampler=WaitingSampler(sampler), num_workers=options.workers)
    WaitingSampler.began = 0.0
    n = sum(len(batch["name"]) for batch in loader)
    return n / (time.perf_counter() - WaitingSampler.began)


class WaitingSampler:
    """A sampler that notes when it was first asked: the workers' processes were started by then."""

    began = 0.0

    def __init__(self, sampler: ShardSampler) -> None:
        self._sampler = sampler

    def __iter__(self) -> Iterator[int]:
        time.sleep(2.0)  # the workers import what they need meanwhile
        WaitingSampler.began = time.perf_counter()
        yield from self._sampler

    def __len__(self) -> int:
        return len(self._sampler)


if __name__ == "__main__":
    main()
