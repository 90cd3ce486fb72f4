"""What worker processes that are spawned get of a data set: as few bytes for a large one as for a small one."""

from pathlib import Path

import numpy as np
from support.scaling import config_of, index_of

from uvgen.datasets.open import reader_of
from uvgen.torch.shared_pickle import SharedPickle


def test_shared_pickle_is_as_small_for_many_shards_as_for_few(tmp_path: Path) -> None:
    sizes = []
    for n in (10, 1000):
        reader = reader_of(tmp_path, index_of(n), config_of())
        for one in (reader, reader.subset(range(0, len(reader), 2))):
            shared = SharedPickle(one)
            there = shared.load()
            assert there.shard_samples == one.shard_samples and there.files == one.files
            assert not there._places.ends.flags.writeable
            sizes.append(len(shared._data))
    assert max(sizes) < min(sizes) + 100, sizes  # numbers of more digits


def test_shared_pickle_of_values_with_and_without_arrays_gives_them_back() -> None:
    arrays = {"a": np.arange(5), "b": np.zeros((0, 3)), "c": np.ones((2, 2), np.float32), "text": "x"}
    there = SharedPickle(arrays).load()
    assert there["text"] == "x"
    for name in "abc":
        np.testing.assert_array_equal(there[name], arrays[name], strict=True)
    assert SharedPickle("nothing").load() == "nothing"
