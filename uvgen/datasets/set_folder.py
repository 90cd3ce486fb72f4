"""The folder of a set while it is made, and the object store behind it if the folder is a mirror."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from uvgen.datasets.output_folder import check_store
from uvgen.errors import DatasetError
from uvgen.shards.index import Index
from uvgen.storage.folders import DATASET_INDEX, SHARD_NAME
from uvgen.storage.object_cache import draft
from uvgen.storage.objects import fetch, listed, remove, upload
from uvgen.storage.transfers import TRIES
from uvgen.storage.urls import url_of


class SetFolder:
    """The place where a run writes a set: it stays the same folder, and a store holds what the mirror holds.

    Attributes
    ----------
    folder : Path
        The folder, or the mirror.
    index_sha256 : str
        Of the index that `write_index` wrote last; empty before.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.index_sha256 = folder, ""
        self._identity: tuple[int, int] | None = None
        self._stored: dict[str, int] | None = None  # sizes of what the store holds; None for a folder on this machine
        self._stored_index: bytes | None = None

    def open(self) -> None:
        """Note which folder it is, now that it is locked, and what the store holds."""
        self._identity = identity(self.folder)
        if url_of(self.folder) is not None:
            check_store(self.folder)  # again: another run may have finished before this one's claim
            self._stored = listed(self.folder)
            self._stored_index = self._index_bytes()

    def size(self, file: str) -> int:
        """Bytes of a finished file; -1 if there is none."""
        if self._stored is not None:
            return self._stored.get(file, -1)
        path = self.folder / file
        return path.stat().st_size if path.exists() else -1

    def found_index_sha256(self) -> str:
        """SHA-256 of the index that is there; of nothing if there is none."""
        return hashlib.sha256(self._index_bytes() or b"").hexdigest()

    def write_index(self, index: Index) -> None:
        """Write `dataset.json`, and upload it if that changes what the store holds.

        DatasetError if the folder is another than `open` found.
        """
        if self._identity != identity(self.folder):  # flushing the journal may have taken seconds
            raise DatasetError(
                f"{self.folder}: was deleted, moved or replaced while it was written; run the command again"
            )
        data = index.write(self.folder)
        self.index_sha256 = hashlib.sha256(data).hexdigest()
        if self._stored is not None and data != self._stored_index:
            self._put(DATASET_INDEX, data)
            self._stored_index = data

    def check_stored_index(self) -> None:
        """Upload the index again if an older one is in the store: of a try that was given up, and ended all the
        same."""
        if self._stored is None:
            return
        data = self._stored_index or b""
        for _ in range(TRIES):
            with draft(DATASET_INDEX) as new:
                fetch(self.folder / DATASET_INDEX, new.path)
                if new.path.read_bytes() == data:
                    return
            self._put(DATASET_INDEX, data)
        raise DatasetError(f"{self.folder / DATASET_INDEX}: another index is there; does another build write there?")

    def store(self, file: str, data: bytes) -> None:
        """Upload a small file; nothing for a folder on this machine."""
        if self._stored is not None:
            self._put(file, data)

    def stored_shards(self) -> dict[str, str]:
        """SHA-256 of shards that the store's index lists, outdated ones too, and that are there; none without an index.

        Files of other names or sizes are not what a run put there, whoever lists them.
        """
        if self._stored is None:
            return {}
        try:
            index = Index.read(self.folder)
        except DatasetError:
            return {}
        found = {file: sha256 for file, sha256 in index.outdated.items() if file in self._stored}
        for entry in index.shards:
            if entry.sha256 is not None and self._stored.get(entry.file) == entry.size_bytes:
                found[entry.file] = entry.sha256
        return {file: sha256 for file, sha256 in found.items() if SHARD_NAME.fullmatch(file)}

    def remove_stored(self, files: Iterable[str]) -> None:
        """Delete files that `open` found in the store; nothing for a folder on this machine."""
        if self._stored is not None:
            remove(self.folder / file for file in files if file in self._stored)

    def _index_bytes(self) -> bytes | None:
        try:
            return (self.folder / DATASET_INDEX).read_bytes()
        except OSError:
            return None

    def _put(self, file: str, data: bytes) -> None:
        """Upload a small file.

        Not by way of the mirror: whoever reads the set on this machine meanwhile fetches there what the store holds.
        """
        with draft(file) as new:
            new.path.write_bytes(data)
            upload(self.folder / file, new.path)


def identity(path: Path) -> tuple[int, int] | None:
    """What two names of one file have in common; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
