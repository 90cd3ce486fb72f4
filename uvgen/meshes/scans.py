"""Scans: meshes and point clouds as scanners leave them, read and made fit for looking up closest points."""

import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import float64_array, triangle_indices
from uvgen.errors import DependencyError, InputError, MeshFileError
from uvgen.meshes.closest import ClosestPoints
from uvgen.meshes.read import Mesh, read_mesh
from uvgen.meshes.topology import directed_edges
from uvgen.storage.names import brief
from uvgen.storage.npy import read_npy_file
from uvgen.storage.reading import read_file

SCAN_SUFFIXES = (".obj", ".ply", ".off", ".stl", ".glb", ".npy")
"""Endings of the names of scans that are read."""

FEWEST = 200
"""Points that a scan has at least."""

_MOST_BYTES = 1 << 30
_NEIGHBORS = 12  # of a point of a cloud, which say how its surface lies
_FAR_AWAY = 2.0  # from a cloud's point along its surface, in distances to its sixth neighbor: beyond the cloud's edge
_SIXTH = 1.4  # distance to the sixth neighbor, where a square of a side of 1 holds one point
_ON_EDGE = 1e-9  # weight of a corner: the point lies on the edge opposite


def read_scan(path: str | os.PathLike[str]) -> Mesh:
    """Points of a scan, and its triangles where it has some.

    Parameters
    ----------
    path : path-like
        OBJ, PLY, OFF, STL, binary glTF, or a ``.npy`` of (n, 3) coordinates, or (n, 6) with colors or normals behind.

    Returns
    -------
    points : (n, 3) float64
        In the file's unit and frame; some may be NaN or infinite.
    triangles : (m, 3) int32
        None of a point cloud.

    Raises
    ------
    MeshFileError
        Where the file is missing, damaged or of another kind.
    DependencyError
        Where trimesh is needed, for all but OBJ and ``.npy``, and is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".npy":
        array = read_npy_file(path, MeshFileError, most_bytes=_MOST_BYTES, expected="a scan's points")
        if array.ndim != 2 or array.shape[1] not in (3, 6) or array.dtype.kind not in "fiu":
            raise MeshFileError(
                f"{path}: {array.dtype} {array.shape}, expected coordinates of points, (n, 3) or (n, 6)"
            )
        return array[:, :3].astype(np.float64), np.zeros((0, 3), np.int32)
    return _read_whole(path, suffix) if suffix in (".stl", ".glb") else read_mesh(path, surface=False, finite=False)


def _read_whole(path: Path, suffix: str) -> Mesh:
    """All meshes in a file as one, placed as its scene has them."""
    try:
        import trimesh
    except ImportError as error:
        raise DependencyError(f"{path}: reading {suffix} needs trimesh: pip install trimesh") from error
    try:
        data = read_file(path, _MOST_BYTES)
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
    """A scan without what is no surface: NaN and infinite points, doubled ones, triangles without an area.

    Parameters
    ----------
    points : (n, 3) float
        Of a mesh, or of a cloud.
    triangles : (m, 3) int, optional
        Those with a corner that is dropped are dropped too.

    Returns
    -------
    points : (k, 3) float64
    triangles : (l, 3) int32
        No points but corners of these, unless there are no triangles at all.

    Raises
    ------
    InputError
        Where shapes are wrong, or less than `FEWEST` points are left.
    """
    points = float64_array(points, "points", ("n", 3), note="of a scan")
    corners = np.zeros((0, 3), np.int64)
    if triangles is not None and np.size(triangles):
        corners = triangle_indices(triangles, len(points)).reshape(-1, 3).astype(np.int64)
        if corners.max() >= len(points):
            raise InputError(f"triangles: vertex {corners.max()}, expected 0 to {len(points) - 1}")
    finite = np.isfinite(points).all(axis=1)
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
    """(n, 3) unit normals of a mesh's vertices, by their triangles' areas; 0 where there is no triangle.

    They point to where corners run counter-clockwise. `uvgen.rasterize.vertex_normals` is for the image frame.
    """
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    of_faces = np.cross(b - a, c - a)
    flat = triangles.ravel()
    sums = [np.bincount(flat, np.repeat(of_faces[:, k], 3), minlength=len(vertices)) for k in range(3)]
    return unit(np.stack(sums, axis=1))


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) vectors of length 1; those of length 0 stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float64)


class Feet(NamedTuple):
    """What of a scan is closest to some points."""

    points: NDArray[np.float64]
    """(k, 3): on its surface; those asked for where there is none."""
    normals: NDArray[np.float64]
    """(k, 3): of length 1."""
    distance: NDArray[np.float64]
    """(k,): infinite where nothing is near enough."""
    inside: NDArray[np.bool_]
    """(k,): whether the surface goes on there, which it does not at the border of a scan or of a hole in it."""


class ScanSurface:
    """A scan whose surface is asked for closest points.

    Parameters
    ----------
    points : (n, 3) float
        Cleaned, see `cleaned_scan`.
    triangles : (m, 3) int
        None of a point cloud: its surface is a plane at each point, through its neighbors.

    Attributes
    ----------
    is_oriented : bool
        Whether normals have a side, which those of a point cloud have not.
    spacing : float
        The usual distance from a point to the next ones.
    """

    def __init__(self, points: NDArray[np.float64], triangles: NDArray[np.integer]) -> None:
        from scipy.spatial import cKDTree

        self.is_oriented = len(triangles) > 0
        self._points, self._triangles = points, triangles
        if self.is_oriented:
            self._tree: Any = ClosestPoints(points, triangles)
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
        """The closest points of the scan, no farther than a distance."""
        if self.is_oriented:
            triangle, weights, distance = self._tree.find(points, farthest)
            corners = self._triangles[triangle]  # of any triangle where there is none
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
    """(n,) whether a vertex lies on an edge of one triangle alone."""
    edges = np.sort(directed_edges(np.asarray(triangles)), axis=1).astype(np.int64)
    _, first, counts = np.unique(edges[:, 0] * n + edges[:, 1], return_index=True, return_counts=True)
    result = np.zeros(n, bool)
    result[edges[first[counts == 1]]] = True
    return result
