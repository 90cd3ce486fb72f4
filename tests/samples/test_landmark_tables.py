"""Landmarks of many images in one file: each layout, how images are found in it, and what is wrong."""

import json
import re
import tracemalloc
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.samples.box_tables import read_boxes
from uvgen.samples.landmark_files import find_landmarks, read_landmarks
from uvgen.samples.landmark_names import named_by_place
from uvgen.samples.landmark_schemes import FaceLandmarks, NoLandmarks, outside_image
from uvgen.samples.landmark_tables import LandmarkTable, read_table

POINTS = np.round(np.random.default_rng(4).uniform(5, 90, (68, 2)), 2)


def csv_with_header(faces: dict[str, NDArray[np.float64]]) -> str:
    n = len(next(iter(faces.values())))
    head = ",".join(["frame_nr", "image", *(f" x_{k}" for k in range(n)), *(f" y_{k}" for k in range(n))])
    rows = [f"7,{name}," + ",".join(map(str, face.T.ravel())) for name, face in faces.items()]
    return "\n".join([head, *rows])


def columns_of(x: str, y: str, numbers: Iterable[int]) -> str:
    """A header with these points' columns."""
    return ",".join(["image", *(f"{x}{n},{y}{n}" for n in numbers)])


def coco_of(*images: dict[str, Any]) -> str:
    return json.dumps({"images": images, "annotations": []})


def csv_without(faces: dict[str, NDArray[np.float64]]) -> str:
    return "\r\n".join(";".join([name, *map(str, face.ravel())]) for name, face in faces.items())


def coco(faces: dict[str, NDArray[np.float64]]) -> str:
    images = [{"id": k, "file_name": name} for k, name in enumerate(faces)]
    annotations = [
        {"image_id": k, "id": 90 + k, "bbox": [1, 2, 3, 4], "keypoints": [v for p in face.tolist() for v in (*p, 2)]}
        for k, face in enumerate(faces.values())
    ]
    return json.dumps({"images": images, "annotations": annotations, "categories": []})


def datumaro(faces: dict[str, NDArray[np.float64]]) -> str:
    items = [
        {"id": Path(name).stem, "image": {"path": name},
         "annotations": [{"type": "label"}, {"type": "points", "points": (face + 0.5).ravel().tolist()}]}
        for name, face in faces.items()
    ]  # fmt: skip
    return json.dumps({"items": items})


def cvat(faces: dict[str, NDArray[np.float64]]) -> str:
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations><version>1.1</version>"]
    for name, face in faces.items():
        parts = [
            f'<points label="{k + 1}" outside="0" points="{x + 0.5:.4f},{y + 0.5:.4f}"/>'
            for k, (x, y) in enumerate(face)
        ]
        lines += [f'<image id="0" name="{name}"><skeleton label="face">', *reversed(parts), "</skeleton></image>"]
    return "\n".join([*lines, "</annotations>"])


def cvat_points(faces: dict[str, NDArray[np.float64]]) -> str:
    body = ""
    for name, face in faces.items():
        pairs = ";".join(f"{x + 0.5},{y + 0.5}" for x, y in face)
        body += f'<image name="{name}"><points label="face" points="{pairs}"/></image>'
    return f"<annotations>{body}</annotations>"


def plain(faces: dict[str, NDArray[np.float64]]) -> str:
    return json.dumps({name: face.tolist() for name, face in faces.items()})


def plain_list(faces: dict[str, NDArray[np.float64]]) -> str:
    return json.dumps([{"image": name, "landmarks": face.ravel().tolist()} for name, face in faces.items()])


LAYOUTS: list[tuple[str, Callable[..., str]]] = [
    (".csv", csv_with_header), (".csv", csv_without), (".json", coco), (".json", datumaro), (".xml", cvat),
    (".xml", cvat_points), (".json", plain), (".json", plain_list),
]  # fmt: skip


def look_up(path: Path, content: str, *images: str) -> list[Any]:
    path.write_text(content)
    return list(find_landmarks([path.parent / image for image in images], path).values())


@pytest.mark.parametrize(("suffix", "write"), LAYOUTS)
def test_find_landmarks_in_a_table_gives_each_image_its_points(
    tmp_path: Path, suffix: str, write: Callable[..., str]
) -> None:
    faces = {"AFW/a.jpg": POINTS, "b.png": POINTS / 2 + 1}
    found = look_up(tmp_path / f"t{suffix}", write(faces), "AFW/a.jpg", "b.png", "c.jpg")
    for (face,), wanted in zip(found[:2], faces.values(), strict=True):
        np.testing.assert_allclose(face.points, wanted, atol=1e-3)
    assert re.search(r"c\.jpg: not among the images of .*t\.(csv|json|xml), expected c\.jpg", found[2])


def test_find_landmarks_in_wflws_list_gives_98_points_and_the_box(tmp_path: Path) -> None:
    points = np.random.default_rng(2).uniform(0, 90, (98, 2)).round(4)
    numbers = [*points.ravel(), 10, 20, 40, 80, 0, 0, 0, 1, 0, 0]
    line = " ".join(map(str, numbers)) + " 37--Soccer/37_Soccer_1.jpg\n"
    ((face, *others),) = look_up(tmp_path / "list_98pt.txt", line * 2, "37--Soccer/37_Soccer_1.jpg")
    assert face.scheme == "98" and np.array_equal(face.points, points) and len(others) == 1
    assert face.box.tolist() == [10, 20, 30, 60]


def test_find_landmarks_of_coco_counts_visibility_as_a_score(tmp_path: Path) -> None:
    content = json.loads(coco({"a.jpg": POINTS}))
    content["annotations"][0]["keypoints"][2::3] = [0, 1, *[2] * 66]
    ((face,),) = look_up(tmp_path / "t.json", json.dumps(content), "a.jpg")
    assert face.scores.tolist() == [0, 0.5, *[1] * 66] and np.isnan(face.points[0]).all()
    assert face.box.tolist() == [1, 2, 3, 4]
    content["annotations"][0]["keypoints"][2::3] = [0.25] * 68  # a network's results
    ((face,),) = look_up(tmp_path / "t.json", json.dumps(content), "a.jpg")
    assert face.scores.tolist() == [0.25] * 68


def test_find_landmarks_takes_the_entry_that_shares_most_folders(tmp_path: Path) -> None:
    faces = {"/data/x/AFW/a.jpg": POINTS, "/data/x/IBUG/a.jpg": POINTS / 2}
    first, second, third = look_up(tmp_path / "t.csv", csv_with_header(faces), "IBUG/a.png", "AFW/a.jpg", "a.jpg")
    assert np.allclose(first[0].points, POINTS / 2) and np.allclose(second[0].points, POINTS)
    assert re.search(r"a\.jpg: .*t\.csv has .*AFW/a.jpg and .*IBUG/a.jpg, expected one image of that name", third)


