"""Normalized mean errors, by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.metrics import by_yaw, nme_2d, nme_3d, nme_dense

BOX = math.sqrt(40 * 90)  # of `truth`: 40 wide, 90 high


def truth(batch: int = 2) -> NDArray[np.float64]:
    points = np.random.default_rng(0).uniform(0.1, 0.9, (batch, 68, 3))
    points[:, :2] = [[0, 0, 0.3], [1, 1, 0.7]]
    return points * [40, 90, 50] + [7, -3, 11]


def test_nme_2d_of_a_shift_is_its_length_over_the_box() -> None:
    found = nme_2d(truth() + [3, 4, 100], truth())
    np.testing.assert_allclose(found, [5 / BOX] * 2)
    np.testing.assert_allclose(nme_2d(truth()[..., :2] + [3, 4], truth()[..., :2]), found)


def test_nme_2d_normalizes_by_the_true_box_alone() -> None:
    np.testing.assert_allclose(nme_2d(truth() * 2, truth())[0], np.linalg.norm(truth()[0, :, :2], axis=1).mean() / BOX)


def test_nme_3d_centers_depths() -> None:
    np.testing.assert_allclose(nme_3d(truth() + [3, 4, 100], truth()), [5 / BOX] * 2)
    tilted = truth()
    tilted[:, ::2, 2] += 12  # every second point: 6 on either side of the mean
    np.testing.assert_allclose(nme_3d(tilted + [0, 2.5, 0], truth()), [6.5 / BOX] * 2)


def test_nme_dense_takes_the_masks_texels() -> None:
    rng = np.random.default_rng(1)
    maps, mask = rng.random((2, 5, 7, 3)) * 100, rng.random((5, 7)) < 0.6
    moved = maps + [3, 4, 9]
    moved[:, ~mask] = 1e6
    np.testing.assert_allclose(nme_dense(moved, maps, mask, truth()), [5 / BOX] * 2)
    np.testing.assert_allclose(nme_dense(moved, maps, mask, truth(), dimensions=2), [5 / BOX] * 2)
    moved[..., 2] += np.where(np.arange(7) % 2, 1, 0)
    assert nme_dense(moved, maps, mask, truth())[0] > 5 / BOX + 1e-4
    np.testing.assert_allclose(nme_dense(moved, maps, mask, truth(), dimensions=2), [5 / BOX] * 2)


def test_nme_dense_divides_by_the_box_of_the_masks_texels_where_asked() -> None:
    rng = np.random.default_rng(1)
    maps, mask = rng.random((2, 5, 7, 3)) * 100, rng.random((5, 7)) < 0.6
    maps[:, ~mask] = -1e4
    sides = [np.ptp(maps[k][mask][:, :2], axis=0) for k in range(2)]
    expected = [5 / math.sqrt(width * height) for width, height in sides]
    np.testing.assert_allclose(nme_dense(maps + [3, 4, 9], maps, mask, box="dense"), expected)
    np.testing.assert_allclose(nme_dense(maps + [3, 4, 9], maps, mask, box="dense", dimensions=2), expected)
    with pytest.raises(InputError, match="box: 'face', expected 'landmarks' or 'dense'"):
        nme_dense(maps, maps, mask, truth(), box="face")
    with pytest.raises(InputError, match="landmarks: None, expected a NumPy array"):
        nme_dense(maps, maps, mask)
    with pytest.raises(InputError, match="truth: the mask's texels of a sample lie in one line"):
        nme_dense(maps * [1, 0, 1], maps * [1, 0, 1], mask, box="dense")


def test_by_yaw_has_closed_upper_ends_and_weighs_bins_alike() -> None:
    yaw = np.array([0, -30, 30.001, 60, -60.001, 90, 95, -351])
    errors = np.array([1, 3, 10, 20, 100, 300, 500, 700])
    found = by_yaw(errors, yaw)
    assert found[:4] == (2, 15, 400, pytest.approx(417 / 3))
    assert found.n_samples == (2, 2, 4)


def test_by_yaw_of_an_empty_bin_is_nan_and_the_mean_is_over_the_others() -> None:
    found = by_yaw(np.array([1.0, 4, 6]), np.array([45.0, -61, 200]))
    assert math.isnan(found.to_30)
    assert found[1:] == (1, 5, 3, (0, 1, 2))
    nothing = by_yaw(np.empty(0), np.empty(0))
    assert all(map(math.isnan, nothing[:4])) and nothing.n_samples == (0, 0, 0)


def test_by_yaw_of_an_error_that_is_nan_is_nan_in_its_bin_and_the_mean() -> None:
    found = by_yaw(np.array([1.0, np.nan, 3]), np.array([10.0, 40, 80]))
    assert found.to_30 == 1 and math.isnan(found.to_60) and found.above_60 == 3 and math.isnan(found.mean)
    assert found.n_samples == (1, 1, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_by_yaw_of_a_yaw_that_is_not_finite_is_an_error(bad: float) -> None:
    with pytest.raises(InputError, match=rf"yaw_deg: {bad} at 2, expected finite numbers"):
        by_yaw(np.ones(4), np.array([1.0, 2, bad, bad]))


def test_by_yaw_counts_as_the_benchmark_does(reference: Path) -> None:
    yaw = np.load(reference / "aflw2000_eval/AFLW2000-3D.pose.npy").reshape(-1)
    found = by_yaw(np.abs(yaw), yaw)
    assert found.n_samples == (1312, 383, 305)  # as 3DDFA's benchmark_aflw2000.py prints them
    assert found.above_60 > 61


@pytest.mark.torch
def test_metrics_of_tensors_equal_those_of_arrays() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    rng = np.random.default_rng(2)
    maps, mask = rng.random((2, 3, 5, 7)), rng.random((5, 7)) < 0.6
    guess = truth() + rng.normal(size=(2, 68, 3))
    calls: list[tuple[Any, tuple[Any, ...]]] = [
        (nme_2d, (guess, truth())),
        (nme_3d, (guess, truth())),
        (nme_dense, (maps + rng.normal(size=maps.shape), maps, mask, truth())),
    ]
    for function, arguments in calls:
        expected = function(*arguments)
        np.testing.assert_allclose(function(*map(torch.from_numpy, arguments)).numpy(), expected, rtol=1e-12)
    assert by_yaw(torch.tensor([1.0, 2.0]), torch.tensor([10.0, -20.0])).to_30 == 1.5


@pytest.mark.parametrize("bad", [truth()[:, :67], truth()[0], truth()[:1]])
def test_nme_of_wrong_shapes_is_an_error(bad: NDArray[np.float64]) -> None:
    with pytest.raises(InputError, match=r"predicted: float64 .*, expected \(2, 68, 3\): the shape of truth"):
        nme_2d(bad, truth())


def test_nme_of_an_empty_box_is_an_error() -> None:
    with pytest.raises(InputError, match="in one line"):
        nme_2d(truth(), truth() * 0)


def test_nme_dense_of_a_box_that_is_not_finite_is_an_error() -> None:
    maps, endless = np.ones((2, 5, 7, 3)), truth()
    endless[0, 3, 0] = np.inf
    with pytest.raises(InputError, match="are not finite"):
        nme_dense(maps, maps, np.ones((5, 7), bool), endless)


def test_nme_dense_of_other_masks_is_that_of_a_bool_mask_or_an_error() -> None:
    rng = np.random.default_rng(1)
    maps, mask = rng.random((2, 5, 7, 3)) * 100, rng.random((5, 7)) < 0.6
    moved = maps + rng.random((2, 5, 7, 3))
    expected = nme_dense(moved, maps, mask, truth())
    for kind in (np.uint8, np.int64, np.float32):
        np.testing.assert_array_equal(nme_dense(moved, maps, mask.astype(kind) * 255, truth()), expected)
    with pytest.raises(InputError, match=r"mask: bool \(5, 7\) without a texel"):
        nme_dense(moved, maps, np.zeros((5, 7)), truth())
    with pytest.raises(InputError, match=r"landmarks: float64 \(1, 68, 3\), expected \(2, 68, 2\)"):
        nme_dense(moved, maps, mask, truth(1))


def test_errors_of_points_name_the_truth_whose_box_has_no_area() -> None:
    for error in (nme_2d, nme_3d):
        with pytest.raises(InputError, match="truth: those of a sample lie in one line"):
            error(np.ones((1, 68, 3)), np.ones((1, 68, 3)))
