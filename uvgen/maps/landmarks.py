"""The 68 landmarks in position maps: the texel that shows each, and weights of four texels that give it to a fraction
of a pixel.

A landmark lies between texels, and some of those around it show something else: what closes the mouth or an eye, or the
other lip. So texels are chosen on the mesh, on the landmark's side of its holes, by where they lie in space rather than
in UV.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import (
    as_array,
    check_array,
    check_tensor,
    checked_indices,
    frozen,
    is_tensor,
    number_in,
    real_array,
    shown,
    widened,
)
from uvgen.described import described
from uvgen.errors import InputError, ModelError
from uvgen.images.crop import frontal_scale
from uvgen.losses import Array
from uvgen.maps.memo import once_per_model

if TYPE_CHECKING:  # training code that reads landmarks needs neither numba nor scipy
    from uvgen.models.morphable import MorphableModel

_AROUND = 2  # rows and columns in which a landmark's texels are looked for
_EXTREME = 3.0  # standard deviations of an expression component
_CROP = 256  # px; the unit of distances
_NOISE_PX = 0.5  # by how much each texel of a map may be off: keeps weights from growing for the last tenths of a px
_N_TRIED = 10  # texels of which the best four are taken
_ALONE, _IMPOSSIBLE = 1e6, 1e12  # costs: above any (px²) of a texel of one's own


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkWeights:
    """How to read the 68 landmarks from a position map: each is the weighted sum of four texels. Arrays are read-only.

    Attributes
    ----------
    size : int
        Texels along each side of the maps.
    indices : (68, 4) int32
        Texels of each landmark, row * size + column.
    weights : (68, 4) float32
        Their weights, summing to 1. Some are negative where a landmark lies outside the texels that may be used.
    """

    size: int
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]

    __repr__ = described

    def __post_init__(self) -> None:
        n = number_in(self.size, "size", 1, whole=True)
        indices = checked_indices(self.indices, "indices", n * n, (68, 4))
        weights = real_array(self.weights, "weights", (68, 4))
        for name, value in (("size", n), ("indices", indices), ("weights", weights)):
            object.__setattr__(self, name, value)

    @classmethod
    def of_constants(cls, constants: Mapping[str, NDArray[Any]]) -> "LandmarkWeights":
        """The weights of a data set, from its constants (`ShardReader.constants`); InputError if these have none."""
        needed = ("landmark_indices", "landmark_weights", "weight_mask")
        if missing := [name for name in needed if name not in constants]:
            raise InputError(
                f"constants: have no {missing[0]}, expected those of a data set of this version; build it again, or "
                "take uvgen.landmark_weights(model, size)"
            )
        arrays = frozen(constants["landmark_indices"], np.int32), frozen(constants["landmark_weights"], np.float32)
        return cls(len(constants["weight_mask"]), *arrays)


def landmark_texels(model: "MorphableModel", size: int) -> NDArray[np.int32]:
    """Texels of the 68 landmarks: where masks have them. Values are read better with `landmark_weights`.

    Parameters
    ----------
    model : MorphableModel
        The model whose mesh, `uv`, `landmarks` and expressions are used.
    size : int
        Texels along each side, as for `uvgen.build_atlas`.

    Returns
    -------
    (68, 2) int32
        Row and column of each landmark: ``position_map[texels[:, 0], texels[:, 1]]``.

    Raises
    ------
    InputError
        If the size is out of range.

    Notes
    -----
    A landmark's texel is one of the 5 × 5 around its UV that lie on the mesh (`UvAtlas.texel_kind` is `MESH`), and on
    its side: the straight line to it in UV crosses no boundary of the mesh, such as the edge of a lip or lid. Where
    there is none, the nearest texels on the mesh are taken for those around it.

    The cost of a texel is its distance from the landmark in a crop of 256 px, the largest over the mean face and each
    expression component at -3 and +3 standard deviations. Landmarks get texels of their own, as far as there are
    enough, so that the sum of the squares of what each texel costs beyond its landmark's best one is smallest. Measured
    at 64, 128 and 256 texels: no two share a texel; each is the best one with the built-in model, and with the Basel
    Face Model's mesh except at 64, where one costs 3.7 px more.
    """
    check_maps_of(model, size)
    return _landmark_texels(model, int(size)).copy()


def check_maps_of(model: "MorphableModel", size: int, convention: str = "exact") -> None:
    """Raise what is wrong with the arguments, before they are looked up: 64.0 equals 64."""
    from uvgen.maps.atlas import build_atlas

    build_atlas(model, size, convention)


@once_per_model
def _landmark_texels(model: "MorphableModel", size: int) -> NDArray[np.int32]:
    near = _texels_around(model, size, "exact")
    return np.stack(np.divmod(_assigned(near, near.own, model.n_shape), size), axis=1).astype(np.int32)


def closest_texels(model: "MorphableModel", size: int) -> NDArray[np.int32]:
    """`landmark_texels` (68, 2) of a mesh whose holes are closed: texels that close a hole may be taken too."""
    near = _texels_around(model, size, "exact")
    return np.stack(np.divmod(_assigned(near, near.inside, model.n_shape), size), axis=1).astype(np.int32)


def _assigned(near: "_Texels", usable: NDArray[np.bool_], n_shape: int) -> NDArray[np.intp]:
    """(68,) flat index of each landmark's texel; see `landmark_texels`."""
    expressions = near.offsets[..., 1 + n_shape :] * _EXTREME
    mean = near.offsets[..., :1]
    extremes = np.concatenate([mean, mean + expressions, mean - expressions], axis=-1)
    cost = np.where(usable, np.linalg.norm(extremes, axis=2).max(axis=-1), np.inf)
    beyond = np.round(cost - cost.min(axis=1, keepdims=True), 3)  # ties stay ties on any processor

    flat, column = np.unique(near.texels, return_inverse=True)
    costs = np.full((68, len(flat) + 68), _IMPOSSIBLE)
    row, candidate = np.nonzero(usable)
    costs[row, column.reshape(usable.shape)[row, candidate]] = beyond[row, candidate] ** 2 + 1e-9 * candidate
    costs[np.arange(68), len(flat) + np.arange(68)] = _ALONE  # if there is none left: its best, shared
    chosen = _cheapest_columns(costs)
    shared = near.texels[np.arange(68), cost.argmin(axis=1)]
    own: NDArray[np.intp] = np.where(chosen < len(flat), flat[np.minimum(chosen, len(flat) - 1)], shared)
    return own


