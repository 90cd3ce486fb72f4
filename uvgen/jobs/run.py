"""What every job that makes shards shares: going on where it was left, parallel work, and the index."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from uvgen.datasets.plan import ShardResult
from uvgen.errors import DatasetError, InputError
from uvgen.parallel.workers import run_on_workers
from uvgen.shards.format import is_shard
from uvgen.shards.index import INDEX, Index

Task = TypeVar("Task")


def check_run(workers: int, on_error: str) -> None:
    """Raise InputError where how to run is out of range."""
    if workers < 1:
        raise InputError(f"workers: {workers}, expected 1 or more")
    if on_error not in ("skip", "fail"):
        raise InputError(f"on_error: {on_error!r}, expected 'skip' or 'fail'")


def resume(out: Path, fresh: Index, *, overwrite: bool) -> Index:
    """The folder's index where it fits; a new one where there is none or `overwrite` says so.

    Parameters
    ----------
    out : Path
        The data set's folder.
    fresh : Index
        What the folder's index must say that it was made with.
    overwrite : bool
        Remove what the folder holds.

    Returns
    -------
    Index
        With the shards that are whole.

    Raises
    ------
    DatasetError
        Where the folder holds a data set made otherwise.
    """
    if overwrite:
        (out / INDEX).unlink(missing_ok=True)
        for path in out.glob("*-[0-9][0-9][0-9][0-9][0-9].h5"):
            if is_shard(path):
                path.unlink()
    if not (out / INDEX).exists():
        return fresh
    index = Index.read(out)
    if difference := _difference(index, fresh):
        raise DatasetError(
            f"{out}: holds a data set made with {difference}; choose another --out, or --overwrite to start anew"
        )
    index.shards = [e for e in index.shards if e.sha256 is None or _size(out / e.file) == e.size_bytes]
    kept = {entry.file for entry in index.shards}
    index.skipped = [skip for skip in index.skipped if skip.shard in kept]
    return index


_HASHES = {
    "model_sha256": "another model", "weight_mask_sha256": "another weight mask", "augmented_from": "other shards",
    "names_sha256": "another list of samples",
}  # fmt: skip


def _difference(index: Index, fresh: Index) -> str:
    """The first thing that two data sets were not made with alike; nothing where there is none."""
    old: dict[str, Any] = {"uvgen": index.uvgen, **_flat(index.config), **index.plan}
    new: dict[str, Any] = {"uvgen": fresh.uvgen, **_flat(fresh.config), **fresh.plan}
    for key in {**new, **old}:
        if old.get(key) != new.get(key):
            return _HASHES.get(key, f"{key} = {old.get(key)}, now it is {new.get(key)}")
    return ""


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with its augmentation's options side by side with its own."""
    ranges = config.get("augmentation") or {}
    return {
        **{k: v for k, v in config.items() if k != "augmentation"},
        **{f"augmentation {k}": ranges[k] for k in ranges},
    }


def run_tasks(
    make: Callable[[Task], ShardResult],
    tasks: Sequence[Task],
    workers: int,
    index: Index,
    out: Path,
    progress: Callable[[ShardResult], None] | None,
) -> int:
    """Make shards, and list each in the folder's index as it is finished.

    Parameters
    ----------
    make : callable
        Makes the shard of one task; with several workers it must be picklable.
    tasks : sequence
        What to make.
    workers : int
        Processes; 1 works in this one.
    index : Index
        Gets the entries.
    out : Path
        The data set's folder.
    progress : callable, optional
        Called with each `ShardResult`.

    Returns
    -------
    int
        Samples made.
    """
    n_samples = 0
    for result in _results(make, tasks, workers):
        index.shards.append(result.entry)
        index.skipped.extend(result.skipped)
        index.write(out)
        n_samples += result.entry.samples
        if progress is not None:
            progress(result)
    index.write(out)
    return n_samples


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def _results(make: Callable[[Task], ShardResult], tasks: Sequence[Task], workers: int) -> Iterator[ShardResult]:
    if min(workers, len(tasks)) <= 1:
        yield from map(make, tasks)
        return
    yield from run_on_workers(make, [(task,) for task in tasks], workers)
