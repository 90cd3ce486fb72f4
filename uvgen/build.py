"""Samples and a model to shards: the plan, the parallel work, and the index.

A shard is the unit of work. Shards are planned from the sorted sample list alone, and each is made by one worker
from its own samples, so that the bytes depend neither on the number of workers nor on interruptions.
"""

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import uvgen
from uvgen import shards
from uvgen.crop import JITTER, crop_similarity, warp_image
from uvgen.errors import DatasetError, InputError, SampleError, UvgenError
from uvgen.files import exclusive, replaced_on_success, sha256_file
from uvgen.masks import weight_mask
from uvgen.model import MorphableModel, load_model, save_model
from uvgen.posmap import BATCH, FixedPoint, PositionMapper
from uvgen.randomness import keyed_generator
from uvgen.samples import Annotation, Sample, read_annotation, read_image


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """Everything that the bytes of a data set depend on, besides the samples and the model.

    Attributes
    ----------
    size : int
        Pixels along each side of the crops.
    uv_size : int
        Texels along each side of the position maps.
    shard_size : int
        Samples a shard, skipped ones included.
    seed : int
        Of the crops' jitter.
    jitter : float
        See `uvgen.crop.crop_similarity`; 0 is none.
    posmap_dtype : {"uint16", "float32"}
        Fixed point (1/64 px at 256) or exact.
    compression : {None, "lzf", "gzip"}
        Of images and maps.
    compat : {None, "face3d"}
        Pixel convention.
    """

    size: int = 256
    uv_size: int = 256
    shard_size: int = 256
    seed: int = 0
    jitter: float = JITTER
    posmap_dtype: str = "uint16"
    compression: str | None = None
    compat: str | None = None

    def check(self) -> None:
        """Raise InputError where a value is out of range."""
        for name, low, high in (("size", 16, 4096), ("uv_size", 16, 4096), ("shard_size", 1, 1 << 20)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name}: {getattr(self, name)}, expected {low} to {high}")
        if not 0 <= self.jitter < 1:
            raise InputError(f"jitter: {self.jitter}, expected 0 (none) to below 1; the field's is {JITTER}")


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard to make: its file name and samples."""

    file: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What came of a task."""

    entry: shards.ShardEntry
    skipped: tuple[shards.SkippedSample, ...]


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build did and what the folder now holds.

    `samples`, `size_bytes` and `skipped` count the whole data set; `new_samples` this run's.
    """

    samples: int
    new_samples: int
    size_bytes: int
    skipped: tuple[shards.SkippedSample, ...]


@dataclass(frozen=True)
class _Job:
    """What every worker needs; hashable, so that a worker opens it once."""

    out: Path
    root: Path
    model: Path
    weights: Path
    config: BuildConfig
    on_error: str


def plan_shards(samples: Sequence[Sample], shard_size: int) -> list[ShardTask]:
    """Cut a sample list into shards, none across subsets.

    Parameters
    ----------
    samples : sequence of Sample
        Sorted, as `uvgen.samples.find_samples` returns them.
    shard_size : int
        Samples a shard.

    Returns
    -------
    list of ShardTask
        ``SUBSET-00000.h5`` and so on.
    """
    by_subset: dict[str, list[Sample]] = {}
    for sample in samples:
        by_subset.setdefault(sample.subset, []).append(sample)
    return [
        ShardTask(f"{subset}-{number:05d}.h5", tuple(members[first : first + shard_size]))
        for subset, members in by_subset.items()
        for number, first in enumerate(range(0, len(members), shard_size))
    ]


def sample_bytes(config: BuildConfig) -> int:
    """Bytes of one sample's crop and map, uncompressed."""
    return 3 * (config.size**2 + config.uv_size**2 * np.dtype(config.posmap_dtype).itemsize)


