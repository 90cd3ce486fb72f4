"""Eyes, nose, lips, cheeks and ears of the built-in head: displacements of its base surface, in mm."""

import numpy as np

from uvgen.models.builtin.surface import (
    COLUMN_DEGREES,
    EAR_BEHIND,
    EAR_END,
    EAR_FRONT,
    EAR_RIM,
    EYE_CENTER,
    EYE_RADIUS,
    INNER_CANTHUS,
    LID_THICKNESS,
    MOUTH_CORNER,
    OUTER_CANTHUS,
    ROW,
    ROW_STEPS,
    SEAM_Y,
    Floats,
    HalfHead,
    base_radius,
    bump,
    cranium_radius,
    ease_between_knots,
    eye_rows,
    hermite,
    hill,
    row_heights,
    smooth_max,
    smoothstep,
)


def soft_features(x: Floats, y: Floats) -> Floats:
    """Forehead, brow ridge, sockets, cheeks, chin: broad hills and hollows along the outward direction."""
    d = 1.9 * bump(x, y, 25, 47, 16, 8, 8)  # brow ridge
    d += 1.2 * bump(x, y, 0, 48, 9, 7)
    d += 1.5 * bump(x, y, 24, 72, 16, 13)  # frontal eminence
    d -= 2.5 * bump(x, y, 66, 48, 10, 16)  # temple
    d -= 6.2 * bump(x, y, 29, 29, 15, 11)  # eye socket
    d -= 4.0 * bump(x, y, 14, 32, 6, 8)  # beside the nasal root
    d += 1.2 * bump(x, y, 13, 12, 6, 14)  # beside the nose
    d += 2.4 * bump(x, y, 50, 8, 15, 12, -15)  # cheekbone
    d += 2.6 * bump(x, y, 35, -6, 17, 15)  # cheek
    d -= 1.6 * bump(x, y, 47, -33, 15, 17)  # hollow below it
    d += 2.2 * bump(x, y, 0, -68, 15, 10)  # chin
    d += 1.0 * bump(x, y, 20, -62, 9, 9)
    d -= 0.8 * bump(x, y, 0, -54, 14, 4)
    d += 1.5 * bump(x, y, 57, -44, 9, 10)  # jaw angle
    return d


def neck_relief(azimuth: Floats, y: Floats) -> Floats:
    """Sternomastoid muscles and larynx."""
    along = np.clip((-32 - y) / 95, 0, 1)
    muscle = np.exp(-(((azimuth - (98 - 84 * along)) / 13) ** 2)) * smoothstep(y, -40, -75)
    x = 45 * np.sin(np.deg2rad(azimuth))
    return 2.2 * muscle + 2.4 * bump(x, y, 0, -108, 7, 9) * (azimuth < 60)


def fold_features(x: Floats, y: Floats) -> Floats:
    """Nasolabial fold, mouth corner, philtrum."""
    along = np.clip((-6 - y) / 30, 0, 1.3)
    fold_x = 17.5 + 12.5 * along**1.15
    across = x - fold_x
    fade = smoothstep(y, -46, -30) * smoothstep(y, -1, -10)
    d = fade * (-0.9 * np.exp(-((across / 3.5) ** 2)) + 1.2 * np.exp(-(((across - 7) / 6.0) ** 2)))
    d -= 1.3 * bump(x, y, 28.0, -37.0, 6.0, 5.5)
    d += 0.8 * bump(x, y, 24, -41, 6, 5)
    groove = smoothstep(y, -29.5, -25) * smoothstep(y, -13, -17)
    d += groove * (-1.1 * np.exp(-((x / 3.0) ** 2)) + 0.7 * np.exp(-(((x - 5.4) / 2.2) ** 2)))
    return d


NOSE_LIFT = 0.10  # the nose grows upward by this much per mm of protrusion, so that its base faces forward


