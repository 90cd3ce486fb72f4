"""One process's share of `uvgen augment`: reads a source shard, moves samples and their labels, writes a copy."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen._version import __version__
from uvgen.augment.draws import AugmentationDraw
from uvgen.augment.sample import apply
from uvgen.datasets.config import BuildConfig, CopyConfig, DatasetConfig
from uvgen.datasets.fields import MAP_PARAMETERS, augmented_fields
from uvgen.datasets.naming import copy_name
from uvgen.datasets.quality.plausible import MOST, odd_numbers
from uvgen.datasets.record import ShardResult
from uvgen.datasets.source import check_source, check_unchanged, open_source
from uvgen.datasets.targets import remaking_targets
from uvgen.errors import SampleError
from uvgen.fixed_point import FixedPoint
from uvgen.images.jpeg import encode_jpeg
from uvgen.maps.labels import crop_pose, move_annotation
from uvgen.maps.position_mapper import PositionMapper
from uvgen.maps.target_layouts import range_error
from uvgen.maps.targets import TargetMaker
from uvgen.models.load import check_model_file
from uvgen.models.morphable import MorphableModel
from uvgen.progress import counted
from uvgen.shards.index import ShardEntry, SkippedSample
from uvgen.shards.shard import OpenShard
from uvgen.shards.writer import held_at_once, write_shard
from uvgen.storage.isolated import Hdf5Process
from uvgen.storage.names import printable

_BATCH = 32
_NOT_COPIED = ("format", "version", "config")


@dataclass(frozen=True, slots=True)
class CopyTask:
    """One shard to make: its file name, which copy of which source shard it is, and the only hash it may have."""

    file: str
    source: ShardEntry
    copy: int
    trial: int | None = None  # the row to try alone, writing nothing
    bad: tuple[tuple[int, str], ...] = ()  # rows at which processes die, and how they ended
    expected: str | None = None  # the only SHA-256 that the shard may have; None if it may have any

    @property
    def n_samples(self) -> int:
        """Number of samples in the shard, before any is skipped."""
        return self.source.samples

    def names(self) -> frozenset[str] | None:
        """Names of the copies; None if the source's index does not have the samples' names."""
        found = self.source.sample_names
        return None if found is None else frozenset(copy_name(name, self.copy) for name in found)

    def stored_names(self, skipped: Set[str], *, augmented: bool) -> list[str] | None:
        """As `names`, without those of skipped copies."""
        found = self.source.sample_names
        copies = None if found is None else [copy_name(name, self.copy) for name in found]
        return None if copies is None else [name for name in copies if name not in skipped]


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
    model : MorphableModel or None
        If samples are flipped, or have per-pixel targets: these are made of their parameters.
    on_error : {"skip", "fail"}
        What to do with a copy whose map leaves the range of its type.
    untrusted : bool
        Whether the source's shards are read in a child process.
    """

    source: Path
    out: Path
    config: DatasetConfig
    copied: CopyConfig
    model: MorphableModel | None
    on_error: str
    untrusted: bool = False

    def open(self) -> Callable[[CopyTask], ShardResult]:
        """The function that makes one shard."""
        mapper = None
        built = self.config.build
        if self.model is not None and built.maps == "stored" and self.copied.augmentation.flip:
            mapper = PositionMapper(self.model, built.uv_size, built.convention, crop_size=built.size)
        makers = _Makers(mapper, remaking_targets(self.model, built))
        return partial(_make_shard, self, makers, Hdf5Process() if self.untrusted else None)

    def parts(self, task: CopyTask) -> list[CopyTask]:
        """Each of a shard's samples alone, to be tried."""
        return [dataclasses.replace(task, trial=row) for row in range(task.source.samples)]

    def without(self, task: CopyTask, causes: Mapping[int, str]) -> CopyTask:
        """A shard without the samples at which processes die."""
        return dataclasses.replace(task, bad=tuple(sorted({**dict(task.bad), **causes}.items())))


class _Makers(NamedTuple):
    """What makes labels anew: maps of flipped samples, and per-pixel targets."""

    maps: PositionMapper | None
    targets: TargetMaker | None


