"""A morphable model as what scans are registered to: millimeters, its smoothness, and its faces at some vertices."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.geometry import rotations_about
from uvgen.meshes.harmonic import factors, laplacian
from uvgen.meshes.scans import outward_normals
from uvgen.models.morphable import MorphableModel
from uvgen.similarity import Similarity

_MOST_ROWS = 5000  # vertices that are compared with a scan while coefficients are sought
_LEAST_AREA = 1e-3  # of the mean one: what a vertex without triangles, or in tiny ones, counts
_KEPT = 1e-3  # weight of staying where one is, where nothing says where to go
_STEP_TOLERANCE = 1e-9

JAW = 17
"""The first landmarks, which mark no place of their own on a face."""


class Template:
    """What a process needs of a model, made once.

    Attributes
    ----------
    mean : (n, 3) float64
        mm.
    triangles : (m, 3) int32
        The model's.
    landmarks : (68,) int32
    area : (n,) float64
        Of the surface that is each vertex's, mm².
    rows : (r,) int64
        Vertices that stand for all while coefficients are sought.
    std : (k,) float64
        Of the coefficients; 0 for those that are not used.
    """

    def __init__(self, model: MorphableModel) -> None:
        self._model = model
        self.mean = model.mean.astype(np.float64) / 1e3
        self.triangles, self.landmarks = model.triangles, model.landmarks
        closed = np.concatenate([model.triangles, model.mouth_triangles])
        corners = self.mean[closed]
        areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
        area = np.bincount(closed.ravel(), np.repeat(areas / 3, 3), minlength=len(self.mean))
        self.area = np.maximum(area, _LEAST_AREA * area.mean())
        std = np.concatenate([model.shape_std, model.expression_std]).astype(np.float64)
        self.std = np.where(np.isfinite(std) & (std > 0), std, 0)
        used = np.unique(model.triangles)
        self.rows = used[:: -(-len(used) // _MOST_ROWS)]
        self._bending = bending(self.mean, closed, self.area)

    def basis(self, vertices: NDArray[Any]) -> NDArray[np.float64]:
        """(v, 3, k): mm for a standard deviation."""
        return np.asarray(self._model.basis[vertices].astype(np.float64) * (self.std / 1e3))

    def face(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 3) mm: the model's face of (k,) coefficients in standard deviations."""
        scaled = (coefficients * self.std / 1e3).astype(np.float32)
        return np.asarray(self.mean + self._model.basis @ scaled)

    def smoother(self, length: float) -> "Smoother":
        """Smooth fields of vectors whose bends are longer than a length in mm."""
        return Smoother(self._bending * length**4, self.area)


class Smoother:
    """Vector fields over the vertices, near given ones and smooth: Σ area w |d - d*|² + length⁴ ∫ |Δd|² is least."""

    def __init__(self, bending: Any, area: NDArray[np.float64]) -> None:
        self._bending, self._area = bending, area
        self._solver: Any = None

    def solve(self, wanted: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The field (n, 3) for wanted vectors (n, 3) with weights (n,), at most some 1 a vertex."""
        from scipy.sparse import diags_array
        from scipy.sparse.linalg import LinearOperator, cg

        matrix = (diags_array(self._area * (weights + _KEPT)) + self._bending).tocsc()
        right = (self._area * weights)[:, None] * wanted
        if self._solver is None:
            options = {"options": {"SymmetricMode": True}, "diag_pivot_thresh": 0.01}
            self._solver = factors(matrix, permc_spec="MMD_AT_PLUS_A", **options)
            return np.asarray(self._solver.solve(right))
        nearly = LinearOperator(matrix.shape, self._solver.solve)  # of weights that differ at some vertices
        start = self._solver.solve(right)
        columns = [cg(matrix, right[:, k], x0=start[:, k], M=nearly, rtol=1e-6, maxiter=200)[0] for k in range(3)]
        return np.stack(columns, axis=1)


def bending(mean: NDArray[np.float64], triangles: NDArray[np.int32], area: NDArray[np.float64]) -> Any:
    """(n, n) sparse: ∫ |Δd|² of a field d; parts of the mesh that hang together nowhere are tied to their neighbors."""
    from scipy.sparse import coo_array, diags_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    n = len(mean)
    plain = laplacian(mean, triangles)
    _, part = connected_components(plain, directed=False)
    largest = np.flatnonzero(part == np.bincount(part).argmax())
    others = np.flatnonzero(part != part[largest[0]])
    if len(others):
        near = largest[cKDTree(mean[largest]).query(mean[others])[1]]
        ends = np.concatenate([others, near]), np.concatenate([near, others])
        ties = coo_array((np.ones(2 * len(others)), ends), shape=(n, n)).tocsr()
        plain = plain + diags_array(np.asarray(ties.sum(axis=1)).ravel()) - ties
    return (plain.T @ diags_array(1 / area) @ plain).tocsc()


def moved(place: Similarity, step: NDArray[np.float64]) -> Similarity:
    """A similarity after a small turn (3), shift (3) and growth (1) of what it is applied to."""
    turn, grown = rotations_about(step[None, :3])[0], 1 + float(np.clip(step[6], -0.3, 0.3))
    return Similarity(
        place.scale * grown, place.rotation @ turn, place.scale * place.rotation @ step[3:6] + place.shift
    )


def normals_of(template: Template, vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) unit normals of a face of the model."""
    return outward_normals(vertices, template.triangles)
