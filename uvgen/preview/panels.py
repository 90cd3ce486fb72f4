"""The pictures of one sample that a contact sheet shows side by side. `uvgen.preview` arranges them.

Every panel is `PANEL` pixels wide, whatever the sizes of crop and map. All that is drawn over a picture is drawn
`_FINE` times larger and averaged, so that dots and lines are smooth and lie where they should to 1/8 px.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from uvgen import rasterize
from uvgen.errors import DatasetError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.maps.landmarks import LandmarkWeights, read_landmarks

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

TURN_DEG = 30.0
_FINE, _ZOOM = 4, 2.2
_INK, _HIDDEN = (20, 22, 26), (120, 124, 130)
_FACING = 0.12  # a surface seen at a flatter angle than this cosine counts as hidden: one pixel covers much of it
_DEPTH_TOLERANCE = 0.008  # panel widths; rounding to pixels makes a surface hide itself by less

_MOST_CROPS = 100.0


def check_map(position_map: NDArray[np.floating[Any]], crop_size: int, name: str) -> None:
    """Raise DatasetError where a map cannot be drawn: it is not finite, or leads hundreds of crops away."""
    reach = float(np.abs(position_map).max(initial=0))
    if not reach < _MOST_CROPS * crop_size:
        what = f"leads {reach:g} px away" if np.isfinite(reach) else "holds NaN or infinity"
        raise DatasetError(f"{name}: its map {what}, expected px of a crop of {crop_size}; run `uvgen verify`")


@dataclass(frozen=True, slots=True, eq=False)
class SampleView:
    """One sample and what follows from its map. U texels and R crop pixels along each side.

    Attributes
    ----------
    crop : (R, R, 3) uint8
        RGB.
    position_map : (U, U, 3) float32
        x, y, z in crop px.
    points : (U, U, 3) float32
        The same in px of a panel.
    coverage, face : (U, U) bool
        Texels on the mesh, and those of them with a weight.
    normals : (U, U, 3) float32
        Unit normals in the image frame; zeros outside the coverage.
    seen : (U, U) bool
        Covered texels that nothing hides.
    triangles : (m, 3) int32
        The surface between the covered texels, which are numbered row by row.
    angles_rad : (3,) float
        Pitch, yaw and roll of the head as the crop shows it, turned and mirrored as it is: `crop_pose`'s.
    annotated : (68, 2) float32 or None
        The annotated landmarks in px of a panel, NaN where there is none; None where the set has no annotations.
    """

    crop: NDArray[np.uint8]
    position_map: NDArray[np.float32]
    points: NDArray[np.float32]
    coverage: NDArray[np.bool_]
    face: NDArray[np.bool_]
    normals: NDArray[np.float32]
    seen: NDArray[np.bool_]
    triangles: NDArray[np.int32]
    angles_rad: NDArray[np.floating[Any]]
    annotated: NDArray[np.floating[Any]] | None = None

    @classmethod
    def of(
        cls,
        sample: dict[str, Any],
        coverage: NDArray[np.bool_],
        weights: NDArray[np.floating[Any]],
        triangles: NDArray[np.int32] | None = None,
    ) -> "SampleView":
        """From a sample as a `uvgen.shards.reader.ShardReader` gives it, and the set's constants.

        `triangles` are those of `rasterize.mesh_from_map` for the coverage, the same for all samples of a set.

        Raises DatasetError where the map is not finite, or leads far from the crop.
        """
        crop, position_map = sample["image"], sample["posmap"]
        check_map(position_map, crop.shape[0], sample["name"])
        half = np.array([0.5, 0.5, 0], np.float32)  # pixel centers are integers, in the crop and in the panel
        points = (position_map + half) * np.float32(PANEL / crop.shape[0]) - half
        if triangles is None:
            triangles = rasterize.mesh_from_map(points, coverage)[1]
        vertices = points[coverage]
        normals = np.zeros_like(points)
        normals[coverage] = rasterize.vertex_normals(vertices, triangles)
        low = np.floor(vertices[:, :2].min(axis=0))  # necks leave the crop and may hide what is in it
        size = np.clip(np.ceil(vertices[:, :2].max(axis=0) - low), 1, 4 * PANEL).astype(int) + 1
        shifted = vertices - np.array([*low, 0], np.float32)
        seen = normals[..., 2] > _FACING
        seen[coverage] &= rasterize.visible_vertices(
            shifted, triangles, size=(int(size[1]), int(size[0])), tolerance=_DEPTH_TOLERANCE * PANEL
        )
        face = coverage & (weights > 0)
        if not face.any():  # a mask of the user's own, of zeros
            face = coverage
        annotated = sample.get("annotated_landmarks")
        if annotated is not None:
            annotated = (annotated[:, :2] + half[:2]) * np.float32(PANEL / crop.shape[0]) - half[:2]
        angles = sample["crop_pose"][:3]
        return cls(crop, position_map, points, coverage, face, normals, seen, triangles, angles, annotated)


def crop_panel(face: SampleView) -> Image.Image:
    """The crop as it is stored."""
    return Image.fromarray(face.crop).resize((PANEL, PANEL), Image.Resampling.BICUBIC)


def landmark_panel(face: SampleView, texels: NDArray[np.integer[Any]], read: LandmarkWeights) -> Image.Image:
    """The crop with the 68 landmarks that are read from the map.

    Parameters
    ----------
    face : SampleView
        The sample.
    texels : (68, 2) int
        Rows and columns; they say which landmarks are hidden.
    read : LandmarkWeights
        Of the map's size.

    Returns
    -------
    Image
        Each side of the person in its color; hidden points are hollow.
    """
    points = read_landmarks(face.points, read)[:, :2]
    seen = face.seen[texels[:, 0], texels[:, 1]]
    return draw_landmarks(crop_panel(face), points, seen, face.annotated)


def draw_landmarks(
    picture: Image.Image,
    points: NDArray[np.floating[Any]],
    seen: NDArray[np.bool_],
    annotated: NDArray[np.floating[Any]] | None = None,
    *,
    size: float = 1.0,
    finer: int = _FINE,
) -> Image.Image:
    """iBUG polylines and dots over a picture, hidden ones hollow, and below them crosses at annotated points.

    Points and annotated ones are (68, 2), in px of the picture. Dots and lines are `size` times as large as those of a
    panel, and drawn `finer` times larger, then averaged.
    """
    sides = _sides()
    layer = Image.new("RGBA", (picture.width * finer, picture.height * finer))
    draw = ImageDraw.Draw(layer)
    fine = _fine(points, finer)
    for width, color in ((3.0, _INK), (1.3, None)):  # a dark seam, then the line
        for indices, closed in LINES:
            ring = [*indices, indices[0]] if closed else [*indices]
            for a, b in pairwise(ring):
                side = a if sides[a] != MIDDLE else b
                visible = seen[a] or seen[b]
                fill = (*(color or sides[side]), (110 if visible else 50) if color else (255 if visible else 120))
                draw.line([*fine[a], *fine[b]], fill=fill, width=max(1, round(width * size * finer)))
    if annotated is not None:
        crosses = _fine(annotated[np.isfinite(annotated).all(axis=1)], finer)
        for width, color in ((2.4, _INK), (1.1, ANNOTATED)):
            for x, y in crosses:
                _cross(draw, x, y, 2.6 * size * finer, (*color, 255), max(1, round(width * size * finer)))
    for k in range(68):
        _dot(draw, fine[k], 2.9 * size, (*_INK, 255), finer)
        _dot(draw, fine[k], 2.1 * size, (*sides[k], 255), finer)
        if not seen[k]:
            _dot(draw, fine[k], 1.2 * size, (*_INK, 255), finer)
    return _over(picture, layer, finer)


def _cross(draw: ImageDraw.ImageDraw, x: float, y: float, arm: float, fill: tuple[int, ...], width: int) -> None:
    draw.line([x - arm, y, x + arm, y], fill=fill, width=width)
    draw.line([x, y - arm, x, y + arm], fill=fill, width=width)


def zoom_panel(face: SampleView, texels: NDArray[np.integer[Any]], read: LandmarkWeights) -> Image.Image:
    """Eyes above, mouth below, enlarged: a shift of a few px shows here first."""
    points = read_landmarks(face.points, read)[:, :2].astype(np.float64)
    seen = face.seen[texels[:, 0], texels[:, 1]]
    picture = Image.new("RGB", (PANEL, PANEL), PAPER)
    height = (PANEL - 4) // 2
    factor = face.crop.shape[0] / PANEL  # crop px per panel px
    for top, indices in ((0, range(36, 48)), (PANEL - height, range(48, 68))):
        center = points[[k for k in indices if seen[k]] or [*indices]].mean(axis=0)
        corner = center - np.array([PANEL, height]) / (2 * _ZOOM)
        step = factor / _ZOOM  # crop px per px of the enlargement; PIL counts from the edge of a pixel
        shift = (corner + 0.5) * factor
        part = Image.fromarray(face.crop).transform(
            (PANEL, height), Image.Transform.AFFINE, (step, 0, shift[0], 0, step, shift[1]),
            Image.Resampling.BICUBIC, fillcolor=EMPTY,
        )  # fmt: skip
        enlarged = (points - corner) * _ZOOM - 0.5
        annotated = None if face.annotated is None else (face.annotated - corner) * _ZOOM - 0.5
        picture.paste(draw_landmarks(part, enlarged, seen, annotated), (0, top))
    return picture


def _sides() -> list[tuple[int, int, int]]:
    """A color for each landmark. iBUG counts jaw, brows and lips from the person's right, a picture's left."""
    right = [*range(0, 8), *range(17, 22), 31, 32, *range(36, 42), *range(48, 51), *range(58, 62), 67]
    middle = np.flatnonzero(np.arange(68) == LANDMARK_MIRROR)
    return [MIDDLE if k in middle else RIGHT if k in right else LEFT for k in range(68)]


def dense_panel(face: SampleView, every: int) -> Image.Image:
    """The crop with each `every`-th texel of the face as a dot, colored by depth; hidden ones gray and small."""
    inner = np.zeros_like(face.face)
    inner[every // 2 :: every, every // 2 :: every] = True
    points, seen = face.points[inner & face.face], face.seen[inner & face.face]
    return draw_dots(pale(crop_panel(face)), points, seen)


def pale(picture: Image.Image) -> Image.Image:
    """A picture for dots to stand out from."""
    return Image.blend(picture, Image.new("RGB", picture.size, (128, 128, 128)), 0.25)


def draw_dots(
    picture: Image.Image,
    points: NDArray[np.floating[Any]],
    seen: NDArray[np.bool_],
    *,
    size: float = 1.0,
    finer: int = _FINE,
) -> Image.Image:
    """Points (n, 3), px of the picture, as dots colored by depth; hidden ones gray and small.

    `size` and `finer` are as for `draw_landmarks`.
    """
    layer = Image.new("RGBA", (picture.width * finer, picture.height * finer))
    draw = ImageDraw.Draw(layer)
    fine = _fine(points[:, :2], finer)
    for k in np.flatnonzero(~seen):
        _dot(draw, fine[k], 0.8 * size, (*_HIDDEN, 150), finer)
    colors = ramp(depth_shares(points[:, 2], seen))
    for k in np.flatnonzero(seen)[np.argsort(points[seen][:, 2], kind="stable")]:  # near ones over far ones
        _dot(draw, fine[k], 1.75 * size, (*_INK, 120), finer)  # a rim, to stand out from light skin
        _dot(draw, fine[k], 1.2 * size, (*colors[k], 255), finer)
    return _over(picture, layer, finer)


def depth_shares(depths: NDArray[np.floating[Any]], seen: NDArray[np.bool_]) -> NDArray[np.floating[Any]]:
    """Depths so that 0 is about the farthest of those that are seen, and 1 the nearest."""
    far, near = np.percentile(depths[seen], [2, 98]) if seen.any() else (0.0, 1.0)
    shares: NDArray[np.floating[Any]] = (depths - far) / max(near - far, 1e-6)
    return shares


def map_panel(face: SampleView) -> Image.Image:
    """The position map: x, y, z over the crop's width as red, green, blue; lines of equal x and of equal y.

    The lines are an eighth of the crop apart: they are the crop's own grid, seen in UV. What lies outside the
    crop is paler.
    """
    fine = _resized(face.position_map) / face.crop.shape[0]
    colors = np.clip(fine, 0, 1) * 255
    x, y = fine[..., 0], fine[..., 1]
    outside = (x < 0) | (x > 1) | (y < 0) | (y > 1)
    colors[outside] = 0.35 * colors[outside] + 0.65 * np.array(EMPTY)
    for axis in (0, 1):
        alpha = 0.55 * _isolines(fine[..., axis] * 8)[..., None]
        colors = (1 - alpha) * colors + alpha * 255
    return _picture(colors)


def _isolines(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Opacity of lines, 1.2 px wide, where values (h, w) are whole numbers."""
    rows, columns = np.gradient(values)
    distance = np.abs(values - np.rint(values)) / np.maximum(np.hypot(rows, columns), 1e-6)
    opacity: NDArray[np.float32] = np.clip(1.1 - distance, 0, 1)
    return opacity


