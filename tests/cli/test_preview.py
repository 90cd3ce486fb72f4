"""The command `uvgen preview`."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from support.builds import SMALL, have
from support.toy import toy_model, write_tree

from uvgen import open_shards
from uvgen.models.model_file import save_model
from uvgen.models.morphable import make_model


@pytest.fixture(scope="module")
def shards(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preview")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder / "shards"


def test_preview_draws_a_sheet_and_says_so(uvgen: Any, shards: Path, tmp_path: Path) -> None:
    result = uvgen("preview", shards, "--out", tmp_path / "sheet.png", "--samples", 4)
    assert result.exit_code == 0, result.output
    assert re.fullmatch(r".*sheet\.png: 4 of 9 samples, \d+ x \d+ px\nlabel NME: median 1\.02%.*\n", result.stdout)
    assert result.stderr == ""
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.mode == "RGB" and f"{picture.width} x {picture.height} px" in result.stdout


@pytest.mark.slow
def test_preview_twice_gives_the_same_bytes_and_another_seed_another_choice(
    uvgen: Any, shards: Path, tmp_path: Path
) -> None:
    contents = []
    for name, seed in (("a.png", 0), ("b.png", 0), ("c.png", 7)):
        assert uvgen("preview", shards, "--out", tmp_path / name, "--samples", 2, "--seed", seed).exit_code == 0
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_preview_takes_names_every_and_quiet(uvgen: Any, shards: Path, model_path: Path, tmp_path: Path) -> None:
    result = uvgen(
        "preview", shards / "dataset.json", "--out", tmp_path / "sheet.jpg", "--name", "IBUG/IBUG_001_1_0",
        "--every", 2, "--model", model_path, "--quiet",
    )  # fmt: skip
    assert (result.exit_code, result.output) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.jpg"]


def test_preview_replaces_an_older_sheet(uvgen: Any, shards: Path, tmp_path: Path) -> None:
    (tmp_path / "sheet.png").write_text("older")
    assert uvgen("preview", shards, "--out", tmp_path / "sheet.png", "--samples", 1).exit_code == 0
    Image.open(tmp_path / "sheet.png").verify()


def test_preview_prints_what_is_certainly_wrong(uvgen: Any, model_path: Path, tmp_path: Path) -> None:
    have(write_tree(tmp_path / "300W_LP", 1), model_path, tmp_path / "shards")
    with h5py.File(tmp_path / "shards" / "IBUG-00000.h5", "r+") as file:
        file["posmap"][0] = file["posmap"][0][:, ::-1]
    result = uvgen("preview", tmp_path / "shards", "--out", tmp_path / "sheet.png")
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert lines and all(line.startswith("IBUG/IBUG_000_1_0: ") for line in lines)
    assert "inside out" in result.stderr


def test_preview_with_another_model_prints_it(uvgen: Any, shards: Path, tmp_path: Path) -> None:
    toy = toy_model()
    other = make_model(
        source="other", name="other", mean=toy.mean * np.float32(1.01), basis=toy.basis, shape_std=toy.shape_std,
        expression_std=toy.expression_std, triangles=toy.triangles, mouth_triangles=toy.mouth_triangles, uv=toy.uv,
        landmarks=toy.landmarks,
    )  # fmt: skip
    save_model(other, tmp_path / "other.h5")
    result = uvgen("preview", shards, "--out", tmp_path / "a.png", "--model", tmp_path / "other.h5", "--samples", 1)
    assert result.exit_code == 0
    assert result.stderr == "other is not the model that the set was built with\n"


@pytest.mark.parametrize(("arguments", "status", "message"), [
    (["--out", "a.gif"], 2, r"--out.*a\.gif: expected a name that ends in \.png"),
    (["--out", "a.png", "--samples", "25"], 2, "--samples"),
    (["--out", "a.png", "--every", "0"], 2, "--every"),
    ([], 2, "--out"),
    (["--out", "a.png", "--name", "nobody"], 1, "no sample nobody; names look like"),
    (["--out", "a.png", "--model", "missing.h5"], 1, "missing.h5: no such file"),
])  # fmt: skip
def test_preview_with_bad_arguments_says_which(
    uvgen: Any, shards: Path, tmp_path: Path, monkeypatch: Any, arguments: list[str], status: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = uvgen("preview", shards, *arguments)
    assert result.exit_code == status
    assert re.search(message, result.stderr, flags=re.DOTALL), result.stderr
    assert not list(tmp_path.iterdir())


def test_preview_of_a_set_without_maps_takes_them_from_the_model(uvgen: Any, model_path: Path, tmp_path: Path) -> None:
    have(write_tree(tmp_path / "300W_LP", 1), model_path, tmp_path / "shards", dataclasses.replace(SMALL, maps="none"))
    result = uvgen("preview", tmp_path / "shards", "--out", tmp_path / "a.png")
    assert result.exit_code == 1 and "stores no maps" in result.stderr and "--model" in result.stderr
    result = uvgen("preview", tmp_path / "shards", "--out", tmp_path / "a.png", "--model", model_path)
    assert (result.exit_code, result.stderr) == (0, "")


def test_preview_of_a_folder_without_shards_fails_with_status_1(uvgen: Any, tmp_path: Path) -> None:
    result = uvgen("preview", tmp_path, "--out", tmp_path / "a.png")
    assert result.exit_code == 1
    assert "dataset.json: no such file" in result.stderr
    assert not (tmp_path / "a.png").exists()


@pytest.fixture
def predicted(shards: Path, tmp_path: Path) -> Path:
    """Predictions of six of the nine samples, in crop sizes: the true maps, 2 px to the right."""
    reader, folder = open_shards(shards), tmp_path / "predicted"
    for sample in (reader[k] for k in range(6)):
        name = sample["name"]
        path = folder / (f"{name}.npy" if "IBUG" in name else f"{name.split('/')[1]}.npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, (sample["posmap"] + np.float32([2, 0, 0])) / len(sample["image"]))
    return folder


@pytest.mark.slow
def test_preview_of_predictions_draws_those_that_are_there(uvgen: Any, shards: Path, predicted: Path, tmp_path) -> None:
    arguments = "preview", shards, "--pred", predicted, "--scale", "size", "--out"
    result = uvgen(*arguments, tmp_path / "sheet.png")
    assert result.exit_code == 0, result.output
    assert re.fullmatch(r".*sheet\.png: 6 of 9 samples, \d+ x \d+ px\n", result.stdout)
    assert f"3 of 9 samples have no prediction in {predicted}" in result.stderr
    name = open_shards(shards).names[0]
    assert uvgen(*arguments, tmp_path / "one.png", "--name", name).exit_code == 0
    size = len(open_shards(shards)[0]["image"])
    in_px = tmp_path / "px"
    for path in predicted.rglob("*.npy"):
        target = in_px / path.relative_to(predicted)
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, np.load(path) * size)
    assert uvgen("preview", shards, "--pred", in_px, "--out", tmp_path / "px.png", "--name", name).exit_code == 0
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "px.png") as px:
        a, b = (np.asarray(picture).astype(int)[120:] for picture in (one, px))
        assert np.abs(a - b).max() < 30  # the same but for the last digits; the title has the folder's name


def test_preview_of_other_predictions_says_what_they_are(uvgen: Any, shards: Path, predicted: Path, tmp_path) -> None:
    names, empty = open_shards(shards).names, tmp_path / "empty"
    empty.mkdir()
    first = predicted / f"{names[0].split('/')[1]}.npy"
    (predicted / f"{names[8].split('/')[1]}.npy").write_bytes(b"of IBUG or of IBUG_Flip?")  # it does not count
    u = len(open_shards(shards).constants["coverage"])

    def run(*more: Any, folder: Path = predicted) -> str:
        result = uvgen("preview", shards, "--pred", folder, "--out", tmp_path / "sheet.png", "--name", names[0], *more)
        assert result.exit_code == 1 and not (tmp_path / "sheet.png").exists()
        return str(result.stderr)

    assert f"no predictions of {shards}, expected {names[0]}.npy and others" in run(folder=empty)
    assert f"no prediction of {names[8]}, expected {names[8]}.npy" in run("--name", names[8])
    assert "no sample AFW/none" in run("--name", "AFW/none")
    np.save(first, np.zeros((u, u - 1, 3), np.float32))
    assert f"{first}: float32 ({u}, {u - 1}, 3), expected a position map ({u}, {u}, 3), as the set's are" in run()
    np.save(first, np.full((u, u, 3), 1e20, np.float32))
    assert f"{first}: leads 1e+20 px away, expected px of a crop; is its scale another?" in run()
    np.save(first, np.full((u, u, 3), np.nan))
    assert f"{first}: holds NaN or infinity" in run()
    first.write_bytes(b"no array")
    assert f"{first}: damaged .npy header" in run()


def test_preview_refuses_options_that_would_change_nothing(
    uvgen: Any, shards: Path, predicted: Path, tmp_path: Path
) -> None:
    out = "--out", tmp_path / "sheet.png"
    for more, words in (
        (("--pred", predicted, "--every", 3), "--every does not go with --pred"),
        (("--pred", predicted, "--targets"), "--targets does not go with --pred"),
        (("--scale", "size"), "--scale goes with --pred"),
    ):
        result = uvgen("preview", shards, *out, *more)
        assert result.exit_code == 2 and words in " ".join(result.stderr.split())
    wrong = uvgen("preview", shards, *out, "--pred", predicted, "--scale", "size", "--model", "builtin")
    assert wrong.exit_code == 1 and "not the model of" in wrong.stderr
    assert not (tmp_path / "sheet.png").exists()
