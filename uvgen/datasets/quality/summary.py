"""How far a data set's labels are from the annotations of the same samples, and why, if they are far.

The label's landmarks come from the model and the fitted parameters; a 300W-LP or AFLW2000-3D file also holds what was
annotated. Both agree to 1 to 3 % of the face's size if the model is the one that the parameters were fitted with.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.open import check_model
from uvgen.datasets.quality.causes import find_cause
from uvgen.datasets.quality.label_columns import POINT_FIELDS, image_points, label_columns, stored_of
from uvgen.described import described
from uvgen.geometry import INNER
from uvgen.maps.labels import label_nme
from uvgen.models.morphable import MorphableModel
from uvgen.shards.reader import ShardReader
from uvgen.storage.names import brief
from uvgen.wording import are, count

HIGH_NME = 0.05
"""Above this, a sample is shown in red, and a data set whose median is above it gets a warning."""

_GOOD_NME = 0.01
"""Below this, samples are not named: the landmarks of two annotators differ by more."""

_PARAMETERS = ("shape", "expression", "pose", "image_height")
_N_WORST, _N_NAMED = 5, 2  # kept, and named in the line for people
_N_DIAGNOSED = 256
_FEW = 3  # samples: less of them show nothing about a set
_MANY = 0.05  # share of samples that are far from their annotations, for a warning
_HIGH_JAW = _VERY_HIGH_NME = 0.2
_UNSURE_PX, _BETTER = 0.25, 0.8  # a common shift is so near a whole pixel, and leaves less than this share of the error


@dataclass(frozen=True, slots=True)
class LabelQuality:
    """How far the labels of a data set are from its annotations.

    Attributes
    ----------
    n_samples, n_annotated : int
        All samples, and those with a `label_nme` that means something: turned versions of a photograph that hold the
        annotation of another version do not count.
    median, percentile_95 : float
        Of `label_nme`; NaN without annotations.
    jaw_median : float
        Of `label_nme_jaw`.
    worst : tuple of (str, float)
        The five samples with the largest, largest first.
    warnings : tuple of str
        What is probably wrong with the whole set.
    repeated : str
        The one of them that says how many photographs have one annotation for all turned versions; "" if none has.
    """

    n_samples: int
    n_annotated: int
    median: float
    percentile_95: float
    jaw_median: float
    worst: tuple[tuple[str, float], ...]
    warnings: tuple[str, ...]
    repeated: str = ""

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The result as commands print it with ``--json``; null for what is not known."""
        values = {name: getattr(self, name) for name in ("median", "percentile_95", "jaw_median")}
        return {
            "samples": self.n_samples,
            "annotated": self.n_annotated,
            **{name: value if np.isfinite(value) else None for name, value in values.items()},
            "worst": [{"name": name, "label_nme": nme} for name, nme in self.worst],
            "warnings": list(self.warnings),
        }

    def summary(self) -> str:
        """One line for people."""
        if not self.n_annotated:
            jaw = f" but those of the jaw, {self.jaw_median:.2%} away" if np.isfinite(self.jaw_median) else ""
            own = " of its own" if self.repeated else ""
            none = "the only sample has no" if self.n_samples == 1 else f"none of {count(self.n_samples, 'sample')} has"
            return f"label NME: unknown, {none} annotated landmarks{own}{jaw}"
        part = "" if self.n_annotated == self.n_samples else f", {self.n_annotated} of {self.n_samples} annotated"
        worst = "; all below 1%"
        if self.worst[0][1] >= _GOOD_NME:
            named = ", ".join(f"{brief(name)} {nme:.2%}" for name, nme in self.worst[:_N_NAMED] if nme >= _GOOD_NME)
            worst = f"; worst {named}"
        return f"label NME: median {self.median:.2%}, 95% below {self.percentile_95:.2%}{part}{worst}"


def label_quality(reader: ShardReader, model: MorphableModel | None = None) -> LabelQuality | None:
    """Judge a data set's labels by its annotations.

    Parameters
    ----------
    reader : ShardReader
        The set, from `uvgen.open_shards`.
    model : MorphableModel, optional
        The set's; with it more causes of large errors can be told apart.

    Returns
    -------
    LabelQuality or None
        None for a set that was made before annotations were stored, or is empty.

    Raises
    ------
    DatasetError
        If a shard cannot be read.
    ModelError
        If the model is not the set's.
    """
    if model is not None:
        check_model(model, reader.folder, reader.config)
    if "label_nme" not in reader.fields:
        return None
    names, (nme, jaw, repeated, n_photographs) = reader.names, label_columns(reader)
    known, jaw = np.flatnonzero(np.isfinite(nme) & ~repeated), jaw[~repeated]
    jaw_median = float(np.nanmedian(jaw)) if np.isfinite(jaw).any() else np.nan
    said = ""
    if n_photographs:
        said = (
            f"{count(n_photographs, 'photograph')}: the same pt2d in all turned versions, a known fault of copies of "
            f"300W-LP; the label_nme of {count(int(repeated.sum()), 'turned version')} means nothing and is left out"
        )
    if not len(known):
        warned = (*_about_jaw(jaw_median), *([said] if said else ()))
        return LabelQuality(len(nme), 0, np.nan, np.nan, jaw_median, (), warned, said)
    median = float(np.median(nme[known]))
    order = known[np.argsort(-nme[known], kind="stable")][:_N_WORST]
    worst = tuple((names[k], float(nme[k])) for k in order)
    far = known[nme[known] > HIGH_NME]
    warnings: list[str] = []
    of_bases = False
    if len(far) >= _MANY * len(known) or nme[known].max() > _VERY_HIGH_NME:
        text, of_bases = _far(reader, known, far, median, names, model)
        warnings.append(text)
    if median <= HIGH_NME:  # what is said of many samples is not said again of all
        warnings = [*_about_jaw(jaw_median), *_near(reader, known, None if of_bases else model), *warnings]
    if said:
        warnings.append(said)
    percentile = float(np.percentile(nme[known], 95))
    return LabelQuality(len(nme), len(known), median, percentile, jaw_median, worst, tuple(warnings), said)


