"""`uvgen prepare`: photographs in the layout of other trainers, without making a data set first."""

import sys
from pathlib import Path

import click

from uvgen.cli.groups import SpokenGroup
from uvgen.cli.options import (
    ANY_PATH,
    GroupedCommand,
    Run,
    detector_of,
    detector_options,
    exif_option,
    option,
    overwrite_option,
    quiet_option,
    workers_option,
)
from uvgen.cli.progress import reported, show_warnings
from uvgen.cli.results import json_option, name_other_drafts, name_skipped, print_json
from uvgen.wording import count

_WHAT, _OUTPUT = "What goes in", "What comes out"


@click.group("prepare", cls=SpokenGroup)
def command() -> None:
    """Bring photographs into the layout of other trainers.

    \b
    Exit status: 0 done, 3 some photographs left out, 1 failed, 2 wrong usage, 130, 143, 129 interrupted.
    """


@command.command("deep3d", cls=GroupedCommand)
@option("--images", type=ANY_PATH, required=True, metavar="DIR", group=_WHAT, help="Folder of photographs.")
@option("--detections", type=ANY_PATH, metavar="DIR|FILE", group=_WHAT,
        help="Landmark files named as the images, or a table for all. For files with five points, the detector finds "
             "the 68.")  # fmt: skip
@detector_options(_WHAT, "none", "landmarks of images that no file has landmarks for")
@exif_option(_WHAT)
@option("-o", "--out", type=ANY_PATH, required=True, group=_OUTPUT, help="Folder to make.")
@option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, group=_OUTPUT,
        help="JPEG quality of the skin masks.")  # fmt: skip
@workers_option
@overwrite_option("an export")
@json_option
@quiet_option
def deep3d(
    images: Path,
    detections: Path | None,
    detector: str,
    detector_model: Path | None,
    exif: str,
    out: Path,
    quality: int,
    run: Run,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make Deep3DFaceRecon's training data: images, detections, landmarks, skin masks and lists.

    Of each photograph the largest face is taken. Running the same command again continues an interrupted
    run.

    \b
    Example:
      uvgen prepare deep3d --images photos/ --detector mediapipe --out deep3d/

    \b
    Exit status: 0 done, 3 some photographs left out, 1 failed, 2 wrong usage, 130, 143, 129 interrupted.
    """
    from uvgen import prepare_deep3d
    from uvgen.fitting.photographs import about_other_pictures

    if detections is None and detector == "none":
        raise click.UsageError("--detections: none, and no --detector, expected one of them")
    found_by = detector_of(detector, detector_model)
    name_other_drafts(out)
    with reported(quiet=quiet):
        result = prepare_deep3d(
            images, out, detections=detections, detector=found_by, exif=exif,
            quality=quality, run=run(), overwrite=overwrite,
        )  # fmt: skip
    if result.notice:
        click.echo(f"note: {result.notice}", err=True)
    show_warnings(about_other_pictures(images, out))
    name_skipped(result.skipped, "skipped.txt", quiet=quiet)
    if as_json:
        print_json({"out": str(out), **result.to_plain()})
    elif not quiet:
        left = f", {len(result.skipped)} skipped" if result.skipped else ""
        click.echo(f"{out}: {count(result.faces, 'face')} for Deep3DFaceRecon{left}")
    if result.skipped:
        sys.exit(3)
