"""Landmarks in maps: texels on their own side of lips and lids, and weights that read them to a fraction of a pixel."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from support.toy import toy_model

from uvgen import (
    LandmarkWeights,
    PositionMapper,
    build_atlas,
    crop_similarity,
    landmark_texels,
    landmark_weights,
    load_model,
    read_landmarks,
    weight_mask,
)
from uvgen.errors import InputError, ModelError
from uvgen.maps.atlas import CLOSURE, MESH, texel_coordinates
from uvgen.maps.landmarks import _cheapest_columns
from uvgen.models.builtin.expression import EXPRESSIONS
from uvgen.models.morphable import MorphableModel, make_model

SIZES = (64, 128, 256)


@pytest.fixture(scope="module")
def builtin() -> MorphableModel:
    return load_model("builtin")


def px_per_unit(model: MorphableModel) -> float:
    """Pixels of a 256 px crop of the mean face in front view: 1.5 extents of its landmarks wide."""
    points = model.mean[model.landmarks]
    return 256 / (1.5 * float(np.ptp(points[:, 0]) + np.ptp(points[:, 1])) / 2)


def extremes(model: MorphableModel, strengths: list[tuple[float, float]]) -> NDArray[np.float64]:
    """(n, 3, faces) vertices, px: the mean face and each expression component at the strengths."""
    mean = model.mean.astype(np.float64)
    faces = [mean, *(mean + s * model.expression_basis[..., k] for k, pair in enumerate(strengths) for s in pair)]
    return np.stack(faces, axis=-1) * px_per_unit(model)


def distances(model: MorphableModel, size: int, faces: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Of the 5 × 5 texels around each landmark: (68, 25) `texels`, which are on the `mesh`, and `px` in each face."""
    atlas = build_atlas(model, size)
    step = np.arange(-2, 3)
    rows_columns = np.rint(texel_coordinates(model.uv[model.landmarks], size)[:, ::-1]).astype(int)[:, None]
    rows_columns = rows_columns + np.stack(np.meshgrid(step, step), axis=-1).reshape(-1, 2)
    inside = ((rows_columns >= 0) & (rows_columns < size)).all(axis=-1)
    texels = np.where(inside, rows_columns @ [size, 1], 0)
    places = sum(
        atlas.weights[texels, c].astype(np.float64)[..., None, None] * faces[atlas.vertices[texels, c]]
        for c in range(3)
    )
    px = np.linalg.norm(places - faces[model.landmarks][:, None], axis=2)
    return {"texels": texels, "mesh": inside & (atlas.texel_kind.ravel()[texels] == MESH), "px": px}


