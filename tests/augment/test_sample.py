"""Augmented labels against maps made anew, and images against slow sampling."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.augmentations import ALL
from support.oracles import bilinear
from support.toy import parameters, picture, toy_model

from uvgen import PositionMapper, load_model
from uvgen.augment import Augmentation, AugmentationDraw, apply, crop_augmented, occluded_texels
from uvgen.errors import InputError, ModelError, SampleError
from uvgen.fixed_point import FixedPoint
from uvgen.geometry import LANDMARK_MIRROR, crop_affine, pose_to_image
from uvgen.maps import labels
from uvgen.maps.mirror import TexelMirror
from uvgen.models.morphable import MorphableModel, make_model

SIZE, TEXELS, HEIGHT = 64, 48, 120
CROP = np.array([[0.6, 0, -16], [0, 0.6, -4], [0, 0, 1.0]])
GEOMETRY = {
    "rotation": AugmentationDraw(SIZE, rotation_deg=-45.0),
    "half turn": AugmentationDraw(SIZE, rotation_deg=180.0),
    "translation": AugmentationDraw(SIZE, translation=(0.1, -0.07)),
    "larger": AugmentationDraw(SIZE, scale=1.2),
    "smaller": AugmentationDraw(SIZE, scale=0.9),
    "all": AugmentationDraw(SIZE, rotation_deg=33.0, translation=(-0.1, 0.04), scale=1.13),
}


def move_map(draw: AugmentationDraw, position_map: NDArray[Any], **options: Any) -> NDArray[Any]:
    return labels.move_map(position_map, draw.similarity, draw.size, flip=draw.flip, **options)


def move_landmarks(draw: AugmentationDraw, landmarks: Any) -> NDArray[np.float32]:
    return labels.move_landmarks(landmarks, draw.similarity, draw.size, flip=draw.flip)


def face() -> tuple[np.ndarray, ...]:
    values = parameters(3)
    return values["Shape_Para"].T, values["Exp_Para"].T, values["Pose_Para"]


def label(model: MorphableModel, similarity: np.ndarray, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Map and landmarks of the toy face, made from its parameters."""
    mapper = PositionMapper(model, TEXELS)
    if dtype is np.uint16:
        codes, landmarks, _ = mapper.codes_and_landmarks(*face(), similarity[None], HEIGHT, FixedPoint.for_crop(SIZE))
        return codes[0], landmarks[0]
    maps, landmarks = mapper.maps_and_landmarks(*face(), similarity[None], HEIGHT)
    return maps[0], landmarks[0]


def mirrored_mesh_map(
    model: MorphableModel, similarity: np.ndarray, coefficients: np.ndarray | None = None
) -> np.ndarray:
    """The map of the face's mirror image, by mirroring the mesh: each vertex takes its partner's place."""
    shape, expression, pose = face()
    if coefficients is None:
        coefficients = np.concatenate([shape[0], expression[0]])
    vertices = model.mean + model.basis.astype(np.float64) @ coefficients
    affine = crop_affine(pose_to_image(pose, HEIGHT), similarity[None])[0]
    points = vertices @ affine[:, :3].T + affine[:, 3]
    points[:, 2] -= points[:, 2].min()
    points[:, 0] = SIZE - 1 - points[:, 0]
    assert model.mirror is not None
    return PositionMapper(model, TEXELS).atlas.interpolate(points[model.mirror].astype(np.float32))


def skewed_model() -> MorphableModel:
    """The toy model with UV that are not symmetric."""
    model = toy_model()
    arrays = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    uv = model.uv.copy()
    uv[:, 0] = uv[:, 0] ** 1.2
    return make_model(source="skewed", **{**arrays, "uv": uv})


# Geometry


def test_similarity_turns_clockwise_about_the_center_and_moves_by_shares() -> None:
    quarter = AugmentationDraw(5, rotation_deg=90.0).similarity
    np.testing.assert_allclose(quarter @ [2, 0, 1], [4, 2, 1], atol=1e-12)  # the top goes to the right
    np.testing.assert_allclose(quarter @ [2, 2, 1], [2, 2, 1], atol=1e-12)
    moved = AugmentationDraw(5, translation=(0.2, -0.4), scale=2.0).similarity
    np.testing.assert_allclose(moved @ [2, 2, 1], [3, 0, 1], atol=1e-12)
    np.testing.assert_allclose(moved @ [3, 2, 1], [5, 0, 1], atol=1e-12)


