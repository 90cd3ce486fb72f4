"""Position maps against a slow float64 oracle, face3d's golden maps, and AFLW2000-3D's own landmarks."""

import dataclasses
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import scipy.io as sio
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples
from support.oracles import crop_vertices

from uvgen import PositionMapper, find_samples, read_annotation, read_image
from uvgen.errors import InputError
from uvgen.fixed_point import FixedPoint
from uvgen.geometry import pose_to_image
from uvgen.maps.depth import DepthSearch
from uvgen.maps.image_landmarks import ImageLandmarks, LandmarkBasis
from uvgen.maps.texel_products import BATCH
from uvgen.models.morphable import MorphableModel, make_model


def faces(model: MorphableModel, n: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Shape, expression, pose, similarity and image height of n plausible faces."""
    rng = np.random.default_rng(seed)
    pose = np.c_[rng.uniform(-1, 1, (n, 3)) * [0.5, 1.5, 0.5], rng.uniform(40, 100, (n, 3)), np.full(n, 4.5e-4)]
    similarity = np.zeros((n, 3, 3))
    c, s = rng.uniform(0.5, 2, n), rng.uniform(-0.5, 0.5, n)
    similarity[:, 0, 0], similarity[:, 0, 1], similarity[:, 1, 0], similarity[:, 1, 1] = c, -s, s, c
    similarity[:, :2, 2], similarity[:, 2, 2] = rng.uniform(-30, 30, (n, 2)), 1
    shape = rng.normal(size=(n, model.n_shape)) * model.shape_std
    return shape, rng.normal(size=(n, model.n_expression)), pose, similarity, rng.integers(90, 200, n)


@pytest.mark.parametrize("size", [24, 64])  # the bases evaluated on the texels, and on the vertices
@pytest.mark.parametrize("convention", ["exact", "face3d"])
def test_position_mapper_call_equals_the_oracle_on_every_texel(model, size, convention) -> None:
    mapper = PositionMapper(model, size, convention)
    arguments = faces(model, 3)
    maps, landmarks = mapper.maps_and_landmarks(*arguments)
    for k in range(3):
        vertices = crop_vertices(model, *(a[k] for a in arguments), convention)
        corners = vertices[mapper.atlas.vertices]
        expected = (corners * mapper.atlas.weights[:, :, None]).sum(axis=1).reshape(size, size, 3)
        np.testing.assert_allclose(maps[k], expected, atol=2e-4)  # float32 sums of values of some hundred px
        np.testing.assert_allclose(landmarks[k], vertices[model.landmarks], atol=2e-4)


def test_position_mapper_call_shifts_the_smallest_depth_over_all_vertices_to_zero(model) -> None:
    """The deepest vertex belongs to no triangle: no texel shows it, and it counts all the same."""
    arrays = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    arrays |= dict.fromkeys(("mirror", "regions", "albedo_mean", "albedo_basis", "albedo_std"))
    arrays["mean"] = np.concatenate([model.mean, [[0, 0, -3e5]]])
    arrays["basis"] = np.concatenate([model.basis, np.zeros((1, *model.basis.shape[1:]))])
    arrays["uv"] = np.concatenate([model.uv, [[0.5, 0.5]]])
    deep = make_model(source="deep", **arrays)
    mapper = PositionMapper(deep, 24)
    shape, expression, pose, *rest = faces(deep, 5)
    pose[:, :3] *= 0.3  # turned further, the vertex would not be the deepest
    maps, landmarks = mapper.maps_and_landmarks(shape, expression, pose, *rest)
    for k in range(5):
        vertices = crop_vertices(deep, *(a[k] for a in (shape, expression, pose, *rest)))
        assert vertices[:, 2].argmin() == model.n_vertices
        np.testing.assert_allclose(landmarks[k], vertices[deep.landmarks], atol=5e-4)  # float32, of some hundred px
        assert maps[k, ..., 2].min() > 10  # px


@pytest.mark.parametrize("size", [24, 64])
def test_position_mapper_of_a_model_without_components_gives_the_mean_face(model, size) -> None:
    """As of a mesh without scans."""
    none = np.empty(0, np.float32)
    bare = dataclasses.replace(model, basis=model.basis[:, :, :0], shape_std=none, expression_std=none)
    shape, expression, *rest = faces(model, 3)
    found = PositionMapper(bare, size).maps_and_landmarks(shape[:, :0], expression[:, :0], *rest)
    expected = PositionMapper(model, size).maps_and_landmarks(0 * shape, 0 * expression, *rest)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)


@pytest.mark.parametrize("size", [24, 64])
def test_position_mapper_map_has_the_same_bytes_in_any_batch(model, size) -> None:
    mapper = PositionMapper(model, size)
    arguments = faces(model, BATCH + 20)
    whole = mapper(*arguments)
    for k in (0, 7, BATCH - 1, BATCH, BATCH + 19):
        np.testing.assert_array_equal(mapper(*(a[k : k + 1] for a in arguments))[0], whole[k])


def test_codes_and_landmarks_are_the_nearest_codes_of_the_float_maps(model) -> None:
    mapper, fixed_point = PositionMapper(model, 64), FixedPoint.for_crop(256)
    arguments = faces(model, 4)
    maps, landmarks = mapper.maps_and_landmarks(*arguments)
    codes, same_landmarks, in_range = mapper.codes_and_landmarks(*arguments, fixed_point)
    assert in_range.all()
    np.testing.assert_array_equal(landmarks, same_landmarks)
    values = codes * fixed_point.scale + fixed_point.offset
    # half a step, and float32's error of codes up to 65536
    np.testing.assert_allclose(values, maps, atol=fixed_point.scale * (0.5 + 0.02))


def test_codes_and_landmarks_out_of_range_are_reported_for_that_face_alone(model) -> None:
    mapper = PositionMapper(model, 64)
    shape, expression, pose, similarity, height = faces(model, 4)
    similarity[1, 0, 2] += 256 * 2.5  # to the right
    similarity[2, 0, 2] -= 256 * 2.5  # to the left
    fixed_point = FixedPoint.for_crop(256)
    _, _, in_range = mapper.codes_and_landmarks(shape, expression, pose, similarity, height, fixed_point)
    np.testing.assert_array_equal(in_range, [True, False, False, True])


@examples(40)
@given(st.integers(0, 2**31), st.floats(0, 20))
def test_depth_search_finds_the_smallest_depth_for_any_parameters(model, seed, spread) -> None:
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(model.basis.shape[2], 5)).astype(np.float32)
    coefficients *= spread * np.r_[model.shape_std, model.expression_std][:, None]
    directions = rng.normal(size=(3, 5)).astype(np.float32) * np.float32(1e-3)
    vertices = (model.basis.reshape(-1, len(coefficients)) @ coefficients).reshape(-1, 3, 5) + model.mean[:, :, None]
    expected = np.einsum("vxb,xb->vb", vertices, directions).min(axis=0)
    found = DepthSearch(model).smallest(coefficients, directions)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4 * (1 + spread))  # float32, in another order


def test_image_landmarks_equal_those_of_the_crop_moved_back(model) -> None:
    mapper = PositionMapper(model, 32)
    shape, expression, pose, similarity, height = faces(model, 2)
    _, crop = mapper.maps_and_landmarks(shape, expression, pose, similarity, height)
    image = mapper.image_landmarks(shape, expression, pose, height)
    for k in range(2):
        moved = np.c_[image[k, :, :2], np.ones(68)] @ similarity[k].T
        np.testing.assert_allclose(crop[k, :, :2], moved[:, :2], atol=1e-4)  # float32


@pytest.mark.parametrize("convention", ["exact", "face3d"])
def test_landmarks_in_images_of_later_heights_are_image_landmarks_to_the_last_bit(model, convention) -> None:
    """Of any number of faces: what a sample's crop depends on is not what was read with it."""
    mapper = PositionMapper(model, 32, convention)
    shape, expression, pose, _, height = faces(model, 7)
    pose[0, 4] = 0
    found = ImageLandmarks.of_faces(LandmarkBasis(model), convention, shape, expression, pose)
    for k in range(7):
        alone = mapper.image_landmarks(shape[k : k + 1], expression[k : k + 1], pose[k : k + 1], height[k])[0]
        np.testing.assert_array_equal(found.of(k, int(height[k])), alone)


def test_position_mapper_call_fills_and_returns_the_buffer(model) -> None:
    mapper, arguments = PositionMapper(model, 32), faces(model, 2)
    buffer = np.full((2, 32, 32, 3), np.nan, np.float32)
    assert mapper(*arguments, out=buffer) is buffer
    np.testing.assert_array_equal(buffer, mapper(*arguments))


def test_position_mapper_call_leaves_its_arguments_alone(model) -> None:
    arguments = faces(model, 2)
    copies = [a.copy() for a in arguments]
    PositionMapper(model, 32)(*arguments)
    for argument, copy in zip(arguments, copies, strict=True):
        np.testing.assert_array_equal(argument, copy)


def test_position_mapper_call_from_several_threads_gives_the_same_maps(model) -> None:
    mapper = PositionMapper(model, 64)
    arguments = faces(model, 8)
    expected = mapper(*arguments)
    found: list[np.ndarray] = [np.empty(0)] * 8

    def work(k: int) -> None:
        found[k] = mapper(*(a[k : k + 1] for a in arguments))[0]

    threads = [Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(np.stack(found), expected)


def test_position_mapper_pickled_makes_the_same_maps(model) -> None:
    mapper, arguments = PositionMapper(model, 32), faces(model, 2)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(mapper))(*arguments), mapper(*arguments))


