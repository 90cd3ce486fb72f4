"""Slow, independent float64 versions of the kernels: plain loops over the specification's formulas."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.models.morphable import MorphableModel


def pose_point(v: NDArray[np.float64], pose: NDArray[np.float64], height: float, convention: str) -> list[float]:
    """One model point (3,) in the image frame, by the formulas of the data set."""
    pitch, yaw, roll, tx, ty, tz, f = (float(value) for value in pose)
    rx = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    ry = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    rz = np.array([[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    x, y, z = f * rx @ ry @ rz @ v + [tx, ty, tz]
    return [x, height - y - 1, z] if convention == "face3d" else [x - 1, height - y, z]


def crop_vertices(
    model: MorphableModel,
    shape: NDArray[np.float64],
    expression: NDArray[np.float64],
    pose: NDArray[np.float64],
    similarity: NDArray[np.float64],
    height: float,
    convention: str = "exact",
) -> NDArray[np.float64]:
    """(n, 3) vertices of one face in the crop frame, smallest depth 0."""
    flat = model.mean.astype(np.float64).ravel()
    flat = flat + model.shape_basis.reshape(flat.size, -1).astype(np.float64) @ shape
    flat = flat + model.expression_basis.reshape(flat.size, -1).astype(np.float64) @ expression
    image = np.array([pose_point(v, pose, height, convention) for v in flat.reshape(-1, 3)])
    scale = np.hypot(similarity[0, 0], similarity[1, 0])
    crop = np.concatenate([np.c_[image[:, :2], np.ones(len(image))] @ similarity[:2].T, scale * image[:, 2:]], axis=1)
    crop[:, 2] -= crop[:, 2].min()
    return crop


def bilinear(image: NDArray[Any], x: float, y: float) -> NDArray[np.float64]:
    """(c,) bilinear sample of an image that is 0 outside."""
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    total = np.zeros(image.shape[2])
    for yy, wy in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
        for xx, wx in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
            if 0 <= yy < image.shape[0] and 0 <= xx < image.shape[1]:
                total += wx * wy * image[yy, xx]
    return total


def covered_mean(image: NDArray[np.uint8], inverse: NDArray[np.float64], x: float, y: float) -> NDArray[np.float64]:
    """(c,) mean over the square that a crop pixel covers in an image of square pixels that is 0 outside."""
    steps = (np.arange(96) + 0.5) / 96 - 0.5
    columns, rows = np.rint(
        inverse[:, :2] @ np.stack(np.meshgrid(x + steps, y + steps)).reshape(2, -1) + inverse[:, 2:]
    )
    inside = (columns >= 0) & (rows >= 0) & (columns < image.shape[1]) & (rows < image.shape[0])
    return image[rows[inside].astype(int), columns[inside].astype(int)].sum(axis=0) / inside.size


def box_weights(factor: float, start: float, size: int, n: int) -> NDArray[np.float64]:
    """(size, n) share of each of n pixels in intervals of `factor` px; the first one's middle is `start`."""
    low = (start + factor * (np.arange(size) - 0.5))[:, None]
    edges = np.arange(n) - 0.5
    return np.clip(np.minimum(low + factor, edges + 1) - np.maximum(low, edges), 0, None) / factor


def mean_of_samples(
    image: NDArray[np.uint8], inverse: NDArray[np.float64], x: float, y: float, block: int, offsets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(c,) mean of bilinear samples at (x, y) + all pairs of offsets (crop px), of an image of averaged blocks."""
    height, width, channels = image.shape
    padded = np.zeros((-(-height // block) * block, -(-width // block) * block, channels))
    padded[:height, :width] = image
    blocks = padded.reshape(len(padded) // block, block, -1, block, channels).mean(axis=(1, 3))
    samples = []
    for dy in offsets:
        for dx in offsets:
            u, v = (inverse @ [x + dx, y + dy, 1] - (block - 1) / 2) / block
            samples.append(bilinear(blocks, u, v))
    return np.mean(samples, axis=0)


def texel_triangles(points: NDArray[np.float32], triangles: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """(size, size) first triangle that holds each texel center by face3d's rule, -1 where none does."""
    result = np.full((size, size), -1)
    for t, corners in enumerate(triangles):
        p0, p1, p2 = points[corners].astype(np.float64)
        basis = np.array([p2 - p0, p1 - p0]).T
        if abs(np.linalg.det(basis)) < 1e-12:
            continue
        low, high = np.floor(points[corners].min(axis=0)), np.ceil(points[corners].max(axis=0))
        for row in range(max(int(low[1]), 0), min(int(high[1]), size - 1) + 1):
            for column in range(max(int(low[0]), 0), min(int(high[0]), size - 1) + 1):
                u, v = np.linalg.solve(basis, np.array([column, row]) - p0)
                if result[row, column] < 0 and u >= 0 and v >= 0 and u + v < 1:
                    result[row, column] = t
    return result


AFLW_OF_68 = "18 20 22 23 25 27 37 37-42 40 43 43-48 46 3 32 31 36 15 49 61-68 55 9"
"""AFLW's 21 points by iBUG's 68, counted from 1, as 3DDFA's benchmark_aflw.py has them."""


def aflw_points(points: NDArray[Any]) -> list[tuple[float, float]]:
    """AFLW's 21 of (68, 2 or more) points, by loops."""
    found = []
    for text in AFLW_OF_68.split():
        first, _, last = text.partition("-")
        of = [points[k - 1] for k in range(int(first), int(last or first) + 1)]
        found.append((sum(float(p[0]) for p in of) / len(of), sum(float(p[1]) for p in of) / len(of)))
    return found


def nme_21(points: NDArray[Any], marked: NDArray[Any], box: NDArray[Any]) -> float:
    """Of one face: (68, 2+) predicted, (21, 2) marked with a -1 or NaN where they are not visible, (68, 2+) true."""
    seen = [(p, q) for p, q in zip(aflw_points(points), marked.tolist(), strict=True) if -1 not in q and q[0] == q[0]]
    total = sum(((px - qx) ** 2 + (py - qy) ** 2) ** 0.5 for (px, py), (qx, qy) in seen)
    (left, top), (right, bottom) = box[:, :2].min(axis=0), box[:, :2].max(axis=0)
    return float(total / len(seen) / ((right - left) * (bottom - top)) ** 0.5)
