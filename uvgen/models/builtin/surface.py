"""The built-in head's surface: closed formulas from grid coordinates to points.

The half of the head at x >= 0, the person's left, is one patch over *columns* (azimuth about the vertical axis,
degrees from the midline to behind the ear) and *rows* (from the neck up over the crown). Rows are not level: each
named row follows a feature line (jaw, lips, lids, brow), so features stay crisp at any density. All in mm.

Proportions are textbook adult anthropometry (Farkas, Anthropometry of the Head and Face, 1994: means of such
distances as the interpupillary, intercanthal, nasal and mouth widths); every shape is our own formula.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
"""Numbers of any shape."""

# Named rows, from the neck up, and how many grid steps lie between each and the next at the default density.
ROW_NAMES = (
    "neck",
    "throat",
    "jaw",
    "chin",
    "lower_lip",
    "lips",
    "upper_lip",
    "nose_base",
    "nose_tip",
    "orbit",
    "lower_lid",
    "lower_edge",
    "upper_edge",
    "upper_lid",
    "crease",
    "brow_low",
    "brow_top",
    "seam",
    "crown",
)
ROW_STEPS = (3, 7, 8, 3, 6, 6, 6, 9, 8, 4, 1, 11, 1, 3, 4, 4, 2, 10)
ROW = {name: i for i, name in enumerate(ROW_NAMES)}

# Named columns, degrees of azimuth from the midline, and the grid steps between them.
COLUMN_DEGREES = (0.0, 4.0, 11.8, 15.0, 17.2, 25.9, 31.0, 34.6, 38.0, 58.0, 77.0, 108.0, 110.0, 120.0, 165.0)
COLUMN_STEPS = (3, 9, 3, 1, 9, 3, 3, 1, 4, 4, 12, 1, 2, 3)
INNER_CANTHUS, MOUTH_CORNER, OUTER_CANTHUS = COLUMN_DEGREES[2], COLUMN_DEGREES[3], COLUMN_DEGREES[7]
EAR_FRONT, EAR_RIM, EAR_BEHIND, EAR_END = COLUMN_DEGREES[10:14]

SEAM_Y = 60.0
EYE_CENTER = np.array([31.5, 30.0, 67.5])
EYE_RADIUS = 12.3
LID_THICKNESS = 1.7
NECK_Y = -126.0


@dataclass(frozen=True, slots=True, eq=False)
class HalfHead:
    """Points of the head's x >= 0 half and where they lie relative to its features, all (rows, columns)."""

    row: Floats  # (R,) row coordinate: named row + fraction
    azimuth: Floats  # (C,) degrees
    points: Floats  # (R, C, 3) mm
    height: Floats  # (R, C) mm, y before features move it; rises along columns, below the seam
    on_eyeball: Floats  # (R, C) 0..1


def hermite(x: float | Floats, xs: ArrayLike, ys: ArrayLike) -> Floats:
    """Cubic Hermite interpolation through (xs, ys) with finite-difference slopes, constant beyond the ends.

    The slope at the ends is zero, so that tables which start at the midline meet their mirror image smoothly.
    """
    xs, ys = np.asarray(xs, float), np.asarray(ys, float)
    step = np.diff(xs)
    slope = np.diff(ys) / step
    tangent = np.zeros_like(ys)
    tangent[1:-1] = (slope[:-1] * step[1:] + slope[1:] * step[:-1]) / (step[:-1] + step[1:])
    x = np.clip(x, xs[0], xs[-1])
    i: NDArray[np.intp] = np.clip(np.searchsorted(xs, x, side="right") - 1, 0, len(xs) - 2)
    h = step[i]
    t: Floats = (x - xs[i]) / h
    a, b = ys[i], ys[i + 1]
    smooth: Floats = a + (b - a) * t * t * (3 - 2 * t) + h * t * (1 - t) * ((1 - t) * tangent[i] - t * tangent[i + 1])
    return smooth


