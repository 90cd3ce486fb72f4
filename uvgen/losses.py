"""Losses of the field over position maps, for NumPy arrays and PyTorch tensors alike.

Maps have three channels, first (..., 3, U, U) as PyTorch's or last (..., U, U, 3) as stored; the axis of length 3
tells which. Both arguments have the same layout and unit. Only operators and methods that both libraries share are
used, so that PyTorch is not imported and gradients flow. `symmetry_loss`, `siamese_loss`, `landmark_loss` and
`prior_loss` are those of the 3DMM as a spatial transformer, on textures and landmarks.

Half precision (float16, bfloat16) is widened to float32 and the loss is float32, inside autocast and outside of it;
integers and bool are calculated in float64. Complex numbers, objects, lists, and NumPy arrays together with tensors
are refused.

`ssim` is written here because scikit-image's has no gradient, and pytorch-msssim 1.0 takes no NumPy arrays. For 8
images of 256 × 256, on one CPU core, it equals scikit-image's value to 1e-15 (0.50 s, scikit-image 0.42 s) and
pytorch-msssim's to 1.4e-6, whose window is float32 (0.73 s with the gradient, pytorch-msssim 0.37 s).
"""

import math
from typing import Any, TypeVar

import numpy as np

from uvgen.checks import check_array, check_same_library, is_tensor, number_in, shown, true_or_false, widened
from uvgen.errors import InputError

Array = TypeVar("Array", bound=Any)
"""A NumPy array or a PyTorch tensor; weights and maps are of one kind."""

_RADIUS, _SIGMA = 5, 1.5  # of the Gaussian window of SSIM: 11 taps
_K1, _K2 = 0.01, 0.03
_SMALLEST = 1e-12  # keeps the derivative of a length finite at 0


def weighted_mse(predicted: Array, target: Array, weights: Array) -> Array:
    """Mean over texels and coordinates of the squared difference, weighted.

    Parameters
    ----------
    predicted, target : (..., 3, U, U) or (..., U, U, 3) float
        Position maps.
    weights : (U, U) or (..., U, U) real numbers
        Weight of each texel, such as a data set's ``weight_mask``: finite, 0 or more, not all of them 0. Only their
        ratios matter.

    Returns
    -------
    () float
        ``sum(weights * (predicted - target)**2) / (3 * sum(weights))``: the loss of PRNet (Feng et al., ECCV
        2018, section 3.2), divided by the weights' sum so that masks of any scale and size compare. float32, or float64
        where an argument is. NaN where weights on a GPU are unusable: see Raises.

    Raises
    ------
    InputError
        If shapes do not agree, arguments are not real numbers of one library, or weights are negative, not finite
        or all 0. The values of weights that lie on a GPU are not looked at on the CPU, for that would wait for the
        GPU at each step: there the loss is NaN instead.
    """
    check_same_library(predicted=predicted, target=target, weights=weights)
    channel = _channel_axis(predicted, target)
    difference = widened(predicted) - widened(target)
    loss: Array = _weighted_mean((difference * difference).mean(axis=channel), weights)
    return loss


def weighted_l2(predicted: Array, target: Array, weights: Array) -> Array:
    """Mean over texels of the distance between predicted and true point, weighted.

    Parameters
    ----------
    predicted, target, weights
        As for `weighted_mse`.

    Returns
    -------
    () float
        ``sum(weights * |predicted - target|) / sum(weights)``, in the maps' unit; up to 1e-6 too large, for the
        sake of its derivative at 0. Type and NaN as for `weighted_mse`.

    Raises
    ------
    InputError
        As for `weighted_mse`.
    """
    check_same_library(predicted=predicted, target=target, weights=weights)
    channel = _channel_axis(predicted, target)
    difference = widened(predicted) - widened(target)
    loss: Array = _weighted_mean(((difference * difference).sum(axis=channel) + _SMALLEST) ** 0.5, weights)
    return loss


