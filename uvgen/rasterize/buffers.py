"""What the rasterizer's kernels read, write and compute in: bundles of arrays, as one argument each.

All arrays are C-contiguous, except `MeshArrays.xy`. An array of `(3 n,)` holds n rows of three numbers.
"""

import threading
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK = 512  # triangles that a kernel takes at a time: what it keeps of them, 100 kB, fits into the second-level cache
SECOND, THIRD = np.uintp(BLOCK), np.uintp(2 * BLOCK)  # where the second and third part of arrays of (3 BLOCK,) begin
_WORD = np.dtype(np.int64)


class MeshArrays(NamedTuple):
    """A mesh of n vertices and m triangles."""

    xy: NDArray[np.int64]
    """(n,) the x and y of each vertex, two float32, as one word: kernels fetch corners by index, and one load of
    8 bytes instead of two is what makes that cheap. Unaligned: the same memory as `vertices`."""
    vertices: NDArray[np.float32]
    """(3 n,) x, y and z, image frame, px."""
    triangles: NDArray[np.uint32]
    """(3 m,) vertices at the corners; kernels check that they exist."""


class FragmentArrays(NamedTuple):
    """The arrays of a picture's `Fragments`, p pixels."""

    triangle: NDArray[np.int32]
    """(p,) -1 where there is none."""
    weights: NDArray[np.float32]
    """(3 p,) of its corners."""
    depth: NDArray[np.float32]
    """(p,) px, larger is nearer; -inf where there is no triangle."""


class Canvas(NamedTuple):
    """The size of a picture, and which triangles are drawn on it."""

    height: int
    """px"""
    width: int
    """px"""
    front: bool
    """Whether those whose corners run clockwise on the screen are drawn."""
    back: bool
    """Whether the others are."""


class BlockMemory(NamedTuple):
    """What is known of up to `BLOCK` triangles, of the boxes of pixel centers around them, and of those boxes, or tiles
    of boxes, that are drawn together: they are packed, that is, copied side by side."""

    indices: NDArray[np.uint32]
    """(3 BLOCK,) vertices at the corners, cut to those that exist."""
    words: NDArray[np.int64]
    """(3 BLOCK,) x and y of all first corners, then of all second, then of all third, each pair as one word."""
    corners: NDArray[np.float32]
    """(6 BLOCK,) the same memory, as numbers."""
    first_pixels: NDArray[np.float32]
    """(2 BLOCK,) first columns of the boxes, then first rows."""
    extents: NDArray[np.int32]
    """(3 BLOCK,) columns of the boxes, then rows, then kinds."""
    lists: NDArray[np.int32]
    """(4, BLOCK + 1) triangles of kinds 1 to 3, and of tiles; each row has a place for a last candidate."""
    packed_words: NDArray[np.int64]
    """(3 BLOCK,) as `words`, of what is drawn together."""
    packed_corners: NDArray[np.float32]
    """(6 BLOCK,) the same memory, as numbers."""
    packed_pixels: NDArray[np.float32]
    """(2 BLOCK,) as `first_pixels`, of what is drawn together."""
    masks: NDArray[np.int32]
    """(BLOCK,) a bit for each of its pixels that may be inside."""
    pairs: NDArray[np.int32]
    """(16 BLOCK + 4,) these pixels as `coverage_kernels` lists them, and places for the last candidates."""


class Packed(NamedTuple):
    """Boxes of one kind, or tiles of large boxes, side by side: fields of `BlockMemory`.

    All three corners are in one array, and columns and rows of the boxes too: with one each, `_draw_pixels` would have
    more base addresses than the processor has registers.
    """

    words: NDArray[np.int64]
    corners: NDArray[np.float32]
    first_pixels: NDArray[np.float32]
    masks: NDArray[np.int32]
    pairs: NDArray[np.int32]


class Block(NamedTuple):
    """A block of a mesh's triangles."""

    first: int
    """Which of the mesh's triangles is its first."""
    indices: NDArray[np.uint32]
    """(3 BLOCK,) vertices at the corners of its triangles, which exist."""
    vertices: NDArray[np.float32]
    """(3 n,) of the mesh."""


class FaceMemory(NamedTuple):
    """What is known of up to `BLOCK` triangles whose normals are computed."""

    indices: NDArray[np.uint32]
    """(3 BLOCK,) as in `BlockMemory`."""
    words: NDArray[np.int64]
    """(3 BLOCK,) as in `BlockMemory`."""
    corners: NDArray[np.float32]
    """(6 BLOCK,) the same memory, as numbers."""
    depths: NDArray[np.float32]
    """(3 BLOCK,) z of all first corners, then of all second, then of all third."""
    normals: NDArray[np.float32]
    """(3 BLOCK,) x of all unit normals, then y, then z; 0 if a triangle has no normal."""
    angles: NDArray[np.float32]
    """(3 BLOCK,) of the triangles at their first corners, then second, then third; 0 if there is no normal."""


def mesh_arrays(vertices: NDArray[np.float32], indices: NDArray[np.uint32]) -> MeshArrays:
    """Of frozen vertices (n, 3) and flat indices; nothing is copied."""
    return MeshArrays(np.ndarray((len(vertices),), _WORD, vertices, 0, (12,)), vertices.ravel(), indices)


class _ThreadMemory(threading.local):
    """Made once in each thread that draws: to make it takes as long as a kernel needs for a small mesh."""

    def __init__(self) -> None:
        indices = np.empty(3 * BLOCK, np.uint32)
        words, packed_words = np.empty(3 * BLOCK, np.int64), np.empty(3 * BLOCK, np.int64)
        self.block = BlockMemory(
            indices,
            words,
            words.view(np.float32),
            first_pixels=np.empty(2 * BLOCK, np.float32),
            extents=np.empty(3 * BLOCK, np.int32),
            lists=np.empty((4, BLOCK + 1), np.int32),
            packed_words=packed_words,
            packed_corners=packed_words.view(np.float32),
            packed_pixels=np.empty(2 * BLOCK, np.float32),
            masks=np.empty(BLOCK, np.int32),
            pairs=np.empty(16 * BLOCK + 4, np.int32),
        )
        self.faces = FaceMemory(
            indices,
            words,
            words.view(np.float32),
            depths=np.empty(3 * BLOCK, np.float32),
            normals=np.empty(3 * BLOCK, np.float32),
            angles=np.empty(3 * BLOCK, np.float32),
        )


thread_memory = _ThreadMemory()
"""Memory that kernels compute in; what it holds means nothing after a call."""
