"""A scan registered to a model's topology: by landmarks, by the model's coefficients, then by a smooth field of shifts.

The last step is non-rigid ICP (Amberg, Romdhani, Vetter, CVPR 2007), which starts stiff and gets softer. Two things
differ: stiffness penalizes the field's bending, not differences between the transforms of neighbors, and each stage
adds a field to the result of the stage before. So where a scan has no data, broad deformations extend and local ones
fade.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_array, choice, float64_array
from uvgen.described import described
from uvgen.errors import InputError
from uvgen.fitting.scans.fit import OUTLIER_MM, Fitted, fit_to_landmarks, fit_to_surface, matching
from uvgen.fitting.scans.template import Smoother, Template, normals_of
from uvgen.geometry import N_JAW
from uvgen.meshes.scans import ScanSurface, cleaned_scan
from uvgen.models.load import BUILTIN, as_model
from uvgen.models.morphable import MorphableModel
from uvgen.similarity import Similarity

UNITS = ("auto", "um", "mm", "cm", "m")
"""Units of scans; "auto" recognizes the unit."""

_MILLIMETERS = {"um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1e3}
_MOST_SCALE = 1e12  # of a scan, and 1 / that the least
_SMALLEST, _LARGEST = 0.6, 1.7  # size of a person's face, relative to the model's mean
_STAGES = ((30.0, 3, 6.0), (15.0, 2, 6.0), (8.0, 2, 3.0), (4.0, 2, 0.0), (2.0, 2, 0.0))
"""Of each stage: the length of bends, mm; the number of solutions; the radius, mm, of the patch of surface whose weight
a landmark has (0: landmarks do not count)."""

_LANDMARK_MM = 1.0  # landmarks do not pull vertices that are closer than this
_FARTHEST_MM, _LEAST_MM = 15.0, 2.0  # range of the distance within which counterparts are accepted
_COUNTED_MM = 10.0  # distance within which counterparts count in the reported error
_LEAST_MATCHED = 0.1  # share of the area
_UNFOLDINGS = 6  # tries


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """A scan registered to a model's topology.

    Attributes
    ----------
    vertices : (n, 3) float64
        The model's vertices on the scan, in the scan's frame and unit.
    similarity : Similarity
        From the model's frame, mm, to the scan's frame and unit.
    unit : str or None
        Unit of the scan: "um", "mm", "cm" or "m". None if its face does not have a person's size in any of them; it
        is then taken to be as large as the model's.
    mm_per_unit : float
        Millimeters in one unit of the scan.
    distance_mm : (k,) float64
        Distances to the scan's surface, mm, of the k vertices that have a counterpart on it.
    has_counterpart : (n,) bool
        Which vertices those are.
    matched : float
        Share of the model's surface that has a counterpart, 0 to 1.
    landmarks_mm : (68,) float64
        Distances of the given landmarks from those of the registered mesh, mm; NaN where not marked.
    n_flipped : int
        Number of triangles that face the other way than in the fitted face of the model.
    coefficients : (c,) float64
        Coefficients of that face, shape then expression, in standard deviations.
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

    __repr__ = described


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
        Points of the scan, in any right-handed frame; those that are NaN or infinite are dropped.
    triangles : (m, 3) int or None
        None, or no rows, for a point cloud.
    landmarks : (68, 3) float
        iBUG's 68 landmarks, in the frame and unit of the points; NaN where not marked. At least six must be marked.
    model : MorphableModel or path-like
        The built-in model by default.
    units : {"auto", "um", "mm", "cm", "m"}
        Unit of the scan; "auto" takes the one in which the face has a person's size.

    Returns
    -------
    Registration

    Raises
    ------
    InputError
        If a shape or a choice is wrong, there are too few landmarks or points, the landmarks are mirrored or are not
        a face's, the face does not have a person's size in the given unit, or too little of it has a counterpart.
    ModelError
        If the model cannot be read.

    Examples
    --------
    >>> face = uvgen.load_model("builtin")
    >>> points, triangles, marks = face.mean / 1e3, face.triangles, face.mean[face.landmarks] / 1e3
    >>> round(float(uvgen.register_scan(points, triangles, marks).distance_mm.mean()), 2)
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
    """Do what `register_scan` does, with a template that is made once for many scans."""
    choice(units, "units", UNITS)
    marks = float64_array(landmarks, "landmarks", (68, 3))
    check_array(marks, "landmarks", (68, 3))
    kept, corners = cleaned_scan(points, triangles)
    first = fit_to_landmarks(template, marks)
    if not 1 / _MOST_SCALE <= first.place.scale <= _MOST_SCALE:  # in float32, which meshes are written in, too
        raise InputError(
            f"landmarks: a face {first.place.scale:.3g} times as large as the model's in mm, expected "
            f"{1 / _MOST_SCALE:g} to {_MOST_SCALE:g} times; scale the scan"
        )
    unit, mm_per_unit = unit_of(first.place.scale, units)
    # from here on the scan is in the model's frame, at the model's size
    scan = _oriented(template, first, first.place.undo(kept), corners)
    identity = Similarity(1.0, np.eye(3), np.zeros(3))
    marks_there = first.place.undo(marks)
    fitted = fit_to_surface(template, scan, marks_there, Fitted(identity, first.coefficients))
    base = fitted.place.apply(template.face(fitted.coefficients))
    vertices = _unfolded(template, base, _deformed(template, scan, base, marks_there))
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
    """The unit of a scan whose numbers are `scale` times the model's in mm, and the mm in it; see `register_scan`."""
    sizes = {name: scale * mm for name, mm in _MILLIMETERS.items()}
    likely = min(sizes, key=lambda name: abs(np.log(sizes[name])))
    is_likely = _SMALLEST < sizes[likely] < _LARGEST
    if units == "auto":
        return (likely, _MILLIMETERS[likely]) if is_likely else (None, 1 / scale)
    if not _SMALLEST < sizes[units] < _LARGEST:
        hint = f"; it seems to be in {likely}" if is_likely else "; choose auto for a scan of unknown size"
        raise InputError(
            f"landmarks: a face {sizes[units]:.3g} times as large as the model's in {units}, expected {_SMALLEST} to "
            f"{_LARGEST} times{hint}"
        )
    return units, _MILLIMETERS[units]


