"""Compiled code for face profiling: where in the photograph the color of each pixel of the turned picture is.

A face's mesh has more triangles than it covers pixels, and the mesh around it covers most of the picture. Triangles
are therefore taken in blocks. `_load` copies their corners side by side, `_find` says in vector instructions which of
them look at the viewer and cover a pixel, and only these are drawn, eight pixels at a time: two in each of four rows,
because most triangles are narrow, and each further step from row to row takes as long as drawing.

Kernels allocate nothing, raise nothing and release the interpreter lock. Frames, windows and cells are described in
`turn_buffers`.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic

from uvgen.augment.lanes import N_LANES, Lanes, i32, made_by
from uvgen.augment.turn_buffers import BLOCK, HIGH, VALUES, WIDE, DrawScratch, TurnedMesh, Window
from uvgen.compiled import inlined, kernel

f4, i4, i8, size_t = np.float32, np.int32, np.int64, np.uintp
_EDGE = f4(1e-4)  # how far outside a triangle, as a share of it, a pixel still belongs to it: so there are no cracks
_MOST = f4(1) + _EDGE
_LARGEST = f4(1e12)  # px²: triangles that are larger draw nothing, nor does one with NaN
_ROOM = f4(0.125)  # px by which rounding may misplace the ends of a row of pixels
_SMALL = 2  # px per side of boxes in which each pixel is looked at, before a triangle is drawn
_COLUMNS, _ROWS = [k % WIDE for k in range(N_LANES)], [k // WIDE for k in range(N_LANES)]
_VALUE = 4 * N_LANES  # bytes from one value of a cell to the next
_CELL = VALUES * _VALUE  # bytes


@kernel
def _load(xy, triangles, words_out):
    """Copy the (x, y) of a block's corners."""
    corner0_out, corner1_out, corner2_out = words_out[0], words_out[1], words_out[2]
    for k in range(len(triangles) // 3):
        corner0_out[k] = xy[size_t(triangles[3 * k])]
        corner1_out[k] = xy[size_t(triangles[3 * k + 1])]
        corner2_out[k] = xy[size_t(triangles[3 * k + 2])]


@kernel
def _find(corners, count, window, boxes_out, drawn_out):
    """The box of pixel centers of each triangle in the window, and whether it covers one and looks at the viewer.

    Larger boxes than `_SMALL` count as covered. A straight loop, which LLVM turns into vector instructions.
    """
    xy0, xy1, xy2 = corners[0], corners[1], corners[2]
    first_out, last_out, first_row_out, last_row_out = boxes_out[0], boxes_out[1], boxes_out[2], boxes_out[3]
    left, top, w, h = f4(window.left), f4(window.top), f4(window.width), f4(window.height)
    for k in range(count):
        x0, y0 = xy0[2 * k], xy0[2 * k + 1]
        ux, uy, vx, vy = xy1[2 * k] - x0, xy1[2 * k + 1] - y0, xy2[2 * k] - x0, xy2[2 * k + 1] - y0
        area = ux * vy - uy * vx
        x0, y0 = x0 - left, y0 - top
        first = max(np.ceil(max(x0 + min(f4(0), min(ux, vx)), f4(0)) - _EDGE), f4(0))
        last = min(np.floor(min(x0 + max(f4(0), max(ux, vx)), w) + _EDGE), w - f4(1))
        first_row = max(np.ceil(max(y0 + min(f4(0), min(uy, vy)), f4(0)) - _EDGE), f4(0))
        last_row = min(np.floor(min(y0 + max(f4(0), max(uy, vy)), h) + _EDGE), h - f4(1))
        inverse = f4(1) / area
        ux, uy, vx, vy = ux * inverse, uy * inverse, vx * inverse, vy * inverse
        covered = (last - first > f4(_SMALL - 1)) | (last_row - first_row > f4(_SMALL - 1))
        for row in range(_SMALL):
            y = first_row + f4(row) - y0
            for column in range(_SMALL):
                x = first + f4(column) - x0
                w1, w2 = x * vy - y * vx, ux * y - uy * x
                covered |= (w1 >= -_EDGE) & (w2 >= -_EDGE) & (w1 + w2 <= _MOST)
        inside = (first <= last) & (first_row <= last_row)
        drawn_out[k] = i4(inside & covered & (area > f4(0)) & (area < _LARGEST))
        first_out[k], last_out[k], first_row_out[k], last_row_out[k] = first, last, first_row, last_row


@kernel
def _list(drawn, count, members_out):
    """List those of a block that are to be drawn; how many. Without a branch that depends on the data."""
    n = 0
    for k in range(count):
        members_out[n] = k
        n += drawn[k]
    return n


@intrinsic
def _draw_cell(context, was, becomes, start, row, box, edges, depth, place_x, place_y, kept):
    """Draw a triangle's pixels in the cell whose first is at column `start` of `row`, as far as they lie in its box.

    was, becomes: the cell's address, twice, from two arguments of the kernel: LLVM must not find out that it stores
    where it has loaded from, or it makes masked stores of that, which are slow on AMD's processors. box: first and
    last column, first and last row; edges: x and y of the first corner, and of both edges by the area; depth, place_x,
    place_y: each number at the first corner, and its change along both edges; kept: what to store.
    """

    def body(builder, was, becomes, start, row, box, edges, depth, place_x, place_y, kept):
        first, last, first_row, last_row = Lanes.each_of(builder, box)
        x0, y0, ux, uy, vx, vy = Lanes.each_of(builder, edges)
        (z0, uz, vz), (px, ax, bx), (py, ay, by) = (Lanes.each_of(builder, at) for at in (depth, place_x, place_y))
        columns = Lanes.of(builder, start) + Lanes.listed(builder, *_COLUMNS)
        rows = Lanes.of(builder, row) + Lanes.listed(builder, *_ROWS)
        x, y = columns - x0, rows - y0
        w1, w2 = x * vy - y * vx, ux * y - x * uy
        z = z0 + w1 * uz + w2 * vz

        def place(address, k):
            return builder.add(address, address.type(k * _VALUE))

        here = [Lanes.load(builder, place(was, k)) for k in range(3)]
        here.append(Lanes.load(builder, place(was, 3), i32))
        within = (rows >= first_row) & (rows <= last_row) & (columns >= first) & (columns <= last)
        inside = within & (w1 >= -_EDGE) & (w2 >= -_EDGE) & (w1 + w2 <= _MOST)
        shown = inside & (z > here[0])
        kept = Lanes.of(builder, kept)
        for k, value in enumerate((z, px + w1 * ax + w2 * bx, py + w1 * ay + w2 * by, kept)):
            shown.choose(value, here[k]).store(place(becomes, k))

    number = types.float32
    bundles = [types.UniTuple(number, n) for n in (4, 6, 3, 3, 3)]
    return made_by(body, was, becomes, number, number, *bundles, types.int32)


@inlined
def _limits(low, high, slope, one, other):
    """Where low <= x <= high is on a band of rows, with an edge that is at `one` and at `other` on the outer two.

    Where `slope` is positive, inside is beyond it; where it is negative, before it.
    """
    nearer, farther = min(one, other), max(one, other)
    return max(low, nearer if slope > f4(0) else low), min(high, farther if slope < f4(0) else high)


@kernel
def draw(mesh: TurnedMesh, window: Window, scratch: DrawScratch, was, cells_out):
    """Draw the front of a mesh into a window: for each pixel where in the photograph its color is.

    was and cells_out: the same array, (ceil(height / HIGH), ceil(width / WIDE), VALUES, N_LANES) float32; the fourth
    value says which triangle, for those with a vertex that is mixed, else -1. Several meshes can be drawn one after the
    other; what is in front hides.
    """
    z, places, triangles, mixed = mesh.depth, mesh.places, mesh.triangles, mesh.mixed
    words, corners, boxes = scratch.words, scratch.corners, scratch.boxes
    wanted, members = scratch.drawn[0], scratch.drawn[1]
    left, top = f4(window.left), f4(window.top)
    one, two, three = size_t(1), size_t(2), size_t(3)
    address, apart = was.ctypes.data, cells_out.ctypes.data - was.ctypes.data
    row_size = i8((window.width + WIDE - 1) // WIDE * _CELL)
    n_triangles = len(triangles) // 3
    for begin in range(0, n_triangles, BLOCK):
        count = min(BLOCK, n_triangles - begin)
        _load(mesh.words, triangles[3 * begin : 3 * (begin + count)], words)
        _find(corners, count, window, boxes, wanted)
        for member in range(_list(wanted, count, members)):
            k = size_t(members[member])
            t, at = size_t(begin) + k, two * k
            t3 = three * t
            i, j, m = size_t(triangles[t3]), size_t(triangles[t3 + one]), size_t(triangles[t3 + two])
            x0, y0 = corners[0, at], corners[0, at + one]
            ux, uy = corners[1, at] - x0, corners[1, at + one] - y0
            vx, vy = corners[2, at] - x0, corners[2, at + one] - y0
            inverse = f4(1) / (ux * vy - uy * vx)
            ux, uy, vx, vy = ux * inverse, uy * inverse, vx * inverse, vy * inverse
            x0, y0 = x0 - left, y0 - top
            z0 = z[i]
            uz, vz = z[j] - z0, z[m] - z0
            px, py = places[two * i], places[two * i + one]
            ax, ay = places[two * j] - px, places[two * j + one] - py
            bx, by = places[two * m] - px, places[two * m + one] - py
            kept = i4(t) if mixed[i] | mixed[j] | mixed[m] else i4(-1)
            first, last, first_row, last_row = boxes[0, k], boxes[1, k], boxes[2, k], boxes[3, k]
            first_cell, last_cell = i8(first) // WIDE, i8(last) // WIDE
            box, edges, depth = (first, last, first_row, last_row), (x0, y0, ux, uy, vx, vy), (z0, uz, vz)
            start, stop = first_cell, last_cell
            wide, by_vy, by_uy, by_both = last_cell - first_cell > 1, f4(0), f4(0), f4(0)
            if wide:
                by_vy, by_uy, by_both = f4(1) / vy, f4(-1) / uy, f4(1) / (uy - vy)
            for band in range(i8(first_row) // HIGH, i8(last_row) // HIGH + 1):
                row = f4(band * HIGH)
                if wide:
                    y, below = row - y0, row + f4(HIGH - 1) - y0
                    low, high = _limits(
                        first - x0, last - x0, vy, (y * vx - _EDGE) * by_vy, (below * vx - _EDGE) * by_vy
                    )
                    low, high = _limits(low, high, -uy, (-(ux * y) - _EDGE) * by_uy, (-(ux * below) - _EDGE) * by_uy)
                    low, high = _limits(
                        low, high, uy - vy, -(_MOST + y * (vx - ux)) * by_both, -(_MOST + below * (vx - ux)) * by_both
                    )
                    start = max(i8(low + (x0 - _ROOM)) // WIDE, first_cell)
                    stop = min(i8(high + (x0 + _ROOM)) // WIDE, last_cell)
                cell = address + band * row_size + start * _CELL
                column = f4(start * WIDE)
                for _ in range(start, stop + 1):
                    _draw_cell(
                        cell, cell + apart, column, row, box, edges, depth, (px, ax, bx), (py, ay, by), kept
                    )  # fmt: skip
                    cell += _CELL
                    column += f4(WIDE)
