"""A network that regresses position maps, in as little code as shows the whole way. Runs on a CPU.

    python examples/train_minimal.py shards/
    python examples/train_minimal.py shards_without_maps/ --model bfm.h5

Shards with maps or without: where there are none, `PositionMapLayer` makes them of the parameters in each batch.
"""

import argparse
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from uvgen.losses import weighted_mse
from uvgen.torch import PositionMapLayer, ShardDataset, ShardSampler, to_float


def network() -> nn.Sequential:
    """Encoder to 1/32 of the crop, decoder to 1/4 of it; a position map is smooth, so the rest is interpolated."""
    widths, layers = [3, 16, 32, 64, 128, 128], []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]
    for n_in, n_out in itertools.pairwise([128, 64, 32, 16]):
        layers += [nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(16, 3, 3, padding=1))


def endless(dataset: ShardDataset, sampler: ShardSampler, loader: DataLoader[Any]) -> Iterator[dict[str, Any]]:
    """Batches, epoch after epoch."""
    for epoch in itertools.count():
        dataset.set_epoch(epoch)  # other augmentations
        sampler.set_epoch(epoch)  # another order
        yield from loader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards")
    parser.add_argument("--model", help="for shards without maps")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--no-augmentation", action="store_true")
    options = parser.parse_args()
    augmentation = None
    if not options.no_augmentation:
        from uvgen.augment import Augmentation

        augmentation = Augmentation.preset("prnet")
    torch.manual_seed(0)
    dataset = ShardDataset(options.shards, augmentation=augmentation, compact=True, weight_mask=False)
    sampler = ShardSampler(dataset)
    size = min(8, len(dataset))
    loader = DataLoader(dataset, size, sampler=sampler, drop_last=True)
    layer = PositionMapLayer.for_shards(dataset, options.model) if options.model else None
    if layer is None and "posmap" not in dataset.reader.fields:
        parser.error(f"{options.shards} stores no maps: give the --model that it was built with")
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    losses = []
    for step, batch in enumerate(itertools.islice(endless(dataset, sampler, loader), options.steps)):
        batch = to_float(batch)  # on a GPU: move the batch there first
        target = batch["posmap"] if layer is None else layer.from_batch(batch) / batch["image"].shape[-1]
        predicted = nn.functional.interpolate(net(batch["image"]), target.shape[2:], mode="bilinear")
        loss = weighted_mse(predicted, target, dataset.weight_mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 20 == 0 or step == options.steps - 1:
            print(f"step {step:4d}  weighted loss {losses[-1]:.5f}")
    print(f"weighted loss fell {sum(losses[:5]) / sum(losses[-5:]):.1f} fold from the first five steps to the last")


if __name__ == "__main__":
    main()
