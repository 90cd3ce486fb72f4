"""How likely each pixel's color is that of skin: compiled loops."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.compiled import kernel

_LOG2_E = np.float32(1.4426950408889634)
_LOWEST, _BIAS = np.float32(-126.0), np.int32(127)  # of a normal float32: smallest exponent, and what is added to it
_ROUND = np.float32(12582912.0)  # 1.5 · 2²³: added and taken away, it leaves the nearest whole number
# 2^f for f of -0.5 to 0.5: Taylor's polynomial, whose error is below 2e-7
_P1, _P2, _P3, _P4, _P5, _P6 = (
    np.float32(c) for c in (0.6931471805599453, 0.2402265069591007, 0.05550410866482158, 0.009618129107628477,
                            0.0013333558146428443, 0.00015403530393381608)
)  # fmt: skip


class SkinColors(NamedTuple):
    """Two mixtures of Gaussians in YCbCr: k in all, those of skin first."""

    matrix: NDArray[np.float32]
    """(3, 3) RGB -> YCbCr."""
    offset: NDArray[np.float32]
    """(3,) what is added after it."""
    means: NDArray[np.float32]
    """(k, 3)"""
    precisions: NDArray[np.float32]
    """(k, 6) inverse covariances, as yy, bb, rr, 2 yb, 2 yr, 2 br."""
    logs: NDArray[np.float32]
    """(k,) logarithms of weight over normalization."""
    n_skin: int


class SkinRows(NamedTuple):
    """Room for what is known of one row of pixels."""

    colors: NDArray[np.float32]
    """(3, w) in YCbCr."""
    sums: NDArray[np.float32]
    """(2, w) densities of skin, and of everything else."""
    power: NDArray[np.float32]
    """(w,) 2 to the fraction of one Gaussian's exponent."""
    bits: NDArray[np.int32]
    """(w,) 2 to the whole part of it, as the bits of a float32."""
    scale: NDArray[np.float32]
    """(w,) the same memory, as numbers."""


def skin_rows(width: int) -> SkinRows:
    """Scratch for images of a width."""
    bits = np.empty(width, np.int32)
    numbers = np.empty((6, width), np.float32)
    return SkinRows(numbers[:3], numbers[3:5], numbers[5], bits, bits.view(np.float32))


@kernel
def mark_skin(image, skin, rows, mask_out):
    """The share of the skin's Gaussians in the sum of all, times 255, of each pixel.

    Loops run along a row, without calls and branches, so that LLVM makes vector code of them.

    image : (h, w, 3) uint8, RGB
    skin : a `SkinColors`
    rows : a `SkinRows`, scratch
    mask_out : (h, w) uint8
    """
    height, width = mask_out.shape
    matrix, offset, means, precisions, logs = skin.matrix, skin.offset, skin.means, skin.precisions, skin.logs
    colors, sums, power, bits, scale = rows.colors, rows.sums, rows.power, rows.bits, rows.scale
    for row in range(height):
        for channel in range(3):
            of_red, of_green, of_blue = matrix[channel, 0], matrix[channel, 1], matrix[channel, 2]
            shift = offset[channel]
            for column in range(width):
                red = np.float32(image[row, column, 0])
                green = np.float32(image[row, column, 1])
                blue = np.float32(image[row, column, 2])
                colors[channel, column] = of_red * red + of_green * green + of_blue * blue + shift
        for column in range(width):
            sums[0, column] = np.float32(0)
            sums[1, column] = np.float32(0)
        for k in range(len(logs)):
            mean_y, mean_b, mean_r, log = means[k, 0], means[k, 1], means[k, 2], logs[k]
            yy, bb, rr, yb, yr, br = (
                precisions[k, 0], precisions[k, 1], precisions[k, 2],
                precisions[k, 3], precisions[k, 4], precisions[k, 5],
            )  # fmt: skip
            for column in range(width):
                y = colors[0, column] - mean_y
                b = colors[1, column] - mean_b
                r = colors[2, column] - mean_r
                distance = y * (yy * y + yb * b + yr * r) + b * (bb * b + br * r) + rr * r * r
                exponent = max((log - np.float32(0.5) * distance) * _LOG2_E, _LOWEST)
                whole = (exponent + _ROUND) - _ROUND
                f = exponent - whole
                power[column] = np.float32(1) + f * (_P1 + f * (_P2 + f * (_P3 + f * (_P4 + f * (_P5 + f * _P6)))))
                bits[column] = (np.int32(whole) + _BIAS) << np.int32(23)
            which = 0 if k < skin.n_skin else 1
            for column in range(width):
                sums[which, column] += power[column] * scale[column]
        for column in range(width):
            share = sums[0, column] / (sums[0, column] + sums[1, column])
            mask_out[row, column] = np.uint8(np.float32(255) * share + np.float32(0.5))
