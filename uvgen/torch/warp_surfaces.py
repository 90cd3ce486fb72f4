"""What `texture`, `spatial_transformer` and `layers` do for tensors on CUDA where NVIDIA Warp is installed.

The same results as with PyTorch's operators, but for rounding, in a few passes over memory instead of dozens.
"""

from typing import Any

import torch
from torch import Tensor

from uvgen.torch import warp_runtime

_STRETCH, _BLOCK = 256, 8  # as in the kernels


def visible_texels(maps: Tensor, seen: Tensor, size: tuple[int, int], cell: float, tolerance: float) -> Tensor:
    """(B, U, U) bool: which of the texels `seen`, all finite, face the camera with nothing in front.

    maps (B, 3, U, U); seen (B, U, U) bool; cell and tolerance in px. See `uvgen.torch.texture`.
    """
    maps, seen = maps.contiguous(), seen.contiguous()
    height, width = size
    n, rows, columns = seen.shape
    across, down = int(width / cell) + 2, int(height / cell) + 2
    visible = torch.empty_like(seen)
    if visible.numel():
        kernels = warp_runtime.kernels(maps.device, maps.dtype, "surfaces")
        nearest = maps.new_full((n, down * across), -torch.inf)
        picture = width, height, cell, across
        shape, device = tuple(seen.shape), maps.device
        warp_runtime.launch(kernels.find_nearest, shape, device, maps, seen, *picture, nearest)
        warp_runtime.launch(
            kernels.see_texels, shape, device, maps, seen, rows, columns, *picture, tolerance, nearest, visible
        )
    return visible


class VertexNormals(torch.autograd.Function):
    """Sums of the normals of triangles (m, 3) int32 at vertices (B, n, 3); `by_operators` for second derivatives."""

    @staticmethod
    def forward(ctx: Any, vertices: Tensor, corners: Tensor, by_operators: Any) -> Tensor:
        ctx.save_for_backward(vertices, corners)
        ctx.by_operators = by_operators
        vertices = vertices.contiguous()
        normals = torch.zeros_like(vertices)
        _over_triangles("add_normals", vertices, corners, normals)
        return normals

    @staticmethod
    def backward(ctx: Any, in_normals: Tensor) -> tuple[Tensor, None, None]:
        vertices, corners = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            normals = ctx.by_operators(vertices, corners.long())
            return torch.autograd.grad(normals, vertices, in_normals, create_graph=True)[0], None, None
        vertices = vertices.contiguous()
        out = torch.zeros_like(vertices)
        _over_triangles("normals_gradient", vertices, corners, in_normals.contiguous(), out)
        return out, None, None


def _over_triangles(name: str, vertices: Tensor, corners: Tensor, *others: Tensor) -> None:
    """Run a kernel of vertices, triangles, the number of vertices and more arrays of vectors."""
    if not (vertices.numel() and len(corners)):
        return
    kernel = getattr(warp_runtime.kernels(vertices.device, vertices.dtype, "surfaces"), name)
    vector, index = warp_runtime.vectors(vertices.dtype)
    arrays = [(other, vector) for other in others]
    n_meshes, n = vertices.shape[:2]
    warp_runtime.launch(
        kernel, (n_meshes, len(corners)), vertices.device, (vertices, vector), (corners, index), n, *arrays
    )


