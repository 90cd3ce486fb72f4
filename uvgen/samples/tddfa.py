"""Results of 3DDFA_V2 (Guo et al., 2020): 62 numbers per face, and the box that it was cropped by.

The first 12 are a matrix (3, 4), ``[A | t]``, A nearly a rotation times a scale, in the frame of 300W-LP's poses, of
a crop of 120 px; then 40 shape and 10 expression parameters that multiply the bases directly. The network's output is
scaled by the mean and std of ``param_mean_std_62d_120x120.pkl`` first.

Their formula for a pixel center x' of the crop in the image is ``x = x' s + left`` with ``s = (right - left) / 120``,
and these functions give its results. Their resizing of the picture (OpenCV's) takes that pixel from
``x' s + left + (s - 1) / 2``.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import check_finite, finite64_array
from uvgen.errors import InputError
from uvgen.geometry import affine_to_pose, pose_to_image
from uvgen.images.crop import DETECTION_DROP, DETECTION_WIDTH

CROP_PX = 120
N_SHAPE, N_EXPRESSION = 40, 10
N_PARAMETERS = 12 + N_SHAPE + N_EXPRESSION


def split_parameters(
    parameters: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The matrix (B, 3, 4), shape (B, 40) and expression (B, 10) of parameters (B, 62), scaled as `scaled` does.

    Raises
    ------
    InputError
        If the shape is wrong, or a number is not finite.
    """
    rows = finite64_array(parameters, "parameters", ("B", N_PARAMETERS))
    return rows[:, :12].reshape(-1, 3, 4), rows[:, 12 : 12 + N_SHAPE], rows[:, 12 + N_SHAPE :]


def scaled(output: ArrayLike, mean: ArrayLike, std: ArrayLike) -> NDArray[np.float64]:
    """Parameters (B, 62) of the network's output (B, 62): times `std`, plus `mean`, (62,) each."""
    rows = finite64_array(output, "output", ("B", N_PARAMETERS))
    return rows * finite64_array(std, "std", (N_PARAMETERS,)) + finite64_array(mean, "mean", (N_PARAMETERS,))


def unscaled(parameters: ArrayLike, mean: ArrayLike, std: ArrayLike) -> NDArray[np.float64]:
    """The network's output of which `scaled` makes these parameters."""
    rows = finite64_array(parameters, "parameters", ("B", N_PARAMETERS))
    spread = finite64_array(std, "std", (N_PARAMETERS,))
    if not spread.all():
        raise InputError(f"std: 0 of parameter {int(np.argmin(np.abs(spread)))}, expected another number")
    return (rows - finite64_array(mean, "mean", (N_PARAMETERS,))) / spread


def affines_of(parameters: ArrayLike, roi_box: ArrayLike) -> NDArray[np.float64]:
    """Maps (B, 3, 4) of model points to the image frame, as the 62 numbers have them: A need not be a rotation.

    Parameters
    ----------
    parameters : (B, 62) float
        See `split_parameters`.
    roi_box : (B, 4) or (4,) float
        Left, top, right, bottom of the crop, px of the image.

    Returns
    -------
    (B, 3, 4) float64
        What their `recon_vers` does with points, but for z, which they shift so that the smallest is 0.

    Raises
    ------
    InputError
        If shapes do not agree, a number is not finite, or a box is empty.
    """
    matrix = split_parameters(parameters)[0]
    left, top, scale_x, scale_y = _boxes(roi_box, len(matrix))
    affine = matrix.copy()
    affine[:, 1] *= -1
    affine[:, :, 3] += [-1, CROP_PX, -1]
    affine[:, 0] *= scale_x[:, None]
    affine[:, 1] *= scale_y[:, None]
    affine[:, 2] *= ((scale_x + scale_y) / 2)[:, None]
    affine[:, 0, 3] += left
    affine[:, 1, 3] += top
    return affine


