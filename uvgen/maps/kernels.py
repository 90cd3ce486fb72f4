"""Compiled code for maps and crops: plain loops over checked, C-contiguous arrays, into buffers of the caller.

Kernels allocate nothing, raise nothing and release the interpreter lock. Every public function that calls one
checks its arguments first.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.compiled import kernel, smaller


class TexelPlaces(NamedTuple):
    """Where t texels lie among points that move."""

    mean: NDArray[np.float32]
    """(t, 3) of each texel, before points move."""
    corners: NDArray[np.int32]
    """(t, 3) the points that each lies between."""
    weights: NDArray[np.float32]
    """(t, 3) of these points."""


@kernel
def smallest_depths(offsets, mean, affine, depths_out):
    """Smallest depth of each face over all its vertices.

    offsets (n, 3, b) float32: displacements from the mean, faces last; mean (n, 3) float32;
    affine (12, b) float32: each face's 3×4 map, row by row; depths_out (b,) float32.
    """
    n_faces = offsets.shape[2]
    for b in range(n_faces):
        depths_out[b] = np.inf
    for i in range(offsets.shape[0]):
        x0, y0, z0 = mean[i, 0], mean[i, 1], mean[i, 2]
        for b in range(n_faces):
            x, y, z = offsets[i, 0, b] + x0, offsets[i, 1, b] + y0, offsets[i, 2, b] + z0
            depth = affine[8, b] * x + affine[9, b] * y + affine[10, b] * z + affine[11, b]
            depths_out[b] = depth if depth < depths_out[b] else depths_out[b]


@kernel
def _place_texels(first, n, offsets, places, affine, positions_out):
    """Positions of texels first..first+n-1 of every face, faces last: the inner loop runs over vector lanes."""
    mean, corners, weights = places.mean, places.corners, places.weights
    for k in range(n):
        t = first + k
        i, j, l = corners[t, 0], corners[t, 1], corners[t, 2]  # noqa: E741
        wi, wj, wl = weights[t, 0], weights[t, 1], weights[t, 2]
        x0, y0, z0 = mean[t, 0], mean[t, 1], mean[t, 2]
        for b in range(offsets.shape[2]):
            x = wi * offsets[i, 0, b] + wj * offsets[j, 0, b] + wl * offsets[l, 0, b] + x0
            y = wi * offsets[i, 1, b] + wj * offsets[j, 1, b] + wl * offsets[l, 1, b] + y0
            z = wi * offsets[i, 2, b] + wj * offsets[j, 2, b] + wl * offsets[l, 2, b] + z0
            positions_out[k, 0, b] = affine[0, b] * x + affine[1, b] * y + affine[2, b] * z + affine[3, b]
            positions_out[k, 1, b] = affine[4, b] * x + affine[5, b] * y + affine[6, b] * z + affine[7, b]
            positions_out[k, 2, b] = affine[8, b] * x + affine[9, b] * y + affine[10, b] * z + affine[11, b]


@kernel
def interpolate_texels(offsets, places, affine, lane, scratch, maps_out):
    """Position maps of a batch: each texel's three vertices, weighted, then moved by the face's affine map.

    offsets (n, 3, b) float32: displacements from the mean, faces last; places: `TexelPlaces`; affine (12, b) float32:
    each face's 3×4 map, row by row; lane: that of the first face; scratch (block, 3, b + pad) float32; maps_out (at
    most b, t, 3) float32. Blocks of texels go through `scratch` because the maps want faces first: a block's
    transposition stays in the cache, where the pad keeps a face's column from falling into few cache sets.
    """
    for first in range(0, places.mean.shape[0], scratch.shape[0]):
        n = smaller(scratch.shape[0], places.mean.shape[0] - first)
        _place_texels(first, n, offsets, places, affine, scratch)
        for b in range(maps_out.shape[0]):
            for k in range(n):
                for c in range(3):
                    maps_out[b, first + k, c] = scratch[k, c, lane + b]


@kernel
def interpolate_texels_fixed(offsets, places, affine, lane, scratch, outside_out, codes_out):
    """`interpolate_texels` to integers: `affine` leads to codes plus 0.5, which are cut.

    outside_out (b,) int32: 0 on return where all of a face's codes are in 0..65535; codes_out (at most b, t, 3)
    uint16, without meaning where they are not.
    """
    for b in range(codes_out.shape[0]):
        outside_out[b] = 0
    for first in range(0, places.mean.shape[0], scratch.shape[0]):
        n = smaller(scratch.shape[0], places.mean.shape[0] - first)
        _place_texels(first, n, offsets, places, affine, scratch)
        for b in range(codes_out.shape[0]):
            bits = np.int32(0)
            for k in range(n):
                for c in range(3):
                    code = np.int32(np.floor(scratch[k, c, lane + b]))
                    bits |= code
                    codes_out[b, first + k, c] = np.uint16(code)
            outside_out[b] |= bits & np.int32(-65536)  # any bit beyond 16, the sign's included


@kernel
def _move_row(source, matrix, flip, target_out):
    """One row of texels, flat (3 u,), through an affine map to float32. Conversion and map are loops apart, so that
    both run in vector lanes."""
    n = source.shape[0] // 3
    if flip:
        for k in range(n):
            for c in range(3):
                target_out[3 * k + c] = np.float32(source[3 * (n - 1 - k) + c])
    else:
        for k in range(3 * n):
            target_out[k] = np.float32(source[k])
    a, b, tx = matrix[0, 0], matrix[0, 1], matrix[0, 3]
    c, d, ty = matrix[1, 0], matrix[1, 1], matrix[1, 3]
    s, tz = matrix[2, 2], matrix[2, 3]
    for k in range(n):
        x, y = target_out[3 * k], target_out[3 * k + 1]
        target_out[3 * k] = a * x + b * y + tx
        target_out[3 * k + 1] = c * x + d * y + ty
        target_out[3 * k + 2] = s * target_out[3 * k + 2] + tz


@kernel
def move_map(texels, matrix, flip, moved_out):
    """Positions through an affine map; with `flip`, the texels of each row in opposite order.

    texels (u, u, 3) float32 or uint16; matrix (3, 4) float32, z apart; moved_out (u, u, 3) float32.
    """
    for row in range(texels.shape[0]):
        _move_row(texels[row].reshape(-1), matrix, flip, moved_out[row].reshape(-1))


@kernel
def move_codes(texels, matrix, flip, line, codes_out):
    """`move_map` to 16-bit codes: `matrix` leads to codes plus 0.5, which are cut.

    line (3 u,) float32: scratch; codes_out (u, u, 3) uint16. Returns False if a value has no code in 0..65535.
    """
    bits = np.int32(0)
    for row in range(texels.shape[0]):
        _move_row(texels[row].reshape(-1), matrix, flip, line)
        target = codes_out[row].reshape(-1)
        for k in range(target.shape[0]):
            code = np.int32(np.floor(line[k]))
            bits |= code
            target[k] = np.uint16(code)
    return bits & np.int32(-65536) == 0  # no bit beyond 16, the sign's included


@kernel
def blend_texels(texels, sources, weights, values_out):
    """Some texels anew, as blends of others: values_out (k, 3) float32.

    texels (u², 3) float32 or uint16; sources (k, 4) int32; weights (k, 4) float32.
    """
    for k in range(sources.shape[0]):
        for c in range(3):
            total = np.float32(0)
            for j in range(4):
                total += weights[k, j] * np.float32(texels[sources[k, j], c])
            values_out[k, c] = total


@kernel
def place_vertices(offsets, mean, affine, lane, scratch, vertices_out):
    """The vertices of a batch of faces, moved by each one's affine map.

    offsets, mean, affine, lane and scratch as for `interpolate_texels`; vertices_out (at most b, n, 3) float32.
    """
    for first in range(0, mean.shape[0], scratch.shape[0]):
        n = smaller(scratch.shape[0], mean.shape[0] - first)
        for k in range(n):
            i = first + k
            x0, y0, z0 = mean[i, 0], mean[i, 1], mean[i, 2]
            for b in range(offsets.shape[2]):
                x, y, z = offsets[i, 0, b] + x0, offsets[i, 1, b] + y0, offsets[i, 2, b] + z0
                scratch[k, 0, b] = affine[0, b] * x + affine[1, b] * y + affine[2, b] * z + affine[3, b]
                scratch[k, 1, b] = affine[4, b] * x + affine[5, b] * y + affine[6, b] * z + affine[7, b]
                scratch[k, 2, b] = affine[8, b] * x + affine[9, b] * y + affine[10, b] * z + affine[11, b]
        for b in range(vertices_out.shape[0]):
            for k in range(n):
                for c in range(3):
                    vertices_out[b, first + k, c] = scratch[k, c, lane + b]
