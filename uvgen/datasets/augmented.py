"""Augmented copies of a data set's shards: what `uvgen augment` does.

Each shard of the source gives one shard a copy, made from its own samples alone. Copy k of a sample is what
`Augmentation.draw(seed, name, k)` says: the same as a training loop gets in epoch k.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from uvgen._version import __version__
from uvgen.augment.sample import apply
from uvgen.augment.values import Augmentation, AugmentationDraw
from uvgen.datasets.config import CopyConfig, DatasetConfig
from uvgen.datasets.fields import augmented_fields
from uvgen.datasets.open import check_model
from uvgen.datasets.record import BuildResult, ShardResult, check_output, make_shards
from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.geometry import transform_points
from uvgen.images.codecs import encode_jpeg
from uvgen.jobs.run import RETRIES, check_run
from uvgen.maps.labels import crop_pose, mirror_landmarks
from uvgen.maps.mirror import TexelMirror
from uvgen.models.load import as_model
from uvgen.models.morphable import MorphableModel
from uvgen.shards.constants import CONSTANTS, read_constants
from uvgen.shards.index import Index, ShardEntry, SkippedSample, data_folder
from uvgen.shards.shard import OpenShard
from uvgen.shards.writer import write_shard
from uvgen.storage.files import sha256_file

_BATCH = 32
_NOT_COPIED = ("format", "version", "config")
_NEEDED = ("image", "image_to_crop", "landmarks", "name")


@dataclass(frozen=True, slots=True)
class CopyTask:
    """One shard to make: its file name, and which copy of which source shard it is."""

    file: str
    source: ShardEntry
    copy: int
    trial: int | None = None  # the row to try alone, writing nothing
    bad: tuple[tuple[int, str], ...] = ()  # rows at which processes die, and what became of those


@dataclass(frozen=True, slots=True, eq=False)
class AugmentJob:
    """What every process that makes augmented copies needs.

    Attributes
    ----------
    source, out : Path
        The folders of the source and of the copies; absolute.
    config : DatasetConfig
        That of the copies.
    copied : CopyConfig
        The part of it that says what is done.
    mirror : TexelMirror or None
        The model's, where samples are flipped.
    on_error : {"skip", "fail"}
        What to do with a copy whose map leaves the range of its type.
    """

    source: Path
    out: Path
    config: DatasetConfig
    copied: CopyConfig
    mirror: TexelMirror | None
    on_error: str

    def open(self) -> Callable[[CopyTask], ShardResult]:
        """The function that makes one shard."""
        return partial(_make_shard, self)

    def parts(self, task: CopyTask) -> list[CopyTask]:
        """Each of a shard's samples alone, to be tried."""
        return [dataclasses.replace(task, trial=row) for row in range(task.source.samples)]

    def without(self, task: CopyTask, causes: Mapping[int, str]) -> CopyTask:
        """A shard without the samples at which processes die."""
        return dataclasses.replace(task, bad=tuple(sorted(causes.items())))


def augment_shards(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    augmentation: Augmentation | str = "prnet",
    *,
    copies: int = 1,
    seed: int = 0,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    workers: int = 1,
    retries: int = RETRIES,
    timeout: float | None = None,
    on_error: str = "skip",
    overwrite: bool = False,
    progress: Callable[[ShardResult], object] | None = None,
) -> BuildResult:
    """Make augmented copies of a data set, or finish those that were begun.

    Parameters
    ----------
    source : path-like
        Folder that ``uvgen build`` made.
    out : path-like
        Folder for the new shards and `dataset.json`.
    augmentation : Augmentation or str
        What may be done; or the name of a preset.
    copies : int
        Augmented samples from each sample; the originals are not among them.
    seed : int
        Of the draws.
    model : MorphableModel or path-like, optional
        The source's; needed to flip.
    workers : int
        Processes; 1 works in this one, unless there is a `timeout`.
    retries, timeout
        As for `uvgen.build_shards`: what happens where processes die or hang.
    on_error : {"skip", "fail"}
        Whether a copy whose map leaves the range of its type is left out and reported, or ends the run.
    overwrite : bool
        Replace an existing data set in the folder.
    progress : callable, optional
        Called with each `ShardResult` as it is finished.

    Returns
    -------
    BuildResult
        Its `mirror` says how exact flipped labels are.

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

    Examples
    --------
    >>> result = uvgen.augment_shards("shards/", "augmented/", "prnet", copies=2)
    >>> result.samples
    """
    source, out = Path(os.path.abspath(data_folder(source))), Path(os.path.abspath(out))
    check_run(workers, on_error, retries=retries, timeout=timeout)
    check_output(out, overwrite=overwrite)
    if copies < 1:
        raise InputError(f"copies: {copies}, expected 1 or more")
    if out.exists() and source.exists() and out.samefile(source):  # under whatever name
        raise InputError(f"{out}: is the source, expected another folder for the copies")
    index = Index.read(source)
    built = DatasetConfig.of_index(index, source)
    _check_source(source, index, built)
    if isinstance(augmentation, str):
        augmentation = Augmentation.preset(augmentation)
    mirror = _mirror(source, built, augmentation, None if model is None else as_model(model))
    hashes = json.dumps([entry.sha256 for entry in index.shards])
    copied = CopyConfig(augmentation, seed, copies, hashlib.sha256(hashes.encode()).hexdigest())
    config = dataclasses.replace(built, copied=copied)
    plan = {**index.plan, "samples": index.n_samples * copies}
    job = AugmentJob(source, out, config, copied, mirror, on_error)
    units = plan_copies(index.shards, copies)
    return make_shards(
        job,
        units,
        out,
        config,
        plan,
        read_constants(source),
        mirror=mirror,
        model=None if model is None else as_model(model),
        workers=workers,
        retries=retries,
        timeout=timeout,
        overwrite=overwrite,
        progress=progress,
    )


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


