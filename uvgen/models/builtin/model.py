"""The built-in model: a head modeled by formulas, free of any license, in every model's record."""

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import number_in
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.models.builtin.albedo import ALBEDO_NAMES, HAIRLINE, albedo, brow_line
from uvgen.models.builtin.expression import EXPRESSIONS, expression_basis
from uvgen.models.builtin.identity import IDENTITY_NAMES, identity_basis
from uvgen.models.builtin.mesh import HeadMesh, head_mesh, vertex_count
from uvgen.models.builtin.surface import EYE_CENTER, INNER_CANTHUS, MOUTH_CORNER, OUTER_CANTHUS, ROW, Floats, jaw_line
from uvgen.models.morphable import REGIONS, MorphableModel, make_model

DEFAULT_VERTICES = 10_800
_MICROMETERS = 1000.0
_UV_STEP = 2.0**-30
"""UV are multiples of it. NumPy's releases and processors' instructions differ in the last bits of sines and powers,
and the model would have another content hash with each."""


def density_scale(n_vertices: int) -> float:
    """The grid scale whose vertex count comes nearest to `n_vertices`; steps between grid lines are whole."""
    scales = np.arange(55, 270) / 100
    return float(scales[np.argmin([abs(vertex_count(scale) - n_vertices) for scale in scales])])


def builtin_model(n_vertices: int = DEFAULT_VERTICES) -> MorphableModel:
    """Build the head with about `n_vertices` vertices; the same surface at any density.

    Parameters
    ----------
    n_vertices : int
        Approximate number of vertices, 4,000 to 70,000. Grid lines come in whole numbers, so the model has a few
        per cent more or fewer.

    Returns
    -------
    MorphableModel
        In µm, x to the image's right, y up, z toward the viewer, origin between the ears; shape components
        `IDENTITY_NAMES` with unit standard deviation, expression components `EXPRESSION_NAMES` at full
        strength with the standard deviations of `EXPRESSIONS`, albedo components `ALBEDO_NAMES` with unit
        standard deviation. `triangles` cover the skin, clockwise seen from outside like the Basel model's;
        `mouth_triangles` are the inside of the mouth. Deterministic.

    Raises
    ------
    InputError
        If `n_vertices` is out of range.
    """
    number_in(n_vertices, "n_vertices", 4_000, 70_000)
    mesh = head_mesh(density_scale(n_vertices))
    color, color_basis = albedo(mesh)
    identity, expression = identity_basis(mesh), expression_basis(mesh)
    basis = np.concatenate([identity, expression], axis=-1) * _MICROMETERS
    return make_model(
        source="builtin",
        mean=mesh.points * _MICROMETERS,
        basis=basis,
        shape_std=np.ones(len(IDENTITY_NAMES)),
        expression_std=[strength[1] for strength in EXPRESSIONS],
        triangles=mesh.triangles[:, ::-1],
        mouth_triangles=mesh.pocket_triangles[:, ::-1],
        uv=np.round(mesh.uv / _UV_STEP) * _UV_STEP,  # u and 1 - u stay mirror images
        landmarks=landmarks(mesh),
        regions=regions(mesh),
        mirror=mesh.mirror,
        albedo_mean=color,
        albedo_basis=color_basis,
        albedo_std=np.ones(len(ALBEDO_NAMES)),
        name="builtin",
        sources={"origin": "uvgen's own formulas; no data from elsewhere"},
    )


