"""The nearest vertex of each point, compared with all distances."""

import numpy as np
import pytest
import scipy.spatial

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
