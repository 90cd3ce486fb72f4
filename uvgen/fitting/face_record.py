"""Folders that commands fill with results for the faces in photographs: index, journal, and resuming.

`uvgen fit` and `uvgen predict` differ in what a face is and in which files it has: see `FaceIndex`.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from uvgen._version import __version__
from uvgen.errors import DatasetError, InputError, OutputError, SettingsError
from uvgen.fitting.detectors import DETECTORS
from uvgen.fitting.fitted import Unfitted
from uvgen.fitting.video.files import remove_emptied
from uvgen.fitting.worker import FitTask, Photograph
from uvgen.jobs.run import check_same
from uvgen.progress import begin
from uvgen.storage.files import check_folder, replaced_on_success
from uvgen.storage.journal import Journal
from uvgen.storage.names import brief, printable, safe_name
from uvgen.storage.plain_json import parse_json
from uvgen.storage.text import read_text
from uvgen.wording import are, count

_VERSION = 1
_JOURNAL = ".uvgen-journal"
_SAID = {"model_sha256": "another model", "detector_sha256": "other weights of the detector"}


class MadeFace(Protocol):
    """What was made of a face, and of what."""

    @property
    def name(self) -> str: ...
    @property
    def image(self) -> str: ...
    @property
    def made_of(self) -> str: ...


Face = TypeVar("Face", bound=MadeFace)
OfFace = TypeVar("OfFace", bound=MadeFace, covariant=True)


class MadeBatch(Protocol[OfFace]):
    """What came of some photographs."""

    @property
    def faces(self) -> tuple[OfFace, ...]: ...
    @property
    def skipped(self) -> tuple[Unfitted, ...]: ...


@dataclass(frozen=True, slots=True)
class FaceIndex(Generic[Face]):
    """How a command writes down what it made.

    Attributes
    ----------
    file : str
        Name of the index, ``fit.json``.
    command : str
        "fit".
    suffixes : tuple of str
        All that a face's files may have.
    parsed : callable
        Makes a face from its entry in the index; ValueError, KeyError or TypeError if a value cannot be.
    plain : callable
        Makes the entry of a face.
    """

    file: str
    command: str
    suffixes: tuple[str, ...]
    parsed: Callable[[dict[str, Any]], Face]
    plain: Callable[[Face], dict[str, Any]]

    @property
    def format(self) -> str:
        """The index's, as it states it."""
        return f"uvgen-{self.command}"

    def check_folder(self, out: Path) -> None:
        """Raise OutputError, before any work, if a folder holds something else or cannot be written."""
        if not (out / self.file).exists():
            check_folder(out)
            if out.is_dir() and (found := sorted(name for name in os.listdir(out) if not name.startswith("."))):
                raise OutputError(
                    f"{out}: holds something else ({printable(found[0])}), expected a new or an empty folder; choose "
                    "another"
                )

    def read(self, path: Path) -> dict[str, Any]:
        """What an index holds; SettingsError if it is none."""
        try:
            content = parse_json(read_text(path, f"what uvgen {self.command} wrote"))
            if not isinstance(content, dict) or content.get("format") != self.format:
                raise ValueError(f"not of uvgen {self.command}")
            for face in content["faces"]:
                self.parsed(face)
            for skip in content.get("skipped", ()):
                unfitted(skip)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
            raise SettingsError(f"{path}: cannot be read ({brief(error)}); choose another output folder") from error
        return content

    def stated_detector(self, out: Path, *, overwrite: bool) -> str | None:
        """The detector that a folder was begun with, so that "auto" means it again."""
        if overwrite or not (out / self.file).exists():
            return None
        stated = self.read(out / self.file).get("detector")
        return stated if stated in DETECTORS else None

    def remove(self, out: Path, name: str) -> None:
        """Delete the files of a face that an index lists, if they lie in the folder or in one in it."""
        parts = Path(name).parts
        if not 1 <= len(parts) <= 2 or ".." in parts or Path(name).is_absolute():
            return
        if len(parts) == 2 and (out / parts[0]).is_symlink():
            return
        for suffix in self.suffixes:
            path = out.joinpath(*parts[:-1], parts[-1] + suffix)
            if path == out / self.file:  # a face named as the index is, in an index that uvgen did not write
                continue
            if path.is_file() or path.is_symlink():
                path.unlink()


def unfitted(content: Any) -> Unfitted:
    """What was left out, as an index or a journal has it; ValueError or TypeError if it cannot be."""
    found = Unfitted(**content)
    if not all(isinstance(text, str) for text in (found.name, found.image, found.reason)):
        raise ValueError("skipped: other values than texts")
    return found


def check_face_name(name: str, photograph: Any) -> None:
    """Raise ValueError if a face has not the name that faces of its photograph get."""
    if not isinstance(photograph, str) or (
        name != photograph and not name.startswith((f"{photograph}-face", f"{photograph}/frame_"))
    ):
        raise ValueError(f"sample {brief(name)[:60]} of photograph {brief(photograph)[:60]}")


