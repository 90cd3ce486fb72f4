"""Tables, the CSV, the curve, and the folder that holds them."""

import csv
import io
import json
import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from uvgen import open_shards
from uvgen.errors import BusyError, InputError, OutputError, SettingsError
from uvgen.evaluation.curve import Curve, curve_picture, curve_svg
from uvgen.evaluation.evaluate import evaluate_predictions
from uvgen.evaluation.output import FILES, write_evaluation
from uvgen.evaluation.scores import SCORES
from uvgen.evaluation.tables import markdown, per_face, text_table
from uvgen.storage.drafts import draft_of
from uvgen.storage.files import temporary_name
from uvgen.storage.locks import exclusive


@pytest.fixture(scope="module")
def predictions(predict_once):
    return predict_once(lambda m: m + np.random.default_rng(0).normal(0, 0.5, m.shape), skip=1)


@pytest.fixture(scope="module")
def report(shards, predictions):
    return evaluate_predictions(predictions, shards, scores="all")


def test_every_table_says_of_each_score_what_it_compares(report) -> None:
    for text in (text_table(report), markdown(report)):
        for key in report.result.summaries:
            score = SCORES[key]
            assert score.title in text and score.subset in text and score.box in text and score.alignment in text
        for name in report.results:
            assert re.search(f"[Tt]ruth: {name}", text)
    found = report.result.summaries["nme_dense_2d"]
    row = next(line for line in text_table(report).splitlines() if line.startswith("NME dense, 2D (%)"))
    assert row.split()[-3:] == [f"{100 * value:.3f}" for value in (found.balanced_mean, found.mean, found.median)]


def test_json_has_the_plain_mean_over_all_faces_as_a_share_not_rounded(report) -> None:
    plain = json.loads(json.dumps(report.to_plain()))
    assert plain["missing"] == list(report.missing) and plain["complete"] is False
    assert plain["default_truth"] == "landmarks" and plain["truths"].keys() == {"landmarks", "annotation"}
    scores = plain["truths"]["landmarks"]["scores"]
    assert scores.keys() == SCORES.keys() - {"nme_21_2d"}  # of the truth aflw21 alone
    for key, score in scores.items():
        assert score["mean"] == float(report.result.values[key].mean()) and score["n"] == 8
        assert score["subset"] and score["box"] and score["alignment"]
        assert len(score["bins"]) == 3


def test_csv_has_a_line_for_each_face_and_truth_and_for_those_without(report) -> None:
    rows = list(csv.DictReader(io.StringIO(per_face(report))))
    assert len(rows) == 8 * 2 + 1
    for row in rows[:8]:
        k = report.result.names.index(row["name"])
        assert float(row["nme_dense_3d"]) == report.result.values["nme_dense_3d"][k]
        assert float(row["yaw_deg"]) == report.result.yaw_deg[k]
    assert rows[-1]["name"] == report.missing[0] and rows[-1]["problem"] == "no prediction"


