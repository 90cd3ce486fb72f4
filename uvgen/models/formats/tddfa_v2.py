"""3DDFA_V2's face model: the Basel model of 2009 without its neck, 38,365 vertices, in pickles.

- ``bfm_noneck_v3.pkl``: a dict of u (3n, 1) the mean face with the mean expression, w_shp (3n, 199 or 40), w_exp (3n,
  29 or 10), µm per unit of the parameters; keypoints (204,), of each landmark the places of x, y, z among the 3n
- ``tri.pkl``, beside it: triangles (3, m), counted from 0
- ``param_mean_std_62d_120x120.pkl``, optional: mean and std (62,) of 12 numbers of the pose, 40 + 10 parameters

Only the first 40 shape and 10 expression components are the network's, and are taken. Or a folder of the parts that
3DDFA (``train.configs``) and conversions of 3DDFA_V2 hold as .npy files: u_shp and u_exp (or u), w_shp and w_exp (or
w_shp_sim and w_exp_sim), keypoints (or keypoints_sim), and tri (or tri.pkl, or tri.mat, which counts from 1).

The standard deviations of the parameters are in no model file. They are those of the training data where
``param_mean_std_62d_120x120.pkl`` lies beside it, or 3DDFA's ``param_whitening.pkl`` with param_mean and param_std,
else 1; `uvgen.models.complete` takes them of a larger model.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import ModelError
from uvgen.models.assembled import AssembledModel
from uvgen.models.formats import arrays, matlab
from uvgen.storage.files import sha256_file
from uvgen.storage.kinds import describe_file
from uvgen.storage.npy import as_float64
from uvgen.wording import count

N_SHAPE, N_EXPRESSION, N_POSE = 40, 10, 12
"""Components of the network's output, and numbers of its pose."""

FILE = "bfm_noneck_v3.pkl"
STATISTICS, WHITENING = "param_mean_std_62d_120x120.pkl", "param_whitening.pkl"
_MATRICES = ("w_shp.npy", "w_shp_sim.npy"), ("w_exp.npy", "w_exp_sim.npy")
_KIND = "a Python pickle, 3DDFA_V2's face model"


def recognizes(path: Path) -> bool:
    """Whether this is a pickle that names w_shp and w_exp, or a folder of .npy parts."""
    if path.is_dir():
        has_parts = all(any((path / name).is_file() for name in names) for names in _MATRICES)
        return has_parts or (path / FILE).is_file()
    return describe_file(path) == _KIND


def read(path: Path) -> AssembledModel:
    """Read 3DDFA_V2's model.

    Parameters
    ----------
    path : Path
        ``bfm_noneck_v3.pkl``, with ``tri.pkl`` beside it; or a folder of .npy parts.

    Returns
    -------
    AssembledModel
        Without UV, regions, mirror pairs and albedo.

    Raises
    ------
    ModelError
        If a file is missing, damaged, holds objects, or does not fit the others.
    """
    if path.is_dir() and not (path / FILE).exists():
        return _read_parts(path)
    return _read_pickles(path / FILE if path.is_dir() else path)


