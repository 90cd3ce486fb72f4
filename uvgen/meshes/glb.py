"""Writing meshes as binary glTF 2.0 (``.glb``).

The file is a header (``glTF``, version 2, length) and two chunks, each with its length and type: ``JSON``, which
describes the scene, and ``BIN``, the arrays and the texture as PNG, which the JSON's buffer views cut out. All numbers
are little-endian, and chunks and views begin at multiples of 4 bytes. The format's frame is right-handed with y up and
the viewer on the side of +z, its unit the meter; texture coordinates begin at the upper left.
"""

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import check_finite, number_in, real_array, true_or_false
from uvgen.errors import InputError
from uvgen.meshes.files import checked_mesh, checked_path, color_bytes, png_bytes, write_file
from uvgen.wording import count

_FLOAT32, _UINT32 = 5126, 5125
_VERTEX_DATA, _INDICES = 34962, 34963  # what a buffer view is for
_LINEAR, _MIPMAPS, _CLAMP = 9729, 9987, 33071


def write_glb(
    path: str | os.PathLike[str],
    vertices: np.ndarray,
    triangles: np.ndarray,
    *,
    uv: np.ndarray | None = None,
    texture: np.ndarray | None = None,
    normals: np.ndarray | None = None,
    frame: str = "image",
    meters_per_unit: float = 1.0,
    centered: bool = False,
) -> None:
    """Write a mesh as binary glTF 2.0, one file with its texture in it.

    Parameters
    ----------
    path : path
        Ends in .glb.
    vertices : (n, 3) array of real numbers
        One or more; stored as float32, exactly as they are except for `frame`.
    triangles : (m, 3) array of integers, 0-based
        One or more.
    uv : (n, 2) array of real numbers, optional
        u right, v up: pixel column u w - 0.5, row (1 - v) h - 0.5, the border's beyond.
    texture : (h, w, 3) array, optional
        uint8, or floats in 0..255 (not 0..1). Needs `uv`. Shown as it is, without light, if a program knows
        ``KHR_materials_unlit``; as a matte surface elsewhere.
    normals : (n, 3) array of real numbers, optional
        Outward, any length, in the frame of the vertices. Without them, programs show flat triangles.
    frame : {"image", "raw"}
        "image": the vertices are in the image frame (y down); y is negated and the corners' order is turned, as the
        format wants it. "raw": nothing is changed.
    meters_per_unit : float
        Above 0. The scale of the scene's node, not of the stored vertices.
    centered : bool
        Whether the node moves the middle of the mesh's box to the origin.

    Raises
    ------
    InputError
        Wrong shapes, dtypes or values; nothing is written then.
    MeshFileError
        The file cannot be written.
    """
    files = glb_files(
        path, vertices, triangles, uv=uv, texture=texture, normals=normals, frame=frame,
        meters_per_unit=meters_per_unit, centered=centered,
    )  # fmt: skip
    for file, data in files.items():
        write_file(file, data)


def glb_files(
    path: str | os.PathLike[str],
    vertices: np.ndarray,
    triangles: np.ndarray,
    *,
    uv: np.ndarray | None = None,
    texture: np.ndarray | None = None,
    normals: np.ndarray | None = None,
    frame: str = "image",
    meters_per_unit: float = 1.0,
    centered: bool = False,
) -> dict[Path, bytes]:
    """What `write_glb` writes: one file."""
    vertices, indices = checked_mesh(vertices, triangles, frame)
    target = checked_path(path, ".glb")
    scale = float(number_in(meters_per_unit, "meters_per_unit", 0))
    if not scale > 0:
        raise InputError(f"meters_per_unit: {scale}, expected a number above 0")
    if not len(vertices) or not len(indices):
        found = f"{len(indices)} over {count(len(vertices), 'vertex')}"
        raise InputError(f"triangles: {found}, expected one or more: the format has no empty meshes")
    parts = _Parts()
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    bounds = {"min": low.tolist(), "max": high.tolist()}
    attributes = {"POSITION": parts.accessor(vertices.astype("<f4"), "VEC3", _FLOAT32, _VERTEX_DATA, **bounds)}
    if normals is not None:
        attributes["NORMAL"] = parts.accessor(_unit(normals, len(vertices), frame), "VEC3", _FLOAT32, _VERTEX_DATA)
    if uv is not None:
        uv = real_array(uv, "uv", (len(vertices), 2))
        check_finite(uv, "uv")
        down = (uv * [1, -1] + [0, 1]).astype("<f4")
        attributes["TEXCOORD_0"] = parts.accessor(down, "VEC2", _FLOAT32, _VERTEX_DATA)
    corners = parts.accessor(indices.astype("<u4").reshape(-1), "SCALAR", _UINT32, _INDICES)
    primitive = {"attributes": attributes, "indices": corners, "mode": 4}
    node: dict[str, Any] = {"mesh": 0, "scale": [scale] * 3}
    if true_or_false(centered, "centered"):
        middle = (low.astype(np.float64) + high) / 2
        node["translation"] = [float(-scale * x) for x in middle]
    content: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "uvgen"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [node],
        "meshes": [{"primitives": [primitive]}],
    }
    if texture is not None:
        if uv is None:
            raise InputError("texture: given with no uv, expected uv beside it")
        image = png_bytes(color_bytes(texture, "texture", (-1, -1, 3)))
        content["images"] = [{"mimeType": "image/png", "bufferView": parts.view(image)}]
        content["samplers"] = [{"magFilter": _LINEAR, "minFilter": _MIPMAPS, "wrapS": _CLAMP, "wrapT": _CLAMP}]
        content["textures"] = [{"sampler": 0, "source": 0}]
        surface = {"baseColorTexture": {"index": 0}, "metallicFactor": 0, "roughnessFactor": 1}
        content["materials"] = [{"pbrMetallicRoughness": surface, "extensions": {"KHR_materials_unlit": {}}}]
        content["extensionsUsed"] = ["KHR_materials_unlit"]
        primitive["material"] = 0
    content |= {
        "accessors": parts.accessors,
        "bufferViews": parts.views,
        "buffers": [{"byteLength": len(parts.data)}],
    }
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(parts.data), b"BIN\0") + parts.data
    return {target: struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks}


class _Parts:
    """The binary chunk as it grows, and what describes its parts."""

    def __init__(self) -> None:
        self.data, self.views, self.accessors = bytearray(), list[dict[str, Any]](), list[dict[str, Any]]()

    def view(self, part: bytes, **more: Any) -> int:
        """Add bytes; the number of their buffer view."""
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(part), **more})
        self.data += part + bytes(-len(part) % 4)
        return len(self.views) - 1

    def accessor(self, array: np.ndarray, kind: str, component: int, purpose: int, **more: Any) -> int:
        """Add an array; the number of its accessor."""
        view = self.view(array.tobytes(), target=purpose)
        described = {"bufferView": view, "componentType": component, "count": len(array), "type": kind}
        self.accessors.append({**described, **more})
        return len(self.accessors) - 1


def _unit(normals: ArrayLike, n: int, frame: str) -> NDArray[np.float32]:
    """Normals (n, 3) of length 1, as the format wants all of them; toward the viewer if there is none."""
    normals = real_array(normals, "normals", (n, 3))
    check_finite(normals, "normals")
    if frame == "image":
        normals = normals * np.array([1, -1, 1], np.float32)
    length = np.linalg.norm(normals.astype(np.float64), axis=1, keepdims=True)
    return np.where(length > 0, normals / np.where(length > 0, length, 1), [0, 0, 1]).astype("<f4")