def _make_shard(job: AugmentJob, makers: _Makers, process: Hdf5Process | None, task: CopyTask) -> ShardResult:
    skipped = list[SkippedSample]()

    def skip(name: str, error: SampleError) -> None:
        if job.on_error == "fail":
            raise SampleError(f"{name}: {error}") from error
        skipped.append(SkippedSample(name, task.file, printable(str(error))))

    built = dataclasses.replace(job.config, copied=None)
    path, opened = open_source(job.source, task.source, built, process)
    with opened as source:
        check_source(task.source, source, built.to_plain())
        if task.trial is not None:
            _rows(source, [task.trial], job, makers, task, lambda name, error: None)
            return ShardResult(ShardEntry(task.file, 0, 0, None), ())
        fields = augmented_fields(source, job.copied.augmentation)
        n = held_at_once(fields, _BATCH)
        parts = [range(k, min(k + n, source.n_samples)) for k in range(0, source.n_samples, n)]
        attributes = {key: value for key, value in source.file_attributes.items() if key not in _NOT_COPIED}

        def batches() -> Iterator[dict[str, Any]]:
            yield from counted((len(part), _rows(source, part, job, makers, task, skip)) for part in parts)
            check_unchanged(path, task.source, source)
            check_model_file(job.model)

        stated = {**source.config, **job.copied.to_plain()}
        entry = write_shard(
            job.out / task.file,
            fields,
            job.config.build.compression,
            batches(),
            {**attributes, "uvgen": __version__, "config": json.dumps(stated, sort_keys=True)},
            expected=task.expected,
        )
    return ShardResult(entry, tuple(skipped))


def _rows(
    source: OpenShard,
    rows: Sequence[int],
    job: AugmentJob,
    makers: _Makers,
    task: CopyTask,
    skip: Callable[[str, SampleError], None],
) -> dict[str, Any]:
    """The augmented samples of some rows of the source."""
    drawn = () if makers.targets is None else tuple(makers.targets.layouts)
    small = [name for name in source.fields if name not in ("image", "posmap", *drawn)]
    shapes = {name: source.layouts[name] for name in ("image", "posmap") if name in source.layouts}
    large = {name: np.empty((len(rows), *shape), dtype) for name, (shape, dtype) in shapes.items()}
    samples: list[dict[str, Any]] = []
    copy = task.copy
    numbers, stored = _sound_rows(source, rows, small, task, skip)
    augmentation, seed = job.copied.augmentation, job.copied.augmentation_seed
    draws = [augmentation.draw(seed, sample["name"], copy, shapes["image"][0][0]) for sample in stored]
    flipped = {} if makers.maps is None else _flipped_maps(makers.maps, stored, draws, large["posmap"])
    targets = None if makers.targets is None else _moved_targets(makers.targets, stored, draws)
    shown: list[int] = []
    for i, (row, sample, draw) in enumerate(zip(numbers, stored, draws, strict=True)):
        name, k = sample["name"], len(samples)
        number = draw.other_sample(row, source.n_samples)
        other = None if number is None else source.read("image", number)
        position_map = source.read("posmap", row) if "posmap" in large and not draw.flip else None
        try:
            if targets is not None and not targets[1][i]:
                raise range_error("an augmented sample", draw.size)
            if i in flipped:
                large["posmap"][k] = _with_codes(flipped[i], draw.size)
            moved = apply(
                draw,
                source.read("image", row),
                position_map,
                sample["landmarks"],
                other=other,
                filter=job.config.build.filter,
                image_out=large["image"][k],
                map_out=None if position_map is None else large["posmap"][k],
            )
            if "posmap" in large:
                _check_floats(large["posmap"][k])
        except SampleError as error:
            skip(copy_name(name, copy), error)
            continue
        changed = {
            "landmarks": moved.landmarks,
            "image_to_crop": draw.similarity @ sample["image_to_crop"],
            "name": copy_name(name, copy),
        }
        if (annotated := sample.get("annotated_landmarks")) is not None:
            changed["annotated_landmarks"] = move_annotation(annotated, draw.similarity, draw.size, flip=draw.flip)
        shown.append(i)
        samples.append({**sample, **changed, "augmentation": draw.to_json(), "flipped": draw.flip})
    if not samples:
        return {}
    made = _stacked(samples, job.config.build)
    for key, array in large.items():
        made[key] = array[: len(samples)]
    if targets is not None:
        made.update({name: values[shown] for name, values in targets[0].items()})
    if source.has_jpegs:
        made["image"] = [encode_jpeg(image, job.config.build.jpeg_quality) for image in made["image"]]
    return made


