"""Writing meshes as Wavefront OBJ and Stanford PLY."""

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import (
    as_array,
    bad_index,
    check_color_range,
    check_finite,
    choice,
    real_array,
    shown,
    triangle_indices,
)
from uvgen.errors import DatasetError, InputError, MeshFileError
from uvgen.storage.files import replaced_on_success
from uvgen.wording import count

_FRAMES = ("image", "raw")


def write_obj(
    path: str | os.PathLike[str],
    vertices: np.ndarray,
    triangles: np.ndarray,
    *,
    colors: np.ndarray | None = None,
    uv: np.ndarray | None = None,
    texture: np.ndarray | None = None,
    uv_triangles: np.ndarray | None = None,
    frame: str = "image",
) -> None:
    """Write a mesh as Wavefront OBJ, with its texture image and material beside it.

    Parameters
    ----------
    path : path
        Ends in .obj. A texture goes to the same name with .png, its material to .mtl; blanks in these two names are
        replaced by underscores, since many readers end a name at a blank. Other names are written in UTF-8.
    vertices : (n, 3) array of real numbers
    triangles : (m, 3) array of integers, 0-based
    colors : (n, 3) array, optional
        Colors of vertices: uint8, or floats in 0..255 (not 0..1). Written as floats after the coordinates, which most
        programs understand. Not together with a texture.
    uv : (k, 2) array of real numbers, optional
        u right, v up, in [0, 1].
    texture : (h, w, 3) array, optional
        uint8, or floats in 0..255 (not 0..1). Needs `uv`.
    uv_triangles : (m, 3) array of integers, optional
        Rows of `uv` at the corners, if they are not those of the vertices.
    frame : {"image", "raw"}
        "image": the vertices are in the image frame (y down); y is negated and the corners' order is turned,
        so that other programs show the face upright with its outside out. "raw": nothing is changed.

    Raises
    ------
    InputError
        Wrong shapes, dtypes or values; nothing is written then.
    MeshFileError
        The file cannot be written.
    """
    files = obj_files(
        path, vertices, triangles, colors=colors, uv=uv, texture=texture, uv_triangles=uv_triangles, frame=frame
    )
    for file, data in files.items():
        write_file(file, data)


