"""Weights of a mesh's edges and harmonic maps under them: the sparse linear algebra of the UV embedding."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.meshes.topology import directed_edges
from uvgen.storage.names import brief

if TYPE_CHECKING:
    from scipy.sparse import csr_array, sparray
    from scipy.sparse.linalg import SuperLU

Entries = tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]], NDArray[np.float64]]
"""Rows, columns and values of a sparse matrix, (k,) each."""

_THIN = 1e-6  # times the square of the longest edge is twice the area of a triangle that hardly has any
_MOST_THIN = 0.1  # share of such triangles


def check_surface(v: NDArray[np.float64], t: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Twice the area of each triangle, (m,).

    Raises InputError if many have none: to look for a solution would take minutes, or for ever.
    """
    a, b, c = v[t[:, 0]], v[t[:, 1]], v[t[:, 2]]
    with np.errstate(over="ignore", invalid="ignore"):
        area: NDArray[np.float64] = np.linalg.norm(np.cross(b - a, c - a), axis=1)
        longest = np.max([((p - q) ** 2).sum(1) for p, q in ((a, b), (b, c), (c, a))], axis=0)
    if not np.isfinite(area.sum()):
        raise InputError(
            "vertices: edges of lengths so different that nothing can be solved for, expected a mesh of one size; "
            "look for vertices far away"
        )
    if (thin := (area <= _THIN * longest).mean()) > _MOST_THIN:
        raise InputError(
            f"vertices: {thin:.0%} of the triangles have no area, expected a surface; their corners lie in one line "
            "or point"
        )
    return area


def cotangent_weights(v: NDArray[np.float64], t: NDArray[np.integer[Any]]) -> Entries:
    """Entries (rows, columns, weights) of half the cotangents of the angles opposite each edge; see `check_surface`."""
    a, b, c = v[t[:, 0]], v[t[:, 1]], v[t[:, 2]]
    area = check_surface(v, t)
    area = np.maximum(area, 1e-12 * area.mean())
    cot = np.concatenate([((a - c) * (b - c)).sum(1), ((b - a) * (c - a)).sum(1), ((c - b) * (a - b)).sum(1)])
    half = 0.5 * cot / np.tile(area, 3)
    e = directed_edges(t)
    return np.append(e[:, 0], e[:, 1]), np.append(e[:, 1], e[:, 0]), np.append(half, half)


def laplacian(vertices: NDArray[np.float64], triangles: NDArray[np.integer[Any]]) -> "csr_array":
    """(n, n) scipy sparse cotangent Laplacian, in rows that sum to zero, positive on the diagonal."""
    return closed_laplacian(cotangent_weights(vertices, triangles), [], len(vertices))


def mean_value_weights(v: NDArray[np.float64], t: NDArray[np.int64]) -> Entries:
    """Entries (rows, columns, weights) of Floater's mean-value coordinates; positive, not symmetric."""
    rows, columns, values = [], [], []
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        p, q = v[t[:, j]] - v[t[:, i]], v[t[:, k]] - v[t[:, i]]
        lp, lq = np.linalg.norm(p, axis=1), np.linalg.norm(q, axis=1)
        cross = np.linalg.norm(np.cross(p, q), axis=1)
        # tan of half the angle at i; an angle of 180 degrees is held to a large finite value
        tangent = np.clip(cross / np.maximum(lp * lq + (p * q).sum(1), 1e-12 * lp * lq), 1e-6, 1e6)
        rows += [t[:, i], t[:, i]]
        columns += [t[:, j], t[:, k]]
        values += [tangent / lp, tangent / lq]
    weights = np.concatenate(values)
    return np.concatenate(rows), np.concatenate(columns), weights / np.median(weights)


def closed_laplacian(entries: Entries, holes: Sequence[NDArray[np.int32]], n: int) -> "csr_array":
    """Laplacian, rows summing to zero, of the weights and a vertex more for each hole, joined to its loop."""
    from scipy.sparse import coo_array, diags_array

    rows, columns, values = entries
    if holes:
        loops, hubs = np.concatenate(holes), np.repeat(n + np.arange(len(holes)), [len(loop) for loop in holes])
        spokes = np.full(2 * len(loops), np.median(np.abs(values)))
        rows = np.concatenate([rows, loops, hubs])
        columns = np.concatenate([columns, hubs, loops])
        values = np.concatenate([values, spokes])
    size = n + len(holes)
    w = coo_array((values, (rows, columns)), shape=(size, size)).tocsr()
    return (diags_array(np.asarray(w.sum(axis=1)).ravel()) - w).tocsr()


def factors(matrix: "sparray", **options: Any) -> "SuperLU":
    """What `scipy.sparse.linalg.splu` makes of a mesh's matrix; InputError if it has no one solution."""
    from scipy.sparse.linalg import splu

    try:
        return splu(matrix, **options)
    except RuntimeError as error:
        raise InputError(
            f"vertices: edges of lengths so different that nothing can be solved for ({brief(error)}), expected a "
            "mesh of one size; look for vertices far away"
        ) from error


def solve_uv(
    laplacian: "sparray",
    held: NDArray[np.integer[Any]],
    held_uv: NDArray[np.float64],
    mirror_vertex: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    """(n, 2) harmonic UV with some vertices held; with `mirror_vertex`, mirrored pairs share one unknown."""
    from scipy.sparse import coo_array

    n = laplacian.shape[0]
    out = np.zeros((n, 2))
    out[held] = held_uv - 0.5
    free = np.ones(n, bool)
    free[held] = False
    owner = np.arange(n)  # the vertex whose unknown each vertex reads
    if mirror_vertex is not None:
        paired = np.flatnonzero(mirror_vertex >= 0)
        owner[paired] = np.maximum(paired, mirror_vertex[paired])
    for axis, sign in ((0, -1.0), (1, 1.0)):
        coefficient = np.where(owner == np.arange(n), 1.0, sign)
        if mirror_vertex is not None and axis == 0:
            coefficient[mirror_vertex == np.arange(n)] = 0.0  # on the symmetry line: u = 0.5
        used = free & (coefficient != 0)
        names, column = np.unique(owner[used], return_inverse=True)
        spread = coo_array((coefficient[used], (np.flatnonzero(used), column)), shape=(n, len(names))).tocsc()
        system = (spread.T @ laplacian @ spread).tocsc()
        solver = factors(
            system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.01
        )  # nearly symmetric: this ordering fills in least
        out[:, axis] += spread @ solver.solve(-(spread.T @ (laplacian @ out[:, axis])))
    return out + 0.5
