"""Colours, blur, noise and occluders, against slow float versions and literal pixels."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from support.toy import picture

from uvgen.augment import AugmentationDraw, Occluder, apply, occluded_texels
from uvgen.augment.colors import change_colors, color_map
from uvgen.augment.sample import _radii

SIZE = 64


@settings(max_examples=60)
@given(st.tuples(*[st.floats(0, 2)] * 3), st.floats(-0.5, 0.5), st.floats(0, 2), st.floats(0, 2), st.floats(-180, 180))
def test_colors_equal_slow_float_colors_to_one_grey_level(gain, brightness, contrast, saturation, hue) -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    draw = AugmentationDraw(
        9, channel_gain=gain, brightness=brightness, contrast=contrast, saturation=saturation, hue_deg=hue
    )
    matrix, term = color_map(draw)
    expected = np.clip(image @ matrix.T + term, 0, 255)
    change_colors(image, draw)
    # rounding is half a level; factors are off by 1/8192 × 255, table entries by 3/64
    assert np.abs(image - expected).max() <= 0.6


def test_color_map_of_literal_colors() -> None:
    matrix, term = color_map(AugmentationDraw(4, channel_gain=(0.5, 1.0, 2.0), brightness=0.1, contrast=2.0))
    np.testing.assert_allclose(matrix, np.diag([1.0, 2.0, 4.0]))
    assert term == pytest.approx(-127.5 + 25.5)
    grey, _ = color_map(AugmentationDraw(4, saturation=0.0))
    np.testing.assert_allclose(grey @ [100, 0, 0], [29.9] * 3)
    turned, _ = color_map(AugmentationDraw(4, hue_deg=120.0))
    np.testing.assert_allclose(turned @ [200, 10, 30], [30, 200, 10], atol=1e-9)  # red becomes green


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.3])
def test_blur_equals_scipys_gaussian_to_one_grey_level(sigma) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    radius = max(1, int(np.ceil(2.5 * sigma)))
    expected = gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="nearest", radius=(radius, radius, 0))
    change_colors(image, AugmentationDraw(31, blur=sigma))
    assert np.abs(image - expected).max() <= 1  # weights of 11 bits, and rounding


def test_noise_has_its_strength_and_comes_from_the_seed() -> None:
    first, again, other = (np.full((64, 64, 3), 128, np.uint8) for _ in range(3))
    change_colors(first, AugmentationDraw(64, noise=10.0, seed=1))
    change_colors(again, AugmentationDraw(64, noise=10.0, seed=1))
    change_colors(other, AugmentationDraw(64, noise=10.0, seed=2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9
    assert abs(first.mean() - 128) < 0.5 and abs(first.std() - 10) < 0.5  # 12,288 values: 0.1 and 0.07 expected


def test_jpeg_changes_little_and_blocks_much() -> None:
    image = picture(0, SIZE, SIZE)
    fine, coarse = image.copy(), image.copy()
    change_colors(fine, AugmentationDraw(SIZE, jpeg=95))
    change_colors(coarse, AugmentationDraw(SIZE, jpeg=5))
    assert 0 < np.abs(fine - image.astype(int)).mean() < 3 < np.abs(coarse - image.astype(int)).mean()


# Occlusion


def occluder(shape: str, fill: str, **changes: float) -> Occluder:
    return replace(Occluder(shape, fill, 0.4, 0.6, 0.5, 0.3, 30.0, (255, 0, 7), 2, 5), **changes)


@pytest.mark.parametrize("shape", ["rectangle", "blob"])
@pytest.mark.parametrize("x", [0.4, 0.95])
def test_occluded_texels_are_those_whose_pixels_are_hidden(shape, x) -> None:
    draw = AugmentationDraw(SIZE, occluders=(occluder(shape, "color", x=x),))
    crop = apply(draw, np.full((SIZE, SIZE, 3), 100, np.uint8)).image
    hidden = (crop == (255, 0, 7)).all(axis=2)
    np.testing.assert_array_equal(hidden, (crop != 100).any(axis=2))
    columns, rows = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    of_pixels = np.dstack([columns, rows, rows]).astype(np.float32)  # texel (row, column) lies on pixel (row, column)
    np.testing.assert_array_equal(occluded_texels(draw, of_pixels), hidden)
    share = hidden.mean() / (0.5 * 0.3)
    assert (0.95 < share < 1.05 if shape == "rectangle" else 0.2 < share < 0.8) or x > 0.9


def test_rectangle_covers_its_pixels() -> None:
    box = occluder("rectangle", "color", x=0.5, y=0.25, width=3 / 5, height=1 / 5, angle_deg=0.0)
    crop = apply(AugmentationDraw(5, occluders=(box,)), np.zeros((5, 5, 3), np.uint8)).image
    expected = [[0, 0, 0, 0, 0], [0, 255, 255, 255, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(crop[..., 0], expected)


def test_occluder_shows_another_image_or_noise_without_one() -> None:
    image, other = np.full((SIZE, SIZE, 3), 9, np.uint8), np.full((10, 12, 3), 200, np.uint8)
    draw = AugmentationDraw(SIZE, occluders=(occluder("blob", "image"),))
    assert draw.needs_other and not AugmentationDraw(SIZE).needs_other
    assert set(np.unique(apply(draw, image, other=other).image)) == {9, 200}
    assert len(np.unique(apply(draw, image).image)) > 50


@pytest.mark.parametrize("cell", [1, 4, 8])
def test_noise_is_made_of_squares(cell) -> None:
    occluder = Occluder("rectangle", "noise", 0.5, 0.5, 2.0, 2.0, 0.0, (0, 0, 0), cell, 7)
    crop = apply(AugmentationDraw(SIZE, occluders=(occluder,)), np.zeros((SIZE, SIZE, 3), np.uint8)).image
    cells = crop.reshape(SIZE // cell, cell, SIZE // cell, cell, 3)
    assert (cells == cells[:, :1, :, :1]).all()
    squares = cells[:, 0, :, 0].reshape(-1, 3)
    assert len(np.unique(squares, axis=0)) > 0.9 * len(squares)  # each its own colour


@given(st.integers(0, 2**53 - 1))
def test_outline_of_a_blob_is_a_blob(seed) -> None:
    radii = _radii(Occluder("blob", "noise", 0.5, 0.5, 0.5, 0.5, 0.0, (0, 0, 0), 1, seed))
    assert radii.max() == 1 and radii.min() > 0.08  # 0.25 of at most 1 + 1/2 + 1/3 + 1/4 + 1/5
    assert np.abs(np.diff(radii, append=radii[0])).max() < 0.2
