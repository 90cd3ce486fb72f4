"""Compiled code for face profiling: drawing a turned face and what is around it, with a photograph's colors.

Kernels allocate nothing, raise nothing and release the interpreter lock. Points are (n, 3) float32 in the frame of a
picture (pixel centers at integers, y down, larger z nearer), triangles (m, 3) int32, clockwise as seen from outside.
A window is part of a picture; where it begins, (left, top), is taken off the points first.
"""

import numpy as np

from uvgen.compiled import inlined, kernel

f4, u8, size_t = np.float32, np.uint64, np.uintp
_EDGE = f4(1e-4)  # how far outside a triangle, as a share of it, a pixel still belongs to it: so there are no cracks
_LARGEST = f4(1e12)  # px²: triangles that are larger draw nothing, nor does one with NaN


@inlined
def _first(low, n):
    return max(int(np.ceil(max(low, f4(0)) - _EDGE)), 0)


@inlined
def _last(high, n):
    return min(int(np.floor(min(high, f4(n)) + _EDGE)), n - 1)


@inlined
def _bound(low, high, slope, inverse, value):
    """Where on a row low <= x <= high and value + slope x >= -_EDGE hold: the two limits of x, from the two given."""
    at = -(value + _EDGE) * inverse
    if slope > f4(0):
        return max(low, at), high
    if slope < f4(0):
        return low, min(high, at)
    return (low, high) if value >= -_EDGE else (high + f4(1), high)


