"""The nearest of a mesh's vertices, also where very many lie in one place."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_ALIKE = 64  # in one place: a tree holds them in one leaf, all of which is looked through for each point


def nearest_vertices(vertices: NDArray[Any], points: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance to the nearest vertex of each point, and its number.

    Parameters
    ----------
    vertices : (n, 3) float
        Finite. Vertices of no triangle often lie all in one place: files of meshes have them at the origin.
    points : (k, 3) float
        Finite.

    Returns
    -------
    distance : (k,) float64
    number : (k,) int64
        Where very many vertices lie in one place, the first of them.
    """
    from scipy.spatial import cKDTree

    places, first, times = np.unique(vertices, axis=0, return_index=True, return_counts=True)
    if times.max(initial=0) <= _MOST_ALIKE:
        distance, number = cKDTree(vertices).query(points)
    else:
        distance, number = cKDTree(places).query(points)
        number = first[number]
    return np.asarray(distance, np.float64), np.asarray(number, np.int64)
