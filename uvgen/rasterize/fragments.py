"""Drawing a mesh into a picture: which triangle each pixel shows, with which weights, at which depth."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import (
    as_array,
    background_color,
    bad_index,
    check_array,
    check_buffer,
    check_finite,
    choice,
    frozen,
    number_in,
    picture_size,
    real_array,
    shown,
    triangle_indices,
)
from uvgen.described import described
from uvgen.errors import InputError
from uvgen.rasterize import coverage_kernels, face3d_kernels, surface_kernels
from uvgen.rasterize.buffers import FragmentArrays, mesh_arrays, thread_memory


@dataclass(frozen=True, slots=True, eq=False)
class Fragments:
    """What `rasterize` found at each pixel. All arrays are C-contiguous; a batch has one more leading axis.

    The arrays stay writeable, so that `rasterize(..., out=fragments)` can use them again.

    Attributes
    ----------
    triangle : (h, w) int32
        Index of the triangle that the pixel shows, -1 where there is none.
    weights : (h, w, 3) float32
        Barycentric weights of that triangle's corners at the pixel's center, in [0, 1], summing to 1; zeros
        if there is none.
    depth : (h, w) float32
        Interpolated z, larger is nearer; -inf where there is no triangle.
    """

    triangle: np.ndarray
    weights: np.ndarray
    depth: np.ndarray

    __repr__ = described

    @property
    def covered(self) -> np.ndarray:
        """(h, w) bool, the pixels that show a triangle."""
        return self.triangle >= 0

    @property
    def size(self) -> tuple[int, ...]:
        """(h, w)."""
        return self.triangle.shape[-2:]


def rasterize(
    vertices: np.ndarray,
    triangles: np.ndarray,
    size: tuple[int, int],
    *,
    cull: str = "none",
    rule: str = "top-left",
    workers: int = 1,
    out: Fragments | None = None,
) -> Fragments:
    """Draw a mesh, or a batch of meshes that share their triangles, with a depth buffer.

    The projection is orthographic along z, as in 300W-LP: give vertices in the frame of the picture.

    Parameters
    ----------
    vertices : (n, 3) or (b, n, 3) array of real numbers
        Image frame: x right and y down in pixels, **pixel centers at integers**, z toward the viewer. Taken
        as float32. A triangle with a corner that is not finite, or beyond 1e37, draws nothing.
    triangles : (m, 3) array of integers
        0-based rows of `vertices`. Triangles without area draw nothing.
    size : (int, int)
        Height and width of the picture, each 0..32768.
    cull : {"none", "back", "front"}
        What not to draw. A triangle faces the viewer ("front") if its corners run clockwise on the screen,
        that is, if the z of (p1 - p0) x (p2 - p0) is positive: so do the Basel model's in the image frame.
    rule : {"top-left", "face3d"}
        Which pixels belong to a triangle. "top-left": those whose center lies inside, and those on a left
        edge or on a horizontal upper edge, decided in float64, so that a center on an edge that two triangles
        share is drawn by exactly one of them. "face3d": with v0 = p2 - p0, v1 = p1 - p0, v2 = p - p0, those
        with u >= 0, v >= 0 and u + v < 1, computed in float32 with dot products; weights (1 - u - v, v, u).
        That is what made the published UV position maps, and leaves cracks on the edges opposite p0.
    workers : int
        Threads to spread a batch over; kernels release the GIL.
    out : Fragments, optional
        Arrays to write to instead of new ones: of the right shapes and dtypes, C-contiguous, writeable.

    Returns
    -------
    Fragments
        Of two triangles at equal depth the one with the lower index is kept, whatever their order in depth.

    Raises
    ------
    InputError
        Wrong shapes, dtypes or options, or a triangle that names a vertex that does not exist. What `out`
        holds is then undefined.
    """
    vertices = real_array(vertices, "vertices", (None, 3), (None, None, 3))
    height, width = picture_size(size)
    choice(cull, "cull", ("none", "back", "front"))
    choice(rule, "rule", ("top-left", "face3d"))
    number_in(workers, "workers", 1, whole=True)
    indices = triangle_indices(triangles, vertices.shape[-2])
    shape = (*vertices.shape[:-2], height, width)
    if out is None:
        out = Fragments(np.empty(shape, np.int32), np.empty((*shape, 3), np.float32), np.empty(shape, np.float32))
    else:
        _check_out(out, shape)
    if vertices.ndim == 2:
        worst = [_rasterize_mesh(vertices, indices, width, cull, rule, out.triangle, out.weights, out.depth)]
    else:

        def draw_item(i: int) -> int:
            return _rasterize_mesh(
                vertices[i], indices, width, cull, rule, out.triangle[i], out.weights[i], out.depth[i]
            )

        if workers == 1:
            worst = [draw_item(i) for i in range(len(vertices))]
        else:
            worst = _on_threads(draw_item, len(vertices), int(workers))
    if len(indices) and max(worst, default=0) >= vertices.shape[-2]:
        raise bad_index(triangles, vertices.shape[-2])
    return out


def _on_threads(draw_item: Callable[[int], int], n: int, workers: int) -> list[int]:
    """What is made of 0..n-1, on threads; on this one if the system starts no more."""
    try:
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(draw_item, range(n)))
    except RuntimeError:
        return [draw_item(i) for i in range(n)]


def _rasterize_mesh(
    vertices: NDArray[np.float32],
    indices: NDArray[np.uint32],
    width: int,
    cull: str,
    rule: str,
    triangle_out: NDArray[np.int32],
    weights_out: NDArray[np.float32],
    depth_out: NDArray[np.float32],
) -> int:
    """One mesh into one picture; return the largest vertex index seen."""
    if depth_out.size == 0 or len(indices) == 0:
        triangle_out[...], weights_out[...], depth_out[...] = -1, 0, -np.inf
        return int(indices.max(initial=0))
    mesh = mesh_arrays(vertices, indices)
    fragments = FragmentArrays(triangle_out.ravel(), weights_out.ravel(), depth_out.ravel())
    windings = cull != "front", cull != "back"
    if rule == "face3d":
        return int(face3d_kernels.rasterize_mesh_face3d(mesh, width, *windings, fragments))
    return int(coverage_kernels.rasterize_mesh(mesh, width, *windings, thread_memory.block, fragments))


def _check_out(out: Fragments, shape: tuple[int, ...]) -> None:
    """Raise unless `out` can take fragments of this shape."""
    if not isinstance(out, Fragments):
        raise InputError(f"out: {shown(out)}, expected Fragments")
    check_buffer(out.triangle, shape, np.int32, "out.triangle")
    check_buffer(out.weights, (*shape, 3), np.float32, "out.weights")
    check_buffer(out.depth, shape, np.float32, "out.depth")


def fragment_arrays(fragments: Fragments) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(triangle (p,), weights (3 p,)) of fragments, frozen and flat, whoever made them."""
    if not isinstance(fragments, Fragments):
        raise InputError(f"fragments: {shown(fragments)}, expected Fragments")
    triangle = as_array(fragments.triangle, "fragments.triangle")
    weights = as_array(fragments.weights, "fragments.weights")
    check_array(triangle, "fragments.triangle", (...,), kind="int32", note="height and width last")
    check_array(weights, "fragments.weights", (*triangle.shape, 3), kind="float32")
    return frozen(triangle, np.int32).reshape(-1), frozen(weights, np.float32).reshape(-1)


