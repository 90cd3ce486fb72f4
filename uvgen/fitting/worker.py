"""One process's share of `uvgen fit`: photographs to landmarks, landmarks to parameters, and a sample for each face."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.errors import DatasetError, UvgenError
from uvgen.fitting.detectors import Detector, open_detector
from uvgen.fitting.doubts import landmark_doubts
from uvgen.fitting.landmarks import FEWEST_POINTS, LandmarkFit, fit_landmarks
from uvgen.fitting.refine import FaceCrop, refine_fit
from uvgen.images.codecs import decode_image, encode_jpeg, exif_orientation, oriented
from uvgen.models.morphable import MorphableModel
from uvgen.progress import advance
from uvgen.samples.files import check_machine
from uvgen.samples.landmark_files import find_landmarks, says_nothing
from uvgen.samples.landmark_schemes import FaceLandmarks, in_line, outside_image, to_68
from uvgen.samples.landmark_tables import LandmarkTable, read_table
from uvgen.samples.write import parameter_file
from uvgen.storage.files import replaced_on_success
from uvgen.storage.names import brief, printable
from uvgen.storage.reading import read_file

_MOST_BYTES = 1 << 28
NO_FACE = 0.15
"""Residual above which landmarks are no face's, where no other limit is given."""

_QUALITY = 95  # of photographs that are turned upright


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image to fit: its file, and the name of its sample in the output, ``PERSON/NAME`` or ``NAME``."""

    path: Path
    name: str
    problem: str = ""

    def shown(self, root: Path) -> str:
        """Its path below the folder of photographs, for `fit.json` and people."""
        return printable(self.path.relative_to(root).as_posix())


@dataclass(frozen=True, slots=True)
class FitTask:
    """Photographs to fit at once; where `same_person`, all are one person's. A `trial` writes nothing."""

    photographs: tuple[Photograph, ...]
    same_person: bool = False
    trial: bool = False

    @property
    def name(self) -> str:
        """For messages."""
        return self.photographs[0].name


@dataclass(frozen=True, slots=True)
class FittedFace:
    """A face that was written as a sample.

    Attributes
    ----------
    name, image : str
        Of the sample; the photograph, below the folder that it came from.
    residual, residual_jaw : float
        See `uvgen.fitting.landmarks.LandmarkFit`; the latter NaN without jaw points.
    sigma_px : float
        Noise of its landmarks.
    yaw_deg : float
        Of the face.
    source : str
        What the landmarks come from: a file, or a detector.
    suffix : str
        Of the picture beside the parameters.
    made_of : str
        Hash of the photograph and of what files say of its landmarks.
    """

    name: str
    image: str
    residual: float
    residual_jaw: float
    sigma_px: float
    yaw_deg: float
    source: str
    suffix: str
    made_of: str


@dataclass(frozen=True, slots=True)
class Unfitted:
    """A photograph, or a face of one, without a sample, and why."""

    name: str
    image: str
    reason: str


@dataclass(frozen=True, slots=True)
class FittedBatch:
    """What came of a task: its photographs by name, the faces, and what was left out."""

    photographs: tuple[str, ...]
    faces: tuple[FittedFace, ...]
    skipped: tuple[Unfitted, ...]


