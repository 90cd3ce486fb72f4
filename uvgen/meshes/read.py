"""Reading meshes: Wavefront OBJ by a reader of uvgen's own, PLY and OFF by trimesh.

Landmarks and registered scans name a mesh's vertices by number, so the order and the number of vertices must be the
file's own. trimesh cuts an OBJ at its materials and texture seams and numbers the pieces anew; hence the reader here,
which takes the lines `v` and `f` (`fo` in old files) and passes over all others. An STL has no vertices that triangles
share, and is refused.
"""

import io
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DependencyError, MeshFileError, to_install
from uvgen.meshes.mesh_rows import (
    check_ply_lists,
    check_ply_rows,
    format_of_ply,
    off_of_triangles,
    with_wide_types,
    without_empty,
    without_texture,
)
from uvgen.storage.kinds import describe_file
from uvgen.storage.names import brief, os_reason
from uvgen.storage.reading import read_file
from uvgen.storage.text import decode_text, number_of
from uvgen.wording import count

MESH_SUFFIXES = (".obj", ".ply", ".off")
"""Endings of the names of meshes that are read."""

_KINDS = {"an OBJ mesh": ".obj", "a PLY mesh": ".ply", "an OFF mesh": ".off"}
_EXPECTED = "expected an OBJ, PLY or OFF mesh"
_MOST_BYTES = 1 << 30
POLYGONS = ("f", "fo")
"""How lines of an OBJ that are polygons begin."""

_CONTINUED = (["v"], ["vt"], *([key] for key in POLYGONS))  # lines of an OBJ
_SHOWN = 40  # characters of a line in a message

Mesh = tuple[NDArray[np.float64], NDArray[np.int32]]


