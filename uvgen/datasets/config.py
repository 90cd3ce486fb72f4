"""What a data set was made with: typed, from the command to `dataset.json` and back."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from uvgen.augment.values import Augmentation
from uvgen.checks import check_several, choice, number_in, plain_number, seed_number, shown
from uvgen.errors import DatasetError, InputError
from uvgen.geometry import CONVENTIONS
from uvgen.images.crop import JITTER, check_jitter
from uvgen.images.filters import FILTERS
from uvgen.images.jpeg import JPEG_QUALITY
from uvgen.images.picture import DECODING
from uvgen.maps.target_layouts import check_targets, target_layouts
from uvgen.samples.map_files import LAYOUTS
from uvgen.samples.read import EXIF, EXTRAS
from uvgen.shards.index import Index
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.names import brief

SMALLEST_SIDE, LARGEST_SIDE = 16, 4096  # of crops and maps
MAX_COPIES = 10_000
"""Augmented samples from each image or sample at most."""


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """Settings of a build. Together with the samples, the model and the weight mask, they determine every byte.

    Attributes
    ----------
    size : int
        Pixels along each side of the crops, 16 to 4096.
    uv_size : int
        Texels along each side of the position maps, 16 to 4096.
    shard_size : int
        Samples per shard, skipped ones included, 1 to 2**20.
    seed : int
        Random seed of the crops' jitter and of the augmentation.
    jitter : float
        Random shift and size change of the crops, see `uvgen.crop_similarity`; 0 for none.
    posmap_dtype : {"uint16", "float32"}
        Type of the stored maps: fixed point (steps of 1/64 px at 256 px) or exact.
    maps : {"stored", "none"}
        Whether maps are stored, or left to readers to make from the parameters.
    image_codec : {"raw", "jpeg"}
        How crops are stored.
    jpeg_quality : int
        Quality of JPEG crops, 1 to 100.
    compression : {None, "gzip"}
        Compression of raw crops and maps.
    convention : {"exact", "face3d"}
        Pixel convention, see `uvgen.geometry.pose_to_image`.
    keep : tuple of str
        Further fields of each sample's file to store: "tex", "illum", "color", see `uvgen.samples.read.EXTRAS`.
    max_nme : float or None
        Leave out samples whose `label_nme` is larger: 0.05 is 5%.
    implausible : {"skip", "keep"}
        Whether to skip or keep samples whose face is far too large or too small for its image, or whose parameters are
        many standard deviations from the mean, see `uvgen.datasets.quality.plausible`.
    exif : {"ignore", "apply"}
        Whether images are turned as their EXIF orientation says.
    augmentation : Augmentation or None
        Augmentation of the crops, which is applied while they are sampled from the image. The name of a preset stands
        for it, see `uvgen.Augmentation.preset`.
    copies : int
        Number of augmented samples per image.
    filter : {"area", "bilinear"}
        How images are sampled where crops shrink them, see `uvgen.warp_image`.
    decode : {"reduced", "full"}
        Whether to decode large JPEG photographs at a reduced size if the crop shrinks them by 2 or more, see
        `uvgen.images.picture`. Used only with the filter "area", and not by builds that turn faces.
    maps_from : str or None
        Layout of crops and maps that another program made, see `uvgen.samples.map_files`. Such samples have no shape
        and expression parameters.
    maps_scale, maps_offset : float
        Conversion of the values of such maps to px: ``value * maps_scale + maps_offset``.
    targets : tuple of str
        Per-pixel targets to store beside the map, see `uvgen.maps.target_layouts.TARGETS`.
    meshes : bool
        Whether labels come from registered meshes and their cameras, see `uvgen.import_meshes`. Such samples have no
        shape and expression parameters.
    """

    size: int = 256
    uv_size: int = 256
    shard_size: int = 256
    seed: int = 0
    jitter: float = JITTER
    posmap_dtype: str = "uint16"
    maps: str = "stored"
    image_codec: str = "raw"
    jpeg_quality: int = JPEG_QUALITY
    compression: str | None = None
    convention: str = "exact"
    keep: tuple[str, ...] = ()
    max_nme: float | None = None
    implausible: str = "skip"
    exif: str = "ignore"
    augmentation: Augmentation | None = None
    copies: int = 1
    filter: str = "area"
    maps_from: str | None = None
    maps_scale: float = 1.0
    targets: tuple[str, ...] = ()
    maps_offset: float = 0.0
    meshes: bool = False
    decode: str = "reduced"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # NumPy's numbers are equal to Python's, but JSON takes none of them
            object.__setattr__(self, field.name, plain_number(getattr(self, field.name)))
        for name in ("keep", "targets"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        if isinstance(self.augmentation, str):
            object.__setattr__(self, "augmentation", Augmentation.preset(self.augmentation))

    @property
    def has_parameters(self) -> bool:
        """Whether samples have shape and expression parameters, from which their maps can be made again."""
        return self.maps_from is None and not self.meshes

    def to_plain(self) -> dict[str, Any]:
        """The settings as they are stored: plain values, an augmentation as its ranges. The keys of the augmentation
        are omitted if there is none."""
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        content["keep"] = list(self.keep)
        content["targets"] = list(check_targets(self.targets))
        if not self.targets:
            del content["targets"]
        if self.augmentation is None:  # so that plain sets are told from augmented ones
            del content["augmentation"], content["copies"]
        else:
            content["augmentation"] = self.augmentation.to_plain()
        if self.maps_from is None:
            del content["maps_from"], content["maps_scale"]
        if self.maps_from is None or not self.maps_offset:
            del content["maps_offset"]
        if not self.meshes:
            del content["meshes"]
        if self.decode == "full":  # as in sets made before there was a choice, which can be finished so
            del content["decode"]
        return content

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "BuildConfig":
        """The configuration that `to_plain` gave. Settings that are missing get their defaults; unknown ones are
        ignored."""
        known = {field.name for field in dataclasses.fields(cls)}
        values = {name: value for name, value in content.items() if name in known}
        for name in ("keep", "targets"):
            if name in values:
                values[name] = tuple(values[name])
        values.setdefault("filter", "bilinear")  # sets made before there was a choice
        values.setdefault("decode", "full")
        if values.get("augmentation") is not None:
            values["augmentation"] = Augmentation.from_plain(values["augmentation"])
        return cls(**values)

    def check(self) -> None:
        """Raise InputError if a value is out of range."""
        for name, low, high in (
            ("size", SMALLEST_SIDE, LARGEST_SIDE),
            ("uv_size", SMALLEST_SIDE, LARGEST_SIDE),
            ("shard_size", 1, 1 << 20),
            ("jpeg_quality", 1, 100),
            ("copies", 1, MAX_COPIES),
        ):
            number_in(getattr(self, name), name, low, high, whole=True)
        seed_number(self.seed)
        for name, allowed in (
            ("posmap_dtype", ("uint16", "float32")), ("compression", (None, "gzip")),
            ("convention", CONVENTIONS), ("maps", ("stored", "none")), ("image_codec", ("raw", "jpeg")),
            ("implausible", ("skip", "keep")), ("exif", EXIF),
            ("filter", FILTERS), ("decode", DECODING),
        ):  # fmt: skip
            if getattr(self, name) not in allowed:
                raise InputError(f"{name}: {getattr(self, name)!r}, expected one of {', '.join(map(str, allowed))}")
        check_several(self.keep, "keep")
        for name in self.keep:
            choice(name, "keep", tuple(EXTRAS))
        if len(set(self.keep)) < len(self.keep):
            raise InputError(f"keep: {', '.join(self.keep)}, expected each once")
        check_targets(self.targets)
        if self.max_nme is not None and not (is_number(self.max_nme) and 0 < self.max_nme < math.inf):
            raise InputError(f"max_nme: {self.max_nme}, expected a share above 0 (0.05 is 5%), or None")
        if not isinstance(self.augmentation, Augmentation | None):
            raise InputError(f"augmentation: {shown(self.augmentation)}, expected an Augmentation or a preset's name")
        if self.augmentation is None and self.copies != 1:
            raise InputError(f"copies: {self.copies}, expected 1 without an augmentation: they would all be the same")
        if self.maps_from is not None:
            choice(self.maps_from, "maps_from", tuple(LAYOUTS))
            needing = self.augmentation is not None or self.maps != "stored" or self.keep or self.targets
            if needing or self.max_nme is not None:
                raise InputError(
                    "maps_from: given with augmentation, maps, keep, max_nme or targets, which need the samples' "
                    "parameters; expected none of them"
                )
        if self.meshes and (
            self.maps_from is not None or self.maps != "stored" or self.keep or self.max_nme is not None
        ):
            raise InputError(
                "meshes: given with maps_from, maps, keep or max_nme, which need the samples' parameters or "
                "annotations; expected none of them"
            )
        if self.meshes and self.augmentation is not None and self.augmentation.turns:
            raise InputError(
                "meshes: given with an augmentation of yaw_deg or pitch_deg, which turns faces by their parameters; "
                "expected neither"
            )
        if not number_in(self.maps_scale, "maps_scale", 0, 1e6) > 0:
            raise InputError("maps_scale: 0, expected a number above 0")
        number_in(self.maps_offset, "maps_offset", -1e6, 1e6)
        check_jitter(self.jitter)


_LEFT_OUT = {
    "decode": "full", "targets": [], "meshes": False, "maps_from": None, "maps_scale": 1.0, "maps_offset": 0.0,
    "augmentation": None, "augmentation_seed": None, "augmented_from": None, "copies": 1,
}  # fmt: skip

UNSTATED = {"decode": "full"}
"""What values that a stored configuration leaves out have, of those that others may differ in."""


@dataclass(frozen=True, slots=True)
class CopyConfig:
    """What `uvgen augment` did to a data set: `augmented_from` is a hash of the source's shards."""

    augmentation: Augmentation
    augmentation_seed: int
    copies: int
    augmented_from: str

    def to_plain(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "augmentation": self.augmentation.to_plain(),
            "augmentation_seed": self.augmentation_seed,
            "copies": self.copies,
            "augmented_from": self.augmented_from,
        }


