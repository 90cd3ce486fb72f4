"""Folders that are whole or not there."""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from uvgen.errors import DatasetError, OutputError, SampleError
from uvgen.storage import drafts
from uvgen.storage.drafts import (
    beside,
    draft_of,
    exchange,
    finish_exchange,
    folder_made_at_once,
    folder_on_success,
    other_drafts,
)
from uvgen.storage.files import replaced_on_success
from uvgen.storage.journal import Journal
from uvgen.storage.locks import locked


def test_folder_on_success_appears_when_it_is_whole(tmp_path: Path) -> None:
    with folder_on_success(tmp_path / "out") as draft:
        (draft / "a").write_text("content")
        assert not (tmp_path / "out").exists() and draft == draft_of(tmp_path / "out")
    assert (tmp_path / "out/a").read_text() == "content" and not draft.exists()


def test_folder_of_any_long_name_has_a_draft_that_every_disk_can_name(tmp_path: Path) -> None:
    for n in range(4):
        draft = draft_of(tmp_path / f"{'é' * 100}{'a' * n}")
        assert len(draft.name.encode("utf-8")) < 255 and f"{'é' * 50}{'a' * n}-" in draft.name
    assert draft_of(tmp_path / os.fsdecode(b"\x80" * 200)).name.encode("utf-8", "surrogateescape").count(b"\x80") > 100


def test_folder_on_success_goes_on_with_what_an_interrupted_run_left(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), folder_on_success(tmp_path / "out") as draft:
        (draft / "a").write_text("first")
        raise KeyboardInterrupt
    assert not (tmp_path / "out").exists()
    with folder_on_success(tmp_path / "out") as draft:
        assert (draft / "a").read_text() == "first"
    assert (tmp_path / "out/a").exists()


def test_folder_made_at_once_takes_nothing_over_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error), folder_made_at_once(target) as draft:
            (draft / "first").write_text("of the interrupted run")
            raise error
        assert os.listdir(tmp_path) == []
    draft_of(target).mkdir()
    (draft_of(target) / "first").write_text("of the killed run")
    with folder_made_at_once(target) as draft:
        (draft / "second").write_text("of the next")
    assert os.listdir(tmp_path) == ["out"] and os.listdir(target) == ["second"]


def two_folders(folder: Path) -> None:
    """An old one, and a new one that is to take its place."""
    for path, text in ((folder, "old"), (beside(folder), "new")):
        path.mkdir()
        (path / "text").write_text(text)


def after_renames(patch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> None:
    """What happens as soon as so many files or folders were renamed."""
    rename, calls = os.replace, list[Path]()

    def replace(old: Path, new: Path) -> None:
        rename(old, new)
        calls.append(new)
        if len(calls) == number:
            act()

    patch.setattr(os, "replace", replace)


@pytest.mark.parametrize("at", [1, 2])
def test_exchange_that_is_interrupted_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    folder = tmp_path / "out"
    two_folders(folder)
    after_renames(monkeypatch, at, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        exchange(beside(folder), folder, lambda: None)
    assert os.listdir(tmp_path) == ["out"] and (folder / "text").read_text() == "new"


def fail_renames(patch: pytest.MonkeyPatch, *numbers: int, done: bool) -> None:
    """Let the renames of these numbers, or all, fail; `done`: as of a server that did it, and is asked again."""
    rename, calls = os.replace, list[Path]()

    def replace(old: Path, new: Path) -> None:
        calls.append(new)
        fails = not numbers or len(calls) in numbers
        if done or not fails:
            rename(old, new)
        if fails:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(old))

    patch.setattr(os, "replace", replace)


@pytest.mark.parametrize("at", [1, 2])
def test_exchange_whose_rename_is_done_but_said_to_fail_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    folder = tmp_path / "out"
    two_folders(folder)
    fail_renames(monkeypatch, at, done=True)
    exchange(beside(folder), folder, lambda: None)
    assert os.listdir(tmp_path) == ["out"] and (folder / "text").read_text() == "new"


@pytest.mark.parametrize("fails", [[2], [2, 3]])
def test_exchange_that_fails_says_where_both_folders_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: list[int]
) -> None:
    folder, new = tmp_path / "out", beside(tmp_path / "out")
    folder.mkdir()
    new.mkdir()
    fail_renames(monkeypatch, *fails, done=False)
    with pytest.raises(DatasetError, match=r"out: cannot be replaced \(No such file") as found:
        exchange(new, folder, lambda: None)
    old = folder if fails == [2] else draft_of(folder)
    assert {*tmp_path.iterdir()} == {new, old}
    assert f"stays in {new} until" in str(found.value) and (f"the old one in {old}" in str(found.value)) == (
        old != folder
    )


@pytest.mark.parametrize("at", [1, 2])
def test_exchange_that_was_killed_is_finished_by_whoever_looks_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    folder = tmp_path / "out"
    two_folders(folder)
    after_renames(monkeypatch, at, lambda: os._exit(0))
    if not (child := os.fork()):
        with suppress(BaseException):
            exchange(beside(folder), folder, lambda: None)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    monkeypatch.undo()
    assert folder.exists() == (at == 2) and draft_of(folder).exists()
    if at == 1:
        with locked(beside(folder), wait=False):  # as while it is under way
            finish_exchange(folder)
        assert not folder.exists()
        finish_exchange(folder)
        assert os.listdir(tmp_path) == ["out"]
    finish_exchange(folder)
    assert (folder / "text").read_text() == "new"


