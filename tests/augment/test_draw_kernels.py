"""Drawing in vector instructions, against the same arithmetic, one pixel after the other."""

import numpy as np
import pytest
from numpy.typing import NDArray
from support.cells import cells_for, lane_of

from uvgen.augment import draw_kernels, turn_buffers, turn_kernels
from uvgen.augment.turn_buffers import Window, turned_mesh

f4 = np.float32
EDGE = f4(1e-4)
SIZES = [(23, 37), (16, 8), (9, 3), (2, 1)]  # windows: cells cut at both ends; none cut; narrower; smaller than one


def draw(mesh, window, scratch, was, cells_out):
    """All in float32."""
    points, places = mesh.points.reshape(-1, 2), mesh.places.reshape(-1, 2)
    for t, corners in enumerate(mesh.triangles.reshape(-1, 3)):
        (x0, y0), (x1, y1), (x2, y2) = points[corners]
        z0, z1, z2 = mesh.depth[corners]
        ux, uy, vx, vy = x1 - x0, y1 - y0, x2 - x0, y2 - y0
        area = ux * vy - uy * vx
        if not area > 0:
            continue
        inverse = f4(1) / area
        a, b, c = places[corners]
        number = np.int32(t if mesh.mixed[corners].any() else -1).view(f4)
        for row in range(window.height):
            for column in range(window.width):
                x, y = f4(column) - (x0 - f4(window.left)), f4(row) - (y0 - f4(window.top))
                w1 = x * (vy * inverse) - y * (vx * inverse)
                w2 = (ux * inverse) * y - (uy * inverse) * x
                z = z0 + w1 * (z1 - z0) + w2 * (z2 - z0)
                band, cell, lane = lane_of(row, column)
                if w1 >= -EDGE and w2 >= -EDGE and w1 + w2 <= f4(1) + EDGE and z > cells_out[band, cell, 0, lane]:
                    at = a + w1 * (b - a) + w2 * (c - a)
                    cells_out[band, cell, :, lane] = z, at[0], at[1], number


def triangles_of(rng: np.random.Generator, height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Large and small ones of either orientation, inside, across the border and beyond, one with NaN."""
    near = rng.uniform(-3, 3, (120, 3, 3)) + rng.uniform(-4, [width + 4, height + 4, 0], (120, 1, 3))
    far = rng.uniform(-2, 2, (30, 3, 3)) * [width, height, 5]
    points = np.concatenate([near, far]).astype(f4)
    points[7, 1, 0] = np.nan
    points[11] = np.rint(points[11])  # corners on pixel centers
    triangles = np.arange(len(points) * 3, dtype=np.int32).reshape(-1, 3)
    triangles.flags.writeable = False  # as those of a model: other types would be compiled anew
    return points.reshape(-1, 3), triangles


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_draw_gives_the_bits_of_the_same_arithmetic_pixel_by_pixel(height: int, width: int) -> None:
    rng = np.random.default_rng(height)
    window = Window(5, 2, width, height)
    points, triangles = triangles_of(rng, height, width)
    points[:, :2] += [5, 2]
    places = rng.uniform(-5, 60, (len(points), 2)).astype(f4)
    mixed = rng.random(len(points)) < 0.2
    mesh = turned_mesh(points[:, :2].copy(), points[:, 2].copy(), places, triangles, mixed)
    found = cells_for(height, width)
    turn_kernels.clear(found.reshape(-1))
    expected = found.copy()
    draw_kernels.draw(mesh, window, turn_buffers.draw_scratch(), found, found)
    with np.errstate(all="ignore"):
        draw(mesh, window, None, None, expected)
    assert (expected[:, :, 0] > -np.inf).mean() > 0.2 or width * height < 8
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))
