"""The Basel Face Model 2009 with all its 53,490 vertices, as 3D Morphable Models as Spatial Transformer Networks
takes it.

The files are those of `uvgen.models.formats.bfm2009`; BFM_UV.mat must be 3DMMasSTN's, of 53,490 rows. The 275
vertices that 3DDFA trims away are the inside of the mouth; `tl` of ``01_MorphableModel.mat`` has their triangles.
Model_Expression.mat has no row for them: mean and components of the expressions are carried into the mouth by a
Laplace-Beltrami solve over the mesh, as Bas et al. (2017) do. Without it the lips would part from the mouth behind
them. Vertices that no triangle joins to others do not move with expressions.

Landmarks, mirror pairs and mouth triangles are those of 3DDFA, renumbered.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError, ModelError
from uvgen.meshes.topology import find_components
from uvgen.meshes.transfer import transfer_expressions
from uvgen.models.formats import matlab
from uvgen.models.morphable import MorphableModel, make_model
from uvgen.storage.files import sha256_file
from uvgen.wording import count

_MOST_CARRIED = 2048  # vertices whose expressions are solved for: 275 in the mouth, which any triangles may join


def read(bfm: Path, expression: Path, info: Path, uv: Path, mouth: Path | None = None) -> MorphableModel:
    """Assemble the whole model from the distributed files.

    Parameters
    ----------
    bfm, expression, info, uv : Path
        ``01_MorphableModel.mat``, ``Model_Expression.mat``, ``model_info.mat`` and 3DMMasSTN's ``BFM_UV.mat``.
    mouth : Path, optional
        ``Model_tri_mouth.mat``.

    Returns
    -------
    MorphableModel
        53,490 vertices; that of `bfm2009.read` if it has them.

    Raises
    ------
    ModelError
        If a file is missing, damaged, lacks a variable, or does not fit the others.
    """
    from uvgen.models.formats import bfm2009

    trimmed = bfm2009.read(bfm, expression, info, uv, mouth)
    basel = matlab.load(bfm, "shapeMU", "shapePC", "tl")
    about = matlab.load(info, "trimIndex")
    given_uv = matlab.load(uv, "UV")
    shape = matlab.points(basel, "shapeMU", bfm).astype(np.float64).reshape(-1, 3)
    n = len(shape)
    trim = matlab.named_vertices(matlab.vector(about, "trimIndex", info), "trimIndex", info, n)
    if (lacking := n - len(trim)) > min(_MOST_CARRIED, len(trim)):
        raise ModelError(
            f"{info}: trimIndex leaves out {lacking} of {count(n, 'vertex')}, expected {_MOST_CARRIED} at most with "
            "argument `keep_all`: 3DDFA's, which leaves out the inside of the mouth"
        )
    if max(matlab.numbers(given_uv, "UV", uv).shape) == len(trim) != n:
        raise ModelError(
            f"{uv}: UV of {count(len(trim), 'vertex')}, expected {n} with argument `keep_all`: BFM_UV.mat of 3DMMasSTN"
        )
    coordinates = matlab.uv_rows(given_uv, uv, n)
    coordinates[trim] = matlab.trimmed_uv(coordinates, trim)  # with its repairs
    triangles = _turned_alike(matlab.triangles(basel, "tl", bfm, n), trim[trimmed.triangles], shape)
    known = np.concatenate([_expression_mean(expression, len(trim)), trimmed.expression_basis], axis=2)
    carried = _carried(shape, triangles, trim, known)
    segments = matlab.numbers(basel, "segbin", bfm) if "segbin" in basel else None
    textured = all(key in basel for key in ("texMU", "texPC", "texEV"))
    return make_model(
        source=str(bfm),
        name="BFM 2009, all vertices",
        mean=shape + carried[:, :, 0],
        basis=matlab.joint_basis(matlab.rows(basel, "shapePC", bfm, 3 * n), carried[:, :, 1:].reshape(3 * n, -1)),
        shape_std=trimmed.shape_std,
        expression_std=trimmed.expression_std,
        triangles=triangles,
        mouth_triangles=trim[trimmed.mouth_triangles],
        uv=coordinates,
        landmarks=trim[trimmed.landmarks],
        regions=None if segments is None else matlab.regions(segments, n, None, f"{bfm}: segbin"),
        mirror=_mirror(trimmed.mirror, trim, n),
        albedo_mean=matlab.vector(basel, "texMU", bfm, 3 * n).reshape(n, 3) if textured else None,
        albedo_basis=matlab.rows(basel, "texPC", bfm, 3 * n).reshape(n, 3, -1) if textured else None,
        albedo_std=matlab.vector(basel, "texEV", bfm) if textured else None,
        sources={file.name: sha256_file(file) for file in (bfm, expression, info, uv, *([mouth] if mouth else []))},
    )


def _expression_mean(path: Path, n: int) -> NDArray[np.float64]:
    """(n, 3, 1) mean expression of the trimmed vertices."""
    content = matlab.load(path, "mu_exp")
    return matlab.vector(content, "mu_exp", path, 3 * n).astype(np.float64).reshape(n, 3, 1)


def _turned_alike(
    triangles: NDArray[np.int32], trimmed: NDArray[np.int32], shape: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Triangles turned as 3DDFA's are: the Basel file turns them the other way round."""

    def facing(corners: NDArray[np.int32]) -> float:
        a, b, c = (shape[corners[:, k]] for k in range(3))
        return float(np.cross(b - a, c - a)[:, 2].sum())

    return np.ascontiguousarray(triangles[:, ::-1]) if facing(triangles) * facing(trimmed) < 0 else triangles


