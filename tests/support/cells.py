"""Cells of a window, in which pixels of turned pictures are drawn; see `uvgen.augment.turn_buffers`."""

import numpy as np
from numpy.typing import NDArray

from uvgen.augment.lanes import N_LANES
from uvgen.augment.turn_buffers import HIGH, VALUES, WIDE


def cells_for(height: int, width: int) -> NDArray[np.float32]:
    """Of a window, filled with a number that means nothing."""
    return np.full((-(-height // HIGH), -(-width // WIDE), VALUES, N_LANES), 7, np.float32)


def pixels_of(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h HIGH, w WIDE, 4) of cells (h, w, 4, 8)."""
    height, width = cells.shape[:2]
    lanes = cells.reshape(height, width, VALUES, HIGH, WIDE).transpose(0, 3, 1, 4, 2)
    return lanes.reshape(height * HIGH, width * WIDE, VALUES)


def lane_of(row: int, column: int) -> tuple[int, int, int]:
    """Row and column of a pixel's cell, and its lane."""
    return row // HIGH, column // WIDE, row % HIGH * WIDE + column % WIDE
