"""The list of a data set's shards as a few arrays: what another process gets of an index of any length.

The names of the samples, most of an index, are not among them, but a hash of each shard's: enough to refuse a shard
that holds others. Arrays are pickled as they lie in memory, or shared between processes without a copy.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError
from uvgen.shards.index import Index, ShardEntry

_DIGEST_BYTES = 16
_UNKNOWN = bytes(_DIGEST_BYTES)


class _Texts(NamedTuple):
    """Texts, one after the other: where each ends, and their bytes in UTF-8."""

    ends: NDArray[np.int64]
    data: NDArray[np.uint8]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "_Texts":
        pieces = [text.encode("utf-8", "surrogatepass") for text in texts]
        return cls(np.cumsum([len(piece) for piece in pieces], dtype=np.int64), np.frombuffer(b"".join(pieces), "u1"))

    def text(self, k: int) -> str:
        data = self.data[int(self.ends[k - 1]) if k else 0 : int(self.ends[k])]
        return data.tobytes().decode("utf-8", "surrogatepass")


class ShardTable(Sequence[ShardEntry]):
    """Entries of an index without the names of their samples, made as they are asked for.

    Parameters
    ----------
    entries : sequence of ShardEntry
        Shards that have samples.
    """

    def __init__(self, entries: Sequence[ShardEntry]) -> None:
        self._files = _Texts.of(entry.file for entry in entries)
        self._hashes = _Texts.of(entry.sha256 or "" for entry in entries)
        self._counts = np.array([(entry.samples, entry.size_bytes) for entry in entries], np.int64).reshape(-1, 2)
        digests = [_UNKNOWN if entry.names is None else names_digest(entry.names) for entry in entries]
        self._names = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, _DIGEST_BYTES)

    def __len__(self) -> int:
        return len(self._counts)

    @overload
    def __getitem__(self, key: int) -> ShardEntry: ...
    @overload
    def __getitem__(self, key: slice) -> list[ShardEntry]: ...
    def __getitem__(self, key: int | slice) -> ShardEntry | list[ShardEntry]:
        if isinstance(key, slice):
            return [self[k] for k in range(*key.indices(len(self)))]
        if not -len(self) <= key < len(self):
            raise IndexError(f"shard {key} of {len(self)}")
        k = key % len(self)
        samples, size_bytes = self._counts[k].tolist()
        return ShardEntry(self._files.text(k), samples, size_bytes, self._hashes.text(k) or None)

    def names_digest(self, k: int) -> bytes | None:
        """The `names_digest` of a shard's names; None if the index does not list them."""
        digest = self._names[k].tobytes()
        return None if digest == _UNKNOWN else digest


def names_digest(names: str) -> bytes:
    """A hash of a shard's sample names, a line each."""
    return hashlib.sha256(names.encode("utf-8", "surrogatepass")).digest()[:_DIGEST_BYTES]


def listed_names(folder: Path, entries: Sequence[ShardEntry]) -> list[list[str] | None]:
    """The names of all samples of each shard, as far as an index lists them; a table's are read in the folder again."""
    if not isinstance(entries, ShardTable):
        return [entry.sample_names for entry in entries]
    try:
        there = {entry.file: entry for entry in Index.read(folder).shards}
    except DatasetError:
        there = {}
    listed: list[list[str] | None] = []
    for k, entry in enumerate(entries):
        now = there.get(entry.file)
        same = now is not None and now.names is not None and names_digest(now.names) == entries.names_digest(k)
        listed.append(now.sample_names if now is not None and same else None)
    return listed
