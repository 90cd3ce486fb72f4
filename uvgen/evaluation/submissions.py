"""Predictions as the files that other benchmarks take: DAD-3DHeads' and REALY's.

| benchmark | what is written | described in its repository |
| --- | --- | --- |
| DAD-3DHeads | one JSON object: each image's 68 points, face, 7 points, rotation | `dad_3dheads_benchmark/README.md` |
| REALY | ``meshes/NAME.obj``, ``uvgen.obj``, and its 85 key points in ``uvgen.txt`` | `utils/util.py`, `main.py` |

Names are the last part of a sample's, which is the image's file name. Images of a benchmark have no labels, but shards
of them (`uvgen fit`, then `uvgen build`) say where each crop lies.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_paths
from uvgen.errors import DatasetError, InputError, OutputError, SettingsError, UvgenError
from uvgen.evaluation.predictions import SHIFTS, Predictions, Reading
from uvgen.evaluation.shape_scores import SEVEN
from uvgen.evaluation.truth import ShardTruth, face_or_problem, open_truth
from uvgen.geometry import similarity_scale
from uvgen.maps.atlas import build_atlas, texel_coordinates
from uvgen.meshes.files import write_obj
from uvgen.meshes.grid import mesh_from_map
from uvgen.meshes.read import read_mesh
from uvgen.models.load import as_model, check_model_file
from uvgen.models.morphable import MorphableModel
from uvgen.samples.files import check_machine
from uvgen.similarity import align_points
from uvgen.storage.drafts import check_new_folder, folder_made_at_once
from uvgen.storage.files import check_folder, replaced_on_success
from uvgen.storage.names import brief
from uvgen.storage.plain_json import are_numbers, parse_json
from uvgen.storage.text import read_text
from uvgen.wording import count, none_can_be

N_KEYPOINTS = 85
"""Of REALY: iBUG's 68, then 17 on the cheeks and the forehead."""

_MOST_WEIGHT = 2.0  # of a corner: a little beside the triangle, perhaps
_NEAR = 3.0  # texels around a key point in which its triangle is looked for
_MOST_OFF = 0.3  # of key points on a template from those on the model, of the model's size; 0.05 to 0.15 of other faces
_MOST_ASTRAY = 0.2  # of the first 68 from the model's landmarks, of its size; 0.04 of REALY's own


