"""An image through a similarity into a square crop."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import as_array, check_bytes, choice, float64_array, out_buffer
from uvgen.geometry import similarity_scale
from uvgen.images import kernels
from uvgen.images.filters import FILTERS, SampleGrid, area_grid


def warp_image(
    image: ArrayLike,
    similarity: ArrayLike,
    size: int,
    *,
    flip: bool = False,
    filter: str = "area",
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
        How the image is sampled where it shrinks by more than 1.5 (image px per crop px). "bilinear": a crop pixel
        sees four image pixels. "area": it is the mean of all that it covers, see `uvgen.images.filters`. Up to 1.5,
        both give the same bytes.
    out : (size, size, c) uint8, C-contiguous, optional
        Buffer to fill and return.

    Returns
    -------
    (size, size, c) uint8
        Black outside the image, whose outermost pixels blend into it. Where nothing is averaged, within 1 grey level of
        `skimage.transform.warp` with order 1.

    Raises
    ------
    InputError
        Where a shape or dtype is wrong, the matrix is not a similarity, or there is no such filter.
    """
    choice(filter, "filter", FILTERS)
    image = as_array(image, "image")
    check_bytes(image, "image", (-1, -1, -1), note="height, width and channels")
    matrix = float64_array(similarity, "similarity", (3, 3))
    scale = float(similarity_scale(matrix))
    out = out_buffer(out, (size, size, image.shape[2]), np.uint8)
    image = np.ascontiguousarray(image)
    inverse = np.ascontiguousarray(np.linalg.inv(matrix)[:2])
    if flip:
        inverse[:, 2] += (size - 1) * inverse[:, 0]
        inverse[:, 0] *= -1
    grid = area_grid(1 / scale) if filter == "area" else None
    if grid is not None and grid.n > 1 and 1 / scale > 32 * max(image.shape):
        out[:] = 0  # the whole image is less than a thousandth of a pixel, hence of half a grey level
    elif grid is not None and grid.n > 1:
        _warp_mean(image, inverse, grid, grid.spacing * scale, out)
    elif image.shape[2] == 3 and image.shape[1] > 2:
        kernels.warp_rgb(image, inverse, np.empty((3, size), np.uint64), out)
    else:
        kernels.warp_bilinear(image, inverse, out)
    return out


def _warp_mean(
    image: NDArray[np.uint8],
    inverse: NDArray[np.float64],
    grid: SampleGrid,
    spacing: float,
    out: NDArray[np.uint8],
) -> None:
    """Each pixel the mean of a grid of samples, `spacing` crop px apart."""
    size = len(out)
    offsets = spacing * (np.arange(grid.n) - (grid.n - 1) / 2)
    if grid.block > 1:
        ends = np.array([offsets[0], size - 1 + offsets[-1]])
        corners = inverse[:, :2] @ np.stack(np.meshgrid(ends, ends)).reshape(2, -1) + inverse[:, 2:]
        blocks, inverse = _average_blocks(image, inverse, corners, grid.block)
        if blocks is None:
            out[:] = 0
            return
        image = blocks
    inverses = np.tile(inverse, (grid.n**2, 1, 1))
    inverses[:, :, 2] += np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(-1, 2) @ inverse[:, :2].T
    sums = np.empty(out.size, np.uint16)
    kernels.warp_mean(image, inverses, np.empty((3, size), np.uint64), np.empty_like(out), sums, out)


def _average_blocks(
    image: NDArray[np.uint8], inverse: NDArray[np.float64], corners: NDArray[np.float64], block: int
) -> tuple[NDArray[np.uint8] | None, NDArray[np.float64]]:
    """The image shrunk by a whole number, where a crop with these corners (2, 4) sees it, and crop px → its px.

    Block k holds the pixels k * block to k * block + block - 1, so that its centre is k * block + (block - 1) / 2. None
    where the crop sees nothing of the image.
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
