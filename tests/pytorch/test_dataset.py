"""Training from shards with PyTorch."""

import multiprocessing
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.builds import have, seal
from support.toy import N_EXPRESSION, N_SHAPE, write_tree
from support.training_augmentations import Fails, FlippedShifts, Shifts

import uvgen
from uvgen import Augmentation
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.splits import split_shards
from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.models.morphable import MorphableModel
from uvgen.normalization import Normalization, denormalize

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from torch.utils.data import DataLoader  # noqa: E402

from uvgen.torch import PARAMETERS, PositionMapLayer, ShardDataset, ShardSampler, to_float, unwrap  # noqa: E402

R, U = 32, 48
N = 9  # samples of the toy tree, in 6 shards


@pytest.fixture(scope="module", params=["uint16", "float32", "gzip"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    return build(tmp_path_factory.mktemp("built"), model_path, request.param)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    return build(tmp_path_factory.mktemp("plain"), model_path, "uint16")


def build(folder: Path, model_path: Path, kind: str) -> Path:
    compression = "gzip" if kind == "gzip" else None
    dtype = "float32" if kind == "float32" else "uint16"
    config = BuildConfig(size=R, uv_size=U, shard_size=2, posmap_dtype=dtype, compression=compression)
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards", config)
    return folder / "shards"


def loader(dataset: ShardDataset, **options: Any) -> Any:
    return DataLoader(dataset, **{"batch_size": 4, **options})


def assert_equal_batches(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    for key, value in left.items():
        if isinstance(value, torch.Tensor):
            assert value.shape == right[key].shape and value.dtype == right[key].dtype, key
            assert bool((value == right[key]).all()), key
        else:
            assert value == right[key], key


def chw(array: Any) -> Any:
    return torch.from_numpy(np.moveaxis(np.asarray(array), -1, -3).astype(np.float32))


# LazySamples


def test_dataset_sample_is_the_readers_in_tensors(built: Path) -> None:
    dataset, reader = ShardDataset(built, normalize=None), uvgen.open_shards(built)
    assert len(dataset) == len(reader) == N
    for k in (0, 4, N - 1, -1):
        found, expected = dataset[k], reader[k]
        assert found["image"].shape == (3, R, R) and found["posmap"].shape == (3, U, U)
        assert bool((found["image"] == chw(expected["image"])).all())
        # fixed point: a step that is a power of two; float32 takes codes times step plus offset without rounding
        assert bool((found["posmap"] == chw(expected["posmap"])).all())
        for name in ("landmarks", "shape", "expression", "pose", "image_to_crop", "image_height"):
            np.testing.assert_array_equal(found[name].numpy(), expected[name])
        assert found["name"] == expected["name"]
        np.testing.assert_array_equal(found["weight_mask"].numpy(), reader.constants["weight_mask"])
    with pytest.raises(IndexError, match="sample 9 of 9"):
        dataset[N]


def test_dataset_batches_count_samples_as_a_list_does(plain: Path) -> None:
    dataset = ShardDataset(plain)
    names = dataset.reader.names
    assert dataset.batch([-1, 0])["name"] == [dataset[8]["name"], dataset[-9]["name"]] == [names[8], names[0]]
    for key in (9, -10):
        with pytest.raises(IndexError, match=f"sample {key} of 9"):
            dataset.batch([0, key])
    with pytest.raises(InputError, match="indices: none"):
        dataset.batch([])


def test_dataset_takes_slices_and_several_numbers_alike(plain: Path) -> None:
    dataset = ShardDataset(plain)
    expected = dataset.batch([1, 2])
    for several in (slice(1, 3), [1, 2], (1, 2), np.array([1, 2]), torch.tensor([1, 2]), range(1, 3)):
        assert_equal_batches(dataset[several], expected)
    for one in (1, np.int64(1), torch.tensor(1), dataset.reader.names[1]):
        assert dataset[one]["name"] == expected["name"][0]
    with pytest.raises(TypeError, match="sample of type float: expected a number"):
        dataset[0.5]


def test_dataset_without_masks_has_its_mask_once(plain: Path) -> None:
    dataset = ShardDataset(plain, weight_mask=False)
    assert "weight_mask" not in dataset[0] and "weight_mask" not in dataset.batch([0, 1])
    for batch in loader(dataset, num_workers=1):
        assert "weight_mask" not in batch
    assert torch.equal(dataset.weight_mask, ShardDataset(plain)[3]["weight_mask"])


def test_dataset_normalize_size_scales_to_the_crop(built: Path) -> None:
    found, pixels = ShardDataset(built)[3], ShardDataset(built, normalize=None)[3]
    torch.testing.assert_close(found["image"], pixels["image"] / 255)
    torch.testing.assert_close(found["posmap"], pixels["posmap"] / R)


def test_dataset_standardize_is_reshows_of_each_channel(built: Path) -> None:
    found = ShardDataset(built, image_normalize="standardize")[3]["image"].numpy()
    unit = ShardDataset(built)[3]["image"].numpy().astype(np.float64)
    for channel, wanted in zip(found, unit, strict=True):
        expected = (channel_of := wanted - wanted.mean()) / np.sqrt((channel_of**2).mean() + 0.001)
        np.testing.assert_allclose(channel, expected, atol=1e-5)


def test_dataset_imagenet_is_torchvisions(built: Path) -> None:
    found, unit = ShardDataset(built, image_normalize="imagenet")[3]["image"], ShardDataset(built)[3]["image"]
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(found, (unit - mean[:, None, None]) / deviation[:, None, None], atol=1e-5, rtol=0)


NORMALIZATIONS: list[dict[str, Any]] = [
    {"normalize": "size"},
    {"normalize": None},
    {"normalize": "size", "image_normalize": "standardize"},
    {"normalize": "prnet", "image_normalize": "imagenet"},
    {"normalize": "reshow", "image_normalize": None},
    {"normalize": "unit"},
    {"normalize": Normalization((90.0, 80.0, 70.0), (-3.0, 2.0, 1.0))},
]


@pytest.mark.parametrize("how", NORMALIZATIONS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_dataset_normalization_is_undone_by_its_scales(built: Path, how: dict[str, Any], channels_last: bool) -> None:
    dataset = ShardDataset(built, **how, channels_last=channels_last)
    batch, pixels = dataset.batch([0, 5]), ShardDataset(built, normalize=None).batch([0, 5])
    for name, tolerance in (("image", 1e-4), ("posmap", 1e-4)):  # px and gray levels: float32 of up to 255
        numbers = batch[f"{name}_scale"], batch[f"{name}_offset"]
        torch.testing.assert_close(denormalize(batch[name], *numbers), pixels[name], atol=tolerance, rtol=0)
        one = dataset[5]
        found = denormalize(one[name], one[f"{name}_scale"], one[f"{name}_offset"])
        torch.testing.assert_close(found, pixels[name][1], atol=tolerance, rtol=0)
        torch.testing.assert_close(to_float(batch, None)[name], pixels[name], atol=tolerance, rtol=0)


def test_dataset_of_one_color_and_a_flat_map_has_finite_numbers(plain: Path) -> None:
    class Flat(Shifts):
        def apply(self, draw: Any, image: Any, position_map: Any, landmarks: Any) -> Any:
            return np.full_like(image, 7), np.full_like(position_map, 11), landmarks

    flat = ShardDataset(plain, augmentation=Flat(), image_normalize="standardize").batch([0])
    compact = ShardDataset(plain, augmentation=Flat(), compact=True).batch([0])
    for batch in (flat, to_float(compact, image_normalize="standardize")):
        assert float(batch["image"].abs().max()) < 1e-6
        pixels = to_float(batch, None)
        torch.testing.assert_close(pixels["image"], torch.full((1, 3, R, R), 7.0))
        torch.testing.assert_close(pixels["posmap"], torch.full((1, 3, U, U), 11.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("how", NORMALIZATIONS)
@pytest.mark.parametrize("augmentation", [None, Shifts()])
def test_dataset_compact_batch_to_float_is_the_float_batch(
    built: Path, how: dict[str, Any], augmentation: Shifts | None
) -> None:
    compact = ShardDataset(built, compact=True, augmentation=augmentation).batch([1, 6, 8])
    assert (compact["image"].dtype, compact["posmap"].dtype) == (torch.uint8, torch.uint16)
    assert compact["image"].is_contiguous(memory_format=torch.channels_last)
    expected = ShardDataset(built, **how, augmentation=augmentation).batch([1, 6, 8])
    for channels_last in (False, True):
        found = to_float(compact, **how, channels_last=channels_last)
        memory = torch.channels_last if channels_last else torch.contiguous_format
        assert found["image"].is_contiguous(memory_format=memory)
        torch.testing.assert_close(found["image"], expected["image"], atol=1e-5 * 255, rtol=0)
        # codes of a map's own range: half a step of at most 4 R / 65535
        step = 2 * R / 65535 / min(Normalization.of_maps(how["normalize"], R).scale)
        torch.testing.assert_close(found["posmap"], expected["posmap"], atol=step, rtol=0)
        torch.testing.assert_close(found["image_scale"], expected["image_scale"], atol=1e-3, rtol=0)
        torch.testing.assert_close(found["posmap_scale"], expected["posmap_scale"])
    assert to_float(ShardDataset(built, compact=True)[2])["image"].shape == (3, R, R)


def test_dataset_channels_last_has_the_same_values_in_the_stored_layout(built: Path) -> None:
    first, last = (ShardDataset(built, channels_last=choice).batch([2, 3]) for choice in (False, True))
    for name in ("image", "posmap"):
        torch.testing.assert_close(last[name], first[name])
        assert last[name].is_contiguous(memory_format=torch.channels_last)
        assert first[name].is_contiguous()


def test_dataset_bad_arguments_are_one_clear_line(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="normalize: 'minmax', expected 'size', 'prnet', 'reshow', 'unit' or None"):
        ShardDataset(plain, normalize="minmax")
    with pytest.raises(InputError, match="'standardize', expected one of maps; give image_normalize='standardize'"):
        ShardDataset(plain, normalize="standardize")
    with pytest.raises(InputError, match="image_normalize: 'size', expected 'auto', 'unit', 'imagenet'"):
        ShardDataset(plain, image_normalize="size")
    with pytest.raises(InputError, match="normalize: 'minmax'"):
        to_float({}, "minmax")
    with pytest.raises(InputError, match="batch: has no image, expected one"):
        to_float({"posmap": torch.zeros(3, U, U)})
    with pytest.raises(InputError, match="augmentation: 'prnet', expected an Augmentation, such as"):
        ShardDataset(plain, augmentation="prnet")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"augmentation: yaw_deg and pitch_deg turn faces in whole photographs"):
        ShardDataset(plain, augmentation=uvgen.Augmentation(yaw_deg=(0, 5)))
    with pytest.raises(DatasetError, match="no such file"):
        ShardDataset(tmp_path)


# Augmentation


def test_dataset_augmentation_moves_everything_alike_and_anew_each_epoch(built: Path) -> None:
    still, dataset = ShardDataset(built, normalize=None), ShardDataset(built, normalize=None, augmentation=Shifts())
    seen = set()
    for epoch in range(3):
        dataset.set_epoch(epoch)
        shift = Shifts().draw(0, dataset.reader.names[4], epoch, R)
        found, before = dataset[4], still[4]
        move = torch.tensor([shift.x, shift.y, 0.0])
        assert bool((found["image"] == before["image"].roll((shift.y, shift.x), (1, 2))).all())
        torch.testing.assert_close(found["posmap"], before["posmap"] + move[:, None, None])
        torch.testing.assert_close(found["landmarks"], before["landmarks"] + move)
        torch.testing.assert_close(found["image_to_crop"], torch.from_numpy(shift.similarity) @ before["image_to_crop"])
        seen.add(shift)
    assert len(seen) == 3


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_dataset_augmentation_moves_annotated_landmarks_as_landmarks(
    plain: Path, model: MorphableModel, flip: float
) -> None:
    """Their distances grow by the scale alone, so that their NME stays."""
    augmentation = Augmentation(rotation_deg=(40, 40), scale=(1.25, 1.25), flip=flip)
    still = ShardDataset(plain, normalize=None)
    moved = ShardDataset(plain, model=model, augmentation=augmentation, normalize=None)
    for before, found in zip(still, moved, strict=True):
        d = before["annotated_landmarks"].shape[1]
        off, moved_off = (one["annotated_landmarks"] - one["landmarks"][:, :d] for one in (before, found))
        known = torch.isfinite(off).all(dim=1)
        assert known.any()
        order = torch.tensor(LANDMARK_MIRROR.tolist()) if flip else torch.arange(68)
        torch.testing.assert_close(
            moved_off.norm(dim=1), 1.25 * off.norm(dim=1)[order], atol=1e-3, rtol=0, equal_nan=True
        )


def test_dataset_augmentation_mirrors_unseen_texels_with_the_map(
    tmp_path: Path, model_path: Path, model: MorphableModel
) -> None:
    marking = Augmentation(yaw_deg=(40, 60), unseen="mark")
    config = BuildConfig(size=R, uv_size=U, augmentation=marking)
    have(write_tree(tmp_path / "tree"), model_path, tmp_path / "out", config)
    still = ShardDataset(tmp_path / "out", normalize=None)
    flips = ShardDataset(tmp_path / "out", model=model, normalize=None, augmentation=Augmentation(flip=1.0))
    stays = ShardDataset(tmp_path / "out", normalize=None, augmentation=Augmentation(rotation_deg=(20, 20)))
    assert any(sample["unseen"].any() for sample in still)
    for before, mirrored, turned in zip(still, flips, stays, strict=True):
        assert torch.equal(mirrored["unseen"], before["unseen"].flip(1))  # of the toy model, whose UV are symmetric
        assert torch.equal(turned["unseen"], before["unseen"])
    with pytest.raises(InputError, match="flip: needs the shards' model"):
        ShardDataset(tmp_path / "out", augmentation=FlippedShifts())[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            (np.zeros((4, 4, 3), np.uint8), None, None),
            r"returned image \(4, 4, 3\) uint8, expected \(32, 32, 3\) uint8",
        ),
        ((np.zeros((R, R, 3), np.float32), None, None), "returned image .* float32, expected .* uint8"),
        ((None, np.zeros((4, 4, 3), np.float32), None), r"returned position map \(4, 4, 3\) float32, expected \(48"),
        ((None, np.zeros((U, U, 3)), None), "returned position map .* float64, expected .* float32"),
        ((None, None, np.zeros((5, 3), np.float32)), r"returned landmarks \(5, 3\) float32, expected \(68, 3\)"),
    ],
)
def test_dataset_custom_augmentation_that_returns_something_else_is_an_error(
    plain: Path, changed: Any, message: str
) -> None:
    class Other(Shifts):
        def apply(self, draw: Any, image: Any, position_map: Any, landmarks: Any) -> Any:
            right = super().apply(draw, image, position_map, landmarks)
            return tuple(value if new is None else new for value, new in zip(right, changed, strict=True))

    with pytest.raises(InputError, match=f"augmentation: Other {message}"):
        ShardDataset(plain, augmentation=Other())[0]


def test_dataset_augmented_parameters_give_the_augmented_map(plain: Path, model: MorphableModel) -> None:
    batch = ShardDataset(plain, normalize=None, augmentation=Shifts()).batch(range(N))
    maps = PositionMapLayer(model, U)(*(batch[name] for name in PARAMETERS))
    # half a step of the fixed point: R / 2^14 / 2
    torch.testing.assert_close(maps, batch["posmap"], atol=R / 2**14 * 0.5 + 1e-4, rtol=0)


# Data loaders


@pytest.mark.parametrize(
    ("method", "workers"),  # more workers than batches once; one where each imports PyTorch anew
    [
        # "forkserver" is given what "spawn" is
        pytest.param(m, n, marks=[pytest.mark.long] * (m == "forkserver" or n == 2))
        for m, n in (("fork", 2), ("fork", 4), ("spawn", 1), ("forkserver", 1))
        if m in multiprocessing.get_all_start_methods()
    ],
)
@pytest.mark.slow
@pytest.mark.vital
def test_dataset_in_workers_gives_what_it_gives_here(plain: Path, method: str, workers: int) -> None:
    dataset = ShardDataset(plain, augmentation=Shifts())
    expected = list(loader(dataset))
    assert [len(batch["name"]) for batch in expected] == [4, 4, 1]
    found = list(loader(dataset, num_workers=workers, multiprocessing_context=method))
    for left, right in zip(found, expected, strict=True):
        assert_equal_batches(left, right)


@pytest.fixture
def file_system() -> Iterator[None]:
    """PyTorch shares memory by files' names, as trainers set it that run out of open files; not so in its workers."""
    usual = torch.multiprocessing.get_sharing_strategy()
    torch.multiprocessing.set_sharing_strategy("file_system")
    yield
    torch.multiprocessing.set_sharing_strategy(usual)


@pytest.mark.slow
def test_dataset_epoch_reaches_spawned_workers_whose_memory_is_shared_by_name(plain: Path, file_system: None) -> None:
    check_epochs(plain, num_workers=1, multiprocessing_context="spawn")


def test_dataset_epoch_reaches_persistent_workers(plain: Path) -> None:
    check_epochs(plain, num_workers=2)


def check_epochs(plain: Path, **workers: Any) -> None:
    dataset = ShardDataset(plain, augmentation=Shifts())
    batches = loader(dataset, persistent_workers=True, **workers)
    crops = []
    for epoch in (0, 1, 0):
        dataset.set_epoch(epoch)
        crops.append(torch.cat([batch["image_to_crop"] for batch in batches]))
        here = torch.cat([batch["image_to_crop"] for batch in loader(dataset)])
        assert bool((crops[-1] == here).all()), epoch
    assert not bool((crops[0] == crops[1]).all())


def test_dataset_with_more_workers_than_samples(plain: Path) -> None:
    batches = list(loader(ShardDataset(plain), batch_size=N, num_workers=4))
    assert [len(batch["name"]) for batch in batches] == [N]


def test_dataset_exception_in_a_worker_comes_back_with_its_message(plain: Path) -> None:
    dataset = ShardDataset(plain, augmentation=Fails())
    with pytest.raises(SampleError, match="AFW/AFW_000_1_0: refused"):
        list(loader(dataset, num_workers=2))


@pytest.mark.parametrize(
    ("workers", "damage"),
    [(0, "delete"), (0, "truncate"), (2, "truncate"), pytest.param(2, "delete", marks=pytest.mark.long)],
)
@pytest.mark.slow
def test_dataset_shard_that_is_lost_midway_is_a_clear_error(
    plain: Path, tmp_path: Path, workers: int, damage: str
) -> None:
    shutil.copytree(plain, tmp_path / "copy")
    batches = iter(
        loader(
            ShardDataset(tmp_path / "copy"),
            batch_size=1,
            num_workers=workers,
            prefetch_factor=None if not workers else 1,
        )
    )
    next(batches)
    last = tmp_path / "copy/IBUG_Flip-00001.h5"
    if damage == "delete":
        last.unlink()
    else:
        with open(last, "r+b") as file:
            file.truncate(last.stat().st_size // 2)
    with pytest.raises(DatasetError, match=r"IBUG_Flip-00001.h5: (no such file|cannot be read .*); run `uvgen verify"):
        list(batches)


def test_dataset_pickles_small_and_without_open_files(plain: Path) -> None:
    dataset = ShardDataset(plain, augmentation=Shifts())
    dataset.set_epoch(3)
    expected = dataset[5]
    blob = pickle.dumps(dataset)
    assert len(blob) < 30_000 + U * U * 4
    assert_equal_batches(pickle.loads(blob)[5], expected)


@pytest.mark.slow
def test_dataset_memory_does_not_grow_with_the_samples_read(plain: Path) -> None:
    code = f"""
import uvgen.torch
dataset = uvgen.torch.ShardDataset({str(plain)!r})
def read(n):
    for k in range(n):
        dataset.batch([k % 9, (5 * k + 3) % 9])
    with open("/proc/self/status") as file:
        return int(file.read().split("VmHWM:")[1].split()[0])
first = read(200)
print(read(1500) - first)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc: memory cannot be measured")
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert grown < 2048  # kB; what was read is 110 MB


# The order


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("shuffle", [True, False])
def test_sampler_ranks_share_the_samples_exactly(plain: Path, n_ranks: int, shuffle: bool) -> None:
    samplers = [ShardSampler(ShardDataset(plain), shuffle=shuffle, rank=k, n_ranks=n_ranks) for k in range(n_ranks)]
    shares = [list(sampler) for sampler in samplers]
    assert sorted(chain(*shares)) == list(range(N))
    assert [len(sampler) for sampler in samplers] == [len(share) for share in shares]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_sampler_drop_last_gives_ranks_equally_many(plain: Path) -> None:
    shares = [list(ShardSampler(ShardDataset(plain), rank=k, n_ranks=4, drop_last=True)) for k in range(4)]
    assert [len(share) for share in shares] == [2] * 4
    assert len(set(chain(*shares))) == 8


def test_sampler_order_depends_on_seed_and_epoch_alone(plain: Path) -> None:
    reader = uvgen.open_shards(plain)
    sampler = ShardSampler(reader, seed=3)
    orders = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        orders.append(tuple(sampler))
        again = ShardSampler(ShardDataset(plain), seed=3)
        again.set_epoch(epoch)
        assert tuple(again) == tuple(again) == orders[-1]
    assert len(set(orders)) == 4
    assert tuple(ShardSampler(reader, seed=4)) != orders[0]
    assert list(ShardSampler(reader, shuffle=False)) == list(range(N))


def test_sampler_resumes_in_mid_epoch(plain: Path) -> None:
    def new() -> ShardSampler:
        return ShardSampler(ShardDataset(plain), seed=1, rank=1, n_ranks=2)

    whole = new()
    whole.set_epoch(5)
    order = list(whole)
    stopped = new()
    stopped.set_epoch(5)
    iterator = iter(stopped)
    assert [next(iterator), next(iterator)] == order[:2]
    for state in (stopped.state_dict(), whole.state_dict(n_used=2)):
        resumed = new()
        resumed.load_state_dict(pickle.loads(pickle.dumps(state)))
        assert resumed.epoch == 5 and len(resumed) == len(order) - 2
        assert list(resumed) == order[2:]
        assert list(resumed) == order  # the epoch after is whole again
        resumed.load_state_dict(state)
        resumed.set_epoch(5)  # as a training loop does at the top of each epoch
        assert list(resumed) == order[2:]
        resumed.load_state_dict(state)
        resumed.set_epoch(6)
        assert len(resumed) == len(order) and sorted(resumed) != sorted(order[2:])
    with pytest.raises(InputError, match="n_used: -1, expected 0 or more"):
        whole.state_dict(n_used=-1)
    for bad in (None, {}, {**state, "position": -3}, {**state, "position": 2.7}, {**state, "epoch": "x"}):
        with pytest.raises(InputError, match="sampler state: "):
            resumed.load_state_dict(bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="sampler state: seed is 1, expected this sampler's, 2"):
        ShardSampler(ShardDataset(plain), seed=2, rank=1, n_ranks=2).load_state_dict(state)


@pytest.mark.parametrize(
    "options",
    [{"window": 0}, {"window": 2.5}, {"shards_at_once": 0}, {"rank": 2, "n_ranks": 2}, {"rank": -1}, {"n_ranks": 0}],
)
def test_sampler_numbers_out_of_range_are_errors(plain: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        ShardSampler(ShardDataset(plain), **options)  # type: ignore[arg-type]


# Maps on the device


def faces(n: int = 3, dtype: Any = torch.float64) -> list[Any]:
    rng = np.random.default_rng(0)
    pose = np.concatenate([rng.uniform(-1, 1, (n, 3)), rng.uniform(50, 90, (n, 3)), np.full((n, 1), 4.5e-4)], axis=1)
    turn = rng.uniform(-0.6, 0.6, n)
    similarity = np.zeros((n, 3, 3))
    similarity[:, 0, 0] = similarity[:, 1, 1] = 0.5 * np.cos(turn)
    similarity[:, 1, 0], similarity[:, 0, 1] = 0.5 * np.sin(turn), -0.5 * np.sin(turn)
    similarity[:, :2, 2], similarity[:, 2, 2] = rng.uniform(-20, 5, (n, 2)), 1
    arrays = [rng.normal(size=(n, N_SHAPE)) * 3e5, rng.normal(size=(n, N_EXPRESSION)), pose, similarity]
    return [torch.from_numpy(a).to(dtype) for a in arrays]


@pytest.mark.parametrize("convention", ["exact", "face3d"])
@pytest.mark.parametrize("size", [20, 48])
def test_layer_equals_position_mapper(model: MorphableModel, size: int, convention: str) -> None:
    inputs, height = faces(), np.array([120, 100, 450])
    expected = uvgen.PositionMapper(model, size, convention)(*(tensor.numpy() for tensor in inputs), height)
    layer = PositionMapLayer(model, size, convention)
    for dtype in (torch.float32, torch.float64):
        found = layer.to(dtype)(*inputs, torch.from_numpy(height))
        assert found.shape == (3, 3, size, size) and found.dtype == dtype
        np.testing.assert_allclose(found.permute(0, 2, 3, 1).numpy(), expected, atol=1e-3, rtol=0)  # px


def test_layer_equals_position_mapper_on_the_real_mesh(stand_in_model: MorphableModel, reference: Path) -> None:
    samples = [s for s in uvgen.find_samples(reference / "w300lp") if s.image and s.parameters][:4]
    annotations = [uvgen.read_annotation(sample) for sample in samples]
    inputs = [np.stack([getattr(a, name) for a in annotations]) for name in ("shape", "expression", "pose")]
    similarity = np.tile(np.diag([0.8, 0.8, 1.0]), (4, 1, 1))
    expected = uvgen.PositionMapper(stand_in_model, 64)(*inputs, similarity, 450)
    layer = PositionMapLayer(stand_in_model, 64)
    found = layer(*map(torch.from_numpy, [*inputs, similarity]), 450)
    np.testing.assert_allclose(found.permute(0, 2, 3, 1).numpy(), expected, atol=1e-3, rtol=0)


def test_layer_gradients_are_right(model: MorphableModel) -> None:
    layer = PositionMapLayer(model, 16).double()
    scales = [1e5, 1.0, 1.0, 1.0]  # so that a step of 1e-6 moves each by as much as it moves the rest

    def maps(*scaled: Any) -> Any:
        shape, expression, pose, similarity = (value * scale for value, scale in zip(scaled, scales, strict=True))
        pose = torch.cat([pose[:, :6], pose[:, 6:] * 1e-4], dim=1)
        return layer(shape, expression, pose, similarity, 120)

    inputs = [tensor / scale for tensor, scale in zip(faces(2), scales, strict=True)]
    inputs[2][:, 6] *= 1e4
    assert torch.autograd.gradcheck(maps, [t.requires_grad_() for t in inputs], eps=1e-6, atol=1e-4, fast_mode=True)


def test_layer_is_exact_under_autocast_and_small_in_a_checkpoint(model: MorphableModel) -> None:
    layer, inputs = PositionMapLayer(model, 20), faces(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(*inputs, 120)
    torch.testing.assert_close(found, layer(*inputs, 120))
    assert not layer.state_dict() and not list(layer.parameters())


def test_layer_runs_on_the_gpu(model: MorphableModel) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    layer, inputs = PositionMapLayer(model, 48), faces(dtype=torch.float32)
    expected = layer(*inputs, 120)
    found = layer.cuda()(*(tensor.cuda() for tensor in inputs), 120)
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=0)


def test_layer_of_shapes_that_do_not_agree_is_an_error(model: MorphableModel) -> None:
    shape, expression, pose, similarity = faces()
    with pytest.raises(InputError, match=r"shape: \(3, 9\), expected \(3, 10\)"):
        PositionMapLayer(model, 16)(shape[:, 1:], expression, pose, similarity, 120)
    with pytest.raises(InputError, match=r"similarity: \(3, 3\), expected \(3, 3, 3\)"):
        PositionMapLayer(model, 16)(shape, expression, pose, similarity[0], 120)
    with pytest.raises(InputError, match="convention"):
        PositionMapLayer(model, 16, "matlab")


# Unwrapping


def test_unwrap_samples_the_image_at_the_maps_positions() -> None:
    y, x = torch.meshgrid(torch.arange(30.0), torch.arange(40.0), indexing="ij")
    image = torch.stack([x, y])[None]  # a bilinear sample of coordinates is the coordinate
    maps = (
        torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        * torch.tensor([38.0, 28, 5])[:, None, None]
    )
    texture, visible = unwrap(image, maps)
    assert texture.shape == (1, 2, 16, 16) and visible.shape == (1, 1, 16, 16) and visible.dtype == torch.bool
    torch.testing.assert_close(texture, maps[:, :2], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("maps", "coverage", "message"),
    [
        ((2, 3, 8, 8), (9, 9), r"coverage: \(9, 9\), expected \(8, 8\)"),
        ((2, 3, 8, 8), (1, 1, 8, 8), r"coverage: \(1, 1, 8, 8\), expected"),
        ((2, 3, 1, 8), None, "of 2 texels per side or more"),
        ((0, 3, 8, 8), None, "expected one or more"),
    ],
)
def test_unwrap_of_shapes_that_do_not_agree_is_an_error(maps: Any, coverage: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        unwrap(torch.rand(maps[0], 3, 20, 20), torch.rand(maps), None if coverage is None else torch.ones(coverage))


def test_unwrap_takes_coverage_of_any_number_type() -> None:
    image, maps = torch.rand(2, 3, 20, 20), 19 * torch.rand(2, 3, 16, 16)
    coverage = torch.rand(16, 16) > 0.5
    assert torch.equal(unwrap(image, maps, coverage)[1], unwrap(image, maps, coverage.float())[1])


def test_unwrap_of_transposed_maps_is_that_of_a_copy() -> None:
    image, maps = torch.rand(2, 3, 20, 20), 19 * torch.rand(2, 3, 16, 16)
    for left, right in zip(unwrap(image, maps.mT), unwrap(image, maps.mT.contiguous()), strict=True):
        assert torch.equal(left, right)


def test_unwrap_has_gradients_in_image_and_map() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 1, 6, 7, dtype=torch.float64, generator=generator, requires_grad=True)
    maps = (torch.rand(1, 3, 4, 4, dtype=torch.float64, generator=generator) * 4 + 0.3).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, m: unwrap(i, m)[0], [image, maps], eps=1e-6)


def test_unwrap_sees_the_front_of_a_folded_sheet_alone() -> None:
    """Half the texels come back under the other half."""
    column, row = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="xy")
    x, z = 20 + 90 * column.minimum(1 - column) * 2, 40 - 80 * column  # over, then back below
    maps = torch.stack([x, 10 + 100 * row, z])[None]
    visible = unwrap(torch.zeros(1, 3, 128, 128), maps)[1][0, 0]
    assert float(visible[:, :31].float().mean()) > 0.95
    assert float(visible[:, 33:].float().mean()) == 0
    facing = maps.flip(3)  # the lower half now faces the camera too, but lies behind the other
    facing[:, 0] = 20 + 90 * ((2 * column) % 1)
    facing[:, 2] = torch.where(column < 0.5, 0.0, 40.0)
    visible = unwrap(torch.zeros(1, 3, 128, 128), facing)[1][0, 0]
    assert float(visible[:, 33:].float().mean()) > 0.9
    assert float(visible[:, 1:30].float().mean()) < 0.05


def test_unwrap_of_a_map_that_is_not_finite_sees_nothing_there() -> None:
    image = torch.rand(1, 3, 20, 20)
    maps = torch.stack([*torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="xy"), torch.zeros(20, 20)])[
        None
    ]
    good = unwrap(image, maps)[1]
    assert bool(good.all())
    for value in (torch.nan, torch.inf, -torch.inf):
        for channel in range(3):
            broken = maps.clone()
            broken[0, channel, 3, 4] = value
            broken.requires_grad_()
            texture, visible = unwrap(image, broken)
            assert not bool(visible[0, 0, 3, 4]) and bool(visible[0, 0, 10:, 10:].all())
            assert bool(texture.isfinite().all())
            (gradient,) = torch.autograd.grad(texture.sum(), broken)
            assert bool(gradient.isfinite().all())


def test_unwrap_of_codes_is_an_error() -> None:
    with pytest.raises(InputError, match=r"image, position_map: torch.uint8 .*to_float\(batch, normalize=None\)"):
        unwrap(torch.zeros(1, 3, 20, 20, dtype=torch.uint8), torch.zeros(1, 3, 20, 20))


def test_unwrap_visibility_outside_image_and_coverage_is_false() -> None:
    column, row = torch.meshgrid(torch.linspace(-20, 50, 32), torch.linspace(5, 25, 32), indexing="xy")
    maps = torch.stack([column, row, torch.zeros(32, 32)])[None]
    coverage = torch.zeros(32, 32, dtype=torch.bool)
    coverage[4:20] = True
    visible = unwrap(torch.zeros(1, 3, 32, 32), maps, coverage)[1][0, 0]
    assert bool((visible == (coverage & (column > -0.5) & (column < 31.5))).all())
    with pytest.raises(InputError, match="expected"):
        unwrap(torch.zeros(2, 3, 32, 32), maps)


@pytest.mark.slow
def test_unwrap_visibility_agrees_with_the_rasterizers(stand_in_model: MorphableModel, reference: Path) -> None:
    samples = [s for s in uvgen.find_samples(reference / "w300lp") if s.image and s.parameters][:4]
    annotations = [uvgen.read_annotation(sample) for sample in samples]
    mapper = uvgen.PositionMapper(stand_in_model, 256)
    inputs = [np.stack([getattr(a, name) for a in annotations]) for name in ("shape", "expression", "pose")]
    marks = mapper.image_landmarks(*inputs, 450)
    maps = mapper(*inputs, np.stack([uvgen.crop_similarity(points, 256) for points in marks]), 450)
    from uvgen.rasterize import visible_texels

    found = unwrap(torch.zeros(4, 1, 256, 256), chw(maps), torch.from_numpy(mapper.coverage))[1][:, 0].numpy()
    expected = np.stack([visible_texels(m, mapper.coverage) for m in maps])
    assert (found == expected).mean() > 0.9  # cells of two texels against triangles: silhouettes differ
    assert (found & ~expected).sum() < 0.03 * found.sum()


# Without PyTorch


def test_import_without_pytorch_says_what_to_install() -> None:
    code = """
import sys
import uvgen
sys.modules["torch"] = None
try:
    import uvgen.torch
except uvgen.UvgenError as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install torch" in found


def test_dataset_of_a_split_has_its_samples_in_loader_workers(plain: Path, tmp_path: Path) -> None:
    shards = Path(shutil.copytree(plain, tmp_path / "shards"))
    split_shards(shards, {"train": 0.5, "val": 0.5})
    whole, train = ShardDataset(shards), ShardDataset(shards, split="train")
    place = {name: k for k, name in enumerate(whole.reader.names)}
    found = {}
    for batch in loader(train, sampler=ShardSampler(train), num_workers=1):
        for k, name in enumerate(batch["name"]):
            found[name] = {key: value[k] for key, value in batch.items()}
    assert sorted(found) == sorted(train.reader.names) and 0 < len(found) < N
    for name, sample in found.items():
        assert_equal_batches(sample, whole[place[name]])
    names = whole.reader.names[2:4]
    assert ShardDataset(shards, names=names).reader.names == names


def test_dataset_finds_samples_by_name_and_shows_what_it_hands_over(plain: Path) -> None:
    dataset = ShardDataset(plain)
    name = dataset.reader.names[4]
    assert dataset[name]["name"] == name and torch.equal(dataset[name]["posmap"], dataset[4]["posmap"])
    with pytest.raises(InputError, match="sample 'nobody': not in"):
        dataset["nobody"]
    assert repr(dataset) == (
        f"<ShardDataset of '{plain}': 9 samples, image (3, {R}, {R}) float32, posmap (3, {U}, {U}) float32>"
    )
    assert f"image (3, {R}, {R}) uint8, posmap (3, {U}, {U}) uint16>" in repr(ShardDataset(plain, compact=True))
    n_shards = len(dataset.shard_samples)
    assert repr(ShardSampler(dataset)) == f"<ShardSampler of 9 samples in {n_shards} shards, seed=0, epoch=0>"
    assert "shuffle=False, rank 1 of 2" in repr(ShardSampler(dataset, shuffle=False, rank=1, n_ranks=2))


def test_a_field_of_ones_own_that_is_stored_as_codes_is_decoded_as_by_open_shards(plain: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(plain, tmp_path / "shards"))
    for path in folder.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            extra = file.create_dataset("extra", data=np.full((len(file["name"]), 3), 5, np.uint8))
            extra.attrs.update(scale_factor=0.5, add_offset=1.0)
    seal(folder)
    assert uvgen.open_shards(folder)[0]["extra"].tolist() == [3.5] * 3
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    with h5py.File(max(other.glob("*.h5")), "r+") as file:
        file["extra"].attrs["scale_factor"] = 2.0
    seal(other)
    with pytest.raises(DatasetError, match=r"extra is .*, in other shards"):
        [*ShardDataset(other)]
    batch = next(iter(loader(ShardDataset(folder), batch_size=2)))
    assert batch["extra"].dtype == torch.float32 and batch["extra"].tolist() == [[3.5] * 3] * 2


@pytest.mark.parametrize("name", ["weight_mask", "image_scale"])
def test_dataset_with_a_field_of_ones_own_by_a_name_that_is_added_is_refused(
    tmp_path: Path, plain: Path, name: str
) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(plain, folder)
    for path in folder.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            file.create_dataset(name, data=np.ones(len(file["name"]), np.float32))
    seal(folder)
    taken = f"its shards hold a field '{name}', which is the name of what is added"
    with pytest.raises(InputError, match=taken):
        ShardDataset(folder)
    if name == "image_scale":
        with pytest.raises(InputError, match=taken):
            uvgen.open_shards(folder, normalize="size")
    assert name in uvgen.open_shards(folder)[0]
    if name == "weight_mask":
        assert ShardDataset(folder, weight_mask=False)[0]["weight_mask"] == 1
