"""Compiled code for what lies on a mesh: attributes and textures at pixels, normals, visibility of vertices.

Like all kernels: contiguous inputs, `*_out` buffers, no allocation, no exception. Indices that come from the
caller are checked here, each after a single read, because another thread may change the arrays meanwhile;
if one is out of range the kernel leaves the background and returns True.
"""

import numpy as np

from uvgen.compiled import inlined, kernel, larger, smaller
from uvgen.rasterize.buffers import BLOCK, SECOND, THIRD, FaceMemory, MeshArrays

f4, i4, u4, size_t = np.float32, np.int32, np.uint32, np.uintp
ONE, TWO, THREE = size_t(1), size_t(2), size_t(3)  # unsigned: of signed indices numba asks whether they are negative
PI, HALF_PI, INFINITE = f4(np.pi), f4(np.pi / 2), f4(np.inf)
F0, F1, HALF = f4(0), f4(1), f4(0.5)  # a number that is called for takes longer to compile


@inlined
def _mix(a, b, c, wb, wc):
    """Weighted mean of three values whose weights sum to 1; of three equal values, exactly that value."""
    return a + wb * (b - a) + wc * (c - a)


@kernel
def interpolate(triangle, weights, triangles, attributes, channels, image_out):
    """Attributes at the pixels of fragments. True if an index was out of range.

    triangle (p,) int32; weights (3 p,) float32; triangles (3 m,) uint32; attributes (n c,) float32;
    image_out (p c,) float32, filled with the background.
    """
    n = len(attributes) // larger(channels, 1)
    m = len(triangles) // 3
    step = size_t(channels)
    broken = False
    for p in range(len(triangle)):
        t = triangle[p]
        if t < 0:
            continue
        i0 = i1 = i2 = u4(0xFFFFFFFF)  # beyond any array
        if t < m:
            i0 = triangles[THREE * size_t(t)]
            i1 = triangles[THREE * size_t(t) + ONE]
            i2 = triangles[THREE * size_t(t) + TWO]
        if (i0 >= n) | (i1 >= n) | (i2 >= n):
            broken = True
            continue
        w1 = weights[3 * p + 1]
        w2 = weights[3 * p + 2]
        a = size_t(i0) * step
        b = size_t(i1) * step
        d = size_t(i2) * step
        pixel = size_t(p) * step
        if channels == 3:  # without a loop, for the commonest case
            image_out[pixel] = _mix(attributes[a], attributes[b], attributes[d], w1, w2)
            image_out[pixel + ONE] = _mix(attributes[a + ONE], attributes[b + ONE], attributes[d + ONE], w1, w2)
            image_out[pixel + TWO] = _mix(attributes[a + TWO], attributes[b + TWO], attributes[d + TWO], w1, w2)
        else:
            for c in range(step):
                image_out[pixel + c] = _mix(attributes[a + c], attributes[b + c], attributes[d + c], w1, w2)
    return broken


@inlined
def _clip(value, high):
    """`value` cut to [0, high]; 0 for NaN."""
    return smaller(value, high) if value > 0 else F0


@kernel
def sample(points, valid, image, bilinear, background, samples_out):
    """Image values at points (x, y), cut to the image's border; the background if `valid` is False.

    points (p, k >= 2) float32; valid (p,) bool; image (h, w, c) float32; background (c,) float32;
    samples_out (p, c) float32.
    """
    height, width, channels = image.shape
    for p in range(len(points)):
        if not valid[p]:
            for c in range(channels):
                samples_out[p, c] = background[c]
            continue
        x = _clip(points[p, 0], f4(width - 1))
        y = _clip(points[p, 1], f4(height - 1))
        if bilinear:
            column = size_t(smaller(i4(x), i4(larger(width - 2, 0))))
            row = size_t(smaller(i4(y), i4(larger(height - 2, 0))))
            right = column + size_t(1 if width > 1 else 0)
            below = row + size_t(1 if height > 1 else 0)
            fx = x - f4(column)
            fy = y - f4(row)
            for c in range(channels):
                upper = image[row, column, c] + fx * (image[row, right, c] - image[row, column, c])
                lower = image[below, column, c] + fx * (image[below, right, c] - image[below, column, c])
                samples_out[p, c] = upper + fy * (lower - upper)
        else:
            column = size_t(i4(x + HALF))
            row = size_t(i4(y + HALF))
            for c in range(channels):
                samples_out[p, c] = image[row, column, c]


