"""A data set's index as the record of its finished shards: what build and augment have in common."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from uvgen._version import __version__
from uvgen.datasets.config import DatasetConfig
from uvgen.datasets.quality import LabelQuality, label_quality
from uvgen.errors import DatasetError, SettingsError
from uvgen.jobs.run import Job, check_same, run
from uvgen.maps.mirror import TexelMirror
from uvgen.models.morphable import MorphableModel
from uvgen.shards.constants import write_constants
from uvgen.shards.format import is_shard
from uvgen.shards.index import DATASET_INDEX, Index, ShardEntry, SkippedSample
from uvgen.shards.reader import ShardReader


class ShardUnit(Protocol):
    """A shard to make."""

    @property
    def file(self) -> str:
        """Its name in the folder."""


Unit = TypeVar("Unit", bound=ShardUnit)


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What came of a shard: its entry in the index, the samples left out, and what was noticed of others.

    `remarks` are pairs of what it is ("exif" for an orientation, else landmarks that cannot be used) and the sample.
    """

    entry: ShardEntry
    skipped: tuple[SkippedSample, ...]
    remarks: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What `uvgen.build_shards` or `uvgen.augment_shards` did, and what the folder now holds.

    Attributes
    ----------
    samples, new_samples : int
        In the whole data set, and made by this run.
    skipped : tuple of SkippedSample
        Samples of the whole set that were left out, each with the reason.
    files : tuple of Path
        The shards, in the order of their names.
    size_bytes : int
        Of all of them.
    seconds : float
        What this run took.
    mirror : TexelMirror or None
        The model's, where samples were flipped. Their maps are exact but at its `mirror.n_unpaired` texels.
    quality : LabelQuality or None
        How far the labels of the whole set are from the annotations, where there are some.
    warnings : tuple of str
        What is probably wrong, besides what `quality` says; to be shown to people.
    """

    samples: int
    new_samples: int
    skipped: tuple[SkippedSample, ...]
    files: tuple[Path, ...]
    size_bytes: int
    seconds: float
    mirror: TexelMirror | None = None
    quality: LabelQuality | None = None
    warnings: tuple[str, ...] = ()


def make_shards(
    job: Job[Unit, ShardResult],
    units: Sequence[Unit],
    out: Path,
    config: DatasetConfig,
    plan: Mapping[str, Any],
    constants: Mapping[str, NDArray[Any]],
    *,
    mirror: TexelMirror | None,
    model: MorphableModel | None = None,
    warnings: Sequence[str] = (),
    workers: int,
    overwrite: bool,
    progress: Callable[[ShardResult], object] | None,
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
    config, plan : DatasetConfig, mapping
        What the index states; a set that was begun with others is refused.
    constants : mapping of str to ndarray
        Arrays that are the same for all samples.
    mirror : TexelMirror or None
        For the result.
    model : MorphableModel, optional
        The set's, to find out why labels are far from the annotations.
    warnings : sequence of str
        For the result.
    workers, overwrite, progress
        See `uvgen.build_shards`.

    Returns
    -------
    BuildResult

    Raises
    ------
    DatasetError
        Where the folder cannot be written or holds a data set made with other settings, or no sample could be used.
    """
    started = time.perf_counter()
    record = _ShardRecord(out, Index(__version__, config.to_plain(), dict(plan)), constants, overwrite=overwrite)
    run(job, units, record, out, workers=workers, progress=progress)
    index = record.index
    if not index.n_samples:
        first = min(index.skipped, key=lambda skip: skip.name)
        raise DatasetError(
            f"{out}: none of {len(index.skipped)} samples can be used; the first, {first.name}: {first.reason}"
        )
    quality = label_quality(ShardReader(out, index, config), model)
    warnings = [*warnings, *_noticed(record.remarks, config.build.exif)]
    files = tuple(out / entry.file for entry in sorted(index.shards, key=lambda entry: entry.file) if entry.samples)
    size_bytes = sum(entry.size_bytes for entry in index.shards)
    seconds = time.perf_counter() - started
    skipped = tuple(index.skipped)
    return BuildResult(
        index.n_samples, record.new_samples, skipped, files, size_bytes, seconds, mirror, quality, tuple(warnings)
    )


