"""One file of landmarks for many images: CSV, JSON, CVAT's XML, WFLW's lists.

| file | holds | first pixel |
| --- | --- | --- |
| CSV | a row per face; with a header: the image's column, ``x_0``, ``y_0`` … (also ``x1``, ``0_x``, ``score_0``); \
without: image, x, y, x, y … | 0 |
| COCO | `images` and `annotations` with `keypoints` x, y, v: v = 0 is unmarked, 1 occluded (score 0.5), 2 visible | 0 |
| CVAT for images 1.1 | XML, `<points>` or `<skeleton>` in `<image>`; points that are `outside` are unmarked | 0.5 |
| CVAT's Datumaro | JSON, `items` with `annotations` of type points or skeleton | 0.5 |
| plain JSON | ``{"a.jpg": [[x, y], …]}`` or ``[{"image": "a.jpg", "landmarks": [[x, y], …], "scores": […]}]`` | 0 |
| WFLW | lines of 196 coordinates, 4 of a box, 6 attributes, image | 0 |

CVAT's canvas begins at the upper left corner of the first pixel: its center is (0.5, 0.5).
An image is found by its path's end: the entry that shares most folders with it, whatever its suffix.
"""

import codecs
import math
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from uvgen.errors import InputError
from uvgen.samples.csv_rows import scan_csv
from uvgen.samples.landmark_schemes import SCHEMES, FaceLandmarks, face_of
from uvgen.storage.names import brief, printable
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import read_file
from uvgen.storage.text import MOST_BYTES, decode_text, number_of, read_text

_MOST_CELLS = 4096  # of a row
_IMAGE_COLUMNS = ("image", "imagename", "imagepath", "filename", "filepath", "file", "path", "name", "img", "frame")
_COLUMN = re.compile(
    r"(.*[^a-z0-9])?(?:(x|y|score|s|conf|confidence|v)[ _-]?(\d{1,4})|(\d{1,4})[ _-](x|y|score|s|v))", re.ASCII
)
_CVAT_CENTER = 0.5
_MOST_PX = 1e9
_OCCLUDED = 0.5
_Entry = tuple[str, Callable[[], FaceLandmarks]]


def names_image(column: str) -> bool:
    """Whether a table's column, or an object's key, is the one that names an image."""
    return column.strip().lower().replace("_", "").replace(" ", "") in _IMAGE_COLUMNS


class LandmarkTable:
    """What a file says of many images, each row read when it is asked for."""

    def __init__(self, path: Path, entries: Sequence[_Entry]) -> None:
        self.path = path
        self._by_stem: dict[str, list[tuple[tuple[str, ...], _Entry]]] = {}
        for entry in entries:
            parts = _parts(entry[0])
            self._by_stem.setdefault(parts[-1], []).append((parts, entry))
        self.n_entries = len(entries)

    def has_image(self, image: Path) -> bool:
        """Whether it has an entry of an image."""
        return _parts(image.as_posix())[-1] in self._by_stem

    def claim(self, image: Path) -> tuple[str, int] | None:
        """The entry that is an image's, as text, and how many parts of their paths they share; None without one."""
        best = self._best(image)
        return ("/".join(best[0][1]), best[0][0]) if best and len({found for _, found, _ in best}) == 1 else None

    def _best(self, image: Path) -> list[tuple[int, tuple[str, ...], _Entry]]:
        """The entries that share most with an image's path: those of its own suffix, where there are some."""
        parts = _parts(image.as_posix())
        there = [(_common(parts, found), found, entry) for found, entry in self._by_stem.get(parts[-1], [])]
        most = max((n for n, *_ in there), default=0)
        best = [one for one in there if one[0] == most]
        return [one for one in best if _suffix(one[2][0]) == image.suffix.lower()] or best

    def of_image(self, image: Path) -> list[FaceLandmarks] | str:
        """The faces of an image, largest first, or what is wrong."""
        best = self._best(image)
        if not best:
            return f"{image}: not among the images of {self.path}, expected {printable(image.name)} in it"
        if len({(found, _suffix(entry[0])) for _, found, entry in best}) > 1:
            names = " and ".join(sorted({entry[0].strip() for _, _, entry in best})[:2])
            return f"{image}: {self.path} has {brief(names)}, expected one image of that name; name their folders"
        try:
            faces = [entry[1]() for _, _, entry in best]
        except InputError as error:
            return f"{error} (landmarks of {image})"
        except (LookupError, TypeError, AttributeError, ValueError) as error:  # of JSON with another layout in it
            return f"{self.path}: an entry of another layout ({brief(error)[:80]}), expected points (of {image})"
        return sorted(faces, key=lambda face: -face.extent)


