"""A data set's index as the record of its finished shards: what build and augment have in common."""

import dataclasses
import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from uvgen._version import __version__
from uvgen.datasets.config import UNSTATED, BuildConfig, DatasetConfig
from uvgen.datasets.open import reader_of
from uvgen.datasets.quality import LabelQuality, label_quality
from uvgen.errors import DatasetError, OutputError, SettingsError
from uvgen.jobs.run import Job, check_same, run
from uvgen.maps.mirror import TexelMirror
from uvgen.models.morphable import MorphableModel
from uvgen.progress import begin
from uvgen.shards.constants import CONSTANTS, constants_bytes, write_constants
from uvgen.shards.format import is_shard
from uvgen.shards.index import Index, ShardEntry, SkippedSample, known, plain
from uvgen.shards.stored import fetch_index, is_at_hand
from uvgen.storage.files import TEMPORARY_PREFIX, check_folder
from uvgen.storage.folders import DATASET_INDEX, EXPORT, FIT_INDEX, REPORT, SYNTH_INDEX, folder_kind
from uvgen.storage.isolated import reading_in_child
from uvgen.storage.journal import Journal
from uvgen.storage.object_cache import draft
from uvgen.storage.objects import TRIES, MissingError, fetch, listed, local_path, remove, said, upload, url_of


class ShardUnit(Protocol):
    """A shard to make."""

    @property
    def file(self) -> str:
        """Its name in the folder."""

    @property
    def n_samples(self) -> int:
        """How many it has, skipped ones included."""


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
        The shards, in the order of their names; URLs as text where they are in an object store.
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
    files: tuple[Path | str, ...]
    size_bytes: int
    seconds: float
    mirror: TexelMirror | None = None
    quality: LabelQuality | None = None
    warnings: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """As commands print it with ``--json``."""
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
    state: Callable[[Unit, str], str | None] | None = None,
    workers: int,
    retries: int,
    timeout: float | None,
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
    state : callable, optional
        What the files of a skipped sample of a unit hold, by name: a shard is made anew where that has changed.
    workers, retries, timeout, overwrite, progress
        See `uvgen.build_shards`.
    doing : str
        What it is called where progress is shown.

    Returns
    -------
    BuildResult

    Raises
    ------
    DatasetError
        Where the folder cannot be written or holds a data set made with other settings, or no sample could be used.
    """
    started = time.perf_counter()
    record = _ShardRecord(
        out, Index(__version__, config.to_plain(), dict(plan)), constants, units, state, overwrite=overwrite
    )
    how: dict[str, Any] = {"workers": workers, "retries": retries, "timeout": timeout, "progress": progress}
    run(job, units, record, out, **how, doing=doing, count=lambda unit: unit.n_samples)
    index = record.index
    if not index.n_samples and not index.skipped:
        raise DatasetError(f"{out}: no samples to make it of, expected one or more")
    if not index.n_samples:
        first = min(index.skipped, key=lambda skip: skip.name)
        raise DatasetError(
            f"{out}: none of {len(index.skipped)} samples can be used; the first, {first.name}: {first.reason}"
        )
    begin("comparing labels with annotations")
    quality = None
    if all(is_at_hand(out, entry) for entry in index.shards):
        quality = label_quality(reader_of(out, index, config), model)
    else:
        warnings = [
            *warnings,
            f"labels were not compared with annotations: `uvgen info {said(out)}` fetches the shards",
        ]
    warnings = [*warnings, *_noticed(record.remarks, config.build.exif)]
    paths = [out / entry.file for entry in sorted(index.shards, key=lambda entry: entry.file) if entry.samples]
    files = tuple(path if url_of(out) is None else said(path) for path in paths)
    size_bytes = sum(entry.size_bytes for entry in index.shards)
    seconds = time.perf_counter() - started
    skipped = tuple(index.skipped)
    return BuildResult(
        index.n_samples, record.new_samples, skipped, files, size_bytes, seconds, mirror, quality, tuple(warnings)
    )


def check_output(out: Path, *, overwrite: bool = False) -> None:
    """Raise OutputError, before any work, where a folder cannot take shards: it cannot be written or holds no data set.

    A set that is there may be finished, and on a disk that is only read: nothing is written then.
    """
    if url_of(out):
        _check_store(out)
        if not overwrite and (out / DATASET_INDEX).exists():
            _read(out)
    elif not (out / DATASET_INDEX).exists():
        check_folder(out)
        if (out / SYNTH_INDEX).exists():
            raise OutputError(f"{out}: holds samples that uvgen synth made, expected another folder; choose another")
        if (out / FIT_INDEX).exists():
            raise OutputError(f"{out}: holds samples that uvgen fit made, expected another folder; choose another")
        if out.is_dir() and (kind := folder_kind(out)) in (EXPORT, REPORT):
            raise OutputError(f"{out}: is {kind}, expected another folder; choose another")
        _check_foreign(out, overwrite=overwrite)
    elif not overwrite:
        _read(out)


def output_folder(out: str | os.PathLike[str]) -> Path:
    """The absolute path of a folder to write into, as workers may have another working folder; of a URL, its mirror."""
    return Path(os.path.abspath(local_path(out)))


def _check_store(out: Path) -> None:
    """Bring the mirror's index up to that of the store; OutputError where something else than a set is there."""
    try:
        fetch_index(out)
    except MissingError:
        (out / DATASET_INDEX).unlink(missing_ok=True)
        for name in sorted(listed(out)):
            if name == CONSTANTS or _SHARD.fullmatch(name):
                raise OutputError(
                    f"{out / name}: is there, and no {DATASET_INDEX} that lists it; choose another place, or delete "
                    "what is left of a data set there"
                ) from None


