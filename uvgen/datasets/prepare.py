"""Photographs to Deep3DFaceRecon's training data, without a data set between: what `uvgen prepare deep3d` does."""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_optional_paths, check_paths, choice, number_in
from uvgen.datasets.export.common import Skipped, state_of_files
from uvgen.datasets.export.deep3d import (
    FIVE_OF_68,
    check_out,
    five_points,
    key,
    read_picture,
    write_face,
    write_lists,
)
from uvgen.datasets.export.folder import ExportRecord, Written, check_export_folder, in_place, is_export, written
from uvgen.datasets.splits import train_and_val
from uvgen.described import described
from uvgen.errors import DatasetError, InputError, UvgenError
from uvgen.fitting.detectors import Detector, FaceDetector, as_detector, detector_settings
from uvgen.fitting.detectors.faces import failing_with
from uvgen.fitting.photographs import find_photographs
from uvgen.fitting.sources import of_others, place_of, which_are_marked
from uvgen.fitting.tasks import Photograph
from uvgen.fitting.worker import open_table
from uvgen.images.align5 import crop_from_points5
from uvgen.images.jpeg import JPEG_QUALITY
from uvgen.jobs.options import RunOptions, check_run
from uvgen.jobs.run import run_job
from uvgen.progress import advance
from uvgen.samples.files import check_machine
from uvgen.samples.landmark_files import find_landmarks, own_files
from uvgen.samples.landmark_schemes import FaceLandmarks, NoLandmarks, in_line, misplaced, to_68, unlike_face
from uvgen.samples.read import EXIF
from uvgen.storage.drafts import beside, draft_of
from uvgen.storage.locks import exclusive
from uvgen.storage.names import printable
from uvgen.wording import none_can_be

_BATCH = 16  # photographs that are written, flushed and noted at once
_SAME_KEY = "its files would have the names of another photograph's, expected names that differ without folders"
_NEAR = 0.5  # of the distance between the eyes: so far a detected face's points may be from the file's


@dataclass(frozen=True, slots=True)
class Batch:
    """Photographs that are written at once."""

    name: str
    photographs: tuple[Photograph, ...]