def _cheapest_columns(costs: NDArray[np.float64]) -> NDArray[np.intp]:
    """(n,) a column of its own for each row of (n, m), so that the sum of their costs is smallest.

    SciPy is asked only if rows compete for a column, because to import its optimizers takes 0.7 s of a command that
    builds. If each row's cheapest column is its own, nothing can be cheaper.
    """
    columns: NDArray[np.intp] = costs.argmin(axis=1)
    if len(np.unique(columns)) < len(columns):
        from scipy.optimize import linear_sum_assignment

        _, columns = linear_sum_assignment(costs)
    return columns


def landmark_weights(model: "MorphableModel", size: int, convention: str = "exact") -> LandmarkWeights:
    """Weights of four texels that give each of the 68 landmarks; see `read_landmarks`.

    Parameters
    ----------
    model : MorphableModel
        The model whose mesh, `uv`, `landmarks`, shapes and expressions are used.
    size : int
        Texels along each side, as for `uvgen.build_atlas`.
    convention : {"exact", "face3d"}
        Pixel convention of the maps.

    Returns
    -------
    LandmarkWeights

    Raises
    ------
    InputError
        If the size or `convention` is out of range.

    Notes
    -----
    The texels are among those that `landmark_texels` may choose from: on the mesh, on the landmark's side. Texels
    and weights are those with the smallest mean squared distance from the landmark over the model's faces (parameters
    of their standard deviations, in a crop of 256 px) for maps whose texels are off by 0.5 px each.
    """
    check_maps_of(model, size, convention)
    return _landmark_weights(model, int(size), convention)


