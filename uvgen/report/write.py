"""A report of a data set, as a folder of pages: what `uvgen report` writes."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen._version import __version__
from uvgen.checks import check_instance, check_paths
from uvgen.datasets.open import check_model, open_shards, own_model
from uvgen.datasets.quality.summary import LabelQuality, label_quality
from uvgen.datasets.verify import VerifyResult, verify_shards
from uvgen.described import described
from uvgen.errors import DatasetError, InputError
from uvgen.evaluation.evaluate import EvaluationReport
from uvgen.jobs.options import RunOptions, check_run
from uvgen.jobs.run import results
from uvgen.models.load import as_model, check_model_file
from uvgen.models.morphable import MorphableModel
from uvgen.preview.drawing import LEFT, LINES, MIDDLE, RIGHT, landmark_colors
from uvgen.preview.problems import check_has_pictures
from uvgen.progress import begin
from uvgen.report.folder import check_report_folder, report_on_success
from uvgen.report.javascript import packed, write_script
from uvgen.report.options import ReportOptions
from uvgen.report.overview import Checked, Overview, describe
from uvgen.report.pictures import PER_FILE, THUMB, Drawn, Pictured, PictureJob, Prediction
from uvgen.report.table import BIT, FLAGS, SampleTable
from uvgen.samples.selection import find_names
from uvgen.shards.index import Index
from uvgen.shards.reader import ShardReader, state_of
from uvgen.storage.names import printable
from uvgen.wording import count

FIRST_PAGE = "index.html"

_ASSETS = ("report.js", "report.css", "LICENSES.txt")


@dataclass(frozen=True, slots=True)
class ReportResult:
    """The result of `uvgen.write_report`.

    Attributes
    ----------
    page : Path
        The page to open.
    samples, pictured, pages : int
        Number of samples in the data set, of those with a thumbnail, and of those with all pictures.
    size_bytes : int
        Size of all files.
    seconds : float
        How long it took.
    verified : VerifyResult or None
        What checking the set found, if that was asked for.
    quality : LabelQuality or None
        How far the labels are from the annotations, if there are some.
    """

    page: Path
    samples: int
    pictured: int
    pages: int
    size_bytes: int
    seconds: float
    verified: VerifyResult | None = None
    quality: LabelQuality | None = None

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The result as `uvgen report --json` prints it."""
        return {
            "page": str(self.page),
            "samples": self.samples,
            "pages": self.pages,
            "thumbnails": self.pictured,
            "size_bytes": self.size_bytes,
            "problems": None if self.verified is None else list(self.verified.problems),
            "label_nme": None if self.quality is None else self.quality.to_plain(),
            "seconds": self.seconds,
        }


