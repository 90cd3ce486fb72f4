"""Drawing tensors with NVIDIA Warp, whose kernels run on the CPU too: against `uvgen.rasterize`, and gradients."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.examples import examples

import uvgen.rasterize as on_the_cpu
from uvgen.errors import DependencyError, InputError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
pytest.importorskip("warp", reason="NVIDIA Warp is not installed: pip install warp-lang")

from uvgen.torch import interpolate, rasterize, rasterizer, visible_vertices, warp_runtime  # noqa: E402

KINDS = ("grid", "floats", "slivers", "huge", "broken", "flat", "negative zero", "large")


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """The kernels of float32, compiled: some seconds where no earlier run has."""
    warp_runtime.kernels(torch.device("cpu"), torch.float32)


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """What `torch.use_deterministic_algorithms` does, without the compiler that it imports, which takes seconds."""
    return lambda on: monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: on)


def mesh(kind: str, seed: int) -> tuple[Any, Any, tuple[int, int]]:
    """Vertices (B, n, 3) float32, triangles (m, 3) and a picture's size."""
    rng = np.random.default_rng(seed)
    batch, n, m = rng.integers(1, 3), rng.integers(3, 30), rng.integers(1, 40)
    height, width = (int(side) for side in rng.integers(1, 24, 2))
    vertices = rng.integers(-12, 100, (batch, n, 3)) / 4  # pixel centers, edges through them, ties in depth
    if kind == "floats":
        vertices = rng.uniform(-20, 44, (batch, n, 3))
    elif kind == "slivers":
        vertices[..., :2] = vertices[..., :1] * rng.integers(-2, 3, 2) + rng.integers(-1, 2, (batch, n, 2)) * 2.0**-18
    elif kind == "huge":
        vertices *= 10.0 ** rng.integers(0, 38, (batch, n, 1))
    elif kind == "broken":
        vertices[rng.random(vertices.shape) < 0.15] = rng.choice([np.nan, np.inf, -np.inf, 3e38])
    elif kind == "flat":
        vertices[..., 2] = rng.integers(0, 2)
    elif kind == "negative zero":
        vertices[..., 2] = np.where(rng.random((batch, n)) < 0.5, 0.0, -0.0)
    elif kind == "large":  # boxes of more than one band of the queue
        height, width = (int(side) for side in rng.integers(60, 120, 2))
        vertices[..., :2] *= 6
    return vertices.astype(np.float32), rng.integers(0, n, (m, 3)), (height, width)


