"""Meshes that are registered to a model: the same vertices in the same order, as OBJ, PLY, OFF, GLB or ``.npy``."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import MeshFileError
from uvgen.meshes.read import MESH_SUFFIXES, read_mesh
from uvgen.meshes.read_glb import read_glb
from uvgen.storage.names import os_reason
from uvgen.storage.npy import as_float64, read_npy_file
from uvgen.storage.reading import read_file
from uvgen.wording import are, count

REGISTERED_SUFFIXES = (*MESH_SUFFIXES, ".glb", ".npy")
"""Endings of the names of registered meshes."""

_MOST_BYTES = 1 << 30


class Topology(NamedTuple):
    """What registered meshes have in common: the number of vertices, and the triangles."""

    name: str
    """The model's."""
    n_vertices: int
    listed: NDArray[np.int32]
    """(m, 3) triangles that a mesh must have, in the model's order: most meshes have them in this order too."""
    triangles: NDArray[np.int64]
    """(m,) their keys, sorted."""
    further: NDArray[np.int64]
    """(k,) keys of triangles that a mesh may have besides, sorted."""

    @classmethod
    def of_mesh(
        cls, name: str, n_vertices: int, triangles: NDArray[np.int32], further: NDArray[np.int32]
    ) -> "Topology":
        """The topology of a model with these triangles (m, 3) and `further` ones that close its mouth (k, 3)."""
        keys = (np.unique(_keys(some, n_vertices)) for some in (triangles, further))
        return cls(name, n_vertices, triangles, *keys)


def _keys(triangles: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """A number for each triangle (m, 3), the same whichever corner comes first and whichever way it turns."""
    a, b, c = np.sort(triangles.astype(np.int64), axis=1).T
    return np.asarray((a * n + b) * n + c)


def read_registered(path: Path, topology: Topology) -> NDArray[np.float64]:
    """The vertices of a registered mesh.

    Parameters
    ----------
    path : Path
        OBJ, PLY, OFF or GLB, with triangles or without; or ``.npy`` of shape (n, 3).
    topology : Topology
        That of the model that the mesh is registered to. The mesh's triangles may have any order and orientation.

    Returns
    -------
    (n, 3) float64
        In the file's unit and frame, finite.

    Raises
    ------
    MeshFileError
        If the file is missing, damaged, of another kind, holds NaN, or a mesh of another topology.
    DependencyError
        If a PLY or OFF is to be read and trimesh is not installed.
    """
    suffix, n = path.suffix.lower(), topology.n_vertices
    triangles: NDArray[np.integer] = np.empty((0, 3), np.int64)
    if suffix == ".npy":
        vertices = read_npy_file(path, MeshFileError, expected=f"vertices ({n}, 3)", most_bytes=_MOST_BYTES)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or vertices.dtype.kind == "b":
            raise MeshFileError(f"{path}: {vertices.dtype} {vertices.shape}, expected vertices ({n}, 3)")
        vertices = as_float64(vertices)
    elif suffix == ".glb":
        try:
            vertices, triangles = read_glb(path, read_file(path, _MOST_BYTES))
        except OSError as error:
            if isinstance(error, MeshFileError):
                raise
            raise MeshFileError(f"{path}: cannot be read ({os_reason(error)})") from error
    else:
        vertices, triangles = read_mesh(path, surface=False)
    if len(vertices) != n:
        raise MeshFileError(
            f"{path}: {count(len(vertices), 'vertex')}, {topology.name} has {n}; register the mesh to it (`uvgen "
            "register`), or name the model whose topology it has"
        )
    if not np.isfinite(vertices).all():
        raise MeshFileError(f"{path}: vertex {np.argwhere(~np.isfinite(vertices))[0][0]} is NaN, infinite or too large")
    if len(triangles):
        check_triangles(path, triangles, topology)
    return vertices


def check_triangles(
    path: Path, triangles: NDArray[np.integer], topology: Topology, *, all_of_them: bool = True
) -> None:
    """Raise MeshFileError if triangles (m, 3) of a mesh are not the model's, or if `all_of_them`, are not all."""
    if np.array_equal(triangles, topology.listed):
        return
    if not 0 <= triangles.min() <= triangles.max() < topology.n_vertices:
        raise MeshFileError(
            f"{path}: triangles name vertices {triangles.min()} to {triangles.max()}, expected 0 to "
            f"{topology.n_vertices - 1}"
        )
    found = _keys(triangles, topology.n_vertices)
    advice = (
        "is it of another model, or are its vertices in another order? Where only its polygons were cut otherwise, "
        + ("save the vertices as .npy" if all_of_them else "save it with the model's triangles")
    )
    known = np.isin(found, topology.triangles) | np.isin(found, topology.further)
    if not known.all():
        k, odd = int(np.flatnonzero(~known)[0]), int(np.count_nonzero(~known))
        corners = ", ".join(map(str, triangles[k].tolist()))
        raise MeshFileError(
            f"{path}: {odd} of {count(len(found), 'triangle')} {are(odd)} not among {topology.name}'s, "
            f"first number {k} ({corners}); {advice}"
        )
    if all_of_them and (missing := np.count_nonzero(~np.isin(topology.triangles, found))):
        raise MeshFileError(
            f"{path}: lacks {missing} of {topology.name}'s {count(len(topology.triangles), 'triangle')}, expected "
            f"all; {advice}"
        )
