"""Fitting to landmarks: exact ones give the face back, noisy ones nearly, and no face depends on those beside it."""

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.examples import examples

from uvgen import fit_landmarks, load_model
from uvgen.errors import InputError
from uvgen.fitting import fitter
from uvgen.fitting.contour import Contour, inside, mean_face_normals
from uvgen.fitting.doubts import landmark_doubts
from uvgen.fitting.fitter import angles_of
from uvgen.geometry import LANDMARK_MIRROR, pose_to_image, rotation_matrices
from uvgen.models.morphable import REGIONS, MorphableModel
from uvgen.samples.find import find_samples
from uvgen.samples.read import read_annotation, read_image
from uvgen.synth.faces import FaceParameters, FaceSource

SIZE = 450


@dataclasses.dataclass(frozen=True)
class Faces:
    """Synthetic faces: what was drawn, vertices (n, v, 3) in the image frame, px, and yaws, degrees."""

    drawn: list[FaceParameters]
    vertices: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    box: NDArray[np.float64]
    yaw: NDArray[np.float64]


def vertices_of(
    model: MorphableModel, shape: NDArray, expression: NDArray, pose: NDArray, height: float = SIZE
) -> NDArray[np.float64]:
    surface = model.mean + model.basis.astype(np.float64) @ np.concatenate([shape, expression])
    affine = pose_to_image(pose[None], height)[0]
    return surface @ affine[:, :3].T + affine[:, 3]


@pytest.fixture(scope="module")
def builtin() -> MorphableModel:
    return load_model("builtin")


@pytest.fixture(scope="module")
def faces(builtin: MorphableModel) -> Faces:
    source = FaceSource(builtin, 11, SIZE)
    drawn = [source.draw(f"IBUG/face_{k}") for k in range(45)]
    found = np.stack([vertices_of(builtin, f.shape, f.expression, f.pose.astype(np.float64)) for f in drawn])
    points = found[:, builtin.landmarks]
    box = np.sqrt(np.ptp(points[..., :2], axis=1).prod(axis=1))
    return Faces(drawn, found, points[..., :2], box, np.abs(np.rad2deg([f.pose[1] for f in drawn])))


def dense_nme(model: MorphableModel, faces: Faces, fit, which=slice(None)) -> NDArray[np.float64]:
    """Mean distance of all vertices of the face, z counted from its mean, as a share of the landmarks' box."""
    on_face = np.isin(model.regions, [REGIONS.index(name) for name in ("face", "mouth", "eyes", "nose")])
    found = np.stack(
        [vertices_of(model, *numbers) for numbers in zip(fit.shape, fit.expression, fit.pose, strict=True)]
    )
    off = (found - faces.vertices[which])[:, on_face]
    off[..., 2] -= off[..., 2].mean(axis=1, keepdims=True)
    return np.linalg.norm(off, axis=2).mean(axis=1) / faces.box[which]


def by_yaw(values: NDArray, yaw: NDArray) -> list[float]:
    return [float(values[(yaw >= low) & (yaw < low + 30)].mean()) for low in (0, 30, 60)]


def test_exact_landmarks_give_the_faces_back(builtin: MorphableModel, faces: Faces) -> None:
    fit = fit_landmarks(faces.landmarks, builtin, SIZE, jaw="fixed")
    errors = by_yaw(dense_nme(builtin, faces, fit), faces.yaw)
    assert all(error < most for error, most in zip(errors, (0.008, 0.007, 0.008), strict=True)), errors
    assert fit.residual.max() < 0.004 and fit.residual_jaw.max() < 0.006
    np.testing.assert_allclose(fit.points, faces.landmarks, atol=0.01 * faces.box.max())


def test_noisy_landmarks_give_the_faces_nearly_and_say_how_noisy_they_were(
    builtin: MorphableModel, faces: Faces
) -> None:
    noise = 0.5 / 64  # half a pixel in a crop of 64
    rng = np.random.default_rng(5)
    points = faces.landmarks + rng.normal(size=faces.landmarks.shape) * noise * faces.box[:, None, None]
    fit = fit_landmarks(points, builtin, SIZE, jaw="fixed")
    errors = by_yaw(dense_nme(builtin, faces, fit), faces.yaw)
    assert all(error < most for error, most in zip(errors, (0.015, 0.016, 0.017), strict=True)), errors
    assert 0.7 * noise < np.median(fit.sigma_px / faces.box) < 1.2 * noise