@dataclass(frozen=True, slots=True, eq=False)
class FitJob:
    """What every process that fits photographs needs.

    Attributes
    ----------
    root, out : Path
        Folder of the photographs, and of the samples; absolute.
    model : MorphableModel
        What is fitted.
    model_file : str or None
        Where it can be read again: its file, "builtin", or nowhere.
    landmarks : Path or None
        Folder or table of landmarks; beside the photographs where None.
    detector, detector_model : str or None, Path or None
        Finds landmarks where no file has some.
    faces : {"largest", "all"}
        Which faces of a photograph.
    jaw : {"contour", "fixed"}
        See `fit_landmarks`.
    max_residual : float or None
        Faces above it are left out.
    refine : bool
        Whether faces are brought closer to their photographs, see `uvgen.fitting.refine`.
    exif : {"apply", "ignore"}
        Whether photographs are turned upright as their EXIF orientation says; landmarks are of what comes of it.
    disputed : mapping of Path to str
        Photographs whose landmarks are another one's, see `uvgen.samples.landmark_claims`.
    """

    root: Path
    out: Path
    model: MorphableModel
    model_file: str | None
    landmarks: Path | None
    detector: str | None
    detector_model: Path | None
    faces: str
    jaw: str
    max_residual: float | None
    exif: str
    refine: bool
    disputed: Mapping[Path, str]

    def open(self) -> Callable[[FitTask], FittedBatch]:
        """The function that fits some photographs."""
        return partial(_fit, FaceTools(self))

    def parts(self, task: FitTask) -> list[FitTask]:
        """Each photograph alone, to be tried."""
        return [replace(task, photographs=(one,), same_person=False, trial=True) for one in task.photographs]

    def without(self, task: FitTask, causes: Mapping[int, str]) -> FitTask:
        """The task without photographs at which processes die."""
        photographs = [replace(one, problem=causes.get(k, one.problem)) for k, one in enumerate(task.photographs)]
        return replace(task, photographs=tuple(photographs))


class FaceJob(Protocol):
    """What says where the faces in photographs come from: `FitJob`, and others like it."""

    @property
    def root(self) -> Path: ...
    @property
    def landmarks(self) -> Path | None: ...
    @property
    def detector(self) -> str | None: ...
    @property
    def detector_model(self) -> Path | None: ...
    @property
    def faces(self) -> str: ...
    @property
    def exif(self) -> str: ...
    @property
    def disputed(self) -> Mapping[Path, str]: ...


Job = TypeVar("Job", bound=FaceJob)


class FaceTools(Generic[Job]):
    """What a process opens once: the table of landmarks, unless it is given, and the detector when it is needed."""

    def __init__(self, job: Job, table: LandmarkTable | None = None) -> None:
        self.job = job
        self.table = open_table(job.landmarks) if table is None else table
        self._detector: Detector | None = None

    def detect(self, image: NDArray[np.uint8]) -> list[FaceLandmarks]:
        """The faces that the detector finds."""
        if self._detector is None:
            self._detector = open_detector(self.job.detector or "", self.job.detector_model)
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
    crop: FaceCrop | None


def open_table(landmarks: Path | None) -> LandmarkTable | None:
    """The table of all photographs' landmarks, where there is one."""
    return None if landmarks is None or landmarks.is_dir() else read_table(landmarks)


def state_of(job: FaceJob, table: LandmarkTable | None, photograph: Photograph, data: bytes | None = None) -> str:
    """Hash of a photograph and of what files say of its landmarks; that of nothing where it cannot be read."""
    if data is None:
        try:
            data = read_file(photograph.path, _MOST_BYTES)
        except OSError:
            return ""
    return _state(data, _of_files(job, table, photograph.path))


def _of_files(job: FaceJob, table: LandmarkTable | None, path: Path) -> list[FaceLandmarks] | str:
    if path in job.disputed:
        return job.disputed[path]
    return table.of_image(path) if table is not None else find_landmarks([path], job.landmarks)[path]


def _state(data: bytes, faces: list[FaceLandmarks] | str) -> str:
    digest = hashlib.sha256(hashlib.sha256(data).digest())
    for face in () if isinstance(faces, str) else faces:
        digest.update(face.scheme.encode() + face.points.tobytes())
        digest.update(b"" if face.scores is None else face.scores.tobytes())
    digest.update(b"damaged" if isinstance(faces, str) and not says_nothing(faces) else b"")
    return digest.hexdigest()


