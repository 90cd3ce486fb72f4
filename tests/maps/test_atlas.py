"""The UV atlas: inclusion rule, holes, border."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.oracles import texel_triangles
from support.toy import toy_model

from uvgen import build_atlas
from uvgen.errors import InputError, ModelError
from uvgen.maps.atlas import CLOSURE, FILLED, MESH, hole_loops, texel_coordinates
from uvgen.meshes import topology
from uvgen.meshes.topology import triangulate_loop
from uvgen.models.morphable import MorphableModel


@pytest.mark.parametrize("size", [24, 61])
def test_build_atlas_by_face3d_rule_assigns_texels_as_the_oracle_does(model, size) -> None:
    atlas = build_atlas(model, size, "face3d")
    points = texel_coordinates(model.uv, size).astype(np.float32)
    expected = texel_triangles(points, model.triangles, size)
    found = np.where(atlas.texel_kind == MESH, 1, 0)
    agree = ((found == 1) == (expected >= 0))[1:-1, 1:-1]  # the outermost texels lie on edges: either way is right
    assert agree.mean() > 0.99
    rows = np.flatnonzero((found.ravel() == 1) & (expected.ravel() >= 0))
    same = (atlas.vertices[rows] == model.triangles[expected.ravel()[rows]]).all(axis=1)
    assert same.mean() > 0.99


@pytest.mark.parametrize("size", [41, 61, 81])  # texel centers on the triangles' edges and corners
def test_build_atlas_leaves_no_crack(model, size) -> None:
    assert (build_atlas(model, size).texel_kind != FILLED).all()


def test_build_atlas_weights_give_back_the_texels_own_coordinates(model) -> None:
    size = 50
    atlas = build_atlas(model, size)
    there = atlas.interpolate(texel_coordinates(model.uv, size).astype(np.float32))
    rows, columns = np.nonzero(atlas.texel_kind != FILLED)
    np.testing.assert_allclose(there[rows, columns], np.stack([columns, rows], axis=1), atol=1e-4)
    np.testing.assert_allclose(atlas.weights.sum(axis=1), 1, atol=1e-6)
    assert atlas.weights.min() > -1e-6


def test_build_atlas_closes_the_mouth_from_the_mesh_own_hole(model) -> None:
    atlas = build_atlas(model, 128)
    row, column = np.rint(texel_coordinates(np.array([[0.5, 17.5 / 40]]), 128)[0, ::-1]).astype(int)
    assert atlas.texel_kind[row, column] == CLOSURE
    assert (atlas.texel_kind == CLOSURE).sum() > 20


def test_build_atlas_with_mouth_triangles_uses_them() -> None:
    with_mouth = toy_model(with_mouth=True)
    atlas = build_atlas(with_mouth, 128)
    closing = atlas.vertices[atlas.texel_kind.ravel() == CLOSURE]
    mouth = {tuple(corners) for corners in with_mouth.mouth_triangles.tolist()}
    assert len(closing) > 20
    assert {tuple(corners) for corners in closing.tolist()} <= mouth


def test_build_atlas_fills_every_other_texel_from_the_nearest(model) -> None:
    narrow = dataclasses.replace(model, uv=0.1 + 0.8 * model.uv)
    atlas = build_atlas(narrow, 64)
    assert 0.3 < (atlas.texel_kind == FILLED).mean() < 0.42  # 1 - 0.8²
    columns, rows = np.moveaxis(atlas.interpolate(texel_coordinates(narrow.uv, 64).astype(np.float32)), -1, 0)
    np.testing.assert_allclose([columns[0, 0], rows[0, 0]], [6.3, 6.3], atol=1.0)  # the mesh's corner texel
    np.testing.assert_allclose([columns[32, 0], rows[32, 0]], [6.3, 32], atol=1.0)


def test_build_atlas_twice_gives_the_same_bytes(model) -> None:
    first, second = build_atlas(model, 40), build_atlas(model, 40)
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.vertices.tobytes() == second.vertices.tobytes()


@pytest.mark.parametrize("size", [15, 4097])
def test_build_atlas_with_a_size_out_of_range_raises(model, size) -> None:
    with pytest.raises(InputError, match=f"size: {size} texels"):
        build_atlas(model, size)


def test_build_atlas_without_area_in_uv_raises(model) -> None:
    flat = dataclasses.replace(model, uv=np.full_like(model.uv, 0.5), triangles=model.triangles)
    with pytest.raises(ModelError, match="no texel"):
        build_atlas(flat, 32)


def test_hole_loops_of_the_toy_model_are_its_mouth(model) -> None:
    loops = hole_loops(model.triangles, model.uv)
    assert [len(loop) for loop in loops] == [14]
    closed = np.concatenate([model.triangles, triangulate_loop(loops[0], model.uv)])
    assert hole_loops(closed, model.uv) == []


def star(radii: list[float]) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    return 0.5 + np.array(radii)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1) * 0.4


@given(st.lists(st.floats(0.2, 1), min_size=3, max_size=40), st.booleans())
def test_triangulate_loop_covers_any_star_shaped_polygon_once(radii, reverse) -> None:
    uv = star(radii)[::-1] if reverse else star(radii)
    triangles = triangulate_loop(np.arange(len(uv), dtype=np.int32), uv)
    a, b, c = (uv[triangles[:, k]] for k in range(3))
    areas = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    x, y = uv.T
    whole = (np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y)) / 2
    assert len(triangles) == len(uv) - 2
    assert (areas * np.sign(whole) > -1e-12).all()  # none turned over: with the right sum, none overlaps
    np.testing.assert_allclose(areas.sum(), whole, rtol=1e-9)


def test_build_atlas_of_the_real_uv_leaves_no_texel_and_closes_the_mouth(stand_in_model) -> None:
    atlas = build_atlas(stand_in_model, 256)
    assert (atlas.texel_kind == CLOSURE).sum() == pytest.approx(130, abs=10)
    assert (atlas.texel_kind == FILLED).mean() < 0.01


def test_triangulate_loop_of_a_long_spiral_ends_without_all_triangles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ears are found last: without a bound, twice the vertices take eight times as long."""
    n = 1200
    turn = np.linspace(0, 12 * np.pi, n // 2)
    radius = 0.1 + 0.3 * turn / turn[-1]
    outer = 0.5 + (radius * np.stack([np.cos(turn), np.sin(turn)])).T
    inner = 0.5 + ((radius - 0.02) * np.stack([np.cos(turn), np.sin(turn)])).T
    uv = np.concatenate([outer, inner[::-1]])
    looked_at: list[int] = []
    original = topology._any_inside
    monkeypatch.setattr(topology, "_any_inside", lambda p, *rest: (looked_at.append(len(p)), original(p, *rest))[1])
    monkeypatch.setattr(topology, "_MOST_POINTS", 40)
    triangles = triangulate_loop(np.arange(n, dtype=np.int32), uv)
    assert sum(looked_at) <= 40 * n
    assert len(triangles) < n - 2
    assert len(np.unique(triangles, axis=0)) == len(triangles)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (np.zeros(9, np.float32), r"attributes: float32 \(9,\), expected real numbers of shape \(\*, \*\)"),
        (np.zeros((1, 2)), "attributes: of 1 vertex, expected those of the atlas's model"),
        (np.full((9, 2), "a"), r"attributes: <U1 \(9, 2\), expected real numbers"),
        ([[1], [1, 2]], "expected what NumPy can make an array of"),
    ],
)
def test_interpolate_of_something_else_is_refused(model, attributes, message) -> None:
    with pytest.raises(InputError, match=message):
        build_atlas(model, 24).interpolate(attributes)


