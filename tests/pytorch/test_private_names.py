"""Data loaders where PyTorch lacks the private names that it has today: slower, with the same batches."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.builds import have
from support.toy import write_tree

from uvgen.datasets.config import BuildConfig

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from uvgen.torch import ShardDataset  # noqa: E402

# PyTorch's own functions go on working, as they would in a version that never had the name.
WITHOUT = {
    "default_collate_fn_map": """
from torch.utils.data._utils import collate as module
functions = module.default_collate_fn_map
def default_collate(batch):
    return module.collate(batch, collate_fn_map=functions)
module.default_collate = torch.utils.data.default_collate = default_collate
del module.default_collate_fn_map
""",
    "_new_shared": """
del torch.storage._StorageBase._new_shared
assert not hasattr(torch.UntypedStorage, "_new_shared")
""",
}
LOAD = """
from torch.utils.data import DataLoader
from uvgen.torch import ShardDataset
found = {}
for compact in (False, True):
    dataset, read = ShardDataset(sys.argv[1], compact=compact), []
    filled = dataset._filled
    dataset._filled = lambda indices: read.append(len(indices)) or filled(indices)
    for workers in (0, 2) if hasattr(os, "fork") else (0,):  # forked, they lack the name too
        context = "fork" if workers else None
        batches = DataLoader(dataset, 4, num_workers=workers, multiprocessing_context=context)
        found[compact, workers] = [{k: copy.deepcopy(v) for k, v in batch.items()} for batch in batches]
        found[compact, workers, "read"] = list(read)  # by this process
torch.save(found, sys.argv[2])
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("private")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards", BuildConfig(size=32, uv_size=48, shard_size=2))
    return folder / "shards"


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT)
def test_loader_without_a_private_name_gives_the_same_batches(shards: Path, tmp_path: Path, name: str) -> None:
    code = f"import copy, os, sys, torch, torch.utils.data\n{WITHOUT[name]}\n{LOAD}"
    subprocess.run([sys.executable, "-c", code, str(shards), str(tmp_path / "found.pt")], check=True)
    found = torch.load(tmp_path / "found.pt", weights_only=False)
    for compact in (False, True):
        assert found[compact, 0, "read"] == ([1] * 9 if name == "default_collate_fn_map" else [4, 4, 1])
        dataset = ShardDataset(shards, compact=compact)
        expected = [dataset.batch(range(9)[first : first + 4]) for first in (0, 4, 8)]
        for workers in (0, 2):
            for left, right in zip(found.get((compact, workers), expected), expected, strict=True):
                assert_same(left, right)


def assert_same(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    for key, value in right.items():
        if isinstance(value, torch.Tensor):
            assert left[key].dtype == value.dtype and torch.equal(left[key], value), key
        else:
            assert left[key] == value, key
