"""A face over its photograph, as papers show it: 68 points, dense points, mesh, depth, pose; and how a network learned
it, as a GIF over the epochs of a training.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from uvgen import rasterize
from uvgen.checks import (
    FARTHEST_PX,
    as_array,
    check_array,
    check_bytes,
    check_finite,
    check_paths,
    choice,
    number_in,
    shown,
)
from uvgen.errors import InputError
from uvgen.geometry import transform_points
from uvgen.images.crop import crop_from_landmarks
from uvgen.maps.atlas import build_atlas
from uvgen.maps.landmarks import landmark_texels
from uvgen.maps.masks import weight_mask
from uvgen.maps.readings import HeadPose, landmarks_to_pose, map_to_landmarks, map_to_pose
from uvgen.models.load import BUILTIN, as_model
from uvgen.models.morphable import MorphableModel
from uvgen.preview.drawing import PANEL, depth_shares, draw_dots, draw_landmarks, fine_points, over, pale, ramp
from uvgen.preview.sample_view import SampleView
from uvgen.storage.files import replaced_on_success

KINDS = ("sparse", "dense", "mesh", "depth", "pose")
"""What `draw_alignment` draws."""

_OF_MAPS = ("dense", "mesh", "depth")
_PANEL_EXTENT = PANEL / 1.5  # px, of the face that dots and lines of a panel are made for
_ACROSS = 42  # dots of a dense alignment
_MOST_PX = 4096  # along each side of what is drawn larger and averaged
_AXES = ((235, 64, 52), (70, 200, 80), (70, 130, 255))  # x to the picture's right, y up, z out of the face
_BOX, _INK = (120, 255, 140), (20, 22, 26)


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """What is to be drawn, image px: the map (U, U, 3) or None, and the 68 landmarks (68, 2|3)."""

    position_map: NDArray[np.float32] | None
    landmarks: NDArray[np.float64]
    model: MorphableModel

    @property
    def extent(self) -> float:
        """(w + h) / 2 of the landmarks' box, px."""
        return float(np.ptp(self.landmarks[:, :2], axis=0).sum()) / 2

    @property
    def surface(self) -> NDArray[np.float32]:
        """The map, for what is drawn of maps alone."""
        if self.position_map is None:
            raise InputError("face: 68 landmarks, expected a position map")
        return self.position_map

    def view(self) -> SampleView:
        """The map in a panel of its own, which says what is hidden: at the size that this is made for."""
        size = len(self.surface)
        panel = crop_from_landmarks(self.landmarks, PANEL)
        sample = {
            "image": np.zeros((PANEL, PANEL, 3), np.uint8), "name": "position_map", "crop_pose": np.zeros(3),
            "posmap": transform_points(self.surface, panel).astype(np.float32),
        }  # fmt: skip
        return SampleView.of(sample, build_atlas(self.model, size).coverage, weight_mask(self.model, size))

    def pose(self) -> HeadPose:
        """The pose of the head: the map's, or without a map the landmarks'."""
        if self.position_map is not None:
            return map_to_pose(self.position_map, self.model)
        return landmarks_to_pose(self.landmarks, self.model)


