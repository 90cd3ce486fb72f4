"""The crop of the field: a square around the 68 landmarks, jittered, sampled once; and the squares of inference.

As in face3d and the training sets made with it: with l, r, t, b the extremes of the projected landmarks, the
center is that of the box, the extent (r - l + b - t) / 2, and the square 1.5 extents wide. At inference, there is a box
or there are key points: `crop_from_box` and `crop_from_landmarks` give the training sets' square, or those of PRNet's
`api.py` (github.com/YadiraF/PRNet, commit fc12fe5). Deep3DFaceRecon's alignment is in `align5.py`.
"""

import math
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import MAX_SIDE, check_finite, choice, float64_array, number_in, shown
from uvgen.errors import InputError
from uvgen.geometry import check_convention

JITTER = 0.1
"""Shift of the crop's center as a share of the extent, and of its size, as in the public training sets."""

_WIDTH = 1.5  # the square's side in extents

CROP_METHODS = ("training", "prnet", "prnet-detector")
"""Squares around a box: that of the training sets, PRNet's around key points or a given box, and around a detection."""

_PRNET_WIDTH = 1.6  # in extents, as the following

DETECTION_WIDTH, DETECTION_DROP = 1.58, 0.14
"""Side of the square around a detector's box, and how far its center lies below the box's, in extents: PRNet's numbers,
which 3DDFA_V2 took over."""


def crop_similarity(
    landmarks: ArrayLike, size: int, jitter_draw: ArrayLike = (0.5, 0.5, 0.5), *, jitter: float = JITTER,
    convention: str = "exact",
) -> NDArray[np.float64]:  # fmt: skip
    """The similarity that takes an image to its training crop, a square around the 68 landmarks.

    Parameters
    ----------
    landmarks : (68, 2) or (68, 3) float
        Image frame, px.
    size : int
        Pixels along each side of the crop.
    jitter_draw : (3,) float
        Numbers in [0, 1) that place the jitter: x shift, y shift, size; 0.5 is none.
    jitter : float
        Largest shift in extents, and largest change of the size as a share of it; 0 for none, below 1.
    convention : {"exact", "face3d"}
        ``"face3d"`` cuts landmarks and size to integers first, as face3d does.

    Returns
    -------
    (3, 3) float64
        Image → crop: uniform scale and shift. The square is 1.5 extents wide, the extent being the mean of width and
        height of the landmarks' box, as in face3d; it goes to pixel centers 0 to size - 1.

    Raises
    ------
    InputError
        If the landmarks are not finite or all in one point, or another argument is out of range.
    """
    check_convention(convention)
    size = number_in(size, "size", 2, MAX_SIDE, "px", whole=True)
    jitter = check_jitter(jitter)
    points = float64_array(landmarks, "landmarks", (68, 2), (68, 3))
    points = points[:, :2]
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    if not all(map(math.isfinite, (left, top, right, bottom))):
        check_finite(points, "landmarks")
    if convention == "face3d":
        left, top, right, bottom = (float(math.trunc(number)) for number in (left, top, right, bottom))
    extent = (right - left + (bottom - top)) / 2  # plain numbers are several times faster than arrays of two
    width = _WIDTH * extent
    if convention == "face3d":
        width = float(int(width))
    if not width > 0:
        raise InputError(f"landmarks: the face is {extent:.3g} px large, expected more; check the scale in the pose")
    draw = float64_array(jitter_draw, "jitter_draw", (3,)).tolist()
    if not all(map(math.isfinite, draw)):
        check_finite(np.array(draw), "jitter_draw")
    if min(draw) < 0 or max(draw) > 1:
        raise InputError(f"jitter_draw: {draw}, expected numbers of 0 to 1")
    shift_x, shift_y, grow = (2 * number - 1 for number in draw)
    center_x = (left + right) / 2 + jitter * extent * shift_x
    center_y = (top + bottom) / 2 + jitter * extent * shift_y
    return _square(center_x, center_y, width * (1 + jitter * grow), size)


def frontal_scale(points: NDArray[np.floating[Any]], size: int) -> float:
    """Crop px per unit of points (68, 3) of a face that is seen from the front, in a crop around them of `size` px."""
    low, high = points.min(axis=0), points.max(axis=0)
    return size / (_WIDTH / 2 * float(high[0] - low[0] + high[1] - low[1]))  # the extent is half of the sum


