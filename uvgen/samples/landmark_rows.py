"""Landmarks of many images as rows of text: CSV files with or without a header, and WFLW's lists.

`landmark_tables.py` says what each holds.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.samples.csv_rows import first_rows, scan_csv
from uvgen.samples.landmark_names import image_column, names_image, names_no_picture, plain_column
from uvgen.samples.landmark_schemes import SCHEMES, FaceLandmarks, face_of, given_scores
from uvgen.storage.names import brief
from uvgen.storage.text import number_of
from uvgen.wording import count

Entry = tuple[str, Callable[[], FaceLandmarks] | None]
"""The name of an image in a file, and what reads one of its faces; None if the file names it and has no face of it."""

_MOST_CELLS = 4096  # of a row
_VAGUE_SIDES = ("width", "height")
_SIDES = (("imagewidth", "imageheight"), ("imgwidth", "imgheight"), _VAGUE_SIDES)  # of an image
_MOST_PX = 1e9
_NEAR_PX = 2  # of a box's size, or an image's edge
_COLUMN = re.compile(
    r"(.*[^a-z0-9])?(?:(x|y|score|s|conf|confidence|v)[ _-]?(\d{1,4})|(\d{1,4})[ _-](x|y|score|s|v))", re.ASCII
)


def image_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height that a table states of an image, px; None if it does not, as where it has 0."""
    stated = [int(v) if isinstance(v, str) and v.isascii() and v.isdecimal() and len(v) < 10 else v
              for v in (width, height)]  # fmt: skip
    whole = [int(v) for v in stated if isinstance(v, int | float) and 0 < v < _MOST_PX and v == int(v)]
    return (whole[0], whole[1]) if len(whole) == 2 else None


def size_keys(names: Sequence[str]) -> tuple[int, int] | None:
    """Which of a table's columns, or of an object's keys, may state the image's width and height; None if none do.

    Width and height beside x and y, or beside left and top alone, are a box's.
    """
    plain = [plain_column(name) for name in names]
    is_box = {"x", "y"} <= {*plain} or ({"left", "top"} <= {*plain} and "right" not in plain)
    for sides in _SIDES:
        if all(plain.count(side) == 1 for side in sides) and not (sides == _VAGUE_SIDES and is_box):
            return plain.index(sides[0]), plain.index(sides[1])
    return None


def size_of_image(name: str, sides: Sequence[Any], points: NDArray[np.float64]) -> tuple[int, int] | None:
    """The image's size that a table states for a face's points (n, 2), the width under a name; None if it does not.

    What is called width and height alone may be of a box: of one whose corners are the points. Points beyond it are
    not in an image of this size.
    """
    size = image_size(*sides)
    if size is None or plain_column(name) != _VAGUE_SIDES[0]:
        return size
    marked = points[np.isfinite(points).all(axis=1)]
    extent, far = np.ptp(marked, axis=0) if len(marked) else size, marked.max(axis=0, initial=0)
    if (np.abs(extent - np.array(size)) <= _NEAR_PX).all() or (far > np.add(size, _NEAR_PX)).any():
        return None
    return size


def csv_entries(path: Path, text: str) -> Iterator[Entry]:
    """Landmarks of images from a table with a header; InputError if its columns do not say what they are."""
    columns: list[_Columns] = []
    faceless = set[int]()
    number = itertools.count()

    def name_of(row: list[str]) -> str:
        if not columns:
            columns.append(_columns(path, row, first_rows(text)))
        image, success = columns[0].image, columns[0].success
        k = next(number)
        if len(row) > success >= 0 and row[success].strip() in ("0", "0.0"):
            faceless.add(k)
        return row[image] if len(row) > image else "?"

    names, cells_of = scan_csv(path, text, "image, x_0, y_0, x_1, y_1 …", name_of)
    if columns:
        face = _Csv(path, cells_of, columns[0]).face
        for row in range(columns[0].first, len(names)):
            yield names[row], None if row in faceless else RowFace(face, row)


