"""A scan registered to a model's topology: by landmarks, by the model's coefficients, then by a smooth field.

The last step is non-rigid ICP (Amberg, Romdhani, Vetter, CVPR 2007: stiff at first, then less and less), with bends in
place of differences between neighbors' transforms, and for each stiffness on top of what was found with the one before:
where a scan shows nothing, what is broad goes on and what is local fades.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_array, choice, float64_array
from uvgen.errors import InputError
from uvgen.fitting.scan_fit import OUTLIER_MM, Fitted, fit_to_landmarks, fit_to_surface, matching
from uvgen.fitting.template import JAW, Smoother, Template, normals_of
from uvgen.meshes.scans import ScanSurface, cleaned_scan
from uvgen.models.load import BUILTIN, as_model
from uvgen.models.morphable import MorphableModel
from uvgen.similarity import Similarity

UNITS = ("auto", "um", "mm", "cm", "m")
"""Units of scans."""

_MILLIMETERS = {"um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1e3}
_SMALLEST, _LARGEST = 0.6, 1.7  # a face, by the model's mean
_STAGES = ((30.0, 3, 6.0), (15.0, 2, 6.0), (8.0, 2, 3.0), (4.0, 2, 0.0), (2.0, 2, 0.0))
"""Lengths of bends, mm; solutions with each; the radius of the patch that a landmark counts as, mm."""

_LANDMARK_MM = 1.0  # within which a landmark draws nothing
_FARTHEST_MM, _LEAST_MM = 15.0, 2.0  # where counterparts are looked for
_COUNTED_MM = 10.0  # distances of counterparts that the error is of
_LEAST_MATCHED = 0.1  # of the area
_UNFOLDINGS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """A scan in a model's topology.

    Attributes
    ----------
    vertices : (n, 3) float64
        The model's vertices on the scan, in its frame and unit.
    similarity : Similarity
        Brings the model's frame, in mm, to the scan's frame and unit.
    unit : str or None
        Of the scan: "um", "mm", "cm" or "m"; None where its face has no person's size in any of them, and counts as
        large as the model's.
    mm_per_unit : float
    distance_mm : (k,) float64
        From vertices that have a counterpart to the scan's surface, mm.
    has_counterpart : (n,) bool
        Which those are.
    matched : float
        Share of the model's surface that has a counterpart.
    landmarks_mm : (68,) float64
        From the landmarks to where the registered mesh has them, mm; NaN where not marked.
    n_flipped : int
        Triangles that are turned over, by the face of the model that lies nearest.
    coefficients : (k,) float64
        Of that face, shape then expression, in standard deviations.
    """

    vertices: NDArray[np.float64]
    similarity: Similarity
    unit: str | None
    mm_per_unit: float
    distance_mm: NDArray[np.float64]
    has_counterpart: NDArray[np.bool_]
    matched: float
    landmarks_mm: NDArray[np.float64]
    n_flipped: int
    coefficients: NDArray[np.float64]


def register_scan(
    points: NDArray[np.floating],
    triangles: NDArray[np.integer] | None,
    landmarks: NDArray[np.floating],
    model: MorphableModel | str = BUILTIN,
    *,
    units: str = "auto",
) -> Registration:
    """Register a scan of a face to a morphable model's topology.

    Parameters
    ----------
    points : (n, 3) float
        A scan's, in any right-handed frame; such that are NaN or infinite are dropped.
    triangles : (m, 3) int or None
        None, or no rows, of a point cloud.
    landmarks : (68, 3) float
        iBUG's, in the frame and unit of the points; NaN where not marked. Six or more.
    model : MorphableModel or path-like
        The built-in model by default.
    units : {"auto", "um", "mm", "cm", "m"}
        Of the scan; "auto" is the one in which its face has a person's size.

    Returns
    -------
    Registration

    Raises
    ------
    InputError
        Where a shape is wrong, landmarks or points are too few, the landmarks are mirrored or no face's, or the face
        has no person's size in these units, or no counterpart on the scan.

    Examples
    --------
    >>> face = uvgen.load_model("builtin")
    >>> points, triangles, marks = face.mean / 1e3, face.triangles, face.mean[face.landmarks] / 1e3
    >>> round(uvgen.register_scan(points, triangles, marks).distance_mm.mean(), 2)
    0.0
    """
    return register(Template(as_model(model)), points, triangles, landmarks, units)


def register(
    template: Template,
    points: NDArray[np.floating],
    triangles: NDArray[np.integer] | None,
    landmarks: NDArray[np.floating],
    units: str = "auto",
) -> Registration:
    """See `register_scan`."""
    choice(units, "units", UNITS)
    marks = float64_array(landmarks, "landmarks", (68, 3))
    check_array(marks, "landmarks", (68, 3))
    kept, corners = cleaned_scan(points, triangles)
    first = fit_to_landmarks(template, marks)
    unit, mm_per_unit = unit_of(first.place.scale, units)
    # the scan in the model's frame
    scan = _oriented(template, first, first.place.undo(kept), corners)
    at_home = Similarity(1.0, np.eye(3), np.zeros(3))
    marks_there = first.place.undo(marks)
    fitted = fit_to_surface(template, scan, marks_there, Fitted(at_home, first.coefficients))
    base = fitted.place.apply(template.face(fitted.coefficients))
    vertices = _unfolded(template, scan, base, _deformed(template, scan, base, marks_there))
    feet = scan.find(vertices, _COUNTED_MM)
    paired = matching(feet, normals_of(template, vertices), scan)
    matched = float(template.area[paired].sum() / template.area.sum())
    if matched < _LEAST_MATCHED:
        raise InputError(
            f"points: {matched:.0%} of the face lie on the scan, expected {_LEAST_MATCHED:.0%} or more; landmarks of "
            "another scan, or in another unit or frame than it?"
        )
    place = _joined(first.place, fitted.place)
    mm = first.place.scale * mm_per_unit
    off = np.linalg.norm(vertices[template.landmarks] - marks_there, axis=1)
    return Registration(
        first.place.apply(vertices), place, unit, mm_per_unit, feet.distance[paired] * mm, paired, matched, off * mm,
        int(_turned_over(template, base, vertices).sum()), fitted.coefficients,
    )  # fmt: skip


def unit_of(scale: float, units: str) -> tuple[str | None, float]:
    """The unit of a scan that is `scale` times as large as the model in mm, and its mm; see `register_scan`."""
    sizes = {name: scale * mm for name, mm in _MILLIMETERS.items()}
    likely = min(sizes, key=lambda name: abs(np.log(sizes[name])))
    is_likely = _SMALLEST < sizes[likely] < _LARGEST
    if units == "auto":
        return (likely, _MILLIMETERS[likely]) if is_likely else (None, 1 / scale)
    if not _SMALLEST < sizes[units] < _LARGEST:
        hint = f"; it seems to be in {likely}" if is_likely else "; give the unit auto if it has none"
        raise InputError(
            f"landmarks: a face {sizes[units]:.3g} times as large as the model's in {units}, expected {_SMALLEST} to "
            f"{_LARGEST} times{hint}"
        )
    return units, _MILLIMETERS[units]


def _joined(outer: Similarity, inner: Similarity) -> Similarity:
    """First the inner one, then the outer."""
    return Similarity(outer.scale * inner.scale, outer.rotation @ inner.rotation, outer.apply(inner.shift))


def _oriented(
    template: Template, first: Fitted, points: NDArray[np.float64], triangles: NDArray[np.int32]
) -> ScanSurface:
    """The scan's surface with its outside out: some programs write all triangles the other way round."""
    scan = ScanSurface(points, triangles)
    if not scan.is_oriented:
        return scan
    face = template.face(first.coefficients)
    feet = scan.find(face[template.rows], _FARTHEST_MM)
    agreement = (feet.normals * normals_of(template, face)[template.rows]).sum(axis=1)[feet.inside]
    return ScanSurface(points, triangles[:, ::-1]) if agreement.sum() < 0 else scan


