"""The format of shards: HDF5 files of samples.

A data set is a folder::

    dataset.json        what the set holds: configuration, each finished shard with its SHA-256, skipped samples
    constants.npz       what holds for all samples: weight mask, coverage, texels of the landmarks
    IBUG-00000.h5 …     the shards

A shard has one dataset a field, first axis the samples. Large fields (`Field.chunked`) are stored one sample a
chunk, so that reading a sample costs one read; small ones contiguously. Fields of bytes (JPEG images) are two
datasets: ``NAME_data``, all samples' bytes, and ``NAME_end``, where each sample's end. Integer fields that stand for
real numbers carry the attributes ``scale_factor`` and ``add_offset``: value = code * scale_factor + add_offset (as in
the CF conventions). Every dataset has the samples on its first axis, so that loaders which take datasets for columns
read a shard as it is (but for JPEG images). The file's attributes say where it comes from; texts in attributes and
datasets are UTF-8 of fixed length. Files hold no times and no machine names: the same input gives the same bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from uvgen.errors import DatasetError
from uvgen.fixed_point import FixedPoint
from uvgen.storage.hdf5_reading import open_hdf5

FORMAT, VERSION = "uvgen-shard", 3
"""What a shard's attributes state. Until the first release, another version is refused: build the set again."""

_FIELDS = {"image_height", "landmarks", "shape", "expression", "pose", "name", "source"}  # of all versions

MAX_SIZE = 4096
"""Pixels along each side of a crop, at most."""

LEAST_SAMPLE_BYTES = 16
"""What a sample takes of a shard's file at least; its landmarks alone have 816 bytes before they are packed."""


@dataclass(frozen=True, slots=True)
class Field:
    """How one field of a sample is stored.

    Attributes
    ----------
    dtype : str
        NumPy dtype, ``"str"`` for text, or ``"bytes"`` for encoded data of any length.
    shape : tuple of int
        One sample's shape.
    chunked : bool
        One sample a chunk, written as it comes; otherwise contiguous, written at the end.
    attributes : mapping
        HDF5 attributes: units, frame, ``scale_factor`` and ``add_offset``.
    """

    dtype: str
    shape: tuple[int, ...]
    chunked: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Layout(NamedTuple):
    """What a reader expects of a field it knows.

    Attributes
    ----------
    dtype : str
        NumPy dtype, or ``"str"``.
    shape : tuple of int, None or tuple of int
        One sample's shape; None for any length, several for one of them.
    coded : bool
        Whether integers may be codes, with a scale and an offset.
    chunked : bool
        Whether it is stored one sample a chunk, as `Field.chunked` says; readers take it either way.
    codes : FixedPoint or None
        The scale and the offset of the codes, if they are known.
    """

    dtype: str
    shape: tuple[int | tuple[int, ...] | None, ...]
    coded: bool = False
    chunked: bool = False
    codes: FixedPoint | None = None

    def differs(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
        """What was found and what was expected, if they differ; otherwise nothing."""
        same_type = dtype.kind == "S" if self.dtype == "str" else dtype == np.dtype(self.dtype)
        if same_type and len(shape) == len(self.shape) and all(map(_fits, shape, self.shape)):
            return ""
        return f"{dtype} {shape} a sample, expected {self.dtype} {self.shape}".replace("None", "*")


def _fits(length: int, expected: int | tuple[int, ...] | None) -> bool:
    return length in expected if isinstance(expected, tuple) else expected in (None, length)


def is_shard(path: Path) -> bool:
    """Whether a file is a shard of uvgen, of any version."""
    try:
        with open_hdf5(path) as file:
            try:
                return bool(file.attributes.get("format") == FORMAT)
            except DatasetError:  # until version 2, attributes were texts of variable length, which are not read
                return set(file.names) >= _FIELDS
    except DatasetError:
        return False
