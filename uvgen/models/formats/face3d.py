"""face3d's ``BFM.mat``: the model that its MATLAB script assembles, as one struct ``model``; read and written.

Fields: shapeMU (3n, 1), shapePC (3n, 199), shapeEV (199, 1), expMU, expPC (3n, 29), expEV, texMU, texPC, texEV,
tri (3, m), tri_mouth (3, q), kpt_ind (1, 68); indices count from 1. Beside it lie ``BFM_UV.mat`` with
UV (n, 2), and ``BFM_info.mat`` with a struct ``model_info`` (symlist, segbin and others). What uvgen writes has there
a field ``regions`` (n, 1) too, `segbin` having no label for the neck.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from uvgen.errors import ModelError
from uvgen.models.formats import matlab
from uvgen.models.morphable import REGIONS, MorphableModel, make_model
from uvgen.storage.files import replaced_on_success, sha256_file

FILES = ("BFM.mat", "BFM_UV.mat", "BFM_info.mat")
"""What `write` makes in a folder."""


def read(path: Path) -> MorphableModel:
    """Read face3d's model.

    Parameters
    ----------
    path : Path
        ``BFM.mat``; ``BFM_UV.mat`` must lie beside it, ``BFM_info.mat`` may.

    Returns
    -------
    MorphableModel
        Equal to the last bit to what `uvgen.models.formats.bfm2009.read` makes of the distributed files.

    Raises
    ------
    ModelError
        If a file is missing, damaged or lacks a field.
    """
    model = matlab.load(path, "shapeMU", "shapePC", "shapeEV", "expMU", "expPC", "expEV", "tri", "kpt_ind",
                        struct="model")  # fmt: skip
    uv_path, info_path = path.with_name("BFM_UV.mat"), path.with_name("BFM_info.mat")
    if not uv_path.exists():
        raise ModelError(f"{uv_path}: no such file; put the file of UV coordinates beside {path.name}")
    given_uv = matlab.load(uv_path, "UV")
    info: dict[str, Any] = matlab.load(info_path, struct="model_info") if info_path.exists() else {}
    _check_of_one_model(model, path, info, info_path)

    shape = matlab.points(model, "shapeMU", path)
    n = len(shape) // 3
    trim = matlab.trim_of(info, info_path)
    n_rows = max(np.shape(given_uv["UV"]), default=0)
    untrimmed = trim is not None and n_rows > trim.max(initial=n)
    uv = matlab.uv_rows(given_uv, uv_path, *((n, n_rows) if untrimmed else (n,)))
    mean = shape.astype(np.float64) + matlab.vector(model, "expMU", path, 3 * n)
    shape_basis, expression_basis = (matlab.rows(model, name, path, 3 * n) for name in ("shapePC", "expPC"))
    textured = all(key in model for key in ("texMU", "texPC", "texEV"))
    albedo_basis = matlab.rows(model, "texPC", path, 3 * n) if textured and np.size(model["texPC"]) else None
    used = (path, uv_path, info_path) if info else (path, uv_path)
    return make_model(
        source=str(path),
        name=path.name,
        mean=mean.reshape(n, 3),
        basis=matlab.joint_basis(shape_basis, expression_basis),
        shape_std=matlab.deviations(model, "shapeEV", path, shape_basis),
        expression_std=matlab.deviations(model, "expEV", path, expression_basis),
        triangles=matlab.triangles(model, "tri", path, n),
        mouth_triangles=(
            matlab.triangles(model, "tri_mouth", path, n) if "tri_mouth" in model else np.empty((0, 3), np.int32)
        ),
        uv=matlab.check_uv(matlab.trimmed_uv(uv, trim if untrimmed else None), uv_path),
        landmarks=matlab.named_vertices(matlab.vector(model, "kpt_ind", path, 68), "kpt_ind", path, n),
        regions=_regions(info, info_path, n, trim),
        mirror=matlab.mirror_of(info, info_path, n),
        albedo_mean=matlab.vector(model, "texMU", path, 3 * n).reshape(n, 3) if textured else None,
        albedo_basis=None if albedo_basis is None else albedo_basis.reshape(n, 3, -1),
        albedo_std=None if albedo_basis is None else matlab.deviations(model, "texEV", path, albedo_basis),
        sources={file.name: sha256_file(file) for file in used},
    )


def _check_of_one_model(model: dict[str, Any], path: Path, info: dict[str, Any], info_path: Path) -> None:
    """Raise ModelError if both files name landmarks, and not the same: regions and pairs would be another mesh's."""
    if "kpt_ind" not in info:
        return
    ours, theirs = (
        matlab.indices(matlab.vector(content, "kpt_ind", of)) for content, of in ((model, path), (info, info_path))
    )
    if not np.array_equal(ours, theirs):
        raise ModelError(
            f"{info_path}: kpt_ind is not that of {path}, expected the same 68 vertices: one of the two is of another "
            "model; take both from one folder, or move the former away"
        )


