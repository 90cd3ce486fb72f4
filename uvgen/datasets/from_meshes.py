"""Images with registered meshes and their cameras, to shards: what `uvgen build --meshes` does.

Such samples have a camera instead of shape and expression parameters. Their pose is estimated by aligning the model's
mean face with the mesh's landmarks: good enough for yaw ranges and previews, but not a label.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.cameras import ImageCamera
from uvgen.checks import check_instance, check_optional_paths, check_paths
from uvgen.datasets.begun import as_begun, check_begun
from uvgen.datasets.build import about_unread, constants_of, describe_plan, mirror_of, states_of
from uvgen.datasets.config import BuildConfig, DatasetConfig
from uvgen.datasets.made_with import about_another_model, about_unfinished, lie_in_the_models_frame, model_of_samples
from uvgen.datasets.make_shards import BuildResult, NewSet, make_shards
from uvgen.datasets.mesh_worker import MeshJob, MeshReader
from uvgen.datasets.output_folder import check_output, output_folder
from uvgen.datasets.plan import ShardTask, plan_shards
from uvgen.datasets.quality.survey import Survey, SurveyJob, probes_of
from uvgen.datasets.record import ShardResult
from uvgen.datasets.same_samples import check_same_samples
from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.jobs.options import RunOptions, check_on_error, check_run
from uvgen.jobs.run import results, same_workers
from uvgen.maps.targets import check_model_has
from uvgen.models.load import as_model
from uvgen.models.morphable import MorphableModel
from uvgen.progress import begin
from uvgen.samples.colmap import COLMAP_FILES
from uvgen.samples.files import check_source
from uvgen.samples.mesh_files import MeshSample, find_meshes, mesh_files_sha256
from uvgen.samples.read import read_image
from uvgen.samples.selection import SampleSelection
from uvgen.shards.constants import hash_of_weights
from uvgen.wording import count, have, none_can_be


def import_meshes(
    data: str | os.PathLike[str] | None,
    meshes: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    cameras: str | os.PathLike[str] | None = None,
    config: BuildConfig | None = None,
    subsets: Sequence[str] = (),
    select: SampleSelection = SampleSelection(),
    weights: ArrayLike | str | os.PathLike[str] | None = None,
    run: RunOptions = RunOptions(),
    on_error: str = "skip",
    overwrite: bool = False,
    progress: Callable[[ShardResult], object] | None = None,
) -> BuildResult:
    """Make a data set of images whose faces are given as meshes in a model's topology, or finish one that was begun.

    Parameters
    ----------
    data : path-like or None
        Folder of images, or of folders of them; None if the images are beside the meshes.
    meshes : path-like
        Folder of meshes: ``NAME.obj`` (``.ply``, ``.off``, ``.glb``, ``.npy``) for each image ``NAME.jpg``; further
        faces are ``NAME-face2.obj`` or ``NAME.1.obj``. Each has the model's vertices in the model's order.
    out : path-like
        Folder for the shards and `dataset.json`.
    model : MorphableModel or path-like, optional
        The meshes' model; by default the one that `uvgen.register_scans` made the folder with.
    cameras : path-like, optional
        A JSON file for all images (`uvgen.read_camera`), a folder of ``NAME.json``, or the folder of a COLMAP
        reconstruction. By default ``NAME.camera.json`` beside the meshes; without any, vertices are in the image frame,
        px.
    config : BuildConfig, optional
        Settings; `maps`, `keep` and `max_nme` must have their defaults.
    subsets, select, weights, run, on_error, overwrite, progress
        As for `uvgen.build_shards`.

    Returns
    -------
    BuildResult

    Raises
    ------
    DatasetError
        If there are no meshes, none of them can be used, the cameras cannot be read, or the output folder cannot be
        written or holds something else.
    ModelError
        If the model cannot be read.
    SampleError
        For a bad sample with ``on_error="fail"``.
    InputError
        If an argument is out of range or of the wrong type, or there is no model.
    DependencyError
        If a PLY or OFF is to be read and trimesh is not installed.

    Examples
    --------
    >>> result = uvgen.import_meshes("photos/", "meshes/", "shards/", model="bfm.h5", cameras="reconstruction/")
    >>> result.samples, [skip.reason for skip in result.skipped]
    """
    check_paths(meshes=meshes, out=out)
    check_optional_paths(data=data, cameras=cameras)
    config = BuildConfig() if config is None else config
    check_instance(config, "config", BuildConfig, "uvgen.BuildConfig(size=224)")
    check_instance(select, "select", SampleSelection, "uvgen.SampleSelection(limit=1000)")
    config = replace(config, meshes=True)
    config.check()
    check_run(run)
    check_on_error(on_error)
    out, root = output_folder(out), Path(os.path.abspath(meshes if data is None else data))
    check_output(out, overwrite=overwrite)
    for folder in (root, Path(os.path.abspath(meshes))):
        if out.exists() and folder.exists() and out.samefile(folder):
            raise InputError(f"{out}: holds the samples, expected another folder for the shards")
    begin("listing meshes")
    samples = select.of(find_meshes(root, meshes, cameras, subsets, flip=select.flip), all_subsets=not subsets)
    if model is None:
        model = model_of_samples(meshes)
    if model is None:
        raise InputError("model: none, expected the one whose topology the meshes have")
    model = as_model(model)
    check_model_has(model, config.targets)
    if not overwrite:
        check_begun(out, config, model, describe_plan(samples, config.copies))
        config = as_begun(out, config)
        placed = partial(_placed, reader=MeshReader(model, config.convention, config.implausible), exif=config.exif)
        check_same_samples(out, samples, config, placed, some_may_differ=True)
    with same_workers(run):
        _survey(samples, model, config, run)
        begin("laying out the map")
        mirror = mirror_of(model, config)
        constants = constants_of(model, config, weights)
        tasks = plan_shards(samples, config.shard_size, config.copies)
        result = make_shards(
            MeshJob(out, root, model, mirror, config, Survey(), on_error),
            tasks,
            out,
            NewSet(
                DatasetConfig(config, model.name, model.content_sha256, hash_of_weights(constants)),
                {**describe_plan(samples, config.copies), "annotated_dimensions": 2},
                constants,
                mirror,
                model,
                [
                    *_about_pairs(samples),
                    *_about_frame(samples, meshes),
                    *about_another_model(meshes, model),
                    *about_unfinished(meshes),
                    *about_unread(root),
                ],
            ),
            run,
            state=states_of(samples, mesh_files_sha256),
            overwrite=overwrite,
            progress=progress,
        )
    return replace(result, warnings=(*result.warnings, *_about_later(tasks, out, cameras)))


def _placed(sample: MeshSample, reader: MeshReader, exif: str) -> dict[str, NDArray[Any]]:
    """What a sample's files say of fields that are stored, to tell it from another of the same name."""
    face, _ = reader.place(sample, reader.read(sample), read_image(sample, exif=exif).shape)
    return {name: np.asarray(getattr(face, name)) for name in ("camera", "pose")}


