"""UV coordinates of a mesh's vertices from files: .npy, BFM_UV.mat, and the texture coordinates of an OBJ."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError, MeshFileError, ModelError
from uvgen.meshes.obj import read_textured_obj
from uvgen.meshes.seams import split_seams
from uvgen.meshes.topology import is_same_mesh
from uvgen.models.formats import matlab
from uvgen.storage.npy import as_float64, read_npy_file
from uvgen.wording import count

SUFFIXES = (".npy", ".mat", ".obj")
"""Endings of the names of files that `read_uv` takes."""

_OUTSIDE = 1e-3  # of the unit square, from rounding
_SAME_NUMBER = 0.99  # share of the model's triangles that an OBJ must have: some programs leave out those without area


class FileUv(NamedTuple):
    """UV of a file, one per vertex; if the texture has seams, of more vertices than the model has."""

    uv: NDArray[np.float64]
    """(n + k, 2): u right, v up, in [0, 1]."""
    repeated: NDArray[np.int32]
    """(k,) the vertex that each one from n on repeats."""
    triangles: NDArray[np.int32] | None
    """(m, 3) of the file, with the repeated vertices; None if it has none, or no seams."""


def read_uv(
    path: Path,
    triangles: NDArray[Any],
    n: int,
    kept: NDArray[np.int32] | None = None,
    n_larger: int | None = None,
) -> FileUv:
    """UV of a model's vertices.

    Parameters
    ----------
    path : Path
        ``.npy`` (n, 2); ``.mat`` with a variable UV, (n, 2) or (2, n); ``.obj`` with the model's vertices and faces
        that name texture coordinates, ``f 1/1 2/2 3/3``.
    triangles : (m, 3) integer array
        Of the model.
    n : int
        Its vertices.
    kept : (n,) int32, optional
        The row of each vertex, if the file is of a larger mesh.
    n_larger : int, optional
        Vertices of that mesh, if they are known. A file of another number of rows, which is `n`, is the model's own.

    Returns
    -------
    FileUv
        Vertices on a seam of an OBJ's texture are repeated, see `uvgen.meshes.seams.split_seams`.

    Raises
    ------
    InputError
        If the file cannot be read, is of another number of vertices or another mesh, or UV leave [0, 1].
    """
    suffix = path.suffix.lower()
    if suffix == ".obj":
        found = _of_obj(path, triangles, n, kept, n_larger)
    elif suffix in (".npy", ".mat"):
        uv = _of_npy(path) if suffix == ".npy" else _of_matlab(path, n)
        uv = uv[_rows(path, len(uv), n, kept, n_larger)]
        found = FileUv(uv, np.empty(0, np.int32), None)
    else:
        raise InputError(f"{path}: a name that ends in {suffix or 'nothing'}, expected UV as {', '.join(SUFFIXES)}")
    if np.isnan(found.uv).any():
        where = int(np.isnan(found.uv).any(axis=1).argmax())
        raise InputError(f"{path}: vertex {where} has no UV, expected UV of every vertex")
    low, high = found.uv.min(), found.uv.max()
    if low < -_OUTSIDE or high > 1 + _OUTSIDE:
        raise InputError(f"{path}: UV of {low:.4g} to {high:.4g}, expected 0 to 1")
    return found._replace(uv=found.uv.clip(0, 1))


def _rows(
    path: Path, n_rows: int, n: int, kept: NDArray[np.int32] | None, n_larger: int | None
) -> NDArray[np.int32] | slice:
    """The rows of a file that are the model's vertices."""
    if n_rows == n and (kept is None or n_larger not in (None, n)):
        return slice(None)
    if kept is None:
        raise InputError(
            f"{path}: {n_rows} UV, expected {n}, one per vertex; those of a larger mesh need argument `indices`"
        )
    if kept.max(initial=0) >= n_rows:
        raise InputError(f"{path}: {n_rows} UV, expected more: the indices name row {kept.max()}")
    return kept


def _of_obj(
    path: Path, triangles: NDArray[Any], n: int, kept: NDArray[np.int32] | None, n_larger: int | None
) -> FileUv:
    try:
        vertices, own, corner_uv = read_textured_obj(path)
    except MeshFileError as error:
        raise InputError(str(error)) from error
    place = np.full(len(vertices), -1, np.int32)
    place[_rows(path, len(vertices), n, kept, n_larger)] = np.arange(n, dtype=np.int32)
    inside = (place[own] >= 0).all(axis=1)
    own, corner_uv = place[own[inside]], corner_uv[inside]
    if len(np.unique(own)) < n and len(np.setdiff1d(triangles, own)):
        where = int(np.setdiff1d(triangles, own)[0])
        raise InputError(f"{path}: vertex {where} has no UV, expected UV of every vertex")
    if not is_same_mesh(triangles, own, n):
        raise InputError(f"{path}: its faces join other vertices than the model's triangles do, expected the same mesh")
    try:
        split, uv, repeated = split_seams(own, corner_uv, n)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if len(repeated) and len(own) < _SAME_NUMBER * len(triangles):  # whose triangles take the place of the model's
        raise InputError(
            f"{path}: {count(len(own), 'triangle')}, the model has {len(triangles)}, expected the same mesh: the "
            "others would be missing in maps"
        )
    return FileUv(uv, repeated, split if len(repeated) else None)


def _of_matlab(path: Path, n: int) -> NDArray[np.float64]:
    try:
        content = matlab.load(path, "UV")
        return matlab.uv_rows(content, path, *sorted({n, max(matlab.numbers(content, "UV", path).shape)}))
    except ModelError as error:
        raise InputError(str(error)) from error


def _of_npy(path: Path) -> NDArray[np.float64]:
    array = read_npy_file(path, InputError, expected="UV (n, 2)")
    if array.ndim != 2 or array.shape[1] != 2:
        raise InputError(f"{path}: {array.dtype} {array.shape}, expected UV (n, 2)")
    return as_float64(array)