@kernel
def draw(points, places, triangles, mixed, left, top, x_out, y_out, depth_out, triangle_out):
    """Draw the front of a mesh into a window: for each pixel where in the photograph its color is.

    points (3 n,): where the vertices are now; places (3 n,): where they are in the photograph; triangles (3 m,) uint32;
    mixed (n,) bool: vertices with a share of their mirror vertex's color; x_out, y_out, depth_out (h, w) float32, the
    last -inf where there is nothing; triangle_out (h, w) int32: which one, for triangles with such a vertex, else -1.
    Several meshes can be drawn one after the other; what is in front hides.
    """
    height, width = x_out.shape
    one, two, three = size_t(1), size_t(2), size_t(3)
    for t in range(size_t(len(triangles)) // three):
        i, j, k = size_t(triangles[three * t]), size_t(triangles[three * t + one]), size_t(triangles[three * t + two])
        a, b, c = three * i, three * j, three * k
        x0, y0 = points[a], points[a + one]
        ux, uy, vx, vy = points[b] - x0, points[b + one] - y0, points[c] - x0, points[c + one] - y0
        area = ux * vy - uy * vx
        x0, y0 = x0 - left, y0 - top
        first = _first(x0 + min(f4(0), min(ux, vx)), width)
        last = _last(x0 + max(f4(0), max(ux, vx)), width)
        first_row = _first(y0 + min(f4(0), min(uy, vy)), height)
        last_row = _last(y0 + max(f4(0), max(uy, vy)), height)
        inside = (first <= last) & (first_row <= last_row)
        if not (inside & (area > f4(0)) & (area < _LARGEST)):  # one branch: half of all triangles look away
            continue
        inverse = f4(1) / area
        ux, uy, vx, vy = ux * inverse, uy * inverse, vx * inverse, vy * inverse
        z0 = points[a + two]
        uz, vz = points[b + two] - z0, points[c + two] - z0
        px, py = places[a], places[a + one]
        ax, ay = places[b] - px, places[b + one] - py
        bx, by = places[c] - px, places[c + one] - py
        kept = np.int32(t) if mixed[i] | mixed[j] | mixed[k] else np.int32(-1)
        wide, by_vy, by_uy, by_both = last - first > 4, f4(0), f4(0), f4(0)
        if wide:
            by_vy, by_uy, by_both = f4(1) / vy, f4(-1) / uy, f4(1) / (uy - vy)
        for row in range(first_row, last_row + 1):
            y = f4(row) - y0
            start, stop = first, last
            if wide:
                low, high = f4(first) - x0, f4(last) - x0
                low, high = _bound(low, high, vy, by_vy, -y * vx)
                low, high = _bound(low, high, -uy, by_uy, ux * y)
                low, high = _bound(low, high, uy - vy, by_both, f4(1) + y * (vx - ux))
                if not low <= high:
                    continue
                start, stop = max(int(np.floor(low + x0)), first), min(int(np.ceil(high + x0)), last)
            for column in range(start, stop + 1):
                x = f4(column) - x0
                w1, w2 = x * vy - y * vx, ux * y - uy * x
                if (w1 >= -_EDGE) & (w2 >= -_EDGE) & (w1 + w2 <= f4(1) + _EDGE):
                    z = z0 + w1 * uz + w2 * vz
                    if z > depth_out[row, column]:
                        depth_out[row, column] = z
                        x_out[row, column] = px + w1 * ax + w2 * bx
                        y_out[row, column] = py + w1 * ay + w2 * by
                        triangle_out[row, column] = kept


@inlined
def _cut(value, last):
    """A coordinate in [0, last]: reflected at the ends, as pictures that go on beyond their border are; 0 for NaN."""
    value = last - abs(last - abs(value))
    return value if value > f4(0) else f4(0)


@inlined
def _word(flat, k):
    """Bytes k to k + 7 of a uint8 array as one number, the first lowest: compiled to one load."""
    word = u8(flat[k]) | (u8(flat[k + u8(1)]) << u8(8)) | (u8(flat[k + u8(2)]) << u8(16))
    word |= (u8(flat[k + u8(3)]) << u8(24)) | (u8(flat[k + u8(4)]) << u8(32)) | (u8(flat[k + u8(5)]) << u8(40))
    return word | (u8(flat[k + u8(6)]) << u8(48)) | (u8(flat[k + u8(7)]) << u8(56))


@inlined
def _apart(word):
    """A word's lowest three bytes, 21 bits apart: room for each to be multiplied by weights of 2^13 in all."""
    return (word & u8(0xFF)) | ((word << u8(13)) & u8(0xFF << 21)) | ((word << u8(26)) & u8(0xFF << 42))


@kernel
def color(source, height, width, x, y, depth, left, top, scratch, picture_out):
    """Take a window's colors from a photograph, where `draw` says; other pixels of the picture stay.

    source (3 height width + 8,) uint8: the photograph, both sides of which are 2 px or more, and 8 bytes more; scratch
    (4, w) uint64; picture_out (height, width, 3) uint8. A row is made in steps of one kind of work each, so that all
    but loads and stores run in vector lanes; the three channels are weighted by one multiplication.
    """
    last_x, last_y = f4(width - 1), f4(height - 1)
    below, half = u8(3 * width), u8(0x1000 | (0x1000 << 21) | (0x1000 << 42))
    flat = picture_out.reshape(-1)
    places, weights, upper, lower = scratch[0], scratch[1], scratch[2], scratch[3]
    for row in range(x.shape[0]):
        for k in range(x.shape[1]):
            px, py = _cut(x[row, k], last_x), _cut(y[row, k], last_y)
            column, line = min(np.int32(px), np.int32(width - 2)), min(np.int32(py), np.int32(height - 2))
            fx = np.int32((px - f4(column)) * f4(2048) + f4(0.5))
            fy = np.int32((py - f4(line)) * f4(2048) + f4(0.5))
            places[k] = u8(3 * (line * np.int32(width) + column))
            weights[k] = u8(fx) | (u8(fy) << u8(32))
        for k in range(x.shape[1]):
            upper[k], lower[k] = _word(source, places[k]), _word(source, places[k] + below)
        for k in range(x.shape[1]):
            fx, fy = weights[k] & u8(0xFFFFFFFF), weights[k] >> u8(32)
            both = (fx * fy + u8(256)) >> u8(9)
            right, down = (fx << u8(2)) - both, (fy << u8(2)) - both
            total = _apart(upper[k]) * (u8(8192) - right - down - both) + half
            total += _apart(upper[k] >> u8(24)) * right
            total += _apart(lower[k]) * down
            upper[k] = total + _apart(lower[k] >> u8(24)) * both
        pixel = u8(3 * ((row + top) * width + left))
        for k in range(x.shape[1]):
            if depth[row, k] > f4(-np.inf):
                flat[pixel] = np.uint8(upper[k] >> u8(13))
                flat[pixel + u8(1)] = np.uint8(upper[k] >> u8(34))
                flat[pixel + u8(2)] = np.uint8(upper[k] >> u8(55))
            pixel += u8(3)


@inlined
def _bilinear(image, x, y, channel):
    """The value of an image (h, w, 3) uint8 between four pixels, reflected at its border."""
    x, y = _cut(x, f4(image.shape[1] - 1)), _cut(y, f4(image.shape[0] - 1))
    column, row = min(np.int32(x), np.int32(image.shape[1] - 2)), min(np.int32(y), np.int32(image.shape[0] - 2))
    fx, fy = x - f4(column), y - f4(row)
    upper = f4(image[row, column, channel]) * (f4(1) - fx) + f4(image[row, column + 1, channel]) * fx
    lower = f4(image[row + 1, column, channel]) * (f4(1) - fx) + f4(image[row + 1, column + 1, channel]) * fx
    return upper * (f4(1) - fy) + lower * fy


@kernel
def fill(image, points, places, triangles, share, mirror, marked, mark, triangle, left, top, bounds, picture_out):
    """Blend the colors of mirror vertices into a window's pixels, or one color where `marked` says so.

    share (n,) float32; mirror (n,) int32: of the vertices of face triangles; mark (3,) uint8; triangle (h, w) int32: as
    `draw` leaves it; bounds (2, 2) float32: the smallest and largest x, y of the points.
    """
    half = f4(0.5)
    first, last = _first(bounds[0, 0] - left, triangle.shape[1]), _last(bounds[1, 0] - left, triangle.shape[1])
    first_row, last_row = _first(bounds[0, 1] - top, triangle.shape[0]), _last(bounds[1, 1] - top, triangle.shape[0])
    for row in range(first_row, last_row + 1):
        for column in range(first, last + 1):
            t = triangle[row, column]
            if t < 0:
                continue
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            x, y = f4(column) + left - points[i, 0], f4(row) + top - points[i, 1]
            ux, uy = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
            vx, vy = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1]
            area = ux * vy - uy * vx
            w1, w2 = (x * vy - y * vx) / area, (ux * y - uy * x) / area
            part = share[i] + w1 * (share[j] - share[i]) + w2 * (share[k] - share[i])
            part = min(max(part, f4(0)), f4(1))
            if marked:
                if part > half:
                    for c in range(3):
                        picture_out[row + top, column + left, c] = mark[c]
                continue
            i, j, k = mirror[i], mirror[j], mirror[k]
            mx = places[i, 0] + w1 * (places[j, 0] - places[i, 0]) + w2 * (places[k, 0] - places[i, 0])
            my = places[i, 1] + w1 * (places[j, 1] - places[i, 1]) + w2 * (places[k, 1] - places[i, 1])
            for c in range(3):
                own = f4(picture_out[row + top, column + left, c])
                picture_out[row + top, column + left, c] = np.uint8(
                    own + part * (_bilinear(image, mx, my, c) - own) + half
                )


