"""The smallest depth over all vertices of a face, found exactly without evaluating them all.

Position maps are shifted so that the smallest z over all vertices is 0. Where a map has far fewer texels than the
model has vertices, finding that minimum the plain way would cost more than the map. So vertices are gathered in
clusters of neighbors; a cluster's center and radius bound its depths from below, for any parameters; and only
clusters that may hold the minimum are evaluated (branch and bound).
"""

import numpy as np
from numpy.typing import NDArray

from uvgen.batch_product import Columns, columns_of
from uvgen.models.morphable import MorphableModel

_CLUSTER = 64  # vertices: fewer make more centers to evaluate, more make looser bounds
_FACES = 16  # whose clusters are evaluated together


class DepthSearch:
    """Finds smallest depths of a model's faces.

    Parameters
    ----------
    model : MorphableModel
        Its bases are not copied; the clusters' own arrays take 2 to 4 % of the bases' size.
    """

    def __init__(self, model: MorphableModel) -> None:
        self._model = model
        self._clusters = _split(model.mean.astype(np.float64), np.arange(model.n_vertices))
        n, k = len(self._clusters), model.basis.shape[2]
        self._center_basis, self._reach_basis = np.empty((n, 3, k), np.float32), np.empty((n, k), np.float32)
        self._center_mean, self._reach_mean = np.empty((n, 3), np.float32), np.empty(n, np.float32)
        for c, members in enumerate(self._clusters):
            self._center_basis[c], self._reach_basis[c] = _center_and_reach(model.basis[members])
            self._center_mean[c], self._reach_mean[c] = _center_and_reach(model.mean[members])

    def smallest(self, coefficients: NDArray[np.float32], directions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Smallest ``direction · vertex`` of each face.

        Parameters
        ----------
        coefficients : (k, b) float32
            Shape, then expression parameters; faces last.
        directions : (3, b) float32
            Depth axis in the model frame, scaled.

        Returns
        -------
        (b,) float32
            Minimum over all vertices.
        """
        n_faces = coefficients.shape[1]
        n, _, k = self._center_basis.shape
        centers = (self._center_basis.reshape(3 * n, k) @ coefficients).reshape(n, 3, n_faces)
        centers += self._center_mean[:, :, None]
        reach = self._reach_basis @ np.abs(coefficients) + self._reach_mean[:, None]
        length = np.linalg.norm(directions, axis=0)
        lower = np.einsum("cxb,xb->cb", centers, directions) - reach * length * np.float32(1.001)  # rounding included
        smallest = np.empty(n_faces, np.float32)
        for first in range(0, n_faces, _FACES):
            part = slice(first, first + _FACES)
            smallest[part] = self._search(lower[:, part], coefficients[:, part], directions[:, part])
        return smallest

    def _search(
        self, lower: NDArray[np.float32], coefficients: NDArray[np.float32], directions: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The same for at most `_FACES` faces, with lower bounds (clusters, b) of their depths."""
        columns = columns_of(coefficients.T)
        likely = np.unique(lower.argmin(axis=0))
        smallest = np.full(len(directions.T), np.inf, np.float32)
        for cluster in likely:
            self._lower(smallest, cluster, columns, directions)
        possible = np.flatnonzero((lower < smallest).any(axis=1))
        for cluster in np.setdiff1d(possible, likely):
            self._lower(smallest, cluster, columns, directions)
        return smallest

    def _lower(
        self, smallest: NDArray[np.float32], cluster: np.intp, columns: Columns, directions: NDArray[np.float32]
    ) -> None:
        """Lower the smallest depths to those of a cluster, by a product that always has the same shape."""
        members = self._clusters[cluster]
        basis = self._model.basis[members].reshape(3 * len(members), -1)
        faces = slice(columns.first, columns.first + len(smallest))
        points = (basis @ columns.matrix).reshape(len(members), 3, -1)[:, :, faces]
        points = points + self._model.mean[members][:, :, None]
        x, y, z = (points[:, k] * directions[k] for k in range(3))  # einsum rounds otherwise at the end of a row
        np.minimum(smallest, (x + y + z).min(axis=0), out=smallest)


def _center_and_reach(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean of (v, 3, …) vectors over v, and the largest distance from it."""
    center = vectors.mean(axis=0)
    return center, np.linalg.norm(vectors - center, axis=1).max(axis=0)


def _split(points: NDArray[np.float64], members: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Clusters of neighbors: halves along the longest side, again and again."""
    if len(members) <= _CLUSTER:
        return [members]
    inside = points[members]
    order = np.argsort(inside[:, np.ptp(inside, axis=0).argmax()], kind="stable")
    half = len(members) // 2
    return _split(points, members[order[:half]]) + _split(points, members[order[half:]])
