"""UV coordinates for any disk-like face mesh: a Tutte embedding in the unit square, symmetric about u = 0.5.

As Bas et al. do for the Basel model (3D Morphable Models as Spatial Transformer Networks, 2017): the boundary
loop goes onto the square and the symmetry line onto u = 0.5, both by arc length, every other vertex to the
weighted mean of its neighbors, with conformal (cotangent) weights; one half is solved for, the other is its
mirror image. Cotangent weights are negative across obtuse pairs of angles and can fold the map; mean-value
weights (Floater, 2003) are positive and, by Tutte's and Floater's theorems, cannot.

libigl has cotangent weights only. Measured with libigl 2.6 and the same boundary: `igl.harmonic` folds 26 of the
built-in model's 21,262 triangles, and 31 of 105,840 of a model of 53,215 vertices, where it is also off symmetry by
0.006 in UV; `igl.lscm` folds 26 and 9 and does not fill the square. Here no triangle folds and symmetry holds to 1e-14,
for 5.7 s instead of 0.4 s on the larger model.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import as_array, check_array, choice, number_in, true_or_false
from uvgen.described import described
from uvgen.errors import InputError
from uvgen.meshes.harmonic import check_surface, closed_laplacian, cotangent_weights, mean_value_weights, solve_uv
from uvgen.meshes.topology import boundary_loops, check_disk, check_sheet, directed_edges, find_mirror, triangulate_loop
from uvgen.wording import count

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Parameterization", "parameterize", "uv_stretch"]

_log = logging.getLogger(__name__)
_MAX_ATTEMPTS = 12
_MOST_JUMPS = 1000  # from one end of a symmetry line's parts to the next, each beyond a hole
_MAX_HOLE = 0.6  # a loop longer than this share of the longest makes the outer boundary ambiguous


@dataclass(frozen=True, slots=True, eq=False)
class Parameterization:
    """UV coordinates of a mesh and how they were made."""

    uv: np.ndarray  # (n, 2) float64 in [0, 1], u right, v up
    hole_triangles: np.ndarray  # (q, 3) int32, what closes the holes, turned as the mesh's triangles are
    mirror: np.ndarray | None  # (n,) int32 mirror images, -1 where there is none; None without symmetry
    boundary: np.ndarray  # (b,) int32, the outer loop
    n_mean_value: int  # vertices that took mean-value weights; the others have conformal ones
    n_folded_conformal: int  # triangles that conformal weights would have turned over

    __repr__ = described


def parameterize(
    vertices: np.ndarray,
    triangles: np.ndarray,
    *,
    symmetric: bool = True,
    mirror: np.ndarray | None = None,
    weights: str = "auto",
    outer: int | None = None,
) -> Parameterization:
    """Map a disk-like face mesh one-to-one onto the unit square.

    Parameters
    ----------
    vertices : (n, 3) array
        Points in any unit, x to the right, y up, z toward the viewer, the symmetry plane near x = mean x.
    triangles : (m, 3) integer array
        0-based; all have the same orientation, either one.
    symmetric : bool
        Whether the map must be symmetric about u = 0.5, which needs a mesh of symmetric connectivity.
    mirror : (n,) integer array, optional
        Each vertex's mirror image, itself on the symmetry line, -1 where there is none; found if not given.
    weights : {"auto", "conformal", "mean-value"}
        "auto" takes conformal weights, and mean-value weights about every triangle that those fold.
    outer : int, optional
        A vertex of the loop that goes onto the square; the longest loop if not given. All other loops
        (mouth, eyes, nostrils) are holes and get closed.

    Returns
    -------
    Parameterization
        `uv` with v growing upward: the boundary's highest middle point at (0.5, 1).

    Raises
    ------
    InputError
        If the mesh is not a connected manifold with a boundary, the outer boundary is ambiguous, a requested symmetry
        is missing, or the map folds with every kind of weights allowed.
    """
    choice(weights, "weights", ("auto", "conformal", "mean-value"))
    symmetric = true_or_false(symmetric, "symmetric")
    if outer is not None:
        outer = number_in(outer, "outer", 0, whole=True)
    v, t = check_disk(vertices, triangles)
    check_surface(v, t)
    loops = boundary_loops(t)
    check_sheet(t, len(loops))
    boundary, holes = _choose_outer(v, loops, outer)
    mirror_vertex = None
    if symmetric:
        mirror_vertex = find_mirror(v, t) if mirror is None else _checked_mirror(mirror, len(v))
        if (mirror_vertex[boundary] < 0).any() or not np.isin(mirror_vertex[boundary], boundary).all():
            raise InputError(
                "triangles: an outer boundary without a mirror image, expected one that mirrors onto itself; "
                "pass symmetric=False"
            )
    ring_uv, direction = _square_boundary(v, boundary, mirror_vertex)
    _check_chords(t, boundary, ring_uv)
    turn = -direction  # sign of every triangle's UV area; loops run with the surface on one side

    held, held_uv = boundary, ring_uv
    if mirror_vertex is not None:
        line, line_v = _symmetry_line(v, t, boundary, ring_uv, mirror_vertex, holes)
        held = np.concatenate([held, line])
        held_uv = np.concatenate([held_uv, np.stack([np.full(len(line), 0.5), line_v], 1)])
        mirror_vertex = np.concatenate([mirror_vertex, _hub_images(mirror_vertex, holes, len(v))])

    folded = 0
    conformal = None
    if weights != "mean-value":
        conformal = closed_laplacian(cotangent_weights(v, t), holes, len(v))
        uv = solve_uv(conformal, held, held_uv, mirror_vertex)[: len(v)]
        folded = int((turn * signed_areas(uv, t) <= 0).sum())
        if folded and weights == "conformal":
            raise InputError(
                f"weights: conformal weights fold {folded} of {count(len(t), 'triangle')}, expected none; pass 'auto'"
            )
    replaced = np.zeros(len(v) + len(holes), bool)
    if conformal is None or folded:
        uv, mirror_vertex, replaced = _unfolded(v, t, holes, held, held_uv, mirror_vertex, conformal, turn)
    hole_triangles = _fill_holes(uv, holes, turn)
    n_replaced = int(replaced[: len(v)].sum())
    if folded:
        _log.warning(
            "UV: laid out so that angles are kept (conformal weights), %d of %d triangles would fold; around them, "
            "%d of %d vertices are placed by mean-value weights, which do not fold and keep angles less well",
            folded,
            len(t),
            n_replaced,
            len(v),
        )
    return Parameterization(
        uv,
        hole_triangles,
        None if mirror_vertex is None else mirror_vertex[: len(v)].astype(np.int32),
        boundary.astype(np.int32),
        n_replaced,
        folded,
    )


def signed_areas(uv: NDArray[np.floating[Any]], triangles: NDArray[np.integer[Any]]) -> NDArray[np.floating[Any]]:
    """(m,) areas in UV, positive if a triangle runs counter-clockwise with u right and v up."""
    a, b, c = uv[triangles[:, 0]], uv[triangles[:, 1]], uv[triangles[:, 2]]
    p, q = b - a, c - a
    areas: NDArray[np.floating[Any]] = 0.5 * (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0])
    return areas


def uv_stretch(vertices: np.ndarray, triangles: np.ndarray, uv: np.ndarray) -> float:
    """Root-mean-square stretch of the map from UV to the surface, 1 where it keeps areas and angles.

    The L2 measure of Sander et al. (Texture Mapping Progressive Meshes, 2001), scaled by the square root of
    the ratio of the areas. Folded and empty triangles count as infinite.
    """
    p = np.asarray(vertices, np.float64)[triangles]
    s, t = np.asarray(uv, np.float64)[triangles].transpose(2, 0, 1)
    twice = (s[:, 1] - s[:, 0]) * (t[:, 2] - t[:, 0]) - (s[:, 2] - s[:, 0]) * (t[:, 1] - t[:, 0])
    if (twice == 0).any() or ((twice > 0).any() and (twice < 0).any()):
        return float("inf")
    along_s = sum(p[:, i] * (t[:, j] - t[:, k])[:, None] for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)))
    along_t = sum(p[:, i] * (s[:, k] - s[:, j])[:, None] for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)))
    squared = ((along_s**2).sum(1) + (along_t**2).sum(1)) / twice**2 / 2
    area = np.linalg.norm(np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]), axis=1) / 2
    return float(np.sqrt((squared * area).sum() / area.sum()) * np.sqrt(np.abs(twice).sum() / 2 / area.sum()))


def _unfolded(
    v: NDArray[np.float64],
    t: NDArray[np.int64],
    holes: Sequence[NDArray[np.int32]],
    held: NDArray[np.integer[Any]],
    held_uv: NDArray[np.float64],
    mirror_vertex: NDArray[np.int64] | None,
    conformal: "csr_array | None",
    turn: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None, NDArray[np.bool_]]:
    """(uv, mirror_vertex, vertices with mean-value weights): more and more of those until no triangle is folded.

    Starts from no such vertices if `conformal` is a matrix, from all if it is None.
    """
    from scipy.sparse import diags_array

    positive = closed_laplacian(mean_value_weights(v, t), holes, len(v))
    n = positive.shape[0]
    replaced = np.full(n, conformal is None)
    for attempt in range(_MAX_ATTEMPTS):
        matrix = positive
        if not replaced.all():
            take = replaced.astype(float)
            matrix = diags_array(take) @ positive + diags_array(1 - take) @ conformal
        uv = solve_uv(matrix, held, held_uv, mirror_vertex)[: len(v)]
        bad = t[turn * signed_areas(uv, t) <= 0]
        if len(bad) == 0:
            return uv, mirror_vertex, replaced
        near = np.unique(t[np.isin(t, bad).any(axis=1)])
        if mirror_vertex is not None:
            near = np.union1d(near, mirror_vertex[near][mirror_vertex[near] >= 0])
        if attempt + 1 >= _MAX_ATTEMPTS // 2:
            replaced[:] = True
        if replaced[near].all() and mirror_vertex is not None:
            # all weights positive and folded still: the two sides are connected differently here and cannot
            # share unknowns
            mirror_vertex = mirror_vertex.copy()
            mirror_vertex[np.setdiff1d(near, held)] = -1
        replaced[near] = True
    raise InputError(
        f"triangles: {len(bad)} of {len(t)} stay folded with mean-value weights, expected none; remove the slivers, "
        "which double precision cannot keep apart"
    )


def _choose_outer(
    v: NDArray[np.float64], loops: Sequence[NDArray[np.int32]], outer: int | None
) -> tuple[NDArray[np.int32], list[NDArray[np.int32]]]:
    """The outer loop and the list of the others."""
    if not loops:
        raise InputError(
            "triangles: a mesh with no boundary, expected an open one; cut it open, or remove the back of the head"
        )
    length = [np.linalg.norm(v[loop] - v[np.roll(loop, -1)], axis=1).sum() for loop in loops]
    if outer is None:
        k = int(np.argmax(length))
        second = max((x for i, x in enumerate(length) if i != k), default=0.0)
        if second > _MAX_HOLE * length[k]:
            raise InputError(
                f"triangles: a mesh with {count(len(loops), 'boundary')}, the second longest {second / length[k]:.0%} "
                "of the longest, expected one by far the longest; close the others, or in Python, name a vertex of "
                "the outer one as `outer`"
            )
    else:
        on = [i for i, loop in enumerate(loops) if outer in loop]
        if not on:
            raise InputError(f"outer: vertex {outer}, not on a boundary, expected a vertex of the outer boundary")
        k = on[0]
    return loops[k], [loop for i, loop in enumerate(loops) if i != k]


def _checked_mirror(mirror: ArrayLike, n: int) -> NDArray[np.int64]:
    m = as_array(mirror, "mirror")
    check_array(m, "mirror", (n,), kind="integers", note="vertices, or -1")
    if m.min() < -1 or m.max() >= n:
        raise InputError(f"mirror: {m.min()} to {m.max()}, expected vertices of 0 to {n - 1}, or -1")
    m = m.astype(np.int64)
    known = m >= 0
    if (m[m[known]] != np.flatnonzero(known)).any():
        raise InputError("mirror: not its own inverse, expected mirror[mirror[i]] to be i")
    return m


def _square_boundary(
    v: NDArray[np.float64], loop: NDArray[np.int32], mirror_vertex: NDArray[np.int64] | None
) -> tuple[NDArray[np.float64], int]:
    """(b, 2) places of the loop on the square by arc length, and 1 if it runs clockwise there, or -1."""
    p = v[loop]
    length = np.linalg.norm(np.roll(p, -1, axis=0) - p, axis=1)
    middle = v[:, 0].mean()
    start = 0.0  # arc length from the loop's first vertex to the point that goes to (0.5, 1)
    if mirror_vertex is not None:
        place = {int(x): i for i, x in enumerate(loop)}
        twin = np.array([place[int(x)] for x in mirror_vertex[loop]])
        length = (length + length[(twin - 1) % len(loop)]) / 2  # i -> i + 1 mirrors to twin - 1 -> twin
        arc = np.concatenate([[0.0], np.cumsum(length)])
        centers = [(p[i, 1], arc[i]) for i in np.flatnonzero(twin == np.arange(len(loop)))]
        over = np.flatnonzero(twin == (np.arange(len(loop)) + 1) % len(loop))
        centers += [((p[i, 1] + p[(i + 1) % len(loop), 1]) / 2, (arc[i] + arc[i + 1]) / 2) for i in over]
        if len(centers) != 2:
            raise InputError(f"triangles: the boundary crosses the symmetry line {len(centers)} times, expected twice")
        start = max(centers)[1]
    else:
        arc = np.concatenate([[0.0], np.cumsum(length)])
        high = p[:, 1] > np.median(p[:, 1])
        start = arc[np.argmin(np.where(high, np.abs(p[:, 0] - middle), np.inf))]
    s = (arc[:-1] - start) / arc[-1] % 1.0
    clockwise = p[np.abs(s - 0.25).argmin(), 0] > p[np.abs(s - 0.75).argmin(), 0]
    s = s if clockwise else (1.0 - s) % 1.0
    # once round the square from the middle of its top, clockwise; the nearest vertices go into its corners
    corners = np.array([0.0, 0.125, 0.375, 0.625, 0.875, 1.0])
    taken = [s[np.abs(s - c).argmin()] for c in corners[1:5]]
    if mirror_vertex is not None:
        taken[2:] = [1 - taken[1], 1 - taken[0]]
    if min(np.diff([0.0, *taken, 1.0])) <= 0:
        raise InputError(
            f"triangles: an outer boundary of {count(len(loop), 'vertex')} leaves none for a corner of the square, "
            "expected one vertex or more near each corner"
        )
    s = np.interp(s, [0.0, *taken, 1.0], corners)
    u, v = np.interp(s, corners, [0.5, 1, 1, 0, 0, 0.5]), np.interp(s, corners, [1, 1, 0, 0, 1, 1])
    ring = np.stack([u, v], 1)
    ring = np.where(np.abs(ring - np.rint(ring)) < 1e-9, np.rint(ring), ring)  # corners exactly
    return ring, (1 if clockwise else -1)


def _check_chords(t: NDArray[np.int64], loop: NDArray[np.int32], ring_uv: NDArray[np.float64]) -> None:
    """Refuse triangles whose corners all lie on one side of the square: they would be empty."""
    sides = np.zeros((int(t.max()) + 1, 4), bool)
    sides[loop] = np.concatenate([ring_uv == 0, ring_uv == 1], axis=1)
    flat = np.any(np.all(sides[t], axis=1), axis=1)
    if flat.any():
        raise InputError(
            f"triangles: {flat.sum()}, the first {np.argmax(flat)}, have all corners on one side of the square, "
            "expected none; remove the mesh's ears (triangles with two edges on the boundary)"
        )


def _symmetry_line(
    v: NDArray[np.float64],
    t: NDArray[np.int64],
    loop: NDArray[np.int32],
    ring_uv: NDArray[np.float64],
    mirror_vertex: NDArray[np.int64],
    holes: Sequence[NDArray[np.int32]],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The symmetry line's vertices off the boundary, hubs of holes included, from the top down, and their v.

    v goes by arc length; across a hole, which may be closed like lips, by two of the line's edges at least,
    with the hole's hub half way.
    """
    nothing = np.zeros(0, np.int64), np.zeros(0)
    own: NDArray[np.bool_] = mirror_vertex == np.arange(len(mirror_vertex))
    ends = loop[own[loop]]
    if len(ends) != 2:  # the line crosses the boundary between vertices: leave it to the solution
        return nothing
    top, bottom = sorted(ends.tolist(), key=lambda i: -ring_uv[np.flatnonzero(loop == i)[0], 1])
    e = directed_edges(t)
    neighbors: dict[int, list[int]] = {}
    for a, b in e[own[e].all(axis=1)].tolist():
        neighbors.setdefault(a, []).append(b)
        neighbors.setdefault(b, []).append(a)
    left = set(np.flatnonzero(own).tolist()) - {top}
    path = [top]
    steps: list[float] = []
    jumps: list[int] = []
    while left:
        following = [w for w in neighbors.get(path[-1], []) if w in left]
        if not following:  # a hole: on to the nearest vertex beyond it
            rest = np.array(sorted(left))
            following = [int(rest[np.argmin(np.linalg.norm(v[rest] - v[path[-1]], axis=1))])]
            jumps.append(len(steps))
            if len(jumps) > _MOST_JUMPS:  # no line that holes interrupt
                return nothing
        steps.append(float(np.linalg.norm(v[following[0]] - v[path[-1]])))
        path.append(following[0])
        left.discard(following[0])
    if path[-1] != bottom:
        return nothing
    typical = np.median(steps)
    for k in jumps:
        steps[k] = max(steps[k], 2 * typical)
    down = 1 - np.concatenate([[0.0], np.cumsum(steps)]) / np.sum(steps)
    hubs, hub_v = [], []
    for k in jumps:
        over = [h for h, ring in enumerate(holes) if np.isin(path[k : k + 2], ring).all()]
        hubs += [len(v) + h for h in over[:1]]
        hub_v += [(down[k] + down[k + 1]) / 2 for _ in over[:1]]
    return np.array(path[1:-1] + hubs, np.int64), np.concatenate([down[1:-1], hub_v])


