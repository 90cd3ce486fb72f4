"""Which model files have been read whole and found to be what their hash says: each is hashed once.

A file counts as the same as long as its path, size, time of change and number (inode) are. What was found is kept in
this process, and as an empty file in the user's cache folder for all others: opening a model then takes milliseconds.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from uvgen.errors import ModelError
from uvgen.storage.cache import cache_folder

_checked: set[str] = set()  # keys of files that this process knows to be sound
_RULES = 2  # counts what is checked besides the hash: files that an earlier version found sound are read again


def check_once(path: Path, stated: str, content_hash: Callable[[], str]) -> None:
    """Compare the hash that a model file states with that of its content, unless it was done before.

    Parameters
    ----------
    path : Path
        The file.
    stated : str
        The hash written in it.
    content_hash : callable
        Computes the one of its content.

    Raises
    ------
    ModelError
        Where they differ.
    """
    key = _key(path, stated)
    if key in _checked:
        return
    note = cache_folder() / "models" / f"{key}.checked"
    with suppress(OSError):
        if note.exists():
            _checked.add(key)
            return
    if content_hash() != stated:
        raise ModelError(
            f"{path}: its content does not have the hash that is written in it: damaged or changed; convert it again"
        )
    _checked.add(key)
    with suppress(OSError):  # a cache that cannot be written costs the time that hashing takes, in each process
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()


def _key(path: Path, stated: str) -> str:
    state = os.stat(path)
    fields = (_RULES, os.path.realpath(path), state.st_size, state.st_mtime_ns, state.st_ino, state.st_dev, stated)
    return hashlib.sha256(repr(fields).encode("utf-8", "surrogatepass")).hexdigest()
