"""Videos to a folder like 300W-LP's: what `uvgen fit --video` does.

A video is one task, because the frames of a track share one shape, see `uvgen.fitting.video.tracks`. The result
depends only on the video, its landmarks, the model and the options.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from uvgen.checks import check_instance, check_optional_paths, check_paths
from uvgen.described import described
from uvgen.errors import DatasetError
from uvgen.fitting.detectors import AUTO, FaceDetector, as_detector, used_detector
from uvgen.fitting.fitted import FittedBatch, FittedFrame, Unfitted
from uvgen.fitting.options import VideoOptions
from uvgen.fitting.photographs import check_outside
from uvgen.fitting.record import INDEX, check_fit_folder, check_kind, plain_face
from uvgen.fitting.sources import choose_detector
from uvgen.fitting.video.find import find_videos, frame_name
from uvgen.fitting.video.frames import import_av
from uvgen.fitting.video.record import FittedVideo, VideoRecord, videos_of
from uvgen.fitting.video.state import check_marks, frames_folder, marks_of, table_name
from uvgen.fitting.video.worker import VideoJob
from uvgen.fitting.worker import open_table
from uvgen.jobs.options import RunOptions, check_run
from uvgen.jobs.run import run_job
from uvgen.models.load import BUILTIN, as_model, where_read
from uvgen.models.morphable import MorphableModel
from uvgen.progress import begin
from uvgen.wording import none_can_be


@dataclass(frozen=True, slots=True)
class VideoResult:
    """The result of `uvgen.fit_video`: what the run did, and what the folder now contains.

    Attributes
    ----------
    faces : tuple of FittedFrame
        The samples in the folder, sorted by name.
    skipped : tuple of Unfitted
        Videos and frames that were left out, each with the reason.
    videos : tuple of FittedVideo
        The outcome of each video that has samples.
    new_samples : int
        How many samples this run made.
    detector : str or None
        The detector that found landmarks; None if all came from files.
    notice : str
        What users of that detector must know, such as its license; "" if there is nothing.
    seconds : float
        How long this run took.
    """

    faces: tuple[FittedFrame, ...]
    skipped: tuple[Unfitted, ...]
    videos: tuple[FittedVideo, ...]
    new_samples: int
    detector: str | None
    notice: str
    seconds: float

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The result as `uvgen fit --video --json` prints it."""
        return {
            "samples": len(self.faces), "new_samples": self.new_samples, "detector": self.detector,
            "notice": self.notice, "videos": [asdict(video) for video in self.videos],
            "faces": [plain_face(face) for face in self.faces], "skipped": [asdict(skip) for skip in self.skipped],
            "seconds": self.seconds,
        }  # fmt: skip


def fit_video(
    video: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: MorphableModel | str | os.PathLike[str] = BUILTIN,
    landmarks: str | os.PathLike[str] | None = None,
    detector: str | FaceDetector | None = AUTO,
    options: VideoOptions = VideoOptions(),
    run: RunOptions = RunOptions(),
    overwrite: bool = False,
    untrusted: bool = False,
    progress: Callable[[FittedBatch], object] | None = None,
) -> VideoResult:
    """Fit a morphable model to the frames of videos: one shape per person, with smooth pose and expression.

    Parameters
    ----------
    video : path-like
        A video file, which PyAV decodes (``pip install ".[video]"``); a folder of frames with numbers in their names;
        or a folder of such files and folders. Of several faces, the largest one in the first frame is followed.
    out : path-like
        Folder for the samples, ``VIDEO/frame_000123`` and so on, and `fit.json`. A folder that an earlier call with the
        same arguments made is completed.
    model : MorphableModel or path-like
        The model to fit; the built-in model by default.
    landmarks : path-like, optional
        Folder of landmark files, or one table for all, as for `uvgen.fit_photographs`. Landmarks of a video file have
        the names of its samples, ``VIDEO/frame_000123``; those of a folder of frames have its files' names. By default
        they are in the folder of the video's name beside it, or beside the frames.
    detector
        As for `uvgen.fit_photographs`.
    options : VideoOptions
        How the face is fitted.
    run : RunOptions
        As for `uvgen.build_shards`; a task is a video.
    overwrite, untrusted
        As for `uvgen.fit_photographs`.
    progress : callable, optional
        Called with the outcome of each video.

    Returns
    -------
    VideoResult

    Raises
    ------
    InputError
        If there are neither landmarks nor a detector, or an argument is of the wrong type.
    DependencyError
        If PyAV or the detector's package is not installed.
    DatasetError
        If there are no videos, none of them can be used, or the output folder holds something else.
    ModelError
        If the model cannot be read.

    Examples
    --------
    >>> uvgen.fit_video("clip.mp4", "fitted/", detector="mediapipe").videos[0].cuts
    """
    check_paths(video=video, out=out)
    check_optional_paths(landmarks=landmarks)
    started = time.perf_counter()
    check_run(run)
    check_instance(options, "options", VideoOptions, "uvgen.VideoOptions(smoothness=2)")
    asked = as_detector(detector)
    root, out = Path(os.path.abspath(video)), Path(os.path.abspath(out))
    check_fit_folder(out)
    check_kind(out, video=True, overwrite=overwrite)
    begin("listing videos")
    if not root.exists():
        raise DatasetError(f"{root}: not there, expected a video, or a folder of frames or videos")
    if root.is_dir():
        check_outside(root, out, "the videos")
    root, videos, others = find_videos(root, out)
    usable = [one for one in videos if not one.problem]
    if not usable:
        first = videos[0]
        why = f"{first.path}: {first.problem}"
        raise DatasetError(f"{root}: {none_can_be('used', len(videos), 'video', why, first.shown(root))}")
    if any(one.path.is_file() for one in usable):
        import_av()  # an error comes before any work
    where = None if landmarks is None else Path(os.path.abspath(landmarks))
    if where is not None and where.is_dir():
        check_outside(where, out, "the folder of landmarks")
    table = open_table(where)
    opened = as_model(model, untrusted=untrusted)
    job = VideoJob(root, out, opened, where_read(model, opened), where, None, options, len(videos) > 1)
    check_marks(job, usable)
    marked = [marks_of(job, table, one) for one in usable]
    stated = INDEX.stated_detector(out, overwrite=overwrite)
    example = frames_folder(usable[0]) / f"{frame_name(0)}.jpg"
    place = f"of each frame, such as {root / usable[0].name / frame_name(0)}.txt"
    chosen, notice = choose_detector(
        asked,
        stated,
        some=any(some for some, _ in marked),
        all_marked=all(each for _, each in marked),
        given=where is not None,
        place=place if table is None else f"or rows of these frames in {where}, such as of {table_name(job, example)}",
    )
    job = replace(job, detector=chosen)
    record = VideoRecord(job, [*videos, *others], overwrite=overwrite)
    run_job(
        job, record.units, record, out, run, progress=progress,
        doing="fitting", of="frame",
    )  # fmt: skip
    skipped = tuple(record.sorted_skipped())
    if not record.faces:
        none = none_can_be("used", len(videos), "video", skipped[0].reason, skipped[0].image)
        raise DatasetError(f"{root}: {none}")
    faces = tuple(face for face in record.sorted_faces() if isinstance(face, FittedFrame))
    used, notice = used_detector(chosen, notice, {face.source for face in faces})
    return VideoResult(
        faces, skipped, videos_of(faces, skipped), record.new_samples, used, notice, time.perf_counter() - started
    )  # fmt: skip
