"""What the camera sees of meshes, by drawing them. Import `visible_vertices` from `uvgen.torch`."""

import torch
from torch import Tensor

from uvgen.checks import number_in, picture_size
from uvgen.torch.rasterizer import rasterize


def visible_vertices(vertices: Tensor, triangles: Tensor, size: tuple[int, int], tolerance: float = 1.0) -> Tensor:
    """Which vertices no other part of the mesh hides, by a depth buffer: `uvgen.rasterize.visible_vertices`.

    Finer than `visible_by_depth`, which compares in cells of two texels: it tells apart what `size` does. Of a position
    map, whose texels are the vertices, `uvgen.rasterize.mesh_from_map` has the triangles.

    Parameters
    ----------
    vertices : (B, n, 3) float
        Image frame, see `rasterize`.
    triangles : (m, 3) integer
    size : (int, int)
        Height and width of the picture, px. For a finer comparison scale the vertices with it.
    tolerance : float
        How far behind the farthest of the up to four covered pixels around it a vertex may lie, in the unit of z.

    Returns
    -------
    (B, n) bool
        False for vertices outside the picture or with a coordinate that is NaN.

    Raises
    ------
    InputError
        As `rasterize`, or if the tolerance is negative.
    DependencyError
        As `rasterize`.
    """
    height, width = picture_size(size)
    tolerance = float(number_in(tolerance, "tolerance", 0))
    with torch.no_grad():
        depth = rasterize(vertices, triangles, size)[2]
        x, y, z = vertices.to(depth.dtype).unbind(-1)
        inside = (x >= -0.5) & (y >= -0.5) & (x <= width - 0.5) & (y <= height - 0.5)
        if not depth[:1].numel():
            return inside & False
        column = torch.where(inside, x, 0).floor().long()
        row = torch.where(inside, y, 0).floor().long()
        flat, farthest = depth.flatten(1), torch.full_like(z, torch.inf)
        for r in (row, row + 1):
            for c in (column, column + 1):
                there = (r >= 0) & (r < height) & (c >= 0) & (c < width)
                around = flat.gather(1, r.clamp(0, height - 1) * width + c.clamp(0, width - 1))
                covered = there & (around > -torch.inf)
                farthest = torch.where(covered, torch.minimum(farthest, around), farthest)
        return inside & ~z.isnan() & (farthest.isposinf() | (z >= farthest - tolerance))
