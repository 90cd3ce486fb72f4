"""The rasterizer's compiled code: which pixels each triangle covers, and which triangle is nearest.

A typical face mesh has twice as many triangles as the picture has covered pixels, so what costs is not
filling but finding out, triangle by triangle, that there is nothing to fill. The kernel therefore works in
blocks of triangles whose coordinates fit in the first-level cache:

1. `_load_corners` copies the block's corners side by side (x and y together, as one 8-byte word) into arrays of all
   first, then all second, then all third corners;
2. `_find_boxes` finds the box of pixel centers of each triangle, and `_sort_by_kind` lists the boxes that fit
   into 2 x 2 and 4 x 4 pixels, and larger ones, which are cut into tiles of 4 x 4;
3. kind by kind, `_pack` copies them together, `_find_near` finds, in float32, the pixels that are not certainly
   outside, and `_list_pixels` turns the resulting bit masks into a list of pixels;
4. `_draw_pixels` decides in float64 whether a listed pixel is inside, finds its weights and depth and does the
   depth test.

`_find_boxes` and `_find_near` are straight loops over contiguous arrays, which LLVM turns into vector
instructions; a gather or a branch in them would cost a factor of five. The listing functions have no branch
that depends on the data either: they write every candidate and advance only past those that count. Functions
that take arrays are called once a block, not once a pixel, where numba's bookkeeping of array references
would cost more than the pixel.

Every edge function is `ax * by - ay * bx` in float64 of the two ends **relative to the pixel center**. It is
antisymmetric in its ends to the last bit, so the two triangles at an edge never disagree about a pixel, and
every function that decides coverage must use this expression and no other.

Another thread may write to the caller's arrays while a kernel runs. Indices are therefore read once, into
the kernel's own memory, and cut to the valid range there; pixels come from coordinates that were read once
too. A race can give a wrong picture, never an access out of bounds.
"""

import numpy as np

from uvgen.compiled import inlined, kernel, larger, smaller
from uvgen.rasterize.buffers import (
    BLOCK,
    SECOND,
    THIRD,
    Block,
    BlockMemory,
    Canvas,
    FragmentArrays,
    MeshArrays,
    Packed,
)

_TOLERANCE = 2.0**-17  # of edge functions in float32, see `_find_near`
_EMPTY = 0  # kind of a box of no pixel; up to 2 x 2: 1; up to 4 x 4: 2; larger: 3

f4, f8, i4, i8, u4, size_t = np.float32, np.float64, np.int32, np.int64, np.uint32, np.uintp
ONE, TWO, THREE = size_t(1), size_t(2), size_t(3)  # unsigned: of signed indices numba asks whether they are negative
F0, F1, F2, F3, F4 = f4(0), f4(1), f4(2), f4(3), f4(4)  # a number that is called for takes longer to compile
INFINITE = f4(np.inf)


