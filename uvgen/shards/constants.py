"""`constants.npz`: arrays that are the same for all samples of a data set, such as the weight mask."""

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError
from uvgen.storage.files import replaced_on_success, same_content

CONSTANTS = "constants.npz"


def write_constants(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Write a data set's constants; the same arrays give the same bytes. Return the file's SHA-256."""
    values: dict[str, Any] = dict(arrays)
    stream = io.BytesIO()
    np.savez(stream, **values)
    data = stream.getvalue()
    if not same_content(folder / CONSTANTS, data):
        with replaced_on_success(folder / CONSTANTS, make_folder=False) as temporary:
            temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def read_constants(folder: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """A data set's constants; DatasetError where their file is missing or cannot be read."""
    path = Path(folder, CONSTANTS)
    try:
        with np.load(path, allow_pickle=False) as content:
            return dict(content)
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: missing; run what made the data set again") from error
    except Exception as error:  # zipfile and NumPy raise many kinds on damaged files
        raise DatasetError(f"{path}: cannot be read ({error}); run `uvgen verify {path.parent}`") from error
