"""What the kernels that turn faces read, write and compute in: bundles of arrays and numbers, as one argument each.

Points are in the frame of a picture (pixel centers at integers, y down, larger z nearer), triangles clockwise as seen
from outside. All arrays are C-contiguous; an array of `(2 n,)` holds n rows of two numbers. The pixels of a window,
which is a part of a picture, are stored in cells of `WIDE` by `HIGH`, which have four values per pixel: depth, -inf
where there is nothing; x, y in the photograph; the number of a triangle as int32 bits, -1 for none.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.augment.lanes import N_LANES

WIDE, HIGH = 2, 4
"""Pixels of a cell. Row by row, they are the lanes of vector instructions."""
VALUES = 4
"""Numbers for each pixel of a cell."""
BLOCK = 512
"""Triangles that are drawn at a time: what is known of them stays in the first-level cache."""


class TurnedMesh(NamedTuple):
    """A mesh of n vertices and m triangles that lies elsewhere in the turned picture than in the photograph."""

    words: NDArray[np.int64]
    """(n,) x and y of each vertex in the turned picture, two float32, as one word: kernels fetch corners by index."""
    points: NDArray[np.float32]
    """(2 n,) the same memory, as numbers."""
    depth: NDArray[np.float32]
    """(n,) z there."""
    places: NDArray[np.float32]
    """(2 n,) x and y in the photograph."""
    triangles: NDArray[np.uint32]
    """(3 m,) vertices at the corners, which exist."""
    mixed: NDArray[np.bool_]
    """(n,) whether a vertex has other colors than the photograph's at its place, see `VertexColors`."""


class VertexColors(NamedTuple):
    """Which colors of its surroundings n vertices do without, and what they get instead."""

    share: NDArray[np.float32]
    """(n,) of the mirror vertex's color, 0 to 1."""
    fills: NDArray[np.float32]
    """(4 n + 4,) share of a filled color, and that times red, green and blue, of the vertices that are mixed; 0 in the
    last row."""
    mixed: NDArray[np.bool_]
    """(n,) whether one of both shares is more than what does not count."""


class Window(NamedTuple):
    """A part of a picture, px."""

    left: int
    top: int
    width: int
    height: int


class DrawScratch(NamedTuple):
    """What `draw` takes for what it knows of a block of triangles."""

    words: NDArray[np.int64]
    """(3, BLOCK) x and y of all first corners, of all second and of all third, each pair as one word."""
    corners: NDArray[np.float32]
    """(3, 2 BLOCK) the same memory, as numbers."""
    boxes: NDArray[np.float32]
    """(4, BLOCK) first and last column, first and last row."""
    drawn: NDArray[np.int32]
    """(2, BLOCK + 1) 1 for those to be drawn, and a list of them."""


class ColorScratch(NamedTuple):
    """What `color` takes for a window, whose width w is rounded up to whole cells."""

    spare: NDArray[np.uint8]
    """(1 + HIGH, 3 max(w, N_LANES)) pixels of cells that go on beyond the window."""
    depths: NDArray[np.float32]
    """(2 HIGH, w + 2 N_LANES) depths of two rows of cells."""


class MixedCells(NamedTuple):
    """The cells of a window that have pixels with a triangle, as `color` leaves them."""

    numbers: NDArray[np.int32]
    """(h, w, VALUES, N_LANES) all cells, as integers."""
    listed: NDArray[np.int32]
    """(k,) row * w + column of these."""
    left: int
    """First column of the window."""
    top: int
    """First row of the window."""


class Placed(NamedTuple):
    """Where n vertices, and the c of them that are points of the coarse mesh, lie before and after the turn."""

    places: NDArray[np.float32]
    """(2 n,) x, y before."""
    points: NDArray[np.float32]
    """(2 n,) x, y after."""
    depth: NDArray[np.float32]
    """(n,) z after."""
    coarse: NDArray[np.float32]
    """(c, 4) x, y, z before; the fourth number is not written."""
    moved: NDArray[np.float32]
    """(c, 4) x, y, z after; the fourth number is not written."""
    bounds: NDArray[np.float32]
    """(2, 2, 2) smallest and largest x, y of all vertices, before and after."""