@dataclass(frozen=True, slots=True)
class DatasetConfig:
    """The settings that a data set was made with, as `dataset.json` states them.

    Attributes
    ----------
    build : BuildConfig
        What `uvgen build` was asked for.
    model, model_sha256 : str
        Name and content hash of the face model.
    weight_mask_sha256 : str
        Hash of the weight mask's values.
    copied : CopyConfig or None
        What `uvgen augment` did, if the set consists of augmented copies.
    """

    build: BuildConfig
    model: str
    model_sha256: str
    weight_mask_sha256: str
    copied: CopyConfig | None = None

    @property
    def augmentation(self) -> Augmentation | None:
        """What was done to the samples, while they were built or afterward."""
        return self.build.augmentation if self.copied is None else self.copied.augmentation

    def to_plain(self) -> dict[str, Any]:
        """The object `config` of `dataset.json`."""
        return {
            **self.build.to_plain(),
            "model": self.model,
            "model_sha256": self.model_sha256,
            "weight_mask_sha256": self.weight_mask_sha256,
            **({} if self.copied is None else self.copied.to_plain()),
        }

    @property
    def in_full(self) -> dict[str, Any]:
        """`to_plain` with what that leaves out: what a shard may say is compared with it."""
        return {**_LEFT_OUT, **self.to_plain()}

    @classmethod
    def of_index(cls, index: Index, folder: Path) -> "DatasetConfig":
        """The configuration that a folder's index states; DatasetError if it is none."""
        content: Mapping[str, Any] = index.config
        try:
            copied = None
            if "augmented_from" in content:
                values = {field.name: content[field.name] for field in dataclasses.fields(CopyConfig)}
                copied = CopyConfig(**{**values, "augmentation": Augmentation.from_plain(values["augmentation"])})
                number_in(copied.copies, "copies", 1, MAX_COPIES, whole=True)
                seed_number(copied.augmentation_seed, "augmentation_seed")
                content = {name: value for name, value in content.items() if name not in values}
            build = BuildConfig.from_plain(content)
            build.check()
            hashes = {name: content[name] for name in ("model", "model_sha256", "weight_mask_sha256")}
            if odd := [name for name, text in hashes.items() if not isinstance(text, str)]:
                raise ValueError(f"{odd[0]}: {brief(hashes[odd[0]])}, expected text")
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise DatasetError(
                f"{folder / DATASET_INDEX}: its config cannot be used ({error}), expected a build's; build it again"
            ) from error
        return cls(build, **hashes, copied=copied)


def check_known(index: Index, config: DatasetConfig, folder: Path) -> None:
    """Raise DatasetError if a set was made with a setting that this version does not know: what is made of its samples
    could not state it, and would be refused."""
    if unknown := [key for key in index.config if key not in config.in_full]:
        raise DatasetError(
            f"{folder}: was made with {brief(unknown[0])} = {brief(index.config[unknown[0]])}, which this uvgen does "
            f"not know; use the version that made it, {brief(index.uvgen)}"
        )


def is_number(value: object) -> bool:
    """Whether this is a real number that is no bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def sample_bytes(config: BuildConfig) -> int:
    """Bytes of one sample's crop, map and targets, uncompressed; of a JPEG about a tenth of the raw crop."""
    image = 3 * config.size**2 // (10 if config.image_codec == "jpeg" else 1)
    texel = np.dtype(config.posmap_dtype).itemsize if config.maps == "stored" else 0
    layouts = target_layouts(config.targets, config.size, config.uv_size).values()
    drawn = sum(math.prod(layout.shape) * np.dtype(layout.dtype).itemsize for layout in layouts)
    return image + 3 * config.uv_size**2 * texel + drawn
