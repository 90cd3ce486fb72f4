"""The rotation, shift and perhaps scale that bring one point set onto another."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_finite, float64_array, number_in
from uvgen.errors import InputError

_STEPS = 60
_DONE = 1e-6  # of the target's size: a step that moves less is the last one


class Similarity(NamedTuple):
    """``scale * points @ rotation.T + shift``."""

    scale: float
    rotation: NDArray[np.float64]
    """(3, 3), determinant 1."""
    shift: NDArray[np.float64]
    """(3,)"""

    def apply(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(..., 3) points, moved."""
        return np.asarray(self.scale * (points @ self.rotation.T) + self.shift, np.float64)

    def undo(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(..., 3) points before they were moved."""
        return np.asarray((points - self.shift) @ self.rotation / self.scale, np.float64)


def align_points(source: NDArray[Any], target: NDArray[Any], *, scaled: bool) -> Similarity:
    """The similarity with the smallest squared distances between points that correspond.

    Parameters
    ----------
    source, target : (n, 3) float
        Points, the k-th of one is the k-th of the other; 3 or more, not all in one place.
    scaled : bool
        Whether the scale is found too; it is 1 otherwise.

    Returns
    -------
    Similarity
        Takes `source` to `target`; never a reflection (Umeyama, PAMI 1991).

    Raises
    ------
    InputError
        Where shapes do not agree, a value is not finite, or all points lie in one place.
    """
    source = float64_array(source, "source", ("n", 3), note="points")
    target = float64_array(target, "target", (len(source), 3), note="the points of source")
    for name, points in (("source", source), ("target", target)):
        check_finite(points, name)
        if len(points) < 3 or not np.ptp(points, axis=0).any():
            raise InputError(f"{name}: {len(points)} points in one place, expected 3 or more that are apart")
    middles = source.mean(axis=0), target.mean(axis=0)
    a, b = source - middles[0], target - middles[1]
    with np.errstate(over="ignore", invalid="ignore"):
        covariance = b.T @ a
    check_finite(covariance, "source, target: their products")  # LAPACK would not return
    u, strengths, vt = np.linalg.svd(covariance)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    scale = float((strengths * signs).sum() / (a**2).sum()) if scaled else 1.0
    return Similarity(scale, rotation, middles[1] - scale * rotation @ middles[0])


def align_by_icp(
    source: NDArray[Any], target: NDArray[Any], *, scaled: bool, start: Similarity | None = None, steps: int = _STEPS
) -> Similarity:
    """The similarity that brings a point set onto another without correspondences: iterative closest points.

    Parameters
    ----------
    source, target : (n, 3), (m, 3) float
        Points; a part of `source` may be without a counterpart: each point of `target` is paired with the nearest of
        `source`. The other way round, with a scale, a cloud that shrinks to a point would fit best.
    scaled : bool
        Whether the scale is found too.
    start : Similarity, optional
        Where to begin; by default the shift between the middles.
    steps : int
        The most; fewer where the points stop moving.

    Returns
    -------
    Similarity
        Takes `source` to `target` (Besl and McKay, PAMI 1992).

    Raises
    ------
    InputError
        As for `align_points`, and for `steps` below 1.
    """
    from scipy.spatial import cKDTree

    source = float64_array(source, "source", ("n", 3), note="points")
    target = float64_array(target, "target", ("m", 3), note="points")
    check_finite(source, "source")
    check_finite(target, "target")
    number_in(steps, "steps", 1, whole=True)
    found = start or Similarity(1.0, np.eye(3), target.mean(axis=0) - source.mean(axis=0))
    tree = cKDTree(source)
    enough = _DONE * max(float(np.ptp(target, axis=0).max()), 1e-30)
    before = found.apply(source)
    for _ in range(steps):
        paired = source[tree.query(found.undo(target))[1]]
        if not np.ptp(paired, axis=0).any():  # all of one point: too far away for any step
            break
        found = align_points(paired, target, scaled=scaled)
        after = found.apply(source)
        if np.abs(after - before).max() < enough:
            break
        before = after
    return found
