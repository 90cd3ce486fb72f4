"""The kernels of per-pixel targets, each against a plain function of the same name and arguments."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen.maps import target_kernels as kernels
from uvgen.maps.target_kernels import Shown, TexelCorners, View

Array = NDArray[Any]
NEAR = 1e-3  # px: so near to a limit, float32 may decide otherwise than float64


def _mixed(shown: Shown, values: Array) -> tuple[Array, Array]:
    """Which pixels show a triangle, and (k, c) what values (n, c) its corners have there on average."""
    covered = shown.triangle >= 0
    corners = shown.triangles.reshape(-1, 3)[shown.triangle[covered]]
    weights = shown.weights.reshape(-1, 3)[covered].astype(np.float64)
    return covered, np.einsum("pk,pkc->pc", weights, values[corners])


def attribute_codes(shown: Shown, values: Array, factor: float, background: int, codes_out: Array) -> None:
    codes_out[:] = background
    covered, mixed = _mixed(shown, values.reshape(-1, codes_out.shape[1]))
    codes_out[covered] = mixed * factor


def normal_codes(shown: Shown, normals: Array, middle: float, codes_out: Array) -> None:
    codes_out[:] = middle
    covered, mixed = _mixed(shown, normals.reshape(-1, 3))
    lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
    codes_out[covered] += middle * np.divide(mixed, lengths, out=np.zeros_like(mixed), where=lengths > 0)


def depth_codes(triangle: Array, depth: Array, factor: float, codes_out: Array) -> bool:
    codes_out[:] = np.where(triangle < 0, 0, depth.astype(np.float64) * factor)
    rounded = np.floor(codes_out + 0.5)
    return bool(((rounded >= 0) & (rounded <= 65535)).all())


def nearest_labels(shown: Shown, labels: Array, background: int, labels_out: Array) -> None:
    corner = shown.weights.reshape(-1, 3).argmax(axis=1)
    vertex = shown.triangles.reshape(-1, 3)[shown.triangle, corner]
    labels_out[:] = np.where(shown.triangle < 0, background, labels[vertex])


def see_texels(vertices: Array, texels: TexelCorners, view: View, seen_out: Array) -> Array:
    """Also return which texels are too near to a limit to compare."""
    height, width = view.depth.shape
    doubtful = np.zeros(len(seen_out), bool)
    for t, corners in enumerate(texels.corners.reshape(-1, 3)):
        seen_out[t] = False
        a, b, c = vertices.reshape(-1, 3)[corners].astype(np.float64)
        normal = np.cross(b - a, c - a)
        x, y, z = texels.weights.reshape(-1, 3)[t].astype(np.float64) @ np.stack([a, b, c])
        beside = min(x + 0.5, y + 0.5, width - 0.5 - x, height - 0.5 - y)
        if not texels.on_mesh[t]:
            continue
        doubtful[t] = min(abs(normal[2]), abs(beside), *(abs(np.rint([x, y]) - [x, y]))) < NEAR
        if not normal[2] * texels.turned > 0 or beside < 0:
            continue
        row, column = int(np.floor(y)), int(np.floor(x))
        around = view.depth[max(row, 0) : row + 2, max(column, 0) : column + 2]
        around = around[around > -np.inf]
        slope = min((abs(normal[0]) + abs(normal[1])) / abs(normal[2]), float(view.steepest))
        margin = z - (around.min() - view.tolerance - slope) if len(around) else np.inf
        seen_out[t] = margin >= 0
        doubtful[t] |= abs(margin) < NEAR
    return doubtful


def shown_case(seed: int, pixels: int = 50) -> tuple[Shown, np.random.Generator]:
    """What a mesh of 9 vertices and 12 triangles might show at some pixels, a quarter of them empty."""
    rng = np.random.default_rng(seed)
    triangle = np.where(rng.random(pixels) < 0.25, -1, rng.integers(0, 12, pixels)).astype(np.int32)
    weights = rng.dirichlet([1, 1, 1], pixels).astype(np.float32).reshape(-1)
    return Shown(triangle, weights, rng.integers(0, 9, 36).astype(np.uint32)), rng


@pytest.mark.parametrize(("channels", "kind", "factor"), [(2, np.uint16, 65535.0), (3, np.uint8, 255.0)])
def test_attribute_codes_are_the_plain_ones(channels: int, kind: Any, factor: float) -> None:
    shown, rng = shown_case(channels)
    arguments = shown, rng.random(9 * channels, np.float32), np.float32(factor), 7
    found, expected = np.empty((50, channels), kind), np.empty((50, channels))
    kernels.attribute_codes(*arguments, found)
    attribute_codes(*arguments, expected)
    assert np.abs(found - expected).max() <= 0.5 + 1e-6 * factor  # rounded; some float32 steps


@pytest.mark.parametrize("middle", [127.0, 1000.0])
def test_normal_codes_are_the_plain_ones(middle: float) -> None:
    shown, rng = shown_case(0)
    normals = rng.normal(size=27).astype(np.float32)
    normals[3 * shown.triangles[3 * shown.triangle[shown.triangle >= 0][0] + np.arange(3)][:, None] + np.arange(3)] = 0
    found, expected = np.empty((50, 3), np.uint16), np.empty((50, 3))
    kernels.normal_codes(shown, normals, np.float32(middle), found)
    normal_codes(shown, normals, middle, expected)
    assert np.abs(found - expected).max() <= 0.5 + 1e-5 * middle


@pytest.mark.parametrize("extra", [0.0, -1.0, 500.0])
def test_depth_codes_are_the_plain_ones(extra: float) -> None:
    shown, rng = shown_case(1)
    depth = rng.uniform(0, 400, 50).astype(np.float32)
    depth[np.flatnonzero(shown.triangle >= 0)[0]] += np.float32(extra)
    depth[np.flatnonzero(shown.triangle >= 0)[0]] *= np.float32(1 if extra >= 0 else -1)
    depth[shown.triangle < 0] = -np.inf
    found, expected = np.empty(50, np.uint16), np.empty(50)
    in_range = kernels.depth_codes(shown.triangle, depth, np.float32(128), found)
    assert in_range == depth_codes(shown.triangle, depth, 128.0, expected) == (extra == 0)
    if in_range:
        assert np.abs(found - expected).max() <= 0.5 + 0.01


def test_nearest_labels_are_the_plain_ones() -> None:
    shown, rng = shown_case(2)
    labels = rng.integers(1, 200, 9).astype(np.uint8)
    found, expected = np.empty(50, np.uint8), np.empty(50, np.uint8)
    kernels.nearest_labels(shown, labels, 250, found)
    nearest_labels(shown, labels, 250, expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("turned", [1, -1])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_see_texels_is_the_plain_one(seed: int, turned: int) -> None:
    rng = np.random.default_rng(seed)
    vertices = (rng.uniform(-2, 12, (30, 3)) * [1, 0.8, 1]).astype(np.float32).reshape(-1)
    corners = np.array([rng.permutation(30)[:3] for _ in range(400)], np.uint32).reshape(-1)
    weights = rng.dirichlet([1, 1, 1], 400).astype(np.float32).reshape(-1)
    texels = TexelCorners(corners, weights, rng.random(400) < 0.9, np.float32(turned))
    depth = rng.uniform(3, 9, (8, 11)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.5] = -np.inf
    view = View(depth, np.float32(0.1), np.float32(4))
    found, expected = np.empty(400, bool), np.empty(400, bool)
    kernels.see_texels(vertices, texels, view, found)
    doubtful = see_texels(vertices, texels, view, expected)
    assert doubtful.mean() < 0.05 and 0.1 < expected.mean() < 0.9
    np.testing.assert_array_equal(found[~doubtful], expected[~doubtful])
