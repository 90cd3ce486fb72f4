"""Ways of counting that are put in are recognized, and a network's own errors raise no doubt."""

from collections.abc import Callable

import numpy as np
import pytest
from support.scaling import assert_proportional
from support.toy import landmark_uv

from uvgen.evaluation.doubts import Counted, find_doubts
from uvgen.evaluation.evaluate import _Comparison
from uvgen.geometry import LANDMARK_MIRROR

N, R = 60, 256


def true_faces() -> np.ndarray:
    """(N, 68, 3): the toy face turned and moved."""
    rng = np.random.default_rng(0)
    uv = landmark_uv()
    flat = np.stack([uv[:, 0] - 0.5, 0.5 - uv[:, 1], 0.3 - (uv[:, 0] - 0.5) ** 2], axis=1) * 180
    faces = []
    for _ in range(N):
        yaw, roll, size = rng.normal(0, 0.5), rng.normal(0, 0.2), rng.uniform(0.8, 1.1)
        c, s = np.cos(yaw), np.sin(yaw)
        turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        c, s = np.cos(roll), np.sin(roll)
        faces.append(
            size * flat @ turn.T @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]).T
            + [128, 128, 60]
            + rng.normal(0, 5, 3)
        )
    return np.array(faces)


def doubts(change, noise: float = 2.0, convention: str = "exact", scale: float = 0.5) -> list[str]:
    rng = np.random.default_rng(1)
    true = true_faces()
    predicted = change(true + rng.normal(0, noise, true.shape) + rng.normal(0, noise, (N, 1, 3)))
    steps = np.tile(np.eye(2) * scale, (N, 1, 1))
    return find_doubts(Counted([f"face {k}" for k in range(N)], predicted, true, steps), convention)


@pytest.mark.parametrize("noise", [0.0, 1.0, 4.0])
def test_errors_of_a_network_raise_no_doubt(noise: float) -> None:
    assert doubts(lambda p: p, noise) == []


def mirrored(p):
    return np.concatenate([R - 1 - p[..., :1], p[..., 1:]], axis=-1)


@pytest.mark.parametrize(("change", "words"), [
    (lambda p: mirrored(p)[:, LANDMARK_MIRROR], "look mirrored: x runs from right to left?"),
    (mirrored, "look mirrored, with landmarks in the order of the face that is not?"),
    (lambda p: p[:, LANDMARK_MIRROR], "landmarks of the left and the right are exchanged?"),
    (lambda p: p * [1, -1, 1] + [0, R - 1, 0], "look upside down: y runs upward?"),
    (lambda p: p[..., [1, 0, 2]], "y stands before x?"),
    (lambda p: p / 281.6, "were they divided by 281.6"),
    (lambda p: p / 256, "were they divided by 256"),
    (lambda p: p * 0.5, "of a crop of another size?"),
    (lambda p: np.roll(p, 1, axis=0), "are they in another order?"),
    (lambda p: p * [1, 1, -1], "depths are inverted"),
])  # fmt: skip
def test_another_way_of_counting_is_recognized(change, words: str) -> None:
    (found,) = doubts(change)
    assert words in found


@pytest.mark.parametrize(("shift", "words"), [
    ((1, -1), "1 px right and 1 px up of the truth: face3d's convention?"),
    ((1, 0), "1 px right of the truth: reshow's convention?"),
    ((1, 1), "1 px right and 1 px down of the truth: MATLAB's convention?"),
    ((-104, 104), "104 px left and 104 px down of the truth, in pixels of the original image"),
    ((0, 3), "3 px down of the truth, in pixels of the original image"),
])  # fmt: skip
def test_a_shift_is_said_in_pixels_of_the_image(shift, words: str) -> None:
    (found,) = doubts(lambda p: p + [0.5 * shift[0], 0.5 * shift[1], 0], noise=0.0)
    assert found == f"predictions lie {words}"
    (found,) = doubts(lambda p: p + [0.5 * shift[0], 0.5 * shift[1], 0], noise=0.3)
    assert words.rpartition("truth")[2] in found


def test_a_shift_is_named_from_the_truths_convention() -> None:
    (found,) = doubts(lambda p: p + [-0.5, 0.5, 0], noise=0.0, convention="face3d")
    assert found == "predictions lie 1 px left and 1 px down of the truth: the exact convention?"


def test_one_face_says_nothing_of_what_all_have_in_common() -> None:
    true = true_faces()[:1]
    assert find_doubts(Counted(["a"], true + 9, true, np.eye(2)[None]), "exact") == []


def test_what_doubts_are_found_in_takes_steps_in_proportion_to_the_faces() -> None:
    def step(n: int) -> Callable[[], object]:
        comparison = _Comparison(None, None, ())  # type: ignore[arg-type]
        comparison._names = [str(k) for k in range(n)]
        comparison._points = [(np.zeros((68, 3 - k % 2)), np.zeros((68, 2)), np.eye(2)) for k in range(n)]
        assert comparison.counted().predicted.shape == (n, 68, 2)
        return comparison.counted

    assert_proportional(step)
