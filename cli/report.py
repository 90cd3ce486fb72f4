"""`uvgen report`: pages that show a whole data set."""

from pathlib import Path
from typing import Any

import click

from uvgen.cli.groups import as_typed
from uvgen.cli.options import (
    ANY_PATH,
    EXISTING_FILE,
    MODEL,
    PATH_OR_URL,
    GroupedCommand,
    Run,
    check_maps,
    is_given,
    option,
    overwrite_option,
    quiet_option,
    refuse_given,
    untrusted_option,
    workers_option,
)
from uvgen.cli.progress import reported, show_quality, show_warnings
from uvgen.cli.results import json_option, name_other_drafts, print_json
from uvgen.cli.value_types import SCALE
from uvgen.storage.names import printable
from uvgen.wording import count, shown_size

_SHOWN, _PREDICTED, _OUTPUT = "What is shown", "Predictions", "What comes out"


@click.command("report", cls=GroupedCommand)
@click.argument("shards", type=PATH_OR_URL)
@option("-o", "--out", type=ANY_PATH, required=True, group=_OUTPUT, help="Folder to make; open index.html in it.")
@option("--worst", type=click.IntRange(min=0), default=1000, show_default=True, metavar="N", group=_SHOWN,
        help="Pictures of this many samples: the largest label NME first, then the least usual ones.")  # fmt: skip
@option("--all", "all_samples", is_flag=True, group=_SHOWN, help="Pictures of all samples.")
@option("--list", "list_path", type=EXISTING_FILE, group=_SHOWN,
        help="Pictures of the samples in a text file, one name per line.")  # fmt: skip
@option("--thumbnails", is_flag=True, group=_SHOWN,
        help="Thumbnails of all other samples too: 4.4 kB and some milliseconds each.")  # fmt: skip
@option("--model", "model_path", type=MODEL, group=_SHOWN,
        help="The set's model: makes maps if the set stores none, and lets labels be checked.")  # fmt: skip
@option("--verify/--no-verify", default=True, show_default=True, group=_SHOWN,
        help="Check the set as `uvgen verify` does, which reads all of it.")  # fmt: skip
@option("--pred", "predictions", type=ANY_PATH, metavar="DIR|FILE|SHARDS", group=_PREDICTED,
        help="Predictions, as for `uvgen evaluate`: drawn on the crops, the worst first.")  # fmt: skip
@option("--scale", type=SCALE, default="px", show_default=True, group=_PREDICTED,
        help="Unit of their values, as for `uvgen evaluate`.")  # fmt: skip
@option("--frame", type=click.Choice(["crop", "image"]), group=_PREDICTED,
        help="Frame of their x and y.  [default: image for what `uvgen predict` wrote, crop for others]")  # fmt: skip
@option("--convention", type=click.Choice(["exact", "face3d", "reshow", "matlab"]), group=_PREDICTED,
        help="Pixel convention of the predictions.  [default: the set's; that of the set that predictions are or "
             "were exported from; exact for what `uvgen predict` wrote]")  # fmt: skip
