"""`uvgen evaluate`: predictions against the truth."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from uvgen.cli.options import (
    ANY_PATH,
    EXISTING_FILE,
    MODEL,
    PATH_OR_URL,
    GroupedCommand,
    option,
    output_of,
    overwrite_option,
    quiet_option,
    untrusted_option,
)
from uvgen.cli.progress import reported
from uvgen.cli.results import json_option, print_json
from uvgen.cli.value_types import SCALE, SCALE_HELP, SEED, NameList
from uvgen.storage.names import printable
from uvgen.wording import count

_WHAT, _COUNTED, _OUTPUT = "What is compared", "Units and frames of the predictions", "What comes out"


def _score_keys() -> Iterable[str]:
    from uvgen.evaluation.scores import SCORES

    return ["all", *SCORES]


@click.command("evaluate", cls=GroupedCommand)
@option("--pred", "predictions", type=ANY_PATH, required=True, group=_WHAT, metavar="DIR|FILE|SHARDS",
        help="Predictions: a file NAME.npy for each face (maps, 68 points, parameters; or meshes), one file of all, or "
             "shards.")  # fmt: skip
@option("--truth", type=PATH_OR_URL, required=True, group=_WHAT, metavar="SHARDS|DIR|FILE",
        help="A data set, AFLW2000-3D's folder, 3DDFA's folder of AFLW2000-3D.*.npy, or the file "
             "AFLW_GT_pts21.npy in it.")  # fmt: skip
@option("--protocol", type=click.Choice(["prnet", "3ddfa", "reshow"]), group=_WHAT,
        help="Only the scores in the tables of one paper or program.")  # fmt: skip
@option("--scores", type=NameList(_score_keys, least=1), metavar="LIST|all", group=_WHAT,
        help="Scores to compute: their keys in the JSON, separated by commas; all includes slow ones.")  # fmt: skip
@option("--mask", type=EXISTING_FILE, group=_WHAT,
        help="Weight mask file that marks the face texels.  [default: the set's weight mask]")  # fmt: skip
@option("--model", "model_path", type=MODEL, group=_WHAT,
        help="The set's model; needed for parameters and meshes, and if the set stores no maps.")  # fmt: skip
@option("--split", metavar="NAME", group=_WHAT, help="Only this part of the data set's splits.json.")
@option("--scale", type=SCALE, default="px", show_default=True, group=_COUNTED,
        help=f"Unit of the predicted values: px, {SCALE_HELP}")  # fmt: skip
@option("--frame", type=click.Choice(["crop", "image"]), group=_COUNTED,
        help="Frame of x and y.  [default: the truth's: crop for a data set, image for others; image for "
             "what `uvgen predict` wrote]")  # fmt: skip
@option("--convention", type=click.Choice(["exact", "face3d", "reshow", "matlab"]), group=_COUNTED,
        help="Pixel convention of the predictions.  [default: the truth's; that of the set that predictions are "
             "or were exported from; exact for what `uvgen predict` wrote]")  # fmt: skip
@option("--draws", type=click.IntRange(min=0), default=100, show_default=True, metavar="N", group=_WHAT,
        help="Random draws of equally many faces from each yaw bin.")  # fmt: skip
@option("--seed", type=SEED, default=0, show_default=True, group=_WHAT, help="Random seed of the draws.")
@option("-o", "--out", type=ANY_PATH, group=_OUTPUT,
        help="Folder to make, with scores.json, table.md, faces.csv, curve.svg and curve.png.")  # fmt: skip
@option("--submission", "submissions", nargs=2, type=(click.Choice(["dad3dheads", "realy"]), ANY_PATH), multiple=True,
        group=_OUTPUT, metavar="dad3dheads|realy PATH",
        help="Also write the JSON file or folder that this benchmark takes; needs --model, except for sets of the "
             "built-in model.")  # fmt: skip
@option("--keypoints", type=ANY_PATH, group=_OUTPUT, metavar="FILE",
        help="REALY's data/BFM09.txt, with BFM09.obj beside it: the 85 key points on the model's mesh.")  # fmt: skip
@overwrite_option("an evaluation")
@untrusted_option
@json_option
@quiet_option
def command(
    predictions: Path,
    truth: Path,
    protocol: str | None,
    scores: tuple[str, ...] | None,
    mask: Path | None,
    model_path: Path | str | None,
    split: str | None,
    scale: str | float,
    frame: str | None,
    convention: str | None,
    draws: int,
    seed: int,
    out: Path | None,
    submissions: tuple[tuple[str, Path], ...],
    keypoints: Path | None,
    overwrite: bool,
    untrusted: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare predictions with the truth: published scores, by yaw, each with its subset, box and alignment.

    \b
    Example:
      uvgen evaluate --pred predictions/ --truth shards/
      uvgen evaluate --pred points.npy --truth test.configs/ --protocol 3ddfa
      uvgen evaluate --pred predictions/ --truth shards/ --protocol prnet --scale 281.6 --out scores/

    Faces without a usable prediction are left out of all means. They are counted and named, and the exit status is 3.

    \b
    Exit status: 0 all faces compared (doubts included), 1 failed, 2 wrong usage, 3 some faces could not be compared, or
    are not in a submission (each is named), 130, 143, 129 interrupted.
    """
    from uvgen import evaluate_predictions, load_model
    from uvgen.datasets.open import builtin_of_set
    from uvgen.evaluation import Reading
    from uvgen.evaluation.output import check_output, write_evaluation
    from uvgen.evaluation.submissions import check_submission

    if protocol is not None and scores is not None:
        raise click.UsageError("--protocol and --scores exclude each other")
    kinds = [kind for kind, _ in submissions]
    model: Any = model_path
    if submissions and model is None and (model := builtin_of_set(truth)) is None:
        raise click.UsageError("--submission: needs --model")
    if ("realy" in kinds) != (keypoints is not None):
        raise click.UsageError("--keypoints and --submission realy: only together")
    places = [os.path.abspath(path) for path in (out, *(path for _, path in submissions)) if path is not None]
    if twice := [path for path in places if places.count(path) > 1]:
        raise click.UsageError(f"--out and --submission: {twice[0]} is given twice, expected a path for each")
    if out is not None:
        check_output(out, overwrite=overwrite)
    for kind, path in submissions:
        with output_of("--submission"):
            check_submission(kind, path, overwrite=overwrite)
    if submissions:  # read once: the scores and all submissions are of the same model
        model = load_model(model, untrusted=untrusted)
    reading = Reading(scale, frame, convention)
    chosen: Any = "all" if scores is not None and "all" in scores else scores
    with reported(quiet=quiet):
        result = evaluate_predictions(
            predictions,
            truth,
            protocol=protocol,
            scores=chosen,
            reading=reading,
            mask=mask,
            model=model,
            split=split,
            draws=draws,
            seed=seed,
            untrusted=untrusted,
        )
    if out is not None:
        write_evaluation(result, out, overwrite=overwrite)
    left: dict[str, list[str]] = {}
    for kind, path in submissions:
        how = {"model": model, "reading": reading, "split": split, "untrusted": untrusted}
        with output_of("--submission"):
            left[kind] = _submit(kind, path, predictions, truth, keypoints, **how)
    _show_problems(result, quiet=quiet)
    named = {*result.missing, *result.not_finite, *(name for name, _ in result.unread)}
    more = [(kind, name) for kind, names in left.items() for name in names if name not in named]
    for kind, name in more:  # scored, but nothing that the benchmark could use
        why = "its prediction shows no face, or is no position map"
        click.echo(printable(f"not in the submission for {kind}: {name} ({why})"), err=True)
    if as_json:
        print_json(result.to_plain())
    elif not quiet:
        _show(result)
        if out is not None:
            click.echo(f"\n{printable(str(out))}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    if more or not result.complete:
        sys.exit(3)


def _submit(kind: str, path: Path, predictions: Path, shards: Path, keypoints: Path | None, **how: Any) -> list[str]:
    """Write one submission, and return the names of the samples that are not in it."""
    from uvgen.evaluation.submissions import write_dad3dheads, write_realy

    if kind == "dad3dheads" or keypoints is None:
        return write_dad3dheads(predictions, shards, path, **how)
    template = keypoints.with_suffix(".obj")
    return write_realy(predictions, shards, path, template=template, keypoints=keypoints, **how)


_MOST = 20


def _show_problems(result: Any, *, quiet: bool) -> None:
    for what, names in (
        ("no prediction", [*result.missing]),
        ("NaN or infinity in the prediction", [*result.not_finite]),
        ("not usable", [f"{name} ({reason})" for name, reason in result.unread]),
    ):
        for name in names[:_MOST]:
            click.echo(printable(f"{what}: {name}"), err=True)
        if len(names) > _MOST:
            click.echo(f"{what}: {len(names) - _MOST} more, named by --json and in --out's faces.csv", err=True)
    if result.unexpected and not quiet:
        first = result.unexpected[0]
        n = len(result.unexpected)
        click.echo(printable(f"note: {count(n, 'prediction')} for no face of the truth, such as {first}"), err=True)
    for note in () if quiet else result.notes:
        click.echo(f"note: {note}", err=True)
    for doubt in result.doubts:
        click.echo(printable(f"warning: {doubt}"), err=True)
    left = len(result.missing) + len(result.not_finite) + len(result.unread)
    if left:
        click.echo(f"{left} of {count(result.faces, 'face')} left out of all means; see above", err=True)


def _show(result: Any) -> None:
    from uvgen.evaluation.tables import lines_of_3ddfa, text_table

    for line in text_table(result).splitlines():
        click.echo(printable(line))
    if result.protocol == "3ddfa":
        for name, one in result.results.items():
            for key, summary in one.summaries.items():
                program = "benchmark_aflw.py" if key == "nme_21_2d" else "benchmark_aflw2000.py"
                click.echo(f"\n{name}, as {program} prints it:\n{lines_of_3ddfa(summary)}")
