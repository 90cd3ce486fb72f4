"""`uvgen export --to stn`: read with SciPy and as 3DMMasSTN and its PyTorch port index what they read."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
from numpy.typing import NDArray
from PIL import Image
from support.builds import SMALL, have
from support.toy import write_tree

from uvgen import Augmentation, BuildConfig, SampleSelection, build_shards, export_shards, open_shards, split_shards
from uvgen.datasets.augmented import augment_shards
from uvgen.datasets.export.stn import points_of
from uvgen.errors import InputError
from uvgen.geometry import AFLW_MIRROR, pose_to_image
from uvgen.maps.aflw import aflw_texels, aflw_uv
from uvgen.maps.atlas import texel_coordinates
from uvgen.maps.resample import resample_model
from uvgen.models.morphable import MorphableModel
from uvgen.samples.landmark_schemes import AFLW_21
from uvgen.shards.index import Index
from uvgen.storage.folders import EXPORT_MARK

N = 9
OWN_21 = [
    2489, 2279, 2178, 2191, 2314, 2552, 3283, 3177, 3182, 3203, 3208, 3326, 7177, 4979, 4536, 4990, 7272, 6880, 6664,
    6897, 9128,
]  # fmt: skip
"""Its Landmarks21_112.anl."""

FLIP = np.array([6, 5, 4, 3, 2, 1, 12, 11, 10, 9, 8, 7, 17, 16, 15, 14, 13, 20, 19, 18, 21]) - 1
"""Its syncFlippedLandmarks.m."""

LABELS = "aflw_cropped_label.csv"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("stn")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder / "shards"


@pytest.fixture(scope="module")
def exported(built: Path, model_path: Path) -> Path:
    export_shards(built, built.with_name("stn"), "stn", model=model_path)
    return built.with_name("stn")


def landmark_file(path: Path) -> NDArray[np.int64]:
    """readLandmarks.m: numbers, % begins a comment."""
    return np.array([int(line) for line in path.read_text().splitlines() if line and not line.startswith("%")])


@pytest.mark.parametrize("size", [112, 224])
def test_stn_model_gives_faces_by_its_model_layer(exported: Path, model: MorphableModel, size: int) -> None:
    content = sio.loadmat(exported / f"model_{size}.mat")
    n = int(content["nverts"][0, 0])
    assert n == size**2 and content["shapePC"].shape == (3 * n, 10)
    grid = resample_model(model, size)
    alpha = np.random.default_rng(0).normal(size=10)
    # vl_nnmodel.m: reshape(shapeMU + shapePC * alpha, 3, nverts), columns first
    vertices = (content["shapeMU"][:, 0] + content["shapePC"] @ alpha).reshape(3, n, order="F").T
    shape = grid.shape_basis[..., :5] @ (alpha[:5] * grid.shape_std[:5])
    expression = grid.expression_basis[..., :5] @ (alpha[5:] * grid.expression_std[:5])
    np.testing.assert_allclose(1000 * vertices, grid.mean + shape + expression, atol=0.1)  # µm
    faces = content["faces"].astype(int)
    assert faces[:3].tolist() == [[1, 2, size + 1], [size + 2, size + 1, 2], [size + 1, size + 2, 2 * size + 1]]
    assert len(faces) == 2 * (size - 1) ** 2 and np.unique(faces).tolist() == list(range(1, n + 1))
    # visibilityNotSelf.m: cross(v2 - v1, v2 - v3), whose z is positive where a face is seen
    mean = content["shapeMU"].reshape(n, 3)
    a, b, c = (mean[faces[:, k] - 1] for k in range(3))
    assert np.mean(np.cross(b - a, b - c)[:, 2] > 0) > 0.95


@pytest.mark.parametrize("size", [112, 224])
def test_stn_landmark_files_name_texels_where_the_points_lie(exported: Path, model: MorphableModel, size: int) -> None:
    grid = resample_model(model, size)
    of_68 = landmark_file(exported / f"util/landmarks/Landmarks68_{size}.anl") - 1
    np.testing.assert_array_equal(of_68, grid.landmarks)
    of_21 = landmark_file(exported / f"util/landmarks/Landmarks21_{size}.anl") - 1
    assert len(of_21) == len(set(of_21)) == 21
    for k, landmark in AFLW_21.items():
        assert of_21[k] == of_68[landmark]
    np.testing.assert_array_equal(of_21, aflw_texels(model, size) @ [size, 1])
    np.testing.assert_array_equal(AFLW_MIRROR, FLIP)
    columns = of_21 % size
    assert np.abs(columns + columns[FLIP] - (size - 1)).max() <= 2
    assert columns[12] == columns.min() and columns[16] == columns.max()  # ears


def test_stn_points_on_the_basel_uv_are_near_those_of_its_own_file(
    reference: Path, stand_in_model: MorphableModel
) -> None:
    found = aflw_texels(stand_in_model, 112)
    own = np.stack(np.divmod(np.array(OWN_21) - 1, 112), axis=1)
    assert np.linalg.norm(found - own, axis=1).max() < 6  # texels; 3DDFA has other points than 3DMMasSTN


def test_stn_uv_file_is_the_model_s(exported: Path, model: MorphableModel) -> None:
    np.testing.assert_array_equal(sio.loadmat(exported / "util/BFM_UV.mat")["UV"], model.uv)


def test_stn_points_are_where_the_posed_model_has_them(built: Path, model: MorphableModel) -> None:
    uv = aflw_uv(model)
    vertices = ((model.uv[None] - uv[:, None]) ** 2).sum(axis=2).argmin(axis=1)
    for sample in open_shards(built):
        found, seen = points_of(sample, texel_coordinates(uv, SMALL.uv_size))
        shape = model.mean + model.shape_basis @ sample["shape"] + model.expression_basis @ sample["expression"]
        affine = pose_to_image(sample["crop_pose"][None], SMALL.size)[0]
        expected = shape[vertices] @ affine[:, :3].T + affine[:, 3]
        assert np.abs(found - expected[:, :2]).max() < 1.0  # of a crop of 32 px, whose texels are 0.7 px wide
        assert seen.any()


def test_stn_hidden_points_are_those_on_the_far_side(built: Path, model: MorphableModel) -> None:
    texels = texel_coordinates(aflw_uv(model), SMALL.uv_size)
    for sample in open_shards(built):
        seen, yaw = points_of(sample, texels)[1], sample["crop_pose"][1]
        if abs(yaw) > 0.9:
            far, near = (12, 16) if yaw > 0 else (16, 12)
            assert seen[near] >= seen[far]


def test_stn_labels_are_the_same_for_matlab_and_the_port(built: Path, exported: Path) -> None:
    images = sio.loadmat(exported / "imdb.mat")["images"][0, 0]
    labels, names = images["labels"], [str(name[0]) for name in images["names"][0]]
    assert labels.shape == (1, 3, 21, N) and labels.dtype == np.float32 and images["set"].shape == (1, N)
    rows = list(csv.reader((exported / LABELS).open(encoding="utf-8")))
    assert len(rows) == N + 1 and rows[0][:6] == ["file_id", "face_id", "filepath", "1_x", "1_y", "1_vis"]
    scale = 223 / (SMALL.size - 1)
    for k, (row, sample) in enumerate(zip(rows[1:], open_shards(built), strict=True)):
        assert row[2] == names[k] == f"{sample['name']}.jpg"
        crop = np.asarray(Image.open(exported / "images" / row[2]))
        assert crop.shape == (224, 224, 3)
        corners = np.abs(crop[::223, ::223].astype(float) - sample["image"][::31, ::31])
        assert corners.max() < 12  # the corner pixels stay corner pixels
        points = np.array(row[3:66], float).reshape(21, 3)  # the port: iloc[idx, 3:66]
        for j, landmark in AFLW_21.items():
            np.testing.assert_allclose(points[j, :2], scale * sample["landmarks"][landmark, :2], atol=1e-2)
        np.testing.assert_allclose(labels[0, 0, :, k], points[:, 0] + 1, atol=1e-3)
        np.testing.assert_allclose(225 - labels[0, 1, :, k], points[:, 1] + 1, atol=1e-3)  # demo.m draws 225 - y
        np.testing.assert_array_equal(labels[0, 2, :, k], points[:, 2])
        assert images["set"][0, k] == 1 + int(row[-1])
    assert (images["set"] == 2).sum() == 1


def test_stn_of_mirrored_copies_has_the_points_of_the_mirrored_face(
    built: Path, exported: Path, tmp_path: Path, model: MorphableModel, model_path: Path
) -> None:
    augment_shards(built, tmp_path / "copies", Augmentation(flip=1.0), model=model)
    export_shards(tmp_path / "copies", tmp_path / "out", "stn", model=model_path)
    first, second = (
        sio.loadmat(folder / "imdb.mat")["images"][0, 0]["labels"] for folder in (exported, tmp_path / "out")
    )
    mirrored = first[:, :, FLIP].copy()
    mirrored[:, 0] = 225 - mirrored[:, 0]  # getBatch: size + 1 - x
    np.testing.assert_allclose(second[:, :2], mirrored[:, :2], atol=2.5)  # the toy's squares are cut along one diagonal


def test_stn_sets_of_copies_divide_photographs_as_those_of_their_source(
    built: Path, exported: Path, tmp_path: Path, model_path: Path
) -> None:
    augment_shards(built, tmp_path / "copies", Augmentation(rotation_deg=(-5, 5)), copies=2)
    export_shards(tmp_path / "copies", tmp_path / "out", "stn", model=model_path)
    sources, copies = (
        {row["filepath"].removesuffix(".jpg"): row["val"] for row in csv.DictReader((folder / LABELS).open())}
        for folder in (exported, tmp_path / "out")
    )
    assert copies == {f"{name}-{k}": val for name, val in sources.items() for k in (0, 1)}


def test_stn_labels_wait_in_files_that_are_gone_at_the_end(exported: Path) -> None:
    assert not [path.name for path in exported.iterdir() if path.name.startswith(".labels")]


def test_export_of_a_set_of_the_built_in_model_needs_no_model(tmp_path: Path, uvgen: Any) -> None:
    shards = tmp_path / "shards"
    build_shards(None, shards, config=BuildConfig(size=32, uv_size=48), select=SampleSelection(limit=1))
    done = uvgen("export", shards, "--to", "prnet", "--out", tmp_path / "prnet")
    assert done.exit_code == 0, done.output
    export_shards(shards, tmp_path / "named", "prnet", model="builtin")
    files = [path for path in (tmp_path / "named").rglob("*.*") if path.name != EXPORT_MARK]
    assert len(files) > 5
    for path in files:
        assert path.read_bytes() == (tmp_path / "prnet" / path.relative_to(tmp_path / "named")).read_bytes()
    augment_shards(shards, tmp_path / "turned", replace(Augmentation.preset("prnet"), flip=1.0))
    assert open_shards(tmp_path / "turned")[0]["flipped"]
    index = Index.read(shards)
    replace(index, config={**index.config, "model_sha256": "0" * 64}).write(shards)  # of another version's
    done = uvgen("export", shards, "--to", "stn", "--out", tmp_path / "stn")
    assert done.exit_code == 2 and "--model: none, expected one for stn" in done.stderr


def test_stn_has_no_labels_of_samples_that_are_in_neither_part(built: Path, model_path: Path, tmp_path: Path) -> None:
    shards = shutil.copytree(built, tmp_path / "shards")
    parts = {
        split.name: split.samples for split in split_shards(shards, {"train": 0.4, "val": 0.3, "test": 0.3}).splits
    }
    export_shards(shards, tmp_path / "out", "stn", model=model_path)
    with open(tmp_path / "out" / LABELS, newline="") as file:
        val = {row["filepath"].removesuffix(".jpg"): row["val"] for row in csv.DictReader(file)}
    assert val == dict.fromkeys(parts["train"], "0") | dict.fromkeys(parts["val"], "1")
    images = sio.loadmat(tmp_path / "out/imdb.mat")["images"][0, 0]
    assert images["labels"].shape[-1] == images["set"].shape[-1] == images["names"].shape[-1] == len(val)
    assert parts["test"] and all((tmp_path / f"out/images/{name}.jpg").exists() for name in parts["test"])


@pytest.mark.parametrize("to", ["stn", "deep3d"])
def test_export_of_none_of_the_samples_to_train_or_validate_with_is_refused(
    to: str, built: Path, model_path: Path, tmp_path: Path
) -> None:
    shards = shutil.copytree(built, tmp_path / "shards")
    split_shards(shards, {"train": 0.4, "val": 0.3, "test": 0.3})
    needed = {"stn": {"model": model_path}, "deep3d": {"data": built.with_name("300W_LP")}}[to]
    with pytest.raises(InputError, match="train and val have none of the samples that were chosen"):
        export_shards(shards, tmp_path / "out", to, split="test", **needed)
    assert not (tmp_path / "out").exists()


def test_export_of_a_sample_both_to_train_and_to_validate_with_is_refused(
    built: Path, model_path: Path, tmp_path: Path
) -> None:
    shards = shutil.copytree(built, tmp_path / "shards")
    split_shards(shards, {"train": 0.5, "val": 0.5})
    content = json.loads((shards / "splits.json").read_text())
    train, val = (content["splits"][name]["samples"] for name in ("train", "val"))
    train.append(val[0])
    (shards / "splits.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"train and val both have {val[0]}, expected samples to train"):
        export_shards(shards, tmp_path / "out", "stn", model=model_path)
