"""`rasterize` and `interpolate` against readable pictures and a slow float64 oracle."""

import numpy as np
import pytest

from uvgen import rasterize as r
from uvgen.errors import InputError, UvgenError

SIZE = (23, 31)


def oracle(vertices, triangles, size, cull="none"):
    """Fragments by plain float64 loops, and the pixels on which float32 input leaves no room for doubt."""
    h, w = size
    triangle, depth = np.full(size, -1), np.full(size, -np.inf)
    weights, sure = np.zeros((*size, 3)), np.ones(size, bool)
    y, x = np.mgrid[:h, :w].astype(np.float64)
    for t, corners in enumerate(vertices.astype(np.float64)[triangles]):
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners
        edge = np.stack(
            [
                (cx - bx) * (y - by) - (cy - by) * (x - bx),
                (ax - cx) * (y - cy) - (ay - cy) * (x - cx),
                (bx - ax) * (y - ay) - (by - ay) * (x - ax),
            ],
            axis=-1,
        )
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0 or (cull == "back" and area < 0) or (cull == "front" and area > 0):
            continue
        wt = edge / area
        extent = np.abs(corners[:, :2]).max() + max(size)
        close = (np.abs(edge) < 1e-6 * extent**2).any(axis=-1) & (wt > -1e-3).all(axis=-1)
        z = wt @ [az, bz, cz]
        inside = (wt >= 0).all(axis=-1)
        sure &= ~(close | (inside & (np.abs(z - depth) < 1e-5 * (1 + np.abs(z)))))
        nearer = inside & (z > depth)
        triangle[nearer], depth[nearer], weights[nearer] = t, z[nearer], wt[nearer]
    return triangle, weights, depth, sure


def random_mesh(seed, n_vertices=60, n_triangles=80, spread=1.0):
    rng = np.random.default_rng(seed)
    center = rng.uniform(-3, 34, (n_triangles, 1, 2))
    corners = center + rng.normal(scale=spread, size=(n_triangles, 3, 2))
    vertices = np.dstack([corners, rng.normal(scale=10, size=(n_triangles, 3))]).reshape(-1, 3).astype(np.float32)
    return vertices, rng.permutation(3 * n_triangles).reshape(-1, 3) if spread > 5 else np.arange(
        3 * n_triangles
    ).reshape(-1, 3)


@pytest.mark.parametrize("cull", ["none", "back", "front"])
@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0, 20.0])
def test_rasterize_random_meshes_agree_with_float64_oracle(spread, cull):
    n_sure = 0
    for seed in range(8):
        vertices, triangles = random_mesh(seed, spread=spread)
        triangle, weights, depth, sure = oracle(vertices, triangles, SIZE, cull)
        fragments = r.rasterize(vertices, triangles, SIZE, cull=cull)
        n_sure += sure.sum()
        np.testing.assert_array_equal(fragments.triangle[sure], triangle[sure])
        # float64 edges of float32 corners: only the last rounding, and slivers, lose digits
        np.testing.assert_allclose(fragments.weights[sure], weights[sure], atol=2e-6)
        np.testing.assert_allclose(fragments.depth[sure], depth[sure], rtol=2e-6, atol=2e-5)
    assert n_sure > 0.98 * 8 * SIZE[0] * SIZE[1]


def test_rasterize_mesh_of_several_blocks_agrees_with_oracle():
    rng = np.random.default_rng(0)
    vertices = (rng.uniform(0, 30, (700, 3)) * [1, 0.7, 1]).astype(np.float32)
    near = np.argsort(((vertices[:, None, :2] - vertices[None, :, :2]) ** 2).sum(-1), axis=1)
    triangles = np.concatenate([near[:, [0, 3, 7]], near[:, [0, 9, 2]]])  # 1,400 triangles
    triangle, _, _, sure = oracle(vertices, triangles, SIZE)
    np.testing.assert_array_equal(r.rasterize(vertices, triangles, SIZE).triangle[sure], triangle[sure])


