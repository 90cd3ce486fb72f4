"""Textures unwrapped on the device. Import `unwrap` from `uvgen.torch`."""

import torch
from torch import Tensor, nn

from uvgen.checks import check_tensor, choice, number_in
from uvgen.errors import InputError
from uvgen.torch import warp_runtime, warp_surfaces
from uvgen.torch.grids import SAMPLERS, grid_of

_FACING = 0.05  # cosine between normal and view below which a texel is a silhouette's, and its visibility chance


def unwrap(
    image: Tensor,
    position_map: Tensor,
    coverage: Tensor | None = None,
    *,
    tolerance: float = 0.05,
    convention: str = "exact",
) -> tuple[Tensor, Tensor]:
    """The face's texture in UV: the image sampled at the texels' positions, with the mask of those seen.

    The sampling grid of "3D Morphable Models as Spatial Transformer Networks" (Bas et al., ICCVW 2017) for a map
    that a network predicts or `PositionMapLayer` makes. Differentiable in the image and the map's x and y.
    Values are those of `uvgen.rasterize.unwrap`, and so is what lies in the image.

    Parameters
    ----------
    image : (B, C, H, W) float
        Crops.
    position_map : (B, 3, U, U) float
        x, y, z of each texel, px of the crop (`to_float` with ``normalize=None`` gives them), z larger is nearer.
        In float32: half precision rounds places beyond 128 px to 0.125 px (float16) or 1 px (bfloat16).
    coverage : (U, U) or (B, U, U) bool, optional
        Texels of the face: only they are visible, and hide others.
    tolerance : float
        How far behind the nearest surface a texel may lie and still be seen, in crop widths. Depths are compared
        in cells of about two texels: finer are `visible_vertices` and, on the CPU, `uvgen.rasterize.visible_texels`.
    convention : {"exact", "3dmmasstn"}
        The exact places, or those of the sampler published with that paper, up to 1 px off: see `sampling_grid`.

    Returns
    -------
    texture : (B, C, U, U), the image's dtype
        Bilinear samples, calculated in float32, or in float64 if both arguments are, also under autocast. Up to half
        a pixel beyond the outer pixel centers, which is where the image ends, the border's values; 0 outside of that,
        and where x or y is not finite.
    visible : (B, 1, U, U) bool
        Texels with finite positions inside the image that face the camera with no other surface in front.

    Raises
    ------
    InputError
        If shapes do not agree, the arguments are not tensors of floats, or the convention is unknown.
    """
    check_tensor(image, "image")
    check_tensor(position_map, "position_map")
    if image.ndim != 4 or position_map.ndim != 4 or position_map.shape[:2] != (len(image), 3):
        raise InputError(
            f"image, position_map: {tuple(image.shape)} and {tuple(position_map.shape)}, "
            "expected (B, C, H, W) and (B, 3, U, U)"
        )
    if not (image.is_floating_point() and position_map.is_floating_point()):
        raise InputError(
            f"image, position_map: {image.dtype} and {position_map.dtype}, expected floats, as "
            "`to_float(batch, normalize=None)` makes them"
        )
    if image.device != position_map.device:
        raise InputError(f"position_map: on {position_map.device}, expected {image.device}, where the image is")
    rows, columns = position_map.shape[2:]
    if not len(image) or min(rows, columns) < 2:
        raise InputError(
            f"position_map: {tuple(position_map.shape)}, expected one or more, of 2 texels per side or more"
        )
    height, width = image.shape[2:]
    if not image.numel():
        raise InputError(f"image: {tuple(image.shape)}, expected one pixel and channel or more")
    if coverage is not None:
        check_tensor(coverage, "coverage")
        if tuple(coverage.shape) not in ((rows, columns), (len(image), rows, columns)):
            raise InputError(f"coverage: {tuple(coverage.shape)}, expected ({rows}, {columns}), one per texel")
        coverage = coverage.bool()
    tolerance = float(number_in(tolerance, "tolerance", 0))
    choice(convention, "convention", SAMPLERS)
    with torch.autocast(image.device.type, enabled=False):
        maps = position_map.detach().float()
        inside = _inside(maps, (height, width))
        dtype = torch.float64 if image.dtype == position_map.dtype == torch.float64 else torch.float32
        places = torch.where(inside[:, None], position_map[:, :2].to(dtype), 0)
        grid = grid_of(places.movedim(1, -1), (height, width), convention)
        samples = nn.functional.grid_sample(image.to(dtype), grid, padding_mode="border", align_corners=True)
        texture = torch.where(inside[:, None], samples, 0).to(image.dtype)
        with torch.no_grad():
            visible = seen_texels(maps, coverage, (height, width), tolerance)
    return texture, visible


def seen_texels(maps: Tensor, coverage: Tensor | None, size: tuple[int, int], tolerance: float) -> Tensor:
    """(B, 1, U, U) bool: which texels of float32 maps, of those in `coverage`, are seen in an image (height, width)."""
    inside = _inside(maps, size)
    return _visible(maps, inside if coverage is None else inside & coverage, size, tolerance)


def _inside(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, U, U) bool: which texels lie in the image; its pixels end half a pixel beyond the outer centers."""
    x, y, (height, width) = maps[:, 0], maps[:, 1], size
    return (x >= -0.5) & (y >= -0.5) & (x <= width - 0.5) & (y <= height - 0.5)


def _visible(maps: Tensor, seen: Tensor, size: tuple[int, int], tolerance: float) -> Tensor:
    """(B, 1, U, U) bool: which of the texels `seen` face the camera, with none of them in front."""
    n, _, rows, columns = maps.shape
    height, width = size
    seen = seen & maps.isfinite().all(dim=1)  # a network that diverges is no reason to leave an array's bounds
    cell = max(2.0 * width / columns, 1.0)
    if warp_runtime.is_used(maps):
        return warp_surfaces.visible_texels(maps, seen, size, cell, tolerance * width)[:, None]
    maps = maps.nan_to_num()
    x, y, z = maps.unbind(1)
    across, down = int(width / cell) + 2, int(height / cell) + 2
    cell_x = (x.clamp(-0.5, width - 0.5) / cell).round().long()
    cell_y = (y.clamp(-0.5, height - 0.5) / cell).round().long()
    cells = (cell_y * across + cell_x).reshape(n, -1)
    nearest = torch.full((n, down * across), -torch.inf, dtype=maps.dtype, device=maps.device)
    nearest.scatter_reduce_(1, cells, z.masked_fill(~seen, -torch.inf).reshape(n, -1), "amax")
    in_front = z >= nearest.gather(1, cells).view(n, rows, columns) - tolerance * width
    return (seen & in_front & _facing(maps))[:, None]


def _facing(maps: Tensor) -> Tensor:
    """(B, U, U) bool: the map's surface turns to the camera."""
    right = torch.gradient(maps, dim=3)[0]
    down = torch.gradient(maps, dim=2)[0]
    normal = torch.linalg.cross(right, down, dim=1)
    facing: Tensor = normal[:, 2] > _FACING * torch.linalg.vector_norm(normal, dim=1)
    return facing
