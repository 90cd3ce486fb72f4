"""Images and parameters that a CSV or JSON file lists, in place of a ``.mat`` beside each image.

A row is an image, by its path from the list's folder, and its parameters:

- ``pitch, yaw, roll, tx, ty, tz, f`` (rad, px, px/µm: 300W-LP's `Pose_Para`), or ``pose`` with all seven;
- ``shape_0``, ``shape_1`` …, or ``shape`` with all numbers, and ``exp_0`` …, or ``exp`` or ``expression``: as many as
  the model has; these may be called as in 300W-LP's files, ``Pose_Para``, ``Shape_Para`` and ``Exp_Para``;
- or ``parameters``: the path of a ``.mat`` with 300W-LP's keys, or of a ``.npy`` with one of `VECTORS`.

In JSON, the rows are objects in a list, and several numbers are a list of them. A row that gives the same parameters
twice is refused: one of them would be taken, whichever the author meant.
"""

import hashlib
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError, InputError, ListChangedError, SampleError
from uvgen.samples.csv_rows import first_rows, scan_csv
from uvgen.samples.landmark_names import image_column, image_key, names_image
from uvgen.storage.names import brief, os_reason, printable
from uvgen.storage.npy import as_float64, read_npy_file
from uvgen.storage.plain_json import parse_json
from uvgen.storage.text import number_of, read_text
from uvgen.wording import count

POSE = ("pitch", "yaw", "roll", "tx", "ty", "tz", "f")
"""Columns of a pose, in the order of `Pose_Para`."""

_Parts = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]

VECTORS: dict[int, Callable[[NDArray[Any]], _Parts]] = {
    235: lambda vector: (vector[7:206], vector[206:], vector[:7]),  # Pose_Para, Shape_Para, Exp_Para of 300W-LP
}
"""What a ``.npy`` of so many numbers holds: shape, expression, pose (7) as `Pose_Para` has it."""

