"""`UvAtlas`: for each texel of the UV grid, the triangle it lies in and its barycentric weights.

It depends on the model and the resolution alone and is found once. Holes of the mesh (the mouth) are closed
by triangles over their boundary loop; what then remains empty (the border, hairline cracks) takes the values
of the nearest texel that has some.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError, ModelError
from uvgen.fragments import rasterize
from uvgen.model import MorphableModel

FILLED, MESH, CLOSURE = 0, 1, 2
"""Values of `UvAtlas.source`: nearest texel's values, the model's mesh, triangles that close a hole."""

_RIM = 1e-6  # how much the grid is stretched to reach its rim: 1e-4 texels at 256


@dataclass(frozen=True, slots=True, eq=False)
class UvAtlas:
    """Where each texel of a square UV grid lies on the mesh. Texel (row, column) is entry row * size + column.

    Attributes
    ----------
    size : int
        Texels along each side.
    vertices : (size², 3) int32
        The corners of each texel's triangle.
    weights : (size², 3) float32
        Their barycentric weights, summing to 1.
    source : (size, size) uint8
        `MESH` where the texel lies in a triangle of the model, `CLOSURE` where in a triangle that closes a
        hole, `FILLED` where it takes the nearest such texel's values.
    """

    size: int
    vertices: NDArray[np.int32]
    weights: NDArray[np.float32]
    source: NDArray[np.uint8]

    def interpolate(self, attributes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Per-vertex attributes (n, c), float32, at the texels: (size, size, c) float32."""
        texels = self.weights[:, :1] * attributes[self.vertices[:, 0]]
        for corner in (1, 2):
            texels += self.weights[:, corner : corner + 1] * attributes[self.vertices[:, corner]]
        return texels.reshape(self.size, self.size, -1)


