"""The nearest vertex of each point, compared with all distances."""

import numpy as np
import pytest
import scipy.spatial

from uvgen.meshes import nearest
from uvgen.meshes.nearest import nearest_vertices

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n_alike", [0, 2, 500])
def test_nearest_vertices_are_those_of_all_distances(n_alike: int) -> None:
    vertices = np.concatenate([RNG.normal(size=(90, 3)), np.zeros((n_alike, 3)), RNG.normal(size=(90, 3))])
    points = np.concatenate([RNG.normal(size=(50, 3)), np.full((9, 3), 1e-3), vertices])
    distance, number = nearest_vertices(vertices.astype(np.float32), points)
    every = np.linalg.norm(vertices.astype(np.float32) - points[:, None], axis=2)
    np.testing.assert_allclose(distance, every.min(axis=1), atol=1e-12)
    np.testing.assert_allclose(every[np.arange(len(points)), number], distance, atol=1e-12)
    if n_alike == 500:
        assert (number[50:59] == 90).all()


def test_very_many_vertices_in_one_place_are_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each point would be compared with all of them: quadratic in their number."""
    sizes, tree = [], scipy.spatial.cKDTree
    monkeypatch.setattr(scipy.spatial, "cKDTree", lambda points: sizes.append(len(points)) or tree(points))
    vertices = np.concatenate([np.zeros((2000, 3)), np.eye(3)])
    assert nearest_vertices(vertices, vertices)[1].tolist() == [0] * 2000 + [2000, 2001, 2002]
    assert sizes == [4]


def test_points_that_are_equally_far_from_all_vertices_are_not_compared_with_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As vertices of no triangle at the center of a sphere: each would be, as no part of the tree is farther away."""
    queries, build = list[tuple[int, float]](), scipy.spatial.cKDTree

    class Tree:
        def __init__(self, vertices: np.ndarray) -> None:
            self._tree = build(vertices)

        def query(self, points: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
            queries.append((len(points), eps))
            return self._tree.query(points, eps=eps)

    monkeypatch.setattr(scipy.spatial, "cKDTree", Tree)
    sphere = RNG.normal(size=(3000, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    points = np.concatenate([np.zeros((900, 3)), RNG.normal(size=(99, 3)) * 1e-3])
    exact, number = nearest_vertices(sphere, points, exact=False)
    np.testing.assert_allclose(np.linalg.norm(sphere[number] - points, axis=1), exact)
    monkeypatch.setattr(nearest, "_MOST_PAIRS", 100_000)
    nearly, number = nearest_vertices(sphere, points, exact=False)
    np.testing.assert_allclose(np.linalg.norm(sphere[number] - points, axis=1), nearly)
    assert (nearly <= 2 * exact).all()
    nearest_vertices(sphere, points)
    assert queries == [(100, 0), (100, 1), (100, 0)]
