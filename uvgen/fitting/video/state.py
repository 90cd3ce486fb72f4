"""The landmark files of a video, and the hashes by which changes of a video or of its landmarks are noticed."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from uvgen.errors import InputError
from uvgen.fitting.tasks import Photograph
from uvgen.fitting.video.find import frame_files, frame_name
from uvgen.fitting.video.frames import digest_of
from uvgen.fitting.worker import MOST_BYTES, FaceJob
from uvgen.samples.files import check_folder_of, is_out_of_reach
from uvgen.samples.landmark_files import find_landmarks, own_files, places_of_landmarks
from uvgen.samples.landmark_schemes import FaceLandmarks, NoLandmarks
from uvgen.samples.landmark_tables import LandmarkTable
from uvgen.storage.names import os_reason
from uvgen.wording import count

_MARK = re.compile(r"\.(txt|pts|npy|mat)\Z")
_FRAME = re.compile(r"frame_\d+")


class VideoFaceJob(FaceJob, Protocol):
    """What is needed of a job on videos to find landmarks, see `uvgen.fitting.video.worker.VideoJob`."""

    @property
    def several(self) -> bool: ...


def landmarks_of_frame(job: VideoFaceJob, table: LandmarkTable | None, path: Path) -> list[FaceLandmarks] | str:
    """The faces that landmark files have for a frame, or why there are none.

    If there are several videos, their landmark files are in folders of their names, and a table names the video too.
    """
    if table is not None:
        if _is_anothers(job, table, path):
            why = f"not among the images of {table.path}, expected {table_name(job, path)} in it"
            return NoLandmarks(f"{path}: {why}")
        return table.of_image(path)
    place = _place(job, path.parent)
    if place is not None and not place.is_dir():
        return NoLandmarks(f"{path}: no landmarks in {place}, expected a folder of files named as frames")
    return find_landmarks([path], place)[path]


def table_name(job: VideoFaceJob, path: Path) -> str:
    """What a table calls a frame, at least, if there are several videos."""
    return path.relative_to(path.parent.parent if path.parent == job.root else job.root).as_posix()


def _is_anothers(job: VideoFaceJob, table: LandmarkTable, path: Path) -> bool:
    """Whether what a table has under a frame's name may be another video's."""
    claim = table.claim(path) if job.several else None
    return claim is not None and claim[1] < len(Path(table_name(job, path)).parts)


def _place(job: VideoFaceJob, folder: Path) -> Path | None:
    """The folder of the landmark files for frames in `folder`; None if they are beside the frames."""
    if job.landmarks is None:
        return None
    return job.landmarks / folder.relative_to(job.root) if job.several else job.landmarks


def frames_folder(video: Photograph) -> Path:
    """The folder of a video's frames; for a video file, the folder of its name beside it."""
    return video.path if video.path.is_dir() else video.path.parent / video.path.stem


def marks_of(job: VideoFaceJob, table: LandmarkTable | None, video: Photograph) -> tuple[bool, bool]:
    """Whether there are landmarks for some frames of a video, and files for all of them, judging by the names."""
    folder = frames_folder(video)
    if table is not None:
        frames = (folder / f"{stem}.jpg" for stem in table.stems() if stem.startswith("frame_"))
        paths = (path for _, path in _frames(video)) if video.path.is_dir() else frames
        return any(table.has_image(path) and not _is_anothers(job, table, path) for path in paths), False
    if video.path.is_dir():
        marked = [bool(own_files(path, _place(job, folder))[0]) for _, path in _frames(video)]
        return any(marked), all(marked)
    return any(_marks(place) for place in _places(job, folder)), False


def check_marks(job: VideoFaceJob, videos: Sequence[Photograph]) -> None:
    """Raise InputError if a folder of landmarks holds files of frames, and none for a video that they may be of."""
    if job.landmarks is None or not job.several or not job.landmarks.is_dir():
        return
    places = {one: place for one in videos if (place := _place(job, frames_folder(one))) is not None}
    if job.landmarks in places.values():  # they are of frames beside the folders of others
        return
    names = [name for name in sorted(os.listdir(job.landmarks)) if _MARK.search(name.lower())]
    flat = {os.path.splitext(name)[0]: job.landmarks / name for name in names}
    for video, place in places.items():
        stems = [path.stem for _, path in _frames(video)] if video.path.is_dir() else filter(_FRAME.fullmatch, flat)
        if not place.is_dir() and (stem := next((stem for stem in stems if stem in flat), None)):
            raise InputError(
                f"landmarks: of which of {count(len(videos), 'video')} is {flat[stem]}? Expected files in a folder for "
                f"each, such as {place}"
            )


def _places(job: VideoFaceJob, folder: Path) -> list[Path]:
    """Folders that may hold the landmark files of a video file's frames."""
    place = _place(job, folder)
    return [folder] if place is None else places_of_landmarks(folder / frame_name(0), place)


def _marks(place: Path) -> list[Path]:
    names = sorted(os.listdir(place)) if place.is_dir() else []
    return [place / name for name in names if _is_mark(name)]


def _is_mark(name: str) -> bool:
    return _MARK.search(name.lower()) is not None and _FRAME.match(name) is not None


def _frames(video: Photograph) -> list[tuple[int, Path]]:
    return _frames_and_others(video)[0]


def _frames_and_others(video: Photograph) -> tuple[list[tuple[int, Path]], list[tuple[Path, str]]]:
    """The numbered frames of a folder, and its other pictures with what is wrong with each."""
    try:
        return frame_files(video.path)
    except OSError as error:
        raise InputError(f"{video.path}: cannot be read ({os_reason(error)})") from error


class VideoState(NamedTuple):
    """SHA-256 of a video and its landmark files.

    Attributes
    ----------
    marked : str
        Where files have landmarks of every frame that can be read: no detector would change a sample.
    sought : str
        Where they lack some, which the job's detector, if it has one, seeks.
    """

    marked: str
    sought: str


def state_of_video(
    job: VideoFaceJob, table: LandmarkTable | None, video: Photograph, *, is_made: bool = False
) -> VideoState:
    """What a video is made of; InputError if the video cannot be read.

    Likewise, if the samples are made already (`is_made`), where the disk of one of its files does not answer.
    """
    lines, folder = [], frames_folder(video)
    if video.path.is_dir():
        frames, others = _frames_and_others(video)
        files = [path for _, path in frames]
        lines += [f"{path.name} {why}\n" for path, why in others]  # named as left out, for as long as they are there
        marks = [file for path in files for file in own_files(path, _place(job, folder))[0]] if table is None else []
    else:
        lines.append(digest_of(video.path))
        files, marks = [], [path for place in _places(job, folder) if table is None for path in _marks(place)]
    lines += [f"{path.name} {_digest(path, is_made)}\n" for path in (*files, *marks)]
    if table is not None:
        lines.append(table.sha256)
    made_of = "".join(lines).encode("utf-8", "surrogateescape")
    by = b"" if job.detector is None else f"detector {job.detector.name}\n".encode()
    first = (b"landmarks of every frame\n", by)
    return VideoState(*(hashlib.sha256(line + made_of).hexdigest() for line in first))


def _digest(path: Path, is_made: bool) -> str:
    """The hash of a frame or landmark file; one that cannot be read is reported when its frame is fitted, if it is."""
    try:
        return digest_of(path, MOST_BYTES)
    except InputError as error:
        check_folder_of(path, error)
        if is_made and isinstance(error.__cause__, OSError) and is_out_of_reach(path, error.__cause__):
            raise
        return "unreadable"
