"""Transfers from and to object stores: URLs, faults and retries."""

import errno
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.stores import FolderStore, changing, failing, folder_store, stalling

from uvgen.errors import DatasetError, DependencyError, InputError, OutputError
from uvgen.storage import transfers
from uvgen.storage.files import replaced_on_success
from uvgen.storage.objects import fetch, fetch_all, listed, put_bytes, remove, upload
from uvgen.storage.transfers import TRIES, MissingError
from uvgen.storage.urls import local_path, refuse_url, url_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FolderStore]:
    with folder_store(tmp_path) as found:
        (found.folder / "bucket/set").mkdir()
        (found.folder / "bucket/set/a.h5").write_bytes(b"content")
        yield found


@pytest.fixture
def place(store: FolderStore) -> Path:
    return local_path("s3://bucket/set/a.h5")


@pytest.mark.parametrize("url", ["s3://bucket/set", "gs://b/one/two", "hf://datasets/me/faces", "s3://bucket"])
def test_local_path_of_a_url_leads_back_to_it(url: str) -> None:
    assert url_of(local_path(url)) == url
    assert url_of(local_path(f"{url}/")) == url
    assert url_of(local_path(Path(url))) == url  # which keeps one slash
    assert url_of(local_path(local_path(url))) == url
    assert url_of(local_path(url) / "dataset.json") == f"{url}/dataset.json"


@pytest.mark.parametrize("path", ["shards", "/a/b", "s3", "a:b/c", "C:/x"])
def test_local_path_of_a_path_is_that(path: str) -> None:
    assert local_path(path) == Path(path)
    assert url_of(path) is None


def test_local_path_of_a_file_url_is_its_path() -> None:
    assert local_path("file:///data/my%20set") == Path("/data/my set")
    assert os.fsencode(local_path("file:///data/%ff")) == b"/data/\xff"  # any byte that a name may hold


@pytest.mark.parametrize("url", ["file://host/data", "file://data", "local://u:p@host/data"])
def test_local_path_of_a_file_url_of_another_machine_is_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"names another machine, expected file:///PATH, of this one") as caught:
        local_path(url)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize("path", ["file:///data/a%00b", "s3://bucket/a\0b", "a\0b"])
def test_local_path_holds_no_zero_byte(path: str) -> None:
    with pytest.raises(InputError, match=r"a\\x00b: holds a zero byte, expected a path"):
        local_path(path)


@pytest.mark.parametrize("words", [("info",), ("verify",), ("build", "--data"), ("augment", "--out")])
def test_commands_with_a_zero_byte_in_a_url_say_so(uvgen: Any, words: tuple[str, ...]) -> None:
    result = uvgen(*words, "file:///data/a%00b")
    assert result.exit_code == 1 and "holds a zero byte" in result.stderr


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://host/set", "https://host/set: a URL of no store that uvgen knows, expected s3://"),
        ("s3://", "names no bucket"),
        ("s3:///set", "names no bucket"),
        ("s3://bucket/a/../b", "holds '..', expected names"),
        ("s3://bucket/a//b", "holds ''"),
        ("s3://bucket/a?versionId=1", "expected names without ?"),
        ("s3://bucket/" + "x" * 231, "expected names"),
    ],
)
def test_local_path_of_what_cannot_be_a_place_is_refused(url: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        local_path(url)
    assert message in str(raised.value)


def test_local_path_with_credentials_is_refused_without_showing_them() -> None:
    with pytest.raises(InputError, match="holds credentials, expected none in a URL; set them in the env") as raised:
        local_path("s3://key:secret@bucket/set")
    assert "secret" not in str(raised.value)


def test_refuse_url_says_what_to_do() -> None:
    with pytest.raises(InputError, match="s3://bucket/a: a URL, expected a folder on this machine; copy it"):
        refuse_url("s3://bucket/a", "a folder", "copy it")
    refuse_url("bucket/a", "a folder", "copy it")


def test_messages_show_urls_in_place_of_mirrors(store: FolderStore, place: Path) -> None:
    assert str(DatasetError(f"{place}: damaged; see {place.parent}")) == (
        "s3://bucket/set/a.h5: damaged; see s3://bucket/set"
    )


def test_a_url_that_reaches_a_writer_as_a_path_makes_no_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"s3://bucket/x\.json: a URL, expected a path on this machine"),
        replaced_on_success(tmp_path / Path("s3://bucket/x.json")),
    ):
        raise AssertionError
    assert not list(tmp_path.iterdir())


