"""Augmentation with exact labels: one resampling of the image, the same similarity for the label's values.

    augmentation = Augmentation.preset("prnet")
    draw = augmentation.draw(seed=0, name=sample["name"], epoch=3)
    image, position_map, landmarks = apply(draw, sample["image"], sample["posmap"], sample["landmarks"])

A label's values (x, y, z) move, its texels stay: texel (row, column) shows the same point of the face before and
after. Mirroring is the exception, see `uvgen.maps.mirror`. z scales with the crop; since its smallest value over
all vertices is 0, it stays 0.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.augment import kernels
from uvgen.augment.colors import change_colors
from uvgen.augment.draws import FILLS, SHAPES, AugmentationDraw, Occluder
from uvgen.checks import as_array, check_apart, check_buffer, check_bytes, check_instance, float64_array, out_buffer
from uvgen.errors import InputError
from uvgen.images.warp import warp_image
from uvgen.maps.labels import check_map, move_landmarks, move_map
from uvgen.maps.mirror import TexelMirror
from uvgen.randomness import keyed_generator

_NO_IMAGE = np.zeros((1, 1, 3), np.uint8)


class Augmented(NamedTuple):
    """What `apply` returns; None for what was not given.

    Attributes
    ----------
    image : (r, r, 3) uint8
        The augmented crop.
    position_map : (u, u, 3) float32 or uint16, or None
        px of the augmented crop, or codes.
    landmarks : (68, 3) float32 or None
        px of the augmented crop.
    """

    image: NDArray[np.uint8]
    position_map: NDArray[Any] | None
    landmarks: NDArray[np.float32] | None


def apply(
    draw: AugmentationDraw,
    image: NDArray[np.uint8],
    position_map: NDArray[Any] | None = None,
    landmarks: ArrayLike | None = None,
    *,
    mirror: TexelMirror | None = None,
    other: NDArray[np.uint8] | None = None,
    filter: str = "area",
    image_out: NDArray[np.uint8] | None = None,
    map_out: NDArray[Any] | None = None,
) -> Augmented:
    """Augment one sample: a crop and its labels.

    Parameters
    ----------
    draw : AugmentationDraw
        What to do; its `size` is the crop's.
    image : (r, r, 3) uint8
        The crop.
    position_map : (u, u, 3) float32 or uint16, optional
        Crop px, or the codes of `FixedPoint.for_crop(r)`.
    landmarks : (68, 3) float, optional
        Crop px.
    mirror : TexelMirror, optional
        The model's; needed to flip a map.
    other : (h, w, 3) uint8, optional
        What "image" occluders show; without it they show noise.
    filter : {"area", "bilinear"}
        See `uvgen.warp_image`; matters if the draw shrinks the crop by more than 1.5.
    image_out : (r, r, 3) uint8, C-contiguous, optional
        Buffer to fill and return; not `image`.
    map_out : (u, u, 3) float32 or uint16, C-contiguous, optional
        Buffer to fill and return, px or codes; not `position_map`. Without it, px.

    Returns
    -------
    Augmented
        image, position_map and landmarks (68, 3) float32, the latter re-ordered if the sample is flipped.

    Raises
    ------
    InputError
        If shapes or dtypes do not agree, a map is to be flipped without `mirror`, the draw turns the face out of the
        plane, or there is no such filter.
    SampleError
        If `map_out` holds codes and a value has none.
    """
    _check_draw(draw)
    if draw.turns:
        raise InputError(
            f"draw: turns the face by {draw.yaw_deg:.1f}° and {draw.pitch_deg:.1f}°, which needs the whole photograph; "
            "expected a draw without yaw_deg and pitch_deg; `uvgen build --augment FILE` and turn_face do it"
        )
    check_bytes(image, "image", (draw.size, draw.size, 3), note="the draw's size")
    crop, _ = crop_augmented(image, np.eye(3), draw, other=other, filter=filter, out=image_out)
    move = draw.similarity, draw.size
    moved_map = moved_landmarks = None
    if position_map is not None:
        moved_map = move_map(position_map, *move, flip=draw.flip, mirror=mirror, out=map_out)
    if landmarks is not None:
        moved_landmarks = move_landmarks(landmarks, *move, flip=draw.flip)
    return Augmented(crop, moved_map, moved_landmarks)


def crop_augmented(
    image: NDArray[np.uint8],
    similarity: ArrayLike,
    draw: AugmentationDraw,
    *,
    other: NDArray[np.uint8] | None = None,
    filter: str = "area",
    reduced: int = 1,
    out: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Crop and augment an image: both similarities are composed, and it is sampled once. A turn comes before.

    Parameters
    ----------
    image : (h, w, 3) uint8
        Source image.
    similarity : (3, 3) float
        Image → crop, as `uvgen.crop_similarity` gives it.
    draw : AugmentationDraw
        What to do.
    other : (h', w', 3) uint8, optional
        What "image" occluders show; without it they show noise.
    filter : {"area", "bilinear"}
        How the image is sampled if both similarities together shrink it, see `uvgen.warp_image`.
    reduced : int
        Side of the squares of pixels whose means `image` holds, see `uvgen.warp_image`.
    out : (size, size, 3) uint8, C-contiguous, optional
        Buffer to fill and return; not `image`.

    Returns
    -------
    crop : (size, size, 3) uint8
        Mirrored if the draw says so.
    composed : (3, 3) float64
        Image → augmented crop, before mirroring: what `uvgen.PositionMapper` makes the label from.

    Raises
    ------
    InputError
        If a shape or dtype is wrong, the matrix is not a similarity, or there is no such filter.
    """
    check_bytes(image, "image", ("h", "w", 3))
    _check_draw(draw)
    if other is not None:
        other = as_array(other, "other")
        check_bytes(other, "other", (-1, -1, 3))
    if out is not None:
        check_buffer(out, (draw.size, draw.size, 3), np.uint8)
        check_apart(out, {"the image": image, "the other image": other})
    composed = draw.similarity @ float64_array(similarity, "similarity", (3, 3))
    crop = warp_image(image, composed, draw.size, flip=draw.flip, filter=filter, reduced=reduced, out=out)
    for occluder in draw.occluders:
        _draw_occluder(crop, occluder, other)
    change_colors(crop, draw)
    return crop, composed


