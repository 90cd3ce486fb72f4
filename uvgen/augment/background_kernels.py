"""Compiled code for face profiling: rings of anchors around a face.

Kernels allocate nothing, raise nothing and release the interpreter lock. Bundles are those of `background`. Anchors are
laid in double precision and blended in single.
"""

import numpy as np

from uvgen.compiled import inlined, kernel

f4, f8 = np.float32, np.float64


@kernel
def outline(points, center_x, center_y, reach_out, point_out):
    """The farthest point in each of N directions from a center: squared distance (N,) float32, and which, (N,) int32.

    Directions are the spans between rays at equal steps of y / (|x| + |y|): no trigonometric is needed. Where no point
    lies in a span, the last one before it that has one counts, all around.
    """
    n = len(reach_out)
    reach_out[:] = f4(0)
    point_out[:] = -1
    for i in range(len(points)):
        x, y = points[i, 0] - center_x, points[i, 1] - center_y
        size = abs(x) + abs(y)
        if not size > f4(0):
            continue
        turn = y / size if x >= 0 else f4(2) - y / size  # -1 to 3
        k = min(int((turn + f4(1)) * f4(n) / f4(4)), n - 1)
        far = x * x + y * y
        if far > reach_out[k]:
            reach_out[k] = far
            point_out[k] = i
    for k in range(2 * n):
        if point_out[k % n] < 0:
            point_out[k % n] = point_out[(k - 1) % n]
            reach_out[k % n] = reach_out[(k - 1) % n]


@inlined
def _to_border(center, out, last):
    """How far it is from a coordinate to the border of the picture, at `out` of it a pixel; negative from outside."""
    if out > 0:
        return (last - center) / out
    return -center / out if out < 0 else np.inf


@kernel
def _blended(line, other, times):
    """Blend each value of a closed line (1/4, 1/2, 1/4) with its neighbors, an even number of times, in place.

    line, other (n + 2,) float32: values begin at 1; the latter is scratch.
    """
    n = len(line) - 2
    for _ in range(times // 2):
        line[0], line[n + 1] = line[n], line[1]
        for k in range(n):
            other[k + 1] = (line[k] + f4(2) * line[k + 1] + line[k + 2]) * f4(0.25)
        other[0], other[n + 1] = other[n], other[1]
        for k in range(n):
            line[k + 1] = (other[k] + f4(2) * other[k + 1] + other[k + 2]) * f4(0.25)


@kernel
def lay_rings(head, size, behind, shape, scratch, anchors_out):
    """Anchors around a face, ring by ring from the innermost out, then the middle; the outline's mean distance.

    head: a `Head`; size: the photograph's height and width; behind: see `around_face`; shape: a `Rings`; scratch: a
    `RingScratch`; anchors_out: `Anchors`.
    """
    before, after, normals, turn = head.before, head.after, head.normals, head.turn
    center_x, center_y = head.center_x, head.center_y
    places_out, points_out, depth_out = anchors_out.places, anchors_out.points, anchors_out.depth
    bounds_out = anchors_out.bounds
    reach, which, rays, lines = scratch.reach, scratch.which, scratch.rays, scratch.lines
    outline(before, center_x, center_y, reach, which)
    steps, hold, times, on_head = shape.steps, shape.hold, shape.times, shape.head
    n, other = len(which), lines[3]
    mean = f8(0)
    for k in range(n):
        rays[0, k] = max(np.sqrt(f8(reach[k])), f8(1e-3))
        mean += rays[0, k]
    mean /= f8(n)
    for k in range(n):
        i = which[k]
        x, y, z = f8(normals[i, 0]), f8(normals[i, 1]), f8(normals[i, 2])
        rays[1, k] = (f8(before[i, 0]) - f8(center_x)) / rays[0, k]
        rays[2, k] = (f8(before[i, 1]) - f8(center_y)) / rays[0, k]
        outward = (x * rays[1, k] + y * rays[2, k]) / (np.sqrt(x * x + y * y + z * z) + 1e-9)
        lines[0, k + 1] = f4(min(max(outward, 0.0), 1.0))
    _blended(lines[0], other, 10)
    for k in range(n):
        outward = f8(lines[0, k + 1])
        rays[3, k] = shape.back * mean * (0.15 + 0.85 * outward * outward)
        rays[4, k] = 1.6 - 1.1 * outward
    low_x = low_y = f4(np.inf)
    high_x = high_y = f4(-np.inf)
    for ring in range(len(steps)):
        deeper = f4(behind * mean) + (f4(1) - hold[ring]) * f4(4 * mean)
        for k in range(n):
            i, far = which[k], rays[0, k]
            if ring < shape.n_inside:
                step, z = (steps[ring] - 1) * far, 0.0
            elif ring < shape.n_inside + shape.n_on_head:
                step, z = on_head * mean * steps[ring], -rays[3, k] * steps[ring] ** rays[4, k]
            else:
                border = _to_border(f8(center_x), rays[1, k], f8(size[1] - 1))
                border = min(border, _to_border(f8(center_y), rays[2, k], f8(size[0] - 1)))
                rim = min(max(border, far + shape.rim_least * mean), far + shape.rim_most * mean)
                step, z = on_head * mean + (rim - far - on_head * mean) * steps[ring], -rays[3, k]
            x, y = f8(f4(step * rays[1, k])), f8(f4(step * rays[2, k]))
            place_x, place_y = f4(f8(before[i, 0]) + x), f4(f8(before[i, 1]) + y)
            places_out[ring * n + k, 0], places_out[ring * n + k, 1] = place_x, place_y
            low_x, low_y, high_x, high_y = (
                min(low_x, place_x), min(low_y, place_y), max(high_x, place_x), max(high_y, place_y)
            )  # fmt: skip
            for axis in range(3):
                moved = f4(turn[axis, 0] * x + turn[axis, 1] * y + turn[axis, 2] * z + f8(after[i, axis]))
                place = place_x if axis == 0 else place_y if axis == 1 else f4(0)
                lines[axis, k + 1] = hold[ring] * (moved - place)
        for axis in range(3):
            _blended(lines[axis], other, times[ring])
        for k in range(n):
            at = ring * n + k
            points_out[at, 0] = places_out[at, 0] + lines[0, k + 1]
            points_out[at, 1] = places_out[at, 1] + lines[1, k + 1]
            depth_out[at] = lines[2, k + 1] - deeper
    bounds_out[0, 0], bounds_out[0, 1], bounds_out[1, 0], bounds_out[1, 1] = low_x, low_y, high_x, high_y
    x = y = z = f8(0)
    for k in range(n):
        x, y, z = x + f8(points_out[k, 0]), y + f8(points_out[k, 1]), z + f8(depth_out[k])
    at = n * len(steps)
    places_out[at, 0], places_out[at, 1] = center_x, center_y
    points_out[at, 0], points_out[at, 1], depth_out[at] = f4(x / n), f4(y / n), f4(z / n)
    return mean
