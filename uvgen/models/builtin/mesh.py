"""The built-in head's mesh: one half as a grid with a mouth pocket sewn into it, then its mirror image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uvgen.models.builtin.features import half_head
from uvgen.models.builtin.surface import (
    COLUMN_DEGREES,
    COLUMN_STEPS,
    MOUTH_CORNER,
    ROW,
    ROW_STEPS,
    Floats,
    HalfHead,
    ease_between_knots,
    grid_positions,
    hermite,
)

# The mouth pocket from the upper lip's contact line over the teeth, palate, tongue and back to the lower lip:
# (up, forward) of each strip from the contact line at the middle of the mouth, in mm.
POCKET = np.array(
    [
        (0.4, -1.2),
        (5.5, -2.9),
        (8.0, -4.4),
        (6.2, -5.4),
        (5.0, -5.4),
        (1.0, -5.2),
        (-3.4, -5.5),
        (-3.0, -7.5),
        (4.0, -10.5),
        (7.0, -26.0),
        (4.0, -38.0),
        (-6.0, -38.0),
        (-4.0, -26.0),
        (-3.5, -13.5),
        (-6.5, -10.0),
        (-3.8, -8.3),
        (-3.8, -7.1),
        (-7.5, -6.4),
        (-8.0, -6.4),
        (-10.0, -4.8),
        (-5.5, -2.9),
        (-0.4, -1.2),
    ]
)
POCKET_UPPER = 11  # strips that hang from the skull; the others move with the jaw
POCKET_TEETH = ((4, 7), (15, 17))  # first and last strip of the upper and lower teeth
POCKET_UV = 0.0065  # half the height of the pocket's lens in UV; the lips' edges take all but a sliver

# u of each named column (the other half mirrored about 0.5) and v of heights on the face: nearly as many mm
# to the unit either way over the face, more over the neck, the hair and the back of the head.
COLUMN_U = (0.500, 0.529, 0.587, 0.610, 0.626, 0.689, 0.724, 0.748, 0.768, 0.850, 0.893, 0.954, 0.959, 0.973, 1.0)
HEIGHT_V = (
    (-90.0, -83.0, -54.0, -36.0, -17.0, -8.0, 14.0, 30.0, 50.0, 60.0),
    (0.190, 0.215, 0.345, 0.425, 0.512, 0.572, 0.668, 0.736, 0.818, 0.856),
)


def grid_v(head: HalfHead) -> Floats:
    """(R, C) v of the half head's grid: by height on the face, by row below the jaw and above the seam."""
    v = hermite(head.height, *HEIGHT_V)
    jaw = int(np.searchsorted(head.row, ROW["jaw"] - 1e-9))
    seam = int(np.searchsorted(head.row, ROW["seam"] - 1e-9))
    v[:jaw] = v[jaw] * (ease_between_knots(head.row[:jaw], (0, 0.35, 1.0), ROW_STEPS[: ROW["jaw"]])[:, None])
    rise = head.row[seam:, None] - ROW["seam"]
    v[seam:] = v[seam] + (1 - v[seam]) * rise
    return v


@dataclass(frozen=True, slots=True, eq=False)
class HeadMesh:
    """Both halves, the vertices of the x >= 0 half first."""

    points: Floats  # (n, 3) mm
    row: Floats  # (n,) row coordinate; a hair below ROW["lips"] on the lower lip's side of the slit
    azimuth: Floats  # (n,) degrees, column's name, >= 0 on both halves
    pocket: NDArray[np.int32]  # (n,) 0 on the skin, 1.. on the mouth pocket's strips
    on_eyeball: Floats  # (n,) 0..1
    uv: Floats  # (n, 2)
    triangles: NDArray[np.int32]  # (m, 3) counter-clockwise from outside
    pocket_triangles: NDArray[np.int32]  # (q, 3)
    mirror: NDArray[np.int32]  # (n,)
    mirrored: NDArray[np.bool_]  # (n,) x < 0: the person's right half, which mirrors the other


def split_quads(
    a: NDArray[np.int64], b: NDArray[np.int64], c: NDArray[np.int64], d: NDArray[np.int64], points: Floats
) -> NDArray[np.int64]:
    """Two triangles for each quad a b c d (counter-clockwise), along the shorter diagonal.

    The patch's outer corners get the diagonal that ends there: a corner in one triangle alone is an ear,
    which collapses where its sides come to lie on one line.
    """
    short = np.linalg.norm(points[a] - points[c], axis=-1) <= np.linalg.norm(points[b] - points[d], axis=-1)
    short[0, -1], short[-1, -1] = False, True
    a, b, c, d, short = a.ravel(), b.ravel(), c.ravel(), d.ravel(), short.ravel()
    first = np.where(short[:, None], np.stack([a, b, c], 1), np.stack([a, b, d], 1))
    second = np.where(short[:, None], np.stack([a, c, d], 1), np.stack([b, c, d], 1))
    return np.stack([first, second], 1).reshape(-1, 3)


def pocket_points(contact: Floats, azimuth: Floats) -> Floats:
    """(strips, C, 3) points of the mouth pocket behind the lips' contact points (C, 3)."""
    across = np.sqrt(np.clip(1 - (azimuth / MOUTH_CORNER) ** 2, 0, 1))
    up = POCKET[:, :1] * across**0.5
    forward = POCKET[:, 1:] * across**0.5
    inward = hermite(-POCKET[:, 1:], (0, 6, 25, 38), (1.0, 0.93, 0.75, 0.6))
    x = contact[:, 0] * inward
    return np.stack([x, contact[:, 1] + up, contact[:, 2] + forward], -1)


