"""Files and folders that are whole or not there, and locks."""

import errno
import fcntl
import hashlib
import multiprocessing
import os
import platform
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from support.faults import fail_closes, fail_reads

from uvgen.errors import BusyError, DatasetError, OutputError, SampleError, UvgenError
from uvgen.storage import files
from uvgen.storage.drafts import folder_on_success
from uvgen.storage.files import (
    check_folder,
    folds_case,
    has_sha256,
    replaced_on_success,
    sha256_file,
    temporary_name,
)
from uvgen.storage.journal import Journal
from uvgen.storage.locks import exclusive, locked, locked_file, scratch_folder
from uvgen.storage.reading import read_file


def test_replaced_on_success_of_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), replaced_on_success(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_replaced_on_success_in_a_folder_that_is_replaced_says_so(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "other").mkdir()
    with (
        pytest.raises(DatasetError, match=r"a: cannot be written \(.*: its folder was moved, removed or replaced\)"),
        replaced_on_success(tmp_path / "out" / "a"),
    ):
        (tmp_path / "out").rename(tmp_path / "gone")
        (tmp_path / "out").symlink_to("other")
    assert not list((tmp_path / "other").iterdir())


def test_replaced_on_success_replaces_and_makes_folders(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with replaced_on_success(tmp_path / "new/a") as temporary:
            temporary.write_text(text)
    assert (tmp_path / "new/a").read_text() == "two" and len(list((tmp_path / "new").iterdir())) == 1


@pytest.mark.parametrize("place", [replaced_on_success, folder_on_success])
def test_an_error_about_a_file_that_the_body_reads_names_that_file(tmp_path: Path, place) -> None:
    with pytest.raises(FileNotFoundError, match=r"input\.mat"), place(tmp_path / "out"):
        (tmp_path / "input.mat").read_bytes()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", [replaced_on_success, folder_on_success])
def test_an_error_about_what_the_body_writes_names_the_target(tmp_path: Path, place) -> None:
    def fill(made: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")  # as of a write, which names no file

    def copy(made: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "input.mat", None, str(made))  # as shutil's

    def make(made: Path) -> None:
        (made / "a/b").mkdir()

    for body in (fill, copy, make):
        with (
            pytest.raises(DatasetError, match=r"out: cannot be written \(.*\); check"),
            place(tmp_path / "out") as made,
        ):
            body(made)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "helps"),
    [
        (errno.EIO, ""), (errno.EUCLEAN, ""), (errno.EMFILE, r"raise the limit \(ulimit -n\)"),
        (errno.ENFILE, "close other programs"), (errno.ENOMEM, "free memory, or raise the limit"),
        (errno.ESTALE, "its disk does not answer, try again"),
    ],
)  # fmt: skip
def test_an_unreadable_file_has_another_hash_unless_the_machine_or_its_server_is_at_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, helps: str
) -> None:
    path, digest = tmp_path / "a", hashlib.sha256().hexdigest()
    path.touch()
    assert has_sha256(path, digest)
    fail_reads(monkeypatch, "/a", number)
    if not helps:
        assert not has_sha256(path, digest)
    else:
        with pytest.raises(DatasetError, match=rf"/a: cannot be read \({os.strerror(number)}\); {helps}"):
            has_sha256(path, digest)


def hold(path: Path, ready: object, go_on: object) -> None:
    with locked(path, wait=True):
        ready.set()  # type: ignore[attr-defined]
        go_on.wait()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_lock_is_released_when_its_process_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, go_on = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready, go_on))
    process.start()
    try:
        assert ready.wait(60)  # or it has failed
        with pytest.raises(BlockingIOError):
            locked(tmp_path, wait=False).__enter__()
        with pytest.raises(DatasetError, match="another uvgen is writing into it"):
            exclusive(tmp_path).__enter__()
    finally:
        process.kill()
        process.join()
    with locked(tmp_path, wait=True), pytest.raises(BlockingIOError):
        locked(tmp_path, wait=False).__enter__()