def _carried(
    shape: NDArray[np.float64], triangles: NDArray[np.int32], trim: NDArray[np.int32], known: NDArray[Any]
) -> NDArray[np.float64]:
    """(n, 3, k) displacements of all vertices, of which those of `trim` are known."""
    carried = np.zeros((len(shape), 3, known.shape[2]))
    carried[trim] = known
    used = np.unique(triangles)
    inside = np.zeros(len(shape), bool)
    inside[trim] = True
    if inside[used].all():
        return carried
    place = np.full(len(shape), -1)
    place[used] = np.arange(len(used))
    mesh = place[triangles]
    held = place[np.intersect1d(used, trim)]
    try:
        carried[used] = transfer_expressions(shape[used], mesh, held, carried[used[held]])
    except InputError:  # no surface of one piece: neighbors count alike, whatever their angles
        carried[used] = _averaged(mesh, held, carried[used])
    return carried


def _averaged(triangles: NDArray[Any], held: NDArray[Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (n, 3, k) of which those of `held` stay, and others are the mean of their neighbors'; 0 in parts of the
    mesh with none of `held`."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import laplacian
    from scipy.sparse.linalg import splu

    n = len(values)
    a, b = triangles.ravel(), triangles[:, [1, 2, 0]].ravel()
    pairs = coo_array((np.ones(2 * len(a)), (np.r_[a, b], np.r_[b, a])), shape=(n, n)).tocsr()
    pairs.data[:] = 1
    parts = find_components(n, triangles)
    unknown = np.isin(parts, parts[held])
    unknown[held] = False
    free, matrix = np.flatnonzero(unknown), laplacian(pairs).tocsr()
    result = values.copy()
    if len(free):
        right = -(matrix[free][:, held] @ values[held].reshape(len(held), -1))
        result[free] = splu(matrix[free][:, free].tocsc()).solve(right).reshape(len(free), *values.shape[1:])
    return result


def _mirror(mirror: NDArray[np.int32] | None, trim: NDArray[np.int32], n: int) -> NDArray[np.int32] | None:
    if mirror is None:
        return None
    result = np.full(n, -1, np.int32)
    has = mirror >= 0
    result[trim[has]] = trim[mirror[has]]
    return result
