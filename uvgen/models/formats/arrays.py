"""What the formats of arrays share: arrays from pickles and .npy files, and matrices of 3n rows as bases."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import shown
from uvgen.errors import ModelError
from uvgen.storage.kinds import describe_file
from uvgen.storage.names import os_reason
from uvgen.storage.npy import as_float64, read_npy
from uvgen.storage.pickles import load_plain_pickle
from uvgen.storage.reading import read_file
from uvgen.wording import expecting


def read_bytes(path: Path, what: str) -> bytes:
    """A file's bytes; ModelError if it is missing or cannot be read, with `what` was expected."""
    if not path.exists():
        raise ModelError(f"{path}: no such file, expected {what}")
    try:
        return read_file(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({os_reason(error)}), expected {what}") from error


def read_pickle(path: Path, what: str) -> Any:
    """The content of a pickle of arrays and plain containers; nothing in it is run.

    Raises
    ------
    ModelError
        If it is missing, no pickle, damaged, or holds something else.
    """
    data = read_bytes(path, what)
    try:
        return load_plain_pickle(data)
    except ValueError as error:
        raise ModelError(f"{path}: {expecting(f'{error} ({describe_file(path)})', what)}") from error


def read_array(path: Path, what: str) -> NDArray[Any]:
    """The array of a .npy file, or of a pickle of one; ModelError as `read_pickle`."""
    data = read_bytes(path, what)
    try:
        array = read_npy(data) if data[:6] == b"\x93NUMPY" else load_plain_pickle(data)
    except ValueError as error:
        raise ModelError(f"{path}: {expecting(f'{error} ({describe_file(path)})', what)}") from error
    return real(array, path, what)


def real(value: Any, path: Path, name: str) -> NDArray[Any]:
    """A value as an array of real numbers; ModelError if it is none."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise ModelError(f"{path}: {name} is {shown(value)}, expected an array of real numbers")
    return value


def vertices_of(array: NDArray[Any], path: Path, name: str) -> NDArray[np.float64]:
    """Points (n, 3) of an array of 3n numbers, x, y, z of one vertex after the other."""
    if not array.size or array.size % 3 or (max(array.shape, default=0) != array.size and array.shape[-1:] != (3,)):
        raise ModelError(f"{path}: {name} is {shown(array)}, expected three numbers per vertex")
    return as_float64(array).reshape(-1, 3)


def basis_of(array: NDArray[Any], path: Path, name: str, n: int) -> NDArray[Any]:
    """A basis (n, 3, k) of a matrix (3n, k)."""
    if array.ndim != 2 or array.shape[0] != 3 * n:
        raise ModelError(f"{path}: {name} is {shown(array)}, expected ({3 * n}, components): three rows per vertex")
    return array.reshape(n, 3, array.shape[1])


def whole_numbers(array: NDArray[Any], path: Path, name: str) -> NDArray[np.int64]:
    """Indices of any type as int64; ModelError if one is no whole number."""
    with np.errstate(invalid="ignore"):
        numbers = array.astype(np.int64)
    if not np.array_equal(numbers, array):
        raise ModelError(f"{path}: {name} holds numbers that are not whole, expected vertices")
    return numbers


def triangles_of(array: NDArray[Any], path: Path, name: str) -> NDArray[np.int64]:
    """Triangles (m, 3), 0-based, of a matrix (3, m) or (m, 3); (3, 3) is the former."""
    if array.ndim != 2 or 3 not in array.shape:
        raise ModelError(f"{path}: {name} is {shown(array)}, expected (3, m) or (m, 3): the corners of triangles")
    return np.ascontiguousarray(whole_numbers(array.T if array.shape[0] == 3 else array, path, name))
