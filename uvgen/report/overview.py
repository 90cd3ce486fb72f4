"""What a data set is and holds: the first view of a report."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.config import DatasetConfig
from uvgen.datasets.quality import LabelQuality
from uvgen.datasets.verify import VerifyResult
from uvgen.models.morphable import MorphableModel
from uvgen.report.table import BIT, FLAGS, SampleTable
from uvgen.shards.format import VERSION
from uvgen.shards.index import Index
from uvgen.storage.names import brief

_MOST_SKIPPED = 1000  # rows of a table that people read


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """What the first view says.

    Attributes
    ----------
    title : str
        Name of the set's folder.
    identity : str
        16 hexadecimal digits of a hash of its shards: marks of another set are kept apart.
    facts, configuration, provenance : tuple of (str, str)
        A heading and what stands beside it.
    subsets, flags : tuple of (str, int)
        With their numbers of samples.
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
    subsets: tuple[tuple[str, int], ...]
    flags: tuple[tuple[str, int], ...]
    reasons: tuple[tuple[str, int], ...]
    skipped: tuple[tuple[str, str], ...]
    n_skipped: int
    verdict: str
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    histograms: tuple[Mapping[str, Any], ...]


def describe(
    title: str,
    index: Index,
    config: DatasetConfig,
    table: SampleTable,
    heights_px: NDArray[np.integer[Any]],
    verified: VerifyResult | None,
    quality: LabelQuality | None,
    model: MorphableModel | None,
    n_pictured: int,
    n_pages: int,
) -> Overview:
    """The first view of a set; `verified` is None where that was not asked for, and `quality` is the labels'."""
    names = Counter(table.subset.tolist())
    reasons = Counter(_kind(skip.reason, skip.name) for skip in index.skipped)
    n_annotated = int(np.isfinite(table.nme).sum())
    facts = [
        ("samples", f"{len(table.names):,}"),
        ("skipped", f"{len(index.skipped):,}"),
        ("annotated", f"{n_annotated:,}"),
        ("shards", f"{sum(entry.samples > 0 for entry in index.shards):,}"),
        ("size", f"{sum(entry.size_bytes for entry in index.shards) / 1e6:,.1f} MB"),
        ("thumbnails here", f"{n_pictured:,}"),
        ("pages here", f"{n_pages:,}"),
    ]
    if n_annotated:
        facts.insert(3, ("label NME, median", f"{np.nanmedian(table.nme):.2%}"))
        facts.insert(4, ("95 % of them below", f"{np.nanpercentile(table.nme, 95):.2%}"))
    flags = ((text, int((table.flags & BIT[name] > 0).sum())) for name, text in FLAGS.items())
    return Overview(
        title=title,
        identity=identity_of(index),
        facts=tuple(facts),
        configuration=tuple((key, _shown(value)) for key, value in config.build.to_plain().items()),
        provenance=_provenance(index, config),
        subsets=tuple((table.subsets[k] or "(no folder)", n) for k, n in sorted(names.items())),
        flags=tuple((text, n) for text, n in flags if n),
        reasons=tuple(reasons.most_common()),
        skipped=tuple((brief(skip.name), skip.reason) for skip in index.skipped[:_MOST_SKIPPED]),
        n_skipped=len(index.skipped),
        verdict=_verdict(verified, model),
        problems=() if verified is None else verified.problems,
        warnings=() if quality is None else quality.warnings,
        histograms=_histograms(table, heights_px),
    )


def identity_of(index: Index) -> str:
    """A data set's: the same for the same shards, wherever they are."""
    lines = "\n".join(f"{entry.file} {entry.sha256}" for entry in sorted(index.shards, key=lambda entry: entry.file))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _verdict(verified: VerifyResult | None, model: MorphableModel | None) -> str:
    if verified is None:
        return "Not verified: this report was made without. `uvgen verify` checks hashes, shapes and values."
    checked = "hashes, shapes and values of all shards"
    if model is None:
        labels = "; not whether labels are those of their parameters, which takes the model"
    else:
        labels = ", and that labels are those of their parameters"
    if verified.problems:
        n = len(verified.problems)
        return f"{n} problem{'s' * (n != 1)} found. Checked: {checked}{labels}."
    return f"Sound. Checked: {checked}{labels}."


def _provenance(index: Index, config: DatasetConfig) -> tuple[tuple[str, str], ...]:
    found = [
        ("made by", f"uvgen {index.uvgen}"),
        ("format version", str(VERSION)),
        ("model", config.model),
        ("model, SHA-256", config.model_sha256),
        ("weight mask, SHA-256", config.weight_mask_sha256),
        *((f"plan: {key}", _shown(value)) for key, value in index.plan.items()),
    ]
    if config.copied is not None:
        found += [(key, _shown(value)) for key, value in config.copied.to_plain().items()]
    return (*found, ("identity of the shards", identity_of(index)))


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    return "none" if value is None else ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _kind(reason: str, name: str) -> str:
    """A reason without the file that it names, so that the same ones count together."""
    text = brief(reason)
    head, separator, tail = text.partition(": ")
    return tail if separator and (name.rpartition("/")[2] in head or "/" in head) else text


def _histograms(table: SampleTable, heights_px: NDArray[np.integer[Any]]) -> tuple[Mapping[str, Any], ...]:
    found = []
    if np.isfinite(table.nme).any():
        found.append(_histogram("Label NME", "nme", "%", 100 * table.nme[np.isfinite(table.nme)], 0.1, 0.0, 2))
    for k, name in ((1, "Yaw"), (0, "Pitch"), (2, "Roll")):
        found.append(_histogram(name, name.lower(), "°", table.angles_deg[:, k], 1.0, None, 1))
    found.append(_histogram("Height of the images", "", "px", heights_px, 10.0, None, 0))
    found.append(_histogram("Face in its image, longer side", "", "px", table.face_px, 5.0, 0.0, 0))
    found.append(_histogram("Crop pixels per image pixel", "", "", table.magnification, 0.01, 0.0, 2))
    return tuple(found)


def _histogram(
    title: str, column: str, unit: str, values: NDArray[Any], least: float, low: float | None, digits: int
) -> Mapping[str, Any]:
    """Counts in some 36 bins of a round width; what lies beyond the 99.9th percentile counts in the last.

    `column` is the column of the gallery that a bar filters by, "" for none; `least` the smallest width; bins begin
    at `low`, or at the smallest value; `digits` is how many decimals its median and ends are given with.
    """
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)
    top = float(np.percentile(values, 99.9)) if len(values) > 1000 else float(values.max())
    bottom = float(values.min()) if low is None else low
    width = _round_width(max((top - bottom) / 36, least))
    first = np.floor(bottom / width)
    n = max(1, min(200, int(np.floor(top / width) - first) + 1))
    bins = np.clip(np.floor(values / width) - first, 0, n - 1).astype(int)
    return {
        "title": title,
        "column": column,
        "unit": unit,
        "first": round(float(first * width), 9),
        "width": round(width, 9),
        "counts": np.bincount(bins, minlength=n).tolist(),
        "low": round(float(values.min()), digits) + 0.0,  # no minus zero
        "high": round(float(values.max()), digits) + 0.0,
        "median": round(float(np.median(values)), digits) + 0.0,
    }


def _round_width(width: float) -> float:
    """1, 2 or 5 times a power of ten, not less than this."""
    power = 10.0 ** np.floor(np.log10(width))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= width * (1 - 1e-9)))
