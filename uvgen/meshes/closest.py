"""Exact closest points on a triangle mesh, found in a tree of bounding boxes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import bad_index, check_finite, float64_array, number_in, triangle_indices
from uvgen.errors import InputError
from uvgen.meshes import closest_kernels

_LEAF = 4  # triangles per leaf
_PROBES = 16  # places on a mesh at which its boxes are counted


class Closest(NamedTuple):
    """The closest points on a mesh's surface to some points (k, 3)."""

    triangle: NDArray[np.int64]
    """(k,) the triangle that each lies in; -1 where none is near enough."""
    weights: NDArray[np.float64]
    """(k, 3) barycentric weights of the triangle's corners; 0 where none is near enough."""
    distance: NDArray[np.float64]
    """(k,) in the mesh's unit; infinite if none is near enough."""


class ClosestPoints:
    """A triangle mesh, prepared for finding closest points on its surface.

    Parameters
    ----------
    vertices : (n, 3) float
        Finite.
    triangles : (m, 3) int
        At least one must have an area; those without one are ignored.

    Raises
    ------
    InputError
        If shapes or values are wrong.
    """

    def __init__(self, vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> None:
        vertices = float64_array(vertices, "vertices", (-1, 3))
        check_finite(vertices, "vertices")
        indices = triangle_indices(triangles, len(vertices)).reshape(-1, 3).view(np.int32)
        if indices.size and not 0 <= indices.min() <= indices.max() < len(vertices):
            raise bad_index(triangles, len(vertices))
        corners = vertices[indices]
        areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        used = np.flatnonzero(areas > 0)
        if not len(used):
            raise InputError(f"triangles: {len(indices)}, none with an area, expected one or more")
        self._order = used[_leaf_order(corners[used].mean(axis=1))]
        corners = np.ascontiguousarray(corners[self._order])
        leaves = len(corners) // _LEAF
        low, high = np.empty((2 * leaves - 1, 3)), np.empty((2 * leaves - 1, 3))
        low[leaves - 1 :] = corners.reshape(leaves, -1, 3).min(axis=1)
        high[leaves - 1 :] = corners.reshape(leaves, -1, 3).max(axis=1)
        while leaves > 1:
            below = slice(leaves - 1, 2 * leaves - 1)
            leaves //= 2
            above = slice(leaves - 1, 2 * leaves - 1)
            low[above] = low[below].reshape(leaves, 2, 3).min(axis=1)
            high[above] = high[below].reshape(leaves, 2, 3).max(axis=1)
        self._tree = closest_kernels.BoxTree(corners, low, high)

    def crowding(self) -> float:
        """How many of the tree's smallest boxes a place on the mesh lies in, in the mean: a few on a surface.

        The time to find a point grows with it, up to the number of all triangles where these lie all through each
        other.
        """
        corners, leaves = self._tree.corners, len(self._tree.low) // 2
        low, high = self._tree.low[leaves:], self._tree.high[leaves:]
        others = np.flatnonzero(self._order < self._order.max())  # than the one that fills the leaves
        probes = others[:: -(-len(others) // _PROBES)] if len(others) else [0]
        inside = []
        for at in corners[probes].mean(axis=1):
            beside = np.flatnonzero((low[:, 0] <= at[0]) & (at[0] <= high[:, 0]))
            inside.append(((low[beside] <= at) & (at <= high[beside])).all(axis=1).sum())
        return float(np.mean(inside))  # no median: a part where triangles crowd takes its share of the time

    def find(self, points: NDArray[np.floating], farthest: float = np.inf) -> Closest:
        """The point of the surface that is closest to each point.

        Parameters
        ----------
        points : (k, 3) float
            Finite.
        farthest : float
            How far away the surface may be, in the mesh's unit.

        Returns
        -------
        Closest

        Raises
        ------
        InputError
            If a shape is wrong, a point is not finite, or `farthest` is negative or NaN.
        """
        points = np.ascontiguousarray(float64_array(points, "points", ("k", 3)))
        check_finite(points, "points")
        if farthest != np.inf:
            number_in(farthest, "farthest", 0)
        slot, weights = np.empty(len(points), np.int64), np.zeros((len(points), 3))
        distance2 = np.empty(len(points))
        stack = np.empty(closest_kernels.STACK, np.int64)
        closest_kernels.closest_on_triangles(points, self._tree, float(farthest) ** 2, stack, slot, weights, distance2)
        found = slot >= 0
        triangle = np.where(found, self._order[slot], -1)
        return Closest(triangle, weights, np.where(found, np.sqrt(distance2), np.inf))


def _leaf_order(middles: NDArray[np.float64]) -> NDArray[np.int64]:
    """Triangles (s,) in the order of a complete binary tree's leaves, by their centers (m, 3).

    Each node halves its triangles along the longest axis of their centers. The last one repeats to fill the leaves.
    """
    levels = max(int(np.ceil(np.log2(len(middles) / _LEAF))), 0)
    order = np.minimum(np.arange(_LEAF << levels), len(middles) - 1)
    for level in range(levels):
        block = order.reshape(1 << level, -1)
        inside = middles[block]
        axis = np.ptp(inside, axis=1).argmax(axis=1)
        key = np.take_along_axis(inside, axis[:, None, None], axis=2)[..., 0]
        order = np.take_along_axis(block, np.argsort(key, axis=1, kind="stable"), axis=1).ravel()
    return order