def check_jitter(jitter: Any) -> float:
    """`jitter` if it is a number of 0 to below 1; InputError otherwise. From 1 on, a square could have no width."""
    is_number = isinstance(jitter, Real) and not isinstance(jitter, bool)
    if not is_number or not 0 <= jitter < 1:
        raise InputError(f"jitter: {shown(jitter)}, expected 0 (none) to below 1; {JITTER} is usual")
    return float(jitter)


def crop_from_box(box: ArrayLike, size: int, method: str = "prnet-detector") -> NDArray[np.float64]:
    """The similarity that takes an image to the crop around a box.

    Parameters
    ----------
    box : (4,) float
        Left, top, right, bottom, px of the image frame: the pixel centers that the box reaches.
    size : int
        Pixels along each side of the crop.
    method : {"prnet-detector", "prnet", "training"}
        With w = right - left, h = bottom - top and extent = (w + h) / 2: "prnet-detector" is PRNet's square around a
        detection, int(1.58 extent) wide, its center 0.14 extents below the box's. "prnet" is PRNet's square around
        a given box, int(1.6 extent) wide. "training" is `crop_similarity`'s, 1.5 extents wide: for the box of
        the 68 landmarks.

    Returns
    -------
    (3, 3) float64
        Image → crop; the square goes to pixel centers 0 to size - 1: uniform scale and shift.

    Raises
    ------
    InputError
        If the box is not finite, has swapped sides or is empty, or another argument is out of range.

    Examples
    --------
    >>> float(uvgen.crop_from_box((100, 120, 220, 250), 256)[0, 0].round(6))
    1.294416
    """
    choice(method, "method", CROP_METHODS)
    size = number_in(size, "size", 2, MAX_SIDE, "px", whole=True)
    corners = float64_array(box, "box", (4,), note="left, top, right, bottom")
    check_finite(corners, "box")
    low, high = corners[:2], corners[2:]
    if (high < low).any():
        raise InputError(
            f"box: {corners.tolist()}, expected left ≤ right and top ≤ bottom; is it x, y, width, height? Add x to the "
            "width and y to the height"
        )
    extent = float((high - low).sum()) / 2
    center = high - (high - low) / 2
    if method == "training":
        width = _WIDTH * extent
    elif method == "prnet":
        width = float(int(_PRNET_WIDTH * extent))
    else:
        width = float(int(DETECTION_WIDTH * extent))
        center = center + [0.0, DETECTION_DROP * extent]
    if not width > 0:
        raise InputError(f"box: {extent:.3g} px large, expected a face of more than 1 px")
    return _square(float(center[0]), float(center[1]), width, size)


def crop_from_landmarks(landmarks: ArrayLike, size: int, method: str = "training") -> NDArray[np.float64]:
    """The similarity that takes an image to the crop around landmarks, as `crop_from_box` does around their box.

    Parameters
    ----------
    landmarks : (n, 2) or (n, 3) float
        Image frame, px; z is ignored. The 68 landmarks, as the training sets and PRNet have them: others, such as five
        points, have another box.
    size : int
        Pixels along each side of the crop.
    method : {"training", "prnet"}
        The training sets' square, 1.5 extents wide; the same as `crop_similarity`'s without jitter. Or PRNet's around
        key points, int(1.6 extent) wide.

    Returns
    -------
    (3, 3) float64
        Image → crop.

    Raises
    ------
    InputError
        If landmarks are not finite or all in one point, or another argument is out of range.
    """
    choice(method, "method", CROP_METHODS[:2])
    points = float64_array(landmarks, "landmarks", (-1, 2), (-1, 3))[:, :2]
    check_finite(points, "landmarks")
    low, high = points.min(axis=0), points.max(axis=0)
    if not (high > low).any():
        raise InputError(f"landmarks: all {len(points)} in one point, expected a face")
    return crop_from_box([*low, *high], size, method)


def _square(center_x: float, center_y: float, width: float, size: int) -> NDArray[np.float64]:
    """The similarity (3, 3) of a square with this center and side, px of the image."""
    scale = (size - 1) / width
    return np.array(
        [[scale, 0, -scale * (center_x - width / 2)], [0, scale, -scale * (center_y - width / 2)], [0, 0, 1]]
    )
