"""`fit.json`: what a folder of fitted samples says of how it was made, and of each face in it."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from uvgen._version import __version__
from uvgen.errors import DatasetError, InputError, OutputError, SettingsError
from uvgen.fitting.photographs import units_of
from uvgen.fitting.worker import (
    FitJob,
    FitTask,
    FittedBatch,
    FittedFace,
    Photograph,
    Unfitted,
    open_table,
    settings,
    state_of,
)
from uvgen.jobs.run import check_same
from uvgen.progress import begin
from uvgen.samples.find import IMAGE_SUFFIXES
from uvgen.storage.files import check_folder, replaced_on_success
from uvgen.storage.folders import FIT_INDEX
from uvgen.storage.journal import Journal
from uvgen.storage.names import brief, printable
from uvgen.storage.plain_json import parse_json
from uvgen.storage.text import read_text

_FORMAT, _VERSION = "uvgen-fit", 1
_JOURNAL = ".uvgen-journal"


def check_fit_folder(out: Path) -> None:
    """Raise OutputError, before any work, where a folder cannot take fitted samples."""
    if out.name.lower().endswith("_flip"):
        raise OutputError(f"{out}: named as 300W-LP's folders of mirrored images are, expected a name without _Flip")
    if not (out / FIT_INDEX).exists():
        check_folder(out)
        if out.is_dir() and (found := sorted(name for name in os.listdir(out) if not name.startswith("."))):
            raise OutputError(
                f"{out}: holds something else ({printable(found[0])}), expected a new or an empty folder; choose "
                "another"
            )


class FitRecord:
    """A folder of fitted samples while they are made: `fit.json`, and a journal until it is complete.

    Attributes
    ----------
    units : list of FitTask
        What is finished or not as a whole.
    faces, skipped : dict of str to list
        Samples by the photograph's name; what was left out, by the photograph.
    new_faces : int
        Made by this run.
    """

    def __init__(self, job: FitJob, photographs: Sequence[Photograph], *, same_person: bool, overwrite: bool) -> None:
        self._job, self._overwrite = job, overwrite
        self._stated = {**settings(job), "same_person": same_person}
        self.units = units_of(photographs, same_person=same_person)
        self._names = {one.shown(job.root): one.name for one in photographs}
        self._planned = set(self._names.values())
        self.faces: dict[str, list[FittedFace]] = {}  # by photograph's name
        self.skipped: dict[str, list[Unfitted]] = {}
        self.new_faces = 0
        self._table = open_table(job.landmarks)
        self._journal = Journal(job.out / _JOURNAL, [_FORMAT, _VERSION, __version__, self._stated])

    def resume(self) -> None:
        """Keep what an earlier run with the same settings made; with `overwrite`, remove another's."""
        out = self._job.out
        check_fit_folder(out)
        if (out / FIT_INDEX).exists():
            old = read_fit_index(out / FIT_INDEX)
            if self._overwrite:
                _remove_samples(out, old)
                self._journal.remove()
            else:
                new = {"uvgen": __version__, **self._stated}
                if old.get("detector") is None:
                    new.pop("detector")  # no face is of one
                check_same(out, {key: old.get(key) for key in new}, new, {"model_sha256": "another model"})
                self._take_over(old)
        with suppress(KeyError, TypeError, AttributeError, ValueError):  # a journal of somebody else's
            for line in self._journal.read():
                self._take_over(line)
        gone = sorted(set(self.faces) - self._planned)
        if gone:
            raise SettingsError(
                f"{out}: holds samples of {len(gone)} photographs that are not there any more, first {gone[0]}; choose "
                "another output folder, or overwrite this one to start anew"
            )
        if self.faces:
            begin("comparing photographs with what was fitted")
        for folder in sorted({(out / name).parent for name in self._planned}):
            try:
                if folder.is_symlink():
                    raise OutputError(f"{folder}: is a link, expected a folder of {out}; remove it")
                folder.mkdir(exist_ok=True)
            except OutputError:
                raise
            except OSError as error:
                raise DatasetError(f"{folder}: cannot be made ({error.strerror})") from error
        if not (out / FIT_INDEX).exists():
            self._write()  # first: without it, the folder would be somebody else's

    def _take_over(self, line: Any) -> None:
        """Keep the faces that an index or a line of the journal lists: all of a photograph's are in the same."""
        found: dict[str, list[FittedFace]] = {}
        for face in line["faces"]:
            found.setdefault(face["photograph"], []).append(_face(face))
        self.faces |= found

    def is_finished(self, unit: FitTask) -> bool:
        """Whether all of its photographs have samples of what they and their landmarks are now.

        Those without a sample are tried again. What was made of others is removed: they may have fewer faces now.
        """
        if all(map(self._is_made, unit.photographs)):
            return True
        for one in unit.photographs:
            for face in self.faces.pop(one.name, ()):
                _remove_sample(self._job.out, face.name)
        return False

    def _is_made(self, photograph: Photograph) -> bool:
        """Whether a photograph's samples are there, and it and its landmarks have not changed since."""
        faces = self.faces.get(photograph.name)
        if not faces or photograph.problem:
            return False
        for face in faces:
            path = self._job.out / face.name
            if not all(path.with_name(path.name + end).is_file() for end in (face.suffix, ".mat")):
                return False
        return {face.made_of for face in faces} == {state_of(self._job, self._table, photograph)}

    def add(self, result: FittedBatch) -> None:
        """Note the faces of some photographs."""
        added = []
        for face in result.faces:
            name = self._names[face.image]
            self.faces.setdefault(name, []).append(face)
            added.append({"photograph": name, **plain_face(face)})
        for skip in result.skipped:
            self.skipped.setdefault(skip.image, []).append(skip)
        self.new_faces += len(result.faces)
        self._journal.append({"faces": added})

    def sorted_faces(self) -> list[FittedFace]:
        """All faces, by name."""
        return sorted((face for faces in self.faces.values() for face in faces), key=lambda face: face.name)

    def sorted_skipped(self) -> list[Unfitted]:
        """All that was left out, by name."""
        return sorted((skip for skips in self.skipped.values() for skip in skips), key=lambda skip: skip.name)

    def _write(self) -> None:
        faces = [{"photograph": name, **plain_face(face)} for name in sorted(self.faces) for face in self.faces[name]]
        content = {
            "format": _FORMAT, "version": _VERSION, "uvgen": __version__, **self._stated, "faces": faces,
            "skipped": [asdict(skip) for skip in self.sorted_skipped()],
        }  # fmt: skip
        with replaced_on_success(self._job.out / FIT_INDEX, make_folder=False) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def pause(self) -> None:
        """The journal has it all."""
        self._journal.close()

    def finish(self) -> None:
        """Write `fit.json`."""
        self._write()
        self._journal.remove()


