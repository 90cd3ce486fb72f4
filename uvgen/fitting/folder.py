"""Photographs to a folder like 300W-LP's: what `uvgen fit` does.

Each face depends only on its photograph, its landmarks, the model and the options, so that a folder holds the same
bytes whatever the number of workers, and whether or not the work was interrupted.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uvgen.checks import choice, number_in
from uvgen.described import described
from uvgen.errors import DatasetError, DependencyError, InputError, to_install
from uvgen.fitting.detectors import DETECTORS, open_detector, weights_of
from uvgen.fitting.fitted import FittedBatch, FittedFace, Unfitted
from uvgen.fitting.landmarks import JAWS
from uvgen.fitting.photographs import find_photographs, in_batches
from uvgen.fitting.record import INDEX, FitRecord, check_fit_folder, plain_face
from uvgen.fitting.worker import FitJob, Photograph, open_table
from uvgen.jobs.options import RETRIES, RunOptions
from uvgen.jobs.run import run
from uvgen.models.load import BUILTIN, as_model
from uvgen.models.morphable import MorphableModel
from uvgen.progress import begin
from uvgen.samples.landmark_claims import disputed_landmarks
from uvgen.samples.landmark_files import has_landmarks, says_nothing
from uvgen.samples.landmark_tables import LandmarkTable
from uvgen.samples.read import EXIF
from uvgen.wording import none_can_be

FACES = ("largest", "all")
AUTO = "auto"
"""The value of `detector` that stands for the first detector that is installed."""


@dataclass(frozen=True, slots=True)
class FitResult:
    """The result of `uvgen.fit_photographs`: what the run did, and what the folder now contains.

    Attributes
    ----------
    faces : tuple of FittedFace
        Samples in the folder, by name.
    skipped : tuple of Unfitted
        Photographs and faces that were left out, each with the reason.
    new_samples : int
        How many samples this run made.
    detector : str or None
        The detector that found landmarks; None if no face has its landmarks.
    notice : str
        What users of that detector must know, such as its license; "" if there is nothing.
    seconds : float
        How long this run took.
    """

    faces: tuple[FittedFace, ...]
    skipped: tuple[Unfitted, ...]
    new_samples: int
    detector: str | None
    notice: str
    seconds: float

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The result as `uvgen fit --json` prints it."""
        return {
            "samples": len(self.faces), "new_samples": self.new_samples, "detector": self.detector,
            "notice": self.notice, "faces": [plain_face(face) for face in self.faces],
            "skipped": [asdict(skip) for skip in self.skipped], "seconds": self.seconds,
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
        Folder of photographs; its subfolders are read too.
    out : path-like
        Folder for the samples: each photograph, with its parameters beside it, and `fit.json`. One that an earlier call
        with the same arguments made is completed.
    model : MorphableModel or path-like
        The model to fit; the built-in model by default.
    landmarks : path-like, optional
        Folder of landmark files or one table for all; those beside the photographs by default. See
        `uvgen.samples.landmark_files`.
    detector : str or None
        One of `uvgen.fitting.detectors.DETECTORS`, used for photographs that no file has landmarks of; "auto", the
        default, is the first that is installed; None uses no detector.
    detector_model : path-like, optional
        File with the detector's weights.
    faces : {"largest", "all"}
        Which faces of a photograph to fit.
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
        Whether photographs are turned upright as their EXIF orientation says, and written so. Landmark files
        refer to the photographs as written.
    workers : int
        Processes; 1 works in this one, unless there is a `timeout`.
    retries, timeout
        As for `uvgen.build_shards`; `timeout` is of a few photographs.
    overwrite : bool
        Start anew if the folder holds samples that were fitted with other settings. Files that uvgen did not make are
        never touched.
    untrusted : bool
        Read `model`, if it is a file, in a child process: see `uvgen.load_model`.
    progress : callable, optional
        Called with the results for every few photographs.

    Returns
    -------
    FitResult

    Raises
    ------
    InputError
        If an argument is out of range, or there are neither landmarks nor a detector.
    DependencyError
        If the detector's package is not installed.
    DatasetError
        If there are no photographs, none of them can be used, or the output folder holds something else.
    ModelError
        If the model cannot be read.

    Examples
    --------
    >>> uvgen.fit_photographs("photos/", "fitted/", detector="dlib", workers=8).faces[0].residual
    """
    started = time.perf_counter()
    how = RunOptions(workers, retries, timeout)
    choice(faces, "faces", FACES)
    choice(jaw, "jaw", JAWS)
    choice(exif, "exif", EXIF)
    if same_person and faces == "all":
        raise InputError("same_person: with faces = all, expected largest: others in the pictures are other people")
    if max_residual is not None:
        max_residual = number_in(max_residual, "max_residual", 0)
    if refine and same_person:
        raise InputError("refine: does not go with same_person, which gives all photographs one shape")
    root, out = Path(os.path.abspath(images)), Path(os.path.abspath(out))
    check_fit_folder(out)
    begin("listing photographs")
    photographs = find_photographs(root, out, faces)
    where = None if landmarks is None else Path(os.path.abspath(landmarks))
    table = open_table(where)  # before any work
    marked, disputed = which_are_marked(photographs, where, table)
    stated = INDEX.stated_detector(out, overwrite=overwrite)
    name, notice = choose_detector(
        detector, detector_model, stated, some=any(marked), all_marked=all(marked), place=place_of(where)
    )
    opened = as_model(model, untrusted=untrusted)
    if refine and opened.albedo_mean is None:
        raise InputError(f"model: {opened.name} has no albedo, expected one with it; do not refine")
    file = BUILTIN if model == BUILTIN else None if opened.path is None else str(opened.path)
    job = FitJob(
        root, out, opened, file, where, name,
        weights_of(detector, detector_model), faces, jaw, max_residual, exif,
        refine, disputed,
    )  # fmt: skip
    record = FitRecord(job, photographs, same_person=same_person, overwrite=overwrite)
    run(
        job, record.units, record, out, how, group=in_batches,
        progress=progress, doing="fitting", count=lambda task: len(task.photographs), of="photograph",
    )  # fmt: skip
    if not record.faces:
        first = min(record.skipped.values(), key=lambda skips: skips[0].image)[0]
        none = none_can_be("used", len(photographs), "photograph", first.reason, first.image)
        raise DatasetError(f"{root}: {none}")
    fitted = tuple(record.sorted_faces())
    used = any(face.source == name for face in fitted)
    return FitResult(
        fitted, tuple(record.sorted_skipped()), record.new_samples, name if used else None, notice if used else "",
        time.perf_counter() - started,
    )  # fmt: skip


def which_are_marked(
    photographs: Sequence[Photograph], where: Path | None, table: LandmarkTable | None
) -> tuple[list[bool], dict[Path, str]]:
    """Whether files have landmarks of each photograph; those whose landmarks are another one's, see `FitJob`."""
    disputed = disputed_landmarks([one.path for one in photographs], where, table)
    marked = [
        (has_landmarks(one.path, where) if table is None else table.has_image(one.path))
        and not says_nothing(disputed.get(one.path, []))
        for one in photographs
    ]
    return marked, disputed


BESIDE = "beside the photographs, NAME.txt for NAME.jpg"


def place_of(landmarks: Path | None) -> str:
    """Where landmarks of photographs are looked for, for messages: beside them, in a folder, or in a table."""
    if landmarks is None:
        return BESIDE
    return f"{'' if landmarks.is_dir() else 'or rows '}of these photographs in {landmarks}"


_NONE_INSTALLED = f"none is installed, expected mediapipe or dlib; {to_install('mediapipe', 'dlib')}"


def choose_detector(
    name: str | None, weights: str | os.PathLike[str] | None, stated: str | None, *, some: bool, all_marked: bool,
    place: str = BESIDE,
) -> tuple[str | None, str]:  # fmt: skip
    """The detector to use and its notice; opened here too, so that an error comes before any work.

    `stated` is the one that the folder was begun with, `some` and `all_marked` whether files have landmarks of some or
    all photographs, `place` where they are looked for.
    """
    path = None if weights is None else Path(weights)
    if name is None and not some:
        raise InputError(f"detector: none, and no landmark files {place}, expected one of them")
    if name != AUTO:
        return name, "" if name is None else open_detector(name, path).notice
    if all_marked:
        return stated, ""
    failed = []
    for candidate in DETECTORS if stated is None else (stated,):
        try:
            return candidate, open_detector(candidate, path).notice
        except (DependencyError, InputError) as error:
            if stated is not None or not isinstance(error.__cause__, ModuleNotFoundError):
                failed.append(str(error).removeprefix("detector: "))
    if some and stated is None:
        return None, ""  # those without are named
    raise DependencyError(
        f"detector: {'; '.join(failed) or _NONE_INSTALLED}; or give landmarks of all of them, in files {place}"
    )
