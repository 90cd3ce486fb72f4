"""Memory that batches are made in: used again, never while somebody holds it."""

import copy
import gc
import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
from support.builds import have
from support.toy import write_tree
from support.training_augmentations import Shifts

from uvgen.datasets.config import BuildConfig

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from torch.utils.data import DataLoader, Subset, default_collate  # noqa: E402

from uvgen.torch import ShardDataset  # noqa: E402
from uvgen.torch.memory import _MOST_FREE, _SPARE, Buffers, Slots  # noqa: E402

LAYOUT = {"a": ((2, 3), torch.float32), "b": ((5,), torch.uint16)}


def sent(parcel: Any) -> Callable[[], dict[str, Any]]:
    """Pickle a parcel as a worker's queue does; call the result to receive it."""
    data = bytes(ForkingPickler.dumps(parcel))
    return lambda: pickle.loads(data)


def test_buffers_are_used_again_only_when_no_tensor_holds_them() -> None:
    buffers = Buffers()
    tensor = buffers.take((4, 4), torch.float32)
    place, part = tensor.data_ptr(), tensor[1:, 2]
    del tensor
    assert buffers.take((4, 4), torch.float32).data_ptr() != place
    del part
    assert place in [t.data_ptr() for t in [buffers.take((4, 4), torch.float32) for _ in range(3)]]


def test_buffers_of_many_sizes_stay_few() -> None:
    buffers = Buffers()
    for k in range(1, 200):
        buffers.take((k, 100), torch.float32)
    assert len(buffers._spare) <= _SPARE
    large = buffers.take((1000,), torch.float32)
    place = large.data_ptr()
    del large
    assert buffers.take((600,), torch.float32).data_ptr() == place  # a smaller one fits into it
    assert buffers.take((10,), torch.float32).data_ptr() != place  # but would waste it


def place_of(parcel: Any) -> int:
    return int(parcel.tensors()["a"].data_ptr())


