"""Lists of a mesh's vertices in files: landmarks, and the vertices of a larger mesh that a smaller one keeps.

Text and ``.npy`` files count from 0. MATLAB's ``.mat`` counts from 1, and so does an ``.anl`` with comments after
MATLAB's ``%``, as BFMLandmarks hands on for the Basel model of 2009 (its `readLandmarks` is MATLAB code). An ``.anl``
without, such as Landmarks68_model2017-1_face12_nomouth.anl, counts from 0, as the Python programs that use it take it.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError, ModelError
from uvgen.storage.names import brief, os_reason
from uvgen.storage.npy import read_npy_file
from uvgen.storage.text import number_of, read_text
from uvgen.wording import count

_LANDMARK_NAMES = ("keypoints", "kpt_ind", "idx", "indices")
_MATLAB_NAMES = ("idx", "trimIndex", "indices", *_LANDMARK_NAMES[:2])


def read_landmarks(path: Path) -> NDArray[np.int32]:
    """The vertices of the 68 iBUG points: text, .npy, .mat or .anl.

    Parameters
    ----------
    path : Path
        A file of 68 vertex numbers; of a ``.mat``, the variable keypoints, kpt_ind, idx or indices is taken, or the
        only one that there is.

    Returns
    -------
    (68,) int32
        0-based.

    Raises
    ------
    InputError
        If it cannot be read, holds something else, or another number of them.
    """
    numbers = _read(path, _LANDMARK_NAMES)
    if len(numbers) != 68:
        raise InputError(f"{path}: {count(len(numbers), 'number')}, expected 68: the iBUG points' vertices")
    return numbers


def read_vertex_numbers(path: Path) -> NDArray[np.int32]:
    """A list of vertices: text, .npy, .mat or .anl.

    Parameters
    ----------
    path : Path
        Of a ``.mat``, the variable idx, trimIndex, indices, keypoints or kpt_ind is taken, or the only one that there
        is.

    Returns
    -------
    (n,) int32
        0-based.

    Raises
    ------
    InputError
        If it cannot be read, or holds something else.
    """
    return _read(path, _MATLAB_NAMES)


def _read(path: Path, matlab_names: tuple[str, ...]) -> NDArray[np.int32]:
    """`read_vertex_numbers`, of a ``.mat`` the first of these variables."""
    suffix = path.suffix.lower()
    if suffix == ".mat":
        numbers, first = _of_matlab(path, matlab_names), 1
    elif suffix == ".npy":
        numbers, first = _of_npy(path), 0
    else:
        numbers, first = _of_text(path)
    if numbers.size and not first <= numbers.min() <= numbers.max() < 2**31:
        raise InputError(
            f"{path}: {numbers.min()} to {numbers.max()}, expected vertex numbers, which count from {first} in it"
        )
    return (numbers - first).astype(np.int32)


def _of_text(path: Path) -> tuple[NDArray[np.int64], int]:
    """The numbers of a text, and from which they count."""
    try:
        text = read_text(path, "a list of vertex numbers")
        words = re.sub(r"[#%][^\n]*", "", text).replace(",", " ").split()
        numbers = np.array(
            [int(word) if not number_of(word).is_integer() else int(float(word)) for word in words], np.int64
        )
        return numbers, 1 if path.suffix.lower() == ".anl" and "%" in text else 0
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({os_reason(error)})") from error
    except InputError:
        raise
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{path}: not readable as numbers ({brief(error)}), expected a list of vertex numbers"
        ) from error


def _of_npy(path: Path) -> NDArray[np.int64]:
    return _whole(read_npy_file(path, InputError, expected="a list of vertex numbers"), path)


def _of_matlab(path: Path, wanted: tuple[str, ...]) -> NDArray[np.int64]:
    from uvgen.models.formats import matlab

    try:
        content = matlab.load(path)
        names = [name for name in content if not name.startswith("__")]
        name = next((name for name in wanted if name in names), names[0] if len(names) == 1 else "")
        if not name:
            raise InputError(
                f"{path}: holds {brief(', '.join(names)) or 'nothing'}, expected one list of vertex numbers, named "
                f"{', '.join(wanted[:-1])} or {wanted[-1]}"
            )
        return _whole(matlab.vector(content, name, path), path)
    except ModelError as error:
        raise InputError(str(error)) from error


def _whole(array: NDArray[np.generic], path: Path) -> NDArray[np.int64]:
    with np.errstate(invalid="ignore"):
        numbers = array.ravel().astype(np.int64)
    if array.dtype.kind not in "fiu" or not np.array_equal(numbers, array.ravel()):
        raise InputError(f"{path}: numbers of type {array.dtype} that are not all whole, expected vertex numbers")
    return numbers
