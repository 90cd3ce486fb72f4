"""A row of numbers for each sample of a data set, and their order: worst first."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.quality.label_columns import label_columns
from uvgen.datasets.quality.plausible import MOST_DEVIATIONS, SMALLEST_FACE_PX
from uvgen.datasets.quality.summary import HIGH_NME
from uvgen.errors import DatasetError, InputError
from uvgen.geometry import similarity_scale, wrapped_deg
from uvgen.models.morphable import MorphableModel
from uvgen.shards.reader import ShardReader

FLAGS = {
    "flipped": "mirrored",
    "far": f"label more than {HIGH_NME:.0%} from its annotation",
    "unannotated": "no annotation to compare with",
    "repeated": "annotation of another version of the photograph",
    "outside": "landmarks outside the crop",
    "implausible": "parameters or size that hardly any face has",
    "problem": "labels that cannot be right",
    "unpredicted": "no prediction that can be used",
}
"""What may be said of a sample, as bits from the lowest, and how a page says it."""

BIT = {name: 1 << k for k, name in enumerate(FLAGS)}

_COLUMNS = ("flipped", "crop_pose", "landmarks", "image_to_crop", "pose", "shape", "expression")
_MOST_FOLDERS = 1000
_MAD = 1.4826  # the median absolute deviation of a normal distribution, inverted


@dataclass(frozen=True, slots=True, eq=False)
class SampleTable:
    """Numbers of N samples, in the set's order.

    Attributes
    ----------
    names : list of str
        Of the samples.
    subsets : list of str
        The folders in them, sorted; "" for names without one. The outermost alone if there would be thousands, and
        none if there still were.
    subset : (N,) uint16
        Which of the subsets.
    angles_deg : (N, 3) float32
        Pitch, yaw and roll of the head as the crop has it, -180 to 180.
    nme : (N,) float32
        `label_nme`; NaN where there is no annotation, or that of another version of the photograph.
    oddity : (N,) float32
        How far from the set's usual: the largest robust deviation of some numbers, see `oddities`.
    flags : (N,) uint16
        Bits of `FLAGS`.
    order : (N,) int64
        Samples, worst first: by `nme`, then those without by `oddity`; see `by_predictions`.
    face_px, magnification : (N,) float32
        Longer side of the face in its image, px; and crop px per image px: above 1, the crop enlarges.
    prediction_nme : (N,) float32 or None
        Of predictions, if some are shown; NaN where a sample has none that can be used.
    """

    names: list[str]
    subsets: list[str]
    subset: NDArray[np.uint16]
    angles_deg: NDArray[np.float32]
    nme: NDArray[np.float32]
    oddity: NDArray[np.float32]
    flags: NDArray[np.uint16]
    order: NDArray[np.int64]
    face_px: NDArray[np.float32]
    magnification: NDArray[np.float32]
    prediction_nme: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, reader: ShardReader, model: MorphableModel | None = None) -> "SampleTable":
        """The table of a set that holds samples; with its model, parameters are measured by the model's deviations."""
        names, n = reader.names, len(reader)
        columns = reader.columns(name for name in _COLUMNS if name in reader.fields)
        flipped = columns.get("flipped", np.zeros(n, np.bool_))
        angles = wrapped_deg(np.rad2deg(columns["crop_pose"][:, :3].astype(np.float64)))  # as the crop shows them
        folders = _folders(names)
        subsets = sorted(set(folders))
        number = {folder: k for k, folder in enumerate(subsets)}
        landmarks = columns["landmarks"]
        size = reader.config.build.size
        try:
            magnification = similarity_scale(columns["image_to_crop"])
        except InputError as error:
            raise DatasetError(
                f"{reader.folder}: the image_to_crop of a sample cannot be used ({error}); run `uvgen verify "
                f"{reader.folder}`"
            ) from error
        with np.errstate(all="ignore"):  # of damaged sets, which are shown all the same
            face_px = np.ptp(landmarks[..., :2], axis=1).max(axis=1) / magnification
        finite = np.isfinite(landmarks).all(axis=(1, 2)) & np.isfinite(angles).all(axis=1)
        finite &= np.isfinite(columns["pose"]).all(axis=1)
        outside = ((landmarks[..., :2] < -0.5) | (landmarks[..., :2] > size - 0.5)).any(axis=2).sum(axis=1)

        nme, repeated = np.full(n, np.nan, np.float32), np.zeros(n, np.bool_)
        if "label_nme" in reader.fields:
            nme, _, repeated, _ = label_columns(reader)
        nme[repeated] = np.nan
        none = np.zeros((n, 0), np.float32)  # maps of another program
        shape, expression = columns.get("shape", none), columns.get("expression", none)
        numbers = {
            "shape": _length(shape, None if model is None else model.shape_std),
            "expression": _length(expression, None if model is None else model.expression_std),
            "pitch": np.abs(angles[:, 0]),
            "roll": np.abs(angles[:, 2]),
            "off_center": np.linalg.norm(landmarks[..., :2].mean(axis=1) - (size - 1) / 2, axis=1),
            "outside": outside.astype(np.float64),
        }
        oddity = oddities(numbers)
        flags = np.zeros(n, np.uint16)
        for name, where in (
            ("flipped", flipped),
            ("far", nme > HIGH_NME),
            ("unannotated", np.isnan(nme) & ~repeated),
            ("repeated", repeated),
            ("outside", outside > 0),
            ("implausible", (face_px < SMALLEST_FACE_PX) | _unusual(shape, expression, model)),
            ("problem", ~finite),
        ):
            flags[where] |= BIT[name]
        key = np.where(np.isnan(nme), -1.0, nme)
        order = np.lexsort((np.arange(n), -oddity, -key))
        return cls(
            names,
            subsets,
            np.array([number[folder] for folder in folders], np.uint16),
            angles.astype(np.float32),
            nme,
            oddity,
            flags,
            order,
            face_px.astype(np.float32),
            np.asarray(magnification, np.float32),
        )

    def by_predictions(self, errors: Mapping[str, float]) -> "SampleTable":
        """The same with the worst predictions first, by an NME for each name; those without one come before all."""
        known = np.array([errors.get(name, np.nan) for name in self.names])
        flags = self.flags.copy()
        flags[np.isnan(known)] |= BIT["unpredicted"]
        place = np.empty(len(known), np.int64)
        place[self.order] = np.arange(len(known))
        order = np.lexsort((place, np.where(np.isnan(known), -np.inf, -known)))
        return replace(self, flags=flags, order=order, prediction_nme=known.astype(np.float32))


