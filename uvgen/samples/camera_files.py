"""Cameras of meshes from JSON files, in the conventions of OpenCV, Blender, COLMAP and uvgen.

| convention | camera looks along | y | rotation and translation | pixel centers at |
| --- | --- | --- | --- | --- |
| uvgen | -z | up | from the mesh's frame to the camera's | integers |
| opencv | +z | down | from the mesh's frame to the camera's | integers |
| colmap | +z | down | from the mesh's frame to the camera's | integers + 0.5 |
| blender | -z | up | from the camera's frame to the mesh's: its `matrix_world` | integers + 0.5 |

A file holds a JSON object: `type` ("image", "orthographic" or "perspective"), `convention`, and the keys in `_KEYS`.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.cameras import CAMERA_KINDS, ImageCamera
from uvgen.checks import check_paths
from uvgen.errors import InputError
from uvgen.geometry import rotations_about
from uvgen.storage.names import brief, os_reason
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import read_file
from uvgen.storage.text import decode_text
from uvgen.wording import count

CAMERA_CONVENTIONS = ("uvgen", "opencv", "blender", "colmap")
"""Conventions of a camera's axes, of the direction of its transform, and of pixel centers."""

LEAST = 1e-12
"""The least focal length or scale: others are divided by it."""

_MOST_BYTES = 1 << 20
_NOT_A_ROTATION = 1e-3  # largest error of a rotation's rows in length and right angles: it may be written in few digits
_MOST = 1e9  # numbers are smaller
_WHOLE_TURN = 2 * math.pi + 1e-6  # written in few digits
_TURN_OVER = np.diag([1.0, -1.0, -1.0])  # from a camera's frame with y up, looking along -z, to OpenCV's
_DISTORTION = (
    *(f"k{n}" for n in range(1, 7)), "p1", "p2", "s1", "s2", "s3", "s4", "omega", "skew",
    "distortion", "dist", "dist_coeffs", "distortion_coefficients",
)  # fmt: skip
_PLACE, _SIZE = ("rotation", "translation"), ("width", "height")
_LENS = ("sensor_width", "sensor_height", "sensor_fit", "shift_x", "shift_y")
_KEYS = {
    "image": (),
    "orthographic": ("scale", *_PLACE, *_SIZE),
    "perspective": ("fx", "fy", "cx", "cy", *_PLACE, *_SIZE, *_DISTORTION),
}
_OF_BLENDER = {
    "image": (),
    "orthographic": ("matrix_world", "ortho_scale", *_LENS),
    "perspective": ("matrix_world", "lens", *_LENS),
}
_FITS = ("AUTO", "HORIZONTAL", "VERTICAL")


def read_camera(path: str | os.PathLike[str]) -> ImageCamera:
    """A camera from a JSON file; docs/meshes.md, "Cameras", lists the keys.

    Parameters
    ----------
    path : path-like
        File with a JSON object.

    Returns
    -------
    ImageCamera

    Raises
    ------
    InputError
        If `path` is not a path, the file cannot be read or is not JSON, a key is missing or unknown, a value is not a
        number, the rotation matrix is not a rotation, or there is lens distortion.

    Examples
    --------
    >>> uvgen.read_camera("face.camera.json").project(vertices)  # (n, 3) px of the image
    """
    check_paths(path=path)
    try:
        return camera_of(parse_json(decode_text(read_file(Path(path), _MOST_BYTES))))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({os_reason(error)}), expected a camera") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except ValueError as error:
        raise InputError(f"{path}: not a readable camera ({brief(error)}), expected JSON") from error


def camera_of(content: Any) -> ImageCamera:
    """The camera that a parsed JSON object describes; InputError, which names the key only, if it is wrong."""
    if not isinstance(content, dict):
        raise InputError(f"{brief(content)}, expected an object with the keys of one camera")
    kind, convention = (
        _choice(content, "type", CAMERA_KINDS),
        _choice(content, "convention", CAMERA_CONVENTIONS, "uvgen"),
    )
    known = ("type", "convention", *_KEYS[kind], *(_OF_BLENDER[kind] if convention == "blender" else ()))
    if unknown := [key for key in content if key not in known]:
        raise InputError(
            f"{brief(unknown[0])}: no key of a camera of type {kind} ({convention}), expected {_list(known)}"
        )
    for key in _DISTORTION:
        check_undistorted(key, content.get(key, 0))
    if kind == "image":
        return ImageCamera()
    if kind == "orthographic" and convention == "colmap":
        raise InputError("convention: colmap, whose cameras are perspective, expected another, or type perspective")
    size = _size(content)
    if convention == "blender":
        return _blender_camera(content, kind, size)
    rotation, translation = _rotation(content), _vector(content, "translation", 3, (0.0, 0.0, 0.0))
    if kind == "orthographic":
        scale = _positive(content, "scale")
        if convention == "uvgen":
            rotation, translation = _TURN_OVER @ rotation, translation * [1, 1, -1]
        else:
            translation = translation * [1, 1, 1]
        in_units = translation / scale * [0, 0, 1]
        center = float(translation[0]), float(translation[1])
        return ImageCamera("orthographic", rotation, in_units, (scale, scale), center, size)
    if convention == "uvgen":
        rotation, translation = _TURN_OVER @ rotation, _TURN_OVER @ translation
    return ImageCamera("perspective", rotation, translation, *_pinhole(content, convention), size)


