"""Files of the 68 landmarks of a scan, in three dimensions, in its frame and unit; a landmark may be missing.

| file | holds |
| --- | --- |
| ``NAME.landmarks.npy`` | (68, 3) numbers, NaN for a landmark that is not marked |
| ``NAME.landmarks.txt`` | 68 lines ``x y z``, or ``nan nan nan``; # begins a comment |
| ``NAME.landmarks.json`` | a list of 68 times ``[x, y, z]`` or ``null``, also under ``"landmarks"`` |
| ``NAME.landmarks.pp`` | MeshLab's picked points: 68 in order, or fewer whose names are their numbers, from 0 |

In a folder of their own they may be called ``NAME.npy`` and so on. NAME is the scan's; where there is no such file, it
is the scan's in capitals or in small letters, or with accents written otherwise.
"""

import errno
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.storage.names import brief, ends_of_path, os_reason, printable, spellings
from uvgen.storage.npy import as_float64, read_npy_file
from uvgen.storage.plain_json import parse_json
from uvgen.storage.text import number_of, read_text
from uvgen.wording import count

MARK = ".landmarks"
"""What stands in such a file's name before its suffix."""

_MOST_BYTES = 1 << 24
_FARTHEST = 1e12
_EXPECTED = "68 landmarks of x, y and z"
_NUMBERS = [str(k) for k in range(68)]
_NUMBERED = re.compile("([^0-9]*)([0-9]{1,5})([^0-9]*)")  # a name with one number in it


def is_landmark_file(path: Path) -> bool:
    """Whether a file beside scans is called as one of landmarks."""
    return path.stem.lower().endswith(MARK) and path.suffix.lower() in READERS


def landmark_files(scan: Path, folder: Path | None = None) -> list[Path]:
    """The files that may have a scan's landmarks, beside it or in a folder, also in folders there that are called as
    the scan's; none or one, or two of which one is wrong."""
    endings, places = [f"{MARK}{suffix}" for suffix in READERS], [scan.parent]
    if folder is not None:
        endings += READERS
        places = [*(folder / end for end in ends_of_path(os.path.abspath(scan.parent))), folder]
    capitals = [ending.upper() for ending in endings]
    for place in places:
        for stem in _cases(scan.stem):
            for names in ([f"{stem}{end}" for end in some] for some in (endings, capitals)):
                if files := [place / name for name in names if _is_there(place / name, scan)]:
                    return files
    return []


def _cases(stem: str) -> list[str]:
    """A name, then others that may mean the same."""
    accents = spellings(stem)
    return list(dict.fromkeys([*accents, *(case(one) for case in (str.lower, str.upper) for one in accents)]))


def _is_there(path: Path, scan: Path) -> bool:
    """Whether there is such a file, and it is not the scan itself, however that is written."""
    try:
        is_there = path.is_file() or (path.is_symlink() and not path.exists())  # of a lost link, reading says so
        return is_there and str(path).casefold() != str(scan).casefold()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # the scan's own name leaves no place for the ending
            return False
        raise


def landmark_file(scan: Path, folder: Path | None = None) -> Path | None:
    """The one of `landmark_files`; None if there is none.

    Raises
    ------
    InputError
        If there are two.
    """
    files = landmark_files(scan, folder)
    if len(files) > 1:
        raise InputError(f"{scan}: two files of landmarks, {files[0]} and {files[1].name}, expected one; remove one")
    return files[0] if files else None


def missing_landmarks(scan: Path, folder: Path | None) -> str:
    """What to say if there is none."""
    kinds = ", ".join(READERS)
    return f"{scan}: no landmarks in {folder or scan.parent}, expected {printable(scan.stem)}{MARK} with one of {kinds}"


