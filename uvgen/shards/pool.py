"""The shards that a reader has open: each is opened on first use, checked, and closed when many others are open."""

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from uvgen.errors import DatasetError
from uvgen.fixed_point import FixedPoint
from uvgen.shards.format import LEAST_SAMPLE_BYTES, Layout
from uvgen.shards.index import ShardEntry
from uvgen.shards.shard import OpenShard
from uvgen.shards.stored import with_shard
from uvgen.shards.table import ShardTable, names_digest
from uvgen.storage.files import sha256_file
from uvgen.storage.isolated import Hdf5Process
from uvgen.storage.names import os_reason
from uvgen.storage.objects import stored_size
from uvgen.storage.urls import url_of
from uvgen.wording import count, typed

_MAX_OPEN = 64  # files a pool keeps open


@dataclass(frozen=True, slots=True)
class ShardDemands:
    """What shards must be.

    Attributes
    ----------
    layouts : dict of str to Layout
        Shapes and dtypes that fields must have, if a shard has them.
    required, excluded : tuple of str
        Fields that each shard must have, and that none may have.
    origin : dict
        Attributes that the index states, and each shard must state as well: settings and model.
    hashed : bool
        Whether a shard's SHA-256 is compared with that of the index before HDF5 opens it.
    untrusted : bool
        Whether shards are read in a process of their own.
    """

    layouts: Mapping[str, Layout] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    hashed: bool = False
    untrusted: bool = False


class ShardPool:
    """The shards of a data set, by their number; safe in threads, after a fork, and when pickled.

    Attributes
    ----------
    folder : Path
        Where the shards are.
    entries : sequence of ShardEntry
        What the index says of each shard.
    demands : ShardDemands
    process : Hdf5Process or None
        What reads shards that are not trusted, once one was opened.
    """

    def __init__(self, folder: Path, entries: Sequence[ShardEntry], demands: ShardDemands) -> None:
        self.folder, self.entries, self.demands = folder, entries, demands
        self._layout: dict[str, tuple[tuple[int, ...], str, FixedPoint | None]] | None = None  # that all shards have
        self._changed: set[int] = set()  # shards that were written to while open, or only touched: their hash tells
        self._forget()

    def _forget(self) -> None:
        """Leave what belongs to another process: handles, lock, child."""
        self.process: Hdf5Process | None = None
        self._open: OrderedDict[int, OpenShard] = OrderedDict()
        self._lock, self._pid = threading.Lock(), os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        # a few arrays, however many samples there are
        return {**{name: getattr(self, name) for name in ("folder", "demands", "_layout")}, "entries": self.table}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._changed = set()
        self._forget()

    def subset(self, numbers: Sequence[int]) -> "ShardPool":
        """A pool of some of the shards."""
        other = ShardPool(self.folder, [self.entries[number] for number in numbers], self.demands)
        other._layout = self._layout
        return other

    @cached_property
    def table(self) -> ShardTable:
        """The entries without the samples' names."""
        return self.entries if isinstance(self.entries, ShardTable) else ShardTable(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: int) -> OpenShard:
        """A shard, open and checked; DatasetError if it is missing, damaged, or another than the index states."""
        if self._pid != os.getpid():
            self._forget()
        with self._lock:
            shard = self._open.get(number)
            if shard is not None and shard.has_changed():
                self._changed.add(number)
                del self._open[number]
                shard = None
            if shard is None:
                if self.demands.untrusted and self.process is None:
                    self.process = Hdf5Process()
                shard = self._opened(self.entries[number], hashed=self.demands.hashed or number in self._changed)
                self._check_names(number, shard)
                self._check_origin(shard)
                self._check_layout(shard)
                self._open[number] = shard
                self._changed.discard(number)
                if len(self._open) > _MAX_OPEN:
                    self._open.popitem(last=False)  # closed when the last thread that reads from it is done
            self._open.move_to_end(number)
            return shard

    def _opened(self, entry: ShardEntry, *, hashed: bool) -> OpenShard:
        """A shard that was just opened."""

        def opened(path: Path) -> OpenShard:
            if hashed:
                check_hash(path, entry.sha256, self.folder)
            demands = self.demands
            return OpenShard(
                path, entry.samples, demands.layouts, self.process,
                required=demands.required, excluded=demands.excluded, place=self.folder / entry.file,
            )  # fmt: skip

        return with_shard(self.folder, entry, opened)

    def _check_names(self, number: int, shard: OpenShard) -> None:
        if not isinstance(self.entries, ShardTable):
            shard.check_names(self.entries[number].names)
        elif (digest := self.entries.names_digest(number)) is not None:  # the names themselves stayed behind
            names = "\n".join(shard.texts("name"))
            shard.check_names(names if names_digest(names) == digest else "")

    def _check_origin(self, shard: OpenShard) -> None:
        """That a shard was made with the settings and the model that the index states, not by a later build."""
        origin = self.demands.origin
        if origin and (wrong := shard.other_origin({**shard.config, **origin})):
            raise DatasetError(
                f"{shard.place}: {wrong[0]}; was the set made again while it was open, or mixed with another? Open it "
                f"again, or run `uvgen verify {self.folder}`"
            )

    def _check_layout(self, shard: OpenShard) -> None:
        """That samples of all shards stack: the first one opened says how."""
        found = {
            name: (shape, "text" if dtype.kind == "S" else dtype.str, FixedPoint.of_attributes(shard.attributes[name]))
            for name, (shape, dtype) in shard.layouts.items()
            if name in shard.fields
        }
        self._layout = self._layout or found
        for name in sorted(found.keys() | self._layout.keys()):
            if found.get(name) != self._layout.get(name):
                here, others = (fields.get(name, "none") for fields in (found, self._layout))
                raise DatasetError(f"{shard.place}: {name} is {here}, in other shards {others}; build it again")


def check_hash(path: Path, sha256: str | None, folder: Path) -> None:
    """That a file of a data set has the SHA-256 of the index; DatasetError if it has another, or cannot be read."""
    try:
        found = sha256_file(path)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({os_reason(error)}); missing?") from error
    if found != sha256:
        raise DatasetError(
            f"{path}: its SHA-256 is not the one in the index; damaged or changed: run `uvgen verify {typed(folder)}`"
        )


def check_sizes(folder: Path, entries: Sequence[ShardEntry]) -> None:
    """Raise DatasetError if shards are too small for their samples: an order of them all would fill the memory."""
    for entry in entries:
        path = folder / entry.file
        try:
            size = path.stat().st_size if url_of(folder) is None else stored_size(path)
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read ({os_reason(error)}); missing?") from error
        if entry.samples * LEAST_SAMPLE_BYTES > size:
            raise DatasetError(
                f"{path}: has {size} bytes, too few for {count(entry.samples, 'sample')}; run `uvgen verify "
                f"{typed(folder)}`"
            )
