"""ICT-FaceKit of USC's Institute for Creative Technologies, the light model, under the MIT license: a folder of meshes.

``FaceXModel/`` holds, each with the same 26,719 vertices and 26,384 polygons, most of four corners:

- ``generic_neutral_mesh.obj``: the mean head, centimeters, y up, z toward the viewer, with texture coordinates
- ``identity000.obj`` to ``identity099.obj``: the mean moved by one standard deviation of an identity component
- 53 expressions, ``jawOpen.obj`` and the like, named as ARKit's blendshapes are, with ``_L`` and ``_R``: the mean with
  this expression in full
- ``vertex_indices.json``: ``expressions``, the names of those 53; ``idx_to_landmark_verts``, the 68 landmarks, which
  the README has too

The first 9,409 vertices are the face, up to the ears and the throat; then come head and neck, mouth, eyes, gums, teeth,
and shells about the eyes that only a renderer with transparency can draw. The face's texture coordinates fill the unit
square, and those of the other parts lie in squares beside it or over it. The face alone keeps its own; of the whole
head, those of the other parts are packed below (`uvgen.meshes.seams.pack_parts`). Vertices on seams are repeated behind
the others.

The weight of an expression goes from 0 to 1; its standard deviation counts as 0.3 here, since no file says one.
"""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import choice
from uvgen.errors import InputError, MeshFileError, ModelError
from uvgen.meshes.frames import about_frame
from uvgen.meshes.obj import read_obj_vertices, read_textured_obj
from uvgen.meshes.read import read_mesh
from uvgen.meshes.seams import pack_parts, split_seams
from uvgen.meshes.topology import is_same_mesh
from uvgen.models.assembled import AssembledModel
from uvgen.storage.files import sha256_file
from uvgen.storage.names import brief, os_reason
from uvgen.storage.plain_json import parse_json
from uvgen.storage.text import read_text
from uvgen.wording import count

NEUTRAL, ABOUT, FOLDER = "generic_neutral_mesh.obj", "vertex_indices.json", "FaceXModel"
EXPRESSION_STD = 0.3
"""What a blendshape's weight, 0 to 1, counts for."""

_UM_PER_CM = 1e4
_N_VERTICES = 26719
_PART_STARTS = (
    0, 9409, 11248, 13294, 13678, 14062, 17039, 21451, 23021, 24591, 24795, 24999, 25023, 25047, 25199, 25351, 26035,
)  # fmt: skip
"""First vertex of each part, as the README lists them: face, head, mouth, eye sockets, …; the face reaches to 9408."""

_LANDMARKS = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
    268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509,
    978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360,
    1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732,
    5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841,
    5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
)  # fmt: skip
_IDENTITY = re.compile(r"identity\d{3}\.obj")
_MOST_MESHES = 1000
_MOST_MOVED = 0.3  # of the size of the head, both as root mean squares: no face differs from the mean by as much
_APART = 16.0  # between the UV of parts, so that no two share one


def recognizes(path: Path) -> bool:
    """Whether a folder is ICT's ``FaceXModel``, or holds it, or a file is the neutral mesh in it."""
    return _folder(path) is not None