def _parts(name: str) -> tuple[str, ...]:
    """A path's parts, the last without its suffix, whatever system wrote it."""
    parts = [part for part in name.strip().replace("\\", "/").split("/") if part not in ("", ".")]
    return (*parts[:-1], os.path.splitext(parts[-1])[0]) if parts else ("?",)


def _suffix(name: str) -> str:
    return os.path.splitext(name.strip())[1].lower()


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """How many parts two paths share at their ends."""
    n = 0
    while n < min(len(a), len(b)) and a[-1 - n] == b[-1 - n]:
        n += 1
    return n


def read_table(path: Path) -> LandmarkTable:
    """The table in a file.

    Parameters
    ----------
    path : Path
        One of `TABLES` by its suffix; it is not trusted.

    Returns
    -------
    LandmarkTable
        Rows that are wrong are reported for their images.

    Raises
    ------
    InputError
        Where the file cannot be read, is of no known layout or has no entry.
    """
    try:
        text = _xml_text(path) if path.suffix.lower() == ".xml" else read_text(path, "a table of landmarks")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or brief(error)})") from error
    entries = list(TABLES[path.suffix.lower()](path, text))
    if not entries:
        raise InputError(f"{path}: no faces in it, expected landmarks of images")
    return LandmarkTable(path, entries)


def _csv(path: Path, text: str) -> Iterator[_Entry]:
    columns: list[_Columns] = []

    def name_of(row: list[str]) -> str:
        if not columns:
            columns.append(_columns(path, row))
        image = columns[0].image
        return row[image] if len(row) > image else "?"

    names, cells_of = scan_csv(path, text, "image, x_0, y_0, x_1, y_1 …", name_of)
    for row in range(columns[0].first if columns else 0, len(names)):
        yield names[row], _csv_reader(f"{path}, row {row + 1}", cells_of, row, columns[0])


class _Columns(NamedTuple):
    """Where a CSV's first face is, which column names the image, and those of each point's x, y and score (or -1)."""

    first: int
    image: int
    points: list[list[int]] | None  # None: x, y after the image


def _columns(path: Path, row: list[str]) -> _Columns:
    """What the first row says, which may be a face already."""
    if len(row) > 1 and all(_is_number(cell) for cell in row[1:]):
        return _Columns(0, 0, None)
    sets: dict[str, dict[tuple[str, int], int]] = {}
    for k, cell in enumerate(row):
        if found := _COLUMN.fullmatch(cell.strip().lower()):
            kind, number = (found[2], found[3]) if found[2] else (found[5], found[4])
            key = kind[0] if kind[0] in "xy" else "score", int(number)
            columns = sets.setdefault(found[1] or "", {})
            if key not in columns or (cell.islower() and not row[columns[key]].islower()):  # OpenFace: X_0 in mm
                columns[key] = k
    names = [k for k, cell in enumerate(row) if names_image(cell)]
    paired = {prefix: sorted(n for kind, n in columns if kind == "x" and ("y", n) in columns)
              for prefix, columns in sets.items()}  # fmt: skip
    paired = {prefix: order for prefix, order in paired.items() if order}
    if "" not in paired and len(paired) > 1:  # of eyes, say, beside a face's
        paired = {prefix: order for prefix, order in paired.items() if len(order) in SCHEMES}
    if not names or not paired:
        shown = brief(", ".join(row))[:80]
        raise InputError(f"{path}: columns {shown}, expected image, x_0, y_0, x_1, y_1 … in the first line")
    if "" not in paired and len(paired) > 1:
        shown = " and ".join(f"{brief(prefix)[:40]}x_…" for prefix in list(paired)[:2])
        raise InputError(f"{path}: columns {shown} are of several faces or sets, expected one; leave the others out")
    prefix = "" if "" in paired else next(iter(paired))
    columns, order = sets[prefix], paired[prefix]
    if order != list(range(order[0], order[0] + len(order))) or order[0] > 1:
        raise InputError(f"{path}: columns x_… are not numbered one by one from 0 or 1, expected all points of a face")
    return _Columns(1, names[0], [[columns.get((kind, k), -1) for kind in ("x", "y", "score")] for k in order])