def test_rasterize_square_of_two_triangles_is_drawn_as_the_rule_says():
    vertices = np.array([[1, 1, 0], [4, 1, 0], [4, 3, 0], [1, 3, 0]], np.float32)
    fragments = r.rasterize(vertices, [[0, 1, 2], [0, 2, 3]], (5, 6))
    expected = [
        [-1, -1, -1, -1, -1, -1],
        [-1, +0, +0, +0, -1, -1],  # top edge drawn
        [-1, +1, +1, +0, -1, -1],  # left edge drawn, right edge not
        [-1, -1, -1, -1, -1, -1],  # bottom edge not drawn
        [-1, -1, -1, -1, -1, -1],
    ]
    np.testing.assert_array_equal(fragments.triangle, expected)


@pytest.mark.parametrize("corners", [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]])
def test_rasterize_triangle_on_centers_is_drawn_alike_in_every_winding(corners):
    vertices = np.array([[0, 0, 1], [4, 0, 2], [0, 4, 3]], np.float32)
    expected = [[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(r.rasterize(vertices, [corners], (5, 5)).covered, expected)


def test_rasterize_fan_around_a_pixel_center_draws_it_once():
    angle = np.linspace(0, 2 * np.pi, 8)[:-1]
    rim = np.stack([3 + 2.3 * np.cos(angle), 2 + 1.7 * np.sin(angle), 0 * angle], axis=1)
    vertices = np.vstack([[3, 2, 0], rim])
    fan = [[0, 1 + i, 1 + (i + 1) % 7] for i in range(7)]
    assert sum(r.rasterize(vertices, [one], (5, 7)).covered[2, 3] for one in fan) == 1


@pytest.mark.parametrize(("cull", "drawn"), [("none", True), ("back", True), ("front", False)])
def test_rasterize_clockwise_triangle_is_front(cull, drawn):
    vertices = [[0, 0, 0], [4, 0, 0], [0, 4, 0]]  # clockwise on a screen whose y points down
    assert r.rasterize(vertices, [[0, 1, 2]], (5, 6), cull=cull).covered.any() == drawn
    assert r.rasterize(vertices, [[0, 2, 1]], (5, 6), cull=cull).covered.any() == (
        drawn if cull == "none" else not drawn
    )


def test_rasterize_nearer_triangle_wins_and_ties_go_to_the_lower_index():
    flat = np.array([[0, 0, 1], [9, 0, 1], [0, 9, 1]], np.float32)
    vertices = np.vstack([flat, flat + [0, 0, 1], flat])
    draw = lambda triangles: set(np.unique(r.rasterize(vertices, triangles, (4, 5)).triangle))  # noqa: E731
    assert draw([[0, 1, 2], [3, 4, 5]]) == {1}
    assert draw([[3, 4, 5], [0, 1, 2]]) == {0}
    assert draw([[0, 1, 2], [6, 7, 8]]) == {0}
    assert draw([[6, 7, 8], [0, 1, 2]]) == {0}


def test_rasterize_ties_between_small_and_large_triangles_go_to_the_lower_index():
    small = [[1.6, 1.6, 5], [2.5, 1.6, 5], [2, 2.9, 5]]
    vertices = np.array([*small, [-9, -9, 5], [30, -9, 5], [-9, 30, 5]], np.float32)
    assert r.rasterize(vertices, [[0, 1, 2], [3, 4, 5]], (5, 6)).triangle[2, 2] == 0
    assert r.rasterize(vertices, [[3, 4, 5], [0, 1, 2]], (5, 6)).triangle[2, 2] == 0


def test_rasterize_triangle_larger_than_the_picture_fills_it():
    fragments = r.rasterize([[-900, -900, 0], [2000, -900, 0], [-900, 2000, 0]], [[0, 1, 2]], (70, 133))
    assert fragments.covered.all() and np.abs(fragments.weights.sum(-1) - 1).max() < 1e-6


def test_rasterize_background_is_minus_one_zero_and_minus_infinity():
    fragments = r.rasterize(np.zeros((3, 3)), np.zeros((0, 3), int), (2, 3))
    assert (fragments.triangle == -1).all() and not fragments.weights.any() and (fragments.depth == -np.inf).all()


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0), (1, 1), (1, 7), (7, 1)])
def test_rasterize_smallest_sizes_work(size):
    vertices = [[-5, -5, 1], [50, -5, 1], [-5, 50, 1]]
    fragments = r.rasterize(vertices, [[0, 1, 2]], size)
    assert fragments.triangle.shape == size and fragments.covered.all()
    assert r.interpolate(fragments, [[0, 1, 2]], vertices).shape == (*size, 3)


