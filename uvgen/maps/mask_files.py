"""Weight masks as files: a grey 8-bit image like PRNet's, or `.npy`."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_array
from uvgen.errors import InputError


def read_weights(path: Path, size: int) -> NDArray[np.float32]:
    """A weight mask of the user's own.

    Parameters
    ----------
    path : Path
        A grey 8-bit image, as PRNet's ``uv_weight_mask.png``: weight = value / 16; or a ``.npy`` of weights.
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
            from PIL import Image

            with Image.open(path) as image:
                weights = np.asarray(image.convert("L"), dtype=np.float32) / 16
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable weight mask ({error}), expected a grey image or .npy") from error
    check_array(weights, str(path), (size, size), note="one weight per texel of the maps")
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise InputError(f"{path}: negative or non-finite weights, expected weights of 0 or more")
    return weights
