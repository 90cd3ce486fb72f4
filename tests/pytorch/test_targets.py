"""Per-pixel targets as tensors: as they are stored, from workers, compact, and augmented."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.builds import SMALL, have
from support.toy import toy_model, write_tree

from uvgen import Augmentation, load_model, open_shards, save_model
from uvgen.errors import InputError
from uvgen.fixed_point import decode
from uvgen.maps.target_layouts import COVERED, TARGETS
from uvgen.maps.targets import TargetMaker
from uvgen.models.morphable import REGIONS

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from torch.utils.data import DataLoader  # noqa: E402

from uvgen.torch import ShardDataset, to_float  # noqa: E402

NAMES = (*TARGETS, COVERED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("targets")
    labels = (np.arange(toy_model().n_vertices) // 50 % len(REGIONS)).astype(np.uint8)
    save_model(dataclasses.replace(toy_model(), regions=labels), place / "model.h5")
    write_tree(place / "data", 2)
    have(place / "data", place / "model.h5", place / "out", dataclasses.replace(SMALL, targets=TARGETS))
    return place


def as_arrays(batch: Any) -> dict[str, Any]:
    """Targets of a batch with their channels last, as readers have them."""
    found = {name: batch[name].numpy() for name in NAMES}
    return {name: np.moveaxis(values, 1, -1) if values.ndim == 4 else values for name, values in found.items()}


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_dataset_has_the_targets_of_the_reader(folder: Path, compact: bool, channels_last: bool) -> None:
    dataset = ShardDataset(folder / "out", compact=compact, channels_last=channels_last)
    reader = open_shards(folder / "out")
    batch, expected = dataset.batch([0, 4, 5]), reader.batch([0, 4, 5])
    if compact:
        assert batch["uv"].dtype == torch.uint16 and batch["normals"].dtype == torch.uint8
        batch = to_float(batch)
        assert "uv_scale" not in batch
    for name, values in as_arrays(batch).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-6, err_msg=name)
        assert values.dtype == expected[name].dtype
    one = to_float(dataset[4]) if compact else dataset[4]
    np.testing.assert_array_equal(one["depth"], batch["depth"][1])


def test_dataset_workers_hand_over_the_same_targets(folder: Path) -> None:
    dataset = ShardDataset(folder / "out")
    (batch,) = [{**batch} for batch in DataLoader(dataset, batch_size=6, num_workers=1)]
    for name, values in as_arrays(dataset.batch(range(6))).items():
        np.testing.assert_array_equal(as_arrays(batch)[name], values, err_msg=name)


def test_augmented_targets_are_drawn_where_the_sample_moved_to(folder: Path) -> None:
    augmentation = Augmentation(rotation_deg=(-30, 30), scale=(0.9, 1.1), flip=0.5)
    model = load_model(folder / "model.h5")
    batch = ShardDataset(folder / "out", augmentation=augmentation, model=model, seed=2).batch(range(6))
    assert 0 < int(batch["flipped"].sum()) < 6
    maker = TargetMaker(model, TARGETS, crop_size=32, uv_size=48)
    rows = [batch[name].numpy() for name in ("shape", "expression", "pose", "image_to_crop", "image_height")]
    made, _ = maker(*rows, flipped=batch["flipped"].numpy())
    for name, values in as_arrays(batch).items():
        np.testing.assert_allclose(values, decode(made[name], maker.layouts[name].attributes), atol=1e-6, err_msg=name)
    stored = open_shards(folder / "out")[0:6]["depth"]
    assert np.abs(stored - batch["depth"].numpy()).max() > 1  # px: they did move


def test_augmented_targets_without_the_model_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"targets: the set has uv, .* are made again .*; give the set's model"):
        ShardDataset(folder / "out", augmentation=Augmentation(rotation_deg=(5, 5)))