def check_submission(kind: str, out: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise OutputError, before any work, unless a submission, "dad3dheads" or "realy", can be put there.

    SettingsError if a file is there that only `overwrite` replaces.
    """
    path = Path(os.path.abspath(out))
    if kind == "realy":
        check_new_folder(path)
    elif path.is_dir():
        raise OutputError(f"{out}: a folder, expected a JSON file to write; name one in it")
    elif os.path.lexists(path) and not overwrite:
        raise SettingsError(f"{out}: is there already; choose another file, or overwrite it")
    check_folder(path.parent)


def write_dad3dheads(
    predictions: str | os.PathLike[str],
    shards: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: MorphableModel | str | os.PathLike[str],
    reading: Reading | None = None,
    split: str | None = None,
    untrusted: bool = False,
) -> list[str]:
    """Write a submission of DAD-3DHeads' benchmark.

    Parameters
    ----------
    predictions : path-like
        Position maps, as for `uvgen.evaluate_predictions`.
    shards : path-like
        The data set of the same images, which says where crops lie.
    out : path-like
        JSON file to write.
    model : MorphableModel or path-like
        The maps' model: a head's rotation is that between its mean face and the map.
    reading : Reading, optional
        Unit, frame and pixel convention of the predictions.
    split, untrusted
        As for `uvgen.evaluate_predictions`.

    Returns
    -------
    list of str
        Names of samples that cannot be read, or whose prediction is missing, unusable or no map; they are left out.

    Raises
    ------
    DatasetError
        If there are no predictions, or the file cannot be written.
    InputError
        If a path is not one, no prediction is a map that can be used, or two samples have the same name.

    Notes
    -----
    Points are px of the original image, x right, y down, z away from the viewer. `N_landmarks_3d` are the face texels:
    they serve the Chamfer distance, while Z_n compares FLAME's 5023 vertices and means nothing for others.
    """
    check_paths(predictions=predictions, shards=shards, out=out)
    model = as_model(model, untrusted=untrusted)
    truth, found = _opened(predictions, shards, model, reading, split, untrusted)
    mask = _mask_of(truth)
    mean = build_atlas(model, len(mask)).interpolate(model.mean.astype(np.float32))[mask].astype(np.float64)
    content: dict[str, Any] = {}
    left = dict.fromkeys(found.missing, "")
    shift = SHIFTS[truth.convention]
    for name, position_map, landmarks, to_crop in _maps(truth, found, left):
        face, points = (_in_image(values, to_crop, shift) for values in (position_map[mask], landmarks))
        try:
            rotation = align_points(mean, face, scaled=True).rotation
        except InputError as error:  # all of its points are in one place
            left[name] = brief(error)
            continue
        content[_new_name(name, content)] = {
            "68_landmarks_2d": points[:, :2].tolist(),
            "N_landmarks_3d": face.tolist(),
            "7_landmarks_3d": points[list(SEVEN)].tolist(),
            "rotation_matrix": rotation.tolist(),
        }
    _check_any(predictions, truth, content, left)
    check_model_file(model)
    with replaced_on_success(Path(out)) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
    return list(left)


def _in_image(points: NDArray[Any], to_crop: NDArray[np.float64], shift: tuple[float, float]) -> NDArray[np.float64]:
    """Points (n, 3) of the crop, labels that lie some px of the image beside the exact ones, in px of the image.

    z grows away from the viewer.
    """
    inverse = np.linalg.inv(to_crop)
    plane = points[:, :2] @ inverse[:2, :2].T + inverse[:2, 2] - shift
    return np.column_stack([plane, -points[:, 2] / float(similarity_scale(to_crop))])


def write_realy(
    predictions: str | os.PathLike[str],
    shards: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: MorphableModel | str | os.PathLike[str],
    template: str | os.PathLike[str],
    keypoints: str | os.PathLike[str],
    reading: Reading | None = None,
    split: str | None = None,
    untrusted: bool = False,
) -> list[str]:
    """Write a submission of REALY's benchmark.

    Parameters
    ----------
    predictions, shards, reading, split, untrusted
        As for `write_dad3dheads`.
    out : path-like
        Folder to make. ``meshes/`` is REALY's ``--prediction``; ``uvgen.obj`` and ``uvgen.txt`` go to its ``data/``,
        for ``--template_topology uvgen``.
    model : MorphableModel or path-like
        The maps' model, whose vertices are the template's.
    template, keypoints : path-like
        REALY's ``data/BFM09.obj`` and ``BFM09.txt``, or those of another model: a mesh, and on it the 85 key points.

    Returns
    -------
    list of str
        As for `write_dad3dheads`.

    Raises
    ------
    DatasetError
        If there are no predictions, or the folder cannot be made.
    InputError
        If a path is not one, no prediction is a map that can be used, the file of key points is not like REALY's, or
        the template is not a mesh of the model.
    """
    check_paths(predictions=predictions, shards=shards, out=out, template=template, keypoints=keypoints)
    model = as_model(model, untrusted=untrusted)
    truth, found = _opened(predictions, shards, model, reading, split, untrusted)
    coverage = truth.reader.constants["coverage"]
    uv = keypoint_uv(model, template, keypoints)
    left, names = dict.fromkeys(found.missing, ""), dict[str, Any]()
    with folder_made_at_once(Path(os.path.abspath(out))) as draft:
        (draft / "meshes").mkdir()
        for name, position_map, _, _ in _maps(truth, found, left):
            short = _new_name(name, names)
            vertices, triangles, _ = _upright(position_map, coverage)
            if not names:
                write_obj(draft / "uvgen.obj", vertices, triangles, frame="raw")
                placed = keypoints_on_map(uv, coverage)
                (draft / "uvgen.txt").write_text(json.dumps(placed), encoding="utf-8")
            names[short] = None
            write_obj(draft / "meshes" / f"{short}.obj", vertices, triangles, frame="raw")
        _check_any(predictions, truth, names, left)
        check_model_file(model)
    return list(left)


def keypoint_uv(
    model: MorphableModel, template: str | os.PathLike[str], keypoints: str | os.PathLike[str]
) -> NDArray[np.float64]:
    """(85, 2) UV of REALY's key points on a model, from a template mesh of its vertices; see `write_realy`."""
    vertices, triangles = read_mesh(template)
    if len(vertices) != model.n_vertices:
        raise InputError(
            f"{template}: {count(len(vertices), 'vertex')}, expected {model.n_vertices}, those of {model.name}; take "
            "REALY's template of this model"
        )
    what = "REALY's 85 key points"
    try:
        content = parse_json(read_text(Path(keypoints), what))
        if not are_numbers(content):
            raise ValueError("true, false or text in it")
        rows = np.array(content, np.float64)
    except InputError:
        raise
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{keypoints}: not readable ({brief(error)}), expected {what}") from error
    if rows.shape != (N_KEYPOINTS, 3):
        raise InputError(f"{keypoints}: {rows.shape}, expected {N_KEYPOINTS} rows of triangle and two weights")
    named = rows[:, 0]
    if wrong := np.flatnonzero(~((named >= 0) & (named < len(triangles)) & (named == np.floor(named)))).tolist():
        raise InputError(
            f"{keypoints}: triangle {named[wrong[0]]:.10g}, expected 0 to {len(triangles) - 1}, {template}'s"
        )
    if far := np.flatnonzero(~(np.abs(rows[:, 1:]) <= _MOST_WEIGHT).all(axis=1)).tolist():
        raise InputError(f"{keypoints}: weights {rows[far[0], 1:].tolist()} of point {far[0]}, expected 0 to 1")
    numbers = named.astype(np.int64)
    weights = np.column_stack([rows[:, 1:], 1 - rows[:, 1] - rows[:, 2]])
    corners = triangles[numbers]
    _check_order(template, vertices, model, corners, weights)
    _check_numbers(template, keypoints, model, corners[:68], weights[:68])
    return _at(model.uv, corners, weights)


def _at(values: NDArray[Any], corners: NDArray[np.int32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, d) values (n, d) of vertices at points of triangles (k, 3), with weights (k, 3)."""
    return np.asarray(np.einsum("kcd,kc->kd", np.asarray(values, np.float64)[corners], weights), np.float64)


def _check_order(
    template: str | os.PathLike[str], vertices: NDArray[np.float64], model: MorphableModel,
    corners: NDArray[np.int32], weights: NDArray[np.float64],
) -> None:  # fmt: skip
    """Raise InputError unless points on a template lie where they do on the model, but for a pose, a size and a face.

    They do not if its vertices are others, or in another order.
    """
    mean = model.mean.astype(np.float64)
    try:
        place = align_points(vertices, mean, scaled=True)
    except InputError as error:  # huge, or all in one place
        raise InputError(f"{template}: not a mesh of {model.name}'s vertices ({error})") from error
    share = _share(place.apply(_at(vertices, corners, weights)) - _at(mean, corners, weights), mean)
    if not share <= _MOST_OFF:
        raise InputError(
            f"{template}: the key points on it lie {share:.0%} of a face's size from where {model.name} has them, "
            f"expected {_MOST_OFF:.0%} at most: its vertices are others than the model's, or in another order; take "
            "REALY's template of this model"
        )


def _check_numbers(
    template: str | os.PathLike[str], keypoints: str | os.PathLike[str], model: MorphableModel,
    corners: NDArray[np.int32], weights: NDArray[np.float64],
) -> None:  # fmt: skip
    """Raise InputError unless the first 68 key points lie where the model has its landmarks.

    They do not if the template's triangles are in another order than those that the file of key points numbers.
    """
    mean = model.mean.astype(np.float64)
    share = _share(_at(mean, corners, weights) - mean[model.landmarks], mean)
    if not share <= _MOST_ASTRAY:
        raise InputError(
            f"{keypoints}: the first 68 key points lie {share:.0%} of a face's size from the landmarks of "
            f"{model.name}, expected {_MOST_ASTRAY:.0%} at most: it numbers the triangles of another mesh, or those "
            f"of {template} are in another order, as other programs save them; take REALY's own pair of files"
        )


def _share(off: NDArray[np.float64], mean: NDArray[np.float64]) -> float:
    """How far points (k, 3) are off, as a share of a face's size."""
    return float(np.sqrt((off**2).sum(axis=1).mean() / mean.var(axis=0).sum()))


def keypoints_on_map(uv: NDArray[np.float64], coverage: NDArray[np.bool_]) -> list[list[float]]:
    """Points on the mesh of a map: for each its triangle and the weights of the first two corners, as REALY reads them.

    Parameters
    ----------
    uv : (n, 2) float64
        Points.
    coverage : (U, U) bool
        Texels of the mesh, as `_upright` takes them. Beside it, the nearest triangle is taken.
    """
    size = len(coverage)
    flat = np.zeros((size, size, 3))
    flat[..., 0], flat[..., 1] = np.meshgrid(np.arange(size), np.arange(size))
    vertices, triangles, _ = mesh_from_map(flat, coverage)
    corners = vertices[triangles[:, ::-1]][..., :2].astype(np.float64)
    middles = corners.mean(axis=1)
    found: list[list[float]] = []
    for point in texel_coordinates(uv, size):
        far = np.abs(middles - point).max(axis=1)
        near = np.flatnonzero(far <= max(_NEAR, float(far.min()) + 1))
        a, b, c = (corners[near, k] for k in range(3))
        area = _cross(b - a, c - a)
        weights = np.stack([_cross(b - point, c - point), _cross(c - point, a - point)], axis=1) / area[:, None]
        weights = np.column_stack([weights, 1 - weights.sum(axis=1)])
        inside = np.clip(weights, 0, None)
        inside /= inside.sum(axis=1, keepdims=True)
        off = np.linalg.norm(np.einsum("kc,kcd->kd", inside, corners[near]) - point, axis=1)
        best = int(off.argmin())
        found.append([int(near[best]), float(inside[best, 0]), float(inside[best, 1])])
    return found


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], np.float64)


