"""Scans, which are meshes or point clouds: reading and cleaning them, and finding the closest points on them."""

import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import bad_index, float64_array, triangle_indices
from uvgen.errors import DependencyError, InputError, MeshFileError, to_install
from uvgen.meshes.closest import ClosestPoints
from uvgen.meshes.mesh_rows import plain_stl
from uvgen.meshes.read import Mesh, read_mesh
from uvgen.meshes.read_glb import bare_glb
from uvgen.meshes.topology import directed_edges
from uvgen.storage.names import brief
from uvgen.storage.npy import as_float64, read_npy_file
from uvgen.storage.reading import read_file

SCAN_SUFFIXES = (".obj", ".ply", ".off", ".stl", ".glb", ".npy")
"""Endings of the names of scans that are read."""
OTHER_SCANS = (
    ".gltf", ".fbx", ".dae", ".3ds", ".wrl", ".x3d", ".usd", ".usdc", ".usdz", ".blend", ".3mf", ".ctm", ".vtk",
    ".xyz", ".asc", ".pcd", ".e57", ".las", ".laz", ".abs", ".bnd", ".bnt", ".obj.gz", ".ply.gz", ".off.gz", ".stl.gz",
    ".wrl.gz", ".abs.gz", ".bnt.gz",
)  # fmt: skip
"""Of meshes and point clouds that are not read."""

FEWEST = 200
"""The least number of points of a scan."""

_MOST_BYTES = 1 << 30
_FARTHEST = 1e15  # a coordinate of this or more is no place: products of several are to be finite
_NEIGHBORS = 12  # points of a cloud to which the plane at a point is fitted, itself among them
_FAR_AWAY = 2.0  # times the distance to a cloud's sixth neighbor, along the surface: farther is beyond the cloud's edge
_SIXTH = 1.4  # mean distance to the sixth neighbor of random points, in units of 1 / √(points per area)
_MOST_CROWDED = 256.0  # boxes of four triangles that a place lies in: up to 4 on scans
_ON_EDGE = 1e-9  # a corner's weight up to which a point lies on the opposite edge


def read_scan(path: str | os.PathLike[str]) -> Mesh:
    """Points of a scan, and its triangles if it has some.

    Parameters
    ----------
    path : path-like
        OBJ, PLY, OFF, STL, binary glTF, or a ``.npy`` of (n, 3) coordinates, or of (n, 6) if colors or normals
        follow them.

    Returns
    -------
    points : (n, 3) float64
        In the file's unit and frame; some may be NaN or infinite.
    triangles : (m, 3) int32
        (0, 3) for a point cloud.

    Raises
    ------
    MeshFileError
        If the file is missing, damaged or of another kind.
    DependencyError
        If trimesh is not installed, which reads all formats but OBJ and ``.npy``.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".npy":
        array = read_npy_file(path, MeshFileError, most_bytes=_MOST_BYTES, expected="a scan's points")
        if array.ndim != 2 or array.shape[1] not in (3, 6) or array.dtype.kind not in "fiu":
            raise MeshFileError(
                f"{path}: {array.dtype} {array.shape}, expected coordinates of points, (n, 3) or (n, 6)"
            )
        return as_float64(array[:, :3]), np.zeros((0, 3), np.int32)
    return _read_whole(path, suffix) if suffix in (".stl", ".glb") else read_mesh(path, surface=False, finite=False)


def _read_whole(path: Path, suffix: str) -> Mesh:
    """All meshes in a file as one, each placed as the file's scene says."""
    try:
        import trimesh
    except ImportError as error:
        raise DependencyError(f"{path}: reading {suffix} needs trimesh: {to_install('mesh')}") from error
    try:
        data = read_file(path, _MOST_BYTES)
        data = bare_glb(data) if suffix == ".glb" else plain_stl(data)
        with np.errstate(all="ignore"):  # of numbers that are huge
            mesh: Any = trimesh.load(io.BytesIO(data), file_type=suffix[1:], force="mesh", process=False)
        points, triangles = np.array(mesh.vertices, np.float64), np.array(mesh.faces, np.int32)
        if not triangles.size:
            raise ValueError("no triangles in it")
        return points.reshape(-1, 3), triangles.reshape(-1, 3)
    except MemoryError:
        raise
    except Exception as error:  # trimesh's readers raise errors of any type
        raise MeshFileError(f"{path}: not a readable mesh ({brief(error)}), expected an STL or GLB") from error


def cleaned_scan(points: NDArray[Any], triangles: NDArray[Any] | None = None) -> Mesh:
    """A scan without NaN, infinite and huge points (1e15 or more), duplicate points and triangles without an area.

    Parameters
    ----------
    points : (n, 3) float
        Vertices of a mesh, or points of a cloud.
    triangles : (m, 3) int, optional
        Triangles with a corner that is dropped are dropped too.

    Returns
    -------
    points : (k, 3) float64
        Sorted by coordinates. Of a mesh, only corners of triangles are left.
    triangles : (l, 3) int32
        (0, 3) for a point cloud.

    Raises
    ------
    InputError
        If shapes or indices are wrong, or fewer than `FEWEST` points are left.
    """
    points = float64_array(points, "points", ("n", 3), note="of a scan")
    corners = np.zeros((0, 3), np.int64)
    if triangles is not None and np.size(triangles):
        corners = triangle_indices(triangles, len(points)).reshape(-1, 3).astype(np.int64)
        if corners.max() >= len(points):  # negative int32 indices too, which are large as uint32
            raise bad_index(triangles, len(points))
    finite = (np.abs(points) < _FARTHEST).all(axis=1)
    kept, place = np.unique(points[finite], axis=0, return_inverse=True)
    new = np.full(len(points), -1)
    new[finite] = place.ravel()
    if len(corners):
        corners = new[corners]
        corners = corners[(corners >= 0).all(axis=1)]
        a, b, c = (kept[corners[:, k]] for k in range(3))
        corners = corners[np.linalg.norm(np.cross(b - a, c - a), axis=1) > 0]
        used, place = np.unique(corners, return_inverse=True)
        kept, corners = kept[used], place.reshape(-1, 3)
    if len(kept) < FEWEST:
        raise InputError(f"points: {len(kept)} that are different and finite, expected a scan of {FEWEST} or more")
    return kept, corners.astype(np.int32)