def test_landmark_table_of_frames_that_are_all_called_alike_looks_at_each_some_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Comparing each frame with those of all other videos would cost the square of their number."""
    looked_at = 0

    def counted(name: str) -> str:
        nonlocal looked_at
        looked_at += 1
        return Path(name).suffix

    monkeypatch.setattr("uvgen.samples.landmark_names.suffix_of", counted)
    names = [f"videos/{k}/0001.jpg" for k in range(500)]
    table = LandmarkTable(Path("t.json"), [(name, lambda: pytest.fail("not asked for")) for name in names])
    assert [table.claim(Path("/data") / name) for name in names] == [(name, 3) for name in names]
    assert table.claim(Path("/data/elsewhere/0001.jpg")) is None
    assert looked_at <= 12 * len(names)


def test_find_landmarks_takes_the_entry_with_the_image_s_suffix(tmp_path: Path) -> None:
    two = csv_without({"a.png": POINTS / 2}) + "\n" + csv_without({"a.jpg": POINTS})
    first, second, third = look_up(tmp_path / "t.csv", two, "a.jpg", "a.png", "a.bmp")
    assert [len(first), len(second)] == [1, 1]
    assert np.allclose(first[0].points, POINTS) and np.allclose(second[0].points, POINTS / 2)
    assert re.search(r"has a\.jpg and a\.png, expected one image of that name", third)


def test_find_landmarks_of_names_with_points_and_without_suffixes_takes_these_whole(tmp_path: Path) -> None:
    content = {"face_0.5": POINTS.tolist(), "face_1": POINTS.tolist(), "face_2.TIF": POINTS.tolist()}
    found = look_up(tmp_path / "t.json", json.dumps(content), *(f"face_{k}.jpg" for k in ("0", "0.5", "1", "2")))
    assert isinstance(found[0], NoLandmarks) and not any(isinstance(faces, str) for faces in found[1:])
    content = {"portrait.left": POINTS.tolist(), "x.jpg\\J. Smith": (POINTS / 2).tolist()}
    names = ("portrait.left.jpg", "x.jpg/J. Smith.png", "portrait.jpg", "J.jpg")
    (left,), (smith,), *none = look_up(tmp_path / "t.json", json.dumps(content), *names)
    assert np.allclose(left.points, POINTS) and np.allclose(smith.points, POINTS / 2)
    assert all(isinstance(one, NoLandmarks) for one in none)


def test_find_landmarks_of_suffixes_in_small_letters_and_in_capitals_takes_each_image_s_own(tmp_path: Path) -> None:
    content = json.dumps({"1.JPG": POINTS.tolist(), "1.jpg": (POINTS / 2).tolist(), "2.JPG": POINTS.tolist()})
    large, small, (one,), either = look_up(tmp_path / "t.json", content, "1.JPG", "1.jpg", "2.jpg", "1.Jpg")
    assert [len(large), len(small)] == [1, 1] and np.allclose(one.points, POINTS)
    assert np.allclose(large[0].points, POINTS) and np.allclose(small[0].points, POINTS / 2)
    assert "has 1.JPG and 1.jpg, expected one image of that name" in either


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_find_landmarks_of_names_that_are_composed_otherwise(tmp_path: Path, forms: tuple[str, str]) -> None:
    there, asked = (unicodedata.normalize(form, "ré.jpg") for form in forms)
    ((face,),) = look_up(tmp_path / "t.json", json.dumps({there: POINTS.tolist()}), asked)
    assert np.allclose(face.points, POINTS)
    np.savetxt(tmp_path / Path(there).with_suffix(".txt"), POINTS)
    of_file = find_landmarks([tmp_path / asked])[tmp_path / asked]
    assert not isinstance(of_file, str) and np.allclose(of_file[0].points, POINTS)


def test_find_landmarks_of_a_crowd_is_refused(tmp_path: Path) -> None:
    rows = "\n".join([csv_with_header({"a.jpg": POINTS}), *[csv_with_header({"a.jpg": POINTS}).split("\n")[1]] * 1000])
    (found,) = look_up(tmp_path / "t.csv", rows, "a.jpg")
    assert "a.jpg: " in found and "t.csv has more than 1000 faces of it, expected 1000 at most" in found


def test_find_landmarks_takes_a_face_s_columns_and_no_others(tmp_path: Path) -> None:
    """OpenFace's tables have those of the eyes before, and millimeters under X_0 as well."""
    head = [f"eye_lmk_x_{k}" for k in range(56)] + [f"eye_lmk_y_{k}" for k in range(56)]
    head += [f"{axis}_{k}" for axis in "XYZxy" for k in range(68)]
    values = [*np.full(112 + 3 * 68, 7.0), *POINTS.T.ravel()]
    content = ",".join(["image", *head]) + "\n" + ",".join(["a.jpg", *map(str, values)])
    ((face,),) = look_up(tmp_path / "t.csv", content, "a.jpg")
    assert np.allclose(face.points, POINTS)


@pytest.mark.parametrize(("name", "write"), [("t.json", coco), ("t.xml", cvat), ("t.json", datumaro)])
def test_find_landmarks_keeps_the_size_of_the_image_that_a_table_states(
    tmp_path: Path, name: str, write: Callable[..., str]
) -> None:
    content = write({"a.jpg": POINTS}).replace('"file_name"', '"width": 200, "height": 100.0, "file_name"')
    content = content.replace('name="a.jpg"', 'width="200" height="100" name="a.jpg"')
    content = content.replace('"path": "a.jpg"', '"path": "a.jpg", "size": [100, 200]')
    ((face,),) = look_up(tmp_path / name, content, "a.jpg")
    assert face.image_size == (200, 100)
    assert outside_image(face, (100, 200, 3)) == ""
    assert "marked in an image of 200×100 px, expected 100×200" in outside_image(face, (200, 100))
    none = content.replace('"height": 100.0', '"height": 0').replace('height="100"', 'height="?"')
    none = none.replace('"size": [100', '"size": ["?"')
    ((face,),) = look_up(tmp_path / name, none, "a.jpg")
    assert face.image_size is None


@pytest.mark.parametrize(
    ("about", "size"),
    [
        ({"width": 200, "height": 100}, (200, 100)),
        ({"imageWidth": "200", "imageHeight": 100.0}, (200, 100)),
        ({"image_width": 50, "image_height": 40}, (50, 40)),  # none but the image's, although points lie beyond
        ({"width": 200, "height": 0}, None),
        ({"width": 50, "height": 40}, None),  # of a box: points lie beyond
        ({"x": 3, "y": 4, "width": 200, "height": 100}, None),
        ({"left": 3, "top": 4, "width": 200, "height": 100}, None),
    ],
)
def test_find_landmarks_keeps_the_size_that_plain_tables_state(
    tmp_path: Path, about: dict[str, Any], size: Any
) -> None:
    head, row = csv_with_header({"a.jpg": POINTS}).split("\n")
    tables = {
        "t.json": json.dumps([{"image": "a.jpg", "landmarks": POINTS.tolist(), **about}]),
        "t.csv": f"{head},{','.join(about)}\n{row},{','.join(map(str, about.values()))}",
    }
    for name, content in tables.items():
        ((face,),) = look_up(tmp_path / name, content, "a.jpg")
        assert face.image_size == size and np.allclose(face.points, POINTS)


