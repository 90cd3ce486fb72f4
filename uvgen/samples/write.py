"""Writing a sample's ``.mat``, with every variable of a 300W-LP one, in their order, shapes and types."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from uvgen._version import __version__

NO_LIGHT = (0.0,) * 9 + (20.0,)
"""`Illum_Para` if nothing is known of the light: ambient and directed color, two angles, specular and shininess."""

NO_COLOR = (1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0)
"""`Color_Para` of a camera that changes no color: gains, offsets, contrast."""

_TYPES = {
    "f8": (9, 6),
    "f4": (7, 7),
    "i1": (1, 8),
    "u1": (2, 9),
    "i2": (3, 10),
    "u2": (4, 11),
    "i4": (5, 12),
    "u4": (6, 13),
}
"""MATLAB's numbers of a type: of values in a file, and of an array."""
_INT8, _INT32, _UINT32, _MATRIX = 1, 5, 6, 14


def parameter_file(
    shape: NDArray[np.floating],
    expression: NDArray[np.floating],
    pose: NDArray[np.floating],
    landmarks: NDArray[np.floating],
    image_size: tuple[int, int],
    *,
    albedo: ArrayLike = (),
    light: ArrayLike = NO_LIGHT,
    dtype: DTypeLike = np.float64,
    more: Mapping[str, ArrayLike] | None = None,
) -> bytes:
    """The bytes of a sample's ``.mat``; they hold no time, so that the same values give the same bytes.

    Parameters
    ----------
    shape, expression : (ks,), (ke,) float
        Parameters that multiply the bases directly.
    pose : (7,) float
        Pitch, yaw, roll (rad), tx, ty, tz (px), f (px/µm).
    landmarks : (68, 2) float
        Image frame, px, first pixel 0, in the order that the file is to have; NaN for those that are not known.
    image_size : (int, int)
        Width and height, px.
    albedo : (ka,) float
        `Tex_Para`.
    light : (10,) float
        `Illum_Para`.
    dtype : dtype
        Of shape and expression: 300W-LP's mirrored samples have float32.
    more : mapping of str to array_like, optional
        Further variables.

    Returns
    -------
    bytes
    """
    width, height = image_size
    known = np.isfinite(landmarks).all(axis=1, keepdims=True)
    content: dict[str, ArrayLike] = {
        "pt2d": np.where(known, landmarks + 1, -1).T,
        "roi": np.array([[1, 1, width, height]], np.int16 if max(width, height) < 1 << 15 else np.int32),
        "Illum_Para": np.asarray(light, np.float64)[None],
        "Color_Para": np.array([NO_COLOR], np.float32),
        "Tex_Para": np.asarray(albedo, np.float64)[:, None],
        "Shape_Para": shape[:, None].astype(dtype),
        "Exp_Para": expression[:, None].astype(dtype),
        "Pose_Para": pose[None],
        **(more or {}),
    }
    text = f"MATLAB 5.0 MAT-file, made by uvgen {__version__}".ljust(116).encode()  # without a date
    parts = [text, bytes(8), b"\x00\x01IM"]  # no subsystem's data, version 1, little-endian
    return b"".join(parts + [_variable(name, np.asarray(values)) for name, values in content.items()])


def _variable(name: str, values: NDArray[Any]) -> bytes:
    """A matrix of numbers as `scipy.io.savemat` writes it, whose import takes half a second."""
    in_file, kind = _TYPES[values.dtype.str[1:]]
    parts = (
        _element(_UINT32, struct.pack("<II", kind, 0)),
        _element(_INT32, struct.pack("<ii", *values.shape)),
        _element(_INT8, name.encode("ascii")),
        _element(in_file, values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes(order="F")),
    )
    return struct.pack("<II", _MATRIX, sum(map(len, parts))) + b"".join(parts)


def _element(kind: int, data: bytes) -> bytes:
    """Data with what they are before them, to whole 8 bytes; up to four bytes share these with it."""
    if len(data) <= 4:
        return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)
