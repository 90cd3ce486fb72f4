"""A small made-up face model and a tree of samples, so that the suite needs no reference data."""

import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io as sio
from numpy.typing import NDArray
from PIL import Image

from uvgen.geometry import LANDMARK_MIRROR, pose_to_image
from uvgen.models.morphable import MorphableModel, make_model

N_SHAPE, N_EXPRESSION, N_ALBEDO = 10, 5, 4
GRID = 41  # vertices along each side of the patch
HEIGHT, WIDTH = 120, 160  # of the images: not square, so that exchanged axes show
assert HEIGHT != WIDTH
MIRROR_PX = 0.1  # squares are cut along one diagonal, mirrored ones along the other: so far is a mirrored map's surface


def landmark_uv() -> NDArray[np.float64]:
    """(68, 2) iBUG points where a frontal face has them in UV, exactly symmetric."""

    def arc(u0: float, u1: float, v: float, bend: float, n: int) -> NDArray[np.float64]:
        s = np.linspace(-1, 1, n)
        return np.stack([u0 + (u1 - u0) * (s + 1) / 2, v + bend * (1 - s**2)], axis=1)

    def ring(u: float, v: float, width: float, height: float, angles: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([u + width * np.cos(angles), v + height * np.sin(angles)], axis=1)

    turn = np.deg2rad
    left_eye = ring(0.35, 0.75, 0.05, 0.025, turn(np.array([180, 120, 60, 0, 300, 240.0])))
    right_eye = ring(0.65, 0.75, 0.05, 0.025, turn(np.array([180, 120, 60, 0, 300, 240.0])))
    outer = turn(np.array([180, 150, 120, 90, 60, 30, 0, 330, 300, 270, 240, 210.0]))
    inner = turn(np.array([180, 120, 90, 60, 0, 300, 270, 240.0]))
    return np.concatenate(
        [
            ring(0.5, 0.62, 0.42, 0.36, turn(np.linspace(180, 360, 17))),
            arc(0.25, 0.43, 0.82, 0.03, 5),
            arc(0.57, 0.75, 0.82, 0.03, 5),
            np.stack([np.full(4, 0.5), np.linspace(0.75, 0.6, 4)], axis=1),
            arc(0.44, 0.56, 0.56, -0.02, 5),
            left_eye,
            right_eye,
            ring(0.5, 0.43, 0.09, 0.05, outer),
            ring(0.5, 0.43, 0.075, 0.02, inner),
        ]
    )


def toy_model(*, with_mouth: bool = False) -> MorphableModel:
    """A curved patch of 41 × 41 vertices with a mouth hole, smooth random bases, sizes like a head's in µm."""
    s = np.linspace(0, 1, GRID)
    u, v = (axis.ravel() for axis in np.meshgrid(s, s))
    x, y = 2 * u - 1, 2 * v - 1
    z = np.sqrt(np.maximum(2.2 - x**2 - 0.5 * y**2, 0)) + 0.35 * np.exp(-((x / 0.15) ** 2) - ((y - 0.15) / 0.25) ** 2)
    mean = np.stack([x, 1.2 * y, z - 1], axis=1) * 8e4
    rng = np.random.default_rng(5)

    def smooth(n: int) -> NDArray[np.float64]:
        frequency, phase = rng.normal(size=(2, n)) * 2, rng.uniform(0, 6, n)
        field = np.cos(np.stack([x, y], axis=1) @ frequency + phase)
        return field[:, None] * rng.normal(size=(3, n))

    corners = np.arange(GRID * GRID).reshape(GRID, GRID)
    a, b, c, d = corners[:-1, :-1], corners[:-1, 1:], corners[1:, :-1], corners[1:, 1:]
    quads = np.stack([a, b, d, c], axis=-1)
    column, row = np.meshgrid(np.arange(GRID - 1), np.arange(GRID - 1))
    hole = (np.abs(column + 0.5 - 20) < 3) & (row == 17)
    triangles = np.concatenate([quads[~hole][:, [0, 1, 2]], quads[~hole][:, [0, 2, 3]]])
    mouth = np.concatenate([quads[hole][:, [0, 1, 2]], quads[hole][:, [0, 2, 3]]])
    uv = np.stack([u, v], axis=1)
    landmarks = ((uv[None] - landmark_uv()[:, None]) ** 2).sum(axis=2).argmin(axis=1)
    return make_model(
        source="toy",
        name="toy",
        mean=mean,
        basis=np.concatenate([0.003 * smooth(N_SHAPE), 800 * smooth(N_EXPRESSION)], axis=2),
        shape_std=np.full(N_SHAPE, 5e5),
        expression_std=np.ones(N_EXPRESSION),
        triangles=triangles,
        mouth_triangles=mouth if with_mouth else np.empty((0, 3), int),
        uv=uv,
        landmarks=landmarks,
        mirror=corners[:, ::-1].ravel(),
        albedo_mean=np.full((len(uv), 3), 150.0),
        albedo_basis=smooth(N_ALBEDO),
        albedo_std=np.ones(N_ALBEDO),
    )


def parameters(seed: int = 0, *, yaw: float = 0.3) -> dict[str, NDArray[Any]]:
    """What a 300W-LP `.mat` holds, for a face near the middle of the toy image."""
    rng = np.random.default_rng(seed)
    pose = [0.1 * rng.normal(), yaw, 0.1 * rng.normal(), 80 + rng.normal(), 60 + rng.normal(), -20, 4.5e-4]
    return {
        "Pose_Para": np.array([pose], np.float32),
        "Shape_Para": rng.normal(size=(N_SHAPE, 1)) * 3e5,
        "Exp_Para": rng.normal(size=(N_EXPRESSION, 1)),
        "pt2d": rng.uniform(20, 100, (2, 68)),
        "roi": np.array([[1, 2, 3, 4]], np.int16),
        "Tex_Para": np.linspace(-1, 1, 6)[:, None],
    }


def picture(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A smooth colorful image."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def write_sample(folder: Path, stem: str, seed: int = 0, **changes: NDArray[Any]) -> None:
    """An image and its `.mat` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    flipped = folder.name.endswith("_Flip")
    (folder / f"{stem}.jpg").write_bytes(_jpeg(seed))
    (folder / f"{stem}.mat").write_bytes(_mat(seed, changes, flipped) if changes else _usual_mat(seed, flipped))


@cache
def _jpeg(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(seed)).save(file, "JPEG", quality=92)
    return file.getvalue()


def _mat(seed: int, changes: Mapping[str, NDArray[Any]], flipped: bool) -> bytes:
    content = parameters(seed, yaw=-1.2 + 0.4 * (seed % 7)) | changes
    if "pt2d" not in changes and not isinstance(content["Shape_Para"], str):
        content["pt2d"] = annotation(content, flipped=flipped)
    file = io.BytesIO()
    sio.savemat(file, content)
    return file.getvalue()


@cache
def _usual_mat(seed: int, flipped: bool) -> bytes:
    return _mat(seed, {}, flipped)


_toy_model = cache(toy_model)


def annotation(content: Mapping[str, Any], *, flipped: bool = False) -> NDArray[np.float64]:
    """(2, 68) points of the toy model as `pt2d` has them, half a pixel off; whatever where the parameters are bad."""
    model, pose = _toy_model(), np.ravel(content["Pose_Para"])
    parameters = np.concatenate([np.ravel(content[key]) for key in ("Shape_Para", "Exp_Para")])
    if pose.shape != (7,) or parameters.shape != model.basis.shape[2:]:
        return np.full((2, 68), 50.0)
    vertices = model.mean[model.landmarks] + model.basis[model.landmarks] @ parameters
    affine = pose_to_image(pose[None], HEIGHT)[0]
    points = (vertices @ affine[:, :3].T + affine[:, 3])[:, :2] + 1.35
    return (points[LANDMARK_MIRROR] if flipped else points).T


def write_tree(root: Path, n: int = 3) -> Path:
    """A 300W-LP tree: n samples each in AFW, IBUG and IBUG_Flip."""
    for number, subset in enumerate(("AFW", "IBUG", "IBUG_Flip")):
        for k in range(n):
            write_sample(root / subset, f"{subset.removesuffix('_Flip')}_{k:03d}_1_0", seed=10 * number + k)
    (root / "Code").mkdir(exist_ok=True)  # 300W-LP has folders that are no subsets
    (root / "Code" / "readme.txt").write_text("MATLAB code")
    return root


def face3d_files(model: MorphableModel, folder: Path, *, info: bool = True) -> Path:
    """The toy model as face3d's three files."""
    n = model.n_vertices
    assert model.albedo_mean is not None and model.albedo_basis is not None and model.albedo_std is not None
    assert model.mirror is not None
    one_based = {"tri": model.triangles.T + 1.0, "kpt_ind": model.landmarks[None] + 1.0}
    record = {
        "shapeMU": model.mean.reshape(-1, 1), "shapePC": model.shape_basis.reshape(3 * n, -1),
        "shapeEV": model.shape_std[:, None], "expMU": np.zeros((3 * n, 1)),
        "expPC": model.expression_basis.reshape(3 * n, -1).astype(float), "expEV": model.expression_std[:, None],
        "texMU": model.albedo_mean.reshape(-1, 1), "texPC": model.albedo_basis.reshape(3 * n, -1),
        "texEV": model.albedo_std[:, None], **one_based,
    }  # fmt: skip
    sio.savemat(folder / "BFM.mat", {"model": record})
    sio.savemat(folder / "BFM_UV.mat", {"UV": model.uv})
    pairs = np.flatnonzero(model.mirror > np.arange(n))
    segments = np.zeros((4, n), np.uint8)
    segments[1, :100], segments[3, 100:] = 1, 1
    if info:
        sio.savemat(
            folder / "BFM_info.mat",
            {"model_info": {"symlist": np.stack([pairs, model.mirror[pairs]]) + 1.0, "segbin": segments}},
        )
    return folder / "BFM.mat"


def write_bfm_files(folder: Path, model: MorphableModel) -> None:
    """The model as its authors would distribute it: untrimmed Basel file, 3DDFA's additions, UV."""
    n, extra = model.n_vertices, 7
    full = np.arange(n) + np.where(np.arange(n) < n // 2, 0, extra)  # vertices in the middle are trimmed away

    def untrim(columns: NDArray[Any]) -> NDArray[Any]:
        rows = np.zeros((n + extra, 3, columns[0, 0].size))
        rows[full] = columns.reshape(n, 3, -1)
        return rows.reshape(3 * (n + extra), -1).astype(np.float32)

    assert model.albedo_mean is not None and model.albedo_basis is not None and model.albedo_std is not None
    basel = {
        "shapeMU": untrim(model.mean), "shapePC": untrim(model.shape_basis), "shapeEV": model.shape_std[:, None],
        "texMU": untrim(model.albedo_mean), "texPC": untrim(model.albedo_basis), "texEV": model.albedo_std[:, None],
    }  # fmt: skip
    expression = {
        "mu_exp": np.zeros((3 * n, 1)),
        "w_exp": model.expression_basis.reshape(3 * n, -1).astype(np.float64),
        "sigma_exp": model.expression_std[:, None],
    }
    info = {"trimIndex": full[:, None] + 1, "tri": model.triangles.T + 1.0, "keypoints": model.landmarks[None] + 1.0}
    if model.mirror is not None:
        left = np.flatnonzero(model.mirror >= np.arange(n))
        info["symlist"] = np.stack([left, model.mirror[left]]) + 1.0
    uv = np.zeros((n + extra, 2))
    uv[full] = model.uv
    sio.savemat(folder / "01_MorphableModel.mat", basel)
    sio.savemat(folder / "Model_Expression.mat", expression)
    sio.savemat(folder / "model_info.mat", info)
    sio.savemat(folder / "BFM_UV.mat", {"UV": uv})
    sio.savemat(folder / "Model_tri_mouth.mat", {"tri_mouth": model.mouth_triangles.T + 1.0})


def grid(height: int, width: int, bulge: float = 0.0) -> tuple[NDArray[Any], NDArray[Any]]:
    """(vertices, triangles) of a mirror-symmetric rectangle over [-1, 1] x [0, 2], bulging toward +z."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(0, 2, height))
    z = bulge * np.exp(-3 * (x**2 + (y - 0.8) ** 2))
    i = np.arange(height * width).reshape(height, width)
    a, b, c, d = i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]
    left = (np.arange(width - 1) < (width - 1) / 2)[None, :, None]
    first = np.where(left, np.stack([a, b, c], -1), np.stack([a, b, d], -1))
    second = np.where(left, np.stack([a, c, d], -1), np.stack([b, c, d], -1))
    return np.stack([x, y, z], -1).reshape(-1, 3), np.concatenate([first, second]).reshape(-1, 3)
