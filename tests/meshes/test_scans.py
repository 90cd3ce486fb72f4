"""`uvgen.meshes.scans`: files, cleaning, and where a scan ends."""

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.toy import grid

from uvgen.errors import InputError, MeshFileError
from uvgen.meshes import read_glb
from uvgen.meshes.files import write_obj, write_ply
from uvgen.meshes.glb import write_glb
from uvgen.meshes.scans import ScanSurface, border_vertices, cleaned_scan, outward_normals, read_scan

VERTICES, TRIANGLES = grid(20, 24, 0.3)


def test_scans_are_read_from_every_kind_of_file(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    write_obj(tmp_path / "a.obj", VERTICES, TRIANGLES, frame="raw")
    write_ply(tmp_path / "a.ply", VERTICES, TRIANGLES, frame="raw")
    write_glb(tmp_path / "a.glb", VERTICES, TRIANGLES, frame="raw")
    trimesh.Trimesh(VERTICES, TRIANGLES, process=False).export(tmp_path / "a.stl")
    trimesh.Trimesh(VERTICES, TRIANGLES, process=False).export(tmp_path / "a.off")
    for suffix in ("obj", "ply", "glb", "stl", "off"):
        points, triangles = cleaned_scan(*read_scan(tmp_path / f"a.{suffix}"))
        assert len(triangles) == len(TRIANGLES), suffix
        found, wanted = (np.unique(rows.round(5), axis=0) for rows in (points, VERTICES))
        np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_point_clouds_are_read_from_files_without_triangles(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    trimesh.PointCloud(VERTICES).export(tmp_path / "a.ply")
    (tmp_path / "a.obj").write_text("".join(f"v {x} {y} {z}\n" for x, y, z in VERTICES))
    np.save(tmp_path / "a.npy", np.hstack([VERTICES, VERTICES]).astype(np.float32))
    for suffix in ("ply", "obj", "npy"):
        points, triangles = read_scan(tmp_path / f"a.{suffix}")
        np.testing.assert_allclose(points, VERTICES, atol=1e-6)
        assert triangles.shape == (0, 3)


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian"])
@pytest.mark.parametrize(
    "properties",
    ["list uchar int vertex_indices", "list uchar int vertex_indices\nproperty list uchar float texcoord",
     "list uchar int vertex_indices\nproperty uchar flags\nelement edge 0\nproperty int vertex1", "uchar red"],
)  # fmt: skip
def test_point_clouds_may_list_no_triangles_of_any_form(tmp_path: Path, kind: str, properties: str) -> None:
    pytest.importorskip("trimesh")
    head = f"ply\nformat {kind} 1.0\nelement face 0\nproperty {properties}\nelement vertex {len(VERTICES)}\n"
    head += "property float x\nproperty float y\nproperty float z\nend_header\n"
    rows = "".join(f"{x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in VERTICES).encode()
    path = tmp_path / "a.ply"
    path.write_bytes(head.encode() + (rows if kind == "ascii" else VERTICES.astype("<f4").tobytes()))
    points, triangles = read_scan(path)
    np.testing.assert_allclose(points, VERTICES, atol=1e-6)
    assert triangles.shape == (0, 3)


def test_files_that_are_no_scans_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 2)))
    (tmp_path / "b.obj").write_text("v 1 2\n")
    (tmp_path / "c.stl").write_text("no mesh")
    for name, message in (("a.npy", r"float64 \(4, 2\), expected coordinates"), ("b.obj", "line 1"),
                          ("c.stl", "not a readable mesh|needs trimesh"), ("d.ply", "no such file"),
                          ("d.npy", "cannot be read")):  # fmt: skip
        with pytest.raises((MeshFileError, ImportError), match=message):
            read_scan(tmp_path / name)


def test_cleaned_scan_drops_what_is_no_surface() -> None:
    points = np.concatenate([VERTICES, VERTICES[:5], [[9.0, 9, 9]]])
    points[7] = np.nan
    triangles = np.concatenate([TRIANGLES, [[0, len(VERTICES), 1]]])  # a point twice: no area
    triangles[triangles == 3] = len(VERTICES) + 3  # the double in its place
    kept, corners = cleaned_scan(points, triangles)
    gone = (TRIANGLES == 7).any(axis=1).sum()
    assert len(kept) == len(VERTICES) - 1 and len(corners) == len(TRIANGLES) - gone
    assert np.isfinite(kept).all() and sorted(np.unique(corners)) == list(range(len(kept)))
    cloud, none = cleaned_scan(points)
    assert len(cloud) == len(VERTICES) and none.shape == (0, 3)


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.full((900, 3), np.nan), np.ones((900, 3))])
def test_scans_of_too_few_points_are_errors(points: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"points: [01] that are different and finite, expected a scan of 200 or more"):
        cleaned_scan(points)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("index", [-1, 480])
