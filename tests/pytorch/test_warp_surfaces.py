"""Normals, visibility and maps by NVIDIA Warp, as on CUDA, and by PyTorch's operators: the same, here on the CPU."""

from typing import Any

import numpy as np
import pytest
from support.toy import N_EXPRESSION, N_SHAPE

from uvgen.models.morphable import MorphableModel

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
pytest.importorskip("warp", reason="NVIDIA Warp is not installed: pip install warp-lang")

from uvgen.torch import (  # noqa: E402
    PositionMapLayer,
    unwrap,
    vertex_normals,
    visible_by_depth,
    visible_by_normals,
    warp_runtime,
    warp_surfaces,
)


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """The kernels, compiled: some seconds where no earlier run has."""
    warp_runtime.kernels(torch.device("cpu"), torch.float32, "surfaces")


@pytest.fixture
def by_warp(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call a function twice: with PyTorch's operators, and with Warp's kernels, which must have run."""

    def both(function: Any) -> tuple[Any, Any]:
        expected = function()
        launched = []
        launch = warp_runtime.launch
        with monkeypatch.context() as patch:
            patch.setattr(warp_runtime, "is_used", lambda *_: True)
            patch.setattr(warp_runtime, "launch", lambda *a: launched.append(launch(*a)))
            found = function()
        assert launched
        return found, expected

    return both


def folded_map(seed: int, rows: int = 40, columns: int = 56) -> Any:
    """(2, 3, rows, columns): sheets that fold over and leave the picture, with some values that are not finite."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(2, 3, 6, 7, generator=generator) * 12
    maps = torch.nn.functional.interpolate(coarse, (rows, columns), mode="bicubic", align_corners=True)
    y, x = torch.meshgrid(torch.linspace(-8, 70, rows), torch.linspace(-8, 90, columns), indexing="ij")
    maps[:, :2] += torch.stack([x, y])
    for k, value in enumerate([torch.nan, torch.inf, -torch.inf]):
        maps[0, k, 10 + k, 20 - k] = value
    return maps


@pytest.mark.parametrize("seed", range(3))
def test_visible_by_depth_is_the_same(seed: int, by_warp: Any) -> None:
    maps = folded_map(seed)
    found, expected = by_warp(lambda: visible_by_depth(maps, (64, 80), 0.02))
    assert found.shape == expected.shape == (2, 1, 40, 56) and found.dtype == torch.bool
    assert torch.equal(found, expected) and 0.1 < float(found.float().mean()) < 0.9
    assert not torch.equal(found, visible_by_depth(maps, (64, 80), 100.0))  # depth mattered


def test_unwrap_with_coverage_is_the_same(by_warp: Any) -> None:
    maps, image = folded_map(3), torch.rand(2, 3, 64, 80)
    coverage = torch.rand(40, 56) > 0.3
    found, expected = by_warp(lambda: unwrap(image, maps, coverage))
    assert all(torch.equal(left, right) for left, right in zip(found, expected, strict=True))
    small = torch.rand(2, 3, 2, 2) * 9
    assert torch.equal(*(texels for _, texels in by_warp(lambda: unwrap(image, small))))


def test_vertex_normals_and_their_gradients_are_the_same(by_warp: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    vertices = torch.randn(2, 30, 3, generator=generator)
    triangles = torch.randint(0, 30, (50, 3), generator=generator)

    def normals() -> list[Any]:
        leaf = vertices.clone().requires_grad_()
        found = vertex_normals(leaf, triangles)
        (first,) = torch.autograd.grad(found.pow(3).sum(), leaf)
        (again,) = torch.autograd.grad(vertex_normals(leaf, triangles).pow(3).sum(), leaf, create_graph=True)
        (second,) = torch.autograd.grad(again.pow(2).sum(), leaf)
        return [found, first, again, second]

    for found, expected in zip(*by_warp(normals), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(expected.detach().abs().max()))
    assert torch.equal(*by_warp(lambda: visible_by_normals(vertices, triangles)))


def test_normals_by_warp_skip_indices_out_of_range(by_warp: Any) -> None:
    from uvgen.torch.warp_surfaces import VertexNormals

    vertices = torch.rand(1, 4, 3, requires_grad=True)
    corners = torch.tensor([[0, 1, 2], [0, 1, 4], [-1, 2, 3]], dtype=torch.int32)
    found = VertexNormals.apply(vertices, corners, None)
    torch.testing.assert_close(found, vertex_normals(vertices, corners[:1]))
    found.sum().backward()
    assert not vertices.grad[0, 3].any()


@pytest.mark.parametrize("flips", [None, [True, False, True]], ids=["plain", "mirrored"])
@pytest.mark.parametrize("convention", ["exact", "face3d"])
def test_position_maps_are_the_same(model: MorphableModel, by_warp: Any, flips: Any, convention: str) -> None:
    rng = np.random.default_rng(0)
    layer = PositionMapLayer(model, 21, convention, crop_size=64)
    pose = np.c_[rng.uniform(-1, 1, (3, 3)), rng.uniform(20, 90, (3, 3)), np.full(3, 5e-4)]
    turn = np.tile(np.eye(3), (3, 1, 1))
    turn[:, :2] = rng.normal(size=(3, 2, 3))
    arrays = rng.normal(size=(3, N_SHAPE)), rng.normal(size=(3, N_EXPRESSION)) * 0.1, pose, turn, [128, 192, 100]
    arguments = [torch.as_tensor(array, dtype=torch.float32) for array in arrays]
    flipped = None if flips is None else torch.tensor(flips)
    factor = torch.linspace(-1, 1, 3 * 3 * 21 * 21).view(3, 3, 21, 21)

    def maps_and_gradients() -> list[Any]:
        leaves = [argument.clone().requires_grad_() for argument in arguments]
        maps = layer(*leaves, flipped=flipped)
        first = torch.autograd.grad((maps * factor).sum(), leaves)
        return [layer(*arguments, flipped=flipped), maps, *first]

    for found, expected in zip(*by_warp(maps_and_gradients), strict=True):
        assert found.shape == expected.shape
        # rounding of terms of some hundred pixels
        torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.detach().abs().max()), rtol=1e-4)


