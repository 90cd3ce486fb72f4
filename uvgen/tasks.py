"""What every job that makes shards shares: going on where it was left, parallel work, and the index."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from uvgen import shards
from uvgen.errors import DatasetError, InputError
from uvgen.parallel import run_on_workers
from uvgen.plan import ShardResult

Task = TypeVar("Task")


def check_run(workers: int, on_error: str) -> None:
    """Raise InputError where how to run is out of range."""
    if workers < 1:
        raise InputError(f"workers: {workers}, expected 1 or more")
    if on_error not in ("skip", "fail"):
        raise InputError(f"on_error: {on_error!r}, expected 'skip' or 'fail'")


def resume(out: Path, fresh: shards.Index, *, overwrite: bool) -> shards.Index:
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
        (out / shards.INDEX).unlink(missing_ok=True)
        for path in out.glob("*-[0-9][0-9][0-9][0-9][0-9].h5"):
            if shards.is_shard(path):
                path.unlink()
    if not (out / shards.INDEX).exists():
        return fresh
    index = shards.Index.read(out)
    for what, old, new in (
        ("uvgen", index.uvgen, fresh.uvgen),
        *((key, index.config.get(key), fresh.config.get(key)) for key in {**fresh.config, **index.config}),
        ("the number of samples", index.plan["samples"], fresh.plan["samples"]),
        ("the list of samples", index.plan["names_sha256"], fresh.plan["names_sha256"]),
    ):
        if old != new:
            raise DatasetError(
                f"{out}: holds a data set made with {what} = {old}, now it is {new}; "
                "choose another --out, or --overwrite to start anew"
            )
    index.shards = [e for e in index.shards if e.sha256 is None or _size(out / e.file) == e.size_bytes]
    kept = {entry.file for entry in index.shards}
    index.skipped = [skip for skip in index.skipped if skip.shard in kept]
    return index


def run_tasks(
    make: Callable[[Task], ShardResult],
    tasks: Sequence[Task],
    workers: int,
    index: shards.Index,
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
