"""Files and folders that are whole or not there, and locks."""

import multiprocessing
from pathlib import Path

import pytest

from uvgen.errors import DatasetError, OutputError, SampleError
from uvgen.storage.files import draft_of, folder_on_success, replaced_on_success
from uvgen.storage.locks import exclusive, locked


def test_replaced_on_success_of_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), replaced_on_success(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_replaced_on_success_replaces_and_makes_folders(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with replaced_on_success(tmp_path / "new/a") as temporary:
            temporary.write_text(text)
    assert (tmp_path / "new/a").read_text() == "two" and len(list((tmp_path / "new").iterdir())) == 1


def test_folder_on_success_appears_when_it_is_whole(tmp_path: Path) -> None:
    with folder_on_success(tmp_path / "out") as draft:
        (draft / "a").write_text("content")
        assert not (tmp_path / "out").exists() and draft == draft_of(tmp_path / "out")
    assert (tmp_path / "out/a").read_text() == "content" and not draft.exists()


def test_folder_on_success_goes_on_with_what_an_interrupted_run_left(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), folder_on_success(tmp_path / "out") as draft:
        (draft / "a").write_text("first")
        raise KeyboardInterrupt
    assert not (tmp_path / "out").exists()
    with folder_on_success(tmp_path / "out") as draft:
        assert (draft / "a").read_text() == "first"
    assert (tmp_path / "out/a").exists()


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
        ready.wait()
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
    (tmp_path / ".uvgen-1-a.h5").write_text("half")
    (tmp_path / "a.h5").write_text("whole")
    (tmp_path / ".uvgen-draft").mkdir()  # another job's, which goes on with it
    with exclusive(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {"a.h5", ".uvgen-draft"}
        (tmp_path / ".uvgen-2-b.h5").write_text("half")
    assert {path.name for path in tmp_path.iterdir()} == {"a.h5", ".uvgen-draft"}
