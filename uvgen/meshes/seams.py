"""Texture coordinates at the corners of triangles, made ones of vertices: seams are cut open, and charts packed.

Along a seam of its texture, a vertex has several UV, one in each chart. A model of uvgen has one UV per vertex, and a
triangle across a seam would lie over half of the map. So such a vertex is repeated, behind all others, which keep their
numbers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAME = 1e-6  # of the unit square: corners this close share a UV
_STRIP = 1 / 8  # of the unit square's height, for all charts but the first part's
_MARGIN = 1 / 64  # of a tile's sides


def split_seams(
    triangles: NDArray[np.integer[Any]], corner_uv: NDArray[np.float64], n: int
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int32]]:
    """A mesh whose vertices have one UV each.

    Parameters
    ----------
    triangles : (m, 3) int
        Vertices 0 to n - 1.
    corner_uv : (m, 3, 2) float
        UV of each corner, finite.
    n : int
        Vertices.

    Returns
    -------
    triangles : (m, 3) int32
        Of vertices 0 to n + k - 1; those from n on are repeated ones.
    uv : (n + k, 2) float64
        A vertex keeps the first UV that a triangle gives it; (0, 0) where no triangle does.
    sources : (k,) int32
        The vertex that each repeated one repeats, rising.
    """
    vertex = np.asarray(triangles, np.int64).reshape(-1)
    uv = np.asarray(corner_uv, np.float64).reshape(-1, 2)
    places = np.round(uv / _SAME).astype(np.int64)
    keys = np.stack([vertex, places[:, 0], places[:, 1]], axis=1)
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    order = np.lexsort((first, vertex[first]))  # of groups: by vertex, then by the corner that names them first
    owner = vertex[first[order]]
    leads = np.diff(owner, prepend=-1) != 0
    number = np.empty(len(order), np.int64)
    number[order] = np.where(leads, owner, n - 1 + np.cumsum(~leads))
    found = np.zeros((n + int((~leads).sum()), 2))
    found[number] = uv[first]
    return number[group].reshape(-1, 3).astype(np.int32), found, owner[~leads].astype(np.int32)


def pack_parts(uv: NDArray[np.float64], part: NDArray[np.int32]) -> NDArray[np.float64]:
    """UV of parts that each fill the unit square by themselves, put side by side in one.

    Parameters
    ----------
    uv : (n, 2) float
        Finite.
    part : (n,) int
        Of each vertex, 0 or more. Triangles must not have corners of two parts.

    Returns
    -------
    (n, 2) float64
        Part 0 takes the upper seven eighths of the unit square, the others tiles of one size in a row below, in order.
        Each is stretched to fill its own.
    """
    packed = np.empty((len(uv), 2))
    parts = np.unique(part)
    others = parts[parts != 0]
    for number in parts.tolist():
        of_it = part == number
        low, high = uv[of_it].min(axis=0), uv[of_it].max(axis=0)
        extent = np.where(high > low, high - low, 1.0)
        unit = (uv[of_it] - low) / extent
        if number == 0:
            packed[of_it] = [0.0, _STRIP] + unit * [1.0, 1 - _STRIP] if len(others) else unit
        else:
            tile = np.array([1 / len(others), _STRIP])
            corner = np.array([float(np.searchsorted(others, number)), 0.0]) * tile
            packed[of_it] = corner + (_MARGIN + (1 - 2 * _MARGIN) * unit) * tile
    return packed
