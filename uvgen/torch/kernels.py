"""Compiled code that turns images and maps, as they are stored, into the numbers that networks take."""

import numpy as np

from uvgen.compiled import kernel


@kernel
def planar_values(codes, scale, offset, values_out):
    """Interleaved numbers (3 n,) to planes (3, n) float32: code * scale + offset, of each channel its own (3,) float32.

    Cast first: uint16 times float32 is float64 to numba, and three times as slow.
    """
    red, green, blue = values_out[0], values_out[1], values_out[2]
    scale0, scale1, scale2 = scale[0], scale[1], scale[2]
    offset0, offset1, offset2 = offset[0], offset[1], offset[2]
    for i in range(len(red)):
        red[i] = np.float32(codes[3 * i]) * scale0 + offset0
        green[i] = np.float32(codes[3 * i + 1]) * scale1 + offset1
        blue[i] = np.float32(codes[3 * i + 2]) * scale2 + offset2


@kernel
def interleaved_values(codes, scale, offset, values_out):
    """`planar_values`, but interleaved (3 n,) float32 as the codes are."""
    scale0, scale1, scale2 = scale[0], scale[1], scale[2]
    offset0, offset1, offset2 = offset[0], offset[1], offset[2]
    for i in range(len(values_out) // 3):
        values_out[3 * i] = np.float32(codes[3 * i]) * scale0 + offset0
        values_out[3 * i + 1] = np.float32(codes[3 * i + 1]) * scale1 + offset1
        values_out[3 * i + 2] = np.float32(codes[3 * i + 2]) * scale2 + offset2


@kernel
def to_codes(values, factor, low, codes_out):
    """Nearest codes of real numbers (n,) float32, none below `low`: (value - low) * factor, into (n,) uint16."""
    for i in range(values.shape[0]):
        codes_out[i] = np.uint16(np.int32((values[i] - low) * factor + np.float32(0.5)))


@kernel
def add_up(values, sums_out):
    """Sum and sum of squares of each channel of interleaved numbers (3 n,) uint8, into (2, 3) int64."""
    for c in range(3):
        total, squares = 0, 0
        for i in range(len(values) // 3):
            value = np.int64(values[3 * i + c])
            total += value
            squares += value * value
        sums_out[0, c], sums_out[1, c] = total, squares
