"""What a few samples say before a build begins: a cause common to all of them ends it before any work."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from uvgen.datasets.config import BuildConfig
from uvgen.datasets.quality.annotations import image_landmarks
from uvgen.datasets.quality.plausible import MOST_DEVIATIONS, check_counts, check_face_size, check_pose, deviations
from uvgen.errors import DatasetError, SampleError
from uvgen.jobs.options import RunOptions
from uvgen.jobs.run import results
from uvgen.models.morphable import MorphableModel
from uvgen.progress import begin
from uvgen.samples.files import check_source
from uvgen.samples.find import Sample
from uvgen.samples.photographs import photograph_of
from uvgen.samples.read import EXTRAS, Annotation, read_annotation, read_image
from uvgen.samples.stored import at_hand
from uvgen.wording import none_can_be

_N_PROBES = 16
_BATCH = 1024  # further samples, if none of the probes can be used
_N_SUBSETS, _N_TURNED, _N_VERSIONS = 16, 5, 4  # of each of these subsets, and of a photograph, that are compared
_CHECKED = ("shape", "expression")
_MOST_KEPT = 1 << 16  # numbers of a field of a sample's file

SURVEYED = ("annotated_dimensions", "survey")
"""Keys of a plan that the files of a few samples decide: they may change when one of these is repaired."""

NOT_SURVEYED = "not_surveyed"
"""Key of a plan for the names of those of these few that could not be used, if there are any."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a few samples, evenly spread over a list, have in common.

    Attributes
    ----------
    dimensions : {2, 3}
        Of annotated landmarks: 3 if one of the samples has them so.
    extras : tuple of (str, int)
        What is kept besides the parameters, and how many numbers each has.
    deviations_checked : tuple of str
        "shape" and "expression", unless the model's standard deviations do not fit the parameters at all.
    repeated : tuple of str
        Subsets in which turned versions of a photograph hold the annotation of another version, as in some copies of
        300W-LP.
    warnings : tuple of str
        What to tell the user.
    unusable : tuple of str
        Names of those of the samples that could not be used: they might say something else.
    """

    dimensions: int = 2
    extras: tuple[tuple[str, int], ...] = ()
    deviations_checked: tuple[str, ...] = _CHECKED
    repeated: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=(), compare=False)
    unusable: tuple[str, ...] = field(default=(), compare=False)

    def to_plain(self) -> dict[str, Any]:
        """What a set's plan states of it: every shard depends on what is under the keys `SURVEYED`."""
        survey = {
            "kept": dict(self.extras),
            "deviations_checked": list(self.deviations_checked),
            "repeated": list(self.repeated) or False,
        }
        lacks = {NOT_SURVEYED: list(self.unusable)} if self.unusable else {}
        return {"annotated_dimensions": self.dimensions, "survey": survey, **lacks}

    @classmethod
    def of_plan(cls, plan: Mapping[str, Any], config: BuildConfig) -> "Survey | None":
        """The survey that a set's plan states; None if it states none that can be used."""
        try:
            stated, dimensions = plan["survey"], plan["annotated_dimensions"]
            kept = tuple((name, stated["kept"][name]) for name in config.keep)
            checked = tuple(name for name in _CHECKED if name in stated["deviations_checked"])
            sound = dimensions in (2, 3) and all(type(n) is int and 0 <= n <= _MOST_KEPT for _, n in kept)
            unusable = tuple(sorted(not_surveyed(plan)))
            repeated = tuple(map(str, stated["repeated"] or ()))
            return cls(dimensions, kept, checked, repeated, unusable=unusable) if sound else None
        except (LookupError, TypeError):
            return None


def not_surveyed(plan: Mapping[str, Any]) -> set[str]:
    """The samples that a set's plan states under `NOT_SURVEYED`."""
    stated = plan.get(NOT_SURVEYED)
    return {name for name in stated if isinstance(name, str)} if isinstance(stated, list) else set()


@dataclass(frozen=True, slots=True, eq=False)
class SurveyJob:
    """Reading a few samples as a job: a process dies of the sample that the build's would die of."""

    read: Callable[[Sequence[Sample]], Any]

    def open(self) -> Callable[[Sequence[Sample]], Any]:
        """The function that reads samples."""

        def read(samples: Sequence[Sample]) -> Any:
            with at_hand(samples) as (here, _):
                return self.read(here)

        return read

    def parts(self, task: Sequence[Sample]) -> list[tuple[Sample, ...]]:
        """Each sample alone."""
        return [(sample,) for sample in task]

    def without(self, task: Sequence[Sample], causes: Mapping[int, str]) -> tuple[Sample, ...]:
        """The task without the samples at which processes die."""
        return tuple(s if k not in causes else replace(s, problem=f"{s.name}: {causes[k]}") for k, s in enumerate(task))


