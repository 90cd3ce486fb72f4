"""Shards that other shards are made of, by `uvgen augment` and `uvgen merge`: whole, and with what fields."""

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from uvgen.datasets.config import DatasetConfig
from uvgen.datasets.fields import excluded_fields, known_layouts, required_fields
from uvgen.errors import DatasetError
from uvgen.shards.constants import CONSTANTS, hash_of_weights, read_constants
from uvgen.shards.index import Index, ShardEntry
from uvgen.shards.shard import OpenShard
from uvgen.shards.stored import with_shard
from uvgen.storage.files import has_sha256, sha256_file
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.isolated import Hdf5Process
from uvgen.storage.names import brief, os_reason
from uvgen.storage.reading import max_bytes
from uvgen.wording import are, count, typed


def check_source_constants(folder: Path, index: Index) -> None:
    """Raise DatasetError if a source's constants are not what its index lists: a new set would list others as sound."""
    path = folder / CONSTANTS
    if index.constants_sha256 is None:
        raise DatasetError(f"{folder / DATASET_INDEX}: lists no {CONSTANTS}, expected one; build it again")
    if not has_sha256(path, index.constants_sha256, most_bytes=max_bytes()):
        what = "changed" if path.exists() else "missing"
        raise DatasetError(f"{path}: {what}; run `uvgen verify --repair {typed(folder)}` or the `uvgen build` again")
    config = DatasetConfig.of_index(index, folder)
    if hash_of_weights(read_constants(folder, config.build.uv_size)) != config.weight_mask_sha256:
        raise DatasetError(
            f"{path}: its weight_mask is not the one whose SHA-256 {DATASET_INDEX} states; make the data set again"
        )


def check_each_once(folder: Path, index: Index) -> None:
    """Raise DatasetError if an index names a sample twice: what is made of it could not be told apart either."""
    names = [name for entry in index.shards for name in entry.sample_names or ()]
    if len(set(names)) == len(names):
        return
    twice = [name for name, n in Counter(names).items() if n > 1]
    raise DatasetError(
        f"{folder}: sample {brief(twice[0])} more than once in it ({count(len(twice), 'sample')} {are(len(twice))}), "
        "expected each once; make the data set again"
    )


def check_source_hash(path: Path, entry: ShardEntry) -> None:
    """Raise DatasetError if a source shard is not what its index lists: what is made of it would pass for sound."""
    try:
        stat = path.stat()
        found = _hash(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({os_reason(error)})") from error
    if found != entry.sha256:
        raise DatasetError(
            f"{path}: its SHA-256 is not the one in the index: damaged or changed; run `uvgen verify --repair "
            f"{typed(path.parent)}`, or delete it and run the `uvgen build` that made it again"
        )


def open_source(
    folder: Path, entry: ShardEntry, config: DatasetConfig, process: Hdf5Process | None
) -> tuple[Path, OpenShard]:
    """A source shard of a set with these settings, open, and where; its hash was compared with the index before."""

    def opened(path: Path) -> tuple[Path, OpenShard]:
        check_source_hash(path, entry)
        return path, OpenShard(
            path, entry.samples, known_layouts(config.build), process,
            required=required_fields(config), excluded=excluded_fields(config), place=folder / entry.file,
        )  # fmt: skip

    return with_shard(folder, entry, opened)


def check_unchanged(path: Path, entry: ShardEntry, source: OpenShard) -> None:
    """Raise DatasetError if a source shard was written to or replaced since `check_source_hash`.

    To be called when all of it was read, before what is made of it gets its name.
    """
    try:
        check_source_hash(path, entry)  # hashed again only if its size or time is another
    except DatasetError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        if source.has_changed() and source.sha256() != entry.sha256:  # one that was only deleted was read as it was
            raise DatasetError(
                f"{path}: was changed while it was read, expected the shard of the index; run the command again"
            ) from error


@lru_cache(maxsize=4)
def _hash(path: Path, size: int, time_ns: int) -> str:
    """SHA-256 of a source shard, computed once for all copies that this process makes of it."""
    return sha256_file(path)


def check_source(entry: ShardEntry, source: OpenShard, config: Mapping[str, Any]) -> None:
    """Raise DatasetError if an open source shard is of another set than its index says: copies would not show it."""
    if wrong := source.other_origin({**source.config, **config}):  # what this version does not know is not compared
        raise DatasetError(f"{source.place}: {wrong[0]}; run `uvgen verify {typed(source.place.parent)}`")
    source.check_names(entry.names)