@kernel
def soften(depth, step, strength, left, top, places, colors, picture_out):
    """Blend pixels at breaks of the surface with their eight neighbors, as a lens would.

    depth (h, w): as `draw` leaves it; step: px from one pixel to the next that are a break; strength 0 to 1. Scratch:
    places (n,) int32, colors (3 n,) uint8; what breaks beyond n // 3 stays as it is.
    """
    height, width = depth.shape
    nothing, half, n = f4(-np.inf), f4(0.5), 0
    for row in range(1, height - 2):
        for column in range(1, width - 2):
            z, across, along = depth[row, column], depth[row, column + 1], depth[row + 1, column]
            right = (abs(across - z) > step) & (min(across, z) > nothing)
            below = (abs(along - z) > step) & (min(along, z) > nothing)
            if (right | below) & (n + 3 <= len(places)):
                places[n] = row * width + column
                places[n + 1] = row * width + column + 1 if right else places[n]
                places[n + 2] = (row + 1) * width + column if below else places[n]
                n += 3
    for k in range(n):  # all are made before the first is changed
        r, q = places[k] // width + top, places[k] % width + left
        for c in range(3):
            total = f4(0)
            for dr in range(-1, 2):
                for dq in range(-1, 2):
                    total += f4((2 - abs(dr)) * (2 - abs(dq))) * f4(picture_out[r + dr, q + dq, c])
            own = f4(picture_out[r, q, c])
            colors[3 * k + c] = np.uint8(own + strength * (total / f4(16) - own) + half)
    for k in range(n):
        r, q = places[k] // width + top, places[k] % width + left
        for c in range(3):
            picture_out[r, q, c] = colors[3 * k + c]
