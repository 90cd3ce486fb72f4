"""`ShardDataset` with the model: maps made while reading, flips, and the copies that `uvgen augment` makes."""

import dataclasses
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.augmentations import ALL
from support.builds import SMALL, have, make
from support.toy import MIRROR_PX, toy_model, write_tree
from support.training_augmentations import Shifts
from threadpoolctl import threadpool_info, threadpool_limits

from uvgen import Augmentation, PositionMapper, TexelMirror, load_model, open_shards, save_model, verify_shards
from uvgen.datasets.augmented import augment_shards
from uvgen.errors import InputError, ModelError
from uvgen.maps.labels import move_map
from uvgen.models.morphable import MorphableModel, make_model

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from torch.utils.data import DataLoader, default_collate  # noqa: E402

from uvgen.torch import PARAMETERS, PositionMapLayer, ShardDataset, to_float  # noqa: E402

R, U = SMALL.size, SMALL.uv_size
FLIP = Augmentation(rotation_deg=(-45, 45), translation=(-0.1, 0.1), scale=(0.9, 1.2), flip=0.5)
STEP = R / 2**14


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> tuple[Path, Path]:
    """The same samples with maps, and without."""
    folder = tmp_path_factory.mktemp("sets")
    tree = write_tree(folder / "300W_LP")
    have(tree, model_path, folder / "stored")
    have(tree, model_path, folder / "lean", dataclasses.replace(SMALL, maps="none"))
    return folder / "stored", folder / "lean"


def assert_close(left: dict[str, Any], right: dict[str, Any], atol: float) -> None:
    assert left.keys() == right.keys()
    for key, value in left.items():
        if isinstance(value, torch.Tensor):
            tolerance = atol if key in ("posmap", "landmarks") else 1e-5
            torch.testing.assert_close(value, right[key], atol=tolerance, rtol=0, msg=lambda m, key=key: f"{key}: {m}")
        else:
            assert value == right[key]


@pytest.mark.parametrize("augmentation", [None, FLIP, Shifts()])
@pytest.mark.parametrize("options", [{}, {"channels_last": True}, {"image_normalize": "standardize"}])
def test_dataset_makes_maps_that_are_not_stored(sets, model_path, augmentation, options) -> None:
    options = {"model": model_path, "augmentation": augmentation, **options}
    stored, lean = (ShardDataset(path, **options).batch(range(9)) for path in sets)
    # half a step of the codes, float32 parameters; both in crop widths
    assert_close(stored, lean, atol=(STEP / 2 + 2e-3) / R * 1.3)


def test_dataset_compact_maps_that_it_makes_are_the_floats(sets, model_path) -> None:
    for augmentation in (None, FLIP):
        compact, plain = (
            ShardDataset(sets[1], model=model_path, compact=choice, augmentation=augmentation, normalize=None).batch(
                [3, 1, 8]
            )
            for choice in (True, False)
        )
        assert compact["posmap"].dtype == torch.uint16
        torch.testing.assert_close(to_float(compact, None)["posmap"], plain["posmap"], atol=3 * R / 65535, rtol=0)


def blas_threads(samples: Any) -> list[int]:
    default_collate(samples)  # reads them
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_dataset_that_makes_maps_uses_one_blas_thread_in_a_worker(sets, model_path) -> None:
    dataset = ShardDataset(sets[1], model=model_path)
    with threadpool_limits(2, user_api="blas"):
        here = blas_threads(dataset.__getitems__([0, 1]))
        (there,) = DataLoader(dataset, 9, num_workers=1, collate_fn=blas_threads)
    assert set(there) == {1} and set(here) == {2}


def elsewhere(worker: int) -> None:
    os.chdir("/")


def test_dataset_of_relative_paths_works_in_a_worker_elsewhere(sets, model_path, monkeypatch) -> None:
    monkeypatch.chdir(sets[0].parent)
    augmentation = dataclasses.replace(FLIP, flip=0.0)
    dataset = ShardDataset("stored", augmentation=augmentation, source="300W_LP")
    (batch,) = DataLoader(dataset, 9, num_workers=1, worker_init_fn=elsewhere)
    assert_close(batch, dataset.batch(range(9)), atol=0)


