"""Coloring in vector instructions, against the same done one pixel after the other."""

import numpy as np
import pytest
from numpy.typing import NDArray
from support.cells import cells_for, lane_of, pixels_of

from uvgen.augment import draw_kernels, turn_kernels
from uvgen.augment.lanes import N_LANES
from uvgen.augment.turn_buffers import (
    HIGH,
    WIDE,
    ColorScratch,
    MixedCells,
    VertexColors,
    Window,
    color_scratch_shapes,
    draw_scratch,
    turned_mesh,
)
from uvgen.checks import frozen

f4 = np.float32
HEIGHT, WIDTH = 17, 21


def clear(cells_out):
    for cell in cells_out.reshape(-1, 4, N_LANES):
        cell[0] = -np.inf


def sampled(photograph: NDArray[np.uint8], x: float, y: float) -> NDArray[np.int64]:
    """Between four pixels, by weights of 11 bits an axis and 13 in all; reflected at the border."""
    tops, shares = [], []
    for value, n in ((x, photograph.shape[1]), (y, photograph.shape[0])):
        last = f4(n - 1)
        value = max(last - abs(last - abs(f4(value))), f4(0)) if np.isfinite(value) else f4(0)
        top = min(int(value), n - 2)
        tops.append(top)
        shares.append(int((value - f4(top)) * f4(2048) + f4(0.5)))
    (column, row), (fx, fy) = tops, shares
    both = (fx * fy + 256) >> 9
    right, down = 4 * fx - both, 4 * fy - both
    four = photograph[row : row + 2, column : column + 2].astype(np.int64)
    weights = np.array([[8192 - right - down - both, right], [down, both]])
    return ((four * weights[..., None]).sum(axis=(0, 1)) + 4096) >> 13


def color(photograph, window, step, scratch, cells_out, mixed_out, places_out, picture_out):
    """Places as a set, in rising order, of which each is listed once."""
    height, width = photograph.shape[:2]
    picture = picture_out.reshape(height, width, 3)
    depth, x, y, _ = pixels_of(cells_out).transpose(2, 0, 1).copy()
    for row in range(window.height):
        for column in range(window.width):
            if depth[row, column] > -np.inf:
                place = sampled(photograph, x[row, column], y[row, column])
                picture[row + window.top, column + window.left] = place
    cells_out[:, :, 3].view(np.int32)[cells_out[:, :, 0] == -np.inf] = -1
    cells_out[:, :, 0] = -np.inf
    mixed = np.flatnonzero((cells_out[:, :, 3].view(np.int32) >= 0).any(axis=2))
    mixed_out[: len(mixed)] = mixed
    breaks = set()
    for row in range(1, window.height - 2):
        for column in range(1, window.width - 2):
            for down, right in ((0, 1), (1, 0)):
                here, there = depth[row, column], depth[row + down, column + right]
                if min(here, there) > -np.inf and abs(here - there) > step:
                    breaks |= {row * window.width + column, (row + down) * window.width + column + right}
    places_out[: len(breaks)] = sorted(breaks)
    return len(mixed), len(breaks)


def blended(image, x: float, y: float) -> NDArray[np.float64]:
    """Between four pixels; reflected at the border."""
    (row, fy), (column, fx) = (
        np.divmod(last - abs(last - abs(at)), 1) for at, last in ((y, len(image) - 1), (x, image.shape[1] - 1))
    )
    rows = np.minimum([row, row + 1], len(image) - 1).astype(int)
    columns = np.minimum([column, column + 1], image.shape[1] - 1).astype(int)
    four = image[np.ix_(rows, columns)].astype(np.float64)
    return np.einsum("r,c,rck->k", [1 - fy, fy], [1 - fx, fx], four)


