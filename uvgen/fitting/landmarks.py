"""A morphable model's parameters and pose from the landmarks of a face: `fit_landmarks`.

The camera is scaled orthographic. It starts from the Gold Standard algorithm for affine cameras (Hartley and Zisserman,
Multiple View Geometry, 2004, algorithm 14.2 in its form for known points) and from several yaws; then pose, shape and
expression are found together by Gauss-Newton steps on

    sum over points of -log t(distance / sigma) + |shape / shape_std|² / 2 + |expression / expression_std|² / 2,

t being Student's distribution, which gives points that are far off little weight, and sigma, the noise of the points,
being estimated with the face by expectation maximization. `uvgen.fitting.contour` says where jaw points lie.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from uvgen.checks import as_array, check_array, check_finite, choice, float64_array
from uvgen.described import described
from uvgen.errors import InputError
from uvgen.fitting.fitter import Faces, Fitter
from uvgen.fitting.steps import angles_of
from uvgen.maps.labels import label_nme
from uvgen.maps.memo import once_per_model
from uvgen.models.morphable import MorphableModel
from uvgen.samples.landmark_schemes import in_line

JAWS = ("contour", "fixed")
"""What jaw points (0 to 16) mark: where the face ends in a picture, or the same places of the jaw in all pictures."""

FEWEST_POINTS = 6
"""Landmarks that a face must have."""


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkFit:
    """N faces that were fitted to landmarks.

    Attributes
    ----------
    shape, expression : (N, ks), (N, ke) float64
        Parameters that multiply the model's bases directly.
    pose : (N, 7) float64
        Pitch, yaw, roll (rad), tx, ty, tz (px), f (px/µm), as `uvgen.geometry.pose_to_image` takes them, "exact".
    points : (N, 68, 2) float64
        The points that the landmarks were compared with, image frame, px: the model's landmarks, or for jaw points that
        slide, places on its contour.
    sigma_px : (N,) float64
        Standard deviation of the given points about them, per axis, as it was estimated; at least 0.1% of the face's
        size.
    residual : (N,) float32
        Mean distance of the points 17 to 67 from `points`, as a share of √(w·h) of the box around the given points
        (all 68 if all are known, else the fitted ones); NaN where none of them is given.
    residual_jaw : (N,) float32
        The same for points 0 to 16.
    slides : (N, 68) bool
        Jaw points that were compared with the contour.
    """

    shape: NDArray[np.float64]
    expression: NDArray[np.float64]
    pose: NDArray[np.float64]
    points: NDArray[np.float64]
    sigma_px: NDArray[np.float64]
    residual: NDArray[np.float32]
    residual_jaw: NDArray[np.float32]
    slides: NDArray[np.bool_]

    __repr__ = described

    def face(self, k: int) -> "LandmarkFit":
        """Face number `k` alone, as a fit of one face."""
        return LandmarkFit(*(getattr(self, item.name)[k : k + 1] for item in fields(self)))


def fit_landmarks(
    points: ArrayLike,
    model: MorphableModel,
    image_height: ArrayLike,
    *,
    scores: ArrayLike | None = None,
    jaw: str = "contour",
    person: Sequence[int] | Sequence[str] | None = None,
) -> LandmarkFit:
    """Fit a morphable model to the 68 landmarks of faces.

    Parameters
    ----------
    points : (N, 68, 2) or (N, 68, 3) float
        iBUG's landmarks in the image frame, px: the first pixel's center is (0, 0), y points down. NaN where a point is
        not known. z is not used.
    model : MorphableModel
        The model whose landmarks, bases and standard deviations are used.
    image_height : (N,) or scalar
        Heights of the images, px.
    scores : (N, 68) float, optional
        How reliable each point is, 0 (not at all) to 1.
    jaw : {"contour", "fixed"}
        What points 0 to 16 mark. "contour": where the face ends in the picture, as annotators of photographs and most
        detectors put them. "fixed": the same places of the jaw in every picture, seen or not, as in `pt3d_68` of
        AFLW2000-3D.
    person : sequence of int or str, optional
        A number or name for the person in each of the N faces; faces with the same one get the same shape. By default,
        each face has a shape of its own.

    Returns
    -------
    LandmarkFit
        The result for a face does not depend on the others, except on those of the same person.

    Raises
    ------
    InputError
        If shapes do not agree, scores are out of range, or a face has fewer than 6 points or all in one place.
    """
    choice(jaw, "jaw", JAWS)
    marked = checked(points, image_height, scores)
    groups = _persons(person, len(marked.given))
    with threadpool_limits(1, user_api="blas"):  # more would be slower, and would change the last bits
        fitter = _fitter(model, jaw)
        faces = fitter.fit(marked.frame, marked.weights, groups)
        return result_of(fitter, faces, marked)


class Marked(NamedTuple):
    """Landmarks as they are fitted."""

    given: NDArray[np.float64]
    """(N, 68, 2): image frame, px."""
    known: NDArray[np.bool_]
    """(N, 68)"""
    frame: NDArray[np.float64]
    """(N, 68, 2): in 300W-LP's frame, y up from the bottom edge, so that a pose's matrix is a rotation; 0 for those
    that are not known."""
    weights: NDArray[np.float64]
    """(N, 68): likewise."""
    height: NDArray[np.float64]
    """(N,): of the images, px."""


def _persons(person: Sequence[int] | Sequence[str] | None, n: int) -> NDArray[np.int64]:
    """A number for the person in each of n faces, by the numbers or names that are given."""
    given = np.arange(n) if person is None else as_array(person, "person")
    check_array(given, "person", (n,), note="a number or name for each face's person")
    try:
        known, groups = np.unique(given, return_inverse=True)
    except TypeError as error:
        raise InputError("person: values of several kinds, expected a number or name for each face's person") from error
    if known.dtype.kind in "fc" and not np.isfinite(known).all():
        raise InputError("person: NaN or infinity in it, expected a number or name for each face's person")
    return groups.astype(np.int64)


def checked(points: ArrayLike, image_height: ArrayLike, scores: ArrayLike | None) -> Marked:
    """The arguments of `fit_landmarks`, or its InputError."""
    given = float64_array(points, "points", ("N", 68, 2), ("N", 68, 3))[..., :2]
    n = len(given)
    height = np.broadcast_to(float64_array(image_height, "image_height", (), (n,)), (n,))
    check_finite(height, "image_height")
    weights = np.ones((n, 68)) if scores is None else float64_array(scores, "scores", (n, 68))
    if not ((weights >= 0) & (weights <= 1)).all():
        raise InputError("scores: some are not from 0 to 1, expected how reliable each point is")
    known = np.isfinite(given).all(axis=2) & (weights > 0)
    frame = np.stack([given[..., 0] + 1, height[:, None] - given[..., 1]], axis=2)
    for k in range(n):
        if (count := int(known[k].sum())) < FEWEST_POINTS:
            raise InputError(f"points: face {k} has {count} of the 68, expected {FEWEST_POINTS} or more")
        if in_line(frame[k][known[k]]):
            raise InputError(f"points: those of face {k} lie in one point or line, expected a face")
    return Marked(given, known, np.where(known[..., None], frame, 0), np.where(known, weights, 0), height)


@once_per_model
def _fitter(model: MorphableModel, jaw: str) -> Fitter:
    """Cached, because making one takes as long as fitting several faces."""
    return Fitter(model, jaw)


def result_of(fitter: Fitter, faces: Faces, marked: Marked) -> LandmarkFit:
    """Fitted faces in the form that `fit_landmarks` returns."""
    given, known, height = marked.given, marked.known, marked.height
    turned = fitter.turned(faces)
    frame = faces.scale[:, None, None] * turned[..., :2] + faces.shift[:, None]
    frame = frame * faces.size[:, None, None] + faces.middle[:, None]
    points = np.stack([frame[..., 0] - 1, height[:, None] - frame[..., 1]], axis=2)
    scale = faces.scale * faces.size / fitter.unit  # px/µm
    origin = scale[:, None] * (faces.rotation @ fitter.center)
    shift = faces.middle + faces.size[:, None] * faces.shift - origin[:, :2]
    pose = np.concatenate([angles_of(faces.rotation), shift, np.zeros((len(scale), 1)), scale[:, None]], axis=1)
    parameters = faces.parameters * fitter.std
    inner, jaw = label_nme(points, np.where(known[..., None], given, np.nan), fewest=1)
    shape, expression = parameters[:, : fitter.n_shape], parameters[:, fitter.n_shape :]
    slides = faces.place >= 68
    return LandmarkFit(shape, expression, pose, points, faces.sigma * faces.size, inner, jaw, slides)