@pytest.mark.parametrize(("method", "workers"), [("fork", 2), pytest.param("spawn", 1, marks=pytest.mark.long)])
@pytest.mark.slow
def test_dataset_makes_maps_in_workers(sets, model_path, method, workers) -> None:
    dataset = ShardDataset(sets[1], model=model_path, augmentation=FLIP)
    here = list(DataLoader(dataset, batch_size=4))
    there = list(DataLoader(dataset, batch_size=4, num_workers=workers, multiprocessing_context=method))
    for left, right in zip(here, there, strict=True):
        assert_close(left, right, atol=1e-5)  # BLAS with one thread, and with more


def test_dataset_that_makes_maps_pickles_small(sets, model_path) -> None:
    dataset = ShardDataset(sets[1], model=model_path)
    expected = dataset[4]
    blob = pickle.dumps(dataset)
    assert len(blob) < 40_000
    assert_close(pickle.loads(blob)[4], expected, atol=0)


def test_dataset_epoch_is_the_copy_that_augment_makes(sets, model, model_path, tmp_path) -> None:
    augment_shards(sets[0], tmp_path / "copies", ALL, copies=2, seed=3, model=model)
    copies = {sample["name"]: sample for sample in open_shards(tmp_path / "copies")}
    dataset = ShardDataset(sets[0], model=model_path, augmentation=ALL, seed=3, normalize=None)
    flipped = set()
    for epoch in range(2):
        dataset.set_epoch(epoch)
        for k in range(len(dataset)):
            sample = dataset[k]
            copy = copies[f"{sample['name']}-{epoch}"]
            np.testing.assert_array_equal(sample["image"].numpy(), np.moveaxis(copy["image"], -1, 0))
            atol = STEP + MIRROR_PX * bool(sample["flipped"])  # copies are made of the parameters
            np.testing.assert_allclose(sample["posmap"], np.moveaxis(copy["posmap"], -1, 0), atol=atol)
            np.testing.assert_allclose(sample["landmarks"], copy["landmarks"], atol=1e-5)
            np.testing.assert_allclose(sample["image_to_crop"], copy["image_to_crop"])
            assert bool(sample["flipped"]) == bool(copy["flipped"])
            flipped.add(bool(sample["flipped"]))
    assert flipped == {False, True}


@pytest.mark.slow
def test_dataset_of_copies_keeps_their_flips_and_adds_its_own(sets, model, model_path, tmp_path) -> None:
    augment_shards(sets[0], tmp_path / "copies", FLIP, copies=2, model=model)
    stored = open_shards(tmp_path / "copies").column("flipped").tolist()
    plain = ShardDataset(tmp_path / "copies")
    assert plain.batch(range(18))["flipped"].tolist() == stored
    again = ShardDataset(tmp_path / "copies", model=model_path, augmentation=FLIP, normalize=None, seed=5)
    batch = again.batch(range(18))
    drawn = [FLIP.draw(5, name, 0, R).flip for name in batch["name"]]
    assert batch["flipped"].tolist() == [a != b for a, b in zip(stored, drawn, strict=True)]
    assert len(set(zip(stored, drawn, strict=True))) == 4
    # all that was done twice is in `crop` and `flipped`: the layer makes the same maps
    maps = PositionMapLayer(model, U)(*(batch[name] for name in PARAMETERS))
    mirror = TexelMirror.of_model(model, U)
    for made, expected, flip in zip(maps, batch["posmap"], batch["flipped"], strict=True):
        found = np.ascontiguousarray(made.permute(1, 2, 0).numpy())
        found = move_map(found, np.eye(3), R, flip=True, mirror=mirror) if flip else found
        np.testing.assert_allclose(found, expected.permute(1, 2, 0), atol=3 * STEP + 2 * MIRROR_PX)


