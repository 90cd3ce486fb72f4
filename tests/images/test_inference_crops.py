"""Crops of inference, against what the originals' code returned for the same numbers.

PRNet's figures come from lines 96 to 130 of its `api.py` (commit fc12fe5) with `skimage.transform.estimate_transform`,
Deep3DFaceRecon's from `align_img` of `util/preprocess.py` (commit 9167c71), its landmarks turned to y down. Over 200
boxes and 12 faces, the largest difference was 7e-13 and 6e-12.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvgen import crop_from_box, crop_from_landmarks, crop_from_points5, crop_similarity
from uvgen.errors import InputError
from uvgen.geometry import transform_points
from uvgen.images.align5 import STANDARD_POINTS

BOXES = {  # left, top, right, bottom: scale, x, y of PRNet's matrix around a detection and around a given box
    (100, 120, 220, 250): (
        (1.2944162436548226, -79.6065989847717, -134.61928934010157),
        (1.275, -76.5, -108.375),
    ),
    (33, -12, 410, 300): (
        (0.46875, 23.671874999999986, 37.3921875),
        (0.46279491833030856, 24.990925589836664, 60.85753176043556),
    ),
}
POINTS = np.stack([100 + 7.3 * np.arange(68) % 131, 90 + 3.1 * np.arange(68) % 77], axis=1)
FACES = [  # height and width; five points; where `align_img` puts them
    (
        (450, 450),
        [[145.442, 242.555], [260.863, 218.453], [216.614, 288.333], [176.434, 362.103], [275.133, 347.134]],
        [[76.5313662, 87.5920720], [137.9781778, 74.7608623], [114.4212864, 111.9629589],
         [93.0306132, 151.2359794], [145.5751143, 143.2669155]],
    ),
    (
        (331, 517),
        [[220.946, 52.028], [321.342, 44.652], [275.806, 115.189], [237.417, 166.783], [321.206, 173.51]],
        [[80.1401993, 83.5556509], [139.6178614, 79.1858829], [112.6409417, 120.9741598],
         [89.8981236, 151.5400239], [139.5372908, 155.5253046]],
    ),
    (
        (720, 1280),
        [[476.409, 240.013], [508.345, 238.509], [493.835, 257.075], [478.184, 275.633], [505.275, 272.361]],
        [[82.9781382, 83.2143133], [145.3720012, 80.2759250], [117.0235871, 116.5486097],
         [86.4459835, 152.8056647], [139.3740941, 146.4131071]],
    ),
]  # fmt: skip


def parts(matrix: np.ndarray) -> np.ndarray:
    assert matrix[0, 0] == matrix[1, 1] and matrix[0, 1] == matrix[1, 0] == 0
    return np.array([matrix[0, 0], matrix[0, 2], matrix[1, 2]])


@pytest.mark.parametrize("box", BOXES)
def test_crop_from_box_is_prnets_around_a_detection_and_a_box(box) -> None:
    detected, given_box = BOXES[box]
    np.testing.assert_allclose(parts(crop_from_box(box, 256)), detected, rtol=1e-9)
    np.testing.assert_allclose(parts(crop_from_box(box, 256, "prnet")), given_box, rtol=1e-9)


def test_crop_from_landmarks_is_prnets_around_key_points() -> None:
    expected = (1.6037735849056598, -133.03301886792448, -76.90094339622635)
    np.testing.assert_allclose(parts(crop_from_landmarks(POINTS, 256, "prnet")), expected, rtol=1e-9)


def test_crop_from_landmarks_is_the_training_crop_without_jitter() -> None:
    with_depth = np.column_stack([POINTS, np.arange(68)])
    np.testing.assert_allclose(crop_from_landmarks(with_depth, 224), crop_similarity(POINTS, 224), rtol=1e-12)


@given(*[st.floats(-300, 300)] * 2, *[st.floats(20, 400)] * 2, st.integers(32, 512))
def test_crop_from_box_puts_a_square_of_its_width_on_the_crop(left, top, width, height, size) -> None:
    extent = (width + height) / 2
    sides = {"training": 1.5 * extent, "prnet": 1.6 * extent, "prnet-detector": 1.58 * extent}
    for method, side in sides.items():
        matrix = crop_from_box((left, top, left + width, top + height), size, method)
        (x, y), (right, bottom) = transform_points(np.array([[0, 0], [size - 1, size - 1]]), np.linalg.inv(matrix))
        assert right - x == pytest.approx(bottom - y) and side - 1 - 1e-6 < right - x < side + 1e-6
        drop = 0.14 * extent if method == "prnet-detector" else 0
        np.testing.assert_allclose([(x + right) / 2, (y + bottom) / 2],
                                   [left + width / 2, top + height / 2 + drop], atol=1e-6)  # fmt: skip


@pytest.mark.parametrize(
    ("box", "method", "message"),
    [
        ((100, 100, 90, 200), "prnet", r"box: \[100.0, 100.0, 90.0, 200.0\], expected left ≤ right .* width, height\?"),
        ((5, 5, 5, 5), "training", "box: 0 px large, expected a face of more than 1 px"),
        ((5, 5, 5.5, 5.5), "prnet", "box: 0.5 px large"),
        ((0, np.nan, 1, 1), "prnet", r"box: holds NaN or infinity, first at \[1\]"),
        ((0, 0, 9), "prnet", r"box: float64 \(3,\), expected \(4,\): left, top, right, bottom"),
        ((0, 0, 9, 9), "whole", "method: 'whole', expected 'training', 'prnet' or 'prnet-detector'"),
    ],
)
def test_crop_from_box_of_no_box_raises(box, method, message) -> None:
    with pytest.raises(InputError, match=message):
        crop_from_box(box, 256, method)


def test_crop_from_landmarks_of_no_face_raises() -> None:
    with pytest.raises(InputError, match="landmarks: all 68 in one point, expected a face"):
        crop_from_landmarks(np.ones((68, 2)), 256)
    with pytest.raises(InputError, match="landmarks: holds NaN or infinity"):
        crop_from_landmarks(np.full((68, 2), np.nan), 256)
    with pytest.raises(InputError, match="method: 'prnet-detector', expected 'training' or 'prnet'"):
        crop_from_landmarks(POINTS, 256, "prnet-detector")


@pytest.mark.parametrize(("size", "points", "aligned"), FACES)
def test_crop_from_points5_puts_points_where_deep3d_does(size, points, aligned) -> None:
    rounded = transform_points(np.array(points), crop_from_points5(points, image_size=size))
    np.testing.assert_allclose(rounded, aligned, atol=1e-6)
    smooth = transform_points(np.array(points), crop_from_points5(points))
    np.testing.assert_allclose(smooth, aligned, atol=0.5)  # sides cut to integers: half a pixel at most
    assert np.abs(smooth - aligned).max() > 0.05


def test_crop_from_points5_of_the_standard_face_centers_its_origin_at_its_scale() -> None:
    face = np.array([[1, -1]]) * STANDARD_POINTS[:, :2] * 40 + [300, 200]
    matrix = crop_from_points5(face)
    np.testing.assert_allclose(matrix[0, 0], 102 / 40)
    np.testing.assert_allclose(transform_points(np.array([[300.0, 200.0]]), matrix), [[112, 111]])


def test_crop_from_points5_of_another_size_shows_the_same() -> None:
    points = np.array(FACES[0][1])
    (_, _), small = FACES[0][0], crop_from_points5(points)
    np.testing.assert_allclose(
        transform_points(points, crop_from_points5(points, 448)) + [0, 1],
        2 * (transform_points(points, small) + [0, 1]),
    )


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.ones((5, 2)), "points: all five in one place"),
        (np.array(FACES[0][1])[[1, 0, 2, 4, 3]], "points: mirrored or in another order, expected the eye at"),
        (np.array(FACES[0][1]) * [1, -1], "points: mirrored or in another order"),
        (np.ones((4, 2)), r"points: float64 \(4, 2\), expected \(5, 2\): eyes, tip"),
        (np.full((5, 2), np.inf), "points: holds NaN or infinity"),
    ],
)
def test_crop_from_points5_of_no_face_raises(points, message) -> None:
    with pytest.raises(InputError, match=message):
        crop_from_points5(points)


def test_crop_from_points5_rounds_as_deep3d_at_its_size_alone() -> None:
    with pytest.raises(InputError, match="image_size: given with a size of 256, expected 224"):
        crop_from_points5(FACES[0][1], 256, image_size=(450, 450))
