"""OBJ and PLY files, read back with trimesh and meshio where they are installed."""

import numpy as np
import pytest
from PIL import Image

from uvgen import rasterize as r
from uvgen.errors import InputError, MeshFileError, UvgenError

VERTICES = np.array([[0, 0, 1.5], [4, 0, 2], [0, 3, 1e-7], [4, 3, -123456.78]], np.float32)
TRIANGLES = np.array([[0, 1, 2], [3, 2, 1]])
COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 99, 199]], np.uint8)
UV = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
WRITERS = {"obj": r.write_obj, "ply": r.write_ply}


@pytest.mark.parametrize("kind", WRITERS)
def test_written_mesh_is_read_by_trimesh(tmp_path, kind):
    trimesh = pytest.importorskip("trimesh")
    path = tmp_path / f"mesh.{kind}"
    WRITERS[kind](path, VERTICES, TRIANGLES, colors=COLORS, frame="raw")
    mesh = trimesh.load(path, process=False)
    np.testing.assert_array_equal(mesh.vertices.astype(np.float32), VERTICES)
    np.testing.assert_array_equal(mesh.faces, TRIANGLES)
    np.testing.assert_array_equal(mesh.visual.vertex_colors[:, :3], COLORS)


@pytest.mark.parametrize("kind", WRITERS)
def test_written_mesh_is_read_by_meshio(tmp_path, kind):
    meshio = pytest.importorskip("meshio")
    path = tmp_path / f"mesh.{kind}"
    WRITERS[kind](path, VERTICES, TRIANGLES, uv=UV, frame="raw")
    mesh = meshio.read(path)
    np.testing.assert_array_equal(mesh.points.astype(np.float32), VERTICES)
    np.testing.assert_array_equal(mesh.cells_dict["triangle"], TRIANGLES)


@pytest.mark.parametrize("kind", WRITERS)
def test_written_texture_is_found_by_trimesh(tmp_path, kind):
    trimesh = pytest.importorskip("trimesh")
    texture = np.random.default_rng(0).integers(0, 256, (7, 11, 3)).astype(np.uint8)
    path = tmp_path / f"face.{kind}"
    WRITERS[kind](path, VERTICES, TRIANGLES, uv=UV, texture=texture, frame="raw")
    mesh = trimesh.load(path, process=False)
    np.testing.assert_allclose(mesh.visual.uv, UV)
    np.testing.assert_array_equal(np.asarray(mesh.visual.material.image)[..., :3], texture)


def test_image_frame_is_turned_upright_with_its_outside_out(tmp_path):
    path = tmp_path / "face.obj"
    r.write_obj(path, VERTICES, TRIANGLES)
    lines = path.read_text().splitlines()
    assert [line for line in lines if line.startswith("v ")][2] == "v 0 -3 1.00000001e-07"
    assert [line for line in lines if line.startswith("f ")] == ["f 3 2 1", "f 2 3 4"]
    corners = VERTICES[[2, 1, 0]] * [1, -1, 1]  # counter-clockwise with y up: the front of other programs
    assert np.cross(corners[1] - corners[0], corners[2] - corners[0])[2] > 0


def test_obj_with_a_seam_has_texture_triangles_of_its_own(tmp_path):
    path = tmp_path / "seam.obj"
    uv = np.random.default_rng(0).random((6, 2))
    r.write_obj(path, VERTICES, TRIANGLES, uv=uv, uv_triangles=[[0, 1, 2], [3, 4, 5]], frame="raw")
    assert path.read_text().splitlines()[-2:] == ["f 1/1 2/2 3/3", "f 4/4 3/5 2/6"]


def test_png_beside_the_mesh_holds_the_texture(tmp_path):
    texture = np.arange(2 * 5 * 3).reshape(2, 5, 3) + 0.4
    r.write_obj(tmp_path / "face.obj", VERTICES, TRIANGLES, uv=UV, texture=texture)
    with Image.open(tmp_path / "face.png") as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(image), np.rint(texture))
    assert "map_Kd face.png" in (tmp_path / "face.mtl").read_text()