def vertex_count(scale: float) -> int:
    """Vertices of `head_mesh(scale)`."""
    rows, columns = len(grid_positions(ROW_STEPS, scale)), grid_positions(COLUMN_STEPS, scale)
    slit = 2 * int(np.searchsorted(columns, COLUMN_DEGREES.index(MOUTH_CORNER) - 1e-9)) - 1
    return rows * (2 * len(columns) - 1) + slit * (1 + len(POCKET))


def head_mesh(scale: float) -> HeadMesh:
    """The head at `scale` times the default grid density along each direction."""
    row = grid_positions(ROW_STEPS, scale)
    column = grid_positions(COLUMN_STEPS, scale)
    azimuth = ease_between_knots(column, COLUMN_DEGREES, COLUMN_STEPS)
    head = half_head(row, azimuth)
    n_rows, n_columns = len(row), len(azimuth)
    u = ease_between_knots(column, COLUMN_U, COLUMN_STEPS)
    v = grid_v(head)

    lips = int(np.searchsorted(row, ROW["lips"] - 1e-9))
    n_slit = int(np.searchsorted(azimuth, MOUTH_CORNER - 1e-9))  # columns of the slit, without the corner
    lens = POCKET_UV * (1 - (azimuth / MOUTH_CORNER) ** 2)[:n_slit]

    # skin, then the lower lip's copy of the slit, then the pocket strip by strip
    grid = np.arange(n_rows * n_columns).reshape(n_rows, n_columns)
    lower_slit = grid.size + np.arange(n_slit)
    strips = lower_slit[-1] + 1 + np.arange(len(POCKET) * n_slit).reshape(len(POCKET), n_slit)
    contact = head.points[lips, :n_slit]
    pocket = pocket_points(contact, azimuth[:n_slit])
    points = np.concatenate([head.points.reshape(-1, 3), contact, pocket.reshape(-1, 3)])
    n_half = len(points)

    rows = np.full(n_half, ROW["lips"] - 1e-6)
    rows[: grid.size] = np.repeat(row, n_columns)
    rows[strips[:POCKET_UPPER]] = ROW["lips"]
    azimuths = np.concatenate([np.tile(azimuth, n_rows), np.tile(azimuth[:n_slit], 1 + len(POCKET))])
    pocket_index = np.zeros(n_half, np.int32)
    pocket_index[strips] = 1 + np.arange(len(POCKET))[:, None]
    on_eyeball = np.zeros(n_half)
    on_eyeball[: grid.size] = head.on_eyeball.ravel()

    uv = np.empty((n_half, 2))
    uv[: grid.size] = np.stack(np.broadcast_arrays(u, v), -1).reshape(-1, 2)
    uv[grid.size :, 0] = np.tile(u[:n_slit], 1 + len(POCKET))
    for k in range(lips, int(np.searchsorted(row, ROW["lips"] + 1 - 1e-9))):
        uv[grid[k, :n_slit], 1] += lens * (1 - (row[k] - ROW["lips"]))
    for k in range(int(np.searchsorted(row, ROW["lips"] - 1 - 1e-9)), lips):
        uv[grid[k, :n_slit], 1] -= lens * (1 - (ROW["lips"] - row[k]))
    uv[lower_slit, 1] = v[lips, :n_slit] - lens
    depth = np.concatenate([[0.03], np.linspace(0.02, -0.02, len(POCKET) - 2), [-0.03]])
    uv[strips, 1] = v[lips, :n_slit] + depth[:, None] * lens

    upper_side = grid.copy()  # vertex of a row as seen from the row below it
    upper_side[lips, :n_slit] = lower_slit
    low, high = grid[:-1], upper_side[1:]
    triangles = split_quads(low[:, :-1], low[:, 1:], high[:, 1:], high[:, :-1], points)
    bands = np.concatenate([grid[lips : lips + 1, :n_slit], strips, lower_slit[None]])
    top, bottom = bands[:-1], bands[1:]
    inner = split_quads(bottom[:, :-1], bottom[:, 1:], top[:, 1:], top[:, :-1], points)
    corner = np.full(len(top), grid[lips, n_slit])
    fans = np.stack([bottom[:, -1], corner, top[:, -1]], 1)

    # the mirror image: every vertex off the midline once more
    middle = np.zeros(n_half, bool)
    middle[grid[:, 0]] = middle[lower_slit[0]] = True
    middle[strips[:, 0]] = True
    points[middle, 0] = 0.0
    uv[middle, 0] = 0.5
    source = np.concatenate([np.arange(n_half), np.flatnonzero(~middle)])
    twin = np.arange(n_half)
    twin[~middle] = n_half + np.arange((~middle).sum())
    mirrored = np.arange(len(source)) >= n_half
    mirror = np.where(mirrored, source, twin[source]).astype(np.int32)

    def both(tri: NDArray[np.int64]) -> NDArray[np.int32]:
        return np.concatenate([tri, twin[tri][:, ::-1]]).astype(np.int32)

    all_uv = uv[source]
    all_uv[mirrored, 0] = 1 - all_uv[mirrored, 0]
    all_points = points[source]
    all_points[mirrored, 0] *= -1
    return HeadMesh(
        all_points,
        rows[source],
        azimuths[source],
        pocket_index[source],
        on_eyeball[source],
        all_uv,
        both(triangles),
        both(np.concatenate([inner, fans])),
        mirror,
        mirrored,
    )
