"""UV parameterization: one-to-one, symmetric, near the published map."""

import numpy as np
import pytest
from support.models import builtin_model
from support.toy import grid

from uvgen.errors import InputError
from uvgen.meshes.harmonic import cotangent_weights
from uvgen.meshes.topology import boundary_loops, check_disk, find_mirror
from uvgen.meshes.tutte import parameterize, signed_areas, uv_stretch


def disk(n_rings, n_around, turn=0.0, bulge=0.0):
    """Rings of quads about a center; x mirrors where `turn`, in steps, is 0 and `n_around` even."""
    angle = 2 * np.pi * (np.arange(n_around) + turn) / n_around + np.pi / 2
    radius = np.arange(1, n_rings + 1)[:, None] / n_rings
    ring = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(-1, 2)
    v = np.concatenate([np.zeros((1, 2)), ring])
    v = np.c_[v, bulge * np.exp(-3 * (v**2).sum(axis=1))]
    i = 1 + np.arange(n_rings * n_around).reshape(n_rings, n_around)
    j = np.roll(i, -1, axis=1)
    t = [np.stack([np.zeros(n_around, int), i[0], j[0]], 1)]
    for k in range(n_rings - 1):
        a, b, c, d = i[k], i[k + 1], j[k + 1], j[k]  # counter-clockwise
        left = (v[a, 0] + v[d, 0] < -1e-9)[:, None]
        t.append(np.where(left, np.stack([a, b, c], 1), np.stack([a, b, d], 1)))
        t.append(np.where(left, np.stack([a, c, d], 1), np.stack([b, c, d], 1)))
    return v, np.concatenate(t)


def with_hole(vertices, triangles, center, radius):
    """The mesh without the triangles about `center`."""
    middle = vertices[triangles].mean(axis=1)
    return compact(vertices, triangles[np.linalg.norm(middle[:, :2] - center, axis=1) > radius])


def compact(vertices, triangles):
    used, new = np.unique(triangles, return_inverse=True)
    return vertices[used], new.reshape(-1, 3)


def dense_oracle(vertices, triangles, held, held_uv):
    """Harmonic UV by float64 loops and a dense solve, cotangent weights."""
    n = len(vertices)
    matrix = np.zeros((n, n))
    for tri in triangles:
        for k in range(3):
            i, j, o = tri[k], tri[(k + 1) % 3], tri[(k + 2) % 3]
            p, q = vertices[i] - vertices[o], vertices[j] - vertices[o]
            w = 0.5 * (p @ q) / np.linalg.norm(np.cross(p, q))
            matrix[i, j] -= w
            matrix[j, i] -= w
            matrix[i, i] += w
            matrix[j, j] += w
    matrix[held] = 0
    matrix[held, held] = 1
    right = np.zeros((n, 2))
    right[held] = held_uv
    return np.linalg.solve(matrix, right)


def assert_one_to_one(result, triangles):
    area = signed_areas(result.uv, np.concatenate([triangles, result.hole_triangles]))
    assert area.min() > 0 or area.max() < 0
    assert abs(area.sum()) == pytest.approx(1.0, abs=1e-9)  # the square, covered once


def test_parameterize_flat_square_gives_the_square_itself():
    v, t = grid(9, 13)
    result = parameterize(v, t)
    np.testing.assert_allclose(result.uv, v[:, :2] * [0.5, 0.5] + [0.5, 0], atol=1e-12)
    assert result.n_mean_value == 0
    assert uv_stretch(v, t, result.uv) == pytest.approx(1.0)


def test_parameterize_turned_triangles_gives_the_same_map():
    v, t = grid(8, 9, bulge=0.6)
    np.testing.assert_allclose(parameterize(v, t[:, ::-1]).uv, parameterize(v, t).uv, atol=1e-12)


def test_parameterize_agrees_with_a_dense_solve():
    v, t = grid(8, 9, bulge=0.8)
    result = parameterize(v, t)
    held = np.union1d(result.boundary, np.flatnonzero(result.mirror == np.arange(len(v))))
    np.testing.assert_allclose(result.uv, dense_oracle(v, t, held, result.uv[held]), atol=1e-9)


