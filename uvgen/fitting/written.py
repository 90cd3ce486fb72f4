"""The files that a run writes into a folder, and how a later one knows them: by what is in them.

A run may be killed when a file is written and its journal does not list it yet. So each process notes, in a hidden
file of its own in the folder, the SHA-256 of what it is about to write, and a file that is there counts as a run's only
if it is listed, or has the content that is noted of its name. All others are somebody's, whenever they came.
"""

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import ExitStack, suppress
from functools import lru_cache
from pathlib import Path

from uvgen.errors import DatasetError, UvgenError
from uvgen.storage.contents import link_between
from uvgen.storage.files import (
    TEMPORARY_PREFIX,
    check_readable,
    delete,
    has_sha256,
    move,
    replaced_on_success,
    sha256_file,
)
from uvgen.storage.journal import Journal
from uvgen.storage.names import os_reason, printable
from uvgen.storage.reading import read_file

NOTE = f"{TEMPORARY_PREFIX}written-"
"""How the names of the notes begin: processes on several machines share none."""

_ABOUT = ["uvgen-written", 1]
_TAKEN = "would be replaced, which this folder does not list as uvgen's; move it away, or choose another output folder"

_notes = dict[tuple[int, Path], tuple[Path, Journal]]()  # by process (one may be forked) and folder


class TakenError(UvgenError):
    """A file that is to be written has the name of one that is somebody's."""


def note(out: Path, files: Mapping[Path, str]) -> None:
    """Note, on the disk, the SHA-256 of files that a folder is about to get; "" of those that it does not get after
    all. DatasetError if that cannot be done."""
    _, journal = _own_note(out)
    try:
        journal.append({path.relative_to(out).as_posix(): sha256 for path, sha256 in files.items()})
    finally:
        journal.close()  # what is written next goes on behind the last whole line


def _own_note(out: Path) -> tuple[Path, Journal]:
    """This process's note in a folder, perhaps to be made."""
    key = os.getpid(), out
    if key not in _notes:
        path = out / f"{NOTE}{secrets.token_hex(8)}"
        _notes[key] = path, Journal(path, _ABOUT)
    return _notes[key]


def noted(out: Path, only: str = "", *, by_others: bool = False) -> dict[str, set[str]]:
    """What is noted of the files of a folder, by their paths in it. Lines that are damaged count for nothing.

    With `only` a SHA-256, notes in which it does not occur are passed over; with `by_others`, this process's own.
    DatasetError if one cannot be read now.
    """
    found = dict[str, set[str]]()
    own = _own_note(out)[0] if by_others else None
    for path in _notes_in(out):
        if path == own:
            continue
        with suppress(OSError):
            if only.encode() not in read_file(path):
                continue
        with suppress(FileNotFoundError):
            status = path.stat()
            for name, sha256 in _content_of_note(path, status.st_ino, status.st_size, status.st_mtime_ns).items():
                found.setdefault(name, set()).add(sha256)
    return found


@lru_cache(maxsize=64)
def _content_of_note(path: Path, *_: int) -> dict[str, str]:
    """What a note says at last of each file, parsed once while it stays as it is."""
    last = dict[str, object]()
    for line in Journal(path, _ABOUT).read():
        last |= line if isinstance(line, dict) else {}
    return {name: sha256 for name, sha256 in last.items() if isinstance(sha256, str) and sha256}


def remove_notes(out: Path) -> None:
    """Delete the notes in a folder, as far as that can be done: all that is in it is listed."""
    for path in _notes_in(out):
        with suppress(OSError):
            path.unlink()


def _notes_in(out: Path) -> Iterator[Path]:
    try:
        names = sorted(name for name in os.listdir(out) if name.startswith(NOTE))
    except OSError as error:
        raise DatasetError(f"{out}: cannot be listed ({os_reason(error)})") from error
    for name in names:
        if (out / name).is_file() and not (out / name).is_symlink():
            yield out / name


def content_of(path: Path) -> str:
    """The SHA-256 of a file; "" if it is none, or cannot be read because it is damaged.

    DatasetError if it cannot be read for another reason.
    """
    try:
        return sha256_file(path) if path.is_file() and not path.is_symlink() else ""
    except OSError as error:
        check_readable(path, error)
        return ""


def known_content(out: Path, name: str, known: Set[str]) -> str:
    """The SHA-256 of a file in a folder if it is one of those that are noted of it, else "". See `content_of`."""
    parts = Path(name).parts
    if not parts or ".." in parts or Path(name).is_absolute() or link_between(out, out / name):
        return ""
    sha256 = content_of(out / name)
    return sha256 if sha256 in known else ""


class InputFiles:
    """The files that are made of one input: all of them get their names, or none does.

    Parameters
    ----------
    out : Path
        The folder that is filled.
    source : Path
        The input, for messages.
    """

    def __init__(self, out: Path, source: Path) -> None:
        self._out, self._source = out, source
        self._noted, self._written = dict[Path, str](), dict[Path, str]()

    def check(self, paths: Iterable[Path]) -> None:
        """Raise TakenError if one of these names, in the folder, is taken by a file that is somebody's."""
        for path in paths:
            self._content(path)

    def _content(self, path: Path, *, by_others: bool = False) -> str:
        """The SHA-256 of what a process that died, or another one, has left under a name; "" if there is nothing."""
        if not os.path.lexists(path):
            return ""
        name, sha256 = path.relative_to(self._out).as_posix(), content_of(path)
        if not sha256 or sha256 not in noted(self._out, sha256, by_others=by_others).get(name, ()):
            raise self._taken(path)
        return sha256

    def _taken(self, path: Path) -> TakenError:
        return TakenError(f"{self._source}: {printable(str(path))} {_TAKEN}")

    def write(self, files: Mapping[Path, bytes]) -> None:
        """Write files in the folder, which are noted first.

        Raises TakenError, and removes what was written of this input, if a name is taken by a file that is somebody's;
        DatasetError if files cannot be written.
        """
        try:
            there = {path: self._content(path) for path in files}
            for path, data in files.items():
                self._noted[path] = hashlib.sha256(data).hexdigest()
                if there[path] == self._noted[path]:
                    self._written[path] = there[path]
                elif there[path]:
                    delete(path)
            new = {path: sha256 for path, sha256 in self._noted.items() if path not in self._written}
            with ExitStack() as stack:
                for path in new:
                    made = replaced_on_success(path, folder=self._out, make_folder=False, place=self._place)
                    stack.enter_context(made).write_bytes(files[path])
                if new:
                    note(self._out, new)
        except TakenError:
            for path, sha256 in self._written.items():
                if has_sha256(path, sha256):
                    delete(path)
            raise

    def _place(self, temporary: Path, path: Path) -> None:
        """Give a file that is noted its name, unless that is taken meanwhile."""
        if not _is_placed(temporary, path):
            try:
                there = self._content(path, by_others=True)  # a cluster may have two at work on one input
            except TakenError:
                note(self._out, {path: ""})
                raise
            if there != self._noted[path]:
                move(temporary, path)
        self._written[path] = self._noted[path]


def _is_placed(temporary: Path, path: Path) -> bool:
    """Give a file its name, if nothing else has it."""
    with suppress(OSError):
        os.link(temporary, path)
        return True
    if os.path.lexists(path):  # or the answer of a network's disk was lost
        return os.path.samestat(os.lstat(temporary), os.lstat(path))
    move(temporary, path)  # a disk without hard links, or whatever else is wrong
    return True
