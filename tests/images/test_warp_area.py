"""Images that shrink: the filter "area" against slow means, the exact area integral, and white noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples
from support.oracles import box_weights, covered_mean, mean_of_samples

from uvgen import warp_image
from uvgen.errors import InputError
from uvgen.images.filters import area_grid
from uvgen.randomness import keyed_generator


def similarity_of(factor: float, angle: float, center: tuple[float, float], size: int) -> np.ndarray:
    """Image → crop: `factor` image px per crop px, `center` of the image to the crop's middle."""
    c, s = np.cos(angle) / factor, np.sin(angle) / factor
    turn = np.array([[c, -s], [s, c]]) if angle else np.eye(2) / factor
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = (size - 1) / 2 - turn @ center
    return matrix


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return keyed_generator(seed, "noise").integers(0, 256, (height, width, channels), dtype=np.uint8)


factors = st.floats(1.4, 12) | st.floats(12, 100)
angles = st.sampled_from([0.0, np.pi / 2]) | st.floats(-3.2, 3.2)


@given(st.floats(1.8, 5000))
def test_area_grid_has_the_variance_of_the_covered_square_and_no_gaps(factor) -> None:
    block, n, spacing = area_grid(factor)
    of_square = (factor**2 + 1) / 12  # the covered square, seen through square pixels
    of_grid = (block**2 - 1) / 12 + block**2 / 6 + spacing**2 * (n**2 - 1) / 12
    assert of_grid == pytest.approx(of_square, rel=1e-9)
    assert spacing <= 1.2 * block and n <= 6


@pytest.mark.parametrize("factor", [0.01, 1.0, 1.5])
def test_area_grid_up_to_1_5_is_one_sample(factor) -> None:
    assert area_grid(factor) == (1, 1, 0.0)


@given(st.floats(1.5, 5000), st.floats(1e-6, 1e-3))
def test_area_grid_opens_without_a_step(factor, more) -> None:
    def variance(factor: float) -> float:
        block, n, spacing = area_grid(factor)
        return (block**2 - 1) / 12 + block**2 / 6 + spacing**2 * (n**2 - 1) / 12

    # 1/6 at 1.5, (1.8² + 1) / 12 at 1.8: on average 0.6 a unit of the factor, at most 0.9; beyond, factor / 6
    assert 0 <= variance(factor * (1 + more)) - variance(factor) <= 1.5 * factor * factor * more + 1e-9 * factor**2


@examples(60)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4]), factors, angles, st.booleans(),
       st.floats(-5, 45), st.floats(-5, 45), st.integers(1, 9))  # fmt: skip
def test_warp_image_area_equals_slow_mean_of_samples(height, width, channels, factor, angle, flip, x, y, size) -> None:
    image = noise(height, width, channels)
    matrix = similarity_of(factor, angle, (x, y), size)
    inverse = np.linalg.inv(matrix)[:2]
    block, n, spacing = area_grid(factor)
    offsets = spacing / factor * (np.arange(n) - (n - 1) / 2)
    crop = warp_image(image, matrix, size, flip=flip)
    for row in range(size):
        for column in range(size):
            place = size - 1 - column if flip else column
            expected = mean_of_samples(image, inverse, place, row, block, offsets)
            # blocks, samples and their mean are rounded, by half a gray level each, samples with 11-bit weights
            assert np.abs(crop[row, column] - expected).max() <= 1.8


@pytest.mark.parametrize("factor", [1.8, 2.5, 3.0, 7.8, 13.3])
@pytest.mark.parametrize("angle", [0.0, 0.6, -2.0])
def test_warp_image_area_of_a_smooth_image_equals_the_area_integral(factor, angle) -> None:
    rows, columns = np.mgrid[: int(20 * factor), : int(23 * factor)] / factor  # in crop px; waves of 6 px and more
    waves = np.sin(columns + 0.3) + np.sin(0.9 * rows - 0.4 * columns), np.cos(rows), np.sin(0.7 * (rows + columns))
    image = np.rint(127 + 60 * np.stack(waves, axis=-1)).astype(np.uint8)
    center = (10.6 * factor, 9.7 * factor)
    matrix = similarity_of(factor, angle, center, 9)
    inverse = np.linalg.inv(matrix)[:2]
    expected = np.array([[covered_mean(image, inverse, x, y) for x in range(9)] for y in range(9)])
    # equal variances leave a difference of the fourth moments, 1 % of a wave of 6 px; rounding as above
    assert np.abs(warp_image(image, matrix, 9) - expected).max() <= 2.5


