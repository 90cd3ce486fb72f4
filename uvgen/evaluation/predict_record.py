"""`predict.json`: what a folder of predictions says of how it was made, and of each face in it."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from uvgen._version import __version__
from uvgen.errors import DatasetError, InputError, OutputError, SettingsError
from uvgen.evaluation.predict_worker import (
    WRITTEN,
    PredictedBatch,
    PredictedFace,
    PredictJob,
    Unfitted,
    face_table,
    made_of,
)
from uvgen.fitting.detectors import DETECTORS
from uvgen.fitting.photographs import units_of
from uvgen.fitting.worker import FitTask, Photograph
from uvgen.jobs.run import check_same
from uvgen.progress import begin
from uvgen.storage.files import check_folder, replaced_on_success
from uvgen.storage.folders import PREDICT_INDEX
from uvgen.storage.journal import Journal
from uvgen.storage.names import brief, printable
from uvgen.storage.plain_json import parse_json
from uvgen.storage.text import read_text

_FORMAT, _VERSION = "uvgen-predict", 1
_JOURNAL = ".uvgen-journal"
_SUFFIXES = (*WRITTEN.values(), ".png")
_SAID = {"network_sha256": "another network", "model_sha256": "another model"}


def check_predict_folder(out: Path) -> None:
    """Raise OutputError, before any work, where a folder cannot take predictions."""
    if not (out / PREDICT_INDEX).exists():
        check_folder(out)
        if out.is_dir() and (found := sorted(name for name in os.listdir(out) if not name.startswith("."))):
            raise OutputError(
                f"{out}: holds something else ({printable(found[0])}), expected a new or an empty folder; choose "
                "another"
            )


def stated_detector(out: Path) -> str | None:
    """The detector that a folder was begun with, so that "auto" means it again."""
    if not (out / PREDICT_INDEX).exists():
        return None
    stated = read_predict_index(out / PREDICT_INDEX).get("detector")
    return stated if stated in DETECTORS else None


class PredictRecord:
    """A folder of predictions while they are made: `predict.json`, and a journal until it is complete.

    Attributes
    ----------
    faces, skipped : dict of str to list
        What was predicted, by the photograph's name; what was left out, by the photograph.
    new_faces : int
        Made by this run.
    """

    def __init__(self, job: PredictJob, photographs: Sequence[Photograph], *, overwrite: bool) -> None:
        self._job, self._overwrite, self._stated = job, overwrite, job.settings()
        self._names = {one.shown(job.root): one.name for one in photographs}
        self._folders = sorted({(job.out / unit.name).parent for unit in units_of(photographs, same_person=False)})
        self._table = face_table(job)
        self.faces: dict[str, list[PredictedFace]] = {}
        self.skipped: dict[str, list[Unfitted]] = {}
        self.new_faces = 0
        self._journal = Journal(job.out / _JOURNAL, [_FORMAT, _VERSION, __version__, self._stated])

    def resume(self) -> None:
        """Keep what an earlier run with the same settings made; with `overwrite`, remove another's."""
        out = self._job.out
        check_predict_folder(out)
        if (out / PREDICT_INDEX).exists():
            old = read_predict_index(out / PREDICT_INDEX)
            if self._overwrite:
                for face in old["faces"]:
                    _remove(out, face["name"])
                (out / PREDICT_INDEX).unlink()
                self._journal.remove()
            else:
                new = {"uvgen": __version__, **self._stated}
                if old.get("detector") is None:
                    new.pop("detector")  # no face is of one
                check_same(out, {key: old.get(key) for key in new}, new, _SAID)
                self._take_over(old)
        with suppress(KeyError, TypeError, AttributeError, ValueError):  # a journal of somebody else's
            for line in self._journal.read():
                self._take_over(line)
        if gone := sorted(set(self.faces) - set(self._names.values())):
            raise SettingsError(
                f"{out}: holds predictions of {len(gone)} photographs that are not there any more, first {gone[0]}; "
                "choose another output folder, or overwrite this one to start anew"
            )
        if self.faces:
            begin("comparing photographs with what was predicted")
        for folder in self._folders:
            if folder.is_symlink() and folder != out:
                raise OutputError(f"{folder}: is a link, expected a folder of {out}; remove it")
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise DatasetError(f"{folder}: cannot be made ({error.strerror})") from error
        if not (out / PREDICT_INDEX).exists():
            self._write()  # first: without it, the folder would be somebody else's

    def _take_over(self, line: Any) -> None:
        """Keep the faces that an index or a line of the journal lists: all of a photograph's are in the same."""
        found: dict[str, list[PredictedFace]] = {}
        for face in line["faces"]:
            found.setdefault(face["photograph"], []).append(_face(face))
        self.faces |= found

    def is_finished(self, unit: FitTask) -> bool:
        """Whether all faces of a photograph were predicted of what it is now. What was made of others is removed."""
        (photograph,) = unit.photographs
        faces = self.faces.get(photograph.name, [])
        paths = [self._job.out / f"{face.name}{suffix}" for face in faces for suffix in face.suffixes]
        whole = bool(faces) and not photograph.problem and all(path.is_file() for path in paths)
        if whole and {face.made_of for face in faces} == {made_of(self._job, self._table, photograph)}:
            return True
        for face in self.faces.pop(photograph.name, ()):
            _remove(self._job.out, face.name)
        return False

    def add(self, result: PredictedBatch) -> None:
        """Note the faces of some photographs."""
        added = []
        for face in result.faces:
            name = self._names[face.image]
            self.faces.setdefault(name, []).append(face)
            added.append({"photograph": name, **asdict(face)})
        for skip in result.skipped:
            self.skipped.setdefault(skip.image, []).append(skip)
        self.new_faces += len(result.faces)
        self._journal.append({"faces": added})

    def sorted_faces(self) -> list[PredictedFace]:
        """All faces, by name."""
        return sorted((face for faces in self.faces.values() for face in faces), key=lambda face: face.name)

    def sorted_skipped(self) -> list[Unfitted]:
        """All that was left out, by name."""
        return sorted((skip for skips in self.skipped.values() for skip in skips), key=lambda skip: skip.name)

    def _write(self) -> None:
        faces = [{"photograph": name, **asdict(face)} for name in sorted(self.faces) for face in self.faces[name]]
        content = {
            "format": _FORMAT, "version": _VERSION, "uvgen": __version__, **self._stated, "faces": faces,
            "skipped": [asdict(skip) for skip in self.sorted_skipped()],
        }  # fmt: skip
        with replaced_on_success(self._job.out / PREDICT_INDEX, make_folder=False) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def pause(self) -> None:
        """The journal has it all."""
        self._journal.close()

    def finish(self) -> None:
        """Write `predict.json`."""
        self._write()
        self._journal.remove()


