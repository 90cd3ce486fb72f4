"""Losses: against formulas written out, with arrays and with tensors."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.losses import ssim, weighted_l2, weighted_mse


def maps(seed: int = 0, batch: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((batch, 20, 24, 3), np.float32)


def weights() -> NDArray[np.float32]:
    return np.random.default_rng(9).choice(np.array([0, 3, 4, 16], np.float32), (20, 24))


def as_tensors(*arrays: NDArray[Any]) -> list[Any]:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    return [torch.from_numpy(np.moveaxis(a, -1, 1).copy() if a.ndim == 4 else a) for a in arrays]


def test_weighted_mse_is_the_sum_over_texels() -> None:
    p, t, w = maps(0), maps(1), weights()
    total = sum(
        float(w[r, c]) * sum((float(p[b, r, c, k]) - float(t[b, r, c, k])) ** 2 for k in range(3))
        for b in range(2) for r in range(20) for c in range(24)
    )  # fmt: skip
    assert float(weighted_mse(p, t, w)) == pytest.approx(total / (3 * 2 * w.sum()), rel=1e-5)  # float32 sums


def test_weighted_l2_is_the_mean_distance() -> None:
    p, t, w = maps(0), maps(1), weights()
    total = sum(
        float(w[r, c]) * math.dist(p[b, r, c].tolist(), t[b, r, c].tolist())
        for b in range(2) for r in range(20) for c in range(24)
    )  # fmt: skip
    assert float(weighted_l2(p, t, w)) == pytest.approx(total / (2 * w.sum()), rel=1e-5)


@pytest.mark.parametrize("loss", [weighted_mse, weighted_l2])
def test_weighted_loss_ignores_weightless_texels_and_scale_of_weights(loss: Any) -> None:
    p, t, w = maps(0), maps(1), weights()
    changed = np.where(w[..., None] == 0, 1e3, p).astype(np.float32)
    assert loss(changed, t, w) == loss(p, t, w)
    assert loss(p, t, 2 * w) == pytest.approx(loss(p, t, w), rel=1e-6)


def test_weighted_loss_takes_one_mask_a_sample() -> None:
    p, t, w = maps(0), maps(1), weights()
    assert weighted_mse(p, t, np.stack([w, w])) == pytest.approx(weighted_mse(p, t, w), rel=1e-6)
    only_first = np.stack([w, 0 * w])
    assert weighted_mse(p, t, only_first) == pytest.approx(weighted_mse(p[:1], t[:1], w), rel=1e-6)


def test_ssim_equals_scikit_image() -> None:
    from skimage.metrics import structural_similarity

    p, t = maps(0, 1)[0].astype(np.float64), maps(1, 1)[0].astype(np.float64)
    t = 0.5 * p + 0.5 * t
    expected = structural_similarity(
        p, t, data_range=1.0, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(p, t) == pytest.approx(expected, abs=1e-12)
    assert ssim(100 * p, 100 * t, data_range=100) == pytest.approx(expected, abs=1e-12)
    assert ssim(p, p) == pytest.approx(1)


@pytest.mark.torch
def test_losses_of_tensors_equal_those_of_arrays_and_have_gradients() -> None:
    p, t, w = maps(0), maps(1), weights()
    tp, tt, tw = as_tensors(p, t, w)
    tp.requires_grad_()
    for loss, arguments in ((weighted_mse, (w,)), (weighted_l2, (w,)), (ssim, ())):
        value = loss(tp, tt, *([tw] if arguments else []))
        assert value.item() == pytest.approx(float(loss(p, t, *arguments)), rel=1e-5)
        value.backward()
    assert tp.grad is not None and bool(tp.grad.isfinite().all())
    nothing = tt.clone().requires_grad_()
    weighted_l2(nothing, tt, tw).backward()
    assert bool(nothing.grad.isfinite().all())  # the length's derivative at 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((maps(), maps(batch=1), weights()), "expected (1, 20, 24, 3): the target's shape"),
        ((maps()[..., 0], maps()[..., 0], weights()), "expected (..., 3, U, U)"),
        ((maps(), maps(), weights().T), "weights: float32 (24, 20), expected (20, 24): one weight"),
    ],
)
def test_weighted_mse_of_shapes_that_do_not_agree_is_an_error(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InputError) as caught:
        weighted_mse(*arguments)
    assert words in str(caught.value)


def test_ssim_of_small_maps_is_an_error() -> None:
    with pytest.raises(InputError, match="sides of 11"):
        ssim(maps()[:, :10], maps()[:, :10])
