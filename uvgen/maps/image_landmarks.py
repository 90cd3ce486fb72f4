"""The 68 landmarks of faces without their other vertices, and in images whose heights are not known yet."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.described import described
from uvgen.geometry import pose_to_image
from uvgen.models.morphable import MorphableModel


class LandmarkBasis:
    """What a model's 68 landmarks are evaluated with, in float64."""

    def __init__(self, model: MorphableModel) -> None:
        self._basis = model.basis[model.landmarks].astype(np.float64).reshape(204, -1)
        self._mean = model.mean[model.landmarks].astype(np.float64)

    def points(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """(b, 68, 3) in the model frame, of coefficients (b, k)."""
        # one by one: in one product, faces would depend on each other
        points: NDArray[np.float64] = np.reshape([self._basis @ row for row in coefficients], (-1, 68, 3)) + self._mean
        return points


@dataclass(frozen=True, slots=True, eq=False)
class ImageLandmarks:
    """The landmarks of b faces in images that are read one by one afterward: y is counted from an image's lower edge.

    Attributes
    ----------
    turned : (b, 68, 3) float64
        Turned and scaled by each face's pose, px.
    shift : (b, 3) float64
        Where they lie in an image of `height` px.
    height : int
    """

    turned: NDArray[np.float64]
    shift: NDArray[np.float64]
    height: int

    __repr__ = described

    @classmethod
    def of_faces(
        cls, basis: LandmarkBasis, convention: str, shape: NDArray[np.float32], expression: NDArray[np.float32],
        pose: ArrayLike,
    ) -> "ImageLandmarks":  # fmt: skip
        """Of parameters (b, ks), (b, ke) and (b, 7) that are those of faces."""
        height = 0 if convention == "exact" else 1  # where -ty is the shift: a sum is not rounded twice
        to_image = pose_to_image(pose, height, convention)
        points = basis.points(np.concatenate([shape, expression], axis=1).astype(np.float64))
        return cls(points @ np.swapaxes(to_image[:, :, :3], 1, 2), to_image[:, :, 3], height)

    def of(self, face: int, image_height: int) -> NDArray[np.float64]:
        """(68, 3) landmarks of one of the faces in its image, px: `PositionMapper.image_landmarks`, to the last bit."""
        shift = self.shift[face].copy()
        shift[1] += image_height - self.height
        landmarks: NDArray[np.float64] = self.turned[face] + shift
        return landmarks
