"""Compiled code for face profiling: a photograph's colors for the pixels that `draw_kernels.draw` has drawn.

Kernels allocate nothing, raise nothing and release the interpreter lock. Frames, windows and cells are described in
`turn_buffers`.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from uvgen.augment.lanes import N_LANES, Lanes, i8, i16, i32, i64, made_by, parts
from uvgen.augment.turn_buffers import (
    HIGH,
    VALUES,
    WIDE,
    ColorScratch,
    MixedCells,
    TurnedMesh,
    VertexColors,
    Window,
)
from uvgen.compiled import inlined, kernel

f4, i4, long, size_t = np.float32, np.int32, np.int64, np.uintp
_VALUE = 4 * N_LANES  # bytes from one value of a cell to the next
_CELL = VALUES * _VALUE  # bytes
_CELL_SIZE = VALUES * N_LANES  # values
_NOTHING = f4(-np.inf)
_COLUMNS, _ROWS = [k % WIDE for k in range(N_LANES)], [k // WIDE for k in range(N_LANES)]
_LINE = 3 * WIDE  # bytes of a cell's row in a picture


@kernel
def clear(cells_out):
    """Nothing is drawn in a window. cells_out (n,) float32."""
    for cell in range(len(cells_out) // _CELL_SIZE):
        for lane in range(N_LANES):
            cells_out[cell * _CELL_SIZE + lane] = _NOTHING


@intrinsic
def _color_cell(context, cell, photograph, first, last, depth, line):
    """Take a cell's colors from a photograph, where it is drawn, else from where the pixel is in the picture.

    cell: address; photograph: address, and bytes per row; first: column and row of the first pixel in the picture;
    last: the photograph's last column and row; depth, line: addresses that depths, and colors of three bytes, are
    written to, and how many bytes apart rows of them are. Nothing is drawn in the cell afterward, and pixels where
    nothing was have no triangle; returns bits of those that have one. Colors are sampled between four pixels by weights
    of 2^13 in all, and reflected at the border.
    """

    def body(builder, cell, photograph, first, last, depth, line):
        def at(k):
            return builder.add(cell, cell.type(k * _VALUE))

        def cut(value, last):  # reflected at the ends, as pictures that go on beyond their border are; 0 for NaN
            value = last - (last - value.size()).size()
            return (value > 0).choose(value, 0)

        def between(value, last):  # the pixel before it, and how far it lies from that one, in 2^-11
            before = value.as_integers()
            before = (before < (last - 1).as_integers()).choose(before, (last - 1).as_integers())
            return before, ((value - before.as_floats()) * 2048 + 0.5).as_integers()

        def load(address):
            return builder.load(builder.inttoptr(address, ir.PointerType(i64)), align=1)

        def sampled(k):  # red, green, blue and nothing of a pixel of the cell's upper half and one of its lower
            total = None
            for rows, weights, skipped in ((upper, upper_weights, 0), (lower, lower_weights, 2)):
                two = ir.Constant(ir.VectorType(i64, 2), ir.Undefined)
                for n in range(2):
                    two = builder.insert_element(two, load(rows[k + n * half]), ir.Constant(i32, n))
                order = [8 * n + skipped + c + 3 * m for n in range(2) for c in (0, 1, 2, 0) for m in range(2)]
                taps = builder.zext(Lanes(builder, two).viewed(i8).shuffled(*order).value, ir.VectorType(i16, 16))
                sums = Lanes(builder, taps).dot(weights.shuffled(*[k] * 4, *[k + half] * 4).viewed(i16))
                total = sums if total is None else total + sums
            return (total + 4096) >> 13

        half, (photograph, stride) = N_LANES // 2, parts(builder, photograph)
        (depth, depth_apart), (line, line_apart) = parts(builder, depth), parts(builder, line)
        (column, row), (last_x, last_y) = Lanes.each_of(builder, first), Lanes.each_of(builder, last)
        z, x, y = (Lanes.load(builder, at(k)) for k in range(3))
        drawn = z > float("-inf")
        for k in range(HIGH):
            z.shuffled(*range(k * WIDE, (k + 1) * WIDE)).store(depth)
            depth = builder.add(depth, depth_apart)
        Lanes.of(builder, float("-inf")).store(at(0))
        number = Lanes.load(builder, at(3), i32) | (z <= float("-inf")).as_masks()  # no choice: see `_draw_cell`
        number.store(at(3))
        columns, rows = column + Lanes.listed(builder, *_COLUMNS), row + Lanes.listed(builder, *_ROWS)
        x, fx = between(cut(drawn.choose(x, columns), last_x), last_x)
        y, fy = between(cut(drawn.choose(y, rows), last_y), last_y)
        both = (fx * fy + 256) >> 9
        right, down = (fx << 2) - both, (fy << 2) - both
        upper_weights = (Lanes.of(builder, i32(8192)) - right - down - both) | (right << 16)
        lower_weights = down | (both << 16)
        # Of two pixels side by side, bytes 0 to 7 above and -2 to 5 below: nothing beyond the photograph is read.
        places = (y.as_long() * Lanes.of(builder, stride) + x.as_long() * 3).each()
        upper = [builder.add(photograph, place) for place in places]
        lower = [builder.add(place, builder.sub(stride, stride.type(2))) for place in upper]
        color = None
        for k in range(half):
            one = sampled(k)
            color = one if color is None else color | (one << (8 * k))
        # A lane is one channel of four pixels now, and four lanes are one half of the cell.
        color = color.viewed(i8)
        for k in range(0, N_LANES, WIDE):
            color.shuffled(*[16 * (n // half) + 4 * c + n % half for n in range(k, k + WIDE) for c in range(3)]).store(
                line
            )
            line = builder.add(line, line_apart)
        return (number > -1).as_bits()

    addresses, place = types.UniTuple(types.int64, 2), types.UniTuple(types.float32, 2)
    return made_by(body, types.int64, addresses, place, place, addresses, addresses, returns=types.int32)


@intrinsic
def _break_bits(context, depth, below, step):
    """At which of eight pixels of a row there is more than `step` to the right, and to the row below: 8 bits each.

    depth, below: addresses of depths in this row, of which nine are read, and in the next.
    """

    def body(builder, depth, below, step):
        here, step = Lanes.load(builder, depth), Lanes.of(builder, step)

        def breaks(there):
            both = (here > float("-inf")) & (there > float("-inf"))
            return (((there - here).size() > step) & both).as_bits()

        right = breaks(Lanes.load(builder, builder.add(depth, depth.type(4))))
        return builder.or_(right, builder.shl(breaks(Lanes.load(builder, below)), i32(N_LANES)))

    return made_by(body, types.int64, types.int64, types.float32, returns=types.int32)


@kernel
def _find_breaks(depth, below, row, step, width, n, places_out):
    """List pixels of a row at which the surface breaks, as row * width + column, after n others; how many then."""
    here, under = depth.ctypes.data, below.ctypes.data
    for begin in range(1, width - 2, N_LANES):
        bits = _break_bits(here + 4 * begin, under + 4 * begin, step)
        if bits == 0:
            continue
        for k in range(min(N_LANES, width - 2 - begin)):
            across, along = (bits >> k) & 1, (bits >> (N_LANES + k)) & 1
            if (across | along) & (n + 3 <= len(places_out)):
                at = row * width + begin + k
                n -= (n > 0) and places_out[n - 1] == at  # of a break on its left
                places_out[n] = at
                places_out[n + 1] = at + width
                n += 1 + along
                places_out[n] = at + 1
                n += across
    return n


@kernel
def color(photograph, window: Window, step, scratch: ColorScratch, cells_out, mixed_out, places_out, picture_out):
    """Take a window's colors from a photograph, where `draw` says, and find where the surface breaks.

    Returns how many cells have pixels with a triangle, and how many pixels lie at breaks.

    photograph (h, w, 3) uint8: both sides of 2 px or more; step: px from one pixel to the next that are a break.
    cells_out (r, c, VALUES, N_LANES) float32: as `draw` leaves them; afterward, nothing is drawn in them, but the
    fourth value is kept, -1 where nothing was. mixed_out (r c + 1,) int32: the cells that have pixels with a triangle,
    as row * c + column. places_out (n,) int32: pixels at breaks, as `soften` takes them; what breaks beyond n is left
    out. picture_out (3 h w,) uint8.
    """
    spare, depths, left, top = scratch.spare, scratch.depths, window.left, window.top
    count, rows, height, width = window.width, window.height, photograph.shape[0], photograph.shape[1]
    n, n_mixed, at_cell = 0, size_t(0), i4(0)
    stride, whole, last = long(3 * width), count // WIDE, (f4(width - 1), f4(height - 1))
    taken = long(photograph.ctypes.data), stride
    picture, rest = long(picture_out.ctypes.data), long(spare.ctypes.data)
    depth_apart, rest_apart = long(depths.strides[0]), long(spare.strides[0])
    for band in range(cells_out.shape[0]):
        row = HIGH * band
        begin, valid = stride * (row + top) + 3 * left, min(HIGH, rows - row)
        cell, depth = long(cells_out[band].ctypes.data), long(depths[row % (2 * HIGH)].ctypes.data)
        line, apart = (picture + begin, stride) if valid == HIGH else (rest + rest_apart, rest_apart)
        for k in range(cells_out.shape[1]):
            if k == whole:  # it goes on beyond the window
                line, apart = rest, long(_LINE)
            first = f4(left + k * WIDE), f4(row + top)
            bits = _color_cell(cell, taken, first, last, (depth, depth_apart), (line, apart))
            mixed_out[n_mixed] = at_cell  # without a branch that depends on the data
            n_mixed += size_t(bits != 0)
            at_cell += i4(1)
            cell, depth, line = cell + _CELL, depth + 4 * WIDE, line + _LINE
        for r in range(valid):
            if valid < HIGH:
                for k in range(_LINE * whole):
                    picture_out[begin + r * stride + k] = spare[1 + r, k]
            for k in range(3 * (count - WIDE * whole)):
                picture_out[begin + r * stride + _LINE * whole + k] = spare[0, _LINE * r + k]
        for at in range(max(row - 1, 1), min(row + HIGH - 1, rows - 2)):
            here, below = depths[at % (2 * HIGH)], depths[(at + 1) % (2 * HIGH)]
            n = _find_breaks(here, below, at, step, count, n, places_out)
    return long(n_mixed), long(n)


@inlined
def _cut(value, last):
    """A coordinate in [0, last]: reflected at the ends, as pictures that go on beyond their border are; 0 for NaN."""
    value = last - abs(last - abs(value))
    return value if value > f4(0) else f4(0)


@inlined
def _between(value, n):
    """The first of two pixels of n that a coordinate lies between, reflected at the ends, and how far from it."""
    value = _cut(value, f4(n - 1))
    before = min(np.int32(value), np.int32(n - 2))
    return size_t(before), value - f4(before)


@intrinsic
def _fill_pixel(context, pixel, first, second, third, w1, w2):
    """Blend a filled color into a pixel of a picture, at an address. The other addresses are of rows of `fills`."""

    def body(builder, pixel, first, second, third, w1, w2):
        a, b, c = (Lanes.load(builder, address, n=4) for address in (first, second, third))
        w1, w2 = (Lanes.of(builder, number, 4) for number in (w1, w2))
        filled = a + w1 * (b - a) + w2 * (c - a)
        keep = Lanes.of(builder, 1.0, 3) - filled.shuffled(0, 0, 0)
        own = Lanes.load(builder, pixel, i8, 3, align=1).widened().as_floats()
        color = keep * own + filled.shuffled(1, 2, 3) + 0.5
        color = (color > 0).choose(color, 0)
        (color < 255).choose(color, 255).as_integers().narrowed().store(pixel, align=1)

    return made_by(body, *[types.int64] * 4, *[types.float32] * 2)


@kernel
def fill(photograph, mesh: TurnedMesh, colors: VertexColors, mirror, mark, cells: MixedCells, picture_out):
    """Blend filled colors and those of mirror vertices into a window's pixels, or mark pixels with one color.

    photograph and picture_out (h, w, 3) uint8; mirror (n,) int32: each vertex's mirror vertex; mark (3,) uint8: for
    pixels that are closer to their mirror vertices' color than to their own, which are then not blended; or (0,).
    """
    points, places, triangles, share, mixed = mesh.points, mesh.places, mesh.triangles, colors.share, colors.mixed
    numbers, listed, left, top = cells.numbers, cells.listed, cells.left, cells.top
    half, one, two, three, none = f4(0.5), size_t(1), size_t(2), size_t(3), size_t(len(share))
    fills, picture = long(colors.fills.ctypes.data), long(picture_out.ctypes.data)
    for at in range(len(listed)):
        cell = size_t(listed[at])
        number, column = cell // size_t(numbers.shape[1]), cell % size_t(numbers.shape[1])
        here = numbers[number, column, 3]
        for lane in range(N_LANES):
            t = here[lane]
            if t < 0:
                continue
            # Unsigned: numba need not look for negative indices.
            t3 = three * size_t(t)
            i, j, k = size_t(triangles[t3]), size_t(triangles[t3 + one]), size_t(triangles[t3 + two])
            q, r = size_t(column * WIDE + lane % WIDE + left), size_t(number * HIGH + lane // WIDE + top)
            x0, y0 = points[two * i], points[two * i + one]
            x, y = f4(q) - x0, f4(r) - y0
            ux, uy = points[two * j] - x0, points[two * j + one] - y0
            vx, vy = points[two * k] - x0, points[two * k + one] - y0
            area = ux * vy - uy * vx
            w1, w2 = (x * vy - y * vx) / area, (ux * y - uy * x) / area
            part = share[i] + w1 * (share[j] - share[i]) + w2 * (share[k] - share[i])
            part = min(max(part, f4(0)), f4(1))
            if len(mark) > 0:
                if part > half:
                    for c in range(3):
                        picture_out[r, q, c] = mark[c]
                continue
            a, b, c = i if mixed[i] else none, j if mixed[j] else none, k if mixed[k] else none
            pixel = picture + 3 * (long(r) * picture_out.shape[1] + long(q))
            _fill_pixel(pixel, fills + 16 * long(a), fills + 16 * long(b), fills + 16 * long(c), w1, w2)
            if not part > f4(0):
                continue
            i, j, k = size_t(mirror[i]), size_t(mirror[j]), size_t(mirror[k])
            x0, y0 = places[two * i], places[two * i + one]
            x = x0 + w1 * (places[two * j] - x0) + w2 * (places[two * k] - x0)
            y = y0 + w1 * (places[two * j + one] - y0) + w2 * (places[two * k + one] - y0)
            (column0, fx), (row0, fy) = _between(x, photograph.shape[1]), _between(y, photograph.shape[0])
            for channel in range(size_t(3)):
                upper = f4(photograph[row0, column0, channel]) * (f4(1) - fx)
                upper += f4(photograph[row0, column0 + one, channel]) * fx
                lower = f4(photograph[row0 + one, column0, channel]) * (f4(1) - fx)
                lower += f4(photograph[row0 + one, column0 + one, channel]) * fx
                own, other = f4(picture_out[r, q, channel]), upper * (f4(1) - fy) + lower * fy
                picture_out[r, q, channel] = np.uint8(own + part * (other - own) + half)


@kernel
def soften(places, window: Window, picture_width, strength, colors, picture_out):
    """Blend pixels at breaks of the surface with their eight neighbors, as a lens would.

    places (n,) int32: row * width + column of the window, as `color` lists them, none on its border; strength 0 to 1;
    scratch: colors (3 n,) uint8; picture_out (3 h picture_width,) uint8.
    """
    n, width, left, top = len(places), window.width, window.left, window.top
    one, stride = size_t(3), size_t(3 * picture_width)
    for k in range(n):  # all are made before the first is changed
        row, column = places[k] // i4(width), places[k] % i4(width)
        at = size_t(row + top) * stride + size_t(3 * (column + left))
        for c in range(size_t(3)):
            above, here, below = at - stride + c, at + c, at + stride + c
            own = i4(picture_out[here])
            total = i4(picture_out[above - one]) + i4(picture_out[above + one])
            total += i4(picture_out[below - one]) + i4(picture_out[below + one])
            total += 2 * (i4(picture_out[above]) + i4(picture_out[below]))
            total += 2 * (i4(picture_out[here - one]) + i4(picture_out[here + one])) + 4 * own
            colors[size_t(3 * k) + c] = np.uint8(f4(own) + strength * (f4(total) / f4(16) - f4(own)) + f4(0.5))
    for k in range(n):
        row, column = places[k] // i4(width), places[k] % i4(width)
        at = size_t(row + top) * stride + size_t(3 * (column + left))
        for c in range(size_t(3)):
            picture_out[at + c] = colors[size_t(3 * k) + c]
