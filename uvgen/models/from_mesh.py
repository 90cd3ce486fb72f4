"""Your own models: UV for any model, and a model from a mesh, its landmarks and registered scans."""

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError, MeshFileError, ModelError
from uvgen.meshes.frames import about_frame
from uvgen.meshes.nearest import nearest_vertices
from uvgen.meshes.read import MESH_SUFFIXES, read_mesh
from uvgen.meshes.scans import OTHER_SCANS
from uvgen.meshes.topology import check_disk
from uvgen.meshes.tutte import parameterize, uv_stretch
from uvgen.models.doubts import COARSEST_UM
from uvgen.models.model_file import save_model
from uvgen.models.morphable import MorphableModel, make_model
from uvgen.models.vertex_numbers import read_landmarks
from uvgen.storage.files import replaced_on_success, sha256_file
from uvgen.storage.folders import REGISTER_INDEX, files_below, goes_on_after
from uvgen.storage.journal import JOURNAL
from uvgen.storage.names import printable, without_ending
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import max_bytes
from uvgen.storage.text import read_text
from uvgen.wording import are, count

_FARTHEST_UM = 1e12  # what a model may hold; with more, products overflow in LAPACK
_TURNED_DEG = 2.0  # between registered scans, from which they are not in one frame
OUTPUTS = (".h5", ".npy", ".mat", ".obj")
"""Suffixes of the files that `write_model` writes."""

