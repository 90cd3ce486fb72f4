"""The inputs of jobs on photographs, videos and scans: files, and tasks of photographs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from uvgen.storage.names import printable


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to work on, its name in the output, and why it cannot be used, if that is known."""

    path: Path
    name: str
    problem: str = ""

    def shown(self, root: Path) -> str:
        """Its path below a folder, for lists and messages."""
        return printable(self.path.relative_to(root).as_posix())


class Photograph(InputFile):
    """An image to fit, or a video; its sample is named ``PERSON/NAME`` or ``NAME``."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class FitTask:
    """Photographs to fit at once; if `same_person`, all are one person's. A `trial` writes nothing."""

    photographs: tuple[Photograph, ...]
    same_person: bool = False
    trial: bool = False

    @property
    def name(self) -> str:
        """For messages."""
        return self.photographs[0].name


class FaceOptions(Protocol):
    """Options of a function that takes faces of photographs."""

    @property
    def faces(self) -> str: ...
    @property
    def exif(self) -> str: ...


class PhotographJob:
    """What jobs on photographs have in common: how their tasks are tried, and which faces they take."""

    __slots__ = ()
    options: FaceOptions

    @property
    def faces(self) -> str:
        """Which faces of a photograph are taken."""
        return self.options.faces

    @property
    def exif(self) -> str:
        """Whether photographs are turned upright as their EXIF orientation says."""
        return self.options.exif

    def parts(self, task: FitTask) -> list[FitTask]:
        """Each photograph alone, to be tried."""
        return [replace(task, photographs=(one,), same_person=False, trial=True) for one in task.photographs]

    def without(self, task: FitTask, causes: Mapping[int, str]) -> FitTask:
        """The task without photographs at which processes die."""
        photographs = [replace(one, problem=causes.get(k, one.problem)) for k, one in enumerate(task.photographs)]
        return replace(task, photographs=tuple(photographs))