def fill(photograph, mesh, colors, mirror, mark, cells, picture_out):
    """In double precision, rounded as often."""
    points, places, fills = (values.reshape(-1, n).astype(np.float64)
                             for values, n in ((mesh.points, 2), (mesh.places, 2), (colors.fills, 4)))  # fmt: skip
    for at in cells.listed:
        for lane in range(N_LANES):
            band, cell = divmod(at, cells.numbers.shape[1])
            number = cells.numbers[band, cell, 3, lane]
            if number < 0:
                continue
            row, column = band * HIGH + lane // WIDE + cells.top, cell * WIDE + lane % WIDE + cells.left
            corners = mesh.triangles.reshape(-1, 3)[number].astype(int)
            edges = (points[corners[1:]] - points[corners[0]]).T
            w1, w2 = np.linalg.solve(edges, [column, row] - points[corners[0]])
            w = np.array([1 - w1 - w2, w1, w2])
            share = np.clip(w @ colors.share[corners], 0, 1)
            pixel = picture_out[row, column]
            if len(mark):
                pixel[:] = mark if share > 0.5 else pixel
                continue
            filled = w @ (fills[corners] * colors.mixed[corners, None])
            pixel[:] = np.clip((1 - filled[0]) * pixel + filled[1:] + 0.5, 0, 255)
            other = blended(photograph, *(w @ places[mirror[corners]]))
            pixel[:] = (1 - share) * pixel + share * other + 0.5


def soften(places, window, picture_width, strength, colors, picture_out):
    """All in float32."""
    picture = picture_out.reshape(-1, picture_width, 3)
    before = picture.astype(f4)
    for place in places:
        row, column = place // window.width + window.top, place % window.width + window.left
        around = before[row - 1 : row + 2, column - 1 : column + 2]
        mean = np.einsum("rck,r,c->k", around, f4([1, 2, 1]), f4([1, 2, 1])) / f4(16)
        own = before[row, column]
        picture[row, column] = own + strength * (mean - own) + f4(0.5)


def coloring(width: int) -> ColorScratch:
    spare, depths = color_scratch_shapes(width)
    return ColorScratch(np.empty(spare, np.uint8), np.empty(depths, f4))


