"""Which recipe trains a network of `examples/position_maps/` best: many trainings from data on the device.

    python benchmarks/try_recipes.py --shards shards/ --networks prnet resnet18 --rates 3e-3 1e-3 3e-4 --steps 1500
    python benchmarks/try_recipes.py --shards shards/ --networks lprnet --rates 5e-3 --steps 8 --batch 4 --device cpu

Trains with every combination of --networks, --tails, --rates, --warm-up, --clip and --precision, in this order, and
begins no training after --seconds. Without --rates, each network has its own of the default recipe. A tenth of the
photographs is held out. All samples lie on the device, and on a GPU a step is one CUDA graph: neither a data loader nor
the launching of kernels limits small crops. Prints a row for each training: the loss of a batch after a quarter and a
half of the steps; in the end the weighted losses of training samples, 4,000 at most, and of those held out, in crop
widths squared; SSIM and errors of the samples held out. --photos names a folder of images with `.mat` files, such as
AFLW2000-3D's, whose `pt3d_68` the 68 points are compared with. --out keeps the networks, for predict.py and export.py.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples/position_maps"))
from checkpoint import save
from example_programs import percent, photographs_error
from feed import Feed
from networks import NETWORKS, TAILS, PositionMapNetwork
from recipes import RECIPES, Recipe
from validation import validate

from uvgen.losses import weighted_mse
from uvgen.torch import ShardDataset, to_float

HEADINGS = (
    "network", "tail", "rate", "warm-up", "clip", "precision", "steps", "loss at 1/4, 1/2", "trained on", "held out",
    "SSIM", "NME 68 2D, held out (by yaw)", "3D", "dense 2D, 3D", "NME 68 2D, photographs", "seconds",
)  # fmt: skip
SCORED, AT_ONCE = 4000, 500
"""Training samples whose loss is taken in the end, and samples that are predicted at once for it."""


class Part(NamedTuple):
    """Samples on the device."""

    images: Tensor
    """(N, 3, R, R) uint8."""
    maps: Tensor
    """(N, 3, U, U) float32, crop widths."""


class Trial(NamedTuple):
    """One training of the table."""

    network: str
    tail: str
    rate: float
    warm_up: int
    clip: float
    precision: str


def load(dataset: ShardDataset, device: str) -> Part:
    parts: list[Part] = []
    for first in range(0, len(dataset), AT_ONCE):
        stored = dataset.batch(range(first, min(first + AT_ONCE, len(dataset))))
        batch = to_float({key: v.to(device) if torch.is_tensor(v) else v for key, v in stored.items()})
        images = (255 * batch["image"]).round().to(torch.uint8)
        parts.append(Part(images, batch["posmap"]))
    return Part(*map(torch.cat, zip(*parts, strict=True)))


def as_input(images: Tensor) -> Tensor:
    return images.float().div(255).contiguous(memory_format=torch.channels_last)


class Bench:
    """The data, and what is the same in all trainings."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.options, self.device, self.scratch = options, options.device, scratch
        chosen = {"feed": "compact", "augment": "none", "model": None, "source": None, "maps": "stored", "workers": 0}
        fixed = {"batch": options.batch, "seed": 0, "channels_last": True, "out": scratch, "shards": options.shards}
        self.feed = Feed(argparse.Namespace(**chosen, **fixed), torch.device(self.device))
        self.train = load(self.feed.plain, self.device)
        mask, side = self.feed.val.weight_mask, self.feed.uv_size
        self.weights = (torch.ones(side, side) if mask is None else mask).to(self.device)

    def network(self, trial: Trial) -> Any:
        torch.manual_seed(0)
        net: Any = PositionMapNetwork(trial.network, trial.tail, self.feed.uv_size)
        return net.to(self.device, memory_format=torch.channels_last)

    @torch.no_grad()
    def trained_on(self, net: nn.Module) -> float:
        """Mean weighted loss of the first training samples, in evaluation mode."""
        net.eval()
        loss, n = 0.0, min(SCORED, len(self.train.images))
        for first in range(0, n, AT_ONCE):
            some = slice(first, min(first + AT_ONCE, n))
            maps = net(as_input(self.train.images[some]))
            loss += weighted_mse(maps, self.train.maps[some], self.weights).item() * len(maps)
        return loss / n

    def scores(self, net: Any, trial: Trial, number: int) -> list[str]:
        """The cells of a row that tell how good a network is."""
        found = validate(net, self.feed, self.weights)
        about = {"name": trial.network, "tail": trial.tail, "uv_size": net.uv_size, "crop_size": self.feed.crop_size}
        state = {key: value.cpu() for key, value in net.state_dict().items()}
        path = (self.options.out or self.scratch) / f"{number:02d}_{trial.network}.pt"
        save({**about, "state": state}, path)
        photos, error = self.options.photos, None
        if photos:
            error = photographs_error(path, photos, path.with_suffix(""))
        return [
            f"{self.trained_on(net):.6f}", f"{found['weighted_loss']:.6f}", f"{found['ssim']:.3f}",
            f"{percent(found['nme_68_2d'])} ({percent(*found['nme_68_2d_by_yaw'])})", percent(found["nme_68_3d"]),
            percent(found["nme_dense_2d"], found["nme_dense_3d"]), percent(error),
        ]  # fmt: skip

    def step_of(
        self, net: nn.Module, optimizer: torch.optim.Optimizer, trial: Trial, chosen: Tensor
    ) -> Callable[[], Tensor]:
        """A training step on the samples whose numbers `chosen` holds when it is called; it returns the loss."""
        kind, reduced = torch.device(self.device).type, trial.precision == "bfloat16"

        def step() -> Tensor:
            with torch.autocast(kind, torch.bfloat16, enabled=reduced, cache_enabled=False):  # a graph keeps no cache
                predicted = net(as_input(self.train.images[chosen]))
            loss: Tensor = weighted_mse(predicted, self.train.maps[chosen], self.weights)
            optimizer.zero_grad(set_to_none=False)
            loss.backward()
            if trial.clip:
                nn.utils.clip_grad_norm_(net.parameters(), trial.clip)
            optimizer.step()
            return loss.detach()

        return step

    def row(self, trial: Trial, number: int) -> list[str]:
        began, options = time.perf_counter(), self.options
        on_gpu = torch.device(self.device).type == "cuda"
        net = self.network(trial)
        rate: Any = torch.tensor(trial.rate, device=self.device) if on_gpu else trial.rate
        optimizer = torch.optim.Adam(net.parameters(), rate, capturable=on_gpu)
        recipe = Recipe(trial.rate, 1, warm_up=trial.warm_up)
        seed = torch.Generator().manual_seed(0)
        n_epochs = 1 + options.steps * options.batch // len(self.train.images)
        order = torch.cat([torch.randperm(len(self.train.images), generator=seed) for _ in range(n_epochs)])
        order = order.to(self.device)
        chosen = order[: options.batch].clone()
        step = self.step_of(net, optimizer, trial, chosen)
        graph, curve, loss = None, [], torch.zeros(())
        aside = torch.cuda.Stream() if on_gpu else None
        for k in range(options.steps):
            chosen.copy_(order[k * options.batch : (k + 1) * options.batch])
            factor = recipe.factor(k, options.steps, 0)
            if aside is None:
                optimizer.param_groups[0]["lr"] = trial.rate * factor
                loss = step()
            else:
                rate.fill_(trial.rate * factor)
                if k < 3:  # PyTorch wants some steps on another stream before it records one
                    aside.wait_stream(torch.cuda.current_stream())
                    with torch.cuda.stream(aside):
                        loss = step()
                    torch.cuda.current_stream().wait_stream(aside)
                elif graph is None:
                    graph = torch.cuda.CUDAGraph()
                    with torch.cuda.graph(graph):
                        loss = step()
                if graph is not None:
                    graph.replay()
            if k in (options.steps // 4, options.steps // 2):
                curve.append(f"{loss.item():.6f}")
        settings = [f"{value:g}" if isinstance(value, float | int) else value for value in trial]
        seconds = f"{time.perf_counter() - began:.0f}"
        return [*settings, str(options.steps), ", ".join(curve), *self.scores(net, trial, number), seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True, help="with maps")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["prnet"], help="which (prnet)")
    parser.add_argument("--tails", nargs="+", choices=TAILS, default=["linear"], help="which (linear)")
    parser.add_argument("--rates", nargs="+", type=float, help="of Adam, at their peak; the default recipe's")
    parser.add_argument("--warm-up", nargs="+", type=int, default=[10], help="steps until the peak (10)")
    parser.add_argument("--clip", nargs="+", type=float, default=[0.0], help="largest norms of gradients; 0: any (0)")
    parser.add_argument("--precision", nargs="+", choices=("float32", "bfloat16"), help="bfloat16 on a GPU")
    parser.add_argument("--steps", type=int, default=1000, help="of each training (1000)")
    parser.add_argument("--batch", type=int, default=64, help="samples in a step (64)")
    parser.add_argument("--seconds", type=float, default=600, help="after which no training begins (600)")
    parser.add_argument("--photos", type=Path, help="folder of real photographs with .mat files, AFLW2000-3D's")
    parser.add_argument("--out", type=Path, help="folder to keep the networks in, by their rows' numbers")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch on the CPU (1)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began = time.perf_counter()
    precisions = options.precision or ["bfloat16" if options.device.startswith("cuda") else "float32"]
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="recipes-") as scratch:
        bench = Bench(options, Path(scratch))
        device = torch.cuda.get_device_name() if options.device.startswith("cuda") else "CPU"
        n_train, n_val = len(bench.train.images), len(bench.feed.val)
        print(
            f"{n_train} to train, {n_val} held out, {bench.feed.crop_size} px, batches of {options.batch}, {device}\n"
        )
        for cells in (HEADINGS, ["---"] * len(HEADINGS)):
            print("|", " | ".join(cells), "|", flush=True)
        trials = [
            Trial(network, tail, rate, *others)
            for network, tail in itertools.product(options.networks, options.tails)
            for rate in options.rates or [RECIPES["default", network].rate]
            for others in itertools.product(options.warm_up, options.clip, precisions)
        ]
        for number, trial in enumerate(trials):
            if time.perf_counter() - began > options.seconds:
                break
            print("|", " | ".join(bench.row(trial, number)), "|", flush=True)


if __name__ == "__main__":
    main()
