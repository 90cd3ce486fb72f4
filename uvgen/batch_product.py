"""Products of a basis with the parameters of many faces, of which none depends on the others.

A BLAS computes columns at the edge of a matrix with other instructions than those in the middle, so that a face's last
bits would depend on how many faces come with it and on its place among them. OpenBLAS on processors with AVX2 alone
(Haswell to Zen 3) does so with the first and the last eight columns, with AVX-512 with none.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LANES = 16  # columns of a product are a multiple
_MARGINS = (0, 8, 16)
_ROWS, _PARAMETERS = 768, 56  # of the product that is tried


class Columns(NamedTuple):
    """Parameters of faces as the columns of a matrix, between columns of zeros."""

    matrix: NDArray[np.float32]
    """(k, lanes)"""
    first: int
    """Column of the first face."""


def columns_of(parameters: NDArray[np.floating]) -> Columns:
    """What a basis (m, k) float32 is multiplied with: parameters (b, k), of each face a column.

    A column of the product does not depend on how many others there are, nor on its place among them.
    """
    n, k = parameters.shape
    first = _margin()
    matrix = np.zeros((k, -(-n // _LANES) * _LANES + 2 * first), np.float32)
    matrix[:, first : first + n] = parameters.T
    return Columns(matrix, first)


@cache
def _margin() -> int:
    """Columns that this machine's BLAS needs on either side; 0 if no number of `_MARGINS` helps."""
    random = np.random.default_rng(0)
    basis = random.normal(size=(_ROWS, _PARAMETERS)).astype(np.float32)
    column = random.normal(size=(_PARAMETERS, 1)).astype(np.float32)
    for margin in _MARGINS:
        found = [
            (basis @ np.repeat(column, lanes + 2 * margin, axis=1))[:, margin : margin + lanes]
            for lanes in (_LANES, 2 * _LANES, 3 * _LANES, 6 * _LANES)
        ]
        if all(np.array_equal(product, np.repeat(found[0][:, :1], product.shape[1], axis=1)) for product in found):
            return margin
    return 0
