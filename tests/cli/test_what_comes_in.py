"""What a command says of input that is not what it seems: names, folders, orientations, poses."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import scipy.io as sio
from PIL import Image
from support.builds import PATIENCE_S
from support.toy import parameters, picture, write_sample

from uvgen import open_shards
from uvgen.cli.main import main
from uvgen.cli.options import ModelPath


@pytest.fixture
def build(uvgen: Any, model_path: Path, tmp_path: Path) -> Callable[..., Any]:
    def build(data: Path, *options: object) -> Any:
        return uvgen("build", "--data", data, "--model", model_path, "--out", tmp_path / "out", "--size", 32,
                     "--workers", 1, *options)  # fmt: skip

    return build


def write_odd_names(folder: Path) -> None:
    for k, stem in enumerate(("人脸", "e\u0301t\u00e9", "😀")):
        write_sample(folder / "AFW", stem, k)
    write_sample(folder / "AFW", "b\u00e4d", 4)
    (folder / "AFW/b\u00e4d.jpg").write_bytes(b"no image")


IN_TURN = """
import json, sys
from uvgen.cli.main import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as ended:
        print("status", ended.code, file=sys.stderr)
"""
"""Runs several commands in a process: to start one takes longer than what they do."""


@pytest.mark.slow  # a process and its workers
@pytest.mark.parametrize("encoding", ["ascii"])  # tests in this process write UTF-8, in the next test these names
def test_any_name_passes_through_build_verify_and_preview_in_any_terminal(
    model_path: Path, tmp_path: Path, encoding: str
) -> None:
    write_odd_names(tmp_path / "데이터")
    built, sheet, files = (str(tmp_path / name) for name in ("출력", "미리.png", "files"))
    commands = [
        ["build", "--data", str(tmp_path / "데이터"), "--model", str(model_path), "--out", built, "--size", "32"],
        ["verify", built],
        ["preview", built, "--name", "AFW/人脸", "--out", sheet],
        ["export", built, "--to", "npy", "--out", files],
    ]
    done = subprocess.run([sys.executable, "-c", IN_TURN, json.dumps(commands)], capture_output=True,
                          env={**os.environ, "PYTHONIOENCODING": encoding}, timeout=PATIENCE_S)  # fmt: skip
    assert done.returncode == 0, done.stderr
    statuses = [line.split()[1] for line in done.stderr.splitlines() if line.startswith(b"status ")]
    assert statuses == [b"3", b"0", b"0", b"0"], done.stderr
    assert b"skipped AFW/b" in done.stderr
    assert open_shards(built).names == sorted(["AFW/e\u0301t\u00e9", "AFW/人脸", "AFW/😀"])
    assert Path(sheet).exists() and Path(files).is_dir()


def test_any_name_passes_through_build_verify_and_preview(
    uvgen: Any, build: Callable[..., Any], tmp_path: Path
) -> None:
    write_odd_names(tmp_path / "데이터")
    built = build(tmp_path / "데이터", "--out", tmp_path / "출력")
    assert built.exit_code == 3 and "skipped AFW/b\u00e4d" in built.stderr
    assert open_shards(tmp_path / "출력").names == sorted(["AFW/e\u0301t\u00e9", "AFW/人脸", "AFW/😀"])
    assert uvgen("verify", tmp_path / "출력").exit_code == 0
    assert uvgen("preview", tmp_path / "출력", "--name", "AFW/人脸", "--out", tmp_path / "미리.png").exit_code == 0
    assert uvgen("export", tmp_path / "출력", "--to", "npy", "--out", tmp_path / "files").exit_code == 0


def test_build_of_bytes_that_are_no_text_names_them_by_escapes(build: Any, uvgen: Any, tmp_path: Path) -> None:
    write_sample(tmp_path / "data/AFW", "a")
    for suffix in (b".jpg", b".mat"):
        folder = os.fsencode(tmp_path / "data/AFW")
        os.rename(folder + b"/a" + suffix, folder + b"/\xff\n" + suffix)  # noqa: PTH104 (bytes)
    result = build(tmp_path / "data")
    assert result.exit_code == 0, result.exception
    sample = open_shards(tmp_path / "out")[0]
    assert (sample["name"], sample["source"]) == (r"AFW/\xff\n", r"AFW/\xff\n.jpg")
    assert uvgen("verify", tmp_path / "out").exit_code == 0


def test_build_says_once_how_many_images_have_an_exif_orientation(build: Any, tree: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for stem in ("AFW_000_1_0", "AFW_002_1_0"):
        turned = np.rot90(picture())  # as a camera on its side stores it; upright it is the picture
        Image.fromarray(turned).save(tree / f"AFW/{stem}.jpg", quality=92, exif=exif.tobytes())
    ignored = build(tree)
    assert "warning: 2 images have an EXIF orientation and were taken as stored" in ignored.stderr
    assert "first AFW/AFW_000_1_0" in ignored.stderr and ignored.stderr.count("EXIF") == 1
    applied = build(tree, "--exif", "apply", "--out", tmp_path / "applied")
    assert "warning: 2 images have an EXIF orientation and were turned upright by it" in applied.stderr
    heights = [{s["name"]: int(s["image_height"]) for s in open_shards(tmp_path / out)} for out in ("out", "applied")]
    assert [height["AFW/AFW_000_1_0"] for height in heights] == [160, 120]
    assert heights[0]["AFW/AFW_001_1_0"] == 120


@pytest.mark.parametrize(
    ("number", "value", "message"),
    [(1, 45.0, "are they in degrees"), (6, -4.5e-4, "turns the face inside out"), (6, 0.45, "as if it were in px/mm")],
)
def test_build_and_preview_of_poses_that_cannot_be_meant(
    build: Any, uvgen: Any, tree: Path, tmp_path: Path, number: int, value: float, message: str
) -> None:
    content = parameters(1)
    content["Pose_Para"][0, number] = value
    sio.savemat(tree / "AFW/AFW_001_1_0.mat", content)
    result = build(tree)
    assert result.exit_code == 3 and message in result.stderr
    verified = uvgen("verify", tmp_path / "out")
    assert verified.exit_code == 0 and "8 samples in 3 shards are sound, 1 was skipped" in verified.stdout
    for path in tree.rglob("*.mat"):
        sio.savemat(path, content)
    everywhere = build(tree, "--out", tmp_path / "none")
    assert everywhere.exit_code == 1
    assert message in everywhere.stderr and everywhere.stderr.startswith("uvgen: ")


def test_verify_and_overwrite_leave_what_macos_puts_beside_shards(
    build: Any, uvgen: Any, tree: Path, tmp_path: Path
) -> None:
    assert build(tree).exit_code == 0
    for path in list((tmp_path / "out").iterdir()):
        (tmp_path / "out" / f"._{path.name}").write_bytes(b"resource fork")
    assert uvgen("verify", tmp_path / "out").exit_code == 0
    assert build(tree, "--overwrite", "--seed", 1).exit_code == 0
    assert (tmp_path / "out/._AFW-00000.h5").exists()


def test_build_without_flips_of_a_folder_of_flips_is_refused(build: Any, tmp_path: Path) -> None:
    write_sample(tmp_path / "AFW_Flip", "a")
    result = build(tmp_path / "AFW_Flip", "--no-flip")
    assert result.exit_code == 1 and "holds only mirrored images" in result.stderr and "skipped" not in result.stderr


@pytest.mark.parametrize("kind", ["damaged", "missing"])
def test_build_without_one_usable_image_ends_with_1_and_names_the_first(build: Any, tree: Path, kind: str) -> None:
    for path in tree.rglob("*.jpg"):
        path.write_bytes(b"")
    result = build(tree)
    assert result.exit_code == 1
    assert "none of 9 samples can be used; the first, " in result.stderr


def test_augment_of_which_no_copy_can_be_used_ends_with_1(build: Any, uvgen: Any, tree: Path, tmp_path: Path) -> None:
    assert build(tree).exit_code == 0
    (tmp_path / "far.json").write_text('{"translation": [1, 1], "scale": [4, 4]}')
    result = uvgen("augment", tmp_path / "out", "--config", tmp_path / "far.json", "--out", tmp_path / "aug")
    assert result.exit_code == 1, result.output
    assert "none of 9 samples can be used; the first, AFW/AFW_000_1_0-0: an augmented map leaves" in result.stderr


def every_parameter() -> Iterator[tuple[str, click.Parameter, click.ParamType]]:
    """Of all commands, with the parts of those that take several words."""
    context = click.Context(main)
    commands = [main.get_command(context, name) for name in main.list_commands(context)]
    for command in [*commands, *(one for group in commands if isinstance(group, click.Group)
                                 for one in group.commands.values())]:  # fmt: skip
        for param in command.params if command is not None else ():
            for kind in param.type.types if isinstance(param.type, click.Tuple) else (param.type,):
                yield f"{command.name} {param.name}", param, kind


def test_every_path_that_is_empty_is_refused_as_such() -> None:
    """Path("") is the working folder, which nobody means."""
    found = [(where, param, kind) for where, param, kind in every_parameter()
             if isinstance(kind, click.Path | ModelPath)]  # fmt: skip
    assert len(found) > 60
    for where, param, kind in found:
        with pytest.raises(click.BadParameter, match="an empty path, expected that of a file or a folder"):
            kind.convert("", param, None)
            pytest.fail(where)


def test_empty_path_on_the_command_line_exits_with_2(uvgen: Any) -> None:
    done = uvgen("preview", "", "--out", "sheet.png")
    assert done.exit_code == 2 and "SHARDS: an empty path, expected that of a file or a folder" in done.stderr
    done = uvgen("build", "--augment", "", "--out", "shards")
    assert done.exit_code == 2 and "--augment: an empty path: neither a preset" in done.stderr
