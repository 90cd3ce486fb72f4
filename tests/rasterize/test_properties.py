"""What must hold for every mesh: hypothesis looks for one where it does not."""

import numpy as np
from hypothesis import given, reject
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import Delaunay, QhullError
from support.examples import examples

from uvgen import rasterize as r

SIZE = (13, 17)
STEP = 8  # coordinates are multiples of 1/8: pixel centers fall on edges and corners often, and all is exact

few = examples(60)
grid = st.integers(-3 * STEP, 20 * STEP)


@st.composite
def meshes(draw, max_triangles=12):
    """Triangles that share corners, cross each other, and may have no area."""
    points = draw(st.lists(st.tuples(grid, grid, st.integers(-40, 40)), min_size=3, max_size=12))
    corner = st.integers(0, len(points) - 1)
    triangles = draw(st.lists(st.tuples(corner, corner, corner), min_size=1, max_size=max_triangles))
    return np.array(points, np.float32) / STEP, np.array(triangles, np.int32)


def closed_sides(points, triangles):
    """Exact integer edge functions (p, m, 3) of all pixel centers, positive inside."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].reshape(2, -1) * STEP
    a, b, c = points[triangles].swapaxes(0, 1)

    def edge(s, e):
        return (e[:, 0] - s[:, 0]) * (y[:, None] - s[:, 1]) - (e[:, 1] - s[:, 1]) * (x[:, None] - s[:, 0])

    sides = np.stack([edge(b, c), edge(c, a), edge(a, b)], axis=-1)
    return sides * np.sign(sides.sum(axis=-1, keepdims=True))


@few
@given(st.lists(st.tuples(grid, grid), min_size=3, max_size=25, unique=True), st.randoms(use_true_random=False))
def test_delaunay_triangulation_covers_each_center_in_its_hull_exactly_once(points, random):
    points = np.array(points)
    try:
        triangles = Delaunay(points).simplices.copy()
    except QhullError:  # all on one line
        reject()
    for row in triangles:
        random.shuffle(row)
    sides = closed_sides(points, triangles)
    flat = sides[0].sum(axis=-1) == 0
    inside = ((sides >= 0).all(axis=-1) & ~flat).any(axis=1)
    edges = np.sort(triangles[:, [[1, 2], [2, 0], [0, 1]]], axis=-1)
    code = edges[..., 0] * len(points) + edges[..., 1]
    free = (code[..., None] == np.array([c for c in np.unique(code) if (code == c).sum() == 1])).any(axis=-1)
    on_border = ((sides >= 0).all(axis=-1)[..., None] & (sides == 0) & free).any(axis=(1, 2))
    corners = points[np.unique(edges[free])]
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].reshape(2, -1) * STEP
    on_border |= ((x[:, None] == corners[:, 0]) & (y[:, None] == corners[:, 1])).any(axis=1)
    vertices = np.column_stack([points / STEP, np.zeros(len(points))]).astype(np.float32)
    count = sum(r.rasterize(vertices, [one], SIZE).covered.astype(int) for one in triangles).ravel()
    assert (count[inside & ~on_border] == 1).all()
    assert (count[on_border] <= 1).all()
    assert not count[~inside & ~on_border].any()
    np.testing.assert_array_equal(r.rasterize(vertices, triangles, SIZE).covered.ravel(), count > 0)


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 50.0]))
def test_triangulation_with_arbitrary_float32_corners_has_no_crack_and_no_overlap(seed, spread):
    rng = np.random.default_rng(seed)
    points = np.vstack([rng.normal([8, 6], spread, (20, 2)), [[-60, -50], [80, -50], [80, 70], [-60, 70]]])
    points = points.astype(np.float32)
    vertices = np.column_stack([points, np.zeros(len(points), np.float32)])
    count = sum(r.rasterize(vertices, [one], SIZE).covered.astype(int) for one in Delaunay(points).simplices)
    assert (count == 1).all()


@few
@given(meshes(), st.integers(-5, 5), st.integers(-5, 5))
def test_integer_shift_of_the_vertices_shifts_the_picture(mesh, dx, dy):
    vertices, triangles = mesh
    margin = 8
    size = SIZE[0] + 2 * margin, SIZE[1] + 2 * margin
    still = r.rasterize(vertices + np.float32([margin, margin, 0]), triangles, size)
    moved = r.rasterize(vertices + np.float32([margin + dx, margin + dy, 0]), triangles, size)
    here = np.s_[margin:-margin, margin:-margin]
    there = np.s_[margin + dy : margin + dy + SIZE[0], margin + dx : margin + dx + SIZE[1]]
    for name in ("triangle", "weights", "depth"):
        np.testing.assert_array_equal(getattr(moved, name)[there], getattr(still, name)[here])


@few
@given(meshes(), st.randoms(use_true_random=False))
def test_order_of_triangles_matters_only_in_ties(mesh, random):
    vertices, triangles = mesh
    order = list(range(len(triangles)))
    random.shuffle(order)
    one = r.rasterize(vertices, triangles, SIZE)
    other = r.rasterize(vertices, triangles[order], SIZE)
    np.testing.assert_array_equal(one.depth, other.depth)
    differs = one.covered & (np.array(order)[other.triangle] != one.triangle)
    alone = [r.rasterize(vertices, [t], SIZE).depth for t in triangles]
    tied = sum((d == one.depth) & one.covered for d in alone) > 1
    assert not (differs & ~tied).any()
    lowest = np.argmax([d == one.depth for d in alone], axis=0)
    np.testing.assert_array_equal(one.triangle, np.where(one.covered, lowest, -1))


@few
@given(meshes(max_triangles=1), st.permutations(range(3)))
def test_permuted_corners_permute_the_weights(mesh, order):
    vertices, triangles = mesh
    one = r.rasterize(vertices, triangles, SIZE)
    other = r.rasterize(vertices, triangles[:, order], SIZE)
    np.testing.assert_array_equal(one.triangle, other.triangle)
    np.testing.assert_allclose(one.weights[..., order], other.weights, atol=1e-6)


@few
@given(meshes())
def test_weights_are_convex_and_place_the_pixel(mesh):
    vertices, triangles = mesh
    fragments = r.rasterize(vertices, triangles, SIZE)
    c = fragments.covered
    weights = fragments.weights[c].astype(np.float64)
    assert (weights >= 0).all() and (weights <= 1 + 1e-6).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)
    corners = vertices[triangles[fragments.triangle[c]]].astype(np.float64)
    y, x = np.nonzero(c)
    np.testing.assert_allclose(np.einsum("pk,pkc->pc", weights, corners)[:, :2], np.stack([x, y], axis=1), atol=1e-5)


@few
@given(meshes(), hnp.arrays(np.float32, 4, elements=st.floats(-1e6, 1e6, width=32)))
def test_constant_attributes_stay_constant(mesh, value):
    vertices, triangles = mesh
    fragments = r.rasterize(vertices, triangles, SIZE)
    image = r.interpolate(fragments, triangles, np.tile(value, (len(vertices), 1)))
    assert (image[fragments.covered] == value).all()


@few
@given(meshes())
def test_culling_back_and_front_splits_the_mesh(mesh):
    vertices, triangles = mesh
    both, back, front = (r.rasterize(vertices, triangles, SIZE, cull=c) for c in ("none", "back", "front"))
    np.testing.assert_array_equal(both.depth, np.maximum(back.depth, front.depth))


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-12, 1e-3, 1.0, 30.0, 1e4, 1e9, 1e17, 1e19, 3e19, 1e36]))
def test_rasterize_covers_the_pixels_whose_edge_functions_agree_in_double_precision(seed, spread):
    rng = np.random.default_rng(seed)
    center = rng.uniform(-1, 14, (40, 1, 2)) * rng.integers(0, 2, (40, 1, 2)) + rng.integers(0, 14, (40, 1, 2))
    points = (center + spread * rng.uniform(-3, 3, (40, 3, 2))).astype(np.float32)
    points[::2, 2] = points[::2, 0] + rng.uniform(-1, 2) * (points[::2, 1] - points[::2, 0])  # nearly on a line
    vertices = np.concatenate([points, np.zeros((40, 3, 1), np.float32)], axis=-1)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float64)
    for corners, cull in zip(vertices, ("none", "back", "front", "none") * 10, strict=True):
        (ax, ay), (bx, by), (cx, cy) = ((px - x, py - y) for px, py in corners[:, :2].astype(np.float64))
        edges = np.array([bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx])
        inside = (edges > 0).all(axis=0) & (cull != "front") | (edges < 0).all(axis=0) & (cull != "back")
        drawn = r.rasterize(corners, [[0, 1, 2]], SIZE, cull=cull).covered
        np.testing.assert_array_equal(drawn[(edges != 0).all(axis=0)], inside[(edges != 0).all(axis=0)])
