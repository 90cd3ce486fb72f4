"""What a photograph shows of a mesh, against the same arithmetic, one triangle and pixel after the other."""

import numpy as np
import pytest

from uvgen.augment import profile_kernels

f4 = np.float32
EDGE = f4(1e-4)


def looked_slowly(points, triangles, scale, left, top, height, width):
    """Normals (n, 3) and depth (height, width), all in float32."""
    normals, depth = np.zeros((len(points), 3), f4), np.full((height, width), -np.inf, f4)
    for triangle in triangles:
        a, b, c = points[triangle, :3]
        u, v = b - a, c - a
        normal = np.array([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]])
        normals[triangle] += normal
        if not normal[2] > 0:
            continue
        x0, y0 = (a[0] - left) * scale, (a[1] - top) * scale
        (ux, uy), (vx, vy) = u[:2] * scale, v[:2] * scale
        inverse = f4(1) / (ux * vy - uy * vx)
        for row in range(height):
            for column in range(width):
                x, y = f4(column) - x0, f4(row) - y0
                w1, w2 = (x * vy - y * vx) * inverse, (ux * y - uy * x) * inverse
                if w1 >= -EDGE and w2 >= -EDGE and w1 + w2 <= f4(1) + EDGE:
                    depth[row, column] = max(depth[row, column], a[2] + w1 * u[2] + w2 * v[2])
    return normals, depth


@pytest.mark.parametrize(("height", "width", "margin"), [(13, 22, 5), (1, 3, 5), (16, 9, 4)])
def test_look_gives_the_bits_of_the_same_arithmetic_one_after_the_other(height: int, width: int, margin: int) -> None:
    """Small triangles and ones that fill several blocks of pixels, also across the border and beyond it."""
    rng = np.random.default_rng(height)
    scale, left, top = f4(0.7), f4(3), f4(2)
    points = np.zeros((40, 4), f4)
    points[:, :3] = rng.uniform(-0.5, 1.5, (40, 3)) * [width, height, 9] / scale + [left, top, 0]
    points[20:, :3] = points[0, :3] + rng.uniform(-3, 3, (20, 3))
    triangles = np.array([rng.choice(part, 3, replace=False) for part in (range(20), range(20, 40)) for _ in range(25)])
    normals, depth = np.empty((40, 4), f4), np.empty((height + 2 * margin, width + 2 * margin), f4)
    flat = triangles.reshape(-1).astype(np.uint32)
    profile_kernels.look(points, flat, scale, left, top, margin, normals, depth)
    expected, nearest = looked_slowly(points, triangles, scale, left, top, height, width)
    np.testing.assert_array_equal(normals[:, :3], expected)
    assert (normals[:, 3] == 0).all()
    inner = depth[margin : margin + height, margin : margin + width]
    assert (inner > -np.inf).mean() > 0.2
    np.testing.assert_array_equal(inner, nearest)
    depth[margin : margin + height, margin : margin + width] = np.inf
    assert (depth == np.inf).all()
