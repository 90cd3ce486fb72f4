"""Deep3DFaceRecon's coefficients: split and joined, their rotation, their crop, their files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from uvgen.errors import InputError, SampleError
from uvgen.geometry import transform_points
from uvgen.samples import deep3d

SEED = st.integers(0, 2**32 - 1)


def results(rng: np.random.Generator, n: int = 2) -> dict[str, NDArray[Any]]:
    """What a .mat file of theirs holds."""
    widths = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
    made = {key: rng.normal(size=(n, width)).astype(np.float32) for key, width in widths.items()}
    return made | {"lm68": rng.uniform(0, 223, (n, 68, 2)).astype(np.float32)}


@given(SEED)
def test_split_and_join_are_each_others_inverse_in_their_order(seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(3, 257))
    parts = deep3d.split_coefficients(rows)
    np.testing.assert_array_equal(deep3d.join_coefficients(parts), rows)
    ends = {"identity": (0, 80), "expression": (80, 144), "texture": (144, 224), "angles_rad": (224, 227),
            "gamma": (227, 254), "translation_dm": (254, 257)}  # fmt: skip
    for name, (first, last) in ends.items():
        np.testing.assert_array_equal(getattr(parts, name), rows[:, first:last])


@given(SEED)
def test_rotations_are_products_about_z_y_and_x(seed: int) -> None:
    x, y, z = np.random.default_rng(seed).uniform(-3, 3, 3)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    np.testing.assert_allclose(deep3d.rotations([[x, y, z]])[0], about_z @ about_y @ about_x, atol=1e-12)


@given(SEED)
def test_crop_moves_points_as_their_alignment_moves_landmarks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height = rng.integers(100, 900, 2)
    scale, x, y = rng.uniform(0.2, 2), rng.uniform(0, width), rng.uniform(0, height)
    points = rng.uniform(0, 100, (5, 2))
    upward = points * [1, -1] + [0, height - 1]  # their y counts up
    w, h = int(width * scale), int(height * scale)
    theirs = (upward - [x, y] + [width / 2, height / 2]) * scale - [w / 2 - 112, h / 2 - 112]
    expected = theirs * [1, -1] + [0, 223]
    found = transform_points(points, deep3d.crop_of([width, height, scale, x, y]))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_results_of_a_file_are_read(tmp_path: Path) -> None:
    content = results(np.random.default_rng(1))
    sio.savemat(tmp_path / "a.mat", content)
    found = deep3d.read_coefficients(tmp_path / "a.mat")
    joined = np.concatenate([content[key] for key in ("id", "exp", "tex", "angle", "gamma", "trans")], axis=1)
    np.testing.assert_array_equal(deep3d.join_coefficients(found), joined)
    assert found.landmarks is not None and found.landmarks.shape == (2, 68, 2)
    del content["lm68"]
    sio.savemat(tmp_path / "a.mat", content)
    assert deep3d.read_coefficients(tmp_path / "a.mat").landmarks is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exp": None}, "variable exp is missing, expected Deep3DFaceRecon's results"),
        ({"id": np.ones((2, 79))}, r"id is float64 \(2, 79\), expected finite numbers \(faces, 80\)"),
        ({"trans": np.full((2, 3), np.nan)}, r"trans is float64 \(2, 3\), expected finite numbers"),
        ({"gamma": "text"}, "gamma is .*, expected finite numbers"),
        ({"angle": np.ones((3, 3))}, r"rows, expected as many faces in each variable"),
    ],
)
def test_results_of_a_wrong_file_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    content = {key: value for key, value in (results(np.random.default_rng(1)) | changes).items() if value is not None}
    sio.savemat(tmp_path / "a.mat", content)
    with pytest.raises(SampleError, match=rf"a\.mat: .*{message}"):
        deep3d.read_coefficients(tmp_path / "a.mat")


@pytest.mark.parametrize(
    "content", [None, b"", b"\x89PNG\r\n\x1a\n", b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"\5"]
)
def test_results_of_no_matlab_file_are_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(SampleError, match=r"a\.mat: .*expected Deep3DFaceRecon's results"):
        deep3d.read_coefficients(tmp_path / "a.mat")


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match=r"coefficients: float64 \(2, 256\), expected \(B, 257\)"):
        deep3d.split_coefficients(np.ones((2, 256)))
    with pytest.raises(InputError, match="trans_params: "):
        deep3d.crop_of([1, 2, 3])
    with pytest.raises(InputError, match="trans_params: holds NaN or infinity"):
        deep3d.crop_of([450, 450, np.nan, 1, 1])
    for scale in (0, -1, 1e308):
        with pytest.raises(InputError, match=r"trans_params: 450 × 450 px times .*, expected an image's width"):
            deep3d.crop_of([450, 450, scale, 1, 1])
    with pytest.raises(InputError, match="angles_rad: "):
        deep3d.rotations([1, 2, 3])


@pytest.mark.parametrize("marks", [np.full((1, 68, 2), np.nan), np.zeros((1, 67, 2)), np.zeros((2, 68, 2))])
def test_landmarks_of_results_that_can_be_compared_with_no_model_are_refused(tmp_path, marks) -> None:
    widths = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
    sio.savemat(tmp_path / "a.mat", {**{key: np.zeros((1, n)) for key, n in widths.items()}, "lm68": marks})
    with pytest.raises(SampleError, match=r"a\.mat: lm68 is not usable, expected finite numbers \(1, 68, 2\)"):
        deep3d.read_coefficients(tmp_path / "a.mat")