def check_undistorted(key: str, value: Any) -> None:
    """Raise InputError if a coefficient of a lens, or a list of them, is not zero."""
    values = value if isinstance(value, list) else [value]
    if any(not _is_number(one) for one in values):
        raise InputError(f"{key}: {brief(value)}, expected numbers")
    if any(one != 0 for one in values):
        raise InputError(
            f"{key}: {brief(value)}, expected 0: lens distortion is not applied; undistort the images first (OpenCV's "
            "undistort, COLMAP's image_undistorter) and give the camera that belongs to the result"
        )


def _blender_camera(content: Mapping[str, Any], kind: str, size: tuple[int, int] | None) -> ImageCamera:
    """A camera in Blender's convention: given by its place in the world, looking along its -z, y up."""
    if "matrix_world" in content:
        if given := [key for key in _PLACE if key in content]:
            raise InputError(f"{given[0]}: given beside matrix_world, expected one of them")
        world = _matrix(content, "matrix_world", 4)
        if not np.array_equal(world[3], [0, 0, 0, 1]):
            raise InputError(f"matrix_world: a last row of {world[3].tolist()}, expected [0, 0, 0, 1]")
        turn, place = check_rotation(world[:3, :3], "matrix_world"), world[:3, 3]
    else:
        if (
            isinstance(content.get("rotation"), list)
            and len(content["rotation"]) == 3
            and _is_number(content["rotation"][0])
        ):
            raise InputError(
                "rotation: 3 numbers, which may be Blender's Euler angles or an axis, expected a 3 × 3 matrix or a "
                "quaternion w, x, y, z; or give matrix_world"
            )
        turn, place = _rotation(content), _vector(content, "translation", 3, (0.0, 0.0, 0.0))
    rotation = _TURN_OVER @ turn.T
    translation = -rotation @ place
    by_lens = "lens" if kind == "perspective" else "ortho_scale"
    plain = "fx" if kind == "perspective" else "scale"
    if by_lens in content and plain in content:
        raise InputError(f"{plain}: given beside {by_lens}, expected one of them")
    if kind == "perspective" and by_lens not in content:
        if given := [key for key in _LENS if key in content]:
            raise InputError(f"{given[0]}: given without lens, expected Blender's lens, or fx, fy, cx, cy alone")
        return ImageCamera(kind, rotation, translation, *_pinhole(content, "blender"), size)
    if given := [key for key in ("fy", "cx", "cy") if key in content]:
        raise InputError(f"{given[0]}: given beside lens, expected one of them")
    if size is None:
        raise InputError(
            "width, height: missing, expected those of the rendered image: Blender's cameras refer to them"
        )
    fit = _choice(content, "sensor_fit", _FITS, "AUTO")
    across = max(size) if fit == "AUTO" else size[_FITS.index(fit) - 1]  # px along the sensor's side
    if kind == "perspective":
        side = (
            _positive(content, "sensor_height", 24.0) if fit == "VERTICAL" else _positive(content, "sensor_width", 36.0)
        )
        focal = _positive(content, "lens") / side * across
    else:
        focal = across / _positive(content, "ortho_scale") if by_lens in content else _positive(content, "scale")
    shift_x, shift_y = (_number(content, key, 0.0) * across for key in ("shift_x", "shift_y"))
    center = (size[0] - 1) / 2 - shift_x, (size[1] - 1) / 2 + shift_y
    return ImageCamera(kind, rotation, translation, (focal, focal), center, size)


