"""Landmark files: each layout, its first pixel, several faces, and what is wrong."""

import errno
import json
import os
import pickle
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import scipy.io as sio
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.samples.landmark_claims import disputed_landmarks
from uvgen.samples.landmark_files import find_landmarks, has_landmarks, read_landmarks
from uvgen.samples.landmark_schemes import FaceLandmarks, NoLandmarks, UnreadLandmarks


def points(n: int = 68, seed: int = 0) -> NDArray[np.float64]:
    return np.round(np.random.default_rng(seed).uniform(5, 90, (n, 2)), 3)


def text(array: NDArray[np.float64]) -> str:
    return "\n".join(" ".join(map(str, row)) for row in array)


def pts(array: NDArray[np.float64]) -> str:
    return f"version: 1\nn_points: {len(array)}\n{{\n{text(array)}\n}}\n"


def only(image: Path, where: Path | None = None) -> FaceLandmarks:
    (found,) = find_landmarks([image], where).values()
    assert not isinstance(found, str), found
    (face,) = found
    return face


def problem(image: Path, where: Path | None = None) -> str:
    (found,) = find_landmarks([image], where).values()
    assert isinstance(found, str)
    return found


def write(path: Path, suffix: str, array: NDArray[np.float64]) -> Path:
    path = path.with_suffix(suffix)
    if suffix == ".txt":
        path.write_text(text(array))
    elif suffix == ".pts":
        path.write_text(pts(array + 1))
    elif suffix == ".npy":
        np.save(path, array)
    else:
        sio.savemat(path, {"pt2d": array.T + 1, "Pose_Para": np.ones((1, 7))})
    return path


@pytest.mark.parametrize("suffix", [".txt", ".pts", ".npy", ".mat"])
def test_find_landmarks_takes_names_in_capitals(tmp_path: Path, suffix: str) -> None:
    """As tools of Windows write them, beside IMG_0.JPG."""
    file = write(tmp_path / "IMG_0", suffix, points())
    file.rename(file.with_suffix(suffix.upper()))
    np.testing.assert_allclose(only(tmp_path / "IMG_0.JPG").points, points(), atol=1e-6)
    write(tmp_path / "IMG_0", suffix, points(seed=1))  # that of the image's own name counts
    np.testing.assert_allclose(only(tmp_path / "IMG_0.JPG").points, points(seed=1), atol=1e-6)


@pytest.mark.parametrize("suffix", [".txt", ".pts", ".npy", ".mat"])
@pytest.mark.parametrize("n", [5, 21, 68, 98, 106, 468, 478])
def test_find_landmarks_beside_an_image_gives_its_points_from_pixel_0(tmp_path: Path, suffix: str, n: int) -> None:
    wanted = points(n)
    write(tmp_path / "a b", suffix, wanted)
    face = only(tmp_path / "a b.jpg")
    np.testing.assert_allclose(face.points, wanted, atol=1e-9)
    assert face.scores is None and face.scheme.startswith("478" if n > 106 else str(n))


def test_find_landmarks_in_a_folder_prefers_the_subfolder_of_the_image(tmp_path: Path) -> None:
    for number, folder in enumerate(("AFW", "IBUG", ".")):
        (tmp_path / "marks" / folder).mkdir(parents=True, exist_ok=True)
        write(tmp_path / "marks" / folder / "a", ".txt", points(seed=number))
    found = find_landmarks([tmp_path / name for name in ("AFW/a.jpg", "IBUG/a.png", "else/a.jpg")], tmp_path / "marks")
    for number, faces in enumerate(found.values()):
        assert not isinstance(faces, str)
        assert np.array_equal(faces[0].points, points(seed=number))