def test_position_mapper_pickled_after_a_call_carries_no_buffers(model) -> None:
    mapper = PositionMapper(model, 32)
    size = len(pickle.dumps(mapper))
    mapper(*faces(model, 2))
    assert len(pickle.dumps(mapper)) == size


def replaced(model: MorphableModel, position: int, value: object) -> list[object]:
    arguments: list[object] = list(faces(model, 2))
    arguments[position] = value
    return arguments


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, np.zeros((2, 3)), r"shape: float64 \(2, 3\), expected \(2, 10\): 10 components of toy"),
        (1, np.zeros((1, 5)), r"expression: float64 \(1, 5\), expected \(2, 5\)"),
        (0, np.full((2, 10), np.nan), "NaN or infinity"),
        (2, np.full((2, 7), np.inf), "NaN or infinity"),
        (3, np.eye(3)[None], r"similarity: float64 \(1, 3, 3\), expected \(2, 3, 3\)"),
        (3, np.diag([1, 2, 1.0]), "expected rotation, uniform scale and shift"),
        (4, [1, 2, 3], "image_height"),
        (0, [["a"] * 10] * 2, r"shape: <U1 \(2, 10\), expected real numbers"),
        (1, [[1], [1, 2]], "expression: .*, expected what NumPy can make an array of"),
        (2, "x", r"pose: array\('x', dtype='<U1'\), expected real numbers"),
        (2, np.zeros((2, 7), complex), r"pose: complex128 \(2, 7\), expected real numbers"),
        (3, [["a"]], r"similarity: <U1 \(1, 1\), expected real numbers"),
    ],
)
def test_position_mapper_call_with_a_bad_argument_raises(model, position, value, message) -> None:
    with pytest.raises(InputError, match=message):
        PositionMapper(model, 32)(*replaced(model, position, value))