def test_find_landmarks_of_json_takes_a_size_of_two_numbers_in_either_order_if_it_is_square(tmp_path: Path) -> None:
    for both, size in (([99, 99], (99, 99)), ([100, 200], None), ("99", None)):
        content = json.dumps({"a.jpg": {"landmarks": POINTS.tolist(), "image_size": both}})
        assert look_up(tmp_path / "t.json", content, "a.jpg")[0][0].image_size == size


def test_boxes_keep_the_size_of_the_image_that_their_table_states(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    for sides, size in (("200,100", (200, 100)), ("20,30", None), ("300,0", None), (",", None)):
        table.write_text(f"image,width,height,left,top,right,bottom\na.jpg,{sides},10,20,30,50\n")
        (face,) = read_boxes(table).of_image(tmp_path / "a.jpg")
        assert isinstance(face, FaceLandmarks) and face.image_size == size
    assert "marked in an image of 200×100 px" in outside_image(replace(face, image_size=(200, 100)), (100, 100))


@pytest.mark.parametrize(
    ("about", "scores"),
    [
        ({"keypoint_scores": [0.25] * 67 + [1.1]}, [0.25] * 67 + [1]),
        ({"confidence": [0.5] * 68}, [0.5] * 68),
        ({"visibility": [0, 1, *[2] * 66]}, [0, 0.5, *[1] * 66]),
        ({"visibility": [0, *[1] * 67]}, None),  # hidden, or not marked?
        ({"confidence": [0] * 68}, None),
        ({"confidence": [97] * 68}, None),
        ({"confidence": 0.5}, None),  # the face's
        ({"confidence": [0.5] * 5}, None),
        ({"confidence": [0.5] * 68, "scores": [1] * 68}, [1] * 68),
    ],
)
def test_find_landmarks_of_json_takes_scores_under_other_names_where_they_can_be_nothing_else(
    tmp_path: Path, about: dict[str, Any], scores: Any
) -> None:
    content = json.dumps([{"image": "a.jpg", "landmarks": POINTS.tolist(), **about}])
    ((face,),) = look_up(tmp_path / "t.json", content, "a.jpg")
    assert (None if face.scores is None else face.scores.tolist()) == scores


def test_find_landmarks_of_coco_tells_long_ids_apart(tmp_path: Path) -> None:
    content = json.loads(coco({"a.jpg": POINTS, "b.jpg": POINTS / 2}))
    for kind, key in (("images", "id"), ("annotations", "image_id")):
        for k, one in enumerate(content[kind]):
            one[key] = "x" * 300 + str(k)
    first, second = look_up(tmp_path / "t.json", json.dumps(content), "a.jpg", "b.jpg")
    assert np.allclose(first[0].points, POINTS) and np.allclose(second[0].points, POINTS / 2)


def test_find_landmarks_of_coco_takes_1_and_1_0_for_one_id(tmp_path: Path) -> None:
    content = json.loads(coco({"a.jpg": POINTS}))
    content["images"][0]["id"], content["annotations"][0]["image_id"] = 1.0, 1
    (found,) = look_up(tmp_path / "t.json", json.dumps(content), "a.jpg")
    np.testing.assert_allclose(found[0].points, POINTS, atol=1e-6)


def test_find_landmarks_takes_the_image_s_column_for_its_name_and_not_a_person_s(tmp_path: Path) -> None:
    table = csv_with_header({"a.jpg": POINTS}).split("\n")
    table[0], table[1] = f"name,{table[0]}", f"b,{table[1]}"
    entries = [{"name": "b", "frame": 7, "image": "a.jpg", "landmarks": POINTS.tolist()}]
    for name, content in (("t.csv", "\n".join(table)), ("t.json", json.dumps(entries))):
        found, other = look_up(tmp_path / name, content, "a.jpg", "b.jpg")
        np.testing.assert_allclose(found[0].points, POINTS, atol=1e-3)
        assert "not among the images" in other


def _rows(columns: str, *rows: str) -> str:
    """A CSV in which the k-th row's points are moved by k px."""
    head = ",".join([columns, *(f"x_{k}" for k in range(68)), *(f"y_{k}" for k in range(68))])
    return "\n".join([head, *(f"{row}," + ",".join(map(str, (POINTS + k).T.ravel())) for k, row in enumerate(rows))])


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ("input,frame", ("in/1.jpg,0", "in/10.jpg,1", "in/2.jpg,2")),  # py-feat's, of a list sorted as text
        ("frame,name", ("0,1.jpg", "1,10.jpg", "2,2.jpg")),
        ("img_path,name", ("in/1.jpg,2", "in/10.jpg,1", "in/2.jpg,10")),  # persons
        ("img_path,name", ("1,2", "10,1", "2,10")),
        ("name,mask", ("1.jpg,m/2.png", "10.jpg,m/1.png", "2.jpg,m/10.png")),
        ("image_id,frame", ("1.jpg,2", "10.jpg,1", "2.jpg,2")),
        ("name,src", ("1,in/1.jpg", "10,in/10.jpg", "2,in/2.jpg")),
        ("name,original", ("1,10.jpg", "10,2.jpg", "2,1.jpg")),  # renamed photographs
        ("name,mask", ("1,m/1.png", "10,m/10.png", "2,m/2.png")),
        ("image,path", ("1,in/1.jpg", "10,in/10.jpg", "2,in/2.jpg")),
        ("image,mask,photo", ("1.jpg,m/2.png,", "10.jpg,m/1.png,", "2.jpg,m/10.png,")),
        ("Picture,file", ("old/1.jpg,1.jpg", "old/10.jpg,10.jpg", "old/2.jpg,2.jpg")),
    ],
)
def test_find_landmarks_takes_the_column_that_is_called_as_the_image_s(
    tmp_path: Path, columns: str, rows: tuple[str, ...]
) -> None:
    entries = [
        {**dict(zip(columns.split(","), row.split(","), strict=True)), "landmarks": (POINTS + k).tolist()}
        for k, row in enumerate(rows)
    ]
    for name, content in (("t.csv", _rows(columns, *rows)), ("t.json", json.dumps(entries))):
        for k, (face,) in enumerate(look_up(tmp_path / name, content, "1.jpg", "10.jpg", "2.jpg")):
            np.testing.assert_allclose(face.points, POINTS + k)


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        ("image,img_path", "1,3.jpg", "image and img_path may both name the image, expected one; rename the other, or"),
        ("image,img_path", "b,a.jpg", "image and img_path may both name the image"),
        ("photo,name", "b.jpg,a.jpg", "photo and name may both name the image"),
        ("file,path", "x/a.jpg,y/a.jpg", "file and path may both name the image"),
        ("file,path", "a.jpg,a.png", "file and path may both name the image"),
        ("path,img_name", "/data/photos,a.jpg", "path and img_name may both name the image"),
        ("name,frame", "a.jpg,b.jpg", "name and frame may both name the image"),
    ],
)
def test_find_landmarks_of_two_columns_that_may_both_name_the_image_names_them(
    tmp_path: Path, columns: str, row: str, message: str
) -> None:
    entry = dict(zip(columns.split(","), row.split(","), strict=True)) | {"landmarks": POINTS.tolist()}
    for name, content in (("t.csv", _rows(columns, row)), ("t.json", json.dumps([entry]))):
        with pytest.raises(InputError, match=message):
            look_up(tmp_path / name, content, "a.jpg")


