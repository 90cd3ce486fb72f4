"""How long drawing, unwrapping and position maps take on a GPU, a batch at a time.

    python benchmarks/gpu.py [--model bfm.h5] [--batch 32] [--size 256] [--repeats 50] [--only layer]

Draws the model's mean shape at as many angles as the batch has faces. First it compares pictures with the CPU's. If
nvdiffrast or DRTK can be imported they draw the same vertices. Then it measures `PositionMapLayer`: the product in it,
what is launched, how long that takes, and how long a call does. `--model grid` has the Basel model's sizes, and needs
no file. Targets on a data-center GPU, with such a model: 1 ms for 32 faces at 256²; `PositionMapLayer` at batch 256 at
most 3 times its matrix product. Times are those of the device, the fastest of the repeats. Without a GPU
(`--device cpu`) everything runs, and the times mean nothing.
"""

import argparse
import time as clock
from collections.abc import Callable
from typing import Any
from unittest import mock

from timing import best_ms  # before NumPy: it asks for one BLAS thread

# isort: split
import numpy as np
import torch

import uvgen.rasterize
import uvgen.torch as ut
from uvgen import load_model
from uvgen.models.morphable import make_model
from uvgen.torch import warp_runtime


def batch_of_faces(model: Any, n: int, size: int) -> np.ndarray:
    """(n, vertices, 3) float32: the mean shape at yaws of -75° to 75°, eight tenths of the picture high."""
    points = np.asarray(model.mean, np.float64)
    points = (points - (points.min(axis=0) + points.max(axis=0)) / 2) * (0.8 * size / np.ptp(points[:, 1]))
    yaw = np.radians(np.linspace(-75, 75, n))
    x = np.cos(yaw)[:, None] * points[:, 0] + np.sin(yaw)[:, None] * points[:, 2]
    z = np.cos(yaw)[:, None] * points[:, 2] - np.sin(yaw)[:, None] * points[:, 0]
    y = np.broadcast_to(-points[:, 1], x.shape)
    return np.stack([x + size / 2, y + size / 2, z], axis=-1).astype(np.float32)


def grid_model() -> Any:
    """A grid with as many vertices and components as the Basel model of 300W-LP, and random bases."""
    rows, columns, generator = 226, 235, np.random.default_rng(0)
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    corners = np.arange(rows * columns).reshape(rows, columns)
    quads = np.stack([corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]], axis=-1)
    uv = np.stack([u, v], axis=-1).reshape(-1, 2)
    x, y = 160_000 * (uv[:, 0] - 0.5), 200_000 * (uv[:, 1] - 0.5)
    basis = generator.standard_normal((rows * columns, 3, 199 + 29), np.float32)
    return make_model(
        source="grid",
        name="grid",
        mean=np.stack([x, y, 80_000 * np.cos(x / 60_000) * np.cos(y / 80_000)], axis=-1),
        basis=basis,
        shape_std=np.ones(199),
        expression_std=np.ones(29),
        triangles=np.concatenate([quads[..., [0, 1, 2]].reshape(-1, 3), quads[..., [0, 2, 3]].reshape(-1, 3)]),
        mouth_triangles=np.empty((0, 3), int),
        uv=uv,
        landmarks=np.linspace(0, rows * columns - 1, 68).astype(int),
        mirror=corners[:, ::-1].ravel(),
    )


class Timer:
    """Prints a line for each function: milliseconds a call on the device, and memory that it took at most."""

    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device, self.repeats = device, repeats

    def __call__(self, name: str, function: Callable[[], object]) -> float:
        if self.device.type != "cuda":
            ms = best_ms(function, self.repeats)
            print(f"{name:58} {ms:9.3f} ms")
            return ms
        for _ in range(3):
            function()
        torch.cuda.synchronize(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        ms = self.on_device(function)
        peak = (torch.cuda.max_memory_allocated(self.device) - before) / 2**20
        print(f"{name:58} {ms:9.3f} ms {peak:8.0f} MiB")
        return ms

    def on_device(self, function: Callable[[], object]) -> float:
        """Milliseconds of a call, from one event on the device to another; on the CPU, of the call."""
        if self.device.type != "cuda":
            return best_ms(function, self.repeats)
        times = []
        for _ in range(self.repeats):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            function()
            end.record()
            times.append((start, end))
        torch.cuda.synchronize(self.device)
        return min(start.elapsed_time(end) for start, end in times)

    def in_python(self, function: Callable[[], object]) -> float:
        """Milliseconds until a call returns, while the device has nothing else to do: what queuing it takes."""
        times = []
        for _ in range(self.repeats):
            self.wait()
            started = clock.perf_counter()
            function()
            times.append(clock.perf_counter() - started)
        self.wait()
        return min(times) * 1e3

    def launches(self, function: Callable[[], object], calls: int = 5) -> tuple[float, float]:
        """How many kernels and copies a call launches, and the sum of their milliseconds, by PyTorch's profiler.

        On the CPU, if there are none, PyTorch's operators that consist of no others.
        """
        from torch.autograd import DeviceType
        from torch.profiler import ProfilerActivity, profile

        function()
        self.wait()
        on_cuda = self.device.type == "cuda"
        activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_cuda]
        with profile(activities=activities) as profiler:
            for _ in range(calls):
                function()
            self.wait()
        events = [event for event in profiler.events() if not getattr(event, "is_user_annotation", False)]
        if on_cuda:
            events = [event for event in events if event.device_type == DeviceType.CUDA]
        else:
            events = [event for event in events if event.name.startswith("aten::") and not event.cpu_children]
        return len(events) / calls, sum(event.time_range.elapsed_us() for event in events) / calls / 1e3

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def compare_with_the_cpu(vertices: np.ndarray, triangles: np.ndarray, size: tuple[int, int], device: Any) -> None:
    """Print how many pixels differ from `uvgen.rasterize`: none should."""
    expected = uvgen.rasterize.rasterize(vertices, triangles, size)
    found = ut.rasterize(torch.from_numpy(vertices).to(device), torch.from_numpy(triangles).to(device), size)
    pairs = zip(found, (expected.triangle, expected.weights, expected.depth), strict=True)
    counts = [int((tensor.cpu().numpy() != array).sum()) for tensor, array in pairs]
    n = int((expected.triangle >= 0).sum())
    print(f"of {n} covered pixels, differ from the CPU: {counts[0]} triangles, {counts[1]} weights, {counts[2]} depths")


