"""Colors for what neither a photograph nor its mirror image shows of a turned face, as the back of a head.

Such a surface lies behind what the photograph shows in the same place, and would show that again: eyes at the back of
the head. It gets the color of where the surface was last seen, on the shortest way there (`profile_mesh.PointGraph`),
blended.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.augment import unseen_kernels as kernels
from uvgen.augment.profile_mesh import PointGraph
from uvgen.augment.turn_buffers import CoarsePoints

_AWAY = 0.15  # z of a normal below which colors may be filled, and from which they are taken
_INWARD = 0.02  # how far inside the outline they are sought, as a share of the face's size
_NEAR, _WIDE = 0.1, 0.2  # how far behind the outline they begin, and until they are complete; see PointGraph
_BLENDED = 3  # times that filled colors are blended with their neighbors


class Ways(NamedTuple):
    """From each point to its source; see the kernel `find_sources`."""

    distance: NDArray[np.float32]
    source: NDArray[np.int32]


class Limits(NamedTuple):
    """See the kernel `take_colors`."""

    near: np.float32
    wide: np.float32
    inward: np.float32


def fill_colors(
    photograph: NDArray[np.uint8], looked: CoarsePoints, graph: PointGraph, size: float
) -> NDArray[np.float32]:
    """(c, 4): the share of each point's color that is filled, and that times red, green and blue.

    Parameters
    ----------
    photograph : (h, w, 3) uint8
    looked : CoarsePoints
    graph : PointGraph
        Of the same points.
    size : float
        Of the face in the photograph, px.
    """
    n = len(looked.seen)
    ways = Ways(np.empty(n, np.float32), np.empty(n, np.int32))
    kernels.find_sources(looked, np.float32(_AWAY), graph, np.empty(n, np.int32), np.empty(n, np.bool_), *ways)
    fills = np.empty((n, 4), np.float32)
    limits = Limits(np.float32(_NEAR), np.float32(_WIDE), np.float32(_INWARD * size))
    kernels.take_colors(photograph, looked, ways, graph.source_costs, limits, fills)
    kernels.blend_colors(graph, ways.source, _BLENDED, fills)
    return fills
