"""Masks: the ratio of the weights, regions, and PRNet's published masks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uvgen import face_mask, landmark_texels, load_model, weight_mask
from uvgen.errors import InputError
from uvgen.maps.atlas import texel_coordinates
from uvgen.maps.mask_files import read_weights
from uvgen.maps.masks import feature_mask
from uvgen.models.morphable import REGIONS, MorphableModel


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_weight_mask_has_the_four_weights_in_their_places(model) -> None:
    weights = weight_mask(model, 128)
    assert weights.dtype == np.float32
    assert sorted(set(weights.ravel().tolist())) == [0, 3, 4, 16]
    rows, columns = landmark_texels(model, 128).T
    assert (weights[rows, columns] == 16).all()
    assert (weights == 16).sum() == len(set(zip(rows.tolist(), columns.tolist(), strict=True)))
    assert (weights[-4:] == 0).all()  # neck
    assert weights[91, 64] == 3  # chin, below the mouth


@pytest.mark.parametrize("size", [64, 256])
def test_weight_mask_of_a_symmetric_model_is_symmetric(model, size) -> None:
    plain = weight_mask(model, size) > 0
    assert (plain != plain[:, ::-1]).mean() < 0.01  # a polygon's edge may fall on texel centers


def labeled(model: MorphableModel) -> MorphableModel:
    u, v = model.uv.T
    regions = np.full(model.n_vertices, REGIONS.index("face"), np.uint8)
    regions[v < 0.2] = REGIONS.index("neck")
    regions[(v > 0.4) & (v < 0.6) & (u < 0.5)] = REGIONS.index("nose")
    return dataclasses.replace(model, regions=regions)


def test_masks_of_a_labeled_model_follow_its_labels(model) -> None:
    face, features = face_mask(labeled(model), 101), feature_mask(labeled(model), 101)
    rows = np.arange(101)
    np.testing.assert_array_equal(np.flatnonzero(~face[:, 50]), rows[rows > 81])
    assert features[50, 10] and not features[50, 90] and not features[20, 10]


def test_feature_mask_without_labels_reaches_below_the_eyes() -> None:
    size, plain = 256, dataclasses.replace(load_model("builtin"), regions=None)
    points = texel_coordinates(plain.uv[plain.landmarks], size)
    unit = np.linalg.norm(points[45] - points[36])
    for eye in ([36, 41, 40, 39], [42, 47, 46, 45]):
        column, lowest = round(points[eye, 0].mean()), points[eye, 1].max()
        below = feature_mask(plain, size)[:, column]
        assert below[round(lowest + 0.19 * unit)] and not below[round(lowest + 0.23 * unit)]


def test_face_mask_without_a_neck_label_ends_at_the_jaw(model) -> None:
    unlabeled_neck = dataclasses.replace(model, regions=np.ones(model.n_vertices, np.uint8))
    np.testing.assert_array_equal(face_mask(unlabeled_neck, 80), face_mask(model, 80))


def test_read_weights_of_an_image_divides_by_16_and_takes_255_for_16(tmp_path) -> None:
    Image.fromarray(np.array([[0, 48], [64, 255]], np.uint8)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_weights(tmp_path / "mask.png", 2), np.float32([[0, 3], [4, 16]]))


def test_read_weights_of_an_array_takes_it_as_it_is(tmp_path) -> None:
    np.save(tmp_path / "mask.npy", np.array([[0.5, 2], [0, 3]]))
    np.testing.assert_array_equal(read_weights(tmp_path / "mask.npy", 2), np.float32([[0.5, 2], [0, 3]]))


@pytest.mark.parametrize("array", [np.ones(4), np.empty(0), np.ones((2, 3)), -np.ones((2, 2)), np.full((2, 2), np.nan)])
def test_read_weights_of_no_mask_raises(tmp_path, array) -> None:
    np.save(tmp_path / "mask.npy", array)
    with pytest.raises(InputError, match=r"mask\.npy: .*expected (\(2, 2\)|weights of 0 or more)"):
        read_weights(tmp_path / "mask.npy", 2)


def test_read_weights_of_a_text_file_raises(tmp_path) -> None:
    (tmp_path / "mask.png").write_text("no image")
    with pytest.raises(InputError, match=r"mask\.png: not a readable weight mask"):
        read_weights(tmp_path / "mask.png", 2)


@pytest.fixture(scope="module")
def unlabeled(stand_in_model: MorphableModel) -> MorphableModel:
    return dataclasses.replace(stand_in_model, regions=None)  # the stand-in's are made up


def test_masks_of_the_real_uv_overlap_those_that_prnet_published(reference: Path, unlabeled: MorphableModel) -> None:
    published_face = np.asarray(Image.open(reference / "prnet_uv/uv_face_mask.png")) > 0
    published_weights = np.asarray(Image.open(reference / "prnet_uv/uv_weight_mask.png"))
    assert overlap(face_mask(unlabeled, 256), published_face) >= 0.93
    assert overlap(feature_mask(unlabeled, 256), published_weights >= 62) >= 0.80


@pytest.mark.parametrize("points", ["in one point", "in a row", "in a column", "in a line", "all in one point"])
def test_masks_of_landmarks_without_an_area_between_them_are_around_them(points: str) -> None:
    plain = dataclasses.replace(load_model("builtin"), regions=None)
    uv, nose = plain.uv.copy(), plain.landmarks[27:36]
    uv[nose] = {
        "in one point": np.full((9, 2), 0.5), "in a row": np.stack([np.linspace(0.4, 0.6, 9), np.full(9, 0.5)], 1),
        "in a column": np.stack([np.full(9, 0.5), np.linspace(0.4, 0.6, 9)], 1),
        "in a line": np.repeat(np.linspace(0.4, 0.6, 9), 2).reshape(9, 2), "all in one point": np.full((9, 2), 0.5),
    }[points]  # fmt: skip
    if points == "all in one point":
        uv[plain.landmarks] = 0.5
    flat, size = dataclasses.replace(plain, uv=uv), 64
    features, weights = feature_mask(flat, size), weight_mask(flat, size)
    column, row = np.rint(texel_coordinates(uv[nose], size)).astype(int).T
    assert features[row, column].all() and not features[-1].any() and weights.any()
