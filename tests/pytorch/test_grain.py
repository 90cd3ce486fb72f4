"""The reader under JAX's Grain: random access from its worker processes."""

from pathlib import Path

import numpy as np
import pytest
from support.builds import have
from support.toy import write_tree

from uvgen import open_shards

grain = pytest.importorskip("grain", reason="Grain is not installed: pip install grain")


@pytest.mark.slow
def test_grain_workers_read_every_sample_once(tmp_path: Path, model_path: Path) -> None:
    have(write_tree(tmp_path / "300W_LP"), model_path, tmp_path / "shards")
    reader = open_shards(tmp_path / "shards")
    order = grain.samplers.IndexSampler(
        len(reader), shuffle=True, seed=3, num_epochs=2, shard_options=grain.sharding.NoSharding()
    )
    found = list(grain.DataLoader(data_source=reader, sampler=order, worker_count=2))
    names = [str(sample["name"]) for sample in found]
    assert sorted(names) == sorted(reader.names * 2)
    expected = {sample["name"]: sample for sample in reader}
    for name, sample in zip(names, found, strict=True):
        for key in ("image", "posmap", "landmarks"):
            np.testing.assert_array_equal(sample[key], expected[name][key])
