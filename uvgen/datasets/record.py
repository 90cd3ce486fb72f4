"""A data set's index as the record of its finished shards: what build and augment have in common."""

import dataclasses
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from uvgen.datasets.begun import check_same_settings
from uvgen.datasets.output_folder import named_like_shards, read_begun
from uvgen.datasets.quality.survey import NOT_SURVEYED, SURVEYED, not_surveyed
from uvgen.datasets.set_folder import SetFolder, identity
from uvgen.described import described
from uvgen.errors import DatasetError, OutputError
from uvgen.shards.constants import CONSTANTS, constants_bytes, write_constants
from uvgen.shards.format import is_shard
from uvgen.shards.index import Index, ShardEntry, SkippedSample, known, plain
from uvgen.shards.writer import as_stored
from uvgen.storage.files import delete
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.isolated import reading_in_child
from uvgen.storage.journal import JOURNAL, Journal
from uvgen.storage.kinds import HDF5_SIGNATURE
from uvgen.storage.reading import open_regular
from uvgen.storage.urls import url_of, writes_are_commits


class ShardUnit(Protocol):
    """A shard to make."""

    @property
    def file(self) -> str:
        """Its name in the folder."""

    @property
    def n_samples(self) -> int:
        """How many it has, skipped ones included."""

    def names(self) -> frozenset[str] | None:
        """The names by which its samples are skipped; None if they are not known."""

    def stored_names(self, skipped: Set[str], *, augmented: bool) -> list[str] | None:
        """The names of the samples that its shard has without some that are skipped; None if they are not known.

        `augmented` says whether a build makes augmented copies, which are named otherwise.
        """


@dataclass(frozen=True, slots=True)
class ShardResult:
    """The result of making one shard: its entry in the index, the skipped samples, and remarks on others.

    `remarks` are pairs of what it is ("exif" for an orientation, else landmarks that cannot be used) and the sample.
    """

    entry: ShardEntry
    skipped: tuple[SkippedSample, ...]
    remarks: tuple[tuple[str, str], ...] = ()

    __repr__ = described


_SECONDS_BETWEEN_WRITES = 10.0
_SECONDS_BETWEEN_COMMITS = 1800.0  # where each write of the index stays in a repository's history


