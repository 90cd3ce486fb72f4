"""The kernels that read what is drawn against plain loops."""

import numpy as np
import pytest

from uvgen.checks import frozen
from uvgen.rasterize import surface_kernels as kernels
from uvgen.rasterize.buffers import BLOCK, mesh_arrays, thread_memory

RNG = np.random.default_rng(3)


def interpolate(triangle, weights, triangles, attributes, channels, image_out):
    values, image = attributes.reshape(-1, channels).astype(float), image_out.reshape(-1, channels)
    broken = False
    for p, t in enumerate(triangle):
        corners = triangles[3 * t : 3 * t + 3]
        if t >= 0 and (len(corners) < 3 or corners.max() >= len(values)):
            broken = True
        elif t >= 0:
            _, b, c = weights[3 * p : 3 * p + 3].astype(float)
            image[p] = (1 - b - c) * values[corners[0]] + b * values[corners[1]] + c * values[corners[2]]
    return broken


def sample(points, valid, image, bilinear, background, samples_out):
    height, width, _ = image.shape
    for p, (x, y) in enumerate(points[:, :2].astype(float)):
        x, y = min(max(x, 0.0), width - 1), min(max(y, 0.0), height - 1)
        if not valid[p]:
            samples_out[p] = background
        elif bilinear:
            i, j = int(y), int(x)
            down, right = min(i + 1, height - 1), min(j + 1, width - 1)
            upper = (1 - (x - j)) * image[i, j] + (x - j) * image[i, right]
            lower = (1 - (x - j)) * image[down, j] + (x - j) * image[down, right]
            samples_out[p] = (1 - (y - i)) * upper + (y - i) * lower
        else:
            samples_out[p] = image[int(y + 0.5), int(x + 0.5)]


def sum_face_normals(mesh, memory, normals_out):
    vertices, sums = mesh.vertices.reshape(-1, 3).astype(float), np.zeros((len(mesh.xy), 3))
    for corners in mesh.triangles.reshape(-1, 3):
        for k in range(3):
            p, q, s = (vertices[corners[(k + i) % 3]] for i in range(3))
            normal = np.cross(q - p, s - p)
            length = np.linalg.norm(normal)
            if 0 < length < np.inf:
                sums[corners[k]] += normal / length * np.arctan2(length, (q - p) @ (s - p))
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    normals_out[:] = np.divide(sums, length, out=np.zeros_like(sums), where=length > 0).ravel()
    return mesh.triangles.max()


def sum_shown_normals(triangle, mesh, shown, memory, normals_out):
    shown[:] = 0
    shown[mesh.triangles.reshape(-1, 3)[triangle[triangle >= 0]]] = 1
    sum_face_normals(mesh, memory, normals_out)


def see_points(points, depth, tolerance, visible_out):
    height, width = depth.shape
    for i, (x, y, z) in enumerate(points.reshape(-1, 3).astype(float)):
        visible_out[i] = False
        if z == z and -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5:
            row, column = int(np.floor(y)), int(np.floor(x))
            around = depth[max(row, 0) : row + 2, max(column, 0) : column + 2]
            drawn = around[around > -np.inf]
            visible_out[i] = drawn.size == 0 or z >= drawn.min() - tolerance


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("rows", [20, 9])  # 9: some corners have none
def test_interpolated_attributes(channels, rows) -> None:
    triangles = frozen(RNG.integers(0, 20, 3 * 12), np.uint32)
    triangle = frozen(RNG.integers(-1, 14 if rows < 20 else 12, 50), np.int32)
    weights = frozen(RNG.dirichlet((1, 1, 1), 50).ravel(), np.float32)
    attributes = frozen(RNG.normal(size=rows * channels), np.float32)
    found, wanted = np.full((2, 50 * channels), 7, np.float32)
    broken = kernels.interpolate(triangle, weights, triangles, attributes, channels, found)
    assert broken == interpolate(triangle, weights, triangles, attributes, channels, wanted) == (rows < 20)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)  # float32 against float64


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1), (6, 7)])
@pytest.mark.parametrize("bilinear", [True, False])
def test_sample_values_at_points(size, bilinear) -> None:
    points = frozen(np.vstack([RNG.uniform(-2, 9, (60, 2)), [[np.nan, 1], [2, np.inf], [3, 0]]]), np.float32)
    valid, image = frozen(RNG.random(63) < 0.8, np.bool_), frozen(RNG.random((*size, 2)), np.float32)
    background = frozen([5, 6], np.float32)
    found, wanted = np.zeros((2, 63, 2), np.float32)
    points = frozen(np.nan_to_num(points, nan=-1, posinf=99), np.float32)
    kernels.sample(points, valid, image, bilinear, background, found)
    sample(points, valid, image, bilinear, background, wanted)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)  # float32 against float64


@pytest.mark.parametrize("n_triangles", [1, 40, 2 * BLOCK, 2 * BLOCK + 3])
def test_sum_face_normals_and_sum_shown_normals(n_triangles) -> None:
    n = n_triangles + 2
    vertices = np.column_stack([RNG.uniform(0, 9, (n, 2)), RNG.uniform(0, 0.5, n)])
    triangles = RNG.integers(0, n, (n_triangles, 3))
    triangles[0] = 0, 1, 2
    a, b, c = vertices[triangles].swapaxes(0, 1)
    turned = np.cross(b - a, c - a)[:, 2] < 0
    triangles[turned] = triangles[turned][:, ::-1]  # normals do not cancel out
    mesh = mesh_arrays(frozen(vertices, np.float32), frozen(triangles.ravel(), np.uint32))
    found, wanted = np.full((2, 3 * n), 7, np.float32)
    assert kernels.sum_face_normals(mesh, thread_memory.faces, found) == sum_face_normals(mesh, None, wanted)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)  # float32: slivers lose two digits

    triangle = np.int32([-1, 0, n_triangles // 2, n_triangles - 1])
    shown, seen, shown_normals = np.zeros(n, np.uint8), np.zeros(n, np.uint8), np.zeros(3 * n, np.float32)
    kernels.sum_shown_normals(triangle, mesh, shown, thread_memory.faces, shown_normals)
    sum_shown_normals(triangle, mesh, seen, None, wanted)
    np.testing.assert_array_equal(shown, seen)
    np.testing.assert_array_equal(shown_normals.reshape(-1, 3)[shown == 1], found.reshape(-1, 3)[shown == 1])


def test_see_points() -> None:
    depth = RNG.uniform(0, 3, (5, 8))
    depth[RNG.random((5, 8)) < 0.4] = -np.inf
    points = RNG.uniform([-1, -1, -1], [9, 6, 4], (300, 3))
    points[:4] = [[np.nan, 1, 1], [1, np.nan, 1], [1, 1, np.nan], [-0.5, 4.5, 9]]
    points, depth = frozen(points.ravel(), np.float32), frozen(depth, np.float32)
    found, wanted = np.ones((2, 300), np.bool_)
    kernels.see_points(points, depth, np.float32(0.5), found)
    see_points(points, depth, np.float32(0.5), wanted)
    np.testing.assert_array_equal(found, wanted)
    assert found.any() and not found.all()