def test_scan_with_an_index_out_of_range_names_its_triangle(index: int, dtype: type) -> None:
    triangles = TRIANGLES.astype(dtype)
    triangles[3] = [0, 1, index]
    with pytest.raises(InputError, match=rf"triangles: triangle 3 is \[0, 1, {index}\], expected indices of 0 to 479"):
        cleaned_scan(VERTICES, triangles)


def test_a_scan_ends_at_its_border_and_at_holes_alone() -> None:
    hole = np.isin(TRIANGLES, 12 * 24 + np.arange(10, 14)).any(axis=1)
    above = np.array([[0.0, 1.26, 0.2], [0.7, 1.0, 0.5], [1.2, 1.0, 0.0]])  # of the hole, of the surface, beside it
    whole, holed = ScanSurface(VERTICES, TRIANGLES), ScanSurface(VERTICES, TRIANGLES[~hole])
    assert whole.find(above, 9.0).inside.tolist() == [True, True, False]
    assert holed.find(above, 9.0).inside.tolist() == [False, True, False]
    assert border_vertices(len(VERTICES), TRIANGLES).sum() == 2 * (20 + 24) - 4
    assert not whole.find(above, 0.01).inside.any()


def test_triangles_that_lie_all_through_each_other_are_no_scan() -> None:
    """Each of thousands of points would be compared with most of them, again and again."""
    rng = np.random.default_rng(0)
    points, triangles = cleaned_scan(rng.normal(size=(30_000, 3)), np.arange(30_000).reshape(-1, 3))
    with pytest.raises(InputError, match=r"lie all through each other, a place on them in the reach of \d+, expected"):
        ScanSurface(points, triangles)
    fan = np.stack([np.full(479, 480), np.arange(479), np.arange(1, 480)], axis=1)
    closed = np.concatenate([VERTICES, [[5, 5, -9]]]), np.concatenate([TRIANGLES, TRIANGLES, fan])
    ScanSurface(*cleaned_scan(*closed))


def test_a_cloud_has_the_planes_of_its_points_and_ends_beyond_them() -> None:
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-1, 1, (3000, 2)), np.zeros(3000)])
    cloud = ScanSurface(points, np.zeros((0, 3), np.int32))
    feet = cloud.find(np.array([[0.3, 0.2, 0.05], [-0.5, 0.1, -0.02], [1.3, 0.0, 0.01]]), 1.0)
    assert feet.inside.tolist() == [True, True, False] and not cloud.is_oriented
    np.testing.assert_allclose(feet.points[:2], [[0.3, 0.2, 0], [-0.5, 0.1, 0]], atol=1e-12)
    np.testing.assert_allclose(feet.distance[:2], [0.05, 0.02], atol=1e-12)
    assert cloud.spacing == pytest.approx(np.sqrt(4 / 3000), rel=0.1)  # of points drawn at random


def test_outward_normals_point_to_where_corners_run_counter_clockwise() -> None:
    flat, triangles = grid(4, 5)
    np.testing.assert_allclose(outward_normals(flat, triangles), np.tile([0.0, 0, 1], (20, 1)), atol=1e-12)


def test_points_that_are_no_places_are_dropped_as_nan_is() -> None:
    """Squares of such distances overflow, and a tree of points then answers with none of them."""
    points = np.concatenate([VERTICES, [[1e300, 0, 0], [np.inf, 0, 0], [0, -1e15, 0]]])
    kept, _ = cleaned_scan(points)
    assert len(kept) == len(VERTICES)


def glb(**changes: Any) -> bytes:
    """A triangle as binary glTF, with parts exchanged."""
    content: dict[str, Any] = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}], "buffers": [{"byteLength": 36}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
    }  # fmt: skip
    text = json.dumps(content | changes).encode()
    text += b" " * (-len(text) % 4)
    numbers = np.arange(9, dtype="<f4").tobytes()
    body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", 36, b"BIN\0") + numbers
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


_POINTS, _CORNERS = {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}, {
    "bufferView": 0, "componentType": 5123, "count": 3, "type": "SCALAR", "byteOffset": 0
}  # fmt: skip
_INDEXED = [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}]


