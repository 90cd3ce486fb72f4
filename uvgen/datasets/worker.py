"""One process's share of a build: reads samples, makes crops and maps in batches, writes whole shards."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen._version import __version__
from uvgen.augment.sample import crop_augmented
from uvgen.augment.values import AugmentationDraw
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.fields import MAP_PARAMETERS, build_fields
from uvgen.datasets.plan import ShardTask
from uvgen.datasets.record import ShardResult
from uvgen.errors import InputError, SampleError, UvgenError
from uvgen.fixed_point import FixedPoint
from uvgen.images.codecs import encode_jpeg
from uvgen.images.crop import crop_similarity
from uvgen.images.warp import warp_image
from uvgen.maps.labels import crop_pose
from uvgen.maps.mirror import TexelMirror
from uvgen.maps.position_mapper import BATCH, PositionMapper
from uvgen.models.morphable import MorphableModel
from uvgen.randomness import keyed_generator
from uvgen.samples.find import Sample
from uvgen.samples.read import Annotation, read_annotation, read_image
from uvgen.shards.index import SkippedSample
from uvgen.shards.writer import write_shard


@dataclass(frozen=True, slots=True, eq=False)
class BuildJob:
    """What every process of a build needs.

    Attributes
    ----------
    out, root : Path
        The data set's folder, and the folder that the stored source paths are relative to; absolute.
    model : MorphableModel
        The model that the samples' parameters belong to.
    mirror : TexelMirror or None
        The model's, where samples are flipped.
    config : BuildConfig
        What the bytes depend on.
    on_error : {"skip", "fail"}
        What to do with a sample that cannot be used.
    """

    out: Path
    root: Path
    model: MorphableModel
    mirror: TexelMirror | None
    config: BuildConfig
    on_error: str

    def open(self) -> Callable[[ShardTask], ShardResult]:
        """The function that makes one shard."""
        return _Builder(self).build


class _Builder:
    """One process's share of the work: the mapper and the buffers."""

    def __init__(self, job: BuildJob) -> None:
        self.job, self.model = job, job.model
        self.mapper = PositionMapper(self.model, job.config.uv_size, job.config.convention, crop_size=job.config.size)
        n_maps = BATCH if job.config.maps == "stored" else 0
        self.maps = np.empty((n_maps, job.config.uv_size, job.config.uv_size, 3), job.config.posmap_dtype)
        self.crops = np.empty((BATCH, job.config.size, job.config.size, 3), np.uint8)
        self.augmentation = job.config.augmentation
        self.fields = build_fields(job.config, self.model, flips=job.mirror is not None)

    def build(self, task: ShardTask) -> ShardResult:
        """Make one shard and rename it into place."""
        job, skipped = self.job, list[SkippedSample]()

        def skip(sample: Sample, error: Exception) -> None:
            if job.on_error == "fail":
                raise error
            skipped.append(SkippedSample(sample.name, task.file, str(error)))

        parts = [task.samples[first : first + BATCH] for first in range(0, len(task.samples), BATCH)]
        entry = write_shard(
            job.out / task.file,
            self.fields,
            job.config.compression,
            (self._batch(part, task.copy, skip) for part in parts),
            self._attributes(),
        )
        return ShardResult(entry, tuple(skipped))

    def _batch(self, samples: Sequence[Sample], copy: int, skip: Callable[[Sample, Exception], None]) -> dict[str, Any]:
        """Rows of the samples that can be used."""
        config = self.job.config
        kept: list[tuple[Sample, Annotation, int, NDArray[np.float64]]] = []
        draws: list[AugmentationDraw] = []
        for number, sample in enumerate(samples):
            try:
                annotation = self._annotation(sample)
                image = read_image(sample)
                similarity = self._similarity(sample, annotation, image.shape)
                out = self.crops[len(kept)]
                if self.augmentation is None:
                    warp_image(image, similarity, config.size, out=out)
                else:
                    draw = self.augmentation.draw(config.seed, sample.name, copy, config.size)
                    other = self._other(samples, number, draw)
                    _, similarity = crop_augmented(image, similarity, draw, other=other, out=out)
                    draws.append(draw)
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
            "image_to_crop": np.stack([similarity for *_, similarity in kept]),
            "image_height": np.array([height for _, _, height, _ in kept]),
        }
        rows["image"] = self._images(n)
        rows["name"] = [sample.name for sample, *_ in kept]
        if self.augmentation is not None:
            rows["name"] = [f"{name}-{copy}" for name in rows["name"]]
            rows["augmentation"] = [draw.to_json() for draw in draws]
            rows["flipped"] = np.array([draw.flip for draw in draws])
        rows["source"] = [_relative(sample.image, self.job.root) for sample, *_ in kept]
        flipped = rows.get("flipped", np.zeros(n, bool))
        if config.maps == "none":
            rows["landmarks"] = self.mapper.crop_landmarks(*(rows[key] for key in MAP_PARAMETERS), flipped=flipped)
            in_range = np.ones(n, bool)
        else:
            rows["posmap"], rows["landmarks"], in_range = self._maps(rows, flipped)
        rows["crop_pose"] = crop_pose(
            rows["pose"], rows["image_to_crop"], rows["image_height"], config.size, config.convention, flipped
        )
        for k in np.flatnonzero(~in_range):
            skip(kept[k][0], _range_error(kept[k][0], config))
        which = np.flatnonzero(in_range)
        if len(which) == n:
            return rows
        return {key: [v[i] for i in which] if isinstance(v, list) else v[which] for key, v in rows.items()}

    def _other(self, samples: Sequence[Sample], number: int, draw: AugmentationDraw) -> NDArray[np.uint8] | None:
        """What an occluder over a sample shows: the image of another one of its batch that can be read."""
        first = draw.other_sample(number, len(samples))
        if first is None:
            return None
        for k in (*range(first, len(samples)), *range(first)):
            if k == number:
                continue
            try:
                return read_image(samples[k])
            except UvgenError:  # reported where it is its turn
                continue
        return None

    def _images(self, n: int) -> Any:
        """The first n crops as they are stored."""
        if self.job.config.image_codec == "raw":
            return self.crops[:n]
        quality = self.job.config.jpeg_quality
        return [encode_jpeg(crop, quality) for crop in self.crops[:n]]

    def _maps(
        self, rows: dict[str, Any], flipped: NDArray[np.bool_]
    ) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_]]:
        """Maps as they are stored, landmarks, and which of them the stored type can hold."""
        shape, expression, pose, similarity, height = (rows[key] for key in MAP_PARAMETERS)
        parameters = shape, expression, pose, similarity, height
        out = self.maps[: len(flipped)]
        if self.job.config.posmap_dtype == "uint16":
            codes = FixedPoint.for_crop(self.job.config.size)
            return self.mapper.codes_and_landmarks(*parameters, codes, flipped=flipped, out=out)
        maps, landmarks = self.mapper.maps_and_landmarks(*parameters, flipped=flipped, out=out)
        return maps, landmarks, np.array([np.isfinite(values).all() for values in maps])

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
            return crop_similarity(landmarks, config.size, draw, jitter=config.jitter, convention=config.convention)
        except InputError as error:
            raise SampleError(f"{sample.parameters}: {error}") from error

    def _attributes(self) -> dict[str, Any]:
        return {
            "uvgen": __version__,
            "size": self.job.config.size,
            "model": self.model.name,
            "model_sha256": self.model.content_sha256,
            "config": json.dumps(self.job.config.to_plain(), sort_keys=True),
            "convention": self.job.config.convention,
            "pixel_frame": "pixel centres at integers, first pixel (0, 0), x right, y down, z toward the viewer",
        }


def _range_error(sample: Sample, config: BuildConfig) -> SampleError:
    if config.posmap_dtype == "float32":
        return SampleError(f"{sample.parameters}: its map overflows float32; check the parameters")
    return FixedPoint.for_crop(config.size).range_error(f"{sample.parameters}: its map")


def _relative(path: Path | None, root: Path) -> str:
    return "" if path is None else Path(os.path.relpath(path, root)).as_posix()
