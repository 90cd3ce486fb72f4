"""Labels of a crop that is moved by a similarity and mirrored: its map, its landmarks, its pose, its similarity.

See `uvgen.maps.mirror` for which texel and which component mirrors which.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import check_apart, check_buffer, check_instance, float64_array, shown
from uvgen.errors import InputError
from uvgen.fixed_point import MAX_CODE, FixedPoint
from uvgen.geometry import (
    INNER,
    LANDMARK_MIRROR,
    N_JAW,
    affine_to_pose,
    crop_affine,
    pose_to_image,
    similarity_scale,
    transform_points,
)

if TYPE_CHECKING:  # who moves no map needs no numba: `label_nme` is for commands that only read
    from uvgen.maps.mirror import ComponentMirror, TexelMirror

_SMALLEST_BOX_PX = 1.0

FEWEST_ANNOTATED = 5
"""Annotated points that an NME is a mean of, at least."""


def move_map(
    position_map: NDArray[Any],
    similarity: ArrayLike,
    crop_size: int,
    *,
    flip: bool = False,
    mirror: "TexelMirror | None" = None,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """The map of a moved crop from that of the crop: its values move, and texels change places if it is mirrored.

    Parameters
    ----------
    position_map : (u, u, 3) float32 or uint16, C-contiguous
        Crop px, or the codes of `FixedPoint.for_crop(crop_size)`.
    similarity : (3, 3) float
        Crop → moved crop, before mirroring, px. z is scaled by the same factor.
    crop_size : int
        Pixels along each side of the crops.
    flip : bool
        Whether the moved crop is mirrored afterward: x becomes ``crop_size - 1 - x``.
    mirror : TexelMirror, optional
        The model's; needed if `flip` is true.
    out : (u, u, 3) float32 or uint16, C-contiguous, optional
        Buffer to fill and return, px or codes; not `position_map`. Without it, px.

    Returns
    -------
    (u, u, 3) float32 or uint16
        Within 1e-3 px of the map made anew with the composed similarity, and the rounding of codes.

    Raises
    ------
    InputError
        If shapes or dtypes do not agree, or a map is to be flipped without `mirror`.
    SampleError
        If `out` holds codes and a value has none.
    """
    from uvgen.maps import kernels

    check_map("position_map", position_map, None)
    if out is None:
        out = np.empty(position_map.shape, np.float32)
    else:
        check_map("out", out, position_map.shape)
        check_apart(out, {"the position map": position_map})
    if flip and mirror is not None:
        from uvgen.maps.mirror import TexelMirror

        check_instance(mirror, "mirror", TexelMirror, f"TexelMirror.of_model(model, {len(position_map)})")
    if flip and (mirror is None or mirror.size != len(position_map)):
        found = "none" if mirror is None else f"one of {mirror.size} texels"
        raise InputError(f"mirror: {found}, expected TexelMirror.of_model(model, {len(position_map)}) to flip a map")
    codes = FixedPoint.for_crop(crop_size)
    matrix = _map_matrix(float64_array(similarity, "similarity", (3, 3)), crop_size, flip)
    if position_map.dtype == np.uint16:
        matrix = codes.before(matrix)
    in_range = True
    if out.dtype == np.uint16:
        matrix = codes.after(matrix)
        line = np.empty(out[0].size, np.float32)
        in_range = kernels.move_codes(position_map, matrix.astype(np.float32), flip, line, out)
    else:
        kernels.move_map(position_map, matrix.astype(np.float32), flip, out)
    if flip and mirror is not None and len(mirror.texels):
        in_range &= _blend(position_map, matrix, mirror, out)
    if not in_range:
        raise codes.range_error("an augmented map")
    return out


def move_landmarks(
    landmarks: ArrayLike, similarity: ArrayLike, crop_size: int, *, flip: bool = False
) -> NDArray[np.float32]:
    """Landmarks (68, 3) of a moved crop, float32, from those of the crop; see `move_map` for the arguments.

    If the crop is mirrored they are in another order: the left eye's are those that the picture shows on the left.
    """
    points = float64_array(landmarks, "landmarks", (68, 3))
    moved = transform_points(points, similarity)
    return (mirror_landmarks(moved, crop_size) if flip else moved).astype(np.float32)


def move_annotation(
    points: NDArray[Any], similarity: ArrayLike, crop_size: int, *, flip: bool = False
) -> NDArray[np.float32]:
    """Annotated landmarks (68, 2) or (68, 3) of a moved crop, float32, NaN where they were; see `move_landmarks`.

    Their NME stays what it was.
    """
    moved = transform_points(points, similarity)
    return (mirror_landmarks(moved, crop_size) if flip else moved).astype(np.float32)


def mirror_landmarks(landmarks: NDArray[Any], crop_size: int) -> NDArray[Any]:
    """Landmarks (68, 2 or 3) of a mirrored crop: x becomes ``crop_size - 1 - x``, and left and right change places."""
    mirrored: NDArray[Any] = landmarks[LANDMARK_MIRROR]
    mirrored[:, 0] = crop_size - 1 - mirrored[:, 0]
    return mirrored


def mirror_pose(pose: NDArray[np.float32], image_width: int) -> NDArray[np.float32]:
    """The pose (7,) of a face in the mirror image of its picture, which is `image_width` px wide."""
    mirrored = pose * np.array([1, -1, -1, 1, 1, 1, 1], np.float32)
    mirrored[3] = image_width + 1 - mirrored[3]
    return mirrored


def mirror_parameters(
    shape: NDArray[np.float32], expression: NDArray[np.float32], components: "ComponentMirror"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Shape (ks,) and expression (ke,) parameters of the mirrored face."""
    joint = (np.concatenate([shape, expression])[components.partner] * components.sign).astype(np.float32)
    return joint[: len(shape)], joint[len(shape) :]