def _joined(outer: Similarity, inner: Similarity) -> Similarity:
    """The similarity that applies the inner one, then the outer one."""
    return Similarity(outer.scale * inner.scale, outer.rotation @ inner.rotation, outer.apply(inner.shift))


def _oriented(
    template: Template, first: Fitted, points: NDArray[np.float64], triangles: NDArray[np.int32]
) -> ScanSurface:
    """The scan's surface with normals that point outward: some programs write all triangles the other way round."""
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
    """The vertices (n, 3) of the fitted face `base`, moved onto the scan by smooth fields."""
    vertices = base
    for length, solutions, radius in _STAGES:
        if length < min(scan.spacing, _STAGES[-2][0]):
            break  # bends shorter than the scan's spacing would follow its noise
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
    """The shift (n, 3) that each vertex should make, and its weight (n,): 0 without a counterpart."""
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
    """Add the landmarks' pull to shifts and weights, in place; not the jaw's, which mark no fixed place."""
    known = np.flatnonzero(np.isfinite(marks).all(axis=1) & (np.arange(68) >= N_JAW))
    at = template.landmarks[known]
    off = marks[known] - vertices[at]
    distance = np.linalg.norm(off, axis=1, keepdims=True)
    off = off * np.maximum(0, 1 - _LANDMARK_MM / np.maximum(distance, 1e-9))
    more = np.pi * radius**2 / template.area[at] / (1 + (distance[:, 0] / OUTLIER_MM) ** 2) ** 2
    total = weights[at] + more
    wanted[at] = (weights[at, None] * wanted[at] + more[:, None] * off) / total[:, None]
    weights[at] = total


def _turned_over(template: Template, base: NDArray[np.float64], vertices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(m,) which triangles face the other way than in `base`."""
    normals = []
    for points in (base, vertices):
        a, b, c = (points[template.triangles[:, k]] for k in range(3))
        normals.append(np.cross(b - a, c - a))
    return np.asarray((normals[0] * normals[1]).sum(axis=1) < 0)


def _unfolded(template: Template, base: NDArray[np.float64], vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate vertices of triangles that were turned over from those around them, in a wider ring at each try."""
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