LIST_SUFFIXES = (".csv", ".json")
_WHAT = "a list of images and parameters"
_COLUMN = re.compile(r"(shape|id|exp|expression)(?:_para)?[ _-]?(\d{1,4})")
_SHAPES, _EXPRESSIONS = ("shape", "id"), ("exp", "expression")
_KNOWN = {"parameters", "pose", *POSE, *_SHAPES, *_EXPRESSIONS}
_OF_300W_LP = {"pose_para": "pose", "shape_para": "shape", "id_para": "id", "exp_para": "exp"}
_MOST_NUMBERS = 4096
_MANY_ROWS, _SHORTEST_ROW = 1_000_000, 12  # names of more images, with parameters, have more characters on average
_MOST_BYTES = 1 << 20  # of a .npy


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A row: the image and the file of parameters as they are written, and what is wrong with the row.

    `twice` says what is wrong with it besides if the file of parameters is there.
    """

    image: str
    file: str
    problem: str = ""
    twice: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ParameterList:
    """A list of images, of which single rows are read.

    Attributes
    ----------
    path : Path
        The file.
    rows : tuple of ListedRow
        In its order.
    sha256 : str
        Of its text.
    """

    path: Path
    rows: tuple[ListedRow, ...]
    sha256: str
    _values: Callable[[int], Mapping[str, Any]]

    def parameters(self, row: int, image: Path | None, sha256: str = "") -> _Parts:
        """Shape, expression and pose of a row, any length.

        SampleError if they are none. ListChangedError if the row is of another image, or gone, or the list does not
        have the SHA-256 any more that it had.
        """
        where = f"{self.path}, row {row + 1}"
        if not row < len(self.rows) or _image_of(self.rows[row], self.path) != image:
            now = f"is of {brief(self.rows[row].image)} now" if row < len(self.rows) else "is not there any more"
            raise ListChangedError(f"{where}: {now}, expected {image}; the list was changed, run the command again")
        if sha256 not in ("", self.sha256):
            raise ListChangedError(f"{self.path}: was changed after the run began; run the command again")
        values = _with_numbered(where, self._values(row))
        for names in (("pose", *POSE), _SHAPES, _EXPRESSIONS):
            given = [name for name in names if name in values]
            if len(given) > 1 and (given[0] == "pose" or names != ("pose", *POSE)):
                raise SampleError(f"{where}: {given[0]} and {given[1]} are given, expected one of them")
        pose = _numbers(where, "pose", values.get("pose"))
        if not len(pose):
            pose = np.array([_number(where, name, values.get(name)) for name in POSE])
        shape, expression = (
            next((found for name in names if len(found := _numbers(where, name, values.get(name)))), np.zeros(0))
            for names in (_SHAPES, _EXPRESSIONS)
        )
        return shape, expression, pose


def is_list(path: str | os.PathLike[str]) -> bool:
    """Whether this is a file with the suffix of a list."""
    return Path(path).suffix.lower() in LIST_SUFFIXES and not Path(path).is_dir()


def open_list(path: str | os.PathLike[str]) -> ParameterList:
    """A list's rows, read once in each process while the file does not change.

    DatasetError if it cannot be read, InputError if it is no such list or empty.
    """
    try:
        stat = Path(path).stat()
        return _open(Path(path), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: cannot be read ({os_reason(error)}), expected {_WHAT}") from error


@lru_cache(maxsize=2)
def _open(path: Path, size: int, time_ns: int) -> ParameterList:
    text = read_text(path, _WHAT)
    rows, values = (_of_json if path.suffix.lower() == ".json" else _of_csv)(path, text)
    if not rows:
        raise InputError(f"{path}: no rows, expected {_WHAT}")
    if len(rows) > _MANY_ROWS and len(text) < _SHORTEST_ROW * len(rows):  # a sample takes a hundred times as much
        each = f"{len(text) / len(rows):.1f} characters each"
        raise InputError(f"{path}: {count(len(rows), 'row')} of {each}, expected an image and its parameters in each")
    sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return ParameterList(path, rows, sha256, values)


def _of_csv(path: Path, text: str) -> tuple[tuple[ListedRow, ...], Callable[[int], Mapping[str, Any]]]:
    head: list[str] = []
    place: list[int] = []  # of the image's column

    def listed(row: list[str]) -> ListedRow:
        if not head:
            head.extend(_head(path, row))
            place.append(_image_place(path, head, first_rows(text)))
            return ListedRow("", "")
        if len(row) != len(head):
            image = row[place[0]].strip() if len(row) > place[0] else ""  # the name that it has when it is mended
            return ListedRow(image, "", f"{count(len(row), 'cell')}, expected {len(head)}")
        file = row[head.index("parameters")].strip() if "parameters" in head else ""
        return ListedRow(row[place[0]].strip(), file, twice=_twice(file, dict(zip(head, row, strict=True))))

    rows, cells_of = scan_csv(path, text, _WHAT, listed)
    if not rows:
        _head(path, [])

    def values(row: int) -> Mapping[str, Any]:
        return dict(zip(head, cells_of(1 + row), strict=False))

    return tuple(rows[1:]), values


def _is_given(value: Any) -> bool:
    """Whether a cell or a field says something."""
    return value is not None and value != [] and not (isinstance(value, str) and not value.strip())


def _is_vector(value: Any) -> bool:
    """Whether a cell or a field holds several numbers, not one alone or words."""
    items = _items(value)
    try:
        return isinstance(items, list) and len(items) > 1 and (items is value or bool([*map(number_of, items)]))
    except ValueError:
        return False


def _with_numbered(where: str, cells: Mapping[str, Any]) -> dict[str, Any]:
    """What a row gives, by name; of columns numbered one by one, their values as one list.

    SampleError if they are not numbered so, or the same parameters are in a column of their own too.
    """
    found = {name: cell for name, cell in cells.items() if name in _KNOWN and _is_given(cell)}
    if not _is_vector(found.get("id")) and any(name == "shape" or _is_numbered_shape(name) for name in cells):
        found.pop("id", None)  # a row's number, or a person
    numbered: dict[str, dict[int, Any]] = {}
    for name, cell in cells.items():
        if column := _COLUMN.fullmatch(name):
            of_name = numbered.setdefault(column[1], {})
            if of_name.setdefault(int(column[2]), cell) is not cell:  # shape_0 and shape_00 in JSON
                raise SampleError(f"{where}: {column[1]}_{int(column[2])} is there twice, expected it once")
    for name, by_number in numbered.items():
        order = sorted(by_number)
        if order != list(range(order[0], order[0] + len(order))) or order[0] > 1:
            raise SampleError(
                f"{where}: columns {name}_… are not numbered one by one, expected each from 0 or 1 up to the last"
            )
        if any(map(_is_given, by_number.values())):
            if name in found:
                raise SampleError(f"{where}: {name} and {name}_{order[0]} are given, expected one of them")
            found[name] = [by_number[k] for k in order]
    return found


def _twice(file: str, cells: Mapping[str, Any]) -> str:
    """What is wrong with a row that names a file of parameters and has a pose, a shape or an expression too.

    Single angles do not count, nor does ``id``: tables have them to sort and to count by.
    """
    given = [name for name, cell in cells.items() if _is_given(cell)] if file else []
    vectors = [name for name in given if name in ("pose", "shape", *_EXPRESSIONS) or _is_numbered(name)]
    if not vectors and set(POSE) <= set(given):
        vectors = [POSE[0]]
    return f"parameters and {brief(vectors[0])[:40]} are given, expected one of them" if vectors else ""


def _is_numbered(name: str) -> bool:
    """Whether a column holds one of the parameters of a shape or an expression."""
    column = _COLUMN.fullmatch(name)
    return column is not None and column[1] != "id"


def _is_numbered_shape(name: str) -> bool:
    """Whether a column holds one of the parameters of a shape, which may be called ``id`` too."""
    column = _COLUMN.fullmatch(name)
    return column is not None and column[1] in _SHAPES


def _image_place(path: Path, head: list[str], rows: list[list[str]]) -> int:
    """The column of the images, given the cells of rows; InputError if there is none, or several may be it."""
    try:
        place = image_column(head, rows)
    except ValueError as error:
        raise InputError(f"{path}: columns {error}") from None
    if place is None:
        raise _unknown(path, head)
    return place


def _head(path: Path, row: list[str]) -> list[str]:
    """The names of columns; InputError if they are not those of a list."""
    head = [_plain_name(cell.strip()) for cell in row]
    if not any(map(names_image, head)) or not any(cell in _KNOWN or _COLUMN.fullmatch(cell) for cell in head):
        raise _unknown(path, head)
    # shape_0 and shape_00 are one number
    names = [f"{column[1]}_{int(column[2])}" if (column := _COLUMN.fullmatch(name)) else name for name in head]
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise InputError(f"{path}: column {brief(twice[0])[:40]} is there twice, expected each once")
    return head


def _unknown(path: Path, head: list[str]) -> InputError:
    return InputError(
        f"{path}: columns {brief(', '.join(head))[:80] or 'none'}, expected image and {', '.join(POSE)}, shape_0 …, "
        "exp_0 …, or image and parameters"
    )


def _of_json(path: Path, text: str) -> tuple[tuple[ListedRow, ...], Callable[[int], Mapping[str, Any]]]:
    try:
        content = parse_json(text, nan=math.nan)  # which costs its row
    except ValueError as error:
        raise InputError(f"{path}: not readable JSON ({brief(error)}), expected {_WHAT}") from error
    if isinstance(content, dict) and len(content) == 1 and isinstance(next(iter(content.values())), list):
        (content,) = content.values()  # {"samples": [...]}
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise InputError(
            f'{path}: not a list of objects, expected [{{"image": "a.jpg", "pose": […], "shape": […]}}, …]'
        )
    entries = [entry if _is_plain(entry) else _plain(entry) for entry in content]
    rows = []
    for entry, written in zip(entries, content, strict=True):
        alike = [key for key, count in Counter(map(_plain_name, written)).items() if count > 1]
        keys, ambiguous = list(written), ""
        try:  # what is null counts: it says that there is no image
            place = image_key(keys, list(written.values()))
            image = None if place is None else written[keys[place]]
        except ValueError as error:
            image, ambiguous = next((written[key] for key in keys if names_image(key)), None), str(error)
        image = "" if image is None else image
        file = entry.get("parameters", "")
        texts = isinstance(image, str) and isinstance(file, str)
        problem = ambiguous if texts else "image or parameters is not text"
        if alike:
            problem = f"{brief(alike[0])[:40]} is there twice, in two spellings, expected it once"
        if problem:  # it has the name that it has when it is mended
            rows.append(ListedRow(image if isinstance(image, str) else "", "", problem))
        else:
            rows.append(ListedRow(image, file, twice=_twice(file, entry)))
    return tuple(rows), entries.__getitem__


def _is_plain(entry: Mapping[str, Any]) -> bool:
    """Whether `_plain` changes nothing."""
    return not any(value is None or key != _plain_name(key) for key, value in entry.items())


def _plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What an object says, by their plain names."""
    return {_plain_name(key): value for key, value in entry.items() if value is not None}


