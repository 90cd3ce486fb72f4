"""Compiled code for augmentation: labels moved in their values, occluders, colors, blur and noise.

Kernels allocate nothing, raise nothing and release the interpreter lock. Random textures come from a hash of the
pixel's position, so that they depend neither on order nor on a generator's state.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.compiled import kernel

RECTANGLE, BLOB = 0, 1
NOISE, COLOR, IMAGE = 0, 1, 2
N_RADII = 128  # of a blob, all around


class Outline(NamedTuple):
    """Where an occluder is."""

    frame: NDArray[np.float64]
    """(2, 3) pixel → the occluder's own frame, in which it fills the square from -1 to 1."""
    shape: int
    """`RECTANGLE` or `BLOB`."""
    radii: NDArray[np.float64]
    """(`N_RADII`,) of a blob."""


class Filling(NamedTuple):
    """What an occluder shows."""

    kind: int
    """`NOISE`, `COLOR` or `IMAGE`."""
    color: NDArray[np.uint8]
    """(3,)"""
    cell: int
    """px, side of the noise's squares."""
    seed: np.uint64
    """Seed of the noise, and of where the image begins."""
    content: NDArray[np.uint8]
    """(h, w, 3) the image, repeated as tiles."""


@kernel
def _inside(p, q, shape, radii):
    """Whether a point of an occluder's own frame belongs to it."""
    if not (abs(p) <= 1.0 and abs(q) <= 1.0):
        return False
    if shape == RECTANGLE:
        return True
    size = abs(p) + abs(q)
    if size == 0.0:
        return True
    turn = q / size if p >= 0 else 2.0 - q / size  # grows with the angle, from -1 to 3, without a trigonometric
    place = min(int((turn + 1.0) * (N_RADII / 4)), N_RADII - 1)
    return p * p + q * q <= radii[place] * radii[place]


