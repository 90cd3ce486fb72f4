"""Predictions that are right but for how they are counted: mirrored, shifted, scaled, in another order.

A network's errors differ from face to face; these are the same for all, and then a table says nothing. Only landmarks
are looked at. What is found is a question to the user: nothing is corrected.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.evaluation.predictions import SHIFTS
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.normalization import DIVISORS
from uvgen.wording import count

_MOST = 400  # faces that are compared with each other
_HALF = 0.5  # what another way of counting must leave of the error
_SMALL = 0.01  # an NME below which nothing is doubted but the shift
_SHIFT_PX = 0.4
_SURE = 5.0  # standard errors
_NEAR_PX = 0.25  # a named convention's shift
_WITHIN = 0.03  # of 1: a scale that is none
_DIVISOR = 0.005  # how near a scale is to a divisor that is named

Points = NDArray[np.floating[Any]]


class Counted(NamedTuple):
    """Landmarks of faces, as far as both are finite."""

    names: list[str]
    predicted: Points
    """(n, 68, 2 or 3) px of the truth's frame."""
    true: Points
    """(n, 68, 2 or 3)"""
    image_to_truth: NDArray[np.float64]
    """(n, 2, 2): a step of a pixel of the original image."""


def find_doubts(faces: Counted, convention: str) -> list[str]:
    """What looks as if predictions were counted otherwise than the truth, a sentence each; none if nothing does.

    Parameters
    ----------
    faces : Counted
        Two or more say something about what all have in common.
    convention : str
        How the truth counts pixels, a key of `SHIFTS`.
    """
    if len(faces.names) < 2:
        return []
    found = _another_count(faces) or _exchanged_faces(faces)
    if not found:
        found = _shift(faces, convention)
    return found + _inverted_depth(faces)


def _nme(predicted: Points, true: Points) -> NDArray[np.float64]:
    """(n,) of centered points."""
    distance = np.linalg.norm(predicted - true, axis=-1).mean(axis=-1)
    return np.asarray(distance / np.sqrt(np.ptp(true, axis=-2).prod(axis=-1)), np.float64)


def _centered(points: Points) -> Points:
    centered: Points = points - points.mean(axis=-2, keepdims=True)
    return centered


def _typical(predicted: Points, true: Points) -> float:
    return float(np.median(_nme(predicted, true)))


def _another_count(faces: Counted) -> list[str]:
    """The best of some other ways of counting, if it leaves less than half of the error."""
    true, plain = faces.true[..., :2].astype(np.float64), faces.predicted[..., :2].astype(np.float64)
    error = _typical(plain, true)
    found = _scale(plain, true, error)
    p, t = _centered(plain), _centered(true)
    base = _typical(p, t)
    ways: dict[str, Callable[[Points], Points]] = {
        "mirrored: x runs from right to left": lambda q: (q * [-1, 1])[:, LANDMARK_MIRROR],
        "mirrored, with landmarks in the order of the face that is not": lambda q: q * [-1, 1],
        "in another order: landmarks of the left and the right are exchanged": lambda q: q[:, LANDMARK_MIRROR],
        "upside down: y runs upward": lambda q: q * [1, -1],
        "in another order: y stands before x": lambda q: q[..., ::-1],
    }
    for text, way in ways.items():
        left = _typical(way(p), t)
        if base > _SMALL and left < _HALF * base:
            better = f"the NME about the middle is {left:.2%} then, {base:.2%} as they are"
            found.append((left / base, f"predictions look {text}? {better[0].upper()}{better[1:]}"))
    return [min(found)[1]] if found else []


def _scale(p: Points, t: Points, error: float) -> list[tuple[float, str]]:
    """Values that were divided by something, or are of a crop of another size."""
    factor = float((p * t).sum() / max((p * p).sum(), 1e-30))
    if abs(factor - 1) < _WITHIN or factor <= 0 or error < _SMALL:
        return []
    left = _typical(factor * p, t)
    if not left < _HALF * error:
        return []
    divisor = min(DIVISORS, key=lambda one: abs(factor / one - 1))
    how = "are they of a crop of another size?"
    if abs(factor / divisor - 1) < _DIVISOR:
        how = f"were they divided by {divisor:g}, as the scale {divisor:g} undoes?"
    better = f"predictions times {factor:.4g} are nearer to the truth, NME {left:.2%} instead of {error:.2%}"
    return [(left / error, f"{better}: {how}")]


def _shift(faces: Counted, convention: str) -> list[str]:
    """A mean step of pixels of the original image that is too sure to be chance."""
    step = (faces.predicted[..., :2] - faces.true[..., :2]).mean(axis=1)
    inverse = np.linalg.inv(faces.image_to_truth)
    steps = (inverse @ step[..., None])[..., 0]
    middle = np.median(steps, axis=0)
    spread = 1.4826 * np.median(np.abs(steps - middle), axis=0) / math.sqrt(len(steps))
    if not (np.abs(middle) > np.maximum(_SHIFT_PX, _SURE * spread)).any():
        return []
    known = {name: np.subtract(shift, SHIFTS[convention]) for name, shift in SHIFTS.items() if name != convention}
    near = [name for name, shift in known.items() if np.abs(shift - middle).max() < _NEAR_PX]
    words = [
        f"{abs(value):{'.2g' if abs(value) < 10 else '.0f'}} px {way[value < 0]}"
        for value, way in zip(middle.tolist(), (("right", "left"), ("down", "up")), strict=True)
        if abs(value) >= 0.1
    ]
    whose = f": {_WHOSE[near[0]]} convention?" if near else ", in pixels of the original image"
    return [f"predictions lie {' and '.join(words)} of the truth{whose}"]


_WHOSE = {"exact": "the exact", "face3d": "face3d's", "reshow": "reshow's", "matlab": "MATLAB's"}


def _exchanged_faces(faces: Counted) -> list[str]:
    """Predictions that fit other faces: another order of files or rows."""
    n = min(len(faces.names), _MOST)
    p, t = faces.predicted[:n, :, :2].astype(np.float64), faces.true[:n, :, :2].astype(np.float64)
    box = np.sqrt(np.ptp(t, axis=1).prod(axis=1))
    best, own = np.empty(n, int), np.empty(n)
    for k in range(n):
        errors = np.linalg.norm(p[k] - t, axis=-1).mean(axis=1) / box
        best[k], own[k] = errors.argmin(), errors[k]
        if errors[best[k]] >= _HALF * own[k]:
            best[k] = k
    wrong = np.flatnonzero((best != np.arange(n)) & (own > _SMALL))
    if len(wrong) < max(2, n / 4):
        return []
    first = wrong[0]
    return [
        f"{len(wrong)} of {count(n, 'prediction')} fit another face at least twice as well, {faces.names[first]}'s "
        f"that of {faces.names[best[first]]}: are they in another order?"
    ]


def _inverted_depth(faces: Counted) -> list[str]:
    if min(faces.predicted.shape[-1], faces.true.shape[-1]) < 3:
        return []
    p, t = (_centered(points)[..., 2].astype(np.float64) for points in (faces.predicted, faces.true))
    agreement = (p * t).sum(axis=1) / np.maximum(np.linalg.norm(p, axis=1) * np.linalg.norm(t, axis=1), 1e-30)
    if np.median(agreement) > -0.5:
        return []
    return ["predicted depths are inverted: z grows away from the viewer, expected toward the viewer"]