class FaceRecord(ABC, Generic[Face]):
    """A folder while it is filled: its index, and a journal until it is complete.

    Parameters
    ----------
    index : FaceIndex
        What is written.
    root, out : Path
        Folder of the photographs, and the one that is filled.
    photographs : sequence of Photograph
        All that there are.
    stated : mapping
        Settings; a folder that was made with others is refused.
    said : mapping of str to str
        What to say in place of some of them, see `uvgen.jobs.run.check_same`; of models and weights it is known.
    overwrite : bool
        Remove what a folder of this kind holds.

    Attributes
    ----------
    faces, skipped : dict of str to list
        What was made, by the photograph's name; what was left out, by the photograph.
    new_faces : int
        Made by this run.
    """

    def __init__(
        self, index: FaceIndex[Face], root: Path, out: Path, photographs: Sequence[Photograph],
        stated: Mapping[str, Any], said: Mapping[str, str], *, overwrite: bool,
    ) -> None:  # fmt: skip
        self._index, self._out, self._overwrite = index, out, overwrite
        self._stated, self._said = dict(stated), {**_SAID, **said}
        self._names = {one.shown(root): one.name for one in photographs}
        self._images: dict[str, list[str]] = {}
        for image, name in self._names.items():
            self._images.setdefault(name, []).append(image)
        self._planned = set(self._names.values())
        self.faces: dict[str, list[Face]] = {}
        self.skipped: dict[str, list[Unfitted]] = {}
        self.new_faces = 0
        self._journal = Journal(out / _JOURNAL, [index.format, _VERSION, __version__, self._stated])

    @abstractmethod
    def is_made(self, photograph: Photograph, faces: Sequence[Face]) -> bool:
        """Whether the files of a photograph's faces, at least one, are there and made of what it is now."""

    def resume(self) -> None:
        """Keep what an earlier run with the same settings made; with `overwrite`, remove another's."""
        out, path = self._out, self._out / self._index.file
        self._index.check_folder(out)
        if path.exists():
            old = self._index.read(path)
            if self._overwrite:
                for face in old["faces"]:
                    self._index.remove(out, face["name"])
                parents = {Path(safe_name(face["name"])).parent for face in old["faces"]}
                for folder in sorted(parent for parent in parents if len(parent.parts) == 1):
                    remove_emptied(out / folder)
                path.unlink()
                self._journal.remove()
            else:
                new = {"uvgen": __version__, **self._stated}
                if old.get("detector") is None:
                    del new["detector"], new["detector_sha256"]  # no face is of one
                check_same(out, {key: old.get(key) for key in new}, new, self._said)
                self._take_over(old)
        with suppress(KeyError, TypeError, AttributeError, ValueError):  # a journal that uvgen did not write
            for line in self._journal.read():
                self._take_over(line)
        if gone := sorted(set(self.faces) - self._planned):
            raise SettingsError(
                f"{out}: holds samples of {count(len(gone), 'photograph')} that {are(len(gone))} not there any more, "
                f"first {gone[0]}; choose another output folder, or overwrite this one to start anew"
            )
        if self.faces:
            begin("comparing photographs with what was made of them")
        for folder in sorted({(out / name).parent for name in self._planned}):
            if folder.is_symlink() and folder != out:
                raise OutputError(f"{folder}: is a link, expected a folder of {out}; remove it")
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise DatasetError(f"{folder}: cannot be made ({error.strerror})") from error
        if not path.exists():
            self._write()  # first: without it, the folder would not count as ours

    def _take_over(self, line: Any) -> None:
        """Keep the faces that an index or a line of the journal lists: all of a photograph's are in the same."""
        found: dict[str, list[Face]] = {}
        for face in line["faces"]:
            found.setdefault(face["photograph"], []).append(self._index.parsed(face))
        self.faces |= found
        self._forget_skipped(found)
        for skip in map(unfitted, line.get("skipped", ())):  # without a face, a photograph is tried again
            if self._names.get(skip.image) in found:
                self.skipped.setdefault(skip.image, []).append(skip)

    def _forget_skipped(self, names: Iterable[str]) -> None:
        for image in (image for name in names for image in self._images.get(name, ())):
            self.skipped.pop(image, None)

    def is_finished(self, unit: FitTask) -> bool:
        """Whether all of its photographs have faces that were made of what they and their landmarks are now.

        Those without a face are tried again.
        """
        return all(map(self._has_all, unit.photographs))

    def discard(self, unit: FitTask) -> None:
        """Remove the faces of its photographs, which may show fewer now."""
        for one in unit.photographs:
            for face in self.faces.pop(one.name, ()):
                self._index.remove(self._out, face.name)
            self._forget_skipped([one.name])

    def _has_all(self, photograph: Photograph) -> bool:
        faces = self.faces.get(photograph.name, [])
        return bool(faces) and not photograph.problem and self.is_made(photograph, faces)

    def add(self, result: MadeBatch[Face]) -> None:
        """Note the faces of some photographs."""
        added = []
        for face in result.faces:
            name = self._names[face.image]
            self.faces.setdefault(name, []).append(face)
            added.append({"photograph": name, **self._index.plain(face)})
        for skip in result.skipped:
            self.skipped.setdefault(skip.image, []).append(skip)
        self.new_faces += len(result.faces)
        self._journal.append({"faces": added, "skipped": [asdict(skip) for skip in result.skipped]})

    def sorted_faces(self) -> list[Face]:
        """All faces, by name."""
        return sorted((face for faces in self.faces.values() for face in faces), key=lambda face: face.name)

    def sorted_skipped(self) -> list[Unfitted]:
        """All that was left out, by name."""
        return sorted((skip for skips in self.skipped.values() for skip in skips), key=lambda skip: skip.name)

    def _write(self) -> None:
        plain = self._index.plain
        faces = [{"photograph": name, **plain(face)} for name in sorted(self.faces) for face in self.faces[name]]
        content = {
            "format": self._index.format, "version": _VERSION, "uvgen": __version__, **self._stated, "faces": faces,
            "skipped": [asdict(skip) for skip in self.sorted_skipped()],
        }  # fmt: skip
        with replaced_on_success(self._out / self._index.file, make_folder=False) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def pause(self) -> None:
        """The journal has it all."""
        self._journal.close()

    def finish(self) -> None:
        """Write the index."""
        self._write()
        self._journal.remove()
