"""What a position map says of a face: its mesh, its landmarks, its pose. For maps of data sets and of networks alike.

All three keep the map's frame: `uvgen.geometry.crop_to_image` brings a map, or what is read from it, to the image.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import as_array, check_array, check_finite, check_tensor, choice, float64_array, frozen, is_tensor
from uvgen.described import described
from uvgen.errors import InputError
from uvgen.geometry import affine_to_pose
from uvgen.maps.atlas import build_atlas
from uvgen.maps.landmarks import landmark_weights, read_landmarks
from uvgen.maps.masks import face_mask
from uvgen.maps.memo import once_per_model
from uvgen.meshes.grid import mesh_from_map
from uvgen.models.morphable import MorphableModel
from uvgen.similarity import align_points

PARTS = ("face", "covered", "all")
"""Texels of a map: those of the face without neck and border, those that lie on the mesh, all."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadPose:
    """The pose of a head: the similarity transform that moves the model's mean face nearest to the face.

    Attributes
    ----------
    angles_rad : (3,) float64
        Pitch, yaw, roll, as `Pose_Para` has them: the rotation is ``Rx(pitch) @ Ry(yaw) @ Rz(roll)`` with y up.
    scale : float
        px/µm.
    affine : (3, 4) float64
        ``[A | b]``: the mean face's points in the model frame, µm, go to ``A @ point + b``, px of the map's frame, y
        down.
    residual_px : float
        Root mean square distance of the face from the mean face there: the effect of shape, of expression, and of a
        network's errors.
    """

    angles_rad: NDArray[np.float64]
    scale: float
    affine: NDArray[np.float64]
    residual_px: float

    __repr__ = described

    def parameters(self, image_height: float, convention: str = "exact") -> NDArray[np.float64]:
        """The pose as `Pose_Para` has it, (7,): pitch, yaw, roll (rad), tx, ty, tz (px), f (px/µm), if the map's frame
        is that of an image of this height, px; `convention` as for `uvgen.geometry.pose_to_image`."""
        pose: NDArray[np.float64] = affine_to_pose(self.affine[None], image_height, convention)[0]
        return pose


def map_to_mesh(
    position_map: ArrayLike, model: MorphableModel, part: str = "face"
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float64]]:
    """A position map as a mesh, whose vertices are texels.

    Parameters
    ----------
    position_map : (U, U, 3) float
        x, y, z, px of any frame.
    model : MorphableModel
        The one that the map's UV are of; it says which texels are the face's.
    part : {"face", "covered", "all"}
        Texels to take: without neck and border, as PRNet does; all that lie on the mesh; all.

    Returns
    -------
    vertices : (n, 3) float32
        In the map's frame; the same texels in the same order for each map.
    triangles : (m, 3) int32
    uv : (n, 2) float64
        u right, v up, in [0, 1]. All three as `uvgen.rasterize.write_obj` takes them.

    Raises
    ------
    InputError
        If the map has another shape or is not finite in that part, or `part` is unknown.
    """
    choice(part, "part", PARTS)
    values = _checked(position_map)
    size = len(values)
    mask = None if part == "all" else _face(model, size) if part == "face" else build_atlas(model, size).coverage
    check_finite(values if mask is None else values[mask], "position_map")
    return mesh_from_map(values, mask)


def map_to_landmarks(position_map: Any, model: MorphableModel) -> Any:
    """The 68 landmarks of position maps: `uvgen.read_landmarks` with the weights of a model.

    Parameters
    ----------
    position_map : (..., U, U, 3) or (..., 3, U, U) float
        NumPy arrays or PyTorch tensors, px of any frame.
    model : MorphableModel
        The one that the maps' UV are of.

    Returns
    -------
    (..., 68, 3) float
        In the maps' frame.

    Raises
    ------
    InputError
        If the maps have another shape, are not floats, or are arrays that are not finite at the landmarks. Those of
        tensors are then NaN: to look would be to wait for the device.
    """
    array = position_map if hasattr(position_map, "dtype") else as_array(position_map, "position_map")
    if is_tensor(array):
        check_tensor(array, "position_map")
    check_array(array, "position_map", (..., "U", "U", 3), (..., 3, "U", "U"))
    with np.errstate(invalid="ignore"):
        found = read_landmarks(array, landmark_weights(model, array.shape[-2]))
    if not is_tensor(found):
        check_finite(found, "position_map's landmarks")
    return found


