"""Memory, threads and open files that run out: for the machine's fault no file is refused and no sample skipped."""

import errno
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from support.builds import have, make
from support.photographs import write_photographs
from support.toy import write_bfm_files, write_tree

from uvgen import fit_photographs, rasterize
from uvgen.errors import DatasetError
from uvgen.images import picture
from uvgen.models.formats import matlab
from uvgen.models.morphable import MorphableModel
from uvgen.samples import read as samples_read
from uvgen.storage import npz


def failing(error: BaseException, function: Callable[..., Any], at: int = 0) -> Callable[..., Any]:
    """A function that raises an error when it is called for the `at`-th time."""
    calls = iter(range(1 << 30))

    def called(*arguments: Any, **options: Any) -> Any:
        if next(calls) == at:
            raise error
        return function(*arguments, **options)

    return called


def too_many_files() -> OSError:
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_build_without_memory_for_an_image_stops_and_names_it(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = write_tree(tmp_path / "data")
    have(tree, model_path, tmp_path / "expected")
    for at in range(4, 9):  # the first are probes
        with monkeypatch.context() as patch:
            patch.setattr(picture, "decode_image", failing(MemoryError(), picture.decode_image, at))
            with pytest.raises(
                MemoryError, match=r"IBUG_\d+_1_0\.jpg: memory ran out|AFW_\d+_1_0\.jpg: memory ran out"
            ):
                make(tree, model_path, tmp_path / "out")
    make(tree, model_path, tmp_path / "out")
    names = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert names == {path.name: path.read_bytes() for path in (tmp_path / "expected").iterdir()}


@pytest.mark.parametrize("at", [0, 7])
def test_build_with_too_many_open_files_stops(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    tree = write_tree(tmp_path / "data")
    monkeypatch.setattr(samples_read, "read_file", failing(too_many_files(), samples_read.read_file, at))
    with pytest.raises(DatasetError, match=r"Too many open files.*; raise the limit"):
        make(tree, model_path, tmp_path / "out")


def test_fit_without_memory_for_a_photograph_stops(
    model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs = write_photographs(tmp_path / "photos", 3)
    monkeypatch.setattr(picture, "decode_image", failing(MemoryError(), picture.decode_image, 1))
    with pytest.raises(MemoryError, match="memory ran out"):
        fit_photographs(photographs, tmp_path / "fitted")


def test_model_file_without_memory_is_not_called_damaged(
    model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uvgen: Callable[..., Result]
) -> None:
    write_bfm_files(tmp_path, model)
    monkeypatch.setattr(matlab, "read_variables", failing(MemoryError(), matlab.read_variables))
    result = uvgen("model", "convert", *sorted(tmp_path.glob("*.mat")), "--out", tmp_path / "bfm.h5")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "uvgen: out of memory; free some, or raise the limit (ulimit -v)"


def test_build_without_memory_says_that_fewer_workers_need_less(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uvgen: Callable[..., Result]
) -> None:
    tree = write_tree(tmp_path / "data")
    monkeypatch.setattr(picture, "decode_image", failing(MemoryError(), picture.decode_image, 0))
    result = uvgen("build", "--data", tree, "--model", model_path, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert ".jpg: memory ran out while it was read; fewer --workers need less" in result.stderr


def test_batch_without_threads_is_drawn_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    vertices = np.random.default_rng(0).uniform(0, 32, (5, 9, 3)).astype(np.float32)
    triangles = np.arange(9, dtype=np.int32).reshape(3, 3)
    expected = rasterize.rasterize(vertices, triangles, (32, 32))

    def start(thread: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", start)
    found = rasterize.rasterize(vertices, triangles, (32, 32), workers=3)
    for name in ("triangle", "weights", "depth"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_array_archive_without_memory_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "parts.npz", a=np.zeros((4, 3)))
    monkeypatch.setattr(npz, "_read_array", failing(MemoryError(), npz._read_array))
    with pytest.raises(MemoryError):
        npz.read_npz(tmp_path / "parts.npz", ["a"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them")
def test_command_with_too_little_memory_to_load_anything_says_so(tmp_path: Path) -> None:
    limited = ["bash", "-c", 'ulimit -v 400000; exec "$@"', "bash", sys.executable, "-m", "uvgen"]
    command = [*limited, "synth", "--count", "1", "--out", str(tmp_path / "out")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (1, "uvgen: limited to 390 MB (ulimit -v), expected 512 or more\n")
    assert not (tmp_path / "out").exists()


def test_library_that_cannot_be_loaded_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, uvgen: Callable[..., Result]
) -> None:
    message = "h5d.so: failed to map segment\n from shared object"
    for error in (ImportError(message), OSError(message)):
        monkeypatch.setattr("importlib.import_module", failing(error, importlib.import_module))
        result = uvgen("doctor")
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "cannot be loaded (h5d.so: failed to map segment from shared object); too little memory" in result.stderr
