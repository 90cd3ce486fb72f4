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


def position_maps(
    vertices: Tensor,
    mean: Tensor,
    texels: tuple[Tensor, Tensor],
    mirrored: tuple[Tensor, Tensor],
    flips: Tensor,
    linear: Tensor,
    shift: Tensor,
    depth_row: Tensor,
) -> Tensor:
    """(B, 3, t): texels of faces in the crop, less the smallest depth over all vertices of each. No gradients.

    vertices (n, 3, B) without their mean (n, 3); corners (t, 3) int64 and weights (t, 3) of the texels, and of those of
    mirrored faces; flips (B,) bool, which are; linear (B, 3, 3), shift (B, 3), depth_row (B, 3): into the crop.
    """
    n, _, n_faces = vertices.shape
    n_texels = len(texels[0])
    kernels = warp_runtime.kernels(vertices.device, vertices.dtype, "surfaces")
    vector, _ = warp_runtime.vectors(vertices.dtype)
    vertices, device = vertices.contiguous(), vertices.device
    means = mean.contiguous(), vector
    smallest = vertices.new_full((n_faces,), torch.inf)
    warp_runtime.launch(
        kernels.find_smallest, (-(-n // _STRETCH), n_faces), device,
        vertices, means, n, (depth_row.contiguous(), vector), smallest,
    )  # fmt: skip
    maps = vertices.new_empty((n_faces, 3, n_texels))
    tables = [part for corners, weights in (texels, mirrored) for part in (corners, (weights.contiguous(), vector))]
    warp_runtime.launch(
        kernels.texels, (-(-n_texels // _BLOCK), -(-n_faces // _BLOCK), _BLOCK * _BLOCK), device,
        vertices, means, *tables, flips.contiguous(), (linear.contiguous(), vector), (shift.contiguous(), vector),
        smallest, n_texels, n_faces, maps,
    )  # fmt: skip
    return maps
