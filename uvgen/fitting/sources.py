"""Where landmarks of photographs come from: files beside them or elsewhere, or a detector."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from uvgen.errors import DependencyError, InputError, to_install
from uvgen.fitting.detectors import AUTO, DETECTORS, FaceDetector
from uvgen.fitting.tasks import Photograph
from uvgen.samples.landmark_claims import disputed_landmarks
from uvgen.samples.landmark_files import has_landmarks
from uvgen.samples.landmark_schemes import NoLandmarks
from uvgen.samples.landmark_tables import LandmarkTable

_BESIDE = "beside the photographs, NAME.txt for NAME.jpg"
_NONE_INSTALLED = f"none is installed, expected mediapipe or dlib; {to_install('mediapipe', 'dlib')}"


def which_are_marked(
    photographs: Sequence[Photograph], where: Path | None, table: LandmarkTable | None
) -> tuple[list[bool], dict[Path, str]]:
    """Whether files have landmarks of each photograph; those whose landmarks are another one's, see `FitJob`."""
    disputed = disputed_landmarks([one.path for one in photographs], where, table)
    marked = [
        (has_landmarks(one.path, where) if table is None else table.has_image(one.path))
        and not isinstance(disputed.get(one.path), NoLandmarks)
        for one in photographs
    ]
    return marked, disputed


def place_of(landmarks: Path | None) -> str:
    """Where landmarks of photographs are looked for, for messages: beside them, in a folder, or in a table."""
    if landmarks is None:
        return _BESIDE
    return f"{'' if landmarks.is_dir() else 'or rows '}of these photographs in {landmarks}"


def of_others(option: str, place: str) -> InputError:
    """The error of landmarks that were given and are of other photographs: a detector is no substitute for them."""
    return InputError(f"{option}: no landmark files {place}, expected some; are they called as the photographs?")


def choose_detector(
    detector: FaceDetector | None, stated: str | None, *, some: bool, all_marked: bool, given: bool,
    place: str = _BESIDE,
) -> tuple[FaceDetector | None, str]:  # fmt: skip
    """The detector to use and its notice; opened here too, so that an error comes before any work.

    `stated` is the one that the folder was begun with, `some` and `all_marked` whether files have landmarks of some or
    all photographs, `given` whether the user named these files, `place` where they are looked for.
    """
    if detector is None:
        if not some:
            raise InputError(f"detector: none, and no landmark files {place}, expected one of them")
        return None, ""
    if given and not some:
        raise of_others("landmarks", place)
    if detector.name != AUTO:
        return detector, detector.open().notice
    if all_marked:
        return None if stated is None else replace(detector, name=stated), ""
    failed = []
    for name in DETECTORS if stated is None else (stated,):
        candidate = replace(detector, name=name)
        try:
            return candidate, candidate.open().notice
        except (DependencyError, InputError) as error:
            if stated is not None or not isinstance(error.__cause__, ModuleNotFoundError):
                failed.append(str(error).removeprefix("detector: "))
    if some and stated is None:
        return None, ""  # those without are named
    raise DependencyError(
        f"detector: {'; '.join(failed) or _NONE_INSTALLED}; or give landmarks of all of them, in files {place}"
    )
