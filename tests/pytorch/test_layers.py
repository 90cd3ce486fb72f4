"""The layer in a network that is turned to half precision, and arguments of any type."""

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.toy import N_EXPRESSION, N_SHAPE

from uvgen.errors import InputError
from uvgen.models.morphable import MorphableModel

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from uvgen.torch import PositionMapLayer  # noqa: E402

FLOATS = ("basis", "mean", "weights", "unpaired_weights")
INDICES = ("corners", "mirror_vertices", "unpaired", "unpaired_corners")


def arguments(dtype: Any = torch.float32) -> list[Any]:
    """Of two faces, in numbers that each type holds exactly."""
    values = np.random.default_rng(0).integers(-3, 4, (2, N_SHAPE + N_EXPRESSION))
    pose = np.array([[0, 0, 0, 64, 96, 0, 0.000457763671875], [0.5, -0.25, 0.125, 96, 64, 8, 0.00048828125]])
    similarity = np.tile(np.diag([0.5, 0.5, 1.0]), (2, 1, 1))
    arrays = values[:, :N_SHAPE] * 1024, values[:, N_SHAPE:] / 4, pose, similarity, np.array([128, 192])
    return [torch.from_numpy(array).to(dtype) for array in arrays]


def saved_and_loaded(layer: Any) -> Any:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "half": lambda m: m.half(),
    "bfloat16": lambda m: m.bfloat16(),
    "to float16": lambda m: m.to(torch.float16),
    "to a device and bfloat16": lambda m: m.to("cpu", torch.bfloat16, non_blocking=True),
    "to as a tensor": lambda m: m.to(torch.zeros(1, dtype=torch.float16)),
    "type": lambda m: m.type(torch.float16),
    "half twice": lambda m: m.half().bfloat16(),
    "half and float": lambda m: m.half().float(),
    "double and half": lambda m: m.double().half(),
    "deepcopy": lambda m: copy.deepcopy(m.half()),
    "half of a copy": lambda m: copy.deepcopy(m).half(),
    "saved": lambda m: saved_and_loaded(m.half()),
    "cpu": lambda m: m.half().cpu(),
}


@pytest.mark.parametrize("kind", CONVERSIONS)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a network"])
def test_layer_turned_to_half_precision_stays_in_float32(model: MorphableModel, kind: str, inside: bool) -> None:
    expected = PositionMapLayer(model, 20, crop_size=64)(*arguments(), flipped=torch.tensor([True, False]))
    layer = PositionMapLayer(model, 20, crop_size=64)
    if inside:
        network = CONVERSIONS[kind](torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ModuleList([layer])))
        layer = network[1][0]
    else:
        layer = CONVERSIONS[kind](layer)
    assert {getattr(layer, name).dtype for name in FLOATS} == {torch.float32}
    assert {getattr(layer, name).dtype for name in INDICES} == {torch.int64}
    found = layer(*arguments(), flipped=torch.tensor([True, False]))
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_network_around_the_layer_becomes_half_precision(model: MorphableModel) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), PositionMapLayer(model, 16)).half()
    assert network[0].weight.dtype == torch.float16 and network[1].basis.dtype == torch.float32


def test_layer_still_turns_to_double_and_back_and_moves(model: MorphableModel) -> None:
    layer = PositionMapLayer(model, 16)
    assert layer.double().basis.dtype == torch.float64 and layer.corners.dtype == torch.int64
    assert layer(*arguments()).dtype == torch.float64
    assert layer.type(torch.float64).corners.dtype == torch.int64
    assert layer.float().basis.dtype == torch.float32
    moved = layer.to("meta", torch.float16)
    assert moved.basis.device.type == "meta" and moved.basis.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_layer_widens_its_arguments(model: MorphableModel, dtype: Any) -> None:
    layer = PositionMapLayer(model, 20)
    narrow = arguments(dtype)
    found = layer(*narrow)
    assert found.dtype == torch.float32
    assert torch.equal(found, layer(*(tensor.float() for tensor in narrow)))


def test_layer_of_half_precision_places_points_as_in_float32(model: MorphableModel) -> None:
    layer, inputs = PositionMapLayer(model, 20), arguments()
    expected = layer(*inputs)
    assert torch.equal(layer.half()(*inputs), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(*inputs), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int64, torch.bool])
def test_layer_takes_integers(model: MorphableModel, dtype: Any) -> None:
    layer = PositionMapLayer(model, 16, crop_size=64)
    shape, expression, pose, _, height = arguments()
    zeros = [torch.zeros_like(tensor).to(dtype) for tensor in (shape, expression)]
    ones = torch.eye(3).expand(2, 3, 3).to(dtype)
    found = layer(*zeros, pose, ones, height.long(), flipped=torch.tensor([1, 0]).to(dtype))
    expected = layer(0 * shape, 0 * expression, pose, ones.float(), height, flipped=torch.tensor([True, False]))
    assert torch.equal(found, expected)


def test_layer_takes_heights_as_numbers_whatever_the_default_type(model: MorphableModel) -> None:
    layer = PositionMapLayer(model, 16)
    *inputs, _ = arguments()
    expected = layer(*inputs, torch.full((2,), 450.3))
    torch.set_default_dtype(torch.float16)
    try:
        assert torch.equal(layer(*inputs, 450.3), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    exact = layer.double()(*inputs, torch.full((2,), 450.3, dtype=torch.float64))
    assert torch.equal(layer(*inputs, 450.3), exact)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("bad", ["array", "list", "complex"])
def test_layer_of_what_are_no_tensors_of_real_numbers_is_an_error(model: MorphableModel, place: int, bad: str) -> None:
    inputs: list[Any] = arguments()
    name = ("shape", "expression", "pose", "similarity")[place]
    changes: dict[str, Callable[[Any], Any]] = {
        "array": lambda t: t.numpy(), "list": lambda t: t.tolist(), "complex": lambda t: t.to(torch.complex64)
    }  # fmt: skip
    inputs[place] = changes[bad](inputs[place])
    wanted = "expected real numbers" if bad == "complex" else "expected a PyTorch tensor"
    layer = PositionMapLayer(model, 16)
    with pytest.raises(InputError, match=f"{name}: .*{wanted}"):
        layer(*inputs)
    names = ("shape", "expression", "pose", "image_to_crop", "image_height")
    with pytest.raises(InputError, match=f"{name}: .*{wanted}"):
        layer.from_batch(dict(zip(names, inputs, strict=True)))


@pytest.mark.parametrize(
    ("height", "words"),
    [
        ("high", "image_height: 'high', expected (2,) or a number"),
        (torch.zeros(3), "image_height: (3,), expected (2,)"),
        (np.zeros(3), "image_height: (3,), expected (2,)"),
        (torch.zeros(2).cfloat(), "image_height: torch.complex64 (2,), expected real numbers"),
        (1j, "image_height: 1j, expected"),
    ],
)
def test_layer_of_an_unusable_height_is_an_error(model: MorphableModel, height: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        PositionMapLayer(model, 16)(*arguments()[:4], height)
    assert words in str(caught.value)


def test_layer_of_flips_or_poses_of_another_shape_is_an_error(model: MorphableModel) -> None:
    layer = PositionMapLayer(model, 16, crop_size=64)
    with pytest.raises(InputError, match=r"flipped: \[True, False\], expected a PyTorch tensor"):
        layer(*arguments(), flipped=[True, False])
    shape, expression, pose, similarity, height = arguments()
    with pytest.raises(InputError, match=r"pose: \(7,\), expected \(B, 7\)"):
        layer(shape, expression, pose[0], similarity, height)
