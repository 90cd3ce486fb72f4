"""Markups of landmarks, and which of iBUG's 68 points each of their points is.

| scheme | points | of |
| --- | --- | --- |
| 68 | iBUG's, also Multi-PIE's, dlib's and face-alignment's | what uvgen's models carry |
| 98 | WFLW's | Wu et al., Look at Boundary, CVPR 2018 |
| 106 | JD's, also LaPa's | Liu et al., Grand Challenge of 106-Point Facial Landmark Localization, ICME 2019 |
| 106-insightface | the same points in the order of InsightFace's `2d106det` | its `2d106markup.jpg` |
| 478 | MediaPipe's face mesh; 468 without the irises | Kartynnik et al., 2019 |
| 21 | AFLW's | Köstinger et al., ICCV workshops 2011 |
| 5 | eye, eye, tip of the nose, corners of the mouth, from picture left to right | MTCNN's, RetinaFace's, Deep3D's |
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import FARTHEST_PX
from uvgen.described import described
from uvgen.errors import InputError
from uvgen.storage.npy import as_float64
from uvgen.wording import are, count

SCHEMES = {5: "5", 21: "21", 68: "68", 98: "98", 106: "106", 468: "478", 478: "478"}
"""Markups by their number of points; 106 points come in two orders."""

COUNTS = ", ".join(map(str, SCHEMES))
MOST_FACES = 1000
_LEAST_SCORE = 1e-6  # less is none
_MOST_SCORE = 2.0
_HIDDEN = 0.5  # score of a point that is marked though it cannot be seen


@dataclass(frozen=True, slots=True, eq=False)
class FaceLandmarks:
    """The landmarks of one face in one image.

    Attributes
    ----------
    points : (n, 2) float64
        Image frame, px: pixel centers at integers, first pixel (0, 0), y down. NaN for a point that is not marked.
    scores : (n,) float64 or None
        How reliable each point is, 0 to 1; None if unknown.
    scheme : str
        One of `SCHEMES`' values, or "106-insightface": see `uvgen.samples.landmark_schemes`.
    box : (4,) float64 or None
        x, y, width and height of the face, px, if a file or a detector has one.
    source : str
        File or detector, for messages.
    image_size : (int, int) or None
        Width and height of the image in which it was marked, if the file states them.
    """

    points: NDArray[np.float64]
    scores: NDArray[np.float64] | None
    scheme: str
    box: NDArray[np.float64] | None = None
    source: str = ""
    image_size: tuple[int, int] | None = None

    __repr__ = described

    @property
    def extent(self) -> float:
        """Side of the square that has the area of the points' box, px; 0 if no two points are marked."""
        marked = self.points[~np.isnan(self.points).any(axis=1)]
        return float(np.sqrt(np.ptp(marked, axis=0).prod())) if len(marked) > 1 else 0.0

    def as_68(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The iBUG landmarks that these points give, (68, 2) px in the image frame, NaN where one is missing; and their
        weights, (68,). See `uvgen.samples.landmark_schemes.to_68`."""
        return to_68(self)


# dlib's 68 among WFLW's 98, as the code published with Adaptive Wing Loss's and STAR's WFLW networks has it
# (`WFLW_98_TO_DLIB_68_IDX_MAPPING`): every other point of the jaw, the upper edges of the brows, six of eight points of
# an eye.
_WFLW_98 = [*range(0, 33, 2), *range(33, 38), *range(42, 47), *range(51, 60),
            60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75, *range(76, 96)]  # fmt: skip

# JD's 106: the numbers that FaceX-Zoo (JD's own, `face_sdk/utils/lms_trans.py`) names for corners, tips and middles,
# and the points between them in order. A lid has three points between its corners where iBUG has two: pairs are halved.
_JD_106: list[tuple[int, ...]] = [
    *((k,) for k in (*range(0, 33, 2), *range(33, 38), *range(42, 47), *range(51, 55), *range(58, 63))),
    (66,), (67, 68), (68, 69), (70,), (71, 72), (72, 73), (75,), (76, 77), (77, 78), (79,), (80, 81), (81, 82),
    *((k,) for k in range(84, 104)),
]  # fmt: skip

# InsightFace's order of the same points, as Roop, LatentSync and others use its `2d106det` for networks of 68 points.
_INSIGHTFACE_106 = [
    1, 10, 12, 14, 16, 3, 5, 7, 0, 23, 21, 19, 32, 30, 28, 26, 17, 43, 48, 49, 51, 50, 102, 103, 104, 105, 101,
    72, 73, 74, 86, 78, 79, 80, 85, 84, 35, 41, 42, 39, 37, 36, 89, 95, 96, 93, 91, 90,
    52, 64, 63, 71, 67, 68, 61, 58, 59, 53, 56, 55, 65, 66, 62, 70, 69, 57, 60, 54,
]  # fmt: skip
_INSIGHTFACE_JAW = [1, 9, 10, 11, 12, 13, 14, 15, 16, 2, 3, 4, 5, 6, 7, 8, 0,
                    24, 23, 22, 21, 20, 19, 18, 32, 31, 30, 29, 28, 27, 26, 25, 17]  # fmt: skip

# MediaPipe's 478: Peizhi Yan, github.com/PeizhiYan/Mediapipe_2_Dlib_Landmarks, in its first form; the ends of the brows
# and the wings of the nose that it was given later (156, 383, 98, 327) are farther from AFLW2000-3D's points.
_MEDIAPIPE_478: list[tuple[int, ...]] = [
    (127,), (234,), (93,), (132, 58), (58, 172), (136,), (150,), (176,), (152,), (400,), (379,), (365,), (397, 288),
    (361,), (323,), (454,), (356,),
    (70,), (63,), (105,), (66,), (107,), (336,), (296,), (334,), (293,), (300,),
    (168, 6), (197, 195), (5,), (4,), (75,), (97,), (2,), (326,), (305,),
    (33,), (160,), (158,), (133,), (153,), (144,), (362,), (385,), (387,), (263,), (373,), (380,),
    (61,), (39,), (37,), (0,), (267,), (269,), (291,), (321,), (314,), (17,), (84,), (91,),
    (78,), (82,), (13,), (312,), (308,), (317,), (14,), (87,),
]  # fmt: skip

# Mean distances from AFLW2000-3D's points over the 14 reference photographs below 60° of yaw, percent of the box: jaw
# 10 to 15 at its ends and 3 to 4 at the chin, outer ends of the brows 6 to 7, all else 1.6 to 5.
_MEDIAPIPE_WEIGHTS = np.ones(68)
_MEDIAPIPE_WEIGHTS[[0, 1, 2, 3, 4, 12, 13, 14, 15, 16]] = 0.25
_MEDIAPIPE_WEIGHTS[[5, 6, 10, 11, 17, 26]] = 0.5

# AFLW's 21 points that are points of iBUG's 68 too: brows, corners of the eyes, nose, corners of the mouth, chin. Their
# places differ a little: 2 to 4 % of the face's size on 16 images of AFLW2000-3D, measured against its 68 points.
AFLW_21 = {0: 17, 1: 19, 2: 21, 3: 22, 4: 24, 5: 26, 6: 36, 8: 39, 9: 42, 11: 45, 13: 31, 14: 30, 15: 35, 17: 48,
           19: 54, 20: 8}  # fmt: skip

_OTHERS_21 = {7: (*range(36, 42),), 10: (*range(42, 48),), 12: (2,), 16: (14,), 18: (*range(60, 68),)}
AFLW_21_FROM_68: tuple[tuple[int, ...], ...] = tuple(
    (AFLW_21[k],) if k in AFLW_21 else _OTHERS_21[k] for k in range(21)
)
"""For each of AFLW's 21 points the points of the 68 whose mean stands for it, as 3DDFA's benchmark has it: also the
middles of eyes and mouth, and beside the lobes of the ears, points of the jaw."""

_EYE_HALF_WIDTH = 0.2  # corners from an eye's middle, in distances of both middles: 0.17 to 0.22 on 9 frontal faces
_EYE_WEIGHT = 0.5
_FARTHEST_SIDES = 4  # of an image, that a point of a face in it may lie beside it: faces are cut off
SMALLEST_PX = 8
"""Pixels across a face, at least; points that are shares of an image's size lie within 1."""

# Of the lines through eyes and mouth. None of 9,000 made-up faces with points 1.5 % of their size off is beyond, up to
# 90° of yaw and 60° of pitch.
_OPPOSITE, _ACROSS, _SEEN = 0.1, 0.8, 0.3
_LINE = 0.02  # width of a line, as a share of its length: a profile's points are 0.3


class NoLandmarks(str):
    """Why an image has no landmarks if no file or table says anything of it; a plain str if what they say is wrong."""

    __slots__ = ()


class UnreadLandmarks(str):
    """Why an image has no landmarks if their file is there and the system did not read it, with the error's number."""

    errno: int = 0


def scheme_of(points: NDArray[np.float64]) -> str:
    """The markup of (n, 2) points, by their number and, of 106, by where they lie; InputError if there is none."""
    scheme = SCHEMES.get(len(points))
    if scheme is None:
        raise InputError(f"{count(len(points), 'point')}, expected {COUNTS}")
    if len(points) == 106:
        lengths = [_path_length(points[order]) for order in (list(range(33)), _INSIGHTFACE_JAW)]
        return "106-insightface" if lengths[1] < lengths[0] else "106"
    return scheme


def _path_length(points: NDArray[np.float64]) -> float:
    """Of the way along the jaw; points in another order go to and fro."""
    steps = np.linalg.norm(np.diff(points[~np.isnan(points).any(axis=1)], axis=0), axis=1)
    return float(steps.sum())


def face_of(points: ArrayLike, scores: ArrayLike | None, source: str, **more: Any) -> FaceLandmarks:
    """Landmarks of (n, 2) numbers that a file states, 0-based px; InputError if they are none."""
    array = np.array(points, np.float64)
    found = np.full(len(array), np.nan) if scores is None else np.array(scores, np.float64)
    near = np.abs(array) < FARTHEST_PX  # False for NaN too
    unmarked = ~near.all(axis=1) | (array == -1).all(axis=1)
    if (at_origin := (array == 0).all(axis=1)).sum() > 1:  # what programs write for points that are not there
        unmarked |= at_origin
    if scores is not None:
        unmarked |= ~(found > _LEAST_SCORE)
    array[unmarked] = np.nan
    marked = array[~unmarked]
    try:
        scheme = scheme_of(array)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    if len(marked) < 3 or np.ptp(marked, axis=0).max() <= 0:
        raise InputError(
            f"{source}: {len(marked)} of {count(len(array), 'point')} {are(len(marked))} marked, expected 3 or more, "
            "not in one place"
        )
    kept = None if scores is None else np.where(unmarked, 0, np.clip(found, 0, 1))
    return FaceLandmarks(array, kept, scheme, source=source, **more)


def faces_of(array: NDArray[Any], source: str, first_pixel: int = 0) -> list[FaceLandmarks]:
    """Faces of an array: (n, 2|3), (2|3, n), or (faces, n, 2|3); InputError if it is none of these."""
    shown = " × ".join(map(str, array.shape)) or "a single number"
    if array.dtype.kind == "b":
        raise InputError(f"{source}: {array.dtype} {shown}, expected places in px")
    values = as_float64(array)
    if values.ndim == 2:
        values = values[None]
    sizes = [n for n in values.shape if n not in (2, 3)]
    if values.ndim == 3 and len(sizes) == 2 and sizes[0] > sizes[1] and {*sizes} <= SCHEMES.keys():
        raise InputError(
            f"{source}: an array of {shown}, which may be {sizes[0]} faces of {sizes[1]} points or the reverse, "
            "expected the faces first, and fewer than their points"
        )
    if values.ndim == 3 and values.shape[2] not in (2, 3) and values.shape[1] in (2, 3):
        values = np.swapaxes(values, 1, 2)
    if values.ndim != 3 or values.shape[2] not in (2, 3) or values.shape[1] not in SCHEMES:
        raise InputError(f"{source}: an array of {shown}, expected n × 2 or n × 3 with n of {COUNTS}, or faces of it")
    if not 0 < len(values) <= MOST_FACES:
        raise InputError(f"{source}: {count(len(values), 'face')}, expected 1 to {MOST_FACES}")
    for face in values:
        check_unnumbered(face, source)
    return [face_of(face[:, :2] - first_pixel, scores_in(face), source) for face in values]


def check_unnumbered(face: NDArray[np.float64], source: str) -> None:
    """Raise InputError if the first of three columns (n, 3) numbers the points, in whatever order: it is no x."""
    first = np.sort(face[:, 0]) if face.shape[1] == 3 else np.empty(0)
    if len(first) and np.isfinite(first[0]) and np.array_equal(first, first[0] + np.arange(len(first))):
        raise InputError(
            f"{source}: each point begins with its number, {first[0]:g} to {first[-1]:g}, expected x y, or x y score; "
            "bring the points into the order of their numbers, and remove these"
        )


def flag_scores(flags: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The scores that COCO's flags v stand for: of a point that is not marked (0), of a hidden one, of one in view (2).

    None if these are no such flags, or none of them is 2: shares from 0 to 1 may be scores. NaN is 0 here, and in what
    follows: of a point that was not found.
    """
    flags = _zero_for_nan(flags)
    hidden, in_view = flags == 1, flags == 2
    if not in_view.any() or not (hidden | in_view | (flags == 0)).all():
        return None
    return np.where(in_view, 1.0, np.where(hidden, _HIDDEN, 0.0))


def given_scores(numbers: NDArray[np.float64], source: str) -> NDArray[np.float64]:
    """What a file calls scores, or those that COCO's flags under their name stand for.

    InputError if they cannot be shares of 1, of which some networks give a little more.
    """
    if len(numbers) and (most := np.nanmax(np.append(numbers, 0.0))) > _MOST_SCORE:
        raise InputError(f"{source}: a score of {most:g}, expected 0 to 1; divide percents by 100")
    flags = flag_scores(numbers)
    return _zero_for_nan(numbers) if flags is None else flags


def stated_scores(numbers: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """What a file seems to call scores, or those that COCO's flags stand for; None if they can be none, or are all 0.

    0 is what programs write that know no scores.
    """
    if (scores := flag_scores(numbers)) is not None:
        return scores
    numbers = _zero_for_nan(numbers)
    return numbers if ((numbers >= 0) & (numbers <= _MOST_SCORE)).all() and numbers.any() else None


def scores_in(face: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The third column, if it can be scores, or those that it stands for if it can be COCO's flags."""
    if face.shape[1] < 3:
        return None
    if (scores := flag_scores(face[:, 2])) is not None:
        return scores
    numbers = _zero_for_nan(face[:, 2])
    return numbers if ((numbers >= 0) & (numbers <= 1)).all() and numbers.any() else None


def _zero_for_nan(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(numbers), 0.0, numbers)


def to_68(landmarks: FaceLandmarks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The iBUG landmarks that a face's landmarks say.

    Parameters
    ----------
    landmarks : FaceLandmarks
        Of any scheme.

    Returns
    -------
    points : (68, 2) float64
        Image px, the frame of `FaceLandmarks.points`; NaN for a point that the scheme or the face lacks.
    weights : (68,) float64
        0 for such a point; else its score (1 if there is none) times how well the two markups agree there: 1 for the
        same point, less where the places differ (AFLW's 21, the face mesh's jaw and ends of the brows, and the corners
        of eyes that are made of their middles).

    Raises
    ------
    InputError
        If the number of points is not the scheme's.
    """
    points, n = landmarks.points, len(landmarks.points)
    scheme = landmarks.scheme
    counts = {"478": (468, 478), "106-insightface": (106,)}.get(scheme) or tuple(
        k for k, name in SCHEMES.items() if name == scheme
    )
    if n not in counts:
        raise InputError(
            f"{landmarks.source or 'landmarks'}: {count(n, 'point')} of scheme {scheme}, expected "
            f"{' or '.join(map(str, counts)) or 'one of ' + ', '.join(sorted(set(SCHEMES.values())))}"
        )
    scores = np.ones(n) if landmarks.scores is None else landmarks.scores
    if scheme == "5":
        found, weights = _of_five(points, scores)
    else:
        found, weights = _of_correspondence(scheme, points, scores)
    weights[np.isnan(found).any(axis=1) | ~(weights > 0)] = 0
    found[weights == 0] = np.nan
    return found, weights


def _of_correspondence(
    scheme: str, points: NDArray[np.float64], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lists = {"68": list(range(68)), "98": _WFLW_98, "106-insightface": _INSIGHTFACE_106}
    pairs = {"106": _JD_106, "478": _MEDIAPIPE_478}
    if scheme == "21":
        found, weights = np.full((68, 2), np.nan), np.zeros(68)
        found[list(AFLW_21.values())] = points[list(AFLW_21)]
        weights[list(AFLW_21.values())] = 0.5 * scores[list(AFLW_21)]
        return found, weights
    if scheme in lists:
        return points[lists[scheme]].copy(), scores[lists[scheme]].copy()
    parts = [list(part) for part in pairs[scheme]]
    found = np.array([points[part].mean(axis=0) for part in parts])
    weights = np.array([scores[part].min() for part in parts])
    return found, weights * (_MEDIAPIPE_WEIGHTS if scheme == "478" else 1)


def _of_five(
    points: NDArray[np.float64], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tip of the nose and corners of the mouth; an eye's corners on the line through both eyes, about its middle."""
    found, weights = np.full((68, 2), np.nan), np.zeros(68)
    found[[30, 48, 54]], weights[[30, 48, 54]] = points[2:], scores[2:]
    half = _EYE_HALF_WIDTH * (points[1] - points[0])
    for eye, (outer, inner) in enumerate(((36, 39), (42, 45))):
        found[outer], found[inner] = points[eye] - half, points[eye] + half
        weights[[outer, inner]] = _EYE_WEIGHT * scores[:2].min()
    return found, weights


def in_line(points: NDArray[np.float64]) -> bool:
    """Whether points (n, 2) lie in one point or line, whichever way it runs, or nearly."""
    strengths = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return len(points) < 3 or bool(strengths[1] <= _LINE * strengths[0])


def unlike_face(points: NDArray[np.float64], source: str) -> str:
    """What is wrong with marked points (n, 2), image px, that cannot be a face's: too close together, or in a line."""
    if not len(points) or np.ptp(points, axis=0).max() < SMALLEST_PX:
        return f"{source}: its landmarks lie within {SMALLEST_PX} px, expected px of the image; a face this small?"
    return f"{source}: its landmarks lie in one line, expected a face's" * in_line(points)


def misplaced(landmarks: FaceLandmarks, shape: tuple[int, ...]) -> str:
    """What is wrong if landmarks are not those of their image, (height, width), or five points not in their order."""
    return outside_image(landmarks, shape) or _five_in_another_order(landmarks)


def _five_in_another_order(landmarks: FaceLandmarks) -> str:
    """What is wrong with five points that cannot be eyes, nose and mouth in this order, however the face is turned.

    The line through the eyes and that through the corners of the mouth are parallel on a face, and so they are nearly
    in any picture of it. Too few points to tell by how well a face fits them: one fits five in any order within 15 %.
    """
    five = landmarks.points
    if landmarks.scheme != "5" or np.isnan(five).any():
        return ""
    eyes, mouth = five[1] - five[0], five[4] - five[3]
    down = (five[3] + five[4] - five[0] - five[1]) / 2
    lengths, height = np.linalg.norm([eyes, mouth], axis=1), float(np.linalg.norm(down))
    opposite = float(eyes @ mouth) < -_OPPOSITE * height**2
    across = abs(float(eyes[0] * mouth[1] - eyes[1] * mouth[0])) > _ACROSS * float(lengths.prod())
    if not opposite and not (across and float(lengths.min()) > _SEEN * height):
        return ""
    return (
        f"{landmarks.source}: the line from its first point to its second runs another way than that from its fourth "
        "to its fifth, expected eye, eye, tip of the nose, corner and corner of the mouth, from picture left to right"
    )


def outside_image(landmarks: FaceLandmarks, shape: tuple[int, ...]) -> str:
    """What is wrong if most of a face's landmarks lie outside of its image, (height, width), or one far away."""
    marked = landmarks.points[~np.isnan(landmarks.points).any(axis=1)]
    if not len(marked):
        return f"{landmarks.source}: no point is marked, expected a face's"
    stated = landmarks.image_size
    if stated is not None and stated != (shape[1], shape[0]):
        return (
            f"{landmarks.source}: marked in an image of {stated[0]}×{stated[1]} px, expected {shape[1]}×{shape[0]} as "
            "this one has; was it made larger or smaller, or turned, since?"
        )
    size = np.array([shape[1], shape[0]])
    inside = ((marked >= -0.5) & (marked <= size - 0.5)).all(axis=1)
    beyond = np.maximum(-marked, marked - size).max(axis=1)
    if beyond.max() > _FARTHEST_SIDES * size.max():
        worst = int(beyond.argmax())
        number = int(np.flatnonzero(~np.isnan(landmarks.points).any(axis=1))[worst])
        x, y = marked[worst].tolist()
        return (
            f"{landmarks.source}: point {number} of {len(landmarks.points)} lies at ({x:.6g}, {y:.6g}) px, beside the "
            f"image of {shape[1]}×{shape[0]} px, expected at most {_FARTHEST_SIDES} sides of it away"
        )
    if 2 * inside.sum() >= len(marked):
        return ""
    (left, top), (right, bottom) = marked.min(axis=0), marked.max(axis=0)
    return (
        f"{landmarks.source}: {len(marked) - inside.sum()} of {count(len(marked), 'landmark')} lie outside of the "
        f"image of {shape[1]}×{shape[0]} px (x {left:.6g} to {right:.6g}, y {top:.6g} to {bottom:.6g}), expected px "
        "with the first pixel 0; are they another image's, or shares of its size?"
    )