def test_parameterize_is_symmetric_although_the_shape_is_not():
    rng = np.random.default_rng(3)
    v, t = grid(15, 17, bulge=0.9)
    v = v + rng.normal(scale=0.01, size=v.shape)
    result = parameterize(v, t)
    assert np.abs(result.uv[result.mirror] * [-1, 1] + [1, 0] - result.uv).max() < 1e-12
    assert_one_to_one(result, t)


def test_parameterize_where_edges_cross_the_symmetry_line():
    v, t = grid(9, 8, bulge=0.5)  # no column at x = 0: its quads there are cut in four about their middle
    over = np.abs(v[t][:, :, 0].mean(axis=1)) < 0.2
    corners = np.stack([np.arange(8) * 8 + k for k in (3, 4, 12, 11)], 1)
    middle = len(v) + np.arange(8)
    fans = [np.stack([corners[:, k], corners[:, (k + 1) % 4], middle], 1) for k in range(4)]
    v, t = np.concatenate([v, v[corners].mean(axis=1)]), np.concatenate([t[~over], *fans])
    result = parameterize(v, t)
    assert np.array_equal(np.flatnonzero(result.mirror == np.arange(len(v))), middle)
    assert np.abs(result.uv[result.mirror] * [-1, 1] + [1, 0] - result.uv).max() < 1e-12
    assert_one_to_one(result, t)


def test_parameterize_boundary_goes_by_arc_length_with_a_vertex_in_each_corner():
    v, t = disk(5, 40)
    result = parameterize(v, t)
    ring = result.uv[result.boundary]
    assert ((ring == 0) | (ring == 1)).any(axis=1).all()
    for corner in ((0, 0), (1, 0), (1, 1), (0, 1)):
        assert (ring == corner).all(axis=1).sum() == 1
    step = np.abs(ring - np.roll(ring, 1, axis=0)).max(axis=1)
    np.testing.assert_allclose(step, 4 / 40, atol=1e-12)
    assert result.uv[np.argmax(v[:, 1])] == pytest.approx([0.5, 1.0])


@pytest.mark.parametrize("centers", [[(0.0, 0.8)], [(-0.5, 1.2), (0.5, 1.2), (0.0, 0.5)]])
def test_parameterize_closes_holes(centers):
    v, t = grid(31, 33, bulge=0.7)
    for center in centers:
        v, t = with_hole(v, t, np.array(center), 0.2)
    result = parameterize(v, t)
    n_rim = sum(len(loop) for loop in boundary_loops(t)) - len(result.boundary)
    assert len(result.hole_triangles) == n_rim - 2 * len(centers)
    assert_one_to_one(result, t)
    check_disk(v, np.concatenate([t, result.hole_triangles]))


def test_parameterize_where_conformal_weights_fold_takes_mean_value_weights_there(caplog):
    v, t = grid(21, 21)
    v[:, 2] = 3 * np.exp(-40 * (v[:, 0] ** 2 + (v[:, 1] - 1.0) ** 2))  # a needle: very obtuse triangles
    v[:, 1] += 0.9 * v[:, 2] ** 2
    result = parameterize(v, t)
    assert_one_to_one(result, t)
    assert result.n_folded_conformal > 0
    assert 0 < result.n_mean_value <= len(v)
    assert f"{result.n_folded_conformal} of {len(t)} triangles would fold; " in caplog.text
    assert f"{result.n_mean_value} of {len(v)} vertices are placed by mean-value weights" in caplog.text
    with pytest.raises(InputError, match="conformal weights fold"):
        parameterize(v, t, weights="conformal")


def test_find_mirror_passes_by_a_place_that_is_connected_differently():
    v, t = grid(41, 41, bulge=0.4)
    edge = np.flatnonzero((t == 41 * 20 + 30).any(axis=1))[0]
    quads = np.delete(t, edge, axis=0)  # one triangle less on one side: a hole without an image
    mirror = find_mirror(v, quads)
    assert (mirror >= 0).mean() > 0.98
    known = mirror >= 0
    np.testing.assert_allclose(v[mirror[known]] * [-1, 1, 1], v[known], atol=1e-12)
    result = parameterize(v, quads)
    assert_one_to_one(result, quads)


def tetrahedron():
    return (
        np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
    )


def tube():
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], 1)
    v = np.concatenate([ring, ring + np.array([0, 1, 0])])
    i = np.arange(12)
    j = (i + 1) % 12
    return v, np.concatenate([np.stack([i, j, j + 12], 1), np.stack([i, j + 12, i + 12], 1)])


