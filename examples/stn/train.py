r"""A 3D morphable model as a spatial transformer (Bas et al., ICCV workshops 2017), from crops and landmarks alone.

    python examples/stn/train.py shards/ --model builtin --out run/
    python examples/stn/train.py shards/ --pairs persons --person 'image_(\d+)' --out run/
    python examples/stn/train.py shards/ --recipe paper --landmarks 21 --encoder my_vgg.py:features --out run/

An encoder and a linear layer say θ = (r 3, t 2, log s 1, α 10); the model on a UV grid, posed by θ, says where in the
crop each texel lies, and the crop sampled there is the face's flattened texture. Parameters of the shards are not used.
Landmarks that the viewer does not see do not count, as published; the set's maps say which these are, and without maps
all count. It writes run/network.pt and run/mean_flattened.png: for some persons, a photograph, and the mean of their
flattened photographs before the first and after the last step.

`--recipe paper` is as published: SGD at 1e-10, rates × 4 and × 8 for the last layer's weights and biases, 0.99**s for
the scale, the sampler's offset; it is made for VGG-Face and long runs. `--recipe quick` has the same four losses and
weights, but takes landmarks and prior as means over samples and points, and Adam.
"""

import argparse
import io
import itertools
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model import PUBLISHED_SIZE, Landmarks, SpatialTransformer, encoder_of
from pictures import draw, mean_flattened, sharpness, to_device
from torch import Tensor
from torch.utils.data import DataLoader

import uvgen
from uvgen.losses import landmark_loss, prior_loss, siamese_loss, symmetry_loss
from uvgen.torch import ShardDataset, ShardSampler

WEIGHTS = {"landmarks": 0.8998, "prior": 0.1, "siamese": 1e-4, "symmetry": 1e-4}  # dagnn_3dmmasstn.m


