"""Folders that commands fill with results, one after the other: index, journal, and resuming.

What an entry of the index is differs: a face of a photograph (`uvgen.fitting.face_record`), or a scan
(`uvgen.fitting.scans.record`).
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from uvgen._version import __version__
from uvgen.errors import DatasetError, InputError, SettingsError
from uvgen.fitting.photographs import name_key
from uvgen.fitting.tasks import InputFile
from uvgen.jobs.cluster import chosen_engine
from uvgen.jobs.run import check_same
from uvgen.storage.files import check_folder, replaced_on_success
from uvgen.storage.folders import check_own_folder
from uvgen.storage.journal import JOURNAL, Journal
from uvgen.storage.names import brief, os_reason, printable
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import max_bytes
from uvgen.storage.text import read_text
from uvgen.wording import are, count

_VERSION = 1
# keys of a journal's lines: inputs that a run makes something of, or left files of, or makes anew what is listed of
_BEGUN, _LEFT, _DISCARDED = "begun", "left", "discarded"
_OTHERS = "others"  # with the first of these: files that were there under such names before
_FILES = "files"  # with the second: which
_LABELS = ("model", "model_file", "network")  # settings that only say where what has a hash was, or its name
_SAID = {"model_sha256": "another model", "detector_sha256": "other weights of the detector"}

_TAKEN = "would be replaced, which this folder does not list as uvgen's; move it away, or choose another output folder"

Entry = TypeVar("Entry")
Input = TypeVar("Input", bound=InputFile)


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
        self._begun = set[str]()  # inputs of runs that did not end, and of this one: their files may be there unlisted
        self._others = set[Path]()  # files that were there before, under the names of inputs: somebody's
        self._noted_others = set[Path]()  # those that the journal states
        self._stale = set[Path]()  # files that were there before and are a run's which did not end, as far as is known
        self._has_begun = False
        self._lasting = {key: value for key, value in self._stated.items() if key not in (*self.late, *_LABELS)}
        self._journal = Journal(out / JOURNAL, [index.format, _VERSION, __version__, self._lasting])
        self._noted_late = dict[str, Any]()  # what the journal states of the others

    def resume(self) -> None:
        """Keep what an earlier run with the same settings made; with `overwrite`, remove another's."""
        out, path = self._out, self._out / self._index.file
        self._index.check_folder(out)
        if path.exists():
            old = self._index.read(path)
            if self._overwrite:
                lines = self._journal.read_any()
                for listed in (old, *lines):
                    with suppress(KeyError, TypeError, AttributeError, ValueError):  # `old` is checked, lines are not
                        self._remove_all({**old, self._index.key: listed[self._index.key]})
                begun = _begun_after(set(), lines)
                self._others = self._others_after(lines) | self._others_since(lines, begun)
                self._remove_unlisted(begun)
                self._others.clear()
                self._journal.remove()
            else:
                self._check_same(old, ["uvgen", *self._lasting, *self._late_of(old)])
                self._take_over(old)
        lines = self._journal.read()
        with suppress(KeyError, TypeError, AttributeError, ValueError):  # a journal that uvgen did not write
            for line in lines:
                if _BEGUN in line or _LEFT in line:
                    self._begun = _begun_after(self._begun, [line])
                    self._noted_others = self._others_after([line]) if _OTHERS in line else self._noted_others
                    self._noted_late = self._late_of(line) or self._noted_late
                elif _DISCARDED in line:
                    self._forget(line[_DISCARDED])
                    self._begun = _begun_after(self._begun, [line])
                else:
                    self._take_over(line)
        self._others = self._noted_others | self._others_since(lines, self._begun)
        self._stale = self._set_of_unlisted(self._begun, beside=False) - self._others
        self._check_same(self._noted_late, self._noted_late)
        if gone := sorted(self._gone()):
            raise SettingsError(
                f"{out}: holds {self.entries} of {count(len(gone), self.made_of)} that {are(len(gone))} not there any "
                f"more, first {printable(gone[0])}{self._respelt(gone[0])}; choose another output folder, or overwrite "
                "this one to start anew"
            )
        self._prepare()
        self._leave_out_taken({name_key(name) for name in self._begun})
        if self._overwrite or not path.exists():
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

    @abstractmethod
    def _take_over(self, line: Any) -> None:
        """Keep the entries that an index or a line of the journal lists."""

    @abstractmethod
    def _forget(self, names: Iterable[str]) -> None:
        """List no entries of inputs of these names any more."""

    @abstractmethod
    def _remove_all(self, index: Mapping[str, Any]) -> None:
        """Delete the files of all entries of an index."""

    @abstractmethod
    def _inputs(self) -> Set[str]:
        """Names of all inputs that files may be made of."""

    @abstractmethod
    def _listed(self) -> Set[str]:
        """Names of all inputs that entries are listed of."""

    @abstractmethod
    def _unlisted(self, names: Set[str], *, beside: bool = False) -> dict[str, list[Path]]:
        """Files of the folder that a run makes of inputs of these names, by name, but for those of listed entries.

        Files that are named as a listed entry's, but for a suffix that it has not, are among them only if `beside`.
        OSError if a folder cannot be listed.
        """

    def _tidy(self, folder: Path) -> None:  # noqa: B027 - nothing, where a run makes no folders
        """Remove a folder that a run made and of which nothing is left."""

    def _begin(self) -> None:
        """Note, before anything is made, what files may be made of. Files that are there already are somebody's."""
        if self._has_begun:
            return
        self._has_begun, new = True, self._inputs() - self._begun
        try:
            there = self._unlisted(new | self._begun | self._listed(), beside=True)
            ours = {path for of_one in self._unended(self._begun).values() for path in of_one}
        except OSError as error:
            raise DatasetError(f"{error.filename or self._out}: cannot be listed ({os_reason(error)})") from error
        others = {path for of_one in there.values() for path in of_one} - ours
        late = self._late_of(self._stated)
        if new or others != self._noted_others or late != self._noted_late:
            shown = sorted(path.relative_to(self._out).as_posix() for path in others)
            said = {_OTHERS: shown} if shown or self._noted_others else {}
            self._journal.append({_BEGUN: sorted(new), **said, **late})
            self._begun |= new
        self._others = self._noted_others = others

    def _others_after(self, lines: Sequence[Any]) -> set[Path]:
        """Files that are somebody's, after some lines of a journal."""
        stated = [line[_OTHERS] for line in lines if isinstance(line, dict) and isinstance(line.get(_OTHERS), list)]
        return {self._out / name for name in stated[-1] if isinstance(name, str)} if stated else set()

    def _others_since(self, lines: Sequence[Any], begun: Set[str]) -> set[Path]:
        """Files that are somebody's, since the last run, whose journal ends with what it left of its own, did not."""
        left = lines[-1].get(_FILES) if lines and isinstance(lines[-1], dict) else None
        if not isinstance(left, list):
            return set()
        return self._set_of_unlisted(begun, beside=True) - {self._out / name for name in left if isinstance(name, str)}

    def _set_of_unlisted(self, names: Set[str], *, beside: bool) -> set[Path]:
        """What `_unlisted` finds; DatasetError if a folder cannot be listed."""
        if not names:
            return set()
        try:
            return {path for of_one in self._unlisted(names, beside=beside).values() for path in of_one}
        except OSError as error:
            raise DatasetError(f"{error.filename or self._out}: cannot be listed ({os_reason(error)})") from error

    def _unended(self, names: Set[str]) -> dict[str, list[Path]]:
        """Files that runs which did not end have left of inputs of these names, by name; OSError as `_unlisted`.

        Beside what is listed now they are those that were there when this run began, and not beside it: others are
        somebody's.
        """
        new = {path for of_one in self._unlisted(names).values() for path in of_one}
        found = {
            name: [path for path in files if (path in new or path in self._stale) and path not in self._others]
            for name, files in self._unlisted(names, beside=True).items()
        }
        return {name: files for name, files in found.items() if files}

    def _note_discarded(self, names: Sequence[str]) -> None:
        """Note, before entries of these inputs are removed, that they are made anew.

        Files of theirs that are there later are of a run that did not end, which may have made them of other inputs.
        """
        self._begin()
        if names:
            self._journal.append({_DISCARDED: names})
            self._begun |= set(names)

    def _remove_unlisted(self, names: Set[str]) -> None:
        """Delete files that were made of inputs of these names, and are not those of an entry.

        A run may be killed after a file is written and before the journal lists it, and may leave out what an earlier
        one did not. DatasetError if that cannot be done.
        """
        if not names:
            return
        try:
            files = [path for of_one in self._unended(names).values() for path in of_one]
            for path in files:
                path.unlink()
            for folder in sorted({path.parent for path in files} - {self._out}):
                self._tidy(folder)
        except OSError as error:
            raise DatasetError(
                f"{error.filename or self._out}: cannot be removed ({os_reason(error)}), which an interrupted run "
                "left; check permissions"
            ) from error

    @abstractmethod
    def _gone(self) -> set[str]:
        """Names of entries' inputs that no longer exist."""

    @abstractmethod
    def _prepare(self) -> None:
        """What is done before anything is written."""

    @abstractmethod
    def _leave_out_taken(self, begun: Set[str]) -> None:
        """Give a problem to inputs, in the list that is worked through, whose files would replace somebody's.

        Those of inputs that an interrupted run has begun with, by `name_key`, are that run's, but for `_others`.
        """

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
        """Close the journal, which already has all entries, with what else of this run is there.

        What comes later under the name of an input that was begun is somebody's. Processes on a cluster, however, may
        still be writing.
        """
        if self._begun and (self._out / JOURNAL).exists() and chosen_engine() is None:  # else all was finished
            with suppress(OSError, DatasetError):
                left = self._unended(self._begun)
                shown = sorted(path.relative_to(self._out).as_posix() for files in left.values() for path in files)
                self._journal.append({_LEFT: sorted(left), _FILES: shown})
        self._journal.close()

    def finish(self) -> None:
        """Remove files that runs which did not end have left, and write the index."""
        self._remove_unlisted(self._begun)
        self._write()
        self._journal.remove()


def unless_taken(one: Input, files: Iterable[Path]) -> Input:
    """An input that nothing was made of yet, with a problem if one of the files that it gets is there already."""
    there = None if one.problem else next((path for path in files if os.path.lexists(path)), None)
    return one if there is None else replace(one, problem=f"{printable(str(there))} {_TAKEN}")


def _begun_after(begun: set[str], lines: Sequence[Any]) -> set[str]:
    """The names of inputs whose files may be there unlisted, after some lines of a journal."""
    for line in lines:
        for key in (_BEGUN, _DISCARDED, _LEFT):
            if isinstance(line, dict) and isinstance(line.get(key), list):
                names = {name for name in line[key] if isinstance(name, str)}
                begun = names if key == _LEFT else begun | names
    return begun
