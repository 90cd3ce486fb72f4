"""Colors of the built-in head, skin to hair, and how they vary: closed formulas, RGB in 0..255."""

import numpy as np
from numpy.typing import ArrayLike

from uvgen.models.builtin.mesh import POCKET, POCKET_TEETH, POCKET_UPPER, HeadMesh
from uvgen.models.builtin.surface import EYE_CENTER, MOUTH_CORNER, ROW, Floats, bump, hermite, jaw_line, smoothstep

ALBEDO_NAMES = (
    "skin tone",
    "redness",
    "yellowness",
    "lip color",
    "lip depth",
    "brow density",
    "stubble",
    "hair tone",
    "iris blue to brown",
    "iris lightness",
    "blush",
    "shadow about the eyes",
)
SKIN = np.array([206.0, 160.0, 136.0])
HAIR = np.array([58.0, 42.0, 33.0])
HAIRLINE = (
    (0, 20, 38, 52, 60, 65, 70, 80, 84, 108, 118, 165),  # degrees of azimuth
    (98, 97, 93, 83, 66, 40, 18, 12, 47, 46, -8, -42),
)  # y in mm


def brow_line(x: float | Floats) -> tuple[Floats, Floats]:
    """y of the middle of the eyebrow and its half thickness at x mm from the midline."""
    return (
        hermite(x, (10, 18, 28, 38, 46, 53), (45.2, 46.8, 48.8, 50.2, 48.8, 45.2)),
        hermite(x, (9, 14, 24, 36, 46, 53), (2.3, 3.0, 3.0, 2.5, 1.9, 1.2)),
    )


def albedo(mesh: HeadMesh) -> tuple[Floats, Floats]:
    """Mean color (n, 3) and the components (n, 3, 12), each the change at one standard deviation."""
    m = masks(mesh)
    x, y, z = np.abs(mesh.points[:, 0]), mesh.points[:, 1], mesh.points[:, 2]
    mottle = np.sin(0.23 * x + 1.3) * np.sin(0.19 * y + 0.4)
    mottle = mottle + np.sin(0.11 * x - 0.17 * y + 2.0) * np.sin(0.13 * z)
    c = np.tile(SKIN, (len(x), 1)) + mottle[:, None] * [1.0, 1.3, 1.3]
    c = blend(c, m["cheek"], [205, 138, 118], 0.45)
    c = blend(c, m["nose"], [205, 138, 118], 0.40)
    c = blend(c, m["ear"], [205, 138, 118], 0.35)
    c = blend(c, m["socket"], [176, 124, 106], 0.45)
    c = blend(c, m["beard"], [150, 124, 112], 0.06)
    c = blend(c, m["lips"], [184, 116, 106])
    c = blend(c, m["contact"], [96, 48, 46], 0.75)
    c = blend(c, m["nostril"], [62, 34, 30], 0.9)
    c = blend(c, m["brow"], HAIR * 1.05, 0.86)
    c = blend(c, m["hair"], HAIR)
    c = blend(c, m["lash"], [44, 30, 26], 0.85)
    c = c + (eyeball(mesh, m) - c) * m["eye"][:, None]
    c = np.where(m["inside"][:, None] > 0, [150.0, 70.0, 68.0], c)
    c = blend(c, m["teeth"], [226, 218, 204])
    c = blend(c, m["throat"], [70, 26, 26])
    c = blend(c, m["inside"] * m["lips"], [168, 92, 88])

    bare = (1 - m["inside"]) * (1 - m["eye"]) * (1 - 0.9 * m["hair"]) * (1 - 0.8 * m["brow"])
    bare = bare * (1 - 0.7 * m["lash"])
    plain = bare * (1 - m["lips"])
    ring = m["iris"] * (1 - m["pupil"])
    fields = (
        (bare * (1 - 0.45 * m["lips"]) * (1 - 0.6 * m["nostril"]), (-26, -28, -28)),
        (plain, (4, -3, -2)),
        (plain, (2, 1, -5)),
        (m["lips"] * bare, (6, -6, -4)),
        (m["lips"] * bare, (-10, -11, -10)),
        (m["brow"], (-9, -10, -11)),
        (m["beard"], (-20, -17, -14)),
        (np.maximum(m["hair"], 0.6 * m["brow"]), (22, 17, 11)),
        (ring, (14, 0, -22)),
        (ring, (20, 20, 18)),
        (np.maximum(m["cheek"], 0.8 * m["nose"]) * plain, (2, -6, -5)),
        (m["socket"] * plain, (-13, -13, -9)),
    )
    basis = np.stack([mask[:, None] * np.asarray(rgb, float) for mask, rgb in fields], -1)
    return np.clip(c, 0, 255), basis


def eyeball(mesh: HeadMesh, m: dict[str, Floats]) -> Floats:
    """(n, 3) white, caruncle, iris and pupil, in the upper lid's shade."""
    c = np.tile([208.0, 200.0, 195.0], (len(mesh.points), 1))
    c = blend(c, m["caruncle"], [205, 140, 130], 0.8)
    c = blend(c, m["iris"], [104, 82, 60])
    c = blend(c, m["limbus"], [50, 42, 38], 0.6)
    c = blend(c, m["pupil"], [14, 12, 12])
    c = blend(c, np.exp(-np.abs(mesh.row - ROW["lower_edge"]) / 0.03), [186, 126, 114], 0.8)  # the lids' rims
    c = blend(c, np.exp(-np.abs(mesh.row - ROW["upper_edge"]) / 0.03), [96, 60, 52], 0.8)
    return c * (1 - 0.45 * smoothstep(mesh.row, ROW["upper_edge"] - 0.28, ROW["upper_edge"]))[:, None]


