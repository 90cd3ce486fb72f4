"""Normals, visible texels and position maps, as NVIDIA Warp compiles them. Imports warp: see `warp_runtime`.

What `spatial_transformer`, `texture` and `layers` do with PyTorch's operators, in one or two passes over memory each.
"""

from types import SimpleNamespace

import warp as wp

FACING = wp.constant(0.05)  # `texture._FACING`
STRETCH = wp.constant(256)  # vertices whose smallest depth one thread finds
TEXELS, FACES = wp.constant(8), wp.constant(8)  # a block of `texels`: 32 bytes of each array that it touches


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
    def vertex(vertices: wp.array(dtype=scalar, ndim=3), mean: wp.array(dtype=vector), i: int, face: int):
        return vector(vertices[i, 0, face], vertices[i, 1, face], vertices[i, 2, face]) + mean[i]

    @wp.kernel(module=module)
    def find_smallest(
        vertices: wp.array(dtype=scalar, ndim=3),
        mean: wp.array(dtype=vector),
        n: int,
        depth_row: wp.array(dtype=vector),
        smallest: wp.array(dtype=scalar),
    ):
        """The smallest depth of each face: vertices (n, 3, B) without their mean, depth_row (B, 3)."""
        stretch, face = wp.tid()
        row = depth_row[face]
        low = scalar(wp.inf)
        for i in range(stretch * STRETCH, wp.min((stretch + 1) * STRETCH, n)):
            z = wp.dot(row, vertex(vertices, mean, i, face))
            if z < low or z != z:
                low = z
        if low != low:  # atomic_min may drop it
            smallest[face] = low
        else:
            wp.atomic_min(smallest, face, low)

    @wp.kernel(module=module)
    def texels(
        vertices: wp.array(dtype=scalar, ndim=3),
        mean: wp.array(dtype=vector),
        corners: wp.array(dtype=wp.int64, ndim=2),
        weights: wp.array(dtype=vector),
        mirrored_corners: wp.array(dtype=wp.int64, ndim=2),
        mirrored_weights: wp.array(dtype=vector),
        flips: wp.array(dtype=wp.bool),
        linear: wp.array(dtype=vector, ndim=2),
        shift: wp.array(dtype=vector),
        smallest: wp.array(dtype=scalar),
        n_texels: int,
        n_faces: int,
        maps_out: wp.array(dtype=scalar, ndim=3),
    ):
        """Position maps (B, 3, t): texels between vertices (n, 3, B), in the crop.

        Neighbors are 8 faces of a texel, which lie side by side in `vertices`, and then 8 texels, which do in the map.
        """
        texel_block, face_block, place_in_block = wp.tid()
        texel = texel_block * TEXELS + place_in_block // FACES
        face = face_block * FACES + place_in_block % FACES
        if texel >= n_texels or face >= n_faces:
            return
        i = int(corners[texel, 0])
        j = int(corners[texel, 1])
        k = int(corners[texel, 2])
        w = weights[texel]
        if flips[face]:
            i = int(mirrored_corners[texel, 0])
            j = int(mirrored_corners[texel, 1])
            k = int(mirrored_corners[texel, 2])
            w = mirrored_weights[texel]
        point = (
            w[0] * vertex(vertices, mean, i, face)
            + w[1] * vertex(vertices, mean, j, face)
            + w[2] * vertex(vertices, mean, k, face)
        )
        s = shift[face]
        maps_out[face, 0, texel] = wp.dot(linear[face, 0], point) + s[0]
        maps_out[face, 1, texel] = wp.dot(linear[face, 1], point) + s[1]
        maps_out[face, 2, texel] = wp.dot(linear[face, 2], point) + s[2] - smallest[face]

    @wp.kernel(module=module)
    def texels_gradient(
        corners: wp.array(dtype=wp.int64, ndim=2),
        weights: wp.array(dtype=vector),
        mirrored_corners: wp.array(dtype=wp.int64, ndim=2),
        mirrored_weights: wp.array(dtype=vector),
        flips: wp.array(dtype=wp.bool),
        linear: wp.array(dtype=vector, ndim=2),
        n_texels: int,
        n_faces: int,
        in_maps: wp.array(dtype=scalar, ndim=3),
        vertices_out: wp.array(dtype=scalar, ndim=3),
    ):
        """Add what the texels of `texels` hand back to their corners."""
        texel_block, face_block, place_in_block = wp.tid()
        texel = texel_block * TEXELS + place_in_block // FACES
        face = face_block * FACES + place_in_block % FACES
        if texel >= n_texels or face >= n_faces:
            return
        g = (
            in_maps[face, 0, texel] * linear[face, 0]
            + in_maps[face, 1, texel] * linear[face, 1]
            + in_maps[face, 2, texel] * linear[face, 2]
        )
        flipped = flips[face]
        for k in range(3):
            i = int(corners[texel, k])
            w = weights[texel][k]
            if flipped:
                i = int(mirrored_corners[texel, k])
                w = mirrored_weights[texel][k]
            for c in range(3):
                wp.atomic_add(vertices_out, i, c, face, w * g[c])

    @wp.kernel(module=module)
    def smallest_gradient(
        vertices: wp.array(dtype=scalar, ndim=3),
        mean: wp.array(dtype=vector),
        n: int,
        depth_row: wp.array(dtype=vector),
        smallest: wp.array(dtype=scalar),
        counting: bool,
        counts: wp.array(dtype=scalar),
        in_smallest: wp.array(dtype=scalar),
        vertices_out: wp.array(dtype=scalar, ndim=3),
        depth_row_out: wp.array(dtype=vector),
    ):
        """Count the vertices at the smallest depth; then share its gradient among them, as `torch.amin` does."""
        stretch, face = wp.tid()
        row = depth_row[face]
        for i in range(stretch * STRETCH, wp.min((stretch + 1) * STRETCH, n)):
            v = vertex(vertices, mean, i, face)
            if wp.dot(row, v) == smallest[face]:
                if counting:
                    wp.atomic_add(counts, face, scalar(1.0))
                else:
                    share = in_smallest[face] / counts[face]
                    for c in range(3):
                        wp.atomic_add(vertices_out, i, c, face, share * row[c])
                    wp.atomic_add(depth_row_out, face, share * v)

    kernels = [find_nearest, see_texels, add_normals, normals_gradient, find_smallest, texels]
    kernels += [texels_gradient, smallest_gradient]
    return SimpleNamespace(**{kernel.func.__name__: kernel for kernel in kernels})
