"""One person in the frames of a video: one shape, and pose and expression that move smoothly.

Each frame is first fitted on its own (`uvgen.fitting.landmarks`). Then two steps alternate: the shape is fitted to all
frames together by regularized least squares, and pose and expression of all frames by Gauss-Newton steps on

    sum over frames of (points' distances / sigma)² / 2 + |expression / expression_std|² / 2
        + sum over times of (change of velocity)² / (2 q² dt),

The last sum is the integral of the squared acceleration, as for a smoothing spline; q says how much acceleration is
usual, and means the same at every frame rate and across gaps. A step is one banded linear system. Points are weighted
by Student's distribution of their distances, as in one photograph. So are the accelerations of the head's rotation, of
its place and size, and of each expression: a head at rest is smoothed strongly, and a sudden turn or a blink hardly.
Errors of landmarks in successive frames are correlated, so n frames say less about the shape than n unrelated
photographs: see `TrackFitter._independent_share`.
"""

from contextlib import suppress
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solveh_banded
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits

from uvgen.checks import choice, float64_array, number_in
from uvgen.errors import InputError
from uvgen.fitting.fitter import Faces, Fitter
from uvgen.fitting.landmarks import JAWS, LandmarkFit, Marked, checked, result_of
from uvgen.fitting.steps import counted, pose_jacobian, solution, student
from uvgen.geometry import rotations_about
from uvgen.maps.memo import once_per_model
from uvgen.models.morphable import MorphableModel

_BATCH = 16  # frames whose equations are made at once
_WINDOW, _AROUND = 512, 64  # frames that are smoothed at once, and those before and after that are solved with them
_ROUNDS, _STEPS = 8, 2  # rounds of shape and motion, and steps of motion in each
_PLAIN_ROUNDS = 3  # first rounds, in which accelerations are not weighted by Student's distribution
_SHARE = 0.5  # of one frame, with the best shapes in `benchmarks/video.py`, whether landmarks' errors last or not
_FREEDOM = 1.0  # degrees of freedom of Student's distribution of accelerations
_LEAST_STEP = 1e-9  # s; quotients by less would soon overflow
_MOST_STIFF = (1e16, 1e12, 1e8)  # weights of changes of velocity: with more, the points are lost in rounding
_MOST_SMOOTH = 1e12  # beyond which nothing becomes smoother; below its inverse, nothing is smoothed
_MOST_TURN = 0.5  # largest rotation, rad, and change of the scale's logarithm in one step

USUAL = (1.0, 0.5, 64.0)
"""q of rotations (rad), of log scale and place (sizes of the face), and of expressions (standard deviations), each per
s^1.5: what `benchmarks/video.py` finds on synthetic sequences."""


class Alone(NamedTuple):
    """The faces of some frames, each fitted by itself."""

    fit: LandmarkFit
    faces: Faces
    marked: Marked

    def take(self, which: NDArray[np.int64]) -> "Alone":
        """The faces of some of the frames, by index."""
        fit = LandmarkFit(*(getattr(self.fit, item.name)[which] for item in fields(self.fit)))
        marked: Any = [array[which] for array in self.marked]
        return Alone(fit, self.faces.take(which), Marked(*marked))


def fit_alone(
    points: ArrayLike, model: MorphableModel, image_height: ArrayLike, *, scores: ArrayLike | None = None,
    jaw: str = "contour",
) -> Alone:  # fmt: skip
    """Fit faces as `uvgen.fit_landmarks` does, with the same arguments: what `fit_track` starts from."""
    choice(jaw, "jaw", JAWS)
    marked = checked(points, image_height, scores)
    with threadpool_limits(1, user_api="blas"):  # more would be slower, and would change the last bits
        fitter = _fitter(model, jaw)
        faces = fitter.fit(marked.frame, marked.weights, np.arange(len(marked.given)))
        return Alone(result_of(fitter, faces, marked), faces, marked)


def fit_track(
    alone: Alone, times: ArrayLike, model: MorphableModel, *, jaw: str = "contour", smoothness: float = 1.0
) -> LandmarkFit:
    """Fit a morphable model to the landmarks of one person in the frames of a video without a cut.

    Parameters
    ----------
    alone : Alone
        The faces of N frames, from `fit_alone`.
    times : (N,) float
        When each frame was taken, s, ascending.
    model, jaw
        Those that `fit_alone` was called with.
    smoothness : float
        1 fits how people usually move. More makes pose and expression smoother; 0 fits each frame on its own.

    Returns
    -------
    LandmarkFit
        With the same shape in all frames.

    Raises
    ------
    InputError
        If times do not ascend, their number is wrong, or `smoothness` is negative.
    """
    smoothness = number_in(smoothness, "smoothness", 0)
    if smoothness:
        smoothness = min(max(smoothness, 1 / _MOST_SMOOTH), _MOST_SMOOTH)
    at = float64_array(times, "times", (len(alone.faces.size),))
    if not (np.isfinite(at).all() and (np.diff(at) > 0).all()):
        raise InputError("times: some are not after those before them, expected seconds, ascending")
    if len(at) < 2:
        return alone.fit
    with threadpool_limits(1, user_api="blas"):
        fitter = _fitter(model, jaw)
        return result_of(fitter, fitter.tracked(_in_common(alone.faces), at, smoothness), alone.marked)


