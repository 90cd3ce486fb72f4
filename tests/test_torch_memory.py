"""Memory that batches are made in: used again, never while somebody holds it."""

import gc
import os
import pickle
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
from builds import make
from toy import write_tree

from uvgen.plan import BuildConfig

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from torch.utils.data import DataLoader, Subset, default_collate  # noqa: E402

from uvgen._torch_memory import _MOST_SLOTS, Buffers, Slots  # noqa: E402
from uvgen.torch import ShardDataset  # noqa: E402

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


def test_slot_arrives_with_its_values_and_is_lent_until_they_are_gone() -> None:
    slots = Slots()
    parcel, arrays = slots.take(LAYOUT)
    place = arrays["a"].data_ptr()
    arrays["a"].copy_(torch.arange(6.0).view(2, 3))
    arrays["b"].copy_(torch.arange(5, dtype=torch.int32))
    receive = sent(parcel)
    del parcel
    assert slots.take(LAYOUT)[1]["a"].data_ptr() != place  # on its way
    received = receive()
    assert received["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and received["b"].tolist() == list(range(5))
    part = received["b"][1:].view(torch.uint8)
    del received, arrays
    gc.collect()
    assert slots.take(LAYOUT)[1]["a"].data_ptr() != place  # a view holds it
    assert part.tolist() == [1, 0, 2, 0, 3, 0, 4, 0]
    del part
    assert slots.take(LAYOUT)[1]["a"].data_ptr() == place


def test_slot_of_a_parcel_that_was_never_sent_is_free() -> None:
    slots = Slots()
    parcel, arrays = slots.take(LAYOUT)
    place = arrays["a"].data_ptr()
    assert slots.take(LAYOUT)[1]["a"].data_ptr() != place
    del parcel
    assert slots.take(LAYOUT)[1]["a"].data_ptr() == place


def test_slots_fit_smaller_batches_and_are_few() -> None:
    slots = Slots()
    place = slots.take(LAYOUT)[1]["a"].data_ptr()
    smaller = {"a": ((1, 3), torch.float32)}
    assert slots.take(smaller)[1]["a"].data_ptr() == place
    larger = {"a": ((200, 3), torch.float32)}
    assert slots.take(larger)[1]["a"].data_ptr() != place
    held = [sent(slots.take(LAYOUT)[0])() for _ in range(3 * _MOST_SLOTS)]
    assert len(slots._slots) == _MOST_SLOTS
    for k, arrays in enumerate(held):
        arrays["a"].fill_(k)  # memory of its own each
    assert [arrays["a"][0, 0].item() for arrays in held] == list(range(3 * _MOST_SLOTS))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_slot_stays_lent_when_a_forked_process_drops_what_it_inherited() -> None:
    slots = Slots()
    parcel, arrays = slots.take(LAYOUT)
    place = arrays["a"].data_ptr()
    received = sent(parcel)()
    del parcel
    child = os.fork()
    if child == 0:
        del received
        os._exit(0)
    os.waitpid(child, 0)
    assert slots.take(LAYOUT)[1]["a"].data_ptr() != place
    del received
    assert slots.take(LAYOUT)[1]["a"].data_ptr() == place


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("memory")
    make(write_tree(folder / "300W_LP"), model_path, folder / "shards", BuildConfig(size=32, uv_size=48, shard_size=2))
    return folder / "shards"


def assert_same(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    for key, value in left.items():
        same = torch.equal(value, right[key]) if isinstance(value, torch.Tensor) else value == right[key]
        assert same, key


@pytest.mark.parametrize("strategy", sorted(torch.multiprocessing.get_all_sharing_strategies()))
def test_loader_batches_keep_their_values_as_long_as_they_are_held(shards: Path, strategy: str) -> None:
    before = torch.multiprocessing.get_sharing_strategy()
    torch.multiprocessing.set_sharing_strategy(strategy)
    try:
        dataset = ShardDataset(shards)
        order = [k % 9 for k in range(40)]
        batches = DataLoader(dataset, 2, sampler=order, num_workers=2, persistent_workers=True)
        held = [batch for _ in range(2) for batch in batches]
        for k, batch in enumerate(held):
            first = 2 * (k % 20)
            assert_same(batch, dataset.batch(order[first : first + 2]))
    finally:
        torch.multiprocessing.set_sharing_strategy(before)


def test_loader_left_in_mid_epoch_goes_on_with_the_next(shards: Path) -> None:
    dataset = ShardDataset(shards)
    batches = DataLoader(dataset, 1, num_workers=2, persistent_workers=True)
    for _ in range(12):  # more often than a worker has slots
        for batch in batches:
            assert_same(batch, dataset.batch([0]))
            break
    assert [batch["name"][0] for batch in batches] == dataset.reader.names


def one_by_one(samples: Any) -> Any:
    """A `collate_fn` of a user's own."""
    assert len(samples[:2]) == min(2, len(samples))
    return default_collate([dict(sample) for sample in samples])


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_with_a_collate_of_its_own_or_of_a_subset_gives_the_same(shards: Path, workers: int) -> None:
    dataset = ShardDataset(shards)
    expected = [dataset.batch([1, 2, 3]), dataset.batch([4, 5])]
    for data in (Subset(dataset, [1, 2, 3, 4, 5]), Subset(Subset(dataset, range(1, 9)), range(5))):
        for collate in (None, one_by_one):
            found = list(DataLoader(data, 3, num_workers=workers, collate_fn=collate))
            for left, right in zip(found, expected, strict=True):
                assert_same(left, right)


def test_default_collate_of_samples_in_a_list_stacks_them(shards: Path) -> None:
    dataset = ShardDataset(shards)
    samples = dataset.__getitems__([2, 4])
    assert_same(default_collate([samples[0], samples[1]]), dataset.batch([2, 4]))
    assert_same(default_collate([dataset[2], dataset[4]]), dataset.batch([2, 4]))


def test_default_collate_reads_a_batch_at_once(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, read = ShardDataset(shards), []
    batch = dataset.batch
    monkeypatch.setattr(dataset, "batch", lambda indices: read.append(indices) or batch(indices))
    list(DataLoader(dataset, 4))
    assert read == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
