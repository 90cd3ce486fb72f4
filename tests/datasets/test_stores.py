"""Data sets in an object store: written, read, repeated and refused; the store is a folder that fails as it is told."""

import errno
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from support.builds import SMALL, assert_equal_samples, edit_index, file_hashes, have, listed_shards, make, seal
from support.stores import FolderStore, changing, failing, folder_store

from uvgen import (
    BuildConfig,
    augment_shards,
    build_shards,
    describe_shards,
    export_shards,
    find_samples,
    load_model,
    merge_shards,
    open_shards,
    repair_shards,
    split_shards,
    verify_shards,
    write_report,
)
from uvgen.augment import Augmentation
from uvgen.datasets import source
from uvgen.datasets.source import check_source_hash, check_unchanged
from uvgen.errors import DatasetError, InputError, OutputError, SettingsError
from uvgen.shards import pool, shard
from uvgen.shards import stored as stored_shards
from uvgen.shards.index import Index, ShardEntry
from uvgen.shards.stored import ReadAhead, with_shard
from uvgen.storage import object_cache, objects, transfers
from uvgen.storage.files import sha256_file
from uvgen.storage.object_cache import cached, cached_file, forget, objects_folder

URL = "s3://bucket/sets/one"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FolderStore]:
    with folder_store(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    from support.toy import write_tree

    folder = tmp_path_factory.mktemp("local")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder


@pytest.fixture
def stored(store: FolderStore, local: Path) -> Path:
    """The folder of the store that holds the set."""
    folder = store.folder / "bucket/sets/one"
    folder.mkdir(parents=True)
    for path in (local / "shards").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def build(local: Path, model_path: Path, url: str = URL, config: BuildConfig = SMALL, **options: object) -> object:
    return make(local / "300W_LP", model_path, url, config, **options)  # type: ignore[arg-type]


def listed_are_whole(folder: Path) -> bool:
    """Whether each shard that the store's index lists is there with the bytes of its hash."""
    entries = open_entries(folder)
    hashes = file_hashes(folder)
    return all(hashes.get(file) == sha256 for file, sha256 in entries.items())


def open_entries(folder: Path) -> dict[str, str]:
    from uvgen.shards.index import Index

    return {entry.file: entry.sha256 or "" for entry in Index.read(folder).shards if entry.samples}


def test_build_into_a_store_has_the_bytes_of_a_local_one(store: FolderStore, local: Path, model_path: Path) -> None:
    result = build(local, model_path)
    assert file_hashes(store.folder / "bucket/sets/one") == file_hashes(local / "shards")
    assert result.files[0] == f"{URL}/{listed_shards(local / 'shards')[0]}" and result.quality is not None  # type: ignore[attr-defined]


def test_build_from_a_store_has_the_bytes_of_a_local_one(store: FolderStore, local: Path, model_path: Path) -> None:
    for path in (local / "300W_LP").rglob("*.*"):
        place = store.folder / "bucket/300W_LP" / path.relative_to(local / "300W_LP")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    samples = find_samples("s3://bucket/300W_LP")
    assert store.calls["find"] == 1
    assert [sample.name for sample in samples] == [sample.name for sample in find_samples(local / "300W_LP")]
    build_shards("s3://bucket/300W_LP", URL, model=model_path, config=SMALL)
    found, expected = file_hashes(store.folder / "bucket/sets/one"), file_hashes(local / "shards")
    reasons = "dataset.json"  # which names the files of samples that were left out by their URL
    assert {**found, reasons: ""} == {**expected, reasons: ""}
    skipped = describe_shards(URL).skipped
    assert skipped == describe_shards(local / "shards").skipped


def test_samples_of_a_place_in_a_store_without_any_are_refused(store: FolderStore) -> None:
    with pytest.raises(DatasetError, match="s3://bucket/nothing: nothing is there, expected a folder like 300W-LP"):
        find_samples("s3://bucket/nothing")
    with pytest.raises(InputError, match=r"s3://bucket/list\.csv: a URL, expected a list of samples on this machine"):
        find_samples("s3://bucket/list.csv")


def test_open_shards_of_a_store_reads_what_a_local_one_does(local: Path, stored: Path, store: FolderStore) -> None:
    here, there = open_shards(local / "shards"), open_shards(URL)
    assert store.calls["get"] == 3  # the index, the constants, and no splits
    for left, right in zip(here, there, strict=True):
        assert_equal_samples(left, right)
    assert store.calls["get"] == 3 + len(here.files)
    np.testing.assert_array_equal(here.constants["weight_mask"], there.constants["weight_mask"])
    assert open_shards(URL, untrusted=True, check=True)[0]["name"] == here[0]["name"]
    assert store.calls["get"] == 3 + len(here.files) + 2  # constants are kept


def test_build_of_another_folder_of_the_store_into_an_unfinished_set_is_refused(
    local: Path, model_path: Path, store: FolderStore, tmp_path: Path
) -> None:
    from support.toy import write_sample

    one, two = (store.folder / "bucket" / name for name in ("one", "two"))
    for folder, first in ((one, 0), (two, 9)):
        for number in range(4):
            write_sample(folder, f"frame_{number}", first + number)
    build_shards("s3://bucket/one", tmp_path / "out", model=model_path, config=SMALL)
    sorted((tmp_path / "out").glob("*.h5"))[-1].unlink()
    with pytest.raises(SettingsError, match=r"holds frame_0 with other values of shape than .*frame_0\.mat"):
        build_shards("s3://bucket/two", tmp_path / "out", model=model_path, config=SMALL)
    assert build_shards("s3://bucket/one", tmp_path / "out", model=model_path, config=SMALL).new_samples == 2


def test_split_of_a_store_s_set_is_written_to_a_file_of_its_own(
    stored: Path, store: FolderStore, tmp_path: Path
) -> None:
    before = sorted(path.name for path in stored.iterdir())
    result = split_shards(URL, {"train": 0.5, "val": 0.5}, out=tmp_path / "halves.json")
    assert result.path == tmp_path / "halves.json" and sorted(path.name for path in stored.iterdir()) == before
    assert split_shards(stored, {"train": 0.5, "val": 0.5}).splits == result.splits
    with pytest.raises(InputError, match="is written into it; copy the set"):
        split_shards(URL, {"train": 0.5, "val": 0.5})


def test_open_shards_of_a_store_reads_its_splits(stored: Path, local: Path, store: FolderStore) -> None:
    split_shards(stored, {"train": 0.5, "val": 0.5})
    names = open_shards(stored, split="val").names
    assert open_shards(URL, split="val").names == names and names
    (stored / "splits.json").unlink()
    with pytest.raises(DatasetError, match=r"s3://bucket/sets/one"):
        open_shards(URL, split="val")


def test_open_shards_of_a_store_refuses_a_shard_of_another_content(stored: Path, store: FolderStore) -> None:
    file = listed_shards(stored)[0]
    store.faults.append(changing(99, lambda path: path.write_bytes(path.read_bytes()[::-1]), name=file))
    with pytest.raises(DatasetError, match=f"{URL}/{file}: its SHA-256 is not the one in the index, in 4 tries"):
        open_shards(URL)[0]


@pytest.mark.parametrize("check", [False, True])
def test_open_shards_of_a_store_fetches_again_what_was_damaged_in_the_cache(
    stored: Path, store: FolderStore, check: bool
) -> None:
    whole = list(open_shards(URL))
    before = store.calls["get"]
    for number, path in enumerate(sorted(objects_folder().glob("*.h5"))):
        size = path.stat().st_size
        path.write_bytes(bytes(size) if number % 2 or not check else path.read_bytes()[:-1] + b"?")
    for left, right in zip(whole, open_shards(URL, check=check), strict=True):
        assert_equal_samples(left, right)
    assert store.calls["get"] == before + 2 + len(listed_shards(stored))  # the index, and no splits


def test_a_cache_that_cannot_be_made_is_not_blamed_on_the_store(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UVGEN_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        DatasetError, match=rf"{tmp_path}/file: the cache for {URL} cannot be written \(Not a dir.*UVGEN_"
    ):
        open_shards(URL)


@pytest.fixture
def read_only_cache(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that holds all of the set, and cannot be written."""
    list(open_shards(URL))

    def refuse(*_: object, **_named: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(objects, "new_temporary", refuse)
    for name in ("utime", "unlink", "replace"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(Path, "unlink", refuse)


@pytest.mark.usefixtures("read_only_cache")
def test_open_shards_of_a_store_reads_from_a_complete_cache_that_cannot_be_written(
    local: Path, store: FolderStore
) -> None:
    before = store.calls["get"]
    for left, right in zip(open_shards(local / "shards"), open_shards(URL), strict=True):
        assert_equal_samples(left, right)
    assert store.calls["get"] == before


@pytest.mark.usefixtures("read_only_cache")
def test_a_cache_that_cannot_be_written_is_not_taken_for_what_the_store_holds_now(stored: Path) -> None:
    assert "cannot be fetched anew, as " in verify_shards(URL).problems[0]
    index = stored / "dataset.json"
    index.write_bytes(index.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"the cache for .* cannot be written \(Read-only file system\)"):
        open_shards(URL)
    index.rename(index.with_name("other"))
    with pytest.raises(DatasetError, match="not a data set"):
        open_shards(URL)


def test_open_shards_of_a_store_goes_on_where_a_transfer_fails(stored: Path, store: FolderStore) -> None:
    store.faults += [failing(2, ConnectionError("reset"), name=".h5"), changing(1, lambda path: path.write_bytes(b""))]
    assert len(list(open_shards(URL))) == len(open_shards(URL))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "s3://bucket/none",
            "s3://bucket/none: not a data set, it holds nothing; expected one that `uvgen build` made",
        ),
        ("s3://bucket", "s3://bucket: not a data set, expected one .*; those below it: sets/one"),
        ("s3://nobody/sets", "s3://nobody/sets/dataset.json: no such bucket"),
    ],
)
def test_open_shards_of_a_store_without_data_set_says_what_is_there(stored: Path, url: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        open_shards(url)


def test_cache_smaller_than_the_set_is_enough(
    stored: Path, local: Path, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = max(path.stat().st_size for path in stored.glob("*.h5"))
    monkeypatch.setenv("UVGEN_STORE_CACHE_GB", str(largest * 1.5e-9))
    monkeypatch.setattr("uvgen.shards.stored._THREADS", 0)  # nothing else fetches while the files are counted
    reader = open_shards(URL)
    assert len(reader.column("pose")) == len(reader)
    assert sum(path.stat().st_size for path in objects_folder().glob("*.h5")) <= largest * 1.5


def evict_fetched(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """As if another process needed the room of each shard between the moment when it is fetched and its use."""
    done = Counter[str]()

    def fetched(place: Path, sha256: str, size: int) -> Path:
        path = cached_file(place, sha256, size)
        if done[sha256] < times:
            done[sha256] += 1
            path.unlink()
        return path

    monkeypatch.setattr(stored_shards, "cached_file", fetched)


def replace_opened(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """As if another process needed its room before it is opened, and fetched it again right afterwards."""
    done, open_hdf5 = Counter[Path](), shard.open_hdf5

    def opened(path: Path, *arguments: Any) -> Any:
        if path.parent != objects_folder() or done[path] == times:
            return open_hdf5(path, *arguments)
        done[path] += 1
        content = path.read_bytes()
        path.unlink()
        try:
            return open_hdf5(path, *arguments)
        finally:
            path.write_bytes(content)

    monkeypatch.setattr(shard, "open_hdf5", opened)


@pytest.mark.parametrize("evict", [evict_fetched, replace_opened])
@pytest.mark.parametrize(
    "use",
    [
        lambda url, out: [sample["name"] for sample in open_shards(url, check=True)],
        lambda url, out: [sample["name"] for sample in open_shards(url, untrusted=True)],
        lambda url, out: verify_shards(url).problems,
        lambda url, out: describe_shards(url).samples,
        lambda url, out: merge_shards(url, out, shard_size=2) and file_hashes(out),
        lambda url, out: augment_shards(url, out, Augmentation.preset("none")) and file_hashes(out),
        lambda url, out: export_shards(url, out, "npy").samples,
        lambda url, out: write_report(url, out).samples,
    ],
    ids=["read", "read untrusted", "verify", "info", "merge", "augment", "export", "report"],
)
def test_shard_that_another_process_evicts_before_it_is_opened_is_fetched_again(
    stored: Path,
    local: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    use: Callable[[str, Path], object],
    evict: Callable[[pytest.MonkeyPatch, int], None],
) -> None:
    expected = use(str(local / "shards"), tmp_path / "of a folder")
    monkeypatch.setattr(stored_shards, "_THREADS", 0)  # whose fetching would count
    evict(monkeypatch, 2)
    assert use(URL, tmp_path / "of a store") == expected


def test_shard_that_leaves_the_cache_each_time_says_what_helps(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evict_fetched(monkeypatch, 10**9)
    advice = r"left the cache, .* expected room in .*objects for .* set UVGEN_STORE_CACHE_GB to more"
    with pytest.raises(DatasetError, match=rf"{URL}/.*\.h5: {advice}"):
        open_shards(URL)[0]
    problems = verify_shards(URL).problems
    assert len(problems) == len(listed_shards(stored)) and "left the cache, " in problems[0]


@pytest.mark.parametrize("untrusted", [False, True])
def test_shard_of_a_store_that_is_none_is_named_by_its_url(stored: Path, tmp_path: Path, untrusted: bool) -> None:
    """The cache's file alone says nothing, and `uvgen verify` of the cache is no cure."""
    file = listed_shards(stored)[0]
    with h5py.File(stored / file, "r+") as content:
        del content["pose"]
        content.create_dataset("odd", data=np.zeros((len(content["name"]), 1), ">f4"))
    seal(stored)
    with pytest.raises(DatasetError, match=rf"\.h5: copy of {URL}/{file}: odd .*; run `uvgen verify {URL}`$"):
        open_shards(URL, untrusted=untrusted)[0]
    (problem,) = verify_shards(URL, untrusted=untrusted).problems
    assert problem.startswith(f"{URL}/{file}: ") and "copy of" not in problem and "run `" not in problem


def test_shard_of_a_folder_of_the_user_s_is_used_once(tmp_path: Path) -> None:
    tries = []

    def use(path: Path) -> None:
        tries.append(path)
        raise DatasetError("missing")

    with pytest.raises(DatasetError, match="missing"):
        with_shard(tmp_path, ShardEntry("a-00000.h5", 1, 9, "0" * 64), use)
    assert tries == [tmp_path / "a-00000.h5"]


@pytest.mark.skipif(os.name == "nt", reason="an open file stays there")
@pytest.mark.parametrize("how", ["before", "while it is hashed again", "after a write"])
def test_source_shard_that_is_used_and_evicted_while_it_is_read_was_read_as_it_was(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    entry = Index.read(local / "shards").shards[0]
    path = tmp_path / entry.file
    shutil.copyfile(local / "shards" / entry.file, path)

    def evicted(path: Path) -> str:
        path.unlink()
        return sha256_file(path)

    with shard.OpenShard(path, entry.samples) as opened:
        check_source_hash(path, entry)
        os.utime(path)  # another process uses it, too
        if how == "while it is hashed again":
            monkeypatch.setattr(source, "sha256_file", evicted)
        elif how == "after a write":
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        if how != "while it is hashed again":
            path.unlink()
        if how == "after a write":
            with pytest.raises(DatasetError, match="was changed while it was read"):
                check_unchanged(path, entry, opened)
        else:
            check_unchanged(path, entry, opened)


def test_verify_of_a_store_takes_what_another_process_has_fetched_anew(
    stored: Path, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {entry.sha256: entry for entry in Index.read(stored).shards}
    folder = open_shards(URL).folder

    def forgotten(sha256: str, suffix: str) -> bool:
        found = forget(sha256, suffix)
        cached_file(folder / entries[sha256].file, sha256, entries[sha256].size_bytes)
        return found

    monkeypatch.setattr(stored_shards, "forget", forgotten)
    assert verify_shards(URL).problems == ()


def test_shard_that_another_process_uses_is_not_hashed_again(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = open_shards(URL)
    first, now = reader[0], time.time_ns()
    monkeypatch.setattr(object_cache, "time", SimpleNamespace(time_ns=lambda: now + 10**10))
    assert open_shards(URL)[0]["name"] == first["name"]
    path = cached(reader._pool.entries[0].sha256 or "", ".h5")
    assert path.stat().st_atime_ns >= now + 10**10 - 1000
    monkeypatch.setattr(pool, "check_hash", None)
    assert_equal_samples(reader[0], first)


def test_read_ahead_fetches_in_the_order_of_use_and_no_more_than_fits(
    stored: Path, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = open_shards(URL)
    entries = reader._pool.entries
    seen: list[str] = []
    monkeypatch.setattr("uvgen.shards.stored.shard_path", lambda folder, entry: seen.append(entry.file))
    monkeypatch.setattr("uvgen.shards.stored._THREADS", 1)
    order = [2, 2, 0, 2, 0, 1]
    room = (entries[2].size_bytes + entries[0].size_bytes) / 0.75 * 1.01e-9
    monkeypatch.setenv("UVGEN_STORE_CACHE_GB", str(room))
    ahead = ReadAhead(reader.folder, entries, order)
    ahead.wait(0.3)
    assert seen == [entries[2].file, entries[0].file]
    ahead.given = 4  # the last sample of shard 2 was read
    ahead.wait()
    assert seen[2:] == [entries[1].file]
    ahead.close()


def test_build_that_was_finished_makes_nothing_again(store: FolderStore, local: Path, model_path: Path) -> None:
    build(local, model_path)
    puts = store.calls["put"]
    again = build(local, model_path)
    assert again.new_samples == 0  # type: ignore[attr-defined]
    assert store.calls["put"] == puts + 1  # the constants


def test_build_whose_uploads_fail_lists_whole_shards_alone_and_goes_on(
    store: FolderStore, local: Path, model_path: Path
) -> None:
    folder = store.folder / "bucket/sets/one"
    last = sorted(listed_shards(local / "shards"))[-1]
    store.faults.append(failing(transfers.TRIES, ConnectionError("reset"), "put", last))
    with pytest.raises(DatasetError, match=rf"{URL}/{last}: cannot be written in 4 tries \(reset\)"):
        build(local, model_path)
    assert listed_shards(folder) and last not in listed_shards(folder) and listed_are_whole(folder)
    made: list[str] = []
    build(local, model_path, progress=lambda result: made.append(result.entry.file))
    assert made == [last]
    assert file_hashes(folder) == file_hashes(local / "shards")


def test_build_whose_index_cannot_be_uploaded_begins_nothing(store: FolderStore, local: Path, model_path: Path) -> None:
    store.faults.append(failing(99, PermissionError("Access Denied"), "put"))
    with pytest.raises(DatasetError, match=r"dataset\.json: cannot be written, permission is denied \(Access Denied\)"):
        build(local, model_path)
    assert not (store.folder / "bucket/sets").exists()


def test_build_puts_its_index_again_where_an_older_one_arrives_last(
    store: FolderStore, local: Path, model_path: Path
) -> None:
    folder, info, old = store.folder / "bucket/sets/one", store.info, list[bytes]()

    def late(path: str) -> dict[str, object]:  # a try that was given up ends when the last one was found whole
        found = info(path)
        if path.endswith("dataset.json"):
            old.append((folder / "dataset.json").read_bytes())
            if listed_shards(folder) == listed_shards(local / "shards") and old[-1] not in old[:-1]:
                (folder / "dataset.json").write_bytes(old[0])
        return found

    store.info = late  # type: ignore[method-assign]
    build(local, model_path)
    assert len(old) > 2 and file_hashes(folder) == file_hashes(local / "shards")


def test_build_makes_a_shard_again_that_is_gone_from_the_store(
    store: FolderStore, local: Path, stored: Path, model_path: Path
) -> None:
    (stored / listed_shards(stored)[0]).unlink()
    build(local, model_path)
    assert file_hashes(stored) == file_hashes(local / "shards")


def test_build_with_other_settings_is_refused_unless_it_overwrites(
    store: FolderStore, local: Path, stored: Path, model_path: Path
) -> None:
    other = BuildConfig(size=32, uv_size=32, shard_size=3)
    (stored / "notes-00000.h5").write_bytes(b"of somebody else")
    with pytest.raises(SettingsError, match=f"{URL}: was made with uv_size = 48, now it is 32"):
        build(local, model_path, config=other)
    build(local, model_path, config=other, overwrite=True)
    assert listed_are_whole(stored)
    assert {path.name for path in stored.iterdir()} == {
        *listed_shards(stored), "dataset.json", "constants.npz", "notes-00000.h5",
    }  # fmt: skip


def test_build_that_overwrites_and_is_killed_while_it_deletes_leaves_no_old_shards(
    store: FolderStore, local: Path, stored: Path, model_path: Path
) -> None:
    other, delete, deleted = BuildConfig(size=32, uv_size=32, shard_size=3), store.rm_file, list[str]()

    def killed(path: str) -> None:
        if path.endswith(".h5") and deleted:
            raise KeyboardInterrupt
        deleted.append(path)
        delete(path)

    store.rm_file = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        build(local, model_path, config=other, overwrite=True)
    store.rm_file = delete  # type: ignore[method-assign]
    assert list(stored.glob("*.h5")) and not listed_shards(stored)
    build(local, model_path, config=other, overwrite=True)
    assert listed_are_whole(stored) and "outdated" not in (stored / "dataset.json").read_text()
    assert {path.name for path in stored.glob("*.h5")} == {*listed_shards(stored)}


def test_build_into_a_place_with_foreign_shards_is_refused(store: FolderStore, local: Path, model_path: Path) -> None:
    folder = store.folder / "bucket/sets/one"
    folder.mkdir(parents=True)
    (folder / "A-00000.h5").write_bytes(b"of somebody else")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"A-00000\.h5: exists, but no dataset\.json lists it; choose ano"):
            build(local, model_path, overwrite=overwrite)
    assert [path.name for path in folder.iterdir()] == ["A-00000.h5"]


def test_build_into_a_place_above_a_data_set_leaves_that_as_it_is(stored: Path, local: Path, model_path: Path) -> None:
    """A store lists what lies below a place as well."""
    before = file_hashes(stored)
    build(local, model_path, "s3://bucket/sets")
    assert file_hashes(stored) == before
    assert listed_shards(stored.parent) == listed_shards(stored)


def test_build_onto_a_full_disk_says_so_and_lists_nothing(
    store: FolderStore, local: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("uvgen.shards.writer.new_hdf5", full)
    with pytest.raises(DatasetError, match="objects: is full, expected room for what comes from and goes to the store"):
        build(local, model_path)
    assert not listed_shards(store.folder / "bucket/sets/one")


@pytest.mark.slow
def test_merge_augment_and_export_take_a_store(
    store: FolderStore, local: Path, stored: Path, model_path: Path, tmp_path: Path
) -> None:
    merge_shards([URL], "s3://bucket/merged")
    merge_shards([local / "shards"], tmp_path / "merged")
    assert file_hashes(store.folder / "bucket/merged") == file_hashes(tmp_path / "merged")
    augmentation = Augmentation.preset("none")
    augment_shards(URL, "s3://bucket/augmented", augmentation)
    augment_shards(local / "shards", tmp_path / "augmented", augmentation)
    assert file_hashes(store.folder / "bucket/augmented") == file_hashes(tmp_path / "augmented")
    result = export_shards(URL, tmp_path / "files", "npy")
    assert result.samples == len(open_shards(URL))


def test_verify_of_a_store_looks_at_what_it_holds_now(stored: Path, store: FolderStore) -> None:
    assert verify_shards(URL).sound
    file = listed_shards(stored)[0]
    (stored / file).write_bytes((stored / file).read_bytes()[::-1])
    (stored / "stray.h5").write_bytes(b"")
    problems = verify_shards(URL).problems
    assert problems == (
        f"{URL}/stray.h5: not listed in dataset.json",
        f"{URL}/{file}: its SHA-256 is not the one in the index, in 4 tries; damaged or changed in the store?",
    )


def test_what_changes_a_data_set_refuses_a_store(stored: Path, tmp_path: Path) -> None:
    advice = "expected the folder of a data set on this machine; .* copy the set, `aws s3 sync`"
    with pytest.raises(InputError, match=f"{URL}: a URL, {advice}".replace(".* ", ".*")):
        split_shards(URL, {"train": 1.0})
    with pytest.raises(InputError, match="damaged files in it are made again; copy the set"):
        repair_shards(URL)
    with pytest.raises(InputError, match="describes the files beside it; copy the set"):
        export_shards(URL, tmp_path / "out", "croissant")


def test_an_index_that_is_damaged_is_refused_by_its_url(stored: Path) -> None:
    edit_index(stored, lambda content: content.update(n_samples=99))
    with pytest.raises(DatasetError, match=f"{URL}/dataset.json: not a data set's index"):
        open_shards(URL)


def test_hash_of_a_store_s_index_leads_to_no_other_file(stored: Path, tmp_path: Path) -> None:
    """The cache names files by their hashes."""
    thesis = tmp_path / "thesis.h5"
    thesis.write_text("mine")
    path = os.path.relpath(thesis.with_suffix(""), objects_folder())
    edit_index(stored, lambda content: content["shards"][0].update(sha256=path))
    for use in (verify_shards, open_shards, describe_shards):
        with pytest.raises(DatasetError, match=r"the hash '.*thesis', expected 64 hexadecimal digits"):
            use(URL)
    assert thesis.read_text() == "mine"
    with pytest.raises(ValueError, match="expected 64 hexadecimal digits"):
        cached(path, ".h5")


def test_huge_size_in_a_store_s_index_makes_no_room_for_it(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list(open_shards(URL))
    before = sorted(objects_folder().glob("*.h5"))
    digest = "0" * 64
    edit_index(stored, lambda content: content["shards"][0].update(size_bytes=1 << 59, sha256=digest))
    with pytest.raises(DatasetError, match=rf"h5: \d+ bytes in the store, expected {1 << 59}"):
        open_shards(URL)[0]
    assert before and sorted(objects_folder().glob("*.h5")) == before


def test_small_files_of_a_store_that_are_huge_are_not_fetched(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UVGEN_MAX_BYTES", "100")
    with pytest.raises(DatasetError, match=r"dataset\.json: \d+ bytes or more, expected 100 at most; set UVGEN_MAX"):
        open_shards(URL)


def test_build_into_a_store_whose_set_is_read_on_this_machine_meanwhile_has_the_bytes_of_a_local_one(
    store: FolderStore, local: Path, model_path: Path
) -> None:
    readers = []

    def read(kind: str, path: str) -> None:
        if kind == "put" and not path.endswith(".h5") and (store.folder / "bucket/sets/one/dataset.json").exists():
            readers.append(len(open_shards(URL)))  # which puts into the mirror what the store has still

    store.faults.append(read)
    build(local, model_path)
    assert readers
    assert file_hashes(store.folder / "bucket/sets/one") == file_hashes(local / "shards")


def test_build_into_a_store_where_no_sample_of_a_shard_is_left_leaves_no_shard_there(
    store: FolderStore, tree: Path, model_path: Path
) -> None:
    samples = [tree / f"AFW/AFW_00{k}_1_0.mat" for k in range(2)]
    samples[0].write_bytes(b"damaged")
    make(tree, model_path, URL)  # type: ignore[arg-type]
    assert (store.folder / "bucket/sets/one/AFW-00000.h5").exists()
    for path in samples:
        path.write_bytes(b"damaged otherwise")
    assert len(make(tree, model_path, URL).skipped) == 2  # type: ignore[arg-type]
    assert not (store.folder / "bucket/sets/one/AFW-00000.h5").exists()


def test_build_from_a_store_skips_a_sample_whose_files_this_machine_cannot_take(
    store: FolderStore, tree: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a build from a folder does: it costs no other sample."""
    shutil.copytree(tree, store.folder / "bucket/data")
    large = store.folder / "bucket/data/AFW/AFW_000_1_0.jpg"
    large.write_bytes(large.read_bytes() + bytes(50_000))
    monkeypatch.setenv("UVGEN_MAX_BYTES", "40000")
    store.faults.append(failing(9, OSError(errno.ENAMETOOLONG, "File name too long"), name="AFW_002_1_0.mat"))
    result = build_shards("s3://bucket/data", tmp_path / "out", model=load_model(model_path), config=SMALL)
    assert result.samples == 7
    assert [(skip.name, skip.reason.partition(": ")[2][:40]) for skip in result.skipped] == [
        ("AFW/AFW_000_1_0", f"{large.stat().st_size} bytes or more, expected 40000 at most"[:40]),
        ("AFW/AFW_002_1_0", "its name is too long for a file of this "),
    ]
