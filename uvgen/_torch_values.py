"""Numbers as they are stored, as networks take them, and back; and memory for batches of them."""

import math
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from uvgen import _kernels
from uvgen.errors import InputError

NORMALIZE = ("size", "standardize", None)
_SPARE = 4  # buffers of one size kept for the next batch
_SMALLEST_DEVIATION = 1.0  # grey levels: an image of one colour standardizes to zeros


def to_float(
    batch: Mapping[str, Any], normalize: str | None = "size", *, channels_last: bool = False
) -> dict[str, Any]:
    """Float images and maps of a batch, on the device where its tensors are, in any normalization.

    Takes compact batches and float ones alike: with ``normalize=None`` it undoes a normalization. It also works on
    one sample.

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
        Where `normalize` is unknown.
    """
    check_normalize(normalize)
    result = dict(batch)
    for name in ("image", "posmap"):
        if name not in batch:
            continue
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


def mean_and_deviation(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Over all pixels and channels."""
    sums = np.empty(2, np.int64)
    _kernels.add_up(np.ascontiguousarray(image).reshape(-1), sums)
    mean, mean_square = (sums / image.size).tolist()
    return mean, max(math.sqrt(max(mean_square - mean**2, 0.0)), _SMALLEST_DEVIATION)


def encode(values: NDArray[Any], scale: float, offset: float, out: NDArray[np.uint16]) -> tuple[float, float]:
    """Write `values` as codes; return their scale and offset. What are codes already keep theirs."""
    if values.dtype == np.uint16:
        out[...] = values
        return scale, offset
    low, high = float(values.min()), float(values.max())  # each map has its own range: none can leave it
    step = max((high - low) / 65535, 1e-6)
    np.copyto(out, np.clip((values - np.float32(low)) * np.float32(1 / step) + np.float32(0.5), 0, 65535), "unsafe")
    return step, low


def check_normalize(normalize: str | None) -> None:
    """Raise InputError where there is no such normalization."""
    if normalize not in NORMALIZE:
        raise InputError(f"normalize: {normalize!r}, expected 'size', 'standardize' or None")


class Buffers:
    """Memory for batches, used again once nobody holds the tensors made of it.

    A batch's fresh memory costs a page fault every 4 kB, together as long as reading the sample.
    """

    def __init__(self) -> None:
        self._spare: dict[int, list[NDArray[np.uint8]]] = {}
        self._scratch = threading.local()

    def __reduce__(self) -> Any:
        return Buffers, ()  # each process has its own

    def take(self, shape: tuple[int, ...], dtype: torch.dtype, *, shared: bool) -> torch.Tensor:
        """An uninitialized tensor."""
        size = math.prod(shape) * dtype.itemsize
        if shared:
            storage = torch.UntypedStorage._new_shared(size)
            return torch.empty(0, dtype=dtype).set_(storage).reshape(shape)
        spare = self._spare.setdefault(size, [])
        memory = spare.pop() if spare else np.empty(size, np.uint8)
        handle = memory[:]  # lives as long as the tensor's storage, which holds it
        weakref.finalize(handle, _give_back, spare, memory).atexit = False
        return torch.from_numpy(handle).view(dtype).reshape(shape)

    def borrow(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Memory for one field of the sample at hand: the same for every sample that a thread reads."""
        if not hasattr(self._scratch, name):
            setattr(self._scratch, name, np.empty(shape, dtype))
        return getattr(self._scratch, name)


def _give_back(spare: list[NDArray[np.uint8]], memory: NDArray[np.uint8]) -> None:
    if len(spare) < _SPARE:
        spare.append(memory)
