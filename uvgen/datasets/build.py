"""Samples and a model to shards: the plan, the parallel work, and the index.

A shard is the unit of work. Shards are planned from the sorted sample list alone, and each is made by one worker
from its own samples, so that the bytes depend neither on the number of workers nor on interruptions.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import uvgen
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.plan import ShardResult, plan_shards
from uvgen.datasets.worker import Job, Worker, build_shard
from uvgen.errors import InputError
from uvgen.jobs.run import check_run, resume, run_tasks
from uvgen.maps.masks import weight_mask
from uvgen.models.morphable import MorphableModel, save_model
from uvgen.samples.find import Sample
from uvgen.shards.index import Index, SkippedSample
from uvgen.storage.locks import exclusive


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build did and what the folder now holds.

    `samples`, `size_bytes` and `skipped` count the whole data set; `new_samples` this run's.
    """

    samples: int
    new_samples: int
    size_bytes: int
    skipped: tuple[SkippedSample, ...]


def build(
    samples: Sequence[Sample],
    model: MorphableModel,
    out: str | os.PathLike[str],
    config: BuildConfig | None = None,
    *,
    root: str | os.PathLike[str] = ".",
    weights: NDArray[np.float32] | None = None,
    workers: int = 1,
    on_error: str = "skip",
    overwrite: bool = False,
    progress: Callable[[ShardResult], None] | None = None,
) -> BuildResult:
    """Make a data set of crops, position maps and parameters, or finish one that was begun.

    Parameters
    ----------
    samples : sequence of Sample
        What to use.
    model : MorphableModel
        The model that the samples' parameters belong to.
    out : path-like
        Folder for the shards and `dataset.json`.
    config : BuildConfig, optional
        What the bytes depend on; the field's habits by default.
    root : path-like
        Folder that the stored source paths are relative to.
    weights : (uv_size, uv_size) float32, optional
        Weight mask to store instead of `uvgen.maps.masks.weight_mask`.
    workers : int
        Processes; 1 works in this one.
    on_error : {"skip", "fail"}
        Whether a bad sample is left out and reported, or ends the build.
    overwrite : bool
        Start anew, whatever the folder's data set was made with.
    progress : callable, optional
        Called with each `ShardResult` as it is finished.

    Returns
    -------
    BuildResult

    Raises
    ------
    DatasetError
        Where the folder cannot be written or holds a data set made otherwise.
    SampleError
        For a bad sample with ``on_error="fail"``.
    InputError
        Where an argument is out of range.
    """
    config = config or BuildConfig()
    config.check()
    check_run(workers, on_error)
    out, root = Path(os.path.abspath(out)), Path(os.path.abspath(root))  # workers may have another working folder
    tasks = plan_shards(samples, config.shard_size, config.copies)
    mask = weight_mask(model, config.uv_size) if weights is None else np.asarray(weights, np.float32)
    if mask.shape != (config.uv_size, config.uv_size):
        raise InputError(f"weights: {mask.shape}, expected ({config.uv_size}, {config.uv_size}) as --uv-size says")
    fresh = Index(uvgen.__version__, _describe(config, model, mask), _describe_plan(samples, config.copies))
    with exclusive(out):
        index = resume(out, fresh, overwrite=overwrite)
        done = {entry.file for entry in index.shards}
        todo = [task for task in tasks if task.file not in done]
        with _shared_files(model, mask) as (model_path, mask_path):
            job = Job(out, root, model_path, mask_path, config, on_error)
            in_process = len(todo) == 1 or (todo and workers == 1)
            make = Worker(job).build if in_process else partial(build_shard, job)
            new_samples = run_tasks(make, todo, workers, index, out, progress)
    size_bytes = sum(entry.size_bytes for entry in index.shards)
    return BuildResult(index.n_samples, new_samples, size_bytes, tuple(index.skipped))


def _describe(config: BuildConfig, model: MorphableModel, mask: NDArray[np.float32]) -> dict[str, Any]:
    return {
        **config.described(),
        "model": model.name,
        "model_sha256": model.content_sha256,
        "weight_mask_sha256": hashlib.sha256(mask.tobytes()).hexdigest(),
    }


def _describe_plan(samples: Sequence[Sample], copies: int) -> dict[str, Any]:
    names = "\n".join(sample.name for sample in samples)
    return {"samples": len(samples) * copies, "names_sha256": hashlib.sha256(names.encode()).hexdigest()}


@contextmanager
def _shared_files(model: MorphableModel, mask: NDArray[np.float32]) -> Iterator[tuple[Path, Path]]:
    """Files that workers open: a model that is not mapped from disk goes to a temporary file first."""
    with tempfile.TemporaryDirectory(prefix="uvgen-") as folder:
        mask_path, model_path = Path(folder, "weights.npy"), model.path
        np.save(mask_path, mask)
        if model_path is None:
            model_path = Path(folder, "model.h5")
            save_model(model, model_path)
        yield model_path, mask_path
