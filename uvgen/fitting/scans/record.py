"""`register.json`: the settings that a folder of registered scans was made with, and an entry for each mesh in it."""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from uvgen.errors import OutputError
from uvgen.fitting.folder_record import FolderIndex, FolderRecord
from uvgen.fitting.scans.options import FORMATS
from uvgen.fitting.scans.worker import (
    RegisteredScan,
    RegisterJob,
    RegisterTask,
    RejectedScan,
    mesh_path,
    settings,
    state_of,
)
from uvgen.fitting.tasks import InputFile
from uvgen.progress import begin
from uvgen.samples.files import is_out_of_reach
from uvgen.storage.contents import link_between
from uvgen.storage.files import delete
from uvgen.storage.folders import REGISTER_INDEX
from uvgen.storage.names import brief, safe_name

_TEXTS = ("name", "scan", "source", "made_of")


def _parsed(content: Any) -> RegisteredScan:
    """A scan from an index or a journal; ValueError, KeyError or TypeError if a value is malformed."""
    values = {field.name: content[field.name] for field in fields(RegisteredScan)}
    if not all(isinstance(values[key], str) for key in _TEXTS) or safe_name(values["name"]) != values["name"]:
        raise ValueError(f"name {brief(values['name'])[:60]}, expected that of a mesh in the folder")
    if values["unit"] is not None and not isinstance(values["unit"], str):
        raise ValueError(f"unit {brief(values['unit'])[:40]}, expected text")
    values["rotation"] = tuple(tuple(map(_number, row)) for row in values["rotation"])
    values["shift"] = tuple(map(_number, values["shift"]))
    for key in set(values) - {*_TEXTS, "unit", "rotation", "shift"}:
        values[key] = _number(values[key])
    return RegisteredScan(**values)


def _number(value: Any) -> Any:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{brief(value)[:40]}, expected a number")
    return value


INDEX = FolderIndex(REGISTER_INDEX, "register", "scans", _parsed, asdict)
"""Of a folder that `uvgen register` fills."""


class RegisterRecord(FolderRecord):
    """A folder of registered meshes while it is filled, see `FolderRecord`.

    Attributes
    ----------
    units : list of RegisterTask
        Once resumed, scans that cannot get their mesh have a problem.
    scans, rejected : dict of str to RegisteredScan, of str to RejectedScan
        By the name.
    """

    made_of, entries = "scan", "meshes"

    def __init__(self, job: RegisterJob, scans: Sequence[InputFile], *, overwrite: bool) -> None:
        super().__init__(INDEX, job.out, settings(job), {}, overwrite=overwrite)
        self._job = job
        self.units = [RegisterTask(scan) for scan in scans]
        self.scans: dict[str, RegisteredScan] = {}
        self.rejected: dict[str, RejectedScan] = {}

    def _take_over(self, line: Any) -> None:
        for scan in line["scans"]:
            self.scans[scan["name"]] = _parsed(scan)

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self.scans.pop(name, None)

    def _remove_all(self, index: Mapping[str, Any]) -> None:
        names = list(self.scans)
        self._forget(names)
        for name in names:
            self._remove(name, index.get("mesh_format"))

    def _inputs(self) -> Set[str]:
        return {unit.name for unit in self.units}

    def _files(self) -> set[str]:
        return {f"{name}.{self._job.options.format}" for name in self.scans}

    def _gone(self) -> set[str]:
        return self.scans.keys() - self._inputs()

    def _prepare(self) -> None:
        if self.scans:
            begin("comparing scans with what was made of them")
        for unit in self.units:
            if link := link_between(self._out, mesh_path(self._out, unit.name, self._job.options.format)):
                raise OutputError(f"{link}: is a link, expected a folder of {self._out}; remove it")

    def _remove(self, name: str, kind: Any) -> None:
        """Delete a scan's mesh of this format; others of its name are somebody's."""
        path = mesh_path(self._out, name, kind)
        if kind in FORMATS and path.is_file() and link_between(self._out, path) is None:
            delete(path)

    def is_finished(self, unit: RegisterTask) -> bool:
        """Whether its mesh is there, made of what the scan and its landmarks are now."""
        made = self.scans.get(unit.name)
        if made is None or unit.scan.problem or not mesh_path(self._out, unit.name, self._job.options.format).is_file():
            return False
        try:
            return made.made_of == state_of(self._job, unit.scan)
        except OSError as error:
            return is_out_of_reach(Path(error.filename or unit.scan.path), error)

    def discard(self, unit: RegisterTask) -> None:
        """Remove a scan's earlier mesh."""
        if unit.name in self.scans:
            kind = self._job.options.format
            self._note_discarded({unit.name: [mesh_path(self._out, unit.name, kind)]})
            self._remove(unit.name, kind)

    def add(self, result: RegisteredScan | RejectedScan) -> None:
        """Note the outcome for a scan."""
        if isinstance(result, RejectedScan):
            self.rejected[result.scan] = result
            return
        self._note({"scans": [asdict(result)]})  # first: it may fail
        self.scans[result.name] = result
        self.new_samples += 1

    def sorted_scans(self) -> list[RegisteredScan]:
        """All registered scans, by name."""
        return [self.scans[name] for name in sorted(self.scans)]

    def sorted_rejected(self) -> list[RejectedScan]:
        """All rejected scans, by name."""
        return sorted(self.rejected.values(), key=lambda one: (one.name, one.scan))

    def _lists(self) -> dict[str, Any]:
        scans = [asdict(scan) for scan in self.sorted_scans()]
        return {"scans": scans, "skipped": [asdict(one) for one in self.sorted_rejected()]}
