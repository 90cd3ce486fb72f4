"""A contact sheet of a data set: what `uvgen preview` draws, for people to check their labels with.

One row per sample, one column a kind of picture (see `uvgen.preview.panels`); above each row, what the sample is and
what is wrong with it as far as a program can tell. What it cannot tell, an onlooker can: points beside their features.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from uvgen import rasterize
from uvgen.checks import check_paths, check_several, number_in
from uvgen.datasets.open import open_shards, own_model
from uvgen.datasets.quality.label_columns import label_columns
from uvgen.datasets.quality.summary import LabelQuality, label_quality
from uvgen.described import described
from uvgen.errors import DatasetError
from uvgen.images.codecs import check_picture_name, save_picture
from uvgen.maps.landmarks import LandmarkWeights
from uvgen.models.load import as_model, check_model_file
from uvgen.models.morphable import MorphableModel
from uvgen.preview.captions import column_titles, covered, header_of, landmarks_of, row_of, weight_ratio
from uvgen.preview.drawing import EMPTY
from uvgen.preview.layout import THUMB, Row, compose, yaw_histogram
from uvgen.preview.panels import Texture, coverage_panel, mask_panel, texture
from uvgen.preview.problems import check_has_pictures, model_problems
from uvgen.preview.sample_view import SampleView
from uvgen.preview.selection import numbers_of, spread
from uvgen.preview.target_panels import target_panels
from uvgen.progress import advance, begin
from uvgen.samples.selection import checked_names
from uvgen.shards.reader import ShardReader, naming
from uvgen.storage.names import brief

MOST = 24
"""Samples that a sheet can show."""

_MEAN_SAMPLES = 32  # in the mean texture

_MOST_RAD = 100.0  # of an angle: more is damage


@dataclass(frozen=True, slots=True, eq=False)
class ContactSheet:
    """A finished sheet.

    Attributes
    ----------
    picture : (h, w, 3) uint8
        RGB.
    names : tuple of str
        The samples on it, from top to bottom.
    problems : tuple of str
        What is certainly wrong, a line each, also written on the sheet in red.
    quality : LabelQuality or None
        How far the labels of the whole set are from its annotations, if there are some.
    """

    picture: NDArray[np.uint8]
    names: tuple[str, ...]
    problems: tuple[str, ...]
    quality: LabelQuality | None = None

    __repr__ = described


@dataclass(frozen=True, slots=True)
class PreviewResult:
    """The result of `uvgen.render_preview`.

    Attributes
    ----------
    samples : int
        Number of samples in the data set.
    names : tuple of str
        The samples on the sheet, from top to bottom.
    problems : tuple of str
        What is certainly wrong, one line each.
    files : tuple of Path
        The picture.
    size : (int, int)
        Its height and width, px.
    seconds : float
        How long drawing took.
    quality : LabelQuality or None
        How far the labels of the whole set are from its annotations, if there are some.
    """

    samples: int
    names: tuple[str, ...]
    problems: tuple[str, ...]
    files: tuple[Path, ...]
    size: tuple[int, int]
    seconds: float
    quality: LabelQuality | None = None

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The result as `uvgen preview --json` prints it."""
        height, width = self.size
        return {
            "samples": self.samples,
            "shown": list(self.names),
            "width_px": width,
            "height_px": height,
            "problems": list(self.problems),
            "label_nme": None if self.quality is None else self.quality.to_plain(),
            "seconds": self.seconds,
        }