def read_statistics(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation, (62,) each, by which the network's output is scaled.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or holds something else.
    """
    what = f"3DDFA_V2's {STATISTICS}: a dict of mean and std"
    content = arrays.read_pickle(path, what)
    n = N_POSE + N_SHAPE + N_EXPRESSION
    pairs = ("mean", "std"), ("param_mean", "param_std")
    keys = next((keys for keys in pairs if isinstance(content, dict) and set(keys) <= content.keys()), None)
    if keys is None:
        raise ModelError(f"{path}: holds no mean and std, expected {what}")
    mean, std = (as_float64(arrays.real(content[key], path, key)).ravel() for key in keys)
    if mean.size != n or std.size != n:
        raise ModelError(f"{path}: mean and std of {mean.size} and {count(std.size, 'number')}, expected {n} each")
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise ModelError(f"{path}: mean or std hold NaN, infinity, or deviations of 0 or less, expected none of them")
    return mean, std


def _read_pickles(path: Path) -> AssembledModel:
    content = arrays.read_pickle(path, "3DDFA_V2's bfm_noneck_v3.pkl")
    if not isinstance(content, dict):
        raise ModelError(f"{path}: holds a {type(content).__name__}, expected a dict of u, w_shp, w_exp, keypoints")
    for key in ("u", "w_shp", "w_exp", "keypoints"):
        if key not in content:
            raise ModelError(f"{path}: {key} is missing, expected 3DDFA_V2's bfm_noneck_v3.pkl; download it again")
    triangles_path = path.with_name("tri.pkl")
    used = [path]
    if "tri" in content:  # of bfm_noneck_v3_slim.pkl
        triangles, triangles_path = arrays.real(content["tri"], path, "tri"), path
    elif triangles_path.exists():
        triangles = arrays.read_array(triangles_path, "3DDFA_V2's tri.pkl, an array of triangles")
        used.append(triangles_path)
    else:
        raise ModelError(
            f"{triangles_path}: no such file, expected 3DDFA_V2's triangles beside {path.name}; "
            "copy its tri.pkl there, from the folder configs"
        )
    parts = {key: arrays.real(content[key], path, key) for key in ("u", "w_shp", "w_exp", "keypoints")}
    mean = arrays.vertices_of(parts["u"], path, "u")
    return _assembled(
        path, used, mean, (parts["w_shp"], path), (parts["w_exp"], path), (parts["keypoints"], path),
        arrays.triangles_of(triangles, triangles_path, "tri"), path.parent,
    )  # fmt: skip


def _read_parts(folder: Path) -> AssembledModel:
    used: list[Path] = []

    def part(*names: str) -> tuple[NDArray[Any], Path]:
        path = next((folder / name for name in names if (folder / name).exists()), None)
        if path is None:
            raise ModelError(f"{folder / names[0]}: no such file, expected the parts of 3DDFA's model in one folder")
        used.append(path)
        return arrays.read_array(path, f"{path.name}, an array"), path

    if (folder / "u.npy").exists():
        mean = arrays.vertices_of(*part("u.npy"), "u")
    else:
        shape, expression = (arrays.vertices_of(*part(name), name) for name in ("u_shp.npy", "u_exp.npy"))
        if len(shape) != len(expression):
            raise ModelError(
                f"{folder}: u_shp of {len(shape)} and u_exp of {count(len(expression), 'vertex')}, expected as many"
            )
        mean = shape + expression
    shape_basis, expression_basis = (part(*names) for names in _MATRICES)
    keypoints = part("keypoints.npy", "keypoints_sim.npy")
    matlab_triangles = folder / "tri.mat"
    if matlab_triangles.exists() and not any((folder / name).exists() for name in ("tri.npy", "tri.pkl")):
        used.append(matlab_triangles)
        triangles: NDArray[Any] = matlab.triangles(
            matlab.load(matlab_triangles, "tri"), "tri", matlab_triangles, len(mean)
        )
    else:
        triangles = arrays.triangles_of(*part("tri.npy", "tri.pkl"), "tri")
    return _assembled(folder, used, mean, shape_basis, expression_basis, keypoints, triangles, folder)


def _assembled(
    source: Path,
    used: list[Path],
    mean: NDArray[np.float64],
    shape: tuple[NDArray[Any], Path],
    expression: tuple[NDArray[Any], Path],
    keypoints: tuple[NDArray[Any], Path],
    triangles: NDArray[Any],
    folder: Path,
) -> AssembledModel:
    n = len(mean)
    shape_basis = arrays.basis_of(*shape, "w_shp", n)[:, :, :N_SHAPE]
    expression_basis = arrays.basis_of(*expression, "w_exp", n)[:, :, :N_EXPRESSION]
    stds = np.ones(shape_basis.shape[2] + expression_basis.shape[2])
    statistics = next((path for name in (STATISTICS, WHITENING) if (path := folder / name).exists()), None)
    if statistics is not None and len(stds) == N_SHAPE + N_EXPRESSION:
        stds = read_statistics(statistics)[1][N_POSE:]
        used = [*used, statistics]
    flat = arrays.whole_numbers(keypoints[0].ravel(), keypoints[1], "keypoints")
    if flat.size != 3 * 68:
        raise ModelError(
            f"{keypoints[1]}: keypoints are {count(flat.size, 'number')}, expected 204: the places of x, y, z of 68 "
            "landmarks, such as 0, 1, 2 of vertex 0"
        )
    rows = flat.reshape(68, 3)
    if (odd := (rows[:, 0] % 3 != 0) | (np.diff(rows, axis=1) != 1).any(axis=1) | (rows[:, 0] < 0)
        | (rows[:, 2] >= 3 * n)).any():  # fmt: skip
        k = int(odd.argmax())
        raise ModelError(
            f"{keypoints[1]}: keypoints of landmark {k} are {', '.join(map(str, rows[k].tolist()))}, expected the "
            f"places of x, y, z of a vertex, such as 0, 1, 2 of vertex 0, {3 * n - 1} at most"
        )
    return AssembledModel(
        source=str(source),
        name="3DDFA_V2",
        mean=mean,
        shape_basis=shape_basis,
        expression_basis=expression_basis,
        shape_std=stds[: shape_basis.shape[2]],
        expression_std=stds[shape_basis.shape[2] :],
        triangles=triangles,
        landmarks=flat[0::3] // 3,
        sources={file.name: sha256_file(file) for file in used},
    )