def draw(time: Timer, vertices: torch.Tensor, triangles: torch.Tensor, size: tuple[int, int]) -> None:
    colors = torch.rand(vertices.shape[1], 3, device=vertices.device)
    time("rasterize", lambda: ut.rasterize(vertices, triangles, size))

    if vertices.is_cuda:  # without what Python and the launches cost
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            ut.rasterize(vertices, triangles, size)
        time("rasterize, replayed from a CUDA graph", graph.replay)

    def picture() -> torch.Tensor:
        triangle, weights, _ = ut.rasterize(vertices, triangles, size)
        return ut.interpolate(triangle, weights, triangles, colors)

    time("rasterize, interpolate 3 channels", picture)
    leaf = vertices.clone().requires_grad_()
    attributes = colors.clone().requires_grad_()

    def step() -> None:
        triangle, weights, depth = ut.rasterize(leaf, triangles, size)
        image = ut.interpolate(triangle, weights, triangles, attributes)
        covered = triangle >= 0
        loss = image.square().sum() + torch.where(covered, depth, 0).sum()
        torch.autograd.grad(loss, [leaf, attributes])

    time("the same and its gradients", step)
    torch.use_deterministic_algorithms(True)
    time("the same, deterministic", step)
    torch.use_deterministic_algorithms(False)
    time("visible_vertices", lambda: ut.visible_vertices(vertices, triangles, size))


def draw_with_others(time: Timer, vertices: torch.Tensor, triangles: torch.Tensor, size: tuple[int, int]) -> None:
    """The same faces drawn by nvdiffrast and DRTK, if they are installed."""
    height, width = size
    corners = triangles.int()
    try:
        import nvdiffrast.torch as dr
    except ImportError as error:
        print(f"nvdiffrast: not compared ({error})")
    else:
        context = dr.RasterizeCudaContext()
        scale = torch.tensor([2 / width, 2 / height, -1 / (2 * width)], device=vertices.device)
        shift = torch.tensor([1 / width - 1, 1 / height - 1, 0], device=vertices.device)
        clip = torch.cat([vertices * scale + shift, torch.ones_like(vertices[..., :1])], dim=-1).contiguous()
        time("nvdiffrast rasterize", lambda: dr.rasterize(context, clip, corners, resolution=[height, width]))
    try:
        import drtk
    except ImportError as error:
        print(f"DRTK: not compared ({error})")
    else:
        points = torch.cat([vertices[..., :2], 10 * width - vertices[..., 2:]], dim=-1).contiguous()

        def with_drtk() -> object:
            index = drtk.rasterize(points, corners, height=height, width=width)
            return drtk.render(points, corners, index)

        time("DRTK rasterize and render", with_drtk)


def draw_large_triangles(time: Timer, device: torch.device, side: int) -> None:
    """Few triangles that cover everything, and medium ones: what splitting them into bands is for."""
    for n in (2, 16, 128):
        y, x = torch.meshgrid(torch.linspace(-1, side, n), torch.linspace(-1, side, n), indexing="ij")
        corner = torch.arange(n * n).view(n, n)
        a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
        triangles = torch.cat([torch.stack([a, b, c], -1).view(-1, 3), torch.stack([b, d, c], -1).view(-1, 3)])
        vertices = torch.stack([x, y, x + y], -1).view(1, -1, 3).to(device)
        name = f"rasterize {len(triangles)} triangles that fill {side}²"
        triangles = triangles.to(device)
        time(name, lambda v=vertices, t=triangles: ut.rasterize(v, t, (side, side)))


