"""How people's heads differ: displacement fields over the built-in head at one standard deviation, in mm.

Standard deviations of breadths and heights follow the adult spreads of anthropometric surveys (3 to 4 % of a
breadth, about 2 to 3 mm on the nose and mouth); the fields themselves are our own formulas.
"""

import numpy as np

from uvgen.models.builtin.mesh import HeadMesh
from uvgen.models.builtin.surface import EYE_CENTER, Floats, bump, smoothstep

IDENTITY_NAMES = (
    "head size",
    "head width",
    "head depth",
    "face height",
    "cranium height",
    "forehead slope",
    "jaw width",
    "jaw angle height",
    "chin height",
    "chin protrusion",
    "chin width",
    "nose length",
    "nose protrusion",
    "nose width",
    "nose bridge",
    "nose tip angle",
    "eye distance",
    "eye size",
    "eye tilt",
    "eye depth",
    "brow height",
    "brow ridge",
    "cheekbones",
    "cheek fullness",
    "lip thickness",
    "mouth width",
    "upper lip length",
    "lip protrusion",
    "ear size",
    "ear protrusion",
    "neck width",
    "midface protrusion",
)


def identity_basis(mesh: HeadMesh) -> Floats:
    """(n, 3, 32) displacements of the vertices in mm, in the order of `IDENTITY_NAMES`, mirror-symmetric.

    Every field depends on the point alone, so that points which coincide (the closed lips) stay together.
    """
    p = mesh.points * np.where(mesh.mirrored[:, None], [-1.0, 1, 1], 1.0)  # the x >= 0 half's formulas serve both
    x, y, z = p.T
    zero = np.zeros_like(x)
    front = smoothstep(z, 0, 50)
    eye = np.sqrt((x - EYE_CENTER[0]) ** 2 + ((y - EYE_CENTER[1]) * 1.3) ** 2)
    eye = smoothstep(eye, 34, 15) * smoothstep(z, 25, 50)  # 1 over the lids and eyeball: they move as one
    # a soft box about the nose, 1 on the wings and tip
    nose = bump(x, y, 0, -6, 19, 15) * smoothstep(z, 84, 100)
    bridge = bump(x, y, 0, 14, 11, 15) * smoothstep(z, 84, 98)
    jaw = smoothstep(y, 5, -45) * smoothstep(y, -118, -88) * smoothstep(z, -45, 5)
    chin = bump(x, y, 0, -72, 24, 17) * smoothstep(z, 40, 75)
    mouth = bump(x, y, 0, -36, 32, 17) * smoothstep(z, 40, 70)
    ear = (
        smoothstep(mesh.azimuth, 78, 90)
        * smoothstep(mesh.azimuth, 122, 110)
        * smoothstep(y, -30, -14)
        * smoothstep(y, 56, 42)
    )
    side = smoothstep(x, 20, 62)
    lip_gap = y + 35.6
    lip_window = bump(x, y, 0, -36, 25, 13) * smoothstep(z, 60, 80)

    def field(dx: float | Floats = 0.0, dy: float | Floats = 0.0, dz: float | Floats = 0.0) -> Floats:
        return np.stack([zero + dx, zero + dy, zero + dz], -1)

    columns = [
        0.028 * (p - [0, 0, 10]),
        field(dx=0.034 * x),
        field(dz=0.032 * z),
        field(dy=0.030 * (y - 30) * smoothstep(y, -120, -90)),
        field(dy=0.035 * np.clip(y - 55, 0, None)),
        field(dz=-3.5 * smoothstep(y, 45, 100) * smoothstep(z, -60, 40)),
        field(dx=3.6 * jaw * side),
        field(dy=4.0 * jaw * side, dx=0.8 * jaw * side),
        field(dy=-3.2 * smoothstep(y, -42, -72) * smoothstep(z, 10, 60) * smoothstep(y, -125, -95)),
        field(dz=2.8 * chin),
        field(dx=0.10 * x * chin, dz=0.6 * chin * smoothstep(x, 4, 16)),
        field(dy=-2.6 * nose),
        field(dz=2.2 * nose + 1.2 * bridge),
        field(dx=0.105 * x * bump(x, y, 0, -7, 22, 14) * smoothstep(z, 80, 92)),
        field(dz=1.6 * bridge, dx=0.03 * x * bridge),
        field(dy=2.2 * bump(x, y, 0, -4, 10, 8) * smoothstep(z, 100, 112)),
        field(dx=1.6 * eye),
        eye[:, None] * (p - EYE_CENTER) * 0.050,
        eye[:, None] * field(dx=-(y - EYE_CENTER[1]), dy=x - EYE_CENTER[0]) * np.deg2rad(2.5),
        field(dz=1.4 * eye),
        field(dy=1.7 * bump(x, y, 28, 47, 26, 8) * front),
        field(dz=1.5 * bump(x, y, 22, 46, 22, 7) * front + 0.5 * bump(x, y, 0, 46, 14, 8) * front),
        field(dx=2.0 * bump(x, y, 54, 6, 20, 14), dz=1.4 * bump(x, y, 50, 6, 20, 14) * front),
        field(dx=2.4 * bump(x, y, 50, -28, 22, 20) * front, dz=1.2 * bump(x, y, 44, -26, 20, 20) * front),
        field(dy=0.15 * lip_gap * lip_window, dz=0.8 * bump(x, y, 0, -36, 19, 9) * smoothstep(z, 70, 85)),
        field(dx=0.075 * x * mouth),
        field(dy=-1.8 * bump(x, y, 0, -38, 40, 15) * smoothstep(z, 35, 70)),
        field(dz=1.5 * bump(x, y, 0, -36, 22, 13) * smoothstep(z, 50, 80)),
        ear[:, None] * (p - [66, 12, -2]) * [0.02, 0.07, 0.07],
        field(dx=2.6 * ear * smoothstep(z, 8, -28), dz=0.6 * ear * smoothstep(z, 8, -28)),
        field(dx=0.05 * x * smoothstep(y, -55, -105), dz=0.04 * (z + 12) * smoothstep(y, -55, -105)),
        field(dz=2.0 * bump(x, y, 0, -12, 42, 30) * front),
    ]
    basis = np.stack(columns, -1)
    basis[mesh.mirrored, 0] *= -1
    basis[mesh.points[:, 0] == 0, 0] = 0.0  # the midline stays in its plane
    return basis
