"""Landmarks, dots and outlines drawn over pictures, and the colors of all that preview and report draw."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from uvgen.geometry import LANDMARK_MIRROR

PANEL = 256
"""Pixels along each side of a panel."""

PAPER, EMPTY = (255, 255, 255), (226, 229, 233)
ANNOTATED = (90, 230, 70)
"""Color of annotated landmarks."""

RIGHT, MIDDLE, LEFT = (255, 138, 30), (255, 255, 255), (45, 190, 255)
"""Colors of landmarks: on the person's right side, on the midline, on the left side."""

NEAR_FAR = ((44, 20, 110), (32, 98, 176), (24, 160, 150), (150, 205, 70), (255, 226, 60), (255, 252, 190))
"""Colors of depths, from far to near."""

LINES = (
    (range(0, 17), False), (range(17, 22), False), (range(22, 27), False), (range(27, 31), False),
    (range(31, 36), False), (range(36, 42), True), (range(42, 48), True), (range(48, 60), True), (range(60, 68), True),
)  # fmt: skip
"""The polylines of the 68 iBUG landmarks, and whether each is closed."""

FINE = 4
"""How many times larger drawings are made, and then averaged: lines are smooth, and lie where they should to 1/8 px."""

INK, _HIDDEN = (20, 22, 26), (120, 124, 130)


def draw_landmarks(
    picture: Image.Image,
    points: NDArray[np.floating[Any]],
    seen: NDArray[np.bool_],
    annotated: NDArray[np.floating[Any]] | None = None,
    *,
    size: float = 1.0,
    finer: int = FINE,
) -> Image.Image:
    """iBUG polylines and dots over a picture, hidden ones hollow, and below them crosses at annotated points.

    Points and annotated ones are (68, 2), in px of the picture. Dots and lines are `size` times as large as those of a
    panel, and drawn `finer` times larger, then averaged.
    """
    sides = landmark_colors()
    layer = Image.new("RGBA", (picture.width * finer, picture.height * finer))
    draw = ImageDraw.Draw(layer)
    fine = fine_points(points, finer)
    for width, color in ((3.0, INK), (1.3, None)):  # a dark seam, then the line
        for indices, closed in LINES:
            ring = [*indices, indices[0]] if closed else [*indices]
            for a, b in pairwise(ring):
                side = a if sides[a] != MIDDLE else b
                visible = seen[a] or seen[b]
                fill = (*(color or sides[side]), (110 if visible else 50) if color else (255 if visible else 120))
                draw.line([*fine[a], *fine[b]], fill=fill, width=max(1, round(width * size * finer)))
    if annotated is not None:
        crosses = fine_points(annotated[np.isfinite(annotated).all(axis=1)], finer)
        for width, color in ((2.4, INK), (1.1, ANNOTATED)):
            for x, y in crosses:
                draw_cross(draw, x, y, 2.6 * size * finer, (*color, 255), max(1, round(width * size * finer)))
    for k in range(68):
        draw_dot(draw, fine[k], 2.9 * size, (*INK, 255), finer)
        draw_dot(draw, fine[k], 2.1 * size, (*sides[k], 255), finer)
        if not seen[k]:
            draw_dot(draw, fine[k], 1.2 * size, (*INK, 255), finer)
    return over(picture, layer, finer)


def landmark_colors() -> list[tuple[int, int, int]]:
    """A color for each landmark. iBUG counts jaw, brows and lips from the person's right, a picture's left."""
    right = [*range(0, 8), *range(17, 22), 31, 32, *range(36, 42), *range(48, 51), *range(58, 62), 67]
    middle = np.flatnonzero(np.arange(68) == LANDMARK_MIRROR)
    return [MIDDLE if k in middle else RIGHT if k in right else LEFT for k in range(68)]


def draw_dots(
    picture: Image.Image,
    points: NDArray[np.floating[Any]],
    seen: NDArray[np.bool_],
    *,
    size: float = 1.0,
    finer: int = FINE,
) -> Image.Image:
    """Points (n, 3), px of the picture, as dots colored by depth; hidden ones gray and small.

    `size` and `finer` are as for `draw_landmarks`.
    """
    layer = Image.new("RGBA", (picture.width * finer, picture.height * finer))
    draw = ImageDraw.Draw(layer)
    fine = fine_points(points[:, :2], finer)
    for k in np.flatnonzero(~seen):
        draw_dot(draw, fine[k], 0.8 * size, (*_HIDDEN, 150), finer)
    colors = ramp(depth_shares(points[:, 2], seen))
    for k in np.flatnonzero(seen)[np.argsort(points[seen][:, 2], kind="stable")]:  # near ones over far ones
        draw_dot(draw, fine[k], 1.75 * size, (*INK, 120), finer)  # a rim, to stand out from light skin
        draw_dot(draw, fine[k], 1.2 * size, (*colors[k], 255), finer)
    return over(picture, layer, finer)


