"""One process's share of `uvgen fit`: photographs to landmarks, landmarks to parameters, and a sample for each face."""

import errno
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError, InputError, UvgenError
from uvgen.fitting.detectors import Detector, FaceDetector, detector_settings
from uvgen.fitting.detectors.faces import failing_with
from uvgen.fitting.doubts import landmark_doubts
from uvgen.fitting.fitted import (
    FittedBatch,
    FittedFace,
    Unfitted,
    parameters_of,
    rejection,
    source_below,
    stated_limit,
    usable_points,
)
from uvgen.fitting.landmarks import LandmarkFit, fit_landmarks
from uvgen.fitting.options import FitOptions
from uvgen.fitting.refine import FaceCrop, refine_fit
from uvgen.fitting.tasks import FitTask, Photograph, PhotographJob
from uvgen.fitting.written import InputFiles, TakenError
from uvgen.images.jpeg import encode_jpeg
from uvgen.images.orientation import exif_orientation
from uvgen.images.picture import Picture
from uvgen.models.load import check_model_file
from uvgen.models.morphable import MorphableModel
from uvgen.progress import advance
from uvgen.samples.files import check_machine
from uvgen.samples.landmark_files import find_landmarks
from uvgen.samples.landmark_schemes import FaceLandmarks, NoLandmarks, UnreadLandmarks
from uvgen.samples.landmark_tables import LandmarkTable, read_table
from uvgen.storage.kinds import check_fetched
from uvgen.storage.names import brief, os_reason, printable
from uvgen.storage.reading import read_file

MOST_BYTES = 1 << 28
"""Size up to which photographs are read."""

_QUALITY = 95  # of photographs that are turned upright
TURNED = ".jpg"
"""Suffix of photographs that are turned upright."""

_MOST_AT_ONCE = 256  # faces, after whose photograph they are fitted: 0.45 MB of memory each


@dataclass(frozen=True, slots=True, eq=False)
class FitJob(PhotographJob):
    """Everything that a process which fits photographs needs.

    Attributes
    ----------
    root, out : Path
        Folder of the photographs, and of the samples; absolute.
    model : MorphableModel
        The model that is fitted.
    model_file : str or None
        Where it can be read again: its file, "builtin", or nowhere.
    landmarks : Path or None
        Folder or table of landmarks; beside the photographs if None.
    detector : FaceDetector or None
        Finds landmarks if no file has some.
    options : FitOptions
        How faces are fitted.
    disputed : mapping of Path to str
        Photographs whose landmarks are another one's, see `uvgen.samples.landmark_claims`.
    """

    root: Path
    out: Path
    model: MorphableModel
    model_file: str | None
    landmarks: Path | None
    detector: FaceDetector | None
    options: FitOptions
    disputed: Mapping[Path, str]

    def open(self) -> Callable[[FitTask], FittedBatch]:
        """The function that fits some photographs."""
        return partial(_fit, FaceTools(self))


class FaceJob(Protocol):
    """A job that states where the faces in photographs come from, such as `FitJob`."""

    @property
    def root(self) -> Path: ...
    @property
    def landmarks(self) -> Path | None: ...
    @property
    def detector(self) -> FaceDetector | None: ...
    @property
    def faces(self) -> str: ...
    @property
    def exif(self) -> str: ...
    @property
    def disputed(self) -> Mapping[Path, str]: ...


Job = TypeVar("Job", bound=FaceJob)


class FaceTools(Generic[Job]):
    """Resources that a process opens once: the table of landmarks, unless given, and the detector when needed."""

    def __init__(self, job: Job, table: LandmarkTable | None = None) -> None:
        self.job = job
        self.table = open_table(job.landmarks) if table is None else table
        self._detector: Detector | None = None

    def detect(self, detector: FaceDetector, image: NDArray[np.uint8], path: Path) -> list[FaceLandmarks]:
        """The faces that the job's detector finds in the image of a file."""
        if self._detector is None:
            self._detector = detector.open()
        with failing_with(detector.name, path):
            return self._detector(image)


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """A face to fit."""

    photograph: Photograph
    name: str
    points: NDArray[np.float64]
    weights: NDArray[np.float64]
    size: tuple[int, int]
    source: str
    made_of: str
    content: str  # SHA-256 of the photograph's file
    crop: FaceCrop | None


def open_table(landmarks: Path | None) -> LandmarkTable | None:
    """The table of all photographs' landmarks, if there is one; InputError if it cannot be read."""
    try:
        if landmarks is not None:
            landmarks.lstat()
    except (OSError, ValueError) as error:
        why = "no such file or folder"
        if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.ENOTDIR):
            why = f"cannot be read ({os_reason(error)})"
        raise InputError(f"{landmarks}: {why}, expected a folder of landmark files, or one table for all") from error
    return None if landmarks is None or landmarks.is_dir() else read_table(landmarks)


