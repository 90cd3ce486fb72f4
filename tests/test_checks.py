"""Each helper takes what it should, and names the argument, what was found and what was expected, in this order."""

import json
import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import pytest

from uvgen import checks
from uvgen.errors import InputError


def assert_refused(message: str, check: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """The whole message, word for word."""
    with pytest.raises(InputError, match="^" + re.escape(message) + "$"):
        check(*arguments, **options)


def test_frozen_is_contiguous_read_only_and_leaves_the_input_writeable() -> None:
    array = np.arange(12.0).reshape(3, 4)
    for view in (checks.frozen(array, np.float64), checks.frozen(array.T, np.float64)):
        assert view.flags.c_contiguous and not view.flags.writeable
    assert array.flags.writeable


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ([(None, 3)], "(*, 3)"),
        ([("B", 3, 3), (3, 3)], "(B, 3, 3) or (3, 3)"),
        ([(..., -1, 3)], "(..., 1+, 3)"),
        ([(), (4,)], "() or (4,)"),
    ],
)
def test_describe_shows_each_kind_of_length(shapes: list[Any], text: str) -> None:
    assert checks.describe(*shapes) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((4, 2), np.float32), "float32 (4, 2)"),
        (np.float64(1.5), "1.5"),
        (np.int32(7), "7"),
        ("x", "'x'"),
        (None, "None"),
        ((np.eye(2),), "(array([[1., 0.], [0., 1.]]),)"),
        ("a" * 99, "'" + "a" * 58 + "…"),
        (10**5000, "int too long to show"),
        (reduce(lambda inner, _: [inner], range(9999), []), "list too long to show"),
    ],
    ids=range(9),
)
def test_shown_is_short(value: Any, text: str) -> None:
    assert checks.shown(value) == text


@pytest.mark.parametrize(
    ("have", "shape"),
    [((4, 3), (None, 3)), ((0, 3), ("n", 3)), ((2, 4, 3), (..., 3)), ((3,), (..., 3)), ((1, 2), (-1, 2)), ((), (...,))],
)
def test_check_array_of_a_fitting_shape_is_taken(have: tuple[int, ...], shape: tuple[Any, ...]) -> None:
    checks.check_array(np.zeros(have), "points", shape)


@pytest.mark.parametrize(
    ("have", "shape"),
    [((4, 2), (None, 3)), ((3,), ("n", 3)), ((2, 4), (..., 3)), ((3,), (..., 3, 3)), ((0, 2), (-1, 2)), ((1,), ())],
)
def test_check_array_of_another_shape_is_refused(have: tuple[int, ...], shape: tuple[Any, ...]) -> None:
    expected = f"points: float64 {have}, expected {checks.describe(shape)}"
    assert_refused(expected, checks.check_array, np.zeros(have), "points", shape)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("real numbers", ["f2", "i8", "u1", "?"], ["c8", "O", "U3", "M8[s]"]),
        ("numbers", ["f4", "i4"], ["?", "O"]),
        ("integers", ["i1", "u8"], ["f4", "?"]),
        ("uint8", ["u1"], ["i1", "f4"]),
    ],
)
def test_check_array_kind_is_that_of_the_dtype(kind: str, good: list[str], bad: list[str]) -> None:
    for dtype in good:
        checks.check_array(np.zeros(3, dtype), "a", (3,), kind=kind)
    for dtype in bad:
        array = np.zeros(3, dtype)
        message = f"a: {array.dtype} (3,), expected {kind} of shape (3,): levels"
        assert_refused(message, checks.check_array, array, "a", (3,), kind=kind, note="levels")


def test_check_array_takes_tensors() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    checks.check_array(torch.zeros(2, 3), "maps", ("B", 3))
    message = "maps: torch.float32 (2, 3), expected (B, 4)"
    assert_refused(message, checks.check_array, torch.zeros(2, 3), "maps", ("B", 4))


def test_real_array_is_frozen_float32() -> None:
    array = checks.real_array([[1, 2, 3]], "vertices", (None, 3))
    assert array.dtype == np.float32 and not array.flags.writeable
    assert np.isinf(checks.real_array([1e300], "x", (1,))[0])
    message = "vertices: float32 (4, 2), expected real numbers of shape (*, 3)"
    assert_refused(message, checks.real_array, np.zeros((4, 2), np.float32), "vertices", (None, 3))