def face3d_picture(vertices, triangles, size):
    """face3d's inclusion rule, one float32 operation after the other."""
    f = np.float32
    triangle, depth = np.full(size, -1), np.full(size, -np.inf, f)
    weights = np.zeros((*size, 3), f)
    y, x = np.mgrid[: size[0], : size[1]].astype(f)
    with np.errstate(all="ignore"):
        for t, (p0, p1, p2) in enumerate(vertices.astype(f)[triangles]):
            v0, v1, v2x, v2y = p2 - p0, p1 - p0, x - p0[0], y - p0[1]
            d00, d01, d11 = v0[0] ** 2 + v0[1] ** 2, v0[0] * v1[0] + v0[1] * v1[1], v1[0] ** 2 + v1[1] ** 2
            d02, d12 = v0[0] * v2x + v0[1] * v2y, v1[0] * v2x + v1[1] * v2y
            inverse = f(1) / (d00 * d11 - d01 * d01)
            u, v = (d11 * d02 - d01 * d12) * inverse, (d00 * d12 - d01 * d02) * inverse
            z = (f(1) - u - v) * p0[2] + v * p1[2] + u * p2[2]
            box = np.s_[
                max(int(np.ceil(min(p0[1], p1[1], p2[1]))), 0) : int(max(p0[1], p1[1], p2[1])) + 1,
                max(int(np.ceil(min(p0[0], p1[0], p2[0]))), 0) : int(max(p0[0], p1[0], p2[0])) + 1,
            ]
            new = np.zeros(size, bool)
            new[box] = ((u >= 0) & (v >= 0) & (u + v < 1) & (z > depth))[box]
            triangle[new], depth[new] = t, z[new]
            weights[new] = np.stack([f(1) - u - v, v, u], axis=-1)[new]
    return triangle, weights, depth


@pytest.mark.parametrize("depth", ["random", "flat"])
def test_rasterize_face3d_rule_agrees_with_transcription(depth):
    for seed in range(10):
        vertices, triangles = random_mesh(seed, spread=2.0)
        vertices = np.abs(np.round(vertices * 4) / 4)  # many centers on edges
        vertices[:, 2] *= depth == "random"
        triangle, weights, z = face3d_picture(vertices, triangles, SIZE)
        fragments = r.rasterize(vertices, triangles, SIZE, rule="face3d")
        np.testing.assert_array_equal(fragments.triangle, triangle)
        np.testing.assert_array_equal(fragments.weights, weights)
        np.testing.assert_array_equal(fragments.depth, z)


def test_rasterize_face3d_rule_leaves_the_edge_opposite_p0_undrawn():
    vertices = [[0, 0, 0], [4, 0, 0], [0, 4, 0], [4, 4, 0]]
    square = [[0, 1, 2], [3, 2, 1]]
    assert not r.rasterize(vertices, square, (5, 5), rule="face3d").covered[1, 3]
    assert r.rasterize(vertices, square, (5, 5)).covered[1, 3]


@pytest.mark.parametrize("workers", [1, 3])
def test_rasterize_batch_equals_single_pictures(workers):
    batch = np.stack([random_mesh(seed)[0] for seed in range(5)])
    triangles = random_mesh(0)[1]
    fragments = r.rasterize(batch, triangles, SIZE, workers=workers)
    assert fragments.triangle.shape == (5, *SIZE) and fragments.size == SIZE
    for i, vertices in enumerate(batch):
        single = r.rasterize(vertices, triangles, SIZE)
        for name in ("triangle", "weights", "depth"):
            np.testing.assert_array_equal(getattr(fragments, name)[i], getattr(single, name))
    shared = r.interpolate(fragments, triangles, batch[0])
    own = r.interpolate(fragments, triangles, batch)
    assert shared.shape == own.shape == (5, *SIZE, 3)
    np.testing.assert_array_equal(own[3], r.interpolate(r.rasterize(batch[3], triangles, SIZE), triangles, batch[3]))
    assert r.rasterize(batch[:0], triangles, SIZE).depth.shape == (0, *SIZE)