@pytest.mark.parametrize(
    ("pixels", "size"), [(450, 256), (2000, 256), (500, 250), (520, 100), (1000, 250), (2000, 250), (1500, 60)]
)
@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_warp_image_area_leaves_as_much_noise_as_the_exact_mean(pixels, size, angle) -> None:
    factor = pixels / size
    start = -0.5 + factor / 2 + 0.123  # not on a grid of pixels
    image = noise(pixels, pixels)
    weights = box_weights(factor, start, size, pixels)
    exact = np.einsum("ry,yxc,sx->rsc", weights, image.astype(float), weights, optimize=True)
    center = (start + factor * (size - 1) / 2,) * 2
    crop = warp_image(image, similarity_of(factor, angle, center, size), size)
    middle = slice(size // 5, size - size // 5)  # what a rotation by 0.5 leaves inside
    found, expected = crop[middle, middle].std(), np.rint(exact)[middle, middle].std()
    assert abs(found / expected - 1) < 0.1  # weights of equal variance, but not a box's
    if not angle:  # rounding a mean of few to a half and up adds up to 1/8 each time
        assert abs(crop[middle, middle].mean() - exact[middle, middle].mean()) < 0.3
    if angle:  # without, samples may all lie between two pixels, which smooths as well
        plain = warp_image(image, similarity_of(factor, angle, center, size), size, filter="bilinear")
        assert plain[middle, middle].std() > 1.3 * found  # what the filter is for


def test_warp_image_area_noise_falls_steadily_from_1_5() -> None:
    image = noise(700, 700)
    found = [warp_image(image, similarity_of(f, 0.3, (350, 350), 180), 180).std() for f in np.linspace(1.45, 1.9, 19)]
    assert max(np.diff(found)) < 0.5 and min(np.diff(found)) > -2  # 16 gray levels in all, over 12 steps


@given(factors.map(lambda factor: min(factor, 1.5)) | st.floats(0.05, 1.5), angles, st.booleans(),
       st.sampled_from([1, 2, 3]), st.integers(1, 30))  # fmt: skip
def test_warp_image_filters_up_to_1_5_give_the_same_bytes(factor, angle, flip, channels, size) -> None:
    image = noise(37, 53, channels)
    matrix = similarity_of(factor, angle, (20, 30), size)
    left, right = (warp_image(image, matrix, size, flip=flip, filter=name) for name in ("area", "bilinear"))
    np.testing.assert_array_equal(left, right)


def test_warp_image_area_just_above_1_5_is_bilinear_to_one_gray_level() -> None:
    image = noise(200, 300)
    matrix = similarity_of(1.5 + 1e-6, 0.2, (150, 100), 80)
    plain = warp_image(image, matrix, 80, filter="bilinear").astype(int)
    assert np.abs(warp_image(image, matrix, 80) - plain).max() <= 1


@pytest.mark.parametrize("factor", [1.6, 2.3, 4.9, 7.8, 21.0])
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.5])
@pytest.mark.parametrize("flip", [False, True])
def test_warp_image_area_leaves_a_dot_where_the_similarity_puts_it(factor, angle, flip) -> None:
    height, width = int(22 * factor), int(27 * factor)
    x, y = 13.37 * factor, 10.21 * factor
    columns, rows = np.arange(width), np.arange(height)
    dot = np.outer(
        np.exp(-0.5 * ((rows - y) / (1.5 * factor)) ** 2), np.exp(-0.5 * ((columns - x) / (1.5 * factor)) ** 2)
    )
    image = np.repeat(np.rint(255 * dot).astype(np.uint8)[..., None], 3, axis=2)
    matrix = similarity_of(factor, angle, (12.9 * factor, 10.6 * factor), 24)
    crop = warp_image(image, matrix, 24, flip=flip)[..., 0].astype(float)
    found = np.array([(crop.sum(axis=0) * np.arange(24)).sum(), (crop.sum(axis=1) * np.arange(24)).sum()]) / crop.sum()
    expected = (matrix @ [x, y, 1])[:2]
    if flip:
        expected[0] = 23 - expected[0]
    np.testing.assert_allclose(found, expected, atol=0.02)


