"""`PositionMapper`: batches of model parameters to UV position maps."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import (
    MAX_SIDE,
    as_array,
    check_array,
    check_instance,
    finite64_array,
    float64_array,
    number_in,
    out_buffer,
)
from uvgen.errors import InputError
from uvgen.fixed_point import FixedPoint
from uvgen.geometry import crop_affine, pose_to_image
from uvgen.maps.atlas import UvAtlas, build_atlas, checked_size
from uvgen.maps.image_landmarks import LandmarkBasis
from uvgen.maps.labels import mirror_landmarks
from uvgen.maps.texel_products import BATCH, TexelProducts
from uvgen.models.morphable import MorphableModel
from uvgen.wording import count


class PositionMapper:
    """Makes UV position maps of one model at one resolution.

    The atlas is computed once, on creation; what mirrored faces need is computed for the first of them. Calls may come
    from several threads.

    Parameters
    ----------
    model : MorphableModel
        The face model.
    size : int
        Texels along each side of the maps, 16 to 4096.
    convention : {"exact", "face3d"}
        Pixel convention, see `uvgen.geometry.pose_to_image`.
    crop_size : int, optional
        The crops' side, px; needed for mirrored samples.

    Raises
    ------
    InputError
        If a size or `convention` is out of range.
    ModelError
        If the model's UV do not cover a texel.
    """

    def __init__(
        self, model: MorphableModel, size: int = 256, convention: str = "exact", *, crop_size: int | None = None
    ) -> None:
        self._size, self._convention = checked_size(size), convention
        self._crop_size = (
            None if crop_size is None else number_in(crop_size, "crop_size", 1, MAX_SIDE, "px", whole=True)
        )
        self._last_column = (self._crop_size or 0) - 1  # where it is -1, `_flips` lets no face be mirrored
        self._atlas = build_atlas(model, self._size, convention)
        self._model = model
        self._products = TexelProducts(model, self._atlas, convention)
        self._landmarks_alone = LandmarkBasis(model)

    def __repr__(self) -> str:
        crop = "" if self.crop_size is None else f", crop_size={self.crop_size}"
        return f"PositionMapper({self.model.name!r}, size={self.size}, convention={self.convention!r}{crop})"

    @property
    def model(self) -> MorphableModel:
        """The face model."""
        return self._model

    @property
    def size(self) -> int:
        """Texels along each side of the maps."""
        return self._size

    @property
    def convention(self) -> str:
        """The pixel convention."""
        return self._convention

    @property
    def crop_size(self) -> int | None:
        """The crops' side, px; None if faces cannot be mirrored."""
        return self._crop_size

    @property
    def atlas(self) -> UvAtlas:
        """Where each texel lies on the mesh."""
        return self._atlas

    @property
    def coverage(self) -> NDArray[np.bool_]:
        """(size, size) bool: texels inside the mesh or its closed mouth, not filled from neighbors."""
        return self.atlas.coverage

    def __call__(
        self,
        shape: ArrayLike,
        expression: ArrayLike,
        pose: ArrayLike,
        similarity: ArrayLike,
        image_height: ArrayLike,
        *,
        flipped: ArrayLike | None = None,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Position maps of a batch of faces.

        Parameters
        ----------
        shape, expression : (B, ks), (B, ke) float
            Parameters that multiply the bases directly.
        pose : (B, 7) float
            Pitch, yaw, roll (rad), tx, ty, tz (px), f (px/µm).
        similarity : (B, 3, 3) or (3, 3) float
            Image → crop.
        image_height : (B,) or scalar
            px.
        flipped : (B,) bool, optional
            Which samples are mirrored after `similarity`: x becomes ``crop_size - 1 - x``, and texels show the
            mirrored face (`uvgen.maps.mirror.mirrored_texels`). Needs a model with mirror pairs.
        out : (B, size, size, 3) float32, C-contiguous, optional
            Buffer to fill and return.

        Returns
        -------
        (B, size, size, 3) float32
            x, y, z of each texel in the crop frame, px; the smallest z over all vertices is 0. Values lie
            outside [0, size] where the face leaves the crop, and are not finite for a face whose parameters, pose or
            similarity are so large that float32 cannot hold it.

        Raises
        ------
        InputError
            If shapes do not agree, a value is not finite, an angle is beyond ±2π, f is not positive, or a sample is
            flipped and `crop_size` was not given.
        ModelError
            If a sample is flipped and the model does not say which vertices mirror each other.
        """
        return self.maps_and_landmarks(shape, expression, pose, similarity, image_height, flipped=flipped, out=out)[0]

    def maps_and_landmarks(
        self,
        shape: ArrayLike,
        expression: ArrayLike,
        pose: ArrayLike,
        similarity: ArrayLike,
        image_height: ArrayLike,
        *,
        flipped: ArrayLike | None = None,
        out: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Position maps as a call returns them, and the 68 landmarks (B, 68, 3) float32 in the same frame.

        If a sample is flipped, landmarks are those of the mirrored face: the left eye's are on the picture's left.
        """
        faces = self._checked(shape, expression, pose, image_height)
        out = out_buffer(out, (len(faces[0]), self.size, self.size, 3), np.float32)
        landmarks, _ = self._evaluate(*faces, similarity, flipped, out, None)
        return out, landmarks

    def maps_of_vertices(
        self, vertices: ArrayLike, *, flipped: ArrayLike | None = None, out: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Position maps and landmarks of faces whose vertices are in the crop already, whichever camera put them there.

        Parameters
        ----------
        vertices : (B, n, 3) float
            x, y, z of the model's n vertices in the crop frame, px, z toward the viewer from any origin.
        flipped : (B,) bool, optional
            As for a call: which faces are mirrored, their vertices being those of the crop before that.
        out : (B, size, size, 3) float32, C-contiguous, optional
            Buffer to fill and return.

        Returns
        -------
        maps : (B, size, size, 3) float32
            x, y, z of each texel; the smallest z over all vertices is 0.
        landmarks : (B, 68, 3) float32

        Raises
        ------
        InputError
            If the shape is wrong, a value is not finite, or a face is flipped and `crop_size` was not given.
        ModelError
            If a face is flipped and the model does not say which vertices mirror each other.
        """
        points = finite64_array(vertices, "vertices", ("B", self.model.n_vertices, 3), note=f"of {self.model.name}")
        out = out_buffer(out, (len(points), self.size, self.size, 3), np.float32)
        landmarks = np.empty((len(points), 68, 3), np.float32)
        flips = self._flips(flipped, len(points))
        for k, face in enumerate(points):
            shifted = face - [0, 0, face[:, 2].min(initial=np.inf)]
            landmarks[k] = shifted[self.model.landmarks]
            if flips[k]:
                shifted[:, 0] = self._last_column - shifted[:, 0]
            texels = self._products.mirrored_atlas if flips[k] else self.atlas
            out[k] = texels.interpolate(shifted.astype(np.float32))
        return out, self._mirror_landmarks(landmarks, flips)

    def codes_and_landmarks(
        self,
        shape: ArrayLike,
        expression: ArrayLike,
        pose: ArrayLike,
        similarity: ArrayLike,
        image_height: ArrayLike,
        fixed_point: FixedPoint,
        *,
        flipped: ArrayLike | None = None,
        out: NDArray[np.uint16] | None = None,
    ) -> tuple[NDArray[np.uint16], NDArray[np.float32], NDArray[np.bool_]]:
        """Position maps as 16-bit codes, without a float32 map in between.

        Parameters
        ----------
        shape, expression, pose, similarity, image_height
            As for a call.
        fixed_point : FixedPoint
            What the codes mean.
        flipped : (B,) bool, optional
            As for a call.
        out : (B, size, size, 3) uint16, C-contiguous, optional
            Buffer to fill and return.

        Returns
        -------
        codes : (B, size, size, 3) uint16
            Nearest codes.
        landmarks : (B, 68, 3) float32
            In the crop frame, px.
        in_range : (B,) bool
            False for faces with a value that no code stands for; their codes mean nothing.

        Raises
        ------
        InputError
            If shapes do not agree, a value is not finite, an angle is beyond ±2π, or f is not positive.
        """
        check_instance(fixed_point, "fixed_point", FixedPoint, "FixedPoint.for_crop(crop_size)")
        faces = self._checked(shape, expression, pose, image_height)
        out = out_buffer(out, (len(faces[0]), self.size, self.size, 3), np.uint16)
        landmarks, in_range = self._evaluate(*faces, similarity, flipped, out, fixed_point)
        return out, landmarks, in_range

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
            If shapes do not agree, a value is not finite, an angle is beyond ±2π, or f is not positive.
        """
        return self._landmarks(*self._checked(shape, expression, pose, image_height))

    def crop_landmarks(
        self,
        shape: ArrayLike,
        expression: ArrayLike,
        pose: ArrayLike,
        similarity: ArrayLike,
        image_height: ArrayLike,
        *,
        flipped: ArrayLike | None = None,
    ) -> NDArray[np.float32]:
        """The 68 landmarks (B, 68, 3) float32 of `maps_and_landmarks`, without the maps."""
        coefficients, to_image = self._checked(shape, expression, pose, image_height)
        to_crop = self._to_crop(to_image, similarity)
        landmarks = self._landmarks(coefficients, to_crop)
        landmarks[:, :, 2] -= self._products.smallest_depths(coefficients, to_crop)[:, None]
        return self._mirror_landmarks(landmarks.astype(np.float32), self._flips(flipped, len(landmarks)))

    def crop_vertices(
        self,
        shape: ArrayLike,
        expression: ArrayLike,
        pose: ArrayLike,
        similarity: ArrayLike,
        image_height: ArrayLike,
        *,
        flipped: ArrayLike | None = None,
    ) -> NDArray[np.float32]:
        """Where each of the model's n vertices is in the crop: (B, n, 3) float32, px, in the frame of the maps.

        Arguments and errors are those of a call. If a sample is flipped, x is mirrored; the vertices stay in their
        order, so that vertex i is where its own mirror image is.
        """
        coefficients, to_image = self._checked(shape, expression, pose, image_height)
        n = len(coefficients)
        to_crop, flips = self._to_crop(to_image, similarity), self._flips(flipped, n)
        to_crop[flips, 0] *= -1
        to_crop[flips, 0, 3] += self._last_column
        out = np.empty((n, self.model.n_vertices, 3), np.float32)
        for first in range(0, n, BATCH):
            part = slice(first, first + BATCH)
            self._products.place_vertices(coefficients[part], to_crop[part], out[part])
        return out

    def _to_crop(self, to_image: NDArray[np.float64], similarity: ArrayLike) -> NDArray[np.float64]:
        n = len(to_image)
        matrices = float64_array(similarity, "similarity", (n, 3, 3), (3, 3))
        return crop_affine(to_image, np.broadcast_to(matrices, (n, 3, 3)))

    def _flips(self, flipped: ArrayLike | None, n: int) -> NDArray[np.bool_]:
        """(n,) which samples are mirrored."""
        if flipped is None:
            return np.zeros(n, bool)
        flips = as_array(flipped, "flipped")
        check_array(flips, "flipped", (n,), kind="bool", note="whether each sample is mirrored")
        if flips.any() and self.crop_size is None:
            raise InputError("flipped: this mapper cannot mirror, expected none; make it with crop_size")
        return flips

    def _mirror_landmarks(self, landmarks: NDArray[np.float32], flips: NDArray[np.bool_]) -> NDArray[np.float32]:
        for k in np.flatnonzero(flips):
            landmarks[k] = mirror_landmarks(landmarks[k], self._last_column + 1)
        return landmarks

    def _checked(
        self, shape: ArrayLike, expression: ArrayLike, pose: ArrayLike, image_height: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Joint coefficients (B, ks + ke) and model → image maps (B, 3, 4)."""
        coefficients = finite64_array(shape, "shape"), finite64_array(expression, "expression")
        poses = finite64_array(pose, "pose")
        to_image = pose_to_image(poses, image_height, self.convention)
        _check_pose(poses)
        sizes = ("shape", self.model.n_shape), ("expression", self.model.n_expression)
        for array, (name, n) in zip(coefficients, sizes, strict=True):
            check_array(array, name, (len(to_image), n), note=f"{count(n, 'component')} of {self.model.name}")
        return np.concatenate(coefficients, axis=1), to_image

    def _landmarks(self, coefficients: NDArray[np.float64], affine: NDArray[np.float64]) -> NDArray[np.float64]:
        points = self._landmarks_alone.points(coefficients)
        return points @ np.swapaxes(affine[:, :, :3], 1, 2) + affine[:, None, :, 3]

    def _evaluate(
        self,
        coefficients: NDArray[np.float64],
        to_image: NDArray[np.float64],
        similarity: ArrayLike,
        flipped: ArrayLike | None,
        maps: NDArray[Any],
        fixed_point: FixedPoint | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Fill `maps`; return landmarks in the crop frame and which faces' codes are in range."""
        n = len(coefficients)
        to_crop, flips = self._to_crop(to_image, similarity), self._flips(flipped, n)
        landmarks = self._landmarks(coefficients, to_crop)
        in_range = np.ones(n, bool)
        for mirrored in (False, True):
            which = np.flatnonzero(flips == mirrored)
            if not len(which):
                continue
            if mirrored:
                to_crop[which, 0] *= -1
                to_crop[which, 0, 3] += self._last_column
            for first in range(0, len(which), BATCH):
                part: Any = which[first : first + BATCH]
                together = part[-1] - part[0] < len(part)
                if together:
                    part = slice(part[0], part[-1] + 1)
                target = maps[part]  # a copy if they do not lie side by side
                depths, in_range[part] = self._products.fill(
                    coefficients[part], to_crop[part], mirrored, target, fixed_point
                )
                if not together:
                    maps[part] = target
                landmarks[part, :, 2] -= depths[:, None]
        return self._mirror_landmarks(landmarks.astype(np.float32), flips), in_range


def _check_pose(pose: NDArray[np.float64]) -> None:
    """Raise InputError if a pose (B, 7) has a scale or angle that no fit gives."""
    if (pose[:, 6] <= 0).any():
        k = int(np.flatnonzero(pose[:, 6] <= 0)[0])
        raise InputError(f"pose: f is {pose[k, 6]:.4g} px/µm in row {k}, expected more than 0")
    if (np.abs(pose[:, :3]) > 2 * np.pi).any():
        k = int(np.flatnonzero((np.abs(pose[:, :3]) > 2 * np.pi).any(axis=1))[0])
        raise InputError(f"pose: angles {pose[k, :3].round(4).tolist()} in row {k}, expected radians of -2π to 2π")