def occluded_texels(
    draw: AugmentationDraw, position_map: NDArray[np.float32], *, out: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Which texels of an augmented label lie behind an occluder.

    Parameters
    ----------
    draw : AugmentationDraw
        What was done.
    position_map : (u, u, 3) float32, C-contiguous
        The augmented label, crop px.
    out : (u, u) bool, C-contiguous, optional
        Buffer to fill and return.

    Returns
    -------
    (u, u) bool
        True where x, y of the texel falls into an occluder.
    """
    _check_draw(draw)
    check_map("position_map", position_map, None)
    if position_map.dtype != np.float32:
        raise InputError(f"position_map: {position_map.dtype}, expected float32 px; see uvgen.fixed_point.decode")
    out = out_buffer(out, position_map.shape[:2], np.bool_)
    out[:] = False
    for occluder in draw.occluders:
        kernels.mark_occluded(position_map.reshape(-1, 3), _outline(occluder, draw.size), out.reshape(-1))
    return out


def _check_draw(draw: AugmentationDraw) -> None:
    check_instance(draw, "draw", AugmentationDraw, "Augmentation.preset('prnet').draw(seed, name, epoch, size)")


def _draw_occluder(crop: NDArray[np.uint8], occluder: Occluder, other: NDArray[np.uint8] | None) -> None:
    fill = "noise" if occluder.fill == "image" and other is None else occluder.fill
    content = _NO_IMAGE if other is None else np.ascontiguousarray(other)
    color = np.array(occluder.color, np.uint8)
    filling = kernels.Filling(FILLS.index(fill), color, occluder.cell_px, np.uint64(occluder.seed), content)
    kernels.draw_occluder(_outline(occluder, len(crop)), filling, crop)


def _outline(occluder: Occluder, size: int) -> kernels.Outline:
    """Where an occluder is in a crop of a size."""
    angle = np.deg2rad(occluder.angle_deg)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, s], [-s, c]]) / (np.array([[occluder.width], [occluder.height]]) * size / 2)
    center = np.array([occluder.x, occluder.y]) * (size - 1)
    frame = np.column_stack([turn, -turn @ center])
    radii = _radii(occluder) if occluder.shape == "blob" else _NO_RADII
    return kernels.Outline(frame, SHAPES.index(occluder.shape), radii)


_NO_RADII = np.ones(kernels.N_RADII)
_WAVES = np.arange(2, 6)
_ANGLES = 2 * np.pi / kernels.N_RADII * np.arange(kernels.N_RADII)


def _radii(occluder: Occluder) -> NDArray[np.float64]:
    """Radii of a free-form outline: a circle and four waves, the largest 1."""
    size, phase = keyed_generator(occluder.seed, "outline").random((2, len(_WAVES)))
    waves = np.cos(_WAVES * _ANGLES[:, None] + 2 * np.pi * phase)
    radii = 1 + waves @ (size / _WAVES)
    radii = np.maximum(radii, 0.25)
    scaled: NDArray[np.float64] = radii / radii.max()
    return scaled