@examples(40)
@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.sampled_from(["none", "back", "front"]))
@example("large", 1, "none")
def test_rasterize_finds_the_cpu_s_pixels_weights_and_depths_bit_for_bit(kind: str, seed: int, cull: str) -> None:
    vertices, triangles, size = mesh(kind, seed)
    expected = on_the_cpu.rasterize(vertices, triangles, size, cull=cull)
    triangle, weights, depth = rasterize(torch.from_numpy(vertices), torch.from_numpy(triangles), size, cull=cull)
    np.testing.assert_array_equal(triangle, expected.triangle)
    np.testing.assert_array_equal(weights.numpy().view(np.int32), expected.weights.view(np.int32))
    np.testing.assert_array_equal(depth.numpy().view(np.int32), expected.depth.view(np.int32))
    colors = np.random.default_rng(seed).normal(size=(len(vertices), vertices.shape[1], 4)).astype(np.float32)
    image = on_the_cpu.interpolate(expected, triangles, colors, background=[1, 2, 3, 4])
    found = interpolate(
        triangle, weights, torch.from_numpy(triangles), torch.from_numpy(colors), background=torch.arange(1, 5)
    )
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("seed", range(3))
def test_rasterize_of_a_triangulation_covers_each_pixel_in_it_exactly_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    side = 24  # a grid of quads, its inner vertices moved, some to pixel centers: each triangle drawn alone
    x, y = np.meshgrid(np.linspace(-3, 40, side), np.linspace(-3, 40, side))
    inner = np.zeros((side, side), bool)
    inner[1:-1, 1:-1] = True
    x, y = (np.where(inner, a + rng.uniform(-0.6, 0.6, a.shape), a) for a in (x, y))
    snapped = rng.random(x.shape) < 0.3
    x, y = (np.where(inner & snapped, np.rint(a), a) for a in (x, y))
    corner = np.arange(side * side).reshape(side, side)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    triangles = np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)]).reshape(-1, 3)
    points = torch.from_numpy(np.stack([x, y, np.zeros_like(x)], -1).reshape(1, -1, 3).astype(np.float32))
    alone = points[0, torch.from_numpy(triangles)]  # (m, 3, 3): a batch of one triangle each
    triangle, _, _ = rasterize(alone, torch.tensor([[0, 1, 2]]), (37, 37))
    # Where a vertex moved far its quads fold over: front and back cancel.
    e = alone[:, 1, :2] - alone[:, 0, :2], alone[:, 2, :2] - alone[:, 0, :2]
    sign = torch.sign(e[0][:, 0] * e[1][:, 1] - e[0][:, 1] * e[1][:, 0])
    assert ((triangle >= 0) * sign[:, None, None]).sum(dim=0).eq(1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_visible_vertices_are_the_cpu_s(kind: str) -> None:
    vertices, triangles, size = mesh(kind, 7)
    found = visible_vertices(torch.from_numpy(vertices), torch.from_numpy(triangles), size, 0.5)
    for item, points in zip(found, vertices, strict=True):
        seen = on_the_cpu.visible_vertices(points, triangles, size=size, tolerance=0.5)
        np.testing.assert_array_equal(item, seen & ~np.isnan(points).any(axis=1))
    assert kind not in ("grid", "floats", "large") or 0 < found.sum() < found.numel()


def test_visible_vertices_of_nothing_and_wrong_tolerance() -> None:
    assert visible_vertices(V, T, (0, 4)).tolist() == [[False] * 5] * 2
    assert visible_vertices(V[:0], T, (3, 4)).shape == (0, 5)
    with pytest.raises(InputError, match="tolerance: -1, expected 0 or more"):
        visible_vertices(V, T, (3, 4), -1)


def by_formula(vertices: Any, triangles: Any, triangle: Any) -> tuple[Any, Any]:
    """Weights and depth of the pixels' triangles, in PyTorch's operators."""
    batch, height, width = triangle.shape
    corners = triangles[triangle.clamp(min=0).long()]
    points = vertices[torch.arange(batch)[:, None, None, None], corners]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    a, b, c = (points[..., k, :2] - torch.stack([x, y], -1) for k in range(3))
    areas = [p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0] for p, q in ((b, c), (c, a), (a, b))]
    shown = triangle >= 0
    weights = torch.stack(areas, -1) / torch.where(shown, sum(areas), 1)[..., None]
    depth = (weights * points[..., 2]).sum(-1)
    return torch.where(shown[..., None], weights, 0), torch.where(shown, depth, 0)


def soup(seed: int = 0, batch: int = 2) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    vertices = torch.from_numpy(rng.uniform(-4, 20, (batch, 25, 3)))
    return vertices, torch.from_numpy(rng.integers(0, 25, (20, 3)))


def drawn(vertices: Any, triangles: Any) -> tuple[Any, Any]:
    triangle, weights, depth = rasterize(vertices, triangles, (15, 17))
    return weights, torch.where(triangle >= 0, depth, 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("listed", [False, True], ids=["atomics", "deterministic"])
def test_rasterize_gradients_are_those_of_the_formula(dtype: Any, listed: bool, choose: Any) -> None:
    vertices, triangles = soup()
    vertices = vertices.to(dtype)
    triangle, _, _ = rasterize(vertices, triangles, (15, 17))
    choose(listed)
    grads = []
    for function in (lambda v: drawn(v, triangles), lambda v: by_formula(v.double(), triangles, triangle)):
        leaf = vertices.clone().requires_grad_()
        weights, depth = function(leaf)
        factor = torch.linspace(-1, 1, weights.numel()).view_as(weights)
        (factor.to(weights) * weights).sum().backward(retain_graph=True)
        (depth * factor[..., 0].to(depth)).sum().backward()
        grads.append(leaf.grad)
    assert (triangle >= 0).any() and grads[0].dtype == dtype and grads[0].abs().max() > 1
    tolerance = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 2e-2}[dtype]  # sums of rounded terms
    torch.testing.assert_close(grads[0], grads[1], rtol=tolerance, atol=tolerance * float(grads[1].abs().max()))


