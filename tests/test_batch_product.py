"""Products of a basis with parameters of faces: the same bytes for a face, whatever comes with it."""

import numpy as np
import pytest

from uvgen.batch_product import columns_of


@pytest.mark.parametrize(("rows", "k"), [(30, 7), (3000, 60), (700, 228)])
def test_column_of_a_face_does_not_depend_on_the_others(rows: int, k: int) -> None:
    rng = np.random.default_rng(0)
    basis, parameters = rng.normal(size=(rows, k)).astype(np.float32), rng.normal(size=(96, k))
    whole, first = columns_of(parameters)
    product = (basis @ whole)[:, first : first + 96]
    np.testing.assert_allclose(product, basis.astype(np.float64) @ parameters.T, rtol=0, atol=1e-4 * np.sqrt(k))
    for start, stop in ((0, 1), (95, 96), (40, 41), (3, 20), (10, 90)):
        part, first = columns_of(parameters[start:stop])
        np.testing.assert_array_equal((basis @ part)[:, first : first + stop - start], product[:, start:stop])


def test_columns_beside_the_faces_are_zeros_and_their_number_a_multiple_of_16() -> None:
    matrix, first = columns_of(np.ones((5, 3)))
    assert matrix.dtype == np.float32 and matrix.shape[0] == 3 and not matrix.shape[1] % 16
    assert matrix[:, first : first + 5].all() and matrix.sum() == 15
