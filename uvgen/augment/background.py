"""The mesh of what is around a face in a photograph: rings of anchors between the face's outline and the picture.

The head goes on behind the outline, and what belongs to it (hair, ears, hat, neck) turns with the face as far as it
reaches; from there on anchors stay more and more where they were, and the outermost ring does not move at all. Since
the mesh is a whole disk whose rim stays, its turned image covers all that the disk covers: no tears, whatever folds.
Anchors with depths around the face are the idea of face profiling (Zhu et al., Face Alignment in Full Pose Range: A 3D
Total Solution, 2017, section 4); rings on rays, depths from the outline's normals, and the rim at rest are ours.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.augment import background_kernels as kernels
from uvgen.checks import frozen

N_RAYS = 128
"""Anchors on a ring."""

# Shares of the outline's mean distance from the face's middle:
_HEAD = 0.4  # how far hair and neck reach beyond the outline
_BACK = 1.0  # how far behind the outline the head ends
_RIM = (1.0, 2.5)  # how far beyond the outline the rim lies at least and at most; the picture's border, if between
BEHIND = 0.8
"""How much deeper the whole mesh is drawn than it lies, as a share: what is around a face seldom hides its near side,
but does hide an ear of the far side."""

_INSIDE = (0.85, 0.97)  # rings under the face, which close the gaps along its outline
_ON_HEAD = (0.25, 0.5, 0.75, 1.0)
_BEYOND = np.arange(1, 9) / 8
_N_RINGS = len(_INSIDE) + len(_ON_HEAD) + len(_BEYOND)


class Rings(NamedTuple):
    """What does not depend on the face, of r rings from the innermost out."""

    steps: NDArray[np.float64]
    """(r,): where each lies: inside the outline, as a share of the way to it; on the head, from there on, and beyond
    the head, up to the rim, as a share of that."""
    hold: NDArray[np.float32]
    """(r,): how far anchors go along with the head."""
    times: NDArray[np.int32]
    """(r,): times that neighbors on a ring are blended; even."""
    n_inside: int
    n_on_head: int
    head: float
    back: float
    rim_least: float
    rim_most: float


_RINGS = Rings(
    np.array([*_INSIDE, *_ON_HEAD, *_BEYOND]),
    np.array([1] * (_N_RINGS - len(_BEYOND)) + (1 - _BEYOND**2 * (3 - 2 * _BEYOND)).tolist(), np.float32),
    np.array([4, 4, 6, 8, 10, 12, *[14] * len(_BEYOND)], np.int32),
    len(_INSIDE), len(_ON_HEAD), _HEAD, _BACK, *_RIM,
)  # fmt: skip


class Head(NamedTuple):
    """Points of the face's front and back in both pictures, (n, 3) float32 or wider, and how they turn."""

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    normals: NDArray[np.float32]
    turn: NDArray[np.float64]
    """(3, 3): see `around_face`."""
    center_x: np.float32
    """px: where the middle of the face is in the photograph."""
    center_y: np.float32


class RingScratch(NamedTuple):
    """What `lay_rings` takes for N rays."""

    reach: NDArray[np.float32]
    """(N,): see the kernel `outline`, as the next."""
    which: NDArray[np.int32]
    rays: NDArray[np.float64]
    """(5, N)"""
    lines: NDArray[np.float32]
    """(4, N + 2)"""


class Anchors(NamedTuple):
    """The k points of the mesh around a face, ring by ring from the innermost out, then the middle."""

    places: NDArray[np.float32]
    """(k, 2): x, y in the photograph. On the rim, the last ring, these are also where it lies in the turned picture."""
    points: NDArray[np.float32]
    """(k, 2): x, y in the turned picture."""
    depth: NDArray[np.float32]
    """(k,): z there."""
    bounds: NDArray[np.float32]
    """(2, 2): smallest and largest x, y of places."""


class Around(NamedTuple):
    """The mesh of what is around a face."""

    anchors: Anchors
    triangles: NDArray[np.int32]
    """(t, 3): clockwise in the picture."""
    reach: float
    """The outline's mean distance from the face's middle, px."""


def around_face(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    normals: NDArray[np.float32],
    turn: NDArray[np.float64],
    bounds: NDArray[np.float32],
    size: tuple[int, int],
    behind: float = BEHIND,
) -> Around:
    """Anchors in the photograph and in the turned picture, and their triangles.

    Parameters
    ----------
    before, after : (n, 3) float32, or wider
        Points of the face's front and back in both, image frame, px.
    normals : (n, 3) float32, or wider
        Of any length, in the photograph.
    turn : (3, 3) float64
        The rotation from one to the other, image frame.
    bounds : (2, 2) float32
        Smallest and largest x, y of the face in the photograph.
    size : (int, int)
        Height and width of the photograph.
    behind : float
        How much deeper the mesh is drawn than it lies, as a share of the outline's mean distance.
    """
    n = _N_RINGS * N_RAYS + 1
    center_x, center_y = (bounds[0] + bounds[1]) / np.float32(2)
    scratch = RingScratch(
        np.empty(N_RAYS, np.float32), np.empty(N_RAYS, np.int32), np.empty((5, N_RAYS)),
        np.empty((4, N_RAYS + 2), np.float32),
    )  # fmt: skip
    anchors = Anchors(
        np.empty((n, 2), np.float32), np.empty((n, 2), np.float32), np.empty(n, np.float32),
        np.empty((2, 2), np.float32),
    )  # fmt: skip
    head = Head(before, after, normals, turn, center_x, center_y)
    mean = kernels.lay_rings(head, size, behind, _RINGS, scratch, anchors)
    return Around(anchors, _triangles(), mean)


@cache
def _triangles() -> NDArray[np.int32]:
    """Triangles of the rings, from the innermost out, and of the disk inside it, clockwise in the picture."""
    ray = np.arange(N_RAYS)
    after = (ray + 1) % N_RAYS
    parts = [np.stack([np.full(N_RAYS, _N_RINGS * N_RAYS), ray, after], axis=1)]
    for ring in range(_N_RINGS - 1):
        a, b = ring * N_RAYS + ray, ring * N_RAYS + after
        parts += [np.stack([a, a + N_RAYS, b + N_RAYS], axis=1), np.stack([a, b + N_RAYS, b], axis=1)]
    return frozen(np.concatenate(parts), np.int32)
