"""Position maps of other networks' results, against the affine way and against projections written out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.formats import write_deep3d
from support.toy import toy_model

from uvgen import PositionMapper, load_model
from uvgen.errors import InputError
from uvgen.geometry import crop_affine, pose_to_image
from uvgen.maps.reconstructions import _vertices, deep3d_maps, deep3d_vertices, tddfa_maps
from uvgen.models.morphable import MorphableModel, make_model
from uvgen.samples import deep3d, tddfa


def wider(model: MorphableModel, n_shape: int, n_expression: int) -> MorphableModel:
    """A model with so many components: its own, then smaller and smaller ones."""
    rng = np.random.default_rng(0)
    more = rng.normal(size=(model.n_vertices, 3, n_shape + n_expression)) * 50
    arrays = {
        name: getattr(model, name) for name in ("mean", "triangles", "mouth_triangles", "uv", "landmarks", "mirror")
    }
    return make_model(
        source="wide",
        name="wide",
        basis=more,
        shape_std=np.ones(n_shape),
        expression_std=np.ones(n_expression),
        **arrays,
    )


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> MorphableModel:
    return wider(load_model(write_deep3d(tmp_path_factory.mktemp("deep3d"), toy_model())), 80, 64)


def coefficients(seed: int = 0, n: int = 3) -> deep3d.Deep3dCoefficients:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 257))
    rows[:, 224:227] *= 0.4
    rows[:, 254:] *= 0.3
    return deep3d.split_coefficients(rows)


def seen(model: MorphableModel, given: deep3d.Deep3dCoefficients, k: int) -> NDArray[np.float64]:
    """(n, 3) vertices of face k in the crop as their code has them: row vectors, decimeters, y up; z left out."""
    points = model.mean / 1e5 + (model.basis.astype(float) @ np.r_[given.identity[k], given.expression[k]]) / 1e5
    x, y, z = given.angles_rad[k]
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    moved = points @ (about_z @ about_y @ about_x).T + given.translation_dm[k]
    moved[:, 2] = 10 - moved[:, 2]
    product = moved @ np.array([[1015, 0, 112], [0, 1015, 112], [0, 0, 1.0]]).T
    return np.c_[product[:, 0] / product[:, 2], 223 - product[:, 1] / product[:, 2], moved[:, 2]]


def test_deep3d_vertices_and_maps_are_their_projection(front: MorphableModel) -> None:
    given, mapper = coefficients(), PositionMapper(front, 40)
    maps, landmarks = deep3d_maps(mapper, given)
    for k, vertices in enumerate(deep3d_vertices(front, given)):
        expected = seen(front, given, k)
        np.testing.assert_allclose(vertices[:, :2], expected[:, :2], atol=0.01)  # px; float32 bases
        scale = 1015 / expected[:, 2].mean()
        expected[:, 2] = (expected[:, 2].max() - expected[:, 2]) * scale
        np.testing.assert_allclose(landmarks[k], expected[front.landmarks], atol=0.01)
        atlas = mapper.atlas
        for texel in (0, 17 * 40 + 3, 40 * 40 - 1):
            point = atlas.weights[texel].astype(float) @ expected[atlas.vertices[texel]]
            np.testing.assert_allclose(maps[k].reshape(-1, 3)[texel], point, atol=0.01)


def test_deep3d_maps_move_to_another_crop(front: MorphableModel) -> None:
    given, mapper = coefficients(), PositionMapper(front, 24)
    similarity = np.array([[2, 0, 5], [0, 2, -7], [0, 0, 1.0]])
    here, there = deep3d_maps(mapper, given)[0], deep3d_maps(mapper, given, similarity)[0]
    np.testing.assert_allclose(there, here * 2 + [5, -7, 0], atol=1e-3)


def test_deep3d_landmarks_of_another_model_are_refused(front: MorphableModel) -> None:
    given = coefficients()
    marks = np.stack([seen(front, given, k)[front.landmarks, :2] for k in range(3)])
    np.testing.assert_array_equal(
        deep3d_vertices(front, replace(given, landmarks=marks)), deep3d_vertices(front, given)
    )
    marks[1, 7, 0] += 1.5
    with pytest.raises(
        InputError,
        match=r"coefficients: their landmarks lie up to 1\.5 px from those of wide, "
        "expected",
    ):
        deep3d_vertices(front, replace(given, landmarks=marks))
    with pytest.raises(InputError, match=r"shape: float64 \(3, 80\), expected \(3, 10\): 10 components of toy"):
        deep3d_vertices(toy_model(), given)


def test_deep3d_vertices_of_parts_that_do_not_fit_are_refused(front: MorphableModel) -> None:
    given = coefficients()
    for name, values, message in (
        ("translation_dm", np.zeros((2, 3)), r"translation_dm: float64 \(2, 3\), expected \(3, 3\)"),
        ("angles_rad", np.full((3, 3), np.inf), "angles_rad: holds NaN or infinity"),
        ("identity", np.full((3, 80), np.nan), "shape: holds NaN or infinity"),
        ("landmarks", np.zeros((2, 68, 2)), r"landmarks: float64 \(2, 68, 2\), expected \(3, 68, 2\)"),
    ):
        with pytest.raises(InputError, match=message):
            deep3d_vertices(front, replace(given, **{name: values}))
    none = deep3d.split_coefficients(np.zeros((0, 257)))
    assert deep3d_vertices(front, none).shape == (0, front.n_vertices, 3)


def test_a_face_does_not_depend_on_how_many_come_with_it(front: MorphableModel) -> None:
    given = coefficients()
    together = deep3d_vertices(front, given)
    parts = {name: getattr(given, name) for name in ("identity", "expression", "angles_rad", "translation_dm")}
    for k in range(3):
        alone = deep3d_vertices(front, replace(given, **{name: part[k : k + 1] for name, part in parts.items()}))
        np.testing.assert_array_equal(alone[0], together[k])
    # NumPy before 2.3 multiplies stacks in other orders without BLAS, which rounds otherwise
    assert _vertices(front, given.identity, given.expression).flags.c_contiguous


def test_maps_of_vertices_are_those_of_the_affine_way(model: MorphableModel) -> None:
    rng = np.random.default_rng(2)
    shape, expression = rng.normal(size=(2, 10)) * 3e5, rng.normal(size=(2, 5))
    pose = np.array([[0.1, 0.4, -0.2, 80, 60, -20, 4.5e-4], [0, -1.1, 0.1, 70, 50, 9, 5e-4]])
    similarity = np.array([[1.5, 0.2, 3], [-0.2, 1.5, -8], [0, 0, 1.0]])
    for size in (24, 40):  # few texels, and many: two ways in the mapper
        mapper = PositionMapper(model, size)
        affine = crop_affine(pose_to_image(pose, 120), similarity)
        vertices = model.mean + np.einsum("nck,bk->bnc", model.basis.astype(float), np.c_[shape, expression])
        vertices = vertices @ np.swapaxes(affine[:, :, :3], 1, 2) + affine[:, None, :, 3]
        before = vertices.copy()
        out = np.empty((2, size, size, 3), np.float32)
        maps, landmarks = mapper.maps_of_vertices(vertices, out=out)
        assert maps is out
        similarities = np.broadcast_to(similarity, (2, 3, 3))
        expected = mapper.maps_and_landmarks(shape, expression, pose, similarities, 120)
        np.testing.assert_allclose(maps, expected[0], atol=2e-3)  # px, float32
        np.testing.assert_allclose(landmarks, expected[1], atol=2e-3)
        np.testing.assert_array_equal(vertices, before)


def test_maps_of_vertices_of_wrong_shape_or_value_are_refused(model: MorphableModel) -> None:
    mapper = PositionMapper(model, 24)
    with pytest.raises(InputError, match=r"vertices: float64 \(1, 9, 3\), expected \(B, 1681, 3\): of toy"):
        mapper.maps_of_vertices(np.ones((1, 9, 3)))
    with pytest.raises(InputError, match="vertices: holds NaN or infinity"):
        mapper.maps_of_vertices(np.full((1, 1681, 3), np.inf))
    assert mapper.maps_of_vertices(np.ones((0, 1681, 3)))[0].shape == (0, 24, 24, 3)


def test_tddfa_maps_are_those_of_the_pose() -> None:
    model, rng = wider(toy_model(), 40, 10), np.random.default_rng(4)
    pose = np.array([[0.1, 0.4, -0.2, 80, 60, -20, 4.5e-4], [0, -1.1, 0.1, 70, 50, 9, 5e-4]])
    shape, expression = rng.normal(size=(2, 40)), rng.normal(size=(2, 10))
    box, similarity = np.array([[20, 10, 130, 120.0]]), np.array([[1.5, 0, 3], [0, 1.5, -8], [0, 0, 1.0]])
    parameters = tddfa.parameters_of(pose, shape, expression, box, 120)
    mapper = PositionMapper(model, 40)
    similarities = np.broadcast_to(similarity, (2, 3, 3))
    expected = mapper.maps_and_landmarks(shape, expression, pose, similarities, 120)
    for found, wanted in zip(tddfa_maps(mapper, parameters, box, similarity), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-3)  # px, float32
    unmoved = mapper.maps_and_landmarks(shape, expression, pose, np.broadcast_to(np.eye(3), (2, 3, 3)), 120)
    np.testing.assert_allclose(tddfa_maps(mapper, parameters, box)[0], unmoved[0], atol=2e-3)


def test_results_end_to_end(tmp_path: Path, front: MorphableModel) -> None:
    """A file of coefficients to maps, as docs/models.md shows."""
    import scipy.io as sio

    given = coefficients(5, 1)
    names = {"id": "identity", "exp": "expression", "tex": "texture", "angle": "angles_rad", "gamma": "gamma",
             "trans": "translation_dm"}  # fmt: skip
    marks = seen(front, given, 0)[front.landmarks, :2]
    sio.savemat(tmp_path / "a.mat", {key: getattr(given, name) for key, name in names.items()} | {"lm68": marks[None]})
    maps, _ = deep3d_maps(PositionMapper(front, 24), deep3d.read_coefficients(tmp_path / "a.mat"))
    np.testing.assert_array_equal(maps, deep3d_maps(PositionMapper(front, 24), given)[0])
