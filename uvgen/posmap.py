"""`PositionMapper`: batches of model parameters to UV position maps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen import _kernels
from uvgen.atlas import FILLED, build_atlas
from uvgen.errors import InputError
from uvgen.geometry import COMPAT, crop_affine, pose_to_image
from uvgen.model import MorphableModel

LANES = 16
"""Batches are padded to a multiple of this many faces: then a face's map does not depend, to the last bit, on
how many others are evaluated with it."""

_BATCH = 64  # faces evaluated at once: a larger product is hardly faster, and takes memory
_BLOCK = 32  # texels of a transposition: 24 kB at 64 faces, which the first-level cache holds


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Model parameters of B faces, checked, float64. Made by `faces`."""

    coefficients: NDArray[np.float64]  # (B, ks + ke)
    to_image: NDArray[np.float64]  # (B, 3, 4)


class PositionMapper:
    """Makes UV position maps of one model at one resolution.

    The atlas is found once, on creation. Calls are thread-safe: a mapper holds no buffers.

    Parameters
    ----------
    model : MorphableModel
        The face model.
    size : int
        Texels along each side of the maps.
    compat : {None, "face3d"}
        Pixel convention, see `uvgen.geometry.pose_to_image`.

    Raises
    ------
    InputError
        Where the size or `compat` is out of range.
    ModelError
        Where the model's UV do not cover a texel.
    """

    def __init__(self, model: MorphableModel, size: int = 256, compat: str | None = None) -> None:
        if compat not in COMPAT:
            raise InputError(f"compat: {compat!r}, expected None or 'face3d'")
        self.model = model
        self.size = size
        self.compat = compat
        self.atlas = build_atlas(model, size)
        self._matrix = model.basis.reshape(3 * model.n_vertices, -1)
        self._texel_mean = self.atlas.interpolate(model.mean).reshape(-1, 3)
        self._landmark_basis = model.basis[model.landmarks].astype(np.float64).reshape(204, -1)
        self._landmark_mean = model.mean[model.landmarks].astype(np.float64)

    @property
    def coverage(self) -> NDArray[np.bool_]:
        """(size, size) bool: texels inside the mesh or its closed mouth, not filled from neighbours."""
        return self.atlas.source != FILLED

    def __call__(
        self,
        shape: ArrayLike,
        expression: ArrayLike,
        pose: ArrayLike,
        similarity: ArrayLike,
        image_height: ArrayLike,
        *,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Position maps of a batch of faces.

        Parameters
        ----------
        shape, expression : (B, ks), (B, ke) float
            Parameters that multiply the bases directly.
        pose : (B, 7) float
            Pitch, yaw, roll (rad), tx, ty, tz (px), f (px/µm).
        similarity : (B, 3, 3) float
            Image → crop.
        image_height : (B,) or scalar
            px.
        out : (B, size, size, 3) float32, C-contiguous, optional
            Buffer to fill and return.

        Returns
        -------
        (B, size, size, 3) float32
            x, y, z of each texel in the crop frame, px; the smallest z over all vertices is 0. Values lie
            outside [0, size] where the face leaves the crop.

        Raises
        ------
        InputError
            Where shapes do not agree, or a value is not finite.
        """
        return self.maps_and_landmarks(shape, expression, pose, similarity, image_height, out=out)[0]

    def maps_and_landmarks(
        self,
        shape: ArrayLike,
        expression: ArrayLike,
        pose: ArrayLike,
        similarity: ArrayLike,
        image_height: ArrayLike,
        *,
        out: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Position maps as a call returns them, and the 68 landmarks (B, 68, 3) float32 in the same frame."""
        coefficients, to_image = self._checked(shape, expression, pose, image_height)
        n = len(to_image)
        expected = (n, self.size, self.size, 3)
        if out is None:
            out = np.empty(expected, np.float32)
        elif out.shape != expected or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise InputError(f"out: {out.shape} {out.dtype}, expected {expected} float32, C-contiguous")
        to_crop = crop_affine(to_image, np.broadcast_to(np.asarray(similarity, np.float64), (n, 3, 3)))
        depths = np.empty(n)
        for first in range(0, n, _BATCH):
            part = slice(first, min(first + _BATCH, n))
            depths[part] = self._evaluate(coefficients[part], to_crop[part], out[part])
        landmarks = self._landmarks(coefficients, to_crop)
        landmarks[:, :, 2] -= depths[:, None]
        return out, landmarks.astype(np.float32)

    def image_landmarks(
        self, shape: ArrayLike, expression: ArrayLike, pose: ArrayLike, image_height: ArrayLike
    ) -> NDArray[np.float64]:
        """The 68 landmarks of a batch in the image frame, without evaluating the rest of the face.

        Parameters
        ----------
        shape, expression, pose, image_height
            As for a call.

        Returns
        -------
        (B, 68, 3) float64
            px; z as the pose puts it.

        Raises
        ------
        InputError
            Where shapes do not agree, or a value is not finite.
        """
        return self._landmarks(*self._checked(shape, expression, pose, image_height))

    def _checked(
        self, shape: ArrayLike, expression: ArrayLike, pose: ArrayLike, image_height: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Joint coefficients (B, ks + ke) and model → image maps (B, 3, 4)."""
        to_image = pose_to_image(pose, image_height, self.compat)
        parts = []
        for name, value, n in (
            ("shape", shape, self.model.n_shape),
            ("expression", expression, self.model.n_expression),
        ):
            array = np.asarray(value, dtype=np.float64)
            if array.shape != (len(to_image), n):
                raise InputError(f"{name}: {array.shape}, expected ({len(to_image)}, {n}) for {self.model.name}")
            parts.append(array)
        coefficients = np.concatenate(parts, axis=1)
        if not (np.isfinite(coefficients).all() and np.isfinite(to_image).all()):
            raise InputError("shape, expression or pose hold NaN or infinity")
        return coefficients, to_image

    def _landmarks(self, coefficients: NDArray[np.float64], affine: NDArray[np.float64]) -> NDArray[np.float64]:
        points = (coefficients @ self._landmark_basis.T).reshape(-1, 68, 3) + self._landmark_mean
        return points @ np.swapaxes(affine[:, :, :3], 1, 2) + affine[:, None, :, 3]

    def _evaluate(
        self, coefficients: NDArray[np.float64], to_crop: NDArray[np.float64], maps: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Fill the maps of at most `_BATCH` faces; return their smallest depths before the shift to 0."""
        n = len(coefficients)
        lanes = -(-n // LANES) * LANES
        padded = np.zeros((self._matrix.shape[1], lanes), np.float32)
        padded[:, :n] = coefficients.T
        offsets = (self._matrix @ padded).reshape(-1, 3, lanes)[:, :, :n]
        affine = to_crop.reshape(n, 12).T.astype(np.float32)
        depths = np.empty(n, np.float32)
        offsets = np.ascontiguousarray(offsets)
        affine = np.ascontiguousarray(affine)
        _kernels.smallest_depths(offsets, self.model.mean, affine, depths)
        affine[11] -= depths
        _kernels.interpolate_texels(
            offsets, self._texel_mean, self.atlas.vertices, self.atlas.weights, affine,
            np.empty((_BLOCK, 3, n), np.float32), maps.reshape(n, -1, 3),
        )  # fmt: skip
        return depths.astype(np.float64)
