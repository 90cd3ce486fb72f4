"""Exports of samples as rows: Parquet, TFRecord and MDS, read back bit for bit by readers that are not uvgen's.

And what becomes of per-pixel targets in all targets.
"""

import dataclasses
import io
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builds import SMALL, have
from support.exports import needs_package, parse_example, read_mds, read_tfrecord
from support.toy import toy_model, write_tree

import uvgen as library
from uvgen import Augmentation, open_shards
from uvgen.datasets.augmented import augment_shards
from uvgen.datasets.export import mds
from uvgen.datasets.export.common import PARAMETERS
from uvgen.datasets.export.run import export_shards
from uvgen.datasets.export.tfrecord import example
from uvgen.errors import DependencyError
from uvgen.images.jpeg import decode_jpeg, encode_jpeg
from uvgen.maps.target_layouts import COVERED, TARGETS
from uvgen.models.morphable import REGIONS

N = 9
PIXELS = (*TARGETS, COVERED)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Augmented, so that it has `flipped` too; with all per-pixel targets."""
    folder = tmp_path_factory.mktemp("built")
    labels = (np.arange(toy_model().n_vertices) // 50 % len(REGIONS)).astype(np.uint8)
    model = dataclasses.replace(toy_model(), regions=labels)
    config = dataclasses.replace(SMALL, targets=TARGETS)
    library.build_shards(write_tree(folder / "300W_LP"), folder / "plain", model=model, config=config)
    augment_shards(folder / "plain", folder / "shards", Augmentation(flip=0.5), model=model)
    return folder / "shards"


def expected_rows(shards: Path) -> list[dict[str, Any]]:
    """What each sample's row is to hold, arrays with their dtypes."""
    return [
        {
            "name": sample["name"],
            "image": encode_jpeg(sample["image"], 95),
            **{name: np.asarray(sample[name]) for name in ("posmap", *PIXELS, *PARAMETERS) if name in sample},
        }
        for sample in open_shards(shards)
    ]


def assert_same_bits(found: Any, expected: Any, name: str) -> None:
    if isinstance(expected, str | bytes):
        assert found == expected, name
    else:
        assert (np.shape(found), np.asarray(found).dtype) == (expected.shape, expected.dtype), name
        assert np.ascontiguousarray(found).tobytes() == expected.tobytes(), name


def test_export_tfrecord_holds_each_bit(built: Path, tmp_path: Path) -> None:
    export_shards(built, tmp_path / "out", "tfrecord")
    reader, rows = open_shards(built), expected_rows(built)
    files = [tmp_path / "out" / f"{Path(file).stem}.tfrecord" for file in reader.files]
    found = [row for file in files for row in read_tfrecord(file)]
    described = json.loads((tmp_path / "out/features.json").read_text())
    assert len(found) == N == len(rows)
    for row, expected in zip(found, rows, strict=True):
        assert list(row) == list(expected) == list(described)
        for name, value in expected.items():
            got, how = row[name], described[name]
            if isinstance(value, str | bytes):
                assert got == (value.encode() if isinstance(value, str) else value) and how["list"] == "bytes"
                continue
            as_bytes = name == "image_to_crop" or (value.ndim and value.dtype.itemsize == 1)
            plain = "float" if value.dtype.kind == "f" else "int64"
            assert how["list"] == ("bytes" if as_bytes else plain)
            got = np.frombuffer(got, how["dtype"]) if how["list"] == "bytes" else got.astype(how["dtype"])
            assert_same_bits(got.reshape(how["shape"]), value, name)
    assert {"flipped", "image_height", "image_to_crop", "posmap", *PIXELS} < described.keys()


@given(
    st.dictionaries(
        st.text(max_size=200),
        st.one_of(
            st.binary(max_size=300),
            st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5).map(lambda x: np.array(x, np.int64)),
            st.lists(st.floats(width=32), max_size=5).map(lambda x: np.array(x, np.float32)),
        ),
        max_size=4,
    )
)
def test_example_is_parsed_by_the_wire_format(row: dict[str, Any]) -> None:
    found = parse_example(example(row))
    assert list(found) == list(row)
    for name, value in row.items():
        assert_same_bits(found[name], value, name)


def test_export_mds_holds_each_bit(built: Path, tmp_path: Path) -> None:
    export_shards(built, tmp_path / "out", "mds")
    found, rows = read_mds(tmp_path / "out"), expected_rows(built)
    assert len(found) == N == len(rows)
    for row, expected in zip(found, rows, strict=True):
        assert row.keys() == expected.keys()
        for name, value in expected.items():
            value = np.asarray(value).astype(np.uint8) if np.asarray(value).dtype == bool else value
            assert_same_bits(row[name], value, name)


