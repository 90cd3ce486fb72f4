"""Making damaged files of a finished data set again: what `uvgen verify --repair` does.

`dataset.json` says what the bytes of each shard were. A shard is made again as `uvgen build` or `uvgen augment` made
it, and takes its place only if it has the same SHA-256: nothing has to be guessed.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike, NDArray

from uvgen._version import __version__
from uvgen.checks import check_optional_paths, check_paths
from uvgen.datasets.augmented_worker import CopyTask
from uvgen.datasets.config import DatasetConfig
from uvgen.datasets.plan import ShardTask
from uvgen.datasets.record import ShardResult
from uvgen.datasets.repair_plan import merged_error, plan_build_again, plan_copies_again
from uvgen.described import described
from uvgen.errors import DatasetError, SettingsError
from uvgen.jobs.options import RunOptions, check_run
from uvgen.jobs.run import run_job, same_workers
from uvgen.models.load import as_model
from uvgen.models.morphable import MorphableModel
from uvgen.samples.find import Sample
from uvgen.shards.constants import CONSTANTS, constants_bytes, hash_of_weights
from uvgen.shards.index import Index, ShardEntry, data_folder
from uvgen.storage.files import has_sha256, replaced_on_success
from uvgen.storage.locks import exclusive
from uvgen.storage.names import brief, printable
from uvgen.storage.reading import is_elsewhere, max_bytes
from uvgen.wording import are, count


@dataclass(frozen=True, slots=True)
class RepairResult:
    """The result of `uvgen.repair_shards`.

    Attributes
    ----------
    repaired : tuple of Path
        Files that were damaged or missing and now are as `dataset.json` says.
    problems : tuple of str
        Files that are still damaged or missing, one line each, with the reason.
    seconds : float
        How long it took.
    """

    repaired: tuple[Path, ...]
    problems: tuple[str, ...]
    seconds: float

    __repr__ = described


def repair_shards(
    path: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | Sequence[Sample] | None = None,
    root: str | os.PathLike[str] | None = None,
    source: str | os.PathLike[str] | None = None,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    weights: ArrayLike | str | os.PathLike[str] | None = None,
    run: RunOptions = RunOptions(),
    untrusted: bool = False,
    progress: Callable[[ShardResult], object] | None = None,
) -> RepairResult:
    """Make the damaged and missing files of a finished data set again, byte for byte.

    Files whose SHA-256 is the one in `dataset.json` are not touched, nor are files that it does not list. A file that
    would differ from the original, because a sample has changed, is left as it is and named.

    Parameters
    ----------
    path : path-like
        Folder that ``uvgen build`` or ``uvgen augment`` made.
    data : path-like, sequence of Sample, or None
        What the set was built from, as for `uvgen.build_shards`; more samples may be there. None for the built-in
        sample set. Not needed for augmented copies.
    root : path-like, optional
        As for `uvgen.build_shards`.
    source : path-like, optional
        For copies that ``uvgen augment`` made: the folder of the set that they were made from.
    model : MorphableModel or path-like, optional
        The set's; may be omitted if that is the built-in one, or not needed.
    weights : (uv_size, uv_size) array or path-like, optional
        The weight mask that the set was built with, if that was not the model's; needed for `constants.npz` alone.
    run : RunOptions
        As for `uvgen.build_shards`.
    untrusted : bool
        Read `source`'s shards, and `model` if it is a file, in child processes: see `uvgen.open_shards`.
    progress : callable, optional
        Called with a `ShardResult` for each shard that was made again.

    Returns
    -------
    RepairResult

    Raises
    ------
    DatasetError
        If `dataset.json` is missing or damaged; or if a file is damaged, and the set is unfinished or was made by
        another version of uvgen, or the samples or source shards are not those that it was made of.
    ModelError
        If the model is not the set's.
    InputError
        If something is damaged and what it was made of is not given, or an argument is of the wrong type.

    Examples
    --------
    >>> uvgen.repair_shards("shards/", data="300W_LP/", model="bfm.h5").repaired
    (PosixPath('shards/IBUG-00000.h5'),)
    """
    check_paths(path=path)
    check_optional_paths(root=root, source=source)
    started = time.perf_counter()
    check_run(run)
    folder = data_folder(path, changes="damaged files in it are made again").absolute()
    _read(folder)  # before a folder would be made
    with exclusive(folder), same_workers(run):
        index = _read(folder)
        bad = {
            entry.file: entry
            for entry in index.shards
            if not _is_whole(folder / entry.file, entry.sha256, entry.size_bytes)
        }
        constants = index.constants_sha256 is None or _is_whole(folder / CONSTANTS, index.constants_sha256, max_bytes())
        if not bad and constants:
            return RepairResult((), (), time.perf_counter() - started)
        config = _config_of(folder, index)
        if bad and "merged_from" in index.plan and config.copied is None:
            raise merged_error(folder, bad)
        if model is not None:
            model = as_model(model, untrusted=untrusted)
        if config.copied is not None:
            plan = plan_copies_again(folder, index, config, config.copied, bad, source, model, untrusted=untrusted)
        else:
            plan = plan_build_again(folder, index, config, bad, data, root, model, weights, run)
        record = _Record(folder, index, bad, of_builtin=data is None and config.copied is None)
        run_job(plan.job, plan.tasks, record, folder, run, progress=progress, doing="repairing", locked=True)
        without = [plan.without(task, skips) for task in plan.tasks if (skips := _skipped(index, task.file))]
        for tried in zip_longest(*without):  # a sample that was skipped may be of use now
            again = [task for task in tried if task is not None]
            run_job(plan.job, again, record, folder, run, progress=progress, doing="repairing", locked=True)
        problems = [f"{folder / file}: {why}" for file, why in sorted(record.problems.items())]
        repaired = [folder / file for file in sorted(bad) if file not in record.problems]
        if not constants:
            problem = _write_constants(folder, index, config, plan.constants())
            if problem is None:
                repaired.append(folder / CONSTANTS)
            else:
                problems.append(problem)
        seconds = time.perf_counter() - started
        return RepairResult(tuple(repaired), tuple(map(printable, problems)), seconds)


class _Record:
    """Which of the damaged shards are what they were.

    Attributes
    ----------
    problems : dict of str to str
        Why the others are not, by file; all of them before they are tried.
    """

    def __init__(self, folder: Path, index: Index, bad: Mapping[str, ShardEntry], *, of_builtin: bool) -> None:
        self._of_builtin = of_builtin
        self._bad, self._known = bad, {(skip.shard, skip.name) for skip in index.skipped}
        self.problems = dict.fromkeys(bad, "not tried")

    def resume(self) -> None:
        """Nothing of an earlier run is left."""

    def is_finished(self, task: ShardTask | CopyTask) -> bool:
        """Whether a shard is whole."""
        return task.file not in self.problems

    def discard(self, task: ShardTask | CopyTask) -> None:
        """Nothing: a shard is replaced once it is what it was."""

    def add(self, result: ShardResult) -> None:
        """Note what came of a shard: it is in its place only if it is what it was."""
        file = result.entry.file
        if result.entry.sha256 == self._bad[file].sha256:
            del self.problems[file]
            return
        new = [skip for skip in result.skipped if (file, skip.name) not in self._known]
        if new:
            why = f"{new[0].name} cannot be used any more ({new[0].reason})"
        elif self._of_builtin:  # whose names others may have
            why = "it was made of the built-in samples; if the set is of others, give them as argument `data`"
        else:
            why = "other files or another machine than when it was made"
        self.problems[file] = (
            f"made again, but its SHA-256 is not the one in the index: {why}; the file is left as it is; "
            "to accept the new one, delete it and run what made the data set again"
        )

    def pause(self) -> None:
        """Nothing to record: each shard is in its place, or not."""

    def finish(self) -> None:
        """As `pause`."""


def _read(folder: Path) -> Index:
    try:
        return Index.read(folder)
    except DatasetError as error:
        if is_elsewhere(error.__cause__):
            raise
        raise DatasetError(
            f"{error}; it cannot be repaired, since only this file says what the shards were; make the data set again, "
            "into another folder, or overwrite this one"
        ) from error


def _is_whole(path: Path, sha256: str | None, most_bytes: int | None) -> bool:
    """Whether a file has the hash that it had; a larger one is not hashed, and one of no samples (None) had no file."""
    return sha256 is None or has_sha256(path, sha256, most_bytes=most_bytes)


def _config_of(folder: Path, index: Index) -> DatasetConfig:
    """The configuration of a set that can be repaired."""
    if index.uvgen != __version__:
        raise SettingsError(
            f"{folder}: was made by uvgen {brief(index.uvgen)}, this is {__version__}, which makes other bytes; repair "
            "it with that version"
        )
    if index.missing:
        raise DatasetError(
            f"{folder}: unfinished, {count(index.missing, 'sample')} {are(index.missing)} missing; run what made it "
            "again, and repair it then"
        )
    config = DatasetConfig.of_index(index, folder)
    unknown = [key for key, value in index.config.items() if config.to_plain().get(key) != value]
    if unknown:
        raise SettingsError(
            f"{folder}: was made with {unknown[0]} = {brief(index.config[unknown[0]])}, which this uvgen does not "
            "know; repair it with the version that made it"
        )
    return config


def _skipped(index: Index, file: str) -> dict[str, str]:
    """Samples that a shard lacks, each with the reason."""
    return {skip.name: skip.reason for skip in index.skipped if skip.shard == file}


def _write_constants(
    folder: Path, index: Index, config: DatasetConfig, arrays: Mapping[str, NDArray[Any]]
) -> str | None:
    """Put the constants into place if they are what they were; else say why not."""
    path, data = folder / CONSTANTS, constants_bytes(arrays)
    if hashlib.sha256(data).hexdigest() == index.constants_sha256:
        with replaced_on_success(path, make_folder=False) as temporary:
            temporary.write_bytes(data)
        return None
    if hash_of_weights(arrays) != config.weight_mask_sha256:
        return f"{path}: the data set was made with another weight mask; left as it is; give weights"
    return f"{path}: made again, but its SHA-256 is not the one in the index: another machine? Left as it is"
