"""Shards of data sets in object stores: in the cache, fetched ahead of their readers."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from uvgen.errors import DatasetError
from uvgen.shards.index import ShardEntry
from uvgen.storage.object_cache import cache_limit, cached_file, forget, is_cached, objects_folder
from uvgen.storage.urls import url_of

_THREADS = 4
_AHEAD = 0.75  # of the cache, that is filled with what is needed next


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
