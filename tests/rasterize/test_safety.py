"""Whatever the input: an `UvgenError` or a defined result; never a crash, a hang or a write out of bounds."""

import contextlib
import hashlib
import itertools
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import uvgen
from uvgen import rasterize as r
from uvgen.errors import InputError, UvgenError

SIZE = (14, 19)
TRIANGLE = np.array([[1, 1, 5], [12, 2, 5], [3, 11, 5]], np.float32)
JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("corner", [0, 1, 2])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("rule", ["top-left", "face3d"])
def test_rasterize_triangle_with_impossible_corner_draws_nothing_and_spares_the_others(bad, corner, axis, rule):
    vertices = np.vstack([TRIANGLE, TRIANGLE])
    vertices[3 + corner, axis] = bad
    fragments = r.rasterize(vertices, [[3, 4, 5], [0, 1, 2]], SIZE, rule=rule)
    np.testing.assert_array_equal(fragments.triangle == 1, r.rasterize(TRIANGLE, [[0, 1, 2]], SIZE, rule=rule).covered)
    assert 0 not in fragments.triangle


@pytest.mark.parametrize("far", [3e38, -3e38])
@pytest.mark.parametrize("corner", [0, 1, 2])
@pytest.mark.parametrize("axis", [0, 1])
def test_rasterize_triangle_with_a_corner_very_far_away_is_drawn_up_to_there(far, corner, axis):
    vertices = TRIANGLE.copy()
    vertices[corner, axis] = far
    drawn = r.rasterize(vertices, [[0, 1, 2]], SIZE).covered
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    (ax, ay), (bx, by), (cx, cy) = vertices[:, :2].astype(float)
    edges = np.array([
        (bx - ax) * (y - ay) - (by - ay) * (x - ax),
        (cx - bx) * (y - by) - (cy - by) * (x - bx),
        (ax - cx) * (y - cy) - (ay - cy) * (x - cx),
    ])  # fmt: skip
    inside = (edges > 0).all(axis=0) | (edges < 0).all(axis=0)
    on_edges = ((edges >= 0).all(axis=0) | (edges <= 0).all(axis=0)) & ~inside
    assert inside.any() and drawn[inside].all() and not drawn[~inside & ~on_edges].any()
    # face3d computes in single precision, in which the products overflow
    assert not r.rasterize(vertices, [[0, 1, 2]], SIZE, rule="face3d").covered.any()


