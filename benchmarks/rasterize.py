"""How long rasterization takes on one core, against the usual loop and the memory's own speed.

    python benchmarks/rasterize.py [--model bfm.h5] [--repeats 60]

Draws the model's mean shape; without a model, a bulged grid of as many triangles as the Basel model has. Only ratios
within one run mean anything. Every time is the fastest of many repeats.
"""

import argparse
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from timing import best_ms  # before NumPy: it asks for one BLAS thread

# isort: split
import numpy as np
from numba import njit

from uvgen import load_model
from uvgen import rasterize as r
from uvgen.checks import frozen, triangle_indices
from uvgen.maps.target_layouts import TARGETS
from uvgen.maps.targets import TargetMaker
from uvgen.rasterize import coverage_kernels as kernels
from uvgen.rasterize.buffers import FragmentArrays, mesh_arrays, thread_memory

SIZES = (128, 256, 450, 1024)


@njit(nogil=True)
def usual_loop(vertices, triangles, triangle_out, weights_out, depth_out):
    """The baseline: box of each triangle, barycentric test of each pixel, depth test, all in float32."""
    height, width = depth_out.shape
    triangle_out[:] = -1
    weights_out[:] = 0
    depth_out[:] = -np.inf
    one = np.float32(1)
    for t in range(len(triangles)):
        i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, z0 = vertices[i0, 0], vertices[i0, 1], vertices[i0, 2]
        x1, y1, z1 = vertices[i1, 0], vertices[i1, 1], vertices[i1, 2]
        x2, y2, z2 = vertices[i2, 0], vertices[i2, 1], vertices[i2, 2]
        left = max(math.ceil(min(x0, min(x1, x2))), 0)
        right = min(math.floor(max(x0, max(x1, x2))), width - 1)
        top = max(math.ceil(min(y0, min(y1, y2))), 0)
        bottom = min(math.floor(max(y0, max(y1, y2))), height - 1)
        if right < left or bottom < top:
            continue
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                ax, ay = x2 - x0, y2 - y0
                bx, by = x1 - x0, y1 - y0
                px, py = np.float32(column) - x0, np.float32(row) - y0
                aa, ab, ap = ax * ax + ay * ay, ax * bx + ay * by, ax * px + ay * py
                bb, bp = bx * bx + by * by, bx * px + by * py
                determinant = aa * bb - ab * ab
                inverse = one / determinant if determinant != 0 else np.float32(0)
                u = (bb * ap - ab * bp) * inverse
                v = (aa * bp - ab * ap) * inverse
                if u >= 0 and v >= 0 and u + v < 1:
                    w = one - u - v
                    z = w * z0 + v * z1 + u * z2
                    if z > depth_out[row, column]:
                        depth_out[row, column] = z
                        triangle_out[row, column] = t
                        weights_out[row, column, 0] = w
                        weights_out[row, column, 1] = v
                        weights_out[row, column, 2] = u


def face_mesh(model, size, yaw_degrees):
    """Vertices of a face that fills half of the picture's width, image frame, and triangles; a grid without a model."""
    if model is not None:
        points, triangles = model.mean, model.triangles
    else:
        v, u = np.mgrid[-1:1:231j, -1:1:231j]
        z = np.sqrt(np.maximum(1 - 0.7 * u**2 - 0.3 * v**2, 0)) + 0.3 * np.exp(-(u**2 + v**2) * 20)
        points = np.dstack([u, v * -1.2, z]).reshape(-1, 3)
        _, triangles, _ = r.mesh_from_map(points.reshape(231, 231, 3))
    yaw = np.radians(yaw_degrees)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, -1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    p = points @ turn.T
    p *= 0.55 * size / np.ptp(points[:, 0])
    return (p - p.mean(axis=0) + [size / 2, size / 2, 0]).astype(np.float32), triangles


def kernel_runner(vertices, triangles, fragments, front=True, back=True):
    """A call of the bare kernel, whose stages can be told apart by giving it less to do."""
    vertices = frozen(vertices, np.float32)
    arguments = (
        mesh_arrays(vertices, triangle_indices(triangles)),
        fragments.size[1],
        front,
        back,
        thread_memory.block,
        FragmentArrays(fragments.triangle.ravel(), fragments.weights.ravel(), fragments.depth.ravel()),
    )
    return lambda: kernels.rasterize_mesh(*arguments)