@once_per_model
def _landmark_weights(model: "MorphableModel", size: int, convention: str) -> LandmarkWeights:
    near = _texels_around(model, size, convention)
    offsets = near.offsets.reshape(68, near.texels.shape[1], -1)
    products = offsets @ offsets.transpose(0, 2, 1)
    indices, weights = np.zeros((68, 4), np.int32), np.zeros((68, 4), np.float32)
    for k in range(68):
        usable = np.flatnonzero(near.own[k])
        usable = usable[np.argsort(products[k, usable, usable].round(6), kind="stable")[:_N_TRIED]]
        chosen = np.array([*combinations(usable, min(4, len(usable)))])
        noisy = products[k, chosen[:, :, None], chosen[:, None, :]] + _NOISE_PX**2 * np.eye(chosen.shape[1])
        try:
            solved = np.linalg.solve(noisy, np.ones((*chosen.shape, 1)))[..., 0]
        except np.linalg.LinAlgError:
            solved = np.full(chosen.shape, np.nan)
        if not np.isfinite(solved).all():
            raise ModelError(
                f"{model.path or model.name}: its components move landmark {k} so far that texels cannot be weighed, "
                "expected a face's; are they in another unit, or the standard deviations?"
            )
        mean_square = 1 / solved.sum(axis=1)
        first = mean_square.round(6).argmin()  # the same on any processor
        n = chosen.shape[1]
        indices[k] = near.texels[k, chosen[first, 0]]  # fewer than four: the first once more, with weight 0
        indices[k, :n] = near.texels[k, chosen[first]]
        weights[k, :n] = solved[first] / solved[first].sum()
    return LandmarkWeights(size, frozen(indices, np.int32), frozen(weights, np.float32))


def read_landmarks(maps: Array, weights: LandmarkWeights) -> Array:
    """Read the 68 landmarks from position maps of a data set or a network. Takes NumPy arrays and PyTorch tensors.

    Parameters
    ----------
    maps : (..., U, U, 3) or (..., 3, U, U) float
        Position maps; the axis of length 3 tells the layout. Half precision is computed in float32.
    weights : LandmarkWeights
        For maps of U texels, of `landmark_weights` or `LandmarkWeights.of_constants`.

    Returns
    -------
    (..., 68, 3) float
        x, y, z in the maps' unit, on the maps' device; gradients flow to the maps.

    Raises
    ------
    InputError
        If the maps are not floats, or of another size.

    Examples
    --------
    >>> weights = uvgen.landmark_weights(model, 256)
    >>> uvgen.read_landmarks(reader[0]["posmap"], weights).shape
    (68, 3)
    """
    if not isinstance(weights, LandmarkWeights):
        raise InputError(f"weights: {shown(weights)}, expected LandmarkWeights; uvgen.landmark_weights makes them")
    u, tensor = weights.size, is_tensor(maps)
    if tensor:
        check_tensor(maps, "maps")
    elif not hasattr(maps, "dtype"):
        maps = cast(Any, as_array(maps, "maps"))
    check_array(maps, "maps", (..., 3, u, u), (..., u, u, 3), note=f"the weights are for {u} texels")
    if not (maps.is_floating_point() if tensor else maps.dtype.kind == "f"):
        raise InputError(f"maps: {shown(maps)}, expected floats; for stored codes see uvgen.fixed_point.decode")
    maps = widened(maps)
    indices: Any = weights.indices
    factors: Any = weights.weights
    if tensor:
        indices, factors = maps.new_tensor([]).long().new_tensor(indices.tolist()), maps.new_tensor(factors.tolist())
    elif maps.dtype == np.float64:
        factors = factors.astype(np.float64)
    if maps.shape[-3] == 3:  # channels first
        texels = maps.reshape((*maps.shape[:-2], u * u))[..., indices]
        points: Array = (texels * factors).sum(-1).swapaxes(-1, -2)
        return points
    texels = maps.reshape((*maps.shape[:-3], u * u, 3))[..., indices, :]
    points = (texels * factors[..., None]).sum(-2)
    return points