def depth_shares(depths: NDArray[np.floating[Any]], seen: NDArray[np.bool_]) -> NDArray[np.floating[Any]]:
    """Depths so that 0 is about the farthest of those that are seen, and 1 the nearest."""
    far, near = np.percentile(depths[seen], [2, 98]) if seen.any() else (0.0, 1.0)
    shares: NDArray[np.floating[Any]] = (depths - far) / max(near - far, 1e-6)
    return shares


def ramp(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Colors (..., 3) of depths in [0, 1]: `NEAR_FAR`, interpolated."""
    stops = np.linspace(0, 1, len(NEAR_FAR))
    table = np.array(NEAR_FAR, np.float64)
    channels = [np.interp(values, stops, table[:, channel]) for channel in range(3)]
    colors: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colors


def pale(picture: Image.Image) -> Image.Image:
    """A picture for dots to stand out from."""
    return Image.blend(picture, Image.new("RGB", picture.size, (128, 128, 128)), 0.25)


def draw_guide(picture: Image.Image, texels: NDArray[np.integer[Any]], size: int) -> Image.Image:
    """Thin outlines of brows, eyes, nose and mouth over a picture of the UV grid, at the landmark texels."""
    layer = _guide(tuple(map(tuple, texels.tolist())), size, picture.size)
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


@lru_cache(maxsize=4)  # the same for all samples of a set
def _guide(texels: tuple[tuple[int, int], ...], size: int, shape: tuple[int, int]) -> Image.Image:
    """What `draw_guide` lays over a picture of this shape."""
    fine = fine_points((np.array(texels)[:, ::-1] + 0.5) * (shape[0] / size) - 0.5)
    layer = Image.new("RGBA", (shape[0] * FINE, shape[1] * FINE))
    draw = ImageDraw.Draw(layer)
    for width, color in ((2.0, (*INK, 70)), (0.7, (255, 255, 255, 210))):
        for indices, closed in LINES[1:-1]:
            ring = [*indices, indices[0]] if closed else [*indices]
            draw.line([tuple(fine[k]) for k in ring], fill=color, width=round(width * FINE))
    return layer.reduce(FINE)


def draw_cross(draw: ImageDraw.ImageDraw, x: float, y: float, arm: float, fill: tuple[int, ...], width: int) -> None:
    """A cross at a point of a layer, whose arms are `arm` px of the layer long."""
    draw.line([x - arm, y, x + arm, y], fill=fill, width=width)
    draw.line([x, y - arm, x, y + arm], fill=fill, width=width)


def draw_dot(
    draw: ImageDraw.ImageDraw, center: tuple[float, float], radius: float, fill: Sequence[int], finer: int = FINE
) -> None:
    """A dot at a point of a layer `finer` times larger than its picture; the radius is in px of the picture."""
    x, y, r = *center, radius * finer
    draw.ellipse([x - r, y - r, x + r, y + r], fill=tuple(fill))


def fine_points(points: NDArray[np.floating[Any]], finer: int = FINE) -> list[tuple[float, float]]:
    """Points (n, 2) in px as coordinates of a layer `finer` times larger."""
    fine = np.clip((np.asarray(points, np.float64) + 0.5) * finer - 0.5, -1e5, 1e5)  # as far as Pillow draws
    return [(float(x), float(y)) for x, y in fine]


def over(picture: Image.Image, layer: Image.Image, finer: int = FINE) -> Image.Image:
    """A picture under a layer `finer` times larger, of which only the part that is drawn on is averaged."""
    below = picture.convert("RGBA")
    if (box := layer.getbbox()) is not None:
        left, top = box[0] // finer, box[1] // finer
        right, bottom = -(-box[2] // finer), -(-box[3] // finer)
        part = layer.crop((left * finer, top * finer, right * finer, bottom * finer))
        below.alpha_composite(part.reduce(finer), (left, top))
    return below.convert("RGB")
