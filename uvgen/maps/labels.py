"""A label moved by a similarity and mirrored: map and landmarks."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.augment.values import Draw
from uvgen.errors import InputError, SampleError
from uvgen.fixed_point import FixedPoint
from uvgen.geometry import LANDMARK_MIRROR, transform_points
from uvgen.maps import kernels
from uvgen.maps.mirror import TexelMirror


def move_map(
    draw: Draw,
    position_map: NDArray[Any],
    *,
    mirror: TexelMirror | None = None,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """The label of an augmented crop from that of the crop.

    Parameters
    ----------
    draw : Draw
        What was done to the crop.
    position_map : (u, u, 3) float32 or uint16, C-contiguous
        Crop px, or the codes of `FixedPoint.for_crop(draw.size)`.
    mirror : TexelMirror, optional
        The model's; needed where the draw flips.
    out : (u, u, 3) float32 or uint16, C-contiguous, optional
        Buffer to fill and return, px or codes; not `position_map`. Without it, px.

    Returns
    -------
    (u, u, 3) float32 or uint16
        Within 1e-3 px of the map made anew with the composed similarity, and the rounding of codes.

    Raises
    ------
    InputError
        Where shapes or dtypes do not agree, or a map is to be flipped without `mirror`.
    SampleError
        Where `out` holds codes and a value has none.
    """
    _check_map("position_map", position_map, None)
    if out is None:
        out = np.empty(position_map.shape, np.float32)
    else:
        _check_map("out", out, position_map.shape)
        if np.may_share_memory(position_map, out):
            raise InputError("out: shares memory with the position map")
    if draw.flip and (mirror is None or mirror.size != len(position_map)):
        found = "none" if mirror is None else f"one of {mirror.size} texels"
        raise InputError(f"mirror: {found}, expected TexelMirror.of_model(model, {len(position_map)}) to flip a map")
    codes = FixedPoint.for_crop(draw.size)
    matrix = _map_matrix(draw)
    if position_map.dtype == np.uint16:
        matrix[:, 3] += matrix[:, :3].sum(axis=1) * codes.offset
        matrix[:, :3] *= codes.scale
    to_codes = out.dtype == np.uint16
    if to_codes:
        matrix /= codes.scale
        matrix[:, 3] += 0.5 - codes.offset / codes.scale
    values = matrix.astype(np.float32)
    in_range = True
    if to_codes:
        line = np.empty(out[0].size, np.float32)
        in_range = kernels.move_codes(position_map, values, draw.flip, line, out)
    else:
        kernels.move_map(position_map, values, draw.flip, out)
    if draw.flip and mirror is not None and len(mirror.texels):
        in_range &= _blend(position_map, matrix, mirror, out)
    if not in_range:
        raise SampleError(
            f"an augmented map leaves {codes.offset:.0f} to {codes.offset + 65535 * codes.scale:.0f} px, the range of "
            "uint16; choose smaller ranges, or build the set with --posmap-dtype float32"
        )
    return out


def move_landmarks(draw: Draw, landmarks: ArrayLike) -> NDArray[np.float32]:
    """Landmarks (68, 3) of an augmented crop, float32, from those of the crop; re-ordered where it is mirrored."""
    points = np.asarray(landmarks)
    if points.shape != (68, 3):
        raise InputError(f"landmarks: shape {points.shape}, expected (68, 3)")
    moved = transform_points(points, draw.similarity)
    return (mirror_points(moved, draw.size)[LANDMARK_MIRROR] if draw.flip else moved).astype(np.float32)


def mirror_points(points: NDArray[Any], size: int) -> NDArray[Any]:
    """Points (..., 3) of a crop `size` px wide in its mirror image: x becomes size - 1 - x."""
    mirrored = points.copy()
    mirrored[..., 0] = size - 1 - mirrored[..., 0]
    return mirrored


def mirror_map(position_map: NDArray[np.float32], size: int, mirror: TexelMirror | None) -> NDArray[np.float32]:
    """The float32 map of a mirrored crop `size` px wide from that of the crop."""
    return move_map(Draw(size, flip=True), position_map, mirror=mirror)


def _map_matrix(draw: Draw) -> NDArray[np.float64]:
    """(3, 4): what happens to a label's values."""
    similarity = draw.similarity
    matrix = np.zeros((3, 4))
    matrix[:2, :2], matrix[:2, 3], matrix[2, 2] = similarity[:2, :2], similarity[:2, 2], draw.scale
    if draw.flip:
        matrix[0] *= -1
        matrix[0, 3] += draw.size - 1
    return matrix


def _blend(position_map: NDArray[Any], matrix: NDArray[np.float64], mirror: TexelMirror, out: NDArray[Any]) -> bool:
    """The texels whose mirror lies between others; False where a value has no code."""
    values = np.empty((len(mirror.texels), 3), np.float32)
    kernels.blend_texels(position_map.reshape(-1, 3), mirror.sources, mirror.weights, values)
    moved = values @ matrix[:, :3].T + matrix[:, 3]
    if out.dtype == np.uint16:
        moved = np.floor(moved)
        if moved.size and (moved.min() < 0 or moved.max() > 65535):
            return False
    out.reshape(-1, 3)[mirror.texels] = moved
    return True


def _check_map(name: str, array: NDArray[Any], shape: tuple[int, ...] | None) -> None:
    square = array.ndim == 3 and array.shape[0] == array.shape[1] and array.shape[2] == 3
    ok = (array.shape == shape if shape else square) and array.dtype in (np.float32, np.uint16)
    if not ok or not array.flags.c_contiguous:
        expected = f"{shape or '(u, u, 3)'} float32 px or uint16 codes, C-contiguous"
        raise InputError(f"{name}: {array.shape} {array.dtype}, expected {expected}")