def doubled(batch: dict[str, Any], landmarks: Landmarks, pairs: str) -> tuple[Tensor, Tensor, Tensor]:
    """Images and their mirror images, their landmarks, 1-based px with y up, and which of these are seen.

    What `siamese_loss` compares follow each other: an image and its own mirror image, or two that do so in the batch.
    """
    images, (points, seen) = batch["image"], landmarks.of(batch)
    size, mirror = images.shape[-1], landmarks.mirror
    mirrored = points[:, mirror] * points.new_tensor([-1, 1]) + points.new_tensor([size - 1, 0])

    def both(a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([a, b]) if pairs == "persons" else torch.stack([a, b], dim=1).flatten(0, 1)

    places = both(points, mirrored)
    places = torch.stack([places[..., 0] + 1, size - places[..., 1]], dim=-1)
    return both(images, images.flip(-1)), places, both(seen, seen[:, mirror])


def objective(net: SpatialTransformer, images: Tensor, points: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """The four losses, weighted (4,), and the mean distance of the landmarks that count, in crop sides."""
    theta, landmarks, texture, seen = net(images)
    levels = 255 * texture  # of the published images
    terms = {
        "landmarks": landmark_loss(landmarks, points, counts), "prior": prior_loss(theta[:, 6:]),
        "siamese": siamese_loss(levels, seen[:, 0]), "symmetry": symmetry_loss(levels, seen[:, 0]),
    }  # fmt: skip
    losses = torch.stack([WEIGHTS[name] * value for name, value in terms.items()])
    off = (landmarks.detach() - points).norm(dim=-1)[counts]
    return losses, off.sum() / max(len(off), 1) / net.size


@torch.no_grad()
def landmark_error(net: SpatialTransformer, dataset: ShardDataset, landmarks: Landmarks, device: str) -> float:
    """Mean distance of the landmarks of all samples and their mirror images, percent of the crop."""
    net.eval()
    total, count = 0.0, 0
    for batch in DataLoader(dataset, 32):
        images, points, counts = doubled(to_device(batch, device), landmarks, "flips")
        n = int(counts.sum())
        total, count = total + n * float(objective(net, images, points, counts)[1]), count + n
    net.train()
    return 100 * total / max(count, 1)


def batches_of(
    dataset: ShardDataset, persons: list[list[int]], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Batches without end: all samples in turn, or for `--pairs persons` two photographs each of persons by chance."""
    size = min(options.batch, len(dataset))
    if options.pairs == "persons":
        if not persons or size < 2:
            raise uvgen.UvgenError(
                f"person: {options.person}, expected what two photographs of a person have in common"
            )
        rng = np.random.default_rng(options.seed)
        while True:
            chosen = rng.integers(len(persons), size=size // 2)
            yield dataset.batch([int(k) for p in chosen for k in rng.choice(persons[p], 2, replace=False)])
    sampler = ShardSampler(dataset, seed=options.seed)
    loader = DataLoader(dataset, size, sampler=sampler, drop_last=True)
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        yield from loader


def optimizer_of(net: SpatialTransformer, options: argparse.Namespace) -> torch.optim.Optimizer:
    if options.recipe == "paper":
        rate, others = options.lr or 1e-10, list(net.encoder.parameters())
        head = [{"params": [net.head.weight], "lr": 4 * rate},
                {"params": [net.head.bias], "lr": 8 * rate, "weight_decay": 0}]  # fmt: skip
        groups = [{"params": others}, *head] if others else head
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, weight_decay=5e-4)  # MatConvNet's defaults
    return torch.optim.Adam(net.parameters(), lr=options.lr or 2e-3)


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    dataset = ShardDataset(options.shards, normalize=None, image_normalize=None, weight_mask=False)
    names, size, device = dataset.reader.names, dataset.reader.config.build.size, options.device
    places = {name: k for k, name in enumerate(names)}
    copies = dataset.reader.config.augmentation is not None
    groups = uvgen.group_samples(names, options.person, copies=copies).values()
    groups = [[places[name] for name in group] for group in groups if len(group) > 1]
    persons, paper, model = groups[: options.pictures], options.recipe == "paper", uvgen.load_model(options.model)
    landmarks = Landmarks(dataset, model, options.landmarks, options.texels)
    net = SpatialTransformer(
        encoder_of(options.encoder), model, options.texels, size, landmarks.vertices, published=paper
    )
    net = net.to(device).train()
    optimizer = optimizer_of(net, options)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: 1.0 if paper else min(1, (k + 1) / 20) * 0.5 * (1 + math.cos(math.pi * k / options.steps))
    )
    errors = [landmark_error(net, dataset, landmarks, device)]
    means = [[mean_flattened(net, dataset, p, device) for p in persons]]
    for step, batch in enumerate(itertools.islice(batches_of(dataset, groups, options), options.steps), start=1):
        images, points, counts = doubled(to_device(batch, device), landmarks, options.pairs)
        losses, error = objective(net, images, points, counts)
        total = losses.sum()
        if not paper:  # sums over samples as means, in px of the published crops
            of_landmarks = (PUBLISHED_SIZE / size) ** 2 * losses[0] / counts.sum().clamp(min=1)
            total = of_landmarks + losses[1] / len(images) / 68 + losses[2:].sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0 or step == options.steps:
            each = ", ".join(f"{name} {v:.4g}" for name, v in zip(WEIGHTS, losses.tolist(), strict=True))
            print(f"step {step:4d}  landmarks off by {100 * error:.2f} % of the crop; {each}", flush=True)
    errors.append(landmark_error(net, dataset, landmarks, device))
    means.append([mean_flattened(net, dataset, p, device) for p in persons])
    options.out.mkdir(parents=True, exist_ok=True)
    written = io.BytesIO()  # PyTorch itself raises no OSError if the disk is full
    torch.save(net.state_dict(), written)
    (options.out / "network.pt").write_bytes(written.getvalue())
    if persons:
        draw(dataset, persons, means, options.out / "mean_flattened.png")
        first, last = np.mean([sharpness(list(pair)) for pair in zip(*means, strict=True)], axis=0)
        print(f"mean gradient of the mean flattened images {255 * first:.3f} -> {255 * last:.3f}")
    else:
        print(f"no person with two photographs by --person {options.person}: no mean flattened image")
    print(f"landmark error, % of the crop: {errors[0]:.4f} -> {errors[1]:.4f}")


def at_least_one(text: str) -> int:
    """A number of steps or samples."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value}, expected 1 or more")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", help="folder that `uvgen build` made")
    parser.add_argument("--model", default="builtin", help="face model: a file or the word builtin")
    parser.add_argument("--recipe", choices=["quick", "paper"], default="quick")
    parser.add_argument("--encoder", default="small", help="small, or FILE.py:FUNCTION that returns a module")
    parser.add_argument(
        "--landmarks", choices=["68", "21"], default="68", help="the 68 of 300W-LP, or the 21 of AFLW, as published"
    )
    parser.add_argument("--pairs", choices=["flips", "persons"], default="flips", help="what the siamese loss compares:"
                        " each crop with its mirror image, or two photographs of a person")  # fmt: skip
    parser.add_argument("--person", default="photograph", help="what names of a person's photographs have in common: "
                        "a regular expression, or photograph")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("run"), help="folder for the network and the picture")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--lr", type=float, help="learning rate; by default, that of the recipe")
    for name, value, text in (
        ("--steps", 600, "batches to train on"), ("--batch", 32, "crops in a batch, which flips double"),
        ("--texels", 112, "along each side of the flattened image"), ("--pictures", 6, "persons to draw"),
        ("--seed", 0, "random seed"), ("--threads", 2, "threads of PyTorch on the CPU"),
    ):  # fmt: skip
        parser.add_argument(name, type=int if name == "--seed" else at_least_one, default=value, help=text)
    options = parser.parse_args()
    try:
        train(options)
    except (uvgen.UvgenError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