def two_parts():
    v, t = grid(4, 5)
    return np.concatenate([v, v + np.array([0, 5, 0])]), np.concatenate([t, t + len(v)])


def unwelded():
    v, t = grid(4, 5)
    return v[t].reshape(-1, 3), np.arange(t.size).reshape(-1, 3)


def three_on_an_edge():
    v, t = grid(4, 5)
    return np.concatenate([v, [[0.0, 1, 1]]]), np.concatenate([t, [[t[0, 0], t[0, 1], len(v)]]])


def lopsided():
    v, t = grid(9, 11, bulge=0.3)
    return compact(v, t[~((v[t].mean(axis=1)[:, 0] > 0.4) & (v[t].mean(axis=1)[:, 1] > 1.0))])


def out_of_range():
    v, t = grid(4, 5)
    return v, t + 1


def unused_vertex():
    v, t = grid(4, 5)
    return np.concatenate([v, [[9.0, 9, 9]]]), t


def with_an_ear():
    v, t = disk(4, 24)
    a, b = 1 + 3 * 24 + 2, 1 + 3 * 24 + 3  # neighbors on the rim
    return np.concatenate([v, [1.1 * (v[a] + v[b]) / 2]]), np.concatenate([t, [[a, len(v), b]]])


def same_place_twice():
    v, t = grid(4, 5)
    v[6] = v[7]
    return v, t