def render_preview(
    shards: str | os.PathLike[str],
    out: str | os.PathLike[str],
    n_samples: int = 8,
    *,
    names: Sequence[str] = (),
    every: int | None = None,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    seed: int = 0,
    targets: bool = False,
    untrusted: bool = False,
) -> PreviewResult:
    """Draw a contact sheet of a data set into a file.

    Parameters
    ----------
    shards : path-like
        The data set's folder.
    out : path-like
        The picture, which ends in .png or .jpg; an existing file is replaced.
    n_samples, names, every, seed, targets
        See `contact_sheet`.
    model : MorphableModel or path-like, optional
        Makes maps that are not stored; and where landmarks lie in maps is taken from it instead of from the set.
    untrusted : bool
        Read the shards, and `model` if it is a file, in child processes: see `uvgen.open_shards`.

    Returns
    -------
    PreviewResult

    Raises
    ------
    InputError
        If a number is out of range, the picture's name has another ending, or an argument is of the wrong type.
    DatasetError
        If the set is damaged, empty, holds no maps and there is no model, or lacks a named sample; or the picture
        cannot be written.
    ModelError
        If maps are to be made and the model is not the set's.

    Examples
    --------
    >>> uvgen.render_preview("shards/", "preview.png").problems
    ()
    """
    check_paths(shards=shards, out=out)
    started = time.perf_counter()
    path = Path(out)
    check_picture_name(path)
    reader = open_shards(shards, untrusted=untrusted)
    begin("reading the model")
    model = own_model(reader.config) if model is None else as_model(model, untrusted=untrusted)
    if model is not None and reader.config.build.maps == "none":
        reader = open_shards(shards, model, untrusted=untrusted)
    sheet = contact_sheet(reader, n_samples, names=names, every=every, model=model, seed=seed, targets=targets)
    check_model_file(model)
    save_picture(sheet.picture, path)
    height, width = sheet.picture.shape[:2]
    seconds = time.perf_counter() - started
    return PreviewResult(len(reader), sheet.names, sheet.problems, (path,), (height, width), seconds, sheet.quality)


def contact_sheet(
    reader: ShardReader,
    n_samples: int = 8,
    *,
    names: Sequence[str] = (),
    every: int | None = None,
    model: MorphableModel | None = None,
    seed: int = 0,
    targets: bool = False,
) -> ContactSheet:
    """Draw samples of a data set and their labels.

    Parameters
    ----------
    reader : ShardReader
        The set, from `uvgen.open_shards`.
    n_samples : int
        Rows, 1 to 24; fewer if the set has fewer. They are spread evenly over its range of yaw, in its order.
    names : sequence of str
        Show these samples instead, in this order.
    every : int, optional
        The dense alignment shows each `every`-th texel along rows and columns; by default about 42 along each side.
    model : MorphableModel, optional
        Where to take the landmarks' places in maps from, instead of from the set.
    seed : int
        Which samples are taken among those of like yaw.
    targets : bool
        Show the per-pixel targets that the set has (``uvgen build --targets``) below each sample's panels.

    Returns
    -------
    ContactSheet
        The same for the same set and arguments (and version of Pillow).

    Raises
    ------
    InputError
        If a number is out of range.
    DatasetError
        If the set is empty, holds no maps and was opened without a model, or lacks a named sample or the targets.
    """
    check_several(names, "names")
    checked_names(names, "names")
    number_in(n_samples, "n_samples", 1, MOST, whole=True)
    number_in(len(names), "names", 0, MOST, "samples")
    if every is not None:
        number_in(every, "every", 1, unit="texels", whole=True)
    _check_shows(reader, targets=targets)
    constants = reader.constants
    weights, coverage = constants["weight_mask"], constants["coverage"]
    every = every or max(1, round(len(weights) / 42))
    yaws, all_names = _yaws(reader), reader.names
    chosen = numbers_of(reader, all_names, names) if names else spread(yaws, all_names, n_samples, seed)
    texels, read, origin = landmarks_of(constants, model, reader.config.build.convention)

    begin("comparing labels with annotations")
    problems = model_problems(reader, model)
    quality = label_quality(reader, model if model is not None and not problems else None)
    others = [k for k in spread(yaws, all_names, _MEAN_SAMPLES, seed) if k not in chosen]
    begin("drawing", len(chosen), of="row")
    rows, textures = _draw(reader, chosen, texels, read, every, targets=targets)
    begin("averaging", len(others), of="texture")
    for k in others:
        textures.append(texture(SampleView.of(reader[k], coverage, weights)))
        advance(1)

    begin("putting the sheet together")
    thumbs = (
        (yaw_histogram(np.rad2deg(yaws), np.rad2deg(yaws[chosen])), "yaw; on this sheet: red"),
        (mask_panel(weights, texels, THUMB), f"weights {weight_ratio(weights)}"),
        (coverage_panel(coverage, THUMB), covered(coverage)),
        (mean_texture(textures).resize((THUMB, THUMB)), f"mean texture of {len(textures)}"),
    )
    header = header_of(reader, rows, np.rad2deg(yaws), origin, problems, quality, thumbs)
    picture = np.asarray(compose(header, column_titles(every, reader.config.build.size), rows))
    problems += [f"{brief(row.name)}: {problem}" for row in rows for problem in row.problems]
    return ContactSheet(picture, tuple(row.name for row in rows), tuple(problems), quality)


