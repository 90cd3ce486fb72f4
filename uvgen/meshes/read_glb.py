"""Reading the mesh of a binary glTF 2.0 file (``.glb``); `uvgen.meshes.glb` describes the format.

Vertices keep the file's order and number. The transforms of the scene's nodes are applied, so that vertices are where a
program shows them; files whose vertices something else moves (bones, morph targets, instances) are refused. The file is
not trusted: offsets, counts and the number of nodes are checked.
"""

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import MeshFileError
from uvgen.storage.names import brief
from uvgen.storage.npy import as_float64
from uvgen.storage.plain_json import parse_json
from uvgen.wording import count

_COMPONENTS: dict[int, np.dtype[Any]] = {
    number: np.dtype(name) for number, name in ((5121, "u1"), (5123, "<u2"), (5125, "<u4"), (5126, "<f4"))
}
_OF_POINTS = {**_COMPONENTS, 5120: np.dtype("i1"), 5122: np.dtype("<i2")}  # of KHR_mesh_quantization
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_MOST_NODES, _DEEPEST = 10_000, 100
_MOST_EXTENSIONS, _MOST_TARGETS = 256, 4096
_MOST_RATIO = 8  # bytes of the scene's vertices and corners per byte of the file: of quantized meshes, up to 7
_FREE_SCENE = 1 << 27  # of such, in any file: small meshes may be shown often
_MOST_STORED = 64  # bytes of all accessors per byte of the file
_MOST_OVERLAP = 16  # bytes of all buffer views, of which trimesh copies each, per byte of the file
_FREE_BYTES = 1 << 30  # of accessors, in any file: those of shape keys may be long, sparse and stored short
_PACKED = ("KHR_draco_mesh_compression", "EXT_meshopt_compression")
_HARMLESS = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "KHR_mesh_quantization")
_INSTANCES = "EXT_mesh_gpu_instancing"
_VISIBLE = "KHR_node_visibility"
_UNIT = 1e-2  # largest error of a quaternion's length
_LOOKS = ("images", "textures", "samplers", "materials", "animations", "skins", "cameras")


