"""Masks, landmarks and UV coordinates of the built-in model, as files; see the README beside this file.

They hold for maps made with the built-in model alone. A data set carries its own in ``constants.npz``; for another
model there are `uvgen.weight_mask`, `uvgen.face_mask`, `uvgen.landmark_weights` and `uvgen.landmark_texels`.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import choice, frozen, plain_number, shown
from uvgen.errors import InputError
from uvgen.maps.landmarks import LandmarkWeights

SIZES = (256, 128)
"""Texels along each side, of what there are files for."""

_FOLDER = Path(__file__).parent


def load_mask(kind: str, size: int = 256) -> NDArray[np.float32]:
    """A mask over the UV grid of the built-in model.

    Parameters
    ----------
    kind : {"weight", "face"}
        The training loss's weights, 16 : 4 : 3 : 0; or 1 on the face and 0 elsewhere.
    size : {256, 128}
        Texels along each side.

    Returns
    -------
    (size, size) float32

    Raises
    ------
    InputError
        If there is no such mask.
    """
    from uvgen.images.codecs import decode_gray
    from uvgen.maps.mask_files import gray_to_weights

    choice(kind, "kind", ("weight", "face"))
    size = _checked(size)
    levels = decode_gray((_FOLDER / f"{kind}_mask_{size}.png").read_bytes())
    if kind == "face":
        return (levels / np.float32(255)).astype(np.float32)
    return gray_to_weights(levels)


def load_landmark_texels(size: int = 256) -> NDArray[np.int32]:
    """Texels of the 68 landmarks: (68, 2) int32, row and column; InputError if `size` is neither 256 nor 128."""
    return np.loadtxt(_FOLDER / f"landmark_texels_{_checked(size)}.txt", np.int32)


def load_landmark_weights(size: int = 256) -> LandmarkWeights:
    """What `uvgen.read_landmarks` needs for maps of `size` texels; InputError if that is neither 256 nor 128."""
    size = _checked(size)
    table = np.loadtxt(_FOLDER / f"landmark_weights_{size}.txt")
    return LandmarkWeights(size, frozen(table[:, :4], np.int32), frozen(table[:, 4:], np.float32))


def _checked(size: int) -> int:
    """The same as Python's int; InputError if there are no files for it."""
    number = plain_number(size)
    if type(number) is not int or number not in SIZES:
        raise InputError(f"size: {shown(size)}, expected {SIZES[0]} or {SIZES[1]} texels")
    return number


def load_uv_coordinates() -> NDArray[np.float64]:
    """UV of each vertex of the built-in model at its default density: (n, 2) float64 in [0, 1], u right, v up."""
    uv: NDArray[np.float64] = np.load(_FOLDER / "uv_coordinates.npy")
    return uv
