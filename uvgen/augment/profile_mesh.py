"""What face profiling needs of a model, found once: its closed mesh, and a coarse one that says what is seen."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import frozen
from uvgen.errors import ModelError
from uvgen.maps.atlas import build_atlas, hole_loops, texel_coordinates
from uvgen.maps.memo import once_per_model
from uvgen.maps.mirror import mirror_vertices
from uvgen.meshes.grid import mesh_from_map
from uvgen.meshes.nearest import nearest_vertices
from uvgen.meshes.topology import triangulate_loops
from uvgen.models.morphable import MorphableModel
from uvgen.rasterize.shading import vertex_normals

_COARSE = 80  # texels per side of the coarse mesh
_DOWN, _UP = 0.15, 3.0  # lengths of ways down and up, against those aside; see PointGraph
_EAR = 0.5  # what is added to ways from ears
_LEAST_UM = 1e-6  # its lengths are divided by this one
_Y_DOWN = np.array([1, -1, 1], np.float32)


class PointGraph(NamedTuple):
    """Ways along the mean shape's coarse mesh, from what a photograph shows to what it does not.

    Lengths are shares of the distance from the middle of the face to where it is widest. A way down is short and a way
    up long: hair falls. Ears, the widest parts, are sources only for what is close by: heads do not look like ears.
    """

    starts: NDArray[np.int32]
    """(c + 1,): where each point's neighbors begin."""
    neighbors: NDArray[np.int32]
    """(k,)"""
    steps: NDArray[np.float32]
    """(k,): the way to each."""
    source_costs: NDArray[np.float32]
    """(c,): what is added to ways that begin there."""


class Between(NamedTuple):
    """Where a model's n vertices lie between coarse points: at the corners of one of t texels each."""

    points: NDArray[np.uint32]
    """(4 t,): the coarse points at each texel's corners."""
    texels: NDArray[np.uint32]
    """(n,)"""
    weights: NDArray[np.float32]
    """(4 n,): of the four points."""
    normals: NDArray[np.float32]
    """(3 n,): of the mean shape's vertices, model frame, unit length."""


class ProfileMesh(NamedTuple):
    """n vertices of the model, c of the coarse mesh."""

    triangles: NDArray[np.int32]
    """(m, 3): clockwise in the image frame as seen from outside, mouth and other holes closed."""
    mirror: NDArray[np.int32] | None
    """(n,): each vertex's mirror vertex, the nearest to it if the model names none; None without mirror pairs."""
    coarse: NDArray[np.int32]
    """(c,): vertices of the coarse mesh."""
    coarse_triangles: NDArray[np.int32]
    coarse_mirror: NDArray[np.int32] | None
    """(c,): as `mirror`, among the vertices of the coarse mesh."""
    graph: PointGraph
    """Ways between the vertices of the coarse mesh."""
    between: Between
    back: float
    """How far it goes on behind its ears, as a share of the distance from its middle to where it is widest."""
    center: NDArray[np.float64]
    """(3, 1 + ks + ke): what the mean of a face's vertices, about which it turns, is made of."""


@once_per_model
def profile_mesh(model: MorphableModel) -> ProfileMesh:
    """The meshes of a model, found on the first call and kept as long as the model; ModelError if it has no width."""
    widest = float(np.abs(model.mean[:, 0]).max())
    if not widest > _LEAST_UM:
        raise ModelError(
            f"{model.path or model.name}: its mean face is {widest:g} µm wide from its middle, expected a face, which "
            "can be turned; is it in another unit?"
        )
    atlas = build_atlas(model, _COARSE)
    triangles = np.concatenate(
        [model.triangles, *triangulate_loops(hole_loops(model.triangles, model.uv), model.uv)]
    ).astype(np.int32)
    closing = model.mouth_triangles  # of either orientation, in the files that have them
    triangles = np.concatenate([_facing_out(model, triangles, np.arange(model.n_vertices)), closing, closing[:, ::-1]])
    # Texels of one vertex are one point: between them, triangles are slivers, whose normals say nothing.
    coarse, point = np.unique(atlas.nearest_vertices[atlas.coverage.ravel()], return_inverse=True)
    _, between, _ = mesh_from_map(np.zeros((_COARSE, _COARSE, 3)), atlas.coverage)
    between = point[between].astype(np.int32)
    a, b, c = between.T
    between = between[(a != b) & (b != c) & (c != a)]
    numbers = point[_numbers(atlas.coverage)]
    place = np.clip(texel_coordinates(model.uv, _COARSE), 0, _COARSE - 1)
    mirror = None if model.mirror is None else _all_mirrored(model)
    at = np.rint(place).astype(int)
    mean = np.concatenate([model.mean[..., None].mean(axis=0, dtype=np.float64),
                           model.basis.mean(axis=0, dtype=np.float64)], axis=1)  # fmt: skip
    return ProfileMesh(
        frozen(triangles, np.int32),
        mirror,
        frozen(coarse, np.int32),
        frozen(_facing_out(model, between, coarse), np.int32),
        None if mirror is None else frozen(numbers[at[:, 1], at[:, 0]][mirror[coarse]], np.int32),
        _graph(model.mean[coarse], between),
        _between(numbers, place, vertex_normals(model.mean * _Y_DOWN, triangles) * _Y_DOWN),
        _back(model.mean),
        frozen(mean, np.float64),
    )


