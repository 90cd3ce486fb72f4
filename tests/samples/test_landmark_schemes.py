"""Markups against a face whose 68 points are known: each scheme's points go where that scheme's pictures have them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen import load_model
from uvgen.errors import InputError
from uvgen.geometry import LANDMARK_MIRROR, pose_to_image
from uvgen.samples.landmark_schemes import (
    _INSIGHTFACE_106,
    _INSIGHTFACE_JAW,
    _JD_106,
    _MEDIAPIPE_478,
    _WFLW_98,
    SCHEMES,
    FaceLandmarks,
    faces_of,
    given_scores,
    misplaced,
    outside_image,
    scheme_of,
    stated_scores,
    to_68,
)


@pytest.fixture(scope="module")
def face() -> NDArray[np.float64]:
    """The built-in model's 68 landmarks, (68, 2) px in an image of 300 × 400."""
    model = load_model("builtin")
    points = model.mean.reshape(-1, 3)[model.landmarks, :2].astype(np.float64)
    points = (points - points.mean(axis=0)) / np.ptp(points, axis=0).max() * 200
    return points * [1, -1] + [150, 200]


def of_68(scheme: str, face: NDArray[np.float64]) -> NDArray[np.float64]:
    """A scheme's points that say `face`; those that iBUG's lack are NaN."""
    if scheme == "5":
        eyes = [face[[36, 39]].mean(axis=0), face[[42, 45]].mean(axis=0)]
        return np.array([*eyes, face[30], face[48], face[54]])
    counts = {"68": 68, "98": 98, "106": 106, "106-insightface": 106, "478": 478}
    points = np.full((counts[scheme], 2), np.nan)
    if scheme == "68":
        return face.copy()
    if scheme in ("98", "106-insightface"):
        points[_WFLW_98 if scheme == "98" else _INSIGHTFACE_106] = face
        return points
    single = {part[0]: k for k, part in enumerate(_JD_106 if scheme == "106" else _MEDIAPIPE_478) if len(part) == 1}
    points[list(single)] = face[list(single.values())]
    for k, part in enumerate(_JD_106 if scheme == "106" else _MEDIAPIPE_478):
        if len(part) == 2:
            free = [i for i in part if np.isnan(points[i]).any()]
            points[free] = (2 * face[k] - points[[i for i in part if i not in free]].sum(axis=0)) / len(free)
    return points


@pytest.mark.parametrize("scheme", ["68", "98", "106-insightface", "106", "478"])
def test_to_68_of_a_scheme_gives_the_face_that_its_points_show(scheme: str, face: NDArray[np.float64]) -> None:
    found, weights = to_68(FaceLandmarks(of_68(scheme, face), None, scheme))
    np.testing.assert_allclose(found, face, atol=30 if scheme in ("106", "478") else 1e-9)  # halves overlap
    np.testing.assert_allclose(np.median(np.abs(found - face)), 0, atol=1e-9)
    assert (weights > 0).all() and (weights <= 1).all()


@pytest.mark.parametrize("parts", [_JD_106, _MEDIAPIPE_478, [(k,) for k in _WFLW_98], [(k,) for k in _INSIGHTFACE_106]])
def test_correspondences_name_each_point_of_the_68_once(parts: list[tuple[int, ...]]) -> None:
    assert len(parts) == 68 and len(set(parts)) == 68


# Published mirrors of the foreign markups: x -> mirrored index.
WFLW_MIRROR = [
    *range(32, -1, -1), 46, 45, 44, 43, 42, 50, 49, 48, 47, 37, 36, 35, 34, 33, 41, 40, 39, 38, 51, 52, 53, 54,
    59, 58, 57, 56, 55, 72, 71, 70, 69, 68, 75, 74, 73, 64, 63, 62, 61, 60, 67, 66, 65, 82, 81, 80, 79, 78, 77, 76,
    87, 86, 85, 84, 83, 92, 91, 90, 89, 88, 95, 94, 93, 97, 96,
]  # fmt: skip


def test_wflw_correspondence_agrees_with_the_mirrors_of_both_markups() -> None:
    for k, there in enumerate(_WFLW_98):
        assert WFLW_MIRROR[there] == _WFLW_98[LANDMARK_MIRROR[k]]


