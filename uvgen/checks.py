"""Checks and conversions of the arrays that callers pass to the mesh functions."""

import operator

import numpy as np

from uvgen.errors import InputError

MAX_SIDE = 32768  # pixels; keeps every pixel index of a picture, and every coordinate in it, exact


def frozen(array, dtype):
    """A C-contiguous, aligned, read-only view or copy: every kernel is then compiled for one type alone."""
    view = np.require(array, dtype, ["C", "A"]).view(np.ndarray)[...]
    view.flags.writeable = False
    return view


def real_array(value, name, shape):
    """`value` as a frozen float32 array; `shape` is a tuple of lengths, None for any, -1 for any but zero."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name}: expected real numbers, got dtype {array.dtype}")
    fits = array.ndim == len(shape) and all(
        want is None or have == want or (want == -1 and have > 0) for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise InputError(f"{name}: expected shape {describe(shape)}, got {array.shape}")
    with np.errstate(over="ignore", invalid="ignore"):  # too large for float32: infinite, and treated as such
        return frozen(array, np.float32)


def describe(shape):
    """A shape as text, with '*' for a free length."""
    return "(" + ", ".join("*" if n in (None, -1) else str(n) for n in shape) + ")"


def triangle_indices(value, n_vertices=None, name="triangles"):
    """`value` (m, 3) as frozen flat uint32 indices (3 m,).

    The kernels check the range themselves, so only values that int32 cannot hold are looked for here.
    """
    array = np.asarray(value)
    if array.size == 0 and array.ndim <= 2 and array.shape[-1:] in ((0,), (3,)):
        return frozen(np.zeros(0), np.uint32)
    if array.dtype.kind not in "iu":
        raise InputError(f"{name}: expected integer vertex indices, got dtype {array.dtype}")
    if array.ndim != 2 or array.shape[1] != 3:
        raise InputError(f"{name}: expected shape (*, 3), got {array.shape}")
    if array.dtype.itemsize > 4 or array.dtype == np.uint32:
        low, high = int(array.min()), int(array.max())
        if low < 0 or high > np.iinfo(np.int32).max:
            raise bad_index(array, n_vertices or 0, name)
    if n_vertices == 0:
        raise bad_index(array, 0, name)
    return frozen(np.require(array, np.int32, "C"), np.int32).reshape(-1).view(np.uint32)


def bad_index(triangles, n_vertices, name="triangles"):
    """The error for an index out of range, naming the first triangle that has one."""
    triangles = np.asarray(triangles).reshape(-1, 3)
    bad = np.flatnonzero(((triangles < 0) | (triangles >= n_vertices)).any(axis=1))
    if not len(bad):  # changed by another thread since
        return InputError(f"{name}: an index was outside 0..{n_vertices - 1}")
    return InputError(
        f"{name}: triangle {bad[0]} is {triangles[bad[0]].tolist()}, but indices must lie in "
        f"0..{n_vertices - 1} ({len(bad)} such triangles)"
    )


def picture_size(size):
    """(height, width) as two ints."""
    try:
        height, width = (operator.index(n) for n in size)
    except (TypeError, ValueError):
        raise InputError(f"size: expected (height, width) as two integers, got {size!r}") from None
    if not (0 <= height <= MAX_SIDE and 0 <= width <= MAX_SIDE):
        raise InputError(f"size: height and width must lie in 0..{MAX_SIDE}, got ({height}, {width})")
    return height, width


def background_color(value, channels):
    """A scalar or (channels,) as frozen float32 (channels,)."""
    color = np.asarray(value)
    if color.dtype.kind not in "fiub" or color.shape not in ((), (channels,)):
        raise InputError(f"background: expected one number or {channels}, got {value!r}")
    return frozen(np.broadcast_to(color.astype(np.float32), (channels,)), np.float32)


def choice(value, name, allowed):
    """`value` if it is one of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise InputError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def bool_mask(value, name, shape):
    """`value` as a bool array of this shape; numbers count as True where they are not zero."""
    mask = np.asarray(value)
    if mask.shape != shape or mask.dtype.kind not in "biuf":
        raise InputError(f"{name}: expected bool {shape}, got {mask.dtype} {mask.shape}")
    return mask if mask.dtype == np.bool_ else mask != 0
