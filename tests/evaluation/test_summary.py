"""Means over faces, by hand."""

import numpy as np
import pytest

from uvgen.errors import InputError
from uvgen.evaluation.summary import summarize

YAW = np.array([0, -30, 10, 45, -60, 61, -351.0])
ERRORS = np.array([1, 2, 3, 10, 20, 100, 300.0])


def test_summary_has_the_plain_mean_the_bins_and_their_mean() -> None:
    found = summarize(ERRORS, YAW)
    assert (found.n, found.mean, found.median) == (7, pytest.approx(436 / 7), 10)
    assert [(one.n, one.mean) for one in found.bins] == [(3, 2), (2, 15), (2, 200)]
    assert [one.std for one in found.bins] == [
        pytest.approx(np.std(part)) for part in ([1, 2, 3], [10, 20], [100, 300])
    ]
    assert found.balanced_mean == pytest.approx(217 / 3)
    assert found.balanced_std == pytest.approx(np.std([2, 15, 200]))
    assert [one.high_deg for one in found.bins] == [30, 60, None]


def test_draws_take_as_many_of_each_bin_as_the_smallest_has() -> None:
    found = summarize(ERRORS, YAW, draws=2000).draws
    assert found is not None and (found.n, found.size) == (2000, 2)
    assert found.mean == pytest.approx((2 + 15 + 200) / 3, abs=0.02)  # the other two bins are whole in each draw
    pairs = [np.mean([a, b]) for a, b in ((1, 2), (1, 3), (2, 3))]
    assert found.std == pytest.approx(np.std(pairs) / 3, rel=0.1)  # of 2000 draws


def test_draws_are_those_of_the_seed_and_not_of_the_order_of_calls() -> None:
    rng = np.random.default_rng(0)
    errors, yaw = rng.random(300), rng.uniform(-90, 90, 300)
    first, again, other = (summarize(errors, yaw, seed=seed).draws for seed in (1, 1, 2))
    assert first == again and first != other


def test_faces_without_a_score_are_in_no_mean_and_not_counted() -> None:
    values = ERRORS.copy()
    values[[0, 6]] = np.nan
    found = summarize(values, YAW)
    assert found.n == 5 and found.mean == pytest.approx(27)
    assert [one.n for one in found.bins] == [2, 2, 1]
    empty = summarize(np.full(3, np.nan), np.zeros(3))
    assert empty.n == 0 and empty.mean is None and empty.bins == ()


def test_summary_without_yaw_has_no_bins() -> None:
    found = summarize(ERRORS)
    assert found.mean == pytest.approx(436 / 7) and found.bins == () and found.balanced_mean is None


def test_summary_of_one_bin_has_no_draws() -> None:
    assert summarize(ERRORS[:3], YAW[:3]).draws is None


def test_summary_of_other_shapes_is_an_error() -> None:
    with pytest.raises(InputError, match=r"yaw_deg: float64 .2,., expected .7,.: one per face"):
        summarize(ERRORS, YAW[:2])
    with pytest.raises(InputError, match="draws: -1, expected 0 or more"):
        summarize(ERRORS, YAW, draws=-1)
