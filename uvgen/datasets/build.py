"""Samples and a model to shards: the plan, the parallel work, and the index.

A shard is the unit of work. Shards are planned from the sorted sample list alone, and each is made by one worker
from its own samples, so that the bytes depend neither on the number of workers nor on interruptions.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.config import BuildConfig, DatasetConfig
from uvgen.datasets.plan import plan_shards
from uvgen.datasets.record import BuildResult, ShardResult, make_shards
from uvgen.datasets.worker import BuildJob
from uvgen.errors import InputError
from uvgen.jobs.run import check_run
from uvgen.maps.masks import weight_mask
from uvgen.models.morphable import MorphableModel
from uvgen.samples.find import Sample


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
    progress: Callable[[ShardResult], object] | None = None,
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
    units = plan_shards(samples, config.shard_size, config.copies)
    mask = weight_mask(model, config.uv_size) if weights is None else np.asarray(weights, np.float32)
    if mask.shape != (config.uv_size, config.uv_size):
        raise InputError(f"weights: {mask.shape}, expected ({config.uv_size}, {config.uv_size}), one per texel")
    mask_sha256 = hashlib.sha256(mask.tobytes()).hexdigest()
    stated = DatasetConfig(config, model.name, model.content_sha256, mask_sha256)
    job = BuildJob(out, root, model, mask, config, on_error)
    plan = _describe_plan(samples, config.copies)
    return make_shards(job, units, out, stated, plan, workers=workers, overwrite=overwrite, progress=progress)


def _describe_plan(samples: Sequence[Sample], copies: int) -> dict[str, Any]:
    names = "\n".join(sample.name for sample in samples)
    return {"samples": len(samples) * copies, "names_sha256": hashlib.sha256(names.encode()).hexdigest()}
