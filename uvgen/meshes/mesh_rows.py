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
_CORNERS = ("vertex_index", "vertex_indices")
_WHOLE_PLACES = re.compile(rb"(?m)^property[ \t]+u?(?:char|short|int|int8|int16|int32)[ \t]+([xyz])[ \t]*\r?$")


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
        lists = [(kind == "list" and words[-1:]) or None for kind, *words in properties]
        has_lists = any(lists)
        for row in rows:
            words = row.split()
            try:
                wanted = _words_of_row(words, lists) if has_lists else len(lists)
                if len(words) < wanted:
                    raise ValueError(f"expected {count(wanted, 'number')}")
            except ValueError as error:
                shown = brief(row.decode("ascii", "replace"))[:_SHOWN]
                raise ValueError(f"{shown!r} in element {brief(name)[:_SHOWN]}, {error}") from None
    if start < len(lines):
        raise ValueError(f"{count(len(lines) - start, 'row')} more than its header states")


def _words_of_row(words: list[bytes], lists: list[list[str] | None]) -> int:
    """How many words a row has by the lengths of its lists, of which the names are given; one more than there are, if
    a length is missing. ValueError if a length or a corner is no whole number, which trimesh would cut to one."""
    at = 0
    for names in lists:
        if names:
            if at >= len(words):
                return at + 1
            if not words[at].isdigit():
                raise ValueError("expected the length of a list, a whole number")
            begin, at = at + 1, at + int(words[at])
            if names[0] in _CORNERS and begin <= at < len(words) and not b"".join(words[begin : at + 1]).isdigit():
                raise ValueError("expected the numbers of vertices, from 0")
        at += 1
    return at


def with_fractions(header: bytes) -> bytes:
    """The header of an ASCII PLY whose coordinates are said to be whole numbers, and may have fractions all the same:
    as ``double``, since trimesh would cut them off."""
    return _WHOLE_PLACES.sub(rb"property double \1", header)


def check_off_rows(data: bytes) -> None:
    """ValueError if an OFF without its comments lacks polygons that it states, or has vertices of another dimension."""
    found = re.match(rb"\s*(\w*?)C?OFF\b", data)
    if found is None:
        raise ValueError("no OFF at its beginning")
    if b"4" in found[1] or b"n" in found[1]:
        raise ValueError(f"{found[0].strip().decode()}, whose vertices have other coordinates than x, y and z")
    lines = [line for line in data[found.end() :].splitlines() if line.strip()]
    counts = lines[0].split()[:2] if lines else [b"0", b"0"]
    if len(counts) < 2 or not all(word.isdigit() and len(word) < 16 for word in counts):
        shown = brief(lines[0].decode("ascii", "replace"))[:_SHOWN]
        raise ValueError(f"{shown!r}, expected how many vertices, polygons and edges, as text")
    n_vertices, n_faces = map(int, counts)
    rows = lines[1 + n_vertices :]
    if len(rows) > n_faces:
        raise ValueError(
            f"{count(len(rows) - n_faces, 'row')} more than its {count(n_vertices, 'vertex')} and "
            f"{count(n_faces, 'polygon')}"
        )
    if len(rows) < n_faces:
        raise ValueError(
            f"{count(len(rows), 'line')} of polygons, expected {n_faces}; is it cut short, or not a line for each?"
        )
    for row in rows:
        words = row.split()
        if not words[0].isdigit() or len(words) <= int(words[0]):
            shown = brief(row.decode("ascii", "replace"))[:_SHOWN]
            wanted = count(int(words[0]), "corner") if words[0].isdigit() else "how many corners it has, and these"
            raise ValueError(f"the polygon {shown!r}, expected {wanted}")


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
            _check_types(line, words)
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


def _check_types(line: str, words: list[str]) -> None:
    """ValueError unless a property is of known types, and numbers of corners, and corners, are whole numbers."""
    types = words[1:3] if words[0] == "list" else words[:1]
    kinds = [_PLY_TYPES.get(word, "") for word in types]
    whole = ([0, 1] if words[-1] in _CORNERS else [0]) if words[0] == "list" else []
    if len(words) != len(types) + 1 + (words[0] == "list") or not all(kinds) or any(kinds[k][0] == "f" for k in whole):
        raise ValueError(f"{brief(line.strip())[:60]!r}, expected a property of numbers, or a list of whole ones")


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
