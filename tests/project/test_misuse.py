"""Values and buffers that a user makes or changes, and that kernels rely on: refused, never a read or write outside."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import uvgen
from uvgen import rasterize as r
from uvgen.augment import Augmentation, AugmentationDraw, apply, crop_augmented, occluded_texels
from uvgen.errors import InputError, ModelError
from uvgen.geometry import similarity_scale, transform_points

SIZE = 32
SHIFT = np.array([[1, 0, 3], [0, 1, 5], [0, 0, 1.0]])


@pytest.fixture(scope="module")
def model() -> uvgen.MorphableModel:
    return uvgen.load_model("builtin")


def face(model: uvgen.MorphableModel) -> dict[str, Any]:
    pose = np.array([[0.1, 0.2, 0.3, 16, 16, 0, 1e-4]])
    shape, expression = np.zeros((1, model.n_shape)), np.zeros((1, model.n_expression))
    return {"shape": shape, "expression": expression, "pose": pose, "similarity": np.eye(3), "image_height": 32}


class Raises:
    """What raises an exception of its own wherever it is looked at."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)

    def __repr__(self) -> str:
        raise KeyError("repr")


@pytest.mark.parametrize(
    "value", [Raises(), np.ndarray, np.float32, [[1, 2], [3]]], ids=["own", "class", "type", "list"]
)
def test_what_cannot_be_shown_is_refused_all_the_same(value: Any) -> None:
    with pytest.raises(InputError, match=r"^vertices: "):
        r.rasterize(value, [[0, 1, 2]], (4, 4))
    with pytest.raises(InputError, match=r"^cull: "):
        r.rasterize(np.zeros((3, 3)), [[0, 1, 2]], (4, 4), cull=value)


@pytest.mark.parametrize("kind", [np.matrix, np.ma.masked_array])
def test_buffers_that_reshape_otherwise_than_arrays_are_refused(kind: Callable[[Any], Any]) -> None:
    draw = Augmentation(occlusion=1.0).draw(0, "a", 0, SIZE)
    with pytest.raises(InputError, match=r"^out: a (matrix|MaskedArray), expected a plain array of bool \(32, 32\)"):
        occluded_texels(draw, np.zeros((SIZE, SIZE, 3), np.float32), out=kind(np.zeros((SIZE, SIZE), bool)))
    fragments = r.rasterize(np.zeros((3, 3)), [[0, 1, 2]], (4, 4))
    with pytest.raises(InputError, match=r"^out.depth: a "):
        out = r.Fragments(fragments.triangle, fragments.weights, kind(fragments.depth))
        r.rasterize(np.zeros((3, 3)), [[0, 1, 2]], (4, 4), out=out)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sources": np.full((5, 4), SIZE * SIZE)}, "sources: 1024 to 1024, expected 0 to 1023"),
        ({"sources": np.full((5, 4), -1)}, "sources: -1 to -1, expected 0 to 1023"),
        ({"sources": np.full((5, 4), 2**32)}, "sources: 4294967296 to 4294967296, expected 0 to 1023"),
        ({"sources": np.zeros((4, 4), int)}, "sources: int64 (4, 4), expected integers of shape (5, 4)"),
        ({"texels": np.arange(5) - 1}, "texels: -1 to 3, expected 0 to 1023"),
        ({"weights": np.zeros((5, 3))}, "weights: float64 (5, 3), expected real numbers of shape (5, 4)"),
        ({"size": 2.5}, "size: 2.5, expected a whole number, 1 or more"),
    ],
)
def test_mirror_of_texels_that_do_not_exist_is_refused(changed: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {
        "size": SIZE, "texels": np.arange(5), "sources": np.zeros((5, 4), int), "weights": np.full((5, 4), 0.25),
        "error_px": 0.0, "n_inexact": 0,
    }  # fmt: skip
    mirror = uvgen.TexelMirror(**fields)
    position_map = np.random.default_rng(0).random((SIZE, SIZE, 3)).astype(np.float32)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    assert apply(AugmentationDraw(SIZE, flip=True), image, position_map, mirror=mirror).position_map is not None
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        uvgen.TexelMirror(**{**fields, **changed})


def test_atlas_and_landmark_weights_of_wrong_arrays_are_refused(model: uvgen.MorphableModel) -> None:
    atlas, weights = uvgen.build_atlas(model, SIZE), uvgen.landmark_weights(model, SIZE)
    with pytest.raises(InputError, match=r"^vertices: -1 to"):
        dataclasses.replace(atlas, vertices=atlas.vertices - 1 - atlas.vertices.min())
    with pytest.raises(InputError, match=r"^weights: float32 \(1023, 3\)"):
        dataclasses.replace(atlas, weights=atlas.weights[1:])
    with pytest.raises(InputError, match=r"^indices: "):
        dataclasses.replace(weights, indices=weights.indices + SIZE * SIZE)
    with pytest.raises(InputError, match=r"^size: "):
        dataclasses.replace(weights, size=None)


@pytest.mark.parametrize("name", ["size", "crop_size", "convention", "model", "atlas"])
def test_a_mapper_keeps_what_its_kernels_were_made_for(model: uvgen.MorphableModel, name: str) -> None:
    mapper = uvgen.PositionMapper(model, SIZE)
    with pytest.raises(AttributeError):
        setattr(mapper, name, 16)
    assert mapper(**face(model)).shape == (1, SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("similarity", [[1, 0, np.nan], [0, 1, 0], [0, 0, 1]]),
        ("similarity", [[1, 0, 0], [0, 1, np.inf], [0, 0, 1]]),
        ("similarity", np.diag([1e200, 1e200, 1.0])),
        ("similarity", np.diag([1e200, -1e200, 1.0])),
        ("similarity", np.diag([1e100, 1e100, 1.0])),
        ("flipped", [[True], [True, False]]),
        ("shape", 1e300),
        ("pose", [[0, 0, 0, 0, 0, 0, 1e300]]),
    ],
)
def test_a_mapper_refuses_what_maps_of_nan_are_made_of(model: uvgen.MorphableModel, name: str, value: Any) -> None:
    given = np.full((1, model.n_shape), value) if name == "shape" else value
    with pytest.raises(InputError, match=f"^(pose, )?{name}"):
        uvgen.PositionMapper(model, SIZE, crop_size=SIZE)(**{**face(model), name: given})


