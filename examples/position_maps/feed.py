"""Samples on their way to the network: which ones, in which order, as floats on the device."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from joblib import cpu_count
from torch.utils.data import DataLoader

import uvgen
from uvgen.torch import PositionMapLayer, ShardDataset, ShardSampler, to_float


def parts(shards: Path, out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What tells `ShardDataset` which samples train and which validate: a photograph is on one side."""
    if {"train", "val"} <= uvgen.describe_shards(shards).splits.keys():
        return {"split": "train"}, {"split": "val"}
    made = uvgen.split_shards(shards, {"train": 0.9, "val": 0.1}, out=out / "splits.json", overwrite=True).splits
    return {"names": made[0].samples}, {"names": made[1].samples}


def augmentation_of(name: str | None) -> uvgen.Augmentation | None:
    """A preset's, a file's, or none."""
    return None if name in (None, "none") else uvgen.read_augmentation(name)


class Feed:
    """The training samples, epoch after epoch, from any place on, and the validation samples.

    Attributes
    ----------
    train, plain, val : ShardDataset
        To train with, augmented; the same without augmentation; to validate with.
    crop_size, uv_size : int
    """

    def __init__(self, options: Namespace, device: torch.device, rank: int = 0, n_ranks: int = 1) -> None:
        self.device, self.options = device, options
        train_part, val_part = parts(options.shards, options.out)
        chosen = {"weight_mask": False, "compact": options.feed == "compact"}
        augmentation = augmentation_of(options.augment)
        extra: dict[str, Any] = {"model": options.model} if augmentation is not None and options.model else {}
        self.train = ShardDataset(
            options.shards,
            augmentation=augmentation,
            source=options.source,
            seed=options.seed,
            **extra,
            **chosen,
            **train_part,
        )
        self.plain, self.val = (ShardDataset(options.shards, **chosen, **part) for part in (train_part, val_part))
        config = self.train.reader.config.build
        self.crop_size, self.uv_size = config.size, config.uv_size
        if self.crop_size % 32:
            raise uvgen.UvgenError(
                f"{options.shards}: crops of {self.crop_size} px, expected a multiple of 32; build with --size"
            )
        self.layer = None
        if options.maps == "layer" or "posmap" not in self.train.reader.fields:
            if not options.model:
                raise uvgen.UvgenError(
                    f"{options.shards}: maps are to be made; give the --model that it was built with, or builtin"
                )
            self.layer = PositionMapLayer.for_shards(self.train, options.model).to(device)
        self.sampler = ShardSampler(self.train, seed=options.seed, rank=rank, n_ranks=n_ranks, drop_last=True)
        self.batch = min(options.batch, len(self.train) // n_ranks)
        self.steps_an_epoch = max(1, len(self.train) // n_ranks // self.batch)
        workers = options.workers
        if workers is None:  # one core is left to the training process; more than 8 only disturb it
            workers = 0 if device.type == "cpu" else max(0, min(8, cpu_count() - 1))
        pinned = device.type == "cuda"
        self.loader = DataLoader(
            self.train, self.batch, sampler=self.sampler, drop_last=True, num_workers=workers,
            persistent_workers=workers > 0, pin_memory=pinned,
        )  # fmt: skip

    def on_device(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Floats there: `image` from 0 to 1, `posmap` in crop widths, stored or made by the layer."""
        moved = {key: v.to(self.device, non_blocking=True) if torch.is_tensor(v) else v for key, v in batch.items()}
        batch = to_float(moved, channels_last=self.options.channels_last)
        if self.layer is not None:
            batch["posmap"] = self.layer.from_batch(batch) / self.crop_size
        return batch

    def batches(self, epoch: int, position: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """The batches of an epoch as they come from the workers; the rest of it from a sampler's state on."""
        if position is not None:
            self.sampler.load_state_dict(position)
        self.train.set_epoch(epoch)  # other augmentations
        self.sampler.set_epoch(epoch)  # another order
        yield from self.loader

    def in_order(self, dataset: ShardDataset, rank: int = 0, n_ranks: int = 1) -> Iterator[dict[str, Any]]:
        """All samples of a data set once, or this rank's share of them, on the device."""
        indices, workers = range(rank, len(dataset), n_ranks), self.loader.num_workers
        if len(indices) < 2000 * max(workers, 1):  # workers take longer to start
            workers = 0
        for batch in DataLoader(dataset, 64, sampler=indices, num_workers=workers, pin_memory=self.loader.pin_memory):
            yield self.on_device(batch)
