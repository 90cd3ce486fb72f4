"""Finding faces by their landmarks: pose, shape, expression and the landmarks' noise, of many faces at once.

`uvgen.fitting.landmarks` says what is sought. Each face is fitted on its own: none depends on others in its batch.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.fitting import kernels
from uvgen.fitting.contour import Contour
from uvgen.fitting.steps import FREEDOM, angles_of, counted, pose_jacobian, root_of_inverse, solution, student
from uvgen.geometry import N_JAW, rotation_matrices, rotations_about
from uvgen.models.morphable import MorphableModel

_START_YAWS_DEG = (-75.0, -40.0, 0.0, 40.0, 75.0)
_POSE_STEPS, _STEPS, _SLIDING_STEPS, _CLOSER_STEPS, _SHARING_STEPS = 8, 25, 9, 4, 6
_LEAST_SIGMA, _POSE_SIGMA, _FIRST_SIGMA, _MOST_SIGMA = 0.001, 0.02, 0.03, 0.3  # of the face's size
_NOISIER = 20.0  # than they seem, above the least
_JAW_AT_FIRST = 0.3  # weight of jaw points until a pose is known
_MOST_TURN = 0.5  # rad, and factor of the scale, in one step
_OTHERWISE = np.deg2rad(8)
_ENOUGH = 3e-3  # standard deviations of the parameters, and share of sigma
_AT_ONCE = 64  # faces: steps take 0.45 MB of memory for each


class Faces(NamedTuple):
    """N faces while they are fitted: in units of each face's size, relative to its middle; y up."""

    target: NDArray[np.float64]
    """(N, 68, 2): the landmarks; 0 where they are not known."""
    given: NDArray[np.float64]
    """(N, 68): their weights, 0 for those that are not known."""
    middle: NDArray[np.float64]
    """(N, 2): in the dataset frame, px."""
    size: NDArray[np.float64]
    """(N,): px."""
    rotation: NDArray[np.float64]
    """(N, 3, 3)"""
    scale: NDArray[np.float64]
    """(N,): size of the picture's face by the model's."""
    shift: NDArray[np.float64]
    """(N, 2)"""
    parameters: NDArray[np.float64]
    """(N, ks + ke): in standard deviations."""
    sigma: NDArray[np.float64]
    """(N,)"""
    place: NDArray[np.int64]
    """(N, 68): which of the fitter's points each landmark is compared with."""
    across: NDArray[np.float64]
    """(N, 68, 2): direction in which alone a landmark counts fully; zeros where both count."""

    def take(self, which: Any) -> "Faces":
        return Faces(*(array[which] for array in self))

    def put(self, which: Any, faces: "Faces") -> "Faces":
        """These faces, with some of them replaced."""
        arrays: list[Any] = []
        for array, new in zip(self, faces, strict=True):
            array = array.copy()
            array[which] = new
            arrays.append(array)
        return Faces(*arrays)

    def parts(self) -> "list[Faces]":
        """As many as are fitted at once, each."""
        return [self.take(part) for part in _parts(len(self.scale))]

    @classmethod
    def joined(cls, parts: "Sequence[Faces]") -> "Faces":
        """Some faces after others."""
        return parts[0] if len(parts) == 1 else cls(*map(np.concatenate, zip(*parts, strict=True)))


def _parts(n: int) -> list[slice]:
    """The numbers of n faces, at least one slice."""
    return [slice(first, first + _AT_ONCE) for first in range(0, max(n, 1), _AT_ONCE)]


