"""Which frames of a video are one track: `uvgen.fitting.video.linking`, and frames' numbers by their names."""

import numpy as np
import pytest

from uvgen.fitting.video.find import frame_numbers, order_problem
from uvgen.fitting.video.linking import Places, linked, thumbnail_of
from uvgen.geometry import rotation_matrices

N = 20


def places(**more) -> Places:
    """A head that drifts slowly."""
    yaw = np.linspace(0, 0.5, N)
    rest = {
        "times": np.arange(N) / 25, "center": np.column_stack([np.linspace(50, 60, N), np.full(N, 40.0)]),
        "size": np.full(N, 30.0), "rotation": rotation_matrices(np.column_stack([0 * yaw, yaw, 0 * yaw])),
        "image_size": np.full((N, 2), 100), "change": np.full(N, 0.01),
    }  # fmt: skip
    return Places(**(rest | more))


def changed(name: str, at: slice, value) -> Places:
    array = getattr(places(), name).copy()
    array[at] = value
    return places(**{name: array})


WHOLE = [list(range(N))]
HALVES = [list(range(10)), list(range(10, N))]


def test_a_head_that_moves_is_one_track() -> None:
    assert linked(places()) == (WHOLE, [])


@pytest.mark.parametrize(
    "cut",
    [
        changed("center", slice(10, None), (90.0, 40.0)),
        changed("size", slice(10, None), 60.0),
        changed("rotation", slice(10, None), rotation_matrices(np.array([[0, -1.2, 0]]))[0]),
        changed("image_size", slice(10, None), 200),
        changed("change", slice(10, 11), 0.3),
        changed("times", slice(10, None), np.arange(10, N) / 25 + 5),
    ],
    ids=["place", "size", "pose", "image", "picture", "pause"],
)
def test_a_cut_begins_another_track(cut: Places) -> None:
    assert linked(cut) == (HALVES, [])


@pytest.mark.parametrize("stop", [11, 13])
def test_landmarks_that_jump_away_and_back_are_wrong(stop: int) -> None:
    tracks, wrong = linked(changed("center", slice(10, stop), (95.0, 90.0)))
    assert wrong == list(range(10, stop)) and tracks == [[k for k in range(N) if k not in wrong]]


def test_landmarks_that_jump_to_and_fro_are_wrong_each() -> None:
    center = places().center.copy()
    center[10], center[11] = (95, 90), (5, 5)
    tracks, wrong = linked(places(center=center))
    assert wrong == [10, 11] and len(tracks) == 1


def test_few_frames_after_a_jump_at_the_end_are_a_track() -> None:
    assert linked(changed("center", slice(18, None), (95.0, 90.0))) == ([list(range(18)), [18, 19]], [])


def test_pictures_that_change_all_the_time_are_no_cuts() -> None:
    assert linked(places(change=np.full(N, 0.2))) == (WHOLE, [])


def test_frames_that_are_taken_seldom_are_no_pauses() -> None:
    assert linked(places(times=np.arange(N) * 3.0)) == (WHOLE, [])


def test_no_frames_are_no_tracks() -> None:
    none = Places(*(array[:0] for array in places()))
    assert linked(none) == ([], []) and linked(Places(*(array[:1] for array in places()))) == ([[0]], [])


@pytest.mark.parametrize("size", [(3, 5), (64, 90), (200, 100)])
def test_thumbnails_of_all_sizes_have_one_size_and_the_mean(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 51, np.uint8)
    np.testing.assert_allclose(thumbnail_of(image), np.full((16, 16, 3), 0.2), atol=1e-6)


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["f1", "f2", "f10"], [1, 2, 10]),
        (["001", "002", "007"], [1, 2, 7]),
        (["take2_0001", "take2_0002"], [1, 2]),
        (["cam0_0001_25fps", "cam0_0002_25fps", "cam0_0003_25fps"], [1, 2, 3]),
        (["img_1_a2", "img_2_a2"], [1, 2]),
        (["a", "f2", "f3"], [None, 2, 3]),
        (["only7"], [7]),
        (["x"], [None]),
        ([], []),
    ],
)
def test_numbers_of_frames_are_what_differs_in_their_names(names: list[str], numbers: list[int | None]) -> None:
    assert frame_numbers(names) == numbers


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["0.967", "1.001", "0.000", "1.034"], "1.034.png would come before 0.967.png"),  # seconds
        (["0.0", "0.033", "0.067", "0.1"], "0.1.png would come before 0.033.png"),
        (["t9.96", "t10.00", "t10.04"], "t10.04.png would come before t9.96.png"),
        (["00-50", "00-59", "01-08"], "01-08.png would come before 00-50.png"),  # minutes and seconds
        (["00_00_59.98", "00_01_00.02", "00_01_00.06"], "00_01_00.06.png would come before 00_00_59.98.png"),
        (["shot1_8", "shot1_9", "shot2_1", "cover"], "shot2_1.png would come before shot1_8.png"),
        (["cam1_000001", "cam2_000002", "cam1_000003"], ""),  # counters, whatever stands before them
        (["conf87_frame_0001", "conf12_frame_0002", "conf3_frame_0007"], ""),
        (["take2_0001", "take2_0019", "take1_0020"], ""),
        (["P1_01", "B2_02", "B1_03"], ""),
        (["0.33", "0.555", "0.1035"], ""),  # of a video 0, as in YouTube Faces
        (["1.9998", "1.9999", "1.10000"], ""),
        (["12_5", "12_10", "cover7"], ""),
        (["100_0001_25", "133_0002_25", "166_0003_24"], ""),
        (["t0.9_1", "t1.0_2", "t1.1_3"], ""),
        (["a0_1", "a0_2", "b0_2", "b0_3"], ""),  # each costs itself
        ([], ""),
    ],
)
def test_names_whose_numbers_give_another_order_are_told(names: list[str], said: str) -> None:
    problem = order_problem([f"{name}.png" for name in names])
    assert said in problem and bool(problem) == bool(said)
