"""The command `uvgen build`."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import scipy.io as sio
from PIL import Image
from support.builds import PATIENCE_S, file_hashes, start
from support.toy import parameters, write_sample

from uvgen import RunOptions, load_model, open_shards, verify_shards
from uvgen.datasets.config import BuildConfig
from uvgen.errors import InputError

SIZE = ("--size", 32)
ONE_LINE = r"uvgen: [^\n]*\n"


@pytest.fixture
def run(uvgen: Any, tree: Path, model_path: Path, tmp_path: Path) -> Callable[..., Any]:
    """Runs the command on the toy tree in this process, small; later options win."""

    def run(*options: object) -> Any:
        return uvgen("build", "--data", tree, "--model", model_path, "--out", tmp_path / "out", *SIZE,
                     "--workers", 1, *options)  # fmt: skip

    return run


def names(folder: Path) -> list[str]:
    return open_shards(folder).names


# What it is for


def test_build_of_a_tree_makes_a_sound_data_set(run: Callable[..., Any], model_path: Path, tmp_path: Path) -> None:
    result = run("--subset", "IBUG")
    assert result.exit_code == 0, result.output
    reader = open_shards(tmp_path / "out")
    assert [n.rpartition("/")[0] for n in reader.names] == ["IBUG"] * 3 + ["IBUG_Flip"] * 3
    assert reader[0]["image"].shape == reader[0]["posmap"].shape == (32, 32, 3)
    assert not verify_shards(tmp_path / "out", model=load_model(model_path)).problems
    assert result.stderr == ""  # but for progress, where it takes long
    megabytes = sum(path.stat().st_size for path in (tmp_path / "out").glob("*.h5")) / 1e6
    summary = rf"out: 6 samples, 0 skipped, {megabytes:.1f} MB; this run 6 samples in \d+\.\d s\n"
    assert re.search(summary, result.stdout)


@pytest.mark.slow
@pytest.mark.vital
def test_build_of_reference_data_makes_a_sound_data_set(
    uvgen: Any, reference: Path, stand_in: Path, tmp_path: Path
) -> None:
    """The main job on real files, from those that their authors distribute."""
    files = {
        "--bfm": "bfm2009/01_MorphableModel.mat", "--expression": "3ddfa/Model_Expression.mat",
        "--info": "3ddfa/model_info.mat", "--uv": "stn/BFM_UV.mat",
    }  # fmt: skip
    model, out = tmp_path / "bfm.h5", tmp_path / "shards"
    options = [part for option, name in files.items() for part in (option, stand_in / name)]
    assert uvgen("model", "convert", *options, "--out", model).exit_code == 0
    common = ("build", "--data", reference / "w300lp", "--model", model, "--out", out)
    result = uvgen(*common, "--subset", "IBUG", "--subset", "HELEN", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert uvgen("verify", out, "--model", model).exit_code == 0
    reader = open_shards(out)
    assert {n.partition("/")[0] for n in reader.names} >= {"IBUG", "HELEN", "HELEN_Flip"}
    for sample in reader:
        assert sample["image"].shape == sample["posmap"].shape == (256, 256, 3)
        assert sample["image"].mean() > 20  # a photograph, not black
        middle = sample["landmarks"][:, :2].mean(axis=0)
        assert np.abs(middle - 127.5).max() < 64  # and the face in the middle of it
        assert sample["posmap"][..., 2].min() > -0.02  # z from 0 up; texels between vertices, 1/64 px steps
    shards = list(out.glob("*.h5"))  # each holds the weight mask and the coverage besides its samples
    assert sum(path.stat().st_size for path in shards) <= 600_000 * len(reader) + 400_000 * len(shards)


def test_build_of_flat_folder_with_minimal_mat_is_enough(uvgen: Any, model_path: Path, tmp_path: Path) -> None:
    for stem in ("image00002", "image00001"):
        write_sample(tmp_path / "AFLW2000", stem)
        content = {k: v for k, v in parameters().items() if k in ("Pose_Para", "Shape_Para", "Exp_Para")}
        sio.savemat(tmp_path / f"AFLW2000/{stem}.mat", content)
    result = uvgen("build", "--data", tmp_path / "AFLW2000", "--model", model_path, "--out", tmp_path / "out", *SIZE)
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "out") == ["image00001", "image00002"]


# Options


def test_build_help_explains_options_in_groups_with_an_example(uvgen: Any) -> None:
    result = uvgen("build", "--help")
    assert result.exit_code == 0
    for group in ("What goes in:", "What comes out:", "Crops and labels:", "How it runs:"):
        assert f"\n{group}\n" in result.stdout
    for option in (
        "--data", "--model", "--subset", "--flip / --no-flip", "--list", "--exclude", "--limit", "--out", "--size",
        "--uv-size", "--workers", "--shard-size", "--seed", "--jitter", "--posmap-dtype [uint16|float32]",
        "--compression [none|gzip]", "--convention [exact|face3d]", "--weights", "--on-error [skip|fail]",
        "--overwrite", "--dry-run", "--quiet", "--verbose",
    ):  # fmt: skip
        assert re.search(rf"\n  (-\w, )?{re.escape(option)}", result.stdout), option
    assert "uvgen build --data 300W_LP/ --model bfm.h5 --subset IBUG --out shards/" in result.stdout
    assert (
        "Exit status: 0 all written, 3 some samples skipped, 1 failed or no sample can be used, 2 wrong usage"
        in result.stdout
    )


def test_uvgen_help_and_version_name_commands_and_version(uvgen: Any) -> None:
    result = uvgen("--help")
    assert result.exit_code == 0
    for command in ("build", "model", "verify"):
        assert f"\n  {command} " in result.stdout
    assert uvgen("--version").stdout == "uvgen, version 0.1.0\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--subset", "AFW", "--subset", "IBUG", "--no-flip"), ["AFW"] * 3 + ["IBUG"] * 3),
        (("--no-flip",), ["AFW"] * 3 + ["IBUG"] * 3),
        (("--limit", 4), ["AFW"] * 3 + ["IBUG"]),
        (("--limit", 1000), ["AFW"] * 3 + ["IBUG"] * 3 + ["IBUG_Flip"] * 3),
    ],
)
def test_build_with_choice_of_samples_takes_those(
    run: Callable[..., Any], tmp_path: Path, options: tuple[object, ...], expected: list[str]
) -> None:
    assert run(*options).exit_code == 0
    assert [name.partition("/")[0] for name in names(tmp_path / "out")] == expected


def test_build_with_list_takes_the_listed_samples(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# two\nIBUG_Flip/IBUG_002_1_0.jpg\n\nAFW/AFW_001_1_0\n", encoding="utf-8")
    assert run("--list", tmp_path / "list.txt").exit_code == 0
    assert names(tmp_path / "out") == ["AFW/AFW_001_1_0", "IBUG_Flip/IBUG_002_1_0"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252"])
def test_build_list_saved_by_an_editor_names_the_same_samples(
    run: Callable[..., Any], tree: Path, tmp_path: Path, encoding: str
) -> None:
    """A byte-order mark is no part of the first name, and a name in Latin-1 is the file's."""
    write_sample(tree / "AFW", "AFW_Zoë_1_0")
    (tmp_path / "list.txt").write_bytes("AFW/AFW_Zoë_1_0.jpg\r\nIBUG/IBUG_000_1_0\r\n".encode(encoding))
    result = run("--list", tmp_path / "list.txt", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "2 samples in 2 shards" in result.stdout


def test_build_options_reach_the_configuration(run: Callable[..., Any], tmp_path: Path) -> None:
    options = ("--uv-size", 48, "--shard-size", 2, "--seed", 7, "--jitter", 0, "--posmap-dtype", "float32",
               "--compression", "gzip", "--convention", "face3d", "--filter", "bilinear")  # fmt: skip
    assert run(*options).exit_code == 0
    config = open_shards(tmp_path / "out").config.build.to_plain()
    expected = {"size": 32, "uv_size": 48, "shard_size": 2, "seed": 7, "jitter": 0, "posmap_dtype": "float32",
                "compression": "gzip", "convention": "face3d", "filter": "bilinear"}  # fmt: skip
    assert config | expected == config
    assert len(list((tmp_path / "out").glob("*.h5"))) == 6


def test_build_dry_run_says_what_would_be_done_and_writes_nothing(run: Callable[..., Any], tmp_path: Path) -> None:
    result = run("--dry-run", "--shard-size", 2)
    assert result.exit_code == 0
    assert "9 samples in 6 shards" in result.stdout and "none of the shards" in result.stdout
    assert not (tmp_path / "out").exists()
    run("--shard-size", 2)
    before = file_hashes(tmp_path / "out")
    (tmp_path / "out/AFW-00000.h5").unlink()
    assert "5 of the shards are there already" in run("--dry-run", "--shard-size", 2).stdout
    assert len(file_hashes(tmp_path / "out")) == len(before) - 1


def test_build_dry_run_is_refused_where_the_build_would_be(run: Callable[..., Any], tmp_path: Path) -> None:
    run("--shard-size", 2)
    before = file_hashes(tmp_path / "out")
    for changed in (("--shard-size", 3), ("--shard-size", 2, "--limit", 4)):
        refused, plan = run(*changed), run(*changed, "--dry-run")
        assert (plan.exit_code, plan.stdout) == (1, "") and plan.stderr.splitlines()[-1] in refused.stderr
        assert "none of the shards is there" in run(*changed, "--dry-run", "--overwrite").stdout
    assert file_hashes(tmp_path / "out") == before


@pytest.mark.slow
def test_build_quiet_counts_skipped_samples_and_verbose_names_each(run: Callable[..., Any], tree: Path) -> None:
    result = run("--quiet")
    assert (result.exit_code, result.output) == (0, "")
    (tree / "AFW/AFW_000_1_0.jpg").unlink()
    result = run("--verbose", "--overwrite")
    assert result.exit_code == 3
    lines = result.stderr.splitlines()
    assert lines[0].startswith("AFW-00000.h5: 2 samples, 1 skipped")
    assert lines[1].startswith("skipped AFW/AFW_000_1_0: ") and "AFW_000_1_0.mat: no image beside it" in lines[1]
    assert sum(line.startswith("skipped") for line in lines) == 1  # not again at the end
    result = run("--quiet", "--overwrite")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("1 skipped: AFW/AFW_000_1_0: ") and result.stderr.count("\n") == 1
    (tree / "AFW/AFW_001_1_0.jpg").unlink()
    result = run("--quiet", "--overwrite")
    assert result.stderr.startswith("2 skipped, first AFW/AFW_000_1_0: ")
    assert result.stderr.endswith("; dataset.json lists them all\n")


def test_build_many_skipped_samples_are_counted_not_all_printed(run: Callable[..., Any], tree: Path) -> None:
    for k in range(30):
        write_sample(tree / "AFW", f"AFW_9{k:02d}")
        (tree / f"AFW/AFW_9{k:02d}.mat").unlink()
    result = run()
    assert result.exit_code == 3
    assert "9 samples, 30 skipped" in result.stdout
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("skipped ")]
    assert line.startswith("skipped 30 for similar reasons: AFW/AFW_900, AFW/AFW_901, AFW/AFW_902, ...; the first: ")
    assert "dataset.json lists them all" in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX systems")
