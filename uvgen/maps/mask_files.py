"""Weight masks as files: a gray 8-bit image like PRNet's ``uv_weight_mask.png``, or a ``.npy`` of weights."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_array
from uvgen.errors import InputError
from uvgen.images.codecs import decode_gray
from uvgen.maps.masks import WEIGHTS

_PER_UNIT = 16  # gray levels


def weights_to_gray(weights: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The gray levels of weights, of any shape: 16 times the weight; 255, the largest, stands for 16."""
    levels: NDArray[np.uint8] = np.clip(np.rint(weights * _PER_UNIT), 0, 255).astype(np.uint8)
    return levels


def gray_to_weights(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The weights, of any shape, of gray levels; 255 means 16, as PRNet's mask does."""
    weights = levels.astype(np.float32) / np.float32(_PER_UNIT)
    weights[levels == 255] = WEIGHTS["landmarks"]  # 8 bits hold no 256
    return weights


def read_weights(path: Path, size: int) -> NDArray[np.float32]:
    """A weight mask of the user's own.

    Parameters
    ----------
    path : Path
        A gray 8-bit image, or a ``.npy`` of weights.
    size : int
        Texels along each side that it must have.

    Returns
    -------
    (size, size) float32

    Raises
    ------
    InputError
        Where the file is unreadable, of another size, or holds negative or non-finite weights.
    """
    try:
        if path.suffix.lower() == ".npy":
            weights = np.load(path, allow_pickle=False).astype(np.float32)
        else:
            weights = gray_to_weights(decode_gray(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable weight mask ({error}), expected a gray image or .npy") from error
    check_weights(weights, str(path), size)
    return weights


def check_weights(weights: NDArray[np.float32], name: str, size: int) -> None:
    """Raise InputError unless a weight mask is (size, size) and holds finite weights of 0 or more."""
    check_array(weights, name, (size, size), note="one weight per texel of the maps")
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise InputError(f"{name}: negative or non-finite weights, expected weights of 0 or more")
