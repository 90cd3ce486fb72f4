"""Predictions on disk against the truth on disk: what `uvgen evaluate` does."""

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_instance, check_optional_paths, check_paths, choice
from uvgen.described import described
from uvgen.errors import DatasetError, InputError, UvgenError
from uvgen.evaluation.accumulate import Evaluation, EvaluationResult, chosen_scores
from uvgen.evaluation.doubts import Counted, find_doubts
from uvgen.evaluation.faces import Faces
from uvgen.evaluation.predictions import Predictions, Reading
from uvgen.evaluation.protocols import PROTOCOLS
from uvgen.evaluation.scores import POINTS_21, SCORES, Score
from uvgen.evaluation.summary import DRAWS
from uvgen.evaluation.truth import AFLW21, TrueFace, face_or_problem, open_truth
from uvgen.maps.mask_files import read_weights
from uvgen.models.load import as_model, check_model_file
from uvgen.progress import advance, begin
from uvgen.samples.files import check_machine
from uvgen.samples.landmark_schemes import AFLW_21_FROM_68
from uvgen.storage.names import brief
from uvgen.wording import are, count, have, none_can_be

if TYPE_CHECKING:
    from uvgen.models.morphable import MorphableModel

N_AFLW = len(AFLW_21_FROM_68)
ALL = "all"
"""Instead of keys of scores: every one, also those that take long."""


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationReport:
    """The result of `uvgen.evaluate_predictions`.

    Attributes
    ----------
    predictions, truth : Path
        The predictions and the truth that were compared.
    protocol : str or None
        The protocol whose scores were computed.
    faces : int
        Number of faces in the truth.
    results : dict of str to EvaluationResult
        The scores for each truth, by its name; the first is the default one.
    missing : tuple of str
        Faces without a prediction.
    unread : tuple of (str, str)
        Faces whose prediction or truth cannot be used, and why.
    not_finite : tuple of str
        Faces whose prediction holds NaN or infinity.
    unexpected : tuple of str
        Predictions without a face in the truth.
    doubts : tuple of str
        Warnings: probable differences in convention between predictions and truth, and scores that some faces lack.
    partial : dict of str to tuple of str
        For each truth, by its name: faces that have only some of its 68 points, and therefore no score by it, because
        the box is that of all points.
    visible : dict of str to int
        By name, how many of AFLW's 21 points are visible in each face that is compared with the truth ``aflw21``.
    landmarks : dict of str to (68, 2 or 3) float32
        Predicted points of the faces that were compared, in the truth's frame, px, by name.
    """

    predictions: Path
    truth: Path
    protocol: str | None
    faces: int
    results: dict[str, EvaluationResult]
    missing: tuple[str, ...]
    unread: tuple[tuple[str, str], ...]
    not_finite: tuple[str, ...]
    unexpected: tuple[str, ...]
    doubts: tuple[str, ...]
    landmarks: dict[str, NDArray[np.float32]]
    partial: dict[str, tuple[str, ...]]
    visible: dict[str, int]

    __repr__ = described

    @property
    def result(self) -> EvaluationResult:
        """The result for the default truth."""
        return next(iter(self.results.values()))

    @property
    def complete(self) -> bool:
        """Whether all faces of the truth are in the means."""
        return not (self.missing or self.unread or self.not_finite)

    @property
    def notes(self) -> list[str]:
        """Notes on truths that not all compared faces have, one line each."""
        n, lines = len(self.landmarks) + len(self.not_finite), []
        for name in dict.fromkeys([*self.results, *self.partial]):
            found = len(self.results[name].names) if name in self.results else 0
            if name == AFLW21:
                seen, hidden = sum(self.visible.values()), sum(k < N_AFLW for k in self.visible.values())
                some = f", {hidden} of them not all {N_AFLW}" if hidden else ""
                lines.append(
                    f"{name}: {found} of {count(n, 'face')} {have(found)} visible points{some}; {seen} of "
                    f"{count(N_AFLW * found, 'point')} {are(seen)} compared"
                )
                continue
            partly = len(self.partial.get(name, ()))
            if found < n:
                some = f"; {partly} partly, not scored: names in the JSON" if partly else ""
                lines.append(f"{name}: {found} of {count(n, 'face')} {have(found)} all 68 points{some}")
        return lines

    def worst_first(self, key: str = "nme_68_2d") -> list[str]:
        """Names of the faces by a score, the worst first; those without it before all. InputError for another key."""
        choice(key, "key", tuple(SCORES))
        result = self.result
        values = result.values.get(key, np.full(len(result.names), np.nan))
        sign = -1.0 if SCORES[key].better == "lower" else 1.0
        order = np.lexsort((np.arange(len(values)), np.where(np.isfinite(values), sign * values, -np.inf)))
        unusable = [name for name, _ in self.unread]
        return [*self.missing, *unusable, *(result.names[k] for k in order)]

    def to_plain(self) -> dict[str, Any]:
        """For JSON: shares, not rounded."""
        return {
            "predictions": str(self.predictions),
            "truth": str(self.truth),
            "protocol": self.protocol,
            "faces": self.faces,
            "complete": self.complete,
            "missing": list(self.missing),
            "unread": [{"name": name, "reason": reason} for name, reason in self.unread],
            "not_finite": list(self.not_finite),
            "unexpected": list(self.unexpected),
            "doubts": list(self.doubts),
            "partial": {name: list(names) for name, names in self.partial.items()},
            "visible": self.visible,
            "default_truth": next(iter(self.results)),
            "truths": {name: result.to_plain() for name, result in self.results.items()},
        }


