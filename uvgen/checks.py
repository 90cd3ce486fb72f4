"""Checks and conversions of arguments, the same in every room.

Every message has one order: the argument, what was found, what was expected, and what to do if that is not obvious.
Lengths in a shape are numbers; a name such as "B" or None stands for any length, -1 for any but zero, and a leading
``...`` for any axes before the others.
"""

import math
import operator
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from uvgen.errors import InputError
from uvgen.wording import count

MAX_SIDE = 32768  # pixels; keeps every pixel index of a picture, and every coordinate in it, exact
FARTHEST_PX = 1e6  # from an image's corner: a label that lies farther away is damaged or of another unit

_KINDS = {"real numbers": "fiub", "bool or real numbers": "fiub", "numbers": "fiu", "integers": "iu"}
_OVERSHOOT = 0.25  # of colors of 0 to 1 that were resampled
_LONGEST = 60  # characters of a value in a message
_LARGEST = sys.float_info.max


def frozen(array: ArrayLike, dtype: DTypeLike) -> NDArray[Any]:
    """A C-contiguous, aligned, read-only view or copy: every kernel is then compiled for one type alone."""
    view = np.require(array, dtype, ["C", "A"]).view(np.ndarray)[...]
    view.flags.writeable = False
    return view


def describe(*shapes: Sequence[Any]) -> str:
    """Shapes as text: ``(*, 3) or (B, *, 3)``, with 1+ for a length that must not be zero."""
    marks: dict[Any, str] = {None: "*", -1: "1+", ...: "..."}
    texts = [", ".join(marks.get(n, str(n)) for n in shape) + "," * (len(shape) == 1) for shape in shapes]
    return " or ".join(f"({text})" for text in texts)


def shown(value: Any) -> str:
    """A value as messages show it: arrays and tensors as dtype and shape, all else as text, cut to 60 characters."""
    try:
        if getattr(value, "is_nested", False):  # PyTorch's, which has no shape
            return "a nested tensor"
        if not isinstance(value, type) and hasattr(value, "dtype") and getattr(value, "shape", None):
            return f"{value.dtype} {tuple(value.shape)}"
        text = str(value) if isinstance(value, Real) else " ".join(repr(value)[: 64 * _LONGEST].split())  # one line
    except (RecursionError, ValueError):  # lists in lists, or integers of thousands of digits
        return f"{type(value).__name__} too long to show"
    except Exception:  # an object's own: what is wrong with it is said in its place
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def check_array(array: Any, name: str, *shapes: Sequence[Any], kind: str | None = None, note: str = "") -> None:
    """Raise InputError unless an array, or a tensor, has one of the shapes and is of the kind.

    `kind` is the name of a dtype, "real numbers" (bool too), "bool or real numbers" (the same, for masks), "numbers"
    (no bool), "integers", or None for any; a tensor needs None. `note` says what the array is to hold.
    """
    if isinstance(array, np.ndarray | np.generic):
        if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
            raise InputError(
                f"{name}: a masked array with masked values, expected plain numbers; leave those out or fill them"
            )
    elif not is_tensor(array) or getattr(array, "is_nested", False):
        raise InputError(f"{name}: {shown(array)}, expected {_wanted(shapes, kind, note)}")
    of_kind = kind is None or (array.dtype.kind in _KINDS[kind] if kind in _KINDS else array.dtype == kind)
    if not of_kind or not any(_fits(tuple(array.shape), shape) for shape in shapes):
        raise InputError(f"{name}: {array.dtype} {tuple(array.shape)}, expected {_wanted(shapes, kind, note)}")


def _wanted(shapes: Iterable[Sequence[Any]], kind: str | None, note: str) -> str:
    wanted = describe(*shapes) if kind is None else f"{kind} of shape {describe(*shapes)}"
    return f"{wanted}{note and ': '}{note}"


