"""The kernel that draws meshes by face3d's rule against a loop over triangles and pixels."""

import numpy as np
import pytest
from support.drawn_meshes import assert_draws_as, pixels_of_box

from uvgen.rasterize import face3d_kernels as kernels


def rasterize_mesh_face3d(mesh, width, front, back, fragments_out):
    """One float32 operation after the other."""
    f = np.float32
    vertices, weights_out = mesh.vertices.reshape(-1, 3), fragments_out.weights.reshape(-1, 3)
    fragments_out.triangle[:], weights_out[:], fragments_out.depth[:] = -1, 0, -np.inf
    for t, corners in enumerate(mesh.triangles.reshape(-1, 3)):
        p0, p1, p2 = vertices[corners]
        v0, v1 = p2 - p0, p1 - p0
        area = v1[0] * v0[1] - v1[1] * v0[0]
        d00, d01, d11 = v0[0] * v0[0] + v0[1] * v0[1], v0[0] * v1[0] + v0[1] * v1[1], v1[0] * v1[0] + v1[1] * v1[1]
        determinant = d00 * d11 - d01 * d01
        if determinant == 0 or area == 0 or not (front if area > 0 else back):
            continue
        inverse = f(1) / determinant
        for pixel, x, y in pixels_of_box((p0, p1, p2), width, len(fragments_out.depth) // width):
            v2 = f(x) - p0[0], f(y) - p0[1]
            d02, d12 = v0[0] * v2[0] + v0[1] * v2[1], v1[0] * v2[0] + v1[1] * v2[1]
            u, v = (d11 * d02 - d01 * d12) * inverse, (d00 * d12 - d01 * d02) * inverse
            if u >= 0 and v >= 0 and u + v < 1:
                w = f(1) - u - v
                z = w * p0[2] + v * p1[2] + u * p2[2]
                if z > fragments_out.depth[pixel]:
                    fragments_out.triangle[pixel], fragments_out.depth[pixel] = t, z
                    weights_out[pixel] = w, v, u
    return mesh.triangles.max(initial=0)


@pytest.mark.parametrize(("front", "back"), [(True, True), (True, False), (False, True)])
def test_fragments_are_those_of_the_plain_loops(front: bool, back: bool) -> None:
    assert_draws_as(kernels.rasterize_mesh_face3d, rasterize_mesh_face3d, front, back)