def _folders(names: list[str]) -> list[str]:
    """The folder of each name, as long as they are few enough to choose from."""
    for of in (lambda name: name.rpartition("/")[0], lambda name: name.partition("/")[0] if "/" in name else ""):
        folders = [*map(of, names)]
        if len(set(folders)) <= _MOST_FOLDERS:
            return folders
    return [""] * len(names)


def oddities(numbers: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """How far each of N samples is from what is usual among them.

    Parameters
    ----------
    numbers : mapping of str to (N,) float
        Of which large values are unusual.

    Returns
    -------
    (N,) float32
        The largest deviation above the median, in units of the median absolute deviation, scaled as a standard
        deviation is; 0 and more, infinite if a number is not finite. Numbers that hardly vary count from a hundredth
        of their median.
    """
    found = np.zeros(len(next(iter(numbers.values()))))
    for values in numbers.values():
        known = values[np.isfinite(values)]
        if len(known):
            found = np.fmax(found, (values - np.median(known)) / _spread(known))
        found[~np.isfinite(values)] = np.inf
    return found.astype(np.float32)


def _spread(values: NDArray[Any]) -> float:
    """What one deviation of some numbers is."""
    middle = float(np.median(values))
    spread = max(_MAD * float(np.median(np.abs(values - middle))), 0.01 * abs(middle), 1e-9)
    if middle == 0 and spread <= 1e-9:  # most are 0: how many are not says nothing about how far
        return max(float(values.max()), 1.0)
    return spread


def _length(parameters: NDArray[np.floating[Any]], std: NDArray[np.floating[Any]] | None) -> NDArray[np.float64]:
    """(N,) root mean square of parameters (N, k) in standard deviations: of the model, or of the set itself."""
    scale = parameters.std(axis=0, dtype=np.float64) if std is None else np.asarray(std, np.float64)
    known = np.isfinite(scale) & (scale > 1e-12 * np.abs(scale).max(initial=1e-300))
    if not parameters.shape[1] or not known.any():
        return np.zeros(len(parameters))
    squares = np.zeros(len(parameters))
    for k in np.flatnonzero(known):  # one by one: all at once would be as large again in float64
        squares += (parameters[:, k] / scale[k]) ** 2
    return np.sqrt(squares / int(known.sum()))


def _unusual(
    shape: NDArray[np.floating[Any]], expression: NDArray[np.floating[Any]], model: MorphableModel | None
) -> NDArray[np.bool_]:
    """(N,) samples that `uvgen build` leaves out unless it is told to keep what is implausible."""
    found = np.zeros(len(shape), np.bool_)
    if model is None:
        return found
    for values, std in ((shape, model.shape_std), (expression, model.expression_std)):
        scale = np.where(np.isfinite(std) & (std > 0), std, np.inf).astype(np.float32)
        if values.shape[1]:
            found |= (np.abs(values) / scale).max(axis=1) > MOST_DEVIATIONS
    return found
