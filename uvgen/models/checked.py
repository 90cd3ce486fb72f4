"""Which model files have been read whole and found to be what their hash says: each is hashed once.

A file counts as the same as long as its path, size, time of change and number (inode) are. What was found is kept in
this process, and as an empty file in the user's cache folder for all others: opening a model then takes milliseconds.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from uvgen.errors import ModelError
from uvgen.storage.cache import cache_folder

if TYPE_CHECKING:
    from uvgen.models.morphable import MorphableModel

FileState = tuple[int, int, int, int]
"""Which file it is (device, inode), its size and the time of its last change."""

_checked: set[str] = set()  # keys of files that this process knows to be sound
_states: "WeakKeyDictionary[MorphableModel, FileState]" = WeakKeyDictionary()  # of their files when they were read
_RULES = 3  # counts what is checked besides the hash: files that an earlier version found sound are read again


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
        If they differ.
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
    with suppress(OSError):  # if the cache cannot be written, each process hashes the file again
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()


def _key(path: Path, stated: str) -> str:
    state = os.stat(path)
    fields = (_RULES, os.path.realpath(path), state.st_size, state.st_mtime_ns, state.st_ino, state.st_dev, stated)
    return hashlib.sha256(repr(fields).encode("utf-8", "surrogatepass")).hexdigest()


def file_state(path: Path) -> FileState | None:
    """What distinguishes a file from others, and from itself after a change; None without a file."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def remember_file(model: "MorphableModel", state: FileState | None) -> None:
    """Note what the file of a model was before it was read, for `check_unchanged`."""
    if state is not None:
        _states[model] = state


def check_unchanged(model: "MorphableModel", content_hash: Callable[["MorphableModel"], str]) -> None:
    """Raise ModelError if the file that a model is mapped from was written to since, and holds something else.

    A new file of its name does not matter: the old one stays mapped. `content_hash` is
    `uvgen.models.morphable.hash_arrays`.
    """
    before = _states.get(model)
    if before is None or model.path is None:
        return
    now = file_state(model.path)
    if now is None or now[:2] != before[:2] or now == before:
        return
    if now[2] != before[2] or content_hash(model) != model.content_sha256:  # of one cut short, reading ends the process
        raise ModelError(f"{model.path}: was written to while it was in use; run the command again")
    _states[model] = now