def texel_coordinates(uv: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Columns and rows of UV coordinates on a grid with texel centres at integers.

    Parameters
    ----------
    uv : (n, 2) float64
        u right, v up, in [0, 1].
    size : int
        Texels along each side.

    Returns
    -------
    (n, 2) float64
        Column u (size - 1) and row (size - 1) - v (size - 1).
    """
    return np.stack([uv[:, 0] * (size - 1), (size - 1) - uv[:, 1] * (size - 1)], axis=1)


def build_atlas(model: MorphableModel, size: int, *, rule: str = "top-left") -> UvAtlas:
    """Find the atlas of a model.

    Parameters
    ----------
    model : MorphableModel
        Its `uv`, `triangles` and `mouth_triangles` count.
    size : int
        Texels along each side, 16 to 4096.
    rule : {"top-left", "face3d"}
        Which triangle a texel centre on an edge belongs to, see `uvgen.rasterize.rasterize`; where triangles
        overlap in UV, the first in file order counts.

    Returns
    -------
    UvAtlas

    Raises
    ------
    InputError
        Where the size is out of range.
    ModelError
        Where no texel lies on the mesh.
    """
    if not 16 <= size <= 4096:
        raise InputError(f"size: {size} texels, expected 16 to 4096")
    loops = hole_loops(model.triangles, model.uv)
    closures = [triangulate_loop(loop, model.uv) for loop in loops]
    triangles = np.concatenate([model.triangles, model.mouth_triangles, *closures]).astype(np.int32)
    triangle, weights = _draw(model.uv, triangles, size, rule)
    if rule == "top-left":  # a texel centre on the mesh's right or lower rim is on the mesh too
        rim, rim_weights = _draw(0.5 + (model.uv - 0.5) * (1 + _RIM), triangles, size, rule)
        open_texels = triangle < 0
        triangle[open_texels], weights[open_texels] = rim[open_texels], rim_weights[open_texels]
    source = np.where(triangle < len(model.triangles), MESH, CLOSURE).astype(np.uint8)
    source[triangle < 0] = FILLED
    if not source.any():
        raise ModelError(f"{model.name}: no texel of a {size}×{size} grid lies in a triangle; are UV in [0, 1]?")
    if not source.all():
        from scipy.ndimage import distance_transform_edt

        nearest = distance_transform_edt(source == FILLED, return_distances=False, return_indices=True)
        triangle, weights = triangle[tuple(nearest)], weights[tuple(nearest)]
    return UvAtlas(size, triangles[triangle.ravel()], weights.reshape(-1, 3), source)


def _draw(
    uv: NDArray[np.float64], triangles: NDArray[np.int32], size: int, rule: str
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    flat = np.zeros((len(uv), 3))
    flat[:, :2] = texel_coordinates(uv, size)
    fragments = rasterize(flat, triangles, (size, size), rule=rule)
    return fragments.triangle, fragments.weights


def hole_loops(triangles: NDArray[np.int32], uv: NDArray[np.float64]) -> list[NDArray[np.int32]]:
    """Boundary loops of a mesh but the outer one: its holes.

    Parameters
    ----------
    triangles : (m, 3) int32
        Consistently wound.
    uv : (n, 2) float64
        The loop that encloses the largest area in UV is taken for the outer one of its component.

    Returns
    -------
    list of (k,) int32
        Vertices of each hole, in the order that a triangle filling it would go.
    """
    edges = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    low_high = np.sort(edges, axis=1).astype(np.int64)
    keys = low_high[:, 0] * len(uv) + low_high[:, 1]
    order = np.argsort(keys, kind="stable")
    alone = np.diff(keys[order], prepend=-1, append=-1) != 0  # an edge of one triangle: unlike both its neighbours
    boundary = edges[np.sort(order[alone[:-1] & alone[1:]])]
    following: dict[int, list[int]] = {}
    for start, end in boundary[:, ::-1].tolist():  # against the mesh's winding: with that of what fills the hole
        following.setdefault(start, []).append(end)
    loops = []
    while following:
        first = next(iter(following))
        loop, vertex = [first], following[first].pop()
        while vertex != first and vertex in following and following[vertex]:
            loop.append(vertex)
            vertex = following[vertex].pop()
        following = {key: ends for key, ends in following.items() if ends}
        if vertex == first and len(loop) >= 3:
            loops.append(np.array(loop, np.int32))
    return sorted(loops, key=lambda loop: -abs(_signed_area(uv[loop])))[1:]


def _signed_area(polygon: NDArray[np.float64]) -> float:
    x, y = polygon.T
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y))


def triangulate_loop(loop: NDArray[np.int32], uv: NDArray[np.float64]) -> NDArray[np.int32]:
    """Triangles over a hole's boundary loop, by cutting ears, the shortest cut first.

    Parameters
    ----------
    loop : (k,) int32
        Vertices around the hole, simple as a polygon in UV.
    uv : (n, 2) float64
        UV coordinates.

    Returns
    -------
    (k - 2, 3) int32
        Triangles wound like the loop; fewer where the polygon crosses itself and no ear is left.
    """
    ring = loop.tolist()
    sign = np.sign(_signed_area(uv[loop])) or 1.0
    triangles: list[tuple[int, ...]] = []
    while len(ring) > 3:
        best, best_length = -1, np.inf
        points = uv[ring]
        before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
        turn = sign * _cross(points - before, after - points)
        lengths = np.hypot(*(after - before).T)
        for k in np.argsort(lengths, kind="stable"):
            if turn[k] <= 0 or lengths[k] >= best_length:
                continue
            if not _any_inside(points, before[k], points[k], after[k], sign):
                best, best_length = int(k), lengths[k]
                break
        if best < 0:
            return np.array(triangles, np.int32).reshape(-1, 3)
        triangles.append((ring[best - 1], ring[best], ring[(best + 1) % len(ring)]))
        del ring[best]
    triangles.append(tuple(ring))
    return np.array(triangles, np.int32)


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _any_inside(
    points: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64], sign: float
) -> bool:
    """Whether a polygon corner other than a, b, c lies in the closed triangle a b c."""
    inside = np.ones(len(points), bool)
    for p, q in ((a, b), (b, c), (c, a)):
        inside &= sign * _cross(q - p, points - p) >= 0
    for corner in (a, b, c):
        inside &= np.any(points != corner, axis=1)
    return bool(inside.any())
