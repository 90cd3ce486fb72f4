"""What the camera sees of a mesh: vertices, and texels of a position map."""

import numpy as np

from uvgen.checks import frozen, number_in, picture_size, real_array
from uvgen.errors import InputError
from uvgen.meshes.grid import mesh_from_map
from uvgen.rasterize import surface_kernels
from uvgen.rasterize.fragments import rasterize


def visible_vertices(
    vertices: np.ndarray, triangles: np.ndarray, *, size: tuple[int, int], tolerance: float = 1.0
) -> np.ndarray:
    """Which vertices no other part of the mesh hides, by a depth buffer.

    A vertex is seen if it lies inside the picture and its z is not more than `tolerance` behind the farthest of the up
    to four covered pixels around it. Within a pixel of a silhouette, this rule sometimes takes a hidden vertex for a
    seen one, so as not to lose seen ones on steep surfaces; combine it with `front_facing` to be strict.

    Parameters
    ----------
    vertices : (n, 3) array of real numbers
        Image frame: x, y in pixels with centers at integers, larger z is nearer.
    triangles : (m, 3) array of integers
    size : (int, int)
        Height and width of the picture. Smaller parts of the mesh are told apart if it is larger: scale the vertices
        with it.
    tolerance : float
        In the unit of z, not negative.

    Returns
    -------
    (n,) bool
        False for vertices outside the picture or with a coordinate that is NaN.

    Raises
    ------
    InputError
        Wrong shapes, dtypes or values, or indices out of range.
    """
    vertices = real_array(vertices, "vertices", (None, 3))
    tolerance = number_in(tolerance, "tolerance", 0)
    depth = rasterize(vertices, triangles, size).depth
    visible = np.zeros(len(vertices), np.bool_)
    if not depth.size:  # nothing lies inside
        return visible
    with np.errstate(over="ignore"):  # infinite: everything is seen
        farthest = np.float32(tolerance)
    surface_kernels.see_points(vertices.reshape(-1), frozen(depth, np.float32), farthest, visible)
    return visible


def visible_texels(
    position_map: np.ndarray, coverage: np.ndarray, size: tuple[int, int] | None = None, *, tolerance: float = 1.0
) -> np.ndarray:
    """Which texels of a UV position map the camera sees, by a depth buffer of the map's own surface.

    Parameters
    ----------
    position_map : (u, v, 3) array of real numbers
        x, y, z of each texel in the image or crop frame: pixels with centers at integers, larger z nearer.
    coverage : (u, v) bool
        Texels that belong to the face. Only they hide each other.
    size : (int, int), optional
        Height and width of the picture; the map's own if it is not given, as for a crop of that size.
    tolerance : float
        In the unit of z; see `visible_vertices`.

    Returns
    -------
    (u, v) bool
        False outside `coverage`.

    Raises
    ------
    InputError
        Wrong shapes, dtypes or values.
    """
    if coverage is None:
        raise InputError("coverage: None, expected (u, v) bool; np.ones(position_map.shape[:2], bool) for all texels")
    vertices, triangles, _ = mesh_from_map(position_map, coverage)
    coverage = np.asarray(coverage, np.bool_)
    size = picture_size(coverage.shape if size is None else size)
    visible = np.zeros(coverage.shape, np.bool_)
    visible[coverage] = visible_vertices(vertices, triangles, size=size, tolerance=tolerance)
    return visible
