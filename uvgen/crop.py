"""The crop of the field: a square around the 68 landmarks, jittered, sampled once.

As in face3d and the training sets made with it: with l, r, t, b the extremes of the projected landmarks, the
centre is that of the box, the extent (r - l + b - t) / 2, and the square 1.5 extents wide.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen import _kernels
from uvgen.errors import InputError
from uvgen.geometry import check_compat, similarity_scale

JITTER = 0.1
"""Shift of the crop's centre as a share of the extent, and of its size, as in the public training sets."""

JPEG_QUALITY = 95
"""Of crops that are written as JPEG, where nothing else is said."""

_WIDTH = 1.5  # the square's side in extents


def crop_similarity(
    landmarks: ArrayLike, size: int, jitter_draw: ArrayLike = (0.5, 0.5, 0.5), *, jitter: float = JITTER,
    compat: str | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    """The similarity that takes the image to the crop.

    Parameters
    ----------
    landmarks : (68, 2) or (68, 3) float
        Image frame, px.
    size : int
        Pixels along each side of the crop.
    jitter_draw : (3,) float
        Numbers in [0, 1) that place the jitter: x shift, y shift, size; 0.5 is none.
    jitter : float
        Largest shift in extents, and largest change of the size as a share of it.
    compat : {None, "face3d"}
        ``"face3d"`` cuts landmarks and size to integers first, as face3d does.

    Returns
    -------
    (3, 3) float64
        The square goes to pixel centres 0 to size - 1: uniform scale and shift.

    Raises
    ------
    InputError
        Where the landmarks are not finite or all in one point, or another argument is out of range.
    """
    check_compat(compat)
    if size < 2:
        raise InputError(f"size: {size} px, expected 2 or more")
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape not in ((68, 2), (68, 3)):
        raise InputError(f"landmarks: {points.shape}, expected (68, 2) or (68, 3)")
    points = points[:, :2]
    if not np.isfinite(points).all():
        raise InputError("landmarks hold NaN or infinity")
    if compat == "face3d":
        points = np.trunc(points)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).sum()) / 2
    width = _WIDTH * extent
    if compat == "face3d":
        width = float(int(width))
    if not width > 0:
        raise InputError(f"the face is {extent:.3g} px large; is the pose's scale right?")
    shift_x, shift_y, grow = 2 * np.asarray(jitter_draw, dtype=np.float64) - 1
    center = (low + high) / 2 + jitter * extent * np.array([shift_x, shift_y])
    width *= 1 + jitter * grow
    scale = (size - 1) / width
    similarity = np.diag([scale, scale, 1.0])
    similarity[:2, 2] = -scale * (center - width / 2)
    return similarity


def encode_crop(crop: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG of a crop (r, r, 3) uint8 RGB; colours are not subsampled."""
    import simplejpeg

    return simplejpeg.encode_jpeg(np.ascontiguousarray(crop), quality, colorspace="RGB", colorsubsampling="444")


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
        _kernels.warp_rgb(image, inverse, np.empty((3, size), np.uint64), out)
    else:
        _kernels.warp_bilinear(image, inverse, out)
    return out