class _Columns(NamedTuple):
    """Where a CSV's first face is, which column names the image, and those of each point's x, y and score (or -1)."""

    first: int
    image: int
    points: list[list[int]] | None  # None: x, y after the image
    n: int = 0  # how many columns the header has
    success: int = -1  # OpenFace's, of which a 0 says that it found no face
    size: tuple[tuple[int, str], ...] = ()  # columns that may be the image's width and height, and their names


def _columns(path: Path, row: list[str], rows: list[list[str]]) -> _Columns:
    """What the first row says, which may be a face already, given the cells of those after it."""
    if len(row) > 1 and all(_is_number(cell) for cell in row[1:]):
        return _Columns(0, 0, None)
    sets: dict[str, dict[tuple[str, int], int]] = {}
    seen: dict[tuple[str, str | int, str, bool], str] = {}
    twice: dict[str, str] = {}  # of each set, a column that says the same as another one
    for k, cell in enumerate(row):
        if found := _COLUMN.fullmatch(cell.strip().lower()):
            kind, number = (found[2], found[3]) if found[2] else (found[5], found[4])
            key = kind[0] if kind[0] in "xy" else "score", int(number)
            prefix, says = found[1] or "", kind if key[0] == "score" else key[0]
            columns = sets.setdefault(prefix, {})
            if (first := seen.setdefault((prefix, key[1], says, cell.islower()), cell)) is not cell:
                twice.setdefault(prefix, first)
            if key not in columns or (cell.islower() and not row[columns[key]].islower()):  # OpenFace: X_0 in mm
                columns[key] = k
    paired = {prefix: sorted(n for kind, n in columns if kind == "x" and ("y", n) in columns)
              for prefix, columns in sets.items()}  # fmt: skip
    paired = {prefix: order for prefix, order in paired.items() if order}
    if "" not in paired and len(paired) > 1:  # of eyes, say, beside a face's
        paired = {prefix: order for prefix, order in paired.items() if len(order) in SCHEMES}
    shown = brief(", ".join(row))[:80]
    unknown = InputError(f"{path}: columns {shown}, expected image, x_0, y_0, x_1, y_1 … in the first line")
    if not paired:
        raise unknown
    if "" not in paired and len(paired) > 1:
        shown = " and ".join(f"{brief(prefix)[:40]}x_…" for prefix in list(paired)[:2])
        raise InputError(f"{path}: columns {shown} are of several faces or sets, expected one; leave the others out")
    prefix = "" if "" in paired else next(iter(paired))
    images = [cell.strip().lower() for cell in row if names_image(cell)]
    if double := twice.get(prefix) or next((name for name, n in Counter(images).items() if n > 1), None):
        raise InputError(f"{path}: column {brief(double)[:40]} is there twice, expected each once; leave one out")
    try:
        image = image_column(row, rows)
    except ValueError as error:
        raise InputError(f"{path}: columns {error}") from None
    if image is None:
        raise unknown
    if row[image].strip().lower() == "frame" and _are_numbers_of_frames(row, rows[0] if rows else [], image):
        raise InputError(
            f"{path}: column frame has the frames' numbers, which are no names of images; expected a column image"
        )
    columns, order = sets[prefix], paired[prefix]
    if order != list(range(order[0], order[0] + len(order))) or order[0] > 1:
        raise InputError(f"{path}: columns x_… are not numbered one by one from 0 or 1, expected all points of a face")
    points = [[columns.get((kind, k), -1) for kind in ("x", "y", "score")] for k in order]
    scored = [three[2] >= 0 for three in points]
    if len(scored) > sum(scored) >= len(scored) / 2:  # fewer are of something else: of emotions, say
        raise InputError(
            f"{path}: columns of scores for {sum(scored)} of {count(len(points), 'point')}, expected one for each, or "
            "none"
        )
    success = next((k for k, cell in enumerate(row) if cell.strip().lower() == "success"), -1)
    size = tuple((k, row[k]) for k in size_keys(row) or ())
    return _Columns(1, image, points, len(row), success, size)


