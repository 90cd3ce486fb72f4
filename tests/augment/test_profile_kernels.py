"""What a photograph shows of a mesh, against the same one triangle, pixel and point after the other."""

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen.augment import profile_kernels as kernels
from uvgen.augment.profile_mesh import Between, PointGraph
from uvgen.augment.turn_buffers import (
    CoarsePoints,
    DepthBuffer,
    Placed,
    PointVisibility,
    ShareRule,
    ShareScratch,
    VertexColors,
    View,
)
from uvgen.checks import frozen

f4 = np.float32
EDGE = f4(1e-4)


def place(vertices, which, before, after, placed_out):
    for k, (affine, to, some) in enumerate(
        ((before, placed_out.places, placed_out.coarse), (after, placed_out.points, placed_out.moved))
    ):
        moved = vertices.astype(np.float64) @ affine[:, :3].T + affine[:, 3]
        to[:], some[:, :3] = moved[:, :2].ravel(), moved[which]
        placed_out.bounds[k] = moved[:, :2].min(axis=0), moved[:, :2].max(axis=0)
    placed_out.depth[:] = moved[:, 2]


def look(points, triangles, view, normals_out, depth_out):
    """All in float32."""
    depth_out[:] = np.inf
    inside = depth_out[view.reach : -view.reach, view.reach : -view.reach]
    inside[:], normals_out[:] = -np.inf, 0
    for triangle in triangles.reshape(-1, 3):
        a, b, c = points[triangle, :3]
        u, v = b - a, c - a
        normal = np.array([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]])
        normals_out[triangle, :3] += normal
        if not normal[2] > 0:
            continue
        x0, y0 = (a[0] - view.left) * view.scale, (a[1] - view.top) * view.scale
        (ux, uy), (vx, vy) = u[:2] * view.scale, v[:2] * view.scale
        inverse = f4(1) / (ux * vy - uy * vx)
        for row, column in np.ndindex(*inside.shape):
            x, y = f4(column) - x0, f4(row) - y0
            w1, w2 = (x * vy - y * vx) * inverse, (ux * y - uy * x) * inverse
            if w1 >= -EDGE and w2 >= -EDGE and w1 + w2 <= f4(1) + EDGE:
                inside[row, column] = max(inside[row, column], a[2] + w1 * u[2] + w2 * v[2])


def inner(depth, reach, step, inner_out):
    for row, column in np.ndindex(*inner_out.shape):
        here, near = depth[row + reach, column + reach], 0
        for far in (reach, (reach + 1) // 2):
            for across, down in ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)):
                away = far if across * down == 0 else round(0.7 * far + 1e-9)
                near += depth[row + reach + away * down, column + reach + away * across] >= here - step
        inner_out[row, column] = near / 16 if here > -np.inf else 0


