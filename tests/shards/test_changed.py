"""Shards that change while a reader has them open, and sets whose shards were made anew since they were opened."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.toy import write_tree

import uvgen
from uvgen.errors import DatasetError
from uvgen.models.morphable import MorphableModel
from uvgen.shards.reader import ShardReader

Damage = Callable[[Path, Path], object]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory, model: MorphableModel) -> tuple[Path, Path]:
    """Two sets of the same samples and sizes, cropped differently."""
    folder = tmp_path_factory.mktemp("sets")
    tree = write_tree(folder / "300W_LP", 4)
    for name, seed in (("first", 0), ("second", 1)):
        config = uvgen.BuildConfig(size=32, seed=seed, shard_size=2)
        uvgen.build_shards(tree, folder / name, model=model, config=config, subsets=["AFW"])
    return folder / "first", folder / "second"


def _overwritten(shard: Path, other: Path) -> None:
    shard.write_bytes(other.read_bytes())


def _filled_with_zeros(shard: Path, _: Path) -> None:
    with shard.open("r+b") as file:
        file.write(bytes(shard.stat().st_size))


def _one_bit_flipped(shard: Path, _: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    with shard.open("r+b") as file:
        file.write(data)


def _cut_short(shard: Path, _: Path) -> None:
    os.truncate(shard, shard.stat().st_size // 2)


def _appended_to(shard: Path, _: Path) -> None:
    with shard.open("ab") as file:
        file.write(b"more")


def _same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    return all(np.array_equal(found[name], value) for name, value in expected.items())


def _later(shard: Path) -> None:
    """Let the change be one: file systems count time in steps of some milliseconds."""
    stat = shard.stat()
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))


@pytest.mark.parametrize("untrusted", [False, True])
@pytest.mark.parametrize(
    "damage", [_overwritten, _filled_with_zeros, _one_bit_flipped, _cut_short, _appended_to], ids=lambda f: f.__name__
)
def test_reader_refuses_a_shard_that_was_written_to_while_open(
    sets: tuple[Path, Path], tmp_path: Path, damage: Damage, untrusted: bool
) -> None:
    folder, other = shutil.copytree(sets[0], tmp_path / "set"), sets[1]
    reader = uvgen.open_shards(folder, untrusted=untrusted)
    shard = folder / reader.files[0]
    expected = reader[0]
    damage(shard, other / shard.name)
    _later(shard)
    for _ in range(2):  # the second look finds it no sounder
        for k in (0, 1):
            with pytest.raises(DatasetError, match=r"SHA-256 is not the one in the index"):
                reader[k]
    _overwritten(shard, sets[0] / shard.name)
    assert _same(reader[0], expected)


@pytest.mark.parametrize("untrusted", [False, True])
def test_reader_goes_on_with_a_shard_that_was_only_touched(
    sets: tuple[Path, Path], tmp_path: Path, untrusted: bool
) -> None:
    folder = shutil.copytree(sets[0], tmp_path / "set")
    reader = uvgen.open_shards(folder, untrusted=untrusted)
    expected = reader[0]
    _later(folder / reader.files[0])
    assert _same(reader[0], expected)


@pytest.mark.skipif(os.name == "nt", reason="open files cannot be replaced there")
@pytest.mark.parametrize("change", [os.unlink, lambda path: os.replace(shutil.copy(path, f"{path}.new"), path)])
def test_reader_goes_on_with_an_open_shard_whose_name_is_gone(
    sets: tuple[Path, Path], tmp_path: Path, change: Callable[[Path], object]
) -> None:
    folder = shutil.copytree(sets[0], tmp_path / "set")
    reader = uvgen.open_shards(folder)
    expected = reader[0]
    change(folder / reader.files[0])
    assert _same(reader[0], expected)


@pytest.mark.parametrize("sent", [False, True])
def test_reader_refuses_shards_of_a_later_build_with_other_settings(
    sets: tuple[Path, Path], tmp_path: Path, sent: bool
) -> None:
    folder = shutil.copytree(sets[0], tmp_path / "set")
    reader: ShardReader = uvgen.open_shards(folder)
    reader = pickle.loads(pickle.dumps(reader)) if sent else reader
    assert len(reader[:2]["name"]) == 2
    for path in sets[1].iterdir():  # the same names and sizes
        os.replace(shutil.copy(path, tmp_path / "new"), folder / path.name)
    with pytest.raises(DatasetError, match=r"made with seed = 1, dataset\.json says 0; was the set made again"):
        reader[2]


def test_reader_refuses_a_set_whose_shards_are_of_two_sets(sets: tuple[Path, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(sets[0], tmp_path / "set")
    reader = uvgen.open_shards(folder)
    shutil.copy(sets[1] / reader.files[1], folder)
    with pytest.raises(DatasetError, match="made with seed = 1"):
        list(reader)
