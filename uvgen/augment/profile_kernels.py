"""Compiled code for face profiling: what a photograph shows of a face, and where it ends.

Kernels allocate nothing, raise nothing and release the interpreter lock. Frames and bundles are described in
`turn_buffers` and `profile_mesh`.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from uvgen.augment.lanes import Lanes, i32, made_by
from uvgen.augment.turn_buffers import (
    CoarsePoints,
    DepthBuffer,
    Placed,
    PointVisibility,
    ShareRule,
    ShareScratch,
    VertexColors,
    View,
)
from uvgen.compiled import inlined, kernel

f4, i8, size_t = np.float32, np.int64, np.uintp
_EDGE = f4(1e-4)  # how far outside a triangle, as a share of it, a pixel still belongs to it: so there are no cracks


@inlined
def _moved(affine, axis, x, y, z):
    return affine[axis, 0] * x + affine[axis, 1] * y + affine[axis, 2] * z + affine[axis, 3]


@kernel
def place(vertices, which, before, after, placed_out: Placed):
    """Vertices (n, 3) float32 through two affine maps (3, 4) float32, and where they lie then.

    which (c,) int32: those that are points of the coarse mesh.
    """
    places, points, depth, bounds = placed_out.places, placed_out.points, placed_out.depth, placed_out.bounds
    coarse, moved = placed_out.coarse, placed_out.moved
    low_x = low_y = to_low_x = to_low_y = f4(np.inf)
    high_x = high_y = to_high_x = to_high_y = f4(-np.inf)
    for i in range(len(vertices)):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        px, py = _moved(before, 0, x, y, z), _moved(before, 1, x, y, z)
        places[2 * i], places[2 * i + 1] = px, py
        low_x, low_y, high_x, high_y = min(low_x, px), min(low_y, py), max(high_x, px), max(high_y, py)
        px, py = _moved(after, 0, x, y, z), _moved(after, 1, x, y, z)
        points[2 * i], points[2 * i + 1] = px, py
        depth[i] = _moved(after, 2, x, y, z)
        to_low_x, to_low_y = min(to_low_x, px), min(to_low_y, py)
        to_high_x, to_high_y = max(to_high_x, px), max(to_high_y, py)
    bounds[0, 0, 0], bounds[0, 0, 1], bounds[0, 1, 0], bounds[0, 1, 1] = low_x, low_y, high_x, high_y
    bounds[1, 0, 0], bounds[1, 0, 1], bounds[1, 1, 0], bounds[1, 1, 1] = to_low_x, to_low_y, to_high_x, to_high_y
    for k in range(len(which)):
        i = size_t(which[k])
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        for axis in range(3):
            coarse[k, axis] = _moved(before, axis, x, y, z)
            moved[k, axis] = _moved(after, axis, x, y, z)


@inlined
def _first(low, n):
    return max(int(np.ceil(max(low, f4(0)) - _EDGE)), 0)


@inlined
def _last(high, n):
    return min(int(np.floor(min(high, f4(n)) + _EDGE)), n - 1)


@intrinsic
def _add_normal(context, points, normals, a, b, c):
    """Add a triangle's normal, as long as twice its area, to those of its corners; returns z of it.

    points, normals: addresses of four numbers per point, the fourth of which is 0; a, b, c: bytes to each corner.
    """

    def body(builder, points, normals, *corners):
        first, second, third = (Lanes.load(builder, builder.add(points, corner), n=4) for corner in corners)
        u, v = second - first, third - first
        normal = u.shuffled(1, 2, 0, 3) * v.shuffled(2, 0, 1, 3) - u.shuffled(2, 0, 1, 3) * v.shuffled(1, 2, 0, 3)
        for corner in corners:
            address = builder.add(normals, corner)
            (Lanes.load(builder, address, n=4) + normal).store(address)
        return builder.extract_element(normal.value, ir.Constant(i32, 2))

    return made_by(body, *[types.int64] * 5, returns=types.float32)


@intrinsic
def _draw_depth(context, depth, stride, first, last, corner, u, v, inverse):
    """Draw a triangle into four columns and two rows of a depth buffer, as far as they lie in its box.

    depth: address of the first of the eight pixels; stride: bytes from row to row; first: column and row of that pixel;
    last: of the box. corner: x, y and z of the first; u, v: both edges; inverse: of twice its area.
    """

    def body(builder, depth, stride, first, last, corner, u, v, inverse):
        (column, row), (last, last_row) = Lanes.each_of(builder, first), Lanes.each_of(builder, last)
        (x0, y0, z0), (ux, uy, uz), (vx, vy, vz) = (Lanes.each_of(builder, each) for each in (corner, u, v))
        inverse = Lanes.of(builder, inverse)
        columns = column + Lanes.listed(builder, 0, 1, 2, 3, 0, 1, 2, 3)
        rows = row + Lanes.listed(builder, 0, 0, 0, 0, 1, 1, 1, 1)
        x, y = columns - x0, rows - y0
        w1, w2 = (x * vy - y * vx) * inverse, (ux * y - uy * x) * inverse
        inside = (columns <= last) & (rows <= last_row)
        inside = inside & (w1 >= -_EDGE) & (w2 >= -_EDGE) & (w1 + w2 <= f4(1) + _EDGE)
        below = builder.add(depth, stride)
        upper, lower = (Lanes.load(builder, address, n=4) for address in (depth, below))
        here, z = upper.beside(lower), z0 + w1 * uz + w2 * vz
        drawn = (inside & (z > here)).choose(z, here)
        drawn.shuffled(0, 1, 2, 3).store(depth)
        drawn.shuffled(4, 5, 6, 7).store(below)

    place, point = types.UniTuple(types.float32, 2), types.UniTuple(types.float32, 3)
    return made_by(body, types.int64, types.int64, place, place, point, point, point, types.float32)


@kernel
def look(points, triangles, view: View, normals_out, depth_out):
    """Sums of normals at each point, and the nearest z of the mesh's front, (h, w) float32.

    points, normals_out (n, 4) float32: x, y, z and 0; triangles (3 m,) uint32; depth_out: see `DepthBuffer`.
    """
    scale, left, top, margin = view.scale, view.left, view.top, view.reach
    one, two, three, size = size_t(1), size_t(2), size_t(3), i8(16)
    height, width = depth_out.shape[0] - 2 * margin, depth_out.shape[1] - 2 * margin
    normals_out[:] = f4(0)
    depth_out[:] = f4(np.inf)
    depth_out[margin : margin + height, margin : margin + width] = f4(-np.inf)
    point, normal, stride = i8(points.ctypes.data), i8(normals_out.ctypes.data), i8(depth_out.strides[0])
    pixel = i8(depth_out.ctypes.data) + margin * stride + 4 * margin
    for t in range(size_t(len(triangles)) // three):
        a, b = size_t(triangles[three * t]), size_t(triangles[three * t + one])
        c = size_t(triangles[three * t + two])
        if not _add_normal(point, normal, size * i8(a), size * i8(b), size * i8(c)) > f4(0):
            continue
        x0, y0, z0 = points[a, 0], points[a, 1], points[a, 2]
        ux, uy, uz = points[b, 0] - x0, points[b, 1] - y0, points[b, 2] - z0
        vx, vy, vz = points[c, 0] - x0, points[c, 1] - y0, points[c, 2] - z0
        x0, y0 = (x0 - left) * scale, (y0 - top) * scale
        ux, uy, vx, vy = ux * scale, uy * scale, vx * scale, vy * scale
        first = _first(x0 + min(f4(0), min(ux, vx)), width)
        last = _last(x0 + max(f4(0), max(ux, vx)), width)
        first_row = _first(y0 + min(f4(0), min(uy, vy)), height)
        last_row = _last(y0 + max(f4(0), max(uy, vy)), height)
        inverse = f4(1) / (ux * vy - uy * vx)
        for row in range(first_row, last_row + 1, 2):
            for column in range(first, last + 1, 4):
                _draw_depth(
                    pixel + row * stride + 4 * column, stride, (f4(column), f4(row)), (f4(last), f4(last_row)),
                    (x0, y0, z0), (ux, uy, uz), (vx, vy, vz), inverse,
                )  # fmt: skip


@kernel
def inner(depth, reach, step, inner_out):
    """How far each pixel of a depth buffer lies from where its surface ends: 0 on the edge, 1 from `reach` pixels on.

    Of 16 pixels on circles of `reach` and half of that around it, the share that is not `step` or more behind it.
    depth (h + 2 reach, w + 2 reach): as `look` leaves it, with a margin of `reach`; inner_out (h, w) float32. Straight
    loops, which LLVM turns into vector instructions.
    """
    height, width = inner_out.shape
    for row in range(height):
        shares, here = inner_out[row], depth[row + reach, reach:]
        shares[:] = f4(0)
        for k in range(16):
            far = reach if k < 8 else (reach + 1) // 2
            near = (far * 7 + 5) // 10
            if k % 8 < 4:  # along the axes, else across
                dx, dy = (far, 0) if k % 4 < 2 else (0, far)
            else:
                dx, dy = (near, near) if k % 4 < 2 else (near, -near)
            if k % 2:
                dx, dy = -dx, -dy
            there = depth[row + reach + dy, reach + dx :]
            for column in range(width):
                shares[column] += f4(1) / f4(16) if there[column] >= here[column] - step else f4(0)
        for column in range(width):
            shares[column] = shares[column] if here[column] > f4(-np.inf) else f4(0)


@kernel
def see(points, normals, buffer: DepthBuffer, view: View, seen_out, quality_out):
    """How well a photograph shows each point, two numbers from 0 to 1, (n,) float32.

    seen_out: z of its unit normal; 0 where it is turned away, hidden or outside the photograph. quality_out: the same,
    less along the edges of what hides other parts. normals: as `look` leaves them.
    """
    depth, inner, margin = buffer.depth, buffer.inner, view.reach
    scale, left, top, tolerance = view.scale, view.left, view.top, view.tolerance
    right, bottom = view.width - f4(0.5), view.height - f4(0.5)
    height, width = inner.shape
    for i in range(len(points)):
        seen_out[i] = quality_out[i] = f4(0)
        x, y = points[i, 0], points[i, 1]
        inside = (x >= f4(-0.5)) & (y >= f4(-0.5)) & (x <= right) & (y <= bottom)
        if not inside or not normals[i, 2] > f4(0):
            continue
        x, y = (x - left) * scale, (y - top) * scale
        column, row = int(np.floor(x)), int(np.floor(y))
        nearest, among = f4(np.inf), f4(0)
        for r in range(max(row, 0), min(row + 2, height)):
            for c in range(max(column, 0), min(column + 2, width)):
                z = depth[r + margin, c + margin]
                if z > f4(-np.inf):
                    nearest = min(nearest, z)
                among += inner[r, c] * (f4(1) - abs(x - f4(c))) * (f4(1) - abs(y - f4(r)))
        behind = f4(0) if nearest == f4(np.inf) else (nearest - points[i, 2]) / tolerance
        shown = min(max(f4(2) - behind, f4(0)), f4(1))
        nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
        seen_out[i] = shown * nz / np.sqrt(nx * nx + ny * ny + nz * nz)
        quality_out[i] = seen_out[i] * among


@kernel
def show(points, triangles, view: View, buffer: DepthBuffer, shown_out: PointVisibility):
    """What a photograph shows of a mesh: `look`, `inner` and `see`, one after the other. Scratch: buffer.

    points (c, 4) float32, triangles (3 m,) uint32.
    """
    look(points, triangles, view, shown_out.normals, buffer.depth)
    inner(buffer.depth, view.reach, view.step, buffer.inner)
    see(points, shown_out.normals, buffer, view, shown_out.seen, shown_out.quality)


@inlined
def _ramp(value):
    """0 below 0, 1 above 1, smooth between."""
    value = min(max(value, f4(0)), f4(1))
    return value * value * (f4(3) - f4(2) * value)


@kernel
def compare(looked: CoarsePoints, mirror, share_out):
    """How much of each point's color to take from its mirror point: where it is seen badly, and that is seen better.

    And where the turn shows more of it: what stays edge on keeps its own color. mirror (c,) int32; share_out (c,).
    """
    quality, normals, toward = looked.quality, looked.normals, looked.toward
    for i in range(len(quality)):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        more = toward[0] * x + toward[1] * y + toward[2] * z - z
        length = np.sqrt(x * x + y * y + z * z)
        shown = _ramp(more / (length * f4(0.15))) if length > f4(0) else f4(1)
        own, other = quality[i], quality[mirror[i]]
        share_out[i] = shown * _ramp((f4(0.5) - own) / f4(0.35)) * _ramp((other - own - f4(0.2)) / f4(0.2))


@kernel
def smooth(triangles, sums, counts, values_out):
    """Each point's value becomes the mean over the corners of its triangles, in place. Scratch: sums, counts (n,)."""
    sums[:] = f4(0)
    counts[:] = f4(0)
    for t in range(len(triangles)):
        a, b, c = size_t(triangles[t, 0]), size_t(triangles[t, 1]), size_t(triangles[t, 2])
        total = values_out[a] + values_out[b] + values_out[c]
        for corner in (a, b, c):
            counts[corner] += f4(3)
        if total != f4(0):  # few triangles have one
            for corner in (a, b, c):
                sums[corner] += total
    for i in range(len(values_out)):
        if counts[i] > f4(0):
            values_out[i] = sums[i] / counts[i]


