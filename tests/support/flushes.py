"""What is on the disk, and not only in memory, when a journal says that it is there."""

import os
from pathlib import Path

import pytest

from uvgen.storage.files import is_temporary
from uvgen.storage.journal import JOURNAL, Journal


def unflushed(monkeypatch: pytest.MonkeyPatch) -> dict[Path, list[str]]:
    """From now on, by folder: the files that were there, and not flushed to the disk, when its journal got a line.

    Not those of other processes. A power failure may leave these files empty, and the line.
    """
    flushed, found, append = set[int](), dict[Path, list[str]](), Journal.append

    def checked(journal: Journal, value: object) -> None:
        folder = journal._path.parent
        files = [path for path in folder.rglob("*") if path.is_file() and not is_temporary(path.name)]
        files = [path for path in files if path.name not in (JOURNAL, ".found")]
        late = [str(path.relative_to(folder)) for path in files if path.stat().st_ino not in flushed]
        found[folder] = sorted({*found.get(folder, ()), *late})
        append(journal, value)

    monkeypatch.setattr(os, "fsync", lambda handle: flushed.add(os.fstat(handle).st_ino))
    monkeypatch.setattr(Journal, "append", checked)
    return found
