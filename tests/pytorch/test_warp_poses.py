"""What `PositionMapLayer` queues on CUDA, here on the CPU: results and gradients for all kinds of poses, and how little
that is."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from support.toy import N_EXPRESSION, N_SHAPE

from uvgen.errors import InputError
from uvgen.models.morphable import MorphableModel

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
pytest.importorskip("warp", reason="NVIDIA Warp is not installed: pip install warp-lang")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from uvgen.torch import PositionMapLayer, axis_angle_to_matrix, warp_runtime, warp_surfaces  # noqa: E402

CPU = torch.device("cpu")
ROTATIONS = ("euler", "axis-angle", "small axis-angle", "matrix")
HEIGHTS = ("number", "one", "per face")


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """The kernels, compiled: some seconds where no earlier run has."""
    for dtype in (torch.float32, torch.float64):
        warp_runtime.kernels(CPU, dtype, "surfaces")


@contextlib.contextmanager
def by_warp(used: bool = True) -> Iterator[list[Any]]:
    """Warp is used on the CPU too; what it launches meanwhile."""
    launched: list[Any] = []
    launch = warp_runtime.launch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warp_runtime, "is_used", lambda *_: used)
        patch.setattr(warp_runtime, "launch", lambda *a: launched.append(a[0].func.__name__) or launch(*a))
        yield launched
    assert bool(launched) == used


def faces(kind: str, height: str, n: int = 3) -> tuple[list[Any], dict[str, Any]]:
    """Arguments of n faces in float64, of which some are mirrored."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    pose = torch.cat([draw(n, 3), 40 + 10 * draw(n, 3), 4e-4 + 4e-5 * draw(n, 1)], dim=1)
    similarity = torch.eye(3, dtype=torch.float64).repeat(n, 1, 1)
    similarity[:, :2] += 0.3 * draw(n, 2, 3)
    heights = {"number": 100.5, "one": torch.tensor(100.5).double(), "per face": 100 + draw(n)}
    options = {"flipped": torch.arange(n) % 2 == 0}
    axes = draw(n, 3) * (1e-4 if "small" in kind else 1)
    if "axis" in kind:
        options["rotation"] = axes
    elif kind == "matrix":
        options["rotation"] = axis_angle_to_matrix(axes)
    return [draw(n, N_SHAPE) * 1e5, draw(n, N_EXPRESSION), pose, similarity, heights[height]], options


def maps_and_gradients(layer: PositionMapLayer, arguments: list[Any], options: dict[str, Any]) -> dict[str, Any]:
    names = ("shape", "expression", "pose", "similarity", "height", *options)
    values = dict(zip(names, [*arguments, *options.values()], strict=True))
    leaves = {
        name: value.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        for name, value in values.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
    given = {**values, **leaves}
    maps = layer(*[given[name] for name in names[:5]], **{name: given[name] for name in options})
    factor = torch.linspace(-1, 2, maps.numel(), dtype=maps.dtype).view_as(maps).sin()
    gradients = torch.autograd.grad((maps * factor).sum(), list(leaves.values()))
    return {"maps": maps.detach(), **dict(zip(leaves, gradients, strict=True))}


@pytest.mark.parametrize("height", HEIGHTS)
@pytest.mark.parametrize("kind", ROTATIONS)
def test_maps_and_all_gradients_are_those_of_pytorch_s_operators(model: MorphableModel, kind: str, height: str) -> None:
    layer = PositionMapLayer(model, 16, crop_size=64).double()
    arguments, options = faces(kind, height)
    expected = maps_and_gradients(layer, arguments, options)
    with by_warp():
        found = maps_and_gradients(layer, arguments, options)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape and found[name].dtype == value.dtype
        error = (found[name] - value).abs().max() / value.abs().max()
        assert float(error) < 1e-10, name  # float64: rounding alone
    assert not expected["pose"][:, 5].any() and not found["pose"][:, 5].any()


@pytest.mark.parametrize("kind", ROTATIONS)
def test_gradients_are_right(model: MorphableModel, kind: str) -> None:
    layer = PositionMapLayer(model, 16, crop_size=64).double()
    (shape, expression, pose, similarity, height), options = faces(kind, "per face", 2)
    turn = options.get("rotation")

    def maps(*values: Any) -> Any:  # a step of 1e-6 moves each by about as much
        shape, expression, pose, similarity, height, *turns = values
        pose = torch.cat([pose[:, :6], pose[:, 6:] * 1e-4], dim=1)
        rotation = turns[0] if turns else None
        return layer(shape * 1e5, expression, pose, similarity, height, rotation=rotation, flipped=options["flipped"])

    pose[:, 6] *= 1e4
    inputs = [shape / 1e5, expression, pose, similarity, height] + ([] if turn is None else [turn])
    with by_warp():
        assert torch.autograd.gradcheck(maps, [t.requires_grad_() for t in inputs], atol=1e-4, fast_mode=True)


def test_arguments_of_any_layout_type_and_number(model: MorphableModel) -> None:
    layer = PositionMapLayer(model, 20, crop_size=64)
    arguments, options = faces("axis-angle", "per face", 5)
    plain = [value.float() for value in arguments]
    with by_warp():
        expected = layer(*plain, rotation=options["rotation"].float(), flipped=options["flipped"])
        wide = [torch.stack([value, value], dim=-1)[..., 0] for value in arguments]  # float64, every other number
        turned = options["rotation"].mT.contiguous().mT
        assert not wide[2].is_contiguous() and not turned.is_contiguous()
        found = layer(*wide, rotation=turned, flipped=torch.stack([options["flipped"]] * 2, dim=1)[:, 0])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)
        alone = layer(*(t[3:4] for t in plain), rotation=options["rotation"][3:4].float())
        torch.testing.assert_close(alone[0], expected[3], rtol=1e-5, atol=1e-3)
        one = plain[3][:1].expand(5, 3, 3)
        shared = maps_and_gradients(layer, [*plain[:3], one, 100], {})
        apart = maps_and_gradients(layer, [*plain[:3], one.contiguous(), torch.full((5,), 100)], {})
    for name, value in shared.items():
        assert torch.equal(value, apart[name]) or name in ("pose", "similarity"), name
    torch.testing.assert_close(shared["similarity"], apart["similarity"])