def check_refused(path: Path, changes: dict[str, Any], message: str) -> None:
    """A glTF file with these changes is refused by name, with this message."""
    pytest.importorskip("trimesh")
    path.write_bytes(glb(**changes))
    with pytest.raises(MeshFileError, match=rf"{re.escape(path.name)}: .*{message}"):
        read_scan(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accessors": [{"componentType": 5126, "count": 10**9, "type": "VEC3"}]}, "1000000000 numbers in a file of"),
        ({"accessors": [{"componentType": 5126, "count": -1, "type": "VEC3"}]}, "-1 numbers in a file of"),
        ({"nodes": [{"mesh": 0, "children": [0]}]}, "nodes in a circle"),
        ({"scenes": [{"nodes": [0] * 9000}], "accessors": [{"bufferView": 0, "count": 900}]}, "bytes in a file of"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 3000}] * 99}, "buffer views of 297000 bytes"),
        ({"bufferViews": [{"buffer": 0, "byteLength": -36}]}, "a buffer view of -36 bytes in a file of"),
        ({"accessors": [_POINTS, *[_POINTS | {"type": "MAT4", "count": 400}] * 9]}, "accessors of 230448 in a file of"),
        ({"buffers": [{"byteLength": 36, "uri": "a.bin"}]}, "numbers in another file"),
        (
            {"meshes": [{"primitives": [{"attributes": {}, "extensions": {"KHR_draco_mesh_compression": {}}}]}]},
            "packed by KHR_draco_mesh_compression; save it without compression",
        ),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 7}}]}]}, "list index out of range"),
        ({"meshes": 5, "nodes": "text"}, "not a readable mesh"),
    ],
)
def test_glb_that_states_more_than_it_holds_is_refused_before_memory_is_taken(
    tmp_path: Path, changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_glb, "_FREE_BYTES", 0)
    monkeypatch.setattr(read_glb, "_FREE_SCENE", 0)
    check_refused(tmp_path / "a.glb", changes, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accessors": [_POINTS | {"sparse": {"count": 1}}]}, "or sparse, or normalized"),
        ({"accessors": [_POINTS | {"componentType": 5122, "normalized": True}]}, "or sparse, or normalized"),
        ({"accessors": [_POINTS | {"byteOffset": -12}]}, "an accessor beyond the file's end"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 36, "byteStride": 4}]}, "an accessor beyond the file's end"),
        ({"accessors": [_POINTS | {"bufferView": -1}]}, "bufferViews has no number -1"),
        ({"bufferViews": [{"buffer": -1, "byteLength": 36}]}, "numbers in another file"),
        ({"scene": -1}, "scenes has no number -1"),
        (
            {"meshes": _INDEXED, "accessors": [_POINTS, _CORNERS | {"byteOffset": 4}]},
            "corners of triangles up to 16256",
        ),
        ({"meshes": _INDEXED, "accessors": [_POINTS, _CORNERS | {"componentType": 5126}]}, "corners of triangles"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": 6}]}]}, "fans of triangles"),
        ({"extensionsRequired": ["EXT_mesh_gpu_instancing"]}, "it needs EXT_mesh_gpu_instancing, which is not known"),
        ({"extensionsRequired": "KHR"}, "extensionsRequired of KHR"),
        ({"nodes": [{"children": [1, 1]}, {"mesh": 0}]}, "node 1 has two parents"),
        (
            {"scenes": [{"nodes": [0, 1]}], "nodes": [{"children": [2]}, {"children": [2]}, {"mesh": 0}]},
            "node 2 has two parents",
        ),
        ({"nodes": [{"mesh": 0, "extensions": {"KHR_node_visibility": {"visible": False}}}]}, "a hidden node"),
        ({"extensionsRequired": [f"KHR_lights_{k}" for k in range(257)]}, "it needs 257 extensions, expected 256 at"),
        (
            {"nodes": [*({"mesh": 0, "children": [k + 1]} for k in range(100)), {"mesh": 0}]},
            "nodes in a circle, or more than 100 below each other",
        ),
        ({"nodes": [{"mesh": 0, "weights": [0] * 4097}]}, "4097 weights of morph targets, expected 4096 at most"),
    ],
)
def test_glb_whose_numbers_would_be_read_wrong_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_glb, "_FREE_BYTES", 0)
    check_refused(tmp_path / "a.glb", changes, message)


@pytest.mark.parametrize("extension", ["KHR_mesh_quantization", "KHR_materials_unlit", "KHR_draco_mesh_compression"])
def test_glb_that_needs_what_changes_no_numbers_of_its_is_read(tmp_path: Path, extension: str) -> None:
    pytest.importorskip("trimesh")
    (tmp_path / "a.glb").write_bytes(glb(extensionsRequired=[extension]))
    assert read_scan(tmp_path / "a.glb")[0].shape == (3, 3)