def build(
    samples: Sequence[Sample],
    model: MorphableModel,
    out: str | os.PathLike[str],
    config: BuildConfig = BuildConfig(),
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
    config : BuildConfig
        What the bytes depend on.
    root : path-like
        Folder that the stored source paths are relative to.
    weights : (uv_size, uv_size) float32, optional
        Weight mask to store instead of `uvgen.masks.weight_mask`.
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
    config.check()
    out = Path(out)
    tasks = plan_shards(samples, config.shard_size)
    mask = weight_mask(model, config.uv_size) if weights is None else np.asarray(weights, np.float32)
    if mask.shape != (config.uv_size, config.uv_size):
        raise InputError(f"weights: {mask.shape}, expected ({config.uv_size}, {config.uv_size}) as --uv-size says")
    fresh = shards.Index(uvgen.__version__, _describe(config, model, mask), _describe_plan(samples))
    with exclusive(out):
        index = _resume(out, fresh, tasks, overwrite)
        done = {entry.file for entry in index.shards}
        todo = [task for task in tasks if task.file not in done]
        new_samples = 0
        with _shared_files(model, mask) as (model_path, mask_path):
            job = _Job(out, Path(root), model_path, mask_path, config, on_error)
            for result in _run(job, todo, workers):
                index.shards.append(result.entry)
                index.skipped.extend(result.skipped)
                index.write(out)
                new_samples += result.entry.samples
                if progress is not None:
                    progress(result)
        index.write(out)
    size_bytes = sum(entry.size_bytes for entry in index.shards)
    return BuildResult(index.n_samples, new_samples, size_bytes, tuple(index.skipped))


def _describe(config: BuildConfig, model: MorphableModel, mask: NDArray[np.float32]) -> dict[str, Any]:
    return {
        **dataclasses.asdict(config),
        "model": model.name,
        "model_sha256": model.content_sha256,
        "weight_mask_sha256": hashlib.sha256(mask.tobytes()).hexdigest(),
    }


def _describe_plan(samples: Sequence[Sample]) -> dict[str, Any]:
    names = "\n".join(sample.name for sample in samples)
    return {"samples": len(samples), "names_sha256": hashlib.sha256(names.encode()).hexdigest()}


def _resume(out: Path, fresh: shards.Index, tasks: Sequence[ShardTask], overwrite: bool) -> shards.Index:
    """The folder's index where it fits; a new one where there is none or `overwrite` says so."""
    if not (out / shards.INDEX).exists():
        return fresh
    try:
        index = shards.Index.read(out)
    except DatasetError:
        if overwrite:
            return fresh
        raise
    if overwrite:
        for entry in index.shards:
            (out / entry.file).unlink(missing_ok=True)
        fresh.write(out)
        return fresh
    for what, old, new in (
        ("uvgen", index.uvgen, fresh.uvgen),
        *((key, index.config.get(key), fresh.config[key]) for key in fresh.config),
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


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


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


def _run(job: _Job, tasks: Sequence[ShardTask], workers: int) -> Iterator[ShardResult]:
    if workers == 1 or len(tasks) <= 1:
        yield from (build_shard(job, task) for task in tasks)
        return
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = Parallel(n_jobs=min(workers, len(tasks)), return_as="generator_unordered", batch_size=1)
        yield from parallel(delayed(build_shard)(job, task) for task in tasks)


def build_shard(job: _Job, task: ShardTask) -> ShardResult:
    """Make one shard and rename it into place; runs in a worker process."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # more would be slower, and would change the last bits
        return _Worker.of(job).build(task)


class _Worker:
    """One process's share of the work: the model, the mapper and the buffers."""

    def __init__(self, job: _Job) -> None:
        self.job = job
        self.model = load_model(job.model)
        self.mapper = PositionMapper(self.model, job.config.uv_size, job.config.compat)
        self.maps = np.empty((BATCH, job.config.uv_size, job.config.uv_size, 3), job.config.posmap_dtype)
        self.crops = np.empty((BATCH, job.config.size, job.config.size, 3), np.uint8)
        self.fields = _fields(job.config, self.model)

    @staticmethod
    @lru_cache(maxsize=1)
    def of(job: _Job) -> "_Worker":
        return _Worker(job)

    def build(self, task: ShardTask) -> ShardResult:
        job, skipped = self.job, []
        path = job.out / task.file

        def skip(sample: Sample, error: Exception) -> None:
            if job.on_error == "fail":
                raise error
            skipped.append(shards.SkippedSample(sample.name, task.file, str(error)))

        with replaced_on_success(path) as temporary:
            with shards.ShardWriter(temporary, self.fields, job.config.compression) as writer:
                for first in range(0, len(task.samples), BATCH):
                    if rows := self._batch(task.samples[first : first + BATCH], skip):
                        writer.append(rows)
                n = writer.n_samples
                writer.finish(
                    {"weight_mask": np.load(job.weights), "coverage": self.mapper.coverage}, self._attributes()
                )
            digest = sha256_file(temporary)
        if n == 0:
            path.unlink()
            return ShardResult(shards.ShardEntry(task.file, 0, 0, None), tuple(skipped))
        return ShardResult(shards.ShardEntry(task.file, n, path.stat().st_size, digest), tuple(skipped))

    def _batch(self, samples: Sequence[Sample], skip: Callable[[Sample, Exception], None]) -> dict[str, Any]:
        """Rows of the samples that can be used."""
        config = self.job.config
        kept: list[tuple[Sample, Annotation, int, NDArray[np.float64]]] = []
        for sample in samples:
            try:
                annotation = self._annotation(sample)
                image = read_image(sample)
                similarity = self._similarity(sample, annotation, image.shape)
                warp_image(image, similarity, config.size, out=self.crops[len(kept)])
            except UvgenError as error:
                skip(sample, error)
                continue
            kept.append((sample, annotation, image.shape[0], similarity))
        if not kept:
            return {}
        n = len(kept)
        rows: dict[str, Any] = {
            "shape": np.stack([annotation.shape for _, annotation, _, _ in kept]),
            "expression": np.stack([annotation.expression for _, annotation, _, _ in kept]),
            "pose": np.stack([annotation.pose for _, annotation, _, _ in kept]),
            "crop": np.stack([similarity for *_, similarity in kept]),
            "image_height": np.array([height for _, _, height, _ in kept]),
        }
        faces = (rows["shape"], rows["expression"], rows["pose"], rows["crop"], rows["image_height"])
        rows["image"] = self.crops[:n]
        rows["name"] = [sample.name for sample, *_ in kept]
        rows["source"] = [_relative(sample.image, self.job.root) for sample, *_ in kept]
        out = self.maps[:n]
        if config.posmap_dtype == "float32":
            rows["posmap"], rows["landmarks"] = self.mapper.maps_and_landmarks(*faces, out=out)
            return rows
        fixed_point = FixedPoint.for_crop(config.size)
        rows["posmap"], rows["landmarks"], in_range = self.mapper.codes_and_landmarks(*faces, fixed_point, out=out)
        for k in np.flatnonzero(~in_range):
            skip(kept[k][0], _range_error(kept[k][0], fixed_point))
        which = np.flatnonzero(in_range)
        if len(which) == n:
            return rows
        return {key: [v[i] for i in which] if isinstance(v, list) else v[which] for key, v in rows.items()}

    def _annotation(self, sample: Sample) -> Annotation:
        annotation = read_annotation(sample)
        for what, found, expected in (
            ("shape", len(annotation.shape), self.model.n_shape),
            ("expression", len(annotation.expression), self.model.n_expression),
        ):
            if found != expected:
                raise SampleError(
                    f"{sample.parameters}: {found} {what} parameters, {self.model.name} has {expected} components; "
                    "use the model that the parameters were fitted with"
                )
        return annotation

    def _similarity(self, sample: Sample, annotation: Annotation, shape: tuple[int, ...]) -> NDArray[np.float64]:
        config = self.job.config
        landmarks = self.mapper.image_landmarks(
            annotation.shape[None], annotation.expression[None], annotation.pose[None], shape[0]
        )[0, :, :2]
        low, high = landmarks.min(axis=0), landmarks.max(axis=0)
        if high.min() < 0 or low[0] > shape[1] - 1 or low[1] > shape[0] - 1:
            raise SampleError(
                f"{sample.image}: the face lies outside the image ({shape[1]}×{shape[0]}; landmarks around "
                f"x {low[0]:.0f} to {high[0]:.0f}, y {low[1]:.0f} to {high[1]:.0f}); is Pose_Para of this image?"
            )
        draw = keyed_generator(config.seed, sample.name).random(3)
        try:
            return crop_similarity(landmarks, config.size, draw, jitter=config.jitter, compat=config.compat)
        except InputError as error:
            raise SampleError(f"{sample.parameters}: {error}") from error

    def _attributes(self) -> dict[str, Any]:
        return {
            "uvgen": uvgen.__version__,
            "model": self.model.name,
            "model_sha256": self.model.content_sha256,
            "config": json.dumps(dataclasses.asdict(self.job.config), sort_keys=True),
            "pixel_convention": self.job.config.compat or "exact",
            "pixel_frame": "pixel centres at integers, first pixel (0, 0), x right, y down, z toward the viewer",
        }


def _range_error(sample: Sample, fixed_point: FixedPoint) -> SampleError:
    low, high = fixed_point.offset, fixed_point.offset + 65535 * fixed_point.scale
    return SampleError(
        f"{sample.parameters}: its map leaves {low:.0f} to {high:.0f} px, the range of uint16; "
        "check the pose, or use --posmap-dtype float32"
    )


def _relative(path: Path | None, root: Path) -> str:
    return "" if path is None else Path(os.path.relpath(path, root)).as_posix()


def _fields(config: BuildConfig, model: MorphableModel) -> dict[str, shards.Field]:
    crop = {"unit": "px", "frame": "crop"}
    scale, offset = FixedPoint.for_crop(config.size)
    posmap = {**crop, **({"scale_factor": scale, "add_offset": offset} if config.posmap_dtype == "uint16" else {})}
    r, u = config.size, config.uv_size
    return {
        "image": shards.Field("uint8", (r, r, 3), chunked=True, attributes={"channels": "RGB"}),
        "posmap": shards.Field(config.posmap_dtype, (u, u, 3), chunked=True, attributes=posmap),
        "shape": shards.Field("float32", (model.n_shape,)),
        "expression": shards.Field("float32", (model.n_expression,)),
        "pose": shards.Field("float32", (7,), attributes={"content": "pitch yaw roll (rad) tx ty tz (px) f (px/um)"}),
        "crop": shards.Field("float64", (3, 3), attributes={"content": "image to crop similarity"}),
        "image_height": shards.Field("int32", (), attributes={"unit": "px"}),
        "landmarks": shards.Field("float32", (68, 3), attributes=crop),
        "name": shards.Field("str", ()),
        "source": shards.Field("str", ()),
    }
