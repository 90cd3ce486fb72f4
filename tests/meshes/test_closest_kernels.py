"""`closest_on_triangles` against a plain function of the same name, which looks at every triangle."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen.meshes import closest_kernels
from uvgen.meshes.closest_kernels import STACK, BoxTree


def closest_on_triangles(
    points: NDArray[np.float64], tree: BoxTree, farthest2: float, stack: NDArray[np.int64], *outputs: NDArray[Any]
) -> None:
    """By planes and edges: the foot on the plane where it lies inside, else the nearest point of the edges."""
    slot_out, weights_out, squared_out = outputs
    for i, point in enumerate(points):
        slot_out[i], squared_out[i] = -1, farthest2
        for slot, corners in enumerate(tree.corners):
            (s, t), *_ = np.linalg.lstsq((corners[1:] - corners[0]).T, point - corners[0], rcond=None)
            candidates = [np.array([1 - s - t, s, t])] if min(s, t, 1 - s - t) >= 0 else []
            for a, b in ((0, 1), (1, 2), (2, 0)):
                along = corners[b] - corners[a]
                share = np.clip((point - corners[a]) @ along / (along @ along), 0, 1)
                candidates.append(np.eye(3)[a] * (1 - share) + np.eye(3)[b] * share)
            for weights in candidates:
                distance2 = ((weights @ corners - point) ** 2).sum()
                if distance2 < squared_out[i]:
                    slot_out[i], weights_out[i], squared_out[i] = slot, weights, distance2


def tree_of(corners: NDArray[np.float64], leaves: int) -> BoxTree:
    """The boxes of triangles in any order: a tree may be a bad one."""
    low, high = np.empty((2 * leaves - 1, 3)), np.empty((2 * leaves - 1, 3))
    for node in reversed(range(2 * leaves - 1)):
        if node >= leaves - 1:
            held = corners.reshape(leaves, -1, 3)[node - leaves + 1]
            low[node], high[node] = held.min(axis=0), held.max(axis=0)
        else:
            low[node], high[node] = (
                low[2 * node + 1 : 2 * node + 3].min(axis=0),
                high[2 * node + 1 : 2 * node + 3].max(0),
            )
    return BoxTree(corners, low, high)


@pytest.mark.parametrize("farthest2", [np.inf, 0.5, 0.0])
@pytest.mark.parametrize(("n_triangles", "leaves"), [(1, 1), (3, 1), (8, 4), (64, 16), (48, 16)])
def test_closest_on_triangles_is_the_plain_one(n_triangles: int, leaves: int, farthest2: float) -> None:
    rng = np.random.default_rng(n_triangles)
    corners, points = rng.normal(size=(n_triangles, 3, 3)), 1.5 * rng.normal(size=(40, 3))
    tree = tree_of(corners, leaves)
    results = []
    for function in (closest_kernels.closest_on_triangles, closest_on_triangles):
        slot, weights, squared = np.empty(40, np.int64), np.zeros((40, 3)), np.empty(40)
        function(points, tree, farthest2, np.empty(STACK, np.int64), slot, weights, squared)
        results.append((slot, weights, squared))
    (slot, weights, squared), (slot_there, weights_there, squared_there) = results
    np.testing.assert_array_equal(slot, slot_there)
    np.testing.assert_allclose(squared, squared_there, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weights, weights_there, atol=1e-7)
