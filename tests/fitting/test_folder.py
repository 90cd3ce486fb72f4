"""`uvgen.fit_photographs` and `uvgen fit`: what comes of folders of photographs, whatever is wrong with some."""

import errno
import hashlib
import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.faults import fail_reads, interrupted
from support.flushes import unflushed
from support.folders import contents_below
from support.photographs import write_photographs

from uvgen import (
    FaceDetector,
    FitOptions,
    RunOptions,
    SynthOptions,
    build_shards,
    find_samples,
    fit_photographs,
    fit_video,
    load_model,
    read_annotation,
    render_faces,
    save_model,
)
from uvgen._version import __version__
from uvgen.cli.fit import _summarize
from uvgen.datasets.config import BuildConfig
from uvgen.errors import DatasetError, DependencyError, InputError, ModelError, OutputError, SettingsError, to_install
from uvgen.fitting import detectors, worker
from uvgen.fitting import photographs as listing
from uvgen.fitting.detectors import DETECTORS
from uvgen.fitting.face_record import FaceIndex, FaceRecord
from uvgen.fitting.folder_record import _LABELS, FolderRecord
from uvgen.fitting.written import NOTE, InputFiles, noted
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.storage.journal import Journal

N = 6


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drawn")
    render_faces(out, N, options=SynthOptions(size=128, subsets=("IBUG",), flip=False))
    return out


@pytest.fixture
def photos(drawn: Path, tmp_path: Path) -> Path:
    """Photographs with their landmarks in text files beside them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for sample in find_samples(drawn):
        assert sample.image is not None
        shutil.copy(sample.image, folder / sample.image.name)
        np.savetxt(folder / f"{sample.image.stem}.txt", landmarks_of(sample), fmt="%.4f")
    return folder


def landmarks_of(sample: Any) -> NDArray[np.float64]:
    points = read_annotation(sample).landmarks_2d
    assert points is not None
    return points


def first(photos: Path) -> Path:
    return sorted(photos.glob("*.jpg"))[0]


def test_fitted_photographs_are_samples_that_build_takes(photos: Path, drawn: Path, tmp_path: Path) -> None:
    result = fit_photographs(photos, tmp_path / "fitted", options=FitOptions(jaw="fixed"))
    assert len(result.faces) == result.new_samples == N and not result.skipped and result.detector is None
    samples = find_samples(tmp_path / "fitted")
    for sample, original in zip(samples, find_samples(drawn), strict=True):
        assert sample.image is not None and original.image is not None
        assert sample.image.read_bytes() == original.image.read_bytes()
        found, true = read_annotation(sample, ("tex", "illum", "color")), read_annotation(original)
        np.testing.assert_allclose(found.landmarks_2d, true.landmarks_2d, atol=1e-3)
        assert np.abs(found.pose[:3] - true.pose[:3]).max() < np.deg2rad(3)
        assert found.extras is not None and sorted(found.extras) == ["color", "illum", "tex"]
    built = build_shards(tmp_path / "fitted", tmp_path / "shards", config=BuildConfig(size=64, uv_size=64))
    assert built.samples == N and built.quality is not None and built.quality.median < 0.005
    assert {face.source for face in result.faces} == {f"{path.stem}.txt" for path in photos.glob("*.jpg")}


def test_samples_are_on_the_disk_before_the_journal_lists_them(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = unflushed(monkeypatch)
    assert fit_photographs(photos, tmp_path / "out").new_samples == N
    assert found == {tmp_path / "out": []}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=[pytest.mark.slow, pytest.mark.long])])
def test_interrupted_runs_go_on_to_the_same_bytes(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(listing, "_BATCH", 2)
    fit_photographs(photos, tmp_path / "whole")

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fit_photographs(photos, tmp_path / "out", run=RunOptions(workers), progress=stop)
    result = fit_photographs(photos, tmp_path / "out", run=RunOptions(workers))
    assert 0 < result.new_samples < N == len(result.faces)
    assert contents_below(tmp_path / "out") == contents_below(tmp_path / "whole")
    again = fit_photographs(photos, tmp_path / "out")
    assert again.new_samples == 0 and again.faces == result.faces


@pytest.mark.parametrize("unlisted", [False, True])
def test_what_an_interrupted_run_made_is_no_sample_of_a_run_that_leaves_it_out(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unlisted: bool
) -> None:
    path = first(photos)
    points = np.loadtxt(path.with_suffix(".txt"))
    np.savetxt(path.with_suffix(".txt"), points + np.random.default_rng(0).normal(size=points.shape) * 4)
    out = tmp_path / "out"
    with interrupted(monkeypatch, "faces", unlisted=unlisted):
        fit_photographs(photos, out)
    assert (out / path.name).exists()
    (out / "mine.jpg").write_bytes(b"mine")
    strict = FitOptions(max_residual=0.02)
    (skip,) = fit_photographs(photos, out, options=strict, overwrite=True).skipped
    assert skip.image == path.name
    fit_photographs(photos, tmp_path / "whole", options=strict)
    assert contents_below(out) == {**contents_below(tmp_path / "whole"), "mine.jpg": b"mine"}


@pytest.mark.parametrize("begins_with", [[], [{"begun": ["p0"]}, 3]])
def test_overwriting_what_an_interrupted_run_lists_makes_all_of_it_anew(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins_with: list[Any]
) -> None:
    """Its faces are in its journal, not in its index yet; an earlier version's journal begins with other lines."""
    monkeypatch.setattr(listing, "_BATCH", 2)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    out, fixed = tmp_path / "out", FitOptions(jaw="fixed")
    with pytest.raises(KeyboardInterrupt):
        fit_photographs(photos, out, progress=stop)
    assert list(out.glob("*.mat")) and json.loads((out / "fit.json").read_text())["faces"] == []
    read = Journal.read_any
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "read_any", lambda journal: begins_with + read(journal))
        assert not fit_photographs(photos, out, options=fixed, overwrite=True).skipped
    fit_photographs(photos, tmp_path / "whole", options=fixed)
    assert contents_below(out) == contents_below(tmp_path / "whole")


@pytest.mark.parametrize("unlisted", [False, True])
def test_what_an_interrupted_run_made_of_other_landmarks_is_made_anew(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unlisted: bool
) -> None:
    """The landmarks are put back as they were when the index listed its face."""
    out, marks = tmp_path / "out", first(photos).with_suffix(".txt")
    fit_photographs(photos, out)
    whole, before = contents_below(out), marks.read_bytes()
    np.savetxt(marks, np.loadtxt(marks) + [8, 0], fmt="%.4f")
    with interrupted(monkeypatch, "faces", unlisted=unlisted):
        fit_photographs(photos, out)
    assert contents_below(out) != whole
    marks.write_bytes(before)
    assert fit_photographs(photos, out).new_samples == 1
    assert contents_below(out) == whole


def test_what_was_made_of_a_photograph_before_a_run_was_killed_goes_if_that_is_removed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out, every = first(photos), tmp_path / "out", FitOptions(faces="all")
    marks = path.with_suffix(".txt")
    marks.write_text(f"{marks.read_text()}\n\n{marks.read_text()}")
    with monkeypatch.context() as patch, interrupted(patch, "faces", unlisted=True):
        patch.setattr(FolderRecord, "pause", lambda _: None)
        fit_photographs(photos, out, options=every)
    assert (out / path.name).exists() and (out / f"{path.stem}-face2.mat").exists()
    mine = dict.fromkeys(("mine.jpg", f"{path.stem}-mine.jpg", f"{path.stem}-face3.jpg"), b"mine")
    for name in mine:
        (out / name).write_bytes(mine[name])
    path.unlink()
    fit_photographs(photos, out, options=every)
    fit_photographs(photos, tmp_path / "whole", options=every)
    assert contents_below(out) == {**contents_below(tmp_path / "whole"), **mine}