_TEXTS = ("photograph", "name", "image", "source", "suffix", "made_of")
_NUMBERS = ("residual", "residual_jaw", "sigma_px", "yaw_deg")


def _face(content: dict[str, Any]) -> FittedFace:
    """A face as an index or a journal has it; ValueError, KeyError or TypeError where a value is of another type."""
    for key in _TEXTS:
        if not isinstance(content[key], str):
            raise ValueError(f"{key} {brief(content[key])[:40]}, expected text")
    if content["suffix"] not in IMAGE_SUFFIXES:
        raise ValueError(f"suffix {brief(content['suffix'])[:40]}, expected an image's")
    first, photograph = content["name"], content["photograph"]
    if first != photograph and not first.startswith(f"{photograph}-face"):
        raise ValueError(f"sample {brief(first)[:60]} of photograph {brief(photograph)[:60]}")
    values: dict[str, Any] = {key: value for key, value in content.items() if key != "photograph"}
    for key in _NUMBERS:
        if type(values[key]) not in (int, float, type(None)):
            raise ValueError(f"{key} {brief(values[key])[:40]}, expected a number")
        values[key] = np.nan if values[key] is None else float(values[key])
    return FittedFace(**values)


def plain_face(face: FittedFace) -> dict[str, Any]:
    """As JSON holds it: None for what is not a number."""
    return {key: None if isinstance(v, float) and not np.isfinite(v) else v for key, v in asdict(face).items()}


def read_fit_index(path: Path) -> dict[str, Any]:
    """What `fit.json` holds."""
    try:
        content = parse_json(read_text(path, "what uvgen fit wrote"))
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError("not of uvgen fit")
        for face in content["faces"]:
            _face(face)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise SettingsError(f"{path}: cannot be read ({brief(error)}); choose another output folder") from error
    return content


def _remove_samples(out: Path, old: dict[str, Any]) -> None:
    """Delete the samples that an index lists, in this folder or one in it."""
    for face in old["faces"]:
        _remove_sample(out, face["name"])
    (out / FIT_INDEX).unlink()


def _remove_sample(out: Path, name: str) -> None:
    """Delete a sample that an index lists, if it lies in the folder or in one in it."""
    parts = Path(name).parts
    if not 1 <= len(parts) <= 2 or ".." in parts or Path(name).is_absolute():
        return
    if len(parts) == 2 and (out / parts[0]).is_symlink():
        return
    for suffix in (*IMAGE_SUFFIXES, ".mat"):
        path = out.joinpath(*parts[:-1], parts[-1] + suffix)
        if path.is_file() or path.is_symlink():
            path.unlink()