def test_find_landmarks_in_a_folder_follows_the_folders_of_the_image(tmp_path: Path) -> None:
    accents = unicodedata.normalize("NFD", "Zoé")
    folders = ["x/Zoé/1", "y/Zoé/1", "1"]
    for number, folder in enumerate(folders):
        (tmp_path / "marks" / folder.replace("Zoé", accents)).mkdir(parents=True)
        write(tmp_path / "marks" / folder.replace("Zoé", accents) / "a", ".txt", points(seed=number))
    images = [tmp_path / "photos" / folder / "a.jpg" for folder in [*folders, "z/Zoé/1"]]
    for number, faces in enumerate(find_landmarks(images, tmp_path / "marks").values()):
        assert not isinstance(faces, str)
        assert np.array_equal(faces[0].points, points(seed=min(number, 2)))
    assert not disputed_landmarks(images[:3], tmp_path / "marks")


def test_find_landmarks_of_several_faces_puts_the_largest_first(tmp_path: Path) -> None:
    small, large = points() / 3, points(seed=1)
    (tmp_path / "a.txt").write_text(f"# two faces\n{text(small)}\n\n{text(large)}\n")
    np.save(tmp_path / "b.npy", np.stack([small, large]))
    for faces in find_landmarks([tmp_path / "a.jpg", tmp_path / "b.jpg"]).values():
        assert not isinstance(faces, str)
        assert all(np.array_equal(face.points, wanted) for face, wanted in zip(faces, (large, small), strict=True))


@pytest.mark.parametrize("head", ["106\n", "# LaPa\n\n106 # points\n", "0106\n\n"])
def test_read_landmarks_of_a_text_that_begins_with_the_number_of_points_passes_it_over(
    tmp_path: Path, head: str
) -> None:
    (tmp_path / "a.txt").write_text(head + text(points(106)))
    (face,) = read_landmarks(tmp_path / "a.txt")
    np.testing.assert_allclose(face.points, points(106))


def test_read_landmarks_of_a_text_with_too_many_faces_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n".join([text(points(5))] * 1001))
    with pytest.raises(InputError, match=r"a\.txt: 1001 faces, expected 1000 at most"):
        read_landmarks(tmp_path / "a.txt")


def test_read_landmarks_of_points_in_braces_twice_names_them(tmp_path: Path) -> None:
    (tmp_path / "a.pts").write_text(pts(points()) + "{\n1 2\n}\n")
    with pytest.raises(InputError, match=r"a\.pts: points in braces twice"):
        read_landmarks(tmp_path / "a.pts")


def test_read_landmarks_marks_points_that_are_none(tmp_path: Path) -> None:
    array = np.column_stack([points(), np.full(68, 0.5)])
    array[3, 2], array[4, :2], array[5, 0], array[6, 0] = 0, -1, np.nan, 1e9
    write(tmp_path / "a", ".txt", array)
    (face,) = read_landmarks(tmp_path / "a.txt")
    assert np.flatnonzero(np.isnan(face.points).all(axis=1)).tolist() == [3, 4, 5, 6]
    assert face.scores is not None and face.scores[3] == 0 and face.scores[7] == 0.5
    sio.savemat(tmp_path / "b.mat", {"pt2d": np.where(np.arange(21) == 2, -1, points(21).T)})
    (face,) = read_landmarks(tmp_path / "b.mat")
    assert np.flatnonzero(np.isnan(face.points).any(axis=1)).tolist() == [2]


def test_read_landmarks_takes_a_third_column_of_px_for_a_depth(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.column_stack([points(), points()[:, 0]]))
    (face,) = read_landmarks(tmp_path / "a.npy")
    assert face.scores is None and np.array_equal(face.points, points())


def test_find_landmarks_of_mat_takes_the_most_points_and_reorders_flipped_ones(tmp_path: Path) -> None:
    (tmp_path / "IBUG_Flip").mkdir()
    content = {"pt2d": points(21).T, "pt3d_68": np.vstack([points().T + 1, np.ones(68)])}
    sio.savemat(tmp_path / "a.mat", content)
    assert np.allclose(only(tmp_path / "a.jpg").points, points())
    sio.savemat(tmp_path / "IBUG_Flip/a.mat", {"pt2d": points().T + 1})
    assert np.allclose(only(tmp_path / "IBUG_Flip/a.jpg").points, points()[LANDMARK_MIRROR])