def nose_height(x: Floats, y: Floats) -> Floats:
    """z of the nose as a height field over the frontal plane; far below the face if there is no nose."""
    ridge = hermite(
        y, (-30, -15.5, -13, -8, 2, 10, 18, 27, 36, 48), (30, 94, 103, 115.5, 114.0, 109, 103.4, 97.4, 91.7, 83)
    )
    half = hermite(y, (-14, -4, 8, 18, 28, 40), (5.5, 5.0, 4.2, 4.4, 4.4, 6.0))
    steep = hermite(y, (-14, 0, 14, 28, 40), (1.9, 1.85, 1.75, 1.5, 1.2))
    dorsum = ridge - steep * (np.sqrt(x * x + half * half) - half)

    def cap(cx: float, cy: float, cz: float, rx: float, ry: float, rz: float) -> Floats:
        """A rounded hill: steep, but not vertical, where it meets z = cz."""
        q = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
        edge = np.sqrt(0.05)
        inside = np.sqrt(1 - 0.95 * np.minimum(q, 1))
        return cz + rz * np.where(q < 1, inside, edge - 0.95 / (2 * edge) * (q - 1))

    nose = smooth_max(dorsum, cap(0, -9.0, 107.0, 9.4, 7.6, 11.0), 5.0)
    nose = smooth_max(nose, cap(11.6, -9.0, 97.5, 6.2, 7.2, 10.5), 4.0)
    return smooth_max(nose, cap(0, -12.5, 101, 3.6, 5.0, 10.0), 2.5)


def nostril(x: Floats, y: Floats) -> Floats:
    """Where the nose's base is hollow."""
    return bump(x, y, 6.6, -13.0, 3.2, 2.2, 20)


def lip_displacement(row: Floats, azimuth: Floats, x: Floats) -> Floats:
    """Forward displacement of the red lips and their rims, from the row coordinate."""
    q = np.clip(azimuth / MOUTH_CORNER, 0, 1)
    full = np.clip(1 - q**2.4, 0, 1) ** 0.75
    up = row - ROW["lips"]  # 0..1 over the upper lip, then 1..2 up to the nose
    down = ROW["lips"] - row
    depth = -3.4 * full

    def profile(v: Floats, crest: float, rim: float) -> Floats:
        stations = (0, 0.08, 0.22, 0.5, 0.8, 1.0, 1.35, 1.9)
        return hermite(v, stations, (0, 0.42, 0.75, 1.0, crest, rim, rim * 0.3, 0))

    upper = full * (3.4 + 2.0) * profile(up, 0.82, 0.62)
    lower = full * (3.4 + 2.9) * profile(down, 0.86, 0.56)
    tubercle = 0.5 * np.exp(-((x / 4.0) ** 2)) * np.exp(-(((up - 0.35) / 0.3) ** 2))
    into = depth * np.where(row >= ROW["lips"], smoothstep(up, 1.9, 0.9), smoothstep(down, 1.9, 0.9))
    return np.where(row >= ROW["lips"], upper + tubercle, lower) + into


def sphere_radius(azimuth: Floats, y: Floats, radius: float) -> Floats:
    """Distance from the vertical axis to the eyeball-centered sphere of `radius`; falls away beside it."""
    a = np.deg2rad(azimuth)
    along = EYE_CENTER[0] * np.sin(a) + EYE_CENTER[2] * np.cos(a)
    across = EYE_CENTER[0] * np.cos(a) - EYE_CENTER[2] * np.sin(a)
    left = radius**2 - across**2 - (y - EYE_CENTER[1]) ** 2
    distance: Floats = along + np.where(left > 0, np.sqrt(np.abs(left)), -2.0 * np.sqrt(np.abs(left)))
    return distance