def _deformed(
    template: Template, scan: ScanSurface, base: NDArray[np.float64], marks: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The face, bent until it lies on the scan."""
    vertices = base
    for length, solutions, radius in _STAGES:
        if length < min(scan.spacing, _STAGES[-2][0]):
            break  # between a scan's points is nothing but their noise
        smoother = template.smoother(length)
        for _ in range(solutions):
            wanted, weights = _pull(template, scan, vertices)
            if radius:
                _add_landmarks(template, vertices, marks, radius, wanted, weights)
            vertices = vertices + smoother.solve(wanted, weights)
    return np.asarray(vertices)


def _pull(
    template: Template, scan: ScanSurface, vertices: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each vertex is to go (n, 3), and weights (n,)."""
    feet = scan.find(vertices, _FARTHEST_MM)
    paired = matching(feet, normals_of(template, vertices), scan)
    if paired.any():
        usual = float(np.median(feet.distance[paired]))
        paired &= feet.distance < np.clip(6 * usual, _LEAST_MM, _FARTHEST_MM)
    return np.where(paired[:, None], feet.points - vertices, 0), paired.astype(np.float64)


def _add_landmarks(
    template: Template, vertices: NDArray[np.float64], marks: NDArray[np.float64], radius: float,
    wanted: NDArray[np.float64], weights: NDArray[np.float64],
) -> None:  # fmt: skip
    """Let landmarks draw their vertices, those of the jaw not: they mark no place of their own."""
    known = np.flatnonzero(np.isfinite(marks).all(axis=1) & (np.arange(68) >= JAW))
    at = template.landmarks[known]
    off = marks[known] - vertices[at]
    distance = np.linalg.norm(off, axis=1, keepdims=True)
    off = off * np.maximum(0, 1 - _LANDMARK_MM / np.maximum(distance, 1e-9))
    more = np.pi * radius**2 / template.area[at] / (1 + (distance[:, 0] / OUTLIER_MM) ** 2) ** 2
    total = weights[at] + more
    wanted[at] = (weights[at, None] * wanted[at] + more[:, None] * off) / total[:, None]
    weights[at] = total


def _turned_over(template: Template, base: NDArray[np.float64], vertices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(m,) triangles whose side has changed."""
    normals = []
    for points in (base, vertices):
        a, b, c = (points[template.triangles[:, k]] for k in range(3))
        normals.append(np.cross(b - a, c - a))
    return np.asarray((normals[0] * normals[1]).sum(axis=1) < 0)


def _unfolded(
    template: Template, scan: ScanSurface, base: NDArray[np.float64], vertices: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Vertices of triangles that were turned over follow those around them, a wider ring at each try."""
    smoother: Smoother | None = None
    for k in range(_UNFOLDINGS):
        over = _turned_over(template, base, vertices)
        if not over.any():
            break
        loose = np.zeros(len(vertices), bool)
        loose[template.triangles[over]] = True
        for _ in range(2**k):
            loose[template.triangles[loose[template.triangles].any(axis=1)]] = True
        smoother = smoother or template.smoother(_STAGES[-1][0])
        vertices = base + smoother.solve(vertices - base, np.where(loose, 0.0, 10.0))
    return vertices
