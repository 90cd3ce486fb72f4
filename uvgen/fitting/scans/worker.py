"""One process's share of `uvgen register`: a scan and its landmarks to a mesh of the model's topology."""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError, InputError, UvgenError
from uvgen.fitting.detectors import Detector, FaceDetector, detector_settings
from uvgen.fitting.fitted import source_below
from uvgen.fitting.scans.options import RegisterOptions
from uvgen.fitting.scans.pictures import detected_landmarks
from uvgen.fitting.scans.registration import Registration, register
from uvgen.fitting.scans.template import Template
from uvgen.fitting.tasks import InputFile
from uvgen.fitting.written import InputFiles, TakenError
from uvgen.meshes.files import obj_files, ply_files
from uvgen.meshes.glb import glb_files
from uvgen.meshes.scans import read_scan
from uvgen.models.load import check_model_file
from uvgen.models.morphable import MorphableModel
from uvgen.progress import advance
from uvgen.samples.files import check_machine
from uvgen.samples.landmark_schemes import NoLandmarks
from uvgen.samples.scan_landmarks import landmark_file, missing_landmarks, read_scan_landmarks
from uvgen.storage.files import sha256_file
from uvgen.storage.kinds import check_fetched
from uvgen.storage.names import os_reason, printable
from uvgen.storage.reading import max_bytes

_COARSEST_MM = 0.05  # between neighboring numbers of a mesh that is written


@dataclass(frozen=True, slots=True)
class RegisterTask:
    """A scan to register; a `trial` writes nothing."""

    scan: InputFile
    trial: bool = False

    @property
    def name(self) -> str:
        """For messages."""
        return self.scan.name


@dataclass(frozen=True, slots=True)
class RegisteredScan:
    """A scan whose mesh was written.

    Attributes
    ----------
    name, scan : str
        Name of the mesh, without its suffix; path of the scan, below the folder that it came from.
    source : str
        Where the landmarks come from: a file, below its folder, or a detector.
    unit : str or None
        Unit of the scan: see `Registration`.
    mm_per_unit : float
    mean_mm, rms_mm, p95_mm, max_mm : float
        Distances of the vertices that have a counterpart on the scan to its surface.
    matched : float
        Share of the model's surface that has one.
    landmarks_mm : float
        Mean distance of landmarks to where the mesh has them, without the jaw's.
    n_flipped : int
        Triangles that are turned over.
    scale, rotation, shift : float, tuple of tuple of float, tuple of float
        Bring the model's frame, in mm, to the scan's.
    made_of : str
        Hash of the scan's file and its landmarks'.
    """

    name: str
    scan: str
    source: str
    unit: str | None
    mm_per_unit: float
    mean_mm: float
    rms_mm: float
    p95_mm: float
    max_mm: float
    matched: float
    landmarks_mm: float
    n_flipped: int
    scale: float
    rotation: tuple[tuple[float, ...], ...]
    shift: tuple[float, ...]
    made_of: str


@dataclass(frozen=True, slots=True)
class RejectedScan:
    """A scan without a mesh, and why."""

    name: str
    scan: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class RegisterJob:
    """Everything that a process which registers scans needs.

    Attributes
    ----------
    root, out : Path
        Folder of the scans, and of the meshes; absolute.
    model : MorphableModel
        The model whose topology the meshes get.
    model_file : str or None
        Where it can be read again: its file, "builtin", or nowhere.
    landmarks : Path or None
        Folder of landmark files; beside the scans if None.
    detector : FaceDetector or None
        Finds landmarks in pictures of scans that no file has landmarks of.
    options : RegisterOptions
        What the meshes are, and which scans are rejected.
    disputed : mapping of Path to str
        Scans whose landmarks are another one's, see `uvgen.samples.landmark_claims`.
    """

    root: Path
    out: Path
    model: MorphableModel
    model_file: str | None
    landmarks: Path | None
    detector: FaceDetector | None
    options: RegisterOptions
    disputed: Mapping[Path, str] = field(default_factory=dict)

    def open(self) -> Callable[[RegisterTask], RegisteredScan | RejectedScan]:
        """The function that registers a scan."""
        return partial(_register, _Tools(self))

    def parts(self, task: RegisterTask) -> list[RegisterTask]:
        """The scan alone, to be tried."""
        return [replace(task, trial=True)]

    def without(self, task: RegisterTask, causes: Mapping[int, str]) -> RegisterTask:
        """The task of a scan at which processes die."""
        return replace(task, scan=replace(task.scan, problem=causes.get(0, task.scan.problem)))


