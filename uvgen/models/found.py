"""What can be derived from a mesh alone, if a model's files lack it: UV and mirror pairs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError, ModelError
from uvgen.meshes.nearest import nearest_vertices
from uvgen.meshes.topology import boundary_loops, find_components, find_mirror
from uvgen.meshes.tutte import parameterize
from uvgen.models.assembled import AssembledModel

_NEAR_EDGE = 0.5  # share of the median edge within which a mirrored vertex finds its image
_MOST_PEELED = 8  # rounds of ears; more means a mesh of another kind
_MIRRORED = 0.5  # share of the vertices that must have one, for a mesh to be called symmetric


def found_uv(
    assembled: AssembledModel, landmarks: NDArray[Any], triangles: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.int32] | None, NDArray[np.bool_]]:
    """UV (n, 2), mirror pairs if the mesh is symmetric, and which triangles (m,) are to come last.

    The part of the mesh with most landmarks is parameterized, without its ears; vertices of other parts (eyeballs,
    teeth) and of ears get the UV of the nearest of that part.
    """
    mean = np.asarray(assembled.mean, np.float64)
    n = len(mean)
    own = _face_triangles(n, landmarks, triangles)
    if not own.any():
        raise ModelError(f"{assembled.source}: landmarks on vertices of no triangle, expected points of the mesh")
    try:
        own[own] = ~_ears(triangles[own])
    except InputError as error:
        raise ModelError(f"{assembled.source}: {error}") from error
    vertices = np.unique(triangles[own])
    inside = np.zeros(n, bool)
    inside[vertices] = True
    place = np.cumsum(inside) - 1
    found, reasons = None, []
    for symmetric in (True, False):
        try:
            found = parameterize(mean[vertices], place[triangles[own]], symmetric=symmetric)
            break
        except InputError as error:
            reasons.append(str(error))
    if found is None:
        raise ModelError(
            f"{assembled.source}: brings no UV, and none are found for its mesh ({reasons[-1]}); give them to `uvgen "
            "model convert` as argument `uv`, or a model of the same mesh that has them as argument `uv_from`"
        )
    uv, mirror = np.empty((n, 2)), np.full(n, -1, np.int32)
    uv[vertices] = found.uv
    if not inside.all():
        uv[~inside] = found.uv[nearest_vertices(mean[vertices], mean[~inside], exact=False)[1]]
    if found.mirror is None:
        return uv, None, ~own
    has = found.mirror >= 0
    mirror[vertices[has]] = vertices[found.mirror[has]]
    return uv, mirror, ~own


def _face_triangles(n: int, landmarks: NDArray[Any], triangles: NDArray[Any]) -> NDArray[np.bool_]:
    """(m,) which triangles are connected with most landmarks."""
    parts = find_components(n, triangles)
    usable = landmarks[(landmarks >= 0) & (landmarks < n)]
    face = np.bincount(parts[usable] if len(usable) else parts[triangles[:, 0]]).argmax()
    return np.asarray(parts[triangles[:, 0]] == face)


def _ears(triangles: NDArray[Any]) -> NDArray[np.bool_]:
    """(m,) triangles whose corners all lie on the outer boundary, and those that do once these are gone: on a side of
    the square they would be empty."""
    gone = np.zeros(len(triangles), bool)
    for _ in range(_MOST_PEELED):
        left = triangles[~gone]
        loops = boundary_loops(left, strict=False) if len(left) else []
        if not loops:
            break
        outer = np.zeros(int(triangles.max()) + 1, bool)
        outer[max(loops, key=len)] = True
        ears = outer[triangles].all(axis=1) & ~gone
        if not ears.any():
            break
        gone |= ears
    return gone


def found_mirror(mean: NDArray[np.float64], triangles: NDArray[Any]) -> NDArray[np.int32] | None:
    """(n,) mirror images by the mesh's connectivity, or else by place; None if most vertices have none."""
    try:
        return find_mirror(mean, triangles).astype(np.int32)
    except InputError:
        pass
    edges = np.linalg.norm(mean[triangles[:, 0]] - mean[triangles[:, 1]], axis=1)
    middle = (mean[:, 0].min() + mean[:, 0].max()) / 2
    distance, image = nearest_vertices(mean, mean * [-1, 1, 1] + [2 * middle, 0, 0])
    paired = (distance < _NEAR_EDGE * np.median(edges)) & (image[image] == np.arange(len(mean)))
    return np.where(paired, image, -1).astype(np.int32) if paired.mean() > _MIRRORED else None