def test_rasterize_and_interpolate_pass_gradcheck() -> None:
    rng = np.random.default_rng(3)  # triangles that are no slivers: finite differences
    places = rng.uniform(0, 8, (1, 4, 1, 2)) + [[0, 0], [7, 1], [2, 6]] + rng.uniform(-1, 1, (2, 4, 3, 2))
    vertices = np.concatenate([places, rng.normal(size=(2, 4, 3, 1))], axis=-1).reshape(2, 12, 3)
    vertices, triangles = torch.from_numpy(vertices).requires_grad_(), torch.arange(12).view(4, 3)
    colors = torch.from_numpy(rng.normal(size=(12, 2))).requires_grad_()

    def picture(vertices: Any, colors: Any) -> Any:
        triangle, weights, depth = rasterize(vertices, triangles, (8, 9))
        return interpolate(triangle, weights, triangles, colors), torch.where(triangle >= 0, depth, 0)

    assert torch.autograd.gradcheck(picture, [vertices, colors], eps=1e-7, atol=1e-5)
    triangle, weights, _ = rasterize(vertices.detach(), triangles, (4, 5))
    weights = weights.requires_grad_()
    batch = torch.stack([colors.detach(), 2 * colors.detach()]).requires_grad_()
    assert torch.autograd.gradcheck(lambda w, c: interpolate(triangle, w, triangles, c), [weights, batch])


@pytest.mark.parametrize("batched", [False, True])
def test_interpolate_gradients_are_the_same_deterministic(batched: bool, choose: Any) -> None:
    vertices, triangles = soup(1)
    triangle, weights, _ = rasterize(vertices.float(), triangles, (15, 17))
    colors = torch.randn(*((2,) if batched else ()), 25, 3, generator=torch.Generator().manual_seed(0))
    found = []
    for listed in (False, True):
        choose(listed)
        leaf = colors.clone().requires_grad_()
        (interpolate(triangle, weights, triangles, leaf) ** 2).sum().backward()
        found.append(leaf.grad)
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-4)
    assert found[0].abs().max() > 1