@dataclass(frozen=True, slots=True)
class PreparedFaces:
    """The result of `uvgen.prepare_deep3d`.

    Attributes
    ----------
    faces : int
        Number of photographs with landmarks, which the training lists name.
    skipped : tuple of Skipped
        Photographs that the lists do not name, each with the reason.
    notice : str
        What users of the detector must know; "" if there is nothing, or no photograph has landmarks from it.
    seconds : float
        How long it took.
    """

    faces: int
    skipped: tuple[Skipped, ...]
    notice: str
    seconds: float

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The result as `uvgen prepare deep3d --json` prints it."""
        return {
            "samples": self.faces,
            "skipped": [skip._asdict() for skip in self.skipped],
            "notice": self.notice,
            "seconds": self.seconds,
        }


def prepare_deep3d(
    images: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    detections: str | os.PathLike[str] | None = None,
    detector: str | FaceDetector | None = None,
    exif: str = "apply",
    quality: int = JPEG_QUALITY,
    run: RunOptions = RunOptions(),
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
) -> PreparedFaces:
    """Make a training folder for Deep3DFaceRecon from photographs; see `uvgen.datasets.export.deep3d`.

    Parameters
    ----------
    images : path-like
        Folder of photographs; its subfolders are read too.
    out : path-like
        Folder to make. It appears once it is complete; a run that was killed is continued by the next one.
    detections : path-like, optional
        Folder of a landmark file for each photograph, or one table for all, see `uvgen.samples.landmark_files`. Files
        of five points are Deep3DFaceRecon's own ``detections``; its 68 landmarks then come from the detector.
    detector : str or FaceDetector, optional
        One of `uvgen.fitting.detectors.DETECTORS`; for photographs that no file has all landmarks of.
    exif : {"apply", "ignore"}
        Whether photographs are turned upright as their EXIF orientation says.
    quality : int
        JPEG quality of the skin masks, 1 to 100.
    run : RunOptions
        As for `uvgen.build_shards`; a task is a few photographs.
    overwrite : bool
        As for `uvgen.export_shards`.
    progress : callable, optional
        Called after every few photographs with their number.

    Returns
    -------
    PreparedFaces
        A photograph with only five points and no detector is written without landmarks, and is not listed: their
        ``data_preparation.py`` finds them.

    Raises
    ------
    InputError
        If neither detections nor a detector are given, or an argument is out of range or of the wrong type.
    DependencyError
        If the detector's package is not installed.
    DatasetError
        If there are no photographs, none of them can be used, or `out` cannot be written.

    Examples
    --------
    >>> uvgen.prepare_deep3d("photos/", "deep3d/", detector="mediapipe").faces
    """
    check_paths(images=images, out=out)
    check_optional_paths(detections=detections)
    started = time.perf_counter()
    check_run(run)
    choice(exif, "exif", EXIF)
    quality = number_in(quality, "quality", 1, 100, whole=True)
    if detections is None and detector is None:
        raise InputError("detections: none, and no detector, expected one of them")
    chosen = as_detector(detector, auto=False)
    root, out = Path(os.path.abspath(images)), Path(os.path.abspath(out))
    check_out(out)
    check_export_folder(out, overwrite=overwrite)
    where = None if detections is None else Path(os.path.abspath(detections))
    table = open_table(where)  # before any work
    notice = "" if chosen is None else chosen.open().notice
    photographs = find_photographs(root, out)
    counts = Counter(key(one.name) for one in photographs)
    photographs = [
        replace(one, problem=_SAME_KEY) if counts[key(one.name)] > 1 and not one.problem else one for one in photographs
    ]
    disputed: Mapping[Path, str] = {}
    if where is not None:
        marked, disputed = which_are_marked(photographs, where, table)
        if chosen is not None and not any(marked):
            raise of_others("detections", place_of(where))
    starts = range(0, len(photographs), _BATCH)
    batches = [Batch(f"{first:08}", tuple(photographs[first : first + _BATCH])) for first in starts]
    place = beside(out) if overwrite and is_export(out) else out
    with exclusive(draft_of(place), out) as check_there, in_place(place, out) as draft:
        job = PrepareJob(draft, where, chosen, exif, quality, disputed)
        settings = {
            "images": str(root), "photographs": _digest(one.name for one in photographs), "detections": str(where),
            **detector_settings(chosen), "exif": exif, "quality": quality,
        }  # fmt: skip
        finish, inputs = partial(_finish, draft, photographs), _state_of(photographs, where)
        record = ExportRecord(draft, settings, batches, check_there, finish, inputs=inputs)
        counted = None if progress is None else lambda written: progress(len(written.part.photographs))
        run_job(
            job, batches, record, draft, run, progress=counted, doing="preparing",
            count=lambda batch: len(batch.photographs), locked=True,
        )  # fmt: skip
    skipped = tuple(record.skipped)
    names = {skip.name for skip in skipped}
    listed = [one.path for one in photographs if one.name not in names]
    used = notice and (any(path in disputed for path in listed) or _any_detected(listed, where))
    return PreparedFaces(
        len(photographs) - len(skipped), skipped, notice if used else "", time.perf_counter() - started
    )


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(json.dumps(line).encode() + b"\n")
    return digest.hexdigest()


def _state_of(photographs: list[Photograph], detections: Path | None) -> str:
    """What the photographs and their landmark files are now, by their sizes and times: to read them all takes long.

    A run that was interrupted does not go on with what was made of others: of a corrected file of landmarks, say.
    """
    files = [one.path for one in photographs]
    if detections is not None and detections.is_dir():
        files += [file for one in photographs for file in own_files(one.path, detections)[0]]
    elif detections is not None:
        files.append(detections)
    return state_of_files(files)


def _any_detected(photographs: list[Path], detections: Path | None) -> bool:
    """Whether the landmarks of one of these photographs, which all have some, are not those of a file.

    Found from the files again, because a run that was continued knows nothing else of what was written before.
    """
    if detections is None:
        return bool(photographs)
    table = open_table(detections)
    for path in photographs:
        found = find_landmarks([path], detections)[path] if table is None else table.of_image(path)
        if isinstance(found, str) or found[0].scheme == "5":
            return True
    return False


def _finish(draft: Path, photographs: list[Photograph], skipped: list[Skipped]) -> int:
    """Write the lists; how many photographs they name."""
    gone = {skip.name for skip in skipped}
    there = [one.name for one in photographs if one.name not in gone]
    if not there and not (draft / "detections").exists():
        raise DatasetError(none_can_be("used", len(photographs), "photograph", skipped[0].reason))
    write_lists(draft, there, *train_and_val(there))
    return len(there)


@dataclass(frozen=True, slots=True, eq=False)
class PrepareJob:
    """What every process needs: the folder to fill, where landmarks come from and whose they are not, and how images
    are read and written."""

    draft: Path
    detections: Path | None
    detector: FaceDetector | None
    exif: str
    quality: int
    disputed: Mapping[Path, str] = field(default_factory=dict)

    def open(self) -> Callable[[Batch], Written[Batch]]:
        """The function that writes the files of some photographs."""
        return _Preparer(self).write

    def parts(self, task: Batch) -> list[Batch]:
        """Each photograph alone, to be tried: its files are those that the whole batch writes again."""
        return [Batch(f"{task.name}-{number}", (one,)) for number, one in enumerate(task.photographs)]

    def without(self, task: Batch, causes: Mapping[int, str]) -> Batch:
        """The photographs, of which those are left out at which processes die."""
        every = enumerate(task.photographs)
        return replace(task, photographs=tuple(replace(one, problem=causes.get(k, one.problem)) for k, one in every))


class _Preparer:
    """One process's share of the work."""

    def __init__(self, job: PrepareJob) -> None:
        self._job = job
        self._table = open_table(job.detections)
        self._detector: Detector | None = None

    def write(self, batch: Batch) -> Written[Batch]:
        """Write the files of some photographs."""
        return written(self._job.draft, batch, partial(self._write_all, batch))

    def _write_all(self, batch: Batch, folder: Path) -> list[Skipped]:
        skipped = []
        for photograph in batch.photographs:
            try:
                reason = self._write(photograph, folder)
            except UvgenError as error:
                check_machine(error)
                reason = str(error)
            if reason:
                skipped.append(Skipped(photograph.name, printable(reason)))
            advance(1)
        return skipped

    def _write(self, photograph: Photograph, folder: Path) -> str:
        """Write the files of a photograph; what they lack to be listed."""
        job, path = self._job, photograph.path
        if photograph.problem:
            return f"{path}: {photograph.problem}"
        picture = read_picture(path, job.quality, job.exif)
        five, landmarks = self._points(path, picture.pixels)
        write_face(folder, key(photograph.name), picture, five, landmarks, job.quality)
        if landmarks is not None:
            return ""
        return (
            f"{path}: only five points, expected 68 landmarks or a detector; written without landmarks, which "
            "Deep3D's data_preparation.py can find"
        )

    def _points(self, path: Path, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """The five points and the 68 landmarks of the largest face."""
        job = self._job
        found: list[FaceLandmarks] | str = f"{path}: no detections"
        if path in job.disputed:
            found = job.disputed[path]
        elif job.detections is not None:
            table = self._table
            found = find_landmarks([path], job.detections)[path] if table is None else table.of_image(path)
        if job.detections is not None and isinstance(found, str) and not isinstance(found, NoLandmarks):
            raise InputError(found)
        if isinstance(found, str):
            if job.detector is None:
                raise InputError(found)
            return self._whole(self._detect(job.detector, path, pixels)[0], pixels)
        if found[0].scheme != "5":
            return self._whole(found[0], pixels)
        if problem := misplaced(found[0], pixels.shape):
            raise InputError(problem)
        five = found[0].points
        if np.isnan(five).any():
            raise InputError(f"{found[0].source}: not all of its five points are marked, expected all")
        try:
            crop_from_points5(five)
            if in_line(five):
                raise InputError("points: in one line, expected eyes, tip of the nose and corners of the mouth")
        except InputError as error:
            raise InputError(f"{found[0].source}: {error}") from error
        if problem := unlike_face(five, found[0].source):
            raise InputError(problem)
        if job.detector is None:
            return five, None
        faces = [self._whole(face, pixels) for face in self._detect(job.detector, path, pixels)]
        away = [float(np.linalg.norm(points - five, axis=1).max()) for points, _ in faces]
        best = int(np.argmin(away))
        if away[best] > _NEAR * np.linalg.norm(five[1] - five[0]):
            raise InputError(
                f"{path}: {job.detector.name} finds no face at the five points of {found[0].source}, the nearest is "
                f"{away[best]:.0f} px away"
            )
        return five, faces[best][1]

    def _detect(self, detector: FaceDetector, path: Path, pixels: NDArray[np.uint8]) -> list[FaceLandmarks]:
        if self._detector is None:
            self._detector = detector.open()
        with failing_with(detector.name, path):
            faces = self._detector(pixels)
        if not faces:
            raise InputError(f"{path}: {detector.name} finds no face in it")
        return faces

    def _whole(self, face: FaceLandmarks, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Five points and 68 landmarks of a face that has them all."""
        if problem := misplaced(face, pixels.shape):
            raise InputError(problem)
        points, weights = to_68(face)
        if (lacking := np.flatnonzero(weights == 0)).size:
            needed = {k for of in FIVE_OF_68 for k in of}
            which = "among them of the five points" if needed & set(lacking.tolist()) else f"the first {lacking[0]}"
            raise InputError(
                f"{face.source}: {len(lacking)} of the 68 landmarks are not marked, {which}, expected all of them"
            )
        if problem := unlike_face(points, face.source):
            raise InputError(problem)
        five = five_points(points)
        try:
            crop_from_points5(five)
        except InputError as error:  # such as landmarks with y up, as Deep3DFaceRecon's own folder has them
            raise InputError(f"{face.source}: of its landmarks, the five {error}") from error
        return five, points
