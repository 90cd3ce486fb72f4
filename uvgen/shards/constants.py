"""`constants.npz`: arrays that are the same for all samples of a data set, such as the weight mask."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError
from uvgen.storage.files import replaced_on_success, sha256_file

CONSTANTS = "constants.npz"


def write_constants(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Write a data set's constants; the same arrays give the same bytes. Return the file's SHA-256."""
    values: dict[str, Any] = dict(arrays)
    with replaced_on_success(folder / CONSTANTS) as temporary:
        with open(temporary, "wb") as file:
            np.savez(file, **values)
        return sha256_file(temporary)


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
