"""Pictures of what a network has learned: means of a person's flattened photographs, and how sharp they are."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from model import SpatialTransformer
from PIL import Image

from uvgen.torch import ShardDataset, to_float


def to_device(batch: dict[str, Any], device: str) -> dict[str, Any]:
    return to_float({key: v.to(device) if torch.is_tensor(v) else v for key, v in batch.items()}, normalize=None,
                    image_normalize="unit")  # fmt: skip


@torch.no_grad()
def mean_flattened(net: SpatialTransformer, dataset: ShardDataset, indices: list[int], device: str) -> tuple[Any, Any]:
    """Mean (U, U, 3) of the flattened photographs over those that see each texel, and how many these are (U, U)."""
    net.eval()
    _, _, texture, seen = net(to_device(dataset.batch(indices), device)["image"])
    net.train()
    count = seen.sum(dim=0)
    return (texture.sum(dim=0) / count.clamp(min=1)).movedim(0, -1).cpu().numpy(), count[0].cpu().numpy()


def sharpness(means: list[tuple[Any, Any]]) -> list[float]:
    """Mean gradient magnitude of mean textures, over texels that each of them has from two photographs or more."""
    common = np.logical_and.reduce([count >= 2 for _, count in means])
    inner = common.copy()
    for axis in (0, 1):  # no edge of the mask counts as the face's
        inner &= np.roll(common, 1, axis) & np.roll(common, -1, axis)
    values = [np.hypot(*np.gradient(mean.mean(axis=2)))[inner].mean() for mean, _ in means]
    return [float(value) for value in values]


def draw(dataset: ShardDataset, persons: list[list[int]], means: list[list[tuple[Any, Any]]], path: Path) -> None:
    """A row for each person: a photograph, and both mean flattened images."""
    rows = []
    for k, person in enumerate(persons):
        photograph = dataset.reader[person[0]]["image"]
        flat = [Image.fromarray(np.rint(255 * step[k][0].clip(0, 1)).astype(np.uint8)) for step in means]
        tiles = [np.asarray(tile.resize((224, 224))) for tile in (Image.fromarray(photograph), *flat)]
        rows.append(np.concatenate(tiles, axis=1))
    Image.fromarray(np.concatenate(rows)).save(path)