def test_dataset_image_occluders_show_another_sample_of_the_shard(sets) -> None:
    shows = Augmentation(occlusion=1, occluder_size=(1, 1), occluder_shapes=("rectangle",), occluder_fills=("image",))
    dataset, reader = ShardDataset(sets[0], augmentation=shows, normalize=None), open_shards(sets[0])
    for k in (0, 3, 8):
        first, stop = reader.shard_range(k)
        draw = shows.draw(0, reader[k]["name"], 0, R)
        number = draw.other_sample(k - first, stop - first)
        if number is None:  # alone in its shard: noise
            assert stop - first == 1
            continue
        assert number != k - first
        other = reader[first + number]["image"].reshape(-1, 3).tolist()
        changed = dataset[k]["image"].permute(1, 2, 0).to(torch.uint8).numpy()
        new = (changed != reader[k]["image"]).any(axis=2)
        assert new.any()
        assert all(pixel in other for pixel in changed[new].tolist())


def test_dataset_says_how_its_maps_are_flipped(sets, model, model_path) -> None:
    assert ShardDataset(sets[0], model=model_path).mirror is None
    mirror = ShardDataset(sets[0], model=model_path, augmentation=FLIP).mirror
    assert mirror is not None and mirror.size == U
    assert mirror.error_px == TexelMirror.of_model(model, U).error_px


def test_dataset_flips_without_a_model_are_refused_only_where_there_are_maps(sets) -> None:
    with pytest.raises(InputError, match="flip: needs the shards' model"):
        ShardDataset(sets[0], augmentation=FLIP)
    batch = ShardDataset(sets[1], augmentation=FLIP).batch(range(9))  # the layer's: it has `flipped`
    assert "posmap" not in batch and len(set(batch["flipped"].tolist())) == 2


def other_model() -> MorphableModel:
    model = toy_model()
    arrays = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    return make_model(source="other", **arrays | {"mean": model.mean + 1})


def test_dataset_with_another_model_is_refused(sets, tmp_path) -> None:
    save_model(other_model(), tmp_path / "other.h5")
    with pytest.raises(ModelError, match=r"other\.h5: not the model of "):
        ShardDataset(sets[1], model=tmp_path / "other.h5")
    assert not open_shards(sets[1]).made
    save_model(dataclasses.replace(toy_model(), mirror=None), tmp_path / "mute.h5")
    have(write_tree(tmp_path / "300W_LP"), tmp_path / "mute.h5", tmp_path / "out", SMALL)
    with pytest.raises(ModelError, match="no mirror pairs"):
        ShardDataset(tmp_path / "out", model=tmp_path / "mute.h5", augmentation=FLIP)


# Maps on the device


def test_layer_for_shards_makes_the_maps_of_augmented_and_mirrored_batches(sets, model_path, tmp_path) -> None:
    for path in sets:
        dataset = ShardDataset(path, model=model_path, augmentation=FLIP, normalize=None)
        batch = dataset.batch(range(9))
        assert len(set(batch["flipped"].tolist())) == 2
        maps = PositionMapLayer.for_shards(dataset, model_path).from_batch(batch)
        atol = 2 * STEP + MIRROR_PX * batch["flipped"][:, None, None, None]  # the data set mirrors finished maps
        assert ((maps - batch["posmap"]).abs() <= atol).all()
    plain = ShardDataset(sets[0], normalize=None)
    layer = PositionMapLayer.for_shards(plain.reader, load_model(model_path))
    torch.testing.assert_close(layer.from_batch(plain.batch([2])), plain.batch([2])["posmap"], atol=STEP, rtol=0)


