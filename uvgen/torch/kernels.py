"""Compiled code that turns images and maps, as they are stored, into the numbers that networks take."""

import numpy as np

from uvgen.compiled import kernel


@kernel
def planar_values(codes, scale, offset, values_out):
    """Interleaved numbers (3 n,) to planes (3, n) float32: code * scale + offset.

    Cast first: uint16 times float32 is float64 to numba, and three times as slow.
    """
    red, green, blue = values_out[0], values_out[1], values_out[2]
    for i in range(len(red)):
        red[i] = np.float32(codes[3 * i]) * scale + offset
        green[i] = np.float32(codes[3 * i + 1]) * scale + offset
        blue[i] = np.float32(codes[3 * i + 2]) * scale + offset


@kernel
def to_codes(values, factor, low, codes_out):
    """Nearest codes of real numbers (n,) float32, none below `low`: (value - low) * factor, into (n,) uint16."""
    for i in range(values.shape[0]):
        codes_out[i] = np.uint16(np.int32((values[i] - low) * factor + np.float32(0.5)))


@kernel
def add_up(values, sums_out):
    """Sum and sum of squares of numbers (n,) uint8, into (2,) int64."""
    total, squares = 0, 0
    for value in values:
        total += np.int64(value)
        squares += np.int64(value) * np.int64(value)
    sums_out[0], sums_out[1] = total, squares
