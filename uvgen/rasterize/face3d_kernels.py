"""The rasterizer's compiled code for face3d's inclusion rule, which few need: one triangle after the other.

As in `coverage_kernels`, another thread may write to the caller's arrays meanwhile: indices and coordinates that decide
where something is written are read once.
"""

import numpy as np

from uvgen.compiled import kernel
from uvgen.rasterize.buffers import FragmentArrays, MeshArrays

f4, i4, u4, size_t = np.float32, np.int32, np.uint32, np.uintp
ONE, TWO, THREE = size_t(1), size_t(2), size_t(3)  # unsigned: of signed indices numba asks whether they are negative


@kernel
def rasterize_mesh_face3d(mesh: MeshArrays, width, front, back, fragments_out: FragmentArrays):
    """`coverage_kernels.rasterize_mesh` by face3d's rule, all in float32: u >= 0, v >= 0, u + v < 1."""
    vertices, triangles = mesh.vertices, mesh.triangles
    triangle_out, weights_out, depth_out = fragments_out.triangle, fragments_out.weights, fragments_out.depth
    triangle_out[:] = -1
    depth_out[:] = -np.inf
    weights_out[:] = 0
    w, h = f4(width), f4(len(depth_out) // width)
    last, worst = u4(len(vertices) // 3 - 1), u4(0)
    for t in range(size_t(len(triangles)) // THREE):
        i, j, m = triangles[THREE * t], triangles[THREE * t + ONE], triangles[THREE * t + TWO]
        worst = max(worst, max(max(i, j), m))
        first, second, third = THREE * size_t(min(i, last)), THREE * size_t(min(j, last)), THREE * size_t(min(m, last))
        x0, y0 = vertices[first], vertices[first + ONE]
        x1, y1 = vertices[second], vertices[second + ONE]
        x2, y2 = vertices[third], vertices[third + ONE]
        left = min(max(np.ceil(min(min(x0, x1), x2)), f4(0)), w)
        top = min(max(np.ceil(min(min(y0, y1), y2)), f4(0)), h)
        right = max(min(np.floor(max(max(x0, x1), x2)), w - f4(1)), f4(-1))
        bottom = max(min(np.floor(max(max(y0, y1), y2)), h - f4(1)), f4(-1))
        # min and max may drop a NaN, a sum never does; it is NaN or infinite if any coordinate is.
        total = x0 + x1 + x2 + y0 + y1 + y2
        if not ((left <= right) & (top <= bottom) & (total - total == f4(0))):
            continue
        v0x, v0y, v1x, v1y = x2 - x0, y2 - y0, x1 - x0, y1 - y0
        area = v1x * v0y - v1y * v0x
        dot00 = v0x * v0x + v0y * v0y
        dot01 = v0x * v1x + v0y * v1y
        dot11 = v1x * v1x + v1y * v1y
        determinant = dot00 * dot11 - dot01 * dot01
        if determinant == 0 or not ((front and area > 0) or (back and area < 0)):
            continue
        inverse = f4(1) / determinant
        z0, z1, z2 = vertices[first + TWO], vertices[second + TWO], vertices[third + TWO]
        for row in range(i4(top), i4(bottom) + 1):
            for column in range(i4(left), i4(right) + 1):
                v2x = f4(column) - x0
                v2y = f4(row) - y0
                dot02 = v0x * v2x + v0y * v2y
                dot12 = v1x * v2x + v1y * v2y
                u = (dot11 * dot02 - dot01 * dot12) * inverse
                v = (dot00 * dot12 - dot01 * dot02) * inverse
                if u >= 0 and v >= 0 and u + v < 1:
                    w0 = f4(1) - u - v
                    z = w0 * z0 + v * z1 + u * z2
                    pixel = size_t(row * width + column)
                    if z > depth_out[pixel] and z < np.inf:  # triangles come in order: the first stays
                        depth_out[pixel] = z
                        triangle_out[pixel] = t
                        weights_out[THREE * pixel] = w0
                        weights_out[THREE * pixel + ONE] = v
                        weights_out[THREE * pixel + TWO] = u
    return worst
