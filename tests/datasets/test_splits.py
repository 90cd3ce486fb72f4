"""Splits: whole photographs, the same ones in every set, and readers that take them."""

import json
import os
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builds import (
    assert_equal_samples,
    begun,
    by_name,
    edit_index,
    file_hashes,
    have,
    make,
    seal,
    set_texts,
)
from support.toy import write_sample

from uvgen import (
    Augmentation,
    augment_shards,
    describe_shards,
    merge_shards,
    open_shards,
    select_names,
    split_shards,
    verify_shards,
)
from uvgen.datasets import split_files
from uvgen.datasets.selection import Criteria
from uvgen.datasets.split_files import SPLITS, Split, read_splits, write_splits
from uvgen.datasets.splits import group_samples, train_and_val
from uvgen.errors import BusyError, DatasetError, InputError, OutputError
from uvgen.samples.photographs import photograph_of, source_photograph
from uvgen.storage.locks import locked

HALVES = {"train": 0.5, "val": 0.5}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Four photographs of IBUG in three versions each and their mirror images, one of them with a second face."""
    root = tmp_path_factory.mktemp("tree")
    for k in range(4):
        for version in range(3):
            for subset in ("IBUG", "IBUG_Flip"):
                write_sample(root / subset, f"IBUG_image_{k:03d}_1_{version}", seed=10 * k + version)
    write_sample(root / "IBUG", "IBUG_image_000_2_0", seed=90)
    return root


@pytest.fixture(scope="module")
def built(tree, model_path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "shards"
    have(tree, model_path, out)
    return out


@pytest.fixture
def shards(built, tmp_path) -> Path:
    """The set, without splits, in a folder of the test's own."""
    out = tmp_path / "shards"
    out.mkdir()
    for path in built.iterdir():
        (out / path.name).hardlink_to(path)
    return out


def photographs(names) -> set[str]:
    return {source_photograph(name.rsplit("-", 1)[0] if name[-2] == "-" else name) for name in names}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IBUG/IBUG_image_008_1_0", "IBUG/IBUG_image_008"),
        ("IBUG/IBUG_image_008_1_13", "IBUG/IBUG_image_008"),
        ("IBUG/IBUG_image_008_2_0", "IBUG/IBUG_image_008"),  # another face of the photograph
        ("IBUG_Flip/IBUG_image_008_1_0", "IBUG/IBUG_image_008"),
        ("LFPW/LFPW_image_train_0001_0", "LFPW/LFPW_image_train_0001"),
        ("LFPW/LFPW_image_train_0001_7", "LFPW/LFPW_image_train_0001"),
        ("LFPW/LFPW_image_test_0001_7", "LFPW/LFPW_image_test_0001"),
        ("AFW/AFW_1051618982_1_0", "AFW/AFW_1051618982"),
        ("HELEN_Flip/HELEN_100032540_1_14", "HELEN/HELEN_100032540"),
        ("image00050", "image00050"),
        ("photos/2024_05_17", "photos/2024_05_17"),  # not of 300W-LP: numbers mean nothing
        ("photos_flip/a", "photos/a"),
        ("party-face2", "party"),  # of uvgen fit --faces all
        ("me/party-face12", "me/party"),
        ("me/party_face2", "me/party"),  # of a list of parameters
        ("me/face2", "me/face2"),
    ],
)
def test_source_photograph_of_published_names_is_their_photograph(name, expected) -> None:
    assert source_photograph(name) == expected


def test_set_whose_names_have_more_digits_than_python_reads_is_used_like_any_other(built, tmp_path) -> None:
    shards = shutil.copytree(built, tmp_path / "shards")  # no links: they are changed
    for path in sorted(shards.glob("AFW-*.h5")):
        with h5py.File(path) as file:
            n = len(file["name"])
        set_texts(path, "name", [f"AFW/{path.stem}_{k}_{5000 * '9'}" for k in range(n)])
    edit_index(shards, lambda content: [entry.pop("names") for entry in content["shards"]])
    seal(shards)
    assert verify_shards(shards).sound
    assert describe_shards(shards).quality is not None
    assert len(select_names(shards, Criteria(max_nme=1))) > 0
    merge_shards(shards, tmp_path / "merged", shard_size=3)