@pytest.mark.parametrize("draw", GEOMETRY.values(), ids=GEOMETRY.keys())
def test_label_equals_the_one_made_anew_with_the_composed_similarity(model, draw) -> None:
    before, landmarks = label(model, CROP)
    after, landmarks_after = label(model, draw.similarity @ CROP)
    np.testing.assert_allclose(move_map(draw, before), after, atol=1e-3)  # float32 at 100 px, moved twice
    np.testing.assert_allclose(move_landmarks(draw, landmarks), landmarks_after, atol=1e-3)


@pytest.mark.parametrize("draw", GEOMETRY.values(), ids=GEOMETRY.keys())
def test_codes_move_like_the_label(model, draw) -> None:
    codes, _ = label(model, CROP, np.uint16)
    after, _ = label(model, draw.similarity @ CROP)
    scale, offset = FixedPoint.for_crop(SIZE)
    moved = scale / 2 * np.sqrt(2) * draw.scale  # a code is off by half a step, and a rotation adds two of them
    np.testing.assert_allclose(move_map(draw, codes), after, atol=moved + 1e-3)
    again = move_map(draw, codes, out=np.empty_like(codes))
    np.testing.assert_allclose(again * scale + offset, after, atol=moved + scale / 2 + 1e-3)


def test_codes_of_a_map_that_leaves_their_range_raise(model) -> None:
    codes, _ = label(model, CROP, np.uint16)
    with pytest.raises(SampleError, match="leaves -96 to 160 px, the range of uint16"):
        move_map(AugmentationDraw(SIZE, translation=(0.9, 0.9), scale=3.0), codes, out=np.empty_like(codes))


