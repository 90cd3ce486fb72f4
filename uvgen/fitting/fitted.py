"""A face that was fitted or left out: its record, the reasons to leave it out, and its parameters as a file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.fitting.doubts import NO_DOUBT, Doubt
from uvgen.fitting.landmarks import FEWEST_POINTS, LandmarkFit
from uvgen.models.morphable import MorphableModel
from uvgen.samples.landmark_schemes import FaceLandmarks, misplaced, to_68, unlike_face
from uvgen.samples.write import parameter_file
from uvgen.storage.names import printable

NO_FACE = 0.15
"""Residual above which landmarks are no face's, if no other limit is given."""


@dataclass(frozen=True, slots=True)
class FittedFace:
    """A face that was written as a sample.

    Attributes
    ----------
    name, image : str
        Name of the sample; path of the photograph, below the folder that it came from.
    residual, residual_jaw : float
        See `uvgen.fitting.landmarks.LandmarkFit`; the latter NaN without jaw points.
    sigma_px : float
        Estimated noise of its landmarks, px.
    yaw_deg : float
        Yaw of the face.
    source : str
        Where the landmarks come from: a file, or a detector.
    suffix : str
        Suffix of the picture beside the parameters.
    made_of : str
        Hash of the photograph and of its landmarks in files.
    """

    name: str
    image: str
    residual: float
    residual_jaw: float
    sigma_px: float
    yaw_deg: float
    source: str
    suffix: str
    made_of: str


@dataclass(frozen=True, slots=True)
class FittedFrame(FittedFace):
    """A frame of a video that was written as a sample; `image` is the video.

    Attributes
    ----------
    frame : int
        Its number: from 0 on in a file, else what the name of its own file says.
    time_s : float
        When it is shown, as the file says or by the frame rate.
    track : int
        Frames of one video with the same number show one person without a cut, and have one shape; from 0 on.
    """

    frame: int
    time_s: float
    track: int


@dataclass(frozen=True, slots=True)
class Unfitted:
    """A photograph, or a face of one, without a sample, and why."""

    name: str
    image: str
    reason: str


@dataclass(frozen=True, slots=True)
class FittedBatch:
    """The result of a task: names of its photographs, the faces, and what was left out."""

    photographs: tuple[str, ...]
    faces: tuple[FittedFace, ...]
    skipped: tuple[Unfitted, ...]


def usable_points(face: FaceLandmarks, size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """A face's 68 landmarks (68, 2), their weights (68,), and why they cannot be used, "" if they can.

    `size` is the width and height of the image, px.
    """
    points, weights = np.full((68, 2), np.nan), np.zeros(68)
    if problem := misplaced(face, (size[1], size[0])):
        return points, weights, problem
    points, weights = to_68(face)
    known = weights > 0
    if known.sum() < FEWEST_POINTS:
        problem = f"{face.source}: {known.sum()} of the 68 landmarks are marked, expected {FEWEST_POINTS} or more"
    else:
        problem = unlike_face(points[known], face.source)
    return points, weights, problem


def rejection(fit: LandmarkFit, max_residual: float | None, doubt: Doubt = NO_DOUBT) -> str:
    """Why a face that was fitted is left out; "" if it is not."""
    residual = float(fit.residual[0])
    numbers = [fit.shape[0], fit.expression[0], fit.pose[0]]
    if not all(np.isfinite(values).all() for values in numbers):
        return "no face fits these landmarks"
    if doubt.is_explained:
        return f"{doubt.text}; with them as they are, it is {residual:.1%}"
    limit = NO_FACE if max_residual is None else max_residual
    if residual > limit:
        return f"residual {residual:.1%}, expected {limit:.1%} at most{'; ' * bool(doubt.text)}{doubt.text}"
    return ""


def stated_limit(max_residual: float | None) -> float | None:
    """The largest residual as a folder states it: None for what it is if none is given, also where that is given."""
    return None if max_residual == NO_FACE else max_residual


def parameters_of(
    fit: LandmarkFit, model: MorphableModel, points: NDArray[np.float64], weights: NDArray[np.float64],
    size: tuple[int, int],
) -> bytes:  # fmt: skip
    """A sample's ``.mat``, of one face."""
    more: dict[str, ArrayLike] = {
        "residual": [[float(fit.residual[0])]], "residual_jaw": [[float(fit.residual_jaw[0])]],
        "sigma": [[float(fit.sigma_px[0])]], "pt2d_weight": weights[None],
    }  # fmt: skip
    albedo = np.zeros(0 if model.albedo_std is None else len(model.albedo_std))
    return parameter_file(fit.shape[0], fit.expression[0], fit.pose[0], points, size, albedo=albedo, more=more)


def source_below(source: str, *places: Path | None) -> str:
    """Where landmarks or boxes of a face come from, without the folders of this machine around it.

    A file's path below the folder that it came from, a table's name and what in it is the face's, or a detector's
    name.
    """
    for place in places:
        if place is not None and Path(source).is_relative_to(place) and Path(source) != place:
            return printable(Path(source).relative_to(place).as_posix())
        if place is not None and (source == str(place) or source.startswith(f"{place}, ")):
            return printable(f"{place.name}{source[len(str(place)) :]}")
    return printable(source)