@pytest.mark.parametrize("rule", ["top-left", "face3d"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rasterize_triangle_with_impossible_depth_is_not_in_front(bad, rule):
    vertices = np.vstack([TRIANGLE, TRIANGLE])
    vertices[3, 2] = bad
    fragments = r.rasterize(vertices, [[3, 4, 5], [0, 1, 2]], SIZE, rule=rule)
    assert np.isfinite(fragments.depth[fragments.covered]).all() and 0 not in fragments.triangle


@pytest.mark.parametrize("scale", [1e30, 1e12, 1e-30])
@pytest.mark.parametrize("offset", [0.0, 5.0])  # the first pixel's center lies outside, and inside
def test_rasterize_extreme_coordinates_give_valid_fragments(scale, offset):
    fragments = r.rasterize((TRIANGLE - offset) * np.float32(scale), [[0, 1, 2]], SIZE)
    assert ((fragments.weights >= 0) & (fragments.weights <= 1)).all()
    expected = np.full(SIZE, offset == 5 and scale > 1)  # a large triangle goes all around the picture
    expected[0, 0] = offset == 5
    np.testing.assert_array_equal(fragments.covered, expected)


def test_rasterize_huge_triangle_around_the_picture_covers_it():
    vertices = np.array([[-1, -1, 0], [3, -1, 0], [-1, 3, 0]]) * 1e30
    assert r.rasterize(vertices, [[0, 1, 2]], SIZE).covered.all()


@pytest.mark.parametrize("triangle", [[0, 0, 1], [1, 1, 1], [0, 2, 0]])
def test_rasterize_repeated_index_draws_nothing(triangle):
    for rule in ("top-left", "face3d"):
        assert not r.rasterize(np.round(TRIANGLE), [triangle], SIZE, rule=rule).covered.any()


@pytest.mark.parametrize("index", [3, -1, 2**31 - 1, -(2**31), 2**31, 2**40, -(2**40)])
@pytest.mark.parametrize("rule", ["top-left", "face3d"])
def test_rasterize_index_out_of_range_is_named(index, rule):
    triangles = np.array([[0, 1, 2], [0, 1, index]])
    with pytest.raises(InputError, match=r"triangle 1 is \[0, 1, .*\], expected indices of 0 to 2"):
        r.rasterize(TRIANGLE, triangles, SIZE, rule=rule)
    with pytest.raises(InputError, match="triangle 1"):
        r.vertex_normals(TRIANGLE, triangles)
    with pytest.raises(InputError, match="triangle 1"):
        r.face_normals(TRIANGLE, triangles)
    with pytest.raises(InputError):
        r.interpolate(r.rasterize(TRIANGLE, [[0, 1, 2]], SIZE), triangles[1:], TRIANGLE)


def test_rasterize_index_out_of_range_in_unsigned_triangles_is_refused():
    with pytest.raises(InputError, match="triangle 0"):
        r.rasterize(TRIANGLE, np.array([[0, 1, 2**32 - 1]], np.uint32), SIZE)
    with pytest.raises(InputError, match="triangle 0"):
        r.rasterize(TRIANGLE, np.array([[0, 1, 2**64 - 1]], np.uint64), SIZE)


def test_rasterize_without_vertices_takes_no_triangle():
    assert not r.rasterize(np.zeros((0, 3)), np.zeros((0, 3), int), SIZE).covered.any()
    with pytest.raises(InputError, match="triangle 0"):
        r.rasterize(np.zeros((0, 3)), [[0, 0, 0]], SIZE)
    assert r.vertex_normals(np.zeros((0, 3)), np.zeros((0, 3), int)).shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((TRIANGLE[:, :2], [[0, 1, 2]], SIZE), "vertices"),
        ((TRIANGLE[None, None], [[0, 1, 2]], SIZE), "vertices"),
        ((TRIANGLE.astype(complex), [[0, 1, 2]], SIZE), "vertices"),
        ((TRIANGLE.astype(object), [[0, 1, 2]], SIZE), "vertices"),
        (("abc", [[0, 1, 2]], SIZE), "vertices"),
        ((None, [[0, 1, 2]], SIZE), "vertices"),
        ((TRIANGLE, [[0.0, 1.0, 2.0]], SIZE), "triangles"),
        ((TRIANGLE, [[0, 1]], SIZE), "triangles"),
        ((TRIANGLE, [0, 1, 2], SIZE), "triangles"),
        ((TRIANGLE, [[True, False, True]], SIZE), "triangles"),
        ((TRIANGLE, None, SIZE), "triangles"),
        ((TRIANGLE, [[0, 1, 2]], (-1, 5)), "size"),
        ((TRIANGLE, [[0, 1, 2]], (10**6, 5)), "size"),
        ((TRIANGLE, [[0, 1, 2]], (4.5, 5)), "size"),
        ((TRIANGLE, [[0, 1, 2]], 5), "size"),
        ((TRIANGLE, [[0, 1, 2]], (1, 2, 3)), "size"),
        ((TRIANGLE, [[0, 1, 2]], "ab"), "size"),
    ],
)
def test_rasterize_wrong_argument_is_named(arguments, word):
    with pytest.raises(InputError, match=word):
        r.rasterize(*arguments)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"cull": "left"}, "cull"),
        ({"cull": None}, "cull"),
        ({"rule": 3}, "rule"),
        ({"workers": 0}, "workers"),
        ({"workers": 1.5}, "workers"),
        ({"out": 7}, "out"),
        ({"out": r.Fragments(*3 * [np.zeros(SIZE, np.int32)])}, "out.weights"),
        (
            {"out": r.Fragments(np.zeros(SIZE, np.int64), np.zeros((*SIZE, 3), np.float32), np.zeros(SIZE))},
            "out.triangle",
        ),
    ],
)
def test_rasterize_wrong_option_is_named(options, word):
    with pytest.raises(InputError, match=word):
        r.rasterize(TRIANGLE, [[0, 1, 2]], SIZE, **options)


