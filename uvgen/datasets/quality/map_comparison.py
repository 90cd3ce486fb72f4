"""By what a program divided its position maps, and how it counts pixels: found by making a few of its crops again.

The original's ``.mat`` gives the label's landmarks in the image, the map gives them in the crop, so that a scale and a
shift lead from the image to the crop, for each divisor and convention another one. Of these, the right one gives the
crop that is in the file.
"""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.quality.annotations import image_landmarks
from uvgen.datasets.quality.plausible import check_counts
from uvgen.errors import InputError, UvgenError
from uvgen.geometry import CONVENTIONS
from uvgen.images.warp import warp_image
from uvgen.maps.landmarks import landmark_weights, read_landmarks
from uvgen.models.morphable import MorphableModel
from uvgen.normalization import DIVISORS, MAP_SCALES, Normalization
from uvgen.samples.files import check_machine
from uvgen.samples.find import Sample, find_samples
from uvgen.samples.map_files import IMAGE_SHIFTS, LAYOUTS, read_map
from uvgen.samples.read import read_annotation, read_image
from uvgen.storage.names import brief

_N_COMPARED = 8
_MOST_TRIED = 64
_NEAR_PX = 1.0  # RMS; what the same label leaves is rounding
_TIMES_BETTER, _LEVELS_BETTER = 2.0, 0.5  # what others must be to contradict what was named
_MOST_LEVELS = 16.0  # mean difference of the crops: JPEG and another filter leave 2 to 8


class _Pair(NamedTuple):
    """A crop and its original: pictures, the map's landmarks as they are stored, the label's for each convention."""

    crop: NDArray[np.uint8]
    image: NDArray[np.uint8]
    stored: NDArray[np.float64]
    labels: dict[str, NDArray[np.float64]]


def compare_maps(
    samples: Sequence[Sample], layout: str, originals: str | os.PathLike[str], model: MorphableModel,
    scale: str | float | None = None, convention: str | None = None,
) -> tuple[str | float, str, str]:  # fmt: skip
    """Scale and pixel convention of maps.

    Parameters
    ----------
    samples : sequence of Sample
        Crops with maps, as `uvgen.samples.map_files.find_maps` lists them.
    layout : str
        Their layout.
    originals : path-like
        A folder like 300W-LP's, with images of the same names.
    model : MorphableModel
        The one that the parameters belong to, with the maps' UV.
    scale, convention : str, optional
        What is known already; checked against what is found.

    Returns
    -------
    scale : str or float
        As `uvgen.Normalization.of_scale` has it: one of `MAP_SCALES` or `DIVISORS`.
    convention : str
        One of `uvgen.geometry.CONVENTIONS`.
    said : str
        What was found, for people.

    Raises
    ------
    InputError
        If no sample has an original, none of the scales and conventions gives the crops, or others than those named.
    """
    conventions: Sequence[str] = CONVENTIONS
    if layout == "reshow" and convention is None:
        convention = LAYOUTS[layout].convention  # `read_map` undoes what is its own
        conventions = (convention,)
    scales: tuple[str | float, ...] = (*MAP_SCALES, *DIVISORS)  # the first of those that mean the same is the answer
    scales += () if scale is None or scale in scales else (scale,)
    differences = {(name, rule): list[float]() for name in scales for rule in conventions}
    pairs, apart, size = 0, np.inf, 256
    for pair in _pairs(samples, layout, originals, model):
        size = len(pair.crop)
        for name, rule in differences:
            points = np.asarray(Normalization.of_scale(name, size).denormalize(pair.stored))
            similarity, distance = _similarity(pair.labels[rule], points)
            apart = min(apart, distance)
            level = np.inf
            if distance < _NEAR_PX:
                made = warp_image(pair.image, similarity, len(pair.crop), filter="bilinear")
                level = float(np.abs(made.astype(np.float64) - pair.crop).mean())
            differences[name, rule].append(level)
        pairs += 1
    if not pairs:
        raise InputError(f"{originals}: no sample of the maps' names can be compared, expected images with their .mat")
    means = {key: float(np.median(levels)) for key, levels in differences.items()}
    named = [key for key in means if scale in (None, key[0]) and convention in (None, key[1])]
    best = min(named, key=lambda key: means[key])
    better = min(means, key=lambda key: means[key])
    if means[better] < _MOST_LEVELS and _TIMES_BETTER * means[better] + _LEVELS_BETTER < means[best]:
        raise InputError(
            f"{originals}: the maps hold {_shown(*better, size)}, as {pairs} crops show ({means[better]:.1f} gray "
            f"levels apart), expected {_shown(*best, size)} as given; omit the scale and convention, or the originals"
        )
    if not means[best] < _MOST_LEVELS:
        why = f"labels {apart:.1f} px apart" if not np.isfinite(means[best]) else f"{means[best]:.0f} gray levels apart"
        raise InputError(
            f"{originals}: no scale or pixel convention gives the {pairs} crops that were compared ({why}); are they "
            f"of these images, made with {brief(model.name)}? If not, give the scale and omit the originals"
        )
    said = f"maps compared with {pairs} originals: {_shown(*best, size)} ({means[best]:.1f} gray levels apart)"
    return *best, said


