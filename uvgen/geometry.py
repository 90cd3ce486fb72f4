"""Rotations, poses and similarities: from model space to the pixels of an image or a crop.

Frames (all right-handed or image-like as said, units in px unless noted):

model    x to the image's right, y up, z toward the viewer, in µm
dataset  300W-LP's MATLAB frame: x right, y up from the image's bottom edge, 1-based pixels
image    pixel centers at integers, first pixel (0, 0), x right, y down, z toward the viewer
crop     the image frame after the crop's similarity, z scaled alike

Functions take real numbers of any type, lists too, and calculate in float64.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import as_array, check_array, check_finite, choice, float64_array
from uvgen.errors import InputError

CONVENTIONS = ("exact", "face3d")
"""Pixel conventions: the exact one, or that of face3d's labels."""

LANDMARK_MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37]
    + [36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)
"""(68,) index of the iBUG landmark that each landmark becomes when the image is mirrored."""
LANDMARK_MIRROR.setflags(write=False)

N_JAW = 17
"""Number of iBUG landmarks along the jaw, 0 to 16. They mark the outline of the face in its image, no fixed points."""

INNER = slice(N_JAW, 68)
"""The other iBUG landmarks, which mark the same points of the face in every image."""

AFLW_MIRROR = np.array([5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 16, 15, 14, 13, 12, 19, 18, 17, 20])
"""(21,) index of the AFLW landmark that each becomes when the image is mirrored: 3DMMasSTN's syncFlippedLandmarks.m."""
AFLW_MIRROR.setflags(write=False)


def check_convention(convention: str) -> None:
    """Raise InputError if there is no such pixel convention."""
    choice(convention, "convention", CONVENTIONS)


def rotation_matrices(angles_rad: ArrayLike) -> NDArray[np.float64]:
    """Rotations of 300W-LP poses: ``Rx(pitch) @ Ry(yaw) @ Rz(roll)``.

    Parameters
    ----------
    angles_rad : (B, 3) float
        Pitch, yaw and roll in radians, as `Pose_Para` holds them.

    Returns
    -------
    (B, 3, 3) float64
        Rotation matrices; the signs are those of 3DDFA's MATLAB code (Zhu et al., CVPR 2016).

    Raises
    ------
    InputError
        If the shape is not (B, 3), or these are not real numbers.
    """
    angles = float64_array(angles_rad, "angles_rad", ("B", 3), note="pitch, yaw, roll")
    rows = _rotation_rows(*np.sin(angles.T), *np.cos(angles.T))
    return np.ascontiguousarray(np.moveaxis(np.array(rows), -1, 0))  # so that products do not depend on B


def _rotation_rows(sp: Any, sy: Any, sr: Any, cp: Any, cy: Any, cr: Any) -> list[list[Any]]:
    """Rx(pitch) @ Ry(yaw) @ Rz(roll) of the sines and cosines of pitch, yaw and roll, numbers or arrays."""
    return [
        [cy * cr, cy * sr, -sy],
        [sp * sy * cr - cp * sr, sp * sy * sr + cp * cr, sp * cy],
        [cp * sy * cr + sp * sr, cp * sy * sr - sp * cr, cp * cy],
    ]