def test_fetch_and_upload_lead_to_the_same_bytes(store: FolderStore, place: Path, tmp_path: Path) -> None:
    fetch(place)
    assert place.read_bytes() == b"content"
    (tmp_path / "b").write_bytes(b"other")
    upload(place.with_name("b.h5"), tmp_path / "b")
    assert listed(place.parent) == {"a.h5": 7, "b.h5": 5}
    remove([place, place.with_name("never.h5")])
    assert listed(place.parent) == {"b.h5": 5}


FAULTS = [
    failing(TRIES - 1, ConnectionResetError(errno.ECONNRESET, "reset")),
    failing(TRIES - 1, RuntimeError("503 Slow Down")),
    changing(TRIES - 1, lambda path: path.write_bytes(path.read_bytes()[:3])),
    changing(TRIES - 1, lambda path: path.write_bytes(b"CONTENT")),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_fetch_that_fails_is_tried_again(store: FolderStore, place: Path, fault: object) -> None:
    store.faults.append(fault)  # type: ignore[arg-type]
    fetch(place, size=7, sha256="ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73")
    assert place.read_bytes() == b"content" and store.calls["get"] == TRIES


def test_fetch_that_stalls_is_given_up_and_tried_again(
    store: FolderStore, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UVGEN_STORE_TIMEOUT", "0.05")
    store.faults.append(stalling(1, seconds=1))
    fetch(place)
    assert place.read_bytes() == b"content" and store.calls["get"] == 2


def test_listing_that_does_not_end_is_given_up_once(
    store: FolderStore, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has 20 times as long as a file; a server can make up pages for ever."""
    monkeypatch.setenv("UVGEN_STORE_TIMEOUT", "0.005")
    find = store.find

    def endless(path: str, **options: Any) -> Any:
        found = find(path, **options)
        time.sleep(1)
        return found

    monkeypatch.setattr(store, "find", endless)
    with pytest.raises(DatasetError, match=r"s3://bucket/set: cannot be listed \(nothing moved for 0\.1 s\); is"):
        listed(place.parent)
    assert store.calls["find"] == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            failing(99, ConnectionError("refused")),
            r"s3://bucket/set/a\.h5: cannot be fetched in 4 tries \(refused\); is",
        ),
        (changing(99, lambda path: path.write_bytes(b"x")), "a.h5: 1 bytes came, expected 7, in 4 tries; damaged or"),
        (changing(99, lambda path: path.write_bytes(b"CONTENT")), "its SHA-256 is not the one in the index, in 4"),
        (
            failing(99, PermissionError("Forbidden")),
            r"cannot be fetched, permission is denied \(Forbidden\); credentials",
        ),
    ],
)
def test_fetch_that_fails_always_says_why_and_leaves_nothing(
    store: FolderStore, place: Path, fault: object, message: str
) -> None:
    store.faults.append(fault)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=message):
        fetch(place, size=7, sha256="ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73")
    assert not list(place.parent.iterdir())


def test_fetch_of_what_is_not_there_is_not_tried_again(store: FolderStore, place: Path) -> None:
    with pytest.raises(MissingError, match=r"s3://bucket/set/b\.h5: no such file in the store"):
        fetch(place.with_name("b.h5"))
    assert store.calls["get"] == 1
    fetch_all([(place, place), (place.with_name("b.h5"), place.with_name("b.h5"))])
    assert [path.name for path in place.parent.iterdir()] == ["a.h5"]


def test_files_that_no_folder_can_hold_together_cost_themselves_alone(store: FolderStore, place: Path) -> None:
    """A store has no folders: a name may go on after another one's end."""
    inner, zero = place / "inner.jpg", place.with_name("a\0b")
    bad = fetch_all([(place, place), (inner, inner), (zero, zero)])
    assert bad.keys() == {place, zero}
    assert "set/a.h5: is there as a file and as a folder" in bad[place] and "has a zero byte in its name" in bad[zero]


def test_transfers_without_bucket_say_so(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"other")
    place = local_path("s3://nobody/set/b")
    calls = (lambda: fetch(place), lambda: upload(place, tmp_path / "b"), lambda: listed(place.parent))
    for call in calls:
        with pytest.raises(DatasetError, match=r"s3://nobody/set.*: no such bucket, expected one that is there"):
            call()


def test_fetch_onto_a_full_disk_is_not_tried_again(store: FolderStore, place: Path) -> None:
    store.faults.append(failing(99, OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(DatasetError, match=r"the cache for s3://bucket/set cannot be written \(No space left on"):
        fetch(place)
    assert store.calls["get"] == 1


@pytest.mark.parametrize(
    "fault",
    [failing(1, ConnectionError("reset"), "put"), changing(1, lambda path: path.write_bytes(b"x"), "put")],
)
def test_upload_that_fails_or_is_cut_short_is_tried_again(
    store: FolderStore, place: Path, tmp_path: Path, fault: object
) -> None:
    store.faults.append(fault)  # type: ignore[arg-type]
    (tmp_path / "b").write_bytes(b"other")
    upload(place, tmp_path / "b")
    assert (store.folder / "bucket/set/a.h5").read_bytes() == b"other" and store.calls["put"] == 2


def test_store_whose_package_is_missing_says_what_to_install(
    place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    program = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from uvgen.storage.objects import listed\n"
        "from uvgen.storage.urls import local_path\n"
        "listed(local_path('s3://bucket/set'))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert DependencyError.__name__ in run.stderr and 'pip install ".[stores]"' in run.stderr


def test_no_module_imports_fsspec_before_a_store_is_used() -> None:
    program = "import sys, uvgen.storage.objects, uvgen.shards.reader; print('fsspec' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_a_timeout_that_is_no_number_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, expected in (("2.5", 2.5), ("soon", 60), ("-1", 60), ("", 60)):
        monkeypatch.setenv("UVGEN_STORE_TIMEOUT", text)
        assert transfers.patience_s() == expected


@pytest.mark.parametrize("first", ["write", "delete"])
def test_a_change_that_was_given_up_is_waited_for_before_the_next_one(
    store: FolderStore, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """It goes on in its thread, and would undo what is done after it."""
    monkeypatch.setenv("UVGEN_STORE_TIMEOUT", "1")
    old, new, left = tmp_path / "old", tmp_path / "new", [1]
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    name = {"write": "pipe_file", "delete": "rm_file"}[first]
    change = getattr(store, name)

    def slow(*arguments: Any, **options: Any) -> None:
        if left:
            left.clear()
            time.sleep(1.5)
        change(*arguments, **options)

    monkeypatch.setattr(store, name, slow)
    monkeypatch.setattr(transfers, "_PAUSE_S", 0.0)
    if first == "write":
        put_bytes(place, b"old")
    else:
        remove([place])
    upload(place, new)
    time.sleep(1)
    assert (store.folder / "bucket/set/a.h5").read_bytes() == b"new"


def test_a_change_that_never_ends_is_not_overtaken(
    store: FolderStore, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end, left = threading.Event(), [1]
    delete = store.rm_file

    def stuck(path: str) -> None:
        if left:
            left.clear()
            end.wait(60)
        delete(path)

    monkeypatch.setenv("UVGEN_STORE_TIMEOUT", "0.2")
    monkeypatch.setattr(store, "rm_file", stuck)
    remove([place])
    try:
        with pytest.raises(DatasetError, match=r"a\.h5: an earlier write or deletion, which took too long, is still"):
            put_bytes(place, b"new")
    finally:
        end.set()


def test_no_time_passes_for_a_transfer_while_the_process_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0, 1000)
    monkeypatch.setattr(transfers.time, "monotonic", lambda: float(next(clock)))
    assert transfers.watched(lambda: time.sleep(0.5) or 7, lambda: 0, 60.0) == 7


def test_fetch_of_a_file_that_never_ends_stops(
    store: FolderStore, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def endless(path: str, local: str, callback: Any) -> None:
        try:
            with open(local, "ab", buffering=0) as file:
                while True:
                    callback.relative_update(file.write(b"content"))
                    time.sleep(0.01)
        finally:
            ended.set()

    monkeypatch.setattr(store, "get_file", endless)
    with pytest.raises(DatasetError, match="bytes or more, expected 7 at most"):
        fetch(place, sha256="0" * 64, size=7)
    assert ended.wait(60)
