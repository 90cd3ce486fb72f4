"""FLAME, the head model of the Max Planck Institute for Intelligent Systems: ``generic_model.pkl`` and its like.

A dict, pickled (2017 to 2023: ``generic_model.pkl``, ``female_model.pkl``, ``flame2023_Open.pkl``) or as ``.npz``:

- ``v_template`` (5023, 3): the mean head, meters, y up, z toward the viewer
- ``shapedirs`` (5023, 3, 400): 300 identity components, then 100 of expression, in standard deviations
- ``posedirs`` (5023, 3, 36): pose correctives of the joints neck, jaw, left and right eye
- ``J_regressor`` (5, 5023), sparse or dense: joints of a head; the first is the root
- ``weights`` (5023, 5): skinning weights
- ``kintree_table`` (2, 5): the parents of the joints, in the first row
- ``f`` (9976, 3): triangles, counted from 0

In the pickles, some arrays are objects of chumpy, a package that does not install any more: their numbers are read
without it. Files of the SMPL family have the same keys and other joints; they are refused.

The face opens its mouth by turning its jaw; the expressions hardly do. Two linear components for the jaw follow the
expressions here, see `uvgen.models.rig.jaw_components`, whose parameters are angles in radians.

The 68 landmarks come in a file of their own, see `landmarks_of_embedding`.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import ModelError
from uvgen.models.assembled import AssembledModel
from uvgen.models.rig import JAW_STD, Rig, jaw_components
from uvgen.storage.files import sha256_file
from uvgen.storage.kinds import describe_file
from uvgen.storage.names import brief, os_reason
from uvgen.storage.npz import npz_names, read_npz
from uvgen.storage.pickle_values import CLASS
from uvgen.storage.pickles import load_plain_pickle
from uvgen.storage.reading import open_regular, read_file
from uvgen.wording import count

_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
_UM_PER_M = 1e6
_N_IDENTITY, _MOST_COMPONENTS = 300, 4096
_SHARE = 1e-2  # largest error of weights that are shares of 1
_JOINTS = ("root", "neck", "jaw", "left eye", "right eye")
_NPY_HEAD, _OBJECTS = 4096, b"'descr': '|O'"
_EMBEDDINGS = (("full_lmk_faces_idx", "full_lmk_bary_coords"), ("lmk_face_idx", "lmk_b_coords"))


def recognizes(path: Path) -> bool:
    """Whether a file is of the FLAME or SMPL family, by the names in it."""
    kind = describe_file(path)
    if kind == "a Python pickle, a model of the FLAME or SMPL family":
        return True
    return kind in ("a NumPy .npz archive", "a ZIP archive") and set(_KEYS) <= set(npz_names(path))


def read(path: Path, *, jaw: bool = True, landmarks: Path | None = None) -> AssembledModel:
    """Read FLAME.

    Parameters
    ----------
    path : Path
        The ``.pkl`` or ``.npz``.
    jaw : bool
        Let two components for the jaw, open and sideways, follow the expressions; the `Rig` turns it exactly.
    landmarks : Path, optional
        A file for `landmarks_of_embedding`.

    Returns
    -------
    AssembledModel
        Parameters in standard deviations, but the jaw's in radians; without UV.

    Raises
    ------
    ModelError
        If a file is missing, damaged, lacks a part, or is of another family; the message names the part.
    """
    found = _Arrays(path, _content(path))
    mean = found.get("v_template", (None, 3)) * _UM_PER_M
    n = len(mean)
    triangles = found.get("f", (None, 3))
    if not (triangles.min() >= 0 and triangles.max() < n and (triangles == np.floor(triangles)).all()):
        raise ModelError(f"{path}: f names vertices {triangles.min():g} to {triangles.max():g}, expected 0 to {n - 1}")
    triangles = triangles.astype(np.int32)
    tree = found.get("kintree_table", (2, None))
    if tree.shape[1] != len(_JOINTS):
        raise ModelError(
            f"{path}: kintree_table has {count(tree.shape[1], 'joint')}, expected FLAME's {len(_JOINTS)}: "
            f"{', '.join(_JOINTS)}; a body model of the SMPL family does not fit faces"
        )
    directions = found.get("shapedirs", (n, 3, None))
    if directions.shape[2] < _N_IDENTITY:
        raise ModelError(
            f"{path}: shapedirs has {count(directions.shape[2], 'component')}, expected {_N_IDENTITY} of identity, "
            "then those of expression"
        )
    if directions.shape[2] > _MOST_COMPONENTS:  # of each, the motion of the joints is written out
        raise ModelError(
            f"{path}: shapedirs has {directions.shape[2]} components, expected FLAME's 400, {_MOST_COMPONENTS} at most"
        )
    directions = directions * _UM_PER_M
    weights = found.get("weights", (n, len(_JOINTS)))
    if weights.min() < -_SHARE or np.abs(weights.sum(axis=1) - 1).max() > _SHARE:  # False for NaN, refused below
        raise ModelError(
            f"{path}: weights are {weights.min():.4g} to {weights.max():.4g}, in sum {weights.sum(axis=1).max():.4g}, "
            "expected shares of 1, one per joint; it is damaged"
        )
    regressor = found.get("J_regressor", (len(_JOINTS), n))
    rig = Rig(
        names=_JOINTS,
        parents=_parents(tree, path),
        joints=regressor @ mean,
        joint_basis=np.einsum("jv,vdk->jdk", regressor, directions, optimize=True),
        weights=weights,
        correctives=found.get("posedirs", (n, 3, 9 * (len(_JOINTS) - 1))) * _UM_PER_M,
    )
    expression, std = directions[:, :, _N_IDENTITY:], np.ones(directions.shape[2] - _N_IDENTITY)
    if jaw:
        if not all(np.isfinite(values).all() for values in (mean, rig.joints, rig.weights, rig.correctives)):
            raise ModelError(f"{path}: holds NaN or infinity, expected finite numbers; it is damaged")
        moved = jaw_components(rig, mean)
        expression, std = np.concatenate([expression, moved], axis=2), np.concatenate([std, JAW_STD])
        fixed = np.zeros((len(_JOINTS), 3, moved.shape[2]))
        rig = Rig(rig.names, rig.parents, rig.joints, np.concatenate([rig.joint_basis, fixed], axis=2),
                  rig.weights, rig.correctives)  # fmt: skip
    return AssembledModel(
        source=str(path),
        name=f"FLAME ({path.name})",
        mean=mean,
        shape_basis=directions[:, :, :_N_IDENTITY],
        expression_basis=expression,
        shape_std=np.ones(_N_IDENTITY),
        expression_std=std,
        triangles=triangles,
        landmarks=None if landmarks is None else landmarks_of_embedding(landmarks, triangles),
        sources={file.name: sha256_file(file) for file in (path, landmarks) if file is not None},
        rig=rig,
    )


def is_embedding(path: Path) -> bool:
    """Whether a file is one for `landmarks_of_embedding`, by its kind and the names in it."""
    kind = describe_file(path)
    if kind in ("a NumPy .npz archive", "a ZIP archive"):
        return any(set(pair) <= set(npz_names(path)) for pair in _EMBEDDINGS)
    if kind == "a Python pickle":
        return True
    try:
        with open_regular(path) as file:
            return kind == "a NumPy .npy array" and _OBJECTS in file.read(_NPY_HEAD)
    except OSError:
        return False


def landmarks_of_embedding(path: Path, triangles: NDArray[Any]) -> NDArray[np.int32]:
    """The 68 landmarks of FLAME as vertices, from a file that has them as points on triangles.

    Parameters
    ----------
    path : Path
        ``landmark_embedding.npy``, which DECA and others hand on (a dict with ``full_lmk_faces_idx`` (68,) and
        ``full_lmk_bary_coords`` (68, 3), perhaps (1, 68, …)), or a pickle or ``.npz`` with ``lmk_face_idx`` and
        ``lmk_b_coords`` of 68 points. FLAME's own ``flame_static_embedding.pkl`` has 51, without the jaw line.
    triangles : (m, 3)
        FLAME's.

    Returns
    -------
    (68,) int32
        Of each landmark's triangle the corner with the largest weight: on the real mesh a few mm away at most.

    Raises
    ------
    ModelError
        If the file is missing, damaged, holds something else, or other landmarks than the 68.
    """
    content = _embedding(path)
    keys = next((pair for pair in _EMBEDDINGS if all(key in content for key in pair)), None)
    if keys is None:
        held = ", ".join(map(str, content))[:200] or "nothing"
        wanted = " or ".join(pair[0] for pair in _EMBEDDINGS)
        raise ModelError(f"{path}: holds {brief(held)}, expected {wanted}: FLAME's landmarks on triangles")
    faces, weights = (np.asarray(_numbers(content[key], key, path)) for key in keys)
    faces = faces.reshape(-1).astype(np.float64)
    weights = weights.astype(np.float64).reshape(-1, weights.shape[-1] if weights.size else 1)
    if faces.shape != (68,) or weights.shape != (68, 3):
        raise ModelError(
            f"{path}: {keys[0]} has {count(faces.size, 'landmark')} with weights {weights.shape}, expected 68 with "
            "(68, 3)"
            + ("; a file of 51 has none on the jaw line, use landmark_embedding.npy" if faces.size == 51 else "")
        )
    if not (np.isfinite(faces).all() and np.isfinite(weights).all()):
        raise ModelError(f"{path}: holds NaN or infinity, expected triangles and weights")
    if not (faces == np.floor(faces)).all():
        raise ModelError(f"{path}: {keys[0]} holds numbers that are not whole, expected triangles")
    if faces.min() < 0 or faces.max() >= len(triangles):
        raise ModelError(
            f"{path}: names triangles {faces.min():g} to {faces.max():g}, expected 0 to {len(triangles) - 1}; "
            "it belongs to another model"
        )
    if weights.min() < -_SHARE or np.abs(weights.sum(axis=1) - 1).max() > _SHARE:
        raise ModelError(
            f"{path}: {keys[1]} holds weights of {weights.min():.4g} to {weights.max():.4g}, expected three shares of "
            "1 for each landmark"
        )
    corners = np.asarray(triangles)[faces.astype(np.int64)]
    return np.take_along_axis(corners, weights.argmax(axis=1)[:, None], axis=1)[:, 0].astype(np.int32)


class _Arrays:
    """Arrays of a file's content, each checked as it is taken."""

    def __init__(self, path: Path, content: dict[Any, Any]) -> None:
        self._path, self._content = path, content

    def get(self, key: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
        """float64 of a shape, in which None is any length."""
        if key not in self._content:
            held = ", ".join(map(str, self._content))[:200] or "nothing"
            raise ModelError(f"{self._path}: holds no {key}, only {brief(held)}; expected {', '.join(_KEYS)}")
        values = _numbers(self._content[key], key, self._path, shape)
        fits = values.ndim == len(shape) and all(
            n is None or n == found for n, found in zip(shape, values.shape, strict=True)
        )
        if not fits or not values.size:
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise ModelError(f"{self._path}: {key} is {values.shape}, expected ({wanted})")
        return np.asarray(values, np.float64)


def _numbers(value: Any, key: str, path: Path, shape: tuple[int | None, ...] = ()) -> NDArray[Any]:
    """An array, also one of chumpy's or a sparse one of SciPy's of this shape, as `load_plain_pickle` records them."""
    kind = value.get(CLASS) if isinstance(value, dict) else None
    if kind == "chumpy.ch.Ch":
        value = value.get("x")
    elif isinstance(kind, str) and kind.startswith("scipy.sparse."):
        return _dense(value, kind, key, path, shape)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        found = f"values of type {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise ModelError(f"{path}: {key} holds {brief(kind or found)}, expected an array of numbers")
    return value


def _dense(
    state: dict[str, Any], kind: str, key: str, path: Path, expected: tuple[int | None, ...]
) -> NDArray[np.float64]:
    """A sparse matrix of the expected shape, written out."""
    parts = [state.get(name) for name in ("data", "indices", "indptr")]
    shape = state.get("_shape", state.get("shape"))
    plain = all(isinstance(part, np.ndarray) and part.ndim == 1 and part.dtype.kind in "fiub" for part in parts)
    if not plain or not isinstance(shape, tuple):
        raise ModelError(f"{path}: {key} is a damaged {kind}, expected data, indices and indptr")
    if shape != expected or any(type(n) is not int for n in shape):  # 5.0 == 5
        raise ModelError(f"{path}: {key} is {brief(shape)}, expected {expected}")
    data, indices, pointers = (np.asarray(part) for part in parts)
    pointers = pointers.astype(np.int64) if pointers.dtype.kind in "iu" else np.full(1, -1)
    by_column = kind.endswith("csc_matrix")
    n_major, n_minor = shape[::-1] if by_column else shape
    sound = (
        len(pointers) == n_major + 1
        and len(data) == len(indices) and indices.dtype.kind in "iu"
        and pointers[0] == 0 and pointers[-1] == len(data) and (np.diff(pointers) >= 0).all()
        and (not len(indices) or (indices.min() >= 0 and indices.max() < n_minor))
    )  # fmt: skip
    if not sound:
        raise ModelError(f"{path}: {key} is a damaged {kind} {shape}, expected indices inside of it")
    matrix = np.zeros((n_major, n_minor))
    np.add.at(matrix, (np.repeat(np.arange(n_major), np.diff(pointers)), indices), data)
    return matrix.T if by_column else matrix


def _parents(tree: NDArray[Any], path: Path) -> NDArray[np.int64]:
    """Of each joint; -1 for the first, for which files have the largest number of 32 bits or -1."""
    parents: NDArray[Any] = tree[0].copy()
    parents[0] = -1
    if not all(0 <= parent < k and parent == int(parent) for k, parent in enumerate(parents.tolist()) if k):
        raise ModelError(f"{path}: kintree_table has the parents {parents.tolist()}, expected each before its joint")
    if not np.array_equal(tree[1], np.arange(tree.shape[1])):
        joints = ", ".join(f"{k:g}" for k in tree[1])
        raise ModelError(f"{path}: kintree_table has the joints {joints}, expected 0 to {tree.shape[1] - 1} in order")
    return parents.astype(np.int64)


def _content(path: Path) -> dict[Any, Any]:
    try:
        if describe_file(path) in ("a NumPy .npz archive", "a ZIP archive"):
            return read_npz(path, _KEYS)
        content = load_plain_pickle(read_file(path))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({os_reason(error)}), expected FLAME's .pkl or .npz") from error
    except ValueError as error:
        raise ModelError(f"{path}: not a readable FLAME model: {brief(error)}") from error
    return _dict(content, path)


def _embedding(path: Path) -> dict[Any, Any]:
    try:
        names = npz_names(path)
        if names:
            return read_npz(path, [name for name in names if any(name in pair for pair in _EMBEDDINGS)])
        data = read_file(path)
        if data.startswith(b"\x93NUMPY"):
            content = load_plain_pickle(_pickle_in_npy(data), object_arrays=True)
            content = content.item() if isinstance(content, np.ndarray) and content.size == 1 else content
        else:
            content = load_plain_pickle(data)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({os_reason(error)}), expected FLAME's landmarks") from error
    except ValueError as error:
        raise ModelError(f"{path}: not readable as landmarks of FLAME: {brief(error)}") from error
    return _dict(content, path)


def _pickle_in_npy(data: bytes) -> bytes:
    """What follows the header of a ``.npy`` whose array holds objects."""
    wide = data[6:7] != b"\x01"
    length = int.from_bytes(data[8 : 12 if wide else 10], "little")
    start = (12 if wide else 10) + length
    if length > _NPY_HEAD or _OBJECTS not in data[:start]:
        raise ValueError("a .npy file that holds no dict")
    return data[start:]


def _dict(content: Any, path: Path) -> dict[Any, Any]:
    if not isinstance(content, dict):
        raise ModelError(f"{path}: holds a {type(content).__name__}, expected a dict with arrays by name")
    return content
