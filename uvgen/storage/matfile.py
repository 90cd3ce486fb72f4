"""MATLAB 5 to 7 files, read safely: damaged files raise errors, and memory is only taken for data that is there.

SciPy reads these files too, but some damaged ones end the whole process, and some small ones take gigabytes; here every
offset and count is checked before anything is made. Measured with SciPy 1.17.1 and one file of 300W-LP, four changes to
each byte in turn: uncompressed, as `scipy.io.savemat` saves by default, 69 of 21,248 damaged files ended the process
(SIGSEGV or SIGBUS). Compressed, as distributed, none of 14,184 did, but 55 of 20,736 if the content was damaged
before it was compressed. This reader returned or raised ValueError for each.

Source of the layout: MathWorks, "MAT-File Format", level 5: a 128-byte header, then elements of an 8-byte tag (type,
bytes; or both and up to 4 bytes of data in 8) and data, padded to 8 bytes. An array is an element of elements: flags,
dimensions, name, and by its class the real part, the fields of a struct, the items of a cell, or rows, columns and
values of a sparse matrix. Compressed elements hold one array. `matfile4.py` reads version 4, `matfile_simple.py` the
small files of samples.
"""

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from os import PathLike
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from uvgen.storage.kinds import describe_bytes
from uvgen.storage.matfile4 import read_version_4
from uvgen.storage.matfile_simple import CLASSES, COMPLEX, COMPRESSED, LOGICAL, MATRIX, TYPES, as_class, read_simple
from uvgen.storage.reading import max_bytes, open_regular

_CELL, _STRUCT, _SPARSE, _OPAQUE = 1, 2, 5, 17
_OTHERS = {3: "an object", 4: "text", 16: "a function", _OPAQUE: "an object"}

_MOST_VARIABLES = 10_000
_MOST_FIELDS = 1_000
_MOST_DIMENSIONS = 32
_MOST_NESTED = 8
_LONGEST_NAME = 255  # bytes; MATLAB's own have 63
_FREE_BYTES = 1 << 26  # to which every file may be unpacked
_PEEKED = 1024  # bytes of an array, in which its name is
_MOST_TIMES = 64  # the bytes of a file, to which it may be unpacked beyond that


@dataclass(frozen=True, slots=True)
class Unread:
    """A variable that is no array of numbers: `what` it is, ``"text"``."""

    what: str


class _Budget:
    """Bytes that may still be made of a file."""

    def __init__(self, n_bytes: int) -> None:
        self.left = n_bytes

    def take(self, n_bytes: int, what: str) -> None:
        if n_bytes > self.left:
            raise ValueError(f"{what} is too large for the file; set UVGEN_MAX_BYTES and save it uncompressed ('-v6')")
        self.left -= n_bytes


