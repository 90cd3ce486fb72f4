"""Normals, visible texels and position maps, as NVIDIA Warp compiles them. Imports warp: see `warp_runtime`.

What `spatial_transformer`, `texture` and `layers` do with PyTorch's operators, in one or two passes over memory each.
"""

from types import SimpleNamespace

import warp as wp

FACING = wp.constant(0.05)  # `texture._FACING`
THREADS = wp.constant(512)  # that look for a face's smallest depth
FACES = wp.constant(8)  # whose texels one thread makes


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
        nearest: wp.array(dtype=scalar, ndim=2),
    ):
        """The largest z of the texels seen, in each cell of the picture."""
        item, row, column = wp.tid()
        if seen[item, row, column]:
            p = place(maps, item, row, column)
            wp.atomic_max(nearest, item, cell_of(p, width, height, cell, across), p[2])

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

    @wp.func
    def depth_of(
        vertices: wp.array(dtype=vector, ndim=2), mean: wp.array(dtype=vector), row: vector, face: int, i: int
    ):
        return wp.dot(row, vertices[face, i] + mean[i])

    @wp.kernel(module=module)
    def find_smallest(
        vertices: wp.array(dtype=vector, ndim=2),
        mean: wp.array(dtype=vector),
        n: int,
        depth_row: wp.array(dtype=vector),
        smallest: wp.array(dtype=scalar),
    ):
        """The smallest depth of each face: vertices (B, n) without their mean, depth_row (B, 3)."""
        face, first = wp.tid()
        row = depth_row[face]
        low = scalar(wp.inf)
        for i in range(first, n, THREADS):
            z = depth_of(vertices, mean, row, face, i)
            if z < low or z != z:
                low = z
        if low != low:  # atomic_min may drop it
            smallest[face] = low
        elif not (low >= smallest[face]):  # it only falls: an old one that is read here costs time alone
            wp.atomic_min(smallest, face, low)

    @wp.kernel(module=module)
    def count_smallest(
        vertices: wp.array(dtype=vector, ndim=2),
        mean: wp.array(dtype=vector),
        n: int,
        depth_row: wp.array(dtype=vector),
        smallest: wp.array(dtype=scalar),
        counts: wp.array(dtype=scalar),
    ):
        """How many vertices of each face have its smallest depth."""
        face, first = wp.tid()
        row = depth_row[face]
        for i in range(first, n, THREADS):
            if depth_of(vertices, mean, row, face, i) == smallest[face]:
                wp.atomic_add(counts, face, scalar(1.0))

    @wp.kernel(module=module)
    def texels(
        vertices: wp.array(dtype=vector, ndim=2),
        mean: wp.array(dtype=vector),
        corners: wp.array(dtype=wp.vec3i, ndim=2),
        weights: wp.array(dtype=vector, ndim=2),
        flips: wp.array(dtype=wp.bool),
        linear: wp.array(dtype=vector, ndim=2),
        shift: wp.array(dtype=vector),
        smallest: wp.array(dtype=scalar),
        n_faces: int,
        maps_out: wp.array(dtype=scalar, ndim=3),
    ):
        """Position maps (B, 3, t): texels between vertices (B, n), in the crop.

        Neighbors are the texels of one face: they lie side by side in the map, and the vertices around them are few. A
        thread makes one texel of several faces, so that its place on the mesh is looked up once.
        """
        group, texel = wp.tid()
        last = wp.int32(-1)
        t = wp.vec3i(0, 0, 0)
        w = vector(scalar(0.0), scalar(0.0), scalar(0.0))
        middle = vector(scalar(0.0), scalar(0.0), scalar(0.0))
        for face in range(group * FACES, wp.min((group + 1) * FACES, n_faces)):
            side = wp.int32(0)
            if flips[face]:
                side = wp.int32(1)
            if side != last:
                t = corners[side, texel]
                w = weights[side, texel]
                middle = w[0] * mean[t[0]] + w[1] * mean[t[1]] + w[2] * mean[t[2]]
                last = side
            point = w[0] * vertices[face, t[0]] + w[1] * vertices[face, t[1]] + w[2] * vertices[face, t[2]] + middle
            s = shift[face]
            maps_out[face, 0, texel] = wp.dot(linear[face, 0], point) + s[0]
            maps_out[face, 1, texel] = wp.dot(linear[face, 1], point) + s[1]
            maps_out[face, 2, texel] = wp.dot(linear[face, 2], point) + s[2] - smallest[face]

    @wp.kernel(module=module)
    def vertices_gradient(
        vertices: wp.array(dtype=vector, ndim=2),
        mean: wp.array(dtype=vector),
        starts: wp.array(dtype=wp.int32, ndim=2),
        texels_of: wp.array(dtype=wp.int32, ndim=2),
        weights_of: wp.array(dtype=scalar, ndim=2),
        flips: wp.array(dtype=wp.bool),
        linear: wp.array(dtype=vector, ndim=2),
        depth_row: wp.array(dtype=vector),
        smallest: wp.array(dtype=scalar),
        counts: wp.array(dtype=scalar),
        in_smallest: wp.array(dtype=scalar),
        in_maps: wp.array(dtype=scalar, ndim=3),
        vertices_out: wp.array(dtype=vector, ndim=2),
        depth_row_out: wp.array(dtype=vector),
    ):
        """What the texels around each vertex hand back to it; and the smallest depth, divided as by `torch.amin`."""
        face, i = wp.tid()
        side = wp.int32(0)
        if flips[face]:
            side = wp.int32(1)
        total = vector(scalar(0.0), scalar(0.0), scalar(0.0))
        for k in range(starts[side, i], starts[side, i + 1]):
            t = texels_of[side, k]
            total += weights_of[side, k] * vector(in_maps[face, 0, t], in_maps[face, 1, t], in_maps[face, 2, t])
        found = total[0] * linear[face, 0] + total[1] * linear[face, 1] + total[2] * linear[face, 2]
        row = depth_row[face]
        if depth_of(vertices, mean, row, face, i) == smallest[face]:
            share = in_smallest[face] / counts[face]
            found += share * row
            wp.atomic_add(depth_row_out, face, share * (vertices[face, i] + mean[i]))
        vertices_out[face, i] = found

    kernels = [find_nearest, see_texels, add_normals, normals_gradient]
    kernels += [find_smallest, count_smallest, texels, vertices_gradient]
    return SimpleNamespace(**{kernel.func.__name__: kernel for kernel in kernels})
