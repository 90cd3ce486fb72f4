"""face-alignment (Bulat and Tzimiropoulos, ICCV 2017): 68 points of the 2D kind, with scores, by PyTorch.

The package downloads its weights, and those of its face detector, at first use.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_bytes
from uvgen.errors import DependencyError, InputError
from uvgen.fitting.detectors.faces import imported, largest_first
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.storage.names import brief

_PACKAGE = "face-alignment"


def open_detector(model: Path | None) -> "FaceAlignment":
    """Open the package's network; the package keeps its weights in a folder of its own."""
    if model is not None:
        raise InputError(f"{model}: expected no file of weights, face-alignment downloads its own")
    package = imported("face_alignment", f"pip install {_PACKAGE}")
    torch = imported("torch", "pip install torch")
    kinds = package.LandmarksType
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = getattr(kinds, "TWO_D", None) or kinds._2D  # the name in versions before 1.4
    try:
        return FaceAlignment(package.FaceAlignment(kind, device=device, flip_input=False))
    except Exception as error:  # URLError, OSError, RuntimeError of damaged downloads
        raise DependencyError(
            f"detector: face-alignment cannot be opened ({brief(error)}); it downloads its weights at first use, which "
            "needs a network"
        ) from error


class FaceAlignment:
    """Finds faces with 68 scored points; see `uvgen.fitting.detectors.Detector`."""

    name = "face-alignment"
    notice = "face-alignment downloads its weights at first use"

    def __init__(self, network: Any) -> None:
        self._network = network

    def __call__(self, image: NDArray[np.uint8]) -> list[FaceLandmarks]:
        """The faces in an RGB image (h, w, 3), largest first."""
        check_bytes(image, "image", (-1, -1, 3))
        found = self._network.get_landmarks_from_image(image, return_bboxes=True, return_landmark_score=True)
        faces = zip(*found, strict=True) if found and found[0] is not None else ()
        return largest_first(
            FaceLandmarks(np.asarray(points, np.float64)[:, :2], np.clip(np.asarray(scores, np.float64).ravel(), 0, 1),
                          "68", _box(box), self.name)
            for points, scores, box in faces
        )  # fmt: skip


def _box(corners: Any) -> NDArray[np.float64]:
    """x, y, width, height of a detection: left, top, right, bottom, score."""
    left, top, right, bottom = np.asarray(corners, np.float64)[:4]
    return np.array([left, top, right - left, bottom - top])