def beyond_best(model: MorphableModel, size: int, faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """(68,) by how much each landmark's texel is worse than the best one around, px, in the worst face."""
    around = distances(model, size, faces)
    best = np.where(around["mesh"], around["px"].max(axis=-1), np.inf).min(axis=1)
    chosen = around["texels"] == (landmark_texels(model, size) @ [size, 1])[:, None]
    assert chosen.any(axis=1).all()
    return around["px"].max(axis=-1)[np.arange(68), chosen.argmax(axis=1)] - best


def check_places(model: MorphableModel, size: int) -> None:
    """Texels of their own, on the mesh."""
    texels = landmark_texels(model, size)
    assert texels.dtype == np.int32 and texels.shape == (68, 2)
    assert (build_atlas(model, size).texel_kind[tuple(texels.T)] == MESH).all()
    assert len(np.unique(texels, axis=0)) == 68


@pytest.mark.parametrize("size", SIZES)
def test_landmark_texels_of_the_built_in_model_are_the_best_around_in_every_expression(builtin, size) -> None:
    check_places(builtin, size)
    widest = [(-3 * s, 3 * s) for s in builtin.expression_std]
    assert beyond_best(builtin, size, extremes(builtin, widest)).max() < 3
    assert beyond_best(builtin, size, extremes(builtin, [e[2:] for e in EXPRESSIONS])).max() < 3  # jaw wide open


@pytest.mark.parametrize("size", SIZES)
def test_landmark_texels_of_the_stand_in_are_among_the_best_around(stand_in_model, size) -> None:
    check_places(stand_in_model, size)
    widest = [(-3 * s, 3 * s) for s in stand_in_model.expression_std]
    limit = 4 if size == 64 else 0.5  # at 64, two have the same best texel
    assert beyond_best(stand_in_model, size, extremes(stand_in_model, widest)).max() < limit


@pytest.mark.parametrize("size", SIZES)
def test_landmark_texels_and_weights_stay_on_their_side_of_lips_and_lids(builtin, size) -> None:
    """Along the mesh, the texels are about as near as through the air: between the lips, the way is around a corner."""
    atlas, mean = build_atlas(builtin, size), builtin.mean.astype(np.float64) * px_per_unit(builtin)
    edges = np.concatenate([builtin.triangles[:, [0, 1]], builtin.triangles[:, [1, 2]], builtin.triangles[:, [2, 0]]])
    lengths = np.linalg.norm(mean[edges[:, 0]] - mean[edges[:, 1]], axis=1)
    graph = coo_array((lengths, edges.T), shape=(len(mean), len(mean))).tocsr()
    weights = landmark_weights(builtin, size)
    texels = np.concatenate([(landmark_texels(builtin, size) @ [size, 1])[:, None], weights.indices], axis=1)
    assert (atlas.texel_kind.ravel()[texels] == MESH).all()
    for k in range(36, 68):
        path = dijkstra(graph, directed=False, indices=builtin.landmarks[k])
        for t in texels[k]:
            corners = atlas.vertices[t]
            place = atlas.weights[t] @ mean[corners]
            along = (path[corners] + np.linalg.norm(mean[corners] - place, axis=1)).min()
            assert along < 2 * np.linalg.norm(place - mean[builtin.landmarks[k]]) + 3, (k, t)  # px; about one edge


def slit_model() -> MorphableModel:
    """The toy with a mouth that is closed in space: the edges of its hole lie in one place. Nothing moves it apart."""
    toy = toy_model()
    arrays = {field.name: getattr(toy, field.name) for field in dataclasses.fields(toy)}
    row = np.arange(toy.n_vertices) // 41
    mean = np.array(toy.mean)
    mean[row >= 18, 1] -= mean[18 * 41 + 20, 1] - mean[17 * 41 + 20, 1]
    mean[:, 2] = 0
    landmarks = np.array(toy.landmarks)
    landmarks[[61, 62, 63]], landmarks[[67, 66, 65]] = (
        18 * 41 + np.array([18, 20, 22]),
        17 * 41 + np.array([18, 20, 22]),
    )
    arrays |= {"mean": mean, "landmarks": landmarks, "basis": 0 * toy.basis}
    return make_model(source="slit", **arrays)


@pytest.mark.parametrize("size", [44, 50, 57, 64, 101])
def test_landmark_texels_at_a_closed_mouth_are_on_their_own_lip(size) -> None:
    slit = slit_model()
    upper, lower = (size - 1) * (1 - 18 / 40), (size - 1) * (1 - 17 / 40)  # rows of the hole's edges
    rows = landmark_texels(slit, size)[:, 0]
    read_rows = landmark_weights(slit, size).indices // size
    for found in (rows[:, None], read_rows):
        assert (found[[61, 62, 63]] <= upper).all() and (found[[65, 66, 67]] >= lower).all()


@pytest.mark.parametrize("size", [101, 128])
def test_landmark_texels_lie_at_the_uv_and_not_on_the_closed_mouth(model, size) -> None:
    uv = texel_coordinates(model.uv[model.landmarks], size)[:, ::-1]
    assert np.abs(landmark_texels(model, size) - uv).max() <= 1.5
    nearest = np.rint(uv).astype(int)
    closed = build_atlas(model, size).texel_kind[tuple(nearest.T)] == CLOSURE
    assert size != 101 or closed.any()  # rounding would take them
    check_places(model, size)
    assert (weight_mask(model, size)[tuple(landmark_texels(model, size).T)] == 16).all()


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (12, 200)])
@pytest.mark.parametrize("n_values", [2, 1_000_000])  # competition for all columns, and for few
def test_cheapest_columns_are_those_of_scipy(shape: tuple[int, int], n_values: int) -> None:
    rng = np.random.default_rng(n_values)
    free = 0
    for _ in range(100):
        costs = rng.integers(0, n_values, shape) / 8.0 + 1e-9 * np.arange(shape[1])  # no ties within a row
        free += len(np.unique(costs.argmin(axis=1))) == shape[0]
        np.testing.assert_array_equal(_cheapest_columns(costs), linear_sum_assignment(costs)[1])
    assert free or n_values == 2