def moved_similarity(
    move: ArrayLike, image_to_crop: ArrayLike, crop_size: int, *, flipped: bool
) -> NDArray[np.float64]:
    """Image → moved crop, before mirroring, of a crop that is moved, after it was mirrored if `flipped` says so.

    Parameters
    ----------
    move : (3, 3) float
        Crop, as the picture shows it, → moved crop, px.
    image_to_crop : (3, 3) float
        Image → crop before mirroring, px.
    crop_size : int
        Pixels along each side of the crop.
    flipped : bool
        Whether the crop is mirrored.

    Returns
    -------
    (3, 3) float64
    """
    matrix = float64_array(move, "move", (3, 3))
    if flipped:  # mirror, move, mirror again
        across = np.array([[-1.0, 0, crop_size - 1], [0, 1, 0], [0, 0, 1]])
        matrix = across @ matrix @ across
    composed: NDArray[np.float64] = matrix @ float64_array(image_to_crop, "image_to_crop", (3, 3))
    return composed


def crop_pose(
    pose: ArrayLike,
    image_to_crop: ArrayLike,
    image_height: ArrayLike,
    crop_size: int,
    convention: str = "exact",
    flipped: ArrayLike = False,
) -> NDArray[np.float64]:
    """Poses of faces as their crops show them: of the mirrored face, if the crop is mirrored.

    Taken for poses in an image of the crop's size, they put the face where the crop has it. Yaw and roll have the signs
    visible in the crop, even if it is mirrored.

    Parameters
    ----------
    pose : (B, 7) or (7,) float
        Of the faces in their images, as `Pose_Para` holds them.
    image_to_crop : (B, 3, 3) or (3, 3) float
        Image → crop, before mirroring, px.
    image_height : (B,) or scalar
        px.
    crop_size : int
        Pixels along each side of the crops.
    convention : {"exact", "face3d"}
        Pixel convention.
    flipped : (B,) or scalar bool
        Which crops are mirrored afterward.

    Returns
    -------
    (B, 7) or (7,) float64
        Pitch, yaw, roll (rad), tx, ty, tz (px of the crop), f (crop px/µm). The yaw lies in [-π/2, π/2]. tz is that of
        the pose, scaled: maps and landmarks are shifted along z besides, so that the smallest depth is 0.
    """
    poses = np.atleast_2d(float64_array(pose, "pose"))
    affine = crop_affine(pose_to_image(poses, image_height, convention), image_to_crop)
    mirrored = np.broadcast_to(np.asarray(flipped, bool), len(affine))
    affine[mirrored, 0] *= -1  # the picture's x, and
    affine[mirrored, 0, 3] += crop_size - 1
    affine[mirrored, :, 0] *= -1  # the face's own
    found = affine_to_pose(affine, crop_size, convention)
    return found if np.ndim(pose) == 2 else found[0]