def test_only_what_requires_gradients_gets_them_and_no_grad_works() -> None:
    vertices, triangles = soup(2)
    vertices = vertices.float()
    triangle, weights, depth = rasterize(vertices, triangles, (9, 8))
    assert not weights.requires_grad and not depth.requires_grad
    colors = torch.ones(25, 3, requires_grad=True)
    interpolate(triangle, weights, triangles, colors).sum().backward()
    # each covered pixel hands out a weight of 1 in each channel
    assert float(colors.grad.sum()) == pytest.approx(3 * int((triangle >= 0).sum()), rel=1e-5)
    leaf = vertices.clone().requires_grad_()
    with torch.no_grad():
        assert not rasterize(leaf, triangles, (9, 8))[1].requires_grad
    triangle, weights, depth = rasterize(leaf, triangles, (9, 8))
    assert not triangle.requires_grad
    interpolate(triangle, weights, triangles, torch.rand(25, 2)).sum().backward()
    assert leaf.grad.any()
    (gradient,) = torch.autograd.grad(rasterize(leaf, triangles, (9, 8))[1].square().sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_autocast_and_strided_arguments_change_nothing() -> None:
    vertices, triangles = soup(3)
    colors = torch.rand(2, 3, 25).mT
    expected = rasterize(vertices.float(), triangles, (15, 17))
    image = interpolate(*expected[:2], triangles, colors)
    strided = vertices.float().permute(2, 1, 0).contiguous().permute(2, 1, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = rasterize(strided, triangles.int().mT.contiguous().mT, (15, 17))
        again = interpolate(*found[:2], triangles, colors)
    assert all(torch.equal(left, right) for left, right in zip(found, expected, strict=True))
    assert torch.equal(again, image)
    half = interpolate(*expected[:2], triangles, colors.bfloat16())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, image, atol=4e-3, rtol=0)  # rounding of what is at most 1


@pytest.mark.parametrize(("batch", "n", "m", "size"), [(0, 4, 2, (3, 4)), (2, 4, 0, (3, 4)), (2, 0, 0, (3, 4)),
                                                       (1, 4, 2, (0, 4)), (1, 4, 2, (3, 0))])  # fmt: skip
def test_nothing_to_draw_is_no_error_and_has_gradients(batch: int, n: int, m: int, size: tuple[int, int]) -> None:
    vertices = torch.rand(batch, n, 3, requires_grad=True)
    triangles, colors = torch.zeros(m, 3, dtype=torch.long), torch.rand(n, 2, requires_grad=True)
    triangle, weights, depth = rasterize(vertices, triangles, size)
    image = interpolate(triangle, weights, triangles, colors, background=7)
    assert triangle.shape == (batch, *size) and weights.shape == (batch, *size, 3) and image.shape == (batch, *size, 2)
    assert (triangle == -1).all() and not weights.any() and depth.isneginf().all() and (image == 7).all()
    (image.sum() + weights.sum()).backward()
    assert not vertices.grad.any() and not colors.grad.any()


def test_kernels_skip_indices_out_of_range_which_are_not_looked_for_on_cuda(
    monkeypatch: pytest.MonkeyPatch, choose: Any
) -> None:
    vertices, triangles = soup(4)
    vertices, colors = vertices.float().requires_grad_(), torch.rand(25, 3, requires_grad=True)
    expected = rasterize(vertices, triangles, (15, 17))
    bad = torch.tensor([[0, 1, 25], [-1, 2, 3], [5, 2**31 - 1, 6], [-(2**31), 3, 4]], dtype=torch.int32)
    corners = torch.cat([triangles.int(), bad])
    monkeypatch.setattr(rasterizer, "_corner_indices", lambda *_: corners)
    found = rasterize(vertices, corners, (15, 17))
    assert all(torch.equal(left, right) for left, right in zip(found, expected, strict=True))
    pretended = found[0].clone()
    pretended[:, 0, :4], pretended[:, 1] = torch.arange(20, 24, dtype=torch.int32), -5
    for listed in (False, True):
        choose(listed)
        image = interpolate(pretended, found[1], corners, colors, background=9)
        assert (image[:, 0, :4] == 9).all() and (image[:, 1] == 9).all()
        (image.sum() + found[1].sum()).backward(retain_graph=True)


@pytest.mark.slow
def test_compiled_functions_break_the_graph_and_agree() -> None:
    vertices, triangles = soup(5)

    def picture(vertices: Any) -> Any:
        triangle, weights, _ = rasterize(vertices * 2, triangles, (15, 17))
        return interpolate(triangle, weights, triangles, vertices[0]).sin()

    results = []
    for function in (picture, torch.compile(picture, backend="eager")):
        leaf = vertices.float().requires_grad_()
        image = function(leaf)
        image.sum().backward()
        results.append((image, leaf.grad))
    assert all(torch.equal(left, right) for left, right in zip(*results, strict=True))


V, T = torch.zeros(2, 5, 3), torch.zeros(4, 3, dtype=torch.long)
F = torch.zeros(2, 3, 4, dtype=torch.int32), torch.zeros(2, 3, 4, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rasterize(V.numpy(), T, (3, 4)), "vertices: float32 (2, 5, 3), expected a PyTorch tensor"),
        (lambda: rasterize(V[0], T, (3, 4)), "vertices: torch.float32 (5, 3), expected (B, n, 3)"),
        (lambda: rasterize(V.long(), T, (3, 4)), "vertices: torch.int64 (2, 5, 3), expected floats"),
        (lambda: rasterize(V, T[:, :2], (3, 4)), "triangles: torch.int64 (4, 2), expected"),
        (lambda: rasterize(V, T.float(), (3, 4)), "triangles: torch.float32 (4, 3), expected integers"),
        (lambda: rasterize(V, T.bool(), (3, 4)), "triangles: torch.bool (4, 3), expected integers"),
        (lambda: rasterize(V, T + 5, (3, 4)), "triangles: triangle 0 is [5, 5, 5], expected indices of 0 to 4"),
        (lambda: rasterize(V, T - 1, (3, 4)), "triangles: triangle 0 is [-1, -1, -1], expected indices of 0 to 4"),
        (lambda: rasterize(V[:, :0], T, (3, 4)), "triangle 0 is [0, 0, 0], expected none without vertices"),
        (lambda: rasterize(V, T.to("meta"), (3, 4)), "triangles: on meta, expected cpu"),
        (lambda: rasterize(V, T, (3,)), "size: (3,), expected (height, width)"),
        (lambda: rasterize(V, T, (3, -4)), "size: (3, -4) px, expected"),
        (lambda: rasterize(V, T, (3, 4), cull="both"), "cull: 'both', expected 'none', 'back' or 'front'"),
        (lambda: interpolate(F[0].long(), F[1], T, V[0]), "triangle: torch.int64 (2, 3, 4), expected int32"),
        (lambda: interpolate(F[0], F[1][..., :2], T, V[0]), "weights: torch.float32 (2, 3, 4, 2), expected (2, 3, 4, "),
        (lambda: interpolate(*F, T, V[:, :, None]), "attributes: torch.float32 (2, 5, 1, 3), expected"),
        (lambda: interpolate(*F, T, V[:1]), "attributes: torch.float32 (1, 5, 3), expected"),
        (lambda: interpolate(*F, T, V[0].long()), "attributes: torch.int64 (5, 3), expected floats"),
        (lambda: interpolate(*F, T, V[0].to("meta")), "attributes: on meta, expected cpu"),
        (lambda: interpolate(F[0] + 4, F[1], T, V[0]), "triangle: indices up to 4, expected less than 4 triangles"),
        (lambda: interpolate(*F, T, V[0], background=[1, 2]), "background: torch.float32 (2,), expected"),
        (lambda: interpolate(*F, T, V[0], background="red"), "background: 'red', expected a number or (3,)"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(call: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)


def test_devices_that_warp_does_not_know_are_refused() -> None:
    with pytest.raises(DependencyError, match="cannot run on meta"):
        warp_runtime.kernels(torch.device("meta"), torch.float32)


@pytest.mark.slow
def test_cuda_code_has_atomic_minima_and_no_fused_multiply_add(tmp_path: Path) -> None:
    """Warp compiles for CUDA without a GPU. A fused edge function would not change its sign with the edge's ends."""
    import warp as wp

    module, _ = warp_runtime._module(wp, torch.float32, "raster")
    with warp_runtime._silence():
        wp.compile_aot_module(module, arch=80, module_dir=tmp_path, use_ptx=True)
    (path,) = tmp_path.glob("*.ptx")
    code = path.read_bytes().decode(errors="replace")
    assert "atom.global.min.s64" in code and "mul.rn.f64" in code
    assert "fma" not in code and "mul.f64" not in code  # without .rn the driver may fuse them


START = """
import sys, torch, uvgen.torch
assert "warp" not in sys.modules and "torch._dynamo" not in sys.modules
uvgen.torch.rasterize(torch.zeros(1, 3, 3), torch.tensor([[0, 1, 2]]), (2, 2))
"""


@pytest.mark.slow
def test_warp_is_loaded_late_and_in_silence() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_folder_for_kernels_that_cannot_be_written_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    import warp as wp

    monkeypatch.setattr(wp.config, "kernel_cache_dir", "/dev/null/kernels")
    with pytest.warns(RuntimeWarning, match="set WARP_CACHE_PATH to a folder that can be written"):
        warp_runtime._started()
    assert os.access(wp.config.kernel_cache_dir, os.W_OK)


def test_without_warp_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "warp", None)
    monkeypatch.setattr(warp_runtime, "_loaded", {})
    with pytest.raises(DependencyError, match=r'need NVIDIA Warp.*pip install "\.\[gpu\]"'):
        rasterize(V, T, (3, 4))
