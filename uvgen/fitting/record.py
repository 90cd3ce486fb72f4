"""`fit.json`: the settings that a folder of fitted samples was made with, and an entry for each face in it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from uvgen.errors import OutputError, SettingsError
from uvgen.fitting.face_record import FaceIndex, FaceRecord, check_face_name
from uvgen.fitting.fitted import FittedFace, FittedFrame
from uvgen.fitting.tasks import Photograph
from uvgen.fitting.worker import FitJob, open_table, settings, state_of
from uvgen.samples.files import is_out_of_reach
from uvgen.storage.folders import FIT_INDEX, IMAGE_SUFFIXES
from uvgen.storage.names import brief

_TEXTS = ("photograph", "name", "image", "source", "suffix", "made_of")
_NUMBERS = ("residual", "residual_jaw", "sigma_px", "yaw_deg")


def _face(content: dict[str, Any]) -> FittedFace:
    """A face as an index or a journal has it; ValueError, KeyError or TypeError if a value is of another type."""
    for key in _TEXTS:
        if not isinstance(content[key], str):
            raise ValueError(f"{key} {brief(content[key])[:40]}, expected text")
    if content["suffix"] not in IMAGE_SUFFIXES:
        raise ValueError(f"suffix {brief(content['suffix'])[:40]}, expected an image's")
    check_face_name(content["name"], content["photograph"])
    values: dict[str, Any] = {key: value for key, value in content.items() if key != "photograph"}
    for key in _NUMBERS:
        if type(values[key]) not in (int, float, type(None)):
            raise ValueError(f"{key} {brief(values[key])[:40]}, expected a number")
        values[key] = np.nan if values[key] is None else float(values[key])
    if "frame" not in values:
        return FittedFace(**values)
    if type(values["frame"]) is not int or type(values["track"]) is not int:
        raise ValueError("frame or track: expected whole numbers")
    if type(values["time_s"]) not in (int, float):
        raise ValueError(f"time_s {brief(values['time_s'])[:40]}, expected seconds")
    return FittedFrame(**values)


def plain_face(face: FittedFace) -> dict[str, Any]:
    """As JSON holds it: None for what is not a number."""
    return {key: None if isinstance(v, float) and not np.isfinite(v) else v for key, v in asdict(face).items()}


INDEX: FaceIndex[FittedFace] = FaceIndex(
    FIT_INDEX, "fit", "faces", _face, plain_face, lambda face: (face.suffix, ".mat")
)
"""Of a folder that `uvgen fit` fills."""


def check_kind(out: Path, *, video: bool, overwrite: bool) -> None:
    """Raise SettingsError if a folder holds samples of videos and would get some of photographs, or the reverse."""
    if not overwrite and (out / FIT_INDEX).exists():
        kinds = "photographs", "videos"
        if (of := bool(INDEX.read(out / FIT_INDEX).get("video"))) != video:
            raise SettingsError(
                f"{out}: holds samples of {kinds[of]}, and would get some of {kinds[video]}; choose another output "
                "folder, or overwrite this one to start anew"
            )


def check_fit_folder(out: Path) -> None:
    """Raise OutputError, before any work, if a folder cannot take fitted samples."""
    if out.name.lower().endswith("_flip"):
        raise OutputError(f"{out}: named as 300W-LP's folders of mirrored images are, expected a name without _Flip")
    INDEX.check_folder(out)


class FitRecord(FaceRecord[FittedFace]):
    """A folder of fitted samples while they are made, see `FaceRecord`."""

    def __init__(self, job: FitJob, photographs: Sequence[Photograph], *, same_person: bool, overwrite: bool) -> None:
        stated = {**settings(job), "same_person": same_person}
        super().__init__(
            INDEX, job.root, job.out, photographs, stated, {}, same_person=same_person, overwrite=overwrite
        )
        self._job, self._table = job, open_table(job.landmarks)

    def resume(self) -> None:
        """As every `FaceRecord`, in a folder that is not named as mirrored images' are."""
        check_fit_folder(self._out)
        check_kind(self._out, video=False, overwrite=self._overwrite)
        super().resume()

    def is_made(self, photograph: Photograph, faces: Sequence[FittedFace]) -> bool:
        """Whether a photograph's samples are there, and neither it nor its landmarks are known to have changed."""
        for face in faces:
            path = self._out / face.name
            if not all(path.with_name(path.name + end).is_file() for end in (face.suffix, ".mat")):
                return False
        try:
            return {face.made_of for face in faces} == {state_of(self._job, self._table, photograph)}
        except OSError as error:
            return is_out_of_reach(photograph.path, error)
