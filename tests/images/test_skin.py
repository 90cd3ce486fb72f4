"""Skin masks against the definition, written out once more in double precision, pixel by pixel."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.images import skin
from uvgen.images.skin import skin_mask


def slow_skin(red: float, green: float, blue: float) -> float:
    """The probability of skin times 255, from the parts of `uvgen.images.skin` that are numbers alone."""
    y = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    cb = 128 + (-37.797 * red - 74.203 * green + 112 * blue) / 255
    cr = 128 + (112 * red - 93.786 * green - 18.214 * blue) / 255
    sums = [0.0, 0.0]
    for k, (weight, mean, determinant, (a, b, c, d, e, f)) in enumerate(skin._GAUSSIANS):
        p, q, r = y - mean[0], cb - mean[1], cr - mean[2]
        power = a * p * p + d * q * q + f * r * r + 2 * (b * p * q + c * p * r + e * q * r)
        density = math.exp(-power / 2) / ((2 * math.pi) ** 1.5 * math.sqrt(determinant))
        sums[k // 4] += weight * density * (0.8 if k < 4 else 0.2)
    return 255 * sums[0] / sum(sums)


def assert_close(mask: NDArray[np.uint8], image: NDArray[np.uint8]) -> None:
    for found, pixel in zip(mask.reshape(-1).tolist(), image.reshape(-1, 3).tolist(), strict=True):
        assert abs(found - slow_skin(*pixel)) < 0.5 + 0.02, pixel  # rounded; single precision


def test_skin_mask_of_colors_of_the_whole_cube_is_the_definition() -> None:
    steps = [0, 1, 63, 64, 128, 200, 254, 255]
    image = np.array([[(r, g, b) for g in steps for b in steps] for r in steps], np.uint8)  # 8 x 64
    mask = skin_mask(image)
    assert mask.shape == image.shape[:2] and mask.dtype == np.uint8
    assert_close(mask, image)


@given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_skin_mask_of_any_size_is_the_definition(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = image.copy()
    assert_close(skin_mask(image), image)
    np.testing.assert_array_equal(image, before)


def test_skin_mask_knows_skin_from_sky_and_grass() -> None:
    colors = [(224, 172, 138), (141, 85, 36), (255, 219, 172), (90, 150, 230), (60, 140, 50), (128, 128, 128)]
    mask = skin_mask(np.array([colors], np.uint8))[0]
    assert mask[:3].min() > 200 and mask[3:].max() < 60


def test_skin_mask_of_a_view_is_that_of_its_copy() -> None:
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(skin_mask(image[::2, ::-3]), skin_mask(image[::2, ::-3].copy()))
    assert skin_mask(image[:0]).shape == (0, 30)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 5), np.uint8), r"image: uint8 \(4, 5\), expected uint8 of shape \(h, w, 3\)"),
        (np.zeros((4, 5, 3)), r"image: float64 \(4, 5, 3\) within 0 to 1, expected uint8"),
    ],
)
def test_skin_mask_of_something_else_is_refused(image: NDArray[np.generic], words: str) -> None:
    with pytest.raises(InputError, match=words):
        skin_mask(image)
