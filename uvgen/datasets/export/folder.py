"""The folder of an export: when it may be made or replaced, what is finished in it, and how it takes its place."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from uvgen._version import __version__
from uvgen.datasets.export.common import Skipped
from uvgen.errors import DatasetError, OutputError, SettingsError
from uvgen.storage.contents import empty, walked
from uvgen.storage.drafts import (
    beside,
    check_new_folder,
    check_replaceable,
    exchange,
    finish_exchange,
    folder_on_success,
)
from uvgen.storage.files import TEMPORARY_PREFIX, check_folder
from uvgen.storage.folders import EXPORT_MARK
from uvgen.storage.journal import JOURNAL, Journal
from uvgen.storage.locks import remove_unlocked
from uvgen.storage.names import os_reason, printable
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import is_elsewhere, read_file, what_helps

_SKIPPED = "skipped.txt"
_STAGE = re.compile(re.escape(TEMPORARY_PREFIX) + r"part-[0-9a-f]{16}")
_MOST_BYTES = 1 << 26  # of what an export states: earlier ones name all photographs


class Named(Protocol):
    """What is written at once."""

    @property
    def name(self) -> str:
        """Another one than the others'."""


NamedPart = TypeVar("NamedPart", bound=Named)


@dataclass(frozen=True, slots=True)
class Written(Generic[NamedPart]):
    """Samples that were written together, those of them that were left out, and the files, with what `_state` says."""

    part: NamedPart
    skipped: tuple[Skipped, ...] = ()
    files: tuple[tuple[str, int, int], ...] = ()


def written(draft: Path, part: NamedPart, write: Callable[[Path], Sequence[Skipped]]) -> Written[NamedPart]:
    """Have the samples of a part written into a folder of their own, and move the files to the draft.

    So it is known which files they are, whatever a target writes: a run that goes on looks for them.

    Parameters
    ----------
    draft : Path
        The folder that is filled.
    part : Named
        The samples.
    write : callable
        Writes them into a folder; returns those that were left out.
    """
    if draft.is_symlink():  # what it leads to is not ours
        raise DatasetError(f"{draft}: was moved or replaced while it was written; run the command again")
    digest = hashlib.sha256(part.name.encode("utf-8", "surrogatepass")).hexdigest()
    stage = draft / f"{TEMPORARY_PREFIX}part-{digest[:16]}"  # no sample's folder: see `unhidden`
    shutil.rmtree(stage, ignore_errors=True)  # of a process that died
    stage.mkdir()
    try:
        skipped = write(stage)
        files = list[tuple[str, int, int]]()
        for folder, _, names in walked(stage):  # what is not seen would be deleted with the stage
            place = draft / Path(folder).relative_to(stage)
            place.mkdir(parents=True, exist_ok=True)
            for name in names:
                path = place / name
                Path(folder, name).replace(path)
                files.append((path.relative_to(draft).as_posix(), *_state(path)))
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    os.sync()  # before the record says that they are there
    return Written(part, tuple(skipped), tuple(sorted(files)))


def _state(path: Path) -> tuple[int, int]:
    """A file's size and when it was written to: to hash all files would take longer than an export may for that."""
    status = path.lstat()
    return status.st_size, status.st_mtime_ns