@kernel
def withdraw(normals, graph, most, values_out):
    """How far inside the outline to look for a point's color: values_out[:, 1:3] (n, 2), px, `most` on the outline.

    Where a surface is seen edge on, half of a pixel is what is behind it: so it is where one neighbor looks at the
    viewer and another away. normals (n, 4): as `look` leaves them; graph: a `PointGraph`.
    """
    starts, neighbors = graph.starts, graph.neighbors
    for i in range(len(normals)):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        across = np.sqrt(x * x + y * y)
        length = np.sqrt(across * across + z * z)
        toward, both = z > f4(0), False
        for k in range(size_t(starts[i]), size_t(starts[i + 1])):
            both |= (normals[size_t(neighbors[k]), 2] > f4(0)) != toward
        grazing = _ramp((f4(0.2) - abs(z) / length) / f4(0.15)) * most if length > f4(0) else f4(0)
        grazing = most if both else grazing
        share = grazing / across if across > f4(0) else f4(0)
        values_out[i, 1], values_out[i, 2] = -share * x, -share * y


@kernel
def weigh(looked: CoarsePoints, mirror, triangles, graph, rule: ShareRule, scratch: ShareScratch, values_out):
    """Share and pull of each coarse point, values_out (c, 4): `compare`, smoothed so many times, and `withdraw`.

    mirror (c,) int32, or (0,): then the share is 1 where no more than `rule.least` is seen, else 0; triangles (m, 3)
    int32, graph: of the coarse mesh.
    """
    seen, share = looked.seen, scratch.share
    if len(mirror) == 0:
        for i in range(len(seen)):
            share[i] = f4(1) if seen[i] <= rule.least else f4(0)
    else:
        compare(looked, mirror, share)
        for _ in range(rule.times):
            smooth(triangles, scratch.sums, scratch.counts, share)
    for i in range(len(share)):
        values_out[i, 0] = share[i]
    withdraw(looked.normals, graph, rule.most, values_out)


