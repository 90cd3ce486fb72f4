"""Samples by their names, and what readers and results show of themselves."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from support.builds import have
from support.toy import write_tree

import uvgen
from uvgen.datasets.config import BuildConfig
from uvgen.errors import InputError


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("names")
    config = BuildConfig(size=16, uv_size=24, shard_size=2)
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards", config)
    return folder / "shards"


def test_reader_finds_samples_by_name(shards: Path) -> None:
    reader = uvgen.open_shards(shards)
    for k, name in enumerate(reader.names):
        assert reader[name]["name"] == name
        assert np.array_equal(reader[name]["image"], reader[k]["image"])
        assert np.array_equal(reader.read(name, "pose"), reader.read(k, "pose"))
    last, first = reader.names[-1], reader.names[0]
    assert reader.batch([last, 0])["name"] == [last, first]
    assert reader.gather([last], ["name"])["name"] == [last]
    assert reader.number(last) == 8 and reader.number(-1) == 8
    assert first in reader and "nobody" not in reader and 0 not in reader


def test_reader_of_a_part_finds_its_own_samples_alone(shards: Path) -> None:
    reader = uvgen.open_shards(shards)
    kept, left_out = reader.names[5], reader.names[0]
    part = reader.subset([kept, 7])
    assert part[kept]["name"] == kept and part.names == [kept, reader.names[7]]
    assert pickle.loads(pickle.dumps(part))[kept]["name"] == kept
    with pytest.raises(InputError, match=f"sample '{left_out}': not in .*names, such as '{kept}'"):
        part[left_out]


def test_reader_says_what_a_sample_is_asked_for_with(shards: Path) -> None:
    reader = uvgen.open_shards(shards)
    with pytest.raises(InputError, match=r"sample 'nobody': not in .*shards, expected one of its names, such as 'AFW/"):
        reader["nobody"]
    with pytest.raises(
        TypeError, match="sample of type float: expected a number below 9, a name, a slice, or several of them"
    ):
        reader[0.5]  # type: ignore[call-overload]
    with pytest.raises(IndexError, match="sample 9 of 9"):
        reader[9]


def test_reader_takes_slices_and_several_numbers_or_names_alike(shards: Path) -> None:
    reader = uvgen.open_shards(shards)
    expected = reader.batch([2, 3])
    for several in (slice(2, 4), [2, -6], np.array([2, 3]), reader.names[2:4], range(2, 4)):
        found = reader[several]  # type: ignore[index]  # a range has no type of its own there
        assert found["name"] == expected["name"]
        np.testing.assert_array_equal(found["posmap"], expected["posmap"])
    for mask in (np.array([True, False]), np.array([0.0, 1.0])):
        with pytest.raises(TypeError, match=r"sample of type (bool|float64|bool_|float): expected a number below 9"):
            reader[mask]
    for one in (True, np.True_, [False]):
        with pytest.raises(TypeError, match="sample of type bool"):
            reader[one]  # type: ignore[index]
    with pytest.raises(TypeError, match="sample of type tuple"):
        reader[2, 3]  # of two axes, there is only one
    with pytest.raises(TypeError, match="sample of type ndarray"):
        reader[np.array([[0, 1]])]


def test_reader_and_what_goes_with_it_show_their_sizes(shards: Path, model: uvgen.MorphableModel) -> None:
    reader = uvgen.open_shards(shards)
    shown = repr(reader)
    assert shown == (
        f"<ShardReader of '{shards}': 9 samples in {len(reader.files)} shards, crops of 16 px, maps of 24 texels>"
    )
    assert "1 sample in 1 shard" in repr(reader.subset([0]))
    assert f"{model.n_vertices} vertices, {model.n_shape} shape + " in repr(model)
    assert repr(uvgen.PositionMapper(model, 24)) == f"PositionMapper('{model.name}', size=24, convention='exact')"
    assert repr(uvgen.build_atlas(model, 24)).startswith("UvAtlas(size=24, vertices=int32 (576, 3), weights=float32")


def test_results_show_a_line_however_much_they_hold(shards: Path) -> None:
    split = uvgen.split_shards(shards, {"train": 0.5, "val": 0.5})
    many = uvgen.Split("train", tuple(f"AFW/AFW_{k:06d}_1_0" for k in range(100_000)), {"seed": 0})
    for result in (split, many, uvgen.verify_shards(shards), uvgen.describe_shards(shards), uvgen.diagnose(shards)):
        shown = repr(result)
        assert "\n" not in shown and len(shown) < 1200 and shown.startswith(type(result).__name__), shown
    assert "… 100000 in all" in repr(many) and "AFW_000003" not in repr(many)