def ssim(
    predicted: Array, target: Array, *, data_range: float = 1.0, weights: Array | None = None, each: bool = False
) -> Array:
    """Mean structural similarity of maps or images; ``1 - ssim(…)`` is the loss.

    Parameters
    ----------
    predicted, target : (..., 3, U, U) or (..., U, U, 3) float
        At least 11 × 11.
    data_range : float
        Difference between the largest and the smallest possible value: 1 for maps divided by the crop's size.
    weights : (U, U) or (..., U, U) real numbers or bool, optional
        How much each place counts, such as a mask of the face: that of the texel on which a window is centered. Windows
        reach 5 texels beyond it, so that values beside the mask still count; maps multiplied by their mask, as in
        PRNet_PyTorch, are a different measure.
    each : bool
        Whether each map's own similarity is wanted instead of their mean; `weights` are (U, U) then.

    Returns
    -------
    () float, with `each` (...) float
        1 if both are equal. Wang et al., IEEE TIP 2004: Gaussian window of 11 × 11 with sigma 1.5, K1 = 0.01,
        K2 = 0.03, over the places where the window fits; the mean over the channels.

    Raises
    ------
    InputError
        If shapes do not agree, a side is below 11, arguments are not real numbers of one library, `data_range`
        is not a number above 0, or weights are negative, not finite, or all 0 where a window fits (on a GPU the result
        is NaN then, as for `weighted_mse`).
    """
    check_same_library(**({} if weights is None else {"weights": weights}), predicted=predicted, target=target)
    each = true_or_false(each, "each")
    data_range = float(number_in(data_range, "data_range", 0, 1e100))
    if data_range < 1e-100:  # its square would be 0
        raise InputError(f"data_range: {data_range:g}, expected more than 0")
    channel = _channel_axis(predicted, target)
    rows = -2 if channel == -3 else -3
    if min(predicted.shape[rows], predicted.shape[rows + 1]) < 2 * _RADIUS + 1:
        raise InputError(f"predicted: {shown(predicted)}, expected maps with sides of {2 * _RADIUS + 1} or more")

    predicted, target = widened(predicted), widened(target)

    def blur(values: Array) -> Array:
        return _blur(_blur(values, rows), rows + 1)

    mean_p, mean_t = blur(predicted), blur(target)
    variance_p = blur(predicted * predicted) - mean_p * mean_p
    variance_t = blur(target * target) - mean_t * mean_t
    covariance = blur(predicted * target) - mean_p * mean_t
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    similarity = (2 * mean_p * mean_t + c1) * (2 * covariance + c2)
    places = similarity / ((mean_p * mean_p + mean_t * mean_t + c1) * (variance_p + variance_t + c2))
    if weights is None:
        mean: Array = places.mean(axis=(-3, -2, -1)) if each else places.mean()
        return mean
    sides = tuple(target.shape[rows : rows + 2 or None])
    if tuple(weights.shape[-2:]) != sides or (each and weights.ndim != 2):
        how = "for all maps" if each else "for all maps or for each"
        raise InputError(f"weights: {shown(weights)}, expected {sides}: one weight per texel, {how}")
    inner = slice(_RADIUS, -_RADIUS)
    mean = _weighted_mean(places.mean(axis=channel), weights[..., inner, inner], each)
    return mean


def symmetry_loss(texture: Array, seen: Array | None = None) -> Array:
    """How far textures in UV are from their mirror images: a face's two halves look alike.

    Parameters
    ----------
    texture : (..., 3, U, U) or (..., U, U, 3) float
        Textures in a UV map that is symmetric about u = 0.5, 0 where the face is not seen.
    seen : (..., U, U) bool or numbers, optional
        Where the face is seen. Without it, as in the paper, where a channel is not 0.

    Returns
    -------
    () float
        ``sum((a - b)**2 * (a seen and b seen)) / number of values seen``, b being a mirrored in u: Bas et al., ICCV
        workshops 2017 (vl_nnsymmetry.m). 0 where nothing is seen.

    Raises
    ------
    InputError
        If shapes do not agree, or arguments are not real numbers of one library.
    """
    texture, seen, channel = _textures(texture, seen)
    axis = -1 if channel == -3 else -2
    loss: Array = _mean_where_seen(texture - _mirrored(texture, axis), seen * _mirrored(seen, axis), seen)
    return loss


