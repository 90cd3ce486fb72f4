"""A network that regresses position maps, in as little code as shows the whole way. Runs on a CPU and on a GPU.

    python examples/train_minimal.py shards/ --out run/
    python examples/train_minimal.py shards_without_maps/ --model bfm.h5 --out run/ --device cuda --workers 8

It validates on photographs that training never sees, keeps the best network in run/network.pt (a state dict), and draws
run/validation.png. The parts are those of `uvgen split`; if the set has none, they are made by photographs, in
run/splits.json. If the shards have no maps, `PositionMapLayer` makes them of the parameters in each batch.
"""

import argparse
import itertools
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

try:
    import torch
except ModuleNotFoundError:
    sys.exit('PyTorch is missing: pip install "torch>=2.3" (CPU: --index-url https://download.pytorch.org/whl/cpu)')
import numpy as np
from joblib import cpu_count
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

import uvgen
from uvgen.losses import weighted_mse
from uvgen.metrics import nme_2d
from uvgen.preview import prediction_sheet
from uvgen.torch import PositionMapLayer, ShardDataset, ShardSampler, to_float


def network() -> nn.Sequential:
    """Encoder to 1/32 of the crop, decoder to 1/4 of it; a position map is smooth, so the rest is interpolated."""
    widths, layers = [3, 16, 32, 64, 128, 128], []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]
    for n_in, n_out in itertools.pairwise([128, 64, 32, 16]):
        layers += [nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Conv2d(16, 3, 3, padding=1))
    net.register_buffer("crop_size", torch.tensor(0))  # px that it is trained on; it runs on others, and errs there
    return net


