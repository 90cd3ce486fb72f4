"""Faces drawn over their pictures, and the GIF of how they changed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uvgen import PositionMapper, alignment_gif, draw_alignment, map_to_landmarks, map_to_pose
from uvgen.errors import InputError
from uvgen.geometry import transform_points
from uvgen.maps.masks import face_mask
from uvgen.models.morphable import MorphableModel
from uvgen.preview.alignment import KINDS
from uvgen.preview.drawing import LEFT, RIGHT

HEIGHT, WIDTH = 220, 260
GRAY = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def position_map(model: MorphableModel) -> np.ndarray:
    """The mean face, turned by 0.5 rad, in a picture of 220 × 260 px."""
    return mean_face(model, 0.5)


def mean_face(model: MorphableModel, yaw: float) -> np.ndarray:
    pose = np.array([[0.1, yaw, 0.1, 125, 110, 0, 7e-4]])
    zeros = np.zeros((1, model.n_shape)), np.zeros((1, model.n_expression))
    return PositionMapper(model, 64)(*zeros, pose, np.eye(3), HEIGHT)[0]


def changed(picture: np.ndarray, before: np.ndarray = GRAY) -> np.ndarray:
    return (picture != before).any(axis=2)


@pytest.mark.parametrize("kind", KINDS)
def test_drawings_are_the_same_wherever_the_face_is(model, position_map, kind) -> None:
    """A picture that is shifted by whole pixels with its face has a drawing that is shifted so."""
    drawn = draw_alignment(GRAY, position_map, kind, model=model)
    assert drawn.shape == GRAY.shape and drawn.dtype == np.uint8 and changed(drawn).any()
    assert (GRAY == 90).all()
    wide = np.pad(GRAY, ((30, 0), (41, 0), (0, 0)), mode="edge")
    moved = position_map + np.array([41, 30, 0], np.float32)
    again = draw_alignment(wide, moved, kind, model=model)[30:, 41:]
    rows = slice(40, None) if kind == "pose" else slice(None)  # the angles stand in the picture's corner
    assert (np.abs(again.astype(int) - drawn)[rows] > 40).mean() < 0.003  # lines are rounded to quarters of a px


def test_sparse_draws_each_side_in_its_color_at_the_landmarks(model, position_map) -> None:
    points = map_to_landmarks(position_map, model)
    for face in (position_map, points, points[:, :2]):
        drawn = draw_alignment(GRAY, face, model=model)
        for k, color in ((17, RIGHT), (26, LEFT), (36, RIGHT), (45, LEFT)):  # outer ends of brows and eyes
            column, row = np.rint(points[k, :2]).astype(int)
            near = drawn[row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3).astype(int)
            assert np.abs(near - color).sum(axis=1).min() < 90, k


def test_sparse_draws_hidden_points_hollow_where_a_map_tells(model) -> None:
    profile = mean_face(model, 1.4)
    points = map_to_landmarks(profile, model)
    from_map, from_points = (draw_alignment(GRAY, face, model=model) for face in (profile, points))
    column, row = np.rint(points[16 if points[16, 2] < points[0, 2] else 0, :2]).astype(int)
    assert from_map[row, column].sum() < from_points[row, column].sum() - 100  # its middle is dark


@pytest.mark.parametrize("kind", ["mesh", "depth"])
def test_surface_covers_the_faces_texels_and_nothing_else(model, position_map, kind) -> None:
    drawn = changed(draw_alignment(GRAY, position_map, kind, model=model))
    points = position_map[face_mask(model, 64)][:, :2]
    columns, rows = np.rint(points).astype(int).T
    assert drawn[rows, columns].mean() > 0.95  # but for those at its edge
    low, high = points.min(axis=0) - 1, points.max(axis=0) + 1
    outside = np.ones_like(drawn)
    outside[int(low[1]) : int(high[1]) + 2, int(low[0]) : int(high[0]) + 2] = False
    assert not drawn[outside].any()


def test_depth_goes_from_blue_to_yellow_toward_the_viewer(model, position_map) -> None:
    drawn = draw_alignment(GRAY, position_map, "depth", model=model).astype(int)
    points = position_map[face_mask(model, 64)]
    far, near = points[points[:, 2].argsort()[[200, -200]]]  # not the outermost ones
    at = [drawn[round(float(y)), round(float(x))] for x, y, _ in (far, near)]
    assert at[1][0] - at[1][2] > at[0][0] - at[0][2] + 40  # red over blue


def test_dense_draws_every_kth_texel(model, position_map) -> None:
    pale = draw_alignment(GRAY, position_map + 5000, "dense", model=model)  # no dot is in it
    coarse, fine = (changed(draw_alignment(GRAY, position_map, "dense", model=model, every=k), pale) for k in (8, 2))
    assert 0 < coarse.sum() < fine.sum()


def test_pose_of_a_map_and_of_its_landmarks_have_the_same_box(model, position_map) -> None:
    pictures = [draw_alignment(GRAY, face, "pose", model=model)
                for face in (position_map, map_to_landmarks(position_map, model))]  # fmt: skip
    assert (np.abs(pictures[0].astype(int) - pictures[1]) > 60).mean() < 0.01
    angles = np.rad2deg(map_to_pose(position_map, model).angles_rad)
    np.testing.assert_allclose(angles, np.rad2deg([0.1, 0.5, 0.1]), atol=0.01)
    turned = transform_points(position_map, np.array([[0.98, -0.199, 20], [0.199, 0.98, -20], [0, 0, 1.0]]))
    assert changed(draw_alignment(GRAY, turned, "pose", model=model), pictures[0]).sum() > 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shift", [(5000, 0, 0), (0, -5000, 0), (-140, 30, 0)])
def test_faces_outside_or_at_the_edge_of_the_picture_are_drawn_where_they_are(model, position_map, kind, shift) -> None:
    drawn = draw_alignment(GRAY, position_map + np.array(shift), kind, model=model)
    assert drawn.shape == GRAY.shape
    if max(map(abs, shift)) > 1000 and kind in ("sparse", "mesh", "depth"):
        assert not changed(drawn).any()
    elif max(map(abs, shift)) < 1000:
        assert changed(drawn).any()


def test_large_and_small_faces_are_drawn_in_proportion(model, position_map) -> None:
    shares = []
    for factor in (1, 6):
        picture = np.full((HEIGHT * factor, WIDTH * factor, 3), 90, np.uint8)
        shares.append(changed(draw_alignment(picture, position_map * factor, model=model), picture).mean())
    assert 0.5 < shares[0] / shares[1] < 2


@pytest.mark.parametrize(
    ("image", "face", "kind", "message"),
    [
        (GRAY, np.zeros((68, 3)), "dense", r"face: 68 landmarks, expected a position map \(U, U, 3\) for kind 'dense'"),
        (GRAY, np.zeros((68, 2)), "pose", r"face: landmarks \(68, 2\), expected a position map or landmarks \(68, 3\)"),
        (GRAY, np.zeros((67, 2)), "sparse", r"face: float64 \(67, 2\), expected real numbers of shape"),
        (
            GRAY,
            np.zeros((64, 63, 3)),
            "mesh",
            r"face: float64 \(64, 63, 3\), expected a position map \(U, U, 3\), as hi",
        ),
        (GRAY, np.full((68, 2), np.nan), "sparse", "face: holds NaN or infinity"),
        (GRAY, np.zeros((68, 2)), "sparse", "face: all landmarks are in one point"),
        (GRAY, np.full((68, 2), 2e6), "sparse", r"face: leads 2e\+06 px away, expected px of the picture"),
        (GRAY, np.zeros((68, 2)), "points", "kind: 'points', expected 'sparse', 'dense', 'mesh', 'depth' or 'pose'"),
        (GRAY / 255, np.zeros((68, 2)), "sparse", r"image: float64 \(220, 260, 3\) within 0 to 1, expected uint8"),
        (GRAY[..., 0], np.zeros((68, 2)), "sparse", r"image: uint8 \(220, 260\), expected uint8 of shape"),
    ],
)
def test_draw_alignment_of_other_things_raises(model, image, face, kind, message) -> None:
    with pytest.raises(InputError, match=message):
        draw_alignment(image, face, kind, model=model)


def test_alignment_gif_has_a_frame_a_face_with_its_caption(model, position_map, tmp_path: Path) -> None:
    faces = [position_map + np.array([k, 0, 0]) for k in (0, 20, 40)]
    path = alignment_gif(
        tmp_path / "a.gif", GRAY, faces, "mesh", model=model, captions=["epoch 1", "2", "3"], seconds=0.2
    )
    plain = alignment_gif(tmp_path / "b.gif", GRAY, faces, "mesh", model=model)
    with Image.open(path) as animation, Image.open(plain) as other:
        assert animation.n_frames == 3 and animation.size == (WIDTH, HEIGHT) and animation.info["loop"] == 0
        times, pictures = [], []
        for k in range(3):
            animation.seek(k)
            other.seek(k)
            times.append(animation.info["duration"])
            pictures.append(np.asarray(animation.convert("RGB")).astype(int))
            bare = np.asarray(other.convert("RGB")).astype(int)
            assert (np.abs(pictures[k] - bare) > 60)[:30, :90].any()  # the caption
        assert times == [200, 200, 800]
        expected = draw_alignment(GRAY, faces[2], "mesh", model=model)
        assert np.abs(pictures[2] - expected)[40:].mean() < 3  # 256 colors
        assert (pictures[0] != pictures[2]).any()


def test_alignment_gif_of_wrong_arguments_writes_nothing(model, position_map, tmp_path: Path) -> None:
    for name, faces, more, message in (
        ("a.png", [position_map], {}, "expected a name that ends in .gif"),
        ("a.gif", [], {}, "faces: none, expected one or more"),
        ("a.gif", [position_map], {"captions": ["a", "b"]}, "captions: 2, expected 1: one per frame"),
        ("a.gif", [position_map], {"seconds": 0}, "seconds: 0 seconds, expected 0.02 to 60"),
    ):
        with pytest.raises(InputError, match=message):
            alignment_gif(tmp_path / name, GRAY, faces, model=model, **more)
    assert not list(tmp_path.iterdir())
