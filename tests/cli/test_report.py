"""The command `uvgen report`, and `uvgen build --exclude` of what was marked in a report."""

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import pytest
from support.builds import SMALL, have
from support.toy import write_tree

from uvgen import ReportOptions, open_shards, write_report
from uvgen.errors import InputError


@pytest.fixture(scope="module")
def shards(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder / "shards"


def test_report_writes_pages_and_says_what_is_in_them(uvgen: Any, shards: Path, tmp_path: Path) -> None:
    result = uvgen("report", shards, "--out", tmp_path / "report", "--worst", 2, "--workers", 1)
    assert result.exit_code == 0, result.output
    said = r".*index\.html: 9 samples, 2 with pages, 2 with thumbnails, [\d.]+ MB\nlabel NME: median 1\.02%.*\n"
    assert re.fullmatch(said, result.stdout)
    assert (tmp_path / "report/index.html").is_file()


def test_report_takes_names_thumbnails_model_and_quiet(
    uvgen: Any, shards: Path, model_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_text("AFW/AFW_001_1_0\nIBUG/IBUG_002_1_0.jpg\n")
    arguments = ("--list", tmp_path / "names.txt", "--thumbnails", "--model", model_path, "--quiet", "--no-verify")
    result = uvgen("report", shards / "dataset.json", "--out", tmp_path / "report", "--workers", 1, *arguments)
    assert (result.exit_code, result.output) == (0, "")
    assert len([*(tmp_path / "report/data/samples").rglob("*.js")]) == 2


def test_report_says_before_it_draws_how_much_that_is(
    uvgen: Any, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "names.txt").write_text("AFW/AFW_001_1_0\nIBUG/IBUG_002_1_0.jpg\n")
    monkeypatch.chdir(tmp_path)
    arguments = ("report", shards, "--out", "report", "--overwrite", "--workers", 1, "--no-verify")
    for more, said in (
        (("--list", "names.txt"), "pages of 2 of 9 samples: about 0.3 MB, and 5 seconds with 1 worker on idle cores"),
        (("--worst", 0, "--thumbnails"), "pages of 0 of 9 samples and 9 thumbnails: about 40 kB, and 5 seconds with"),
    ):
        result = uvgen(*arguments, *more)
        assert result.exit_code == 0 and f"drawing {said}" in result.stderr, result.stderr
        assert result.stdout.startswith("report/index.html: 9 samples, ")


@pytest.mark.parametrize(("about", "said"), [
    ((1000, 2000, 2, False), "pages of 1000 of 2000 samples: about 130 MB, and 2 minutes with 2 workers on idle cores"),
    ((10, 10, 8, False), "pages of 10 of 10 samples: about 1 MB, and 5 seconds with 1 worker on"),
    ((0, 9, 2, False), "drawing no pages, only the numbers of 9 samples"),
    ((1000, 122_450, 2, True), "samples and 121450 thumbnails: about 664 MB, and 7 minutes"),
])  # fmt: skip
def test_estimate_of_a_report(about: tuple[int, int, int, bool], said: str) -> None:
    from uvgen.cli.report import _about

    assert said in _about(*about[:3], thumbnails=about[3])


def test_report_of_a_damaged_set_names_files_as_they_were_typed_and_what_to_do(
    uvgen: Any, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(shards, tmp_path / "set")
    with h5py.File(tmp_path / "set/IBUG-00000.h5") as shard:
        place = shard["image"].id.get_chunk_info(0).byte_offset
    with (tmp_path / "set/IBUG-00000.h5").open("r+b") as file:
        file.seek(place)
        old = file.read(1)
        file.seek(place)
        file.write(bytes([old[0] ^ 1]))
    monkeypatch.chdir(tmp_path)
    result = uvgen("report", "set", "--out", "report", "--worst", 0)
    assert result.exit_code == 0
    assert "\nset/IBUG-00000.h5: its SHA-256 is not the one in the index" in f"\n{result.stderr}"
    assert "set: 1 problem; `uvgen verify --repair` makes damaged files again\n" in result.stderr


def test_report_of_names_that_are_not_there_reads_nothing(
    uvgen: Any, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("uvgen.report.write.verify_shards", fail)
    (tmp_path / "names.txt").write_text("nobody\n")
    result = uvgen("report", shards, "--out", tmp_path / "report", "--list", tmp_path / "names.txt")
    assert result.exit_code == 1 and "1 listed sample is not there" in result.stderr
    with pytest.raises(InputError, match="1 listed sample is not there, first nobody"):
        write_report(shards, tmp_path / "report", options=ReportOptions(names=iter(["nobody"])))


def test_report_of_all_has_a_page_of_each(uvgen: Any, shards: Path, tmp_path: Path) -> None:
    result = uvgen("report", shards, "--out", tmp_path / "report", "--all", "--workers", 1, "--no-verify")
    assert result.exit_code == 0 and "9 with pages" in result.stdout


def test_report_where_one_is_asks_for_overwrite(uvgen: Any, shards: Path, tmp_path: Path) -> None:
    arguments = ("report", shards, "--out", tmp_path / "report", "--worst", 0, "--workers", 1)
    assert uvgen(*arguments).exit_code == 0
    result = uvgen(*arguments)
    assert result.exit_code == 1 and result.stderr.endswith("or overwrite it (--out, --overwrite)\n")
    assert uvgen(*arguments, "--overwrite").exit_code == 0


@pytest.mark.parametrize(("arguments", "status", "message"), [
    ([], 2, "--out"),
    (["--out", "r", "--worst", "-1"], 2, "--worst"),
    (["--out", "r", "--all", "--list", "names.txt"], 2, "--all and --list exclude each other"),
    (["--out", "r", "--list", "nowhere.txt"], 1, "nowhere.txt: no such file, expected a file for --list"),
    (["--out", "r", "--list", "names.txt"], 1, "names.txt: 1 listed sample is not there, first nobody"),
    (["--out", "r", "--model", "builtin"], 1, "not the model of"),
    (["--out", "names.txt"], 1, r"not empty, expected a new folder.*\(--out"),
])  # fmt: skip
def test_report_with_bad_arguments_says_which(
    uvgen: Any, shards: Path, tmp_path: Path, monkeypatch: Any, arguments: list[str], status: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("nobody\n")
    result = uvgen("report", shards, *arguments)
    assert result.exit_code == status
    assert re.search(message, result.stderr, flags=re.DOTALL), result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["names.txt"]


def test_report_of_a_set_without_maps_takes_them_from_the_model(uvgen: Any, model_path: Path, tmp_path: Path) -> None:
    have(write_tree(tmp_path / "300W_LP", 1), model_path, tmp_path / "shards", dataclasses.replace(SMALL, maps="none"))
    result = uvgen("report", tmp_path / "shards", "--out", tmp_path / "report")
    assert result.exit_code == 1 and "stores no maps, expected --model with the file of toy" in result.stderr
    arguments = ("--model", model_path, "--workers", 1, "--quiet")
    assert uvgen("report", tmp_path / "shards", "--out", tmp_path / "report", *arguments).exit_code == 0


def test_report_of_a_folder_without_shards_fails_with_status_1(uvgen: Any, tmp_path: Path) -> None:
    result = uvgen("report", tmp_path, "--out", tmp_path / "report")
    assert result.exit_code == 1 and "dataset.json: no such file" in result.stderr
    assert not [*tmp_path.iterdir()]


def test_build_leaves_excluded_samples_out_and_resumes_with_the_same_list_alone(
    uvgen: Any, tree: Path, model_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.txt").write_text("AFW/AFW_001_1_0\n\nIBUG/IBUG_002_1_0\n")
    arguments = [
        "build",
        "--data",
        tree,
        "--model",
        model_path,
        "--out",
        tmp_path / "shards",
        "--size",
        32,
        "--workers",
        1,
    ]
    result = uvgen(*arguments, "--exclude", tmp_path / "bad.txt")
    assert result.exit_code == 0, result.stderr
    names = open_shards(tmp_path / "shards").names
    assert len(names) == 7 and not {"AFW/AFW_001_1_0", "IBUG/IBUG_002_1_0"} & set(names)
    assert "nothing was left to do" in uvgen(*arguments, "--exclude", tmp_path / "bad.txt").stdout
    assert "made with 7 samples, now they are 9: another list, exclusions" in uvgen(*arguments).stderr
    (tmp_path / "bad.txt").write_text("AFW/nobody\n")
    result = uvgen(*arguments, "--exclude", tmp_path / "bad.txt", "--overwrite")
    assert result.exit_code == 1 and "1 listed sample is not there, first AFW/nobody" in result.stderr


def test_marks_of_a_whole_set_may_be_excluded_from_one_of_its_subsets(
    uvgen: Any, tree: Path, model_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.txt").write_text("AFW/AFW_001_1_0\nIBUG/IBUG_002_1_0\n")
    arguments = ["--data", tree, "--model", model_path, "--out", tmp_path / "shards", "--size", 32, "--workers", 1]
    result = uvgen("build", *arguments, "--subset", "AFW", "--exclude", tmp_path / "bad.txt")
    assert result.exit_code == 0, result.stderr
    names = open_shards(tmp_path / "shards").names
    assert names and all(name.startswith("AFW") for name in names) and "AFW/AFW_001_1_0" not in names


@pytest.mark.parametrize("option", [("--scale", "size"), ("--frame", "image"), ("--convention", "face3d")])
def test_report_refuses_options_of_predictions_without_any(
    uvgen: Any, shards: Path, tmp_path: Path, option: tuple[str, str]
) -> None:
    result = uvgen("report", shards, "--out", tmp_path / "report", *option)
    assert result.exit_code == 2 and f"{option[0]} goes with --pred" in result.stderr
    assert not (tmp_path / "report").exists()
