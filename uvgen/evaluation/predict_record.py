"""`predict.json`: what a folder of predictions says of how it was made, and of each face in it."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from uvgen.evaluation.predict_options import WRITTEN
from uvgen.evaluation.predict_worker import PredictedFace, PredictJob, face_table, made_of
from uvgen.fitting.face_record import FaceIndex, FaceRecord, check_face_name
from uvgen.fitting.tasks import Photograph
from uvgen.samples.files import is_out_of_reach
from uvgen.storage.folders import PREDICT_INDEX
from uvgen.storage.names import brief

_SUFFIXES = (*WRITTEN.values(), ".png")
_SAID = {"network_sha256": "another network"}
_NUMBERS = ("pitch_deg", "yaw_deg", "roll_deg")


def _face(content: dict[str, Any]) -> PredictedFace:
    """A face as an index or a journal has it; ValueError, KeyError or TypeError if a value is of another type."""
    values = {item.name: content[item.name] for item in fields(PredictedFace)}
    suffixes = values["suffixes"]
    if not isinstance(suffixes, list) or not suffixes or not set(suffixes) <= set(_SUFFIXES):
        raise ValueError(f"suffixes {brief(suffixes)[:40]}, expected some of {', '.join(_SUFFIXES)}")
    for key, value in values.items():
        wanted = (int, float) if key in _NUMBERS else (list,) if key == "suffixes" else (str,)
        if type(value) not in wanted:
            raise ValueError(f"{key} {brief(value)[:40]}, expected {wanted[-1].__name__}")
    check_face_name(values["name"], content["photograph"])
    return PredictedFace(**{**values, "suffixes": tuple(suffixes)})


INDEX: FaceIndex[PredictedFace] = FaceIndex(
    PREDICT_INDEX, "predict", "faces", _face, asdict, lambda face: face.suffixes
)
"""Of a folder that `uvgen predict` fills."""


class PredictRecord(FaceRecord[PredictedFace]):
    """A folder of predictions while they are made, see `FaceRecord`."""

    def __init__(self, job: PredictJob, photographs: Sequence[Photograph], *, overwrite: bool) -> None:
        super().__init__(INDEX, job.root, job.out, photographs, job.settings(), _SAID, overwrite=overwrite)
        self._job, self._table = job, face_table(job)

    def is_made(self, photograph: Photograph, faces: Sequence[PredictedFace]) -> bool:
        """Whether a photograph's files are there, and it and what files say of its faces have not changed since."""
        paths = [self._out / f"{face.name}{suffix}" for face in faces for suffix in face.suffixes]
        if not all(path.is_file() for path in paths):
            return False
        try:
            return {face.made_of for face in faces} == {made_of(self._job, self._table, photograph)}
        except OSError as error:
            return is_out_of_reach(photograph.path, error)