def _regions(info: dict[str, Any], path: Path, n: int, trim: NDArray[np.int32] | None) -> NDArray[Any] | None:
    if "regions" in info:
        return matlab.vector(info, "regions", path, n)
    if "segbin" not in info:
        return None
    return matlab.regions(matlab.numbers(info, "segbin", path), n, trim, f"{path}: segbin")


def _pairs(mirror: NDArray[np.int32]) -> NDArray[np.int64]:
    """(2, q): each pair once, 0-based, then those of vertices whose mirror vertex has another one."""
    n = len(mirror)
    left = np.flatnonzero(mirror >= np.arange(n))
    told = matlab.mirror(np.stack([left, mirror[left]]) + 1, n)
    left = np.concatenate([left, np.flatnonzero((mirror >= 0) & (told != mirror))])
    return np.stack([left, mirror[left]])


def write(model: MorphableModel, folder: Path) -> None:
    """Write a model as face3d's files, which `read` reads back as the same model.

    Not as the same if a vertex without a mirror vertex is that of another one: the files hold pairs.

    Parameters
    ----------
    model : MorphableModel
        Any model.
    folder : Path
        Where ``BFM.mat``, ``BFM_UV.mat`` and ``BFM_info.mat`` go; made if it is missing.

    Raises
    ------
    DatasetError
        If the folder cannot be written.
    """
    n = model.n_vertices
    record: dict[str, Any] = {
        "shapeMU": model.mean.reshape(-1, 1),
        "shapePC": model.shape_basis.reshape(3 * n, -1),
        "shapeEV": model.shape_std[:, None],
        "expMU": np.zeros((3 * n, 1)),  # the mean is one in uvgen
        "expPC": model.expression_basis.reshape(3 * n, -1),
        "expEV": model.expression_std[:, None],
        "tri": model.triangles.T + 1.0,
        "kpt_ind": model.landmarks[None] + 1.0,
    }
    if len(model.mouth_triangles):
        record["tri_mouth"] = model.mouth_triangles.T + 1.0
    if model.albedo_mean is not None:  # perhaps without components
        basis, std = model.albedo_basis, model.albedo_std
        record["texMU"] = model.albedo_mean.reshape(-1, 1)
        record["texPC"] = np.zeros((3 * n, 0), np.float32) if basis is None else basis.reshape(3 * n, -1)
        record["texEV"] = np.zeros((0, 1), np.float32) if std is None else std[:, None]
    info: dict[str, Any] = {"kpt_ind": record["kpt_ind"]}
    if model.mirror is not None:
        info["symlist"] = _pairs(model.mirror) + 1.0
    if model.regions is not None:
        of = [model.regions == REGIONS.index(name) for name in ("nose", "eyes", "mouth")]
        info["segbin"] = np.stack([*of, ~np.any(of, axis=0)]).astype(np.uint8)
        info["regions"] = model.regions[:, None]
    with ExitStack() as stack:  # all are whole before one takes the place of another model's
        for name, content in (
            ("BFM_UV.mat", {"UV": model.uv}),
            ("BFM_info.mat", {"model_info": info}),
            ("BFM.mat", {"model": record}),
        ):
            with open(stack.enter_context(replaced_on_success(folder / name)), "wb") as file:
                savemat(file, content)