def read_mesh(path: str | os.PathLike[str], *, surface: bool = True, finite: bool = True) -> Mesh:
    """A triangle mesh from a file.

    Parameters
    ----------
    path : path-like
        OBJ, PLY or OFF, binary or ASCII. Polygons are cut into triangles from their first corner; texture coordinates,
        normals, colors, materials and groups are passed over.
    surface : bool
        Whether there must be triangles.
    finite : bool
        Whether no coordinate may be NaN or infinite.

    Returns
    -------
    vertices : (n, 3) float64
        All of the file's vertices in its order, in its unit and frame.
    triangles : (m, 3) int32
        0-based; one or more, if `surface` asks for them.

    Raises
    ------
    MeshFileError
        If the file is missing, damaged, of another kind, or holds no triangles that `surface` asks for.
    DependencyError
        If a PLY or OFF is to be read and trimesh is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise MeshFileError(f"{path}: no such file, {_EXPECTED}")
    kind, suffix = describe_file(path), path.suffix.lower()
    if "STL" in kind or suffix == ".stl":
        raise MeshFileError(
            f"{path}: an STL holds no shared vertices, so that they have no numbers by which landmarks and scans could "
            f"name them, {_EXPECTED}; save the mesh as one from the program that it comes from"
        )
    if kind not in _KINDS and kind not in ("text", "a file of unknown kind"):
        raise MeshFileError(f"{path}: not a readable mesh: {kind}, {_EXPECTED}")
    if suffix not in MESH_SUFFIXES:
        raise MeshFileError(f"{path}: a name that ends in {suffix or 'nothing'}, expected {', '.join(MESH_SUFFIXES)}")
    if _KINDS.get(kind, suffix) != suffix:
        raise MeshFileError(f"{path}: {kind}, expected by its name {suffix}; rename it")
    vertices, triangles = _read_obj(path) if suffix == ".obj" else _read_by_trimesh(path)
    if not len(vertices) or (surface and not len(triangles)):
        cloud = f"{count(len(vertices), 'vertex')} and no triangles in it"
        if len(triangles):
            cloud = f"no vertices in it, which its {count(len(triangles), 'triangle')} would name"
        raise MeshFileError(f"{path}: {cloud}, expected a mesh{'; a point cloud has no surface' * (len(vertices) > 0)}")
    if finite and not np.isfinite(vertices).all():
        raise MeshFileError(
            f"{path}: vertex {np.argwhere(~np.isfinite(vertices))[0][0]} is NaN or infinite, expected finite numbers"
        )
    low, high = int(triangles.min(initial=0)), int(triangles.max(initial=0))
    if low < 0 or high >= len(vertices):
        raise MeshFileError(f"{path}: triangles name vertices {low} to {high}, expected 0 to {len(vertices) - 1}")
    return vertices, triangles


def _obj_text(path: Path) -> str:
    try:
        return decode_text(read_file(path, _MOST_BYTES), strict=False)
    except OSError as error:
        raise MeshFileError(f"{path}: cannot be read ({os_reason(error)})") from error
    except ValueError as error:
        raise MeshFileError(f"{path}: not a readable mesh: {error}, {_EXPECTED}") from error


def _read_obj(path: Path) -> Mesh:
    text = _obj_text(path)
    return _plain_obj(text) or _any_obj(text, path)


def _plain_obj(text: str) -> Mesh | None:
    """An OBJ as most programs write it, triangles with positive indices, read in a quarter of the time; else None."""
    if "\\\n" in text or re.search(r"(?m)^(?:[ \t]+[vf]o?[ \t]|[vf]\t|fo[ \t])", text):
        return None
    lines = text.split("\n")
    of_points, of_corners = ([line for line in lines if line.startswith(key)] for key in ("v ", "f "))
    if not all(are_plain_numbers(some) for some in (of_points, of_corners)):
        return None
    points = [line.split()[1:4] for line in of_points]
    corners = [line.split()[1:] for line in of_corners]
    if not corners or any(len(words) != 3 for words in corners) or any(len(words) != 3 for words in points):
        return None
    try:
        vertices = np.array([float(word) for words in points for word in words])
        indices = np.array([int(word.partition("/")[0]) for words in corners for word in words], np.int64)
    except (ValueError, OverflowError):
        return None
    if not 1 <= indices.min() <= indices.max() < 2**31:
        return None
    return vertices.reshape(-1, 3), (indices - 1).astype(np.int32).reshape(-1, 3)


def _any_obj(text: str, path: Path) -> Mesh:
    """Every OBJ, line by line; MeshFileError names the line that is none."""
    vertices: list[tuple[float, ...]] = []
    triangles: list[tuple[int, int, int]] = []
    for number, line in enumerate(joined_lines(text).split("\n"), start=1):
        key, *words = line.split("#", 1)[0].split() or [""]
        try:
            if key == "v":
                x, y, z = words[:3]  # a weight or a color may follow
                vertices.append((number_of(x), number_of(y), number_of(z)))
            elif key in POLYGONS:
                corners = [_vertex(word, len(vertices)) for word in words]
                if len(corners) < 3:
                    raise ValueError(f"{count(len(corners), 'corner')}")
                triangles += [(corners[0], b, c) for b, c in pairwise(corners[1:])]
        except ValueError as error:
            shown = line.strip()[:_SHOWN]
            raise MeshFileError(f"{path}: not a readable mesh: line {number} is {shown!r} ({brief(error)})") from error
    return np.array(vertices, np.float64).reshape(-1, 3), np.array(triangles, np.int32).reshape(-1, 3)


def joined_lines(text: str) -> str:
    """The lines of an OBJ that a backslash continues as one; the numbers of later lines stay.

    Only numbers are continued: comments, names and paths, such as ``# D:\\scans\\``, may end in a backslash as well.
    """
    if "\\\n" not in text:
        return text
    lines: list[str] = []
    pieces: list[str] = []
    for line in text.split("\n"):
        if line.endswith("\\") and "#" not in line and (pieces or line[:-1].split()[:1] in _CONTINUED):
            pieces.append(line[:-1])
            continue
        lines += [" ".join([*pieces, line])] + [""] * len(pieces)
        pieces.clear()
    return "\n".join(lines + [" ".join(pieces)] * bool(pieces))


def are_plain_numbers(lines: list[str]) -> bool:
    """Whether lines hold nothing that Python alone takes for a part of a number, see `uvgen.storage.text.number_of`."""
    text = "".join(lines)
    return text.isascii() and "_" not in text


def index_of(text: str) -> int:
    """A whole number; ValueError if it is none, or only Python takes it for one."""
    if not are_plain_numbers([text]):
        raise ValueError(f"no number: {text[:_SHOWN]!r}")
    return int(text)


def _vertex(corner: str, n: int) -> int:
    """0-based vertex of a corner such as ``7``, ``7/2``, ``7//3`` or ``-1/2/3``, after n vertices."""
    index = index_of(corner.split("/", 1)[0])
    if index == 0 or not -(2**31) < index < 2**31:
        raise ValueError(f"vertex {index}; they are counted from 1")
    return index - 1 if index > 0 else n + index