def test_exclusive_removes_what_killed_runs_left_and_nothing_else(tmp_path: Path) -> None:
    mine = {"a.h5", ".uvgen-draft", ".uvgen-notes", ".uvgen-1-a.h5"}
    (tmp_path / temporary_name("a.h5")).write_text("half")
    (tmp_path / ".uvgen-draft").mkdir()  # another job's, which goes on with it
    for name in mine - {".uvgen-draft"}:
        (tmp_path / name).write_text("mine")
    with exclusive(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == mine
        (tmp_path / temporary_name("b.h5")).write_text("half")
    assert {path.name for path in tmp_path.iterdir()} == mine


def test_exclusive_removes_what_killed_runs_left_on_a_network_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS makes locks of byte ranges of flock's, and who locks those against all others must be able to write."""
    lock = fcntl.flock

    def lock_as_nfs(handle: int, how: int) -> None:
        is_read_only = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        if how & fcntl.LOCK_EX and is_read_only and stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", lock_as_nfs)
    (tmp_path / temporary_name("a.h5")).write_text("half")
    with replaced_on_success(tmp_path / "b.h5") as living, exclusive(tmp_path):
        assert [*tmp_path.iterdir()] == [living]


def test_exclusive_leaves_what_another_process_is_writing(tmp_path: Path) -> None:
    with replaced_on_success(tmp_path / "model.h5") as temporary:  # its descriptor has the lock, whoever asks
        with exclusive(tmp_path):
            assert temporary.exists()
        assert temporary.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model.h5"]


@pytest.mark.parametrize("is_there", [False, True])
def test_exclusive_leaves_no_folder_that_it_made_and_cannot_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """As with a umask of 777."""
    folder = tmp_path / "out"
    if is_there:
        folder.mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError, match=r"out: cannot be written \(Permission denied\)"), exclusive(folder):
        pass
    assert folder.exists() == is_there


def test_exclusive_says_when_its_folder_was_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for change in (folder.rmdir, lambda: (folder.rename(tmp_path / "other"), folder.mkdir())):
        with exclusive(folder) as check:
            check()
            change()
            with pytest.raises(DatasetError, match="out: was deleted, moved or unmounted while it was written"):
                check()


def test_replaced_on_success_of_a_file_that_is_lost_as_it_is_closed_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_closes(monkeypatch, "out", errno.EDQUOT)
    for error in (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), None):
        why = os.strerror(errno.EDQUOT if error is None else errno.ENOSPC)
        with (
            pytest.raises(DatasetError, match=rf"out: cannot be written \({why}\)"),
            replaced_on_success(tmp_path / "out"),
        ):
            if error is not None:
                raise error
    with pytest.raises(SampleError, match="bad"), replaced_on_success(tmp_path / "out"):
        raise SampleError("bad")


def test_what_was_read_or_locked_is_closed_without_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = tmp_path / "out"
    path.write_bytes(b"content")
    fail_closes(monkeypatch, "", errno.EDQUOT)
    assert read_file(path) == b"content" and sha256_file(path) == hashlib.sha256(b"content").hexdigest()
    for lock in (partial(locked, path, wait=True), partial(locked_file, path), scratch_folder):
        with lock():
            pass
        with pytest.raises(SampleError, match="bad"), lock():
            raise SampleError("bad")
    with exclusive(tmp_path):
        assert folds_case(tmp_path) in (False, True)
    journal = Journal(tmp_path / ".uvgen-journal", "work")
    journal.append(1)
    journal.close()
    assert Journal(tmp_path / ".uvgen-journal", "work").read() == [1]


def test_exclusive_whose_folder_is_renamed_before_it_is_locked_waits_for_who_did_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def rename_first(path: Path, *arguments: int) -> int:
        handle = opened(path, *arguments)
        Path(path).rename(tmp_path / "finished")
        return handle

    monkeypatch.setattr(os, "open", rename_first)
    with pytest.raises(BusyError, match="out: another uvgen is writing into it"):
        exclusive(tmp_path / "out").__enter__()


