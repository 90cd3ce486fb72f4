"""Registered meshes from files: vertices in their order, whichever way triangles are listed; bad files by name."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen.errors import MeshFileError
from uvgen.meshes.files import write_obj, write_ply
from uvgen.meshes.glb import write_glb
from uvgen.meshes.registered import Topology, read_registered
from uvgen.meshes.scans import read_scan

VERTICES = np.array([[0, 0, 0], [2, 0, 0.5], [2, 1, 0], [0, 1, 0.25], [1, 3, 0.125]])
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3], [3, 2, 4]], np.int32)
MOUTH = np.array([[0, 3, 4]], np.int32)
TOPOLOGY = Topology.of_mesh("toy", 5, TRIANGLES, MOUTH)


def write(path: Path, vertices: NDArray[Any] = VERTICES, triangles: NDArray[Any] = TRIANGLES) -> Path:
    """In the format that the name says."""
    if path.suffix == ".npy":
        np.save(path, vertices)
    elif path.suffix == ".off":
        rows = [" ".join(map(str, row)) for row in vertices.tolist()]
        faces = [" ".join(map(str, [3, *row])) for row in triangles.tolist()]
        path.write_text("\n".join(["OFF", f"{len(rows)} {len(faces)} 0", *rows, *faces, ""]))
    else:
        {".obj": write_obj, ".ply": write_ply, ".glb": write_glb}[path.suffix](path, vertices, triangles, frame="raw")
    return path


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".off", ".glb", ".npy"])
def test_read_registered_gives_the_vertices_in_their_order(tmp_path: Path, suffix: str) -> None:
    if suffix in (".ply", ".off"):
        pytest.importorskip("trimesh")
    np.testing.assert_array_equal(read_registered(write(tmp_path / f"a{suffix}"), TOPOLOGY), VERTICES)


@pytest.mark.parametrize(
    "triangles",
    [
        TRIANGLES[::-1], TRIANGLES[:, ::-1], TRIANGLES[:, [1, 2, 0]], np.r_[TRIANGLES, MOUTH],
        np.r_[TRIANGLES, TRIANGLES[:1]],
    ],
)  # fmt: skip
def test_read_registered_takes_triangles_in_any_order_and_with_the_mouth(
    tmp_path: Path, triangles: NDArray[Any]
) -> None:
    found = read_registered(write(tmp_path / "a.obj", triangles=triangles), TOPOLOGY)
    np.testing.assert_array_equal(found, VERTICES)


def test_read_registered_takes_vertices_without_triangles(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("".join(f"v {x} {y} {z}\n" for x, y, z in VERTICES.tolist()))
    np.testing.assert_array_equal(read_registered(tmp_path / "a.obj", TOPOLOGY), VERTICES)


@pytest.mark.parametrize("suffix", [".obj", ".glb"])
@pytest.mark.parametrize(
    ("vertices", "triangles", "message"),
    [
        (VERTICES[:4], TRIANGLES[:2], "4 vertices, toy has 5; register the mesh to it"),
        (
            VERTICES,
            np.array([[0, 1, 2], [0, 2, 4], [3, 2, 4]]),
            r"1 of 3 triangles is not among toy's, first number 1",
        ),
        (VERTICES, TRIANGLES[:2], "lacks 1 of toy's 3 triangles, expected all"),
    ],
)
def test_read_registered_of_another_topology_says_what_differs(
    tmp_path: Path, suffix: str, vertices: NDArray[Any], triangles: NDArray[Any], message: str
) -> None:
    with pytest.raises(MeshFileError, match=rf"a\{suffix}: {message}"):
        read_registered(write(tmp_path / f"a{suffix}", vertices, triangles), TOPOLOGY)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (VERTICES[:, :2], r"float64 \(5, 2\), expected vertices \(5, 3\)"),
        (VERTICES[None], r"float64 \(1, 5, 3\), expected"),
        (VERTICES > 0, r"bool \(5, 3\), expected"),
        (np.where(VERTICES == 3, np.nan, VERTICES), "vertex 4 is NaN, infinite or too large"),
        (VERTICES[:3], "3 vertices, toy has 5"),
        (VERTICES.astype(object), "expected real numbers"),
    ],
)
def test_read_registered_of_a_bad_array_says_what_it_is(tmp_path: Path, values: Any, message: str) -> None:
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    with pytest.raises(MeshFileError, match=rf"a\.npy: .*{message}"):
        read_registered(tmp_path / "a.npy", TOPOLOGY)


def test_read_registered_of_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("a.glb", "a.npy", "a.obj"):
        with pytest.raises(MeshFileError, match=name):
            read_registered(tmp_path / name, TOPOLOGY)


def edited(path: Path, change: Any) -> Path:
    """A GLB whose description `change` has changed."""
    data = write(path).read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    content = json.loads(data[20 : 20 + size])
    change(content)
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    rest = struct.pack("<I4s", len(text), b"JSON") + text + data[20 + size :]
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(rest)) + rest)
    return path


def test_read_glb_moves_vertices_as_its_nodes_say(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["nodes"] = [
            {"children": [1], "matrix": [0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 10, 20, 30, 1]},  # columns: x becomes y
            {"mesh": 0, "rotation": [0.5**0.5, 0, 0, 0.5**0.5], "scale": [2, 3, 4], "translation": [1, 0, 0]},
        ]

    x, y, z = (VERTICES * [2, 3, 4]).T
    inner = np.stack([x + 1, -z, y], axis=1)  # a quarter turn about x
    expected = np.stack([10 - inner[:, 1], 20 + inner[:, 0], 30 + inner[:, 2]], axis=1)
    np.testing.assert_allclose(read_registered(edited(tmp_path / "a.glb", change), TOPOLOGY), expected, atol=1e-12)


@pytest.mark.filterwarnings("error")
def test_read_glb_of_huge_scales_warns_of_nothing_beside_the_error(tmp_path: Path) -> None:
    def change(content: Any) -> None:
        content["nodes"][0]["scale"] = [1e300] * 3
        content["nodes"].append({"children": [0], "scale": [1e300] * 3})
        content["scenes"][0]["nodes"] = [1]

    with pytest.raises(MeshFileError, match=r"a\.glb: vertex 0 is NaN, infinite or too large"):
        read_registered(edited(tmp_path / "a.glb", change), TOPOLOGY)


def test_read_glb_takes_short_indices_and_strides(tmp_path: Path) -> None:
    points = np.zeros((5, 5), "<f4")
    points[:, :3] = VERTICES
    corners = TRIANGLES.astype("<u2").ravel()
    binary = points.tobytes() + corners.tobytes()

    def change(content: dict[str, Any]) -> None:
        content["accessors"] = [
            {"bufferView": 0, "componentType": 5126, "count": 5, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 9, "type": "SCALAR"},
        ]
        content["bufferViews"] = [
            {"buffer": 0, "byteLength": 100, "byteStride": 20},
            {"buffer": 0, "byteOffset": 100, "byteLength": 18},
        ]
        content["buffers"] = [{"byteLength": len(binary)}]

    data = edited(tmp_path / "a.glb", change).read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    binary += bytes(-len(binary) % 4)
    rest = data[12 : 20 + size] + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    (tmp_path / "a.glb").write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(rest)) + rest)
    np.testing.assert_array_equal(read_registered(tmp_path / "a.glb", TOPOLOGY), VERTICES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["nodes"].append({"mesh": 0}) or c["scenes"][0].update(nodes=[0, 1]), "2 meshes in its scene"),
        (lambda c: c["meshes"][0]["primitives"].append({}), "a mesh of 2 pieces, whose vertices have no common"),
        (lambda c: c["meshes"][0]["primitives"][0].update(mode=1), "primitives of mode 1"),
        (lambda c: c["nodes"][0].update(children=[0]), "more than 10000 nodes, or nodes in a circle"),
        (lambda c: c["nodes"][0].update(children=[0] * 20_000), "more than 10000 nodes, or nodes in a circle"),
        (lambda c: c["nodes"][0].update(children=[7]), "nodes has no number 7"),
        (lambda c: c["nodes"][0].update(scale=[1, "a", 1]), "a node's scale of"),
        (lambda c: c["nodes"][0].update(scale=["1", "1", "1"]), "a node's scale of"),
        (lambda c: c["nodes"][0].update(rotation=[False, False, False, True]), "a node's rotation of"),
        (lambda c: c["meshes"][0].update(weights=[""]), "weights of morph targets of"),
        (lambda c: c.update(asset={"version": "1.0"}), "of glTF's version 1.0, expected 2.0"),
        (lambda c: c.update(asset={"version": "2.0", "minVersion": "3.0"}), "of glTF's version 3.0, expected 2.0"),
        (lambda c: c.pop("asset"), "of glTF's version None, expected 2.0"),
        (lambda c: c["buffers"][0].update(byteLength=12), "a buffer of 12 bytes in a chunk of"),
        (lambda c: c["buffers"][0].update(byteLength="96"), "a buffer of 96 bytes in a chunk of"),
        (lambda c: c["accessors"][0].update(byteOffset=1, count=4), "numbers of 4 bytes at byte 1, 12 apart, expected"),
        (
            lambda c: c.update(extensionsRequired=["EXT_meshopt_compression"])
            or c["bufferViews"][0].update(extensions={"EXT_meshopt_compression": {}}),
            "packed by EXT_meshopt_compression; save it without compression",
        ),
        (lambda c: c["nodes"][0].update(scale=[1, 1]), "a node's scale of"),
        (lambda c: c["accessors"][0].update(count=6), "an accessor beyond the end of its buffer view"),
        (lambda c: c["bufferViews"][0].update(byteLength=12), "an accessor beyond the end of its buffer view"),
        (lambda c: c["accessors"][0].update(count=10**9), "an accessor beyond the file's end"),
        (lambda c: c["accessors"][0].update(byteOffset=-4), "an accessor beyond the file's end"),
        (lambda c: c["accessors"][0].update(componentType=5125), "vertices of type 5125"),
        (lambda c: c["accessors"][0].update(sparse={}), "or sparse"),
        (lambda c: c["accessors"][1].update(componentType=5126), "9 corners of triangles"),
        (lambda c: c["buffers"][0].update(uri="a.bin"), "numbers in another file"),
        (lambda c: c.pop("scenes"), "KeyError"),
        (lambda c: c["nodes"][0].update(rotation=[0, 0, 2, 2]), "a node's rotation of length 2.828, expected 1"),
        (lambda c: c.update(nodes=[{"mesh": 0, "matrix": [1] * 16}]), "a node's matrix with a last row of"),
        (
            lambda c: c["nodes"][0].update(matrix=np.eye(4).ravel().tolist(), scale=[2, 2, 2]),
            "a node with both matrix and scale",
        ),
        (
            lambda c: c.update(extensionsRequired=["KHR_draco_mesh_compression"])
            or c["meshes"][0]["primitives"][0].update(extensions={"KHR_draco_mesh_compression": {}}),
            "packed by KHR_draco_mesh_compression; save it without compression",
        ),
    ],
)  # fmt: skip
def test_read_glb_of_a_damaged_description_says_what_is_wrong(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(MeshFileError, match=rf"a\.glb: .*{message}"):
        read_registered(edited(tmp_path / "a.glb", change), TOPOLOGY)


MORPHED = {"targets": [{"POSITION": 0}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["nodes"][0].update(skin=0), "a mesh that bones move .a skin.; apply the pose"),
        (
            lambda c: c["meshes"][0].update(weights=[0, 0.5]) or c["meshes"][0]["primitives"][0].update(MORPHED),
            "shown with morph targets .weights other than 0.; apply them",
        ),
        (
            lambda c: c["nodes"][0].update(weights=[1]) or c["meshes"][0]["primitives"][0].update(MORPHED),
            "shown with morph targets",
        ),
        (
            lambda c: c["nodes"][0].update(extensions={"EXT_mesh_gpu_instancing": {"attributes": {}}}),
            "instances of a mesh",
        ),
    ],
)
def test_glb_whose_vertices_something_besides_its_nodes_moves_is_refused(
    tmp_path: Path, change: Any, message: str
) -> None:
    """Such vertices would be taken from where no program shows them."""
    path = edited(tmp_path / "a.glb", change)
    for read in (lambda: read_registered(path, TOPOLOGY), lambda: read_scan(path)):
        with pytest.raises(MeshFileError, match=rf"a\.glb: .*{message}|needs trimesh"):
            read()


def test_glb_with_morph_targets_that_are_not_shown_is_read(tmp_path: Path) -> None:
    def change(content: Any) -> None:
        content["meshes"][0].update(weights=[0])
        content["meshes"][0]["primitives"][0].update(MORPHED)

    np.testing.assert_array_equal(read_registered(edited(tmp_path / "a.glb", change), TOPOLOGY), VERTICES)


def test_a_signaling_nan_is_refused_without_a_warning(tmp_path: Path) -> None:
    values = VERTICES.astype(np.float32)
    values.view(np.uint32)[2, 0] = 0x7FA00000  # NumPy warns when it becomes a float64
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(MeshFileError, match=r"a\.npy: vertex 2 is NaN"):  # warnings are errors in tests
        read_registered(tmp_path / "a.npy", TOPOLOGY)


@pytest.mark.parametrize("data", [b"", b"glTF", b"glTF" + bytes(16), b"glTF\2\0\0\0\x14\0\0\0\x40\0\0\0JSON"])
def test_read_glb_cut_short_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.glb").write_bytes(data)
    with pytest.raises(MeshFileError, match=r"a\.glb: not a readable mesh"):
        read_registered(tmp_path / "a.glb", TOPOLOGY)