_NUMBERS = ("pitch_deg", "yaw_deg", "roll_deg")


def _face(content: dict[str, Any]) -> PredictedFace:
    """A face as an index or a journal has it; ValueError, KeyError or TypeError where a value is of another type."""
    values = {item.name: content[item.name] for item in fields(PredictedFace)}
    suffixes = values["suffixes"]
    if not isinstance(suffixes, list) or not suffixes or not set(suffixes) <= set(_SUFFIXES):
        raise ValueError(f"suffixes {brief(suffixes)[:40]}, expected some of {', '.join(_SUFFIXES)}")
    for key, value in values.items():
        wanted = (int, float) if key in _NUMBERS else (list,) if key == "suffixes" else (str,)
        if type(value) not in wanted:
            raise ValueError(f"{key} {brief(value)[:40]}, expected {wanted[-1].__name__}")
    first, photograph = values["name"], content["photograph"]
    if not isinstance(photograph, str) or (first != photograph and not first.startswith(f"{photograph}-face")):
        raise ValueError(f"face {brief(first)[:60]} of photograph {brief(photograph)[:60]}")
    return PredictedFace(**{**values, "suffixes": tuple(suffixes)})


def read_predict_index(path: Path) -> dict[str, Any]:
    """What `predict.json` holds."""
    try:
        content = parse_json(read_text(path, "what uvgen predict wrote"))
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError("not of uvgen predict")
        for face in content["faces"]:
            _face(face)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise SettingsError(f"{path}: cannot be read ({brief(error)}); choose another output folder") from error
    return content


def _remove(out: Path, name: str) -> None:
    """Delete the files of a face that an index lists, if they lie in the folder or in one in it."""
    parts = Path(name).parts
    if not 1 <= len(parts) <= 2 or ".." in parts or Path(name).is_absolute():
        return
    if len(parts) == 2 and (out / parts[0]).is_symlink():
        return
    for suffix in _SUFFIXES:
        path = out / f"{name}{suffix}"
        if path.is_file() or path.is_symlink():
            path.unlink()
