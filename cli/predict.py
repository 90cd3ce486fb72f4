"""`uvgen predict`: a trained network on photographs."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from uvgen.cli.options import (
    ANY_PATH,
    EXISTING_FILE,
    MODEL,
    GroupedCommand,
    Run,
    detector_of,
    detector_options,
    exif_option,
    landmarks_option,
    option,
    overwrite_option,
    quiet_option,
    refuse_given,
    untrusted_option,
    verbose_option,
    workers_option,
)
from uvgen.cli.progress import reported, show_warnings
from uvgen.cli.results import json_option, name_skipped, print_json
from uvgen.cli.value_types import SCALE, SCALE_HELP, NameList
from uvgen.wording import count

_NETWORK, _FACES, _OUTPUT = "The network", "How faces are found", "What comes out"


def _written() -> Iterable[str]:
    from uvgen.evaluation.predict_options import WRITTEN

    return WRITTEN


@click.command("predict", cls=GroupedCommand)
@click.argument("network", type=EXISTING_FILE)
@click.argument("images", type=ANY_PATH)
@option("-o", "--out", type=ANY_PATH, required=True, group=_OUTPUT, help="Folder to make, with files for each face.")
@option("--scale", type=SCALE, default="px", show_default=True, group=_NETWORK,
        help=f"Unit of its maps: px of the crop, {SCALE_HELP}")  # fmt: skip
@option("--convention", type=click.Choice(["exact", "face3d", "reshow"]), default="exact", show_default=True,
        group=_NETWORK,
        help="Pixel convention of the labels that it was trained with; face3d for PRNet and sets made with face3d, "
             "whose labels lie 1 px right and up; reshow for reshow's PRNet-PyTorch, 1 px right.")  # fmt: skip
@option("--pixels", type=click.Choice(["unit", "bytes", "imagenet", "standardize"]), default="unit", show_default=True,
        group=_NETWORK,
        help="Values of its images: unit (0 to 1), bytes (0 to 255), imagenet (normalized as for ImageNet), or "
             "standardize (each by its own mean and deviation).")  # fmt: skip
@option("--channels", type=click.Choice(["rgb", "bgr"]), default="rgb", show_default=True, group=_NETWORK,
        help="Order of its images' color channels.")  # fmt: skip
@option("--layout", type=click.Choice(["auto", "NCHW", "NHWC"]), default="auto", show_default=True, group=_NETWORK,
        help="Order of its images' axes; auto: recognized by the axis of length 3.")  # fmt: skip
@option("--size", type=click.IntRange(16, 4096), metavar="PX", group=_NETWORK,
        help="Side of its crops, if the file does not state it.  [default: 256]")  # fmt: skip
@option("--output", metavar="NAME", group=_NETWORK, help="Name of the output with the map.  [default: the first]")
@option("--model", "model_path", type=MODEL, default="builtin", show_default=True, group=_NETWORK,
        help="Model that it was trained with, whose UV its maps have.")  # fmt: skip
@landmarks_option(_FACES)
@option("--boxes", type=EXISTING_FILE, group=_FACES,
        help="CSV of boxes instead: image, left, top, right, bottom (or x, y, width, height).")  # fmt: skip
@detector_options(_FACES, "auto", "landmarks of images that no file has landmarks for")
@option("--faces", type=click.Choice(["largest", "all"]), default="largest", show_default=True, group=_FACES,
        help="Which faces of a photograph to take.")  # fmt: skip
@option("--crop", type=click.Choice(["auto", "training", "prnet", "prnet-detector", "whole"]), default="auto",
        show_default=True, group=_FACES,
        help="How a face is cropped: as in training sets, as PRNet does around points or around a detection, or whole "
             "(images are crops). auto: training around landmarks, prnet-detector around boxes.")  # fmt: skip
@exif_option(_FACES)
@option("--write", type=NameList(_written), default="mesh,landmarks,pose", show_default=True, group=_OUTPUT,
        help="Files to write for each face: mesh (.obj), landmarks (.txt), pose (.json), map (.npy).")  # fmt: skip
@option("--draw", type=click.Choice(["sparse", "dense", "mesh", "depth", "pose", "none"]), default="sparse",
        show_default=True, group=_OUTPUT, help="What is drawn over the photograph (.png).")  # fmt: skip
@workers_option
@overwrite_option("predictions")
@untrusted_option
@json_option
@quiet_option
@verbose_option("Report each face at once.")
def command(
    network: Path,
    images: Path,
    out: Path,
    scale: str | float,
    convention: str,
    pixels: str,
    channels: str,
    layout: str,
    size: int | None,
    output: str | None,
    model_path: Path | str,
    landmarks: Path | None,
    boxes: Path | None,
    detector: str,
    detector_model: Path | None,
    faces: str,
    crop: str,
    exif: str,
    write: tuple[str, ...],
    draw: str,
    run: Run,
    overwrite: bool,
    untrusted: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Run a trained network (ONNX) on photographs: mesh, landmarks, pose and drawing of each face, in the photograph.

    Faces come from landmark files, a table of boxes, or a detector. Needs onnxruntime: pip install ".[onnx]".
    Running the same command again finishes what is missing.

    \b
    Example:
      uvgen predict network.onnx photos/ --scale size --out predicted/

    \b
    Exit status: 0 all predicted, 3 some photographs or faces left out, 1 failed, 2 wrong usage, 130, 143, 129
    interrupted.
    """
    if not write and draw == "none":
        raise click.UsageError("--write names no files and --draw is none, expected one of them")
    if boxes is not None and (landmarks is not None or crop == "whole"):
        raise click.UsageError(
            f"--boxes and {'--landmarks' if landmarks is not None else '--crop whole'} exclude each other"
        )
    from uvgen import NetworkOptions, PredictOptions, draw_alignment, predict_photographs
    from uvgen.fitting.photographs import about_other_pictures

    other = ["landmarks", *([] if detector == "none" else ["detector"]), "detector_model"]
    if crop == "whole":
        refuse_given([*other, "boxes", "faces"], "does not go with --crop whole, whose images are crops already")
    if boxes is not None:
        refuse_given(other, "does not go with --boxes, which say where the faces are")
    found_by = detector_of(detector, detector_model)
    drawing: dict[str, Any] = {} if draw == "none" else {"draw": draw_alignment, "kind": draw}
    with reported(quiet=quiet, verbose=verbose) as shown:
        result = predict_photographs(
            network,
            images,
            out,
            network_options=NetworkOptions(pixels, channels, layout, size, output, scale, convention),
            model=model_path,
            landmarks=landmarks,
            boxes=boxes,
            detector=found_by,
            options=PredictOptions(faces, crop, exif, write, **drawing),
            run=run(),
            overwrite=overwrite,
            untrusted=untrusted,
            progress=lambda batch: _report(shown, batch),
        )
    if result.notice:
        click.echo(f"note: {result.notice}", err=True)
    show_warnings(about_other_pictures(images, out))
    if not verbose:
        name_skipped(result.skipped, "predict.json", quiet=quiet)
    if as_json:
        print_json({"out": str(out), **result.to_plain()})
    elif not quiet:
        found = f", found by {result.detector}" if result.detector else ""
        click.echo(
            f"{out}: {count(len(result.faces), 'face')}{found}, {len(result.skipped)} skipped; this run "
            f"{count(result.new_samples, 'face')} in {result.seconds:.1f} s (crops of {result.crop_size} px, maps of "
            f"{result.uv_size}² texels)"
        )
    if result.skipped:
        sys.exit(3)


def _report(shown: Any, batch: Any) -> None:
    """The lines for some photographs, if each gets a line."""
    for face in batch.faces:
        shown.line(f"{face.name}: pitch {face.pitch_deg:.0f}°, yaw {face.yaw_deg:.0f}°, roll {face.roll_deg:.0f}°")
    for skip in batch.skipped:
        shown.line(f"skipped {skip.name}: {skip.reason}")
