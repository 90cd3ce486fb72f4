"""Values and buffers that a user makes or changes, and that kernels rely on: refused, never a read or write outside."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import uvgen
import uvgen.evaluation
import uvgen.synth
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
        ("flipped", [[True], [True, False]]),
    ],
)
def test_a_mapper_refuses_what_maps_of_nan_are_made_of(model: uvgen.MorphableModel, name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^{name}"):
        uvgen.PositionMapper(model, SIZE, crop_size=SIZE)(**{**face(model), name: value})


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


@pytest.mark.parametrize(
    "value", [[[1.0, 2, 3], [3.0]], 1j, "abc", np.zeros((25, 3), complex), np.zeros((25, 3), "U3")]
)
def test_meshes_of_no_real_numbers_are_refused(value: Any) -> None:
    columns, rows = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5))
    vertices = np.stack([columns.ravel(), rows.ravel(), columns.ravel() ** 2], axis=1)
    first = (np.arange(4)[:, None] * 5 + np.arange(4)).ravel()
    triangles = np.concatenate([first[:, None] + [0, 1, 5], first[:, None] + [1, 6, 5]])
    known, moved = np.arange(12), np.ones((12, 3))
    assert uvgen.transfer_expressions(vertices, triangles, known, moved).shape == (25, 3)
    with pytest.raises(InputError, match=r"^vertices: "):
        uvgen.parameterize(value, triangles)
    with pytest.raises(InputError, match=r"^vertices: "):
        uvgen.transfer_expressions(value, triangles, known, moved)
    with pytest.raises(InputError, match=r"^triangles: "):
        uvgen.parameterize(vertices, value)
    with pytest.raises(InputError, match=r"^known: "):
        uvgen.transfer_expressions(vertices, triangles, value, moved)
    with pytest.raises(InputError, match=r"^displacements: "):
        uvgen.transfer_expressions(vertices, triangles, known, value)
    with pytest.raises(InputError, match=r"^mirror: "):
        uvgen.parameterize(vertices, triangles, mirror=value)
    with pytest.raises(InputError, match=r"^outer: "):
        uvgen.parameterize(vertices, triangles, outer=value)


@pytest.mark.parametrize("value", ["no", 1, None, np.zeros(2, bool)])
def test_switches_are_true_or_false(value: Any, tmp_path: Any) -> None:
    points, image = np.eye(3), np.zeros((16, 16, 3), np.uint8)
    calls: dict[str, Callable[[], Any]] = {
        "scaled": lambda: uvgen.evaluation.align_points(points, points, scaled=value),
        "flip": lambda: uvgen.warp_image(image, SHIFT, 8, flip=value),
        "each": lambda: uvgen.losses.ssim(image / 255, image / 255, each=value),
        "copies": lambda: uvgen.group_samples(["a"], copies=value),
        "symmetric": lambda: uvgen.parameterize(points, [[0, 1, 2]], symmetric=value),
        "centered": lambda: r.write_glb(tmp_path / "a.glb", points, [[0, 1, 2]], centered=value),
    }
    for name, call in calls.items():
        with pytest.raises(InputError, match=f"^{name}: .*, expected True or False"):
            call()


def test_arguments_of_other_kinds_are_refused_by_name() -> None:
    points = np.random.default_rng(0).random((9, 3))
    many: Any = 10**400
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: uvgen.evaluation.align_by_icp(points, points[:0], scaled=True), "target"),
        (lambda: uvgen.evaluation.align_by_icp(points, points, scaled=True, start=5), "start"),  # type: ignore[arg-type]
        (lambda: uvgen.evaluation.align_by_icp(1e300 * points, points, scaled=True), "source"),
        (lambda: uvgen.evaluation.align_points(points, points, scaled=True).apply(points[:, :2]), "points"),
        (lambda: uvgen.evaluation.summarize([1j, 2]), "values"),  # type: ignore[arg-type]
        (lambda: uvgen.evaluation.summarize(points[0], yaw_deg=["a"] * 3), "yaw_deg"),  # type: ignore[arg-type]
        (lambda: uvgen.losses.ssim(np.zeros((3, 16, 16)), np.zeros((3, 16, 16)), data_range=many), "data_range"),
        (lambda: uvgen.Normalization.covering(5), "maps"),  # type: ignore[arg-type]
        (lambda: uvgen.Normalization.of_maps("size", many), "crop_size"),
        (lambda: uvgen.group_samples("ab"), "names"),
        (lambda: uvgen.group_samples([1]), "names"),  # type: ignore[list-item]
        (lambda: uvgen.group_samples(["a"], by=b"a"), "by"),  # type: ignore[arg-type]
        (lambda: Augmentation.from_json(5), "augmentation"),  # type: ignore[arg-type]
        (lambda: Augmentation.from_plain({}, base=5), "base"),  # type: ignore[arg-type]
        (lambda: uvgen.SampleSelection(names=np.array("a")), "names"),
    ]
    for call, name in calls:
        with pytest.raises(InputError, match=f"^{name}: "):
            call()


def test_landmarks_of_an_image_without_a_height_are_refused(model: uvgen.MorphableModel) -> None:
    points = np.random.default_rng(0).random((1, 68, 2)) * 100
    with pytest.raises(InputError, match=r"^image_height: "):
        uvgen.fit_landmarks(points, model, float("nan"))
    with pytest.raises(InputError, match=r"^points: those of face 0 lie in one point"):
        uvgen.fit_landmarks(1e-40 * points, model, 100)
    others: list[Any] = [[[1], [2, 3]], [float("nan")], [None, "a"]]
    for person in others:
        with pytest.raises(InputError, match=r"^person: "):
            uvgen.fit_landmarks(np.tile(points, (len(person), 1, 1))[: len(person)], model, 100, person=person)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("misuse") / "set"
    config = uvgen.BuildConfig(size=SIZE, uv_size=SIZE, shard_size=2)
    uvgen.build_shards(
        uvgen.synth.builtin_samples(), folder, model="builtin", config=config, select=uvgen.SampleSelection(limit=4)
    )
    return folder


def test_readers_take_names_in_an_array_and_refuse_buffers_that_cannot_be_filled(shards: Any) -> None:
    reader = uvgen.open_shards(shards)
    chosen = np.array(reader.names[1:3])
    assert uvgen.open_shards(shards, names=chosen).names == chosen.tolist()
    with pytest.raises(InputError, match="names none"):
        uvgen.open_shards(shards, names=chosen[:0])
    read_only = np.zeros((SIZE, SIZE, 3), np.uint8)
    read_only.flags.writeable = False
    for out in (5, [1], read_only, np.zeros((SIZE, 3, SIZE), np.uint8)):
        with pytest.raises(InputError, match=r"^out: "):
            reader.read(0, "image", out)  # type: ignore[arg-type]


@pytest.mark.torch
def test_data_sets_and_samplers_refuse_numbers_of_other_kinds(shards: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    import json

    from uvgen.torch import ShardDataset, ShardSampler, to_float

    dataset = ShardDataset(shards)
    sampler = ShardSampler(dataset, seed=np.int64(1), n_ranks=np.int64(2), rank=np.int64(1))  # type: ignore[arg-type]
    assert json.loads(json.dumps(sampler.state_dict())) == sampler.state_dict()
    assert list(sampler) == list(ShardSampler(dataset, seed=1, n_ranks=2, rank=1))
    for value in (1.5, "1", None, True, 2**64, np.zeros(2), torch.zeros(2)):
        for call, name in (
            (lambda v: dataset.set_epoch(v), "epoch"),
            (lambda v: sampler.set_epoch(v), "epoch"),
            (lambda v: ShardSampler(dataset, seed=v), "seed"),
            (lambda v: ShardDataset(shards, seed=v), "seed"),
        ):
            with pytest.raises(InputError, match=f"^{name}: .*, expected (a whole number|-9223)"):
                call(value)
    for value in ("no", 1, None, torch.zeros(2)):
        for name in ("compact", "channels_last", "weight_mask"):
            with pytest.raises(InputError, match=f"^{name}: .*, expected True or False"):
                ShardDataset(shards, **{name: value})
        for name in ("shuffle", "drop_last"):
            with pytest.raises(InputError, match=f"^{name}: .*, expected True or False"):
                ShardSampler(dataset, **{name: value})
        with pytest.raises(InputError, match=r"^channels_last: "):
            to_float(dataset.batch([0]), channels_last=value)
    for sizes in ((2.5, 1), (3, -1), "abc", 5):
        with pytest.raises(InputError, match=r"^data: its shard_samples are"):
            ShardSampler(type("Data", (), {"shard_samples": sizes})())
    for sizes in ((2, 1), np.array([2, 1]), torch.tensor([2, 1]), {"a": 2, "b": 1}.values()):
        assert len(ShardSampler(type("Data", (), {"shard_samples": sizes})())) == 3
    assert list(ShardSampler(dataset, shuffle=torch.tensor(False))) == list(range(len(dataset)))
    for used in ("a", 1.5, -1, True):
        with pytest.raises(InputError, match=r"^n_used: "):
            sampler.state_dict(used)  # type: ignore[arg-type]


@pytest.mark.torch
def test_augmented_samples_can_be_taken_by_several_names(shards: Any) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    from uvgen.torch import ShardDataset

    shown = Augmentation(occlusion=1.0, occluder_fills=("image",))
    dataset = ShardDataset(shards, augmentation=shown)
    names = dataset.reader.names[:2]
    by_name, by_number = dataset[names], dataset[[0, 1]]
    assert by_name["name"] == names and bool((by_name["image"] == by_number["image"]).all())


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64"])
def test_triangles_of_unsigned_tensors_are_drawn_or_refused(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    pytest.importorskip("warp", reason="Warp is not installed: pip install warp-lang")
    from uvgen.torch import rasterize

    vertices, dtype = torch.tensor([[[1.0, 1, 0], [9, 1, 0], [1, 9, 0]]]), getattr(torch, kind)
    triangles = torch.tensor([[0, 1, 2]])
    found = rasterize(vertices, triangles.to(dtype), (12, 12))
    for one, other in zip(found, rasterize(vertices, triangles, (12, 12)), strict=True):
        assert bool((one == other).all())
    with pytest.raises(InputError, match=r"^triangles: "):
        rasterize(vertices, torch.tensor([[0, 1, -1]]).to(dtype), (12, 12))
