"""Textures: from images into UV, averaged over images, and back into pictures."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import as_array, background_color, bool_mask, choice, frozen, real_array, shown
from uvgen.errors import InputError
from uvgen.meshes.grid import mesh_from_map
from uvgen.rasterize import surface_kernels
from uvgen.rasterize.fragments import Fragments, interpolate, rasterize

_LARGEST_SIDE = 1 << 22  # pixels: float32 has each half pixel up to there, so that none is taken beyond the border


def image_array(value: ArrayLike, name: str) -> NDArray[np.float32]:
    """(h, w) or (h, w, c) real numbers as frozen float32 (h, w, c), h and w not zero, nor beyond `_LARGEST_SIDE`."""
    array = as_array(value, name)
    if array.ndim >= 2 and max(array.shape[:2]) > _LARGEST_SIDE:
        raise InputError(f"{name}: {shown(array)}, expected a height and width of 1 to {_LARGEST_SIDE}")
    return real_array(array[..., None] if array.ndim == 2 else array, name, (-1, -1, None))


def _sample(
    points: NDArray[np.float32], valid: NDArray[np.bool_], image: NDArray[np.float32], mode: str, background: ArrayLike
) -> NDArray[np.float32]:
    """Values (p, c) of an image (h, w, c) at points (p, 2 or 3), the background where not valid."""
    choice(mode, "mode", ("nearest", "bilinear"))
    samples = np.empty((len(points), image.shape[2]), np.float32)
    surface_kernels.sample(
        frozen(points, np.float32),
        frozen(valid, np.bool_),
        image,
        mode == "bilinear",
        background_color(background, image.shape[2]),
        samples,
    )
    return samples


def render_texture(
    fragments: Fragments,
    triangles: np.ndarray,
    uv: np.ndarray,
    texture: np.ndarray,
    *,
    mode: str = "bilinear",
    background: float | np.ndarray = 0,
) -> np.ndarray:
    """A texture on a mesh, at every pixel.

    Parameters
    ----------
    fragments : Fragments
        Fragments of one mesh, or of a batch.
    triangles : (m, 3) array of integers
        Rows of `uv` at the corners of each triangle, in the order in which the triangles were drawn: the
        mesh's own where each vertex has one place in the texture, separate ones where the texture has seams.
    uv : (k, 2) array of real numbers
        u right, v up; texel column u (w - 1), row (h - 1) (1 - v). Outside [0, 1] the border texel counts.
    texture : (h, w, c) or (h, w) array of real numbers
    mode : {"bilinear", "nearest"}
    background : float or (c,) array
        Value of pixels without a triangle.

    Returns
    -------
    (h, w, c) or (b, h, w, c) float32
        In the unit of the texture.

    Raises
    ------
    InputError
        Wrong shapes, dtypes or options, or indices out of range.
    """
    texture = image_array(texture, "texture")
    height, width = texture.shape[:2]
    uv = real_array(uv, "uv", (None, 2))
    texels = (uv * [1, -1] + [0, 1]) * [width - 1, height - 1]
    points = interpolate(fragments, triangles, texels)
    samples = _sample(points.reshape(-1, 2), fragments.covered.reshape(-1), texture, mode, background)
    return samples.reshape(*points.shape[:-1], -1)


def unwrap(
    image: np.ndarray, position_map: np.ndarray, *, coverage: np.ndarray | None = None, mode: str = "bilinear"
) -> tuple[np.ndarray, np.ndarray]:
    """The face's texture in UV: each texel's color from where the position map places it in the image.

    Parameters
    ----------
    image : (h, w, c) or (h, w) array of real numbers
    position_map : (u, v, 3) array of real numbers
        x, y of each texel in the frame of `image`, pixels with centers at integers; z is not used, so hidden
        texels show what hides them: see `visible_texels`.
    coverage : (u, v) bool, optional
        Texels that belong to the face; all if it is not given.
    mode : {"bilinear", "nearest"}

    Returns
    -------
    texture : (u, v, c) float32
        In the unit of the image; 0 where not valid.
    valid : (u, v) bool
        Texels of the coverage whose place lies in the image, up to half a pixel beyond the outer centers.

    Raises
    ------
    InputError
        Wrong shapes, dtypes or options.
    """
    image = image_array(image, "image")
    position_map = real_array(position_map, "position_map", (None, None, 3))
    x, y = position_map[..., 0], position_map[..., 1]
    height, width = image.shape[:2]
    valid = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    if coverage is not None:
        valid &= bool_mask(coverage, "coverage", valid.shape)
    texture = _sample(position_map.reshape(-1, 3), valid.reshape(-1), image, mode, 0)
    return texture.reshape(*valid.shape, -1), valid


def render(
    position_map: np.ndarray,
    texture: np.ndarray,
    size: tuple[int, int],
    *,
    coverage: np.ndarray | None = None,
    mode: str = "bilinear",
    background: float | np.ndarray = 0,
) -> tuple[np.ndarray, Fragments]:
    """Draw the surface of a position map with a texture: the way back from `unwrap`.

    Parameters
    ----------
    position_map : (u, v, 3) array of real numbers
        x, y, z of each texel in the frame of the picture: pixels with centers at integers, larger z nearer.
    texture : (h, w, c) or (h, w) array of real numbers
        Over the same UV square; any size.
    size : (int, int)
        Height and width of the picture.
    coverage : (u, v) bool, optional
        Texels to draw; all if it is not given.
    mode : {"bilinear", "nearest"}
    background : float or (c,) array

    Returns
    -------
    picture : (height, width, c) float32
        In the unit of the texture.
    fragments : Fragments
        The pixels that were drawn; triangles are those of `mesh_from_map`.

    Raises
    ------
    InputError
        Wrong shapes, dtypes or options.
    """
    vertices, triangles, uv = mesh_from_map(position_map, coverage)
    fragments = rasterize(vertices, triangles, size)
    return render_texture(fragments, triangles, uv, texture, mode=mode, background=background), fragments


def flatten_mean(textures: np.ndarray, visibilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of several textures of a person, each where it was seen: 3DMMasSTN's flattening.

    From Bas et al., 3D Morphable Models as Spatial Transformer Networks (ICCV workshops, 2017).

    Parameters
    ----------
    textures : (k, u, v, c) array of real numbers
        Same UV layout each, as `unwrap` gives them.
    visibilities : (k, u, v) array of bool or of weights
        Which texels of each count, as `visible_texels` gives them, or how much: finite, not negative.

    Returns
    -------
    mean : (u, v, c) float32
        0 where no texture counts.
    seen : (u, v) float32
        How many textures, or how much weight, each texel's mean is made of.

    Raises
    ------
    InputError
        Wrong shapes, dtypes or values.
    """
    textures = real_array(textures, "textures", (None, None, None, None))
    weights = real_array(visibilities, "visibilities", textures.shape[:3])
    if not ((weights >= 0) & (weights < np.inf)).all():
        raise InputError("visibilities: negative or non-finite weights, expected bool or finite weights of 0 or more")
    total = np.zeros(textures.shape[1:], np.float64)
    for texture, weight in zip(textures, weights, strict=True):
        weight = weight[..., None]
        total += np.where(weight > 0, texture, 0) * weight  # what was not seen may be NaN
    seen = weights.sum(axis=0)
    mean = np.divide(total, seen[..., None], out=np.zeros_like(total), where=seen[..., None] > 0)
    return mean.astype(np.float32), seen
