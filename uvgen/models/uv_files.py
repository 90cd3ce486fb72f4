"""UV coordinates of a mesh's vertices from files: .npy, BFM_UV.mat, and the texture coordinates of an OBJ."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError, MeshFileError, ModelError
from uvgen.meshes.read import read_texture
from uvgen.models.formats import matlab
from uvgen.storage.npy import read_npy
from uvgen.storage.reading import read_file

SUFFIXES = (".npy", ".mat", ".obj")
"""Endings of the names of files that `read_uv` takes."""

_OUTSIDE = 1e-3  # of the unit square, from rounding


def read_uv(
    path: Path, n: int, kept: NDArray[np.int32] | None = None
) -> tuple[NDArray[np.float64], set[tuple[int, ...]]]:
    """UV of n vertices.

    Parameters
    ----------
    path : Path
        ``.npy`` (n, 2); ``.mat`` with a variable UV, (n, 2) or (2, n); ``.obj`` whose vertices are the model's. Of an
        OBJ, a vertex on a seam of the texture gets the leftmost of its UV.
    n : int
        Vertices of the model.
    kept : (n,) int32, optional
        The row of each vertex, where the file is of a larger mesh.

    Returns
    -------
    uv : (n, 2) float64
        u right, v up, in [0, 1].
    across : set of (int, int, int)
        Triangles across a seam, as sorted vertices: the UV of their corners lie apart.

    Raises
    ------
    InputError
        Where the file cannot be read, is of another number of vertices, or UV leave [0, 1].
    """
    across: set[tuple[int, ...]] = set()
    suffix = path.suffix.lower()
    if suffix == ".npy":
        uv = _of_npy(path)
    elif suffix == ".mat":
        try:
            content = matlab.load(path, "UV")
            uv = matlab.uv_rows(content, path, *sorted({n, max(matlab.numbers(content, "UV", path).shape)}))
        except ModelError as error:
            raise InputError(str(error)) from error
    elif suffix == ".obj":
        try:
            uv, across = read_texture(path)
        except MeshFileError as error:
            raise InputError(str(error)) from error
    else:
        raise InputError(f"{path}: a name that ends in {suffix or 'nothing'}, expected UV as {', '.join(SUFFIXES)}")
    if len(uv) != n and kept is not None:
        if kept.max(initial=0) >= len(uv):
            raise InputError(f"{path}: {len(uv)} UV, expected more: the indices name row {kept.max()}")
        place = np.full(len(uv), -1)
        place[kept] = np.arange(n)
        across = {tuple(sorted(place[list(corners)].tolist())) for corners in across}
        uv = uv[kept]
    if len(uv) != n:
        raise InputError(
            f"{path}: {len(uv)} UV, expected {n}, one per vertex; those of a larger mesh go with --indices"
        )
    if np.isnan(uv).any():
        where = int(np.isnan(uv).any(axis=1).argmax())
        raise InputError(f"{path}: vertex {where} has no UV, expected UV of every vertex")
    if uv.min() < -_OUTSIDE or uv.max() > 1 + _OUTSIDE:
        raise InputError(f"{path}: UV of {uv.min():.4g} to {uv.max():.4g}, expected 0 to 1")
    return uv.clip(0, 1), across


def _of_npy(path: Path) -> NDArray[np.float64]:
    try:
        array = read_npy(read_file(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}, expected UV (n, 2)") from error
    if array.ndim != 2 or array.shape[1] != 2:
        raise InputError(f"{path}: {array.dtype} {array.shape}, expected UV (n, 2)")
    return array.astype(np.float64)