def _fits(have: tuple[int, ...], shape: Sequence[Any]) -> bool:
    if shape and shape[0] is ...:
        shape = shape[1:]
        have = have[max(0, len(have) - len(shape)) :]
    if len(have) != len(shape):
        return False
    return all(not isinstance(n, int) or k == n or (n == -1 and k > 0) for k, n in zip(have, shape, strict=True))


def as_array(value: Any, name: str) -> NDArray[Any]:
    """`value` as a NumPy array; InputError if NumPy cannot make one of it."""
    try:
        return np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:  # a ragged list; a tensor on a device or with a gradient; what else an object raises
        reason = " ".join(str(error).split())
        raise InputError(f"{name}: {shown(value)}, expected what NumPy can make an array of ({reason})") from None


def real_array(value: ArrayLike, name: str, *shapes: Sequence[Any], note: str = "") -> NDArray[np.float32]:
    """`value` as a frozen float32 array of one of the shapes; see `check_array`."""
    array = as_array(value, name)
    check_array(array, name, *shapes, kind="real numbers", note=note)
    with np.errstate(over="ignore", invalid="ignore"):  # too large for float32: infinite, and treated as such
        return frozen(array, np.float32)


def check_bytes(image: Any, name: str, *shapes: Sequence[Any], note: str = "") -> None:
    """Raise InputError unless an image is uint8 of one of the shapes; floats are told how to become so."""
    if isinstance(image, np.ndarray) and image.dtype.kind == "f" and any(_fits(image.shape, shape) for shape in shapes):
        unit = image.size and np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1
        found = f"{shown(image)} within 0 to 1" if unit else shown(image)
        how = "np.rint(255 * image)" if unit else "np.rint(image).clip(0, 255)"
        raise InputError(
            f"{name}: {found}, expected uint8 of shape {describe(*shapes)}; convert it: {how}.astype(np.uint8)"
        )
    check_array(image if hasattr(image, "dtype") else as_array(image, name), name, *shapes, kind="uint8", note=note)


def check_color_range(colors: NDArray[Any], name: str) -> None:
    """Raise InputError for colors in another range than 0 to 255: floats of 0 to 1, bool, wider integers.

    Floats may leave 0 to 1 a little, as resampled ones do. All zero, they are black.
    """
    whole = colors.dtype.kind in "iu" and colors.size > 0
    if colors.dtype.kind == "b" or (whole and not 0 <= colors.min() <= colors.max() <= 255):
        found = "bool" if colors.dtype.kind == "b" else f"{colors.dtype} of {colors.min()} to {colors.max()}"
        raise InputError(f"{name}: {found}, expected colors of 0 to 255")
    if colors.dtype.kind == "f" and colors.size and colors.min() >= -_OVERSHOOT and 0 < colors.max() <= 1 + _OVERSHOOT:
        raise InputError(
            f"{name}: floats of {colors.min():.3g} to {colors.max():.3g}, expected 0 to 255; multiply them by 255"
        )


def float64_array(value: ArrayLike, name: str, *shapes: Sequence[Any], note: str = "") -> NDArray[np.float64]:
    """Real numbers of any type as float64, not copied if they are; of one of the shapes, if any is given."""
    array = value if type(value) is np.ndarray else as_array(value, name)
    if array.dtype != np.float64:
        if array.dtype.kind not in _KINDS["real numbers"]:
            raise InputError(f"{name}: {shown(array)}, expected real numbers")
        if array.dtype.itemsize <= 8:
            array = array.astype(np.float64)
        else:
            with np.errstate(over="ignore"):  # takes longer than the conversion of a pose
                array = array.astype(np.float64)
    if shapes:
        check_array(array, name, *shapes, note=note)
    return array


def finite64_array(value: ArrayLike, name: str, *shapes: Sequence[Any], note: str = "") -> NDArray[np.float64]:
    """As `float64_array`, of finite numbers: LAPACK does not return from an infinite one."""
    array = float64_array(value, name, *shapes, note=note)
    check_finite(array, name)
    return array


