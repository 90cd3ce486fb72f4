"""What lies in a folder that a command fills: what links in it lead to is not the folder's, and stays as it is."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from uvgen.errors import DatasetError
from uvgen.storage.names import os_reason
from uvgen.storage.reading import let_go


def walked(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """What `os.walk` gives of a folder, which passes over what cannot be listed; that is a DatasetError here."""

    def fail(error: OSError) -> None:
        raise DatasetError(
            f"{error.filename or folder}: cannot be listed ({os_reason(error)}); run the command again"
        ) from error

    return os.walk(folder, onerror=fail)


def remove(path: Path) -> None:
    """Delete what has this name, if there is anything: a link rather than what it leads to, a folder with its files."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def empty(folder: Path) -> None:
    """Delete all that is in a folder."""
    for path in [*folder.iterdir()]:
        remove(path)


def discard(folder: Path, first: str) -> None:
    """Delete a folder, as far as that can be done: first the files in it whose names begin with `first`.

    A journal must not outlive the files that it lists: the next run would take them for finished. If it cannot be
    deleted, the folder stays as it is, for the next run to go on with.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # it is gone, or a link, and what that leads to is not ours
        return
    try:
        for name in os.listdir(handle):
            mode = os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode
            if name.startswith(first) and not stat.S_ISDIR(mode):
                os.unlink(name, dir_fd=handle)
    except OSError:
        return
    finally:
        let_go(handle)
    shutil.rmtree(folder, ignore_errors=True)


def link_between(folder: Path, path: Path) -> Path | None:
    """The first link among the folders that lead from a folder to a path in it; None if there is none.

    What lies behind one is not in the folder: it is neither written nor deleted.
    """
    parents = [parent for parent in path.parents if parent.is_relative_to(folder) and parent != folder]
    return next((parent for parent in reversed(parents) if parent.is_symlink()), None)