def _about_later(tasks: Sequence[ShardTask], out: Path, cameras: str | os.PathLike[str] | None) -> list[str]:
    """A warning if samples have files newer than their shard, which a rerun leaves as it is."""
    of_all = [] if cameras is None else [Path(cameras), *(Path(cameras) / name for name in COLMAP_FILES)]
    given = _latest([path for path in of_all if path.is_file()])
    later = list[str]()
    for task in tasks:
        if made := _latest([out / task.file]):
            for sample in task.samples if not task.copy else ():
                own = (sample.image, sample.parameters, getattr(sample, "camera", None))
                files = [path for path in own if isinstance(path, Path)]
                if not sample.problem and max(given, _latest(files)) > made:
                    later.append(sample.name)
    if not later:
        return []
    which = later[0] if len(later) == 1 else f"{later[0]} and {len(later) - 1} more"
    return [
        f"{which}: mesh, camera or image are newer than their shard, which is kept; overwrite the set to start anew"
    ]


def _latest(paths: Sequence[Path]) -> int:
    """When the latest of these files was changed, ns; 0 if there is none."""
    found = [0]
    for path in paths:
        with suppress(OSError):
            found.append(path.stat().st_mtime_ns)
    return max(found)


def _about_pairs(samples: Sequence[MeshSample]) -> list[str]:
    """A warning about images without a mesh, and one about meshes without an image."""
    found = []
    for what, lacks, alone in (
        ("image", "mesh", [sample for sample in samples if sample.parameters is None]),
        ("mesh", "image", [sample for sample in samples if sample.image is None]),
    ):
        if alone:
            found.append(f"{count(len(alone), what)} {have(len(alone))} no {lacks}, first {alone[0].name}")
    return found


def _about_frame(samples: Sequence[MeshSample], meshes: str | os.PathLike[str]) -> list[str]:
    """A warning if registered meshes were moved away from their scans, and have cameras."""
    if not lie_in_the_models_frame(meshes) or all(
        isinstance(sample.camera, ImageCamera) and sample.camera.kind == "image" for sample in samples
    ):
        return []
    return [
        f"{meshes}: `uvgen register --frame model` moved each of these meshes away from its scan, to which its camera "
        "belongs; `uvgen register --frame scan` leaves them there"
    ]


def _survey(samples: Sequence[MeshSample], model: MorphableModel, config: BuildConfig, run: RunOptions) -> None:
    """Raise DatasetError if no sample can be used, for example because all meshes are of another topology."""
    begin("reading a few meshes")
    errors = list[str]()
    look = partial(_doubts, model=model, config=config)
    ready = [sample for sample in samples if not sample.problem]
    if not ready:
        errors = [sample.problem for sample in samples]
    for task in probes_of(ready) if ready else ():
        (found,) = results(SurveyJob(look), [tuple(task)], run)
        if found is None:
            return
        errors += found
    raise DatasetError(none_can_be("used", len(samples), "sample", errors[0]))


def _doubts(samples: Sequence[MeshSample], model: MorphableModel, config: BuildConfig) -> list[str] | None:
    """What is wrong with each of the samples; None as soon as one of them can be used."""
    reader, errors = MeshReader(model, config.convention, config.implausible), list[str]()
    for sample in samples:
        try:
            reader.place(sample, reader.read(sample), read_image(sample, exif=config.exif).shape)
        except SampleError as error:
            check_source(sample, error)
            errors.append(str(error))
        else:
            return None
    return errors
