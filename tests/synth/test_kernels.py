"""The kernels of synthetic photographs, each against a plain function of the same name and arguments."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen.synth import kernels
from uvgen.synth.kernels import Grain, PixelSamples, Texture

Array = NDArray[Any]


def paint_backdrop(planes: Array, texture: Texture, mirrored: bool, canvas_out: Array) -> None:
    height, width = canvas_out.shape[:2]
    side = len(texture.tile)
    rows, columns = (np.arange(height) + texture.top) % side, (np.arange(width) + texture.left) % side
    light = 1 + float(texture.gain) * texture.tile[np.ix_(rows, columns)].astype(np.float64)
    painted = planes.transpose(0, 2, 1) * light[:, :, None]
    canvas_out[:] = painted[:, ::-1] if mirrored else painted


def add_offsets(offsets: Array, mean: Array, lane: int, values_out: Array) -> None:
    values_out[:] = mean + offsets[:, lane : lane + len(values_out)].T.astype(np.float64)


def find_facing(points: Array, triangles: Array, numbers_out: Array, facing_out: Array, bounds_out: Array) -> int:
    a, b, c = (points[triangles[:, k], :2].astype(np.float64) for k in range(3))
    found = np.flatnonzero((b - a)[:, 0] * (c - a)[:, 1] > (b - a)[:, 1] * (c - a)[:, 0])
    numbers_out[: len(found)], facing_out[: len(found)] = found, triangles[found]
    bounds_out[:2], bounds_out[2:] = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return len(found)


def list_shown(
    triangle: Array, numbers: Array, facing: Array, shown_out: Array, seen_out: Array, listed_out: Array
) -> int:
    rows = sorted({row for row in triangle.tolist() if row >= 0})
    shown_out[:] = np.isin(np.arange(len(shown_out)), rows)
    seen_out[:] = np.isin(np.arange(len(seen_out)), facing[rows])
    listed_out[: len(rows)] = numbers[rows]
    return len(rows)


def draw_fragments(
    samples: PixelSamples, triangles: Array, colors: Array, step: float, top: int, left: int, *outputs: Array
) -> None:
    canvas_out, edges_out = outputs
    _, height, width = samples.depth.shape
    depth = samples.depth[0]
    edges, canvas = edges_out[top : top + height, left : left + width], canvas_out[top : top + height, left:]
    for y in range(height):
        for x in range(width):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v < height and u < width and abs(depth[y, x] - depth[v, u]) > step:
                    edges[y, x] = edges[v, u] = True
            mixed = np.zeros(3)
            for t, weights in zip(samples.triangle[:, y, x], samples.weights[:, y, x], strict=True):
                drawn = canvas[y, x] if t < 0 else weights.astype(np.float64) @ colors[triangles[t]]
                mixed += drawn / 2
            canvas[y, x] = mixed


def expose(canvas: Array, edges: Array, blur: float, grain: Grain, rows: Array, image_out: Array) -> None:
    height, width = len(canvas), canvas.shape[1] // 3
    pixels = canvas.reshape(height, width, 3).astype(np.float64)
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    down = (1 - 2 * blur) * padded[1:-1] + blur * (padded[:-2] + padded[2:])
    mixed = (1 - 2 * blur) * down[:, 1:-1] + blur * (down[:, :-2] + down[:, 2:])
    mixed[:, [0, -1]] = down[:, [1, -2]]  # the outermost columns have no neighbors to both sides
    for y, x in np.argwhere(edges):
        if 0 < x < width - 1:
            mixed[y, x] = np.einsum("i,j,ijc->c", [0.25, 0.5, 0.25], [0.25, 0.5, 0.25], padded[y : y + 3, x : x + 3])
    first = grain.first
    for y in range(height):
        first = first if first + 3 * width <= len(grain.values) else 0
        noise = float(grain.strength) * grain.values[first : first + 3 * width].astype(np.float64)
        image_out[y] = np.clip(mixed[y].reshape(-1) + noise, 0, 255)
        first += 3 * width


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (20, 33)])
def test_paint_backdrop_is_the_plain_one(height: int, width: int, mirrored: bool) -> None:
    rng = np.random.default_rng(0)
    planes = rng.uniform(0, 255, (height, 3, width)).astype(np.float32)
    texture = Texture(rng.normal(size=(8, 8)).astype(np.float32), 5, 15, np.float32(0.3))
    found, expected = np.empty((height, width, 3), np.float32), np.empty((height, width, 3))
    kernels.paint_backdrop(planes, texture, mirrored, found)
    paint_backdrop(planes, texture, mirrored, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(("n", "b"), [(1, 1), (600, 3), (256, 16)])
def test_add_offsets_is_the_plain_one(n: int, b: int) -> None:
    rng = np.random.default_rng(n)
    offsets, mean = rng.normal(size=(n, 16)).astype(np.float32), rng.normal(size=n).astype(np.float32)
    found, expected = np.empty((b, n), np.float32), np.empty((b, n))
    kernels.add_offsets(offsets, mean, 16 - b, found)
    add_offsets(offsets, mean, 16 - b, expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_find_facing_is_the_plain_one() -> None:
    rng = np.random.default_rng(0)
    points = rng.integers(-3, 4, (30, 3)).astype(np.float32)  # products are exact, and some triangles have no area
    triangles = rng.integers(0, 30, (200, 3), dtype=np.int32)
    results = []
    for function in (kernels.find_facing, find_facing):
        numbers, facing, bounds = np.empty(200, np.int32), np.empty((200, 3), np.int32), np.empty(4, np.float32)
        count = function(points, triangles, numbers, facing, bounds)
        results.append((count, numbers[:count], facing[:count], bounds))
    assert 50 < results[0][0] == results[1][0] < 150
    for found, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_list_shown_is_the_plain_one() -> None:
    rng = np.random.default_rng(0)
    triangle = rng.integers(-1, 20, 12, dtype=np.int32)
    numbers, facing = rng.permutation(100)[:20].astype(np.int32), rng.integers(0, 30, (20, 3), dtype=np.int32)
    results = []
    for function in (kernels.list_shown, list_shown):
        shown, seen, listed = np.empty(20, np.uint8), np.empty(30, np.uint8), np.empty(20, np.int32)
        count = function(triangle, numbers, facing, shown, seen, listed)
        results.append((count, shown, seen, listed[:count]))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (6, 9)])
def test_draw_fragments_is_the_plain_one(height: int, width: int) -> None:
    rng = np.random.default_rng(height)
    triangle = rng.integers(-1, 4, (2, height, width), dtype=np.int32)
    weights = rng.dirichlet([1, 1, 1], triangle.shape).astype(np.float32)
    samples = PixelSamples(triangle, weights, rng.integers(0, 9, triangle.shape).astype(np.float32))
    mesh = rng.integers(0, 6, (4, 3), dtype=np.int32), rng.uniform(0, 255, (6, 3)).astype(np.float32)
    canvas = rng.uniform(0, 255, (9, 12, 3)).astype(np.float32)
    expected, edges, edges_there = canvas.astype(np.float64), np.zeros((9, 12), bool), np.zeros((9, 12), bool)
    kernels.draw_fragments(samples, *mesh, np.float32(4), 2, 3, canvas, edges)
    draw_fragments(samples, *mesh, 4.0, 2, 3, expected, edges_there)
    np.testing.assert_array_equal(edges, edges_there)
    np.testing.assert_allclose(canvas, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(3, 4), (12, 9)])
def test_expose_is_the_plain_one(height: int, width: int) -> None:
    rng = np.random.default_rng(height)
    canvas = rng.uniform(-20, 280, (height, 3 * width)).astype(np.float32)
    edges, rows = rng.random((height, width)) < 0.4, np.empty((2, 3 * width), np.float32)
    grain = Grain(rng.normal(size=100).astype(np.float32), 60, np.float32(4))
    found, expected = np.empty((height, 3 * width), np.uint8), np.empty((height, 3 * width))
    kernels.expose(canvas, edges, np.float32(0.125), grain, rows, found)
    expose(canvas, edges, 0.125, grain, rows, expected)
    assert np.abs(found - expected).max() <= 0.5 + 1e-3  # rounded; single precision