def read_numeric(data: bytes, names: Collection[str]) -> dict[str, NDArray[Any] | None]:
    """Arrays of a MATLAB file by name.

    Parameters
    ----------
    data : bytes
        The file's content.
    names : collection of str
        Variables wanted; others are passed over.

    Returns
    -------
    dict of str to ndarray or None
        Those that are there, in the dtype of their MATLAB class; None for a variable that is not a real, full, numeric
        array (text, cell, struct, sparse, complex, logical).

    Raises
    ------
    ValueError
        If the bytes are not a MATLAB 5 to 7 file (the message says what they are), or are damaged.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or data[:10] == b"MATLAB 7.3":
        raise ValueError(_other_kind(data))
    if order == "<" and (simple := read_simple(data, names)) is not None:
        return {**simple}
    return read_any_numeric(data, order, names)


def read_any_numeric(data: bytes, order: str, names: Collection[str]) -> dict[str, NDArray[Any] | None]:
    """`read_numeric` of any MATLAB 5 to 7 file, whose numbers have this byte order."""
    found: dict[str, NDArray[Any] | None] = {}
    budget = _Budget(_FREE_BYTES)
    for content in _contents(BytesIO(data), len(data), order, budget, None):
        array = _header(content, order)
        if array.name in names:
            _check_once(array.name, found)
            plain = array.kind in CLASSES and not array.flags & (COMPLEX | LOGICAL)
            found[array.name] = _full(array, order, budget, CLASSES[array.kind]) if plain else None
    return found


def read_variables(
    path: str | PathLike[str], names: Collection[str] | None = None
) -> dict[str, NDArray[Any] | dict[str, Any] | Unread]:
    """Variables of a MATLAB file of version 4 to 7.

    Parameters
    ----------
    path : path-like
        The file; it is not trusted.
    names : collection of str, optional
        Variables wanted; all by default.

    Returns
    -------
    dict of str to ndarray, dict or Unread
        Arrays, some of them read-only, in the dtype that they are stored in, as SciPy gives them; sparse ones are made
        full, a cell of one is its content, and a struct of one is a dict of its fields. `Unread` for all else.

    Raises
    ------
    ValueError
        If it is no such file, is damaged, or unpacks to more than `max_bytes` or 64 times its size.
    OSError
        If it cannot be read.
    """
    with open_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(128)
        if size > max_bytes():
            raise ValueError(f"{size} bytes, more than the {max_bytes()} that are read; set UVGEN_MAX_BYTES")
        order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
        if order is None or head[:10] == b"MATLAB 7.3":
            file.seek(0)
            found = read_version_4(file, size, names)
            if found is None:
                raise ValueError(_other_kind(head))
            return {**found}
        budget = _Budget(min(max_bytes(), max(_FREE_BYTES, _MOST_TIMES * size)))
        variables = dict[str, NDArray[Any] | dict[str, Any] | Unread]()
        for content in _contents(file, size, order, budget, names):
            array = _header(content, order)
            _check_once(array.name, variables)
            variables[array.name] = _value(array, order, budget, 0)
        return variables


def variable_names(path: str | PathLike[str]) -> set[str]:
    """Names of the variables of a MATLAB file of version 4 to 7; errors as for `read_variables`."""
    with open_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(128)
        order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
        if order is None or head[:10] == b"MATLAB 7.3":
            file.seek(0)
            return set(read_version_4(file, size, ()) or ())
        return {_header_of(start, order).name for start, _ in _tops(file, size, order)}


def _check_once(name: str, found: Collection[str], what: str = "variable") -> None:
    """ValueError if a variable or field was found before: which of the two is meant is not known."""
    if name and name in found:
        raise ValueError(f"{what} {name} is there twice, expected once; save it anew")


def _other_kind(data: bytes) -> str:
    """What a file is that is not MATLAB 5 to 7, and what to do."""
    kind = describe_bytes(data)
    if kind in ("a MATLAB 7.3 file", "an HDF5 file"):
        return "MATLAB 7.3 format; save it with '-v7'"
    if kind == "a MATLAB 4 file":
        return "MATLAB 4 format; save it with '-v7'"
    return f"{kind}, no MATLAB 5 header"


def _tops(file: BinaryIO, size: int, order: str) -> Iterator[tuple[bytes, tuple[int, int, int]]]:
    """Of each array of a file: its first bytes, unpacked, and its (kind, place, bytes)."""
    position = 128
    for _ in range(_MOST_VARIABLES):
        if position >= size:
            return
        file.seek(position)
        tag = file.read(8)
        if len(tag) < 8:
            raise ValueError(f"cut short at byte {position}")
        kind, n = struct.unpack(order + "II", tag)
        start = position + 8
        if kind >> 16:  # a small element: no array
            position = start
            continue
        if start + n > size:
            raise ValueError(f"cut short: an element at byte {position} claims {n} bytes")
        if kind == COMPRESSED:
            yield _unpacked(zlib.decompressobj(), file.read(min(n, _PEEKED)), _PEEKED), (kind, start, n)
        elif kind == MATRIX:
            yield tag + file.read(min(n, _PEEKED)), (kind, start, n)
        position = start + n
    raise ValueError(f"more than {_MOST_VARIABLES} variables")


def _contents(
    file: BinaryIO, size: int, order: str, budget: _Budget, names: Collection[str] | None
) -> Iterator[memoryview]:
    """The content of each array that has one of the names."""
    for head, (kind, start, n) in _tops(file, size, order):
        if names is not None and _header_of(head, order).name not in names:
            continue
        file.seek(start)
        data = file.read(n)
        if kind == MATRIX:
            yield memoryview(data)
        else:
            unpacked = memoryview(_decompress(data, budget))
            kind, content = next(_elements(unpacked, order, padded=False), (0, unpacked))
            if kind == MATRIX:
                rest = unpacked[8 + len(content) :]
                if len(rest) >= 8 and struct.unpack_from(order + "I", rest)[0] == MATRIX:
                    raise ValueError("two arrays in one compressed element, expected one in each; save it anew")
                yield content


def _unpacked(stream: Any, data: bytes, most: int) -> bytes:
    try:
        content: bytes = stream.decompress(data, most)
    except zlib.error as error:
        raise ValueError(f"damaged compressed element ({error})") from error
    return content


def _decompress(data: bytes, budget: _Budget) -> bytes:
    stream = zlib.decompressobj()
    content = _unpacked(stream, data, max(budget.left, 1))
    if not stream.eof:
        raise ValueError("compressed element is cut short or too large")
    budget.take(len(content), "its content")
    return content


def _elements(data: memoryview, order: str, *, padded: bool) -> Iterator[tuple[int, memoryview]]:
    """Type and data of each element; ValueError if one does not fit."""
    position = 0
    while position < len(data):
        if position + 8 > len(data):
            raise ValueError(f"cut short at byte {position}")
        kind, size = struct.unpack_from(order + "II", data, position)
        start = position + 8
        if kind >> 16:  # small element: 16 bits of bytes, 16 of type, data in the tag
            kind, size = kind & 0xFFFF, kind >> 16
            start = position + 4
            if size > 4:
                raise ValueError(f"damaged element at byte {position}")
        if start + size > len(data):
            raise ValueError(f"cut short: an element at byte {position} claims {size} bytes")
        yield kind, data[start : start + size]
        position = start + size if start == position + 8 else position + 8
        if padded:
            position = -(-position // 8) * 8


@dataclass(slots=True)
class _Array:
    """An array's header, and the parts that follow it."""

    flags: int
    shape: tuple[int, ...]
    name: str
    parts: Iterator[tuple[int, memoryview]]

    @property
    def kind(self) -> int:
        """The class: `CLASSES`, `_STRUCT` and so on."""
        return self.flags & 0xFF

    def part(self) -> tuple[int, memoryview]:
        """The next part; ValueError if there is none."""
        for part in self.parts:
            return part
        raise ValueError(f"damaged array {self.name}")