def read_scan_landmarks(path: Path) -> NDArray[np.float64]:
    """The landmarks in a file.

    Parameters
    ----------
    path : Path
        See this file's table; it is not trusted.

    Returns
    -------
    (68, 3) float64
        NaN where not marked.

    Raises
    ------
    InputError
        If it cannot be read, or holds something else.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: a name that ends in {path.suffix or 'nothing'}, expected {', '.join(READERS)}")
    try:
        points = reader(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({os_reason(error)})") from error
    if points.shape != (68, 3):
        raise InputError(f"{path}: {points.shape} numbers, expected {_EXPECTED}")
    points[~(np.abs(points) < _FARTHEST).all(axis=1)] = np.nan  # NaN, infinity and the like are no places
    return points


def _npy(path: Path) -> NDArray[np.float64]:
    array = read_npy_file(path, InputError, most_bytes=_MOST_BYTES, expected=_EXPECTED)
    if array.dtype.kind == "b":
        raise InputError(f"{path}: {array.dtype}, expected {_EXPECTED}")
    return as_float64(array)


def _txt(path: Path) -> NDArray[np.float64]:
    rows = []
    for number, line in enumerate(read_text(path, _EXPECTED, most_bytes=_MOST_BYTES).split("\n"), start=1):
        words = line.split("#")[0].replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        try:
            rows.append([number_of(word) for word in words])
        except ValueError:
            rows.append([])
        if len(rows[-1]) != 3:
            raise InputError(f"{path}, line {number}: {brief(line.strip())[:60]!r}, expected x y z")
    return np.array(rows, np.float64).reshape(-1, 3)


def _json(path: Path) -> NDArray[np.float64]:
    try:
        content: Any = parse_json(read_text(path, _EXPECTED, most_bytes=_MOST_BYTES))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: not readable JSON ({brief(error)}), expected {_EXPECTED}") from error
    points = content.get("landmarks") if isinstance(content, dict) else content
    if not isinstance(points, list):
        raise InputError(f"{path}: not a list of points, expected {_EXPECTED}, or of null where one is not marked")
    rows = []
    for number, point in enumerate(points):
        row = [None] * 3 if point is None else point
        if not isinstance(row, list) or len(row) != 3 or not all(type(x) in (int, float, type(None)) for x in row):
            raise InputError(f"{path}: point {number} is {brief(point)[:40]}, expected [x, y, z] or null")
        rows.append([np.nan if x is None else float(x) for x in row])
    return np.array(rows, np.float64).reshape(-1, 3)


def _picked(path: Path) -> NDArray[np.float64]:
    text = read_text(path, "MeshLab's picked points", most_bytes=_MOST_BYTES)
    if text.startswith("<?xml"):
        text = text.partition("?>")[2]
    text = text.replace("<!DOCTYPE PickedPoints>", "")
    if "<!" in text.replace("<!--", ""):  # a document type can make a few lines of text fill the memory
        raise InputError(f"{path}: declares a document type or entities, expected MeshLab's picked points")
    try:
        found = list(ElementTree.fromstring(text.encode()).iter("point"))
        rows = [
            [number_of(point.get(axis, "")) if point.get("active") != "0" else np.nan for axis in "xyz"]
            for point in found
        ]
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{path}: not readable as picked points ({brief(error)}), expected MeshLab's") from error
    names = [point.get("name", "") for point in found]
    points = np.full((68, 3), np.nan)
    if len(rows) == 68:
        if ends := _out_of_order(names):
            raise InputError(
                f"{path}: points named {ends[0]} to {ends[1]} in another order, expected the order of their names"
            )
        points[:] = rows
    elif len(set(names)) == len(names) and set(names) <= set(_NUMBERS):
        for name, row in zip(names, rows, strict=True):
            points[int(name)] = row
    else:
        raise InputError(
            f"{path}: {count(len(rows), 'point')}, expected 68 in order, or fewer named by their numbers, 0 to 67"
        )
    return points


def _out_of_order(names: list[str]) -> tuple[str, str] | None:
    """The first and last of 68 names by the numbers in them, if these are the landmarks', and in another order.

    They may be others, such as those of vertices, or be counted anew in each part of the face ("brow 1", "eye 1").
    """
    parts = [found.groups() for name in names if (found := _NUMBERED.fullmatch(name))]
    numbers = [int(number) for _, number, _ in parts]
    if len(numbers) < 68 or numbers == sorted(numbers) or max(numbers) - min(numbers) > 68:
        return None
    if len(set(numbers)) < 68 and len({(before, after) for before, _, after in parts}) > 1:
        return None
    return names[numbers.index(min(numbers))], names[numbers.index(max(numbers))]


READERS: dict[str, Callable[[Path], NDArray[np.float64]]] = {
    ".npy": _npy, ".txt": _txt, ".json": _json, ".pp": _picked,
}  # fmt: skip
"""Readers by suffix."""
