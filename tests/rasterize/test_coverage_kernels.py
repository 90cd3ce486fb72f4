"""The kernels that draw meshes against loops over triangles and pixels."""

import math

import numpy as np
import pytest

from uvgen.checks import frozen
from uvgen.rasterize import coverage_kernels as kernels
from uvgen.rasterize.buffers import BLOCK, FragmentArrays, mesh_arrays, thread_memory

HEIGHT, WIDTH = 13, 19


def empty(n):
    return FragmentArrays(np.full(n, 7, np.int32), np.full(3 * n, 7, np.float32), np.full(n, 7, np.float32))


def owns(a, b, clockwise):
    """Whether the edge from a to b of a triangle is a top or left one; y points down."""
    (ax, ay), (bx, by) = (a, b) if clockwise else (b, a)
    return ay > by or (ay == by and ax < bx)


def pixels_of_box(points, width, height):
    """Index, column and row of the pixels whose centers lie in the box of a triangle."""
    (left, right), (top, bottom) = ([fold(p[axis] for p in points) for fold in (min, max)] for axis in (0, 1))
    for y in range(max(math.ceil(top), 0), min(math.floor(bottom), height - 1) + 1):
        for x in range(max(math.ceil(left), 0), min(math.floor(right), width - 1) + 1):
            yield y * width + x, x, y


def rasterize_mesh(mesh, width, front, back, memory, fragments_out):
    """In float64, where products and sums are exact, since the inputs are halves: depths tie, or differ by more than
    roundings."""
    vertices, triangles = mesh.vertices.reshape(-1, 3), mesh.triangles.reshape(-1, 3)
    weights_out, nearest = fragments_out.weights.reshape(-1, 3), {}
    fragments_out.triangle[:], weights_out[:], fragments_out.depth[:] = -1, 0, -np.inf
    for t, corners in enumerate(triangles):
        points = [[float(value) for value in vertices[i]] for i in corners]
        for pixel, x, y in pixels_of_box(points, width, len(fragments_out.depth) // width):
            (ax, ay), (bx, by), (cx, cy) = ((px - x, py - y) for px, py, _ in points)
            edges = (bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx)
            area = sum(edges)
            if area == 0 or not (front if area > 0 else back) or min(e * area for e in edges) < 0:
                continue
            ends = (((bx, by), (cx, cy)), ((cx, cy), (ax, ay)), ((ax, ay), (bx, by)))
            if any(e == 0 and not owns(*end, area > 0) for e, end in zip(edges, ends, strict=True)):
                continue
            shares = [e / area for e in edges]
            z = sum(share * point[2] for share, point in zip(shares, points, strict=True))
            if pixel not in nearest or z > nearest[pixel]:  # of equal depths, the first stays
                nearest[pixel] = z
                fragments_out.triangle[pixel], fragments_out.depth[pixel] = t, z
                weights_out[pixel] = shares
    return triangles.max(initial=0)


def rasterize_mesh_face3d(mesh, width, front, back, memory, fragments_out):
    """One float32 operation after the other."""
    f = np.float32
    vertices, weights_out = mesh.vertices.reshape(-1, 3), fragments_out.weights.reshape(-1, 3)
    fragments_out.triangle[:], weights_out[:], fragments_out.depth[:] = -1, 0, -np.inf
    for t, corners in enumerate(mesh.triangles.reshape(-1, 3)):
        p0, p1, p2 = vertices[corners]
        v0, v1 = p2 - p0, p1 - p0
        area = v1[0] * v0[1] - v1[1] * v0[0]
        d00, d01, d11 = v0[0] * v0[0] + v0[1] * v0[1], v0[0] * v1[0] + v0[1] * v1[1], v1[0] * v1[0] + v1[1] * v1[1]
        determinant = d00 * d11 - d01 * d01
        if determinant == 0 or area == 0 or not (front if area > 0 else back):
            continue
        inverse = f(1) / determinant
        for pixel, x, y in pixels_of_box((p0, p1, p2), width, len(fragments_out.depth) // width):
            v2 = f(x) - p0[0], f(y) - p0[1]
            d02, d12 = v0[0] * v2[0] + v0[1] * v2[1], v1[0] * v2[0] + v1[1] * v2[1]
            u, v = (d11 * d02 - d01 * d12) * inverse, (d00 * d12 - d01 * d02) * inverse
            if u >= 0 and v >= 0 and u + v < 1:
                w = f(1) - u - v
                z = w * p0[2] + v * p1[2] + u * p2[2]
                if z > fragments_out.depth[pixel]:
                    fragments_out.triangle[pixel], fragments_out.depth[pixel] = t, z
                    weights_out[pixel] = w, v, u
    return mesh.triangles.max(initial=0)


def meshes():
    """Boxes of each kind, of both windings, many with centers on their edges and equal depths; two blocks, and none."""
    for n, spread in ((0, 1.0), (60, 0.8), (60, 2.0), (30, 9.0), (BLOCK + 5, 1.5)):
        rng = np.random.default_rng(n)
        center = rng.uniform(-2, WIDTH + 2, (n, 1, 3)) * [1, HEIGHT / WIDTH, 0.2]
        corners = center + rng.normal(scale=[spread, spread, 0.3], size=(n, 3, 3))
        vertices = np.round(corners.reshape(-1, 3) * 2) / 2
        triangles = rng.permutation(3 * n)
        # read-only, as `rasterize` calls them: other types would be compiled anew
        yield frozen(vertices if n else np.zeros((1, 3)), np.float32), frozen(triangles, np.uint32)


@pytest.mark.parametrize(("front", "back"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize(
    ("compiled", "plain"),
    [(kernels.rasterize_mesh, rasterize_mesh), (kernels.rasterize_mesh_face3d, rasterize_mesh_face3d)],
    ids=["top-left", "face3d"],
)
def test_fragments_are_those_of_the_plain_loops(compiled, plain, front, back) -> None:
    for vertices, triangles in meshes():
        mesh, found, wanted = mesh_arrays(vertices, triangles), empty(HEIGHT * WIDTH), empty(HEIGHT * WIDTH)
        largest = compiled(mesh, WIDTH, front, back, thread_memory.block, found)
        assert largest == plain(mesh, WIDTH, front, back, None, wanted)
        np.testing.assert_array_equal(found.triangle, wanted.triangle)
        # one operation after the other where `plain` is in float32; else float64, rounded once
        np.testing.assert_allclose(found.weights, wanted.weights, rtol=0, atol=1e-7)
        np.testing.assert_allclose(found.depth, wanted.depth, rtol=3e-7, atol=1e-6)