def poses_of(
    parameters: ArrayLike, roi_box: ArrayLike, image_height: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Poses as 300W-LP has them, and shape and expression, of 62 numbers.

    Parameters
    ----------
    parameters : (B, 62) float
        See `split_parameters`.
    roi_box : (B, 4) or (4,) float
        Left, top, right, bottom, px; square.
    image_height : (B,) or scalar
        px.

    Returns
    -------
    pose : (B, 7) float64
        Pitch, yaw, roll (rad), tx, ty, tz (px), f (px/µm): A is replaced by the nearest rotation times the mean
        length of its first two rows.
    shape, expression : (B, 40), (B, 10) float64

    Raises
    ------
    InputError
        If shapes do not agree, a number is not finite, a box is empty or not square, or A is no rotation at all.
    """
    affine, (_, shape, expression) = affines_of(parameters, roi_box), split_parameters(parameters)
    _, _, scale_x, scale_y = _boxes(roi_box, len(affine))
    if (np.abs(scale_x - scale_y) > 0.02 * scale_x).any():
        k = int(np.argmax(np.abs(scale_x - scale_y) / scale_x))
        size = f"{scale_x[k] * CROP_PX:.4g} × {scale_y[k] * CROP_PX:.4g} px"
        raise InputError(f"roi_box: {size} in row {k}, expected a square, which a pose can express")
    affine[:, :, :3] = _nearest_similarities(affine[:, :, :3])
    return affine_to_pose(affine, image_height), shape, expression


def parameters_of(
    pose: ArrayLike, shape: ArrayLike, expression: ArrayLike, roi_box: ArrayLike, image_height: ArrayLike
) -> NDArray[np.float64]:
    """The 62 numbers (B, 62) of a pose: the way back from `poses_of`.

    Raises
    ------
    InputError
        If shapes do not agree, a number is not finite, or a box is empty.
    """
    affine = pose_to_image(pose, image_height)
    n = len(affine)
    left, top, scale_x, scale_y = _boxes(roi_box, n)
    affine[:, 0, 3] -= left
    affine[:, 1, 3] -= top
    affine[:, 0] /= scale_x[:, None]
    affine[:, 1] /= scale_y[:, None]
    affine[:, 2] /= ((scale_x + scale_y) / 2)[:, None]
    affine[:, :, 3] -= [-1, CROP_PX, -1]
    affine[:, 1] *= -1
    rest = (finite64_array(shape, "shape", (n, N_SHAPE)), finite64_array(expression, "expression", (n, N_EXPRESSION)))
    return np.concatenate([affine.reshape(n, 12), *rest], axis=1)


def box_of_landmarks(landmarks: ArrayLike) -> NDArray[np.float64]:
    """Boxes (B, 4) by which they crop around landmarks (B, n, 2), px: squares about the middle of the points' box, √2
    times as large as its longer side.

    Raises
    ------
    InputError
        If the shape is wrong, or a number is not finite.
    """
    points = finite64_array(landmarks, "landmarks", ("B", -1, 2))
    low, high = points.min(axis=1), points.max(axis=1)
    return _squares((low + high) / 2, np.sqrt(2) * (high - low).max(axis=1))


def box_of_detection(detection: ArrayLike) -> NDArray[np.float64]:
    """Boxes (B, 4) by which they crop around a detector's boxes (B, 4): left, top, right, bottom, px.

    Raises
    ------
    InputError
        If the shape is wrong, or a number is not finite.
    """
    left, top, right, bottom = finite64_array(detection, "detection", ("B", 4)).T
    old = (right - left + bottom - top) / 2
    center = np.stack([(left + right) / 2, (top + bottom) / 2 + DETECTION_DROP * old], axis=1)
    return _squares(center, np.trunc(DETECTION_WIDTH * old))


def _squares(center: NDArray[np.float64], side: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([center - side[:, None] / 2, center + side[:, None] / 2], axis=1)


def _boxes(roi_box: ArrayLike, n: int) -> tuple[NDArray[np.float64], ...]:
    """Left, top, and image pixels per crop pixel in x and y, (n,) each."""
    box = finite64_array(roi_box, "roi_box", (n, 4), (1, 4), (4,), note="left, top, right, bottom")
    left, top, right, bottom = np.broadcast_to(box, (n, 4)).T
    if (right <= left).any() or (bottom <= top).any():
        raise InputError("roi_box: an empty one, expected left < right and top < bottom")
    return left, top, (right - left) / CROP_PX, (bottom - top) / CROP_PX


def _nearest_similarities(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B, 3, 3) nearest rotations, turned as the image's y is, times the mean length of the first two rows."""
    check_finite(matrices, "parameters")  # numbers near float64's end, times the box: LAPACK would not return
    u, strengths, vt = np.linalg.svd(matrices * [[[1.0], [-1.0], [1.0]]])
    if (strengths[:, 1] <= 1e-12 * strengths[:, 0]).any():
        raise InputError("parameters: a matrix without a rotation in it, expected [A | t] of a pose")
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    scale = np.linalg.norm(matrices[:, :2], axis=2).mean(axis=1)
    nearest: NDArray[np.float64] = (u @ vt) * scale[:, None, None] * [[[1.0], [-1.0], [1.0]]]
    return nearest
