"""MediaPipe's face mesh: 478 points, Apache-2.0.

Wheels up to 0.10.21 carry the weights (`mp.solutions.face_mesh`), and need NumPy below 2. Later ones have the
tasks API alone, and no weights: Google publishes them as ``face_landmarker.task``. Points are shares of the width
and height, whose 0 is the edge of the first pixel.

Measured on 16 photographs of AFLW2000-3D against `pt3d_68`: found in all; below 60° of yaw (14 photographs) NME 4.4%
on average, 2.8% without the jaw, 6.5% at worst.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DependencyError, InputError, to_install
from uvgen.fitting.detectors.faces import imported, largest_first, native_log_without, weights_file, with_room
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.storage.names import brief

_HOW = to_install("mediapipe")
_START_LOG = rb"(?:INFO: Created TensorFlow Lite|WARNING: All log messages before absl|[IW]\d{4} \d\d:\d\d:)[^\n]*\n?"
"""Notes and warnings that MediaPipe prints as it starts."""

_MOST_FACES = 20
_AROUND = 1.0  # of a far face's box, added on each side before the mesh is looked for in it


def open_detector(model: Path | None) -> "MediaPipe":
    """The face mesh with the weights in the package, or those of a ``face_landmarker.task``."""
    package = imported("mediapipe", _HOW)
    if model is not None:
        return MediaPipe(_Tasks(weights_file(model, "MediaPipe's face_landmarker.task")))
    if not hasattr(package, "solutions"):
        version = getattr(package, "__version__", "of an unknown version")
        raise InputError(
            f"detector: mediapipe {version} carries no weights of the face mesh, expected mediapipe up to 0.10.21 "
            f"({_HOW}), or Google's face_landmarker.task as argument `weights` of FaceDetector"
        )
    return MediaPipe(_Solutions(package))


class MediaPipe:
    """Finds faces with a mesh; see `uvgen.fitting.detectors.Detector`."""

    name = "mediapipe"
    notice = ""

    def __init__(self, find: Any) -> None:
        self._find = find

    def __call__(self, image: NDArray[np.uint8]) -> list[FaceLandmarks]:
        """The faces in an RGB image (h, w, 3), largest first."""
        found = with_room(image, self._find, "constant")
        return largest_first(FaceLandmarks(points, None, "478", source=self.name) for points in found)


def _in_pixels(faces: Any, shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    return [np.array([(p.x * shape[1] - 0.5, p.y * shape[0] - 0.5) for p in face], np.float64) for face in faces]


class _Solutions:
    """The API of wheels that carry weights: a detector for faces within 2 m, then one for faces within 5 m."""

    def __init__(self, package: Any) -> None:
        solutions = package.solutions
        try:
            with native_log_without(_START_LOG):
                self._mesh = solutions.face_mesh.FaceMesh(
                    static_image_mode=True, max_num_faces=_MOST_FACES, refine_landmarks=True
                )
                self._far = solutions.face_detection.FaceDetection(model_selection=1)
                self._find(np.zeros((8, 8, 3), np.uint8))  # both start when they first have an image
        except Exception as error:
            raise DependencyError(f"detector: mediapipe cannot start ({brief(error)}); {_HOW}") from error

    def __call__(self, image: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        with native_log_without(_START_LOG):  # some parts start with the first face
            return self._find(image)

    def _find(self, image: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        found = self._meshes(image)
        if found:
            return found
        height, width = image.shape[:2]
        for detection in self._far.process(image).detections or []:
            box = detection.location_data.relative_bounding_box
            x, y, w, h = box.xmin * width, box.ymin * height, box.width * width, box.height * height
            left, top = max(int(x - _AROUND * w), 0), max(int(y - _AROUND * h), 0)
            crop = image[top : int(y + (1 + _AROUND) * h) + 1, left : int(x + (1 + _AROUND) * w) + 1]
            if crop.size:
                found += [points + [left, top] for points in self._meshes(np.ascontiguousarray(crop))[:1]]
        return found

    def _meshes(self, image: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        faces = self._mesh.process(image).multi_face_landmarks or []
        return _in_pixels([face.landmark for face in faces], image.shape)


class _Tasks:
    """The API of later wheels, with weights in a file."""

    def __init__(self, path: str) -> None:
        package = imported("mediapipe", _HOW)
        tasks = imported("mediapipe.tasks.python", _HOW)
        vision = imported("mediapipe.tasks.python.vision", _HOW)
        options = vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=path), num_faces=_MOST_FACES
        )
        try:
            with native_log_without(_START_LOG):
                self._landmarker = vision.FaceLandmarker.create_from_options(options)
        except Exception as error:
            raise InputError(
                f"{path}: MediaPipe cannot use it ({brief(error)}), expected its face_landmarker.task"
            ) from error
        self._package = package

    def __call__(self, image: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        picture = self._package.Image(image_format=self._package.ImageFormat.SRGB, data=image)
        with native_log_without(_START_LOG):
            return _in_pixels(self._landmarker.detect(picture).face_landmarks, image.shape)
