"""Pipes, devices, folders, sockets and dangling links in place of files that commands read: a message, no waiting."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.builds import PATIENCE_S, SMALL, have
from support.toy import write_tree

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
KINDS = ("pipe", "device", "folder", "socket", "nothing")
BUILD = "build --data data --model toy.h5 --out out --size 32 --uv-size 48 --workers 1 --quiet"
PLACES = {
    "data/AFW/AFW_001_1_0.jpg": (BUILD, "AFW_001_1_0.jpg"),
    "data/AFW/AFW_001_1_0.mat": (BUILD, "AFW_001_1_0.mat"),
    "model.h5": (BUILD.replace("toy.h5", "model.h5"), "model.h5"),
    "model.mat": (BUILD.replace("toy.h5", "model.mat"), "model.mat"),
    "list.txt": (f"{BUILD} --list list.txt", "list.txt"),
    "mask.png": (f"{BUILD} --weights mask.png", "mask.png"),
    "ranges.json": (f"{BUILD} --augment ranges.json", "ranges.json"),
    "config.json": ("augment shards --out out --config config.json --workers 1", "config.json"),
    "shards/dataset.json": ("verify shards", "dataset.json"),
    "shards/AFW-00000.h5": ("verify shards", "AFW-00000.h5"),
    "shards/constants.npz": ("verify shards", "constants.npz"),
    "shards/AFW-00001.h5": ("augment shards --out out --workers 1", "AFW-00001.h5"),
    "shards/AFW-00000.h5 ": ("export shards --to npy --out out --workers 1", "AFW-00000.h5"),
    "shards/constants.npz ": ("augment shards --out out --workers 1", "constants.npz"),
}


@pytest.fixture(scope="module")
def files(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    shutil.copy(model_path, folder / "toy.h5")
    have(write_tree(folder / "data"), model_path, folder / "shards", SMALL)
    return folder


def put(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))  # a relative one: names of sockets are short
    else:
        path.symlink_to("nothing")


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """A command that waits for ever fails, where the rest of the tests would wait too."""

    def end(*_: object) -> None:
        raise TimeoutError(f"{PATIENCE_S} s have passed")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_command_with_a_special_file_ends_with_a_message_that_names_it(
    uvgen: Any, files: Path, tmp_path: Path, place: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    put(Path(place.strip()), kind)
    words, name = PLACES[place]
    done = uvgen(*words.split())
    sample = place.startswith("data/")
    assert done.exit_code in ((0, 3) if sample else (1, 2)), done.stderr
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    if not sample:
        assert name in done.stderr, done.stderr
    elif done.exit_code == 3:
        assert "AFW_001_1_0" in (tmp_path / "out/dataset.json").read_text()


def test_command_in_a_folder_that_was_deleted_says_so(
    uvgen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    result = uvgen("info", "shards")
    monkeypatch.chdir(tmp_path)
    assert result.exit_code == 1, result.exception
    assert "the working folder: No such file or directory; it was deleted or moved; change to another" in result.stderr