def _hub_images(mirror_vertex: NDArray[np.int64], holes: Sequence[NDArray[np.int32]], n: int) -> NDArray[np.int64]:
    """Which hole's hub mirrors each hole's hub, -1 where its loop has no mirror image."""
    out = np.full(len(holes), -1, np.int64)
    hole_of = np.full(n, -1)
    for h, loop in enumerate(holes):
        hole_of[loop] = h
    for h, loop in enumerate(holes):
        hit = hole_of[mirror_vertex[loop][mirror_vertex[loop] >= 0]]
        hit = hit[hit >= 0]
        if len(hit):
            out[h] = n + np.bincount(hit).argmax()
    back = np.array([out[x - n] if x >= 0 else -1 for x in out], np.int64)
    return np.where(back == n + np.arange(len(holes)), out, -1)


def _fill_holes(uv: NDArray[np.float64], holes: Sequence[NDArray[np.int32]], turn: int) -> NDArray[np.int32]:
    """(q, 3) int32 triangles closing each hole by clipping ears in UV."""
    out = [np.zeros((0, 3), np.int64)]
    for loop in holes:
        ring = loop[::-1] if turn > 0 else loop  # the hole lies on the loop's right: walk it the other way
        tri = triangulate_loop(ring, uv)
        if len(tri) != len(ring) - 2:
            raise InputError(
                f"triangles: the hole of {count(len(ring), 'vertex')} through vertex {ring[0]} crosses itself in UV, "
                "or winds too much, expected a simple polygon"
            )
        out.append(tri if turn > 0 else tri[:, ::-1])
    return np.concatenate(out).astype(np.int32)