def check_export_folder(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError unless an export can be made there; SettingsError if one is, and may not be replaced."""
    finish_exchange(out)
    if not is_export(out):
        check_new_folder(out)
    elif not overwrite:
        raise SettingsError(f"{out}: holds an export already; choose another folder, or overwrite it")
    elif count_files(out) != _stated_files(out):
        raise OutputError(f"{out}: holds other files than its export had; move yours away, or choose another folder")
    check_replaceable(out)
    check_folder(out.absolute().parent, out)


def is_export(folder: Path) -> bool:
    """Whether there is an export in a folder."""
    return (folder / EXPORT_MARK).is_file() and not (folder / EXPORT_MARK).is_symlink()


def count_files(folder: Path) -> int:
    """How many files there are in a folder and those in it."""
    return sum(len(files) for _, _, files in walked(folder))


def _stated_files(folder: Path) -> Any:
    try:
        return parse_json(read_file(folder / EXPORT_MARK, _MOST_BYTES).decode()).get("files")
    except OSError as error:
        if is_elsewhere(error):
            problem = f"{folder / EXPORT_MARK}: cannot be read ({os_reason(error)}); {what_helps(error, '')}"
            raise OutputError(problem) from error
        return None
    except (ValueError, AttributeError):
        return None


@contextmanager
def in_place(place: Path, out: Path) -> Iterator[Path]:
    """The draft of a folder, which becomes `place`, and then takes the place of `out` if that is another one."""
    remove_unlocked(beside(out))  # of a run that was killed before it took the old one's place
    with folder_on_success(place, shown=out) as draft:
        yield draft
    if place != out:
        exchange(place, out, partial(check_export_folder, out, overwrite=True))


class ExportRecord:
    """A journal in the draft that lists the finished parts; it is deleted when the export is complete.

    Parameters
    ----------
    draft : Path
        The folder that is filled.
    settings : dict
        What the export depends on; a draft that was begun with others, or by another uvgen, is emptied.
    parts : sequence
        All parts, in the order of the samples.
    check_there : callable
        Raises if the draft has vanished.
    finish : callable
        Writes the files that exist once, given what was left out; returns how many samples there are.
    labels : str
        The pixel convention of the labels, for who reads the folder.
    clean : callable, optional
        Removes what `finish` needs again where it was interrupted; called when nothing is left to go on with.
    inputs : str, optional
        What the files that go in are now, where `settings` do not say it: a draft that was begun when they were others
        is emptied too. The export does not state it.
    """

    def __init__(
        self, draft: Path, settings: dict[str, Any], parts: Sequence[Named], check_there: Callable[[], None],
        finish: Callable[[list[Skipped]], int], labels: str = "exact", clean: Callable[[], None] | None = None,
        inputs: str = "",
    ) -> None:  # fmt: skip
        self._draft, self._parts, self._check_there, self._finish = draft, parts, check_there, finish
        self._labels, self._clean = labels, clean
        self._settings, self._journal = settings, Journal(draft / JOURNAL, [__version__, settings, inputs])
        self._finished: dict[str, list[Skipped]] = {}

    @property
    def skipped(self) -> list[Skipped]:
        """The samples that were left out, in order."""
        return [skip for part in self._parts for skip in self._finished.get(part.name, ())]

    def resume(self) -> None:
        """Go on with a draft of the same export; empty another one."""
        self._remove_stages()
        lines = [line for line in map(_journaled, self._journal.read()) if line is not None]
        self._finished = {name: skipped for name, skipped, files in lines if self._are_there(files)}
        if self._finished:
            return
        self._journal.remove()
        empty(self._draft)

    def _remove_stages(self) -> None:
        """Remove the folders of parts at which processes died."""
        for path in [path for path in self._draft.iterdir() if _STAGE.fullmatch(path.name)]:
            shutil.rmtree(path, ignore_errors=True)

    def _are_there(self, files: Sequence[tuple[str, int, int]]) -> bool:
        """Whether files of the draft were not written to since they were noted."""
        try:
            return all(_state(self._draft / name) == (size, time) for name, size, time in files)
        except OSError:
            return False

    def is_finished(self, part: Named) -> bool:
        """Whether a part's samples are all written."""
        return part.name in self._finished

    def discard(self, part: Named) -> None:
        """Nothing: files that are written again replace the old ones."""

    def add(self, written: Written[Any]) -> None:
        """Note a part."""
        self._check_there()
        skipped, files = ([list(one) for one in several] for several in (written.skipped, written.files))
        self._journal.append([written.part.name, skipped, files])
        self._finished[written.part.name] = list(written.skipped)

    def pause(self) -> None:
        """The journal has it all."""
        self._journal.close()

    def finish(self) -> None:
        """Write the files that exist once, and by which the folder is known."""
        self._remove_stages()
        skipped = self.skipped
        if skipped:
            lines = "".join(f"{printable(skip.name)}: {printable(skip.reason)}\n" for skip in skipped)
            (self._draft / _SKIPPED).write_text(lines, encoding="utf-8")
        n_samples = self._finish(skipped)
        os.sync()  # while a run that goes on still has the journal: it takes long where much is to be flushed
        self._journal.remove()
        if os.path.lexists(self._draft / JOURNAL):
            raise DatasetError(f"{self._draft / JOURNAL}: cannot be deleted; check the disk, and run the command again")
        if self._clean is not None:
            self._clean()
        stated = {**self._settings, "uvgen": __version__, "samples": n_samples, "labels": self._labels}
        stated["files"] = count_files(self._draft) + 1
        (self._draft / EXPORT_MARK).write_text(json.dumps(stated, indent=1) + "\n", encoding="utf-8")
        os.sync()  # before the folder gets its name


def _journaled(line: Any) -> tuple[str, list[Skipped], list[tuple[str, int, int]]] | None:
    """A part, what was left out of it, and its files with their `_state`, of a line of the journal."""
    try:
        name, skipped, files = line
        left_out = [Skipped(*map(str, skip)) for skip in skipped]
        return str(name), left_out, [(str(path), int(size), int(time)) for path, size, time in files]
    except (TypeError, ValueError):
        return None
