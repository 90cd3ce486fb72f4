"""Samples and a model to shards: the whole job of `uvgen build`.

A shard is the unit of work. Shards are planned from the sorted sample list alone, and each is made by one worker
from its own samples, so that the bytes depend neither on the number of workers nor on interruptions.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import check_instance, check_optional_paths, check_paths
from uvgen.datasets.begun import as_begun, check_begun, survey_of_begun
from uvgen.datasets.config import BuildConfig, DatasetConfig
from uvgen.datasets.made_with import about_another_model, about_unfinished, model_of_samples
from uvgen.datasets.make_shards import BuildResult, NewSet, make_shards
from uvgen.datasets.output_folder import check_output, output_folder
from uvgen.datasets.plan import ShardTask, plan_shards
from uvgen.datasets.quality.survey import survey_samples
from uvgen.datasets.record import ShardResult
from uvgen.datasets.same_samples import check_same_samples
from uvgen.datasets.turned import SampleTurner
from uvgen.datasets.worker import BuildJob
from uvgen.errors import InputError
from uvgen.jobs.options import RunOptions, check_on_error, check_run
from uvgen.jobs.run import same_workers
from uvgen.maps.atlas import build_atlas
from uvgen.maps.landmarks import landmark_texels, landmark_weights
from uvgen.maps.mask_files import as_weights, read_weights
from uvgen.maps.masks import weight_mask
from uvgen.maps.mirror import TexelMirror
from uvgen.maps.targets import check_model_has
from uvgen.models.load import BUILTIN, as_model
from uvgen.models.morphable import MorphableModel
from uvgen.progress import begin
from uvgen.samples.files import files_sha256
from uvgen.samples.find import Sample, find_samples, folder_of, unread_folders
from uvgen.samples.selection import SampleSelection
from uvgen.samples.stored import AnySample, at_hand
from uvgen.shards.constants import hash_of_weights
from uvgen.storage.folders import IMAGE_SUFFIXES
from uvgen.storage.urls import local_path
from uvgen.wording import are, count


def build_shards(
    data: str | os.PathLike[str] | Sequence[Sample] | None,
    out: str | os.PathLike[str],
    *,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    config: BuildConfig | None = None,
    subsets: Sequence[str] = (),
    select: SampleSelection = SampleSelection(),
    root: str | os.PathLike[str] | None = None,
    weights: ArrayLike | str | os.PathLike[str] | None = None,
    run: RunOptions = RunOptions(),
    on_error: str = "skip",
    overwrite: bool = False,
    progress: Callable[[ShardResult], object] | None = None,
) -> BuildResult:
    """Make a data set of crops, position maps and parameters, or finish one that was begun.

    Parameters
    ----------
    data : path-like, sequence of Sample, or None
        Folder like 300W-LP's or AFLW2000-3D's; or a CSV or JSON list of images and parameters; or samples as
        `uvgen.find_samples` lists them; or None for the built-in sample set, which is made on first use.
    out : path-like
        Folder for the shards and `dataset.json`.
    model : MorphableModel or path-like, optional
        The model that the samples' parameters belong to; the built-in samples have the built-in one.
    config : BuildConfig, optional
        The settings that determine every byte; `BuildConfig()` by default.
    subsets : sequence of str
        Which subsets of a folder to take, all by default.
    select : SampleSelection
        Which of their samples to take.
    root : path-like, optional
        Folder that the stored source paths are relative to; `data` if that is a folder, else the current one.
    weights : (uv_size, uv_size) array or path-like, optional
        Weight mask to store instead of `uvgen.weight_mask`; a file as `uvgen.maps.mask_files.read_weights` takes it.
    run : RunOptions
        On how many processes, and what happens if one dies or takes too long. A task is a shard; a sample at which
        processes die is skipped.
    on_error : {"skip", "fail"}
        Whether a bad sample is left out and reported, or ends the build.
    overwrite : bool
        Replace an existing data set in the folder.
    progress : callable, optional
        Called with each `ShardResult` as it is finished.

    Returns
    -------
    BuildResult

    Raises
    ------
    DatasetError
        If the data cannot be read or no sample of it used, or the folder cannot be written or holds a data set made
        with other settings.
    ModelError
        If the model cannot be read.
    SampleError
        For a bad sample with ``on_error="fail"``.
    InputError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> run = uvgen.RunOptions(workers=8)
    >>> result = uvgen.build_shards("300W_LP/", "shards/", model="bfm.h5", subsets=["IBUG"], run=run)
    >>> result.samples, [skip.reason for skip in result.skipped]
    """
    check_paths(out=out)
    check_optional_paths(root=root)
    config = BuildConfig() if config is None else config
    check_instance(config, "config", BuildConfig, "uvgen.BuildConfig(size=224)")
    check_instance(select, "select", SampleSelection, "uvgen.SampleSelection(limit=1000)")
    config.check()
    if config.meshes:
        raise InputError("meshes: True, expected False: uvgen.import_meshes takes registered meshes")
    if not config.has_parameters:
        raise InputError(f"maps_from: {config.maps_from}, expected none: uvgen.import_maps takes finished maps")
    check_run(run)
    check_on_error(on_error)
    out = output_folder(out)
    check_output(out, overwrite=overwrite)
    unread = about_unread(data) if isinstance(data, str | os.PathLike) else []
    folder = data if isinstance(data, str | os.PathLike) else root
    samples, root, model = _inputs(data, model, root, subsets, flip=select.flip)
    of_folder = [] if folder is None else [*about_another_model(folder, model), *about_unfinished(folder)]
    samples = select.of(samples, all_subsets=not subsets)
    check_model_has(model, config.targets)
    SampleTurner.of(model, config)  # says so if the model cannot turn faces
    if out == root or (out.exists() and root.exists() and out.samefile(root)):
        raise InputError(f"{out}: holds the samples, expected another folder for the shards")
    if not overwrite:
        check_begun(out, config, model, describe_plan(samples, config.copies))
        config = as_begun(out, config)
        check_same_samples(out, samples, config)
    with same_workers(run):
        survey = survey_samples(samples, model, config, run)
        survey = survey if overwrite else survey_of_begun(out, survey, config)
        begin("laying out the map")
        mirror = mirror_of(model, config)
        constants = constants_of(model, config, weights)
        return make_shards(
            BuildJob(out, root, model, mirror, config, survey, on_error),
            plan_shards(samples, config.shard_size, config.copies),
            out,
            NewSet(
                DatasetConfig(config, model.name, model.content_sha256, hash_of_weights(constants)),
                {**describe_plan(samples, config.copies), **survey.to_plain()},
                constants,
                mirror,
                model,
                [*survey.warnings, *of_folder, *unread],
            ),
            run,
            state=states_of(samples, files_sha256),
            overwrite=overwrite,
            progress=progress,
        )


def about_unread(data: str | os.PathLike[str]) -> list[str]:
    """Warnings of what lies in a folder of samples and is not taken: see `uvgen.samples.find.Unread`."""
    deeper, imageless, lost = unread_folders(data)
    said = []
    if deeper:
        what = f"{count(len(deeper), 'folder')} with images below the subsets' folders {are(len(deeper))} not read"
        said.append(f"{what}, first {deeper[0]}")
    if imageless:
        what = f"{count(len(imageless), 'folder')} with .mat files and no images {are(len(imageless))} not read"
        said.append(f"{what}, first {imageless[0]}; images are {', '.join(IMAGE_SUFFIXES)}")
    if lost:
        what = f"{count(len(lost), 'link')} to what is not there {are(len(lost))} not followed"
        said.append(f"{what}, first {lost[0]}; is a disk not mounted?")
    return said


def _inputs(
    data: str | os.PathLike[str] | Sequence[Sample] | None,
    model: MorphableModel | str | os.PathLike[str] | None,
    root: str | os.PathLike[str] | None,
    subsets: Sequence[str],
    *,
    flip: bool,
) -> tuple[Sequence[Sample], Path, MorphableModel]:
    """Samples, the folder that their paths are stored relative to, and their model."""
    if data is None:
        from uvgen.synth.sample_set import builtin_samples

        if model not in (None, BUILTIN) and getattr(model, "name", None) != BUILTIN:
            raise InputError("data: none, expected a folder: the built-in samples belong only to the built-in model")
        data, model = builtin_samples(), model or BUILTIN
    if model is None and isinstance(data, str | os.PathLike):
        model = model_of_samples(data)
    if model is None:
        raise InputError("model: none, expected the one that the samples' parameters belong to")
    if isinstance(data, str | os.PathLike):
        root = folder_of(data) if root is None else local_path(root)
        data = find_samples(data, subsets, flip=flip)
    elif subsets:
        raise InputError("subsets: given with a list of samples, expected a folder to choose from")
    return data, Path(os.path.abspath(local_path(root or "."))), as_model(model)


def states_of(
    samples: Sequence[AnySample], hash_files: Callable[[AnySample], str]
) -> Callable[[ShardTask, str], str | None]:
    """What gives a hash of a sample's files by its shard and its name; None for names of other samples."""
    by_name = {sample.name: sample for sample in samples}

    def state(_: ShardTask, name: str) -> str | None:
        if name not in by_name:
            return None
        with at_hand([by_name[name]]) as (here, _local):
            return hash_files(here[0])

    return state


