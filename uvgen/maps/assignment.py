"""The cheapest assignment of rows to columns, as `scipy.optimize.linear_sum_assignment` finds it.

To import `scipy.optimize` takes a third of the processor time of a command that builds a few samples, and no other part
of it is needed.
"""

import numpy as np
from numpy.typing import NDArray


def cheapest_columns(costs: NDArray[np.float64]) -> NDArray[np.intp]:
    """(n,) the column of each row: each its own, so that the sum of their costs is smallest.

    Parameters
    ----------
    costs : (n, m) float64
        Finite; m is n or more.

    Notes
    -----
    Shortest augmenting paths (Crouse, "On implementing 2D rectangular assignment algorithms", 2016). Of equally cheap
    assignments it gives the one that SciPy gives: sums are formed and columns looked through in the same order.
    """
    n_rows, n_columns = costs.shape
    of_row, of_column = np.full(n_rows, -1, np.intp), np.full(n_columns, -1, np.intp)
    row_price, column_price = np.zeros(n_rows), np.zeros(n_columns)
    for first in range(n_rows):
        length, before = np.full(n_columns, np.inf), np.full(n_columns, -1, np.intp)
        left = np.arange(n_columns)[::-1].copy()
        rows, columns = [first], list[int]()
        shortest = 0.0
        while True:
            row = rows[-1]
            found = shortest + costs[row, left] - row_price[row] - column_price[left]
            shorter = found < length[left]
            length[left[shorter]], before[left[shorter]] = found[shorter], row
            shortest = float(length[left].min())
            ties = np.flatnonzero(length[left] == shortest)
            free = ties[of_column[left[ties]] < 0]
            place = free[-1] if len(free) else ties[0]
            columns.append(int(left[place]))
            if len(free):
                break
            rows.append(int(of_column[left[place]]))
            left[place] = left[-1]
            left = left[:-1]
        row_price[first] += shortest
        row_price[rows[1:]] += shortest - length[of_row[rows[1:]]]
        column_price[columns] -= shortest - length[columns]
        column, row = columns[-1], -1
        while row != first:  # each row of the path gets the column by which it was left
            row = int(before[column])
            of_column[column] = row
            of_row[row], column = column, int(of_row[row])
    return of_row