class ShardRecord:
    r"""`dataset.json` and its journal while shards are made.

    Each finished shard is a line in the journal, a hidden file, which costs the same for the last shard as for the
    first, and states the hash of the `dataset.json` that it adds to: another machine may have gone on with the set
    since. `dataset.json` itself, from which the set is read meanwhile, is written after the first, second, fourth,
    eighth ... shard of a run and every few seconds, and in the end, when the journal is removed.

    Attributes
    ----------
    index : Index
        What the folder holds; entries are added as shards are finished.
    new_samples : int
        Samples that were added.
    left : list of Path
        Shards of a folder that was called otherwise, in whose place none of the same content came, after `finish`.
    remarks : list of (str, str)
        What was noticed of samples of this run, see `ShardResult`.
    """

    def __init__(
        self, folder: Path, fresh: Index, constants: Mapping[str, NDArray[Any]], units: Sequence[Any],
        state: Callable[[Any, str], str | None] | None, *, overwrite: bool,
    ) -> None:  # fmt: skip
        self.index, self.new_samples, self.remarks = fresh, 0, list[tuple[str, str]]()
        self.left: list[Path] = []
        self._constants, self._units, self._state = constants, units, state
        self._folder, self._overwrite, self._place = folder, overwrite, SetFolder(folder)
        asked = {key: value for key, value in fresh.plan.items() if key not in (*SURVEYED, NOT_SURVEYED)}
        self._journal = Journal(folder / JOURNAL, [fresh.uvgen, fresh.config, asked])
        self._finished, self._listed = set[str](), set[str]()
        self._anew = set[str]()  # shards that are made again, whatever they hold
        self._added, self._written_at, self._write_seconds = 0, time.monotonic(), 0.0

    def resume(self) -> None:
        """Keep the shards that are listed and whole; with `overwrite`, delete them instead."""
        folder, old = self._folder, dict[str, str]()
        self._place.open()
        if self._overwrite:
            old = self._place.stored_shards()
            replaced = self._shards_there()
            self._check_places(besides=replaced)  # before anything is deleted
            self._journal.remove()
            for path in [*replaced, folder / CONSTANTS]:
                delete(path)
            delete(folder / DATASET_INDEX)  # last: without it, the others count as foreign
        if (folder / DATASET_INDEX).exists():
            index = _with_journal(read_begun(folder), self._lines())
            self._check_settings(index)
            self._take_over(index)
        self._check_places()
        data = constants_bytes(self._constants)
        self.index.constants_sha256 = hashlib.sha256(data).hexdigest()
        if old:
            self.index.outdated = old  # until they are gone: this run may be killed before
        self._place.write_index(self.index)  # first: files that no index lists are taken for another program's
        write_constants(folder, data)
        self._place.remove_stored(old)  # now that no index lists them as shards of the set
        if old:
            self.index.outdated = {}
        self._place.store(CONSTANTS, data)
        self._journal.remove()  # what it says is in the index now

    def _shards_there(self) -> set[Path]:
        """The shards in the folder, and damaged ones that its index lists."""
        listed_files = set[str]()
        with suppress(DatasetError):
            listed_files = {entry.file for entry in Index.read(self._folder).shards}
        with reading_in_child(True):
            return {
                path
                for path in named_like_shards(self._folder)
                if is_shard(path) or (path.name in listed_files and _was_hdf5(path))
            }

    def _check_places(self, besides: Set[Path] = frozenset()) -> None:
        """Raise OutputError if something that no run made is in the place of a shard that is still to be made."""
        paths = [self._folder / unit.file for unit in self._units if unit.file not in self._listed]
        with reading_in_child(True):
            for path in paths:
                if path not in besides and os.path.lexists(path) and not is_shard(path):
                    raise OutputError(
                        f"{path}: is not a shard of uvgen, but the name of one to write; move it away, or "
                        "choose another output folder"
                    )

    def _check_settings(self, index: Index) -> None:
        """Raise SettingsError unless a set was begun with the same settings.

        If they differ in what a few samples' files say alone, and a sample was repaired since, all of its shards are
        made again, as a build of these files makes them: they depend on it. It was, if the set states that it could not
        be used and it can be now, or if it was skipped and has other files.
        """
        plan = self.index.plan
        old = {key: value for key, value in index.plan.items() if key != NOT_SURVEYED}
        old |= {key: value for key, value in plan.items() if key == NOT_SURVEYED}
        if "survey" not in old and "survey" in plan:  # of a version that did not state it
            old["survey"] = plan["survey"]
        differs = any(old.get(key) != plan.get(key) for key in SURVEYED)
        repaired = not_surveyed(index.plan) - not_surveyed(plan)
        anew = differs and bool(repaired or self._changed(index))
        if anew:
            old |= {key: plan[key] for key in SURVEYED if key in plan}
        before = dataclasses.replace(index, plan=old)
        check_same_settings(self._folder, before, self.index)
        index.plan = dict(plan)
        if anew:
            self._anew = {entry.file for entry in index.shards}

    def _take_over(self, index: Index) -> None:
        """Keep what an index lists, less what is damaged, and what can be repaired."""
        self._listed = {entry.file for entry in index.shards}
        units = {unit.file: unit for unit in self._units}
        known_shards = index.outdated | {entry.file: entry.sha256 for entry in index.shards if entry.sha256}
        index.outdated = {file: digest for file, digest in known_shards.items() if file not in units}
        skipped = dict[str, list[str]]()
        for skip in index.skipped:
            skipped.setdefault(skip.shard, []).append(skip.name)
        augmented = "augmentation" in self.index.config and "augmented_from" not in self.index.config
        index.shards = [
            entry
            for entry in index.shards
            if entry.file in units
            and entry.file not in self._anew
            and _accounts_for(units[entry.file], entry, skipped.get(entry.file, ()), augmented=augmented)
            and (entry.sha256 is None or self._place.size(entry.file) == entry.size_bytes)
        ]
        changed = self._changed(index)
        index.shards = [entry for entry in index.shards if entry.file not in changed]
        self._finished = {entry.file for entry in index.shards}
        index.skipped = [skip for skip in index.skipped if skip.shard in self._finished]
        self.index = index

    def _lines(self) -> list[Any]:
        """What the journal adds to the index that is there."""
        return _added_to(self._place, self._journal.read())

    def _changed(self, index: Index) -> set[str]:
        """Shards that lack a sample whose files are not what they were when it was skipped."""
        units = {unit.file: unit for unit in self._units}
        return {
            skip.shard
            for skip in index.skipped
            if self._state is not None and skip.files_sha256 is not None and skip.shard in units
            and self._state(units[skip.shard], skip.name) != skip.files_sha256
        }  # fmt: skip

    def is_finished(self, unit: ShardUnit) -> bool:
        """Whether the index lists the shard, and its file has the size that it had."""
        return unit.file in self._finished

    def discard(self, unit: ShardUnit) -> None:
        """Nothing: a shard that is made again replaces the old file."""

    def add(self, result: ShardResult) -> None:
        """Note a shard and the samples that it lacks."""
        self.index.shards.append(result.entry)  # it is of a unit that was not finished: the index does not list it
        self.index.skipped.extend(result.skipped)
        skipped = [plain(skip) for skip in result.skipped]
        self._journal.append({"index": self._place.index_sha256, "entry": plain(result.entry), "skipped": skipped})
        self.new_samples += result.entry.samples
        self.remarks += result.remarks
        self._added += 1
        least = _SECONDS_BETWEEN_COMMITS if writes_are_commits(self._folder) else _SECONDS_BETWEEN_WRITES
        pause = max(least, 50 * self._write_seconds)
        if self._added & (self._added - 1) == 0 or time.monotonic() - self._written_at > pause:
            self._write()

    def _write(self) -> None:
        started = time.monotonic()
        self._place.write_index(self.index)
        self._written_at = time.monotonic()
        self._write_seconds = self._written_at - started

    def pause(self) -> None:
        """Write the index; if that fails, the journal has it all."""
        self._journal.close()
        with suppress(DatasetError):
            self._write()
            self._journal.remove()

    def finish(self) -> None:
        """Write the index, also if there was nothing to do, and remove shards that were made again by other names.

        They have the name of a folder of samples that was renamed since. Those with another content are of another
        folder, whose samples are called alike, and stay. The index names them until they are gone: this run may be
        killed before.
        """
        self._write()
        made = {entry.sha256 for entry in self.index.shards if entry.sha256 is not None}
        again = [file for file, digest in sorted(self.index.outdated.items()) if digest in made]
        others = [self._folder / file for file in sorted(self.index.outdated) if file not in again]
        self.left = [path for path in others if url_of(self._folder) is None and path.is_file()]
        there = [self._folder / file for file in again if (self._folder / file).is_file()]
        listed_files = {identity(self._folder / entry.file) for entry in self.index.shards} if there else set()
        with reading_in_child(True):
            for path in there:  # some file systems ignore case: it may be a shard of the index, by another name
                if is_shard(path) and identity(path) not in listed_files:
                    delete(path)
        self._place.remove_stored(again)
        if self.index.outdated:
            self.index.outdated = {}
            self._write()
        if self._added:
            self._place.check_stored_index()
        self._journal.remove()