def smoothstep(x: Floats, low: float | Floats, high: float | Floats) -> Floats:
    """0 below `low`, 1 above `high`, and a cubic between them that is level at both ends."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def smooth_max(a: Floats, b: Floats, width: float | Floats) -> Floats:
    """max(a, b) with a round transition of the given width (exact outside it)."""
    h = np.maximum(width - np.abs(a - b), 0.0) / width
    return np.maximum(a, b) + h * h * width / 4


def hill(x: Floats, y: Floats, cx: float, cy: float, sx: float, sy: float, turn_deg: float = 0.0) -> Floats:
    """A Gaussian hill of height 1 at (cx, cy)."""
    c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    dx, dy = x - cx, y - cy
    height: Floats = np.exp(-(((c * dx + s * dy) / sx) ** 2) - ((c * dy - s * dx) / sy) ** 2)
    return height


def bump(x: Floats, y: Floats, cx: float, cy: float, sx: float, sy: float, turn_deg: float = 0.0) -> Floats:
    """A Gaussian hill at (cx, cy) and, off the midline, its mirror image: smooth across x = 0."""
    one = hill(x, y, cx, cy, sx, sy, turn_deg)
    return one + hill(-x, y, cx, cy, sx, sy, turn_deg) if cx else one


def ease_between_knots(position: Floats, values: ArrayLike, steps: Sequence[int]) -> Floats:
    """Values at grid positions, through one value a knot, with evenly changing spacing (monotone cubic).

    `position` (m,) counts knots and fractions; `values` (k, ...) rise; `steps` (k - 1,) are the grid steps
    between knots at the default density, which fix the spacing whatever the density is. Sudden changes of
    spacing would show as bands in the shading. Slopes after Fritsch and Butland, 1984.
    """
    values = np.asarray(values, float)
    h = np.asarray(steps, float).reshape((-1,) + (1,) * (values.ndim - 1))
    slope = np.diff(values, axis=0) / h
    a, b = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    inner = (a + b) / (a / slope[:-1] + b / slope[1:])
    tangent = np.concatenate([slope[:1], inner, slope[-1:]])
    k: NDArray[np.intp] = np.clip(position.astype(int), 0, len(steps) - 1)
    t = (position - k).reshape((-1,) + (1,) * (values.ndim - 1))
    low, high = values[k], values[k + 1]
    eased: Floats = (
        low + (high - low) * t * t * (3 - 2 * t) + h[k] * t * (1 - t) * ((1 - t) * tangent[k] - t * tangent[k + 1])
    )
    return eased


def grid_positions(steps: Sequence[int], scale: float) -> Floats:
    """Grid lines in knots and fractions: every knot, `steps * scale` (rounded, at least one) between two."""
    parts = [k + np.arange(m) / m for k, n in enumerate(steps) for m in (max(1, round(n * scale)),)]
    return np.append(np.concatenate(parts), len(steps))


# ---------------------------------------------------------------- rows: y of each named row over the azimuth
def jaw_line(azimuth: float | Floats) -> Floats:
    """Height of the lower edge of the jaw."""
    stations = (0, 12, 25, 40, 60, 76, 90, 104, 118)
    return hermite(azimuth, stations, (-83, -82, -77, -68, -56, -45, -32, -25, -22))


def lip_line(azimuth: Floats) -> Floats:
    """Height of the line where the lips meet, and of the row that goes on from there to the ear."""
    stations = (0, 3, 9, 15, 25, 40, 58, 77, 118)
    return hermite(azimuth, stations, (-35.9, -35.4, -35.2, -36.1, -34.5, -30, -22, -9, -8))


def lip_heights(azimuth: Floats) -> tuple[Floats, Floats]:
    """Heights of the upper and lower red lip above and below the lip line."""
    q = np.clip(azimuth / MOUTH_CORNER, 0, 1)
    x = 98 * np.sin(np.deg2rad(azimuth))
    lens = np.clip(1 - q**1.9, 0, 1) ** 0.85
    bow = 1.0 * np.exp(-(((x - 5.4) / 3.4) ** 2)) - 0.8 * np.exp(-((x / 2.4) ** 2))
    beyond = np.clip(azimuth - MOUTH_CORNER, 0, None)
    upper = 0.7 + 6.6 * lens + bow + hermite(beyond, (0, 6, 43, 103), (0, 0.9, 4, 4))
    lower = 0.7 + 8.8 * np.clip(1 - q**2.2, 0, 1) ** 0.8 + hermite(beyond, (0, 6, 43, 103), (0, 1.2, 6, 4))
    return upper, lower


def eye_rows(azimuth: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """y of the lower lid's outer and inner edge, the upper lid's inner and outer edge, and its crease."""
    t = (azimuth - INNER_CANTHUS) / (OUTER_CANTHUS - INNER_CANTHUS)
    s = np.clip(t, 0, 1)
    axis = hermite(azimuth, (0, 11.8, 34.6, 58, 77, 118), (27.5, 28.3, 30.4, 27, 22, 22))
    arch = np.clip(4 * s * (1 - s), 0, None)
    up = 4.4 * arch**0.72 * (1 + 0.20 * (0.5 - s))
    down = 4.9 * arch**0.85 * (1 - 0.30 * (0.5 - s))
    apart = (
        0.45
        + hermite(np.maximum(-t, 0), (0, 0.15, 0.52), (0, 0.4, 2.5))
        + hermite(np.maximum(t - 1, 0), (0, 0.15, 1, 1.86, 4), (0, 0.25, 2.5, 4, 4))
    )
    edge = 0.45 + 0.15 * arch
    fold = 1.3 + 2.6 * arch**0.6 + hermite(np.maximum(t - 1, 0), (0, 1, 4), (0, 2, 2))
    low, high = axis - apart - down, axis + apart + up
    return low - edge, low, high, high + edge, high + edge + fold


def row_heights(azimuth: Floats) -> Floats:
    """(18, C) y of the named rows from the neck to the seam with the crown."""
    stations = (0, 12, 24, 40, 58, 77, 118)
    jaw = jaw_line(azimuth)
    lips = lip_line(azimuth)
    upper, lower = lip_heights(azimuth)
    below, low, high, above, crease = eye_rows(azimuth)
    return np.stack(
        [
            hermite(azimuth, (0, 40, 118), (NECK_Y, NECK_Y + 1, NECK_Y + 6)),
            jaw - hermite(azimuth, (0, 40, 77, 118), (14, 13, 14, 16)),
            jaw + 1.0,
            hermite(azimuth, stations, (-54, -54, -52, -46, -36, -24, -16)),
            lips - lower,
            lips,
            lips + upper,
            hermite(
                azimuth,
                (0, 4, 7, 9, 11, 14, 24, 40, 58, 77),
                (-17.6, -17.0, -16.6, -15.2, -13.2, -13.0, -14, -13, -9, 0),
            ),
            hermite(azimuth, (0, 6, 9, 12, 24, 40, 58, 77), (-10.5, -9.5, -8.5, -7.5, -6, -3, 1, 6)),
            hermite(azimuth, stations, (14, 14, 15.5, 16, 13, 14, 14)),
            below,
            low,
            high,
            above,
            crease,
            hermite(azimuth, stations, (42.5, 41.5, 43, 44, 41, 39, 39)),
            hermite(azimuth, stations, (50, 50.5, 51, 52, 50, 49, 49)),
            np.full_like(azimuth, SEAM_Y),
        ]
    )


# ---------------------------------------------------------------- the skull, jaw and neck
CRANIUM_CENTER = np.array([0.0, 43.0, -6.0])
CRANIUM_RADII = np.array([77.0, 86.0, 99.0])
CRANIUM_POWER = 2.2


def cranium_radius(origin: Floats, direction: Floats) -> Floats:
    """Distance from `origin` (..., 3) along `direction` (..., 3) to the cranium, a superellipsoid."""
    o = (origin - CRANIUM_CENTER) / CRANIUM_RADII
    d = direction / CRANIUM_RADII
    r = np.full(np.broadcast_shapes(o.shape, d.shape)[:-1], 160.0)
    for _ in range(9):  # Newton from outside a convex body decreases to the root
        p = o + r[..., None] * d
        a = np.abs(p)
        power = a ** (CRANIUM_POWER - 1)
        value = (power * a).sum(-1) - 1
        r = r - value / (CRANIUM_POWER * (power * np.sign(p) * d).sum(-1))
    return r


def skull_radius(azimuth: Floats, y: Floats) -> Floats:
    """Distance from the vertical axis to the bare face (no nose, lips, eyes, ears), without the neck."""
    sin, cos = np.sin(np.deg2rad(azimuth)), np.cos(np.deg2rad(azimuth))
    depth = hermite(
        y,
        (-100, -82, -75, -67, -60, -54, -46, -38, -30, -22, -14, -5, 10, 25, 36, 44, 52, 60),
        (90, 92.5, 96, 97.3, 95.8, 94.8, 97, 99, 100.3, 101.3, 100.5, 98.6, 94.5, 91.3, 91, 93, 94.5, 94),
    )
    width = hermite(
        y, (-100, -82, -70, -55, -40, -25, -10, 5, 20, 40, 60), (38, 44, 49, 56, 61.5, 65.5, 68.5, 70.5, 71, 72, 75)
    )
    power = hermite(y, (-100, -70, -40, -15, 10, 40, 60), (2.15, 2.15, 2.15, 2.2, 2.3, 2.4, 2.3))
    back = np.where(cos < 0, 0.9, 1.0)  # behind the ears the head is a little shallower
    # a superellipse's curvature vanishes at x = 0 and would show as a line: rounded within `soft` there
    soft = 0.15
    across = (sin * sin + soft * soft) ** (power / 2) - soft**power
    return (across / width**power + np.abs(cos * back / depth) ** power) ** (-1 / power)


def neck_radius(azimuth: Floats, y: Floats) -> Floats:
    """The neck: an elliptic cylinder behind the axis, wider toward the shoulders."""
    sin, cos = np.sin(np.deg2rad(azimuth)), np.cos(np.deg2rad(azimuth))
    center = -14.0 + 0.05 * (y + 100)
    a = 52.0 + 6.0 * smoothstep(y, -100, -140)
    b = 52.0 + 2.0 * smoothstep(y, -105, -135)
    # intersection of the ray from the axis with the ellipse centered at z = center
    qa = (sin / a) ** 2 + (cos / b) ** 2
    qb = -cos * center / b**2
    qc = (center / b) ** 2 - 1
    return (-qb + np.sqrt(qb * qb - qa * qc)) / qa


def horizontal(azimuth: Floats) -> Floats:
    """Unit vectors (..., 3) of the azimuths."""
    a = np.deg2rad(azimuth)
    return np.stack([np.sin(a), np.zeros_like(a), np.cos(a)], -1)


def axis_points(y: Floats) -> Floats:
    """Points (..., 3) of the vertical axis."""
    return np.stack([np.zeros_like(y), y, np.zeros_like(y)], -1)


def base_radius(azimuth: Floats, y: Floats) -> Floats:
    """Skull, jaw undercut and neck together."""
    jaw = jaw_line(azimuth)
    skull = skull_radius(azimuth, np.maximum(y, jaw - 2))
    above = y - jaw
    round_edge = hermite(azimuth, (0, 30, 60, 90, 118), (13, 12, 9, 6, 5))
    inside = np.clip(1 - above / round_edge, 0, 1)
    drop = round_edge * 0.8 * (1 - np.sqrt(np.clip(1 - inside**2 * 0.96, 0, 1)))
    drop = drop + np.clip(-above, 0, None) * hermite(azimuth, (0, 30, 60, 90, 118), (3.0, 2.4, 1.6, 1.0, 0.8))
    face = skull - drop
    occiput = cranium_radius(axis_points(np.maximum(y, -28.0)), horizontal(azimuth))
    occiput = occiput - 1.6 * np.clip(-28 - y, 0, None)
    face = face + (occiput - face) * smoothstep(azimuth, 92, 124)
    neck = neck_radius(azimuth, y)
    lower = smooth_max(face, neck, 9.0 + 12.0 * smoothstep(azimuth, 92, 124))
    upper = cranium_radius(axis_points(np.clip(y, 30.0, SEAM_Y)), horizontal(azimuth))
    return lower + (upper - lower) * smoothstep(y, 36.0, SEAM_Y)