def _csv_reader(
    source: str, cells_of: Callable[[int], list[str]], row: int, columns: _Columns
) -> Callable[[], FaceLandmarks]:
    def read() -> FaceLandmarks:
        cells = cells_of(row)
        if len(cells) > _MOST_CELLS:
            raise InputError(f"{source}: {len(cells)} cells, expected {_MOST_CELLS} at most")
        if columns.points is None:
            if len(cells) % 2 == 0:
                raise InputError(f"{source}: {len(cells) - 1} numbers after the image, expected x and y of each point")
            values = [_number(source, cell) for cell in cells[1:]]
            return face_of(np.reshape(values, (-1, 2)), None, source)
        most = max(k for three in columns.points for k in three)
        if len(cells) <= most:
            raise InputError(f"{source}: {len(cells)} cells, expected {most + 1}; is it cut short?")
        points = [[_number(source, cells[k]) for k in three[:2]] for three in columns.points]
        scored = all(three[2] >= 0 for three in columns.points)
        scores = [_number(source, cells[three[2]]) for three in columns.points] if scored else None
        return face_of(points, scores, source)

    return read


def _is_number(cell: str) -> bool:
    try:
        number_of(cell)
    except ValueError:
        return False
    return True


def _number(source: str, cell: str) -> float:
    if not cell.strip():
        return math.nan
    try:
        return number_of(cell)
    except ValueError:
        raise InputError(f"{source}: {brief(cell)[:40]!r}, expected a number") from None


def _wflw(path: Path, text: str) -> Iterator[_Entry]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        words = line.split(maxsplit=206)
        if len(words) not in (197, 201, 207) or not all(_is_number(word) for word in words[:-1]):
            raise InputError(
                f"{path}, line {number}: {len(words)} words, expected WFLW's 196 coordinates, box, attributes and "
                "image; files of single images belong into a folder"
            )

        def read(words: list[str] = words, number: int = number) -> FaceLandmarks:
            values = [float(word) for word in words[:-1]]
            box = None if len(values) < 200 else np.array(values[196:200]) - [0, 0, *values[196:198]]
            return face_of(np.reshape(values[:196], (-1, 2)), None, f"{path}, line {number}", box=box)

        yield words[-1], read


def _json(path: Path, text: str) -> Iterator[_Entry]:
    try:
        content = parse_json(text)
    except ValueError as error:
        raise InputError(f"{path}: no readable JSON ({brief(error)}), expected landmarks of images") from error
    try:
        if isinstance(content, dict) and isinstance(content.get("annotations"), list) and "images" in content:
            yield from _coco(path, content)
        elif isinstance(content, dict) and isinstance(content.get("items"), list):
            yield from _datumaro(path, content["items"])
        else:
            yield from _plain(path, content)
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: its layout is not known ({type(error).__name__}: {brief(error)[:80]}), expected COCO's "
            'keypoints, CVAT\'s Datumaro, or {"a.jpg": [[x, y], …]}'
        ) from error


