"""Means of a score over faces: all of them, by yaw, and over draws with the same number in each bin of yaw."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import float64_array, number_in, seed_number
from uvgen.described import described
from uvgen.metrics import YAW_BINS, by_yaw
from uvgen.randomness import keyed_generator

DRAWS = 100
"""How many times faces are drawn."""


@dataclass(frozen=True, slots=True)
class YawBin:
    """Faces of one bin of |yaw|: above `low_deg` and up to `high_deg`; the first bin includes `low_deg`.

    `n` faces have the score, whose mean and standard deviation over them are `mean` and `std`, None if there are none.
    """

    low_deg: float
    high_deg: float | None
    """None: no upper end."""
    n: int
    mean: float | None
    std: float | None


@dataclass(frozen=True, slots=True)
class Draws:
    """A score over repeated random draws of equally many faces from each bin.

    Attributes
    ----------
    n, seed, size : int
        Draws, what they depend on, and faces of each bin in a draw: as many as the smallest bin has.
    mean, std : float
        Mean and spread of the draws' means; the spread is what the choice of faces does to a table.
    """

    n: int
    seed: int
    size: int
    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A score over faces, as a share of what it is divided by, not rounded.

    Attributes
    ----------
    n : int
        Faces that have the score.
    mean, median, std : float or None
        Over all of them, each counting once; None if there are none. `std` is that of the faces.
    balanced_mean, balanced_std : float or None
        Mean and standard deviation of the bins' means, whatever their sizes: the field's "mean". None without yaw.
    bins : tuple of YawBin
        [0, 30], (30, 60], above 60 degrees; empty without yaw.
    draws : Draws or None
        None without yaw, or if only one bin has faces.
    """

    n: int
    mean: float | None
    median: float | None
    std: float | None
    balanced_mean: float | None = None
    balanced_std: float | None = None
    bins: tuple[YawBin, ...] = ()
    draws: Draws | None = None

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        content = asdict(self)
        return {**content, "bins": list(content["bins"])}


def summarize(
    values: NDArray[Any], yaw_deg: NDArray[Any] | None = None, *, draws: int = DRAWS, seed: int = 0
) -> Summary:
    """Means of a score.

    Parameters
    ----------
    values : (n,) float
        Score of each face; NaN for faces without one, which are left out and should be named by the caller.
    yaw_deg : (n,) float, optional
        Yaw of each face, degrees; the sign is ignored.
    draws, seed : int
        See `Draws`.

    Returns
    -------
    Summary

    Raises
    ------
    InputError
        If shapes do not agree, or a number is out of range.
    """
    values = float64_array(values, "values", ("n",))
    draws, seed = number_in(draws, "draws", 0, whole=True), seed_number(seed)
    there = np.isfinite(values)
    known = values[there]
    if not len(known):
        return Summary(0, None, None, None)
    plain = len(known), float(known.mean()), float(np.median(known)), float(known.std())
    if yaw_deg is None:
        return Summary(*plain)
    yaw = float64_array(yaw_deg, "yaw_deg", values.shape, note="one per face")
    size = np.abs(yaw[there])
    balanced = by_yaw(known, size).mean
    groups = [known[((size > low) | (low == 0)) & (size <= high)] for low, high in YAW_BINS]
    bins = tuple(
        YawBin(low, None if np.isinf(high) else high, len(group), *_mean_and_std(group))
        for (low, high), group in zip(YAW_BINS, groups, strict=True)
    )
    filled = [group for group in groups if len(group)]
    spread = float(np.std([group.mean() for group in filled]))
    drawn = _draw(filled, draws, seed) if draws and len(filled) > 1 else None
    return Summary(*plain, balanced, spread, bins, drawn)


def _mean_and_std(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    return (float(values.mean()), float(values.std())) if len(values) else (None, None)


def _draw(groups: list[NDArray[np.float64]], draws: int, seed: int) -> Draws:
    n = min(map(len, groups))
    means = np.empty(draws)
    for k in range(draws):
        generator = keyed_generator(seed, f"draw {k}")
        means[k] = np.mean([generator.choice(group, n, replace=False).mean() for group in groups])
    return Draws(draws, seed, n, float(means.mean()), float(means.std()))
