"""Folders that several processes of one test run use, and one of them fills."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def shared_folder(folder: Path, fill: Callable[[Path], object]) -> Iterator[Path]:
    """A folder that whoever comes first fills while the others wait, and whoever goes last deletes: it may be large."""
    with open(folder.with_name(f"{folder.name}.lock"), "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            draft = folder.with_name(f"{folder.name}-draft")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            fill(draft)
            draft.rename(folder)
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield folder
        with suppress(BlockingIOError):  # another one uses it
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