def siamese_loss(texture: Array, seen: Array | None = None) -> Array:
    """How far textures in UV of two images of one person are from each other.

    Parameters
    ----------
    texture : (2 N, 3, U, U) or (2 N, U, U, 3) float
        Textures, 0 where the face is not seen; the two of a pair follow each other.
    seen : (2 N, U, U) bool or numbers, optional
        As for `symmetry_loss`.

    Returns
    -------
    () float
        ``sum((a - b)**2 * (a seen and b seen)) / number of values seen``, the number being that of all 2 N textures
        (vl_nnsiamese.m). 0 where nothing is seen.

    Raises
    ------
    InputError
        As for `symmetry_loss`, and if the number of textures is odd.
    """
    texture, seen, _ = _textures(texture, seen)
    if texture.ndim != 4 or len(texture) % 2:
        raise InputError(f"texture: {shown(texture)}, expected pairs, (2 N, 3, U, U) or (2 N, U, U, 3)")
    loss: Array = _mean_where_seen(texture[::2] - texture[1::2], seen[::2] * seen[1::2], seen)
    return loss


def landmark_loss(predicted: Array, target: Array, weights: Array | None = None) -> Array:
    """Sum of the squared distances of landmarks.

    Parameters
    ----------
    predicted, target : (..., n, 2) or (..., n, 3) float
        Landmarks of one unit, finite.
    weights : (n,) or (..., n) real numbers or bool, optional
        Weight of each, such as whether it is seen.

    Returns
    -------
    () float
        ``sum(weights * |predicted - target|**2)`` over landmarks and samples: a sum, not a mean, as in
        vl_nneuclideanloss.m.

    Raises
    ------
    InputError
        If shapes do not agree, or arguments are not real numbers of one library.
    """
    check_same_library(predicted=predicted, target=target, **({} if weights is None else {"weights": weights}))
    check_array(target, "target", (..., -1, 2), (..., -1, 3))
    check_array(predicted, "predicted", tuple(target.shape), note="the target's shape")
    difference = widened(predicted) - widened(target)
    squares = (difference * difference).sum(axis=-1)
    if weights is None:
        loss: Array = squares.sum()
        return loss
    check_array(weights, "weights", tuple(squares.shape), tuple(squares.shape[-1:]), note="one per landmark")
    loss = (squares * _as_type(weights, squares)).sum()
    return loss


def prior_loss(coefficients: Array, weights: Array | None = None) -> Array:
    """How far faces are from the mean face: minus twice the logarithm of their probability, up to a constant.

    Parameters
    ----------
    coefficients : (..., k) float
        In standard deviations; parameters that multiply a basis directly are first divided by the model's
        ``shape_std`` and ``expression_std``.
    weights : (k,) real numbers, optional
        Weight of each.

    Returns
    -------
    () float
        ``sum(weights * coefficients**2)`` over samples too, as in vl_nnsse.m.

    Raises
    ------
    InputError
        If shapes do not agree, or arguments are not real numbers of one library.
    """
    check_same_library(coefficients=coefficients, **({} if weights is None else {"weights": weights}))
    check_array(coefficients, "coefficients", (..., "k"))
    values = widened(coefficients)
    squares = values * values
    if weights is not None:
        check_array(weights, "weights", tuple(squares.shape[-1:]), note="one per coefficient")
        squares = squares * _as_type(weights, squares)
    loss: Array = squares.sum()
    return loss


def _textures(texture: Array, seen: Array | None) -> tuple[Array, Array, int]:
    """Textures to calculate with, 1 and 0 of their shape for where they are seen, and the axis of their channels."""
    check_same_library(texture=texture, **({} if seen is None else {"seen": seen}))
    check_array(texture, "texture", (..., 3, -1, -1), (..., -1, -1, 3))
    channel = -3 if texture.shape[-3] == 3 else -1
    texture = widened(texture)
    everywhere = _as_type(texture == texture, texture)
    if seen is None:
        return texture, _as_type(texture != 0, texture), channel
    places = tuple(n for k, n in enumerate(texture.shape) if k != texture.ndim + channel)
    check_array(seen, "seen", places, note="one per texel of each texture")
    shape = [*places[:-2], 1, *places[-2:]] if channel == -3 else [*places, 1]
    return texture, _as_type((seen != 0).reshape(shape), texture) * everywhere, channel


