"""Weight masks as files: a gray 8-bit image like PRNet's ``uv_weight_mask.png``, or a ``.npy`` of weights."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import as_array, check_array
from uvgen.errors import InputError
from uvgen.images.codecs import decode_gray
from uvgen.maps.masks import WEIGHTS
from uvgen.storage.kinds import describe_bytes
from uvgen.storage.names import brief
from uvgen.storage.npy import read_npy
from uvgen.storage.reading import read_file

_PER_UNIT = 16  # gray levels
_MOST_BYTES = 1 << 28  # 4096² weights as float64 take half of it


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
        A gray 8-bit PNG or BMP image, or a ``.npy`` of weights as `as_weights` takes them.
    size : int
        Texels along each side that it must have.

    Returns
    -------
    (size, size) float32

    Raises
    ------
    InputError
        If the file is unreadable, an image of another kind (16 bits, colors, transparent, JPEG), of another size, or
        holds negative or non-finite weights.
    """
    try:
        data = read_file(path, _MOST_BYTES)
        is_array = describe_bytes(data) == "a NumPy .npy array"
        weights = read_npy(data) if is_array else gray_to_weights(decode_gray(data))
    except MemoryError:
        raise
    except Exception as error:  # NumPy and Pillow raise a dozen kinds on damaged files
        raise InputError(
            f"{path}: not a readable weight mask ({brief(error)}), expected a gray 8-bit PNG image or .npy of weights"
        ) from error
    return as_weights(weights, str(path), size)


def as_weights(weights: ArrayLike, name: str, size: int) -> NDArray[np.float32]:
    """A weight mask that is given as an array.

    Parameters
    ----------
    weights : (size, size) or (size, size, 1)
        Real numbers or bool, 0 or more. Gray levels are not taken: integers above 16 are refused.
    name : str
        For messages.
    size : int
        Texels along each side that it must have.

    Returns
    -------
    (size, size) float32
        Perhaps the array itself.

    Raises
    ------
    InputError
        If it is something else, or no texel counts.
    """
    array = as_array(weights, name)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name}: {array.dtype} values, expected real numbers")
    if array.dtype.kind in "iu" and array.size and (most := array.max()) > WEIGHTS["landmarks"]:
        raise InputError(
            f"{name}: {array.dtype} values up to {most}, expected weights of 0 to {WEIGHTS['landmarks']:g}; divide "
            f"gray levels by {_PER_UNIT}, or save them as a PNG"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    with np.errstate(over="ignore"):  # too large for float32: infinite, and refused as such
        mask = array.astype(np.float32, copy=False)
    check_array(mask, name, (size, size), note="one weight per texel of the maps")
    if not np.isfinite(mask).all() or mask.min() < 0:
        raise InputError(f"{name}: negative or non-finite weights, expected weights of 0 or more")
    if not mask.any():
        raise InputError(f"{name}: all weights are 0, expected some texels that count")
    return mask