def draw_alignment(
    image: ArrayLike,
    face: ArrayLike,
    kind: str = "sparse",
    *,
    model: MorphableModel | str | os.PathLike[str] = BUILTIN,
    every: int | None = None,
) -> NDArray[np.uint8]:
    """Draw a face over its picture, at the picture's own size.

    Parameters
    ----------
    image : (h, w, 3) uint8
        RGB: a crop, or the image that `uvgen.crop_to_image` has brought the face to.
    face : (U, U, 3) or (68, 2) or (68, 3) float
        A position map or landmarks, px of the picture.
    kind : {"sparse", "dense", "mesh", "depth", "pose"}
        "sparse": the 68 landmarks and the lines between them, orange on the person's right, blue on the left, hidden
        ones hollow (known of maps alone). "dense": texels of the face as dots, far ones dark, near ones light, hidden
        ones gray. "mesh": the face's surface, lit. "depth": its depth, from far (blue) to near (yellow). "pose":
        PRNet's box around the face, the face's axes and its angles. "dense", "mesh" and "depth" need a map, "pose" a
        map or (68, 3).
    model : MorphableModel or path-like
        The one that the map's UV are of, which says where landmarks and face are in it.
    every : int, optional
        Every k-th texel is a dot of "dense"; by default about 42 along each side.

    Returns
    -------
    (h, w, 3) uint8
        RGB; a copy of the picture where the face lies outside.

    Raises
    ------
    InputError
        If a shape, a dtype or `kind` is wrong, or the face is not finite or lies far outside the picture.

    Examples
    --------
    >>> from PIL import Image
    >>> sample = uvgen.open_shards("shards/", "bfm.h5")[0]
    >>> picture = uvgen.draw_alignment(sample["image"], sample["posmap"], "mesh", model="bfm.h5")
    >>> Image.fromarray(picture).save("mesh.png")
    """
    choice(kind, "kind", KINDS)
    pixels = as_array(image, "image")
    check_bytes(pixels, "image", (-1, -1, 3))
    if every is not None:
        number_in(every, "every", 1, whole=True)
    found = _face(face, kind, as_model(model))
    if kind == "sparse":
        return _sparse(pixels, found)
    if kind == "dense":
        return _dense(pixels, found, every)
    return _pose(pixels, found) if kind == "pose" else _surface(pixels, found, depth=kind == "depth")