def _check_shows(reader: ShardReader, *, targets: bool) -> None:
    """Raise DatasetError if a set lacks what a sheet shows of it."""
    check_has_pictures(reader)
    if "posmap" not in reader[0]:
        raise DatasetError(
            f"{reader.folder}: stores no maps, expected maps or a model; open it with the model that it was built with"
        )
    if targets and not reader.config.build.targets:
        raise DatasetError(
            f"{reader.folder}: has no per-pixel targets to show, expected a set of uvgen build --targets"
        )


def _yaws(reader: ShardReader) -> NDArray[np.floating[Any]]:
    """Each sample's yaw as its crop shows it, (n,) rad; DatasetError if one is no angle."""
    yaws = reader.column("crop_pose")[:, 1]
    if (odd := np.flatnonzero(~(np.abs(yaws) < _MOST_RAD))).size:
        raise DatasetError(
            f"{reader.folder}: yaw of {reader.names[odd[0]]} is {yaws[odd[0]]:g} rad, expected an angle; run `uvgen "
            f"verify {reader.folder}`"
        )
    return yaws


def _draw(
    reader: ShardReader,
    chosen: Sequence[int],
    texels: NDArray[np.int32],
    read: LandmarkWeights,
    every: int,
    *,
    targets: bool,
) -> tuple[list[Row], list[Texture]]:
    """The rows of these samples, and their faces' textures; the other arguments are as `row_of` takes them."""
    weights, coverage = reader.constants["weight_mask"], reader.constants["coverage"]
    repeated = np.zeros(len(reader), np.bool_)
    if "label_nme" in reader.fields:
        repeated = label_columns(reader).repeated
    rows, textures = list[Row](), list[Texture]()
    for k in chosen:
        sample = reader[k]
        if repeated[k]:  # the annotation of another version says nothing of this one
            sample["label_nme"] = np.nan
            sample["annotated_landmarks"] = np.full_like(sample["annotated_landmarks"], np.nan)
        face = SampleView.of(sample, coverage, weights)
        with naming(reader.folder):
            row = row_of(sample, face, texels, read, every)
        if targets:
            more, titles = target_panels(sample)
            row = replace(row, more=more, more_titles=titles)
        rows.append(row)
        textures.append(texture(face))
        advance(1)
    return rows, textures


def mean_texture(textures: Sequence[Texture]) -> Image.Image:
    """The mean of faces' textures where each is seen: sharp where labels are right, a blur where not.

    Parameters
    ----------
    textures : sequence
        As `uvgen.preview.panels.texture` returns them.

    Returns
    -------
    Image
        `PANEL` px wide; pale where no face is seen.
    """
    mean, seen_by = rasterize.flatten_mean(
        np.stack([colors for colors, _, _ in textures]), np.stack([seen for _, _, seen in textures])
    )
    mean[seen_by == 0] = EMPTY
    return Image.fromarray(np.rint(mean).astype(np.uint8))