def test_jaw_points_on_the_contour_are_taken_for_such(builtin: MorphableModel, faces: Faces) -> None:
    turned = np.flatnonzero((faces.yaw > 25) & (faces.yaw < 85))
    points = np.stack([contour_landmarks(builtin, faces, k) for k in turned])
    assert np.linalg.norm(points - faces.landmarks[turned], axis=2).max() > 0.2 * faces.box.min()  # it is another thing
    as_contour = fit_landmarks(points, builtin, SIZE, jaw="contour")
    as_fixed = fit_landmarks(points, builtin, SIZE, jaw="fixed")
    right, wrong = (dense_nme(builtin, faces, fit, turned).mean() for fit in (as_contour, as_fixed))
    assert right < 0.02 and right < 0.75 * wrong, (right, wrong)


def contour_landmarks(model: MorphableModel, faces: Faces, k: int) -> NDArray[np.float64]:
    """Landmarks of a face whose far jaw points lie where its outline is, at the same height of the head.

    By another way than the fit's: of the face's front at a jaw point's height, the vertex farthest out.
    """
    mean, points = model.mean, faces.landmarks[k].copy()
    outline = mean[model.landmarks[[*range(17), *range(26, 16, -1)]], :2]
    front = inside(mean[:, :2], outline) & (model.regions == REGIONS.index("face")) & (mean[:, 2] > 0)
    depth = faces.vertices[k][model.landmarks, 2]
    far = range(8) if depth[:8].mean() < depth[9:17].mean() else range(9, 17)
    sign = np.sign(points[list(far), 0].mean() - points[27:31, 0].mean())
    height = np.ptp(mean[model.landmarks, 1])
    for i in far:
        band = np.flatnonzero(front & (np.abs(mean[:, 1] - mean[model.landmarks[i], 1]) < 0.02 * height))
        candidates = np.append(band, model.landmarks[i])
        flat = faces.vertices[k][candidates, :2]
        points[i] = flat[np.argmax(sign * flat[:, 0])]
    return points


def test_fit_finds_the_most_probable_face(builtin: MorphableModel, faces: Faces) -> None:
    """Against SciPy's minimizer of what the docstring states, from the same place on, sigma being what was found."""
    k = int(np.argmin(np.abs(faces.yaw - 25)))
    rng = np.random.default_rng(0)
    points = faces.landmarks[k] + rng.normal(size=(68, 2)) * 0.03 * faces.box[k]  # above what poses are trusted with
    fit = fit_landmarks(points[None], builtin, SIZE, jaw="fixed")
    std = np.concatenate([builtin.shape_std, builtin.expression_std]).astype(np.float64)
    basis = builtin.basis[builtin.landmarks].astype(np.float64)
    sigma = float(fit.sigma_px[0])

    def cost(numbers: NDArray[np.float64]) -> float:
        pose, scaled = numbers[:6], numbers[6:]
        whole = np.array([*pose[:3], *pose[3:5], 0, pose[5] * float(fit.pose[0, 6])])
        affine = pose_to_image(whole[None], SIZE)[0]
        shown = (builtin.mean[builtin.landmarks] + basis @ (scaled * std)) @ affine[:2, :3].T + affine[:2, 3]
        square = ((points - shown) ** 2).sum(axis=1) / sigma**2
        return float((3.5 * np.log1p(square / 5)).sum() + 0.5 * (scaled**2).sum())

    found = np.concatenate([fit.shape[0], fit.expression[0]]) / std
    start = np.concatenate([fit.pose[0, :5], [1.0], found])
    best = scipy.optimize.minimize(cost, start, method="BFGS", options={"maxiter": 300})
    assert cost(start) - best.fun < 0.05 * 68  # in units of one standard deviation of one point
    moved = np.abs(start - best.x)
    assert moved[:3].max() < np.deg2rad(1.0) and moved[6:].max() < 0.35


