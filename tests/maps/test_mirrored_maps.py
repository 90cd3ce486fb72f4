"""Maps of mirrored faces made from parameters, against the mirrored mesh in float64."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from support.oracles import crop_vertices

from uvgen import PositionMapper, TexelMirror, build_atlas, load_model
from uvgen.errors import InputError, ModelError
from uvgen.fixed_point import FixedPoint
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.maps.mirror import mirror_vertices, mirrored_texels
from uvgen.maps.texel_products import BATCH
from uvgen.models.builtin import builtin_model
from uvgen.models.morphable import MorphableModel

CROP = 200


def skewed(model: MorphableModel) -> MorphableModel:
    """The toy with UV that are not symmetric, stretched more on one side."""
    u, v = model.uv.T
    return dataclasses.replace(model, uv=np.stack([0.07 + 0.9 * u**1.3, 0.1 + 0.8 * v + 0.05 * u], axis=1))


def lacking(model: MorphableModel) -> MorphableModel:
    """The same with vertices that have no mirror vertex, and pairs that are not each other's inverse."""
    mirror = np.array(model.mirror)
    mirror[::50] = -1
    mirror[[605, 911]] = mirror[[911, 605]]
    return dataclasses.replace(skewed(model), mirror=mirror)


@pytest.mark.parametrize(
    ("kept", "message"),
    [(0, "builtin: has mirror pairs of 0 of"), (0.4, "builtin: has mirror pairs of .*, expected 50% or more")],
)
def test_models_with_few_mirror_pairs_flip_nothing(kept: float, message: str) -> None:
    """Texels of the opposite column would be all that they have, and nothing to measure the error by."""
    model = builtin_model()
    by_side = np.argsort(np.abs(model.mean[:, 0]))  # mirror images stay together
    mirror = np.full(model.n_vertices, -1, np.int32)
    some = by_side[: int(kept * model.n_vertices)]
    mirror[some] = model.mirror[some]
    with pytest.raises(ModelError, match=message):
        TexelMirror.of_model(dataclasses.replace(skewed(model), mirror=mirror), 64)


def test_models_whose_mirror_pairs_contradict_their_landmarks_flip_nothing() -> None:
    model = builtin_model()
    own = dataclasses.replace(model, mirror=np.arange(model.n_vertices, dtype=np.int32))
    with pytest.raises(
        ModelError, match=r"builtin: [3-6]. of 68 landmarks have mirror vertices far from the other side's"
    ):
        TexelMirror.of_model(own, 64)


def faces(model: MorphableModel, n: int, yaw: float = 0.9) -> tuple[NDArray[np.float64], ...]:
    """Shape, expression, pose, similarity and image height of faces in crops of 200 px."""
    rng = np.random.default_rng(3)
    points = model.mean[model.landmarks]
    scale = CROP / (0.75 * float(np.ptp(points[:, 0]) + np.ptp(points[:, 1])))
    pose = np.c_[rng.uniform(-1, 1, (n, 3)) * [0.4, yaw, 0.4], rng.uniform(80, 120, (n, 3)), np.full(n, scale)]
    turn = rng.uniform(-0.5, 0.5, n)
    similarity = np.zeros((n, 3, 3))
    similarity[:, 0, 0] = similarity[:, 1, 1] = 1
    similarity[:, 1, 0], similarity[:, 0, 1] = turn, -turn
    similarity[:, 2, 2] = 1
    shape, expression = (rng.normal(size=(n, len(std))) * std for std in (model.shape_std, model.expression_std))
    return shape, expression, pose, similarity, np.full(n, 210)