def test_folder_is_whole_or_not_there_and_replaced_only_where_asked(report, tmp_path) -> None:
    out = write_evaluation(report, tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    assert json.loads((out / "scores.json").read_text()) == report.to_plain()
    first = {name: (out / name).read_bytes() for name in FILES}
    with pytest.raises(SettingsError, match="holds an evaluation already"):
        write_evaluation(report, out)
    write_evaluation(report, out, overwrite=True)
    assert {name: (out / name).read_bytes() for name in FILES} == first
    (out / "mine.txt").write_text("")
    with pytest.raises(OutputError, match=r"mine\.txt: is in an evaluation's folder"):
        write_evaluation(report, out, overwrite=True)
    (out / "mine.txt").rename(out / temporary_name("table.md"))  # as a killed run leaves it
    write_evaluation(report, out, overwrite=True)
    assert {path.name for path in out.iterdir()} == set(FILES)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("")
    with pytest.raises(OutputError, match="exists and is not empty"):
        write_evaluation(report, tmp_path / "full")


@pytest.fixture(scope="module")
def report_without_curve(shards, predictions):
    return evaluate_predictions(predictions, shards, scores=["ssim"])


def test_folder_holds_no_curve_of_an_evaluation_that_was_killed(report_without_curve, tmp_path) -> None:
    out = tmp_path / "out"
    draft_of(out).mkdir()
    for name in FILES:
        (draft_of(out) / name).write_text("of the killed one")
    write_evaluation(report_without_curve, out)
    assert {path.name for path in out.iterdir()} == {"scores.json", "table.md", "faces.csv"}
    assert json.loads((out / "scores.json").read_text()) == report_without_curve.to_plain()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folder_holds_no_curve_of_the_evaluation_that_it_replaces(report, report_without_curve, tmp_path) -> None:
    out = write_evaluation(report, tmp_path / "out")
    write_evaluation(report_without_curve, out, overwrite=True)
    assert {path.name for path in out.iterdir()} == {"scores.json", "table.md", "faces.csv"}


def test_folder_that_another_process_writes_is_refused(report, tmp_path) -> None:
    with (
        exclusive(draft_of(tmp_path / "out")),
        pytest.raises(BusyError, match=rf"^{tmp_path}/out: another uvgen is writing into it"),
    ):
        write_evaluation(report, tmp_path / "out")


def test_curve_goes_through_the_share_of_faces_below_each_error() -> None:
    errors = np.array([0.01, 0.02, 0.02, 0.04, np.nan])
    svg = curve_svg([Curve("a", errors)], "T", most=0.05)
    points = [tuple(map(float, pair.split(","))) for pair in re.search('points="([^"]*)"', svg)[1].split()]
    left, right, top, bottom = 64, 620, 40, 368
    for error, share in ((0.01, 0.25), (0.02, 0.75), (0.04, 1.0)):
        x, y = left + (right - left) * error / 0.05, bottom - (bottom - top) * share
        assert min(abs(x - a) + abs(y - b) for a, b in points) < 0.15, error
    assert all(a[0] <= b[0] and a[1] >= b[1] for a, b in pairwise(points))
    assert "a: mean 2.25%, 4 faces" in svg


def test_curve_escapes_names_and_draws_the_same_as_pixels() -> None:
    curves = [Curve("<a> & b", np.linspace(0, 0.1, 50)), Curve("other", np.linspace(0.02, 0.03, 50))]
    svg = curve_svg(curves, "a < b")
    assert "&lt;a&gt; &amp; b" in svg and svg.count("<polyline") == 2
    picture = curve_picture(curves, "a < b")
    assert picture.dtype == np.uint8 and picture.shape == (840, 1280, 3)
    assert (picture == [0x0B, 0x62, 0xA4]).all(axis=-1).sum() > 500  # the first line's color
    with pytest.raises(InputError, match="without a finite error"):
        curve_svg([Curve("a", np.array([np.nan]))], "T")


def test_worst_face_is_first(shards, predict) -> None:
    sizes = iter(range(9))
    report = evaluate_predictions(predict(lambda p: p + [next(sizes), 0, 0], field="landmarks"), shards)
    values = report.result.values["nme_68_2d"]
    order = report.worst_first()
    found = [values[report.result.names.index(name)] for name in order]
    assert found == sorted(found, reverse=True) and len(order) == 9
    with pytest.raises(InputError, match="key: 'nme', expected 'nme_68_2d'"):
        report.worst_first("nme")


def test_curve_of_a_folder_with_control_characters_in_its_name_is_xml() -> None:
    svg = curve_svg([Curve("a", np.linspace(0, 0.1, 5))], "p\x01\n\udcff<b>")
    title = ElementTree.fromstring(svg).find("{http://www.w3.org/2000/svg}text").text
    assert title == r"p\x01\n\xff<b>"


def test_table_says_how_many_faces_have_scores_and_shows_doubts_as_text(shards, predict) -> None:
    folder = predict()
    name = open_shards(shards).names[0]
    np.save(folder / f"{name}.npy", np.full((48, 48, 3), np.nan))
    report = replace(evaluate_predictions(folder, shards), doubts=("<b>|*odd*",))
    assert "\n9 in the truth, 8 compared.\n" in markdown(report) and r"- doubt: \<b\>\|\*odd\*" in markdown(report)
    assert text_table(report).startswith("truth: landmarks (8 faces;")
