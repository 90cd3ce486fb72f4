"""What a few samples say before a build begins: a cause common to all of them ends it before any work."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from uvgen.datasets.annotations import image_landmarks
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.plausible import MOST_DEVIATIONS, check_counts, check_face_size, check_pose, deviations
from uvgen.errors import DatasetError, SampleError
from uvgen.models.morphable import MorphableModel
from uvgen.samples.find import Sample
from uvgen.samples.read import EXTRAS, Annotation, read_annotation, read_image

_N_PROBES = 16
_VERSION = re.compile(r"(.+_\d+)_(\d+)")  # IBUG_image_008_1_0


@dataclass(frozen=True, slots=True)
class Survey:
    """What a few samples, evenly spread over a list, have in common.

    Attributes
    ----------
    dimensions : {2, 3}
        Of annotated landmarks: 3 where one of the samples has them so.
    extras : tuple of (str, int)
        What is kept besides the parameters, and how many numbers each has.
    deviations_checked : tuple of str
        "shape" and "expression", unless the model's standard deviations do not fit the parameters at all.
    repeated : bool
        Whether turned versions of a photograph hold the annotation of another version, as in some copies of 300W-LP.
    warnings : tuple of str
        What to tell the user.
    """

    dimensions: int = 2
    extras: tuple[tuple[str, int], ...] = ()
    deviations_checked: tuple[str, ...] = ("shape", "expression")
    repeated: bool = False
    warnings: tuple[str, ...] = field(default=(), compare=False)


def survey_samples(samples: Sequence[Sample], model: MorphableModel, config: BuildConfig) -> Survey:
    """Read a few samples, and others where none of the few can be used until there is one.

    Parameters
    ----------
    samples : sequence of Sample
        All samples of a build.
    model : MorphableModel
        The model that their parameters are said to belong to.
    config : BuildConfig
        What to keep.

    Returns
    -------
    Survey

    Raises
    ------
    DatasetError
        Where there are no samples, or no sample can be used with this model.
    """
    if not samples:
        raise DatasetError("samples: none, expected one or more")
    places = np.unique(np.linspace(0, len(samples) - 1, _N_PROBES).astype(int))
    found, errors = _usable([samples[k] for k in places], model, config)
    if not found:
        rest = set(range(len(samples))) - set(places.tolist())
        for k in sorted(rest):  # one that can be used is enough
            found, more = _usable([samples[k]], model, config)
            errors += more
            if found:
                break
    if not found:
        raise DatasetError(f"none of {len(samples)} samples can be used, all would be skipped; the first: {errors[0]}")
    checked, warnings = _check_deviations(found, model)
    return Survey(
        3 if any(annotation.landmarks_3d is not None for annotation in found) else 2,
        tuple((name, _count(found, name)) for name in config.keep),
        checked,
        config.max_nme is not None and _holds_repeated([samples[k] for k in places], samples),
        warnings,
    )


def is_turned_version(name: str) -> bool:
    """Whether a sample of 300W-LP is a turned version of its photograph: the last number of its name is not 0."""
    found = _VERSION.fullmatch(name)
    return found is not None and int(found[2]) > 0


def _holds_repeated(probes: Sequence[Sample], samples: Sequence[Sample]) -> bool:
    """Whether a probe's file and another version's have the same 2D points and another yaw."""
    versions: dict[str, list[Sample]] = {}
    for sample in samples:
        if found := _VERSION.fullmatch(sample.name):
            versions.setdefault(found[1], []).append(sample)
    for probe in probes:
        found = _VERSION.fullmatch(probe.name)
        group = versions[found[1]] if found else []
        try:
            first, *others = [read_annotation(sample) for sample in group[:4]]
        except (SampleError, ValueError):  # no version, or one that cannot be read
            continue
        for other in others:
            if first.landmarks_2d is None or other.landmarks_2d is None or abs(first.pose[1] - other.pose[1]) < 0.01:
                continue
            if np.array_equal(first.landmarks_2d, other.landmarks_2d, equal_nan=True):
                return True
    return False


def _usable(
    samples: Sequence[Sample], model: MorphableModel, config: BuildConfig
) -> tuple[list[Annotation], list[SampleError]]:
    found, errors = [], []
    for sample in samples:
        try:
            annotation = read_annotation(sample, config.keep)
            check_counts(sample, annotation, model)
            check_pose(sample, annotation.pose)
            image = read_image(sample, exif=config.exif)
            if config.implausible == "skip":
                points = image_landmarks(
                    model, annotation.shape[None], annotation.expression[None], annotation.pose[None],
                    np.array(image.shape[0]), config.convention,
                )[0]  # fmt: skip
                check_face_size(sample, points, image.shape)
        except SampleError as error:
            errors.append(error)
        else:
            found.append(annotation)
    return found, errors


def _count(annotations: Sequence[Annotation], name: str) -> int:
    counts = [
        len(annotation.extras[name]) for annotation in annotations if annotation.extras and name in annotation.extras
    ]
    if not counts:
        raise DatasetError(
            f"keep: {name}, expected files that have it; the first {len(annotations)} lack {EXTRAS[name]}"
        )
    return max(set(counts), key=counts.count)


def _check_deviations(
    annotations: Sequence[Annotation], model: MorphableModel
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which parameters can be checked against the model's standard deviations; and a warning for those that cannot."""
    checked, warnings = [], []
    for what, std in (("shape", model.shape_std), ("expression", model.expression_std)):
        largest = [deviations(getattr(annotation, what), std).max(initial=0) for annotation in annotations]
        usual = float(np.median(largest))
        if usual <= MOST_DEVIATIONS:
            checked.append(what)
        else:
            warnings.append(
                f"{what} parameters are usually {usual:.0f} standard deviations of {model.name} large: they belong to "
                "another model, or its standard deviations have another unit; single ones are not checked"
            )
    return tuple(checked), tuple(warnings)
