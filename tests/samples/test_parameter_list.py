"""Lists of images and parameters: each layout gives what a .mat gives, and each wrong row is named."""

import csv
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
from support.builds import SMALL, by_name, have
from support.toy import parameters, toy_model, write_tree

from uvgen import build_shards, diagnose, find_samples, read_annotation, read_image, save_model, verify_shards
from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.samples import files, parameter_list
from uvgen.samples.find import Sample
from uvgen.samples.parameter_list import POSE, VECTORS, open_list, read_vector
from uvgen.storage.files import sha256_file

Row = dict[str, Any]


def row_of(image: str, content: Row) -> Row:
    """A row with each number in a column of its own."""
    pose, shape, expression = (np.ravel(content[key]).tolist() for key in ("Pose_Para", "Shape_Para", "Exp_Para"))
    return {
        "image": image, **dict(zip(POSE, pose, strict=True)), **{f"shape_{k}": v for k, v in enumerate(shape)},
        **{f"exp_{k}": v for k, v in enumerate(expression)},
    }  # fmt: skip


def packed_row(image: str, content: Row) -> Row:
    """A row as pandas writes arrays."""
    keys = {"pose": "Pose_Para", "Shape": "Shape_Para", "Expression": "Exp_Para"}
    return {"file_name": image, **{key: str(np.ravel(content[name]).tolist()) for key, name in keys.items()}}


def json_row(image: str, content: Row) -> Row:
    row = packed_row(image, content)
    return {key: json.loads(value) if value.startswith("[") else value for key, value in row.items()}


def row_of_keys(image: str, content: Row) -> Row:
    """A row by the keys of 300W-LP's files."""
    return {"image": image, **{key: np.ravel(content[key]).tolist() for key in ("Pose_Para", "Shape_Para", "Exp_Para")}}


def write_csv(path: Path, rows: list[Row], delimiter: str = ",") -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_json(path: Path, rows: list[Row]) -> Path:
    path = path.with_suffix(".json")
    path.write_text(json.dumps({"samples": rows}))
    return path


def tree_and_rows(folder: Path, row: Callable[[str, Row], Row]) -> tuple[Path, list[Row]]:
    """A tree of samples, and the rows of a list in it that says the same."""
    tree = write_tree(folder / "tree", 2)
    rows = []
    for sample in find_samples(tree):
        assert sample.image is not None and sample.parameters is not None
        rows.append(row(sample.image.relative_to(tree).as_posix(), sio.loadmat(sample.parameters)))
    return tree, rows


@pytest.mark.parametrize(
    ("write", "row"),
    [
        (write_csv, row_of),
        (lambda path, rows: write_csv(path, rows, "\t"), packed_row),
        (write_json, json_row),
        (write_csv, row_of_keys),
        (write_json, row_of_keys),
    ],
)
def test_find_samples_of_a_list_gives_what_the_mats_say(tmp_path: Path, write: Any, row: Any) -> None:
    tree, rows = tree_and_rows(tmp_path, row)
    wanted, found = find_samples(tree), find_samples(write(tree / "list.csv", rows))
    assert [(s.name, s.subset, s.image) for s in found] == [(s.name, s.subset, s.image) for s in wanted]
    for a, b in zip(found, wanted, strict=True):
        said, meant = read_annotation(a), read_annotation(b)
        for name in ("shape", "expression", "pose"):
            np.testing.assert_array_equal(getattr(said, name), getattr(meant, name))
        assert said.landmarks is None and read_image(a).shape == read_image(b).shape


