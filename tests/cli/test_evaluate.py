"""`uvgen evaluate`: what it prints, writes, and says by its exit status."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.builds import have
from support.realy import key_points
from support.toy import write_tree

from uvgen import open_shards
from uvgen.rasterize import write_obj


@pytest.fixture
def shards(tmp_path: Path, model_path: Path) -> Path:
    have(write_tree(tmp_path / "300W_LP"), model_path, tmp_path / "shards")
    return tmp_path / "shards"


@pytest.fixture
def predictions(shards: Path, tmp_path: Path) -> Path:
    for sample in open_shards(shards):
        path = tmp_path / "predictions" / f"{sample['name']}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, sample["posmap"] + np.random.default_rng(0).normal(0, 0.3, sample["posmap"].shape))
    return tmp_path / "predictions"


def test_evaluate_prints_tables_and_writes_a_folder(uvgen, shards, predictions, tmp_path) -> None:
    done = uvgen("evaluate", "--pred", predictions, "--truth", shards, "--out", tmp_path / "scores")
    assert done.exit_code == 0, done.output
    for words in ("truth: landmarks (9 faces", "truth: annotation", "NME 68, 2D (%)", "NME dense, 3D, dense box (%)",
                  "divided by: √(w·h) of the true face texels' box", "100 draws of"):  # fmt: skip
        assert words in done.stdout
    assert "(9 faces; |yaw| 0 to 30°: " in done.stdout
    assert done.stdout.splitlines()[-1] == (
        f"{tmp_path / 'scores'}: curve.png, curve.svg, faces.csv, scores.json, table.md"
    )
    assert (tmp_path / "scores/table.md").read_text().startswith("# predictions against shards")
    again = uvgen("evaluate", "--pred", predictions, "--truth", shards, "--out", tmp_path / "scores")
    assert again.exit_code == 1 and "holds an evaluation already" in again.stderr and "--overwrite" in again.stderr


def test_evaluate_json_is_one_object_with_every_truth(uvgen, shards, predictions) -> None:
    done = uvgen("evaluate", "--pred", predictions, "--truth", shards, "--json", "--protocol", "reshow")
    content = json.loads(done.stdout)
    assert done.exit_code == 0 and content["protocol"] == "reshow" and content["complete"]
    scores = content["truths"]["landmarks"]["scores"]
    assert scores.keys() == {"nme_dense_2d_dense_box", "nme_dense_3d_dense_box"}
    assert scores["nme_dense_2d_dense_box"]["box"] == "√(w·h) of the true face texels' box"


def test_evaluate_names_what_is_left_out_and_exits_with_3(uvgen, shards, predictions) -> None:
    names = open_shards(shards).names
    (predictions / f"{names[0]}.npy").unlink()
    np.save(predictions / f"{names[1]}.npy", np.full((48, 48, 3), np.nan))
    np.save(predictions / f"{names[2]}.npy", np.zeros((24, 24, 3)))
    done = uvgen("evaluate", "--pred", predictions, "--truth", shards)
    assert done.exit_code == 3
    assert f"no prediction: {names[0]}" in done.stderr
    assert f"NaN or infinity in the prediction: {names[1]}" in done.stderr
    assert f"not usable: {names[2]} (" in done.stderr and "a map of 24 texels per side" in done.stderr
    assert "3 of 9 faces left out of all means" in done.stderr
    assert "NME 68, 2D (%)                6" in done.stdout


def test_evaluate_doubts_predictions_in_another_convention(uvgen, shards, predictions) -> None:
    for sample in open_shards(shards):
        moved = sample["posmap"].astype(np.float64)
        moved[..., :2] += sample["image_to_crop"][:2, :2] @ [1, -1]
        np.save(predictions / f"{sample['name']}.npy", moved)
    done = uvgen("evaluate", "--pred", predictions, "--truth", shards, "--quiet")
    assert done.exit_code == 0 and done.stdout == ""
    assert "px right and" in done.stderr and "px up of the truth: face3d's convention?" in done.stderr
    named = uvgen("evaluate", "--pred", predictions, "--truth", shards, "--quiet", "--convention", "face3d")
    assert "warning" not in named.stderr


def test_evaluate_writes_submissions(uvgen, shards, predictions, tmp_path, model_path, model) -> None:
    few = tmp_path / "few"
    (few / "AFW").mkdir(parents=True)
    for path in (predictions / "AFW").iterdir():
        (few / "AFW" / path.name).write_bytes(path.read_bytes())
    write_obj(tmp_path / "BFM09.obj", model.mean, model.triangles, frame="raw")
    (tmp_path / "BFM09.txt").write_text(json.dumps(key_points(model)))
    done = uvgen("evaluate", "--pred", few, "--truth", shards, "--model", model_path, "--quiet",
                 "--submission", "dad3dheads", tmp_path / "sub.json", "--submission", "realy", tmp_path / "realy",
                 "--keypoints", tmp_path / "BFM09.txt")  # fmt: skip
    assert done.exit_code == 3, done.output  # IBUG's have no prediction
    assert len(json.loads((tmp_path / "sub.json").read_text())) == 3
    assert len(list((tmp_path / "realy/meshes").iterdir())) == 3


def test_evaluate_says_which_option_names_a_submission_that_is_there(uvgen, tmp_path) -> None:
    """Not --out, which is another output of the same command."""
    file = tmp_path / "sub.json"
    file.write_text("mine")
    arguments = ["evaluate", "--pred", "a", "--truth", "b", "--model", "builtin", "--out", tmp_path / "out"]
    done = uvgen(*arguments, "--submission", "dad3dheads", file)
    assert done.exit_code == 1 and done.stderr.endswith("or overwrite it (--submission, --overwrite)\n")
    done = uvgen(*arguments, "--submission", "dad3dheads", tmp_path)
    assert done.exit_code == 1 and done.stderr.endswith("name one in it (--submission)\n")
    done = uvgen(*arguments, "--submission", "dad3dheads", tmp_path / "x/../out")
    assert done.exit_code == 2 and "out is given twice, expected a path for each" in done.stderr
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    done = uvgen(*arguments, "--submission", "dad3dheads", tmp_path / "new.json")
    assert done.exit_code == 1 and done.stderr.endswith("(--out)\n")


@pytest.mark.parametrize(("options", "words"), [
    (["--protocol", "prnet", "--scores", "all"], "--protocol and --scores exclude each other"),
    (["--submission", "dad3dheads", "x.json"], "--submission: needs --model"),
    (["--keypoints", "x.txt"], "--keypoints and --submission realy: only together"),
    (["--protocol", "now"], "--protocol: now, expected one of prnet, 3ddfa, reshow"),
    (["--scale", "cm"], "--scale: 'cm', expected px, size, prnet, reshow, unit or a number"),
])  # fmt: skip
def test_evaluate_of_wrong_usage_exits_with_2(uvgen, options, words) -> None:
    done = uvgen("evaluate", "--pred", "a", "--truth", "b", *options)
    assert done.exit_code == 2 and words in done.stderr


def test_evaluate_without_predictions_or_truth_exits_with_1(uvgen, shards, tmp_path) -> None:
    none = uvgen("evaluate", "--pred", tmp_path / "none", "--truth", shards)
    assert none.exit_code == 1 and "no such file or folder, expected predictions" in none.stderr
    nothing = uvgen("evaluate", "--pred", shards, "--truth", tmp_path / "none")
    assert nothing.exit_code == 1
    unknown = uvgen("evaluate", "--pred", shards, "--truth", shards, "--scores", "nme")
    assert unknown.exit_code == 2 and "--scores: nme, expected one or more of all, nme_68_2d" in unknown.stderr


def test_evaluate_names_a_face_that_is_in_no_submission(uvgen, shards, predictions, tmp_path, model_path) -> None:
    shutil.rmtree(predictions / "IBUG_Flip")  # whose images have the names of IBUG's
    name = open_shards(shards).names[0]
    np.save(predictions / f"{name}.npy", np.broadcast_to(np.array([16.0, 16, 0]), (48, 48, 3)))
    done = uvgen("evaluate", "--pred", predictions, "--truth", shards, "--model", model_path, "--quiet",
                 "--scores", "nme_68_2d", "--submission", "dad3dheads", tmp_path / "sub.json")  # fmt: skip
    assert (
        f"not in the submission for dad3dheads: {name} (its prediction shows no face, or is no position map)"
        in done.stderr
    )
    assert done.exit_code == 3 and len(json.loads((tmp_path / "sub.json").read_text())) == 5
    assert f"not in the submission for dad3dheads: {open_shards(shards).names[-1]}" not in done.stderr  # named before
