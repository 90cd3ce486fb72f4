"""Cameras beside the scaled orthographic one of `uvgen.geometry`: how points of a model frame come into an image.

Frames are those of `uvgen.geometry`: the model's x to the right, y up, z toward the viewer; the image's first pixel at
(0, 0), y down.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import check_finite, float64_array
from uvgen.errors import InputError


@dataclass(frozen=True, slots=True)
class PerspectiveCamera:
    """A pinhole camera on the z axis that looks at the origin, without lens distortion.

    Attributes
    ----------
    focal_px : float
        Focal length, px.
    center_px : (float, float)
        Where the optical axis meets the image: x, y in the image frame.
    distance : float
        From the origin to the camera, in the points' unit; a point's depth is ``distance - z``.
    """

    focal_px: float
    center_px: tuple[float, float]
    distance: float

    def depths(self, points: ArrayLike) -> NDArray[np.float64]:
        """Depths (..., n) of points (..., n, 3) along the optical axis, in their unit.

        Raises
        ------
        InputError
            Where the shape is another, or a point lies in the camera's plane or behind it.
        """
        given = float64_array(points, "points", (..., -1, 3))
        check_finite(given, "points")
        depths: NDArray[np.float64] = self.distance - given[..., 2]
        if (depths <= 0).any():
            raise InputError(f"points: a depth of {depths.min():.4g}, expected more than 0, in front of the camera")
        return depths

    def project(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points in the image.

        Parameters
        ----------
        points : (..., n, 3) float
            x right, y up, z toward the viewer, in the unit of `distance`.

        Returns
        -------
        (..., n, 3) float64
            x, y in the image frame, px; z toward the viewer, px, scaled as the image is at the mean depth of the n
            points: what a scaled orthographic camera there would give.

        Raises
        ------
        InputError
            As `depths`.
        """
        depths = self.depths(points)
        given = np.asarray(points, np.float64)
        result = np.empty(given.shape)
        result[..., 0] = self.center_px[0] + self.focal_px * given[..., 0] / depths
        result[..., 1] = self.center_px[1] - self.focal_px * given[..., 1] / depths
        result[..., 2] = given[..., 2] * (self.focal_px / depths.mean(axis=-1, keepdims=True))
        return result