def evaluate_predictions(
    predictions: str | os.PathLike[str],
    truth: str | os.PathLike[str],
    *,
    protocol: str | None = None,
    scores: Iterable[str] | str | None = None,
    reading: Reading | None = None,
    mask: str | os.PathLike[str] | None = None,
    model: "MorphableModel | str | os.PathLike[str] | None" = None,
    split: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    untrusted: bool = False,
) -> EvaluationReport:
    """Compare predictions with the truth by the error measures of the literature.

    Parameters
    ----------
    predictions : path-like
        A folder with a file for each face, a ``.npy`` file of all, or shards; see `uvgen.evaluation.predictions`.
    truth : path-like
        Shards, AFLW2000-3D's folder, or that of 3DDFA's benchmark; see `uvgen.evaluation.truth`.
    protocol : {"prnet", "3ddfa", "reshow"}, optional
        The published protocol whose scores are computed, instead of all.
    scores : iterable of str, or "all", optional
        Keys of `uvgen.evaluation.scores.SCORES`; by default those that do not take long. Not with a protocol.
    reading : Reading, optional
        Unit, frame and pixel convention of the predictions: see `uvgen.evaluation.Reading`.
    mask : path-like, optional
        Face texels, a weight mask's file (``uv_face_mask.png``, ``.npy``); by default those of the truth's weight mask
        that are not 0.
    model : MorphableModel or path-like, optional
        The truth's model; needed for predictions that are parameters or meshes, and for shards without maps.
    split : str, optional
        Only this part of the shards' ``splits.json``.
    draws, seed : int
        See `uvgen.evaluation.summary.Draws`.
    untrusted : bool
        As for `uvgen.open_shards`.

    Returns
    -------
    EvaluationReport

    Raises
    ------
    DatasetError
        If the truth cannot be opened or is empty, or there are no predictions.
    InputError
        If an option has an unknown value, options exclude each other, or an argument is of the wrong type.
    ModelError
        If the model is not the truth's.

    Examples
    --------
    >>> report = uvgen.evaluate_predictions("predictions/", "shards/")
    >>> report.result.summaries["nme_68_2d"].mean
    """
    check_paths(predictions=predictions, truth=truth)
    check_optional_paths(mask=mask)
    choice(protocol, "protocol", (None, *PROTOCOLS))
    if protocol is not None and scores is not None:
        raise InputError(f"protocol and scores: {protocol} and {scores}, expected one of them")
    if protocol is not None:
        scores = PROTOCOLS[protocol].scores
    chosen = chosen_scores(SCORES if scores == ALL else scores)
    reading = Reading() if reading is None else reading
    check_instance(reading, "reading", Reading, "uvgen.evaluation.predictions.Reading(scale='size')")
    reading.check()
    loaded = None if model is None else as_model(model, untrusted=untrusted)
    true = open_truth(truth, model=loaded, split=split, untrusted=untrusted)
    if not true.names:
        raise DatasetError(f"{truth}: holds no face, expected one or more")
    found = Predictions(predictions, true, reading, model=loaded, untrusted=untrusted)
    size = 0 if true.mask is None else len(true.mask)
    texels = true.mask if mask is None or not size else read_weights(Path(mask), size) > 0

    def evaluation() -> Evaluation:
        return Evaluation(
            mask=texels, crop_size=true.crop_size, landmark_weights=true.reading, draws=draws, seed=seed,
            scores=[score.key for score in chosen],
        )  # fmt: skip

    job = _Comparison(found, evaluation, chosen)
    begin("comparing", len(true.names), first="comparing")
    for k, name in enumerate(true.names):
        if found.has(name):
            face, problem = face_or_problem(true, k)
            if face is None:
                job.unread.append((name, problem))
            else:
                job.compare(face)
        advance(1)
    check_model_file(loaded)
    if not job.landmarks:
        name, reason = job.unread[0] if job.unread else (next(filter(found.has, true.names)), "holds NaN or infinity")
        raise InputError(f"{predictions}: {none_can_be('used', len(true.names), 'prediction', reason, name)}")
    results = {name: one.result() for name, one in job.evaluations.items()}
    not_finite = max((one.not_finite for one in results.values()), key=len)
    if any(one.summaries for one in results.values()):  # of a truth that no chosen score is of, there is no table
        results = {name: one for name, one in results.items() if one.summaries}
    doubts = [*true.doubts, *found.doubts, *find_doubts(job.counted(), true.convention)]
    for name, result in results.items():
        doubts += _partly_scored(result, name, set(not_finite))
    return EvaluationReport(
        Path(predictions), Path(truth), protocol, len(true.names), results, tuple(found.missing), tuple(job.unread),
        not_finite, tuple(found.unexpected), tuple(doubts), job.landmarks,
        {name: tuple(names) for name, names in job.partial.items()}, job.visible,
    )  # fmt: skip


