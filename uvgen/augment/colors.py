"""Colors of a uint8 image, changed in place without a float image in between.

Gain, contrast, brightness, saturation and hue are all affine in (r, g, b): they are composed into one map, applied
in one pass of integer arithmetic, and cut to 0..255 once.
"""

import math

import numpy as np
from numpy.typing import NDArray

from uvgen.augment import kernels
from uvgen.augment.draws import AugmentationDraw
from uvgen.images.jpeg import decode_jpeg, encode_jpeg

_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_ONE = 1 << 12
_WEIGHTS = 1 << 14


def change_colors(image: NDArray[np.uint8], draw: AugmentationDraw) -> None:
    """Everything a draw does to an image after its geometry, in place.

    Parameters
    ----------
    image : (h, w, 3) uint8, C-contiguous
        The crop: changed.
    draw : AugmentationDraw
        Gains, contrast, brightness, saturation, hue; then blur, noise, JPEG.
    """
    matrix, term = color_map(draw)
    if draw.saturation != 1 or draw.hue_deg != 0:
        kernels.mix_channels(_tables(matrix, term), image.reshape(-1, 3))
    elif draw.channel_gain != (1, 1, 1) or draw.contrast != 1 or term != 0:
        factors = np.tile(np.rint(np.diagonal(matrix) * _ONE).astype(np.int32), image.shape[1])
        kernels.scale_channels(factors, np.int32(round(term * _ONE + _ONE / 2)), image.reshape(len(image), -1))
    if draw.blur > 0:
        _blur(image, draw.blur)
    if draw.noise > 0:
        kernels.add_noise(np.float32(draw.noise), np.uint64(draw.seed), image.reshape(-1))
    if draw.jpeg:
        image[:] = decode_jpeg(encode_jpeg(image, draw.jpeg, subsampling="420"))


def color_map(draw: AugmentationDraw) -> tuple[NDArray[np.float64], float]:
    """The affine map of colors: ``matrix @ (r, g, b) + term``.

    Parameters
    ----------
    draw : AugmentationDraw
        Hue turns colors about the gray axis (Rodrigues' formula), saturation pulls them from or to their
        luminance; then come the channels' gains, and contrast about mid-gray and brightness.

    Returns
    -------
    matrix : (3, 3) float64
    term : float
    """
    matrix = np.eye(3)
    if draw.hue_deg:
        angle = math.radians(draw.hue_deg)
        across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
        matrix = math.cos(angle) * np.eye(3) + math.sin(angle) * across + (1 - math.cos(angle)) / 3
    if draw.saturation != 1:
        matrix = (draw.saturation * np.eye(3) + (1 - draw.saturation) * _LUMINANCE) @ matrix
    matrix = draw.contrast * np.array(draw.channel_gain)[:, None] * matrix
    return matrix, 127.5 * (1 - draw.contrast) + 255 * draw.brightness


def _tables(matrix: NDArray[np.float64], term: float) -> NDArray[np.uint64]:
    """What each value of each channel adds to the three results, in fields of 21 bits; see the kernel."""
    added = np.rint(32 * matrix.T[:, :, None] * np.arange(256)).astype(np.int64)  # from channel, to channel, value
    added[0] += round(32 * term) + 16 + (1 << 20)
    fields: NDArray[np.uint64] = (added[:, 0] + (added[:, 1] << 21) + (added[:, 2] << 42)).astype(np.uint64)
    return fields


def _blur(image: NDArray[np.uint8], sigma: float) -> None:
    weights = blur_weights(sigma)
    lines = np.empty((2, 3 * (image.shape[1] + len(weights) - 1)), np.int32)
    kernels.blur_rgb(image.copy(), weights, lines, image)


def blur_weights(sigma: float) -> NDArray[np.int32]:
    """Weights of a blur along one axis.

    A Gaussian that is sampled at whole pixels and cut off has another standard deviation than the continuous one: less
    where tails are cut, and below 0.5 px ever less. So the Gaussian that is sampled is chosen such that the weights'
    variance is sigma².

    Parameters
    ----------
    sigma : float
        Standard deviation, px, more than 0.

    Returns
    -------
    (2 k + 1,) int32
        Sum 2^14. Their standard deviation is `sigma` to 1 % from 0.06 px on. Below, steps of 2^-14 are too coarse:
        it is off by up to a third, and below 0.008 px nothing is blurred.
    """
    radius = max(1, math.ceil(3 * sigma))
    squares = [k * k for k in range(1, radius + 1)]
    variance = max(sigma * sigma, 1e-12)
    # weights exp(-k² * rate); with one neighbor each side, variance = 2 q / (1 + 2 q) for q = exp(-rate)
    rate = math.log(2 * (1 - variance) / variance) if variance < 0.4 else 0.5 / variance
    for _ in range(8):  # Newton's method, for the logarithm of the variance
        weights = [math.exp(-square * rate) for square in squares]
        total = 1 + 2 * sum(weights)
        second = 2 * sum(w * square for w, square in zip(weights, squares, strict=True)) / total
        fourth = 2 * sum(w * square * square for w, square in zip(weights, squares, strict=True)) / total
        step = math.log(second / variance) * second / (fourth - second * second)
        if abs(step) < 1e-6 * rate:
            break
        rate += step
    half = [round(_WEIGHTS * w / total) for w in weights]
    return np.array([*half[::-1], _WEIGHTS - 2 * sum(half), *half], np.int32)