def box_counts(vertices, triangles, size):
    """How many boxes hold no pixel, up to 2 x 2, up to 4 x 4, more, as the kernel sorts them; tiles of 4 x 4 that the
    last are cut into; and how many pixels all boxes hold."""
    corners = vertices[triangles][..., :2]
    low = np.clip(np.ceil(corners.min(axis=1)), 0, size)
    sides = np.maximum(np.clip(np.floor(corners.max(axis=1)), -1, size - 1) - low + 1, 0)
    longest = np.where(sides.all(axis=1), sides.max(axis=1), 0)
    kinds = np.searchsorted([0, 2, 4], longest)
    tiles = np.ceil(sides[kinds == 3] / 4).prod(axis=1).sum()
    return np.bincount(kinds, minlength=4).tolist(), int(tiles), int(sides.prod(axis=1).sum())


def compare(model, yaw, repeats):
    """The main table: all sizes, with fragments."""
    what = "regular grid, as of a position map" if model is None else model.name
    print(f"\n{what}, turned by {yaw} degrees: milliseconds (and the usual loop's time divided by it)")
    titles = [f"{title:>15}" for title in ("this", "cull='back'", "out= reused")]
    print(f"  size  usual loop {' '.join(titles)}  clearing  covered")
    for size in SIZES:
        vertices, triangles = face_mesh(model, size, yaw)
        shape = (size, size)
        out = r.rasterize(vertices, triangles, shape)
        covered = int(out.covered.sum())
        arrays = np.empty(shape, np.int32), np.empty((*shape, 3), np.float32), np.empty(shape, np.float32)
        base = best_ms(partial(usual_loop, vertices, triangles, *arrays), repeats)
        draw = partial(r.rasterize, vertices, triangles, shape)
        options = ({}, {"cull": "back"}, {"out": out})
        ours = [best_ms(partial(draw, **each), repeats) for each in options]
        floor = best_ms(kernel_runner(vertices, triangles[:0], out), repeats)
        cells = " ".join(f"{t:7.3f} ({base / t:4.2f}x)" for t in ours)
        print(f"{size:>6} {base:11.3f} {cells} {floor:9.3f} {covered:>8}")


def explain(model, size, yaw, repeats):
    """Where the time goes: the kernel with ever more to do."""
    vertices, triangles = face_mesh(model, size, yaw)
    fragments = r.rasterize(vertices, triangles, (size, size))
    covered = int(fragments.covered.sum())
    counts, tiles, tests = box_counts(vertices, triangles, size)
    away = vertices + np.float32([10 * size, 0, 0])
    runs = (
        kernel_runner(vertices, triangles[:0], fragments),
        kernel_runner(away, triangles, fragments),
        kernel_runner(vertices, triangles, fragments, front=False, back=False),
        kernel_runner(vertices, triangles, fragments),
    )
    clear, boxes, cover, draw = np.diff([0, *(best_ms(run, repeats) for run in runs)])
    m = len(triangles)
    print(f"\nwhat limits it at {size}, {yaw} degrees: {m} triangles, {covered} covered pixels")
    print("  boxes of no pixel {}, up to 2 x 2 {}, up to 4 x 4 {}, larger {},".format(*counts), end=" ")
    print(f"cut into {tiles} tiles of 4 x 4; {tests} pixels in all boxes")
    lines = (
        ("clear the output", clear, fragments.depth.size * 20 / clear / 1e6, "GB/s: the memory's bandwidth"),
        ("corners and boxes", boxes, boxes / m * 1e6, "ns a triangle: loads by index, one by one"),
        ("test pixels", cover, cover / (m - counts[0]) * 1e6, "ns a box: packing, testing, listing"),
        ("weights and depth", draw, draw / covered * 1e6, "ns a covered pixel: some 130 instructions each"),
    )
    for name, milliseconds, rate, unit in lines:
        print(f"  {name:<20} {milliseconds:6.3f} ms  {rate:5.1f} {unit}")


