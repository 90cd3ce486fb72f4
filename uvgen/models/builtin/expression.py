"""How the built-in face moves: 12 displacement fields, each at full strength, in mm."""

import numpy as np

from uvgen.models.builtin.features import sphere_radius
from uvgen.models.builtin.mesh import POCKET_UPPER, HeadMesh
from uvgen.models.builtin.surface import (
    EYE_RADIUS,
    INNER_CANTHUS,
    LID_THICKNESS,
    MOUTH_CORNER,
    OUTER_CANTHUS,
    ROW,
    Floats,
    bump,
    eye_rows,
    hermite,
    jaw_line,
    lip_line,
    smoothstep,
)

# name, standard deviation, and the strengths a face can take (a one-sided range cannot go negative)
EXPRESSIONS = (
    ("jaw open", 0.22, 0.0, 1.0),
    ("jaw sideways", 0.20, -1.0, 1.0),
    ("smile", 0.35, -0.2, 1.0),
    ("mouth corners down", 0.25, -0.3, 1.0),
    ("pucker", 0.25, -0.15, 1.0),
    ("lips apart", 0.20, 0.0, 1.0),
    ("brows up", 0.40, -0.3, 1.0),
    ("brows down", 0.30, -0.3, 1.0),
    ("right eye closed", 0.25, -0.1, 1.0),
    ("left eye closed", 0.25, -0.1, 1.0),
    ("cheeks puffed", 0.25, -0.3, 1.0),
    ("nose wrinkled", 0.25, 0.0, 1.0),
)
EXPRESSION_NAMES = tuple(e[0] for e in EXPRESSIONS)
JAW_AXIS = (2.0, 2.0)  # y, z of the jaw joints' axis
JAW_OPEN_DEGREES = 15.0


def jaw_weight(mesh: HeadMesh, y: Floats) -> Floats:
    """(n,) share of the jaw's motion that each vertex takes: 1 on chin and lower lip, 0 above the mouth."""
    azimuth, row = mesh.azimuth, mesh.row
    q = np.clip(azimuth / MOUTH_CORNER, 0, 1)
    beyond = np.clip(azimuth - MOUTH_CORNER, 0, None)
    corner = 0.42
    below = lip_line(azimuth) - y
    reach_down = hermite(beyond, (0, 10, 30, 60), (13.0, 17.0, 28.0, 34.0))
    reach_up = hermite(beyond, (0, 10, 30, 60), (9.0, 12.0, 20.0, 26.0))
    lower = corner + (1 - corner) * (1 - q**3 * (1 - smoothstep(below, 0, reach_down)))
    upper = corner * q**5 * smoothstep(below, -reach_up, 0)
    weight = np.where(np.where(azimuth <= MOUTH_CORNER, row < ROW["lips"], below > 0), lower, upper)
    weight = weight * smoothstep(azimuth, 100, 58)
    under = jaw_line(azimuth) - y
    weight = weight * (1 - smoothstep(under, 0, 42))  # the throat follows less and less
    hangs = mesh.pocket > POCKET_UPPER
    fade = 1 - (1 - corner) * q**3
    pocket = np.where(hangs, fade, corner * q**5)
    bone = (mesh.pocket > 3) & (mesh.pocket < 20)  # teeth, palate and tongue move as one with skull or jaw
    pocket = np.where(bone, hangs * 1.0, pocket)
    return np.where(mesh.pocket > 0, pocket, weight)


def turn_about_jaw(p: Floats, degrees: float) -> Floats:
    """Displacement of points by a turn about the axis through the jaw joints; positive opens."""
    a = np.deg2rad(degrees)
    y, z = p[:, 1] - JAW_AXIS[0], p[:, 2] - JAW_AXIS[1]
    turned = np.stack([np.zeros_like(y), np.cos(a) * y - np.sin(a) * z, np.sin(a) * y + np.cos(a) * z], -1)
    turned[:, 1] -= y
    turned[:, 2] -= z
    return turned


