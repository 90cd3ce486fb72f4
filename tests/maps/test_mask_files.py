"""Weight masks of the user's own: what is taken, and what is named."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uvgen.errors import InputError
from uvgen.maps.mask_files import as_weights, read_weights

LEVELS = np.array([[0, 48], [64, 255]], np.uint8)
WEIGHTS = np.float32([[0, 3], [4, 16]])


@pytest.mark.parametrize("array", [WEIGHTS.astype(np.float16), WEIGHTS.astype(np.float64), WEIGHTS.astype(np.uint8),
                                   WEIGHTS.astype(np.int64), WEIGHTS[:, :, None]])  # fmt: skip
def test_read_weights_of_any_real_array_takes_its_numbers(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "mask.npy", array)
    found = read_weights(tmp_path / "mask.npy", 2)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, WEIGHTS)


def test_read_weights_of_bool_is_one_and_zero(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", WEIGHTS > 3)
    np.testing.assert_array_equal(read_weights(tmp_path / "mask.npy", 2), [[0, 0], [1, 1]])


def test_read_weights_goes_by_the_content_of_the_file(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, WEIGHTS)
    (tmp_path / "mask.png").write_bytes(stream.getvalue())
    np.testing.assert_array_equal(read_weights(tmp_path / "mask.png", 2), WEIGHTS)
    Image.fromarray(LEVELS).save(tmp_path / "mask.npy", "PNG")
    np.testing.assert_array_equal(read_weights(tmp_path / "mask.npy", 2), WEIGHTS)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_read_weights_of_gray_in_other_modes_takes_the_levels(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(LEVELS).convert("RGB" if mode == "P" else mode)
    (image.quantize(4) if mode == "P" else image).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_weights(tmp_path / "mask.png", 2), WEIGHTS)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (LEVELS, "values up to 255, expected weights of 0 to 16; divide gray levels by 16, or save them as a PNG"),
        (WEIGHTS.astype(complex), "complex128 values, expected real numbers"),
        (WEIGHTS.astype(str), "<U32 values, expected real numbers|<U.* values, expected real numbers"),
        (np.array([[{}, 1], [2, 3]], object), "not a readable weight mask"),
        (WEIGHTS[None], r"float32 \(1, 2, 2\), expected \(2, 2\)"),
        (np.full((2, 2), 1e300), "negative or non-finite weights"),
        (np.full((2, 2), np.inf), "negative or non-finite weights"),
        (np.zeros((2, 2)), "all weights are 0"),
        (np.full((2, 2), 60000, np.uint16), "expected weights of 0 to 16"),
    ],
)
def test_read_weights_of_an_array_of_something_else_is_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "mask.npy", array)
    with pytest.raises(InputError, match=rf"mask\.npy: .*{message}"):
        read_weights(tmp_path / "mask.npy", 2)
    if array.dtype != object:  # which a file cannot hold
        with pytest.raises(InputError, match=f"^weights: .*{message}"):
            as_weights(array, "weights", 2)


@pytest.mark.parametrize("weights", [WEIGHTS, WEIGHTS.tolist(), WEIGHTS[:, :, None], WEIGHTS.astype(np.float64)])
def test_as_weights_takes_what_a_file_may_hold(weights) -> None:
    found = as_weights(weights, "weights", 2)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, WEIGHTS)


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (lambda p: Image.fromarray(LEVELS.astype(np.uint16) * 256).save(p, "PNG"), "16 bits per channel, expected 8"),
        (lambda p: Image.fromarray(LEVELS.astype(np.uint16)).save(p, "TIFF"), "a TIFF image, expected PNG"),
        (lambda p: Image.fromarray(LEVELS).save(p, "JPEG"), "a JPEG image, expected PNG"),
        (lambda p: Image.new("RGB", (2, 2), (9, 0, 0)).save(p, "PNG"), "has colors, expected gray"),
        (lambda p: Image.new("LA", (2, 2), (9, 0)).save(p, "PNG"), "has transparent pixels"),
        (lambda p: np.savez(p, WEIGHTS), r"a NumPy \.npz archive, expected PNG"),
        (lambda p: p.write_bytes(b""), "an empty file"),
        (lambda p: p.write_bytes(b"\x93NUMPY\1\0"), "not a readable weight mask"),
        (lambda p: p.write_bytes(b"\x93NUMPY\1\0\4\0{{{\n"), "not a readable weight mask"),
        (lambda p: p.mkdir(), "not a readable weight mask"),
    ],
)
def test_read_weights_of_something_else_is_refused_by_name(tmp_path: Path, save, message: str) -> None:
    path = tmp_path / "mask.npz"
    save(path)
    with pytest.raises(InputError, match=rf"mask\.npz: .*{message}"):
        read_weights(path, 2)


def test_read_weights_of_a_file_that_is_larger_than_a_mask_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "mask.npy").touch()
    os.truncate(tmp_path / "mask.npy", 1 << 40)
    with pytest.raises(InputError, match=r"mask\.npy: not a readable weight mask \(.*268435456"):
        read_weights(tmp_path / "mask.npy", 2)
