"""MATLAB 5 to 7 files, read safely: damaged files raise errors, and memory is only taken for data that is there.

SciPy reads these files too, but some damaged ones end the whole process, and some small ones take gigabytes; here every
offset and count is checked before anything is made. Measured with SciPy 1.17.1 and one file of 300W-LP, four changes to
each byte in turn: uncompressed, as `scipy.io.savemat` saves by default, 69 of 21,248 damaged files ended the process
(SIGSEGV or SIGBUS). Compressed, as distributed, none of 14,184 did, but 55 of 20,736 if the content was damaged
before it was compressed. This reader returned or raised ValueError for each.

Source of the layout: MathWorks, "MAT-File Format", level 5: a 128-byte header, then elements of an 8-byte tag (type,
bytes; or both and up to 4 bytes of data in 8) and data, padded to 8 bytes. An array is an element of elements: flags,
dimensions, name, and by its class the real part, the fields of a struct, the items of a cell, or rows, columns and
values of a sparse matrix. Compressed elements hold one array. `matfile4.py` reads version 4, `matfile5.py` the
elements of the others, `matfile_simple.py` the small files of samples.
"""

import math
import struct
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.storage.kinds import describe_bytes
from uvgen.storage.matfile4 import read_version_4
from uvgen.storage.matfile5 import LONGEST_NAME, OPAQUE, Array, Budget, contents, header, header_of, text_of, tops
from uvgen.storage.matfile_simple import CLASSES, COMPLEX, LOGICAL, MATRIX, TYPES, as_class, read_simple
from uvgen.storage.reading import max_bytes, open_regular

_CELL, _STRUCT, _SPARSE = 1, 2, 5
_OTHERS = {3: "an object", 4: "text", 16: "a function", OPAQUE: "an object"}

_MOST_FIELDS = 1_000
_MOST_NESTED = 8
_FREE_BYTES = 1 << 26  # to which every file may be unpacked
_MOST_TIMES = 64  # the bytes of a file, to which it may be unpacked beyond that


@dataclass(frozen=True, slots=True)
class Unread:
    """A variable that is no array of numbers: `what` it is, ``"text"``, and the error if it could not be read."""

    what: str
    error: Exception | None = None


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
    budget = Budget(_FREE_BYTES)
    for content in contents(BytesIO(data), len(data), order, budget, names):
        array = header(content, order)
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
            return {name: Unread(value) if isinstance(value, str) else value for name, value in found.items()}
        budget = Budget(min(max_bytes(), max(_FREE_BYTES, _MOST_TIMES * size)))
        variables = dict[str, NDArray[Any] | dict[str, Any] | Unread]()
        for content in contents(file, size, order, budget, names):
            array = header(content, order)
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
        return {header_of(start, order).name for start, _ in tops(file, size, order)}


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
    if data.startswith((b"# Created by Octave", b"Octave-1")):
        return "Octave's own format; save it with '-v7'"
    return f"{kind}, no MATLAB 5 header"


def _value(array: Array, order: str, budget: Budget, depth: int) -> NDArray[Any] | dict[str, Any] | Unread:
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


def _item(array: Array, order: str, budget: Budget, depth: int) -> NDArray[Any] | dict[str, Any] | Unread:
    """The next part of an array as a value."""
    kind, content = array.part()
    if kind != MATRIX:
        raise ValueError(f"damaged array {array.name}")
    return _value(header(content, order), order, budget, depth + 1) if len(content) else np.empty((1, 0))


def _struct(array: Array, order: str, budget: Budget, depth: int) -> dict[str, Any]:
    (_, length), (_, names) = array.part(), array.part()
    (width,) = struct.unpack(order + "i", length) if len(length) == 4 else (0,)
    n_fields = len(names) // width if width > 0 else 0
    if len(names) != n_fields * max(width, 0) or n_fields > _MOST_FIELDS or width > LONGEST_NAME:
        raise ValueError(f"damaged struct {array.name}")
    fields = [text_of(bytes(names[k * width : (k + 1) * width]).split(b"\0")[0]) for k in range(n_fields)]
    found: dict[str, Any] = {}
    for field in fields:
        _check_once(field, found, "field")
        found[field] = _item(array, order, budget, depth)
    return found


def _numbers(array: Array, order: str) -> NDArray[Any]:
    """The next part as (n,) numbers of the stored type."""
    kind, content = array.part()
    if kind not in TYPES or len(content) % int(TYPES[kind][1]):
        raise ValueError(f"damaged array {array.name}")
    return np.frombuffer(content, order + TYPES[kind])


def _full(array: Array, order: str, budget: Budget, dtype: str | None = None) -> NDArray[Any]:
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


def _sparse(array: Array, order: str, budget: Budget) -> NDArray[Any]:
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