@pytest.mark.parametrize("key", ["pts", "landmarks", "points", "pt2d", "pts_2d"])
def test_find_landmarks_of_mat_keeps_scores(tmp_path: Path, key: str) -> None:
    array = np.column_stack([points() + 1, np.linspace(0, 1, 68)])
    array[9, :2], array[10, 0] = 0, -1
    (tmp_path / "IBUG_Flip").mkdir()
    for file in ("a.mat", "IBUG_Flip/a.mat"):
        sio.savemat(tmp_path / file, {key: array.T if key == "pt2d" else array})
    face = only(tmp_path / "a.jpg")
    assert np.flatnonzero(np.isnan(face.points).any(axis=1)).tolist() == [0, 9, 10] and face.scores is not None
    np.testing.assert_allclose(np.delete(face.scores, [9, 10]), np.delete(array[:, 2], [9, 10]))
    mirrored = only(tmp_path / "IBUG_Flip/a.jpg")
    assert mirrored.scores is not None and np.array_equal(mirrored.scores, face.scores[LANDMARK_MIRROR])
    sio.savemat(tmp_path / "b.mat", {"pts_3d": array})
    assert only(tmp_path / "b.jpg").scores is None


def test_find_landmarks_of_a_reference_mat_gives_its_pt3d_68(reference: Path) -> None:
    mat = sorted((reference / "aflw2000").glob("*.mat"))[0]
    wanted = sio.loadmat(mat)["pt3d_68"][:2].T - 1.0
    np.testing.assert_allclose(only(mat.with_suffix(".jpg")).points, wanted)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", text(points(67)), r"a\.txt: 67 points, expected 5, 21, 68, .*one per line \(landmarks of .*a\.jpg\)"),
        ("a.txt", text(points()) + " 1 2", r"a\.txt, line 68: .*, expected x y, or x y score"),
        ("a.txt", "\n".join(["3 3"] * 68), r"68 of 68 points are marked, expected 3 or more, not in one place"),
        ("a.txt", "\n".join(["-1 -1"] * 68), r"0 of 68 points are marked, expected 3"),
        ("a.txt", "", r"a\.txt: 0 points, expected"),
        ("a.txt", "106\n" + text(points(68)), r"a\.txt: 68 points, expected 106 as its first line says"),
        ("a.txt", "68\n" * 2 + text(points(68)), r"a\.txt, line 2: '68', expected x y"),
        ("a.txt", text(points(68)) + "\n68", r"a\.txt, line 69: '68', expected x y"),
        ("a.pts", pts(points())[:-40], r"a\.pts: no points in braces, expected iBUG's .*cut short"),
        (
            "a.pts",
            pts(points()).replace("n_points: 68", "n_points: 98"),
            r"68 points, expected 98 as its n_points says",
        ),
        (
            "a.pts",
            "n_points: 68\n" + pts(points()).replace("n_points: 68", "n_points: 5"),
            "expected 5 as its",
        ),
        ("a.pts", pts(points()) + "1 2\n", r"a\.pts: '1 2' after the points in braces, expected nothing"),
        ("a.pts", pts(points()) + "}", r"a\.pts: '}' after the points in braces, expected nothing"),
        ("a.pts", "7 8\n" + pts(points()), r"a\.pts: '7 8' before the points in braces, expected all points in them"),
        ("a.npy", b"\x93NUMPY\1\0", r"a\.npy: damaged \.npy header"),
        ("a.npy", pickle.dumps(points()), r"a\.npy: damaged"),
        ("a.mat", b"x" * 300, r"a\.mat: not a readable MATLAB file"),
    ],
)
def test_find_landmarks_names_a_wrong_file_and_its_image(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert re.search(message, problem(tmp_path / "a.jpg"))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_find_landmarks_names_a_file_whose_disk_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "a.pts").write_text(pts(points()))
    look_at = Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        if path.name == "a.pts":
            raise OSError(number, os.strerror(number), path)
        return look_at(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    found = find_landmarks([tmp_path / "a.jpg"])[tmp_path / "a.jpg"]
    assert isinstance(found, UnreadLandmarks) and found.errno == number
    assert f"a.pts: cannot be read ({os.strerror(number)})" in found


def test_find_landmarks_refuses_objects_in_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object))
    assert "object values, expected real numbers" in problem(tmp_path / "a.jpg")
    np.save(tmp_path / "a.npy", np.ones((68, 4)))
    assert "an array of 68 × 4, expected n × 2" in problem(tmp_path / "a.jpg")