def texture(face: SampleView) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """The crop unwrapped into UV at a panel's resolution.

    Returns
    -------
    colors : (PANEL, PANEL, 3) float32
        0 to 255.
    valid, seen : (PANEL, PANEL) bool
        Where there is a color, and where it is the face's own: what is hidden shows what hides it.
    """
    colors, valid = rasterize.unwrap(face.crop, _resized(face.position_map), coverage=_nearest(face.coverage))
    return colors, valid, valid & _nearest(face.seen)


def texture_panel(face: SampleView, texels: NDArray[np.integer[Any]]) -> Image.Image:
    """The unwrapped texture, hidden parts pale, and where eyes, nose and mouth have to be."""
    colors, valid, _ = texture(face)
    pale = np.array(EMPTY, np.float32)
    colors = np.where(valid[..., None], colors, pale)
    opacity = 0.25 + 0.75 * _resized(face.seen[..., None].astype(np.float32))
    colors = opacity * colors + (1 - opacity) * pale
    return draw_guide(_picture(colors), texels, len(face.coverage))


def draw_guide(picture: Image.Image, texels: NDArray[np.integer[Any]], size: int) -> Image.Image:
    """Thin outlines of brows, eyes, nose and mouth over a picture of the UV grid, at the landmark texels."""
    layer = _guide(tuple(map(tuple, texels.tolist())), size, picture.size)
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


