"""Add what the files of a model lack: UV, landmarks, regions, mirror pairs, mouth triangles and albedo.

Each comes from the first that has it: a file that the user names, the model's own files, a larger model of which this
one keeps some vertices, and last what can be found of the mesh alone. Regions may stay unknown: masks draw them
around the landmarks in UV. Landmarks cannot be found.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError, ModelError
from uvgen.geometry import INNER
from uvgen.meshes.nearest import nearest_vertices
from uvgen.meshes.seams import carried_corner_uv, split_seams
from uvgen.models.assembled import AssembledModel
from uvgen.models.formats import flame
from uvgen.models.found import found_mirror, found_uv
from uvgen.models.morphable import MorphableModel, make_model
from uvgen.models.supplements import Supplements
from uvgen.models.uv_files import FileUv, read_uv
from uvgen.models.valid import LARGEST, check_numbers
from uvgen.models.vertex_numbers import read_landmarks, read_vertex_numbers
from uvgen.storage.files import sha256_file
from uvgen.wording import count

_SAME_UM = 50.0  # µm, between vertices that are the same: the float32 of meters holds 0.01 µm, OBJ files often 1 to 10
_UNLIKE = 0.5  # difference of edges, as a share of them: other faces of the same mesh are within 0.2
_ROUNDING = 1e-4  # difference of edges of the same mesh
_PROPORTIONAL = 0.999  # cosine between components that differ in scale alone


def _larger_of(given: Supplements) -> MorphableModel | None:
    """The larger model, which is no longer the path of its file where models are completed."""
    if isinstance(given.uv_from, (str, os.PathLike)):
        raise InputError(f"uv_from: {os.fspath(given.uv_from)}, expected the model itself; uvgen.load_model reads it")
    return given.uv_from


def completed(assembled: AssembledModel, supplements: Supplements | None = None) -> MorphableModel:
    """A whole model, from its files, what the user gives, and what can be derived from the mesh.

    Parameters
    ----------
    assembled : AssembledModel
        What a reader returned.
    supplements : Supplements, optional
        None by default; `uv_from` is a model, not the path of one.

    Returns
    -------
    MorphableModel

    Raises
    ------
    ModelError
        If nothing brings landmarks or UV, or parts do not fit; the message names the option that brings them.
    InputError
        If a file of `supplements` cannot be read or does not fit.
    """
    given = supplements or Supplements()
    larger = _larger_of(given)
    n, source = len(assembled.mean), assembled.source
    triangles = np.asarray(assembled.triangles)
    _check_mesh(assembled, triangles)
    kept = _kept_vertices(assembled, given)
    if larger is not None and kept is not None:
        assembled = _carried(assembled, larger, kept)
    landmarks = assembled.landmarks if given.landmarks is None else _read_landmarks(Path(given.landmarks), triangles)
    if landmarks is None:
        raise ModelError(
            f"{source}: brings no landmarks, expected the vertices of the 68 iBUG points; give them to "
            "`uvgen model convert` as argument `landmarks`, or a model of the same mesh that has them as argument "
            "`uv_from`"
        )
    if given.landmarks is not None and landmarks.max(initial=0) >= n:
        raise InputError(f"{given.landmarks}: names vertex {landmarks.max()}, expected 0 to {n - 1}, those of {source}")
    triangles = _facing(np.asarray(assembled.mean, np.float64), triangles, np.asarray(landmarks))
    uv, mirror = assembled.uv, assembled.mirror
    found = None
    if given.uv is not None:
        found = read_uv(Path(given.uv), triangles, n, kept, None if larger is None else larger.n_vertices)
    elif larger is not None and kept is not None:
        found = _uv_of_larger(larger, kept, triangles)
    if found is not None:
        uv, repeated, own = found
        if own is not None:
            assembled = _with_repeated(assembled, repeated)
            triangles = _facing(np.asarray(assembled.mean, np.float64), own, np.asarray(landmarks))
        mirror = assembled.mirror
    if uv is None:
        uv, mirrored, last = found_uv(assembled, np.asarray(landmarks), triangles)
        triangles = _reordered(triangles, last)
        mirror = mirrored if mirror is None else mirror
    if mirror is None:
        mirror = found_mirror(np.asarray(assembled.mean, np.float64), triangles)
    mouth = assembled.mouth_triangles
    return make_model(
        source=source,
        name=assembled.name,
        mean=assembled.mean,
        basis=_joined(assembled),
        shape_std=assembled.shape_std,
        expression_std=assembled.expression_std,
        triangles=triangles,
        mouth_triangles=np.empty((0, 3), np.int32) if mouth is None else mouth,
        uv=uv,
        landmarks=landmarks,
        regions=assembled.regions,
        mirror=mirror,
        albedo_mean=assembled.albedo_mean,
        albedo_basis=assembled.albedo_basis,
        albedo_std=assembled.albedo_std,
        sources=dict(assembled.sources) | _sources(given),
        rig=assembled.rig,
    )


def _read_landmarks(path: Path, triangles: NDArray[Any]) -> NDArray[np.int32]:
    """Landmarks as vertices, also from a file that has them on the model's triangles, as those of FLAME do."""
    if not flame.is_embedding(path):
        return read_landmarks(path)
    try:
        return flame.landmarks_of_embedding(path, triangles)
    except ModelError as error:
        raise InputError(str(error)) from error


