"""A UV position map as a mesh."""

import numpy as np

from uvgen.checks import bool_mask, real_array


def mesh_from_map(
    position_map: np.ndarray, coverage: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The grid of a position map as a mesh: texels become vertices, each square of four two triangles.

    Parameters
    ----------
    position_map : (h, w, 3) array of real numbers
        x, y, z of each texel, any frame.
    coverage : (h, w) bool, optional
        Texels to take, all if it is not given. A square with three of its texels gives one triangle.

    Returns
    -------
    vertices : (n, 3) float32
        The coverage's texels, row by row.
    triangles : (m, 3) int32
        Corners clockwise on the map, so that a face's triangles turn to the viewer in the image frame.
    uv : (n, 2) float64
        u right, v up, in [0, 1]: texel column u (w - 1), row (h - 1) (1 - v).

    Raises
    ------
    InputError
        Wrong shapes or dtypes.
    """
    position_map = real_array(position_map, "position_map", (None, None, 3))
    size = height, width = position_map.shape[:2]
    coverage = np.ones(size, np.bool_) if coverage is None else bool_mask(coverage, "coverage", size)
    number = np.cumsum(coverage.ravel(), dtype=np.int32).reshape(size) - 1
    # Each square's texels, clockwise from the upper left.
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    has_a, has_b, has_c, has_d = coverage[:-1, :-1], coverage[:-1, 1:], coverage[1:, 1:], coverage[1:, :-1]
    choices = ((a, b, d), (b, c, d), (a, b, c), (a, c, d))
    keep = np.stack(
        [has_a & has_b & has_d, has_b & has_c & has_d, has_a & has_b & has_c & ~has_d, has_a & has_c & has_d & ~has_b],
        axis=-1,
    )
    triangles = np.stack([np.stack(corners, axis=-1) for corners in choices], axis=-2)[keep]
    rows, columns = np.nonzero(coverage)
    uv = np.stack([columns / max(width - 1, 1), 1 - rows / max(height - 1, 1)], axis=1)
    return position_map[coverage], triangles, uv