def _upright(
    position_map: NDArray[Any], coverage: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """A map's mesh with y up; its triangles are turned, so that their outside stays out."""
    vertices, triangles, uv = mesh_from_map(position_map, coverage)
    return vertices * np.array([1, -1, 1], np.float32), np.ascontiguousarray(triangles[:, ::-1]), uv


def _opened(
    predictions: str | os.PathLike[str],
    shards: str | os.PathLike[str],
    model: MorphableModel,
    reading: Reading | None,
    split: str | None,
    untrusted: bool,
) -> tuple[ShardTruth, Predictions]:
    """The shards that predictions are for, and these; InputError if the former are something else."""
    truth = open_truth(shards, model=model, split=split, untrusted=untrusted)
    if not isinstance(truth, ShardTruth):
        raise InputError(f"{shards}: not a data set of shards, expected one, which says where crops lie")
    return truth, Predictions(predictions, truth, reading, model=model, untrusted=untrusted)


def _mask_of(truth: ShardTruth) -> NDArray[np.bool_]:
    if truth.mask is None:
        raise DatasetError(f"{truth.reader.folder}: holds no sample, expected one or more")
    return truth.mask


def _maps(
    truth: ShardTruth, found: Predictions, left: dict[str, str]
) -> Iterator[tuple[str, NDArray[Any], NDArray[Any], NDArray[np.float64]]]:
    """Name, map, landmarks and crop of each sample with a usable prediction; others are added to `left`, with why."""
    for k, name in enumerate(truth.names):
        if not found.has(name):
            continue
        face, problem = face_or_problem(truth, k)
        if face is None:
            left[name] = problem
            continue
        try:
            faces = found.read(face)
        except UvgenError as error:
            check_machine(error)
            left[name] = brief(error)
            continue
        if face.row.get("flipped", False):
            raise InputError(f"{name}: is mirrored, expected crops of the benchmark's images as they are")
        if faces.maps is None or not faces.finite()[0]:
            left[name] = "is 68 points, expected a position map" if faces.maps is None else "holds NaN or infinity"
            continue
        yield name, faces.maps[0], faces.landmarks[0], np.asarray(face.row["image_to_crop"], np.float64)


def _check_any(
    predictions: str | os.PathLike[str], truth: ShardTruth, used: Collection[str], left: Mapping[str, str]
) -> None:
    """Raise InputError if no prediction is used, of which the first that is there says why."""
    if not used:
        name, reason = next((one for one in left.items() if one[1]), ("", ""))
        raise InputError(f"{predictions}: {none_can_be('used', len(truth.names), 'prediction', reason, name)}")


def _new_name(name: str, there: dict[str, Any]) -> str:
    short = name.rpartition("/")[2]
    if short in there:
        raise InputError(f"{name}: another sample's image has the name {short} too, expected each name once")
    return short