def _read_by_trimesh(path: Path) -> Mesh:
    try:
        import trimesh
    except ImportError as error:
        raise DependencyError(f"{path}: reading meshes needs trimesh: {to_install('mesh')}") from error
    is_ply = path.suffix.lower() == ".ply"
    seams: dict[str, Any] = {"fix_texture": False} if is_ply else {}  # trimesh cuts the mesh at them else
    try:
        data = read_file(path, _MOST_BYTES)
        if is_ply:  # without comments, of which one names a picture that trimesh looks for
            end = re.search(rb"(?m)^[ \t]*end_header\b", data)  # which a comment may name too
            header, mark, rest = (
                (data[: end.start()], end[0], data[end.end() :]) if end else data.partition(b"end_header")
            )
            header = re.sub(rb"(?m)^[ \t]*((comment|obj_info)\b[^\n]*|\r?)\n", b"", header)
            header = without_texture(header)
            kind = format_of_ply(header)
            header = without_empty(header)
            if kind == "ascii":
                rest = re.sub(rb"\n[ \t\r\n]*\n", b"\n", rest)
                check_ply_rows(header, rest[rest.find(b"\n") + 1 :])
                header = with_wide_types(header)
            else:
                check_ply_lists(header, rest[rest.find(b"\n") + 1 :], "<" if "little" in kind else ">")
            given = data = header + mark + rest
        else:
            given = re.sub(rb"#[^\n]*", b"", data)  # comments, for which trimesh takes a microsecond a byte
            data = off_of_triangles(given)
        with np.errstate(all="ignore"):  # of numbers that are huge
            mesh: Any = trimesh.load(
                io.BytesIO(data), file_type=path.suffix[1:].lower(), process=False, maintain_order=True, **seams
            )
        vertices = np.asarray(mesh.vertices, np.float64).reshape(-1, 3)
        triangles = np.asarray(getattr(mesh, "faces", ()), np.int64).reshape(-1, 3)
    except MemoryError:
        raise
    except Exception as error:  # trimesh's readers raise errors of any type
        raise MeshFileError(f"{path}: not a readable mesh ({brief(error)}), {_EXPECTED}") from error
    stated = _stated_vertices(path, given)
    if stated is not None and stated != len(vertices):
        raise MeshFileError(
            f"{path}: {count(len(vertices), 'vertex')} read, the file states {stated}; it is damaged, or save it as OBJ"
        )
    if not len(triangles) and (polygons := _stated_polygons(path, given)):
        raise MeshFileError(
            f"{path}: {count(polygons, 'polygon')} stated, none of three corners or more, {_EXPECTED}; it is damaged"
        )
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < 2**31:
        raise MeshFileError(
            f"{path}: triangles name vertices {triangles.min()} to {triangles.max()}, expected 0 to {len(vertices) - 1}"
        )
    return vertices, triangles.astype(np.int32)


def _stated_vertices(path: Path, data: bytes) -> int | None:
    """The number of vertices in the header of a PLY or OFF, if it is found."""
    return _stated(path, data, b"vertex", 1)


def _stated_polygons(path: Path, data: bytes) -> int | None:
    """Likewise of polygons."""
    return _stated(path, data, b"face", 2)


def _stated(path: Path, data: bytes, element: bytes, place: int) -> int | None:
    head = data[: 1 << 16]
    if path.suffix.lower() == ".ply":
        found = re.search(rb"(?m)^element[ \t]+%b[ \t]+(\d+)" % element, head)
        return int(found[1]) if found else None
    found = re.match(rb"\s*\w*OFF\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)", head)
    return int(found[place]) if found else None
