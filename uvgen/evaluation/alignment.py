"""The rotation, shift and perhaps scale that bring one point set onto another, whose points may not correspond."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_finite, check_instance, float64_array, number_in, shown, true_or_false
from uvgen.errors import InputError
from uvgen.similarity import Similarity as Similarity  # for `__init__.pyi`
from uvgen.similarity import align_points as align_points

_STEPS = 60
_FARTHEST = 1e100  # of points from the origin: squares of distances are finite
_DONE = 1e-6  # of the target's size: a step that moves less is the last one


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
        Where to begin; by default the shift between the means.
    steps : int
        Largest number of iterations; fewer are done if the points stop moving.

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
    for name, points in (("source", source), ("target", target)):
        check_finite(points, name)
        if not (len(points) and np.abs(points).max() < _FARTHEST):
            raise InputError(f"{name}: {shown(points)}, expected points with coordinates below {_FARTHEST:g}")
    true_or_false(scaled, "scaled")
    if start is not None:
        check_instance(start, "start", Similarity, "align_points(source, target, scaled=True)")
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
