"""`uvgen build`: samples and a model to shards."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from uvgen.cli.build_inputs import (
    check_sources,
    config_of,
    is_quick,
    mesh_samples,
    model_of,
    print_plan,
    samples_of,
)
from uvgen.cli.options import (
    ANY_PATH,
    EXISTING_FILE,
    HOW_IT_RUNS,
    MODEL,
    PATH_OR_URL,
    GroupedCommand,
    Run,
    is_given,
    on_error_option,
    option,
    overwrite_option,
    quiet_option,
    untrusted_option,
    verbose_option,
    workers_option,
)
from uvgen.cli.progress import finish, reported, show_warnings
from uvgen.cli.results import json_option
from uvgen.cli.value_types import SCALE, SCALE_HELP, SEED, FiniteRange, NameList
from uvgen.progress import begin

_INPUT, _OUTPUT, _LABELS = "What goes in", "What comes out", "Crops and labels"


def _extras() -> Iterable[str]:
    from uvgen.samples.read import EXTRAS

    return EXTRAS


def _targets() -> Iterable[str]:
    from uvgen.maps.target_layouts import TARGETS

    return ["posmap", *TARGETS]


@click.command("build", cls=GroupedCommand)
@option("--data", type=PATH_OR_URL, group=_INPUT,
        help="300W-LP folder (AFW, HELEN, IBUG, LFPW in it), a flat folder like AFLW2000-3D, or a CSV or JSON list of "
             "images and parameters. Without --data and --model: the built-in sample set and model.")  # fmt: skip
@option("--maps-from", type=ANY_PATH, metavar="DIR", group=_INPUT,
        help="Folder of crops and .npy position maps that face3d, PRNet_PyTorch or reshow's program wrote; --data then "
             "names the images with .mat that they were made of, to find --maps-scale and --convention.")  # fmt: skip
@option("--maps-layout", type=click.Choice(["face3d", "prnet_pytorch", "uvgen", "reshow"]), group=_INPUT,
        help="Program that wrote those files.  [default: recognized by their names]")  # fmt: skip
@option("--maps-scale", type=SCALE, group=_INPUT,
        help=f"Unit of the values in those maps: px of the crop, {SCALE_HELP}  "
             "[default: px, or as found with --data]")  # fmt: skip
@option("--meshes", type=ANY_PATH, metavar="DIR", group=_INPUT,
        help="Folder of registered meshes (NAME.obj, .ply, .off, .glb, .npy), one for each face in --data's images, in "
             "place of parameters. Without --data, the images are beside them.")  # fmt: skip
@option("--cameras", type=ANY_PATH, metavar="FILE|DIR", group=_INPUT,
        help="Cameras of the meshes: one JSON file for all, a folder of NAME.json, or one of COLMAP's text files.  "
             "[default: NAME.camera.json beside the meshes; without any, vertices are px of the image]")  # fmt: skip
@option("--model", "model_path", type=MODEL, group=_INPUT,
        help="Morphable model: uvgen's .h5 (see `uvgen model convert`), another that docs/models.md lists, or the word "
             "builtin.  [default: the one that `uvgen fit`, `synth` or `register` made the folder with]")  # fmt: skip
@option("--subset", "subsets", multiple=True, metavar="NAME", group=_INPUT,
        help="Subset to take, repeatable; by default all. The built-in samples are IBUG and IBUG_Flip.")  # fmt: skip
@option("--flip/--no-flip", default=True, show_default=True, group=_INPUT, help="Include the mirrored _Flip subsets.")
@option("--list", "list_path", type=EXISTING_FILE, group=_INPUT,
        help="Text file of sample names, one per line; only these are taken.")  # fmt: skip
@option("--exclude", "exclude_path", type=EXISTING_FILE, group=_INPUT,
        help="Text file of sample names, one per line; these are left out, as marked in a report.")  # fmt: skip
@option("--limit", type=click.IntRange(min=1), metavar="N", group=_INPUT, help="Take the first N samples only.")
@option(
    "-o", "--out", type=PATH_OR_URL, required=True, group=_OUTPUT, help="Folder or URL for the shards and dataset.json."
)
@option("--size", type=click.IntRange(16, 4096), default=256, show_default=True, group=_OUTPUT,
        help="Pixels along each side of the crops.")  # fmt: skip
@option("--uv-size", type=click.IntRange(16, 4096), group=_OUTPUT,
        help="Texels along each side of the position maps.  [default: --size]")  # fmt: skip
@option("--posmap-dtype", type=click.Choice(["uint16", "float32"]), default="uint16", show_default=True,
        group=_OUTPUT, help="Fixed point (1/64 px at 256, half the bytes) or exact.")  # fmt: skip
@option("--maps", type=click.Choice(["stored", "none"]), default="stored", show_default=True, group=_OUTPUT,
        help="none: only crops and parameters; readers make the maps (open_shards(path, model=...)).")  # fmt: skip
@option("--targets", type=NameList(suggested=_targets), metavar="LIST", default=("posmap",), group=_OUTPUT,
        help="What to store for networks to learn, separated by commas: posmap, and per-pixel targets: uv, normals, "
             "depth, parts, pncc, visibility. Without posmap, no maps are stored.  [default: posmap]")  # fmt: skip
@option("--image-codec", type=click.Choice(["raw", "jpeg"]), default="raw", show_default=True, group=_OUTPUT,
        help="How crops are stored.")  # fmt: skip
@option("--jpeg-quality", type=click.IntRange(1, 100), default=95, show_default=True, group=_OUTPUT,
        help="Quality of crops stored as JPEG.")  # fmt: skip
@option("--compression", type=click.Choice(["none", "gzip"]), default="none", show_default=True,
        group=_OUTPUT, help="Compression of raw crops and maps; makes reading slower.")  # fmt: skip
@option("--shard-size", type=click.IntRange(1, 1 << 20), default=256, show_default=True, group=_OUTPUT,
        help="Samples per shard (0.6 MB each at 256).")  # fmt: skip
@option("--jitter", type=FiniteRange(0, 1, max_open=True), default=0.1, show_default=True, group=_LABELS,
        help="Random shift and size change of the crop, as shares of the face's extent; 0 is off.")  # fmt: skip
@option(
    "--seed", type=SEED, default=0, show_default=True, group=_LABELS, help="Random seed for crop jitter and --augment."
)
@option("--convention", type=click.Choice(["exact", "face3d"]), default="exact", show_default=True, group=_LABELS,
        help="Pixel convention; face3d: one pixel to the right and one up of the annotated points, as in older "
             "label sets.")  # fmt: skip
@option("--keep", type=NameList(_extras), metavar="LIST", default=(), group=_LABELS,
        help="Fields of each .mat to store too, separated by commas: tex, illum, color.")  # fmt: skip
@option("--max-nme", type=FiniteRange(0, min_open=True), default=None, metavar="PERCENT", group=_LABELS,
        help="Leave out samples whose label is farther from the annotated landmarks (label NME, percent); 10 is "
             "generous.")  # fmt: skip
@option("--implausible", type=click.Choice(["skip", "keep"]), default="skip", show_default=True, group=_LABELS,
        help="What to do with samples whose face is far larger than the image or below 8 px, or whose parameters are "
             "more than 10 standard deviations out.")  # fmt: skip
@option("--exif", type=click.Choice(["ignore", "apply"]), default="ignore", show_default=True, group=_LABELS,
        help="EXIF orientation of images: ignore it, like MATLAB, or turn images upright, like OpenCV.")  # fmt: skip
@option("--filter", type=click.Choice(["area", "bilinear"]), default="area", show_default=True, group=_LABELS,
        help="How images are sampled if crops shrink them by more than 1.5; area avoids aliasing. Up to 1.5, both "
             "give the same bytes.")  # fmt: skip
@option("--decode", type=click.Choice(["reduced", "full"]), default="reduced", show_default=True, group=_LABELS,
        help="How to decode JPEG photographs of a megapixel or more that the crop shrinks by 2 or more: reduced, to a "
             "half, quarter or eighth of the size, which is faster; or full.")  # fmt: skip
@option("--weights", "weights_path", type=EXISTING_FILE, group=_LABELS,
        help="Weight mask of your own: gray PNG, 8-bit value / 16 (255 means 16), or .npy of weights; "
             "--uv-size texels per side.")  # fmt: skip
@option("--augment", "augment", metavar="PRESET|FILE", group=_LABELS,
        help="Augment crops as they are sampled: prnet; 300wlp, which turns faces out of the plane; or a JSON "
             "file of ranges that replace some of prnet's, as for `uvgen augment`.")  # fmt: skip
@option("--copies", type=click.IntRange(1, 10_000), default=1, show_default=True, metavar="K", group=_LABELS,
        help="Augmented samples from each image.")  # fmt: skip
@workers_option
@on_error_option("What to do with an unusable sample")
@overwrite_option()
@untrusted_option
@option("--dry-run", is_flag=True, group=HOW_IT_RUNS, help="Print what would be done, and stop.")
@json_option
@quiet_option
@verbose_option()
def command(
    data: Path | None,
    maps_from: Path | None,
    maps_layout: str | None,
    maps_scale: str | float | None,
    meshes: Path | None,
    cameras: Path | None,
    model_path: Path | str | None,
    subsets: tuple[str, ...],
    flip: bool,
    list_path: Path | None,
    exclude_path: Path | None,
    limit: int | None,
    out: Path,
    weights_path: Path | None,
    augment: str | None,
    run: Run,
    on_error: str,
    overwrite: bool,
    untrusted: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **config_options: Any,
) -> None:
    """Make a data set of face crops, UV position maps and weight masks.

    Running the same command again finishes what is missing; the bytes are the same for any number of workers,
    interrupted or not.

    \b
    Example:
      uvgen build --data 300W_LP/ --model bfm.h5 --subset IBUG --out shards/
      uvgen build --subset IBUG --out shards/        # built-in model and samples
      uvgen build --maps-from posmaps/ --model bfm.h5 --out shards/
      uvgen build --data photos/ --meshes meshes/ --cameras cameras/ --model bfm.h5 --out shards/

    Afterward, it reports how far the labels are from the annotated landmarks in the same files and, if they are far,
    the probable cause.

    \b
    Exit status: 0 all written, 3 some samples skipped, 1 failed or no sample can be used, 2 wrong usage,
    130, 143, 129 interrupted.
    """
    from uvgen import MapOptions, SampleSelection, import_maps, import_meshes, load_model
    from uvgen.datasets.output_folder import check_output

    config = config_of(config_options, augment)
    check_sources(data, maps_from, meshes, model_path)
    select = SampleSelection(flip, list_path, exclude_path or (), limit)
    if maps_from is None and not dry_run:
        check_output(out, overwrite=overwrite)
    if data is maps_from is meshes is None and not quiet:
        click.echo("using uvgen's built-in model and sample set (made on first use): no --data, no --model", err=True)
    if dry_run:
        with reported(quiet=quiet, verbose=verbose):
            _plan(data, meshes, cameras, subsets, select, config, out, overwrite=overwrite, as_json=as_json)
        return
    with reported(quiet=quiet, verbose=verbose) as shown:
        how: dict[str, Any] = {
            "config": config, "weights": weights_path, "run": run(), "on_error": on_error, "overwrite": overwrite,
            "progress": shown.shard_finished,
        }  # fmt: skip
        if maps_from is not None:
            convention = config.convention if is_given("convention") else None
            model = load_model(model_path or "builtin", untrusted=untrusted)
            options = MapOptions(maps_layout, maps_scale, convention, originals=data)
            result = import_maps(maps_from, out, model=model, options=options, limit=limit, **how)
        elif meshes is not None:
            begin("listing meshes")
            model = model_of(model_path, meshes, untrusted=untrusted)
            result = import_meshes(
                data, meshes, out, model=model, cameras=cameras, subsets=subsets, select=select, **how
            )
        else:
            result = _build(data, out, model_path, subsets, select, how, untrusted=untrusted)
    if data is not None and maps_from is meshes is None:
        from uvgen.datasets.build import about_unread

        show_warnings(about_unread(data))
    finish(out, result, quiet=quiet, verbose=verbose, as_json=as_json)


def _plan(
    data: Path | None, meshes: Path | None, cameras: Path | None, subsets: tuple[str, ...], select: Any, config: Any,
    out: Path, *, overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Print what a build of samples or meshes would do."""
    begin("listing samples" if meshes is None else "listing meshes")
    samples = (
        samples_of(data, subsets, select)[0] if meshes is None else mesh_samples(data, meshes, cameras, subsets, select)
    )
    print_plan(samples, replace(config, meshes=meshes is not None), out, overwrite=overwrite, as_json=as_json)


def _build(
    data: Path | None, out: Path, model_path: Path | str | None, subsets: tuple[str, ...], select: Any,
    how: dict[str, Any], *, untrusted: bool,
) -> Any:  # fmt: skip
    """Build samples, and meanwhile compile what that needs, if this machine has not."""
    from uvgen import build_shards
    from uvgen.datasets.compile_ahead import compile_ahead

    compiling = compile_ahead(how["run"].workers, for_samples=data is None)
    if data is None:
        compiling.wait("samples")  # which may have to be made
    begin("listing samples")
    samples, root = samples_of(data, subsets, select)
    begin("reading the model")
    model = model_of(model_path, data, untrusted=untrusted)
    compiling.wait("build")
    if data is None and not (is_given("workers") or is_given("backend")) and is_quick(len(samples), how["config"]):
        how = {**how, "run": replace(how["run"], workers=1)}
    return build_shards(samples, out, model=model, root=root, **how)
