"""Cameras from JSON and COLMAP's files: hand-made numbers for each convention, other projections, bad files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvgen import read_camera
from uvgen.cameras import ImageCamera, PerspectiveCamera, apply_camera
from uvgen.errors import DatasetError, InputError
from uvgen.geometry import pose_to_image, rotation_matrices
from uvgen.samples.camera_files import camera_of
from uvgen.samples.colmap import is_reconstruction, read_reconstruction

PINHOLE = {"type": "perspective", "fx": 100, "fy": 200, "cx": 50, "cy": 40}
QUARTER = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # x becomes y
EXAMPLE = "# Camera list\n1 PINHOLE 100 80 100 200 50 40\n2 SIMPLE_RADIAL 100 80 100 50 40 0\n"
EXAMPLE += "3 OPENCV 9 8 1 1 4 4 0.1 0 0 0\n"


@pytest.mark.parametrize(
    ("content", "point", "expected"),
    [
        ({**PINHOLE, "convention": "opencv"}, (0.1, 0.2, 2), (55, 60)),  # y down, z forward, centers at integers
        ({**PINHOLE, "convention": "colmap"}, (0.1, 0.2, 2), (54.5, 59.5)),  # the same, centers at halves
        ({**PINHOLE, "convention": "uvgen"}, (0.1, 0.2, -2), (55, 20)),  # y up, z backward, centers at integers
        (PINHOLE, (0.1, 0.2, -2), (55, 20)),
        ({**PINHOLE, "convention": "blender"}, (0.1, 0.2, -2), (54.5, 19.5)),  # the same, centers at halves
        ({**PINHOLE, "convention": "opencv", "translation": [0.1, 0, 1]}, (0, 0.2, 1), (55, 60)),
        ({**PINHOLE, "convention": "uvgen", "translation": [0.1, 0, -1]}, (0, 0.2, -1), (55, 20)),
        ({**PINHOLE, "convention": "blender", "translation": [0, 0, 5]}, (0.1, 0.2, 3), (54.5, 19.5)),  # its own place
        ({**PINHOLE, "convention": "opencv", "rotation": QUARTER.tolist()}, (0.2, -0.1, 2), (55, 60)),
        ({**PINHOLE, "convention": "blender", "rotation": QUARTER.T.tolist()}, (0.2, -0.1, -2), (54.5, 19.5)),
        ({**PINHOLE, "convention": "opencv", "rotation": [0.5**0.5, 0, 0, 0.5**0.5]}, (0.2, -0.1, 2), (55, 60)),
        ({**PINHOLE, "convention": "opencv", "rotation": [0, 0, np.pi / 2]}, (0.2, -0.1, 2), (55, 60)),
        ({"type": "orthographic", "scale": 10, "translation": [50, 40]}, (1, 2, 3), (60, 20)),
        ({"type": "orthographic", "scale": 10, "translation": [50, 40], "convention": "opencv"}, (1, 2, 3), (60, 60)),
        ({"type": "image"}, (1, 2, 3), (1, 2)),
    ],
)  # fmt: skip
def test_camera_puts_a_literal_point_where_its_convention_says(
    tmp_path: Path, content: dict[str, Any], point: Any, expected: Any
) -> None:
    (tmp_path / "c.json").write_text(json.dumps(content))
    found = read_camera(tmp_path / "c.json").project([point])
    np.testing.assert_allclose(found[0, :2], expected, atol=1e-9)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"lens": 36}, (109.5, 29.5)),  # 200 px of focal length over a sensor of 36 mm; the middle is 99.5, 49.5
        ({"lens": 36, "shift_x": 0.1, "shift_y": 0.05}, (89.5, 39.5)),
        ({"lens": 24, "sensor_fit": "VERTICAL"}, (104.5, 39.5)),
        ({"lens": 18, "sensor_width": 18, "sensor_fit": "HORIZONTAL"}, (109.5, 29.5)),
    ],
)
def test_blender_lens_puts_a_literal_point_where_blender_renders_it(more: dict[str, Any], expected: Any) -> None:
    world = np.eye(4)
    world[:3, 3] = 1, 2, 5
    content = {"type": "perspective", "convention": "blender", "width": 200, "height": 100}
    camera = camera_of({**content, "matrix_world": world.tolist(), **more})
    np.testing.assert_allclose(camera.project([[1.1, 2.2, 3]])[0, :2], expected)
    assert camera.size == (200, 100)


@given(
    st.floats(10, 100), st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.sampled_from(["AUTO", "HORIZONTAL", "VERTICAL"]),
    st.sampled_from([(320, 200), (150, 240)]), st.integers(0, 1000),
)  # fmt: skip
def test_blender_camera_agrees_with_its_view_frame(
    lens: float, shift_x: float, shift_y: float, fit: str, size: tuple[int, int], seed: int
) -> None:
    """`world_to_camera_view` of Blender: where in the frame, 0 to 1 from the lower left edge, a point lies."""
    rng = np.random.default_rng(seed)
    turn, place = rotation_matrices(rng.uniform(-1, 1, (1, 3)))[0], rng.normal(size=3)
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = turn, place
    content = {"type": "perspective", "convention": "blender", "width": size[0], "height": size[1], "lens": lens}
    content |= {"shift_x": shift_x, "shift_y": shift_y, "sensor_fit": fit, "matrix_world": world.tolist()}
    own = rng.uniform([-1, -1, -4], [1, 1, -2], (5, 3))
    found = camera_of(content).project(own @ turn.T + place)
    sensor = 24.0 if fit == "VERTICAL" else 36.0
    longer = max(size) if fit == "AUTO" else size[0] if fit == "HORIZONTAL" else size[1]
    for (x, y, z), (column, row, _) in zip(own, found, strict=True):
        width, height = (sensor / lens * side / longer for side in size)  # of the frame at a depth of 1
        left, bottom = sensor / lens * shift_x - width / 2, sensor / lens * shift_y - height / 2
        across, up = (x / -z - left) / width, (y / -z - bottom) / height
        np.testing.assert_allclose((column, row), (across * size[0] - 0.5, (1 - up) * size[1] - 0.5), atol=1e-6)


@pytest.mark.parametrize(
    ("content", "world", "point", "expected"),
    [
        (
            {
                "type": "perspective",
                "sensor_width": 23.192511,
                "sensor_height": 22.910706,
                "sensor_fit": "VERTICAL",
                "shift_x": -0.132742,
                "shift_y": -0.090834,
                "width": 480,
                "height": 640,
                "lens": 40.665371,
            },
            [
                [0.579387844, 0.811329424, 0.077809013, 0.423179865],
                [-0.814900041, 0.574790955, 0.074520484, -0.090596743],
                [0.015736742, -0.106582828, 0.994179308, 5.0],
                [0.0, 0.0, 0.0, 1.0],
            ],
            [-0.2268858, -0.1581626, -0.6239214],
            [241.958, 254.695],
        ),
        (
            {
                "type": "orthographic",
                "sensor_width": 24.411995,
                "sensor_height": 29.633917,
                "sensor_fit": "AUTO",
                "shift_x": 0.119124,
                "shift_y": 0.00664,
                "width": 640,
                "height": 480,
                "ortho_scale": 3.634106,
            },
            [
                [0.935801804, 0.346560061, 0.064583875, -0.553608418],
                [-0.349578977, 0.935912848, 0.043146953, 0.297012836],
                [-0.04549187, -0.062954165, 0.996979058, 5.0],
                [0.0, 0.0, 0.0, 1.0],
            ],
            [0.2618957, -0.8824298, -0.4027881],
            [493.554, 328.477],
        ),
    ],
)
def test_blender_camera_gives_what_blender_5_0_1_gave(
    content: dict[str, Any], world: Any, point: Any, expected: Any
) -> None:
    camera = camera_of({**content, "convention": "blender", "matrix_world": world})
    np.testing.assert_allclose(camera.project([point])[0, :2], expected, atol=2e-3)  # float32, and written shorter


def test_blender_orthographic_camera_spans_its_scale() -> None:
    content = {"type": "orthographic", "convention": "blender", "width": 200, "height": 100, "ortho_scale": 4}
    camera = camera_of({**content, "translation": [0, 0, 9]})
    np.testing.assert_allclose(camera.project([[-2, 1, 0], [2, -1, 0]])[:, :2], [[-0.5, -0.5], [199.5, 99.5]])


@given(st.integers(0, 2**32 - 1))
def test_project_is_the_homogeneous_product_and_its_matrix(seed: int) -> None:
    rng = np.random.default_rng(seed)
    turn, (fx, fy) = rotation_matrices(rng.uniform(-3, 3, (1, 3)))[0], rng.uniform(100, 900, 2)
    own = rng.uniform([-1, -1, 5], [1, 1, 9], (20, 3))
    points, shift = (own - [0, 0, 7]) @ turn, np.array([0, 0, 7.0])
    content = {"type": "perspective", "convention": "opencv", "fx": fx, "fy": fy, "cx": 30, "cy": 20}
    camera = camera_of({**content, "rotation": turn.tolist(), "translation": shift.tolist()})
    projection = np.array([[fx, 0, 30], [0, fy, 20], [0, 0, 1]]) @ np.c_[turn, shift]
    found = camera.project(points)
    for point, (x, y, z), depth in zip(points, found, own[:, 2], strict=True):
        u, v, w = projection @ [*point, 1]
        np.testing.assert_allclose((x, y), (u / w, v / w), atol=1e-8)
        np.testing.assert_allclose(z, -depth * np.sqrt(fx * fy) / own[:, 2].mean(), atol=1e-8)
    np.testing.assert_allclose(apply_camera(camera.matrix(points), points), found)


def test_camera_of_uvgen_at_a_distance_is_the_perspective_camera() -> None:
    points = np.random.default_rng(1).normal(size=(30, 3))
    wanted = PerspectiveCamera(1015.0, (112.0, 111.0), 10.0).project(points)
    content = {"type": "perspective", "fx": 1015, "cx": 112, "cy": 111, "translation": [0, 0, -10]}
    found = camera_of(content).project(points)
    found[:, 2] += 1015 * 10 / (10 - points[:, 2]).mean()  # from the camera's plane to the origin
    np.testing.assert_allclose(found, wanted)


def test_orthographic_camera_of_a_pose_is_the_pose() -> None:
    pose = np.array([[0.2, -0.5, 0.1, 80, 60, -20, 4.5e-4]])
    points = np.random.default_rng(2).normal(size=(30, 3)) * 8e4
    affine = pose_to_image(pose, 120)[0]
    rotation = rotation_matrices(pose[:, :3])[0].tolist()
    content = {"type": "orthographic", "scale": 4.5e-4, "rotation": rotation, "translation": [79, 60, -20]}
    np.testing.assert_allclose(camera_of(content).project(points), points @ affine[:, :3].T + affine[:, 3], atol=1e-9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "expected an object with the keys of one camera"),
        ({}, "type: missing, expected image, orthographic, perspective"),
        ({"type": "fisheye"}, "type: fisheye, expected image"),
        ({"type": "image", "convention": "opengl"}, "convention: opengl, expected uvgen, opencv, blender, colmap"),
        ({"type": "image", "scale": 1}, "scale: no key of a camera of type image"),
        (
            {**PINHOLE, "focal": 1},
            r"focal: no key of a camera of type perspective \(uvgen\), expected type, conv",
        ),
        ({"type": "perspective", "cx": 1, "cy": 1}, "fx: missing, expected a number"),
        ({**PINHOLE, "fx": -3}, "fx: -3, expected more than 0"),
        ({**PINHOLE, "fx": 5e-324}, "fx: 4.94066e-324, expected 1e-12 or more"),
        ({"type": "orthographic", "scale": 1e-13}, "scale: 1e-13, expected 1e-12 or more"),
        ({**PINHOLE, "cx": "50"}, "cx: 50, expected a number"),
        ({**PINHOLE, "cx": True}, "cx: True, expected a number"),
        ({**PINHOLE, "k1": 0.1}, "k1: 0.1, expected 0: lens distortion is not applied; undistort the images first"),
        ({**PINHOLE, "dist_coeffs": [0, 0, 0.1, 0]}, "dist_coeffs: .*undistort"),
        ({**PINHOLE, "dist_coeffs": ["a"]}, "dist_coeffs: .*expected numbers"),
        ({**PINHOLE, "rotation": np.diag([1, -1, 1]).tolist()}, "rotation: its determinant is -1, it mirrors the face"),
        (
            {**PINHOLE, "rotation": np.diag([2, 2, 2]).tolist()},
            "rotation: no rotation .rows of length 2, 2, 2",
        ),
        (
            {**PINHOLE, "rotation": [0, 12, 0]},
            "rotation: an axis times an angle of 12, expected radians, 6.283",
        ),
        ({**PINHOLE, "rotation": [1, 1, 0, 0]}, "rotation: a quaternion of length 1.414, expected 1"),
        ({**PINHOLE, "rotation": [[1, 0], [0, 1]]}, "rotation: .*expected 3 rows of 3 numbers, a quaternion of 4"),
        ({**PINHOLE, "translation": [1, 2]}, "translation: .*expected 3 numbers"),
        ({**PINHOLE, "width": 640}, "width: given alone, expected width and height"),
        ({**PINHOLE, "width": 640.5, "height": 3}, "width: 640.5, expected a whole number"),
        ({"type": "orthographic"}, "scale: missing"),
        (
            {"type": "orthographic", "scale": 1, "convention": "colmap"},
            "convention: colmap, whose cameras are",
        ),
        ({"type": "perspective", "convention": "blender", "lens": 50}, "width, height: missing"),
        (
            {**PINHOLE, "convention": "blender", "rotation": [0, 0, 1]},
            "rotation: 3 numbers, which may be Blender",
        ),
        ({**PINHOLE, "convention": "blender", "lens": 50}, "fx: given beside lens, expected one of them"),
        ({**PINHOLE, "convention": "blender", "shift_x": 0.1}, "shift_x: given without lens"),
        (
            {**PINHOLE, "convention": "blender", "matrix_world": np.eye(4).tolist(), "rotation": [1, 0, 0, 0]},
            "rotation: given beside matrix_world",
        ),
        ({**PINHOLE, "convention": "blender", "matrix_world": np.ones((4, 4)).tolist()}, "matrix_world: a last row"),
    ],
)
def test_read_camera_of_a_bad_file_names_the_key(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"c\.json: .*{message}"):
        read_camera(tmp_path / "c.json")


def test_read_camera_of_no_json_or_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"type": "image", "type": "image"}')
    with pytest.raises(InputError, match=r"c\.json: not a readable camera"):
        read_camera(tmp_path / "c.json")
    (tmp_path / "c.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"c\.json: not a readable camera"):
        read_camera(tmp_path / "c.json")
    with pytest.raises(InputError, match=r"gone\.json: cannot be read"):
        read_camera(tmp_path / "gone.json")


def test_depths_of_points_behind_a_camera_are_refused_with_their_count() -> None:
    camera = camera_of({**PINHOLE, "convention": "opencv"})
    with pytest.raises(InputError, match=r"points: 1 of 2 lie behind the camera \(depths of -1 to 3\)"):
        camera.matrix([[0, 0, 3.0], [0, 0, -1]])
    with pytest.raises(InputError, match="NaN or infinity"):
        ImageCamera().matrix([[0, 0, np.nan]])


def write_colmap(folder: Path, cameras: str, images: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "cameras.txt").write_text(cameras)
    (folder / "images.txt").write_text(images)
    return folder


def test_read_reconstruction_takes_cameras_by_the_images_names(tmp_path: Path) -> None:
    images = (
        "# Image list\n1 1 0 0 0 0.1 0 1 1 sub/a b.jpg\n10.5 3.5 -1 7 8 9\n2 0.7071067811865476 0 0 0.7071067811865476 "
    )
    images += "0 0 0 2 b.jpg\n\n3 1 0 0 0 0 0 0 3 c.jpg\n\n4 2 0 0 0 0 0 0 1 d.jpg\n\n5 1 0 0 0 0 0 0 9 e.jpg\n"
    folder = write_colmap(tmp_path / "c", EXAMPLE, images)
    assert is_reconstruction(folder) and not is_reconstruction(tmp_path)
    found: dict[str, Any] = read_reconstruction(folder)
    assert [*found] == ["sub/a b.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    first: ImageCamera = found["sub/a b.jpg"]
    np.testing.assert_allclose(first.project([[0, 0.2, 1]])[0, :2], [54.5, 59.5])
    assert first.size == (100, 80)
    np.testing.assert_allclose(found["b.jpg"].project([[0.2, -0.1, 2]])[0, :2], [54.5, 49.5])  # one focal length
    assert "cameras.txt: line 4: k1: 0.1, expected 0" in found["c.jpg"]
    assert "images.txt: line 8: rotation: a quaternion of length 2" in found["d.jpg"]
    assert "camera 9 is not in cameras.txt" in found["e.jpg"]


@pytest.mark.parametrize(
    ("cameras", "images", "message"),
    [
        ("1 PINHOLE 100\n", "", "cameras.txt: line 1 is '1 PINHOLE 100'"),
        ("junk\n", "", r"cameras.txt: line 1 is 'junk' \(1 word\), expected CAMERA_ID MODEL"),
        ("1 PINHOLE 100 80 1_0 1 1 1\n", "", "cameras.txt: line 1"),
        (EXAMPLE, "1 1 0 0 0 0 0 0 1\n", r"images.txt: line 1 is .* \(9 words\), expected IMAGE_ID QW"),
        (
            EXAMPLE,  # without the lines of points, every second image would be passed over
            "1 1 0 0 0 0 0 0 1 a.jpg\n2 1 0 0 0 0 0 0 1 b.jpg\n",
            "images.txt: line 2 is '2 1 .*b.jpg', expected the points of the image before it",
        ),
        (
            EXAMPLE,  # a name of three words makes the numbers of words that points have
            "1 1 0 0 0 0 0 0 1 my own a.jpg\n2 1 0 0 0 0 0 0 1 my own b.jpg\n",
            "images.txt: line 2 is '2 1 .*b.jpg', expected the points of the image before it",
        ),
    ],
)
def test_read_reconstruction_of_damaged_files_names_the_line(
    tmp_path: Path, cameras: str, images: str, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        read_reconstruction(write_colmap(tmp_path / "c", cameras, images))


def test_read_reconstruction_of_what_is_there_twice_takes_neither(tmp_path: Path) -> None:
    lines = "1 PINHOLE 9 8 1 1 4 4\n2 PINHOLE 9 8 1 1 4 4\n2 PINHOLE 9 8 2 2 4 4\n3 PINHOLE 9 8 1e-13 1 4 4\n"
    images = "".join(f"{k} 1 0 0 0 0 0 0 {camera} {name}\n\n" for k, camera, name in (
        (1, 1, "a.jpg"), (2, 1, "b.jpg"), (3, 1, "b.jpg"), (4, 2, "c.jpg"), (5, 3, "d.jpg"),
    ))  # fmt: skip
    found: dict[str, Any] = read_reconstruction(write_colmap(tmp_path / "c", lines, images))
    assert isinstance(found["a.jpg"], ImageCamera)
    assert "images.txt: line 5: image b.jpg is there twice, expected one camera for it" in found["b.jpg"]
    assert "cameras.txt: line 3: camera 2 is there twice, expected it once" in found["c.jpg"]
    assert "a focal length of 1e-13" in found["d.jpg"]


def test_read_reconstruction_of_other_lenses_or_binary_files_says_what_to_do(tmp_path: Path) -> None:
    lines = "1 OPENCV_FISHEYE 9 8 1 1 4 4 0 0 0 0\n2 PINHOLE 9 8 1 1 4\n3 PINHOLE 9 8 0 1 4 4\n"
    images = "".join(f"{k} 1 0 0 0 0 0 0 {k} {k}.jpg\n\n" for k in (1, 2, 3))
    found: dict[str, Any] = read_reconstruction(write_colmap(tmp_path / "c", lines, images))
    assert "a camera of model OPENCV_FISHEYE, expected SIMPLE_PINHOLE" in found["1.jpg"]
    assert "PINHOLE: 3 parameters, expected 4" in found["2.jpg"]
    assert "a focal length of 0" in found["3.jpg"]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "images.bin").touch()
    with pytest.raises(DatasetError, match=r"COLMAP's binary files.*model_converter --output_type TXT"):
        read_reconstruction(tmp_path / "b")


def test_number_of_a_reconstruction_that_no_camera_has_costs_its_image_alone(tmp_path: Path) -> None:
    cameras = (
        "1 PINHOLE 9 8 1 1 4 4\n2 PINHOLE 9 8 1 1 nan 4\n3 PINHOLE nan 8 1 1 4 4\n4 PINHOLE 0 8 1 1 4 4\n"
        "5 PINHOLE 9 8 inf 1 4 4\n"
    )
    images = "".join(f"{k} 1 0 0 0 0 0 {z} {camera} {name}.jpg\n\n" for k, z, camera, name in (
        (1, "0", 1, "a"), (2, "nan", 1, "b"), (3, "1e300", 1, "c"), (4, "0", 2, "d"), (5, "0", 3, "e"),
        (6, "0", 4, "f"), (7, "0", 5, "g"), (8, "0", 1, "h"),
    ))  # fmt: skip
    found: dict[str, Any] = read_reconstruction(write_colmap(tmp_path / "c", cameras, images))
    assert [name for name, camera in found.items() if isinstance(camera, ImageCamera)] == ["a.jpg", "h.jpg"]
    for name, words in {
        "b": "images.txt: line 3: a number is NaN", "c": "images.txt: line 5: a number is NaN",
        "d": "cameras.txt: line 2: a number is NaN", "e": "cameras.txt: line 3: a number is NaN",
        "f": "cameras.txt: line 4: PINHOLE: an image of 0 × 8 px", "g": "cameras.txt: line 5: a number is NaN",
    }.items():  # fmt: skip
        assert words in found[f"{name}.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_camera_may_be_in_any_encoding_that_editors_write(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"type": "image"}), encoding=encoding)
    assert read_camera(tmp_path / "c.json").kind == "image"
