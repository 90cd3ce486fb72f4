"""Per-pixel targets as tensors: as they are stored, or drawn anew for samples that an augmentation moved."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from uvgen.datasets.fields import MAP_PARAMETERS
from uvgen.maps.target_layouts import TargetLayout, range_error
from uvgen.shards.reader import ShardReader
from uvgen.torch.memory import Layout

if TYPE_CHECKING:
    from uvgen.maps.targets import TargetMaker

_STORED = {"uint8": torch.uint8, "uint16": torch.uint16, "bool": torch.bool}


class Targets:
    """The per-pixel targets of a data set.

    Parameters
    ----------
    layouts : mapping of str to TargetLayout
        How each target is stored.
    size : int
        The crop's side, px.
    compact : bool
        Whether tensors hold the stored codes; otherwise the values, float32.
    maker : TargetMaker or None
        Draws the targets of augmented samples from their parameters; without it they are read.
    """

    def __init__(
        self, layouts: Mapping[str, TargetLayout], size: int, *, compact: bool, maker: "TargetMaker | None"
    ) -> None:
        self.layouts, self._size, self._compact, self._maker = layouts, size, compact, maker

    def memory(self, n: int) -> Layout:
        """Shape, with the channels first, and dtype of each target's tensor of n samples."""
        return {name: ((n, *_planar(layout.shape)), self._dtype(layout)) for name, layout in self.layouts.items()}

    def _dtype(self, layout: TargetLayout) -> torch.dtype:
        return _STORED[layout.dtype] if self._compact or layout.codes is None else torch.float32

    def fill(
        self, reader: ShardReader, indices: Sequence[int], rows: dict[str, Any], large: Mapping[str, torch.Tensor]
    ) -> None:
        """Fill the targets of some samples; add how compact ones are coded.

        Parameters
        ----------
        reader : ShardReader
            The data set.
        indices : sequence of int
            The samples.
        rows : dict
            Their other fields, of which targets are drawn anew; codes' ``NAME_scale`` and ``NAME_offset`` are added.
        large : mapping of str to Tensor
            Memory as `memory` lays it out.
        """
        made: dict[str, NDArray[Any]] | None = None
        if self._maker is not None:
            made, in_range = self._maker(*(rows[key] for key in MAP_PARAMETERS), flipped=rows["flipped"])
            if not in_range.all():
                raise range_error(f"{rows['name'][int(np.flatnonzero(~in_range)[0])]}: augmented, its face", self._size)
        for name, layout in self.layouts.items():
            for k, index in enumerate(indices):
                codes = reader.read(index, name) if made is None else made[name][k]
                self._write(codes, layout, large[name][k].numpy())
            if self._compact and layout.codes is not None:
                for part, number in zip(("scale", "offset"), layout.codes, strict=True):
                    rows[f"{name}_{part}"] = np.full(len(indices), number, np.float32)

    def _write(self, codes: NDArray[Any], layout: TargetLayout, out: NDArray[Any]) -> None:
        """Write a target as it is stored into memory with the channels first."""
        source, planes = (codes[..., None], out[None]) if codes.ndim == 2 else (codes, out)
        for c, plane in enumerate(planes):
            np.copyto(plane, source[..., c])
            if layout.codes is not None and not self._compact:
                plane *= np.float32(layout.codes.scale)
                plane += np.float32(layout.codes.offset)


def _planar(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape if len(shape) == 2 else (shape[2], *shape[:2])
