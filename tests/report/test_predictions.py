"""Predictions in a report: drawn on the crops, the worst first, and those that are missing before all."""

from pathlib import Path

import numpy as np
import pytest
from support.builds import have
from support.reports import BIGGER, picture, rows, script_arguments
from support.toy import write_tree

from uvgen import ReportOptions, evaluate_predictions, open_shards, write_report
from uvgen.errors import InputError
from uvgen.report.table import BIT


@pytest.fixture
def shards(tmp_path: Path, model_path: Path) -> Path:
    have(write_tree(tmp_path / "300W_LP"), model_path, tmp_path / "shards", BIGGER)
    return tmp_path / "shards"


@pytest.fixture
def predictions(shards: Path, tmp_path: Path) -> Path:
    """Each sample is farther off than the one before; the last has none."""
    for k, sample in enumerate(list(open_shards(shards))[:-1]):
        path = tmp_path / "predictions" / f"{sample['name']}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, sample["landmarks"] + [0.3 * k, 0, 0])
    return tmp_path / "predictions"


@pytest.mark.slow
def test_report_has_the_worst_predictions_first_and_draws_them(shards, predictions, tmp_path) -> None:
    evaluation = evaluate_predictions(predictions, shards)
    write_report(shards, tmp_path / "plain", options=ReportOptions(verify=False))
    write_report(shards, tmp_path / "report", options=ReportOptions(verify=False), evaluation=evaluation)
    names = rows(tmp_path / "report")["names"]
    assert names[0] == open_shards(shards).names[-1]
    errors = dict(zip(evaluation.result.names, evaluation.result.values["nme_68_2d"], strict=True))
    found = [errors[name] for name in names[1:]]
    assert found == sorted(found, reverse=True) and names == evaluation.worst_first()
    column = rows(tmp_path / "report")["prediction"]
    assert np.isnan(column[0])
    np.testing.assert_array_equal(column[1:], np.array(found, np.float32))
    assert "prediction" not in rows(tmp_path / "plain")
    (about,) = script_arguments(tmp_path / "report/data/overview.js")
    histogram = about["histograms"][0]
    assert (histogram["title"], histogram["column"]) == ("Prediction NME (%)", "prediction")
    assert histogram["under"] + sum(histogram["counts"]) + histogram["over"] == len(found)
    (about,) = script_arguments(tmp_path / "plain/data/overview.js")
    assert "prediction" not in {other["column"] for other in about["histograms"]}
    flags = rows(tmp_path / "report")["flags"]
    assert [k for k, flag in enumerate(flags) if flag & BIT["unpredicted"]] == [0]
    for k, name in enumerate(names):
        _, page = script_arguments(tmp_path / f"report/data/samples/000/{k:06d}.js")
        other = rows(tmp_path / "plain")["names"].index(name)
        _, plain = script_arguments(tmp_path / f"plain/data/samples/000/{other:06d}.js")
        assert page["crop"] == plain["crop"] and (page["predicted"] is None) is (name not in errors)
        assert plain["predicted"] is None
    assert "NME of predictions, mean" in (tmp_path / "report/index.html").read_text(encoding="utf-8")


def test_dots_are_where_the_prediction_is(shards, predictions, tmp_path) -> None:
    name = open_shards(shards).names[3]
    points = np.full((68, 2), 31.0)  # all in one pixel
    points[0] = [10, 50]  # a box with an area
    np.save(predictions / f"{name}.npy", points)
    options = ReportOptions(names=[name], verify=False)
    evaluation = evaluate_predictions(predictions, shards)
    write_report(shards, tmp_path / "report", options=options, evaluation=evaluation)
    write_report(shards, tmp_path / "plain", options=options)
    page = script_arguments(tmp_path / "report/data/samples/000/000000.js")[1]
    assert page["predicted"] == [[10, 50], *[[31, 31]] * 67]  # drawn by the page
    thumbs = [script_arguments(tmp_path / f"{out}/data/thumbs/000/000000.js")[1][0] for out in ("report", "plain")]
    crop, plain = (picture(thumb["i"])[::2, ::2].astype(int) for thumb in thumbs)  # of twice the crop's size
    changed = np.abs(crop - plain).max(axis=2)
    places = np.argwhere(changed > 64)  # JPEG changes the rest of a block by less
    assert len(places) and all(min(abs(r - 31) + abs(c - 31), abs(r - 50) + abs(c - 10)) <= 6 for r, c in places)
    assert changed[31, 31] > 30 and changed[50, 10] > 30  # whatever the crop has there


def test_report_with_predictions_of_another_set_is_an_error(shards, predictions, tmp_path, model_path) -> None:
    evaluation = evaluate_predictions(predictions, shards)
    have(write_tree(tmp_path / "other/300W_LP"), model_path, tmp_path / "other/shards", BIGGER)
    for k, entry in enumerate(evaluation.result.names):
        evaluation.landmarks[f"other {k}"] = evaluation.landmarks.pop(entry)
    with pytest.raises(InputError, match="evaluation: none of its 8 faces with nme_68_2d is in the set"):
        write_report(
            tmp_path / "other/shards", tmp_path / "report", options=ReportOptions(verify=False), evaluation=evaluation
        )
    assert not (tmp_path / "report").exists()


def test_report_command_takes_predictions(uvgen, shards, predictions, tmp_path) -> None:
    done = uvgen("report", shards, "--out", tmp_path / "report", "--pred", predictions, "--no-verify")
    assert done.exit_code == 0, done.output
    last = open_shards(shards).names[-1]
    assert rows(tmp_path / "report")["names"][0] == last
    assert "predictions: 8 of 9 faces, NME " in done.stdout
    assert f"1 sample without a prediction, first {last}\n" in done.stderr


@pytest.mark.parametrize("scale", ["size", pytest.param("255", marks=pytest.mark.slow)])
def test_report_command_takes_predictions_that_are_normalized(uvgen, shards, predictions, tmp_path, scale) -> None:
    divisor = open_shards(shards).config.build.size if scale == "size" else 255
    for path in predictions.rglob("*.npy"):
        target = tmp_path / "divided" / path.relative_to(predictions)
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, np.load(path) / divisor)
    done = uvgen("report", shards, "--out", tmp_path / "report", "--pred", tmp_path / "divided", "--scale", scale,
                 "--no-verify")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert rows(tmp_path / "report")["names"] == evaluate_predictions(predictions, shards).worst_first()