def test_find_samples_of_a_list_takes_arrays_as_numpy_prints_them(tmp_path: Path) -> None:
    """Over several lines, as a table of arrays is saved by pandas."""
    tree, rows = tree_and_rows(tmp_path, lambda image, content: {
        "image": image, "pose": str(np.ravel(content["Pose_Para"]).astype(np.float64)),
        "shape": str(np.ravel(content["Shape_Para"])), "exp": str(np.ravel(content["Exp_Para"])),
    })  # fmt: skip
    assert any("\n" in row["shape"] for row in rows)
    for found, wanted in zip(find_samples(write_csv(tree / "list.csv", rows)), find_samples(tree), strict=True):
        np.testing.assert_allclose(read_annotation(found).shape, read_annotation(wanted).shape, rtol=1e-6)


def test_find_samples_of_a_list_of_files_reads_mat_and_npy(tmp_path: Path) -> None:
    tree, _ = tree_and_rows(tmp_path, row_of)
    first, second = find_samples(tree)[:2]
    assert first.image and second.image and first.parameters
    vector = np.concatenate([np.arange(7.0), np.arange(199), np.arange(29)])
    np.save(tmp_path / "b.npy", vector)
    rows = [
        {"image": str(first.image), "parameters": str(first.parameters)},
        {"image": f"tree/{second.name}{second.image.suffix}", "parameters": "b.npy"},
    ]
    found = {sample.image: read_annotation(sample) for sample in find_samples(write_csv(tmp_path / "l.csv", rows))}
    np.testing.assert_array_equal(found[first.image].pose, read_annotation(first).pose)
    made = found[second.image]
    assert made.pose.tolist() == list(range(7)) and made.shape[-1] == 198 and made.expression[-1] == 28
    assert 235 in VECTORS


def test_build_of_a_list_gives_the_maps_of_the_mats(tmp_path: Path) -> None:
    tree, rows = tree_and_rows(tmp_path, row_of)
    save_model(toy_model(), tmp_path / "model.h5")
    write_csv(tree / "list.csv", rows)
    have(tree, tmp_path / "model.h5", tmp_path / "a")
    result = build_shards(tree / "list.csv", tmp_path / "b", model=tmp_path / "model.h5", config=SMALL)
    assert result.samples == len(rows) and not result.skipped
    keys = ("image", "posmap", "pose", "shape", "landmarks", "source")
    wanted, found = by_name(tmp_path / "a", *keys), by_name(tmp_path / "b", *keys)
    assert wanted.keys() == found.keys()
    for name, sample in wanted.items():
        for key in keys:
            np.testing.assert_array_equal(sample[key], found[name][key], err_msg=key)
    assert verify_shards(tmp_path / "b", model=tmp_path / "model.h5").sound


def test_doctor_checks_the_samples_of_a_list(tmp_path: Path) -> None:
    tree, rows = tree_and_rows(tmp_path, row_of)
    save_model(toy_model(), tmp_path / "m.h5")
    assert diagnose(write_csv(tree / "list.csv", rows), model=tmp_path / "m.h5").sound
    rows[0]["image"] = "none.jpg"
    found = diagnose(write_csv(tree / "list.csv", rows)).findings
    assert any("row 1: image none.jpg is not there" in finding.text for finding in found)
    (tree / "list.csv").write_text("a,b\n1,2\n")
    assert any("list.csv: columns a, b" in finding.text for finding in diagnose(tree / "list.csv").findings)


def test_nan_in_a_list_costs_its_row_alone(tmp_path: Path) -> None:
    """Python writes it, of a fit that failed."""
    tree, rows = tree_and_rows(tmp_path, json_row)
    rows[1] = {**rows[1], "pose": [math.nan] * 7}
    rows[0] = {**rows[0], "psnr": math.inf}
    path = write_json(tree / "list.json", rows)
    assert "NaN" in path.read_text() and "Infinity" in path.read_text()
    samples = find_samples(path)
    assert len(samples) == len(rows)
    bad = next(sample for sample in samples if sample.row == 1)
    with pytest.raises(SampleError, match=r"row 2: pose is 'nan', expected a number"):
        read_annotation(bad)
    assert all(read_annotation(sample).pose is not None for sample in samples if sample is not bad)