_MICROMETERS = {"um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
_MESHES = (*MESH_SUFFIXES, ".stl", ".glb", ".gltf", ".npy")  # the last are refused by name, not passed over


def with_new_uv(model: MorphableModel, *, symmetric: bool = True) -> MorphableModel:
    """The model with UV coordinates found by `uvgen.meshes.tutte.parameterize` on its mean shape.

    Vertices of no triangle get those of the nearest vertex of the mesh.

    Parameters
    ----------
    model : MorphableModel
        Its mouth triangles count as part of the mesh.
    symmetric : bool
        Whether the UV must be symmetric about u = 0.5.

    Returns
    -------
    MorphableModel
        Other fields as they were.

    Raises
    ------
    InputError
        If the mesh is no disk with holes, or not symmetric if that is asked for.
    """
    there = {tuple(corners) for corners in np.sort(model.triangles, axis=1).tolist()}
    closing = [tuple(sorted(corners)) not in there for corners in model.mouth_triangles.tolist()]
    triangles = np.concatenate([model.triangles, model.mouth_triangles[closing]]) if closing else model.triangles
    try:
        uv, _ = _uv_of(model.mean.astype(np.float64), triangles, symmetric=symmetric)
    except InputError as error:
        raise InputError(f"{model.path or model.name}: {error}") from error
    arrays = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    arrays |= {"uv": uv, "path": None}
    return make_model(**arrays, source=model.name)


def model_from_mesh(
    mesh: Path,
    landmarks: Path | None = None,
    scans: Path | None = None,
    components: int | None = None,
    *,
    unit: str = "mm",
    symmetric: bool = True,
) -> MorphableModel:
    """A model from a mesh, and if there are registered scans, their principal components.

    Parameters
    ----------
    mesh : Path
        The mean face: OBJ, PLY or OFF, x to the right, y up, z toward the viewer.
    landmarks : Path, optional
        File of 68 vertex numbers, see `uvgen.models.vertex_numbers`; without it the model's landmarks are meaningless.
    scans : Path, optional
        Folder of meshes with the same vertices and triangles; hidden files are passed over, and subfolders if
        `uvgen register` did not make the folder.
    components : int, optional
        At most so many components; all by default.
    unit : {"um", "mm", "cm", "m"}
        Unit of the coordinates.
    symmetric : bool
        Whether the UV must be symmetric about u = 0.5.

    Returns
    -------
    MorphableModel
        Mean of the scans (or the mesh itself), shape basis scaled to one standard deviation, no expressions.

    Raises
    ------
    ModelError
        If a file cannot be read or does not fit the others.
    InputError
        If the mesh cannot be parameterized.
    """
    vertices, triangles = _read_mesh(mesh, unit)
    mean, basis = vertices, np.zeros((len(vertices), 3, 0))
    used = [mesh]
    if scans is not None:
        paths = _meshes_in(scans, deep=(scans / REGISTER_INDEX).is_file())
        by_name: dict[Path, Path] = {}
        for path in paths:
            stem = path.with_suffix("")
            if path.suffix.lower() in MESH_SUFFIXES and (other := by_name.setdefault(stem, path)) is not path:
                raise ModelError(f"{other}: {path.name} has the same name, expected one mesh of each scan; remove one")
        if len(paths) < 2:
            raise ModelError(f"{scans}: {count(len(paths), 'mesh')} in it, expected two or more registered scans")
        mean, basis = _principal_components([_read_scan(p, unit, vertices, triangles) for p in paths], components)
        used += paths
    try:
        uv, mirror = _uv_of(mean, triangles, symmetric=symmetric)
    except InputError as error:
        raise InputError(f"{mesh}: {error}") from error
    return make_model(
        source=str(mesh),
        name=mesh.stem,
        mean=mean,
        basis=basis,
        shape_std=np.ones(basis.shape[2]),
        expression_std=np.ones(0),
        triangles=triangles,
        mouth_triangles=np.empty((0, 3), np.int32),
        uv=uv,
        landmarks=_any_landmarks(triangles) if landmarks is None else read_landmarks(landmarks),
        mirror=mirror,
        sources={mesh.name: sha256_file(mesh)}
        | {path.relative_to(scans).as_posix(): sha256_file(path) for path in used[1:] if scans is not None},
    )


def _meshes_in(scans: Path, *, deep: bool) -> list[Path]:
    """The meshes in a folder, and in those in it if `deep`, by path."""
    return sorted(
        path
        for path in files_below(scans, "meshes", ModelError)
        if (deep or path.parent == scans)
        and path.name.lower().endswith(_MESHES)
        and not path.stem.endswith(".landmarks")
    )


def _about_other_kinds(scans: Path, *, deep: bool) -> list[str]:
    """Warnings of meshes of kinds that are not read, if none of the same name is, and of such with longer names."""
    read = {without_ending(str(path), _MESHES) for path in _meshes_in(scans, deep=deep)}
    others = sorted(
        path
        for path in files_below(scans, "meshes", ModelError)
        if (deep or path.parent == scans)
        and path.name.lower().endswith(OTHER_SCANS)
        and without_ending(str(path), OTHER_SCANS) not in read
    )
    longer = sorted(
        path
        for path in files_below(scans, "meshes", ModelError)
        if (deep or path.parent == scans) and goes_on_after(path.name, _MESHES)
    )
    found = []
    for paths, why in ((others, "of a kind that is not read"), (longer, "named on after the suffix, and not read")):
        if paths:
            first = printable(paths[0].relative_to(scans).as_posix())
            what = f"{scans}: {count(len(paths), 'mesh')} {why}"
            found.append(f"{what}, first {first}, expected {', '.join(MESH_SUFFIXES)} at the end")
    return found


def scan_warnings(scans: Path, unit: str) -> list[str]:
    """What the `register.json` beside scans says of their frames and units that does not fit a model of them.

    Parameters
    ----------
    scans : Path
        Folder of scans. `uvgen register` states frames and units, and its meshes are read in subfolders too.
    unit : {"um", "mm", "cm", "m"}
        In which they are read.

    Returns
    -------
    list of str
        A sentence each: meshes that are not read, of other kinds or in subfolders, that are not there or not all made
        yet, scans that are turned against each other, and other units.
    """
    path = scans / REGISTER_INDEX
    found = _about_other_kinds(scans, deep=path.is_file())
    if not path.is_file():
        deeper = sorted({*_meshes_in(scans, deep=True)} - {*_meshes_in(scans, deep=False)})
        what = f"{scans}: {count(len(deeper), 'mesh')} in subfolders {are(len(deeper))} not read"
        return found + ([f"{what}, first {printable(deeper[0].relative_to(scans).as_posix())}"] if deeper else [])
    try:
        content = parse_json(read_text(path, "what uvgen wrote", most_bytes=max_bytes()))
        moved, entries = content["frame"] == "model", content["scans"]
        turns = np.array([entry["rotation"] for entry in entries], np.float64).reshape(-1, 3, 3)
        names = {str(entry["name"]) for entry in entries if "name" in entry}
        units = {"mm"} if moved else {str(entry["unit"]).replace("µ", "u") for entry in entries if entry["unit"]}
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return found
    if (scans / JOURNAL).is_file():
        found.append(f"{scans}: `uvgen register` has not finished; run it again, or the model lacks scans")
    there = {path.relative_to(scans).with_suffix("").as_posix() for path in _meshes_in(scans, deep=True)}
    if gone := sorted(names - there):
        listed = f"{count(len(gone), 'mesh')} that it lists {are(len(gone))} not there"
        found.append(f"{path}: {listed}, first {printable(gone[0])}; the model is made without")
    cosine = (np.einsum("kij,ij->k", turns, turns[0]) - 1) / 2 if len(turns) else np.ones(1)
    apart = float(np.degrees(np.arccos(cosine.clip(-1, 1))).max())
    if not moved and apart > _TURNED_DEG:
        found.append(
            f"{path}: its meshes lie on their scans, turned by up to {apart:.3g}° against each other, which becomes a "
            "part of the shape components; `uvgen register --frame model` puts them into one frame"
        )
    if others := sorted(units - {unit}):
        found.append(f"{path}: its meshes are in {', '.join(others)}, but are read in {unit}; give their unit")
    return found


def _uv_of(
    mean: NDArray[np.float64], triangles: NDArray[np.int32], *, symmetric: bool
) -> tuple[NDArray[np.float64], NDArray[np.int32] | None]:
    """UV (n, 2) and mirror pairs. Vertices of no triangle, as registered meshes may have, keep their numbers: no texel
    shows them, and they get the UV of the nearest vertex of the mesh."""
    used = np.unique(triangles)
    if len(used) in (0, len(mean)) or used[-1] >= len(mean):
        found = parameterize(mean, triangles, symmetric=symmetric)
        return found.uv, found.mirror
    check_disk(mean, triangles, loose=True)
    found = parameterize(mean[used], np.searchsorted(used, triangles), symmetric=symmetric)
    uv, loose = np.empty((len(mean), 2)), np.setdiff1d(np.arange(len(mean)), used)
    uv[used] = found.uv
    uv[loose] = found.uv[nearest_vertices(mean[used], mean[loose], exact=False)[1]]
    if found.mirror is None:
        return uv, None
    mirror = np.full(len(mean), -1, np.int32)
    mirror[used] = np.where(found.mirror >= 0, used[found.mirror], -1)
    return uv, mirror


def _any_landmarks(triangles: NDArray[np.int32]) -> NDArray[np.int32]:
    """Numbers (68,) of vertices all over the mesh: they mean nothing, but a model's may not lie in one point."""
    used = np.unique(triangles)
    return used[np.linspace(0, len(used) - 1, 68).astype(int)].astype(np.int32) if len(used) else np.zeros(68, np.int32)


def _read_mesh(path: Path, unit: str) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    try:
        vertices, triangles = read_mesh(path)
    except MeshFileError as error:
        raise ModelError(str(error)) from error
    farthest = float(np.abs(vertices).max())
    if farthest > _FARTHEST_UM / _MICROMETERS[unit]:
        raise ModelError(f"{path}: a coordinate of {farthest:.3g} {unit}, expected a face's; it is damaged")
    step_um = float(np.spacing(np.float32(farthest * _MICROMETERS[unit])))
    if step_um > COARSEST_UM:
        raise ModelError(
            f"{path}: lies {farthest:.3g} {unit} from its origin, where a model's numbers (float32) are "
            f"{step_um / 1e3:.2g} mm apart, expected {COARSEST_UM / 1e3:g} mm at most; move all meshes to the origin"
        )
    return vertices * _MICROMETERS[unit], triangles


def _read_scan(path: Path, unit: str, mean: NDArray[np.float64], triangles: NDArray[np.int32]) -> NDArray[np.float64]:
    """The vertices of a scan, which has the triangles, the size and the axes of the mean face."""
    vertices, own = _read_mesh(path, unit)
    n = len(mean)
    if len(vertices) != n or not _same_triangles(own, triangles):
        found = (
            "other triangles than the mesh's"
            if len(vertices) == n
            else f"{count(len(vertices), 'vertex')}, the mesh has {n}"
        )
        raise ModelError(f"{path}: {found}, expected scans registered to one topology")
    if (problem := about_frame(vertices, mean, "the mesh", "scans")) is not None:
        raise ModelError(f"{path}: {problem}")
    return vertices


def _same_triangles(one: NDArray[np.int32], other: NDArray[np.int32]) -> bool:
    """Whether two meshes have the same triangles in any order: programs write polygons in orders of their own."""
    if np.array_equal(one, other):
        return True
    ours, theirs = (np.unique(np.sort(triangles, axis=1), axis=0) for triangles in (one, other))
    return np.array_equal(ours, theirs)


def _principal_components(
    scans: list[NDArray[np.float64]], components: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (n, 3), and basis (n, 3, k) scaled so that parameters of 1 are one standard deviation."""
    flat = np.stack(scans).reshape(len(scans), -1)
    mean = flat.mean(axis=0)
    _, strengths, directions = np.linalg.svd(flat - mean, full_matrices=False)
    if strengths.max(initial=0) <= 1e-9 * np.abs(flat).max(initial=0):
        raise ModelError(f"scans: all {len(scans)} are the same, expected faces that differ")
    k = min(len(scans) - 1, components or len(scans))
    basis = directions[:k].T * (strengths[:k] / np.sqrt(len(scans) - 1))
    return mean.reshape(-1, 3), basis.reshape(-1, 3, k)


def model_stretch(model: MorphableModel) -> float:
    """Sander's L2 stretch of a model's UV, scaled so that 1 is ideal."""
    return uv_stretch(model.mean, model.triangles, model.uv)


def write_model(model: MorphableModel, path: Path) -> None:
    """Write the model (.h5), its UV (.npy; .mat with one variable UV) or its mean mesh with UV (.obj).

    Parameters
    ----------
    model : MorphableModel
        What to write.
    path : Path
        The file to write; its suffix, one of `OUTPUTS`, determines the format.

    Raises
    ------
    DatasetError, MeshFileError
        If the file cannot be written.
    """
    kind = path.suffix.lower()
    if kind in (".h5", ".hdf5"):
        save_model(model, path)
    elif kind == ".obj":
        from uvgen.rasterize import write_obj

        write_obj(path, model.mean / 1e3, model.triangles, uv=model.uv, frame="raw")
    else:
        with replaced_on_success(path) as temporary, open(temporary, "wb") as file:
            if kind == ".npy":
                np.save(file, model.uv)
            else:
                from scipy.io import savemat

                savemat(file, {"UV": model.uv})