def interpolate(
    fragments: Fragments, triangles: np.ndarray, attributes: np.ndarray, *, background: float | np.ndarray = 0
) -> np.ndarray:
    """Attributes of vertices, interpolated at every pixel.

    Parameters
    ----------
    fragments : Fragments
        Fragments of one mesh, or of a batch.
    triangles : (m, 3) array of integers
        Rows of `attributes` at the corners of each triangle, in the order in which the triangles were drawn:
        the mesh's own triangles, or others if an attribute has its own, as textures with seams do.
    attributes : (n, c) or, for a batch, (b, n, c) array of real numbers
        Any number of channels. A batch may share one (n, c).
    background : float or (c,) array
        Value of pixels without a triangle.

    Returns
    -------
    (h, w, c) or (b, h, w, c) float32

    Raises
    ------
    InputError
        Wrong shapes or dtypes, or indices out of range in fragments or triangles.
    """
    triangle, weights = fragment_arrays(fragments)
    attributes = as_array(attributes, "attributes")
    batched = attributes.ndim == 3
    attributes = real_array(attributes, "attributes", (None,) * (2 + batched))
    shape = fragments.triangle.shape
    if batched and (len(shape) != 3 or shape[0] != len(attributes)):
        raise InputError(f"attributes: a batch of {len(attributes)}, expected one for fragments of shape {shape}")
    indices = triangle_indices(triangles)
    channels = attributes.shape[-1]
    color = background_color(background, channels)
    image = np.empty((*shape, channels), np.float32)
    rows = image.reshape(*shape[:-1], shape[-1] * channels)
    rows[...] = np.tile(color, shape[-1])  # a row at a time: long runs are fast to copy
    parts = len(attributes) if batched else 1
    items = (
        zip(
            triangle.reshape(parts, -1),
            weights.reshape(parts, -1),
            attributes.reshape(parts, -1),
            image.reshape(parts, -1),
            strict=True,
        )
        if image.size
        else ()
    )
    for item_triangle, item_weights, item_attributes, item_image in items:
        if surface_kernels.interpolate(item_triangle, item_weights, indices, item_attributes, channels, item_image):
            raise InputError(
                f"fragments or triangles: an index out of range, expected no triangles beyond the {len(indices) // 3} "
                f"given and no rows beyond the {attributes.shape[-2]} of attributes"
            )
    return image


