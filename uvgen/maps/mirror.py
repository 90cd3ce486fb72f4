"""What changes places if a face is mirrored: vertices, texels and a model's components.

If the parameters of a face are at hand, the map of the mirrored face is exact: each texel's corners give way to
their mirror vertices (`mirrored_texels`). If only a map is, its texels change places (`TexelMirror`): where the
model's UV are symmetric, with the texel of the opposite column; elsewhere the model's mirror pairs say where the mirror
image lies, between texels.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import checked_indices, frozen, number_in, real_array
from uvgen.described import described
from uvgen.errors import ModelError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.images.crop import frontal_scale
from uvgen.maps.atlas import MESH, UvAtlas, build_atlas, texel_coordinates
from uvgen.maps.memo import once_per_model
from uvgen.models.morphable import MorphableModel, check_sound
from uvgen.wording import count

EXACT_PX = 0.1
"""Largest error of a mirror that counts as exact."""

_SAME = 1e-3  # texels that two places may be apart and count as one
_FEWEST = 0.5  # of the vertices that must have a mirror vertex: texels of the others are those of the opposite column
_ELSEWHERE = 0.1  # of the face's size, from the other side's landmark: its mirror vertex is another place


def mirror_vertices(model: MorphableModel) -> NDArray[np.int32]:
    """(n,) int32: each vertex's mirror vertex, -1 where it has none, or one that is not the mirror vertex of its own
    mirror vertex.

    Raises ModelError if the model does not say which vertices mirror each other, or says it of few, or most landmarks
    have mirror vertices far from the other side's landmarks.
    """
    check_sound(model)
    if model.mirror is None:
        raise ModelError(
            f"{model.name}: has no mirror pairs, expected a model with them: without, flipping would put labels on "
            "wrong points"
        )
    known = np.where(model.mirror >= 0, model.mirror, 0)
    mutual = (model.mirror >= 0) & (model.mirror[known] == np.arange(len(known)))
    if mutual.sum() < _FEWEST * len(mutual):
        found = f"{mutual.sum()} of {count(len(mutual), 'vertex')}"
        raise ModelError(
            f"{model.name}: has mirror pairs of {found}, expected {_FEWEST:.0%} or more: else flipping would put "
            "labels on wrong points"
        )
    own, there = model.mean[model.landmarks[LANDMARK_MIRROR]], model.mean[known[model.landmarks]]
    size = np.ptp(model.mean[model.landmarks], axis=0).max()
    elsewhere = mutual[model.landmarks] & (np.linalg.norm(own - there, axis=1) > _ELSEWHERE * size)
    if elsewhere.sum() > len(elsewhere) / 2:
        raise ModelError(
            f"{model.name}: {elsewhere.sum()} of 68 landmarks have mirror vertices far from the other side's "
            "landmarks, expected pairs of left and right: flipping would put labels on wrong points"
        )
    return np.where(mutual, model.mirror, -1).astype(np.int32)


class MirroredTexels(NamedTuple):
    """Where each texel of the map of a mirrored face lies on the face before mirroring; see `UvAtlas`."""

    vertices: NDArray[np.int32]
    """(size², 3): the mirror vertices of each texel's corners; if one of them has none, the corners of the opposite
    column's texel."""
    weights: NDArray[np.float32]
    """(size², 3): their barycentric weights."""
    unpaired: NDArray[np.int32]
    """Flat indices of the texels with a corner that has no mirror vertex."""


@once_per_model
def mirrored_texels(model: MorphableModel, size: int, convention: str) -> MirroredTexels:
    """What an atlas shows of a mirrored face: `build_atlas`, which has the arguments, over the mirrored mesh.

    A mirrored mesh is the face's own: vertex i is where the mirror image of its mirror vertex is. So its map is exact,
    whatever the UV, once x is mirrored too. Raises ModelError if the model has no mirror pairs.
    """
    atlas, pairs = build_atlas(model, size, convention), mirror_vertices(model)
    vertices, weights = pairs[atlas.vertices], atlas.weights
    unpaired = np.flatnonzero((vertices < 0).any(axis=1))
    if len(unpaired):
        row, column = np.divmod(unpaired, size)
        opposite = row * size + (size - 1 - column)
        weights = weights.copy()
        vertices[unpaired], weights[unpaired] = atlas.vertices[opposite], atlas.weights[opposite]
    return MirroredTexels(frozen(vertices, np.int32), frozen(weights, np.float32), frozen(unpaired, np.int32))


