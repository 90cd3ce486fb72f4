"""What runs note of files before they write them, and how files that nobody lists are told apart by it."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from uvgen.errors import DatasetError
from uvgen.fitting import written
from uvgen.fitting.written import NOTE, InputFiles, TakenError, known_content, note, noted, remove_notes


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def as_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "_notes", {})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(NOTE))


def test_what_a_process_that_died_has_written_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "a.jpg", tmp_path / "a.mat"
    InputFiles(tmp_path, Path("a.jpg")).write({one: b"same", two: b"earlier"})
    as_another_process(monkeypatch)
    number = one.stat().st_ino
    files = InputFiles(tmp_path, Path("a.jpg"))
    files.check([one, two])
    files.write({one: b"same", two: b"later"})
    assert (one.stat().st_ino, two.read_bytes()) == (number, b"later") and names(tmp_path) == ["a.jpg", "a.mat"]
    assert noted(tmp_path) == {"a.jpg": {sha256(b"same")}, "a.mat": {sha256(b"earlier"), sha256(b"later")}}
    assert len(list(tmp_path.glob(f"{NOTE}*"))) == 2
    remove_notes(tmp_path)
    with pytest.raises(TakenError, match=r"^a\.jpg: .*a\.jpg would be replaced"):
        files.check([one])


@pytest.mark.parametrize("kind", ["file", "folder", "link", "broken link", "same content"])
def test_names_that_something_else_has_are_not_taken(tmp_path: Path, kind: str) -> None:
    out, path = tmp_path / "out", tmp_path / "out" / "a.mat"
    out.mkdir()
    (tmp_path / "target").write_bytes(b"made")
    if kind == "folder":
        path.mkdir()
    elif "link" in kind:
        path.symlink_to(tmp_path / ("target" if kind == "link" else "nowhere"))
    else:
        path.write_bytes(b"made" if kind == "same content" else b"mine")
    before = path.lstat()
    with pytest.raises(TakenError):
        InputFiles(out, Path("a.jpg")).write({out / "a.jpg": b"picture", path: b"made"})
    assert names(out) == ["a.mat"] and os.path.samestat(path.lstat(), before)
    assert not noted(out)


@pytest.mark.parametrize("other", [b"made", b"made of others"])
def test_another_process_at_work_on_an_input_takes_no_name_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: bytes
) -> None:
    """A cluster may give a task to a second process while the first still runs."""
    path, link = tmp_path / "a.mat", os.link

    def late(*paths: Path) -> None:
        if not path.exists():
            own = dict(written._notes)
            as_another_process(monkeypatch)
            note(tmp_path, {path: sha256(other)})
            monkeypatch.setattr(written, "_notes", own)
            path.write_bytes(other)
        link(*paths)

    monkeypatch.setattr(os, "link", late)
    InputFiles(tmp_path, Path("a.jpg")).write({path: b"made"})
    assert path.read_bytes() == b"made" and names(tmp_path) == ["a.mat"]


def test_a_file_has_its_name_although_the_answer_of_a_disk_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def lose(*paths: Path) -> None:
        link(*paths)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    monkeypatch.setattr(os, "link", lose)
    InputFiles(tmp_path, Path("a.jpg")).write({tmp_path / "a.mat": b"made"})
    assert names(tmp_path) == ["a.mat"] and (tmp_path / "a.mat").read_bytes() == b"made"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "b/../../a", "/", "a\0b", "folder/a", "link", "folder", "gone"]
)
def test_only_files_of_the_folder_itself_are_known(tmp_path: Path, name: str) -> None:
    """A note may be somebody else's work."""
    out = tmp_path / "out"
    out.mkdir()
    for path in (tmp_path / "a", out / "b"):
        path.write_bytes(b"made")
    (out / "folder").symlink_to(tmp_path)
    (out / "link").symlink_to(tmp_path / "a")
    note(out, {out / name: sha256(b"made"), out / "b": sha256(b"made")} if "\0" not in name and name[:1] != "/" else {})
    assert known_content(out, name, {sha256(b"made")}) == "" and known_content(out, "b", {sha256(b"made")})
    assert known_content(out, str(tmp_path / "a"), {sha256(b"made")}) == ""


def test_lines_of_a_note_that_say_something_else_count_for_nothing(tmp_path: Path) -> None:
    note(tmp_path, {tmp_path / "a": "1"})
    _, journal = written._notes[os.getpid(), tmp_path]
    for line in ([1], "text", {"b": 1, "c": None}, {"d": ["1"]}, None):
        journal.append(line)
    journal.close()
    note(tmp_path, {tmp_path / "e": "2", tmp_path / "a": ""})
    assert noted(tmp_path) == {"e": {"2"}}


def test_notes_go_on_after_a_disk_was_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written of a line is no part of the next."""
    write = os.write

    def half(handle: int, data: bytes) -> int:
        write(handle, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    note(tmp_path, {tmp_path / "a": "1"})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(DatasetError):
            note(tmp_path, {tmp_path / "b": "2"})
    note(tmp_path, {tmp_path / "c": "3"})
    assert noted(tmp_path) == {"a": {"1"}, "c": {"3"}}


def test_a_full_disk_is_said_and_leaves_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DatasetError, match=r"a\.mat: cannot be written \(No space left on device\)"):
        InputFiles(tmp_path, Path("a.jpg")).write({tmp_path / "a.mat": b"made"})
    assert names(tmp_path) == []
