"""What the MATLAB-file formats share: reading with clear errors, 1-based indices, the BFM's own repairs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import shown
from uvgen.errors import ModelError
from uvgen.models.formats import known
from uvgen.models.morphable import REGIONS
from uvgen.storage.kinds import describe_file
from uvgen.storage.matfile import Unread, read_variables
from uvgen.storage.names import brief
from uvgen.storage.reading import max_bytes
from uvgen.wording import count

_DEEPEST = 4  # groups in groups: structs in structs
_MOST_VARIABLES = 1024
_NUMERIC_CLASSES = (
    "double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
)  # fmt: skip
_OTHER_CLASSES = {"char": "text", "cell": "a cell array", "function_handle": "a function"}
_LEAST_BYTES, _MOST_RATIO = 64 << 20, 16  # what a file's variables may take unpacked, and times its own size

# 1-based vertices of the trimmed model whose published UV are off, and the neighbors whose mean replaces
# them (face3d, examples/Data/BFM/generate.m).
_UV_REPAIRS = ((10032, (10033, 10158)), (10155, (10534, 10157, 10661)), (10280, (10916, 10286)))


def load(path: Path, *required: str, struct: str | None = None) -> dict[str, Any]:
    """Variables of a MATLAB file, or the fields of its one struct.

    Parameters
    ----------
    path : Path
        A ``.mat`` file of any version.
    *required : str
        Variables or fields that must be there.
    struct : str, optional
        The struct variable whose fields are wanted.

    Returns
    -------
    dict of str to ndarray
        Full matrices, sparse ones and those wrapped in a cell or a struct array of one included.

    Raises
    ------
    ModelError
        If the file is missing, not a MATLAB file, or lacks a variable.
    """
    if not path.exists():
        raise ModelError(f"{path}: no such file, expected a MATLAB file")
    try:
        if describe_file(path) == "a MATLAB 7.3 file":
            content = _load_hdf5(path, None if struct is None else [struct])
        else:
            content = read_variables(path, None if struct is None else [struct])
    except MemoryError:
        raise
    except Exception as error:  # h5py raises errors of any type on damaged files
        kind = describe_file(path)
        if kind == "a MATLAB 7.3 file":
            raise _unreadable(path, error) from error
        if kind.startswith("a MATLAB"):
            raise ModelError(f"{path}: not a readable MATLAB file ({brief(error)}); download it again") from error
        raise ModelError(f"{path}: not a readable MATLAB file ({kind}){known.advice(path)}") from error
    if struct is not None:
        record = content.get(struct)
        _check_read(record)
        if not isinstance(record, dict):
            if struct in content:
                raise ModelError(f"{path}: `{struct}` in it is no struct of one face model, expected face3d's file")
            raise ModelError(f"{path}: no struct `{struct}` in it, expected face3d's file{known.advice(path)}")
        content = record
    for name in required:
        if name not in content:
            present = ", ".join(sorted(key for key in content if not key.startswith("__"))) or "nothing"
            raise ModelError(f"{path}: variable {name} is missing; the file holds {brief(present)}{known.advice(path)}")
    return content


class _TooMuchError(ModelError):
    """A file holds more than a model does."""


def _load_hdf5(path: Path, names: list[str] | None) -> dict[str, Any]:
    """Variables of a MATLAB 7.3 file: HDF5, the axes in reverse order, structs as groups.

    They are counted: links may lead to the same group, or the same large variable, again and again.
    """
    from uvgen.storage.hdf5_reading import open_hdf5

    most_bytes = min(max_bytes(), _LEAST_BYTES + _MOST_RATIO * path.stat().st_size)
    left = {"variables": _MOST_VARIABLES, "bytes": most_bytes}

    def count(what: str, n: int) -> None:
        left[what] -= n
        if left[what] < 0:
            raise _TooMuchError(f"{path}: holds too many {what}; is it a model? It may be damaged")

    with open_hdf5(path, ModelError, user_block=512) as file:

        def value(name: str, depth: int) -> Any:
            try:
                count("variables", 1)
                if file.is_group(name):
                    if names is None or depth:  # no model has a struct there, and to list one is not safe
                        return Unread("a struct")
                    return {key: value(f"{name}/{key}", depth + 1) for key in file.members(name)}
                item = file.safe_dataset(name)
                count("bytes", item.n_bytes)
                kind = item.attributes.get("MATLAB_class", "double")
                if kind not in _NUMERIC_CLASSES:  # whose characters and the like are stored as numbers
                    return Unread(_OTHER_CLASSES.get(kind, "an object") if isinstance(kind, str) else "an object")
                return np.empty((0, 0)) if item.attributes.get("MATLAB_empty", 0) else item.read().T
            except _TooMuchError:
                raise
            except ModelError as error:  # a cell, table or text has types of its own, and may be none that is wanted
                return Unread("a variable that cannot be read", _unreadable(path, error))

        return {name: value(name, 0) for name in file.names if names is None or name in names}


def _unreadable(path: Path, error: Exception) -> ModelError:
    again = "save it again in MATLAB with save(..., '-v7')"
    return ModelError(f"{path}: MATLAB 7.3 file; {again}, it cannot be read ({brief(error)})")


def _check_read(value: Any) -> None:
    """Raise the error of a variable of a 7.3 file that could not be read."""
    if isinstance(value, Unread) and value.error is not None:
        raise value.error


def numbers(content: dict[str, Any], name: str, path: Path) -> NDArray[Any]:
    """A variable as a matrix of real numbers; ModelError if it is something else."""
    _check_read(content[name])
    if isinstance(content[name], (dict, Unread)):
        found = "a struct" if isinstance(content[name], dict) else content[name].what
        raise ModelError(f"{path}: {name} is {found}, expected a vector or matrix of real numbers")
    array = np.asarray(content[name])
    if array.dtype.kind not in "fiub" or array.ndim > 2:
        raise ModelError(f"{path}: {name} is {shown(array)}, expected a vector or matrix of real numbers")
    return np.atleast_2d(array)


def vector(content: dict[str, Any], name: str, path: Path, length: int | None = None) -> NDArray[Any]:
    """A variable that is one row, one column or empty, as (length,)."""
    array = numbers(content, name, path)
    if (array.size and 1 not in array.shape) or (length is not None and array.size != length):
        expected = "one row or column" if length is None else f"one row or column of {length} numbers"
        raise ModelError(f"{path}: {name} is {shown(array)}, expected {expected}")
    return array.ravel()


def points(content: dict[str, Any], name: str, path: Path) -> NDArray[Any]:
    """A variable of three numbers per vertex, x, y, z of one after the other, as (3n,)."""
    array = vector(content, name, path)
    if array.size % 3 or not array.size:
        raise ModelError(f"{path}: {name} has {count(array.size, 'number')}, expected three per vertex")
    return array


def rows(content: dict[str, Any], name: str, path: Path, n: int) -> NDArray[Any]:
    """A matrix of n rows, or the same as n columns, as (n, *); a square one is taken as rows."""
    array = numbers(content, name, path)
    if not array.size:
        return np.empty((n, 0), array.dtype)
    if array.shape[0] != n and array.shape[1] == n:
        array = array.T
    if array.shape[0] != n:
        raise ModelError(f"{path}: {name} has {count(array.shape[0], 'row')}, expected {n}; it is {shown(array)}")
    return array


def pairs(content: dict[str, Any], name: str, path: Path) -> NDArray[Any]:
    """A matrix of pairs, (2, q) or (q, 2), as (2, q); one of (2, 2) is taken as (2, q)."""
    array = numbers(content, name, path)
    if 2 not in array.shape:
        raise ModelError(f"{path}: {name} is {shown(array)}, expected (2, q): pairs of vertices")
    return array if array.shape[0] == 2 else array.T


def uv_rows(content: dict[str, Any], path: Path, *lengths: int) -> NDArray[np.float64]:
    """The variable UV, (n, 2) or (2, n), as (n, 2) if n is one of `lengths`."""
    array = numbers(content, "UV", path)
    for n in lengths:
        if array.shape in ((n, 2), (2, n)):
            return (array if array.shape == (n, 2) else array.T).astype(np.float64)
    found = f"has {count(max(array.shape), 'row')}" if 2 in array.shape else f"is {shown(array)}"
    raise ModelError(f"{path}: UV {found}, expected {' or '.join(map(str, lengths))} rows of two numbers")


def indices(array: NDArray[Any]) -> NDArray[np.int32]:
    """0-based int32 indices from MATLAB's 1-based numbers of any dtype; -1 for what is none: a fraction, NaN."""
    array = np.asarray(array)
    if array.dtype.kind == "f":
        array = array.astype(np.float64)  # float16 cannot hold the limit
        array = np.where((array == np.rint(array)) & (np.abs(array) < 2**31), array, 0)
    return (array.astype(np.int64) - 1).clip(-1, 2**31 - 1).astype(np.int32)


