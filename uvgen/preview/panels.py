"""The pictures of one sample that a contact sheet shows side by side. `uvgen.preview` arranges them.

Every panel is `PANEL` pixels wide, whatever the sizes of crop and map.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from uvgen import rasterize
from uvgen.maps.landmarks import LandmarkWeights, read_landmarks
from uvgen.preview.drawing import (
    EMPTY,
    FINE,
    INK,
    PANEL,
    PAPER,
    draw_dot,
    draw_dots,
    draw_guide,
    draw_landmarks,
    fine_points,
    over,
    pale,
)
from uvgen.preview.sample_view import SampleView

Texture = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]
"""A face's colors in UV, where there is a face, and where it is seen, as `texture` returns them."""

TURN_DEG = 30.0
_ZOOM = 2.2


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


def dense_panel(face: SampleView, every: int) -> Image.Image:
    """The crop with each `every`-th texel of the face as a dot, colored by depth; hidden ones gray and small."""
    inner = np.zeros_like(face.face)
    inner[every // 2 :: every, every // 2 :: every] = True
    points, seen = face.points[inner & face.face], face.seen[inner & face.face]
    return draw_dots(pale(crop_panel(face)), points, seen)


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


def texture(face: SampleView) -> Texture:
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
    layer = Image.new("RGBA", (size * FINE, size * FINE))
    draw = ImageDraw.Draw(layer)
    for center in fine_points((texels[:, ::-1] + 0.5) * (size / len(weights)) - 0.5):
        draw_dot(draw, center, 1.1, (255, 255, 255, 255))
    return over(picture, layer)


def coverage_panel(coverage: NDArray[np.bool_], size: int) -> Image.Image:
    """Covered texels light, filled ones dark, a single one too; "100%" if there is none."""
    tone = np.where(coverage, 205.0, 40.0).astype(np.float32)
    small = np.asarray(Image.fromarray(tone).resize((size, size), Image.Resampling.BOX))
    picture = _picture(np.repeat(np.where(small < 204.5, 40.0, 205.0)[..., None], 3, axis=2))
    if coverage.all():
        draw, middle = ImageDraw.Draw(picture), size / 2
        for y, text, height in ((middle - 10, "100%", size / 5), (middle + 22, "no texel is filled", size / 11)):
            draw.text((middle, y), text, INK, ImageFont.load_default(size=height), anchor="mm")
    return picture


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
    """Colors (h, w, 3) of 0 to 255, rounded, as a picture."""
    return Image.fromarray(np.clip(np.rint(colors), 0, 255).astype(np.uint8))
