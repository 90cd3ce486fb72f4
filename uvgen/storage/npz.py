"""NumPy's ``.npz`` archives, read so that no memory is taken before the headers are known to be true.

An archive is a ZIP of ``.npy`` files, stored or deflated. Members are read by name. Of the others nothing but the entry
in the archive's table is looked at, so that arrays of objects, which are pickles, do no harm if nobody asks for one.
"""

import math
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.storage.names import brief
from uvgen.storage.npy import are_characters, read_npy_header
from uvgen.storage.reading import max_bytes, open_regular

_MAX_MEMBERS = 4096
_LEAST_BYTES, _MOST_RATIO = 64 << 20, 16  # what the arrays may take unpacked, and times the size of the file


def npz_names(path: str | os.PathLike[str]) -> list[str]:
    """Names of the arrays in an archive; none if the file is no archive of arrays or cannot be read.

    Parameters
    ----------
    path : path-like
        Any file; it is not trusted.

    Returns
    -------
    list of str
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()[:_MAX_MEMBERS] if name.endswith(".npy")]
    except MemoryError:
        raise
    except Exception:  # zipfile raises many kinds on damaged files
        return []


def read_npz(path: str | os.PathLike[str], required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any]:
    """Arrays of an archive.

    Parameters
    ----------
    path : path-like
        The file; it is not trusted.
    required, optional : iterable of str
        Names of the arrays that are read.

    Returns
    -------
    dict of str to ndarray
        Numbers, bool or text, by name; without those of `optional` that are not there.

    Raises
    ------
    ValueError
        If it is damaged, lacks a required array, or one holds objects or records; the message names the array.
    OSError
        If it cannot be opened.
    """
    path = Path(path)
    required, optional = list(required), list(optional)
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            archive = zipfile.ZipFile(file)
        except MemoryError:
            raise
        except Exception as error:
            raise ValueError(f"no archive of arrays ({_reason(error)}), or damaged") from error
        with archive:
            listed = archive.infolist()
            if len(listed) > _MAX_MEMBERS:
                raise ValueError(f"{len(listed)} arrays, expected {_MAX_MEMBERS} at most")
            members = {member.filename.removesuffix(".npy"): member for member in listed}
            if len(members) < len(listed):
                names = [member.filename.removesuffix(".npy") for member in listed]
                twice = next(name for k, name in enumerate(names) if name in names[:k])
                raise ValueError(f"holds {twice[:60]} twice, expected each array once")
            if missing := [name for name in required if name not in members]:
                held = ", ".join(members)[:200] or "nothing"
                raise ValueError(f"holds no {missing[0]}, only {held}; is it another program's file?")
            wanted = [name for name in [*required, *optional] if name in members]
            taken, limit = sum(members[name].file_size for name in wanted), _limit(size)
            if taken > limit:
                raise ValueError(f"its arrays take {taken} bytes, more than {limit}; set UVGEN_MAX_BYTES to allow more")
            found = {name: _read_member(archive, members[name], name) for name in wanted}
            taken = sum(array.size * max(array.itemsize, 8) for array in found.values())  # readers compute in float64
            if taken > limit:
                raise ValueError(
                    f"its numbers take {taken} bytes as float64, more than {limit}; set UVGEN_MAX_BYTES to allow more"
                )
            return found


def _limit(size: int) -> int:
    stated = "UVGEN_MAX_BYTES" in os.environ
    return max_bytes() if stated else min(max(_LEAST_BYTES, _MOST_RATIO * size), max_bytes())


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
        raise ValueError(f"{name} is compressed in an unknown way, expected np.savez or np.savez_compressed")
    try:
        with archive.open(member) as file:
            return _read_array(file, member.file_size, name)
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds on damaged files
        raise ValueError(f"{name} cannot be read ({_reason(error)}); it is damaged") from error


def _read_array(file: Any, n_bytes: int, name: str) -> NDArray[Any]:
    try:
        shape, columns_first, dtype = read_npy_header(file)
    except ValueError as error:
        raise ValueError(f"{name} has a damaged header ({error})") from error
    if dtype.kind not in "fiubUS" or dtype.names is not None:
        raise ValueError(f"{name} holds {_kind(dtype)}, expected numbers or text")
    if not dtype.itemsize and 0 not in shape:  # any number of texts, in no bytes
        raise ValueError(f"{name} holds {dtype} {str(shape)[:60]}: texts of no length, expected numbers or text")
    size = math.prod(shape) * dtype.itemsize
    if file.tell() + size != n_bytes:
        raise ValueError(f"{name} has {n_bytes - file.tell()} bytes, {dtype} {str(shape)[:60]} needs {str(size)[:30]}")
    data = bytearray(size)
    n = 0
    while n < size and (block := file.read(min(size - n, 1 << 24))):
        data[n : n + len(block)] = block
        n += len(block)
    if n != size or file.read(1):  # the end, if the checksum is looked at
        raise ValueError(f"{name} is cut short; it is damaged")
    if not dtype.itemsize:
        return np.zeros(shape, dtype)
    if not are_characters(data, dtype):
        raise ValueError(f"{name} holds texts of damaged characters")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if columns_first else "C")


def _kind(dtype: np.dtype[Any]) -> str:
    return "Python objects" if dtype.hasobject else f"values of type {str(dtype)[:60]}"


def _reason(error: Exception) -> str:
    return brief(error) or type(error).__name__
