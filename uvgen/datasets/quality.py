"""How far a data set's labels are from the annotations of the same samples, and why where they are far.

The label's landmarks come from the model and the fitted parameters; a 300W-LP or AFLW2000-3D file also holds what was
annotated. Both agree to 1 to 3 % of the face's size where the model is the one that the parameters were fitted with.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.annotations import in_image
from uvgen.datasets.causes import find_cause
from uvgen.datasets.open import check_model
from uvgen.described import described
from uvgen.maps.labels import label_nme
from uvgen.models.morphable import MorphableModel
from uvgen.samples.photographs import photograph_of
from uvgen.shards.reader import ShardReader
from uvgen.storage.names import brief
from uvgen.wording import are, count

HIGH_NME = 0.05
"""Above this, a sample is shown in red, and a data set whose median is above it gets a warning."""

_GOOD_NME = 0.01
"""Below this, samples are not named: the landmarks of two annotators differ by more."""

_N_WORST, _N_NAMED = 5, 2  # kept, and named in the line for people
_N_DIAGNOSED = 256
_COMPARED = [0, 8, 16, 30, 36, 45, 48, 54]  # landmarks
_SAME_PX, _TURNED_RAD = 0.05, 0.01
_FEW = 3  # samples: less of them show nothing about a set
_MANY = 0.05  # share of samples that are far from their annotations, for a warning
_HIGH_JAW = _VERY_HIGH_NME = 0.2
_INNER = slice(17, 68)
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
        The one of them that says how many photographs have one annotation for all turned versions; "" where none has.
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
        """As commands print it with ``--json``; null for what is not known."""
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
            return f"label NME: unknown, none of {count(self.n_samples, 'sample')} has annotated landmarks{jaw}"
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
        Where a shard cannot be read.
    ModelError
        Where the model is not the set's.
    """
    if model is not None:
        check_model(model, reader.folder, reader.config)
    if "label_nme" not in reader.fields:
        return None
    names, (nme, jaw, repeated, n_photographs) = reader.names, label_columns(reader)
    known, jaw = np.flatnonzero(np.isfinite(nme) & ~repeated), jaw[~repeated]
    jaw_median = float(np.nanmedian(jaw)) if np.isfinite(jaw).any() else np.nan
    if not len(known):
        return LabelQuality(len(nme), 0, np.nan, np.nan, jaw_median, (), _about_jaw(jaw_median))
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
    said = ""
    if n_photographs:
        said = (
            f"{count(n_photographs, 'photograph')}: the same pt2d in all turned versions, a known fault of copies of "
            f"300W-LP; the label_nme of {count(int(repeated.sum()), 'turned version')} means nothing and is left out"
        )
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
    """What is wrong where many samples are far from their annotations, and whether that is the model's bases.

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
    if convention == "exact" and (shift := _common_shift(points, annotated)):
        return [
            f"the annotations lie ({shift[0]:+d}, {shift[1]:+d}) px beside the labels: are pixels counted from 0 where "
            "300W-LP counts from 1, or y from another edge?"
        ]
    if model is None:
        return []
    cause = find_cause(rows, points, annotated, model, convention)
    return [str(cause)] if cause.of_bases else []


def _common_shift(points: NDArray[np.float64], annotated: NDArray[np.float64]) -> tuple[int, int] | None:
    """The whole pixel that all labels are off by, where they are."""
    offset = np.nanmedian(np.nanmean(annotated[:, _INNER] - points[:, _INNER], axis=1), axis=0)
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
    rows = reader.gather(chosen.tolist(), _there(reader, *_FIELDS, *_PARAMETERS))
    return rows, _points(reader, rows, "landmarks"), _points(reader, rows, "annotated_landmarks")


_FIELDS = ("image_to_crop", "landmarks", "annotated_landmarks", "flipped")
_PARAMETERS = ("shape", "expression", "pose", "image_height")


def _there(reader: ShardReader, *names: str) -> list[str]:
    return [name for name in names if name in reader.fields]


def _points(reader: ShardReader, rows: dict[str, Any], name: str) -> NDArray[np.float64]:
    flipped = rows.get("flipped", np.zeros(len(rows[name]), bool))
    return in_image(rows[name], rows["image_to_crop"], flipped, reader.config.build.size)


class LabelColumns(NamedTuple):
    """What annotations say of each sample's label.

    Attributes
    ----------
    nme, jaw : (N,) float32
        The fields `label_nme` and `label_nme_jaw`.
    repeated : (N,) bool
        Samples that hold the `pt2d` of another version of their photograph: in some copies of 300W-LP all turned
        versions have the annotation of the first. Their NME means nothing.
    n_photographs : int
        How many photographs do so.
    """

    nme: NDArray[np.float32]
    jaw: NDArray[np.float32]
    repeated: NDArray[np.bool_]
    n_photographs: int


def label_columns(reader: ShardReader) -> LabelColumns:
    """Of a set that stores `label_nme`, in one pass over its shards."""
    names = reader.names
    versions: dict[str, list[int]] = defaultdict(list)
    unturned = set[str]()
    for k, name in enumerate(names):
        if found := photograph_of(name):
            versions[found[0]].append(k)
            if found[1] == 0:
                unturned.add(found[0])
    several = [keys for keys in versions.values() if len(keys) > 1]
    fields = ["label_nme", "label_nme_jaw"] + ["pose", *_there(reader, *_FIELDS)] * bool(several)
    nmes, jaws, yaws, points = [], [], [], []
    for columns in reader.shard_columns(fields):
        nmes.append(columns["label_nme"])
        jaws.append(columns["label_nme_jaw"])
        if several:
            yaws.append(columns["pose"][:, 1])
            points.append(_points(reader, columns, "annotated_landmarks")[:, _COMPARED])
    nme, jaw = np.concatenate(nmes), np.concatenate(jaws)
    repeated, n_photographs = np.zeros(len(names), bool), 0
    if (most := reader.config.build.max_nme) is not None:
        # `max_nme` leaves turned versions alone where it knows that the annotation is another's: one that is farther
        # off is such a version, and the one that it could be compared with may have been left out
        for photograph, keys in versions.items():
            if photograph not in unturned and (farther := [k for k in keys if nme[k] > most]):
                repeated[farther] = True
                n_photographs += 1
    several = [keys for keys in several if not repeated[keys].any()]
    if several:
        n_photographs += _mark_repeated(several, np.concatenate(yaws), np.concatenate(points), repeated)
    return LabelColumns(nme, jaw, repeated, n_photographs)


def _mark_repeated(
    several: list[list[int]], yaws: NDArray[Any], points: NDArray[np.float64], repeated: NDArray[np.bool_]
) -> int:
    """Mark samples that have another version's annotation, of photographs with several; return of how many of these."""
    n_photographs = 0
    for keys in several:
        turned = np.abs(yaws[keys] - yaws[keys[0]]) > _TURNED_RAD
        same = np.abs(points[keys] - points[keys[0]]).max(axis=(1, 2)) < _SAME_PX  # False for NaN
        if turned.any() and same[turned].all():
            repeated[np.array(keys)[turned]] = True
            n_photographs += 1
    return n_photographs
