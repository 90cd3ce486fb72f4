"""What the MATLAB-file formats share: reading with clear errors, 1-based indices, the BFM's own repairs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import shown
from uvgen.errors import ModelError
from uvgen.models.morphable import REGIONS

# 1-based vertices of the trimmed model whose published UV are off, and the neighbours whose mean replaces
# them (face3d, examples/Data/BFM/generate.m).
_UV_REPAIRS = ((10032, (10033, 10158)), (10155, (10534, 10157, 10661)), (10280, (10916, 10286)))


def load(path: Path, *required: str, struct: str | None = None) -> dict[str, Any]:
    """Variables of a MATLAB file, or the fields of its one struct.

    Parameters
    ----------
    path : Path
        A ``.mat`` file, version 5 to 7.
    *required : str
        Variables or fields that must be there.
    struct : str, optional
        The struct variable whose fields are wanted.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ModelError
        Where the file is missing, not a MATLAB file, or lacks a variable.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path, variable_names=None if struct is None else [struct])
    except NotImplementedError as error:
        raise ModelError(f"{path}: MATLAB 7.3 file; save it again in MATLAB with save(..., '-v7')") from error
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file") from error
    except (OSError, ValueError, TypeError, MatReadError, EOFError) as error:
        raise ModelError(f"{path}: not a readable MATLAB file ({error}); download it again") from error
    if struct is not None:
        if struct not in content or content[struct].dtype.names is None:
            raise ModelError(f"{path}: no struct `{struct}` in it; expected face3d's file")
        record = content[struct].ravel()[0]
        content = {name: record[name] for name in record.dtype.names}
    for name in required:
        if name not in content:
            present = ", ".join(sorted(key for key in content if not key.startswith("__")))
            raise ModelError(f"{path}: variable {name} is missing; the file holds {present}")
    return content


def indices(array: NDArray[Any]) -> NDArray[np.int32]:
    """0-based int32 indices from MATLAB's 1-based numbers of any dtype."""
    return np.asarray(array).astype(np.int64).astype(np.int32) - np.int32(1)


def triangles(array: NDArray[Any]) -> NDArray[np.int32]:
    """(m, 3) 0-based triangles from a (3, m) or (m, 3) 1-based matrix."""
    array = np.asarray(array)
    return np.ascontiguousarray(indices(array if array.shape[-1] == 3 and array.shape[0] != 3 else array.T))


def trimmed_uv(uv: NDArray[Any], trim: NDArray[np.int32] | None) -> NDArray[np.float64]:
    """UV of the trimmed model: from all 53,490 rows where these are given, with the three repairs.

    Files of face3d are trimmed and repaired already and come back as they are.
    """
    uv = np.asarray(uv, dtype=np.float64)
    if trim is None or len(uv) == len(trim):
        return uv
    uv = uv[trim]
    for bad, ring in _UV_REPAIRS:
        if bad <= len(uv):
            uv[bad - 1] = uv[np.array(ring) - 1].mean(axis=0)
    return uv


def regions(segments: NDArray[Any], n: int, trim: NDArray[np.int32] | None) -> NDArray[np.uint8]:
    """Region labels from the BFM's `segbin`: one column or row each for nose, eyes, mouth and the rest.

    The rest, face and neck alike, is labelled "face".
    """
    segments = np.asarray(segments)
    if segments.shape[0] == 4 and segments.shape[1] != 4:
        segments = segments.T
    if trim is not None and len(segments) != n:
        segments = segments[trim]
    if segments.shape != (n, 4):
        raise ModelError(f"segbin: {shown(segments)}, expected ({n}, 4): nose, eyes, mouth, rest")
    labels = np.full(n, REGIONS.index("face"), np.uint8)
    for column, name in reversed(list(enumerate(("nose", "eyes", "mouth")))):
        labels[segments[:, column] != 0] = REGIONS.index(name)
    return labels


def mirror(pairs: NDArray[Any], n: int) -> NDArray[np.int32]:
    """(n,) mirror vertex of each vertex from `symlist`, (2, q) 1-based pairs; -1 where no pair names it."""
    left, right = indices(pairs if pairs.shape[0] == 2 else pairs.T)
    result = np.full(n, -1, np.int32)
    result[right[::-1]] = left[::-1]  # the first pair that names a vertex counts
    result[left[::-1]] = right[::-1]
    return result


def joint_basis(shape: NDArray[Any], expression: NDArray[Any]) -> NDArray[np.float32]:
    """(n, 3, ks + ke) float32 from (3n, ks) and (3n, ke): one array, so that one product evaluates both."""
    basis = np.empty((len(shape), shape.shape[1] + expression.shape[1]), np.float32)
    basis[:, : shape.shape[1]] = shape
    basis[:, shape.shape[1] :] = expression
    return basis.reshape(len(shape) // 3, 3, -1)