def test_rasterize_out_that_cannot_be_written_in_place_is_refused():
    good = r.rasterize(TRIANGLE, [[0, 1, 2]], SIZE)
    strided = np.zeros((SIZE[0], 2 * SIZE[1]), np.float32)[:, ::2]
    locked = np.zeros(SIZE, np.float32)
    locked.flags.writeable = False
    for depth in (strided, locked, good.depth.T, good.depth.tolist()):
        with pytest.raises(InputError, match=r"out\.depth"):
            r.rasterize(TRIANGLE, [[0, 1, 2]], SIZE, out=r.Fragments(good.triangle, good.weights, depth))


def test_errors_survive_pickling():
    with pytest.raises(UvgenError) as caught:
        r.rasterize(TRIANGLE, [[0, 1, 9]], SIZE)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def odd_array(rng, shape, special):
    """Random coordinates with some that no mesh should have."""
    values = rng.choice([1, 10, 1e3, 1e9, 1e30, 1e-30], size=shape) * rng.normal(size=shape)
    values = np.where(rng.random(shape) < 0.5, rng.integers(-3, 12, shape), values)
    return np.where(rng.random(shape) < 0.03, rng.choice(special, size=shape), values)


@pytest.mark.slow
@pytest.mark.parametrize("n_calls", [2500, pytest.param(10_000, marks=pytest.mark.long)])
def test_thousands_of_random_calls_return_fragments_or_an_uvgen_error(n_calls):
    rng = np.random.default_rng(20240229)
    special = [np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0]
    dtypes = [np.float32, np.float64, np.float16, np.int8, np.int64, bool, complex]
    n_drawn = n_refused = 0
    guard = np.full((3, 64 + 3 * 12 * 12), 77, np.float32)  # out arrays between margins that must not change
    for call in range(n_calls if JIT else 200):
        guard[:] = 77
        n, m = rng.integers(0, 9, 2)
        size = tuple(int(s) for s in rng.integers(0, 12, 2))
        with np.errstate(all="ignore"):
            vertices = odd_array(rng, (n, 3), special).astype(dtypes[min(int(rng.exponential(1)), 6)])
        triangles = rng.integers(-1 if call % 7 == 0 else 0, max(n, 1) + (call % 5 == 0), (m, 3))
        triangles = triangles.astype(rng.choice([np.int32, np.int64, np.int16, np.float32], p=[0.4, 0.4, 0.15, 0.05]))
        p = size[0] * size[1]
        out = r.Fragments(
            guard[0, 32 : 32 + p].view(np.int32).reshape(size),
            guard[1, 32 : 32 + 3 * p].reshape(*size, 3),
            guard[2, 32 : 32 + p].reshape(size),
        )
        try:
            fragments = r.rasterize(
                vertices,
                triangles,
                size,
                out=out,
                cull=("none", "back", "front")[call % 3],
                rule=("top-left", "face3d")[call % 11 == 0],
            )
        except UvgenError:
            n_refused += 1
            continue
        n_drawn += 1
        assert (guard[:, :32] == 77).all() and (guard[:, 32 + 3 * p :] == 77).all()
        assert (guard[[0, 2], 32 + p :] == 77).all()
        c = fragments.covered
        assert fragments.triangle.min(initial=-1) >= -1 and fragments.triangle.max(initial=-1) < m
        assert np.isfinite(fragments.depth[c]).all() and (fragments.depth[~c] == -np.inf).all()
        if call % 11:
            weights = fragments.weights[c]
            assert ((weights >= 0) & (weights <= 1)).all() and (np.abs(weights.sum(axis=-1) - 1) <= 1e-6).all()
        r.interpolate(fragments, triangles, np.ones((n, 2)))
    assert n_drawn > 100 and n_refused > 20


