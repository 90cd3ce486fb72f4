"""Landmarks that several images could take: one has them, or nobody."""

import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from uvgen.samples.landmark_claims import disputed_landmarks, disputed_scan_landmarks
from uvgen.samples.landmark_names import image_key
from uvgen.samples.landmark_schemes import NoLandmarks
from uvgen.samples.landmark_tables import LandmarkTable, read_table

POINTS = np.random.default_rng(4).uniform(5, 90, (68, 2)).tolist()


def table_of(folder: Path, *names: str) -> LandmarkTable:
    path = folder / "t.json"
    path.write_text(json.dumps(dict.fromkeys(names, POINTS)))
    return read_table(path)


def disputed(root: Path, table: LandmarkTable, *images: str) -> dict[str, str]:
    """What is wrong, by the image's path below the root."""
    found = disputed_landmarks([root / image for image in images], None, table)
    return {image.relative_to(root).as_posix(): why for image, why in found.items()}


def test_many_columns_that_may_name_the_image_are_refused_before_they_are_compared() -> None:
    names = [f"i{'_' * k}mage" for k in range(17)]
    assert image_key(names[:16], ["a.jpg"] * 16) == 0
    with pytest.raises(ValueError, match=r"^image and i_mage may both name the image"):
        image_key(names, ["a.jpg"] * 17)


def test_disputed_landmarks_of_a_table_leave_an_entry_to_the_image_that_shares_most_folders(tmp_path: Path) -> None:
    wrong = disputed(tmp_path, table_of(tmp_path, "alice/1.jpg"), "alice/1.jpg", "bob/1.jpg", "bob/2.jpg")
    assert list(wrong) == ["bob/1.jpg"]
    assert re.search(
        r"bob/1\.jpg: not among the images of .*, whose alice/1\.jpg belongs to .*alice/1\.jpg", wrong["bob/1.jpg"]
    )
    assert isinstance(wrong["bob/1.jpg"], NoLandmarks)


def test_disputed_landmarks_of_a_table_leave_an_entry_to_the_image_in_the_folder_of_all(tmp_path: Path) -> None:
    assert list(disputed(tmp_path, table_of(tmp_path, "1.jpg"), "1.jpg", "bob/1.jpg", "x/y/1.jpg")) == [
        "bob/1.jpg",
        "x/y/1.jpg",
    ]


def test_disputed_landmarks_of_a_table_with_an_entry_for_each_suffix_are_none(tmp_path: Path) -> None:
    table = table_of(tmp_path, "1.jpg", "1.png")
    assert disputed(tmp_path, table, "alice/1.jpg", "bob/1.png") == {}
    assert list(disputed(tmp_path, table, "alice/1.jpg", "bob/1.png", "carl/1.png")) == ["bob/1.png", "carl/1.png"]


def test_disputed_landmarks_of_names_that_are_composed_otherwise_are_one_s(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))
    wrong = disputed(tmp_path, table_of(tmp_path, composed), f"alice/{composed}", f"bob/{apart}")
    assert len(wrong) == 2


@pytest.mark.parametrize("order", [("alice/1.jpg", "bob/1.jpg"), ("bob/1.jpg", "alice/1.jpg")])
def test_disputed_landmarks_of_a_table_give_nobody_what_may_be_of_two(tmp_path: Path, order: tuple[str, str]) -> None:
    wrong = disputed(tmp_path, table_of(tmp_path, "1.jpg"), *order)
    assert set(wrong) == set(order)
    assert "t.json, 1.jpg may be of" in wrong["alice/1.jpg"] and "bob/1.jpg as well" in wrong["alice/1.jpg"]
    assert not isinstance(wrong["alice/1.jpg"], NoLandmarks)


def test_disputed_landmarks_of_images_with_entries_of_their_own_are_none(tmp_path: Path) -> None:
    assert not disputed(tmp_path, table_of(tmp_path, "alice/1.jpg", "bob/1.jpg"), "alice/1.jpg", "bob/1.jpg", "c/2.jpg")
    assert not disputed(tmp_path, table_of(tmp_path, "data/1.jpg"), "photos/1.jpg")  # one image of this name


