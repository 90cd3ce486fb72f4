"""Shards as they lie on disk, and reading them."""

import dataclasses
import json
import multiprocessing
import os
import pickle
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.builds import SMALL, assert_equal_samples, edit_index, have, read_all
from support.examples import examples
from support.toy import N_EXPRESSION, N_SHAPE, write_tree

import uvgen
from uvgen.datasets.config import BuildConfig, DatasetConfig
from uvgen.datasets.open import open_shards
from uvgen.errors import DatasetError, FieldError, InputError
from uvgen.fixed_point import decode
from uvgen.shards import shard
from uvgen.shards.format import Field, is_shard
from uvgen.shards.index import Index, ShardEntry, SkippedSample
from uvgen.shards.reader import ShardReader
from uvgen.shards.shard import OpenShard
from uvgen.shards.writer import ShardWriter
from uvgen.storage.hdf5 import new_hdf5
from uvgen.storage.isolated import Hdf5Process

R, U = SMALL.size, SMALL.uv_size
N = 9  # samples of the toy tree, in 6 shards
CONFIG = DatasetConfig(BuildConfig(), "toy", "0" * 64, "0" * 64).to_plain()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("built")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder / "shards"


@pytest.fixture
def reader(built: Path) -> ShardReader:
    return open_shards(built)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A hundred shards of two numbers each, written without any faces."""
    entries = []
    for k in range(100):
        name = f"a-{k:05d}.h5"
        with new_hdf5(tmp_path / name) as file:
            writer = ShardWriter(file, {"value": Field("int32", ())})
            writer.append({"value": [2 * k, 2 * k + 1]})
            writer.finish({})
        entries.append(ShardEntry(name, 2, (tmp_path / name).stat().st_size, "0" * 64))
    Index("0", CONFIG, {"samples": 500}, entries).write(tmp_path)
    return tmp_path


# On disk


def test_shard_fields_have_the_documented_layout(built: Path) -> None:
    with h5py.File(built / "IBUG-00000.h5") as file:
        layout = {name: (data.shape, data.dtype.str) for name, data in file.items()}
        assert {k: v for k, v in layout.items() if k not in ("name", "source")} == {
            "image": ((2, R, R, 3), "|u1"),
            "posmap": ((2, U, U, 3), "<u2"),
            "shape": ((2, N_SHAPE), "<f4"),
            "expression": ((2, N_EXPRESSION), "<f4"),
            "pose": ((2, 7), "<f4"),
            "image_to_crop": ((2, 3, 3), "<f8"),
            "image_height": ((2,), "<i4"),
            "landmarks": ((2, 68, 3), "<f4"),
            "crop_pose": ((2, 7), "<f4"),
            "annotated_landmarks": ((2, 68, 2), "<f4"),
            "label_nme": ((2,), "<f4"),
            "label_nme_jaw": ((2,), "<f4"),
        }
        assert list(file["name"].asstr()) == ["IBUG/IBUG_000_1_0", "IBUG/IBUG_001_1_0"]
        assert list(file["source"].asstr()) == ["IBUG/IBUG_000_1_0.jpg", "IBUG/IBUG_001_1_0.jpg"]
    constants = {name: (array.shape, array.dtype.str) for name, array in np.load(built / "constants.npz").items()}
    assert constants == {
        "weight_mask": ((U, U), "<f4"),
        "coverage": ((U, U), "|b1"),
        "landmark_texels": ((68, 2), "<i4"),
        "landmark_indices": ((68, 4), "<i4"),
        "landmark_weights": ((68, 4), "<f4"),
    }


def test_shard_large_fields_are_one_sample_a_chunk(built: Path) -> None:
    paths = list(built.glob("*.h5"))
    assert len(paths) == 6
    for path in paths:
        with h5py.File(path) as file:
            assert file["image"].chunks == (1, R, R, 3)
            assert file["posmap"].chunks == (1, U, U, 3)
            assert file["image"].compression is None


def test_shard_attributes_say_where_it_comes_from(built: Path, model_path: Path) -> None:
    with h5py.File(built / "AFW-00000.h5") as file:
        attributes = dict(file.attrs)
        posmap = dict(file["posmap"].attrs)
        units = {name: data.attrs.get("unit") for name, data in file.items()}
    assert (attributes["format"], attributes["version"]) == (b"uvgen-shard", 3)
    assert attributes["uvgen"].decode() == uvgen.__version__
    assert attributes["model_sha256"].decode() == uvgen.load_model(model_path).content_sha256
    assert attributes["convention"] == b"exact"
    config = json.loads(attributes["config"])
    assert config == {
        "size": R, "uv_size": U, "shard_size": 2, "seed": 0, "jitter": 0.1, "posmap_dtype": "uint16",
        "compression": None, "convention": "exact", "maps": "stored", "image_codec": "raw", "jpeg_quality": 95,
        "keep": [], "max_nme": None, "implausible": "skip", "exif": "ignore",
        "filter": "area", "decode": "reduced",
    }  # fmt: skip
    assert units["posmap"] == units["landmarks"] == b"px"
    # 1/64 px at 256, and a range from 1.5 crops left of the crop to 1.5 crops right of it
    assert posmap["scale_factor"] * 256 / R == 1 / 64
    assert posmap["add_offset"] == -1.5 * R


def test_shard_has_no_text_of_variable_length(built: Path) -> None:
    with h5py.File(built / "AFW-00000.h5") as file:
        owners = [file, *file.values()]
        kinds = [owner.attrs.get_id(name).get_type() for owner in owners for name in owner.attrs]
        kinds += [data.id.get_type() for data in file.values()]
    texts = [kind for kind in kinds if kind.get_class() == h5py.h5t.STRING]
    assert len(texts) > 10 and not any(kind.is_variable_str() for kind in texts)
    assert not any(kind.get_class() == h5py.h5t.VLEN for kind in kinds)
    assert all(kind.get_cset() == h5py.h5t.CSET_UTF8 for kind in texts)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_is_shard_knows_those_of_earlier_versions(built: Path, tmp_path: Path, version: int) -> None:
    """`--overwrite` deletes them; until version 2, their attributes were texts of variable length."""
    old = Path(__file__).with_name("fixtures") / "version_1" / "toy-00000.h5"
    path = Path(shutil.copy(old if version == 1 else built / "AFW-00000.h5", tmp_path / "a.h5"))
    if version == 2:
        with h5py.File(path, "r+") as file:
            file.attrs.update(format="uvgen-shard", version=2)
    assert is_shard(path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["landmarks"] = [1]
        file.attrs["format"] = "other"
    assert not is_shard(tmp_path / "other.h5")


def test_shard_read_with_h5py_alone_equals_the_reader(built: Path, reader: ShardReader) -> None:
    with h5py.File(built / "IBUG-00000.h5") as file:
        data = file["posmap"]
        position_map = data[1] * data.attrs["scale_factor"] + data.attrs["add_offset"]
        image, name = file["image"][1], file["name"][1].decode()
        assert {len(data) for data in file.values()} == {2}  # samples, on the first axis of each dataset
    constants = np.load(built / "constants.npz")
    weights, coverage = constants["weight_mask"], constants["coverage"]
    k = reader.names.index(name)
    assert name == "IBUG/IBUG_001_1_0"
    assert reader[k]["posmap"].dtype == np.float32
    # 16-bit codes, a scale that is a power of two and a whole offset: float32 holds the values without rounding
    np.testing.assert_array_equal(reader[k]["posmap"], position_map)
    np.testing.assert_array_equal(reader[k]["image"], image)
    np.testing.assert_array_equal(reader.constants["weight_mask"], weights)
    np.testing.assert_array_equal(reader.constants["coverage"], coverage)


@given(codes=st.lists(st.integers(0, 65535), min_size=1), size=st.integers(16, 4096))
def test_decode_of_fixed_point_is_float32_within_a_hundredth_of_a_step(codes: list[int], size: int) -> None:
    scale, offset = size / 2**14, -1.5 * size
    values = decode(np.array(codes, np.uint16), {"scale_factor": scale, "add_offset": offset})
    assert values.dtype == np.float32
    # float32 rounds values of up to 2.5 sizes, 2.5 · 2^14 steps, thrice: 3 · 2.5 · 2^14 / 2^24 steps
    np.testing.assert_allclose(values, np.array(codes) * scale + offset, atol=0.01 * scale, rtol=0)


def test_index_write_sorts_entries(tmp_path: Path) -> None:
    entries = [ShardEntry(f"{name}.h5", 1, 1000, "0" * 64) for name in "cab"]
    skipped = [SkippedSample(name, "a.h5", "bad") for name in "zyx"]
    Index("0", {}, {"samples": 500}, entries, skipped).write(tmp_path)
    found = Index.read(tmp_path)
    assert [entry.file for entry in found.shards] == ["a.h5", "b.h5", "c.h5"]
    assert [entry.name for entry in found.skipped] == ["x", "y", "z"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset.json"]


# Reading


def test_reader_read_gives_fields_as_they_are_stored(built: Path, reader: ShardReader) -> None:
    assert reader.shard_samples == (2, 1, 2, 1, 2, 1) and sum(reader.shard_samples) == N
    assert reader.files[0] == "AFW-00000.h5"
    assert reader.fields["posmap"] == ((U, U, 3), np.uint16)
    with h5py.File(built / "IBUG-00000.h5") as file:
        k = reader.names.index(file["name"].asstr()[1])
        for name in reader.fields:
            stored = file[name].asstr()[1] if name in ("name", "source") else file[name][1]
            np.testing.assert_array_equal(reader.read(k, name), stored, strict=name not in ("name", "source"))
    out = np.empty((U, U, 3), np.uint16)
    assert reader.read(k, "posmap", out) is out
    np.testing.assert_array_equal(decode(out, reader.attributes("posmap")), reader[k]["posmap"])
    for wrong in (out[:, ::-1], out[1:], out.astype(np.int32)):
        with pytest.raises(InputError, match="out: "):
            reader.read(k, "posmap", wrong)


def test_reader_of_an_unknown_field_raises_one_error_whichever_way_it_is_asked(reader: ShardReader) -> None:
    calls = {
        "read": lambda: reader.read(0, "nope"),
        "read into": lambda: reader.read(0, "nope", np.empty(3)),
        "gather": lambda: reader.gather([0], ["nope"]),
        "gather of none": lambda: reader.gather([], ["nope"]),
        "attributes": lambda: reader.attributes("nope"),
        "column": lambda: reader.column("nope"),
    }
    for way, call in calls.items():
        for kind in (DatasetError, KeyError):
            with pytest.raises(kind) as caught:
                call()
            assert "field 'nope': no such field, expected one of annotated_landmarks, " in str(caught.value), way
            assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_reader_gather_of_no_samples_has_the_fields_types(reader: ShardReader) -> None:
    names = list(reader.fields)
    none, some = reader.gather([], names), reader.gather([0, 1], names)
    assert none.keys() == some.keys()
    for name, values in some.items():
        assert type(none[name]) is type(values) and len(none[name]) == 0
        if isinstance(values, np.ndarray):
            assert (none[name].dtype, none[name].shape[1:]) == (values.dtype, values.shape[1:])


def test_reader_of_no_samples_says_so_whichever_way_a_field_is_asked_for(reader: ShardReader) -> None:
    none = reader.subset([])
    ways: dict[str, Any] = {
        "column": lambda: none.column("pose"), "columns": lambda: none.columns(["pose", "shape"]),
        "gather": lambda: none.gather([], ["pose"]), "attributes": lambda: none.attributes("pose"),
    }  # fmt: skip
    for way, ask in ways.items():
        with pytest.raises(FieldError, match=r"field 'pose': no samples, expected a data set that has some"):
            pytest.fail(f"{way}: {ask()}")
    assert (len(none), none.names, none.fields, none[:]) == (0, [], {}, {})


def test_reader_gather_stacks_fields_across_shards(reader: ShardReader) -> None:
    keys = [8, 0, 3]
    found = reader.gather(keys, ["pose", "name", "image_height"])
    assert found["name"] == [reader[k]["name"] for k in keys]
    np.testing.assert_array_equal(found["pose"], [reader[k]["pose"] for k in keys])
    assert found["image_height"].dtype == np.int32


def test_reader_samples_are_the_callers_own(reader: ShardReader) -> None:
    reader[0]["pose"][:] = 0
    reader[0]["image"][:] = 0
    assert reader[0]["pose"].any() and reader[0]["image"].any()


def test_open_shards_of_folder_or_index_reads_every_sample(built: Path, reader: ShardReader) -> None:
    assert len(reader) == len(open_shards(built / "dataset.json")) == N
    assert reader.names == sorted(reader.names) and len(set(reader.names)) == N
    assert [sample["name"] for sample in reader] == reader.names
    assert reader.config.build.size == R
    assert set(reader[0]) == {
        "image", "posmap", "shape", "expression", "pose", "image_to_crop", "crop_pose", "image_height", "landmarks",
        "annotated_landmarks", "label_nme", "label_nme_jaw", "name", "source",
    }  # fmt: skip


@given(key=st.integers(-N, N - 1))
@settings(max_examples=2 * N)  # each key once
def test_reader_index_counts_as_a_list_does(built: Path, key: int) -> None:
    reader = open_shards(built)
    assert reader[key]["name"] == reader.names[key]
    assert_equal_samples(reader[key], reader[np.int64(key)])  # type: ignore[call-overload]


@given(key=st.slices(N + 3))
@examples(30)
def test_reader_slice_stacks_what_indices_give(built: Path, key: slice) -> None:
    reader = open_shards(built)
    expected = [reader[k] for k in range(N)[key]]
    found = reader[key]
    if not expected:
        assert all(len(values) == 0 for values in found.values())
        return
    assert found.keys() == expected[0].keys()
    assert found["name"] == reader.names[key]
    for name, values in found.items():
        np.testing.assert_array_equal(values, [sample[name] for sample in expected], err_msg=name)


@pytest.mark.parametrize("key", [N, -N - 1, 10**9])
def test_reader_index_out_of_range_is_an_index_error(reader: ShardReader, key: int) -> None:
    with pytest.raises(IndexError, match=f"{key} of {N}"):
        reader[key]


@pytest.mark.parametrize("key", [1.0, 1.5, None, (0, 1)])
def test_reader_index_of_another_type_is_a_type_error(reader: ShardReader, key: Any) -> None:
    with pytest.raises(TypeError):
        reader[key]


def bare(folder: Path) -> ShardReader:
    """A reader that knows no fields: of shards of numbers."""
    return ShardReader(folder, Index.read(folder), None)


def test_reader_many_shards_keeps_few_open(plain: Path) -> None:
    reader = bare(plain)
    assert [int(sample["value"]) for sample in reader] == list(range(200))
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("no /proc to count open files in")
    links = [str(link.readlink()) for link in descriptors.iterdir() if link.is_symlink()]
    assert 0 < sum(link.startswith(str(plain)) for link in links) <= 64
    assert int(reader[0]["value"]) == 0  # its file was closed meanwhile, and opens again


# Processes


@pytest.mark.slow
def test_reader_of_many_shards_serves_threads(tree: Path, model_path: Path, tmp_path: Path, monkeypatch) -> None:
    have(tree, model_path, tmp_path / "out", dataclasses.replace(SMALL, shard_size=1))
    reader = open_shards(tmp_path / "out")
    monkeypatch.setattr("uvgen.shards.pool._MAX_OPEN", 2)
    expected = [sample["posmap"].sum(dtype=np.float64) for sample in reader]
    order = np.random.default_rng(0).integers(0, len(reader), 200).tolist()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda k: reader[k]["posmap"].sum(dtype=np.float64), order))
    finally:
        sys.setswitchinterval(interval)
    assert found == [expected[k] for k in order]


def test_reader_fields_of_samples_count_as_a_list_does(reader: ShardReader) -> None:
    assert reader.read(-1, "name") == reader.names[-1]
    assert reader.gather([0, -2], ["name"])["name"] == [reader.names[0], reader.names[-2]]
    assert reader.shard_range(-1)[1] == len(reader)
    for key in (len(reader), -len(reader) - 1):
        for call in (lambda k: reader.read(k, "name"), lambda k: reader.gather([k], ["name"]), reader.shard_range):
            with pytest.raises(IndexError, match=f"sample {key} of {len(reader)}"):
                call(key)


def test_reader_pickled_with_open_files_reads_the_same(reader: ShardReader) -> None:
    expected = read_all(reader)
    data = pickle.dumps(reader)
    assert len(data) < 10_000  # no arrays travel
    assert read_all(pickle.loads(data)) == expected == read_all(reader)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_reader_with_open_files_survives_a_fork(reader: ShardReader) -> None:
    expected = read_all(reader)
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            found = read_all(reader)
            os.write(sender, "".join(found).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(sender)
    assert read_all(reader) == expected  # at the same time, through the parent's own handles
    with open(receiver) as pipe:
        assert pipe.read() == "".join(expected)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.slow
def test_reader_in_fresh_worker_processes_reads_the_same(reader: ShardReader, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    expected = read_all(reader)  # opens files, so that open handles would have to travel
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(read_all, (reader,)) == expected


# Damage


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a data set's index"),
        ("{half", "not a data set's index"),
        ("[]", "not a data set's index"),
        ('"text"', "not a data set's index"),
        ('{"format": "MDS"}', "not a data set's index"),
        ('{"format": "uvgen-dataset", "version": 99}', "version 99, expected 3; build the data set again"),
        ('{"format": "uvgen-dataset", "version": 1}', "version 1, expected 3; build the data set again"),
        ('{"format": "uvgen-dataset", "version": 3}', "not a data set's index"),
    ],
)
def test_open_shards_damaged_index_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DatasetError, match=rf"dataset\.json: .*{message}"):
        open_shards(tmp_path)


@pytest.mark.parametrize(
    ("plan", "message"),
    [({}, "'samples'"), ([], "not an object"), ({"samples": 2}, "more than its plan's"), (None, "")],
)
def test_open_shards_of_an_index_whose_plan_cannot_be_is_refused(plain: Path, plan: Any, message: str) -> None:
    edit_index(plain, lambda index: index.update(plan=plan))
    with pytest.raises(DatasetError, match=rf"dataset\.json: not a data set's index \(.*{message}"):
        open_shards(plain)


def test_open_shards_without_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.json: no such file, .*uvgen build"):
        open_shards(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"file": "../outside.h5"}, id="file in another folder"),
        pytest.param({"samples": "two"}, id="count that is text"),
        pytest.param({"samples": -2}, id="negative count"),
    ],
)
def test_open_shards_impossible_entry_is_refused(plain: Path, change: dict[str, Any]) -> None:
    edit_index(plain, lambda content: content["shards"][0].update(change))
    with pytest.raises(DatasetError, match=r"dataset\.json"):
        open_shards(plain)


def test_open_shards_of_another_version_says_to_build_again(tmp_path: Path) -> None:
    """A set that an earlier uvgen made: one sample of 16 px, as it lay on disk."""
    old = Path(__file__).with_name("fixtures") / "version_1"
    with pytest.raises(DatasetError, match=r"dataset\.json: version 1, expected 3; build the data set again"):
        open_shards(old)
    with pytest.raises(DatasetError, match=r"toy-00000\.h5: attribute .* is text of variable length, .* Make the file"):
        OpenShard(old / "toy-00000.h5", 1)


def test_open_shards_ignores_what_it_does_not_know(plain: Path) -> None:
    edit_index(plain, lambda content: (content["shards"][0].update(color="red"), content.update(mood="blue")))
    edit_index(plain, lambda content: content["config"].update(size=64, taste="sweet"))
    assert open_shards(plain).config.build.size == 64 and len(open_shards(plain)) == 200


@pytest.mark.parametrize("damage", ["missing", "cut short", "no HDF5", "another HDF5 file"])
def test_reader_damaged_shard_is_named(plain: Path, damage: str) -> None:
    path = plain / "a-00001.h5"
    if damage == "missing":
        path.unlink()
    elif damage == "another HDF5 file":
        h5py.File(path, "w").close()
    else:
        path.write_bytes(path.read_bytes()[:1000] if damage == "cut short" else b"text")
    reader = bare(plain)
    with pytest.raises(DatasetError, match=r"a-00001\.h5: .*uvgen verify"):
        reader[2]
    assert int(reader[0]["value"]) == 0


@pytest.mark.skipif(os.name == "nt", reason="an open file stays there")
@pytest.mark.parametrize("isolated", [False, True])
def test_shard_that_is_deleted_while_it_is_opened_is_read_or_refused(
    plain: Path, monkeypatch: pytest.MonkeyPatch, isolated: bool
) -> None:
    """As from a cache, when another process needs its room; the reader fetches it again after a DatasetError."""
    path, opened = plain / "a-00001.h5", shard.open_hdf5

    def open_and_delete(*arguments: Any) -> Any:
        found = opened(*arguments)
        path.unlink()
        return found

    if not isolated:
        monkeypatch.setattr(shard, "open_hdf5", open_and_delete)
        assert OpenShard(path, 2).fields == ["value"]
        return
    process = Hdf5Process()
    monkeypatch.setattr(process, "ask", lambda *_, ask=process.ask: (ask(*_), path.unlink(missing_ok=True))[0])
    try:
        with pytest.raises(DatasetError, match=r"a-00001\.h5: "):
            OpenShard(path, 2, process=process)
    finally:
        process.close()


def test_reader_shard_with_other_row_count_than_listed_is_refused(plain: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["shards"][0]["samples"] = 3
        content["n_samples"] += 1

    edit_index(plain, change)
    with pytest.raises(DatasetError, match=r"a-00000\.h5: value has 2 rows, dataset\.json says 3"):
        open_shards(plain)[2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_folder_of_a_data_set_is_named_as_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # as a shell's <(…)
    (tmp_path / "file").write_text("text")
    for name, kind in (("pipe", "a named pipe"), ("file", "a file")):
        with pytest.raises(DatasetError, match=rf"{name}: {kind}, expected the folder of a data set"):
            open_shards(tmp_path / name)


def test_a_number_of_ones_own_that_is_stored_as_a_code_is_decoded(plain: Path) -> None:
    assert isinstance(bare(plain)[3]["value"], np.integer)
    for path in plain.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            file["value"].attrs.update(scale_factor=0.5, add_offset=1.0)
    assert float(bare(plain)[3]["value"]) == 2.5