def mirrored_mesh_map(
    model: MorphableModel, size: int, convention: str, face: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """(size², 3) texels of the mirrored face, whose vertices are the mirror images of their mirror vertices."""
    vertices = crop_vertices(model, *face, convention)
    vertices[:, 0] = CROP - 1 - vertices[:, 0]
    vertices = vertices[model.mirror]
    atlas = build_atlas(model, size, convention)
    return (vertices[atlas.vertices] * atlas.weights[:, :, None].astype(np.float64)).sum(axis=1)


def check_mirrored(model: MorphableModel, size: int, convention: str, n: int) -> None:
    mapper = PositionMapper(model, size, convention, crop_size=CROP)
    arguments = faces(model, n)
    flipped = np.arange(n) % 3 != 1
    paired = np.setdiff1d(np.arange(size**2), mirrored_texels(model, size, convention).unpaired)
    assert len(paired) > 0.98 * size**2
    maps, landmarks = mapper.maps_and_landmarks(*arguments, flipped=flipped)
    plain, plain_landmarks = mapper.maps_and_landmarks(*arguments)
    for k in range(n):
        if flipped[k]:
            expected = mirrored_mesh_map(model, size, convention, [a[k] for a in arguments])
            np.testing.assert_allclose(maps[k].reshape(-1, 3)[paired], expected[paired], atol=1e-3)
            moved = plain_landmarks[k][LANDMARK_MIRROR] * [-1, 1, 1] + [CROP - 1, 0, 0]
            np.testing.assert_allclose(landmarks[k], moved, atol=1e-3)
        else:
            np.testing.assert_array_equal(maps[k], plain[k])
            np.testing.assert_array_equal(landmarks[k], plain_landmarks[k])


@pytest.mark.parametrize("convention", ["exact", "face3d"])
@pytest.mark.parametrize("size", [24, 64])  # the bases evaluated on the texels, and on the vertices
def test_flipped_maps_of_asymmetric_uv_are_those_of_the_mirrored_mesh(model, size, convention) -> None:
    assert not TexelMirror.of_model(skewed(model), size, convention).exact
    check_mirrored(skewed(model), size, convention, 4)


@pytest.mark.parametrize("size", [40, 128])
def test_flipped_maps_of_the_built_in_model_are_those_of_the_mirrored_mesh(size) -> None:
    check_mirrored(builtin_model(4_000), size, "exact", 3)


@pytest.mark.slow
@pytest.mark.parametrize("size", [pytest.param(128, marks=pytest.mark.long), 512])
def test_flipped_maps_of_the_stand_in_are_those_of_the_mirrored_mesh(stand_in_model, size) -> None:
    check_mirrored(stand_in_model, size, "exact", 2)


@pytest.mark.parametrize("size", [24, 64])
def test_flipped_texels_without_mirror_vertices_are_those_of_the_opposite_column(model, size) -> None:
    partly = lacking(model)
    texels, atlas = mirrored_texels(partly, size, "exact"), build_atlas(partly, size)
    bad = (np.arange(model.n_vertices) % 50 == 0) | np.isin(np.arange(model.n_vertices), [605, 911])
    bad |= np.isin(np.arange(model.n_vertices), model.mirror[bad])  # and what they were the mirror of
    np.testing.assert_array_equal(mirror_vertices(partly) < 0, bad)
    unpaired = np.flatnonzero(bad[atlas.vertices].any(axis=1))
    np.testing.assert_array_equal(texels.unpaired, unpaired)
    assert 0 < len(unpaired) < size**2 / 2
    assert TexelMirror.of_model(partly, size).n_unpaired == len(unpaired)
    assert TexelMirror.of_model(skewed(model), size).n_unpaired == 0

    arguments = faces(partly, 2)
    mapper = PositionMapper(partly, size, crop_size=CROP)
    plain, mirrored = mapper(*arguments), mapper(*arguments, flipped=np.ones(2, bool))
    across = (plain[:, :, ::-1] * [-1, 1, 1] + [CROP - 1, 0, 0]).reshape(2, -1, 3)
    np.testing.assert_allclose(mirrored.reshape(2, -1, 3)[:, unpaired], across[:, unpaired], atol=1e-3)
    whole = PositionMapper(skewed(model), size, crop_size=CROP)(*arguments, flipped=np.ones(2, bool))
    rest = np.setdiff1d(np.arange(size**2), unpaired)
    np.testing.assert_allclose(mirrored.reshape(2, -1, 3)[:, rest], whole.reshape(2, -1, 3)[:, rest], atol=1e-3)


@pytest.mark.parametrize("size", [24, 64])
def test_flipped_codes_are_the_nearest_ones_of_the_flipped_maps(model, size) -> None:
    mapper, codes = PositionMapper(skewed(model), size, crop_size=CROP), FixedPoint.for_crop(CROP)
    arguments = [a.copy() for a in faces(model, 5)]
    arguments[3][4, 0, 2] += 2 * CROP  # to the right: mirrored, further to the left than codes reach
    flipped = np.array([True, False, True, True, True])
    expected, landmarks = mapper.maps_and_landmarks(*arguments, flipped=flipped)
    found, same, in_range = mapper.codes_and_landmarks(*arguments, codes, flipped=flipped)
    np.testing.assert_array_equal(in_range, [True] * 4 + [False])
    np.testing.assert_array_equal(same, landmarks)
    np.testing.assert_array_equal(mapper.crop_landmarks(*arguments, flipped=flipped)[:, :, :2], landmarks[:, :, :2])
    np.testing.assert_allclose(codes.decode(found[:4]), expected[:4], atol=codes.scale * 0.52)  # and float32's error


def test_flipped_maps_have_the_same_bytes_in_any_batch(model) -> None:
    mapper, n = PositionMapper(skewed(model), 32, crop_size=CROP), BATCH + 20
    arguments, flipped = faces(model, n), np.random.default_rng(0).random(n) < 0.5
    out = np.empty((n, 32, 32, 3), np.float32)
    whole = mapper(*arguments, flipped=flipped, out=out)
    assert whole is out
    for k in (0, 1, 2, 3, BATCH - 1, BATCH, n - 1):
        np.testing.assert_array_equal(mapper(*(a[k : k + 1] for a in arguments), flipped=flipped[[k]])[0], whole[k])
    every = mapper(*arguments, flipped=np.ones(n, bool))
    np.testing.assert_array_equal(every[flipped], whole[flipped])


def test_position_mapper_that_cannot_mirror_says_so(model) -> None:
    arguments = faces(model, 2)
    with pytest.raises(InputError, match="flipped: this mapper cannot mirror, expected none; make it with crop_size"):
        PositionMapper(model, 32)(*arguments, flipped=np.array([False, True]))
    with pytest.raises(InputError, match=r"flipped: bool \(3,\), expected bool of shape \(2,\)"):
        PositionMapper(model, 32, crop_size=CROP)(*arguments, flipped=np.ones(3, bool))
    mute = PositionMapper(dataclasses.replace(model, mirror=None), 32, crop_size=CROP)
    with pytest.raises(ModelError, match="toy: has no mirror pairs"):
        mute(*arguments, flipped=np.ones(2, bool))
    plain = mute(*arguments, flipped=np.zeros(2, bool))
    np.testing.assert_array_equal(plain, PositionMapper(model, 32)(*arguments))


def test_mirrored_texels_of_the_built_in_model_are_all_paired() -> None:
    assert not len(mirrored_texels(load_model("builtin"), 256, "exact").unpaired)
