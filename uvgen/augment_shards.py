"""Augmented copies of a data set's shards: what `uvgen augment` does.

Each shard of the source gives one shard a copy, made from its own samples alone. Copy k of a sample is what
`Augmentation.draw(seed, name, k)` says: the same as a training loop gets in epoch k.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import simplejpeg
from numpy.typing import NDArray

import uvgen
from uvgen import shards
from uvgen.augment import Augmentation, Draw, TexelMirror, apply
from uvgen.build import BuildResult
from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.files import exclusive, new_hdf5, replaced_on_success, sha256_file
from uvgen.interrupts import interrupts_deferred
from uvgen.model import MorphableModel
from uvgen.plan import ShardResult
from uvgen.reader import check_model
from uvgen.tasks import check_run, resume, run_tasks

_BATCH = 32
_NOT_COPIED = ("format", "version", "constants", "config")


@dataclass(frozen=True, slots=True)
class CopyTask:
    """One shard to make: its file name, and which copy of which source shard it is."""

    file: str
    source: shards.ShardEntry
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
    source, out = Path(os.path.abspath(source)), Path(os.path.abspath(out))
    check_run(workers, on_error)
    if copies < 1:
        raise InputError(f"copies: {copies}, expected 1 or more")
    if out == source:
        raise InputError(f"{out}: is the source; choose another --out")
    index = shards.Index.read(source)
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
        made = resume(out, shards.Index(uvgen.__version__, config, plan), overwrite=overwrite)
        done = {entry.file for entry in made.shards}
        todo = [task for task in tasks if task.file not in done]
        new_samples = run_tasks(partial(_make_shard, job), todo, workers, made, out, progress)
    size_bytes = sum(entry.size_bytes for entry in made.shards)
    return BuildResult(made.n_samples, new_samples, size_bytes, tuple(made.skipped))


def plan_copies(entries: Sequence[shards.ShardEntry], copies: int) -> list[CopyTask]:
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


def _check_source(source: Path, index: shards.Index) -> None:
    if "augmentation" in index.config:
        raise DatasetError(f"{source}: is augmented already; augment the set that it was made from")
    for entry in index.shards:
        path = source / entry.file
        if entry.samples and (not path.exists() or path.stat().st_size != entry.size_bytes):
            what = "cut short or changed" if path.exists() else "missing"
            raise DatasetError(f"{path}: {what}; run the `uvgen build` that made it again")
    if not index.n_samples:
        raise DatasetError(f"{source}: holds no samples")


def _mirror(
    source: Path, index: shards.Index, augmentation: Augmentation, model: MorphableModel | None
) -> TexelMirror | None:
    if model is not None:
        check_model(model, source, index)
    if not augmentation.flip:
        return None
    if model is None:
        raise InputError("flip: needs the shards' model, which says where texels mirror; give --model")
    return TexelMirror.of_model(model, index.config["uv_size"])


def _make_shard(job: _Job, task: CopyTask) -> ShardResult:
    """Make one shard and rename it into place."""
    path, skipped = job.out / task.file, list[shards.SkippedSample]()

    def skip(name: str, error: SampleError) -> None:
        if job.on_error == "fail":
            raise SampleError(f"{name}: {error}") from error
        skipped.append(shards.SkippedSample(name, task.file, str(error)))

    with (
        _opened(job.source / task.source.file, task.source.samples) as source,
        interrupts_deferred() as check_interrupt,
        replaced_on_success(path) as temporary,
    ):
        constants = [str(name) for name in source.attrs["constants"]]
        with new_hdf5(temporary) as file:
            writer = shards.ShardWriter(file, _fields(source, constants, job.augmentation), job.config["compression"])
            for first in range(0, task.source.samples, _BATCH):
                check_interrupt()
                last = min(first + _BATCH, task.source.samples)
                if rows := _rows(source, range(first, last), job, task.copy, constants, skip):
                    writer.append(rows)
            n = writer.n_samples
            attributes = {key: value for key, value in source.attrs.items() if key not in _NOT_COPIED}
            stated = {**json.loads(source.attrs["config"]), **{k: job.config[k] for k in _ADDED}}
            writer.finish(
                {name: source[name][()] for name in constants},
                {**attributes, "uvgen": uvgen.__version__, "config": json.dumps(stated, sort_keys=True)},
            )
        digest = sha256_file(temporary)
    if n == 0:
        path.unlink()
        return ShardResult(shards.ShardEntry(task.file, 0, 0, None), tuple(skipped))
    return ShardResult(shards.ShardEntry(task.file, n, path.stat().st_size, digest), tuple(skipped))


_ADDED = ("augmentation", "augmentation_seed", "copies", "augmented_from")


@contextmanager
def _opened(path: Path, n_samples: int) -> Iterator[h5py.File]:
    """A source shard; a DatasetError where it cannot be read."""
    try:
        with h5py.File(path, "r") as file:
            image = "image" if "image" in file else "image_end"
            for name in (image, "crop", "name"):
                if name not in file or len(file[name]) != n_samples:
                    raise DatasetError(f"{path}: no {name} for each of its {n_samples} samples; build it again")
            yield file
    except OSError as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: cannot be read ({error}); run `uvgen verify {path.parent}`") from error


def _fields(source: h5py.File, constants: Sequence[str], augmentation: Augmentation) -> dict[str, shards.Field]:
    """The source's fields, and two more: what was done to a sample, and whether it is mirrored."""
    fields = {}
    for name, data in source.items():
        if name in (*constants, "image_data", "image_end"):
            continue
        dtype = "str" if h5py.check_string_dtype(data.dtype) else data.dtype.name
        attributes = dict(data.attrs)
        if name == "posmap" and "scale_factor" in attributes:
            # rounded before it is moved, and again: a rotation by 45° adds two coordinates' errors
            moved = math.sqrt(2) * augmentation.scale[1]
            attributes["rounding"] = float(attributes["scale_factor"]) / 2 * (1 + moved)
        fields[name] = shards.Field(dtype, data.shape[1:], data.chunks is not None, attributes)
    if "image" not in fields:
        fields["image"] = shards.Field("bytes", (), attributes=dict(source["image_data"].attrs))
    fields["augmentation"] = shards.Field("str", (), attributes={"content": "what was done, JSON"})
    fields["flipped"] = shards.Field(
        "bool", (), attributes={"content": "crop, map and landmarks mirrored after `crop`: x becomes size - 1 - x"}
    )
    return fields


