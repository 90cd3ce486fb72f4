"""Scores of faces that come in batches, as in a training loop's validation."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import bool_mask, check_array, check_several, is_tensor, number_in, shown
from uvgen.described import described
from uvgen.errors import InputError
from uvgen.evaluation.faces import Faces, as_numpy
from uvgen.evaluation.scores import SCORES, Score, Surface
from uvgen.evaluation.summary import DRAWS, Summary, summarize
from uvgen.maps.landmarks import LandmarkWeights
from uvgen.wording import count

_LEAST = 1 / 32  # of a crop, that a face spans in px: with less, the unit is another one
_LEAST_BOX = 1e-6  # px, or another unit, of the points whose box divides errors: squares of these must be numbers


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationResult:
    """Scores of n faces.

    Attributes
    ----------
    names : tuple of str
        Names of the faces, in the order in which they were added.
    yaw_deg : (n,) float64 or None
        Yaw of each face, degrees; None if it was not given for all.
    values : dict of str to (n,) float64
        A score's key → its values; NaN for a face whose prediction or truth has not what the score needs, or is not
        finite. Keys of `uvgen.evaluation.scores.SCORES`; those that no face has are left out.
    summaries : dict of str to Summary
        The same keys → means over the faces that have the score.
    not_finite : tuple of str
        Faces whose prediction holds NaN or infinity: they have no score and are in no mean.
    """

    names: tuple[str, ...]
    yaw_deg: NDArray[np.float64] | None
    values: dict[str, NDArray[np.float64]]
    summaries: dict[str, Summary]
    not_finite: tuple[str, ...]

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """For JSON: each score with what it compares, its means, and how many faces it is of."""
        return {
            "faces": len(self.names),
            "not_finite": list(self.not_finite),
            "scores": {key: {**SCORES[key].to_plain(), **one.to_plain()} for key, one in self.summaries.items()},
        }


class Evaluation:
    """Takes batches of predictions and truths, NumPy arrays or PyTorch tensors, and says how far apart they are.

    Parameters
    ----------
    mask : (U, U) bool, optional
        Face texels, for scores of maps: ``constants["weight_mask"] > 0`` of a data set, or `uvgen.face_mask`.
    crop_size : int
        px.
    landmark_weights : LandmarkWeights, optional
        How landmarks are read from maps, ``LandmarkWeights.of_constants(constants)``.
    scores : iterable of str, optional
        Keys of `SCORES`; by default all that do not take long (`Score.slow`).
    draws, seed : int
        See `uvgen.evaluation.summary.Draws`.

    Raises
    ------
    InputError
        If there is no such score, or a number is out of range.

    Examples
    --------
    >>> evaluation = Evaluation(mask=constants["weight_mask"] > 0, crop_size=256, landmark_weights=weights)
    >>> for batch in loader:  # of a `uvgen.torch.ShardDataset`: its maps are in crop widths
    ...     evaluation.add(256 * network(batch["image"]), 256 * batch["posmap"])
    >>> evaluation.result().summaries["nme_68_2d"].mean
    """

    def __init__(
        self,
        *,
        mask: NDArray[Any] | None = None,
        crop_size: int = 256,
        landmark_weights: LandmarkWeights | None = None,
        scores: Iterable[str] | None = None,
        draws: int = DRAWS,
        seed: int = 0,
    ) -> None:
        self.scores = chosen_scores(scores)
        crop_size = number_in(crop_size, "crop_size", 1, whole=True)
        if mask is not None:
            mask = bool_mask(as_numpy(mask), "mask", ("U", "U"))
            if not mask.any():
                raise InputError(f"mask: {shown(mask)} without a texel, expected one texel or more that counts")
        self._surface = Surface(mask, crop_size)
        self._reading, self._draws, self._seed = landmark_weights, draws, seed
        self._names: list[str] = []
        self._yaws: list[NDArray[np.float64]] = []
        self._has_yaw = True
        self._values: dict[str, list[NDArray[np.float64]]] = {score.key: [] for score in self.scores}
        self._not_finite: list[str] = []

    def add(
        self,
        predicted: Any,
        truth: Any,
        *,
        names: Sequence[str] | None = None,
        yaw_deg: Any = None,
    ) -> None:
        """Compare some faces.

        Parameters
        ----------
        predicted, truth : Faces, or (B, U, U, 3), (B, 3, U, U), (B, 68, 3) or (B, 68, 2) float
            Position maps or landmarks, px of one frame, not shares of the crop; of NumPy or of PyTorch, on any device,
            both of one. Landmarks of maps are read from them, unless `Faces` gives both.
        names : sequence of str, optional
            Names of the faces; their numbers by default.
        yaw_deg : (B,) float, optional
            Yaw of each face, degrees, for means by yaw; these are left out unless all batches have it.

        Raises
        ------
        InputError
            If shapes do not agree, maps come without `mask` or `landmark_weights`, a truth is not finite or its map
            not in px, or a score cannot be measured: all points in one place, or too far away for a number. Then none
            of the batch counts.
        """
        self.measured(predicted, truth, names=names, yaw_deg=yaw_deg)()

    def measured(
        self, predicted: Any, truth: Any, *, names: Sequence[str] | None = None, yaw_deg: Any = None
    ) -> Callable[[], None]:
        """Compare some faces, which count once the returned function is called; see `add`."""
        p, t = Faces.of(predicted, self._reading), Faces.of(truth, self._reading, "truth")
        if len(p) != len(t):
            raise InputError(f"predicted: {count(len(p), 'face')}, expected those of truth, {len(t)}")
        if p.maps is not None and t.maps is not None and self._surface.mask is None:
            raise InputError('mask: None, expected face texels; give constants["weight_mask"] > 0 of the data set')
        if not (good := t.finite()).all():
            raise InputError(f"truth: face {np.flatnonzero(~good)[0]} holds NaN or infinity, expected px")
        if t.maps is not None and (small := np.flatnonzero(_spans(t.maps) < self._surface.crop_size * _LEAST)).size:
            raise InputError(
                f"truth: the map of face {small[0]} spans {_spans(t.maps)[small[0]]:.2g} px, expected px of a crop of "
                f"{self._surface.crop_size}; multiply maps in crop widths by its size"
            )
        boxes = np.sqrt(np.ptp(as_numpy(t.landmarks)[..., :2].astype(np.float64), axis=1).prod(axis=1))
        if (small := np.flatnonzero((boxes > 0) & (boxes < _LEAST_BOX))).size:
            raise InputError(
                f"truth: the box of face {small[0]}'s 68 points is {boxes[small[0]]:.2g} px large, expected a face's"
            )
        names = [str(len(self._names) + k) for k in range(len(p))] if names is None else [*map(str, names)]
        if len(names) != len(p):
            raise InputError(f"names: {len(names)}, expected {len(p)}, one per face")
        yaws = None if yaw_deg is None else as_numpy(yaw_deg).astype(np.float64)
        if yaws is not None:
            check_array(yaws, "yaw_deg", (len(p),), note="one per face")
        usable = p.finite()
        a, b = p.chosen(usable), t.chosen(usable)
        measured = dict[str, NDArray[np.float64]]()
        for score in self.scores:
            found = measured[score.key] = np.full(len(p), np.nan)
            if usable.any() and score.fits(a, b):
                with np.errstate(over="ignore", invalid="ignore"):
                    found[usable] = as_numpy(score.measure(a, b, self._surface))
                if (lost := np.flatnonzero(usable & ~np.isfinite(found))).size:
                    raise InputError(
                        f"predicted: face {lost[0]} is so far off that {score.key} is not a number, expected px"
                    )

        def add() -> None:  # when nothing can fail any more, so that a batch counts as a whole or not at all
            for key, found in measured.items():
                self._values[key].append(found)
            if yaws is not None:
                self._yaws.append(yaws)
            self._has_yaw &= yaws is not None
            self._not_finite.extend(name for name, good in zip(names, usable, strict=True) if not good)
            self._names.extend(names)

        return add

    def result(self) -> EvaluationResult:
        """Scores of all faces so far; more faces may be added afterward."""
        values = {
            key: found
            for key, parts in self._values.items()
            if parts and np.isfinite(found := np.concatenate(parts)).any()
        }
        yaw = np.concatenate(self._yaws) if self._has_yaw and self._yaws else None
        summaries = {key: summarize(found, yaw, draws=self._draws, seed=self._seed) for key, found in values.items()}
        return EvaluationResult(tuple(self._names), yaw, values, summaries, tuple(self._not_finite))


def _spans(maps: Any) -> NDArray[np.float64]:
    """(B,) largest less smallest coordinate of each map."""
    flat = maps.reshape(len(maps), -1)
    ends = (flat.amax(1), flat.amin(1)) if is_tensor(flat) else (flat.max(axis=1), flat.min(axis=1))
    return np.subtract(*(as_numpy(end).astype(np.float64) for end in ends))


def chosen_scores(keys: Iterable[str] | None) -> tuple[Score, ...]:
    """Scores by key; those that take little time if None is given. InputError if there is none of the name."""
    if keys is None:
        return tuple(score for score in SCORES.values() if not score.slow)
    check_several(keys, "scores")
    keys = list(keys)
    for key in keys:
        if key not in SCORES:
            raise InputError(f"scores: {shown(key)}, expected one of {', '.join(SCORES)}")
    return tuple(score for key, score in SCORES.items() if key in keys)
