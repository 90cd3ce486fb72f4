"""`uvgen.meshes.closest` against a slow way by planes and edges."""

import numpy as np
import pytest
from numpy.typing import NDArray
from support.toy import grid

from uvgen.errors import InputError
from uvgen.meshes.closest import ClosestPoints


def slow_distance(point: NDArray[np.float64], corners: NDArray[np.float64]) -> float:
    """From a triangle: to its plane where the foot lies inside, else to the nearest edge."""
    a, b, c = corners
    edges = [(a, b), (b, c), (c, a)]
    shares = [np.clip(np.dot(point - p, q - p) / max(float(np.dot(q - p, q - p)), 1e-300), 0, 1) for p, q in edges]
    found = [float(np.linalg.norm(p + s * (q - p) - point)) for s, (p, q) in zip(shares, edges, strict=True)]
    (s, t), *_ = np.linalg.lstsq(np.stack([b - a, c - a], axis=1), point - a, rcond=None)
    if s >= 0 and t >= 0 and s + t <= 1:
        found.append(float(np.linalg.norm(a + s * (b - a) + t * (c - a) - point)))
    return min(found)


@pytest.mark.parametrize("n_triangles", [1, 3, 4, 5, 37])
def test_closest_points_are_those_of_the_slow_way(n_triangles: int) -> None:
    rng = np.random.default_rng(n_triangles)
    vertices = rng.normal(size=(30, 3)) * [3, 1, 0.5]
    triangles = np.stack([rng.permutation(30)[:3] for _ in range(n_triangles)]).astype(np.int32)
    points = rng.normal(size=(40, 3)) * 2
    triangle, weights, distance = ClosestPoints(vertices, np.concatenate([triangles, [[3, 3, 8]]])).find(points)
    wanted = [min(slow_distance(p, vertices[t]) for t in triangles) for p in points]
    np.testing.assert_allclose(distance, wanted, atol=1e-12)
    feet = np.einsum("kc,kcd->kd", weights, vertices[triangles[triangle]])
    np.testing.assert_allclose(np.linalg.norm(feet - points, axis=1), distance, atol=1e-12)
    assert weights.min() > -1e-12 and np.allclose(weights.sum(axis=1), 1)


def test_places_lie_in_few_boxes_of_a_surface_and_in_very_many_of_triangles_at_random() -> None:
    vertices, triangles = grid(60, 60)
    assert ClosestPoints(vertices, triangles).crowding() < 5
    assert ClosestPoints(vertices, triangles[:1]).crowding() == 1
    rng = np.random.default_rng(0)
    crowd = rng.normal(size=(9000, 3)), np.arange(9000).reshape(-1, 3)
    assert ClosestPoints(*crowd).crowding() > 100
    corners = (
        np.stack([*np.meshgrid(np.arange(70.0), np.arange(70.0)), np.zeros((70, 70))], axis=2).reshape(-1, 3) + 500
    )
    i = (np.arange(69)[:, None] * 70 + np.arange(69)).ravel()
    flat = np.concatenate([np.stack([i, i + 1, i + 70], axis=1), np.stack([i + 1, i + 71, i + 70], axis=1)])
    assert ClosestPoints(corners, flat).crowding() < 5
    both = np.concatenate([crowd[0], corners]), np.concatenate([crowd[1], flat + 9000])
    assert len(flat) > 2 * len(crowd[1]) and ClosestPoints(*both).crowding() > 50


def test_points_farther_than_asked_for_have_none() -> None:
    tree = ClosestPoints(np.eye(3), np.array([[0, 1, 2]]))
    triangle, weights, distance = tree.find(np.array([[0.4, 0.4, 0.4], [5.0, 5, 5]]), 1.0)
    assert triangle.tolist() == [0, -1] and np.isinf(distance[1]) and not weights[1].any()


def test_bad_meshes_and_points_are_errors() -> None:
    with pytest.raises(InputError, match="triangles: 0, none with an area, expected one or more"):
        ClosestPoints(np.eye(3), np.zeros((0, 3), np.int32))
    with pytest.raises(InputError, match="vertices: holds NaN"):
        ClosestPoints(np.full((3, 3), np.nan), np.array([[0, 1, 2]]))
    with pytest.raises(InputError, match="points: holds NaN"):
        ClosestPoints(np.eye(3), np.array([[0, 1, 2]])).find(np.full((1, 3), np.inf))
    with pytest.raises(InputError, match=r"triangles.* expected indices of 0 to 2"):
        ClosestPoints(np.eye(3), np.array([[0, 1, 3]]))
