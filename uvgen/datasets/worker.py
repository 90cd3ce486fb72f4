"""One process's share of a build: reads samples, makes crops and maps in batches, writes whole shards."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.augment.draws import AugmentationDraw
from uvgen.augment.sample import crop_augmented
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.fields import MAP_PARAMETERS, build_fields, shard_attributes, while_unchanged
from uvgen.datasets.naming import copy_name
from uvgen.datasets.plan import ShardTask
from uvgen.datasets.quality.annotated_rows import Kept, add_annotations, near_annotations, nme_of
from uvgen.datasets.quality.plausible import (
    MOST,
    are_labels,
    check_counts,
    check_deviations,
    check_face_size,
    check_inside,
    check_labels,
    check_pose,
)
from uvgen.datasets.quality.survey import Survey
from uvgen.datasets.record import ShardResult
from uvgen.datasets.targets import target_maker
from uvgen.datasets.turned import AT_ONCE, SampleTurner
from uvgen.errors import InputError, SampleError, UvgenError
from uvgen.fixed_point import FixedPoint
from uvgen.geometry import similarity_scale
from uvgen.images.crop import crop_similarity
from uvgen.images.jpeg import encode_jpeg
from uvgen.images.warp import warp_image
from uvgen.maps.image_landmarks import ImageLandmarks, LandmarkBasis
from uvgen.maps.labels import crop_pose, mirror_landmarks
from uvgen.maps.mirror import TexelMirror
from uvgen.maps.position_mapper import PositionMapper
from uvgen.maps.target_layouts import range_error
from uvgen.maps.texel_products import BATCH
from uvgen.models.morphable import MorphableModel
from uvgen.progress import counted
from uvgen.randomness import keyed_generator
from uvgen.samples.files import check_machine, check_source, confirmed, files_sha256
from uvgen.samples.find import Sample
from uvgen.samples.read import EXTRAS, Annotation, read_annotation, read_image, read_picture
from uvgen.samples.stored import at_hand
from uvgen.shards.index import ShardEntry, SkippedSample
from uvgen.shards.writer import held_at_once, write_shard
from uvgen.storage.names import printable
from uvgen.wording import count

_STATED = ("shape", "expression", "pose")
_CHECKED = ("pose", "image_to_crop", "crop_pose", "landmarks")


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
        The model's, if samples are flipped.
    config : BuildConfig
        What the bytes depend on.
    survey : Survey
        What all samples have in common.
    on_error : {"skip", "fail"}
        What to do with a sample that cannot be used.
    """

    out: Path
    root: Path
    model: MorphableModel
    mirror: TexelMirror | None
    config: BuildConfig
    survey: Survey
    on_error: str

    def open(self) -> Callable[[ShardTask], ShardResult]:
        """The function that makes one shard."""
        return Builder(self).build

    def parts(self, task: ShardTask) -> list[ShardTask]:
        """Each of a shard's samples alone, to be tried."""
        return task.parts()

    def without(self, task: ShardTask, causes: Mapping[int, str]) -> ShardTask:
        """A shard without the samples at which processes die."""
        return task.without(causes)

    def unopened(self, task: ShardTask) -> ShardTask:
        """The same without a look at their files."""
        return task.unopened()


