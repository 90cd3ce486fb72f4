"""Deep3DFaceRecon's face model, ``BFM_model_front.mat``: the face of the Basel model of 2009, 35,709 vertices.

meanshape (1, 3n), idBase (3n, 80), exBase (3n, 64): decimeters, scaled by the standard deviations; meantex (1, 3n),
texBase (3n, 80): RGB, 0 to 255; tri (m, 3) and keypoints (1, 68), counted from 1. The mean is moved to the average of
its vertices as their code does on loading.

Its authors ship a script that makes the file; a folder of the same files is read too:

- ``01_MorphableModel.mat`` (University of Basel), 53,490 vertices
- ``Exp_Pca.bin`` (Guo et al., CoarseData): int32 k, then float32 mean (3 · 53215) and k components of as many;
  ``std_exp.txt``: k standard deviations
- ``BFM_exp_idx.mat``: trimIndex, the 53,215 of the 53,490; ``BFM_front_idx.mat``: idx, the 35,709 of the 53,215
- ``facemodel_info.mat``: tri, keypoints

Of these, the mean expression is not used. UV are ``BFM_UV.mat``'s (53,490 or 53,215 rows) if it and the index
files lie beside the model.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError, ModelError
from uvgen.models.assembled import AssembledModel
from uvgen.models.formats import arrays, known, matlab
from uvgen.storage.files import sha256_file
from uvgen.storage.kinds import describe_file
from uvgen.storage.names import brief
from uvgen.storage.text import number_of, read_text
from uvgen.wording import count

N_SHAPE, N_EXPRESSION, N_ALBEDO = 80, 64, 80
"""Components that are taken of the files that the model is made of."""

MICROMETERS = 1e5
"""µm per decimeter."""

FILE = "BFM_model_front.mat"
_BASEL, _EXPRESSIONS, _STDS = "01_MorphableModel.mat", "Exp_Pca.bin", "std_exp.txt"
_TRIM, _FRONT, _INFO, _UV = "BFM_exp_idx.mat", "BFM_front_idx.mat", "facemodel_info.mat", "BFM_UV.mat"


def recognizes(path: Path) -> bool:
    """Whether this is a MATLAB file with meanshape and idBase, or a folder with Exp_Pca.bin or that file."""
    if path.is_dir():
        return (path / _EXPRESSIONS).is_file() or (path / FILE).is_file()
    return describe_file(path).startswith("a MATLAB") and {"meanshape", "idBase"} <= known.variables(path)


def read(path: Path) -> AssembledModel:
    """Read Deep3DFaceRecon's model, or make it of the files that its authors make it of.

    Parameters
    ----------
    path : Path
        ``BFM_model_front.mat``, or a folder with the others.

    Returns
    -------
    AssembledModel
        Without regions and mirror pairs; without UV if their files are not beside it. Parameters are multiples of
        the standard deviations.

    Raises
    ------
    ModelError
        If a file is missing, damaged, or does not fit the others.
    """
    if path.is_dir() and not (path / FILE).exists():
        return _read_folder(path)
    return _read_front(path / FILE if path.is_dir() else path)


def _read_front(path: Path) -> AssembledModel:
    content = matlab.load(path, "meanshape", "idBase", "exBase", "tri", "keypoints")
    mean = matlab.points(content, "meanshape", path).astype(np.float64).reshape(-1, 3)
    n = len(mean)
    textured = {"meantex", "texBase"} <= content.keys()
    uv, used = _uv_beside(path.parent, n)
    return _assembled(
        source=path,
        mean=mean * MICROMETERS,
        shape_basis=matlab.rows(content, "idBase", path, 3 * n) * MICROMETERS,
        expression_basis=matlab.rows(content, "exBase", path, 3 * n) * MICROMETERS,
        albedo_mean=matlab.vector(content, "meantex", path, 3 * n) if textured else None,
        albedo_basis=matlab.rows(content, "texBase", path, 3 * n) if textured else None,
        info=(content, path),
        uv=uv,
        used=[path, *used],
    )


def _read_folder(folder: Path) -> AssembledModel:
    for name in (_BASEL, _EXPRESSIONS, _STDS, _TRIM, _FRONT, _INFO):
        if not (folder / name).exists():
            raise ModelError(f"{folder / name}: no such file, expected the files that BFM_model_front.mat is made of")
    basel_path = folder / _BASEL
    basel = matlab.load(basel_path, "shapeMU", "shapePC", "shapeEV")
    mean = matlab.points(basel, "shapeMU", basel_path).astype(np.float64).reshape(-1, 3)
    n_full = len(mean)
    trim = _index(folder / _TRIM, "trimIndex", n_full)
    front = _index(folder / _FRONT, "idx", len(trim))
    whole = trim[front]  # among all vertices
    expressions, stds = _read_expressions(folder / _EXPRESSIONS, len(trim)), _read_stds(folder / _STDS)
    if len(stds) != expressions.shape[0]:
        raise ModelError(
            f"{folder / _STDS}: {count(len(stds), 'number')}, expected {expressions.shape[0]}, one per component of "
            f"{_EXPRESSIONS}"
        )

    def scaled(basis: str, deviations: str, keep: int) -> NDArray[Any]:
        rows = matlab.rows(basel, basis, basel_path, 3 * n_full)
        std = matlab.deviations(basel, deviations, basel_path, rows).astype(np.float64)  # MATLAB may store int8
        columns: NDArray[Any] = (rows.reshape(n_full, 3, -1)[whole, :, :keep] * std[:keep]).reshape(3 * len(whole), -1)
        return columns

    textured = {"texMU", "texPC", "texEV"} <= basel.keys()
    info = matlab.load(folder / _INFO, "tri", "keypoints")
    of_expressions = expressions[:N_EXPRESSION].reshape(-1, len(trim), 3)[:, front].transpose(1, 2, 0)
    uv, used = _uv_beside(folder, len(front))
    used = [folder / name for name in (_BASEL, _EXPRESSIONS, _STDS, _TRIM, _FRONT, _INFO)] + used[-1:]
    return _assembled(
        source=folder,
        mean=mean[whole],
        shape_basis=scaled("shapePC", "shapeEV", N_SHAPE),
        expression_basis=(of_expressions * stds[:N_EXPRESSION]).reshape(3 * len(whole), -1),
        albedo_mean=matlab.vector(basel, "texMU", basel_path, 3 * n_full).reshape(n_full, 3)[whole].ravel()
        if textured
        else None,
        albedo_basis=scaled("texPC", "texEV", N_ALBEDO) if textured else None,
        info=(info, folder / _INFO),
        uv=uv,
        used=used,
    )


def _assembled(
    *,
    source: Path,
    mean: NDArray[np.float64],
    shape_basis: NDArray[Any],
    expression_basis: NDArray[Any],
    albedo_mean: NDArray[Any] | None,
    albedo_basis: NDArray[Any] | None,
    info: tuple[dict[str, Any], Path],
    uv: NDArray[Any] | None,
    used: list[Path],
) -> AssembledModel:
    n = len(mean)
    textured = albedo_mean is not None and albedo_basis is not None
    return AssembledModel(
        source=str(source),
        name="Deep3DFaceRecon",
        mean=mean - mean.mean(axis=0),
        shape_basis=shape_basis.reshape(n, 3, -1),
        expression_basis=expression_basis.reshape(n, 3, -1),
        shape_std=np.ones(shape_basis.shape[1]),
        expression_std=np.ones(expression_basis.shape[1]),
        triangles=matlab.triangles(info[0], "tri", info[1], n),
        landmarks=matlab.named_vertices(matlab.vector(info[0], "keypoints", info[1], 68), "keypoints", info[1], n),
        uv=uv,
        albedo_mean=albedo_mean.reshape(n, 3) if albedo_mean is not None and textured else None,
        albedo_basis=albedo_basis.reshape(n, 3, -1) if albedo_basis is not None and textured else None,
        albedo_std=np.ones(albedo_basis.shape[1]) if albedo_basis is not None and textured else None,
        sources={file.name: sha256_file(file) for file in used},
    )


def _index(path: Path, name: str, n: int) -> NDArray[np.int32]:
    """0-based vertices of an index file, each within n and there once."""
    found = matlab.indices(matlab.vector(matlab.load(path, name), name, path))
    if not found.size or found.min() < 0 or found.max() >= n:
        raise ModelError(
            f"{path}: {name} names vertices outside of 1 to {n}, expected those of the model it is cut from"
        )
    ordered = np.sort(found)
    if len(twice := ordered[1:][ordered[1:] == ordered[:-1]]):
        raise ModelError(f"{path}: {name} names vertex {twice[0] + 1} twice, expected each once")
    return found


def _uv_beside(folder: Path, n: int) -> tuple[NDArray[Any] | None, list[Path]]:
    """UV (n, 2) of BFM_UV.mat and the index files in a folder, and these files; None if one is missing."""
    paths = [folder / name for name in (_TRIM, _FRONT, _UV)]
    if not all(path.exists() for path in paths):
        return None, []
    content = matlab.load(paths[2], "UV")
    n_rows = max(matlab.numbers(content, "UV", paths[2]).shape)
    trim = _index(paths[0], "trimIndex", 2**31 - 1)
    front = _index(paths[1], "idx", len(trim))
    if len(front) != n:
        raise ModelError(
            f"{paths[1]}: idx has {count(len(front), 'number')}, expected {n}, the vertices of the model beside it"
        )
    rows = matlab.uv_rows(content, paths[2], *{len(trim), max(n_rows, int(trim.max()) + 1)})
    return matlab.trimmed_uv(rows, trim)[front], paths


def _read_expressions(path: Path, n: int) -> NDArray[np.float32]:
    """(k, 3n) components of Exp_Pca.bin, each of x, y, z per vertex."""
    data = arrays.read_bytes(path, "Deep3DFaceRecon's Exp_Pca.bin")
    k = struct.unpack_from("<i", data)[0] if len(data) >= 4 else 0
    if not 0 < k < 1 << 20 or len(data) != 4 + 4 * 3 * n * (k + 1):
        raise ModelError(
            f"{path}: {len(data)} bytes that begin with the number {k}, expected a number of components k, then "
            f"k + 1 times {3 * n} float32; it is damaged, or of another mesh"
        )
    return np.frombuffer(data, "<f4", offset=4 + 4 * 3 * n).reshape(k, 3 * n)


def _read_stds(path: Path) -> NDArray[np.float64]:
    try:
        text = read_text(path, "standard deviations")
    except (OSError, InputError) as error:
        raise ModelError(f"{path}: cannot be read ({brief(error)}), expected standard deviations") from error
    try:
        values = np.array([number_of(word) for word in text.split()])
    except ValueError as error:
        raise ModelError(f"{path}: holds values that are not numbers, expected standard deviations") from error
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise ModelError(f"{path}: holds {values.min():.3g}, expected finite standard deviations of 0 or more")
    return values
