"""Landmarks of a scan from a face detector: the scan is drawn, and the landmarks in the picture are lifted onto it."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.fitting.scans.fit import fit_to_landmarks
from uvgen.fitting.scans.template import Template
from uvgen.geometry import N_JAW
from uvgen.meshes.scans import cleaned_scan, outward_normals
from uvgen.rasterize import interpolate, rasterize
from uvgen.samples.landmark_schemes import FaceLandmarks, to_68
from uvgen.similarity import Similarity

Find = Callable[[NDArray[np.uint8]], list[FaceLandmarks]]

_SIZE = 512  # px
_FILLED = 0.8  # share of the picture that the scan, or the face on it, spans
_LIGHT = np.array([0.25, -0.45, 0.86])  # direction to the light: at the viewer's, a little above and beside
_MOST_COVERED = 256  # times that the boxes around triangles may cover the picture; those of a scan do a few times
_NEAR = (0, -1, 1, -2, 2)  # px around a landmark within which a pixel of the scan is taken


def detected_landmarks(
    template: Template, points: NDArray[np.floating], triangles: NDArray[np.integer] | None, find: Find
) -> NDArray[np.float64]:
    """The 68 landmarks of a scan, found by a detector.

    The scan is drawn as seen from +z with y up, then from other sides, until the detector finds landmarks that the
    model fits. Then it is drawn once more with that face seen from the front; the landmarks of this picture are
    returned.

    Parameters
    ----------
    template : Template
        The model.
    points : (n, 3) float
    triangles : (m, 3) int
        The scan, which must be a mesh: see `uvgen.register_scan`.
    find : callable
        The detector, called with a picture (512, 512, 3), uint8: see `uvgen.fitting.detectors.Detector`.

    Returns
    -------
    (68, 3) float64
        In the scan's frame and unit. NaN for those of the jaw, which detectors place on the outline of the face in the
        picture, for those that the detector does not find, and for those that do not lie on the scan.

    Raises
    ------
    InputError
        If the scan is a point cloud, its triangles lie over each other very often, or there is no face in any of its
        pictures.
    """
    kept, corners = cleaned_scan(points, triangles)
    if not len(corners):
        raise InputError("triangles: none, and a point cloud cannot be drawn for a detector; expected landmarks of it")
    first = None
    for view in _views(kept):
        marks = _found_in(kept, corners, view, find)
        try:
            first = None if marks is None else fit_to_landmarks(template, marks)
        except InputError:  # no face's
            continue
        if first is not None:
            break
    if marks is None or first is None:
        raise InputError("points: no face is found in pictures of the scan from all sides; expected landmarks of it")
    middle, size = template.mean.mean(axis=0), float(np.ptp(template.mean, axis=0)[:2].max())
    scale = _FILLED * _SIZE / size / first.place.scale
    rotation = first.place.rotation.T
    frontal = Similarity(scale, rotation, -scale * rotation @ first.place.apply(middle))
    closer = _found_in(kept, corners, frontal, find)
    return marks if closer is None else closer


def _views(points: NDArray[np.float64]) -> Iterator[Similarity]:
    """Similarities from the scan's frame to a picture's: x right, y up, z toward the viewer, px from its center.

    The first keeps the scan's axes; the others are the rest of the 24 rotations that map axes to axes.
    """
    low, high = np.percentile(points, [1, 99], axis=0)
    scale = _FILLED * _SIZE / max(float((high - low).max()), 1e-30)
    ways = []
    for up in (1, 2, 0):
        for toward in (axis for axis in (2, 1, 0) if axis != up):
            for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                rotation = np.zeros((3, 3))
                rotation[1, up], rotation[2, toward] = signs
                rotation[0] = np.cross(rotation[1], rotation[2])
                ways.append(rotation)
    for rotation in ways:
        yield Similarity(scale, rotation, -scale * rotation @ ((low + high) / 2))


def _found_in(
    points: NDArray[np.float64], triangles: NDArray[np.int32], view: Similarity, find: Find
) -> NDArray[np.float64] | None:
    """The landmarks (68, 3) of the largest face in a picture of the scan, on the scan; None if there is no face."""
    there = view.apply(points) * [1, -1, 1] + [_SIZE / 2, _SIZE / 2, 0]
    _check_overlap(there, triangles)
    fragments = rasterize(there, triangles, (_SIZE, _SIZE))
    covered = fragments.triangle >= 0
    normals = interpolate(fragments, triangles, outward_normals(there, triangles)).astype(np.float64)
    length = np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-9)
    normals *= np.where(normals[..., 2:] < 0, -1, 1) / length  # triangles may be turned inside out
    light = 60 + 180 * np.clip(normals @ _LIGHT, 0, 1)
    picture = np.where(covered, light, 30).astype(np.uint8)
    faces = find(np.ascontiguousarray(np.repeat(picture[..., None], 3, axis=2)))
    if not faces:
        return None
    flat, weights = to_68(faces[0])
    flat[weights <= 0] = np.nan
    flat[:N_JAW] = np.nan  # on the outline in the picture, which is no fixed place on a face
    # relative to the scan's center, because `interpolate` gives float32
    middle: NDArray[np.float64] = points.mean(axis=0)
    return _lifted(flat, covered, interpolate(fragments, triangles, points - middle)) + middle


def _check_overlap(there: NDArray[np.float64], triangles: NDArray[np.int32]) -> None:
    """InputError if triangles lie over each other in a picture so often that to draw them takes very long."""
    corners = np.clip(there[:, :2], 0, _SIZE)[triangles]
    covered = float(np.ptp(corners, axis=1).prod(axis=1).sum()) / _SIZE**2
    if covered > _MOST_COVERED:
        raise InputError(
            f"triangles: cover a picture of the scan {covered:.0f} times, expected a surface, which does a few times; "
            "they cannot be drawn for a detector, only landmarks help"
        )


def _lifted(flat: NDArray[np.float64], covered: NDArray[np.bool_], places: NDArray[np.float32]) -> NDArray[np.float64]:
    """(68, 3) positions on the scan of the covered pixels nearest to points (68, 2), px; NaN where none is near."""
    found = np.full((len(flat), 3), np.nan)
    for k in np.flatnonzero(np.isfinite(flat).all(axis=1) & (np.abs(flat) < 2 * _SIZE).all(axis=1)):
        columns, rows = (np.rint(flat[k, axis]) + np.array(_NEAR) for axis in (0, 1))
        column, row = (grid.ravel().astype(int) for grid in np.meshgrid(columns, rows))
        inside = (column >= 0) & (column < _SIZE) & (row >= 0) & (row < _SIZE)
        column, row = column[inside], row[inside]
        near = covered[row, column]
        if near.any():
            column, row = column[near], row[near]
            nearest = int(np.hypot(column - flat[k, 0], row - flat[k, 1]).argmin())
            found[k] = places[row[nearest], column[nearest]]
    return found