def _header_of(start: bytes, order: str) -> _Array:
    """The header of an array element of which the first bytes are given, tag and all."""
    return _header(memoryview(start)[8:], order)


def _header(data: memoryview, order: str) -> _Array:
    parts = _elements(data, order, padded=True)
    first = [part for _, part in islice(parts, 2)]
    if len(first) < 2 or len(first[0]) != 8:
        raise ValueError("damaged array header")
    if struct.unpack_from(order + "I", first[0])[0] & 0xFF == _OPAQUE:  # such as a string or a table: no dimensions
        first.insert(1, memoryview(struct.pack(order + "2i", 1, 1)))
    else:
        first += [part for _, part in islice(parts, 1)]
    if len(first) < 3:
        raise ValueError("damaged array header")
    flags, lengths, stored_name = first
    name = _text(stored_name)
    if len(lengths) % 4 or not 0 < len(lengths) <= 4 * _MOST_DIMENSIONS or len(name) > _LONGEST_NAME:
        raise ValueError("damaged array header")
    shape = struct.unpack(f"{order}{len(lengths) // 4}i", lengths)
    if min(shape) < 0:
        raise ValueError("damaged array header")
    return _Array(struct.unpack_from(order + "I", flags)[0], shape, name, parts)


def _text(data: bytes | memoryview) -> str:
    """A name; ValueError if it holds what none does."""
    name = bytes(data).decode("latin-1")
    if not name.isprintable():
        raise ValueError("damaged name of a variable")
    return name


