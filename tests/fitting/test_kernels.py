"""The kernel of landmark fitting against a plain function of the same name."""

import numpy as np
from numpy.typing import NDArray

from uvgen.fitting import kernels

Array = NDArray[np.float64]


def landmark_covariances(spread: Array, place: NDArray[np.int64], rows: Array, covariance_out: Array) -> None:
    for face, (points, axes) in enumerate(zip(place, rows, strict=True)):
        blocks = spread[points[:, None], points[None]]  # (l, l, 3, 3)
        product = np.einsum("iax,ijxy,jby->iajb", axes, blocks, axes)
        covariance_out[face] = product.reshape(covariance_out.shape[1:])


def test_landmark_covariances_is_the_plain_one() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(7, 3, 30))
    spread = np.ascontiguousarray(np.einsum("pxk,qyk->pqxy", root, root))  # symmetric, as covariances are
    place, rows = rng.integers(0, 7, (4, 9)), rng.normal(size=(4, 9, 2, 3))
    found, expected = np.empty((4, 18, 18)), np.empty((4, 18, 18))
    kernels.landmark_covariances(spread, place, rows, found)
    landmark_covariances(spread, place, rows, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
