"""`uvgen fit`: a face model fitted to photographs, or to the frames of videos."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from uvgen.cli.options import (
    ANY_PATH,
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
from uvgen.cli.progress import reported, show_warnings, waited
from uvgen.cli.results import json_option, name_skipped, print_json
from uvgen.cli.value_types import FiniteRange
from uvgen.storage.names import printable
from uvgen.wording import count

_WHAT, _HOW, _OUTPUT = "What goes in", "How faces are fitted", "What comes out"


@click.command("fit", cls=GroupedCommand)
@click.argument("images", type=ANY_PATH, required=False)
@option("--video", type=ANY_PATH, metavar="FILE|FOLDER", group=_WHAT,
        help="Fit a video, a folder of frames, or a folder of both, in place of photographs. Video files need PyAV: "
             "pip install '.[video]'.")  # fmt: skip
@option("-o", "--out", type=ANY_PATH, required=True, group=_OUTPUT,
        help="Folder to make, like 300W-LP's: each photograph with its parameters.")  # fmt: skip
@landmarks_option(_WHAT)
@detector_options(_WHAT, "auto", "landmarks of images that no file has landmarks for")
@option("--faces", type=click.Choice(["largest", "all"]), default="largest", show_default=True, group=_WHAT,
        help="Which faces of a photograph to fit.")  # fmt: skip
@exif_option(_WHAT)
@option("--model", "model_path", type=MODEL, default="builtin", show_default=True, group=_HOW,
        help="Morphable model: uvgen's .h5, another that docs/models.md lists, or the word builtin.")  # fmt: skip
@option(
    "--jaw",
    type=click.Choice(["contour", "fixed"]),
    default="contour",
    show_default=True,
    group=_HOW,
    help="What points 0 to 16 mark: where the face ends in the picture, or always the same places of the jaw.",
)
@option("--smoothness", type=FiniteRange(0), default=1.0, show_default=True, group=_HOW,
        help="Smoothness of pose and expression in a video; 0 fits each frame on its own.")  # fmt: skip
@option("--fps", type=FiniteRange(0.001, 100_000), group=_HOW,
        help="Frames per second of a folder of frames, or in place of a video file's own times.  "
             "[default: 25 for folders]")  # fmt: skip
@option("--same-person", is_flag=True, group=_HOW,
        help="Fit one shape to all photographs of the folder; not with --faces all.")  # fmt: skip
@option(
    "--refine",
    is_flag=True,
    group=_HOW,
    help="Fit the colors of the photographs too. Compare the reports with and without it before you use it.",
)
@option("--max-residual", type=FiniteRange(0, min_open=True), metavar="PERCENT", group=_HOW,
        help="Leave out faces whose residual is larger, in percent of the face's size.  [default: 15]")  # fmt: skip
@workers_option
@overwrite_option("fitted samples")
@untrusted_option
@json_option
@quiet_option
@verbose_option("Report each face at once.")
def command(
    images: Path | None,
    video: Path | None,
    out: Path,
    landmarks: Path | None,
    detector: str,
    detector_model: Path | None,
    faces: str,
    exif: str,
    model_path: Path | str,
    jaw: str,
    smoothness: float,
    fps: float | None,
    same_person: bool,
    refine: bool,
    max_residual: float | None,
    run: Run,
    overwrite: bool,
    untrusted: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Fit a face model to photographs or videos, so that `uvgen build` can make training data of them.

    Landmarks come from files, or a detector finds them. Each face gets its residual: how far its landmarks are from the
    fitted model's. `uvgen report` shows the faces with the largest first. Running the same command again finishes what
    is missing.

    \b
    Example:
      uvgen fit photos/ --out fitted/
      uvgen fit --video clip.mp4 --out fitted_clip/
      uvgen build --data fitted/ --out shards/

    \b
    Exit status: 0 all fitted, 3 some photographs or faces left out, 1 failed, 2 wrong usage, 130, 143, 129 interrupted.
    """
    from uvgen import FitOptions, VideoOptions, fit_photographs, fit_video
    from uvgen.fitting.photographs import about_other_pictures
    from uvgen.fitting.record import check_fit_folder
    from uvgen.fitting.video.find import about_other_videos

    _check_usage(images, video, same_person=same_person, refine=refine, faces=faces)
    found_by = detector_of(detector, detector_model)
    check_fit_folder(out)
    common: dict[str, Any] = {
        "model": model_path, "landmarks": landmarks, "detector": found_by, "run": run(), "overwrite": overwrite,
        "untrusted": untrusted,
    }  # fmt: skip
    residual = None if max_residual is None else max_residual / 100
    with reported(quiet=quiet, verbose=verbose) as shown:
        common["progress"] = lambda batch: _report(shown, batch)
        result: Any
        if video is not None:
            result = fit_video(video, out, options=VideoOptions(jaw, smoothness, fps, residual, exif), **common)
        elif images is not None:
            options = FitOptions(faces, jaw, same_person, refine, residual, exif)
            result = fit_photographs(images, out, options=options, **common)
    if result.notice:
        click.echo(f"note: {result.notice}", err=True)
    if images is not None:
        show_warnings(about_other_pictures(images, out))
    elif video is not None:
        show_warnings(about_other_videos(video, out))
    if not verbose:
        name_skipped(result.skipped, "fit.json", quiet=quiet)
    if as_json:
        print_json({"out": str(out), **result.to_plain()})
    elif not quiet:
        _summarize(out, result)
    if result.skipped:
        sys.exit(3)