def _value(array: _Array, order: str, budget: _Budget, depth: int) -> NDArray[Any] | dict[str, Any] | Unread:
    """An array of numbers as it is stored, a struct of one, the content of a cell of one; else what it is."""
    if depth > _MOST_NESTED:
        raise ValueError(f"structs and cells in each other, more than {_MOST_NESTED} deep")
    if array.flags & COMPLEX and array.kind in (*CLASSES, _SPARSE):
        return Unread("complex numbers")
    if array.kind in CLASSES:
        return _full(array, order, budget)
    if array.kind == _SPARSE:
        return _sparse(array, order, budget)
    single = math.prod(array.shape) == 1
    if array.kind == _STRUCT and single:
        return _struct(array, order, budget, depth)
    if array.kind == _CELL and single:
        return _item(array, order, budget, depth)
    wrapped = {_STRUCT: "a struct array", _CELL: "a cell array"}.get(array.kind)
    if wrapped:
        return Unread(f"{wrapped} of {' × '.join(map(str, array.shape))}")
    return Unread(_OTHERS.get(array.kind, "of an unknown class"))


def _item(array: _Array, order: str, budget: _Budget, depth: int) -> NDArray[Any] | dict[str, Any] | Unread:
    """The next part of an array as a value."""
    kind, content = array.part()
    if kind != MATRIX:
        raise ValueError(f"damaged array {array.name}")
    return _value(_header(content, order), order, budget, depth + 1) if len(content) else np.empty((1, 0))


def _struct(array: _Array, order: str, budget: _Budget, depth: int) -> dict[str, Any]:
    (_, length), (_, names) = array.part(), array.part()
    (width,) = struct.unpack(order + "i", length) if len(length) == 4 else (0,)
    n_fields = len(names) // width if width > 0 else 0
    if len(names) != n_fields * max(width, 0) or n_fields > _MOST_FIELDS or width > _LONGEST_NAME:
        raise ValueError(f"damaged struct {array.name}")
    fields = [_text(bytes(names[k * width : (k + 1) * width]).split(b"\0")[0]) for k in range(n_fields)]
    found: dict[str, Any] = {}
    for field in fields:
        _check_once(field, found, "field")
        found[field] = _item(array, order, budget, depth)
    return found


def _numbers(array: _Array, order: str) -> NDArray[Any]:
    """The next part as (n,) numbers of the stored type."""
    kind, content = array.part()
    if kind not in TYPES or len(content) % int(TYPES[kind][1]):
        raise ValueError(f"damaged array {array.name}")
    return np.frombuffer(content, order + TYPES[kind])


def _full(array: _Array, order: str, budget: _Budget, dtype: str | None = None) -> NDArray[Any]:
    """A full array in the stored type, or converted."""
    values = _numbers(array, order)
    n = math.prod(array.shape)
    if len(values) != n or max(array.shape) * values.itemsize > np.iinfo(np.intp).max:
        raise ValueError(f"damaged array {array.name}: {len(values)} values, its dimensions state {str(n)[:30]}")
    if dtype is not None or not values.dtype.isnative:
        target = values.dtype.newbyteorder("=") if dtype is None else np.dtype(dtype)
        budget.take(n * target.itemsize, f"array {array.name}")
        converted = values.astype(target) if dtype is None else as_class(values, dtype)
        if converted is None:
            raise ValueError(f"damaged array {array.name}: values that its class, {target}, does not have")
        values = converted
    return values.reshape(array.shape, order="F")


def _sparse(array: _Array, order: str, budget: _Budget) -> NDArray[Any]:
    """A sparse matrix as a full one; entries that are there twice are added."""
    rows, starts, values = (_numbers(array, order) for _ in range(3))
    if len(array.shape) != 2 or rows.dtype.kind not in "iu" or starts.dtype.kind not in "iu":
        raise ValueError(f"damaged sparse matrix {array.name}")
    height, width = array.shape
    starts = starts[: width + 1].astype(np.int64)
    n = int(starts[-1]) if len(starts) else -1
    if len(starts) != width + 1 or starts[0] != 0 or (np.diff(starts) < 0).any() or not 0 <= n <= len(rows):
        raise ValueError(f"damaged sparse matrix {array.name}")
    rows, values = rows[:n].astype(np.int64), values[:n]
    if len(values) != n or (n and not 0 <= rows.min() <= rows.max() < height):
        raise ValueError(f"damaged sparse matrix {array.name}")
    dtype = values.dtype.newbyteorder("=")
    budget.take(height * width * dtype.itemsize, f"sparse matrix {array.name}")
    full = np.zeros((height, width), dtype)
    np.add.at(full, (rows, np.repeat(np.arange(width), np.diff(starts))), values.astype(dtype))
    return full