def masks(mesh: HeadMesh) -> dict[str, Floats]:
    """Where each color lies, (n,) in 0..1, the same on both halves."""
    x, y, z = np.abs(mesh.points[:, 0]), mesh.points[:, 1], mesh.points[:, 2]
    azimuth, row, pocket = mesh.azimuth, mesh.row, mesh.pocket
    skin = pocket == 0
    front = smoothstep(z, 20, 45) * skin
    eye = mesh.on_eyeball

    up, down = row - ROW["lips"], ROW["lips"] - row
    lips = np.where(up >= 0, smoothstep(up, 1.12, 0.94), smoothstep(down, 1.12, 0.92))
    lips = np.where(skin, lips * smoothstep(azimuth, MOUTH_CORNER + 0.8, MOUTH_CORNER - 0.6), 0.0)
    lips[(pocket > 0) & ((pocket <= 2) | (pocket > len(POCKET) - 2))] = 1.0
    contact = np.exp(-np.abs(up) / 0.10) * smoothstep(azimuth, MOUTH_CORNER + 1.5, MOUTH_CORNER - 0.5)

    middle, thick = brow_line(x)
    brow = np.exp(-(np.abs((y - middle) / thick) ** 2.6)) * smoothstep(x, 8.5, 16) * smoothstep(x, 55, 43)
    brow = brow * smoothstep(row, ROW["crease"], ROW["crease"] + 0.5) * front

    from_iris = np.hypot(x - EYE_CENTER[0] + 0.4, y - 29.7)
    over, under = row - ROW["upper_edge"], ROW["lower_edge"] - row
    lash = np.exp(-(((over - 0.5) / 0.8) ** 2)) * (over >= -0.01) + 0.45 * np.exp(-(((under - 0.5) / 0.7) ** 2)) * (
        under >= -0.01
    )
    lash = lash * smoothstep(azimuth, 12.3, 15) * smoothstep(azimuth, 35.6, 33.5) * skin

    line = np.interp(azimuth, *HAIRLINE)
    slope = (np.interp(azimuth + 1, *HAIRLINE) - np.interp(azimuth - 1, *HAIRLINE)) / 2.5  # mm per mm
    hair = smoothstep((y - line) / np.hypot(1, slope), -3.0, 3.0) * skin * (row >= ROW["jaw"] - 1)
    hair = np.maximum(hair, smoothstep(row, ROW["seam"] + 0.30, ROW["seam"] + 0.45))  # the crown's back
    on_ear = (azimuth > 82) & (azimuth < 110.5) & (row < ROW["seam"])
    hair = np.where(on_ear, hair * smoothstep(y, 45, 50), hair)

    top = hermite(azimuth, (0, 14, 30, 55, 80), (-17, -18, -34, -26, -8))
    beard = smoothstep(y - jaw_line(azimuth), -12, 2) * smoothstep(y, top + 3, top - 5)
    beard = beard * smoothstep(azimuth, 83, 76) * skin * (1 - lips) * (1 - 0.7 * bump(x, y, 13, -50, 5, 4))

    teeth = np.zeros(len(x))
    for first, last in POCKET_TEETH:
        teeth[(pocket > first) & (pocket <= last + 1)] = 1.0
    return {
        "lips": lips,
        "contact": contact * skin,
        "brow": brow,
        "lash": lash,
        "hair": hair,
        "beard": beard,
        "nostril": bump(x, row - ROW["nose_base"], 6.4, 0.47, 3.0, 0.26) * skin,
        "cheek": bump(x, y, 40, -4, 18, 15) * front,
        "nose": bump(x, y, 0, -6, 14, 10) * smoothstep(z, 96, 108) * front,
        "ear": (
            smoothstep(azimuth, 80, 92)
            * smoothstep(azimuth, 118, 109)
            * smoothstep(y, -24, -12)
            * smoothstep(y, 50, 40)
            * skin
        ),
        "socket": (bump(x, y, 29, 25, 16, 7) + 0.7 * bump(x, y, 14, 30, 5, 7) + 0.6 * bump(x, y, 30, 39, 15, 4))
        * front,
        "eye": eye,
        "caruncle": eye * smoothstep(x, 19.5, 16.5),
        "iris": smoothstep(from_iris, 6.3, 5.3) * eye,
        "limbus": np.exp(-(((from_iris - 5.6) / 0.8) ** 2)) * eye,
        "pupil": smoothstep(from_iris, 2.8, 1.5) * eye,
        "inside": (~skin).astype(float),
        "teeth": teeth,
        "throat": ((pocket >= 9) & (pocket < POCKET_UPPER + 4)).astype(float),
    }


def blend(color: Floats, mask: Floats, target: ArrayLike, opacity: float = 1.0) -> Floats:
    """`color` (n, 3) moved toward `target` where `mask` (n,) is 1."""
    return color + (np.asarray(target, float) - color) * (mask * opacity)[:, None]
