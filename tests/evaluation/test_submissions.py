"""What DAD-3DHeads' and REALY's programs read out of the files is what was predicted."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.builds import make, seal
from support.realy import key_points
from support.toy import write_tree

from uvgen import BuildConfig, load_model, open_shards
from uvgen.errors import InputError, OutputError, SettingsError
from uvgen.evaluation.predictions import Reading
from uvgen.evaluation.submissions import (
    check_submission,
    keypoint_uv,
    keypoints_on_map,
    write_dad3dheads,
    write_realy,
)
from uvgen.geometry import rotation_matrices
from uvgen.maps.atlas import build_atlas
from uvgen.meshes.read import read_mesh
from uvgen.rasterize import write_obj
from uvgen.storage.drafts import draft_of


@pytest.fixture
def predictions(shards, tmp_path):
    """Of three samples with names of their own."""
    folder = tmp_path / "predictions"
    for sample in [s for s in open_shards(shards) if s["name"].startswith("AFW/")]:
        path = folder / f"{sample['name']}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, sample["posmap"])
    return folder


def test_dad3dheads_points_are_of_the_image_and_the_rotation_of_the_pose(
    shards, predictions, tmp_path, model_path
) -> None:
    left = write_dad3dheads(predictions, shards, tmp_path / "sub.json", model=model_path)
    content = json.loads((tmp_path / "sub.json").read_text())
    samples = {s["name"].rpartition("/")[2]: s for s in open_shards(shards) if s["name"].startswith("AFW/")}
    assert content.keys() == samples.keys() and len(left) == 6
    mask = open_shards(shards).constants["weight_mask"] > 0
    for name, item in content.items():
        sample = samples[name]
        inverse = np.linalg.inv(sample["image_to_crop"])
        in_image = sample["posmap"][mask][:, :2] @ inverse[:2, :2].T + inverse[:2, 2]
        face = np.array(item["N_landmarks_3d"])
        np.testing.assert_allclose(face[:, :2], in_image, atol=1e-4)  # float32
        assert np.array(item["68_landmarks_2d"]).shape == (68, 2) and np.array(item["7_landmarks_3d"]).shape == (7, 3)
        depth = sample["posmap"][mask][:, 2] / np.sqrt(np.linalg.det(sample["image_to_crop"][:2, :2]))
        np.testing.assert_allclose(face[:, 2], -depth, atol=1e-4)  # away from the viewer
        expected = np.diag([1.0, -1.0, -1.0]) @ rotation_matrices(sample["pose"][None, :3])[0]
        found = np.array(item["rotation_matrix"])
        np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-9)
        assert np.linalg.norm(np.eye(3) - found @ expected.T) < 0.2  # shape and expression turn it a little


def test_dad3dheads_points_are_pixels_of_the_image_whatever_convention_the_set_has(tmp_path, model_path) -> None:
    tree, content = write_tree(tmp_path / "tree") / "AFW", {}
    for convention in ("exact", "face3d"):
        out = tmp_path / convention
        make(tree, model_path, out, BuildConfig(size=32, uv_size=48, jitter=0, convention=convention))
        for sample in open_shards(out):
            path = tmp_path / f"{convention}_maps/{sample['name']}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, sample["posmap"])
        write_dad3dheads(tmp_path / f"{convention}_maps", out, tmp_path / "sub.json", model=model_path)
        content[convention] = json.loads((tmp_path / "sub.json").read_text())
    for name, item in content["exact"].items():
        for key in ("68_landmarks_2d", "7_landmarks_3d"):
            np.testing.assert_allclose(
                np.array(content["face3d"][name][key])[:, :2], np.array(item[key])[:, :2], atol=0.05
            )


def test_dad3dheads_of_maps_in_crop_widths_is_that_of_maps_in_px(shards, predictions, tmp_path, model_path) -> None:
    write_dad3dheads(predictions, shards, tmp_path / "px.json", model=model_path)
    for path in predictions.rglob("*.npy"):
        np.save(path, np.load(path).astype(np.float64) / 32)
    write_dad3dheads(predictions, shards, tmp_path / "widths.json", model=model_path, reading=Reading("size"))
    expected, found = (json.loads((tmp_path / name).read_text()) for name in ("px.json", "widths.json"))
    for name, item in expected.items():
        np.testing.assert_allclose(found[name]["68_landmarks_2d"], item["68_landmarks_2d"], atol=1e-6)


def as_realy_reads(rows, vertices, triangles) -> np.ndarray:
    """`get_barycentric_coordinates` of its utils/util.py."""
    rows = np.array(rows)
    corners = vertices[triangles[rows[:, 0].astype(np.int32)]]
    weight = np.stack([rows[:, 1], rows[:, 2], 1.0 - rows[:, 1] - rows[:, 2]]).T.reshape(-1, 3, 1)
    return (corners * weight).sum(axis=1)


def test_realy_key_points_are_those_of_the_template(shards, predictions, tmp_path, model_path) -> None:
    model = load_model(model_path)
    write_obj(tmp_path / "BFM09.obj", model.mean, model.triangles, frame="raw")
    rows = key_points(model)
    (tmp_path / "BFM09.txt").write_text(json.dumps(rows))
    out = tmp_path / "realy"
    (draft_of(out) / "meshes").mkdir(parents=True)
    (draft_of(out) / "meshes/of_a_run_that_was_killed.obj").write_text("")
    write_realy(
        predictions, shards, out, model=model, template=tmp_path / "BFM09.obj", keypoints=tmp_path / "BFM09.txt"
    )
    assert sorted(path.name for path in out.iterdir()) == ["meshes", "uvgen.obj", "uvgen.txt"]
    assert len([*(out / "meshes").iterdir()]) == 3
    mine, n = json.loads((out / "uvgen.txt").read_text()), 0
    _, template = read_mesh(out / "uvgen.obj")
    for sample in open_shards(shards):
        path = out / "meshes" / f"{sample['name'].rpartition('/')[2]}.obj"
        if not sample["name"].startswith("AFW/"):
            continue
        vertices, triangles = read_mesh(path)
        np.testing.assert_array_equal(triangles, template)  # one topology
        found = as_realy_reads(mine, vertices, triangles)
        atlas = build_atlas(model, 48)
        uv = keypoint_uv(model, tmp_path / "BFM09.obj", tmp_path / "BFM09.txt")
        column, row = uv[:, 0] * 47, 47 - uv[:, 1] * 47
        texels = sample["posmap"][row.round().astype(int), column.round().astype(int)] * [1, -1, 1]
        assert np.linalg.norm(found - texels, axis=1).max() < 1.5  # px of a crop of 32: within a texel
        assert atlas.size == 48
        n += 1
    assert n == 3


def test_key_points_on_a_flat_map_are_exact_inside_and_the_nearest_outside() -> None:
    coverage = np.ones((12, 12), bool)
    coverage[:, 9:] = False
    uv = np.random.default_rng(0).uniform(0, 1, (85, 2)) * [8 / 11, 1]
    flat = np.zeros((12, 12, 3))
    flat[..., 0], flat[..., 1] = np.meshgrid(np.arange(12), np.arange(12))
    from uvgen.meshes.grid import mesh_from_map

    vertices, triangles, _ = mesh_from_map(flat, coverage)
    found = as_realy_reads(keypoints_on_map(uv, coverage), vertices, triangles[:, ::-1])
    np.testing.assert_allclose(found[:, :2], np.stack([uv[:, 0] * 11, 11 - uv[:, 1] * 11], axis=1), atol=1e-6)
    outside = as_realy_reads(keypoints_on_map(np.array([[1.0, 0.5]]), coverage), vertices, triangles[:, ::-1])
    assert outside[0, 0] == pytest.approx(8) and abs(outside[0, 1] - 5.5) <= 1


def test_wrong_templates_and_names_are_errors(shards, tmp_path, predict, model_path) -> None:
    model = load_model(model_path)
    write_obj(tmp_path / "small.obj", model.mean[:9], model.triangles[:1] * 0 + [0, 1, 2], frame="raw")
    write_obj(tmp_path / "BFM09.obj", model.mean, model.triangles, frame="raw")
    for text, message in (
        ("[[1, 2, 3]]", r"\(1, 3\), expected 85 rows"),
        ("{", "not readable"),
        ("[" * 100_000, "not readable"),
        (f"[[1{'0' * 400}, 1, 1]]", "not readable"),
        (json.dumps([[0.5, 0.1, 0.1]] * 85), "triangle 0.5, expected 0 to"),
        (json.dumps([[-0.5, 0.1, 0.1]] * 85), "triangle -0.5, expected 0 to"),
        (json.dumps([[0, 1e300, 0.1]] * 85), "of point 0, expected 0 to 1"),
    ):
        (tmp_path / "points.txt").write_text(text)
        with pytest.raises(InputError, match=message):
            keypoint_uv(model, tmp_path / "BFM09.obj", tmp_path / "points.txt")
    (tmp_path / "points.txt").write_text(json.dumps([[10**6, 0.1, 0.1]] * 85))
    with pytest.raises(InputError, match="triangle 1000000, expected 0 to"):
        keypoint_uv(model, tmp_path / "BFM09.obj", tmp_path / "points.txt")
    with pytest.raises(InputError, match="9 vertices, expected 1681"):
        keypoint_uv(model, tmp_path / "small.obj", tmp_path / "points.txt")
    with pytest.raises(InputError, match="another sample's image has the name IBUG_000_1_0 too"):
        write_dad3dheads(predict(), shards, tmp_path / "sub.json", model=model)
    assert not (tmp_path / "sub.json").exists()


def test_template_is_a_mesh_of_the_models_vertices_in_their_order(tmp_path, model_path) -> None:
    model, (template, points) = load_model(model_path), (tmp_path / "BFM09.obj", tmp_path / "BFM09.txt")
    points.write_text(json.dumps(key_points(model)))
    rng = np.random.default_rng(0)
    turn = rotation_matrices(np.array([[0.3, -2.0, 0.1]]))[0]
    face = model.mean + model.basis @ rng.normal(0, np.concatenate([model.shape_std, model.expression_std]))
    write_obj(template, 1e-3 * face @ turn.T + 7, model.triangles, frame="raw")  # another face, somewhere
    uv = keypoint_uv(model, template, points)
    order = rng.permutation(model.n_vertices)
    write_obj(template, model.mean[order], np.argsort(order)[model.triangles], frame="raw")  # the same surface
    with pytest.raises(InputError, match=r"BFM09.obj: the key points on it lie \d+% .*or in another order"):
        keypoint_uv(model, template, points)
    write_obj(template, model.mean, model.triangles[::-1], frame="raw")  # of whose order the numbers are
    points.write_text(json.dumps([[len(model.triangles) - 1 - k, a, b] for k, a, b in json.loads(points.read_text())]))
    np.testing.assert_allclose(keypoint_uv(model, template, points), uv)
    write_obj(template, model.mean * 0, model.triangles, frame="raw")
    with pytest.raises(InputError, match=r"BFM09.obj: not a mesh of .* in one place"):
        keypoint_uv(model, template, points)


@pytest.mark.parametrize("order", ["shuffled", "turned", "reversed"])
def test_template_has_its_triangles_in_the_order_of_the_numbers(tmp_path, model_path, order: str) -> None:
    model, (template, points) = load_model(model_path), (tmp_path / "BFM09.obj", tmp_path / "BFM09.txt")
    points.write_text(json.dumps(key_points(model)))
    n = len(model.triangles)
    orders = {"shuffled": np.random.default_rng(0).permutation(n), "turned": np.roll(np.arange(n), n // 3)}
    write_obj(template, model.mean, model.triangles[orders.get(order, slice(None, None, -1))], frame="raw")
    with pytest.raises(InputError, match=r"BFM09.txt: the first 68 key points lie \d+% .* those of .*BFM09.obj are in"):
        keypoint_uv(model, template, points)


def test_submission_leaves_out_what_cannot_be_read(shards, predictions, tmp_path, model_path) -> None:
    (predictions / "AFW/AFW_001_1_0.npy").write_bytes(b"damaged")
    left = write_dad3dheads(predictions, shards, tmp_path / "sub.json", model=model_path)
    assert "AFW/AFW_001_1_0" in left and len(json.loads((tmp_path / "sub.json").read_text())) == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda values: values[..., 0], "48 x 48, expected a map of U x U x 3"),
        (lambda values: values * np.nan, "holds NaN or infinity"),
        (lambda values: values[:2, :34].reshape(68, 3), "is 68 points, expected a position map"),
    ],
)
def test_unusable_predictions_cost_themselves_and_all_of_them_the_submission(
    shards, predictions, tmp_path, model_path, change, why: str
) -> None:
    model = load_model(model_path)
    write_obj(tmp_path / "BFM09.obj", model.mean, model.triangles, frame="raw")
    (tmp_path / "BFM09.txt").write_text(json.dumps(key_points(model)))
    points: dict[str, Any] = {"template": tmp_path / "BFM09.obj", "keypoints": tmp_path / "BFM09.txt"}
    first, *others = sorted(predictions.rglob("*.npy"))
    np.save(first, change(np.load(first)))
    left = write_dad3dheads(predictions, shards, tmp_path / "sub.json", model=model)
    assert first.relative_to(predictions).with_suffix("").as_posix() in left and len(left) == 7
    assert write_realy(predictions, shards, tmp_path / "sub", model=model, **points) == left
    assert len(list((tmp_path / "sub/meshes").iterdir())) == 2
    for path in others:
        np.save(path, change(np.load(path)))
    said = f"none of 9 predictions can be used; the first, {re.escape(left[-1])}: .*{why}"
    with pytest.raises(InputError, match=said):
        write_dad3dheads(predictions, shards, tmp_path / "none.json", model=model)
    with pytest.raises(InputError, match=said):
        write_realy(predictions, shards, tmp_path / "none", model=model, **points)
    assert not list(tmp_path.glob("*none*"))


def test_submission_replaces_a_file_on_request_only_and_never_a_folder(tmp_path) -> None:
    file, folder = tmp_path / "mine.json", tmp_path / "folder"
    file.write_text("mine")
    folder.mkdir()
    (folder / "mine").touch()
    with pytest.raises(SettingsError, match="is there already; choose another file"):
        check_submission("dad3dheads", file)
    check_submission("dad3dheads", file, overwrite=True)
    check_submission("dad3dheads", tmp_path / "new.json")
    with pytest.raises(OutputError, match="a folder, expected a JSON file"):
        check_submission("dad3dheads", folder, overwrite=True)
    with pytest.raises(OutputError, match="not empty"):
        check_submission("realy", folder)


def test_dad3dheads_leaves_out_a_map_without_a_rotation(shards, predictions, tmp_path, model_path) -> None:
    path = sorted(predictions.rglob("*.npy"))[0]
    np.save(path, np.full_like(np.load(path), 5))
    left = write_dad3dheads(predictions, shards, tmp_path / "sub.json", model=model_path)
    assert path.relative_to(predictions).with_suffix("").as_posix() in left
    content = json.loads((tmp_path / "sub.json").read_text())
    assert len(content) == 2 and path.stem not in content


@pytest.mark.parametrize("number", [True, "1_0", "\u0661"])
def test_key_points_that_only_python_takes_for_numbers_are_refused(tmp_path, model_path, number: object) -> None:
    model = load_model(model_path)
    write_obj(tmp_path / "BFM09.obj", model.mean, model.triangles)
    (tmp_path / "points.txt").write_text(json.dumps([[number, 0.1, 0.1]] * 85))
    with pytest.raises(InputError, match=r"points\.txt: not readable"):
        keypoint_uv(model, tmp_path / "BFM09.obj", tmp_path / "points.txt")


def test_sample_of_the_truth_that_cannot_be_read_is_left_out(shards, predictions, tmp_path, model_path) -> None:
    folder = Path(shutil.copytree(shards, tmp_path / "damaged"))
    with h5py.File(next(folder.glob("AFW-*.h5")), "r+") as file:
        file["image_to_crop"][0] = 0
        name = file["name"][0].decode()
    seal(folder)
    left = write_dad3dheads(predictions, folder, tmp_path / "sub.json", model=model_path)
    assert name in left and len(left) == 7 and len(json.loads((tmp_path / "sub.json").read_text())) == 2