@pytest.mark.parametrize("paired", [True, False])
def test_layer_mirrors_as_the_position_mapper_does(model_path, paired) -> None:
    model = load_model(model_path)
    tilted = dataclasses.replace(model, uv=model.uv * [0.9, 0.8] + [0.07, 0.1], path=None)
    if not paired:
        tilted = dataclasses.replace(tilted, mirror=np.where(np.arange(len(model.mirror)) % 7, model.mirror, -1))
        assert 0 < TexelMirror.of_model(tilted, U).n_unpaired < U**2
    layer = PositionMapLayer(tilted, U, crop_size=R).double()
    rng = np.random.default_rng(0)
    shape, expression = rng.normal(size=(3, model.n_shape)) * 3e5, rng.normal(size=(3, model.n_expression))
    pose = np.tile([0.1, 0.4, 0.2, 16, 16, 0, 1e-4], (3, 1))
    similarity, height = np.tile(np.eye(3), (3, 1, 1)), np.full(3, 32.0)
    inputs, flipped = (shape, expression, pose, similarity, height), np.array([False, True, True])
    maps = layer(*map(torch.from_numpy, inputs), flipped=torch.from_numpy(flipped)).permute(0, 2, 3, 1)
    expected = PositionMapper(tilted, U, crop_size=R)(*inputs, flipped=flipped)
    np.testing.assert_allclose(maps, expected, atol=1e-4)  # float32 there
    np.testing.assert_array_equal(maps[0], layer(*map(torch.from_numpy, inputs)).permute(0, 2, 3, 1)[0])


def test_layer_refuses_what_it_cannot_do(sets, model_path, tmp_path) -> None:
    dataset = ShardDataset(sets[1], augmentation=FLIP)
    batch = dataset.batch(range(9))
    mute = dataclasses.replace(load_model(model_path), mirror=None, path=None)
    layer = PositionMapLayer(mute, U)
    with pytest.raises(InputError, match="flipped: this layer cannot mirror"):
        layer.from_batch(batch)
    still = ShardDataset(sets[1], augmentation=dataclasses.replace(FLIP, flip=0.0)).batch(range(2))
    assert layer.from_batch(still).shape == (2, 3, U, U)
    with pytest.raises(InputError, match="batch: has no shape, expected shape, expression"):
        layer.from_batch({})
    save_model(other_model(), tmp_path / "other.h5")
    with pytest.raises(ModelError, match=r"other\.h5: not the model of .*; name that model's file"):
        PositionMapLayer.for_shards(dataset, tmp_path / "other.h5")


def test_layer_for_shards_takes_their_pixel_convention(model_path, tmp_path) -> None:
    make(
        write_tree(tmp_path / "300W_LP"), model_path, tmp_path / "out", dataclasses.replace(SMALL, convention="face3d")
    )
    dataset = ShardDataset(tmp_path / "out", normalize=None)
    batch = dataset.batch(range(9))
    maps = PositionMapLayer.for_shards(dataset, model_path).from_batch(batch)
    torch.testing.assert_close(maps, batch["posmap"], atol=STEP, rtol=0)


@pytest.mark.slow
def test_dataset_flips_maps_of_either_convention_as_the_reader_and_verify_do(model, tmp_path) -> None:
    """A model whose mirror is not by columns, and whose maps differ between the conventions' atlases."""
    skewed = dataclasses.replace(model, uv=model.uv * [0.9, 0.8] + [0.07, 0.1])
    skewed = make_model(source="skewed", **{f.name: getattr(skewed, f.name) for f in dataclasses.fields(skewed)})
    save_model(skewed, tmp_path / "skewed.h5")
    tree = write_tree(tmp_path / "300W_LP")
    for convention in ("exact", "face3d"):
        for maps in ("stored", "none"):
            source, out = tmp_path / f"{convention} {maps}", tmp_path / f"{convention} {maps} flipped"
            have(tree, tmp_path / "skewed.h5", source, dataclasses.replace(SMALL, convention=convention, maps=maps))
            augment_shards(source, out, Augmentation(flip=1.0), model=skewed)
            assert verify_shards(out, model=load_model(tmp_path / "skewed.h5")).problems == ()
            loop = ShardDataset(source, model=skewed, augmentation=Augmentation(flip=1.0), normalize=None)
            stored = open_shards(out, skewed)
            for k in range(9):
                found = loop[k]["posmap"].permute(1, 2, 0)
                apart = np.abs(found.numpy() - stored[k]["posmap"])[stored.constants["coverage"]]
                assert apart.mean() < 0.05  # px: the loop blends texels of a finished map, off at the rim