def _noticed(remarks: Sequence[tuple[str, str]], exif: str) -> list[str]:
    """A sentence for each kind of remark."""
    names: dict[str, list[str]] = {}
    for kind, name in remarks:
        names.setdefault(kind, []).append(name)
    done = "turned upright by it" if exif == "apply" else "taken as stored (--exif apply turns them, as OpenCV does)"
    found = []
    for kind, of in sorted(names.items()):
        if kind == "exif":
            images = "1 image has" if len(of) == 1 else f"{len(of)} images have"
            found.append(f"{images} an EXIF orientation and were {done}, first {min(of)}")
        else:
            files = "1 file holds" if len(of) == 1 else f"{len(of)} files hold"
            found.append(f"{files} {kind}, which cannot be used as landmarks and counts as none, first {min(of)}")
    return found


_HASHES = {
    "model_sha256": "another model", "weight_mask_sha256": "another weight mask", "augmented_from": "other shards",
    "names_sha256": "another list of samples",
}  # fmt: skip


class _ShardRecord:
    """`dataset.json` while its shards are made.

    Attributes
    ----------
    index : Index
        What the folder holds; entries are added as shards are finished.
    new_samples : int
        Samples that were added.
    remarks : list of (str, str)
        What was noticed of samples of this run, see `ShardResult`.
    """

    def __init__(self, folder: Path, fresh: Index, constants: Mapping[str, NDArray[Any]], *, overwrite: bool) -> None:
        self.index, self.new_samples, self.remarks = fresh, 0, list[tuple[str, str]]()
        self._constants = constants
        self._folder, self._overwrite = folder, overwrite
        self._finished: set[str] = set()

    def resume(self) -> None:
        """Keep the shards that the index lists and that are whole; with `overwrite`, delete them instead."""
        folder = self._folder
        if self._overwrite:
            (folder / DATASET_INDEX).unlink(missing_ok=True)
            for path in folder.glob("[!.]*-[0-9][0-9][0-9][0-9][0-9].h5"):
                if is_shard(path):
                    path.unlink()
        if (folder / DATASET_INDEX).exists():
            try:
                index = Index.read(folder)
            except DatasetError as error:
                raise SettingsError(f"{error}; choose another output folder, or overwrite this one") from error
            self._take_over(index)
        self.index.constants_sha256 = write_constants(folder, self._constants)

    def _take_over(self, index: Index) -> None:
        folder = self._folder
        check_same(folder, _settings(index), _settings(self.index), _HASHES)
        index.shards = [e for e in index.shards if e.sha256 is None or _size(folder / e.file) == e.size_bytes]
        self._finished = {entry.file for entry in index.shards}
        index.skipped = [skip for skip in index.skipped if skip.shard in self._finished]
        self.index = index

    def is_finished(self, unit: ShardUnit) -> bool:
        """Whether the index lists the shard, and its file has the size that it had."""
        return unit.file in self._finished

    def add(self, result: ShardResult) -> None:
        """List a shard and the samples that it lacks."""
        self.index.shards.append(result.entry)
        self.index.skipped.extend(result.skipped)
        self.index.write(self._folder)
        self.new_samples += result.entry.samples
        self.remarks += result.remarks

    def finish(self) -> None:
        """Write the index, also where there was nothing to do."""
        self.index.write(self._folder)


def _settings(index: Index) -> dict[str, Any]:
    """What a data set was made with, an augmentation's options side by side with the others."""
    config = {key: value for key, value in index.config.items() if key != "augmentation"}
    ranges = index.config.get("augmentation") or {}
    options = {f"augmentation {key}": value for key, value in ranges.items()}
    return {"uvgen": index.uvgen, **config, **options, **index.plan}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1
