"""Compiled code for per-pixel targets: codes of what a mesh shows at each pixel, and which texels are seen.

As in `uvgen.maps.kernels`, nothing is allocated or raised. Triangles and weights are those of fragments that the caller
has just made of the same mesh, so that each index is in range.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.compiled import inlined, kernel

size_t, f4 = np.uintp, np.float32  # unsigned indices: of signed ones numba looks whether they count from the end
FAR = f4(np.inf)


class Shown(NamedTuple):
    """What a mesh shows at p pixels."""

    triangle: NDArray[np.int32]
    """(p,) -1 where there is none."""
    weights: NDArray[np.float32]
    """(3 p,) of its corners."""
    triangles: NDArray[np.uint32]
    """(3 m,) corners of the mesh's triangles."""


class TexelCorners(NamedTuple):
    """Where t texels lie on a mesh."""

    corners: NDArray[np.uint32]
    """(3 t,)"""
    weights: NDArray[np.float32]
    """(3 t,) of the corners."""
    on_mesh: NDArray[np.bool_]
    """(t,) whether a texel lies on it at all."""
    turned: np.float32
    """1 where triangles that face the viewer run clockwise on the screen, else -1."""


class View(NamedTuple):
    """What hides texels from the camera."""

    depth: NDArray[np.float32]
    """(h, w) px, -inf where nothing is."""
    tolerance: np.float32
    """px that a texel may lie behind what is drawn around it."""
    steepest: np.float32
    """px of depth a pixel that its own triangle's slope may add to that."""


@kernel
def attribute_codes(shown, values, factor, background, codes_out):
    """Codes ``value * factor``, rounded, of vertex attributes of 0 or more.

    shown: a `Shown`; values (n c,) float32; codes_out (p, c) of unsigned integers, `background` if there is no
    triangle.
    """
    triangle, weights, triangles = shown.triangle, shown.weights, shown.triangles
    channels = size_t(codes_out.shape[1])
    for p in range(size_t(len(triangle))):
        if triangle[p] < 0:
            for c in range(channels):
                codes_out[p, c] = background
            continue
        t = size_t(3) * size_t(triangle[p])
        w0, w1, w2 = weights[size_t(3) * p], weights[size_t(3) * p + size_t(1)], weights[size_t(3) * p + size_t(2)]
        w0, w1, w2 = w0 * factor, w1 * factor, w2 * factor
        i = size_t(triangles[t]) * channels
        j = size_t(triangles[t + size_t(1)]) * channels
        k = size_t(triangles[t + size_t(2)]) * channels
        for c in range(channels):
            codes_out[p, c] = np.int32(w0 * values[i + c] + w1 * values[j + c] + w2 * values[k + c] + f4(0.5))


@kernel
def normal_codes(shown, normals, middle, codes_out):
    """Codes ``middle * (1 + normal)``, rounded, of vertex normals (3 n,) float32 scaled to length 1 at each pixel.

    Of a pixel without a triangle, and where normals cancel out, the code of zero, `middle`. shown: a `Shown`; codes_out
    (p, 3) of unsigned integers.
    """
    triangle, weights, triangles = shown.triangle, shown.weights, shown.triangles
    shift = middle + f4(0.5)
    for p in range(size_t(len(triangle))):
        if triangle[p] < 0:
            for c in range(3):
                codes_out[p, c] = np.int32(shift)
            continue
        t = size_t(3) * size_t(triangle[p])
        w0, w1, w2 = weights[size_t(3) * p], weights[size_t(3) * p + size_t(1)], weights[size_t(3) * p + size_t(2)]
        i = size_t(triangles[t]) * size_t(3)
        j = size_t(triangles[t + size_t(1)]) * size_t(3)
        k = size_t(triangles[t + size_t(2)]) * size_t(3)
        one, two = size_t(1), size_t(2)
        x = w0 * normals[i] + w1 * normals[j] + w2 * normals[k]
        y = w0 * normals[i + one] + w1 * normals[j + one] + w2 * normals[k + one]
        z = w0 * normals[i + two] + w1 * normals[j + two] + w2 * normals[k + two]
        length = np.sqrt(x * x + y * y + z * z)
        scale = middle / length if length > 0 else f4(0)
        codes_out[p, 0] = np.int32(x * scale + shift)
        codes_out[p, 1] = np.int32(y * scale + shift)
        codes_out[p, 2] = np.int32(z * scale + shift)