def test_bool_mask_counts_what_is_not_zero() -> None:
    np.testing.assert_array_equal(checks.bool_mask([[0, 2.5]], "mask", (1, 2)), [[False, True]])
    mask = np.ones((1, 2), bool)
    assert checks.bool_mask(mask, "mask", (1, 2)) is mask
    message = "mask: bool (1, 2), expected bool or real numbers of shape (2, 1)"
    assert_refused(message, checks.bool_mask, mask, "mask", (2, 1))


def test_check_finite_names_the_first_place() -> None:
    checks.check_finite(np.zeros((2, 3)), "landmarks")
    checks.check_finite(np.zeros((0, 3)), "landmarks")
    points = np.zeros((2, 3))
    points[1, 2] = np.inf
    message = "landmarks: holds NaN or infinity, first at [1, 2], expected finite numbers"
    assert_refused(message, checks.check_finite, points, "landmarks")


def test_out_buffer_is_the_callers_or_a_new_one() -> None:
    mine = np.zeros((4, 5), np.uint8)
    assert checks.out_buffer(mine, (4, 5), np.uint8) is mine
    new = checks.out_buffer(None, (4, 5), np.uint8)
    assert (new.shape, new.dtype) == ((4, 5), np.uint8)


def test_check_buffer_says_why_a_kernel_cannot_fill_it() -> None:
    locked = np.zeros((4, 5), np.uint8)
    locked.flags.writeable = False
    wanted = "expected uint8 (4, 5), C-contiguous and writeable"
    for out, found in (
        (np.zeros((5, 4), np.uint8), "uint8 (5, 4)"),
        (np.zeros((4, 5), np.int8), "int8 (4, 5)"),
        (None, "None"),
        ([[0]], "[[0]]"),
        (np.zeros((5, 4), np.uint8).T, "uint8 (4, 5), not C-contiguous"),
        (locked, "uint8 (4, 5), read-only"),
    ):
        assert_refused(f"out.weights: {found}, {wanted}", checks.check_buffer, out, (4, 5), np.uint8, "out.weights")


@pytest.mark.parametrize("value", [16, 4096, np.int16(300), np.uint8(16)])
def test_number_in_of_a_whole_number_in_the_range_is_that_number(value: Any) -> None:
    found = checks.number_in(value, "size", 16, 4096, whole=True)
    assert type(found) is int and found == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (8, "size: 8 texels, expected 16 to 4096"),
        (np.int64(5000), "size: 5000 texels, expected 16 to 4096"),
        (64.0, "size: 64.0, expected a whole number, 16 to 4096"),
        (True, "size: True, expected a whole number, 16 to 4096"),
        ("64", "size: '64', expected a whole number, 16 to 4096"),
        (None, "size: None, expected a whole number, 16 to 4096"),
    ],
)
def test_number_in_of_anything_else_is_refused(value: Any, message: str) -> None:
    assert_refused(message, checks.number_in, value, "size", 16, 4096, "texels", whole=True)


@pytest.mark.parametrize("value", [0, 1.5, np.float32(0.25), np.uint8(3), 10**300, Fraction(1, 3)])
def test_number_in_without_an_upper_end_takes_any_finite_number(value: Any) -> None:
    found = checks.number_in(value, "tolerance", 0)
    assert found == (float(value) if value == Fraction(1, 3) else value)
    assert isinstance(found, int) == (not isinstance(value, (float, np.floating, Fraction)))


@pytest.mark.parametrize("value", [10**400, -(10**400), Fraction(10**400, 3)])
def test_number_in_refuses_numbers_beyond_every_float_unless_they_are_whole(value: Any) -> None:
    with pytest.raises(InputError, match=r"^tolerance: .*, expected a finite number"):
        checks.number_in(value, "tolerance", -math.inf)
    if isinstance(value, int):
        assert checks.number_in(value, "n", -math.inf, whole=True) == value


@pytest.mark.parametrize("value", [True, None, "64", 1j, np.bool_(True), np.zeros(3)])
def test_plain_number_of_what_is_no_number_is_that(value: Any) -> None:
    assert checks.plain_number(value) is value


@pytest.mark.parametrize("value", [np.int64(3), np.uint16(3), np.float32(0.25), np.float64(0.25), 3, 0.25])
def test_plain_number_goes_to_json(value: Any) -> None:
    assert json.loads(json.dumps(checks.plain_number(value))) == value
    assert type(checks.seed_number(np.int64(3))) is int


