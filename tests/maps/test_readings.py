"""What maps say: meshes, landmarks, poses; and the way from a crop back to its image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from uvgen import (
    HeadPose,
    PositionMapper,
    build_atlas,
    crop_from_box,
    crop_from_landmarks,
    crop_to_image,
    face_mask,
    landmark_weights,
    map_to_landmarks,
    map_to_mesh,
    map_to_pose,
    read_landmarks,
)
from uvgen.errors import InputError
from uvgen.geometry import pose_to_image, rotation_matrices, similarity_scale, transform_points
from uvgen.maps.readings import landmarks_to_pose
from uvgen.models.morphable import MorphableModel

HEIGHT = 450


def face(model: MorphableModel, seed: int, angles=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shape, expression and pose of a face in an image of 450 px; the mean face where angles are given."""
    rng = np.random.default_rng(seed)
    moving = angles is None
    shape = rng.normal(size=(1, model.n_shape)) * model.shape_std * moving
    expression = rng.normal(size=(1, model.n_expression)) * model.expression_std * moving
    if moving:
        angles = rng.uniform(-1, 1, 3) * [0.5, 1.3, 0.6]
    f = rng.uniform(6e-4, 1.5e-3)
    return shape, expression, np.array([[*angles, *rng.uniform(180, 270, 2), rng.uniform(-50, 50), f]])