def outward_normals(vertices: NDArray[np.float64], triangles: NDArray[np.integer]) -> NDArray[np.float64]:
    """(n, 3) unit normals of a mesh's vertices, weighted by the areas of their triangles; 0 without a triangle.

    They point to the side from which corners run counter-clockwise in a right-handed frame, while
    `uvgen.rasterize.vertex_normals` is for the image frame, whose y points down.
    """
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    of_faces = np.cross(b - a, c - a)
    flat = triangles.ravel()
    sums = [np.bincount(flat, np.repeat(of_faces[:, k], 3), minlength=len(vertices)) for k in range(3)]
    return unit(np.stack(sums, axis=1))


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) vectors scaled to length 1; vectors of length 0 stay as they are."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float64)


class Feet(NamedTuple):
    """The closest points on a scan's surface to some points (k, 3)."""

    points: NDArray[np.float64]
    """(k, 3) closest points; the given point itself where the surface is too far away."""
    normals: NDArray[np.float64]
    """(k, 3) unit normals of the scan there."""
    distance: NDArray[np.float64]
    """(k,) distances; infinite where the surface is too far away."""
    inside: NDArray[np.bool_]
    """(k,) whether there is a closest point that does not lie on the border of the scan or of a hole in it."""


class ScanSurface:
    """The surface of a scan, on which closest points are found.

    Parameters
    ----------
    points : (n, 3) float
        Cleaned, see `cleaned_scan`.
    triangles : (m, 3) int
        (0, 3) for a point cloud, whose surface at each point is the plane through its neighbors.

    Attributes
    ----------
    is_oriented : bool
        Whether normals point outward; those of a point cloud may point to either side.
    spacing : float
        The usual distance between neighboring points, in their unit.

    Raises
    ------
    InputError
        If triangles lie through each other such that finding points among them would take very long.
    """

    def __init__(self, points: NDArray[np.float64], triangles: NDArray[np.integer]) -> None:
        from scipy.spatial import cKDTree

        self.is_oriented = len(triangles) > 0
        self._points, self._triangles = points, triangles
        if self.is_oriented:
            self._tree: Any = ClosestPoints(points, triangles)
            if (crowding := self._tree.crowding()) > _MOST_CROWDED:
                raise InputError(
                    f"triangles: lie all through each other, a place on them in the reach of {4 * crowding:.0f}, "
                    "expected a surface, where these are a few; closest points would take very long to find"
                )
            self._normals = outward_normals(points, triangles)
            self._border = border_vertices(len(points), triangles)
            ends = points[directed_edges(triangles)]
            self.spacing = float(np.median(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)))
        else:
            self._tree = cKDTree(points)
            distance, near = self._tree.query(points, min(_NEIGHBORS, len(points)))
            around = points[near] - points[near].mean(axis=1, keepdims=True)
            self._normals = np.ascontiguousarray(np.linalg.eigh(np.swapaxes(around, 1, 2) @ around)[1][:, :, 0])
            self._to_sixth = distance[:, 6]
            self.spacing = float(np.median(self._to_sixth)) / _SIXTH

    def find(self, points: NDArray[np.float64], farthest: float) -> Feet:
        """The closest points of the scan to points (k, 3), no farther away than `farthest`."""
        if self.is_oriented:
            triangle, weights, distance = self._tree.find(points, farthest)
            corners = self._triangles[triangle]  # -1, if none is near, takes the last; it is masked below
            feet = np.einsum("kc,kcd->kd", weights, self._points[corners])
            normals = unit(np.einsum("kc,kcd->kd", weights, self._normals[corners]))
            used = weights > _ON_EDGE
            at_border = ~used.all(axis=1) & (self._border[corners] | ~used).all(axis=1)
            found = triangle >= 0
        else:
            distance, nearest = self._tree.query(points, distance_upper_bound=farthest)
            found = np.isfinite(distance)
            nearest = np.where(found, nearest, 0)
            normals = self._normals[nearest]
            height = ((points - self._points[nearest]) * normals).sum(axis=1, keepdims=True)
            feet = points - height * normals
            along = np.linalg.norm(feet - self._points[nearest], axis=1)
            at_border = along > _FAR_AWAY * self._to_sixth[nearest]
            distance = np.where(found, np.abs(height[:, 0]), np.inf)
        feet = np.where(found[:, None], feet, points)
        return Feet(feet, normals, distance, found & ~at_border)


def border_vertices(n: int, triangles: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(n,) whether a vertex lies on an edge that belongs to one triangle only."""
    edges = np.sort(directed_edges(np.asarray(triangles)), axis=1).astype(np.int64)
    _, first, counts = np.unique(edges[:, 0] * n + edges[:, 1], return_index=True, return_counts=True)
    result = np.zeros(n, bool)
    result[edges[first[counts == 1]]] = True
    return result