def is_tensor(value: Any) -> bool:
    """Whether this is a PyTorch tensor, told without PyTorch."""
    return hasattr(value, "is_floating_point") and hasattr(value, "element_size")


def check_tensor(value: Any, name: str) -> None:
    """Raise InputError unless this is a PyTorch tensor of real numbers."""
    if not is_tensor(value):
        raise InputError(f"{name}: {shown(value)}, expected a PyTorch tensor; torch.as_tensor makes one")
    _check_dense(value, name)
    if value.is_complex():
        raise InputError(f"{name}: {shown(value)}, expected real numbers")


def _check_dense(tensor: Any, name: str) -> None:
    """Raise InputError for tensors that have no plain numbers in a block: few operators take them."""
    kinds = {"is_nested": "nested", "is_sparse": "sparse", "is_sparse_csr": "sparse", "is_quantized": "quantized"}
    for attribute, kind in kinds.items():
        if getattr(tensor, attribute, False):
            raise InputError(f"{name}: a {kind} tensor, expected a dense one of plain numbers")


def check_same_library(**values: Any) -> None:
    """Raise InputError unless all are NumPy arrays, or all PyTorch tensors, of real numbers."""
    for name, value in values.items():
        if is_tensor(value):
            _check_dense(value, name)
            is_real = not value.is_complex()
        elif isinstance(value, np.matrix):
            raise InputError(f"{name}: a NumPy matrix, expected an array; np.asarray makes one")
        elif isinstance(getattr(value, "dtype", None), np.dtype) and hasattr(value, "__sub__"):
            is_real = value.dtype.kind in _KINDS["real numbers"]
        else:
            raise InputError(f"{name}: {shown(value)}, expected a NumPy array or a PyTorch tensor")
        if not is_real:
            raise InputError(f"{name}: {shown(value)}, expected real numbers")
    if len({is_tensor(value) for value in values.values()}) > 1:
        found = ", ".join("a PyTorch tensor" if is_tensor(value) else "a NumPy array" for value in values.values())
        raise InputError(
            f"{', '.join(values)}: {found}, expected all NumPy arrays or all PyTorch tensors; torch.from_numpy(…) and "
            "….numpy() convert"
        )


def widened(value: Any) -> Any:
    """An array or a tensor in a type to calculate in: half precision as float32, integers and bool as float64.

    float32 and wider stay as they are. For what `check_same_library` has passed.
    """
    if is_tensor(value):
        if not value.is_floating_point():
            return value.double()
        return value.float() if value.element_size() < 4 else value
    if value.dtype.kind != "f":
        return value.astype(np.float64)
    return value.astype(np.float32) if value.dtype.itemsize < 4 else value


def bool_mask(value: ArrayLike, name: str, shape: Sequence[Any]) -> NDArray[np.bool_]:
    """`value` as a bool array of this shape; numbers count as True where they are not zero."""
    mask = as_array(value, name)
    check_array(mask, name, shape, kind="bool or real numbers")
    if mask.dtype.kind == "f":
        check_finite(mask, name)
    return mask if mask.dtype == np.bool_ else mask != 0


def check_finite(array: NDArray[Any], name: str) -> None:
    """Raise InputError if an array of real numbers holds NaN or infinity, naming the first place."""
    good = np.isfinite(array)
    if not good.all():
        first = np.argwhere(~good)[0].tolist()
        raise InputError(f"{name}: holds NaN or infinity, first at {first}, expected finite numbers")


