"""An image through a similarity into a square crop."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import (
    MAX_SIDE,
    as_array,
    check_apart,
    check_bytes,
    choice,
    float64_array,
    number_in,
    out_buffer,
    true_or_false,
)
from uvgen.geometry import similarity_scale
from uvgen.images import kernels
from uvgen.images.filters import FILTERS, area_grid, bicubic_blur

_STEPS = 1024  # places between two pixels for which there are bicubic weights
_ONE = 2048  # what such weights are counted in


def warp_image(
    image: ArrayLike,
    similarity: ArrayLike,
    size: int,
    *,
    flip: bool = False,
    filter: str = "area",
    reduced: int = 1,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Sample an image once into a square crop.

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
    filter : {"area", "bilinear"}
        How the image is sampled if it shrinks by more than 1.5 (image px per crop px). "bilinear": a crop pixel
        sees four image pixels. "area": it is the mean of all that it covers, see `uvgen.images.filters`. Up to 1.5,
        both give the same bytes.
    reduced : int
        Side of the squares of pixels whose means `image` holds, RGB, if it was decoded smaller than it is: see
        `uvgen.images.picture`. The similarity is that of the whole image.
    out : (size, size, c) uint8, C-contiguous, optional
        Buffer to fill and return; not `image`.

    Returns
    -------
    (size, size, c) uint8
        Black outside the image, whose outermost pixels blend into it. If nothing is averaged, within 1 gray level of
        `skimage.transform.warp` with order 1.

    Raises
    ------
    InputError
        If a shape or dtype is wrong, the matrix is not a similarity, or there is no such filter.
    """
    choice(filter, "filter", FILTERS)
    flip = true_or_false(flip, "flip")
    image = as_array(image, "image")
    check_bytes(image, "image", (-1, -1, -1), note="height, width and channels")
    size = number_in(size, "size", 1, MAX_SIDE, "px", whole=True)
    number_in(reduced, "reduced", 1, 64, whole=True)
    if reduced > 1:
        check_bytes(image, "image", (-1, -1, 3), note="RGB, since it is reduced")
    matrix = float64_array(similarity, "similarity", (3, 3))
    scale = float(similarity_scale(matrix))
    check_apart(out, {"the image": image})
    out = out_buffer(out, (size, size, image.shape[2]), np.uint8)
    image = np.ascontiguousarray(image)
    inverse = np.ascontiguousarray(np.linalg.inv(matrix)[:2])
    if flip:
        inverse[:, 2] += (size - 1) * inverse[:, 0]
        inverse[:, 0] *= -1
    if reduced > 1:
        inverse /= reduced
        inverse[:, 2] -= (reduced - 1) / 2 / reduced
    factor = 1 / scale
    blur = bicubic_blur(factor, reduced) if reduced > 1 and filter == "area" else None
    grid = area_grid(factor, reduced) if blur is None and filter == "area" else None
    if grid is not None and grid.n > 1 and factor > 32 * reduced * max(image.shape):
        out[:] = 0  # the whole image is less than a thousandth of a pixel, hence of half a gray level
    elif grid is not None and grid.n > 1:
        _warp_mean(image, inverse, grid.block // reduced, grid.n, grid.spacing * scale, out)
    elif blur is not None:
        kernels.warp_bicubic(image, inverse, _bicubic_weights(blur), out)
    elif image.shape[2] == 3 and image.shape[1] > 2:
        kernels.warp_rgb(image, inverse, np.empty((3, size), np.uint64), out)
    else:
        kernels.warp_bilinear(image, inverse, out)
    return out


def _bicubic_weights(blur: float) -> NDArray[np.int32]:
    """Weights (n, 4) of four pixels in a row, for each n-th of the way from the second to the third; B is `blur`."""
    b, c = blur, (1 - blur) / 2
    way = np.arange(_STEPS)[:, None] / _STEPS
    x = np.abs(way + [1, 0, -1, -2])
    near = ((12 - 9 * b - 6 * c) * x**3 + (12 * b + 6 * c - 18) * x**2 + 6 - 2 * b) / 6
    far = ((-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 - (12 * b + 48 * c) * x + 8 * b + 24 * c) / 6
    weights: NDArray[np.int32] = np.rint(np.where(x < 1, near, far) * _ONE).astype(np.int32)
    weights[:, 1] += _ONE - weights.sum(axis=1, dtype=np.int32)  # what is flat stays so
    return weights


def _warp_mean(
    image: NDArray[np.uint8],
    inverse: NDArray[np.float64],
    block: int,
    n: int,
    spacing: float,
    out: NDArray[np.uint8],
) -> None:
    """Each pixel the mean of n² samples, `spacing` crop px apart, of squares of `block` px of the image."""
    size = len(out)
    offsets = spacing * (np.arange(n) - (n - 1) / 2)
    if block > 1:
        ends = np.array([offsets[0], size - 1 + offsets[-1]])
        corners = inverse[:, :2] @ np.stack(np.meshgrid(ends, ends)).reshape(2, -1) + inverse[:, 2:]
        blocks, inverse = _average_blocks(image, inverse, corners, block)
        if blocks is None:
            out[:] = 0
            return
        image = blocks
    inverses = np.tile(inverse, (n**2, 1, 1))
    inverses[:, :, 2] += np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(-1, 2) @ inverse[:, :2].T
    sums = np.empty(out.size, np.uint16)
    kernels.warp_mean(image, inverses, np.empty((3, size), np.uint64), np.empty_like(out), sums, out)


def _average_blocks(
    image: NDArray[np.uint8], inverse: NDArray[np.float64], corners: NDArray[np.float64], block: int
) -> tuple[NDArray[np.uint8] | None, NDArray[np.float64]]:
    """The image shrunk by a whole number, where a crop with these corners (2, 4) sees it, and crop px → its px.

    Block k holds the pixels k * block to k * block + block - 1, so that its center is k * block + (block - 1) / 2. None
    if the crop sees nothing of the image.
    """
    middle = (block - 1) / 2
    size = np.array([image.shape[1], image.shape[0]])
    ends = np.stack([corners.min(axis=1), corners.max(axis=1)])
    low, high = np.clip(np.floor((ends - middle) / block) + [[-1], [2]], 0, np.ceil(size / block)).astype(np.int64)
    if (high <= low).any():
        return None, inverse
    n_columns, n_rows = (high - low).tolist()
    channels = image.shape[2]
    blocks = np.empty((n_rows, n_columns, channels), np.uint8)
    sums = np.empty((2, n_columns * block * channels), np.float32)
    kernels.average_blocks(image, np.ascontiguousarray(low[::-1]), block, sums, blocks)
    inverse = inverse / block
    inverse[:, 2] -= middle / block + low
    return blocks, inverse