@pytest.mark.parametrize("last", [[1, 0, np.nan], [1, 0, np.inf], [1e200, 0, 0]])
def test_similarities_that_are_not_finite_are_refused(last: list[float]) -> None:
    matrix = np.array([last, [0, last[0], 0], [0, 0, 1]])
    for one in (matrix, np.stack([SHIFT, matrix])):
        with pytest.raises(InputError, match=r"^similarity: "):
            similarity_scale(one)
    with pytest.raises(InputError, match=r"^similarity: "):
        transform_points(np.zeros((4, 2)), matrix)
    with pytest.raises(InputError, match=r"^similarity: "):
        uvgen.warp_image(np.zeros((8, 8, 3), np.uint8), matrix, 8)


def test_an_image_is_not_warped_onto_itself() -> None:
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    with pytest.raises(InputError, match=r"^out: shares memory with the image"):
        uvgen.warp_image(image, SHIFT, SIZE, out=image)
    with pytest.raises(InputError, match=r"^out: shares memory with the image"):
        uvgen.warp_image(image, SHIFT, SIZE, out=image[::-1][::-1])


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_images_wider_than_float32_counts_are_refused(mode: str) -> None:
    wide = np.broadcast_to(np.zeros((), np.uint8), (1, (1 << 24) + 4, 1))
    place = np.array([[[wide.shape[1] - 1, 0, 0]]], np.float32)
    with pytest.raises(InputError, match=r"^image: .*, expected a height and width of 1 to 4194304"):
        r.unwrap(wide, place, mode=mode)
    row = np.zeros((1, 1 << 22, 1), np.uint8)
    row[0, -1] = 7
    texture, valid = r.unwrap(row, np.array([[[row.shape[1] - 1, 0, 0], [row.shape[1] - 2, 0, 0]]]), mode=mode)
    assert texture.ravel().tolist() == [7, 0] and valid.all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mean": lambda m: m.mean[:10]}, "bases are"),
        ({"basis": lambda m: m.basis[:10]}, "bases are"),
        ({"uv": lambda m: 9 * m.uv}, "UV coordinates leave"),
        ({"landmarks": lambda m: m.landmarks + 10**6}, "landmarks name a vertex"),
        ({"triangles": lambda m: m.triangles + 10**6}, "triangles name a vertex"),
        ({"mirror": lambda m: m.mirror + 10**6}, "mirror"),
        ({"mean": lambda m: m.mean.tolist()}, "mean is"),
        ({"shape_std": lambda m: None}, "shape_std is None"),
    ],
)
def test_models_whose_arrays_do_not_agree_are_refused(
    model: uvgen.MorphableModel, changed: dict[str, Any], message: str
) -> None:
    other = dataclasses.replace(model, **{name: make(model) for name, make in changed.items()})
    for use in (uvgen.build_atlas, uvgen.face_mask, uvgen.PositionMapper, uvgen.TexelMirror.of_model):
        with pytest.raises(ModelError, match=f"^builtin: {message}"):
            use(other, SIZE)