class _Comparison:
    """One evaluation for each truth, and the landmarks that doubts are found in."""

    def __init__(
        self, predictions: Predictions, evaluation: Callable[[], Evaluation], scores: tuple[Score, ...]
    ) -> None:
        self._predictions, self._new = predictions, evaluation
        self._with_21 = any(score.needs == POINTS_21 for score in scores)
        self.evaluations: dict[str, Evaluation] = {}
        self.unread: list[tuple[str, str]] = []
        self.partial: dict[str, list[str]] = {}
        self.landmarks: dict[str, NDArray[np.float32]] = {}
        self.visible: dict[str, int] = {}
        self._names: list[str] = []
        self._points: list[tuple[Any, Any, Any]] = []

    def compare(self, face: TrueFace) -> None:
        """One face's prediction with all of its truths; it counts for each of them, or for none and is named."""
        new = dict[str, Evaluation]()
        try:
            if not face.truths:
                some = "".join(f"; {name} has {n}" for name, n in face.partial.items())
                raise InputError(f"{face.name}: has no 68 annotated points, expected a truth{some}")
            wanted = {name: truth for name, truth in face.truths.items() if self._with_21 or truth.points_21 is None}
            if not wanted:
                raise InputError(f"{face.name}: has only AFLW's 21 points, expected nme_21_2d among the scores")
            predicted = self._predictions.read(face)
            yaw = np.array([face.yaw_deg]) if math.isfinite(face.yaw_deg) else None
            counts = []
            for name, truth in wanted.items():
                columns = (truth.landmarks, truth.maps, truth.points_21)
                same = Faces(*(None if values is None else np.asarray(values, np.float64) for values in columns))
                evaluation = self.evaluations.get(name) or new.setdefault(name, self._new())
                counts.append(evaluation.measured(predicted, same, names=[face.name], yaw_deg=yaw))
        except UvgenError as error:
            check_machine(error)
            self.unread.append((face.name, brief(error)))
            return
        self.evaluations |= new
        for add in counts:
            add()
        for truth in wanted.values():
            if truth.points_21 is not None:
                self.visible[face.name] = int(np.isfinite(truth.points_21).all(axis=-1).sum())
        for name in face.partial:
            self.partial.setdefault(name, []).append(face.name)
        first = next(iter(face.truths.values()))
        if predicted.finite()[0]:
            self._names.append(face.name)
            self.landmarks[face.name] = np.asarray(predicted.landmarks[0], np.float32)
            self._points.append((predicted.landmarks[0], first.landmarks[0], face.image_to_truth))

    def counted(self) -> Counted:
        """Faces with finite landmarks, in as many dimensions as all have."""
        if not self._points:
            none = np.empty((0, 68, 2))
            return Counted([], none, none, np.empty((0, 2, 2)))
        columns = [*zip(*self._points, strict=True)]
        least = [min(points.shape[1] for points in points_of) for points_of in columns[:2]]
        parts = [[points[:, :n] for points in points_of] for n, points_of in zip(least, columns[:2], strict=True)]
        return Counted(self._names, np.stack(parts[0]), np.stack(parts[1]), np.stack(columns[2]))


def _partly_scored(result: EvaluationResult, truth: str, not_finite: set[str]) -> list[str]:
    """Which scores are means over some of the faces only, since other predictions have no maps or no depths."""
    usable = np.array([name not in not_finite for name in result.names], np.bool_)
    lacking: dict[tuple[int, ...], list[str]] = {}
    for key, values in result.values.items():
        if (without := np.flatnonzero(usable & np.isnan(values))).size:
            lacking.setdefault(tuple(without.tolist()), []).append(key)
    return [
        f"{', '.join(keys)} ({truth}) of {count(int(usable.sum()) - len(faces), 'face')} only: "
        f"{count(len(faces), 'other')} {'lacks' if len(faces) == 1 else 'lack'} what it needs, first "
        f"{result.names[faces[0]]}"
        for faces, keys in lacking.items()
    ]
