"""`uvgen synth` on the command line."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Uvgen
from support.builds import PATIENCE_S, start, wait_for

from uvgen.models.model_file import save_model
from uvgen.models.morphable import MorphableModel

SMALL = ("--size", 96, "--workers", 1)


def test_synth_makes_a_tree_and_says_so(uvgen: Uvgen, tmp_path: Path) -> None:
    result = uvgen("synth", "--count", 2, "--subset", "IBUG", "--out", tmp_path / "faces", *SMALL)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(
        f"{tmp_path / 'faces'}: 4 samples, half of them mirror images; this run 4 samples in "
    )
    assert result.stderr == ""
    assert sorted(path.name for path in (tmp_path / "faces/IBUG_Flip").iterdir()) == [
        f"IBUG_image_000{k}_0.{suffix}" for k in (1, 2) for suffix in ("jpg", "mat")
    ]


def test_synth_then_build_needs_no_data_from_elsewhere(uvgen: Uvgen, tmp_path: Path, model_path: Path) -> None:
    faces, shards = tmp_path / "faces", tmp_path / "shards"
    assert uvgen("synth", "--count", 2, "--model", model_path, "--out", faces, *SMALL).exit_code == 0
    built = uvgen("build", "--data", faces, "--model", model_path, "--out", shards, "--size", 32, "--workers", 1)
    assert built.exit_code == 0, built.output
    assert uvgen("verify", shards, "--model", model_path).exit_code == 0


def test_synth_again_has_nothing_to_do(uvgen: Uvgen, tmp_path: Path) -> None:
    arguments = ("synth", "--count", 1, "--no-flip", "--out", tmp_path, *SMALL)
    assert uvgen(*arguments).exit_code == 0
    assert "1 sample; this run 0 samples" in uvgen(*arguments).stdout


def test_synth_quiet_says_nothing(uvgen: Uvgen, tmp_path: Path) -> None:
    result = uvgen("synth", "--count", 1, "--no-flip", "--out", tmp_path, "--quiet", *SMALL)
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--count", 0], "--count"),
        (["--count", "many"], "--count"),
        (["--count", 1, "--size", 10], "--size"),
        (["--count", 1, "--subset", "COFW"], "--subset"),
        (["--count", 1, "--workers", 0], "--workers"),
        (["--count", 1, "--quiet", "--verbose"], "exclude each other"),
        ([], "--count"),
    ],
)
def test_synth_wrong_usage(uvgen: Uvgen, tmp_path: Path, arguments: list[object], word: str) -> None:
    result = uvgen("synth", "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert word in result.stderr
    assert not (tmp_path / "out").exists()


def test_synth_refuses_a_folder_that_holds_something_else(uvgen: Uvgen, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for options in ([], ["--overwrite"]):
        result = uvgen("synth", "--count", 1, "--out", tmp_path, *SMALL, *options)
        assert result.exit_code == 1
        assert "holds something else (thesis.tex)" in result.stderr and "Traceback" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_synth_overwrite_starts_anew(uvgen: Uvgen, tmp_path: Path) -> None:
    arguments = ("synth", "--count", 1, "--out", tmp_path, *SMALL)
    assert uvgen(*arguments).exit_code == 0
    refused = uvgen(*arguments, "--seed", 5)
    assert refused.exit_code == 1 and "seed = 0, now it is 5" in refused.stderr and "--overwrite" in refused.stderr
    assert uvgen(*arguments, "--seed", 5, "--overwrite").exit_code == 0


def test_synth_without_the_model_file_fails(uvgen: Uvgen, tmp_path: Path) -> None:
    result = uvgen("synth", "--count", 1, "--model", tmp_path / "none.h5", "--out", tmp_path / "out")
    assert result.exit_code == 1 and "none.h5: no such file, expected a model" in result.stderr
    assert not (tmp_path / "out").exists()


def test_synth_says_once_that_a_model_has_no_colors(uvgen: Uvgen, tmp_path: Path, model: MorphableModel) -> None:
    for name, changes, word in (
        ("gray", {"albedo_mean": None, "albedo_basis": None, "albedo_std": None}, "gray skin"),
        ("mean", {"albedo_basis": None, "albedo_std": None}, "colors of its mean face"),
    ):
        path = tmp_path / f"{name}.h5"
        save_model(replace(model, **changes), path)  # type: ignore[arg-type]
        result = uvgen("synth", "--count", 3, "--model", path, "--out", tmp_path / name, *SMALL)
        assert result.exit_code == 0
        assert result.stderr.count("warning") == 1 and word in result.stderr


@pytest.mark.slow
def test_synth_interrupted_goes_on_later(tmp_path: Path, uvgen: Uvgen) -> None:
    arguments = ("synth", "--count", 4000, "--subset", "AFW", "--no-flip", "--size", 64, "--out", tmp_path / "out")
    process = start(*arguments, "--workers", 1)
    wait_for(lambda: (tmp_path / "out/AFW/AFW_image_0017_0.mat").exists(), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, errors
    assert "interrupted" in errors and "Traceback" not in errors
    assert not list((tmp_path / "out").glob(".uvgen-*"))
    made = len(list((tmp_path / "out/AFW").glob("*.mat")))
    assert 17 <= made < 4000
    made += 1  # the interrupt may have come between an image and its parameters
    again = uvgen("synth", "--count", made, "--subset", "AFW", "--no-flip", "--size", 64, "--out", tmp_path / "out")
    assert again.exit_code == 0, again.output


def test_synth_help_lists_its_options_in_groups(uvgen: Uvgen) -> None:
    text = uvgen("synth", "--help").stdout
    assert all(word in text for word in ("Which faces:", "What comes out:", "How it runs:", "Exit status", "Example"))
