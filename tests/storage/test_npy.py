"""``.npy`` files: what NumPy writes is read, and nothing is made for a header that lies."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from uvgen.samples.files import check_machine
from uvgen.storage.npy import read_npy


def saved(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def with_header(text: str, values: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + values


@given(
    hnp.arrays(
        st.sampled_from(["<f4", ">f8", "i1", "<u2", "?", ">i8", "<f2"]), hnp.array_shapes(min_dims=0, min_side=0)
    ),
    st.booleans(),
)
def test_read_npy_gives_what_numpy_saved(array: np.ndarray, columns_first: bool) -> None:
    array = np.asfortranarray(array) if columns_first else array
    found = read_npy(saved(array))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (saved(np.array([{}], object)), "object values"),
        (saved(np.array(["a"])), "<U1 values"),
        (saved(np.ones(2, complex)), "complex128 values"),
        (saved(np.zeros(2, [("a", "f4")])), "values, expected real"),
        (saved(np.zeros(3))[:-1], "23 bytes of values, float64 .3,. needs 24"),
        (saved(np.zeros(3)) + b"x", "25 bytes of values"),
        (with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}\n"), "0 bytes of values"),
        (with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}\n"), "a shape of"),
        (
            with_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({1 << 58}, {1 << 58}, 0)}}\n"),
            "a shape of",
        ),
        (with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (True,)}\n", bytes(8)), "a shape of"),
        (with_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({'1,' * 40})}}\n", bytes(8)), "a shape of"),
        (with_header("(" * 3000), "damaged .npy header"),
        (with_header("-" * 4000), "damaged .npy header"),
        (with_header("(" * 190 + "-" * 3500 + "1" + ")" * 190), "damaged .npy header: a header of brackets within"),
        (with_header(" " * 9000), "damaged .npy header"),
        (b"\x93NUMPY\3\0" + bytes(20), "version"),
        (b"\x93NUMPY", "damaged .npy header"),
    ],
)
def test_read_npy_of_something_else_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_npy(data)


@pytest.mark.parametrize("nested", ["-" * 3500, "(" * 190 + "-" * 3500 + "1" + ")" * 190, "[" * 4000])
def test_header_that_is_nested_too_deep_for_python_does_not_count_as_a_machine_without_memory(nested: str) -> None:
    """Python's parser raises MemoryError for it."""
    with pytest.raises(ValueError, match="damaged") as raised:
        read_npy(with_header(nested))
    check_machine(raised.value)


@pytest.mark.parametrize("text", ["'{}'", "u'{}'", "'' '{}'"])
@pytest.mark.parametrize("key", ["shape", "descr", "fortran_order"])
def test_header_that_states_something_twice_is_refused(key: str, text: str) -> None:
    """NumPy takes the last."""
    stated = {"descr": "'<f8'", "fortran_order": "False", "shape": "(2, 3)"}
    other = {"descr": "'>f8'", "fortran_order": "True", "shape": "(3, 2)"}
    twice = [*((f"'{k}'", v) for k, v in stated.items()), (text.format(key), other[key])]
    with pytest.raises(ValueError, match="a header that states something twice"):
        read_npy(with_header("{" + ", ".join(f"{k}: {v}" for k, v in twice) + "}\n", bytes(48)))


def test_header_of_python_2_is_read_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L), }\n"
    assert read_npy(with_header(text, bytes(48))).shape == (2, 3)
    assert not recwarn.list
