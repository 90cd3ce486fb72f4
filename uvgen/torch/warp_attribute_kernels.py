"""Attributes of vertices in each pixel of a drawn mesh, as NVIDIA Warp compiles it. Imports warp: see `warp_runtime`.

Indices are checked here, as in `warp_raster_kernels`: a triangle that does not exist, or names a vertex that does not,
leaves the background, and has no gradient.
"""

from types import SimpleNamespace

import warp as wp

from uvgen.torch.warp_raster_kernels import are_rows


def attributes(scalar, module):
    """The kernels for attributes, weights and gradients of one type, float32 or float64."""
    vector = wp.vec3f if scalar is wp.float32 else wp.vec3d

    @wp.kernel(module=module)
    def interpolate(
        triangle_of: wp.array(dtype=wp.int32, ndim=2),
        weights: wp.array(dtype=vector, ndim=2),
        triangles: wp.array(dtype=wp.vec3i),
        m: int,
        attributes: wp.array(dtype=scalar, ndim=3),
        n: int,
        height: int,
        shared: bool,
        background: wp.array(dtype=scalar),
        image_out: wp.array(dtype=scalar, ndim=3),
    ):
        row, x, channel = wp.tid()
        triangle = triangle_of[row, x]
        value = background[channel]
        if triangle >= 0 and triangle < m:
            corners = triangles[triangle]
            if are_rows(corners, n):
                item = wp.int32(0)
                if not shared:
                    item = row // height
                w = weights[row, x]
                a = attributes[item, corners[0], channel]
                b = attributes[item, corners[1], channel]
                c = attributes[item, corners[2], channel]
                value = a + w[1] * (b - a) + w[2] * (c - a)  # of three equal values, exactly that value
        image_out[row, x, channel] = value

    @wp.kernel(module=module)
    def weights_gradient(
        triangle_of: wp.array(dtype=wp.int32, ndim=2),
        triangles: wp.array(dtype=wp.vec3i),
        m: int,
        attributes: wp.array(dtype=scalar, ndim=3),
        n: int,
        height: int,
        shared: bool,
        channels: int,
        in_image: wp.array(dtype=scalar, ndim=3),
        weights_out: wp.array(dtype=vector, ndim=2),
    ):
        row, x = wp.tid()
        triangle = triangle_of[row, x]
        of_b = scalar(0.0)
        of_c = scalar(0.0)
        if triangle >= 0 and triangle < m:
            corners = triangles[triangle]
            if are_rows(corners, n):
                item = wp.int32(0)
                if not shared:
                    item = row // height
                for channel in range(channels):
                    g = in_image[row, x, channel]
                    a = attributes[item, corners[0], channel]
                    of_b += g * (attributes[item, corners[1], channel] - a)
                    of_c += g * (attributes[item, corners[2], channel] - a)
        weights_out[row, x] = vector(scalar(0.0), of_b, of_c)

    @wp.kernel(module=module)
    def attributes_gradient(
        triangle_of: wp.array(dtype=wp.int32, ndim=2),
        weights: wp.array(dtype=vector, ndim=2),
        triangles: wp.array(dtype=wp.vec3i),
        m: int,
        n: int,
        height: int,
        shared: bool,
        in_image: wp.array(dtype=scalar, ndim=3),
        attributes_out: wp.array(dtype=scalar, ndim=3),
    ):
        row, x, channel = wp.tid()
        triangle = triangle_of[row, x]
        if triangle < 0 or triangle >= m:
            return
        corners = triangles[triangle]
        if not are_rows(corners, n):
            return
        item = wp.int32(0)
        if not shared:
            item = row // height
        w = weights[row, x]
        g = in_image[row, x, channel]
        wp.atomic_add(attributes_out, item, corners[0], channel, (scalar(1.0) - w[1] - w[2]) * g)
        wp.atomic_add(attributes_out, item, corners[1], channel, w[1] * g)
        wp.atomic_add(attributes_out, item, corners[2], channel, w[2] * g)

    kernels = [interpolate, weights_gradient, attributes_gradient]
    return SimpleNamespace(**{kernel.func.__name__: kernel for kernel in kernels})
