"""Writing a sample's ``.mat``, with every variable of a 300W-LP one, in their order, shapes and types."""

import io
from collections.abc import Mapping

import numpy as np
import scipy.io
from numpy.typing import ArrayLike, DTypeLike, NDArray

from uvgen._version import __version__

NO_LIGHT = (0.0,) * 9 + (20.0,)
"""`Illum_Para` if nothing is known of the light: ambient and directed color, two angles, specular and shininess."""

NO_COLOR = (1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0)
"""`Color_Para` of a camera that changes no color: gains, offsets, contrast."""


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
    content = {
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
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, content)
    data = buffer.getvalue()
    return f"MATLAB 5.0 MAT-file, made by uvgen {__version__}".ljust(116).encode() + data[116:]  # without a date
