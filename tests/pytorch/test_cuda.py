"""Drawing, normals, visibility and maps on a GPU, where there is one: the CPU's results, without waiting for it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.models import builtin_model
from support.toy import N_EXPRESSION, N_SHAPE

import uvgen.rasterize as on_the_cpu
from uvgen.models.morphable import MorphableModel

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
pytest.importorskip("warp", reason="NVIDIA Warp is not installed: pip install warp-lang")
if not torch.cuda.is_available():
    pytest.skip("no CUDA device", allow_module_level=True)

import uvgen.torch as ut  # noqa: E402
from uvgen.torch import warp_runtime  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Kernels are compiled before a test forbids to wait for the device."""
    for kind in ("raster", "surfaces"):
        warp_runtime.kernels(torch.device("cuda", torch.cuda.current_device()), torch.float32, kind)


@pytest.fixture
def no_waiting() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


def faces(n: int, side: int) -> tuple[Any, Any]:
    """Vertices (n, v, 3) of the built-in face at several angles, and its triangles."""
    model = builtin_model()
    points = torch.tensor(model.mean, dtype=torch.float64)
    turn = ut.euler_to_matrix(torch.linspace(-1.2, 1.2, n, dtype=torch.float64)[:, None].repeat(1, 3))
    points = ut.rotate_points(points[None].expand(n, -1, -1), turn) * (3.2e-6 * side)
    return (points * torch.tensor([1, -1, 1]) + torch.tensor([side / 2, side / 2, 0])).float(), torch.tensor(
        model.triangles
    )


@pytest.mark.parametrize("side", [40, 256, 1400])  # small triangles, and those that are queued
@pytest.mark.parametrize("cull", ["none", "back"])
def test_rasterize_on_cuda_finds_the_cpu_s_bits(side: int, cull: str, no_waiting: None) -> None:
    vertices, triangles = faces(3, side)
    if side == 1400:
        vertices = vertices * torch.tensor([6.0, 6, 6]) - 2000
        triangles = triangles[torch.randperm(len(triangles), generator=torch.Generator().manual_seed(0))]
    size = side - 7, side
    expected = on_the_cpu.rasterize(vertices.numpy(), triangles.numpy(), size, cull=cull)
    on_device = vertices.cuda(non_blocking=True), triangles.cuda(non_blocking=True)
    found = ut.rasterize(*on_device, size, cull=cull)
    colors = torch.rand(vertices.shape[1], 3)
    image = ut.interpolate(*found[:2], on_device[1], colors.cuda(non_blocking=True), background=3)
    torch.cuda.set_sync_debug_mode("default")
    for tensor, array in zip(found, (expected.triangle, expected.weights, expected.depth), strict=True):
        np.testing.assert_array_equal(tensor.cpu().numpy().view(np.int32), array.view(np.int32))
    np.testing.assert_array_equal(
        image.cpu(), on_the_cpu.interpolate(expected, triangles.numpy(), colors.numpy(), background=3)
    )


@pytest.mark.parametrize("deterministic", [False, True])
def test_gradients_on_cuda_are_the_cpu_s(deterministic: bool) -> None:
    vertices, triangles = faces(2, 64)
    colors = torch.rand(vertices.shape[1], 3)
    results = []
    torch.use_deterministic_algorithms(deterministic)
    for device in ("cpu", "cuda", "cuda"):
        leaves = [t.to(device).requires_grad_() for t in (vertices, colors)]
        corners = triangles.to(device)
        triangle, weights, depth = ut.rasterize(leaves[0], corners, (60, 64))
        image = ut.interpolate(triangle, weights, corners, leaves[1])
        loss = image.square().sum() + torch.where(triangle >= 0, depth, 0).sum()
        results.append([g.cpu() for g in torch.autograd.grad(loss, leaves)])
    torch.use_deterministic_algorithms(False)
    for on_cpu, first, again in zip(*results, strict=True):
        torch.testing.assert_close(first, on_cpu, rtol=1e-3, atol=1e-4 * float(on_cpu.abs().max()))  # sums of many
        assert not deterministic or torch.equal(first, again)


def test_work_is_queued_on_the_current_stream() -> None:
    vertices, triangles = (t.cuda() for t in faces(2, 64))
    expected = ut.rasterize(vertices, triangles, (60, 64))
    moved = torch.zeros_like(vertices)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # had the default stream drawn, it would have drawn zeros
        moved.copy_(vertices, non_blocking=True)
        found = ut.rasterize(moved, triangles, (60, 64))
    torch.cuda.current_stream().wait_stream(stream)
    assert all(torch.equal(left, right) for left, right in zip(found, expected, strict=True))


