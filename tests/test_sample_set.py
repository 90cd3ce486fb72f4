"""The built-in sample set: made once, by one process, again where the code has changed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import uvgen
from uvgen import find_samples, read_annotation, read_image, sample_set
from uvgen.errors import DatasetError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and only four faces for speed."""
    monkeypatch.setenv("UVGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sample_set, "COUNT", 4)
    return tmp_path / "cache"


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_builtin_samples_are_64_faces_and_their_mirror_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UVGEN_CACHE", str(tmp_path))
    samples = find_samples(sample_set.builtin_samples())
    assert [sample.subset for sample in samples] == ["IBUG"] * 64 + ["IBUG_Flip"] * 64
    assert read_image(samples[0]).shape == (450, 450, 3)
    assert read_annotation(samples[-1]).landmarks_2d is not None


def test_sample_set_is_made_once(cache: Path) -> None:
    folder = sample_set.builtin_samples()
    assert folder.parent == cache
    before = times(folder)
    assert len(before) == 17
    assert sample_set.builtin_samples() == folder
    assert times(folder) == before


def test_sample_set_that_lost_files_is_repaired(cache: Path) -> None:
    folder = sample_set.builtin_samples()
    before = times(folder)
    (folder / "IBUG/IBUG_image_0002_0.jpg").unlink()
    assert sample_set.builtin_samples() == folder
    changed = {path for path, time in times(folder).items() if before.get(path) != time}
    assert {Path(path).stem for path in changed} == {"IBUG_image_0002_0", "synth"}


def test_sample_set_without_its_index_is_made_anew(cache: Path) -> None:
    folder = sample_set.builtin_samples()
    (folder / "synth.json").unlink()
    (folder / "IBUG/IBUG_image_0001_0.mat").unlink()
    assert len(times(sample_set.builtin_samples())) == 17


def test_what_a_killed_process_left_is_finished(cache: Path) -> None:
    folder = sample_set.builtin_samples()
    os.replace(folder, folder.with_name(f".{folder.name}"))
    (folder.with_name(f".{folder.name}") / "IBUG/IBUG_image_0003_0.mat").unlink()
    assert len(times(sample_set.builtin_samples())) == 17


def test_another_version_makes_its_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sample_set.builtin_samples()
    monkeypatch.setattr(uvgen, "__version__", "99")
    other = sample_set.builtin_samples()
    assert other != folder and folder.is_dir() and other.is_dir()


def test_processes_at_once_make_it_together(tmp_path: Path) -> None:
    script = (
        "from uvgen import sample_set\nsample_set.COUNT = 6\nfolder = sample_set.builtin_samples()\n"
        "print(folder, len(list(folder.rglob('*.*'))))"
    )
    environment = {**os.environ, "UVGEN_CACHE": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = {process.communicate(timeout=120)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(answers) == 1 and answers.pop().split()[1] == "25"
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] != []


def test_cache_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UVGEN_CACHE", str(tmp_path / "file"))
    with pytest.raises(DatasetError, match="set UVGEN_CACHE"):
        sample_set.builtin_samples()


def test_cache_folder_is_the_users_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UVGEN_CACHE", raising=False)
    assert sample_set.cache_folder().is_absolute() and "uvgen" in sample_set.cache_folder().parts
    monkeypatch.setenv("UVGEN_CACHE", "~/somewhere")
    assert sample_set.cache_folder() == Path.home() / "somewhere"