def _sound_rows(
    source: OpenShard, rows: Sequence[int], fields: Sequence[str], task: CopyTask,
    skip: Callable[[str, SampleError], None],
) -> tuple[list[int], list[dict[str, Any]]]:  # fmt: skip
    """The rows whose samples can be copied, and these fields of them; the others are skipped."""
    bad = dict(task.bad)
    numbers, samples = list[int](), list[dict[str, Any]]()
    for row in rows:
        sample = {name: source.read(name, row) for name in (["name"] if row in bad else fields)}
        if wrong := bad.get(row) or odd_numbers(sample):
            skip(copy_name(sample["name"], task.copy), SampleError(f"{sample['name']}: {wrong}"))
        else:
            numbers.append(row)
            samples.append(sample)
    return numbers, samples


def _stacked(samples: Sequence[Mapping[str, Any]], built: BuildConfig) -> dict[str, Any]:
    """The small fields of augmented samples along a new first axis, texts as lists, with the poses in their crops."""
    made: dict[str, Any] = {key: [sample[key] for sample in samples] for key in samples[0]}
    made["crop_pose"] = crop_pose(
        made["pose"], made["image_to_crop"], made["image_height"], built.size, built.convention, made["flipped"]
    )
    for key, values in made.items():
        if not isinstance(values[0], str):
            made[key] = np.array(values)
    return made


def _moved_targets(
    maker: TargetMaker, samples: Sequence[dict[str, Any]], draws: Sequence[AugmentationDraw]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]] | None:
    """Per-pixel targets of the samples as their draws move them, and which of them the codes can hold."""
    if not samples:
        return None
    rows = {key: np.stack([sample[key] for sample in samples]) for key in MAP_PARAMETERS}
    rows["image_to_crop"] = np.stack(
        [draw.similarity @ sample["image_to_crop"] for draw, sample in zip(draws, samples, strict=True)]
    )
    shape, expression, pose, similarity, height = (rows[key] for key in MAP_PARAMETERS)
    return maker(shape, expression, pose, similarity, height, flipped=np.array([draw.flip for draw in draws], bool))


def _flipped_maps(
    mapper: PositionMapper, samples: Sequence[dict[str, Any]], draws: Sequence[AugmentationDraw], like: NDArray[Any]
) -> dict[int, NDArray[Any] | None]:
    """Maps of the samples that are flipped, made anew, of the stored maps' type; None if a value has no code."""
    which = [i for i, draw in enumerate(draws) if draw.flip]
    if not which:
        return {}
    rows = {key: np.stack([samples[i][key] for i in which]) for key in MAP_PARAMETERS}
    rows["image_to_crop"] = np.stack([draws[i].similarity @ samples[i]["image_to_crop"] for i in which])
    shape, expression, pose, similarity, height = (rows[key] for key in MAP_PARAMETERS)
    parameters, flipped = (shape, expression, pose, similarity, height), np.ones(len(which), bool)
    if like.dtype != np.uint16:
        return dict(zip(which, mapper(*parameters, flipped=flipped), strict=True))
    codes = FixedPoint.for_crop(draws[0].size)
    maps, _, in_range = mapper.codes_and_landmarks(*parameters, codes, flipped=flipped)
    return {i: made if ok else None for i, made, ok in zip(which, maps, in_range, strict=True)}


def _check_floats(position_map: NDArray[Any]) -> None:
    """Raise SampleError if a map of floats holds what no image has."""
    if position_map.dtype.kind == "f" and not np.abs(position_map).max() <= MOST:  # NaN is not
        raise SampleError(f"an augmented map holds NaN, or more than {MOST:g} px")


def _with_codes(position_map: NDArray[Any] | None, size: int) -> NDArray[Any]:
    """The map of a mirrored copy; SampleError for None, which stands for one with a value that no code stands for."""
    if position_map is None:
        raise FixedPoint.for_crop(size).range_error("an augmented map")
    return position_map
