"""The rows of PLY, OFF and STL meshes, checked before trimesh reads them: it passes over what is missing at the end.

It drops polygons that are cut short, takes the first list of a binary PLY for as long as all others, and knows neither
strips of triangles nor vertices of more dimensions than three.
"""

import codecs
import re
from itertools import pairwise

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
_STL_HEADER = 84  # bytes
_STL_KEYS = {b"solid": "s", b"facet": "f", b"vertex": "v", b"endfacet": "e", b"endsolid": "x"}
_NUMBER = rb"[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan(?:\(\w*\))?)"
_STL_VERTEX = re.compile(rb"(?im)^[ \t]*vertex(?:[ \t]+" + _NUMBER + rb"){3}[ \t]*\r?$")
_NO_NUMBER = re.compile(rb"(?i)(?<![^ \t\r\n])(?!" + _NUMBER + rb"(?![^ \t\r\n]))[^ \t\r\n]+|\r(?!\n|\Z)")
_CONTROL = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")  # of which Python's text takes some for ends of lines
_SHOWN = 40  # characters of a line in a message
_CORNERS = ("vertex_index", "vertex_indices")
_LEAST_BYTES = 6  # of a file for each of its rows, and for each triangle: trimesh takes hundreds for one
_ANY_SIZE = 1 << 20  # bytes of a file to which that does not apply
_MOST_IN_HEADER, _MOST_LISTS = 4096, 64  # elements and properties: time grows with the square of their number
_WHOLE = rb"[ \t]+u?(?:char|short|int|int8|int16|int32)[ \t]+"
_WHOLE_PLACES = re.compile(rb"(?m)^[ \t]*property" + _WHOLE + rb"([xyz])[ \t]*\r?$")
_TEXTURE = re.compile(rb"(?m)^([ \t]*property[ \t]+list[ \t]+\w+[ \t]+\w+[ \t]+)texcoord(?=[ \t]*\r?$)")
_EMPTY = re.compile(rb"(?m)^[ \t]*element[ \t]+\S+[ \t]+0+[ \t]*\r?\n(?:[ \t]*property\b[^\n]*\n)*")
_LISTED_CORNERS = re.compile(
    rb"(?m)^[ \t]*(property[ \t]+list[ \t]+\w+)" + _WHOLE + rb"(vertex_(?:index|indices))[ \t]*\r?$"
)


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
    """ValueError if an ASCII PLY has not the rows that its header states, or one of them is cut short or filled up.

    Also if something in them is no number: NumPy before 2.4 ends a row there, and reads ``1,5`` as 1. Form feeds and
    the like, at which trimesh would begin a new row, are such.
    """
    if odd := _NO_NUMBER.search(body):
        shown, line = brief(odd[0].decode("ascii", "replace"))[:_SHOWN], body.count(b"\n", 0, odd.start()) + 1
        raise ValueError(f"{shown!r} in row {line}, expected numbers and ends of lines alone")
    _check_number(body.count(b"\n"), "rows", len(body))
    lines = [line for line in body.split(b"\n") if line.strip()]
    start, elements = 0, _elements(header)
    n_vertices = next((n for name, n, _ in elements if name == "vertex"), 0)
    for name, n, properties in elements:
        rows = lines[start : start + n]
        if len(rows) < n:
            raise ValueError(
                f"{count(len(rows), 'line')} of element {brief(name)[:_SHOWN]}, expected {n}; is it cut short, or not "
                "a line for each?"
            )
        start += n
        lists = [(kind == "list" and words[-1:]) or None for kind, *words in properties]
        has_lists = any(lists)
        lengths = set[tuple[int, int]]()
        for row in rows:
            words = row.split()
            try:
                wanted = _words_of_row(words, lists, n_vertices) if has_lists else len(lists)
                lengths.add((wanted, len(words)))
                if len(words) < wanted:
                    raise ValueError(f"expected {count(wanted, 'number')}")
            except ValueError as error:
                shown = brief(row.decode("ascii", "replace"))[:_SHOWN]
                raise ValueError(f"{shown!r} in element {brief(name)[:_SHOWN]}, {error}") from None
        if len({has for _, has in lengths}) == 1 < len(lengths):  # trimesh takes the first list's length for all
            raise ValueError(
                f"rows of {max(lengths)[1]} numbers in element {brief(name)[:_SHOWN]}, though its lists have different "
                "lengths; save it without numbers that fill rows up"
            )
    if start < len(lines):
        raise ValueError(f"{count(len(lines) - start, 'row')} more than its header states")


def _check_number(n: int, what: str, size: int) -> None:
    """ValueError if a file of `size` bytes has so many rows or triangles as no mesh has, whose vertices and corners
    take more bytes: memory is taken for each."""
    if n * _LEAST_BYTES > max(size, _ANY_SIZE):
        raise ValueError(f"{n} {what} in {size} bytes, expected the numbers of a mesh")


