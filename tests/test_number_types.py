"""Every public function that takes arrays, with each type of numbers: the value of float64, or a message.

One table of calls for NumPy arrays and for tensors: what is refused for one is refused for the other.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from uvgen import geometry, losses, metrics
from uvgen.errors import InputError
from uvgen.fixed_point import FixedPoint, decode

NARROW_FLOATS = ("float16", "bfloat16")
FLOATS = (*NARROW_FLOATS, "float32", "float64")
INTEGERS = ("uint8", "uint16", "int8", "int16", "int32", "int64")
REFUSED = ("complex64", "complex128", "object", "str")


def whole(*shape: int, low: int = 0, high: int = 120, seed: int = 0) -> Any:
    """Whole numbers that each type but bool holds, float64; differences of two fall below zero."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.float64)


def landmarks(seed: int) -> Any:
    points = whole(2, 68, 3, seed=seed)
    points[:, :2] = [[0, 0, 3], [120, 127, 7]]
    return points


MASK = whole(14, 14, high=2, seed=9)
MAPS = [whole(2, 14, 14, 3, seed=k) for k in (3, 4)]
Calls = dict[str, tuple[Callable[..., Any], list[Any]]]

EITHER: Calls = {  # NumPy arrays or tensors
    "nme_2d": (metrics.nme_2d, [landmarks(1), landmarks(2)]),
    "nme_3d": (metrics.nme_3d, [landmarks(1), landmarks(2)]),
    "nme_dense": (metrics.nme_dense, [*MAPS, MASK, landmarks(1)]),
    "nme_dense in 2D": (lambda *a: metrics.nme_dense(*a, dimensions=2), [*MAPS, MASK, landmarks(1)]),
    "by_yaw": (metrics.by_yaw, [whole(50), whole(50, low=-100, seed=1).clip(-100)]),
    "weighted_mse": (losses.weighted_mse, [*MAPS, whole(14, 14, high=17)]),
    "weighted_l2": (losses.weighted_l2, [*MAPS, whole(14, 14, high=17)]),
    "ssim": (lambda *a: losses.ssim(*a, data_range=127), MAPS),
}

POSE = np.array([[0, 1, 0, 100, 90, -5, 2], [1, 0, 2, 80, 70, 6, 1.0]])
SIMILARITIES = np.array([[[2, -1, 9], [1, 2, -7], [0, 0, 1]], [[1, 0, 3], [0, 1, 2], [0, 0, 1.0]]])
AFFINE = np.array([[[2, 0, 0, 50], [0, -2, 0, 60], [0, 0, 2, 3]], [[0, 1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 3.0]]])

NUMPY: Calls = {  # what takes whatever NumPy makes an array of, and calculates in float64
    "rotation_matrices": (geometry.rotation_matrices, [POSE[:, :3]]),
    "pose_to_image": (geometry.pose_to_image, [POSE, np.array([100.0, 120])]),
    "affine_to_pose": (geometry.affine_to_pose, [AFFINE, np.array([100.0, 120])]),
    "crop_affine": (geometry.crop_affine, [AFFINE, SIMILARITIES]),
    "similarity_scale": (geometry.similarity_scale, [SIMILARITIES]),
    "similarity_scale of one": (geometry.similarity_scale, [SIMILARITIES[0]]),
    "transform_points": (geometry.transform_points, [whole(2, 9, 3), SIMILARITIES]),
    "FixedPoint.after": (FixedPoint.for_crop(256).after, [AFFINE[0]]),
    "FixedPoint.before": (FixedPoint.for_crop(256).before, [AFFINE[0]]),
}

CODES: Calls = {
    "FixedPoint.decode": (FixedPoint.for_crop(64).decode, [whole(4, 5, 3)]),
    "decode": (lambda codes: decode(codes, FixedPoint.for_crop(64).attributes), [whole(4, 5, 3)]),
}


def of_type(array: Any, kind: str) -> Any:
    if kind.startswith("u"):
        array = np.abs(array)
    return array.astype(kind)


def outcome(function: Callable[..., Any], arguments: list[Any]) -> Any:
    """What a call returns as one float64 array, whatever the library."""
    found = function(*arguments)
    if isinstance(found, metrics.ByYaw):
        return np.array([*found[:4], *found.n_samples])
    return np.asarray(found.detach().double() if hasattr(found, "detach") else found, np.float64)