def test_exchange_that_was_killed_leaves_what_has_come_to_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    two_folders(folder)
    draft_of(folder).mkdir()
    finish_exchange(folder)
    assert (folder / "text").read_text() == "old" and beside(folder).exists()
    shutil.rmtree(folder)
    draft_of(folder).rmdir()  # it was deleted, rather than put away
    finish_exchange(folder)
    assert os.listdir(tmp_path) == [beside(folder).name]


def test_exchange_replaces_a_folder_that_cannot_be_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Overlays rename no folder of a lower layer, such as one of a container's image."""
    folder, rename = tmp_path / "out", os.replace
    two_folders(folder)

    def replace(old: Path, new: Path) -> None:
        if old == folder:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(old))
        rename(old, new)

    monkeypatch.setattr(os, "replace", replace)
    exchange(beside(folder), folder, lambda: None)
    assert os.listdir(tmp_path) == ["out"] and (folder / "text").read_text() == "new"


@pytest.mark.parametrize("place", [replaced_on_success, folder_on_success])
def test_place_whose_rename_is_done_but_said_to_fail_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place
) -> None:
    fail_renames(monkeypatch, done=True)
    with place(tmp_path / "out"):
        pass
    assert os.listdir(tmp_path) == ["out"]


def test_folder_on_success_interrupted_before_its_first_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), folder_on_success(tmp_path / "out"):
        raise KeyboardInterrupt
    assert not [*tmp_path.iterdir()]


def test_folder_on_success_of_a_folder_made_meanwhile_leaves_no_empty_draft(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "other").touch()
    draft_of(tmp_path / "out").mkdir()  # as the lock around it does
    with pytest.raises(OutputError, match="exists and is not empty"), folder_on_success(tmp_path / "out"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folder_on_success_whose_draft_is_replaced_by_a_link_makes_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "file").touch()
    with pytest.raises(DatasetError, match="was moved or replaced"), folder_on_success(tmp_path / "out") as draft:
        draft.rename(tmp_path / "moved")
        draft.symlink_to(tmp_path / "others")
    assert not (tmp_path / "out").exists() and (tmp_path / "others" / "file").exists()


def test_folder_on_success_of_a_failure_leaves_nothing(tmp_path: Path) -> None:
    for error in (SampleError("bad"), OSError(28, "No space left on device"), ValueError("odd")):
        expected = DatasetError if isinstance(error, OSError) else type(error)
        with pytest.raises(expected), folder_on_success(tmp_path / "out") as draft:
            (draft / "a").write_text("half")
            raise error
        assert list(tmp_path.iterdir()) == []


def test_folder_on_success_never_replaces_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with folder_on_success(tmp_path / "out") as draft:  # an empty folder may stand there
        (draft / "a").write_text("")
    for taken in ("out", "out/a"):
        with pytest.raises(OutputError, match="exists and is not empty, expected a new folder"):
            folder_on_success(tmp_path / taken).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folder_on_success_whose_draft_is_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "thesis").write_text("mine")
    draft_of(tmp_path / "out").symlink_to(tmp_path / "else")
    with folder_on_success(tmp_path / "out") as draft:
        (draft / "a").write_text("a")
    assert [path.name for path in (tmp_path / "else").iterdir()] == ["thesis"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"] and not (tmp_path / "out").is_symlink()


def test_drafts_of_a_folder_that_was_moved_are_named(tmp_path: Path) -> None:
    draft_of(tmp_path / "a/out").mkdir(parents=True)
    draft_of(tmp_path / "a/out.2").mkdir()
    (tmp_path / "a" / f"{draft_of(tmp_path / 'else/out').name}").symlink_to(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    draft_of(tmp_path / "b/out").mkdir()
    assert other_drafts(tmp_path / "b/out") == [tmp_path / "b" / draft_of(tmp_path / "a/out").name]
    assert not other_drafts(tmp_path / "none/out")


def test_folder_on_success_whose_draft_cannot_be_deleted_whole_leaves_no_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is killed while it deletes, or the disk fails: the next run must not take the rest for finished."""
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: None)
    with pytest.raises(ValueError, match="oops"), folder_on_success(tmp_path / "out") as draft:
        journal = Journal(draft / ".uvgen-journal", "settings")
        journal.append("part")
        journal.close()
        raise ValueError("oops")
    assert draft.is_dir() and not (draft / ".uvgen-journal").exists()


def test_folder_on_success_whose_journal_cannot_be_deleted_keeps_what_it_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fail)
        with pytest.raises(ValueError, match="oops"), folder_on_success(tmp_path / "out") as draft:
            (draft / ".uvgen-journal").write_bytes(b"part\n")
            (draft / "part").write_bytes(b"content")
            raise ValueError("oops")
    assert sorted(path.name for path in draft.iterdir()) == [".uvgen-journal", "part"]


def test_secret_that_cannot_be_written_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("UVGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(Path, "write_bytes", full)
    assert drafts._secret.__wrapped__()
    assert not any(tmp_path.iterdir())


def test_a_draft_that_fails_is_removed_with_the_folders_of_processes_that_died(tmp_path: Path) -> None:
    """Another worker's part of an export is half written when one finds the disk full."""
    with pytest.raises(DatasetError, match="No space left"), folder_on_success(tmp_path / "out") as draft:
        (draft / ".uvgen-part-0123456789abcdef").mkdir()
        (draft / ".uvgen-part-0123456789abcdef/a.npy").touch()
        (draft / ".uvgen-journal").touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), draft / "b.npy")
    assert not [*tmp_path.iterdir()]
