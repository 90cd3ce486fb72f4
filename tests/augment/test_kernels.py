"""The kernels of augmentation, each against a plain function of the same name and arguments."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen.augment import kernels
from uvgen.augment.kernels import BLOB, COLOR, IMAGE, N_RADII, NOISE, RECTANGLE, Filling, Outline

Array = NDArray[Any]
WORD = (1 << 64) - 1


def _inside(outline: Outline, x: float, y: float) -> bool:
    p, q = (row[0] * x + row[1] * y + row[2] for row in outline.frame)
    if abs(p) > 1 or abs(q) > 1:
        return False
    if outline.shape == RECTANGLE or p == q == 0:
        return True
    turn = q / (abs(p) + abs(q))
    turn = turn if p >= 0 else 2 - turn  # -1 to 3, once around
    radius = outline.radii[min(int((turn + 1) * N_RADII / 4), N_RADII - 1)]
    return bool(p * p + q * q <= radius * radius)


def _hash(x: int) -> int:
    """splitmix64's finalizer."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WORD
    return x ^ (x >> 31)


def draw_occluder(outline: Outline, filling: Filling, crop_out: Array) -> None:
    start = _hash(int(filling.seed))
    height, width = filling.content.shape[:2]
    for row in range(crop_out.shape[0]):
        for column in range(crop_out.shape[1]):
            if not _inside(outline, column, row):
                continue
            if filling.kind == COLOR:
                crop_out[row, column] = filling.color
            elif filling.kind == IMAGE:
                crop_out[row, column] = filling.content[(row + (start >> 32)) % height, (column + start) % width]
            else:
                bits = _hash((start + ((row // filling.cell) << 32) + column // filling.cell) & WORD)
                crop_out[row, column] = [(bits >> shift) & 255 for shift in (0, 8, 16)]


def mark_occluded(texels: Array, outline: Outline, occluded_out: Array) -> None:
    for t, (x, y, _) in enumerate(texels.astype(np.float64)):
        occluded_out[t] |= _inside(outline, x, y)


def scale_channels(factors: Array, term: int, rows_out: Array) -> None:
    rows_out[:] = np.clip((rows_out.astype(np.int64) * factors + term) // 2**12, 0, 255)


def mix_channels(tables: Array, pixels_out: Array) -> None:
    for pixel in pixels_out:
        total = sum(int(table[value]) for table, value in zip(tables, pixel, strict=True))
        fields = np.array([(total >> (21 * c)) % 2**21 for c in range(3)])
        pixel[:] = np.clip((fields - 2**20) // 2**5, 0, 255)


def blur_rgb(image: Array, weights: Array, lines: Array, blurred_out: Array) -> None:
    radius, shares = len(weights) // 2, weights / 2**14
    padded = np.pad(image.astype(np.float64), ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    down = sum(share * padded[j : j + len(image)] for j, share in enumerate(shares))
    blurred_out[:] = sum(share * down[:, j : j + image.shape[1]] for j, share in enumerate(shares))


def add_noise(strength: float, seed: int, values_out: Array) -> None:
    start = _hash(int(seed))
    deviation = np.sqrt(4 / 12) * 2**16  # of the sum of four numbers that are uniform below 2^16
    for k in range(len(values_out)):
        bits = _hash((start + k) & WORD)
        total = sum((bits >> shift) % 2**16 for shift in (0, 16, 32, 48)) - 4 * (2**16 - 1) / 2
        values_out[k] = min(max(values_out[k] + strength * total / deviation, 0), 255)


def outline_of(shape: int, angle: float) -> Outline:
    """Over a part of a crop of 23 px, and beyond its left edge."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s], [s, c]]) / [[7.3], [4.1]]
    radii = np.random.default_rng(0).uniform(0.4, 1, N_RADII)
    return Outline(np.column_stack([turn, -turn @ [4.2, 11.7]]), shape, radii)


@pytest.mark.parametrize("kind", [NOISE, COLOR, IMAGE])
@pytest.mark.parametrize("shape", [RECTANGLE, BLOB])
@pytest.mark.parametrize("angle", [0.0, 0.7, -2.0])
def test_draw_occluder_is_the_plain_one(angle: float, shape: int, kind: int) -> None:
    rng = np.random.default_rng(1)
    content = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    filling = Filling(kind, np.array([1, 2, 250], np.uint8), 3, np.uint64(WORD - 5), content)
    crop = rng.integers(0, 256, (23, 23, 3), dtype=np.uint8)
    found, expected = crop.copy(), crop.copy()
    kernels.draw_occluder(outline_of(shape, angle), filling, found)
    draw_occluder(outline_of(shape, angle), filling, expected)
    np.testing.assert_array_equal(found, expected)
    assert (found != crop).any()


@pytest.mark.parametrize("shape", [RECTANGLE, BLOB])
def test_mark_occluded_is_the_plain_one(shape: int) -> None:
    texels = np.random.default_rng(0).uniform(-2, 24, (500, 3)).astype(np.float32)
    found, expected = np.zeros(500, bool), np.zeros(500, bool)
    found[3] = expected[3] = True  # stays
    kernels.mark_occluded(texels, outline_of(shape, 0.7), found)
    mark_occluded(texels, outline_of(shape, 0.7), expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("term", [-300000, 0, 2048, 300000])
def test_scale_channels_is_the_plain_one(term: int) -> None:
    found = np.random.default_rng(0).integers(0, 256, (5, 21), dtype=np.uint8)
    factors = np.tile(np.array([0, 4096, 9000], np.int32), 7)
    expected = found.copy()
    kernels.scale_channels(factors, np.int32(term), found)
    scale_channels(factors, term, expected)
    np.testing.assert_array_equal(found, expected)


def test_mix_channels_is_the_plain_one() -> None:
    rng = np.random.default_rng(0)
    added = rng.integers(-4000, 8000, (3, 3, 256))
    added[0] += 2**20
    tables = (added[:, 0] + (added[:, 1] << 21) + (added[:, 2] << 42)).astype(np.uint64)
    found = rng.integers(0, 256, (200, 3), dtype=np.uint8)
    expected = found.copy()
    kernels.mix_channels(tables, found)
    mix_channels(tables, expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("weights", [[2**14], [5000, 6384, 5000], [-500, 3000, 11384, 3000, -500]])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 9), (13, 6)])
def test_blur_rgb_is_the_plain_one(height: int, width: int, weights: list[int]) -> None:
    image = 20 + np.random.default_rng(0).integers(0, 200, (height, width, 3), dtype=np.uint8)
    lines = np.empty((2, 3 * (width + len(weights) - 1)), np.int32)
    found, expected = np.empty_like(image), np.empty(image.shape)
    kernels.blur_rgb(image, np.array(weights, np.int32), lines, found)
    blur_rgb(image, np.array(weights, np.int32), lines, expected)
    assert np.abs(found - expected).max() <= 0.5 + 2**-8  # rounded, and in between to 8 bits behind the point


@pytest.mark.parametrize("strength", [0.0, 3.5, 200.0])
def test_add_noise_is_the_plain_one(strength: float) -> None:
    found = np.random.default_rng(0).integers(0, 256, 700, dtype=np.uint8)
    expected = found.astype(np.float64)
    kernels.add_noise(np.float32(strength), np.uint64(WORD), found)
    add_noise(strength, WORD, expected)
    assert np.abs(found - expected).max() <= 0.5 + 1e-3  # rounded; single precision
