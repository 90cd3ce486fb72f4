"""The MATLAB files that datasets hold one of per sample, read in a third of the time that `matfile.py` takes.

A file of this kind holds a few small, real, full matrices of numbers, each with the parts and counts that MATLAB and
SciPy write, and nothing else, as those of 300W-LP and AFLW2000-3D do. Every size, type and count is checked as in
`matfile.py`, which has the layout and reads all other files; a test compares the two on damaged files.
"""

import zlib
from collections.abc import Collection
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
MATRIX, COMPRESSED = 14, 15
COMPLEX, LOGICAL = 0x0800, 0x0200

_FLAGS, _DIMENSIONS, _NAME = (6, 8), (5, 8), 1  # types of an array's first parts, and their bytes
_MOST_VARIABLES = 64
_MOST_BYTES = 1 << 16  # of an array, unpacked; as float64 it has eight times as many, and all together below 64 MB
_LONGEST_NAME = 63

_TAG = Struct("<II")
_HEAD = Struct("<IIIIIIIIiiHH")  # tags of the array, of its flags and dimensions, with their values; start of the name
_NAME_START = _HEAD.size  # of a name of up to four bytes; a longer one has its length there


def read_simple(data: bytes, names: Collection[str]) -> dict[str, NDArray[Any]] | None:
    """Arrays of a little-endian MATLAB file by name, as `matfile.read_numeric` gives them.

    Parameters
    ----------
    data : bytes
        The file's content.
    names : collection of str
        Variables wanted; of others, only the headers are checked.

    Returns
    -------
    dict of str to ndarray, or None
        None if anything is not as these files have it; `matfile.read_numeric` reads the file or says what is wrong.
    """
    found: dict[str, NDArray[Any]] = {}
    position, end = 128, len(data)
    for _ in range(_MOST_VARIABLES):
        if position == end:
            return found
        start = position + 8
        if start > end:
            return None
        kind, n = _TAG.unpack_from(data, position)
        position = start + n
        if position > end:
            return None
        content = _content(kind, data, start, position)
        named = None if content is None else _array(content, names)
        if named is None:
            return None
        name, array = named
        if array is not None:
            if name in found:
                return None
            found[name] = array
    return None


def as_class(values: NDArray[Any], dtype: str) -> NDArray[Any] | None:
    """Stored values in the dtype of their array's class; None if it has whole numbers and these are others, or larger.

    MATLAB stores values in the smallest type that holds them, never in a larger one than the class has.
    """
    if values.dtype == dtype:
        return values.astype(dtype)
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is for the caller to refuse
        found = values.astype(dtype)
    return found if found.dtype.kind == "f" or np.array_equal(found, values) else None


def _content(kind: int, data: bytes, start: int, end: int) -> bytes | None:
    """An element's array with its tag, unpacked; None if it is large, damaged, or no array."""
    if kind == MATRIX and end - start <= _MOST_BYTES:
        return data[start - 8 : end]
    if kind != COMPRESSED:
        return None
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(data[start:end], _MOST_BYTES)
    except zlib.error:
        return None
    return content if stream.eof else None


def _array(content: bytes, names: Collection[str]) -> tuple[str, NDArray[Any] | None] | None:
    """An array's name, and its values if they are wanted; None if it is not a plain one of two dimensions."""
    size = len(content)
    if size < _NAME_START + 12:
        return None
    kind, n, *parts, height, width, name_type, name_bytes = _HEAD.unpack_from(content)
    flags_type, flags_bytes, flags, _, dimensions_type, dimensions_bytes = parts
    dtype = CLASSES.get(flags & 0xFF)
    if (
        kind != MATRIX
        or n != size - 8
        or (flags_type, flags_bytes) != _FLAGS
        or (dimensions_type, dimensions_bytes) != _DIMENSIONS
        or name_type != _NAME
        or dtype is None
        or flags & (COMPLEX | LOGICAL)
        or height < 0
        or width < 0
    ):
        return None
    first = _NAME_START
    if name_bytes:
        start = first + 4
    else:
        name_bytes = int.from_bytes(content[first : first + 4], "little")
        first += 4
        start = first + (name_bytes + 7) // 8 * 8
    if name_bytes > min(_LONGEST_NAME, start - first) or start + 8 > size:
        return None
    name = content[first : first + name_bytes].decode("latin-1")
    if not name.isprintable():
        return None
    if name not in names:
        return name, None
    stored, n = _TAG.unpack_from(content, start)
    stored_dtype, count = TYPES.get(stored), height * width
    if stored_dtype is None or not count or n != count * int(stored_dtype[1]) or start + 8 + n > size:
        return None
    values = np.frombuffer(content, "<" + stored_dtype, count, start + 8)
    converted = as_class(values, dtype)
    return None if converted is None else (name, converted.reshape((height, width), order="F"))