def _fit(tools: FaceTools[FitJob], task: FitTask) -> FittedBatch:
    job, model = tools.job, tools.job.model
    faces, skipped = list[_Face](), list[Unfitted]()
    for photograph in task.photographs:
        try:
            found, image, made_of = faces_of(tools, photograph)
        except UvgenError as error:
            check_machine(error)
            good, bad = list[_Face](), [_unfitted(job, photograph, photograph.name, str(error))]
        else:
            good, bad = _usable(job, photograph, found, image, made_of)
        faces += good
        skipped += bad
        if not (job.refine and good):  # what takes long is done: finding landmarks, or else refining, below
            advance(1)
    fitted = list[FittedFace]()
    if faces:
        points, weights = np.stack([face.points for face in faces]), np.stack([face.weights for face in faces])
        sizes = np.array([face.size for face in faces])
        person = [0] * len(faces) if task.same_person else None
        fit = fit_landmarks(points, model, sizes[:, 1], scores=weights, jaw=job.jaw, person=person)
        picture = _Picture(job)
        doubts = landmark_doubts(points, weights, fit, model, sizes)
        for k, face in enumerate(faces):
            own, why = fit.face(k), _rejection(job, fit.face(k), doubts[k])
            if face.crop is not None and not why:
                own = refine_fit(face.crop, face.size[1], face.points, face.weights, own, model)
                why = _rejection(job, own, doubts[k])
            if why:
                skipped.append(_unfitted(job, face.photograph, face.name, f"{face.source}: {why}"))
            elif not task.trial:
                fitted.append(_written(job, face, own, picture.of(face.photograph.path)))
            is_last = k + 1 == len(faces) or faces[k + 1].photograph is not face.photograph
            if job.refine and is_last:
                advance(1)
    return FittedBatch(tuple(one.name for one in task.photographs), tuple(fitted), tuple(skipped))


def _unfitted(job: FitJob, photograph: Photograph, name: str, reason: str) -> Unfitted:
    return Unfitted(name, photograph.shown(job.root), printable(reason))


def faces_of(tools: FaceTools[Any], photograph: Photograph) -> tuple[list[FaceLandmarks], NDArray[np.uint8], str]:
    """The faces of a photograph, its pixels, and what they are made of, see `state_of`."""
    job, path = tools.job, photograph.path
    if photograph.problem:
        raise UvgenError(f"{path}: {photograph.problem}")
    data, image, _ = read_photograph(job, path)
    stated = _of_files(job, tools.table, path)
    faces: list[FaceLandmarks] | str = stated
    if job.detector is not None and says_nothing(stated):
        faces = tools.detect(image) or f"{path}: {job.detector} finds no face in it"
    if isinstance(faces, str):
        raise UvgenError(faces)
    return faces[:1] if job.faces == "largest" else faces, image, _state(data, stated)


def read_photograph(job: FaceJob, path: Path) -> tuple[bytes, NDArray[np.uint8], bool]:
    """A photograph's file; its pixels, upright; whether they were turned."""
    try:
        data = read_file(path, _MOST_BYTES)
        image, orientation = decode_image(data), exif_orientation(data)
    except OSError as error:
        raise UvgenError(f"{path}: cannot be read ({error.strerror or brief(error)})") from error
    except Exception as error:  # Pillow's decoders raise a dozen kinds on damaged files
        raise UvgenError(f"{path}: not a readable image ({brief(error)})") from error
    turned = job.exif == "apply" and orientation > 1
    return data, np.ascontiguousarray(oriented(image, orientation)) if turned else image, turned


class _Picture:
    """Photographs as they are written, read again: those of one person may be more than the memory holds."""

    def __init__(self, job: FitJob) -> None:
        self._job = job
        self._path: Path | None = None
        self._last = ("", b"")

    def of(self, path: Path) -> tuple[str, bytes]:
        """Suffix and content."""
        if path != self._path:
            try:
                data = read_file(path, _MOST_BYTES)
            except OSError as error:
                raise DatasetError(f"{path}: cannot be read any more ({error.strerror or brief(error)})") from error
            self._path, self._last = path, (path.suffix.lower(), data)
            if self._job.exif == "apply" and exif_orientation(data) > 1:
                _, image, _ = read_photograph(self._job, path)
                self._last = ".jpg", encode_jpeg(image, _QUALITY)
        return self._last