def _sources(given: Supplements) -> dict[str, str]:
    paths = [Path(path) for path in (given.uv, given.indices, given.landmarks) if path is not None]
    larger = _larger_of(given)
    return {path.name: sha256_file(path) for path in paths} | (
        {} if larger is None else {larger.name: larger.content_sha256}
    )


def _check_mesh(assembled: AssembledModel, triangles: NDArray[Any]) -> None:
    """Check what the steps before `make_model`, which checks the rest, depend on."""
    n, mean = len(assembled.mean), np.asarray(assembled.mean)
    if mean.ndim != 2 or mean.shape[1] != 3 or mean.dtype.kind not in "fiu":
        raise ModelError(f"{assembled.source}: mean is {mean.dtype} {mean.shape}, expected numbers (n, 3)")
    check_numbers(np.ascontiguousarray(mean), "mean shape", assembled.source, LARGEST)
    for name in ("shape", "expression"):
        basis, std = np.shape(getattr(assembled, f"{name}_basis")), np.shape(getattr(assembled, f"{name}_std"))
        if len(basis) != 3 or basis[:2] != (n, 3) or std != basis[2:]:
            raise ModelError(
                f"{assembled.source}: {name} basis is {basis} and its standard deviations {std}, expected ({n}, "
                f"3, k), (k,)"
            )
    fits = triangles.ndim == 2 and triangles.shape[1] == 3 and len(triangles) > 0 and triangles.dtype.kind in "iu"
    if not fits or triangles.min() < 0 or triangles.max() >= n:
        raise ModelError(
            f"{assembled.source}: triangles are {triangles.dtype} {triangles.shape}, expected (m, 3) vertices "
            f"of 0 to {n - 1}"
        )


def _joined(assembled: AssembledModel) -> NDArray[np.float32]:
    shape, expression = assembled.shape_basis, assembled.expression_basis
    with np.errstate(over="ignore"):  # what becomes infinite is refused by `make_model`
        return np.concatenate([shape, expression], axis=2, dtype=np.float32, casting="same_kind")