def test_position_mapper_call_with_a_wrong_buffer_raises(model) -> None:
    with pytest.raises(InputError, match=r"out: float64 \(2, 32, 32, 3\), expected float32 \(2, 32, 32, 3\)"):
        PositionMapper(model, 32)(*faces(model, 2), out=np.zeros((2, 32, 32, 3)))


def test_position_mapper_with_a_bad_size_or_compat_raises(model) -> None:
    with pytest.raises(InputError, match="size: 8 texels, expected 16 to 4096"):
        PositionMapper(model, 8)
    with pytest.raises(InputError, match="convention: 'x'"):
        PositionMapper(model, 32, "x")
    for size, found in ((0, "0 px"), (-5, "-5 px"), ("256", "'256'"), (256.5, "256.5"), (True, "True")):
        with pytest.raises(InputError, match=f"crop_size: {found}, expected .*1 to 32768"):
            PositionMapper(model, 32, crop_size=size)


GOLDEN = [
    ("AFW", "AFW_134212_1_1", 256), ("AFW", "AFW_134212_1_1", 128), ("AFW_Flip", "AFW_134212_1_0", 256),
    ("HELEN", "HELEN_232194_1_1", 256), ("IBUG", "IBUG_image_008_1_0", 256), ("IBUG", "IBUG_image_008_1_0", 128),
    ("aflw2000", "image00050", 256), ("aflw2000", "image02616", 256),
]  # fmt: skip


