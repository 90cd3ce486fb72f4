"""What `texture`, `spatial_transformer` and `layers` do for tensors on CUDA if NVIDIA Warp is installed.

The same results as with PyTorch's operators, but for rounding, in a few passes over memory instead of dozens.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uvgen.torch import warp_runtime

_THREADS, _FACES, _VERTICES = 512, 8, 16  # as in the kernels

Array = NDArray[Any]


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


class Tables(NamedTuple):
    """Where texels lie on a mesh, and on its mirror image if there is one: arrays of one or two rows.

    Attributes
    ----------
    corners, weights : (1 or 2, t, 3) int32, float
        The vertices around each texel.
    starts, texels, weights_of : (1 or 2, n + 1) int32, (1 or 2, 3 t) int32, float
        The same by vertex: the texels around vertex i are those from starts[i] to starts[i + 1], with their weights.
    """

    corners: Tensor
    weights: Tensor
    starts: Tensor
    texels: Tensor
    weights_of: Tensor


def tables_of(sides: Sequence[tuple[Array, Array]], n: int) -> dict[str, Array]:
    """The fields of `Tables`, of corners (t, 3) and weights (t, 3) of each side, and the number of vertices."""
    rows: dict[str, list[Array]] = {name: [] for name in Tables._fields}
    for corners, weights in sides:
        flat = corners.ravel()
        order = np.argsort(flat, kind="stable")
        starts = np.searchsorted(flat[order], np.arange(n + 1))
        found = corners, weights, starts, order // 3, weights.ravel()[order]
        for name, array in zip(rows, found, strict=True):
            rows[name].append(array)
    types = {"weights": np.float32, "weights_of": np.float32}
    return {name: np.stack(arrays).astype(types.get(name, np.int32)) for name, arrays in rows.items()}


class ToCrop(torch.autograd.Function):
    """The first arguments of `PositionMaps`, linear, shift and depth_row, of poses, all in one type.

    Of pose (B, 7); rotation (B, 3), (B, 3, 3) or None; similarity (B, 3, 3); height (B,) or a number, px; which faces
    are mirrored, (B,) bool or None; the pixel convention; and the crop's side, px. No second derivatives.
    """

    @staticmethod
    def forward(
        ctx: Any, pose: Tensor, rotation: Tensor | None, similarity: Tensor, height: Tensor | float,
        flips: Tensor | None, convention: str, crop_size: int,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        kernels = warp_runtime.kernels(pose.device, pose.dtype, "surfaces")
        vector, _ = warp_runtime.vectors(pose.dtype)
        heights, number = (height, 0.0) if isinstance(height, Tensor) else (None, height)
        axes, matrices = _by_kind(rotation)
        ctx.save_for_backward(pose, axes, matrices, similarity, heights, flips)
        ctx.others = number, int(convention == "exact")
        linear, shift, row = (pose.new_empty((len(pose), *shape)) for shape in ((3, 3), (3,), (3,)))
        warp_runtime.launch(
            kernels.to_crop, (len(pose),), pose.device, pose, axes, matrices, similarity, heights, number, flips,
            ctx.others[1], crop_size - 1.0, (linear, vector), (shift, vector), (row, vector),
        )  # fmt: skip
        return linear, shift, row

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, in_linear: Tensor, in_shift: Tensor, in_row: Tensor) -> tuple[Tensor | None, ...]:
        pose, axes, matrices, similarity, heights, flips = ctx.saved_tensors
        number, exact = ctx.others
        kernels = warp_runtime.kernels(pose.device, pose.dtype, "surfaces")
        vector, matrix = warp_runtime.vectors(pose.dtype)[0], warp_runtime.matrix(pose.dtype)
        of_pose, of_similarity = torch.empty_like(pose), pose.new_empty(similarity.shape)
        of_axes, of_matrices, of_heights = (
            None if value is None else pose.new_empty(value.shape) for value in (axes, matrices, heights)
        )
        warp_runtime.launch(
            kernels.to_crop_gradient, (len(pose),), pose.device, pose, axes, matrices, similarity, heights, number,
            flips, exact, (in_linear.contiguous(), vector), (in_shift.contiguous(), vector),
            (in_row.contiguous(), vector), of_pose, None if of_axes is None else (of_axes, vector),
            None if of_matrices is None else (of_matrices, matrix), (of_similarity, matrix), of_heights,
        )  # fmt: skip
        return of_pose, of_axes if matrices is None else of_matrices, of_similarity, of_heights, None, None, None


def _by_kind(rotation: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Rotations (B, 3) or (B, 3, 3), as (axes, matrices), of which there is one at most."""
    if rotation is None or rotation.ndim == 3:
        return None, rotation
    return rotation, None


