"""Data sets in object stores: small files in a mirror, shards in the cache, fetched ahead of their readers."""

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from uvgen.errors import DatasetError, UvgenError
from uvgen.shards.constants import CONSTANTS
from uvgen.shards.index import Index, ShardEntry
from uvgen.storage.cache import cache_folder
from uvgen.storage.files import has_sha256, remove_leftovers
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.object_cache import cache_limit, cached_file, forget, is_cached, objects_folder
from uvgen.storage.objects import fetch, listed, url_of
from uvgen.storage.transfers import MissingError
from uvgen.wording import count

_SPLITS = "splits.json"
_THREADS = 4
_AHEAD = 0.75  # of the cache, that is filled with what is needed next


def mirror_set(folder: Path) -> None:
    """Bring a mirror's small files up to what the store holds: the index, the constants and the splits.

    Raises
    ------
    DatasetError
        If the store cannot be reached or holds no data set there.
    """
    remove_leftovers(folder)
    try:
        index = fetch_index(folder) or Index.read(folder)
    except MissingError as error:
        raise DatasetError(_no_set(folder)) from error
    if index.constants_sha256 and not has_sha256(folder / CONSTANTS, index.constants_sha256):
        _fetch_or_forget(folder / CONSTANTS, index.constants_sha256)
    _fetch_or_forget(folder / _SPLITS)


def fetch_index(folder: Path) -> Index | None:
    """Fetch a data set's index; None if what is there is none that can be read, also when it is fetched again.

    DatasetError if it cannot be fetched, `MissingError` if there is none.
    """
    for _ in range(2):
        fetch(folder / DATASET_INDEX)
        with suppress(DatasetError):
            return Index.read(folder)
    return None


def _fetch_or_forget(path: Path, sha256: str | None = None) -> None:
    """Fetch a file that may be missing; who needs it says so."""
    try:
        fetch(path, sha256=sha256)
    except MissingError:
        _remove(path)
    except DatasetError as error:  # who may not list a bucket hears of a missing file that it may not be read
        if sha256 is not None or not isinstance(error.__cause__, PermissionError):
            raise
        _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        if not os.path.lexists(path):  # on a read-only disk
            return
        raise DatasetError(
            f"{path}: is in the cache, {cache_folder()}, but not in the store, and cannot be deleted "
            f"({error.strerror or error}); delete it, or set UVGEN_CACHE to another folder"
        ) from error


def _no_set(folder: Path) -> str:
    """What to say of a place in a store without an index."""
    try:
        there = listed(folder)
    except UvgenError:
        there = {}
    sets = sorted({name.rpartition("/")[0] for name in there if name.endswith(f"/{DATASET_INDEX}")})
    expected = f"expected one that `uvgen build` made, with {DATASET_INDEX}"
    if sets:
        return f"{folder}: not a data set, {expected}; those below it: {', '.join(sets[:3])}"
    held = f"holds {count(len(there), 'file')}, but no {DATASET_INDEX}" if there else "holds nothing"
    return f"{folder}: not a data set, it {held}; {expected}"


def shard_path(folder: Path, entry: ShardEntry) -> Path:
    """Where a shard can be opened: in its folder, or for a store's mirror in the cache, fetched if it is not there.

    Raises
    ------
    DatasetError
        If it cannot be fetched, or the store holds another content under its name.
    """
    path = folder / entry.file
    if entry.sha256 is None or url_of(folder) is None:
        return path
    return cached_file(path, entry.sha256, entry.size_bytes)


def is_at_hand(folder: Path, entry: ShardEntry) -> bool:
    """Whether a shard can be read without fetching it."""
    return url_of(folder) is None or entry.sha256 is None or is_cached(entry.sha256, ".h5", entry.size_bytes)


def shard_anew(folder: Path, entry: ShardEntry) -> Path:
    """As `shard_path`; what the store holds now, not what it held when it was fetched."""
    if entry.sha256 is not None and url_of(folder) is not None:
        forget(entry.sha256, ".h5")
        if is_cached(entry.sha256, ".h5", entry.size_bytes):  # the cache cannot be written
            raise DatasetError(
                f"{folder / entry.file}: cannot be fetched anew, as {objects_folder()} cannot be written; set "
                "UVGEN_CACHE to another folder"
            )
    return shard_path(folder, entry)


class ReadAhead:
    """Threads that fetch shards into the cache before a reader needs them, in the order in which it does.

    No more is fetched than the cache holds besides what is in use; a shard that cannot be fetched is left to the
    reader, who says what is wrong.

    Parameters
    ----------
    folder : Path
        The mirror of the data set.
    entries : sequence of ShardEntry
        Its shards.
    order : (n,) int
        For each sample that is read, in order, the number of its shard.
    """

    def __init__(self, folder: Path, entries: Sequence[ShardEntry], order: ArrayLike) -> None:
        numbers = np.asarray(order, np.int64)
        shards, firsts = np.unique(numbers, return_index=True)
        lasts = len(numbers) - 1 - np.unique(numbers[::-1], return_index=True)[1]
        by_first = np.argsort(firsts, kind="stable")
        self._folder, self._entries = folder, [entries[k] for k in shards[by_first].tolist()]
        sizes = np.array([entry.size_bytes for entry in self._entries], np.int64)
        self._ends = np.cumsum(sizes)
        by_last = np.argsort(lasts[by_first], kind="stable")
        self._lasts, self._freed = lasts[by_first][by_last], np.cumsum(sizes[by_last])
        self._next, self._lock, self._stop = 0, threading.Lock(), threading.Event()
        self._limit = _AHEAD * cache_limit(objects_folder())
        self.given = 0
        """Samples that were read; the reader sets it."""
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name="uvgen-read-ahead")
            for _ in range(min(_THREADS, len(self._entries)))
        ]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                number = self._next
                if number == len(self._entries):
                    return
                done = int(np.searchsorted(self._lasts, self.given))  # shards whose last sample was read
                used = int(self._ends[number]) - (int(self._freed[done - 1]) if done else 0)
                if fits := used <= self._limit:
                    self._next += 1
            if not fits:
                self._stop.wait(0.05)
                continue
            with suppress(DatasetError, OSError):
                shard_path(self._folder, self._entries[number])

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until all that fits is fetched: for tests and measurements."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def close(self) -> None:
        """Fetch nothing further; what is being fetched is finished in the background."""
        self._stop.set()
