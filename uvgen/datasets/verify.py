"""Checking a finished data set: what `uvgen verify` does."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from uvgen.checks import check_paths
from uvgen.datasets.config import DatasetConfig
from uvgen.datasets.open import check_model, open_shards
from uvgen.datasets.quality.summary import LabelQuality, label_quality
from uvgen.datasets.shard_checks import Checked, check_shard, damage_of, irregular_at
from uvgen.datasets.split_files import check_splits
from uvgen.described import described
from uvgen.errors import DatasetError, with_urls
from uvgen.jobs.options import RunOptions, check_run
from uvgen.jobs.run import results
from uvgen.models.load import as_model, check_model_file
from uvgen.models.morphable import MorphableModel
from uvgen.progress import advance, begin
from uvgen.samples.files import check_machine
from uvgen.shards.constants import CONSTANTS, hash_of_weights, read_constants
from uvgen.shards.index import Index, ShardEntry, data_folder
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.isolated import Hdf5Process
from uvgen.storage.names import brief, printable
from uvgen.storage.objects import listed as stored_names
from uvgen.storage.urls import shown_path, url_of
from uvgen.wording import are, count

_SAMPLES_PER_PROCESS = 1000  # at least: a process takes as long to start as hundreds of samples to check


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """The result of `uvgen.verify_shards`: what was checked, and the problems that were found.

    Attributes
    ----------
    samples : int
        In the whole data set.
    files : tuple of Path
        The shards.
    problems : tuple of str
        What is wrong, one line each, which names the shard.
    seconds : float
        How long the check took.
    skipped : int
        Samples that were left out when the set was made.
    quality : LabelQuality or None
        How far the labels are from the annotations, if there are some and the shards are sound.
    damaged : tuple of Path
        Files whose bytes are not those they had when the set was made, or that are missing; `problems` say so of each.
        `uvgen.repair_shards` makes such files again, but no others.
    """

    samples: int
    files: tuple[Path | str, ...]
    problems: tuple[str, ...]
    seconds: float
    skipped: int = 0
    quality: LabelQuality | None = None
    damaged: tuple[Path | str, ...] = ()

    __repr__ = described

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_plain(self) -> dict[str, Any]:
        """The result as `uvgen verify --json` prints it."""
        return {
            "sound": self.sound,
            "samples": self.samples,
            "skipped": self.skipped,
            "files": [str(path) for path in self.files],
            "problems": list(self.problems),
            "damaged": [str(path) for path in self.damaged],
            "label_nme": None if self.quality is None else self.quality.to_plain(),
            "seconds": self.seconds,
        }


def verify_shards(
    path: str | os.PathLike[str],
    *,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    run: RunOptions = RunOptions(),
    untrusted: bool = False,
    progress: Callable[[int], object] | None = None,
) -> VerifyResult:
    """Check every shard of a data set.

    Parameters
    ----------
    path : path-like
        Folder that ``uvgen build`` made.
    model : MorphableModel or path-like, optional
        With it, every stored map is compared at sampled texels with the map made from the stored parameters,
        the stored landmarks with those of the model, and per-pixel targets with those drawn anew.
    run : RunOptions
        On how many processes at most, as small sets are checked by fewer; a task is a shard. One at which processes die
        or hang is a problem like others.
    untrusted : bool
        Read the shards, and `model` if it is a file, in a child process: a shard that breaks HDF5 is then a problem
        like others.
    progress : callable, optional
        Called with the number of samples of each shard that was checked.

    Returns
    -------
    VerifyResult
        Without problems if all hashes, shapes, value ranges and labels are right.

    Raises
    ------
    DatasetError
        If there is no readable index.
    ModelError
        If the model is not the one that the set was built with.
    InputError
        If an argument is of the wrong type.

    Examples
    --------
    >>> uvgen.verify_shards("shards/", model="bfm.h5").problems
    ()
    """
    check_paths(path=path)
    started = time.perf_counter()
    check_run(run)
    folder = data_folder(path)
    index = Index.read(folder)
    if model is not None:
        model = as_model(model, untrusted=untrusted)
        check_model(model, folder, DatasetConfig.of_index(index, folder))
    constants = _check_constants(folder, index)
    problems = [
        *_check_index(folder, index), *_check_skipped(folder, index), *constants.problems, *_check_names(folder, index),
    ]  # fmt: skip
    tasks = [CheckTask(entry) for entry in index.shards if entry.sha256 is not None]
    begin("verifying", index.n_samples, first="starting to verify")
    found = dict[str, Checked]()
    job = VerifyJob(folder, replace(index, shards=[], skipped=[]), model, untrusted)
    few = replace(run, workers=max(1, min(run.workers, len(tasks), index.n_samples // _SAMPLES_PER_PROCESS)))
    for checked in results(job, tasks, few):
        found[checked.entry.file] = checked.found
        if progress is not None:
            progress(checked.entry.samples)
    if model is not None:
        check_model_file(model)
    problems += [f"{folder / task.entry.file}: {what}" for task in tasks for what in found[task.entry.file].problems]
    if not problems and any(entry.sample_names is None for entry in index.shards):
        problems = _problems_of(folder, open_shards(folder, untrusted=untrusted).names)
    files = [entry.file for entry in index.shards if entry.samples]
    damaged = [task.entry.file for task in tasks if found[task.entry.file].damaged] + [CONSTANTS] * constants.damaged
    quality = None if problems else label_quality(open_shards(folder, untrusted=untrusted), model)
    seconds = time.perf_counter() - started
    return VerifyResult(
        index.n_samples,
        _shown(folder, files),
        tuple(printable(with_urls(problem)) for problem in problems),
        seconds,
        len(index.skipped),
        quality,
        _shown(folder, damaged),
    )


def _shown(folder: Path, files: Iterable[str]) -> tuple[Path | str, ...]:
    """Files of a data set, as results name them: paths, or URLs in a store."""
    paths = [folder / file for file in files]
    return tuple(path if url_of(folder) is None else shown_path(path) for path in paths)


def _check_index(folder: Path, index: Index) -> list[str]:
    """Files that the index does not list, and samples that it lacks."""
    problems: list[str] = []
    listed = {entry.file for entry in index.shards if entry.samples}
    there = [path.name for path in folder.glob("[!.]*.h5")] if url_of(folder) is None else [
        name for name in stored_names(folder) if name.endswith(".h5") and "/" not in name
    ]  # fmt: skip
    problems += [f"{folder / stray}: not listed in {DATASET_INDEX}" for stray in sorted(set(there) - listed)]
    if index.missing:
        problems.append(
            f"{folder}: unfinished, {count(index.missing, 'sample')} {are(index.missing)} missing; run what made it "
            "again"
        )
    if not index.n_samples and index.skipped:
        problems.append(
            f"{folder}: holds no samples, all {len(index.skipped)} were skipped, first {index.skipped[0].reason}"
        )
    return problems


def _check_names(folder: Path, index: Index) -> list[str]:
    """`_problems_of` the names that the index has; nothing if it does not have those of all samples."""
    if any(entry.sample_names is None for entry in index.shards):
        return []
    return _problems_of(folder, [name for entry in index.shards for name in entry.sample_names or ()])


def _problems_of(folder: Path, names: Sequence[str]) -> list[str]:
    """Samples that are there twice, and splits that name others."""
    twice = [name for name, n in Counter(names).items() if n > 1]
    problems = check_splits(folder, names)
    if twice:
        what = f"{count(len(twice), 'sample')} {are(len(twice))} in it more than once, first {brief(twice[0])}"
        problems.insert(0, f"{folder}: {what}")
    return problems


def _check_skipped(folder: Path, index: Index) -> list[str]:
    """Skipped samples that the index lists twice, or in a shard that it does not list, or that are stored after all."""
    problems = []
    listed = {entry.file for entry in index.shards}
    if strays := [skip for skip in index.skipped if skip.shard not in listed]:
        problems.append(f"{brief(strays[0].name)} of {brief(strays[0].shard)}, a shard that it does not list")
    counts = Counter((skip.shard, skip.name) for skip in index.skipped)
    if twice := [name for (_, name), n in counts.items() if n > 1]:
        problems.append(f"{brief(twice[0])} twice")
    # augmented builds skip samples, and store copies, which are named otherwise
    of_stored = "augmentation" not in index.config or "augmented_from" in index.config
    names = {skip.name for skip in index.skipped} if of_stored else set()
    there = (name for entry in index.shards for name in entry.sample_names or ()) if names else ()
    if (stored := next((name for name in there if name in names), None)) is not None:
        problems.append(f"{brief(stored)}, which is one of its samples")
    return [f"{folder / DATASET_INDEX}: lists as skipped {what}; make the data set again" for what in problems]


def _check_constants(folder: Path, index: Index) -> Checked:
    path = folder / CONSTANTS
    if (kind := irregular_at(path)) is not None:
        return Checked((f"{path}: {kind}",))
    if (damage := damage_of(path, index.constants_sha256)) is not None:
        return Checked((f"{path}: {damage}",), damaged=True)
    try:
        config = DatasetConfig.of_index(index, folder)
        constants = read_constants(folder, config.build.uv_size)
    except DatasetError as error:
        check_machine(error)
        return Checked((str(error),))
    if hash_of_weights(constants) != config.weight_mask_sha256:
        return Checked((f"{path}: its weight_mask is not the one whose SHA-256 {DATASET_INDEX} states",))
    return Checked(())


@dataclass(frozen=True, slots=True)
class CheckTask:
    """A shard to check, by its entry in the index; `died` says how its processes ended, if none could check it."""

    entry: ShardEntry
    died: str = ""

    @property
    def file(self) -> str:
        """The shard's file name, for messages."""
        return self.entry.file


