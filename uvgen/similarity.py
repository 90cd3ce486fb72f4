"""The rotation, shift and perhaps scale that bring points onto others that correspond to them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_finite, float64_array, true_or_false
from uvgen.errors import InputError
from uvgen.wording import count


class Similarity(NamedTuple):
    """A similarity transform of points in space: ``scale * points @ rotation.T + shift``."""

    scale: float
    rotation: NDArray[np.float64]
    """(3, 3), determinant 1."""
    shift: NDArray[np.float64]
    """(3,)"""

    def apply(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(..., 3) points, moved."""
        given = float64_array(points, "points", (..., 3))
        return np.asarray(self.scale * (given @ self.rotation.T) + self.shift, np.float64)

    def undo(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(..., 3) points before they were moved."""
        given = float64_array(points, "points", (..., 3))
        return np.asarray((given - self.shift) @ self.rotation / self.scale, np.float64)


def align_points(
    source: NDArray[Any], target: NDArray[Any], *, scaled: bool, weights: NDArray[Any] | None = None
) -> Similarity:
    """The similarity with the smallest squared distances between points that correspond.

    Parameters
    ----------
    source, target : (n, 3) float
        Points, the k-th of one is the k-th of the other; 3 or more, not all in one place.
    scaled : bool
        Whether the scale is found too; it is 1 otherwise.
    weights : (n,) float, optional
        How much each pair counts, 0 or more, not all 0; by default all count the same.

    Returns
    -------
    Similarity
        Takes `source` to `target`; never a reflection (Umeyama, PAMI 1991).

    Raises
    ------
    InputError
        If shapes do not agree, a value is not finite, all points lie in one place, or weights are negative.
    """
    scaled = true_or_false(scaled, "scaled")
    source = float64_array(source, "source", ("n", 3), note="points")
    target = float64_array(target, "target", (len(source), 3), note="the points of source")
    for name, points in (("source", source), ("target", target)):
        check_finite(points, name)
        if len(points) < 3 or not np.ptp(points, axis=0).any():
            raise InputError(f"{name}: {count(len(points), 'point')} in one place, expected 3 or more that are apart")
    share = np.ones((len(source), 1))
    if weights is not None:
        given = float64_array(weights, "weights", (len(source),), note="one per point")
        check_finite(given, "weights")
        if given.min() < 0 or not given.max() > 0:
            raise InputError(f"weights: {given.min():.4g} to {given.max():.4g}, expected 0 or more, some above 0")
        share = (given / given.mean())[:, None]
    middles = (share * source).mean(axis=0), (share * target).mean(axis=0)
    a, b = source - middles[0], target - middles[1]
    with np.errstate(over="ignore", invalid="ignore"):
        covariance = (share * b).T @ a
    check_finite(covariance, "source, target: their products")  # LAPACK would not return
    u, strengths, vt = np.linalg.svd(covariance)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    spread = float((share * a**2).sum())
    if scaled and not spread > 0:  # too small for float64: its squares are 0
        raise InputError("source: points in one place, as far as can be computed, expected 3 or more that are apart")
    scale = float((strengths * signs).sum() / spread) if scaled else 1.0
    return Similarity(scale, rotation, middles[1] - scale * rotation @ middles[0])
