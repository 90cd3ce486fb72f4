"""Which fields the samples of a data set have."""

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from uvgen._version import __version__
from uvgen.augment.values import Augmentation
from uvgen.datasets.config import BuildConfig, DatasetConfig
from uvgen.fixed_point import FixedPoint
from uvgen.maps.target_layouts import TARGETS, target_layouts
from uvgen.models.load import check_model_file
from uvgen.models.morphable import MorphableModel
from uvgen.samples.read import EXTRAS
from uvgen.shards.format import Field, Layout
from uvgen.shards.shard import OpenShard

if TYPE_CHECKING:  # readers of stored maps need neither numba nor Pillow
    from uvgen.datasets.quality.survey import Survey

AUGMENTED = {
    "augmentation": Field("str", (), attributes={"content": "what was done, JSON"}),
    "flipped": Field("bool", (), attributes={"content": "mirrored after `image_to_crop`: x becomes size - 1 - x"}),
}
"""Fields that augmented samples have besides the others."""

CAMERA = {"camera": Field("float64", (4, 4), attributes={"content": "mesh to image: x and y over row 3, z from row 2"})}
"""The field that samples made of meshes have instead of shape and expression."""
UNSEEN = {"content": "texels that the photograph did not show before the face was turned"}
"""Attributes of the field of samples whose unseen parts are marked."""

MAP_PARAMETERS = ("shape", "expression", "pose", "image_to_crop", "image_height")
"""Fields that a position map is made from, in the order of `PositionMapper`'s arguments."""

_POINTS = ("landmarks", "annotated_landmarks", "label_nme", "label_nme_jaw")


def build_fields(config: BuildConfig, model: MorphableModel, survey: "Survey", *, flips: bool) -> dict[str, Field]:
    """The fields of a build's samples; `flips` says whether some are mirrored, whose codes are rounded twice."""
    crop = {"unit": "px", "frame": "crop"}
    codes = FixedPoint.for_crop(config.size)
    posmap: dict[str, Any] = crop
    if config.posmap_dtype == "uint16":
        posmap = {**crop, **codes.attributes}
        if flips:  # mirrored texels may lie between others, and are rounded twice
            posmap["rounding"] = codes.scale
    r, u = config.size, config.uv_size
    maps = Field(config.posmap_dtype, (u, u, 3), chunked=True, attributes=posmap)
    images = (
        Field("uint8", (r, r, 3), chunked=True, attributes={"channels": "RGB"})
        if config.image_codec == "raw"
        else Field("bytes", (), attributes={"codec": "JPEG", "channels": "RGB"})
    )
    return {
        "image": images,
        **({"posmap": maps} if config.maps == "stored" else {}),
        **target_fields(config),
        **_parameters(config, model),
        "image_to_crop": Field("float64", (3, 3), attributes={"content": "image to crop similarity, before mirroring"}),
        "crop_pose": Field("float32", (7,), attributes={"content": "pose of the face as the crop shows it"}),
        "image_height": Field("int32", (), attributes={"unit": "px"}),
        "landmarks": Field("float32", (68, 3), attributes=crop),
        "annotated_landmarks": Field("float32", (68, survey.dimensions), attributes={**crop, "missing": "NaN"}),
        "label_nme": Field("float32", (), attributes={"content": "landmarks 17-67 against annotated ones, NaN: none"}),
        "label_nme_jaw": Field("float32", (), attributes={"content": "landmarks 0-16 against annotated ones"}),
        **{f"{name}_parameters": Field("float32", (n,), attributes={"missing": "NaN"}) for name, n in survey.extras},
        "name": Field("str", ()),
        "source": Field("str", ()),
        **(AUGMENTED if config.augmentation is not None else {}),
        **({"unseen": Field("bool", (u, u), chunked=True, attributes=UNSEEN)} if _marks(config) else {}),
    }


def _marks(config: BuildConfig) -> bool:
    return config.augmentation is not None and config.augmentation.turns and config.augmentation.unseen == "mark"


def target_fields(config: BuildConfig) -> dict[str, Field]:
    """The per-pixel targets that samples have beside the map, with their mask."""
    return {
        name: Field(layout.dtype, layout.shape, chunked=True, attributes=layout.attributes)
        for name, layout in target_layouts(config.targets, config.size, config.uv_size).items()
    }


def _parameters(config: BuildConfig, model: MorphableModel) -> dict[str, Field]:
    """The model's parameters; of other programs' maps and of meshes, a mean face's pose, and of these the camera."""
    content = "pitch yaw roll (rad) tx ty tz (px) f (px/um)"
    if not config.has_parameters:
        pose = Field("float32", (7,), attributes={"content": f"{content}, of the mean face on the landmarks"})
        return {"pose": pose, **(CAMERA if config.meshes else {})}
    return {
        "shape": Field("float32", (model.n_shape,)),
        "expression": Field("float32", (model.n_expression,)),
        "pose": Field("float32", (7,), attributes={"content": content}),
    }


