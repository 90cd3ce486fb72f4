"""`uvgen.similarity`: weights; the rest is tested with the evaluation's alignment."""

import numpy as np
import pytest
from support.scans import somewhere

from uvgen.errors import InputError
from uvgen.similarity import align_points


def test_align_points_counts_a_pair_as_often_as_its_weight_says() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, 9, 3))
    times = np.array([1, 2, 3, 1, 1, 4, 1, 2, 1])
    weighted = align_points(source, target, scaled=True, weights=times / 7)
    repeated = align_points(np.repeat(source, times, axis=0), np.repeat(target, times, axis=0), scaled=True)
    for one, other in zip(weighted, repeated, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_align_points_passes_over_points_of_no_weight() -> None:
    place, source = somewhere(3, 0.01), np.random.default_rng(1).normal(size=(9, 3))
    target = place.apply(source)
    target[4] += 100
    found = align_points(source, target, scaled=True, weights=np.arange(9) != 4)
    np.testing.assert_allclose(found.apply(source[:4]), target[:4], atol=1e-12)


@pytest.mark.parametrize("weights", [-np.ones(9), np.zeros(9)])
def test_align_points_of_bad_weights_is_an_error(weights: np.ndarray) -> None:
    points = np.random.default_rng(0).normal(size=(9, 3))
    with pytest.raises(InputError, match=r"weights: .* expected 0 or more, some above 0"):
        align_points(points, points, scaled=True, weights=weights)


def test_points_whose_squares_are_zero_are_refused() -> None:
    points = np.random.default_rng(0).normal(size=(9, 3))
    assert align_points(points * 1e-150, points, scaled=True).scale == pytest.approx(1e150)
    with pytest.raises(InputError, match="source: points in one place, as far as can be computed"):
        align_points(points * 1e-300, points, scaled=True)