def test_find_landmarks_refuses_bool_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", points() > 100)
    assert re.search(r"a\.npy: bool 68 × 2, expected places in px", problem(tmp_path / "a.jpg"))


def test_find_landmarks_refuses_a_mat_with_two_sets_of_points(tmp_path: Path) -> None:
    sio.savemat(tmp_path / "a.mat", {"pts": points(), "landmarks": points() + 50})
    assert "pts and landmarks are other points of as many, expected one of them" in problem(tmp_path / "a.jpg")
    sio.savemat(tmp_path / "a.mat", {"pts": points() + 1, "points": points() + 1, "landmarks": points(21)})
    (face,) = read_landmarks(tmp_path / "a.mat")
    np.testing.assert_allclose(face.points, points(), atol=1e-6)


def test_find_landmarks_without_or_with_two_files_says_so(tmp_path: Path) -> None:
    assert re.search(r"a\.jpg: no landmarks in .*, expected a with one of \.txt, \.pts", problem(tmp_path / "a.jpg"))
    write(tmp_path / "a", ".txt", points())
    write(tmp_path / "a", ".mat", points(seed=1))  # parameters, perhaps
    assert np.array_equal(only(tmp_path / "a.jpg").points, points())
    write(tmp_path / "a", ".npy", points())
    assert re.search(r"a\.jpg: two files of landmarks, .*a\.txt and a\.npy, expected one", problem(tmp_path / "a.jpg"))


def test_find_landmarks_of_a_damaged_file_is_not_taken_for_none_whatever_its_path_says(tmp_path: Path) -> None:
    image = tmp_path / "x: no landmarks in y" / "a.jpg"
    image.parent.mkdir()
    (missing,) = find_landmarks([image]).values()
    image.with_suffix(".txt").write_text("1 2\n")
    (damaged,) = find_landmarks([image]).values()
    assert isinstance(missing, NoLandmarks) and isinstance(damaged, str) and not isinstance(damaged, NoLandmarks)
    assert isinstance(pickle.loads(pickle.dumps(missing)), NoLandmarks)  # jobs take it to their processes


