"""Normals of a mesh, and light on them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import bad_index, float64_array, frozen, number_in, real_array, shown, triangle_indices
from uvgen.described import described
from uvgen.errors import InputError
from uvgen.rasterize import surface_kernels
from uvgen.rasterize.buffers import mesh_arrays, thread_memory
from uvgen.rasterize.fragments import Fragments


def face_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normal (p1 - p0) x (p2 - p0) of each triangle.

    In the image frame (x right, y down, z toward the viewer) it points to the viewer where the corners run
    clockwise on the screen, as those of the Basel model do.

    Parameters
    ----------
    vertices : (n, 3) array of real numbers
    triangles : (m, 3) array of integers

    Returns
    -------
    (m, 3) float32
        Zeros for a triangle without area or with a corner that is not finite.

    Raises
    ------
    InputError
        Wrong shapes or dtypes, or indices out of range.
    """
    vertices = real_array(vertices, "vertices", (None, 3))
    indices = triangle_indices(triangles, len(vertices)).reshape(-1, 3)
    if indices.size and int(indices.max()) >= len(vertices):
        raise bad_index(triangles, len(vertices))
    corners = vertices.astype(np.float64)[indices]
    with np.errstate(invalid="ignore", over="ignore"):
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.sqrt((normals**2).sum(axis=1, keepdims=True))
    good = (length > 0) & (length < np.inf)
    unit: np.ndarray = np.divide(normals, length, out=np.zeros_like(normals), where=good).astype(np.float32)
    return unit


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normal of each vertex: the mean of its triangles' normals, weighted by their angles at the vertex.

    The weights of Thuermer and Wuethrich, Computing Vertex Normals from Polygonal Facets (1998): the result does not
    depend on how flat parts are cut into triangles. Computed in float32; triangles whose edges are shorter than 1e-9 or
    longer than 1e9 may not count.

    Parameters
    ----------
    vertices : (n, 3) array of real numbers
    triangles : (m, 3) array of integers
        Triangles without area or with a corner that is not finite do not count.

    Returns
    -------
    (n, 3) float32
        Directions as in `face_normals`; zeros for a vertex without triangles.

    Raises
    ------
    InputError
        Wrong shapes or dtypes, or indices out of range.
    """
    vertices = real_array(vertices, "vertices", (None, 3))
    indices = triangle_indices(triangles, len(vertices))
    normals = np.empty((len(vertices), 3), np.float32)
    if len(vertices) == 0:
        return normals
    worst = surface_kernels.sum_face_normals(mesh_arrays(vertices, indices), thread_memory.faces, normals.ravel())
    if worst >= len(vertices):
        raise bad_index(triangles, len(vertices))
    return normals


def shown_normals(vertices: np.ndarray, triangles: np.ndarray, fragments: Fragments) -> np.ndarray:
    """`vertex_normals` at the corners of the triangles that fragments show, the same numbers; elsewhere, anything.

    For fragments that `rasterize` has just made of the same mesh: their indices are not looked at again.
    """
    vertices, indices = frozen(vertices, np.float32), triangle_indices(triangles, len(vertices))
    normals = np.empty((len(vertices), 3), np.float32)
    shown = np.empty(len(vertices), np.uint8)
    surface_kernels.sum_shown_normals(
        fragments.triangle.ravel(), mesh_arrays(vertices, indices), shown, thread_memory.faces, normals.ravel()
    )
    return normals


def front_facing(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Which vertices have a normal that points to the viewer: (n,) bool.

    The visibility mask of 3DMMasSTN (Bas et al. 2017), blind to one part of the face hiding another; see
    `visible_vertices` for that. Arguments and errors are those of `vertex_normals`, in the image frame.
    """
    return vertex_normals(vertices, triangles)[:, 2] > 0


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """A lamp far away: ambient light, Lambert's cosine, and Blinn and Phong's highlight.

    Attributes
    ----------
    direction : three floats
        Toward the lamp, image frame (x right, y down, z toward the viewer); any length.
    ambient, diffuse, specular : float or three floats
        Strengths, one for all channels or one each for red, green and blue.
    shininess : float
        Exponent of the highlight.
    """

    direction: tuple[float, float, float] = (0.0, 0.0, 1.0)
    ambient: float | tuple[float, float, float] = 0.3
    diffuse: float | tuple[float, float, float] = 0.7
    specular: float | tuple[float, float, float] = 0.0
    shininess: float = 16.0

    __repr__ = described