@pytest.mark.parametrize("columns", ["mask", "original", "source", "left,right", "", "img_url", "thumbnail,style"])
def test_find_landmarks_takes_no_column_for_the_image_s_that_is_not_called_so(tmp_path: Path, columns: str) -> None:
    keys = columns.split(",")
    for content in (_rows(columns, ",".join("a.jpg" for _ in keys)), _rows(columns)):
        with pytest.raises(InputError, match=r"columns .*, expected image, x_0, y_0"):
            look_up(tmp_path / "t.csv", content, "a.jpg")
    entry = {**dict.fromkeys(keys, "a.jpg"), "landmarks": POINTS.tolist()}
    with pytest.raises(InputError, match='entry 0 has no "image"'):
        look_up(tmp_path / "t.json", json.dumps([entry]), "a.jpg")
    (found,) = look_up(tmp_path / "t.json", json.dumps({"1": entry}), "1.jpg")
    np.testing.assert_allclose(found[0].points, POINTS)


@pytest.mark.parametrize(
    "rows", [("1,1.jpg", "2,10.jpg", "10,2.jpg"), (",1.jpg", "10,10.jpg", "2,3.jpg"), ("1,p.jpg", "2,10.jpg")]
)
def test_find_landmarks_tells_by_more_than_one_row_whether_two_columns_may_be_the_image_s(
    tmp_path: Path, rows: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match="columns image and img_path may both name the image"):
        look_up(tmp_path / "t.csv", _rows("image,img_path", *rows), "1.jpg")


def test_find_landmarks_takes_numbers_beside_pictures_called_by_words_for_ids(tmp_path: Path) -> None:
    entry = {"image": 7, "img_path": "a.jpg", "landmarks": POINTS.tolist()}
    for name, content in (("t.csv", _rows("image,img_path", "7,a.jpg")), ("t.json", json.dumps([entry]))):
        (found,) = look_up(tmp_path / name, content, "a.jpg")
        np.testing.assert_allclose(found[0].points, POINTS)


@pytest.mark.parametrize("key", ["image", "path", "input", "photo", "image_id"])
@pytest.mark.parametrize("suffix", ["", ".jpg"])
def test_find_landmarks_of_json_by_numbers_are_of_the_images_that_its_entries_name(
    tmp_path: Path, key: str, suffix: str
) -> None:
    names = [f"{n}{suffix}" for n in (2, 1, 3)]
    content = {str(k): {key: name, "landmarks": (POINTS + k).tolist()} for k, name in enumerate(names, 1)}
    counts = key == "image" or suffix  # else it may be an id, a folder, a camera or a person
    for name, (face,) in zip((2, 1, 3), look_up(tmp_path / "t.json", json.dumps(content), "2.jpg", "1.jpg", "3.jpg"),
                             strict=True):  # fmt: skip
        np.testing.assert_allclose(face.points, POINTS + (names.index(f"{name}{suffix}") + 1 if counts else name))


@pytest.mark.parametrize("value", [None, "", 5])
def test_find_landmarks_of_json_by_numbers_takes_none_of_these_for_the_image_that_is_not_named(
    tmp_path: Path, value: object
) -> None:
    content = {"1": {"image": value, "mask": "1.jpg", "landmarks": POINTS.tolist()}}
    with pytest.raises(InputError, match='entry 0 has no "image"'):
        look_up(tmp_path / "t.json", json.dumps(content), "1.jpg")


@pytest.mark.parametrize(
    "about", [{"image": {"width": 9}}, {"image": 1}, {"file": "clip.mp4"}, {"name": "2"}, {"image_id": 2}]
)
def test_find_landmarks_of_json_by_names_looks_past_what_can_be_no_image_s_name(
    tmp_path: Path, about: dict[str, object]
) -> None:
    (found,) = look_up(tmp_path / "t.json", json.dumps({"1": {**about, "landmarks": POINTS.tolist()}}), "1.jpg")
    np.testing.assert_allclose(found[0].points, POINTS)


@pytest.mark.parametrize(
    "about",
    [
        {"path": "celeba/img"},
        {"input": "webcam"},
        {"photo": "Alice"},
        {"picture": None},
        {"file": "batch1"},
        {"photo": ""},
    ],
)
@pytest.mark.parametrize("key", ["000001", "1", "a"])
def test_find_landmarks_of_json_by_stems_are_theirs_whatever_folder_or_person_an_entry_names(
    tmp_path: Path, key: str, about: dict[str, object]
) -> None:
    content = json.dumps({key: {**about, "landmarks": POINTS.tolist()}})
    (found,) = look_up(tmp_path / "t.json", content, f"{key}.jpg")
    np.testing.assert_allclose(found[0].points, POINTS)


@pytest.mark.parametrize("column", ["input", "photo", "picture"])
@pytest.mark.parametrize("cell", ["n/a", "AFP/Getty", "image/jpeg", "3", "", "webcam", "source/P1.png"])
def test_find_landmarks_of_images_beside_credits_ratings_and_sources_are_theirs(
    tmp_path: Path, column: str, cell: str
) -> None:
    for head, image in (("image", "a.jpg"), ("image", "a"), ("name", "a.jpg")):
        if head == "name" and cell.endswith(".png"):
            continue  # a picture as well: refused
        (found,) = look_up(tmp_path / "t.csv", _rows(f"{head},{column}", f"{image},{cell}"), "a.jpg")
        np.testing.assert_allclose(found[0].points, POINTS)


def test_find_landmarks_of_json_by_words_of_other_images_than_its_entries_name_is_refused(tmp_path: Path) -> None:
    for image in ("b", "b.jpg"):
        content = json.dumps({"a": {"image": image, "landmarks": POINTS.tolist()}})
        with pytest.raises(InputError, match=rf"entry 0: a and {image} may both be its image, expected one"):
            look_up(tmp_path / "t.json", content, "a.jpg")


def test_find_landmarks_takes_no_numbers_of_a_videos_frames_for_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="column frame has the frames' numbers, which are no names of images"):
        look_up(tmp_path / "t.csv", _rows("input,frame", "clip.mp4,1"), "1.jpg")


def test_boxes_are_of_the_images_in_the_column_with_names_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\nframe;input;left;top;right;bottom\n1;a.jpg;1;2;30;50\n2;1.jpg;9;2;30;50\n")
    table = read_boxes(tmp_path / "t.csv")
    boxes: list[Any] = [table.of_image(tmp_path / name) for name in ("a.jpg", "1.jpg")]
    assert [face.points[0, 0] for (face,) in boxes] == [1, 9]


def test_find_landmarks_takes_coco_s_flags_in_columns_for_these(tmp_path: Path) -> None:
    flags = ",".join(["0", "1", *["2"] * 66])
    content = _rows("image," + ",".join(f"v_{k}" for k in range(68)), f"a.jpg,{flags}")
    entry = {"image": "a.jpg", "landmarks": POINTS.tolist(), "scores": [0, 1, *[2] * 66]}
    for name, text in (("t.csv", content), ("t.json", json.dumps([entry]))):
        ((face,),) = look_up(tmp_path / name, text, "a.jpg")
        assert face.scores is not None and face.scores.tolist() == [0, 0.5, *[1] * 66]