@pytest.mark.parametrize("stem", ["my face", " a\tb", "-s face", "a#1", "Zoë 人脸", "face"])
@pytest.mark.parametrize("kind", WRITERS)
def test_texture_is_found_whatever_the_name(tmp_path, kind, stem):
    """Many readers end a name at a blank, take a dash for an option and # for a comment; names are UTF-8."""
    trimesh, meshio = pytest.importorskip("trimesh"), pytest.importorskip("meshio")
    texture = np.random.default_rng(0).integers(0, 256, (7, 11, 3)).astype(np.uint8)
    path = tmp_path / f"{stem}.{kind}"
    WRITERS[kind](path, VERTICES, TRIANGLES, uv=UV, texture=texture, frame="raw")
    mesh = trimesh.load(path, process=False)
    np.testing.assert_array_equal(np.asarray(mesh.visual.material.image)[..., :3], texture)
    assert len(meshio.read(path).points) == len(VERTICES)
    beside = {file.name for file in tmp_path.iterdir()} - {path.name}
    assert len(beside) == {"obj": 2, "ply": 1}[kind]
    named = path.read_bytes() + b"".join(file.read_bytes() for file in tmp_path.glob("*.mtl"))
    for name in beside:
        assert not set(name) & set(" \t#") and not name.startswith("-")
        assert f" {name}\n".encode() in named


@pytest.mark.parametrize("kind", WRITERS)
def test_mesh_without_texture_is_written_under_any_name(tmp_path, kind):
    WRITERS[kind](tmp_path / f"my face.{kind}", VERTICES, TRIANGLES, colors=COLORS)
    assert [file.name for file in tmp_path.iterdir()] == [f"my face.{kind}"]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_colors_of_0_to_1_are_refused_in_words(tmp_path, kind, dtype):
    for changes in (
        {"colors": (COLORS / 255).astype(dtype)},
        {"colors": np.eye(4, 3, dtype=dtype)},
        {"uv": UV, "texture": np.full((4, 5, 3), 0.25, dtype)},
    ):
        with pytest.raises(
            InputError, match=r"(colors|texture): floats of .* to .*, expected 0 to 255; multiply them by 255"
        ):
            WRITERS[kind](tmp_path / f"a.{kind}", VERTICES, TRIANGLES, **changes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "colors", [np.zeros((4, 3)), np.eye(4, 3, dtype=np.uint8), COLORS.astype(float), [[0.5, 1, 1.5]] * 4]
)
def test_dark_colors_of_0_to_255_are_written(tmp_path, colors):
    trimesh = pytest.importorskip("trimesh")
    r.write_ply(tmp_path / "a.ply", VERTICES, TRIANGLES, colors=colors, frame="raw")
    found = trimesh.load(tmp_path / "a.ply", process=False).visual.vertex_colors[:, :3]
    np.testing.assert_array_equal(found, np.rint(colors))


@pytest.mark.parametrize("kind", WRITERS)
def test_empty_mesh_is_written(tmp_path, kind):
    WRITERS[kind](tmp_path / f"none.{kind}", np.zeros((0, 3)), np.zeros((0, 3), int))
    assert (tmp_path / f"none.{kind}").stat().st_size > 0


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"triangles": [[0, 1, 4]]}, "triangle 0"),
        ({"vertices": VERTICES * np.nan}, "vertices"),
        ({"colors": COLORS[:2]}, "colors"),
        ({"texture": np.zeros((4, 4, 3))}, "texture"),
        ({"uv": UV, "texture": np.zeros((4, 4))}, "texture"),
        ({"uv": UV[:3]}, "uv"),
        ({"frame": "model"}, "frame"),
        ({"path": "mesh.stl"}, "path"),
        ({"path": "my mesh"}, "path"),
        ({"path": 7}, "path"),
    ],
)
def test_wrong_argument_is_named_and_nothing_written(tmp_path, kind, changes, word):
    path = changes.get("path", f"mesh.{kind}")
    path = path if isinstance(path, int) else tmp_path / path
    arguments = {"vertices": VERTICES, "triangles": TRIANGLES, **changes, "path": path}
    with pytest.raises(InputError, match=word):
        WRITERS[kind](**arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", WRITERS)
def test_folder_that_does_not_exist_is_an_os_error(tmp_path, kind):
    with pytest.raises(MeshFileError, match="missing") as caught:
        WRITERS[kind](tmp_path / "missing" / f"a.{kind}", VERTICES, TRIANGLES)
    assert isinstance(caught.value, OSError) and isinstance(caught.value, UvgenError)


def test_texture_coordinates_without_their_own_partner_are_refused(tmp_path):
    with pytest.raises(InputError, match="uv_triangles"):
        r.write_obj(tmp_path / "a.obj", VERTICES, TRIANGLES, uv_triangles=TRIANGLES)
    with pytest.raises(InputError, match="uv_triangles: 1 triangle, expected 2"):
        r.write_obj(tmp_path / "a.obj", VERTICES, TRIANGLES, uv=UV, uv_triangles=TRIANGLES[:1])
    with pytest.raises(InputError, match="finite"):
        r.write_ply(tmp_path / "a.ply", VERTICES, TRIANGLES, colors=np.full((4, 3), np.nan))
    assert not list(tmp_path.iterdir())
