"""Colors for what no photograph shows, against the same done slowly in double precision."""

import heapq

import numpy as np
from numpy.typing import NDArray

from uvgen.augment import unseen_kernels as kernels
from uvgen.augment.profile_mesh import PointGraph
from uvgen.augment.unseen import CoarsePoints, Limits, Ways

N, AWAY = 90, 0.15


def graph_of(rng: np.random.Generator) -> PointGraph:
    edges = rng.integers(0, N, (4 * N, 2))
    edges = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)
    starts = np.searchsorted(edges[:, 0], np.arange(N + 1)).astype(np.int32)
    steps, costs = rng.uniform(0.01, 1, len(edges)), rng.choice([0, 0.5], N)
    return PointGraph(starts, edges[:, 1].astype(np.int32), steps.astype(np.float32), costs.astype(np.float32))


def looked_at(rng: np.random.Generator) -> CoarsePoints:
    normals = rng.normal(size=(N, 3)).astype(np.float32)
    normals[:3, :2] = 0  # at the viewer, or straight away
    unit = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    seen = np.where(rng.random(N) < 0.5, unit[:, 2].clip(0), 0).astype(np.float32)
    points = rng.uniform(-4, 30, (N, 3)).astype(np.float32)
    toward = np.array([0.6, 0, 0.8], np.float32)
    return CoarsePoints(points, normals, seen, (seen * rng.choice([0.2, 0.9], N)).astype(np.float32), toward)


def away(looked: CoarsePoints) -> NDArray[np.bool_]:
    z: NDArray[np.float64] = looked.normals[:, 2] / np.linalg.norm(looked.normals.astype(np.float64), axis=1)
    return z < AWAY


def ramp(value: float) -> float:
    value = min(max(value, 0), 1)
    return value * value * (3 - 2 * value)


def neighbors(graph: PointGraph, i: int) -> list[tuple[int, float]]:
    some = slice(graph.starts[i], graph.starts[i + 1])
    return list(zip(graph.neighbors[some].tolist(), graph.steps[some].tolist(), strict=True))


def find_sources(looked: CoarsePoints, graph: PointGraph) -> tuple[dict[int, float], dict[int, int]]:
    """Dijkstra's way."""
    hidden = away(looked)
    distance: dict[int, float] = {}
    source: dict[int, int] = {}
    heap = [
        (float(graph.source_costs[i]), i, i)
        for i in np.flatnonzero(~hidden & (looked.seen >= AWAY) & (looked.quality >= 0.5 * looked.seen)).tolist()
        if any(hidden[j] for j, _ in neighbors(graph, i))
    ]
    heapq.heapify(heap)
    while heap:
        far, i, start = heapq.heappop(heap)
        if i in distance:
            continue
        distance[i], source[i] = far, start
        for j, step in neighbors(graph, i):
            if hidden[j] and j not in distance:
                heapq.heappush(heap, (far + step, j, start))
    return distance, source


def take_colors(photograph, looked: CoarsePoints, ways: Ways, costs, limits: Limits) -> NDArray[np.float64]:
    fills = np.zeros((N, 4))
    height, width = photograph.shape[:2]
    unit = looked.normals / np.linalg.norm(looked.normals.astype(np.float64), axis=1, keepdims=True)
    for i, s in enumerate(ways.source.tolist()):
        if s < 0:
            continue
        if s != i:
            more = unit[i] @ looked.toward - unit[i, 2]
            fills[i, 0] = ramp((ways.distance[i] - costs[s] - limits.near) / limits.wide) * ramp(more / 0.15)
        along = unit[s, :2] / max(np.hypot(*unit[s, :2]), 1e-30)
        place = looked.points[s, :2] - ramp(1 - 2 * unit[s, 2]) * limits.inward * along
        column, row = np.clip(place + 0.5, 0, [width - 1, height - 1]).astype(int)
        rows, columns = (np.clip(k + np.arange(-1, 2), 0, n - 1) for k, n in ((row, height), (column, width)))
        fills[i, 1:] = photograph[np.ix_(rows, columns)].reshape(9, 3).mean(axis=0)
    return fills


def blend_colors(graph: PointGraph, source: NDArray[np.int32], times: int, fills) -> NDArray[np.float64]:
    fills = fills.astype(np.float64)
    for _ in range(times):
        for i in range(N):
            if source[i] >= 0 and source[i] != i:
                among = [i, *(j for j, _ in neighbors(graph, i) if source[j] >= 0)]
                fills[i, 1:] = fills[among, 1:].mean(axis=0)
    fills[:, 1:] *= fills[:, :1]
    return fills


def test_find_sources_is_dijkstras_and_take_colors_and_blend_colors_agree_with_slow_ones() -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        graph, looked = graph_of(rng), looked_at(rng)
        ways = Ways(np.empty(N, np.float32), np.empty(N, np.int32))
        kernels.find_sources(looked, np.float32(AWAY), graph, np.empty(N, np.int32), np.empty(N, np.bool_), *ways)
        distance, source = find_sources(looked, graph)
        assert {i: s for i, s in enumerate(ways.source.tolist()) if s >= 0} == source
        assert len(source) > len(set(source.values()))
        for i, far in distance.items():
            np.testing.assert_allclose(ways.distance[i], far, rtol=1e-5)
        photograph = rng.integers(0, 256, (20, 27, 3), np.uint8)
        limits, fills = Limits(np.float32(0.1), np.float32(0.2), np.float32(3)), np.empty((N, 4), np.float32)
        kernels.take_colors(photograph, looked, ways, graph.source_costs, limits, fills)
        slow = take_colors(photograph, looked, ways, graph.source_costs, limits)
        np.testing.assert_allclose(fills, slow, atol=2e-3)  # float32
        slow = blend_colors(graph, ways.source, 3, fills)
        kernels.blend_colors(graph, ways.source, 3, fills)
        np.testing.assert_allclose(fills, slow, atol=2e-3)
        assert (fills[:, 0] > 0).any()
