"""Places in images as PyTorch's `grid_sample` takes them."""

import torch
from torch import Tensor

SAMPLERS = ("exact", "3dmmasstn")
"""As the paper of 3DMMasSTN defines a layer, or as its published code computes it."""


def grid_of(places: Tensor, size: tuple[int, int], convention: str, *, y_up: bool = False) -> Tensor:
    """`uvgen.torch.sampling_grid` of arguments that were checked."""
    height, width = size
    x, y = places.unbind(-1)
    if y_up:
        x, y = x - 1, height - y
    if convention == "3dmmasstn":
        x, y = (x + 1) * ((width - 1) / width), y * ((height - 1) / height)
    return torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)