def rest(model, repeats):
    """Interpolation, normals, batches, import."""
    size = 450
    vertices, triangles = face_mesh(model, size, 40)
    fragments = r.rasterize(vertices, triangles, (size, size))
    whole = best_ms(lambda: r.rasterize(vertices, triangles, (size, size)), repeats)
    print(f"\nat {size}, 40 degrees: rasterize {whole:.3f} ms")
    wide = np.ascontiguousarray(np.tile(vertices, 6)[:, :16])
    for name, function in (
        ("interpolate, 3 channels", lambda: r.interpolate(fragments, triangles, vertices)),
        ("interpolate, 16 channels", lambda: r.interpolate(fragments, triangles, wide)),
        ("vertex_normals", lambda: r.vertex_normals(vertices, triangles)),
        ("visible_vertices", lambda: r.visible_vertices(vertices, triangles, size=(size, size))),
    ):
        t = best_ms(function, repeats)
        print(f"  {name:<26} {t:6.3f} ms  {t / whole:.2f} of rasterize")
    batch = np.repeat(vertices[None], 16, axis=0)
    out = r.rasterize(batch, triangles, (size, size))
    draw = partial(r.rasterize, batch, triangles, (size, size), out=out)
    one, two = (best_ms(partial(draw, workers=w), repeats) for w in (1, 2))
    print(f"  batch of 16: one thread {one:.2f} ms, two {two:.2f} ms: {one / two:.2f}x")


FIRST_CALL = """
import time, numpy, numba
from numba.core.registry import cpu_target
a = time.perf_counter()
cpu_target.typing_context.refresh(), cpu_target.target_context.refresh()  # numba's part of any first call
b = time.perf_counter()
from uvgen import rasterize as r
c = time.perf_counter()
r.rasterize([[0, 0, 0], [9, 0, 0], [0, 9, 0]], [[0, 1, 2]], (8, 8))
print(b - a, c - b, time.perf_counter() - c)
"""


def first_call():
    """Import and first call in fresh interpreters, with a warm cache."""
    environment = {**os.environ, "PYTHONPATH": str(Path(r.__file__).parents[1])}
    command = [sys.executable, "-c", FIRST_CALL]
    runs = [subprocess.check_output(command, text=True, env=environment).split() for _ in range(5)]
    numba_ms, import_ms, call_ms = (1e3 * min(float(run[i]) for run in runs) for i in range(3))
    print(f"\nimport beyond numpy and numba {import_ms:.0f} ms, first call with a warm cache {call_ms:.0f} ms,")
    print(f"not counting {numba_ms:.0f} ms in which numba prepares itself at the first call of any function")


def targets(model, repeats):
    """Each per-pixel target of a face at 256 x 256 from its vertices, and the rasterization that all of them need."""
    size, yaw = 256, 40
    vertices, triangles = face_mesh(model, size, yaw)
    out = r.rasterize(vertices, triangles, (size, size), cull="back")
    floor = best_ms(lambda: r.rasterize(vertices, triangles, (size, size), cull="back", out=out), repeats)
    print(f"targets of {len(triangles)} triangles at {size} x {size}; the rasterization in each: {floor:.2f} ms")
    names = [name for name in TARGETS if name != "parts" or model.regions is not None]
    for chosen in (*((name,) for name in names), tuple(names)):
        maker = TargetMaker(model, chosen, crop_size=size, uv_size=size)
        places = {name: np.empty(layout.shape, layout.dtype) for name, layout in maker.layouts.items()}
        ms = best_ms(lambda m=maker, p=places: m.draw(vertices, p), repeats)
        print(f"  {'all together' if len(chosen) > 1 else chosen[0]:14} {ms:6.2f} ms, {ms / floor:.2f} of it")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--model")
    options = parser.parse_args()
    model = load_model(options.model) if options.model else None
    if model is not None:
        for yaw in (0, 40):
            compare(model, yaw, options.repeats)
    compare(None, 0, options.repeats)
    for size in (450, 1024):
        explain(model, size, 40, options.repeats)
    rest(model, options.repeats)
    if model is not None:
        targets(model, options.repeats)
    first_call()


if __name__ == "__main__":
    main()
