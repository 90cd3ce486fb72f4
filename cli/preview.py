"""`uvgen preview`: a contact sheet of a data set."""

from pathlib import Path

import click

from uvgen.cli.options import (
    ANY_PATH,
    EXISTING_FOLDER,
    MODEL,
    PATH_OR_URL,
    check_maps,
    refuse_given,
    untrusted_option,
)
from uvgen.cli.progress import reported, show_quality, show_warnings
from uvgen.cli.results import json_option, note_unfinished, print_json
from uvgen.cli.value_types import SCALE, SCALE_HELP, SEED
from uvgen.wording import count


@click.command("preview")
@click.argument("shards", type=PATH_OR_URL)
@click.option(
    "-o", "--out", type=ANY_PATH, required=True, help="Picture to write, .png or .jpg; replaced if it exists."
)
@click.option("--samples", "n_samples", type=click.IntRange(1, 24), default=8, show_default=True,
              help="Number of rows, spread evenly over the set's yaw.")  # fmt: skip
@click.option("--name", "names", multiple=True, help="Show this sample (repeatable), instead of a selection.")
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Random seed: which of the samples with similar yaw are shown.",
)
@click.option("--every", type=click.IntRange(min=1), metavar="K",
              help="Every K-th texel is a dot of the dense alignment.  [default: about 42 per side]")  # fmt: skip
@click.option("--model", "model_path", type=MODEL,
              help="Take landmarks' places in maps from this model, and maps if the set stores none.")  # fmt: skip
@click.option("--targets", is_flag=True,
              help="Show per-pixel targets in a second line, for shards built with --targets.")  # fmt: skip
@click.option("--pred", "predictions", type=EXISTING_FOLDER, metavar="FOLDER",
              help="Show predicted maps beside the true ones: files NAME.npy, by the samples' names.")  # fmt: skip
@click.option("--scale", type=SCALE, default="px", show_default=True,
              help=f"Unit of --pred's maps: px of the crop, {SCALE_HELP}")  # fmt: skip
@untrusted_option
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Print problems only.")
def command(
    shards: Path,
    out: Path,
    n_samples: int,
    names: tuple[str, ...],
    seed: int,
    every: int | None,
    model_path: Path | str | None,
    targets: bool,
    predictions: Path | None,
    scale: str | float,
    untrusted: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw a contact sheet: crops and what their position maps say, one row per sample.

    Points beside their features, a shifted or mirrored map, or a set made with the wrong model show at a glance.

    \b
    Example:
      uvgen preview shards/ --out preview.png
      uvgen preview shards/ --pred predicted/ --out predictions.png

    \b
    Exit status: 0 drawn (what is certainly wrong is also printed), 1 failed, 2 wrong usage.
    """
    from uvgen import open_shards, render_predictions, render_preview
    from uvgen.images.codecs import SUFFIXES
    from uvgen.storage.files import check_file

    if out.suffix.lower() not in SUFFIXES:
        raise click.BadParameter(f"{out}: expected a name that ends in {' or '.join(SUFFIXES)}", param_hint="--out")
    if predictions is None:
        refuse_given(["scale"], "goes with --pred")
    else:
        refuse_given(["every", "targets"], "does not go with --pred, whose sheet has no place for it")
    check_file(out)
    check_maps(open_shards(shards, untrusted=untrusted).config, model_path, shards)
    note_unfinished(shards)
    with reported(quiet=quiet):
        if predictions is not None:
            result = render_predictions(
                shards, predictions, out, n_samples, names=names, scale=scale, model=model_path, seed=seed,
                untrusted=untrusted,
            )  # fmt: skip
        else:
            result = render_preview(
                shards, out, n_samples, names=names, every=every, model=model_path, seed=seed, targets=targets,
                untrusted=untrusted,
            )  # fmt: skip
    for problem in result.problems:
        click.echo(problem, err=True)
    if result.quality is not None:
        show_warnings(result.quality.warnings)
    if as_json:
        print_json({"out": str(out), **result.to_plain()})
    elif not quiet:
        height, width = result.size
        click.echo(f"{out}: {len(result.names)} of {count(result.samples, 'sample')}, {width} x {height} px")
        show_quality(result.quality)
