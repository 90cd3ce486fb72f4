"""`uvgen verify`: check a data set."""

import sys
from pathlib import Path

import click

from uvgen.cli.options import ANY_PATH, MODEL, untrusted_option
from uvgen.cli.progress import reported, show_quality, show_warnings


@click.command("verify")
@click.argument("shards", type=ANY_PATH)
@click.option("--model", "model_path", type=MODEL, help="Also compare stored maps with stored parameters.")
@untrusted_option
@click.option("--quiet", is_flag=True, help="Print problems only.")
def command(shards: Path, model_path: Path | str | None, untrusted: bool, quiet: bool) -> None:
    """Check a data set: hashes, shapes, ranges, and with --model that each map agrees with its parameters.

    Says also how far the labels are from the annotated landmarks, where the data set has some: maps may agree with
    their parameters, and the parameters not with the picture.

    \b
    Example:
      uvgen verify shards/ --model bfm.h5

    \b
    Exit status: 0 sound (warnings included), 1 problems were found (each is printed), 2 wrong usage.
    """
    from uvgen import open_shards, verify_shards

    with reported(len(open_shards(shards)), quiet=quiet) as shown:
        result = verify_shards(shards, model=model_path, untrusted=untrusted, progress=shown.add)
    for problem in result.problems:
        click.echo(problem, err=True)
    if result.problems:
        count = "1 problem" if len(result.problems) == 1 else f"{len(result.problems)} problems"
        click.echo(f"{shards}: {count}; delete the shards named and build again", err=True)
        sys.exit(1)
    if result.quality is not None:
        show_warnings(result.quality.warnings)
    if not quiet:
        labels = "labels are those of their parameters" if model_path is not None else "labels not checked, see --model"
        skipped = f", {result.skipped} {'was' if result.skipped == 1 else 'were'} skipped" if result.skipped else ""
        click.echo(f"{shards}: {result.samples} samples in {len(result.files)} shards are sound{skipped}; {labels}")
        show_quality(result.quality)
