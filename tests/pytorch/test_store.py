"""Training from an object store: a data loader's workers share one cache, filled in the sampler's order."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.builds import have
from support.stores import FolderStore, folder_store, s3_store
from support.toy import write_tree
from torch.utils.data import DataLoader, Subset

from uvgen.storage.object_cache import objects_folder
from uvgen.storage.objects import upload
from uvgen.storage.urls import local_path
from uvgen.torch import ShardDataset, ShardSampler


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("local")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder / "shards"


@pytest.fixture
def store(tmp_path: Path, local: Path) -> Iterator[FolderStore]:
    with folder_store(tmp_path) as found:
        put(local, "s3://bucket/shards")
        yield found


def put(folder: Path, url: str) -> None:
    for path in folder.iterdir():
        upload(local_path(url) / path.name, path)


def names_of(loader: DataLoader[dict[str, torch.Tensor]]) -> list[str]:
    return [str(name) for batch in loader for name in batch["name"]]


def test_shard_dataset_of_a_store_gives_what_a_local_one_does(store: FolderStore, local: Path) -> None:
    here, there = ShardDataset(local), ShardDataset("s3://bucket/shards")
    for k in range(len(here)):
        left, right = here[k], there[k]
        assert left.keys() == right.keys()
        for name, value in left.items():
            assert torch.equal(value, right[name]) if isinstance(value, torch.Tensor) else value == right[name]


def test_sampler_fetches_shards_before_they_are_read(store: FolderStore) -> None:
    data = ShardDataset("s3://bucket/shards")
    order = iter(ShardSampler(data, seed=3, shards_at_once=1, window=1))
    next(order)
    shards = len(data.shard_samples)
    assert shards > 1
    while len([*objects_folder().glob("*.h5")]) < shards:  # nothing reads them: the test hangs where nothing fetches
        assert store.calls["get"] < 100
    order.close()  # type: ignore[attr-defined]


def test_sampler_of_a_subset_fetches_its_shards_alone(store: FolderStore) -> None:
    data = ShardDataset("s3://bucket/shards")
    first = data.shard_samples[0]
    shard = data.reader._pool.entries[1]
    sampler = ShardSampler(Subset(data, range(first, first + data.shard_samples[1])))
    list(sampler)
    data[first]
    held = {path.stem for path in objects_folder().glob("*.h5")}
    assert held == {shard.sha256, data.reader._pool.entries[0].sha256}  # the first says what fields there are


@pytest.mark.slow
@pytest.mark.parametrize(
    ("context", "workers"),
    [("fork", 2), pytest.param("spawn", 1, marks=pytest.mark.long)],  # a spawned one imports PyTorch anew
)
def test_data_loader_reads_an_epoch_from_s3(context: str, workers: int, local: Path, tmp_path: Path) -> None:
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install '.[stores]'")
    pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")
    with s3_store(tmp_path, f"training-{context}") as bucket:
        put(local, f"{bucket}/shards")
        data = ShardDataset(f"{bucket}/shards")
        sampler = ShardSampler(data, seed=1)
        loader = DataLoader(data, batch_size=2, sampler=sampler, num_workers=workers, multiprocessing_context=context)
        for epoch in range(2):
            sampler.set_epoch(epoch)
            assert sorted(names_of(loader)) == sorted(data.reader.names)