def _kept_vertices(assembled: AssembledModel, given: Supplements) -> NDArray[np.int32] | None:
    """(n,) vertex of the larger mesh of each vertex."""
    n, larger = len(assembled.mean), _larger_of(given)
    if given.indices is not None:
        if larger is None and given.uv is None:
            raise InputError(f"{given.indices}: indices without uv_from or uv, expected a larger model or its UV too")
        kept = read_vertex_numbers(Path(given.indices))
        if len(kept) != n:
            raise InputError(
                f"{given.indices}: {count(len(kept), 'number')}, expected {n}, one per vertex of {assembled.source}"
            )
        if larger is not None and kept.max() >= larger.n_vertices:
            raise InputError(
                f"{given.indices}: names vertex {kept.max()}, expected 0 to {larger.n_vertices - 1}, those of "
                f"{larger.name}"
            )
        if larger is not None:
            _check_edges(assembled, larger, kept, f"{given.indices}")
        return kept
    if larger is None:
        return None
    if larger.n_vertices == n:
        kept = np.arange(n, dtype=np.int32)
        _check_edges(assembled, larger, kept, "uv_from")
        return kept
    distance, nearest = nearest_vertices(larger.mean, np.asarray(assembled.mean, np.float64))
    if distance.max() > _SAME_UM or len(np.unique(nearest)) < n:
        raise InputError(
            f"uv_from: {larger.name} has {count(larger.n_vertices, 'vertex')}, up to {distance.max() / 1e3:.3g} mm "
            f"from the {n} "
            f"of {assembled.source}, expected the same mean face; name the vertices that it keeps in a "
            "file, argument `indices`"
        )
    _, first, place = np.unique(larger.mean, axis=0, return_index=True, return_inverse=True)
    original = first[place.reshape(-1)[nearest]]  # not the vertex that repeats it on a seam
    numbers: NDArray[np.int32] = (original if len(np.unique(original)) == n else nearest).astype(np.int32)
    return numbers


def _check_edges(assembled: AssembledModel, larger: MorphableModel, kept: NDArray[np.int32], where: str) -> None:
    """Raise InputError if triangles have another form in the larger model than in this one, all in all.

    Of the Basel model's meshes, edges differ by 1% if one of two means has a mean expression in it; with numbers
    that are one too large, by 750%, since the rows of vertices end elsewhere.
    """
    off = _edges_off(assembled, larger, kept)
    steps = [by for by in (-1, 1) if kept.min() + by >= 0 and kept.max() + by < larger.n_vertices]
    shifted = min(((_edges_off(assembled, larger, kept + by), by) for by in steps), default=(np.inf, 0))
    if off < _UNLIKE and not (off > _ROUNDING and shifted[0] < off / 4):
        return
    cause = "is the order another?"
    if shifted[0] < min(off / 4, _UNLIKE):
        cause = f"the numbers seem to be {-shifted[1]:+d} off: text and .npy count from 0, .mat from 1"
    differ = f"by {off:.0%}" if off < 100 else "altogether"
    raise InputError(
        f"{where}: edges between the vertices of {larger.name} differ {differ} from those of {assembled.source}, "
        f"expected the same mesh; {cause}"
    )


def _edges_off(assembled: AssembledModel, larger: MorphableModel, kept: NDArray[np.int32]) -> float:
    """How far the triangles' edges are from each other in two models, as a share of them, but for their scale."""
    corners = np.asarray(assembled.triangles)
    here, there = (
        np.concatenate([points[corners[:, k]] - points[corners[:, k - 1]] for k in range(3)])
        for points in (np.asarray(assembled.mean, np.float64), larger.mean[kept].astype(np.float64))
    )
    length = (here**2).sum()
    scale = (here * there).sum() / length if length else 0.0
    return float(np.sqrt(((scale * here - there) ** 2).sum() / length) / scale) if scale > 0 else np.inf


def _carried(assembled: AssembledModel, larger: MorphableModel, kept: NDArray[np.int32]) -> AssembledModel:
    """The model with what it lacks but for UV, taken from the larger one's vertices; the mouth in any case."""
    place = np.full(larger.n_vertices, -1, np.int64)
    place[kept[::-1]] = np.arange(len(kept))[::-1]
    mouth = place[larger.mouth_triangles]
    changes: dict[str, Any] = {"mouth_triangles": mouth[(mouth >= 0).all(axis=1)]}
    if assembled.landmarks is None and (place[larger.landmarks] >= 0).all():
        changes["landmarks"] = place[larger.landmarks]
    if assembled.regions is None and larger.regions is not None:
        changes["regions"] = larger.regions[kept]
    if assembled.mirror is None and larger.mirror is not None:
        there = larger.mirror[kept]
        changes["mirror"] = np.where(there >= 0, place[there], -1)
    if assembled.albedo_mean is None and larger.albedo_mean is not None:
        changes["albedo_mean"] = larger.albedo_mean[kept]
        if larger.albedo_basis is not None:
            changes |= {"albedo_basis": larger.albedo_basis[kept], "albedo_std": larger.albedo_std}
    changes["shape_std"] = _carried_std(assembled.shape_std, assembled.shape_basis, larger.shape_basis,
                                        larger.shape_std, kept)  # fmt: skip
    changes["expression_std"] = _carried_std(assembled.expression_std, assembled.expression_basis,
                                             larger.expression_basis, larger.expression_std, kept)  # fmt: skip
    return replace(assembled, **changes)


