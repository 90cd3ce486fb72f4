"""Texture coordinates at the corners of triangles, made ones of vertices: seams are cut open, and charts packed.

Along a seam of its texture, a vertex has several UV, one in each chart. A model of uvgen has one UV per vertex, and a
triangle across a seam would lie over half of the map. So such a vertex is repeated, behind all others, which keep their
numbers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.wording import count

_SAME = 1e-6  # of the unit square: corners this close share a UV
_STRIP = 1 / 8  # of the unit square's height, for all charts but the first part's
_MARGIN = 1 / 64  # of a tile's sides


def split_seams(
    triangles: NDArray[np.integer[Any]], corner_uv: NDArray[np.float64], n: int, *, most_repeated: int = 8
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
    most_repeated : int
        Times n: a closed surface has six corners for each vertex.

    Returns
    -------
    triangles : (m, 3) int32
        Of vertices 0 to n + k - 1; those from n on are repeated ones.
    uv : (n + k, 2) float64
        A vertex keeps the first UV that a triangle gives it; (0, 0) where no triangle does.
    sources : (k,) int32
        The vertex that each repeated one repeats, rising.

    Raises
    ------
    InputError
        If k is more than `most_repeated` n: all that is known of a vertex is repeated, such as a basis.
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
    if (repeated := int((~leads).sum())) > most_repeated * n:
        raise InputError(
            f"texture coordinates: {len(order)} for {count(n, 'vertex')}, expected one for each and some more on seams"
        )
    number = np.empty(len(order), np.int64)
    number[order] = np.where(leads, owner, n - 1 + np.cumsum(~leads))
    found = np.zeros((n + repeated, 2))
    found[number] = uv[first]
    return number[group].reshape(-1, 3).astype(np.int32), found, owner[~leads].astype(np.int32)


def carried_corner_uv(
    triangles: NDArray[np.integer[Any]],
    kept: NDArray[np.integer[Any]],
    points: NDArray[np.floating[Any]],
    other: NDArray[np.integer[Any]],
    uv: NDArray[np.float64],
) -> NDArray[np.float64]:
    """UV at the corners of a mesh's triangles, from another mesh in which vertices on seams are repeated.

    Of a vertex on a seam, the other mesh has several, all in one place; which is meant says the triangle that has them.

    Parameters
    ----------
    triangles : (m, 3) int
        Of the mesh.
    kept : (n,) int
        The vertex in the other mesh of each of its vertices.
    points, other, uv : (N, 3) float, (M, 3) int, (N, 2) float
        Vertices, triangles and UV of the other mesh.

    Returns
    -------
    (m, 3, 2) float64
        Of a triangle that the other mesh does not have, those of `kept`.
    """
    corners = np.asarray(kept, np.int64)[triangles]
    found: NDArray[np.float64] = np.asarray(uv, np.float64)[corners]
    there, theirs = _same_rows(corners, other)
    lacking = np.flatnonzero(~np.isin(there, theirs))
    if not len(lacking):
        return found
    place = np.unique(points, axis=0, return_inverse=True)[1].reshape(-1)
    there, theirs = _same_rows(place[corners[lacking]], place[other])
    known, first = np.unique(theirs, return_index=True)
    at = np.minimum(np.searchsorted(known, there), len(known) - 1)
    has = known[at] == there
    matched = np.asarray(other, np.int64)[first[at[has]]]
    same = place[corners[lacking[has]]][:, :, None] == place[matched][:, None, :]
    found[lacking[has]] = uv[np.take_along_axis(matched, same.argmax(axis=2), axis=1)]
    return found


def _same_rows(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the rows of two arrays, the same where rows hold the same in any order."""
    rows = np.sort(np.concatenate([a, b]).astype(np.int64), axis=1)
    number = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
    return number[: len(a)], number[len(a) :]


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
