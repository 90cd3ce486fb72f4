"""The mesh of what is around a face in a photograph: rings of anchors between the face's outline and the picture.

The head goes on behind the outline, and what belongs to it (hair, ears, hat, neck) turns with the face as far as it
reaches; from there on anchors stay more and more where they were, and the outermost ring does not move at all. Since
the mesh is a whole disk whose rim stays, its turned image covers all that the disk covers: no tears, whatever folds.
Anchors with depths around the face are the idea of face profiling (Zhu et al., Face Alignment in Full Pose Range: A 3D
Total Solution, 2017, section 4); rings on rays, depths from the outline's normals, and the rim at rest are ours.
"""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.augment import profile_kernels as kernels
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
_ON_HEAD = np.array([0.25, 0.5, 0.75, 1.0])
_BEYOND = np.arange(1, 9) / 8
_N_RINGS = len(_INSIDE) + len(_ON_HEAD) + len(_BEYOND)
_HOLD = np.ones((_N_RINGS, 1, 1), np.float32)  # how far anchors go along with the head
_HOLD[len(_INSIDE) + len(_ON_HEAD) :, 0, 0] = 1 - _BEYOND**2 * (3 - 2 * _BEYOND)
_SMOOTHING = (4, 4, 6, 8, 10, 12, *[14] * len(_BEYOND))  # times that neighbors on a ring are blended


def around_face(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    normals: NDArray[np.float32],
    turn: NDArray[np.float64],
    bounds: NDArray[np.float32],
    size: tuple[int, int],
    behind: float = BEHIND,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32], float]:
    """Anchors in the photograph and in the turned picture, their triangles, and the outline's mean distance.

    Parameters
    ----------
    before, after : (n, 3) float32
        Points of the face's front and back in both, image frame, px.
    normals : (n, 3) float32
        Of any length, in the photograph.
    turn : (3, 3) float64
        The rotation from one to the other, image frame.
    bounds : (2, 2) float32
        Smallest and largest x, y of the face in the photograph.
    size : (int, int)
        Height and width of the photograph.
    behind : float
        How much deeper the mesh is drawn than it lies, as a share of the outline's mean distance.

    Returns
    -------
    places, points : (k, 3) float32
        Before and after, ring by ring from the innermost out, then the middle. On the rim, the last ring, x and y of
        both agree; z of places is 0.
    triangles : (t, 3) int32
    reach : float
        px.
    """
    center = bounds.mean(axis=0)
    squares, which = np.empty(N_RAYS, np.float32), np.empty(N_RAYS, np.int32)
    kernels.outline(before, center, squares, which)
    at, moved = before[which].astype(np.float64), after[which].astype(np.float64)
    out = at[:, :2] - center
    reach = np.maximum(np.sqrt(squares.astype(np.float64)), 1e-3)
    out /= reach[:, None]
    mean = float(reach.mean())
    lengths = np.linalg.norm(normals[which], axis=1) + 1e-9
    outward = _blenders((10,))[0] @ np.clip((normals[which, :2] * out).sum(axis=1) / lengths, 0, 1)

    rim = np.clip(_to_border(center, out, size), reach + _RIM[0] * mean, reach + _RIM[1] * mean)
    beyond = (rim - reach - _HEAD * mean) * _BEYOND[:, None]
    steps = np.concatenate([(np.array(_INSIDE) - 1)[:, None] * reach, _HEAD * mean * _ON_HEAD[:, None] + 0 * reach,
                            _HEAD * mean + beyond])  # (rings, rays) from the outline outward, px  # fmt: skip
    depth = _BACK * mean * (0.15 + 0.85 * outward**2)  # where the skin looks at the viewer, as a neck's, it ends flat
    offset = np.zeros((_N_RINGS, N_RAYS, 3), np.float32)
    offset[..., :2] = steps[..., None] * out
    offset[2:6, :, 2] = -depth * _ON_HEAD[:, None] ** (1.6 - 1.1 * outward)  # outward, the head soon falls back
    offset[6:, :, 2] = -depth
    turned = (offset.reshape(-1, 3) @ turn.T.astype(np.float32)).reshape(offset.shape)
    turned += moved
    offset[..., :2] += at[:, :2]
    places = offset
    places[..., 2] = 0
    turned -= places
    shift = _blenders(_SMOOTHING) @ (_HOLD * turned)
    shift[..., 2] -= behind * mean + (1 - _HOLD[..., 0]) * (4 * mean)
    shift += places
    middle = shift[0].mean(axis=0)
    return _with_last(places, [*center, 0]), _with_last(shift, middle), _triangles(), mean


def _to_border(center: NDArray[np.float32], out: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """How far it is from a point to the border of the picture in directions (n, 2), px; 0 from outside."""
    last = np.array([size[1] - 1, size[0] - 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        both = np.where(out > 0, (last - center) / out, np.where(out < 0, -center / out, np.inf))
    nearest: NDArray[np.float64] = np.maximum(both.min(axis=1), 0)
    return nearest


def _with_last(rings: NDArray[np.float32], point: ArrayLike) -> NDArray[np.float32]:
    """Rings (r, n, 3) as points, and one more."""
    return np.concatenate([rings.reshape(-1, 3), np.asarray(point, np.float32)[None]])


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


@cache
def _blenders(times: tuple[int, ...]) -> NDArray[np.float32]:
    """(k, N_RAYS, N_RAYS): each value of a ring blended with its neighbors (1/4, 1/2, 1/4), so many times."""
    one = np.eye(N_RAYS)
    once = (np.roll(one, 1, axis=0) + 2 * one + np.roll(one, -1, axis=0)) / 4
    return frozen(np.stack([np.linalg.matrix_power(once, n) for n in times]), np.float32)
