"""What detectors have in common: images they take, weights, room around faces that fill them, the order of faces."""

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_bytes
from uvgen.errors import DependencyError, InputError
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.storage.names import brief

_ROOM = 0.5  # of the longer side, added on each side of an image in which no face was found


def imported(package: str, extra: str) -> Any:
    """A package that a detector needs; DependencyError, which names what to install, where it cannot be imported."""
    try:
        return import_module(package)
    except Exception as error:  # packages that were compiled for another NumPy fail in ways of their own
        why = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported ({brief(error)})"
        raise DependencyError(f"detector: {package} {why}; pip install {extra}") from error


def weights_file(path: Path, what: str) -> str:
    """The path of a file with weights; InputError where it is none."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "not there"
        raise InputError(f"{path}: {found}, expected {what}")
    return str(path)


def with_room(
    image: NDArray[np.uint8], find: Callable[[NDArray[np.uint8]], list[NDArray[np.float64]]], mode: str
) -> list[NDArray[np.float64]]:
    """What `find` finds in an image, and where that is nothing, in the image with as much again around it.

    Detectors look for a face with something around it: pictures that a face fills hold none to them. `mode` is NumPy's
    way of padding.
    """
    check_bytes(image, "image", (-1, -1, 3))
    found = find(np.ascontiguousarray(image))
    if found:
        return found
    room = int(_ROOM * max(image.shape[:2]))
    wide: NDArray[np.uint8] = np.pad(image, ((room, room), (room, room), (0, 0)), mode=mode)  # type: ignore[call-overload]
    return [points - room for points in find(wide)]


def largest_first(faces: Iterable[FaceLandmarks]) -> list[FaceLandmarks]:
    """Faces by their size."""
    return sorted(faces, key=lambda face: -face.extent)
