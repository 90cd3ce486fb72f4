"""How fast samples are read, against plain h5py, the usual files, and gzip.

    python benchmarks/read.py --shards shards/ [--samples 256] [--folder /dev/shm] [--workers 2]
        [--model bfm.h5 [--lean-shards lean/]]
    python benchmarks/read.py --shards shards/ --headroom [--device cuda] [--workers 8] [--network prnet --batch 64]

Everything is timed in this one run, on one core, from a warm page cache, in one random order, and printed in
milliseconds per sample and as a multiple of plain h5py. The alternatives are written from the same shards: gzip and
JPEG crops as h5py writes them, and the usual layout, one .npy map and one .jpg a sample, read by the straightforward
data set below. Rounds of all take turns, and each one's fastest counts. Nothing is asserted: machines are noisy;
read the ratios. With --model, maps made of parameters are compared with the matrix product they cannot do without, and
with --lean-shards, the set built with --maps none, making them in a data loader's workers is timed.

--headroom times other things: training steps of a network (that of examples/train_minimal.py, or --network of
examples/position_maps) on one batch that stays on the device; batches, compact and of floats, that come through a data
loader to the device and go nowhere; and both together.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import timing  # noqa: F401  before NumPy: it asks for one BLAS thread

# isort: split
import h5py
import numpy as np
import simplejpeg
import torch
from torch.utils.data import DataLoader
from usual_files import (
    UsualFiles,
    Zeros,
    decode_pillow,
    decode_scikit_image,
    decode_simplejpeg,
    one_by_one,
    write_alternatives,
)

import uvgen
from uvgen import Augmentation
from uvgen.torch import PARAMETERS, PositionMapLayer, ShardDataset, to_float

BATCH = 16


def compare(functions: dict[str, Callable[[], object]], n: int, repeats: int) -> dict[str, float]:
    """Milliseconds a sample of each, the fastest of rounds in which all take turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for round_number in range(repeats + 1):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            seconds = time.perf_counter() - started
            if round_number:  # the first is cold
                times[name].append(seconds)
            said = f"round {round_number} of {repeats}" if round_number else "first round, not counted"
            print(f"{said}: {name}, {seconds * 1e3 / n:.3f} ms", file=sys.stderr, flush=True)
    return {name: min(values) * 1e3 / n for name, values in times.items()}


def show(title: str, times: dict[str, float], reference: str) -> None:
    print(title)
    for name, milliseconds in times.items():
        print(f"  {name:<58} {milliseconds:7.3f} ms  {milliseconds / times[reference]:6.2f} ×")


def read_all(shards: Path, folder: Path, order: list[int], repeats: int) -> None:
    n = len(order)
    reader = uvgen.open_shards(shards)
    files = {name: h5py.File(folder / f"{name}.h5") for name in ("plain", "gzip", "jpeg")}
    fixed = reader.attributes("posmap")
    scale, offset = np.float32(fixed["scale_factor"]), np.float32(fixed["add_offset"])

    def plain(name: str, decode: Callable[[Any], Any] = lambda image: image) -> Callable[[], object]:
        images, maps = files[name]["image"], files[name]["posmap"]

        def run() -> None:
            for k in order:
                decode(images[k])
                maps[k] * scale + offset

        return run

    def each(dataset: Any) -> Callable[[], object]:
        def run() -> None:
            for k in order:
                dataset[k]

        return run

    def batches(dataset: ShardDataset) -> Callable[[], object]:
        def run() -> None:
            for first in range(0, n, BATCH):
                dataset.batch(order[first : first + BATCH])

        return run

    lean = partial(ShardDataset, weight_mask=False)  # which the others do not have either
    functions = {
        "plain h5py: uint8 crop, uint16 map → float32 px": plain("plain"),
        "the same, JPEG crops": plain("jpeg", simplejpeg.decode_jpeg),
        "the same, gzip": plain("gzip"),
        "open_shards, all fields": each(reader),
        "ShardDataset, float tensors": each(lean(shards)),
        f"ShardDataset, float tensors, batches of {BATCH}": batches(lean(shards)),
        f"the same, with a weight mask a sample, batches of {BATCH}": batches(ShardDataset(shards)),
        f"ShardDataset, standardized, batches of {BATCH}": batches(lean(shards, image_normalize="standardize")),
        f"ShardDataset, channels_last, batches of {BATCH}": batches(lean(shards, channels_last=True)),
        f"ShardDataset, compact, batches of {BATCH}": batches(lean(shards, compact=True)),
        ".npy + .jpg files to float tensors, simplejpeg": each(UsualFiles(folder, n, decode_simplejpeg)),
        ".npy + .jpg files to float tensors, Pillow": each(UsualFiles(folder, n, decode_pillow)),
        ".npy + .jpg files to float tensors, scikit-image": each(UsualFiles(folder, n, decode_scikit_image)),
    }
    times = compare(functions, n, repeats)
    show("reading, one process, ms per sample", times, next(iter(times)))


