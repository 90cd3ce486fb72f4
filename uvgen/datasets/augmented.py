"""Augmented copies of a data set's shards: what `uvgen augment` does.

Each shard of the source gives one shard a copy, made from its own samples alone. Copy k of a sample is what
`Augmentation.draw(seed, name, k)` says: the same as a training loop gets in epoch k.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import uvgen
from uvgen.augment.sample import apply
from uvgen.augment.values import Augmentation
from uvgen.datasets.build import BuildResult
from uvgen.datasets.fields import augmented_fields
from uvgen.datasets.open import check_model
from uvgen.datasets.plan import ShardResult
from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.images.codecs import encode_crop
from uvgen.jobs.run import check_run, resume, run_tasks
from uvgen.maps.mirror import TexelMirror
from uvgen.models.morphable import MorphableModel
from uvgen.shards.index import Index, ShardEntry, SkippedSample, data_folder
from uvgen.shards.shard import OpenShard
from uvgen.shards.writer import write_shard
from uvgen.storage.files import sha256_file
from uvgen.storage.locks import exclusive

_BATCH = 32
_NOT_COPIED = ("format", "version", "constants", "config")
_NEEDED = ("image", "crop", "landmarks", "name")
_ADDED = ("augmentation", "augmentation_seed", "copies", "augmented_from")


@dataclass(frozen=True, slots=True)
class CopyTask:
    """One shard to make: its file name, and which copy of which source shard it is."""

    file: str
    source: ShardEntry
    copy: int


@dataclass(frozen=True, slots=True)
class _Job:
    source: Path
    out: Path
    augmentation: Augmentation
    seed: int
    config: dict[str, Any]
    mirror: TexelMirror | None
    on_error: str


def augment_shards(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    augmentation: Augmentation,
    *,
    copies: int = 1,
    seed: int = 0,
    model: MorphableModel | None = None,
    workers: int = 1,
    on_error: str = "skip",
    overwrite: bool = False,
    progress: Callable[[ShardResult], None] | None = None,
) -> BuildResult:
    """Make augmented copies of a data set, or finish those that were begun.

    Parameters
    ----------
    source : path-like
        Folder that ``uvgen build`` made.
    out : path-like
        Folder for the new shards and `dataset.json`.
    augmentation : Augmentation
        What may be done.
    copies : int
        Augmented samples from each sample; the originals are not among them.
    seed : int
        Of the draws.
    model : MorphableModel, optional
        The source's; needed to flip.
    workers : int
        Processes; 1 works in this one.
    on_error : {"skip", "fail"}
        Whether a copy whose map leaves the range of its type is left out and reported, or ends the run.
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
        Where the source is damaged, unfinished or augmented already, or the output cannot be written or holds
        something else.
    ModelError
        Where the model is not the source's.
    InputError
        Where an argument is out of range, or flipping is asked for without a model.
    SampleError
        For a bad copy with ``on_error="fail"``.
    """
    source, out = Path(os.path.abspath(data_folder(source))), Path(os.path.abspath(out))
    check_run(workers, on_error)
    if copies < 1:
        raise InputError(f"copies: {copies}, expected 1 or more")
    if out == source:
        raise InputError(f"{out}: is the source; choose another --out")
    index = Index.read(source)
    _check_source(source, index)
    mirror = _mirror(source, index, augmentation, model)
    config = {
        **index.config,
        "augmentation": json.loads(augmentation.to_json()),
        "augmentation_seed": seed,
        "copies": copies,
        "augmented_from": hashlib.sha256(json.dumps([e.sha256 for e in index.shards]).encode()).hexdigest(),
    }
    plan = {**index.plan, "samples": index.n_samples * copies}
    tasks = plan_copies(index.shards, copies)
    job = _Job(source, out, augmentation, seed, config, mirror, on_error)
    with exclusive(out):
        made = resume(out, Index(uvgen.__version__, config, plan), overwrite=overwrite)
        done = {entry.file for entry in made.shards}
        todo = [task for task in tasks if task.file not in done]
        new_samples = run_tasks(partial(_make_shard, job), todo, workers, made, out, progress)
    size_bytes = sum(entry.size_bytes for entry in made.shards)
    return BuildResult(made.n_samples, new_samples, size_bytes, tuple(made.skipped))


def plan_copies(entries: Sequence[ShardEntry], copies: int) -> list[CopyTask]:
    """The shards to make, numbered within each subset: all copies of its first source shard, then of the next.

    Parameters
    ----------
    entries : sequence of ShardEntry
        The source's.
    copies : int
        Shards from each.

    Returns
    -------
    list of CopyTask
    """
    numbers: dict[str, int] = {}
    tasks = []
    for entry in sorted((entry for entry in entries if entry.samples), key=lambda entry: entry.file):
        subset = entry.file.rpartition("-")[0]
        for copy in range(copies):
            number = numbers.get(subset, 0)
            numbers[subset] = number + 1
            tasks.append(CopyTask(f"{subset}-{number:05d}.h5", entry, copy))
    return tasks


def _check_source(source: Path, index: Index) -> None:
    if "augmentation" in index.config:
        raise DatasetError(f"{source}: is augmented already; augment the set that it was made from")
    for entry in index.shards:
        path = source / entry.file
        if entry.samples and (not path.exists() or path.stat().st_size != entry.size_bytes):
            what = "cut short or changed" if path.exists() else "missing"
            raise DatasetError(f"{path}: {what}; run the `uvgen build` that made it again")
    if index.missing:
        raise DatasetError(f"{source}: unfinished, {index.missing} samples are missing; run the `uvgen build` again")
    if not index.n_samples:
        raise DatasetError(f"{source}: holds no samples")


def _mirror(source: Path, index: Index, augmentation: Augmentation, model: MorphableModel | None) -> TexelMirror | None:
    if model is not None:
        check_model(model, source, index.config)
    if not augmentation.flip:
        return None
    if model is None:
        raise InputError("flip: needs the shards' model, which says where texels mirror; give --model")
    return TexelMirror.of_model(model, index.config["uv_size"], index.config["compat"])


def _make_shard(job: _Job, task: CopyTask) -> ShardResult:
    skipped = list[SkippedSample]()

    def skip(name: str, error: SampleError) -> None:
        if job.on_error == "fail":
            raise SampleError(f"{name}: {error}") from error
        skipped.append(SkippedSample(name, task.file, str(error)))

    path = job.source / task.source.file
    _check_hash(path, task.source)
    with OpenShard(path, task.source.samples) as source:
        if missing := [name for name in _NEEDED if name not in source.fields]:
            raise DatasetError(f"{path}: has no dataset {missing[0]}; build it again")
        parts = [range(k, min(k + _BATCH, source.n_samples)) for k in range(0, source.n_samples, _BATCH)]
        attributes = {key: value for key, value in source.file.attrs.items() if key not in _NOT_COPIED}
        stated = {**json.loads(source.file.attrs["config"]), **{key: job.config[key] for key in _ADDED}}
        entry = write_shard(
            job.out / task.file,
            augmented_fields(source, job.augmentation),
            job.config["compression"],
            (_rows(source, part, job, task.copy, skip) for part in parts),
            {name: source.file[name][()] for name in source.constants},
            {**attributes, "uvgen": uvgen.__version__, "config": json.dumps(stated, sort_keys=True)},
        )
    return ShardResult(entry, tuple(skipped))


def _check_hash(path: Path, entry: ShardEntry) -> None:
    """Raise DatasetError where a source shard is not what was built: its copies would pass for sound."""
    try:
        stat = path.stat()
        found = _hash(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    if found != entry.sha256:
        raise DatasetError(
            f"{path}: its SHA-256 is not the one in the index: damaged or changed; delete it and run the `uvgen build` "
            "that made it again"
        )


@lru_cache(maxsize=4)
def _hash(path: Path, size: int, time_ns: int) -> str:
    """Of a source shard, once for all its copies that this process makes."""
    return sha256_file(path)


def _rows(
    source: OpenShard, numbers: range, job: _Job, copy: int, skip: Callable[[str, SampleError], None]
) -> dict[str, Any]:
    """The augmented samples of some rows of the source."""
    small = [name for name in source.fields if name not in ("image", "posmap")]
    shapes = {name: source.layouts[name] for name in ("image", "posmap") if name in source.layouts}
    large = {name: np.empty((len(numbers), *shape), dtype) for name, (shape, dtype) in shapes.items()}
    samples: list[dict[str, Any]] = []
    for row in numbers:
        sample = {name: source.read(name, row) for name in small}
        name, k = sample["name"], len(samples)
        draw = job.augmentation.draw(job.seed, name, copy, shapes["image"][0][0])
        number = draw.other_sample(row, source.n_samples)
        other = None if number is None else source.read("image", number)
        position_map = source.read("posmap", row) if "posmap" in large else None
        try:
            moved = apply(
                draw,
                source.read("image", row),
                position_map,
                sample["landmarks"],
                mirror=job.mirror,
                other=other,
                image_out=large["image"][k],
                map_out=None if position_map is None else large["posmap"][k],
            )
        except SampleError as error:
            skip(f"{name}-{copy}", error)
            continue
        changed = {"landmarks": moved.landmarks, "crop": draw.similarity @ sample["crop"], "name": f"{name}-{copy}"}
        samples.append({**sample, **changed, "augmentation": draw.to_json(), "flipped": draw.flip})
    if not samples:
        return {}
    rows: dict[str, Any] = {key: [sample[key] for sample in samples] for key in samples[0]}
    for key, values in rows.items():
        if not isinstance(values[0], str):
            rows[key] = np.array(values)
    for key, array in large.items():
        rows[key] = array[: len(samples)]
    if source.has_jpegs:
        rows["image"] = [encode_crop(image, job.config["jpeg_quality"]) for image in rows["image"]]
    return rows
