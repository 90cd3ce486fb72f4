"""Augmentation of samples in `ShardDataset`, by uvgen or by an object that the user passes."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.augment.sample import crop_augmented
from uvgen.datasets.cropped import check_cropped_from
from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.geometry import similarity_scale
from uvgen.images.picture import Picture
from uvgen.maps.labels import move_annotation, move_landmarks, move_map, moved_similarity
from uvgen.maps.mirror import TexelMirror, mirrored_mask
from uvgen.models.morphable import MorphableModel
from uvgen.samples.files import source_path
from uvgen.samples.find import Sample, folder_of
from uvgen.samples.parameter_list import is_list, open_list
from uvgen.samples.read import read_picture
from uvgen.shards.reader import ShardReader

MOVED = ("annotated_landmarks", "unseen")
"""Fields that `Augmenter.move` moves, besides image, map, landmarks, and what the similarity says."""

_SOURCE = "the folder of images, or the list, that the set was built from"


def _needs_model() -> InputError:
    return InputError("flip: needs the shards' model, which says where texels mirror; give model=")


class AugmentationLike(Protocol):
    """An augmentation as `ShardDataset` uses it. One that is no `uvgen.augment.Augmentation` has `apply` too."""

    def draw(self, seed: int, name: str, epoch: int, size: int) -> Any:
        """Random numbers for one sample with a crop of `size` px.

        ``draw.similarity`` is the (3, 3) map from crop to augmented crop, before mirroring if ``draw.flip``.
        """

    def apply(
        self, draw: Any, image: NDArray[np.uint8], position_map: NDArray[np.float32] | None, landmarks: Any
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None, NDArray[np.float32]]:
        """Apply the same change to an image (R, R, 3) uint8, a map (U, U, 3) float32 px or None, and landmarks (68, 3)
        float32 px."""


class Changed(NamedTuple):
    """An augmented sample: image, position map in px (None if there is none) and landmarks."""

    image: NDArray[np.uint8]
    position_map: NDArray[np.float32] | None
    landmarks: NDArray[np.float32]


class Augmenter:
    """An augmentation together with the properties of the data set that it needs.

    Parameters
    ----------
    augmentation : AugmentationLike
        uvgen's, or an object with `apply`.
    reader : ShardReader
        The data set.
    seed : int
        Of the draws.
    source : path-like or None
        The original images' folder, or the list that names them, to sample crops from.
    model : MorphableModel or None
        The data set's.
    needs_mirror : bool
        Whether there are maps or masks of their texels, which take a model's texel mirror to flip.

    Attributes
    ----------
    mirror : TexelMirror or None
        The model's, if maps or masks of texels are flipped.

    Raises
    ------
    InputError, DatasetError, ModelError
        If `source` cannot be used, or maps are to be flipped without a model that says how.
    """

    def __init__(
        self,
        augmentation: Any,
        reader: ShardReader,
        seed: int,
        source: str | os.PathLike[str] | None,
        *,
        model: MorphableModel | None,
        needs_mirror: bool,
    ) -> None:
        if not hasattr(augmentation, "draw"):
            hint = 'such as uvgen.Augmentation.preset("prnet")'
            raise InputError(f"augmentation: {augmentation!r}, expected an Augmentation, {hint}")
        self._augmentation, self._seed = augmentation, seed
        self._custom = hasattr(augmentation, "apply")
        if not self._custom and hasattr(augmentation, "check_crops"):
            augmentation.check_crops()
        self.takes_codes = not self._custom
        self._config = config = reader.config.build
        self.size, self._filter = config.size, config.filter
        self._data = None if source is None else self._checked_source(source, reader)
        self._source = None if self._data is None else folder_of(self._data)
        self._compared_in: int | None = None  # the process that has compared an image of the source with its crop
        self.mirror: TexelMirror | None = None
        if self._custom:
            needs_mirror = model is not None and "unseen" in reader.fields  # its maps are its own affair
        elif (needs_mirror := needs_mirror and bool(augmentation.flip)) and model is None:
            raise _needs_model()
        if needs_mirror and model is not None:
            self.mirror = TexelMirror.of_model(model, reader.config.build.uv_size, reader.config.build.convention)

    def draw(self, name: str, epoch: int) -> Any:
        """The random numbers for a sample in an epoch."""
        return self._augmentation.draw(self._seed, name, epoch, self.size)

    def image(
        self, stored: Callable[[], NDArray[np.uint8]], row: Mapping[str, Any], draw: Any
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64], int]:
        """The image to sample a crop from, the similarity to the crop that labels belong to, and the image's reduction.

        That is the stored crop itself, or the original image (h, w, 3) that the sample's field `source` names, decoded
        as finely as the crop needs: see `uvgen.images.picture`.
        """
        if self._source is None or self._data is None:
            return stored(), np.eye(3), 1
        try:
            path = source_path(self._source, row["source"], self._data)
            sample = Sample(path.stem, path.parent.name, path, None)
            picture = read_picture(sample, exif=self._config.exif, decode=self._config.decode)
            factor = 1 / similarity_scale(draw.similarity @ row["image_to_crop"])
            pixels, reduced = picture.for_crop(float(factor), self._filter)
        except SampleError as error:
            raise SampleError(f"{error}; source: expected {_SOURCE}") from error
        if picture.shape[0] != row["image_height"]:
            raise SampleError(
                f"{path}: {picture.shape[0]} px high, the set was built from {row['image_height']}; "
                f"source: expected {_SOURCE}"
            )
        if self._compared_in != os.getpid():  # one image in each process: in a folder of other images, all differ
            self._compare(path, picture, row["image_to_crop"], stored())
            self._compared_in = os.getpid()
        return pixels, row["image_to_crop"], reduced

    def _compare(self, path: Path, picture: Picture, similarity: NDArray[np.float64], crop: NDArray[np.uint8]) -> None:
        try:
            pixels, reduced = picture.for_crop(float(1 / similarity_scale(similarity)), self._filter)
            check_cropped_from(path, pixels, similarity, crop, self._config, reduced=reduced)
        except SampleError as error:
            raise SampleError(f"{error}; source: expected {_SOURCE}") from error

    def apply(
        self,
        draw: Any,
        image: NDArray[np.uint8],
        similarity: ArrayLike,
        reduced: int,
        position_map: NDArray[Any] | None,
        landmarks: NDArray[np.float32],
        *,
        other: NDArray[np.uint8] | None,
        image_out: NDArray[np.uint8],
        map_out: NDArray[np.float32] | None,
    ) -> Changed:
        """Augment a sample; the buffers are used where possible.

        `similarity` leads from the image, of which `image` may hold means of squares of `reduced` px, to the crop that
        the labels belong to; maps are float32 px, or codes if the augmentation `takes_codes`.
        """
        if self._custom:
            return self._checked(self._augmentation.apply(draw, image, position_map, landmarks), position_map)
        how: Any = {"filter": self._filter, "reduced": reduced, "out": image_out}
        crop, _ = crop_augmented(image, similarity, draw, other=other, **how)
        move = draw.similarity, draw.size
        moved = None
        if position_map is not None:
            moved = move_map(position_map, *move, flip=draw.flip, mirror=self.mirror, out=map_out)
        return Changed(crop, moved, move_landmarks(landmarks, *move, flip=draw.flip))

    def move(self, draw: Any, fields: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Those of a sample's fields `MOVED` that there are, as an augmented sample has them."""
        flip, moved = bool(getattr(draw, "flip", False)), dict[str, NDArray[Any]]()
        if (points := fields.get("annotated_landmarks")) is not None:
            moved["annotated_landmarks"] = move_annotation(points, draw.similarity, self.size, flip=flip)
        if flip and (unseen := fields.get("unseen")) is not None:
            if self.mirror is None:
                raise _needs_model()
            moved["unseen"] = mirrored_mask(unseen, self.mirror)
        return moved

    def compose(self, draw: Any, crop: NDArray[np.float64], flipped: bool) -> tuple[NDArray[np.float64], bool]:
        """Image → augmented crop before mirroring, and whether to mirror, from the same of the stored crop."""
        composed = moved_similarity(draw.similarity, crop, self.size, flipped=flipped)
        return composed, flipped != bool(getattr(draw, "flip", False))

    def _checked(self, changed: Any, position_map: NDArray[Any] | None) -> Changed:
        """The return value of an augmentation that is not uvgen's, after checking it."""
        expected = {
            "image": ((self.size, self.size, 3), np.uint8),
            "position map": (None if position_map is None else position_map.shape, np.float32),
            "landmarks": ((68, 3), np.float32),
        }
        for (what, (shape, dtype)), array in zip(expected.items(), changed, strict=True):
            found = getattr(array, "shape", None), getattr(array, "dtype", None)
            if found != (shape, dtype) and not (shape is None and array is None):
                raise InputError(
                    f"augmentation: {type(self._augmentation).__name__} returned {what} {found[0]} {found[1]}, "
                    f"expected {shape} {np.dtype(dtype)}"
                )
        return Changed(*changed)

    def _checked_source(self, source: str | os.PathLike[str], reader: ShardReader) -> Path:
        if self._custom:
            raise InputError(
                "source: goes with an augmentation of uvgen.augment, not with one of your own; leave it out"
            )
        if reader.config.augmentation is not None:
            raise InputError(f"source: {reader.folder} is augmented already; give the set that it was made from")
        path = Path(os.path.abspath(source))  # workers may have another working folder
        if is_list(path):
            open_list(path)
        elif not path.is_dir():
            raise DatasetError(f"{path}: no such folder, expected {_SOURCE}")
        return path