def _words_of_row(words: list[bytes], lists: list[list[str] | None], n_vertices: int) -> int:
    """How many words a row has by the lengths of its lists, of which the names are given; one more than there are, if
    a length is missing.

    ValueError if a length or a corner is no whole number, which trimesh would cut to one, or a corner none of the
    vertices, which it would cut to the bits of the type that the header states.
    """
    at = 0
    for names in lists:
        if names:
            if at >= len(words):
                return at + 1
            if not words[at].isdigit():
                raise ValueError("expected the length of a list, a whole number")
            begin, at = at + 1, at + int(words[at])
            if names[0] in _CORNERS and begin <= at < len(words):
                corners = words[begin : at + 1]
                if not b"".join(corners).isdigit() or max(map(int, corners)) >= n_vertices:
                    raise ValueError(f"expected the numbers of vertices, 0 to {n_vertices - 1}")
        at += 1
    return at


def with_wide_types(header: bytes) -> bytes:
    """The header of an ASCII PLY with types that hold what its text may say, whatever it states: coordinates that are
    said to be whole numbers as ``double``, and corners as ``int``. trimesh would cut both to the types."""
    return _LISTED_CORNERS.sub(rb"\1 int \2", _WHOLE_PLACES.sub(rb"property double \1", header))


def without_texture(header: bytes) -> bytes:
    """The header of a PLY under which trimesh passes over the texture coordinates of its polygons' corners: it fails if
    polygons have different numbers of them."""
    return _TEXTURE.sub(rb"\1uvgen_texcoord", header) if _LISTED_CORNERS.search(header) else header


def without_empty(header: bytes) -> bytes:
    """The header of a PLY without elements of which there are none: trimesh fails at some of their properties."""
    return _EMPTY.sub(b"", header)


def off_of_triangles(data: bytes) -> bytes:
    """An OFF without its comments, with polygons cut into triangles from their first corner: trimesh fails where they
    have different numbers of corners.

    ValueError if it lacks polygons that it states, or has vertices of another dimension.
    """
    if not data.isascii() or b"_" in data or _CONTROL.search(data):  # "_", which Python takes for a part of a number
        raise ValueError("other characters than an OFF has, expected ASCII")
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
    polygons = []
    for row in rows:
        words = row.split()
        if not words[0].isdigit() or len(words) <= int(words[0]):
            shown = brief(row.decode("ascii", "replace"))[:_SHOWN]
            wanted = count(int(words[0]), "corner") if words[0].isdigit() else "how many corners it has, and these"
            raise ValueError(f"the polygon {shown!r}, expected {wanted}")
        polygons.append(words[1 : 1 + int(words[0])])
    _check_number(sum(max(len(p) - 2, 0) for p in polygons), "triangles", len(data))
    triangles = [b"3 %b %b %b" % (p[0], b, c) for p in polygons for b, c in pairwise(p[1:])]
    head = b"OFF\n%d %d 0" % (n_vertices, len(triangles))
    return b"\n".join([head, *lines[1 : 1 + n_vertices], *triangles, b""])


def plain_stl(data: bytes) -> bytes:
    """An STL; without the names of its solids if it is text, since trimesh looks for vertices in them too.

    ValueError if a facet of a text has not three vertices, or a solid no end: trimesh takes any three vertices for a
    triangle, and passes over a last solid that is cut short.
    """
    if len(data) >= _STL_HEADER and len(data) == _STL_HEADER + 50 * int.from_bytes(data[80:84], "little"):
        return data
    data = re.sub(rb"(?im)^([ \t]*(?:end)?solid)\b[^\r\n]*", rb"\1", data.removeprefix(codecs.BOM_UTF8))
    found = re.findall(rb"(?im)^[ \t]*(solid|facet|vertex|endfacet|endsolid)\b", data)
    keys = "".join(_STL_KEYS[word.lower()] for word in found)
    if found and not re.fullmatch("(?:s[st]*x)+", keys.replace("fvvve", "t")):
        raise ValueError("a facet without three vertices, or a solid without its end; is it cut short?")
    if len(_STL_VERTEX.findall(data)) != keys.count("v"):
        raise ValueError("a vertex without three numbers")
    return data


def format_of_ply(header: bytes) -> str:
    """The format that a PLY's header states; ValueError if it is none, or something in it is there twice."""
    found, elements, properties, n_lists = "", list[str](), list[tuple[str, str]](), 0
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
            n_lists += words[0] == "list"
        if len(elements) + len(properties) > _MOST_IN_HEADER or n_lists > _MOST_LISTS:
            raise ValueError(f"more than {_MOST_IN_HEADER} elements and properties, or than {_MOST_LISTS} lists")
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
            if words[2] in _CORNERS:
                _check_number(n * max(length - 2, 0), "triangles", len(body))
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
