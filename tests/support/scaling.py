"""How much more a step does for more input: counted, so that no slow or loaded machine changes the result."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from uvgen._version import __version__
from uvgen.datasets.config import BuildConfig, DatasetConfig
from uvgen.shards.index import Index, ShardEntry


def count_steps(function: Callable[[], object]) -> int:
    """Lines of Python that a function runs in this thread, each as often as it runs, in a comprehension too.

    What is done in C, such as a sort, does not count.
    """
    n = 0

    def count(_: FrameType, event: str, __: object) -> Any:
        nonlocal n
        n += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        function()
    finally:
        sys.settrace(before)
    return n


def assert_proportional(step: Callable[[int], Callable[[], object]], n: int = 60) -> None:
    """Four times the input takes four times the steps, not sixteen; ``step(n)`` prepares and returns it."""
    step(8)()  # imports, and what is made once
    few, many = count_steps(step(n)), count_steps(step(4 * n))
    assert many < 4.6 * few, f"{few} steps for {n}, {many} for {4 * n}"


def index_of(n_shards: int, per_shard: int = 2, **changes: Any) -> Index:
    """An index of shards that need not exist, with names like 300W-LP's."""
    entries = [
        ShardEntry(
            f"HELEN-{k:05d}.h5", per_shard, per_shard * 10_000, hashlib.sha256(b"%d" % k).hexdigest(),
            "\n".join(f"HELEN/HELEN_image_{k * per_shard + j:08d}_1_0" for j in range(per_shard)),
        )
        for k in range(n_shards)
    ]  # fmt: skip
    plan = {"samples": n_shards * per_shard, "names_sha256": "0" * 64}
    return Index(__version__, config_of().to_plain(), plan, entries, **changes)


def config_of() -> DatasetConfig:
    """What such an index was made with."""
    return DatasetConfig(BuildConfig(), "builtin", "0" * 64, "1" * 64)


def write_index(folder: Path, n_shards: int, per_shard: int = 2) -> Path:
    """A folder with such an index, and no shards."""
    folder.mkdir()
    index_of(n_shards, per_shard).write(folder)
    return folder