def with_a_handle():
    """Two triangles away from each other and from the boundary, gone, and a tube from the one to the other."""
    v, t = disk(6, 24)
    a = next(f for f in t.tolist() if set(f) <= set(range(25, 73)))
    far = [f for f in t.tolist() if set(f) <= set(range(73, 121)) and not near(v, a, f)]
    b = far[len(far) // 2]
    b = [b[0], b[2], b[1]]
    tube = [[a[i], a[j], b[i]] for i, j in ((0, 1), (1, 2), (2, 0))]
    tube += [[a[j], b[j], b[i]] for i, j in ((0, 1), (1, 2), (2, 0))]
    kept = [f for f in t.tolist() if f != a and set(f) != set(b)]
    return v, np.array(kept + tube)


def near(v, a, f):
    return np.linalg.norm(v[a][:, None] - v[f][None], axis=2).min() < 0.5


def touching():
    """A closed surface that shares one vertex with the sheet."""
    v, t = disk(4, 24)
    n = len(v)
    ball = [[0, n, n + 1], [0, n + 1, n + 2], [0, n + 2, n], [n, n + 2, n + 1]]
    return np.concatenate([v, [[0.1, 0, 1], [0, 0.1, 1], [0.1, 0.1, 1]]]), np.concatenate([t, ball])


@pytest.mark.parametrize(
    ("mesh", "word"),
    [
        (with_a_handle, r"with 1 handle \(a cup has one\), expected a sheet with holes"),
        (touching, "touch in 1 vertex, one of them 0, expected parts that share edges"),
        (tetrahedron, "no boundary"),
        (tube, "2 boundaries, the second longest [0-9]+% of the longest"),
        (two_parts, "2 components, expected one"),
        (unwelded, "merge them"),
        (three_on_an_edge, "expected a mesh that is manifold"),
        (lopsided, "expected a mesh whose connectivity is symmetric"),
        (out_of_range, "expected 0 to"),
        (unused_vertex, "no triangle"),
        (same_place_twice, "merge repeated"),
    ],
)
def test_parameterize_bad_mesh_says_what_is_wrong(mesh, word):
    with pytest.raises(InputError, match=word):
        parameterize(*mesh())


def test_parameterize_bad_arguments_name_themselves():
    v, t = grid(5, 5)
    with pytest.raises(InputError, match="weights: 'best', expected 'auto', 'conformal' or 'mean-value'"):
        parameterize(v, t, weights="best")
    with pytest.raises(InputError, match="own inverse"):
        parameterize(v, t, mirror=np.roll(np.arange(len(v)), 1))
    with pytest.raises(InputError, match="not on a boundary"):
        parameterize(v, t, outer=12)
    with pytest.raises(InputError, match=r"vertices: float64 \(25, 2\), expected \(n, 3\)"):
        parameterize(v[:, :2], t)
    with pytest.raises(InputError, match=r"triangles: float64 \(32, 3\), expected integers"):
        parameterize(v, t.astype(float))


def test_parameterize_without_symmetry_maps_a_lopsided_mesh():
    v, t = with_hole(*disk(8, 40, turn=0.3, bulge=0.6), np.array([0.4, 0.3]), 0.2)
    with pytest.raises(InputError, match="symmetric"):
        parameterize(v, t)
    result = parameterize(v, t, symmetric=False)
    assert result.mirror is None
    assert_one_to_one(result, t)
    assert result.uv[np.argmax(v[:, 1]), 1] == 1.0


def test_parameterize_leaves_its_input_as_it_was():
    v, t = grid(7, 9, bulge=0.5)
    before = v.tobytes(), t.tobytes()
    parameterize(v, t)
    assert (v.tobytes(), t.tobytes()) == before


def test_parameterize_maps_the_built_in_skin_with_its_closed_mouth():
    model = builtin_model()
    v, t = compact(model.mean, model.triangles)
    result = parameterize(v, t)
    assert_one_to_one(result, t)
    assert np.array_equal(v[result.mirror] * np.float32([-1, 1, 1]), v)


def test_uv_stretch_of_a_map_scaled_one_way_is_known():
    v, t = grid(5, 5)
    uv = v[:, :2] * [0.5, 0.25]
    # singular values 2 and 4: root of (4 + 16) / 2, times the root of the areas' ratio 1 / 8
    assert uv_stretch(v, t, uv) == pytest.approx(np.sqrt(10 / 8))
    assert uv_stretch(v, t, uv * 0) == np.inf


def test_parameterize_ear_on_the_boundary_is_refused_with_its_name():
    with pytest.raises(InputError, match="ears"):
        parameterize(*with_an_ear(), symmetric=False)


@pytest.mark.slow
def test_parameterize_basel_mean_face_is_near_the_published_uv(reference):
    io = pytest.importorskip("scipy.io")
    parts = reference / "bfm_parts"
    v = (np.load(parts / "u_shp.npy") + np.load(parts / "u_exp.npy").astype(np.float64)).reshape(-1, 3)
    t = io.loadmat(parts / "tri.mat")["tri"].T.astype(np.int64) - 1
    trim = io.loadmat(parts / "BFM_exp_idx.mat")["trimIndex"].ravel().astype(np.int64) - 1
    published = io.loadmat(parts / "BFM_UV_53490.mat")["UV"][trim]
    landmarks = np.load(parts / "keypoints_sim.npy")[0::3] // 3
    result = parameterize(v, t)
    assert_one_to_one(result, t)
    known = result.mirror >= 0
    assert known.mean() > 0.999
    assert np.abs(result.uv[result.mirror[known]] * [-1, 1] + [1, 0] - result.uv[known]).max() < 1e-6
    distance = np.linalg.norm(result.uv[landmarks] - published[landmarks], axis=1)
    assert distance.max() < 0.05
    assert distance[:48].max() < 0.012  # lips go further: closed in another way
    good = signed_areas(published, t) < 0  # the published map turns over a few triangles
    assert uv_stretch(v, t[good], result.uv) < 1.02 * uv_stretch(v, t[good], published)


@pytest.mark.parametrize(
    ("vertices", "message"),
    [
        (np.arange(49)[:, None] * np.ones(3), "100% of the triangles have no area, expected a surface"),
        (np.arange(49)[:, None] * np.ones(3) + 1e-9 * disk(4, 12)[0], "[0-9]+% of the triangles have no area"),
        (np.zeros((49, 3)), "100% of the triangles have no area"),
        (disk(4, 12)[0] * 1e-200, "100% of the triangles have no area"),
        (disk(4, 12)[0] * 1e200, "edges of lengths so different"),
    ],
)
def test_weights_of_a_mesh_that_is_no_surface_are_refused(vertices: np.ndarray, message: str) -> None:
    t = disk(4, 12)[1]
    with pytest.raises(InputError, match=f"vertices: {message}"):
        cotangent_weights(vertices[: t.max() + 1], t)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid", "ignore:divide")
def test_parameterize_of_a_vertex_far_beyond_all_others_is_refused():
    v, t = disk(4, 12)
    v[0] = 1e160, 0, 0
    with pytest.raises(InputError, match="edges of lengths so different that nothing can be solved for"):
        parameterize(v, t, symmetric=False)
