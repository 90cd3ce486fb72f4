"""A morphable model fitted to a scan: pose, size, shape and expression, by landmarks and then by the surface.

The fit by landmarks takes them in any frame. The fit to the surface works in the model's frame, mm, into which the
first fit has brought the scan.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.fitting.scans.template import Template, moved, normals_of
from uvgen.fitting.steps import solution
from uvgen.geometry import LANDMARK_MIRROR, N_JAW
from uvgen.meshes.scans import Feet, ScanSurface
from uvgen.similarity import Similarity, align_points

FEWEST_LANDMARKS = 6
"""The least number of marked landmarks of a scan."""

_LANDMARK_MM, _JAW_MM = 2.0, 6.0  # standard deviations of marks from where the model has them
OUTLIER_MM = 8.0
"""Distance of a landmark at which its weight is halved."""

_MOST_RESIDUAL_MM = 12.0  # residual of the landmarks, without the jaw, above which they are no face's
_BEYOND_MM = 1e100  # no place in the model's frame is as far: squares of larger numbers soon overflow
_SUSPECT_MM = 4.0  # residual above which landmarks are tried with left and right exchanged
_BETTER = 0.6  # of the residual: landmarks are mirrored if the exchange brings it below this share
_LANDMARK_STEPS, _STEPS = 12, 30
_ROWS_COUNT = 1500  # independent measurements that a scan's surface counts as: neighboring points have similar errors
_LEAST_MM, _FIRST_MM = 0.2, 4.0  # noise of the surface: the least that is assumed, and the first guess
_FARTHEST_MM = 30.0  # how far from the model's surface counterparts are looked for
_LEAST_COSINE = 0.5  # between normals of points that may correspond
_DONE_MM = 2e-3  # largest change of a vertex at which the fit has converged


class Fitted(NamedTuple):
    """A face of the model and its place."""

    place: Similarity
    """From the model's frame, mm, to the frame of what it was fitted to."""
    coefficients: NDArray[np.float64]
    """(k,) standard deviations."""