def test_disputed_landmarks_of_a_folder_are_those_of_one_file_for_two_images(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    (marks / "alice").mkdir(parents=True)
    images = [tmp_path / name for name in ("alice/1.jpg", "bob/1.jpg", "carl/1.jpg")]
    (marks / "alice" / "1.txt").touch()
    assert not disputed_landmarks(images, marks)
    (marks / "1.txt").touch()
    wrong = disputed_landmarks(images, marks)
    assert set(wrong) == set(images[1:])
    assert re.search(r"marks/1\.txt may be of .*carl/1\.jpg as well, expected landmarks that name", wrong[images[1]])
    assert not disputed_landmarks(images[:2], marks)
    twice = [tmp_path / "x" / "alice" / "1.jpg", tmp_path / "y" / "alice" / "1.jpg"]
    assert set(disputed_landmarks(twice, marks)) == set(twice)


def test_disputed_landmarks_of_a_table_take_backslashes_in_a_name_for_folders_as_the_table_does(tmp_path: Path) -> None:
    """As archives of Windows have them that are unpacked elsewhere."""
    images = ("x\\a.jpg", "y\\a.jpg")
    assert set(disputed(tmp_path, table_of(tmp_path, "a.jpg"), *images)) == set(images)
    assert list(disputed(tmp_path, table_of(tmp_path, "x/a.jpg"), *images)) == ["y\\a.jpg"]
    assert not disputed(tmp_path, table_of(tmp_path, "x\\a.jpg", "y/a.jpg"), *images)


@pytest.mark.parametrize("ending", ["_pts.mat", "_PTS.MAT"])
@pytest.mark.parametrize("other", ["a_pts.jpg", "x/a_pts.jpg"])
def test_disputed_landmarks_in_a_file_that_is_called_as_two_images_are_nobody_s(
    tmp_path: Path, ending: str, other: str
) -> None:
    """300W-LP's a_pts.mat has the landmarks of a.jpg."""
    marks = tmp_path / "marks"
    marks.mkdir()
    (marks / f"a{ending}").touch()
    second = Path(other.replace("_pts", ending[:4]))
    images = [tmp_path / "a.jpg", tmp_path / second, tmp_path / "b.jpg"]
    wrong = disputed_landmarks(images, marks)
    assert list(wrong) == images[:2] and not any(isinstance(why, NoLandmarks) for why in wrong.values())
    assert f"may be of {images[1]} as well, expected it to be of one; rename" in wrong[images[0]]
    assert not disputed_landmarks(images[::2], marks) and not disputed_landmarks(images[1:], marks)
    (marks / "a.txt").touch()  # then the other one is the second's
    assert not disputed_landmarks(images, marks)


def test_disputed_landmarks_in_a_file_that_is_called_as_two_scans_are_nobody_s(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    (tmp_path / "marks" / "a.landmarks.txt").touch()
    scans = [tmp_path / name for name in ("a.obj", "a.landmarks.obj")]
    assert list(disputed_scan_landmarks(scans, tmp_path / "marks")) == scans


def test_disputed_landmarks_of_a_table_give_names_that_differ_after_a_point_each_their_own(tmp_path: Path) -> None:
    table = table_of(tmp_path, "portrait.left")
    assert not disputed(tmp_path, table, "portrait.jpg", "portrait.left.jpg")
    assert [table.has_image(tmp_path / name) for name in ("portrait.jpg", "portrait.left.jpg")] == [False, True]


def test_disputed_landmarks_of_scans_are_those_of_one_file_for_two(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    (marks / "neutral").mkdir(parents=True)
    scans = [tmp_path / name for name in ("ann/neutral/1.obj", "bob/neutral/1.ply", "carl/smile/1.obj", "bob/2.obj")]
    assert not disputed_scan_landmarks(scans, marks)
    (marks / "1.landmarks.txt").touch()
    assert set(disputed_scan_landmarks(scans, marks)) == set(scans[:3])
    (marks / "neutral" / "1.json").touch()
    wrong = disputed_scan_landmarks(scans, marks)
    assert set(wrong) == set(scans[:2])  # the third has the other file for itself
    assert re.search(r"marks/neutral/1\.json may be of .*bob/neutral/1\.ply as well", wrong[scans[0]])
    top = [tmp_path / "1.obj", tmp_path / "dave" / "1.obj"]
    assert list(disputed_scan_landmarks(top, marks)) == top[1:]
    assert isinstance(disputed_scan_landmarks(top, marks)[top[1]], NoLandmarks)
    assert not disputed_scan_landmarks(scans)  # beside them there are none


def test_landmarks_that_are_called_exactly_as_a_scan_are_not_those_of_one_spelled_otherwise(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    (tmp_path / "marks" / "face1.txt").touch()
    ann, bob, carl = (tmp_path / name for name in ("ann/Face1.obj", "bob/face1.obj", "carl/FACE1.obj"))
    assert list(disputed_scan_landmarks([ann, bob], tmp_path / "marks")) == [ann]
    assert list(disputed_scan_landmarks([ann, carl], tmp_path / "marks")) == [ann, carl]


def test_landmarks_in_capitals_may_be_of_each_name_that_has_these_capitals(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    (tmp_path / "marks" / "YILDIZ.txt").touch()
    scans = [tmp_path / name for name in ("yıldız.obj", "yildiz.obj")]
    assert set(disputed_scan_landmarks(scans, tmp_path / "marks")) == set(scans)


def test_disputed_landmarks_of_many_images_of_one_name_take_no_square_time(tmp_path: Path) -> None:
    images = [tmp_path / f"folder {k}" / "1.jpg" for k in range(20_000)]
    assert len(disputed_landmarks(images, None, table_of(tmp_path, "1.jpg"))) == len(images)