@dataclass(frozen=True, slots=True, eq=False)
class TexelMirror:
    """How texels change places when a face is mirrored: most with the texel of the opposite column, some with another.

    Attributes
    ----------
    size : int
        Texels along each side.
    texels : (k,) int32
        Flat indices of the texels that are not mirrored by columns.
    sources : (k, 4) int32
        The four texels, before mirroring, that each of them is blended from.
    weights : (k, 4) float32
        Their weights, summing to 1.
    error_px : float
        Largest distance, over all texels on the mesh, from the map made of the mirrored mesh, for the mean shape
        in a crop as wide as the map, px.
    n_inexact : int
        Texels where it is above 0.1 px.
    n_unpaired : int
        Texels with a corner that has no mirror vertex, or one that is not the mirror vertex of its own mirror vertex.
        In maps of mirrored faces that are made of parameters they alone are not exact: they have the values of the
        opposite column.

    Notes
    -----
    Measured: built-in model 0.002 px at 256, by columns. Basel Face Model with face3d's UV: 0.02 px at 128 by columns;
    0.30 px at 256, above 0.1 at 5 texels on the edge of the lips, whose mirror falls into the closed mouth (by columns
    alone 0.97 px). The mouth's closure itself is triangulated differently left and right; no weight is put on it.
    """

    size: int
    texels: NDArray[np.int32]
    sources: NDArray[np.int32]
    weights: NDArray[np.float32]
    error_px: float
    n_inexact: int
    n_unpaired: int = 0

    __repr__ = described

    def __post_init__(self) -> None:
        n = number_in(self.size, "size", 1, whole=True)
        texels = checked_indices(self.texels, "texels", n * n, ("k",))
        sources = checked_indices(self.sources, "sources", n * n, (len(texels), 4))
        weights = real_array(self.weights, "weights", (len(texels), 4))
        for name, value in (("size", n), ("texels", texels), ("sources", sources), ("weights", weights)):
            object.__setattr__(self, name, value)

    @property
    def exact(self) -> bool:
        """Whether flipping is within 0.1 px of the label of the mirrored face."""
        return self.error_px <= EXACT_PX

    @classmethod
    def of_model(cls, model: MorphableModel, size: int = 256, convention: str = "exact") -> "TexelMirror":
        """A model's mirror, found on the first call and kept as long as the model.

        Parameters
        ----------
        model : MorphableModel
            With `mirror`.
        size : int
            Texels along each side of the maps.
        convention : {"exact", "face3d"}
            Pixel convention of the maps, which decides what texels on triangles' edges show.

        Returns
        -------
        TexelMirror
            By columns alone if that is exact to 0.1 px.

        Raises
        ------
        ModelError
            If the model does not say which vertices mirror each other.
        """
        mirror_vertices(model)
        build_atlas(model, size, convention)  # checks them
        return _mirror(model, size, convention)


def mirrored_mask(texels: NDArray[np.bool_], mirror: TexelMirror) -> NDArray[np.bool_]:
    """Which texels (size, size) are marked in the map of the mirrored face, of those that are in the face's."""
    mirrored = np.ascontiguousarray(texels[:, ::-1])
    mirrored.ravel()[mirror.texels] = (mirror.weights * texels.ravel()[mirror.sources]).sum(axis=1) > 0.5
    return mirrored


