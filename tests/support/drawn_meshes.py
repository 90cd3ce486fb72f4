"""Meshes that the rasterizer's kernels draw into a small picture, and what they draw into."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import frozen
from uvgen.rasterize.buffers import BLOCK, FragmentArrays, MeshArrays, mesh_arrays

HEIGHT, WIDTH = 13, 19


def empty() -> FragmentArrays:
    """Fragments of a picture, filled with numbers that mean nothing."""
    n = HEIGHT * WIDTH
    return FragmentArrays(np.full(n, 7, np.int32), np.full(3 * n, 7, np.float32), np.full(n, 7, np.float32))


def pixels_of_box(points: Any, width: int, height: int) -> Iterator[tuple[int, int, int]]:
    """Index, column and row of the pixels whose centers lie in the box of a triangle."""
    (left, right), (top, bottom) = ([fold(p[axis] for p in points) for fold in (min, max)] for axis in (0, 1))
    for y in range(max(math.ceil(top), 0), min(math.floor(bottom), height - 1) + 1):
        for x in range(max(math.ceil(left), 0), min(math.floor(right), width - 1) + 1):
            yield y * width + x, x, y


def meshes() -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint32]]]:
    """Boxes of each kind, of both windings, many with centers on their edges and equal depths; two blocks, and none."""
    for n, spread in ((0, 1.0), (60, 0.8), (60, 2.0), (30, 9.0), (BLOCK + 5, 1.5)):
        rng = np.random.default_rng(n)
        center = rng.uniform(-2, WIDTH + 2, (n, 1, 3)) * [1, HEIGHT / WIDTH, 0.2]
        corners = center + rng.normal(scale=[spread, spread, 0.3], size=(n, 3, 3))
        vertices = np.round(corners.reshape(-1, 3) * 2) / 2
        triangles = rng.permutation(3 * n)
        # read-only, as `rasterize` calls them: other types would be compiled anew
        yield frozen(vertices if n else np.zeros((1, 3)), np.float32), frozen(triangles, np.uint32)


def assert_draws_as(compiled: Callable[..., int], plain: Callable[..., int], front: bool, back: bool) -> None:
    """Two functions of a mesh, a width, front, back and fragments fill the latter alike, and return the same."""
    for vertices, triangles in meshes():
        mesh: MeshArrays = mesh_arrays(vertices, triangles)
        found, wanted = empty(), empty()
        assert compiled(mesh, WIDTH, front, back, found) == plain(mesh, WIDTH, front, back, wanted)
        np.testing.assert_array_equal(found.triangle, wanted.triangle)
        # one operation after the other where `plain` is in float32; else float64, rounded once
        np.testing.assert_allclose(found.weights, wanted.weights, rtol=0, atol=1e-7)
        np.testing.assert_allclose(found.depth, wanted.depth, rtol=3e-7, atol=1e-6)