def _pinhole(content: Mapping[str, Any], convention: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Focal lengths and principal point, px, with pixel centers at integers."""
    edge = 0.5 if convention in ("colmap", "blender") else 0.0
    fx = _positive(content, "fx")
    return (fx, _positive(content, "fy", fx)), (_number(content, "cx") - edge, _number(content, "cy") - edge)


def _size(content: Mapping[str, Any]) -> tuple[int, int] | None:
    given = [key for key in _SIZE if key in content]
    if len(given) == 1:
        raise InputError(f"{given[0]}: given alone, expected width and height, or neither")
    if not given:
        return None
    values = [_number(content, key) for key in _SIZE]
    for key, value in zip(_SIZE, values, strict=True):
        if not 1 <= value <= 1 << 20 or value != int(value):
            raise InputError(f"{key}: {value:g}, expected a whole number of px")
    return int(values[0]), int(values[1])


def _rotation(content: Mapping[str, Any]) -> NDArray[np.float64]:
    """From a 3 × 3 matrix, a quaternion w, x, y, z, or an axis times an angle in radians."""
    given = content.get("rotation", [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    if isinstance(given, list) and len(given) == 4 and all(map(_is_number, given)):
        return quaternion_matrix(np.array(given, np.float64))
    if isinstance(given, list) and len(given) == 3 and all(map(_is_number, given)):
        vector = _vector(content, "rotation", 3)
        if not (angle := float(np.linalg.norm(vector))) <= _WHOLE_TURN:
            raise InputError(
                f"rotation: an axis times an angle of {angle:.4g}, expected radians, {_WHOLE_TURN:.4g} at most; is it "
                "in degrees, or are these Euler angles?"
            )
        rotation: NDArray[np.float64] = rotations_about(vector[None])[0]
        return rotation
    return check_rotation(_matrix({"rotation": given}, "rotation", 3), "rotation")


def quaternion_matrix(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation (3, 3) of a unit quaternion (4,), w, x, y, z; InputError if its length is not 1."""
    length = float(np.linalg.norm(quaternion))
    if not abs(length - 1) <= _NOT_A_ROTATION:
        raise InputError(f"rotation: a quaternion of length {length:.4g}, expected 1")
    w, x, y, z = quaternion / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def check_rotation(matrix: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """The same matrix (3, 3); InputError if it is no rotation."""
    determinant = float(np.linalg.det(matrix))
    lengths = np.linalg.norm(matrix, axis=1)
    if determinant < 0:
        raise InputError(
            f"{name}: its determinant is {determinant:.4g}, it mirrors the face, expected a rotation (1); is an axis "
            "turned over, as from y up to y down? Name the convention instead"
        )
    if not np.abs(matrix @ matrix.T - np.eye(3)).max() <= _NOT_A_ROTATION:
        shown = ", ".join(f"{length:.4g}" for length in lengths)
        raise InputError(
            f"{name}: no rotation (rows of length {shown}), expected rows of length 1 at right angles; does it scale? "
            "Scale the mesh instead"
        )
    return matrix


def _matrix(content: Mapping[str, Any], key: str, n: int) -> NDArray[np.float64]:
    given = content[key]
    rows = given if isinstance(given, list) else []
    good = len(rows) == n and all(isinstance(row, list) and len(row) == n and all(map(_is_number, row)) for row in rows)
    if not good:
        other = "" if n == 4 else ", a quaternion of 4 (w, x, y, z), or an axis times an angle in radians, 3"
        raise InputError(f"{key}: {brief(given)}, expected {count(n, 'row')} of {count(n, 'number')}{other}")
    return np.array(rows, np.float64)


def _vector(content: Mapping[str, Any], key: str, n: int, default: tuple[float, ...] = ()) -> NDArray[np.float64]:
    given = content.get(key, list(default))
    if isinstance(given, list) and len(given) == n - 1 and key == "translation" and content["type"] == "orthographic":
        given = [*given, 0.0]  # a depth does not change such an image
    if not (isinstance(given, list) and len(given) == n and all(map(_is_number, given))):
        raise InputError(f"{key}: {brief(given)}, expected {count(n, 'number')}")
    return np.array(given, np.float64)


def _number(content: Mapping[str, Any], key: str, default: float | None = None) -> float:
    if key not in content and default is None:
        raise InputError(f"{key}: missing, expected a number")
    value = content.get(key, default)
    if not _is_number(value):
        raise InputError(f"{key}: {brief(value)}, expected a number")
    return float(value)


def _positive(content: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = _number(content, key, default)
    if not value >= LEAST:
        raise InputError(f"{key}: {value:g}, expected {'more than 0' if value <= 0 else f'{LEAST:g} or more'}")
    return value


def _choice(content: Mapping[str, Any], key: str, known: tuple[str, ...], default: str | None = None) -> str:
    value = content.get(key, default)
    if value not in known:
        found = "missing" if value is None else brief(value)
        raise InputError(f"{key}: {found}, expected {_list(known)}")
    return str(value)


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(name for name in names if name not in _DISTORTION)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < _MOST
    )