def close_eye(mesh: HeadMesh, p: Floats) -> Floats:
    """(n, 3) motion of the lids until they meet, over the eyeball."""
    azimuth, row, y = mesh.azimuth, mesh.row, p[:, 1]
    _, low, high, _, _ = eye_rows(azimuth)
    t = (azimuth - INNER_CANTHUS) / (OUTER_CANTHUS - INNER_CANTHUS)
    window = smoothstep(t, -0.02, 0.08) * smoothstep(t, 1.02, 0.92)
    meet = low + 0.22 * (high - low)
    upper_skin = row >= ROW["upper_edge"] - 1e-9
    lower_skin = row <= ROW["lower_edge"] + 1e-9
    # the margin travels all the way, the crease a third, the brow not at all
    up = row - ROW["upper_lid"]
    share = np.where(up > 0, hermite(np.clip(up, 0, 2), (0, 0.5, 1, 1.5, 2), (1, 0.78, 0.42, 0.12, 0)), 1.0)
    goal = np.where(up <= 0, meet - 0.1 + (y - high), y + share * (meet - 0.1 - high))
    down = ROW["lower_lid"] - row
    share_low = hermite(np.clip(down, 0, 1), (0, 0.5, 1), (1, 0.4, 0))
    goal_low = np.where(down <= 0, meet + (y - low), y + share_low * (meet - low))
    new_y = np.where(upper_skin, goal, np.where(lower_skin, goal_low, y))
    new_y = y + (new_y - y) * window * ((row > ROW["orbit"] - 0.01) & (row < ROW["brow_low"] + 0.01))
    # stay as far outside the eyeball as the lid is thick
    a = np.deg2rad(azimuth)
    ball = sphere_radius(azimuth, new_y, EYE_RADIUS + LID_THICKNESS)
    before = p[:, 0] * np.sin(a) + p[:, 2] * np.cos(a)
    on_margin = np.exp(-np.clip(np.abs(up), 0, None) * 1.2)
    is_edge = (np.abs(row - ROW["upper_edge"]) < 1e-6) | (np.abs(row - ROW["lower_edge"]) < 1e-6)
    target = np.where(is_edge, ball - 0.6, np.maximum(before, ball + 0.1))
    moved = np.abs(new_y - y) > 1e-3
    part = np.where(is_edge, 1.0, np.maximum(share, on_margin))
    grow = np.where(moved, (target - before) * part, 0.0) * window
    grow = np.where((row > ROW["lower_edge"] + 1e-6) & (row < ROW["upper_edge"] - 1e-6), 0.0, grow)
    return np.stack([grow * np.sin(a), new_y - y, grow * np.cos(a)], -1)


