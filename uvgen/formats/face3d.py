"""face3d's ``BFM.mat``: the model that its MATLAB script assembles, as one struct ``model``.

Fields: shapeMU (3n, 1), shapePC (3n, 199), shapeEV (199, 1), expMU, expPC (3n, 29), expEV, texMU, texPC, texEV,
tri (3, m), tri_mouth (3, q), kpt_ind (1, 68); indices count from 1. Beside it lie ``BFM_UV.mat`` with
UV (n, 2), and ``BFM_info.mat`` with a struct ``model_info`` (symlist, segbin and others).
"""

from pathlib import Path
from typing import Any

import numpy as np

from uvgen.errors import ModelError
from uvgen.files import sha256_file
from uvgen.formats import matlab
from uvgen.model import MorphableModel, make_model


def read(path: Path) -> MorphableModel:
    """Read face3d's model.

    Parameters
    ----------
    path : Path
        ``BFM.mat``; ``BFM_UV.mat`` must lie beside it, ``BFM_info.mat`` may.

    Returns
    -------
    MorphableModel
        Equal to the last bit to what `uvgen.formats.bfm2009.read` makes of the distributed files.

    Raises
    ------
    ModelError
        Where a file is missing, damaged or lacks a field.
    """
    model = matlab.load(path, "shapeMU", "shapePC", "shapeEV", "expMU", "expPC", "expEV", "tri", "kpt_ind",
                        struct="model")  # fmt: skip
    uv_path, info_path = path.with_name("BFM_UV.mat"), path.with_name("BFM_info.mat")
    if not uv_path.exists():
        raise ModelError(f"{uv_path}: no such file; position maps need the UV coordinates beside {path.name}")
    uv = matlab.load(uv_path, "UV")["UV"]
    info: dict[str, Any] = matlab.load(info_path, struct="model_info") if info_path.exists() else {}

    n = len(model["shapeMU"]) // 3
    trim = matlab.indices(info["trimIndex"]).ravel() if "trimIndex" in info else None
    mean = model["shapeMU"].astype(np.float64) + model["expMU"]
    textured = all(key in model for key in ("texMU", "texPC", "texEV"))
    used = (path, uv_path, info_path) if info else (path, uv_path)
    return make_model(
        source=str(path),
        name=path.name,
        mean=mean.reshape(n, 3),
        basis=matlab.joint_basis(model["shapePC"], model["expPC"]),
        shape_std=model["shapeEV"].ravel(),
        expression_std=model["expEV"].ravel(),
        triangles=matlab.triangles(model["tri"]),
        mouth_triangles=matlab.triangles(model["tri_mouth"]) if "tri_mouth" in model else np.empty((0, 3), np.int32),
        uv=matlab.trimmed_uv(uv, trim),
        landmarks=matlab.indices(model["kpt_ind"]).ravel(),
        regions=matlab.regions(info["segbin"], n, trim) if "segbin" in info else None,
        mirror=matlab.mirror(info["symlist"], n) if "symlist" in info else None,
        albedo_mean=model["texMU"].reshape(n, 3) if textured else None,
        albedo_basis=model["texPC"].reshape(n, 3, -1) if textured else None,
        albedo_std=model["texEV"].ravel() if textured else None,
        sources={file.name: sha256_file(file) for file in used},
    )