@pytest.mark.parametrize("turn", [0.0, 30.0])
@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_flipped_map_equals_that_of_the_mirrored_mesh(model, turn, dtype) -> None:
    draw = AugmentationDraw(SIZE, rotation_deg=turn, flip=True)
    mirror = TexelMirror.of_model(model, TEXELS)
    assert mirror.exact and not len(mirror.texels)
    before, landmarks = label(model, CROP, dtype)
    moved = move_map(draw, before, mirror=mirror)
    rounding = 0 if dtype is np.float32 else FixedPoint.for_crop(SIZE).scale
    # the toy's squares are all cut along the same diagonal: their mirror images are not, which is 0.09 px
    np.testing.assert_allclose(moved, mirrored_mesh_map(model, draw.similarity @ CROP), atol=0.1 + rounding)
    # the right eye's outer corner is still landmark 36, and lies on the left
    _, unflipped = label(model, draw.similarity @ CROP)
    expected = unflipped[LANDMARK_MIRROR] * [-1, 1, 1] + [SIZE - 1, 0, 0]
    np.testing.assert_allclose(move_landmarks(draw, landmarks), expected, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_flipped_map_of_skewed_uv_follows_mirror_pairs(dtype) -> None:
    model = skewed_model()
    mirror = TexelMirror.of_model(model, TEXELS)
    assert len(mirror.texels) > TEXELS**2 / 2
    before, _ = label(model, CROP)
    stored, out = before, None
    if dtype is np.uint16:
        stored, _ = label(model, CROP, np.uint16)
        out = np.empty_like(stored)
    draw = AugmentationDraw(SIZE, flip=True)
    moved = move_map(draw, stored, mirror=mirror, out=out)
    if dtype is np.uint16:
        scale, offset = FixedPoint.for_crop(SIZE)
        moved = moved * scale + offset
    wanted = mirrored_mesh_map(model, CROP)
    inner = (slice(4, -4), slice(4, -4))  # between texels at the rim there is nothing to blend with
    by_columns = np.abs(before[:, ::-1] * [-1, 1, 1] + [SIZE - 1, 0, 0] - wanted)[inner]
    assert np.abs(moved - wanted)[inner].mean() < 0.05 < 1 < by_columns.mean()


def test_flipped_codes_that_are_blended_out_of_range_are_an_error() -> None:
    mirror = TexelMirror.of_model(skewed_model(), TEXELS)
    codes = np.full((TEXELS, TEXELS, 3), 30000, np.uint16)
    draw, out = AugmentationDraw(SIZE, flip=True), np.empty_like(codes)
    move_map(draw, codes, mirror=mirror, out=out)
    codes.reshape(-1, 3)[mirror.sources[0]] = 65535  # 2.5 crops to the right
    with pytest.raises(SampleError, match=r"leaves .* px, the range of uint16"):
        move_map(draw, codes, mirror=mirror, out=out)


def test_flipped_map_of_the_built_in_model_is_exact() -> None:
    model = load_model("builtin")
    mirror = TexelMirror.of_model(model, TEXELS)
    assert mirror.error_px < 0.01
    rng = np.random.default_rng(0)
    shape, expression = rng.normal(size=model.n_shape) * model.shape_std, np.zeros(model.n_expression)
    _, _, pose = face()
    draw = AugmentationDraw(SIZE, rotation_deg=-20.0, scale=1.1, flip=True)
    before = PositionMapper(model, TEXELS)(shape[None], expression[None], pose, CROP[None], HEIGHT)[0]
    wanted = mirrored_mesh_map(model, draw.similarity @ CROP, np.concatenate([shape, expression]))
    np.testing.assert_allclose(move_map(draw, before, mirror=mirror), wanted, atol=5e-3)


def test_texel_mirror_of_the_stand_in_is_exact_but_on_the_lips(stand_in_model) -> None:
    assert TexelMirror.of_model(stand_in_model, 128).exact
    mirror = TexelMirror.of_model(stand_in_model, 256)
    assert not mirror.exact and mirror.error_px < 0.35 and mirror.n_inexact < 10


def test_texel_mirror_without_pairs_raises(model) -> None:
    with pytest.raises(ModelError, match="toy: has no mirror pairs"):
        TexelMirror.of_model(replace(model, mirror=None), TEXELS)


def test_map_mirrored_twice_is_the_same_map(model) -> None:
    before, _ = label(model, CROP)
    flip, mirror = AugmentationDraw(SIZE, flip=True), TexelMirror.of_model(model, TEXELS)
    twice = move_map(flip, move_map(flip, before, mirror=mirror), mirror=mirror)
    np.testing.assert_allclose(twice, before, atol=1e-4)


# Images


@pytest.mark.parametrize("flip", [False, True])
def test_image_is_sampled_once_from_the_source(flip) -> None:
    image = picture(1, 90, 110)
    draw = replace(GEOMETRY["all"], flip=flip)
    crop, composed = crop_augmented(image, CROP, draw)
    np.testing.assert_allclose(composed, draw.similarity @ CROP)
    inverse = np.linalg.inv(composed)
    rng = np.random.default_rng(0)
    for row, column in rng.integers(0, SIZE, (200, 2)):
        x, y, _ = inverse @ [SIZE - 1 - column if flip else column, row, 1]
        # weights of 11 bits are off by 0.3 gray levels at most; rounding adds a half
        assert np.abs(crop[row, column] - bilinear(image, x, y)).max() <= 1


def test_apply_moves_label_and_image_alike(model) -> None:
    """A dot drawn at a texel's position is found where the moved map says."""
    position_map, landmarks = label(model, CROP)
    mirror = TexelMirror.of_model(model, TEXELS)
    texel = (20, 30)
    x, y, _ = np.rint(position_map[texel]).astype(int)
    position_map[texel][:2] = x, y
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[y, x] = 255
    for draw in (*GEOMETRY.values(), AugmentationDraw(SIZE, rotation_deg=20.0, flip=True)):
        result = apply(draw, image, position_map, landmarks, mirror=mirror)
        there = (texel[0], TEXELS - 1 - texel[1]) if draw.flip else texel
        weights = result.image[..., 0].astype(float)
        rows, columns = np.indices(weights.shape)
        found = np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()
        np.testing.assert_allclose(found, result.position_map[there][:2], atol=0.35)  # bilinear sampling aliases


def test_occlusion_leaves_the_label_alone(model) -> None:
    position_map, landmarks = label(model, CROP)
    draw = Augmentation(occlusion=1.0).draw(0, "a", 0, SIZE)
    assert draw.occluders
    result = apply(draw, np.zeros((SIZE, SIZE, 3), np.uint8), position_map, landmarks)
    np.testing.assert_array_equal(result.position_map, position_map)
    np.testing.assert_array_equal(result.landmarks, landmarks)


# Buffers and bad input


def test_apply_fills_buffers_and_leaves_read_only_inputs_alone(model) -> None:
    position_map, landmarks = label(model, CROP)
    image = picture(0, SIZE, SIZE).copy()
    inputs = [image, position_map, landmarks]
    copies = [array.copy() for array in inputs]
    for array in inputs:
        array.setflags(write=False)
    mirror = TexelMirror.of_model(model, TEXELS)
    crop, moved = np.empty_like(image), np.empty_like(position_map)
    for epoch in range(6):
        draw = ALL.draw(0, "a", epoch, SIZE)
        result = apply(draw, image, position_map, landmarks, mirror=mirror, other=image, image_out=crop, map_out=moved)
        assert result.image is crop and result.position_map is moved
        fresh = apply(draw, image, position_map, landmarks, mirror=mirror, other=image)
        np.testing.assert_array_equal(fresh.image, crop)
        np.testing.assert_array_equal(fresh.position_map, moved)
    for array, copy in zip(inputs, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_apply_gives_the_same_in_threads(model) -> None:
    position_map, _ = label(model, CROP)
    image, mirror = picture(0, SIZE, SIZE), TexelMirror.of_model(model, TEXELS)

    def one(epoch: int) -> bytes:
        result = apply(ALL.draw(0, "a", epoch, SIZE), image, position_map, mirror=mirror, other=image)
        assert result.position_map is not None
        return result.image.tobytes() + result.position_map.tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(24))) == [one(epoch) for epoch in range(24)]


