"""The command `uvgen preview`."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from support.builds import SMALL, make
from support.toy import toy_model, write_tree

from uvgen.models.morphable import make_model, save_model


@pytest.fixture(scope="module")
def shards(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preview")
    make(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder / "shards"


def test_preview_draws_a_sheet_and_says_so(uvgen: Any, shards: Path, tmp_path: Path) -> None:
    result = uvgen("preview", shards, "--out", tmp_path / "sheet.png", "--samples", 4)
    assert result.exit_code == 0, result.output
    assert re.fullmatch(r".*sheet\.png: 4 of 9 samples, \d+ x \d+ px\nlabel NME: median 1\.02%.*\n", result.stdout)
    assert result.stderr == ""
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.mode == "RGB" and f"{picture.width} x {picture.height} px" in result.stdout


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
    make(write_tree(tmp_path / "300W_LP", 1), model_path, tmp_path / "shards")
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
    make(write_tree(tmp_path / "300W_LP", 1), model_path, tmp_path / "shards", dataclasses.replace(SMALL, maps="none"))
    result = uvgen("preview", tmp_path / "shards", "--out", tmp_path / "a.png")
    assert result.exit_code == 1 and "stores no maps" in result.stderr and "--model" in result.stderr
    result = uvgen("preview", tmp_path / "shards", "--out", tmp_path / "a.png", "--model", model_path)
    assert (result.exit_code, result.stderr) == (0, "")


def test_preview_of_a_folder_without_shards_fails_with_status_1(uvgen: Any, tmp_path: Path) -> None:
    result = uvgen("preview", tmp_path, "--out", tmp_path / "a.png")
    assert result.exit_code == 1
    assert "dataset.json: no such file" in result.stderr
    assert not (tmp_path / "a.png").exists()
