"""A morphable model prepared for registering scans to it: in mm, with the operators for smooth fields over its mesh."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError, ModelError
from uvgen.geometry import rotations_about
from uvgen.meshes.harmonic import factors, laplacian
from uvgen.meshes.nearest import nearest_vertices
from uvgen.meshes.scans import outward_normals
from uvgen.meshes.topology import find_components
from uvgen.models.morphable import MorphableModel
from uvgen.similarity import Similarity
from uvgen.wording import count

_MOST_ROWS = 5000  # vertices that are compared with a scan while coefficients are fitted
_LEAST_AREA = 1e-3  # least area of a vertex, as a share of the mean: some have no triangles, or tiny ones
_MOST_SQUARES = 500  # mean square of a vertex's neighbors: about 50 on faces
_LEAST_WIDTH, _MOST_WIDTH = 4096, 25.0  # a matrix's bandwidth, and times √n: 3 to 6 on faces, 90 of random triangles
_MOST_TIED = 8  # vertices of other components that are tied to one vertex; further ones are tied to these
_ALL_TIED, _TIES = 1000, 100  # vertices of a component up to which each is tied; of a larger one, about so many
_KEPT = 1e-3  # weight that keeps a vertex in place if it has no counterpart


class Template:
    """A model with everything that registration needs; each process makes it once.

    Attributes
    ----------
    mean : (n, 3) float64
        The model's mean, mm.
    triangles : (m, 3) int32
        The model's.
    landmarks : (68,) int32
        Vertices of the landmarks.
    area : (n,) float64
        Area of the surface around each vertex (a third of its triangles'), mm².
    rows : (r,) int64
        The subset of vertices to which coefficients are fitted.
    std : (k,) float64
        Standard deviations of the coefficients, shape then expression; 0 for those that are not fitted.
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
        try:
            self._bending = bending(self.mean, closed, self.area)
        except InputError as error:
            raise ModelError(f"{model.path or model.name}: {error}") from error

    def basis(self, vertices: NDArray[Any]) -> NDArray[np.float64]:
        """(v, 3, k) the basis at some vertices, in mm per standard deviation."""
        return np.asarray(self._model.basis[vertices].astype(np.float64) * (self.std / 1e3))

    def face(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 3) the model's face, mm, for coefficients (k,) in standard deviations."""
        scaled = (coefficients * self.std / 1e3).astype(np.float32)
        return np.asarray(self.mean + self._model.basis @ scaled)

    def smoother(self, length: float) -> "Smoother":
        """A smoother of vector fields that suppresses bends shorter than a length, mm."""
        return Smoother(self._bending * length**4, self.area)


class Smoother:
    """Fits smooth vector fields d over the vertices to wanted vectors d* with weights w.

    They minimize Σ area w |d - d*|² + length⁴ ∫ |Δd|². The first system is factorized; later ones, which differ in
    their weights only, are solved by conjugate gradients with that factorization as preconditioner.
    """

    def __init__(self, bending: Any, area: NDArray[np.float64]) -> None:
        self._bending, self._area = bending, area
        self._solver: Any = None

    def solve(self, wanted: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The field (n, 3) for wanted vectors (n, 3) with weights (n,)."""
        from scipy.sparse import diags_array
        from scipy.sparse.linalg import LinearOperator, cg

        matrix = (diags_array(self._area * (weights + _KEPT)) + self._bending).tocsc()
        right = (self._area * weights)[:, None] * wanted
        if self._solver is None:
            options = {"options": {"SymmetricMode": True}, "diag_pivot_thresh": 0.01}
            self._solver = factors(matrix, permc_spec="MMD_AT_PLUS_A", **options)
            return np.asarray(self._solver.solve(right))
        nearly = LinearOperator(matrix.shape, self._solver.solve)
        start = self._solver.solve(right)
        columns = [cg(matrix, right[:, k], x0=start[:, k], M=nearly, rtol=1e-6, maxiter=200)[0] for k in range(3)]
        return np.stack(columns, axis=1)


def bending(mean: NDArray[np.float64], triangles: NDArray[np.int32], area: NDArray[np.float64]) -> Any:
    """Sparse matrix (n, n) of the quadratic form ∫ |Δd|² of a field d over the vertices.

    Vertices of the smaller components of the mesh, such as eyeballs, and those in no triangle are tied to the nearest
    ones of the largest. InputError if the triangles join vertices as no surface does: the matrix would have dense
    factors.
    """
    from scipy.sparse import coo_array, diags_array

    n = len(mean)
    plain = laplacian(mean, triangles)
    part = find_components(n, triangles)
    largest = np.flatnonzero(part == np.bincount(part).argmax())
    others = _tied(part, np.flatnonzero(part != part[largest[0]]))
    if len(others):
        distance, nearest = nearest_vertices(mean[largest], mean[others], exact=False)
        others, near = _chained(others, largest[nearest], distance)
        ends = np.concatenate([others, near]), np.concatenate([near, others])
        ties = coo_array((np.ones(2 * len(others)), ends), shape=(n, n)).tocsr()
        plain = plain + diags_array(np.asarray(ties.sum(axis=1)).ravel()) - ties
    degrees = np.diff(plain.indptr).astype(np.float64)
    if not (degrees**2).sum() > _MOST_SQUARES * n + _LEAST_WIDTH**2:
        squared = (plain.T @ diags_array(1 / area) @ plain).tocsc()
        if _bandwidth(squared) <= max(_LEAST_WIDTH, _MOST_WIDTH * np.sqrt(n)):
            return squared
    raise InputError(
        f"triangles: join {count(n, 'vertex')} all over the mesh, or very many to one, expected a surface, on which a "
        "smooth field can be found"
    )


def _tied(part: NDArray[np.int32], vertices: NDArray[np.intp]) -> NDArray[np.intp]:
    """Those of some vertices that get ties: of a component with many, some from all over it.

    Its own triangles hold the rest.
    """
    ordered = vertices[np.argsort(part[vertices], kind="stable")]
    parts = part[ordered]
    place = np.arange(len(parts)) - np.searchsorted(parts, parts)
    size = np.bincount(parts, minlength=1)[parts]
    step = np.where(size > _ALL_TIED, size // _TIES, 1)
    kept: NDArray[np.intp] = ordered[place % step == 0]
    return kept


def _chained(
    others: NDArray[np.intp], near: NDArray[np.intp], distance: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Vertices, nearest first, and what each is tied to: `near`, or where that has enough, one that is tied to it.

    Thousands may have the same nearest vertex, such as all those of no triangle at the origin.
    """
    order = np.lexsort((distance, near))
    others, ends = others[order], near[order]
    first = np.searchsorted(ends, ends)  # of those with the same nearest vertex
    further = np.flatnonzero(np.arange(len(ends)) - first >= _MOST_TIED)
    ends[further] = others[further - _MOST_TIED]
    return others, ends


def _bandwidth(matrix: Any) -> int:
    """How far from the diagonal a symmetric matrix has entries, with its rows in an order in which that is little."""
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    order = reverse_cuthill_mckee(matrix, symmetric_mode=True)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    entries = matrix.tocoo()
    return int(np.abs(place[entries.row] - place[entries.col]).max(initial=0))


def moved(place: Similarity, step: NDArray[np.float64]) -> Similarity:
    """A similarity that first applies a step: a small rotation (3, rad), shift (3) and relative growth (1)."""
    turn, grown = rotations_about(step[None, :3])[0], 1 + float(np.clip(step[6], -0.3, 0.3))
    return Similarity(
        place.scale * grown, place.rotation @ turn, place.scale * place.rotation @ step[3:6] + place.shift
    )


def normals_of(template: Template, vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) unit normals of a face of the model."""
    return outward_normals(vertices, template.triangles)
