"""Cameras beside the scaled orthographic one of `uvgen.geometry`: how points of a model or mesh come into an image.

Frames are those of `uvgen.geometry`: the model's x to the right, y up, z toward the viewer; the image's first pixel at
(0, 0), y down. `uvgen.samples.camera_files` reads cameras of other programs.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import check_finite, float64_array
from uvgen.described import described
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

    __repr__ = described

    def depths(self, points: ArrayLike) -> NDArray[np.float64]:
        """Depths (..., n) of points (..., n, 3) along the optical axis, in their unit.

        Raises
        ------
        InputError
            If the shape is wrong, or a point lies in the camera's plane or behind it.
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


CAMERA_KINDS = ("image", "orthographic", "perspective")
"""What an `ImageCamera` may be: none (points are in the image already), parallel rays, or a pinhole."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageCamera:
    """A camera without lens distortion, in any position, that projects the points of a mesh into an image.

    The camera's frame is OpenCV's: x to the image's right, y down, z away from the camera. `uvgen.read_camera` reads
    the conventions of other programs into it.

    Attributes
    ----------
    kind : {"image", "orthographic", "perspective"}
        "image": points are in the image frame already, and the other attributes are ignored.
    rotation : (3, 3) float64
        From the mesh's frame to the camera's.
    translation : (3,) float64
        Added after the rotation, in the mesh's unit: the position of the mesh's origin in the camera's frame.
    focal_px : (float, float)
        Perspective: focal lengths along x and y, px. Orthographic: px per unit of the mesh, twice the same.
    center_px : (float, float)
        Where the optical axis meets the image: x, y in the image frame, pixel centers at integers.
    size : (int, int) or None
        Width and height of the image that it belongs to, px, if that is known.
    """

    kind: str = "image"
    rotation: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    translation: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    focal_px: tuple[float, float] = (1.0, 1.0)
    center_px: tuple[float, float] = (0.0, 0.0)
    size: tuple[int, int] | None = None

    __repr__ = described

    def depths(self, points: ArrayLike) -> NDArray[np.float64]:
        """How far points (n, 3) are from the camera's plane along its axis, (n,), in their unit; negative behind it."""
        given = float64_array(points, "points", ("n", 3))
        return np.asarray(given @ self.rotation[2] + self.translation[2])

    def matrix(self, points: ArrayLike) -> NDArray[np.float64]:
        """The matrix that takes points of a mesh, such as these, to the image.

        Parameters
        ----------
        points : (n, 3) float
            In the mesh's frame and unit; a perspective camera scales z by their mean depth.

        Returns
        -------
        (4, 4) float64
            Of a point (x, y, z, 1), rows 0 and 1 give x and y in the image frame after division by row 3, which is
            (0, 0, 0, 1) unless the camera is a perspective one; row 2, not divided, gives z toward the viewer. All px.

        Raises
        ------
        InputError
            If the shape is wrong, a value is not finite, or a perspective camera has a point in its plane or behind it.
        """
        given = float64_array(points, "points", ("n", 3))
        check_finite(given, "points")
        if self.kind == "image":
            return np.eye(4)
        (fx, fy), (cx, cy) = self.focal_px, self.center_px
        to_camera = np.column_stack([self.rotation, self.translation])
        result = np.zeros((4, 4))
        result[3, 3] = 1
        if self.kind == "orthographic":
            result[:3] = to_camera * [[fx], [fy], [-fx]]
            result[:2, 3] += cx, cy
            return result
        depths = self.depths(given)
        if (behind := np.count_nonzero(depths <= 0)) or not len(depths):
            raise InputError(
                f"points: {behind} of {len(depths)} lie behind the camera (depths of {depths.min(initial=0):.4g} to "
                f"{depths.max(initial=0):.4g}), expected all in front of it"
            )
        result[0] = fx * to_camera[0] + cx * to_camera[2]
        result[1] = fy * to_camera[1] + cy * to_camera[2]
        result[2] = -np.sqrt(fx * fy) / depths.mean() * to_camera[2]
        result[3] = to_camera[2]
        return result

    def project(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (n, 3) in the image, (n, 3) px: x, y in the image frame, z toward the viewer, 0 in the camera's plane.

        z is scaled as x and y are; by a perspective camera, as they are at the points' mean depth. Raises InputError
        as `matrix` does.
        """
        return apply_camera(self.matrix(points), points)


def apply_camera(matrix: ArrayLike, points: ArrayLike) -> NDArray[np.float64]:
    """Points (n, 3) of a mesh in the image, (n, 3) px, by the matrix (4, 4) that `ImageCamera.matrix` gives."""
    rows, given = float64_array(matrix, "matrix", (4, 4)), float64_array(points, "points", ("n", 3))
    found = given @ rows[:, :3].T + rows[:, 3]
    return np.column_stack([found[:, :2] / found[:, 3:], found[:, 2]])
