import numpy as np
import pytest

from uvgen.meshes.topology import count_components, find_components


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32])
def test_components_are_found_whatever_the_type_of_the_triangles(dtype: type) -> None:
    triangles = np.array([[0, 1, 2], [2, 1, 3], [5, 6, 7]], dtype)
    assert find_components(9, triangles).tolist() == [0, 0, 0, 0, 1, 2, 2, 2, 3]
    assert count_components(9, triangles) == 4
    assert count_components(0, triangles[:0]) == 0