class _Tools:
    """Resources that a process opens once; the detector is opened when it is needed."""

    def __init__(self, job: RegisterJob) -> None:
        self.job, self.template = job, Template(job.model)
        self._detector: Detector | None = None

    def opened(self, detector: FaceDetector) -> Detector:
        """The job's detector, opened once."""
        if self._detector is None:
            self._detector = detector.open()
        return self._detector


def _marks_of(job: RegisterJob, scan: InputFile) -> Path | None:
    """The file of a scan's landmarks, None if the detector is to find them; InputError if there are none."""
    why = job.disputed.get(scan.path)
    marks = landmark_file(scan.path, job.landmarks) if why is None else None
    if marks is None and (job.detector is None or not isinstance(why, NoLandmarks | None)):
        raise InputError(why or missing_landmarks(scan.path, job.landmarks))
    return marks


def state_of(job: RegisterJob, scan: InputFile) -> str:
    """Hash of a scan's file and its landmarks'; that of nothing if one is of no use, OSError if one cannot be read."""
    try:
        marks = _marks_of(job, scan)
    except UvgenError:
        return ""
    if any(path.stat().st_size > max_bytes() for path in (scan.path, marks) if path is not None):
        return ""  # it is refused unread
    for path in (scan.path, *([] if marks is None else [marks])):
        check_fetched(path)
    of_marks = "" if marks is None else sha256_file(marks)
    return hashlib.sha256(f"{sha256_file(scan.path)} {of_marks}".encode()).hexdigest()


def _state_now(job: RegisterJob, scan: InputFile) -> str:
    """`state_of`, but InputError if a file cannot be read."""
    try:
        return state_of(job, scan)
    except OSError as error:
        raise InputError(f"{error.filename or scan.path}: cannot be read ({os_reason(error)})") from error


def _register(tools: _Tools, task: RegisterTask) -> RegisteredScan | RejectedScan:
    job, scan = tools.job, task.scan
    files = InputFiles(job.out, scan.path)
    try:
        if scan.problem:
            raise InputError(f"{scan.path}: {scan.problem}")
        files.check([mesh_path(job.out, scan.name, job.options.format)])
        made_of = _state_now(job, scan)
        points, triangles = read_scan(scan.path)
        marks = _marks_of(job, scan)
        given = None if marks is None else read_scan_landmarks(marks)
        if _state_now(job, scan) != made_of:
            raise InputError(
                f"{scan.path}: it or its landmarks were changed while they were read; run the command again once they "
                "stay as they are"
            )
        found = _registered(tools, scan, points, triangles, given)
        _check_precision(job, scan, found)
        result = _described(job, scan, found, _below(job, marks), made_of)
        most = job.options.max_error_mm
        if most is not None and result.rms_mm > most:
            raise InputError(
                f"{scan.path}: {result.rms_mm:.2f} mm off the scan (root mean square), expected {most:g} mm at most"
            )
    except UvgenError as error:
        check_machine(error)
        check_model_file(job.model)  # which may be the reason
        return RejectedScan(scan.name, scan.shown(job.root), printable(str(error)))
    finally:
        advance(1)
    check_model_file(job.model)
    if not task.trial:
        try:
            _write(job, scan.name, found, files)
        except TakenError as error:
            return RejectedScan(scan.name, scan.shown(job.root), printable(str(error)))
    return result