def _parts(n: int) -> list[slice]:
    """n frames in batches."""
    return [slice(k, min(k + _BATCH, n)) for k in range(0, n, _BATCH)]


def _in_common(faces: Faces) -> Faces:
    """Faces in one unit of size and about one center, so that the poses of successive frames can be compared."""
    size, middle = np.median(faces.size), np.median(faces.middle, axis=0)
    factor, shift = faces.size / size, (faces.middle - middle) / size
    n, known = len(faces.size), (faces.given > 0)[..., None]
    return faces._replace(
        target=np.where(known, faces.target * factor[:, None, None] + shift[:, None], 0), sigma=faces.sigma * factor,
        scale=faces.scale * factor, shift=faces.shift * factor[:, None] + shift,
        size=np.full(n, size), middle=np.tile(middle, (n, 1)),
    )  # fmt: skip


class TrackFitter(Fitter):
    """Fits one model to tracks."""

    def tracked(self, faces: Faces, times: NDArray[np.float64], smoothness: float) -> Faces:
        """The faces of a track, starting from faces that were fitted each by itself, in one unit about one center."""
        own = faces.sigma
        share = self._independent_share(faces)
        for number in range(_ROUNDS):
            if self._contour is not None:
                faces = self._slid(faces, self._contour)
            parameters = faces.parameters.copy()
            parameters[:, : self.n_shape] = self._shape_of_all(faces, share)
            faces = faces._replace(parameters=parameters)
            for _ in range(_STEPS):
                faces = self._moved(faces, times, smoothness, usual=number < _PLAIN_ROUNDS)
            faces = faces._replace(sigma=self._noise(faces, own))
        return faces

    def _off(self, faces: Faces) -> NDArray[np.float64]:
        """(N, 68, 2) residuals in the directions that count, see `Fitter._seen`; in batches, to save memory."""
        parts = [faces.take(part) for part in _parts(len(faces.scale))]
        return np.concatenate([self._seen(part, self._residual(part, self.turned(part))) for part in parts])

    def _independent_share(self, faces: Faces) -> float:
        """The weight of a frame in the shape's equations, 1 / N to 0.5: errors of successive frames are correlated.

        The mean of N values with correlation r has the variance of N / (1 + (N - 1) r) independent ones. r is estimated
        from the residuals. The true correlation is higher, because each face partly follows its landmarks' errors.
        """
        n = len(faces.scale)
        off = self._off(faces) * np.sqrt(faces.given)[..., None]
        square = float((off**2).sum())
        alike = (float((off.sum(axis=0) ** 2).sum()) - square) / max(square * (n - 1), 1e-12)
        return max(_SHARE / (1 + (n - 1) * min(max(alike, 0.0), 1.0)), 1 / n)

    def _shape_of_all(self, faces: Faces, share: float) -> NDArray[np.float64]:
        """(ks,) as `_shared_shape`, for any number of frames, each weighted by `share`."""
        normal, wanted = np.eye(self.n_shape), np.zeros((self.n_shape, 1))
        for part in _parts(len(faces.scale)):
            more = self._shape_equations(faces.take(part))
            normal, wanted = normal + share * more[0], wanted + share * more[1]
        return np.asarray(solution(normal, wanted)[:, 0])

    def _noise(self, faces: Faces, own: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) sigma, whose square is the mean of the frame's own and the track's median."""
        seen = self._off(faces)
        weights = faces.given * student(seen, faces.sigma)
        square = (weights * (seen**2).sum(axis=2)).sum(axis=1) / np.maximum(2 * (faces.given > 0).sum(axis=1), 1)
        sigma: NDArray[np.float64] = np.clip(np.sqrt((square + np.median(square)) / 2), own.min(), own.max())
        return sigma

    def _moved(self, faces: Faces, times: NDArray[np.float64], smoothness: float, *, usual: bool) -> Faces:
        """One step of all poses and expressions, in windows that are solved together with the frames around them."""
        n = len(times)
        step = np.empty((n, 6 + len(self.std) - self.n_shape))
        for first in range(0, n, _WINDOW):
            start, last = max(first - _AROUND, 0), min(first + _WINDOW, n)
            part = slice(start, min(last + _AROUND, n))
            found = self._motion(faces.take(part), times[part], smoothness, usual)
            step[first:last] = found[first - start : last - start]
        return _stepped(faces, step, self.n_shape)

    def _motion(self, faces: Faces, times: NDArray[np.float64], smoothness: float, usual: bool) -> NDArray[np.float64]:
        """(N, 6 + ke) step of poses and expressions."""
        ke = len(self.std) - self.n_shape
        d, n = 6 + ke, len(times)
        normal, wanted = np.empty((n, d, d)), np.empty((n, d))
        for part in _parts(n):
            normal[part], wanted[part] = self._data_equations(faces.take(part))
        for most in _MOST_STIFF:
            bands, right = self._banded(faces, times, smoothness, usual, normal, wanted, most)
            with suppress(np.linalg.LinAlgError):  # frames that are very close or far apart, smoothed very strongly
                step = solveh_banded(bands, right, lower=True, check_finite=False)
                return np.asarray(step).reshape(n, d)
        raise InputError("times: frames too close together to be smoothed, expected less smoothness")

    def _banded(
        self, faces: Faces, times: NDArray[np.float64], smoothness: float, usual: bool,
        normal: NDArray[np.float64], wanted: NDArray[np.float64], most: float,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
        """Bands (2 (6 + ke) + 1, N (6 + ke)) and right side of the equations of all frames' steps."""
        n, d = wanted.shape
        wanted = wanted.copy()
        bands = np.zeros((2 * d + 1, n, d))  # lower form: bands[o, t, i] is o below the diagonal, in column t * d + i
        for offset in range(d):
            for i in range(d - offset):
                bands[offset, :, i] = normal[:, i + offset, i]
        if smoothness and n > 2:
            steps = np.maximum(np.diff(times), _LEAST_STEP)
            before, after = 1 / steps[:-1], 1 / steps[1:]
            stencil = np.stack([before, -(before + after), after])  # (3, n - 2): change of velocity over three frames
            velocity = self._velocity(faces, times)
            change = np.diff(velocity, axis=0)
            weight = self._stiffness(change, times, smoothness, usual)
            weight = np.minimum(weight, most / (stencil**2).max(axis=0)[:, None])
            for a in range(3):
                wanted[a : n - 2 + a] -= weight * stencil[a][:, None] * change
                for b in range(a, 3):
                    bands[(b - a) * d, a : n - 2 + a] += weight * (stencil[a] * stencil[b])[:, None]
        return bands.reshape(2 * d + 1, n * d), wanted.reshape(-1)

    def _stiffness(
        self, change: NDArray[np.float64], times: NDArray[np.float64], smoothness: float, usual: bool
    ) -> NDArray[np.float64]:
        """(N - 2, 6 + ke) weights of changes of velocity; rotations share one, and so do log scale and shift."""
        found = np.empty_like(change)
        each = [(slice(0, 3), USUAL[0]), (slice(3, 6), USUAL[1])]
        each += [(slice(k, k + 1), USUAL[2]) for k in range(6, change.shape[1])]
        for group, q in each:
            variance = q**2 * (times[2:] - times[:-2]) / 2 / smoothness
            weight = 1 / variance
            if not usual:
                square = (change[:, group] ** 2).sum(axis=1) / variance
                weight *= (_FREEDOM + group.stop - group.start) / (_FREEDOM + square)
            found[:, group] = weight[:, None]
        return found

    def _velocity(self, faces: Faces, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N - 1, 6 + ke) velocities, per s: rotation about the camera's axes, log scale, shift and expression."""
        turn = Rotation.from_matrix(faces.rotation[1:] @ np.swapaxes(faces.rotation[:-1], 1, 2)).as_rotvec()
        rest = np.concatenate([np.log(faces.scale)[:, None], faces.shift, faces.parameters[:, self.n_shape :]], axis=1)
        return np.concatenate([turn, np.diff(rest, axis=0)], axis=1) / np.maximum(np.diff(times), _LEAST_STEP)[:, None]

    def _data_equations(self, faces: Faces) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, d, d), (n, d) normal equations of each frame's step by itself."""
        n, ks = len(faces.scale), self.n_shape
        turned = self.turned(faces)
        residual = self._residual(faces, turned)
        seen = self._seen(faces, residual)
        root = np.sqrt(faces.given * student(seen, faces.sigma)) / faces.sigma[:, None]
        projection = root[..., None, None] * counted(faces.across)
        two = projection @ (faces.scale[:, None, None] * faces.rotation[:, :2])[:, None]
        by_expression = two @ self._basis[faces.place][..., ks:]
        rows = np.concatenate([projection @ pose_jacobian(turned, faces.scale), by_expression], axis=3)
        rows = rows.reshape(n, 136, -1)
        across = np.swapaxes(rows, 1, 2)
        normal, wanted = across @ rows, (across @ (projection @ residual[..., None]).reshape(n, 136, 1))[..., 0]
        d = rows.shape[2]
        normal[:, range(d), range(d)] += np.where(np.arange(d) < 6, 1e-9, 1)
        wanted[:, 6:] -= faces.parameters[:, ks:]
        return normal, wanted


def _stepped(faces: Faces, step: NDArray[np.float64], ks: int) -> Faces:
    """Faces after a step each, with the step of the pose limited."""
    turn = step[:, :6] * np.minimum(1, _MOST_TURN / np.maximum(np.abs(step[:, :4]).max(axis=1, keepdims=True), 1e-12))
    parameters = faces.parameters.copy()
    parameters[:, ks:] += step[:, 6:]
    return faces._replace(
        rotation=rotations_about(turn[:, :3]) @ faces.rotation, scale=faces.scale * np.exp(turn[:, 3]),
        shift=faces.shift + turn[:, 4:], parameters=parameters,
    )  # fmt: skip


@once_per_model
def _fitter(model: MorphableModel, jaw: str) -> TrackFitter:
    return TrackFitter(model, jaw)
