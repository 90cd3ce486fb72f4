"""Drawing and coloring in vector instructions, against the same arithmetic, one pixel after the other."""

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen.augment import draw_kernels, turn_kernels
from uvgen.augment.lanes import N_LANES

f4 = np.float32
EDGE = f4(1e-4)
WIDE, HIGH, VALUES = draw_kernels.WIDE, draw_kernels.HIGH, draw_kernels.VALUES
SIZES = [(23, 37), (16, 8), (9, 3), (2, 1)]  # windows: cells cut at both ends; none cut; narrower; smaller than one


def pixels_of(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h HIGH, w WIDE, 4) of cells (h, w, 4, 8)."""
    height, width = cells.shape[:2]
    lanes = cells.reshape(height, width, VALUES, HIGH, WIDE).transpose(0, 3, 1, 4, 2)
    return lanes.reshape(height * HIGH, width * WIDE, VALUES)


def cells_for(height: int, width: int) -> NDArray[np.float32]:
    return np.full((-(-height // HIGH), -(-width // WIDE), VALUES, N_LANES), 7, f4)


def triangles_of(rng: np.random.Generator, height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Large and small ones of either orientation, inside, across the border and beyond, one with NaN."""
    near = rng.uniform(-3, 3, (120, 3, 3)) + rng.uniform(-4, [width + 4, height + 4, 0], (120, 1, 3))
    far = rng.uniform(-2, 2, (30, 3, 3)) * [width, height, 5]
    points = np.concatenate([near, far]).astype(f4)
    points[7, 1, 0] = np.nan
    points[11] = np.rint(points[11])  # corners on pixel centers
    return points.reshape(-1, 3), np.arange(len(points) * 3, dtype=np.int32).reshape(-1, 3)


