"""Textures, visibility and position maps as meshes, on surfaces whose answer is known."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from uvgen import rasterize as r
from uvgen.errors import InputError


def flat_map(h, w, left=3.0, top=2.0, step=1.0, z=0.0):
    """A position map of a flat square, parallel to the picture."""
    y, x = np.mgrid[:h, :w].astype(np.float32)
    return np.dstack([left + step * x, top + step * y, np.full_like(x, z)])


def smooth_image(h, w):
    y, x = np.mgrid[:h, :w]
    return np.dstack([100 + 50 * np.sin(x / 7), 100 + 50 * np.cos(y / 5), x + y]).astype(np.float32)


def test_mesh_from_map_two_triangles_a_square_that_turn_to_the_viewer():
    vertices, triangles, uv = r.mesh_from_map(flat_map(3, 4))
    assert vertices.shape == (12, 3) and triangles.shape == (12, 3) and triangles.dtype == np.int32
    np.testing.assert_array_equal(r.face_normals(vertices, triangles), np.tile([0, 0, 1], (12, 1)))
    np.testing.assert_array_equal(uv[[0, 3, 8]], [[0, 1], [1, 1], [0, 0]])
    assert r.rasterize(vertices, triangles, (5, 7)).covered.sum() == 6  # 2 x 3, the far edges not drawn


def test_mesh_from_map_mask_square_of_three_texels_is_one_triangle():
    mask = np.ones((3, 3), bool)
    mask[0, 0] = False
    vertices, triangles, uv = r.mesh_from_map(flat_map(3, 3), mask)
    assert len(vertices) == len(uv) == 8 and len(triangles) == 7
    mask[1, 1] = False
    vertices, triangles, _ = r.mesh_from_map(flat_map(3, 3), mask)
    assert len(triangles) == 3 and (r.face_normals(vertices, triangles)[:, 2] == 1).all()
    for shape in ((0, 0), (1, 5), (5, 1), (0, 4)):
        assert len(r.mesh_from_map(np.zeros((*shape, 3)))[1]) == 0
    with pytest.raises(InputError, match="coverage"):
        r.mesh_from_map(flat_map(3, 3), np.ones((3, 4), bool))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_unwrap_samples_the_image_where_the_map_says(mode):
    image = smooth_image(20, 30)
    rng = np.random.default_rng(0)
    position_map = rng.uniform(0, 19, (6, 9, 3)).astype(np.float32)
    texture, valid = r.unwrap(image, position_map, mode=mode)
    at = position_map[..., 1], position_map[..., 0]
    expected = np.dstack([map_coordinates(image[..., c], at, order=int(mode == "bilinear")) for c in range(3)])
    assert valid.all()
    np.testing.assert_allclose(texture, expected, atol=1e-3)


def test_unwrap_outside_the_image_or_the_coverage_is_not_valid():
    position_map = flat_map(4, 6, left=-1, top=0)
    position_map[3, 3, 0] = np.nan
    coverage = np.ones((4, 6), bool)
    coverage[0] = False
    image = np.full((3, 4), 9, np.uint8)
    texture, valid = r.unwrap(image, position_map, coverage=coverage)
    expected = np.zeros((4, 6), bool)
    expected[1:3, 1:5] = True
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(texture[..., 0], 9 * expected)


def test_render_returns_what_unwrap_took():
    image = smooth_image(40, 50)
    position_map = flat_map(32, 32, left=4.3, top=2.7, step=1.1)
    texture, _ = r.unwrap(image, position_map)
    picture, fragments = r.render(position_map, texture, (40, 50), background=-1)
    c = fragments.covered
    assert c.sum() == 34 * 34 and (picture[~c] == -1).all()
    assert np.abs(picture[c] - image[c]).max() < 1.5  # twice bilinear on waves of 30 pixels


def test_render_texture_of_another_size_than_the_map():
    position_map = flat_map(5, 5, left=0, top=0, step=4)
    texture = smooth_image(17, 17)  # a texel a pixel
    picture, _fragments = r.render(position_map, texture, (17, 17))
    np.testing.assert_allclose(picture[:-1, :-1], texture[:-1, :-1], atol=1e-3)


def test_render_texture_seam_with_separate_texture_triangles():
    vertices = [[0, 0, 0], [8, 0, 0], [0, 8, 0], [8, 8, 0]]
    triangles = [[0, 1, 2], [3, 2, 1]]
    uv = [[0, 1], [0, 1], [0, 1], [1, 0], [1, 0], [1, 0]]  # each triangle in a corner of its own
    texture = np.array([[10, 20], [30, 40]])
    fragments = r.rasterize(vertices, triangles, (8, 8))
    for mode in ("nearest", "bilinear"):
        image = r.render_texture(fragments, [[0, 1, 2], [3, 4, 5]], uv, texture, mode=mode)[..., 0]
        np.testing.assert_array_equal(image, np.where(fragments.triangle == 0, 10, 40))


def test_render_texture_outside_the_unit_square_repeats_the_border():
    fragments = r.rasterize([[0, 0, 0], [20, 0, 0], [0, 20, 0]], [[0, 1, 2]], (4, 4))
    image = r.render_texture(fragments, [[0, 1, 2]], np.full((3, 2), [9.0, -9.0]), [[1, 2], [3, 4]], mode="nearest")
    assert (image == 4).all()
    with pytest.raises(InputError, match="mode"):
        r.render_texture(fragments, [[0, 1, 2]], np.zeros((3, 2)), [[1]], mode="cubic")
    with pytest.raises(InputError, match="texture"):
        r.render_texture(fragments, [[0, 1, 2]], np.zeros((3, 2)), np.zeros((0, 4, 3)))


def test_render_texture_batch_equals_single():
    vertices, triangles, uv = r.mesh_from_map(flat_map(6, 6))
    batch = np.stack([vertices, vertices + 1])
    texture = smooth_image(9, 11)
    images = r.render_texture(r.rasterize(batch, triangles, (12, 13)), triangles, uv, texture)
    one = r.render_texture(r.rasterize(batch[1], triangles, (12, 13)), triangles, uv, texture)
    np.testing.assert_array_equal(images[1], one)


def test_flatten_mean_averages_what_was_seen():
    textures = np.stack([np.full((2, 3, 1), v, np.float32) for v in (10, 20, 60)])
    textures[2, 1, 1] = np.nan
    seen = np.array([[[1, 1, 0], [0, 0, 0]], [[0, 1, 0], [1, 0, 1]], [[0, 1, 1], [1, 0, 1]]], bool)
    mean, count = r.flatten_mean(textures, seen)
    np.testing.assert_array_equal(mean[..., 0], [[10, 30, 60], [40, 0, 40]])
    np.testing.assert_array_equal(count, seen.sum(axis=0))
    weighted, _ = r.flatten_mean(textures, seen * np.array([3, 1, 1])[:, None, None])
    assert weighted[0, 1, 0] == 22
    with pytest.raises(InputError, match="visibilities"):
        r.flatten_mean(textures, -seen.astype(float))


def two_sheets():
    """A far sheet, and a near one that hides its left part."""
    far, near = flat_map(16, 16, z=0), flat_map(8, 8, left=2.5, top=1.5, z=10)
    v0, t0, _ = r.mesh_from_map(far)
    v1, t1, _ = r.mesh_from_map(near)
    return np.vstack([v0, v1]), np.vstack([t0, t1 + len(v0)])


def test_visible_vertices_are_those_that_nothing_hides():
    vertices, triangles = two_sheets()
    visible = r.visible_vertices(vertices, triangles, size=(25, 25))
    far = vertices[:256]
    hidden = (np.abs(far[:, :2] - [6, 5]) < 2.5).all(axis=1)  # a pixel inside the near sheet's rim
    free = (np.abs(far[:, :2] - [6, 5]) > 4.5).any(axis=1)
    assert not visible[:256][hidden].any() and hidden.sum() == 25
    assert visible[:256][free].all() and visible[256:].all()
    assert r.visible_vertices(vertices, triangles, size=(25, 25), tolerance=11).all()


def test_visible_vertices_do_not_have_nan_where_nothing_is_drawn():
    vertices = np.zeros((4, 3), np.float32) + np.arange(4, dtype=np.float32)[:, None]
    vertices[range(3), range(3)] = np.nan
    visible = r.visible_vertices(vertices, np.zeros((0, 3), np.int64), size=(6, 6))
    assert visible.tolist() == [False, False, False, True]


def test_visible_vertices_outside_the_picture_are_not_seen():
    vertices, triangles, _ = r.mesh_from_map(flat_map(6, 6, left=-2, top=0))
    vertices[-1] = np.nan
    visible = r.visible_vertices(vertices, triangles, size=(6, 4))
    x = vertices[:, 0]
    np.testing.assert_array_equal(visible[:-1], ((x >= 0) & (x <= 3))[:-1])
    assert not visible[-1]
    assert not r.visible_vertices(vertices, triangles, size=(0, 0)).any()
    with pytest.raises(InputError, match="tolerance"):
        r.visible_vertices(vertices, triangles, size=(6, 4), tolerance=-1)


def test_visible_texels_of_a_folded_map():
    """A sheet folded back under itself: its second half lies behind the first."""
    fold = flat_map(12, 24)
    fold[:, 12:, 0] = fold[:, 11::-1, 0]
    fold[:, 12:, 2] = -20
    visible = r.visible_texels(fold, np.ones((12, 24), bool), (20, 20))
    assert visible[:, :12].all() and not visible[1:-1, 14:23].any()
    first = np.zeros((12, 24), bool)
    first[:, 14:] = True
    np.testing.assert_array_equal(r.visible_texels(fold, first, (20, 20)), first)  # nothing left to hide them