def rotations_about(axes_rad: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rotation matrices of axis-angle vectors, by Rodrigues' formula.

    Parameters
    ----------
    axes_rad : (B, 3) float
        Axes times angles, radians; not checked.

    Returns
    -------
    (B, 3, 3) float64
    """
    angle = np.linalg.norm(axes_rad, axis=1)[:, None, None]
    x, y, z = axes_rad.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    sine, versine = np.sinc(angle / np.pi), 0.5 * np.sinc(angle / (2 * np.pi)) ** 2  # over the angle, and its square
    matrices: NDArray[np.float64] = np.eye(3) + sine * cross + versine * (cross @ cross)
    return matrices


def pose_to_image(pose: ArrayLike, image_height: ArrayLike, convention: str = "exact") -> NDArray[np.float64]:
    """Affine maps that take model points to the image frame.

    Parameters
    ----------
    pose : (B, 7) float
        Pitch, yaw, roll (radians), tx, ty, tz (px), f (px/µm), as `Pose_Para` holds them.
    image_height : (B,) or scalar
        Height of each sample's image, px; the dataset frame counts y from the bottom.
    convention : {"exact", "face3d"}
        "exact" puts a point where the annotators marked it. ``"face3d"`` reproduces face3d's labels, which lie
        one pixel to the right and one up of it.

    Returns
    -------
    (B, 3, 4) float64
        ``[A | b]`` with ``image point = A @ model point + b``.

    Raises
    ------
    InputError
        If shapes do not agree, arguments are not real numbers, or `convention` is unknown.
    """
    check_convention(convention)
    pose = float64_array(pose, "pose", ("B", 7), note="pitch, yaw, roll, tx, ty, tz, f")
    height = float64_array(image_height, "image_height", (), (len(pose),), note="one height, or one per pose")
    affine = np.empty((len(pose), 3, 4))
    affine[:, :, :3] = rotation_matrices(pose[:, :3]) * pose[:, 6, None, None]
    affine[:, :, 3] = pose[:, 3:6]
    affine[:, 1] *= -1  # y down; the bottom edge is y = 0 in the dataset frame
    if convention == "exact":  # MATLAB's first pixel is 1: (p_x - 1, H - p_y)
        affine[:, 0, 3] -= 1
        affine[:, 1, 3] += height
    else:  # face3d: (p_x, H - p_y - 1)
        affine[:, 1, 3] += height - 1
    return affine


def image_affine(pose: ArrayLike, image_height: int) -> NDArray[np.float64]:
    """(3, 4): `pose_to_image` of one pose (7,), in the "exact" convention, in a fifth of the time.

    Raises InputError if the shape is not (7,), or these are not real numbers, or not finite.
    """
    values = float64_array(pose, "pose", (7,))
    pitch, yaw, roll, tx, ty, tz, f = numbers = values.tolist()
    if not all(map(math.isfinite, numbers)):
        check_finite(values, "pose")
    sines, cosines = ([function(angle) for angle in (pitch, yaw, roll)] for function in (math.sin, math.cos))
    (a, b, c), (d, e, g), (h, i, j) = _rotation_rows(*sines, *cosines)
    return np.array(
        [
            [f * a, f * b, f * c, tx - 1],
            [-f * d, -f * e, -f * g, image_height - ty],
            [f * h, f * i, f * j, tz],
        ]
    )


def affine_to_pose(affine: ArrayLike, image_height: ArrayLike, convention: str = "exact") -> NDArray[np.float64]:
    """The poses whose maps into the image frame these are: the way back from `pose_to_image`.

    Parameters
    ----------
    affine : (B, 3, 4) float
        ``[A | b]``, A a rotation times a scale, with the y axis turned downward.
    image_height : (B,) or scalar
        px.
    convention : {"exact", "face3d"}
        As for `pose_to_image`.

    Returns
    -------
    (B, 7) float64
        Pitch, yaw, roll (rad), tx, ty, tz (px), f (px/µm); the yaw lies in [-π/2, π/2].

    Raises
    ------
    InputError
        If shapes do not agree, arguments are not real numbers, or `convention` is unknown.
    """
    check_convention(convention)
    affine = float64_array(affine, "affine", ("B", 3, 4))
    height = float64_array(image_height, "image_height", (), (len(affine),), note="one height, or one per pose")
    scale = np.cbrt(np.abs(np.linalg.det(affine[:, :, :3])))
    rotation = affine[:, :, :3] * [[[1.0], [-1.0], [1.0]]] / scale[:, None, None]
    cosine = np.hypot(rotation[:, 0, 0], rotation[:, 0, 1])  # of the yaw
    locked = cosine < 1e-9  # a profile: pitch and roll turn about the same axis
    pose = np.empty((len(affine), 7))
    pose[:, 0] = np.where(
        locked,
        np.arctan2(-rotation[:, 2, 1], rotation[:, 1, 1]),
        np.arctan2(rotation[:, 1, 2], rotation[:, 2, 2]),
    )
    pose[:, 1] = np.arctan2(-rotation[:, 0, 2], cosine)
    pose[:, 2] = np.where(locked, 0, np.arctan2(rotation[:, 0, 1], rotation[:, 0, 0]))
    exact = convention == "exact"
    pose[:, 3] = affine[:, 0, 3] + (1 if exact else 0)
    pose[:, 4] = height - affine[:, 1, 3] - (0 if exact else 1)
    pose[:, 5], pose[:, 6] = affine[:, 2, 3], scale
    return pose


def crop_affine(affine: ArrayLike, similarity: ArrayLike) -> NDArray[np.float64]:
    """Follow affine maps into an image by similarities that take the image to a crop; z scales alike.

    Parameters
    ----------
    affine : (B, 3, 4) float
        Maps into the image frame, as `pose_to_image` returns them.
    similarity : (B, 3, 3) or (3, 3) float
        Image → crop, homogeneous 2D similarities, px.

    Returns
    -------
    (B, 3, 4) float64
        Maps into the crop frame, before the shift of z that puts the smallest depth at 0.

    Raises
    ------
    InputError
        If shapes do not agree, arguments are not real numbers, or a matrix is not a proper similarity (last row, shear,
        mirror or zero scale).
    """
    affine = float64_array(affine, "affine", ("B", 3, 4))
    similarity = float64_array(similarity, "similarity", (len(affine), 3, 3), (1, 3, 3), (3, 3))
    scale = similarity_scale(similarity)
    result = np.empty_like(affine)
    result[:, :2] = similarity[..., :2, :2] @ affine[:, :2]
    result[:, :2, 3] += similarity[..., :2, 2]
    result[:, 2] = affine[:, 2] * scale[..., None]
    return result


def similarity_scale(similarity: ArrayLike) -> NDArray[np.float64]:
    """Scale factor of 2D similarities.

    Parameters
    ----------
    similarity : (..., 3, 3) float
        Homogeneous matrices.

    Returns
    -------
    (...) float64
        Positive scale factors.

    Raises
    ------
    InputError
        If a matrix shears, mirrors, collapses, is projective or holds NaN or infinity, or the shape is another.
    """
    similarity = float64_array(similarity, "similarity")
    if similarity.shape == (3, 3):  # plain numbers are several times faster than arrays of one
        (a, b, x), (c, d, y), last = similarity.tolist()
        one = math.sqrt(abs(a * d - b * c))
        alike = abs(a - d) <= 1e-6 * one and abs(b + c) <= 1e-6 * one and last == [0, 0, 1]
        if alike and 0 < one < math.inf and x - x == 0 == y - y:  # finite
            return np.float64(one)  # type: ignore[return-value]
    check_array(similarity, "similarity", (..., 3, 3))
    a, b = similarity[..., 0, 0], similarity[..., 0, 1]
    c, d = similarity[..., 1, 0], similarity[..., 1, 1]
    with np.errstate(over="ignore", invalid="ignore"):  # of what is refused
        scale = np.sqrt(np.abs(a * d - b * c))
        tolerance = 1e-6 * scale
        is_similarity = (np.abs(a - d) <= tolerance) & (np.abs(b + c) <= tolerance) & (scale > 0) & (scale < np.inf)
    is_affine = np.all(similarity[..., 2, :] == (0, 0, 1), axis=-1)
    good = is_similarity & is_affine & np.isfinite(similarity[..., :2, 2]).all(axis=-1)
    if not np.all(good):
        first = similarity[~good][0] if similarity.ndim > 2 else similarity
        found = " ".join(np.array2string(first, precision=4, separator=", ").split())
        raise InputError(
            f"similarity: {found}, expected rotation, uniform scale and shift, [[a, -b, x], [b, a, y], [0, 0, 1]]"
        )
    return scale


def face_angles(pose: ArrayLike) -> NDArray[np.float64]:
    """Pitch, yaw and roll (..., 3), rad, of poses (..., 3 or more), such that no pitch is beyond a quarter turn.

    Each rotation has two such triples, of which a face that is turned by 18° may state the other: a yaw of 162°, and
    pitch and roll of 180°. Whole turns are taken off pitch and yaw.
    """
    angles = np.array(np.asarray(pose, np.float64)[..., :3])
    with np.errstate(invalid="ignore"):
        angles[..., :2] -= 2 * np.pi * np.round(angles[..., :2] / (2 * np.pi))
        other = np.abs(angles[..., 0]) > np.pi / 2
        pitch, yaw, roll = np.moveaxis(angles, -1, 0)
        swapped = np.stack([pitch - np.copysign(np.pi, pitch), np.copysign(np.pi, yaw) - yaw, roll - np.pi], axis=-1)
    found: NDArray[np.float64] = np.where(other[..., None], swapped, angles)
    return found


def wrapped_deg(angles_deg: ArrayLike) -> NDArray[np.float64]:
    """Angles (...,) in degrees as the same angles from -180 to below 180; NaN and infinity become NaN."""
    with np.errstate(invalid="ignore"):
        wrapped: NDArray[np.float64] = (np.asarray(angles_deg, np.float64) + 180) % 360 - 180
    return wrapped


def transform_points(points: ArrayLike, similarity: ArrayLike) -> NDArray[np.float64]:
    """Apply 2D similarities to points; z, if there is one, scales alike.

    Parameters
    ----------
    points : (..., n, 2) or (..., n, 3) float
        Points, px.
    similarity : (..., 3, 3) float
        Homogeneous similarities.

    Returns
    -------
    float64, the shape of `points`
        Moved points, px.

    Raises
    ------
    InputError
        If shapes do not agree, arguments are not real numbers, or a matrix is not a proper similarity.
    """
    points, similarity = float64_array(points, "points"), float64_array(similarity, "similarity")
    if points.ndim < 2 or points.shape[-1] not in (2, 3):
        check_array(points, "points", (..., "n", 2), (..., "n", 3))
    scale = similarity_scale(similarity)
    try:
        with np.errstate(invalid="ignore", over="ignore"):  # of points that are infinite or at float64's end
            moved = points[..., :2] @ np.swapaxes(similarity[..., :2, :2], -1, -2) + similarity[..., None, :2, 2]
    except ValueError:  # asked beforehand, this would take half of the function's time
        wanted = f"(3, 3) or one per set of points {points.shape}"
        raise InputError(f"similarity: float64 {similarity.shape}, expected {wanted}") from None
    if points.shape[-1] == 3:
        moved = np.concatenate([moved, points[..., 2:] * scale[..., None, None]], axis=-1)
    return moved


def crop_to_image(points: ArrayLike, similarity: ArrayLike) -> NDArray[np.floating[Any]]:
    """Transform a network's output (maps, landmarks or vertices) from a crop to the image that the crop was taken from.

    Parameters
    ----------
    points : (..., 2) or (..., 3) float
        Crop frame, px: a position map (U, U, 3), landmarks (68, 2|3), vertices (n, 3), or a batch of B of these.
    similarity : (3, 3) or (B, 3, 3) float
        Image → crop, as the crop was made with: `crop_similarity`, `crop_from_box` and the others return it, and data
        sets store it as `image_to_crop`. With B of them, the first axis of `points` has length B.

    Returns
    -------
    (..., 2) or (..., 3) float32 or float64
        Image frame, px; float32 if the points are of float32 or less. z is divided by the similarity's scale, as x and
        y are, and keeps its origin, because maps do not say how far away the face is. Points that are not finite are
        not finite there either.

    Raises
    ------
    InputError
        If shapes do not agree, arguments are not real numbers, or a matrix is not a proper similarity.

    Examples
    --------
    >>> similarity = uvgen.crop_from_box((100, 100, 200, 200), 256)
    >>> uvgen.crop_to_image(np.zeros((68, 3)), similarity)[0].round(3)
    array([71., 85.,  0.])
    """
    given = as_array(points, "points")
    values = float64_array(given, "points")
    if values.ndim < 2 or values.shape[-1] not in (2, 3):
        check_array(values, "points", (..., "n", 2), (..., "n", 3))
    matrices = float64_array(similarity, "similarity", (3, 3), ("B", 3, 3))
    similarity_scale(matrices)
    if matrices.ndim == 3:
        if values.ndim < 3 or len(values) != len(matrices):
            raise InputError(
                f"similarity: float64 {matrices.shape}, expected (3, 3), or as many as the first of points' axes "
                f"{values.shape} is long"
            )
        matrices = matrices.reshape(len(matrices), *(1,) * (values.ndim - 3), 3, 3)
    with np.errstate(over="ignore", invalid="ignore"):
        moved = transform_points(values, np.linalg.inv(matrices))
        return moved.astype(np.float32) if given.dtype.kind == "f" and given.dtype.itemsize <= 4 else moved
