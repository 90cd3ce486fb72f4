"""Numbers as they are stored, as networks take them, and back."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from uvgen.checks import check_tensor
from uvgen.errors import InputError
from uvgen.fixed_point import FixedPoint
from uvgen.torch import kernels

NORMALIZE = ("size", "standardize", None)
_SMALLEST_DEVIATION = 1.0  # grey levels: an image of one colour standardizes to zeros


def to_float(
    batch: Mapping[str, Any], normalize: str | None = "size", *, channels_last: bool = False
) -> dict[str, Any]:
    """Float images and maps of a batch, on the device where its tensors are, in any normalization.

    Takes compact batches and float ones alike: with ``normalize=None`` it undoes a normalization. It also works on
    one sample. Results are float32, whatever type the fields came in.

    Parameters
    ----------
    batch : mapping
        What a `ShardDataset` gave, moved to the device.
    normalize : {"size", "standardize", None}
        See `ShardDataset`.
    channels_last : bool
        Memory layout of the results; for compact batches this saves the transposition.

    Returns
    -------
    dict
        A copy of the batch with new ``image``, ``posmap`` and their scales and offsets.

    Raises
    ------
    InputError
        Where `normalize` is unknown, there is a map without its image, or what is to be converted is missing or not a
        tensor of real numbers.
    """
    check_normalize(normalize)
    if "posmap" in batch and "image" not in batch:
        raise InputError("batch: has no image, expected one: its side is the unit of the map")
    result = dict(batch)
    for name in ("image", "posmap"):
        if name not in batch:
            continue
        for key in (name, f"{name}_scale", f"{name}_offset"):
            if key not in batch:
                raise InputError(f"batch: has no {key}, expected it beside {name}, as a ShardDataset gives it")
            check_tensor(batch[key], key)
        values = batch[name].to(torch.float32)
        scale, offset = (_as_column(batch[f"{name}_{part}"], values) for part in ("scale", "offset"))
        if name == "image" and normalize == "standardize":
            deviation, mean = torch.std_mean(values, dim=(-3, -2, -1), keepdim=True, correction=0)
            new_scale, new_offset = (deviation * scale).clamp_min(_SMALLEST_DEVIATION), mean * scale + offset
        else:
            side = batch["image"].shape[-1] if name == "posmap" else 255.0
            new_scale, new_offset = torch.full_like(scale, 1.0 if normalize is None else side), torch.zeros_like(offset)
        values = torch.addcmul((offset - new_offset) / new_scale, values, scale / new_scale)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        result[name] = values.contiguous(memory_format=layout) if values.ndim == 4 else values
        shape = batch[f"{name}_scale"].shape
        result[f"{name}_scale"], result[f"{name}_offset"] = new_scale.reshape(shape), new_offset.reshape(shape)
    return result


def _as_column(numbers: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return numbers.to(values.device, torch.float32).reshape(*numbers.shape, 1, 1, 1)


class Values:
    """How a data set's images and maps become tensors: which numbers, of which type, in which layout.

    Parameters
    ----------
    normalize : {"size", "standardize", None}
        See `ShardDataset`, as for the others.
    size : int
        The crop's side, px.
    compact, channels_last : bool

    Attributes
    ----------
    interleaved : bool
        Whether the channels lie side by side in memory, as they are stored.
    """

    def __init__(self, normalize: str | None, size: int, *, compact: bool, channels_last: bool) -> None:
        self._normalize, self._size, self._compact = normalize, size, compact
        self.interleaved = compact or channels_last

    def dtype(self, name: str) -> torch.dtype:
        """Of the tensors ``image`` and ``posmap``."""
        return {"image": torch.uint8, "posmap": torch.uint16}[name] if self._compact else torch.float32

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """As the tensor lies in memory, of what is stored as (rows, columns, 3)."""
        return stored if self.interleaved else (stored[2], *stored[:2])

    def write_image(self, image: NDArray[np.uint8], out: NDArray[Any]) -> tuple[float, float]:
        """Write an image (R, R, 3); return the scale and offset that lead back."""
        if self._compact:
            if image is not out:
                out[...] = image
            return 1.0, 0.0
        mean, deviation = 0.0, 255.0 if self._normalize == "size" else 1.0
        if self._normalize == "standardize":
            mean, deviation = _mean_and_deviation(image)
        self._write(image, 1 / deviation, -mean / deviation, out)
        return deviation, mean

    def write_map(self, values: NDArray[Any], scale: float, offset: float, out: NDArray[Any]) -> tuple[float, float]:
        """Write a map (U, U, 3), px = value * scale + offset; return the scale and offset that lead back."""
        if self._compact:
            return (scale, offset) if values is out else _encode(values, scale, offset, out)
        side = 1.0 if self._normalize is None else float(self._size)
        self._write(values, scale / side, offset / side, out)
        return side, 0.0

    def _write(self, values: NDArray[Any], scale: float, offset: float, out: NDArray[np.float32]) -> None:
        if self.interleaved:
            np.copyto(out, values)
            out *= np.float32(scale)
            if offset:
                out += np.float32(offset)
        else:
            flat = np.ascontiguousarray(values).reshape(-1)
            kernels.planar_values(flat, np.float32(scale), np.float32(offset), out.reshape(3, -1))


def _mean_and_deviation(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Over all pixels and channels."""
    sums = np.empty(2, np.int64)
    kernels.add_up(np.ascontiguousarray(image).reshape(-1), sums)
    mean, mean_square = (sums / image.size).tolist()
    return mean, max(math.sqrt(max(mean_square - mean**2, 0.0)), _SMALLEST_DEVIATION)


def _encode(values: NDArray[Any], scale: float, offset: float, out: NDArray[np.uint16]) -> tuple[float, float]:
    """Write `values` as codes; return their scale and offset. What are codes already keep theirs."""
    if values.dtype == np.uint16:
        out[...] = values
        return scale, offset
    flat = np.ascontiguousarray(values).reshape(-1)
    low, high = float(flat.min()), float(flat.max())  # each map has its own range: none can leave it
    codes = FixedPoint.for_range(low, high)
    kernels.to_codes(flat, np.float32(1 / codes.scale), np.float32(low), out.reshape(-1))
    return codes


def check_normalize(normalize: str | None) -> None:
    """Raise InputError where there is no such normalization."""
    if normalize not in NORMALIZE:
        raise InputError(f"normalize: {normalize!r}, expected 'size', 'standardize' or None")
