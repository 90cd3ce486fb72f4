"""The kernels of maps, each against a plain function of the same name and arguments."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen.maps import kernels
from uvgen.maps.kernels import TexelPlaces

Array = NDArray[Any]


def _moved(points: Array, affine: Array) -> Array:
    """Points (n, 3, b) through each face's map (12, b): (b, n, 3)."""
    maps = affine.astype(np.float64).T.reshape(-1, 3, 4)
    return np.einsum("bxc,ncb->bnx", maps[:, :, :3], points) + maps[:, None, :, 3]


def _texels(offsets: Array, places: TexelPlaces, affine: Array) -> Array:
    """(b, t, 3) positions."""
    corners = offsets.astype(np.float64)[places.corners]  # (t, 3 corners, 3, b)
    return _moved(np.einsum("tk,tkcb->tcb", places.weights, corners) + places.mean[:, :, None], affine)


def smallest_depths(offsets: Array, mean: Array, affine: Array, depths_out: Array) -> None:
    depths_out[:] = _moved(offsets + mean[:, :, None].astype(np.float64), affine)[:, :, 2].min(axis=1)


def interpolate_texels(
    offsets: Array, places: TexelPlaces, affine: Array, lane: int, scratch: Array, maps_out: Array
) -> None:
    maps_out[:] = _texels(offsets, places, affine)[lane : lane + len(maps_out)]


def interpolate_texels_fixed(
    offsets: Array, places: TexelPlaces, affine: Array, lane: int, scratch: Array, outside_out: Array, codes_out: Array
) -> None:
    values = np.floor(_texels(offsets, places, affine))[lane : lane + len(codes_out)]
    outside_out[: len(values)] = ((values < 0) | (values > 65535)).any(axis=(1, 2))
    codes_out[:] = values


def place_vertices(offsets: Array, mean: Array, affine: Array, lane: int, scratch: Array, vertices_out: Array) -> None:
    vertices_out[:] = _moved(offsets + mean[:, :, None].astype(np.float64), affine)[lane : lane + len(vertices_out)]


def move_map(texels: Array, matrix: Array, flip: bool, moved_out: Array) -> None:
    source = (texels[:, ::-1] if flip else texels).astype(np.float64)
    moved_out[:] = source @ matrix[:, :3].T.astype(np.float64) + matrix[:, 3]


def move_codes(texels: Array, matrix: Array, flip: bool, line: Array, codes_out: Array) -> bool:
    move_map(texels, matrix, flip, codes_out)
    np.floor(codes_out, out=codes_out)
    return bool(((codes_out >= 0) & (codes_out <= 65535)).all())


def blend_texels(texels: Array, sources: Array, weights: Array, values_out: Array) -> None:
    values_out[:] = np.einsum("kj,kjc->kc", weights.astype(np.float64), texels[sources])


def case(n: int, t: int, b: int, lanes: int = 16) -> tuple[Array, Array, TexelPlaces, Array, Array]:
    """Offsets, mean, places, affine maps to 0 to about 60000, and scratch, which is smaller than what is made."""
    rng = np.random.default_rng(100 * n + b)
    offsets, mean = rng.normal(size=(n, 3, lanes)).astype(np.float32), rng.normal(0, 2, (n, 3)).astype(np.float32)
    weights = rng.dirichlet([1, 1, 1], t).astype(np.float32)
    places = TexelPlaces(mean[rng.integers(0, n, t)], rng.integers(0, n, (t, 3), dtype=np.int32), weights)
    affine = np.concatenate([rng.normal(0, 700, (3, 3, lanes)), rng.uniform(25000, 35000, (3, 1, lanes))], axis=1)
    scratch = np.full((7, 3, lanes + 3), np.nan, np.float32)
    return offsets, mean, places, affine.reshape(12, lanes).astype(np.float32), scratch


SIZES = [(5, 30, 16), (40, 7, 3), (9, 6, 1)]
ATOL = 0.02  # float32 has 2^-8 at 60000, and some terms


@pytest.mark.parametrize(("n", "t", "b"), SIZES)
def test_smallest_depths_are_the_plain_ones(n: int, t: int, b: int) -> None:
    offsets, mean, _, affine, _ = case(n, t, b)
    found, expected = np.empty(16, np.float32), np.empty(16)
    kernels.smallest_depths(offsets, mean, affine, found)
    smallest_depths(offsets, mean, affine, expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)