def test_jd_correspondence_agrees_with_the_mirror_of_its_markup() -> None:
    mirror = {16: 16, **{k: 32 - k for k in range(33)}, **{33 + k: 46 - k for k in range(5)}}
    mirror |= {51 + k: 51 + k for k in range(4)} | {58 + k: 62 - k for k in range(5)}
    mirror |= {66: 79, 67: 78, 68: 77, 69: 76, 70: 75, 71: 82, 72: 81, 73: 80}
    mirror |= {84 + k: 90 - k for k in range(7)} | {91 + k: 95 - k for k in range(5)}
    mirror |= {96 + k: 100 - k for k in range(5)} | {101 + k: 103 - k for k in range(3)}
    mirror |= {there: here for here, there in mirror.items()}
    for k, there in enumerate(_JD_106):
        assert {mirror[i] for i in there} == set(_JD_106[LANDMARK_MIRROR[k]])


def test_scheme_of_106_points_is_told_by_the_way_along_the_jaw(face: NDArray[np.float64]) -> None:
    steps = np.linspace(0, 16, 33)
    jaw = np.column_stack([np.interp(steps, np.arange(17), face[:17, k]) for k in range(2)])
    jd, insightface = np.tile(face.mean(axis=0), (106, 1)), np.tile(face.mean(axis=0), (106, 1))
    jd[:33], insightface[_INSIGHTFACE_JAW] = jaw, jaw
    assert scheme_of(jd) == "106" and scheme_of(insightface) == "106-insightface"
    assert sorted(_INSIGHTFACE_JAW) == list(range(33))


def test_to_68_of_five_points_makes_eyes_that_have_the_given_middles(face: NDArray[np.float64]) -> None:
    five = of_68("5", face)
    found, weights = to_68(FaceLandmarks(five, np.full(5, 0.5), "5"))
    np.testing.assert_allclose([found[[36, 39]].mean(axis=0), found[[42, 45]].mean(axis=0)], five[:2])
    assert np.linalg.norm(found[[36, 39, 42, 45]] - face[[36, 39, 42, 45]], axis=1).max() < 8
    assert sorted(np.flatnonzero(weights)) == [30, 36, 39, 42, 45, 48, 54]
    assert weights[30] == 0.5 and weights[36] == 0.25


def test_to_68_of_aflw_21_gives_16_points_of_less_weight(face: NDArray[np.float64]) -> None:
    points = np.arange(42.0).reshape(21, 2)
    points[14] = np.nan
    found, weights = to_68(FaceLandmarks(points, None, "21"))
    assert np.count_nonzero(weights) == 15 and np.isnan(found[30]).all() and weights[30] == 0
    assert np.array_equal(found[8], points[20]) and weights[8] == 0.5


def test_to_68_leaves_out_what_has_no_score(face: NDArray[np.float64]) -> None:
    scores = np.ones(68)
    scores[[1, 2]] = 0, np.nan
    found, weights = to_68(FaceLandmarks(face, scores, "68"))
    assert np.flatnonzero(weights == 0).tolist() == [1, 2] == np.flatnonzero(np.isnan(found[:, 0])).tolist()


def test_to_68_of_another_number_of_points_is_an_error(face: NDArray[np.float64]) -> None:
    for scheme, message in (("98", "x.txt: 68 points of scheme 98, expected 98"), ("x", "expected one of")):
        with pytest.raises(InputError, match=message):
            to_68(FaceLandmarks(face, None, scheme, source="x.txt"))
    with pytest.raises(InputError, match="67 points, expected 5, 21"):
        scheme_of(face[:67])
    assert set(SCHEMES) == {5, 21, 68, 98, 106, 468, 478}


