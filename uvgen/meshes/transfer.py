"""Expressions known at some vertices of a mesh, extended to the others.

From Bas et al., 3D Morphable Models as Spatial Transformer Networks (2017), who carry expressions into the mouth of
the Basel model by a Laplace-Beltrami solve.
"""

import numpy as np

from uvgen.checks import as_array, check_array, float64_array
from uvgen.errors import InputError
from uvgen.meshes.harmonic import factors, laplacian
from uvgen.meshes.topology import check_disk
from uvgen.wording import count


def transfer_expressions(
    vertices: np.ndarray, triangles: np.ndarray, known: np.ndarray, displacements: np.ndarray
) -> np.ndarray:
    """Extend displacements known on some vertices smoothly to the others, by a Laplace-Beltrami solve.

    Each component of each displacement becomes harmonic on the surface where it is unknown: as smooth as the
    known ones around it allow, and within their range.

    Parameters
    ----------
    vertices : (n, 3) array
        The neutral surface, any unit. Vertices in no triangle, as model files have them, keep what is known of them, or
        move as the nearest vertex of the surface does.
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
        If indices are out of range or repeated, shapes differ, or nothing on the surface is known.
    """
    v, t = np.ascontiguousarray(float64_array(vertices, "vertices", ("n", 3))), as_array(triangles, "triangles")
    on_mesh = _vertices_of(v, t)
    if len(on_mesh) == len(v):
        v, t = check_disk(v, t)
    else:
        place = np.full(len(v), -1)
        place[on_mesh] = np.arange(len(on_mesh))
        _, t = check_disk(v[on_mesh], place[t])
        t = on_mesh[t]
    k = as_array(known, "known")
    given = as_array(displacements, "displacements")
    check_array(k, "known", (-1,), kind="integers", note="vertices")
    if k.min() < 0 or k.max() >= len(v) or len(np.unique(k)) < len(k):
        found = f"{count(len(k), 'vertex')}, {len(np.unique(k))} of them distinct, {k.min()} to {k.max()}"
        raise InputError(f"known: {found}, expected distinct ones of 0 to {len(v) - 1}")
    check_array(given, "displacements", (len(k), 3), (len(k), 3, "e"), kind="real numbers")
    flat = given.reshape(len(k), -1).astype(np.float64)
    out = np.zeros((len(v), flat.shape[1]))
    out[k] = flat
    unknown, held = np.setdiff1d(on_mesh, k), np.intersect1d(on_mesh, k)
    if len(unknown):
        if not len(held):
            raise InputError("known: none of them lies in a triangle, expected one or more on the surface")
        matrix = laplacian(v, t)
        right = -(matrix[unknown][:, held] @ out[held])
        out[unknown] = factors(matrix[unknown][:, unknown].tocsc()).solve(np.ascontiguousarray(right))
    loose = np.setdiff1d(np.arange(len(v)), np.concatenate([on_mesh, k]))
    if len(loose):
        from scipy.spatial import KDTree

        out[loose] = out[on_mesh[KDTree(v[on_mesh]).query(v[loose])[1]]]
    dtype = given.dtype if given.dtype.kind == "f" else np.float64
    return out.reshape(len(v), *given.shape[1:]).astype(dtype)


def _vertices_of(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Vertices in triangles, sorted; all of them if the arrays are none of a mesh, which `check_disk` then says."""
    everything = np.arange(len(vertices)) if vertices.ndim else np.arange(0)
    good = triangles.dtype.kind in "iu" and triangles.ndim == 2 and triangles.size > 0 and vertices.ndim == 2
    return (
        np.intersect1d(everything, triangles)
        if good and 0 <= triangles.min() <= triangles.max() < len(everything)
        else everything
    )
