"""The Basel Face Model 2009 and 3DDFA's additions, as their authors distribute them.

- ``01_MorphableModel.mat`` (University of Basel): shapeMU (160470, 1), shapePC (160470, 199), shapeEV, texMU,
  texPC, texEV, segbin (53490, 4); all 53,490 vertices
- ``Model_Expression.mat`` (3DDFA): mu_exp (159645, 1), w_exp (159645, 29), sigma_exp; 53,215 vertices
- ``model_info.mat`` (3DDFA): trimIndex (53215, 1), tri (3, m), keypoints (1, 68), symlist, segbin
- ``BFM_UV.mat`` (3DMMasSTN): UV (53490, 2), or face3d's trimmed (53215, 2)
- ``Model_tri_mouth.mat`` (3DDFA, optional): tri_mouth (3, q)

Vectors may be rows or columns, and matrices transposed, as other programs save them.

Putting them together is what face3d's MATLAB script ``generate.m`` does.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import ModelError
from uvgen.models.formats import matlab
from uvgen.models.morphable import MorphableModel, make_model
from uvgen.storage.files import sha256_file


def read(bfm: Path, expression: Path, info: Path, uv: Path, mouth: Path | None = None) -> MorphableModel:
    """Assemble the trimmed model from the distributed files.

    Parameters
    ----------
    bfm, expression, info, uv : Path
        ``01_MorphableModel.mat``, ``Model_Expression.mat``, ``model_info.mat`` and ``BFM_UV.mat``.
    mouth : Path, optional
        ``Model_tri_mouth.mat``; without it the mouth is closed from the mesh's own hole in UV.

    Returns
    -------
    MorphableModel
        53,215 vertices.

    Raises
    ------
    ModelError
        If a file is missing, damaged, lacks a variable, or does not fit the others.
    """
    basel = matlab.load(bfm, "shapeMU", "shapePC", "shapeEV")
    additions = matlab.load(expression, "mu_exp", "w_exp", "sigma_exp")
    about = matlab.load(info, "trimIndex", "tri", "keypoints")
    given_uv = matlab.load(uv, "UV")
    shape = matlab.points(basel, "shapeMU", bfm)
    trim = matlab.kept_vertices(about, info)
    n_full, n = len(shape) // 3, len(trim)
    if not n:
        raise ModelError(f"{info}: trimIndex is empty, expected the vertices of {bfm} that are kept")
    if trim.max() >= n_full:
        raise ModelError(f"{info}: trimIndex reaches vertex {trim.max() + 1}, expected {n_full} at most, as {bfm} has")
    expressions = matlab.rows(additions, "w_exp", expression, 3 * n)
    mean_expression = matlab.vector(additions, "mu_exp", expression, 3 * n)

    shape_basis = matlab.rows(basel, "shapePC", bfm, 3 * n_full)
    albedo_basis = matlab.rows(basel, "texPC", bfm, 3 * n_full) if textured(basel) else None

    def trimmed(columns: NDArray[Any]) -> NDArray[Any]:
        return columns.reshape(n_full, 3, -1)[trim]

    mean = trimmed(shape).reshape(3 * n).astype(np.float64) + mean_expression
    labeled, labels_path = (about, info) if "segbin" in about else (basel, bfm)
    segments = matlab.numbers(labeled, "segbin", labels_path) if "segbin" in labeled else None
    used = [bfm, expression, info, uv] + ([mouth] if mouth else [])
    return make_model(
        source=str(bfm),
        name="BFM 2009",
        mean=mean.reshape(n, 3),
        basis=matlab.joint_basis(trimmed(shape_basis).reshape(3 * n, -1), expressions),
        shape_std=matlab.deviations(basel, "shapeEV", bfm, shape_basis),
        expression_std=matlab.deviations(additions, "sigma_exp", expression, expressions),
        triangles=matlab.triangles(about, "tri", info, n),
        mouth_triangles=(
            matlab.triangles(matlab.load(mouth, "tri_mouth"), "tri_mouth", mouth, n)
            if mouth
            else np.empty((0, 3), np.int32)
        ),
        uv=matlab.check_uv(matlab.trimmed_uv(matlab.uv_rows(given_uv, uv, n_full, n), trim), uv),
        landmarks=matlab.named_vertices(matlab.vector(about, "keypoints", info, 68), "keypoints", info, n),
        regions=None if segments is None else matlab.regions(segments, n, trim, f"{labels_path}: segbin"),
        mirror=matlab.mirror_of(about, info, n),
        albedo_mean=None if albedo_basis is None else trimmed(matlab.vector(basel, "texMU", bfm, 3 * n_full))[:, :, 0],
        albedo_basis=None if albedo_basis is None else trimmed(albedo_basis),
        albedo_std=None if albedo_basis is None else matlab.deviations(basel, "texEV", bfm, albedo_basis),
        sources={file.name: sha256_file(file) for file in used},
    )


def textured(basel: dict[str, Any]) -> bool:
    """Whether the variables of 01_MorphableModel.mat have all of the albedo."""
    return all(key in basel for key in ("texMU", "texPC", "texEV"))
