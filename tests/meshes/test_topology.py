import numpy as np
import pytest
from support.toy import grid

from uvgen.meshes.topology import count_components, find_components, find_mirror


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