def test_clear_leaves_nothing_drawn() -> None:
    found = cells_for(9, 7).reshape(-1)
    expected = found.copy()
    turn_kernels.clear(found)
    clear(expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("left", "top", "height", "width"), [(0, 0, 17, 21), (3, 2, 11, 13), (4, 1, 12, 8), (19, 0, 17, 2), (20, 16, 1, 1)]
)
def test_color_samples_the_photograph_where_drawn_and_keeps_it_elsewhere(left, top, height, width) -> None:
    rng = np.random.default_rng(0)
    photograph = frozen(rng.integers(0, 256, (HEIGHT, WIDTH, 3)), np.uint8)
    cells = cells_for(height, width)
    cells[:] = rng.uniform(-10, 40, cells.shape)
    cells[:, :, 1:3].reshape(-1)[::17] = np.nan
    cells[:, :, 0][rng.random(cells[:, :, 0].shape) < 0.3] = -np.inf
    numbers = cells[:, :, 3].view(np.int32)
    numbers[:] = np.where(rng.random(numbers.shape) < 0.5, -1, 0)
    numbers[rng.random(numbers.shape[:2]) < 0.5] = -1
    results = []
    for each in (turn_kernels.color, color):
        out = cells.copy(), np.full(cells.shape[0] * cells.shape[1] + 1, -7, np.int32)
        places, picture = np.empty(3 * height * width, np.int32), photograph.copy()
        n_mixed, n = each(photograph, Window(left, top, width, height), f4(9), coloring(width), *out, places,
                          picture.reshape(-1))  # fmt: skip
        results.append((picture, out[0][:, :, 0], out[0][:, :, 3].view(np.int32), out[1][:n_mixed], set(places[:n])))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_color_leaves_out_breaks_for_which_there_is_no_room() -> None:
    rng = np.random.default_rng(0)
    photograph = frozen(np.zeros((16, 16, 3)), np.uint8)
    cells = cells_for(16, 16)
    cells[:] = rng.uniform(0, 15, cells.shape)
    places = np.full(40, -7, np.int32)
    _, n = turn_kernels.color(
        photograph, Window(0, 0, 16, 16), f4(0), coloring(16), cells, np.empty(33, np.int32), places[:31],
        photograph.copy().reshape(-1),
    )  # fmt: skip
    assert 28 < n <= 31
    assert (places[31:] == -7).all()


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize(("left", "top", "height", "width"), [(0, 0, 17, 21), (3, 2, 11, 13)])
def test_fill_blends_as_in_double_precision(left: int, top: int, height: int, width: int, marked: bool) -> None:
    """Over triangles larger than cells, of which many corners are mixed."""
    rng = np.random.default_rng(height)
    n = 120
    points = (rng.uniform(-4, 25, (n // 3, 1, 2)) + rng.uniform(-9, 9, (n // 3, 3, 2))).astype(f4).reshape(-1, 2)
    triangles = frozen(np.arange(n).reshape(-1, 3), np.int32)
    mesh = turned_mesh(
        points, rng.uniform(0, 9, n).astype(f4), rng.uniform(-5, 30, (n, 2)).astype(f4), triangles, rng.random(n) < 0.7
    )
    window, photograph = Window(left, top, width, height), frozen(rng.integers(0, 256, (HEIGHT, WIDTH, 3)), np.uint8)
    cells = cells_for(height, width)
    turn_kernels.clear(cells.reshape(-1))
    draw_kernels.draw(mesh, window, draw_scratch(), cells, cells)
    numbers = cells.view(np.int32)
    for row, column in np.ndindex(cells.shape[0] * HIGH, cells.shape[1] * WIDE):
        band, cell, lane = lane_of(row, column)
        if cells[band, cell, 0, lane] == -np.inf:
            numbers[band, cell, 3, lane] = -1
    listed = np.flatnonzero((numbers[:, :, 3] >= 0).any(axis=2)).astype(np.int32)
    share = np.clip(rng.uniform(-0.5, 1.5, n), 0, 1).astype(f4)
    filled = np.clip(rng.uniform(-0.5, 1, (n + 1, 1)), 0, 1)
    fills = np.hstack([filled, filled * rng.uniform(0, 255, (n + 1, 3))]).astype(f4)
    fills[n] = 0
    colors = VertexColors(share, fills.reshape(-1), mesh.mixed)
    mirror, mark = frozen(rng.permutation(n), np.int32), frozen([1, 2, 3] if marked else [], np.uint8)
    pictures = [photograph.copy(), photograph.copy()]
    for each, picture in zip((turn_kernels.fill, fill), pictures, strict=True):
        each(photograph, mesh, colors, mirror, mark, MixedCells(numbers, listed, left, top), picture)
    found, expected = pictures
    apart = np.abs(found.astype(int) - expected)
    assert (found != photograph).any(axis=2).sum() > 3
    assert apart.max() <= 1 and (apart > 0).mean() < 0.005  # of single precision, where a color is next to a half


@pytest.mark.parametrize("strength", [0.0, 0.37, 1.0])
def test_soften_blends_listed_pixels_with_their_neighbors(strength: float) -> None:
    rng = np.random.default_rng(0)
    window = Window(3, 2, 14, 11)
    inner = np.arange(11 * 14).reshape(11, 14)[1:-1, 1:-1].ravel()
    places = rng.permutation(inner)[:70].astype(np.int32)
    found = rng.integers(0, 256, 3 * HEIGHT * WIDTH, np.uint8)
    expected = found.copy()
    turn_kernels.soften(places, window, WIDTH, f4(strength), np.empty(3 * len(places), np.uint8), found)
    soften(places, window, WIDTH, f4(strength), None, expected)
    np.testing.assert_array_equal(found, expected)
