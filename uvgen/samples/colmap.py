"""Reading the cameras of a COLMAP reconstruction from its text files ``cameras.txt`` and ``images.txt``.

A line of ``cameras.txt`` is ``CAMERA_ID MODEL WIDTH HEIGHT PARAMS...``; an image has two lines in ``images.txt``,
``IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME`` and its 2D points. Rotation and translation take the reconstruction's
points to the camera's frame, x right, y down, z forward; the first pixel's center is (0.5, 0.5).
"""

from pathlib import Path

import numpy as np

from uvgen.cameras import ImageCamera
from uvgen.errors import DatasetError, InputError
from uvgen.samples.camera_files import LEAST, check_undistorted, quaternion_matrix
from uvgen.storage.names import brief, os_reason
from uvgen.storage.reading import read_file
from uvgen.storage.text import decode_text, number_of
from uvgen.wording import count

COLMAP_FILES = ("cameras.txt", "images.txt")
"""Names of the files in a reconstruction's folder."""

_MOST_BYTES = 1 << 30
_MOST = 1e9
_MODELS = {  # number of pinhole parameters, and names of the distortion coefficients that follow them
    "SIMPLE_PINHOLE": (3, ()),
    "PINHOLE": (4, ()),
    "SIMPLE_RADIAL": (3, ("k1",)),
    "RADIAL": (3, ("k1", "k2")),
    "OPENCV": (4, ("k1", "k2", "p1", "p2")),
    "FULL_OPENCV": (4, ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")),
}

Lens = tuple[tuple[float, float], tuple[float, float], tuple[int, int]]
"""Focal lengths and principal point, px (pixel centers at integers), and the image's width and height."""


def is_reconstruction(folder: Path) -> bool:
    """Whether a folder holds COLMAP's text files, or binary ones, for which `read_reconstruction` says what to do."""
    return all((folder / name).is_file() for name in COLMAP_FILES) or (folder / "images.bin").is_file()


def read_reconstruction(folder: Path) -> dict[str, ImageCamera | str]:
    """The cameras of a reconstruction.

    Parameters
    ----------
    folder : Path
        Folder of COLMAP's text files.

    Returns
    -------
    dict of str to ImageCamera or str
        The camera of each image, or the reason why it cannot be used, by the image's name in COLMAP: a path below the
        folder of its images.

    Raises
    ------
    DatasetError
        If a file is missing, cannot be read, or has a line that is not in COLMAP's format.
    """
    if not all((folder / name).is_file() for name in COLMAP_FILES):
        raise DatasetError(
            f"{folder}: a reconstruction in COLMAP's binary files, expected {' and '.join(COLMAP_FILES)}; run "
            "`colmap model_converter --output_type TXT`"
        )
    lenses = _lenses(folder / COLMAP_FILES[0])
    found = dict[str, ImageCamera | str]()
    path, of_points = folder / COLMAP_FILES[1], False
    for number, line in enumerate(_lines(path), start=1):
        if line.startswith("#") or (not of_points and not line.strip()):
            continue
        of_points = not of_points
        if not of_points:
            words = line.split()
            if len(words) % 3 or (words and not words[-1].lstrip("-").isdecimal()):  # else the next image's line
                raise DatasetError(
                    f"{path}: line {number} is {brief(line)[:60]!r}, expected the points of the image before it, X Y "
                    "POINT3D_ID each, or an empty line"
                )
            continue
        words = line.split(maxsplit=9)
        try:
            if len(words) < 10:
                raise ValueError(f"{count(len(words), 'word')}")
            numbers = _numbers(words[1:8])
        except ValueError as error:
            shown = brief(line)[:60]
            raise DatasetError(
                f"{path}: line {number} is {shown!r} ({brief(error)}), expected IMAGE_ID QW QX QY QZ TX TY TZ "
                "CAMERA_ID NAME"
            ) from error
        name = words[9].strip()
        if name in found:
            found[name] = f"{path}: line {number}: image {brief(name)} is there twice, expected one camera for it"
            continue
        lens = lenses.get(words[8], f"{path}: line {number}: camera {brief(words[8])} is not in {COLMAP_FILES[0]}")
        try:
            _check_numbers(numbers)
            found[name] = (
                lens
                if isinstance(lens, str)
                else ImageCamera("perspective", quaternion_matrix(numbers[:4]), numbers[4:], *lens)
            )
        except InputError as error:
            found[name] = f"{path}: line {number}: {error}"
    return found


def _lenses(path: Path) -> dict[str, Lens | str]:
    """The lens of each camera, or the reason why it cannot be used, by the camera's id."""
    found = dict[str, Lens | str]()
    for number, line in enumerate(_lines(path), start=1):
        if line.startswith("#") or not line.strip():
            continue
        name, *words = line.split()
        try:
            if not words:
                raise ValueError("1 word")
            model = words[0]
            values = _numbers(words[1:])
            if len(values) < 3:
                raise ValueError(f"{count(1 + len(words), 'word')}")
        except ValueError as error:
            shown = brief(line)[:60]
            raise DatasetError(
                f"{path}: line {number} is {shown!r} ({brief(error)}), expected CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]"
            ) from error
        if name in found:
            found[name] = f"{path}: line {number}: camera {brief(name)} is there twice, expected it once"
            continue
        try:
            found[name] = _lens(model, values)
        except InputError as error:
            found[name] = f"{path}: line {number}: {error}"
    return found


def _lens(model: str, values: np.ndarray) -> Lens:
    _check_numbers(values)
    if not all(1 <= side <= 1 << 20 and side == int(side) for side in values[:2]):
        raise InputError(f"{model}: an image of {values[0]:g} × {values[1]:g} px, expected whole numbers of px")
    if model not in _MODELS:
        raise InputError(
            f"a camera of model {brief(model)}, expected {', '.join(_MODELS)} without distortion; undistort the images "
            "first (COLMAP's image_undistorter)"
        )
    n, distorting = _MODELS[model]
    numbers = values[2:].tolist()
    if len(numbers) != n + len(distorting):
        raise InputError(f"{model}: {count(len(numbers), 'parameter')}, expected {n + len(distorting)}")
    for key, value in zip(distorting, numbers[n:], strict=True):
        check_undistorted(key, value)
    fx, fy, cx, cy = numbers[:4] if n == 4 else (numbers[0], *numbers[:3])
    if not min(fx, fy) >= LEAST:
        raise InputError(f"{model}: a focal length of {min(fx, fy):g}, expected {LEAST:g} or more")
    return (fx, fy), (cx - 0.5, cy - 0.5), (int(values[0]), int(values[1]))


def _numbers(words: list[str]) -> np.ndarray:
    return np.array([number_of(word) for word in words])


def _check_numbers(values: np.ndarray) -> None:
    """Raise InputError if a number is none that a camera has; unlike another line, it costs its image alone."""
    if not (np.abs(values) < _MOST).all():
        raise InputError(f"a number is NaN, infinite or above {_MOST:g}, expected those of a camera")


def _lines(path: Path) -> list[str]:
    try:
        return decode_text(read_file(path, _MOST_BYTES)).split("\n")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({os_reason(error)})") from error
    except ValueError as error:
        raise DatasetError(f"{path}: not text ({brief(error)}), expected COLMAP's format") from error
