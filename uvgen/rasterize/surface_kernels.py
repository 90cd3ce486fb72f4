"""Compiled code for what lies on a mesh: attributes and textures at pixels, normals, visibility of vertices.

Like all kernels: contiguous inputs, `*_out` buffers, no allocation, no exception. Indices that come from the
caller are checked here, each after a single read, because another thread may change the arrays meanwhile;
if one is out of range the kernel leaves the background and returns True.
"""

import numpy as np

from uvgen.compiled import inlined, kernel

BLOCK = 512  # triangles at a time in `sum_face_normals`

f4, f8, i4, u4, size_t = np.float32, np.float64, np.int32, np.uint32, np.uintp
PI, HALF_PI = f4(np.pi), f4(np.pi / 2)


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
    n = len(attributes) // max(channels, 1)
    m = len(triangles) // 3
    step = size_t(channels)
    broken = False
    for p in range(len(triangle)):
        t = triangle[p]
        if t < 0:
            continue
        i0 = i1 = i2 = u4(0xFFFFFFFF)  # beyond any array
        if t < m:
            i0 = triangles[size_t(3) * size_t(t)]
            i1 = triangles[size_t(3) * size_t(t) + size_t(1)]
            i2 = triangles[size_t(3) * size_t(t) + size_t(2)]
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
            image_out[pixel + size_t(1)] = _mix(
                attributes[a + size_t(1)], attributes[b + size_t(1)], attributes[d + size_t(1)], w1, w2
            )
            image_out[pixel + size_t(2)] = _mix(
                attributes[a + size_t(2)], attributes[b + size_t(2)], attributes[d + size_t(2)], w1, w2
            )
        else:
            for c in range(step):
                image_out[pixel + c] = _mix(attributes[a + c], attributes[b + c], attributes[d + c], w1, w2)
    return broken


@inlined
def _clip(value, high):
    """`value` cut to [0, high]; 0 for NaN."""
    return min(value, high) if value > 0 else f4(0)


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
            column = size_t(min(i4(x), i4(max(width - 2, 0))))
            row = size_t(min(i4(y), i4(max(height - 2, 0))))
            right = column + size_t(1 if width > 1 else 0)
            below = row + size_t(1 if height > 1 else 0)
            fx = x - f4(column)
            fy = y - f4(row)
            for c in range(channels):
                upper = image[row, column, c] + fx * (image[row, right, c] - image[row, column, c])
                lower = image[below, column, c] + fx * (image[below, right, c] - image[below, column, c])
                samples_out[p, c] = upper + fy * (lower - upper)
        else:
            column = size_t(i4(x + f4(0.5)))
            row = size_t(i4(y + f4(0.5)))
            for c in range(channels):
                samples_out[p, c] = image[row, column, c]


@inlined
def _angle(sine, cosine):
    """Angle in [0, pi] of a multiple (sine >= 0, cosine), to 2e-7.

    The polynomial is a Chebyshev fit of atan(sqrt(x)) / sqrt(x) on [0, 1], of our own.
    """
    other = abs(cosine)
    t = min(sine, other) / max(sine, other)
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
    return PI - angle if cosine < f4(0) else angle


@kernel
def _face_terms(
    xy0, xy1, xy2, z0, z1, z2, count, normal_x_out, normal_y_out, normal_z_out, angle0_out, angle1_out, angle2_out
):
    """Unit normals and the three angles of a block of triangles; zeros for those without a normal."""
    for k in range(count):
        ux = xy1[2 * k] - xy0[2 * k]
        uy = xy1[2 * k + 1] - xy0[2 * k + 1]
        uz = z1[k] - z0[k]
        vx = xy2[2 * k] - xy0[2 * k]
        vy = xy2[2 * k + 1] - xy0[2 * k + 1]
        vz = z2[k] - z0[k]
        nx = uy * vz - uz * vy
        ny = uz * vx - ux * vz
        nz = ux * vy - uy * vx
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        good = (length > f4(0)) & (length < f4(np.inf))
        scale = f4(1) / length
        uv = ux * vx + uy * vy + uz * vz
        angle0 = _angle(length, uv)
        angle1 = _angle(length, ux * ux + uy * uy + uz * uz - uv)
        normal_x_out[k] = nx * scale if good else f4(0)
        normal_y_out[k] = ny * scale if good else f4(0)
        normal_z_out[k] = nz * scale if good else f4(0)
        angle0_out[k] = angle0 if good else f4(0)
        angle1_out[k] = angle1 if good else f4(0)
        angle2_out[k] = max(PI - angle0 - angle1, f4(0)) if good else f4(0)


@kernel
def _cut_indices(triangles, last, indices_out):
    """Copy a block's indices, cut to `last`; return the largest."""
    worst = u4(0)
    for j in range(len(triangles)):
        index = triangles[j]
        worst = max(worst, index)
        indices_out[j] = min(index, last)
    return worst


@kernel
def _load_faces(xy, vertices, indices, count, word0_out, word1_out, word2_out, z0_out, z1_out, z2_out):
    """Copy the corners of a block of triangles."""
    for k in range(count):
        i0 = size_t(indices[3 * k])
        i1 = size_t(indices[3 * k + 1])
        i2 = size_t(indices[3 * k + 2])
        word0_out[k] = xy[i0]
        word1_out[k] = xy[i1]
        word2_out[k] = xy[i2]
        z0_out[k] = vertices[size_t(3) * i0 + size_t(2)]
        z1_out[k] = vertices[size_t(3) * i1 + size_t(2)]
        z2_out[k] = vertices[size_t(3) * i2 + size_t(2)]