@pytest.mark.parametrize("place", [replaced_on_success, exclusive, scratch_folder])
def test_disk_on_which_nothing_is_what_was_just_made_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place
) -> None:
    """As one that gives a file another number each time, or says that all is locked."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os.path, "samestat", lambda *_: False)
    (tmp_path / "out").mkdir()
    arguments = () if place is scratch_folder else (tmp_path / "out",)
    with pytest.raises(UvgenError, match=f"{tmp_path}.*its disk shows what was just made as something else"):
        place(*arguments).__enter__()
    assert os.listdir(tmp_path) == ["out"] and not os.listdir(tmp_path / "out")


def test_scratch_folder_removes_those_of_dead_processes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder() as ours:
        prefix = ours.name[:-8]
    mine = {f"{prefix}mine1234": "thesis", "uvgen-mine": "job-0", "uvgen-run-01234567-abcd1234": "job-0"}
    for name, content in {f"{prefix}abcd1234": "job-0", **mine}.items():  # the last is another machine's
        (tmp_path / name).mkdir()
        (tmp_path / name / content).write_text("")
    with scratch_folder() as ours, scratch_folder() as other:
        assert ours != other
        assert {path.name for path in tmp_path.iterdir()} == {ours.name, other.name, *mine}
    assert {path.name for path in tmp_path.iterdir()} == {*mine}


@pytest.mark.parametrize("node", [platform.node(), "another machine"], ids=["own", "other"])
def test_scratch_folder_of_another_machine_that_locks_for_itself_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    there = (
        f"import fcntl, platform, tempfile; platform.node = lambda: {node!r}; tempfile.tempdir = {str(tmp_path)!r}\n"
        "fcntl.flock = lambda *_: None  # it knows nothing of this process's lock\n"
        "from uvgen.storage.locks import scratch_folder\n"
        "with scratch_folder(): pass"
    )
    with scratch_folder() as ours:
        subprocess.run([sys.executable, "-c", there], check=True)
        assert ours.exists() == (node != platform.node())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [0, 1, 30])
def test_journal_reads_whole_lines_and_goes_on_behind_them(tmp_path: Path, size: int) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, {"settings": 1})
    assert journal.read() == []
    for value in ({"a": "ü"}, [1, 2]):
        journal.append(value)
    journal.close()
    whole = path.read_bytes()
    journal.append("third")
    journal.close()
    third = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + third[:size].replace(b"\n", b""))  # torn
    again = Journal(path, {"settings": 1})
    assert again.read() == [{"a": "ü"}, [1, 2]]
    again.append("third")
    again.close()
    assert path.read_bytes() == whole + third
    assert Journal(path, {"settings": 2}).read() == []
    damaged = bytearray(whole)
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    assert Journal(path, {"settings": 1}).read() == [{"a": "ü"}]


def test_journal_about_something_else_is_replaced(tmp_path: Path) -> None:
    for about in ("one", "two"):
        journal = Journal(tmp_path / "journal", about)
        assert journal.read() == []
        journal.append(about)
        journal.close()
    assert Journal(tmp_path / "journal", "two").read() == ["two"]
    missing = Journal(tmp_path / "none/journal", 0)
    with pytest.raises(DatasetError, match="journal: cannot be written"):
        missing.append(1)


def test_check_folder_of_a_place_that_takes_nothing_whatever_its_rights_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere, by the rights: not in /sys, nor on a network disk that takes it for nobody."""
    check_folder(tmp_path / "new/out")
    assert list(tmp_path.iterdir()) == []

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "mkdir", refuse)
    for folder, path in ((tmp_path / "out", None), (tmp_path, None), (tmp_path, tmp_path / "a")):
        with pytest.raises(OutputError, match=f"^{path or folder}: cannot be written .*; choose another folder"):
            check_folder(folder, path)


def test_check_folder_removes_what_a_killed_process_left_of_its_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rmdir", killed)
        with pytest.raises(KeyboardInterrupt):
            check_folder(tmp_path / "out")
    assert len([*tmp_path.iterdir()]) == 1
    (tmp_path / "of a user-probe").mkdir()
    check_folder(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["of a user-probe"]


def test_sha256_file_of_a_file_without_an_end_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of /proc/self/pagemap, which states no size and has terabytes; a stranger's link may lead to it."""
    (tmp_path / "a").write_bytes(b"abc" * 200_000)
    expected = hashlib.sha256(b"abc" * 200_000).hexdigest()
    assert sha256_file(tmp_path / "a") == expected and has_sha256(tmp_path / "a", expected)
    monkeypatch.setattr(files, "_MOST_UNSTATED", 1000)
    assert sha256_file(tmp_path / "a") == expected
    if not Path("/proc/self/maps").exists():
        pytest.skip("no /proc here")
    assert os.stat("/proc/self/maps").st_size == 0
    with pytest.raises(OSError, match="more bytes than it states"):
        sha256_file(Path("/proc/self/maps"))
    assert not has_sha256(Path("/proc/self/maps"), expected)
