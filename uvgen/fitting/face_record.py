"""Folders that commands fill with results for the faces in photographs.

`uvgen fit` and `uvgen predict` differ in what a face is and in which files it has: see `FaceIndex`.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from uvgen.errors import DatasetError, OutputError
from uvgen.fitting.detectors import DETECTORS
from uvgen.fitting.fitted import Unfitted
from uvgen.fitting.folder_record import FolderIndex, FolderRecord
from uvgen.fitting.photographs import units_of
from uvgen.fitting.tasks import FitTask, Photograph
from uvgen.fitting.video.files import MARK, remove_emptied, remove_frames
from uvgen.progress import begin
from uvgen.storage.files import delete
from uvgen.storage.names import brief, os_reason, safe_name

_LONGEST = 250  # bytes of a file's name without its ending; file systems allow 255


class MadeFace(Protocol):
    """A face that was made: its name, its photograph, where it comes from, and a hash of what it was made of."""

    @property
    def name(self) -> str: ...
    @property
    def image(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def made_of(self) -> str: ...


Face = TypeVar("Face", bound=MadeFace)
OfFace = TypeVar("OfFace", bound=MadeFace, covariant=True)


class MadeBatch(Protocol[OfFace]):
    """The results of a task on some photographs: the faces, and what was left out."""

    @property
    def faces(self) -> tuple[OfFace, ...]: ...
    @property
    def skipped(self) -> tuple[Unfitted, ...]: ...


@dataclass(frozen=True, slots=True)
class FaceIndex(FolderIndex[Face]):
    """The form in which a command lists the faces that it made.

    Attributes
    ----------
    suffixes_of : callable
        Those of a face's files.
    """

    suffixes_of: Callable[[Face], tuple[str, ...]]

    def _check(self, content: dict[str, Any]) -> None:
        FolderIndex._check(self, content)  # with slots, super() without arguments fails
        check_once(content["faces"])
        for skip in content.get("skipped", ()):
            unfitted(skip)

    def stated_detector(self, out: Path, *, overwrite: bool) -> str | None:
        """The detector that a folder was begun with, so that "auto" means it again."""
        if overwrite or not (out / self.file).exists():
            return None
        stated = self.read(out / self.file).get("detector")
        return stated if stated in DETECTORS else None

    def remove(self, out: Path, face: Face) -> None:
        """Delete the files of a face that an index lists, if they lie in the folder or in one in it."""
        parts = Path(face.name).parts
        if not 1 <= len(parts) <= 2 or ".." in parts or Path(face.name).is_absolute():
            return
        if len(parts) == 2 and (out / parts[0]).is_symlink():
            return
        for suffix in self.suffixes_of(face):
            path = out.joinpath(*parts[:-1], parts[-1] + suffix)
            if path == out / self.file:  # a face named as the index is, in an index that uvgen did not write
                continue
            if path.is_file() or path.is_symlink():
                delete(path)


def unfitted(content: Any) -> Unfitted:
    """A photograph or face that was left out, from an index or journal; ValueError or TypeError if malformed."""
    found = Unfitted(**content)
    if not all(isinstance(text, str) for text in (found.name, found.image, found.reason)):
        raise ValueError("skipped: other values than texts")
    return found


def check_once(faces: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError if an index or a line of a journal lists a face twice: it would be counted twice."""
    names = set[str]()
    for face in faces:
        if face["name"] in names:
            raise ValueError(f"sample {brief(face['name'])[:60]} is there twice")
        names.add(face["name"])


def check_face_name(name: str, photograph: Any) -> None:
    """Raise ValueError if a face's name is not one that faces of its photograph get."""
    if not isinstance(photograph, str) or (
        name != photograph and not name.startswith((f"{photograph}-face", f"{photograph}/frame_"))
    ):
        raise ValueError(f"sample {brief(name)[:60]} of photograph {brief(photograph)[:60]}")
    if any(len(part.encode()) > _LONGEST for part in name.split("/")):
        raise ValueError(f"sample {brief(name)[:60]}…, a name that no file has")


