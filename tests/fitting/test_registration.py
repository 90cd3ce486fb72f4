"""`uvgen.register_scan`: scans of made-up faces come back vertex by vertex, and what is wrong with others is said.

Distances are in mm. A face resampled at random points says nothing of where on its surface a vertex belongs but by its
shape; errors of vertices are therefore larger than distances to the surface.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.models import builtin_model
from support.scans import Points, face_of, resampled, somewhere, triangulated
from support.toy import grid, toy_model

from uvgen import Registration, register_scan
from uvgen.errors import InputError, ModelError
from uvgen.fitting.scans import registration
from uvgen.fitting.scans import template as template_module
from uvgen.fitting.scans.fit import fit_to_landmarks
from uvgen.fitting.scans.registration import register, unit_of
from uvgen.fitting.scans.template import Smoother, Template, bending
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.meshes.harmonic import laplacian
from uvgen.models.morphable import MorphableModel
from uvgen.similarity import Similarity

NONE = np.zeros((0, 3), np.int32)


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return toy_model(with_mouth=True)


@pytest.fixture(scope="module")
def template(model: MorphableModel) -> Template:
    return Template(model)


@pytest.fixture(scope="module")
def builtin_template() -> Template:
    return Template(builtin_model())


@pytest.mark.parametrize("kind", ["triangles at random", "a vertex of all triangles"])
def test_a_model_whose_mesh_is_no_surface_is_refused_before_anything_is_solved(
    kind: str, model: MorphableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The matrix of a smooth field would have dense factors."""
    n, rng = 2000, np.random.default_rng(0)
    triangles = rng.integers(0, n, (2 * n, 3))
    if kind == "a vertex of all triangles":
        triangles = np.stack([np.zeros(n - 2, int), np.arange(1, n - 1), np.arange(2, n)], axis=1)
    mean = rng.uniform(-8e4, 8e4, (n, 3))
    other = replace(model, mean=mean.astype(np.float32), triangles=triangles.astype(np.int32), path=None)
    monkeypatch.setattr(template_module, "_LEAST_WIDTH", 64)
    Template(model)
    with pytest.raises(ModelError, match=r"toy: triangles: join 2000 vertices all over the mesh, or very many to"):
        Template(other)


def errors(found: Registration, truth: Points, place: Similarity) -> NDArray[np.float64]:
    """(n,) mm: of each vertex, not only of those with a counterpart."""
    return np.linalg.norm(place.undo(found.vertices) - truth, axis=1)


def test_a_similarity_of_the_mean_face_comes_back_exactly(template: Template, model: MorphableModel) -> None:
    place = somewhere(1, 1.1)
    mean = template.mean
    found = register(template, place.apply(mean), model.triangles, place.apply(mean[model.landmarks]))
    assert errors(found, mean, place).max() < 1e-3
    for one, other in zip(found.similarity, place, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert found.unit == "mm" and found.n_flipped == 0 and found.matched > 0.85
    assert np.abs(found.coefficients).max() < 1e-3 and found.landmarks_mm.max() < 1e-3


@pytest.mark.parametrize(("is_mesh", "unit"), [(False, "mm"), (True, "m")])
def test_resampled_faces_come_back_within_half_a_millimeter(
    template: Template, model: MorphableModel, is_mesh: bool, unit: str
) -> None:
    face = face_of(model, 1)
    points, uv = resampled(model, face, 8000, 1, noise_mm=0.1)
    place = somewhere(1, {"mm": 1.0, "m": 1e-3}[unit])
    triangles = triangulated(points, uv) if is_mesh else None
    found = register(template, place.apply(points), triangles, place.apply(face[model.landmarks]))
    assert found.unit == unit
    assert errors(found, face, place).mean() < 0.5 and found.distance_mm.mean() < 0.3
    assert found.matched > 0.8 and found.n_flipped == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bump_mm", "is_mesh"),
    [pytest.param(0.0, False, marks=pytest.mark.long), pytest.param(0.0, True, marks=pytest.mark.long), (3.0, False)],
)
def test_resampled_built_in_faces_come_back_within_half_a_millimeter(
    builtin_template: Template, bump_mm: float, is_mesh: bool
) -> None:
    """Also with bumps in any direction, which the model lacks: landmarks, 1 mm off, say where vertices belong."""
    model = builtin_model()
    mean = []
    for seed in range(2):
        face = face_of(model, seed, bump_mm)
        points, uv = resampled(model, face, 20000, seed, noise_mm=0.1)
        marks = face[model.landmarks] + 1 / np.sqrt(3) * np.random.default_rng(seed).normal(size=(68, 3))
        place = somewhere(seed, 0.1)
        triangles = triangulated(points, uv) if is_mesh else NONE
        found = register(builtin_template, place.apply(points), triangles, place.apply(marks))
        mean.append(errors(found, face, place).mean())
        assert found.unit == "cm" and found.n_flipped == 0 and found.distance_mm.mean() < 0.2
    assert np.mean(mean) < 0.5


