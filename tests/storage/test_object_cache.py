"""The cache of files from object stores: bounded, verified, shared."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from support.faults import fail_closes
from support.scaling import assert_proportional
from support.stores import FolderStore, changing, failing, folder_store

from uvgen.errors import DatasetError
from uvgen.storage import object_cache
from uvgen.storage.locks import locked_file
from uvgen.storage.object_cache import cache_limit, cached_file, draft, forget, is_cached, objects_folder
from uvgen.storage.urls import local_path

CONTENTS = [bytes([number]) * 100 for number in range(5)]
HASHES = [sha256(content).hexdigest() for content in CONTENTS]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FolderStore]:
    with folder_store(tmp_path) as found:
        for number, content in enumerate(CONTENTS):
            (found.folder / f"bucket/{number}.h5").write_bytes(content)
        monkeypatch.setenv("UVGEN_STORE_CACHE_GB", str(250e-9))
        yield found


def take(number: int) -> Path:
    return cached_file(local_path(f"s3://bucket/{number}.h5"), HASHES[number], 100)


def held() -> set[int]:
    names = {path.stem for path in objects_folder().glob("*.h5")}
    return {number for number, name in enumerate(HASHES) if name in names}


def used(number: int, seconds: int) -> None:
    os.utime(objects_folder() / f"{HASHES[number]}.h5", (seconds, seconds))


def test_cached_file_is_fetched_once(store: FolderStore) -> None:
    assert take(0).read_bytes() == take(0).read_bytes() == CONTENTS[0]
    assert store.calls["get"] == 1
    forget(HASHES[0], ".h5")
    take(0)
    assert store.calls["get"] == 2


def test_cached_file_makes_room_by_deleting_what_was_not_used_for_longest(store: FolderStore) -> None:
    for number in (0, 1):
        take(number)
        used(number, number + 1)
    take(0)  # a use
    take(2)
    assert held() == {0, 2}


def test_a_file_that_is_open_can_be_read_when_its_room_was_needed(store: FolderStore) -> None:
    with open(take(0), "rb") as file:
        for number in range(1, 5):
            take(number)
        assert 0 not in held() and file.read() == CONTENTS[0]


def test_cached_file_larger_than_the_limit_is_held_alone(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UVGEN_STORE_CACHE_GB", str(10e-9))
    for number in range(3):
        take(number)
    assert held() == {2}


def test_cached_file_that_many_want_at_once_is_fetched_once(store: FolderStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert {path.read_bytes() for path in pool.map(take, [3] * 8)} == {CONTENTS[3]}
    assert store.calls["get"] == 1


def test_cached_file_that_was_cut_short_here_is_fetched_again(store: FolderStore) -> None:
    take(0).write_bytes(b"x")
    assert take(0).read_bytes() == CONTENTS[0]


def test_cached_file_that_was_written_to_is_verified_and_fetched_again(store: FolderStore) -> None:
    take(0).write_bytes(CONTENTS[1])
    assert take(0).read_bytes() == CONTENTS[0] and store.calls["get"] == 2


def test_cached_file_is_hashed_again_only_if_its_time_changed(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    has_sha256 = object_cache.has_sha256
    monkeypatch.setattr(object_cache, "has_sha256", lambda path, hash_: hashed.append(path) or has_sha256(path, hash_))
    path = take(0)
    take(0)
    assert not hashed
    path.touch()
    for _ in range(2):
        take(0)
    assert hashed == [path] and store.calls["get"] == 1


@pytest.mark.parametrize("make", [lambda path: os.mkfifo(path), lambda path: path.symlink_to(path.name)])
def test_cached_file_that_is_no_file_any_more_is_fetched_again(
    store: FolderStore, make: Callable[[Path], object]
) -> None:
    path = take(0)
    path.unlink()
    make(path)
    assert take(0).read_bytes() == CONTENTS[0]


def test_cached_file_whose_place_is_taken_by_a_folder_is_not_blamed_on_the_store(store: FolderStore) -> None:
    (objects_folder() / f"{HASHES[0]}.h5").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"^/[^:]*/objects: cannot be written \(Is a directory\)"):
        take(0)


def test_cached_file_of_a_cache_that_cannot_be_written_is_used(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(0)
    take(1).touch()  # has to be verified once more

    def refuse(*_: object, **_named: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(object_cache.os, "utime", refuse)
    assert [take(number).read_bytes() for number in (0, 1, 1)] == [CONTENTS[0], CONTENTS[1], CONTENTS[1]]
    assert store.calls["get"] == 2


def test_locks_of_the_cache_that_are_links_are_not_written_through(store: FolderStore, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("a user's")
    objects_folder().mkdir(parents=True)
    (objects_folder() / ".lock-room").symlink_to(other)
    with pytest.raises(DatasetError, match=r"objects: cannot be written .*UVGEN_CACHE to another folder"):
        take(0)
    assert other.read_text() == "a user's"


def test_cached_file_of_another_content_in_the_store_is_refused_and_not_kept(store: FolderStore) -> None:
    store.faults.append(changing(99, lambda path: path.write_bytes(CONTENTS[1])))
    with pytest.raises(DatasetError, match=r"s3://bucket/0\.h5: its SHA-256 is not the one in the index"):
        take(0)
    assert not held()


def test_cached_file_on_a_full_disk_takes_the_room_of_others(store: FolderStore) -> None:
    take(0)
    store.faults.append(failing(1, OSError(errno.ENOSPC, "No space left on device")))
    take(1)
    assert held() == {1}


def test_cached_file_on_a_disk_that_stays_full_says_so(store: FolderStore) -> None:
    store.faults.append(failing(99, OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(
        DatasetError, match=r"objects: is full, expected room for .* or set UVGEN_CACHE to another fold"
    ):
        take(0)
    assert not held() and not list(objects_folder().glob(".uvgen-tmp*"))


def test_draft_is_removed_unless_it_is_kept(store: FolderStore) -> None:
    for kept in (False, True):
        with draft("a.h5") as new:
            new.path.write_bytes(CONTENTS[0])
            if kept:
                new.keep(HASHES[0], ".h5", 100)
        assert is_cached(HASHES[0], ".h5", 100) == kept
    assert [path.suffix for path in objects_folder().iterdir() if ".lock" not in path.name] == [".h5"]


def test_cache_limit_is_what_the_variable_says_or_half_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UVGEN_STORE_CACHE_GB", "2.5")
    assert cache_limit(tmp_path) == 2.5e9
    monkeypatch.setenv("UVGEN_STORE_CACHE_GB", "much")
    free = 10 << 30
    monkeypatch.setattr(object_cache.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    assert cache_limit(tmp_path) == free / 2


def test_file_that_gets_its_name_can_be_locked_by_readers_but_not_removed(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    replace = os.replace

    def look(source: str, target: str) -> None:
        replace(source, target)
        with open(target, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # as HDF5 does
            fcntl.flock(file, fcntl.LOCK_UN)
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append(str(target))

    monkeypatch.setattr(os, "replace", look)
    assert str(take(0)) in seen


def test_file_whose_content_is_lost_as_it_is_closed_does_not_count_as_fetched(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        fail_closes(patched, ".h5", errno.EIO)
        with pytest.raises(DatasetError, match="objects: cannot be written"):
            take(0)
    (objects_folder() / f"{HASHES[0]}.h5").write_bytes(b"\0" * 100)  # what such a disk keeps
    assert take(0).read_bytes() == CONTENTS[0]


def fill(numbers: range, size: int = 100) -> None:
    """Put files of bytes into the cache, as `cached_file` does with what it fetches."""
    for number in numbers:
        object_cache.make_room(size)
        path = objects_folder() / f"{number:064x}.h5"
        path.write_bytes(b"x" * size)
        os.utime(path, (number, number))
        object_cache.make_room(0, added=size, besides=path)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "limit", [0.5, pytest.param(1, marks=SLOW), pytest.param(1e6, marks=SLOW)]
)  # of what is fetched
def test_making_room_takes_steps_in_proportion_to_the_files(
    limit: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(n: int) -> Callable[[], object]:
        monkeypatch.setenv("UVGEN_CACHE", str(tmp_path / str(n)))
        monkeypatch.setenv("UVGEN_STORE_CACHE_GB", str(limit * n * 100 / 1e9))
        return partial(fill, range(1, n + 1))

    assert_proportional(step, 64)
    assert len(list(objects_folder().glob("*.h5"))) == 256 * min(limit, 1)


def test_cache_that_others_fill_and_empty_meanwhile_is_within_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UVGEN_CACHE", str(tmp_path))
    monkeypatch.setenv("UVGEN_STORE_CACHE_GB", str(3200e-9))
    fill(range(1, 33))
    looks = dict(object_cache._looks)
    object_cache._looks.clear()  # another process
    fill(range(101, 110))
    object_cache._looks.update(looks)  # this one, which has seen none of these
    fill(range(201, 206))
    assert sorted(int(path.stem, 16) for path in objects_folder().glob("*.h5")) == [
        *range(15, 33), *range(101, 110), *range(201, 206)
    ]  # fmt: skip
    for path in objects_folder().glob("*.h5"):
        path.unlink()  # by hand: noticed after a sixteenth of what the cache holds
    fill(range(301, 341))
    assert len(list(objects_folder().glob("*.h5"))) == 32


def test_cache_whose_note_is_damaged_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UVGEN_CACHE", str(tmp_path))
    monkeypatch.setenv("UVGEN_STORE_CACHE_GB", str(1000e-9))
    fill(range(1, 11))
    for turn, note in enumerate(("", "many", "-5", "0", "9" * 400), 1):
        (objects_folder() / object_cache._HELD).write_text(note)
        fill(range(100 * turn, 100 * turn + 3))
    assert len(list(objects_folder().glob("*.h5"))) == 10


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
@pytest.mark.parametrize("name", [".lock-room", f".lock-{HASHES[0][:3]}"])
def test_lock_that_is_no_file_is_named(store: FolderStore, tmp_path: Path, name: str, kind: str) -> None:
    objects_folder().mkdir(parents=True)
    place, elsewhere = objects_folder() / name, tmp_path / "elsewhere"
    {"pipe": lambda: os.mkfifo(place), "folder": place.mkdir, "link": lambda: place.symlink_to(elsewhere)}[kind]()
    with pytest.raises(DatasetError, match=rf"{name} is a (named )?{kind}, expected a file; remove it"):
        take(0)
    assert not elsewhere.exists()


@pytest.mark.parametrize("name", [HASHES[0][:3], "room"])
def test_cached_file_does_not_wait_forever_for_a_process_that_is_stopped(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("UVGEN_STORE_TIMEOUT", "0.2")
    monkeypatch.setattr(object_cache, "_ROOM_S", 0.2)
    take(1)
    with locked_file(objects_folder() / f".lock-{name}"):
        assert take(0).read_bytes() == CONTENTS[0]
    take(2)
    assert len(held()) == 2  # room is made again
