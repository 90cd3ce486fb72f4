"""`uvgen.register_scans` and `uvgen register`: what comes of folders of scans, whatever is wrong with some."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.faults import fail_reads, interrupted
from support.flushes import unflushed
from support.folders import contents_below
from support.scans import write_scans

from uvgen import RegisterOptions, RunOptions, register_scans
from uvgen.errors import DatasetError, InputError, OutputError, SettingsError
from uvgen.fitting.scans import folder, worker
from uvgen.fitting.scans.folder import find_scans
from uvgen.fitting.tasks import InputFile
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.meshes.files import write_ply
from uvgen.meshes.read import read_mesh
from uvgen.models.morphable import MorphableModel
from uvgen.samples.landmark_schemes import NoLandmarks
from uvgen.storage.folders import REGISTERED, folder_kind

N = 2


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, model: MorphableModel) -> Path:
    return write_scans(tmp_path_factory.mktemp("written"), model, N)


@pytest.fixture
def scans(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "scans"))


@pytest.fixture(scope="module")
def whole(written: Path, model: MorphableModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What comes of them in one run."""
    out = tmp_path_factory.mktemp("registered") / "out"
    assert len(register_scans(written, out, model=model).scans) == N
    return out


def test_meshes_have_the_models_triangles_and_lie_on_their_scans(
    whole: Path, written: Path, model: MorphableModel
) -> None:
    content = json.loads((whole / "register.json").read_text())
    assert content["format"] == "uvgen-register" and folder_kind(whole) == REGISTERED and not content["skipped"]
    for said in content["scans"]:
        vertices, triangles = read_mesh(whole / f"{said['name']}.obj")
        np.testing.assert_array_equal(triangles, model.triangles)
        marks = np.loadtxt(written / said["source"])
        assert np.linalg.norm(vertices[model.landmarks] - marks, axis=1)[17:].mean() < 1 and said["unit"] == "mm"
        assert 0 < said["mean_mm"] < said["rms_mm"] < said["p95_mm"] < said["max_mm"] and 0.5 < said["matched"] <= 1
        assert said["landmarks_mm"] < 1 and said["n_flipped"] == 0 and said["scan"] == f"{said['name']}.npy"


