"""A journal: what is read of it, and what is in its place that is none."""

import errno
import os
from pathlib import Path

import pytest
from support.faults import fail_reads

from uvgen.errors import DatasetError
from uvgen.storage.journal import Journal


@pytest.mark.parametrize("link", [os.link, os.symlink, None])
@pytest.mark.parametrize("is_read", [True, False])
def test_journal_in_place_of_another_file_leaves_what_that_leads_to_alone(tmp_path: Path, link, is_read) -> None:
    path, other = tmp_path / ".uvgen-journal", tmp_path / "precious"
    other.write_text("precious\n" * 99)
    path.write_text("notes") if link is None else link(other, path)
    journal = Journal(path, "work")
    if is_read:
        assert journal.read() == []
    for value in ("first", "second"):
        journal.append(value)
        journal.close()
    assert other.read_text() == "precious\n" * 99
    assert Journal(path, "work").read() == ["first", "second"] and not path.is_symlink()


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EMFILE, errno.EACCES]
)
def test_journal_that_cannot_be_read_now_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path = tmp_path / ".uvgen-journal"
    journal = Journal(path, "work")
    journal.append(1)
    journal.close()
    with monkeypatch.context() as patched:
        fail_reads(patched, path.name, number)
        for read in (Journal(path, "work").read, Journal(path, "work").read_any):
            with pytest.raises(DatasetError, match=rf"cannot be read \({os.strerror(number)}\); .*; then run"):
                read()
    assert Journal(path, "work").read() == [1]


def test_journal_goes_on_with_its_own_lines(tmp_path: Path) -> None:
    path = tmp_path / ".uvgen-journal"
    journal = Journal(path, "work")
    journal.append(1)
    journal.close()
    with open(path, "ab") as file:
        file.write(b"0123 cut sho")
    journal = Journal(path, "work")
    assert journal.read() == [1]
    journal.append(2)
    assert Journal(path, "work").read() == [1, 2]
    other = Journal(path, "other work")
    assert other.read_any() == [1, 2]
    assert other.read() == []
    other.append(3)
    assert Journal(path, "other work").read() == [3] and Journal(path, "work").read() == []


def test_journal_whose_place_a_folder_takes_says_so(tmp_path: Path) -> None:
    (tmp_path / ".uvgen-journal").mkdir()
    with pytest.raises(DatasetError, match=r"\.uvgen-journal: cannot be written"):
        Journal(tmp_path / ".uvgen-journal", "work").append(1)
