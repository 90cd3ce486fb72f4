"""Small files of each foreign layout of a face model, made of the toy model."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io as sio
from numpy.typing import NDArray
from support.toy import GRID, write_bfm_files

from uvgen.models.morphable import MorphableModel, make_model
from uvgen.models.rig import Rig
from uvgen.models.valid import DTYPES

MARGIN = 2  # vertices that smaller models lack at each side of the toy's patch


def kept_vertices() -> NDArray[np.int64]:
    """Vertices of the toy model that a smaller model of the same face keeps: all but those near the rim."""
    inner = slice(MARGIN, GRID - MARGIN)
    return np.arange(GRID * GRID).reshape(GRID, GRID)[inner, inner].ravel()


def place_of(kept: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """(n,) number of each vertex in the smaller model, -1 where it lacks it."""
    place = np.full(n, -1)
    place[kept] = np.arange(len(kept))
    return place


def smaller_triangles(model: MorphableModel, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    corners = place_of(kept, model.n_vertices)[model.triangles]
    return corners[(corners >= 0).all(axis=1)]


def tddfa_parts(model: MorphableModel, kept: NDArray[np.int64]) -> dict[str, Any]:
    """What bfm_noneck_v3.pkl holds."""
    landmarks = place_of(kept, model.n_vertices)[model.landmarks]
    assert (landmarks >= 0).all()
    return {
        "u": model.mean[kept].reshape(-1, 1),
        "w_shp": model.shape_basis[kept].reshape(3 * len(kept), -1),
        "w_exp": model.expression_basis[kept].reshape(3 * len(kept), -1),
        "keypoints": (3 * landmarks[:, None] + np.arange(3)).ravel(),
    }


def write_tddfa(folder: Path, model: MorphableModel) -> Path:
    """3DDFA_V2's bfm_noneck_v3.pkl, and its tri.pkl beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = kept_vertices()
    path = folder / "bfm_noneck_v3.pkl"
    path.write_bytes(pickle.dumps(tddfa_parts(model, kept), 3))
    triangles = smaller_triangles(model, kept).T.astype(np.int32)
    (folder / "tri.pkl").write_bytes(pickle.dumps(triangles, 4))
    return path


def write_tddfa_parts(folder: Path, model: MorphableModel) -> Path:
    """The same as .npy files."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = kept_vertices()
    for name, value in tddfa_parts(model, kept).items():
        np.save(folder / f"{name}.npy", value)
    np.save(folder / "tri.npy", smaller_triangles(model, kept).T)
    return folder


def write_deep3d_parts(folder: Path, model: MorphableModel) -> Path:
    """The files that Deep3DFaceRecon's authors make their model of."""
    folder.mkdir(parents=True, exist_ok=True)
    write_bfm_files(folder, model)
    kept = kept_vertices()
    n = model.n_vertices
    trim = sio.loadmat(folder / "model_info.mat")["trimIndex"]
    (folder / "model_info.mat").unlink()
    (folder / "BFM_UV.mat").rename(folder / "all_UV.mat")
    sio.savemat(folder / "BFM_exp_idx.mat", {"trimIndex": trim.astype(np.uint16)})
    sio.savemat(folder / "BFM_front_idx.mat", {"idx": (kept[:, None] + 1).astype(np.float32)})
    triangles = smaller_triangles(model, kept)
    landmarks = place_of(kept, n)[model.landmarks]
    info = {"tri": triangles[:, ::-1] + 1.0, "keypoints": landmarks[None] + 1.0, "point_buf": np.ones((len(kept), 8))}
    sio.savemat(folder / "facemodel_info.mat", {key: np.float32(value) for key, value in info.items()})
    basis = model.expression_basis.reshape(3 * n, -1).T / 1e3
    with open(folder / "Exp_Pca.bin", "wb") as file:
        np.int32(len(basis)).tofile(file)
        np.full(3 * n, 7, np.float32).tofile(file)
        np.ascontiguousarray(basis, np.float32).tofile(file)
    stds = np.linspace(1500, 500, len(basis))
    (folder / "std_exp.txt").write_text(" ".join(f"{std:.6g}" for std in stds))
    return folder