def write_report(
    shards: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    evaluation: EvaluationReport | None = None,
    options: ReportOptions = ReportOptions(),
    untrusted: bool = False,
    run: RunOptions = RunOptions(),
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
) -> ReportResult:
    """Write HTML pages that show a data set, to check its labels.

    Parameters
    ----------
    shards : path-like
        The data set's folder.
    out : path-like
        Folder to make; it appears once it is whole, and nothing is left of it if that fails.
    model : MorphableModel or path-like, optional
        The set's: makes maps that are not stored, and lets labels be compared with their parameters.
    evaluation : EvaluationReport, optional
        What `uvgen.evaluate_predictions` found with this set as the truth: predicted points are drawn on the crops, and
        the worst predictions come first, after samples that have none; their NME is a column of the gallery.
    options : ReportOptions
        Which samples get pictures, and whether the set is checked.
    untrusted : bool
        Whether to read the shards in child processes, see `uvgen.open_shards`.
    run : RunOptions
        Processes that draw and verify; a task is 16 samples to draw. If processes die at one again and again, the
        report ends.
    overwrite : bool
        Replace a report in the folder.
    progress : callable, optional
        Called with numbers of samples: verified ones, then drawn ones.

    Returns
    -------
    ReportResult

    Raises
    ------
    DatasetError
        If the set is damaged, empty or lacks images, or maps and there is no model; or the folder holds something
        else or cannot be written.
    ModelError
        If the model is not the set's.
    InputError
        If an argument is of the wrong type, or a name is not in the set.

    Examples
    --------
    >>> uvgen.write_report("shards/", "report/").page
    PosixPath('report/index.html')
    """
    check_paths(shards=shards, out=out)
    started = time.perf_counter()
    check_run(run)
    check_instance(options, "options", ReportOptions, "uvgen.ReportOptions(worst=100)")
    if evaluation is not None:
        check_instance(
            evaluation, "evaluation", EvaluationReport, "uvgen.evaluate_predictions('predictions/', 'shards/')"
        )
    out = Path(os.path.abspath(out))
    check_report_folder(out, overwrite=overwrite)
    reader = open_shards(shards, untrusted=untrusted)
    model = own_model(reader.config) if model is None else as_model(model, untrusted=untrusted)
    _check_set(reader, model)
    wanted = None if options.names is None else set(find_names(reader.names, options.names))  # before any work
    if model is not None:
        check_model(model, reader.folder, reader.config)
    index = Index.read(reader.folder)
    made = reader.config.build.maps == "none"
    verified = None
    if options.verify:
        verified = verify_shards(reader.folder, model=model, run=run, untrusted=untrusted, progress=progress)
    table = SampleTable.of(reader, model)
    predictions = None if evaluation is None else _predictions_of(evaluation, table)
    if predictions is not None:
        table = table.by_predictions({name: one.error for name, one in predictions.items()})
    shown = _chosen(table, options.worst, wanted)
    n_pages = len(shown)
    if options.thumbnails:
        there = set(shown)
        shown += [int(k) for k in table.order if int(k) not in there]
    quality = label_quality(reader, model) if verified is None else verified.quality
    with report_on_success(out, overwrite=overwrite) as (draft, check_there):
        job = PictureJob(reader.folder, state_of(reader), model, made, untrusted, draft, predictions)
        begin("drawing", len(shown), first="starting to draw")
        for drawn in results(job, _parts(shown, n_pages, table), run):
            _note(drawn, table)
            if progress is not None:
                progress(len(drawn.pictured.samples))
            check_there()
        heights = reader.column("image_height")
        checked = Checked(verified, quality, with_model=model is not None)
        pages = [("thumbnails here", f"{len(shown):,}"), ("pages here", f"{n_pages:,}")]
        about = describe(reader, index, table, heights, checked, pages)
        about = replace(about, facts=(*about.facts, *_prediction_facts(evaluation)))
        check_there()  # what a link leads to is not this report's
        check_model_file(model)
        _write_rows(draft, table, heights, shown)
        _write_overview(draft, about, reader, n_pages, listed=wanted is not None, made=made)
        _write_page(draft, about)
        size = sum(path.stat().st_size for path in draft.rglob("*") if path.is_file())
    return ReportResult(
        out / FIRST_PAGE, len(reader), len(shown), n_pages, size, time.perf_counter() - started, verified, quality
    )


def _predictions_of(evaluation: EvaluationReport, table: SampleTable) -> dict[str, Prediction]:
    """Predicted points and their NME, by name; InputError if none is of the set."""
    there = set(table.names)
    result = evaluation.result
    errors = dict(zip(result.names, result.values.get("nme_68_2d", np.array([])).tolist(), strict=False))
    found = {
        name: Prediction(points, errors[name])
        for name, points in evaluation.landmarks.items()
        if name in there and np.isfinite(errors.get(name, np.nan))
    }
    if not found:
        raise InputError(
            f"evaluation: none of its {count(len(result.names), 'face')} with nme_68_2d is in the set, expected one "
            "of this set"
        )
    return found


def _check_set(reader: ShardReader, model: MorphableModel | None) -> None:
    check_has_pictures(reader)
    if model is None and "posmap" not in reader.fields:
        raise DatasetError(
            f"{reader.folder}: stores no maps, expected maps or a model; give the model that it was built with"
        )


def _chosen(table: SampleTable, worst: int | None, wanted: set[int] | None) -> list[int]:
    """Samples that get pictures, worst first: those that are wanted, or that many."""
    order: list[int] = table.order.tolist()
    return order[:worst] if wanted is None else [k for k in order if k in wanted]


