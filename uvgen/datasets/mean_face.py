"""A model's mean face on a face's 68 landmarks: the pose of samples that come without parameters."""

import numpy as np
from numpy.typing import NDArray

from uvgen.similarity import align_points

AWAY = -0.5
"""Cosine between a face's direction and the viewer's below which its label is refused: more than 120°."""


def lay_on(mean: NDArray[np.float64], points: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """A model's points laid on others by rotation, scale and shift, see `uvgen.similarity.align_points`.

    Parameters
    ----------
    mean : (n, 3) float64
        Model frame, y up.
    points : (n, 3) float
        Image frame, y down; not all in one place.

    Returns
    -------
    affine : (3, 4) float64
        Takes the model's points to the image frame, as `uvgen.geometry.pose_to_image` gives it.
    distance : float
        Root mean square of what is left, px.
    """
    upright = points.astype(np.float64) * [1, -1, 1]
    found = align_points(mean, upright, scaled=True)
    distance = np.sqrt(((found.apply(mean) - upright) ** 2).sum(axis=1).mean())
    affine = np.column_stack([found.scale * found.rotation, found.shift])
    affine[1] *= -1
    return affine, float(distance)
