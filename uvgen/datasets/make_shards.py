"""Making the shards of a data set that are not there yet, of whatever kind, and saying what was done."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from uvgen._version import __version__
from uvgen.datasets.config import DatasetConfig
from uvgen.datasets.open import reader_of
from uvgen.datasets.quality.summary import LabelQuality, label_quality
from uvgen.datasets.record import ShardRecord, ShardResult, ShardUnit
from uvgen.datasets.split_files import about_unsplit
from uvgen.described import described
from uvgen.errors import DatasetError, OutputError
from uvgen.jobs.options import RunOptions
from uvgen.jobs.run import Job, run_job
from uvgen.maps.mirror import TexelMirror
from uvgen.models.doubts import model_warnings
from uvgen.models.morphable import MorphableModel
from uvgen.progress import begin
from uvgen.shards.index import Index, SkippedSample
from uvgen.shards.stored import is_at_hand
from uvgen.storage.files import folds_case
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.names import brief, same_name
from uvgen.storage.urls import shown_path, url_of
from uvgen.wording import count, have, none_can_be, typed

Unit = TypeVar("Unit", bound=ShardUnit)


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The result of a function that makes shards, such as `uvgen.build_shards`: what the run did, and what the folder
    now contains.

    Attributes
    ----------
    samples, new_samples : int
        Number of samples in the whole data set, and of those that this run made.
    skipped : tuple of SkippedSample
        Samples of the whole set that were left out, each with the reason.
    files : tuple of Path
        The shards, in the order of their names; URLs as text if they are in an object store.
    size_bytes : int
        Size of all of them.
    seconds : float
        How long this run took.
    mirror : TexelMirror or None
        The model's, if samples were flipped. Their maps are exact except at its `mirror.n_unpaired` texels.
    quality : LabelQuality or None
        How far the labels of the whole set are from the annotations, if there are some.
    warnings : tuple of str
        Probable problems, besides those that `quality` states, one line each.
    """

    samples: int
    new_samples: int
    skipped: tuple[SkippedSample, ...]
    files: tuple[Path | str, ...]
    size_bytes: int
    seconds: float
    mirror: TexelMirror | None = None
    quality: LabelQuality | None = None
    warnings: tuple[str, ...] = ()

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The result as commands print it with ``--json``."""
        warnings = [*self.warnings, *(self.quality.warnings if self.quality else ())]
        return {
            "samples": self.samples,
            "new_samples": self.new_samples,
            "skipped": [{"name": s.name, "shard": s.shard, "reason": s.reason} for s in self.skipped],
            "files": [str(path) for path in self.files],
            "size_bytes": self.size_bytes,
            "seconds": self.seconds,
            "label_nme": None if self.quality is None else self.quality.to_plain(),
            "warnings": warnings,
        }


@dataclass(frozen=True, slots=True, eq=False)
class NewSet:
    """What a data set states beside its shards, and what is known about it.

    Attributes
    ----------
    config, plan : DatasetConfig, mapping
        What the index states; a set that was begun with others is refused.
    constants : mapping of str to ndarray
        Arrays that are the same for all samples.
    mirror : TexelMirror or None
        For the result.
    model : MorphableModel or None
        The set's, to find out why labels are far from the annotations; what makes them wrong is in the result's
        warnings.
    warnings : sequence of str
        For the result.
    """

    config: DatasetConfig
    plan: Mapping[str, Any]
    constants: Mapping[str, NDArray[Any]]
    mirror: TexelMirror | None = None
    model: MorphableModel | None = None
    warnings: Sequence[str] = ()


def make_shards(
    job: Job[Unit, ShardResult],
    units: Sequence[Unit],
    out: Path,
    made: NewSet,
    run: RunOptions,
    *,
    state: Callable[[Unit, str], str | None] | None = None,
    overwrite: bool,
    progress: Callable[[ShardResult], object] | None,
    doing: str = "building",
) -> BuildResult:
    """Make the shards of a data set that are not there yet, and list each in `dataset.json` as it is finished.

    Parameters
    ----------
    job : Job
        Makes a shard of a unit.
    units : sequence
        All shards of the set, each with its file name.
    out : Path
        The data set's folder.
    made : NewSet
        What the set states beside its shards.
    run : RunOptions
        On how many processes, and what happens if one dies or takes too long.
    state : callable, optional
        What the files of a skipped sample of a unit hold, by name: a shard is made anew if that has changed.
    overwrite, progress
        See `uvgen.build_shards`.
    doing : str
        What it is called where progress is shown.

    Returns
    -------
    BuildResult

    Raises
    ------
    DatasetError
        If the folder cannot be written or holds a data set made with other settings, or no sample could be used.
    """
    started = time.perf_counter()
    _check_files(out, units)
    config, model, warnings = made.config, made.model, made.warnings
    begun = Index(__version__, config.to_plain(), dict(made.plan))
    record = ShardRecord(out, begun, made.constants, units, state, overwrite=overwrite)
    run_job(job, units, record, out, run, progress=progress, doing=doing, count=lambda unit: unit.n_samples)
    index = record.index
    if not index.n_samples and not index.skipped:
        raise DatasetError(f"{out}: no samples for it, expected one or more")
    if not index.n_samples:
        first = min(index.skipped, key=lambda skip: skip.name)
        none = none_can_be("used", len(index.skipped), "sample", first.reason, first.name)
        raise DatasetError(f"{out}: {none}")
    begin("comparing labels with annotations")
    quality = None
    if all(is_at_hand(out, entry) for entry in index.shards):
        quality = label_quality(reader_of(out, index, config), model)
    else:
        warnings = [
            *warnings,
            f"labels were not compared with annotations: `uvgen info {typed(shown_path(out))}` fetches the shards",
        ]
    if model is not None:
        warnings = [*warnings, *model_warnings(model)]
    warnings = [*warnings, *_noticed(record.remarks, config.build.exif)]
    if record.left:
        warnings = [*warnings, _about_left(record.left)]
    if record.new_samples and url_of(out) is None:
        names = [name for entry in index.shards for name in entry.sample_names or ()]
        warnings = [*warnings, *about_unsplit(out, names)]
    paths = [out / entry.file for entry in sorted(index.shards, key=lambda entry: entry.file) if entry.samples]
    files = tuple(path if url_of(out) is None else shown_path(path) for path in paths)
    size_bytes = sum(entry.size_bytes for entry in index.shards)
    seconds = time.perf_counter() - started
    skipped = tuple(index.skipped)
    return BuildResult(
        index.n_samples, record.new_samples, skipped, files, size_bytes, seconds, made.mirror, quality, tuple(warnings)
    )


def _check_files(out: Path, units: Sequence[ShardUnit]) -> None:
    """Raise OutputError if two shards would be one file: of subsets that only differ in case or in composed accents, or
    of one that is called as the shards of another are."""
    file, n = Counter(unit.file for unit in units).most_common(1)[0] if units else ("", 0)
    if n > 1:
        raise OutputError(
            f"{out}: {brief(file)} would be a shard of two folders of samples; give one of them another name"
        )
    if url_of(out) is not None:
        return
    alike: dict[str, str] = {}
    pairs = ((alike.setdefault(same_name(unit.file).casefold(), unit.file), unit.file) for unit in units)
    if (two := next((pair for pair in pairs if pair[0] != pair[1]), None)) and folds_case(out):
        raise OutputError(
            f"{out}: {brief(two[0])} and {brief(two[1])} would be one file, as its disk does not tell capitals from "
            "small letters; give one folder of samples another name, or choose a folder on another disk"
        )


def _about_left(left: Sequence[Path]) -> str:
    what = "a shard" if len(left) == 1 else f"the first of {count(len(left), 'shard')}"
    return (
        f"{shown_path(left[0])}: {what} of an earlier run, named as the samples' folder was then; {DATASET_INDEX} does "
        "not list it; delete it, or move it away if it is yours"
    )


def _noticed(remarks: Sequence[tuple[str, str]], exif: str) -> list[str]:
    """A sentence for each kind of remark."""
    names: dict[str, list[str]] = {}
    for kind, name in remarks:
        names.setdefault(kind, []).append(name)
    done = "turned upright by it" if exif == "apply" else 'taken as stored (exif "apply" turns them, as OpenCV does)'
    found = []
    for kind, of in sorted(names.items()):
        if kind == "exif":
            images, were = f"{count(len(of), 'image')} {have(len(of))}", "was" if len(of) == 1 else "were"
            found.append(f"{images} an EXIF orientation and {were} {done}, first {min(of)}")
        else:
            files = f"{count(len(of), 'file')} {'holds' if len(of) == 1 else 'hold'}"
            found.append(f"{files} {kind}, which cannot be used as landmarks and counts as none, first {min(of)}")
    return found
