"""What the targets of an export share."""

import io
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError

PARAMETERS = (
    "landmarks", "shape", "expression", "pose", "crop_pose", "image_to_crop", "image_height", "flipped",
)  # fmt: skip
"""Small fields that are exported where samples have them."""


class Part(NamedTuple):
    """The samples of one shard: its file name without ending, and their numbers in the data set."""

    name: str
    samples: range


def path_of(name: str) -> PurePosixPath:
    """A sample's name as a relative path; DatasetError where no file can have it."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise DatasetError(f"sample {name!r}: not a name that a file can have; was the data set edited?")
    return path


def npy(array: NDArray[Any]) -> bytes:
    """An array as the bytes of a ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
