"""The Basel Face Model 2009 and 3DDFA's additions, as their authors distribute them.

- ``01_MorphableModel.mat`` (University of Basel): shapeMU (160470, 1), shapePC (160470, 199), shapeEV, texMU,
  texPC, texEV, segbin (53490, 4); all 53,490 vertices
- ``Model_Expression.mat`` (3DDFA): mu_exp (159645, 1), w_exp (159645, 29), sigma_exp; 53,215 vertices
- ``model_info.mat`` (3DDFA): trimIndex (53215, 1), tri (3, m), keypoints (1, 68), symlist, segbin
- ``BFM_UV.mat`` (3DMMasSTN): UV (53490, 2), or face3d's trimmed (53215, 2)
- ``Model_tri_mouth.mat`` (3DDFA, optional): tri_mouth (3, q)

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
        Where a file is missing, damaged, lacks a variable, or does not fit the others.
    """
    basel = matlab.load(bfm, "shapeMU", "shapePC", "shapeEV")
    additions = matlab.load(expression, "mu_exp", "w_exp", "sigma_exp")
    about = matlab.load(info, "trimIndex", "tri", "keypoints")
    uv_rows = matlab.load(uv, "UV")["UV"]
    trim = matlab.indices(about["trimIndex"]).ravel()
    n_full, n = len(basel["shapeMU"]) // 3, len(trim)
    if trim.max() >= n_full:
        raise ModelError(f"{info}: trimIndex reaches vertex {trim.max() + 1}, expected {n_full} at most, as {bfm} has")
    if len(additions["w_exp"]) != 3 * n:
        raise ModelError(f"{expression}: w_exp has {len(additions['w_exp'])} rows, expected {3 * n} for trimIndex")
    if len(uv_rows) not in (n, n_full):
        raise ModelError(f"{uv}: UV has {len(uv_rows)} rows, expected {n_full} or {n}")

    def trimmed(columns: NDArray[Any]) -> NDArray[Any]:
        return columns.reshape(n_full, 3, -1)[trim]

    mean = trimmed(basel["shapeMU"]).reshape(-1, 1).astype(np.float64) + additions["mu_exp"]
    segments = about.get("segbin", basel.get("segbin"))
    textured = all(key in basel for key in ("texMU", "texPC", "texEV"))
    used = [bfm, expression, info, uv] + ([mouth] if mouth else [])
    return make_model(
        source=str(bfm),
        name="BFM 2009",
        mean=mean.reshape(n, 3),
        basis=matlab.joint_basis(trimmed(basel["shapePC"]).reshape(3 * n, -1), additions["w_exp"]),
        shape_std=basel["shapeEV"].ravel(),
        expression_std=additions["sigma_exp"].ravel(),
        triangles=matlab.triangles(about["tri"]),
        mouth_triangles=(
            matlab.triangles(matlab.load(mouth, "tri_mouth")["tri_mouth"]) if mouth else np.empty((0, 3), np.int32)
        ),
        uv=matlab.trimmed_uv(uv_rows, trim),
        landmarks=matlab.indices(about["keypoints"]).ravel(),
        regions=None if segments is None else matlab.regions(segments, n, trim),
        mirror=matlab.mirror(about["symlist"], n) if "symlist" in about else None,
        albedo_mean=trimmed(basel["texMU"])[:, :, 0] if textured else None,
        albedo_basis=trimmed(basel["texPC"]) if textured else None,
        albedo_std=basel["texEV"].ravel() if textured else None,
        sources={file.name: sha256_file(file) for file in used},
    )