def test_find_landmarks_of_plain_json_takes_a_third_number_in_0_to_1_for_the_score(tmp_path: Path) -> None:
    scored = [[*point, 0.5] for point in POINTS.tolist()]
    scored[3][2] = 0
    (found,) = look_up(tmp_path / "t.json", json.dumps({"a.jpg": scored}), "a.jpg")
    assert found[0].scores is not None and found[0].scores[3] == 0 and found[0].scores[4] == 0.5
    assert np.isnan(found[0].points[3]).all()


@pytest.mark.parametrize("suffix", [".json", ".npy", ".txt"])
def test_find_landmarks_takes_a_third_number_of_0_1_2_for_coco_s_flag(tmp_path: Path, suffix: str) -> None:
    """A point of flag 0 is not marked: it is no point at (0, 0)."""
    flagged = np.column_stack([POINTS, np.full(68, 2)])
    flagged[[3, 9]], flagged[5, 2] = 0, 1
    if suffix == ".json":
        ((face,),) = look_up(tmp_path / "t.json", json.dumps({"a.jpg": flagged.tolist()}), "a.jpg")
    else:
        if suffix == ".npy":
            np.save(tmp_path / "a.npy", flagged)
        else:
            np.savetxt(tmp_path / "a.txt", flagged)
        (face,) = read_landmarks(tmp_path / f"a{suffix}")
    assert face.scores is not None and face.scores[[2, 3, 5, 9]].tolist() == [1, 0, 0.5, 0]
    assert np.flatnonzero(np.isnan(face.points).any(axis=1)).tolist() == [3, 9]


def test_find_landmarks_takes_several_points_at_0_0_for_unmarked_ones(tmp_path: Path) -> None:
    points = POINTS.copy()
    points[3] = 0  # one may lie there
    ((face,),) = look_up(tmp_path / "t.json", json.dumps({"a.jpg": points.tolist()}), "a.jpg")
    np.testing.assert_allclose(face.points, points)
    points[[5, 9]] = 0
    ((face,),) = look_up(tmp_path / "t.json", json.dumps({"a.jpg": points.tolist()}), "a.jpg")
    assert np.flatnonzero(np.isnan(face.points).any(axis=1)).tolist() == [3, 5, 9]


def test_find_landmarks_of_plain_json_takes_the_image_that_an_entry_names_where_its_key_is_none(tmp_path: Path) -> None:
    """As pandas writes a table by its rows, and as VGG's annotator calls its images."""
    other, more = POINTS / 2, {"landmarks": POINTS.tolist()}
    for key in ("0", "1.jpg8192"):
        entries = {key: {"image": "1.jpg", **more}, "1": {"image": "0.jpg", "landmarks": other.tolist()}}
        first, second = look_up(tmp_path / "t.json", json.dumps(entries), "1.jpg", "0.jpg")
        assert np.allclose(first[0].points, POINTS) and np.allclose(second[0].points, other)


