"""Meshes drawn on the device, differentiable. Import `rasterize` and `interpolate` from `uvgen.torch`."""

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uvgen.checks import bad_index, check_array, check_tensor, choice, picture_size, shown
from uvgen.errors import InputError
from uvgen.torch import warp_runtime
from uvgen.wording import count

_ON_CUDA, _ON_CPU = (4096, 32, 2**18), (1, 1, 1024)  # `cover_queued`'s workers and lanes; places in its queue


def rasterize(
    vertices: Tensor, triangles: Tensor, size: tuple[int, int], *, cull: str = "none"
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a batch of meshes that share their triangles, with a depth buffer; differentiable in the vertices.

    `uvgen.rasterize.rasterize` with tensors, on CUDA as on the CPU, by NVIDIA Warp (``pip install warp-lang``), which
    needs no compiler. The frame and the rules are the same (top-left rule, culling, ties, what draws nothing), and
    so are the pixels, weights and depths, to the last bit in float32: both calculate in float64.
    On CUDA the work is queued on the current stream, and nothing waits for it.

    Parameters
    ----------
    vertices : (B, n, 3) float
        Image frame: x right and y down in pixels, **pixel centers at integers**, z toward the viewer. float64 is used
        as it is; half precision is widened to float32, but what it has rounded stays rounded. A triangle with a
        corner that is not finite, or beyond 1e37, draws nothing.
    triangles : (m, 3) integer
        0-based rows of each mesh's vertices, on the same device. Triangles without area draw nothing. On the CPU an
        index out of range is an error; on CUDA, not to wait for the device, such a triangle draws nothing.
    size : (int, int)
        Height and width of the picture, each 0..32768.
    cull : {"none", "back", "front"}
        What not to draw, see `uvgen.rasterize.rasterize`.

    Returns
    -------
    triangle : (B, h, w) int32
        Index of the triangle that the pixel shows, -1 where there is none. Of two triangles at equal depth (in
        float32) the one with the lower index.
    weights : (B, h, w, 3) float32, or float64 if the vertices are
        Barycentric weights of its corners at the pixel's center; zeros where there is none.
    depth : (B, h, w), as the weights
        Interpolated z, larger is nearer; -inf where there is none.

    Raises
    ------
    InputError
        If shapes, dtypes or devices are wrong, an option is unknown, or an index is out of range.
    DependencyError
        If Warp is not installed, or cannot use the device.

    Notes
    -----
    Gradients of weights and depth reach x and y, those of depth also z. There are none of coverage: a silhouette does
    not move what it hides or shows. A triangle seen almost edge-on has large gradients. Second derivatives are an
    error. On CUDA gradients are added up with atomics, in an order that changes from run to run; under
    ``torch.use_deterministic_algorithms(True)`` with PyTorch's deterministic ``index_add_``, and are then the same
    each time. Values are always the same.
    """
    check_tensor(vertices, "vertices")
    check_array(vertices, "vertices", ("B", "n", 3))
    _check_float(vertices, "vertices")
    height, width = picture_size(size)
    choice(cull, "cull", ("none", "back", "front"))
    corners = _corner_indices(triangles, vertices.shape[1], vertices)
    wide = _widened(vertices)
    drawn: tuple[Tensor, Tensor, Tensor] = _in_eager_mode(_Rasterize.apply, wide, corners, height, width, cull)
    return drawn


def interpolate(
    triangle: Tensor, weights: Tensor, triangles: Tensor, attributes: Tensor, *, background: float | Tensor = 0
) -> Tensor:
    """Attributes of vertices at every pixel of `rasterize`; differentiable in the attributes and the weights.

    The values of `uvgen.rasterize.interpolate`.

    Parameters
    ----------
    triangle, weights : (B, h, w) int32 and (B, h, w, 3) float
        What `rasterize` returned.
    triangles : (m, 3) integer
        Rows of the attributes at the corners of each triangle: the mesh's own triangles, or others where an attribute
        has its own, as textures with seams do. Indices out of range are an error on the CPU; on CUDA such a
        triangle shows the background.
    attributes : (n, c) or (B, n, c) float
        Any number of channels.
    background : float or (c,) tensor
        Value of pixels without a triangle; no gradient reaches it.

    Returns
    -------
    (B, h, w, c) float32, or float64 if the weights or the attributes are
        ``a + w1 (b - a) + w2 (c - a)`` of the values at the corners: weights are assumed to sum to 1, and so the first
        has no gradient of its own.

    Raises
    ------
    InputError
        If shapes, dtypes or devices are wrong, or an index is out of range.
    DependencyError
        If Warp is not installed, or cannot use the device.

    Notes
    -----
    Gradients of attributes are added up as in `rasterize`, whose notes apply.
    """
    check_tensor(triangle, "triangle")
    check_array(triangle, "triangle", ("B", "h", "w"))
    if triangle.dtype != torch.int32:
        raise InputError(f"triangle: {shown(triangle)}, expected int32, as rasterize returns it")
    check_tensor(weights, "weights")
    check_array(weights, "weights", (*triangle.shape, 3), note="as rasterize returns them")
    _check_float(weights, "weights")
    check_tensor(attributes, "attributes")
    check_array(attributes, "attributes", ("n", "c"), (len(triangle), "n", "c"))
    _check_float(attributes, "attributes")
    for name, value in {"weights": weights, "attributes": attributes}.items():
        if value.device != triangle.device:
            raise InputError(f"{name}: on {value.device}, expected {triangle.device}, where triangle is")
    corners = _corner_indices(triangles, attributes.shape[-2], triangle)
    if triangle.device.type == "cpu" and triangle.numel() and int(triangle.max()) >= len(corners):
        raise InputError(
            f"triangle: indices up to {int(triangle.max())}, expected less than {count(len(corners), 'triangle')}"
        )
    dtype = torch.promote_types(_widened(weights).dtype, _widened(attributes).dtype)
    color = _background(background, attributes.shape[-1], dtype, triangle.device)
    shared = attributes.ndim == 2
    values = attributes.to(dtype)[None] if shared else attributes.to(dtype)
    found: Tensor = _in_eager_mode(_Interpolate.apply, triangle, weights.to(dtype), corners, values, color, shared)
    return found


class _Rasterize(torch.autograd.Function):
    """`rasterize` of checked arguments."""

    @staticmethod
    def forward(
        ctx: Any, vertices: Tensor, corners: Tensor, height: int, width: int, cull: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        vertices = vertices.contiguous()
        n_meshes, n = vertices.shape[:2]
        rows, device = n_meshes * height, vertices.device
        kernels = warp_runtime.kernels(device, vertices.dtype)
        triangle = vertices.new_empty((n_meshes, height, width), dtype=torch.int32)
        weights = vertices.new_empty((n_meshes, height, width, 3))
        depth = vertices.new_empty((n_meshes, height, width))
        if depth.numel():
            workers, lanes, capacity = _ON_CUDA if vertices.is_cuda else _ON_CPU
            vector, index = warp_runtime.vectors(vertices.dtype)
            keys = torch.full((rows, width), 2**63 - 1, dtype=torch.int64, device=device)
            if n and len(corners):
                mesh = (vertices, vector), (corners, index)
                front, back = cull != "front", cull != "back"
                queue = torch.empty((capacity, 3), dtype=torch.int32, device=device)
                n_queued = torch.zeros(1, dtype=torch.int32, device=device)
                warp_runtime.launch(
                    kernels.cover, (n_meshes, len(corners)), device,
                    *mesh, n, width, height, front, back, capacity, (queue, index), n_queued, keys,
                )  # fmt: skip
                warp_runtime.launch(
                    kernels.cover_queued, (workers, lanes), device,
                    *mesh, width, height, front, back, workers, lanes, capacity, (queue, index), n_queued, keys,
                )  # fmt: skip
            outputs = triangle.view(rows, width), (weights.view(rows, width, 3), vector), depth.view(rows, width)
            warp_runtime.launch(
                kernels.resolve, (rows, width), device,
                (vertices, vector), (corners, index), height, keys, *outputs,
            )  # fmt: skip
        ctx.mark_non_differentiable(triangle)
        ctx.save_for_backward(vertices, corners, triangle)
        return triangle, weights, depth

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, _: Tensor, in_weights: Tensor, in_depth: Tensor) -> tuple[Tensor | None, ...]:
        vertices, corners, triangle = ctx.saved_tensors
        n_meshes, height, width = triangle.shape
        rows, out = n_meshes * height, torch.zeros_like(vertices)
        if triangle.numel() and out.numel() and len(corners):
            kernels = warp_runtime.kernels(vertices.device, vertices.dtype)
            vector, index = warp_runtime.vectors(vertices.dtype)
            listed = torch.are_deterministic_algorithms_enabled()
            parts = vertices.new_zeros((rows, width, 3, 3) if listed else (1, 1, 1, 3))
            warp_runtime.launch(
                kernels.rasterize_gradient, (rows, width), vertices.device,
                (vertices, vector), (corners, index), height, triangle.view(rows, width),
                (in_weights.contiguous().view(rows, width, 3), vector), in_depth.contiguous().view(rows, width),
                listed, (parts, vector), (out, vector),
            )  # fmt: skip
            if listed:
                _add_up(out, triangle, corners, parts)
        return out, None, None, None, None


class _Interpolate(torch.autograd.Function):
    """`interpolate` of checked arguments, in one dtype; attributes (1 or B, n, c)."""

    @staticmethod
    def forward(
        ctx: Any, triangle: Tensor, weights: Tensor, corners: Tensor, attributes: Tensor, color: Tensor, shared: bool
    ) -> Tensor:
        triangle, weights, attributes = triangle.contiguous(), weights.contiguous(), attributes.contiguous()
        n_meshes, height, width = triangle.shape
        rows, (n, channels) = n_meshes * height, attributes.shape[1:]
        image = weights.new_empty((n_meshes, height, width, channels))
        kernels = warp_runtime.kernels(weights.device, weights.dtype)
        if image.numel():
            if not (n and len(corners)):
                image.copy_(color.expand_as(image))
            else:
                vector, index = warp_runtime.vectors(weights.dtype)
                warp_runtime.launch(
                    kernels.interpolate, (rows, width, channels), weights.device,
                    triangle.view(rows, width), (weights.view(rows, width, 3), vector), (corners, index),
                    len(corners), attributes, n, height, shared, color, image.view(rows, width, channels),
                )  # fmt: skip
        ctx.save_for_backward(triangle, weights, corners, attributes)
        ctx.shared = shared
        return image

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, in_image: Tensor) -> tuple[Tensor | None, ...]:
        triangle, weights, corners, attributes = ctx.saved_tensors
        n_meshes, height, width = triangle.shape
        rows, (n, channels) = n_meshes * height, attributes.shape[1:]
        _, need_weights, _, need_attributes, _, _ = ctx.needs_input_grad
        of_weights = torch.zeros_like(weights) if need_weights else None
        of_attributes = torch.zeros_like(attributes) if need_attributes else None
        if not (in_image.numel() and n and len(corners)):
            return None, of_weights, None, of_attributes, None, None
        kernels = warp_runtime.kernels(weights.device, weights.dtype)
        vector, index = warp_runtime.vectors(weights.dtype)
        pixels, mesh = triangle.view(rows, width), ((corners, index), len(corners))
        in_image = in_image.contiguous().view(rows, width, channels)
        if of_weights is not None:
            warp_runtime.launch(
                kernels.weights_gradient, (rows, width), weights.device, pixels, *mesh, attributes, n, height,
                ctx.shared, channels, in_image, (of_weights.view(rows, width, 3), vector),
            )  # fmt: skip
        if of_attributes is not None and torch.are_deterministic_algorithms_enabled():
            b, c = weights[..., 1:].reshape(rows, width, 2, 1).unbind(2)
            parts = in_image[:, :, None] * torch.stack([1 - b - c, b, c], dim=2)
            _add_up(of_attributes, triangle, corners, parts)
        elif of_attributes is not None:
            warp_runtime.launch(
                kernels.attributes_gradient, (rows, width, channels), weights.device, pixels,
                (weights.view(rows, width, 3), vector), *mesh, n, height, ctx.shared, in_image, of_attributes,
            )  # fmt: skip
        return None, of_weights, None, of_attributes, None, None


def _add_up(out: Tensor, triangle: Tensor, corners: Tensor, parts: Tensor) -> None:
    """Add parts (rows, w, 3, c) of the corners of each pixel's triangle to out (1 or B, n, c), in a set order."""
    n, channels = out.shape[1:]
    shown_there = triangle.clamp(0, len(corners) - 1)
    places = corners[shown_there.long()].long()  # (B, h, w, 3)
    good = (triangle >= 0) & (triangle == shown_there) & ((places >= 0) & (places < n)).all(dim=-1)
    # what adds nothing goes to many rows: all to one would wait for each other
    spread = torch.arange(good.numel(), device=out.device).remainder(n).view_as(good)
    places = torch.where(good[..., None], places, spread[..., None])
    if len(out) > 1:
        places = places + n * torch.arange(len(out), device=out.device).view(-1, 1, 1, 1)
    parts = torch.where(good[..., None, None], parts.view(*triangle.shape, 3, channels), 0)
    out.view(-1, channels).index_add_(0, places.view(-1), parts.view(-1, channels))


def _in_eager_mode(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that `torch.compile` does not compile; this breaks its graph."""
    if torch.compiler.is_compiling():
        return _undisturbed(function, *arguments)
    return function(*arguments)


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


# `torch.compiler.disable`, but without its import of the whole compiler with this module
_undisturbed = getattr(torch, "_disable_dynamo", lambda function: function)(_call)


def _check_float(value: Tensor, name: str) -> None:
    if not value.is_floating_point():
        raise InputError(f"{name}: {shown(value)}, expected floats; `.float()` makes them")


def _widened(value: Tensor) -> Tensor:
    return value if value.dtype in (torch.float32, torch.float64) else value.float()


_UNSIGNED = tuple(getattr(torch, name) for name in ("uint16", "uint32", "uint64") if hasattr(torch, name))


def _corner_indices(triangles: Tensor, n: int, beside: Tensor) -> Tensor:
    """Triangles as contiguous int32 (m, 3) on the device of `beside`; checked to be below n on the CPU."""
    check_tensor(triangles, "triangles")
    check_array(triangles, "triangles", ("m", 3), note="vertex indices")
    if triangles.is_floating_point() or triangles.dtype == torch.bool:
        raise InputError(f"triangles: {shown(triangles)}, expected integers: vertex indices")
    if triangles.dtype in _UNSIGNED:  # which PyTorch cannot compare; the largest of 64 bits become negative
        triangles = triangles.long()
    if triangles.device != beside.device:
        raise InputError(f"triangles: on {triangles.device}, expected {beside.device}, where the vertices are")
    if triangles.device.type == "cpu":
        if len(triangles) and not 0 <= int(triangles.min()) <= int(triangles.max()) < n:
            raise bad_index(np.asarray(triangles), n)
    elif triangles.dtype != torch.int32:
        triangles = triangles.long().clamp(-1, 2**31 - 1)  # beyond int32: still out of range there
    return triangles.to(torch.int32).contiguous()


def _background(value: Any, channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(c,) of a number or of (c,)."""
    if isinstance(value, Real):
        return torch.full((channels,), float(value), dtype=dtype, device=device)
    if not isinstance(value, Tensor):
        try:
            value = torch.tensor(value, dtype=dtype)
        except (TypeError, ValueError, RuntimeError):
            raise InputError(f"background: {shown(value)}, expected a number or ({channels},)") from None
    check_tensor(value, "background")
    check_array(value, "background", (), (channels,), note="one number, or one per channel")
    color: Tensor = value.detach().to(device, dtype, non_blocking=True).expand(channels).contiguous()
    return color