def check_buffer(out: Any, shape: tuple[int, ...], dtype: DTypeLike, name: str = "out") -> None:
    """Raise InputError unless `out` is an array that a kernel can fill: shape, dtype, C-contiguous, writeable."""
    state = ""
    if isinstance(out, np.matrix | np.ma.MaskedArray):  # their reshaped views are others than kernels are compiled for
        raise InputError(f"{name}: a {type(out).__name__}, expected a plain array of {np.dtype(dtype)} {shape}")
    if isinstance(out, np.ndarray) and out.shape == shape and out.dtype == dtype:
        if out.flags.carray:  # C-contiguous, aligned and writeable
            return
        state = ", read-only" if not out.flags.writeable else ", not C-contiguous"
    raise InputError(f"{name}: {shown(out)}{state}, expected {np.dtype(dtype)} {shape}, C-contiguous and writeable")


def out_buffer(out: NDArray[Any] | None, shape: tuple[int, ...], dtype: DTypeLike, name: str = "out") -> NDArray[Any]:
    """The caller's buffer after `check_buffer`, or if it is None a new one, not initialized."""
    if out is None:
        return np.empty(shape, dtype)
    check_buffer(out, shape, dtype, name)
    return out


def check_apart(out: NDArray[Any] | None, others: Mapping[str, Any], name: str = "out") -> None:
    """Raise InputError if a buffer that is filled shares memory with an array, given by its name, that is read then."""
    if out is None:
        return
    for other, array in others.items():
        if isinstance(array, np.ndarray) and np.may_share_memory(array, out):
            raise InputError(f"{name}: shares memory with {other}, expected a buffer of its own")


def number_in(value: Any, name: str, low: float, high: float = math.inf, unit: str = "", *, whole: bool = False) -> Any:
    """A finite number, or a whole one, of `low` to `high`, as `plain_number`; bool counts as none. `unit` is a plural.

    What is written to a file, or hashed, is the number that this returns, not the argument.
    """
    numbers: Any = Integral if whole else Real
    is_number = isinstance(value, numbers) and not isinstance(value, bool) and abs(value) < math.inf
    plain = plain_number(value)  # float32 would warn of a limit that is beyond it
    if is_number and low <= plain <= high:
        if whole or type(plain) is float or abs(plain) <= _LARGEST:
            return plain
        is_number = False  # no float is as large
    found = f"{shown(value)} {unit}" if unit and is_number else shown(value)
    kind = "" if is_number else "a whole number, " if whole else "a finite number, "
    wanted = f"{low} to {high}" if high < math.inf else f"{low} or more"
    raise InputError(f"{name}: {found}, expected {kind}{wanted}")


def plain_number(value: Any) -> Any:
    """A number of NumPy or of another library as Python's own int or float, which JSON takes; all else as it is."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    try:
        return int(value) if isinstance(value, Integral) else float(value)
    except OverflowError:  # a fraction of whole numbers of any length
        return value


def seed_number(value: Any, name: str = "seed") -> Any:
    """A whole number of 64 bits with a sign, as Python's own: what is written to a file can be read again anywhere."""
    return number_in(value, name, -(2**63), 2**63 - 1, whole=True)


def choice(value: Any, name: str, allowed: Sequence[Any]) -> Any:
    """`value` if it is one of `allowed`: text, numbers or None."""
    if not isinstance(value, (str, Real, type(None))) or value not in allowed:
        *others, last = map(repr, allowed)
        raise InputError(f"{name}: {shown(value)}, expected {', '.join(others)} or {last}")
    return value


def check_several(value: Any, name: str, what: str = "names") -> None:
    """Raise InputError unless several values are given: the letters of a single text would be taken for them."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        example = f", such as [{shown(value)}]" if isinstance(value, str) else ""
        raise InputError(f"{name}: {shown(value)}, expected a list of {what}{example}")


def check_instance(value: Any, name: str, kind: type, example: str) -> None:
    """Raise InputError unless `value` is of a class of uvgen's, of which `example` shows how one is made."""
    if not isinstance(value, kind):
        raise InputError(f"{name}: {shown(value)}, expected {kind.__name__}, such as {example}")


