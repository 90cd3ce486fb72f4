"""Folders that commands fill with results, one after the other: index, journal, and resuming.

What an entry of the index is differs: a face of a photograph (`uvgen.fitting.face_record`), or a scan
(`uvgen.fitting.scans.record`).
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from uvgen._version import __version__
from uvgen.errors import DatasetError, InputError, SettingsError
from uvgen.fitting.photographs import name_key
from uvgen.fitting.written import content_of, known_content, noted, remove_notes
from uvgen.jobs.run import check_same
from uvgen.storage.files import check_folder, is_same_file, replaced_on_success
from uvgen.storage.folders import check_own_folder
from uvgen.storage.journal import JOURNAL, Journal
from uvgen.storage.names import brief, os_reason, printable
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import max_bytes
from uvgen.storage.text import read_text
from uvgen.wording import are, count

_VERSION = 1
_JOURNAL_VERSION = 2
_DISCARDED = "discarded"  # key of a journal's line: inputs that a run makes anew what is listed of, and its files
_LABELS = ("model", "model_file", "network")  # settings that only say where what has a hash was, or its name
_SAID = {"model_sha256": "another model", "detector_sha256": "other weights of the detector"}

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class FolderIndex(Generic[Entry]):
    """The form in which a command lists its results.

    Attributes
    ----------
    file : str
        Name of the index, ``fit.json``.
    command : str
        "fit".
    key : str
        What its entries are: "faces".
    parsed : callable
        Makes an entry from what the index holds of it; ValueError, KeyError or TypeError if a value cannot be.
    plain : callable
        What the index holds of an entry.
    """

    file: str
    command: str
    key: str
    parsed: Callable[[dict[str, Any]], Entry]
    plain: Callable[[Entry], dict[str, Any]]

    @property
    def format(self) -> str:
        """The index's, as it states it."""
        return f"uvgen-{self.command}"

    def check_folder(self, out: Path) -> None:
        """Raise OutputError, before any work, if a folder holds something else or cannot be written."""
        if not (out / self.file).exists():
            check_folder(out)
            check_own_folder(out, self.file)

    def read(self, path: Path) -> dict[str, Any]:
        """The content of an index; SettingsError if the file is not one."""
        try:
            content = parse_json(read_text(path, f"what uvgen {self.command} wrote", most_bytes=max_bytes()))
            if not isinstance(content, dict) or content.get("format") != self.format:
                raise ValueError(f"not of uvgen {self.command}")
            self._check(content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
            raise SettingsError(f"{path}: cannot be read ({brief(error)}); choose another output folder") from error
        return content

    def _check(self, content: dict[str, Any]) -> None:
        """Raise ValueError, KeyError or TypeError if an index is not as this command writes it."""
        for entry in content[self.key]:
            self.parsed(entry)


class FolderRecord(ABC):
    """A folder while it is filled: its index, and a journal until it is complete. See `uvgen.jobs.run.Record`.

    Parameters
    ----------
    index : FolderIndex
        What is written.
    out : Path
        The folder.
    stated : mapping
        Settings; a folder that was made with others is refused.
    said : mapping of str to str
        What to say in place of some of them, see `uvgen.jobs.run.check_same`; of models and weights it is known.
    overwrite : bool
        Remove what a folder of this kind holds.

    Attributes
    ----------
    new_samples : int
        Made by this run.
    """

    made_of: str
    """What an entry is made of: "photograph"."""
    entries: str
    """What entries are in messages: "samples"."""
    late: tuple[str, ...] = ()
    """Settings that a folder may get later: as long as the first is None, its index and journal fit any."""

    def __init__(
        self, index: FolderIndex[Any], out: Path, stated: Mapping[str, Any], said: Mapping[str, str], *, overwrite: bool
    ) -> None:
        self._index, self._out, self._overwrite = index, out, overwrite
        self._stated, self._said = dict(stated), {**_SAID, **said}
        self.new_samples = 0
        self._discarded = dict[str, set[str]]()  # SHA-256s of files of entries that are made anew, as `noted` has them
        self._lasting = {key: value for key, value in self._stated.items() if key not in (*self.late, *_LABELS)}
        self._journal = Journal(out / JOURNAL, [index.format, _JOURNAL_VERSION, __version__, self._lasting])
        self._noted_late = dict[str, Any]()  # what the journal states of the others

    def resume(self) -> None:
        """Keep what an earlier run with the same settings made; with `overwrite`, remove another's."""
        out, path = self._out, self._out / self._index.file
        self._index.check_folder(out)
        old = self._index.read(path) if path.exists() else {}
        if old and not self._overwrite:
            self._check_same(old, ["uvgen", *self._lasting, *self._late_of(old)])
        if old:
            self._take_over(old)
        for line in self._journal.read_any() if self._overwrite else self._journal.read():
            with suppress(KeyError, TypeError, AttributeError, ValueError):  # of another version, or not uvgen's
                self._take_over_line(line)
        if self._overwrite:
            self._remove_all(old)
            self._noted_late = {}
        self._check_same(self._noted_late, self._noted_late)
        if gone := sorted(self._gone()):
            raise SettingsError(
                f"{out}: holds {self.entries} of {count(len(gone), self.made_of)} that {are(len(gone))} not there any "
                f"more, first {printable(gone[0])}{self._respelt(gone[0])}; choose another output folder, or overwrite "
                "this one to start anew"
            )
        self._prepare()
        self._remove_unlisted()
        if self._overwrite:
            self._discarded = {}
            self._journal.remove()
        if self._overwrite or not old:
            self._write()  # first: without it, the folder would not count as ours
        self._make_folders()

    def _respelt(self, gone: str) -> str:
        """What to say of an input that is gone, where another has its name but for case and the form of accents."""
        is_there = name_key(gone) in map(name_key, self._inputs())
        return " (one is there whose name differs only in case or in how accents are encoded)" if is_there else ""

    def _check_same(self, old: Mapping[str, Any], keys: Iterable[str]) -> None:
        """Raise SettingsError if an index or a journal states other settings than this run's."""
        new = {"uvgen": __version__, **self._stated}
        check_same(self._out, {key: old.get(key) for key in keys}, {key: new[key] for key in keys}, self._said)

    def _late_of(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of `late`, as an index or a line of a journal states them; none as long as the first is None."""
        if not self.late or stated.get(self.late[0]) is None:
            return {}
        return {key: stated.get(key) for key in self.late}

    def _take_over_line(self, line: Any) -> None:
        """Keep what a line of the journal says."""
        if _DISCARDED not in line:
            self._take_over(line)
            self._noted_late = self._late_of(line) or self._noted_late
            return
        for name, files in line[_DISCARDED].items():
            self._forget([name])
            for file, sha256 in files.items():
                self._discarded.setdefault(file, set()).add(sha256)

    @abstractmethod
    def _take_over(self, line: Any) -> None:
        """Keep the entries that an index or a line of the journal lists."""

    @abstractmethod
    def _forget(self, names: Iterable[str]) -> None:
        """List no entries of inputs of these names any more."""

    @abstractmethod
    def _remove_all(self, index: Mapping[str, Any]) -> None:
        """Delete the files of all entries, which are listed no more; `index` is what the folder's states."""

    @abstractmethod
    def _inputs(self) -> Set[str]:
        """Names of all inputs that files may be made of."""

    @abstractmethod
    def _files(self) -> set[str]:
        """The files of all entries that are listed, by their paths in the folder."""

    def _remove_file(self, path: Path) -> None:
        """Delete a file that a run has written and that is not listed; OSError if that cannot be done."""
        path.unlink()

    def _note(self, entries: dict[str, Any]) -> None:
        """Have the journal list entries."""
        self._journal.append({**entries, **self._late_of(self._stated)})

    def _note_discarded(self, files: Mapping[str, Iterable[Path]]) -> None:
        """Note, before files of entries are removed, by their inputs, that these are made anew, and list them no more.

        If the run does not end, files that are there then are the entries' if they are as now. Others are the run's,
        which notes them and may have made them of other inputs, or somebody's.
        """
        if not files:
            return
        known = {
            name: {path.relative_to(self._out).as_posix(): sha256 for path in paths if (sha256 := content_of(path))}
            for name, paths in files.items()
        }
        line = {_DISCARDED: known}
        self._journal.append(line)
        self._take_over_line(line)

    def _remove_unlisted(self) -> None:
        """Delete files that runs have written, and that are not those of an entry: only what is as they left it.

        DatasetError if that cannot be done.
        """
        known = noted(self._out)
        for name, hashes in self._discarded.items():
            known.setdefault(name, set()).update(hashes)
        listed = self._files()
        unlisted = known.keys() - listed
        by_key = {name_key(name): name for name in listed} if unlisted else {}
        for name in sorted(unlisted):
            twin = by_key.get(name_key(name))  # on a disk that ignores case, it may be the same file
            if twin is not None and is_same_file(self._out / twin, self._out / name):
                continue
            if known_content(self._out, name, known[name]):
                try:
                    self._remove_file(self._out / name)
                except OSError as error:
                    raise DatasetError(
                        f"{error.filename or self._out / name}: cannot be removed ({os_reason(error)}), which an "
                        "interrupted run left; check permissions"
                    ) from error

    @abstractmethod
    def _gone(self) -> set[str]:
        """Names of entries' inputs that no longer exist."""

    @abstractmethod
    def _prepare(self) -> None:
        """What is done before anything is written."""

    def _make_folders(self) -> None:  # noqa: B027 -- not all have some
        """Make the folders that entries lie in."""

    @abstractmethod
    def _lists(self) -> dict[str, Any]:
        """The lists of an index: entries, and what was left out."""

    def _write(self) -> None:
        content = {
            "format": self._index.format, "version": _VERSION, "uvgen": __version__, **self._stated, **self._lists(),
        }  # fmt: skip
        with replaced_on_success(self._out / self._index.file, make_folder=False) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def pause(self) -> None:
        """Close the journal, which already has all entries."""
        self._journal.close()

    def finish(self) -> None:
        """Remove files that runs which did not end have left, and write the index."""
        self._remove_unlisted()
        self._write()
        self._journal.remove()
        remove_notes(self._out)