def test_outside_image_names_landmarks_of_another_image(face: NDArray[np.float64]) -> None:
    assert outside_image(FaceLandmarks(face, None, "68", source="a.txt"), (400, 300, 3)) == ""
    message = outside_image(FaceLandmarks(face + 300, None, "68", source="a.txt"), (400, 300, 3))
    assert "a.txt: 68 of 68 landmarks lie outside of the image of 300×400 px" in message
    stated = FaceLandmarks(face, None, "68", source="a.txt", image_size=(300, 400))
    assert outside_image(stated, (400, 300, 3)) == ""
    far = face.copy()
    far[7] = -1700, 20
    message = outside_image(FaceLandmarks(far, None, "68", source="a.txt"), (400, 300, 3))
    assert message.startswith("a.txt: point 7 of 68 lies at (-1700, 20) px, beside the image of 300×400 px")
    assert "a.txt: marked in an image of 300×400 px, expected 400×300 as this one" in outside_image(stated, (300, 400))
    shares = FaceLandmarks(np.full((68, 2), np.nan), None, "68", source="a.txt")
    assert outside_image(shares, (400, 300)) == "a.txt: no point is marked, expected a face's"


def turned(angles_deg: tuple[float, float, float]) -> NDArray[np.float64]:
    """The built-in model's 68 landmarks, (68, 2) px in an image of 400 × 400, turned by pitch, yaw and roll."""
    model = load_model("builtin")
    affine = pose_to_image(np.array([[*np.deg2rad(angles_deg), 200, 200, 0, 1e-3]]), 400)[0]
    return (model.mean.reshape(-1, 3)[model.landmarks] @ affine[:, :3].T + affine[:, 3])[:, :2]


@pytest.mark.parametrize("order", [(0, 1, 2, 4, 3), (1, 0, 2, 3, 4), (2, 0, 1, 3, 4), (0, 1, 3, 4, 2), (1, 2, 3, 4, 0)])
@pytest.mark.parametrize("angles", [(0, 0, 0), (-15, 30, 20), (10, -30, 150)])
def test_five_points_in_another_order_are_named(order: tuple[int, ...], angles: tuple[float, float, float]) -> None:
    five = of_68("5", turned(angles))
    assert misplaced(FaceLandmarks(five, None, "5", source="a.txt"), (400, 400)) == ""
    message = misplaced(FaceLandmarks(five[list(order)], None, "5", source="a.txt"), (400, 400))
    assert message.startswith("a.txt: the line from its first point to its second runs another way")


@pytest.mark.parametrize("yaw", [-100, -90, -60, 0, 45, 88, 95])
@pytest.mark.parametrize("pitch", [-50, 0, 50])
def test_five_points_of_a_face_that_is_turned_in_any_way_are_not_doubted(yaw: float, pitch: float) -> None:
    rng = np.random.default_rng(0)
    for roll in (0, 100, 190, 300):
        face = turned((pitch, yaw, roll))
        five = of_68("5", face + rng.normal(size=face.shape) * 0.01 * np.ptp(face, axis=0).max())
        assert misplaced(FaceLandmarks(five, None, "5"), (400, 400)) == ""


@pytest.mark.parametrize("score", [0.25, 2.0])
def test_points_without_a_score_leave_the_others_theirs(score: float) -> None:
    """A row of three NaN is a point that was not found; scores of 0 stay such."""
    face = np.column_stack([np.random.default_rng(1).uniform(5, 90, (68, 2)), np.full(68, score)])
    face[3], face[7, 2], face[8, 2] = np.nan, 0, 1
    (found,) = faces_of(face, "a.npy")
    expected = [1.0 if score == 2 else score] * 68
    expected[3], expected[7], expected[8] = 0, 0, 0.5 if score == 2 else 1
    assert found.scores.tolist() == expected
    assert np.flatnonzero(np.isnan(found.points).any(axis=1)).tolist() == [3, 7]
    assert stated_scores(face[:, 2]).tolist() == given_scores(face[:, 2], "a").tolist() == expected
    assert stated_scores(np.full(68, np.nan)) is None


@pytest.mark.parametrize("shape", [(68, 2, 5), (68, 5, 2), (478, 3, 68), (98, 68, 3)])
def test_faces_that_may_stand_last_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=rf"{shape[0]} faces of \d+ points or the reverse, expected the faces first"):
        faces_of(np.random.default_rng(1).uniform(5, 90, shape), "a.npy")
    turned = np.random.default_rng(1).uniform(5, 90, (5, 2, 68))
    assert [face.scheme for face in faces_of(turned, "a.npy")] == ["68"] * 5
