"""Which photographs `uvgen fit` takes, what their samples are called, and what happens when they change."""

import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.folders import contents_below

from uvgen import FitOptions, SynthOptions, build_shards, find_samples, fit_photographs, read_annotation, render_faces
from uvgen.datasets.config import BuildConfig
from uvgen.errors import DatasetError, DependencyError, InputError, OutputError, SettingsError
from uvgen.fitting import detectors, worker
from uvgen.fitting.landmarks import LandmarkFit, fit_landmarks
from uvgen.fitting.photographs import about_other_pictures, find_photographs, folder_clashes
from uvgen.fitting.tasks import FitTask
from uvgen.fitting.worker import FitJob
from uvgen.models.load import load_model
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.storage.folders import EXPORT_MARK, IMAGE_SUFFIXES, REPORT_PARTS

N = 3
SMALL = BuildConfig(size=32, uv_size=32)


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("three")
    render_faces(root / "drawn", N, options=SynthOptions(size=128, subsets=("IBUG",), flip=False))
    (root / "photos").mkdir()
    for k, sample in enumerate(find_samples(root / "drawn")):
        assert sample.image is not None
        points = read_annotation(sample).landmarks_2d
        assert points is not None
        shutil.copy(sample.image, root / "photos" / f"p{k}.jpg")
        np.savetxt(root / "photos" / f"p{k}.txt", points, fmt="%.4f")
    return root / "photos"


@pytest.fixture
def photos(three: Path, tmp_path: Path) -> Path:
    shutil.copytree(three, tmp_path / "photos")
    return tmp_path / "photos"


def rename(photos: Path, old: str, new: str) -> None:
    for suffix in (".jpg", ".txt"):
        (photos / f"{old}{suffix}").rename(photos / f"{new}{suffix}")


def noisy(path: Path, by: float) -> None:
    points = np.loadtxt(path)
    np.savetxt(path, points + np.random.default_rng(0).normal(size=points.shape) * by, fmt="%.4f")


# What changes between two runs