def true_or_false(value: Any, name: str) -> bool:
    """A bool, also of NumPy or PyTorch, as Python's own; InputError for all else: "no" and "false" would be True."""
    single = (isinstance(value, np.ndarray) or is_tensor(value)) and value.ndim == 0
    plain = value.item() if single else value
    if not isinstance(plain, (bool, np.bool_)):
        raise InputError(f"{name}: {shown(value)}, expected True or False")
    return bool(plain)


def picture_size(size: Any) -> tuple[int, int]:
    """(height, width) as two ints."""
    try:
        height, width = (operator.index(n) for n in size)
    except (TypeError, ValueError):
        raise InputError(f"size: {shown(size)}, expected (height, width) as two integers") from None
    if not (0 <= height <= MAX_SIDE and 0 <= width <= MAX_SIDE):
        raise InputError(f"size: ({height}, {width}) px, expected a height and width of 0 to {MAX_SIDE}")
    return height, width


def background_color(value: ArrayLike, channels: int) -> NDArray[np.float32]:
    """A scalar or (channels,) as frozen float32 (channels,)."""
    color = as_array(value, "background")
    check_array(color, "background", (), (channels,), kind="real numbers", note="one number, or one per channel")
    return frozen(np.broadcast_to(color.astype(np.float32), (channels,)), np.float32)


def triangle_indices(value: ArrayLike, n_vertices: int | None = None, name: str = "triangles") -> NDArray[np.uint32]:
    """`value` (m, 3) as frozen flat uint32 indices (3 m,).

    The kernels check the range themselves, so only values that int32 cannot hold are looked for here.
    """
    array = as_array(value, name)
    if array.size == 0 and array.ndim <= 2 and array.shape[-1:] in ((0,), (3,)):
        return frozen(np.zeros(0), np.uint32)
    check_array(array, name, (None, 3), kind="integers", note="vertex indices")
    if array.dtype.itemsize > 4 or array.dtype == np.uint32:
        low, high = int(array.min()), int(array.max())
        if low < 0 or high > np.iinfo(np.int32).max:
            raise bad_index(array, n_vertices or 0, name)
    if n_vertices == 0:
        raise bad_index(array, 0, name)
    return frozen(np.require(array, np.int32, "C"), np.int32).reshape(-1).view(np.uint32)


def checked_indices(value: ArrayLike, name: str, n: int, shape: Sequence[Any]) -> NDArray[np.int32]:
    """`value` as frozen int32 of a shape; InputError unless all are whole numbers of 0 to n - 1."""
    array = as_array(value, name)
    check_array(array, name, shape, kind="integers")
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < min(n, 1 << 31):
        raise InputError(f"{name}: {array.min()} to {array.max()}, expected 0 to {n - 1}")
    return frozen(array, np.int32)


def bad_index(triangles: ArrayLike, n_vertices: int, name: str = "triangles") -> InputError:
    """The error for an index out of range, naming the first triangle that has one."""
    array = np.asarray(triangles).reshape(-1, 3)
    expected = f"expected indices of 0 to {n_vertices - 1}" if n_vertices else "expected none without vertices"
    bad = np.flatnonzero(((array < 0) | (array >= n_vertices)).any(axis=1))
    if not len(bad):  # changed by another thread since
        return InputError(f"{name}: an index out of range, {expected}")
    more = f" ({count(len(bad), 'such triangle')})" if len(bad) > 1 else ""
    return InputError(f"{name}: triangle {bad[0]} is {array[bad[0]].tolist()}, {expected}{more}")


def check_paths(**paths: object) -> None:
    """Raise InputError unless each argument, by its name, is a path: text, or an object such as `pathlib.Path`."""
    for name, path in paths.items():
        if not isinstance(path, (str, os.PathLike)):
            raise InputError(f"{name}: {shown(path)}, expected a path")


def check_optional_paths(**paths: object) -> None:
    """As `check_paths`, of arguments that may be None."""
    check_paths(**{name: path for name, path in paths.items() if path is not None})
