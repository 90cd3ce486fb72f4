"""Normals and visible texels, as NVIDIA Warp compiles them. Imports warp: see `warp_runtime`.

What `spatial_transformer` and `texture` do with PyTorch's operators, in one or two passes over memory each.
"""

from types import SimpleNamespace

import warp as wp

FACING = wp.constant(0.05)  # `texture._FACING`


def surfaces(scalar, module):
    """The kernels for floats of one type."""
    vector = wp.vec3f if scalar is wp.float32 else wp.vec3d

    @wp.func
    def finite(value: scalar):
        """As `torch.nan_to_num`."""
        number = value
        if value != value:
            number = scalar(0.0)
        elif value - value != scalar(0.0):
            number = scalar(3.4028234663852886e38)
            if value < scalar(0.0):
                number = -number
        return number

    @wp.func
    def place(maps: wp.array(dtype=scalar, ndim=4), item: int, row: int, column: int):
        return vector(
            finite(maps[item, 0, row, column]), finite(maps[item, 1, row, column]), finite(maps[item, 2, row, column])
        )

    @wp.func
    def cell_of(p: vector, width: int, height: int, cell: scalar, across: int):
        low = scalar(-0.5)
        column = wp.rint(wp.clamp(p[0], low, scalar(width) + low) / cell)
        row = wp.rint(wp.clamp(p[1], low, scalar(height) + low) / cell)
        return int(row) * across + int(column)

    @wp.kernel(module=module)
    def find_nearest(
        maps: wp.array(dtype=scalar, ndim=4),
        seen: wp.array(dtype=wp.bool, ndim=3),
        width: int,
        height: int,
        cell: scalar,
        across: int,
        nearest_out: wp.array(dtype=scalar, ndim=2),
    ):
        """The largest z of the texels seen, in each cell of the picture."""
        item, row, column = wp.tid()
        if seen[item, row, column]:
            p = place(maps, item, row, column)
            wp.atomic_max(nearest_out, item, cell_of(p, width, height, cell, across), p[2])

    @wp.kernel(module=module)
    def see_texels(
        maps: wp.array(dtype=scalar, ndim=4),
        seen: wp.array(dtype=wp.bool, ndim=3),
        rows: int,
        columns: int,
        width: int,
        height: int,
        cell: scalar,
        across: int,
        tolerance: scalar,
        nearest: wp.array(dtype=scalar, ndim=2),
        visible_out: wp.array(dtype=wp.bool, ndim=3),
    ):
        """Which texels seen have nothing in front and face the camera; tolerance in px."""
        item, row, column = wp.tid()
        visible = wp.bool(False)
        if seen[item, row, column]:
            p = place(maps, item, row, column)
            if p[2] >= nearest[item, cell_of(p, width, height, cell, across)] - tolerance:
                # as torch.gradient, one-sided at the border; twice as long elsewhere: only the direction counts
                left = wp.max(column - 1, 0)
                right = wp.min(column + 1, columns - 1)
                up = wp.max(row - 1, 0)
                down = wp.min(row + 1, rows - 1)
                dx = place(maps, item, row, right) - place(maps, item, row, left)
                dy = place(maps, item, down, column) - place(maps, item, up, column)
                normal = wp.cross(dx, dy)
                visible = normal[2] > scalar(FACING) * wp.length(normal)
        visible_out[item, row, column] = visible

    @wp.kernel(module=module)
    def add_normals(
        vertices: wp.array(dtype=vector, ndim=2),
        triangles: wp.array(dtype=wp.vec3i),
        n: int,
        normals_out: wp.array(dtype=vector, ndim=2),
    ):
        item, triangle = wp.tid()
        t = triangles[triangle]
        if wp.min(wp.min(t[0], t[1]), t[2]) < 0 or wp.max(wp.max(t[0], t[1]), t[2]) >= n:
            return
        a = vertices[item, t[0]]
        normal = wp.cross(vertices[item, t[1]] - a, vertices[item, t[2]] - a)
        for k in range(3):
            wp.atomic_add(normals_out, item, t[k], normal)

    @wp.kernel(module=module)
    def normals_gradient(
        vertices: wp.array(dtype=vector, ndim=2),
        triangles: wp.array(dtype=wp.vec3i),
        n: int,
        in_normals: wp.array(dtype=vector, ndim=2),
        vertices_out: wp.array(dtype=vector, ndim=2),
    ):
        item, triangle = wp.tid()
        t = triangles[triangle]
        if wp.min(wp.min(t[0], t[1]), t[2]) < 0 or wp.max(wp.max(t[0], t[1]), t[2]) >= n:
            return
        g = in_normals[item, t[0]] + in_normals[item, t[1]] + in_normals[item, t[2]]
        a = vertices[item, t[0]]
        to_b = wp.cross(vertices[item, t[2]] - a, g)
        to_c = wp.cross(g, vertices[item, t[1]] - a)
        wp.atomic_add(vertices_out, item, t[0], -to_b - to_c)
        wp.atomic_add(vertices_out, item, t[1], to_b)
        wp.atomic_add(vertices_out, item, t[2], to_c)

    kernels = [find_nearest, see_texels, add_normals, normals_gradient]
    return SimpleNamespace(**{kernel.func.__name__: kernel for kernel in kernels})