def read(path: Path, *, parts: str = "face") -> AssembledModel:
    """Read ICT-FaceKit's light model.

    Parameters
    ----------
    path : Path
        ``FaceXModel``, the folder that holds it, or the neutral mesh in it.
    parts : {"face", "all"}
        What of the head to take.

    Returns
    -------
    AssembledModel
        Identity parameters in standard deviations, expression parameters as weights; without albedo.

    Raises
    ------
    ModelError
        If a mesh is missing, damaged, or unlike the neutral one; the message names it.
    InputError
        If `parts` is none of those.
    """
    choice(parts, "parts", ("face", "all"))
    folder = _folder(path)
    if folder is None:
        raise ModelError(f"{path}: no {NEUTRAL} with identity000.obj beside it, expected ICT-FaceKit's {FOLDER}")
    identities = sorted(item.name for item in folder.iterdir() if _IDENTITY.fullmatch(item.name))
    for k, name in enumerate(identities):  # a component that is missing would give its parameter to the next
        if name != f"identity{k:03d}.obj":
            raise ModelError(f"{folder / f'identity{k:03d}.obj'}: no such file, expected it: there is {name}")
    expressions, landmarks = _about(folder)
    neutral = folder / NEUTRAL
    try:
        vertices, whole, corner_uv = read_textured_obj(neutral)
        triangles = whole
        n, is_whole = len(vertices), len(vertices) == _N_VERTICES
        if landmarks is None and is_whole:
            landmarks = np.array(_LANDMARKS)
        if landmarks is not None and not (landmarks < n).all():
            raise ModelError(f"{folder / ABOUT}: landmarks reach {landmarks.max()}, expected {n - 1} at most")
        part = _triangle_parts(triangles, corner_uv, _PART_STARTS if is_whole else (0,))
        if parts == "face":
            triangles, corner_uv, part = (values[part == 0] for values in (triangles, corner_uv, part))
        if not len(triangles):
            raise ModelError(f"{neutral}: no triangle with texture coordinates from 0 to 1, expected the face's")
        corner_uv = corner_uv + np.stack([_APART * part, 0 * part], axis=1)[:, None]
        try:
            triangles, uv, sources = split_seams(triangles, corner_uv, n, most_repeated=1)
        except InputError as error:
            raise ModelError(f"{neutral}: {error}") from error
        part_of = np.zeros(len(uv), np.int32)
        part_of[triangles] = part[:, None]
        uv[:, 0] -= _APART * part_of
        taken = np.concatenate([np.arange(n), sources])
        if parts == "all":
            uv = pack_parts(uv, part_of)
        else:
            used = np.unique(triangles)
            number = np.full(len(taken), -1)
            number[used] = np.arange(len(used))
            taken, triangles, uv = taken[used], number[triangles].astype(np.int32), uv[used]
            landmarks = None if landmarks is None else number[landmarks]
            if landmarks is not None and landmarks.min() < 0:
                raise ModelError(f"{folder / ABOUT}: landmark {landmarks.argmin()} lies on no triangle of the face")
        _check_different(folder, [NEUTRAL, *identities, *expressions])
        mesh = _Neutral(vertices, whole, read_obj_vertices(neutral)[1])
        moved = [_read_moved(folder / name, mesh, taken) for name in (*identities, *expressions)]
    except MeshFileError as error:
        raise ModelError(str(error)) from error
    basis = np.stack(moved, axis=2)
    files = [neutral, *(folder / name for name in (*identities, *expressions)), folder / ABOUT]
    return AssembledModel(
        source=str(path),
        name="ICT-FaceKit",
        mean=vertices[taken] * _UM_PER_CM,
        shape_basis=basis[:, :, : len(identities)],
        expression_basis=basis[:, :, len(identities) :],
        shape_std=np.ones(len(identities)),
        expression_std=np.full(len(expressions), EXPRESSION_STD),
        triangles=triangles,
        uv=uv,
        landmarks=landmarks,
        sources={file.name: sha256_file(file) for file in files if file.exists()},
    )


def _folder(path: Path) -> Path | None:
    try:
        places = (path, path / FOLDER) if path.is_dir() else (path.parent,) if path.name == NEUTRAL else ()
        return next((at for at in places if (at / NEUTRAL).is_file() and (at / "identity000.obj").is_file()), None)
    except (OSError, ValueError):
        return None


