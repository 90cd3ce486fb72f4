"""What `uvgen build`'s options choose: which go together, the samples and the model."""

import os
from pathlib import Path
from typing import Any

import click

from uvgen.cli.options import is_given, refuse_given
from uvgen.cli.results import print_json
from uvgen.wording import count, shown_size, typed

_QUICK_SAMPLES, _QUICK_SIDE = 256, 256
_NOT_OF_MAPS = (
    "subsets", "flip", "list_path", "exclude_path", "size", "uv_size", "maps", "targets", "jitter", "seed", "keep",
    "max_nme", "implausible", "exif", "filter", "decode", "augment", "copies", "dry_run",
)  # fmt: skip
_NOT_OF_MESHES = {
    "maps": "parameters to make maps from: they are always stored",
    "keep": "annotations to keep",
    "max_nme": "annotations to compare with",
}
"""Options that ask for what samples of meshes do not have."""


def config_of(options: dict[str, Any], augment: str | None) -> Any:
    """The `BuildConfig` of the options that have its fields' names, and of --augment."""
    from uvgen import BuildConfig

    _check_effects(augment, options)
    augmentation = None if augment is None else augmentation_of(augment)
    given = {
        **options,
        **_targets_of(options["targets"], options["maps"]),
        "max_nme": None if options["max_nme"] is None else options["max_nme"] / 100,
        "uv_size": options["uv_size"] or options["size"],
        "compression": None if options["compression"] == "none" else options["compression"],
    }
    return BuildConfig(**given, augmentation=augmentation)


def _targets_of(names: tuple[str, ...], maps: str) -> dict[str, Any]:
    """Which targets are stored beside the map, and whether that is, as the configuration has them."""
    from uvgen.errors import InputError
    from uvgen.maps.target_layouts import check_targets

    beside = tuple(name for name in names if name != "posmap")
    try:
        targets = check_targets(beside)
    except InputError as error:
        message = str(error).removeprefix("targets: ").replace("expected 'uv'", "expected 'posmap', 'uv'")
        raise click.BadParameter(message, param_hint="--targets") from error
    if "posmap" in names:
        return {"targets": targets}
    if is_given("maps") and maps == "stored":
        raise click.UsageError("--targets without posmap does not go with --maps stored")
    return {"targets": targets, "maps": "none"}


def _check_effects(augment: str | None, options: dict[str, Any]) -> None:
    """Raise UsageError for options that change nothing without another one."""
    if augment is None:
        refuse_given(["copies"], "goes with --augment")
    if options["image_codec"] != "jpeg":
        refuse_given(["jpeg_quality"], "goes with --image-codec jpeg")
    if options["maps"] != "stored":
        refuse_given(["posmap_dtype"], "goes with --maps stored")


def is_quick(n_samples: int, config: Any) -> bool:
    """Whether samples are built sooner than worker processes start: 256 of the usual size in a second.

    For the built-in samples only, since a file of the user's might crash the command itself.
    """
    texels = max(config.size, config.uv_size) ** 2
    return bool(n_samples * config.copies * texels <= _QUICK_SAMPLES * _QUICK_SIDE**2)


def check_sources(data: Path | None, maps: Path | None, meshes: Path | None, model: Path | str | None) -> None:
    """Raise an error unless what goes in is complete and goes together: samples, meshes, or finished maps."""
    if maps is not None:
        refuse_given(["meshes", "cameras"], "does not go with --maps-from")
        _check_maps_options(maps, model)
        return
    refuse_given(["maps_layout", "maps_scale"], "goes with --maps-from")
    if meshes is not None:
        _check_mesh_options(meshes, model)
        return
    refuse_given(["cameras"], "goes with --meshes")
    _check_inputs(data, model)


def _check_maps_options(maps: Path, model: Path | str | None) -> None:
    """Raise UsageError for options that ask for what finished crops and maps do not have."""
    from uvgen.errors import DatasetError

    if model is None and not os.path.lexists(maps):
        raise DatasetError(f"{maps}: no such folder, expected a folder of crops and maps")
    if model is None:
        raise click.UsageError("missing --model: the one with the UV of the maps in --maps-from")
    refuse_given(_NOT_OF_MAPS, "does not go with --maps-from, whose crops and maps are finished")


def _check_mesh_options(meshes: Path, model: Path | str | None) -> None:
    """Raise UsageError for options that ask for what meshes do not have."""
    from uvgen.datasets.made_with import says_its_model

    if model is None and not says_its_model(meshes):
        raise click.UsageError(
            "missing --model: the one whose topology the meshes in --meshes have (bfm.h5, or builtin)"
        )
    for name, lacking in _NOT_OF_MESHES.items():
        refuse_given([name], f"does not go with --meshes, whose samples have no {lacking}; leave it out")
    if is_given("targets") and click.get_current_context().params["targets"].count("posmap") == 0:
        raise click.UsageError("--targets without posmap does not go with --meshes, of whose maps nothing else is left")