@pytest.fixture(scope="module")
def compatible(stand_in_model: MorphableModel) -> Callable[[int], PositionMapper]:
    """face3d's mapper of a size, made once."""
    return cache(lambda size: PositionMapper(stand_in_model, size, "face3d"))


@pytest.mark.parametrize(("subset", "name", "size"), GOLDEN)
def test_position_mapper_face3d_compat_equals_face3d_on_real_samples(
    reference: Path, compatible: Callable[[int], PositionMapper], subset: str, name: str, size: int
) -> None:
    folder = reference / "aflw2000" if subset == "aflw2000" else reference / "w300lp" / subset
    sample = next(s for s in find_samples(folder) if s.name == name)
    annotation, golden = read_annotation(sample), np.load(reference / f"golden/{name}_{size}.npz")
    maps, landmarks = compatible(size).maps_and_landmarks(
        annotation.shape[None], annotation.expression[None], annotation.pose[None],
        golden["tform"], read_image(sample).shape[0],
    )  # fmt: skip
    there = (golden["posmap"] != 0).any(axis=-1)
    inner = np.zeros_like(there)
    inner[2:-2, 2:-2] = True  # outside, face3d extrapolates
    assert (there & inner).sum() > 0.97 * inner.sum()
    np.testing.assert_allclose(maps[0][there & inner], golden["posmap"][there & inner], atol=1e-3)
    np.testing.assert_allclose(landmarks[0], golden["landmarks_crop"], atol=1e-3)


def test_pose_to_image_exact_agrees_with_the_annotated_3d_landmarks_of_aflw2000(reference: Path) -> None:
    parts = reference / "bfm_parts"
    rows = np.load(parts / "keypoints_sim.npy")
    mean = (np.load(parts / "u_shp.npy") + np.load(parts / "u_exp.npy")).ravel()[rows]
    shape_basis, expression_basis = (np.loadtxt(parts / f"w_{kind}_keypoints.txt") for kind in ("shp", "exp"))
    offsets = []
    for sample in find_samples(reference / "aflw2000"):
        annotation = read_annotation(sample)
        assert sample.parameters is not None
        marked = sio.loadmat(sample.parameters)["pt3d_68"].T.astype(np.float64) - [1, 1, 0]  # MATLAB counts from 1
        flat = mean + shape_basis @ annotation.shape[:40] + expression_basis @ annotation.expression[:10]
        affine = pose_to_image(annotation.pose[None], read_image(sample).shape[0])[0]
        offsets.append(marked - (flat.reshape(68, 3) @ affine[:, :3].T + affine[:, 3]))
    assert len(offsets) == 16
    # single points are off by some tenths (only 40 + 10 of the components are known); a shift would show in the median
    assert np.abs(np.median(np.concatenate(offsets), axis=0)).max() < 0.1


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (6, 0.0, r"pose: f is 0 px/µm in row 1, expected more than 0"),
        (6, -1e-4, r"pose: f is -0\.0001 px/µm in row 1, expected more than 0"),
        (1, 45.0, r"pose: angles \[.*45\.0.*\] in row 1, expected radians of -2π to 2π"),
        (2, -6.3, "expected radians of -2π to 2π"),
        (0, np.nan, "pose: holds NaN or infinity"),
    ],
)
def test_mapper_refuses_poses_that_no_fit_gives(model: MorphableModel, column: int, value: float, message: str) -> None:
    pose = np.tile([0.1, 0.2, 0, 80, 60, 0, 4e-4], (2, 1))
    pose[1, column] = value
    mapper = PositionMapper(model, 32)
    zeros = np.zeros((2, model.n_shape)), np.zeros((2, model.n_expression))
    for call in (mapper.image_landmarks, lambda *given: mapper(*given[:3], np.eye(3), given[3])):
        with pytest.raises(InputError, match=message):
            call(*zeros, pose, 120)
    pose[1, column] = [6.28, 6.28, 6.28, 0, 0, 0, 1e-9][column]  # at the limits
    mapper.image_landmarks(*zeros, pose, 120)
