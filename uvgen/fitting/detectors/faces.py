"""Functions that detectors share: checking images and weights, padding images, ordering faces by size."""

import math
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from uvgen.checks import check_bytes
from uvgen.errors import DependencyError, InputError, UvgenError
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.storage.names import brief
from uvgen.storage.reading import irregular, let_go

_ROOM = 0.5  # of the longer side, added on each side of an image in which no face was found
_MOST_WITH_ROOM = 1 << 24  # pixels with it; a face that fills a larger image is large in a smaller one too


def imported(package: str, how: str) -> Any:
    """A package that a detector needs; DependencyError, which says how to install it, if it cannot be imported."""
    try:
        return import_module(package)
    except Exception as error:  # packages that were compiled for another NumPy fail in ways of their own
        why = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported ({brief(error)})"
        raise DependencyError(f"detector: {package} {why}; {how}") from error


_log_lock = threading.Lock()


@contextmanager
def native_log_without(pattern: bytes) -> Iterator[None]:
    """Hold back what native code writes to stderr within the block; print it afterward, without matches of a pattern.

    MediaPipe and TensorFlow report their start on stderr, whatever their settings: through any progress bar, and even
    if only errors are asked for. What does not match, such as the cause of a failure, is not lost.
    """
    with _log_lock, ExitStack() as stack:
        try:
            said = stack.enter_context(tempfile.TemporaryFile())
            stderr = os.dup(2)
        except OSError:  # no place for it, or no stderr
            yield
            return
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            let_go(stderr)
            said.seek(0)
            with suppress(OSError):
                os.write(2, re.sub(pattern, b"", said.read()))


def weights_file(path: Path, what: str) -> str:
    """The path of a file with weights; InputError if it is none."""
    if not path.is_file():
        found = (irregular(path.stat().st_mode) if path.exists() else None) or "not there"
        raise InputError(f"{path}: {found}, expected {what}")
    return str(path)


def with_room(
    image: NDArray[np.uint8], find: Callable[[NDArray[np.uint8]], list[NDArray[np.float64]]], mode: str
) -> list[NDArray[np.float64]]:
    """The faces that `find` finds in an image, or, if it finds none, in the image padded by its own size.

    Detectors expect background around a face, and find none in a picture that a face fills. `mode` is NumPy's
    way of padding. Large images are made smaller before: padded, a long one would have thousands of times its pixels.
    """
    check_bytes(image, "image", (-1, -1, 3))
    found = find(np.ascontiguousarray(image))
    if found:
        return found
    height, width = image.shape[:2]
    longer = max(height, width)
    factor = math.ceil(math.sqrt((height + longer) * (width + longer) / _MOST_WITH_ROOM))
    small = image if factor == 1 else _reduced(image, factor)
    room = int(_ROOM * max(small.shape[:2]))
    wide: NDArray[np.uint8] = np.pad(small, ((room, room), (room, room), (0, 0)), mode=mode)  # type: ignore[call-overload]
    return [(points - room) * factor + (factor - 1) / 2 for points in find(wide)]


def _reduced(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Means of squares of `factor` px, some rows at a time: Pillow takes eight bytes per pixel."""
    step = 64 * factor
    bands = (image[top : top + step] for top in range(0, len(image), step))
    return np.concatenate([np.asarray(Image.fromarray(band).reduce(factor)) for band in bands])


@contextmanager
def failing_with(detector: str, path: Path) -> Iterator[None]:
    """Let errors within the block name the image in which faces are looked for; UvgenError for those of a package.

    These raise what they like, such as RuntimeError if a graphics card has too little memory for a large image.
    """
    try:
        yield
    except UvgenError:
        raise
    except MemoryError as error:
        raise MemoryError(f"{path}: memory ran out while {detector} looked for faces in it") from error
    except Exception as error:
        raise UvgenError(f"{path}: {detector} failed ({type(error).__name__}: {brief(error)[:200]})") from error


def largest_first(faces: Iterable[FaceLandmarks]) -> list[FaceLandmarks]:
    """Faces sorted by size, the largest first."""
    return sorted(faces, key=lambda face: -face.extent)