def test_glb_is_read_without_its_pictures_and_huge_numbers_warn_nobody(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    picture = {"images": [{"uri": "gone.png"}], "textures": [{"source": 0}], "materials": [{"name": "a"}]}
    meshes = [{"primitives": [{"attributes": {"POSITION": 0}, "material": 0}]}]
    (tmp_path / "a.glb").write_bytes(glb(**picture, meshes=meshes))
    points, triangles = read_scan(tmp_path / "a.glb")
    assert points.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]] and len(triangles) == 1
    (tmp_path / "b.glb").write_bytes(
        glb(nodes=[{"mesh": 0, "matrix": [*3 * [1e308, 1e308, 1e308, 0], 1e308, 1e308, 1e308, 1]}])
    )
    read_scan(tmp_path / "b.glb")  # warnings are errors in tests


@pytest.mark.parametrize(
    "nodes",
    [
        [{"camera": 0, "mesh": 0, "translation": [5, 0, 0]}],
        [{"camera": 0, "translation": [5, 0, 0], "children": [1]}, {"mesh": 0}],
        [{"name": "world", "translation": [5, 0, 0], "children": [1]}, {"name": "world", "mesh": 0}],
    ],
)
def test_glb_whose_mesh_hangs_on_a_camera_or_the_world_is_read_where_that_is(
    tmp_path: Path, nodes: list[dict[str, Any]]
) -> None:
    pytest.importorskip("trimesh")
    lens = {"type": "perspective", "perspective": {"yfov": 0.7, "znear": 0.1, "aspectRatio": 1}}
    (tmp_path / "a.glb").write_bytes(glb(nodes=nodes, cameras=[lens]))
    points, _ = read_scan(tmp_path / "a.glb")
    np.testing.assert_allclose(points, np.arange(9).reshape(3, 3) + [5, 0, 0])


def stl(points: np.ndarray, name: str = "", end: str = "endsolid\n") -> str:
    facets = [
        "facet normal 0 0 1\nouter loop\n" + "".join(f" vertex {x} {y} {z}\n" for x, y, z in corners)
        + "endloop\nendfacet\n"
        for corners in points.tolist()
    ]  # fmt: skip
    return f"solid{name}\n{''.join(facets)}{end}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (stl(np.ones((2, 3, 3))) + stl(np.ones((2, 3, 3)), end=""), "a solid without its end; is it cut short"),
        (stl(np.ones((2, 3, 3))) + stl(np.ones((2, 3, 3)))[:60], "a solid without its end"),
        (stl(np.ones((3, 4, 3))), "a facet without three vertices"),
        (stl(np.ones((2, 3, 3))) + stl(np.ones((2, 3, 3)))[6:], "a solid without its end"),
        (stl(np.ones((2, 3, 3))).replace("vertex 1.0 1.0 1.0", "vertex 1.0 1.0", 1), "a vertex without three numbers"),
        (
            stl(np.ones((2, 3, 3))).replace("1.0 1.0\n", "1.0 1,5\n", 1),
            "a vertex without three numbers",
        ),
        (
            stl(np.ones((2, 3, 3))).replace("vertex 1.0", "vertex 1.0D0", 1),
            "a vertex without three numbers",
        ),
    ],
    ids=["no end", "cut", "quads", "no beginning", "two numbers", "comma", "other exponent"],
)
def test_stl_as_text_whose_facets_are_not_triangles_or_that_is_cut_short_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    pytest.importorskip("trimesh")
    (tmp_path / "a.stl").write_text(text)
    with pytest.raises(MeshFileError, match=rf"a\.stl: not a readable mesh \(.*{message}"):
        read_scan(tmp_path / "a.stl")


@pytest.mark.parametrize("name", ["", " face", " vertex 1 2 3", " vertex_group", " endsolid facet"])
def test_stl_as_text_is_read_whatever_its_solids_are_called(tmp_path: Path, name: str) -> None:
    pytest.importorskip("trimesh")
    corners = np.arange(36.0).reshape(4, 3, 3)
    for text in (stl(corners[:2], name) + stl(corners[2:], name), stl(corners, name).upper()):
        for end, encoding in (("\n", "utf-8"), ("\r\n", "utf-8-sig")):
            (tmp_path / "a.stl").write_bytes(text.replace("\n", end).encode(encoding))
            points, triangles = read_scan(tmp_path / "a.stl")
            np.testing.assert_array_equal(points[triangles], corners)
