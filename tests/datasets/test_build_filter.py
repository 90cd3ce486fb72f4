"""How crops are sampled where they shrink the image: what changes, what does not, and that it is recorded."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from support.builds import SMALL, by_name, make

from uvgen import (
    Augmentation,
    AugmentationDraw,
    augment_shards,
    find_samples,
    load_model,
    open_shards,
    read_image,
    verify_shards,
    warp_image,
)
from uvgen.augment import apply
from uvgen.datasets.config import BuildConfig
from uvgen.errors import DatasetError, InputError
from uvgen.images import jpeg
from uvgen.images.picture import Picture

CONFIG = dataclasses.replace(SMALL, size=48)  # of the toy tree's crops, about half then shrink by more than 1.5
PLAIN = dataclasses.replace(CONFIG, filter="bilinear")


@pytest.fixture
def noisy(tree):
    """The toy tree, its images full of detail."""
    for number, path in enumerate(sorted(tree.rglob("*.jpg"))):
        pixels = np.random.default_rng(number).integers(0, 256, (120, 160, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, quality=95)
    return tree


TURNED = Augmentation(rotation_deg=(-40, 40), scale=(0.8, 1.2), flip=0.5)


@pytest.mark.parametrize("augmentation", [pytest.param(None, marks=pytest.mark.slow), TURNED])
def test_build_filters_differ_only_in_images_shrunk_by_more_than_1_5(noisy, model_path, tmp_path, augmentation) -> None:
    configs = {"area": CONFIG, "bilinear": PLAIN}
    images = {sample.name: read_image(sample) for sample in find_samples(noisy)}
    for name, config in configs.items():
        make(noisy, model_path, tmp_path / name, dataclasses.replace(config, augmentation=augmentation))
        assert open_shards(tmp_path / name).config.build.filter == name
        assert verify_shards(tmp_path / name, model=load_model(model_path)).problems == ()
    area, plain = by_name(tmp_path / "area"), by_name(tmp_path / "bilinear")
    assert area.keys() == plain.keys()
    shrunk = []
    for name, sample in area.items():
        for key in sample.keys() - {"image"}:
            np.testing.assert_array_equal(sample[key], plain[name][key], err_msg=key)
        shrunk.append(1 / np.hypot(sample["image_to_crop"][0, 0], sample["image_to_crop"][1, 0]) > 1.5)
        assert np.array_equal(sample["image"], plain[name]["image"]) is not bool(shrunk[-1])
        source = images[name if augmentation is None else name.rsplit("-", 1)[0]]
        for found, which in ((sample, "area"), (plain[name], "bilinear")):
            flip = bool(found.get("flipped", False))
            expected = warp_image(source, found["image_to_crop"], CONFIG.size, flip=flip, filter=which)
            np.testing.assert_array_equal(found["image"], expected)
    assert 0 < sum(shrunk) < len(shrunk)


def test_build_with_the_other_filter_is_refused(tree, model_path, tmp_path) -> None:
    make(tree, model_path, tmp_path / "out", CONFIG)
    with pytest.raises(DatasetError, match="was made with filter = area, now it is bilinear; choose another"):
        make(tree, model_path, tmp_path / "out", PLAIN)


def test_build_filter_on_the_command_line(uvgen, tree, model_path, tmp_path) -> None:
    base = ("build", "--data", tree, "--model", model_path, "--size", 48, "--workers", 1)
    for options, expected in (((), "area"), (("--filter", "bilinear"), "bilinear"), (("--filter", "area"), "area")):
        out = tmp_path / "-".join(("out", *options))
        assert uvgen(*base, "--out", out, *options).exit_code == 0
        assert open_shards(out).config.build.filter == expected
    refused = uvgen(*base, "--out", tmp_path / "out", "--filter", "bilinear")
    assert refused.exit_code == 1 and "filter = area, now it is bilinear" in refused.stderr
    assert uvgen(*base, "--out", tmp_path / "new", "--filter", "box").exit_code == 2


def test_build_with_an_unknown_filter_raises() -> None:
    with pytest.raises(InputError, match="filter: 'box', expected one of area, bilinear"):
        BuildConfig(filter="box").check()


def test_config_without_a_filter_was_made_bilinearly() -> None:
    content = BuildConfig().to_plain()
    assert content.pop("filter") == "area"
    assert BuildConfig.from_plain(content) == BuildConfig(filter="bilinear")


@pytest.mark.parametrize("config", [CONFIG, PLAIN])
def test_augmented_copies_that_shrink_are_sampled_as_the_set_was(noisy, model_path, tmp_path, config) -> None:
    make(noisy, model_path, tmp_path / "plain", config)
    augment_shards(tmp_path / "plain", tmp_path / "out", Augmentation(scale=(0.45, 0.45)))
    stored = by_name(tmp_path / "plain")
    for sample in open_shards(tmp_path / "out"):
        draw = AugmentationDraw.from_json(sample["augmentation"])
        crop = stored[sample["name"].rsplit("-", 1)[0]]["image"]
        expected, other = (apply(draw, crop, filter=name).image for name in ("area", "bilinear"))
        if config.filter == "bilinear":
            expected, other = other, expected
        np.testing.assert_array_equal(sample["image"], expected)
        assert not np.array_equal(sample["image"], other)


@pytest.mark.parametrize("augmentation", [pytest.param(None, marks=pytest.mark.slow), TURNED])
def test_build_decodes_photographs_no_finer_than_crops_need(
    noisy, model_path, tmp_path, monkeypatch, augmentation
) -> None:
    monkeypatch.setattr(jpeg, "_LEAST_REDUCED", 1)
    config = dataclasses.replace(CONFIG, size=40, augmentation=augmentation)
    for decode in ("reduced", "full"):
        make(noisy, model_path, tmp_path / decode, dataclasses.replace(config, decode=decode))
        assert open_shards(tmp_path / decode).config.build.decode == decode
        assert verify_shards(tmp_path / decode, model=load_model(model_path)).problems == ()
    files = {sample.name: sample.image.read_bytes() for sample in find_samples(noisy) if sample.image}
    full = by_name(tmp_path / "full")
    blocks = []
    for name, sample in by_name(tmp_path / "reduced").items():
        for key in sample.keys() - {"image"}:
            np.testing.assert_array_equal(sample[key], full[name][key], err_msg=key)
        picture = Picture(files[name if augmentation is None else name.rsplit("-", 1)[0]], lambda error: error)
        factor = 1 / np.hypot(sample["image_to_crop"][0, 0], sample["image_to_crop"][1, 0])
        pixels, block = picture.for_crop(factor)
        flip = bool(sample.get("flipped", False))
        crop = warp_image(pixels, sample["image_to_crop"], 40, flip=flip, reduced=block)
        np.testing.assert_array_equal(sample["image"], crop)
        assert np.array_equal(sample["image"], full[name]["image"]) is bool(factor < 2)
        blocks.append(block)
    assert set(blocks) == {1, 2}


def test_build_finishes_sets_from_before_there_was_decoding_to_less_with_full_alone(tree, model_path, tmp_path) -> None:
    old = dataclasses.replace(SMALL, decode="full")
    assert "decode" not in old.to_plain() and BuildConfig.from_plain(old.to_plain()) == old
    make(tree, model_path, tmp_path / "out", old)
    before = (tmp_path / "out" / "dataset.json").read_bytes()
    with pytest.raises(DatasetError, match="decode = full, now it is reduced"):
        make(tree, model_path, tmp_path / "out", SMALL)
    make(tree, model_path, tmp_path / "out", old)
    assert (tmp_path / "out" / "dataset.json").read_bytes() == before
    with pytest.raises(InputError, match="decode: 'half', expected one of reduced, full"):
        dataclasses.replace(SMALL, decode="half").check()


def test_build_skips_a_photograph_whose_damage_shows_when_it_is_decoded(
    noisy, model_path, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(jpeg, "_LEAST_REDUCED", 1)
    path = sorted(noisy.rglob("*.jpg"))[0]
    path.write_bytes(path.read_bytes()[:2000])
    result = make(noisy, model_path, tmp_path / "out", CONFIG)
    assert [(skip.name.split("/")[-1], "not a readable image" in skip.reason) for skip in result.skipped] == [
        (path.stem, True)
    ]
