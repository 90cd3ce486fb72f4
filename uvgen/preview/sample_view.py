"""`SampleView`: a sample, and what is computed of its map once for all pictures of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen import rasterize
from uvgen.errors import DatasetError
from uvgen.preview.drawing import PANEL

_FACING = 0.12  # a surface seen at a flatter angle than this cosine counts as hidden: one pixel covers much of it
_DEPTH_TOLERANCE = 0.008  # panel widths; rounding to pixels makes a surface hide itself by less

_MOST_CROPS = 100.0


def check_map(position_map: NDArray[np.floating[Any]], crop_size: int, name: str) -> None:
    """Raise DatasetError if a map cannot be drawn: it is not finite, or leads hundreds of crops away."""
    reach = float(np.abs(position_map).max(initial=0))
    if not reach < _MOST_CROPS * crop_size:
        what = f"leads {reach:g} px away" if np.isfinite(reach) else "holds NaN or infinity"
        raise DatasetError(f"{name}: its map {what}, expected px of a crop of {crop_size}; run `uvgen verify`")


@dataclass(frozen=True, slots=True, eq=False)
class SampleView:
    """One sample and what follows from its map. U texels and R crop pixels along each side.

    Attributes
    ----------
    crop : (R, R, 3) uint8
        RGB.
    position_map : (U, U, 3) float32
        x, y, z in crop px.
    points : (U, U, 3) float32
        The same in px of a panel.
    coverage, face : (U, U) bool
        Texels on the mesh, and those of them with a weight.
    normals : (U, U, 3) float32
        Unit normals in the image frame; zeros outside the coverage.
    seen : (U, U) bool
        Covered texels that nothing hides.
    triangles : (m, 3) int32
        The surface between the covered texels, which are numbered row by row.
    angles_rad : (3,) float
        Pitch, yaw and roll of the head as the crop shows it, turned and mirrored as it is: `crop_pose`'s.
    annotated : (68, 2) float32 or None
        The annotated landmarks in px of a panel, NaN where there is none; None if the set has no annotations.
    """

    crop: NDArray[np.uint8]
    position_map: NDArray[np.float32]
    points: NDArray[np.float32]
    coverage: NDArray[np.bool_]
    face: NDArray[np.bool_]
    normals: NDArray[np.float32]
    seen: NDArray[np.bool_]
    triangles: NDArray[np.int32]
    angles_rad: NDArray[np.floating[Any]]
    annotated: NDArray[np.floating[Any]] | None = None

    @classmethod
    def of(
        cls,
        sample: dict[str, Any],
        coverage: NDArray[np.bool_],
        weights: NDArray[np.floating[Any]],
        triangles: NDArray[np.int32] | None = None,
    ) -> "SampleView":
        """From a sample as a `uvgen.shards.reader.ShardReader` gives it, and the set's constants.

        `triangles` are those of `rasterize.mesh_from_map` for the coverage, the same for all samples of a set.

        Raises DatasetError if the map is not finite, or leads far from the crop.
        """
        crop, position_map = sample["image"], sample["posmap"]
        check_map(position_map, crop.shape[0], sample["name"])
        half = np.array([0.5, 0.5, 0], np.float32)  # pixel centers are integers, in the crop and in the panel
        points = (position_map + half) * np.float32(PANEL / crop.shape[0]) - half
        if triangles is None:
            triangles = rasterize.mesh_from_map(points, coverage)[1]
        vertices = points[coverage]
        normals = np.zeros_like(points)
        normals[coverage] = rasterize.vertex_normals(vertices, triangles)
        low = np.floor(vertices[:, :2].min(axis=0))  # necks leave the crop and may hide what is in it
        size = np.clip(np.ceil(vertices[:, :2].max(axis=0) - low), 1, 4 * PANEL).astype(int) + 1
        shifted = vertices - np.array([*low, 0], np.float32)
        seen = normals[..., 2] > _FACING
        seen[coverage] &= rasterize.visible_vertices(
            shifted, triangles, size=(int(size[1]), int(size[0])), tolerance=_DEPTH_TOLERANCE * PANEL
        )
        face = coverage & (weights > 0)
        if not face.any():  # a mask of the user's own, of zeros
            face = coverage
        annotated = sample.get("annotated_landmarks")
        if annotated is not None:
            annotated = (annotated[:, :2] + half[:2]) * np.float32(PANEL / crop.shape[0]) - half[:2]
        angles = sample["crop_pose"][:3]
        return cls(crop, position_map, points, coverage, face, normals, seen, triangles, angles, annotated)