def mesh_samples(data: Path | None, meshes: Path, cameras: Path | None, subsets: tuple[str, ...], select: Any) -> Any:
    """The images with meshes that the options choose."""
    from uvgen.samples.mesh_files import find_meshes

    samples = find_meshes(data or meshes, meshes, cameras, subsets, flip=select.flip)
    return select.of(samples, all_subsets=not subsets)


def model_of(path: Path | str | None, data: Path | None, *, untrusted: bool) -> Any:
    """The model that is named, or that a folder says it was made with, or the built-in one of no folder."""
    from uvgen import load_model
    from uvgen.datasets.made_with import model_of_samples

    if path is None and data is not None:
        model = model_of_samples(data, untrusted=untrusted)
        if model is not None:
            return model
    return load_model(path or "builtin", untrusted=untrusted)


def _check_inputs(data: Path | None, model: Path | str | None) -> None:
    """Raise an error unless samples and model go together; both are the built-in ones if neither is named."""
    from uvgen.datasets.made_with import says_its_model
    from uvgen.errors import DatasetError
    from uvgen.storage.urls import url_of

    if data is None:
        if model not in (None, "builtin"):
            raise click.UsageError("missing --data: the built-in samples belong only to the built-in model")
        return
    if model is not None:
        return
    is_local = url_of(data) is None
    if is_local and not os.path.lexists(data):
        raise DatasetError(f"{data}: no such folder, expected a folder like 300W-LP")
    if says_its_model(data):
        return
    if is_local and data.is_dir():
        from uvgen.samples.find import find_samples

        if all(sample.parameters is None for sample in find_samples(data)):
            raise DatasetError(
                f"{data}: images without parameters, expected a .mat of the same name beside each; fit a face "
                f"model to them first, `uvgen fit {typed(data)} --out fitted/`, and build of fitted/"
            )
    raise click.UsageError("missing --model: the parameters in --data belong to a model (bfm.h5, or builtin)")


def samples_of(data: Path | None, subsets: tuple[str, ...], select: Any) -> tuple[Any, Path]:
    """The samples that the options choose, counted before the work begins, and their folder."""
    from uvgen import find_samples
    from uvgen.errors import DatasetError
    from uvgen.samples.find import folder_of
    from uvgen.synth import builtin_samples

    root = builtin_samples() if data is None else data
    try:
        samples = find_samples(root, subsets, flip=select.flip)
    except DatasetError as error:
        if data is not None:
            raise
        raise DatasetError(str(error).replace(str(root), "the built-in sample set")) from error
    return select.of(samples, all_subsets=not subsets), folder_of(root)


def print_plan(samples: Any, config: Any, out: Path, *, overwrite: bool = False, as_json: bool = False) -> None:
    """What a build would do; one that would be refused, because of what `out` holds, is refused here too."""
    from uvgen.datasets.begun import check_begun
    from uvgen.datasets.build import describe_plan
    from uvgen.datasets.config import sample_bytes
    from uvgen.datasets.output_folder import check_output
    from uvgen.datasets.plan import plan_shards
    from uvgen.storage.objects import listed
    from uvgen.storage.urls import shown_path, url_of

    check_output(out, overwrite=overwrite)
    if not overwrite:
        check_begun(out, config, None, describe_plan(samples, config.copies))
    tasks = plan_shards(samples, config.shard_size, config.copies)
    there = None if url_of(out) is None else listed(out)
    finished = (
        0 if overwrite else sum((out / task.file).exists() if there is None else task.file in there for task in tasks)
    )
    n_samples = len(samples) * config.copies
    size_bytes = sample_bytes(config) * n_samples
    if as_json:
        print_json(
            {"out": shown_path(out), "samples": n_samples, "shards": len(tasks), "finished": finished,
             "size_bytes": size_bytes}
        )  # fmt: skip
        return
    size = shown_size(size_bytes, digits=0)
    click.echo(
        f"{shown_path(out)}: {count(n_samples, 'sample')} in {count(len(tasks), 'shard')}, about {size} uncompressed"
    )
    click.echo(f"{finished} of the shards are there already" if finished else "none of the shards is there yet")


def augmentation_of(what: str) -> Any:
    """The augmentation of --augment: a preset's, or a file's."""
    import uvgen
    from uvgen.augment.values import PRESETS

    if what not in PRESETS and not Path(what).is_file():
        presets = ", ".join(sorted(PRESETS))
        raise click.BadParameter(
            f"{what or 'an empty path'}: neither a preset ({presets}) nor a file", param_hint="--augment"
        )
    return uvgen.read_augmentation(what)