def with_eyes(skin: Floats, row: Floats, azimuth: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(radius, on_eyeball): lids over the eyeball, the lid crease, and the eyeball between the lids."""
    lid = smooth_max(skin, sphere_radius(azimuth, y, EYE_RADIUS + LID_THICKNESS), 3.0)
    t = (azimuth - INNER_CANTHUS) / (OUTER_CANTHUS - INNER_CANTHUS)
    crease = eye_rows(azimuth)[4]
    window = smoothstep(t, -0.02, 0.25) * smoothstep(t, 1.2, 0.85)
    above = y - crease
    lid = lid + window * (-1.5 * np.exp(-((above / 1.1) ** 2)) + 1.2 * np.exp(-(((above - 3.2) / 2.6) ** 2)))
    below = y - (eye_rows(azimuth)[0] - 6.0)
    lid = lid - 0.7 * window * np.exp(-((below / 2.0) ** 2))
    ball = smooth_max(sphere_radius(azimuth, y, EYE_RADIUS), lid - 3.2, 1.0)
    inside = (row >= ROW["lower_edge"] - 1e-9) & (row <= ROW["upper_edge"] + 1e-9)
    opened = np.where(inside, smoothstep(t, 0.0, 0.12) * smoothstep(t, 1.0, 0.86), 0.0)
    ball = np.minimum(ball, lid)
    return lid + (ball - lid) * opened, opened


EAR_CENTER_Y, EAR_HALF_HEIGHT, EAR_LEAN = 12.0, 31.0, 0.27


def ear_coordinates(y: Floats, z: float | Floats) -> tuple[Floats, Floats, Floats]:
    """(up, back) from the ear's middle, its axis leaning back, and the outline's half width there."""
    up = y - EAR_CENTER_Y
    back = -z - 11.0 - EAR_LEAN * up
    width = 17.5 * hermite(up, (-32, -18, 0, 16, 32), (0.60, 0.70, 0.95, 1.12, 1.15))
    return up, back, width


def ear_columns(azimuth: Floats, y: Floats) -> Floats:
    """Shift columns near the ear so that the rim columns follow the outline. (C,), (R, 1) -> (R, C)."""
    up, _, width = ear_coordinates(y, 0.0)
    half = width * np.sqrt(np.clip(1 - (up / EAR_HALF_HEIGHT) ** 2, 0.0, 1))
    rim = 90 + np.rad2deg(np.arctan((11.0 + EAR_LEAN * np.clip(up, -32, 32) + half) / 71.0))
    knots = np.array([EAR_FRONT, EAR_RIM, EAR_BEHIND, EAR_END])
    shifted = np.empty(np.broadcast_shapes(azimuth.shape, y.shape))
    shifted[:] = azimuth
    part = np.clip(np.searchsorted(knots, azimuth, side="right") - 1, 0, 2)
    targets = np.stack([np.full_like(rim, EAR_FRONT), rim, rim + 1.5, np.maximum(rim + 8, EAR_END)], -1)[:, 0]
    low, high = targets[:, part], targets[:, part + 1]
    f = (azimuth - knots[part]) / (knots[part + 1] - knots[part])
    near = (azimuth >= EAR_FRONT) & (azimuth <= EAR_END)
    return np.where(near[None, :], low + (high - low) * f, shifted)


def ear_displacement(points: Floats, azimuth: Floats) -> Floats:
    """(..., 3) displacement that raises the ear from the side of the head; `azimuth` names the columns."""
    up, back, width = ear_coordinates(points[..., 1], points[..., 2])
    rho = np.sqrt((up / EAR_HALF_HEIGHT) ** 2 + (back / width) ** 2)
    rear = smoothstep(back, -15, -2)
    flare = np.clip(back + 13, 0, None) * 0.40
    helix = np.exp(-(((rho - 0.90) / (0.20 - 0.08 * rear)) ** 2)) * smoothstep(up, -22, -5)
    helix = helix * np.maximum(rear, smoothstep(up, 14, 24)) * (0.45 + 0.55 * rear)
    scapha = np.exp(-(((rho - 0.70) / 0.10) ** 2)) * rear * smoothstep(up, -14, 0)
    antihelix = np.exp(-(((rho - 0.50) / 0.11) ** 2)) * smoothstep(back, -6, 3) * smoothstep(up, -20, -10)
    concha = hill(back, up, -3.0, -3.0, 6.5, 9.0)
    tragus = hill(back, up, -11.5, -3.0, 3.0, 4.5)
    antitragus = hill(back, up, -3.0, -14.0, 4.0, 2.6)
    lobe = hill(back, up, -1.0, -24.0, 7.0, 6.0)
    height = flare + 3.0 * helix - 1.8 * scapha + 2.4 * antihelix - 8.5 * concha
    height = height + 4.5 * tragus + 2.0 * antitragus + 1.5 * lobe
    top = smoothstep(up, 14, 30)
    height = height * smoothstep(rho, 1.22 - 0.07 * top, 0.96 - 0.10 * top)
    height = height * (azimuth <= EAR_RIM + 1e-9)
    behind = (azimuth > EAR_RIM) * smoothstep(np.abs(up), EAR_HALF_HEIGHT, EAR_HALF_HEIGHT - 8)
    behind = behind * smoothstep(azimuth, EAR_END, EAR_BEHIND)
    out = np.zeros_like(points)
    out[..., 0] = height - 1.0 * behind
    out[..., 2] = -0.25 * np.clip(height, 0, None) + 3.0 * behind
    return out


def half_head(row: Floats, azimuth: Floats) -> HalfHead:
    """The x >= 0 half of the head at row coordinates `row` (R,) and azimuths `azimuth` (C,) in degrees."""
    n_low = int((row <= ROW["seam"]).sum())
    r, a = row[:n_low, None], azimuth[None, :]
    y = ease_between_knots(row[:n_low], row_heights(azimuth), ROW_STEPS[:-1])
    a = ear_columns(azimuth, y[:, -1:])
    sin, cos = np.sin(np.deg2rad(a)), np.cos(np.deg2rad(a))

    radius = base_radius(a, y)
    x, z = radius * sin, radius * cos
    front = smoothstep(z, 5, 30)
    radius = radius + front * soft_features(x, y) + front * fold_features(x, y)
    radius, opened = with_eyes(radius, r, a, y)
    nose_x = 105 * sin
    nose = nose_height(nose_x, y) / np.maximum(cos, 0.3)
    soft = 6.0 - 1.5 * smoothstep(y, 14, 2) + 3.0 * smoothstep(y, -10, -15)  # wings are set off more sharply
    with_nose = np.where(a < 20, smooth_max(radius, nose, soft), radius)
    lift = NOSE_LIFT * (with_nose - radius)
    hollow = nostril(nose_x, y)
    radius = with_nose - 3.0 * hollow + lip_displacement(r, a, x) * (a < 40) + neck_relief(a, y)
    low = np.stack([radius * sin, y + lift + 1.8 * hollow, radius * cos], -1)

    crown = crown_points(row[n_low:] - ROW["seam"], azimuth)
    points = np.concatenate([low, crown])
    ear = ear_displacement(points, azimuth)
    points = points + ear * smoothstep(azimuth, 60, 72)[None, :, None]
    on_eyeball = np.zeros(points.shape[:2])
    on_eyeball[:n_low] = opened
    height = np.concatenate([y, np.broadcast_to(row[n_low:, None] - ROW["seam"] + SEAM_Y, crown.shape[:2])])
    return HalfHead(row, azimuth, points, height, on_eyeball)


def crown_points(rise: Floats, azimuth: Floats) -> Floats:
    """The cranium above the seam: directions equidistant about +z, so that no lines meet at a pole."""
    back = np.deg2rad(COLUMN_DEGREES[-1])
    py = np.deg2rad(160.0) * rise[:, None] ** 1.5
    px = np.deg2rad(ear_columns(azimuth, np.full((1, 1), SEAM_Y))) * np.sqrt(1 - (py / back) ** 2)
    px, py = np.broadcast_arrays(px, py)
    polar = np.hypot(px, py)
    sinc = np.sinc(polar / np.pi)
    direction: Floats = np.stack([px * sinc, py * sinc, np.cos(polar)], -1)
    origin = np.array([0.0, SEAM_Y, 0.0])
    radius = cranium_radius(origin, direction)
    p = origin + radius[..., None] * direction
    d = soft_features(p[..., 0], p[..., 1]) * smoothstep(p[..., 2], 5, 30)
    return p + d[..., None] * direction
