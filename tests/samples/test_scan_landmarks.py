"""`uvgen.samples.scan_landmarks`: 68 landmarks in three dimensions, from files."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from uvgen.errors import InputError
from uvgen.samples.scan_landmarks import is_landmark_file, landmark_file, missing_landmarks, read_scan_landmarks

POINTS = np.round(np.random.default_rng(0).normal(size=(68, 3)) * 50, 3)
POINTS[[3, 50]] = np.nan
PLACES = np.arange(204.0).reshape(68, 3)


def picked(points: np.ndarray, *, named: bool) -> str:
    rows = [
        f'<point x="{0 if np.isnan(x) else x}" y="{y}" z="{z}" active="{int(not np.isnan(x))}" name="{k}"/>'
        for k, (x, y, z) in enumerate(points)
        if not (named and np.isnan(x))
    ]
    return f"<!DOCTYPE PickedPoints>\n<PickedPoints>{''.join(rows)}</PickedPoints>"


SWAPPED = re.sub(r'name="(\d+)"', lambda found: f'name="{67 - int(found[1])}"', picked(np.ones((68, 3)), named=False))
FROM_1 = SWAPPED.replace('"0"', '"68"')


def named(name: Callable[[int], str]) -> str:
    """68 points with names by their place."""
    return re.sub(r'name="(\d+)"', lambda found: f'name="{name(int(found[1]))}"', picked(PLACES, named=False))


def write_all(folder: Path) -> None:
    np.save(folder / "a.landmarks.npy", POINTS)
    np.savetxt(folder / "b.landmarks.txt", POINTS, header="x y z")
    rows = [None if np.isnan(row[0]) else row.tolist() for row in POINTS]
    (folder / "c.landmarks.json").write_text(json.dumps({"landmarks": rows}))
    (folder / "d.landmarks.json").write_text(json.dumps([row or [None] * 3 for row in rows]))
    (folder / "e.landmarks.pp").write_text(picked(POINTS, named=False).replace('y="nan" z="nan"', 'y="0" z="0"'))
    (folder / "f.landmarks.pp").write_text(picked(POINTS, named=True))


@pytest.mark.parametrize("name", "abcdef")
def test_landmarks_of_every_layout_are_the_same(tmp_path: Path, name: str) -> None:
    write_all(tmp_path)
    path = landmark_file(tmp_path / f"{name}.obj")
    assert path is not None
    np.testing.assert_array_equal(read_scan_landmarks(path), POINTS)


def test_landmark_files_are_found_beside_scans_and_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "marks/ann").mkdir(parents=True)
    for name in ("marks/ann/1.txt", "marks/2.landmarks.npy", "3.landmarks.pp"):
        (tmp_path / name).write_text("")
    marks = tmp_path / "marks"
    assert landmark_file(tmp_path / "ann/1.obj", marks) == marks / "ann/1.txt"
    assert landmark_file(tmp_path / "bob/2.obj", marks) == marks / "2.landmarks.npy"
    (tmp_path / "marks/bob/ann").mkdir(parents=True)
    (tmp_path / "marks/bob/ann/1.txt").write_text("")
    assert landmark_file(tmp_path / "bob/ann/1.obj", marks) == marks / "bob/ann/1.txt"
    assert landmark_file(tmp_path / "3.npy") == tmp_path / "3.landmarks.pp"
    assert landmark_file(tmp_path / "4.npy") is None
    assert "4.npy: no landmarks in" in missing_landmarks(tmp_path / "4.npy", None)
    (tmp_path / "3.landmarks.npy").write_text("")
    with pytest.raises(InputError, match=r"two files of landmarks, .*3\.landmarks\.npy and 3\.landmarks\.pp"):
        landmark_file(tmp_path / "3.npy")


@pytest.mark.parametrize(
    ("scan", "file"),
    [
        ("face.obj", "FACE.LANDMARKS.TXT"),
        ("FACE.OBJ", "face.landmarks.txt"),
        ("face.obj", "face.LANDMARKS.NPY"),
        ("andr\u00e9.obj", "andre\u0301.landmarks.pp"),
        ("andre\u0301.obj", "ANDR\u00c9.LANDMARKS.PP"),
        ("ann/1_a.obj", "marks/1_A.JSON"),
    ],
)
def test_landmark_files_are_found_however_their_names_are_spelled(tmp_path: Path, scan: str, file: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    folder = tmp_path / "marks" if path.parent.name != tmp_path.name else None
    assert landmark_file(tmp_path / scan, folder) == path
    assert is_landmark_file(path) == (folder is None)
    exact = path.parent / f"{Path(scan).stem}.landmarks.json"
    exact.write_text("")
    assert landmark_file(tmp_path / scan, folder) == exact


def test_folders_of_landmarks_are_found_however_their_accents_are_written(tmp_path: Path) -> None:
    path = tmp_path / "marks" / "andr\u00e9" / "1.txt"
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert landmark_file(tmp_path / "andre\u0301/1.obj", tmp_path / "marks") == path


def test_a_scan_is_not_its_own_landmarks_and_may_have_the_longest_name(tmp_path: Path) -> None:
    for name in ("A.NPY", f"{'a' * 248}.obj"):
        (tmp_path / name).write_text("")
        assert landmark_file(tmp_path / name, tmp_path) is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "1 2 3\n", r"\(1, 3\) numbers, expected 68 landmarks"),
        ("a.txt", "1 2\n", "line 1: '1 2', expected x y z"),
        ("a.txt", "1 2 x\n", "line 1: '1 2 x', expected x y z"),
        ("a.json", "[1, 2]", r"point 0 is 1, expected \[x, y, z\] or null"),
        ("a.json", "{}", "not a list of points"),
        ("a.json", "[", "not readable JSON"),
        ("a.pp", "<a", "not readable as picked points"),
        ("a.pp", "<!ENTITY a>", "document type or entities"),
        ("a.pp", '<p><point x="1" y="2" z="3" name="nose"/></p>', "1 point, expected 68 in order"),
        ("a.pp", FROM_1, "points named 1 to 68 in another order, expected the order of their names"),
        ("a.pp", SWAPPED, "points named 0 to 67 in another order, expected the order of their names"),
        ("a.pp", named(lambda k: f"p{67 - k}"), "points named p0 to p67 in another order"),
        ("a.pp", named(lambda k: f"{68 - k:02}. Jaw"), r"points named 01\. Jaw to 68\. Jaw in another order"),
        ("a.pp", named(lambda k: f"{'jaw' if k < 9 else 'eye'} {(k + 1) % 68}"), "points named eye 0 to eye 67 in"),
        ("a.pp", named(lambda k: str(max(67 - k, 1))), "points named 1 to 67 in another order"),
        ("a.npy", "no", "damaged"),
        ("a.csv", "", r"a name that ends in \.csv"),
        ("none.txt", None, "cannot be read"),
    ],
)
def test_bad_landmark_files_are_named(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_scan_landmarks(tmp_path / name)


@pytest.mark.parametrize("name", [
    lambda k: f"point {k}", lambda k: f"lm-{k + 1:02}", lambda k: f"{'jaw' if k < 17 else 'rest'} {k % 17}",
    lambda k: str(37 * k), lambda k: str(9000 - k * 100), lambda k: f"{k}/68", lambda k: "x", lambda k: "7",
])  # fmt: skip
def test_68_picked_points_of_other_names_are_in_order(tmp_path: Path, name: Callable[[int], str]) -> None:
    (tmp_path / "a.pp").write_text(named(name))
    np.testing.assert_array_equal(read_scan_landmarks(tmp_path / "a.pp"), PLACES)


def test_landmarks_of_bool_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((68, 3), bool))
    with pytest.raises(InputError, match=r"a\.npy: bool, expected 68 landmarks"):
        read_scan_landmarks(tmp_path / "a.npy")


def test_a_lost_link_in_the_place_of_landmarks_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.landmarks.txt").symlink_to(tmp_path / "not fetched")
    found = landmark_file(tmp_path / "a.obj")
    assert found == tmp_path / "a.landmarks.txt"
    with pytest.raises(InputError, match=r"a\.landmarks\.txt"):
        read_scan_landmarks(found)