def state_of(job: FaceJob, table: LandmarkTable | None, photograph: Photograph, data: bytes | None = None) -> str:
    """Hash of a photograph and of its landmarks in files; OSError if one of these cannot be read."""
    if data is None:
        data = read_file(photograph.path, MOST_BYTES)
    check_fetched(photograph.path, data)
    found = _of_files(job, table, photograph.path)
    if isinstance(found, UnreadLandmarks):
        lost = found.errno == errno.ENOENT  # a link, whose file may come back
        raise OSError(errno.ESTALE if lost else found.errno, str(found))
    return _state(data, found)


def _of_files(job: FaceJob, table: LandmarkTable | None, path: Path) -> list[FaceLandmarks] | str:
    if path in job.disputed:
        return job.disputed[path]
    return table.of_image(path) if table is not None else find_landmarks([path], job.landmarks)[path]


def _state(data: bytes, faces: list[FaceLandmarks] | str) -> str:
    digest = hashlib.sha256(hashlib.sha256(data).digest())
    for face in () if isinstance(faces, str) else faces:
        digest.update(face.scheme.encode() + face.points.tobytes())
        digest.update(b"" if face.scores is None else face.scores.tobytes())
        digest.update(b"" if face.image_size is None else str(face.image_size).encode())  # which may be another image's
    digest.update(b"damaged" if isinstance(faces, str) and not isinstance(faces, NoLandmarks) else b"")
    return digest.hexdigest()


def _fit(tools: FaceTools[FitJob], task: FitTask) -> FittedBatch:
    job = tools.job
    faces, fitted, skipped = list[_Face](), list[FittedFace](), list[Unfitted]()
    for photograph in task.photographs:
        try:
            found, picture, made_of = faces_of(tools, photograph)
            good, bad = _usable(job, photograph, found, picture, made_of)
            ends = (TURNED if is_turned(job, picture.data) else photograph.path.suffix.lower()), ".mat"
            paths = (job.out / f"{face.name}{end}" for face in good for end in ends)
            InputFiles(job.out, photograph.path).check(paths)  # before what takes long
        except UvgenError as error:
            check_machine(error)
            good, bad = list[_Face](), [_unfitted(job, photograph, photograph.name, str(error))]
        faces += good
        skipped += bad
        if not (job.options.refine and good):  # what takes long is done: finding landmarks, or else refining, below
            advance(1)
        if len(faces) >= _MOST_AT_ONCE and not task.same_person:
            _fit_faces(job, task, faces, fitted, skipped)
            faces = []
    if faces:
        _fit_faces(job, task, faces, fitted, skipped)
    return FittedBatch(tuple(one.name for one in task.photographs), tuple(fitted), tuple(skipped))


def _fit_faces(
    job: FitJob, task: FitTask, faces: Sequence[_Face], fitted: list[FittedFace], skipped: list[Unfitted]
) -> None:
    """Fit faces together, and add to those that are fitted, and written, or to those that are not."""
    model = job.model
    points, weights = np.stack([face.points for face in faces]), np.stack([face.weights for face in faces])
    sizes = np.array([face.size for face in faces])
    person = [0] * len(faces) if task.same_person else None
    fit = fit_landmarks(points, model, sizes[:, 1], scores=weights, jaw=job.options.jaw, person=person)
    written, files, taken = _Picture(job), dict[str, InputFiles](), dict[str, Unfitted]()
    doubts = landmark_doubts(points, weights, fit, model, sizes)
    for k, face in enumerate(faces):
        own, why = fit.face(k), rejection(fit.face(k), job.options.max_residual, doubts[k])
        if face.crop is not None and not why:
            own = refine_fit(face.crop, face.size[1], face.points, face.weights, own, model)
            why = rejection(own, job.options.max_residual, doubts[k])
        check_model_file(model)
        if why:
            skipped.append(_unfitted(job, face.photograph, face.name, f"{face.source}: {why}"))
        elif not task.trial and (image := face.photograph.shown(job.root)) not in taken:
            path = face.photograph.path
            try:
                of_image = files.setdefault(image, InputFiles(job.out, path))
                fitted.append(_written(job, face, own, written.of(face), of_image))
            except TakenError as error:
                taken[image] = _unfitted(job, face.photograph, face.photograph.name, str(error))
        is_last = k + 1 == len(faces) or faces[k + 1].photograph is not face.photograph
        if job.options.refine and is_last:
            advance(1)
    if taken:
        fitted[:] = [one for one in fitted if one.image not in taken]
        skipped[:] = [*(one for one in skipped if one.image not in taken), *taken.values()]


def _unfitted(job: FitJob, photograph: Photograph, name: str, reason: str) -> Unfitted:
    return Unfitted(name, photograph.shown(job.root), printable(reason))


