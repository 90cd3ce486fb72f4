"""Folders that several processes of one test run use, and one of them fills; what a folder holds."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def shared_folder(folder: Path, fill: Callable[[Path], object]) -> Iterator[Path]:
    """A folder that whoever comes first fills while the others wait, and whoever goes last deletes: it may be large."""
    filling, using = (folder.with_name(f"{folder.name}.{what}") for what in ("filling", "using"))
    with open(filling, "a", encoding="utf-8") as short, open(using, "a", encoding="utf-8") as long:
        fcntl.flock(short, fcntl.LOCK_EX)  # held for as long as it takes to fill the folder, or to delete it
        if not folder.exists():
            draft = folder.with_name(f"{folder.name}-draft")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            fill(draft)
            draft.rename(folder)
        fcntl.flock(long, fcntl.LOCK_SH)  # held while the folder is used: who finds it waits for nobody
        fcntl.flock(short, fcntl.LOCK_UN)
        yield folder
        fcntl.flock(short, fcntl.LOCK_EX)
        with suppress(BlockingIOError):  # another one uses it
            fcntl.flock(long, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


def contents_below(folder: Path) -> dict[str, bytes]:
    """The bytes of each file in a folder and the folders in it, by its path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
