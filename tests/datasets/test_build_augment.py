"""Sets that are augmented as they are built: one sampling of the source image, labels that agree."""

import dataclasses
import json
import re

import numpy as np
import pytest
from support.builds import SMALL, by_name, file_hashes, have, make
from support.toy import MIRROR_PX

from uvgen import (
    Augmentation,
    AugmentationDraw,
    RunOptions,
    build_shards,
    find_samples,
    load_model,
    open_shards,
    read_image,
    save_model,
    verify_shards,
    warp_image,
)
from uvgen.errors import InputError
from uvgen.models.morphable import make_model

TURN = Augmentation(rotation_deg=(-40, 40), scale=(0.9, 1.2), translation=(-0.1, 0.1))
CONFIG = dataclasses.replace(SMALL, augmentation=TURN, copies=2)


@pytest.mark.slow
def test_build_augmented_samples_the_source_image_once_and_labels_agree(tree, model_path, tmp_path) -> None:
    result = make(tree, model_path, tmp_path / "out", CONFIG)
    assert result.samples == 18
    images = {sample.name: read_image(sample) for sample in find_samples(tree)}
    for sample in open_shards(tmp_path / "out"):
        source, copy = sample["name"].rsplit("-", 1)
        draw = AugmentationDraw.from_json(sample["augmentation"])
        assert draw == TURN.draw(SMALL.seed, source, int(copy), SMALL.size)
        expected = warp_image(images[source], sample["image_to_crop"], SMALL.size)
        np.testing.assert_array_equal(sample["image"], expected)  # geometry alone: nothing else was done to it
    assert verify_shards(tmp_path / "out", model=load_model(model_path)).problems == ()


def test_build_augmented_crop_is_the_plain_one_followed_by_the_draw(tree, model_path, tmp_path) -> None:
    have(tree, model_path, tmp_path / "plain")
    make(tree, model_path, tmp_path / "out", CONFIG)
    plain = by_name(tmp_path / "plain")
    for name, sample in by_name(tmp_path / "out").items():
        draw = AugmentationDraw.from_json(sample["augmentation"])
        np.testing.assert_allclose(
            sample["image_to_crop"], draw.similarity @ plain[name.rsplit("-", 1)[0]]["image_to_crop"], atol=1e-9
        )


@pytest.mark.parametrize(
    "change", [{}, pytest.param({"posmap_dtype": "float32"}, marks=pytest.mark.slow), {"maps": "none"}]
)
def test_build_augmented_with_flips_verifies_and_mirrors_image_and_label(tree, model_path, tmp_path, change) -> None:
    flips = dataclasses.replace(CONFIG, augmentation=Augmentation(flip=0.5), **change)
    make(tree, model_path, tmp_path / "out", flips)
    have(tree, model_path, tmp_path / "plain", dataclasses.replace(SMALL, **change))
    assert verify_shards(tmp_path / "out", model=load_model(model_path)).problems == ()
    plain = {s["name"]: s for s in open_shards(tmp_path / "plain", model=model_path)}
    samples = list(open_shards(tmp_path / "out", model=model_path))
    assert 0 < sum(bool(s["flipped"]) for s in samples) < len(samples)
    for sample in samples:
        source = plain[sample["name"].rsplit("-", 1)[0]]
        image, x = source["image"], source["posmap"][:, :, 0]
        if sample["flipped"]:
            image, x = image[:, ::-1], SMALL.size - 1 - x[:, ::-1]  # the toy's UV is symmetric
        assert np.abs(sample["image"].astype(int) - image).max() <= 1
        rounding = 3 * SMALL.size / 2**14  # twice
        atol = rounding + (MIRROR_PX if sample["flipped"] else 0)
        np.testing.assert_allclose(sample["posmap"][:, :, 0], x, atol=atol)


@pytest.mark.slow
def test_build_augmented_has_the_same_bytes_for_any_number_of_workers(tree, model_path, tmp_path) -> None:
    config = dataclasses.replace(CONFIG, augmentation=Augmentation.preset("prnet"))
    make(tree, model_path, tmp_path / "one", config, run=RunOptions(1))
    make(tree, model_path, tmp_path / "two", config, run=RunOptions(2))
    assert file_hashes(tmp_path / "one") == file_hashes(tmp_path / "two")


def test_build_with_copies_but_no_augmentation_is_refused(tree, model_path, tmp_path) -> None:
    with pytest.raises(InputError, match="copies: 2, expected 1 without an augmentation"):
        make(tree, model_path, tmp_path / "out", dataclasses.replace(SMALL, copies=2))


