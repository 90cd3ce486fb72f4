"""`mark_skin` against a plain function of the same name, for any mixtures."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.images import skin_kernels
from uvgen.images.skin_kernels import SkinColors, SkinRows, skin_rows


def mark_skin(image: NDArray[np.uint8], skin: SkinColors, rows: SkinRows, mask_out: NDArray[Any]) -> None:
    colors = image.astype(np.float64) @ skin.matrix.T.astype(np.float64) + skin.offset
    densities = []
    for mean, (yy, bb, rr, yb, yr, br), log in zip(skin.means, skin.precisions.astype(float), skin.logs, strict=True):
        y, b, r = np.moveaxis(colors - mean, -1, 0)
        distance = yy * y * y + bb * b * b + rr * r * r + yb * y * b + yr * y * r + br * b * r
        densities.append(np.exp(log - distance / 2))
    mask_out[:] = 255 * sum(densities[: skin.n_skin]) / sum(densities)


def test_mark_skin_is_the_plain_one() -> None:
    for seed, (height, width) in enumerate([(1, 1), (3, 17), (20, 65)]):
        rng = np.random.default_rng(seed)
        k, n_skin = seed + 3, seed + 1
        roots = rng.normal(0, 0.02, (k, 3, 3))
        covariances = roots @ roots.transpose(0, 2, 1)
        precisions = covariances[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]] * [1, 1, 1, 2, 2, 2]
        parts = rng.normal(0, 0.4, (3, 3)), rng.uniform(0, 128, 3), rng.uniform(50, 200, (k, 3)), precisions
        arrays = [part.astype(np.float32) for part in (*parts, rng.normal(-10, 2, k))]
        skin = SkinColors(*arrays, n_skin=n_skin)
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        found, expected = np.empty((height, width), np.uint8), np.empty((height, width))
        skin_kernels.mark_skin(image, skin, skin_rows(width), found)
        mark_skin(image, skin, skin_rows(width), expected)
        assert np.abs(found - expected).max() <= 0.5 + 0.02  # rounded; single precision
