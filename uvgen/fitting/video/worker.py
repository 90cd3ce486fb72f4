"""Worker processes of `uvgen fit --video`: from a video to landmarks, tracks and a folder of samples.

A video is read once. The landmarks of each frame stay in memory, and its picture is written into a hidden folder, which
gets the video's name when all frames are fitted: so the folder is complete or absent. A journal in it holds the
landmarks that were found, so that a run after an interruption does not search for them again.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen._version import __version__
from uvgen.errors import OutputError, UvgenError
from uvgen.fitting.detectors import FaceDetector, detector_settings
from uvgen.fitting.doubts import NO_DOUBT, landmark_doubts, suspicious
from uvgen.fitting.fitted import (
    FittedBatch,
    FittedFrame,
    Unfitted,
    parameters_of,
    rejection,
    source_below,
    stated_limit,
    usable_points,
)
from uvgen.fitting.options import VideoOptions
from uvgen.fitting.tasks import FitTask, Photograph
from uvgen.fitting.video.files import (
    SCRATCH,
    make_scratch,
    not_replaceable,
    remove_others,
    remove_scratch,
    replace_folder,
    write_file,
)
from uvgen.fitting.video.find import frame_name
from uvgen.fitting.video.frames import Frame, check_opens, frames_of
from uvgen.fitting.video.linking import Places, linked, thumbnail_of
from uvgen.fitting.video.state import VideoState, frames_folder, landmarks_of_frame, state_of_video
from uvgen.fitting.video.tracks import Alone, fit_alone, fit_track
from uvgen.fitting.worker import FaceTools
from uvgen.models.load import check_model_file
from uvgen.models.morphable import MorphableModel
from uvgen.progress import advance
from uvgen.samples.files import check_machine
from uvgen.samples.landmark_schemes import FaceLandmarks, NoLandmarks, UnreadLandmarks
from uvgen.storage.journal import Journal
from uvgen.storage.names import printable
from uvgen.storage.reading import is_elsewhere

_NOTED = 32  # frames per line of the journal
_LONGEST = 5_000  # frames of a track that are fitted at once, which limits memory
_TRIED = 4  # suspicious frames of a video for whose landmarks a cause is looked for


@dataclass(frozen=True, slots=True, eq=False)
class VideoJob:
    """What every process that fits videos needs; `uvgen.fitting.worker.FitJob` describes the fields of the same names.

    Attributes
    ----------
    options : VideoOptions
        How the face is fitted.
    several : bool
        Whether there is more than one video; landmarks are then looked for only under each video's name.
    """

    root: Path
    out: Path
    model: MorphableModel
    model_file: str | None
    landmarks: Path | None
    detector: FaceDetector | None
    options: VideoOptions
    several: bool
    faces: str = "all"  # the face that continues the track is chosen among all faces of a frame
    disputed: Mapping[Path, str] = field(default_factory=dict)

    @property
    def exif(self) -> str:
        """Whether frames are turned upright."""
        return self.options.exif

    def open(self) -> Any:
        """The function that fits a video."""
        return partial(_fit, FaceTools(self))

    def parts(self, task: FitTask) -> list[FitTask]:
        """The task itself: a video is not divided."""
        return [task]

    def without(self, task: FitTask, causes: Mapping[int, str]) -> FitTask:
        """The task with the cause why processes failed at its video, which is then left out."""
        video = task.photographs[0]
        return replace(task, photographs=(replace(video, problem=causes.get(0, video.problem)),))

    def settings(self) -> dict[str, Any]:
        """The settings that `fit.json` states."""
        return {
            "video": True, "model": self.model.name, "model_file": self.model_file,
            "model_sha256": self.model.content_sha256, **detector_settings(self.detector), "jaw": self.options.jaw,
            "max_residual": stated_limit(self.options.max_residual), "exif": self.exif,
            "smoothness": self.options.smoothness,
            "fps": self.options.fps,
        }  # fmt: skip


class _Found(NamedTuple):
    """A frame with a face: points (68, 2) px, weights (68,), and size, width and height, px."""

    number: int
    time_s: float
    points: NDArray[np.float64]
    weights: NDArray[np.float64]
    size: tuple[int, int]
    source: str
    suffix: str
    change: float

    def plain(self) -> list[Any]:
        points = [[None if np.isnan(v) else float(v) for v in point] for point in self.points]
        return [
            self.number, self.time_s, points, self.weights.tolist(), list(self.size), self.source, self.suffix,
            self.change,
        ]  # fmt: skip

    @classmethod
    def parsed(cls, plain: Any) -> "_Found":
        number, time_s, points, weights, size, source, suffix, change = plain
        at = np.array([[np.nan if v is None else v for v in point] for point in points], np.float64)
        return cls(number, time_s, at, np.array(weights, np.float64), (size[0], size[1]), source, suffix, change)


class _Skips(list[Unfitted]):
    """The frames of a video that are left out, or the video itself, each with the reason.

    Attributes
    ----------
    may_change : bool
        Whether a disk's silence is one of the reasons: the next run makes the video again.
    is_sought : bool
        Whether files lack landmarks of a frame, left out or not, which a detector seeks.
    n_frames : int or None
        How many frames the video has, left out or not; None if it could not be read to its end.
    """

    def __init__(self, job: VideoJob, video: Photograph) -> None:
        super().__init__()
        self._job, self._video, self.may_change, self.is_sought = job, video, False, False
        self.n_frames: int | None = None

    def add(self, number: int | None, reason: str, *, may_change: bool = False) -> None:
        self.may_change = self.may_change or may_change
        name = self._video.name if number is None else f"{self._video.name}/{frame_name(number)}"
        self.append(Unfitted(name, self._video.shown(self._job.root), printable(reason)))


def _fit(tools: FaceTools[VideoJob], task: FitTask) -> FittedBatch:
    job, video = tools.job, task.photographs[0]
    skips = _Skips(job, video)
    frames: list[FittedFrame] = []
    if video.problem:
        skips.add(None, f"{video.path}: {video.problem}")
    else:
        scratch = job.out / f"{SCRATCH}{video.name}"
        try:
            if problem := not_replaceable(job.out / video.name):
                raise OutputError(problem)
            check_opens(video)
            state = state_of_video(job, tools.table, video)
        except UvgenError as error:
            check_machine(error)
            skips.add(None, str(error))
        else:
            found = _read(tools, video, scratch, state.sought, skips)
            if why := _changed_since(tools, video, state):
                remove_scratch(scratch)
                del skips[:], found[:]
                skips.add(None, why)
            if found and _counted_from_one(tools, video, skips.n_frames):
                del skips[:], found[:]
                skips.add(
                    None,
                    f"{video.path}: landmarks seem to be numbered from 1 on, since there are some of a frame after the "
                    "last and none of frame 0; expected frame_000000 for the first",
                )
            made_of = state.sought if skips.is_sought else state.marked
            frames = _fitted(job, video, scratch, "unreadable" if skips.may_change else made_of, found, skips)
            if frames:
                of_frames = {
                    f"{frame.name.rpartition('/')[2]}{end}" for frame in frames for end in (frame.suffix, ".mat")
                }
                remove_others(scratch, of_frames)
                replace_folder(scratch, job.out / video.name)
            else:
                remove_scratch(scratch)
                if not skips:
                    skips.add(None, f"{video.path}: no frame of it can be used")
    return FittedBatch((video.name,), tuple(frames), tuple(skips))


# Reading: landmarks of all frames, and their pictures


def _read(tools: FaceTools[VideoJob], video: Photograph, scratch: Path, state: str, skips: _Skips) -> list[_Found]:
    """The frames with a face, in order; others are added to `skips`."""
    job = tools.job
    make_scratch(scratch)
    journal = Journal(scratch / ".found", [__version__, state, job.settings() | {"model_sha256": None}])
    noted = _noted(journal)
    found, lines = list[_Found](), list[list[Any]]()
    last, change, thumbnail = None, 0.0, None
    frames, n_frames = frames_of(job, video, job.options.fps), 0
    while True:
        try:
            frame = next(frames, None)
        except UvgenError as error:
            check_machine(error)
            skips.add(None, str(error), may_change=is_elsewhere(error.__cause__))
            break
        if frame is None:
            skips.n_frames = n_frames
            break
        n_frames = frame.number + 1
        if frame.problem:
            number = None if frame.number < 0 else frame.number
            skips.add(number, f"{frame.path}: {frame.problem}", may_change=frame.is_unread)
            advance(1)
            continue
        small = thumbnail_of(frame.image)
        change = change if thumbnail is None else max(change, float(np.abs(small - thumbnail).mean()))
        thumbnail = small
        picture = scratch / f"{frame_name(frame.number)}{frame.suffix}"
        stated = landmarks_of_frame(job, tools.table, frame.path)
        is_sought = job.detector is not None and isinstance(stated, NoLandmarks)  # what files say is read again
        before = noted.get(frame.number) if is_sought else None
        if before is not None and (isinstance(before, str) or picture.is_file()):
            one = before if isinstance(before, str) else before._replace(change=change)
        else:
            one = _face_of(tools, frame, stated, last, change)
            if not isinstance(one, str):
                write_file(picture, frame.picture())
            if is_sought:
                lines.append([frame.number, one] if isinstance(one, str) else one.plain())
        if isinstance(one, str):
            skips.add(frame.number, one, may_change=isinstance(one, UnreadLandmarks))
        else:
            found.append(one)
            last, change = one, 0.0
        skips.is_sought = skips.is_sought or isinstance(stated, NoLandmarks)
        if len(lines) == _NOTED:
            journal.append(lines)
            lines = []
        advance(1)
    journal.close()
    if not found and len(skips) > 1:  # one reason for the whole video is enough
        first = skips[0].reason
        del skips[:]
        skips.add(None, f"{video.path}: no frame with a face that can be used; the first, {first}")
    return found


def _changed_since(tools: FaceTools[VideoJob], video: Photograph, state: VideoState) -> str:
    """What is wrong if a video or its landmarks are not what they were when they were hashed; "" if they are.

    What was read of them would count as made of what they were: a copy that is being written, as read of the whole.
    """
    try:
        same = state_of_video(tools.job, tools.table, video) == state
    except UvgenError as error:
        check_machine(error)
        return str(error)
    again = "run the command again once they stay as they are"
    return "" if same else f"{video.path}: it or its landmarks were changed while they were read; {again}"


def _counted_from_one(tools: FaceTools[VideoJob], video: Photograph, n_frames: int | None) -> bool:
    """Whether landmark files for a video file seem to be numbered from 1, as ffmpeg numbers pictures.

    Of one that is cut short, there may be landmarks of the whole.
    """
    if video.path.is_dir() or n_frames is None:
        return False
    folder = frames_folder(video)
    first, after = (folder / f"{frame_name(number)}.jpg" for number in (0, n_frames))
    said = [landmarks_of_frame(tools.job, tools.table, path) for path in (first, after)]
    return isinstance(said[0], NoLandmarks) and not isinstance(said[1], NoLandmarks)


def _noted(journal: Journal) -> dict[int, _Found | str]:
    """What an interrupted run found: a frame's face, or why it has none, by the frame's number."""
    noted: dict[int, _Found | str] = {}
    with suppress(KeyError, TypeError, ValueError, IndexError):  # a journal that uvgen did not write
        for lines in journal.read():
            for line in lines:
                noted[line[0]] = str(line[1]) if len(line) == 2 else _Found.parsed(line)
    return noted


def _face_of(
    tools: FaceTools[VideoJob], frame: Frame, stated: list[FaceLandmarks] | str, last: _Found | None, change: float
) -> _Found | str:
    """The face of a frame that continues the track, or else the largest one, of those that files state or the detector
    finds; or why there is none."""
    job = tools.job
    faces: list[FaceLandmarks] | str = stated
    if job.detector is not None and isinstance(stated, NoLandmarks):
        faces = tools.detect(job.detector, frame.image, frame.path) or f"{job.detector.name} finds no face in it"
    if isinstance(faces, str):
        return faces
    size = frame.image.shape[1], frame.image.shape[0]
    usable = [(*usable_points(face, size), face.source) for face in faces]
    good = [one for one in usable if not one[2]]
    if not good:
        return usable[0][2]
    points, weights, _, source = good[0] if last is None else min(good, key=lambda one: _distance(one[0], last))
    return _Found(frame.number, frame.time_s, points, weights, size, source, frame.suffix, change)


def _distance(points: NDArray[np.float64], last: _Found) -> float:
    """How much a face differs in place and size from the last frame's, in sizes of the latter.

    A face that differs by 1 or more cannot be the same one; it gets more than 2, the larger the face the less.
    """
    middles, sizes = [], []
    for one in (points, last.points):
        low, high = np.nanmin(one, axis=0), np.nanmax(one, axis=0)
        middles.append((low + high) / 2)
        sizes.append(float((high - low).max()))
    far = float(np.linalg.norm(middles[0] - middles[1])) / sizes[1] + abs(float(np.log(sizes[0] / sizes[1])))
    return far if far < 1 else 2 + 1 / sizes[0]


# Fitting: tracks


def _fitted(
    job: VideoJob, video: Photograph, scratch: Path, state: str, found: list[_Found], skips: _Skips
) -> list[FittedFrame]:
    """Fit the faces of a video, and write its samples into the hidden folder."""
    if not found:
        return []
    alone = fit_alone(
        np.stack([one.points for one in found]), job.model, np.array([one.size[1] for one in found]),
        scores=np.stack([one.weights for one in found]), jaw=job.options.jaw,
    )  # fmt: skip
    left = _left_out(job, found, alone)
    usable = np.array([k for k in range(len(found)) if k not in left], np.int64)
    times = np.array([one.time_s for one in found])
    change = [max(found[j].change for j in range(a + 1, b + 1)) for a, b in pairwise(usable)]
    faces = alone.faces.take(usable)
    places = Places(
        times[usable], faces.middle + faces.size[:, None] * faces.shift, faces.size * faces.scale, faces.rotation,
        np.array([found[k].size for k in usable], np.int64).reshape(-1, 2), np.array([0.0, *change][: len(usable)]),
    )  # fmt: skip
    tracks, wrong = linked(places)
    tracks = [part for track in tracks for part in _pieces(track)]
    left |= {int(usable[k]): "the landmarks jump away and back, expected those of the same face" for k in wrong}
    frames = list[FittedFrame]()
    for number, track in enumerate(tracks):
        which = usable[np.array(track)]
        fit = fit_track(
            alone.take(which), times[which], job.model, jaw=job.options.jaw, smoothness=job.options.smoothness
        )
        for k, at in enumerate(which):
            one, own = found[at], fit.face(k)
            if why := rejection(own, job.options.max_residual):
                left[int(at)] = why
                continue
            data = parameters_of(own, job.model, one.points, one.weights, one.size)
            write_file(scratch / f"{frame_name(one.number)}.mat", data)
            frames.append(FittedFrame(
                f"{video.name}/{frame_name(one.number)}", video.shown(job.root), float(own.residual[0]),
                float(own.residual_jaw[0]), float(own.sigma_px[0]), float(np.rad2deg(own.pose[0, 1])),
                source_below(one.source, job.landmarks, job.root), one.suffix, state, one.number, one.time_s, number,
            ))  # fmt: skip
    check_model_file(job.model)
    for k, why in sorted(left.items()):
        skips.add(found[k].number, f"{found[k].source}: {why}")
        with suppress(OSError):
            (scratch / f"{frame_name(found[k].number)}{found[k].suffix}").unlink()
    return frames


def _pieces(track: list[int]) -> list[list[int]]:
    """The track, divided into pieces of about equal length if it is too long."""
    n = -(-len(track) // _LONGEST)
    return [part.tolist() for part in np.array_split(track, n)]


def _left_out(job: VideoJob, found: list[_Found], alone: Alone) -> dict[int, str]:
    """The frames whose landmarks are not a face's, each with the reason, by their indices in `found`."""
    doubts = [NO_DOUBT] * len(found)
    suspects = np.flatnonzero(suspicious(alone.fit))
    looked_into = suspects[:_TRIED]
    if len(looked_into):
        marked = alone.take(looked_into)
        sizes = np.array([found[k].size for k in looked_into])
        said = landmark_doubts(marked.marked.given, marked.marked.weights, marked.fit, job.model, sizes)
        for k, doubt in zip(looked_into, said, strict=True):
            doubts[k] = doubt
        alike = all(doubt.is_explained for doubt in said) and len({doubt.kind for doubt in said}) == 1
        if alike and len(said) == min(_TRIED, len(found)):  # then all have the same error, if most of them look like it
            for k in range(len(found)) if 2 * len(suspects) >= len(found) else suspects[_TRIED:]:
                doubts[k] = said[0]
    why = [rejection(alone.fit.face(k), job.options.max_residual, doubts[k]) for k in range(len(found))]
    return {k: reason for k, reason in enumerate(why) if reason}
