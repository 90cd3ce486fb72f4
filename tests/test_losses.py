"""Losses: against formulas written out, with arrays and with tensors."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.losses import (
    landmark_loss,
    prior_loss,
    siamese_loss,
    ssim,
    symmetry_loss,
    weighted_l2,
    weighted_mse,
)


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
        ((maps(), maps(), weights().T), "weights: float32 (24, 20), expected (20, 24) or (2, 20, 24): one weight"),
    ],
)
def test_weighted_mse_of_shapes_that_do_not_agree_is_an_error(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InputError) as caught:
        weighted_mse(*arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.ones((3, 20, 24)), "weights: float64 (3, 20, 24), expected (20, 24) or (2, 20, 24): one weight"),
        (np.ones((1, 2, 20, 24)), "weights: float64 (1, 2, 20, 24), expected"),
        (np.ones(24), "weights: float64 (24,), expected"),
        (-weights(), "weights: negative or not finite, expected finite weights of 0 or more"),
        (np.where(weights() == 16, np.nan, 1), "weights: negative or not finite"),
        (np.where(weights() == 16, np.inf, 1), "weights: negative or not finite"),
        (np.zeros((20, 24), np.uint8), "weights: their sum is 0.0, expected a finite one above 0"),
        (np.full((20, 24), 3e38, np.float32), "weights: their sum is inf, expected a finite one above 0"),
        ([[1.0] * 24] * 20, "weights: [[1.0, 1.0, "),
    ],
)
@pytest.mark.parametrize("loss", [weighted_mse, weighted_l2])
@pytest.mark.filterwarnings("ignore:overflow")
def test_weighted_loss_of_unusable_weights_is_an_error(loss: Any, mask: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        loss(maps(), maps(), mask)
    assert words in str(caught.value)


@pytest.mark.torch
def test_weighted_loss_of_unusable_weights_off_the_cpu_does_not_look_at_them() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    tensors = [torch.empty(2, 3, 20, 24, device="meta"), torch.empty(2, 3, 20, 24, device="meta")]
    found = weighted_mse(*tensors, torch.empty(20, 24, device="meta"))  # values of this device cannot be looked at
    assert found.shape == () and found.dtype == torch.float32
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    p, t, w = (tensor.cuda() for tensor in as_tensors(maps(0), maps(1), weights()))
    assert bool(weighted_mse(p, t, w).isfinite())
    for bad in (-w, 0 * w, w / 0):
        assert bool(weighted_mse(p, t, bad).isnan()) and bool(weighted_l2(p, t, bad).isnan())


def test_losses_of_no_maps_are_errors() -> None:
    with pytest.raises(InputError, match="expected one map or more"):
        weighted_mse(maps()[:0], maps()[:0], weights())
    with pytest.raises(InputError, match="data_range: 0, expected more than 0"):
        ssim(maps(), maps(), data_range=0)


def test_ssim_with_weights_is_the_weighted_mean_of_the_places() -> None:
    from skimage.metrics import structural_similarity

    p, t = maps(0, 1)[0].astype(np.float64), maps(1, 1)[0].astype(np.float64)
    t = 0.5 * p + 0.5 * t
    _, places = structural_similarity(
        p, t, data_range=1.0, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    weights = np.random.default_rng(2).random(p.shape[:2])
    inner = (slice(5, -5), slice(5, -5))  # where the window fits
    expected = (places.mean(axis=-1) * weights)[inner].sum() / weights[inner].sum()
    assert ssim(p, t, weights=weights) == pytest.approx(expected, abs=1e-12)
    first = [np.moveaxis(values, -1, 0) for values in (p, t)]
    assert ssim(*first, weights=weights) == pytest.approx(expected, abs=1e-12)
    assert ssim(p, t, weights=np.ones(p.shape[:2], bool)) == pytest.approx(ssim(p, t), abs=1e-12)
    batch = np.stack([p, t])
    assert ssim(batch, batch[::-1].copy(), weights=weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_ssim_of_each_map_is_that_of_the_map_alone(channels_last: bool, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    shape = (2, 4, 16, 16, 3) if channels_last else (2, 4, 3, 16, 16)
    target, noise = rng.random(shape), rng.normal(0, 0.2, shape)
    weights = rng.random((16, 16)) if weighted else None
    found = ssim(target + noise, target, weights=weights, each=True)
    expected = [[ssim(p, t, weights=weights) for p, t in zip(*rows)] for rows in zip(target + noise, target)]  # noqa: B905
    assert found.shape == (2, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    with pytest.raises(InputError, match="one weight per texel, for all maps"):
        ssim(target, target, weights=np.ones((4, 16, 16)), each=True)


def test_ssim_with_bad_weights_is_an_error() -> None:
    p = maps(0, 1)[0]
    for weights, message in (
        (np.ones((3, 3)), r"weights: float64 \(3, 3\), expected"),
        (np.full(p.shape[:2], -1.0), "weights: negative or not finite"),
        (np.zeros(p.shape[:2]), r"weights: their sum is 0\.0, expected"),
        ([1], r"weights: \[1\], expected a NumPy array"),
    ):
        with pytest.raises(InputError, match=message):
            ssim(p, p, weights=weights)


def test_ssim_of_small_maps_is_an_error() -> None:
    with pytest.raises(InputError, match="sides of 11"):
        ssim(maps()[:, :10], maps()[:, :10])


def textures(n: int = 4) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Textures (n, 6, 7, 3), 0 where they are not seen."""
    rng = np.random.default_rng(3)
    seen = rng.random((n, 6, 7)) < 0.6
    return rng.random((n, 6, 7, 3)) * seen[..., None], seen