def alignment_gif(
    path: str | os.PathLike[str],
    image: ArrayLike,
    faces: Sequence[ArrayLike],
    kind: str = "sparse",
    *,
    captions: Sequence[str] = (),
    seconds: float = 0.4,
    model: MorphableModel | str | os.PathLike[str] = BUILTIN,
) -> Path:
    """Write an animated GIF that shows a face over its picture at several stages, such as the epochs of a training run.

    Parameters
    ----------
    path : path-like
        Ends in .gif; an existing file is replaced.
    image : (h, w, 3) uint8
        RGB.
    faces : sequence of (U, U, 3) or (68, 2|3) float
        One per frame, px of the picture: what was predicted after each epoch.
    kind, model
        As for `draw_alignment`.
    captions : sequence of str
        One per frame, written into its upper left corner: "epoch 10".
    seconds : float
        How long each frame is shown; the last one is shown four times as long. GIFs store hundredths of a second.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If there are no frames, or not as many captions, or the path does not end in .gif; and as `draw_alignment`.
    DatasetError
        If the file cannot be written.
    """
    check_paths(path=path)
    target = Path(path)
    if target.suffix.lower() != ".gif":
        raise InputError(f"{target}: expected a name that ends in .gif")
    number_in(seconds, "seconds", 0.02, 60, "seconds")
    if not hasattr(faces, "__len__") or isinstance(faces, str) or getattr(faces, "shape", None) == ():
        raise InputError(f"faces: {shown(faces)}, expected a sequence of maps or landmarks")
    if not len(faces):
        raise InputError("faces: none, expected one or more; each is a frame")
    if captions and len(captions) != len(faces):
        raise InputError(f"captions: {len(captions)}, expected {len(faces)}: one per frame")
    opened, frames = as_model(model), list[Image.Image]()
    for face, caption in zip(faces, captions or [""] * len(faces), strict=True):
        frame = Image.fromarray(draw_alignment(image, face, kind, model=opened))
        _write_text(frame, caption, (4, 2), max(10.0, frame.height / 18))
        frames.append(frame.quantize(dither=Image.Dither.NONE))
    times = [round(1000 * seconds)] * (len(frames) - 1) + [round(4000 * seconds)]
    with replaced_on_success(target) as temporary:
        frames[0].save(temporary, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return target


def _face(face: ArrayLike, kind: str, model: MorphableModel) -> _Face:
    values = as_array(face, "face")
    is_map = values.ndim == 3
    check_array(
        values, "face", ("U", "U", 3), (68, 2), (68, 3), kind="real numbers", note="a position map or 68 landmarks, px"
    )
    if is_map and values.shape[0] != values.shape[1]:
        raise InputError(f"face: {values.dtype} {values.shape}, expected a position map (U, U, 3), as high as wide")
    if kind in _OF_MAPS and not is_map:
        raise InputError(f"face: 68 landmarks, expected a position map (U, U, 3) for kind {kind!r}")
    if kind == "pose" and values.shape[-1] == 2:
        raise InputError("face: landmarks (68, 2), expected a position map or landmarks (68, 3) for kind 'pose'")
    check_finite(values, "face")
    reach = float(np.abs(values).max(initial=0))
    if reach > FARTHEST_PX:
        raise InputError(f"face: leads {reach:.3g} px away, expected px of the picture")
    if is_map:
        position_map = values.astype(np.float32)
        found = _Face(position_map, map_to_landmarks(position_map, model).astype(np.float64), model)
    else:
        found = _Face(None, values.astype(np.float64), model)
    if not found.extent > 0:
        raise InputError("face: all landmarks are in one point, expected a face, px of the picture")
    return found


class _Region:
    """The part of a picture that some points (n, 2) are drawn in: they and a margin, px."""

    def __init__(self, pixels: NDArray[np.uint8], points: NDArray[np.floating[Any]], margin: float) -> None:
        height, width = pixels.shape[:2]
        low = np.clip(np.floor(points[:, :2].min(axis=0) - margin), 0, (width, height))
        high = np.clip(np.ceil(points[:, :2].max(axis=0) + margin) + 1, 0, (width, height))
        self.left, self.top = int(low[0]), int(low[1])
        self.right, self.bottom = int(high[0]), int(high[1])
        self._pixels = pixels
        self.part = np.ascontiguousarray(pixels[self.top : self.bottom, self.left : self.right])
        longest = max(self.part.shape[:2])
        self.finer = int(np.clip(_MOST_PX // max(longest, 1), 1, 4))

    @property
    def is_empty(self) -> bool:
        return not self.part.size

    def moved(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Points (n, 2|3) in px of the part."""
        shifted = np.array(points, np.float64)
        shifted[:, :2] -= (self.left, self.top)
        return shifted

    def with_part(self, part: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of the picture with the part in its place."""
        picture = self._pixels.copy()
        picture[self.top : self.bottom, self.left : self.right] = np.asarray(part)
        return picture


def _sparse(pixels: NDArray[np.uint8], face: _Face) -> NDArray[np.uint8]:
    size = face.extent / _PANEL_EXTENT
    region = _Region(pixels, face.landmarks, 6 * size + 2)
    if region.is_empty:
        return pixels.copy()
    seen = np.ones(68, bool)
    if face.position_map is not None:
        rows, columns = landmark_texels(face.model, len(face.position_map)).T
        seen = face.view().seen[rows, columns]
    picture = Image.fromarray(region.part)
    points = region.moved(face.landmarks)[:, :2]
    return region.with_part(draw_landmarks(picture, points, seen, size=max(size, 0.35), finer=region.finer))


def _dense(pixels: NDArray[np.uint8], face: _Face, every: int | None) -> NDArray[np.uint8]:
    view, size = face.view(), face.extent / _PANEL_EXTENT
    step = every or max(1, round(len(face.surface) / _ACROSS))
    chosen = np.zeros_like(view.face)
    chosen[step // 2 :: step, step // 2 :: step] = True
    chosen &= view.face
    points = face.surface[chosen]
    pixels = np.asarray(pale(Image.fromarray(np.ascontiguousarray(pixels))))
    if not len(points):
        return pixels.copy()
    region = _Region(pixels, points, 3 * size + 2)
    if region.is_empty:
        return pixels.copy()
    dots = draw_dots(
        Image.fromarray(region.part), region.moved(points), view.seen[chosen], size=max(size, 0.35), finer=region.finer
    )
    return region.with_part(dots)


def _surface(pixels: NDArray[np.uint8], face: _Face, *, depth: bool) -> NDArray[np.uint8]:
    """The face's mesh over the picture: lit, or colored by depth."""
    view = face.view()
    vertices, triangles, _ = rasterize.mesh_from_map(face.surface, view.face)
    region = _Region(pixels, vertices, 1)
    if region.is_empty or not len(triangles):
        return pixels.copy()
    finer = min(2, region.finer)
    inner = region.moved(vertices)
    inner[:, :2] = (inner[:, :2] + 0.5) * finer - 0.5
    inner[:, 2] *= finer
    if depth:
        colors = ramp(depth_shares(vertices[:, 2], view.seen[view.face])).astype(np.float32)
    else:
        light = rasterize.Light(direction=(-0.35, -0.55, 1.0), ambient=0.3, diffuse=0.75)
        colors = 215 * rasterize.shade(rasterize.vertex_normals(inner, triangles), light) + np.zeros(3, np.float32)
    shape = finer * region.part.shape[0], finer * region.part.shape[1]
    fragments = rasterize.rasterize(inner, triangles, shape, cull="back")  # the inside of a far cheek is no face
    below = np.repeat(np.repeat(region.part, finer, axis=0), finer, axis=1).astype(np.float32)
    drawn = rasterize.render_colors(fragments, triangles, np.clip(colors, 0, 255).astype(np.float32))
    opacity = np.where(fragments.triangle >= 0, 0.92 if depth else 0.85, 0)[..., None]
    mixed = np.rint((1 - opacity) * below + opacity * drawn).astype(np.uint8)
    return region.with_part(Image.fromarray(mixed).reduce(finer) if finer > 1 else mixed)


def _pose(pixels: NDArray[np.uint8], face: _Face) -> NDArray[np.uint8]:
    """PRNet's box, in half widths of the jaw: its rear is 1.72 across, in the plane of jaw and brows, its front 2
    across and 1.05 nearer."""
    pose, marks = face.pose(), face.model.mean[face.model.landmarks].astype(np.float64)
    middle, half = marks[:27].mean(axis=0), float(np.ptp(marks[:17, 0])) / 2
    square = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1], [-1, -1]], np.float64)
    rear = np.column_stack([0.86 * square, np.zeros(5)])
    front = np.column_stack([square, np.full(5, 1.05)])
    tips = np.array([[0, 0, 0], [0.8, 0, 0], [0, 0.8, 0], [0, 0, 1.5]])
    nose = marks[30] - middle
    corners = np.concatenate([rear * half, front * half, tips * half + nose]) + middle
    places = (corners @ pose.affine[:, :3].T + pose.affine[:, 3])[:, :2]
    size = face.extent / _PANEL_EXTENT
    region = _Region(pixels, places, 3 * size + 2)
    if region.is_empty:
        return pixels.copy()
    finer, picture = region.finer, Image.fromarray(region.part)
    layer = Image.new("RGBA", (picture.width * finer, picture.height * finer))
    draw = ImageDraw.Draw(layer)
    fine = fine_points(region.moved(places), finer)
    back, near, axes = fine[:5], fine[5:10], fine[10:]
    edges = [*pairwise(back), *zip(back[:4], near[:4], strict=True), *pairwise(near)]
    width = max(size, 0.5) * finer
    for thickness, edge_color in ((3.6, (*_INK, 130)), (1.7, (*_BOX, 255))):
        for a, b in edges:
            draw.line([*a, *b], fill=edge_color, width=max(1, round(thickness * width)))
    for tip, color in zip(axes[1:], _AXES, strict=True):
        draw.line([*axes[0], *tip], fill=(*_INK, 160), width=max(1, round(4.6 * width)))
        draw.line([*axes[0], *tip], fill=(*color, 255), width=max(1, round(3.0 * width)))
    result = Image.fromarray(region.with_part(over(picture, layer, finer)))
    pitch, yaw, roll = np.rad2deg(pose.angles_rad).tolist()
    text = f"pitch {pitch:+.0f}°  yaw {yaw:+.0f}°  roll {roll:+.0f}°"
    _write_text(result, text, (4, 2), max(12.0, min(result.width / 22, 13 * size)))
    return np.asarray(result)


def _write_text(picture: Image.Image, text: str, place: tuple[float, float], height: float) -> None:
    if text:
        font = ImageFont.load_default(size=height)
        stroke = max(1, round(height / 10))
        ImageDraw.Draw(picture).text(place, text, (255, 255, 255), font, stroke_width=stroke, stroke_fill=_INK)