def test_find_samples_of_a_list_chooses_subsets_and_numbers_further_faces(tmp_path: Path) -> None:
    tree, rows = tree_and_rows(tmp_path, row_of)
    path = write_csv(tree / "list.csv", [*rows, rows[0]])
    names = [sample.name for sample in find_samples(path)]
    first = rows[0]["image"].rpartition(".")[0]
    assert f"{first}_face2" in names and len(names) == len(set(names)) == len(rows) + 1
    subset = find_samples(path)[0].subset
    assert {sample.subset for sample in find_samples(path, [subset], flip=False)} == {subset}
    with pytest.raises(DatasetError, match="no row of NONE; there are"):
        find_samples(path, ["NONE"])
    with pytest.raises(DatasetError, match=f"no row of {subset.lower()}; did you mean {subset}"):
        find_samples(path, [subset, subset.lower()])  # as for folders, one that is not there is not passed over


def only(path: Path) -> Sample:
    (sample,) = find_samples(path)
    return sample


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"yaw": "left"}, r"list\.csv, row 1: yaw is 'left', expected a number"),
        ({"f": ""}, r"list\.csv, row 1: no f, expected a number \(pitch, yaw"),
        ({"tx": "inf"}, r"row 1: tx is 'inf'"),
        ({"shape_2": "nan"}, r"row 1: shape is 'nan'"),
        ({"image": "b.jpg"}, r"list\.csv, row 1: image b\.jpg is not there"),
        ({"image": ""}, r"row 1: no image"),
        ({"exp_0": "1e300"}, r"list\.csv, row 1: expression holds NaN or infinity"),
        ({"yaw": "0_1"}, r"row 1: yaw is '0_1', expected a number"),
        ({"pose": "1 2 3 4 5 6 7"}, r"list\.csv, row 1: pose and pitch are given, expected one of them"),
        ({"id_0": "1"}, r"row 1: shape and id are given, expected one of them"),
        ({"expression": "1 2"}, r"row 1: exp and expression are given, expected one of them"),
        ({"parameters": "a.pkl"}, r"row 1: parameters a\.pkl, expected a \.mat or \.npy"),
        ({"parameters": "a.npy"}, r"list\.csv, row 1: parameters a\.npy are not there"),
    ],
)
def test_read_annotation_of_a_wrong_row_names_it(tmp_path: Path, change: Row, message: str) -> None:
    write_tree(tmp_path, 1)
    (image, *_) = [s.image for s in find_samples(tmp_path) if s.image]
    row = row_of(image.relative_to(tmp_path).as_posix(), parameters()) | change
    with pytest.raises(SampleError, match=message):
        read_annotation(only(write_csv(tmp_path / "list.csv", [row])))


def test_read_annotation_of_a_row_with_gaps_or_too_few_cells_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    path = tmp_path / "list.csv"
    path.write_text("image,pose,shape_0,shape_2\na.jpg,1 2 3 4 5 6 7,1,2\n")
    with pytest.raises(SampleError, match=r"columns shape_… are not numbered one by one"):
        read_annotation(only(path))
    path.write_text("image,pose,shape_2,shape_3\na.jpg,1 2 3 4 5 6 7,1,2\n")
    with pytest.raises(SampleError, match=r"columns shape_… are not numbered one by one, expected each from 0 or 1"):
        read_annotation(only(path))
    path.write_text("image,pose,shape_0\na.jpg,1 2 3 4 5 6,1\n")
    with pytest.raises(SampleError, match=r"row 1: pose has 6 numbers, expected 7"):
        read_annotation(only(path))
    path.write_text("image,pose,shape_0\na.jpg,1 2 3\n")
    with pytest.raises(SampleError, match=r"row 1: 2 cells, expected 3"):
        read_annotation(only(path))
    np.save(tmp_path / "b.npy", np.zeros(62 + 1))
    path.write_text("image,parameters\na.jpg,b.npy\n")
    with pytest.raises(SampleError, match=r"b\.npy: 63 numbers, expected one of .*235"):
        read_annotation(only(path))