def _rows(
    source: h5py.File,
    numbers: range,
    job: _Job,
    copy: int,
    constants: Sequence[str],
    skip: Callable[[str, SampleError], None],
) -> dict[str, Any]:
    """The augmented samples of some rows of the source."""
    part = slice(numbers.start, numbers.stop)
    names = [name.decode() for name in source["name"][part]]
    apart = (*constants, "image", "image_data", "image_end")
    stored = {name: data[part] for name, data in source.items() if name not in apart}
    before = [_image(source, k) for k in numbers]
    images = np.empty((len(before), *before[0].shape), np.uint8)
    maps = np.empty_like(stored["posmap"]) if "posmap" in stored else None
    landmarks = np.empty_like(stored["landmarks"]) if "landmarks" in stored else None
    draws: list[Draw] = []
    kept: list[int] = []
    for k, name in enumerate(names):
        draw = job.augmentation.draw(job.seed, name, copy, images.shape[1])
        other = _image(source, int(draw.other * len(source["name"]))) if draw.needs_other else None
        try:
            moved = apply(
                draw,
                before[k],
                None if maps is None else stored["posmap"][k],
                None if landmarks is None else stored["landmarks"][k],
                mirror=job.mirror,
                other=other,
                image_out=images[k],
                map_out=None if maps is None else maps[k],
            )
        except SampleError as error:
            skip(f"{name}-{copy}", error)
            continue
        if landmarks is not None:
            landmarks[k] = moved.landmarks
        draws.append(draw)
        kept.append(k)
    if not kept:
        return {}
    which = slice(None) if len(kept) == len(names) else kept  # a list would copy what is large
    rows: dict[str, Any] = {name: values[which] for name, values in stored.items() if name != "posmap"}
    for name, values in rows.items():
        if values.dtype.kind == "S":
            rows[name] = [text.decode() for text in values]
    rows["image"] = images[which]
    if "image_end" in source:
        quality = job.config["jpeg_quality"]
        rows["image"] = [simplejpeg.encode_jpeg(image, quality, colorsubsampling="444") for image in rows["image"]]
    if maps is not None:
        rows["posmap"] = maps[which]
    if landmarks is not None:
        rows["landmarks"] = landmarks[which]
    rows["crop"] = np.stack([draw.similarity @ stored["crop"][k] for draw, k in zip(draws, kept, strict=True)])
    rows["name"] = [f"{names[k]}-{copy}" for k in kept]
    rows["augmentation"] = [draw.to_json() for draw in draws]
    rows["flipped"] = np.array([draw.flip for draw in draws])
    return rows


def _image(source: h5py.File, row: int) -> NDArray[np.uint8]:
    """One crop, however it is stored."""
    if "image" in source:
        return source["image"][row]
    ends = source["image_end"]
    return simplejpeg.decode_jpeg(source["image_data"][int(ends[row - 1]) if row else 0 : int(ends[row])])