def _weights(
    weights: ArrayLike | str | os.PathLike[str] | None, model: MorphableModel, uv_size: int
) -> NDArray[np.float32]:
    if weights is None:
        return weight_mask(model, uv_size)
    if isinstance(weights, str | os.PathLike):
        return read_weights(Path(weights), uv_size)
    return as_weights(weights, "weights", uv_size)


def mirror_of(model: MorphableModel, config: BuildConfig) -> TexelMirror | None:
    """The model's, if samples are flipped."""
    if config.augmentation is None or not config.augmentation.flip:
        return None
    return TexelMirror.of_model(model, config.uv_size, config.convention)


def constants_of(
    model: MorphableModel, config: BuildConfig, weights: ArrayLike | str | os.PathLike[str] | None = None
) -> dict[str, NDArray[Any]]:
    """What `constants.npz` holds."""
    mask = _weights(weights, model, config.uv_size)
    landmarks = landmark_weights(model, config.uv_size, config.convention)
    return {
        "weight_mask": mask,
        "coverage": build_atlas(model, config.uv_size, config.convention).coverage,
        "landmark_texels": landmark_texels(model, config.uv_size),
        "landmark_indices": landmarks.indices,
        "landmark_weights": landmarks.weights,
    }


def describe_plan(
    samples: Sequence[Sample], copies: int, name_of: Callable[[Sample], str] = attrgetter("name")
) -> dict[str, Any]:
    """Which samples a set is to hold: how many, and a hash of their names, or of what else stands for them."""
    names = "\n".join(map(name_of, samples))
    return {"samples": len(samples) * copies, "names_sha256": hashlib.sha256(names.encode()).hexdigest()}
