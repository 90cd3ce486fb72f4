"""Tables of reports, data as scripts, and data sets without what was marked as bad."""

import dataclasses
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io as sio
from hypothesis import given
from hypothesis import strategies as st
from support.builds import SMALL, have, seal
from support.reports import BIGGER
from support.toy import write_sample

from uvgen import SampleSelection, build_shards, open_shards
from uvgen.errors import DatasetError, SettingsError
from uvgen.models.morphable import MorphableModel
from uvgen.report.javascript import as_json, numbers, packed
from uvgen.report.overview import _histogram
from uvgen.report.table import BIT, SampleTable, _folders, oddities
from uvgen.report.write import _code


def test_oddities_are_largest_where_one_number_stands_out() -> None:
    values = np.array([1.0, 1.2, 0.9, 1.1, 5.0])
    found = oddities({"a": values, "b": np.zeros(5)})
    assert found.argmax() == 4 and (found >= 0).all()
    spread = 1.4826 * np.median(np.abs(values - np.median(values)))
    assert found[4] == pytest.approx((5.0 - 1.1) / spread, rel=1e-5)
    assert (oddities({"a": np.full(4, 3.0)}) == 0).all()


def test_table_of_turned_versions_with_one_annotation_ignores_it(model_path: Path, tmp_path: Path) -> None:
    """In some copies of 300W-LP, all versions of a photograph have the `pt2d` of the first."""
    write_sample(tmp_path / "300W_LP/AFW", "AFW_1_1_0", seed=1)
    first = sio.loadmat(tmp_path / "300W_LP/AFW/AFW_1_1_0.mat")["pt2d"]
    for version in (1, 2):
        write_sample(tmp_path / "300W_LP/AFW", f"AFW_1_1_{version}", seed=1 + version, pt2d=first)
    have(tmp_path / "300W_LP", model_path, tmp_path / "shards")
    table = SampleTable.of(open_shards(tmp_path / "shards"))
    np.testing.assert_array_equal(np.isnan(table.nme), [False, True, True])
    np.testing.assert_array_equal(table.flags & BIT["repeated"] > 0, [False, True, True])
    assert table.order[0] == 0


def test_table_flags_parameters_that_build_would_have_left_out(
    model_path: Path, model: MorphableModel, tmp_path: Path
) -> None:
    write_sample(tmp_path / "300W_LP/AFW", "AFW_0_1_0", seed=1)
    shape = np.zeros((10, 1))
    shape[2] = 11 * model.shape_std[2]
    write_sample(tmp_path / "300W_LP/AFW", "AFW_1_1_0", seed=1, Shape_Para=shape)
    have(tmp_path / "300W_LP", model_path, tmp_path / "shards", dataclasses.replace(BIGGER, implausible="keep"))
    table = SampleTable.of(open_shards(tmp_path / "shards"), model)
    np.testing.assert_array_equal(table.flags & BIT["implausible"] > 0, [False, True])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/b/1", "a/c/1", "1"], ["a/b", "a/c", ""]),
        ([f"{k % 2}/{k}/1" for k in range(70_000)], ["0", "1"] * 35_000),
        ([f"{k}/1" for k in range(70_000)], [""] * 70_000),
    ],
)
def test_folders_are_few_enough_to_choose_from(names: list[str], expected: list[str]) -> None:
    assert _folders(names) == expected


@given(
    st.lists(st.floats(-1e4, 1e4) | st.sampled_from([0.0, 0.1, 23.0, 144.8]), min_size=1, max_size=200),
    st.sampled_from([None, 0.0]),
)
def test_histograms_count_each_value_where_they_say(values: list[float], low: float | None) -> None:
    array = np.abs(values) if low == 0 else np.array(values)
    found = _histogram("a", "a", "", array, 0.1, low, 2)
    edges = found["edges"]
    assert len(edges) == len(found["counts"]) + 1 <= 151 and (np.diff(edges) > 0).all()
    assert found["under"] == sum(value < edges[0] for value in array)
    assert found["over"] == sum(value >= edges[-1] for value in array)
    for k, count in enumerate(found["counts"]):
        assert count == sum(edges[k] <= value < edges[k + 1] for value in array)


def test_histogram_of_two_thousand_leaves_three_outliers_out_of_its_bins() -> None:
    values = np.array([*np.linspace(1, 4, 1997), 23.7, 53.3, 144.8])
    found = _histogram("a", "a", "%", values, 0.1, 0.0, 2)
    assert (found["under"], found["over"], found["high"]) == (0, 3, 144.8) and found["edges"][-1] < 8
    assert len(found["counts"]) >= 30


def test_messages_show_code_as_code_and_nothing_as_markup() -> None:
    assert str(_code("`a <b>` & c; `d")) == "<code>a &lt;b&gt;</code> &amp; c; <code>d</code>"


def test_excluded_samples_are_not_built(tree: Path, model_path: Path, tmp_path: Path) -> None:
    options = {"model": model_path, "config": SMALL}
    bad = ["AFW/AFW_001_1_0", "IBUG/IBUG_002_1_0.jpg"]
    result = build_shards(tree, tmp_path / "shards", select=SampleSelection(exclude=bad), **options)
    assert result.samples == 7 and not set(open_shards(tmp_path / "shards").names) & {"AFW/AFW_001_1_0", bad[1][:-4]}
    with pytest.raises(SettingsError, match="made with 7 samples, now they are 9: another list, exclusions"):
        build_shards(tree, tmp_path / "shards", **options)


def test_json_for_scripts_is_ascii_without_markup_and_keeps_values() -> None:
    import json

    value = {"a": "</script>&é\u2028", "b": [1.5, float("nan"), (2, None)], "c": True}
    text = as_json(value)
    assert not re.search(r"[<>&]", text) and text.isascii()
    assert json.loads(text) == {"a": "</script>&é\u2028", "b": [1.5, None, [2, None]], "c": True}


def test_packed_arrays_are_little_endian() -> None:
    array = np.array([1, 258], ">u2")
    assert packed(array) == packed(array.astype("<u2")) == "AQACAQ=="
    assert numbers(np.array([1 / 3, np.float32(2)]), 2) == [0.33, 2.0]


@pytest.mark.parametrize("value", [0, np.nan, 1e300])
def test_table_of_a_sample_without_a_crop_names_the_set(model_path: Path, tmp_path: Path, value: float) -> None:
    write_sample(tmp_path / "300W_LP/AFW", "AFW_1_1_0", seed=1)
    have(tmp_path / "300W_LP", model_path, tmp_path / "shards")
    with h5py.File(tmp_path / "shards/AFW-00000.h5", "r+") as file:
        file["image_to_crop"][0] = value
    seal(tmp_path / "shards")
    with pytest.raises(DatasetError, match=r"shards: the image_to_crop of a sample cannot be used .*`uvgen verify"):
        SampleTable.of(open_shards(tmp_path / "shards"))