def _map_matrix(similarity: NDArray[np.float64], crop_size: int, flip: bool) -> NDArray[np.float64]:
    """(3, 4): what happens to a map's values."""
    matrix = np.zeros((3, 4))
    matrix[:2, :2], matrix[:2, 3] = similarity[:2, :2], similarity[:2, 2]
    matrix[2, 2] = similarity_scale(similarity)
    if flip:
        matrix[0] *= -1
        matrix[0, 3] += crop_size - 1
    return matrix


def _blend(position_map: NDArray[Any], matrix: NDArray[np.float64], mirror: "TexelMirror", out: NDArray[Any]) -> bool:
    """The texels whose mirror lies between others; False if a value has no code."""
    from uvgen.maps import kernels

    values = np.empty((len(mirror.texels), 3), np.float32)
    kernels.blend_texels(position_map.reshape(-1, 3), mirror.sources, mirror.weights, values)
    moved = values @ matrix[:, :3].T + matrix[:, 3]
    if out.dtype == np.uint16:
        moved = np.floor(moved)
        if moved.size and (moved.min() < 0 or moved.max() > MAX_CODE):
            return False
    out.reshape(-1, 3)[mirror.texels] = moved
    return True


def check_map(name: str, array: NDArray[Any], shape: tuple[int, ...] | None) -> None:
    """Raise InputError unless this is a C-contiguous map, px or codes: (u, u, 3), or writeable and of this shape."""
    if not isinstance(array, np.ndarray):
        raise InputError(f"{name}: {shown(array)}, expected a NumPy array of float32 px or uint16 codes")
    if shape is not None and array.dtype in (np.float32, np.uint16):
        check_buffer(array, shape, array.dtype, name)
    square = array.ndim == 3 and array.shape[0] == array.shape[1] and array.shape[2] == 3
    ok = (array.shape == shape if shape else square) and array.dtype in (np.float32, np.uint16)
    if not ok or not array.flags.c_contiguous:
        expected = f"{shape or '(u, u, 3)'}, C-contiguous"
        raise InputError(f"{name}: {shown(array)}, expected float32 px or uint16 codes of shape {expected}")


def label_nme(
    landmarks: NDArray[np.floating[Any]], annotated: NDArray[np.floating[Any]], *, fewest: int = FEWEST_ANNOTATED
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Normalized mean error of labels against annotated landmarks.

    Parameters
    ----------
    landmarks : (N, 68, 2) or (N, 68, 3) float
        Of the labels, px. What is stored is measured in the image: a rotated crop has another box.
    annotated : (N, 68, 2) or (N, 68, 3) float
        In the same frame; NaN where a point is not annotated. z is ignored.
    fewest : int
        Annotated points that an NME is a mean of, at least.

    Returns
    -------
    nme : (N,) float32
        Mean distance in the image plane over the annotated points among 17-67 / √(w·h) of the box around the 68
        annotated points (around the label's if some are not annotated); NaN with fewer annotated
        points, or if they lie in a point or in a line.
    jaw : (N,) float32
        Likewise over points 0-16: 2D annotations of turned faces mark the contour instead of the jaw.
    """
    points, truth = landmarks[..., :2].astype(np.float64), annotated[..., :2].astype(np.float64)
    known = np.asarray(np.isfinite(truth).all(axis=2))
    whole = np.asarray(known.all(axis=1))
    boxed = np.where(whole[:, None, None], truth, points)
    sides = np.ptp(boxed, axis=1)
    box = np.where(sides.min(axis=1) >= _SMALLEST_BOX_PX, np.sqrt(sides.prod(axis=1)), np.nan)
    distance = np.where(known, np.linalg.norm(points - np.where(known[..., None], truth, 0), axis=2), 0)
    found = []
    for part in (INNER, slice(N_JAW)):
        n = known[:, part].sum(axis=1)
        mean = np.divide(distance[:, part].sum(axis=1), n, out=np.full(len(n), np.nan), where=n >= fewest)
        found.append((mean / box).astype(np.float32))
    return found[0], found[1]