def _registered(
    tools: _Tools, scan: InputFile, points: NDArray[np.float64], triangles: NDArray[np.int32],
    landmarks: NDArray[np.float64] | None,
) -> Registration:  # fmt: skip
    """A scan registered by its landmarks, or by those that the detector finds; InputError names its file."""
    detector = tools.job.detector if landmarks is None else None
    try:
        if detector is not None:
            landmarks = detected_landmarks(tools.template, points, triangles, tools.opened(detector))
        return register(tools.template, points, triangles, np.asarray(landmarks), tools.job.options.units)
    except InputError as error:
        raise InputError(f"{scan.path}: {error}") from error


def _check_precision(job: RegisterJob, scan: InputFile, found: Registration) -> None:
    """Raise InputError if float32, in which meshes are written, is too coarse so far from the origin."""
    farthest = float(np.abs(framed_vertices(found, job.options.frame)).max())
    step_mm = float(np.spacing(np.float32(farthest))) * (found.mm_per_unit if job.options.frame == "scan" else 1)
    if step_mm > _COARSEST_MM:
        raise InputError(
            f"{scan.path}: lies {farthest:.3g} from its origin, where a mesh's numbers (float32) are {step_mm:.2g} mm "
            f"apart, expected {_COARSEST_MM} mm at most; move scan and landmarks to the origin"
        )


def _below(job: RegisterJob, marks: Path | None) -> str:
    """A landmark file's path below the folder that it came from; the detector's name if there is none."""
    if marks is None:
        return "" if job.detector is None else job.detector.name
    return source_below(str(marks), job.landmarks, job.root)


def _described(job: RegisterJob, scan: InputFile, found: Registration, source: str, made_of: str) -> RegisteredScan:
    distance, inner = found.distance_mm, found.landmarks_mm[17:]
    known = inner[np.isfinite(inner)]
    off = known if len(known) else found.landmarks_mm[np.isfinite(found.landmarks_mm)]
    place = found.similarity
    return RegisteredScan(
        scan.name, scan.shown(job.root), source, found.unit, found.mm_per_unit, float(distance.mean()),
        float(np.sqrt((distance**2).mean())), float(np.percentile(distance, 95)), float(distance.max()), found.matched,
        float(off.mean()), found.n_flipped, place.scale, tuple(map(tuple, place.rotation.tolist())),
        tuple(place.shift.tolist()), made_of,
    )  # fmt: skip


def framed_vertices(found: Registration, frame: str) -> NDArray[np.float64]:
    """Vertices in the scan's frame and unit, or turned and shifted into the model's, in mm, as large as they are."""
    if frame == "scan":
        return found.vertices
    return found.similarity.undo(found.vertices) * (found.similarity.scale * found.mm_per_unit)


def _write(job: RegisterJob, name: str, found: Registration, files: InputFiles) -> None:
    path = mesh_path(job.out, name, job.options.format)
    vertices = framed_vertices(found, job.options.frame).astype(np.float32)
    if job.options.format == "npy":
        buffer = io.BytesIO()
        np.save(buffer, vertices)
        content = {path: buffer.getvalue()}
    else:
        made: Any = {"obj": obj_files, "ply": ply_files, "glb": glb_files}[job.options.format]
        content = made(path, vertices, job.model.triangles, frame="raw")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{path.parent}: cannot be made ({os_reason(error)})") from error
    files.write(content)


def mesh_path(out: Path, name: str, kind: str) -> Path:
    """The file of a registered mesh."""
    return out / f"{name}.{kind}"


def settings(job: RegisterJob) -> dict[str, Any]:
    """The settings that a folder's `register.json` states."""
    options = job.options
    return {
        "model": job.model.name, "model_file": job.model_file, "model_sha256": job.model.content_sha256,
        **detector_settings(job.detector),
        "mesh_format": options.format, "frame": options.frame, "units": options.units,
        "max_error_mm": options.max_error_mm,
    }  # fmt: skip