def survey_samples(samples: Sequence[Sample], model: MorphableModel, config: BuildConfig, run: RunOptions) -> Survey:
    """Read a few samples, and others if none of the few can be used until there is one.

    Parameters
    ----------
    samples : sequence of Sample
        All samples of a build.
    model : MorphableModel
        The model that their parameters are said to belong to.
    config : BuildConfig
        What to keep.
    run : RunOptions
        As for the build: if it works in other processes, so does this, in one.

    Returns
    -------
    Survey

    Raises
    ------
    DatasetError
        If there are no samples, no sample can be used with this model, or their folder has vanished.
    """
    begin("reading a few samples")
    tasks = probes_of(samples)
    errors, found = dict[str, str](), list[Annotation]()

    def read(what: Callable[[Sequence[Sample]], Any], task: Sequence[Sample]) -> Any:
        (made,) = results(SurveyJob(what), [tuple(task)], run)
        return made

    for task in tasks:  # the second and others only if no sample so far can be used
        found, more = read(partial(_usable, model=model, config=config), task)
        errors |= more
        if found:
            break
    else:
        raise DatasetError(none_can_be("used", len(samples), "sample", next(iter(errors.values()))))
    checked, warnings = _check_deviations(found, model)
    repeated, unusable = list[str](), {*errors}
    if config.max_nme is not None:
        groups = versions_of(_turned_of_subsets(samples), samples)
        versions = [sample for group in groups for sample in group]
        of_all = read(_annotations, versions)
        unusable |= {sample.name for sample, one in zip(versions, of_all, strict=True) if one is None}
        said, votes = iter(of_all), dict[str, list[bool]]()
        for group in groups:
            if (vote := _are_repeated([*islice(said, len(group))])) is not None:
                votes.setdefault(group[0].subset, []).append(vote)
        everywhere = [vote for some in votes.values() for vote in some]
        for subset in sorted({sample.subset for sample in samples}):
            some = votes.get(subset, everywhere)
            if 2 * sum(some) > len(some):  # a fault of a whole copy, and not of a file that somebody mixed up
                repeated.append(subset)
    return Survey(
        3 if any(annotation.landmarks_3d is not None for annotation in found) else 2,
        tuple((name, _count(found, name)) for name in config.keep),
        checked,
        tuple(repeated),
        warnings,
        tuple(sorted(unusable)),
    )


AnySample = TypeVar("AnySample", bound=Sample)
AnyItem = TypeVar("AnyItem")


def probes_of(samples: Sequence[AnySample]) -> list[list[AnySample]]:
    """A few samples, evenly spread over a list, then all others, some at once; DatasetError if there are none."""
    if not samples:
        raise DatasetError("samples: none, expected one or more")
    places = np.unique(np.linspace(0, len(samples) - 1, _N_PROBES).astype(int)).tolist()
    chosen = set(places)
    rest = [k for k in range(len(samples)) if k not in chosen]
    numbers = [places, *(rest[first : first + _BATCH] for first in range(0, len(rest), _BATCH))]
    return [[samples[k] for k in some] for some in numbers]


def versions_of(probes: Sequence[Sample], samples: Sequence[Sample]) -> list[list[Sample]]:
    """The first few versions of each probe's photograph, if its name says that there are some."""
    versions: dict[str, list[Sample]] = {}
    for sample in samples:
        if found := photograph_of(sample.name):
            versions.setdefault(found[0], []).append(sample)
    photographs = [found[0] for probe in probes if (found := photograph_of(probe.name))]
    return [versions[name][:_N_VERSIONS] for name in dict.fromkeys(photographs)]


def _turned_of_subsets(samples: Sequence[Sample]) -> list[Sample]:
    """A few turned versions of a few subsets, evenly spread."""
    turned: dict[str, list[Sample]] = {}
    for sample in samples:
        if (found := photograph_of(sample.name)) and found[1] > 0:
            turned.setdefault(sample.subset, []).append(sample)
    return [sample for some in _evenly([*turned.values()], _N_SUBSETS) for sample in _evenly(some, _N_TURNED)]


def _evenly(items: list[AnyItem], n: int) -> list[AnyItem]:
    return [items[k] for k in np.unique(np.linspace(0, len(items) - 1, n).astype(int)).tolist()] if items else []


def _annotations(samples: Sequence[Sample]) -> list[Annotation | None]:
    """What samples' files say; None for one that cannot be read."""
    found = list[Annotation | None]()
    for sample in samples:
        try:
            found.append(read_annotation(sample))
        except (SampleError, ValueError) as error:
            check_source(sample, error)  # what is left out must not depend on the machine
            found.append(None)
    return found


def _are_repeated(versions: Sequence[Annotation | None]) -> bool | None:
    """Whether all versions of a photograph with another yaw than the first have its 2D points; None if none tells."""
    found = [version for version in versions if version is not None]
    if len(found) < len(versions):  # one cannot be read
        return None
    first, *others = found
    turned = [other.landmarks_2d for other in others if abs(first.pose[1] - other.pose[1]) >= 0.01]
    annotated = [points for points in turned if points is not None]
    if first.landmarks_2d is None or not annotated:
        return None
    return all(np.array_equal(first.landmarks_2d, points, equal_nan=True) for points in annotated)


def _usable(
    samples: Sequence[Sample], model: MorphableModel, config: BuildConfig
) -> tuple[list[Annotation], dict[str, str]]:
    """What samples say that can be used, and what is wrong with the others, by their names."""
    found, errors = list[Annotation](), dict[str, str]()
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
            check_source(sample, error)
            errors[sample.name] = str(error)
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