class FaceRecord(FolderRecord, Generic[Face]):
    """A folder of faces while it is filled, see `FolderRecord`.

    Parameters
    ----------
    index : FaceIndex
        What is written.
    root, out : Path
        Folder of the photographs, and the one that is filled.
    photographs : sequence of Photograph
        All that there are.
    stated, said, overwrite
        As for `FolderRecord`.

    Attributes
    ----------
    units : list of FitTask
        What is finished or not as a whole; once resumed, photographs that cannot get their files have a problem.
    faces, skipped : dict of str to list
        What was made, by the photograph's name; what was left out, by the photograph.
    """

    made_of, entries, late = "photograph", "samples", ("detector", "detector_sha256")
    _index: FaceIndex[Face]

    def __init__(
        self, index: FaceIndex[Face], root: Path, out: Path, photographs: Sequence[Photograph],
        stated: Mapping[str, Any], said: Mapping[str, str], *, same_person: bool = False, overwrite: bool,
    ) -> None:  # fmt: skip
        super().__init__(index, out, stated, said, overwrite=overwrite)
        self.units = units_of(photographs, same_person=same_person)
        self._names = {one.shown(root): one.name for one in photographs}
        self._images: dict[str, list[str]] = {}
        for image, name in self._names.items():
            self._images.setdefault(name, []).append(image)
        self._planned = set(self._names.values())
        self._usable = {one.name for one in photographs if not one.problem}
        self.faces: dict[str, list[Face]] = {}
        self.skipped: dict[str, list[Unfitted]] = {}

    @abstractmethod
    def is_made(self, photograph: Photograph, faces: Sequence[Face]) -> bool:
        """Whether the files of a photograph's faces, at least one, are there and made of what it is now."""

    def _remove_all(self, index: Mapping[str, Any]) -> None:
        faces = self.sorted_faces()
        self._forget(list(self.faces))
        for face in faces:
            self._index.remove(self._out, face)
        parents = {Path(safe_name(face.name)).parent for face in faces}
        for folder in sorted(parent for parent in parents if len(parent.parts) == 1):
            remove_emptied(self._out / folder)

    def _inputs(self) -> Set[str]:
        return self._usable

    def _files(self) -> set[str]:
        faces = [face for faces in self.faces.values() for face in faces]
        marks = {f"{folder}/{MARK}" for face in faces if (folder := face.name.rpartition("/")[0])}  # if of a video
        return marks | {f"{face.name}{suffix}" for face in faces for suffix in self._index.suffixes_of(face)}

    def _remove_file(self, path: Path) -> None:
        if path.name == MARK:
            remove_frames(path.parent)
        else:
            super()._remove_file(path)

    def _gone(self) -> set[str]:
        return set(self.faces) - self._planned

    def _prepare(self) -> None:
        if self.faces:
            begin("comparing photographs with what was made of them")
        for folder in self._folders():
            if folder.is_symlink() and folder != self._out:
                raise OutputError(f"{folder}: is a link, expected a folder of {self._out}; remove it")

    def _folders(self) -> list[Path]:
        return sorted({(self._out / name).parent for name in self._usable})

    def _make_folders(self) -> None:
        for folder in self._folders():
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise DatasetError(f"{folder}: cannot be made ({os_reason(error)})") from error

    def _take_over(self, line: Any) -> None:
        """Keep the faces that an index or a line of the journal lists: all of a photograph's are in the same."""
        found: dict[str, list[Face]] = {}
        check_once(line["faces"])
        for face in line["faces"]:
            found.setdefault(face["photograph"], []).append(self._index.parsed(face))
        self.faces |= found
        self._forget_skipped(found)
        for skip in map(unfitted, line.get("skipped", ())):  # without a face, a photograph is tried again
            if self._names.get(skip.image) in found:
                self.skipped.setdefault(skip.image, []).append(skip)

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self.faces.pop(name, None)
            self._forget_skipped([name])

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
        made = {one.name: self.faces[one.name] for one in unit.photographs if one.name in self.faces}
        self._note_discarded({name: self._known_by(name, faces) for name, faces in made.items()})
        self._forget(one.name for one in unit.photographs)
        for face in (face for faces in made.values() for face in faces):
            self._index.remove(self._out, face)

    def _known_by(self, name: str, faces: Sequence[Face]) -> Iterable[Path]:
        """The files of a photograph's faces, or the one by which they are known."""
        return [self._out / f"{face.name}{suffix}" for face in faces for suffix in self._index.suffixes_of(face)]

    def finish(self) -> None:
        """As `FolderRecord.finish`; if the detector found no face that is listed, the folder fits any, and none."""
        if self._stated.get("detector") not in {face.source for faces in self.faces.values() for face in faces}:
            self._stated |= dict.fromkeys(self.late)
        super().finish()

    def _has_all(self, photograph: Photograph) -> bool:
        faces = self.faces.get(photograph.name, [])
        if not faces or photograph.problem:
            return False
        # where its suffix is another now, the index states it, and what was left out of it, by a file that is gone
        return all(face.image in self._names for face in faces) and self.is_made(photograph, faces)

    def add(self, result: MadeBatch[Face]) -> None:
        """Note the faces of some photographs: in the journal first, which may fail."""
        made = [(self._names[face.image], face) for face in result.faces]
        added = [{"photograph": name, **self._index.plain(face)} for name, face in made]
        self._note({"faces": added, "skipped": [asdict(skip) for skip in result.skipped]})
        for name, face in made:
            self.faces.setdefault(name, []).append(face)
        for skip in result.skipped:
            self.skipped.setdefault(skip.image, []).append(skip)
        self.new_samples += len(result.faces)

    def sorted_faces(self) -> list[Face]:
        """All faces, by name."""
        return sorted((face for faces in self.faces.values() for face in faces), key=lambda face: face.name)

    def sorted_skipped(self) -> list[Unfitted]:
        """All that was left out, by name."""
        return sorted((skip for skips in self.skipped.values() for skip in skips), key=lambda skip: skip.name)

    def _lists(self) -> dict[str, Any]:
        plain = self._index.plain
        faces = [{"photograph": name, **plain(face)} for name in sorted(self.faces) for face in self.faces[name]]
        return {"faces": faces, "skipped": [asdict(skip) for skip in self.sorted_skipped()]}