def obj_files(
    path: str | os.PathLike[str],
    vertices: np.ndarray,
    triangles: np.ndarray,
    *,
    colors: np.ndarray | None = None,
    uv: np.ndarray | None = None,
    texture: np.ndarray | None = None,
    uv_triangles: np.ndarray | None = None,
    frame: str = "image",
) -> dict[Path, bytes]:
    """What `write_obj` writes; the mesh last."""
    vertices, indices = checked_mesh(vertices, triangles, frame)
    target = checked_path(path, ".obj")
    files: dict[Path, bytes] = {}
    lines = ["# uvgen"]
    if texture is not None:
        if uv is None or colors is not None:
            found = "no uv" if uv is None else "colors"
            raise InputError(f"texture: given with {found}, expected uv and no colors beside it")
        texture = color_bytes(texture, "texture", (-1, -1, 3))
        lines += [f"mtllib {_beside(target, '.mtl').name}", "usemtl face"]
    rows = vertices if colors is None else np.hstack([vertices, _colors_of(colors, vertices) / 255.0])
    lines += ["v " + " ".join(format(x, ".9g") for x in row) for row in rows.tolist()]
    corners = [indices + 1]
    if uv is not None:
        uv = real_array(uv, "uv", (None if uv_triangles is not None else len(vertices), 2))
        check_finite(uv, "uv")
        lines += ["vt " + " ".join(format(x, ".9g") for x in row) for row in uv.tolist()]
        corners.append((indices if uv_triangles is None else _faces(uv_triangles, len(uv), frame)) + 1)
        if len(corners[1]) != len(indices):
            raise InputError(
                f"uv_triangles: {count(len(corners[1]), 'triangle')}, expected {len(indices)}: one per triangle"
            )
    elif uv_triangles is not None:
        raise InputError("uv_triangles: given without uv, expected the uv that they index")
    for row in np.stack(corners, axis=-1).tolist():
        lines.append("f " + " ".join("/".join(map(str, corner)) for corner in row))
    if texture is not None:
        image = _beside(target, ".png")
        files[image] = png_bytes(texture)
        material = f"newmtl face\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {image.name}\n"
        files[_beside(target, ".mtl")] = material.encode("utf-8", "surrogateescape")
    return files | {target: ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")}


def write_ply(
    path: str | os.PathLike[str],
    vertices: np.ndarray,
    triangles: np.ndarray,
    *,
    colors: np.ndarray | None = None,
    uv: np.ndarray | None = None,
    texture: np.ndarray | None = None,
    frame: str = "image",
) -> None:
    """Write a mesh as binary little-endian PLY.

    Parameters are those of `write_obj`. `uv` (n, 2) becomes the vertex properties s and t, and the texture a
    PNG beside the file, named as by `write_obj`, in a TextureFile comment; programs differ in whether they read it.

    Raises
    ------
    InputError
        Wrong shapes, dtypes or values; nothing is written then.
    MeshFileError
        The file cannot be written.
    """
    files = ply_files(path, vertices, triangles, colors=colors, uv=uv, texture=texture, frame=frame)
    for file, data in files.items():
        write_file(file, data)


def ply_files(
    path: str | os.PathLike[str],
    vertices: np.ndarray,
    triangles: np.ndarray,
    *,
    colors: np.ndarray | None = None,
    uv: np.ndarray | None = None,
    texture: np.ndarray | None = None,
    frame: str = "image",
) -> dict[Path, bytes]:
    """What `write_ply` writes; the mesh last."""
    vertices, indices = checked_mesh(vertices, triangles, frame)
    target = checked_path(path, ".ply")
    files: dict[Path, bytes] = {}
    fields = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    columns = list(vertices.T)
    header = ["ply", "format binary_little_endian 1.0", "comment uvgen"]
    if texture is not None:
        if uv is None:
            raise InputError("texture: given with no uv, expected uv beside it")
        texture = color_bytes(texture, "texture", (-1, -1, 3))
        header.append(f"comment TextureFile {_beside(target, '.png').name}")
    if uv is not None:
        fields += [("s", "<f4"), ("t", "<f4")]
        uv = real_array(uv, "uv", (len(vertices), 2))
        check_finite(uv, "uv")
        columns += list(uv.T)
    if colors is not None:
        fields += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
        columns += list(_colors_of(colors, vertices).T)
    table = np.empty(len(vertices), np.dtype(fields))
    for (name, _), column in zip(fields, columns, strict=True):
        table[name] = column
    faces = np.empty(len(indices), np.dtype([("n", "u1"), ("corners", "<i4", (3,))]))
    faces["n"], faces["corners"] = 3, indices
    header.append(f"element vertex {len(table)}")
    header += [f"property {'uchar' if code == 'u1' else 'float'} {name}" for name, code in fields]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    if texture is not None:
        files[_beside(target, ".png")] = png_bytes(texture)
    head = ("\n".join(header) + "\n").encode("utf-8", "surrogateescape")
    return files | {target: head + table.tobytes() + faces.tobytes()}


def checked_mesh(
    vertices: ArrayLike, triangles: ArrayLike, frame: str
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Checked vertices (n, 3) and triangles (m, 3) as they are to be written."""
    choice(frame, "frame", _FRAMES)
    vertices = real_array(vertices, "vertices", (None, 3))
    check_finite(vertices, "vertices")
    indices = _faces(triangles, len(vertices), frame)
    return (vertices * np.array([1, -1, 1], np.float32) if frame == "image" else vertices), indices


def _faces(triangles: ArrayLike, n_rows: int, frame: str) -> NDArray[np.int32]:
    """Checked triangles (m, 3), corners turned for the image frame."""
    indices = triangle_indices(triangles, n_rows).reshape(-1, 3).view(np.int32)
    if indices.size and not (indices.min() >= 0 and indices.max() < n_rows):
        raise bad_index(triangles, n_rows)
    return indices[:, ::-1] if frame == "image" else indices


def color_bytes(value: ArrayLike, name: str, shape: Sequence[Any]) -> NDArray[np.uint8]:
    """Colors in 0..255 as uint8, rounded and cut."""
    check_color_range(as_array(value, name), name)
    colors = real_array(value, name, shape)
    check_finite(colors, name)
    return np.clip(np.rint(colors), 0, 255).astype(np.uint8)


def _colors_of(colors: ArrayLike, vertices: NDArray[np.float32]) -> NDArray[np.uint8]:
    return color_bytes(colors, "colors", (len(vertices), 3))


def checked_path(path: str | os.PathLike[str], suffix: str) -> Path:
    """A path, as Path; InputError if it is none or does not end in this suffix."""
    try:
        path = Path(os.fspath(path))
    except TypeError:
        raise InputError(f"path: {shown(path)}, expected a path") from None
    if path.suffix.lower() != suffix:
        raise InputError(f"path: {str(path)!r}, expected a name that ends in {suffix}")
    return path


def _beside(target: Path, suffix: str) -> Path:
    """The name of a texture or material: without what ends or changes a name in other programs' readers."""
    return target.with_name(re.sub(r"^-|[\s#]", "_", target.stem) + suffix)


def write_file(path: Path, data: bytes) -> None:
    """Write a file of bytes, whole or not at all; MeshFileError if that cannot be done."""
    if not path.parent.is_dir():
        raise MeshFileError(f"{path}: its folder is missing; make it first")
    try:
        with replaced_on_success(path, flush=False) as temporary:
            temporary.write_bytes(data)
    except DatasetError as error:
        raise MeshFileError(str(error)) from error


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """An 8-bit RGB image (h, w, 3) as PNG. This room may not use `uvgen.images.codecs`."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    return data.getvalue()
