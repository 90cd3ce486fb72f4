"""The crop of the field: a square around the 68 landmarks, jittered, sampled once.

As in face3d and the training sets made with it: with l, r, t, b the extremes of the projected landmarks, the
centre is that of the box, the extent (r - l + b - t) / 2, and the square 1.5 extents wide.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import check_array, check_finite, number_in
from uvgen.errors import InputError
from uvgen.geometry import check_convention

JITTER = 0.1
"""Shift of the crop's centre as a share of the extent, and of its size, as in the public training sets."""


_WIDTH = 1.5  # the square's side in extents


def crop_similarity(
    landmarks: ArrayLike, size: int, jitter_draw: ArrayLike = (0.5, 0.5, 0.5), *, jitter: float = JITTER,
    convention: str = "exact",
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
    convention : {"exact", "face3d"}
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
    check_convention(convention)
    number_in(size, "size", 2, unit="px")
    points = np.asarray(landmarks, dtype=np.float64)
    check_array(points, "landmarks", (68, 2), (68, 3))
    points = points[:, :2]
    check_finite(points, "landmarks")
    if convention == "face3d":
        points = np.trunc(points)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).sum()) / 2
    width = _WIDTH * extent
    if convention == "face3d":
        width = float(int(width))
    if not width > 0:
        raise InputError(f"landmarks: the face is {extent:.3g} px large, expected more; check the scale in the pose")
    shift_x, shift_y, grow = 2 * np.asarray(jitter_draw, dtype=np.float64) - 1
    center = (low + high) / 2 + jitter * extent * np.array([shift_x, shift_y])
    width *= 1 + jitter * grow
    scale = (size - 1) / width
    similarity = np.diag([scale, scale, 1.0])
    similarity[:2, 2] = -scale * (center - width / 2)
    return similarity
