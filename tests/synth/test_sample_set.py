"""The built-in sample set: made once, by one process, again where the code has changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.builds import PATIENCE_S
from support.folders import contents_below

from uvgen import find_samples, read_annotation, read_image
from uvgen.errors import BusyError, DatasetError
from uvgen.storage.drafts import draft_of
from uvgen.storage.locks import locked_file
from uvgen.synth import sample_set


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and only four faces for speed."""
    monkeypatch.setenv("UVGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sample_set, "COUNT", 4)
    return tmp_path / "cache"


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
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
    os.replace(folder, draft_of(folder))
    (draft_of(folder) / "IBUG/IBUG_image_0003_0.mat").unlink()
    assert len(times(sample_set.builtin_samples())) == 17


def test_sample_set_whose_folder_is_a_link_leaves_what_it_leads_to(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "thesis").write_text("mine")
    cache.mkdir()
    folder = cache / f"samples-{sample_set._fingerprint()}"
    folder.symlink_to(tmp_path / "else")
    assert sample_set.builtin_samples() == folder and not folder.is_symlink()
    assert [path.name for path in (tmp_path / "else").iterdir()] == ["thesis"]


ODD = {
    "an index of other files": lambda folder: (folder / "synth.json").write_text('{"files_sha256": {"../x": "1"}}'),
    "an index of another program": lambda folder: (folder / "synth.json").write_text("[1]"),
    "a folder for a file": lambda folder: in_place_of(folder / "IBUG/IBUG_image_0001_0.jpg").mkdir(),
    "a link for a folder": lambda folder: in_place_of(folder / "IBUG").symlink_to(folder.parents[1] / "else"),
    "a file for the set": lambda folder: in_place_of(folder).write_text("x"),
}


def in_place_of(path: Path) -> Path:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return path


@pytest.mark.parametrize("kind", ODD)
def test_sample_set_with_something_else_in_it_is_made_again(cache: Path, tmp_path: Path, kind: str) -> None:
    folder = sample_set.builtin_samples()
    before = contents_below(folder)
    other = tmp_path / "else" / "IBUG_image_0001_0.jpg"
    other.parent.mkdir()
    other.write_text("mine")
    ODD[kind](folder)
    assert sample_set.builtin_samples() == folder
    assert contents_below(folder) == before
    assert other.read_text() == "mine"


def test_another_version_makes_its_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sample_set.builtin_samples()
    monkeypatch.setattr(sample_set, "__version__", "99")
    other = sample_set.builtin_samples()
    assert other != folder and folder.is_dir() and other.is_dir()


def test_content_is_that_of_its_version(cache: Path) -> None:
    """A sample that changed is another content: raise CONTENT_VERSION, and put the new numbers here."""
    sample = find_samples(sample_set.builtin_samples())[0]
    tiles = read_image(sample)[:448, :448].reshape(8, 56, 8, 56, 3).mean(axis=(1, 3, 4))
    expected = [
        [23, 33, 34, 38, 43, 101, 70, 92], [31, 35, 53, 90, 86, 74, 97, 86], [136, 124, 108, 120, 98, 96, 129, 101],
        [58, 68, 87, 112, 115, 81, 104, 94], [46, 56, 64, 84, 69, 89, 119, 105], [51, 62, 81, 63, 64, 119, 131, 102],
        [106, 165, 212, 195, 192, 220, 214, 197], [207, 213, 215, 215, 212, 209, 205, 200],
    ]  # fmt: skip
    assert sample_set.CONTENT_VERSION == 3
    np.testing.assert_allclose(tiles, expected, atol=0.6)  # they are rounded here
    landmarks = read_annotation(sample).landmarks_2d
    assert landmarks is not None
    expected_landmarks = [[231.5, 319.8], [212.9, 249.1], [131.3, 182.3], [272.5, 156.3]]
    np.testing.assert_allclose(landmarks[[8, 30, 36, 45]], expected_landmarks, atol=0.06)


@pytest.mark.slow
def test_processes_at_once_make_it_together(tmp_path: Path) -> None:
    script = (
        "from uvgen.synth import sample_set\nsample_set.COUNT = 6\nfolder = sample_set.builtin_samples()\n"
        "print(folder, len(list(folder.rglob('*.*'))))"
    )
    environment = {**os.environ, "UVGEN_CACHE": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = {process.communicate(timeout=PATIENCE_S)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(answers) == 1 and answers.pop().split()[1] == "25"
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] != []


def test_sample_set_that_a_stopped_process_makes_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UVGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(sample_set, "_WAIT_S", 0.0)
    lock = tmp_path / f".samples-{sample_set._fingerprint()}.lock"
    with locked_file(lock), pytest.raises(BusyError, match=r"another uvgen has been making it .* is it stopped"):
        sample_set.builtin_samples()


def test_cache_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UVGEN_CACHE", str(tmp_path / "file"))
    with pytest.raises(DatasetError, match="set UVGEN_CACHE"):
        sample_set.builtin_samples()


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_lock_that_is_no_file_is_named(cache: Path, tmp_path: Path, kind: str) -> None:
    place = cache / f".samples-{sample_set._fingerprint()}.lock"
    cache.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=rf"{place.name} is a (named )?{kind}, expected a file; remove it"):
        sample_set.builtin_samples()
    assert not (tmp_path / "elsewhere").exists()


def test_cache_folder_is_the_users_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UVGEN_CACHE", raising=False)
    assert sample_set.cache_folder().is_absolute() and "uvgen" in sample_set.cache_folder().parts
    monkeypatch.setenv("UVGEN_CACHE", "~/somewhere")
    assert sample_set.cache_folder() == Path.home() / "somewhere"


@pytest.mark.parametrize(
    "damage",
    [
        "flip in .jpg",
        "hashes missing",
        *(pytest.param(damage, marks=pytest.mark.slow) for damage in ("flip in .mat", "flip in synth.json")),
    ],
)
def test_sample_set_with_damaged_content_is_mended(cache: Path, damage: str) -> None:
    folder = sample_set.builtin_samples()
    whole = contents_below(folder)
    name = {"flip in .jpg": "IBUG/IBUG_image_0002_0.jpg", "flip in .mat": "IBUG_Flip/IBUG_image_0001_0.mat"}
    path = folder / name.get(damage, "synth.json")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(b'{"format": "uvgen-synth"}' if damage == "hashes missing" else data)
    assert sample_set.builtin_samples() == folder
    assert contents_below(folder) == whole