class PositionMaps(torch.autograd.Function):
    """Maps (B, 3, t) in the crop: texels of faces, less the smallest depth over all vertices of each.

    Of vertices (B, n, 3) without their mean (n, 3); of linear (B, 3, 3), shift (B, 3) and depth_row (B, 3), which lead
    to the crop, the last one to depths; and of which faces are mirrored, (B,) bool, or None. No second derivatives, as
    with PyTorch's `embedding_bag`.
    """

    @staticmethod
    def forward(
        ctx: Any, vertices: Tensor, linear: Tensor, shift: Tensor, depth_row: Tensor, mean: Tensor,
        flips: Tensor | None, *tables: Tensor,
    ) -> Tensor:  # fmt: skip
        given = vertices, linear, shift, depth_row, mean
        vertices, linear, shift, depth_row, mean = (tensor.contiguous() for tensor in given)
        kernels = warp_runtime.kernels(vertices.device, vertices.dtype, "surfaces")
        smallest = vertices.new_full((len(vertices),), torch.inf)
        _over_vertices(kernels.find_smallest, vertices, mean, depth_row, smallest)
        maps = _texels(kernels.texels, vertices, mean, linear, shift, smallest, flips, Tables(*tables))
        ctx.save_for_backward(vertices, linear, depth_row, mean, flips, smallest, *tables)
        return maps

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, in_maps: Tensor) -> tuple[Tensor | None, ...]:
        vertices, linear, depth_row, mean, flips, smallest, *others = ctx.saved_tensors
        tables, in_maps = Tables(*others), in_maps.contiguous()
        n_faces, n = vertices.shape[:2]
        sums, of_vertices = in_maps.sum(dim=2), torch.empty_like(vertices)
        zeros = vertices.new_zeros(13 * n_faces)  # one allocation, to fill it once
        of_linear = zeros[: 9 * n_faces].view(n_faces, 3, 3) if ctx.needs_input_grad[1] else None
        of_row, counts = zeros[9 * n_faces : 12 * n_faces].view(n_faces, 3), zeros[12 * n_faces :]
        kernels = warp_runtime.kernels(vertices.device, vertices.dtype, "surfaces")
        vector, _ = warp_runtime.vectors(vertices.dtype)
        _over_vertices(kernels.count_smallest, vertices, mean, depth_row, smallest, counts)
        threads = -(-n // _VERTICES)
        warp_runtime.launch(
            kernels.maps_gradient, (n_faces, threads), vertices.device, (vertices, vector), (mean, vector),
            tables.starts, tables.texels, tables.weights_of, flips, (linear, vector), (depth_row, vector), smallest,
            counts, in_maps, (sums, vector), n, threads, (of_vertices, vector),
            None if of_linear is None else (of_linear, vector), (of_row, vector),
        )  # fmt: skip
        return of_vertices, of_linear, sums, of_row, None, None, *[None] * len(tables)


def _texels(
    kernel: Any, vertices: Tensor, mean: Tensor, linear: Tensor, shift: Tensor, smallest: Tensor, flips: Tensor | None,
    tables: Tables,
) -> Tensor:  # fmt: skip
    """Maps (B, 3, t) of texels between vertices (B, n, 3)."""
    vector, index = warp_runtime.vectors(vertices.dtype)
    n_faces, n_texels = len(vertices), tables.corners.shape[1]
    maps = vertices.new_empty((n_faces, 3, n_texels))
    warp_runtime.launch(
        kernel, (-(-n_faces // _FACES), n_texels), vertices.device, (vertices, vector), (mean, vector),
        (tables.corners, index), (tables.weights, vector), flips, (linear, vector), (shift, vector), smallest, n_faces,
        maps,
    )  # fmt: skip
    return maps


def _over_vertices(kernel: Any, vertices: Tensor, mean: Tensor, depth_row: Tensor, *others: Tensor) -> None:
    """Run a kernel that goes over the depths of vertices (B, n, 3), with more arrays of a number per face."""
    vector, _ = warp_runtime.vectors(vertices.dtype)
    n_faces, n = vertices.shape[:2]
    arrays = (vertices, vector), (mean, vector), n, (depth_row, vector), *others
    warp_runtime.launch(kernel, (n_faces, _THREADS), vertices.device, *arrays)