def test_a_face_does_not_depend_on_those_beside_it(builtin: MorphableModel, faces: Faces) -> None:
    together = fit_landmarks(faces.landmarks[:7], builtin, SIZE)
    for k in range(7):
        alone = fit_landmarks(faces.landmarks[k : k + 1], builtin, SIZE)
        for name in ("shape", "expression", "pose", "points", "sigma_px", "residual", "residual_jaw"):
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(together, name)[k], err_msg=name)


@examples(8)
@given(
    k=st.integers(0, 44),
    scale=st.floats(0.2, 5),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
    h=st.integers(50, 4000),
)
def test_a_moved_and_enlarged_face_is_the_same_face(
    builtin: MorphableModel, faces: Faces, k: int, scale: float, x: float, y: float, h: int
) -> None:
    plain = fit_landmarks(faces.landmarks[k : k + 1], builtin, SIZE, jaw="fixed")
    moved = fit_landmarks(faces.landmarks[k : k + 1] * scale + [x, y], builtin, h, jaw="fixed")
    np.testing.assert_allclose(moved.shape, plain.shape, atol=2e-3)
    np.testing.assert_allclose(moved.pose[:, :3], plain.pose[:, :3], atol=1e-4)
    np.testing.assert_allclose(moved.points, plain.points * scale + [x, y], atol=0.01 * scale * faces.box[k])
    np.testing.assert_allclose(moved.residual, plain.residual, atol=1e-4)
    shown = vertices_of(builtin, moved.shape[0], moved.expression[0], moved.pose[0], h)[builtin.landmarks, :2]
    np.testing.assert_allclose(shown, moved.points[0], atol=1e-6 * (1 + scale) * 1000)  # the pose is that of the image


