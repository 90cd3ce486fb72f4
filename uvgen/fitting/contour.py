"""Where the face ends in a picture: what the jaw points of turned faces mark in annotations of the 2D kind.

A jaw point whose own vertex is turned away slides: it marks the silhouette that hides it. The silhouette is where the
surface of the face, as the camera sees it, is seen edge-on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uvgen.geometry import N_JAW
from uvgen.models.morphable import REGIONS, MorphableModel
from uvgen.rasterize.shading import vertex_normals

_EDGE_ON = 0.12  # largest cosine between the normal and the view of what counts as silhouette
_AWAY = 0.05  # cosine below which a jaw vertex is turned away
_FACING = 0.1  # cosine above which a vertex of the mean face, seen from the front, belongs to its front
_CELL = 0.03  # as a share of the face's size: at most one vertex is taken from each cube of this size
_FEATURES = ("mouth", "eyes", "nose")


@dataclass(frozen=True, slots=True, eq=False)
class Contour:
    """The c vertices of a model that may lie on the silhouette of its face.

    Attributes
    ----------
    vertices : (c,) int64
        Indices of these vertices.
    normals : (c, 3) float64
        Of the mean face, unit length, outward, model frame.
    jaw_normals : (17, 3) float64
        The same for the jaw landmarks.
    """

    vertices: NDArray[np.int64]
    normals: NDArray[np.float64]
    jaw_normals: NDArray[np.float64]

    @classmethod
    def of_model(cls, model: MorphableModel) -> "Contour":
        """The front of the face within jaw and brows, without eyes, nose and mouth."""
        mean = model.mean.astype(np.float64)
        normals = mean_face_normals(model)
        outline = model.landmarks[[*range(N_JAW), *range(26, 16, -1)]]
        within = inside(mean[:, :2], mean[outline, :2]) & (normals[:, 2] > _FACING)
        if model.regions is not None:
            within &= ~np.isin(model.regions, [REGIONS.index(name) for name in _FEATURES])
        else:
            for ring in (range(36, 42), range(42, 48), range(48, 60), (27, 35, 33, 31)):
                within &= ~inside(mean[:, :2], mean[model.landmarks[list(ring)], :2])
        chosen = np.flatnonzero(within)
        cell = _CELL * float(np.sqrt(np.ptp(mean[model.landmarks, :2], axis=0).prod()))
        _, first = np.unique(np.floor(mean[chosen] / cell), axis=0, return_index=True)
        chosen = chosen[np.sort(first)]
        return cls(chosen, normals[chosen], normals[model.landmarks[:N_JAW]])

    def seen_along(self, rotation: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which jaw points slide along the silhouette, and which vertices it consists of.

        Parameters
        ----------
        rotation : (3, 3) float64
            Model to camera; z points to the viewer.

        Returns
        -------
        (j,) int64
            Jaw points whose own vertices are turned away.
        (e,) int64
            Which of the contour's vertices are seen edge-on.
        """
        away = np.flatnonzero(self.jaw_normals @ rotation[2] < _AWAY)
        return away, np.flatnonzero(np.abs(self.normals @ rotation[2]) < _EDGE_ON) if len(away) else away[:0]

    def nearest(
        self,
        rotation: NDArray[np.float64],
        edge: NDArray[np.int64],
        points: NDArray[np.float64],
        target: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The places on the silhouette of a face that are nearest to points.

        Parameters
        ----------
        rotation : (3, 3) float64
            Model to camera.
        edge : (e,) int64
            Which of the contour's vertices are on the silhouette, at least one.
        points : (e, 2) float64
            These in the picture, y up.
        target : (j, 2) float64
            Points in the picture.

        Returns
        -------
        (j,) int64
            Which of the contour's vertices.
        (j, 2) float64
            Unit normals of the silhouette there, in the picture.
        """
        difference = points - target[:, None]
        chosen = edge[(difference * difference).sum(axis=2).argmin(axis=1)]
        flat = self.normals[chosen] @ rotation[:2].T
        return chosen, flat / np.linalg.norm(flat, axis=1, keepdims=True)


def mean_face_normals(model: MorphableModel) -> NDArray[np.float64]:
    """(n, 3) unit normals of the mean face, whichever way the file's triangles turn."""
    normals = vertex_normals(model.mean, model.triangles).astype(np.float64)
    front = normals[model.landmarks[27:31], 2].sum()  # the bridge of the nose faces the viewer
    return normals if front > 0 else -normals


def inside(points: NDArray[np.float64], polygon: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) which points (n, 2) lie within a polygon (m, 2), by counting the edges that a ray to the right crosses."""
    found = np.zeros(len(points), bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if ay == by:
            continue
        spans = (points[:, 1] < ay) != (points[:, 1] < by)
        found ^= spans & (points[:, 0] < ax + (points[:, 1] - ay) * (bx - ax) / (by - ay))
    return found
