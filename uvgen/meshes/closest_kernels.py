"""Compiled code that finds the closest points of a triangle mesh in a tree of bounding boxes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.compiled import inlined, kernel

STACK = 64  # nodes that wait at most: one for each level of the tree and one more; no mesh fills 2^62 leaves


class BoxTree(NamedTuple):
    """A complete binary tree of bounding boxes: node i lies above nodes 2 i + 1 and 2 i + 2.

    Its last n // 2 + 1 nodes are leaves, and each of them holds as many triangles as the others.
    """

    corners: NDArray[np.float64]
    """(s, 3, 3) of the triangles, leaf by leaf."""
    low: NDArray[np.float64]
    """(n, 3) smallest coordinates of each node's box."""
    high: NDArray[np.float64]
    """(n, 3) largest coordinates."""


@inlined
def _box_distance2(low, high, node, x, y, z):
    """Squared distance of a point to a box; 0 inside the box."""
    dx = max(max(low[node, 0] - x, x - high[node, 0]), 0.0)
    dy = max(max(low[node, 1] - y, y - high[node, 1]), 0.0)
    dz = max(max(low[node, 2] - z, z - high[node, 2]), 0.0)
    return dx * dx + dy * dy + dz * dz


@inlined
def _dot(ax, ay, az, bx, by, bz):
    return ax * bx + ay * by + az * bz


@inlined
def _closest_weights(corners, slot, x, y, z):
    """Weights of the second and third corner at the point of a triangle that is closest to x, y, z.

    Ericson, Real-Time Collision Detection, 5.1.5: the corner, edge or face in whose region the point lies.
    """
    ax, ay, az = corners[slot, 0, 0], corners[slot, 0, 1], corners[slot, 0, 2]
    abx, aby, abz = corners[slot, 1, 0] - ax, corners[slot, 1, 1] - ay, corners[slot, 1, 2] - az
    acx, acy, acz = corners[slot, 2, 0] - ax, corners[slot, 2, 1] - ay, corners[slot, 2, 2] - az
    px, py, pz = x - ax, y - ay, z - az
    d1, d2 = _dot(abx, aby, abz, px, py, pz), _dot(acx, acy, acz, px, py, pz)
    if d1 <= 0.0 and d2 <= 0.0:
        return 0.0, 0.0
    bb, bc, cc = (
        _dot(abx, aby, abz, abx, aby, abz),
        _dot(abx, aby, abz, acx, acy, acz),
        _dot(acx, acy, acz, acx, acy, acz),
    )
    d3, d4 = d1 - bb, d2 - bc
    if d3 >= 0.0 and d4 <= d3:
        return 1.0, 0.0
    vc = d1 * d4 - d3 * d2
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        return d1 / (d1 - d3), 0.0
    d5, d6 = d1 - bc, d2 - cc
    if d6 >= 0.0 and d5 <= d6:
        return 0.0, 1.0
    vb = d5 * d2 - d1 * d6
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        return 0.0, d2 / (d2 - d6)
    va = d3 * d6 - d5 * d4
    if va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        return 1.0 - w, w
    total = va + vb + vc
    return vb / total, vc / total


@kernel
def closest_on_triangles(points, tree, farthest2, stack, slot_out, weights_out, squared_out):
    """The closest point of a mesh to each point.

    points (k, 3) float64; tree: a `BoxTree`; farthest2 float64: the squared distance to search within; stack (`STACK`,)
    int64: scratch; slot_out (k,) int64: which of the tree's triangles, -1 where none is within that distance;
    weights_out (k, 3) float64: of its corners, left as they are if there is none; squared_out (k,) float64: the
    squared distance, `farthest2` if there is none.
    """
    corners, low, high = tree.corners, tree.low, tree.high
    first_leaf = low.shape[0] // 2
    leaf_size = corners.shape[0] // (first_leaf + 1)
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        best = farthest2
        slot_out[i] = -1
        top = 0
        if _box_distance2(low, high, 0, x, y, z) < best:
            stack[0] = 0
            top = 1
        while top > 0:
            top -= 1
            node = stack[top]
            if not _box_distance2(low, high, node, x, y, z) < best:
                continue
            if node < first_leaf:
                near, far = 2 * node + 1, 2 * node + 2
                near2, far2 = _box_distance2(low, high, near, x, y, z), _box_distance2(low, high, far, x, y, z)
                if far2 < near2:
                    near, far, near2, far2 = far, near, far2, near2
                if far2 < best:
                    stack[top] = far
                    top += 1
                if near2 < best:
                    stack[top] = near
                    top += 1
                continue
            start = (node - first_leaf) * leaf_size
            for slot in range(start, start + leaf_size):
                v, w = _closest_weights(corners, slot, x, y, z)
                u = 1.0 - v - w
                distance2 = 0.0
                for axis in range(3):
                    at = u * corners[slot, 0, axis] + v * corners[slot, 1, axis] + w * corners[slot, 2, axis]
                    distance2 += (points[i, axis] - at) * (points[i, axis] - at)
                if distance2 < best:
                    best = distance2
                    slot_out[i] = slot
                    weights_out[i, 0], weights_out[i, 1], weights_out[i, 2] = u, v, w
        squared_out[i] = best