class Builder:
    """One process's share of the work: the mapper and the buffers.

    `uvgen.datasets.mesh_worker` has another, whose labels come from meshes.
    """

    most_held = BATCH  # samples at once

    def __init__(self, job: BuildJob) -> None:
        self.job, self.model = job, job.model
        self.mapper = PositionMapper(self.model, job.config.uv_size, job.config.convention, crop_size=job.config.size)
        self.landmark_basis = LandmarkBasis(self.model)
        self.fields = build_fields(job.config, self.model, job.survey, flips=job.mirror is not None)
        self.n_held = held_at_once(self.fields, self.most_held)
        n_maps = self.n_held if job.config.maps == "stored" else 0
        self.maps = np.empty((n_maps, job.config.uv_size, job.config.uv_size, 3), job.config.posmap_dtype)
        self.crops = np.empty((self.n_held, job.config.size, job.config.size, 3), np.uint8)
        self.targets = target_maker(self.model, job.config)
        self.augmentation = job.config.augmentation
        self.turner = SampleTurner.of(job.model, job.config)
        self.root = job.root

    def build(self, task: ShardTask) -> ShardResult:
        """Make one shard and rename it into place, or upload it."""
        with at_hand(task.samples) as (samples, local):
            self.root = local(self.job.root)
            return self._build(replace(task, samples=tuple(samples)))

    def _build(self, task: ShardTask) -> ShardResult:
        job, skipped, again = self.job, list[SkippedSample](), list[Sample]()
        self.remarks = list[tuple[str, str]]()

        def skip(sample: Sample, error: Exception) -> None:
            check_source(sample, error)
            if job.on_error == "fail":
                raise error
            reason = printable(str(error))  # it names files as the file system does
            state = None if sample.is_unopened else self._state(sample)
            skipped.append(SkippedSample(sample.name, task.file, reason, state))
            again.append(sample)

        if task.trial:
            self._batch(task.samples, task.copy, lambda sample, error: None)
            return ShardResult(ShardEntry(task.file, 0, 0, None), ())
        n = self.n_held
        parts = [task.samples[first : first + n] for first in range(0, len(task.samples), n)]
        entry = write_shard(
            job.out / task.file,
            self.fields,
            job.config.compression,
            while_unchanged(self.model, counted((len(part), self._batch(part, task.copy, skip)) for part in parts)),
            shard_attributes(job.config, self.model),
            expected=task.expected,
        )
        remarks = tuple(self.remarks)
        for number, sample in enumerate(again):
            skipped[number] = confirmed(skipped[number], partial(self._batch, (sample,), task.copy))
        return ShardResult(entry, tuple(skipped), remarks)

    def _batch(self, samples: Sequence[Sample], copy: int, skip: Callable[[Sample, Exception], None]) -> dict[str, Any]:
        """Rows of the samples that can be used."""
        config = self.job.config
        kept: list[Kept] = []
        draws: list[AugmentationDraw] = []
        for number, annotation, vertices, places in self._annotations(samples, skip):
            sample, draw, turned, nme = samples[number], None, None, None
            try:
                decode = config.decode if self.turner is None else "full"
                picture = read_picture(sample, exif=config.exif, decode=decode)
                annotation, landmarks = self._in_image(sample, annotation, picture.shape, places)
                if self.augmentation is not None:
                    draw = self.augmentation.draw(config.seed, sample.name, copy, config.size)
                if self.turner is not None and vertices is not None and draw is not None:
                    nme = float(nme_of(landmarks[None], [annotation])[0][0])
                    turned = self.turner.turn(sample, picture.pixels, annotation, vertices, draw)
                    annotation, landmarks = self._in_image(sample, turned.annotation, picture.shape)
                    draw = turned.draw
                similarity = self._similarity(sample, landmarks)
                out = self.crops[len(kept)]
                if turned is not None:
                    image, reduced = turned.image, 1
                else:
                    whole = similarity if draw is None else draw.similarity @ similarity
                    image, reduced = picture.for_crop(float(1 / similarity_scale(whole)), config.filter)
                how: Any = {"filter": config.filter, "reduced": reduced, "out": out}
                if draw is None:
                    warp_image(image, similarity, config.size, **how)
                else:
                    other = self._other(samples, number, draw)
                    _, similarity = crop_augmented(image, similarity, draw, other=other, **how)
                    draws.append(draw)
            except UvgenError as error:
                skip(sample, error)
                continue
            if picture.orientation != 1:
                self.remarks.append(("exif", sample.name))
            if annotation.unused:
                self.remarks.append((annotation.unused, sample.name))
            kept.append(
                Kept(sample, annotation, picture.shape[0], similarity, landmarks, turned and turned.unseen, nme)
            )
        with np.errstate(all="ignore"):  # of parameters that no face has: what comes of them is looked at
            return self._rows(kept, draws, copy, skip) if kept else {}

    def _annotations(
        self, samples: Sequence[Sample], skip: Callable[[Sample, Exception], None]
    ) -> Iterator[tuple[int, Any, NDArray[np.float32] | None, Callable[[int], NDArray[np.float64]] | None]]:
        """Numbers of the samples whose files can be used, what they say, their vertices if faces are turned, and what
        gives their landmarks by the image's height. All are read before the first is given: without images in between,
        the many short steps of reading take less time.
        """
        step = max(1, len(samples)) if self.turner is None else AT_ONCE
        for first in range(0, len(samples), step):
            found: list[Any] = []
            for sample in samples[first : first + step]:
                try:
                    found.append(self._annotation(sample))
                except UvgenError as error:
                    found.append(error)
            said = [one for one in found if not isinstance(one, UvgenError)]
            vertices = self.turner.vertices(said) if self.turner is not None and said else None
            places = self._landmarks_of(said)
            row = 0
            for number, one in enumerate(found, first):
                if isinstance(one, UvgenError):
                    skip(samples[number], one)
                    continue
                own = None if vertices is None else vertices[row], None if places is None else partial(places.of, row)
                yield number, one, *own
                row += 1

    def _landmarks_of(self, said: Sequence[Annotation]) -> ImageLandmarks | None:
        """The landmarks of faces, whose images' heights are not known yet."""
        if not said:
            return None
        with np.errstate(all="ignore"):  # of parameters that no face has
            stated = [np.stack([getattr(one, name) for one in said]) for name in _STATED]
            return ImageLandmarks.of_faces(self.landmark_basis, self.job.config.convention, *stated)

    def _rows(
        self, kept: Sequence[Kept], draws: Sequence[AugmentationDraw], copy: int,
        skip: Callable[[Sample, Exception], None],
    ) -> dict[str, Any]:  # fmt: skip
        """Fields of samples whose crops are made, less those that are too far off or out of range."""
        config, n = self.job.config, len(kept)
        rows: dict[str, Any] = {
            **self._stated(kept),
            "image_to_crop": np.stack([one.similarity for one in kept]),
            "image_height": np.array([one.image_height for one in kept]),
        }
        rows["image"] = self._images(n)
        rows["name"] = [one.sample.name for one in kept]
        if self.augmentation is not None:
            rows["name"] = [copy_name(name, copy) for name in rows["name"]]
            rows["augmentation"] = [draw.to_json() for draw in draws]
            rows["flipped"] = np.array([draw.flip for draw in draws])
        if "unseen" in self.fields:
            rows["unseen"] = np.stack([one.unseen for one in kept if one.unseen is not None])
        rows["source"] = [_relative(one.sample.image, self.root) for one in kept]
        flipped = rows.get("flipped", np.zeros(n, bool))
        in_range, has_codes = self._add_labels(kept, rows, flipped)
        rows["crop_pose"] = crop_pose(
            rows["pose"], rows["image_to_crop"], rows["image_height"], config.size, config.convention, flipped
        )
        add_annotations(rows, kept, self.job.survey)
        for k in np.flatnonzero(flipped).tolist():
            rows["annotated_landmarks"][k] = mirror_landmarks(rows["annotated_landmarks"][k], config.size)
        close = near_annotations(kept, rows["label_nme"], config.max_nme, repeated=self.job.survey.repeated, skip=skip)
        for k in np.flatnonzero(~in_range & close).tolist():
            skip(kept[k].sample, _range_error(kept[k].sample, config))
        for k in np.flatnonzero(in_range & close & ~has_codes).tolist():
            skip(kept[k].sample, range_error(f"{kept[k].sample.stated_in}: its face", config.size))
        good = in_range & close & has_codes
        if good.all() and self._all_are_labels(rows):
            return rows
        which = [k for k in np.flatnonzero(good).tolist() if self._are_labels(kept[k].sample, rows, k, skip)]
        if len(which) == n:
            return rows
        return {key: [v[i] for i in which] if isinstance(v, list) else v[which] for key, v in rows.items()}

    def _stated(self, kept: Sequence[Kept]) -> dict[str, Any]:
        """The fields that the samples' files state."""
        return {name: np.stack([getattr(one.annotation, name) for one in kept]) for name in _STATED}

    def _add_labels(
        self, kept: Sequence[Kept], rows: dict[str, Any], flipped: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Maps, landmarks and per-pixel targets; which samples' maps, and which one's images, the codes can hold."""
        in_range = has_codes = np.ones(len(kept), bool)
        if self.job.config.maps == "none":
            rows["landmarks"] = self.mapper.crop_landmarks(*(rows[key] for key in MAP_PARAMETERS), flipped=flipped)
        else:
            rows["posmap"], rows["landmarks"], in_range = self._maps(rows, flipped)
        if self.targets is not None:
            drawn, has_codes = self.targets(*(rows[key] for key in MAP_PARAMETERS), flipped=flipped)
            rows.update(drawn)
        return in_range, has_codes

    def _state(self, sample: Sample) -> str:
        """A hash of what a sample's files hold."""
        return files_sha256(sample)

    def _all_are_labels(self, rows: dict[str, Any]) -> bool:
        """Whether no row needs to be looked at by itself: `_are_labels` is true for each."""
        return are_labels(*(rows[name] for name in _CHECKED))

    def _are_labels(
        self, sample: Sample, rows: dict[str, Any], k: int, skip: Callable[[Sample, Exception], None]
    ) -> bool:
        """Whether a row holds numbers of a face; else the sample is skipped."""
        try:
            check_labels(sample, *(rows[name][k] for name in _CHECKED))
        except SampleError as error:
            skip(sample, error)
            return False
        return True

    def _other(self, samples: Sequence[Sample], number: int, draw: AugmentationDraw) -> NDArray[np.uint8] | None:
        """What an occluder over a sample shows: the image of another one of its batch that can be read."""
        first = draw.other_sample(number, len(samples))
        if first is None:
            return None
        for k in (*range(first, len(samples)), *range(first)):
            if k == number:
                continue
            try:
                return read_image(samples[k], exif=self.job.config.exif)
            except UvgenError as error:  # reported when that sample itself is made
                check_machine(error)
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
        return maps, landmarks, np.array([are_labels(values) for values in maps])

    def _annotation(self, sample: Sample) -> Annotation:
        """What a sample's file says; SampleError if it says what no face has."""
        annotation = read_annotation(sample, self.job.config.keep)
        check_counts(sample, annotation, self.model)
        check_pose(sample, annotation.pose)
        if self.job.config.implausible == "skip":
            stds = {"shape": self.model.shape_std, "expression": self.model.expression_std}
            for what in self.job.survey.deviations_checked:
                check_deviations(sample, what, getattr(annotation, what), stds[what])
        for name, n in self.job.survey.extras:
            found = (annotation.extras or {}).get(name)
            if found is not None and len(found) != n:
                raise SampleError(f"{sample.stated_in}: {EXTRAS[name]} has {count(len(found), 'number')}, expected {n}")
        return annotation

    def _in_image(
        self, sample: Sample, annotation: Annotation, shape: tuple[int, ...],
        places: Callable[[int], NDArray[np.float64]] | None = None,
    ) -> tuple[Annotation, NDArray[np.float64]]:  # fmt: skip
        """What a sample says, and its landmarks (68, 3) in the image frame, if the face is there and of its size."""
        with np.errstate(all="ignore"):  # of parameters that no face has
            landmarks = (
                places(shape[0])
                if places is not None
                else self.mapper.image_landmarks(
                    annotation.shape[None], annotation.expression[None], annotation.pose[None], shape[0]
                )[0]
            )
        check_labels(sample, landmarks)
        low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
        if self.job.config.implausible == "skip":
            check_face_size(sample, landmarks[:, :2], shape)
        check_inside(sample, low, high, shape, "is Pose_Para of this image?")
        return annotation, landmarks

    def _similarity(self, sample: Sample, landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
        config = self.job.config
        draw = keyed_generator(config.seed, sample.name).random(3)
        try:
            return crop_similarity(landmarks, config.size, draw, jitter=config.jitter, convention=config.convention)
        except InputError as error:
            raise SampleError(f"{sample.stated_in}: {error}") from error


def _range_error(sample: Sample, config: BuildConfig) -> SampleError:
    if config.posmap_dtype == "float32":
        return SampleError(f"{sample.stated_in}: its map holds NaN, or more than {MOST:g} px; check the parameters")
    return FixedPoint.for_crop(config.size).range_error(f"{sample.stated_in}: its map")


def _relative(path: Path | None, root: Path) -> str:
    return "" if path is None else printable(Path(os.path.relpath(path, root)).as_posix())