Tables = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""Mean (n, 3) of the vertices; corners (t, 3) int64 and weights (t, 3) of the texels, and those of the texels of
mirrored faces; which faces are mirrored, (B,) bool."""


class PositionMaps(torch.autograd.Function):
    """Maps (B, 3, t) in the crop: texels of faces, less the smallest depth over all vertices of each.

    Of vertices (n, 3, B) without their mean; and of linear (B, 3, 3), shift (B, 3) and depth_row (B, 3), which lead to
    the crop, the last one to depths. No second derivatives, as with PyTorch's `embedding_bag`.
    """

    @staticmethod
    def forward(ctx: Any, vertices: Tensor, linear: Tensor, shift: Tensor, depth_row: Tensor, tables: Tables) -> Tensor:
        found = vertices, linear, shift, depth_row = [t.contiguous() for t in (vertices, linear, shift, depth_row)]
        kernels = warp_runtime.kernels(vertices.device, vertices.dtype, "surfaces")
        smallest = vertices.new_full((vertices.shape[2],), torch.inf)
        means, over_vertices = _of_vertices(vertices, tables)
        vector, _ = warp_runtime.vectors(vertices.dtype)
        warp_runtime.launch(kernels.find_smallest, *over_vertices, *means, (depth_row, vector), smallest)
        maps = _texels(vertices, linear, shift, smallest, tables)
        ctx.save_for_backward(*found, smallest, *tables)
        return maps

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, in_maps: Tensor) -> tuple[Tensor | None, ...]:
        vertices, linear, shift, depth_row, smallest, *others = ctx.saved_tensors
        tables: Any = tuple(others)
        in_maps = in_maps.contiguous()
        of_smallest = -in_maps[:, 2].sum(dim=1)
        of_vertices, of_row = torch.zeros_like(vertices), torch.zeros_like(depth_row)
        kernels = warp_runtime.kernels(vertices.device, vertices.dtype, "surfaces")
        vector, _ = warp_runtime.vectors(vertices.dtype)
        _, arrays, over_texels, n_texels = _of_texels(vertices, tables)
        warp_runtime.launch(
            kernels.texels_gradient,
            *over_texels,
            *arrays,
            (linear, vector),
            n_texels,
            len(linear),
            in_maps,
            of_vertices,
        )
        means, over_vertices = _of_vertices(vertices, tables)
        counts = torch.zeros_like(smallest)
        for counting in (True, False):
            warp_runtime.launch(
                kernels.smallest_gradient, *over_vertices, *means, (depth_row, vector), smallest, counting, counts,
                of_smallest, of_vertices, (of_row, vector),
            )  # fmt: skip
        of_linear = None
        if ctx.needs_input_grad[1]:
            unit = torch.eye(3, dtype=linear.dtype, device=linear.device).expand_as(linear).contiguous()
            zero = torch.zeros_like(shift)
            points = _texels(vertices, unit, zero, zero[:, 0].contiguous(), tables)
            of_linear = in_maps @ points.mT
        return of_vertices, of_linear, in_maps.sum(dim=2), of_row, None


def _texels(vertices: Tensor, linear: Tensor, shift: Tensor, smallest: Tensor, tables: Tables) -> Tensor:
    """Maps (B, 3, t) of texels between vertices (n, 3, B)."""
    kernels = warp_runtime.kernels(vertices.device, vertices.dtype, "surfaces")
    vector, _ = warp_runtime.vectors(vertices.dtype)
    means, arrays, over_texels, n_texels = _of_texels(vertices, tables)
    maps = vertices.new_empty((len(linear), 3, n_texels))
    warp_runtime.launch(
        kernels.texels, *over_texels, vertices, means, *arrays, (linear, vector), (shift, vector), smallest,
        n_texels, len(linear), maps,
    )  # fmt: skip
    return maps


def _of_vertices(vertices: Tensor, tables: Tables) -> tuple[Any, Any]:
    """Arguments of kernels that go over vertices (n, 3, B): the arrays with their length, and the launch."""
    n, _, n_faces = vertices.shape
    vector, _ = warp_runtime.vectors(vertices.dtype)
    return (vertices, (tables[0].contiguous(), vector), n), ((-(-n // _STRETCH), n_faces), vertices.device)


def _of_texels(vertices: Tensor, tables: Tables) -> tuple[Any, Any, Any, int]:
    """Arguments of kernels that go over texels: the mean, the tables, the launch, and how many."""
    mean, corners, weights, mirrored_corners, mirrored_weights, flips = tables
    vector, _ = warp_runtime.vectors(vertices.dtype)
    arrays = (
        corners.contiguous(), (weights.contiguous(), vector), mirrored_corners.contiguous(),
        (mirrored_weights.contiguous(), vector), flips.contiguous(),
    )  # fmt: skip
    blocks = -(-len(corners) // _BLOCK), -(-vertices.shape[2] // _BLOCK), _BLOCK * _BLOCK
    return (mean.contiguous(), vector), arrays, (blocks, vertices.device), len(corners)
