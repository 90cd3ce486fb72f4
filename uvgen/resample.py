"""A model on a regular UV grid, and expressions carried to vertices that lack them.

Both come from Bas et al., 3D Morphable Models as Spatial Transformer Networks (2017): its model is re-sampled
so that vertices are texels, and its expressions are carried into the mouth by a Laplace-Beltrami solve.
"""

import numpy as np

from uvgen._harmonic import laplacian
from uvgen.atlas import build_atlas
from uvgen.errors import InputError
from uvgen.masks import landmark_texels
from uvgen.model import MorphableModel, make_model
from uvgen.topology import check_disk

__all__ = ["resample_model", "transfer_expressions"]


def resample_model(model: MorphableModel, size: int) -> MorphableModel:
    """Re-sample a model on the regular grid of its UV coordinates: vertices become texels.

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
        go to the nearest texel, regions come from the nearest vertex, everything else is interpolated. Texels
        that no triangle covers take the nearest covered one's place on the mesh.

    Raises
    ------
    InputError
        Where the size is too small or two landmarks would share a texel.
    """
    n = len(model.mean)
    triangles = np.concatenate([model.triangles, model.mouth_triangles])
    texel_uv = np.stack(np.meshgrid(np.linspace(0, 1, size), np.linspace(1, 0, size)), -1).reshape(-1, 2)
    atlas = build_atlas(model, size)
    corners, weights = atlas.vertices, atlas.weights

    from scipy.sparse import csr_array

    sampler = csr_array(
        (weights.ravel(), corners.ravel(), np.arange(0, 3 * len(corners) + 1, 3)), shape=(len(corners), n)
    ).astype(np.float32)

    def sampled(values):
        if values is None:
            return None
        flat = np.asarray(values, np.float32).reshape(n, -1)
        return np.ascontiguousarray((sampler @ flat).reshape(len(corners), *values.shape[1:]), np.float32)

    row, column = landmark_texels(model, size).T
    landmarks = row * size + column
    if len(np.unique(landmarks)) < len(landmarks):
        raise InputError(f"at {size} x {size} texels two landmarks fall on one texel: take a larger size")
    texel = np.arange(size * size, dtype=np.int32).reshape(size, size)
    a, b, c, d = texel[1:, :-1], texel[1:, 1:], texel[:-1, 1:], texel[:-1, :-1]  # counter-clockwise, v up
    left = np.arange(size - 1)[None, :] < (size - 1) / 2  # diagonals mirror about u = 0.5
    first = np.where(left[..., None], np.stack([a, b, c], -1), np.stack([a, b, d], -1))
    second = np.where(left[..., None], np.stack([a, c, d], -1), np.stack([b, c, d], -1))
    faces = np.stack([first, second], 2).reshape(-1, 3)
    p, q, r = (np.asarray(model.uv)[triangles[:, i]] for i in range(3))
    if np.median((q - p)[:, 0] * (r - p)[:, 1] - (q - p)[:, 1] * (r - p)[:, 0]) < 0:
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


def transfer_expressions(
    vertices: np.ndarray, triangles: np.ndarray, known: np.ndarray, displacements: np.ndarray
) -> np.ndarray:
    """Extend displacements known on some vertices smoothly to the others, by a Laplace-Beltrami solve.

    Each component of each displacement becomes harmonic on the surface where it is unknown: as smooth as the
    known ones around it allow, and within their range.

    Parameters
    ----------
    vertices : (n, 3) array
        The neutral surface, any unit.
    triangles : (m, 3) integer array
        0-based.
    known : (k,) integer array
        Vertices whose displacements are given, each once.
    displacements : (k, 3, e) or (k, 3) array
        Their displacements, for e expressions.

    Returns
    -------
    (n, 3, e) or (n, 3) float array
        The given rows unchanged.

    Raises
    ------
    InputError
        Where indices are out of range or repeated, or shapes differ.
    """
    from scipy.sparse.linalg import splu

    v, t = check_disk(vertices, triangles)
    k = np.asarray(known)
    given = np.asarray(displacements)
    if k.ndim != 1 or len(k) == 0 or not np.issubdtype(k.dtype, np.integer):
        raise InputError(f"known has shape {k.shape} and type {k.dtype}; expected (k,) vertices")
    if k.min() < 0 or k.max() >= len(v) or len(np.unique(k)) < len(k):
        raise InputError(f"known runs from {k.min()} to {k.max()}; expected distinct, 0 to {len(v) - 1}")
    if given.ndim not in (2, 3) or given.shape[:2] != (len(k), 3):
        raise InputError(f"displacements have shape {given.shape}; expected ({len(k)}, 3[, e])")
    flat = given.reshape(len(k), -1).astype(np.float64)
    out = np.zeros((len(v), flat.shape[1]))
    out[k] = flat
    unknown = np.setdiff1d(np.arange(len(v)), k)
    if len(unknown):
        matrix = laplacian(v, t)
        right = -(matrix[unknown][:, k] @ flat)
        out[unknown] = splu(matrix[unknown][:, unknown].tocsc()).solve(np.ascontiguousarray(right))
    dtype = given.dtype if given.dtype.kind == "f" else np.float64
    return out.reshape(len(v), *given.shape[1:]).astype(dtype)