@pytest.mark.parametrize("key", ["Pose", "Pose_Para"])
def test_read_annotation_of_an_object_with_a_key_in_two_spellings_names_it(tmp_path: Path, key: str) -> None:
    (tmp_path / "a.jpg").touch()
    path = write_json(tmp_path / "list", [{"image": "a.jpg", "pose": list(range(7)), key: list(range(7))}])
    with pytest.raises(SampleError, match=r"row 1: pose is there twice, in two spellings"):
        read_annotation(only(path))


@pytest.mark.parametrize(
    "wrong", [{"parameters": ["a.mat"]}, {"pose": [0] * 7, "Pose": [0] * 7}, {"file_name": "AFW/b.jpg"}]
)
def test_a_wrong_object_is_called_by_the_image_that_it_names(tmp_path: Path, wrong: Row) -> None:
    (tmp_path / "AFW").mkdir()
    (tmp_path / "AFW/a.jpg").touch()
    path = write_json(tmp_path / "list", [{"image": "AFW/a.jpg", **wrong}])
    for subsets in ([], ["AFW"]):
        (sample,) = find_samples(path, subsets)
        assert sample.name == "AFW/a" and sample.problem


def test_read_annotation_of_a_list_that_was_changed_since_gives_no_other_image_s_parameters(tmp_path: Path) -> None:
    tree, rows = tree_and_rows(tmp_path, row_of)
    path = write_csv(tree / "list.csv", rows)
    samples = find_samples(path)
    write_csv(path, [rows[-1], *rows])
    for sample in samples:
        with pytest.raises(DatasetError, match=r"row \d+: is of .* now, expected .*; the list was changed"):
            read_annotation(sample)
    write_csv(path, rows[:1])
    with pytest.raises(DatasetError, match=r"row \d+: is not there any more, expected .*; the list was changed"):
        read_annotation(samples[-1])
    path.unlink()
    with pytest.raises(DatasetError, match=r"it was there before, run the command again when it is back"):
        read_annotation(samples[-1])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", r"a\.csv: columns none, expected image and pitch"),
        ("a.csv", "image,x\n", r"a\.csv: columns image, x, expected image and pitch"),
        ("a.csv", "image,pose\n", r"a\.csv: no rows"),
        ("a.csv", "image,pose,pose\n", r"column pose is there twice"),
        ("a.csv", "image,pose,shape_1,shape_01\n", r"column shape_1 is there twice"),
        ("a.json", "{", r"a\.json: not readable JSON"),
        ("a.json", '{"a": 1}', r"a\.json: not a list of objects, expected"),
        ("a.json", "[]", r"a\.json: no rows"),
    ],
)
def test_find_samples_of_a_wrong_list_names_it(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        find_samples(tmp_path / name)
    with pytest.raises(DatasetError, match=re.escape("none.csv: cannot be read")):
        find_samples(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("write", "row", "more", "twice"),
    [
        (write_csv, row_of, {"shape": "1 2 3"}, "shape and shape_0"),
        (write_csv, packed_row, {"expression_0": 0}, "expression and expression_0"),
        (write_csv, packed_row, {"parameters": "a.mat"}, "parameters and pose"),
        (write_csv, row_of, {"parameters": "a.mat"}, "parameters and shape_0"),
        (write_json, json_row, {"shape_0": 1.5, "shape_1": 2}, "shape and shape_0"),
        (write_json, json_row, {"parameters": "a.mat"}, "parameters and pose"),
        (write_json, row_of, {"shape_00": 1.5}, "shape_0 is there twice"),
    ],
)  # fmt: skip
def test_a_row_that_gives_the_same_parameters_twice_is_refused(
    tmp_path: Path, write: Any, row: Any, more: Row, twice: str
) -> None:
    """Which of them is meant, nobody knows: taking one would make wrong labels without a word."""
    tree, rows = tree_and_rows(tmp_path, row)
    sio.savemat(tree / "a.mat", parameters())
    empty = "" if write is write_csv else None
    samples = find_samples(write(tree / "list.csv", [rows[0] | more, rows[1] | dict.fromkeys(more, empty)]))
    images = [tree / next(iter(row.values())) for row in rows[:2]]
    first, second = (next(sample for sample in samples if sample.image == image) for image in images)
    with pytest.raises(SampleError, match=f"row 1: {twice}"):
        read_annotation(first)
    if "_00" not in str(more):  # in the second row, the further columns say nothing
        assert len(read_annotation(second).pose) == 7


def test_a_file_of_parameters_beside_single_angles_and_an_id_is_taken(tmp_path: Path) -> None:
    tree, _ = tree_and_rows(tmp_path, row_of)
    first = find_samples(tree)[0]
    row = {"image": str(first.image), "id": "7", "yaw": "12.5", "parameters": str(first.parameters)}
    (found,) = find_samples(write_csv(tmp_path / "l.csv", [row]))
    np.testing.assert_array_equal(read_annotation(found).pose, read_annotation(first).pose)


@pytest.mark.parametrize("identity", ["7", "person_3", "John Smith"])
@pytest.mark.parametrize(("write", "row"), [(write_csv, row_of), (write_csv, packed_row), (write_json, json_row)])
def test_an_id_beside_a_shape_is_no_shape(tmp_path: Path, write: Any, row: Any, identity: str) -> None:
    """A row's number, or a person."""
    tree, rows = tree_and_rows(tmp_path, row)
    rows = [{"id": int(identity) if write is write_json and identity.isdecimal() else identity, **one} for one in rows]
    for found, wanted in zip(find_samples(write(tree / "list.csv", rows)), find_samples(tree), strict=True):
        np.testing.assert_array_equal(read_annotation(found).shape, read_annotation(wanted).shape)


def test_a_shape_may_be_called_id_and_not_beside_another(tmp_path: Path) -> None:
    tree, rows = tree_and_rows(tmp_path, packed_row)
    named = [{"id" if key == "Shape" else key: value for key, value in row.items()} for row in rows]
    (found, wanted) = (find_samples(write_csv(tree / "list.csv", named))[0], find_samples(tree)[0])
    np.testing.assert_array_equal(read_annotation(found).shape, read_annotation(wanted).shape)
    both = [{"id": row["Shape"], **row} for row in rows]
    with pytest.raises(SampleError, match="shape and id are given, expected one of them"):
        read_annotation(find_samples(write_csv(tree / "list.csv", both))[0])


def test_a_list_of_more_rows_than_its_text_can_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would take a thousand bytes of memory."""
    monkeypatch.setattr(parameter_list, "_MANY_ROWS", 100)
    (tmp_path / "a.csv").write_text("file,f\n" + "a,\n" * 101)
    (tmp_path / "b.json").write_text(json.dumps([{}] * 101))
    for name in ("a.csv", "b.json"):
        with pytest.raises(
            InputError, match=rf"{name}: 101 rows of [34]\.\d characters each, expected an image and its"
        ):
            find_samples(tmp_path / name)
    (tmp_path / "c.csv").write_text("file,parameters\n" + "".join(f"{k:03},{k:03}.npy\n" for k in range(101)))
    (tmp_path / "d.csv").write_text("file,f\n" + "a,\n" * 100)
    assert len(find_samples(tmp_path / "c.csv")) == 101 and len(find_samples(tmp_path / "d.csv")) == 100


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("a.b.jpg", "a.b"),
        ("x/.jpg", "x/.jpg"),
        ("..jpg", "..jpg"),
        ("x/...jpg", "x/...jpg"),
        ("a.", "a."),
        (".", "row"),
    ],
)
def test_names_of_rows_are_the_same_in_every_version_of_python(tmp_path: Path, image: str, name: str) -> None:
    (tmp_path / "a.csv").write_text(f"image,f\n{image},1\n")
    assert [sample.name for sample in find_samples(tmp_path / "a.csv")] == [name]


def test_an_entry_of_json_with_two_pictures_that_may_be_its_image_is_named(tmp_path: Path) -> None:
    rows = [{"image": "a.jpg", "img_path": "b.jpg", "pose": [0.0] * 7}]
    (row,) = open_list(write_json(tmp_path / "l", rows)).rows
    assert row.image == "a.jpg" and row.problem.startswith("image and img_path may both name the image")


@pytest.mark.parametrize("image", [{"image": None}, {"image": ""}, {"photo": None}, {}])
def test_no_other_picture_takes_the_place_of_an_image_that_a_list_does_not_name(tmp_path: Path, image: Row) -> None:
    others = {
        "mask": "m.png",
        "thumbnail": "t.jpg",
        **({"photo": "p.jpg", "name": "n.jpg"} if "image" in image else {}),
    }
    path = write_json(tmp_path / "list", [{"image": "a.jpg", "pose": [0] * 7}, {**image, **others, "pose": [0] * 7}])
    assert [row.image for row in open_list(path).rows] == ["a.jpg", ""]
    assert [sample.problem.endswith("row 2: no image") for sample in find_samples(path)] == [False, True]


def test_masks_beside_names_are_no_images_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "m.png").touch()
    rows = [{"name": "a", "mask": "m.png", "parameters": "a.mat"}]
    for path in (write_json(tmp_path / "list", rows), write_csv(tmp_path / "list.csv", rows)):
        assert only(path).problem.endswith("row 1: image a is not there")
    write_csv(tmp_path / "list.csv", [{"image_id": 1, "mask": "m.png", "parameters": "a.mat"}])
    with pytest.raises(InputError, match="columns image_id, mask, parameters, expected image and"):
        find_samples(tmp_path / "list.csv")


def test_numbered_fields_of_json_are_the_numbers_of_the_list(tmp_path: Path) -> None:
    tree, rows = tree_and_rows(tmp_path, row_of)
    for found, wanted in zip(find_samples(write_json(tree / "list.csv", rows)), find_samples(tree), strict=True):
        np.testing.assert_array_equal(read_annotation(found).shape, read_annotation(wanted).shape)


def test_read_vector_of_bool_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(235, bool))
    with pytest.raises(SampleError, match=r"a\.npy: bool, expected one of 235 numbers"):
        read_vector(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "rows",
    [
        ['a.jpg,1,"x', "b.jpg,2,y", "c.jpg,3,z"],
        ['a.jpg,1,"x', "b.jpg,2,y", 'c.jpg,3,"z'],
        ["a.jpg,1,x", '"b.jpg,2,y', "c.jpg,3,z"],
        ['"a.jpg,1,x', '"b.jpg,2,y', "c.jpg,3,z"],
        ["a.jpg,1,x", "b.jpg,2,y", '"c.jpg,3,z'],
    ],
)
def test_a_quote_that_is_not_closed_takes_no_row_for_a_part_of_its_cell(tmp_path: Path, rows: list[str]) -> None:
    (tmp_path / "list.csv").write_text("\n".join(["image,yaw,note", *rows]) + "\n")
    number = next(k for k, row in enumerate(rows, 2) if '"' in row)
    with pytest.raises(InputError, match=rf"list\.csv, line {number}: a quote is opened and not closed in its cell"):
        find_samples(tmp_path / "list.csv")


def test_quotes_that_are_closed_may_stand_anywhere(tmp_path: Path) -> None:
    text = 'image,yaw,note\n"a.jpg",1,"two\nlines, ""quoted"""\nb.jpg,2,5" wide\nc.jpg,3,"so" so\n'
    (tmp_path / "list.csv").write_text(text)
    assert [sample.name for sample in find_samples(tmp_path / "list.csv")] == ["a", "b", "c"]


def test_landmarks_of_a_list_in_a_mirrored_folder_are_those_of_the_folder(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, 1)
    wanted = next(sample for sample in find_samples(tree) if sample.subset == "IBUG_Flip")
    assert wanted.image is not None and wanted.parameters is not None
    row = {"image": wanted.image.name, "parameters": wanted.parameters.name}
    (found,) = find_samples(write_csv(wanted.image.parent / "list.csv", [row]))
    said, meant = read_annotation(found), read_annotation(wanted)
    assert said.landmarks_2d is not None and meant.landmarks_2d is not None
    np.testing.assert_array_equal(said.landmarks_2d, meant.landmarks_2d)


def test_read_vector_of_a_matrix_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((5, 47)))
    with pytest.raises(SampleError, match=r"a\.npy: a matrix of 5 × 47, expected one of 235 numbers"):
        read_vector(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.ones((235, 1)))
    assert len(read_vector(tmp_path / "a.npy")[0]) == 199


