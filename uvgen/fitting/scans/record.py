"""`register.json`: the settings that a folder of registered scans was made with, and an entry for each mesh in it."""

import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from uvgen._version import __version__
from uvgen.errors import InputError, OutputError, SettingsError
from uvgen.fitting.scans.worker import (
    FORMATS,
    RegisteredScan,
    RegisterJob,
    RegisterTask,
    RejectedScan,
    ScanFile,
    mesh_path,
    settings,
    state_of,
)
from uvgen.jobs.run import check_same
from uvgen.progress import begin
from uvgen.storage.files import check_folder, replaced_on_success
from uvgen.storage.folders import REGISTER_INDEX
from uvgen.storage.journal import Journal
from uvgen.storage.names import brief, printable, safe_name
from uvgen.storage.plain_json import parse_json
from uvgen.storage.text import read_text
from uvgen.wording import are, count

_FORMAT, _VERSION = "uvgen-register", 1
_TEXTS = ("name", "scan", "landmarks", "made_of")
_JOURNAL = ".uvgen-journal"


def check_register_folder(out: Path) -> None:
    """Raise OutputError, before any work, if a folder holds something else or cannot be written."""
    if not (out / REGISTER_INDEX).exists():
        check_folder(out)
        if out.is_dir() and (found := sorted(name for name in os.listdir(out) if not name.startswith("."))):
            raise OutputError(
                f"{out}: holds something else ({printable(found[0])}), expected a new or an empty folder; choose "
                "another"
            )


def plain_scan(scan: RegisteredScan) -> dict[str, Any]:
    """As JSON holds it."""
    return asdict(scan)


def _parsed(content: Any) -> RegisteredScan:
    """A scan as an index or a journal has it; ValueError, KeyError or TypeError if a value cannot be."""
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


def read_register_index(path: Path) -> dict[str, Any]:
    """What a folder's index holds; SettingsError if it is none."""
    try:
        content = parse_json(read_text(path, "what uvgen register wrote"))
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError("not of uvgen register")
        for scan in content["scans"]:
            _parsed(scan)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise SettingsError(f"{path}: cannot be read ({brief(error)}); choose another output folder") from error
    return content


class RegisterRecord:
    """A folder while it is filled: its index, and a journal until it is complete. See `uvgen.jobs.run.Record`.

    Attributes
    ----------
    units : list of RegisterTask
    scans, rejected : dict of str to RegisteredScan, of str to RejectedScan
        By the name.
    new_scans : int
        Registered by this run.
    """

    def __init__(self, job: RegisterJob, scans: Sequence[ScanFile], *, overwrite: bool) -> None:
        self._job, self._out, self._overwrite = job, job.out, overwrite
        self._path, self._stated = job.out / REGISTER_INDEX, settings(job)
        self.units = [RegisterTask(scan) for scan in scans]
        self.scans: dict[str, RegisteredScan] = {}
        self.rejected: dict[str, RejectedScan] = {}
        self.new_scans = 0
        self._journal = Journal(job.out / _JOURNAL, [_FORMAT, _VERSION, __version__, self._stated])

    def resume(self) -> None:
        """Keep what an earlier run with the same settings made; with `overwrite`, remove another's."""
        out = self._out
        check_register_folder(out)
        if self._path.exists():
            old = read_register_index(self._path)
            if self._overwrite:
                for scan in old["scans"]:
                    self._remove(scan["name"])
                self._path.unlink()
                self._journal.remove()
            else:
                new = {"uvgen": __version__, **self._stated}
                said = {"model_sha256": "another model", "detector_sha256": "other weights of the detector"}
                check_same(out, {key: old.get(key) for key in new}, new, said)
                self.scans = {scan["name"]: _parsed(scan) for scan in old["scans"]}
        with suppress(KeyError, TypeError, AttributeError, ValueError):  # a journal that uvgen did not write
            for line in self._journal.read():
                self.scans[line["name"]] = _parsed(line)
        if gone := sorted(set(self.scans) - {unit.name for unit in self.units}):
            raise SettingsError(
                f"{out}: holds meshes of {count(len(gone), 'scan')} that {are(len(gone))} not there any more, first "
                f"{printable(gone[0])}; choose another output folder, or overwrite this one to start anew"
            )
        if self.scans:
            begin("comparing scans with what was made of them")
        if not self._path.exists():
            self._write()  # first: without it, the folder would not count as ours

    def _remove(self, name: str) -> None:
        for kind in FORMATS:
            path = mesh_path(self._out, name, kind)
            if path.is_file() and not path.parent.is_symlink():
                path.unlink()

    def is_finished(self, unit: RegisterTask) -> bool:
        """Whether its mesh is there, made of what the scan and its landmarks are now."""
        made = self.scans.get(unit.name)
        if made is None or unit.scan.problem or not mesh_path(self._out, unit.name, self._job.format).is_file():
            return False
        return made.made_of == state_of(self._job, unit.scan)

    def discard(self, unit: RegisterTask) -> None:
        """Remove the mesh of what a scan was, in any format."""
        if self.scans.pop(unit.name, None) is not None:
            self._remove(unit.name)

    def add(self, result: RegisteredScan | RejectedScan) -> None:
        """Note the outcome for a scan."""
        if isinstance(result, RejectedScan):
            self.rejected[result.scan] = result
            return
        self.scans[result.name] = result
        self.new_scans += 1
        self._journal.append(plain_scan(result))

    def pause(self) -> None:
        """The journal has it all."""
        self._journal.close()

    def finish(self) -> None:
        """Write the index."""
        self._write()
        self._journal.remove()

    def sorted_scans(self) -> list[RegisteredScan]:
        """All that are registered, by name."""
        return [self.scans[name] for name in sorted(self.scans)]

    def sorted_rejected(self) -> list[RejectedScan]:
        """All that are not, by name."""
        return sorted(self.rejected.values(), key=lambda one: (one.name, one.scan))

    def _write(self) -> None:
        content = {
            "format": _FORMAT, "version": _VERSION, "uvgen": __version__,
            **self._stated,
            "scans": [plain_scan(scan) for scan in self.sorted_scans()],
            "skipped": [asdict(one) for one in self.sorted_rejected()],
        }  # fmt: skip
        with replaced_on_success(self._path, make_folder=False) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