def test_photograph_of_a_version_has_as_many_digits_as_a_file_s_name() -> None:
    assert photograph_of("AFW_1_" + 255 * "7") == ("AFW_1", int(255 * "7"))
    assert photograph_of("AFW_1_" + 5000 * "7") is None


def test_split_never_divides_a_photograph_and_gives_each_sample_one_part(shards) -> None:
    result = split_shards(shards, HALVES)
    train, val = (set(split.samples) for split in result.splits)
    assert photographs(train).isdisjoint(photographs(val))
    assert train | val == set(open_shards(shards).names) and result.left_out == 0
    assert result.photographs == {"train": 2, "val": 2}


@pytest.mark.slow
def test_split_of_augmented_copies_is_that_of_their_source(shards, tmp_path) -> None:
    augment_shards(shards, tmp_path / "copies", Augmentation(rotation_deg=(-20, 20)), copies=2)
    plain, copied = (
        {split.name: photographs(split.samples) for split in split_shards(path, HALVES, seed=3).splits}
        for path in (shards, tmp_path / "copies")
    )
    assert plain == copied


def test_split_depends_on_the_seed_alone_and_writes_the_same_bytes(shards) -> None:
    split_shards(shards, HALVES, seed=1)
    first = (shards / SPLITS).read_bytes()
    split_shards(shards, HALVES, seed=1)
    assert (shards / SPLITS).read_bytes() == first
    others = {split_shards(shards, HALVES, seed=seed, overwrite=True).splits[0].samples for seed in range(8)}
    assert len(others) > 1


def test_split_that_is_there_is_replaced_with_overwrite_alone(shards) -> None:
    split_shards(shards, {"train": 0.75, "val": 0.25})
    before = (shards / SPLITS).read_bytes()
    with pytest.raises(OutputError, match=r"splits.json: has a split train of \d+ other samples already"):
        split_shards(shards, HALVES)
    assert (shards / SPLITS).read_bytes() == before
    split_shards(shards, {"test": 1.0})
    assert set(read_splits(shards / SPLITS)) == {"train", "val", "test"}
    split_shards(shards, HALVES, overwrite=True)
    assert read_splits(shards / SPLITS)["train"].made == {"fraction": 0.5, "seed": 0, "by": "photograph"}


@given(st.integers(1, 40), st.integers(0, 99), st.booleans())
def test_group_samples_keeps_each_sample_once_and_versions_together(n, seed, copies) -> None:
    rng = np.random.default_rng(seed)
    end = "-0" if copies else ""
    names = [
        f"HELEN{flip}/HELEN_{k}_{face}_{version}{end}"
        for k in range(n)
        for flip in ("", "_Flip")
        for face in range(1, 1 + rng.integers(1, 3))
        for version in range(rng.integers(1, 4))
    ]
    groups = group_samples(names, copies=copies)
    assert len(groups) == n
    assert sorted(name for group in groups.values() for name in group) == sorted(names)


def test_train_and_val_of_augmented_copies_share_no_photograph() -> None:
    names = [f"HELEN/HELEN_{photo}_1_{version}-{copy}" for photo in range(30) for version in (0, 1) for copy in (0, 1)]
    train, val = (photographs(part) for part in train_and_val(names, copies=True))
    assert train and val and not train & val


@pytest.mark.parametrize(
    ("by", "n_groups"),
    [("photograph", 4), ("sample", 25), (r"image_(\d+)", 4), ("^IBUG(_Flip)?/", 2), (r"_\d$", 3)],
)
def test_group_samples_by_photograph_sample_or_expression(built, by, n_groups) -> None:
    assert len(group_samples(open_shards(built).names, by)) == n_groups


