"""What a data set is and holds: the first view of a report."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.config import DatasetConfig
from uvgen.datasets.info import by_reason
from uvgen.datasets.quality.label_columns import REPEATED
from uvgen.datasets.quality.summary import LabelQuality
from uvgen.datasets.quality.survey import NOT_SURVEYED
from uvgen.datasets.verify import VerifyResult
from uvgen.evaluation.curve import round_step
from uvgen.report.table import BIT, FLAGS, SampleTable
from uvgen.shards.format import VERSION
from uvgen.shards.index import Index
from uvgen.shards.reader import ShardReader
from uvgen.storage.names import brief, printable
from uvgen.wording import count, shown_size

_MOST_SKIPPED = 1000  # rows of a table that people read
_UNSHOWN = ("survey", NOT_SURVEYED)
_SUSPECT = ("far", "repeated")
_PLAIN = {
    "samples": "samples chosen to build",
    "names_sha256": "SHA-256 of their names",
    "annotated_dimensions": "coordinates of an annotated landmark",
    "merged_from": "merged from",
    "copied_from": "copied from",
    REPEATED: "samples with the annotation of another version",
    "model_sha256": "SHA-256 of the model",
}
"""What keys of an index mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """What the first view says.

    Attributes
    ----------
    title : str
        Name of the set's folder.
    identity : str
        16 hexadecimal digits of a hash of its shards: marks of another set are kept apart.
    facts, configuration, provenance, details : tuple of (str, str)
        A heading and what stands beside it; details are for those who compare data sets.
    subsets : tuple of (str, int)
        With their numbers of samples.
    flags : tuple of (str, str, int)
        Each flag that samples have: its name, what it says, and the number of samples.
    suspect : tuple of str
        Flags of samples that a warning may be about.
    reasons : tuple of (str, int)
        Why samples were skipped, most frequent first.
    skipped : tuple of (str, str)
        Skipped samples and their reasons: the first thousand.
    n_skipped : int
        All of them.
    verdict : str
        Whether the set is sound, and what was looked at.
    problems, warnings : tuple of str
        What is certainly and what is probably wrong.
    histograms : tuple of mapping
        See `_histogram`.
    """

    title: str
    identity: str
    facts: tuple[tuple[str, str], ...]
    configuration: tuple[tuple[str, str], ...]
    provenance: tuple[tuple[str, str], ...]
    details: tuple[tuple[str, str], ...]
    subsets: tuple[tuple[str, int], ...]
    flags: tuple[tuple[str, str, int], ...]
    suspect: tuple[str, ...]
    reasons: tuple[tuple[str, int], ...]
    skipped: tuple[tuple[str, str], ...]
    n_skipped: int
    verdict: str
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    histograms: tuple[Mapping[str, Any], ...]


class Checked(NamedTuple):
    """What was found wrong with a set.

    Attributes
    ----------
    verified : VerifyResult or None
        None if that was not asked for.
    quality : LabelQuality or None
        How far labels are from annotations, if there are some.
    with_model : bool
        Whether labels were compared with their parameters, if the set was verified.
    """

    verified: VerifyResult | None
    quality: LabelQuality | None
    with_model: bool


def describe(
    reader: ShardReader,
    index: Index,
    table: SampleTable,
    heights_px: NDArray[np.integer[Any]],
    checked: Checked,
    pages: Sequence[tuple[str, str]],
) -> Overview:
    """The first view of a set, whose samples are in a table; `pages` are facts about the report itself."""
    config, (verified, quality, with_model) = reader.config, checked
    names = Counter(table.subset.tolist())
    n_annotated = int(np.isfinite(table.nme).sum())
    facts = [
        ("samples", f"{len(table.names):,}"),
        ("skipped", f"{len(index.skipped):,}"),
        ("annotated", f"{n_annotated:,}"),
        ("shards", f"{sum(entry.samples > 0 for entry in index.shards):,}"),
        ("size", shown_size(sum(entry.size_bytes for entry in index.shards))),
        *pages,
    ]
    if n_annotated:
        facts.insert(3, ("label NME, median", f"{np.nanmedian(table.nme):.2%}"))
        facts.insert(4, ("95% of them below", f"{np.nanpercentile(table.nme, 95):.2%}"))
    histograms, same = _histograms(table, heights_px)
    facts += same
    flags = ((name, text, int((table.flags & BIT[name] > 0).sum())) for name, text in FLAGS.items())
    return Overview(
        title=printable(reader.folder.resolve().name),
        identity=identity_of(index),
        facts=tuple(facts),
        configuration=tuple((key, _shown(value)) for key, value in config.build.to_plain().items()),
        provenance=_provenance(index, config),
        details=_details(index, config),
        subsets=tuple((table.subsets[k] or "(no folder)", n) for k, n in sorted(names.items())),
        flags=tuple(flag for flag in flags if flag[2]),
        suspect=_SUSPECT,
        reasons=tuple(by_reason([brief(skip.reason) for skip in index.skipped]).items()),
        skipped=tuple((brief(skip.name), skip.reason) for skip in index.skipped[:_MOST_SKIPPED]),
        n_skipped=len(index.skipped),
        verdict=_verdict(verified, with_model=with_model),
        problems=() if verified is None else verified.problems,
        warnings=() if quality is None else quality.warnings,
        histograms=histograms,
    )