def test_build_augment_on_the_command_line(uvgen, tree, model_path, tmp_path) -> None:
    (tmp_path / "turn.json").write_text(json.dumps({"rotation_deg": [-90, 90]}))
    base = ("build", "--data", tree, "--model", model_path, "--size", 32, "--subset", "AFW")
    for what, out in (("prnet", "a"), (tmp_path / "turn.json", "b")):
        result = uvgen(*base, "--out", tmp_path / out, "--augment", what, "--copies", 2)
        assert result.exit_code == 0, result.output
        assert len(open_shards(tmp_path / out)) == 6
    # the same file means the same to both commands
    assert uvgen(*base, "--out", tmp_path / "plain").exit_code == 0
    copied = uvgen("augment", tmp_path / "plain", "--out", tmp_path / "d", "--config", tmp_path / "turn.json")
    assert copied.exit_code == 0, copied.output
    ranges = [open_shards(tmp_path / out).config.augmentation for out in ("a", "b", "d")]
    assert ranges[0] is not None
    assert ranges[1] == ranges[2] == dataclasses.replace(ranges[0], rotation_deg=(-90, 90))
    (tmp_path / "bad.json").write_text("{")
    refused = uvgen(*base, "--out", tmp_path / "c", "--augment", tmp_path / "bad.json")
    assert refused.exit_code == 1 and "bad.json: augmentation: not JSON" in refused.stderr
    plan = uvgen(*base, "--out", tmp_path / "c", "--augment", "prnet", "--copies", 2, "--dry-run")
    assert "6 samples in 2 shards" in plan.stdout
    for bad in ("prent", tmp_path / "none.json", tmp_path):
        wrong = uvgen(*base, "--out", tmp_path / "c", "--augment", bad)
        assert wrong.exit_code == 2 and f"{bad}: neither a preset (300wlp, none, prnet) nor a file" in wrong.stderr
    assert not (tmp_path / "c").exists()


def test_build_mirrored_value_without_a_code_costs_that_sample_alone(tree, model_path, tmp_path) -> None:
    """Codes reach 2.5 crops to the right, and a pixel less to the left."""
    flips = dataclasses.replace(CONFIG, augmentation=Augmentation(flip=1.0, scale=(1, 6)), copies=1)
    result = make(tree, model_path, tmp_path / "out", flips)
    assert 0 < result.samples < 9 and result.samples + len(result.skipped) == 9
    assert all("px, the range of uint16" in skip.reason for skip in result.skipped)
    assert verify_shards(tmp_path / "out", model=load_model(model_path)).problems == ()


def test_build_image_occluders_show_another_image_of_the_shard(tree, model_path, tmp_path) -> None:
    shows = Augmentation(occlusion=1, occluder_size=(1, 1), occluder_shapes=("rectangle",), occluder_fills=("image",))
    (tree / "AFW/AFW_001_1_0.jpg").write_bytes(b"broken")  # cannot be shown, and costs itself alone
    config = dataclasses.replace(CONFIG, shard_size=3, jitter=0, copies=1, augmentation=shows)
    samples = [sample for sample in find_samples(tree) if sample.subset == "AFW"]
    result = build_shards(samples, tmp_path / "out", model=load_model(model_path), config=config, root=tree)
    assert [skip.name for skip in result.skipped] == ["AFW/AFW_001_1_0"]
    images = {sample.name: read_image(sample).reshape(-1, 3).tolist() for sample in (samples[0], samples[2])}
    for sample, other in zip(open_shards(tmp_path / "out"), (samples[2], samples[0]), strict=True):
        draw = AugmentationDraw.from_json(sample["augmentation"])
        assert draw.needs_other
        row, column = (min(max(round(c * 31), 1), 30) for c in (draw.occluders[0].y, draw.occluders[0].x))
        assert sample["image"][row, column].tolist() in images[other.name]


@pytest.mark.slow
def test_build_and_augment_that_flip_say_how_many_texels_are_not_exact(
    uvgen, tree, model, model_path, tmp_path
) -> None:
    """None where UV are not symmetric; those at vertices without a mirror vertex."""
    skewed = dataclasses.replace(model, uv=model.uv * [0.9, 0.8] + [0.07, 0.1], path=None)
    single = np.where(np.arange(model.n_vertices) == 700, -1, model.mirror)
    lacking = dataclasses.replace(model, mirror=single, path=None)
    for name, changed in (("skewed", skewed), ("lacking", lacking)):
        arrays = {field.name: getattr(changed, field.name) for field in dataclasses.fields(changed)}
        save_model(make_model(source=name, **arrays), tmp_path / f"{name}.h5")
    (tmp_path / "flip.json").write_text('{"preset": "none", "flip": 0.5}')
    for path, noted in ((tmp_path / "skewed.h5", False), (tmp_path / "lacking.h5", True), (model_path, False)):
        base = ("build", "--data", tree, "--model", path, "--size", 32, "--subset", "AFW", "--workers", 1, "--no-flip")
        plain, built, copied = (tmp_path / f"{path.stem} {what}" for what in ("plain", "built", "copied"))
        assert "note:" not in uvgen(*base, "--out", plain).stderr
        runs = (
            uvgen(*base, "--out", built, "--augment", tmp_path / "flip.json"),
            uvgen("augment", plain, "--out", copied, "--model", path, "--config", tmp_path / "flip.json"),
        )
        note = re.compile(
            r"note: the model has no mirror vertex for a corner of [1-9]\d* of 1024 texels; in flipped maps"
        )
        for run in runs:
            assert run.exit_code == 0, run.output
            assert bool(note.search(run.stderr)) == noted
        for out in (built, copied):
            assert verify_shards(out, model=load_model(path)).problems == ()
