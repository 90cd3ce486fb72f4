"""NumPy's ``.npy`` files. No memory is taken for the array before the header was compared with the file's size."""

import ast
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from uvgen.errors import UvgenError
from uvgen.storage.names import brief, os_reason
from uvgen.storage.reading import read_file
from uvgen.wording import expecting

_MAX_HEADER = 4096  # bytes
_MAX_DIMENSIONS = 32
_MOST_BYTES = 1 << 63
_VERSIONS = {(1, 0): (2, npy.read_array_header_1_0), (2, 0): (4, npy.read_array_header_2_0)}
_LONG = re.compile(rb"(?<=\d)L\b")  # how Python 2 wrote whole numbers


class NpyHeader(NamedTuple):
    """What a ``.npy`` file says of the array that follows."""

    shape: tuple[int, ...]
    columns_first: bool
    dtype: np.dtype[Any]


def read_npy_header(file: IO[bytes]) -> NpyHeader:
    """The header of a ``.npy`` file, which is not trusted and is left where the values begin.

    Raises ValueError with the reason if it is damaged, or of a shape that no array has.
    """
    try:
        version = npy.read_magic(file)
        if version not in _VERSIONS:
            raise ValueError(f"version {version} of the format, expected 1.0 or 2.0")
        width, read_header = _VERSIONS[version]
        n = int.from_bytes(file.read(width), "little")
        if n > _MAX_HEADER:
            raise ValueError(f"{n} bytes of header, expected {_MAX_HEADER} at most")
        text = file.read(n)
        if len(text) < n:
            raise ValueError("a header that is cut short")
        text = _LONG.sub(b"", text)
        _check_each_once(text)
        header = NpyHeader(*read_header(io.BytesIO(len(text).to_bytes(width, "little") + text)))
    except (MemoryError, RecursionError):  # of Python's parser; no cause of the error: memory is not short
        raise ValueError("a header of brackets within brackets") from None
    except Exception as error:
        reason = brief(error) if isinstance(error, ValueError) else ""
        raise ValueError(reason or type(error).__name__) from error
    shape = header.shape
    if any(type(n) is not int or n < 0 for n in shape) or not is_shape(shape, header.dtype):
        raise ValueError(f"a shape of {str(shape)[:60]}")
    return header


def _check_each_once(text: bytes) -> None:
    """Raise ValueError if a header states something twice: NumPy takes the last."""
    try:
        stated = ast.parse(text.decode("latin-1").strip(), mode="eval").body
    except SyntaxError:  # NumPy says so, too
        return
    keys = [key.value for key in stated.keys if isinstance(key, ast.Constant)] if isinstance(stated, ast.Dict) else []
    if len(set(keys)) < len(keys):
        raise ValueError("a header that states something twice")


def is_shape(shape: Sequence[int], dtype: np.dtype[Any]) -> bool:
    """Whether NumPy makes arrays of a shape: also those without values must not be too large along the other axes."""
    if len(shape) > _MAX_DIMENSIONS or any(n >= _MOST_BYTES for n in shape):  # whose product would take long
        return False
    return math.prod(n for n in shape if n) * max(dtype.itemsize, 1) < _MOST_BYTES


def are_characters(data: bytes | bytearray, dtype: np.dtype[Any]) -> bool:
    """Whether the values of an array are such that NumPy can make texts of them; true for all that is no text.

    For other numbers it raises a SystemError if a text is first looked at; halves of surrogate pairs cannot be
    printed or written.
    """
    if dtype.kind != "U":
        return True
    codes = np.frombuffer(data, "u4" if dtype.isnative else np.dtype("u4").newbyteorder())
    return not bool(((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any())


def read_npy_file(
    path: Path, error: type[UvgenError], *, expected: str = "", most_bytes: int | None = None
) -> NDArray[Any]:
    """An array of real numbers or bool from a ``.npy`` file.

    Parameters
    ----------
    path : Path
        It is not trusted.
    error : type
        What to raise if it cannot be read, or is no such file; the message names it, and what was `expected`.
    expected : str
        "UV (n, 2)".
    most_bytes : int, optional
        Size up to which it is read, see `uvgen.storage.reading.read_file`.

    Returns
    -------
    ndarray
    """
    try:
        return read_npy(read_file(path, most_bytes))
    except OSError as problem:
        raise error(f"{path}: cannot be read ({os_reason(problem)})") from problem
    except ValueError as problem:
        raise error(f"{path}: {expecting(problem, expected)}") from problem


def as_float64(array: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers of a file as float64, without NumPy's warnings of signaling NaN and of numbers that are too large.

    What is not finite is for the caller to refuse: a warning would appear beside its error, or instead of one.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(np.float64)


def read_npy(data: bytes) -> NDArray[Any]:
    """An array of real numbers or bool from the bytes of a ``.npy`` file.

    Parameters
    ----------
    data : bytes
        The whole file; it is not trusted.

    Returns
    -------
    ndarray
        Read-only; a view of `data`.

    Raises
    ------
    ValueError
        If it is damaged, cut short, followed by more, or holds objects, text, records or complex numbers.
    """
    stream = io.BytesIO(data)
    try:
        shape, columns_first, dtype = read_npy_header(stream)
    except ValueError as error:
        raise ValueError(f"damaged .npy header: {error}") from error
    if dtype.kind not in "fiub" or dtype.names is not None:
        raise ValueError(f"{str(dtype)[:60]} values, expected real numbers")
    size = math.prod(shape) * dtype.itemsize
    if size != len(data) - stream.tell():
        found = len(data) - stream.tell()
        raise ValueError(f"{found} bytes of values, {dtype} {str(shape)[:60]} needs {str(size)[:30]}; it is damaged")
    return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape, order="F" if columns_first else "C")
