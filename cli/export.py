"""`uvgen export`: a data set in the layout of another trainer."""

from pathlib import Path

import click

from uvgen.cli.options import (
    ANY_PATH,
    EXISTING_FILE,
    MODEL,
    check_maps,
    overwrite_option,
    untrusted_option,
    workers_option,
)
from uvgen.cli.progress import cores, count, reported


@click.command("export")
@click.argument("shards", type=ANY_PATH)
@click.option("--to", type=click.Choice([
                  "webdataset", "npy", "prnet",
                  "huggingface", "tfrecord", "mds", "obj", "ply", "glb", "croissant",
              ]), required=True,
              help="webdataset: tar shards. npy: a .npy and a .jpg a sample. prnet: PRNet_PyTorch's folders. "
                   "huggingface: Parquet files and a card; tfrecord: of TensorFlow; mds: of MosaicML's streaming. "
                   "obj, ply, glb: faces as textured meshes. croissant: a description of the shards and a data card.",
              )  # fmt: skip
@click.option("-o", "--out", type=ANY_PATH, required=True, help="Folder to make.")
@click.option("--model", "model_path", type=MODEL, help="The shards' model, to make maps that are not stored.")
@click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of the JPEG crops.")
@workers_option
@click.option("--list", "list_path", type=EXISTING_FILE, help="Samples to write, a name a line; others are not.")
@click.option("--split", metavar="NAME", help="Write the samples of this part of splits.json.")
@overwrite_option("an export")
@untrusted_option
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(
    shards: Path,
    to: str,
    out: Path,
    model_path: Path | str | None,
    quality: int,
    list_path: Path | None,
    split: str | None,
    workers: int | None,
    retries: int,
    timeout: float | None,
    overwrite: bool,
    untrusted: bool,
    quiet: bool,
) -> None:
    """Write a data set in the layout of another trainer; --out appears once it is complete.

    Running the same command again goes on where an interrupted run stopped.

    \b
    Example:
      uvgen export shards/ --to webdataset --out tars/
      uvgen export shards/ --to glb --list names.txt --out meshes/

    \b
    Exit status: 0 done, 1 failed, 2 wrong usage, 130, 143, 129 interrupted.
    """
    from uvgen import export_shards, open_shards
    from uvgen.datasets.export.run import check_export_folder, has_maps, is_whole

    if list_path is not None and split is not None:
        raise click.UsageError("--list and --split exclude each other")
    if is_whole(to) and (list_path is not None or split is not None):
        raise click.UsageError(f"--to {to} describes whole shards, expected neither --list nor --split")
    check_export_folder(out, overwrite=overwrite)
    if has_maps(to):
        check_maps(open_shards(shards, untrusted=untrusted).config, model_path, shards)
    with reported(quiet=quiet):
        result = export_shards(
            shards, out, to, model=model_path, quality=quality, names=list_path, split=split,
            workers=workers or cores(), retries=retries, timeout=timeout, overwrite=overwrite, untrusted=untrusted,
        )  # fmt: skip
    if not quiet:
        click.echo(f"{out}: {count(result.samples, 'sample')} as {to}")