@pytest.mark.slow
@pytest.mark.skipif(not JIT, reason="needs compiled code that runs without the interpreter's lock")
def test_rasterize_arrays_that_another_thread_scrambles_do_no_harm():
    rng = np.random.default_rng(0)
    vertices = rng.uniform(0, 60, (3000, 3)).astype(np.float32)
    triangles = rng.integers(0, 3000, (6000, 3)).astype(np.int32)
    good_triangles = triangles.copy()
    poison = rng.integers(-(2**31), 2**31 - 1, triangles.shape).astype(np.int32)
    stop, n_scrambled = threading.Event(), itertools.count()

    def scramble():
        while not stop.is_set():
            next(n_scrambled)
            triangles[:] = poison
            vertices[::7] = np.nan
            triangles[:] = good_triangles
            vertices[::7] = 1e30
            vertices[::7] = 3

    thread = threading.Thread(target=scramble)
    thread.start()
    try:
        for _ in range(100):
            for rule in ("top-left", "face3d"):
                with contextlib.suppress(InputError):
                    drawn = r.rasterize(vertices, triangles, (60, 60), rule=rule).triangle
                    assert drawn.min() >= -1 and drawn.max() < len(triangles)
            with contextlib.suppress(InputError):
                assert r.vertex_normals(vertices, triangles).shape == vertices.shape
    finally:
        stop.set()
        thread.join()
    assert next(n_scrambled) > 10  # the other thread was at work


def scene(seed):
    rng = np.random.default_rng(seed)
    return rng.uniform(-2, 40, (300, 3)).astype(np.float32), rng.integers(0, 300, (200, 3)).astype(np.int32)


def picture_hash(fragments):
    digest = hashlib.sha256()
    for array in (fragments.triangle, fragments.weights, fragments.depth):
        digest.update(array.tobytes())
    return digest.hexdigest()


@pytest.mark.skipif(not JIT, reason="interpreted code holds the lock, and takes a minute")
def test_rasterize_from_eight_threads_gives_the_same_pictures():
    wanted = [picture_hash(r.rasterize(*scene(i), (40, 37))) for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            got = list(pool.map(lambda i: picture_hash(r.rasterize(*scene(i), (40, 37))), range(16)))
            assert got == wanted


@pytest.mark.skipif(not JIT, reason="workers would not share the setting's purpose")
@pytest.mark.parametrize(("method", "workers"), [("fork", 2), ("spawn", 1), ("forkserver", 1)])
@pytest.mark.slow
def test_rasterize_in_worker_processes_gives_the_same_pictures(method, workers):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    wanted = [picture_hash(r.rasterize(*scene(i), (40, 37))) for i in range(4)]  # and the parent has used it
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context(method)) as pool:
        jobs = [pool.submit(r.rasterize, *scene(i), (40, 37)) for i in range(4)]
        assert [picture_hash(job.result()) for job in jobs] == wanted


