"""dlib's frontal faces and 68 points.

The weights are a file of PyPI's face-recognition-models, which is found without importing the package: it would need
`pkg_resources`. They were trained on iBUG's 300-W, which excludes commercial use.

Measured on 16 photographs of AFLW2000-3D against `pt3d_68`: found in 12, and in one more with room around it; NME 1.7
to 6.9 % (4.5 % on average) in the 12, all below 40° of yaw, 11 % in the other, 66°. Without the jaw 2.7 % on average.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DependencyError, InputError, to_install
from uvgen.fitting.detectors.faces import imported, largest_first, weights_file, with_room
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.storage.names import brief
from uvgen.wording import count

_HOW = to_install("dlib")
_WEIGHTS = "models/shape_predictor_68_face_landmarks.dat"
_DETECTED_FROM_PX = 80  # the smallest face that dlib sees


def open_detector(model: Path | None) -> "Dlib":
    """dlib's detector, with the weights of face-recognition-models or of a file."""
    package = imported("dlib", _HOW)
    path = weights_file(model, "dlib's shape_predictor_68_face_landmarks.dat") if model else _packaged()
    return Dlib(package, path)


def _packaged() -> str:
    """The file of weights in face-recognition-models, which is not imported."""
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        if (path := Path(folder) / _WEIGHTS).is_file():
            return str(path)
    raise DependencyError(
        f"detector: no weights of dlib's 68 points (face-recognition-models is not installed); {_HOW}, "
        "or give shape_predictor_68_face_landmarks.dat as argument `weights` of FaceDetector"
    )


class Dlib:
    """Finds faces with 68 points; see `uvgen.fitting.detectors.Detector`."""

    name = "dlib"
    notice = "dlib's weights for 68 points come from iBUG's 300-W and are for research only, not for commercial use"

    def __init__(self, package: Any, path: str) -> None:
        self._package = package
        self._detector = package.get_frontal_face_detector()
        try:
            self._predictor = package.shape_predictor(path)
        except RuntimeError as error:
            raise InputError(
                f"{path}: dlib cannot use it ({brief(error)}), expected its shape_predictor_68_face_landmarks.dat"
            ) from error

    def __call__(self, image: NDArray[np.uint8]) -> list[FaceLandmarks]:
        """The faces in an RGB image (h, w, 3), largest first."""
        found = with_room(image, self._find, "edge")
        return largest_first(FaceLandmarks(points, None, "68", source=self.name) for points in found)

    def _find(self, image: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """Points of each face; in an image twice as large, if there is none at first."""
        rectangles = self._detector(image, 0)
        if not rectangles and max(image.shape[:2]) < 16 * _DETECTED_FROM_PX:  # larger ones would take seconds
            rectangles = self._detector(image, 1)
        faces = [self._predictor(image, rectangle) for rectangle in rectangles]
        found = [np.array([(p.x, p.y) for p in face.parts()], np.float64) for face in faces]
        for points in found:
            if len(points) != 68:
                raise InputError(f"detector: dlib's weights give {count(len(points), 'point')}, expected those of 68")
        return found