def while_unchanged(model: MorphableModel, batches: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The batches of a shard; ModelError in the end if the model's file was written to meanwhile."""
    yield from batches
    check_model_file(model)


def shard_attributes(config: BuildConfig, model: MorphableModel) -> dict[str, Any]:
    """What a shard's file says of all its samples."""
    return {
        "uvgen": __version__,
        "size": config.size,
        "model": model.name,
        "model_sha256": model.content_sha256,
        "config": json.dumps(config.to_plain(), sort_keys=True),
        "convention": config.convention,
        "pixel_frame": "pixel centers at integers, first pixel (0, 0), x right, y down, z toward the viewer",
    }


def known_layouts(config: BuildConfig) -> dict[str, Layout]:
    """What readers expect of the fields that they know, in sets of this configuration; any may be missing."""
    r, u = config.size, config.uv_size
    return {
        "image": Layout("uint8", (r, r, 3), chunked=True),
        "image_end": Layout("int64", ()),
        "posmap": Layout(
            config.posmap_dtype,
            (u, u, 3),
            coded=True,
            chunked=True,
            codes=FixedPoint.for_crop(r) if config.posmap_dtype == "uint16" else None,
        ),
        **{
            name: Layout(layout.dtype, layout.shape, coded=layout.codes is not None, chunked=True, codes=layout.codes)
            for name, layout in target_layouts(TARGETS, r, u).items()
        },
        "shape": Layout("float32", (None,)),
        "expression": Layout("float32", (None,)),
        "pose": Layout("float32", (7,)),
        "camera": Layout("float64", (4, 4)),
        "image_to_crop": Layout("float64", (3, 3)),
        "crop_pose": Layout("float32", (7,)),
        "image_height": Layout("int32", ()),
        "landmarks": Layout("float32", (68, 3)),
        "annotated_landmarks": Layout("float32", (68, (2, 3))),
        "label_nme": Layout("float32", ()),
        "label_nme_jaw": Layout("float32", ()),
        **{f"{name}_parameters": Layout("float32", (None,)) for name in EXTRAS},
        "name": Layout("str", ()),
        "source": Layout("str", ()),
        "augmentation": Layout("str", ()),
        "flipped": Layout("bool", ()),
        "unseen": Layout("bool", (u, u), chunked=True),
    }


def required_fields(config: DatasetConfig) -> tuple[str, ...]:
    """Fields that all samples of such a set have; the images' even if they are stored as JPEG."""
    stored = (*_stored_so(config.build), *target_fields(config.build))
    kept = tuple(f"{name}_parameters" for name in config.build.keep)
    drawn = (*(AUGMENTED if config.augmentation is not None else ()), *(("unseen",) if _marks(config.build) else ()))
    made_of = tuple(
        name for name in MAP_PARAMETERS if config.build.has_parameters or name not in ("shape", "expression")
    )
    camera = tuple(CAMERA) if config.build.meshes else ()
    return ("image", *stored, *made_of, *camera, "crop_pose", *_POINTS, "name", "source", *kept, *drawn)


def _stored_so(config: BuildConfig) -> tuple[str, ...]:
    """Of the maps, and the ends of images that are JPEG files, those that samples of such a set have."""
    maps = ("posmap",) if config.maps == "stored" else ()
    return (*maps, "image_end") if config.image_codec == "jpeg" else maps


def excluded_fields(config: DatasetConfig) -> tuple[str, ...]:
    """Fields that no sample of such a set may have: code that goes by its settings would leave these as they are where
    samples move, or take them for something else."""
    build = config.build
    return (
        *(name for name in ("posmap", "image_end") if name not in _stored_so(build)),
        *(name for name in target_layouts(TARGETS, build.size, build.uv_size) if name not in target_fields(build)),
        *(AUGMENTED if config.augmentation is None else ()),
        *(() if _marks(build) else ("unseen",)),
        *(() if build.meshes else CAMERA),
    )


def odd_codes(config: DatasetConfig, attributes: Mapping[str, Any]) -> str:
    """What is wrong with how maps say what their fixed-point numbers stand for; otherwise nothing."""
    if config.build.posmap_dtype != "uint16":
        return "" if FixedPoint.of_attributes(attributes) is None else "floats with a scale"
    codes = FixedPoint.for_crop(config.build.size)
    if FixedPoint.of_attributes(attributes) != codes:
        return f"codes with another scale or offset than {codes.scale:g} and {codes.offset:g}"
    moved = config.augmentation
    most = codes.scale / 2 * (1 if moved is None else 1 + math.sqrt(2) * max(1.0, moved.scale[1]))
    rounding = attributes.get("rounding", 0)
    return "" if 0 <= rounding <= most * (1 + 1e-9) else f"codes rounded by {rounding:g} px, expected {most:g} at most"


def odd_targets(config: BuildConfig, attributes: Mapping[str, Mapping[str, Any]]) -> str:
    """What is wrong with how per-pixel targets say what their numbers stand for; otherwise nothing."""
    for name, layout in target_layouts(config.targets, config.size, config.uv_size).items():
        if FixedPoint.of_attributes(attributes[name]) != layout.codes:
            meant = "the numbers themselves" if layout.codes is None else f"{layout.codes.scale:g}"
            return f"{name} holds codes with another scale or offset than {meant}"
    return ""


def stored_fields(source: OpenShard) -> dict[str, Field]:
    """A shard's fields as a writer takes them: what is stored the same way has the same values and attributes."""
    fields = {}
    for name in source.fields:
        shape, dtype = source.layouts[name]
        kind = "str" if dtype.kind == "S" else dtype.name
        fields[name] = Field(kind, shape, name in source.chunked, source.attributes[name])
    if source.has_jpegs:
        fields["image"] = Field("bytes", (), attributes=source.image_attributes)
    return fields


def augmented_fields(source: OpenShard, augmentation: Augmentation) -> dict[str, Field]:
    """The source's fields, and two more: what was done to a sample, and whether it is mirrored."""
    fields = stored_fields(source)
    if "posmap" in fields and (codes := FixedPoint.of_attributes(fields["posmap"].attributes)) is not None:
        # rounded before it is moved, and again: a rotation by 45° adds two coordinates' errors
        moved = math.sqrt(2) * augmentation.scale[1]
        attributes = {**fields["posmap"].attributes, "rounding": codes.scale / 2 * (1 + moved)}
        fields["posmap"] = dataclasses.replace(fields["posmap"], attributes=attributes)
    return {**fields, **AUGMENTED}