@inlined
def _angle(sine, cosine):
    """Angle in [0, pi] of a multiple (sine >= 0, cosine), to 2e-7.

    The polynomial is a Chebyshev fit of atan(sqrt(x)) / sqrt(x) on [0, 1], of our own.
    """
    other = abs(cosine)
    t = smaller(sine, other) / larger(sine, other)
    x = t * t
    series = f4(-0.004668829) * x + f4(0.024166475)
    series = series * x + f4(-0.059367644)
    series = series * x + f4(0.09906147)
    series = series * x + f4(-0.14016609)
    series = series * x + f4(0.19969241)
    series = series * x + f4(-0.3333196)
    series = series * x + f4(0.9999999)
    angle = series * t
    angle = HALF_PI - angle if sine > other else angle
    return PI - angle if cosine < F0 else angle


@kernel
def _face_terms(count, memory_out):
    """Unit normals and the three angles of a block of triangles; zeros for those without a normal."""
    xy, z, normals, angles = memory_out.corners, memory_out.depths, memory_out.normals, memory_out.angles
    for k in range(size_t(count)):
        at = TWO * k
        x0 = xy[at]
        y0 = xy[at + ONE]
        z0 = z[k]
        ux = xy[at + TWO * SECOND] - x0
        uy = xy[at + TWO * SECOND + ONE] - y0
        uz = z[k + SECOND] - z0
        vx = xy[at + TWO * THIRD] - x0
        vy = xy[at + TWO * THIRD + ONE] - y0
        vz = z[k + THIRD] - z0
        nx = uy * vz - uz * vy
        ny = uz * vx - ux * vz
        nz = ux * vy - uy * vx
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        good = (length > F0) & (length < INFINITE)
        scale = F1 / length
        uv = ux * vx + uy * vy + uz * vz
        angle0 = _angle(length, uv)
        angle1 = _angle(length, ux * ux + uy * uy + uz * uz - uv)
        normals[k] = nx * scale if good else F0
        normals[k + SECOND] = ny * scale if good else F0
        normals[k + THIRD] = nz * scale if good else F0
        angles[k] = angle0 if good else F0
        angles[k + SECOND] = angle1 if good else F0
        angles[k + THIRD] = larger(PI - angle0 - angle1, F0) if good else F0


@kernel
def _cut_indices(triangles, last, indices_out):
    """Copy a block's indices, cut to `last`; return the largest."""
    worst = u4(0)
    for j in range(len(triangles)):
        index = triangles[j]
        worst = larger(worst, index)
        indices_out[j] = smaller(index, last)
    return worst


@kernel
def _load_faces(mesh, count, memory_out):
    """Copy the corners of a block of triangles, whose indices are there."""
    xy, vertices, indices, words, depths = (
        mesh.xy,
        mesh.vertices,
        memory_out.indices,
        memory_out.words,
        memory_out.depths,
    )
    for k in range(size_t(count)):
        i0 = size_t(indices[THREE * k])
        i1 = size_t(indices[THREE * k + ONE])
        i2 = size_t(indices[THREE * k + TWO])
        words[k] = xy[i0]
        words[k + SECOND] = xy[i1]
        words[k + THIRD] = xy[i2]
        depths[k] = vertices[THREE * i0 + TWO]
        depths[k + SECOND] = vertices[THREE * i1 + TWO]
        depths[k + THIRD] = vertices[THREE * i2 + TWO]


@inlined
def _add(at, weight, x, y, z, sums_out):
    """Add a weighted vector at a place of flat triples."""
    sums_out[at] += weight * x
    sums_out[at + ONE] += weight * y
    sums_out[at + TWO] += weight * z


@kernel
def _add_terms(count, memory, normals_out):
    """Add each face's normal, times the angle, at its three corners."""
    indices, normals, angles = memory.indices, memory.normals, memory.angles
    for k in range(size_t(count)):
        x = normals[k]
        y = normals[k + SECOND]
        z = normals[k + THIRD]
        _add(THREE * size_t(indices[THREE * k]), angles[k], x, y, z, normals_out)
        _add(THREE * size_t(indices[THREE * k + ONE]), angles[k + SECOND], x, y, z, normals_out)
        _add(THREE * size_t(indices[THREE * k + TWO]), angles[k + THIRD], x, y, z, normals_out)