def _places_of_bits(n_columns):
    """(16 * 4,) row and column, as in `_list_pixels`, of the bits set in each number of four bits; then zeros."""
    places = np.zeros((16, 4), np.int32)
    for bits in range(16):
        listed = [k for k in range(4) if bits >> k & 1]
        places[bits, : len(listed)] = [k % n_columns << 16 | k // n_columns << 18 for k in listed]
    return places.reshape(-1)


PLACES, PLACES_IN_TWO = _places_of_bits(4), _places_of_bits(2)
COUNTS = np.array([bits.bit_count() for bits in range(16)], np.uintp)


@kernel
def _load_corners(xy, triangles, count, indices_out, words_out):
    """Copy the corners of `count` triangles; return the largest index."""
    last, worst = u4(len(xy) - 1), u4(0)
    for j in range(3 * count):
        index = triangles[j]
        worst = larger(worst, index)
        indices_out[j] = smaller(index, last)
    for k in range(size_t(count)):
        words_out[k] = xy[size_t(indices_out[THREE * k])]
        words_out[k + SECOND] = xy[size_t(indices_out[THREE * k + ONE])]
        words_out[k + THIRD] = xy[size_t(indices_out[THREE * k + TWO])]
    return worst


@kernel
def _find_boxes(corners, count, height, width, first_pixels_out, extents_out):
    """First pixel, extent and kind of the box of pixel centers of each triangle, clipped to the picture."""
    w = f4(width)
    h = f4(height)
    for k in range(size_t(count)):
        at = TWO * k
        x0 = corners[at]
        y0 = corners[at + ONE]
        x1 = corners[at + TWO * SECOND]
        y1 = corners[at + TWO * SECOND + ONE]
        x2 = corners[at + TWO * THIRD]
        y2 = corners[at + TWO * THIRD + ONE]
        left = smaller(larger(np.ceil(smaller(smaller(x0, x1), x2)), F0), w)
        top = smaller(larger(np.ceil(smaller(smaller(y0, y1), y2)), F0), h)
        right = larger(smaller(np.floor(larger(larger(x0, x1), x2)), w - F1), -F1)
        bottom = larger(smaller(np.floor(larger(larger(y0, y1), y2)), h - F1), -F1)
        columns = right - left + F1
        rows = bottom - top + F1
        longest = larger(columns, rows)
        kind = i4(1) + i4(longest > F2) + i4(longest > F4)
        # min and max may drop a NaN, a sum never does; it is NaN or infinite if any coordinate is.
        total = x0 + x1 + x2 + y0 + y1 + y2
        drawable = (columns > F0) & (rows > F0) & (total - total == F0)
        first_pixels_out[k] = left
        first_pixels_out[k + SECOND] = top
        extents_out[k] = i4(columns if drawable else F0)
        extents_out[k + SECOND] = i4(rows if drawable else F0)
        extents_out[k + THIRD] = kind if drawable else i4(_EMPTY)


@inlined
def _edge(ax, ay, bx, by):
    """An edge function at the origin, and how much it changes by a pixel to the right and down."""
    return ax * by - ay * bx, ay - by, bx - ax


@inlined
def _not_below(e0, e1, e2, least):
    """0 if one of three numbers is less than `least`, else 1."""
    return i4(1) - i4(smaller(smaller(e0, e1), e2) < least)


@inlined
def _near_row(side, edges, rights, least):
    """A row of a mask: the pixels at which no edge function is less than `least`.

    edges: at the row's first pixel; rights: how much each changes by a pixel.
    """
    (e0, e1, e2), (right0, right1, right2) = edges, rights
    mask = _not_below(e0, e1, e2, least)
    mask |= _not_below(e0 + right0, e1 + right1, e2 + right2, least) << 1
    if side > 2:
        mask |= _not_below(e0 + F2 * right0, e1 + F2 * right1, e2 + F2 * right2, least) << 2
        mask |= _not_below(e0 + F3 * right0, e1 + F3 * right1, e2 + F3 * right2, least) << 3
    return mask


@inlined
def _find_near(side, count, canvas, packed_out):
    """Bit side * row + column of each mask, for the 2 x 2 or 4 x 4 pixels from the first of the box: unset if the
    pixel's center is certainly outside.

    In float32 and from pixel to pixel, which takes a quarter of the time of the exact test, and lists hardly a pixel
    in thousands for nothing. With corners at most `far` from the first pixel and a unit roundoff u = 2**-24, an edge
    function is wrong by at most 12 u far**2 + 60 u far, and the area, which the sign is taken from, by 48 u far**2
    more. A pixel is left out if it is beyond the double of both. Where squares might overflow, nothing is left out.
    """
    xy, first_pixels, masks = packed_out.corners, packed_out.first_pixels, packed_out.masks
    front, back = canvas.front, canvas.back
    for i in range(size_t(count)):
        at = TWO * i
        x, y = first_pixels[i], first_pixels[i + SECOND]
        x0, y0 = xy[at] - x, xy[at + ONE] - y
        x1, y1 = xy[at + TWO * SECOND] - x, xy[at + TWO * SECOND + ONE] - y
        x2, y2 = xy[at + TWO * THIRD] - x, xy[at + TWO * THIRD + ONE] - y
        e0, right0, down0 = _edge(x1, y1, x2, y2)
        e1, right1, down1 = _edge(x2, y2, x0, y0)
        e2, right2, down2 = _edge(x0, y0, x1, y1)
        far = larger(larger(larger(abs(x0), abs(x1)), larger(abs(x2), abs(y0))), larger(abs(y1), abs(y2)))
        far = far if far < f4(1e18) else INFINITE
        least = f4(-_TOLERANCE) * far * (far + f4(8)) - f4(1e-30)
        # so that inside is positive, for the windings that are drawn
        sign = F1 if (front & (e0 + e1 + e2 >= F0)) | (not back) else -F1
        e0, e1, e2 = sign * e0, sign * e1, sign * e2
        right0, right1, right2 = sign * right0, sign * right1, sign * right2
        down0, down1, down2 = sign * down0, sign * down1, sign * down2
        rights = right0, right1, right2
        mask = _near_row(side, (e0, e1, e2), rights, least)
        mask |= _near_row(side, (e0 + down0, e1 + down1, e2 + down2), rights, least) << i4(side)
        if side > 2:
            for row in range(2, 4):
                s = f4(row)
                near = _near_row(side, (e0 + s * down0, e1 + s * down1, e2 + s * down2), rights, least)
                mask |= near << i4(side * row)
        masks[i] = mask


@kernel
def _pack(members, count, first_pixels, words, packed_out):
    """Copy boxes and corners of the listed triangles to the front of `packed_out`."""
    pixels_out, words_out = packed_out.first_pixels, packed_out.words
    for i in range(size_t(count)):
        k = size_t(members[i])
        pixels_out[i] = first_pixels[k]
        pixels_out[i + SECOND] = first_pixels[k + SECOND]
        words_out[i] = words[k]
        words_out[i + SECOND] = words[k + SECOND]
        words_out[i + THIRD] = words[k + THIRD]


@kernel
def _sort_by_kind(count, extents, lists_out):
    """List the triangles of kinds 1 to 3 in a row each; return how many each has."""
    kinds = extents[2 * BLOCK :]
    small, middle, large = lists_out[0], lists_out[1], lists_out[2]
    n_small = n_middle = n_large = 0
    for k in range(count):
        small[n_small] = middle[n_middle] = large[n_large] = k
        n_small += kinds[k] == 1
        n_middle += kinds[k] == 2
        n_large += kinds[k] == 3
    return n_small, n_middle, n_large


@inlined
def _list_pixels(side, places, count, mask, pairs_out):
    """List a pair (member, row, column; 16 + 2 + 2 bits) for each bit set in the masks; return how many.

    Four bits at a time, by a table: all four places are written, and the next ones follow those that count.
    """
    n_pairs = size_t(0)
    for i in range(size_t(count)):
        bits = mask[i]
        for row in range(1 if side == 2 else 4):
            four = size_t(bits & 15)
            bits >>= 4
            pair = i4(i) | i4(row << 18)
            for k in range(size_t(4)):
                pairs_out[n_pairs + k] = pair | places[size_t(4) * four + k]
            n_pairs += COUNTS[four]
    return i8(n_pairs)


@inlined
def _owns(a, b):
    """Whether the edge from a to b of a triangle that runs clockwise on the screen is a top or left one."""
    (ax, ay), (bx, by) = a, b
    return (ay > by) | ((ay == by) & (ax < bx))


@inlined
def _owns_tie(edges, a, b, c):
    """Whether a pixel center on the border of a triangle is the triangle's, by the top-left rule.

    edges: the three edge functions; a, b, c: the corners from the pixel's center, (x, y).
    """
    e0, e1, e2 = edges
    clockwise = e0 + e1 + e2 > 0
    if e0 == 0 and _owns(b, c) != clockwise:
        return False
    if e1 == 0 and _owns(c, a) != clockwise:
        return False
    if e2 == 0 and _owns(a, b) != clockwise:
        return False
    return e0 + e1 + e2 != 0


@kernel
def _draw_pixels(n_pairs, members, packed, block, canvas, fragments_out):
    """Draw the listed pixels that are inside where they are nearest; of two equally near triangles, the lower index."""
    pairs, boxes, xy = packed.pairs, packed.first_pixels, packed.corners
    first, indices, vertices = block.first, block.indices, block.vertices
    height, width, front, back = canvas.height, canvas.width, canvas.front, canvas.back
    triangle_out, weights_out, depth_out = fragments_out.triangle, fragments_out.weights, fragments_out.depth
    for i in range(n_pairs):
        pair = pairs[i]
        j = size_t(pair & 0xFFFF)
        x = f8(boxes[j] + f4((pair >> 16) & 3))
        y = f8(boxes[j + SECOND] + f4(pair >> 18))
        at = TWO * j
        ax = xy[at] - x
        ay = xy[at + ONE] - y
        bx = xy[at + TWO * SECOND] - x
        by = xy[at + TWO * SECOND + ONE] - y
        cx = xy[at + TWO * THIRD] - x
        cy = xy[at + TWO * THIRD + ONE] - y
        e0 = bx * cy - by * cx
        e1 = cx * ay - cy * ax
        e2 = ax * by - ay * bx
        if not ((front & (smaller(smaller(e0, e1), e2) >= 0)) | (back & (larger(larger(e0, e1), e2) <= 0))):
            continue
        if e0 * e1 * e2 == 0 and not _owns_tie((e0, e1, e2), (ax, ay), (bx, by), (cx, cy)):
            continue
        row = i4(y)
        column = i4(x)
        if (row >= height) | (column >= width):  # a tile reaches over the picture's edge
            continue
        k = members[j]
        corner = THREE * size_t(u4(k))
        z0 = f8(vertices[THREE * size_t(indices[corner]) + TWO])
        z1 = f8(vertices[THREE * size_t(indices[corner + ONE]) + TWO])
        z2 = f8(vertices[THREE * size_t(indices[corner + TWO]) + TWO])
        scale = 1.0 / (e0 + e1 + e2)
        z = f4((e0 * z0 + e1 * z1 + e2 * z2) * scale)
        triangle = i4(first) + k
        pixel = size_t(row * i4(width) + column)
        nearer = z > depth_out[pixel] or (z == depth_out[pixel] and triangle < triangle_out[pixel])
        if nearer and z < np.inf:
            depth_out[pixel] = z
            triangle_out[pixel] = triangle
            weights_out[THREE * pixel] = e0 * scale
            weights_out[THREE * pixel + ONE] = e1 * scale
            weights_out[THREE * pixel + TWO] = e2 * scale


@kernel
def _draw_members(side, members, count, packed, block, canvas, fragments_out):
    """Draw the boxes or tiles, of side x side pixels, that the packed arrays hold.

    members (count,): triangle of each, in the block. Call it with `side` and `count` as int64: numba compiles it anew
    for each type, literals too, a second each.
    """
    if side == 2:
        _find_near(2, count, canvas, packed)
        n_pairs = _list_pixels(2, PLACES_IN_TWO, count, packed.masks, packed.pairs)
    else:
        _find_near(4, count, canvas, packed)
        n_pairs = _list_pixels(4, PLACES, count, packed.masks, packed.pairs)
    _draw_pixels(n_pairs, members, packed, block, canvas, fragments_out)


@kernel
def rasterize_mesh(mesh: MeshArrays, width, front, back, memory: BlockMemory, fragments_out: FragmentArrays):
    """Draw a mesh; return the largest index in its triangles, beyond the vertices if the mesh is broken.

    width: of the picture, px; front, back: whether triangles whose corners run clockwise on the screen, and the others,
    are drawn; memory: scratch, with nothing in it that counts.
    """
    first_pixels, extents, words, lists = memory.first_pixels, memory.extents, memory.words, memory.lists
    packed = Packed(memory.packed_words, memory.packed_corners, memory.packed_pixels, memory.masks, memory.pairs)
    canvas = Canvas(len(fragments_out.depth) // width, width, front, back)
    tiles, tile_pixels, tile_words = lists[3], packed.first_pixels, packed.words
    fragments_out.triangle[:] = -1
    fragments_out.depth[:] = -np.inf
    fragments_out.weights[:] = 0
    worst = u4(0)
    n_triangles = len(mesh.triangles) // 3
    for first in range(0, n_triangles, BLOCK):
        count = smaller(BLOCK, n_triangles - first)
        worst = larger(worst, _load_corners(mesh.xy, mesh.triangles[3 * first :], count, memory.indices, words))
        _find_boxes(memory.corners, count, canvas.height, width, first_pixels, extents)
        block = Block(first, memory.indices, mesh.vertices)
        counts = _sort_by_kind(count, extents, lists)
        for size in range(2):
            n_members = i8(counts[size])
            if n_members > 0:
                members = lists[size]
                _pack(members, n_members, first_pixels, words, packed)
                _draw_members(2 * size + 2, members, n_members, packed, block, canvas, fragments_out)
        n_tiles = size_t(0)
        for i in range(counts[2]):
            k = size_t(lists[2, i])
            for row in range(0, extents[k + SECOND], 4):
                for column in range(0, extents[k], 4):
                    tiles[n_tiles] = k
                    tile_pixels[n_tiles] = first_pixels[k] + f4(column)
                    tile_pixels[n_tiles + SECOND] = first_pixels[k + SECOND] + f4(row)
                    tile_words[n_tiles] = words[k]
                    tile_words[n_tiles + SECOND] = words[k + SECOND]
                    tile_words[n_tiles + THIRD] = words[k + THIRD]
                    n_tiles += ONE
                    if n_tiles == BLOCK:
                        _draw_members(i8(4), tiles, i8(n_tiles), packed, block, canvas, fragments_out)
                        n_tiles = size_t(0)
        if n_tiles > 0:
            _draw_members(i8(4), tiles, i8(n_tiles), packed, block, canvas, fragments_out)
    return worst