def expected_of(function: Callable[..., Any], arguments: list[Any]) -> Any:
    return outcome(function, [np.asarray(argument, np.float64) for argument in arguments])


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "longdouble", *INTEGERS])
@pytest.mark.parametrize("name", [*EITHER, *NUMPY, *CODES])
def test_arrays_of_any_real_type_give_what_float64_gives(name: str, kind: str) -> None:
    function, values = {**EITHER, **NUMPY, **CODES}[name]
    if kind.startswith("u"):  # which cannot hold a rotation
        values = [SIMILARITIES[1] if np.shape(value) == (3, 3) else value for value in values]
        values = [SIMILARITIES[[1, 1]] if np.shape(value) == (2, 3, 3) else value for value in values]
    arguments = [of_type(value, kind) for value in values]
    copies = [argument.copy() for argument in arguments]
    found = outcome(function, arguments)
    rtol = 2e-5 if kind in ("float16", "float32") else 1e-6  # float32 arithmetic; codes are decoded in float32
    np.testing.assert_allclose(found, expected_of(function, arguments), rtol=rtol, atol=1e-6)
    for argument, copy in zip(arguments, copies, strict=True):
        np.testing.assert_array_equal(argument, copy)


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", [*EITHER, *NUMPY, *CODES])
def test_arrays_of_no_real_numbers_are_refused_by_name(name: str, kind: str) -> None:
    function, values = {**EITHER, **NUMPY, **CODES}[name]
    for place in range(len(values)):
        arguments = list(values)
        arguments[place] = values[place].astype(kind)
        with pytest.raises(InputError, match=r"^\w+: .*expected (real numbers|a NumPy array)"):
            function(*arguments)


@pytest.mark.parametrize("name", [*EITHER])
@pytest.mark.parametrize("bad", [[[1.0, 2.0], [3.0]], None, "text", 3.5, {"a": 1}])
def test_what_are_no_arrays_is_refused_by_name(name: str, bad: Any) -> None:
    function, values = EITHER[name]
    for place in range(len(values)):
        arguments: list[Any] = list(values)
        arguments[place] = bad
        with pytest.raises(InputError, match=r"^\w+: .*, expected a NumPy array or a PyTorch tensor"):
            function(*arguments)


@pytest.mark.parametrize("name", [*EITHER])
def test_lists_are_refused_for_metrics_and_losses(name: str) -> None:
    function, values = EITHER[name]
    with pytest.raises(InputError, match=r"expected a NumPy array or a PyTorch tensor"):
        function(*(value.tolist() for value in values))


@pytest.mark.parametrize("name", [*NUMPY])
@pytest.mark.parametrize("bad", [[[1.0, 2.0], [3.0]], None, "text", {"a": 1}])
def test_what_numpy_makes_no_numbers_of_is_refused(name: str, bad: Any) -> None:
    function, values = NUMPY[name]
    for place in range(len(values)):
        arguments: list[Any] = list(values)
        arguments[place] = bad
        with pytest.raises(InputError, match=r"^\w+: .*, expected "):
            function(*arguments)
    np.testing.assert_array_equal(outcome(function, [v.tolist() for v in values]), outcome(function, values))


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_metrics_and_losses_of_narrow_floats_are_float32(kind: str) -> None:
    for name, (function, values) in EITHER.items():
        if name != "by_yaw":
            assert function(*(value.astype(kind) for value in values)).dtype == np.float32, name


def test_nme_of_a_large_face_in_float16_is_no_perfect_score() -> None:
    truth = (np.random.default_rng(0).random((1, 68, 2)) * 2000).astype(np.float16)
    wrong = truth[:, ::-1].copy()
    expected = metrics.nme_2d(wrong.astype(np.float64), truth.astype(np.float64))
    np.testing.assert_allclose(metrics.nme_2d(wrong, truth), expected, rtol=1e-5)


def test_losses_of_values_beyond_half_precision_are_right() -> None:
    large, none = np.full((1, 3, 12, 12), 30000, np.float16), np.zeros((1, 3, 12, 12), np.float16)
    weights = np.full((12, 12), 16, np.float16)
    assert losses.weighted_mse(large, none, weights) == pytest.approx(9e8)
    assert losses.weighted_l2(large, none, weights) == pytest.approx(30000 * 3**0.5)


def test_bool_arrays_count_as_0_and_1() -> None:
    p, t = (MAPS[k] > 60 for k in (0, 1))
    assert losses.weighted_mse(p, t, np.ones((14, 14), bool)) == pytest.approx((p != t).mean())
    corners = np.zeros((1, 68, 2), bool)
    corners[0, 0] = True
    assert metrics.nme_2d(~corners, corners)[0] == pytest.approx(2**0.5)


def test_integer_weights_leave_a_loss_in_the_maps_type() -> None:
    p, t = (m.astype(np.float32) for m in MAPS)
    for kind in ("uint8", "int64", "bool"):
        assert losses.weighted_mse(p, t, np.ones((14, 14), kind)).dtype == np.float32
    expected = losses.weighted_mse(p, t, MASK.astype(np.float32))
    assert losses.weighted_mse(p, t, MASK.astype(np.uint8)) == expected


def test_geometry_of_shapes_that_do_not_agree_is_an_error() -> None:
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: geometry.affine_to_pose(AFFINE[0], 100), r"affine: float64 \(3, 4\), expected \(B, 3, 4\)"),
        (lambda: geometry.affine_to_pose(AFFINE, [100] * 3), r"image_height: float64 \(3,\), expected \(\) or \(2,\)"),
        (lambda: geometry.crop_affine(AFFINE[0], SIMILARITIES), r"affine: float64 \(3, 4\), expected \(B, 3, 4\)"),
        (lambda: geometry.crop_affine(AFFINE[:1], SIMILARITIES), r"similarity: float64 \(2, 3, 3\), expected \(1, 3"),
        (lambda: geometry.similarity_scale(np.eye(2)), r"similarity: float64 \(2, 2\), expected \(\.\.\., 3, 3\)"),
        (lambda: geometry.transform_points(whole(5, 4), np.eye(3)), r"points: float64 \(5, 4\), expected"),
        (
            lambda: geometry.transform_points(whole(3, 5, 2), SIMILARITIES),
            r"similarity: float64 \(2, 3, 3\), expected \(3, 3\) or one per set of points \(3, 5, 2\)",
        ),
    ]
    for call, words in calls:
        with pytest.raises(InputError, match=words):
            call()


