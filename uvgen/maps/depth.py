"""The smallest depth over all vertices of a face, found exactly without evaluating them all.

Position maps are shifted so that the smallest z over all vertices is 0. Where a map has far fewer texels than the
model has vertices, finding that minimum the plain way would cost more than the map. So vertices are gathered in
clusters of neighbors; a cluster's center and radius bound its depths from below, for any parameters; and only
clusters that may hold the minimum are evaluated (branch and bound).
"""

import numpy as np
from numpy.typing import NDArray

from uvgen.models.morphable import MorphableModel

_CLUSTER = 64  # vertices: fewer make more centers to evaluate, more make looser bounds


class DepthSearch:
    """Finds smallest depths of a model's faces.

    Parameters
    ----------
    model : MorphableModel
        Its bases stay where they are; the clusters take 4 / 64 of their size.
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
        centers = (self._center_basis.reshape(-1, len(coefficients)) @ coefficients).reshape(-1, 3, n_faces)
        centers += self._center_mean[:, :, None]
        reach = self._reach_basis @ np.abs(coefficients) + self._reach_mean[:, None]
        length = np.linalg.norm(directions, axis=0)
        lower = np.einsum("cxb,xb->cb", centers, directions) - reach * length * np.float32(1.001)  # rounding included
        likely = np.unique(lower.argmin(axis=0))
        smallest = self._evaluate(likely, coefficients, directions)
        possible = (lower < smallest).any(axis=1)
        possible[likely] = False
        rest = np.flatnonzero(possible)
        return np.minimum(smallest, self._evaluate(rest, coefficients, directions)) if len(rest) else smallest

    def _evaluate(
        self, clusters: NDArray[np.intp], coefficients: NDArray[np.float32], directions: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        members = np.concatenate([self._clusters[c] for c in clusters])
        basis = self._model.basis[members].reshape(3 * len(members), -1)
        points = (basis @ coefficients).reshape(len(members), 3, -1) + self._model.mean[members][:, :, None]
        lowest: NDArray[np.float32] = np.einsum("vxb,xb->vb", points, directions).min(axis=0)
        return lowest


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
