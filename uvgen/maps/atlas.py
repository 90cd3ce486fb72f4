"""`UvAtlas`: for each texel of the UV grid, the triangle it lies in and its barycentric weights.

It depends on the model and the resolution alone and is found once. Holes of the mesh (the mouth) are closed
by triangles over their boundary loop; what then remains empty (the border, hairline cracks) takes the values
of the nearest texel that has some.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import as_array, check_array, checked_indices, frozen, number_in, real_array
from uvgen.described import described
from uvgen.errors import InputError, ModelError
from uvgen.geometry import check_convention
from uvgen.maps.memo import once_per_model
from uvgen.meshes.topology import boundary_loops, signed_area, triangulate_loops
from uvgen.models.morphable import MorphableModel
from uvgen.rasterize.fragments import rasterize
from uvgen.wording import count

FILLED, MESH, CLOSURE = 0, 1, 2
"""Values of `UvAtlas.texel_kind`: nearest texel's values, the model's mesh, triangles that close a hole."""

_RULES = {"exact": "top-left", "face3d": "face3d"}  # the rasterizer's, of each pixel convention

_MOST_COVERED = 64  # times that the boxes around triangles may cover the UV square
_MOST_TEXELS = 1 << 30  # or texels in all of them, which take 10 s
_RIM = 1e-6  # how much the grid is stretched to reach its rim: 1e-4 texels at 256


@dataclass(frozen=True, slots=True, eq=False)
class UvAtlas:
    """Where each texel of a square UV grid lies on the mesh. Texel (row, column) is entry row * size + column.

    Arrays are read-only.

    Attributes
    ----------
    size : int
        Texels along each side.
    vertices : (size², 3) int32
        The corners of each texel's triangle.
    weights : (size², 3) float32
        Their barycentric weights, summing to 1.
    texel_kind : (size, size) uint8
        `MESH` where the texel lies in a triangle of the model, `CLOSURE` where in a triangle that closes a
        hole, `FILLED` where it takes the nearest such texel's values.
    """

    size: int
    vertices: NDArray[np.int32]
    weights: NDArray[np.float32]
    texel_kind: NDArray[np.uint8]

    __repr__ = described

    def __post_init__(self) -> None:
        n = number_in(self.size, "size", 1, whole=True)
        vertices = checked_indices(self.vertices, "vertices", 1 << 31, (n * n, 3))
        weights = real_array(self.weights, "weights", (n * n, 3))
        kind = as_array(self.texel_kind, "texel_kind")
        check_array(kind, "texel_kind", (n, n), kind="uint8")
        for name, value in (("size", n), ("vertices", vertices), ("weights", weights), ("texel_kind", kind)):
            object.__setattr__(self, name, value)

    @property
    def coverage(self) -> NDArray[np.bool_]:
        """(size, size) bool: texels inside the mesh or its closed mouth, not filled from neighbors."""
        covered: NDArray[np.bool_] = self.texel_kind != FILLED
        return covered

    @property
    def nearest_vertices(self) -> NDArray[np.int32]:
        """(size²,) int32: the corner of each texel's triangle that is nearest to it, for labels."""
        return np.take_along_axis(self.vertices, self.weights.argmax(axis=1)[:, None], axis=1)[:, 0]

    def interpolate(self, attributes: ArrayLike) -> NDArray[np.float32]:
        """Per-vertex attributes at the texels.

        Parameters
        ----------
        attributes : (n, c) float
            Of the model's n vertices; taken as float32.

        Returns
        -------
        (size, size, c) float32

        Raises
        ------
        InputError
            If the attributes have another shape, are not real numbers, or are those of fewer vertices.
        """
        values = real_array(attributes, "attributes", (None, None))
        try:
            texels = self.weights[:, :1] * values[self.vertices[:, 0]]
            for corner in (1, 2):
                texels += self.weights[:, corner : corner + 1] * values[self.vertices[:, corner]]
        except IndexError:
            n = int(self.vertices.max()) + 1
            raise InputError(
                f"attributes: of {count(len(values), 'vertex')}, expected those of the atlas's model, "
                f"which has {n} or more"
            ) from None
        return texels.reshape(self.size, self.size, values.shape[1])


