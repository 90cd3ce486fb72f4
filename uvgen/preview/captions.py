"""What a contact sheet says: above it, above each sample, and above each column."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from uvgen.augment.draws import AugmentationDraw
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.quality.summary import HIGH_NME, LabelQuality
from uvgen.maps.landmarks import LandmarkWeights, landmark_texels, landmark_weights
from uvgen.models.morphable import MorphableModel
from uvgen.preview.layout import Header, Row
from uvgen.preview.panels import (
    TURN_DEG,
    crop_panel,
    dense_panel,
    landmark_panel,
    map_panel,
    texture_panel,
    turned_panel,
    zoom_panel,
)
from uvgen.preview.problems import label_problems
from uvgen.preview.sample_view import SampleView
from uvgen.shards.reader import ShardReader
from uvgen.wording import count, have


def landmarks_of(
    constants: dict[str, NDArray[Any]], model: MorphableModel | None, convention: str
) -> tuple[NDArray[np.int32], LandmarkWeights, str]:
    """Texels of the landmarks, weights to read them from maps, and where both are from."""
    if model is not None:
        size = len(constants["weight_mask"])
        return landmark_texels(model, size), landmark_weights(model, size, convention), f"from {model.name}"
    return constants["landmark_texels"], LandmarkWeights.of_constants(constants), "from the set"


def row_of(
    sample: dict[str, Any], face: SampleView, texels: NDArray[np.int32], read: LandmarkWeights, every: int
) -> Row:
    """A sample's row: its name, its angles and NME, what is wrong with it, and its panels."""
    pitch, yaw, roll = (round(float(angle)) for angle in np.rad2deg(face.angles_rad))
    hidden = 1 - face.seen[face.face].mean()
    angles = f"yaw {yaw:+d}°   pitch {pitch:+d}°   roll {roll:+d}°   {hidden:.0%} of the face hidden"
    nme = float(sample.get("label_nme", np.nan))
    angles += f"   NME {nme:.1%}" if np.isfinite(nme) else ""
    return Row(
        sample["name"],
        angles + (f"   augmented: {what_was_done(sample['augmentation'])}" if "augmentation" in sample else ""),
        (*label_problems(face, sample["landmarks"], read), *_far_from_annotation(nme)),
        (
            crop_panel(face),
            landmark_panel(face, texels, read),
            zoom_panel(face, texels, read),
            dense_panel(face, every),
            map_panel(face),
            texture_panel(face, texels),
            turned_panel(face),
        ),
    )


def _far_from_annotation(nme: float) -> list[str]:
    return [f"the label is {nme:.1%} of the face's size away from the annotation"] if nme > HIGH_NME else []


def _short(quality: LabelQuality) -> list[str]:
    """The set's median NME if it is too large, else what else is probably wrong with it."""
    far = quality.median
    if far > HIGH_NME:
        return [f"labels are {far:.1%} of the face's size from their annotations (median), expected 1 to 3%"]
    return [text.split("; ")[0] for text in quality.warnings if text != quality.repeated]


def what_was_done(text: str) -> str:
    """The geometry of a sample's draw, and what hides it, in a few words."""
    draw = AugmentationDraw.from_json(text)
    words = [f"rotated {draw.rotation_deg:+.0f}°", f"scaled {draw.scale:.2f}"]
    words += [f"turned by yaw {draw.yaw_deg:+.0f}°, pitch {draw.pitch_deg:+.0f}°"] * draw.turns
    words += ["mirrored"] * draw.flip + ["occluded"] * bool(draw.occluders)
    return ", ".join(words)


def column_titles(every: int, size: int) -> tuple[str, ...]:
    """A title for each panel of a row, of crops of `size` px; `every` is the panel of dots' step in texels."""
    ordinal = {1: "every", 2: "every 2nd", 3: "every 3rd"}.get(every, f"every {every}th")
    return (
        "crop",
        "68 points, read from the map",
        "the same, enlarged",
        f"{ordinal} face texel, by depth",
        f"map, x y z as RGB; {size / 8:g} px grid",
        "texture unwrapped by the map",
        f"mesh turned by {TURN_DEG:.0f}°",
    )


def header_of(
    reader: ShardReader,
    rows: Sequence[Row],
    yaws_deg: NDArray[np.floating[Any]],
    origin: str,
    problems: Sequence[str],
    quality: LabelQuality | None,
    thumbs: tuple[tuple[Image.Image, str], ...],
) -> Header:
    """What stands above the rows: the set, how many samples are shown, and what is wrong with them."""
    config: BuildConfig = reader.config.build
    n_bad = sum(bool(row.problems) for row in rows)
    found = [
        *problems,
        *(_short(quality) if quality else []),
        *([f"{n_bad} of {count(len(rows), 'sample')} {have(n_bad)} labels that cannot be right"] if n_bad else []),
    ]
    samples = count(len(reader), "sample")
    lines = (
        f"{samples}, {len(rows)} shown; yaw {yaws_deg.min():+.0f}° to {yaws_deg.max():+.0f}°; "
        f"model {reader.config.model}",
        f"crops {config.size} px, {config.image_codec}; maps {config.uv_size} texels wide, "
        f"{config.posmap_dtype if config.maps == 'stored' else 'made on reading'}; "
        f"jitter {config.jitter:g}, seed {config.seed}; pixel convention {config.convention}; "
        f"landmarks {origin}" + ("; augmented" if reader.config.augmentation is not None else ""),
    )
    fine = "maps, stored landmarks and orientation agree; whether points sit on their features is for you to see"
    if quality is not None and quality.n_annotated:
        fine = f"labels are {quality.median:.1%} of the face's size from their annotations (median); maps agree"
    title = f"{reader.folder.resolve().name}: position maps on their images"
    return Header(title, lines, "; ".join(found) or fine, bool(found), thumbs)


def covered(coverage: NDArray[np.bool_]) -> str:
    """How much of the map lies on the mesh, in words that do not round the last filled texel away."""
    n_filled = int(coverage.size - coverage.sum())
    if not n_filled:
        return "coverage 100%"
    percent = np.floor(1000 * coverage.mean()) / 10
    return f"{percent:g}%, {n_filled} filled"


def weight_ratio(weights: NDArray[np.floating[Any]]) -> str:
    """The largest weights of a mask, as 16 : 4 : 3 : 0."""
    values = np.unique(weights)[::-1]
    return " : ".join(f"{value:g}" for value in values[:4]) + (" …" if len(values) > 4 else "")