@kernel
def spread(values, fills, between, toward, least, some, colors_out: VertexColors, places_out):
    """Weighted means of four points each of the coarse mesh, for each vertex.

    values (4 c,) float32: share and pull of each point, x and y, and nothing; fills (4 c,): as `blend_colors` leaves
    them; between: a `Between`; scratch: some (t,) bool. Vertices are mixed where the share or that of filled color is
    more than `least`; there alone, colors are filled. Pulls are added to places_out (2 n,). Neither pulls nor filled
    colors where a vertex's own normal looks toward the viewer, (3,) in the model frame: labels are exact in its
    surroundings.
    """
    points, texels, weights, normals = between.points, between.texels, between.weights, between.normals
    share_out, fills_out, mixed_out = colors_out.share, colors_out.fills, colors_out.mixed
    one, two, three, four = size_t(1), size_t(2), size_t(3), size_t(4)
    for texel in range(size_t(len(points)) // four):
        found = False
        for corner in range(four * texel, four * texel + four):
            at = four * size_t(points[corner])
            found |= (values[at] != 0) | (values[at + one] != 0) | (values[at + two] != 0) | (fills[at] != 0)
        some[texel] = found
    share_out[:] = f4(0)
    mixed_out[:] = False
    for i in range(size_t(len(texels))):
        texel, n, w = four * size_t(texels[i]), three * i, four * i
        if not some[texel // four]:  # most vertices
            continue
        a, b = four * size_t(points[texel]), four * size_t(points[texel + one])
        c, d = four * size_t(points[texel + two]), four * size_t(points[texel + three])
        p, q, r, s = weights[w], weights[w + one], weights[w + two], weights[w + three]
        facing = toward[0] * normals[n] + toward[1] * normals[n + one] + toward[2] * normals[n + two]
        aside = _ramp((f4(0.4) - facing) / f4(0.1))
        share = p * values[a] + q * values[b] + r * values[c] + s * values[d]
        x = p * values[a + one] + q * values[b + one] + r * values[c + one] + s * values[d + one]
        y = p * values[a + two] + q * values[b + two] + r * values[c + two] + s * values[d + two]
        filled = (p * fills[a] + q * fills[b] + r * fills[c] + s * fills[d]) * aside > least
        share_out[i], mixed_out[i] = share, (share > least) | filled
        places_out[two * i] += aside * x
        places_out[two * i + one] += aside * y
        if not mixed_out[i]:
            continue
        for k in range(size_t(4)):
            color = p * aside * fills[a + k] + q * aside * fills[b + k]
            color += r * aside * fills[c + k] + s * aside * fills[d + k]
            fills_out[four * i + k] = color if filled else f4(0)