PROBE = """
import hashlib, warnings
import numpy as np
warnings.simplefilter("ignore")
from uvgen import rasterize as r
digest = hashlib.sha256()
def add(*arrays):
    for array in arrays:
        finite = np.nan_to_num(np.asarray(array, np.float64), posinf=9, neginf=-9)
        digest.update(np.round(finite, 4).tobytes())
for seed in range(4):
    rng = np.random.default_rng(seed)
    vertices = np.round(rng.uniform(-3, 19, (30, 3)) * 4) / 4
    triangles = rng.integers(0, 30, (25, 3))
    vertices[5] = [np.nan, np.inf, 1e30, 2][seed]
    for cull in ("none", "back", "front"):
        for rule in ("top-left", "face3d"):
            f = r.rasterize(vertices, triangles, (11, 15), cull=cull, rule=rule)
            add(f.triangle, f.weights, f.depth)
    f = r.rasterize(vertices, triangles, (11, 15))
    clean = np.nan_to_num(vertices)
    for channels in (1, 3):
        add(r.interpolate(f, triangles, clean[:, :channels]))
    add(r.vertex_normals(np.clip(clean, -99, 99), triangles))
    add(r.visible_vertices(vertices, triangles, size=(11, 15)))
    image = rng.uniform(0, 255, (11, 15, 2))
    for mode in ("nearest", "bilinear"):
        add(r.render_texture(f, triangles, rng.uniform(-1, 2, (30, 2)), image, mode=mode))
        add(*r.unwrap(image, rng.uniform(-2, 17, (6, 7, 3)), mode=mode))
    add(r.unwrap(image[:1, :1], rng.uniform(-1, 1, (3, 2, 3)))[0])
large = np.array([[-30, -30, 0], [400, -20, 1], [-20, 300, 2.0]])
f = r.rasterize(large, [[0, 1, 2]], (90, 110))  # more tiles than a block holds
add(f.triangle, f.weights)
try:
    r.rasterize(large, [[0, 1, 3]], (5, 5))
except ValueError as error:
    add([len(str(error))])
print(digest.hexdigest())
"""


def probe(**environment):
    """The digest that a fresh interpreter prints."""
    where = {"PYTHONPATH": str(Path(uvgen.__file__).parents[1]), **environment}
    done = subprocess.run([sys.executable, "-c", PROBE], env={**os.environ, **where}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.long
@pytest.mark.skipif(not JIT, reason="compares with compiled code")
@pytest.mark.slow
def test_bounds_checked_and_interpreted_code_give_the_same_result(tmp_path):
    wanted = probe()
    assert probe(NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path)) == wanted
    assert probe(NUMBA_DISABLE_JIT="1") == wanted


RAGGED = [[1, 2], [3]]
DRAWN = r.rasterize(TRIANGLE, [[0, 1, 2]], SIZE)
FLAT = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: r.rasterize(TRIANGLE, RAGGED, SIZE), "triangles"),
        (lambda: r.interpolate(DRAWN, [[0, 1, 2]], RAGGED), "attributes"),
        (lambda: r.interpolate(DRAWN, [[0, 1, 2]], TRIANGLE, background=RAGGED), "background"),
        (lambda: r.depth_map(DRAWN, background="far"), "background"),
        (lambda: r.depth_map(r.Fragments(DRAWN.triangle, DRAWN.weights, FLAT)), "fragments.depth"),
        (lambda: r.unwrap(RAGGED, np.zeros((4, 4, 3))), "image"),
        (lambda: r.harmonic_basis(np.zeros(5)), "normals"),
        (lambda: r.harmonic_basis("up"), "normals"),
        (lambda: r.shade(RAGGED, r.Light()), "normals"),
        (lambda: r.shade(FLAT, r.Light(direction="up")), "light.direction"),
        (lambda: r.shade(FLAT, r.Light(direction=(1, 2))), "light.direction"),
        (lambda: r.shade(FLAT, r.Light(ambient=(1, 2))), "light.ambient"),
        (lambda: r.shade(FLAT, r.Light(specular="a")), "light.specular"),
        (lambda: r.shade(FLAT, r.Light(shininess="a")), "light.shininess"),
        (lambda: r.shade(FLAT, r.SphericalHarmonics("a")), "light.coefficients"),
    ],
)
def test_argument_of_another_kind_is_refused_by_its_name(call, named):
    with pytest.raises(InputError, match=rf"^{named}: "):
        call()


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_no_vertex_is_seen_in_a_picture_without_pixels(size):
    corner = np.array([[-0.5, -0.5, 0.0]])
    assert not r.visible_vertices(corner, np.zeros((0, 3), int), size=size).any()
