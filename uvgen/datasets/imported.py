"""Crops and position maps that another program made, to shards: what `uvgen build --maps-from` does.

Such samples have no shape and expression parameters. Their landmarks are read from the maps, at the model's texels, and
their pose is that of the model's mean face laid on these landmarks: good for yaw ranges and previews, not a label.
`image_to_crop` is the identity: the crop is the image.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import check_instance, check_paths
from uvgen.datasets.begun import as_begun
from uvgen.datasets.build import constants_of, describe_plan, states_of
from uvgen.datasets.config import LARGEST_SIDE, SMALLEST_SIDE, BuildConfig, DatasetConfig
from uvgen.datasets.imported_worker import ImportJob, hash_of_files
from uvgen.datasets.make_shards import BuildResult, NewSet, make_shards
from uvgen.datasets.map_options import MapOptions
from uvgen.datasets.output_folder import check_output, output_folder, read_begun
from uvgen.datasets.plan import plan_shards
from uvgen.datasets.quality.map_comparison import compare_maps
from uvgen.datasets.record import ShardResult
from uvgen.datasets.same_samples import check_same_samples
from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.jobs.options import RunOptions, check_on_error, check_run
from uvgen.jobs.run import same_workers
from uvgen.maps.landmarks import LandmarkWeights, read_landmarks
from uvgen.models.load import as_model
from uvgen.models.morphable import MorphableModel
from uvgen.normalization import Normalization
from uvgen.progress import begin
from uvgen.samples.files import check_machine
from uvgen.samples.find import Sample
from uvgen.samples.map_files import LAYOUTS, exported_conventions, find_maps, lasting_name, read_map
from uvgen.samples.read import read_image
from uvgen.samples.selection import check_limit
from uvgen.shards.constants import hash_of_weights
from uvgen.storage.folders import DATASET_INDEX, EXPORT_MARK
from uvgen.wording import none_can_be

_N_PROBES = 64
_N_LOOKED_AT = 8
_MIDDLE = 0.3  # share of a crop in which faces begin to lie at its edge


def import_maps(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: MorphableModel | str | os.PathLike[str],
    options: MapOptions = MapOptions(),
    config: BuildConfig | None = None,
    limit: int | None = None,
    weights: ArrayLike | str | os.PathLike[str] | None = None,
    run: RunOptions = RunOptions(),
    on_error: str = "skip",
    overwrite: bool = False,
    progress: Callable[[ShardResult], object] | None = None,
) -> BuildResult:
    """Make a data set of crops and position maps that another program wrote, or finish one that was begun.

    Parameters
    ----------
    data : path-like
        Folder of crops and ``.npy`` maps, see `uvgen.samples.map_files`.
    out : path-like
        Folder for the shards and `dataset.json`.
    model : MorphableModel or path-like
        The model with the maps' UV: it says where their landmarks are.
    options : MapOptions
        Layout, scale and pixel convention of the files, or the originals to find them by.
    config : BuildConfig, optional
        Only `shard_size`, `posmap_dtype`, `image_codec`, `jpeg_quality` and `compression` are used; sizes are those of
        the files.
    limit : int, optional
        Take only the first crops, at most this many.
    weights, run, on_error, overwrite, progress
        As for `uvgen.build_shards`.

    Returns
    -------
    BuildResult

    Raises
    ------
    DatasetError
        If there are no maps, none of them can be used, or the folder cannot be written or holds something else.
    ModelError
        If the model cannot be read.
    SampleError
        For a bad sample with ``on_error="fail"``.
    InputError
        If an argument is out of range or of the wrong type, or the originals fit none of the scales and conventions.

    Examples
    --------
    >>> options = uvgen.MapOptions(layout="face3d")
    >>> result = uvgen.import_maps("posmaps/", "shards/", model="bfm.h5", options=options)
    >>> result.samples
    """
    check_paths(data=data, out=out)
    check_run(run)
    check_on_error(on_error)
    check_instance(options, "options", MapOptions, 'uvgen.MapOptions(layout="face3d")')
    check_limit(limit)
    config = BuildConfig() if config is None else config
    check_instance(config, "config", BuildConfig, "uvgen.BuildConfig(size=224)")
    out, root = output_folder(out), Path(os.path.abspath(data))
    check_output(out, overwrite=overwrite)
    if out.exists() and root.exists() and out.samefile(root):
        raise InputError(f"{out}: holds the maps, expected another folder for the shards")
    samples, layout, convention = _listed(root, options)
    samples = samples[:limit]
    model = as_model(model)
    scale, warnings = options.scale, list[str]()
    if options.originals is not None and (scale is None or convention is None):
        begin("comparing maps with their originals")
        scale, convention, said = compare_maps(samples, layout, options.originals, model, scale, convention)
        warnings = [said]
    scale, convention = "px" if scale is None else scale, convention or LAYOUTS[layout].convention
    size, uv_size = _sizes(samples, layout, scale, None if overwrite else _begun_sizes(out))
    normalization = Normalization.of_scale(scale, size)
    config = replace(
        config, size=size, uv_size=uv_size, convention=convention, maps_from=layout,
        maps_scale=normalization.scale[0], maps_offset=normalization.offset[0], jitter=0.0, maps="stored",
    )  # fmt: skip
    config.check()
    config = config if overwrite else as_begun(out, config)
    plan = describe_plan(samples, 1, partial(lasting_name, layout=layout))
    samples = samples if overwrite else _named_as_begun(samples, layout, out)
    with same_workers(run):
        begin("laying out the map")
        constants = constants_of(model, config, weights)
        points = LandmarkWeights.of_constants(constants)
        warnings += _about_scale(samples, config, points)
        if not overwrite:
            check_same_samples(out, samples, config, partial(_landmarks_of, config=config, points=points))
        return make_shards(
            ImportJob(out, root, model, config, points, on_error),
            plan_shards(samples, config.shard_size),
            out,
            NewSet(
                DatasetConfig(config, model.name, model.content_sha256, hash_of_weights(constants)),
                {**plan, "annotated_dimensions": 2},
                constants,
                model=model,
                warnings=warnings,
            ),
            run,
            state=states_of(samples, partial(hash_of_files, layout=layout)),
            overwrite=overwrite,
            progress=progress,
        )


def _listed(root: Path, options: MapOptions) -> tuple[list[Sample], str, str | None]:
    """The crops with maps in a folder, their layout, and the pixel convention if the caller or an export states it."""
    begin("listing maps")
    convention = options.convention
    samples, layout = find_maps(root, options.layout)
    is_named = options.layout is not None and convention is not None
    exported = None if is_named else _exported(root, samples, convention)
    if layout == "reshow" and exported not in (None, "reshow"):
        raise InputError(f"{root}: was exported with {exported} labels, expected reshow's own in its layout")
    if exported == "exact" and layout == "prnet_pytorch":
        layout = "uvgen"
    if convention is None and exported == "reshow" and layout != "reshow":
        raise DatasetError(
            f"{root}: {EXPORT_MARK} states labels of reshow, expected its layout of files, they are {layout}'s; name "
            "the convention"
        )
    return samples, layout, convention or (None if layout == "reshow" else exported)


def _exported(root: Path, samples: Sequence[Sample], convention: str | None) -> str | None:
    """The convention that exports of uvgen's state of these samples; None if they are of none, or not all of one.

    DatasetError for the latter, unless a convention is named.
    """
    found = exported_conventions(samples)
    if len(found) > 1 and convention is None:
        first, other = (
            f"{sample.name} ({'of no export' if stated is None else f'exported with {stated} labels'})"
            for stated, sample in list(found.items())[:2]
        )
        raise DatasetError(
            f"{root}: holds {first} and {other}, expected labels of one convention; name it, or give their folders one "
            "by one"
        )
    return next(iter(found)) if len(found) == 1 else None


def _landmarks_of(sample: Sample, *, config: BuildConfig, points: LandmarkWeights) -> dict[str, NDArray[Any]]:
    """What the file of a map says of a field that is stored, to tell it from another's of the same name."""
    position_map = read_map(sample, config.maps_from or "", config.maps_scale, config.maps_offset)
    return {"landmarks": read_landmarks(position_map, points).astype(np.float32)}


