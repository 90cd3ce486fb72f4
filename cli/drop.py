"""`uvgen drop`: all samples but those that meet criteria."""

from pathlib import Path
from typing import Any

import click

from uvgen.cli.options import PATH_OR_URL, GroupedCommand
from uvgen.cli.select import choose, criteria


@click.command("drop", cls=GroupedCommand)
@click.argument("shards", type=PATH_OR_URL)
@criteria
def command(shards: Path, **options: Any) -> None:
    """Leave out the samples that meet all criteria given, and keep the others. The data set itself is not changed.

    \b
    Example:
      uvgen drop shards/ --list bad.txt --as clean
      uvgen drop shards/ --min-nme 10 --copy close/

    \b
    Exit status: 0 done, 1 failed or no sample is left, 2 wrong usage.
    """
    choose(shards, options, drop=True)