@lru_cache(maxsize=4)  # the same for all samples of a set
def _guide(texels: tuple[tuple[int, int], ...], size: int, shape: tuple[int, int]) -> Image.Image:
    """What `draw_guide` lays over a picture of this shape."""
    fine = _fine((np.array(texels)[:, ::-1] + 0.5) * (shape[0] / size) - 0.5)
    layer = Image.new("RGBA", (shape[0] * _FINE, shape[1] * _FINE))
    draw = ImageDraw.Draw(layer)
    for width, color in ((2.0, (*_INK, 70)), (0.7, (255, 255, 255, 210))):
        for indices, closed in LINES[1:-1]:
            ring = [*indices, indices[0]] if closed else [*indices]
            draw.line([tuple(fine[k]) for k in ring], fill=color, width=round(width * _FINE))
    return layer.reduce(_FINE)


def turned_panel(face: SampleView) -> Image.Image:
    """The mesh turned by 30° about the vertical, against its yaw: textured where the crop shows it, else gray."""
    angle = np.deg2rad(TURN_DEG if face.angles_rad[1] >= 0 else -TURN_DEG)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    vertices = face.points[face.coverage] @ turn.T.astype(np.float32)
    normals = face.normals[face.coverage] @ turn.T.astype(np.float32)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    # Twice as large as it is shown: antialiasing. Never larger than in the crop.
    scale = min(1.0, 0.94 * PANEL / max(float((high - low)[:2].max()), 1e-6)) * 2
    vertices = (vertices - (low + high) / 2) * np.float32(scale) + np.array([PANEL - 0.5, PANEL - 0.5, 0], np.float32)
    colors, valid = rasterize.unwrap(face.crop, face.position_map, coverage=face.coverage)
    light = rasterize.shade(normals, rasterize.Light(direction=(-0.35, -0.55, 1.0), ambient=0.35, diffuse=0.7))
    own = (valid & face.seen)[face.coverage][:, None]
    colors = np.where(own, colors[face.coverage] * (0.75 + 0.25 * light), 150 * light)
    fragments = rasterize.rasterize(vertices, face.triangles, (2 * PANEL, 2 * PANEL))
    picture = rasterize.render_colors(fragments, face.triangles, colors.astype(np.float32), background=np.array(EMPTY))
    return _picture(picture).reduce(2)


