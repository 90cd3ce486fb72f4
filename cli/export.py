"""`uvgen export`: a data set in the layout of another trainer."""

import sys
from pathlib import Path

import click

from uvgen.cli.options import ANY_PATH, MODEL


@click.command("export")
@click.argument("shards", type=ANY_PATH)
@click.option("--to", type=click.Choice(["webdataset", "npy", "prnet"]), required=True,
              help="Tar shards of WebDataset; a .npy and a .jpg a sample; PRNet_PyTorch's folders.")  # fmt: skip
@click.option("--out", type=ANY_PATH, required=True, help="Folder to make.")
@click.option("--model", "model_path", type=MODEL, help="The shards' model, to make maps that are not stored.")
@click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of the JPEG crops.")
@click.option("--quiet", is_flag=True, help="Errors alone.")
def command(shards: Path, to: str, out: Path, model_path: Path | str | None, quality: int, quiet: bool) -> None:
    """Write a data set in the layout of another trainer; --out appears once it is complete.

    \b
    Example:
      uvgen export shards/ --to webdataset --out tars/

    \b
    Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    from uvgen.datasets.export import export

    if quiet:
        export(shards, out, to, model=model_path, quality=quality)
        return
    from tqdm import tqdm

    with tqdm(unit=" samples", dynamic_ncols=True, disable=not sys.stderr.isatty()) as bar:
        n = export(shards, out, to, model=model_path, quality=quality, progress=bar.update)
    click.echo(f"{out}: {n} samples as {to}")
