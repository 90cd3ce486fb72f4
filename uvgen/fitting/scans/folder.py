"""A folder of scans to meshes of one topology: what `uvgen register` does.

Each mesh depends only on its scan, its landmarks, the model and the options. So the folder's bytes are the same for any
number of workers, whether or not the work was interrupted.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uvgen.checks import check_instance, check_optional_paths, check_paths
from uvgen.described import described
from uvgen.errors import DatasetError, InputError
from uvgen.fitting.detectors import FaceDetector, as_detector, used_detector
from uvgen.fitting.photographs import (
    about_longer_names,
    about_other_kinds,
    check_outside,
    files_below,
    folder_clashes,
    name_key,
)
from uvgen.fitting.scans.options import RegisterOptions
from uvgen.fitting.scans.record import INDEX, RegisterRecord
from uvgen.fitting.scans.worker import RegisteredScan, RegisterJob, RejectedScan
from uvgen.fitting.tasks import InputFile
from uvgen.jobs.options import RunOptions, check_run
from uvgen.jobs.run import run_job
from uvgen.meshes.scans import OTHER_SCANS, SCAN_SUFFIXES
from uvgen.models.load import BUILTIN, as_model, where_read
from uvgen.models.morphable import MorphableModel
from uvgen.progress import begin
from uvgen.samples.landmark_claims import disputed_scan_landmarks
from uvgen.samples.scan_landmarks import is_landmark_file, landmark_files
from uvgen.storage.names import printable, safe_name
from uvgen.wording import are, count, none_can_be

_FAR_MM = 8.0  # manual marks are 2 to 4 mm off
_SAME_NAME = "another scan has the same name, expected names that differ in more than suffix or case; rename one"


@dataclass(frozen=True, slots=True)
class RegisterResult:
    """The result of `uvgen.register_scans`: what the run did, and what the folder now contains.

    Attributes
    ----------
    scans : tuple of RegisteredScan
        The meshes in the folder, sorted by name.
    skipped : tuple of RejectedScan
        Scans that cannot be used or were rejected, each with the reason.
    new_samples : int
        How many scans this run registered.
    detector : str or None
        The detector that found landmarks; None if no scan has its landmarks.
    notice : str
        What users of that detector must know, such as its license; "" if there is nothing.
    seconds : float
        How long this run took.
    """

    scans: tuple[RegisteredScan, ...]
    skipped: tuple[RejectedScan, ...]
    new_samples: int
    detector: str | None
    notice: str
    seconds: float

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The result as `uvgen register --json` prints it."""
        return {
            "samples": len(self.scans), "new_samples": self.new_samples, "detector": self.detector,
            "notice": self.notice, "scans": [asdict(scan) for scan in self.scans],
            "skipped": [asdict(one) for one in self.skipped], "seconds": self.seconds,
        }  # fmt: skip


