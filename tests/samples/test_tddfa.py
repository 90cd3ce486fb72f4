"""3DDFA_V2's 62 numbers: against its own way from them to points, written out, and there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.geometry import pose_to_image
from uvgen.models.formats.tddfa_v2 import read_statistics
from uvgen.samples import tddfa

BOX = np.array([[30.5, -12.25, 290.5, 247.75], [100, 80, 180, 160]])
HEIGHT = np.array([301, 170])


def poses(rng: np.random.Generator, n: int = 2) -> NDArray[np.float64]:
    angles = rng.uniform(-0.45, 0.45, (n, 3)) * np.pi
    return np.concatenate([angles, rng.uniform(50, 200, (n, 3)), rng.uniform(2e-4, 2e-3, (n, 1))], axis=1)


def original(
    parameters: NDArray[np.float64], box: NDArray[np.float64], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What 3DDFA_V2 does with points (n, 3) of one face, step by step: parse, pose, to the image."""
    matrix = parameters[:12].reshape(3, 4)
    x, y, z = matrix[:, :3] @ points.T + matrix[:, 3:]
    x, y, z = x - 1, 120 - y, z - 1
    wide, high = (box[2] - box[0]) / 120, (box[3] - box[1]) / 120
    z = z * (wide + high) / 2
    return np.stack([x * wide + box[0], y * high + box[1], z - z.min()], axis=1)


