"""`uvgen export`: a data set in another format."""

import sys
from pathlib import Path

import click

from uvgen.cli.options import (
    ANY_PATH,
    EXISTING_FILE,
    MODEL,
    PATH_OR_URL,
    Run,
    check_maps,
    overwrite_option,
    refuse_given,
    untrusted_option,
    workers_option,
)
from uvgen.cli.progress import reported
from uvgen.cli.results import json_option, name_other_drafts, name_skipped, print_json
from uvgen.wording import count


@click.command("export")
@click.argument("shards", type=PATH_OR_URL)
@click.option("--to", type=click.Choice([
                  "webdataset", "npy", "prnet", "reshow", "deep3d", "stn",
                  "huggingface", "tfrecord", "mds", "obj", "ply", "glb", "croissant",
              ]), required=True,
              help="webdataset: tar shards. npy: a .npy and a .jpg per sample. prnet: PRNet_PyTorch's folders, and the "
                   "files of the UV map that it reads. reshow: reshow's folders. deep3d: "
                   "Deep3DFaceRecon's. stn: 3DMMasSTN's. "
                   "huggingface: Parquet files and a card; tfrecord: of TensorFlow; mds: of MosaicML's streaming. "
                   "obj, ply, glb: faces as textured meshes. croissant: a description of the shards and a data card.",
              )  # fmt: skip
@click.option("-o", "--out", type=ANY_PATH, required=True, help="Folder to make.")
@click.option("--model", "model_path", type=MODEL,
              help="The shards' model; makes maps that are not stored. prnet and stn need it, except for sets of "
                   "the built-in model.")  # fmt: skip
@click.option("--data", type=ANY_PATH, help="The images that the set was built from, as for build; deep3d needs them.")
@click.option("--convention", type=click.Choice(["reshow", "exact", "face3d"]),
              help="Pixel convention of reshow's labels; reshow: 1 px to the right, as its program writes them.  "
                   "[default: reshow]")  # fmt: skip
@click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Quality of JPEG crops.")
@workers_option
@click.option("--list", "list_path", type=EXISTING_FILE, help="Text file of the samples to write, one name per line.")
@click.option("--split", metavar="NAME", help="Write the samples of this part of splits.json.")
@overwrite_option("an export")
@untrusted_option
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only, and how many samples were skipped.")
def command(
    shards: Path,
    to: str,
    out: Path,
    model_path: Path | str | None,
    data: Path | None,
    convention: str | None,
    quality: int,
    list_path: Path | None,
    split: str | None,
    run: Run,
    overwrite: bool,
    untrusted: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write a data set in another format; --out appears once it is complete.

    Running the same command again continues an interrupted run.

    \b
    Example:
      uvgen export shards/ --to webdataset --out tars/
      uvgen export shards/ --to prnet --model bfm.h5 --out prnet/
      uvgen export shards/ --to deep3d --data 300W_LP/ --out deep3d/
      uvgen export shards/ --to glb --list names.txt --out meshes/

    \b
    Exit status: 0 done, 3 done but some samples were skipped, 1 failed, 2 wrong usage, 130, 143, 129 interrupted.
    """
    from uvgen import export_shards, open_shards
    from uvgen.datasets.export.folder import check_export_folder
    from uvgen.datasets.export.targets import EXPORT_TARGETS, check_target
    from uvgen.datasets.open import builtin_of_set
    from uvgen.errors import InputError

    target = EXPORT_TARGETS[to]
    if list_path is not None and split is not None:
        raise click.UsageError("--list and --split exclude each other")
    if target.is_whole and (list_path is not None or split is not None):
        raise click.UsageError(f"--to {to} describes whole shards, expected neither --list nor --split")
    if not target.has_jpeg:
        refuse_given(["quality"], f"does not go with --to {to}, which writes no JPEG files")
    model = builtin_of_set(shards) if model_path is None and target.needs_model else model_path
    try:
        check_target(to, {"model": model, "data": data, "convention": convention})
    except InputError as error:
        raise click.UsageError(f"--{error}") from error
    check_export_folder(out, overwrite=overwrite)
    if target.has_maps:
        check_maps(open_shards(shards, untrusted=untrusted).config, model, shards)
    name_other_drafts(out)
    with reported(quiet=quiet):
        result = export_shards(
            shards, out, to, model=model, data=data, convention=convention, quality=quality, names=list_path,
            split=split,
            run=run(), overwrite=overwrite, untrusted=untrusted,
        )  # fmt: skip
    if result.unwritten and not quiet:
        click.echo(f"note: {to} has no place for {', '.join(result.unwritten)}: left out", err=True)
    name_skipped(result.skipped, "skipped.txt", quiet=quiet)
    if as_json:
        print_json({"out": str(out), "to": to, **result.to_plain()})
    elif not quiet:
        skipped = f", {len(result.skipped)} skipped" if result.skipped else ""
        click.echo(f"{out}: {count(result.samples, 'sample')} as {to}{skipped}")
    if result.skipped:
        sys.exit(3)