@pytest.mark.slow
def test_bumps_that_the_model_lacks_are_followed(template: Template, model: MorphableModel) -> None:
    face, place = face_of(model, 2, bump_mm=4), somewhere(2)
    points, _ = resampled(model, face, 8000, 2)
    found = register(template, place.apply(points), None, place.apply(face[model.landmarks]))
    nearest = found.similarity.apply(template.face(found.coefficients))
    only_model = np.linalg.norm(place.undo(nearest) - face, axis=1).mean()
    assert errors(found, face, place).mean() < 0.75 * only_model
    assert found.distance_mm.mean() < 0.2


@pytest.mark.slow
def test_half_a_face_goes_on_as_the_model_does_and_smoothly(template: Template, model: MorphableModel) -> None:
    face = face_of(model, 3, bump_mm=2)
    points, uv = resampled(model, face, 8000, 3)
    triangles = triangulated(points, uv)
    half = triangles[(points[triangles][:, :, 0] > 0).all(axis=1)]
    marks = np.where(face[model.landmarks, :1] < -3, np.nan, face[model.landmarks])
    found = register(template, points, half, marks)
    seen = face[:, 0] > 3
    off = np.linalg.norm(found.vertices - face, axis=1)
    assert 0.3 < found.matched < 0.6 and found.n_flipped == 0
    assert off[seen].mean() < 2.5 and off[~seen].mean() < 6
    assert not found.has_counterpart[face[:, 0] < -6].any()
    assert np.isnan(found.landmarks_mm).sum() == np.isnan(marks[:, 0]).sum()
    field = found.vertices - found.similarity.apply(template.face(found.coefficients))
    ends = field[model.triangles]
    assert np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).max() < 2  # over some 4 mm: no step at the scan's edge


def test_holes_spikes_doubles_and_turned_triangles_change_little(template: Template, model: MorphableModel) -> None:
    face = face_of(model, 1)
    points, uv = resampled(model, face, 8000, 4)
    triangles, marks = triangulated(points, uv), face[model.landmarks]
    plain = register(template, points, triangles, marks)
    rng = np.random.default_rng(4)
    hole = np.linalg.norm(points[triangles].mean(axis=1) - marks[30], axis=1) < 8
    bad = triangles[~hole][:, ::-1]  # inside out, too
    worse = points.copy()
    worse[rng.choice(len(points), 20, replace=False)] = np.nan
    worse[rng.choice(len(points), 20, replace=False)] += 200
    worse, bad = np.concatenate([worse, worse[:500]]), np.concatenate([bad, bad[:9]])
    found = register(template, worse, bad, marks)
    change = np.linalg.norm(found.vertices - plain.vertices, axis=1)
    assert change.mean() < 0.3 and change.max() < 3 and found.n_flipped == 0


def test_a_model_without_components_is_bent_onto_the_scan(model: MorphableModel) -> None:
    stiff = {
        "basis": model.basis[..., :0],
        "shape_std": model.shape_std[:0],
        "expression_std": model.expression_std[:0],
    }
    bare = MorphableModel(**{name: getattr(model, name) for name in model.__slots__ if name != "__weakref__"} | stiff)
    face = face_of(model, 5)
    points, _ = resampled(model, face, 8000, 5)
    found = register_scan(points, None, face[model.landmarks], bare)
    inner = np.abs(model.uv - 0.5).max(axis=1) < 0.35  # among landmarks, which alone say where vertices belong
    rigid = found.similarity.apply(model.mean / 1e3)
    before, after = (np.linalg.norm(one - face, axis=1)[inner].mean() for one in (rigid, found.vertices))
    assert len(found.coefficients) == 0 and found.distance_mm.mean() < 0.3 and found.n_flipped == 0
    assert after < 0.9 * before and np.nanmean(found.landmarks_mm[17:]) < 0.5 * before


