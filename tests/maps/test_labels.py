"""Poses as crops show them, and how labels move, against poses written out."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.toy import parameters, toy_model

from uvgen import PositionMapper, load_model
from uvgen.geometry import LANDMARK_MIRROR, affine_to_pose, pose_to_image
from uvgen.maps.labels import crop_pose, mirror_landmarks, mirror_parameters, mirror_pose
from uvgen.maps.mirror import component_mirror

SIZE, HEIGHT = 64, 120
ANGLES = st.floats(-1.5, 1.5)


def similarity(angle: float, scale: float, x: float, y: float) -> NDArray[np.float64]:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y], [0, 0, 1]])


@given(pitch=ANGLES, yaw=ANGLES, roll=st.floats(-3, 3), convention=st.sampled_from(["exact", "face3d"]))
def test_affine_to_pose_is_the_way_back_of_pose_to_image(pitch, yaw, roll, convention) -> None:
    pose = np.array([[pitch, yaw, roll, 30.0, 40.0, -7.0, 4e-4]])
    found = affine_to_pose(pose_to_image(pose, HEIGHT, convention), HEIGHT, convention)
    np.testing.assert_allclose(found, pose, atol=1e-9)


@pytest.mark.parametrize("yaw", [np.pi / 2, -np.pi / 2])
def test_affine_to_pose_of_a_profile_turns_as_the_map_does(yaw: float) -> None:
    affine = pose_to_image([[0.3, yaw, -0.2, 30.0, 40.0, -7.0, 4e-4]], HEIGHT)
    np.testing.assert_allclose(pose_to_image(affine_to_pose(affine, HEIGHT), HEIGHT), affine, atol=1e-12)


@pytest.mark.parametrize("convention", ["exact", "face3d"])
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("angle", [0.0, 0.7, -2.5])
def test_crop_pose_puts_the_face_where_the_crop_has_it(convention: str, flipped: bool, angle: float) -> None:
    """With the whole crop for an image, the (mirrored) face lies where its landmarks in the crop do."""
    model, p = toy_model(), parameters(3)
    shape, expression, pose = p["Shape_Para"].T, p["Exp_Para"].T, p["Pose_Para"]
    to_crop = similarity(angle, 0.6, 20, -4)
    mapper = PositionMapper(model, 32, convention)
    expected = mapper.crop_landmarks(shape, expression, pose, to_crop, HEIGHT)[0]
    found = crop_pose(pose, to_crop, HEIGHT, SIZE, convention, flipped)
    (affine,) = pose_to_image(found, SIZE, convention)
    vertices = model.mean + model.basis @ np.concatenate([shape[0], expression[0]])
    face = vertices[model.landmarks].astype(np.float64)
    if flipped:  # the mirrored face: x of the model turned around
        expected = mirror_landmarks(expected, SIZE)
        face = (face * [-1, 1, 1])[LANDMARK_MIRROR]
    points = face @ affine[:, :3].T + affine[:, 3]
    np.testing.assert_allclose(points[:, :2], expected[:, :2], atol=2e-4)  # float32 maps of 64 px
    np.testing.assert_allclose(np.ptp(points[:, 2]), np.ptp(expected[:, 2]), atol=2e-4)


def test_crop_pose_of_a_mirrored_frontal_crop_turns_yaw_and_roll_around() -> None:
    pose = np.array([0.2, 0.5, -0.3, 60.0, 50.0, -7.0, 4e-4])
    plain, mirrored = (crop_pose(pose, similarity(0, 0.6, 3, 4), HEIGHT, SIZE, flipped=f) for f in (False, True))
    np.testing.assert_allclose(plain[:3], pose[:3], atol=1e-12)
    np.testing.assert_allclose(mirrored[:3], [0.2, -0.5, 0.3], atol=1e-12)
    np.testing.assert_allclose(mirrored[[4, 6]], plain[[4, 6]])
    np.testing.assert_allclose(mirrored[3], SIZE + 1 - plain[3])  # pixels counted from 1


def test_mirrored_pose_and_parameters_show_the_mirror_image() -> None:
    """The built-in model has the mirror image of each of its faces: its landmarks in a picture 200 px wide."""
    model = load_model("builtin")
    components = component_mirror(model)
    assert components is not None
    rng = np.random.default_rng(2)
    shape = (0.5 * rng.normal(size=model.n_shape) * model.shape_std).astype(np.float32)
    expression = (0.5 * rng.normal(size=model.n_expression) * model.expression_std).astype(np.float32)
    pose = np.array([0.1, 0.4, -0.2, 90, 100, 0, 6e-4], np.float32)
    mapper = PositionMapper(model, 32)
    (points,) = mapper.image_landmarks(shape[None], expression[None], pose[None], 200)
    mirrored = mirror_parameters(shape, expression, components)
    (found,) = mapper.image_landmarks(mirrored[0][None], mirrored[1][None], mirror_pose(pose, 200)[None], 200)
    np.testing.assert_allclose(found, mirror_landmarks(points, 200), atol=1e-4)


def test_component_mirror_of_a_model_without_symmetric_components_is_none() -> None:
    assert component_mirror(toy_model()) is None


@pytest.mark.parametrize("name", ["mean", "basis", "mirror", "landmarks"])
def test_component_mirror_of_a_model_with_one_place_that_is_not_symmetric_is_none(name: str) -> None:
    model = load_model("builtin")
    vertex = int(model.landmarks[0])
    changed = np.array(getattr(model, name))
    if name == "mirror":
        changed[vertex] = -1
    elif name == "landmarks":
        changed[[0, 1]] = changed[[1, 0]]
    else:
        changed[(vertex, *[0] * (changed.ndim - 1))] += 1
    assert component_mirror(dataclasses.replace(model, **{name: changed})) is None
