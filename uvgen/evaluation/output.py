"""The folder of an evaluation: scores.json, table.md, faces.csv, and the curve as curve.svg and curve.png."""

import json
import os
from pathlib import Path

from uvgen.checks import check_paths
from uvgen.errors import OutputError, SettingsError
from uvgen.evaluation.curve import Curve, curve_picture, curve_svg
from uvgen.evaluation.evaluate import EvaluationReport
from uvgen.evaluation.scores import SCORES
from uvgen.evaluation.tables import markdown, per_face
from uvgen.images.codecs import encode_png
from uvgen.storage.drafts import check_new_folder, folder_made_at_once
from uvgen.storage.files import check_folder, delete, is_temporary, remove_leftovers, replaced_on_success

FILES = ("scores.json", "table.md", "faces.csv", "curve.svg", "curve.png")


def check_output(out: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Raise OutputError unless an evaluation can be put there; SettingsError if one is, and may not be replaced."""
    folder = Path(os.path.abspath(out))
    if not _is_evaluation(folder):
        check_new_folder(folder)
    elif not overwrite:
        raise SettingsError(f"{out}: holds an evaluation already; choose another folder, or overwrite it")
    elif others := _others(folder):
        raise OutputError(f"{folder / others[0]}: is in an evaluation's folder and no part of it; move it away first")
    check_folder(folder.parent, folder)


def _others(folder: Path) -> list[str]:
    """Names in an evaluation's folder that are none of its files, nor those of a run that writes it or was killed."""
    remove_leftovers(folder)
    return sorted(path.name for path in folder.iterdir() if path.name not in FILES and not is_temporary(path.name))


def _is_evaluation(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES[:3])


def write_evaluation(report: EvaluationReport, out: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write an evaluation's files.

    Parameters
    ----------
    report : EvaluationReport
        What was found.
    out : path-like
        Folder to make; it appears once it is whole.
    overwrite : bool
        Replace the files of an evaluation that is there.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        If something else is there.
    DatasetError
        If it cannot be written.
    InputError
        If `out` is not a path.
    """
    check_paths(out=out)
    check_output(out, overwrite=overwrite)
    folder = Path(os.path.abspath(out))
    files = _content(report)
    if _is_evaluation(folder):
        for name in FILES:
            if name not in files:  # the curve of an evaluation of other scores
                delete(folder / name, "remove it")
        for name, data in files.items():
            with replaced_on_success(folder / name, make_folder=False) as temporary:
                temporary.write_bytes(data)
    else:
        with folder_made_at_once(folder) as draft:
            for name, data in files.items():
                (draft / name).write_bytes(data)
    return folder


def _content(report: EvaluationReport) -> dict[str, bytes]:
    texts = {
        "scores.json": json.dumps(report.to_plain(), indent=2) + "\n",
        "table.md": markdown(report),
        "faces.csv": per_face(report),
    }
    shares = [key for key in report.result.values if SCORES[key].unit == "share" and SCORES[key].better == "lower"]
    files = {name: text.encode("utf-8", "surrogateescape") for name, text in texts.items()}
    if shares:
        curves = [Curve(SCORES[key].title, report.result.values[key]) for key in shares]
        title = f"{report.predictions.name} against {report.truth.name}"
        files["curve.svg"] = curve_svg(curves, title).encode("utf-8", "replace")
        files["curve.png"] = encode_png(curve_picture(curves, title))
    return files