def test_apply_with_bad_arguments_raises(model) -> None:
    image, flip = np.zeros((SIZE, SIZE, 3), np.uint8), AugmentationDraw(SIZE, flip=True)
    position_map, _ = label(model, CROP)
    for expected, call in {
        r"image: uint8 \(64, 64, 3\), expected uint8 of shape \(32, 32, 3\): the draw's size": lambda: apply(
            AugmentationDraw(32), image
        ),
        r"other: uint8 \(3, 3\), expected uint8 of shape \(1\+, 1\+, 3\)": lambda: apply(
            flip, image, other=image[:3, :3, 0]
        ),
        r"image: float32 .*, expected uint8 of shape \(64, 64, 3\)": lambda: apply(flip, image.astype(np.float32)),
        "out: shares memory with the image": lambda: apply(flip, image, image_out=image),
        "out: shares memory with the position map": lambda: move_map(
            AugmentationDraw(SIZE), position_map, out=position_map
        ),
        r"mirror: none, expected TexelMirror.of_model\(model, 48\)": lambda: move_map(flip, position_map),
        "mirror: one of 32 texels": lambda: move_map(flip, position_map, mirror=TexelMirror.of_model(model, 32)),
        r"position_map: float64 \(48, 48, 3\)": lambda: move_map(flip, position_map.astype(float)),
        r"out: float32 \(3, 3, 3\)": lambda: move_map(flip, position_map, out=np.empty((3, 3, 3), np.float32)),
        r"landmarks: float64 \(2, 3\)": lambda: move_landmarks(flip, np.zeros((2, 3))),
        "position_map: uint16, expected float32": lambda: occluded_texels(flip, position_map.astype(np.uint16)),
        r"out: bool \(2, 2\), expected bool \(48, 48\)": lambda: occluded_texels(
            flip, position_map, out=np.zeros((2, 2), bool)
        ),
    }.items():
        with pytest.raises(InputError, match=expected):
            call()