def _mirrored(values: Array, axis: int) -> Array:
    """Values in the opposite order along an axis that is counted from the last."""
    if is_tensor(values):
        flipped: Array = values.flip(axis)
        return flipped
    flipped = values[(..., slice(None, None, -1), *[slice(None)] * (-axis - 1))]
    return flipped


def _mean_where_seen(difference: Array, both: Array, seen: Array) -> Array:
    """Sum of squares where both are seen, over the number of values seen."""
    count = seen.sum()
    mean: Array = (difference * difference * both).sum() / (count + (count == 0))
    return mean


def _as_type(values: Array, like: Array) -> Array:
    """Values of any type as those of another array or tensor."""
    same: Array = values.to(like.dtype) if is_tensor(values) else values.astype(like.dtype)
    return same


def _blur(values: Array, axis: int) -> Array:
    taps = [math.exp(-0.5 * (k / _SIGMA) ** 2) for k in range(-_RADIUS, _RADIUS + 1)]
    n = values.shape[axis] - 2 * _RADIUS
    end = (slice(None),) * (-axis - 1)  # axes are counted from the last
    parts = (tap / sum(taps) * values[(..., slice(k, k + n), *end)] for k, tap in enumerate(taps))
    blurred: Array = sum(parts)
    return blurred


def _channel_axis(predicted: Array, target: Array) -> int:
    check_array(target, "target", (..., 3, "U", "U"), (..., "U", "U", 3))
    check_array(predicted, "predicted", tuple(target.shape), note="the target's shape")
    if not math.prod(target.shape):
        raise InputError(f"target: {shown(target)}, expected one map or more, of one texel or more")
    return -3 if target.shape[-3] == 3 else -1


def _weighted_mean(values: Array, weights: Array, each: bool = False) -> Array:
    """Over the last two axes and, but for `each`, the batch; `weights` may lack the batch."""
    have, batch = tuple(weights.shape), tuple(values.shape[:-2])
    spare = len(batch) + 2 - len(have)  # axes that the weights lack
    fits = 0 <= spare <= len(batch) and have[-2:] == tuple(values.shape[-2:])
    if not fits or any(n not in (1, m) for n, m in zip(have[:-2], batch[spare:], strict=True)):
        wanted = " or ".join(dict.fromkeys(str(tuple(values.shape[k:])) for k in (-2, 0)))
        raise InputError(
            f"weights: {shown(weights)}, expected {wanted}: one weight per texel, for all maps or for each"
        )
    if weights.dtype != values.dtype:  # a mask of integers makes no float64 of the loss
        if is_tensor(weights):
            weights = widened(weights) if weights.is_floating_point() else weights.to(values.dtype)
        else:
            weights = widened(weights) if weights.dtype.kind == "f" else weights.astype(values.dtype)
    good = ((weights >= 0) & (weights < math.inf)).all()
    total = weights.sum()
    if is_tensor(weights) and weights.device.type != "cpu":
        total = total.masked_fill(~(good & (total > 0) & (total < math.inf)), math.nan)  # no wait for the device
    elif not bool(good):
        raise InputError("weights: negative or not finite, expected finite weights of 0 or more")
    elif not 0 < float(total) < math.inf:
        raise InputError(f"weights: their sum is {float(total)}, expected a finite one above 0")
    if each:
        of_each: Array = (values * weights).sum(axis=(-2, -1)) / total
        return of_each
    repeats = math.prod(values.shape) / math.prod(weights.shape)
    mean: Array = (values * weights).sum() / (total * repeats)
    # NumPy before 2 makes float64 of a float32 number times one of Python's.
    if not is_tensor(mean):
        mean = mean.astype(np.result_type(values, weights))
    return mean