@dataclass(frozen=True, slots=True, eq=False)
class SphericalHarmonics:
    """Light from all around, as the first nine real spherical harmonics of the normal.

    Attributes
    ----------
    coefficients : (9,) or (9, c) array
        Coefficients of the orthonormal basis in the order 1, y, z, x, xy, yz, 3z^2 - 1, xz, x^2 - y^2, image frame.
    """

    coefficients: np.ndarray

    __repr__ = described


def harmonic_basis(normals: np.ndarray) -> np.ndarray:
    """The first nine real orthonormal spherical harmonics of unit vectors (..., 3): (..., 9) float32.

    Constants: Ramamoorthi and Hanrahan, An Efficient Representation for Irradiance Environment Maps (2001).
    InputError for another shape, or no real numbers.
    """
    x, y, z = np.moveaxis(real_array(normals, "normals", (..., 3)), -1, 0)
    one, two = np.sqrt(3 / (4 * np.pi)), np.sqrt(15 / (4 * np.pi))
    terms = (
        np.full_like(x, np.sqrt(1 / (4 * np.pi))),
        one * y,
        one * z,
        one * x,
        two * x * y,
        two * y * z,
        np.sqrt(5 / (16 * np.pi)) * (3 * z * z - 1),
        two * x * z,
        two / 2 * (x * x - y * y),
    )
    return np.stack(terms, axis=-1).astype(np.float32)


def shade(normals: np.ndarray, light: Light | SphericalHarmonics) -> np.ndarray:
    """Light reflected toward the viewer by surfaces with the given normals, to be multiplied with colors.

    Parameters
    ----------
    normals : (..., 3) array of real numbers
        Unit normals of vertices or pixels, image frame. If one is zero, there is no light.
    light : Light or SphericalHarmonics
        The viewer is at infinity on the z axis.

    Returns
    -------
    (..., c) float32
        c = 3 for a `Light`, and the number of columns of the coefficients (1 for one column) otherwise.
        Never negative; not cut at 1.

    Raises
    ------
    InputError
        Wrong shapes or dtypes, or another kind of light.
    """
    normals = real_array(normals, "normals", (..., 3))
    if isinstance(light, Light):
        shaded = _lamp(normals, light)
    elif isinstance(light, SphericalHarmonics):
        coefficients = real_array(light.coefficients, "light.coefficients", (9,), (9, "c"))
        shaded = harmonic_basis(normals) @ coefficients.reshape(9, -1)
    else:
        raise InputError(f"light: {shown(light)}, expected Light or SphericalHarmonics")
    return np.maximum(shaded, 0) * normals.any(axis=-1, keepdims=True)


def _lamp(normals: NDArray[np.float32], light: Light) -> NDArray[np.float32]:
    """Ambient, diffuse and specular light of one lamp, (..., 3)."""
    direction = float64_array(light.direction, "light.direction", (3,))
    length = np.linalg.norm(direction)
    if not 0 < length < np.inf:
        raise InputError(f"light.direction: {shown(light.direction)}, expected three finite numbers, not all zero")
    direction = direction / length
    halfway = direction + [0.0, 0.0, 1.0]
    halfway /= max(float(np.linalg.norm(halfway)), 1e-12)  # a lamp exactly behind has no highlight
    strengths = [
        np.broadcast_to(real_array(getattr(light, name), f"light.{name}", (), (3,)), (3,))
        for name in ("ambient", "diffuse", "specular")
    ]
    shininess = np.float32(number_in(light.shininess, "light.shininess", 0))
    cosine = np.maximum(normals @ direction.astype(np.float32), 0)[..., None]
    highlight = np.maximum(normals @ halfway.astype(np.float32), 0)[..., None] ** shininess
    return strengths[0] + strengths[1] * cosine + strengths[2] * highlight * (cosine > 0)
