"""Data sets put together and parts of one: the same bits in new shards."""

import dataclasses
import hashlib
import math
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.builds import SMALL, assert_equal_samples, by_name, edit_index, file_hashes, have, make
from support.toy import write_tree

from uvgen import (
    Augmentation,
    RunOptions,
    augment_shards,
    build_shards,
    find_samples,
    load_model,
    merge_shards,
    open_shards,
    split_shards,
    verify_shards,
)
from uvgen.datasets.fields import Field
from uvgen.datasets.merge import _are_alike, _unlike
from uvgen.errors import DatasetError, InputError, OutputError
from uvgen.shards.constants import constants_bytes, read_constants, write_constants
from uvgen.shards.shard import OpenShard

CONFIGS = {
    "raw": SMALL,
    "jpeg": dataclasses.replace(SMALL, image_codec="jpeg"),
    "gzip": dataclasses.replace(SMALL, compression="gzip"),
    "no maps": dataclasses.replace(SMALL, maps="none", posmap_dtype="float32"),
    "flips": dataclasses.replace(SMALL, augmentation=Augmentation(flip=0.5), copies=2),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp("tree"))


QUICK = ("raw", "no maps")


@pytest.fixture(
    scope="module", params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS]
)
def built(request, tree, model_path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "shards"
    have(tree, model_path, out, CONFIGS[request.param])
    return out


@pytest.fixture(scope="module")
def plain(tree, model_path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "shards"
    have(tree, model_path, out)
    return out


def test_merge_of_a_whole_set_gives_its_bytes(built, tmp_path) -> None:
    merge_shards(built, tmp_path / "out")
    whole, copied = file_hashes(built), file_hashes(tmp_path / "out")
    edit_index(tmp_path / "out", lambda content: content["plan"].pop("merged_from"))
    copied["dataset.json"] = hashlib.sha256((tmp_path / "out/dataset.json").read_bytes()).hexdigest()
    if "flipped" in open_shards(built).fields:  # its shards are of one copy each; here they are filled
        del whole["dataset.json"], copied["dataset.json"]
        assert whole["constants.npz"] == copied["constants.npz"]
    else:
        assert whole == copied


def test_merge_keeps_every_field_stored_as_the_source_stores_it(tree, model_path, tmp_path) -> None:
    """Fields that mark unseen texels too: one sample a chunk, so that reading one costs one read."""
    marking = Augmentation(yaw_deg=(-40, 40), unseen="mark")
    have(tree, model_path, tmp_path / "in", dataclasses.replace(SMALL, augmentation=marking, targets=("depth",)))
    merge_shards(tmp_path / "in", tmp_path / "out")
    for name in [file for file in file_hashes(tmp_path / "in") if file.endswith(".h5")]:
        with h5py.File(tmp_path / "in" / name) as source:
            assert source["unseen"].chunks == (1, SMALL.uv_size, SMALL.uv_size)
            with h5py.File(tmp_path / "out" / name) as made:
                assert {field: made[field].chunks for field in made} == {
                    field: source[field].chunks for field in source
                }
        assert (tmp_path / "in" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    for folder in ("in", "out"):
        assert verify_shards(tmp_path / folder, model=load_model(model_path)).problems == ()


def test_merge_of_the_parts_holds_every_sample_as_it_was(built, model_path, tmp_path) -> None:
    shutil.copytree(built, tmp_path / "shards")
    split_shards(tmp_path / "shards", {"train": 0.5, "val": 0.5})
    parts = [tmp_path / "train", tmp_path / "val"]
    for part in parts:
        merge_shards(tmp_path / "shards", part, split=part.name)
        assert open_shards(part).names == open_shards(tmp_path / "shards", split=part.name).names
    merge_shards(parts, tmp_path / "both")
    expected, found = by_name(built), by_name(tmp_path / "both")
    assert found.keys() == expected.keys()
    for name, sample in found.items():
        assert_equal_samples(sample, expected[name])
    for folder in (*parts, tmp_path / "both"):
        assert verify_shards(folder, model=load_model(model_path)).problems == ()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["raw", pytest.param("flips", marks=pytest.mark.long)])
def test_merge_by_workers_gives_the_same_bytes(tree, model_path, tmp_path, kind) -> None:
    have(tree, model_path, tmp_path / "in", CONFIGS[kind])
    names = open_shards(tmp_path / "in").names[::2]
    for workers in (1, 2):
        merge_shards(tmp_path / "in", tmp_path / f"{workers}", names=names, run=RunOptions(workers))
    assert file_hashes(tmp_path / "1") == file_hashes(tmp_path / "2")


def test_merge_of_augmented_copies_is_sound(plain, model_path, tmp_path) -> None:
    augment_shards(plain, tmp_path / "copies", Augmentation(rotation_deg=(-20, 20)), copies=3)
    names = open_shards(tmp_path / "copies").names[::2]
    merge_shards(tmp_path / "copies", tmp_path / "out", names=names)
    assert open_shards(tmp_path / "out").names == names
    assert verify_shards(tmp_path / "out", model=load_model(model_path)).problems == ()


def test_merge_cuts_shards_within_subsets_at_the_set_s_size(tree, model_path, tmp_path) -> None:
    samples = find_samples(tree)
    for k in range(3):  # one sample of each subset each
        chosen = [sample for sample in samples if f"_{k:03d}_" in sample.name]
        build_shards(chosen, tmp_path / str(k), model=load_model(model_path), config=SMALL, root=tree)
    result = merge_shards([tmp_path / str(k) for k in range(3)], tmp_path / "out")
    assert [path.name for path in result.files] == [
        f"{subset}-0000{k}.h5" for subset in ("AFW", "IBUG", "IBUG_Flip") for k in range(2)
    ]
    assert open_shards(tmp_path / "out").shard_samples == (2, 1) * 3
    assert open_shards(tmp_path / "out").names == [sample.name for sample in samples]


@pytest.mark.parametrize("kind", ["raw", pytest.param("jpeg", marks=[pytest.mark.slow, pytest.mark.long])])
def test_merge_to_another_shard_size_gives_the_bytes_of_a_build_with_it(tree, model_path, tmp_path, kind) -> None:
    sizes = [(2, "in"), (1, "single"), (5, "five")]
    for size, folder in sizes:
        have(tree, model_path, tmp_path / folder, dataclasses.replace(CONFIGS[kind], shard_size=size))
    for size, folder in sizes[1:]:
        merge_shards(tmp_path / "in", tmp_path / "out", shard_size=size, overwrite=True)
        assert verify_shards(tmp_path / "out", model=load_model(model_path)).problems == ()
        edit_index(tmp_path / "out", lambda content: content["plan"].pop("merged_from"))
        made, built = file_hashes(tmp_path / "out"), file_hashes(tmp_path / folder)
        made["dataset.json"] = hashlib.sha256((tmp_path / "out/dataset.json").read_bytes()).hexdigest()
        assert made == built


def test_merge_of_sets_that_differ_in_shard_size_alone_needs_the_new_one(plain, tree, model_path, tmp_path) -> None:
    names = [sample.name for sample in find_samples(tree)]
    have(tree, model_path, tmp_path / "all", dataclasses.replace(SMALL, shard_size=3))
    merge_shards(plain, tmp_path / "a", names=names[::2])
    merge_shards(tmp_path / "all", tmp_path / "b", names=names[1::2])
    with pytest.raises(InputError, match=r"b: was made with shard_size = 3, not 2, expected the settings of .*a"):
        merge_shards([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    merge_shards([tmp_path / "a", tmp_path / "b"], tmp_path / "out", shard_size=4)
    assert max(open_shards(tmp_path / "out").shard_samples) > 2
    found, expected = by_name(tmp_path / "out"), by_name(plain)
    assert found.keys() == expected.keys()
    for name, sample in found.items():
        assert_equal_samples(sample, expected[name])
    assert verify_shards(tmp_path / "out", model=load_model(model_path)).problems == ()


@pytest.mark.parametrize("size", [0, -1, 2.5, 1 << 21])
def test_merge_refuses_a_shard_size_that_is_none(plain, tmp_path, size) -> None:
    with pytest.raises(InputError, match="shard_size"):
        merge_shards(plain, tmp_path / "out", shard_size=size)
    assert not (tmp_path / "out").exists()


def test_merge_goes_on_where_it_stopped(plain, tmp_path) -> None:
    merge_shards(plain, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        merge_shards(plain, tmp_path / "out", progress=_interrupt)
    result = merge_shards(plain, tmp_path / "out")
    assert 0 < result.new_samples < result.samples
    assert file_hashes(tmp_path / "out") == file_hashes(tmp_path / "whole")


def test_merge_does_not_go_on_with_other_sources(plain, tree, model_path, tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        merge_shards(plain, tmp_path / "out", progress=_interrupt)
    shutil.copytree(plain, tmp_path / "other")
    with h5py.File(tmp_path / "other/IBUG-00000.h5", "r+") as file:
        file["landmarks"][0, 0] += 1
    path = tmp_path / "other/IBUG-00000.h5"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_index(
        tmp_path / "other",
        lambda content: [e.update(sha256=digest) for e in content["shards"] if e["file"] == path.name],
    )
    with pytest.raises(OutputError, match="out: was made with other shards"):
        merge_shards(tmp_path / "other", tmp_path / "out")


def _interrupt(_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 40}, r"made with size = 40, not 32, expected the settings of .*plain"),
        ({"seed": 1}, "made with seed = 1, not 0"),
        ({"image_codec": "jpeg"}, "made with image_codec = jpeg, not raw"),
    ],
)
def test_merge_refuses_sets_of_other_settings(plain, tree, model_path, tmp_path, change, message) -> None:
    shutil.copytree(plain, tmp_path / "plain")
    have(tree, model_path, tmp_path / "other", dataclasses.replace(SMALL, **change))
    with pytest.raises(InputError, match=message):
        merge_shards([tmp_path / "plain", tmp_path / "other"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_merge_of_a_set_that_lacks_a_setting_says_so_in_words() -> None:
    assert _unlike("targets", ["depth"], None) == "targets = ['depth'], not without"
    assert _unlike("targets", None, ["depth"]) == "no targets, not ['depth']"
    assert _unlike("size", 32, 64) == "size = 32, not 64"


def test_merge_refuses_what_cannot_be_one_set(plain, tmp_path) -> None:
    shutil.copytree(plain, tmp_path / "again")
    with pytest.raises(InputError, match=r"sample AFW/AFW_000_1_0: in two of the data sets \(9 samples are\)"):
        merge_shards([plain, tmp_path / "again"], tmp_path / "out")
    with pytest.raises(InputError, match="sources: none"):
        merge_shards([], tmp_path / "out")
    with pytest.raises(InputError, match="is a source, expected another folder"):
        merge_shards([tmp_path / "again"], tmp_path / "again")
    with pytest.raises(InputError, match="not there, first nobody"):
        merge_shards(plain, tmp_path / "out", names=["nobody"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "synth.json").write_text("{}")
    with pytest.raises(OutputError, match="choose another"):
        merge_shards(plain, tmp_path / "full")
    assert not (tmp_path / "out").exists()


def test_merge_takes_no_constants_that_the_index_does_not_list(plain, tmp_path) -> None:
    """Their hash in the new set would be of what is there, and `verify` would call it sound."""
    shutil.copytree(plain, tmp_path / "set")
    path, mask = tmp_path / "set/constants.npz", np.ones((SMALL.uv_size, SMALL.uv_size), np.float32)
    write_constants(tmp_path / "set", constants_bytes({**read_constants(plain, SMALL.uv_size), "weight_mask": mask}))
    with pytest.raises(DatasetError, match=r"constants\.npz: changed; run `uvgen verify --repair"):
        merge_shards(tmp_path / "set", tmp_path / "out")
    path.unlink()
    with pytest.raises(DatasetError, match=r"constants\.npz: missing; run `uvgen verify --repair"):
        merge_shards(tmp_path / "set", tmp_path / "out")
    edit_index(tmp_path / "set", lambda content: content.pop("constants_sha256"))
    with pytest.raises(DatasetError, match=r"dataset\.json: lists no constants\.npz, expected one"):
        merge_shards(tmp_path / "set", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_merge_says_which_set_has_a_sample_twice(plain, tmp_path) -> None:
    shutil.copytree(plain, tmp_path / "set")

    def repeat(content) -> None:
        first, second = content["shards"][:2]
        names = second["names"].split("\n")
        second["names"] = "\n".join([first["names"].split("\n")[0], *names[1:]])

    edit_index(tmp_path / "set", repeat)
    with pytest.raises(InputError, match=r"set: sample AFW/AFW_000_1_0 more than once in it \(1 sample is\)"):
        merge_shards(tmp_path / "set", tmp_path / "out")
    with pytest.raises(DatasetError, match=r"set: sample AFW/AFW_000_1_0 more than once in it \(1 sample is\)"):
        augment_shards(tmp_path / "set", tmp_path / "out", "prnet")
    assert not (tmp_path / "out").exists()


def test_merge_of_a_damaged_shard_is_refused_and_leaves_no_copy_of_it(plain, tmp_path) -> None:
    shutil.copytree(plain, tmp_path / "bad set")
    shard = tmp_path / "bad set" / "IBUG-00000.h5"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DatasetError, match=r"IBUG-00000.h5: its SHA-256 .*; run `uvgen verify --repair '.*/bad set'`"):
        merge_shards(tmp_path / "bad set", tmp_path / "out")
    assert "IBUG-00000.h5" not in file_hashes(tmp_path / "out")


@pytest.mark.parametrize("what", ["merge", "augment"])
def test_source_shard_that_is_written_to_while_it_is_copied_is_noticed(plain, tmp_path, monkeypatch, what) -> None:
    """Its hash was compared before; what is copied of it would pass for sound."""
    source = Path(shutil.copytree(plain, tmp_path / "source"))
    read, left = OpenShard.read, ["IBUG-00000.h5"]

    def read_and_write(self: OpenShard, name: str, row: int) -> object:
        found = read(self, name, row)
        if left and name == "posmap":
            path = source / left.pop()
            data, status = bytearray(path.read_bytes()), path.stat()
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        return found

    monkeypatch.setattr(OpenShard, "read", read_and_write)
    with pytest.raises(DatasetError, match=r"source/IBUG-00000\.h5: its SHA-256 is not the one in the index"):
        merge_shards(source, tmp_path / "out") if what == "merge" else augment_shards(source, tmp_path / "out", "none")
    assert not (tmp_path / "out/IBUG-00000.h5").exists()


def test_merge_of_a_set_whose_shard_is_missing_names_it(plain, tmp_path) -> None:
    shutil.copytree(plain, tmp_path / "bad")
    (tmp_path / "bad/IBUG-00000.h5").unlink()
    with pytest.raises(DatasetError, match=r"IBUG-00000\.h5: (cannot be read|no such file)"):
        merge_shards(tmp_path / "bad", tmp_path / "out")


def test_merge_of_an_unfinished_set_is_refused(plain, tree, model_path, tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(tree, model_path, tmp_path / "part", progress=_interrupt)
    with pytest.raises(DatasetError, match=r"part: unfinished, \d samples are missing"):
        merge_shards(tmp_path / "part", tmp_path / "out")


def test_merge_of_fields_with_an_attribute_that_is_nan(tmp_path: Path) -> None:
    """As netCDF's `_FillValue` may be; NaN is another value than itself."""
    one, other = Field("float32", (2,), attributes={"a": math.nan, "b": [1, np.float32("nan")]}), None
    again = Field("float32", (2,), attributes={"a": float("nan"), "b": [1, np.float32("nan")]})
    assert _are_alike(one, again) and not _are_alike(one, other)
    assert not _are_alike(one, Field("float32", (2,), attributes={"a": 0.0, "b": [1, np.float32("nan")]}))
    assert not _are_alike(one, Field("float32", (3,), attributes=one.attributes))