def expression_basis(mesh: HeadMesh) -> Floats:
    """(n, 3, 12) displacements of the vertices in mm at full strength, in the order of `EXPRESSIONS`."""
    sign = np.where(mesh.mirrored, -1.0, 1.0)
    p = mesh.points * np.stack([sign, np.ones_like(sign), np.ones_like(sign)], -1)
    x, y, z = p.T
    azimuth, row = mesh.azimuth, mesh.row
    zero = np.zeros_like(x)
    skin = mesh.pocket == 0
    front = smoothstep(z, 10, 50)
    q = np.clip(azimuth / MOUTH_CORNER, 0, 1)
    soft = np.where(skin | (mesh.pocket <= 3) | (mesh.pocket >= 20), 1.0, 0.0)  # inner lips too, not teeth
    lower = row < ROW["lips"]

    def field(dx: float | Floats = 0.0, dy: float | Floats = 0.0, dz: float | Floats = 0.0) -> Floats:
        return np.stack([zero + dx, zero + dy, zero + dz], -1)

    jaw = jaw_weight(mesh, y)[:, None]
    jaw_open = jaw * turn_about_jaw(p, JAW_OPEN_DEGREES)
    sideways = smoothstep(y, -12, -60) * smoothstep(azimuth, 100, 58)  # closed lips move as one
    sideways = sideways * (1 - smoothstep(jaw_line(azimuth) - y, 0, 42))
    jaw_side = field(dx=6.0 * sideways * smoothstep(z, 0, 60))  # toward +x on both halves

    corner = bump(x, y, 25, -36, 19, 16) * front * soft
    along_lip = bump(x, y, 14, -36, 22, 12) * front * soft
    apple = bump(x, y, 38, -2, 17, 14) * front * skin
    smile = (
        field(dx=6.5 * q**1.5 * corner, dy=6.0 * q**2 * corner, dz=-3.0 * q**2 * corner)
        + field(dy=2.6 * apple, dz=2.6 * apple, dx=1.6 * apple)
        + field(dz=-2.0 * along_lip, dy=0.8 * along_lip)
        + field(dx=1.2 * bump(x, y, 14, -10, 9, 8) * front * skin)
    )
    lid = bump(x, y, 32, 21, 14, 4.5) * skin * (row < ROW["lower_edge"] + 0.01)
    smile = smile + field(dy=1.1 * lid)

    frown = field(dy=-6.0 * q**2 * corner, dx=0.8 * corner, dz=-0.8 * corner)
    frown = frown + field(dy=1.2, dz=1.4) * (bump(x, y, 0, -60, 18, 9) * front * skin)[:, None]

    mouth = bump(x, y, 0, -36, 30, 16) * front * soft
    pucker = field(dx=-0.40 * x * mouth, dz=7.5 * bump(x, y, 0, -36, 21, 12) * front * soft)
    pucker = pucker + field(dy=-0.12 * (y + 36) * mouth)

    arch = np.clip(1 - q * q, 0, 1)
    near = bump(x, y, 0, -36, 26, 11) * front * soft
    apart = field(dy=np.where(lower, -4.5, 3.4) * arch * near, dz=np.where(lower, 1.0, 0.8) * arch * near)

    above_eye = smoothstep(row, ROW["upper_lid"] + 0.4, ROW["brow_low"] + 0.4)
    brow = bump(x, y, 28, 49, 25, 12) * front * above_eye
    inner_brow = bump(x, y, 12, 47, 13, 11) * front * above_eye
    fold = bump(x, y, 30, 42, 22, 6) * front * smoothstep(row, ROW["upper_lid"] + 0.3, ROW["crease"] + 0.4)
    brows_up = field(dy=6.5 * brow + 1.5 * inner_brow + 1.2 * fold, dz=-0.8 * brow)
    brows_down = field(
        dy=-3.2 * inner_brow - 1.6 * brow, dx=-1.8 * inner_brow * smoothstep(x, 0, 10), dz=1.0 * inner_brow
    )
    brows_down = brows_down + field(dy=-0.8 * fold)

    eye = close_eye(mesh, p)

    puff = bump(x, y, 42, -32, 20, 19) * front * soft
    puffed = field(dx=8.0 * puff, dz=6.0 * puff) + field(dz=2.0 * bump(x, y, 0, -36, 22, 13) * front * soft)

    wrinkle = bump(x, y, 13, -2, 13, 12) * front * skin
    nose = field(dy=3.2 * wrinkle, dz=0.8 * wrinkle, dx=0.9 * wrinkle * smoothstep(x, 2, 12))
    nose = nose + field(dy=2.0 * bump(x, y, 12, -27, 13, 7) * front * soft * ~lower * arch)
    nose = nose + field(dy=-1.6 * inner_brow + 1.2 * lid)

    right = mesh.mirrored[:, None]  # the person's right eye lies at x < 0, to the image's left
    columns = [
        jaw_open,
        jaw_side,
        smile,
        frown,
        pucker,
        apart,
        brows_up,
        brows_down,
        eye * right,
        eye * ~right,
        puffed,
        nose,
    ]
    basis = np.stack(columns, -1)
    basis[mesh.mirrored, 0] *= -1
    basis[mesh.points[:, 0] == 0, 0] = 0.0  # the midline stays in its plane
    basis[:, :, 1] = field(dx=jaw_side[:, 0])  # but here both halves move the same way
    return basis