@pytest.mark.parametrize(
    ("fractions", "options", "message"),
    [
        ({}, {}, "fractions: none"),
        ([0.9, 0.1], {}, r"fractions: \[0.9, 0.1\], expected a mapping"),
        (HALVES, {"by": 1}, "by: 1, expected photograph, sample or a regular expression"),
        ({"train": 0.9, "val": 0.2}, {}, "sum to 1.1, expected 1"),
        ({"train": 0.0}, {}, "train = 0.0, expected a share above 0"),
        ({"train": float("nan")}, {}, "train = nan, expected a share"),
        ({"a/b": 0.5}, {}, "split 'a/b': expected a name of letters"),
        ({"train": 0.99, "val": 0.01}, {}, r"val = 0.01 of 4 photographs is none \(versions of one, and"),
        (HALVES, {"by": "["}, r"by: '\['"),
        (HALVES, {"by": "AFW"}, "by: 'AFW' does not match IBUG/"),
        (HALVES, {"seed": 0.5}, "seed: 0.5"),
    ],
)
def test_split_refuses_what_cannot_be_divided(shards, fractions, options, message) -> None:
    with pytest.raises(InputError, match=message):
        split_shards(shards, fractions, **options)
    assert not (shards / SPLITS).exists()


def test_open_shards_reads_a_split_as_the_whole_set_has_it(shards) -> None:
    split_shards(shards, {"val": 0.5})
    whole, part = open_shards(shards), open_shards(shards, split="val")
    assert 0 < len(part) < len(whole)
    samples = by_name(shards)
    place = {name: k for k, name in enumerate(whole.names)}
    assert [place[name] for name in part.names] == sorted(place[name] for name in part.names)
    for sample in part:
        assert_equal_samples(sample, samples[sample["name"]])
    np.testing.assert_array_equal(part.column("pose"), np.stack([samples[name]["pose"] for name in part.names]))
    assert sum(part.shard_samples) == len(part) == len(part.names)
    assert part[-1]["name"] == part.names[-1] and part[1:3]["name"] == part.names[1:3]
    for key in range(len(part)):
        first, stop = part.shard_range(key)
        assert first <= key < stop
    assert pickle.loads(pickle.dumps(part)).names == part.names
    with pytest.raises(IndexError):
        part[len(part)]


def test_reader_subset_of_a_subset_counts_as_a_list_does(built) -> None:
    whole = open_shards(built)
    part = whole.subset([7, 3, 3, -1, 12])
    assert part.names == [whole.names[k] for k in (3, 7, 12, len(whole) - 1)]
    assert part.subset([-1, 0]).names == [part.names[0], part.names[-1]]
    assert len(whole.subset([])) == 0 and whole.subset([]).names == [] and whole.subset([]).shard_samples == ()


def test_open_shards_takes_names_and_list_files(built, tmp_path) -> None:
    names = open_shards(built).names
    assert open_shards(built, names=names[5:2:-1]).names == names[3:6]
    (tmp_path / "list.txt").write_text("# chosen\n" + f"{names[9]}.jpg\n\n{names[2]}\n")
    assert open_shards(built, names=tmp_path / "list.txt").names == [names[2], names[9]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["nobody"]}, "1 listed sample is not there, first nobody; names look like IBUG/"),
        ({"names": []}, "names none"),
        ({"names": "missing.txt"}, "missing.txt: cannot be read"),
        ({"split": "train"}, "splits.json: no such file, expected the splits that `uvgen split` wrote"),
        ({"split": "a", "names": ["b"]}, "names and split are both given"),
    ],
)
def test_open_shards_with_names_that_are_not_there_says_so(shards, options, message) -> None:
    with pytest.raises((InputError, DatasetError), match=message):
        open_shards(shards, **options)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], r"splits\.json: split train lists no samples, expected one or more; run `uvgen split` again"),
        (["x"], r"splits\.json: split train: 1 listed sample is not there, first x; .*; run `uvgen split` again"),
    ],
)
def test_a_split_that_does_not_fit_the_set_is_named_with_its_file(shards, tmp_path, samples, message) -> None:
    write_splits(shards / SPLITS, [Split("train", tuple(samples), {})])
    with pytest.raises(InputError, match=message):
        open_shards(shards, split="train")
    with pytest.raises(InputError, match=message):
        select_names(shards, Criteria(split="train"))
    with pytest.raises(InputError, match=message):
        merge_shards(shards, tmp_path / "out", split="train")