def test_rasterize_out_is_reused_and_cleared():
    vertices, triangles = random_mesh(1)
    fresh = r.rasterize(vertices, triangles, SIZE)
    out = r.rasterize(*random_mesh(2, spread=9), SIZE)
    again = r.rasterize(vertices, triangles, SIZE, out=out)
    assert again is out
    for name in ("triangle", "weights", "depth"):
        np.testing.assert_array_equal(getattr(out, name), getattr(fresh, name))


def test_rasterize_leaves_its_input_alone_and_takes_any_layout():
    vertices, triangles = random_mesh(3)
    wanted = r.rasterize(vertices, triangles, SIZE).triangle
    variants = [
        (np.asfortranarray(vertices), triangles.astype(np.int64)),
        (vertices.astype(np.float64), triangles.astype(np.uint16)),
        (np.repeat(vertices, 2, axis=0)[::2], np.ascontiguousarray(triangles.T).T),
        (vertices.astype(">f4"), triangles.astype(">i4")),
        (vertices.tolist(), triangles.tolist()),
    ]
    for v, t in variants:
        if isinstance(v, np.ndarray):
            v.flags.writeable = t.flags.writeable = False
        before = np.array(v), np.array(t)
        np.testing.assert_array_equal(r.rasterize(v, t, SIZE).triangle, wanted)
        np.testing.assert_array_equal(v, before[0])
        np.testing.assert_array_equal(t, before[1])


def test_interpolate_vertices_returns_pixel_coordinates():
    vertices, triangles = random_mesh(4, spread=3)
    fragments = r.rasterize(vertices, triangles, SIZE)
    image = r.interpolate(fragments, triangles, vertices, background=[-7, -8, -9])
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    c = fragments.covered
    np.testing.assert_allclose(image[c], np.stack([x, y, fragments.depth], axis=-1)[c], atol=1e-4)
    assert (image[~c] == [-7, -8, -9]).all()


@pytest.mark.parametrize("channels", [0, 1, 2, 3, 5, 16])
def test_interpolate_any_channel_count(channels):
    vertices, triangles = random_mesh(5)
    fragments = r.rasterize(vertices, triangles, SIZE)
    attributes = np.random.default_rng(0).normal(size=(len(vertices), channels)).astype(np.float32)
    image = r.interpolate(fragments, triangles, attributes)
    c = fragments.covered
    expected = np.einsum("pk,pkc->pc", fragments.weights[c], attributes[triangles[fragments.triangle[c]]])
    np.testing.assert_allclose(image[c], expected, atol=1e-5)
    assert image.shape == (*SIZE, channels) and not image[~c].any()


def test_depth_map_normal_map_and_pncc_are_interpolations():
    vertices, triangles = random_mesh(6)
    fragments = r.rasterize(vertices, triangles, SIZE)
    c = fragments.covered
    depth = r.depth_map(fragments, background=-3)
    np.testing.assert_array_equal(depth[c], fragments.depth[c])
    assert (depth[~c] == -3).all() and depth.dtype == np.float32
    normals = r.normal_map(fragments, triangles, r.vertex_normals(vertices, triangles))
    np.testing.assert_allclose(np.linalg.norm(normals[c], axis=-1), 1, atol=1e-5)
    codes = r.pncc_codes(vertices)
    assert codes.min() == 0 and codes.max() == 1
    image = r.pncc(fragments, triangles, codes)
    assert image.min() >= 0 and image.max() <= 1 and not image[~c].any()
    np.testing.assert_array_equal(r.render_colors(fragments, triangles, codes), image)


def test_interpolate_broken_fragments_are_refused():
    vertices, triangles = random_mesh(7)
    fragments = r.rasterize(vertices, triangles, SIZE)
    with pytest.raises(InputError, match="triangles beyond"):
        r.interpolate(fragments, triangles[:3], vertices)
    with pytest.raises(InputError, match="rows beyond"):
        r.interpolate(fragments, triangles, vertices[:5])
    with pytest.raises(UvgenError, match="attributes"):
        r.interpolate(fragments, triangles, vertices[:, 0])
    with pytest.raises(UvgenError, match="batch of 1"):
        r.interpolate(fragments, triangles, vertices[None])
    with pytest.raises(UvgenError, match="background"):
        r.interpolate(fragments, triangles, vertices, background=[1, 2])
    with pytest.raises(UvgenError, match="fragments"):
        r.interpolate(fragments.triangle, triangles, vertices)
