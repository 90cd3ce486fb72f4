"""What REALY has of a model: key points on its template."""

import numpy as np

from uvgen.models.morphable import MorphableModel


def key_points(model: MorphableModel) -> list[list[float]]:
    """REALY's of a model: 85 times a triangle and the weights of two corners; the first 68 are near its landmarks."""
    rng = np.random.default_rng(0)
    triangles = rng.integers(len(model.triangles), size=85)
    weights = rng.dirichlet(np.ones(3), 85)
    for k, landmark in enumerate(model.landmarks):
        triangles[k] = np.flatnonzero((model.triangles == landmark).any(axis=1))[0]
        weights[k] = 0.1 * weights[k] + 0.9 * (model.triangles[triangles[k]] == landmark)
    return [[int(triangle), a, b] for triangle, (a, b, _) in zip(triangles, weights.tolist(), strict=True)]