def test_open_shards_with_another_split_names_those_that_are_there(shards) -> None:
    split_shards(shards, HALVES)
    with pytest.raises(InputError, match=r"split 'test': not in .*splits.json, which has train, val"):
        open_shards(shards, split="test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be used"),
        ("[]", r"it is \[\], expected a JSON object"),
        ("{}", "format None"),
        ('{"format": "uvgen-splits", "version": 1}', "splits"),
        ('{"format": "uvgen-splits", "version": 2, "splits": {}}', "version 2"),
        ('{"format": "uvgen-splits", "version": 1, "splits": {"a": {"samples": "b"}}}', "not a list of names"),
        ('{"format": "uvgen-splits", "version": 1, "splits": {"a": {"samples": [1]}}}', "not a list of names"),
        ('{"format": "uvgen-splits", "version": 1, "splits": {"a": {"samples": ["b", "b"]}}}', "lists a sample twice"),
        ('{"format": "uvgen-splits", "version": 1, "splits": {"a": []}}', r"a is \[\], expected a JSON object"),
        ('{"format": "uvgen-splits", "version": 1, "splits": {"../a": {"samples": ["b"]}}}', "expected a name of"),
        (
            r'{"format": "uvgen-splits", "version": 1, "splits": {"a": {"samples": ["\ud800"]}}}',
            "half a surrogate pair",
        ),
        (
            r'{"format": "uvgen-splits", "version": 1, "splits": {"a": {"samples": [], "\udfff": 1}}}',
            "half a surrogate",
        ),
    ],
)
def test_read_splits_of_another_file_names_it_and_what_is_expected(tmp_path, text, message) -> None:
    path = tmp_path / SPLITS
    path.write_text(text)
    with pytest.raises(
        DatasetError, match=f"splits.json: .*{message}.*`uvgen split` wrote; delete it, and run that again"
    ):
        read_splits(path)


def test_verify_accepts_splits_and_finds_those_of_another_set(shards) -> None:
    split_shards(shards, HALVES)
    assert verify_shards(shards).problems == ()
    write_splits(shards / SPLITS, [Split("old", ("gone", open_shards(shards).names[0]), {})])
    (problem,) = verify_shards(shards).problems
    assert "splits.json: split old lists 1 sample that is not in the set, first gone" in problem


def test_rerun_keeps_splits_and_changes_nothing(tree, model_path, tmp_path) -> None:
    have(tree, model_path, tmp_path / "out")
    split_shards(tmp_path / "out", HALVES)
    before = file_hashes(tmp_path / "out")
    assert make(tree, model_path, tmp_path / "out").new_samples == 0
    assert file_hashes(tmp_path / "out") == before


def test_splits_of_a_folder_that_another_process_holds_are_refused(shards, monkeypatch) -> None:
    """A build holds it for hours, and a process that is stopped for ever."""
    monkeypatch.setattr(split_files, "_WAIT_S", 0.0)
    with locked(shards, wait=True), pytest.raises(BusyError, match="another uvgen is writing into it; wait for it"):
        split_shards(shards, HALVES)
    assert not (shards / SPLITS).exists()
    split_shards(shards, HALVES)


def test_splits_are_written_elsewhere_where_asked(shards, tmp_path) -> None:
    result = split_shards(shards, HALVES, out=tmp_path / "mine.json")
    assert result.path == tmp_path / "mine.json" and not (shards / SPLITS).exists()
    content = json.loads(result.path.read_text())
    assert content["splits"]["val"]["samples"] == list(result.splits[1].samples)