def depth_map(fragments: Fragments, *, background: float = 0) -> np.ndarray:
    """Depth with a finite background: (h, w) float32, larger is nearer, in the unit of the vertices."""
    triangle, _ = fragment_arrays(fragments)
    shape = fragments.triangle.shape
    depth = real_array(fragments.depth, "fragments.depth", shape)
    return np.where(triangle.reshape(shape) >= 0, depth, real_array(background, "background", ()))


def render_colors(
    fragments: Fragments, triangles: np.ndarray, colors: np.ndarray, *, background: float | np.ndarray = 0
) -> np.ndarray:
    """Colors of vertices (n, c), any range, interpolated: (h, w, c) float32. See `interpolate`."""
    return interpolate(fragments, triangles, colors, background=background)


def normal_map(fragments: Fragments, triangles: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Unit normals (h, w, 3) float32 from those of vertices (n, 3), image frame; zeros without a triangle."""
    image = interpolate(fragments, triangles, normals)
    length = np.sqrt(np.einsum("...c,...c->...", image, image))[..., None]
    unit: np.ndarray = np.divide(image, length, out=np.zeros_like(image), where=length > 0)
    return unit


def pncc(fragments: Fragments, triangles: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Projected normalized coordinate code (h, w, 3) float32 in [0, 1]; zeros without a triangle.

    `codes` (n, 3) are those of `pncc_codes`. From Zhu et al., Face Alignment Across Large Poses (CVPR 2016).
    """
    return interpolate(fragments, triangles, codes)


def pncc_codes(mean_shape: np.ndarray) -> np.ndarray:
    """Normalized coordinate code of each vertex: the mean shape (n, 3) stretched to [0, 1] along each axis.

    Zhu et al. (CVPR 2016), equation 4; the neutral mean without expression gives 3DDFA's published codes.
    """
    mean_shape = real_array(mean_shape, "mean_shape", (-1, 3))
    check_finite(mean_shape, "mean_shape")
    low, high = mean_shape.min(axis=0), mean_shape.max(axis=0)
    if not (high > low).all():
        raise InputError(f"mean_shape: extents {(high - low).tolist()}, expected more than 0 along each axis")
    codes: np.ndarray = (mean_shape - low) / (high - low)
    return codes