def _about_jaw(median: float) -> tuple[str, ...]:
    """A warning for a set whose jaws are far, whatever its other landmarks are."""
    if not median > _HIGH_JAW:
        return ()
    return (f"the labels' jaws are {median:.1%} of the face's size away from the annotations, expected 15% at most",)


def _far(
    reader: ShardReader,
    known: NDArray[np.intp],
    far: NDArray[np.intp],
    median: float,
    names: Sequence[str],
    model: MorphableModel | None,
) -> tuple[str, bool]:
    """What is wrong if many samples are far from their annotations, and whether that is the model's bases.

    The cause is looked for among those samples alone.
    """
    rows, points, annotated = _sampled(reader, far)
    cause = find_cause(rows, points, annotated, model, reader.config.build.convention)
    of = "" if len(far) == len(known) or median <= HIGH_NME else (
        f", of the {len(far)} of {count(len(known), 'sample')} that are more than {HIGH_NME:.0%} away"
    )  # fmt: skip
    because = f"probable cause{of}: {cause}" if cause.text else (
        "no single cause explains it" if model is not None else "`uvgen verify --model` looks for more causes"
    )  # fmt: skip
    if median > HIGH_NME:
        return (
            f"the labels are {median:.2%} of the face's size away from the annotations, expected 1 to 3%; {because}",
            cause.of_bases,
        )
    subset, n = Counter(names[k].rpartition("/")[0] for k in far).most_common(1)[0]
    where = f", {n} of them in {subset}" if subset and n < len(known) else ""
    return (
        f"{count(len(far), 'sample')} of {len(known)} {are(len(far))} more than {HIGH_NME:.0%} of the face's size "
        f"away from the annotations{where}; {because}",
        cause.of_bases,
    )


def _near(reader: ShardReader, known: NDArray[np.intp], model: MorphableModel | None) -> list[str]:
    """What is wrong with a set whose labels are near: parameters that do harm, or pixels counted otherwise."""
    if len(known) < _FEW:
        return []
    rows, points, annotated = _sampled(reader, known)
    convention = reader.config.build.convention
    if convention == "exact" and (shift := common_shift(points, annotated)):
        return [
            f"the annotations lie ({shift[0]:+d}, {shift[1]:+d}) px beside the labels: are pixels counted from 0 where "
            "300W-LP counts from 1, or y from another edge?"
        ]
    if model is None:
        return []
    cause = find_cause(rows, points, annotated, model, convention)
    return [str(cause)] if cause.of_bases else []


def common_shift(points: NDArray[np.float64], annotated: NDArray[np.float64]) -> tuple[int, int] | None:
    """The whole pixel that all labels are off by, if they are; faces with infinite points do not count."""
    finite = np.isfinite(points).all(axis=(1, 2)) & ~np.isinf(annotated).any(axis=(1, 2))
    points, annotated = points[finite], annotated[finite]
    apart = annotated[:, INNER] - points[:, INNER]
    marked = ~np.any(np.all(np.isnan(apart), axis=1), axis=1)
    if not marked.any():
        return None
    offset = np.median(np.nanmean(apart[marked], axis=1), axis=0)
    whole = np.rint(offset)
    if not whole.any() or np.abs(whole).max() > 1 or np.abs(offset - whole).max() > _UNSURE_PX:
        return None
    now, then = (float(np.nanmedian(label_nme(moved, annotated)[0])) for moved in (points, points + whole))
    return (int(whole[0]), int(whole[1])) if then < _BETTER * now else None


def _sampled(
    reader: ShardReader, keys: NDArray[np.intp]
) -> tuple[dict[str, Any], NDArray[np.float64], NDArray[np.float64]]:
    """Fields, label points and annotated points (n, 68, 2), image px, of some of the samples, evenly spread."""
    chosen = keys[np.unique(np.linspace(0, len(keys) - 1, _N_DIAGNOSED).astype(int))]
    rows = reader.gather(chosen.tolist(), stored_of(reader, *POINT_FIELDS, *_PARAMETERS))
    return rows, image_points(reader, rows, "landmarks"), image_points(reader, rows, "annotated_landmarks")