def projected(model: MorphableModel, shape: np.ndarray, expression: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(n, 3) the vertices of a face in the image, in float64, without the mapper."""
    vertices = model.mean.astype(float) + model.basis.astype(float) @ np.concatenate([shape[0], expression[0]])
    affine = pose_to_image(pose, HEIGHT)[0]
    return vertices @ affine[:, :3].T + affine[:, 3]


@pytest.mark.parametrize("seed", range(4))
def test_map_of_a_crop_is_brought_back_onto_the_projected_mesh(model, seed) -> None:
    shape, expression, pose = face(model, seed)
    mesh = projected(model, shape, expression, pose)
    similarity = crop_from_landmarks(mesh[model.landmarks], 256)
    position_map = PositionMapper(model, 64)(shape, expression, pose, similarity, HEIGHT)[0]
    back = crop_to_image(position_map, similarity)
    assert back.dtype == np.float32
    atlas = build_atlas(model, 64)
    true = (atlas.weights[:, :, None] * mesh[atlas.vertices]).sum(axis=1).reshape(64, 64, 3)
    np.testing.assert_allclose(back[..., :2], true[..., :2], atol=1e-3)  # float32 of 450 px: 3e-5
    np.testing.assert_allclose(back[..., 2], true[..., 2] - mesh[:, 2].min(), atol=1e-3)


def test_crop_to_image_undoes_turned_crops_of_batches_of_maps_and_points() -> None:
    rng = np.random.default_rng(0)
    angles, scales = rng.uniform(-3, 3, 5), rng.uniform(0.3, 3, 5)
    similarity = np.zeros((5, 3, 3))
    similarity[:, 2, 2] = 1
    similarity[:, 0, 0] = similarity[:, 1, 1] = scales * np.cos(angles)
    similarity[:, 1, 0] = scales * np.sin(angles)
    similarity[:, 0, 1] = -similarity[:, 1, 0]
    similarity[:, :2, 2] = rng.uniform(-99, 99, (5, 2))
    for shape in ((5, 68, 2), (5, 68, 3), (5, 7, 6, 3)):
        image = rng.uniform(0, 300, shape)
        crop = np.stack([transform_points(one, matrix) for one, matrix in zip(image, similarity, strict=True)])
        np.testing.assert_allclose(crop_to_image(crop, similarity), image, atol=1e-9)
        np.testing.assert_allclose(crop_to_image(crop[2], similarity[2]), image[2], atol=1e-9)
    single = crop_to_image(np.ones((9, 3), np.float16), similarity[0])
    assert single.dtype == np.float32
    np.testing.assert_allclose(single[:, 2], 1 / similarity_scale(similarity[0]), rtol=1e-6)


@pytest.mark.parametrize(
    ("points", "similarity", "message"),
    [
        (np.ones((68, 4)), np.eye(3), r"points: float64 \(68, 4\), expected \(\.\.\., n, 2\) or \(\.\.\., n, 3\)"),
        (np.ones(3), np.eye(3), r"points: float64 \(3,\), expected"),
        (
            np.ones((4, 68, 3)),
            np.ones((3, 3, 3)) * np.eye(3),
            r"similarity: float64 \(3, 3, 3\), expected \(3, 3\), or",
        ),
        (np.ones((68, 3)), np.ones((68, 1)) * 2, r"similarity: float64 \(68, 1\), expected \(3, 3\) or \(B, 3, 3\)"),
        (np.ones((68, 3)), np.diag([1, 2, 1]), "expected rotation, uniform scale and shift"),
        (np.ones((68, 3)), np.zeros((3, 3)), "expected rotation, uniform scale and shift"),
    ],
)
def test_crop_to_image_of_other_shapes_raises(points, similarity, message) -> None:
    with pytest.raises(InputError, match=message):
        crop_to_image(points, similarity)


def test_map_to_mesh_has_the_faces_texels_in_every_part(model) -> None:
    position_map = np.random.default_rng(1).normal(size=(64, 64, 3)).astype(np.float32)
    masks = {"face": face_mask(model, 64), "covered": build_atlas(model, 64).coverage, "all": np.ones((64, 64), bool)}
    for part, mask in masks.items():
        vertices, triangles, uv = map_to_mesh(position_map, model, part)
        np.testing.assert_array_equal(vertices, position_map[mask])
        assert len(uv) == len(vertices) and triangles.max() < len(vertices)
    assert masks["face"].sum() < 64 * 64
    with pytest.raises(InputError, match="part: 'neck', expected 'face', 'covered' or 'all'"):
        map_to_mesh(position_map, model, "neck")
    with pytest.raises(InputError, match=r"position_map: float32 \(64, 63, 3\), expected real numbers of shape"):
        map_to_mesh(position_map[:, 1:], model)


def test_map_to_landmarks_reads_with_the_models_weights(model) -> None:
    maps = np.random.default_rng(2).normal(size=(2, 64, 64, 3)).astype(np.float32)
    expected = read_landmarks(maps, landmark_weights(model, 64))
    np.testing.assert_array_equal(map_to_landmarks(maps, model), expected)
    np.testing.assert_array_equal(map_to_landmarks(np.moveaxis(maps, 3, 1), model), expected)
    with pytest.raises(InputError, match=r"position_map: float32 \(64, 64, 2\), expected"):
        map_to_landmarks(maps[0, ..., :2], model)


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    """Radians by which two sets of pitch, yaw, roll turn differently."""
    first, second = rotation_matrices(np.stack([a, b]))
    return float(2 * np.arcsin(min(1.0, np.linalg.norm(first - second) / np.sqrt(8))))


@given(st.tuples(st.floats(-1, 1), st.floats(-1.5, 1.5), st.floats(-3, 3)), st.integers(0, 9))
@examples(30)
def test_map_to_pose_of_the_mean_face_is_its_pose(model, angles, seed) -> None:
    shape, expression, pose = face(model, seed, angles)
    similarity = crop_from_box((100, 90, 330, 360), 256)
    position_map = PositionMapper(model, 64)(shape, expression, pose, similarity, HEIGHT)[0]
    found = map_to_pose(crop_to_image(position_map, similarity), model)
    assert angle_between(found.angles_rad, pose[0, :3]) < 1e-5
    parameters = found.parameters(HEIGHT)
    np.testing.assert_allclose(parameters[[3, 4]], pose[0, [3, 4]], atol=1e-3)
    assert parameters[6] == pytest.approx(pose[0, 6], rel=1e-5) and found.residual_px < 1e-3
    in_crop = map_to_pose(position_map, model)  # an upright crop has the angles of its image
    assert angle_between(in_crop.angles_rad, pose[0, :3]) < 1e-5
    assert in_crop.scale == pytest.approx(pose[0, 6] * similarity[0, 0], rel=1e-5)


def horn(static: np.ndarray, moving: np.ndarray) -> tuple[np.ndarray, float]:
    """Rotation and scale that take `moving` to `static`, by the quaternion that is the largest eigenvector of Horn's
    matrix (Closed-form solution of absolute orientation, 1987): another way to the same optimum."""
    a, b = moving - moving.mean(axis=0), static - static.mean(axis=0)
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = a.T @ b
    matrix = np.array(
        [
            [xx + yy + zz, yz - zy, zx - xz, xy - yx],
            [yz - zy, xx - yy - zz, xy + yx, zx + xz],
            [zx - xz, xy + yx, yy - xx - zz, yz + zy],
            [xy - yx, zx + xz, yz + zy, zz - xx - yy],
        ]
    )
    w, x, y, z = np.linalg.eigh(matrix)[1][:, -1]
    rotation = np.array(
        [
            [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (y * x + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
            [2 * (z * x - w * y), 2 * (z * y + w * x), w * w - x * x - y * y + z * z],
        ]
    )
    return rotation, float(np.sqrt((b**2).sum() / (a**2).sum()))


@pytest.mark.parametrize("seed", range(6))
def test_map_to_pose_is_horns_similarity_of_the_face_texels(model, seed) -> None:
    shape, expression, pose = face(model, seed)
    position_map = PositionMapper(model, 64)(shape, expression, pose, np.eye(3), HEIGHT)[0]
    mask = face_mask(model, 64)
    mean_face = build_atlas(model, 64).interpolate(model.mean.astype(np.float32))[mask].astype(float)
    rotation, scale = horn(position_map[mask] * np.array([1, -1, 1.0]), mean_face)
    found = map_to_pose(position_map, model)
    np.testing.assert_allclose(rotation_matrices(found.angles_rad[None])[0], rotation, atol=1e-6)
    assert found.scale == pytest.approx(scale, rel=1e-9)
    shown = mean_face @ found.affine[:, :3].T + found.affine[:, 3]
    assert found.residual_px == pytest.approx(np.sqrt(((shown - position_map[mask]) ** 2).sum(axis=1).mean()))
    assert angle_between(found.angles_rad, pose[0, :3]) < np.deg2rad(25)  # shape and expression turn it


def test_pose_of_landmarks_is_that_of_the_mean_faces_and_no_reflection(model) -> None:
    shape, expression, pose = face(model, 3, (0.2, -0.7, 0.4))
    points = projected(model, shape, expression, pose)[model.landmarks]
    found = landmarks_to_pose(points, model)
    assert isinstance(found, HeadPose) and angle_between(found.angles_rad, pose[0, :3]) < 1e-6
    mirrored = landmarks_to_pose(points * [-1, 1, 1], model)
    assert np.linalg.det(mirrored.affine[:, :3]) < 0  # y is turned once: a rotation, whatever the points are


def test_map_to_pose_of_no_face_raises(model) -> None:
    with pytest.raises(InputError, match="position_map: all of the face is in one point"):
        map_to_pose(np.ones((64, 64, 3)), model)
    with pytest.raises(InputError, match="position_map: holds NaN or infinity"):
        map_to_pose(np.full((64, 64, 3), np.nan), model)
    with pytest.raises(InputError, match="landmarks: all of the face is in one point"):
        landmarks_to_pose(np.ones((68, 3)), model)


def test_readings_of_what_is_not_finite_or_no_model_raise(model) -> None:
    bad = np.full((64, 64, 3), np.nan)
    for read in (map_to_mesh, map_to_landmarks):
        with pytest.raises(InputError, match=r"position_map.*: holds NaN or infinity"):
            read(bad, model)
    for read in (map_to_mesh, map_to_landmarks, map_to_pose):
        for nothing in (None, [1], np.zeros(3), "builtin"):
            with pytest.raises(InputError, match=r"model: .*, expected a MorphableModel; uvgen\.load_model reads one"):
                read(np.ones((64, 64, 3)), nothing)


@pytest.mark.reference
@pytest.mark.slow
def test_round_trip_through_a_real_crop_is_exact_to_a_thousandth_of_a_pixel(reference, stand_in_model) -> None:
    from uvgen import find_samples, read_annotation

    for sample in find_samples(reference / "w300lp")[:3]:
        label = read_annotation(sample)
        numbers = label.shape[None], label.expression[None], label.pose[None].astype(float)
        mesh = projected(stand_in_model, *numbers)
        similarity = crop_from_landmarks(mesh[stand_in_model.landmarks], 256)
        back = crop_to_image(PositionMapper(stand_in_model, 256)(*numbers, similarity, HEIGHT)[0], similarity)
        atlas = build_atlas(stand_in_model, 256)
        true = (atlas.weights[:, :, None] * mesh[atlas.vertices]).sum(axis=1).reshape(256, 256, 3)
        np.testing.assert_allclose(back[..., :2], true[..., :2], atol=1e-3)