def register_scans(
    scans: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: MorphableModel | str | os.PathLike[str] = BUILTIN,
    landmarks: str | os.PathLike[str] | None = None,
    detector: str | FaceDetector | None = None,
    options: RegisterOptions = RegisterOptions(),
    run: RunOptions = RunOptions(),
    overwrite: bool = False,
    untrusted: bool = False,
    progress: Callable[[RegisteredScan | RejectedScan], object] | None = None,
) -> RegisterResult:
    """Register a folder of scans to a morphable model's topology: each becomes a mesh of the model's vertices.

    Parameters
    ----------
    scans : path-like
        Folder of meshes and point clouds, also in subfolders: see `uvgen.meshes.scans.read_scan`.
    out : path-like
        Folder for the meshes and `register.json`. A folder that an earlier call with the same arguments made is
        completed.
    model : MorphableModel or path-like
        The built-in model by default.
    landmarks : path-like, optional
        Folder of landmark files, see `uvgen.samples.scan_landmarks`; those beside the scans by default.
    detector : str or FaceDetector, optional
        One of `uvgen.fitting.detectors.DETECTORS`, which finds landmarks in pictures of meshes that have no landmark
        file.
    options : RegisterOptions
        Format, frame and unit of the meshes, and which scans are rejected.
    run : RunOptions
        As for `uvgen.build_shards`; a task is a scan.
    overwrite : bool
        Start anew if the folder holds meshes that were made with other settings. Files that uvgen did not make are
        never touched.
    untrusted : bool
        Read `model`, if it is a file, in a child process: see `uvgen.load_model`.
    progress : callable, optional
        Called with the outcome of each scan.

    Returns
    -------
    RegisterResult

    Raises
    ------
    InputError
        If `landmarks` is not a folder or has none of these scans, or an argument is of the wrong type.
    DependencyError
        If the detector's package is not installed.
    DatasetError
        If there are no scans, none of them can be used, or the output folder holds something else or cannot be
        written.
    ModelError
        If the model cannot be read.

    Examples
    --------
    >>> uvgen.register_scans("scans/", "meshes/", options=uvgen.RegisterOptions(max_error_mm=1.0)).scans[0].rms_mm
    """
    check_paths(scans=scans, out=out)
    check_optional_paths(landmarks=landmarks)
    started = time.perf_counter()
    check_run(run)
    check_instance(options, "options", RegisterOptions, "uvgen.RegisterOptions(format='glb')")
    root, out = Path(os.path.abspath(scans)), Path(os.path.abspath(out))
    INDEX.check_folder(out)
    where = None if landmarks is None else Path(os.path.abspath(landmarks))
    if where is not None and where.is_dir():
        check_outside(where, out, "the folder of landmarks")
    if where is not None and not where.is_dir():
        raise InputError(f"{where}: {'a file' if where.exists() else 'no such folder'}, expected a folder of landmarks")
    chosen = as_detector(detector, auto=False)
    notice = "" if chosen is None else chosen.open().notice  # an error comes before any work
    begin("listing scans")
    found = find_scans(root, out, options.format, where)
    if where is not None and not any(
        landmark_files(scan.path, where) for scan in found
    ):  # a disk that is not mounted may leave an empty folder
        raise InputError(f"{where}: no landmark files of scans in {root}, expected some; are they called as the scans?")
    opened = as_model(model, untrusted=untrusted)
    disputed = disputed_scan_landmarks([scan.path for scan in found], where)
    job = RegisterJob(root, out, opened, where_read(model, opened), where, chosen, options, disputed)
    record = RegisterRecord(job, found, overwrite=overwrite)
    run_job(
        job, record.units, record, out, run, progress=progress,
        doing="registering", count=lambda task: 1, of="scan",
    )  # fmt: skip
    if not record.scans:
        first = record.sorted_rejected()[0]
        raise DatasetError(f"{root}: {none_can_be('used', len(found), 'scan', first.reason, first.scan)}")
    registered = tuple(record.sorted_scans())
    used, notice = used_detector(chosen, notice, {scan.source for scan in registered})
    return RegisterResult(
        registered, tuple(record.sorted_rejected()), record.new_samples, used, notice, time.perf_counter() - started
    )  # fmt: skip


def about_other_scans(root: Path, out: Path) -> list[str]:
    """Warnings of meshes and point clouds of kinds that are not read, if no scan of the same name is, and of names that
    go on after a suffix."""
    what = "a folder of scans"
    return about_other_kinds(root, out, SCAN_SUFFIXES, OTHER_SCANS, what, of="scan", cure="save as PLY or OBJ") + (
        about_longer_names(root, out, SCAN_SUFFIXES, what, of="scan")
    )


def about_far_landmarks(found: Sequence[RegisteredScan]) -> list[str]:
    """A warning of meshes that are far from their landmarks, which may be another scan's or in another frame."""
    far = sorted((one for one in found if one.landmarks_mm > _FAR_MM), key=lambda one: -one.landmarks_mm)
    if not far:
        return []
    meshes = f"{count(len(far), 'mesh')} {are(len(far))}"
    worst = f"{printable(far[0].name)} {far[0].landmarks_mm:.1f} mm"
    return [
        f"{meshes} more than {_FAR_MM:g} mm from the landmarks of their scans in the mean, at most {worst}: are these "
        "of the same scans, in their frame and unit, and in iBUG's order?"
    ]


def find_scans(root: Path, out: Path, kind: str, landmarks: Path | None = None) -> list[InputFile]:
    """The scans in a folder and its subfolders, sorted by name; DatasetError if there are none.

    `kind` is the format of the meshes that are made of them, `landmarks` a folder of landmark files, perhaps the
    scans' own or below it.
    """
    paths = [path for path in files_below(root, out, SCAN_SUFFIXES, "a folder of scans") if not is_landmark_file(path)]
    if landmarks is not None and (place := landmarks.resolve()).is_relative_to(root.resolve()):
        landmarks = root / place.relative_to(root.resolve())  # as the scans' paths are spelled
        files_of = {path: landmark_files(path, landmarks) for path in paths}
        marks = {files[0] for path, files in files_of.items() if len(files) == 1 and files[0] != path}
        paths = [path for path in paths if path not in marks]
    if not paths:
        others = about_other_scans(root, out)
        raise DatasetError(f"{root}: {others[0] if others else 'no scans in it, expected ' + ', '.join(SCAN_SUFFIXES)}")
    names = [safe_name(printable(path.relative_to(root).with_suffix("").as_posix())) for path in paths]
    counts = Counter(map(name_key, names))
    clashes = folder_clashes(names, INDEX.file, (f".{kind}",))
    return sorted(
        (
            InputFile(path, name, _SAME_NAME if counts[name_key(name)] > 1 else clash)
            for path, name, clash in zip(paths, names, clashes, strict=True)
        ),
        key=lambda one: (one.name, one.path),
    )