@workers_option
@overwrite_option("a report")
@untrusted_option
@json_option
@quiet_option
def command(
    shards: Path,
    out: Path,
    worst: int,
    all_samples: bool,
    list_path: Path | None,
    thumbnails: bool,
    model_path: Path | str | None,
    verify: bool,
    predictions: Path | None,
    scale: str | float,
    frame: str | None,
    convention: str | None,
    untrusted: bool,
    run: Run,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write pages that show a data set: its numbers, all samples to sort and filter, and wrong labels first.

    They open from disk in any browser, without a server or a network. What is marked there as bad is exported as a list
    that `uvgen build --exclude` takes.

    \b
    Example:
      uvgen report shards/ --out report/
      uvgen report shards/ --out report/ --pred predictions/

    \b
    Exit status: 0 written (what is wrong with the set is also printed), 1 failed, 2 wrong usage,
    130, 143, 129 interrupted.
    """
    from uvgen import ReportOptions, evaluate_predictions, open_shards, write_report
    from uvgen.evaluation import Reading
    from uvgen.report.folder import check_report_folder
    from uvgen.samples.selection import find_names

    chosen = {"--all": all_samples, "--list": list_path is not None, "--worst": is_given("worst")}
    if len(given := [name for name, is_there in chosen.items() if is_there]) > 1:
        raise click.UsageError(f"{given[0]} and {given[1]} exclude each other")
    if predictions is None:
        refuse_given(["scale", "frame", "convention"], "goes with --pred")
    check_report_folder(out, overwrite=overwrite)
    reader = open_shards(shards, untrusted=untrusted)
    check_maps(reader.config, model_path, shards)
    names = None if list_path is None else [reader.names[k] for k in find_names(reader.names, list_path)]
    if not quiet:
        n_pages = min(len(reader) if all_samples else worst, len(reader)) if names is None else len(names)
        click.echo(_about(n_pages, len(reader), run().workers, thumbnails=thumbnails), err=True)
    name_other_drafts(out)
    evaluation = None
    with reported(quiet=quiet):
        if predictions is not None:
            evaluation = evaluate_predictions(
                predictions, shards, scores=["nme_68_2d"], reading=Reading(scale, frame, convention),
                model=model_path, untrusted=untrusted,
            )  # fmt: skip
        result = write_report(
            shards,
            out,
            model=model_path,
            evaluation=evaluation,
            options=ReportOptions(None if all_samples else worst, names, thumbnails, verify),
            untrusted=untrusted,
            run=run(),
            overwrite=overwrite,
        )
    problems, damaged = ((), ()) if result.verified is None else (result.verified.problems, result.verified.damaged)
    for problem in problems:
        click.echo(as_typed(problem), err=True)
    if problems:
        what_to_do = "`uvgen verify --repair` makes damaged files again" if damaged else "see above"
        click.echo(f"{shards}: {count(len(problems), 'problem')}; {what_to_do}", err=True)
    if result.quality is not None:
        show_warnings(result.quality.warnings)
    if evaluation is not None:
        show_warnings(evaluation.doubts)
    if as_json:
        print_json({"out": str(out), **result.to_plain(), "page": str(out / result.page.name)})
    elif not quiet:
        what = f"{count(result.samples, 'sample')}, {result.pages} with pages, {result.pictured} with thumbnails"
        click.echo(f"{out / result.page.name}: {what}, {shown_size(result.size_bytes)}")
        show_quality(result.quality)
        if evaluation is not None:
            _show_predictions(evaluation)


def _show_predictions(evaluation: Any) -> None:
    """How far predictions are off, and which cannot be used."""
    summary = evaluation.result.summaries["nme_68_2d"]
    far = f", NME {summary.mean:.2%} on average, median {summary.median:.2%}" if summary.n else ""
    click.echo(f"predictions: {summary.n} of {count(evaluation.faces, 'face')}{far}")
    unread = [f"{name}: {reason}" for name, reason in evaluation.unread]
    for what, those in (
        ("without a prediction", evaluation.missing),
        ("with NaN or infinity", evaluation.not_finite),
        ("with a prediction that cannot be used", unread),
    ):
        if those:
            click.echo(as_typed(printable(f"{count(len(those), 'sample')} {what}, first {those[0]}")), err=True)


_SECONDS_A_PAGE, _SECONDS_A_THUMBNAIL, _SECONDS_TO_START = 0.2, 0.005, 5.0  # of an idle core, on what was tried
_MB_A_PAGE, _MB_A_THUMBNAIL = 0.13, 0.0044


def _about(n_pages: int, n_samples: int, workers: int, *, thumbnails: bool) -> str:
    """How much will be drawn, and about how long that takes."""
    n_thumbnails = n_samples - n_pages if thumbnails else 0
    work = n_pages * _SECONDS_A_PAGE + n_thumbnails * _SECONDS_A_THUMBNAIL
    if not n_pages + n_thumbnails:
        return f"drawing no pages, only the numbers of {count(n_samples, 'sample')}"
    workers = min(workers, max((n_pages + n_thumbnails) // 16, 1))  # as many as have something to do
    seconds = _SECONDS_TO_START + work / workers
    long = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{5 * round(seconds / 5)} seconds"
    size = n_pages * _MB_A_PAGE + n_thumbnails * _MB_A_THUMBNAIL
    more = f" and {count(n_thumbnails, 'thumbnail')}" if n_thumbnails else ""
    fewer = "; --worst N draws fewer" if seconds >= 90 else ""
    return (
        f"drawing pages of {n_pages} of {count(n_samples, 'sample')}{more}: about "
        f"{shown_size(1e6 * size, digits=0)}, and {long} with {count(workers, 'worker')} on idle cores{fewer}"
    )