@given(factors, angles, st.sampled_from([1, 3]), st.integers(1, 20))
def test_warp_image_area_flipped_is_the_mirrored_crop(factor, angle, channels, size) -> None:
    image = noise(61, 80, channels)
    matrix = similarity_of(factor, angle, (45, 28), size)
    mirrored = warp_image(image, matrix, size, flip=True)[:, ::-1].astype(int)
    assert np.abs(mirrored - warp_image(image, matrix, size)).max() <= 1


@pytest.mark.parametrize("factor", [1.7, 2.7, 5.3, 17.0, 100.0])
@pytest.mark.parametrize("angle", [0.0, 0.8])
def test_warp_image_area_keeps_the_light_of_an_image_that_ends_in_black(factor, angle) -> None:
    image = np.full((301, 447, 3), 255, np.uint8)
    size = int(600 / factor) + 6
    crop = warp_image(image, similarity_of(factor, angle, (223, 150), size), size)
    assert crop[0].max() == crop[-1].max() == crop[:, 0].max() == crop[:, -1].max() == 0
    # what a pixel of the image adds to all pixels of the crop is 1 / factor² on average, and a tenth more or less
    assert crop[..., 0].sum() * factor**2 == pytest.approx(image[..., 0].sum(), rel=0.04)


@pytest.mark.parametrize("factor", [2.2, 6.1])
def test_warp_image_area_treats_channels_alike(factor) -> None:
    image = noise(90, 131, 5)
    matrix = similarity_of(factor, 0.4, (60, 40), 15)
    whole = warp_image(image, matrix, 15).astype(int)
    for first in (0, 1, 2):  # three channels have a kernel of their own
        assert np.abs(whole[..., first : first + 3] - warp_image(image[..., first : first + 3], matrix, 15)).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3)])
@pytest.mark.parametrize("factor", [1.9, 9.0, 300.0, 1e7, 1e100])
def test_warp_image_area_of_a_tiny_image_is_its_share_of_a_pixel(shape, factor) -> None:
    crop = warp_image(np.full((*shape, 3), 255, np.uint8), similarity_of(factor, 0.0, (0, 0), 3), 3)
    assert crop.max() <= 255 * min(shape[0] / factor, 1) * min(shape[1] / factor, 1) * 1.2 + 1.5
    if factor < 2:
        assert crop[1, 1, 0] > 0


def test_warp_image_area_far_away_is_black() -> None:
    for x in (1e9, -1e9):
        assert not warp_image(noise(50, 60), similarity_of(7.0, 0.3, (x, 20), 9), 9).any()


def test_warp_image_area_leaves_a_read_only_strided_image_alone() -> None:
    image = noise(80, 120)
    view = image[::-1, ::2]
    view.flags.writeable = False
    before, buffer = image.copy(), np.empty((6, 6, 3), np.uint8)
    matrix = similarity_of(6.0, 0.0, (25, 30), 6)
    assert warp_image(view, matrix, 6, out=buffer) is buffer
    np.testing.assert_array_equal(buffer, warp_image(np.ascontiguousarray(view), matrix, 6))
    np.testing.assert_array_equal(image, before)


def test_warp_image_with_an_unknown_filter_raises() -> None:
    with pytest.raises(InputError, match="filter: 'box', expected 'area' or 'bilinear'"):
        warp_image(noise(9, 9), np.eye(3), 4, filter="box")
