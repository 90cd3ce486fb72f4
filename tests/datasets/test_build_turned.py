"""Sets whose faces are turned out of the plane while they are built."""

import dataclasses

import numpy as np
import pytest
from support.builds import SMALL, by_name, file_hashes, have, make

from uvgen import (
    Augmentation,
    AugmentationDraw,
    augment_shards,
    find_samples,
    load_model,
    open_shards,
    read_annotation,
    read_image,
    verify_shards,
    warp_image,
)
from uvgen.augment import MARK, turn_face
from uvgen.errors import DatasetError, InputError

TURN = Augmentation(yaw_deg=(-50, 50), pitch_deg=(-10, 10))
CONFIG = dataclasses.replace(SMALL, augmentation=TURN)


def test_build_turned_samples_are_crops_of_the_turned_photograph_and_maps_agree(tree, model_path, tmp_path) -> None:
    result = make(tree, model_path, tmp_path / "out", CONFIG)
    assert result.samples == 9
    model, originals = load_model(model_path), {sample.name: sample for sample in find_samples(tree)}
    for sample in open_shards(tmp_path / "out"):
        original = originals[sample["name"].rsplit("-", 1)[0]]
        draw, annotation = AugmentationDraw.from_json(sample["augmentation"]), read_annotation(original)
        drawn = TURN.draw(SMALL.seed, original.name, 0, SMALL.size)
        if abs(np.rad2deg(annotation.pose[1]) + drawn.yaw_deg) < 90:
            assert draw == drawn
        picture, turned = turn_face(read_image(original), annotation, model, draw.yaw_deg, draw.pitch_deg)
        np.testing.assert_array_equal(sample["pose"], turned.pose)
        expected = warp_image(picture, sample["image_to_crop"], SMALL.size)
        np.testing.assert_array_equal(sample["image"], expected)
    assert verify_shards(tmp_path / "out", model=model).problems == ()


def test_build_turned_crop_is_made_after_the_turn_and_is_followed_by_the_rest(tree, model_path, tmp_path) -> None:
    """The crop lies around the turned landmarks; what else is drawn is what would have been without a turn."""
    rest = dataclasses.replace(CONFIG, augmentation=dataclasses.replace(TURN, rotation_deg=(-40, 40), flip=0.5))
    make(tree, model_path, tmp_path / "turned", dataclasses.replace(CONFIG, jitter=0.0))
    have(tree, model_path, tmp_path / "rest", dataclasses.replace(rest, jitter=0.0))
    assert verify_shards(tmp_path / "rest", model=load_model(model_path)).problems == ()
    turned = by_name(tmp_path / "turned")
    for name, sample in by_name(tmp_path / "rest").items():
        points = turned[name]["landmarks"][:, :2]
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        np.testing.assert_allclose(middle, (SMALL.size - 1) / 2, atol=1e-3)
        np.testing.assert_array_equal(sample["pose"], turned[name]["pose"])
        draw = AugmentationDraw.from_json(sample["augmentation"])
        np.testing.assert_allclose(sample["image_to_crop"], draw.similarity @ turned[name]["image_to_crop"], atol=1e-9)
        assert "unseen" not in sample


@pytest.mark.slow
def test_build_turned_bytes_are_the_same_for_any_batch_and_other_options_draw_as_before(
    tree, model_path, tmp_path
) -> None:
    make(tree, model_path, tmp_path / "one", CONFIG)
    make(tree, model_path, tmp_path / "two", CONFIG)
    assert file_hashes(tmp_path / "one") == file_hashes(tmp_path / "two")
    whole = dataclasses.replace(CONFIG, shard_size=64)
    make(tree, model_path, tmp_path / "whole", whole)
    one, together = by_name(tmp_path / "one"), by_name(tmp_path / "whole")
    for name, sample in one.items():
        np.testing.assert_array_equal(together[name]["image"], sample["image"])
        np.testing.assert_array_equal(together[name]["pose"], sample["pose"])


def test_build_turned_marks_unseen_texels_where_asked(tree, model_path, tmp_path) -> None:
    marking = dataclasses.replace(TURN, yaw_deg=(40, 60), unseen="mark", flip=0.5)
    make(tree, model_path, tmp_path / "out", dataclasses.replace(CONFIG, augmentation=marking, size=64))
    assert verify_shards(tmp_path / "out", model=load_model(model_path)).problems == ()
    shares, both = [], set()
    for sample in open_shards(tmp_path / "out"):
        unseen, points = sample["unseen"], sample["posmap"]
        assert unseen.shape == (SMALL.uv_size, SMALL.uv_size)
        assert unseen.dtype == bool
        shares.append(unseen.mean())
        both.add(bool(sample["flipped"]))
        x, y = np.rint(points[..., 0]).astype(int), np.rint(points[..., 1]).astype(int)
        inside = (x > 1) & (y > 1) & (x < 62) & (y < 62) & ~unseen
        painted = (np.abs(sample["image"][y[inside], x[inside]].astype(int) - MARK) < 1).all(axis=1)
        assert painted.mean() < 0.5  # what was seen is not painted over, but where it is hidden now
    assert 0.01 < np.mean(shares) < 0.6
    assert both == {True, False}


def test_build_without_turns_says_nothing_of_them(tree, model_path, tmp_path) -> None:
    """So sets of before go on where they were, and their bytes stay."""
    make(tree, model_path, tmp_path / "out", dataclasses.replace(SMALL, augmentation=Augmentation(blur=(0, 1))))
    text = (tmp_path / "out/dataset.json").read_text(encoding="utf-8")
    assert "yaw_deg" not in text
    assert '"unseen"' not in text
    for sample in open_shards(tmp_path / "out"):
        assert "yaw_deg" not in sample["augmentation"]


def test_build_turned_keeps_the_nme_of_the_photograph_as_the_limit(tree, model_path, tmp_path) -> None:
    """A turn makes the box smaller that distances are divided by, but not the fit worse."""
    limit = 1.001 * max(sample["label_nme"] for sample in _built(tree, model_path, tmp_path / "plain", SMALL))
    config = dataclasses.replace(CONFIG, max_nme=float(limit))
    assert len(_built(tree, model_path, tmp_path / "turned", config)) == 9


def _built(tree, model_path, out, config) -> list:
    make(tree, model_path, out, config)
    return list(open_shards(out))


def test_augment_refuses_to_turn_crops_and_says_where_faces_are_turned(tree, model_path, tmp_path) -> None:
    have(tree, model_path, tmp_path / "plain")
    with pytest.raises(
        InputError, match=r"yaw_deg and pitch_deg turn faces in whole photographs.*uvgen build --augment"
    ):
        augment_shards(tmp_path / "plain", tmp_path / "copies", "300wlp")
    assert not (tmp_path / "copies").exists()
    make(tree, model_path, tmp_path / "turned", CONFIG)
    with pytest.raises(DatasetError, match="is augmented already"):
        augment_shards(tmp_path / "turned", tmp_path / "copies", "prnet")
