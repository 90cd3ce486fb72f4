"""Normalized mean errors as the field reports them on AFLW2000-3D, for NumPy arrays and PyTorch tensors alike.

Errors are divided by √(w·h) of the bounding box of the true 68 landmarks, and reported by yaw. As in `uvgen.losses`
PyTorch is not imported, half precision is widened to float32, integers and bool to float64, and complex numbers, lists
and NumPy arrays together with tensors are refused.
"""

import math
from typing import Any, NamedTuple

from uvgen.checks import check_array, check_same_library, choice, is_tensor, shown, widened
from uvgen.errors import InputError
from uvgen.losses import Array

YAW_BINS = ((0.0, 30.0), (30.0, 60.0), (60.0, math.inf))
"""|yaw| in degrees, upper ends included; the first bin has its lower end too, the last one has no upper end."""


class ByYaw(NamedTuple):
    """Mean errors by |yaw|; NaN for a bin without samples, and for one with an error that is NaN.

    Attributes
    ----------
    to_30, to_60, above_60 : float
        Mean errors of the samples in [0, 30], in (30, 60], and above 60 degrees, in the unit of the errors.
    mean : float
        The mean of the bins that have samples, whatever their sizes: the field's balanced number. NaN where none has.
    n_samples : (int, int, int)
        Number of samples in each bin.
    """

    to_30: float
    to_60: float
    above_60: float
    mean: float
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
        If shapes do not agree, arguments are not real numbers of one library, or a box is empty.
    """
    predicted, truth = _points(predicted, truth, (2, 3))
    error: Array = _mean_distance(predicted[..., :2], truth[..., :2]) / _box_size(truth, "truth")
    return error


def nme_3d(predicted: Array, truth: Array) -> Array:
    """Normalized mean error of landmarks in space, each one's z centered on its mean, because depth is relative.

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
        If shapes do not agree, arguments are not real numbers of one library, or a box is empty.
    """
    predicted, truth = _points(predicted, truth, (3,))
    error: Array = _centered_distance(predicted, truth) / _box_size(truth, "truth")
    return error


def nme_dense(
    predicted: Array,
    truth: Array,
    mask: Array,
    landmarks: Array | None = None,
    *,
    dimensions: int = 3,
    box: str = "landmarks",
) -> Array:
    """Normalized mean error of all face texels of position maps.

    Parameters
    ----------
    predicted, truth : (B, 3, U, U) or (B, U, U, 3) float
        Position maps, px; both in one layout.
    mask : (U, U) bool
        Texels that count, as `uvgen.face_mask` gives them; numbers count where they are not 0. A NumPy array will do
        for tensors too.
    landmarks : (B, 68, 2) or (B, 68, 3) float, optional
        True landmarks, px; their bounding box normalizes. Not needed, and not looked at, for the dense box.
    dimensions : {2, 3}
        2: x and y alone. 3: also z, centered as in `nme_3d`.
    box : {"landmarks", "dense"}
        The bounding box that normalizes: that of the 68 true landmarks, as in the tables of PRNet and 3DDFA, or that
        of the mask's true texels, as in the log of reshow's trainer. The latter is larger, and its error smaller by a
        fifth.

    Returns
    -------
    (B,) float
        Mean distance / √(w·h) of each sample.

    Raises
    ------
    InputError
        If shapes do not agree, arguments are not real numbers of one library, or a box is empty.
    """
    choice(box, "box", ("landmarks", "dense"))
    choice(dimensions, "dimensions", (2, 3))
    normalizing: dict[str, Any] = {"landmarks": landmarks} if box == "landmarks" else {}
    check_same_library(predicted=predicted, truth=truth, **normalizing)
    check_array(truth, "truth", ("B", 3, "U", "U"), ("B", "U", "U", 3))
    check_array(predicted, "predicted", tuple(truth.shape), note="the shape of truth")
    if normalizing:
        check_array(landmarks, "landmarks", (len(truth), 68, 2), (len(truth), 68, 3))
    mask = _mask(mask, truth)
    points = [widened(_texels(maps, mask)) for maps in (predicted, truth)]
    size = _box_size(widened(landmarks)) if normalizing else _box_size(points[1], "truth", "the mask's texels")
    if dimensions == 2:
        error: Array = _mean_distance(points[0][..., :2], points[1][..., :2]) / size
        return error
    error = _centered_distance(*points) / size
    return error


def by_yaw(errors: Array, yaw_deg: Array) -> ByYaw:
    """Mean errors in the yaw bins of the field, [0, 30], (30, 60] and above 60 degrees, and their mean.

    As 3DDFA's benchmark counts (`benchmark_aflw2000.py`): |yaw| as it is, so that the last bin holds all faces turned
    by more than 60 degrees, and also a yaw of -351, which occurs in the benchmark's files. Of AFLW2000-3D the bins have
    1312, 383 and 305 samples.

    Parameters
    ----------
    errors : (n,) float
        One per sample, such as `nme_2d` gives. A sample with NaN is not left out: its bin and the mean become NaN, so
        that a network that fails on some samples does not look better for it.
    yaw_deg : (n,) float
        Yaw of each sample, degrees; the sign is ignored.

    Returns
    -------
    ByYaw
        Bins without samples are NaN and are left out of the mean.

    Raises
    ------
    InputError
        If shapes do not agree, arguments are not real numbers of one library, or a yaw is not finite.
    """
    check_same_library(errors=errors, yaw_deg=yaw_deg)
    check_array(errors, "errors", ("n",), note="one per sample")
    check_array(yaw_deg, "yaw_deg", tuple(errors.shape), note="one per sample")
    errors = widened(errors)
    size: Any = abs(widened(yaw_deg))
    if not bool((size < math.inf).all()):  # NaN is in no bin
        place = (~(size < math.inf)).nonzero()
        first = int(place[0]) if is_tensor(size) else int(place[0][0])
        raise InputError(
            f"yaw_deg: {float(yaw_deg[first])} at {first}, expected finite numbers; leave such samples out"
        )
    means: list[float] = []
    counts: list[int] = []
    for low, high in YAW_BINS:
        inside = errors[((size > low) | (low == 0)) & (size <= high)]
        counts.append(len(inside))
        means.append(float(inside.mean()) if len(inside) else math.nan)
    filled = [mean for mean, count in zip(means, counts, strict=True) if count]
    total = sum(filled) / len(filled) if filled else math.nan
    return ByYaw(means[0], means[1], means[2], total, (counts[0], counts[1], counts[2]))


def _points(predicted: Array, truth: Array, dimensions: tuple[int, ...]) -> tuple[Array, Array]:
    """Both in a type to calculate in."""
    check_same_library(predicted=predicted, truth=truth)
    check_array(truth, "truth", *(("B", 68, n) for n in dimensions), note="landmarks")
    check_array(predicted, "predicted", tuple(truth.shape), note="the shape of truth")
    return widened(predicted), widened(truth)


def _mean_distance(predicted: Array, truth: Array) -> Array:
    difference = predicted - truth
    mean: Array = ((difference * difference).sum(axis=-1) ** 0.5).mean(axis=-1)
    return mean


def _centered_distance(predicted: Array, truth: Array) -> Array:
    difference = predicted - truth
    depth = difference[..., 2] - difference[..., 2].mean(axis=-1)[..., None]  # both centered: so is their difference
    plane = (difference[..., :2] * difference[..., :2]).sum(axis=-1)
    mean: Array = ((plane + depth * depth) ** 0.5).mean(axis=-1)
    return mean


def _box_size(landmarks: Array, name: str = "landmarks", what: str = "those") -> Array:
    """√(w·h) of each sample's box, (B,)."""
    points = landmarks[..., :2]
    if hasattr(points, "amax"):  # PyTorch, whose max along an axis also says where
        sides = points.amax(axis=1) - points.amin(axis=1)
    else:
        sides = points.max(axis=1) - points.min(axis=1)
    area = sides[:, 0] * sides[:, 1]
    if not bool(((area > 0) & (area < math.inf)).all()):
        raise InputError(
            f"{name}: {what} of a sample lie in one line or are not finite, expected finite ones in a "
            "bounding box with an area, which normalizes the error; leave such samples out"
        )
    size: Array = area**0.5
    return size


def _mask(mask: Any, maps: Array) -> Any:
    """The mask as bool, of the maps' texels."""
    if is_tensor(maps) or not is_tensor(mask):  # a NumPy mask, as `face_mask` gives it, picks texels of tensors too
        check_same_library(mask=mask)
    else:
        check_same_library(truth=maps, mask=mask)
    check_array(mask, "mask", tuple(maps.shape[2:] if maps.shape[1] == 3 else maps.shape[1:3]), note="the maps' texels")
    if bool((mask != mask).any()):
        raise InputError(f"mask: {shown(mask)} holds NaN, expected bool or finite numbers")
    mask = mask != 0  # as an index, a mask of integers would mean rows
    if not bool(mask.any()):
        raise InputError(f"mask: {shown(mask)} without a texel, expected one texel or more that counts")
    return mask


def _texels(maps: Array, mask: Any) -> Array:
    """The mask's texels as points (B, n, 3)."""
    points: Array = maps[:, :, mask].swapaxes(1, 2) if maps.shape[1] == 3 else maps[:, mask]
    return points
