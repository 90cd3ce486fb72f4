"""The rasterizer for tensors, as NVIDIA Warp compiles it for CPUs and CUDA. Imports warp: see `warp_runtime`.

The same edge functions, rules and order of operations as `uvgen.rasterize.coverage_kernels`, in float64 and without
fused multiply-adds, so that both find the same pixels, weights and depths to the last bit. A GPU with slow float64
pays for it only where a pixel center lies in a triangle's box, which is found in the vertices' own type.

1. `cover`, a thread per triangle: its box of pixel centers; the depth and the triangle of each pixel that it covers, as
   one 64-bit number, go into `keys` by an atomic minimum. Boxes of more than `SMALL` pixels are cut into bands of
   about `BAND` pixels, which go into a queue; if that is full, the thread draws the band itself: then there are so
   many that all threads are busy.
2. `cover_queued`: `lanes` threads a band.
3. `resolve`, a thread per pixel: weights and depth of the triangle that its key names.

Indices are checked here, because to check them outside would be to wait for the device: a triangle that names a vertex
that does not exist draws nothing.
"""

from types import SimpleNamespace

import warp as wp

SMALL = wp.constant(64)  # pixels of a box that one thread tests
BAND = wp.constant(1024)  # pixels of the parts of larger boxes
NOTHING = wp.constant(wp.int64(2**63 - 1))  # key of a pixel without a triangle


@wp.func
def edge(ax: wp.float64, ay: wp.float64, bx: wp.float64, by: wp.float64):
    """The edge function of an edge from a to b, both relative to the pixel's center: twice the area that they span."""
    return ax * by - ay * bx


@wp.func
def owns(ax: wp.float64, ay: wp.float64, bx: wp.float64, by: wp.float64):
    """Whether the edge from a to b of a triangle that runs clockwise on the screen is a top or left one."""
    return (ay > by) or ((ay == by) and (ax < bx))


@wp.func
def edges(a: wp.vec3d, b: wp.vec3d, c: wp.vec3d, x: int, y: int):
    """The three edge functions at a pixel's center: twice the areas opposite of each corner."""
    px = wp.float64(x)
    py = wp.float64(y)
    ax = a[0] - px
    ay = a[1] - py
    bx = b[0] - px
    by = b[1] - py
    cx = c[0] - px
    cy = c[1] - py
    return wp.vec3d(edge(bx, by, cx, cy), edge(cx, cy, ax, ay), edge(ax, ay, bx, by))


@wp.func
def owns_tie(e: wp.vec3d, a: wp.vec3d, b: wp.vec3d, c: wp.vec3d, x: int, y: int):
    """Whether a pixel center on the border of a triangle is the triangle's, by the top-left rule."""
    px = wp.float64(x)
    py = wp.float64(y)
    zero = wp.float64(0.0)
    clockwise = e[0] + e[1] + e[2] > zero
    owned = e[0] + e[1] + e[2] != zero
    if e[0] == zero and owns(b[0] - px, b[1] - py, c[0] - px, c[1] - py) != clockwise:
        owned = False
    if e[1] == zero and owns(c[0] - px, c[1] - py, a[0] - px, a[1] - py) != clockwise:
        owned = False
    if e[2] == zero and owns(a[0] - px, a[1] - py, b[0] - px, b[1] - py) != clockwise:
        owned = False
    return owned


@wp.func
def depth_key(z: wp.float32, triangle: int):
    """Smaller is nearer, and of equal depths the lower index: (descending z as an integer) * 2**32 + triangle."""
    near = z
    if near == wp.float32(0.0):
        near = wp.float32(0.0)  # -0 and 0 are one depth
    order = wp.cast(near, wp.int32)
    if order < 0:
        order = order ^ wp.int32(0x7FFFFFFF)  # of negative numbers the magnitude counts down
    return (wp.int64(~order) << wp.int64(32)) | wp.int64(triangle)


@wp.func
def draw_pixel(
    a: wp.vec3d,
    b: wp.vec3d,
    c: wp.vec3d,
    x: int,
    y: int,
    front: bool,
    back: bool,
    triangle: int,
    row: int,
    keys_out: wp.array(dtype=wp.int64, ndim=2),
):
    """Enter a triangle into a pixel's key if it covers the pixel's center."""
    zero = wp.float64(0.0)
    e = edges(a, b, c, x, y)
    low = wp.min(wp.min(e[0], e[1]), e[2])
    high = wp.max(wp.max(e[0], e[1]), e[2])
    covers = (front and low >= zero) or (back and high <= zero)
    if covers and e[0] * e[1] * e[2] == zero:
        covers = owns_tie(e, a, b, c, x, y)
    if covers:
        scale = wp.float64(1.0) / (e[0] + e[1] + e[2])
        z = wp.float32((e[0] * a[2] + e[1] * b[2] + e[2] * c[2]) * scale)
        if z - z == wp.float32(0.0):
            key = depth_key(z, triangle)
            if key < keys_out[row + y, x]:  # keys only fall: an old one that is read here costs time alone
                wp.atomic_min(keys_out, row + y, x, key)


