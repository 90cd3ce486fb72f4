"""Training data sampled from the original images: one sampling, the same labels."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.builds import have, set_texts
from support.toy import write_tree
from support.training_augmentations import Shifts

from uvgen import Augmentation, build_shards, find_samples, open_shards, read_image
from uvgen.augment import crop_augmented
from uvgen.datasets.config import BuildConfig
from uvgen.errors import DatasetError, InputError, SampleError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from uvgen.torch import ShardDataset  # noqa: E402

TURN = Augmentation(rotation_deg=(-45, 45), translation=(-0.1, 0.1), scale=(0.9, 1.2))
CONFIG = BuildConfig(size=32, uv_size=48, shard_size=4)


@pytest.fixture
def folders(tmp_path: Path, model_path: Path) -> tuple[Path, Path]:
    tree = write_tree(tmp_path / "300W_LP")
    have(tree, model_path, tmp_path / "shards", CONFIG)
    return tree, tmp_path / "shards"


def test_dataset_from_source_samples_the_original_image_as_the_set_was(folders, model_path, tmp_path) -> None:
    tree, _ = folders
    plain = dataclasses.replace(CONFIG, filter="bilinear")
    have(tree, model_path, tmp_path / "bilinear", plain)
    dataset = ShardDataset(tmp_path / "bilinear", augmentation=TURN, source=tree, normalize=None)
    sample, stored = dataset[2], open_shards(tmp_path / "bilinear")[2]
    image = read_image(next(s for s in find_samples(tree) if s.name == stored["name"]))
    draw = TURN.draw(0, stored["name"], 0, 32)
    area, bilinear = (
        crop_augmented(image, stored["image_to_crop"], draw, filter=name)[0] for name in ("area", "bilinear")
    )
    assert not np.array_equal(area, bilinear)
    np.testing.assert_array_equal(sample["image"].numpy(), np.moveaxis(bilinear, -1, 0))


def test_dataset_from_source_samples_the_original_image_once(folders) -> None:
    tree, shards = folders
    dataset = ShardDataset(shards, augmentation=TURN, source=tree, normalize=None)
    images = {sample.name: read_image(sample) for sample in find_samples(tree)}
    for k, stored in enumerate(open_shards(shards)):
        draw = TURN.draw(0, stored["name"], 0, 32)
        expected, composed = crop_augmented(images[stored["name"]], stored["image_to_crop"], draw)
        sample = dataset[k]
        np.testing.assert_array_equal(sample["image"].numpy(), np.moveaxis(expected, -1, 0))
        np.testing.assert_allclose(sample["image_to_crop"], composed, atol=1e-9)


def test_dataset_from_source_turns_photographs_as_the_set_did(tmp_path: Path, model_path: Path) -> None:
    """By the orientation that their EXIF data state, if the set was built so."""
    tree, turned = write_tree(tmp_path / "300W_LP"), Image.Exif()
    turned[0x112] = 3  # 180 degrees: width and height stay
    for path in tree.rglob("*.jpg"):
        Image.open(path).convert("RGB").save(path, quality=95, exif=turned)
    for exif in ("apply", "ignore"):
        have(tree, model_path, tmp_path / exif, dataclasses.replace(CONFIG, exif=exif, jitter=0.0))
        still = ShardDataset(tmp_path / exif, normalize=None, image_normalize=None)
        moved = {"augmentation": Augmentation(), "source": tree}  # by nothing
        for sample, stored in zip(ShardDataset(tmp_path / exif, normalize=None, **moved), still, strict=True):
            torch.testing.assert_close(sample["image"], stored["image"], atol=1, rtol=0)


def test_dataset_from_source_has_the_labels_of_the_stored_crops(folders) -> None:
    tree, shards = folders
    here = ShardDataset(shards, augmentation=TURN, source=tree)
    there = ShardDataset(shards, augmentation=TURN)
    for k in range(len(here)):
        for name in ("posmap", "landmarks", "image_to_crop", "flipped"):
            assert torch.equal(here[k][name], there[k][name]), name


def test_dataset_from_source_with_a_missing_image_names_it(folders) -> None:
    tree, shards = folders
    dataset = ShardDataset(shards, augmentation=TURN, source=tree)
    (tree / "AFW/AFW_000_1_0.jpg").unlink()
    with pytest.raises(SampleError, match=r"AFW_000_1_0\.jpg: cannot be read .*source: expected the folder of images"):
        dataset[0]
    Image.new("RGB", (100, 77)).save(tree / "AFW/AFW_000_1_0.jpg")
    with pytest.raises(SampleError, match=r"AFW_000_1_0\.jpg: 77 px high, the set was built from 120; source: "):
        dataset[0]


def test_dataset_from_source_refuses_other_images_of_the_same_names(folders) -> None:
    tree, shards = folders
    dataset = ShardDataset(shards, augmentation=TURN, source=tree)
    one, other = (tree / f"AFW/AFW_00{k}_1_0.jpg" for k in range(2))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    for _ in range(2):
        with pytest.raises(
            SampleError, match=r"AFW_000_1_0\.jpg: not the image of the set's crop \(.*; source: expected"
        ):
            dataset[0]
    one.write_bytes(content)
    assert dataset[0]["name"] == "AFW/AFW_000_1_0"


def test_dataset_from_source_takes_the_images_of_crops_that_lost_much(folders, model_path, tmp_path) -> None:
    tree, _ = folders
    poor = dataclasses.replace(CONFIG, image_codec="jpeg", jpeg_quality=1)
    have(tree, model_path, tmp_path / "poor", poor)
    still, moved = (
        ShardDataset(tmp_path / "poor", normalize=None, image_normalize=None, **options)
        for options in ({}, {"augmentation": Augmentation(), "source": tree})
    )
    off = [(a["image"] - b["image"]).abs().mean() for a, b in zip(still, moved, strict=True)]
    assert off[0] > 12


def test_dataset_source_that_cannot_be_used_is_refused(folders, model_path, tmp_path) -> None:
    tree, shards = folders
    with pytest.raises(InputError, match="source: goes with an augmentation"):
        ShardDataset(shards, source=tree)
    with pytest.raises(InputError, match="source: goes with an augmentation of uvgen"):
        ShardDataset(shards, augmentation=Shifts(), source=tree)
    with pytest.raises(DatasetError, match="no such folder, expected the folder of images"):
        ShardDataset(shards, augmentation=TURN, source=tree / "none")
    augmented = BuildConfig(size=32, uv_size=48, shard_size=4, augmentation=TURN)
    have(tree, model_path, tmp_path / "augmented", augmented)
    with pytest.raises(InputError, match="augmented already"):
        ShardDataset(tmp_path / "augmented", augmentation=TURN, source=tree)


def test_dataset_from_source_reads_no_image_out_of_it(folders) -> None:
    tree, shards = folders
    secret = tree.with_name("secret.jpg")
    shutil.copy(tree / "AFW/AFW_000_1_0.jpg", secret)
    set_texts(shards / "AFW-00000.h5", "source", [str(secret), "../secret.jpg", "AFW/AFW_002_1_0.jpg"])
    dataset = ShardDataset(shards, augmentation=TURN, source=tree)
    for k in range(2):
        with pytest.raises(SampleError, match=r"secret.jpg: leads out of .*300W_LP"):
            dataset[k]
    assert dataset[2]["image"].shape == (3, 32, 32)


def test_dataset_from_source_reads_images_elsewhere_that_the_users_list_names(model_path, tmp_path) -> None:
    tree = write_tree(tmp_path / "300W_LP")
    listed = tmp_path / "lists" / "mine.csv"
    listed.parent.mkdir()
    images = sorted(tree.glob("AFW/*.jpg"))[:2]
    rows = [f"../300W_LP/AFW/{path.name},../300W_LP/AFW/{path.stem}.mat" for path in images]
    listed.write_text("\n".join(["image,parameters", *rows]))
    build_shards(listed, tmp_path / "shards", model=model_path, config=CONFIG)
    dataset = ShardDataset(tmp_path / "shards", augmentation=TURN, source=listed)
    there = ShardDataset(tmp_path / "shards", augmentation=TURN)
    for k in range(2):
        assert torch.equal(dataset[k]["posmap"], there[k]["posmap"])
        assert not torch.equal(dataset[k]["image"], there[k]["image"])  # the picture around the crop
    with pytest.raises(SampleError, match=r"leads out of .*lists, expected an image in it, or one that a list names"):
        ShardDataset(tmp_path / "shards", augmentation=TURN, source=listed.parent)[0]
    listed.write_text("\n".join(["image,parameters", rows[1]]))
    with pytest.raises(SampleError, match="leads out of"):
        ShardDataset(tmp_path / "shards", augmentation=TURN, source=listed)[0]