def read_glb(path: Path, data: bytes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices (n, 3) in the scene's frame, and triangles (m, 3), perhaps none, of a file's only mesh.

    Parameters
    ----------
    path : Path
        Named in messages.
    data : bytes
        The whole file.

    Raises
    ------
    MeshFileError
        If it is no such file, or has no mesh, more than one, or one of several pieces.
    """
    try:
        content, binary = _chunks(data)
        _check_extensions(content)
        (number, matrix) = _only_mesh(content)
        primitives = _item(content, "meshes", number)["primitives"]
        if len(primitives) != 1:
            raise ValueError(
                f"a mesh of {len(primitives)} pieces, whose vertices have no common numbers; save it with one material"
            )
        primitive = primitives[0]
        if primitive.get("mode", _TRIANGLES) != _TRIANGLES:
            raise ValueError(f"primitives of mode {brief(primitive['mode'])}, not triangles")
        if packed := _required(content, primitive):
            raise ValueError(f"packed by {packed[0]}; save it without compression")
        points = as_float64(_array(content, binary, primitive["attributes"]["POSITION"], "VEC3"))
        corners = np.arange(len(points)) if "indices" not in primitive else (
            _array(content, binary, primitive["indices"], "SCALAR")[:, 0]
        )  # fmt: skip
        if corners.dtype.kind == "f" or len(corners) % 3:
            raise ValueError(f"{count(len(corners), 'corner')} of triangles")
        with np.errstate(all="ignore"):
            vertices = points @ matrix[:3, :3].T + matrix[:3, 3]
        return vertices, corners.astype(np.int64).reshape(-1, 3)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, struct.error) as error:
        said = brief(error) if type(error) is ValueError else f"{type(error).__name__} {brief(error)}"
        raise MeshFileError(f"{path}: not a readable mesh ({said}), expected a .glb with one mesh") from error


def bare_glb(data: bytes) -> bytes:
    """The same file without materials and pictures, for readers that take memory for whatever a file states.

    Raises ValueError, LookupError, TypeError, AttributeError or struct.error if it is no such file, needs another
    one, is compressed, needs what those readers pass over, or states more nodes or numbers than the file can hold.
    """
    content, binary = _chunks(data)
    _check_extensions(content)
    _item(content, "scenes", content.get("scene", 0))
    for key in _LOOKS:
        content.pop(key, None)
    for node in content.get("nodes", []):
        node.pop("camera", None)  # trimesh passes over such a node, with its mesh and its transform
        node.pop("name", None)  # versions of it before 5 do so with the transform of one called "world"
    if any("uri" in buffer for buffer in content.get("buffers", [])):
        raise ValueError("numbers in another file; save it with them in it")
    sizes = [_stated_bytes(accessor, len(data)) for accessor in content.get("accessors", [])]
    _check_copied(content, sum(sizes), len(data))
    in_meshes = []
    for mesh in content.get("meshes", []):
        in_meshes.append(0)
        for primitive in mesh["primitives"]:
            primitive.pop("material", None)
            if packed := [name for name in _PACKED if name in primitive.get("extensions", {})]:
                raise ValueError(f"packed by {packed[0]}; save it without compression")
            used = [*primitive["attributes"].values(), *([primitive["indices"]] if "indices" in primitive else [])]
            in_meshes[-1] += sum(sizes[number] for number in used)
    total, visited = 0, 0
    waiting = [(number, 1) for scene in content.get("scenes", []) for number in scene.get("nodes", [])]
    while waiting:
        if visited + len(waiting) > _MOST_NODES:
            raise ValueError(f"more than {_MOST_NODES} nodes, or nodes in a circle")
        number, depth = waiting.pop()
        if depth > _DEEPEST:  # trimesh looks for each mesh's way from the root
            raise ValueError(f"nodes in a circle, or more than {_DEEPEST} below each other; save it without them")
        node = _item(content, "nodes", number)
        _check_node(content, node)
        visited += 1
        total += in_meshes[node["mesh"]] if "mesh" in node else 0
        waiting += [(child, depth + 1) for child in node.get("children", [])]
    if max(total, sum(in_meshes)) > max(_MOST_RATIO * len(data), _FREE_SCENE):
        raise ValueError(
            f"meshes of {max(total, sum(in_meshes))} bytes in a file of {len(data)}: pieces share vertices, or a mesh "
            "is shown many times; save it as one piece with one material, or as PLY"
        )
    _check_parents(content)
    for mesh in content.get("meshes", []):
        for primitive in mesh["primitives"]:
            _check_geometry(content, binary, primitive)
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def _check_parents(content: dict[str, Any]) -> None:
    """ValueError if the scene, which has no circles, shows a node twice: trimesh draws it at one place alone."""
    waiting, seen = list(_item(content, "scenes", content.get("scene", 0)).get("nodes", [])), set[int]()
    while waiting:
        number = waiting.pop()
        if number in seen:
            raise ValueError(f"node {number} has two parents")
        seen.add(number)
        waiting += content["nodes"][number].get("children", [])


def _check_extensions(content: dict[str, Any]) -> None:
    """ValueError if the file says that it cannot be read without an extension that may change its shape."""
    required = content.get("extensionsRequired", [])
    if not isinstance(required, list) or any(not isinstance(name, str) for name in required):
        raise ValueError(f"extensionsRequired of {brief(required)}")
    if len(required) > _MOST_EXTENSIONS:
        raise ValueError(f"it needs {len(required)} extensions, expected {_MOST_EXTENSIONS} at most")
    if unknown := [name for name in required if not name.startswith((*_HARMLESS, *_PACKED))]:
        raise ValueError(f"it needs {brief(unknown[0])}, which is not known; save it without extensions")


def _required(content: dict[str, Any], part: dict[str, Any]) -> list[str]:
    """Extensions without which a part of the file cannot be read: what else it has there may be anything."""
    return [name for name in content.get("extensionsRequired", []) if name in part.get("extensions", {})]


def _check_geometry(content: dict[str, Any], binary: bytes, primitive: dict[str, Any]) -> None:
    """ValueError if a piece's points and corners are not those that a reader without the specification finds."""
    mode = primitive.get("mode", _TRIANGLES)
    if mode == _FAN:
        raise ValueError("fans of triangles; save it with plain triangles")
    if mode not in (_TRIANGLES, _STRIP):
        return  # points and lines, which are no surface
    points = _values(content, binary, primitive["attributes"]["POSITION"], "VEC3", _OF_POINTS)
    if "indices" in primitive:
        corners = _values(content, binary, primitive["indices"], "SCALAR", _COMPONENTS)
        if corners.dtype.kind == "f" or corners.max(initial=0) >= max(len(points), 1):
            raise ValueError(f"corners of triangles up to {corners.max(initial=0)} of {count(len(points), 'point')}")


def _stated_bytes(accessor: dict[str, Any], most: int) -> int:
    """Bytes of an accessor's numbers, which lie in a file of `most` bytes; ValueError if they cannot."""
    count = accessor["count"]
    if type(count) is not int or not 0 <= count <= most:
        raise ValueError(f"{brief(count)} numbers in a file of {most} bytes")
    return count * (64 if str(accessor.get("type")).startswith("MAT") else 16)


def _check_copied(content: dict[str, Any], in_accessors: int, size: int) -> None:
    """ValueError if buffer views or accessors, which trimesh copies whether or not a mesh uses them, overlap so much
    that they hold many times the file's size."""
    lengths = [view["byteLength"] for view in content.get("bufferViews", [])]
    if wrong := [length for length in lengths if type(length) is not int or not 0 <= length <= size]:
        raise ValueError(f"a buffer view of {brief(wrong[0])} bytes in a file of {size}")
    if sum(lengths) > _MOST_OVERLAP * size or in_accessors > max(_MOST_STORED * size, _FREE_BYTES):
        raise ValueError(
            f"buffer views of {sum(lengths)} bytes and accessors of {in_accessors} in a file of {size}, expected such "
            "as do not overlap"
        )


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON chunk, parsed, and the binary chunk."""
    magic, version, length = struct.unpack_from("<4sII", data)
    if magic != b"glTF" or version != 2 or length != len(data):
        raise ValueError(f"version {version}, {len(data)} bytes of {length}")
    size, kind = struct.unpack_from("<I4s", data, 12)
    if kind != b"JSON" or 20 + size > length:
        raise ValueError("no JSON chunk")
    content = parse_json(data[20 : 20 + size].decode())
    if not isinstance(content, dict):
        raise ValueError("no description")
    _check_version(content.get("asset"))
    start = 20 + size
    if start == length:
        return content, b""
    size, kind = struct.unpack_from("<I4s", data, start)
    if kind != b"BIN\0" or start + 8 + size > length:
        raise ValueError("no binary chunk")
    _check_buffer(content, size)
    return content, data[start + 8 : start + 8 + size]


def _check_version(asset: Any) -> None:
    """ValueError unless the file is of a version 2, and says so."""
    version = asset.get("version") if isinstance(asset, dict) else None
    least = asset.get("minVersion", "2.0") if isinstance(asset, dict) else None
    for stated in (version, least):
        if not isinstance(stated, str) or not re.fullmatch(r"2\.\d+", stated, re.ASCII):
            raise ValueError(f"of glTF's version {brief(stated)}, expected 2.0")


def _check_buffer(content: dict[str, Any], size: int) -> None:
    """ValueError if the file's own buffer is not as long as its binary chunk, which is filled up to a multiple of 4."""
    buffers = content.get("buffers", [])
    if not isinstance(buffers, list) or not all(isinstance(buffer, dict) for buffer in buffers):
        raise ValueError(f"buffers of {brief(buffers)}")
    if not buffers or "uri" in buffers[0]:
        return
    stated = buffers[0].get("byteLength")
    if type(stated) is not int or not size - 4 < stated <= size:
        raise ValueError(f"a buffer of {brief(stated)} bytes in a chunk of {size}; is it cut short or damaged?")


def _item(content: dict[str, Any], key: str, number: Any) -> dict[str, Any]:
    items = content[key]
    if type(number) is not int or not 0 <= number < len(items):
        raise ValueError(f"{key} has no number {brief(number)}")
    item = items[number]
    if not isinstance(item, dict):
        raise ValueError(f"{key} holds {brief(item)}")
    return item


def _only_mesh(content: dict[str, Any]) -> tuple[int, NDArray[np.float64]]:
    """The number of the scene's only mesh, and its transform to the scene (4, 4)."""
    scene = _item(content, "scenes", content.get("scene", 0))
    found, visited = list[tuple[int, NDArray[np.float64]]](), 0
    waiting = [(number, np.eye(4)) for number in scene.get("nodes", [])]
    while waiting:
        if visited + len(waiting) > _MOST_NODES:  # those that wait too: a node may list itself many times
            raise ValueError(f"more than {_MOST_NODES} nodes, or nodes in a circle")
        number, above = waiting.pop()
        visited += 1
        node = _item(content, "nodes", number)
        _check_node(content, node)
        with np.errstate(all="ignore"):  # vertices that are not finite are refused later
            matrix = above @ _node_matrix(node)
        if "mesh" in node:
            found.append((node["mesh"], matrix))
        waiting += [(child, matrix) for child in node.get("children", [])]
    if len(found) != 1:
        raise ValueError(f"{count(len(found), 'mesh')} in its scene; save the face alone")
    return found[0]


def _check_node(content: dict[str, Any], node: dict[str, Any]) -> None:
    """ValueError if something besides its transform moves the vertices of a node's mesh, or it has two transforms."""
    if "matrix" in node and (given := [key for key in ("translation", "rotation", "scale") if key in node]):
        raise ValueError(f"a node with both matrix and {given[0]}")
    _node_matrix(node)
    if node.get("extensions", {}).get(_VISIBLE, {}).get("visible", True) is not True:
        raise ValueError(f"a hidden node ({_VISIBLE}); save what is shown alone")
    if "mesh" not in node:
        return
    if "skin" in node:
        raise ValueError("a mesh that bones move (a skin); apply the pose and save it without them")
    if _INSTANCES in node.get("extensions", {}):
        raise ValueError(f"instances of a mesh ({_INSTANCES}); save the face once")
    mesh = _item(content, "meshes", node["mesh"])
    weights = node.get("weights", mesh.get("weights", []))
    if not isinstance(weights, list) or any(type(weight) not in (int, float) for weight in weights):
        raise ValueError(f"weights of morph targets of {brief(weights)}")
    if len(weights) > _MOST_TARGETS:  # each node that shows the mesh has them
        raise ValueError(f"{len(weights)} weights of morph targets, expected {_MOST_TARGETS} at most")
    if any(weights) and any("targets" in primitive for primitive in mesh["primitives"]):
        raise ValueError("a mesh that is shown with morph targets (weights other than 0); apply them and save it anew")


def _node_matrix(node: dict[str, Any]) -> NDArray[np.float64]:
    def numbers(key: str, default: list[float], n: int) -> NDArray[np.float64]:
        given = node.get(key, default)
        if not isinstance(given, list) or any(type(value) not in (int, float) for value in given):  # texts, true
            raise ValueError(f"a node's {key} of {brief(given)}")
        values = np.array(given, np.float64)
        if values.shape != (n,) or not np.isfinite(values).all():
            raise ValueError(f"a node's {key} of {brief(node[key])}")
        return values

    if "matrix" in node:
        result: NDArray[np.float64] = numbers("matrix", [], 16).reshape(4, 4).T
        if not np.allclose(result[3], [0, 0, 0, 1], rtol=0, atol=1e-6):
            raise ValueError(f"a node's matrix with a last row of {result[3].tolist()}, expected [0, 0, 0, 1]")
        return result
    quaternion = numbers("rotation", [0, 0, 0, 1], 4)
    with np.errstate(over="ignore"):
        length = float(np.linalg.norm(quaternion))
    if not abs(length - 1) <= _UNIT:
        raise ValueError(f"a node's rotation of length {length:.4g}, expected 1")
    x, y, z, w = quaternion / length
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    result = np.eye(4)
    result[:3, :3] = turn * numbers("scale", [1, 1, 1], 3)
    result[:3, 3] = numbers("translation", [0, 0, 0], 3)
    return result


def _array(content: dict[str, Any], binary: bytes, number: Any, kind: str) -> NDArray[Any]:
    """The values (n, k) of an accessor; points are floats."""
    values = _values(content, binary, number, kind, _COMPONENTS)
    if kind == "VEC3" and values.dtype.kind != "f":
        raise ValueError(f"vertices of type {content['accessors'][number]['componentType']}, expected floats")
    return values.copy()


def _values(
    content: dict[str, Any], binary: bytes, number: Any, kind: str, components: dict[int, np.dtype[Any]]
) -> NDArray[Any]:
    """A view (n, k) of an accessor's values, which lie in the file as they are."""
    accessor = _item(content, "accessors", number)
    if accessor["type"] != kind or "sparse" in accessor or accessor.get("normalized"):
        raise ValueError(f"an accessor of type {brief(accessor['type'])}, or sparse, or normalized")
    view = _item(content, "bufferViews", accessor["bufferView"])
    if view.get("buffer", 0) != 0 or "uri" in _item(content, "buffers", 0):
        raise ValueError("numbers in another file")
    if packed := _required(content, view):
        raise ValueError(f"packed by {packed[0]}; save it without compression")
    if type(accessor["componentType"]) is not int or accessor["componentType"] not in components:
        raise ValueError(f"numbers of type {brief(accessor['componentType'])}")
    dtype, columns = components[accessor["componentType"]], 3 if kind == "VEC3" else 1
    row = columns * dtype.itemsize
    count, stride = accessor["count"], view.get("byteStride", row)
    begin, within = view.get("byteOffset", 0), accessor.get("byteOffset", 0)
    end = view.get("byteLength", len(binary))
    sizes = (count, stride, begin, within, end)
    if any(type(value) is not int or not 0 <= value <= len(binary) for value in sizes) or stride < row:
        raise ValueError("an accessor beyond the file's end")
    start = begin + within
    if any(value % dtype.itemsize for value in (within, start, stride)):
        raise ValueError(f"numbers of {dtype.itemsize} bytes at byte {start}, {stride} apart, expected multiples")
    if count and start + (count - 1) * stride + row > len(binary):
        raise ValueError("an accessor beyond the file's end")
    if count and within + (count - 1) * stride + row > end:  # else it takes numbers that belong to another
        raise ValueError("an accessor beyond the end of its buffer view")
    if not count:
        return np.empty((0, columns), dtype)
    return np.ndarray((count, columns), dtype, binary, start, (stride, dtype.itemsize))