@pytest.mark.parametrize(
    "about",
    [
        {"name": "somebody"}, {"path": "landmarks/7.pts"}, {"image": "1.jpg"}, {"image": "a\\1.jpg", "file": "1.json"},
        {"file": "masks/1_mask.png"}, {"image": "IMG_77.jpg"}, {"frame": "frame_12.jpg"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["a/1.jpg", "a\\1.jpg", "a/1"])
def test_find_landmarks_of_plain_json_by_images_takes_the_keys(tmp_path: Path, about: dict[str, str], key: str) -> None:
    """Whatever else entries say: of the photograph that a crop was cut from, or of other files."""
    entries = {
        key: {**about, "landmarks": POINTS.tolist()},
        key.replace("a", "b", 1): {**about, "landmarks": (POINTS / 2).tolist()},
    }
    first, second = look_up(tmp_path / "t.json", json.dumps(entries), "a/1.jpg", "b/1.jpg")
    assert np.allclose(first[0].points, POINTS) and np.allclose(second[0].points, POINTS / 2)


@pytest.mark.parametrize("name", ["", "1", "somebody"])
def test_find_landmarks_of_plain_json_by_numbers_takes_them_for_names_if_entries_name_no_image(
    tmp_path: Path, name: str
) -> None:
    (found,) = look_up(tmp_path / "t.json", json.dumps({"12": {"name": name, "landmarks": POINTS.tolist()}}), "12.jpg")
    assert np.allclose(found[0].points, POINTS)


@pytest.mark.parametrize("about", [{"filename": "IMG_5.jpg"}, {"image": "raw/IMG_5.TIF", "frame": 7}])
def test_find_landmarks_of_plain_json_whose_keys_may_be_ids_or_images_is_refused(
    tmp_path: Path, about: dict[str, Any]
) -> None:
    entry = {**about, "landmarks": POINTS.tolist()}
    with pytest.raises(
        InputError, match=r"entry 0: face_001 and .*IMG_5\.... may both be its image, expected one; give"
    ):
        look_up(tmp_path / "t.json", json.dumps({"face_001": entry}), "IMG_5.jpg", "face_001.jpg")
    other, (face,) = look_up(tmp_path / "t.json", json.dumps({"face_001.jpg": entry}), "IMG_5.jpg", "face_001.jpg")
    assert isinstance(other, NoLandmarks) and np.allclose(face.points, POINTS)
    (face,), other = look_up(tmp_path / "t.json", json.dumps([entry]), "IMG_5.jpg", "face_001.jpg")
    assert isinstance(other, NoLandmarks) and np.allclose(face.points, POINTS)


@pytest.mark.parametrize("about", [{"image": "b/é.jpg"}, {"file": "masks/é_mask.png"}, {"name": "somebody"}])
def test_find_landmarks_of_plain_json_takes_keys_without_suffix_that_entries_agree_with(
    tmp_path: Path, about: dict[str, str]
) -> None:
    content = {unicodedata.normalize("NFD", "é"): {**about, "landmarks": POINTS.tolist()}}
    ((face,),) = look_up(tmp_path / "t.json", json.dumps(content), "é.jpg")
    assert np.allclose(face.points, POINTS)


def test_find_landmarks_takes_names_with_any_suffix_and_spelling(tmp_path: Path) -> None:
    for name in ("1.asf", "1.pkl", "1.jpg_original", "./1.jpg", ".//./1.JPG"):
        (found,) = look_up(tmp_path / "t.json", json.dumps({name: POINTS.tolist()}), "1.jpg")
        assert np.allclose(found[0].points, POINTS)


def test_find_landmarks_passes_over_columns_called_like_scores_of_a_few_points(tmp_path: Path) -> None:
    head, row = csv_with_header({"a.jpg": POINTS}).split("\n")
    emotions = range(7)
    table = f"{head},{','.join(f'score_{k}' for k in emotions)}\n{row},{','.join('0.1' for _ in emotions)}"
    (found,) = look_up(tmp_path / "t.csv", table, "a.jpg")
    assert found[0].scores is None
    table = f"{head},{','.join(f'score_{k}' for k in range(60))}\n{row}{',0.1' * 60}"
    with pytest.raises(InputError, match="columns of scores for 60 of 68 points"):
        look_up(tmp_path / "t.csv", table, "a.jpg")


def test_find_landmarks_of_plain_json_takes_a_list_that_lies_under_a_name(tmp_path: Path) -> None:
    entries = [{"file_name": "a.jpg", "landmarks": POINTS.tolist()}]
    for content in ({"images": entries}, {"version": 2, "about": {"by": "us"}, "data": entries}):
        (found,) = look_up(tmp_path / "t.json", json.dumps(content), "a.jpg")
        assert np.allclose(found[0].points, POINTS)


def test_find_landmarks_of_several_faces_gives_the_largest_first(tmp_path: Path) -> None:
    content = "\n".join(csv_without({"a.jpg": face}) for face in (POINTS / 3, POINTS))
    ((large, small),) = look_up(tmp_path / "t.csv", content, "a.jpg")
    assert isinstance(large, FaceLandmarks) and large.extent > small.extent


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "image,x_0,z_0\na,1,2\n", r"t\.csv: columns image, x_0, z_0, expected image, x_0, y_0"),
        ("t.csv", "", r"t\.csv: no faces in it"),
        ("t.csv", 'a.jpg,"' + "x" * 200_000, r"t\.csv: not readable CSV"),
        ("t.json", "[1", r"t\.json: not readable JSON"),
        ("t.json", "3", r"t\.json: its layout is not known"),
        ("t.json", '{"images": [{"id": 1}], "annotations": []}', r"t\.json: its layout is not known \(KeyError"),
        ("t.json", '{"images": [], "annotations": [{"image_id": 3, "keypoints": [1]}]}', "of image 3, expected one"),
        ("t.json", '[{"image": 3}]', r'entry 0 has no "image" or no "landmarks"'),
        ("t.xml", "<annotations>", r"t\.xml: not readable XML"),
        ("t.xml", "<dataset><images><image file='a.jpg'/></images></dataset>", "no faces in it, .* dlib's XML are not"),
        ("t.xml", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', r"t\.xml: declares a document type"),
        ("t.txt", "1 2\n3 4\n", r"t\.txt, line 1: 2 words, expected WFLW's"),
        ("t.csv", "\x00\x01\x02", r"t\.csv: "),
        ("t.csv", columns_of("x_", "y_", (n for n in range(69) if n != 5)), "x_… are not numbered one by one"),
        ("t.csv", columns_of("x_", "y_", range(2, 70)), "x_… are not numbered one by one from 0 or 1"),
        (
            "t.csv",
            columns_of("a_x_", "a_y_", range(68)) + "," + columns_of("b_x_", "b_y_", range(68)),
            "columns a_x_… and b_x_… are of several faces or sets",
        ),
        ("t.csv", columns_of("x_", "y_", [0, 0, *range(1, 68)]), "column x_0 is there twice, expected each once"),
        ("t.csv", columns_of("x_", "y_", range(68)) + ",0_x,0_y", "column x_0 is there twice"),
        ("t.csv", columns_of("x_", "y_", range(68)) + ",score_3,score_3", "column score_3 is there twice"),
        ("t.csv", columns_of("x_", "y_", range(68)) + ",Image", "column image is there twice"),
        (
            "t.json",
            coco_of({"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}),
            r"image 1 is a\.jpg and b\.jpg, expected an id for each image",
        ),
        ("t.json", coco_of({"id": [1], "file_name": "a.jpg"}), "its layout is not known"),
        ("t.json", coco_of({"id": True, "file_name": "a.jpg"}), "its layout is not known"),
        ("t.csv", columns_of("x_", "y_", range(68)) + ",file", "columns image and file may both name the image"),
        (
            "t.json",
            '[{"image": "a.jpg", "file_name": "b.jpg", "landmarks": []}]',
            "entry 0: image and file_name may both name the image, expected one",
        ),
    ],
)
def test_find_landmarks_of_a_wrong_table_names_it(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        look_up(tmp_path / name, content, "a.jpg")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", csv_with_header({"a.jpg": POINTS})[:-40], r"t\.csv, row 2: 1\d\d cells, expected 138; is it cut"),
        ("t.csv", csv_with_header({"a.jpg": POINTS}).replace("\n7,a.jpg,", "\n7,a.jpg,1,"),
         r"row 2: 139 cells, expected 138 as in the first line; .* write 1\.5, not 1,5"),
        ("t.csv", csv_without({"a.jpg": POINTS[:67]}), r"t\.csv, row 1: 67 points, expected 5, .* of .*a\.jpg"),
        ("t.csv", csv_without({"a.jpg": POINTS}) + ";1", r"row 1: 137 numbers after the image"),
        ("t.csv", csv_with_header({"a.jpg": POINTS})[:-3] + "1_0", "'[0-9.]*1_0', expected a number"),
        ("t.csv", csv_with_header({"a.jpg": POINTS})[:-3] + "no", r"'\S*no', expected a number"),
        ("t.json", '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "keypoints": [1]}]}',
         r"annotation 0: 1 number, expected x, y, v"),
        ("t.json", '{"a": [[1, 2], [3]]}', r"t\.json, a: .*expected numbers"),
        ("t.json", '{"a": {"landmarks": [[1, 2]], "scores": [1, 2]}}', r"2 scores of 1 point"),
        ("t.json", '{"items": [{"id": "a", "annotations": [{"type": "points"}]}]}', r"an entry of another layout"),
        ("t.json", json.dumps({"a": {"landmarks": POINTS.tolist(), "keypoints": (POINTS + 9).tolist()}}),
         r"t\.json, a: other points as keypoints, of as many, expected one of them"),
        ("t.json", json.dumps({"a": {"landmarks": POINTS.tolist(), "scores": [97] * 68}}), "a score of 97, expected"),
        ("t.csv", columns_of("x_", "y_", range(68)) + "".join(f",score_{k}" for k in range(68)) + "\n"
         + csv_without({"a": POINTS}).replace(";", ",") + ",3.5" * 68, r"row 2: a score of 3\.5, expected 0 to 1"),
        ("t.xml", '<a><image name="a"><points points="1,2,3"/></image></a>', 'expected "x,y;x,y"'),
        ("t.xml", cvat({"a.jpg": POINTS}).replace('label="6"', 'label="5"'), "two points are called 5, expected each"),
    ],
)  # fmt: skip
def test_find_landmarks_names_a_wrong_row_and_its_image(tmp_path: Path, name: str, content: str, message: str) -> None:
    (found,) = look_up(tmp_path / name, content, "a.jpg")
    assert re.search(message, found) and "a.jpg" in found


@pytest.mark.parametrize(("name", "found"), [("faces", "nothing"), ("faces.dat", r"\.dat")])
def test_read_table_of_another_suffix_is_refused(tmp_path: Path, name: str, found: str) -> None:
    (tmp_path / name).write_text(csv_with_header({"a.jpg": POINTS}))
    with pytest.raises(InputError, match=rf"{name}: a name that ends in {found}, expected \.csv, \.json, \.xml, \.txt"):
        read_table(tmp_path / name)


def shuffled() -> tuple[list[str], NDArray[np.float64]]:
    """Points in the order of their numbers as text, and these numbers: 1, 10, 11 …, as a tool may list a skeleton's."""
    numbers = sorted(range(1, 69), key=str)
    return [str(number) for number in numbers], POINTS[np.array(numbers) - 1]


def test_find_landmarks_of_coco_takes_points_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    labels, stored = shuffled()
    content = json.loads(coco({"a.jpg": stored}))
    content["annotations"][0]["category_id"] = 3
    content["categories"] = [{"id": 2, "keypoints": ["nose"]}, {"id": 3, "keypoints": labels}]
    ((face,),) = look_up(tmp_path / "a.json", json.dumps(content), "a.jpg")
    np.testing.assert_allclose(face.points, POINTS)
    for style in ("point {}", "p{}", " {} ", "{}.", "P_{:0>3}"):
        content["categories"][1]["keypoints"] = [style.format(label) for label in labels]
        ((face,),) = look_up(tmp_path / "a.json", json.dumps(content), "a.jpg")
        np.testing.assert_allclose(face.points, POINTS)
    for names in (
        ["nose", *(f"p{label}" for label in labels[1:])],
        ["eye 1", *(f"jaw {label}" for label in labels[1:])],
    ):
        content["categories"][1]["keypoints"] = names  # no numbers, or of several parts: as they stand
        ((face,),) = look_up(tmp_path / "a.json", json.dumps(content), "a.jpg")
        np.testing.assert_allclose(face.points, stored)
    content["annotations"][0]["category_id"] = 3.0  # the same number
    content["categories"][1]["keypoints"] = labels
    ((face,),) = look_up(tmp_path / "a.json", json.dumps(content), "a.jpg")
    np.testing.assert_allclose(face.points, POINTS)
    content["annotations"][0]["category_id"] = 7
    (found,) = look_up(tmp_path / "a.json", json.dumps(content), "a.jpg")
    assert "of category 7, expected one that the file lists, for the order of the points" in found
    content["categories"][1]["keypoints"] = [str(k) for k in range(68)]  # as they stand, whatever the category
    ((face,),) = look_up(tmp_path / "a.json", json.dumps(content), "a.jpg")
    np.testing.assert_allclose(face.points, stored)
    content["annotations"][0]["category_id"] = 3
    content["categories"][0]["id"] = 3
    with pytest.raises(InputError, match="two categories have the id 3 and name other points, expected one each"):
        look_up(tmp_path / "a.json", json.dumps(content), "a.jpg")
    content["categories"][0]["id"] = 2
    content["categories"][1]["keypoints"] = ["1", *labels[:-1]]
    (found,) = look_up(tmp_path / "a.json", json.dumps(content), "a.jpg")
    assert "two points are called 1, expected each number once" in found


def test_find_landmarks_of_datumaro_takes_points_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    labels, stored = shuffled()
    elements = [
        {"type": "points", "label_id": 1 + k, "points": (point + 0.5).tolist()} for k, point in enumerate(stored)
    ]
    item = {"id": "a", "annotations": [{"type": "skeleton", "elements": elements}]}
    names = [{"name": "face"}, *({"name": label, "parent": "face"} for label in labels)]
    for categories, wanted in (({"label": {"labels": names}}, POINTS), ({}, stored)):
        content = json.dumps({"categories": categories, "items": [item]})
        ((face,),) = look_up(tmp_path / "a.json", content, "a.jpg")
        np.testing.assert_allclose(face.points, wanted)


def test_find_landmarks_of_datumaro_takes_points_of_one_annotation_in_the_order_of_their_numbers(
    tmp_path: Path,
) -> None:
    labels, stored = shuffled()
    points = {"type": "points", "label_id": 1, "points": (stored + 0.5).ravel().tolist(), "visibility": [2] * 68}
    points["visibility"][labels.index("5")] = 1
    for label_id, wanted in ((1, POINTS), (2, stored)):
        categories = {"points": {"items": [{"label_id": label_id, "labels": labels, "joints": []}]}}
        content = json.dumps({"categories": categories, "items": [{"id": "a", "annotations": [points]}]})
        ((face,),) = look_up(tmp_path / "a.json", content, "a.jpg")
        np.testing.assert_allclose(face.points, wanted)
        (hidden,) = np.flatnonzero(face.scores == 0.5)
        np.testing.assert_allclose(face.points[hidden], stored[labels.index("5")])


def test_find_landmarks_of_images_in_which_a_program_found_no_face_costs_these_alone(tmp_path: Path) -> None:
    face, box = POINTS.tolist(), {"image": "a.jpg", "box": [1, 2, 3, 4]}
    for content in ({"a.jpg": None, "b.jpg": face}, [box, {"image": "b.jpg", "landmarks": face}]):
        missing, (found,) = look_up(tmp_path / "t.json", json.dumps(content), "a.jpg", "b.jpg")
        assert "a.jpg: no landmarks, expected" in missing
        np.testing.assert_allclose(found.points, POINTS)
    for content in ({"a.jpg": None}, [box]):
        with pytest.raises(InputError, match='entry 0 has no "image" or no "landmarks"'):
            look_up(tmp_path / "t.json", json.dumps(content), "a.jpg")


def test_find_landmarks_of_coco_passes_over_annotations_without_labeled_keypoints(tmp_path: Path) -> None:
    content = json.loads(coco({"a.jpg": POINTS}))
    content["annotations"].append({**content["annotations"][0], "id": 99, "keypoints": [0] * 3 * 68})
    ((face,),) = look_up(tmp_path / "t.json", json.dumps(content), "a.jpg")
    np.testing.assert_allclose(face.points, POINTS)


def test_find_landmarks_of_openface_passes_over_rows_of_no_face(tmp_path: Path) -> None:
    header = ["frame", " success", *(f" x_{k}" for k in range(68)), *(f" y_{k}" for k in range(68))]
    rows = [[name, success, *POINTS.T.ravel()] for name, success in ((1, 1), (1, 0), (2, 0))]
    content = "\n".join([",".join(header), *(", ".join(map(str, row)) for row in rows)])
    (face,), none = look_up(tmp_path / "t.csv", content, "1.jpg", "2.jpg")
    np.testing.assert_allclose(face.points, POINTS)
    assert isinstance(none, NoLandmarks)


def _openface(marked: dict[str, bool]) -> str:
    header = ["image", "success", *(f"x_{k}" for k in range(68)), *(f"y_{k}" for k in range(68))]
    return "\n".join(",".join(map(str, row)) for row in (
        header, *([name, int(is_face), *POINTS.T.ravel()] for name, is_face in marked.items())
    ))  # fmt: skip


def _coco(marked: dict[str, bool], *, boxes: bool) -> str:
    content = json.loads(coco(dict.fromkeys(marked, POINTS)))
    for annotation, is_face in zip([*content["annotations"]], marked.values(), strict=True):
        if not is_face and boxes:
            annotation["keypoints"] = [0] * 3 * 68
        elif not is_face:
            content["annotations"].remove(annotation)
    return json.dumps(content)


def _datumaro(marked: dict[str, bool]) -> str:
    shape = {"type": "points", "points": POINTS.ravel().tolist()}
    return json.dumps({"items": [{"id": name, "annotations": [shape] * is_face} for name, is_face in marked.items()]})


def _cvat(marked: dict[str, bool]) -> str:
    shape = f'<points label="face" points="{";".join(f"{x},{y}" for x, y in POINTS)}"/>'
    images = [f'<image name="{name}">{shape * is_face}</image>' for name, is_face in marked.items()]
    return f"<annotations>{''.join(images)}</annotations>"


@pytest.mark.parametrize(
    ("file", "table_of"),
    [
        ("t.csv", _openface), ("t.json", partial(_coco, boxes=True)), ("t.json", partial(_coco, boxes=False)),
        ("t.json", _datumaro), ("t.xml", _cvat),
    ],
)  # fmt: skip
def test_find_landmarks_gives_no_image_that_the_table_has_no_face_of_the_face_of_another_folder(
    tmp_path: Path, file: str, table_of: Callable[[dict[str, bool]], str]
) -> None:
    none, (face,) = look_up(tmp_path / file, table_of({"a/1.jpg": False, "b/1.jpg": True}), "a/1.jpg", "b/1.jpg")
    assert isinstance(none, NoLandmarks) and "has no face of a/1" in none
    np.testing.assert_allclose(face.points, POINTS, atol=0.6)
    table = read_table(tmp_path / file)
    assert [table.has_image(Path(name)) for name in ("a/1.jpg", "b/1.jpg")] == [False, True]
    assert table.claim(Path("a/1.jpg")) is None
    with pytest.raises(InputError, match="no faces in it"):
        look_up(tmp_path / file, table_of({"a/1.jpg": False}), "a/1.jpg")


def test_find_landmarks_of_a_skeleton_whose_numbers_are_there_twice_is_quick_to_refuse_it(tmp_path: Path) -> None:
    parts = "".join(f'<points label="{k}" points="1,1"/>' for k in [*range(50_000), 7])
    content = f'<annotations><image name="a.jpg"><skeleton label="face">{parts}</skeleton></image></annotations>'
    (found,) = look_up(tmp_path / "a.xml", content, "a.jpg")
    assert "two points are called 7" in found


def test_landmark_table_of_long_paths_compares_their_last_folders_alone() -> None:
    path = "x/" * 1000 + "a.jpg"
    table = LandmarkTable(Path("a.csv"), [(path, lambda: FaceLandmarks(POINTS, None, "68"))])
    assert table.claim(Path(path)) == (path, 64)
    assert not isinstance(table.of_image(Path(path)), str)


@pytest.mark.parametrize("header", ["image,x_0,y_0,x_1,y_1", "image,left,top,right,bottom"])
@pytest.mark.parametrize("row", [lambda k: "a", lambda k: f"{k:x}", lambda k: "/".join(f"{k:040x}")])
def test_a_table_of_short_rows_takes_memory_in_proportion(
    tmp_path: Path, header: str, row: Callable[[int], str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join([header, *map(row, range(20_000))]))
    tracemalloc.start()
    try:
        table = read_boxes(path) if "left" in header else read_table(path)
        table.of_image(Path("0.jpg"))
        assert tracemalloc.get_traced_memory()[1] < 150 * path.stat().st_size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("number", [True, "1_0", "\u0661"])
def test_find_landmarks_of_json_takes_no_number_that_only_python_takes_for_one(tmp_path: Path, number: object) -> None:
    content = {"a.jpg": [[number, 5.0], *POINTS[1:].tolist()]}
    (found,) = look_up(tmp_path / "a.json", json.dumps(content), "a.jpg")
    assert "expected numbers" in found


def test_csv_whose_first_line_is_excels_word_for_the_separator_is_read(tmp_path: Path) -> None:
    faces = {"a.jpg": POINTS, "b.jpg": POINTS + 1}
    for text in (csv_with_header(faces), csv_without(faces)):
        comma = ";" if ";" in text else ","
        (plain,) = look_up(tmp_path / "t.csv", text, "b.jpg")
        (said,) = look_up(tmp_path / "t.csv", f"sep={comma}\r\n{text}", "b.jpg")
        np.testing.assert_array_equal(said[0].points, plain[0].points)


def of_two_places(name: str, how: str) -> str:
    """A file of two images of one name: which it says by their subsets or tasks, or by their sizes."""
    if how == "coco":
        images = [{"id": k, "file_name": name, "width": 40 + k, "height": 50} for k in range(2)]
        marks = [{"image_id": k, "id": k, "keypoints": [v for p in (POINTS + k).tolist() for v in (*p, 2)]}
                 for k in range(2)]  # fmt: skip
        return json.dumps({"images": images, "annotations": marks, "categories": []})
    if how == "datumaro":
        return json.dumps({"items": [
            {"id": Path(name).stem, "subset": subset, "image": {"path": name},
             "annotations": [{"type": "points", "points": (POINTS + k + 0.5).ravel().tolist()}]}
            for k, subset in enumerate(("Train", "Test"))
        ]})  # fmt: skip
    pairs = [";".join(f"{x + 0.5},{y + 0.5}" for x, y in POINTS + k) for k in range(2)]
    places = ('subset="Train"', 'subset="Test"') if how == "subsets" else ('task_id="4"', 'task_id="7"')
    images = [f'<image name="{name}" {place}><points points="{points}"/></image>'
              for place, points in zip(places, pairs, strict=True)]  # fmt: skip
    return f"<annotations>{''.join(images)}</annotations>"


@pytest.mark.parametrize("how", ["subsets", "tasks", "datumaro", "coco"])
def test_two_images_of_one_name_are_not_taken_for_one(tmp_path: Path, how: str) -> None:
    path = tmp_path / ("t.xml" if how in ("subsets", "tasks") else "t.json")
    (problem,) = look_up(path, of_two_places("0.jpg", how), "0.jpg")
    assert isinstance(problem, str) and "expected one" in problem and "name their folders" in problem
    if how in ("subsets", "datumaro"):
        train, test = look_up(path, of_two_places("0.jpg", how), "Train/0.jpg", "Test/0.jpg")
        np.testing.assert_allclose(test[0].points - train[0].points, 1, atol=1e-3)


def test_two_images_of_one_name_in_tasks_of_one_subset_are_not_taken_for_one(tmp_path: Path) -> None:
    images = ""
    for k, (subset, task) in enumerate((("Train", 1), ("Train", 2), ("Test", 3))):
        pairs = ";".join(f"{x + 0.5},{y + 0.5}" for x, y in POINTS + k)
        images += f'<image name="0.jpg" subset="{subset}" task_id="{task}"><points points="{pairs}"/></image>'
    names = ("Train/0.jpg", "Test/0.jpg", "Train/task_2/0.jpg")
    problem, (test,), (second,) = look_up(tmp_path / "t.xml", f"<annotations>{images}</annotations>", *names)
    assert "0.jpg and T" in problem and "name their folders" in problem
    np.testing.assert_allclose(test.points, POINTS + 2, atol=1e-3)
    np.testing.assert_allclose(second.points, POINTS + 1, atol=1e-3)


def test_an_image_of_no_subset_keeps_its_name_beside_others_of_it() -> None:
    images = [("a.jpg", None, "1"), ("a.jpg", "Test", "1"), ("b.jpg", None, "1")]
    assert named_by_place(images) == ["a.jpg", "Test/a.jpg", "b.jpg"]