def parts(shards: str, train: str | None, val: str | None, out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What tells `ShardDataset` which samples to take, for training and for validation."""
    if train or val or {"train", "val"} <= uvgen.describe_shards(shards).splits.keys():
        return {"split": train or "train"}, {"split": val or "val"}
    made = uvgen.split_shards(shards, {"train": 0.8, "val": 0.2}, out=out / "splits.json", overwrite=True).splits
    return {"names": made[0].samples}, {"names": made[1].samples}


def endless(dataset: ShardDataset, sampler: ShardSampler, loader: DataLoader[Any]) -> Any:
    """Batches, epoch after epoch."""
    for epoch in itertools.count():
        dataset.set_epoch(epoch)  # other augmentations
        sampler.set_epoch(epoch)  # another order
        yield from loader


def on_device(batch: dict[str, Any], layer: PositionMapLayer | None, device: str) -> dict[str, Any]:
    """A compact batch as floats on the device; its `posmap` is in crop widths, stored or made there."""
    moved = {key: v.to(device, non_blocking=True) if torch.is_tensor(v) else v for key, v in batch.items()}
    batch = dict(to_float(moved))
    if layer is not None:
        batch["posmap"] = layer.from_batch(batch) / batch["image"].shape[-1]
    return batch


def predict(net: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
    return nn.functional.interpolate(net(batch["image"]), batch["posmap"].shape[2:], mode="bilinear")


@torch.no_grad()
def validate(net: nn.Module, dataset: ShardDataset, layer: Any, device: str) -> np.ndarray:
    """The normalized mean error of the 68 landmarks in each predicted map."""
    weights, errors = uvgen.LandmarkWeights.of_constants(dataset.reader.constants), []
    for batch in DataLoader(dataset, 16):
        batch = on_device(batch, layer, device)
        landmarks = uvgen.read_landmarks(predict(net, batch) * batch["image"].shape[-1], weights)
        errors.append(nme_2d(landmarks, batch["landmarks"]).cpu().numpy())
    return np.concatenate(errors)


@torch.no_grad()
def draw(net: nn.Module, dataset: ShardDataset, layer: Any, device: str, path: Path) -> None:
    """A picture of what the network predicts for six samples, beside what is true."""
    chosen = np.linspace(0, len(dataset) - 1, min(6, len(dataset))).astype(int).tolist()
    batch = on_device(dataset.batch(chosen), layer, device)
    maps = [(m * batch["image"].shape[-1]).movedim(1, -1).cpu().numpy() for m in (predict(net, batch), batch["posmap"])]
    Image.fromarray(prediction_sheet(dataset.reader, chosen, *maps, title="Validation")).save(path)


def train(options: argparse.Namespace) -> None:
    """Train, keep the best network, draw its predictions."""
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    device, layer = options.device, None
    options.out.mkdir(parents=True, exist_ok=True)
    train_part, val_part = parts(options.shards, options.split, options.val, options.out)
    augmentation = None if options.no_augmentation else uvgen.Augmentation.preset("prnet")
    small = {"compact": True, "weight_mask": False}  # uint8 crops and uint16 maps; the mask is the same for all
    dataset = ShardDataset(options.shards, augmentation=augmentation, **small, **train_part)
    val_set = ShardDataset(options.shards, **small, **val_part)
    if options.model:
        layer = PositionMapLayer.for_shards(dataset, options.model).to(device)
    elif "posmap" not in dataset.reader.fields:
        raise uvgen.UvgenError(f"{options.shards} stores no maps: give the --model that it was built with")
    print(f"{len(dataset)} samples to train, {len(val_set)} to validate, on {device}", flush=True)
    loading = {"num_workers": options.workers, "persistent_workers": options.workers > 0, "pin_memory": device != "cpu"}
    sampler, size = ShardSampler(dataset), min(options.batch, len(dataset))
    loader = DataLoader(dataset, size, sampler=sampler, drop_last=True, **loading)
    net, weight_mask = network().to(device), dataset.weight_mask.to(device)
    net.crop_size.fill_(dataset.reader.config.build.size)
    optimizer, losses, best = torch.optim.Adam(net.parameters(), lr=2e-3), [], float("inf")
    began = said = first = time.perf_counter()
    for step, batch in enumerate(itertools.islice(endless(dataset, sampler, loader), options.steps), start=1):
        batch = on_device(batch, layer, device)
        loss = weighted_mse(predict(net, batch), batch["posmap"], weight_mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())  # .item() each step would wait for the GPU
        now = time.perf_counter()
        first = now if step == 1 else first
        if step % 20 == 0 or step == options.steps or now - said > 3:
            each, said = (now - first) / max(step - 1, 1), now
            times = f"{now - began:.0f} s"
            if step > 1:  # without the first, which waits for workers to start
                times = f"{1000 * each:.0f} ms a step, {times}, {each * (options.steps - step):.0f} s left"
            print(f"step {step:4d}  weighted loss {losses[-1].item():.5f}  {times}", flush=True)
        if step % 100 == 0 or step == options.steps:
            errors = validate(net.eval(), val_set, layer, device)
            print(f"step {step:4d}  validation NME {errors.mean():.2%}", flush=True)
            if errors.mean() < best:
                best = float(errors.mean())
                torch.save(net.state_dict(), written := BytesIO())  # its own errors do not say that a disk is full
                (options.out / ".network.pt").write_bytes(written.getvalue())
                (options.out / ".network.pt").replace(options.out / "network.pt")  # never half of it
                draw(net, val_set, layer, device, options.out / "validation.png")
            net.train()
    fell = torch.stack(losses[:5]).mean().item() / torch.stack(losses[-5:]).mean().item()
    print(f"weighted loss fell {fell:.1f} fold from the first five steps to the last; best validation NME {best:.2%}")


class Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The description as it stands, and defaults."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Help)
    parser.add_argument("shards", help="folder that `uvgen build` made")
    parser.add_argument("--out", type=Path, default=Path("run"), help="folder for the network and the picture")
    parser.add_argument("--model", help="model file or the word builtin, for shards without maps")
    parser.add_argument("--split", help="part to train on (train, if the set has parts)")
    parser.add_argument("--val", help="part to validate on (val, if the set has parts)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda, cuda:1")
    threads = min(4, max(1, cpu_count() - 2))  # workers need the others
    for name, value, text in (
        ("--steps", 200, "batches to train on"), ("--batch", 8, "samples in a batch"),
        ("--workers", 2, "processes that read data; 0: this process reads"),
        ("--threads", threads, "threads of PyTorch on the CPU; more gain little"),
    ):  # fmt: skip
        parser.add_argument(name, type=int, default=value, help=text)
    parser.add_argument("--no-augmentation", action="store_true", help="train on the crops as they are")
    options = parser.parse_args()
    if min(options.steps, options.batch, options.threads) < 1:
        parser.error("--steps, --batch and --threads: expected 1 or more of each")
    try:
        train(options)
    except (uvgen.UvgenError, OSError) as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")  # without the usage: that is right


if __name__ == "__main__":
    main()
