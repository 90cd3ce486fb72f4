"""Normals and light against float64 formulas."""

import numpy as np
import pytest
from scipy.spatial import Delaunay
from scipy.special import sph_harm_y

from uvgen import rasterize as r
from uvgen.errors import InputError
from uvgen.rasterize.shading import shown_normals


def bumpy(n=400, seed=0, scale=1.0):
    """A height field whose triangles turn to the viewer."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 10, (n, 2))
    z = np.sin(xy[:, 0]) + np.cos(1.3 * xy[:, 1])
    triangles = Delaunay(xy).simplices
    a, b, c = xy[triangles].swapaxes(0, 1)
    turned = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] < 0
    triangles[turned] = triangles[turned][:, ::-1]
    return (np.column_stack([xy, z]) * scale).astype(np.float32), triangles


def normals_oracle(vertices, triangles):
    v = vertices.astype(np.float64)
    total = np.zeros_like(v)
    for t in triangles:
        for k in range(3):
            p, q, s = v[t[k]], v[t[(k + 1) % 3]], v[t[(k + 2) % 3]]
            normal = np.cross(q - p, s - p)
            length = np.linalg.norm(normal)
            if length > 0 and np.isfinite(length):
                total[t[k]] += normal / length * np.arctan2(length, (q - p) @ (s - p))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.divide(total, length, out=np.zeros_like(total), where=length > 0)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5])
def test_vertex_normals_agree_with_float64_oracle(scale):
    vertices, triangles = bumpy(scale=scale)
    normals = r.vertex_normals(vertices, triangles)
    # two float32 sums of some six terms, and angles to 2e-7; slivers of the hull lose two digits more
    np.testing.assert_allclose(normals, normals_oracle(vertices, triangles), atol=5e-5)
    assert normals.dtype == np.float32 and (normals[:, 2] > 0).all()
    assert r.front_facing(vertices, triangles).all()
    assert not r.front_facing(vertices, triangles[:, ::-1]).any()


def test_vertex_normals_of_a_cube_do_not_depend_on_how_its_faces_are_cut():
    corner = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    squares = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    for first in range(2):
        cut = [[s[first], s[first + 1], s[first + 2]] for s in squares]
        cut += [[s[first], s[first + 2], s[(first + 3) % 4]] for s in squares]
        normals = r.vertex_normals(corner, cut)
        np.testing.assert_allclose(normals, (corner * 2 - 1) / np.sqrt(3), atol=1e-6)


def test_vertex_normals_ignore_degenerate_and_broken_triangles():
    vertices, triangles = bumpy(50)
    wanted = r.vertex_normals(vertices, triangles)
    more = np.vstack([vertices, vertices[:1], [[np.nan, 0, 0]], [[np.inf, 0, 0]], [[5, 5, 5]]])
    extra = [[0, 50, 1], [3, 3, 4], [1, 2, 51], [1, 2, 52]]
    normals = r.vertex_normals(more, np.vstack([extra, triangles]))
    np.testing.assert_allclose(normals[:50], wanted, atol=1e-6)
    assert not normals[50:].any()
    faces = r.face_normals(more, extra)
    assert faces.dtype == np.float32 and not faces.any()


def test_face_normals_are_unit_and_perpendicular():
    vertices, triangles = bumpy()
    normals = r.face_normals(vertices, triangles)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    edges = vertices[triangles[:, 1]] - vertices[triangles[:, 0]]
    assert np.abs((normals * edges).sum(axis=1)).max() < 1e-5
    np.testing.assert_array_equal(r.face_normals([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]), [[0, 0, 1]])


def test_shade_lamp_adds_ambient_cosine_and_highlight():
    normals = np.array([[0, 0, 1], [1, 0, 0], [0, 0, -1], [0, 0, 0], [0.6, 0, 0.8]], np.float32)
    light = r.Light(direction=(0, 0, 5), ambient=0.25, diffuse=(0.5, 0.25, 0.125), specular=2, shininess=3)
    cosine = np.array([1, 0, 0, 0, 0.8])[:, None]
    expected = (0.25 + np.array([0.5, 0.25, 0.125]) * cosine + 2 * cosine**3) * [[1], [1], [1], [0], [1]]
    np.testing.assert_allclose(r.shade(normals, light), expected, atol=1e-6)


def test_shade_lamp_behind_gives_no_highlight():
    light = r.Light(direction=(0, 0, -1), ambient=0, diffuse=1, specular=1)
    np.testing.assert_array_equal(r.shade([[0, 0, 1.0], [0, 0, -1.0]], light), [[0, 0, 0], [1, 1, 1]])


def test_harmonic_basis_is_the_real_spherical_harmonics():
    rng = np.random.default_rng(0)
    n = rng.normal(size=(100, 3))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    theta, phi = np.arccos(n[:, 2]), np.arctan2(n[:, 1], n[:, 0])
    columns = []
    for degree, order in [(0, 0), (1, -1), (1, 0), (1, 1), (2, -2), (2, -1), (2, 0), (2, 1), (2, 2)]:
        y = sph_harm_y(degree, abs(order), theta, phi) * (-1) ** order * (np.sqrt(2) if order else 1)
        columns.append(y.imag if order < 0 else y.real)
    basis = r.harmonic_basis(n)
    order = [0, 1, 2, 3, 4, 5, 6, 7, 8]
    np.testing.assert_allclose(basis[:, order], np.stack(columns, axis=1), atol=1e-6)


@pytest.mark.parametrize("columns", [None, 1, 3])
def test_shade_spherical_harmonics_of_a_normal_map(columns):
    normals = np.zeros((4, 5, 3), np.float32)
    normals[1:, :, 2] = 1
    coefficients = np.zeros((9, columns or 1))
    coefficients[[0, 2]] = [[1.0], [0.5]]
    light = r.SphericalHarmonics(coefficients if columns else coefficients[:, 0])
    shaded = r.shade(normals, light)
    assert shaded.shape == (4, 5, columns or 1) and not shaded[0].any()
    np.testing.assert_allclose(shaded[1:], np.sqrt(1 / (4 * np.pi)) + 0.5 * np.sqrt(3 / (4 * np.pi)), atol=1e-6)


def test_shade_wrong_arguments_are_named():
    with pytest.raises(InputError, match="normals"):
        r.shade(np.zeros((3, 2)), r.Light())
    with pytest.raises(InputError, match="direction"):
        r.shade(np.zeros((3, 3)), r.Light(direction=(0, 0, 0)))
    with pytest.raises(InputError, match="coefficients"):
        r.shade(np.zeros((3, 3)), r.SphericalHarmonics(np.zeros(4)))
    with pytest.raises(InputError, match="light"):
        r.shade(np.zeros((3, 3)), "sun")
    with pytest.raises(InputError, match="mean_shape"):
        r.pncc_codes(np.zeros((3, 3)))


@pytest.mark.parametrize("n", [30, 600])
def test_shown_normals_are_those_of_all_triangles_at_the_corners_that_a_picture_shows(n: int) -> None:
    rng = np.random.default_rng(n)
    vertices = rng.uniform(-10, 50, (n, 3)).astype(np.float32)
    triangles = rng.integers(0, n, (4 * n, 3)).astype(np.int32)  # more than a block of faces, and crossing each other
    fragments = r.rasterize(vertices, triangles, (24, 24), cull="back")
    at = np.unique(triangles[fragments.triangle[fragments.triangle >= 0]])
    expected = r.vertex_normals(vertices, triangles)[at]
    assert 0 < len(at) <= n and np.abs(expected).max() > 0.5
    assert shown_normals(vertices, triangles, fragments)[at].tobytes() == expected.tobytes()