def _check_source(source: Path, index: Index, config: DatasetConfig) -> None:
    if config.augmentation is not None:
        raise DatasetError(f"{source}: is augmented already; augment the set that it was made from")
    for entry in index.shards:
        path = source / entry.file
        if entry.samples and (not path.exists() or path.stat().st_size != entry.size_bytes):
            what = "cut short or changed" if path.exists() else "missing"
            raise DatasetError(f"{path}: {what}; run the `uvgen build` that made it again")
    constants = source / CONSTANTS
    if index.constants_sha256 is not None and (
        not constants.exists() or sha256_file(constants) != index.constants_sha256
    ):
        what = "changed" if constants.exists() else "missing"
        raise DatasetError(f"{constants}: {what}; run the `uvgen build` that made it again")
    if index.missing:
        raise DatasetError(f"{source}: unfinished, {index.missing} samples are missing; run the `uvgen build` again")
    if not index.n_samples:
        raise DatasetError(f"{source}: holds no samples")


def _mirror(
    source: Path, config: DatasetConfig, augmentation: Augmentation, model: MorphableModel | None
) -> TexelMirror | None:
    if model is not None:
        check_model(model, source, config)
    if not augmentation.flip:
        return None
    if model is None:
        raise InputError("flip: needs the shards' model, which says where texels mirror; give model")
    return TexelMirror.of_model(model, config.build.uv_size, config.build.convention)


def _make_shard(job: AugmentJob, task: CopyTask) -> ShardResult:
    skipped = list[SkippedSample]()

    def skip(name: str, error: SampleError) -> None:
        if job.on_error == "fail":
            raise SampleError(f"{name}: {error}") from error
        skipped.append(SkippedSample(name, task.file, str(error)))

    path = job.source / task.source.file
    _check_hash(path, task.source)
    with OpenShard(path, task.source.samples) as source:
        if task.trial is not None:
            _rows(source, range(task.trial, task.trial + 1), job, task, lambda name, error: None)
            return ShardResult(ShardEntry(task.file, 0, 0, None), ())
        if missing := [name for name in _NEEDED if name not in source.fields]:
            raise DatasetError(f"{path}: has no dataset {missing[0]}; build it again")
        parts = [range(k, min(k + _BATCH, source.n_samples)) for k in range(0, source.n_samples, _BATCH)]
        attributes = {key: value for key, value in source.file.attrs.items() if key not in _NOT_COPIED}
        stated = {**json.loads(source.file.attrs["config"]), **job.copied.to_plain()}
        entry = write_shard(
            job.out / task.file,
            augmented_fields(source, job.copied.augmentation),
            job.config.build.compression,
            (_rows(source, part, job, task, skip) for part in parts),
            {**attributes, "uvgen": __version__, "config": json.dumps(stated, sort_keys=True)},
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


def _moved_annotation(sample: Mapping[str, Any], draw: AugmentationDraw) -> dict[str, Any]:
    """Annotated landmarks of an augmented sample, where there are some: their NME stays what it was."""
    if "annotated_landmarks" not in sample:
        return {}
    points = transform_points(sample["annotated_landmarks"], draw.similarity)
    moved = mirror_landmarks(points, draw.size) if draw.flip else points
    return {"annotated_landmarks": moved.astype(np.float32)}


def _rows(
    source: OpenShard, numbers: range, job: AugmentJob, task: CopyTask, skip: Callable[[str, SampleError], None]
) -> dict[str, Any]:
    """The augmented samples of some rows of the source."""
    small = [name for name in source.fields if name not in ("image", "posmap")]
    shapes = {name: source.layouts[name] for name in ("image", "posmap") if name in source.layouts}
    large = {name: np.empty((len(numbers), *shape), dtype) for name, (shape, dtype) in shapes.items()}
    samples: list[dict[str, Any]] = []
    copy, bad = task.copy, dict(task.bad)
    for row in numbers:
        if row in bad:
            name = source.read("name", row)
            skip(f"{name}-{copy}", SampleError(f"{name}: {bad[row]}"))
            continue
        sample = {name: source.read(name, row) for name in small}
        name, k = sample["name"], len(samples)
        draw = job.copied.augmentation.draw(job.copied.augmentation_seed, name, copy, shapes["image"][0][0])
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
                filter=job.config.build.filter,
                image_out=large["image"][k],
                map_out=None if position_map is None else large["posmap"][k],
            )
        except SampleError as error:
            skip(f"{name}-{copy}", error)
            continue
        changed = {
            "landmarks": moved.landmarks,
            **_moved_annotation(sample, draw),
            "image_to_crop": draw.similarity @ sample["image_to_crop"],
            "name": f"{name}-{copy}",
        }
        samples.append({**sample, **changed, "augmentation": draw.to_json(), "flipped": draw.flip})
    if not samples:
        return {}
    rows: dict[str, Any] = {key: [sample[key] for sample in samples] for key in samples[0]}
    built = job.config.build
    rows["crop_pose"] = crop_pose(
        rows["pose"], rows["image_to_crop"], rows["image_height"], built.size, built.convention, rows["flipped"]
    )
    for key, values in rows.items():
        if not isinstance(values[0], str):
            rows[key] = np.array(values)
    for key, array in large.items():
        rows[key] = array[: len(samples)]
    if source.has_jpegs:
        rows["image"] = [encode_jpeg(image, job.config.build.jpeg_quality) for image in rows["image"]]
    return rows