@once_per_model
def _mirror(model: MorphableModel, size: int, convention: str) -> TexelMirror:
    """The mirror of a model that has mirror pairs."""
    atlas, pairs = build_atlas(model, size, convention), np.asarray(model.mirror)
    paired = np.asarray((pairs >= 0)[atlas.vertices].all(axis=1))
    n_unpaired = len(mirrored_texels(model, size, convention).unpaired)
    counts = paired & (atlas.texel_kind.ravel() == MESH)
    mirrored = np.where(pairs >= 0, pairs, np.arange(model.n_vertices))
    px = frontal_scale(model.mean[model.landmarks], size)
    texels = atlas.interpolate(model.mean)
    wanted = atlas.interpolate(model.mean[mirrored])

    def measured(found: NDArray[np.float32]) -> tuple[float, int]:
        distance = np.linalg.norm((found - wanted).reshape(-1, 3)[counts], axis=1) * px
        return float(distance.max(initial=0)), int((distance > EXACT_PX).sum())

    nothing = np.empty(0, np.int32), np.empty((0, 4), np.int32), np.empty((0, 4), np.float32)
    by_columns = TexelMirror(size, *nothing, *measured(texels[:, ::-1]), n_unpaired)
    if by_columns.exact:
        return by_columns
    which, sources, weights = _blends(model.uv[mirrored], atlas, paired)
    moved = texels[:, ::-1].reshape(-1, 3).copy()
    moved[which] = (weights[:, :, None] * texels.reshape(-1, 3)[sources]).sum(axis=1)
    by_pairs = TexelMirror(size, which, sources, weights, *measured(moved.reshape(texels.shape)), n_unpaired)
    return by_pairs if by_pairs.error_px < by_columns.error_px else by_columns


def _blends(
    mirrored_uv: NDArray[np.float64], atlas: UvAtlas, paired: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Texels whose mirror is not that of their column, and the four around it with bilinear weights."""
    size = atlas.size
    at_corners = texel_coordinates(mirrored_uv, size)[atlas.vertices]
    place = (atlas.weights[:, :, None] * at_corners).sum(axis=1)
    row, column = np.divmod(np.arange(size * size), size)
    opposite = np.stack([size - 1 - column, row], axis=1)
    on_mesh = atlas.texel_kind.ravel() == MESH
    which = np.flatnonzero(paired & on_mesh & (np.abs(place - opposite).max(axis=1) > _SAME))
    first = np.clip(np.floor(place[which]), 0, size - 2).astype(np.int32)
    x, y = (np.clip(place[which] - first, 0, 1)).T
    corner = first[:, 1] * size + first[:, 0]
    sources = np.stack([corner, corner + 1, corner + size, corner + size + 1], axis=1)
    weights = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], axis=1)
    return frozen(which, np.int32), frozen(sources, np.int32), frozen(weights, np.float32)


class ComponentMirror(NamedTuple):
    """For each component, shape before expression, the one that is its mirror image, and the sign."""

    partner: NDArray[np.intp]
    sign: NDArray[np.float32]


@once_per_model
def component_mirror(model: MorphableModel) -> ComponentMirror | None:
    """How a model's parameters change if the face is mirrored; None if some component has no mirror image."""
    mirror = model.mirror
    if mirror is None or mirror.min() < 0:
        return None
    if np.any(mirror[model.landmarks] != model.landmarks[LANDMARK_MIRROR]):
        return None
    across = np.array([-1, 1, 1], np.float32)
    if np.any(model.mean[mirror] * across != model.mean):
        return None
    columns = model.basis.reshape(3 * model.n_vertices, model.basis.shape[2])
    images = (model.basis[mirror] * across[:, None]).reshape(columns.shape)
    partner, sign = np.empty(columns.shape[1], np.intp), np.empty(columns.shape[1], np.float32)
    norms = np.linalg.norm(columns, axis=0)
    for k, image in enumerate(images.T):
        alike = np.flatnonzero(np.isclose(norms, norms[k]))
        signs = np.sign(image @ columns[:, alike])
        found = [(j, s) for j, s in zip(alike, signs, strict=True) if np.array_equal(s * columns[:, j], image)]
        if not found or (found[0][0] < model.n_shape) != (k < model.n_shape):
            return None
        partner[k], sign[k] = found[0]
    return ComponentMirror(frozen(partner, np.intp), frozen(sign, np.float32))
