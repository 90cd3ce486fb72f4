"""`uvgen verify`: check a data set."""

import sys
from pathlib import Path
from typing import Any

import click

from uvgen.cli.groups import as_typed
from uvgen.cli.options import (
    ANY_PATH,
    EXISTING_FILE,
    HOW_IT_RUNS,
    MODEL,
    PATH_OR_URL,
    GroupedCommand,
    Run,
    option,
    refuse_given,
    untrusted_option,
    workers_option,
)
from uvgen.cli.progress import reported, show_quality, show_warnings
from uvgen.cli.results import json_option, print_json
from uvgen.wording import are, count

_CHECKS, _REPAIR = "What is checked", "Repairing"


@click.command("verify", cls=GroupedCommand)
@click.argument("shards", type=PATH_OR_URL)
@option("--model", "model_path", type=MODEL, group=_CHECKS, help="Also compare stored maps with stored parameters.")
@untrusted_option
@option("--repair", is_flag=True, group=_REPAIR,
        help="Make damaged and missing files again, byte for byte, from what the data set was made from; needs "
             "--model, unless that is the built-in one.")  # fmt: skip
@option("--data", type=ANY_PATH, group=_REPAIR,
        help="The samples that `uvgen build` took; by default the built-in ones, if the set has that "
             "model.")  # fmt: skip
@option("--source", type=ANY_PATH, group=_REPAIR, help="The data set that `uvgen augment` made copies of.")
@option("--weights", "weights_path", type=EXISTING_FILE, group=_REPAIR,
        help="The weight mask, if `uvgen build` was given one.")  # fmt: skip
@workers_option
@json_option
@option("-q", "--quiet", is_flag=True, group=HOW_IT_RUNS, help="Print problems only.")
def command(
    shards: Path,
    model_path: Path | str | None,
    untrusted: bool,
    repair: bool,
    data: Path | None,
    source: Path | None,
    weights_path: Path | None,
    run: Run,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check a data set: hashes, shapes, ranges, and with --model that each map agrees with its parameters.

    It also reports how far the labels are from the annotated landmarks, if the data set has some: maps can agree with
    their parameters while the parameters do not fit the picture.

    \b
    Example:
      uvgen verify shards/ --model bfm.h5
      uvgen verify shards/ --repair --model bfm.h5 --data 300W_LP/
      uvgen verify augmented/ --repair --model bfm.h5 --source shards/

    With --repair, damaged and missing files are made again first, then all files are checked. Intact files are not
    touched, and a file is put into place only if it has the SHA-256 of the original.

    \b
    Exit status: 0 sound (warnings included; with --repair: sound now), 1 problems were found or are left (each is
    printed), or it cannot be repaired, 2 wrong usage, 130, 143, 129 interrupted.
    """
    from uvgen import verify_shards
    from uvgen.storage.urls import shown_path, url_of

    if not repair:
        refuse_given(["data", "source", "weights_path"], "goes with --repair")
    how: dict[str, Any] = {"run": run(), "untrusted": untrusted}
    if repair:
        _repair(shards, quiet, data=data, source=source, model=model_path, weights=weights_path, **how)
    with reported(quiet=quiet):
        result = verify_shards(shards, model=model_path, **how)
    for problem in result.problems:
        click.echo(as_typed(problem), err=True)
    if as_json:
        print_json(result.to_plain())
    if result.problems:
        helps = not repair and not url_of(shards) and result.damaged
        what_to_do = "--repair makes damaged files again" if helps else "see above"
        click.echo(f"{shown_path(shards)}: {count(len(result.problems), 'problem')}; {what_to_do}", err=True)
        sys.exit(1)
    if result.quality is not None:
        show_warnings(result.quality.warnings)
    if not quiet and not as_json:
        labels = "maps agree with their parameters" if model_path is not None else (
            "maps were not compared with their parameters (--model does)"
        )  # fmt: skip
        skipped = f", {result.skipped} {'was' if result.skipped == 1 else 'were'} skipped" if result.skipped else ""
        held = f"{count(result.samples, 'sample')} in {count(len(result.files), 'shard')}"
        click.echo(f"{shown_path(shards)}: {held} {are(result.samples)} sound{skipped}; {labels}")
        show_quality(result.quality)


def _repair(shards: Path, quiet: bool, **options: Any) -> None:
    """Make damaged files again, and name each."""
    from uvgen import repair_shards

    with reported(quiet=quiet):
        result = repair_shards(shards, **options)
    for problem in result.problems:
        click.echo(as_typed(problem), err=True)
    if not quiet:
        for path in result.repaired:
            click.echo(as_typed(f"{path}: made again, as it was"), err=True)
        if not result.repaired and not result.problems:
            click.echo(f"{shards}: nothing to repair", err=True)
