"""Face profiling: a photograph's face turned out of the plane, with its own texture, and the picture around it bent.

    image, turned = turn_face(photograph, read_annotation(sample), model, yaw_deg=40)

300W-LP was made so (Zhu et al., Face Alignment Across Large Poses: A 3D Solution, CVPR 2016, section 4). The mesh of
the fitted parameters is drawn in its new pose; each of its points has the color that the photograph shows where the
point was. Labels stay exact: those of the turned picture are made of the changed parameters. `turner.py` draws,
`background.py` makes the mesh of what is around, `profile_mesh.py` holds what depends on the model alone.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.augment.profile_mesh import profile_mesh
from uvgen.augment.turner import FaceTurner, coefficients_of
from uvgen.checks import check_bytes, check_finite, float64_array, number_in
from uvgen.errors import InputError
from uvgen.geometry import face_angles, pose_to_image, rotation_matrices
from uvgen.models.morphable import MorphableModel
from uvgen.samples.read import Annotation

MOST_DEG = 90.0
"""Largest yaw or pitch of a turned face, either way."""


def turn_face(
    image: NDArray[np.uint8],
    parameters: Annotation,
    model: MorphableModel,
    yaw_deg: float = 0.0,
    pitch_deg: float = 0.0,
    *,
    unseen: str = "mirror",
) -> tuple[NDArray[np.uint8], Annotation]:
    """Turn a photograph's face out of the plane (face profiling), and bend what is around it.

    Parameters
    ----------
    image : (h, w, 3) uint8
        The whole photograph, RGB.
    parameters : Annotation
        Parameters of the face in it, as `uvgen.read_annotation` reads them; `Annotation(shape, expression, pose, None)`
        of others.
    model : MorphableModel
        The parameters'.
    yaw_deg, pitch_deg : float
        Angles that are added to the pose's yaw and pitch, degrees. The center of the face's vertices stays where it is.
    unseen : {"mirror", "mark"}
        What parts of the face show that the photograph does not: the other half of the face, as far as the photograph
        shows that, or gray (128).

    Returns
    -------
    image : (h, w, 3) uint8
        The turned picture; without a turn, a copy of the photograph.
    parameters : Annotation
        Those of the turned face, whose pose has changed. Annotated landmarks keep their distance from the model's;
        AFLW's 21 are left out.

    Raises
    ------
    InputError
        If shapes do not agree, a value is not finite, f is not positive, the face would be turned by more than
        90° (unless the photograph's is), the face lies outside the image, or there is no such `unseen`.
    ModelError
        If colors are to be mirrored and the model does not say which vertices mirror each other.

    Notes
    -----
    Yaw is in `Pose_Para`'s sense: the face turns to the picture's left where it grows. Other faces in the photograph
    count as background; those far from this one, in face sizes, stay as they are, and can be turned in another call.

    Examples
    --------
    >>> turned, annotation = uvgen.augment.turn_face(image, uvgen.read_annotation(sample), model, yaw_deg=40)
    """
    turner = FaceTurner(model, unseen)
    pose = turned_pose(model, parameters, yaw_deg, pitch_deg)
    check_bytes(image, "image", ("h", "w", 3))
    if np.array_equal(pose, parameters.pose):
        return image.copy(), parameters
    (vertices,) = turner.vertices([parameters])
    turned = turner.turn(image, vertices, parameters.pose, pose)
    return turned.image, turned_annotation(parameters, pose, vertices[model.landmarks], image.shape[0])


def turned_pose(model: MorphableModel, parameters: Annotation, yaw_deg: float, pitch_deg: float) -> NDArray[np.float32]:
    """The pose (7,) of a face whose yaw and pitch grow, the middle of its vertices staying where it is.

    Raises InputError if it would be turned by more than 90°, or a value is bad; see `turn_face`.
    """
    coefficients = coefficients_of(model, parameters)
    pose = float64_array(parameters.pose, "pose", (7,), note="pitch, yaw, roll, tx, ty, tz, f")
    check_finite(pose, "pose")
    if not pose[6] > 0:
        raise InputError(f"pose: f is {pose[6]:.4g} px/µm, expected more than 0")
    moved = pose.copy()
    moved[:3] = face_angles(pose)
    for axis, name, degrees in ((0, "pitch_deg", pitch_deg), (1, "yaw_deg", yaw_deg)):
        number_in(degrees, name, -2 * MOST_DEG, 2 * MOST_DEG, "degrees")
        was_deg = math.degrees(moved[axis])
        moved[axis] += math.radians(degrees)
        is_deg = math.degrees(moved[axis])
        if abs(is_deg) > max(MOST_DEG, abs(was_deg)) + 1e-4:
            raise InputError(
                f"{name}: {degrees:g} turns a face at {was_deg:.1f}° to {is_deg:.1f}°, expected {MOST_DEG:g}° at most "
                "either way; see uvgen.augment.profile.possible_turn"
            )
    if not yaw_deg and not pitch_deg:
        return np.asarray(parameters.pose, np.float32)
    center = profile_mesh(model).center @ np.concatenate([[1], coefficients])
    before, after = rotation_matrices([pose[:3], moved[:3]])
    moved[3:6] += pose[6] * (before - after) @ center
    return moved.astype(np.float32)


def possible_turn(pose: ArrayLike, yaw_deg: float, pitch_deg: float) -> tuple[float, float]:
    """The nearest yaw and pitch, degrees, by which a face can be turned: to 90° in all, or as far as it is already."""
    angles = np.rad2deg(face_angles(pose)[[1, 0]])
    most = np.maximum(MOST_DEG, np.abs(angles))
    yaw, pitch = np.clip([yaw_deg, pitch_deg], -most - angles, most - angles)
    return float(yaw), float(pitch)


def turned_annotation(
    parameters: Annotation, pose: NDArray[np.float32], landmarks: NDArray[np.float32], image_height: int
) -> Annotation:
    """An annotation with another pose; annotated points keep their distance from the landmarks (68, 3), model frame."""
    before, after = pose_to_image(np.stack([np.asarray(parameters.pose, np.float64), pose]), image_height)
    shift = landmarks @ (after - before)[:, :3].T + (after - before)[:, 3]
    two, three = parameters.landmarks_2d, parameters.landmarks_3d
    return replace(
        parameters,
        pose=pose,
        landmarks_2d=None if two is None else two + shift[:, :2],
        landmarks_3d=None if three is None else three + shift,
        landmarks_21=None,
    )
