"""Why no face fits some landmarks: another order, mirrored, axes exchanged or turned around."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from uvgen.fitting.landmarks import LandmarkFit, fit_landmarks
from uvgen.geometry import LANDMARK_MIRROR, rotation_matrices
from uvgen.models.morphable import MorphableModel

SUSPECT = 0.04
"""Residual above which landmarks are examined: on 16 photographs of AFLW2000-3D the largest is 2.5%."""

_AWAY = -0.35  # cosine between the face's direction and the viewer's
_BETTER, _MOST = 0.6, 0.1  # of the residual, and residual at most, for another reading of the points to be believed


class Doubt(NamedTuple):
    """What is probably wrong with the landmarks of a face.

    Attributes
    ----------
    kind : {"", "mirrored", "upside down", "transposed", "unknown"}
        How they were meant, as far as the model tells; "unknown" if no other reading of them is a face's, and "" if
        nothing is wrong.
    text : str
        The same in words, for messages.
    """

    kind: str = ""
    text: str = ""

    @property
    def is_explained(self) -> bool:
        """Whether it is known how the landmarks were meant."""
        return self.kind not in ("", "unknown")


NO_DOUBT = Doubt()
_UNEXPLAINED = Doubt("unknown", "are they in the order of iBUG's 68, and of this image?")


class _Reading(NamedTuple):
    """A way in which points may have been meant."""

    kind: str
    what: str
    points: NDArray[np.float64]


def suspicious(fit: LandmarkFit) -> NDArray[np.bool_]:
    """(N,) which faces are examined: those with a large residual, or seen from behind."""
    toward = rotation_matrices(fit.pose[:, :3])[:, 2, 2]
    return np.asarray((fit.residual > SUSPECT) | (toward < _AWAY))


def order_doubt(
    points: NDArray[np.float64], weights: NDArray[np.float64], model: MorphableModel, size: tuple[int, int]
) -> Doubt:
    """What is probably wrong with the landmarks (68, 2) of a face that is not fitted otherwise.

    They are examined as `landmark_doubts` does it only if they show the front of the model's face as a mirror does: a
    face that is turned by up to 90° never does. `size` is the width and height of the image, px.
    """
    known = weights > 0
    front = np.concatenate([model.mean[model.landmarks[known], :2], np.ones((known.sum(), 1))], axis=1)
    across, up = np.linalg.lstsq(front.astype(np.float64), points[known], rcond=None)[0][:2]
    if across[0] * up[1] <= across[1] * up[0]:  # y of the model points up, that of the image down
        return NO_DOUBT
    with threadpool_limits(1, user_api="blas"):
        fit = fit_landmarks(points[None], model, size[1], scores=weights[None])
        return landmark_doubts(points[None], weights[None], fit, model, np.array([size]))[0]


def landmark_doubts(
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    fit: LandmarkFit,
    model: MorphableModel,
    image_size: NDArray[np.integer],
) -> list[Doubt]:
    """What is probably wrong with the landmarks of each face.

    Parameters
    ----------
    points, weights : (N, 68, 2), (N, 68) float64
        As they were fitted.
    fit : LandmarkFit
        The result of the fit.
    model : MorphableModel
        The model.
    image_size : (N, 2) int
        Width and height of each image, px.

    Returns
    -------
    list of Doubt
        Of N; `NO_DOUBT` for faces with which nothing is wrong.
    """
    found = [NO_DOUBT] * len(points)
    for k in np.flatnonzero(suspicious(fit)):
        height = image_size[k][1]
        x, y = points[k].T
        readings = [
            _Reading(
                "mirrored",
                "mirrored: left and right exchanged in their order, or of the mirrored image",
                points[k][LANDMARK_MIRROR],
            ),
            _Reading(
                "upside down",
                "upside down: y seems to count from the bottom edge",
                np.stack([x, height - 1 - y], axis=1),
            ),
            _Reading("transposed", "with x and y exchanged", points[k][:, ::-1]),
        ]
        orders = [weights[k][LANDMARK_MIRROR], weights[k], weights[k]]
        tried = fit_landmarks(
            np.stack([one.points for one in readings]), model, height,
            scores=np.stack(orders), jaw="fixed",
        )  # fmt: skip
        turned = rotation_matrices(tried.pose[:, :3])
        facing = turned[:, 2, 2] > 0
        residual = np.where(facing, tried.residual, np.inf)
        # mirror images of each other, turned: the one whose face is upright
        good = np.flatnonzero(residual <= max(_BETTER * SUSPECT, 2 * float(residual.min())))
        best = int(good[turned[good, 1, 1].argmax()]) if len(good) else int(residual.argmin())
        if residual[best] < SUSPECT or residual[best] < min(_BETTER * fit.residual[k], _MOST):
            text = f"the points seem {readings[best].what} (their residual would be {residual[best]:.1%})"
            found[k] = Doubt(readings[best].kind, text)
        else:
            found[k] = _UNEXPLAINED
    return found