def write_deep3d(folder: Path, model: MorphableModel) -> Path:
    """BFM_model_front.mat as their script makes it of the parts; the parts go away, but for the index files."""
    write_deep3d_parts(folder, model)
    basel = sio.loadmat(folder / "01_MorphableModel.mat")
    info = sio.loadmat(folder / "facemodel_info.mat")
    trim = sio.loadmat(folder / "BFM_exp_idx.mat")["trimIndex"].ravel().astype(int) - 1
    front = sio.loadmat(folder / "BFM_front_idx.mat")["idx"].ravel().astype(int) - 1
    raw = (folder / "Exp_Pca.bin").read_bytes()
    k = int(np.frombuffer(raw, np.int32, 1)[0])
    numbers = np.frombuffer(raw, np.float32, offset=4).reshape(k + 1, len(trim), 3)[1:]
    stds = np.array((folder / "std_exp.txt").read_text().split(), float)

    def rows(name: str) -> NDArray[np.float64]:
        return basel[name].astype(float).reshape(-1, 3, basel[name].shape[1])[trim][front]

    content = {
        "meanshape": rows("shapeMU").reshape(1, -1) / 1e5,
        "idBase": (rows("shapePC") * basel["shapeEV"].ravel()).reshape(3 * len(front), -1) / 1e5,
        "exBase": (numbers[:, front].transpose(1, 2, 0) * stds).reshape(3 * len(front), -1) / 1e5,
        "meantex": rows("texMU").reshape(1, -1),
        "texBase": (rows("texPC") * basel["texEV"].ravel()).reshape(3 * len(front), -1),
        "tri": info["tri"], "keypoints": info["keypoints"], "point_buf": info["point_buf"],
    }  # fmt: skip
    for name in ("01_MorphableModel.mat", "Model_Expression.mat", "Exp_Pca.bin", "std_exp.txt", "facemodel_info.mat"):
        (folder / name).unlink()
    path = folder / "BFM_model_front.mat"
    sio.savemat(path, content)
    return path


def write_whole(folder: Path, model: MorphableModel, *, joined: bool = True) -> dict[str, Path]:
    """The Basel model's files with `tl`, seven more vertices, which close the mouth where `joined`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_bfm_files(folder, model)
    trim = sio.loadmat(folder / "model_info.mat")["trimIndex"].ravel().astype(int) - 1
    content = {key: value for key, value in sio.loadmat(folder / "01_MorphableModel.mat").items() if key[0] != "_"}
    n = len(content["shapeMU"]) // 3
    extra = np.setdiff1d(np.arange(n), trim)
    triangles = trim[model.triangles]
    if joined:
        ring = trim[mouth_ring()]
        content["shapeMU"].reshape(n, 3)[extra] = model.mean[mouth_ring()].mean(axis=0) - [0, 0, 9e3]
        content["shapeMU"].reshape(n, 3)[extra, 0] += 1e3 * np.arange(len(extra))
        fan = np.stack([np.roll(ring, -1), ring, np.full(len(ring), extra[0])], axis=1)
        row = np.stack([extra[1:-1], extra[2:], np.full(len(extra) - 2, extra[0])], axis=1)
        content["shapeMU"].reshape(n, 3)[extra[1:], 1] += 1e3 * np.arange(len(extra) - 1)
        triangles = np.concatenate([triangles, fan, row])
    content["tl"] = triangles[:, ::-1] + 1.0  # turned the other way round, as the Basel file has them
    sio.savemat(folder / "01_MorphableModel.mat", content)
    names = {"bfm": "01_MorphableModel.mat", "expression": "Model_Expression.mat", "info": "model_info.mat",
             "uv": "BFM_UV.mat"}  # fmt: skip
    return {part: folder / name for part, name in names.items()}


def mouth_ring() -> NDArray[np.int64]:
    """Vertices around the toy model's mouth, in the order in which the patch's triangles leave them."""
    corners = np.arange(GRID * GRID).reshape(GRID, GRID)
    upper, lower = corners[18, 17:24], corners[17, 17:24]
    return np.concatenate([lower, upper[::-1]])


def with_rig(model: MorphableModel, **changes: Any) -> MorphableModel:
    """The model with a neck and a jaw, which turns what lies below the mean point."""
    n, rng = model.n_vertices, np.random.default_rng(1)
    below = (model.mean[:, 1] < model.mean[:, 1].mean()).astype(float)
    parts: dict[str, Any] = {
        "names": ("neck", "jaw"), "parents": np.array([-1, 0]), "joints": np.array([[0, -9e4, 0], [0, 0, -2e4]]),
        "joint_basis": rng.normal(size=(2, 3, model.basis.shape[2])), "weights": np.stack([1 - below, below], axis=1),
        "correctives": rng.normal(size=(n, 3, 9)),
    }  # fmt: skip
    arrays = {name: getattr(model, name) for name in DTYPES}
    return make_model(source="a.file", name=model.name, rig=Rig(**(parts | changes)), **arrays)
