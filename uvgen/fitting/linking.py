"""Which frames of a video show one person without a cut: tracks.

A cut is where the picture changes as it does not from frame to frame, or where the face jumps and stays away. Where it
jumps and comes back within a few frames, the landmarks of these are wrong.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_THUMBNAIL, _COARSE = 16, 4  # px; every so many pixels count
_CHANGE, _TIMES_USUAL = 0.12, 6.0  # of a thumbnail's grey levels, from which on it may be a cut, and of what is usual
_MOVE, _MOVE_PER_S = 0.4, 3.0  # of the face's size
_GROWTH, _GROWTH_PER_S = 0.4, 1.0  # of its logarithm
_TURN, _TURN_PER_S = 0.6, 8.0  # rad
_PAUSE_S, _PAUSE_FRAMES = 2.0, 10  # without the face, in s and in usual intervals
_MOST_WRONG = 3  # frames


class Places(NamedTuple):
    """Where a face is in n frames, in order."""

    times: NDArray[np.float64]
    """(n,): s."""
    center: NDArray[np.float64]
    """(n, 2): px."""
    size: NDArray[np.float64]
    """(n,): px."""
    rotation: NDArray[np.float64]
    """(n, 3, 3)"""
    image_size: NDArray[np.int64]
    """(n, 2): px."""
    change: NDArray[np.float64]
    """(n,): of the picture since the frame before, see `change_of`."""


def thumbnail_of(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(16, 16, 3) of a picture (h, w, 3), 0 to 1."""
    coarse = image[::_COARSE, ::_COARSE] if min(image.shape[:2]) >= _THUMBNAIL * _COARSE else image
    small = Image.fromarray(np.ascontiguousarray(coarse)).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / np.float32(255)


def linked(places: Places) -> tuple[list[list[int]], list[int]]:
    """Tracks, as the numbers of their frames, and the frames whose landmarks are wrong."""
    n = len(places.times)
    if not n:
        return [], []
    steps = np.diff(places.times)
    pause = max(_PAUSE_S, _PAUSE_FRAMES * float(np.median(steps))) if n > 1 else _PAUSE_S
    cut = np.zeros(n, bool)
    cut[1:] = (steps > pause) | (np.diff(places.image_size, axis=0) != 0).any(axis=1)
    cut |= places.change > max(_CHANGE, _TIMES_USUAL * float(np.median(places.change)))
    tracks, wrong, current, away = list[list[int]](), list[int](), [0], list[int]()
    for k in range(1, n):
        if cut[k]:
            tracks += [current, away] if away else [current]
            current, away = [k], []
            continue
        back, on = _jump(places, current[-1], k), _jump(places, away[-1], k) if away else np.inf
        if back <= min(on, 1):
            wrong += away
            away = []
            current.append(k)
        elif away and on > 1:
            wrong += away
            away = [k]
        else:
            away.append(k)
            if len(away) > _MOST_WRONG:
                tracks.append(current)
                current, away = away, []
    return tracks + ([current, away] if away else [current]), wrong


def _jump(places: Places, a: int, b: int) -> float:
    """How far a face goes from one frame to another, as a share of the most that it can."""
    dt = float(places.times[b] - places.times[a])
    size = float(np.sqrt(places.size[a] * places.size[b]))
    moved = float(np.linalg.norm(places.center[b] - places.center[a])) / size
    grown = abs(float(np.log(places.size[b] / places.size[a])))
    cosine = (float((places.rotation[a] * places.rotation[b]).sum()) - 1) / 2
    turned = float(np.arccos(np.clip(cosine, -1, 1)))
    return max(
        moved / (_MOVE + _MOVE_PER_S * dt), grown / (_GROWTH + _GROWTH_PER_S * dt), turned / (_TURN + _TURN_PER_S * dt)
    )