@wp.func
def draw_band(
    a: wp.vec3d,
    b: wp.vec3d,
    c: wp.vec3d,
    left: int,
    top: int,
    columns: int,
    rows: int,
    lane: int,
    lanes: int,
    front: bool,
    back: bool,
    triangle: int,
    row: int,
    keys_out: wp.array(dtype=wp.int64, ndim=2),
):
    """Every `lanes`-th pixel of rows of a box."""
    pixel = lane
    while pixel < columns * rows:
        draw_pixel(a, b, c, left + pixel % columns, top + pixel // columns, front, back, triangle, row, keys_out)
        pixel += lanes


@wp.func
def rows_of_band(columns: int):
    """Rows of the parts that a box of so many columns is cut into."""
    return wp.max(BAND // columns, 1)


@wp.func
def are_rows(corners: wp.vec3i, n: int):
    """Whether all three indices name one of n vertices."""
    low = wp.min(wp.min(corners[0], corners[1]), corners[2])
    high = wp.max(wp.max(corners[0], corners[1]), corners[2])
    return low >= 0 and high < n


def raster(scalar, module):
    """The kernels for vertices, weights and gradients of one type, float32 or float64."""
    vector = wp.vec3f if scalar is wp.float32 else wp.vec3d

    @wp.func
    def corner(vertices: wp.array(dtype=vector, ndim=2), item: int, i: int):
        v = vertices[item, i]
        return wp.vec3d(wp.float64(v[0]), wp.float64(v[1]), wp.float64(v[2]))

    @wp.func
    def box(a: vector, b: vector, c: vector, width: int, height: int):
        """First column and row, columns and rows of the pixel centers in a triangle's box; 0 if there are none."""
        one = scalar(1.0)
        zero = scalar(0.0)
        w = scalar(width)
        h = scalar(height)
        left = wp.min(wp.max(wp.ceil(wp.min(wp.min(a[0], b[0]), c[0])), zero), w)
        top = wp.min(wp.max(wp.ceil(wp.min(wp.min(a[1], b[1]), c[1])), zero), h)
        right = wp.max(wp.min(wp.floor(wp.max(wp.max(a[0], b[0]), c[0])), w - one), -one)
        bottom = wp.max(wp.min(wp.floor(wp.max(wp.max(a[1], b[1]), c[1])), h - one), -one)
        columns = right - left + one
        rows = bottom - top + one
        # min and max may drop a NaN, a sum never does; it is NaN or infinite if any coordinate is.
        total = wp.float32(a[0]) + wp.float32(b[0]) + wp.float32(c[0])
        total += wp.float32(a[1]) + wp.float32(b[1]) + wp.float32(c[1])
        found = wp.vec4i(0, 0, 0, 0)
        if columns > zero and rows > zero and total - total == wp.float32(0.0):
            found = wp.vec4i(int(left), int(top), int(columns), int(rows))
        return found

    @wp.kernel(module=module)
    def cover(
        vertices: wp.array(dtype=vector, ndim=2),
        triangles: wp.array(dtype=wp.vec3i),
        n: int,
        width: int,
        height: int,
        front: bool,
        back: bool,
        capacity: int,
        queue_out: wp.array(dtype=wp.vec3i),
        n_queued_out: wp.array(dtype=wp.int32),
        keys_out: wp.array(dtype=wp.int64, ndim=2),
    ):
        item, triangle = wp.tid()
        corners = triangles[triangle]
        if not are_rows(corners, n):
            return
        found = box(vertices[item, corners[0]], vertices[item, corners[1]], vertices[item, corners[2]], width, height)
        columns = found[2]
        rows = found[3]
        if columns * rows == 0:
            return
        first = wp.int32(0)  # band that this thread draws
        step = rows
        if columns * rows > SMALL:
            step = rows_of_band(columns)
            n_bands = (rows + step - 1) // step
            place = wp.atomic_add(n_queued_out, 0, n_bands)
            while first < n_bands and place + first < capacity and place >= 0:  # below 0: the count ran over
                queue_out[place + first] = wp.vec3i(item, triangle, first)
                first += 1
        a = corner(vertices, item, corners[0])
        b = corner(vertices, item, corners[1])
        c = corner(vertices, item, corners[2])
        for row in range(first * step, rows, step):
            draw_band(
                a, b, c, found[0], found[1] + row, columns, wp.min(step, rows - row), 0, 1, front, back, triangle,
                item * height, keys_out,
            )  # fmt: skip

    @wp.kernel(module=module)
    def cover_queued(
        vertices: wp.array(dtype=vector, ndim=2),
        triangles: wp.array(dtype=wp.vec3i),
        width: int,
        height: int,
        front: bool,
        back: bool,
        workers: int,
        lanes: int,
        capacity: int,
        queue: wp.array(dtype=wp.vec3i),
        n_queued: wp.array(dtype=wp.int32),
        keys_out: wp.array(dtype=wp.int64, ndim=2),
    ):
        worker, lane = wp.tid()
        count = n_queued[0]
        if count < 0 or count > capacity:
            count = capacity
        i = worker
        while i < count:
            entry = queue[i]
            item = entry[0]
            corners = triangles[entry[1]]
            found = box(
                vertices[item, corners[0]], vertices[item, corners[1]], vertices[item, corners[2]], width, height
            )
            step = rows_of_band(found[2])
            row = entry[2] * step
            draw_band(
                corner(vertices, item, corners[0]), corner(vertices, item, corners[1]),
                corner(vertices, item, corners[2]), found[0], found[1] + row, found[2],
                wp.min(step, found[3] - row), lane, lanes, front, back, entry[1], item * height, keys_out,
            )  # fmt: skip
            i += workers

    @wp.kernel(module=module)
    def resolve(
        vertices: wp.array(dtype=vector, ndim=2),
        triangles: wp.array(dtype=wp.vec3i),
        height: int,
        keys: wp.array(dtype=wp.int64, ndim=2),
        triangle_out: wp.array(dtype=wp.int32, ndim=2),
        weights_out: wp.array(dtype=vector, ndim=2),
        depth_out: wp.array(dtype=scalar, ndim=2),
    ):
        row, x = wp.tid()
        key = keys[row, x]
        triangle = wp.int32(-1)
        weights = vector(scalar(0.0), scalar(0.0), scalar(0.0))
        depth = -scalar(wp.inf)
        if key != NOTHING:
            triangle = int(key & wp.int64(0x7FFFFFFF))
            item = row // height
            corners = triangles[triangle]
            a = corner(vertices, item, corners[0])
            b = corner(vertices, item, corners[1])
            c = corner(vertices, item, corners[2])
            e = edges(a, b, c, x, row - item * height)
            scale = wp.float64(1.0) / (e[0] + e[1] + e[2])
            weights = vector(scalar(e[0] * scale), scalar(e[1] * scale), scalar(e[2] * scale))
            depth = scalar((e[0] * a[2] + e[1] * b[2] + e[2] * c[2]) * scale)
        triangle_out[row, x] = triangle
        weights_out[row, x] = weights
        depth_out[row, x] = depth

    @wp.kernel(module=module)
    def rasterize_gradient(
        vertices: wp.array(dtype=vector, ndim=2),
        triangles: wp.array(dtype=wp.vec3i),
        height: int,
        triangle_of: wp.array(dtype=wp.int32, ndim=2),
        in_weights: wp.array(dtype=vector, ndim=2),
        in_depth: wp.array(dtype=scalar, ndim=2),
        listed: bool,
        corners_out: wp.array(dtype=vector, ndim=3),
        vertices_out: wp.array(dtype=vector, ndim=2),
    ):
        """Add the gradients of each pixel's corners up in `vertices_out`, or if `listed`, list them."""
        row, x = wp.tid()
        triangle = triangle_of[row, x]
        if triangle < 0:
            return
        item = row // height
        corners = triangles[triangle]
        a = corner(vertices, item, corners[0])
        b = corner(vertices, item, corners[1])
        c = corner(vertices, item, corners[2])
        y = row - item * height
        e = edges(a, b, c, x, y)
        scale = wp.float64(1.0) / (e[0] + e[1] + e[2])
        w = e * scale
        of_depth = wp.float64(in_depth[row, x])
        g = in_weights[row, x]
        # depth = w . z; w = e / (e0 + e1 + e2)
        h = wp.vec3d(wp.float64(g[0]), wp.float64(g[1]), wp.float64(g[2])) + of_depth * wp.vec3d(a[2], b[2], c[2])
        mean = wp.dot(h, w)
        h = (h - wp.vec3d(mean, mean, mean)) * scale
        ax = a[0] - wp.float64(x)
        ay = a[1] - wp.float64(y)
        bx = b[0] - wp.float64(x)
        by = b[1] - wp.float64(y)
        cx = c[0] - wp.float64(x)
        cy = c[1] - wp.float64(y)
        to_a = vector(scalar(h[2] * by - h[1] * cy), scalar(h[1] * cx - h[2] * bx), scalar(of_depth * w[0]))
        to_b = vector(scalar(h[0] * cy - h[2] * ay), scalar(h[2] * ax - h[0] * cx), scalar(of_depth * w[1]))
        to_c = vector(scalar(h[1] * ay - h[0] * by), scalar(h[0] * bx - h[1] * ax), scalar(of_depth * w[2]))
        if listed:
            corners_out[row, x, 0] = to_a
            corners_out[row, x, 1] = to_b
            corners_out[row, x, 2] = to_c
        else:
            wp.atomic_add(vertices_out, item, corners[0], to_a)
            wp.atomic_add(vertices_out, item, corners[1], to_b)
            wp.atomic_add(vertices_out, item, corners[2], to_c)

    kernels = [cover, cover_queued, resolve, rasterize_gradient]
    return SimpleNamespace(**{kernel.func.__name__: kernel for kernel in kernels})
