"""MATLAB 4 files: matrices of numbers one after the other, read with every count checked.

Each has a header of five int32, type, rows, columns, whether there are imaginary parts, and the name's length; the
name, which ends in a zero; and the values, column by column. The type's digits say the byte order, a zero, the number
type, and whether it is full, text or sparse.
"""

import re
import struct
from collections.abc import Collection
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_TYPES = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}
_OTHERS = {0: "", 1: "text", 2: "a sparse matrix"}
_MOST_VARIABLES = 10_000
_LONGEST_NAME = 255


def read_version_4(file: BinaryIO, size: int, names: Collection[str] | None) -> dict[str, NDArray[Any] | str] | None:
    """The matrices of a MATLAB 4 file; None if it is none.

    Parameters
    ----------
    file : binary file
        At its beginning.
    size : int
        Of the file, bytes.
    names : collection of str, optional
        Variables whose values are wanted, of others the array is empty; all by default.

    Returns
    -------
    dict of str to (rows, columns) ndarray or str, or None
        Of those that are not of real numbers and full, what they are.

    Raises
    ------
    ValueError
        If it is damaged behind its first header, or a variable is there twice.
    """
    found: dict[str, NDArray[Any] | str] = {}
    position = 0
    for number in range(_MOST_VARIABLES):
        if position == size and number:
            return found
        file.seek(position)
        header = _header(file.read(20))
        name = file.read(header[4]) if header else b""
        if header is None or not re.fullmatch(rb"[A-Za-z]\w*\0", name):
            if not number:
                return None
            raise ValueError(f"damaged at byte {position}")
        dtype, rows, columns, imaginary, length, kind = header
        start = position + 20 + length
        position = start + rows * columns * dtype.itemsize * (1 + imaginary)
        if position > size:
            raise ValueError(f"cut short: {name[:-1].decode('latin-1')} claims {rows} × {columns} values")
        text = name[:-1].decode("latin-1")
        if text in found:  # which of the two is meant is not known
            raise ValueError(f"variable {text} is there twice, expected once; save it anew")
        if kind or imaginary:
            found[text] = _OTHERS[kind] or "complex numbers"
        else:
            wanted = names is None or text in names
            values = np.frombuffer(file.read(position - start) if wanted else b"", dtype)
            shape = (rows, columns) if wanted else (0, 0)
            found[text] = values.astype(dtype.newbyteorder("=")).reshape(shape, order="F")
    raise ValueError(f"more than {_MOST_VARIABLES} variables")


def _header(data: bytes) -> tuple[np.dtype[Any], int, int, int, int, int] | None:
    """(number type, rows, columns, imaginary, length of the name, full 0, text 1 or sparse 2), or None."""
    for order, machine in (("<", 0), (">", 1)):
        if len(data) < 20:
            return None
        kind, rows, columns, imaginary, length = struct.unpack(order + "5i", data)
        of_machine, zero, number, matrix = kind // 1000, kind // 100 % 10, kind // 10 % 10, kind % 10
        known = (of_machine, zero) == (machine, 0) and number in _TYPES and matrix in (0, 1, 2) and imaginary in (0, 1)
        if known and min(rows, columns) >= 0 and 1 < length <= _LONGEST_NAME:
            return np.dtype(order + _TYPES[number]), rows, columns, imaginary, length, matrix
    return None