def _accounts_for(unit: ShardUnit, entry: ShardEntry, skipped: Sequence[str], *, augmented: bool) -> bool:
    """Whether a shard and what it lacks are all samples of a unit: one that is named otherwise would be lost."""
    names = unit.names() if skipped else frozenset[str]()
    distinct = set(skipped)
    if not unit.n_samples == entry.samples + len(skipped) == entry.samples + len(distinct):
        return False
    if names is not None and not distinct <= names:
        return False
    stored = unit.stored_names(distinct, augmented=augmented) if entry.names is not None else None
    return stored is None or [as_stored(name) for name in stored] == entry.sample_names


def _was_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5's do, or is empty, as what is left of one."""
    try:
        with open_regular(path) as file:
            return file.read(len(HDF5_SIGNATURE)) in (HDF5_SIGNATURE, b"")
    except OSError:
        return False


def index_of_begun(folder: Path) -> Index:
    """What a folder's set holds, with what its journal alone lists yet; errors as `read_begun`."""
    place = SetFolder(folder)
    return _with_journal(read_begun(folder), _added_to(place, Journal(folder / JOURNAL, []).read_any()))


def _added_to(place: SetFolder, lines: Sequence[Any]) -> list[Any]:
    """The lines of a journal that add to the index that is there; one that came from elsewhere has other shards."""
    found = place.found_index_sha256()
    return [line for line in lines if isinstance(line, dict) and line.get("index") == found]


def _with_journal(index: Index, lines: Sequence[Any]) -> Index:
    """An index and what a journal adds to it; a journal that says what no index may is not of uvgen, and ignored."""
    shards = {entry.file: entry for entry in index.shards}
    skipped: dict[str, list[SkippedSample]] = {}
    for skip in index.skipped:
        skipped.setdefault(skip.shard, []).append(skip)
    try:
        for line in lines:  # each takes the place of what was listed of its shard before
            of_line = [known(SkippedSample, skip) for skip in line["skipped"]]
            entry = known(ShardEntry, line["entry"])
            shards[entry.file] = entry
            skipped[entry.file] = of_line
        with_lines = dataclasses.replace(
            index, shards=[*shards.values()], skipped=[skip for of_shard in skipped.values() for skip in of_shard]
        )
        with_lines.check(with_lines.n_samples)
    except (ValueError, LookupError, TypeError, AttributeError):
        return index
    return with_lines