def test_export_mds_begins_new_files_before_they_grow_too_large(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_shards(built, tmp_path / "whole", "mds")
    monkeypatch.setattr(mds, "_MAX_BYTES", 1)  # smaller than any sample: each gets a file
    export_shards(built, tmp_path / "each", "mds")
    assert len(list((tmp_path / "each").glob("*.mds"))) == N
    whole, each = read_mds(tmp_path / "whole"), read_mds(tmp_path / "each")
    assert [row["name"] for row in each] == [row["name"] for row in whole] == open_shards(built).names
    files = sorted((tmp_path / "whole").glob("*.mds"))
    largest = max(path.stat().st_size for path in files)
    fits = largest - len(str(1 << 26)) + len(str(largest))  # the limit is among what a file says
    for limit, more in ((fits, 0), (fits - 1, 1)):
        monkeypatch.setattr(mds, "_MAX_BYTES", limit)
        export_shards(built, tmp_path / str(limit), "mds")
        sizes = [path.stat().st_size for path in (tmp_path / str(limit)).glob("*.mds")]
        assert max(sizes) <= limit and (len(sizes) > len(files)) == more


@needs_package("huggingface")
def test_export_huggingface_into_a_folder_whose_name_is_not_utf_8(built: Path, tmp_path: Path) -> None:
    out = tmp_path / os.fsdecode(b"out\xff")
    export_shards(built, out, "huggingface")
    export_shards(built, tmp_path / "out", "huggingface")
    first, second = (sorted(path.read_bytes() for path in one.glob("data/*")) for one in (out, tmp_path / "out"))
    assert first and first == second


@needs_package("huggingface")
def test_export_huggingface_is_read_by_pyarrow(built: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    export_shards(built, tmp_path / "out", "huggingface")
    files = sorted((tmp_path / "out/data").glob("*.parquet"))
    assert len(files) == len(open_shards(built).files)
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    assert len(rows) == N
    for row, expected in zip(rows, expected_rows(built), strict=True):
        assert row.keys() == expected.keys()
        assert row["image"] == {"bytes": expected["image"], "path": f"{expected['name']}.jpg"}
        for name, value in expected.items():
            if name != "image":
                assert_same_bits(row[name] if name == "name" else np.asarray(row[name], value.dtype), value, name)
    info = json.loads(pq.read_schema(files[0]).metadata[b"huggingface"])["info"]["features"]
    assert list(info) == list(rows[0])
    assert info["posmap"] == {"shape": [48, 48, 3], "dtype": "float32", "_type": "Array3D"}
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: other\n") and "may not be redistributed" in card and "`posmap`" in card


@needs_package("huggingface")
@pytest.mark.parametrize("streaming", [False, True])
def test_export_huggingface_is_loaded_by_datasets(built: Path, tmp_path: Path, streaming: bool) -> None:
    datasets: Any = pytest.importorskip("datasets")
    if not hasattr(datasets, "load_dataset"):  # the folder of these tests has the name
        pytest.skip("Hugging Face datasets is not installed")
    export_shards(built, tmp_path / "out", "huggingface")
    data = datasets.load_dataset(
        str(tmp_path / "out"), split="train", streaming=streaming, cache_dir=str(tmp_path / "cache")
    )
    assert data.features["posmap"] == datasets.Array3D((48, 48, 3), "float32")
    assert data.features["image"] == datasets.Image()
    found = list(data)
    assert len(found) == N
    for row, expected in zip(found, expected_rows(built), strict=True):
        assert row.keys() == expected.keys()
        np.testing.assert_array_equal(np.asarray(row["image"]), decode_jpeg(expected["image"]))
        for name, value in expected.items():
            if name not in ("image", "name"):
                assert_same_bits(np.asarray(row[name], value.dtype), value, name)


def test_export_huggingface_without_pyarrow_says_what_to_install(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uvgen: Any
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r'needs pyarrow.*; pip install "\.\[huggingface\]" in uvgen'):
        export_shards(tmp_path / "none", tmp_path / "out", "huggingface")  # before it looks for the shards
    result = uvgen("export", built, "--to", "huggingface", "--out", tmp_path / "out")
    assert result.exit_code == 1 and 'pip install ".[huggingface]"' in result.stderr
    assert not any(tmp_path.iterdir())


def test_shards_without_maps_are_exported_as_rows_with_the_model(tmp_path: Path, model_path: Path) -> None:
    lean = dataclasses.replace(SMALL, maps="none", image_codec="jpeg")
    have(write_tree(tmp_path / "300W_LP", n=1), model_path, tmp_path / "lean", lean)
    export_shards(tmp_path / "lean", tmp_path / "out", "mds", model=model_path)
    for row, sample in zip(read_mds(tmp_path / "out"), open_shards(tmp_path / "lean", model_path), strict=True):
        assert_same_bits(row["posmap"], sample["posmap"], "posmap")


def test_export_of_images_of_each_pixel_as_files_holds_each_bit(built: Path, tmp_path: Path) -> None:
    reader = open_shards(built)
    export_shards(built, tmp_path / "files", "npy")
    export_shards(built, tmp_path / "tars", "webdataset")
    members = {}
    for path in (tmp_path / "tars").glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar.getmembers():
                if member.name.endswith(".npy"):
                    members[member.name] = np.load(io.BytesIO(tar.extractfile(member).read()))  # type: ignore[union-attr]
    assert len(members) == N * (2 + len(PIXELS))
    for sample in reader:
        with np.load(tmp_path / "files" / f"{sample['name']}.npz") as pictures:
            assert sorted(pictures) == sorted(PIXELS)
            for name in PIXELS:
                assert_same_bits(pictures[name], sample[name], name)
                assert_same_bits(members[f"{sample['name']}.{name}.npy"], sample[name], name)


def test_export_that_has_no_place_for_images_of_each_pixel_says_so(built: Path, tmp_path: Path, uvgen: Any) -> None:
    result = uvgen("export", built, "--to", "ply", "--out", tmp_path / "ply")
    left = ", ".join(PIXELS)
    assert result.exit_code == 0 and result.stderr == f"note: ply has no place for {left}: left out\n"
    result = uvgen("export", built, "--to", "croissant", "--out", tmp_path / "card")  # it describes them
    assert result.exit_code == 0 and result.stderr == ""
    assert "| `parts` | (32, 32) | uint8 | labels from 0: background" in (tmp_path / "card/README.md").read_text()
