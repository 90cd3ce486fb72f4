"""How damaged shards are made again: the job and the tasks of `uvgen.datasets.repair`, from what made the set."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import ArrayLike, NDArray

from uvgen.datasets.augmented import check_source_shards, hash_of_source, plan_copies
from uvgen.datasets.augmented_worker import AugmentJob, CopyTask
from uvgen.datasets.build import constants_of, describe_plan, mirror_of
from uvgen.datasets.config import CopyConfig, DatasetConfig
from uvgen.datasets.naming import copy_name, original_name, subset_of_shard
from uvgen.datasets.open import check_model
from uvgen.datasets.plan import ShardTask, plan_shards
from uvgen.datasets.quality.survey import Survey, survey_samples
from uvgen.datasets.record import ShardResult
from uvgen.datasets.worker import BuildJob
from uvgen.errors import DatasetError, InputError
from uvgen.jobs.options import RunOptions
from uvgen.jobs.run import Job
from uvgen.models.load import BUILTIN, as_model
from uvgen.models.morphable import MorphableModel
from uvgen.samples.find import Sample, find_samples, folder_of
from uvgen.shards.constants import read_constants
from uvgen.shards.index import Index, ShardEntry, data_folder
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.names import brief, printable
from uvgen.wording import count

_MOST_TRIED = 4  # skipped samples of a shard, whose images occluders may have shown or not


class RepairPlan(NamedTuple):
    """How damaged files are made: a job, its tasks, and what makes the constants."""

    job: Job[Any, ShardResult]
    tasks: list[Any]
    without: Callable[[Any, dict[str, str]], Sequence[Any]]  # tasks that skip the samples of these names, to be tried
    constants: Callable[[], Mapping[str, NDArray[Any]]]


def merged_error(folder: Path, bad: Mapping[str, ShardEntry]) -> DatasetError:
    """The error that says what can make a set's shards again, if that is not in its index."""
    return DatasetError(
        f"{folder}: was put together by `uvgen merge` (or select, drop), and only that command can make {min(bad)} "
        "again: delete the damaged shards, and run that command again"
    )


def _model(folder: Path, config: DatasetConfig, model: MorphableModel | None) -> MorphableModel:
    """The set's model."""
    if model is None and config.model != BUILTIN:
        raise InputError(
            f"model: none, expected the one that {folder} was made with ({brief(config.model)}); give model"
        )
    model = as_model(BUILTIN) if model is None else model
    check_model(model, folder, config)
    return model


def plan_build_again(
    folder: Path,
    index: Index,
    config: DatasetConfig,
    bad: Mapping[str, ShardEntry],
    data: str | os.PathLike[str] | Sequence[Sample] | None,
    root: str | os.PathLike[str] | None,
    model: MorphableModel | None,
    weights: ArrayLike | str | os.PathLike[str] | None,
    run: RunOptions,
) -> RepairPlan:
    """The plan for shards of a set that was built from samples.

    Parameters
    ----------
    folder, index, config
        The set's.
    bad : mapping of str to ShardEntry
        Damaged or missing shards, by file name.
    data, root, model, weights
        See `uvgen.repair_shards`.
    run : RunOptions
        For what asks the samples before they are built.

    Raises
    ------
    DatasetError, ModelError, InputError
        See `uvgen.repair_shards`.
    """
    model, build = _model(folder, config, model), config.build

    def constants() -> Mapping[str, NDArray[Any]]:
        return constants_of(model, build, weights)

    if bad and build.meshes:
        raise InputError(
            f"{folder}: was made of meshes, expected a set of samples with parameters; delete the damaged shards and "
            "run the same `uvgen build --meshes` again"
        )
    if bad and not build.has_parameters:
        raise InputError(
            f"{folder}: was made of another program's maps ({build.maps_from}), expected a set of samples; delete the "
            "damaged shards and run the same `uvgen build --maps-from` again"
        )
    if not bad:
        job = BuildJob(folder, folder, model, None, build, Survey(), "skip")
        return RepairPlan(job, [], _without_samples, constants)
    if data is None:
        if config.model != BUILTIN:
            raise InputError(f"data: none, expected the folder of samples that {folder} was made of; give data")
        from uvgen.synth.sample_set import builtin_samples

        data = builtin_samples()
    if isinstance(data, str | os.PathLike):
        root = folder_of(data) if root is None else root
        data = find_samples(data)
    samples = _samples_of(folder, index, config, data, root)
    survey = Survey.of_plan(index.plan, build) or survey_samples(samples, model, build, run)
    tasks = [
        replace(task, expected=bad[task.file].sha256)
        for task in plan_shards(samples, build.shard_size, build.copies)
        if task.file in bad
    ]
    if unplanned := sorted(bad.keys() - {task.file for task in tasks}):
        named = sorted({sample.subset for sample in samples})
        raise DatasetError(
            f"{'data' if root is None else root}: its samples are in {', '.join(named)}, which gives no "
            f"{unplanned[0]}; was the folder renamed since {folder} was made? Give it, or a link to it, the name "
            f"{subset_of_shard(unplanned[0])}"
        )
    job = BuildJob(folder, Path(os.path.abspath(root or ".")), model, mirror_of(model, build), build, survey, "skip")
    shows_images = build.augmentation is not None and "image" in build.augmentation.occluder_fills
    return RepairPlan(job, tasks, _without_some_images if shows_images else _without_samples, constants)


