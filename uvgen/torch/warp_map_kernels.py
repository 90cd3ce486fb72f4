"""Position maps and the poses in them, as NVIDIA Warp compiles them. Imports warp: see `warp_runtime`.

What `layers` does with PyTorch's operators: a pass over the poses, two over the vertices, one over the texels.
"""

from types import SimpleNamespace

import warp as wp

THREADS = wp.constant(512)  # that look for a face's smallest depth
FACES = wp.constant(8)  # whose texels one thread makes
VERTICES = wp.constant(16)  # whose gradient one thread finds: as many fewer atomics for the matrix's


def maps(scalar, module):
    """The kernels for floats of one type."""
    vector = wp.vec3f if scalar is wp.float32 else wp.vec3d

    @wp.func
    def depth_of(
        vertices: wp.array(dtype=vector, ndim=2), mean: wp.array(dtype=vector), row: vector, face: int, i: int
    ):
        return wp.dot(row, vertices[face, i] + mean[i])

    @wp.func
    def side_of(flips: wp.array(dtype=wp.bool), face: int):
        """1 for a face that is mirrored; no array, no such face."""
        side = wp.int32(0)
        if flips.shape[0] > 0:  # noqa: SIM102 (Warp evaluates both sides of `and`)
            if flips[face]:
                side = wp.int32(1)
        return side

    @wp.kernel(module=module)
    def find_smallest(
        vertices: wp.array(dtype=vector, ndim=2),
        mean: wp.array(dtype=vector),
        n: int,
        depth_row: wp.array(dtype=vector),
        smallest_out: wp.array(dtype=scalar),
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
            smallest_out[face] = low
        elif not (low >= smallest_out[face]):  # it only falls: an old one that is read here costs time alone
            wp.atomic_min(smallest_out, face, low)

    @wp.kernel(module=module)
    def count_smallest(
        vertices: wp.array(dtype=vector, ndim=2),
        mean: wp.array(dtype=vector),
        n: int,
        depth_row: wp.array(dtype=vector),
        smallest: wp.array(dtype=scalar),
        counts_out: wp.array(dtype=scalar),
    ):
        """How many vertices of each face have its smallest depth."""
        face, first = wp.tid()
        row = depth_row[face]
        for i in range(first, n, THREADS):
            if depth_of(vertices, mean, row, face, i) == smallest[face]:
                wp.atomic_add(counts_out, face, scalar(1.0))

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
            side = side_of(flips, face)
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
    def maps_gradient(
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
        in_maps: wp.array(dtype=scalar, ndim=3),
        sums: wp.array(dtype=vector),
        n: int,
        threads: int,
        vertices_out: wp.array(dtype=vector, ndim=2),
        linear_out: wp.array(dtype=vector, ndim=2),
        depth_row_out: wp.array(dtype=vector),
    ):
        """What the texels (B, 3, t) around each vertex hand back to it, and to the matrix if that has a gradient.

        The smallest depth's, which is that of all z together, is divided between its vertices as by `torch.amin`.
        """
        face, first = wp.tid()
        side = side_of(flips, face)
        row = depth_row[face]
        of_x = vector(scalar(0.0), scalar(0.0), scalar(0.0))
        of_y = vector(scalar(0.0), scalar(0.0), scalar(0.0))
        of_z = vector(scalar(0.0), scalar(0.0), scalar(0.0))
        for i in range(first, n, threads):
            total = vector(scalar(0.0), scalar(0.0), scalar(0.0))
            for k in range(starts[side, i], starts[side, i + 1]):
                t = texels_of[side, k]
                total += weights_of[side, k] * vector(in_maps[face, 0, t], in_maps[face, 1, t], in_maps[face, 2, t])
            point = vertices[face, i] + mean[i]
            of_x += total[0] * point
            of_y += total[1] * point
            of_z += total[2] * point
            found = total[0] * linear[face, 0] + total[1] * linear[face, 1] + total[2] * linear[face, 2]
            if depth_of(vertices, mean, row, face, i) == smallest[face]:
                share = -sums[face][2] / counts[face]
                found += share * row
                wp.atomic_add(depth_row_out, face, share * point)
            vertices_out[face, i] = found
        if linear_out.shape[0] > 0:
            wp.atomic_add(linear_out, face, 0, of_x)
            wp.atomic_add(linear_out, face, 1, of_y)
            wp.atomic_add(linear_out, face, 2, of_z)

    kernels = [find_smallest, count_smallest, texels, maps_gradient]
    return SimpleNamespace(**{kernel.func.__name__: kernel for kernel in kernels})