def by_loops(a: NDArray[np.float64], b: NDArray[np.float64], n_seen: int) -> float:
    """The published formula, value by value: sum((a-b)² [a≠0 and b≠0]) / number of values that are not 0."""
    pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    return sum((x - y) ** 2 for x, y in pairs if x != 0 and y != 0) / n_seen


def test_symmetry_and_siamese_losses_are_the_published_sums() -> None:
    texture, seen = textures()
    n_seen = np.count_nonzero(texture)
    symmetry = by_loops(texture, texture[:, :, ::-1], n_seen)
    siamese = by_loops(texture[::2], texture[1::2], n_seen)
    for mask in (None, seen, seen.astype(np.uint8)):
        assert float(symmetry_loss(texture, mask)) == pytest.approx(symmetry, rel=1e-12)
        assert float(siamese_loss(texture, mask)) == pytest.approx(siamese, rel=1e-12)
    assert symmetry_loss(texture[0], seen[0]) == pytest.approx(
        by_loops(texture[0], texture[0, :, ::-1], np.count_nonzero(texture[0])), rel=1e-12
    )
    assert symmetry_loss(0 * texture) == siamese_loss(0 * texture) == 0
    black = texture * (np.arange(3) > 0)  # with a mask, a channel of 0 counts
    assert symmetry_loss(black, seen) == pytest.approx(by_loops(black, black[:, :, ::-1], 3 * seen.sum()), rel=1e-12)


def test_landmark_and_prior_losses_are_sums_of_squares() -> None:
    rng = np.random.default_rng(4)
    p, t, seen, alpha = rng.random((2, 5, 2)), rng.random((2, 5, 2)), rng.random((2, 5)) < 0.5, rng.random((2, 4))
    expected = sum(math.dist(p[b, k], t[b, k]) ** 2 * seen[b, k] for b in range(2) for k in range(5))
    assert landmark_loss(p, t, seen) == pytest.approx(expected)
    alone = [math.dist(p[b, k], t[b, k]) ** 2 for b in range(2) for k in range(5)]
    assert landmark_loss(p, t) == pytest.approx(sum(alone))
    assert landmark_loss(p, t, np.array([0, 0, 2, 0, 0])) == pytest.approx(2 * ((p - t)[:, 2] ** 2).sum())
    assert prior_loss(alpha) == pytest.approx(sum(x**2 for x in alpha.ravel().tolist()))
    assert prior_loss(alpha, np.array([0, 0, 0, 3])) == pytest.approx(3 * (alpha[:, 3] ** 2).sum())


@pytest.mark.torch
def test_transformer_losses_of_tensors_equal_those_of_arrays_and_pass_gradcheck() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    texture, seen = textures(2)
    first = torch.from_numpy(np.moveaxis(texture, -1, 1).copy()).requires_grad_()
    mask, points = torch.from_numpy(seen), torch.from_numpy(np.random.default_rng(5).random((2, 5, 2)))
    for loss in (symmetry_loss, siamese_loss):
        assert loss(first, mask).item() == pytest.approx(float(loss(texture, seen)), rel=1e-12)
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(x, mask), first)
    moved = (points + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: landmark_loss(x, points, torch.ones(5)), moved)
    assert torch.autograd.gradcheck(prior_loss, torch.rand(2, 3, dtype=torch.float64, requires_grad=True))
    assert landmark_loss(moved.half(), points.half()).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: symmetry_loss(np.zeros((2, 6, 7))), "texture: float64 (2, 6, 7), expected (..., 3, 1+, 1+)"),
        (lambda: symmetry_loss(np.zeros((6, 7, 3)), np.zeros((7, 6))), "seen: float64 (7, 6), expected (6, 7)"),
        (lambda: siamese_loss(np.zeros((3, 6, 7, 3))), "texture: float64 (3, 6, 7, 3), expected pairs, (2 N"),
        (lambda: landmark_loss(np.zeros((2, 5, 2)), np.zeros((5, 2))), "predicted: float64 (2, 5, 2), expected"),
        (lambda: landmark_loss(np.zeros((5, 2)), np.zeros((5, 2)), np.ones(4)), "weights: float64 (4,), expected (5,"),
        (lambda: prior_loss(np.zeros((2, 5)), np.ones(4)), "weights: float64 (4,), expected (5,)"),
        (lambda: prior_loss(np.zeros((1, 2)).view(np.matrix)), "coefficients: a NumPy matrix, expected an array"),
        (lambda: prior_loss([1.0]), "coefficients: [1.0], expected a NumPy array or a PyTorch tensor"),
    ],
)  # fmt: skip
def test_transformer_losses_of_what_does_not_fit_say_so(call: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)