def identity_of(index: Index) -> str:
    """A data set's: the same for the same shards, wherever they are."""
    lines = "\n".join(f"{entry.file} {entry.sha256}" for entry in sorted(index.shards, key=lambda entry: entry.file))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _verdict(verified: VerifyResult | None, *, with_model: bool) -> str:
    if verified is None:
        return "Not verified: this report was made without. `uvgen verify` checks hashes, shapes and values."
    checked = "hashes, shapes and values of all shards"
    if not with_model:
        labels = "; not whether labels agree with their parameters (`uvgen report --model`)"
    else:
        labels = ", and that labels agree with their parameters"
    if verified.problems:
        n = len(verified.problems)
        return f"{count(n, 'problem')} found. Checked: {checked}{labels}."
    return f"Sound. Checked: {checked}{labels}."


def _provenance(index: Index, config: DatasetConfig) -> tuple[tuple[str, str], ...]:
    found = [("made by", f"uvgen {index.uvgen}"), ("format version", str(VERSION)), ("model", config.model)]
    if config.copied is not None:
        found += [(_in_words(key), _shown(value)) for key, value in config.copied.to_plain().items()]
    return tuple(found)


def _details(index: Index, config: DatasetConfig) -> tuple[tuple[str, str], ...]:
    return (
        ("SHA-256 of the model", config.model_sha256),
        ("SHA-256 of the weight mask", config.weight_mask_sha256),
        *((_in_words(key), _shown(_counted(key, value))) for key, value in index.plan.items() if key not in _UNSHOWN),
        ("marks in the browser are kept under", identity_of(index)),
    )


def _in_words(key: str) -> str:
    return _PLAIN.get(key, key.replace("_", " "))


def _counted(key: str, value: Any) -> Any:
    """How many names there are, in place of a list that may be of thousands."""
    return len(value) if key == REPEATED and isinstance(value, list) else value


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    return "none" if value is None else ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _histograms(
    table: SampleTable, heights_px: NDArray[np.integer[Any]]
) -> tuple[tuple[Mapping[str, Any], ...], list[tuple[str, str]]]:
    """Histograms of what varies, and facts about what does not."""
    columns: list[tuple[str, str, str, NDArray[Any], float, float | None, int]] = [
        *(
            (name, column, "%", 100 * nme.astype(np.float64), 0.1, 0.0, 2)
            for name, column, nme in (
                ("Prediction NME", "prediction", table.prediction_nme),
                ("Label NME", "nme", table.nme),
            )
            if nme is not None
        ),
        *(
            (name, name.lower(), "°", table.angles_deg[:, k], 1.0, None, 1)
            for k, name in ((1, "Yaw"), (0, "Pitch"), (2, "Roll"))
        ),
        ("Height of the images", "height", "px", heights_px, 10.0, None, 0),
        ("Face in its image, longer side", "face", "px", table.face_px, 5.0, 0.0, 0),
        ("Crop pixels per image pixel", "magnification", "", table.magnification, 0.01, 0.0, 2),
    ]
    histograms, same = [], []
    for title, column, unit, values, least, low, digits in columns:
        known = np.asarray(values, np.float64)
        known = known[np.isfinite(known)]
        if not len(known):
            continue
        if len(known) > 1 and known.min() == known.max():
            text = f"{known[0]:.{digits}f}{' ' * (len(unit) > 1)}{unit}"
            same.append((f"{title[0].lower()}{title[1:]}, all", text))
        else:
            histograms.append(_histogram(title, column, unit, known, least, low, digits))
    return tuple(histograms), same


def _histogram(
    title: str, column: str, unit: str, values: NDArray[np.float64], least: float, low: float | None, digits: int
) -> Mapping[str, Any]:
    """Counts of finite values in 36 to 110 bins of a round width, and of what lies beyond them.

    `column` is the column of the gallery that a bar filters by; `least` the smallest width; bins begin at `low`, or
    near the smallest value; `digits` is how many decimals its median and ends are given with. The bins reach as far
    beyond the middle 90 % of the values as these are wide: a few outliers leave the others room.
    """
    near, far = np.percentile(values, [5, 95])
    if near == far:
        near, far = values.min(), values.max()
    bottom = max(values.min(), near - (far - near)) if low is None else low
    top = min(values.max(), far + (far - near))
    width = round_step(max((top - bottom) / 36, least))
    first = np.floor(bottom / width)
    n = max(1, int(np.floor(top / width) - first) + 1)
    edges = [float(f"{(first + k) * width:.12g}") for k in range(n + 1)]  # which pages compare values with
    under, *counts, over = np.bincount(np.searchsorted(edges, values, side="right"), minlength=n + 2).tolist()
    return {
        "title": f"{title} ({unit})" if unit else title,
        "column": column,
        "unit": unit,
        "edges": edges,
        "counts": counts,
        "under": under,
        "over": over,
        "low": round(float(values.min()), digits) + 0.0,  # no minus zero
        "high": round(float(values.max()), digits) + 0.0,
        "median": round(float(np.median(values)), digits) + 0.0,
        "digits": digits,
    }