@kernel
def _hash(x):
    """A well mixed 64-bit number for each 64-bit number (splitmix64's finalizer, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel
def draw_occluder(outline, filling, crop_out):
    """Draw one occluder, an `Outline` with a `Filling`, over a crop (r, r, 3) uint8, in place."""
    frame, shape, radii = outline.frame, outline.shape, outline.radii
    fill, color, cell, content = filling.kind, filling.color, filling.cell, filling.content
    n_rows, n_columns = crop_out.shape[0], crop_out.shape[1]
    determinant = frame[0, 0] * frame[1, 1] - frame[0, 1] * frame[1, 0]
    center_x = (frame[0, 1] * frame[1, 2] - frame[1, 1] * frame[0, 2]) / determinant
    center_y = (frame[1, 0] * frame[0, 2] - frame[0, 0] * frame[1, 2]) / determinant
    reach_x = (abs(frame[1, 1]) + abs(frame[0, 1])) / abs(determinant)
    reach_y = (abs(frame[1, 0]) + abs(frame[0, 0])) / abs(determinant)
    first_row, last_row = max(int(np.ceil(center_y - reach_y)), 0), min(int(center_y + reach_y) + 1, n_rows)
    first, last = max(int(np.ceil(center_x - reach_x)), 0), min(int(center_x + reach_x) + 1, n_columns)
    start = _hash(filling.seed)
    shift_x = int(start % np.uint64(content.shape[1]))
    shift_y = int((start >> np.uint64(32)) % np.uint64(content.shape[0]))
    for row in range(first_row, last_row):
        for column in range(first, last):
            p = frame[0, 0] * column + frame[0, 1] * row + frame[0, 2]
            q = frame[1, 0] * column + frame[1, 1] * row + frame[1, 2]
            if not _inside(p, q, shape, radii):
                continue
            if fill == COLOR:
                for c in range(3):
                    crop_out[row, column, c] = color[c]
            elif fill == IMAGE:
                y, x = (row + shift_y) % content.shape[0], (column + shift_x) % content.shape[1]
                for c in range(3):
                    crop_out[row, column, c] = content[y, x, c]
            else:
                bits = _hash(start + (np.uint64(row // cell) << np.uint64(32)) + np.uint64(column // cell))
                for c in range(3):
                    crop_out[row, column, c] = np.uint8(bits >> np.uint64(8 * c))


@kernel
def mark_occluded(texels, outline, occluded_out):
    """Set the texels whose x, y lie in an occluder, and leave the others as they are.

    texels (u², 3) float32; outline: the occluder's `Outline`; occluded_out (u²,) bool.
    """
    frame, shape, radii = outline.frame, outline.shape, outline.radii
    for t in range(texels.shape[0]):
        x, y = texels[t, 0], texels[t, 1]
        p = frame[0, 0] * x + frame[0, 1] * y + frame[0, 2]
        q = frame[1, 0] * x + frame[1, 1] * y + frame[1, 2]
        if _inside(p, q, shape, radii):
            occluded_out[t] = True


@kernel
def scale_channels(factors, term, rows_out):
    """v → (v * factor + term) / 2^12, cut to 0..255, in place.

    factors (3 w,) int32: each column's channel's, repeated so that the loop has one kind of step; term int32; rows_out
    (h, 3 w) uint8.
    """
    zero, top, bits = np.int32(0), np.int32(255), np.int32(12)
    for row in range(rows_out.shape[0]):
        line = rows_out[row]
        for k in range(line.shape[0]):
            line[k] = np.uint8(min(max((np.int32(line[k]) * factors[k] + term) >> bits, zero), top))


@kernel
def mix_channels(tables, pixels_out):
    """Each pixel's (r, g, b) → the sum of three table entries, cut to 0..255, in place.

    tables (3, 256) uint64: what a channel's value adds to all three, 21 bits each with 5 behind the point, together
    2^20 more than the result; pixels_out (n, 3) uint8.
    """
    mask, offset, bits = np.uint64((1 << 21) - 1), np.int32(1 << 20), np.int32(5)
    zero, top = np.int32(0), np.int32(255)
    red, green, blue = tables[0], tables[1], tables[2]
    for k in range(pixels_out.shape[0]):
        total = red[pixels_out[k, 0]] + green[pixels_out[k, 1]] + blue[pixels_out[k, 2]]
        for c in range(3):
            value = (np.int32((total >> np.uint64(21 * c)) & mask) - offset) >> bits
            pixels_out[k, c] = np.uint8(min(max(value, zero), top))


@kernel
def blur_rgb(image, weights, lines, blurred_out):
    """Blur both ways with weights that sum to 2^14; the outermost pixels are repeated beyond the edge.

    Between the two ways, values have 8 bits behind the point.

    image (h, w, 3) uint8; weights (2 k + 1,) int32; lines (2, 3 (w + 2 k)) int32: scratch; blurred_out (h, w, 3) uint8.
    """
    height, stride = image.shape[0], 3 * image.shape[1]
    radius = weights.shape[0] // 2
    source, target = image.reshape(height, -1), blurred_out.reshape(height, -1)
    pad = 3 * radius
    line, sums = lines[0], lines[1]
    for row in range(height):
        middle = line[pad : pad + stride]
        middle[:] = 0
        for j in range(weights.shape[0]):
            other, weight = source[min(max(row + j - radius, 0), height - 1)], weights[j]
            for k in range(stride):
                middle[k] += weight * np.int32(other[k])
        for k in range(stride):
            middle[k] = (middle[k] + np.int32(32)) >> np.int32(6)  # 14 bits behind the point to 8
        for k in range(pad):
            line[k] = middle[k % 3]
            line[pad + stride + k] = middle[stride - 3 + k % 3]
        sums[:] = 1 << 21  # half a gray level: 8 bits and the weights' 14 are 22
        for j in range(weights.shape[0]):
            shifted, weight = line[3 * j : 3 * j + stride], weights[j]
            for k in range(stride):
                sums[k] += weight * shifted[k]
        goal = target[row]
        for k in range(stride):
            goal[k] = np.uint8(sums[k] >> np.int32(22))


@kernel
def add_noise(strength, seed, values_out):
    """Add nearly normal noise in place: the sum of four uniform numbers.

    strength float32: standard deviation in gray levels; seed uint64; values_out (n,) uint8.
    """
    factor = np.float32(strength / 37837.22)  # standard deviation of the sum below: sqrt(4 / 12) * 2^16
    sixteen = np.uint64(0xFFFF)
    middle = np.float32(131070)  # its mean: 4 * (2^16 - 1) / 2
    start = _hash(seed)
    for k in range(values_out.shape[0]):
        bits = _hash(start + np.uint64(k))
        total = (bits & sixteen) + ((bits >> np.uint64(16)) & sixteen)
        total += ((bits >> np.uint64(32)) & sixteen) + (bits >> np.uint64(48))
        value = np.float32(values_out[k]) + factor * (np.float32(np.int32(total)) - middle) + np.float32(0.5)
        values_out[k] = np.uint8(np.int32(min(max(value, np.float32(0)), np.float32(255))))
