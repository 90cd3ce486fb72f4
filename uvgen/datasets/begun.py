"""What the set in an output folder was begun with, compared with what a run asks for."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from uvgen._version import __version__
from uvgen.datasets.config import UNSTATED, BuildConfig, CopyConfig, DatasetConfig
from uvgen.datasets.output_folder import read_begun
from uvgen.datasets.quality.survey import Survey
from uvgen.errors import DatasetError
from uvgen.jobs.run import check_same
from uvgen.models.morphable import MorphableModel
from uvgen.shards.index import Index
from uvgen.storage.folders import DATASET_INDEX

Config = TypeVar("Config", BuildConfig, CopyConfig)

_DIFFERENCES = {
    "model_sha256": "another model", "weight_mask_sha256": "another weight mask", "augmented_from": "other shards",
    "merged_from": "other shards",
    "repeated_annotations": "other samples that hold the annotation of another version of their photograph",
    "annotated_dimensions": "annotated landmarks of {old} coordinates, now they have {new}: other files, or one of the "
    "first that were read was changed since",
    "survey": "other checks: other files, or one of the first that were read was changed since",
    "names_sha256": "other samples of the same number: another list, exclusions or subsets, or other files",
    "samples": "{old} samples, now they are {new}: another list, exclusions, limit or subsets, or other files",
}  # fmt: skip
"""How a message says that one of these settings differs from that of a set that was begun."""


def check_same_settings(folder: Path, begun: Index, asked: Index) -> None:
    """Raise SettingsError, which names what differs, if a folder's set was begun with other settings than are asked."""
    check_same(folder, _settings(begun), _settings(asked), _DIFFERENCES)


def check_begun(out: Path, config: BuildConfig, model: MorphableModel | None, plan: Mapping[str, Any]) -> None:
    """Raise SettingsError, before any work, if a folder holds a set that was begun with other settings.

    Without a model, models are not compared.
    """
    if not (out / DATASET_INDEX).exists():
        return
    old = _settings(read_begun(out))
    name, content = ("", "") if model is None else (model.name, model.content_sha256)
    stated = DatasetConfig(config, name, content, "").to_plain()
    new = _settings(Index(__version__, stated, dict(plan)))
    del new["weight_mask_sha256"]  # not computed yet
    if model is None:
        del new["model"], new["model_sha256"]
    check_same(out, {key: old.get(key) for key in new}, new, _DIFFERENCES)


def as_begun(out: Path, asked: Config) -> Config:
    """The configuration in the form in which the set in a folder states it, if that says the same.

    Of 45 and 45.0, which are equal, shards state the one that was given; all of a set must state the same.
    """
    if not (out / DATASET_INDEX).exists():
        return asked
    try:
        begun = DatasetConfig.of_index(read_begun(out), out)
    except DatasetError:  # refused for that where settings are compared
        return asked
    for stated in (begun.build, begun.copied):
        if isinstance(stated, type(asked)) and stated.to_plain() == asked.to_plain():
            return stated
    return asked


def survey_of_begun(out: Path, survey: Survey, config: BuildConfig) -> Survey:
    """The survey that the set in a folder was begun with, if some of the samples that decided it were damaged since: it
    is still what all of them say. Otherwise the one that was made now.
    """
    if not survey.unusable or not (out / DATASET_INDEX).exists():
        return survey
    begun = Survey.of_plan(read_begun(out).plan, config)
    if begun is None or not set(begun.unusable) < set(survey.unusable):
        return survey
    return replace(begun, warnings=survey.warnings)


def _settings(index: Index) -> dict[str, Any]:
    """What a data set was made with, an augmentation's options side by side with the others."""
    config = {key: value for key, value in index.config.items() if key != "augmentation"}
    ranges = index.config.get("augmentation") or {}
    if not isinstance(ranges, Mapping):  # not written by uvgen
        ranges = {"": ranges}
    options = {f"augmentation {key}".rstrip(): value for key, value in ranges.items()}
    found: dict[str, Any] = {}
    for part in ({"uvgen": index.uvgen}, {**UNSTATED, **config}, options, index.plan):
        for key, value in part.items():  # a key that is stated twice was not written by uvgen
            found[key if key not in found else f"{key} stated again"] = value
    return found
