"""The rows of PLY and OFF meshes, checked before trimesh reads them: it passes over what is missing at a file's end.

It drops polygons that are cut short, takes the first list of a binary PLY for as long as all others, and knows neither
strips of triangles nor vertices of more dimensions than three.
"""

import re

import numpy as np

from uvgen.storage.names import brief
from uvgen.wording import count

_PLY_FORMATS = ("ascii", "binary_little_endian", "binary_big_endian")
_PLY_TYPES = {
    name: kind
    for kind, names in (
        ("i1", "char int8"), ("u1", "uchar uint8"), ("i2", "short int16"), ("u2", "ushort uint16"), ("i4", "int int32"),
        ("u4", "uint uint32"), ("f4", "float float32"), ("f8", "double float64"),
    )
    for name in names.split()
}  # fmt: skip
_SHOWN = 40  # characters of a line in a message


def _elements(header: bytes) -> list[tuple[str, int, list[list[str]]]]:
    """Name, number of rows and properties, as words, of each element of a PLY."""
    found: list[tuple[str, int, list[list[str]]]] = []
    for line in header.decode("ascii", "replace").splitlines():
        key, *words = line.split() or [""]
        if key == "element":
            found.append((words[0], int(words[1]), []))
        elif key == "property" and found:
            found[-1][2].append(words)
    return found


def check_ply_rows(header: bytes, body: bytes) -> None:
    """ValueError if an ASCII PLY has not the rows that its header states, or one of them is cut short."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    start = 0
    for name, n, properties in _elements(header):
        rows = lines[start : start + n]
        if len(rows) < n:
            raise ValueError(
                f"{count(len(rows), 'line')} of element {brief(name)[:_SHOWN]}, expected {n}; is it cut short, or not "
                "a line for each?"
            )
        start += n
        lists = [kind == "list" for kind, *_ in properties]
        for row in rows:
            words = row.split()
            wanted = _words_of_row(words, lists) if True in lists else len(lists)
            if len(words) < wanted:
                shown = brief(row.decode("ascii", "replace"))[:_SHOWN]
                raise ValueError(f"{shown!r} in element {brief(name)[:_SHOWN]}, expected {count(wanted, 'number')}")
    if start < len(lines):
        raise ValueError(f"{count(len(lines) - start, 'row')} more than its header states")


def _words_of_row(words: list[bytes], lists: list[bool]) -> int:
    """How many words a row has by the lengths of its lists; one more than there are, if a length is missing."""
    at = 0
    for is_list in lists:
        if is_list:
            if at >= len(words):
                return at + 1
            at += max(int(words[at]), 0)
        at += 1
    return at


def check_off_rows(data: bytes) -> None:
    """ValueError if an OFF without its comments lacks polygons that it states, or has vertices of another dimension."""
    found = re.match(rb"\s*(\w*?)C?OFF\b", data)
    if found is None:
        raise ValueError("no OFF at its beginning")
    if b"4" in found[1] or b"n" in found[1]:
        raise ValueError(f"{found[0].strip().decode()}, whose vertices have other coordinates than x, y and z")
    lines = [line for line in data[found.end() :].splitlines() if line.strip()]
    n_vertices, n_faces = (int(word) for word in [*lines[0].split(), b"no count", b"no count"][:2]) if lines else (0, 0)
    rows = lines[1 + n_vertices :][:n_faces]
    if len(rows) < n_faces:
        raise ValueError(
            f"{count(len(rows), 'line')} of polygons, expected {n_faces}; is it cut short, or not a line for each?"
        )
    for row in rows:
        words = row.split()
        if len(words) <= int(words[0]):
            shown = brief(row.decode("ascii", "replace"))[:_SHOWN]
            raise ValueError(f"the polygon {shown!r}, expected {count(int(words[0]), 'corner')}")


def format_of_ply(header: bytes) -> str:
    """The format that a PLY's header states; ValueError if it is none, or something in it is there twice."""
    found, elements, properties = "", list[str](), list[tuple[str, str]]()
    for line in header.decode("ascii", "replace").splitlines():
        key, *words = line.split() or [""]
        if key == "format":
            found = words[0] if words else ""
        elif key == "element":
            if len(words) != 2 or not words[1].isdigit():
                raise ValueError(f"{brief(line.strip())[:_SHOWN]!r}, expected the name of an element and how many")
            elements.append(words[0])
            if words == ["vertex", "0"]:
                raise ValueError("no vertices in it")
            if words[0] == "tristrips" and words[1].strip("0"):
                raise ValueError("strips of triangles, which are passed over; save it with plain triangles")
        elif key == "property" and elements and words:
            properties.append((elements[-1], words[-1]))
    if found not in _PLY_FORMATS:
        raise ValueError(f"format {brief(found)[:_SHOWN] or 'none'}, expected one of {', '.join(_PLY_FORMATS)}")
    if twice := [name for name in elements if elements.count(name) > 1]:
        raise ValueError(f"element {brief(twice[0])[:_SHOWN]} is there twice")
    if len(set(properties)) < len(properties):
        name = next(name for k, name in enumerate(properties) if name in properties[:k])
        raise ValueError(f"property {brief(name[1])[:_SHOWN]} of {brief(name[0])[:_SHOWN]} is there twice")
    if missing := [axis for axis in "xyz" if ("vertex", axis) not in properties]:
        raise ValueError(f"no property {missing[0]} of vertices")
    return found


def check_ply_lists(header: bytes, body: bytes, order: str) -> None:
    """ValueError if the polygons of a binary PLY have different numbers of corners, or other lists different lengths.

    trimesh takes the first list's length for all of them. If the lengths happen to add up, it gives corners that the
    file does not have.
    """
    start = 0
    for name, n, properties in _elements(header):
        if not n or not properties:
            continue
        fields: list[tuple[str, str, tuple[int, ...]]] = []
        for number, (kind, *words) in enumerate(properties):
            if kind != "list":
                fields.append((f"value{number}", order + _PLY_TYPES[kind], ()))
                continue
            counted, item = (np.dtype(order + _PLY_TYPES[word]) for word in words[:2])
            length = int(np.frombuffer(body, counted, 1, start + np.dtype(fields).itemsize)[0])
            if not 0 <= length * item.itemsize <= len(body):
                raise ValueError(f"a list of {length} numbers in a file of {len(body)} bytes")
            fields += [(f"length{number}", counted.str, ()), (f"list{number}", item.str, (length,))]
        row = np.dtype(fields)
        rows = np.frombuffer(body, row, min(n, (len(body) - start) // row.itemsize), start)
        for key in (key for key, _, _ in fields if key.startswith("length")):
            if (other := rows[key][rows[key] != rows[key][:1]]).size:
                raise ValueError(
                    f"lists of {rows[key][0]} and of {other[0]} numbers in element {brief(name)[:_SHOWN]}; save it "
                    "with triangles alone, as ASCII, or as OBJ"
                )
        start += n * row.itemsize