def test_smallest_depth_of_three_vertices_shares_its_gradient_as_amin() -> None:
    points = torch.tensor([[[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [9, 9, 5]]]).requires_grad_()
    corners, weights = np.array([[0, 1, 2], [3, 1, 2]]), np.float32([[0.2, 0.3, 0.5], [0.5, 0.25, 0.25]])
    tables = map(torch.from_numpy, warp_surfaces.tables_of([(corners, weights)], 4).values())
    row, flips = torch.tensor([[0.0, 0, 1]]), torch.tensor([False])
    maps = warp_surfaces.PositionMaps.apply(
        points, torch.eye(3)[None], torch.zeros(1, 3), row, torch.zeros(4, 3), flips, *tables
    )
    (found,) = torch.autograd.grad(maps[0, 2].sum(), points)
    texels = (points[0, corners, 2] * torch.from_numpy(weights)).sum(dim=1) - points[0, :, 2].amin()
    (expected,) = torch.autograd.grad(texels.sum(), points)
    torch.testing.assert_close(maps[0, 2], texels)
    torch.testing.assert_close(found, expected)
    assert found[0, :3, 2].any()


def test_deterministic_layers_keep_to_pytorch_s_operators(
    model: MorphableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warp_runtime, "is_used", lambda *_: True)
    monkeypatch.setattr(warp_runtime, "launch", lambda *_: pytest.fail("adds up in any order"))
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    pose = torch.tensor([[0.1, 0.2, 0.3, 50, 60, 0, 5e-4]])
    PositionMapLayer(model, 16)(torch.zeros(1, N_SHAPE), torch.zeros(1, N_EXPRESSION), pose, torch.eye(3)[None], 128)
    vertex_normals(torch.rand(1, 3, 3), torch.tensor([[0, 1, 2]]))


def test_warp_is_used_for_plain_floats_on_cuda_alone() -> None:
    class Pretender:
        is_cuda, dtype = True, torch.float32

    assert not warp_runtime.is_used(torch.zeros(1))
    assert not warp_runtime.is_used(Pretender())  # type: ignore[arg-type]