def another_picture(photos: Path) -> None:
    Image.open(photos / "p0.jpg").point(lambda v: v // 2).save(photos / "p0.jpg")


def another_kind(photos: Path) -> None:
    Image.open(photos / "p0.jpg").save(photos / "p0.png")
    (photos / "p0.jpg").unlink()


def in_two_kinds(photos: Path) -> None:
    Image.open(photos / "p0.jpg").save(photos / "p0.png")


CHANGES: dict[str, Callable[[Path], object]] = {
    "landmarks corrected": lambda p: noisy(p / "p0.txt", 1),
    "landmarks damaged": lambda p: (p / "p0.txt").write_text("eye"),
    "landmarks gone": lambda p: (p / "p0.txt").unlink(),
    "another picture": another_picture,
    "another kind": another_kind,
    "in two kinds": in_two_kinds,
}


@pytest.mark.parametrize(
    ("kind", "same_person"),
    [
        *((kind, False) for kind in CHANGES),
        ("landmarks corrected", True),
        ("landmarks damaged", True),
        *(pytest.param(kind, True, marks=pytest.mark.slow) for kind in [*CHANGES][2:]),
    ],
)
def test_a_photograph_that_changed_is_fitted_anew(photos: Path, tmp_path: Path, kind: str, same_person: bool) -> None:
    options: dict[str, Any] = {"detector": None, "options": FitOptions(same_person=same_person)}
    fit_photographs(photos, tmp_path / "out", **options)
    CHANGES[kind](photos)
    result = fit_photographs(photos, tmp_path / "out", **options)
    fresh = fit_photographs(photos, tmp_path / "whole", **options)
    assert contents_below(tmp_path / "out") == contents_below(tmp_path / "whole") and result.faces == fresh.faces
    assert fit_photographs(photos, tmp_path / "out", **options).new_samples == (0 if not result.skipped else
                                                                           same_person * len(result.faces))  # fmt: skip


def test_samples_are_the_same_wherever_their_table_of_landmarks_lies(photos: Path, tmp_path: Path) -> None:
    rows = [["image", *(f"{axis}{k}" for k in range(68) for axis in "xy")]]
    for file in sorted(photos.rglob("*.txt")):
        rows.append([f"{file.stem}.jpg", *map(str, np.loadtxt(file)[:, :2].ravel().tolist())])
        file.unlink()
    for place in ("a", "b/c"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "marks.csv").write_text("\n".join(map(",".join, rows)))
        result = fit_photographs(photos, tmp_path / place / "out", landmarks=tmp_path / place / "marks.csv")
        assert [face.source for face in result.faces] == [f"marks.csv, row {k + 2}" for k in range(len(rows) - 1)]
    assert contents_below(tmp_path / "a/out") == contents_below(tmp_path / "b/c/out")


@pytest.mark.parametrize("same_person", [False, True])
def test_a_photograph_that_changes_while_it_is_fitted_ends_the_run_and_is_no_sample(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_person: bool
) -> None:
    """It is read a second time, to be copied: what its landmarks were fitted to may have been another picture."""
    options: dict[str, Any] = {"detector": None, "options": FitOptions(same_person=same_person)}
    whole = (photos / "p1.jpg").read_bytes()

    def fit(*arguments: Any, **more: Any) -> Any:
        (photos / "p1.jpg").write_bytes(whole[: len(whole) // 2])
        return fit_landmarks(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "fit_landmarks", fit)
        with pytest.raises(DatasetError, match=r"p1\.jpg: was changed while its faces were fitted; run the command"):
            fit_photographs(photos, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "p1.jpg").exists()
    (photos / "p1.jpg").write_bytes(whole)
    fit_photographs(photos, tmp_path / "out", **options)
    fit_photographs(photos, tmp_path / "whole", **options)
    assert contents_below(tmp_path / "out") == contents_below(tmp_path / "whole")


def test_a_face_that_fits_no_more_leaves_no_sample(photos: Path, tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        rename(photos, name, f"../{name}")
    alone = fit_photographs(photos, tmp_path / "alone", options=FitOptions(same_person=True)).faces[0].residual
    options = FitOptions(same_person=True, max_residual=alone * 1.5)
    fit_photographs(photos, tmp_path / "out", options=options)
    rename(photos.parent, "p1", "photos/p1")  # with it, the shape is one that fits neither as closely
    with pytest.raises(DatasetError, match="none of 2 photographs can be used"):
        fit_photographs(photos, tmp_path / "out", options=options)
    assert not list((tmp_path / "out").glob("p*"))


@pytest.mark.parametrize("end", [".jpg", ".mat"])
def test_a_sample_without_one_of_its_files_is_made_anew(photos: Path, tmp_path: Path, end: str) -> None:
    fit_photographs(photos, tmp_path / "out")
    whole = contents_below(tmp_path / "out")
    (tmp_path / f"out/p1{end}").unlink()
    assert fit_photographs(photos, tmp_path / "out").new_samples == 1
    assert contents_below(tmp_path / "out") == whole


def test_a_person_with_a_new_photograph_is_fitted_anew(photos: Path, tmp_path: Path) -> None:
    rename(photos, "p2", "../p2")
    fit_photographs(photos, tmp_path / "out", options=FitOptions(same_person=True))
    rename(photos.parent, "p2", "photos/p2")
    assert fit_photographs(photos, tmp_path / "out", options=FitOptions(same_person=True)).new_samples == N
    fit_photographs(photos, tmp_path / "whole", options=FitOptions(same_person=True))
    assert contents_below(tmp_path / "out") == contents_below(tmp_path / "whole")


def test_all_faces_are_not_one_persons(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="same_person: with faces = all, expected largest"):
        fit_photographs(photos, tmp_path / "out", options=FitOptions(same_person=True, faces="all"))
    assert not (tmp_path / "out").exists()


# Names


ODD = {
    "line": "new\nline", "surrogate": os.fsdecode(b"\xff"), "long": "n" * 249, "backslash": "a\\b", "dash": "-rf",
    "dots": "a.tar", "blank": " a ", "wide": "日本😀",
}  # fmt: skip


@pytest.mark.parametrize("name", ODD.values(), ids=ODD)
def test_names_of_any_kind_are_resumed_and_built(photos: Path, tmp_path: Path, name: str) -> None:
    rename(photos, "p0", name)
    points = np.loadtxt(photos / "p1.txt")
    np.save(photos / "p1.npy", np.stack([points, points * 0.5 + 5]))
    (photos / "p1.txt").unlink()
    result = fit_photographs(photos, tmp_path / "out", options=FitOptions(faces="all"))
    assert len(result.faces) == N + 1 and not result.skipped
    assert fit_photographs(photos, tmp_path / "out", options=FitOptions(faces="all")).new_samples == 0
    assert build_shards(tmp_path / "out", tmp_path / "shards", config=SMALL).samples == N + 1
    assert {face.name for face in result.faces} == {sample.name for sample in find_samples(tmp_path / "out")}


def test_faces_of_crowds_are_fitted_some_at_a_time(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = np.loadtxt(photos / "p0.txt")
    for k in (0, 1):
        (photos / f"p{k}.txt").unlink()
        np.save(photos / f"p{k}.npy", np.stack([points, points * 0.5 + 5]))
    (tmp_path / "out").mkdir()
    together = []

    def counted(points: NDArray[np.float64], *given: Any, **more: Any) -> LandmarkFit:
        together.append(len(points))
        return fit_landmarks(points, *given, **more)

    monkeypatch.setattr(worker, "fit_landmarks", counted)
    found = tuple(find_photographs(photos, tmp_path / "out", "all"))
    names = []
    for most in (2, 3, 256):
        monkeypatch.setattr(worker, "_MOST_AT_ONCE", most)
        options = FitOptions(faces="all")
        job = FitJob(photos, tmp_path / "out", load_model("builtin"), "builtin", None, None, options, {})
        batch = job.open()(FitTask(found))
        names.append([face.name for face in batch.faces])
        assert not batch.skipped and len(batch.photographs) == N
    assert together == [2, 2, 1, 4, 1, 5]
    assert names == [["p0", "p0-face2", "p1", "p1-face2", "p2"]] * 3


def test_deep_folders_of_long_names_become_one_folder(photos: Path, tmp_path: Path) -> None:
    for letter in ("x", "y"):
        folder = photos.joinpath("a" * 200, letter * 200)
        folder.mkdir(parents=True)
        for suffix in (".jpg", ".txt"):
            shutil.copy(photos / f"p0{suffix}", folder)
    result = fit_photographs(photos, tmp_path / "out")
    assert len({face.name for face in result.faces}) == N + 2 == len(find_samples(tmp_path / "out"))


def test_names_that_build_takes_for_one_are_told(photos: Path, tmp_path: Path) -> None:
    rename(photos, "p0", unicodedata.normalize("NFC", "é"))
    rename(photos, "p1", unicodedata.normalize("NFD", "é"))
    result = fit_photographs(photos, tmp_path / "out")
    assert [face.name for face in result.faces] == ["p2"] and len(result.skipped) == 2
    assert all("another photograph has the same name" in skip.reason for skip in result.skipped)


def test_a_photograph_named_as_anothers_second_face_is_told(photos: Path, tmp_path: Path) -> None:
    rename(photos, "p1", "P0-face2")
    assert len(fit_photographs(photos, tmp_path / "largest").faces) == N
    result = fit_photographs(photos, tmp_path / "all", options=FitOptions(faces="all"))
    (skip,) = result.skipped
    assert skip.image == "P0-face2.jpg" and "a further face of p0 would be called so too" in skip.reason


def test_an_output_named_as_mirrored_is_refused(uvgen: Any, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="photos_Flip: named as 300W-LP's folders of mirrored images"):
        fit_photographs(photos, tmp_path / "photos_Flip")
    assert uvgen("fit", photos, "--out", tmp_path / "photos_flip").exit_code == 1
    assert not (tmp_path / "photos_Flip").exists()


# Folders


def test_linked_folders_are_taken_once_and_loops_end(photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "z").mkdir(parents=True)
    rename(photos, "p0", f"{root}/z/p0")
    (root / "a").symlink_to(root / "z")  # taken under its own name, which comes later
    (root / "loop").symlink_to(root)
    (root / "one").symlink_to(photos)
    (root / "two").symlink_to(photos)
    (photos / "back").symlink_to(root)
    (root / "broken").symlink_to(tmp_path / "nowhere")
    found = find_photographs(root, tmp_path / "out")
    assert [one.name for one in found] == ["one/p1", "one/p2", "z/p0"]


def test_what_was_fitted_before_is_no_photograph(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(photos)
    fit_photographs(photos, tmp_path / "link" / "first")
    assert fit_photographs(photos, tmp_path / "link" / "first").new_samples == 0
    assert len(fit_photographs(photos, photos / "second").faces) == N
    again = fit_photographs(photos / "second", tmp_path / "again", detector=None)  # but where it is asked for
    assert len(again.faces) == N


@pytest.mark.parametrize("parts", [[EXPORT_MARK], REPORT_PARTS])
def test_pictures_of_exports_and_reports_are_no_photographs(photos: Path, tmp_path: Path, parts: list[str]) -> None:
    made = photos / "made"
    for part in (*parts, "crops/0.jpg"):
        (made / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / "p0.jpg", made / part)
    assert [one.name for one in find_photographs(photos, tmp_path / "out")] == [f"p{k}" for k in range(N)]
    (made / parts[0]).unlink()
    assert "made-crops/0" in [one.name for one in find_photographs(photos, tmp_path / "out")]


# Landmark files and detectors


@pytest.fixture
def detector(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A detector that finds all but the first; there are no files."""
    known: list[tuple[NDArray[np.uint8], NDArray[np.float64]]] = [
        (np.asarray(Image.open(path)), np.loadtxt(path.with_suffix(".txt")))
        for path in sorted(photos.glob("*.jpg"))[1:]
    ]  # fmt: skip
    kept = photos.parent / "kept"
    kept.mkdir()
    for path in photos.glob("*.txt"):
        path.rename(kept / path.name)

    class Detector:
        notice = "for research"

        def __call__(self, image: NDArray[np.uint8]) -> list[FaceLandmarks]:
            return [FaceLandmarks(p, None, "68", source="dlib") for a, p in known if np.array_equal(a, image)]

    def opened(name: str, model: Path | None = None) -> Detector:
        if name != "dlib":
            raise DependencyError(f"detector: {name} is not installed") from ModuleNotFoundError(name)
        return Detector()

    monkeypatch.setattr(detectors, "open_detector", opened)
    return kept


@pytest.mark.parametrize("name", ["auto", "dlib"])
def test_what_a_detector_misses_can_be_annotated(photos: Path, detector: Path, tmp_path: Path, name: str) -> None:
    first = fit_photographs(photos, tmp_path / "out", detector=name)
    assert [skip.image for skip in first.skipped] == ["p0.jpg"]
    shutil.copy(detector / "p0.txt", photos)
    result = fit_photographs(photos, tmp_path / "out", detector=name)
    assert result.new_samples == 1 and not result.skipped and result.detector == first.detector
    fit_photographs(photos, tmp_path / "whole", detector=name)
    assert contents_below(tmp_path / "out") == contents_below(tmp_path / "whole")
    for file in detector.glob("*.txt"):
        shutil.copy(file, photos)
    every = fit_photographs(photos, tmp_path / "out", detector=name)
    assert every.new_samples == N - 1 and not {face.source for face in every.faces} & {"dlib"}


def test_photographs_without_a_file_go_to_the_first_installed_detector(
    photos: Path, detector: Path, tmp_path: Path
) -> None:
    for name in ("p0.txt", "p2.txt"):
        shutil.copy(detector / name, photos)
    result = fit_photographs(photos, tmp_path / "out")
    assert [face.source for face in result.faces] == ["p0.txt", "dlib", "p2.txt"] and result.notice == "for research"


def test_photographs_without_a_file_may_come_later_than_the_others(
    photos: Path, detector: Path, tmp_path: Path
) -> None:
    rename_to = tmp_path / "p1.jpg"
    (photos / "p1.jpg").rename(rename_to)
    for name in ("p0.txt", "p2.txt"):
        shutil.copy(detector / name, photos)
    assert fit_photographs(photos, tmp_path / "out").detector is None
    rename_to.rename(photos / "p1.jpg")
    assert fit_photographs(photos, tmp_path / "out").new_samples == 1
    with pytest.raises(SettingsError, match="was made with detector = "):
        fit_photographs(photos, tmp_path / "out", detector=None)


def test_other_landmarks_of_the_same_photographs_are_seen(photos: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for path in photos.glob("*.txt"):
            shutil.copy(path, tmp_path / name)
    noisy(tmp_path / "two/p1.txt", 1)
    fit_photographs(photos, tmp_path / "out", landmarks=tmp_path / "one")
    assert fit_photographs(photos, tmp_path / "out", landmarks=tmp_path / "two").new_samples == 1


def test_parts_that_are_tried_write_nothing(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = list[Path]()

    def look(job: worker.FitJob) -> Any:
        make = whole(job)

        def fit(task: worker.FitTask) -> worker.FittedBatch:
            for part in job.parts(task):
                assert len(make(part).photographs) == 1
            tried.extend((tmp_path / "out").glob("p*"))
            return make(task)

        return fit

    whole = worker.FitJob.open
    monkeypatch.setattr(worker.FitJob, "open", look)
    assert len(fit_photographs(photos, tmp_path / "out").faces) == N and not tried


def test_pictures_of_kinds_that_are_not_read_are_named(uvgen: Any, photos: Path, tmp_path: Path) -> None:
    first = next(path for path in sorted(photos.rglob("*")) if path.suffix in IMAGE_SUFFIXES)
    (photos / f"{first.stem}.CR2").write_bytes(b"the same as a file of the camera")
    assert about_other_pictures(photos, tmp_path / "out") == []
    (photos / "IMG_2.HEIC").write_bytes(b"of a phone")
    result = uvgen("fit", photos, "--out", tmp_path / "out", "--workers", 1)
    assert "1 image is of a kind that is not read, first IMG_2.HEIC, expected .jpg" in result.stderr
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone/IMG_1.HEIC").write_bytes(b"of a phone")
    (tmp_path / "phone/saved.jfif").write_bytes(b"by a browser")
    with pytest.raises(DatasetError, match=r"phone: 2 images are of a kind that is not read, first IMG_1.HEIC"):
        find_photographs(tmp_path / "phone", tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["a.jpg.1", "a.JPG?w=640&h=1.5", "a.jpg_large", "a.jpeg.part", "a.jpg ", "sub/a.png-o"]
)
def test_images_whose_names_were_made_longer_are_named(photos: Path, tmp_path: Path, name: str) -> None:
    for other in ("a.jpg.txt", "a.jpg.supplemental-metadata.json", "a.png.xmp", "b_jpg.npy", "b.jpg.npy", "b 1.jpg"):
        (photos / other).write_bytes(b"of a landmark, or of what is read")
    assert about_other_pictures(photos, tmp_path / "out") == []
    (photos / name).parent.mkdir(exist_ok=True)
    (photos / name).write_bytes(b"an image")
    (said,) = about_other_pictures(photos, tmp_path / "out")
    assert said.startswith(f"1 image has a name that does not end as an image's, first {name}, and is not read")


@pytest.mark.parametrize("name", ["a.jpg(1)", "a.jpg&w=640", "a.jpg~", "a.jpg.download", "IMG_1", "J. Smith", "sub/1"])
def test_images_without_an_image_s_suffix_are_known_by_what_is_in_them(photos: Path, tmp_path: Path, name: str) -> None:
    for other in ("notes", "a.jpg.bak", ".DS_Store", "Thumbs.db"):
        (photos / other).write_bytes(b"no image")
    os.mkfifo(photos / "pipe")
    assert about_other_pictures(photos, tmp_path / "out") == []
    (photos / name).parent.mkdir(exist_ok=True)
    shutil.copy(photos / "p1.jpg", photos / name)
    (said,) = about_other_pictures(photos, tmp_path / "out")
    assert said.startswith(f"1 image has a name that does not end as an image's, first {name}, and is not read")


def test_a_folder_of_images_without_suffixes_says_so(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    for k in range(2):
        shutil.copy(photos / "p1.jpg", tmp_path / f"bare/{k}")
    with pytest.raises(DatasetError, match="2 images have a name that does not end as an image's, first 0, and are"):
        find_photographs(tmp_path / "bare", tmp_path / "out")


def test_a_folder_called_like_a_file_that_is_written_costs_its_own_photographs(photos: Path, tmp_path: Path) -> None:
    for folder in ("fit.json", "p0.mat", "fine.mat"):
        (photos / folder).mkdir()
        for suffix in (".jpg", ".txt"):
            shutil.copy(photos / f"p1{suffix}", photos / folder / f"other{suffix}")
    result = fit_photographs(photos, tmp_path / "out")
    assert {face.name for face in result.faces} == {"p0", "p1", "p2", "fine.mat/other"}
    reasons = {skip.name: skip.reason for skip in result.skipped}
    assert set(reasons) == {"fit.json/other", "p0.mat/other"}
    assert "fit.json, would have the name of the index; rename the folder" in reasons["fit.json/other"]
    assert "p0.mat, would have the name of a file of p0; rename the folder" in reasons["p0.mat/other"]


def test_folder_clashes_are_found_at_any_depth_and_for_further_faces() -> None:
    names = [
        "a",
        "b/c",
        "a.obj/x",
        "a.OBJ/y/z",
        "b/c.obj/d",
        "a-face2.obj/x",
        "a.npy/x",
        "b/register.json/x",
        "b.obj/x",
    ]
    found = folder_clashes([*names, "register.json/x"], "register.json", (".obj",))
    clash = dict(zip([*names, "register.json/x"], found, strict=True))
    fine = {"a", "b/c", "a.npy/x", "b/register.json/x", "b.obj/x"}
    assert {name for name, text in clash.items() if not text} == fine
    assert clash["a.OBJ/y/z"].startswith("its folder, a.OBJ, would have the name of a file of a")


def test_landmarks_that_lie_in_the_folder_to_fill_are_refused_before_any_work(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fit_photographs(photos, out)
    before = contents_below(out)
    with pytest.raises(InputError, match=r"out: .*out is or holds the folder of landmarks, .*; choose another folder"):
        fit_photographs(photos, out, landmarks=out, overwrite=True)
    assert contents_below(out) == before


@pytest.mark.parametrize("below", [".", "subset"])
@pytest.mark.parametrize("linked", [False, True])
def test_photographs_that_lie_in_the_folder_to_fill_are_refused(tmp_path: Path, below: str, linked: bool) -> None:
    (tmp_path / "out/subset").mkdir(parents=True)
    (tmp_path / "out" / below / "a.jpg").touch()
    (tmp_path / "link").symlink_to("out")
    root = tmp_path / ("link" if linked else "out") / below
    with pytest.raises(InputError, match=r"out: .*out is or holds a folder of photographs, .*; choose another folder"):
        find_photographs(root, tmp_path / "out")