@pytest.mark.slow
def test_build_on_a_terminal_shows_a_bar_with_rate_and_time_left(tree: Path, model_path: Path, tmp_path: Path) -> None:
    import pty
    import termios

    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    options = ("build", "--data", tree, "--model", model_path, "--out", tmp_path / "out", *SIZE, "--workers", 1)
    process = start(*options, stderr=slave)
    output, _ = process.communicate(timeout=PATIENCE_S)
    os.set_blocking(master, False)
    shown = ""
    with contextlib.suppress(BlockingIOError):
        while True:
            shown += os.read(master, 4096).decode(errors="replace")
    os.close(slave)
    os.close(master)
    assert process.returncode == 0
    assert re.search(r"(starting|compiling kernels, once) .*\|\s*\| 0 of 9 samples, 00:\d\d", shown)
    assert re.search(r"building\s+100%\|.*\| 9 of 9 samples, \d\d:\d\d", shown), shown
    assert "AFW-00000.h5" not in shown  # a bar takes the place of the lines
    assert output.count("\n") == 2  # the summary and the label NME, and nothing of the bar


def test_build_weights_from_file_are_stored(run: Callable[..., Any], tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "weights.png")
    np.save(tmp_path / "weights.npy", values.astype(np.float64) / 7)
    of_image = np.where(values == 255, np.float32(16), values / np.float32(16))
    for name, expected in (("weights.png", of_image), ("weights.npy", (values / 7).astype(np.float32))):
        assert run("--weights", tmp_path / name, "--overwrite", "--limit", 1).exit_code == 0
        np.testing.assert_array_equal(open_shards(tmp_path / "out").constants["weight_mask"], expected)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("small.npy", np.ones((16, 16)), r"\(16, 16\), expected \(32, 32\)"),
        ("color.npy", np.ones((32, 32, 3)), r"\(32, 32, 3\), expected \(32, 32\)"),
        ("negative.npy", np.full((32, 32), -1.0), "weights, expected weights of 0 or more"),
        ("nan.npy", np.full((32, 32), np.nan), "weights, expected weights of 0 or more"),
        ("empty.npy", np.ones((0, 0)), "expected"),
        ("text.npy", b"text", "not a readable weight mask"),
        ("text.png", b"text", "not a readable weight mask"),
        ("names.npy", np.full((32, 32), "a"), "not a readable weight mask"),
    ],
)
def test_build_weights_that_are_bad_are_refused(
    run: Callable[..., Any], tmp_path: Path, name: str, content: Any, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    result = run("--weights", path)
    assert result.exit_code == 1, result.exception
    assert re.fullmatch(ONE_LINE, result.stderr)
    assert re.search(rf"{name}.*{message}", result.stderr)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "processes"),
    [((), 1), (("--workers", 3), 3), (("--augment", "prnet", "--copies", 129), 8), (("--size", 4096), 8)],
)
def test_few_builtin_samples_are_built_without_worker_processes(
    monkeypatch: pytest.MonkeyPatch, uvgen: Any, tmp_path: Path, options: tuple[object, ...], processes: int
) -> None:
    from uvgen.cli import build

    asked = []

    def build_shards(*_: object, run: RunOptions, **__: object) -> None:
        asked.append(run.workers)
        raise InputError("enough")

    monkeypatch.setattr("uvgen.datasets.compile_ahead.UNITS", ())
    monkeypatch.setattr("uvgen.build_shards", build_shards, raising=False)
    monkeypatch.setattr("uvgen.cli.options.cores", lambda: 8)
    monkeypatch.setattr(build, "samples_of", lambda *_, **__: (["a", "b"], tmp_path))
    assert "enough" in uvgen("build", "--out", tmp_path / "out", *options).output
    assert asked == [processes]


def test_build_options_have_the_defaults_and_ranges_of_the_library() -> None:
    from uvgen.cli.build import command

    options = {param.name: param for param in command.params}
    config = BuildConfig()
    for field in dataclasses.fields(config):
        if field.name in (
            "uv_size",
            "augmentation",
            "convention",
            "maps_from",
            "maps_scale",
            "maps_offset",
            "targets",
            "meshes",
        ):
            continue
        option, expected = options[field.name], getattr(config, field.name)
        assert option.default == ("none" if field.name == "compression" else expected), field.name
        if isinstance(option.type, click.IntRange):
            for bound, beyond in ((option.type.min, -1), (option.type.max, 1)):
                if bound is not None and field.name != "seed":
                    changed = dataclasses.replace(config, augmentation="prnet", **{field.name: bound})
                    changed.check()
                    with pytest.raises(InputError, match=field.name):
                        dataclasses.replace(changed, **{field.name: bound + beyond}).check()