def texel_coordinates(uv: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Columns and rows of UV coordinates on a grid with texel centers at integers.

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


def checked_size(size: int, name: str = "size") -> int:
    """Texels along each side of a UV grid, as Python's int; InputError if they are not a whole number of 16 to 4096."""
    number: int = number_in(size, name, 16, 4096, "texels", whole=True)
    return number


def build_atlas(model: MorphableModel, size: int, convention: str = "exact") -> UvAtlas:
    """The UV atlas of a model. It is computed on the first call and cached as long as the model exists.

    Parameters
    ----------
    model : MorphableModel
        The model whose `uv`, `triangles` and `mouth_triangles` are used.
    size : int
        Texels along each side, 16 to 4096.
    convention : {"exact", "face3d"}
        Pixel convention. It decides which triangle a texel center on an edge belongs to (`rule` of
        `uvgen.rasterize.rasterize`); where triangles overlap in UV, the first in file order counts.

    Returns
    -------
    UvAtlas

    Raises
    ------
    InputError
        If the size or `convention` is out of range.
    ModelError
        If no texel lies on the mesh, or it is no surface.
    """
    size = checked_size(size)
    check_convention(convention)
    return _atlas(model, size, _RULES[convention])


@once_per_model
def _atlas(model: MorphableModel, size: int, rule: str) -> UvAtlas:
    try:
        loops = hole_loops(model.triangles, model.uv)
    except InputError as error:
        raise ModelError(f"{model.path or model.name}: {error}") from error
    closures = triangulate_loops(loops, model.uv)
    triangles = np.concatenate([model.triangles, model.mouth_triangles, *closures]).astype(np.int32)
    _check_overlap(model, triangles, size)
    triangle, weights = _rasterize_uv(model.uv, triangles, size, rule)
    if rule == "top-left":  # a texel center on the mesh's right or lower rim is on the mesh too
        rim, rim_weights = _rasterize_uv(0.5 + (model.uv - 0.5) * (1 + _RIM), triangles, size, rule)
        open_texels = triangle < 0
        triangle[open_texels], weights[open_texels] = rim[open_texels], rim_weights[open_texels]
    texel_kind = np.where(triangle < len(model.triangles), MESH, CLOSURE).astype(np.uint8)
    texel_kind[triangle < 0] = FILLED
    if not texel_kind.any():
        raise ModelError(
            f"{model.name}: no texel of a {size}×{size} grid lies in a triangle, expected UV over the whole "
            "unit square; scale them"
        )
    if not texel_kind.all():
        from scipy.ndimage import distance_transform_edt

        nearest = distance_transform_edt(texel_kind == FILLED, return_distances=False, return_indices=True)
        triangle, weights = triangle[tuple(nearest)], weights[tuple(nearest)]
    arrays = triangles[triangle.ravel()], weights.reshape(-1, 3), texel_kind
    return UvAtlas(size, *(frozen(array, array.dtype) for array in arrays))


def _check_overlap(model: MorphableModel, triangles: NDArray[np.int32], size: int) -> None:
    """Raise ModelError if triangles lie over each other in UV so often that to draw them takes very long.

    The boxes around a face's triangles cover the unit square 2 to 3 times, those of triangles with UV in a wrong order
    a tenth as often as there are triangles.
    """
    u, v = (model.uv[triangles, k] for k in range(2))
    covered = float(((u.max(axis=1) - u.min(axis=1)) * (v.max(axis=1) - v.min(axis=1))).sum())
    if covered > max(_MOST_COVERED, _MOST_TEXELS / size**2):
        raise ModelError(
            f"{model.path or model.name}: its triangles cover the UV square {covered:.0f} times, expected a few; are "
            "the UV of another mesh, or in another order?"
        )


def _rasterize_uv(
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
        The loop that encloses the largest area in UV is taken for the outer one.

    Returns
    -------
    list of (k,) int32
        Vertices of each hole, in the order that a triangle filling it would go.

    Raises
    ------
    InputError
        If the triangles are no surface, see `boundary_loops`.
    """
    loops = [loop[::-1] for loop in boundary_loops(triangles, strict=False)]
    return sorted(loops, key=lambda loop: -abs(signed_area(uv[loop])))[1:]
