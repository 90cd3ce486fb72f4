"""Crops and position maps that another program made, to shards: what `uvgen build --maps-from` does.

Such samples have no shape and expression parameters. Their landmarks are read from the maps, at the model's texels, and
their pose is that of the model's mean face laid on these landmarks: good for yaw ranges and previews, not a label.
`image_to_crop` is the identity: the crop is the image.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.datasets.build import constants_of, describe_plan, hash_of_weights
from uvgen.datasets.config import LARGEST_SIDE, SMALLEST_SIDE, BuildConfig, DatasetConfig
from uvgen.datasets.fields import build_fields, shard_attributes
from uvgen.datasets.map_comparison import compare_maps
from uvgen.datasets.plan import ShardTask, plan_shards
from uvgen.datasets.record import BuildResult, ShardResult, check_output, make_shards, output_folder
from uvgen.datasets.survey import Survey
from uvgen.errors import DatasetError, InputError, SampleError, UvgenError
from uvgen.fixed_point import FixedPoint
from uvgen.geometry import affine_to_pose
from uvgen.images.codecs import encode_jpeg
from uvgen.jobs.run import RETRIES, check_run, same_workers
from uvgen.maps.landmarks import LandmarkWeights, read_landmarks
from uvgen.models.load import as_model
from uvgen.models.morphable import MorphableModel
from uvgen.normalization import DIVISORS, Normalization, check_scale
from uvgen.progress import begin, counted
from uvgen.samples.files import check_machine, check_source, files_sha256
from uvgen.samples.find import Sample
from uvgen.samples.map_files import (
    LAYOUTS,
    check_layout,
    exported_convention,
    find_maps,
    more_files,
    read_map,
)
from uvgen.samples.read import read_image
from uvgen.shards.index import ShardEntry, SkippedSample
from uvgen.shards.writer import held_at_once, write_shard
from uvgen.storage.folders import EXPORT_MARK
from uvgen.storage.names import printable

_BATCH = 32
_N_PROBES = 64
_N_LOOKED_AT = 8
_MIDDLE = 0.3  # share of a crop in which faces begin to lie at its edge
_SMALLEST = 0.1  # of a face in its crop, whose sides are twice a face's or less
_UNLIKE = 0.15  # RMS distance of landmarks from a face's, as a share of their box; faces are within 0.03 to 0.08


def import_maps(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: MorphableModel | str | os.PathLike[str],
    layout: str | None = None,
    scale: str | float | None = None,
    convention: str | None = None,
    originals: str | os.PathLike[str] | None = None,
    config: BuildConfig | None = None,
    limit: int | None = None,
    weights: ArrayLike | str | os.PathLike[str] | None = None,
    workers: int = 1,
    retries: int = RETRIES,
    timeout: float | None = None,
    on_error: str = "skip",
    overwrite: bool = False,
    progress: Callable[[ShardResult], object] | None = None,
) -> BuildResult:
    """Make a data set of crops and position maps that another program wrote, or finish one that was begun.

    Parameters
    ----------
    data : path-like
        Folder of crops and ``.npy`` maps, see `uvgen.samples.map_files`.
    out : path-like
        Folder for the shards and `dataset.json`.
    model : MorphableModel or path-like
        The model with the maps' UV: it says where their landmarks are.
    layout : {"face3d", "prnet_pytorch", "uvgen", "reshow"}, optional
        Whose files these are; by default told by their names.
    scale : {"px", "size", "prnet", "reshow", "unit"} or float, optional
        What the maps' values were divided by, as `uvgen.Normalization.of_scale` has it, whose crops are each map's own;
        found where there are `originals`, else "px".
    convention : {"exact", "face3d"}, optional
        Pixel convention of the labels; stated by exports of uvgen's, found where there are `originals`, else the
        layout's.
    originals : path-like, optional
        Folder of the images with ``.mat`` files that the crops were made of, under the same names: a few crops are made
        again from them to find `scale` and `convention`.
    config : BuildConfig, optional
        `shard_size`, `posmap_dtype`, `image_codec`, `jpeg_quality` and `compression` count; sizes are the files'.
    limit : int, optional
        Take only the first few.
    weights, workers, retries, timeout, on_error, overwrite, progress
        As for `uvgen.build_shards`.

    Returns
    -------
    BuildResult

    Raises
    ------
    DatasetError
        Where there are no maps, none of them can be used, or the folder cannot be written or holds something else.
    ModelError
        Where the model cannot be read.
    SampleError
        For a bad sample with ``on_error="fail"``.
    InputError
        Where an argument is out of range, or `originals` fit none of the scales and conventions.

    Examples
    --------
    >>> result = uvgen.import_maps("posmaps/", "shards/", model="bfm.h5", layout="face3d")
    >>> result.samples
    """
    check_run(workers, on_error, retries=retries, timeout=timeout)
    check_layout(layout)
    if isinstance(scale, str) and scale in {f"{divisor:g}" for divisor in DIVISORS}:
        scale = float(scale)  # as they were named before numbers were taken
    check_scale("px" if scale is None else scale)
    out, root = output_folder(out), Path(os.path.abspath(data))
    check_output(out, overwrite=overwrite)
    if out.exists() and root.exists() and out.samefile(root):
        raise InputError(f"{out}: holds the maps, expected another folder for the shards")
    begin("listing maps")
    exported = exported_convention(root) if layout is None else None
    samples, layout = find_maps(root, layout)
    if layout == "reshow" and exported not in (None, "reshow"):
        raise InputError(f"{root}: was exported with {exported} labels, expected reshow's own in its layout")
    if exported == "exact" and layout == "prnet_pytorch":
        layout = "uvgen"
    if convention is None and exported == "reshow" and layout != "reshow":
        raise DatasetError(
            f"{root}: {EXPORT_MARK} states labels of reshow, expected its layout of files, they are {layout}'s; name "
            "the convention"
        )
    convention = convention or (None if layout == "reshow" else exported)
    samples = samples[:limit]
    model = as_model(model)
    warnings = []
    if originals is not None and (scale is None or convention is None):
        begin("comparing maps with their originals")
        scale, convention, said = compare_maps(samples, layout, originals, model, scale, convention)
        warnings = [said]
    scale, convention = "px" if scale is None else scale, convention or LAYOUTS[layout].convention
    size, uv_size = _sizes(samples, layout, scale)
    normalization = Normalization.of_scale(scale, size)
    config = replace(
        config or BuildConfig(), size=size, uv_size=uv_size, convention=convention, maps_from=layout,
        maps_scale=normalization.scale[0], maps_offset=normalization.offset[0], jitter=0.0, maps="stored",
    )  # fmt: skip
    config.check()
    with same_workers(workers, timeout):
        begin("laying out the map")
        constants = constants_of(model, config, weights)
        points = LandmarkWeights.of_constants(constants)
        warnings += _about_scale(samples, config, points)
        return make_shards(
            ImportJob(out, root, model, config, points, on_error),
            plan_shards(samples, config.shard_size),
            out,
            DatasetConfig(config, model.name, model.content_sha256, hash_of_weights(constants)),
            {**describe_plan(samples, 1), "annotated_dimensions": 2},
            constants,
            mirror=None,
            model=model,
            warnings=warnings,
            state=_state_of(samples, layout),
            workers=workers,
            retries=retries,
            timeout=timeout,
            overwrite=overwrite,
            progress=progress,
        )


def _sizes(samples: Sequence[Sample], layout: str, scale: str | float) -> tuple[int, int]:
    """Sides of the crops and of the maps that most of the first samples have; DatasetError where none can be read."""
    errors, sizes = list[str](), Counter[tuple[int, int]]()
    for sample in samples[:_N_PROBES]:
        try:
            image = read_image(sample)
            known = Normalization.of_scale(scale, len(image))
            position_map = read_map(sample, layout, known.scale[0], known.offset[0])
        except SampleError as error:
            check_machine(error)
            errors.append(str(error))
            continue
        if image.shape[0] != image.shape[1]:
            errors.append(f"{sample.image}: {image.shape[1]} × {image.shape[0]} px, expected a square crop")
        elif not SMALLEST_SIDE <= len(image) <= LARGEST_SIDE:
            errors.append(f"{sample.image}: {len(image)} px a side, expected {SMALLEST_SIDE} to {LARGEST_SIDE}")
        elif not SMALLEST_SIDE <= len(position_map) <= LARGEST_SIDE:
            texels = f"{len(position_map)} texels a side"
            errors.append(f"{sample.parameters}: {texels}, expected {SMALLEST_SIDE} to {LARGEST_SIDE}")
        else:
            sizes[len(image), len(position_map)] += 1
    if not sizes:
        raise DatasetError(f"none of {len(errors)} crops with maps can be used; the first: {errors[0]}")
    return sizes.most_common(1)[0][0]


def _about_scale(samples: Sequence[Sample], config: BuildConfig, weights: LandmarkWeights) -> list[str]:
    """A warning where the faces of the first samples lie far from the middle of their crops, all alike."""
    middles = []
    for sample in samples[:_N_LOOKED_AT]:
        try:
            position_map = read_map(sample, config.maps_from or "", config.maps_scale, config.maps_offset)
        except SampleError as error:
            check_machine(error)
            continue
        if len(position_map) == config.uv_size:
            points = read_landmarks(position_map, weights)[:, :2]
            middles.append((points.min(axis=0) + points.max(axis=0)) / 2 / config.size)
    if not middles:
        return []
    x, y = np.median(middles, axis=0)
    if _MIDDLE <= x <= 1 - _MIDDLE and _MIDDLE <= y <= 1 - _MIDDLE:
        return []
    return [
        f"the faces of the first {len(middles)} maps lie at {x:.0%} of the crops' width and {y:.0%} of their height, "
        "expected about the middle; are these maps of crops of another size?"
    ]


def _state_of(samples: Sequence[Sample], layout: str) -> Callable[[ShardTask, str], str | None]:
    by_name = {sample.name: sample for sample in samples}

    def state(_: ShardTask, name: str) -> str | None:
        return _sha256_of(by_name[name], layout) if name in by_name else None

    return state


def _sha256_of(sample: Sample, layout: str) -> str:
    return files_sha256(sample, *more_files(sample, layout))


@dataclass(frozen=True, slots=True, eq=False)
class ImportJob:
    """What every process needs: folders as for a build, the maps' model, the configuration, how to read landmarks."""

    out: Path
    root: Path
    model: MorphableModel
    config: BuildConfig
    weights: LandmarkWeights
    on_error: str

    def open(self) -> Callable[[ShardTask], ShardResult]:
        """The function that makes one shard."""
        return _Importer(self).make

    def parts(self, task: ShardTask) -> list[ShardTask]:
        """Each of a shard's samples alone, to be tried."""
        return task.parts()

    def without(self, task: ShardTask, causes: Mapping[int, str]) -> ShardTask:
        """A shard without the samples at which processes die."""
        return task.without(causes)