def _coco(path: Path, content: Mapping[str, Any]) -> Iterator[_Entry]:
    names: dict[str, str] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    for image in content["images"]:
        key, name = _id(image["id"]), str(image["file_name"])
        if names.setdefault(key, name) != name:
            raise InputError(
                f"{path}: image {brief(key)[:60]} is {brief(names[key])[:60]} and {brief(name)[:60]}, expected an id "
                "for each image; were files put together?"
            )
        sizes[key] = _size(image.get("width"), image.get("height"))
    for number, annotation in enumerate(content["annotations"]):
        if not annotation.get("keypoints"):  # a box alone
            continue
        source = f"{path}, annotation {brief(annotation.get('id', number))[:60]}"
        key = _id(annotation["image_id"])
        if key not in names:
            raise InputError(f"{source}: of image {brief(key)[:60]}, expected one that it lists")

        def read(annotation: Mapping[str, Any] = annotation, source: str = source, key: str = key) -> FaceLandmarks:
            values = _array(source, annotation["keypoints"])
            if values.ndim != 1 or len(values) % 3:
                raise InputError(f"{source}: {values.size} numbers, expected x, y, v of each keypoint")
            points, flags = values.reshape(-1, 3)[:, :2], values.reshape(-1, 3)[:, 2]
            whole = np.isin(flags, (0, 1, 2)).all() and (flags == 2).any()
            scores = np.select([flags == 1, flags == 2], [_OCCLUDED, 1.0], 0.0) if whole else flags
            return face_of(points, scores, source, box=_box(source, annotation.get("bbox")), image_size=sizes[key])

        yield names[key], read


