"""Rotations, poses and similarities against the formulas of the specification, written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.geometry import (
    LANDMARK_MIRROR,
    crop_affine,
    face_angles,
    image_affine,
    pose_to_image,
    rotation_matrices,
    transform_points,
    wrapped_deg,
)
from uvgen.samples import deep3d


def factor(axis: str, a: float) -> np.ndarray:
    c, s = np.cos(a), np.sin(a)
    return np.array(
        {
            "x": [[1, 0, 0], [0, c, s], [0, -s, c]],
            "y": [[c, 0, -s], [0, 1, 0], [s, 0, c]],
            "z": [[c, s, 0], [-s, c, 0], [0, 0, 1]],
        }[axis]
    )


def test_rotation_matrices_of_three_angles_are_pitch_yaw_roll_products() -> None:
    angles = np.random.default_rng(0).uniform(-3, 3, (50, 3))
    expected = [factor("x", p) @ factor("y", y) @ factor("z", r) for p, y, r in angles]
    np.testing.assert_allclose(rotation_matrices(angles), expected, atol=1e-14)


@pytest.mark.parametrize("rotations", [rotation_matrices, deep3d.rotations])
def test_rotations_are_in_c_order_so_that_a_product_does_not_depend_on_how_many_there_are(rotations) -> None:
    # NumPy before 2.3 multiplies stacks in other orders without BLAS, which rounds otherwise; one matrix has all orders
    angles = np.random.default_rng(0).normal(size=(3, 3))
    assert rotations(angles).flags.c_contiguous
    points = np.random.default_rng(1).normal(size=(68, 3))
    together = points @ np.swapaxes(rotations(angles), 1, 2)
    for k in range(3):
        np.testing.assert_array_equal(points @ np.swapaxes(rotations(angles[k : k + 1]), 1, 2), together[[k]])


def test_rotation_matrices_of_a_wrong_shape_raise() -> None:
    with pytest.raises(InputError, match=r"angles_rad: float64 \(3,\), expected \(B, 3\): pitch, yaw, roll"):
        rotation_matrices([0, 0, 0])


POSE = [[0.0, 0.0, 0.0, 100.0, 80.0, -5.0, 0.001]]


def test_pose_to_image_exact_puts_matlab_pixels_to_zero_based_ones() -> None:
    affine = pose_to_image(POSE, 120)[0]
    point = affine[:, :3] @ [10_000, 20_000, 30_000] + affine[:, 3]
    # dataset frame: (110, 100, 25) from the bottom, 1-based in x; (p_x - 1, H - p_y, p_z)
    np.testing.assert_allclose(point, [109, 20, 25])


def test_wrapped_deg_takes_off_full_turns() -> None:
    np.testing.assert_array_equal(wrapped_deg([-190, -180, 0, 179, 180, 350, 725]), [170, -180, 0, 179, -180, -10, 5])
    assert np.isnan(wrapped_deg([np.nan, np.inf])).all()


def test_pose_to_image_face3d_is_one_pixel_right_and_up() -> None:
    shift = pose_to_image(POSE, 120, "face3d")[0] - pose_to_image(POSE, 120)[0]
    np.testing.assert_allclose(shift[:, 3], [1, -1, 0])
    np.testing.assert_allclose(shift[:, :3], 0)


@pytest.mark.parametrize(
    ("pose", "height", "convention", "message"),
    [
        ([[0.0] * 6], 100, "exact", r"pose: float64 \(1, 6\), expected \(B, 7\)"),
        (POSE, [100, 100], "exact", r"image_height: float64 \(2,\), expected \(\) or \(1,\)"),
        (POSE, 100, "matlab", "convention: 'matlab', expected 'exact' or 'face3d'"),
    ],
)
def test_pose_to_image_with_a_bad_argument_raises(pose, height, convention, message) -> None:
    with pytest.raises(InputError, match=message):
        pose_to_image(pose, height, convention)


def similarity(scale: float, angle: float, x: float, y: float) -> np.ndarray:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y], [0, 0, 1.0]])


def test_crop_affine_equals_moving_the_projected_points() -> None:
    rng = np.random.default_rng(1)
    to_image = rng.normal(size=(4, 3, 4))
    moves = np.stack([similarity(s, a, x, y) for s, a, x, y in rng.uniform(0.1, 3, (4, 4))])
    points = rng.normal(size=(4, 7, 3))
    image = points @ np.swapaxes(to_image[:, :, :3], 1, 2) + to_image[:, None, :, 3]
    to_crop = crop_affine(to_image, moves)
    crop = points @ np.swapaxes(to_crop[:, :, :3], 1, 2) + to_crop[:, None, :, 3]
    np.testing.assert_allclose(crop, transform_points(image, moves), atol=1e-12)


def test_transform_points_scales_depth_like_the_plane() -> None:
    moved = transform_points([[1.0, 2.0, 3.0]], similarity(2, np.pi / 2, 10, 20))
    np.testing.assert_allclose(moved, [[10 - 4, 20 + 2, 6]], atol=1e-12)


@pytest.mark.parametrize(
    "matrix",
    [
        np.diag([1, 2, 1.0]),
        np.diag([-1, 1, 1.0]),
        np.zeros((3, 3)),
        np.array([[1, 0, 0], [0, 1, 0], [0.1, 0, 1.0]]),
        np.full((3, 3), np.nan),
    ],
)
def test_transform_points_with_what_is_no_similarity_raises(matrix) -> None:
    with pytest.raises(InputError, match="expected rotation, uniform scale and shift"):
        transform_points([[0.0, 0.0]], matrix)


def test_landmark_mirror_is_an_involution_with_nose_and_chin_fixed() -> None:
    np.testing.assert_array_equal(LANDMARK_MIRROR[LANDMARK_MIRROR], np.arange(68))
    np.testing.assert_array_equal(
        np.flatnonzero(np.arange(68) == LANDMARK_MIRROR), [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    )


def test_image_affine_is_that_of_many_poses_and_refuses_what_is_not_finite() -> None:
    pose = np.random.default_rng(5).normal(size=7)
    np.testing.assert_allclose(image_affine(pose, 311), pose_to_image(pose[None], 311)[0], rtol=0, atol=1e-12)
    with pytest.raises(InputError, match="pose"):
        image_affine([np.inf, *pose[1:]], 311)
    with pytest.raises(InputError, match="pose"):
        image_affine(pose[:6], 311)


def test_transform_points_of_infinite_points_warns_nobody() -> None:
    """Warnings are errors in tests; readers pass points of sets that somebody else made."""
    moved = transform_points([[np.inf, 1.0], [1e308, 1e308], [1.0, 2.0]], [[0, -9, 1], [9, 0, 2], [0, 0, 1]])
    assert not np.isfinite(moved[:2]).all() and moved[2].tolist() == [-17, 11]


@given(angles=arrays(np.float64, (3,), elements=st.floats(-6, 6)))
def test_face_angles_are_the_same_rotation_with_a_pitch_within_a_quarter_turn(angles: NDArray[np.float64]) -> None:
    found = face_angles(np.concatenate([angles, [1.0, 2, 3, 4]]))
    np.testing.assert_allclose(rotation_matrices([found]), rotation_matrices([angles]), atol=1e-12)
    assert abs(found[0]) <= np.pi / 2 and abs(found[1]) <= np.pi + 1e-12
    near = face_angles([angles / 4])  # within a quarter turn already
    np.testing.assert_array_equal(near, [angles / 4])