class _Importer:
    """One process's share of the work."""

    def __init__(self, job: ImportJob) -> None:
        self.job = job
        self.fields = build_fields(job.config, job.model, Survey(), flips=False)
        self.mean = job.model.mean[job.model.landmarks].astype(np.float64)

    def make(self, task: ShardTask) -> ShardResult:
        """Make one shard and rename it into place."""
        job, skipped = self.job, list[SkippedSample]()

        def skip(sample: Sample, error: Exception) -> None:
            check_source(sample, error)
            if job.on_error == "fail":
                raise error
            state = _sha256_of(sample, job.config.maps_from or "")
            skipped.append(SkippedSample(sample.name, task.file, printable(str(error)), state))

        if task.trial:
            self._batch(task.samples, lambda sample, error: None)
            return ShardResult(ShardEntry(task.file, 0, 0, None), ())
        n = held_at_once(self.fields, _BATCH)
        parts = [task.samples[first : first + n] for first in range(0, len(task.samples), n)]
        entry = write_shard(
            job.out / task.file,
            self.fields,
            job.config.compression,
            counted((len(part), self._batch(part, skip)) for part in parts),
            shard_attributes(job.config, job.model),
            expected=task.expected,
        )
        return ShardResult(entry, tuple(skipped))

    def _batch(self, samples: Sequence[Sample], skip: Callable[[Sample, Exception], None]) -> dict[str, Any]:
        rows = []
        for sample in samples:
            try:
                rows.append(self._row(sample))
            except UvgenError as error:
                skip(sample, error)
        if not rows:
            return {}
        lists = {key: [row[key] for row in rows] for key in rows[0]}
        return {key: np.array(values) if isinstance(values[0], np.ndarray | np.generic) else values
                for key, values in lists.items()}  # fmt: skip

    def _row(self, sample: Sample) -> dict[str, Any]:
        config = self.job.config
        image = read_image(sample)
        position_map = read_map(sample, config.maps_from or "", config.maps_scale, config.maps_offset)
        if image.shape[:2] != (config.size, config.size):
            raise SampleError(
                f"{sample.image}: {image.shape[1]} × {image.shape[0]} px, expected {config.size} × {config.size} as "
                "the others"
            )
        if len(position_map) != config.uv_size:
            raise SampleError(
                f"{sample.parameters}: {len(position_map)} texels per side, expected {config.uv_size} as the others"
            )
        landmarks = read_landmarks(position_map, self.job.weights)
        pose = self._pose(sample, landmarks)
        none = np.float32(np.nan)
        return {
            "image": image if config.image_codec == "raw" else encode_jpeg(image, config.jpeg_quality),
            "posmap": position_map if config.posmap_dtype == "float32" else _codes(sample, position_map, config.size),
            "pose": pose,
            "image_to_crop": np.eye(3),
            "crop_pose": pose,
            "image_height": np.int32(config.size),
            "landmarks": landmarks,
            "annotated_landmarks": np.full((68, 2), none),
            "label_nme": none,
            "label_nme_jaw": none,
            "name": sample.name,
            "source": printable(Path(os.path.relpath(sample.image or "", self.job.root)).as_posix()),
        }

    def _pose(self, sample: Sample, landmarks: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The mean face's on a map's landmarks (68, 3); SampleError where these are no face, or not in the crop."""
        size = self.job.config.size
        affine, distance = lay_on(self.mean, landmarks)
        low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
        extent = float(np.sqrt(np.prod(np.maximum(high - low, 1e-9))))
        if not distance < _UNLIKE * extent:
            raise SampleError(
                f"{sample.parameters}: the texels of {self.job.model.name}'s 68 landmarks show no face "
                f"({distance / extent:.0%} of their box off, expected {_UNLIKE:.0%} at most); is its UV another "
                "model's, or the map's first row at the chin?"
            )
        inside = ((landmarks[:, :2] >= 0) & (landmarks[:, :2] <= size - 1)).all(axis=1)
        outside = 2 * np.count_nonzero(inside) < len(landmarks)
        if outside or extent < _SMALLEST * size:
            how = "lies outside" if outside else "is far too small in"
            raise SampleError(
                f"{sample.parameters}: the face {how} the crop of {size} px (landmarks around x {low[0]:.0f} to "
                f"{high[0]:.0f}, y {low[1]:.0f} to {high[1]:.0f}); is it the map of {sample.image}, and of this scale?"
            )
        found: NDArray[np.float32] = affine_to_pose(affine[None], size, self.job.config.convention)[0].astype(
            np.float32
        )
        return found


def _codes(sample: Sample, position_map: NDArray[np.float32], size: int) -> NDArray[np.uint16]:
    """A map as fixed point; SampleError where a value has no code."""
    codes = FixedPoint.for_crop(size)
    values, in_range = codes.encode(position_map)
    if not in_range:
        raise codes.range_error(f"{sample.parameters}: the map")
    return values


def lay_on(mean: NDArray[np.float64], points: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], float]:
    """A model's points laid on others by rotation, scale and shift (Umeyama, PAMI 1991).

    Parameters
    ----------
    mean : (n, 3) float64
        Model frame, y up.
    points : (n, 3) float
        Image frame, y down.

    Returns
    -------
    affine : (3, 4) float64
        Takes the model's points to the image frame, as `uvgen.geometry.pose_to_image` gives it.
    distance : float
        Root mean square of what is left, px.
    """
    wanted = points.astype(np.float64) * [1, -1, 1]
    center, target = mean.mean(axis=0), wanted.mean(axis=0)
    a, b = mean - center, wanted - target
    u, singular, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt)) or 1.0])
    scale = float((singular * signs).sum() / (a**2).sum())
    rotation = scale * (u * signs) @ vt
    shift = target - rotation @ center
    distance = np.sqrt(((mean @ rotation.T + shift - wanted) ** 2).sum(axis=1).mean())
    affine = np.column_stack([rotation, shift])
    affine[1] *= -1
    return affine, float(distance)