def known_landmarks(landmarks: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(68,) which landmarks are marked; InputError if they are too few, or lie in one place or line."""
    known = np.asarray(np.isfinite(landmarks).all(axis=1))
    if known.sum() < FEWEST_LANDMARKS:
        raise InputError(f"landmarks: {known.sum()} of 68 are marked, expected {FEWEST_LANDMARKS} or more")
    spread = np.linalg.svd(landmarks[known] - landmarks[known].mean(axis=0), compute_uv=False)
    if not spread[0] > 0 or spread[1] < 0.05 * spread[0]:
        raise InputError("landmarks: they lie in one place or in one line, expected a face's")
    return known


def fit_to_landmarks(template: Template, landmarks: NDArray[np.float64]) -> Fitted:
    """The most probable face of the model for landmarks (68, 3) in any frame and unit, NaN where not marked.

    Raises
    ------
    InputError
        If they are too few, in one line, mirrored, or no face's.
    """
    known = known_landmarks(landmarks)
    found, residual = _to_landmarks(template, landmarks, known)
    if residual > _SUSPECT_MM:
        _, turned = _to_landmarks(template, landmarks[LANDMARK_MIRROR], known[LANDMARK_MIRROR])
        if turned < _BETTER * residual and turned < _MOST_RESIDUAL_MM:
            raise InputError(
                f"landmarks: {residual:.1f} mm off a face's, {turned:.1f} mm with left and right exchanged: mirrored "
                "in their order, or the scan's coordinates are (x to its left), expected iBUG's order, which begins at "
                "the jaw on the person's right, in a right-handed frame"
            )
    if residual > _MOST_RESIDUAL_MM:
        raise InputError(
            f"landmarks: {residual:.1f} mm off the nearest face's, expected {_MOST_RESIDUAL_MM:.0f} mm at most, in the "
            "order of iBUG's 68, in the scan's frame and unit"
        )
    return found


def _to_landmarks(template: Template, landmarks: NDArray[np.float64], known: NDArray[np.bool_]) -> tuple[Fitted, float]:
    """A fit, and the root mean square residual of the landmarks without the jaw, mm; outliers are clipped in it."""
    chosen = np.flatnonzero(known)
    target, vertices = landmarks[chosen], template.landmarks[chosen]
    basis, mean = template.basis(vertices), template.mean[vertices]
    trust = 1 / np.where(chosen < N_JAW, _JAW_MM, _LANDMARK_MM) ** 2
    coefficients, weights = np.zeros(basis.shape[2]), trust
    for _ in range(_LANDMARK_STEPS):
        face = mean + basis @ coefficients
        place = align_points(face, target, scaled=True, weights=weights)
        with np.errstate(all="ignore"):  # of a scale near 0
            wanted = place.undo(target)
        if not (np.abs(wanted) < _BEYOND_MM).all():
            raise InputError("landmarks: most lie in one place, expected a face's; those that are not marked are NaN")
        distance = np.linalg.norm(wanted - face, axis=1)
        weights = trust / (1 + (distance / OUTLIER_MM) ** 2)
        rows = np.sqrt(weights)[:, None, None] * basis
        flat = rows.reshape(3 * len(rows), len(coefficients))
        right = flat.T @ (np.sqrt(weights)[:, None] * (wanted - mean)).ravel()
        coefficients = solution(flat.T @ flat + np.eye(flat.shape[1]), right)
    inner = distance[chosen >= N_JAW] if (chosen >= N_JAW).any() else distance
    return Fitted(place, coefficients), float(np.sqrt((np.minimum(inner, 3 * np.median(inner)) ** 2).mean()))


def matching(feet: Feet, normals: NDArray[np.float64], scan: ScanSurface) -> NDArray[np.bool_]:
    """(k,) which points have a counterpart: not at the scan's border, and with normals that agree."""
    cosine = (feet.normals * normals).sum(axis=1)
    matches: NDArray[np.bool_] = feet.inside & ((cosine if scan.is_oriented else np.abs(cosine)) > _LEAST_COSINE)
    return matches


def fit_to_surface(template: Template, scan: ScanSurface, landmarks: NDArray[np.float64], start: Fitted) -> Fitted:
    """Fit the model to a scan's surface and landmarks: Gauss-Newton steps, each with new pairs of closest points.

    The scan, the landmarks (68, 3) and `start` are in the model's frame, mm.
    """
    rows, known = template.rows, np.flatnonzero(np.isfinite(landmarks).all(axis=1))
    marked, basis = template.landmarks[known], template.basis(rows)
    of_marks, area = template.basis(marked), template.area[rows] / template.area[rows].mean()
    place, coefficients, noise = start.place, start.coefficients, _FIRST_MM
    trust = 1 / np.where(known < N_JAW, _JAW_MM, _LANDMARK_MM) ** 2
    for _ in range(_STEPS):
        face = template.face(coefficients)
        normals = normals_of(template, face)[rows]
        feet = scan.find(place.apply(face[rows]), _FARTHEST_MM)
        pair = matching(feet, normals @ place.rotation.T, scan)
        points, directions = place.undo(feet.points), feet.normals @ place.rotation
        residual = ((points - face[rows]) * directions).sum(axis=1)
        pair &= np.abs(residual) < 4 * noise
        if pair.sum() < 50:
            break
        robust = np.where(pair, area / (1 + (residual / (2 * noise)) ** 2) ** 2, 0)
        weights = robust * (min(_ROWS_COUNT, pair.sum()) / pair.sum()) / noise**2
        system, right = _equations(face[rows], directions[:, None], basis, residual[:, None], weights)
        off = place.undo(landmarks[known]) - face[marked]
        of_each = trust / (1 + ((off**2).sum(axis=1) / OUTLIER_MM**2))
        axes = np.broadcast_to(np.eye(3), (len(known), 3, 3))
        more, wanted = _equations(face[marked], axes, of_marks, off, of_each)
        system, right = system + more, right + wanted
        prior = np.arange(7, len(right))
        system[prior, prior] += 1
        right[7:] -= coefficients
        step = np.asarray(solution(system, right), np.float64)
        place, coefficients = moved(place, step), coefficients + step[7:]
        change = np.abs(template.face(coefficients)[rows] - face[rows]).max() + np.abs(step[3:6]).max()
        spread = 1.4826 * float(np.median(np.abs(residual[pair])))
        before, noise = noise, float(np.clip(spread, max(_LEAST_MM, noise / 2), noise))
        if change < _DONE_MM and noise > 0.99 * before:
            break
    return Fitted(place, coefficients)


def _equations(
    points: NDArray[np.float64], directions: NDArray[np.float64], basis: NDArray[np.float64],
    residual: NDArray[np.float64], weights: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Normal equations of a step: rotation (3), shift (3), growth (1) and coefficients (k).

    The points (p, 3), with a basis (p, 3, k) and weights (p,), are to move by `residual` (p, d) along their d
    directions (p, d, 3).
    """
    turned = np.cross(points[:, None], directions)
    grown = (points[:, None] * directions).sum(axis=2, keepdims=True)
    rows = np.concatenate([turned, directions, grown, directions @ basis], axis=2)
    flat = rows.reshape(-1, rows.shape[2])
    weighted = (rows * weights[:, None, None]).reshape(flat.shape)
    return weighted.T @ flat, weighted.T @ residual.ravel()