def test_layers_on_cuda_give_the_cpu_s_results(model: MorphableModel, no_waiting: None) -> None:
    vertices, triangles = faces(2, 64)
    generator = torch.Generator().manual_seed(0)
    shape, expression = (torch.randn(3, k, generator=generator) for k in (N_SHAPE, N_EXPRESSION))
    pose = torch.tensor([[0.1, 0.9, 0.3, 64, 70, 0, 5e-4]] * 3)
    flips = torch.tensor([True, False, True])
    layer = ut.PositionMapLayer(model, 48, crop_size=128)
    arguments = [shape, expression, pose, torch.eye(3).repeat(3, 1, 1), torch.full((3,), 128.0)]
    image = torch.rand(3, 3, 128, 128)
    results = []
    for device in ("cpu", "cuda"):
        torch.cuda.set_sync_debug_mode("default")
        layer = layer.to(device)
        moved = [argument.to(device).requires_grad_() for argument in arguments]
        picture, points, corners, mirrored = (t.to(device) for t in (image, vertices, triangles, flips))
        torch.cuda.set_sync_debug_mode("error")
        maps = layer(*moved, flipped=mirrored)
        gradients = torch.autograd.grad(maps.square().sum(), moved)
        texture, visible = ut.unwrap(picture, maps.detach())
        normals = ut.vertex_normals(points, corners)
        torch.cuda.set_sync_debug_mode("default")
        results.append([t.cpu() for t in (maps.detach(), *gradients, normals, texture, visible)])
    *others, texture, visible = zip(*results, strict=True)
    for on_cpu, on_cuda in others:
        torch.testing.assert_close(on_cuda, on_cpu, rtol=1e-3, atol=1e-4 * float(on_cpu.abs().max()))
    for on_cpu, on_cuda in (texture, visible):  # but for texels at a limit, moved by rounding
        assert float(((on_cpu.float() - on_cuda.float()).abs() > 1e-2).float().mean()) < 0.005


@pytest.mark.parametrize("kind", ["euler", "axis-angle", "matrix"])
@pytest.mark.parametrize("height", ["number", "per face"])
def test_map_layer_on_cuda_takes_any_pose_without_waiting(model: MorphableModel, kind: str, height: str) -> None:
    generator = torch.Generator().manual_seed(0)
    shape, expression, axes = (torch.randn(3, k, generator=generator) for k in (N_SHAPE, N_EXPRESSION, 3))
    leaves = [shape, expression, torch.tensor([[0.1, 0.9, 0.3, 64, 70, 0, 5e-4]] * 3), torch.eye(3).repeat(3, 1, 1)]
    if height == "per face":
        leaves.append(torch.tensor([128.0, 100, 99]))
    if kind != "euler":
        leaves.append(axes if kind == "axis-angle" else ut.axis_angle_to_matrix(axes))
    layer = ut.PositionMapLayer(model, 48)
    results = []
    for device in ("cpu", "cuda"):
        layer = layer.to(device)
        moved = [value.to(device).requires_grad_() for value in leaves]
        given = [*moved[:4], 128.5] if height == "number" else moved[:5]
        rotation = None if kind == "euler" else moved[-1]
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            maps = layer(*given, rotation=rotation)
            gradients = torch.autograd.grad(maps.square().sum(), moved)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        results.append([maps.detach().cpu(), *(gradient.cpu() for gradient in gradients)])
    for on_cpu, on_cuda in zip(*results, strict=True):
        torch.testing.assert_close(on_cuda, on_cpu, rtol=1e-3, atol=1e-4 * float(on_cpu.abs().max()))


def test_map_layer_on_cuda_can_be_replayed_from_a_graph(model: MorphableModel) -> None:
    layer = ut.PositionMapLayer(model, 48).cuda()
    pose = torch.tensor([[0.1, 0.9, 0.3, 64, 70, 0, 5e-4]] * 2).cuda()
    arguments = (
        torch.rand(2, N_SHAPE).cuda(),
        torch.rand(2, N_EXPRESSION).cuda(),
        pose,
        torch.eye(3).cuda().repeat(2, 1, 1),
    )
    with torch.no_grad():
        layer(*arguments, 128)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            maps = layer(*arguments, 128)
        pose[:, 1] = -0.5
        graph.replay()
        expected = layer(*arguments, 128)
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-3)