@pytest.mark.parametrize("wanted", [("shape",), ("pose",), ("similarity", "height")])
def test_gradients_of_some_arguments_are_those_of_all(model: MorphableModel, wanted: tuple[str, ...]) -> None:
    layer = PositionMapLayer(model, 16).double()
    arguments, _ = faces("euler", "per face")
    names = ("shape", "expression", "pose", "similarity", "height")
    with by_warp():
        maps = layer(*(value.requires_grad_(name in wanted) for name, value in zip(names, arguments, strict=True)))
        found = torch.autograd.grad(maps[:, :, 3].sum(), [arguments[names.index(name)] for name in wanted])
    maps = layer(*arguments)
    expected = torch.autograd.grad(maps[:, :, 3].sum(), [arguments[names.index(name)] for name in wanted])
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right)


class Operators(TorchDispatchMode):
    """What PyTorch would launch on a device: operators that neither allocate nor look at memory otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        if not (function.is_view or name.startswith(("empty", "new_empty")) or name in ("detach", "_unsafe_view")):
            self.names.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["euler", "axis-angle", "matrix"])
@pytest.mark.parametrize("height", ["number", "per face"])
def test_a_call_is_a_product_and_few_kernels(model: MorphableModel, kind: str, height: str) -> None:
    layer = PositionMapLayer(model, 16, crop_size=64)
    arguments, options = faces(kind, height)
    values = [value.float() if isinstance(value, torch.Tensor) else value for value in arguments]
    options = {name: value if value.dtype == torch.bool else value.float() for name, value in options.items()}
    with by_warp() as launched, Operators() as operators:
        with torch.no_grad():
            layer(*values, **options)
        assert launched == ["to_crop", "find_smallest", "texels"]
        assert operators.names == ["cat", "mm", "new_full"]
        leaves = [value.requires_grad_() for value in values if isinstance(value, torch.Tensor)]
        maps = layer(*values, **options)
        seed = torch.empty_like(maps).zero_()
        launched.clear()
        operators.names.clear()
        torch.autograd.grad(maps, leaves, seed)
        assert launched == ["count_smallest", "maps_gradient", "to_crop_gradient"]
        assert sorted(operators.names) == ["mm", "new_zeros", "sum"]


def test_argument_on_another_device_is_an_error(model: MorphableModel) -> None:
    arguments, options = faces("axis-angle", "per face")
    names, layer = ("shape", "expression", "pose", "similarity"), PositionMapLayer(model, 16)
    for place, name in enumerate(names):
        moved = [value.to("meta") if k == place else value for k, value in enumerate(arguments)]
        with pytest.raises(InputError, match=f"{name}: on meta, expected cpu, where this layer is"):
            layer(*moved)
    with pytest.raises(InputError, match="rotation: on meta, expected cpu"):
        layer(*arguments, rotation=options["rotation"].to("meta"))


def test_stand_ins_among_the_arguments_are_left_to_pytorch(
    model: MorphableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(warp_runtime, "is_used", lambda *tensors: asked.extend(tensors))
    layer, (arguments, options) = PositionMapLayer(model, 16, crop_size=64), faces("matrix", "per face")
    layer(*arguments, **options)
    assert len(asked) == 6  # the basis, the coefficients, and four more
    assert not any(torch._C._functorch.is_functorch_wrapped_tensor(tensor) for tensor in asked)
    asked.clear()
    torch.func.grad(lambda pose: layer(*arguments[:2], pose, *arguments[3:], **options).sum())(arguments[2])
    assert any(torch._C._functorch.is_functorch_wrapped_tensor(tensor) for tensor in asked)


def test_zero_area_similarity_gives_flat_maps(model: MorphableModel) -> None:
    arguments, options = faces("euler", "number")
    arguments[3][:, :2, :2] = 0
    with by_warp():
        maps = PositionMapLayer(model, 16, crop_size=64).double()(*arguments, **options)
    assert not maps[:, 2].any() and maps.isfinite().all()


def test_kinds_of_rotation_are_told_apart() -> None:
    axes, matrices = torch.zeros(2, 3), torch.zeros(2, 3, 3)
    assert warp_surfaces._by_kind(axes)[0] is axes and warp_surfaces._by_kind(matrices)[1] is matrices
    assert warp_surfaces._by_kind(None) == (None, None)