def see(points, normals, buffer, view, seen_out, quality_out):
    """In double precision."""
    seen_out[:] = quality_out[:] = 0
    height, width = buffer.inner.shape
    for i, (px, py, pz, _) in enumerate(points.astype(np.float64)):
        nx, ny, nz, _ = normals[i].astype(np.float64)
        if not (-0.5 <= px <= view.width - 0.5 and -0.5 <= py <= view.height - 0.5 and nz > 0):
            continue
        x, y = (px - view.left) * view.scale, (py - view.top) * view.scale
        nearest, among = np.inf, 0.0
        for row in (int(np.floor(y)), int(np.floor(y)) + 1):
            for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= row < height and 0 <= column < width:
                    z = buffer.depth[row + view.reach, column + view.reach]
                    nearest = min(nearest, z) if z > -np.inf else nearest
                    among += buffer.inner[row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
        behind = 0 if nearest == np.inf else (nearest - pz) / view.tolerance
        seen_out[i] = np.clip(2 - behind, 0, 1) * nz / np.sqrt(nx * nx + ny * ny + nz * nz)
        quality_out[i] = seen_out[i] * among


def show(points, triangles, view, buffer, shown_out):
    look(points, triangles, view, shown_out.normals, buffer.depth)
    inner(buffer.depth, view.reach, view.step, buffer.inner)
    see(points, shown_out.normals, buffer, view, shown_out.seen, shown_out.quality)


def ramp(value: float) -> float:
    value = min(max(value, 0), 1)
    return value * value * (3 - 2 * value)


def compare(looked, mirror, share_out):
    for i, normal in enumerate(looked.normals[:, :3].astype(np.float64)):
        length = np.linalg.norm(normal)
        more = ramp((looked.toward @ normal - normal[2]) / length / 0.15) if length > 0 else 1
        own, other = float(looked.quality[i]), float(looked.quality[mirror[i]])
        share_out[i] = more * ramp((0.5 - own) / 0.35) * ramp((other - own - 0.2) / 0.2)


def smooth(triangles, sums, counts, values_out):
    before = values_out.astype(np.float64)
    for i in range(len(values_out)):
        corners = triangles[(triangles == i).any(axis=1)]
        if len(corners):
            values_out[i] = before[corners].mean()


def withdraw(normals, graph, most, values_out):
    for i, normal in enumerate(normals[:, :3].astype(np.float64)):
        others = normals[graph.neighbors[graph.starts[i] : graph.starts[i + 1]], 2] > 0
        length, across = np.linalg.norm(normal), np.hypot(*normal[:2])
        pull = most * ramp((0.2 - abs(normal[2]) / length) / 0.15) if length > 0 else 0
        pull = most if (others != (normal[2] > 0)).any() else pull
        values_out[i, 1:3] = -pull / across * normal[:2] if across > 0 else 0


def weigh(looked, mirror, triangles, graph, rule, scratch, values_out):
    share = np.where(looked.seen <= rule.least, 1.0, 0.0)
    if len(mirror):
        compare(looked, mirror, share)
        for _ in range(rule.times):
            smooth(triangles, None, None, share)
    values_out[:, 0] = share
    withdraw(looked.normals, graph, rule.most, values_out)


def spread(values, fills, between, toward, least, some, colors_out, places_out):
    values, fills = values.reshape(-1, 4).astype(np.float64), fills.reshape(-1, 4).astype(np.float64)
    for i, texel in enumerate(between.texels):
        points = between.points.reshape(-1, 4)[texel]
        weights, normal = between.weights.reshape(-1, 4)[i], between.normals.reshape(-1, 3)[i]
        share, *pull = (weights @ values[points])[:3]
        aside = ramp((0.4 - toward @ normal) / 0.1)
        fill = aside * (weights @ fills[points])
        colors_out.share[i], colors_out.mixed[i] = share, share > least or fill[0] > least
        places_out[2 * i : 2 * i + 2] += aside * np.array(pull)
        if colors_out.mixed[i]:
            colors_out.fills[4 * i : 4 * i + 4] = fill if fill[0] > least else 0


def test_place_is_both_maps_in_double_precision() -> None:
    rng = np.random.default_rng(0)
    n, vertices = 50, rng.normal(size=(50, 3)).astype(f4)
    which = frozen(rng.permutation(n)[:9], np.int32)
    found, expected = (Placed(np.empty(2 * n, f4), np.empty(2 * n, f4), np.empty(n, f4), np.zeros((9, 4), f4),
                              np.zeros((9, 4), f4), np.empty((2, 2, 2), f4)) for _ in range(2))  # fmt: skip
    maps = rng.normal(size=(2, 3, 4)).astype(f4)
    kernels.place(vertices, which, *maps, found)
    place(vertices, which, *maps, expected)
    for name, value in found._asdict().items():
        np.testing.assert_allclose(value, getattr(expected, name), atol=1e-5, err_msg=name)


def mesh_in_view(height: int, width: int, reach: int) -> tuple[NDArray[np.float32], NDArray[np.uint32], View]:
    """Small triangles and ones that fill several blocks of pixels, also across the border and beyond it."""
    rng = np.random.default_rng(height)
    view = View(f4(0.7), f4(3), f4(2), f4(2 + 1.2 * height), f4(3 + 1.2 * width), reach, f4(1.5), f4(0.8))
    points = np.zeros((40, 4), f4)
    points[:, :3] = rng.uniform(-0.5, 1.5, (40, 3)) * [width, height, 9] / view.scale + [view.left, view.top, 0]
    points[20:, :3] = points[0, :3] + rng.uniform(-3, 3, (20, 3))
    triangles = [rng.choice(part, 3, replace=False) for part in (range(20), range(20, 40)) for _ in range(25)]
    return points, frozen(np.ravel(triangles), np.uint32), view


VIEWS = [(12, 22, 5), (1, 3, 5), (16, 9, 4)]


@pytest.mark.parametrize(("height", "width", "reach"), VIEWS)
def test_look_gives_the_bits_of_the_same_arithmetic_one_after_the_other(height: int, width: int, reach: int) -> None:
    points, triangles, view = mesh_in_view(height, width, reach)
    found, expected = ((np.empty((40, 4), f4), np.empty((height + 2 * reach, width + 2 * reach), f4)) for _ in range(2))
    kernels.look(points, triangles, view, *found)
    look(points, triangles, view, *expected)
    assert (expected[1] > -np.inf).mean() > 0.2
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(values, wanted)


@pytest.mark.parametrize(("height", "width", "reach"), VIEWS)
def test_inner_see_and_show_are_those_of_loops_over_pixels_and_points(height: int, width: int, reach: int) -> None:
    points, triangles, view = mesh_in_view(height, width, reach)
    points[:, 2] /= 9  # so that some are not hidden
    buffer, plain = (
        DepthBuffer(np.empty((height + 2 * reach, width + 2 * reach), f4), np.empty((height, width), f4))
        for _ in range(2)
    )
    found, expected = (PointVisibility(np.empty((40, 4), f4), np.empty(40, f4), np.empty(40, f4)) for _ in range(2))
    kernels.show(points, triangles, view, buffer, found)
    show(points, triangles, view, plain, expected)
    np.testing.assert_array_equal(buffer.depth, plain.depth)
    np.testing.assert_array_equal(buffer.inner, plain.inner)
    np.testing.assert_array_equal(found.normals, expected.normals)
    assert (expected.seen == 0).any() and ((expected.seen > 0).any() or height == 1)
    np.testing.assert_allclose(found.seen, expected.seen, atol=1e-5)
    np.testing.assert_allclose(found.quality, expected.quality, atol=1e-5)
    again, seen, quality = np.empty_like(buffer.inner), np.empty(40, f4), np.empty(40, f4)
    kernels.inner(buffer.depth, reach, view.step, again)
    kernels.see(points, found.normals, buffer, view, seen, quality)
    for values, wanted in ((again, buffer.inner), (seen, found.seen), (quality, found.quality)):
        np.testing.assert_array_equal(values, wanted)


def points_looked_at(n: int) -> tuple[CoarsePoints, PointGraph, NDArray[np.int32], NDArray[np.int32]]:
    """Points seen well and badly and not at all, their graph, triangles and mirror points; some normals are zero."""
    rng = np.random.default_rng(n)
    normals = np.zeros((n, 4), f4)
    normals[:, :3] = rng.normal(size=(n, 3)) * [1, 1, 0.3]
    normals[:2, :2], normals[2] = 0, 0
    triangles = np.stack([rng.choice(n - 3, 3, replace=False) for _ in range(2 * n)])  # the last three have none
    starts = np.sort(rng.integers(0, 3 * n, n + 1))
    starts[[0, -1]] = 0, 3 * n
    graph = PointGraph(frozen(starts, np.int32), frozen(rng.integers(0, n, 3 * n), np.int32),
                       frozen(np.zeros(3 * n), f4), frozen(np.zeros(n), f4))  # fmt: skip
    seen, quality = (np.clip(rng.uniform(-0.5, 1, n), 0, 1).astype(f4) for _ in range(2))
    looked = CoarsePoints(np.zeros((n, 4), f4), normals, seen, quality, np.array([0.6, 0, 0.8], f4))
    return looked, graph, frozen(triangles, np.int32), frozen(rng.permutation(n), np.int32)


def test_compare_smooth_and_withdraw_are_those_in_double_precision() -> None:
    n = 60
    looked, graph, triangles, mirror = points_looked_at(n)
    found, expected = np.empty(n, f4), np.empty(n)
    kernels.compare(looked, mirror, found)
    compare(looked, mirror, expected)
    assert ((expected > 0.1) & (expected < 0.9)).any()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    kernels.smooth(triangles, np.empty(n, f4), np.empty(n, f4), found)
    smooth(triangles, None, None, expected)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    pulls, wanted = np.full((n, 4), 7, f4), np.full((n, 4), 7.0)
    kernels.withdraw(looked.normals, graph, f4(3), pulls)
    withdraw(looked.normals, graph, 3, wanted)
    np.testing.assert_allclose(pulls, wanted, atol=1e-4)


@pytest.mark.parametrize("mirrored", [True, False])
def test_weigh_is_that_in_double_precision(mirrored: bool) -> None:
    n = 60
    looked, graph, triangles, mirror = points_looked_at(n)
    mirror = mirror if mirrored else frozen([], np.int32)
    rule, scratch = ShareRule(f4(0.02), 2, f4(3)), ShareScratch(*np.empty((3, n), f4))
    found, expected = np.full((n, 4), 7, f4), np.full((n, 4), 7.0)
    kernels.weigh(looked, mirror, triangles, graph, rule, scratch, found)
    weigh(looked, mirror, triangles, graph, rule, None, expected)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_spread_gives_weighted_means_and_leaves_colors_of_others() -> None:
    rng = np.random.default_rng(0)
    n, n_texels, n_points = 200, 40, 90
    normals = rng.normal(size=(n, 3))
    between = Between(
        frozen(rng.integers(0, n_points, 4 * n_texels), np.uint32),
        frozen(rng.integers(0, n_texels, n), np.uint32),
        frozen(rng.dirichlet(np.ones(4), n).ravel(), f4),
        frozen((normals / np.linalg.norm(normals, axis=1, keepdims=True)).ravel(), f4),
    )
    values, fills = (rng.uniform(0, 1, (n_points, 4)) * (rng.random((n_points, 1)) < 0.15) for _ in range(2))
    values[:, 3] = 0
    inputs = values.astype(f4).ravel(), fills.astype(f4).ravel(), between, np.array([0.6, 0, 0.8], f4), f4(0.05)
    places = rng.uniform(0, 99, 2 * n).astype(f4)
    found, expected = (
        (VertexColors(np.empty(n, f4), np.full(4 * n + 4, 7, f4), np.empty(n, np.bool_)), places.copy())
        for _ in range(2)
    )
    kernels.spread(*inputs, np.empty(n_texels, np.bool_), *found)
    spread(*inputs, None, *expected)
    np.testing.assert_array_equal(found[0].mixed, expected[0].mixed)
    assert found[0].mixed.any() and not found[0].mixed.all() and (found[0].share == 0).any()
    np.testing.assert_allclose(found[0].share, expected[0].share, atol=1e-6)
    np.testing.assert_allclose(found[0].fills, expected[0].fills, atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-4)