def _plain_name(name: str) -> str:
    """What a column or a key is called here: in small letters, and those of 300W-LP as ours."""
    name = name.lower()
    return _OF_300W_LP.get(name, name)


def _numbers(where: str, name: str, value: Any) -> NDArray[np.float64]:
    """Several numbers: a list, or a cell with them between blanks, commas or in brackets."""
    if value is None:
        return np.zeros(0)
    items = _items(value)
    if not isinstance(items, list) or len(items) > _MOST_NUMBERS:
        raise SampleError(f"{where}: {name} is {brief(value)[:40]}, expected numbers")
    return np.array([_number(where, name, item) for item in items])


def _items(value: Any) -> Any:
    """The parts of a cell between blanks or commas; a field as it is."""
    return re.split(r"[\s,;]+", value.strip("[]() \t")) if isinstance(value, str) else value


def _number(where: str, name: str, value: Any) -> float:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise SampleError(f"{where}: no {name}, expected a number ({', '.join(POSE)})")
    try:
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        number = number_of(value) if isinstance(value, str) else float(value) if plain else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise SampleError(f"{where}: {name} is {brief(value)[:40]!r}, expected a number")
    return number


def read_vector(path: Path) -> _Parts:
    """Shape, expression and pose of a ``.npy`` of one of `VECTORS`; SampleError if it is none."""
    expected = f"one of {', '.join(map(str, sorted(VECTORS)))} numbers"
    array = read_npy_file(path, SampleError, expected=expected, most_bytes=_MOST_BYTES)
    if array.dtype.kind == "b":
        raise SampleError(f"{path}: {array.dtype}, expected {expected}")
    if array.size and max(array.shape, default=1) != array.size:
        raise SampleError(f"{path}: a matrix of {' × '.join(map(str, array.shape))}, expected {expected}")
    vector = as_float64(array).ravel()
    if len(vector) not in VECTORS:
        raise SampleError(f"{path}: {count(len(vector), 'number')}, expected {expected}; a list with columns takes any")
    return VECTORS[len(vector)](vector)