def _check_foreign(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError where a folder without an index holds files of the names that a data set has."""
    named = [out / CONSTANTS, *_named_like_shards(out)] if out.is_dir() else []
    with reading_in_child(overwrite):  # files of anybody's
        for path in sorted(named):
            if os.path.lexists(path) and not (overwrite and (path.name == CONSTANTS or is_shard(path))):
                more = "" if overwrite else ", or overwrite what is left of a data set"
                raise OutputError(
                    f"{path}: is there, and no {DATASET_INDEX} that lists it; choose another folder{more}"
                )


def _named_like_shards(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if _SHARD.fullmatch(path.name)]


def _read(folder: Path) -> Index:
    try:
        return Index.read(folder)
    except DatasetError as error:
        raise SettingsError(f"{error}; choose another output folder, or overwrite this one") from error


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


_JOURNAL = f"{TEMPORARY_PREFIX}journal"
_SHARD = re.compile(r"(?!\.).*-\d{5,}\.h5", re.DOTALL)
_SECONDS_BETWEEN_WRITES = 10.0

_HASHES = {
    "model_sha256": "another model", "weight_mask_sha256": "another weight mask", "augmented_from": "other shards",
    "merged_from": "other shards",
    "names_sha256": "other samples of the same number: another list, exclusions or subsets, or other files",
    "samples": "{old} samples, now they are {new}: another list, exclusions, limit or subsets, or other files",
}  # fmt: skip


class _ShardRecord:
    """`dataset.json` and its journal while shards are made.

    Each finished shard is a line in the journal, a hidden file, which costs the same for the last shard as for the
    first. `dataset.json` itself, from which the set is read meanwhile, is written after the first, second, fourth,
    eighth ... shard of a run and every few seconds, and in the end, when the journal is removed.

    Attributes
    ----------
    index : Index
        What the folder holds; entries are added as shards are finished.
    new_samples : int
        Samples that were added.
    remarks : list of (str, str)
        What was noticed of samples of this run, see `ShardResult`.
    """

    def __init__(
        self, folder: Path, fresh: Index, constants: Mapping[str, NDArray[Any]], units: Sequence[Any],
        state: Callable[[Any, str], str | None] | None, *, overwrite: bool,
    ) -> None:  # fmt: skip
        self.index, self.new_samples, self.remarks = fresh, 0, list[tuple[str, str]]()
        self._constants, self._units, self._state = constants, units, state
        self._folder, self._overwrite = folder, overwrite
        self._journal = Journal(folder / _JOURNAL, [fresh.uvgen, fresh.config, fresh.plan])
        self._finished, self._listed = set[str](), set[str]()
        self._outdated = list[str]()
        self._added, self._written_at, self._write_seconds = 0, time.monotonic(), 0.0
        self._sizes: dict[str, int] | None = None  # of what a store holds
        self._published: bytes | None = None  # the index that it holds

    def resume(self) -> None:
        """Keep the shards that are listed and whole; with `overwrite`, delete them instead."""
        folder, old = self._folder, list[str]()
        if url_of(folder) is not None:
            self._sizes = listed(folder)
            self._published = _bytes_of(folder / DATASET_INDEX)
            old = _listed_shards(folder) if self._overwrite else []
        if self._overwrite:
            self._journal.remove()
            with reading_in_child(True):
                for path in [path for path in _named_like_shards(folder) if is_shard(path)]:
                    path.unlink()
            (folder / CONSTANTS).unlink(missing_ok=True)
            (folder / DATASET_INDEX).unlink(missing_ok=True)  # last: without it, the others would be somebody else's
        if (folder / DATASET_INDEX).exists():
            index = _read(folder)
            check_same(folder, _settings(index), _settings(self.index), _HASHES)
            self._take_over(index)
        self._check_places()
        data = constants_bytes(self._constants)
        self.index.constants_sha256 = hashlib.sha256(data).hexdigest()
        self._publish()  # first: files without an index that lists them are taken for somebody else's
        write_constants(folder, data)
        if self._sizes is not None:
            remove(folder / name for name in old if name in self._sizes)  # now that no index lists them
            upload(folder / CONSTANTS)
        self._journal.remove()  # what it says is in the index now

    def _check_places(self) -> None:
        """Raise OutputError where something that no run made is in the place of a shard that is still to be made."""
        paths = [self._folder / unit.file for unit in self._units if unit.file not in self._listed]
        with reading_in_child(True):
            for path in paths:
                if os.path.lexists(path) and not is_shard(path):
                    raise OutputError(
                        f"{path}: is no shard of uvgen, and a shard of this name is to be made; move it away, or "
                        "choose another output folder"
                    )

    def _take_over(self, index: Index) -> None:
        """Keep what an index and the journal list, less what is damaged, and what can be repaired."""
        index = _with_journal(index, self._journal.read())
        self._listed = {entry.file for entry in index.shards}
        units = {unit.file: unit.n_samples for unit in self._units}
        self._outdated = sorted(self._listed - units.keys())
        n_skipped = Counter(skip.shard for skip in index.skipped)
        index.shards = [
            entry
            for entry in index.shards
            if units.get(entry.file) == entry.samples + n_skipped[entry.file]
            and (entry.sha256 is None or self._size(entry.file) == entry.size_bytes)
        ]
        changed = self._changed(index)
        index.shards = [entry for entry in index.shards if entry.file not in changed]
        self._finished = {entry.file for entry in index.shards}
        index.skipped = [skip for skip in index.skipped if skip.shard in self._finished]
        self.index = index

    def _changed(self, index: Index) -> set[str]:
        """Shards that lack a sample whose files are not what they were when it was skipped."""
        units = {unit.file: unit for unit in self._units}
        return {
            skip.shard
            for skip in index.skipped
            if self._state is not None and skip.files_sha256 is not None and skip.shard in units
            and self._state(units[skip.shard], skip.name) != skip.files_sha256
        }  # fmt: skip

    def is_finished(self, unit: ShardUnit) -> bool:
        """Whether the index lists the shard, and its file has the size that it had."""
        return unit.file in self._finished

    def add(self, result: ShardResult) -> None:
        """Note a shard and the samples that it lacks."""
        self.index.shards.append(result.entry)  # it is of a unit that was not finished: the index does not list it
        self.index.skipped.extend(result.skipped)
        self._journal.append({"entry": plain(result.entry), "skipped": [plain(skip) for skip in result.skipped]})
        self.new_samples += result.entry.samples
        self.remarks += result.remarks
        self._added += 1
        pause = max(_SECONDS_BETWEEN_WRITES, 50 * self._write_seconds)
        if self._added & (self._added - 1) == 0 or time.monotonic() - self._written_at > pause:
            self._write()

    def _write(self) -> None:
        started = time.monotonic()
        self._publish()
        self._written_at = time.monotonic()
        self._write_seconds = self._written_at - started

    def _size(self, file: str) -> int:
        """Bytes of a shard, where it is; -1 for none."""
        return _size(self._folder / file) if self._sizes is None else self._sizes.get(file, -1)

    def _publish(self) -> None:
        """Write the index, and upload it where that changes what the store holds."""
        self.index.write(self._folder)
        if self._sizes is not None:
            data = _bytes_of(self._folder / DATASET_INDEX)
            if data != self._published:
                upload(self._folder / DATASET_INDEX)
                self._published = data

    def pause(self) -> None:
        """Write the index; where that fails, the journal has it all."""
        self._journal.close()
        with suppress(DatasetError):
            self._write()
            self._journal.remove()

    def finish(self) -> None:
        """Write the index, also where there was nothing to do, and remove shards that it no longer lists.

        Those have the name of a folder of samples that was renamed since; the same samples are in the new ones.
        """
        self._write()
        with reading_in_child(True):
            for path in [self._folder / file for file in self._outdated]:
                if path.is_file() and is_shard(path):
                    path.unlink()
        if self._sizes is not None:
            remove(self._folder / file for file in self._outdated if file in self._sizes)
        if self._sizes is not None and self._added:
            self._check_published()
        self._journal.remove()

    def _check_published(self) -> None:
        """Put the index again where an older one is there: of a try that was given up, and ended all the same."""
        for _ in range(TRIES):
            with draft(DATASET_INDEX) as new:
                fetch(self._folder / DATASET_INDEX, new.path)
                if new.path.read_bytes() == self._published:
                    return
            upload(self._folder / DATASET_INDEX)
        raise DatasetError(f"{self._folder / DATASET_INDEX}: another index is there; does another build write there?")


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _listed_shards(folder: Path) -> list[str]:
    """Shards that a store's index lists; none where it has none that can be read."""
    try:
        return [entry.file for entry in Index.read(folder).shards]
    except DatasetError:
        return []


def _with_journal(index: Index, lines: Sequence[Any]) -> Index:
    """An index and what a journal adds to it; a journal that says what no index may is not of uvgen, and ignored."""
    shards = {entry.file: entry for entry in index.shards}
    skipped: dict[str, list[SkippedSample]] = {}
    for skip in index.skipped:
        skipped.setdefault(skip.shard, []).append(skip)
    try:
        for line in lines:  # each takes the place of what was listed of its shard before
            of_line = [known(SkippedSample, skip) for skip in line["skipped"]]
            entry = known(ShardEntry, line["entry"])
            shards[entry.file] = entry
            skipped[entry.file] = of_line
        with_lines = dataclasses.replace(
            index, shards=[*shards.values()], skipped=[skip for of_shard in skipped.values() for skip in of_shard]
        )
        with_lines.check(with_lines.n_samples)
    except (ValueError, LookupError, TypeError, AttributeError):
        return index
    return with_lines


def _settings(index: Index) -> dict[str, Any]:
    """What a data set was made with, an augmentation's options side by side with the others."""
    config = {key: value for key, value in index.config.items() if key != "augmentation"}
    ranges = index.config.get("augmentation") or {}
    options = {f"augmentation {key}": value for key, value in ranges.items()}
    return {"uvgen": index.uvgen, **UNSTATED, **config, **options, **index.plan}


def check_begun(out: Path, config: BuildConfig, model: MorphableModel | None, plan: Mapping[str, Any]) -> None:
    """Raise SettingsError, before any work, where a folder holds a set that was begun with other settings.

    Without a model, models are not compared.
    """
    if not (out / DATASET_INDEX).exists():
        return
    old = _settings(_read(out))
    name, content = ("", "") if model is None else (model.name, model.content_sha256)
    stated = DatasetConfig(config, name, content, "").to_plain()
    new = _settings(Index(__version__, stated, dict(plan)))
    del new["weight_mask_sha256"]  # known later
    if model is None:
        del new["model"], new["model_sha256"]
    check_same(out, {key: old.get(key) for key in new}, new, _HASHES)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1
