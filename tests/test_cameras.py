"""The perspective camera, against one matrix per step and against the scaled orthographic one far away."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvgen.cameras import PerspectiveCamera
from uvgen.errors import InputError

CAMERA = PerspectiveCamera(1015.0, (112.0, 111.0), 10.0)


def test_project_puts_five_literal_points_where_they_belong() -> None:
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 5], [-2, 0, -10.0]])
    expected = [[112, 111], [213.5, 111], [112, 9.5], [315, -92], [10.5, 111]]
    np.testing.assert_allclose(CAMERA.project(points)[:, :2], expected)


@given(st.integers(0, 2**32 - 1))
def test_project_is_the_product_with_matrices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(2, 4, 3))
    before = points.copy()
    camera = PerspectiveCamera(*rng.uniform(100, 2000, 1), tuple(rng.normal(100, 20, 2)), rng.uniform(8, 20))
    to_camera = np.array([[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, camera.distance], [0, 0, 0, 1]])
    intrinsic = np.array([[camera.focal_px, 0, camera.center_px[0]], [0, camera.focal_px, camera.center_px[1]],
                          [0, 0, 1]])  # fmt: skip
    for face, found in zip(points, camera.project(points), strict=True):
        seen = intrinsic @ (to_camera @ np.c_[face, np.ones(4)].T)[:3]
        np.testing.assert_allclose(found[:, :2], (seen[:2] / seen[2]).T)
        scale = camera.focal_px / seen[2].mean()
        np.testing.assert_allclose(found[:, 2], scale * face[:, 2])
    np.testing.assert_array_equal(points, before)


def test_project_from_far_away_is_the_scaled_orthographic_camera() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    far = PerspectiveCamera(30e6, (7.0, 5.0), 1e6)
    expected = points * [30, -30, 30] + [7, 5, 0]
    np.testing.assert_allclose(far.project(points), expected, atol=1e-3)  # 90 px times 3 of 1e6


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0, 0, 10.0]], "a depth of 0, expected more than 0"),
        ([[0, 0, 11.0]], "a depth of -1, expected more than 0"),
        ([[0, 0, np.nan]], "holds NaN or infinity"),
        ([[0, 0]], r"float64 \(1, 2\), expected"),
        ([0, 0, 1.0], r"float64 \(3,\), expected"),
    ],
)
def test_project_of_points_that_it_cannot_see_is_refused(points: list[list[float]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CAMERA.project(points)
