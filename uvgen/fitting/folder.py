"""Photographs to a folder like 300W-LP's: what `uvgen fit` does.

Each face depends only on its photograph, its landmarks, the model and the options, so that a folder holds the same
bytes whatever the number of workers, and whether or not the work was interrupted.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uvgen.checks import check_instance, check_optional_paths, check_paths
from uvgen.described import described
from uvgen.errors import DatasetError, InputError
from uvgen.fitting.detectors import AUTO, FaceDetector, as_detector, used_detector
from uvgen.fitting.fitted import FittedBatch, FittedFace, Unfitted
from uvgen.fitting.options import FitOptions
from uvgen.fitting.photographs import check_outside, find_photographs, in_batches
from uvgen.fitting.record import INDEX, FitRecord, check_fit_folder, plain_face
from uvgen.fitting.sources import choose_detector, place_of, which_are_marked
from uvgen.fitting.worker import FitJob, open_table
from uvgen.jobs.options import RunOptions, check_run
from uvgen.jobs.run import run_job
from uvgen.models.load import BUILTIN, as_model, where_read
from uvgen.models.morphable import MorphableModel
from uvgen.progress import begin
from uvgen.storage.folders import IMAGE_SUFFIXES
from uvgen.wording import none_can_be


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
    detector: str | FaceDetector | None = AUTO,
    options: FitOptions = FitOptions(),
    run: RunOptions = RunOptions(),
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
    detector : str, FaceDetector or None
        Finds landmarks of photographs that no file has landmarks of: one of `uvgen.fitting.detectors.DETECTORS`;
        "auto", the default, is the first that is installed; None uses no detector.
    options : FitOptions
        How faces are fitted.
    run : RunOptions
        As for `uvgen.build_shards`; a task is a few photographs.
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
        If there are neither landmarks nor a detector, the model has no albedo to refine with, or an argument is of the
        wrong type.
    DependencyError
        If the detector's package is not installed.
    DatasetError
        If there are no photographs, none of them can be used, or the output folder holds something else.
    ModelError
        If the model cannot be read.

    Examples
    --------
    >>> uvgen.fit_photographs("photos/", "fitted/", detector="dlib").faces[0].residual
    """
    check_paths(images=images, out=out)
    check_optional_paths(landmarks=landmarks)
    started = time.perf_counter()
    check_run(run)
    check_instance(options, "options", FitOptions, "uvgen.FitOptions(refine=True)")
    asked = as_detector(detector)
    root, out = Path(os.path.abspath(images)), Path(os.path.abspath(out))
    check_fit_folder(out)
    begin("listing photographs")
    photographs = find_photographs(root, out, options.faces, index=INDEX.file, endings=(*IMAGE_SUFFIXES, ".mat"))
    where = None if landmarks is None else Path(os.path.abspath(landmarks))
    if where is not None and where.is_dir():
        check_outside(where, out, "the folder of landmarks")
    table = open_table(where)  # before any work
    marked, disputed = which_are_marked(photographs, where, table)
    stated = INDEX.stated_detector(out, overwrite=overwrite)
    chosen, notice = choose_detector(
        asked, stated, some=any(marked), all_marked=all(marked), given=where is not None, place=place_of(where)
    )
    opened = as_model(model, untrusted=untrusted)
    if options.refine and opened.albedo_mean is None:
        raise InputError(f"model: {opened.name} has no albedo, expected one with it; do not refine")
    job = FitJob(root, out, opened, where_read(model, opened), where, chosen, options, disputed)
    record = FitRecord(job, photographs, same_person=options.same_person, overwrite=overwrite)
    run_job(
        job, record.units, record, out, run, group=in_batches,
        progress=progress, doing="fitting", count=lambda task: len(task.photographs), of="photograph",
    )  # fmt: skip
    if not record.faces:
        first = min(record.skipped.values(), key=lambda skips: skips[0].image)[0]
        none = none_can_be("used", len(photographs), "photograph", first.reason, first.image)
        raise DatasetError(f"{root}: {none}")
    fitted = tuple(record.sorted_faces())
    used, notice = used_detector(chosen, notice, {face.source for face in fitted})
    return FitResult(
        fitted, tuple(record.sorted_skipped()), record.new_samples, used, notice, time.perf_counter() - started
    )  # fmt: skip
