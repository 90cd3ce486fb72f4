"""`uvgen merge`: several data sets as one, or a part of one as a data set of its own."""

from pathlib import Path

import click

from uvgen.cli.options import (
    EXISTING_FILE,
    PATH_OR_URL,
    GroupedCommand,
    Run,
    option,
    overwrite_option,
    quiet_option,
    untrusted_option,
    verbose_option,
    workers_option,
)
from uvgen.cli.progress import finish, reported
from uvgen.cli.results import json_option

_WHAT = "What is copied"


@click.command("merge", cls=GroupedCommand)
@click.argument("shards", type=PATH_OR_URL, nargs=-1, required=True)
@option("-o", "--out", type=PATH_OR_URL, required=True, group=_WHAT, help="Folder for the new shards and dataset.json.")
@option("--list", "list_path", type=EXISTING_FILE, group=_WHAT, help="Text file of samples to copy, one name per line.")
@option("--split", metavar="NAME", group=_WHAT, help="Copy the samples of this part of each folder's splits.json.")
@option(
    "--shard-size",
    type=click.IntRange(1, 1 << 20),
    metavar="N",
    group=_WHAT,
    help="Samples per new shard; none holds samples of two subsets.  [default: as in the data sets]",
)
@workers_option
@overwrite_option()
@untrusted_option
@json_option
@quiet_option
@verbose_option()
def command(
    shards: tuple[Path, ...],
    out: Path,
    list_path: Path | None,
    split: str | None,
    shard_size: int | None,
    run: Run,
    overwrite: bool,
    untrusted: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Put data sets together that were made with the same settings and model; every field is copied as it is stored.

    \b
    Example:
      uvgen merge afw/ ibug/ --out both/
      uvgen merge shards/ --split train --out train/
      uvgen merge shards/ --shard-size 4096 --out larger/

    \b
    Exit status: 0 all written, 1 failed, 2 wrong usage, 130, 143, 129 interrupted.
    """
    from uvgen import merge_shards
    from uvgen.datasets.output_folder import check_output

    if list_path is not None and split is not None:
        raise click.UsageError("--list and --split exclude each other")
    check_output(out, overwrite=overwrite)
    with reported(quiet=quiet, verbose=verbose) as shown:
        result = merge_shards(
            shards, out, names=list_path, split=split, shard_size=shard_size, run=run(),
            overwrite=overwrite, untrusted=untrusted, progress=shown.shard_finished,
        )  # fmt: skip
    finish(out, result, quiet=quiet, verbose=verbose, as_json=as_json)
