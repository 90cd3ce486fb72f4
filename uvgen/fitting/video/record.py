"""The index `fit.json` of a folder of videos' frames, and its summary of each video."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from uvgen.errors import InputError
from uvgen.fitting.face_record import FaceRecord
from uvgen.fitting.fitted import FittedFace, FittedFrame, Unfitted
from uvgen.fitting.record import INDEX, check_fit_folder, check_kind
from uvgen.fitting.tasks import FitTask, Photograph
from uvgen.fitting.video.files import MARK, check_replaceable, not_replaceable, remove_scratch, scratch_folders
from uvgen.fitting.video.state import state_of_video
from uvgen.fitting.video.worker import VideoJob
from uvgen.fitting.worker import open_table
from uvgen.samples.files import is_out_of_reach


@dataclass(frozen=True, slots=True)
class FittedVideo:
    """The outcome of a video.

    Attributes
    ----------
    name : str
        Folder of its samples.
    image : str
        Path of the video below the folder that was given.
    frames : int
        Number of samples.
    skipped : int
        Number of frames that were left out.
    cuts : tuple of int
        Numbers of the frames at which a new track begins, without the first track.
    gaps : tuple of (int, int)
        First and last number that is missing, for each gap in the frames' numbers.
    """

    name: str
    image: str
    frames: int
    skipped: int
    cuts: tuple[int, ...]
    gaps: tuple[tuple[int, int], ...]


class VideoRecord(FaceRecord[FittedFace]):
    """The record of a folder of videos' frames while it is filled, see `FaceRecord`."""

    def __init__(self, job: VideoJob, videos: Sequence[Photograph], *, overwrite: bool) -> None:
        super().__init__(INDEX, job.root, job.out, videos, job.settings(), {}, overwrite=overwrite)
        self._job, self._table = job, open_table(job.landmarks)

    def resume(self) -> None:
        """As `FaceRecord.resume`, after checking that the folder may be filled with videos' frames."""
        check_fit_folder(self._out)
        check_kind(self._out, video=True, overwrite=self._overwrite)
        for name in sorted(self._usable if self._overwrite else ()):
            check_replaceable(self._out / name)  # before samples in it are removed
        super().resume()

    def is_made(self, photograph: Photograph, faces: Sequence[FittedFace]) -> bool:
        """Whether a video's samples exist, and neither the video nor its landmarks have changed since."""
        if not self._are_there(faces):
            return False
        try:
            now = state_of_video(self._job, self._table, photograph, is_made=True)
            return {face.made_of for face in faces} in ({now.marked}, {now.sought})
        except InputError as error:
            cause = error.__cause__
            return isinstance(cause, OSError) and is_out_of_reach(Path(cause.filename or photograph.path), cause)

    def _are_there(self, faces: Sequence[FittedFace]) -> bool:
        paths = (self._out / f"{face.name}{end}" for face in faces for end in (face.suffix, ".mat"))
        return all(path.is_file() for path in paths)

    def discard(self, unit: FitTask) -> None:
        """As `FaceRecord.discard`, but keep samples in whose place no others can come, as is said of the video then."""
        video = unit.photographs[0]
        faces = self.faces.get(video.name)
        if video.problem or not (faces and self._are_there(faces) and not_replaceable(self._out / video.name)):
            super().discard(unit)

    def _known_by(self, name: str, faces: Sequence[FittedFace]) -> Iterable[Path]:
        return [self._out / name / MARK]

    def finish(self) -> None:
        """Write the index, and remove hidden folders of interrupted runs whose videos are gone."""
        super().finish()
        for folder in scratch_folders(self._out):
            remove_scratch(folder)


def videos_of(frames: Sequence[FittedFrame], skipped: Sequence[Unfitted]) -> tuple[FittedVideo, ...]:
    """The outcome of each video that has samples, summed up from its frames, sorted by name."""
    made: dict[str, list[FittedFrame]] = {}
    for frame in frames:
        made.setdefault(frame.name.rpartition("/")[0], []).append(frame)
    without: dict[str, list[int]] = {name: [] for name in made}
    for skip in skipped:
        video, _, stem = skip.name.rpartition("/")
        if video in without and stem.removeprefix("frame_").isdecimal():
            without[video].append(int(stem.removeprefix("frame_")))
    found = []
    for name, members in sorted(made.items()):
        members = sorted(members, key=lambda frame: frame.frame)
        tracks = dict[int, int]()
        for frame in members:
            tracks.setdefault(frame.track, frame.frame)
        numbers = sorted({*without[name], *(frame.frame for frame in members)})
        step = min((b - a for a, b in pairwise(numbers)), default=1)
        gaps = tuple((a + step, b - step) for a, b in pairwise(numbers) if b - a > step)
        cuts = tuple(sorted(tracks.values()))[1:]
        found.append(FittedVideo(name, members[0].image, len(members), len(without[name]), cuts, gaps))
    return tuple(found)