@pytest.mark.parametrize(
    ("value", "found"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (False, "False"), (1j, "1j")]
)
def test_number_in_of_what_is_not_finite_is_refused(value: Any, found: str) -> None:
    message = f"tolerance: {found}, expected a finite number, 0 or more"
    assert_refused(message, checks.number_in, value, "tolerance", 0)


def test_choice_is_one_of_the_values() -> None:
    assert checks.choice(None, "convention", (None, "face3d")) is None
    assert checks.choice(2, "dimensions", (2, 3)) == 2
    message = "cull: 'left', expected 'none', 'back' or 'front'"
    assert_refused(message, checks.choice, "left", "cull", ("none", "back", "front"))
    for value, found in ((None, "None"), (["a"], "['a']"), (np.zeros(3), "float64 (3,)")):
        assert_refused(f"mode: {found}, expected 'a' or 'b'", checks.choice, value, "mode", ("a", "b"))


def test_picture_size_is_two_whole_numbers_in_the_range() -> None:
    assert checks.picture_size(np.array([4, 5])) == (4, 5)
    assert_refused("size: 5, expected (height, width) as two integers", checks.picture_size, 5)
    assert_refused("size: (4.5, 5), expected (height, width) as two integers", checks.picture_size, (4.5, 5))
    assert_refused("size: (-1, 5) px, expected a height and width of 0 to 32768", checks.picture_size, (-1, 5))


def test_background_color_is_one_number_per_channel() -> None:
    np.testing.assert_array_equal(checks.background_color(2, 3), np.float32([2, 2, 2]))
    np.testing.assert_array_equal(checks.background_color([1, 2, 3], 3), np.float32([1, 2, 3]))
    message = "background: int64 (2,), expected real numbers of shape () or (3,): one number, or one per channel"
    assert_refused(message, checks.background_color, np.array([1, 2], np.int64), 3)


def test_triangle_indices_are_flat_and_unsigned() -> None:
    indices = checks.triangle_indices([[0, 1, 2], [2, 1, 3]], 4)
    assert indices.tolist() == [0, 1, 2, 2, 1, 3] and indices.dtype == np.uint32
    assert checks.triangle_indices([], 0).shape == (0,)
    message = "triangles: float64 (1, 3), expected integers of shape (*, 3): vertex indices"
    assert_refused(message, checks.triangle_indices, [[0.0, 1, 2]])
    message = "triangles: triangle 0 is [0, 0, 0], expected none without vertices"
    assert_refused(message, checks.triangle_indices, [[0, 0, 0]], 0)


def test_bad_index_names_the_first_triangle_and_how_many_there_are() -> None:
    one = checks.bad_index([[0, 1, 2], [0, 1, 9]], 3)
    assert str(one) == "triangles: triangle 1 is [0, 1, 9], expected indices of 0 to 2"
    two = checks.bad_index([[-1, 1, 2], [0, 1, 9]], 3, "uv_triangles")
    assert str(two) == "uv_triangles: triangle 0 is [-1, 1, 2], expected indices of 0 to 2 (2 such triangles)"


def test_check_several_refuses_what_is_no_list_of_names() -> None:
    checks.check_several(("a",), "names")
    assert_refused("names: 'a', expected a list of names, such as ['a']", checks.check_several, "a", "names")
    assert_refused("names: b'a', expected a list of names", checks.check_several, b"a", "names")
    assert_refused("names: 5, expected a list of names", checks.check_several, 5, "names")
    assert_refused("names: None, expected a list of names", checks.check_several, None, "names")


def test_number_in_of_float32_does_not_warn_of_a_limit_beyond_it() -> None:
    with np.errstate(all="raise"):
        assert checks.number_in(np.float32(0.5), "data_range", 0, 1e100) == 0.5


def test_true_or_false_refuses_words_and_numbers() -> None:
    assert checks.true_or_false(np.True_, "flip") is True and checks.true_or_false(False, "flip") is False
    assert checks.true_or_false(np.array(True), "flip") is True
    for value in ("no", 0, None, [True], np.array(1)):
        assert_refused(f"flip: {value!r}, expected True or False", checks.true_or_false, value, "flip")
