"""Splitting a video into tracks: runs of frames that show one person without a cut.

There is a cut where the picture changes far more than is usual between frames, or where the face jumps and does not
come back. If it jumps and comes back within a few frames, the landmarks in these frames are wrong.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_THUMBNAIL, _COARSE = 16, 4  # px of a thumbnail's side; step in px by which pictures are sampled for it
_CHANGE, _TIMES_USUAL = 0.12, 6.0  # a cut changes a thumbnail by more than this on average, and than this many medians
# a face jumps if it moves faster than these: the first is allowed between any two frames
_MOVE, _MOVE_PER_S = 0.4, 3.0  # sizes of the face
_GROWTH, _GROWTH_PER_S = 0.4, 1.0  # logarithm of its size
_TURN, _TURN_PER_S = 0.6, 8.0  # rad
_PAUSE_S, _PAUSE_FRAMES = 2.0, 10  # a longer time without the face ends the track: s, and median intervals of frames
_MOST_WRONG = 3  # frames in a row


class Places(NamedTuple):
    """Where a face is in n successive frames."""

    times: NDArray[np.float64]
    """(n,) s."""
    center: NDArray[np.float64]
    """(n, 2) x, y of the face, px."""
    size: NDArray[np.float64]
    """(n,) size of the face, px."""
    rotation: NDArray[np.float64]
    """(n, 3, 3) rotation of the head."""
    image_size: NDArray[np.int64]
    """(n, 2) width and height of the frame, px."""
    change: NDArray[np.float64]
    """(n,) largest change of the picture between frames since the one before: mean difference of thumbnails, 0 to 1."""


def thumbnail_of(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A thumbnail (16, 16, 3), 0 to 1, of a picture (h, w, 3)."""
    coarse = image[::_COARSE, ::_COARSE] if min(image.shape[:2]) >= _THUMBNAIL * _COARSE else image
    small = Image.fromarray(np.ascontiguousarray(coarse)).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / np.float32(255)


def linked(places: Places) -> tuple[list[list[int]], list[int]]:
    """Tracks, each a list of indices of frames, and the indices of the frames whose landmarks are wrong."""
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
    """How fast a face moves, grows or turns from frame a to b, as a share of the limit: above 1 it is a jump."""
    dt = float(places.times[b] - places.times[a])
    size = float(np.sqrt(places.size[a] * places.size[b]))
    moved = float(np.linalg.norm(places.center[b] - places.center[a])) / size
    grown = abs(float(np.log(places.size[b] / places.size[a])))
    cosine = (float((places.rotation[a] * places.rotation[b]).sum()) - 1) / 2
    turned = float(np.arccos(np.clip(cosine, -1, 1)))
    return max(
        moved / (_MOVE + _MOVE_PER_S * dt), grown / (_GROWTH + _GROWTH_PER_S * dt), turned / (_TURN + _TURN_PER_S * dt)
    )