def test_build_of_a_list_skips_rows_of_missing_folders_and_of_one_name_and_takes_hidden_folders(
    tmp_path: Path,
) -> None:
    tree, _ = tree_and_rows(tmp_path, row_of)
    save_model(toy_model(), tmp_path / "m.h5")
    first, second = find_samples(tree)[:2]
    assert first.image and first.parameters and second.image and second.parameters
    hidden = tree / ".frames"
    hidden.mkdir()
    for path in (second.image, second.parameters):
        shutil.copy(path, hidden)
        shutil.copy(path, hidden / f"x_face2{path.suffix}")
        shutil.copy(path, hidden / f"x{path.suffix}")
    rows = [
        {"image": str(first.image), "parameters": "nowhere/a.mat"},
        {"image": f".frames/{second.image.name}", "parameters": str(second.parameters)},
        *({"image": f".frames/{name}.jpg", "parameters": str(second.parameters)} for name in ("x", "x", "x_face2")),
        {"image": "//" + str(first.image).lstrip("/"), "parameters": str(first.parameters)},
    ]
    path = write_csv(tree / "list.csv", rows)
    assert not any(sample.name.startswith("/") for sample in find_samples(path))
    result = build_shards(path, tmp_path / "out", model=tmp_path / "m.h5", config=SMALL)
    reasons = {skip.name: skip.reason for skip in result.skipped}
    assert result.samples == 3 and len(reasons) == 3
    assert sorted(reason.rpartition(": ")[2] for reason in reasons.values()) == [
        "another row has this name too; rename the images",
        "another row has this name too; rename the images",
        "parameters nowhere/a.mat are not there",
    ]
    assert verify_shards(tmp_path / "out").sound
    assert build_shards(path, tmp_path / "out", model=tmp_path / "m.h5", config=SMALL).new_samples == 0


def test_a_list_is_hashed_once_for_all_samples_that_are_skipped_and_again_if_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing a list of 20,000 rows for each of 10,000 whose images are missing took half an hour."""
    hashed: list[Path] = []

    def counted(path: Path) -> str:
        hashed.append(path)
        return sha256_file(path)

    monkeypatch.setattr(files, "sha256_file", counted)
    rows = [{"image": f"{k}.jpg", "pose": "1 2 3 4 5 6 7"} for k in range(20)]
    found = find_samples(write_csv(tmp_path / "list.csv", rows))
    states = {files.files_sha256(sample) for sample in found}
    assert len(found) == 20 and hashed == [tmp_path / "list.csv"]
    write_csv(tmp_path / "list.csv", [*rows, rows[0]])
    assert not states & {files.files_sha256(sample) for sample in found}
    assert hashed == [tmp_path / "list.csv"] * 2