def _check_usage(images: Path | None, video: Path | None, *, same_person: bool, refine: bool, faces: str) -> None:
    """Raise UsageError if options exclude each other."""
    if images is None and video is None:
        raise click.UsageError("missing photographs: a folder of them, or --video")
    if images is not None and video is not None:
        raise click.UsageError("photographs and --video exclude each other")
    if refine and same_person:
        raise click.UsageError("--refine and --same-person exclude each other")
    if same_person and faces == "all" and video is None:
        raise click.UsageError(
            "--same-person and --faces all exclude each other: others in the pictures are other people"
        )
    if video is None:
        refuse_given(["smoothness", "fps"], "goes with --video")
    elif same_person:
        raise click.UsageError("--same-person does not go with --video, whose frames share a shape from cut to cut")
    elif refine:
        raise click.UsageError("--refine does not go with --video: each frame would move by itself")
    elif faces == "all":
        raise click.UsageError("--faces all does not go with --video, which follows one face")


def _report(shown: Any, batch: Any) -> None:
    """The lines for some photographs, if each gets a line."""
    for face in batch.faces:
        shown.line(f"{face.name}: residual {face.residual:.2%}, yaw {face.yaw_deg:.0f}°")
    for skip in batch.skipped:
        shown.line(f"skipped {skip.name}: {skip.reason}")


def _some(numbers: Sequence[object]) -> str:
    """The first few of them."""
    return ", ".join(map(str, numbers[:5])) + f" and {len(numbers) - 5} more" * (len(numbers) > 5)


def _summarize(out: Path, result: Any) -> None:
    import numpy as np

    for video in getattr(result, "videos", ()):
        cuts = f", cuts at {_some(video.cuts)}" if video.cuts else ""
        gaps = [f"{first} to {last}" if last > first else f"{first}" for first, last in video.gaps]
        gaps_text = f", frames {_some(gaps)} missing" if gaps else ""
        click.echo(f"{printable(video.name)}: {count(video.frames, 'frame')}{cuts}{gaps_text}")
    worst = sorted(result.faces, key=lambda face: -np.nan_to_num(face.residual, nan=-1))[:2]
    residuals = np.array([face.residual for face in result.faces])
    residuals = residuals[np.isfinite(residuals)]
    n_found = sum(face.source == result.detector for face in result.faces)
    of = f" of {n_found}" if n_found < len(result.faces) else ""
    found = f", landmarks{of} by {result.detector}" if result.detector else ""
    click.echo(
        f"{out}: {count(len(result.faces), 'face')}{found}, {len(result.skipped)} skipped; this run "
        f"{count(result.new_samples, 'face')} in {waited(result.seconds):.1f} s"
    )
    if len(residuals):
        named = ", ".join(f"{printable(face.name)} {face.residual:.2%}" for face in worst)
        click.echo(
            f"residual: median {np.median(residuals):.2%}, 95% below {np.quantile(residuals, 0.95):.2%}; worst {named}"
        )
