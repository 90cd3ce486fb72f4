"""Compiled code for face profiling: colors for what neither a photograph nor its mirror image shows of a face.

Kernels allocate nothing, raise nothing and release the interpreter lock. Bundles are those of `unseen`,
`turn_buffers.CoarsePoints` and `profile_mesh.PointGraph`, of the c points of a coarse mesh; those of point i's
neighbors begin at starts[i].
"""

import numpy as np

from uvgen.compiled import inlined, kernel

f4, size_t = np.float32, np.uintp
_INSIDE = f4(0.5)  # of what is seen of a source, the share that must lie inside the outline: others show what is around


@inlined
def _ramp(value):
    """0 below 0, 1 above 1, smooth between."""
    value = min(max(value, f4(0)), f4(1))
    return value * value * (f4(3) - f4(2) * value)


@kernel
def find_sources(looked, least, graph, queue, waiting, distance_out, source_out):
    """The seen point that is nearest to each point which looks away from the viewer, on ways through such points.

    looked: a `CoarsePoints`; least: z of a unit normal below which a point looks away, and what must be seen of one to
    be a source; graph: a `PointGraph`; scratch: queue (c,) int32, waiting (c,) bool. distance_out (c,) float32: how
    long the way is, with what its source costs; source_out (c,) int32: which; of a source beside such points itself;
    -1 elsewhere. A point waits once in the queue at most, which is a ring.
    """
    normals, seen, quality = looked.normals, looked.seen, looked.quality
    starts, neighbors, steps, source_costs = graph.starts, graph.neighbors, graph.steps, graph.source_costs
    n = len(seen)
    for i in range(n):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        away = not z >= least * np.sqrt(x * x + y * y + z * z)
        distance_out[i] = f4(np.inf) if away else f4(-np.inf)  # the latter is never reached
        source_out[i], waiting[i] = -1, False
    first = count = 0
    for i in range(n):
        inside = quality[i] >= _INSIDE * seen[i]
        if distance_out[i] == f4(np.inf) or not seen[i] >= least or not inside:
            continue
        beside = False
        for k in range(size_t(starts[i]), size_t(starts[i + 1])):
            beside |= distance_out[size_t(neighbors[k])] == f4(np.inf)
        if beside:
            source_out[i], waiting[i], queue[count] = i, True, i
            count += 1
    for k in range(count):
        distance_out[queue[k]] = source_costs[queue[k]]
    while count > 0:
        i = size_t(queue[first])
        first, count, waiting[i] = first + 1 if first + 1 < n else 0, count - 1, False
        for k in range(size_t(starts[i]), size_t(starts[i + size_t(1)])):
            j, far = size_t(neighbors[k]), distance_out[i] + steps[k]
            if far < distance_out[j] and source_out[j] != j:
                distance_out[j], source_out[j] = far, source_out[i]
                if not waiting[j]:
                    last = first + count
                    queue[last if last < n else last - n] = j
                    count, waiting[j] = count + 1, True


@kernel
def take_colors(photograph, looked, ways, source_costs, limits, fills_out):
    """The colors of sources, and in what share points take them: fills_out (c, 4) float32, share, red, green, blue.

    Shares grow from 0 to 1 where the way from the source is `near` to `near + wide` long: what is behind an outline
    looks like what is before it. And where the turn shows more: what stays edge on keeps its own color. Colors are the
    mean of nine pixels, sought `inward` px inside the outline at most.
    """
    points, normals, toward, distance, source = looked.points, looked.normals, looked.toward, ways.distance, ways.source
    near, wide, inward = limits.near, limits.wide, limits.inward
    height, width = photograph.shape[0], photograph.shape[1]
    for i in range(len(source)):
        for k in range(4):
            fills_out[i, k] = f4(0)
        if source[i] != i:
            continue
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        across = np.sqrt(x * x + y * y)
        pull = _ramp(f4(1) - f4(2) * z / np.sqrt(across * across + z * z)) * inward
        pull = pull / across if across > f4(0) else f4(0)
        column = int(min(max(points[i, 0] - pull * x + f4(0.5), f4(0)), f4(width - 1)))
        row = int(min(max(points[i, 1] - pull * y + f4(0.5), f4(0)), f4(height - 1)))
        for channel in range(3):
            total = f4(0)
            for r in range(row - 1, row + 2):
                for q in range(column - 1, column + 2):
                    total += f4(photograph[min(max(r, 0), height - 1), min(max(q, 0), width - 1), channel])
            fills_out[i, 1 + channel] = total / f4(9)
    for i in range(len(source)):
        s = source[i]
        if s < 0 or s == i:
            continue
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        more = (toward[0] * x + toward[1] * y + toward[2] * z - z) / np.sqrt(x * x + y * y + z * z)
        fills_out[i, 0] = _ramp((distance[i] - source_costs[s] - near) / wide) * _ramp(more / f4(0.15))
        for k in range(1, 4):
            fills_out[i, k] = fills_out[s, k]


@kernel
def blend_colors(graph, source, times, fills_out):
    """Blend the colors of points that take them with those of their neighbors, so many times, and weight by shares.

    One point after the other, in place. fills_out (c, 4): share and color on entry, share and that times color on
    return.
    """
    starts, neighbors = graph.starts, graph.neighbors
    for _ in range(times):
        for i in range(len(source)):
            if source[i] < 0 or source[i] == i:
                continue
            red, green, blue, n = fills_out[i, 1], fills_out[i, 2], fills_out[i, 3], f4(1)
            for k in range(size_t(starts[i]), size_t(starts[i + 1])):
                j = size_t(neighbors[k])
                if source[j] >= 0:
                    red, green, blue = red + fills_out[j, 1], green + fills_out[j, 2], blue + fills_out[j, 3]
                    n += f4(1)
            fills_out[i, 1], fills_out[i, 2], fills_out[i, 3] = red / n, green / n, blue / n
    for i in range(len(source)):
        for k in range(1, 4):
            fills_out[i, k] *= fills_out[i, 0]