def test_landmark_texels_of_the_built_in_model_need_none_of_scipys_optimizers() -> None:
    program = (
        "import sys; from uvgen import landmark_texels, load_model; "
        f"[landmark_texels(load_model('builtin'), size) for size in {SIZES}]; print('scipy.optimize' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout == "False\n"


def test_landmark_texels_are_shared_only_where_there_are_too_few(model) -> None:
    same = np.where(np.arange(68) < 17, model.landmarks, model.landmarks[30])  # the jaw, and 51 in one place
    crowded = dataclasses.replace(model, landmarks=same)
    texels, counts = np.unique(landmark_texels(crowded, 64)[17:], axis=0, return_counts=True)
    assert len(texels) == 25 and np.abs(texels - texels.mean(axis=0)).max() == 2 and counts.max() == 27
    weights = landmark_weights(crowded, 64)
    assert (weights.indices[17:] == weights.indices[17]).all()


def test_landmark_texels_of_the_real_uv_are_those_that_prnet_published(
    reference: Path, stand_in_model: MorphableModel
) -> None:
    columns, rows = np.loadtxt(reference / "prnet_uv/uv_kpt_ind.txt")
    assert np.abs(landmark_texels(stand_in_model, 256) - np.stack([rows, columns], axis=1)).max() <= 1


# Reading them


def labels(model: MorphableModel, size: int, n: int = 12) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Maps and landmarks of random faces in any pose, in crops of 256 px."""
    rng = np.random.default_rng(0)
    mapper = PositionMapper(model, size)
    shape, expression = (rng.normal(size=(n, len(std))) * std for std in (model.shape_std, model.expression_std))
    pose = np.zeros((n, 7))
    pose[:, :3] = rng.uniform(-1, 1, (n, 3)) * [0.4, 1.5, 0.4]
    pose[:, 3:5], pose[:, 6] = 225, px_per_unit(model)
    points = mapper.image_landmarks(shape, expression, pose, 450)
    crops = np.stack([crop_similarity(face[:, :2], 256) for face in points])
    return mapper.maps_and_landmarks(shape, expression, pose, crops, 450)


# mean and largest distance, px: measured 0.10 and 0.44, 0.19 and 1.7, 0.28 and 5.1
@pytest.mark.parametrize(("size", "mean", "largest"), [(256, 0.2, 1), (128, 0.4, 4), (64, 0.6, 10)])
def test_read_landmarks_of_the_built_in_model_are_the_landmarks(builtin, size, mean, largest) -> None:
    maps, truth = labels(builtin, size)
    found = read_landmarks(maps, landmark_weights(builtin, size))
    assert found.shape == (12, 68, 3) and found.dtype == np.float32
    apart = np.linalg.norm(found - truth, axis=2)
    assert apart.mean() < mean and apart.max() < largest
    texels = landmark_texels(builtin, size)
    assert apart.mean() < np.linalg.norm(maps[:, texels[:, 0], texels[:, 1]] - truth, axis=2).mean() / 5


@pytest.mark.slow
@pytest.mark.parametrize(("size", "mean", "largest"), [(256, 0.2, 2), (128, 0.4, 3), (64, 0.6, 6)])
def test_read_landmarks_of_the_stand_in_are_the_landmarks(stand_in_model, size, mean, largest) -> None:
    maps, truth = labels(stand_in_model, size)
    apart = np.linalg.norm(read_landmarks(maps, landmark_weights(stand_in_model, size)) - truth, axis=2)
    assert apart.mean() < mean and apart.max() < largest


def test_landmark_weights_are_frozen_and_sum_to_one(model) -> None:
    weights = landmark_weights(model, 64)
    assert weights.size == 64
    assert (weights.indices.dtype, weights.indices.shape) == (np.int32, (68, 4))
    assert (weights.weights.dtype, weights.weights.shape) == (np.float32, (68, 4))
    np.testing.assert_allclose(weights.weights.sum(axis=1), 1, atol=1e-5)  # float32
    assert not weights.indices.flags.writeable and not weights.weights.flags.writeable


def test_landmark_weights_follow_the_pixel_convention(model) -> None:
    for convention in ("exact", "face3d"):
        kinds = build_atlas(model, 48, convention).texel_kind.ravel()
        assert (kinds[landmark_weights(model, 48, convention).indices] == MESH).all()
    with pytest.raises(InputError, match="convention"):
        landmark_weights(model, 48, "prnet")


def random_weights(u: int) -> LandmarkWeights:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(68, 4)).astype(np.float32)
    return LandmarkWeights(u, rng.integers(0, u * u, (68, 4)).astype(np.int32), weights)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_read_landmarks_is_the_weighted_sum_in_either_layout(batch) -> None:
    maps = np.random.default_rng(0).normal(size=(*batch, 16, 16, 3)).astype(np.float32)
    weights = random_weights(16)
    found = read_landmarks(maps, weights)
    expected = np.zeros((*batch, 68, 3))
    for k in range(68):
        for index, weight in zip(weights.indices[k], weights.weights[k], strict=True):
            expected[..., k, :] += weight * maps[..., index // 16, index % 16, :]
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32
    first = read_landmarks(np.ascontiguousarray(np.moveaxis(maps, -1, -3)), weights)
    np.testing.assert_allclose(first, expected, atol=1e-5)


def test_read_landmarks_of_tensors_equals_that_of_arrays_and_has_gradients() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    maps = np.random.default_rng(0).normal(size=(2, 16, 16, 3))
    weights = random_weights(16)
    expected = read_landmarks(maps, weights)
    assert expected.dtype == np.float64
    for layout in (torch.from_numpy(maps), torch.from_numpy(np.moveaxis(maps, -1, 1).copy())):
        tensor = layout.requires_grad_()
        found = read_landmarks(tensor, weights)
        assert found.shape == (2, 68, 3) and found.dtype == torch.float64
        np.testing.assert_allclose(found.detach(), expected, atol=1e-6)  # weights are float32
        found.sum().backward()
        assert float(tensor.grad.sum()) == pytest.approx(6 * float(weights.weights.sum()), rel=1e-5)


@pytest.mark.slow
def test_read_landmarks_of_half_precision_is_computed_in_float32() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    maps = np.random.default_rng(0).uniform(0, 256, (2, 16, 16, 3)).astype(np.float16)
    weights = random_weights(16)
    expected = read_landmarks(maps.astype(np.float32), weights)
    found = read_landmarks(maps, weights)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    for kind in (torch.float16, torch.bfloat16):
        half = torch.from_numpy(maps).to(kind)
        found = read_landmarks(half, weights)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, read_landmarks(half.float(), weights), atol=0, rtol=0)


def test_read_landmarks_of_what_are_no_such_maps_raises() -> None:
    weights = random_weights(16)
    with pytest.raises(InputError, match=r"maps: float64 \(2, 17, 17, 3\), expected .* the weights are for 16 texels"):
        read_landmarks(np.zeros((2, 17, 17, 3)), weights)
    with pytest.raises(InputError, match=r"maps: uint16 \(16, 16, 3\), expected floats; for stored codes see"):
        read_landmarks(np.zeros((16, 16, 3), np.uint16), weights)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">f2"])
def test_read_landmarks_of_any_byte_order_is_the_same(dtype: str) -> None:
    maps, weights = np.random.default_rng(0).normal(size=(20, 20, 3)).astype(dtype), random_weights(20)
    native = maps.astype(dtype[1:])
    np.testing.assert_array_equal(read_landmarks(maps, weights), read_landmarks(native, weights))
    assert read_landmarks(maps, weights).dtype == read_landmarks(native, weights).dtype


def test_read_landmarks_with_other_weights_says_what_makes_them() -> None:
    with pytest.raises(InputError, match=r"^weights: float64 \(68, 4\), expected LandmarkWeights"):
        read_landmarks(np.zeros((20, 20, 3), np.float32), np.zeros((68, 4)))


def test_landmark_weights_of_constants_without_them_raise() -> None:
    with pytest.raises(InputError, match="constants: have no landmark_indices, expected those of a data set"):
        LandmarkWeights.of_constants({"weight_mask": np.ones((16, 16))})
    indices, weights = np.zeros((68, 4), np.int32), np.ones((68, 4), np.float32)
    with pytest.raises(InputError, match="have no weight_mask"):
        LandmarkWeights.of_constants({"landmark_indices": indices, "landmark_weights": weights})


def test_landmark_weights_of_components_that_no_face_has_are_refused(model: MorphableModel) -> None:
    odd = dataclasses.replace(model, basis=np.full_like(model.basis, 9e11))
    with pytest.raises(ModelError, match=r"toy: its components move landmark \d+ so far that texels cannot be weighed"):
        landmark_weights(odd, 48)