def test_slot_arrives_with_its_values_and_is_lent_until_they_are_gone() -> None:
    slots = Slots()
    parcel = slots.take(LAYOUT)
    place, arrays = place_of(parcel), parcel.tensors()
    arrays["a"].copy_(torch.arange(6.0).view(2, 3))
    arrays["b"].copy_(torch.arange(5, dtype=torch.int32))
    receive = sent(parcel)
    del parcel
    assert place_of(slots.take(LAYOUT)) != place  # on its way
    received = receive()
    assert received["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and received["b"].tolist() == list(range(5))
    part = received["b"][1:].view(torch.uint8)
    del received, arrays
    gc.collect()
    assert place not in [place_of(slots.take(LAYOUT)) for _ in range(5)]  # a view holds it
    assert part.tolist() == [1, 0, 2, 0, 3, 0, 4, 0]
    del part
    held = [slots.take(LAYOUT) for _ in range(3)]
    assert place in [place_of(parcel) for parcel in held]


def test_slot_of_a_parcel_that_was_never_sent_is_free() -> None:
    slots = Slots()
    parcel = slots.take(LAYOUT)
    place = place_of(parcel)
    assert place_of(slots.take(LAYOUT)) != place
    del parcel
    assert place in [place_of(p) for p in [slots.take(LAYOUT) for _ in range(3)]]


@pytest.mark.parametrize("n_held", [1, 4, 9, 20])
def test_slots_are_used_again_however_many_are_lent(n_held: int) -> None:
    slots = Slots()
    places, held = set(), deque(maxlen=n_held)
    for k in range(5 * n_held):
        parcel = slots.take(LAYOUT)
        places.add(place_of(parcel))
        parcel.tensors()["a"].fill_(k)
        held.append((k, sent(parcel)()))
        assert all(received["a"].eq(number).all() for number, received in held)
    del parcel
    assert len(places) <= n_held + 2
    held.clear()
    slots.take(LAYOUT)
    assert len(slots._slots) <= _MOST_FREE + 1


def test_slots_fit_smaller_batches_and_grow_with_larger_ones() -> None:
    slots = Slots()
    place = place_of(slots.take(LAYOUT))
    assert place_of(slots.take({"a": ((1, 3), torch.float32)})) == place
    assert place_of(slots.take({"a": ((200, 3), torch.float32)})) != place
    assert len(slots._slots) == 1  # the small one is gone


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_slot_stays_lent_when_a_forked_process_drops_what_it_inherited() -> None:
    slots = Slots()
    parcel = slots.take(LAYOUT)
    place = place_of(parcel)
    received = sent(parcel)()
    del parcel
    child = os.fork()
    if child == 0:
        del received
        os._exit(0)
    os.waitpid(child, 0)
    assert place_of(slots.take(LAYOUT)) != place
    del received
    assert place in [place_of(p) for p in [slots.take(LAYOUT) for _ in range(3)]]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("memory")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards", BuildConfig(size=32, uv_size=48, shard_size=2))
    return folder / "shards"


@pytest.fixture(params=sorted(torch.multiprocessing.get_all_sharing_strategies()))
def sharing_strategy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each of PyTorch's ways to share memory."""
    before = torch.multiprocessing.get_sharing_strategy()
    torch.multiprocessing.set_sharing_strategy(request.param)
    yield
    torch.multiprocessing.set_sharing_strategy(before)


def assert_same(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    for key, value in left.items():
        same = torch.equal(value, right[key]) if isinstance(value, torch.Tensor) else value == right[key]
        assert same, key


@pytest.mark.usefixtures("sharing_strategy")
def test_loader_batches_keep_their_values_as_long_as_they_are_held(shards: Path) -> None:
    dataset = ShardDataset(shards)
    order = [k % 9 for k in range(40)]
    batches = DataLoader(dataset, 2, sampler=order, num_workers=2, persistent_workers=True)
    held = [batch for _ in range(2) for batch in batches]
    for k, batch in enumerate(held):
        first = 2 * (k % 20)
        assert_same(batch, dataset.batch(order[first : first + 2]))


def test_loader_left_in_mid_epoch_goes_on_with_the_next(shards: Path) -> None:
    dataset = ShardDataset(shards)
    batches = DataLoader(dataset, 1, num_workers=2, persistent_workers=True)
    for _ in range(12):  # more often than a worker has slots
        for batch in batches:
            assert_same(batch, dataset.batch([0]))
            break
    assert [batch["name"][0] for batch in batches] == dataset.reader.names


def one_by_one(samples: Any) -> Any:
    assert len(samples[:2]) == min(2, len(samples))
    return default_collate([dict(sample) for sample in samples])


def brightened(samples: Any) -> Any:
    """Changes samples before they are collated, in place and by name."""
    for sample in samples:
        sample["image"] += 1
        sample["brightness"] = sample["image"].mean()
        del sample["posmap"]
    return default_collate(samples)


def halved(samples: Any) -> Any:
    """Changes the batch."""
    batch = default_collate(samples)
    batch["half"] = batch["image"] / 2
    del batch["image"]
    return batch


def united(samples: Any) -> Any:
    """Uses samples and batch as dicts."""
    first = samples[0].copy()
    assert type(first) is dict and type(samples[0] | {}) is dict and {"x": 1} | samples[0] == {"x": 1, **first}
    batch = default_collate(samples + samples[:1]) | {"x": 1}
    return {"y": 2} | batch.copy()


def as_they_are(samples: Any) -> Any:
    return samples


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_with_a_collate_of_its_own_or_of_a_subset_gives_the_same(shards: Path, workers: int) -> None:
    dataset = ShardDataset(shards)
    expected = [dataset.batch([1, 2, 3]), dataset.batch([4, 5])]
    for data in (Subset(dataset, [1, 2, 3, 4, 5]), Subset(Subset(dataset, range(1, 9)), range(5))):
        for collate in (None, one_by_one):
            found = list(DataLoader(data, 3, num_workers=workers, collate_fn=collate))
            for left, right in zip(found, expected, strict=True):
                assert_same(left, right)


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_with_a_collate_that_changes_samples_or_batches_keeps_the_changes(shards: Path, workers: int) -> None:
    dataset = ShardDataset(shards)
    order = [k % 9 for k in range(24)]
    parts = [dataset.batch(order[first : first + 3]) for first in range(0, 24, 3)]
    changed = list(DataLoader(dataset, 3, sampler=order, num_workers=workers, collate_fn=brightened))
    for found, plain in zip(changed, parts, strict=True):
        assert "posmap" not in found and torch.equal(found["image"], plain["image"] + 1)
        torch.testing.assert_close(found["brightness"], plain["image"].mean(dim=(1, 2, 3)) + 1)
    changed = list(DataLoader(dataset, 3, sampler=order, num_workers=workers, collate_fn=halved))
    for found, plain in zip(changed, parts, strict=True):
        assert "image" not in found and torch.equal(found["half"], plain["image"] / 2)
        assert torch.equal(found["posmap"], plain["posmap"])


@pytest.mark.parametrize("workers", [0, 1])
def test_loader_with_a_collate_that_uses_samples_and_batches_as_dicts(shards: Path, workers: int) -> None:
    dataset = ShardDataset(shards)
    (batch,) = DataLoader(dataset, 3, sampler=[4, 0, 8], num_workers=workers, collate_fn=united)
    assert_same(batch, {**dataset.batch([4, 0, 8, 4]), "x": 1, "y": 2})


@pytest.mark.parametrize("workers", [0, 1])
def test_loader_with_a_collate_that_leaves_samples_alone_gives_them(shards: Path, workers: int) -> None:
    dataset = ShardDataset(shards)
    (samples,) = DataLoader(dataset, 3, sampler=[4, 0, 8], num_workers=workers, collate_fn=as_they_are)
    for sample, index in zip(samples, [4, 0, 8], strict=True):
        assert_same(dict(sample), dataset[index])
    if workers:
        assert type(samples) is list and type(samples[0]) is dict


def test_loader_without_batches_of_its_own_takes_those_of_the_sampler(shards: Path) -> None:
    dataset = ShardDataset(shards)
    found = list(DataLoader(dataset, batch_size=None, sampler=[[1, 2], [5]]))
    assert_same(found[0], dataset.batch([1, 2]))
    assert_same(found[1], dataset.batch([5]))


def test_default_collate_of_samples_in_a_list_stacks_them(shards: Path) -> None:
    dataset = ShardDataset(shards)
    samples = dataset.__getitems__([2, 4])
    assert_same(default_collate([samples[0], samples[1]]), dataset.batch([2, 4]))
    assert_same(default_collate([dataset[2], dataset[4]]), dataset.batch([2, 4]))


def test_default_collate_reads_a_batch_at_once(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, read = ShardDataset(shards), []
    filled = dataset._filled
    monkeypatch.setattr(dataset, "_filled", lambda indices: read.append(indices) or filled(indices))
    list(DataLoader(dataset, 4))
    assert read == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


def test_tensors_of_samples_and_batches_are_the_callers_own(shards: Path) -> None:
    dataset = ShardDataset(shards)
    mask = dataset.weight_mask.clone()
    for given in (dataset[0], dataset.batch([0]), dataset.batch([0, 1, 2])):
        before = {name: value.clone() for name, value in given.items() if isinstance(value, torch.Tensor)}
        for name, value in before.items():
            given[name].zero_()  # also where an axis were expanded: an error
            # as PyTorch pins memory: the same strides, element by element
            pinned = torch.empty(0, dtype=value.dtype).set_(
                torch.empty(value.numel(), dtype=value.dtype).untyped_storage(),
                0,
                given[name].size(),
                given[name].stride(),
            )
            pinned.copy_(value)
    assert torch.equal(dataset.weight_mask, mask) and torch.equal(dataset[0]["weight_mask"], mask)
    for batch in DataLoader(dataset, 1, num_workers=1):
        assert torch.equal(batch["weight_mask"][0], mask)
        batch["weight_mask"].zero_()


def test_epoch_reaches_the_workers_of_a_copy(shards: Path) -> None:
    dataset = ShardDataset(shards, augmentation=Shifts())
    for duplicate in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        batches = DataLoader(duplicate, 9, num_workers=1, persistent_workers=True)
        crops = []
        for epoch in (0, 1):
            duplicate.set_epoch(epoch)
            crops.append(next(iter(batches))["image_to_crop"])
        assert not torch.equal(*crops)


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no /dev/shm")
@pytest.mark.slow
@pytest.mark.parametrize("nameless", [True, False])
def test_workers_that_end_leave_no_shared_files(shards: Path, nameless: bool) -> None:
    if nameless and not hasattr(os, "memfd_create"):
        pytest.skip("no memory without a name")
    code = f"""
import os, torch, uvgen.torch.memory
uvgen.torch.memory._NAMELESS = {nameless}
from torch.utils.data import DataLoader
from uvgen.torch import ShardDataset  # noqa: E402
torch.multiprocessing.set_sharing_strategy("file_system")
dataset = ShardDataset({str(shards)!r})
workers, seen = set(), set()
def files():  # torch_PID_…, of these workers: other processes have such files too
    return {{name for name in os.listdir("/dev/shm") if name.split("_")[:2] in [["torch", str(w)] for w in workers]}}
for epoch in range(4):
    batches = iter(DataLoader(dataset, 2, sampler=[k % 9 for k in range(40)], num_workers=2))
    workers |= {{worker.pid for worker in batches._workers}}
    for batch in batches:
        seen |= files()
    del batch, batches
    print(len(files()))
print(len(seen))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *left, seen = map(int, done.stdout.split())
    assert (seen == 0 if nameless else seen > 0) and left[-1] <= left[0]


class Collects(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """What another data loader's forked workers do by and by: garbage collection."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return gc.collect() * 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.usefixtures("sharing_strategy")
@pytest.mark.slow
def test_loader_goes_on_when_forked_processes_collect_what_they_inherit(shards: Path) -> None:
    dataset = ShardDataset(shards)
    order = [k % 9 for k in range(16)]
    batches = DataLoader(dataset, 2, sampler=order, num_workers=1, persistent_workers=True)
    for _ in range(2):
        for k, batch in enumerate(batches):
            assert_same(batch, dataset.batch(order[2 * k : 2 * k + 2]))
            cycle: list[Any] = [batch]
            cycle.append(cycle)
            del cycle, batch
            if k % 5 == 2:
                gc.disable()  # the garbage is to reach the workers
                try:
                    list(DataLoader(Collects(), 1, num_workers=1))
                finally:
                    gc.enable()