def faces_of(
    tools: FaceTools[Any], photograph: Photograph, decode: str = "full"
) -> tuple[list[FaceLandmarks], Picture, str]:
    """The faces of a photograph, the photograph, and what they are made of, see `state_of`."""
    job, path = tools.job, photograph.path
    if photograph.problem:
        raise UvgenError(f"{path}: {photograph.problem}")
    data, picture = open_photograph(job, path, decode)
    stated = _of_files(job, tools.table, path)
    faces: list[FaceLandmarks] | str = stated
    if job.detector is not None and isinstance(stated, NoLandmarks):
        faces = tools.detect(job.detector, picture.pixels, path) or f"{path}: {job.detector.name} finds no face in it"
    if isinstance(faces, str):
        raise UvgenError(faces)
    return faces[:1] if job.faces == "largest" else faces, picture, _state(data, stated)


def read_photograph(job: FaceJob, path: Path) -> tuple[bytes, NDArray[np.uint8], bool]:
    """A photograph's file; its pixels, upright; whether they were turned."""
    data, picture = open_photograph(job, path)
    return data, picture.pixels, job.exif == "apply" and picture.orientation > 1


def open_photograph(job: FaceJob, path: Path, decode: str = "full") -> tuple[bytes, Picture]:
    """A photograph's file, and what is in it; UvgenError if it cannot be read, also later."""
    try:
        data = read_file(path, MOST_BYTES)
    except OSError as error:
        raise UvgenError(f"{path}: cannot be read ({os_reason(error)})") from error

    return data, _picture_of(job, path, data, decode)


def _picture_of(job: FaceJob, path: Path, data: bytes, decode: str = "full") -> Picture:
    def refused(error: Exception) -> UvgenError:
        return UvgenError(f"{path}: not a readable image ({brief(error)})")

    return Picture(data, refused, exif=job.exif, decode=decode)


def is_turned(job: FitJob, data: bytes) -> bool:
    """Whether a photograph is written upright, as a JPEG, and not as it is."""
    return job.exif == "apply" and exif_orientation(data) > 1


class _Picture:
    """Photographs as they are written, read again: those of one person may be more than the memory holds."""

    def __init__(self, job: FitJob) -> None:
        self._job = job
        self._path: Path | None = None
        self._last = ("", b"")

    def of(self, face: _Face) -> tuple[str, bytes]:
        """The suffix and content of a face's photograph; DatasetError if it is not what the face was fitted to."""
        path = face.photograph.path
        if path != self._path:
            try:
                data = read_file(path, MOST_BYTES)
            except OSError as error:
                raise DatasetError(f"{path}: cannot be read any more ({os_reason(error)})") from error
            if hashlib.sha256(data).hexdigest() != face.content:
                raise DatasetError(
                    f"{path}: was changed while its faces were fitted; run the command again once it stays as it is"
                )
            self._path, self._last = path, (path.suffix.lower(), data)
            if is_turned(self._job, data):
                self._last = TURNED, encode_jpeg(_picture_of(self._job, path, data).pixels, _QUALITY)
        return self._last


def _usable(
    job: FitJob, photograph: Photograph, found: Sequence[FaceLandmarks], picture: Picture, made_of: str
) -> tuple[list[_Face], list[Unfitted]]:
    faces, skipped = list[_Face](), list[Unfitted]()
    size, content = (picture.shape[1], picture.shape[0]), hashlib.sha256(picture.data).hexdigest()
    for number, face in enumerate(found):
        name = photograph.name if number == 0 else f"{photograph.name}-face{number + 1}"
        points, weights, problem = usable_points(face, size)
        if problem:
            skipped.append(_unfitted(job, photograph, name, f"{problem} ({photograph.path})"))
        else:
            crop = FaceCrop.of(picture.pixels, points) if job.options.refine else None
            faces.append(_Face(photograph, name, points, weights, size, face.source, made_of, content, crop))
    return faces, skipped


def _written(job: FitJob, face: _Face, fit: LandmarkFit, picture: tuple[str, bytes], files: InputFiles) -> FittedFace:
    """Write a face's picture and parameters."""
    suffix, photograph = picture
    fitted = FittedFace(
        face.name,
        face.photograph.shown(job.root),
        float(fit.residual[0]),
        float(fit.residual_jaw[0]),
        float(fit.sigma_px[0]),
        float(np.rad2deg(fit.pose[0, 1])),
        source_below(face.source, job.landmarks, job.root),
        suffix,
        face.made_of,
    )
    data = parameters_of(fit, job.model, face.points, face.weights, face.size)
    path = job.out / face.name
    files.write({path.with_name(path.name + suffix): photograph, path.with_name(path.name + ".mat"): data})
    return fitted


def settings(job: FitJob) -> dict[str, Any]:
    """The settings that a folder's `fit.json` states."""
    return {
        "model": job.model.name, "model_file": job.model_file,
        "model_sha256": job.model.content_sha256,
        **detector_settings(job.detector),
        "which_faces": job.faces, "jaw": job.options.jaw,
        "max_residual": stated_limit(job.options.max_residual), "exif": job.exif, "refine": job.options.refine,
    }  # fmt: skip