def test_points_that_are_missing_or_far_off_hardly_count(builtin: MorphableModel, faces: Faces) -> None:
    whole = fit_landmarks(faces.landmarks[:6], builtin, SIZE, jaw="fixed")
    points = faces.landmarks[:6].copy()
    points[:, 17:27] = np.nan
    points[:, 60] += 0.5 * faces.box[:6, None]
    fit = fit_landmarks(points, builtin, SIZE, jaw="fixed")
    turned = rotation_matrices(fit.pose[:, :3]) @ np.swapaxes(rotation_matrices(whole.pose[:, :3]), 1, 2)
    angles = np.rad2deg(np.arccos(np.clip((np.trace(turned, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert angles.max() < 3
    assert np.isfinite(fit.points).all() and (fit.residual < 0.02).all()


def test_points_without_a_score_do_not_count(builtin: MorphableModel, faces: Faces) -> None:
    scores = np.ones((3, 68))
    scores[:, :17] = 0
    points = faces.landmarks[:3].copy()
    points[:, :17] = 1e4
    expected = faces.landmarks[:3].copy()
    expected[:, :17] = np.nan
    a, b = fit_landmarks(points, builtin, SIZE, scores=scores), fit_landmarks(expected, builtin, SIZE)
    np.testing.assert_array_equal(a.pose, b.pose)
    assert np.isnan(a.residual_jaw).all()


@pytest.mark.slow
def test_pictures_of_one_person_get_one_shape_which_is_nearer(builtin: MorphableModel, faces: Faces) -> None:
    drawn = [dataclasses.replace(face, shape=faces.drawn[k // 4].shape) for k, face in enumerate(faces.drawn[:24])]
    found = np.stack([vertices_of(builtin, f.shape, f.expression, f.pose.astype(np.float64)) for f in drawn])
    points = found[:, builtin.landmarks, :2]
    points += np.random.default_rng(1).normal(size=points.shape) * 0.01 * faces.box[:24, None, None]
    person = [k // 4 for k in range(24)]
    together = fit_landmarks(points, builtin, SIZE, jaw="fixed", person=person)
    apart = fit_landmarks(points, builtin, SIZE, jaw="fixed")
    np.testing.assert_array_equal(together.shape[::4].repeat(4, axis=0), together.shape)
    true = np.stack([face.shape for face in drawn])
    assert ((together.shape - true) ** 2).mean() < 0.9 * ((apart.shape - true) ** 2).mean()
    assert together.residual.max() < 1.5 * apart.residual.max()


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda p: p[:, LANDMARK_MIRROR], "mirrored", "mirrored: left and right exchanged"),
        (lambda p: np.stack([p[..., 0], SIZE - 1 - p[..., 1]], axis=-1), "upside down", "upside down"),
        (lambda p: p[..., ::-1], "transposed", "x and y exchanged"),
        (lambda p: np.random.default_rng(0).permutation(p, axis=1), "unknown", "in the order of iBUG's 68"),
    ],
    ids=["mirrored", "y up", "exchanged", "shuffled"],
)
def test_landmarks_that_no_face_has_are_explained(
    builtin: MorphableModel, faces: Faces, change, kind: str, words: str
) -> None:
    upright = np.flatnonzero(faces.yaw < 50)[:10]
    points, weights = change(faces.landmarks[upright]), np.ones((len(upright), 68))
    fit = fit_landmarks(points, builtin, SIZE)
    doubts = landmark_doubts(points, weights, fit, builtin, np.full((len(upright), 2), SIZE))
    assert sum(doubt.kind == kind and words in doubt.text for doubt in doubts) >= 9, doubts
    assert all(doubt.is_explained == (doubt.kind != "unknown") for doubt in doubts if doubt.kind)


def test_good_landmarks_raise_no_doubts(builtin: MorphableModel, faces: Faces) -> None:
    fit = fit_landmarks(faces.landmarks, builtin, SIZE)
    sizes, weights = np.full((len(faces.yaw), 2), SIZE), np.ones((len(faces.yaw), 68))
    assert not any(doubt.kind for doubt in landmark_doubts(faces.landmarks, weights, fit, builtin, sizes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": np.zeros((2, 5, 2))}, "points: float64 (2, 5, 2)"),
        ({"points": np.full((1, 68, 2), np.nan)}, "points: face 0 has 0 of the 68, expected 6 or more"),
        ({"points": np.ones((1, 68, 2))}, "points: those of face 0 lie in one point or line"),
        ({"points": np.arange(68.0)[None, :, None] * [2, 1]}, "points: those of face 0 lie in one point or line"),
        ({"jaw": "2d"}, "jaw: '2d', expected"),
        ({"scores": np.full((1, 68), 2.0)}, "scores: some are not from 0 to 1"),
        ({"scores": np.ones((1, 5))}, "scores: float64 (1, 5)"),
        ({"image_height": [1, 2]}, "image_height: "),
        ({"person": [0, 0]}, "person: "),
    ],
)
def test_wrong_arguments_are_named(builtin: MorphableModel, faces: Faces, options, message: str) -> None:
    arguments = {"points": faces.landmarks[:1], "image_height": SIZE, **options}
    with pytest.raises(InputError) as error:
        fit_landmarks(arguments.pop("points"), builtin, arguments.pop("image_height"), **arguments)
    assert str(error.value).startswith(message)


@pytest.mark.slow
def test_a_model_without_expressions_and_one_without_shapes_are_fitted(builtin: MorphableModel, faces: Faces) -> None:
    for shapes, expressions in ((builtin.n_shape, 0), (0, builtin.n_expression), (0, 0)):
        chosen = [*range(shapes), *range(builtin.n_shape, builtin.n_shape + expressions)]
        model = dataclasses.replace(
            builtin, basis=np.ascontiguousarray(builtin.basis[..., chosen]), shape_std=builtin.shape_std[:shapes],
            expression_std=builtin.expression_std[:expressions],
        )  # fmt: skip
        fit = fit_landmarks(faces.landmarks[:2], model, SIZE, person=[0, 0])
        assert fit.shape.shape == (2, shapes) and fit.expression.shape == (2, expressions)
        assert (fit.residual < 0.12).all()


def test_normals_point_outward_whichever_way_triangles_turn(builtin: MorphableModel) -> None:
    turned = dataclasses.replace(builtin, triangles=np.ascontiguousarray(builtin.triangles[:, ::-1]))
    np.testing.assert_allclose(mean_face_normals(turned), mean_face_normals(builtin), atol=1e-3)
    assert mean_face_normals(builtin)[builtin.landmarks[30], 2] > 0.5


def test_the_contour_of_a_model_without_regions_is_nearly_the_same(builtin: MorphableModel) -> None:
    known = set(Contour.of_model(builtin).vertices.tolist())
    found = set(Contour.of_model(dataclasses.replace(builtin, regions=None)).vertices.tolist())
    assert len(known & found) > 0.5 * len(known) > 50


@pytest.mark.slow
@pytest.mark.vital
def test_real_photographs_come_out_near_their_parameters(reference: Path, stand_in_model: MorphableModel) -> None:
    samples = find_samples(reference / "aflw2000")
    annotations = [read_annotation(sample) for sample in samples]
    heights = [read_image(sample).shape[0] for sample in samples]
    points = np.stack([annotation.landmarks_3d for annotation in annotations])
    fit = fit_landmarks(points, stand_in_model, heights, jaw="fixed")
    yaw = np.rad2deg([annotation.pose[1] for annotation in annotations])
    off = np.abs(np.rad2deg(fit.pose[:, 1]) - yaw)[np.abs(yaw) < 60]
    assert fit.residual.mean() < 0.015
    assert np.median(off) <= 3 and off.max() <= 10, off


@pytest.mark.parametrize(
    ("pitch", "yaw", "roll"),
    [(0, 0, 180), (5, 10, 175), (-5, 10, -178), (3, -20, 178), (0, 180, 0), (2, 170, 3), (4, -120, 2), (10, 85, -20),
     (60, 0, 100)],
)  # fmt: skip
def test_angles_of_faces_upside_down_and_from_behind_are_those_of_roll_and_yaw(
    pitch: float, yaw: float, roll: float
) -> None:
    given = np.deg2rad([[pitch, yaw, roll]])
    found = angles_of(rotation_matrices(given))
    assert np.abs((found - given + np.pi) % (2 * np.pi) - np.pi).max() < 1e-6


def test_no_faces_give_a_fit_of_none(builtin: MorphableModel) -> None:
    fit = fit_landmarks(np.zeros((0, 68, 2)), builtin, 450)
    assert fit.pose.shape == (0, 7) and fit.points.shape == (0, 68, 2)
    assert fit.shape.shape == (0, builtin.n_shape) and fit.residual.shape == (0,)


def test_many_faces_are_fitted_in_parts_without_another_result(
    model: MorphableModel, faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pictures of a person are one task: its memory is not to grow by half a megabyte with each of them."""
    person = [0, 1, 0, 1, 0, 2, 0, 3]
    points = faces.landmarks[: len(person)]
    fit_landmarks(points, model, SIZE)
    found, most = [], []
    for at_once in (100, 2):
        monkeypatch.setattr(fitter, "_AT_ONCE", at_once)
        tracemalloc.start()
        found.append([fit_landmarks(points, model, SIZE, person=who) for who in (None, person)])
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    (apart, together), (apart_in_parts, in_parts) = found
    np.testing.assert_array_equal(apart_in_parts.shape, apart.shape)
    np.testing.assert_array_equal(apart_in_parts.pose, apart.pose)
    np.testing.assert_allclose(in_parts.shape, together.shape, rtol=1e-3, atol=1e-3 * np.abs(together.shape).max())
    np.testing.assert_array_equal(in_parts.shape[0], in_parts.shape[2])
    assert most[1] < most[0] / 2


def test_persons_may_be_named_as_well_as_numbered(model: MorphableModel, faces: Faces) -> None:
    numbered = fit_landmarks(faces.landmarks[:3], model, SIZE, person=[1, 0, 1])
    for names in (["bob", "ann", "bob"], np.array([1.0, 0.0, 1.0]), np.array(["b", "a", "b"], object)):
        named = fit_landmarks(faces.landmarks[:3], model, SIZE, person=names)
        np.testing.assert_array_equal(named.shape, numbered.shape)
    np.testing.assert_array_equal(numbered.shape[0], numbered.shape[2])