def load_all(shards: Path, folder: Path, n: int, workers: int, repeats: int) -> None:
    """Through a data loader, workers kept from round to round."""

    def run(dataset: Any, n_workers: int, **options: Any) -> Callable[[], object]:
        sampler = range(n)
        loader = DataLoader(
            dataset, BATCH, sampler=sampler, num_workers=n_workers, persistent_workers=n_workers > 0, **options
        )

        def consume() -> None:
            for _ in loader:
                pass

        return consume

    lean = partial(ShardDataset, weight_mask=False)
    datasets = {
        "float": lean(shards),
        "compact": lean(shards, compact=True),
        "compact, prnet augmentation": lean(shards, compact=True, augmentation=Augmentation.preset("prnet")),
    }
    functions: dict[str, Callable[[], object]] = {
        f"ShardDataset, {name}; workers: {count}": run(dataset, count)
        for name, dataset in datasets.items()
        for count in dict.fromkeys((0, 1, workers))
    }
    functions["zeros instead of a float pair; workers: 1"] = run(Zeros(shards, n), 1)
    functions["ShardDataset, float, samples one by one; workers: 1"] = run(lean(shards), 1, collate_fn=one_by_one)
    functions[".npy + .jpg files; workers: 1"] = run(UsualFiles(folder, n, decode_simplejpeg), 1)
    times = compare(functions, n, repeats)
    show("through a data loader, in order, ms per sample", times, "ShardDataset, float; workers: 1")


def load_made(shards: Path, model: Path, workers: int, repeats: int) -> None:
    """Maps made in a data loader's workers."""
    dataset = ShardDataset(shards, model=model, compact=True, weight_mask=False)
    n = 1024

    def run(count: int) -> Callable[[], object]:
        order = [k % len(dataset) for k in range(n)]
        loader = DataLoader(dataset, 32, sampler=order, num_workers=count, persistent_workers=count > 0)

        def consume() -> None:
            for _ in loader:
                pass

        return consume

    functions = {f"compact; workers: {count}": run(count) for count in dict.fromkeys((0, 1, workers))}
    times = compare(functions, n, repeats)
    show("maps made in a data loader, batches of 32, ms per sample", times, "compact; workers: 1")


def make_maps(shards: Path, model_path: Path, repeats: int) -> None:
    model, reader = uvgen.load_model(model_path), uvgen.open_shards(shards)
    n = 32
    batch = ShardDataset(shards).batch([k % len(reader) for k in range(n)])
    inputs = [batch[name] for name in PARAMETERS]
    size = reader.config.build.uv_size
    layer, mapper = PositionMapLayer(model, size), uvgen.PositionMapper(model, size)
    arrays = [tensor.numpy() for tensor in inputs]
    coefficients = torch.cat(inputs[:2], dim=1)
    matrix, columns = np.array(model.basis.reshape(3 * model.n_vertices, -1)), coefficients.numpy().T.copy()
    functions: dict[str, Callable[[], object]] = {
        "matrix product, NumPy": lambda: matrix @ columns,
        "matrix product, PyTorch": lambda: coefficients @ layer.basis.T,
        "PositionMapper": lambda: mapper(*arrays),
        "PositionMapLayer, CPU": lambda: layer(*inputs),
    }
    show(
        f"maps made of parameters, batches of {n}, ms per sample",
        compare(functions, n, repeats),
        "matrix product, NumPy",
    )


def compact_to_float(shards: Path, repeats: int) -> None:
    dataset = ShardDataset(shards, compact=True)
    batch = dataset.batch([k % len(dataset) for k in range(BATCH)])
    functions: dict[str, Callable[[], object]] = {
        "to_float on the CPU": lambda: to_float(batch),
        "to_float on the CPU, channels_last": lambda: to_float(batch, channels_last=True),
    }
    show("compact batches to float, ms per sample", compare(functions, BATCH, 5 * repeats), "to_float on the CPU")


def memory(shards: Path) -> None:
    """Peak memory of a process that has read 200 samples, and 20,000."""
    code = f"""
import numpy as np, uvgen.torch
dataset = uvgen.torch.ShardDataset({str(shards)!r})
random = np.random.default_rng(0)
def peak(n):
    for _ in range(n // {BATCH}):
        dataset.batch(random.integers(0, len(dataset), {BATCH}).tolist())
    with open("/proc/self/status") as file:  # of this process alone; getrusage has its parent's peak in it
        return int(file.read().split("VmHWM:")[1].split()[0]) / 1024
print(f"peak memory: {{peak(208):.1f}} MB after 200 samples, {{peak(20000):.1f}} MB after 20,000")
"""
    print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout, end="")


