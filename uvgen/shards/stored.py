"""Shards of data sets in object stores: in the cache, fetched ahead of their readers."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from uvgen.errors import DatasetError
from uvgen.shards.index import ShardEntry
from uvgen.storage.files import has_sha256
from uvgen.storage.object_cache import cache_limit, cached_file, forget, is_cached, objects_folder
from uvgen.storage.urls import url_of

_THREADS = 4
_AHEAD = 0.75  # of the cache, that is filled with what is needed next
_TRIES = 16  # to open a shard before other processes take its room in the cache

_Found = TypeVar("_Found")


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
        is_gone = forget(entry.sha256, ".h5")
        if not is_gone and is_cached(entry.sha256, ".h5", entry.size_bytes):
            raise DatasetError(
                f"{folder / entry.file}: cannot be fetched anew, as {objects_folder()} cannot be written; set "
                "UVGEN_CACHE to another folder"
            )
    return shard_path(folder, entry)


def with_shard(
    folder: Path,
    entry: ShardEntry,
    use: Callable[[Path], _Found],
    *,
    anew: bool = False,
    failed: Callable[[_Found], object] = lambda _: False,
) -> _Found:
    """What comes of a shard's file, as of opening it.

    From the cache, any process that needs room may delete it between being fetched and being used: if that fails, and
    the file has gone or is another one by then, it is fetched and used again. So is one that was damaged in the cache.
    A file of the set's own folder is used once.

    Parameters
    ----------
    folder, entry : Path, ShardEntry
        The set's folder, and what its index says of the shard.
    use : callable
        What to do with the path: all that needs a file to be there.
    anew : bool
        Whether to fetch what the store holds now: see `shard_anew`.
    failed : callable
        Whether what `use` has returned says that the shard could not be used. An OSError always does.

    Raises
    ------
    DatasetError
        As `shard_path`, or if the shard leaves the cache each time.
    """
    path = shard_anew(folder, entry) if anew else shard_path(folder, entry)
    if entry.sha256 is None or url_of(folder) is None:
        return use(path)
    for _ in range(_TRIES):
        version = _version(path)
        try:
            if not failed(found := use(path)):
                return found
        except OSError:
            if not _is_lost(path, version, entry.sha256):
                raise
        else:
            if not _is_lost(path, version, entry.sha256):
                return found
        path = shard_path(folder, entry)
    raise DatasetError(
        f"{folder / entry.file}: left the cache, or was damaged there, {_TRIES} times before it could be used; "
        f"expected room in {objects_folder()} for what all processes use at once, set UVGEN_STORE_CACHE_GB to more"
    )


def _version(path: Path) -> tuple[int, int] | None:
    """What tells a file from one that has taken its place, perhaps with the inode that it had; None if it is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_ctime_ns


def _is_lost(path: Path, version: tuple[int, int] | None, sha256: str) -> bool:
    """Whether a cached file has gone, or is another one now; or is damaged, and was deleted for that."""
    if version is None or _version(path) != version:
        return True
    return not has_sha256(path, sha256) and forget(sha256, path.suffix)


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
