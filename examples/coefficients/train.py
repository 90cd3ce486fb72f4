"""A ResNet18 that regresses the model's coefficients: shape, expression and pose, and through them the position map.

    python examples/coefficients/train.py shards/ --model builtin --out coefficients/

What Deep3DFaceRecon (Deng et al., 2019) trains, as far as it needs no rasterizer on a GPU and no recognition network:
the map goes through `PositionMapLayer`, with a weighted map loss, a landmark loss (weight 20 on 28 to 30 and 60 to 67,
1 on the others) and priors on the coefficients in standard deviations (1 of shape, 0.8 of expression). The pose is that
of the face in the crop.

The last line is the mean map loss over the training samples in evaluation mode, in crop widths squared, before the
first and after the last step; the lines before it say the same of the landmark loss, and of photographs that training
never saw. OUT/network.pt is the network.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import uvgen
from uvgen.losses import weighted_mse
from uvgen.metrics import nme_2d
from uvgen.torch import PositionMapLayer, ShardDataset, ShardSampler, to_float

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "position_maps"))
from checkpoint import read, save
from feed import parts
from networks import ResNet18Encoder, load_encoder
from options import device

LANDMARK_WEIGHTS = torch.ones(68)
LANDMARK_WEIGHTS[[28, 29, 30, *range(60, 68)]] = 20
PRIORS = {"shape": 1.0, "expression": 0.8}
MAP_WEIGHT, LANDMARK_WEIGHT, PRIOR_WEIGHT = 1.0, 1.0, 1e-4


class Coefficients(nn.Module):
    """Images (B, 3, R, R) of 0 to 1 → shape and expression in standard deviations, pose (B, 7) of the crop."""

    def __init__(self, model: uvgen.MorphableModel, crop_size: int) -> None:
        super().__init__()
        self.n_shape, self.n_expression = model.n_shape, model.n_expression
        self.encoder = ResNet18Encoder()
        self.head = nn.Linear(self.encoder.n_out, self.n_shape + self.n_expression + 7)
        nn.init.zeros_(self.head.weight)  # the mean face, upright in the middle of the crop, is where training begins
        nn.init.zeros_(self.head.bias)
        span = float(abs(model.mean[:, 0][model.landmarks]).max()) * 2  # of the 68 points, which fill 2/3 of a crop
        self.crop_size, self.scale = crop_size, crop_size / 1.5 / span

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.head(self.encoder(image).mean(dim=(2, 3)))
        shape, expression, pose = found.split([self.n_shape, self.n_expression, 7], dim=1)
        middle = (self.crop_size - 1) / 2
        translation = middle + self.crop_size * torch.cat([pose[:, 3:5], torch.zeros_like(pose[:, :1])], dim=1)
        return shape, expression, torch.cat([pose[:, :3], translation, self.scale * pose[:, 6:].exp()], dim=1)


class Losses:
    """The map of coefficients, and how far it is from the truth."""

    def __init__(self, dataset: ShardDataset, model: uvgen.MorphableModel, device: torch.device) -> None:
        self.layer = PositionMapLayer.for_shards(dataset, model).to(device)
        self.size = dataset.reader.config.build.size
        self.weights = dataset.weight_mask.to(device)
        self.reading = uvgen.LandmarkWeights.of_constants(dataset.reader.constants)
        deviations = {"shape": model.shape_std, "expression": model.expression_std}
        self.deviations = {key: torch.as_tensor(value.copy(), device=device) for key, value in deviations.items()}
        self.landmark_weights = LANDMARK_WEIGHTS.to(device)

    def maps(self, shape: Tensor, expression: Tensor, pose: Tensor) -> Tensor:
        """(B, 3, U, U), px of the crop."""
        identity = torch.eye(3, device=pose.device).expand(len(pose), 3, 3)
        shape, expression = shape * self.deviations["shape"], expression * self.deviations["expression"]
        return self.layer(shape, expression, pose, identity, float(self.size))

    def __call__(self, found: tuple[Tensor, Tensor, Tensor], batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """The sum that is trained, and the map loss and the landmark loss in it."""
        maps = self.maps(*found) / self.size
        map_loss = weighted_mse(maps, batch["posmap"], self.weights)
        distance = (uvgen.read_landmarks(maps, self.reading) - batch["landmarks"] / self.size)[..., :2].square().sum(-1)
        landmark_loss = (distance * self.landmark_weights).mean()
        prior = sum(PRIORS[key] * values.square().sum(1).mean() for key, values in zip(PRIORS, found[:2], strict=True))
        total = MAP_WEIGHT * map_loss + LANDMARK_WEIGHT * landmark_loss + PRIOR_WEIGHT * prior
        return total, map_loss, landmark_loss


def on_device(batch: dict[str, Any], losses: Losses, device: torch.device) -> dict[str, Any]:
    moved = {key: v.to(device) if torch.is_tensor(v) else v for key, v in batch.items()}
    batch = to_float(moved)
    if "posmap" not in batch:
        batch["posmap"] = losses.layer.from_batch(batch) / losses.size
    return batch


@torch.no_grad()
def measure(net: nn.Module, losses: Losses, dataset: ShardDataset, device: torch.device) -> list[float]:
    """Mean map loss, landmark loss and NME of the 68 points over a data set, in evaluation mode."""
    net.eval()
    sums = torch.zeros(3, device=device)
    for batch in DataLoader(dataset, 32):
        batch = on_device(batch, losses, device)
        found = net(batch["image"])
        n, points = len(batch["image"]), uvgen.read_landmarks(losses.maps(*found), losses.reading)
        error = nme_2d(points, batch["landmarks"]).sum()
        sums += torch.stack([*(n * value for value in losses(found, batch)[1:]), error])
    net.train()
    return [float(value) for value in sums / len(dataset)]


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    device, model = torch.device(options.device), uvgen.load_model(options.model)
    subsets = parts(options.shards, options.out)
    dataset, val = (ShardDataset(options.shards, compact=True, weight_mask=False, **part) for part in subsets)
    losses = Losses(dataset, model, device)
    net = Coefficients(model, losses.size).to(device)
    if options.pretrained is not None:
        load_encoder(net.encoder, read(options.pretrained, "torchvision's state dict"))
    optimizer = torch.optim.Adam(net.parameters(), options.rate)
    sampler = ShardSampler(dataset)
    loader = DataLoader(
        dataset, min(options.batch, len(dataset)), sampler=sampler, drop_last=True, num_workers=options.workers
    )
    before = [measure(net, losses, part, device) for part in (dataset, val)]
    step, epoch = 0, 0
    while step < options.steps:
        dataset.set_epoch(epoch)
        sampler.set_epoch(epoch)
        epoch += 1
        for batch in loader:
            warm, done = min(1.0, (step + 1) / 10), step / options.steps
            optimizer.param_groups[0]["lr"] = options.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
            batch = on_device(batch, losses, device)
            loss, map_loss, landmark_loss = losses(net(batch["image"]), batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            step += 1
            if step % 20 == 0 or step == options.steps:
                each = f"map loss {map_loss.item():.6f}  landmark loss {landmark_loss.item():.6f}"
                print(f"step {step}/{options.steps}  loss {loss.item():.6f}  {each}", flush=True)
            if step == options.steps:
                break
    save(net.state_dict(), options.out / "network.pt")
    after = [measure(net, losses, part, device) for part in (dataset, val)]
    for name, first, last in reversed(list(zip(("training", "validation"), before, after, strict=True))):
        print(f"{name}: weighted loss {first[0]:.6f} -> {last[0]:.6f}, landmark loss {first[1]:.6f} -> {last[1]:.6f}, "
              f"NME {first[2]:.2%} -> {last[2]:.2%} 2D")  # fmt: skip
    print(f"weighted loss {before[0][0]:.6f} -> {after[0][0]:.6f}")


def at_least_one(text: str) -> int:
    """A number of steps or samples."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value}, expected 1 or more")
    return value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path, help="folder that `uvgen build` made")
    parser.add_argument("--model", default="builtin", help="model that it was built with: file or the word builtin")
    parser.add_argument("--out", type=Path, default=Path("coefficients"), help="folder for the network")
    parser.add_argument("--steps", type=at_least_one, default=300, help="batches to train on (300)")
    parser.add_argument(
        "--batch", type=at_least_one, default=16, help="samples in a batch (16; Deep3DFaceRecon's is 32)"
    )
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate (0.001)")
    parser.add_argument("--pretrained", type=Path, help="torchvision state dict of resnet18")
    parser.add_argument("--workers", type=int, default=0, help="processes that read data (0)")
    parser.add_argument("--threads", type=at_least_one, default=1, help="threads of PyTorch on the CPU (1)")
    parser.add_argument(
        "--device", type=device, default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda, cuda:1"
    )
    try:
        train(parser.parse_args())
    except (uvgen.UvgenError, ValueError, OSError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
