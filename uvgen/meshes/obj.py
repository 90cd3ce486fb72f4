"""Parts of an OBJ that `uvgen.meshes.read` passes over, or reads more slowly than a folder of many meshes allows."""

import os
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import MeshFileError
from uvgen.meshes.read import POLYGONS, are_plain_numbers, index_of, joined_lines, read_mesh
from uvgen.storage.names import brief, os_reason
from uvgen.storage.reading import read_file
from uvgen.storage.text import decode_text, number_of
from uvgen.wording import count

_MOST_BYTES = 1 << 30
_POLYGONS = tuple(f"{key}{blank}" for key in POLYGONS for blank in " \t")


def read_textured_obj(
    path: str | os.PathLike[str],
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]]:
    """An OBJ with the texture coordinates of its corners.

    Parameters
    ----------
    path : path-like
        ``f 1/1 2/2 3/3``: each corner names one.

    Returns
    -------
    vertices, triangles
        As `uvgen.meshes.read.read_mesh`.
    corner_uv : (m, 3, 2) float64
        u right, v up, in the file's own range.

    Raises
    ------
    MeshFileError
        If the file is missing, damaged, no OBJ, or a corner has no texture coordinates.
    """
    path = Path(path)
    vertices, triangles = read_mesh(path)
    if path.suffix.lower() != ".obj":
        raise MeshFileError(f"{path}: a name that ends in {path.suffix}, expected an OBJ, whose corners have UV")
    texture: list[tuple[float, float]] = []
    corners: list[tuple[int, int, int]] = []
    for line in _text(path).split("\n"):
        key, *words = line.split("#", 1)[0].split() or [""]
        try:
            if key == "vt":
                texture.append((number_of(words[0]), number_of(words[1])))
            elif key in POLYGONS:
                named = [index_of(word.split("/")[1]) for word in words]
                named = [index - 1 if index >= 0 else len(texture) + index for index in named]  # 0 is none
                corners += [(named[0], b, c) for b, c in pairwise(named[1:])]
        except (ValueError, IndexError, OverflowError) as error:
            shown = brief(line.strip())[:40]
            raise MeshFileError(f"{path}: {shown!r} names no texture coordinates, expected 1/1 2/2 3/3") from error
    if not all(0 <= index < len(texture) for corner in corners for index in corner) or len(corners) != len(triangles):
        raise MeshFileError(f"{path}: faces name texture coordinates that do not exist, expected 1 to {len(texture)}")
    found = np.array(texture, np.float64).reshape(-1, 2)[np.array(corners, np.int64).reshape(-1, 3)]
    if not (np.abs(found) < 1e6).all():
        raise MeshFileError(f"{path}: texture coordinates that are NaN, infinite or very large, expected 0 to 1 or so")
    return vertices, triangles, found


def read_obj_vertices(path: str | os.PathLike[str]) -> tuple[NDArray[np.float64], str]:
    """The vertices of an OBJ, and its polygons as text, in a tenth of the time that `read_mesh` takes for all of it.

    Parameters
    ----------
    path : path-like
        An OBJ.

    Returns
    -------
    vertices : (n, 3) float64
        In the file's order; one or more, finite.
    polygons : str
        The lines of its polygons, without texture coordinates and normals. They are not looked at, but meshes in which
        they are the same have the same triangles.

    Raises
    ------
    MeshFileError
        If the file is missing, damaged, or has no vertices.
    """
    path = Path(path)
    try:
        every = re.sub(r"(?m)^[ \t]+", "", _text(path)).split("\n")
    except OSError as error:
        raise MeshFileError(f"{path}: cannot be read ({os_reason(error)}), expected an OBJ mesh") from error
    except ValueError as error:
        raise MeshFileError(f"{path}: not a readable mesh: {brief(error)}, expected an OBJ mesh") from error
    lines = [line for line in every if line.startswith(("v ", "v\t"))]
    words = [word for line in lines for word in line.split()[1:4]]
    if not lines or len(words) != 3 * len(lines):
        raise MeshFileError(
            f"{path}: {count(len(lines), 'vertex')} of {count(len(words), 'number')}, expected some, of three each"
        )
    read = float if are_plain_numbers(lines) else number_of  # a comment may follow the numbers
    try:
        vertices = np.fromiter(map(read, words), np.float64, len(words)).reshape(-1, 3)
    except ValueError as error:
        raise MeshFileError(f"{path}: not a readable mesh: {brief(error)}, expected 3 numbers per vertex") from error
    if not np.isfinite(vertices).all():
        raise MeshFileError(
            f"{path}: vertex {np.argwhere(~np.isfinite(vertices))[0][0]} is NaN or infinite, expected finite numbers"
        )
    polygons = "\n".join(line.rstrip() for line in every if line.startswith(_POLYGONS))
    return vertices, re.sub(r"/\S*", "", polygons)


def _text(path: Path) -> str:
    return joined_lines(decode_text(read_file(path, _MOST_BYTES), strict=False))