def _are_numbers_of_frames(row: list[str], second: list[str], image: int) -> bool:
    """Whether a column "frame" says which of a video, or of a list, as OpenFace's does, of a folder of images too."""
    if any(cell.strip().lower() == "timestamp" for cell in row):
        return True
    return image < len(second) and _is_number(second[image]) and any(map(names_no_picture, second))


class _Csv(NamedTuple):
    """A table whose rows are read when they are asked for."""

    path: Path
    cells_of: Callable[[int], list[str]]
    columns: _Columns

    def face(self, row: int) -> FaceLandmarks:
        """The face of a row."""
        cells, columns, source = self.cells_of(row), self.columns, f"{self.path}, row {row + 1}"
        if len(cells) > _MOST_CELLS:
            raise InputError(f"{source}: {count(len(cells), 'cell')}, expected {_MOST_CELLS} at most")
        if columns.points is None:
            if len(cells) % 2 == 0:
                raise InputError(f"{source}: {len(cells) - 1} numbers after the image, expected x and y of each point")
            values = [number_of_cell(source, cell) for cell in cells[1:]]
            return face_of(np.reshape(values, (-1, 2)), None, source)
        most = max(k for three in columns.points for k in three)
        if len(cells) <= most:
            raise InputError(f"{source}: {count(len(cells), 'cell')}, expected {most + 1}; is it cut short?")
        if any(cell.strip() for cell in cells[columns.n :]):  # of 1,5 for 1.5, say: all that follow it are not theirs
            raise InputError(
                f"{source}: {count(len(cells), 'cell')}, expected {columns.n} as in the first line; quote cells with a "
                "comma in them, and write 1.5, not 1,5"
            )
        points = [[number_of_cell(source, cells[k]) for k in three[:2]] for three in columns.points]
        scored = all(three[2] >= 0 for three in columns.points)
        stated = [number_of_cell(source, cells[three[2]]) for three in columns.points] if scored else None
        scores = None if stated is None else given_scores(np.array(stated), source)
        return face_of(points, scores, source, image_size=size_of_row(cells, columns.size, np.array(points)))


def size_of_row(
    cells: Sequence[str], columns: Sequence[tuple[int, str]], points: NDArray[np.float64]
) -> tuple[int, int] | None:
    """The image's size that a row states, in columns that may be its width and height; None if it does not."""
    sides = [cells[k].strip() if len(cells) > k else "" for k, _ in columns]
    if not columns or not all(map(_is_number, sides)):
        return None
    return size_of_image(columns[0][1], [number_of(side) for side in sides], points)


class RowFace:
    """What reads the face in a row of a table: its number, and no more, since there are millions of them."""

    __slots__ = ("_face", "_row")

    def __init__(self, face: Callable[[int], FaceLandmarks], row: int) -> None:
        self._face, self._row = face, row

    def __call__(self) -> FaceLandmarks:
        return self._face(self._row)


def _is_number(cell: str) -> bool:
    try:
        number_of(cell)
    except ValueError:
        return False
    return True


def number_of_cell(source: str, cell: str) -> float:
    """The number in a cell, NaN if it is empty."""
    if not cell.strip():
        return math.nan
    try:
        return number_of(cell)
    except ValueError:
        raise InputError(f"{source}: {brief(cell)[:40]!r}, expected a number") from None


def wflw_entries(path: Path, text: str) -> Iterator[Entry]:
    """Landmarks of images from a list like WFLW's, a face per line; InputError if a line has other numbers."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        words = line.split(maxsplit=206)
        if len(words) not in (197, 201, 207) or not all(_is_number(word) for word in words[:-1]):
            raise InputError(
                f"{path}, line {number}: {count(len(words), 'word')}, expected WFLW's 196 coordinates, box, "
                "attributes and image; files of single images belong into a folder"
            )

        def read(words: list[str] = words, number: int = number) -> FaceLandmarks:
            values = [float(word) for word in words[:-1]]
            box = None if len(values) < 200 else np.array(values[196:200]) - [0, 0, *values[196:198]]
            return face_of(np.reshape(values[:196], (-1, 2)), None, f"{path}, line {number}", box=box)

        yield words[-1], read
