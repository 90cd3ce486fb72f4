"""Normalized mean errors as the field reports them on AFLW2000-3D, for NumPy arrays and PyTorch tensors alike.

Errors are divided by √(w·h) of the bounding box of the true 68 landmarks, and reported by yaw. As in `uvgen.losses`
neither library is imported.
"""

from typing import Any, NamedTuple

from uvgen.checks import check_array, choice
from uvgen.errors import InputError
from uvgen.losses import Array

YAW_BINS = ((0.0, 30.0), (30.0, 60.0), (60.0, 90.0))
"""|yaw| in degrees, upper ends included; the first bin has its lower end too."""


class ByYaw(NamedTuple):
    """Mean errors by |yaw|; NaN for a bin without samples."""

    to_30: float
    to_60: float
    to_90: float
    mean: float
    """The mean of the three bins, whatever their sizes: the field's balanced number. NaN where one is."""
    n_samples: tuple[int, int, int]


def nme_2d(predicted: Array, truth: Array) -> Array:
    """Normalized mean error of landmarks in the image plane.

    Parameters
    ----------
    predicted, truth : (B, 68, 2) or (B, 68, 3) float
        px; z is ignored.

    Returns
    -------
    (B,) float
        Mean distance / √(w·h) of each sample; times 100 it is the percentage of the papers.

    Raises
    ------
    InputError
        Where shapes do not agree, or a box is empty.
    """
    _check_points(predicted, truth, (2, 3))
    return _mean_distance(predicted[..., :2], truth[..., :2]) / _box_size(truth)


def nme_3d(predicted: Array, truth: Array) -> Array:
    """Normalized mean error of landmarks in space, each one's z centred on its mean, for depth is relative.

    Parameters
    ----------
    predicted, truth : (B, 68, 3) float
        px.

    Returns
    -------
    (B,) float
        Mean distance / √(w·h) of each sample.

    Raises
    ------
    InputError
        Where shapes do not agree, or a box is empty.
    """
    _check_points(predicted, truth, (3,))
    return _centred_distance(predicted, truth) / _box_size(truth)


def nme_dense(predicted: Array, truth: Array, mask: Array, landmarks: Array, *, dimensions: int = 3) -> Array:
    """Normalized mean error of all face texels of position maps.

    Parameters
    ----------
    predicted, truth : (B, 3, U, U) or (B, U, U, 3) float
        Position maps, px; both in one layout.
    mask : (U, U) bool
        Texels that count, as `uvgen.face_mask` gives them.
    landmarks : (B, 68, 2) or (B, 68, 3) float
        True landmarks, px; their bounding box normalizes.
    dimensions : {2, 3}
        2: x and y alone. 3: also z, centred as in `nme_3d`.

    Returns
    -------
    (B,) float
        Mean distance / √(w·h) of each sample.

    Raises
    ------
    InputError
        Where shapes do not agree, or a box is empty.
    """
    check_array(truth, "truth", ("B", 3, "U", "U"), ("B", "U", "U", 3))
    check_array(predicted, "predicted", tuple(truth.shape), note="the shape of truth")
    choice(dimensions, "dimensions", (2, 3))
    points = [_texels(maps, mask) for maps in (predicted, truth)]
    box = _box_size(landmarks)
    if dimensions == 2:
        return _mean_distance(points[0][..., :2], points[1][..., :2]) / box
    return _centred_distance(*points) / box


def by_yaw(errors: Array, yaw_deg: Array) -> ByYaw:
    """Mean errors in the yaw bins of the field, [0, 30], (30, 60], (60, 90] degrees, and their mean.

    Parameters
    ----------
    errors : (n,) float
        One a sample, such as `nme_2d` gives.
    yaw_deg : (n,) float
        Yaw of each sample, degrees; the sign is ignored. Samples beyond 90 are in no bin.

    Returns
    -------
    ByYaw

    Raises
    ------
    InputError
        Where shapes do not agree.
    """
    check_array(errors, "errors", ("n",), note="one per sample")
    check_array(yaw_deg, "yaw_deg", tuple(errors.shape), note="one per sample")
    size: Any = abs(yaw_deg)
    means: list[float] = []
    counts: list[int] = []
    for low, high in YAW_BINS:
        inside = errors[((size > low) | (low == 0)) & (size <= high)]
        counts.append(len(inside))
        means.append(float(inside.mean()) if len(inside) else float("nan"))
    return ByYaw(means[0], means[1], means[2], sum(means) / len(means), (counts[0], counts[1], counts[2]))


def _check_points(predicted, truth, dimensions) -> None:
    check_array(truth, "truth", *(("B", 68, n) for n in dimensions), note="landmarks")
    check_array(predicted, "predicted", tuple(truth.shape), note="the shape of truth")


def _mean_distance(predicted, truth):
    difference = predicted - truth
    return ((difference * difference).sum(axis=-1) ** 0.5).mean(axis=-1)


def _centred_distance(predicted, truth):
    difference = predicted - truth
    depth = difference[..., 2] - difference[..., 2].mean(axis=-1)[..., None]  # both centred: so is their difference
    plane = (difference[..., :2] * difference[..., :2]).sum(axis=-1)
    return ((plane + depth * depth) ** 0.5).mean(axis=-1)


def _box_size(landmarks):
    """√(w·h) of each sample's box, (B,)."""
    check_array(landmarks, "landmarks", ("B", 68, 2), ("B", 68, 3))
    points = landmarks[..., :2]
    if hasattr(points, "amax"):  # PyTorch, whose max along an axis also says where
        sides = points.amax(axis=1) - points.amin(axis=1)
    else:
        sides = points.max(axis=1) - points.min(axis=1)
    area = sides[:, 0] * sides[:, 1]
    if not bool((area > 0).all()):
        raise InputError(
            "landmarks: those of a sample lie in one line or are not finite, expected finite ones in a "
            "bounding box with an area, which normalizes the error; leave such samples out"
        )
    return area**0.5


def _texels(maps, mask):
    """The mask's texels as points (B, n, 3)."""
    check_array(mask, "mask", tuple(maps.shape[2:] if maps.shape[1] == 3 else maps.shape[1:3]), note="the maps' texels")
    return maps[:, :, mask].swapaxes(1, 2) if maps.shape[1] == 3 else maps[:, mask]