class CheckedShard(NamedTuple):
    """A shard, and what is wrong with it."""

    entry: ShardEntry
    found: Checked


@dataclass(frozen=True, slots=True, eq=False)
class VerifyJob:
    """What every process that checks shards needs: their folder, what its index says, and the model, if any."""

    folder: Path
    index: Index
    model: MorphableModel | None
    untrusted: bool

    def open(self) -> Callable[[CheckTask], CheckedShard]:
        """The function that checks one shard."""
        mapper, targets, process = None, None, Hdf5Process() if self.untrusted else None
        if self.model is not None:
            from uvgen.datasets.targets import target_maker
            from uvgen.maps.position_mapper import PositionMapper

            build = DatasetConfig.of_index(self.index, self.folder).build
            mapper = PositionMapper(self.model, build.uv_size, build.convention, crop_size=build.size)
            targets = target_maker(self.model, build)

        def check(task: CheckTask) -> CheckedShard:
            if task.died:
                found = Checked((f"cannot be checked: {task.died}",))
            else:
                found = check_shard(self.folder, self.index, task.entry, mapper, process, targets)
            advance(task.entry.samples)
            return CheckedShard(task.entry, found)

        return check

    def parts(self, task: CheckTask) -> list[CheckTask]:
        """A shard is checked as a whole, so the task itself."""
        return [task]

    def without(self, task: CheckTask, causes: Mapping[int, str]) -> CheckTask:
        """The task for a shard whose processes die or hang, which reports that as the shard's problem."""
        return replace(task, died=causes[0])
