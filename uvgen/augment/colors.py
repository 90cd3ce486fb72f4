"""Colours of a uint8 image, changed in place without a float image in between.

Gain, contrast, brightness, saturation and hue are all affine in (r, g, b): they are composed into one map, applied
in one pass of integer arithmetic, and cut to 0..255 once.
"""

import math

import numpy as np
from numpy.typing import NDArray

from uvgen.augment import kernels
from uvgen.augment.values import AugmentationDraw
from uvgen.images.codecs import decode_jpeg, encode_jpeg

_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_ONE = 1 << 12


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
        kernels.mix_channels(image.reshape(-1, 3), _tables(matrix, term))
    elif draw.channel_gain != (1, 1, 1) or draw.contrast != 1 or term != 0:
        factors = np.tile(np.rint(np.diagonal(matrix) * _ONE).astype(np.int32), image.shape[1])
        kernels.scale_channels(image.reshape(len(image), -1), factors, np.int32(round(term * _ONE + _ONE / 2)))
    if draw.blur > 0:
        _blur(image, draw.blur)
    if draw.noise > 0:
        kernels.add_noise(image.reshape(-1), np.float32(draw.noise), np.uint64(draw.seed))
    if draw.jpeg:
        image[:] = decode_jpeg(encode_jpeg(image, draw.jpeg, subsampling="420"))


def color_map(draw: AugmentationDraw) -> tuple[NDArray[np.float64], float]:
    """The affine map of colours: ``matrix @ (r, g, b) + term``.

    Parameters
    ----------
    draw : AugmentationDraw
        Hue turns colours about the grey axis (Rodrigues' formula), saturation pulls them from or to their
        luminance; then come the channels' gains, and contrast about mid-grey and brightness.

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
    return (added[:, 0] + (added[:, 1] << 21) + (added[:, 2] << 42)).astype(np.uint64)


def _blur(image: NDArray[np.uint8], sigma: float) -> None:
    radius = max(1, math.ceil(2.5 * sigma))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights = np.rint(2048 * weights / weights.sum()).astype(np.int32)
    weights[radius] += 2048 - weights.sum()
    lines = np.empty((2, 3 * (image.shape[1] + 2 * radius)), np.int32)
    kernels.blur_rgb(image.copy(), weights, lines, image)