@pytest.mark.parametrize(("n", "t", "b"), SIZES)
def test_interpolate_texels_is_the_plain_one(n: int, t: int, b: int) -> None:
    offsets, _, places, affine, scratch = case(n, t, b)
    found, expected = np.empty((b, t, 3), np.float32), np.empty((b, t, 3))
    kernels.interpolate_texels(offsets, places, affine, 16 - b, scratch, found)
    interpolate_texels(offsets, places, affine, 16 - b, scratch, expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)


@pytest.mark.parametrize(("n", "t", "b"), SIZES)
def test_interpolate_texels_fixed_is_the_plain_one(n: int, t: int, b: int) -> None:
    offsets, _, places, affine, scratch = case(n, t, b)
    affine[3, 16 - b], affine[7, 15] = -1e5, 3e5  # a face below all codes, and one above
    found, expected = np.empty((b, t, 3), np.uint16), np.empty((b, t, 3))
    outside, outside_there = np.empty(b, np.int32), np.empty(b)
    kernels.interpolate_texels_fixed(offsets, places, affine, 16 - b, scratch, outside, found)
    interpolate_texels_fixed(offsets, places, affine, 16 - b, scratch, outside_there, expected)
    np.testing.assert_array_equal(outside != 0, outside_there != 0)
    inside = outside == 0
    assert inside.sum() == max(b - 2, 0)
    differs = np.abs(found[inside] - expected[inside])
    assert differs.max(initial=0) <= 1 and (differs > 0).sum() <= 2 * ATOL * differs.size  # near a whole number


@pytest.mark.parametrize(("n", "t", "b"), SIZES)
def test_place_vertices_is_the_plain_one(n: int, t: int, b: int) -> None:
    offsets, mean, _, affine, scratch = case(n, t, b)
    found, expected = np.empty((b, n, 3), np.float32), np.empty((b, n, 3))
    kernels.place_vertices(offsets, mean, affine, 16 - b, scratch, found)
    place_vertices(offsets, mean, affine, 16 - b, scratch, expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)


MATRIX = np.array([[0.9137, -0.2071, 0, 3000], [0.2071, 0.9137, 0, -20], [0, 0, 0.9369, 1.5]], np.float32)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("kind", [np.float32, np.uint16])
def test_move_map_is_the_plain_one(kind: Any, flip: bool) -> None:
    texels = np.random.default_rng(0).uniform(0, 60000, (11, 11, 3)).astype(kind)
    found, expected = np.empty((11, 11, 3), np.float32), np.empty((11, 11, 3))
    kernels.move_map(texels, MATRIX, flip, found)
    move_map(texels, MATRIX, flip, expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("kind", [np.float32, np.uint16])
@pytest.mark.parametrize(("highest", "extra"), [(40000, 2e4), (70000, 0), (40000, -1e5)])
def test_move_codes_is_the_plain_one(kind: Any, flip: bool, highest: int, extra: float) -> None:
    texels = np.random.default_rng(0).uniform(0, min(highest, 65535), (11, 11, 3)).astype(kind)
    matrix = MATRIX + np.array([[0, 0, 0, 9000], [0, 0, 0, extra], [0, 0, highest // 70000, 0]], np.float32)
    found, expected = np.empty((11, 11, 3), np.uint16), np.empty((11, 11, 3))
    line = np.empty(33, np.float32)
    in_range = kernels.move_codes(texels, matrix, flip, line, found)
    assert in_range == move_codes(texels, matrix, flip, line, expected) == (extra == 2e4)
    if in_range:
        differs = np.abs(found - expected)
        assert differs.max() <= 1 and (differs > 0).mean() <= 2 * ATOL  # near a whole number, rounding decides


@pytest.mark.parametrize("kind", [np.float32, np.uint16])
def test_blend_texels_is_the_plain_one(kind: Any) -> None:
    rng = np.random.default_rng(0)
    texels, sources = rng.uniform(0, 60000, (49, 3)).astype(kind), rng.integers(0, 49, (20, 4), dtype=np.int32)
    weights = rng.dirichlet([1] * 4, 20).astype(np.float32)
    found, expected = np.empty((20, 3), np.float32), np.empty((20, 3))
    kernels.blend_texels(texels, sources, weights, found)
    blend_texels(texels, sources, weights, expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)
