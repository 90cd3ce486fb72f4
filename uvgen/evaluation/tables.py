"""Scores as text: a table for people, Markdown, and a line per face as CSV."""

import csv
import io
from typing import Any

from uvgen.evaluation.accumulate import EvaluationResult
from uvgen.evaluation.evaluate import EvaluationReport
from uvgen.evaluation.scores import SCORES, Score
from uvgen.evaluation.summary import Summary
from uvgen.storage.names import in_markdown
from uvgen.wording import count

_HEAD = ("score", "n", "0 to 30", "30 to 60", "above 60", "balanced", "mean of all", "median")


def shown_value(score: Score, value: float | None) -> str:
    """A value as tables have it: three digits after the point, of percent for shares."""
    if value is None:
        return "-"
    return f"{100 * value:.3f}" if score.unit == "share" else f"{value:.4f}"


def rows_of(result: EvaluationResult) -> list[tuple[str, ...]]:
    """Cells of a table, a row a score."""
    rows = []
    for key, summary in result.summaries.items():
        score = SCORES[key]
        bins = [one.mean for one in summary.bins] or [None] * 3
        values = [*bins, summary.balanced_mean, summary.mean, summary.median]
        unit = " (%)" if score.unit == "share" else ""
        rows.append((score.title + unit, str(summary.n), *(shown_value(score, value) for value in values)))
    return rows


def text_table(report: EvaluationReport) -> str:
    """For a terminal: a table for each truth, what each score is of, and how much a choice of faces changes it."""
    lines: list[str] = []
    for name, result in report.results.items():
        rows = [_HEAD, *rows_of(result)]
        widths = [max(len(row[k]) for row in rows) for k in range(len(_HEAD))]
        counts = [one.n for one in next((s.bins for s in result.summaries.values() if s.bins), ())]
        by_yaw = [f"{label}°: {n}" for n, label in zip(counts, _HEAD[2:5], strict=True)] if counts else []
        faces = f"; |yaw| {', '.join(by_yaw)}" if counts else ""
        lines.append(f"truth: {name} ({count(_n_compared(result), 'face')}{faces})")
        for row in rows:
            lines.append(
                "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
            )
        lines.append("")
    for key, summary in _first_summaries(report).items():
        score = SCORES[key]
        drawn = _drawn(score, summary)
        lines.append(f"{score.title}: {score.subset}; divided by: {score.box}; aligned: {score.alignment}{drawn}")
    return "\n".join(lines)


def _n_compared(result: EvaluationResult) -> int:
    return len(result.names) - len(result.not_finite)


def _first_summaries(report: EvaluationReport) -> dict[str, Summary]:
    """Each score's means for the first truth that has it."""
    found: dict[str, Summary] = {}
    for result in report.results.values():
        found = {**result.summaries, **found}
    return found


def _drawn(score: Score, summary: Summary) -> str:
    if summary.draws is None:
        return ""
    one = summary.draws
    found = f"{shown_value(score, one.mean)} ± {shown_value(score, one.std)}"
    return f"; {count(one.n, 'draw')} of {count(one.size, 'face')} a bin: {found}"


def markdown(report: EvaluationReport) -> str:
    """The same for a page, with what is missing."""
    lines = [f"# {in_markdown(report.predictions.name)} against {in_markdown(report.truth.name)}", ""]
    if report.protocol is not None:
        from uvgen.evaluation.protocols import PROTOCOLS

        lines += [f"Scores of {PROTOCOLS[report.protocol].title}.", ""]
    for name, result in report.results.items():
        lines += [f"## Truth: {name}", "", "| " + " | ".join(_HEAD) + " |", "| --- |" + " ---: |" * (len(_HEAD) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in rows_of(result)]
        lines.append("")
    lines += [
        "## Scores",
        "",
        "| score | subset | divided by | alignment | balanced draws |",
        "| --- | --- | --- | --- | --- |",
    ]
    for key, summary in _first_summaries(report).items():
        score = SCORES[key]
        drawn = _drawn(score, summary).removeprefix("; ") or "-"
        lines.append(f"| {score.title} | {score.subset} | {score.box} | {score.alignment} | {drawn} |")
    lines += ["", "## Faces", "", f"{report.faces} in the truth, {_n_compared(report.result)} compared."]
    for what, names in (
        ("without a prediction", report.missing),
        ("with NaN or infinity", report.not_finite),
        ("not usable", tuple(f"{name} ({reason})" for name, reason in report.unread)),
        ("predictions for no face", report.unexpected),
    ):
        if names:
            shown = ", ".join(map(in_markdown, names[:20]))
            lines.append(f"- {len(names)} {what}: {shown}{', …' if len(names) > 20 else ''}")
    lines += [f"- {text}" for text in report.notes]
    lines += [f"- doubt: {in_markdown(text)}" for text in report.doubts]
    return "\n".join(lines) + "\n"


def per_face(report: EvaluationReport) -> str:
    """CSV: a line a face and truth, values as in JSON; empty cells for what a face has not."""
    keys = list(dict.fromkeys(key for result in report.results.values() for key in result.values))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["name", "truth", "yaw_deg", "problem", *keys])
    for truth, result in report.results.items():
        bad = set(result.not_finite)
        for k, name in enumerate(result.names):
            yaw = "" if result.yaw_deg is None else repr(float(result.yaw_deg[k]))
            values = [_cell(result.values[key][k]) if key in result.values else "" for key in keys]
            writer.writerow([name, truth, yaw, "NaN or infinity" if name in bad else "", *values])
    first = next(iter(report.results))
    for name in report.missing:
        writer.writerow([name, first, "", "no prediction", *[""] * len(keys)])
    for name, reason in report.unread:
        writer.writerow([name, first, "", reason, *[""] * len(keys)])
    return stream.getvalue()


def _cell(value: Any) -> str:
    return repr(float(value)) if value == value else ""


def lines_of_3ddfa(summary: Summary) -> str:
    """The four lines that `ana` of 3DDFA's `benchmark_aflw2000.py` and `benchmark_aflw.py` prints, without colors."""
    names = ("[ 0, 30]", "[30, 60]", "[60, 90]")
    pairs = [*((one.mean, one.std) for one in summary.bins), (summary.balanced_mean, summary.balanced_std)]
    return "\n".join(
        f"{name}\tMean: {_percent(mean)}, Std: {_percent(std)}"
        for name, (mean, std) in zip((*names, "[ 0, 90]"), pairs, strict=True)
    )


def _percent(value: float | None) -> str:
    return "nan" if value is None else f"{100 * value:.3f}"