@inlined
def _add(at, weight, x, y, z, sums_out):
    """Add a weighted vector at a place of flat triples."""
    sums_out[at] += weight * x
    sums_out[at + size_t(1)] += weight * y
    sums_out[at + size_t(2)] += weight * z


@kernel
def _add_terms(indices, count, nx, ny, nz, angle0, angle1, angle2, normals_out):
    """Add each face's normal, times the angle, at its three corners."""
    for k in range(count):
        x = nx[k]
        y = ny[k]
        z = nz[k]
        _add(size_t(3) * size_t(indices[3 * k]), angle0[k], x, y, z, normals_out)
        _add(size_t(3) * size_t(indices[3 * k + 1]), angle1[k], x, y, z, normals_out)
        _add(size_t(3) * size_t(indices[3 * k + 2]), angle2[k], x, y, z, normals_out)


@kernel
def _add_faces(xy, vertices, indices, count, words, word_floats, floats, normals_out):
    """Add the normals of a block of triangles at their corners; scratch as for `sum_face_normals`."""
    _load_faces(
        xy, vertices, indices, count, words[0], words[1], words[2], floats[0], floats[1], floats[2],
    )  # fmt: skip
    _face_terms(
        word_floats[0], word_floats[1], word_floats[2], floats[0], floats[1], floats[2], count,
        floats[3], floats[4], floats[5], floats[6], floats[7], floats[8],
    )  # fmt: skip
    _add_terms(indices, count, floats[3], floats[4], floats[5], floats[6], floats[7], floats[8], normals_out)


@kernel
def _normalize(vectors_out):
    """Scale vectors (3 n,) to length 1 in place; zero vectors stay."""
    for i in range(len(vectors_out) // 3):
        x = vectors_out[3 * i]
        y = vectors_out[3 * i + 1]
        z = vectors_out[3 * i + 2]
        length = np.sqrt(x * x + y * y + z * z)
        scale = f4(1) / length if length > f4(0) else f4(0)
        vectors_out[3 * i] = x * scale
        vectors_out[3 * i + 1] = y * scale
        vectors_out[3 * i + 2] = z * scale


@kernel
def sum_face_normals(xy, vertices, triangles, words, word_floats, floats, indices, normals_out):
    """Angle-weighted unit normals of vertices; return the largest index in `triangles`.

    xy (n,) int64, x and y of each vertex as one word; vertices (3 n,) float32; triangles (3 m,) uint32.
    Scratch: words (3, BLOCK) int64, the same memory as word_floats (3, 2 BLOCK) float32, floats (9, BLOCK)
    float32, indices (3 BLOCK,) uint32. normals_out (3 n,) float32.
    """
    normals_out[:] = 0
    last = u4(len(xy) - 1)
    worst = u4(0)
    n_triangles = len(triangles) // 3
    for first in range(0, n_triangles, BLOCK):
        count = min(BLOCK, n_triangles - first)
        worst = max(worst, _cut_indices(triangles[3 * first : 3 * (first + count)], last, indices))
        _add_faces(xy, vertices, indices, count, words, word_floats, floats, normals_out)
    _normalize(normals_out)
    return worst


@kernel
def sum_shown_normals(triangle, xy, vertices, triangles, shown, words, word_floats, floats, indices, normals_out):
    """What `sum_face_normals` gives at the corners of the triangles that fragments show; elsewhere, anything.

    triangle (p,) int32, -1 where there is none, in range; shown (n,) uint8, scratch. Faces that touch no such corner
    are left out, and the others are summed in the same order.
    """
    normals_out[:] = 0
    shown[:] = 0
    one, two, three = size_t(1), size_t(2), size_t(3)
    for p in range(size_t(len(triangle))):
        if triangle[p] >= 0:
            t = three * size_t(triangle[p])
            shown[size_t(triangles[t])] = shown[size_t(triangles[t + one])] = shown[size_t(triangles[t + two])] = 1
    count, last = size_t(0), u4(len(xy) - 1)
    n = size_t(len(triangles))
    for t in range(size_t(0), n, three):
        i, j, k = triangles[t], triangles[t + one], triangles[t + two]
        at = three * count
        indices[at], indices[at + one], indices[at + two] = min(i, last), min(j, last), min(k, last)
        count += size_t(shown[size_t(i)] | shown[size_t(j)] | shown[size_t(k)])
        if (count < size_t(BLOCK)) & (t + three < n):
            continue
        # as in `sum_face_normals`: with other types, all that is called would be compiled again
        _add_faces(xy, vertices, indices, np.int64(count), words, word_floats, floats, normals_out)
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
        if z != z or not ((x >= f4(-0.5)) & (y >= f4(-0.5)) & (x <= f4(width) - f4(0.5)) & (y <= f4(height) - f4(0.5))):
            continue
        column = i4(np.floor(x))
        row = i4(np.floor(y))
        farthest = f4(np.inf)
        for r in range(max(row, 0), min(row + 2, height)):
            for c in range(max(column, 0), min(column + 2, width)):
                if depth[r, c] > -np.inf:
                    farthest = min(farthest, depth[r, c])
        visible_out[i] = farthest == np.inf or z >= farthest - tolerance