def map_to_pose(position_map: ArrayLike, model: MorphableModel) -> HeadPose:
    """The similarity transform that moves the model's mean face nearest to a face, and its angles.

    Parameters
    ----------
    position_map : (U, U, 3) float
        px, image or crop frame: y down.
    model : MorphableModel
        The one that the map's UV are of.

    Returns
    -------
    HeadPose
        In the map's frame. A crop that was not turned has the angles of its image.

    Raises
    ------
    InputError
        If the map has another shape, is not finite, or its face is a point.

    Notes
    -----
    As PRNet's `estimate_pose` does with its `canonical_vertices.npy`: corresponding face texels of map and mean face,
    the rotation by singular values (Kabsch), the scale the ratio of the root mean square distances from the means. The
    shift takes one mean to the other (PRNet's `P` neglects that the rotation also turns the mean).

    It is a pose of the surface, not the parameter that the map was made with: what shape and expression do to
    all of the face, such as a jaw that drops or a longer nose, is read as a rotation in part. For the mean face it is
    exact. docs/inference.md has what was measured.
    """
    values = _checked(position_map)
    points = values[_face(model, len(values))]
    check_finite(points, "position_map")
    return _pose(_canonical(model, len(values)), points.astype(np.float64), "position_map")


def landmarks_to_pose(landmarks: ArrayLike, model: MorphableModel) -> HeadPose:
    """`map_to_pose` of 68 landmarks (68, 3), px, of which there are fewer: expressions turn it more."""
    points = float64_array(landmarks, "landmarks", (68, 3))
    check_finite(points, "landmarks")
    return _pose(model.mean[model.landmarks].astype(np.float64), points, "landmarks")


def _checked(position_map: ArrayLike) -> NDArray[np.float32]:
    values = as_array(position_map, "position_map")
    check_array(values, "position_map", (-1, len(values) if values.ndim else -1, 3), kind="real numbers", note="px")
    with np.errstate(over="ignore"):  # infinity is refused where it matters
        return values.astype(np.float32, copy=False)


@once_per_model
def _canonical(model: MorphableModel, size: int) -> NDArray[np.float64]:
    """(n, 3) the mean face at the face's texels, model frame."""
    mean = build_atlas(model, size).interpolate(model.mean.astype(np.float32))
    return frozen(mean[_face(model, size)], np.float64)


@once_per_model
def _face(model: MorphableModel, size: int) -> NDArray[np.bool_]:
    return frozen(face_mask(model, size), np.bool_)


def _pose(canonical: NDArray[np.float64], points: NDArray[np.float64], name: str) -> HeadPose:
    """Of points (n, 3) with y down; `canonical` (n, 3) has y up."""
    down = np.array([1.0, -1.0, 1.0])
    middle, mean = points.mean(axis=0), canonical.mean(axis=0)
    there, here = (points - middle) * down, canonical - mean
    with np.errstate(over="ignore"):
        spread = float(np.sqrt((there**2).sum(axis=1).mean()))
    if not spread > 0:
        raise InputError(f"{name}: all of the face is in one point, expected a face, px")
    if not spread < np.inf:
        raise InputError(f"{name}: squares of its points overflow, expected a face, px")
    rotation = align_points(canonical, points * down, scaled=False).rotation  # also of a flat or a mirrored face
    scale = spread / float(np.sqrt((here**2).sum(axis=1).mean()))
    matrix = scale * rotation * down[:, None]
    affine = np.concatenate([matrix, (middle - matrix @ mean)[:, None]], axis=1)
    off = canonical @ matrix.T + affine[:, 3] - points
    angles = affine_to_pose(affine[None], 0)[0, :3]
    return HeadPose(angles, scale, affine, float(np.sqrt((off**2).sum(axis=1).mean())))