@kernel
def _add_faces(mesh, count, memory, normals_out):
    """Add the normals of a block of triangles at their corners."""
    _load_faces(mesh, count, memory)
    _face_terms(count, memory)
    _add_terms(count, memory, normals_out)


@kernel
def _normalize(vectors_out):
    """Scale vectors (3 n,) to length 1 in place; zero vectors stay."""
    for i in range(len(vectors_out) // 3):
        x = vectors_out[3 * i]
        y = vectors_out[3 * i + 1]
        z = vectors_out[3 * i + 2]
        length = np.sqrt(x * x + y * y + z * z)
        scale = F1 / length if length > F0 else F0
        vectors_out[3 * i] = x * scale
        vectors_out[3 * i + 1] = y * scale
        vectors_out[3 * i + 2] = z * scale


@kernel
def sum_face_normals(mesh: MeshArrays, memory: FaceMemory, normals_out):
    """Angle-weighted unit normals of vertices; return the largest index in the triangles.

    memory: scratch, with nothing in it that counts; normals_out (3 n,) float32.
    """
    normals_out[:] = 0
    last = u4(len(mesh.xy) - 1)
    worst = u4(0)
    n_triangles = len(mesh.triangles) // 3
    for first in range(0, n_triangles, BLOCK):
        count = smaller(BLOCK, n_triangles - first)
        worst = larger(worst, _cut_indices(mesh.triangles[3 * first : 3 * (first + count)], last, memory.indices))
        _add_faces(mesh, count, memory, normals_out)
    _normalize(normals_out)
    return worst


@kernel
def sum_shown_normals(triangle, mesh: MeshArrays, shown, memory: FaceMemory, normals_out):
    """What `sum_face_normals` gives at the corners of the triangles that fragments show; elsewhere, anything.

    triangle (p,) int32, -1 where there is none, in range; shown (n,) uint8, scratch. Faces that touch no such corner
    are left out, and the others are summed in the same order.
    """
    triangles, indices = mesh.triangles, memory.indices
    normals_out[:] = 0
    shown[:] = 0
    for p in range(size_t(len(triangle))):
        if triangle[p] >= 0:
            t = THREE * size_t(triangle[p])
            shown[size_t(triangles[t])] = shown[size_t(triangles[t + ONE])] = shown[size_t(triangles[t + TWO])] = 1
    count, last = size_t(0), u4(len(mesh.xy) - 1)
    n = size_t(len(triangles))
    for t in range(size_t(0), n, THREE):
        i, j, k = triangles[t], triangles[t + ONE], triangles[t + TWO]
        at = THREE * count
        indices[at], indices[at + ONE], indices[at + TWO] = smaller(i, last), smaller(j, last), smaller(k, last)
        count += size_t(shown[size_t(i)] | shown[size_t(j)] | shown[size_t(k)])
        if (count < size_t(BLOCK)) & (t + THREE < n):
            continue
        # as in `sum_face_normals`: with other types, all that is called would be compiled again
        _add_faces(mesh, np.int64(count), memory, normals_out)
        count = size_t(0)
    _normalize(normals_out)


@kernel
def see_points(points, depth, tolerance, visible_out):
    """Which points are not behind a depth buffer: points (3 n,) float32; depth (h, w) float32; (n,) bool out.

    A point is compared with the farthest of the up to four covered pixel centers around it, so that the slope
    of the surface it lies on does not hide it.
    """
    height, width = depth.shape
    for i in range(len(points) // 3):
        x = points[3 * i]
        y = points[3 * i + 1]
        z = points[3 * i + 2]
        visible_out[i] = False
        if z != z or not ((x >= -HALF) & (y >= -HALF) & (x <= f4(width) - HALF) & (y <= f4(height) - HALF)):
            continue
        column = i4(np.floor(x))
        row = i4(np.floor(y))
        farthest = INFINITE
        for r in range(larger(row, 0), smaller(row + 2, height)):
            for c in range(larger(column, 0), smaller(column + 2, width)):
                if depth[r, c] > -np.inf:
                    farthest = smaller(farthest, depth[r, c])
        visible_out[i] = farthest == np.inf or z >= farthest - tolerance