def test_fixed_point_of_unusable_arguments_is_an_error() -> None:
    codes = FixedPoint.for_crop(64)
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: codes.decode(np.ones(3, bool)), r"codes: bool \(3,\), expected a NumPy array of integers"),
        (lambda: codes.decode([1, 2]), r"codes: \[1, 2\], expected a NumPy array"),  # type: ignore[arg-type]
        (lambda: codes.after(np.eye(3)), r"affine: float64 \(3, 3\), expected \(3, 4\)"),
        (lambda: FixedPoint.for_range(np.nan, 1), "low: nan, expected a finite number"),
        (lambda: FixedPoint.for_range(2, 1), "high: 1, expected 2 or more"),
        (lambda: FixedPoint.for_crop(0), "size: 0, expected 1 or more"),
    ]
    for call, words in calls:
        with pytest.raises(InputError, match=words):
            call()


# The same with tensors


def tensor(array: Any, kind: str) -> Any:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    return torch.from_numpy(of_type(array, "float64")).to(getattr(torch, kind))


@pytest.mark.torch
@pytest.mark.parametrize("kind", [*FLOATS, *INTEGERS])
@pytest.mark.parametrize("name", [*EITHER])
def test_tensors_of_any_real_type_give_what_float64_gives(name: str, kind: str) -> None:
    function, values = EITHER[name]
    arguments = [tensor(np.abs(value) if kind.startswith("u") else value, kind) for value in values]
    expected = expected_of(function, [argument.double().numpy() for argument in arguments])
    rtol = 2e-5 if kind in ("float16", "bfloat16", "float32") else 1e-6  # float32 arithmetic
    np.testing.assert_allclose(outcome(function, arguments), expected, rtol=rtol, atol=1e-6)
    found = function(*arguments)
    if name != "by_yaw":
        wide = "float64" if kind in ("float64", *INTEGERS) else "float32"
        assert str(found.dtype) == f"torch.{wide}"


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["complex64", "complex128"])
@pytest.mark.parametrize("name", [*EITHER])
def test_tensors_of_no_real_numbers_are_refused_by_name(name: str, kind: str) -> None:
    function, values = EITHER[name]
    for place in range(len(values)):
        arguments = [tensor(value, kind if k == place else "float32") for k, value in enumerate(values)]
        with pytest.raises(InputError, match=rf"^\w+: torch.{kind} .*, expected real numbers"):
            function(*arguments)


@pytest.mark.torch
@pytest.mark.parametrize("name", [*EITHER])
def test_arrays_together_with_tensors_are_refused(name: str) -> None:
    function, values = EITHER[name]
    for place in range(len(values)):
        arguments = [tensor(value, "float64") if k == place else value for k, value in enumerate(values)]
        with pytest.raises(InputError, match=r"expected all NumPy arrays or all PyTorch tensors"):
            function(*arguments)


@pytest.mark.torch
def test_nme_dense_of_tensors_takes_the_mask_that_face_mask_gives() -> None:
    function, values = EITHER["nme_dense"]
    arguments = [tensor(value, "float64") for value in values]
    arguments[2] = values[2] != 0
    np.testing.assert_allclose(outcome(function, arguments), expected_of(function, values))


@pytest.mark.torch
@pytest.mark.parametrize("kind", NARROW_FLOATS)
@pytest.mark.parametrize("name", ["weighted_mse", "weighted_l2", "ssim"])
def test_losses_of_half_precision_have_finite_gradients_also_where_maps_are_equal(name: str, kind: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    function, values = EITHER[name]
    predicted, target, *weights = (tensor(value, kind) for value in values)
    for truth in (target, predicted.clone()):
        guess = predicted.clone().requires_grad_()
        with torch.autocast("cpu", dtype=getattr(torch, kind)):
            loss = function(guess, truth, *weights)
        assert loss.dtype == torch.float32
        loss.backward()
        assert guess.grad.dtype == guess.dtype and bool(guess.grad.isfinite().all())


@pytest.mark.torch
@pytest.mark.parametrize("name", [*NUMPY])
def test_tensors_that_numpy_cannot_read_are_refused_by_geometry(name: str) -> None:
    function, values = NUMPY[name]
    np.testing.assert_array_equal(outcome(function, [tensor(v, "float64") for v in values]), outcome(function, values))
    for bad in (tensor(values[0], "bfloat16"), tensor(values[0], "float64").requires_grad_()):
        with pytest.raises(InputError, match=r"^\w+: torch\.\w+ .*, expected what NumPy can make an array of"):
            function(bad, *values[1:])
