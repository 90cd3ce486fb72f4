"""The kernels between stored numbers and those that networks take, each against a plain function of the same name."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from numpy.typing import NDArray

from uvgen.torch import kernels

Array = NDArray[Any]


def planar_values(codes: Array, scale: Array, offset: Array, values_out: Array) -> None:
    values_out[:] = (codes.reshape(-1, 3).astype(np.float64) * scale + offset).T


def interleaved_values(codes: Array, scale: Array, offset: Array, values_out: Array) -> None:
    values_out[:] = (codes.reshape(-1, 3).astype(np.float64) * scale + offset).reshape(-1)


def to_codes(values: Array, factor: float, low: float, codes_out: Array) -> None:
    codes_out[:] = (values.astype(np.float64) - low) * factor


def add_up(values: Array, sums_out: Array) -> None:
    pixels = values.reshape(-1, 3).astype(np.int64)
    sums_out[:] = pixels.sum(axis=0), (pixels**2).sum(axis=0)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("n", [0, 1, 5, 300])
def test_values_are_the_plain_ones(kind: Any, n: int) -> None:
    rng = np.random.default_rng(n)
    codes = rng.uniform(0, np.iinfo(kind).max if kind != np.float32 else 300, 3 * n).astype(kind)
    scale, offset = rng.normal(size=(2, 3)).astype(np.float32)
    for name, shape in (("planar_values", (3, n)), ("interleaved_values", (3 * n,))):
        found, expected = np.empty(shape, np.float32), np.empty(shape)
        getattr(kernels, name)(codes, scale, offset, found)
        globals()[name](codes, scale, offset, expected)
        atol = 3e-7 * (np.abs(codes).max(initial=0) * np.abs(scale).max() + np.abs(offset).max())  # float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def test_to_codes_is_the_plain_one() -> None:
    values = np.random.default_rng(0).uniform(-30, 280, 400).astype(np.float32)
    low, factor = values.min(), np.float32(65535 / np.ptp(values))
    found, expected = np.empty(400, np.uint16), np.empty(400)
    kernels.to_codes(values, factor, low, found)
    to_codes(values, float(factor), float(low), expected)
    assert np.abs(found - expected).max() <= 0.5 + 0.02  # rounded; float32 has 2^-8 at 65535, three times


@pytest.mark.parametrize("n", [0, 1, 77])
def test_add_up_is_the_plain_one(n: int) -> None:
    values = np.random.default_rng(n).integers(0, 256, 3 * n, dtype=np.uint8)
    found, expected = np.empty((2, 3), np.int64), np.empty((2, 3), np.int64)
    kernels.add_up(values, found)
    add_up(values, expected)
    np.testing.assert_array_equal(found, expected)
