"""Shards of another program's crops and position maps, in a worker: their landmarks, their poses, what is refused."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.config import BuildConfig
from uvgen.datasets.fields import build_fields, shard_attributes, while_unchanged
from uvgen.datasets.mean_face import AWAY, lay_on
from uvgen.datasets.plan import ShardTask
from uvgen.datasets.quality.survey import Survey
from uvgen.datasets.record import ShardResult
from uvgen.errors import SampleError, UvgenError
from uvgen.fixed_point import FixedPoint
from uvgen.geometry import affine_to_pose
from uvgen.images.jpeg import encode_jpeg
from uvgen.maps.landmarks import LandmarkWeights, read_landmarks
from uvgen.models.morphable import MorphableModel
from uvgen.progress import counted
from uvgen.samples.files import check_source, confirmed, files_sha256
from uvgen.samples.find import Sample
from uvgen.samples.map_files import more_files, read_map
from uvgen.samples.read import read_image
from uvgen.shards.index import ShardEntry, SkippedSample
from uvgen.shards.writer import held_at_once, write_shard
from uvgen.storage.names import printable

_BATCH = 32
_SMALLEST = 0.1  # of a face in its crop, whose sides are twice a face's or less
_UNLIKE = 0.15  # RMS distance of landmarks from a face's, as a share of their box; faces are within 0.03 to 0.08


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

    def unopened(self, task: ShardTask) -> ShardTask:
        """The same without a look at their files."""
        return task.unopened()


class _Importer:
    """One process's share of the work."""

    def __init__(self, job: ImportJob) -> None:
        self.job = job
        self.fields = build_fields(job.config, job.model, Survey(), flips=False)
        self.mean = job.model.mean[job.model.landmarks].astype(np.float64)

    def make(self, task: ShardTask) -> ShardResult:
        """Make one shard and rename it into place."""
        job, skipped, again = self.job, list[SkippedSample](), list[Sample]()

        def skip(sample: Sample, error: Exception) -> None:
            check_source(sample, error)
            if job.on_error == "fail":
                raise error
            state = None if sample.is_unopened else hash_of_files(sample, job.config.maps_from or "")
            skipped.append(SkippedSample(sample.name, task.file, printable(str(error)), state))
            again.append(sample)

        if task.trial:
            self._batch(task.samples, lambda sample, error: None)
            return ShardResult(ShardEntry(task.file, 0, 0, None), ())
        n = held_at_once(self.fields, _BATCH)
        parts = [task.samples[first : first + n] for first in range(0, len(task.samples), n)]
        entry = write_shard(
            job.out / task.file,
            self.fields,
            job.config.compression,
            while_unchanged(job.model, counted((len(part), self._batch(part, skip)) for part in parts)),
            shard_attributes(job.config, job.model),
            expected=task.expected,
        )
        for number, sample in enumerate(again):
            skipped[number] = confirmed(skipped[number], partial(self._batch, (sample,)))
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
        """The mean face's on a map's landmarks (68, 3); SampleError if these are no face, or not in the crop."""
        size = self.job.config.size
        if not np.ptp(landmarks, axis=0).any():
            raise SampleError(
                f"{sample.parameters}: the texels of {self.job.model.name}'s 68 landmarks show no face, but lie in one "
                "point"
            )
        affine, distance = lay_on(self.mean, landmarks)
        low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
        extent = float(np.sqrt(np.prod(np.maximum(high - low, 1e-9))))
        if not distance < _UNLIKE * extent:
            raise SampleError(
                f"{sample.parameters}: the texels of {self.job.model.name}'s 68 landmarks show no face "
                f"({distance / extent:.0%} of their box off, expected {_UNLIKE:.0%} at most); is its UV another "
                "model's, or the map's first row at the chin?"
            )
        facing = affine[2, 2] / np.cbrt(np.abs(np.linalg.det(affine[:, :3])))
        if facing < AWAY:
            away = np.degrees(np.arccos(max(facing, -1.0)))
            raise SampleError(
                f"{sample.parameters}: its face is turned {away:.0f}° from the viewer, expected one in view; are x "
                "mirrored and z away from the viewer?"
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
    """A map as fixed point; SampleError if a value has no code."""
    codes = FixedPoint.for_crop(size)
    values, in_range = codes.encode(position_map)
    if not in_range:
        raise codes.range_error(f"{sample.parameters}: the map")
    return values


def hash_of_files(sample: Sample, layout: str) -> str:
    """What tells whether any file of a sample has changed, those of its layout too."""
    return files_sha256(sample, *more_files(sample, layout))
