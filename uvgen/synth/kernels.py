"""Compiled code that puts a synthetic photograph together: backdrop, antialiased mesh, lens and sensor."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.compiled import kernel, larger, smaller

f4 = np.float32
F0, F1, F2, HALF, WHITE = f4(0), f4(1), f4(2), f4(0.5), f4(255)  # a number that is called for takes longer to compile
CENTER, SIDE, CORNER = f4(0.25), f4(0.125), f4(0.0625)  # weights of 1 2 1 along both axes
INFINITE = f4(np.inf)


class Texture(NamedTuple):
    """What makes a backdrop lighter and darker."""

    tile: NDArray[np.float32]
    """(t, t) repeated."""
    top: int
    """Its row that comes first."""
    left: int
    """Its column that comes first."""
    gain: np.float32
    """Factor of its values."""


class PixelSamples(NamedTuple):
    """Fragments of a mesh, two samples of each pixel, to be mixed."""

    triangle: NDArray[np.int32]
    """(2, h, w) -1 where there is none."""
    weights: NDArray[np.float32]
    """(2, h, w, 3) of its corners."""
    depth: NDArray[np.float32]
    """(2, h, w)"""


class Grain(NamedTuple):
    """Noise of a sensor."""

    values: NDArray[np.float32]
    """(k,) repeated."""
    first: int
    """Index of the one that comes first."""
    strength: np.float32
    """Factor of them."""


@kernel
def paint_backdrop(planes, texture, mirrored, canvas_out):
    """Colors and a texture that makes them lighter and darker, mirrored if asked for.

    planes (h, 3, w) float32; texture: a `Texture`; canvas_out (h, w, 3) float32.
    """
    height, width = canvas_out.shape[:2]
    tile, top, left, gain = texture.tile, texture.top, texture.left, texture.gain
    side = len(tile)
    for y in range(height):
        row = tile[(y + top) % side]
        place = left % side
        for x in range(width):
            light = F1 + gain * row[place]
            place = place + 1 if place + 1 < side else 0  # a division each would take longer than all the rest
            column = width - 1 - x if mirrored else x
            canvas_out[y, column, 0] = planes[y, 0, x] * light
            canvas_out[y, column, 1] = planes[y, 1, x] * light
            canvas_out[y, column, 2] = planes[y, 2, x] * light


@kernel
def add_offsets(offsets, mean, lane, values_out):
    """Add what a matrix product made of a basis to the mean: offsets (n, lanes), mean (n,) float32; lane: that of
    the first face; values_out (b, n) float32.

    In blocks of 256 rows, which stay in the cache (16 kB of 16 lanes) while each face's values are put side by side.
    """
    n = len(mean)
    for first in range(0, n, 256):
        for b in range(len(values_out)):
            for i in range(first, smaller(first + 256, n)):
                values_out[b, i] = mean[i] + offsets[i, lane + b]


@kernel
def find_facing(points, triangles, numbers_out, facing_out, bounds_out):
    """Find the triangles that face the camera, clockwise in the picture; return how many there are.

    points (n, 3) float32; triangles (m, 3) int32; numbers_out (m,) and facing_out (m, 3) int32: which, and their
    corners; bounds_out (4,) float32: the points' smallest x, y and largest x, y.
    """
    left = top = INFINITE
    right = bottom = -INFINITE
    for i in range(len(points)):
        x, y = points[i, 0], points[i, 1]
        left = x if x < left else left
        top = y if y < top else top
        right = x if x > right else right
        bottom = y if y > bottom else bottom
    bounds_out[0], bounds_out[1], bounds_out[2], bounds_out[3] = left, top, right, bottom
    count = 0
    for t in range(len(triangles)):
        a, b, c = np.uint64(triangles[t, 0]), np.uint64(triangles[t, 1]), np.uint64(triangles[t, 2])
        x, y = points[a, 0], points[a, 1]
        numbers_out[count] = t
        facing_out[count, 0], facing_out[count, 1], facing_out[count, 2] = a, b, c
        count += (points[b, 0] - x) * (points[c, 1] - y) > (points[b, 1] - y) * (points[c, 0] - x)
    return count


@kernel
def list_shown(triangle, numbers, facing, shown_out, seen_out, listed_out):
    """List the triangles that fragments show, and mark their corners; return how many there are.

    triangle (p,) int32: rows of `numbers` and `facing` (see `find_facing`), or -1; shown_out (m,) and seen_out (n,)
    uint8: whether a row, and a point, is among them; listed_out (m,) int32: their numbers.
    """
    shown_out[:] = 0
    seen_out[:] = 0
    for p in range(len(triangle)):
        if triangle[p] >= 0:
            shown_out[triangle[p]] = 1
    count = 0
    for t in range(len(shown_out)):
        if shown_out[t]:
            seen_out[facing[t, 0]] = seen_out[facing[t, 1]] = seen_out[facing[t, 2]] = 1
            listed_out[count] = numbers[t]
            count += 1
    return count


@kernel
def draw_fragments(samples, triangles, colors, step, top, left, canvas_out, edges_out):
    """Draw fragments over a canvas, and mark both sides of every silhouette: where depth jumps by more than `step`.

    samples: `PixelSamples`; triangles (m, 3) int32; colors (n, 3) float32; canvas_out (H, W, 3) float32 and edges_out
    (H, W) bool, the fragments' first pixel at `top`, `left`.
    """
    triangle, weights, depth = samples.triangle, samples.weights, samples.depth
    height, width = depth.shape[1:]
    for y in range(height):
        below = smaller(y + 1, height - 1)
        for x in range(width):
            z = depth[0, y, x]
            if x + 1 < width and abs(z - depth[0, y, x + 1]) > step:
                edges_out[top + y, left + x] = True
                edges_out[top + y, left + x + 1] = True
            if abs(z - depth[0, below, x]) > step:
                edges_out[top + y, left + x] = True
                edges_out[top + below, left + x] = True
            if triangle[0, y, x] < 0 and triangle[1, y, x] < 0:
                continue
            red = green = blue = share = F0
            for k in range(2):
                t = triangle[k, y, x]
                if t < 0:
                    continue
                a = triangles[t, 0]
                b = triangles[t, 1]
                c = triangles[t, 2]
                wa = HALF * weights[k, y, x, 0]
                wb = HALF * weights[k, y, x, 1]
                wc = HALF * weights[k, y, x, 2]
                red += wa * colors[a, 0] + wb * colors[b, 0] + wc * colors[c, 0]
                green += wa * colors[a, 1] + wb * colors[b, 1] + wc * colors[c, 1]
                blue += wa * colors[a, 2] + wb * colors[b, 2] + wc * colors[c, 2]
                share += HALF
            pixel = canvas_out[top + y, left + x]
            pixel[0] = (F1 - share) * pixel[0] + red
            pixel[1] = (F1 - share) * pixel[1] + green
            pixel[2] = (F1 - share) * pixel[2] + blue


@kernel
def expose(canvas, edges, blur, grain, rows, image_out):
    """What a camera makes of a canvas: silhouettes without stairs, a slight symmetric blur, noise, 8 bits.

    canvas (h, w c) float32, c = 3; edges (h, w) bool, pixels to be mixed with their neighbors 1 2 1; blur, the weight
    of each of two neighbors along each axis; grain: a `Grain`; rows (2, w c) float32 scratch; image_out (h, w c) uint8.
    """
    noise, strength = grain.values, grain.strength
    height, width = canvas.shape
    center = F1 - F2 * blur
    k = grain.first
    for y in range(height):
        above = canvas[larger(y - 1, 0)]
        here = canvas[y]
        below = canvas[smaller(y + 1, height - 1)]
        column = rows[0]
        for x in range(width):
            column[x] = center * here[x] + blur * (above[x] + below[x])
        mixed = rows[1]
        left, middle, right, inner = column[: width - 6], column[3:], column[6:], mixed[3:]
        for x in range(width - 6):  # of arrays of their own: with offsets instead, LLVM makes no vector instructions
            inner[x] = center * middle[x] + blur * (left[x] + right[x])
        for x in range(3):
            mixed[x] = column[x]
            mixed[width - 3 + x] = column[width - 3 + x]
        for x in range(1, width // 3 - 1):
            if edges[y, x]:
                for i in range(3 * x, 3 * x + 3):
                    side = above[i - 3] + above[i + 3] + below[i - 3] + below[i + 3]
                    cross = above[i] + below[i] + here[i - 3] + here[i + 3]
                    mixed[i] = CORNER * side + SIDE * cross + CENTER * here[i]
        if k + width > len(noise):
            k = 0
        speckles = noise[k : k + width]
        for x in range(width):
            value = mixed[x] + strength * speckles[x] + HALF
            image_out[y, x] = np.uint8(smaller(larger(value, F0), WHITE))
        k += width