def test_what_is_no_model_is_refused(tmp_path: Any) -> None:
    for value in (None, 3, "builtin", np.zeros(3)):
        for use in (
            lambda v: uvgen.build_atlas(v, SIZE), lambda v: uvgen.face_mask(v, SIZE), uvgen.aflw_uv,
            lambda v: uvgen.resample_model(v, SIZE), uvgen.TexelMirror.of_model,
            lambda v: uvgen.save_model(v, tmp_path / "a.h5"),
        ):  # fmt: skip
            with pytest.raises(InputError, match=r"^model: "):
                use(value)
    assert not list(tmp_path.iterdir())


def test_augmentation_refuses_what_its_kernels_cannot_fill_or_read() -> None:
    draw, image = AugmentationDraw(SIZE), np.zeros((SIZE, SIZE, 3), np.uint8)
    position_map = np.zeros((SIZE, SIZE, 3), np.float32)
    read_only = np.zeros((SIZE, SIZE, 3), np.float32)
    read_only.flags.writeable = False
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: apply(None, image), "draw: None, expected AugmentationDraw"),  # type: ignore[arg-type]
        (lambda: crop_augmented(image, np.eye(3), 5), "draw: 5, expected AugmentationDraw"),  # type: ignore[arg-type]
        (lambda: occluded_texels("a", position_map), "draw: 'a', expected AugmentationDraw"),  # type: ignore[arg-type]
        (lambda: apply(draw, image, [1.0]), "position_map: "),  # type: ignore[arg-type]
        (lambda: apply(draw, image, position_map, map_out=read_only), "out: float32 (32, 32, 3), read-only"),
        (lambda: apply(draw, image, position_map, map_out=5), "out: 5"),  # type: ignore[arg-type]
        (lambda: apply(draw, image, image_out=[[1], [2, 3]]), "out: "),  # type: ignore[arg-type]
        (
            lambda: apply(dataclasses.replace(draw, flip=True), image, position_map, mirror=5),  # type: ignore[arg-type]
            "mirror: 5, expected TexelMirror",
        ),
    ]
    for call, message in calls:
        with pytest.raises(InputError, match=f"^{re.escape(message)}"):
            call()


def test_fragments_of_no_arrays_and_texels_without_coverage_are_refused() -> None:
    fragments = r.rasterize(np.zeros((3, 3)), [[0, 1, 2]], (4, 4))
    with pytest.raises(InputError, match=r"^fragments.triangle: "):
        broken: Any = [[1], [2, 3]]
        r.interpolate(r.Fragments(broken, fragments.weights, fragments.depth), [[0, 1, 2]], np.zeros((3, 1)))
    with pytest.raises(InputError, match=r"^coverage: None"):
        r.visible_texels(np.zeros((4, 4, 3)), None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^tolerance: "):
        r.visible_vertices(np.zeros((3, 3)), [[0, 1, 2]], size=(4, 4), tolerance=10**400)
