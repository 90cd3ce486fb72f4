"""Results of Deep3DFaceRecon (Deng et al., 2019; the PyTorch version): 257 coefficients a face, and their camera.

In order: identity 80, expression 64, texture 80 (multiples of the standard deviations), three angles, 27 numbers of
spherical harmonics (9 each for red, green, blue), translation 3. A face is turned by ``R = Rz Ry Rx`` (right-handed,
radians) and moved, in decimeters, then seen by a perspective camera 10 dm from the origin, of 1015 px focal length,
in a crop of 224 px. There, their y counts up from the lower edge: pixel row ``223 - y``, so that the center (112,
112) is row 111.

``.mat`` files of their results have the variables id, exp, tex, angle, gamma, trans, (B, …) each, and lm68, the
landmarks in the crop, rows down.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.cameras import PerspectiveCamera
from uvgen.checks import finite64_array, float64_array, shown
from uvgen.errors import InputError, SampleError
from uvgen.storage.kinds import describe_file
from uvgen.storage.matfile import Unread, read_variables
from uvgen.storage.names import brief

CROP_PX = 224
_MOST_PX = 1e9  # of a scaled image's side
MICROMETERS = 1e5
"""µm per decimeter."""

CAMERA = PerspectiveCamera(1015.0, (112.0, CROP_PX - 1 - 112.0), 10 * MICROMETERS)
"""Of points in µm."""

_PARTS = {"identity": 80, "expression": 64, "texture": 80, "angles_rad": 3, "gamma": 27, "translation_dm": 3}
_KEYS = dict(zip(("id", "exp", "tex", "angle", "gamma", "trans"), _PARTS, strict=True))
N_COEFFICIENTS = sum(_PARTS.values())


@dataclass(frozen=True, slots=True, eq=False)
class Deep3dCoefficients:
    """What the network says of B faces.

    Attributes
    ----------
    identity, expression, texture : (B, 80), (B, 64), (B, 80) float64
        Multiples of the standard deviations.
    angles_rad : (B, 3) float64
        About x, y, z.
    gamma : (B, 27) float64
        Spherical harmonics, nine for each color.
    translation_dm : (B, 3) float64
        Decimeters.
    landmarks : (B, 68, 2) float64 or None
        In the crop, image frame, if the file has them.
    """

    identity: NDArray[np.float64]
    expression: NDArray[np.float64]
    texture: NDArray[np.float64]
    angles_rad: NDArray[np.float64]
    gamma: NDArray[np.float64]
    translation_dm: NDArray[np.float64]
    landmarks: NDArray[np.float64] | None = None


def split_coefficients(coefficients: ArrayLike) -> Deep3dCoefficients:
    """The parts of coefficients (B, 257).

    Raises
    ------
    InputError
        If the shape is another.
    """
    rows = float64_array(coefficients, "coefficients", ("B", N_COEFFICIENTS))
    ends = np.cumsum(list(_PARTS.values()))
    return Deep3dCoefficients(*np.split(rows, ends[:-1], axis=1))


def join_coefficients(parts: Deep3dCoefficients) -> NDArray[np.float64]:
    """Coefficients (B, 257) of their parts: the way back from `split_coefficients`.

    Raises
    ------
    InputError
        If a part has another shape.
    """
    n = len(parts.identity)
    return np.concatenate(
        [float64_array(getattr(parts, name), name, (n, width)) for name, width in _PARTS.items()], axis=1
    )


def read_coefficients(path: Path) -> Deep3dCoefficients:
    """Coefficients of a ``.mat`` file of results.

    Parameters
    ----------
    path : Path
        With id, exp, tex, angle, gamma and trans.

    Returns
    -------
    Deep3dCoefficients

    Raises
    ------
    SampleError
        If the file is missing, damaged, of another kind, or a variable has another shape.
    """
    what = "Deep3DFaceRecon's results: id, exp, tex, angle, gamma, trans"
    if not path.exists():
        raise SampleError(f"{path}: no such file, expected {what}")
    try:
        content = read_variables(path, [*_KEYS, "lm68"])
    except MemoryError:
        raise
    except Exception as error:  # of damaged files: of any type
        raise SampleError(f"{path}: not readable ({describe_file(path)}: {brief(error)}), expected {what}") from error
    if missing := [key for key in _KEYS if key not in content]:
        raise SampleError(f"{path}: variable {missing[0]} is missing, expected {what}")
    parts: dict[str, NDArray[np.float64]] = {}
    for key, name in _KEYS.items():
        value: Any = content[key]
        fits = isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.ndim == 2
        if not fits or value.shape[1] != _PARTS[name] or not np.isfinite(value).all():
            raise SampleError(f"{path}: {key} is {_said(value)}, expected finite numbers (faces, {_PARTS[name]})")
        parts[name] = value.astype(np.float64)
    if len({len(value) for value in parts.values()}) > 1:
        raise SampleError(f"{path}: {[len(v) for v in parts.values()]} rows, expected as many faces in each variable")
    marks: Any = content.get("lm68")
    wanted = (len(parts["identity"]), 68, 2)
    if marks is not None and not (
        isinstance(marks, np.ndarray)
        and marks.shape == wanted
        and marks.dtype.kind in "fiu"
        and np.isfinite(marks).all()
    ):  # passed over, it would be compared with no model
        raise SampleError(f"{path}: lm68 is not usable, expected finite numbers {wanted}: landmarks in the crop")
    return Deep3dCoefficients(**parts, landmarks=None if marks is None else marks.astype(np.float64))


def _said(value: Any) -> str:
    """What a variable is that is not usable."""
    if isinstance(value, Unread):
        return value.what
    return shown(value) if isinstance(value, np.ndarray) else "a struct"


def rotations(angles_rad: ArrayLike) -> NDArray[np.float64]:
    """``Rz Ry Rx`` of angles (B, 3) about x, y, z: (B, 3, 3), to be multiplied with points from the left.

    Raises
    ------
    InputError
        If the shape is another.
    """
    angles = float64_array(angles_rad, "angles_rad", ("B", 3), note="about x, y, z")
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles.T), np.cos(angles.T)
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.ascontiguousarray(np.moveaxis(np.array(rows), -1, 0))  # so that products do not depend on B


def crop_of(trans_params: ArrayLike) -> NDArray[np.float64]:
    """The similarity (3, 3) from an image to its crop of 224 px, of what their `align_img` returns.

    Parameters
    ----------
    trans_params : (5,) float
        Width, height of the image, scale, x and y of the face's center, y counting up.

    Returns
    -------
    (3, 3) float64
        Image → crop, as they move landmarks.

    Raises
    ------
    InputError
        If the shape is wrong, a number is not finite, or a size or the scale is not above 0.
    """
    width, height, scale, x, y = np.ravel(finite64_array(trans_params, "trans_params", (5,), (1, 5))).tolist()
    if not min(width, height, scale) > 0 or max(width, height) * scale > _MOST_PX:
        found = f"{width:.6g} × {height:.6g} px times {scale:.6g}"
        raise InputError(f"trans_params: {found}, expected an image's width and height, and a scale above 0")
    resized = int(width * scale), int(height * scale)
    left, below = (side / 2 - CROP_PX / 2 for side in resized)
    # theirs: x' = (x - tx + w / 2) s - left; y up: y' = (y - ty + h / 2) s - below, with y = h - 1 - row
    to_x = (width / 2 - x) * scale - left
    to_y = CROP_PX - 1 - ((height - 1 - y + height / 2) * scale - below)
    return np.array([[scale, 0, to_x], [0, scale, to_y], [0, 0, 1]])