@given(st.integers(0, 2**32 - 1))
def test_affines_are_3ddfa_v2s_own_way_to_the_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parameters = rng.normal(size=(2, 62)) * np.r_[np.tile([5e-4, 5e-4, 5e-4, 60], 3), np.ones(50)]
    box = np.sort(rng.uniform(-50, 400, (2, 2, 2)), axis=1).reshape(2, 4) + [0, 0, 5, 5]
    points = rng.normal(size=(30, 3)) * 5e4
    for k, affine in enumerate(tddfa.affines_of(parameters, box)):
        found = points @ affine[:, :3].T + affine[:, 3]
        found[:, 2] -= found[:, 2].min()
        np.testing.assert_allclose(found, original(parameters[k], box[k], points), atol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_pose_to_parameters_and_back_is_the_identity(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pose, shape, expression = poses(rng), rng.normal(size=(2, 40)) * 1e5, rng.normal(size=(2, 10))
    before = pose.copy()
    parameters = tddfa.parameters_of(pose, shape, expression, BOX, HEIGHT)
    np.testing.assert_allclose(tddfa.affines_of(parameters, BOX), pose_to_image(pose, HEIGHT), rtol=1e-9, atol=1e-9)
    found = tddfa.poses_of(parameters, BOX, HEIGHT)
    for value, expected in zip(found, (pose, shape, expression), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(tddfa.parameters_of(*found, BOX, HEIGHT), parameters, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(pose, before)


def test_pose_of_a_matrix_that_is_nearly_a_rotation_is_the_nearest() -> None:
    rng = np.random.default_rng(3)
    pose = poses(rng)
    parameters = tddfa.parameters_of(pose, np.zeros((2, 40)), np.zeros((2, 10)), BOX, HEIGHT)
    noisy = parameters.copy()
    noisy[:, :12] += rng.normal(size=(2, 12)) * np.tile([5e-6, 5e-6, 5e-6, 0], 3)
    found = tddfa.poses_of(noisy, BOX, HEIGHT)[0]
    np.testing.assert_allclose(found[:, :3], pose[:, :3], atol=0.1)  # noise of some percent of the matrix
    points = rng.normal(size=(200, 3)) * 5e4
    for k in range(2):  # no rotation of the same scale near it comes closer to the matrix
        matrix = tddfa.affines_of(noisy, BOX)[k, :, :3]
        best = np.linalg.norm(points @ (pose_to_image(found, HEIGHT)[k, :, :3] - matrix).T)
        for _ in range(20):
            near = found + np.r_[rng.normal(size=3) * 0.02, np.zeros(4)]
            distance = np.linalg.norm(pose_to_image(near, HEIGHT)[k, :, :3] - matrix)
            assert distance >= np.linalg.norm(pose_to_image(found, HEIGHT)[k, :, :3] - matrix)
        assert best > 0


def test_pose_does_not_depend_on_the_scale_of_other_faces() -> None:
    parameters = np.zeros((2, 62))
    parameters[:, [0, 5, 10]] = [[1e-3], [1e11]]
    both = tddfa.poses_of(parameters, [0, 0, 120, 120], 120)[0]
    for k in range(2):
        np.testing.assert_array_equal(both[k], tddfa.poses_of(parameters[k : k + 1], [0, 0, 120, 120], 120)[0][0])


@given(st.integers(0, 2**32 - 1))
def test_scaled_and_unscaled_are_each_others_inverse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    output, mean, std = rng.normal(size=(3, 62)), rng.normal(size=62), rng.uniform(0.1, 9, 62)
    np.testing.assert_allclose(tddfa.unscaled(tddfa.scaled(output, mean, std), mean, std), output)


def test_published_mean_is_a_face_in_the_crop_seen_from_the_front(reference) -> None:
    mean, std = read_statistics(reference / "bfm_parts/param_mean_std_62d_120x120.pkl")
    pose, shape, expression = tddfa.poses_of(mean[None], [0, 0, 120, 120], 120)
    assert np.abs(np.rad2deg(pose[0, :3])).max() < 10 and 40 < pose[0, 3] < 80 and 40 < pose[0, 4] < 80
    assert shape.shape == (1, 40) and expression.shape == (1, 10)
    np.testing.assert_allclose(tddfa.scaled(np.zeros((1, 62)), mean, std)[0], mean)


def test_boxes_are_those_of_3ddfa_v2() -> None:
    landmarks = np.array([[[10, 20], [110, 40], [60, 80.0]]])
    side = 100 * np.sqrt(2)
    np.testing.assert_allclose(
        tddfa.box_of_landmarks(landmarks), [[60 - side / 2, 50 - side / 2, 60 + side / 2, 50 + side / 2]]
    )
    # sides of 100 and 120: 110 on average, of which 0.14 = 15.4 downward, and int(1.58 · 110) = 173
    np.testing.assert_allclose(
        tddfa.box_of_detection([[10, 20, 110, 140.0]]), [[60 - 86.5, 95.4 - 86.5, 60 + 86.5, 95.4 + 86.5]]
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tddfa.split_parameters(np.ones((2, 61))), r"parameters: float64 \(2, 61\), expected \(B, 62\)"),
        (lambda: tddfa.affines_of(np.ones((2, 62)), [5, 0, 5, 9]), "roi_box: an empty one"),
        (lambda: tddfa.affines_of(np.ones((2, 62)), np.ones((3, 4))), "roi_box: float64"),
        (lambda: tddfa.poses_of(np.ones((1, 62)), [0, 0, 9, 18], 9), r"roi_box: 9 × 18 px in row 0, expected a square"),
        (lambda: tddfa.poses_of(np.zeros((1, 62)), [0, 0, 9, 9], 9), "parameters: a matrix without a rotation in it"),
        (lambda: tddfa.box_of_detection([[1, 2, 3]]), "detection: "),
        (lambda: tddfa.box_of_detection([[1, 2, 3, np.nan]]), "detection: holds NaN or infinity, first at"),
        (lambda: tddfa.box_of_landmarks(np.full((1, 68, 2), np.inf)), "landmarks: holds NaN or infinity, first at"),
        (lambda: tddfa.affines_of(np.ones((1, 62)), [0, 0, np.nan, 9]), r"roi_box: holds NaN or infinity, first at"),
        (lambda: tddfa.scaled(np.ones((1, 62)), np.zeros(62), np.full(62, np.inf)), "std: holds NaN or infinity"),
        (lambda: tddfa.unscaled(np.ones((1, 62)), np.zeros(62), np.arange(62.0)), "std: 0 of parameter 0, expected"),
        # LAPACK would not return
        (lambda: tddfa.poses_of(np.full((1, 62), np.inf), [0, 0, 9, 9], 9), "parameters: holds NaN or infinity"),
        (
            lambda: tddfa.parameters_of(np.ones((1, 7)), np.ones((1, 39)), np.ones((1, 10)), BOX[:1], 9),
            "shape: float64",
        ),
    ],
)
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