@pytest.mark.parametrize("dtype", ["float64", "uint8", "bool"])
def test_interpolate_takes_real_numbers_as_float32(model, dtype) -> None:
    atlas, values = build_atlas(model, 24), np.eye(model.n_vertices, 3).astype(dtype)
    found = atlas.interpolate(values)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, atlas.interpolate(values.astype(np.float32)))


def test_build_atlas_of_triangles_over_each_other_is_refused_where_it_would_take_very_long(model) -> None:
    uv = model.uv.copy()
    uv[model.triangles[0]] = [[0, 0], [1, 0], [0.5, 1]]

    def with_first(times: int) -> MorphableModel:
        triangles = np.concatenate([np.tile(model.triangles[:1], (times, 1)), model.triangles])
        return dataclasses.replace(model, uv=uv, triangles=triangles)

    assert build_atlas(with_first(1000), 16).coverage.any()
    for times, size in ((20_000, 256), (1000, 4096)):
        with pytest.raises(ModelError, match=rf"toy.*: its triangles cover the UV square {times // 100}\d\d times"):
            build_atlas(with_first(times), size)


def test_build_atlas_of_triangles_that_share_no_edges_is_refused_before_memory_is_taken_for_each(model) -> None:
    """Every edge would be a boundary's, and packed files state many millions."""
    first = np.arange(model.n_vertices)[:, None]
    triangles = np.concatenate([(first + steps) % model.n_vertices for steps in ([0, 1, 6], [0, 2, 10], [0, 3, 7])])
    message = rf"toy.*: triangles: {9 * len(first)} edges of one triangle each, at {len(first)} vertices, expected"
    with pytest.raises(ModelError, match=message):
        build_atlas(dataclasses.replace(model, triangles=triangles.astype(np.int32)), 16)


@pytest.mark.parametrize("n_loops", [1, 5])
def test_triangulate_loops_of_very_many_vertices_leaves_the_last_open(n_loops, monkeypatch) -> None:
    monkeypatch.setattr(topology, "_MOST_IN_ALL", 90_000)
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    uv = 0.5 + 0.4 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    loops = [np.arange(200, dtype=np.int32)] * n_loops
    found = [len(triangles) for triangles in topology.triangulate_loops(loops, uv)]
    assert found[:2] == [198, 198][:n_loops] and found[2:] == [*found[2:3], 0, 0][: max(n_loops - 2, 0)]
    assert all(0 < n < 198 for n in found[2:3])
