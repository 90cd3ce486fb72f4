"""Neck and clothes below a rendered head, and hair if the model ends at the face: stand-ins without labels.

Clothes and neck are drawn behind the model wherever they overlap, hair where it is less than 25 mm in front of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uvgen.geometry import rotation_matrices
from uvgen.models.morphable import MorphableModel

_SEGMENTS = 40
_FACE_HEIGHT = 115.0  # mm from the nasion to the chin of the figure below
# Rings of y (down from the chin), half width and half depth, mm.
_CLOTHES = (
    (-44, 5, 5), (-36, 60, 59), (-37, 64, 62), (-41, 69, 67), (-46, 73, 70), (-52, 90, 78), (-60, 118, 86),
    (-69, 150, 94), (-80, 180, 100), (-95, 203, 104), (-125, 217, 107), (-300, 226, 112), (-600, 230, 114),
)  # fmt: skip
_NECK = ((45, 56, 52), (0, 54, 50), (-34, 52, 48), (-90, 52, 48))
_SKULL = (122.0, 82.0, 97.0, 106.0)  # center above the chin, half width, half height, half depth
_SKULL_AHEAD = 14.0  # of the neck's axis
_YIELDS = 25.0  # mm
PARTS = ("clothes", "hair", "skin")


@dataclass(frozen=True, slots=True, eq=False)
class Mannequin:
    """A mesh in the model frame that moves with the head, its upper part more than its lower.

    Attributes
    ----------
    points : (n, 3) float64
        µm, relative to `pivot`.
    pivot : (3,) float64
        The neck's foot, which stays with the head; model frame, µm.
    triangles : (m, 3) int32
        Clockwise in the image frame seen from outside.
    part : (n,) uint8
        Index into `PARTS`.
    openness : (n,) float32
        Share of the surroundings' light that arrives.
    yields : float
        How far behind its place hair is drawn, µm.
    """

    points: NDArray[np.float64]
    pivot: NDArray[np.float64]
    triangles: NDArray[np.int32]
    part: NDArray[np.uint8]
    openness: NDArray[np.float32]
    yields: float

    def posed(
        self, affine: NDArray[np.float64], pose: NDArray[np.float64], nearest_behind: float
    ) -> NDArray[np.float64]:
        """(n, 3) in the image frame: hair and neck turn with the head, clothes a third as far, upright.

        `affine` (3, 4) and `pose` (7,) are the head's; all but hair ends up with z below `nearest_behind`.
        """
        scale = float(pose[6])
        trunk = rotation_matrices([[0.0, pose[1] / 3, pose[2] / 5]])[0] * [[scale], [-scale], [scale]]
        clothes = self.part == PARTS.index("clothes")
        turned = np.where(clothes[:, None], self.points @ trunk.T, self.points @ affine[:, :3].T)
        turned += affine[:, :3] @ self.pivot + affine[:, 3]
        behind = self.part != PARTS.index("hair")
        turned[:, 2] -= np.where(behind, turned[behind, 2].max() - nearest_behind, self.yields * scale)
        return turned


def mannequin(model: MorphableModel) -> Mannequin:
    """The figure that fits a model's mean face."""
    landmarks = model.mean[model.landmarks].astype(np.float64)
    chin, nasion, ears = landmarks[8], landmarks[27], landmarks[[0, 16]].mean(axis=0)
    unit = float(np.linalg.norm(nasion - chin)) / _FACE_HEIGHT
    axis = np.array([ears[0], chin[1], ears[2] - 35 * unit])
    is_mask = bool(model.mean[:, 2].min() > ears[2] - 60 * unit)  # without a back of the head, and hardly a neck
    neck = _NECK if is_mask else _NECK[2:]
    meshes = [_rings(_CLOTHES), _rings(neck)]
    openness = [np.repeat(np.linspace(0.45, 1, len(_CLOTHES)), _SEGMENTS), np.full(len(neck) * _SEGMENTS, 0.45)]
    parts = [PARTS.index("clothes"), PARTS.index("skin")]
    if is_mask:
        up, width, height, depth = _SKULL
        angles = np.linspace(0.02, np.pi - 0.02, 24)
        skull = [(up + height * np.cos(a), width * np.sin(a), depth * np.sin(a)) for a in angles]
        head, sides = _rings(skull)
        meshes.append((head + [0, 0, _SKULL_AHEAD], sides))
        openness.append(np.ones(len(head)))
        parts.append(PARTS.index("hair"))
    starts = np.cumsum([0, *(len(points) for points, _ in meshes)])
    points = np.concatenate([points for points, _ in meshes]) * unit
    pivot = axis + [0, _CLOTHES[0][0] * unit, 0]
    return Mannequin(
        points=points + axis - pivot,
        pivot=pivot,
        triangles=np.concatenate([t + s for (_, t), s in zip(meshes, starts, strict=False)]).astype(np.int32),
        part=np.repeat(np.array(parts, np.uint8), [len(points) for points, _ in meshes]),
        openness=np.concatenate(openness).astype(np.float32),
        yields=_YIELDS * unit,
    )


def _rings(rings: Sequence[tuple[float, float, float]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points and triangles of a tube through ellipses, from the top down."""
    y, width, depth = np.array(rings, np.float64).T[:, :, None]
    angle = np.linspace(0, 2 * np.pi, _SEGMENTS, endpoint=False)
    points = np.stack([width * np.sin(angle), y + 0 * angle, depth * np.cos(angle)], axis=-1).reshape(-1, 3)
    upper = np.arange((len(rings) - 1) * _SEGMENTS).reshape(-1, _SEGMENTS)
    beside, lower = np.roll(upper, -1, axis=1), upper + _SEGMENTS
    corner = np.roll(lower, -1, axis=1)
    triangles = np.stack([[upper, beside, corner], [upper, corner, lower]]).reshape(2, 3, -1)
    return points, triangles.transpose(0, 2, 1).reshape(-1, 3)
