"""Numbers as they are stored, as networks take them, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from uvgen.checks import check_array, check_tensor, shown, true_or_false
from uvgen.errors import InputError
from uvgen.fixed_point import FixedPoint
from uvgen.maps.target_layouts import TARGETS
from uvgen.normalization import AUTO, Normalization, image_choice, standard_deviation
from uvgen.torch import kernels

Numbers = float | NDArray[np.float32]
"""A scale or an offset: one number, or (3,) if each channel has its own."""


def to_float(
    batch: Mapping[str, Any],
    normalize: "str | Normalization | None" = "size",
    *,
    image_normalize: str | None = AUTO,
    channels_last: bool = False,
) -> dict[str, Any]:
    """Float images and maps of a batch, on the device where its tensors are, in any normalization.

    Takes compact batches and float ones alike: with ``normalize=None`` it undoes a normalization. It also works on
    one sample. Results are float32, whatever type the fields came in.

    Parameters
    ----------
    batch : mapping
        A batch of a `ShardDataset`, moved to the device.
    normalize, image_normalize
        See `ShardDataset`.
    channels_last : bool
        Memory layout of the results; for compact batches this saves the transposition.

    Returns
    -------
    dict
        A copy of the batch with new ``image``, ``posmap`` and their scales and offsets; codes of per-pixel targets
        become their values.

    Raises
    ------
    InputError
        If a normalization is unknown, there is a map without its image, or what is to be converted is missing or not
        a tensor of real numbers.
    """
    if not isinstance(batch, Mapping):
        raise InputError(f"batch: {shown(batch)}, expected a mapping of fields, as a ShardDataset gives it")
    images = image_choice(image_normalize, normalize)
    channels_last = true_or_false(channels_last, "channels_last")
    Normalization.of_maps(normalize, 1)  # refuses unknown ones, whatever is in the batch
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
        check_array(values, name, (3, -1, -1), ("B", 3, -1, -1))
        keys = f"{name}_scale", f"{name}_offset"
        scale, offset = (_as_column(batch[key], key, values) for key in keys)
        if name == "image" and images == "standardize":
            variance, mean = torch.var_mean(values * scale + offset, dim=(-2, -1), keepdim=True, correction=0)
            new_scale, new_offset = standard_deviation(variance), mean
        else:
            wanted = (
                Normalization.of_image(images, None)
                if name == "image"
                else Normalization.of_maps(normalize, batch["image"].shape[-1])
            )
            new_scale, new_offset = (_shared(numbers, values) for numbers in (wanted.scale, wanted.offset))
        values = torch.addcmul((offset - new_offset) / new_scale, values, scale / new_scale)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        result[name] = values.contiguous(memory_format=layout) if values.ndim == 4 else values
        n_channels = max(new_scale.shape[-3], new_offset.shape[-3])
        shape = (*values.shape[:-3], 3) if n_channels == 3 else values.shape[:-3]
        for part, numbers in (("scale", new_scale), ("offset", new_offset)):
            result[f"{name}_{part}"] = numbers.expand(*values.shape[:-3], n_channels, 1, 1).reshape(shape).clone()
    for name in TARGETS:
        if f"{name}_scale" in batch:  # codes of a compact batch
            check_tensor(batch[name], name)
            values = batch[name].to(torch.float32)
            numbers = []
            for key in (f"{name}_scale", f"{name}_offset"):
                check_tensor(batch.get(key), key)
                check_array(batch[key], key, (), tuple(values.shape[:1]), note="one per sample")
                numbers.append(batch[key].to(values.device))
            scale, offset = (n.reshape(*n.shape, *(1,) * (values.ndim - n.ndim)) for n in numbers)
            result[name] = values * scale + offset
            del result[f"{name}_scale"], result[f"{name}_offset"]
    return result


def _shared(numbers: tuple[float, ...], values: torch.Tensor) -> torch.Tensor:
    """Numbers of all samples, or of each channel, as a column beside values (..., 3, h, w)."""
    if len(numbers) == 1:
        return values.new_full((1,) * values.ndim, numbers[0])
    return values.new_tensor(numbers).reshape(*(1,) * (values.ndim - 3), len(numbers), 1, 1)


def _as_column(numbers: torch.Tensor, name: str, values: torch.Tensor) -> torch.Tensor:
    """Numbers of each sample, or of each of its channels, beside values (..., 3, h, w)."""
    lead = tuple(values.shape[:-3])
    check_array(numbers, name, lead, (*lead, 3), note="one per sample, or one for each of its channels")
    per_channel = numbers.ndim == values.ndim - 2
    return numbers.to(values.device, torch.float32).reshape(*numbers.shape, *((1, 1) if per_channel else (1, 1, 1)))


class Values:
    """How a data set's images and maps become tensors: which numbers, of which type, in which layout.

    Parameters
    ----------
    normalize, image_normalize
        See `ShardDataset`, as for the others.
    size : int
        The crop's side, px.
    compact, channels_last : bool

    Attributes
    ----------
    interleaved : bool
        Whether the channels lie side by side in memory, as they are stored.
    """

    def __init__(
        self,
        normalize: "str | Normalization | None",
        image_normalize: str | None,
        size: int,
        *,
        compact: bool,
        channels_last: bool,
    ) -> None:
        self._images, self._compact = image_choice(image_normalize, normalize), compact
        self._maps = Normalization.of_maps(normalize, size)
        self.interleaved = compact or channels_last

    def numbers_shape(self, name: str) -> tuple[int, ...]:
        """Of the scale and the offset of one sample's ``image`` or ``posmap``: () or (3,)."""
        if self._compact:
            return ()
        if name == "posmap":
            return self._maps.shape
        return (3,) if self._images in ("standardize", "imagenet") else ()

    def dtype(self, name: str) -> torch.dtype:
        """Of the tensors ``image`` and ``posmap``."""
        return {"image": torch.uint8, "posmap": torch.uint16}[name] if self._compact else torch.float32

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """As the tensor lies in memory, of what is stored as (rows, columns, 3)."""
        return stored if self.interleaved else (stored[2], *stored[:2])

    def write_image(self, image: NDArray[np.uint8], out: NDArray[Any]) -> tuple[Numbers, Numbers]:
        """Write an image (R, R, 3); return the scale and offset that lead back."""
        if self._compact:
            if image is not out:
                out[...] = image
            return 1.0, 0.0
        if self._images == "standardize":
            return self._write(image, 1.0, 0.0, _standardization(image), out)
        return self._write(image, 1.0, 0.0, Normalization.of_image(self._images, None), out)

    def write_map(
        self, values: NDArray[Any], scale: float, offset: float, out: NDArray[Any]
    ) -> tuple[Numbers, Numbers]:
        """Write a map (U, U, 3), px = value * scale + offset; return the scale and offset that lead back."""
        if self._compact:
            return (scale, offset) if values is out else _encode(values, scale, offset, out)
        return self._write(values, scale, offset, self._maps, out)

    def _write(
        self, values: NDArray[Any], scale: float, offset: float, wanted: Normalization, out: NDArray[np.float32]
    ) -> tuple[Numbers, Numbers]:
        """Write ``(value * scale + offset - wanted.offset) / wanted.scale``; return the wanted scale and offset."""
        new_scale, new_offset = (np.broadcast_to(np.array(n), 3) for n in (wanted.scale, wanted.offset))
        factor, term = (scale / new_scale).astype(np.float32), ((offset - new_offset) / new_scale).astype(np.float32)
        if self.interleaved and not wanted.shape:
            np.copyto(out, values)
            out *= factor[0]
            if term.any():
                out += term[0]
        else:
            flat = np.ascontiguousarray(values).reshape(-1)
            if self.interleaved:
                kernels.interleaved_values(flat, factor, term, out.reshape(-1))
            else:
                kernels.planar_values(flat, factor, term, out.reshape(3, -1))
        return (wanted.scale[0], wanted.offset[0]) if not wanted.shape else (
            new_scale.astype(np.float32), new_offset.astype(np.float32)
        )  # fmt: skip


def _standardization(image: NDArray[np.uint8]) -> Normalization:
    """reshow's, of an image."""
    sums = np.empty((2, 3), np.int64)
    kernels.add_up(np.ascontiguousarray(image).reshape(-1), sums)
    mean, mean_square = sums * 3 / image.size
    deviation = standard_deviation(np.maximum(mean_square - mean**2, 0))
    return Normalization(tuple(deviation.tolist()), tuple(mean.tolist()))


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