@pytest.mark.parametrize("kind", ["obj", "npy"])
def test_meshes_are_on_the_disk_before_the_journal_lists_them(
    scans: Path, model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    found = unflushed(monkeypatch)
    assert len(register_scans(scans, tmp_path / "out", model=model, options=RegisterOptions(format=kind)).scans) == N
    assert found == {tmp_path / "out": []}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_interrupted_runs_go_on_to_the_same_bytes(
    scans: Path, whole: Path, model: MorphableModel, tmp_path: Path, workers: int
) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        register_scans(scans, tmp_path / "out", model=model, run=RunOptions(workers), progress=stop)
    result = register_scans(scans, tmp_path / "out", model=model, run=RunOptions(workers))
    assert 0 < result.new_samples < N == len(result.scans)
    assert contents_below(tmp_path / "out") == contents_below(whole)


@pytest.mark.parametrize("overwrite", [False, True])
def test_meshes_that_an_interrupted_run_did_not_list_go_if_their_scan_does(
    scans: Path, model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    out, gone = tmp_path / "out", sorted(scans.glob("*.npy"))[0]
    with interrupted(monkeypatch, "scans", unlisted=True):
        register_scans(scans, out, model=model)
    assert (out / f"{gone.stem}.obj").exists()
    (out / "mine.obj").write_text("mine")
    gone.unlink()
    options = RegisterOptions(format="ply") if overwrite else RegisterOptions()
    register_scans(scans, out, model=model, options=options, overwrite=overwrite)
    register_scans(scans, tmp_path / "fresh", model=model, options=options)
    assert contents_below(out) == {**contents_below(tmp_path / "fresh"), "mine.obj": b"mine"}


def test_overwriting_what_an_interrupted_run_lists_makes_all_of_it_anew(
    scans: Path, model: MorphableModel, tmp_path: Path
) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        register_scans(scans, tmp_path / "out", model=model, progress=stop)
    assert list((tmp_path / "out").glob("*.obj"))
    options = RegisterOptions(format="ply")
    assert not register_scans(scans, tmp_path / "out", model=model, options=options, overwrite=True).skipped
    register_scans(scans, tmp_path / "fresh", model=model, options=options)
    assert contents_below(tmp_path / "out") == contents_below(tmp_path / "fresh")


@pytest.mark.parametrize("unlisted", [False, True])
def test_a_mesh_that_an_interrupted_run_made_of_another_scan_is_made_anew(
    scans: Path, whole: Path, model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unlisted: bool
) -> None:
    out, scan = Path(shutil.copytree(whole, tmp_path / "out")), sorted(scans.glob("*.npy"))[0]
    before = scan.read_bytes()
    np.save(scan, np.load(scan) + np.float32(3))
    with interrupted(monkeypatch, "scans", unlisted=unlisted):
        register_scans(scans, out, model=model)
    assert contents_below(out) != contents_below(whole)
    scan.write_bytes(before)
    assert register_scans(scans, out, model=model).new_samples == 1
    assert contents_below(out) == contents_below(whole)


def test_meshes_of_scans_renamed_in_case_alone_stay_where_the_disk_ignores_case(
    scans: Path, model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, old = tmp_path / "out", sorted(scans.glob("*.npy"))[0].stem
    with interrupted(monkeypatch, "scans", unlisted=True):
        register_scans(scans, out, model=model)
    for path in scans.glob(f"{old}.*"):
        path.rename(path.with_name(path.name.replace(old, old.upper())))
    seen = list[Any]()

    def fold(result: Any) -> None:  # on such a disk, both names are of one file
        seen.append(result.name)
        if result.name == old.upper():
            os.link(out / f"{old.upper()}.obj", out / f"{old}.obj")

    assert len(register_scans(scans, out, model=model, progress=fold).scans) == N and old.upper() in seen
    assert (out / f"{old}.obj").is_file() and (out / f"{old.upper()}.obj").is_file()


def test_a_scan_whose_mesh_would_replace_somebodys_file_is_left_out(
    scans: Path, model: MorphableModel, tmp_path: Path
) -> None:
    mine = tmp_path / "out" / "scan1.obj"
    held = [path.rename(tmp_path / path.name) for path in sorted(scans.glob("scan1.*"))]
    register_scans(scans, mine.parent, model=model)
    mine.write_text("mine")
    for path in held:
        path.rename(scans / path.name)
    result = register_scans(scans, mine.parent, model=model)
    assert [skip.name for skip in result.skipped] == ["scan1"] and len(result.scans) == N - 1
    assert f"{mine} would be replaced" in result.skipped[0].reason and mine.read_text() == "mine"
    mine.unlink()
    assert register_scans(scans, mine.parent, model=model).new_samples == 1


@pytest.mark.parametrize("kind", ["npy", "obj", "ply", "glb"])
@pytest.mark.parametrize("end", ["ends", "is stopped"])
def test_a_file_of_yours_that_comes_while_scans_are_registered_is_kept(
    scans: Path, model: MorphableModel, tmp_path: Path, kind: str, end: str
) -> None:
    out, options = tmp_path / "out", RegisterOptions(format=kind)
    mine = [out / f"scan1.{kind}", out / f"scan1.{'obj' if kind != 'obj' else 'ply'}", out / f"scan0-mine.{kind}"]

    def come(_: object) -> None:
        for path in mine:
            path.write_bytes(b"mine")
        if end == "is stopped":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) if end == "is stopped" else nullcontext():
        register_scans(scans, out, model=model, options=options, progress=come)
    (skip,) = register_scans(scans, out, model=model, options=options).skipped
    assert f"{mine[0]} would be replaced" in skip.reason and [path.read_bytes() for path in mine] == [b"mine"] * 3
    for path in mine:
        path.unlink()
    assert register_scans(scans, out, model=model, options=options).new_samples == 1
    register_scans(scans, tmp_path / "whole", model=model, options=options)
    assert contents_below(out) == contents_below(tmp_path / "whole")


def test_somebodys_meshes_of_other_formats_stay_when_one_is_made_anew(
    scans: Path, whole: Path, model: MorphableModel, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    mine = [out / "scan1.ply", out / "scan1.npy"]
    for path in mine:
        path.write_text("mine")
    marks = scans / "scan1.landmarks.txt"
    np.savetxt(marks, np.loadtxt(marks) + 0.01)
    assert register_scans(scans, out, model=model).new_samples == 1
    options = RegisterOptions(format="glb")
    register_scans(scans, out, model=model, options=options, overwrite=True)
    assert [path.read_text() for path in mine] == ["mine"] * 2 and not (out / "scan1.obj").exists()
    marks.write_text("")
    assert [skip.name for skip in register_scans(scans, out, model=model, options=options).skipped] == ["scan1"]
    assert [path.read_text() for path in mine] == ["mine"] * 2 and not (out / "scan1.glb").exists()


def test_what_is_missing_or_changed_is_made_anew_alone(
    scans: Path, whole: Path, model: MorphableModel, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    assert register_scans(scans, out, model=model).new_samples == 0
    (out / "scan0.obj").unlink()
    assert register_scans(scans, out, model=model).new_samples == 1
    assert contents_below(out) == contents_below(whole)
    marks = scans / "scan1.landmarks.txt"
    np.savetxt(marks, np.loadtxt(marks)[LANDMARK_MIRROR])
    result = register_scans(scans, out, model=model)
    assert [skip.name for skip in result.skipped] == ["scan1"] and not (out / "scan1.obj").exists()
    assert "mirrored in their order" in result.skipped[0].reason


@pytest.mark.parametrize("changed", ["scan0.npy", "scan0.landmarks.txt"])
def test_scans_that_are_replaced_while_they_are_read_get_no_mesh(
    scans: Path, model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """The mesh would be one of the file that was read, and counted as one of that which was hashed."""
    earlier, later = scans / changed, scans / changed.replace("0", "1")

    def read_replaced(path: Path) -> Any:
        if earlier.name.startswith(path.stem):
            shutil.copyfile(later, earlier)
        return read_scan(path)

    read_scan = worker.read_scan
    monkeypatch.setattr(worker, "read_scan", read_replaced)
    result = register_scans(scans, tmp_path / "out", model=model)
    assert [one.name for one in result.scans] == ["scan1"] and not (tmp_path / "out" / "scan0.obj").exists()
    assert "scan0.npy: it or its landmarks were changed while they were read" in result.skipped[0].reason


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_scans_whose_disk_does_not_answer_cost_no_finished_mesh(
    scans: Path, model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    register_scans(scans, tmp_path / "out", model=model)
    before = contents_below(tmp_path / "out")
    with monkeypatch.context() as patch:
        fail_reads(patch, ".npy", number)
        if number == errno.EMFILE:
            with pytest.raises(DatasetError, match=r"cannot be read \(Too many open files\); raise the limit"):
                register_scans(scans, tmp_path / "out", model=model)
        else:
            assert register_scans(scans, tmp_path / "out", model=model).new_samples == 0
    assert contents_below(tmp_path / "out") == before


@pytest.mark.parametrize("suffix", [".npy", ".landmarks.txt"])
def test_scans_that_git_lfs_has_not_fetched_cost_no_finished_mesh(
    scans: Path, model: MorphableModel, tmp_path: Path, suffix: str
) -> None:
    register_scans(scans, tmp_path / "out", model=model)
    before = contents_below(tmp_path / "out")
    next(scans.glob(f"*{suffix}")).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert register_scans(scans, tmp_path / "out", model=model).new_samples == 0
    assert contents_below(tmp_path / "out") == before


@pytest.mark.parametrize("lost", [".npy", ".landmarks.txt"])
def test_scans_that_are_links_to_a_disk_that_is_not_there_cost_no_finished_mesh(
    scans: Path, model: MorphableModel, tmp_path: Path, lost: str
) -> None:
    disk = scans.rename(tmp_path / "disk")
    scans.mkdir()
    for path in sorted(disk.iterdir()):
        (scans / path.name).symlink_to(path)
    register_scans(scans, tmp_path / "out", model=model)
    before = contents_below(tmp_path / "out")
    for path in sorted(disk.glob(f"*{lost}")):
        path.rename(path.with_name(f".{path.name}"))
    assert register_scans(scans, tmp_path / "out", model=model).new_samples == 0
    assert contents_below(tmp_path / "out") == before


def test_bad_scans_cost_only_themselves(scans: Path, model: MorphableModel, tmp_path: Path) -> None:
    points, marks = np.load(scans / "scan0.npy"), (scans / "scan0.landmarks.txt").read_text()
    (scans / "deep").mkdir()
    bad: dict[str, tuple[Any, str]] = {
        "damaged": (b"no", "damaged .npy header"),
        "empty": (points[:0], "points: 0 that are different and finite"),
        "unmarked": (points, "no landmarks in"),
        "deep/other": (points + 500, "0% of the face lie on the scan"),
        "nan": (points * np.nan, "points: 0 that are different and finite"),
        "pictures": (np.zeros((4, 4, 3)), "expected coordinates of points"),
        "register.json/scan": (points, "would have the name of the index"),
        "scan0.npy/scan": (points, "would have the name of a file of scan0"),
    }
    (scans / "scan0.npy").rename(scans / "scan0.ply")  # beside which there can be such a folder
    write_ply(scans / "scan0.ply", points, np.zeros((0, 3), np.int32), frame="raw")
    for name in ("register.json", "scan0.npy"):
        (scans / name).mkdir()
    (scans / "scan0.landmarks.obj").write_text("v 0 0 0\n")
    for name, (content, _) in bad.items():
        path = scans / f"{name}.npy"
        path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
        if name != "unmarked":
            path.with_name(f"{path.stem}.landmarks.txt").write_text(marks)
    shutil.copy(scans / "scan1.npy", scans / "SCAN1.npy")
    result = register_scans(scans, tmp_path / "out", model=model, options=RegisterOptions(format="npy"))
    assert [one.name for one in result.scans] == ["scan0"]
    reasons = {skip.name: skip.reason for skip in result.skipped}
    assert reasons.keys() == {*bad, "scan1", "SCAN1", "scan0.landmarks"}
    for name, (_, message) in bad.items():
        assert message in reasons[name] and f"{name}.npy" in reasons[name], name
    assert "another scan has the same name" in reasons["scan1"]
    said = json.loads((tmp_path / "out/register.json").read_text())["skipped"]
    assert {one["name"]: one["reason"] for one in said} == reasons


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda points: points + 2e6, "lies 2e\\+06 from its origin, where .* 0.12 mm apart, expected 0.05 mm"),
        (
            lambda points: points * 1e-300,
            "e-300 times as large as the model's in mm, expected 1e-12 to 1e\\+12",
        ),
    ],
)
def test_scans_that_float32_cannot_hold_are_rejected(
    scans: Path, model: MorphableModel, tmp_path: Path, change: Any, message: str
) -> None:
    first, second = sorted(scans.glob("*[0-9].npy"))
    second.unlink()
    np.save(first, change(np.load(first).astype(np.float64)))
    marks = next(scans.glob(f"{first.stem}.landmarks.*"))
    np.savetxt(marks, change(np.loadtxt(marks)))
    with pytest.raises(DatasetError, match=message):
        register_scans(scans, tmp_path / "out", model=model)


def test_meshes_in_the_models_frame_are_turned_and_not_scaled(
    whole: Path, scans: Path, model: MorphableModel, tmp_path: Path
) -> None:
    (scans / "scan1.npy").unlink()
    result = register_scans(
        scans, tmp_path / "out", model=model, options=RegisterOptions(format="npy", frame="model", units="mm")
    )
    (said,) = result.scans
    moved, there = np.load(tmp_path / "out/scan0.npy"), read_mesh(whole / "scan0.obj")[0]
    assert moved.dtype == np.float32 and moved.shape == model.mean.shape
    np.testing.assert_allclose(moved @ np.array(said.rotation).T + said.shift, there, atol=1e-3)
    assert np.abs(moved - model.mean / 1e3).mean() < 12


def test_scans_above_the_limit_are_rejected(scans: Path, model: MorphableModel, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none of 2 scans can be used; the first, .*/scan0\.npy: .* mm off the scan "
                                           r"\(root mean square\), expected 0\.001 mm at most"):  # fmt: skip
        register_scans(scans, tmp_path / "out", model=model, options=RegisterOptions(max_error_mm=1e-3))


def refused(scans: Path, **options: Any) -> Callable[[], object]:
    return lambda: register_scans(scans, **{"out": scans.parent / "out", **options})


def test_what_cannot_be_done_is_said_before_any_work(scans: Path, whole: Path, model: MorphableModel) -> None:
    (scans.parent / "none").mkdir()
    for call, kind, message in (
        (refused(scans.parent / "none"), DatasetError, r"no scans in it, expected \.obj, \.ply"),
        (refused(scans.parent / "gone"), DatasetError, "no such folder, expected a folder of scans"),
        (refused(scans, out=scans), OutputError, "holds something else"),
        (
            refused(scans, out=whole, model=model, options=RegisterOptions(format="npy")),
            SettingsError,
            "was made with mesh_format = obj, now it",
        ),
        (lambda: RegisterOptions(format="stl"), InputError, "format: 'stl', expected 'obj'"),
        (lambda: RegisterOptions(frame="world"), InputError, "frame: 'world'"),
        (lambda: RegisterOptions(units="inch"), InputError, "units: 'inch'"),
        (lambda: RegisterOptions(max_error_mm=-1), InputError, "max_error_mm: -1 mm, expected 0 or more"),
        (refused(scans, landmarks=scans / "gone"), InputError, "no such folder, expected a folder of landmarks"),
        (refused(scans, run=8), InputError, "run: 8, expected RunOptions"),
    ):
        with pytest.raises(kind, match=message):
            call()


def test_landmarks_that_may_be_of_two_scans_are_nobodys(scans: Path, model: MorphableModel, tmp_path: Path) -> None:
    """As of persons' folders in which files have the same names."""
    marks = min(scans.rglob("*.landmarks.*"))
    stem = marks.name.partition(".landmarks.")[0]
    first = next(path for path in marks.parent.glob(f"{stem}.*") if ".landmarks." not in path.name)
    for person in ("ann", "bob"):
        (tmp_path / "people" / person).mkdir(parents=True)
        shutil.copy(first, tmp_path / "people" / person / first.name)
    (tmp_path / "marks").mkdir()
    shutil.copy(marks, tmp_path / "marks")
    with pytest.raises(DatasetError, match=r"none of 2 scans can be used; .* may be of .*bob.* as well, expected"):
        register_scans(tmp_path / "people", tmp_path / "out", model=model, landmarks=tmp_path / "marks")
    one = InputFile(tmp_path / "people" / "bob" / first.name, "bob/1")
    for disputed in ({}, {one.path: NoLandmarks("another's")}):
        job = worker.RegisterJob(
            tmp_path / "people", tmp_path, model, None, tmp_path / "marks", None, RegisterOptions("npy"), disputed
        )
        assert (worker.state_of(job, one) == "") == bool(disputed)


def test_landmarks_in_a_folder_of_the_scans_are_no_scans(tmp_path: Path) -> None:
    (tmp_path / "scans/marks").mkdir(parents=True)
    for name in ("a.ply", "b.npy", "marks/a.npy", "marks/b.npy", "marks/c.npy", "marks/b.landmarks.txt"):
        (tmp_path / "scans" / name).write_bytes(b"")
    found = find_scans(tmp_path / "scans", tmp_path / "out", "npy", tmp_path / "scans/marks")
    assert [one.name for one in found] == ["a", "b", "marks/b", "marks/c"]  # b has two files that may be its landmarks


def test_landmarks_in_the_scans_own_folder_are_no_scans_when_it_is_named_for_them(tmp_path: Path) -> None:
    for name in ("a.ply", "a.npy", "b.npy", "c.obj", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    for place in (tmp_path, tmp_path / "link"):
        (tmp_path / "link").unlink(missing_ok=True)
        if place != tmp_path:
            place.symlink_to(".")
        found = find_scans(tmp_path, tmp_path / "out", "npy", place)
        assert [one.path.name for one in found] == ["a.ply", "b.npy", "c.obj"]


def test_landmarks_of_none_of_the_scans_discard_no_finished_mesh(
    scans: Path, whole: Path, model: MorphableModel, tmp_path: Path
) -> None:
    """As of a disk that is not mounted, whose mount point stays as an empty folder."""
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    (tmp_path / "marks").mkdir()
    with pytest.raises(InputError, match=r"marks: no landmark files of scans in .*scans, expected some"):
        register_scans(scans, out, model=model, landmarks=tmp_path / "marks")
    assert contents_below(out) == contents_below(whole)


def test_overwriting_removes_what_is_listed_alone(
    scans: Path, whole: Path, model: MorphableModel, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    (out / "mine.obj").write_text("")
    (scans / "scan1.npy").unlink()
    with pytest.raises(SettingsError, match="meshes of 1 scan that is not there any more, first scan1"):
        register_scans(scans, out, model=model)
    result = register_scans(scans, out, model=model, options=RegisterOptions(format="ply"), overwrite=True)
    assert result.new_samples == 1
    assert sorted(path.name for path in out.iterdir()) == ["mine.obj", "register.json", "scan0.ply"]
    index = out / "register.json"
    index.write_text(index.read_text().replace('"scan0"', '"../scan0"'))
    with pytest.raises(SettingsError, match="cannot be read"):
        register_scans(scans, out, model=model, options=RegisterOptions(format="ply"))


def test_scans_at_which_processes_die_are_tried_alone(model: MorphableModel, tmp_path: Path) -> None:
    job = worker.RegisterJob(tmp_path, tmp_path, model, None, None, None, RegisterOptions("npy"))
    task = worker.RegisterTask(InputFile(tmp_path / "a.npy", "a"))
    (part,) = job.parts(task)
    assert part.trial and task.name == "a"
    result = job.open()(job.without(task, {0: "its process died"}))
    assert isinstance(result, worker.RejectedScan) and result.reason.endswith("a.npy: its process died")


def test_command_says_the_error_and_what_was_left_out(
    uvgen: Any, scans: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scans / "scan1.landmarks.txt").unlink()
    out = tmp_path / "out"
    arguments = ["register", scans, "--out", out, "--model", model_path, "--format", "npy", "-j", 1]
    result = uvgen(*arguments)
    assert result.exit_code == 3 and "1 registered scan, 1 skipped; this run 1 scan in" in result.stdout
    assert "off the scans (root mean square): median 0." in result.stdout and "scans in mm" in result.stdout
    assert "landmarks off the meshes: median " in result.stdout and "worst scan0 " in result.stdout
    assert "skipped scan1: " in result.stderr and "no landmarks in" in result.stderr
    again = uvgen(*arguments, "--json")
    content = json.loads(again.stdout)
    assert content["new_samples"] == 0 and len(content["scans"]) == len(content["skipped"]) == 1
    assert uvgen("register", scans, "--out", out, "--max-error", 0).exit_code == 2
    loud = uvgen(*arguments[:-2], "--overwrite", "--verbose", "-j", 1)
    assert "scan0: 0." in loud.stderr and "% of the face" in loud.stderr
    assert "of a kind that is not read" not in loud.stderr and "from the landmarks" not in loud.stderr
    monkeypatch.setattr(folder, "_FAR_MM", 1e-6)
    assert "1 mesh is more than 1e-06 mm from the landmarks of their scans" in uvgen(*arguments).stderr
    for name in ("scan0.fbx", "more/scan7.gltf"):  # the first is a scan that is read, too
        (scans / name).parent.mkdir(exist_ok=True)
        (scans / name).write_bytes(b"of another program")
    assert "1 scan is of a kind that is not read, first more/scan7.gltf, expected .obj" in uvgen(*arguments).stderr
    (scans / "scan9.obj?dl=1").write_bytes(b"by a program that fetches files")
    assert "1 scan has a name that goes on after its suffix, first scan9.obj?dl=1, and is" in uvgen(*arguments).stderr
    with pytest.raises(DatasetError, match=r"more: 1 scan is of a kind that is not read, first scan7\.gltf"):
        find_scans(scans / "more", out, "npy")


# Links in the output folder


def test_meshes_are_neither_written_nor_deleted_behind_a_link_of_the_folder(
    written: Path, model: MorphableModel, tmp_path: Path
) -> None:
    scans, out, elsewhere = tmp_path / "scans", tmp_path / "out", tmp_path / "elsewhere"
    shutil.copytree(written, scans / "people" / "anna")
    result = register_scans(scans, out, model=model)
    (elsewhere / "anna").mkdir(parents=True)
    (elsewhere / "anna" / "mine.obj").write_text("mine")
    (out / "link").symlink_to(elsewhere)
    index = json.loads((out / "register.json").read_text())
    index["scans"].append({**index["scans"][0], "name": "link/anna/mine"})
    (out / "register.json").write_text(json.dumps(index))
    again = register_scans(scans, out, model=model, overwrite=True)
    assert [scan.name for scan in again.scans] == [scan.name for scan in result.scans]

    shutil.rmtree(out / "people")
    (out / "people").symlink_to(elsewhere)
    with pytest.raises(OutputError, match=r"out/people: is a link, expected a folder of .*out; remove it"):
        register_scans(scans, out, model=model)
    assert contents_below(elsewhere) == {"anna/mine.obj": b"mine"}
