"""Samples' ``.mat`` files: the bytes of SciPy's writer, with another text before them."""

import io
from typing import Any

import numpy as np
import pytest
import scipy.io

from uvgen.samples.write import parameter_file

RNG = np.random.default_rng(3)
SHAPE, EXPRESSION, POSE = RNG.normal(size=199), RNG.normal(size=29), RNG.normal(size=7)
LANDMARKS = RNG.normal(100, 30, (68, 2))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [(450, 300), (40_000, 30)])
@pytest.mark.parametrize(
    ("albedo", "more"),
    [
        ((), None),
        (RNG.normal(size=199), {"pt3d_68": RNG.normal(size=(3, 68)), "weights": np.float32([[1, 2, 3]])}),
        ([0.5], {"a": np.uint8([[7]]), "name": np.int32([[1, 2], [3, 4]]), "none": np.zeros((0, 4), np.float32)}),
    ],
)
def test_parameter_file_is_what_scipy_writes(
    dtype: Any, size: tuple[int, int], albedo: Any, more: dict[str, Any] | None
) -> None:
    data = parameter_file(SHAPE, EXPRESSION, POSE, LANDMARKS, size, albedo=albedo, dtype=dtype, more=more)
    content = {k: v for k, v in scipy.io.loadmat(io.BytesIO(data)).items() if not k.startswith("__")}
    assert content["Shape_Para"].dtype == dtype and (content["pt2d"] == LANDMARKS.T + 1).all()
    expected = io.BytesIO()
    scipy.io.savemat(expected, content)
    assert data[116:] == expected.getvalue()[116:]
    assert data[:116].rstrip().startswith(b"MATLAB 5.0 MAT-file, made by uvgen ")