def _usable(
    job: FitJob, photograph: Photograph, found: Sequence[FaceLandmarks], image: NDArray[np.uint8], made_of: str
) -> tuple[list[_Face], list[Unfitted]]:
    faces, skipped = list[_Face](), list[Unfitted]()
    size = image.shape[1], image.shape[0]
    for number, face in enumerate(found):
        name = photograph.name if number == 0 else f"{photograph.name}-face{number + 1}"
        problem = outside_image(face, (size[1], size[0]))
        if not problem:
            points, weights = to_68(face)
            known = weights > 0
            if known.sum() < FEWEST_POINTS:
                problem = (
                    f"{face.source}: {known.sum()} of the 68 landmarks are marked, expected {FEWEST_POINTS} or more"
                )
            elif np.ptp(points[known], axis=0).max() < 8:
                problem = f"{face.source}: its landmarks lie within 8 px, expected px of the image; a face this small?"
            elif in_line(points[known]):
                problem = f"{face.source}: its landmarks lie in one line, expected a face's"
        if problem:
            skipped.append(_unfitted(job, photograph, name, f"{problem} ({photograph.path})"))
        else:
            crop = FaceCrop.of(image, points) if job.refine else None
            faces.append(_Face(photograph, name, points, weights, size, face.source, made_of, crop))
    return faces, skipped


def _rejection(job: FitJob, fit: LandmarkFit, doubt: str) -> str:
    """Why a face that was fitted is left out; "" where it is not."""
    residual = float(fit.residual[0])
    numbers = [fit.shape[0], fit.expression[0], fit.pose[0]]
    if not all(np.isfinite(values).all() for values in numbers):
        return "no face fits these landmarks"
    if doubt.startswith("the points seem"):
        return f"{doubt}; with them as they are, it is {residual:.1%}"
    limit = NO_FACE if job.max_residual is None else job.max_residual
    if residual > limit:
        return f"residual {residual:.1%}, expected {limit:.1%} at most{'; ' * bool(doubt)}{doubt}"
    return ""


def _written(job: FitJob, face: _Face, fit: LandmarkFit, picture: tuple[str, bytes]) -> FittedFace:
    """Write a face's picture and parameters."""
    suffix, photograph = picture
    fitted = FittedFace(
        face.name,
        face.photograph.shown(job.root),
        float(fit.residual[0]),
        float(fit.residual_jaw[0]),
        float(fit.sigma_px[0]),
        float(np.rad2deg(fit.pose[0, 1])),
        printable(_relative(job, face.source)),
        suffix,
        face.made_of,
    )
    more: dict[str, ArrayLike] = {
        "residual": [[fitted.residual]], "residual_jaw": [[fitted.residual_jaw]], "sigma": [[fitted.sigma_px]],
        "pt2d_weight": face.weights[None],
    }  # fmt: skip
    albedo = np.zeros(0 if job.model.albedo_std is None else len(job.model.albedo_std))
    data = parameter_file(
        fit.shape[0], fit.expression[0], fit.pose[0], face.points, face.size, albedo=albedo, more=more
    )
    path = job.out / face.name
    for end, content in ((suffix, photograph), (".mat", data)):
        target = path.with_name(path.name + end)
        with replaced_on_success(target, folder=job.out, flush=False, make_folder=False) as temporary:
            temporary.write_bytes(content)
    return fitted


def _relative(job: FitJob, source: str) -> str:
    """A landmark file's path below the folder that it came from; a detector's name as it is."""
    for folder in (job.landmarks, job.root):
        if folder is not None and Path(source).is_relative_to(folder):
            return Path(source).relative_to(folder).as_posix() if Path(source) != folder else folder.name
    return source


def settings(job: FitJob) -> dict[str, Any]:
    """What a folder's `fit.json` states of how it was made."""
    return {
        "model": job.model.name, "model_file": job.model_file,
        "model_sha256": job.model.content_sha256,
        "detector": job.detector, "which_faces": job.faces, "jaw": job.jaw, "max_residual": job.max_residual,
        "exif": job.exif, "refine": job.refine,
    }  # fmt: skip