class View(NamedTuple):
    """Where a depth buffer lies in a photograph, and what counts in it."""

    scale: np.float32
    """Pixels of the buffer per pixel of the photograph."""
    left: np.float32
    """Where the buffer's first column lies, px of the photograph."""
    top: np.float32
    """Where the buffer's first row lies, px of the photograph."""
    height: np.float32
    """Height of the photograph, px."""
    width: np.float32
    """Width of the photograph, px."""
    reach: int
    """Pixels of the buffer within which an edge counts, and as many as its margin is wide: 4 or more."""
    step: np.float32
    """How far behind another a pixel lies that is beyond an edge, px of the photograph."""
    tolerance: np.float32
    """How far behind what the buffer shows a point may lie and is not hidden, px of the photograph."""


class DepthBuffer(NamedTuple):
    """The nearest depths of a mesh in a view of h by w pixels."""

    depth: NDArray[np.float32]
    """(h + 2 reach, w + 2 reach) -inf where there is nothing; inf in the margin."""
    inner: NDArray[np.float32]
    """(h, w) see the kernel of this name."""


class PointVisibility(NamedTuple):
    """What `show` finds out about c points: which of them a photograph shows, and how well."""

    normals: NDArray[np.float32]
    """(c, 4) sums of the normals around each, as long as twice their triangles' areas, and 0."""
    seen: NDArray[np.float32]
    """(c,) see the kernel `see`."""
    quality: NDArray[np.float32]
    """(c,) see there."""


class CoarsePoints(NamedTuple):
    """The c points of a coarse mesh with their `PointVisibility`, and where they are seen from after the turn."""

    points: NDArray[np.float32]
    """(c, 3), or wider: in the photograph."""
    normals: NDArray[np.float32]
    """(c, 3), or wider: there, of any length."""
    seen: NDArray[np.float32]
    """(c,) see the kernel `see`."""
    quality: NDArray[np.float32]
    """(c,) see there."""
    toward: NDArray[np.float32]
    """(3,) where the viewer is after the turn, in the frame of the photograph."""


class ShareRule(NamedTuple):
    """How `weigh` shares colors between points and their mirror points, and where it has them sought."""

    least: np.float32
    """What must be seen of a point that has no mirror point, or else its share is 1."""
    times: int
    """That shares are smoothed."""
    most: np.float32
    """How far inside the outline colors are sought at most, px."""


class ShareScratch(NamedTuple):
    """What `weigh` takes for c points."""

    share: NDArray[np.float32]
    """(c,)"""
    sums: NDArray[np.float32]
    """(c,)"""
    counts: NDArray[np.float32]
    """(c,)"""


def turned_mesh(
    points: NDArray[np.float32],
    depth: NDArray[np.float32],
    places: NDArray[np.float32],
    triangles: NDArray[np.int32],
    mixed: NDArray[np.bool_],
) -> TurnedMesh:
    """Of points and places (n, 2) and triangles (m, 3); nothing is copied."""
    flat = points.reshape(-1)
    return TurnedMesh(flat.view(np.int64), flat, depth, places.reshape(-1), flat_indices(triangles), mixed)


def flat_indices(indices: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Indices one after the other, as kernels read them fastest; nothing is copied."""
    return indices.reshape(-1).view(np.uint32)


def draw_scratch() -> DrawScratch:
    """Memory for `draw`."""
    words = np.empty((3, BLOCK), np.int64)
    return DrawScratch(
        words, words.view(np.float32), np.empty((4, BLOCK), np.float32), np.empty((2, BLOCK + 1), np.int32)
    )


def color_scratch_shapes(width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Of a window's `ColorScratch`: of spare and of depths."""
    whole = -(-width // WIDE) * WIDE
    return (1 + HIGH, 3 * max(whole, N_LANES)), (2 * HIGH, whole + 2 * N_LANES)
