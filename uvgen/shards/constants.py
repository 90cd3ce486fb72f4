"""`constants.npz`: arrays that are the same for all samples of a data set, such as the weight mask."""

import hashlib
import io
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError
from uvgen.storage.files import replaced_on_success, same_content
from uvgen.storage.names import printable
from uvgen.storage.npy import read_npy_header
from uvgen.storage.reading import open_regular
from uvgen.wording import typed

CONSTANTS = "constants.npz"
_LAYOUTS: dict[str, tuple[str, tuple[int | None, ...]]] = {  # None: texels along a side
    "weight_mask": ("float32", (None, None)),
    "coverage": ("bool", (None, None)),
    "landmark_texels": ("int32", (68, 2)),
    "landmark_indices": ("int32", (68, 4)),
    "landmark_weights": ("float32", (68, 4)),
}

_CORNERS = 3  # of a triangle
_LARGEST_WEIGHT = 1e3  # of a texel; those of a face are below 4
_SUM_TOLERANCE = 1e-3  # float32's rounding of four such weights
_MAX_BYTES = 256 << 20  # of all arrays: twice those of maps of 4096 texels


def write_constants(folder: Path, data: bytes) -> None:
    """Write a data set's constants (`constants_bytes`), if they are not there already."""
    if not same_content(folder / CONSTANTS, data):
        with replaced_on_success(folder / CONSTANTS, make_folder=False) as temporary:
            temporary.write_bytes(data)


def constants_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """What the file of these arrays holds."""
    values: dict[str, Any] = dict(arrays)
    stream = io.BytesIO()
    np.savez(stream, **values)
    return stream.getvalue()


def hash_of_weights(constants: Mapping[str, NDArray[Any]]) -> str:
    """Of the weight mask among a data set's constants, as `dataset.json` has it."""
    return hashlib.sha256(constants["weight_mask"].tobytes()).hexdigest()


def read_constants(folder: str | os.PathLike[str], size: int) -> dict[str, NDArray[Any]]:
    """A data set's constants, of maps of `size` texels; DatasetError if their file is missing or cannot be read."""
    path = Path(folder, CONSTANTS)
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            names = [member.filename.removesuffix(".npy") for member in members]
            if sorted(names) != sorted(_LAYOUTS):
                raise ValueError(f"holds {', '.join(names)[:200] or 'nothing'}, expected {', '.join(_LAYOUTS)}")
            if sum(member.file_size for member in members) > _MAX_BYTES:
                raise ValueError(f"its arrays take more than {_MAX_BYTES} bytes")
            arrays = {
                name: _read_array(archive, member, name, size) for name, member in zip(names, members, strict=True)
            }
            _check_values(arrays, size)
            return arrays
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path}: missing; `uvgen verify --repair` makes it again, as does the command that made the data set"
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # zipfile and NumPy raise many kinds on damaged files
        why = printable(str(error))  # which names what is in the file
        raise DatasetError(f"{path}: cannot be read ({why}); run `uvgen verify {typed(path.parent)}`") from error


def _check_values(arrays: Mapping[str, NDArray[Any]], size: int) -> None:
    """Raise ValueError if values cannot be what they stand for: readers use them as indices."""
    for name, stop in (("landmark_texels", size), ("landmark_indices", size * size)):
        if not ((arrays[name] >= 0) & (arrays[name] < stop)).all():
            raise ValueError(f"{name} holds numbers outside 0 to {stop - 1}, expected those of texels")
    for name in ("weight_mask", "landmark_weights"):
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} holds NaN or infinity")
    if arrays["weight_mask"].min(initial=0) < 0:
        raise ValueError("weight_mask holds negative values")
    weights = arrays["landmark_weights"].astype(np.float64)
    if np.abs(weights).max() > _LARGEST_WEIGHT or np.abs(weights.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
        raise ValueError("landmark_weights holds weights that do not sum to 1")
    if not arrays["coverage"].any():
        raise ValueError("coverage is empty, expected texels that lie on the mesh")
    rows = arrays["coverage"].astype(np.uint8)
    rows = rows[:-1] + rows[1:]
    if (rows[:, :-1] + rows[:, 1:]).max(initial=0) < _CORNERS:
        raise ValueError("coverage holds no triangle: three texels of a square of four")


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, texels: int) -> NDArray[Any]:
    """One array, whose size is known to be that of its bytes before any memory is taken."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
        raise ValueError(f"{member.filename} is compressed in an unknown way")
    with archive.open(member) as file:
        try:
            shape, columns_first, dtype = read_npy_header(file)
        except ValueError as error:
            raise ValueError(f"{member.filename} has a damaged header ({error})") from error
        wanted, lengths = _LAYOUTS[name]
        expected = tuple(texels if n is None else n for n in lengths)
        if dtype != np.dtype(wanted) or columns_first or shape != expected:
            raise ValueError(f"{member.filename} holds {dtype} {shape}, expected {wanted} {expected}")
        size = math.prod(shape) * dtype.itemsize
        if file.tell() + size != member.file_size:
            raise ValueError(f"{member.filename} has {member.file_size} bytes, {dtype} {shape} needs others")
        data = bytearray(file.read(size))
        if len(data) != size or file.read(1):
            raise ValueError(f"{member.filename} is cut short")
    return np.frombuffer(data, dtype).reshape(shape)