def _between(numbers: NDArray[np.int64], place: NDArray[np.float64], normals: NDArray[np.float32]) -> Between:
    """Of vertices that lie at `place`, (n, 2), among texels with the numbers of coarse points."""
    column, row = np.clip(np.floor(place), 0, _COARSE - 2).astype(int).T
    x, y = place[:, 0] - column, place[:, 1] - row
    weights = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], axis=1)
    texels, number = np.unique(row * _COARSE + column, return_inverse=True)
    row, column = np.divmod(texels, _COARSE)
    points = np.stack([numbers[row + r, column + c] for r in (0, 1) for c in (0, 1)], axis=1)
    return Between(
        frozen(points.ravel(), np.uint32),
        frozen(number, np.uint32),
        frozen(weights.ravel(), np.float32),
        frozen(normals.ravel(), np.float32),
    )


def _back(points: NDArray[np.float32]) -> float:
    aside = np.abs(points[:, 0])
    ears = points[aside > 0.9 * aside.max(), 2]
    return float((ears.mean() - points[:, 2].min()) / aside.max())


def _graph(points: NDArray[np.float32], triangles: NDArray[np.int32]) -> PointGraph:
    """The edges of a mesh, points (c, 3) in the model frame, both ways."""
    edges = triangles[:, [[0, 1], [1, 2], [2, 0], [1, 0], [2, 1], [0, 2]]].reshape(-1, 2)
    edges = np.unique(edges, axis=0)
    aside = np.abs(points[:, 0].astype(np.float64))
    aside /= aside.max()
    x, y, z = (np.diff(points[edges].astype(np.float64), axis=1)[:, 0] / np.abs(points[:, 0]).max()).T
    y *= np.where(y < 0, _DOWN, _UP)
    return PointGraph(
        frozen(np.searchsorted(edges[:, 0], np.arange(len(points) + 1)), np.int32),
        frozen(edges[:, 1], np.int32),
        frozen(np.sqrt(x * x + y * y + z * z), np.float32),
        frozen(_EAR * np.clip((aside - 0.8) / 0.1, 0, 1), np.float32),
    )


def _numbers(coverage: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The number of each texel's vertex in the coarse mesh; of the nearest one that has one, elsewhere."""
    from scipy.ndimage import distance_transform_edt

    numbers = np.cumsum(coverage.ravel()).reshape(coverage.shape) - 1
    nearest = distance_transform_edt(~coverage, return_distances=False, return_indices=True)
    return np.asarray(numbers[tuple(nearest)])


def _facing_out(
    model: MorphableModel, triangles: NDArray[np.int32], vertices: NDArray[np.integer]
) -> NDArray[np.int32]:
    """Triangles of some vertices, clockwise in the image frame as seen from outside: most of a face looks ahead."""
    x, y = (model.mean[vertices, :2] * np.array([1, -1], np.float32)).T[:, triangles.T]
    area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0])
    return np.ascontiguousarray(triangles if area.sum() > 0 else triangles[:, ::-1])


def _all_mirrored(model: MorphableModel) -> NDArray[np.int32]:
    """The mirror vertex of every vertex; of one without, that which is nearest to its mirrored place."""
    mirror = mirror_vertices(model).copy()
    unpaired = np.flatnonzero(mirror < 0)
    mirror[unpaired] = nearest_vertices(model.mean, model.mean[unpaired] * [-1, 1, 1])[1]
    return frozen(mirror, np.int32)