def _samples_of(
    folder: Path, index: Index, config: DatasetConfig, samples: Sequence[Sample], root: str | os.PathLike[str] | None
) -> list[Sample]:
    """Those that a set was built of; DatasetError if they are not there."""
    names = {skip.name for skip in index.skipped}
    for entry in index.shards:
        listed = entry.sample_names
        if listed is None:
            raise DatasetError(
                f"{folder / DATASET_INDEX}: does not name the samples of {entry.file}; delete the damaged shards and "
                "run what made the data set again"
            )
        names |= {name if config.augmentation is None else original_name(name) for name in listed}
    chosen = [sample for sample in samples if printable(sample.name) in names]
    where = "data" if root is None else root
    if missing := sorted(names - {printable(sample.name) for sample in chosen}):
        raise DatasetError(
            f"{where}: {len(missing)} of {count(len(names), 'sample')} that {folder} was made of are not there, first "
            f"{brief(missing[0])}; give the data that it was made of"
        )
    if any(index.plan.get(key) != value for key, value in describe_plan(chosen, config.build.copies).items()):
        raise DatasetError(
            f"{where}: its samples are in another order than those that {folder} was made of; give the data that "
            "it was made of"
        )
    by_subset = Counter(sample.subset for sample in chosen)
    n_blocks = sum(-(-n // config.build.shard_size) for n in by_subset.values())
    _check_count(folder, index, n_blocks * config.build.copies)
    return chosen


def plan_copies_again(
    folder: Path,
    index: Index,
    config: DatasetConfig,
    copied: CopyConfig,
    bad: Mapping[str, ShardEntry],
    source: str | os.PathLike[str] | None,
    model: MorphableModel | None,
    *,
    untrusted: bool,
) -> RepairPlan:
    """The plan for shards of a set of augmented copies; see `plan_build_again`.

    Parameters
    ----------
    folder, index, config, bad, model
        As there.
    copied : CopyConfig
        What the copies are made with.
    source, untrusted
        See `uvgen.repair_shards`.
    """
    if source is None:
        raise InputError(f"source: none, expected the data set whose copies {folder} holds; give source")
    source = data_folder(source, changes="its shards are compared").absolute()
    made_from = Index.read(source)
    if hash_of_source(made_from) != copied.augmented_from:
        raise DatasetError(f"{source}: not the data set whose copies {folder} holds; give that one")
    if bad and index.plan.get("merged_from") != made_from.plan.get("merged_from"):
        raise merged_error(folder, bad)
    built = DatasetConfig.of_index(made_from, source)
    check_source_shards(source, made_from, built)
    _check_count(folder, index, sum(entry.samples > 0 for entry in made_from.shards) * copied.copies)
    needed = bool(copied.augmentation.flip or config.build.targets)
    opened = _model(folder, config, model) if needed or model is not None else None
    tasks = [
        replace(task, expected=bad[task.file].sha256)
        for task in plan_copies(made_from.shards, copied.copies)
        if task.file in bad
    ]
    job = AugmentJob(source, folder, config, copied, opened if needed else None, "skip", untrusted)
    return RepairPlan(job, tasks, _without_copies, lambda: read_constants(source, built.build.uv_size))


def _check_count(folder: Path, index: Index, n_shards: int) -> None:
    """Raise DatasetError, before a plan is listed, if it would have more shards than the index lists."""
    if n_shards > len(index.shards):
        raise DatasetError(
            f"{folder / DATASET_INDEX}: lists {count(len(index.shards), 'shard')}, its config makes {n_shards}; it "
            "was changed: make the data set again"
        )


def _without_samples(task: ShardTask, skipped: Mapping[str, str], shown: Set[str] = frozenset()) -> list[ShardTask]:
    """The samples are skipped, but the images of those that are `shown` can be read."""
    samples = [
        replace(one, parameters=None, row=None)
        if printable(one.name) in shown
        else replace(one, problem=skipped.get(printable(one.name), one.problem))
        for one in task.samples
    ]
    return [replace(task, samples=tuple(samples))]


def _without_some_images(task: ShardTask, skipped: Mapping[str, str]) -> list[ShardTask]:
    """Occluders over others may have shown the images of samples that were skipped: of none, of all, or of some, which
    is tried if there are few.
    """
    names = sorted(skipped)
    sizes = (0, len(names), *range(1, len(names))) if len(names) <= _MOST_TRIED else (0, len(names))
    return [one for n in sizes for some in combinations(names, n) for one in _without_samples(task, skipped, {*some})]


def _without_copies(task: CopyTask, skipped: Mapping[str, str]) -> list[CopyTask]:
    names = [copy_name(name, task.copy) for name in task.source.sample_names or []]
    return [replace(task, bad=tuple((row, skipped[name]) for row, name in enumerate(names) if name in skipped))]
