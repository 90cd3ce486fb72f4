"""Launches of Warp's kernels that are kept and repeated: with other tensors, layouts and numbers, in other threads."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
pytest.importorskip("warp", reason="NVIDIA Warp is not installed: pip install warp-lang")

from uvgen.torch import rasterize, warp_runtime  # noqa: E402

CPU = torch.device("cpu")


def smallest(vertices: Any, mean: Any, rows: Any) -> Any:
    """The smallest depths of faces, by one of the kernels."""
    kernel = warp_runtime.kernels(CPU, vertices.dtype, "surfaces").find_smallest
    vector, _ = warp_runtime.vectors(vertices.dtype)
    out = vertices.new_full((len(vertices),), torch.inf)
    n = vertices.shape[1]
    arrays = (vertices, vector), (mean, vector), n, (rows, vector), out
    warp_runtime.launch(kernel, (len(vertices), 512), CPU, *arrays)
    return out


def expected(vertices: Any, mean: Any, rows: Any) -> Any:
    return ((vertices + mean) * rows[:, None]).sum(dim=2).amin(dim=1)


def draw(n_faces: int, n: int, seed: int, dtype: Any = torch.float32) -> tuple[Any, Any, Any]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (n_faces, n, 3), (n, 3), (n_faces, 3)
    vertices, mean, rows = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    return vertices, mean, rows


def test_launches_take_other_sizes_layouts_and_types() -> None:
    single, double = torch.float32, torch.float64
    sizes = [(2, 5, single), (2, 5, single), (3, 9, single), (1, 4, double), (2, 5, single)]
    for seed, (n_faces, n, dtype) in enumerate(sizes):
        vertices, mean, rows = draw(n_faces, n, seed, dtype)
        torch.testing.assert_close(smallest(vertices, mean, rows), expected(vertices, mean, rows))
        wider = torch.cat([vertices, vertices], dim=1)[:, :n]  # rows that lie farther apart
        torch.testing.assert_close(smallest(wider, mean, rows[:1].expand(n_faces, 3)), expected(wider, mean, rows[:1]))


def test_launches_keep_no_memory() -> None:
    vertices, mean, rows = draw(2, 7, 0)
    found = smallest(vertices, mean, rows)
    watched = [weakref.ref(tensor) for tensor in (vertices, mean, rows, found)]
    del vertices, mean, rows, found
    gc.collect()
    assert not any(reference() is not None for reference in watched)


def test_launches_without_work_are_left_out() -> None:
    vertices, mean, rows = draw(0, 5, 0)
    assert smallest(vertices, mean, rows).shape == (0,)
    assert torch.equal(smallest(*draw(2, 5, 1)), smallest(*draw(2, 5, 1)))


def test_threads_have_launches_of_their_own() -> None:
    def work(seed: int) -> bool:
        faces = draw(3, 2000, seed)
        return all(torch.allclose(smallest(*faces), expected(*faces)) for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(12)))
    triangles, size = torch.tensor([[0, 1, 2]]), (16, 24)
    corners = [torch.tensor([[[1.0, 1, 0], [2 + k, 12, 0], [20, 3, 0]]]) for k in range(8)]
    alone = [rasterize(vertices, triangles, size)[0] for vertices in corners]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda vertices: rasterize(vertices, triangles, size)[0], corners))
    assert all(torch.equal(left, right) for left, right in zip(alone, together, strict=True))