class _Texels(NamedTuple):
    """The k texels around each landmark."""

    texels: NDArray[np.intp]
    """(68, k): row * size + column."""
    inside: NDArray[np.bool_]
    """(68, k): whether there is such a texel, and it is not filled from a neighbor."""
    own: NDArray[np.bool_]
    """(68, k): whether it is on the mesh, on the landmark's side."""
    offsets: NDArray[np.float64]
    """(68, k, 3, 1 + ks + ke): from the landmark, px of a 256 px crop: of the mean face, and what each component adds
    to it at one standard deviation."""


def _texels_around(model: "MorphableModel", size: int, convention: str) -> _Texels:
    from uvgen.maps.atlas import FILLED, MESH, build_atlas, texel_coordinates

    atlas = build_atlas(model, size, convention)
    places = texel_coordinates(model.uv[model.landmarks], size)
    steps = np.arange(-_AROUND, _AROUND + 1)
    around = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    rows_columns = np.rint(places[:, ::-1]).astype(np.intp)[:, None] + around
    inside = ((rows_columns >= 0) & (rows_columns < size)).all(axis=-1)
    texels = np.where(inside, rows_columns[..., 0] * size + rows_columns[..., 1], 0)
    covered = atlas.texel_kind.ravel() != FILLED
    on_mesh = atlas.texel_kind.ravel() == MESH
    usable = on_mesh if on_mesh.any() else covered
    inside &= covered[texels]
    own = inside & usable[texels]
    edges, vertex_places = _boundary_edges(model), texel_coordinates(model.uv, size)
    for k, vertex in enumerate(model.landmarks):
        others = edges[(edges != vertex).all(axis=1)]
        own[k] &= ~_crosses(places[k], rows_columns[k, :, ::-1], vertex_places[others])
        if not own[k].any():
            grid = np.stack(np.divmod(np.flatnonzero(usable), size)[::-1], axis=1)
            nearest = np.flatnonzero(usable)[np.argsort(((grid - places[k]) ** 2).sum(axis=1))[: len(around)]]
            texels[k, : len(nearest)], own[k], inside[k] = nearest, False, False
            own[k, : len(nearest)] = inside[k, : len(nearest)] = True

    px = frontal_scale(model.mean[model.landmarks], _CROP)
    scales = px * np.concatenate([[1], model.shape_std, model.expression_std])

    def moves(vertices: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        return np.concatenate([model.mean[vertices][..., None], model.basis[vertices]], axis=-1) * scales

    offsets = -np.repeat(moves(model.landmarks)[:, None], len(around), axis=1)
    for corner in range(3):
        offsets += atlas.weights[texels, corner][..., None, None] * moves(atlas.vertices[texels, corner])
    return _Texels(texels, inside, own, offsets)


def _boundary_edges(model: "MorphableModel") -> NDArray[np.int64]:
    """(m, 2) edges of the mesh that only one triangle has."""
    from uvgen.meshes.topology import directed_edges

    edges = np.sort(directed_edges(model.triangles.astype(np.int64)), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    single: NDArray[np.int64] = unique[counts == 1]
    return single


def _crosses(start: NDArray[Any], ends: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(k,) whether the lines from one point (2,) to others (k, 2) touch one of the edges (m, 2, 2)."""
    low, high = np.minimum(start, ends), np.maximum(start, ends)
    edge_low, edge_high = edges.min(axis=1), edges.max(axis=1)
    near = ((edge_low <= high.max(axis=0)) & (edge_high >= low.min(axis=0))).all(axis=1)
    edges, edge_low, edge_high = edges[near], edge_low[near], edge_high[near]
    boxes_meet = ((edge_low <= high[:, None]) & (edge_high >= low[:, None])).all(axis=-1)
    a, b, ends = edges[:, 0], edges[:, 1], ends[:, None]
    parted = _side(start, ends, a) * _side(start, ends, b) <= 0
    crossed = _side(a, b, start) * _side(a, b, ends) <= 0
    found: NDArray[np.bool_] = (boxes_meet & parted & crossed).any(axis=1)
    return found


def _side(a: NDArray[Any], b: NDArray[Any], point: NDArray[Any]) -> NDArray[np.float64]:
    """Positive, negative or 0: on which side of the line from a to b a point lies."""
    along, across = b - a, point - a
    side: NDArray[np.float64] = along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0]
    return side