def _named_as_begun(samples: list[Sample], layout: str, out: Path) -> list[Sample]:
    """The samples, and those that are named by their maps by the names that a set has, where the maps are gone since.

    By other names, they would not be taken for those of the set.
    """
    are_named_so = any(one.name != lasting_name(one, layout) for one in samples)
    if not are_named_so or not (out / DATASET_INDEX).exists():
        return samples
    names = [name for entry in read_begun(out).shards for name in entry.sample_names or ()]
    of_folders = {name.rpartition("/")[0]: name for name in names}
    return [
        one if one.parameters is not None else replace(one, name=of_folders.get(one.name, one.name)) for one in samples
    ]


def _begun_sizes(out: Path) -> tuple[int, int] | None:
    """Sides of the crops and of the maps of the set that a folder holds; None if it holds none."""
    if not (out / DATASET_INDEX).exists():
        return None
    build = DatasetConfig.of_index(read_begun(out), out).build
    return build.size, build.uv_size


def _sizes(
    samples: Sequence[Sample], layout: str, scale: str | float, begun: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Sides of the crops and of the maps that most of the first samples have; those that a set was `begun` with, if one
    has these: others may have been damaged then, or be now. DatasetError if none can be read.
    """
    errors, sizes = list[str](), Counter[tuple[int, int]]()
    for sample in samples[:_N_PROBES]:
        try:
            image = read_image(sample)
            known = Normalization.of_scale(scale, len(image))
            position_map = read_map(sample, layout, known.scale[0], known.offset[0])
        except SampleError as error:
            check_machine(error)
            errors.append(str(error))
            continue
        if image.shape[0] != image.shape[1]:
            errors.append(f"{sample.image}: {image.shape[1]} × {image.shape[0]} px, expected a square crop")
        elif not SMALLEST_SIDE <= len(image) <= LARGEST_SIDE:
            errors.append(f"{sample.image}: {len(image)} px per side, expected {SMALLEST_SIDE} to {LARGEST_SIDE}")
        elif not SMALLEST_SIDE <= len(position_map) <= LARGEST_SIDE:
            texels = f"{len(position_map)} texels per side"
            errors.append(f"{sample.parameters}: {texels}, expected {SMALLEST_SIDE} to {LARGEST_SIDE}")
        else:
            sizes[len(image), len(position_map)] += 1
    if not sizes:
        raise DatasetError(none_can_be("used", len(errors), "crop", errors[0]))
    if begun is not None and begun in sizes:
        return begun
    return sizes.most_common(1)[0][0]


def _about_scale(samples: Sequence[Sample], config: BuildConfig, weights: LandmarkWeights) -> list[str]:
    """A warning if the faces of the first samples lie far from the middle of their crops, all alike."""
    middles = []
    for sample in samples[:_N_LOOKED_AT]:
        try:
            position_map = read_map(sample, config.maps_from or "", config.maps_scale, config.maps_offset)
        except SampleError as error:
            check_machine(error)
            continue
        if len(position_map) == config.uv_size:
            points = read_landmarks(position_map, weights)[:, :2]
            middles.append((points.min(axis=0) + points.max(axis=0)) / 2 / config.size)
    if not middles:
        return []
    x, y = np.median(middles, axis=0)
    if _MIDDLE <= x <= 1 - _MIDDLE and _MIDDLE <= y <= 1 - _MIDDLE:
        return []
    return [
        f"the faces of the first {len(middles)} maps lie at {x:.0%} of the crops' width and {y:.0%} of their height, "
        "expected about the middle; are these maps of crops of another size?"
    ]
