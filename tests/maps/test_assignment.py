"""The cheapest assignment against SciPy's, bit for bit, ties too."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from uvgen.maps.assignment import cheapest_columns


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (5, 5), (7, 12), (40, 43)])
@pytest.mark.parametrize("n_values", [1, 2, 5, 1000])  # few: ties all over
def test_cheapest_columns_are_those_of_scipy(shape: tuple[int, int], n_values: int) -> None:
    rng = np.random.default_rng(n_values)
    for _ in range(20):
        costs = rng.integers(0, n_values, shape) / 8.0
        np.testing.assert_array_equal(cheapest_columns(costs), linear_sum_assignment(costs)[1])


def test_cheapest_columns_of_costs_of_many_magnitudes_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        costs = 10.0 ** rng.uniform(-9, 12, (30, 50))
        np.testing.assert_array_equal(cheapest_columns(costs), linear_sum_assignment(costs)[1])


def test_cheapest_columns_leave_the_costs_as_they_were() -> None:
    costs = np.array([[2.0, 3.0, 0.5], [1.0, 9.0, 0.5]])
    before = costs.copy()
    assert cheapest_columns(costs).tolist() == [2, 0]
    np.testing.assert_array_equal(costs, before)
