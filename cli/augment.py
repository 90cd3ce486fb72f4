"""`uvgen augment`: augmented copies of shards."""

from pathlib import Path

import click

from uvgen.cli.options import (
    EXISTING_FILE,
    MODEL,
    PATH_OR_URL,
    GroupedCommand,
    Run,
    on_error_option,
    option,
    overwrite_option,
    quiet_option,
    untrusted_option,
    verbose_option,
    workers_option,
)
from uvgen.cli.progress import finish, reported
from uvgen.cli.results import json_option
from uvgen.cli.value_types import SEED

_WHAT, _OUTPUT = "What is done", "What comes out"


@click.command("augment", cls=GroupedCommand)
@click.argument("shards", type=PATH_OR_URL)
@option("--preset", type=click.Choice(["none", "prnet"]), default="prnet", show_default=True, group=_WHAT,
        help="Ranges to draw from; prnet: rotation ±45°, shift ±10%, scale 0.9 to 1.2, channels × 0.6 to 1.4, "
             "occlusion of every second sample. 300wlp needs the images: `uvgen build --augment`.")  # fmt: skip
@option("--config", "config_path", type=EXISTING_FILE, group=_WHAT,
        help='JSON file of ranges that replace the preset\'s: {"rotation_deg": [-90, 90], "flip": 0.5}.')  # fmt: skip
@option("--model", "model_path", type=MODEL, group=_WHAT,
        help="The shards' model; needed for flips, which exchange texels, and for shards with --targets beside "
             "posmap.")  # fmt: skip
@option("--seed", type=SEED, default=0, show_default=True, group=_WHAT, help="Random seed of the augmentation.")
@option(
    "-o", "--out", type=PATH_OR_URL, required=True, group=_OUTPUT, help="Folder or URL for the shards and dataset.json."
)
@option("--copies", type=click.IntRange(1, 10_000), default=1, show_default=True, metavar="K", group=_OUTPUT,
        help="Augmented samples from each sample.")  # fmt: skip
@workers_option
@on_error_option("What to do with a copy whose map leaves the range of uint16")
@overwrite_option()
@untrusted_option
@json_option
@quiet_option
@verbose_option()
def command(
    shards: Path,
    preset: str,
    config_path: Path | None,
    model_path: Path | str | None,
    seed: int,
    out: Path,
    copies: int,
    run: Run,
    on_error: str,
    overwrite: bool,
    untrusted: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Make augmented copies of a data set; labels move with their images, exactly.

    Running the same command again finishes what is missing; the bytes are the same for any number of workers,
    interrupted or not. Each sample stores what was done to it, as JSON, in the field `augmentation`.

    \b
    Example:
      uvgen augment shards/ --out augmented/ --copies 4 --preset prnet

    \b
    Exit status: 0 all written, 3 some copies skipped, 1 failed, 2 wrong usage, 130, 143, 129 interrupted.
    """
    from uvgen import augment_shards, read_augmentation
    from uvgen.datasets.open import builtin_of_set
    from uvgen.datasets.output_folder import check_output

    check_output(out, overwrite=overwrite)
    augmentation = read_augmentation(config_path or preset, preset)
    model = builtin_of_set(shards) if augmentation.flip and model_path is None else model_path
    if augmentation.flip and model is None:
        raise click.UsageError("missing --model: flips exchange texels, and the shards' model says which")
    with reported(quiet=quiet, verbose=verbose) as shown:
        result = augment_shards(
            shards,
            out,
            augmentation,
            copies=copies,
            seed=seed,
            model=model,
            run=run(),
            on_error=on_error,
            overwrite=overwrite,
            untrusted=untrusted,
            progress=shown.shard_finished,
        )
    finish(out, result, quiet=quiet, verbose=verbose, as_json=as_json)