def named_vertices(array: NDArray[Any], name: str, path: Path, n: int) -> NDArray[np.int32]:
    """`indices` of an array whose numbers are to be vertices of a mesh of n; ModelError if one is none."""
    found = indices(array)
    if found.size and not 0 <= found.min() <= found.max() < n:
        odd = np.asarray(array).ravel()[np.flatnonzero((found < 0) | (found >= n))[0]]
        raise ModelError(f"{path}: {name} names vertex {odd:g}, expected whole numbers of 1 to {n}")
    return found


def triangles(content: dict[str, Any], name: str, path: Path, n: int) -> NDArray[np.int32]:
    """(m, 3) 0-based triangles of n vertices from a 1-based matrix (3, m), as the files have it, or (m, 3); (3, 3) is
    the former."""
    array = numbers(content, name, path)
    if 3 not in array.shape:
        raise ModelError(f"{path}: {name} is {shown(array)}, expected (3, m): the corners of triangles")
    return np.ascontiguousarray(named_vertices(array.T if array.shape[0] == 3 else array, name, path, n))


def deviations(content: dict[str, Any], name: str, path: Path, basis: NDArray[Any]) -> NDArray[Any]:
    """The standard deviations of a basis (*, k), as (k,).

    The bases are joined and told apart by these numbers: one too many here and one too few there would give
    parameters to other components.
    """
    array = vector(content, name, path)
    if len(array) != basis.shape[1]:
        raise ModelError(
            f"{path}: {name} has {count(len(array), 'number')}, expected {basis.shape[1]}: one per component"
        )
    if not (np.isfinite(array) & (array >= 0)).all():
        what = "NaN, infinity or negative numbers"
        raise ModelError(f"{path}: {name} holds {what}, expected standard deviations of 0 or more")
    return array


