"""An image through a similarity into a square crop."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.errors import InputError
from uvgen.geometry import similarity_scale
from uvgen.images import kernels


def warp_image(
    image: ArrayLike,
    similarity: ArrayLike,
    size: int,
    *,
    flip: bool = False,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Sample an image once, bilinearly, into a square crop.

    Parameters
    ----------
    image : (h, w, c) uint8
        Source image.
    similarity : (3, 3) float
        Image → crop.
    size : int
        Pixels along each side of the crop.
    flip : bool
        Mirror the crop: its column k becomes column size - 1 - k.
    out : (size, size, c) uint8, C-contiguous, optional
        Buffer to fill and return.

    Returns
    -------
    (size, size, c) uint8
        Black outside the image. Within 1 grey level of `skimage.transform.warp` with order 1.

    Raises
    ------
    InputError
        Where a shape or dtype is wrong, or the matrix is not a similarity.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InputError(f"image: shape {image.shape} {image.dtype}, expected (h, w, c) uint8")
    matrix = np.asarray(similarity, dtype=np.float64)
    if matrix.shape != (3, 3):
        raise InputError(f"similarity: shape {matrix.shape}, expected (3, 3)")
    similarity_scale(matrix)
    expected = (size, size, image.shape[2])
    if out is None:
        out = np.empty(expected, np.uint8)
    elif out.shape != expected or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise InputError(f"out: {out.shape} {out.dtype}, expected {expected} uint8, C-contiguous")
    image = np.ascontiguousarray(image)
    inverse = np.ascontiguousarray(np.linalg.inv(matrix)[:2])
    if flip:
        inverse[:, 2] += (size - 1) * inverse[:, 0]
        inverse[:, 0] *= -1
    if image.shape[2] == 3 and image.shape[1] > 2:
        kernels.warp_rgb(image, inverse, np.empty((3, size), np.uint64), out)
    else:
        kernels.warp_bilinear(image, inverse, out)
    return out