def _about(folder: Path) -> tuple[list[str], NDArray[np.int64] | None]:
    """File names of the expressions, and the landmarks if the folder says them."""
    path = folder / ABOUT
    if not os.path.lexists(path):  # a link to nowhere is an error
        found = (item.name for item in folder.iterdir() if item.suffix == ".obj" and item.name != NEUTRAL)
        meshes = sorted(name for name in found if not name.startswith("."))  # macOS leaves ._jawOpen.obj
        return [name for name in meshes if not _IDENTITY.fullmatch(name)][:_MOST_MESHES], None
    try:
        content = parse_json(read_text(path, "a JSON document"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {brief(error)}") from error
    names: Any = content.get("expressions") if isinstance(content, dict) else None
    plain = isinstance(names, list) and all(isinstance(name, str) and re.fullmatch(r"\w{1,64}", name) for name in names)
    if not plain or not 0 < len(names) <= _MOST_MESHES or len(set(names)) < len(names):
        raise ModelError(
            f"{path}: expressions are {brief(names)[:80]}, expected names of .obj files without their ending"
        )
    for name in names:
        if not (folder / f"{name}.obj").is_file():
            raise ModelError(f"{folder / name}.obj: no such file, expected it: {ABOUT} names this expression")
    landmarks = content.get("idx_to_landmark_verts")
    if landmarks is None:
        return [f"{name}.obj" for name in names], None
    whole = isinstance(landmarks, list) and all(type(index) is int and 0 <= index < 2**31 for index in landmarks)
    if not whole or len(landmarks) != 68:
        raise ModelError(f"{path}: idx_to_landmark_verts is {brief(landmarks)[:80]}, expected 68 vertices, from 0")
    return [f"{name}.obj" for name in names], np.array(landmarks, np.int64)


def _triangle_parts(
    triangles: NDArray[np.int32], corner_uv: NDArray[np.float64], starts: tuple[int, ...]
) -> NDArray[np.int32]:
    """The part that each triangle belongs to: the last of its corners', and not the face outside of its square."""
    part: NDArray[np.int32] = np.searchsorted(starts, triangles, side="right").max(axis=1).astype(np.int32) - 1
    outside = ~((corner_uv >= 0) & (corner_uv <= 1)).all(axis=(1, 2))
    part[(part == 0) & outside] = 1
    return part


def _check_different(folder: Path, names: list[str]) -> None:
    """Raise ModelError if two meshes are one file: links to one could be read a thousand times."""
    seen: dict[tuple[int, int], str] = {}
    for name in names:
        try:
            stat = (folder / name).stat()
        except OSError as error:
            raise ModelError(f"{folder / name}: cannot be read ({os_reason(error)}), expected a mesh") from error
        if (other := seen.setdefault((stat.st_dev, stat.st_ino), name)) is not name:
            what = f"the same file as {other}" if other != name else "taken twice, by its name and as an expression"
            raise ModelError(f"{folder / name}: {what}, expected a mesh of its own")


class _Neutral(NamedTuple):
    """The neutral mesh: vertices (n, 3), triangles (m, 3), and its polygons as text."""

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int32]
    polygons: str


def _read_moved(path: Path, neutral: _Neutral, taken: NDArray[np.int64]) -> NDArray[np.float32]:
    """How a mesh differs from the neutral one, µm."""
    vertices, polygons = read_obj_vertices(path)
    n = len(neutral.vertices)
    if len(vertices) != n:
        raise ModelError(f"{path}: {count(len(vertices), 'vertex')}, expected {n}, as {NEUTRAL} has")
    if not polygons:
        raise ModelError(f"{path}: no faces, expected those of {NEUTRAL}; it is cut short, or was saved without them")
    if polygons != neutral.polygons and not is_same_mesh(neutral.triangles, read_mesh(path)[1], n):
        raise ModelError(f"{path}: its faces join other vertices than those of {NEUTRAL}, expected the same mesh")
    if (problem := about_frame(vertices, neutral.vertices, NEUTRAL, "meshes")) is not None:
        raise ModelError(f"{path}: {problem}")
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused where models are checked
        offsets = vertices - neutral.vertices
        share = float(np.sqrt((offsets**2).sum(axis=1).mean() / neutral.vertices.var(axis=0).sum()))
        if share > _MOST_MOVED:
            raise ModelError(
                f"{path}: its vertices lie {share:.0%} of the head's size from where {NEUTRAL} has them, expected "
                f"{_MOST_MOVED:.0%} at most: they are in another order, or in another frame or unit"
            )
        return np.asarray(offsets[taken] * _UM_PER_CM, np.float32)