def test_find_landmarks_where_there_is_no_table_is_an_error(tmp_path: Path) -> None:
    for name, message in (("none.csv", "cannot be read"), ("a.pkl", "not there, expected a folder")):
        with pytest.raises(InputError, match=message):
            find_landmarks([], tmp_path / name)
    (tmp_path / "a.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match="no faces in it"):
        find_landmarks([], tmp_path / "a.json")


@pytest.mark.parametrize("first", [0, 1, 36])
def test_read_landmarks_tells_numbered_points_from_points(tmp_path: Path, first: int) -> None:
    points = np.random.default_rng(0).uniform(0, 100, (68, 2))
    numbered = np.column_stack([np.arange(68) + first, points])
    np.savetxt(tmp_path / "a.txt", numbered)
    with pytest.raises(InputError, match=r"a\.txt: each point begins with its number, [0-9]+ to [0-9]+, expected x y"):
        read_landmarks(tmp_path / "a.txt")
    numbered[5, 0] = 7.5
    np.savetxt(tmp_path / "a.txt", numbered)
    assert read_landmarks(tmp_path / "a.txt")[0].points[5, 0] == 7.5


def test_find_landmarks_of_an_image_with_the_longest_name_looks_for_longer_ones(tmp_path: Path) -> None:
    image = tmp_path / f"{'x' * 251}.jpg"
    write(image.with_suffix(".txt"), ".txt", points())
    np.testing.assert_allclose(only(image).points, points(), atol=1e-5)
    assert "no landmarks in" in problem(tmp_path / f"{'y' * 251}.jpg")
    assert "no landmarks in" in problem(tmp_path / f"{'y' * 300}.jpg")


@pytest.mark.parametrize("suffix", [".txt", ".npy", ".mat"])
def test_read_landmarks_whose_points_are_numbered_in_another_order_is_refused(tmp_path: Path, suffix: str) -> None:
    numbered = np.column_stack([np.arange(68), points()])[::-1]
    write(tmp_path / "a", suffix, numbered)
    with pytest.raises(InputError, match=r"each point begins with its number, [01] to 6[78], expected x y"):
        read_landmarks(tmp_path / f"a{suffix}")


def test_find_landmarks_of_a_mirrored_image_does_not_depend_on_how_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "IBUG_Flip"
    folder.mkdir()
    write(folder / "a", ".mat", points())
    monkeypatch.chdir(folder)
    for image in (folder / "a.jpg", Path("a.jpg"), Path("../IBUG_Flip/./a.jpg")):
        np.testing.assert_allclose(only(image).points, points()[LANDMARK_MIRROR], atol=1e-5)


def test_find_landmarks_looks_in_the_folder_of_the_image_s_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("AFW/x", "marks/AFW"):
        (tmp_path / folder).mkdir(parents=True)
    write(tmp_path / "marks/AFW/a", ".txt", points())
    write(tmp_path / "a", ".txt", points(seed=1))  # where marks/.. leads to
    monkeypatch.chdir(tmp_path / "AFW")
    np.testing.assert_allclose(only(Path("a.jpg"), tmp_path / "marks").points, points())
    monkeypatch.chdir(tmp_path / "AFW/x")
    np.testing.assert_allclose(only(Path("../a.jpg"), tmp_path / "marks").points, points())


@pytest.mark.parametrize("stated", ["n_points: 068", "n_points 68", "N_POINTS:\t68 "])
def test_read_landmarks_takes_the_number_of_points_however_it_is_written(tmp_path: Path, stated: str) -> None:
    (tmp_path / "a.pts").write_text(pts(points() + 1).replace("n_points: 68", stated))
    np.testing.assert_allclose(read_landmarks(tmp_path / "a.pts")[0].points, points(), atol=1e-5)


def test_weights_that_a_fit_states_of_its_points_are_scores(tmp_path: Path) -> None:
    weights = np.where(np.arange(68) % 5 == 1, 0.25, 1.0)
    content = {"pt2d": points().T + 1, "pt2d_weight": weights[None]}
    sio.savemat(tmp_path / "a.mat", content)
    (face,) = read_landmarks(tmp_path / "a.mat")
    np.testing.assert_allclose(face.points, points())
    assert face.scores is not None and face.scores.tolist() == weights.tolist()
    sio.savemat(tmp_path / "b.mat", {**content, "pt2d_weight": weights[None, :21]})
    assert read_landmarks(tmp_path / "b.mat")[0].scores is None


@pytest.mark.parametrize("name", ["a.txt", "A.PTS", "a_pts.mat"])
def test_find_landmarks_names_a_link_to_what_is_not_there(tmp_path: Path, name: str) -> None:
    """git-annex has such links in the place of files that it has not fetched: no detector takes their place."""
    (tmp_path / name).symlink_to(tmp_path / "not fetched")
    image = tmp_path / ("A.jpg" if name == "A.PTS" else "a.jpg")
    found = find_landmarks([image])[image]
    assert isinstance(found, str) and not isinstance(found, NoLandmarks)
    assert found.startswith(f"{tmp_path / name}: cannot be read (No such file or directory)")
    assert has_landmarks(image)
    marks = tmp_path / "marks"
    marks.mkdir()
    (marks / tmp_path.name).symlink_to(tmp_path / "not mounted")
    assert "a link to what is not there, expected a folder of landmarks" in str(find_landmarks([image], marks)[image])