class Fitter:
    """Fits one model."""

    def __init__(self, model: MorphableModel, jaw: str) -> None:
        self._contour = Contour.of_model(model) if jaw == "contour" else None
        vertices = model.landmarks if self._contour is None else np.r_[model.landmarks, self._contour.vertices]
        mean = model.mean[vertices].astype(np.float64)
        self.unit = float(np.sqrt(np.ptp(mean[:68, :2], axis=0).prod()))  # µm: the face's size
        self.center = mean[:68].mean(axis=0)
        self._mean = (mean - self.center) / self.unit
        std = np.concatenate([model.shape_std, model.expression_std]).astype(np.float64)
        self.std = np.where(np.isfinite(std) & (std > 0), std, 0)
        self._basis = model.basis[vertices].astype(np.float64) * (self.std / self.unit)
        self._first = 0 if self._contour is None else N_JAW  # of the landmarks that are always the same points
        self._same = self._basis[self._first : 68].reshape(3 * (68 - self._first), len(self.std))
        self.n_shape = model.n_shape
        self._all, self._expression = slice(0, len(self.std)), slice(model.n_shape, len(self.std))
        self._spreads: dict[int, NDArray[np.float64]] = {}

    def fit(self, frame: NDArray[np.float64], given: NDArray[np.float64], person: NDArray[Any]) -> Faces:
        """Faces whose landmarks (N, 68, 2) in the dataset frame have these weights (N, 68)."""
        each = Faces.joined([self._each_fitted(frame[part], given[part]) for part in _parts(len(frame))])
        return self._one_shape(each, person)

    def _each_fitted(self, frame: NDArray[np.float64], given: NDArray[np.float64]) -> Faces:
        """Some faces, each with a shape of its own."""
        faces = self._unposed(frame, given)
        starts = [self._posed(faces, self._gold_standard(faces))]
        starts += [self._posed(faces, np.tile([0.0, np.deg2rad(yaw), 0.0], (len(frame), 1))) for yaw in _START_YAWS_DEG]
        chosen = _distinct(
            np.stack([self._cost(start) for start in starts]), np.stack([one.rotation for one in starts])
        )
        best, lowest = faces, np.full(len(frame), np.inf)
        for numbers in chosen:
            start = faces
            for number, one in enumerate(starts):
                which = np.flatnonzero(numbers == number)
                start = start.put(which, one.take(which))
            tried = np.flatnonzero(numbers >= 0)
            if not len(tried):
                break
            fitted = self._refined(start.take(tried))
            cost = self._cost(fitted)
            better = cost < lowest[tried]
            best, lowest[tried[better]] = best.put(tried[better], fitted.take(better)), cost[better]
        return best

    # Starting: the mean face's pose

    def _unposed(self, frame: NDArray[np.float64], given: NDArray[np.float64]) -> Faces:
        n, known = len(frame), (given > 0)[..., None]
        low = np.where(known, frame, np.inf).min(axis=1)
        high = np.where(known, frame, -np.inf).max(axis=1)
        # compared with the same points of the mean face, so that half a face does not count as a small face
        spans = [np.ptp(self._mean[:68, :2][k], axis=0).max() for k in given > 0]
        size = (high - low).max(axis=1) / np.maximum(spans, 1e-3)
        middle = (low + high) / 2
        target = np.where(known, (frame - middle[:, None]) / size[:, None, None], 0)
        return Faces(
            target, given, middle, size, np.tile(np.eye(3), (n, 1, 1)), np.ones(n), np.zeros((n, 2)),
            np.zeros((n, len(self.std))), np.full(n, _FIRST_SIGMA), np.tile(np.arange(68), (n, 1)),
            np.zeros((n, 68, 2)),
        )  # fmt: skip

    def _at_first(self, faces: Faces) -> NDArray[np.float64]:
        """(N, 68) weights while it is not known which jaw points slide."""
        jaw = 1.0 if self._contour is None else _JAW_AT_FIRST
        return faces.given * np.where(np.arange(68) < N_JAW, jaw, 1)

    def _gold_standard(self, faces: Faces) -> NDArray[np.float64]:
        """(N, 3) angles of the affine cameras that take the mean face to the landmarks, made rotations."""
        points = np.concatenate([self._mean[:68], np.ones((68, 1))], axis=1)
        weighted = np.swapaxes(points * self._at_first(faces)[..., None], 1, 2)
        camera = solution(weighted @ points + 1e-6 * np.eye(4), weighted @ faces.target)  # (N, 4, 2)
        u, _, v = np.linalg.svd(np.swapaxes(camera[:, :3], 1, 2), full_matrices=False)
        two = u @ v
        return angles_of(np.concatenate([two, np.cross(two[:, 0], two[:, 1])[:, None]], axis=1))

    def _posed(self, faces: Faces, angles_rad: NDArray[np.float64]) -> Faces:
        """The mean face, from these angles on turned as the landmarks have it."""
        faces = faces._replace(rotation=rotation_matrices(angles_rad))
        weights = self._at_first(faces)
        flat = self._mean[:68] @ np.swapaxes(faces.rotation[:, :2], 1, 2)
        total = weights.sum(axis=1, keepdims=True)
        middle, wanted = (weights[:, None] @ flat)[:, 0] / total, (weights[:, None] @ faces.target)[:, 0] / total
        spread = [
            (weights[..., None] * (points - about[:, None]) ** 2).sum(axis=(1, 2))
            for points, about in ((faces.target, wanted), (flat, middle))
        ]
        scale = np.sqrt(spread[0] / np.maximum(spread[1], 1e-12))
        faces = faces._replace(scale=scale, shift=wanted - scale[:, None] * middle)
        for _ in range(_POSE_STEPS):
            faces = self._stepped(faces, self._at_first(faces), None)
        return faces

    # Going on: pose, shape and expression together

    def _refined(self, faces: Faces) -> Faces:
        """Pose, shape and expression together; then shape and expression more closely, in the pose found.

        If a model cannot give the points to their last digit, its shapes give them more closely than they should, at
        the cost of the pose: the farther it is from real faces, the more. For the pose, such points are then taken for
        several times as noisy as they seem.
        """
        faces = self._converged(faces, _SLIDING_STEPS, _LEAST_SIGMA)
        noise = np.clip(_NOISIER * (faces.sigma - _LEAST_SIGMA), _LEAST_SIGMA, _POSE_SIGMA)
        faces = self._converged(faces, _STEPS, noise)
        for _ in range(_CLOSER_STEPS):
            faces = self._stepped(faces, faces.given, self._all, _LEAST_SIGMA, turns=False)
        return faces

    def _converged(self, faces: Faces, most: int, least_sigma: Any) -> Faces:
        """Faces after so many steps at most, sigma being at least what is said, for all or for each."""
        left, least = np.arange(len(faces.scale)), np.broadcast_to(least_sigma, len(faces.scale))
        for number in range(most):
            part, settled = faces.take(left), np.ones(len(left), bool)
            if self._contour is not None and number < _SLIDING_STEPS:
                before, part = part.place, self._slid(part, self._contour)
                settled = np.asarray((part.place == before).all(axis=1))
            moved = self._stepped(part, part.given, self._all, least[left])
            faces = faces.put(left, moved)
            change = np.abs(moved.parameters - part.parameters).max(axis=1, initial=0)
            change += np.abs(np.log(moved.sigma / part.sigma))
            left = left[(change > _ENOUGH) | ~settled]  # each on its own: a face does not depend on the others
            if not len(left):
                break
        return faces

    def _slid(self, faces: Faces, contour: Contour) -> Faces:
        """Jaw points that are turned away, at the silhouette."""
        place, direction = faces.place.copy(), np.zeros_like(faces.across)
        place[:, :N_JAW] = np.arange(N_JAW)
        for k, rotation in enumerate(faces.rotation):
            jaw, edge = contour.seen_along(rotation)
            if not len(jaw) or not len(edge):
                continue
            moved = self._basis[68 + edge].reshape(3 * len(edge), len(self.std)) @ faces.parameters[k]
            vertices = self._mean[68 + edge] + moved.reshape(len(edge), 3)
            points = faces.scale[k] * (vertices @ rotation[:2].T) + faces.shift[k]
            chosen, across = contour.nearest(rotation, edge, points, faces.target[k, jaw])
            place[k, jaw], direction[k, jaw] = 68 + chosen, across
        return faces._replace(place=place, across=direction)

    def turned(self, faces: Faces) -> NDArray[np.float64]:
        """What landmarks are compared with, (N, 68, 3) in the camera's axes, model units."""
        return self._turned(faces, faces.parameters)

    def _turned(self, faces: Faces, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same with other parameters."""
        points: NDArray[np.float64] = self._mean[faces.place]
        if parameters.any():  # one face at a time: a face does not depend on the others
            points[:, self._first :] += (self._same @ parameters[..., None]).reshape(len(points), -1, 3)
            for part in _parts(len(points)) if self._first else ():
                moved = self._sliding(faces.take(part)) @ parameters[part, :, None]
                points[part, : self._first] += moved.reshape(len(moved), -1, 3)
        return points @ np.swapaxes(faces.rotation, 1, 2)

    def _sliding(self, faces: Faces) -> NDArray[np.float64]:
        """(N, 51, k) basis at what jaw points are compared with."""
        return self._basis[faces.place[:, : self._first]].reshape(len(faces.place), 3 * self._first, len(self.std))

    def _pulled(self, faces: Faces, pull: NDArray[np.float64], moving: slice) -> NDArray[np.float64]:
        """(N, k) sums of pulls at the points (N, 68, 3), in the model's axes, along the basis of some parameters."""
        n = len(pull)
        found = pull[:, self._first :].reshape(n, 1, -1) @ self._same[:, moving]
        if self._first:
            found = found + pull[:, : self._first].reshape(n, 1, -1) @ self._sliding(faces)[..., moving]
        return np.asarray(found[:, 0])

    def _residual(self, faces: Faces, turned: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 68, 2) given minus fitted points."""
        return faces.target - (faces.scale[:, None, None] * turned[..., :2] + faces.shift[:, None])

    def _seen(self, faces: Faces, residual: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 68, 2) the parts of the residuals that count."""
        seen: NDArray[np.float64] = (counted(faces.across) @ residual[..., None])[..., 0]
        return seen

    def _stepped(
        self,
        faces: Faces,
        weights: NDArray[np.float64],
        moving: slice | None,
        least_sigma: Any = 0.0,
        *,
        turns: bool = True,
    ) -> Faces:
        """One Gauss-Newton step of the pose, where it turns, of some parameters, and of sigma if there are some.

        Parameters are normally distributed a priori, so that landmarks are too, for one pose: the pose follows from
        their covariance, and parameters and sigma from the pose. Matrices are of the size of the landmarks, however
        many components a model has.
        """
        n = len(weights)
        turned = self.turned(faces)
        seen = self._seen(faces, self._residual(faces, turned))
        root = np.sqrt(weights * student(seen, faces.sigma))
        projection = root[..., None, None] * counted(faces.across)
        whitening: Any = None
        still = turned
        if moving is not None:
            whitening = self._whitening(faces, projection, moving)
            rest = faces.parameters.copy()
            rest[:, moving] = 0
            still = self._turned(faces, rest)
        values = (projection @ self._residual(faces, still)[..., None]).reshape(n, 136, 1)
        values = values if whitening is None else whitening @ values
        step: NDArray[Any] = np.zeros((n, 6))
        if turns:
            rows = (projection @ pose_jacobian(turned, faces.scale)).reshape(n, 136, 6)
            rows = rows if whitening is None else whitening @ rows
            across = np.swapaxes(rows, 1, 2)
            step = solution(across @ rows + 1e-9 * np.eye(6), across @ values)[..., 0]
            most = np.abs(step[:, :4]).max(axis=1, keepdims=True)
            step *= np.minimum(1, _MOST_TURN / np.maximum(most, 1e-12))
            values = values - rows @ step[..., None]
        moved = faces._replace(
            rotation=rotations_about(step[:, :3]) @ faces.rotation, scale=faces.scale * np.exp(step[:, 3]),
            shift=faces.shift + step[:, 4:],
        )  # fmt: skip
        if moving is None:
            return moved
        pull = (np.swapaxes(whitening, 1, 2) @ values).reshape(n, 68, 1, 2) @ projection
        pull = faces.scale[:, None, None] * (pull[:, :, 0] @ faces.rotation[:, :2])
        parameters = faces.parameters.copy()
        parameters[:, moving] = self._pulled(faces, pull, moving)
        moved = moved._replace(parameters=parameters)
        # that of a point without weight is its noise, so that it adds nothing
        uncertain = 136 - faces.sigma**2 * (whitening**2).sum(axis=(1, 2))
        square = (projection @ self._residual(moved, self.turned(moved))[..., None]) ** 2
        total = square.sum(axis=(1, 2, 3)) + faces.sigma**2 * uncertain
        sigma = np.sqrt(total / np.maximum(2 * (root > 0).sum(axis=1), 1))
        return moved._replace(sigma=np.clip(sigma, least_sigma, _MOST_SIGMA))

    def _spread(self, moving: slice) -> NDArray[np.float64]:
        """(p, p, 3, 3) covariance of the fitter's points in the model, as some parameters vary."""
        if moving.start not in self._spreads:
            flat = self._basis[..., moving].reshape(3 * len(self._mean), moving.stop - moving.start)
            spread = (flat @ flat.T).reshape(len(self._mean), 3, len(self._mean), 3)
            self._spreads[moving.start] = np.ascontiguousarray(spread.transpose(0, 2, 1, 3))
        return self._spreads[moving.start]

    def _whitening(self, faces: Faces, projection: NDArray[np.float64], moving: slice) -> NDArray[np.float64]:
        """(N, 136, 136) W, where W'W is the inverse covariance of the landmarks in the picture.

        They vary as some parameters do, noise included.
        """
        rows = projection @ (faces.scale[:, None, None] * faces.rotation[:, :2])[:, None]
        found = np.empty((len(rows), 136, 136))
        kernels.landmark_covariances(self._spread(moving), faces.place, rows, found)
        for matrix, noise in zip(found, faces.sigma**2, strict=True):
            matrix.flat[::137] += noise
            matrix[:] = root_of_inverse(matrix)
        return found

    def _cost(self, faces: Faces) -> NDArray[np.float64]:
        """(N,) the cost that is minimized."""
        seen = self._seen(faces, self._residual(faces, self.turned(faces)))
        square = (seen**2).sum(axis=2) / faces.sigma[:, None] ** 2
        each = (FREEDOM + 2) / 2 * np.log1p(square / FREEDOM) + 2 * np.log(faces.sigma)[:, None]
        cost: NDArray[np.float64] = (faces.given * each).sum(axis=1) + 0.5 * (faces.parameters**2).sum(axis=1)
        return cost

    def _one_shape(self, faces: Faces, person: NDArray[Any]) -> Faces:
        """Faces of the same person with one shape."""
        order = np.argsort(person, kind="stable")
        people = np.split(order, np.flatnonzero(np.diff(person[order])) + 1)
        people = [which for which in people if len(which) > 1]
        if not people or not self.n_shape:
            return faces
        return faces.put(np.concatenate(people), Faces.joined([self._shared(faces.take(which)) for which in people]))

    def _shared(self, faces: Faces) -> Faces:
        """One person's faces with one shape, fitted to all their landmarks together, whatever each expression."""
        for _ in range(_SHARING_STEPS):
            parameters = faces.parameters.copy()
            parameters[:, : self.n_shape] = self._shared_shape(faces)
            parts = faces._replace(parameters=parameters).parts()
            faces = Faces.joined([self._stepped(one, one.given, self._expression, _LEAST_SIGMA) for one in parts])
        return faces

    def _shared_shape(self, faces: Faces) -> NDArray[np.float64]:
        """(ks,) most probable shape of one person in several pictures, their expressions being unknown."""
        normal, wanted = np.zeros((self.n_shape, self.n_shape)), np.zeros((self.n_shape, 1))
        for part in faces.parts():
            more = self._shape_equations(part)
            normal, wanted = normal + more[0], wanted + more[1]
        return np.asarray(solution(normal + np.eye(self.n_shape), wanted)[:, 0])

    def _shape_equations(self, faces: Faces) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(ks, ks), (ks, 1) normal equations of that shape, without the prior."""
        n, ks = len(faces.scale), self.n_shape
        seen = self._seen(faces, self._residual(faces, self.turned(faces)))
        projection = np.sqrt(faces.given * student(seen, faces.sigma))[..., None, None] * counted(faces.across)
        whitening = self._whitening(faces, projection, self._expression)
        still = self._turned(faces, np.zeros_like(faces.parameters))
        values = whitening @ (projection @ self._residual(faces, still)[..., None]).reshape(n, 136, 1)
        two = projection @ (faces.scale[:, None, None] * faces.rotation[:, :2])[:, None]
        rows = whitening @ (two @ self._basis[faces.place][..., :ks]).reshape(n, 136, ks)
        across = np.swapaxes(rows, 1, 2)
        return (across @ rows).sum(axis=0), (across @ values).sum(axis=0)


def _distinct(costs: NDArray[np.float64], rotations: NDArray[np.float64]) -> NDArray[np.int64]:
    """(2, N) which of the starts to go on from: the best, and the best of those turned otherwise; -1 for none.

    `costs` (s, N) and `rotations` (s, N, 3, 3) are of s starts.
    """
    first = costs.argmin(axis=0)
    each = np.arange(costs.shape[1])
    cosine = (np.einsum("snij,nij->sn", rotations, rotations[first, each]) - 1) / 2
    others = np.where(cosine < np.cos(_OTHERWISE), costs, np.inf)
    second = np.where(np.isfinite(others.min(axis=0)), others.argmin(axis=0), -1)
    return np.stack([first, second])
