"""The kernels that sample images, each against a plain function of the same name and arguments."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.oracles import bilinear

from uvgen.images import kernels

Image = NDArray[Any]

# Rounding is half a gray level. Places are rounded to 2^-11 px, half of which is at most 2 · 255 / 4096 = 0.125;
# weights of 13 bits are off by 2^-14 at most, which is 0.03.
WARP_TOLERANCE = 0.5 + 0.125 + 0.03


def warp_bilinear(image: Image, inverse: Image, crop_out: Image) -> None:
    for row in range(crop_out.shape[0]):
        for column in range(crop_out.shape[1]):
            crop_out[row, column] = bilinear(image, *(inverse @ [column, row, 1]))


def warp_rgb(image: Image, inverse: Image, scratch: Image, crop_out: Image) -> None:
    warp_bilinear(image, inverse, crop_out)


def average_blocks(image: Image, first: Image, block: int, sums: Image, blocks_out: Image) -> None:
    for row in range(blocks_out.shape[0]):
        for column in range(blocks_out.shape[1]):
            y, x = (first + [row, column]) * block
            inside = image[y : y + block, x : x + block]
            blocks_out[row, column] = inside.sum(axis=(0, 1), dtype=np.int64) / block**2


def warp_mean(image: Image, inverses: Image, scratch: Image, sample: Image, sums: Image, crop_out: Image) -> None:
    crops = np.empty((len(inverses), *crop_out.shape))
    for inverse, crop in zip(inverses, crops, strict=True):
        warp_bilinear(image, inverse, crop)
    crop_out[:] = crops.mean(axis=0)


def warp_bicubic(image: Image, inverse: Image, weights: Image, crop_out: Image) -> None:
    n = len(weights)
    padded = np.pad(image.astype(np.int64), ((4, 4), (4, 4), (0, 0)))
    for row in range(crop_out.shape[0]):
        for column in range(crop_out.shape[1]):
            x, y = np.floor((inverse[:, 0] * column + (inverse[:, 1] * row + inverse[:, 2])) * n + 0.5).astype(int)
            left, top = x // n - 1 + 4, y // n - 1 + 4
            pixels = padded[max(top, 0) : max(top + 4, 0), max(left, 0) : max(left + 4, 0)]
            value = np.zeros(3)
            if pixels.shape[:2] == (4, 4):
                value = np.einsum("j,i,jic->c", weights[y % n], weights[x % n], pixels) / 2048**2
            crop_out[row, column] = np.clip(np.floor(value + 0.5), 0, 255)


SHAPES = [(9, 14, 3), (31, 20, 3), (1, 3, 3), (40, 33, 3)]
ANGLES = [0.0, 0.4, np.pi / 2, -2.0]


def noise(*shape: int) -> Image:
    return np.random.default_rng(shape).integers(0, 256, shape, dtype=np.uint8)


def inverse_of(shape: tuple[int, ...], angle: float, factor: float, size: int) -> NDArray[np.float64]:
    """Crop → image: the middle of a crop to the middle of the image, a part of the crop beyond it."""
    c, s = factor * np.cos(angle), factor * np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    middle = np.array([shape[1] - 1.3, shape[0] - 0.6]) / 2
    return np.column_stack([turn, middle - turn @ np.full(2, (size - 1) / 2)])


def both(name: str, *arguments: Any, out: Image) -> tuple[Image, Image]:
    """What the kernel of a name writes, and what the plain function writes, as float64."""
    plain: Callable[..., None] = globals()[name]
    expected = np.full(out.shape, np.nan)
    getattr(kernels, name)(*arguments, out)
    plain(*arguments, expected)
    return out.astype(float), expected


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("shape", [*SHAPES, (12, 2, 3), (12, 17, 1), (12, 17, 4)])
def test_warp_bilinear_is_the_plain_one(shape: tuple[int, ...], angle: float) -> None:
    for factor in (0.3, 1.0, 2.2):
        out = np.empty((13, 11, shape[2]), np.uint8)
        found, expected = both("warp_bilinear", noise(*shape), inverse_of(shape, angle, factor, 12), out=out)
        assert np.abs(found - expected).max() <= WARP_TOLERANCE


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("shape", SHAPES)
def test_warp_rgb_is_the_plain_one(shape: tuple[int, ...], angle: float) -> None:
    for factor in (0.3, 1.0, 2.2):
        out, scratch = np.empty((13, 11, 3), np.uint8), np.empty((3, 11), np.uint64)
        found, expected = both("warp_rgb", noise(*shape), inverse_of(shape, angle, factor, 12), scratch, out=out)
        assert np.abs(found - expected).max() <= WARP_TOLERANCE


@pytest.mark.parametrize("block", [2, 3, 7])
@pytest.mark.parametrize("shape", [(23, 31, 3), (6, 40, 1), (5, 4, 4)])
def test_average_blocks_is_the_plain_one(shape: tuple[int, ...], block: int) -> None:
    for first in ([0, 0], [1, 0], [0, 1]):
        rows, columns = (max(-(-side // block) - start, 1) for side, start in zip(shape[:2], first, strict=True))
        if first[1] * block >= shape[1]:
            continue
        sums = np.empty((2, columns * block * shape[2]), np.float32)
        out = np.empty((rows, columns, shape[2]), np.uint8)
        found, expected = both("average_blocks", noise(*shape), np.array(first), block, sums, out=out)
        assert np.abs(found - expected).max() <= 0.5 + 1e-4  # rounded; a product in single precision


@pytest.mark.parametrize("shape", [(31, 20, 3), (9, 2, 3), (14, 17, 1)])
def test_warp_mean_is_the_plain_one(shape: tuple[int, ...]) -> None:
    inverses = np.stack([inverse_of(shape, angle, 1.4, 9) + [0, 0, 0.4 * angle] for angle in (0.0, 0.1, 0.2)])
    out, scratch = np.empty((10, 8, shape[2]), np.uint8), np.empty((3, 8), np.uint64)
    rest = scratch, np.empty_like(out), np.empty(out.size, np.uint16)
    found, expected = both("warp_mean", noise(*shape), inverses, *rest, out=out)
    assert np.abs(found - expected).max() <= WARP_TOLERANCE + 0.5  # the samples are rounded, and then their mean


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("shape", SHAPES)
def test_warp_bicubic_is_the_plain_one(shape: tuple[int, ...], angle: float) -> None:
    weights = np.random.default_rng(0).integers(-300, 1200, (64, 4), dtype=np.int32)
    weights[0, 3] = 0  # the fourth pixel is two away, where every such filter ends
    weights[:, 1] += 2048 - weights.sum(axis=1, dtype=np.int32)
    for factor in (0.4, 1.0, 3.0):
        out = np.empty((13, 11, 3), np.uint8)
        arguments = noise(*shape), inverse_of(shape, angle, factor, 12), weights
        np.testing.assert_array_equal(*both("warp_bicubic", *arguments, out=out))
