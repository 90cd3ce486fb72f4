"""`ShardDataset(untrusted=True)`: each process that reads has a child of its own, which ends with it."""

import gc
import pickle
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.builds import PATIENCE_S, have
from support.hostile import CRASHES, break_readers, readers_alive
from support.toy import write_tree

from uvgen.errors import DatasetError, ModelError

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader  # noqa: E402

from uvgen.torch import ShardDataset  # noqa: E402


@pytest.fixture(scope="module")
def built(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untrusted")
    have(write_tree(folder / "300W_LP", 2), model_path, folder / "shards")
    return folder / "shards"


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder by which reading processes of this test are known."""
    folder = tmp_path_factory.mktemp("site")
    break_readers(folder, monkeypatch.setenv)
    return folder


def assert_same_batches(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(right[name], value, rtol=0, atol=0)
        else:
            assert right[name] == value


def wait_for(site: Path, alive: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while readers_alive(site) != alive and time.monotonic() < end:
        gc.collect()
        time.sleep(0.05)
    assert readers_alive(site) == alive


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize(  # a spawned worker imports PyTorch anew
    ("method", "workers"), [("fork", 2), pytest.param("spawn", 1, marks=[pytest.mark.slow, pytest.mark.long])]
)
def test_dataset_untrusted_has_a_child_for_each_worker_and_none_afterwards(
    built: Path, site: Path, method: str, workers: int
) -> None:
    dataset = ShardDataset(built, untrusted=True)
    assert readers_alive(site) == 1  # it has looked at the first shard
    options: dict[str, Any] = {"num_workers": workers, "persistent_workers": True, "multiprocessing_context": method}
    loader = DataLoader(dataset, batch_size=3, **options)
    expected = list(DataLoader(ShardDataset(built), batch_size=3))
    for _ in range(2):
        for left, right in zip(expected, loader, strict=True):
            assert_same_batches(left, right)
        assert readers_alive(site) == 1 + workers
    del loader, right
    wait_for(site, 1)
    del dataset
    wait_for(site, 0)


@pytest.mark.slow
def test_dataset_untrusted_pickled_is_untrusted(built: Path, site: Path, tmp_path: Path) -> None:
    shards = Path(shutil.copytree(built, tmp_path / "shards"))
    dataset = ShardDataset(shards, untrusted=True)
    again = pickle.loads(pickle.dumps(dataset))
    assert_same_batches(dataset.batch([0, 1]), again.batch([0, 1]))
    with open(sorted(shards.glob("*.h5"))[-1], "ab") as file:
        file.write(CRASHES)
    for reads in (dataset, pickle.loads(pickle.dumps(dataset))):
        with pytest.raises(DatasetError, match=r"\.h5: the process that read it ended with status -6"):
            reads[-1]
        reads[0]  # the next process serves


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_dataset_of_a_shard_that_crashes_hdf5_raises_and_names_it(
    built: Path, site: Path, tmp_path: Path, workers: int
) -> None:
    shards = Path(shutil.copytree(built, tmp_path / "shards"))
    last = sorted(shards.glob("*.h5"))[-1]
    with open(last, "ab") as file:
        file.write(CRASHES)
    loader = DataLoader(ShardDataset(shards, untrusted=True), batch_size=2, num_workers=workers)
    with pytest.raises(DatasetError, match=rf"{last.name}: the process that read it ended with status -6"):
        list(loader)
    assert len(list(DataLoader(ShardDataset(shards), batch_size=2))) > 1  # this process, whose HDF5 is whole


def test_dataset_of_a_model_that_crashes_hdf5_raises(built: Path, site: Path, model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "m.h5").write_bytes(model_path.read_bytes() + CRASHES)
    with pytest.raises(ModelError, match=r"m\.h5: .*ended with status -6"):
        ShardDataset(built, model=tmp_path / "m.h5", untrusted=True)
