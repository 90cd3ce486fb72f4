"""The nearest of a mesh's vertices, also where very many lie in one place."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_ALIKE = 64  # in one place: a tree holds them in one leaf, all of which is looked through for each point
_MOST_PAIRS = 1 << 31  # that are looked at, if all vertices are equally far from all points: 20 s
_FARTHER = 1.0  # share of the distance; a tenth would spare little


def nearest_vertices(
    vertices: NDArray[Any], points: NDArray[Any], *, exact: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance to the nearest vertex of each point, and its number.

    Parameters
    ----------
    vertices : (n, 3) float
        Finite. Vertices of no triangle often lie all in one place: files of meshes have them at the origin.
    points : (k, 3) float
        Finite. Each different one is looked up once.
    exact : bool
        If it need not be, and there are very many vertices and points, one up to twice as far away is found too.

    Returns
    -------
    distance : (k,) float64
    number : (k,) int64
        Where very many vertices lie in one place, the first of them.
    """
    from scipy.spatial import cKDTree

    wanted, place_of = np.unique(points, axis=0, return_inverse=True)
    eps = 0.0 if exact or len(wanted) * len(vertices) <= _MOST_PAIRS else _FARTHER
    places, first, times = np.unique(vertices, axis=0, return_index=True, return_counts=True)
    if times.max(initial=0) <= _MOST_ALIKE:
        distance, number = cKDTree(vertices).query(wanted, eps=eps)
    else:
        distance, number = cKDTree(places).query(wanted, eps=eps)
        number = first[number]
    place_of = place_of.ravel()
    return np.asarray(distance, np.float64)[place_of], np.asarray(number, np.int64)[place_of]