def is_listed(image: Path, path: str | os.PathLike[str]) -> bool:
    """Whether a list names an image, however its path is written; errors as of `open_list`."""
    return os.path.abspath(image) in _images_of(open_list(path))


@lru_cache(maxsize=2)
def _images_of(rows: ParameterList) -> frozenset[str]:
    images = (_image_of(row, rows.path) for row in rows.rows)
    return frozenset(os.path.abspath(image) for image in images if image is not None)


def _image_of(row: ListedRow, path: Path) -> Path | None:
    return path.parent / row.image.replace("\\", "/") if row.image else None


def _is_file(text: str, path: Path) -> bool:
    """Whether what a row names is a file. Not of a Path, which raises for long names, and keeps its text thereafter."""
    return os.path.isfile(os.path.join(path.parent, text.replace("\\", "/")))  # noqa: PTH113


def place_of(row: ListedRow, path: Path) -> tuple[str, str, Path | None, Path | None, str]:
    """Name, subset, image, file of parameters and problem of a row, before names are made unique."""
    problem = row.problem or ("" if row.image else "no image")
    image = _image_of(row, path)
    file = path.parent / row.file.replace("\\", "/") if row.file else None
    if image is not None and not _is_file(row.image, path):
        problem = problem or f"image {brief(row.image)} is not there"
    if file is not None and file.suffix.lower() not in (".mat", ".npy"):
        problem = problem or f"parameters {brief(row.file)}, expected a .mat or .npy"
    if file is not None and not _is_file(row.file, path):
        # Perhaps their folder is not there either: then it did not vanish, which would end the whole run.
        problem = problem or f"parameters {brief(row.file)} are not there"
    problem = problem or row.twice
    plain = PurePosixPath(os.path.normpath(row.image.replace("\\", "/")))
    parts = [part for part in plain.parts if part not in ("..", plain.anchor)]
    subset = printable(parts[-2]) if len(parts) > 1 else printable(path.stem)
    stem, _, suffix = parts[-1].rpartition(".") if parts else ("", "", "")
    if stem.strip(".") and suffix:  # Path's own suffix of "..jpg" is another in each version of Python
        parts[-1] = stem
    name = printable("/".join(parts)) if parts and parts[-1] != "." else "row"
    return name, sys.intern(subset), image, file, problem