def mask_panel(weights: NDArray[np.floating[Any]], texels: NDArray[np.integer[Any]], size: int) -> Image.Image:
    """The weight mask as gray, darkest where it is least, and the landmark texels as dots."""
    values = np.unique(weights)
    steps = max(len(values) - 1, 1)  # the largest weight is the landmarks': their dots show it
    tone = np.interp(weights, values, [*np.linspace(40, 190, steps), 190][: len(values)])
    picture = _picture(np.repeat(tone[..., None], 3, axis=2)).resize((size, size), Image.Resampling.BOX)
    layer = Image.new("RGBA", (size * _FINE, size * _FINE))
    draw = ImageDraw.Draw(layer)
    for center in _fine((texels[:, ::-1] + 0.5) * (size / len(weights)) - 0.5):
        _dot(draw, center, 1.1, (255, 255, 255, 255))
    return _over(picture, layer)


def coverage_panel(coverage: NDArray[np.bool_], size: int) -> Image.Image:
    """Covered texels light, filled ones dark, a single one too; "100%" where there is none."""
    tone = np.where(coverage, 205.0, 40.0).astype(np.float32)
    small = np.asarray(Image.fromarray(tone).resize((size, size), Image.Resampling.BOX))
    picture = _picture(np.repeat(np.where(small < 204.5, 40.0, 205.0)[..., None], 3, axis=2))
    if coverage.all():
        draw, middle = ImageDraw.Draw(picture), size / 2
        for y, text, height in ((middle - 10, "100%", size / 5), (middle + 22, "no texel is filled", size / 11)):
            draw.text((middle, y), text, _INK, ImageFont.load_default(size=height), anchor="mm")
    return picture


