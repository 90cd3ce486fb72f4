"""What is put in comes out: similarities between point sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from uvgen.errors import InputError
from uvgen.evaluation.alignment import Similarity, align_by_icp, align_points


def cloud(n: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3)) * [3, 2, 1]


@given(st.integers(0, 10**6), st.floats(0.2, 5), st.booleans())
def test_align_points_finds_the_similarity_that_was_put_in(seed: int, scale: float, scaled: bool) -> None:
    rng = np.random.default_rng(seed)
    wanted = Similarity(scale if scaled else 1.0, Rotation.random(random_state=seed).as_matrix(), rng.normal(size=3))
    source = cloud(10, seed)
    found = align_points(source, wanted.apply(source), scaled=scaled)
    np.testing.assert_allclose(found.rotation, wanted.rotation, atol=1e-9)  # sums of ten products
    np.testing.assert_allclose(found.shift, wanted.shift, atol=1e-8)
    assert found.scale == pytest.approx(wanted.scale)


def test_align_points_never_reflects() -> None:
    source = cloud()
    found = align_points(source, source * [-1, 1, 1], scaled=True)
    assert np.linalg.det(found.rotation) == pytest.approx(1)


def test_align_points_is_no_worse_than_any_similarity_near_it() -> None:
    rng = np.random.default_rng(1)
    source, target = cloud(), cloud() + rng.normal(size=(200, 3)) * 0.3
    found = align_points(source, target, scaled=True)
    best = ((found.apply(source) - target) ** 2).sum()
    for k in range(50):
        turn = Rotation.from_rotvec(rng.normal(size=3) * 0.02).as_matrix()
        near = Similarity(
            found.scale * rng.uniform(0.98, 1.02), turn @ found.rotation, found.shift + rng.normal(size=3) / 50
        )
        assert ((near.apply(source) - target) ** 2).sum() > best, k


@pytest.mark.parametrize("scaled", [False, True])
def test_align_by_icp_finds_a_small_motion_without_correspondences(scaled: bool) -> None:
    u, v = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 40))
    target = np.stack([u, v, np.cos(2 * u) + 0.5 * np.sin(3 * v + u)], axis=-1).reshape(-1, 3)
    moved = Similarity(1.02 if scaled else 1.0, Rotation.from_rotvec([0.05, -0.03, 0.04]).as_matrix(), np.full(3, 0.02))
    source = moved.apply(target)[np.random.default_rng(0).permutation(len(target))]
    found = align_by_icp(source, target, scaled=scaled, steps=200)
    distance = np.linalg.norm(found.apply(source)[:, None] - target[None], axis=-1).min(axis=1)
    assert distance.max() < 1e-3  # 2 % of the grid's step
    assert found.scale == pytest.approx(1 / moved.scale, abs=1e-3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((5, 3)), "source: 5 points in one place, expected 3 or more that are apart"),
        (cloud(2), "source: 2 points in one place"),
        (np.full((5, 3), np.nan), "source: holds NaN or infinity, first at"),
        (cloud(4)[:, :2], "source: float64 .4, 2., expected .n, 3."),
    ],
)
def test_align_points_of_bad_points_is_an_error(source: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        align_points(source, cloud(len(source)), scaled=True)


def test_align_points_whose_products_overflow_is_an_error() -> None:
    """LAPACK would not return."""
    with pytest.raises(InputError, match="source, target: their products: holds NaN or infinity"):
        align_points(cloud(9) * 1e200, cloud(9) * 1e200, scaled=True)