def network_of(name: str | None, dataset: ShardDataset, device: str) -> tuple[Any, Callable[[Any, Any], Any]]:
    """The network to train and what it predicts of a batch: one of the four of examples/position_maps, in bfloat16 and
    channels-last on a GPU, or that of examples/train_minimal.py."""
    examples = Path(__file__).parents[1] / "examples"
    if name is None:
        sys.path.insert(0, str(examples))
        from train_minimal import network, predict

        return network().to(device), predict
    sys.path.insert(0, str(examples / "position_maps"))
    from networks import PositionMapNetwork

    net = PositionMapNetwork(name, "linear", dataset.reader.config.build.uv_size)
    fast = torch.device(device).type == "cuda"
    layout = torch.channels_last if fast else torch.contiguous_format
    torch.backends.cudnn.benchmark = fast

    def predict_fast(net: Any, batch: Any) -> Any:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=fast):
            return net(batch["image"])

    return net.to(device, memory_format=layout), predict_fast


def headroom(options: argparse.Namespace) -> None:
    """The network without a feed, the feed without a network, and both."""
    from uvgen.losses import weighted_mse

    device, workers, size = options.device, options.workers, options.batch
    n_steps = max(1, options.samples // size)
    dataset = ShardDataset(options.shards, compact=True, weight_mask=False)
    if "posmap" not in dataset.reader.fields:
        sys.exit(f"{options.shards} stores no maps, expected a set that does")
    weight_mask = dataset.weight_mask.to(device)
    net, predict = network_of(options.network, dataset, device)
    optimizer = torch.optim.Adam(net.parameters())
    order = [k % len(dataset) for k in range(n_steps * size)]

    def on_device(batch: Any) -> Any:
        moved = {key: v.to(device, non_blocking=True) if torch.is_tensor(v) else v for key, v in batch.items()}
        return to_float(moved, channels_last=options.network is not None and device != "cpu")

    cached = on_device(dataset.batch(order[:size]))

    def train(batches: Any) -> Callable[[], object]:
        def run() -> None:
            for batch in batches:
                on = cached if batch is None else on_device(batch)
                loss = weighted_mse(predict(net, on), on["posmap"], weight_mask)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss.item()  # waits for the device

        return run

    def feed(loader: Any) -> None:
        for batch in loader:
            on = on_device(batch)
        on["image"].sum().item()

    functions: dict[str, Callable[[], object]] = {
        "the network alone, one batch kept on the device": train([None] * n_steps)
    }
    for kind in ("compact", "float"):
        loader = DataLoader(
            ShardDataset(options.shards, compact=kind == "compact", weight_mask=False), size, sampler=order,
            num_workers=workers, persistent_workers=workers > 0, pin_memory=device != "cpu",
        )  # fmt: skip
        functions[f"the feed alone, {kind}, workers: {workers}"] = partial(feed, loader)
        functions[f"both, {kind}"] = train(loader)
    times = compare(functions, n_steps * size, max(options.repeats // 2, 2))
    epochs = f"epochs of {n_steps * size}"
    show(f"training on {device}, batches of {size}, {epochs}, ms per sample", times, next(iter(times)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True, help="with uint16 maps, uncompressed")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--lean-shards", type=Path, help="the same without maps; needs --model")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to write; 1.5 MB per sample are needed")
    parser.add_argument("--headroom", action="store_true", help="time a network, its feed, and both; nothing else")
    parser.add_argument("--device", default="cpu", help="of --headroom")
    parser.add_argument("--network", help="of --headroom: prnet, mobilenetv2, resnet18, lprnet; bfloat16 on a GPU")
    parser.add_argument("--batch", type=int, default=BATCH, help=f"samples in a batch of --headroom ({BATCH})")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.headroom:
        headroom(options)
        return
    reader = uvgen.open_shards(options.shards)
    n = min(options.samples, len(reader))
    order = np.random.default_rng(0).permutation(n).tolist()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix=".benchmark-") as name:
        folder = Path(name)
        write_alternatives([reader[k] for k in range(n)], reader.attributes("posmap"), folder)
        read_all(options.shards, folder, order, options.repeats)
        load_all(options.shards, folder, n, options.workers, max(options.repeats // 2, 2))
    compact_to_float(options.shards, options.repeats)
    if options.model:
        make_maps(options.shards, options.model, options.repeats)
        if options.lean_shards:
            load_made(options.lean_shards, options.model, options.workers, max(options.repeats // 2, 2))
    memory(options.shards)


if __name__ == "__main__":
    main()