def _parts(shown: list[int], n_pages: int, table: SampleTable) -> list[Pictured]:
    """What is drawn into a file each: `PER_FILE` samples, of which the first `n_pages` of all get pages."""
    return [
        Pictured(
            k, tuple(shown[first : first + PER_FILE]), min(max(n_pages - first, 0), PER_FILE), table.names[shown[first]]
        )
        for k, first in enumerate(range(0, len(shown), PER_FILE))
    ]


def _prediction_facts(evaluation: EvaluationReport | None) -> list[tuple[str, str]]:
    if evaluation is None:
        return []
    summary = evaluation.result.summaries["nme_68_2d"]
    return [
        ("predictions", printable(evaluation.predictions.resolve().name)),
        ("predicted faces", f"{summary.n:,}"),
        ("NME of predictions, mean", f"{summary.mean:.2%}"),
        ("NME of predictions, median", f"{summary.median:.2%}"),
    ]


def _note(drawn: Drawn, table: SampleTable) -> None:
    for k, wrong in zip(drawn.pictured.samples, drawn.wrong, strict=False):  # those with pages come first
        if wrong:
            table.flags[k] |= BIT["problem"]


def _write_rows(draft: Path, table: SampleTable, heights_px: NDArray[np.integer[Any]], shown: Sequence[int]) -> None:
    """The gallery's columns, in its first order: a row takes some 55 bytes and its name."""
    order = table.order
    picture = np.full(len(order), -1, np.int32)
    picture[list(shown)] = np.arange(len(shown))
    columns: dict[str, Any] = {
        "names": [table.names[k] for k in order],
        "subset": packed(table.subset[order]),
        "nme": packed(table.nme[order]),
        "oddity": packed(table.oddity[order]),
        "pitch": packed(table.angles_deg[order, 0]),
        "yaw": packed(table.angles_deg[order, 1]),
        "roll": packed(table.angles_deg[order, 2]),
        "height": packed(heights_px[order].astype(np.float32)),
        "face": packed(table.face_px[order]),
        "magnification": packed(table.magnification[order]),
        "flags": packed(table.flags[order]),
        "picture": packed(picture[order]),
    }
    if table.prediction_nme is not None:
        columns["prediction"] = packed(table.prediction_nme[order])
    write_script(draft / "data/rows.js", "rows", columns)


def _write_overview(
    draft: Path, about: Overview, reader: ShardReader, n_pages: int, *, listed: bool, made: bool
) -> None:
    write_script(draft / "data/overview.js", "overview", {
        "title": about.title,
        "identity": about.identity,
        "samples": len(reader),
        "subsets": [name for name, _ in about.subsets],
        "flags": list(FLAGS.items()),
        "histograms": list(about.histograms),
        "perFile": PER_FILE,
        "thumb": THUMB,
        "pages": n_pages,
        "listed": listed,
        "made": made,
        "copies": reader.config.augmentation is not None,
        "sides": [(RIGHT, MIDDLE, LEFT).index(side) for side in landmark_colors()],
        "lines": [[list(indices), closed] for indices, closed in LINES],
    })  # fmt: skip


def _write_page(draft: Path, about: Overview) -> None:
    import jinja2

    package = files("uvgen.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FunctionLoader(lambda name: (package / "templates" / name).read_text(encoding="utf-8")),
    )  # fmt: skip
    environment.filters["code"] = _code
    page = environment.get_template("index.html.j2").render(about=about, version=__version__, flags=FLAGS)
    (draft / FIRST_PAGE).write_text(page, encoding="utf-8", newline="\n")
    (draft / "assets").mkdir()
    for name in _ASSETS:
        (draft / "assets" / name).write_bytes((package / "assets" / name).read_bytes())


def _code(text: str) -> Any:
    """HTML of a message: what stands between backticks as code, nothing as markup."""
    import markupsafe

    parts = (markupsafe.escape(part) for part in text.split("`"))
    return markupsafe.Markup("").join(
        markupsafe.Markup("<code>{}</code>").format(part) if k % 2 else part for k, part in enumerate(parts)
    )
