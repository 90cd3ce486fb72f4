"""Small files in the published layouts of face models other than that of 2009: a bent patch with random components."""

import json
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

SIDE = 9  # vertices along each side of the patch


def patch(side: int = SIDE) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]]:
    """Vertices of a bent square of side 2, its triangles, and UV that fill the unit square."""
    s = np.linspace(0, 1, side)
    u, v = (axis.ravel() for axis in np.meshgrid(s, s))
    vertices = np.stack([2 * u - 1, 2 * v - 1, 1 - (2 * u - 1) ** 2], axis=1)
    a, b, c, d = (np.arange(side * side).reshape(side, side)[rows, columns] for rows in (slice(-1), slice(1, None))
                  for columns in (slice(-1), slice(1, None)))  # fmt: skip
    quads = np.stack([a, b, d, c], axis=-1).reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return vertices, triangles.astype(np.int32), np.stack([u, v], axis=1)


def write_statismo(path: Path, side: int = SIDE, **options: Any) -> dict[str, NDArray[Any]]:
    """A file as the University of Basel's, with what is in it by name; mm, orthonormal columns."""
    vertices, triangles, _ = patch(side)
    n, rng = len(vertices), np.random.default_rng(1)
    content: dict[str, NDArray[Any]] = {}
    for group, k, mean in (
        ("shape", 6, vertices * 90),
        ("expression", 4, rng.normal(size=vertices.shape)),
        ("color", 5, rng.uniform(0.2, 0.8, vertices.shape)),
    ):
        content[f"{group}/model/mean"] = mean.reshape(-1).astype(np.float32)
        basis = np.linalg.qr(rng.normal(size=(3 * n, k)))[0]
        content[f"{group}/model/pcaBasis"] = basis.astype(np.float32)
        content[f"{group}/model/pcaVariance"] = np.linspace(9, 1, k).astype(np.float32)
        content[f"{group}/model/noiseVariance"] = np.zeros(1, np.float32)
        content[f"{group}/representer/points"] = (vertices.T * 90).astype(np.float32)
        content[f"{group}/representer/cells"] = triangles.T
    with h5py.File(path, "w") as file:
        for name, values in content.items():
            file.create_dataset(name, data=values, **options if values.ndim == 2 else {})
            file[name].attrs["source"] = "a text of variable length"
        file["metadata/landmarks/json"] = '[{"id": "center.nose.tip"}]'
        file["catalog/MorphableModel/modelPath"] = "/"
        file["version/majorVersion"] = 0
    return content


class _Ch:
    """Stands for chumpy's, with what that puts into pickles."""

    def __init__(self, x: NDArray[Any]) -> None:
        self.x, self._dirty_vars, self._itr = x, {"x"}, None
        self._make_dense, self._depends_on_deps = False, {"r": {"deps": {"x"}, "value": None}}


@contextmanager
def chumpy() -> Iterator[type]:
    """A class that is pickled under the name of chumpy's."""
    module = ModuleType("chumpy.ch")
    kind = type("Ch", (_Ch,), {"__module__": "chumpy.ch"})
    module.Ch = kind  # type: ignore[attr-defined]
    sys.modules |= {"chumpy": ModuleType("chumpy"), "chumpy.ch": module}
    try:
        yield kind
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]


def flame_content(side: int = SIDE, n_expression: int = 3, sparse: bool = True) -> dict[str, Any]:
    """The arrays of a FLAME of a small mesh: meters, five joints."""
    vertices, triangles, _ = patch(side)
    n, rng = len(vertices), np.random.default_rng(2)
    weights = rng.uniform(0, 1, (n, 5)) ** 4
    regressor = rng.uniform(0, 1, (5, n)) * (rng.uniform(0, 1, (5, n)) < 0.1)
    regressor[:, 0] += 0.01
    regressor /= regressor.sum(axis=1, keepdims=True)
    return {
        "v_template": vertices * 0.09,
        "shapedirs": rng.normal(size=(n, 3, 300 + n_expression)) * 1e-3,
        "posedirs": rng.normal(size=(n, 3, 36)) * 1e-4,
        "J_regressor": scipy.sparse.csc_matrix(regressor) if sparse else regressor,
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
        "f": triangles.astype(np.uint32),
        "J": regressor @ vertices * 0.09,
        "bs_style": "lbs",
    }


def flame_pickle(content: dict[str, Any], protocol: int = 2) -> bytes:
    """As FLAME's files are: template and shapes in objects of chumpy."""
    with chumpy() as kind:
        wrapped = {key: kind(content[key]) if key in ("shapedirs", "J") else value for key, value in content.items()}
        return pickle.dumps(wrapped, protocol)