def landmarks(mesh: HeadMesh) -> NDArray[np.int32]:
    """(68,) int32 vertices of the iBUG landmarks, 0..16 from the person's right ear round the chin."""
    skin = ~mesh.mirrored & (mesh.pocket == 0)
    front = skin & (mesh.points[:, 2] > 20)
    above, below = skin & (mesh.row >= ROW["lips"] - 1e-9), skin & (mesh.row < ROW["lips"] - 1e-9)

    def nearest(allowed: NDArray[np.bool_], *targets: tuple[Floats, float, float]) -> int:
        """The allowed vertex nearest to the wanted values, each with its weight."""
        distance = sum(((values - wanted) * weight) ** 2 for values, wanted, weight in targets)
        return int(np.argmin(np.where(allowed, distance, np.inf)))

    def at_row(row: float, azimuth: float, allowed: NDArray[np.bool_] = skin) -> int:
        return nearest(allowed, (mesh.row, row, 40.0), (mesh.azimuth, azimuth, 1.4))

    def at_height(y: float, azimuth: float) -> int:
        return nearest(skin, (mesh.points[:, 1], y, 1.0), (mesh.azimuth, azimuth, 1.4))  # 1.4 mm per degree

    def at_point(x: float, y: float) -> int:
        return nearest(front, (mesh.points[:, 0], x, 1.0), (mesh.points[:, 1], y, 1.0))

    found: dict[int, int] = {}  # the midline and the x > 0 half; the rest mirrors them
    chin = [
        at_height(float(jaw_line(np.float64(a))) + rise, a)
        for a, rise in ((0, 1.0), (14, 2.5), (30, 2.5), (45, 2.5), (59, 2.5))
    ]
    jaw = [at_height(y, a) for y, a in ((-36, 69), (-18, 74), (0, 76), (18, 77))]
    found.update(zip(range(8, 17), chin + jaw, strict=True))
    brow = [at_point(x, float(brow_line(np.float64(x))[0])) for x in (12.5, 20.5, 29.0, 38.5, 48.0)]
    found.update(zip(range(22, 27), brow, strict=True))
    found.update(zip(range(27, 31), [at_point(0.0, y) for y in (35.0, 22.0, 9.0, -5.5)], strict=True))
    nose = [at_point(x, y) for x, y in ((0.0, -15.5), (6.4, -15.0), (12.5, -13.5))]
    found.update(zip(range(33, 36), nose, strict=True))
    width = OUTER_CANTHUS - INNER_CANTHUS
    lids = [
        at_row(row, INNER_CANTHUS + share * width)
        for row, share in (
            (ROW["upper_lid"], 0.0),
            (ROW["upper_lid"], 0.30),
            (ROW["upper_lid"], 0.68),
            (ROW["upper_lid"], 1.0),
            (ROW["lower_lid"], 0.68),
            (ROW["lower_lid"], 0.30),
        )
    ]
    found.update(zip(range(42, 48), lids, strict=True))
    top, bottom, lips = ROW["upper_lip"], ROW["lower_lip"], ROW["lips"]
    for i, row, azimuth, side in (
        (51, top, 0.0, above),
        (52, top, 3.2, above),
        (53, top, 8.6, above),
        (54, lips, MOUTH_CORNER, above),
        (55, bottom, 9.6, below),
        (56, bottom, 4.6, below),
        (57, bottom, 0.0, below),
        (62, lips, 0.0, above),
        (63, lips, 4.8, above),
        (64, lips, 12.6, above),
        (65, lips, 4.8, below),
        (66, lips, 0.0, below),
    ):
        found[i] = at_row(row, azimuth, side)
    for i in list(found):
        found.setdefault(int(LANDMARK_MIRROR[i]), int(mesh.mirror[found[i]]))
    return np.array([found[i] for i in range(68)], np.int32)


def regions(mesh: HeadMesh) -> NDArray[np.uint8]:
    """(n,) uint8 labels of `REGIONS`: hair and the ears' backs are "other"."""
    label = REGIONS.index
    x, y, z = np.abs(mesh.points[:, 0]), mesh.points[:, 1], mesh.points[:, 2]
    out = np.full(len(x), label("other"), np.uint8)
    hairline = np.maximum(np.interp(mesh.azimuth, *HAIRLINE), 46)
    face = (mesh.azimuth <= 108.5) & (y <= hairline) & (y >= jaw_line(mesh.azimuth) - 2)
    out[face | (mesh.pocket > 0)] = label("face")
    out[y < jaw_line(mesh.azimuth) - 2] = label("neck")
    front = z > 40
    eye = np.hypot((x - EYE_CENTER[0]) / 21.0, (y - 31.0) / 12.0) < 1
    out[front & eye & face] = label("eyes")
    nose = (y > -17.5) & (y < 36) & (x < np.interp(y, (-17, -4, 10, 36), (19, 19, 14, 8)))
    out[front & nose & face] = label("nose")
    mouth = np.hypot(x / 31.0, (y + 36.5) / 15.0) < 1
    out[(front & mouth & (y < -17.5)) | (mesh.pocket > 0)] = label("mouth")
    return out
