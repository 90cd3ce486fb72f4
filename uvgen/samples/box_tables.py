"""A CSV of face boxes for many images, as detectors give them: a row per face.

Columns by their names, in any order: the image's (image, file, name …), and left, top, right, bottom, or x, y, width,
height; px, the first pixel's center being 0.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from uvgen.checks import FARTHEST_PX
from uvgen.errors import InputError
from uvgen.samples.csv_rows import first_rows, scan_csv
from uvgen.samples.landmark_names import image_column
from uvgen.samples.landmark_rows import RowFace, size_keys, size_of_row
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.samples.landmark_tables import LandmarkTable
from uvgen.storage.names import brief, os_reason
from uvgen.storage.text import number_of, read_text
from uvgen.wording import count

_WHAT = "a CSV with columns image, left, top, right, bottom (or image, x, y, width, height)"
_CORNERS, _SIDES = ("left", "top", "right", "bottom"), ("x", "y", "width", "height")


def read_boxes(path: Path) -> LandmarkTable:
    """The boxes in a file, found by image as landmarks are.

    Parameters
    ----------
    path : Path
        It is not trusted.

    Returns
    -------
    LandmarkTable
        Of faces with a `box`, of scheme "box": their points are the box's upper left and lower right corner.

    Raises
    ------
    InputError
        If it cannot be read, or has other columns or no rows. A row whose box is none is its image's error alone.
    """
    try:
        text = read_text(path, _WHAT)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({os_reason(error)}), expected {_WHAT}") from error
    columns: list[_Columns] = []

    def name_of(row: list[str]) -> str:
        if not columns:
            columns.append(_columns(path, row, first_rows(text)))
        return row[columns[0].image].strip() if len(row) > columns[0].image else ""

    names, cells_of = scan_csv(path, text, _WHAT, name_of)
    if not columns:
        raise InputError(f"{path}: columns none, expected {_WHAT}")
    table = _Boxes(path, cells_of, columns[0])
    if not any(itertools.islice(names, 1, None)):
        raise InputError(f"{path}: no rows, expected {_WHAT}")
    return LandmarkTable(path, ((name, RowFace(table.face, row)) for row, name in enumerate(names) if row and name))


class _Columns(NamedTuple):
    """Which column names the image, those of the box's numbers, how many columns there are, whether the numbers are x,
    y, width, height, and which columns may be the image's width and height."""

    image: int
    places: list[int]
    n: int
    has_sides: bool
    size: tuple[tuple[int, str], ...]


def _columns(path: Path, row: Sequence[str], rows: Sequence[Sequence[str]]) -> _Columns:
    """What the first row says, given the cells of those after it."""
    header = [cell.strip().lower() for cell in row]
    try:
        image = image_column(header, rows)
    except ValueError as error:
        raise InputError(f"{path}: columns {error}") from None
    numbers = next((names for names in (_CORNERS, _SIDES) if set(names) <= set(header)), None)
    if image is None or numbers is None:
        raise InputError(f"{path}: columns {brief(', '.join(header))[:80] or 'none'}, expected {_WHAT}")
    if twice := [name for name in numbers if header.count(name) > 1]:
        raise InputError(f"{path}: column {twice[0]} is there twice, expected each once; leave one out")
    if set(_CORNERS) | set(_SIDES) <= set(header):
        raise InputError(
            f"{path}: columns {', '.join(_CORNERS)} and {', '.join(_SIDES)}, which are two boxes, expected one; leave "
            "the other out"
        )
    size = tuple((k, header[k]) for k in size_keys(header) or ())
    return _Columns(image, [header.index(name) for name in numbers], len(header), numbers == _SIDES, size)


class _Boxes(NamedTuple):
    """A table whose rows are read when they are asked for."""

    path: Path
    cells_of: Callable[[int], list[str]]
    columns: _Columns

    def face(self, row: int) -> FaceLandmarks:
        """The box of a row."""
        return _face(f"{self.path}, row {row + 1}", self.cells_of(row), self.columns)


def _face(source: str, row: Sequence[str], columns: _Columns) -> FaceLandmarks:
    if any(cell.strip() for cell in row[columns.n :]):  # of 1,5 for 1.5, say: all that follow it are not theirs
        raise InputError(
            f"{source}: {count(len(row), 'cell')}, expected {columns.n} as in the first line; write 1.5, not 1,5"
        )
    cells = [row[k].strip() if len(row) > k else "" for k in columns.places]
    try:
        values = [number_of(cell) for cell in cells]
    except ValueError:
        raise InputError(f"{source}: {brief(', '.join(cells))[:60]}, expected four numbers") from None
    if columns.has_sides:
        values[2:] = [values[0] + values[2], values[1] + values[3]]
    left, top, right, bottom = values
    if not all(map(math.isfinite, values)) or max(map(abs, values)) > FARTHEST_PX or right <= left or bottom <= top:
        raise InputError(f"{source}: a box from ({left:g}, {top:g}) to ({right:g}, {bottom:g}), expected a face's, px")
    points = np.array([[left, top], [right, bottom]])
    box = np.array([left, top, right - left, bottom - top])
    return FaceLandmarks(points, None, "box", box, source, size_of_row(row, columns.size, points))
