"""An image through a similarity into a square crop."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import check_array, check_bytes, out_buffer
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
    check_bytes(image, "image", (-1, -1, -1), note="height, width and channels")
    matrix = np.asarray(similarity, dtype=np.float64)
    check_array(matrix, "similarity", (3, 3))
    similarity_scale(matrix)
    out = out_buffer(out, (size, size, image.shape[2]), np.uint8)
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
