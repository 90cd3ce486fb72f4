"""Photographs to a folder like 300W-LP's: what `uvgen fit` does.

Each face depends on its photograph, its landmarks, the model and the options alone, so that a folder holds the same
bytes whatever the number of workers, and whether or not the work was interrupted.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uvgen._version import __version__
from uvgen.checks import choice, number_in
from uvgen.errors import DatasetError, DependencyError, InputError, OutputError, SettingsError
from uvgen.fitting.detectors import DETECTORS, open_detector
from uvgen.fitting.landmarks import JAWS
from uvgen.fitting.photographs import FIT_INDEX, find_photographs, in_batches, units_of
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
from uvgen.jobs.run import RETRIES, check_run, check_same, run
from uvgen.models.load import BUILTIN, as_model
from uvgen.models.morphable import MorphableModel
from uvgen.progress import begin
from uvgen.samples.find import IMAGE_SUFFIXES
from uvgen.samples.landmark_files import has_landmarks
from uvgen.samples.read import EXIF
from uvgen.storage.files import check_folder, replaced_on_success
from uvgen.storage.journal import Journal
from uvgen.storage.names import brief, printable
from uvgen.storage.plain_json import parse_json
from uvgen.storage.text import read_text

FACES = ("largest", "all")
AUTO = "auto"
"""What `fit_photographs` takes for the first detector that is installed."""

_FORMAT, _VERSION = "uvgen-fit", 1
_JOURNAL = ".uvgen-journal"


@dataclass(frozen=True, slots=True)
class FitResult:
    """What `uvgen.fit_photographs` did, and what the folder now holds.

    Attributes
    ----------
    faces : tuple of FittedFace
        Samples in the folder, by name.
    skipped : tuple of Unfitted
        Photographs and faces that were left out, each with the reason.
    new_faces : int
        Made by this run.
    detector : str or None
        What found landmarks, where files did not have them.
    notice : str
        What a user of that detector has to know; "" where there is nothing.
    seconds : float
        What this run took.
    """

    faces: tuple[FittedFace, ...]
    skipped: tuple[Unfitted, ...]
    new_faces: int
    detector: str | None
    notice: str
    seconds: float

    def to_plain(self) -> dict[str, Any]:
        """As `uvgen fit --json` prints it."""
        return {
            "samples": len(self.faces), "new_samples": self.new_faces, "detector": self.detector,
            "faces": [_plain(face) for face in self.faces], "skipped": [asdict(skip) for skip in self.skipped],
            "seconds": self.seconds,
        }  # fmt: skip


def fit_photographs(
    images: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: MorphableModel | str | os.PathLike[str] = BUILTIN,
    landmarks: str | os.PathLike[str] | None = None,
    detector: str | None = AUTO,
    detector_model: str | os.PathLike[str] | None = None,
    faces: str = "largest",
    jaw: str = "contour",
    same_person: bool = False,
    refine: bool = False,
    max_residual: float | None = None,
    exif: str = "apply",
    workers: int = 1,
    retries: int = RETRIES,
    timeout: float | None = None,
    overwrite: bool = False,
    untrusted: bool = False,
    progress: Callable[[FittedBatch], object] | None = None,
) -> FitResult:
    """Fit a morphable model to photographs: a folder like 300W-LP's, which `uvgen.build_shards` takes.

    Parameters
    ----------
    images : path-like
        Folder of photographs, also in folders in it.
    out : path-like
        Folder for the samples: each photograph, with its parameters beside it, and `fit.json`. One that an earlier call
        with the same arguments made is gone on with.
    model : MorphableModel or path-like
        What to fit; the built-in model by default.
    landmarks : path-like, optional
        Folder of landmark files or one table for all; those beside the photographs by default. See
        `uvgen.samples.landmark_files`.
    detector : str or None
        One of `uvgen.fitting.detectors.DETECTORS`, used for photographs that no file has landmarks of; "auto", the
        default, is the first that is installed, and None is none.
    detector_model : path-like, optional
        File with the detector's weights.
    faces : {"largest", "all"}
        Which faces of a photograph.
    jaw : {"contour", "fixed"}
        See `uvgen.fit_landmarks`.
    same_person : bool
        Whether the photographs in each folder are one person's, and get one shape; with the largest faces only.
    refine : bool
        Whether faces are brought closer to their photographs, by the colors that the model gives them; it needs an
        albedo. See `uvgen.fitting.refine`.
    max_residual : float, optional
        Leave out faces with a larger residual: 0.05 is 5 %. Without it, those above 15 %, which are no faces.
    exif : {"apply", "ignore"}
        Whether photographs are turned upright as their EXIF orientation says, and written so. Landmark files are of
        what comes of it.
    workers : int
        Processes; 1 works in this one, unless there is a `timeout`.
    retries, timeout
        As for `uvgen.build_shards`; `timeout` is of a few photographs.
    overwrite : bool
        Start anew where the folder holds samples that were fitted otherwise. What is not ours is never touched.
    untrusted : bool
        Read `model`, where it is a file, in a child process: see `uvgen.load_model`.
    progress : callable, optional
        Called with what came of every few photographs.

    Returns
    -------
    FitResult

    Raises
    ------
    InputError
        Where an argument is out of range, or there are neither landmarks nor a detector.
    DependencyError
        Where the detector's package is not installed.
    DatasetError
        Where there are no photographs, none of them can be used, or the output folder holds something else.
    ModelError
        Where the model cannot be read.

    Examples
    --------
    >>> uvgen.fit_photographs("photos/", "fitted/", detector="dlib", workers=8).faces[0].residual
    """
    started = time.perf_counter()
    check_run(workers, retries=retries, timeout=timeout)
    choice(faces, "faces", FACES)
    choice(jaw, "jaw", JAWS)
    choice(exif, "exif", EXIF)
    if same_person and faces == "all":
        raise InputError("same_person: with faces = all, expected largest: others in the pictures are other people")
    if max_residual is not None:
        number_in(max_residual, "max_residual", 0)
    if refine and same_person:
        raise InputError("refine: does not go with same_person, which gives all photographs one shape")
    root, out = Path(os.path.abspath(images)), Path(os.path.abspath(out))
    check_fit_folder(out)
    begin("listing photographs")
    photographs = find_photographs(root, out, faces)
    where = None if landmarks is None else Path(os.path.abspath(landmarks))
    table = open_table(where)  # before any work
    marked = [has_landmarks(one.path, where) if table is None else table.has_image(one.path) for one in photographs]
    name, notice = _detector(
        detector, detector_model, _stated_detector(out, overwrite=overwrite), some=any(marked), all_marked=all(marked)
    )
    opened = as_model(model, untrusted=untrusted)
    if refine and opened.albedo_mean is None:
        raise InputError(f"model: {opened.name} has no albedo, expected one with it; do not refine")
    file = BUILTIN if model == BUILTIN else None if opened.path is None else str(opened.path)
    job = FitJob(
        root, out, opened, file, where, name,
        None if detector_model is None else Path(os.path.abspath(detector_model)), faces, jaw, max_residual, exif,
        refine,
    )  # fmt: skip
    record = _FitRecord(job, photographs, same_person=same_person, overwrite=overwrite)
    run(
        job, record.units, record, out, workers=workers, retries=retries, timeout=timeout, group=in_batches,
        progress=progress, doing="fitting", count=lambda task: len(task.photographs),
    )  # fmt: skip
    if not record.faces:
        first = min(record.skipped.values(), key=lambda skips: skips[0].image)[0]
        raise DatasetError(
            f"{root}: none of {len(photographs)} photographs can be used; the first, {first.image}: {first.reason}"
        )
    return FitResult(
        tuple(record.sorted_faces()), tuple(record.sorted_skipped()), record.new_faces, name, notice,
        time.perf_counter() - started,
    )  # fmt: skip


def _detector(
    name: str | None, weights: str | os.PathLike[str] | None, stated: str | None, *, some: bool, all_marked: bool
) -> tuple[str | None, str]:
    """The detector to use and what is to be known of it; opened here too, so that an error comes before any work.

    `stated` is the one that the folder was begun with, `some` and `all_marked` whether files have landmarks of some or
    all photographs.
    """
    path = None if weights is None else Path(weights)
    if name is None and not some:
        raise InputError("detector: none, and no landmark files beside the photographs, expected one of them")
    if name != AUTO:
        return name, "" if name is None else open_detector(name, path).notice
    if all_marked:
        return stated, ""
    reasons = []
    for candidate in DETECTORS if stated is None else (stated,):
        try:
            return candidate, open_detector(candidate, path).notice
        except (DependencyError, InputError) as error:
            reasons.append(str(error))
    if some and stated is None:
        return None, ""  # those without are named
    raise DependencyError(
        f"detector: {'none' if stated is None else stated} is {'not ' * (stated is not None)}installed, and there are "
        "no landmark files beside the photographs; pip install uvgen[dlib] or uvgen[mediapipe], or give landmarks "
        f"({'; '.join(reasons)})"
    )


def _stated_detector(out: Path, *, overwrite: bool) -> str | None:
    """The detector that a folder was begun with, so that "auto" means it again."""
    if overwrite or not (out / FIT_INDEX).exists():
        return None
    stated = _read_index(out / FIT_INDEX).get("detector")
    return stated if stated in DETECTORS else None


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


class _FitRecord:
    """A folder of fitted samples while they are made: `fit.json`, and a journal until it is complete."""

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
            old = _read_index(out / FIT_INDEX)
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
            added.append({"photograph": name, **_plain(face)})
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
        faces = [{"photograph": name, **_plain(face)} for name in sorted(self.faces) for face in self.faces[name]]
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


def _plain(face: FittedFace) -> dict[str, Any]:
    return {key: None if isinstance(v, float) and not np.isfinite(v) else v for key, v in asdict(face).items()}


def _read_index(path: Path) -> dict[str, Any]:
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