def marked(model: MorphableModel, change: str) -> Any:
    marks = model.mean[model.landmarks].astype(np.float64) / 1e3
    if change == "mirrored":
        return marks[LANDMARK_MIRROR]
    if change == "left-handed":
        return marks * [-1, 1, 1]
    if change == "few":
        return np.where(np.arange(68)[:, None] < 63, np.nan, marks)
    if change == "in a line":
        return np.arange(68)[:, None] * np.ones(3)
    if change == "mostly zeros":
        return np.where(np.arange(68)[:, None] < 27, marks, 0)
    if change == "shuffled":
        return marks[np.random.default_rng(0).permutation(68)]
    return marks[:60]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("mirrored", "mm with left and right exchanged: mirrored in their order, or the scan's coordinates"),
        ("left-handed", "mm with left and right exchanged: mirrored"),
        ("few", "5 of 68 are marked, expected 6 or more"),
        ("in a line", "in one place or in one line"),
        ("mostly zeros", "landmarks: most lie in one place, expected a face's; those that are not marked are NaN"),
        ("shuffled", "mm off the nearest face's, expected 12 mm at most"),
        ("short", r"landmarks: float64 \(60, 3\), expected \(68, 3\)"),
    ],
)
def test_landmarks_that_are_no_faces_are_named(
    template: Template, model: MorphableModel, change: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        register(template, template.mean, model.triangles, marked(model, change))


def test_components_of_which_a_fit_has_no_one_answer_are_named(model: MorphableModel) -> None:
    basis = model.basis.astype(np.float64)
    basis[:, :, 1] = basis[:, :, 0]
    basis[:, :, :2] *= 5e11 / np.abs(basis[:, :, :2]).max()
    template = Template(replace(model, basis=basis.astype(np.float32)))
    with pytest.raises(InputError, match="model: a fit has no one answer; are two of its components alike"):
        fit_to_landmarks(template, model.mean[model.landmarks].astype(np.float64))


def test_one_wrong_landmark_changes_little(template: Template, model: MorphableModel) -> None:
    marks = template.mean[model.landmarks].copy()
    marks[40] += 60
    found = register(template, template.mean, model.triangles, marks)
    assert errors(found, template.mean, Similarity(1.0, np.eye(3), np.zeros(3))).mean() < 0.3


@pytest.mark.parametrize(
    ("scale", "units", "found"),
    [(1.0, "auto", ("mm", 1.0)), (1.2e-3, "auto", ("m", 1e3)), (0.09, "auto", ("cm", 10.0)),
     (900.0, "auto", ("um", 1e-3)), (3.0, "auto", (None, 1 / 3)), (1.5, "mm", ("mm", 1.0))],
)  # fmt: skip
def test_units_are_those_in_which_a_face_has_a_persons_size(scale: float, units: str, found: Any) -> None:
    assert unit_of(scale, units) == found


@pytest.mark.parametrize(("scale", "hint"), [(1e-3, "it seems to be in m"), (3.0, "choose auto for a scan")])
def test_units_in_which_a_face_is_no_persons_are_an_error(scale: float, hint: str) -> None:
    with pytest.raises(InputError, match=f"times as large as the model's in mm, expected 0.6 to 1.7 times; {hint}"):
        unit_of(scale, "mm")


def test_landmarks_of_another_scan_are_named(template: Template, model: MorphableModel) -> None:
    with pytest.raises(InputError, match=r"points: 0% of the face lie on the scan, expected 10% or more"):
        register(template, template.mean + [400, 0, 0], model.triangles, template.mean[model.landmarks])
    with pytest.raises(InputError, match="units: 'ft', expected 'auto', 'um'"):
        register(template, template.mean, None, template.mean[model.landmarks], "ft")


def test_smooth_fields_solve_the_dense_system() -> None:
    """Twice: by factors, and by steps that begin from them."""
    vertices, triangles = grid(9, 11, 0.4)
    area, length, n = np.linspace(0.5, 1.5, len(vertices)), 0.3, len(vertices)
    plain = laplacian(vertices, triangles).toarray()
    dense = length**4 * plain.T @ np.diag(1 / area) @ plain
    smoother, rng = Smoother(bending(vertices, triangles, area) * length**4, area), np.random.default_rng(0)
    for _ in range(2):
        weights, wanted = rng.integers(0, 2, n).astype(float), rng.normal(size=(n, 3))
        matrix = dense + np.diag(area * (weights + 1e-3))
        field = np.linalg.solve(matrix, (area * weights)[:, None] * wanted)
        np.testing.assert_allclose(smoother.solve(wanted, weights), field, atol=1e-4)


def test_parts_that_hang_together_nowhere_move_with_their_neighbors() -> None:
    vertices, triangles = grid(9, 11)
    inner = vertices * 0.1 + [0, 1, -0.05]  # as an eye in its socket
    both = np.concatenate([vertices, inner])
    area, n = np.full(len(both), 0.02), len(vertices)
    smoother = Smoother(bending(both, np.concatenate([triangles, triangles + n]), area), area)
    weights = (np.arange(len(both)) < n).astype(float)
    field = smoother.solve(np.tile([0.0, 0, 1], (len(both), 1)), weights)
    np.testing.assert_allclose(field[n:], np.tile([0.0, 0, 1], (n, 1)), atol=0.02)


def test_thousands_of_vertices_with_one_neighbor_move_with_it() -> None:
    """Those of no triangle, all in one place, and a part as fine as an eyeball of a rendered head."""
    vertices, triangles = grid(9, 11)
    fine, of_fine = grid(90, 90)
    every = np.concatenate([vertices, np.zeros((6000, 3)), fine * 0.01 + [0, 1, -0.05]])
    area, n = np.full(len(every), 1e-5), len(vertices)
    area[:n] = 0.02
    smoother = Smoother(bending(every, np.concatenate([triangles, of_fine + n + 6000]), area), area)
    weights = (np.arange(len(every)) < n).astype(float)
    field = smoother.solve(np.tile([0.0, 0, 1], (len(every), 1)), weights)
    np.testing.assert_allclose(field[:n], np.tile([0.0, 0, 1], (n, 1)), atol=0.02)
    np.testing.assert_allclose(field[-len(fine) :], np.tile([0.0, 0, 1], (len(fine), 1)), atol=0.05)


@pytest.mark.slow
def test_eyeballs_of_tens_of_thousands_of_vertices_move_with_the_face(
    template: Template, model: MorphableModel
) -> None:
    """Were each of thousands tied to the few around the eyes, the matrix would have dense factors."""
    ball, of_ball = grid(100, 200)
    latitude, longitude = (0.05 + ball[:, 1] * 0.96) * np.pi, ball[:, 0] * 2 * np.pi
    ball = np.stack([np.sin(latitude) * np.cos(longitude), np.sin(latitude) * np.sin(longitude), np.cos(latitude)], 1)
    n, k = len(template.mean), len(ball)
    eyes = [template.mean[model.landmarks[36 + 6 * side]] + [0, 0, -12] + 12 * ball for side in (0, 1)]
    every = np.concatenate([template.mean, *eyes])
    triangles = np.concatenate([model.triangles, of_ball + n, of_ball + n + k]).astype(np.int32)
    area = np.concatenate([template.area, np.full(2 * k, 12**2 * 4 * np.pi / k)])
    smoother = Smoother(bending(every, triangles, area) * 30.0**4, area)
    weights = (np.arange(len(every)) < n).astype(float)
    field = smoother.solve(np.tile([0.0, 0, 1], (len(every), 1)), weights)
    np.testing.assert_allclose(field, np.tile([0.0, 0, 1], (len(every), 1)), atol=0.05)


def test_triangles_that_are_turned_over_are_laid_out_again(template: Template, model: MorphableModel) -> None:
    base, n = template.mean, len(template.mean)
    folded = base.copy()
    edge = model.triangles[700]
    folded[edge[:2]] = base[edge[1::-1]]  # exchanged
    assert registration._turned_over(template, base, folded).any()
    laid_out = registration._unfolded(template, base, folded)
    assert not registration._turned_over(template, base, laid_out).any()
    far = np.linalg.norm(base - base[edge[0]], axis=1) > 40
    assert np.abs(laid_out - base)[far].max() < 0.3 and n == len(laid_out)