def check_uv(uv: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    """The same UV; ModelError, which names their own file, if they are not in the unit square."""
    if not np.isfinite(uv).all():
        raise ModelError(f"{path}: UV hold NaN or infinity, expected finite numbers")
    if uv.size and not 0 <= uv.min() <= uv.max() <= 1:
        raise ModelError(f"{path}: UV leave [0, 1], {uv.min():.4g} to {uv.max():.4g}, expected the unit square")
    return uv


def trimmed_uv(uv: NDArray[Any], trim: NDArray[np.int32] | None) -> NDArray[np.float64]:
    """UV of the trimmed model: from all 53,490 rows where these are given, with the three repairs.

    Files of face3d are trimmed and repaired already and come back as they are.
    """
    uv = np.asarray(uv, dtype=np.float64)
    if trim is None or len(uv) == len(trim):
        return uv
    uv = uv[trim]
    for bad, ring in _UV_REPAIRS:
        if max(bad, *ring) <= len(uv):
            uv[bad - 1] = uv[np.array(ring) - 1].mean(axis=0)
    return uv


def regions(segments: NDArray[Any], n: int, trim: NDArray[np.int32] | None, name: str = "segbin") -> NDArray[np.uint8]:
    """Region labels from the BFM's `segbin`: one column or row each for nose, eyes, mouth and the rest.

    The rest, face and neck alike, is labeled "face".
    """
    segments = np.asarray(segments)
    if not np.isfinite(segments).all():
        raise ModelError(f"{name}: holds NaN or infinity, expected 0 and 1")
    if segments.ndim == 2 and segments.shape[0] == 4 and segments.shape[1] != 4:
        segments = segments.T
    if trim is not None and len(segments) != n and (not len(trim) or trim.max() < len(segments)):
        segments = segments[trim]
    if segments.shape != (n, 4):
        raise ModelError(f"{name}: {shown(segments)}, expected ({n}, 4): nose, eyes, mouth, rest")
    labels = np.full(n, REGIONS.index("face"), np.uint8)
    for column, name in reversed(list(enumerate(("nose", "eyes", "mouth")))):
        labels[segments[:, column] != 0] = REGIONS.index(name)
    return labels


def mirror(pairs: NDArray[Any], n: int, name: str = "symlist") -> NDArray[np.int32]:
    """(n,) mirror vertex of each vertex from `symlist`, (2, q) 1-based pairs; -1 where no pair names it."""
    left, right = indices(pairs if pairs.shape[0] == 2 else pairs.T)
    if len(left) and not 0 <= min(left.min(), right.min()) <= max(left.max(), right.max()) < n:
        raise ModelError(f"{name}: names a vertex that does not exist, expected 1 to {n}")
    result = np.full(n, -1, np.int32)
    result[right[::-1]] = left[::-1]  # the first pair that names a vertex counts
    result[left[::-1]] = right[::-1]
    return result


def mirror_of(content: dict[str, Any], path: Path, n: int) -> NDArray[np.int32] | None:
    """`mirror` of the variable symlist, or None if there is none."""
    if "symlist" not in content:
        return None
    return mirror(pairs(content, "symlist", path), n, f"{path}: symlist")


def trim_of(content: dict[str, Any], path: Path) -> NDArray[np.int32] | None:
    """`kept_vertices`, or None if there is no variable trimIndex."""
    return kept_vertices(content, path) if "trimIndex" in content else None


def kept_vertices(content: dict[str, Any], path: Path) -> NDArray[np.int32]:
    """The variable trimIndex, which vertices of the whole model are kept, 0-based, each once."""
    trim = indices(vector(content, "trimIndex", path))
    if trim.min(initial=0) < 0:
        raise ModelError(f"{path}: trimIndex holds numbers that are not vertices, expected whole numbers from 1 on")
    ordered = np.sort(trim)
    if len(twice := ordered[1:][ordered[1:] == ordered[:-1]]):
        raise ModelError(f"{path}: trimIndex names vertex {twice[0] + 1} twice, expected each once")
    return trim


def joint_basis(shape: NDArray[Any], expression: NDArray[Any]) -> NDArray[np.float32]:
    """(n, 3, ks + ke) float32 from (3n, ks) and (3n, ke): one array, so that one product evaluates both."""
    basis = np.empty((len(shape), shape.shape[1] + expression.shape[1]), np.float32)
    basis[:, : shape.shape[1]] = shape
    basis[:, shape.shape[1] :] = expression
    return basis.reshape(len(shape) // 3, 3, -1)