def _datumaro(path: Path, items: Sequence[Mapping[str, Any]]) -> Iterator[_Entry]:
    for item in items:
        picture = item.get("image") or {}
        name, stated = str(picture.get("path") or item["id"]), picture.get("size")
        size = _size(stated[1], stated[0]) if isinstance(stated, list) and len(stated) == 2 else None
        for number, annotation in enumerate(item.get("annotations", [])):
            source = f"{path}, item {brief(item['id'])[:60]}, annotation {number}"
            if annotation.get("type") == "points":
                parts = [annotation]
            elif annotation.get("type") == "skeleton":
                parts = list(annotation.get("elements", []))
            else:
                continue

            def read(
                parts: Sequence[Mapping[str, Any]] = parts, source: str = source, size: Any = size
            ) -> FaceLandmarks:
                points = _array(source, [v for part in parts for v in part["points"]])
                flags = [v for part in parts for v in part.get("visibility") or [2] * (len(part["points"]) // 2)]
                seen = _array(source, [{"absent": 0, "hidden": 1, "visible": 2}.get(str(v), v) for v in flags])
                if points.size % 2 or len(seen) != points.size // 2:
                    raise InputError(
                        f"{source}: {points.size} numbers, {len(seen)} visibilities, expected x, y of each"
                    )
                scores = np.select([seen == 1, seen == 2], [_OCCLUDED, 1.0], 0.0)
                return face_of(points.reshape(-1, 2) - _CVAT_CENTER, scores, source, image_size=size)

            yield name, read


def _plain(path: Path, content: Any) -> Iterator[_Entry]:
    entries = content.items() if isinstance(content, dict) else [(None, entry) for entry in content]
    for number, (name, entry) in enumerate(entries):
        about = entry if isinstance(entry, dict) else {"landmarks": entry}
        name = name if name is not None else next((about[key] for key in about if names_image(str(key))), None)
        points = next((about[key] for key in ("landmarks", "points", "keypoints") if key in about), None)
        if not isinstance(name, str) or not isinstance(points, list):
            raise InputError(f'{path}: entry {number} has no "image" or no "landmarks", expected both')

        def read(about: Mapping[str, Any] = about, points: Any = points, name: str = name) -> FaceLandmarks:
            source = f"{path}, {brief(name)[:80]}"
            values = _array(source, points)
            if values.ndim == 1 and values.size % 2 == 0:
                values = values.reshape(-1, 2)
            if values.ndim != 2 or values.shape[1] not in (2, 3):
                shown = " × ".join(map(str, values.shape))
                raise InputError(f"{source}: {shown} numbers, expected [[x, y], …]; one entry a face")
            scores = None if about.get("scores") is None else _array(source, about["scores"])
            if scores is not None and scores.shape != (len(values),):
                raise InputError(f"{source}: {scores.size} scores of {len(values)} points, expected one each")
            return face_of(values[:, :2], scores, source, box=_box(source, about.get("box", about.get("bbox"))))

        yield name, read


def _id(value: Any) -> str:
    """What tells an image from the others, whole; LookupError where it is neither a text nor a number."""
    if not isinstance(value, str | int | float):
        raise LookupError(f"an id of {brief(value)[:60]}")
    return str(value)


def _size(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height that a table states of an image, px; None where it does not, as where it has 0."""
    stated = [int(v) if isinstance(v, str) and v.isascii() and v.isdecimal() and len(v) < 10 else v
              for v in (width, height)]  # fmt: skip
    whole = [int(v) for v in stated if isinstance(v, int | float) and 0 < v < _MOST_PX and v == int(v)]
    return (whole[0], whole[1]) if len(whole) == 2 else None


def _array(source: str, values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        return np.array(values, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"{source}: {brief(values)[:60]}, expected numbers") from None


def _box(source: str, value: Any) -> Any:
    box = None if value is None else _array(source, value)
    return box if box is None or (box.shape == (4,) and np.isfinite(box).all()) else None


def _xml_text(path: Path) -> str:
    """An XML document without its first line, which says what it is: UTF-8, as CVAT writes it."""
    data = read_file(path, MOST_BYTES).removeprefix(codecs.BOM_UTF8)
    if data.startswith(b"<?xml"):
        data = data.partition(b"?>")[2]
    try:
        return decode_text(data)
    except ValueError as error:
        raise InputError(f"{path}: {error}, expected CVAT's XML") from error


def _xml(path: Path, text: str) -> Iterator[_Entry]:
    if "<!" in text.replace("<!--", ""):  # a document type can make a few lines of text fill the memory
        raise InputError(f"{path}: declares a document type or entities, expected CVAT's plain XML")
    try:
        root = ElementTree.fromstring(text.encode())
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{path}: no readable XML ({brief(error)}), expected CVAT for images 1.1") from error
    for image in root.iter("image"):
        name, size = image.get("name", "?"), _size(image.get("width"), image.get("height"))
        for number, shape in enumerate([*image.findall("points"), *image.findall("skeleton")]):
            yield name, _cvat_reader(f"{path}, {brief(name)[:80]}, face {number}", shape, size)


def _cvat_reader(source: str, shape: ElementTree.Element, size: tuple[int, int] | None) -> Callable[[], FaceLandmarks]:
    def read() -> FaceLandmarks:
        parts = [shape] if shape.tag == "points" else shape.findall("points")
        labels = [part.get("label", "") for part in parts]
        if all(label.isascii() and label.isdecimal() and len(label) < 6 for label in labels):
            parts = [part for _, _, part in sorted(zip(map(int, labels), range(len(parts)), parts, strict=True))]
        points, scores = [], []
        for part in parts:
            pairs = [pair.split(",") for pair in part.get("points", "").split(";")]
            if any(len(pair) != 2 for pair in pairs):
                raise InputError(f'{source}: points "{brief(part.get("points"))[:40]}", expected "x,y;x,y"')
            points += [[_number(source, cell) for cell in pair] for pair in pairs]
            score = 0.0 if part.get("outside") == "1" else _OCCLUDED if part.get("occluded") == "1" else 1.0
            scores += [score] * len(pairs)
        return face_of(np.reshape(points, (-1, 2)) - _CVAT_CENTER, scores, source, image_size=size)

    return read


TABLES: dict[str, Callable[[Path, str], Iterator[_Entry]]] = {
    ".csv": _csv, ".json": _json, ".xml": _xml, ".txt": _wflw,
}  # fmt: skip
"""Readers of tables by suffix."""