def drawn_slowly(points, places, triangles, mixed, corner, height, width) -> NDArray[np.float32]:
    """(height, width, 4): depth, x, y, and which triangle, all in float32."""
    found = np.zeros((height, width, 4), f4)
    found[..., 0], found[..., 3] = -np.inf, -1
    for t, indices in enumerate(triangles):
        (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = points[indices]
        ux, uy, vx, vy = x1 - x0, y1 - y0, x2 - x0, y2 - y0
        area = ux * vy - uy * vx
        if not area > 0:
            continue
        inverse = f4(1) / area
        a, b, c = places[indices]
        for row in range(height):
            for column in range(width):
                x, y = f4(column) - (x0 - corner[0]), f4(row) - (y0 - corner[1])
                w1 = x * (vy * inverse) - y * (vx * inverse)
                w2 = (ux * inverse) * y - (uy * inverse) * x
                z = z0 + w1 * (z1 - z0) + w2 * (z2 - z0)
                if w1 >= -EDGE and w2 >= -EDGE and w1 + w2 <= f4(1) + EDGE and z > found[row, column, 0]:
                    at = a + w1 * (b - a) + w2 * (c - a)
                    found[row, column] = z, at[0], at[1], t if mixed[indices].any() else -1
    return found


def drawn(points, places, triangles, mixed, corner, height, width) -> NDArray[np.float32]:
    """The same by the kernels."""
    cells = cells_for(height, width)
    turn_kernels.clear(cells.reshape(-1))
    draw_kernels.draw(
        points[:, :2].copy().reshape(-1).view(np.int64), points[:, 2].copy(), places.reshape(-1),
        triangles.reshape(-1).view(np.uint32), mixed, *corner, width, height, *draw_kernels.draw_scratch(), cells,
        cells,
    )  # fmt: skip
    found = pixels_of(cells)
    assert (found[:, width:, 0] == -np.inf).all()
    assert (found[height:, :, 0] == -np.inf).all()
    found = found[:height, :width].copy()
    found[..., 3] = found[..., 3].copy().view(np.int32)
    return found


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_draw_gives_the_bits_of_the_same_arithmetic_pixel_by_pixel(height: int, width: int) -> None:
    rng = np.random.default_rng(height)
    corner = f4(5), f4(2)
    points, triangles = triangles_of(rng, height, width)
    points[:, :2] += corner
    places = rng.uniform(-5, 60, (len(points), 2)).astype(f4)
    mixed = rng.random(len(points)) < 0.2
    with np.errstate(all="ignore"):
        expected = drawn_slowly(points, places, triangles, mixed, corner, height, width)
    found = drawn(points, places, triangles, mixed, corner, height, width)
    shown = expected[..., 0] > -np.inf
    assert shown.mean() > 0.2 or shown.size < 8
    np.testing.assert_array_equal(found[..., 0], expected[..., 0])
    np.testing.assert_array_equal(found[shown], expected[shown])


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


@pytest.mark.parametrize(
    ("left", "top", "height", "width"), [(0, 0, 17, 21), (3, 2, 11, 13), (4, 1, 12, 8), (19, 0, 17, 2), (20, 16, 1, 1)]
)
def test_color_samples_the_photograph_where_drawn_and_keeps_it_elsewhere(left, top, height, width) -> None:
    rng = np.random.default_rng(0)
    photograph = rng.integers(0, 256, (17, 21, 3), np.uint8)
    cells = cells_for(height, width)
    cells[:] = rng.uniform(-10, 40, cells.shape)
    cells[:, :, 1:3].reshape(-1)[::17] = np.nan
    cells[:, :, 0][rng.random(cells[:, :, 0].shape) < 0.3] = -np.inf
    cells[:, :, 3] = 0  # as int32, too
    pixels = pixels_of(cells)[:height, :width].copy()
    drawn_there = pixels_of(cells)[..., 0] > -np.inf
    picture = photograph.copy()
    size = cells.shape[1] * WIDE
    places = np.empty(3 * height * width, np.int32)
    mixed = np.full(cells.shape[0] * cells.shape[1] + 1, -7, np.int32)
    numbers = cells[:, :, 3].view(np.int32)
    numbers[rng.random(numbers.shape[:2]) < 0.5] = -1
    kept = pixels_of(cells)[..., 3].copy().view(np.int32)
    n_mixed, n = turn_kernels.color(
        cells, width, height, photograph.ctypes.data, 21, 17, left, top, f4(9),
        np.empty((1 + HIGH, 3 * max(size, N_LANES)), np.uint8), np.empty((2 * HIGH, size + 16), f4), mixed, places,
        picture.reshape(-1),
    )  # fmt: skip
    depth, x, y, _ = pixels.transpose(2, 0, 1)
    expected = photograph.copy()
    for row, column in zip(*np.nonzero(depth > -np.inf), strict=True):
        expected[row + top, column + left] = sampled(photograph, x[row, column], y[row, column])
    np.testing.assert_array_equal(picture, expected)
    after = pixels_of(cells)
    assert (after[..., 0] == -np.inf).all()  # ready for the next picture
    np.testing.assert_array_equal(after[..., 3].copy().view(np.int32), np.where(drawn_there, kept, -1))
    with_triangle = (cells[:, :, 3].view(np.int32) >= 0).any(axis=2)
    np.testing.assert_array_equal(mixed[:n_mixed], np.flatnonzero(with_triangle))

    breaks = set()
    for row in range(1, height - 2):
        for column in range(1, width - 2):
            for down, right in ((0, 1), (1, 0)):
                here, there = depth[row, column], depth[row + down, column + right]
                if min(here, there) > -np.inf and abs(here - there) > 9:
                    breaks |= {row * width + column, (row + down) * width + column + right}
    assert set(places[:n].tolist()) == breaks


def test_color_leaves_out_breaks_for_which_there_is_no_room() -> None:
    rng = np.random.default_rng(0)
    photograph = np.zeros((16, 16, 3), np.uint8)
    cells = cells_for(16, 16)
    cells[:] = rng.uniform(0, 15, cells.shape)
    places = np.full(40, -7, np.int32)
    _, n = turn_kernels.color(
        cells, 16, 16, photograph.ctypes.data, 16, 16, 0, 0, f4(0), np.empty((1 + HIGH, 48), np.uint8),
        np.empty((2 * HIGH, 32), f4), np.empty(33, np.int32), places[:31], photograph.copy().reshape(-1),
    )  # fmt: skip
    assert 28 < n <= 31
    assert (places[31:] == -7).all()