def both_ways(time: Timer, name: str, function: Callable[[], object]) -> float:
    """With Warp's kernels, and with PyTorch's operators; returns the former."""
    with mock.patch.object(warp_runtime, "is_used", lambda *_: False):
        time(f"{name}, PyTorch's operators", function)
    with mock.patch.object(warp_runtime, "is_used", lambda *_: True):
        return time(f"{name}, Warp", function)


def make_maps(time: Timer, model: Any, device: torch.device, n: int, uv_size: int) -> torch.Tensor:
    """Measure `PositionMapLayer` against its product; return maps."""
    layer = ut.PositionMapLayer(model, uv_size).to(device)
    generator = torch.Generator().manual_seed(0)
    shape = torch.randn(n, layer.n_shape, generator=generator) * 0.1
    expression = torch.randn(n, layer.n_expression, generator=generator) * 0.1
    pose = torch.tensor([0.1, 0.2, 0.3, 128, 128, 0, 1e-3]).repeat(n, 1)
    arguments = [tensor.to(device) for tensor in (shape, expression, pose, torch.eye(3).repeat(n, 1, 1))]
    leaves = [argument.clone().requires_grad_() for argument in arguments]
    coefficients = torch.cat(arguments[:2], dim=1)
    gradient = torch.rand(n, 3, uv_size, uv_size, device=device)
    vertices = torch.rand(n, len(layer.basis), device=device)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return layer(*arguments, 256.0)

    def both() -> None:
        torch.autograd.grad(layer(*leaves, 256.0), leaves, gradient)

    columns = {"PyTorch's operators": False, "Warp": True}
    table: dict[str, list[str]] = {}
    for used in columns.values():
        with mock.patch.object(warp_runtime, "is_used", lambda *_, used=used: used):
            for name, call in (("a call", forward), ("a call and its gradients", both)):
                call()
                count, ms = time.launches(call)
                table.setdefault(f"{name}, launches", []).append(f"{count:.0f}")
                table.setdefault(f"{name}, ms of kernels", []).append(f"{ms:.3f}")
                table.setdefault(f"{name}, ms", []).append(f"{time.on_device(call):.3f}")
                table.setdefault(f"{name}, ms until it is queued", []).append(f"{time.in_python(call):.3f}")
    torch.nn.functional.linear(coefficients, layer.basis)
    product = time.on_device(lambda: torch.nn.functional.linear(coefficients, layer.basis))
    backward = time.on_device(lambda: vertices @ layer.basis)
    print(f"PositionMapLayer, {n} faces, {uv_size}² texels, {layer.basis.shape[1]} components")
    print(f"{'':56}" + "".join(f"{name:>22}" for name in columns))
    for name, cells in table.items():
        print(f"{name:56}" + "".join(f"{cell:>22}" for cell in cells))
    print(f"{'the product alone, ms':56}{product:22.3f}\n{'the product in the gradients, ms':56}{backward:22.3f}")
    whole, kernels = (float(table[name][1]) / product for name in ("a call, ms", "a call, ms of kernels"))
    print(f"A call takes {whole:.2f} times its product (target 3), its kernels {kernels:.2f} times", flush=True)
    with mock.patch.object(warp_runtime, "is_used", lambda *_: True):
        maps = forward()
        if device.type == "cuda":  # last: what fails while a graph is captured ends the program
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                forward()
            print(f"A call replayed from a CUDA graph takes {time.on_device(graph.replay):.3f} ms", flush=True)
    return maps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin", help="face model, or grid; docs/performance.md: the Basel's")
    parser.add_argument("--batch", type=int, default=32, help="faces per batch")
    parser.add_argument("--layer-batch", type=int, default=256, help="faces per batch of PositionMapLayer")
    parser.add_argument("--size", type=int, default=256, help="pixels, and texels, a side")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", choices=("draw", "layer"), help="one half of it")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            parser.error("no GPU that PyTorch can use; --device cpu runs everything, slowly")
        device = torch.device("cuda", torch.cuda.current_device())
        print(f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}")
    model = grid_model() if options.model == "grid" else load_model(options.model)
    time, size = Timer(device, options.repeats), (options.size, options.size)
    if options.only != "layer":
        faces = batch_of_faces(model, options.batch, options.size)
        compare_with_the_cpu(faces, np.array(model.triangles), size, device)
        vertices, triangles = torch.from_numpy(faces).to(device), torch.tensor(model.triangles, device=device)
        print(f"{options.batch} faces of {len(model.triangles)} triangles at {options.size}²")
        draw(time, vertices, triangles, size)
        draw_with_others(time, vertices, triangles, size)
        draw_large_triangles(time, device, 4 * options.size)
        both_ways(time, "vertex_normals", lambda: ut.vertex_normals(vertices, triangles))
    if options.only != "draw":
        maps = make_maps(time, model, device, options.layer_batch, options.size)[: options.batch]
        image = torch.rand(len(maps), 3, *size, device=device)
        both_ways(time, "unwrap", lambda: ut.unwrap(image, maps))


if __name__ == "__main__":
    main()
