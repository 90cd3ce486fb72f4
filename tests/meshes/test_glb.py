"""Binary glTF, read back by an independent parse and by trimesh."""

import numpy as np
import pytest
from support.glb import read_glb

from uvgen.errors import InputError, MeshFileError
from uvgen.rasterize import write_glb

VERTICES = np.array([[0, 0, 1.5], [4, 0, 2], [0, 3, 1e-7], [4, 3, -123456.78]], np.float32)
TRIANGLES = np.array([[0, 1, 2], [3, 2, 1]])
UV = np.array([[0.25, 1], [1, 1], [0, 0], [1.5, 0.1]])
NORMALS = np.array([[0, 0, 2], [0, -3, 0], [0, 0, 0], [1e-20, 0, 0]])
TEXTURE = np.random.default_rng(0).integers(0, 256, (7, 11, 3)).astype(np.uint8)


def test_glb_in_the_raw_frame_holds_what_was_given(tmp_path):
    write_glb(tmp_path / "a.glb", VERTICES, TRIANGLES, uv=UV, texture=TEXTURE, normals=NORMALS, frame="raw")
    found = read_glb(tmp_path / "a.glb")
    np.testing.assert_array_equal(found.attribute("POSITION"), VERTICES)
    np.testing.assert_array_equal(found.triangles, TRIANGLES)
    np.testing.assert_allclose(found.attribute("TEXCOORD_0"), np.stack([UV[:, 0], 1 - UV[:, 1]], axis=1), atol=1e-7)
    np.testing.assert_array_equal(found.images[0], TEXTURE)
    expected = [[0, 0, 1], [0, -1, 0], [0, 0, 1], [1, 0, 0]]  # one that points nowhere turns to the viewer
    np.testing.assert_array_equal(found.attribute("NORMAL"), expected)
    assert found.content["nodes"] == [{"mesh": 0, "scale": [1.0, 1.0, 1.0]}]


def test_glb_in_the_image_frame_is_upright_with_its_outside_out(tmp_path):
    write_glb(tmp_path / "a.glb", VERTICES, TRIANGLES, normals=NORMALS)
    found = read_glb(tmp_path / "a.glb")
    np.testing.assert_array_equal(found.attribute("POSITION"), VERTICES * np.float32([1, -1, 1]))
    np.testing.assert_array_equal(found.attribute("NORMAL")[1], [0, 1, 0])
    a, b, c = found.attribute("POSITION")[found.triangles[0]]
    assert np.cross(b - a, c - a)[2] > 0  # counter-clockwise is the front


def test_glb_node_puts_the_middle_at_the_origin_in_meters(tmp_path):
    write_glb(tmp_path / "a.glb", VERTICES, TRIANGLES, meters_per_unit=0.01, centered=True)
    (node,) = read_glb(tmp_path / "a.glb").content["nodes"]
    placed = VERTICES.astype(np.float64) * [1, -1, 1] * node["scale"] + node["translation"]
    np.testing.assert_allclose(placed.min(axis=0), -placed.max(axis=0), atol=1e-9)
    np.testing.assert_allclose(np.ptp(placed[:, 0]), 0.04)


def test_glb_is_read_by_trimesh(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    write_glb(tmp_path / "a.glb", VERTICES, TRIANGLES, uv=UV, texture=TEXTURE, meters_per_unit=2, centered=True)
    scene = trimesh.load(tmp_path / "a.glb", process=False)
    (mesh,) = scene.geometry.values()
    np.testing.assert_array_equal(mesh.vertices.astype(np.float32), VERTICES * np.float32([1, -1, 1]))
    np.testing.assert_array_equal(mesh.faces, TRIANGLES[:, ::-1])
    np.testing.assert_allclose(mesh.visual.uv, UV, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(mesh.visual.material.baseColorTexture)[..., :3], TEXTURE)
    (placed,) = scene.dump()
    np.testing.assert_allclose(placed.bounds.sum(axis=0), 0, atol=1e-6)


def test_glb_writes_the_same_bytes_twice_and_changes_no_input(tmp_path):
    given = [VERTICES.copy(), TRIANGLES.copy(), UV.copy(), TEXTURE.copy(), NORMALS.copy()]
    for name in "ab":
        write_glb(tmp_path / f"{name}.glb", *given[:2], uv=given[2], texture=given[3], normals=given[4])
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()
    for array, before in zip(given, (VERTICES, TRIANGLES, UV, TEXTURE, NORMALS), strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vertices": VERTICES[:, :2]}, r"vertices: .*\(4, 2\)"),
        ({"vertices": np.full((4, 3), np.nan)}, "vertices: .*NaN"),
        ({"vertices": VERTICES[:0], "triangles": TRIANGLES[:0]}, "triangles: 0 over 0 vertices, expected one or more"),
        ({"triangles": TRIANGLES[:0]}, "triangles: 0 over 4 vertices, expected one or more"),
        ({"triangles": [[0, 1, 4]]}, "triangles: .*4"),
        ({"texture": TEXTURE}, "texture: given with no uv, expected uv beside it"),
        ({"uv": UV[:2]}, "uv: "),
        ({"normals": NORMALS * np.nan}, "normals: .*NaN"),
        ({"frame": "up"}, "frame: 'up', expected 'image' or 'raw'"),
        ({"meters_per_unit": 0}, "meters_per_unit: 0.0, expected a number above 0"),
        ({"meters_per_unit": np.inf}, "meters_per_unit: inf"),
        ({"path": "face.gltf"}, r"path: 'face.gltf', expected a name that ends in \.glb"),
    ],
)
def test_glb_with_wrong_arguments_is_refused_and_writes_nothing(tmp_path, monkeypatch, change, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        write_glb(**({"path": "a.glb", "vertices": VERTICES, "triangles": TRIANGLES} | change))
    assert not any(tmp_path.iterdir())


def test_glb_in_a_missing_folder_is_an_error_that_names_it(tmp_path):
    with pytest.raises(MeshFileError, match=r"none/a\.glb: its folder is missing"):
        write_glb(tmp_path / "none/a.glb", VERTICES, TRIANGLES)