def _uv_of_larger(larger: MorphableModel, kept: NDArray[np.int32], triangles: NDArray[Any]) -> FileUv:
    """UV of a larger model's vertices. Its seams are the smaller one's too, which repeats the vertices on them."""
    corner_uv = carried_corner_uv(triangles, kept, larger.mean, larger.triangles, larger.uv)
    split, uv, repeated = split_seams(triangles, corner_uv, len(kept))
    loose = np.setdiff1d(np.arange(len(kept)), triangles)
    uv[loose] = larger.uv[kept[loose]]
    return FileUv(uv, repeated, split if len(repeated) else None)


def _carried_std(
    own_std: NDArray[Any], own: NDArray[Any], other: NDArray[Any], other_std: NDArray[Any], kept: NDArray[np.int32]
) -> NDArray[Any]:
    """Standard deviations of components that come without, if they are the larger model's first ones."""
    k = len(own_std)
    if not k or not (np.asarray(own_std) == 1).all() or k > other.shape[2]:
        return own_std
    a = np.asarray(own, np.float64).reshape(-1, k)
    b = other[kept][:, :, :k].astype(np.float64).reshape(-1, k)
    along, lengths = (a * b).sum(axis=0), np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    if not (along > _PROPORTIONAL * lengths).all() or not lengths.all():
        return own_std
    carried: NDArray[Any] = np.asarray(other_std[:k], np.float64) * (b**2).sum(axis=0) / along
    return carried


def _with_repeated(assembled: AssembledModel, repeated: NDArray[np.int32]) -> AssembledModel:
    """The model with some vertices once more, behind the others; the mirror images of those are not known."""
    rows = np.concatenate([np.arange(len(assembled.mean)), repeated])
    names = ("mean", "shape_basis", "expression_basis", "regions", "albedo_mean", "albedo_basis")
    changes: dict[str, Any] = {
        name: np.asarray(array)[rows] for name in names if (array := getattr(assembled, name)) is not None
    }
    if assembled.mirror is not None:
        changes["mirror"] = np.concatenate([assembled.mirror, np.full(len(repeated), -1)])
    if assembled.rig is not None:
        rig = assembled.rig
        changes["rig"] = replace(rig, weights=rig.weights[rows], correctives=rig.correctives[rows])
    return replace(assembled, **changes)


def _facing(mean: NDArray[np.float64], triangles: NDArray[Any], landmarks: NDArray[Any]) -> NDArray[Any]:
    """Triangles turned as the Basel model's are, clockwise for the viewer, which is the front for the rasterizer;
    told by those about brows, nose, eyes and mouth, which face the viewer."""
    inside = landmarks[INNER][(landmarks[INNER] >= 0) & (landmarks[INNER] < len(mean))]
    a, b, c = (mean[triangles[np.isin(triangles, inside).any(axis=1)][:, k]] for k in range(3))
    toward_viewer = np.cross(b - a, c - a)[:, 2].sum()
    return np.ascontiguousarray(triangles[:, [0, 2, 1]]) if toward_viewer > 0 else triangles


def _reordered(triangles: NDArray[Any], last: NDArray[np.bool_]) -> NDArray[Any]:
    """Triangles with some moved to the end, where they give way to all others: of two on a texel, the first counts."""
    return np.concatenate([triangles[~last], triangles[last]]) if last.any() else triangles
