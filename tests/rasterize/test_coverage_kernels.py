"""The kernel that draws meshes against loops over triangles and pixels."""

import numpy as np
import pytest
from support.drawn_meshes import assert_draws_as, pixels_of_box

from uvgen.rasterize import coverage_kernels as kernels
from uvgen.rasterize.buffers import thread_memory


def owns(a, b, clockwise):
    """Whether the edge from a to b of a triangle is a top or left one; y points down."""
    (ax, ay), (bx, by) = (a, b) if clockwise else (b, a)
    return ay > by or (ay == by and ax < bx)


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


@pytest.mark.parametrize(("front", "back"), [(True, True), (True, False), (False, True)])
def test_fragments_are_those_of_the_plain_loops(front: bool, back: bool) -> None:
    assert_draws_as(
        lambda *inputs: kernels.rasterize_mesh(*inputs[:-1], thread_memory.block, inputs[-1]),
        lambda *inputs: rasterize_mesh(*inputs[:-1], None, inputs[-1]),
        front,
        back,
    )
