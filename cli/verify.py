"""`uvgen verify`: check a data set."""

import sys
from pathlib import Path

import click

from uvgen.cli.options import ANY_PATH, MODEL


@click.command("verify")
@click.argument("shards", type=ANY_PATH)
@click.option("--model", "model_path", type=MODEL, help="Also compare stored maps with stored parameters.")
@click.option("--quiet", is_flag=True, help="Problems alone.")
def command(shards: Path, model_path: Path | str | None, quiet: bool) -> None:
    """Check a data set: hashes, shapes, ranges, and with --model that each map agrees with its parameters.

    \b
    Example:
      uvgen verify shards/ --model bfm.h5

    \b
    Exit status: 0 sound, 1 problems were found (each is printed), 2 wrong usage.
    """
    from uvgen import load_model
    from uvgen.datasets.verify import verify

    model = None if model_path is None else load_model(model_path)
    report = verify(shards, model)
    for problem in report.problems:
        click.echo(problem, err=True)
    if report.problems:
        click.echo(f"{shards}: {len(report.problems)} problems; delete the shards named and build again", err=True)
        sys.exit(1)
    if not quiet:
        labels = "labels agree with the model" if model is not None else "labels not checked, see --model"
        click.echo(f"{shards}: {report.samples} samples in {report.shards} shards are sound; {labels}")
