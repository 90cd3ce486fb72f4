"""Deep3DFaceRecon's crop: five points of a face to the five of its standard face, through a weak-perspective camera.

As `align_img` and `POS` of its `util/preprocess.py` do it (github.com/sicxu/Deep3DFaceRecon_pytorch, commit 9167c71):
the linear map from the standard face's points, and a shift, that comes nearest to the five points has a scale s; the
image is scaled by 102/s, and a window of 224 px is cut around where the standard face's origin goes.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import MAX_SIDE, check_finite, float64_array, number_in, picture_size
from uvgen.errors import InputError

STANDARD_POINTS = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ]
)
STANDARD_POINTS.setflags(write=False)
"""(5, 3) eye at the picture's left, eye at its right, tip of the nose, corners of the mouth; x right, y up, z toward
the viewer: what its `load_lm3d` makes of the 68 points in its `BFM/similarity_Lm3D_all.mat`."""

_RESCALE, _WINDOW = 102.0, 224
_MIRRORED = 0.5  # cosine above which the standard face is seen from behind: y points down, so a face's is negative


def crop_from_points5(
    points: ArrayLike, size: int = _WINDOW, *, image_size: tuple[int, int] | None = None
) -> NDArray[np.float64]:
    """The similarity that takes an image to Deep3DFaceRecon's crop.

    Parameters
    ----------
    points : (5, 2) float
        Eye at the picture's left, eye at its right, tip of the nose, left and right corner of the mouth; image frame,
        px, y down. Of iBUG's 68 points, the means of 36 and 39 and of 42 and 45, then 30, 48, 54.
    size : int
        Pixels along each side of the crop; theirs is 224, and another one shows the same.
    image_size : (int, int), optional
        Height and width of the image: then the scaled image's sides are cut to integers, as theirs are, which moves
        the crop by up to half a pixel. Without it, nothing is rounded. Only with a size of 224.

    Returns
    -------
    (3, 3) float64
        Image → crop: uniform scale and shift, as they move landmarks.

    Raises
    ------
    InputError
        If the points are not finite, in one place or mirrored, or another argument is out of range.

    Notes
    -----
    Their pixels are not exactly where their landmarks are. Pillow's resizing aligns the pixels' edges rather than their
    centers, and the window starts at an integer: with a scale of s, the picture that their network sees is up to
    |1 - s| / 2 + 1 px away from this similarity's.
    """
    number_in(size, "size", 2, MAX_SIDE, "px", whole=True)
    found = float64_array(points, "points", (5, 2), note="eyes, tip of the nose, corners of the mouth")
    check_finite(found, "points")
    design = np.concatenate([STANDARD_POINTS, np.ones((5, 1))], axis=1)
    (*x_axis, x), (*y_axis, y) = np.linalg.lstsq(design, found, rcond=None)[0].T.tolist()
    scale_found = float(np.linalg.norm(x_axis) + np.linalg.norm(y_axis)) / 2
    extent = float(np.ptp(found, axis=0).max())
    if not scale_found > 0 or not extent > 0:
        raise InputError("points: all five in one place, expected a face's")
    if np.cross(x_axis, y_axis)[2] > _MIRRORED * scale_found**2:
        raise InputError(
            "points: mirrored or in another order, expected the eye at the picture's left, that at its right, the tip "
            "of the nose, the left and the right corner of the mouth, y down"
        )
    scale = _RESCALE / scale_found * (size / _WINDOW)
    # y up, the origin of their window is row 223, so that its center (112, 112) lies in row 111
    center = np.array([size / 2, size - 1 - size / 2])
    if image_size is not None:
        height, width = picture_size(image_size)
        if size != _WINDOW:
            raise InputError(f"image_size: given with a size of {size}, expected {_WINDOW}: only theirs is rounded so")
        cut = np.array([width * scale, height * scale])
        center += np.array([0.5, -0.5]) * (cut - np.trunc(cut))
    similarity = np.diag([scale, scale, 1.0])
    similarity[:2, 2] = center - scale * np.array([x, y])
    return similarity