def _shown(scale: str | float, convention: str, size: int) -> str:
    found = Normalization.of_scale(scale, size)
    divided = f"px / {found.scale[0]:g}" if found.scale[0] != 1 else "px"
    return f"values in {f'the unit {scale}' if found.offset[0] else divided}, convention {convention}"


def _pairs(
    samples: Sequence[Sample], layout: str, originals: str | os.PathLike[str], model: MorphableModel
) -> Iterator[_Pair]:
    """A few crops and their originals, evenly spread."""
    found = sorted(find_samples(originals), key=lambda sample: not sample.flipped)  # mirrored ones have the same names
    by_name = {sample.name.rpartition("/")[2]: sample for sample in found} | {sample.name: sample for sample in found}
    partners = [(s, by_name.get(s.name) or by_name.get(s.name.rpartition("/")[2])) for s in samples if not s.problem]
    matched = [(sample, original) for sample, original in partners if original is not None]
    n = 0
    for k in np.unique(np.linspace(0, len(matched) - 1, _MOST_TRIED).astype(int)) if matched else ():
        sample, original = matched[k]
        try:
            crop, image, said = read_image(sample), read_image(original), read_annotation(original)
            check_counts(original, said, model)
            position_map = _unchecked(sample)
            stored = read_landmarks(position_map, landmark_weights(model, len(position_map)))
        except UvgenError as error:  # reported when the sample is imported
            check_machine(error)
            continue
        if crop.shape[0] != crop.shape[1]:
            continue
        height = np.array([image.shape[0]])
        labels = {
            rule: image_landmarks(model, said.shape[None], said.expression[None], said.pose[None], height, rule)[0]
            for rule in CONVENTIONS
        }
        if layout == "reshow":
            labels["exact"] = labels["exact"] + IMAGE_SHIFTS["reshow"]
        yield _Pair(crop, image, stored.astype(np.float64), labels)
        n += 1
        if n == _N_COMPARED:
            return


def _unchecked(sample: Sample) -> NDArray[np.float32]:
    """A map's values as they are stored, whatever they were divided by and counted from."""
    for scale in (1.0, 256.0):
        try:
            return read_map(sample, "face3d", scale) / np.float32(scale)
        except UvgenError as error:
            refused = error
    raise refused


def _similarity(label: NDArray[np.float64], points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The scale and shift (3, 3) that take points (68, 2) of the image to those of the crop, and the RMS left."""
    a, b = label - label.mean(axis=0), points[:, :2] - points[:, :2].mean(axis=0)
    scale = max(float((a * b).sum() / (a**2).sum()), 1e-6)
    shift = points[:, :2].mean(axis=0) - scale * label.mean(axis=0)
    distance = float(np.sqrt(((scale * a - b) ** 2).sum(axis=1).mean()))
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]]), distance
