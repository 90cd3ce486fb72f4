"""A model re-sampled on a regular UV grid, so that its vertices are texels.

From Bas et al., 3D Morphable Models as Spatial Transformer Networks (2017), whose model is one like it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.maps.atlas import build_atlas, texel_coordinates
from uvgen.maps.landmarks import closest_texels
from uvgen.meshes.tutte import signed_areas
from uvgen.models.morphable import MorphableModel, make_model

_FAR = 1.5  # texels between a landmark and the one it goes to
_FEWEST = 64  # texels of the 68 landmarks: 3DMMasSTN's own at 112 × 112 are 67


def resample_model(model: MorphableModel, size: int) -> MorphableModel:
    """Resample a model on the regular grid of its UV coordinates: vertices become texels.

    Parameters
    ----------
    model : MorphableModel
        With UV coordinates in [0, 1].
    size : int
        Texels along each side, as for `uvgen.build_atlas`.

    Returns
    -------
    MorphableModel
        size² vertices in row-major texel order (column u * (size - 1), row (size - 1) * (1 - v)),
        two triangles for each square of four texels, turned as the model's are, no mouth triangles. Landmarks
        go to the texels that lie closest to them in space, regions come from the nearest vertex, everything else
        is interpolated. Texels that no triangle covers take the nearest covered one's place on the mesh.

    Raises
    ------
    InputError
        If the size is out of range, or too small for the landmarks to have texels where they lie.
    """
    atlas, n = build_atlas(model, size), len(model.mean)
    triangles = np.concatenate([model.triangles, model.mouth_triangles])
    texel_uv = np.stack(np.meshgrid(np.linspace(0, 1, size), np.linspace(1, 0, size)), -1).reshape(-1, 2)
    corners, weights = atlas.vertices, atlas.weights

    from scipy.sparse import csr_array

    sampler = csr_array(
        (weights.ravel(), corners.ravel(), np.arange(0, 3 * len(corners) + 1, 3)), shape=(len(corners), n)
    ).astype(np.float32)

    def sampled(values: NDArray[Any] | None) -> NDArray[np.float32] | None:
        if values is None:
            return None
        flat = np.asarray(values, np.float32).reshape(n, -1)
        return np.ascontiguousarray((sampler @ flat).reshape(len(corners), *values.shape[1:]), np.float32)

    where = texel_coordinates(model.uv[model.landmarks], size)
    row_column = closest_texels(model, size)
    far = np.abs(row_column[:, ::-1] - where).max(axis=1) > _FAR
    row_column[far] = np.rint(where[far, ::-1])  # rather a texel for two than one that lies elsewhere
    landmarks = row_column[:, 0] * size + row_column[:, 1]
    if len(np.unique(landmarks)) < _FEWEST:
        raise InputError(
            f"size: {size} texels, expected enough for the 68 landmarks to lie on {_FEWEST} texels or more; choose a "
            "larger size"
        )
    texel = np.arange(size * size, dtype=np.int32).reshape(size, size)
    a, b, c, d = texel[1:, :-1], texel[1:, 1:], texel[:-1, 1:], texel[:-1, :-1]  # counter-clockwise, v up
    left = np.arange(size - 1)[None, :] < (size - 1) / 2  # diagonals mirror about u = 0.5
    first = np.where(left[..., None], np.stack([a, b, c], -1), np.stack([a, b, d], -1))
    second = np.where(left[..., None], np.stack([a, c, d], -1), np.stack([b, c, d], -1))
    faces = np.stack([first, second], 2).reshape(-1, 3)
    if np.median(signed_areas(model.uv, triangles)) < 0:
        faces = faces[:, ::-1]
    mirrored = texel[:, ::-1].ravel() if model.mirror is not None else None
    nearest = atlas.nearest_vertices
    return make_model(
        source=f"{model.name} at {size} x {size}",
        mean=sampled(model.mean),
        basis=sampled(model.basis),
        shape_std=model.shape_std,
        expression_std=model.expression_std,
        triangles=np.ascontiguousarray(faces, np.int32),
        mouth_triangles=np.zeros((0, 3), np.int32),
        uv=texel_uv,
        landmarks=landmarks.astype(np.int32),
        regions=None if model.regions is None else model.regions[nearest],
        mirror=None if mirrored is None else np.ascontiguousarray(mirrored),
        albedo_mean=sampled(model.albedo_mean),
        albedo_basis=sampled(model.albedo_basis),
        albedo_std=model.albedo_std,
        name=f"{model.name} at {size} x {size}",
        sources=dict(model.sources),
    )