def test_a_file_that_somebody_puts_there_after_a_run_was_stopped_is_kept(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, last = tmp_path / "out", sorted(photos.glob("*.jpg"))[-1]
    monkeypatch.setattr(listing, "_BATCH", 2)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_photographs(photos, out, progress=stop)
    (out / last.name).write_bytes(b"mine")
    with interrupted(monkeypatch, "faces", unlisted=True):
        fit_photographs(photos, out)
    result = fit_photographs(photos, out)
    assert len(result.faces) == N - 1 and (out / last.name).read_bytes() == b"mine"
    assert [(skip.image, "would be replaced" in skip.reason) for skip in result.skipped] == [(last.name, True)]
    (out / last.name).unlink()
    fit_photographs(photos, out)
    fit_photographs(photos, tmp_path / "whole")
    assert contents_below(out) == contents_below(tmp_path / "whole")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("then", ["", "stopped", "killed"])
def test_a_file_that_somebody_puts_beside_those_that_a_run_left_is_kept(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str, overwrite: bool
) -> None:
    path, out = first(photos), tmp_path / "out"
    mine = out / path.with_suffix(".png").name
    with interrupted(monkeypatch, "faces", unlisted=True):
        fit_photographs(photos, out)
    mine.write_bytes(b"mine")
    if then:
        with monkeypatch.context() as patch, interrupted(patch, "faces", unlisted=True):
            if then == "killed":
                patch.setattr(FolderRecord, "pause", lambda _: None)
            fit_photographs(photos, out)
    path.with_suffix(".txt").write_text("1 2\n")
    assert len(fit_photographs(photos, out, overwrite=overwrite).faces) == N - 1
    assert [entry.name for entry in out.glob(f"{path.stem}.*")] == [mine.name] and mine.read_bytes() == b"mine"


@pytest.mark.parametrize("stopped_at", ["removing", "the index", "the end"])
def test_a_file_that_somebody_puts_there_after_a_run_was_stopped_before_or_after_its_work_is_kept(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_at: str
) -> None:
    out, last = tmp_path / "out", sorted(photos.glob("*.jpg"))[-1]
    whole = last.read_bytes()
    last.write_bytes(b"damaged: nothing is made of it yet")
    fit_photographs(photos, out)
    for path in photos.glob("*.txt"):
        np.savetxt(path, np.loadtxt(path) + 0.5)

    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    place, called = {
        "removing": (FaceIndex, "remove"), "the index": (FaceRecord, "_write"), "the end": (Journal, "remove")
    }[stopped_at]  # fmt: skip
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(place, called, stop)
        fit_photographs(photos, out)
    last.write_bytes(whole)
    (out / last.name).write_bytes(b"mine")
    result = fit_photographs(photos, out)
    assert len(result.faces) == N - 1 and (out / last.name).read_bytes() == b"mine"
    (out / last.name).unlink()
    fit_photographs(photos, out)
    fit_photographs(photos, tmp_path / "whole")
    assert contents_below(out) == contents_below(tmp_path / "whole")


def put(out: Path, photos: Path) -> dict[str, bytes]:
    """Files of yours in a folder, under the names of photographs that nothing was made of, and beside these."""
    names = [path.stem for path in sorted(photos.glob("*.jpg"))]
    ends = ("-face2.png", "-face2.mat", ".PNG", ".png", ".mat", ".jpg")
    mine = {f"{name}{end}": f"mine {end}".encode() for name, end in zip(names, ends, strict=True)}
    mine = {name: content for name, content in mine.items() if not (out / name).exists()}
    for name, content in mine.items():
        (out / name).write_bytes(content)
    return mine


def killed(run: Callable[[], object]) -> None:
    """Do something in a process that is killed (SIGKILL) in doing it."""
    pid = os.fork()
    if not pid:
        try:
            run()
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("when", ["before", "during", "stopped", "killed", "between"])
def test_your_file_is_kept_whenever_it_comes(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, overwrite: bool
) -> None:
    out, mine = tmp_path / "out", dict[str, bytes]()
    monkeypatch.setattr(listing, "_BATCH", 2)

    def come(_: object) -> None:
        mine.update(mine or put(out, photos))
        if when == "stopped":
            raise KeyboardInterrupt

    if when == "before":
        held = [path.rename(tmp_path / path.name) for path in sorted(photos.glob("*.jpg"))[1:]]
        fit_photographs(photos, out)
        for path in held:
            path.rename(photos / path.name)
        mine = put(out, photos)
    elif when == "killed":
        killed(lambda: fit_photographs(photos, out, progress=die))
        mine = put(out, photos)
    else:
        with pytest.raises(KeyboardInterrupt) if when == "stopped" else nullcontext():
            fit_photographs(photos, out, progress=(lambda _: None) if when == "between" else come)
        mine = mine or put(out, photos)
    result = fit_photographs(photos, out, overwrite=overwrite)
    taken = {name for name in mine if "face2" not in name and not name.lower().endswith(".png")}
    assert sorted(skip.image for skip in result.skipped) == sorted(f"{Path(name).stem}.jpg" for name in taken)
    assert all(f"{out / Path(skip.name)}." in skip.reason for skip in result.skipped)
    assert all("would be replaced" in skip.reason for skip in result.skipped) and len(result.faces) == N - len(taken)
    assert {name: (out / name).read_bytes() for name in mine} == mine
    for name in mine:
        (out / name).unlink()
    assert fit_photographs(photos, out).new_samples == len(taken)
    fit_photographs(photos, tmp_path / "whole")
    assert contents_below(out) == contents_below(tmp_path / "whole")


@pytest.mark.parametrize("content", ["mine", "the same"])
def test_your_file_that_comes_when_a_further_face_is_written_costs_all_faces_of_the_photograph(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    path, out, every = first(photos), tmp_path / "out", FitOptions(faces="all")
    marks, data = path.with_suffix(".txt"), path.read_bytes() if content == "the same" else b"mine"
    marks.write_text(f"{marks.read_text()}\n\n{marks.read_text()}")
    mine, place = out / f"{path.stem}-face2.jpg", InputFiles._place

    def come(files: InputFiles, temporary: Path, target: Path) -> None:
        if target == mine:
            mine.write_bytes(data)
        place(files, temporary, target)

    with monkeypatch.context() as patch:
        patch.setattr(InputFiles, "_place", come)
        result = fit_photographs(photos, out, options=every)
    (skip,) = result.skipped
    assert skip.name == path.stem and f"{mine} would be replaced" in skip.reason and len(result.faces) == N - 1
    assert [entry.name for entry in out.glob(f"{path.stem}*")] == [mine.name] and mine.read_bytes() == data
    assert fit_photographs(photos, out, options=every).skipped == result.skipped and mine.read_bytes() == data
    mine.unlink()
    assert fit_photographs(photos, out, options=every).new_samples == 2
    fit_photographs(photos, tmp_path / "whole", options=every)
    assert contents_below(out) == contents_below(tmp_path / "whole")


@pytest.mark.parametrize("is_left_out", [False, True])
@pytest.mark.parametrize("moment", ["noted", "one file", "written", "listed"])
def test_what_a_killed_run_left_goes_whatever_it_was_doing(
    photos: Path, tmp_path: Path, moment: str, is_left_out: bool
) -> None:
    out, place, places = tmp_path / "out", InputFiles._place, list[Path]()

    def place_or_die(files: InputFiles, temporary: Path, target: Path) -> None:
        if moment == "noted":
            die()
        place(files, temporary, target)
        places.append(target)
        if moment == "one file":
            die()

    def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(InputFiles, "_place", place_or_die)
            if moment == "written":
                patch.setattr(FaceRecord, "add", die)
            fit_photographs(photos, out, progress=die)

    killed(run)
    n_written = {"noted": 0, "one file": 1, "written": 2 * N, "listed": 2 * N}[moment]
    assert len([path for path in out.iterdir() if path.name[0] != "." and path.name != "fit.json"]) == n_written
    if is_left_out:
        for path in sorted(photos.glob("*.txt"))[:-1]:
            path.write_text("1 2\n")
    fit_photographs(photos, out)
    fit_photographs(photos, tmp_path / "whole")
    assert contents_below(out) == contents_below(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["lost", "cut short", "changed", "no note"])
def test_what_a_run_left_counts_as_yours_if_its_note_is_damaged(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    out = tmp_path / "out"
    with interrupted(monkeypatch, "faces", unlisted=True):
        fit_photographs(photos, out)
    (path,) = out.glob(f"{NOTE}*")
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "lost":
        path.unlink()
    else:
        last = {"cut short": lines[-1][:-9], "changed": lines[-1].replace(b'": "', b'": " ', 1), "no note": b"text"}
        path.write_bytes(b"".join([*(lines[:-1] if damage != "no note" else ()), last[damage]]))
    n_lost = 1 if damage in ("cut short", "changed") else N
    before = contents_below(out)
    if n_lost == N:
        with pytest.raises(DatasetError, match=f"none of {N} photographs can be used; .*would be replaced"):
            fit_photographs(photos, out)
    else:
        assert len(fit_photographs(photos, out).faces) == N - 1
    kept = {name: data for name, data in contents_below(out).items() if before.get(name) == data}
    assert len([name for name in kept if name.endswith((".jpg", ".mat"))]) >= 2 * n_lost
    for name in (f"{path.stem}{end}" for path in photos.glob("*.jpg") for end in (".jpg", ".mat")):
        (out / name).unlink()
    assert fit_photographs(photos, out).new_samples == N
    fit_photographs(photos, tmp_path / "whole")
    assert contents_below(out) == contents_below(tmp_path / "whole")


def test_a_note_is_on_the_disk_before_a_file_has_its_name(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, flushed, link, made = tmp_path / "out", set[tuple[int, int]](), os.link, list[str]()

    def state(path: Path) -> tuple[int, int]:
        return path.stat().st_ino, path.stat().st_size

    def checked(old: Path, new: Path) -> None:
        (note,) = out.glob(f"{NOTE}*")
        assert state(note) in flushed and state(old) in flushed
        assert noted(out)[new.name] == {hashlib.sha256(old.read_bytes()).hexdigest()}
        made.append(new.name)
        link(old, new)

    def flush(handle: int) -> None:
        flushed.add((os.fstat(handle).st_ino, os.fstat(handle).st_size))

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "link", checked)
    fit_photographs(photos, out)
    assert sorted(made) == sorted(f"{path.stem}{end}" for path in photos.glob("*.jpg") for end in (".jpg", ".mat"))


def test_a_disk_without_hard_links_gets_the_same_files_and_keeps_yours(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, last = tmp_path / "out", sorted(photos.glob("*.jpg"))[-1]
    fit_photographs(photos, tmp_path / "whole")

    def fail(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr(listing, "_BATCH", 2)
    (skip,) = fit_photographs(photos, out, progress=lambda _: (out / last.name).write_bytes(b"mine")).skipped
    assert skip.image == last.name and (out / last.name).read_bytes() == b"mine"
    (out / last.name).unlink()
    assert fit_photographs(photos, out).new_samples == 1
    assert contents_below(out) == contents_below(tmp_path / "whole")


@pytest.mark.parametrize("overwrite", [False, True])
def test_your_file_in_the_place_of_a_sample_that_was_being_made_anew_is_kept(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """The index lists that sample until the run ends."""
    path, out = first(photos), tmp_path / "out"
    fit_photographs(photos, out)
    mine, marks = out / f"{path.stem}.mat", path.with_suffix(".txt")
    np.savetxt(marks, np.loadtxt(marks) + 1)
    with interrupted(monkeypatch, "faces", unlisted=True):
        fit_photographs(photos, out)
    mine.unlink()
    mine.write_bytes(b"mine")
    (skip,) = fit_photographs(photos, out, overwrite=overwrite).skipped
    assert skip.name == path.stem and [file.read_bytes() for file in out.glob(f"{path.stem}.*")] == [b"mine"]


@pytest.mark.parametrize("stopped_at", ["removing", "removed"])
def test_a_run_that_is_killed_while_it_removes_a_sample_is_gone_on_with(
    photos: Path, tmp_path: Path, stopped_at: str
) -> None:
    path, out = first(photos), tmp_path / "out"
    fit_photographs(photos, out)
    marks = path.with_suffix(".txt")
    whole, before = contents_below(out), marks.read_bytes()
    np.savetxt(marks, np.loadtxt(marks) + 1)

    def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(*((FaceIndex, "remove", die) if stopped_at == "removing" else (worker, "fit_landmarks", die)))
            fit_photographs(photos, out)

    killed(run)
    assert (out / path.name).exists() == (stopped_at == "removing")
    marks.write_bytes(before)
    assert fit_photographs(photos, out).new_samples == 1
    assert contents_below(out) == whole


@pytest.mark.parametrize("folds", [True, False])
def test_samples_of_photographs_renamed_in_case_alone_stay_where_the_disk_ignores_case(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: bool
) -> None:
    path, out = first(photos), tmp_path / "out"
    with interrupted(monkeypatch, "faces", unlisted=True):
        fit_photographs(photos, out)
    old, new = path.stem, path.stem.swapcase()
    for end in (".jpg", ".txt"):
        (photos / f"{old}{end}").rename(photos / f"{new}{end}")

    def fold(_: object) -> None:  # such a disk goes on to list the first name, of the file that has the new one too
        for end in (".jpg", ".mat") if folds else ():
            os.link(out / f"{new}{end}", out / f"{old}{end}")

    assert len(fit_photographs(photos, out, progress=fold).faces) == N
    assert [(out / f"{old}{end}").exists() for end in (".jpg", ".mat")] == [folds] * 2
    assert all((out / f"{new}{end}").is_file() for end in (".jpg", ".mat"))


def test_samples_that_somebody_put_there_are_kept_whatever_is_left_out(photos: Path, tmp_path: Path) -> None:
    path, out = first(photos), tmp_path / "out"
    points = np.loadtxt(path.with_suffix(".txt"))
    np.savetxt(path.with_suffix(".txt"), points + np.random.default_rng(0).normal(size=points.shape) * 4)
    strict = FitOptions(max_residual=0.02)
    assert [skip.image for skip in fit_photographs(photos, out, options=strict).skipped] == [path.name]
    for suffix in (path.suffix, ".mat"):
        (out / path.with_suffix(suffix).name).write_bytes(b"mine")
    shutil.copy(first(photos), photos / "more.jpg")
    shutil.copy(sorted(photos.glob("*.txt"))[-1], photos / "more.txt")
    fit_photographs(photos, out, options=strict)
    assert (out / path.name).read_bytes() == (out / path.with_suffix(".mat").name).read_bytes() == b"mine"


@pytest.mark.parametrize("end", [".jpg", ".mat"])
def test_a_photograph_whose_sample_would_replace_somebodys_file_is_left_out(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    out, mine = tmp_path / "out", tmp_path / "out" / f"more{end}"
    fit_photographs(photos, out)
    for made in (".jpg", ".txt"):
        shutil.copy(first(photos).with_suffix(made), photos / f"more{made}")
    mine.write_bytes(b"mine")
    for overwrite in (False, True):
        result = fit_photographs(photos, out, overwrite=overwrite)
        assert len(result.faces) == N and mine.read_bytes() == b"mine"
        assert [(skip.name, f"{mine} would be replaced" in skip.reason) for skip in result.skipped] == [("more", True)]
    mine.unlink()
    with interrupted(monkeypatch, "faces", unlisted=True):
        fit_photographs(photos, out)
    assert mine.exists() and fit_photographs(photos, out).new_samples == 1  # of a run that has begun with it


def test_somebodys_files_beside_a_sample_stay_when_it_is_made_anew(photos: Path, tmp_path: Path) -> None:
    """A drawing of it, say, as PNG beside the JPEG."""
    path, out = first(photos), tmp_path / "out"
    fit_photographs(photos, out)
    mine = out / path.with_suffix(".png").name
    mine.write_bytes(b"mine")
    points = path.with_suffix(".txt")
    np.savetxt(points, np.loadtxt(points) + 1)
    assert fit_photographs(photos, out).new_samples == 1 and mine.read_bytes() == b"mine"
    fit_photographs(photos, out, options=FitOptions(max_residual=0.3), overwrite=True)
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize("stopped", [False, True])
def test_somebodys_files_beside_a_sample_stay_when_its_photograph_is_left_out(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    path, out = first(photos), tmp_path / "out"
    fit_photographs(photos, out)
    whole, marks = contents_below(out), path.with_suffix(".txt")
    mine, before = out / path.with_suffix(".png").name, marks.read_bytes()
    mine.write_bytes(b"mine")
    if stopped:  # a run that has begun with it
        np.savetxt(marks, np.loadtxt(marks) + [8, 0], fmt="%.4f")
        with interrupted(monkeypatch, "faces", unlisted=True):
            fit_photographs(photos, out)
    marks.write_text("1 2\n")
    assert len(fit_photographs(photos, out).skipped) == 1 and mine.read_bytes() == b"mine"
    assert [entry.name for entry in out.glob(f"{path.stem}.*")] == [mine.name]
    marks.write_bytes(before)
    assert not fit_photographs(photos, out).skipped
    assert contents_below(out) == {**whole, mine.name: b"mine"}


def test_a_photograph_with_another_suffix_is_made_anew_and_what_is_left_out_of_it_named(
    photos: Path, tmp_path: Path
) -> None:
    path, out, every = first(photos), tmp_path / "out", FitOptions(faces="all")
    marks = path.with_suffix(".txt")
    odd = "".join(f"{40 + k / 4} {40 + k * 37 % 13}\n" for k in range(68))  # no face, and smaller
    marks.write_text(f"{marks.read_text()}\n{odd}")
    (skip,) = fit_photographs(photos, out, options=every).skipped
    assert (skip.name, skip.image) == (f"{path.stem}-face2", path.name)
    path.rename(path.with_suffix(".jpeg"))
    (skip,) = fit_photographs(photos, out, options=every).skipped
    assert (skip.name, skip.image) == (f"{path.stem}-face2", f"{path.stem}.jpeg")
    fit_photographs(photos, tmp_path / "whole", options=every)
    assert contents_below(out) == contents_below(tmp_path / "whole")


def test_a_photograph_of_which_a_further_face_would_replace_somebodys_file_is_left_out(
    photos: Path, tmp_path: Path
) -> None:
    path, out, every = first(photos), tmp_path / "out", FitOptions(faces="all")
    fit_photographs(photos, out, options=every)
    mine = out / f"{path.stem}-face2.mat"
    mine.write_bytes(b"mine")
    points = path.with_suffix(".txt")
    points.write_text(f"{points.read_text()}\n\n{points.read_text()}")
    result = fit_photographs(photos, out, options=every)
    assert [skip.image for skip in result.skipped] == [path.name] and "would be replaced" in result.skipped[0].reason
    assert mine.read_bytes() == b"mine"
    assert not fit_photographs(photos, tmp_path / "out", options=FitOptions(), overwrite=True).skipped  # the largest
    assert mine.read_bytes() == b"mine"


def test_more_photographs_are_added_and_missing_files_made_anew(photos: Path, tmp_path: Path) -> None:
    fit_photographs(photos, tmp_path / "whole")
    away = first(photos)
    away.rename(tmp_path / away.name)
    fit_photographs(photos, tmp_path / "out")
    (tmp_path / away.name).rename(away)
    sorted((tmp_path / "out").glob("*.mat"))[0].unlink()
    assert fit_photographs(photos, tmp_path / "out").new_samples == 2
    assert contents_below(tmp_path / "out") == contents_below(tmp_path / "whole")


@pytest.mark.parametrize("unread", [".jpg", ".txt"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_photographs_whose_disk_does_not_answer_cost_no_finished_face(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, unread: str
) -> None:
    fit_photographs(photos, tmp_path / "out")
    before = contents_below(tmp_path / "out")
    with monkeypatch.context() as patch:
        fail_reads(patch, unread, number)
        if number == errno.EMFILE:
            with pytest.raises(DatasetError, match=r"cannot be read \(Too many open files\); raise the limit"):
                fit_photographs(photos, tmp_path / "out")
        else:
            assert fit_photographs(photos, tmp_path / "out").new_samples == 0
    assert contents_below(tmp_path / "out") == before


@pytest.mark.parametrize("lost", [".jpg", ".txt"])
def test_photographs_that_are_links_to_a_disk_that_is_not_there_cost_no_finished_face(
    photos: Path, tmp_path: Path, lost: str
) -> None:
    disk = photos.rename(tmp_path / "disk")
    photos.mkdir()
    for path in sorted(disk.iterdir()):
        if path.is_file():
            (photos / path.name).symlink_to(path)
    made = len(fit_photographs(photos, tmp_path / "out").faces)
    before = contents_below(tmp_path / "out")
    for path in sorted(disk.glob(f"*{lost}")):
        path.rename(path.with_name(f".{path.name}"))
    result = fit_photographs(photos, tmp_path / "out")
    assert (result.new_samples, len(result.faces)) == (0, made) and contents_below(tmp_path / "out") == before


def test_a_face_is_made_anew_if_its_table_states_another_size_of_the_photograph(photos: Path, tmp_path: Path) -> None:
    """Points of a picture of another size are not a photograph's, though they are the same numbers."""
    names, table = [path.name for path in sorted(photos.glob("*.jpg"))], tmp_path / "t.json"

    def state(*sizes: int) -> None:
        entries = [
            {"image": name, "landmarks": np.loadtxt(photos / f"{Path(name).stem}.txt").tolist(), "image_size": [n, n]}
            for name, n in zip(names, sizes, strict=True)
        ]
        table.write_text(json.dumps(entries))

    def made() -> Any:
        return fit_photographs(photos, tmp_path / "out", landmarks=table, detector=None)

    state(*[0] * N)
    assert made().new_samples == N
    state(900, 128, *[0] * (N - 2))
    again = made()
    assert [skip.image for skip in again.skipped] == names[:1] and again.new_samples == 1
    assert "marked in an image of 900×900 px, expected 128×128" in again.skipped[0].reason
    assert made().new_samples == 0


@pytest.mark.parametrize("pointer", ["version https://git-lfs.github.com/spec/v1\noid", "/annex/objects/X\n"])
@pytest.mark.parametrize("suffix", [".jpg", ".txt"])
def test_photographs_whose_files_are_not_fetched_cost_no_finished_face(
    photos: Path, tmp_path: Path, pointer: str, suffix: str
) -> None:
    fit_photographs(photos, tmp_path / "out")
    before = contents_below(tmp_path / "out")
    first(photos).with_suffix(suffix).write_text(pointer)
    assert fit_photographs(photos, tmp_path / "out").new_samples == 0
    assert contents_below(tmp_path / "out") == before


def test_a_finished_sample_that_cannot_be_deleted_is_an_error(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_photographs(photos, tmp_path / "out")
    Image.fromarray(np.full((128, 128, 3), 9, np.uint8)).save(first(photos))
    unlink = Path.unlink

    def fail(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".mat":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(DatasetError, match=r"out/.*\.mat: cannot be removed \(.*busy\); check permissions"):
        fit_photographs(photos, tmp_path / "out")


def test_photographs_of_one_name_share_no_landmarks(photos: Path, tmp_path: Path) -> None:
    """What is marked of alice's photograph is not bob's, although both are called 1.jpg."""
    one, other = sorted(photos.glob("*.jpg"))[:2]
    marks = {"alice/1.jpg": np.loadtxt(one.with_suffix(".txt")).tolist()}
    for folder, photograph in (("alice", one), ("bob", other)):
        (tmp_path / "all" / folder).mkdir(parents=True)
        shutil.copy(photograph, tmp_path / "all" / folder / "1.jpg")
    table = tmp_path / "marks.json"
    table.write_text(json.dumps(marks))
    result = fit_photographs(tmp_path / "all", tmp_path / "out", landmarks=table, detector=None)
    assert [face.name for face in result.faces] == ["alice/1"]
    assert [skip.name for skip in result.skipped] == ["bob/1"] and "not among the images" in result.skipped[0].reason
    table.write_text(json.dumps({"1.jpg": marks["alice/1.jpg"]}))
    with pytest.raises(DatasetError, match=r"may be of .*bob/1\.jpg as well"):
        fit_photographs(tmp_path / "all", tmp_path / "out2", landmarks=table, detector=None)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:900])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no landmarks": (lambda p: p.with_suffix(".txt").unlink(), "no landmarks in"),
    "no image": (lambda p: p.write_text("text"), "not a readable image"),
    "cut short": (cut_short, "not a readable image"),
    "few points": (lambda p: p.with_suffix(".txt").write_text("1 2\n3 4\n5 6\n"), "expected 5, 21, 68"),
    "text": (lambda p: p.with_suffix(".txt").write_text("left eye\n"), "left eye"),
    "outside": (lambda p: shift(p, 500), "lie outside of the image"),
    "shares": (lambda p: scale(p, 1 / 128), "landmarks lie within 8 px"),
    "oblique line": (
        lambda p: np.savetxt(p.with_suffix(".txt"), np.arange(20.0, 88)[:, None] * [1, 0.7]),
        "in one line",
    ),
    "mirrored": (lambda p: reorder(p, LANDMARK_MIRROR), "mirrored: left and right exchanged"),
    "two files": (lambda p: np.save(p.with_suffix(".npy"), np.zeros((68, 2))), "two files of landmarks"),
    "two images": (lambda p: Image.open(p).save(p.with_suffix(".png")), "another photograph has the same name"),
    "hostile": (lambda p: (p.with_suffix(".txt").unlink(), hostile(p.with_suffix(".npy"))), ".npy"),
}


def shift(path: Path, pixels: float) -> None:
    np.savetxt(path.with_suffix(".txt"), np.loadtxt(path.with_suffix(".txt")) + pixels)


def scale(path: Path, factor: float) -> None:
    np.savetxt(path.with_suffix(".txt"), np.loadtxt(path.with_suffix(".txt")) * factor)


def reorder(path: Path, order: NDArray[Any]) -> None:
    np.savetxt(path.with_suffix(".txt"), np.loadtxt(path.with_suffix(".txt"))[order])


def hostile(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_photograph_costs_itself_and_is_named(photos: Path, tmp_path: Path, kind: str) -> None:
    change, words = BAD[kind]
    path = first(photos)
    original, landmarks = path.read_bytes(), path.with_suffix(".txt").read_bytes()
    change(path)
    result = fit_photographs(photos, tmp_path / "out", detector=None)
    assert len(result.faces) == N - 1 and result.skipped
    assert all(words in skip.reason and path.stem in skip.reason for skip in result.skipped), result.skipped
    stated = json.loads((tmp_path / "out/fit.json").read_text())
    assert [skip["reason"] for skip in stated["skipped"]] == [skip.reason for skip in result.skipped]
    for leftover in photos.glob(f"{path.stem}.*"):
        leftover.unlink()
    path.write_bytes(original)
    path.with_suffix(".txt").write_bytes(landmarks)
    mended = fit_photographs(photos, tmp_path / "out", detector=None)  # the same command takes what was mended
    assert mended.new_samples == 1 and not mended.skipped
    fit_photographs(photos, tmp_path / "whole", detector=None)
    assert contents_below(tmp_path / "out") == contents_below(tmp_path / "whole")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names of any bytes")
def test_a_skipped_photograph_whose_name_is_no_text_leaves_a_folder_that_is_gone_on_with(
    photos: Path, tmp_path: Path
) -> None:
    good = first(photos)
    for name in (b"bad\xff\n\x1b", b"good\xfe"):
        shutil.copy(good, os.fsencode(photos) + b"/" + name + b".jpg")
        shutil.copy(good.with_suffix(".txt"), os.fsencode(photos) + b"/" + name + b".txt")
    (photos / os.fsdecode(b"bad\xff\n\x1b.jpg")).write_bytes(b"no picture")
    made = fit_photographs(photos, tmp_path / "fitted", options=FitOptions(jaw="fixed"))
    assert [skip.name for skip in made.skipped] == [r"bad\xff\n\x1b"] and made.skipped[0].reason.isprintable()
    assert r"good\xfe" in {face.name for face in made.faces}
    again = fit_photographs(photos, tmp_path / "fitted", options=FitOptions(jaw="fixed"))
    assert again.new_samples == 0 and again.skipped == made.skipped and again.faces == made.faces


def test_faces_above_the_largest_residual_are_left_out(photos: Path, tmp_path: Path) -> None:
    path = first(photos)
    points = np.loadtxt(path.with_suffix(".txt"))
    np.savetxt(path.with_suffix(".txt"), points + np.random.default_rng(0).normal(size=points.shape) * 4)
    kept = fit_photographs(photos, tmp_path / "all")
    assert len(kept.faces) == N and max(kept.faces, key=lambda face: face.residual).image == path.name
    result = fit_photographs(photos, tmp_path / "out", options=FitOptions(max_residual=0.02))
    (skip,) = result.skipped
    assert skip.image == path.name and "expected 2.0% at most" in skip.reason


def test_the_largest_residual_may_be_given_as_it_is_without(photos: Path, tmp_path: Path) -> None:
    fit_photographs(photos, tmp_path / "out", options=FitOptions(max_residual=0.15))
    before = contents_below(tmp_path / "out")
    assert fit_photographs(photos, tmp_path / "out").new_samples == 0
    assert contents_below(tmp_path / "out") == before


def test_folders_become_subsets_and_persons_get_one_shape(photos: Path, tmp_path: Path) -> None:
    for k, path in enumerate(sorted(photos.glob("*.jpg"))):
        folder = photos / ("a/deep_Flip" if k < 3 else ".hidden" if k == 5 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        for file in (path, path.with_suffix(".txt")):
            file.rename(folder / file.name)
    result = fit_photographs(photos, tmp_path / "out", options=FitOptions(same_person=True))
    assert sorted({face.name.split("/")[0] for face in result.faces}) == ["a-deep_Flip-", "b"]
    shapes = {sample.name: read_annotation(sample).shape for sample in find_samples(tmp_path / "out")}
    assert len({shape.tobytes() for shape in shapes.values()}) == 2 and len(shapes) == 5
    assert not any(sample.flipped for sample in find_samples(tmp_path / "out"))


@pytest.mark.parametrize("overwrite", [False, True])
def test_run_that_fails_before_its_index_is_there_can_be_repeated(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """Also where photographs lie in folders, which would count as somebody else's in a folder without an index."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (photos / "a").mkdir()
    for path in [*photos.glob("*.*")]:
        path.rename(photos / "a" / path.name)
    if overwrite:
        fit_photographs(photos, tmp_path / "out", options=FitOptions(max_residual=14))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(DatasetError, match="No space left"):
            fit_photographs(photos, tmp_path / "out", overwrite=overwrite)
    assert len(fit_photographs(photos, tmp_path / "out", overwrite=overwrite).faces) == N


def test_the_output_may_lie_among_the_photographs(photos: Path) -> None:
    fit_photographs(photos, photos / "out")
    assert fit_photographs(photos, photos / "out").new_samples == 0


def rotated(path: Path) -> bytes:
    """The picture as a phone stores it that was held upright: turned, with an EXIF orientation that turns it back."""
    image = Image.open(path).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95, exif=exif)
    return stream.getvalue()


def test_photographs_of_phones_are_turned_upright(photos: Path, tmp_path: Path) -> None:
    expected = fit_photographs(photos, tmp_path / "upright")
    for path in photos.glob("*.jpg"):
        path.write_bytes(rotated(path))
    result = fit_photographs(photos, tmp_path / "out")
    assert [face.residual for face in result.faces] == [face.residual for face in expected.faces]
    name = first(photos).name
    a, b = (np.asarray(Image.open(tmp_path / folder / name), float) for folder in ("upright", "out"))
    assert a.shape == b.shape and np.abs(a - b).mean() < 3
    assert not Image.open(tmp_path / "out" / name).getexif()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (FitOptions(jaw="fixed"), SettingsError, "was made with jaw = contour, now it is fixed"),
        (FitOptions(same_person=True), SettingsError, "same_person"),
        (FitOptions(max_residual=0.5), SettingsError, "max_residual"),
    ],
)
def test_a_folder_made_otherwise_is_refused_and_can_be_overwritten(
    photos: Path, tmp_path: Path, change: FitOptions, error: type[Exception], words: str
) -> None:
    out = tmp_path / "out"
    fit_photographs(photos, out)
    (out / "mine.txt").write_text("mine")
    before = contents_below(out)
    with pytest.raises(error, match=words):
        fit_photographs(photos, out, options=change)
    assert contents_below(out) == before
    fit_photographs(photos, out, options=change, overwrite=True)
    fit_photographs(photos, tmp_path / "whole", options=change)
    assert contents_below(out).pop("mine.txt") == b"mine"
    (out / "mine.txt").unlink()
    assert contents_below(out) == contents_below(tmp_path / "whole")


def test_photographs_that_are_gone_are_told(photos: Path, tmp_path: Path) -> None:
    fit_photographs(photos, tmp_path / "out")
    first(photos).unlink()
    with pytest.raises(SettingsError, match="holds samples of 1 photograph that is not there any more"):
        fit_photographs(photos, tmp_path / "out")


def test_photographs_spelt_otherwise_than_when_they_were_fitted_are_told(photos: Path, tmp_path: Path) -> None:
    """Archives and tools write names that came from a Mac with accents encoded in one character, or in two."""
    for file in sorted(photos.glob(f"{first(photos).stem}.*")):
        file.rename(photos / f"e\N{COMBINING ACUTE ACCENT}1{file.suffix}")
    fit_photographs(photos, tmp_path / "out")
    for file in sorted(photos.glob("e*1.*")):
        file.rename(photos / f"\N{LATIN SMALL LETTER E WITH ACUTE}1{file.suffix}")
    with pytest.raises(SettingsError, match=r"any more, first .*1 \(one is there whose name differs only in"):
        fit_photographs(photos, tmp_path / "out")


@pytest.mark.parametrize("stopped", [False, True])
def test_your_file_beside_a_sample_that_is_finished_stays_when_it_comes_during_the_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    out, mine, n_made = tmp_path / "out", list[Path](), 0
    add = FaceRecord.add

    def add_and_draw(record: Any, result: Any) -> None:
        nonlocal n_made
        add(record, result)
        if result.faces and not mine:
            mine.append(out / f"{result.faces[0].name}.png")
            mine[0].write_bytes(b"mine")
        n_made += 1
        if stopped and n_made == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FaceRecord, "add", add_and_draw)
        with pytest.raises(KeyboardInterrupt) if stopped else nullcontext():
            fit_photographs(photos, out, run=RunOptions(1))
    assert len(fit_photographs(photos, out).faces) == N and mine[0].read_bytes() == b"mine"


@pytest.mark.parametrize("finished", [True, False])
def test_what_an_interrupted_run_wrote_under_another_suffix_goes(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    """The photographs were converted meanwhile, and perhaps back again."""
    out, path = tmp_path / "out", first(photos)
    other, image = path.with_suffix(".png"), path.read_bytes()
    if finished:
        fit_photographs(photos, out)
    Image.open(path).save(other)
    path.unlink()
    with interrupted(monkeypatch, "faces", unlisted=True):
        fit_photographs(photos, out)
    assert (out / other.name).exists()
    path.write_bytes(image)
    other.unlink()
    assert len(fit_photographs(photos, out).faces) == N
    fit_photographs(photos, tmp_path / "whole")
    assert contents_below(out) == contents_below(tmp_path / "whole")


def test_your_jpeg_beside_a_sample_that_is_a_png_changes_nothing(photos: Path, tmp_path: Path) -> None:
    """A photograph that is turned upright is written as a JPEG; this one is not."""
    out, path = tmp_path / "out", first(photos)
    Image.open(path).save(path.with_suffix(".png"))
    path.unlink()
    fit_photographs(photos, out)
    mine = out / path.name
    mine.write_bytes(b"mine")
    before = contents_below(out)
    result = fit_photographs(photos, out)
    assert not result.new_samples and not result.skipped and contents_below(out) == before
    points = path.with_suffix(".txt")
    np.savetxt(points, np.loadtxt(points) + 1)
    assert fit_photographs(photos, out).new_samples == 1 and mine.read_bytes() == b"mine"


def test_your_file_beside_a_sample_is_kept_when_the_photograph_gets_its_suffix(photos: Path, tmp_path: Path) -> None:
    """The copy of a photograph has its suffix."""
    out, path = tmp_path / "out", first(photos)
    fit_photographs(photos, out)
    mine = out / path.with_suffix(".png").name
    mine.write_bytes(b"mine")
    Image.open(path).save(path.with_suffix(".png"))
    path.unlink()
    (skip,) = fit_photographs(photos, out).skipped
    assert mine.read_bytes() == b"mine" and f"{mine} would be replaced" in skip.reason
    mine.unlink()
    assert len(fit_photographs(photos, out).faces) == N and mine.exists()


def test_other_folders_are_refused_before_any_work(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(OutputError, match=r"out: holds something else \(mine\)"):
        fit_photographs(photos, tmp_path / "out", overwrite=True)
    with pytest.raises(DatasetError, match="no images in it"):
        fit_photographs(tmp_path / "out", tmp_path / "new")
    with pytest.raises(DatasetError, match=r"nowhere: no such folder, expected a folder of photographs"):
        fit_photographs(tmp_path / "nowhere", tmp_path / "new")
    with pytest.raises(DatasetError, match=r"mine: a file, expected a folder of photographs"):
        fit_photographs(tmp_path / "out/mine", tmp_path / "new")
    (tmp_path / "clip.MP4").write_bytes(b"frames")
    with pytest.raises(
        DatasetError, match=r"clip\.MP4: a video, expected a folder .*; `uvgen fit --video` takes videos"
    ):
        fit_photographs(tmp_path / "clip.MP4", tmp_path / "new")
    with pytest.raises(DatasetError, match=r"jpg: an image, expected a video, or a folder of frames"):
        fit_video(next(photos.rglob("*.jpg")), tmp_path / "new")
    (tmp_path / "out/dataset.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"out: a data set, expected a folder of photographs; it was built already"):
        fit_photographs(tmp_path / "out", tmp_path / "new")
    (photos / ".uvgen-export.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"photos: an export for other trainers, expected a folder of photographs"):
        fit_photographs(photos, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": "uvgen-fit"}', '{"format": "uvgen-fit", "faces": [{"name": 1}]}']
)
def test_an_index_that_is_damaged_is_named(photos: Path, tmp_path: Path, text: str) -> None:
    fit_photographs(photos, tmp_path / "out")
    (tmp_path / "out/fit.json").write_text(text)
    with pytest.raises(SettingsError, match=r"fit\.json: cannot be read"):
        fit_photographs(photos, tmp_path / "out")


def stated_in_journal(index: dict[str, Any]) -> dict[str, Any]:
    lists = ("format", "version", "uvgen", "faces", "skipped")
    return {k: v for k, v in index.items() if k not in (*lists, *FaceRecord.late, *_LABELS)}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x" * 300}, {"name": "x" * 300, "photograph": "x" * 300},
        {"name": "../../x"}, {"name": None}, {"photograph": 5}, {"residual": "0.1"},
        {"residual": [1]}, {"residual": True}, {"residual": "1" * 5000}, {"yaw_deg": {}}, {"source": 5}, {"more": 1},
    ],
)  # fmt: skip
def test_an_index_or_a_journal_with_other_values_is_not_believed(
    photos: Path, tmp_path: Path, uvgen: Any, change: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    fit_photographs(photos, out)
    before, content = contents_below(out), json.loads((out / "fit.json").read_text())
    stated = stated_in_journal(content)
    bad = {**content["faces"][0], **change}
    journal = Journal(out / ".uvgen-journal", ["uvgen-fit", 1, __version__, stated])
    journal.append({"faces": [bad]})
    journal.close()
    assert uvgen("fit", photos, "--out", out, "-j", 1).exit_code == 0 and contents_below(out) == before
    (out / "fit.json").write_text(json.dumps({**content, "faces": [bad, *content["faces"][1:]]}))
    result = uvgen("fit", photos, "--out", out, "-j", 1)
    assert result.exit_code == 1 and "fit.json: cannot be read" in result.stderr


def test_an_index_or_a_journal_that_lists_a_face_twice_is_not_believed(
    photos: Path, tmp_path: Path, uvgen: Any
) -> None:
    out = tmp_path / "out"
    fit_photographs(photos, out)
    before, content = contents_below(out), json.loads((out / "fit.json").read_text())
    stated = stated_in_journal(content)
    journal = Journal(out / ".uvgen-journal", ["uvgen-fit", 1, __version__, stated])
    journal.append({"faces": [content["faces"][0]] * 2})
    journal.close()
    assert uvgen("fit", photos, "--out", out, "-j", 1).exit_code == 0 and contents_below(out) == before
    (out / "fit.json").write_text(json.dumps({**content, "faces": [*content["faces"], content["faces"][0]]}))
    result = uvgen("fit", photos, "--out", out, "-j", 1)
    assert result.exit_code == 1 and "is there twice" in result.stderr


def test_a_folder_is_gone_on_with_where_the_models_file_was_moved_or_renamed(
    photos: Path, tmp_path: Path, model_path: Path
) -> None:
    model, out = Path(shutil.copy(model_path, tmp_path / "a.h5")), tmp_path / "out"
    made = fit_photographs(photos, out, model=model)
    model = model.rename(tmp_path / "b.h5")
    assert fit_photographs(photos, out, model=model).new_samples == 0 < made.new_samples
    assert json.loads((out / "fit.json").read_text())["model_file"] == str(model)
    with pytest.raises(SettingsError, match="was made with another model"):
        fit_photographs(photos, out)


def test_a_sample_whose_picture_is_gone_is_made_again(photos: Path, tmp_path: Path) -> None:
    fit_photographs(photos, tmp_path / "out")
    before = contents_below(tmp_path / "out")
    first(tmp_path / "out").unlink()
    assert fit_photographs(photos, tmp_path / "out").new_samples == 1
    assert contents_below(tmp_path / "out") == before


def test_overwriting_deletes_nothing_outside_the_folder(photos: Path, tmp_path: Path) -> None:
    fit_photographs(photos, tmp_path / "out")
    content = json.loads((tmp_path / "out/fit.json").read_text())
    (tmp_path / "victim.mat").write_text("mine")
    (tmp_path / "out/link").symlink_to(tmp_path)
    names = ["../victim", str(tmp_path / "victim"), "link/victim", "a/../../victim"]
    content["faces"] += [{**content["faces"][0], "photograph": name, "name": name} for name in names]
    (tmp_path / "out/fit.json").write_text(json.dumps(content))
    fit_photographs(photos, tmp_path / "out", overwrite=True)
    assert (tmp_path / "victim.mat").read_text() == "mine"


# Detectors


class FakeDetector:
    """Finds what is written in a table, by the picture's mean."""

    name, notice = "dlib", "weights for research only"

    def __init__(self, known: list[tuple[NDArray[np.uint8], list[FaceLandmarks]]]) -> None:
        self._known = known

    def __call__(self, image: NDArray[np.uint8]) -> list[FaceLandmarks]:
        return next((faces for picture, faces in self._known if np.array_equal(picture, image)), [])


@pytest.fixture
def detected(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    known = []
    for k, path in enumerate(sorted(photos.glob("*.jpg"))):
        points = np.loadtxt(path.with_suffix(".txt"))
        face = FaceLandmarks(points, np.full(68, 0.9), "68", source="dlib")
        small = FaceLandmarks(points * 0.4 + 5, None, "68", source="dlib")
        known.append((np.asarray(Image.open(path)), [face, small] if k < 2 else [face] if k < 5 else []))
        path.with_suffix(".txt").unlink()
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: FakeDetector(known))
    return photos


def test_faces_that_a_detector_finds_are_fitted(detected: Path, tmp_path: Path) -> None:
    result = fit_photographs(detected, tmp_path / "out", detector="dlib")
    assert result.detector == "dlib" and result.notice == "weights for research only"
    assert len(result.faces) == 5 and {face.source for face in result.faces} == {"dlib"}
    (skip,) = result.skipped
    assert "dlib finds no face in it" in skip.reason
    every = fit_photographs(detected, tmp_path / "all", detector="dlib", options=FitOptions(faces="all"))
    assert len(every.faces) == 7 and sum(face.name.endswith("-face2") for face in every.faces) == 2
    assert len(find_samples(tmp_path / "all")) == 7


def test_a_detector_that_no_photograph_needed_is_not_reported(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: FakeDetector([]))
    result = fit_photographs(photos, tmp_path / "out", detector="dlib")
    assert (len(result.faces), result.detector, result.notice) == (N, None, "")
    assert fit_photographs(photos, tmp_path / "out", detector=None).new_samples == 0


def test_folder_begun_without_a_detector_goes_on_with_one_and_no_other_then(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its index states none until the end."""
    path, out = sorted(photos.glob("*.jpg"))[-1], tmp_path / "out"
    known = [FaceLandmarks(np.loadtxt(path.with_suffix(".txt")), None, "68", source="dlib")]
    detector = FakeDetector([(np.asarray(Image.open(path)), known)])
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: detector)
    path.with_suffix(".txt").rename(tmp_path / "points")
    added = path.rename(tmp_path / path.name)
    with interrupted(monkeypatch, "faces", unlisted=False):
        fit_photographs(photos, out, detector=None)
    added.rename(path)
    with interrupted(monkeypatch, "faces", unlisted=False):
        fit_photographs(photos, out, detector="dlib")
    assert json.loads((out / "fit.json").read_text())["detector"] is None
    with pytest.raises(SettingsError, match="was made with detector = dlib, now it is mediapipe"):
        fit_photographs(photos, out, detector="mediapipe")
    result = fit_photographs(photos, out, detector="dlib")
    assert (len(result.faces), result.skipped) == (N, ()) and result.new_samples < N
    assert fit_photographs(photos, tmp_path / "whole", detector="dlib").faces == result.faces
    assert contents_below(out) == contents_below(tmp_path / "whole")


def test_faces_that_were_detected_with_other_weights_are_refused(detected: Path, tmp_path: Path) -> None:
    weights, out = tmp_path / "a.dat", tmp_path / "out"
    weights.write_bytes(b"1")
    how: dict[str, Any] = {"detector": FaceDetector("dlib", weights)}
    fit_photographs(detected, out, **how)
    assert fit_photographs(detected, out, **how).new_samples == 0
    with pytest.raises(SettingsError, match="was made with other weights of the detector; choose another"):
        fit_photographs(detected, out, detector="dlib")
    weights.write_bytes(b"2")
    with pytest.raises(SettingsError, match="was made with other weights of the detector; choose another"):
        fit_photographs(detected, out, **how)
    weights.unlink()
    with pytest.raises(InputError, match="not there, expected the weights of dlib"):
        fit_photographs(detected, tmp_path / "none", **how)


@pytest.mark.parametrize("moment", ["before a worker opens them", "meanwhile", "gone"])
def test_a_run_whose_detector_s_weights_are_replaced_ends(
    detected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    weights, opened = tmp_path / "a.dat", detectors.open_detector
    weights.write_bytes(b"1")

    def meddle() -> None:
        weights.write_bytes(b"2") if moment != "gone" else weights.unlink()

    def resume(record: FaceRecord[Any]) -> None:
        FolderRecord.resume(record)
        if moment == "meanwhile":
            monkeypatch.setattr(detectors, "open_detector", lambda *which: (meddle(), opened(*which))[1])
        else:
            meddle()

    monkeypatch.setattr(FaceRecord, "resume", resume)
    with pytest.raises(ModelError, match=r"a\.dat: has changed since the run began; keep a detector's weights"):
        fit_photographs(detected, tmp_path / "out", detector=FaceDetector("dlib", weights))
    assert json.loads((tmp_path / "out/fit.json").read_text())["detector_sha256"] == hashlib.sha256(b"1").hexdigest()
    assert not list((tmp_path / "out").glob("*.mat"))


def test_a_folder_that_states_no_weights_is_gone_on_with_where_none_are_named(detected: Path, tmp_path: Path) -> None:
    """As folders do that earlier versions wrote."""
    out = tmp_path / "out"
    fit_photographs(detected, out, detector="dlib")
    content = json.loads((out / "fit.json").read_text())
    assert content.pop("detector_sha256") is None
    (out / "fit.json").write_text(json.dumps(content))
    assert fit_photographs(detected, out, detector="dlib").new_samples == 0
    (tmp_path / "a.dat").write_bytes(b"1")
    with pytest.raises(SettingsError, match="was made with other weights of the detector"):
        fit_photographs(detected, out, detector=FaceDetector("dlib", tmp_path / "a.dat"))


def test_landmark_files_win_over_a_detector(detected: Path, tmp_path: Path, drawn: Path) -> None:
    path = first(detected)
    (sample,) = [s for s in find_samples(drawn) if s.image is not None and s.image.name == path.name]
    np.savetxt(path.with_suffix(".txt"), landmarks_of(sample))
    result = fit_photographs(detected, tmp_path / "out", detector="dlib")
    assert sorted({face.source for face in result.faces}) == sorted({f"{path.stem}.txt", "dlib"})


def test_without_landmarks_and_detector_it_says_what_to_install(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in photos.glob("*.txt"):
        path.unlink()

    for package in DETECTORS.values():
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyError) as caught:
        fit_photographs(photos, tmp_path / "out")
    assert str(caught.value) == (
        "detector: none is installed, expected mediapipe or dlib; "
        f"{to_install('mediapipe', 'dlib')}; or "
        "give landmarks of all of them, in files beside the photographs, NAME.txt for NAME.jpg"
    )
    with pytest.raises(InputError, match="detector: none, and no landmark files"):
        fit_photographs(photos, tmp_path / "out", detector=None)
    assert not (tmp_path / "out").exists()


def test_landmarks_that_are_of_none_of_the_photographs_are_not_passed_over_for_a_detector(
    photos: Path, tmp_path: Path, detected: Path
) -> None:
    (tmp_path / "points").mkdir()
    (tmp_path / "points/other.txt").write_text("1 2\n")
    (tmp_path / "points.json").write_text(json.dumps({"other.jpg": [[k, k * k] for k in range(68)]}))
    for name in ("points", "points.json"):
        with pytest.raises(InputError, match=rf"landmarks: no landmark files .*of these photographs in .*{name}, exp"):
            fit_photographs(detected, tmp_path / "out", landmarks=tmp_path / name, detector="dlib")
    assert not (tmp_path / "out").exists()


def test_landmarks_that_are_not_there_are_named(photos: Path, tmp_path: Path) -> None:
    for name in ("points", "points.csv"):
        with pytest.raises(InputError, match=rf"{name}: no such file or folder, expected a folder of landmark files"):
            fit_photographs(photos, tmp_path / "out", landmarks=tmp_path / name)
    assert not (tmp_path / "out").exists()


def test_a_detector_that_cannot_start_is_the_reason_that_is_given(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are not there, which is no news."""
    for path in photos.glob("*.txt"):
        path.unlink()

    def opened(name: str, model: Path | None = None) -> None:
        if name == "dlib":
            raise DependencyError("detector: dlib cannot be imported (it has no face)")
        raise DependencyError(f"detector: {name} is not installed") from ModuleNotFoundError(name)

    monkeypatch.setattr(detectors, "open_detector", opened)
    with pytest.raises(DependencyError, match=r"^detector: dlib cannot be imported \(it has no face\); or give landm"):
        fit_photographs(photos, tmp_path / "out")


@pytest.mark.parametrize("options", [FitOptions(), FitOptions(same_person=True), FitOptions(refine=True)])
def test_photographs_count_one_by_one_while_a_batch_is_fitted(
    photos: Path, tmp_path: Path, options: FitOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    first(photos).write_bytes(b"no image")
    steps = list[int]()
    monkeypatch.setattr(worker, "advance", steps.append)
    result = fit_photographs(photos, tmp_path / "out", detector=None, options=options)
    assert steps == [1] * N and len(result.faces) == N - 1


# The command


def test_uvgen_fit_says_what_it_did(uvgen: Any, photos: Path, tmp_path: Path) -> None:
    first(photos).with_suffix(".txt").unlink()
    result = uvgen("fit", photos, "--out", tmp_path / "out", "-j", 1, "--detector", "none")
    assert result.exit_code == 3, result.stderr
    assert result.stdout.startswith(f"{tmp_path / 'out'}: {N - 1} faces, 1 skipped; this run {N - 1} faces in ")
    assert "residual: median 0." in result.stdout and f"skipped {first(photos).stem}: " in result.stderr
    again = uvgen("fit", photos, "--out", tmp_path / "out", "-j", 1, "--json", "--detector", "none")
    content = json.loads(again.stdout)
    assert content["samples"] == N - 1 and content["new_samples"] == 0 and len(content["skipped"]) == 1


def test_uvgen_fit_of_nothing_usable_fails(uvgen: Any, photos: Path, tmp_path: Path) -> None:
    for path in photos.glob("*.txt"):
        path.write_text("")
    result = uvgen("fit", photos, "--out", tmp_path / "out", "--detector", "none", "-j", 1)
    assert result.exit_code == 1 and f"none of {N} photographs can be used; the first, " in result.stderr


def test_uvgen_fit_of_wrong_landmarks_is_refused(uvgen: Any, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("no, table\n")
    for where in (tmp_path / "table.csv", tmp_path / "nowhere.csv", first(photos)):
        result = uvgen("fit", photos, "--landmarks", where, "--out", tmp_path / "out")
        assert result.exit_code == 1 and str(where) in result.stderr and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_build_takes_the_model_that_a_folder_was_fitted_with(
    uvgen: Any, photos: Path, tmp_path: Path, builtin_file: Path
) -> None:
    fitted = tmp_path
    for name, model in (("builtin", "builtin"), ("file", builtin_file)):
        fitted = tmp_path / f"fitted {name}"
        assert uvgen("fit", photos, "--model", model, "--out", fitted, "-j", 1, "-q").exit_code == 0
        options = ("--size", 32, "--uv-size", 32, "-j", 1, "-q")
        result = uvgen("build", "--data", fitted, "--out", tmp_path / name, *options)
        assert result.exit_code == 0, result.stderr
    builtin_file.unlink()
    result = uvgen("build", "--data", fitted, "--out", tmp_path / "new")
    assert result.exit_code == 1 and f"{fitted / 'fit.json'} names {builtin_file}, which" in result.stderr
    content = json.loads((fitted / "fit.json").read_text())
    content.update(model_sha256="0" * 64, model_file=None)
    (fitted / "fit.json").write_text(json.dumps(content))
    result = uvgen("build", "--data", fitted, "--out", tmp_path / "new")
    assert result.exit_code == 1 and "expected the file of builtin, of which" in result.stderr
    (fitted / "fit.json").unlink()
    result = uvgen("build", "--data", fitted, "--out", tmp_path / "new")
    assert result.exit_code == 2 and "missing --model" in result.stderr


@pytest.fixture
def builtin_file(tmp_path: Path) -> Path:
    save_model(load_model("builtin"), tmp_path / "model.h5")
    return tmp_path / "model.h5"


def test_the_output_folder_may_be_a_link_and_no_folder_in_it(tmp_path: Path) -> None:
    photographs = write_photographs(tmp_path / "photos", 1)
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    assert len(fit_photographs(photographs, tmp_path / "out").faces) == 1
    assert (tmp_path / "disk/fit.json").is_file()
    (tmp_path / "people").mkdir()
    photographs.rename(tmp_path / "people/anna")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/fit.json").write_bytes((tmp_path / "disk/fit.json").read_bytes())
    (tmp_path / "new/anna").symlink_to(tmp_path / "disk")
    with pytest.raises(OutputError, match=r"new/anna: is a link, expected a folder of .*new; remove it"):
        fit_photographs(tmp_path / "people", tmp_path / "new", overwrite=True)


def test_the_summary_says_of_how_many_faces_a_detector_found_the_landmarks(capsys) -> None:
    faces = [SimpleNamespace(name=f"{k}", residual=0.01, source="dlib" if k else "0.txt") for k in range(3)]
    result = SimpleNamespace(faces=faces, skipped=(), detector="dlib", new_samples=3, seconds=1.0)
    _summarize(Path("out"), result)
    assert capsys.readouterr().out.startswith("out: 3 faces, landmarks of 2 by dlib, 0 skipped; this run 3 faces in")
    result.faces = faces[1:]
    _summarize(Path("out"), result)
    assert capsys.readouterr().out.startswith("out: 2 faces, landmarks by dlib, 0 skipped")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_pipe_in_place_of_photographs_or_a_video_is_called_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "clip.mp4")
    with pytest.raises(DatasetError, match=r"clip\.mp4: a named pipe, expected a folder of photographs"):
        fit_photographs(tmp_path / "clip.mp4", tmp_path / "out")
    with pytest.raises(DatasetError, match=r"clip\.mp4: a named pipe, expected a video, or a folder of frames"):
        fit_video(tmp_path / "clip.mp4", tmp_path / "out")
