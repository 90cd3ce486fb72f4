"""What a triangle mesh is like: its checks, boundary loops and mirror symmetry."""

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import as_array, check_array, check_finite, float64_array
from uvgen.errors import InputError
from uvgen.wording import count

_SAME_MESH = 0.6  # share of a mesh's edges that another must have: of quads cut along other diagonals, it has 2/3

_MOST_POINTS = 8000  # looked at for each vertex of a loop: all that 125 vertices may need, and a smooth loop of 8000
_MOST_IN_ALL = 1 << 26  # for all loops of a mesh: 10 s
_MOST_LONE = 3  # edges of a single triangle that begin at a vertex, in the mean: 1 on a surface
_MIRROR_SEEDS = 60  # edges that are tried as the symmetry line's
_MOST_WALKS = 16  # over all of a mesh: of a regular grid, all columns near the middle match much of it


def check_disk(vertices: np.ndarray, triangles: np.ndarray, *, loose: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Contiguous float64 (n, 3) and int64 (m, 3), or an `InputError` that says why the mesh is no surface.

    With `loose`, vertices may belong to no triangle. Who leaves them out asks before that, so that the error has the
    numbers that the vertices have in their file.
    """
    v = np.ascontiguousarray(float64_array(vertices, "vertices", ("n", 3)))
    t = as_array(triangles, "triangles")
    if len(v) < 3:
        raise InputError(f"vertices: {len(v)}, expected 3 or more")
    check_array(t, "triangles", (-1, 3), kind="integers", note="vertex indices")
    t = np.ascontiguousarray(t, np.int64)
    check_finite(v, "vertices")
    if t.min() < 0 or t.max() >= len(v):
        raise InputError(f"triangles: indices of {t.min()} to {t.max()}, expected 0 to {len(v) - 1}")
    twice = (t[:, 0] == t[:, 1]) | (t[:, 1] == t[:, 2]) | (t[:, 2] == t[:, 0])
    if twice.any():
        first = int(np.argmax(twice))
        raise InputError(
            f"triangles: triangle {first} is {t[first].tolist()}, expected three distinct vertices; "
            "remove such triangles"
        )
    unused = np.setdiff1d(np.arange(len(v)), t)
    if len(unused) and not loose:
        raise InputError(
            f"vertices: {len(unused)}, the first {unused[0]}, belong to no triangle, expected none; remove them"
        )
    edges = directed_edges(t)
    key = edges[:, 0] * len(v) + edges[:, 1]
    order = np.sort(key)
    doubled = np.flatnonzero(order[1:] == order[:-1])
    if len(doubled):
        a, b = divmod(int(order[doubled[0]]), len(v))
        raise InputError(
            f"triangles: {count(len(doubled), 'edge')}, one from vertex {a} to {b}, have two triangles on one side, "
            "expected a mesh that is manifold and whose triangles are turned alike"
        )
    if (np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) == 0).any():
        a, b = edges[np.argmin(np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1))]
        raise InputError(
            f"vertices: {a} and {b} share an edge and a position, expected one vertex; merge repeated vertices"
        )
    n_components = count_components(len(v), t) - len(unused)
    if n_components > 1:
        used = np.delete(v, unused, axis=0)
        repeated = len(used) - len(np.unique(used, axis=0))
        hint = f"; {count(repeated, 'vertex')} repeat another's position: merge them" if repeated else ""
        raise InputError(f"triangles: a mesh of {count(n_components, 'component')}, expected one{hint}")
    return v, t


def check_sheet(triangles: np.ndarray, n_loops: int) -> None:
    """Raise InputError if a connected surface (m, 3) that uses each of its vertices is no sphere with `n_loops` holes.

    Nothing else has a one-to-one map onto the plane, and to look for one takes very long: the sparse matrices of a mesh
    with many handles have dense factors.
    """
    n, m, edges = int(triangles.max()) + 1, len(triangles), directed_edges(triangles)
    key, back = edges[:, 0] * n + edges[:, 1], edges[:, 1] * n + edges[:, 0]
    order = np.argsort(key)
    there = order[np.minimum(np.searchsorted(key, back, sorter=order), 3 * m - 1)]
    inner = np.flatnonzero(key[there] == back)
    # corner k of triangle i is number k * m + i; those that meet along an edge are of one fan
    fans = _linked(3 * m, inner, (there[inner] + m) % (3 * m))
    n_fans = int(fans.max()) + 1
    if n_fans > n:
        corners = triangles.T.ravel()
        _, first = np.unique(fans, return_index=True)
        of_fans = np.bincount(corners[first], minlength=n)
        raise InputError(
            f"triangles: parts of the surface touch in {count(n_fans - n, 'vertex')}, one of them {of_fans.argmax()}, "
            "expected parts that share edges; repeat such vertices, or remove one of the parts"
        )
    handles = (2 - n_loops - (n - (3 * m - len(inner) // 2) + m)) // 2
    if handles:
        raise InputError(
            f"triangles: a surface with {count(handles, 'handle')} (a cup has one), expected a sheet with holes: no "
            "map of it onto a square is one-to-one; cut the handles off"
        )


def directed_edges(triangles: np.ndarray) -> np.ndarray:
    """(3m, 2) edges in the direction of their triangles; edge k of triangle i is row k * m + i."""
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


def is_same_mesh(triangles: np.ndarray, others: np.ndarray, n: int) -> bool:
    """Whether other triangles join the same of `n` vertices as a mesh's do, cut out of the same polygons or nearly so.

    Triangles in another order of vertices, or of another mesh, share few edges with it.
    """
    there, here = (np.unique(np.sort(directed_edges(t.astype(np.int64)), axis=1) @ [n, 1]) for t in (triangles, others))
    return not len(here) or bool(np.isin(here, there).mean() >= _SAME_MESH)


def find_components(n_vertices: int, triangles: np.ndarray) -> np.ndarray:
    """(n_vertices,) int32 numbers, from 0, of the connected parts that vertices belong to. A vertex without a triangle
    is a part of its own."""
    return _linked(n_vertices, *directed_edges(triangles).T)


def _linked(n: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) int32 numbers, from 0, of the connected parts of a graph with edges from a to b."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(n, n))
    parts: np.ndarray = connected_components(graph, directed=False)[1]
    return parts


def count_components(n_vertices: int, triangles: np.ndarray) -> int:
    """Connected parts of a mesh, vertices without a triangle counted too."""
    return int(find_components(n_vertices, triangles).max(initial=-1)) + 1


def boundary_loops(triangles: np.ndarray, *, strict: bool = True) -> list[np.ndarray]:
    """The boundary's closed loops of vertices, each with the surface on its left, in order of first edge.

    Parameters
    ----------
    triangles : (m, 3) integer array
        Consistently wound.
    strict : bool
        Whether loops that touch at a vertex are an error, or are followed one way or the other.

    Returns
    -------
    list of (k,) int32
        Three vertices or more each.

    Raises
    ------
    InputError
        If two loops touch at a vertex and `strict` is true, or at nearly all vertices many do, as on no surface.
    """
    edges = directed_edges(triangles)
    low_high = np.sort(edges, axis=1).astype(np.int64)
    keys = low_high[:, 0] * (int(triangles.max()) + 1) + low_high[:, 1]
    order = np.argsort(keys, kind="stable")
    changes = np.diff(keys[order], prepend=-1, append=-1) != 0  # an edge of one triangle: unlike both its neighbors
    lone = edges[np.sort(order[changes[:-1] & changes[1:]])]
    starts, counts = np.unique(lone[:, 0], return_counts=True)
    if strict and (counts > 1).any():
        raise InputError(
            f"triangles: the boundary passes vertex {starts[np.argmax(counts)]} twice, expected a manifold mesh"
        )
    if len(lone) > _MOST_LONE * len(starts):  # each takes memory, and a small file may state many millions
        raise InputError(
            f"triangles: {count(len(lone), 'edge')} of one triangle each, at {count(len(starts), 'vertex')}, expected "
            "a surface; are the numbers of other vertices?"
        )
    following: dict[int, list[int]] = {}
    for start, end in lone.tolist():
        following.setdefault(start, []).append(end)
    loops = []
    for start in starts.tolist():
        while following.get(start):
            loop, vertex = [start], following[start].pop()
            while vertex != start and following.get(vertex):
                loop.append(vertex)
                vertex = following[vertex].pop()
            if vertex == start and len(loop) >= 3:
                loops.append(np.array(loop, np.int32))
    return loops


def signed_area(polygon: np.ndarray) -> float:
    """Area of a polygon (k, 2), positive where it runs counter-clockwise with y up."""
    x, y = polygon.T
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y))


def triangulate_loop(loop: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Triangles over a hole's boundary loop, by cutting ears, the shortest cut first.

    Needed once per atlas and hole. Measured on a model of 53,215 vertices, whose mouth has a loop of 78: 4.8 ms here, a
    tenth of the time for a 256 texel atlas, and 0.015 ms with mapbox_earcut 2.1. That would be one more compiled
    dependency, and its longest edge across the lips is 0.071 in UV, here 0.025. Both fill the loop exactly.

    Parameters
    ----------
    loop : (k,) int32
        Vertices around the hole, simple as a polygon in UV.
    uv : (n, 2) float64
        UV coordinates.

    Returns
    -------
    (k - 2, 3) int32
        Triangles wound like the loop; fewer if the polygon crosses itself and no ear is left, or if it has many
        hundred vertices and its ears are found too late.
    """
    return triangulate_loops([loop], uv)[0]


def triangulate_loops(loops: Sequence[np.ndarray], uv: np.ndarray) -> list[np.ndarray]:
    """`triangulate_loop` of each of a mesh's holes; the last ones stay open if they have many thousand vertices in all,
    since to close a hole of thousands takes as long as to look at all pairs of them.
    """
    closed, left = list[np.ndarray](), _MOST_IN_ALL
    for loop in loops:
        triangles, looked_at = _cut_ears(loop, uv, min(_MOST_POINTS * len(loop), left))
        closed.append(triangles)
        left -= looked_at
    return closed


def _cut_ears(loop: np.ndarray, uv: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """`triangulate_loop` that looks at so many points, and at how many it looked."""
    ring, left = loop.tolist(), most
    sign = np.sign(signed_area(uv[loop])) or 1.0
    triangles: list[tuple[int, ...]] = []
    while len(ring) > 3:
        left -= len(ring)
        if left < 0:
            break
        best = -1
        points = uv[ring]
        before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
        turn = sign * _cross(points - before, after - points)
        lengths = np.hypot(*(after - before).T)
        order = np.argsort(lengths, kind="stable")
        for k in order[turn[order] > 0]:
            left -= len(ring)
            if left < 0:
                break
            if not _any_inside(points, before[k], points[k], after[k], sign):
                best = int(k)
                break
        if best < 0:
            break
        triangles.append((ring[best - 1], ring[best], ring[(best + 1) % len(ring)]))
        del ring[best]
    if len(ring) == 3:
        triangles.append(tuple(ring))
    return np.array(triangles, np.int32).reshape(-1, 3), most - max(left, 0)


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    turned: NDArray[np.float64] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return turned


def _any_inside(points: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, sign: float) -> bool:
    """Whether a polygon corner other than a, b, c lies in the closed triangle a b c."""
    inside = np.ones(len(points), bool)
    for p, q in ((a, b), (b, c), (c, a)):
        inside &= sign * _cross(q - p, points - p) >= 0
    for corner in (a, b, c):
        inside &= np.any(points != corner, axis=1)
    return bool(inside.any())


def find_mirror(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(n,) int64: for each vertex its mirror image by the mesh's connectivity, itself on the symmetry line.

    The shape need not be exactly symmetric: one edge on or across the symmetry line is matched with itself,
    and the match spreads from triangle to triangle. Edges near x = mean x are tried as seeds. Places where
    the two sides are connected differently (the Basel model's lips, trimmed unevenly) are passed by: up to
    2 % of the vertices may stay without an image, -1.

    Raises
    ------
    InputError
        If no seed's match spreads over the mesh.
    """
    n = len(vertices)
    edges = directed_edges(triangles)
    key = edges[:, 0] * n + edges[:, 1]
    apex = np.concatenate([triangles[:, 2], triangles[:, 0], triangles[:, 1]])
    across = dict(zip(key.tolist(), apex.tolist(), strict=True))
    valence = np.bincount(triangles.ravel(), minlength=n).tolist()
    x = vertices[:, 0] - vertices[:, 0].mean()
    inner = np.flatnonzero(np.isin(key, edges[:, 1] * n + edges[:, 0]))
    a, b = edges[inner, 0], edges[inner, 1]
    length = np.linalg.norm(vertices[a] - vertices[b], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # edges without length come last
        on_line = np.maximum(np.abs(x[a]), np.abs(x[b])) / length
        over_line = np.hypot(x[a] + x[b], np.linalg.norm((vertices[a] - vertices[b])[:, 1:], axis=1)) / length
    best, steps, lines = 0, 0, list[NDArray[np.int64]]()
    for k in np.argsort(np.minimum(on_line, over_line), kind="stable")[:_MIRROR_SEEDS].tolist():
        pair = (int(a[k]), int(b[k]))
        mirror_edge = pair if on_line[k] <= over_line[k] else pair[::-1]
        if any((line[[*pair]] == mirror_edge).all() for line in lines):  # it is on one that was tried
            continue
        mirror, taken = _spread(pair, mirror_edge, across, valence)
        steps += taken
        matched = int((mirror >= 0).sum())
        best = max(best, matched)
        if matched > 0.98 * n:
            return _without_contradictions(mirror, edges)
        if matched > n / 2:
            lines.append(mirror)
        if steps > _MOST_WALKS * len(edges):
            break
    raise InputError(
        f"triangles: {best} of {count(n, 'vertex')} found a mirror image, expected a mesh whose connectivity is "
        "symmetric about its mean x; pass symmetric=False or the pairs as `mirror`"
    )


def _spread(
    edge: tuple[int, int], mirror_edge: tuple[int, int], across: Mapping[int, int], valence: Sequence[int]
) -> tuple[NDArray[np.int64], int]:
    """(n,) images spread from `edge` and `mirror_edge` over apexes of equal valence, all -1 if that contradicts.

    With the number of edges that it went over.
    """
    n = len(valence)
    mirror = [-1] * n
    failures = 0
    todo = deque([(*edge, *mirror_edge)])
    for u, w in zip(edge, mirror_edge, strict=True):
        if valence[u] != valence[w]:
            return np.array(mirror), 0
        mirror[u], mirror[w] = w, u
    seen = set[int]()
    while todo:
        a, b, a2, b2 = todo.popleft()
        # the triangle left of a -> b mirrors to the one left of b2 -> a2
        c, c2 = across.get(a * n + b, -1), across.get(b2 * n + a2, -1)
        if c == -1 or c2 == -1 or valence[c] != valence[c2]:
            continue
        if mirror[c] == -1 and mirror[c2] == -1:
            mirror[c], mirror[c2] = c2, c
        elif mirror[c] != c2:
            failures += 1
            if failures > 20 + n // 200:
                return np.full(n, -1), len(seen)
            continue
        for u, w, u2, w2 in ((b, c, b2, c2), (c, a, c2, a2)):
            if w * n + u not in seen:
                seen.add(w * n + u)
                seen.add(u2 * n + w2)
                todo.append((w, u, w2, u2))
    # the other way through the seed edge is the mirror image of this one: every vertex got both entries
    return np.array(mirror), len(seen)


def _without_contradictions(mirror: NDArray[np.int64], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """`mirror` with -1 where an edge between two matched vertices has no image."""
    n = len(mirror)
    both = np.concatenate([edges, edges[:, ::-1]])
    known = np.unique(both[:, 0] * n + both[:, 1])
    for _ in range(8):
        a, b = mirror[both[:, 0]], mirror[both[:, 1]]
        wrong = (a >= 0) & (b >= 0) & ~np.isin(a * n + b, known)
        if not wrong.any():
            break
        bad = np.unique(both[wrong])
        bad = np.union1d(bad, mirror[bad])
        mirror = mirror.copy()
        mirror[bad] = -1
    return mirror
