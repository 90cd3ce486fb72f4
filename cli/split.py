"""`uvgen split`: parts such as train and val, by photographs."""

import math
from pathlib import Path
from typing import Any

import click

from uvgen.cli.options import ANY_PATH, PATH_OR_URL, untrusted_option
from uvgen.cli.results import json_option, note_unfinished, print_json
from uvgen.cli.value_types import SEED, SPLIT_NAME, AnyType, CheckedText
from uvgen.wording import count


class Fractions(AnyType):
    """``train=0.9,val=0.1`` as a dict."""

    name = "fractions"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, float]:
        if isinstance(value, dict):
            return value
        found: dict[str, float] = {}
        for part in value.split(","):
            name, _, number = part.partition("=")
            try:
                fraction = float(number)
            except ValueError:
                self.fail(f"{part}, expected NAME=FRACTION, such as train=0.9,val=0.1", param, ctx)
            SPLIT_NAME.convert(name.strip(), param, ctx)
            if name.strip() in found:
                self.fail(f"{name.strip()} is given twice", param, ctx)
            if not 0 < fraction <= 1:
                self.fail(f"{part}, expected a share above 0, up to 1", param, ctx)
            found[name.strip()] = fraction
        if (total := math.fsum(found.values())) > 1 + 1e-9:
            self.fail(f"{value}, which sum to {total:g}, expected 1, or less to leave samples out", param, ctx)
        return found


def _check_groups(by: str) -> None:
    from uvgen.datasets.splits import group_samples

    group_samples([], by)


@click.command("split")
@click.argument("shards", type=PATH_OR_URL)
@click.option("--fractions", type=Fractions(), required=True, metavar="NAME=SHARE,…",
              help="Parts and their shares of the photographs: train=0.9,val=0.1.")  # fmt: skip
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="Random seed: another seed gives another division."
)
@click.option("--by", type=CheckedText(_check_groups), default="photograph", show_default=True,
              metavar="photograph|sample|REGEX",
              help="What stays in one part; REGEX: all samples in whose names it matches the same text.")  # fmt: skip
@click.option("-o", "--out", type=ANY_PATH, help="File to write.  [default: splits.json in the folder]")
@click.option("--overwrite", is_flag=True, help="Replace parts of the same names that were divided otherwise.")
@untrusted_option
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(
    shards: Path, fractions: dict[str, float], seed: int, by: str, out: Path | None, overwrite: bool,
    untrusted: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Divide a data set into parts, and list their samples in splits.json; no shard is copied.

    Versions of one photograph (turned, mirrored, augmented) never end up in two parts. The same seed divides other data
    sets of the same photographs in the same way. Training code reads a part with open_shards(path, split="train") or
    ShardDataset(path, split="train"); `uvgen merge --split` copies it.

    \b
    Example:
      uvgen split shards/ --fractions train=0.9,val=0.1

    \b
    Exit status: 0 written, 1 failed, 2 wrong usage.
    """
    from uvgen import split_shards

    note_unfinished(shards)
    result = split_shards(shards, fractions, seed=seed, by=by, out=out, overwrite=overwrite, untrusted=untrusted)
    if as_json:
        print_json(result.to_plain())
    elif not quiet:
        what = "photograph" if by == "photograph" else "group"
        for split in result.splits:
            click.echo(
                f"{split.name}: {count(len(split.samples), 'sample')} of {count(result.photographs[split.name], what)}"
            )
        if result.left_out:
            click.echo(f"in no part: {count(result.left_out, 'sample')}")
        click.echo(f"{result.path}: written")
