"""What the targets of an export share."""

import io
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.progress import advance
from uvgen.storage.names import safe_name

PARAMETERS = (
    "landmarks", "shape", "expression", "pose", "crop_pose", "image_to_crop", "image_height", "flipped",
)  # fmt: skip
"""Small fields that are exported where samples have them."""


class Part(NamedTuple):
    """The samples of one shard: its file name without ending, and their numbers in the data set."""

    name: str
    samples: range


def each(part: Part) -> Iterator[int]:
    """The numbers of a shard's samples, counted where progress is shown."""
    for number in part.samples:
        yield number
        advance(1)


def path_of(name: str) -> PurePosixPath:
    """A sample's name as a relative path that leads nowhere else; see `uvgen.storage.names.safe_name`."""
    return PurePosixPath(safe_name(name))


def npy(array: NDArray[Any]) -> bytes:
    """An array as the bytes of a ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