def test_select_names_meets_all_criteria_and_drop_names_the_others(shards) -> None:
    reader = open_shards(shards)
    names, nme = reader.names, reader.column("label_nme")
    yaw = np.abs(np.degrees(reader.column("crop_pose")[:, 1]))
    middle = float(np.median(nme))
    expected = [
        n for n, e, y in zip(names, nme, yaw, strict=True) if e <= middle and 20 <= y <= 60 and "_Flip" not in n
    ]
    criteria = Criteria(max_nme=middle, min_yaw_deg=20, max_yaw_deg=60, subsets=["IBUG"])
    chosen = select_names(shards, criteria)
    assert chosen == expected and 0 < len(chosen) < len(names)
    assert select_names(shards, criteria, drop=True) == [name for name in names if name not in expected]


def test_select_names_of_whole_photographs_brings_all_versions_along(shards) -> None:
    chosen = select_names(shards, Criteria(names=["IBUG/IBUG_image_002_1_1"]), whole_photographs=True)
    assert photographs(chosen) == {"IBUG/IBUG_image_002"} and len(chosen) == 6


def test_select_names_of_a_set_without_samples_says_so(shards, tmp_path) -> None:
    with pytest.raises(InputError, match="begun: holds no samples, expected some to choose from"):
        select_names(begun(shards, tmp_path / "begun"), Criteria(max_nme=0.1))


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        (Criteria(subsets=["HELEN"]), "subset 'HELEN': not in the set, which has IBUG, IBUG_Flip"),
        (Criteria(min_nme=0.2, max_nme=0.1), "label NME: from 0.2 to 0.1, expected a range"),
        (Criteria(min_yaw_deg=float("nan")), "yaw: from nan"),
        (Criteria(names=["nobody"]), "not there, first nobody"),
    ],
)
def test_select_names_refuses_criteria_that_mean_nothing(shards, criteria, message) -> None:
    with pytest.raises(InputError, match=message):
        select_names(shards, criteria)


@pytest.mark.parametrize("listed", ["{name}.jpg", "# {name}", "", " {name}"])
def test_a_part_lists_names_as_they_are_and_others_are_named(shards, listed) -> None:
    """Lists of people may have suffixes and remarks; a part that is counted in samples may not lose one to them."""
    first, second = open_shards(shards).names[:2]
    write_splits(shards / SPLITS, [Split("train", (first, listed.format(name=second)), {})])
    with pytest.raises(InputError, match=r"split train: 1 listed sample is not there, first .*; run `uvgen split`"):
        open_shards(shards, split="train")


def test_a_part_is_refused_where_no_file_can_be_written_and_what_takes_the_names_is_said(
    uvgen, shards, monkeypatch
) -> None:
    monkeypatch.setattr("uvgen.cli.select.os.access", lambda path, mode: mode != os.W_OK)
    result = uvgen("select", shards, "--max-yaw", 180, "--as", "all")
    assert result.exit_code == 1 and "cannot be written, expected a folder that takes splits.json" in result.stderr
    assert "(--out), or copy the samples (--copy)" in result.stderr and not (shards / SPLITS).exists()
    assert uvgen("select", shards, "--max-yaw", 180, "--out", "-").exit_code == 0


@pytest.mark.parametrize("fractions", [HALVES, {"train": 0.4, "val": 0.4}])
def test_build_says_once_that_a_new_sample_is_in_no_split(
    fractions: dict[str, float], tmp_path: Path, model_path: Path
) -> None:
    """Unless some samples were to be in none."""
    tree, out = tmp_path / "tree", tmp_path / "out"
    for k in range(6):
        write_sample(tree / "IBUG", f"IBUG_image_{k:03d}_1_0", seed=k)
    bad = tree / "IBUG/IBUG_image_003_1_0.jpg"
    sound = bad.read_bytes()
    bad.write_bytes(b"cut")
    assert not make(tree, model_path, out).warnings
    split_shards(out, fractions)
    bad.write_bytes(sound)
    said = [[one for one in make(tree, model_path, out).warnings if SPLITS in one] for _ in range(2)]
    assert [len(some) for some in said] == [int(fractions is HALVES), 0]
    assert all(
        "1 sample is in none of its splits (train, val), first IBUG/IBUG_image_003_1_0; run" in one for one in said[0]
    )