def ramp(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Colors (..., 3) of depths in [0, 1]: `NEAR_FAR`, interpolated."""
    stops = np.linspace(0, 1, len(NEAR_FAR))
    table = np.array(NEAR_FAR, np.float64)
    channels = [np.interp(values, stops, table[:, channel]) for channel in range(3)]
    colors: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colors


def _fine(points: NDArray[np.floating[Any]], finer: int = _FINE) -> list[tuple[float, float]]:
    """Points (n, 2) in px as coordinates of a layer `finer` times larger."""
    fine = np.clip((np.asarray(points, np.float64) + 0.5) * finer - 0.5, -1e5, 1e5)  # as far as Pillow draws
    return [(float(x), float(y)) for x, y in fine]


def _dot(
    draw: ImageDraw.ImageDraw, center: tuple[float, float], radius: float, fill: Sequence[int], finer: int = _FINE
) -> None:
    x, y, r = *center, radius * finer
    draw.ellipse([x - r, y - r, x + r, y + r], fill=tuple(fill))


def _over(picture: Image.Image, layer: Image.Image, finer: int = _FINE) -> Image.Image:
    """A picture under a layer `finer` times larger, of which only the part that is drawn on is averaged."""
    below = picture.convert("RGBA")
    if (box := layer.getbbox()) is not None:
        left, top = box[0] // finer, box[1] // finer
        right, bottom = -(-box[2] // finer), -(-box[3] // finer)
        part = layer.crop((left * finer, top * finer, right * finer, bottom * finer))
        below.alpha_composite(part.reduce(finer), (left, top))
    return below.convert("RGB")


def _resized(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Channels (u, u, c) of a map at a panel's resolution, smoothly interpolated."""
    size = (PANEL, PANEL)
    channels = [
        np.asarray(Image.fromarray(np.ascontiguousarray(values[..., c])).resize(size, Image.Resampling.BILINEAR))
        for c in range(values.shape[-1])
    ]
    return np.stack(channels, axis=-1)


def _nearest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    index = ((np.arange(PANEL) + 0.5) * len(mask) / PANEL).astype(int)
    sampled: NDArray[np.bool_] = mask[np.ix_(index, index)]
    return sampled


def _picture(colors: NDArray[np.floating[Any]]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(colors), 0, 255).astype(np.uint8))