def gnm_content(side: int = SIDE) -> dict[str, Any]:
    """The arrays of a GNM head of four meshes: a skin with a seam in its texture, two eyes of two layers, a tongue."""
    vertices, triangles, uv = patch(side)
    n, m, rng = len(vertices), len(triangles), np.random.default_rng(3)
    centers = [(0, 0, 0), (-0.4, 0.5, 0.5), (0.4, 0.5, 0.5), (0, -0.4, 0.4)]
    meshes = [vertices * 0.1] + [vertices * 0.01 + np.array(center) * 0.1 for center in centers[1:]]
    groups = np.zeros((6, 4 * n))
    for k in range(4):
        groups[k, k * n : (k + 1) * n] = 1
    groups[4, n : n + n // 2] = groups[4, 2 * n : 2 * n + n // 2] = 1
    triangle_uvs = np.tile(uv[triangles], (4, 1, 1))
    upper = uv[triangles, 1].mean(axis=1) > 0.5
    triangle_uvs[:m][upper] = triangle_uvs[:m][upper] * [1, 0.8] + [0, 0.2]  # another chart than the lower half's
    in_eye = (groups[4] > 0.5)[np.arange(n, 3 * n)]
    of_eye = np.concatenate([triangles, triangles + n])
    whole = in_eye[of_eye].all(axis=1) | ~in_eye[of_eye].any(axis=1)
    kept = np.concatenate([np.ones(m, bool), whole, np.ones(m, bool)])
    mirrored = np.arange(n).reshape(side, side)[:, ::-1].ravel()
    joints, weights = (
        np.array([[0, -0.1, 0], [0, 0, 0], [-0.04, 0.05, 0], [0.04, 0.05, 0]]),
        rng.uniform(size=(4, 4 * n)),
    )
    f = np.float32
    return {
        "version": np.array("3.0"),
        "variant": np.array("head"),
        "template_vertex_positions": np.concatenate(meshes).astype(f),
        "vertex_identity_basis": (rng.normal(size=(5, 4 * n, 3)) * 1e-3).astype(f),
        "expression_basis": (rng.normal(size=(4, 4 * n, 3)) * 1e-3).astype(f),
        "triangles": np.concatenate([triangles + k * n for k in range(4)])[kept],
        "triangle_uvs": triangle_uvs[kept].astype(f),
        "mirror_indices": np.concatenate([mirrored, mirrored + 2 * n, mirrored + n, mirrored + 3 * n]),
        "vertex_groups": groups.astype(f),
        "vertex_group_names": np.array(["skin", "left_eye", "right_eye", "tongue", "eye_exteriors", "nose"]),
        "mesh_component_names": np.array(["left_eye", "right_eye", "skin", "tongue"]),
        "joint_names": np.array(["neck", "head", "left_eye", "right_eye"]),
        "joint_parent_indices": np.array([0, 0, 1, 1]),
        "template_joint_positions": joints.astype(f),
        "joint_identity_basis": (rng.normal(size=(5, 4, 3)) * 1e-3).astype(f),
        "skinning_weights": (weights / weights.sum(axis=0)).astype(f),
        "pose_correctives_regressor": (rng.normal(size=(36, 12 * n)) * 1e-4).astype(f),
        "joint_regressor": np.zeros((4, 4 * n), f),
    }


def write_ict(folder: Path, side: int = SIDE, n_identity: int = 3) -> dict[str, NDArray[np.float64]]:
    """A ``FaceXModel`` of a face with a stray polygon of another square, and the vertices of each mesh by name."""
    vertices, _, uv = patch(side)
    folder.mkdir(parents=True, exist_ok=True)
    corners = np.arange(side * side).reshape(side, side)
    quads = np.stack([corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]], axis=-1).reshape(-1, 4)
    n, rng = len(vertices), np.random.default_rng(4)
    faces = [" ".join(f"{k + 1}/{k + 1}" for k in quad) for quad in quads.tolist()]
    faces.append(" ".join(f"{k + 1}/{n + 1}" for k in quads[0]))
    names = ["jawOpen", "mouthSmile_L"]
    made = {"generic_neutral_mesh": vertices * 9}
    for name in [*(f"identity{k:03d}" for k in range(n_identity)), *names]:
        made[name] = made["generic_neutral_mesh"] + rng.normal(size=vertices.shape) * 0.2
    texture = "".join(f"vt {u:.6f} {v:.6f}\n" for u, v in [*uv.tolist(), (1.83, 0.54)])
    for name, points in made.items():
        body = "".join(f"v {x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in points)
        text = f"# a toy\nmtllib a.mtl\n{body}{texture}usemtl M_Face\n" + "".join(f"f {face}\n" for face in faces)
        (folder / f"{name}.obj").write_text(text)
    landmarks = np.linspace(0, n - 1, 68).astype(int).tolist()
    about = {"expressions": names, "incompatibilities": [], "idx_to_landmark_verts": landmarks}
    (folder / "vertex_indices.json").write_text(json.dumps(about))
    return made
