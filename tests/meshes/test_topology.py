import numpy as np
import pytest
from support.toy import grid

from uvgen.meshes.topology import count_components, find_components, find_mirror, is_same_mesh


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32])
def test_components_are_found_whatever_the_type_of_the_triangles(dtype: type) -> None:
    triangles = np.array([[0, 1, 2], [2, 1, 3], [5, 6, 7]], dtype)
    assert find_components(9, triangles).tolist() == [0, 0, 0, 0, 1, 2, 2, 2, 3]
    assert count_components(9, triangles) == 4
    assert count_components(0, triangles[:0]) == 0


def test_find_mirror_of_edges_without_length_raises_no_warning(recwarn) -> None:
    vertices, triangles = grid(9, 9)
    vertices[40] = vertices[41]
    assert (find_mirror(vertices, triangles) >= 0).all()
    assert not recwarn.list


def test_a_mesh_is_the_same_however_its_quads_are_cut_but_not_in_another_order() -> None:
    corners = np.arange(63).reshape(9, 7)
    a, b, c, d = corners[:-1, :-1].ravel(), corners[:-1, 1:].ravel(), corners[1:, 1:].ravel(), corners[1:, :-1].ravel()
    one = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    other = np.concatenate([np.stack([a, b, d], 1), np.stack([b, c, d], 1)])
    shuffled = np.random.default_rng(0).permutation(63)[one]
    assert is_same_mesh(one, other, 63) and is_same_mesh(one, one[:9], 63) and is_same_mesh(one, one[:0], 63)
    assert not is_same_mesh(one, shuffled, 63)


def test_find_mirror_of_a_grid_whose_middle_lies_beside_its_mean() -> None:
    """Many columns of a grid match more than half of it; where a cheek is fuller, the mean's is not the middle one."""
    vertices, _ = grid(51, 41)
    corners = np.arange(51 * 41).reshape(51, 41)
    a, b, c, d = (part[..., None] for part in (corners[:-1, :-1], corners[:-1, 1:], corners[1:, :-1], corners[1:, 1:]))
    left = (np.arange(40) < 20)[None, :, None]
    halves = (np.where(left, [a, b, c], [a, b, d]), np.where(left, [b, d, c], [a, d, c]))
    triangles = np.concatenate([np.moveaxis(half[..., 0], 0, -1).reshape(-1, 3) for half in halves])
    x, y = 80 * vertices[:, 0], 100 * (vertices[:, 1] - 1)
    vertices[:, 0] = x + 4 * np.exp(-((x - 30) ** 2 + (y - 20) ** 2) / 900) + 2 * np.sin(y / 60)
    vertices[:, 1] = y
    found = find_mirror(vertices, triangles)
    assert (found >= 0).all() and (found[found] == np.arange(len(found))).all()