@kernel
def depth_codes(triangle, depth, factor, codes_out):
    """Codes ``depth * factor``, rounded, (p,) uint16; 0 where there is no triangle. False if one has no code."""
    bits = np.int32(0)
    for p in range(len(triangle)):
        if triangle[p] < 0:
            codes_out[p] = 0
            continue
        code = np.int32(np.floor(depth[p] * factor + np.float32(0.5)))
        bits |= code
        codes_out[p] = np.uint16(code)
    return bits & np.int32(-65536) == 0


@kernel
def nearest_labels(shown, labels, background, labels_out):
    """The label (n,) uint8 of the corner that is nearest in weight, into (p,) uint8; see `attribute_codes`."""
    triangle, weights, triangles = shown.triangle, shown.weights, shown.triangles
    for p in range(size_t(len(triangle))):
        if triangle[p] < 0:
            labels_out[p] = background
            continue
        first = size_t(3) * p
        w0, w1, w2 = weights[first], weights[first + size_t(1)], weights[first + size_t(2)]
        corner = size_t(1) if w1 > w0 else size_t(0)
        corner = size_t(2) if w2 > max(w0, w1) else corner
        labels_out[p] = labels[size_t(triangles[size_t(3) * size_t(triangle[p]) + corner])]


@inlined
def _or_far(depth):
    """A pixel's depth; `FAR` if nothing is, so that it is not the farthest."""
    return depth if depth > -FAR else FAR


@kernel
def see_texels(vertices, texels, view, seen_out):
    """Which texels the camera sees: on the mesh, in the picture, turned to the viewer, and not behind a depth buffer.

    vertices (3 n,) float32, px of the picture; texels: `TexelCorners`; view: a `View`; seen_out (t,) bool. A texel is
    compared with the farthest of the up to four covered pixels around it, less the depth that its own triangle gains
    over a pixel, so that the slope of the surface that it lies on does not hide it.
    """
    corners, weights, on_mesh, turned = texels.corners, texels.weights, texels.on_mesh, texels.turned
    depth, tolerance, steepest = view.depth, view.tolerance, view.steepest
    height, width = depth.shape
    low, right, below = f4(-0.5), f4(width) - f4(0.5), f4(height) - f4(0.5)
    one, two, across = size_t(1), size_t(2), size_t(width)
    last_column, last_row = f4(width - 1), f4(height - 1)
    flat = depth.reshape(-1)
    for t in range(size_t(len(seen_out))):
        seen_out[t] = False
        if not on_mesh[t]:
            continue
        first = size_t(3) * t
        i = size_t(3) * size_t(corners[first])
        j = size_t(3) * size_t(corners[first + one])
        k = size_t(3) * size_t(corners[first + two])
        x0, y0, x1, y1 = vertices[i], vertices[i + one], vertices[j], vertices[j + one]
        x2, y2 = vertices[k], vertices[k + one]
        ux, uy, vx, vy = x1 - x0, y1 - y0, x2 - x0, y2 - y0
        area = ux * vy - uy * vx
        if not area * turned > 0:
            continue
        a, b, c = weights[first], weights[first + one], weights[first + two]
        x = a * x0 + b * x1 + c * x2
        y = a * y0 + b * y1 + c * y2
        if not ((x >= low) & (y >= low) & (x <= right) & (y <= below)):
            continue
        left, top = np.floor(x), np.floor(y)
        if (left >= f4(0)) & (top >= f4(0)) & (left < last_column) & (top < last_row):
            at = size_t(np.int32(top)) * across + size_t(np.int32(left))
            farthest = min(
                min(_or_far(flat[at]), _or_far(flat[at + one])),
                min(_or_far(flat[at + across]), _or_far(flat[at + across + one])),
            )
        else:
            column, row = np.int32(left), np.int32(top)
            farthest = FAR
            for r in range(max(row, 0), min(row + 2, height)):
                for s in range(max(column, 0), min(column + 2, width)):
                    farthest = min(farthest, _or_far(depth[r, s]))
        z0, z1, z2 = vertices[i + two], vertices[j + two], vertices[k + two]
        z = a * z0 + b * z1 + c * z2
        nearest = farthest - tolerance
        if (z >= nearest) | (farthest == FAR):
            seen_out[t] = True
        elif z >= nearest - steepest:  # the slope, whose division takes long, decides about few
            uz, vz = z1 - z0, z2 - z0
            slope = min((abs(uy * vz - uz * vy) + abs(uz * vx - ux * vz)) / abs(area), steepest)
            seen_out[t] = z >= nearest - slope
