"""Photographs decoded to means of squares: which, what of, where their pixels lie, and the crops cut from them."""

import io

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from uvgen import warp_image
from uvgen.errors import InputError, SampleError
from uvgen.images import kernels
from uvgen.images.codecs import decode_image
from uvgen.images.filters import area_grid, bicubic_blur, block_decoded
from uvgen.images.jpeg import decode_reduced, reducible_size
from uvgen.images.picture import Picture
from uvgen.images.warp import _bicubic_weights
from uvgen.randomness import keyed_generator


@pytest.fixture(autouse=True)
def small_images_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvgen.images.jpeg._LEAST_REDUCED", 1)


def refused(error: Exception) -> SampleError:
    return SampleError(f"photo.jpg: {error}")


def smooth(height: int, width: int, cell: int = 12) -> np.ndarray:
    """Colors that change over some 12 px, none so dark or bright that a decoder would cut it."""
    small = keyed_generator(0, "smooth").integers(60, 196, (height // cell + 2, width // cell + 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def jpeg(image: np.ndarray, subsampling: str = "420", **options: object) -> bytes:
    if not options:
        return simplejpeg.encode_jpeg(np.ascontiguousarray(image), 100, colorsubsampling=subsampling)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=100, subsampling=2 if subsampling == "420" else 0, **options)
    return stream.getvalue()


def means(image: np.ndarray, block: int) -> np.ndarray:
    """Means of squares; what lies beyond the edge counts as 0."""
    height, width = image.shape[:2]
    rows, columns = -(-height // block), -(-width // block)
    padded = np.zeros((rows * block, columns * block, 3))
    padded[:height, :width] = image
    return padded.reshape(rows, block, columns, block, 3).mean(axis=(1, 3))


def similarity_of(factor: float, angle: float, center: tuple[float, float], size: int) -> np.ndarray:
    c, s = np.cos(angle) / factor, np.sin(angle) / factor
    matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    matrix[:2, 2] = (size - 1) / 2 - matrix[:2, :2] @ center
    return matrix


# Means of squares


@pytest.mark.parametrize("shape", [(160, 208), (161, 211), (103, 166), (90, 129)])  # multiples of 16, of 2, of nothing
@pytest.mark.parametrize("kind", ["444", "420", "gray", "progressive"])
@pytest.mark.parametrize("block", [2, 4, 8])
def test_decode_reduced_gives_the_means_of_the_decoded_pixels(shape, kind, block) -> None:
    image = smooth(*shape)
    if kind == "gray":
        data = jpeg(np.ascontiguousarray(image[..., 0]), "444", optimize=True)
    else:
        data = jpeg(image, kind) if kind != "progressive" else jpeg(image, "420", progressive=True)
    assert reducible_size(data) == shape
    found = decode_reduced(data, block).astype(float)
    expected = means(decode_image(data), block)
    assert found.shape == expected.shape
    # Decoded pixels are rounded three times. With 4:2:0, decoders guess the colors of pixels between those that there
    # are, and take them as they are for means: that changes means by up to 6, but moves them nowhere.
    most = 3 if kind in ("444", "gray") else 9
    assert np.abs(found - expected).max() <= most
    assert np.abs((found - expected).mean(axis=(0, 1))).max() < 0.7


@pytest.mark.parametrize("subsampling", ["422", "440", "411"])
def test_reducible_size_refuses_colors_subsampled_along_one_axis(subsampling) -> None:
    assert reducible_size(jpeg(smooth(64, 96), subsampling)) is None


def test_reducible_size_refuses_other_files() -> None:
    image = Image.fromarray(smooth(64, 96))
    for kind, mode in (("PNG", "RGB"), ("WEBP", "RGB"), ("BMP", "RGB"), ("JPEG", "CMYK")):
        stream = io.BytesIO()
        image.convert(mode).save(stream, kind)
        assert reducible_size(stream.getvalue()) is None, kind
        picture = Picture(stream.getvalue(), refused)
        pixels, block = picture.for_crop(8.0)
        assert block == 1 and picture.shape == (64, 96, 3)
        np.testing.assert_array_equal(pixels, decode_image(stream.getvalue()))


def test_picture_below_a_megapixel_is_not_reduced(monkeypatch) -> None:
    monkeypatch.undo()
    for height, block in ((1023, 1), (1024, 8)):
        data = simplejpeg.encode_jpeg(np.full((height, 1024, 3), 90, np.uint8), 50, colorsubsampling="420")
        assert Picture(data, refused).for_crop(9.0).block == block


# Crops


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shape", [(240, 336), (243, 339)])
def test_crops_of_reduced_photographs_have_dots_where_the_similarity_puts_them(shape, orientation) -> None:
    # dots of 3 px and more, since a crop shows none between its pixels
    height, width = shape
    dots = keyed_generator(orientation, "dots").random((3, 2)) * [width - 160, height - 160] + 80
    rows, columns = np.mgrid[:height, :width]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for k, factor in enumerate((2.0, 2.9, 3.7, 4.4, 7.1, 8.0, 11.3)):
        x, y = dots[k % 3]
        level = 230 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2 / (1.2 * factor) ** 2)
        image = np.repeat(np.rint(level).astype(np.uint8)[..., None], 3, axis=2)
        picture = Picture(jpeg(image, "420", exif=exif.tobytes()), refused, exif="apply")
        upright = picture.pixels
        assert picture.shape == upright.shape
        h, w = upright.shape[:2]
        there = {
            1: (x, y), 2: (w - 1 - x, y), 3: (w - 1 - x, h - 1 - y), 4: (x, h - 1 - y),
            5: (y, x), 6: (w - 1 - y, x), 7: (w - 1 - y, h - 1 - x), 8: (y, h - 1 - x),
        }[orientation]  # fmt: skip
        pixels, block = picture.for_crop(factor)
        if orientation == 1 or shape == (240, 336):
            assert block == block_decoded(factor) > 1
        for angle, flip in ((0.0, False), (0.4, True)):
            matrix = similarity_of(factor, angle, there, 25)
            matrix[:2, 2] += [0.3, -0.4]
            crop = warp_image(pixels, matrix, 25, flip=flip, reduced=block).astype(float)[..., 1]
            grid = np.arange(25)
            place = [(crop.sum(axis=0) * grid).sum() / crop.sum(), (crop.sum(axis=1) * grid).sum() / crop.sum()]
            expected = (matrix @ [*there, 1])[:2]
            expected[0] = 24 - expected[0] if flip else expected[0]
            assert np.abs(place - expected).max() < 0.05, (factor, angle)


@pytest.mark.parametrize("factor", [2.0, 2.3, 3.3, 4.0, 5.2, 7.5, 8.0, 12.0, 15.0, 21.0])
def test_crops_of_reduced_photographs_look_like_those_of_all_pixels(factor) -> None:
    noise = keyed_generator(1, "noise").normal(0, 3, (600, 800, 1))
    image = np.clip(smooth(600, 800, round(5 * factor)) + noise, 0, 255).astype(np.uint8)
    picture = Picture(jpeg(image, "444"), refused)
    pixels, block = picture.for_crop(factor)
    matrix = similarity_of(factor, 0.2, (400.2, 300.6), 24)
    whole = warp_image(picture.pixels, matrix, 24).astype(float)
    crop = warp_image(pixels, matrix, 24, reduced=block)
    assert block > 1 and np.abs(crop - whole).mean() < 1


def test_picture_gives_pixels_below_2_and_to_bilinear_crops() -> None:
    picture = Picture(jpeg(smooth(96, 128)), refused)
    assert picture.for_crop(1.999).block == picture.for_crop(9.0, "bilinear").block == 1
    assert [picture.for_crop(f).block for f in (2.0, 3.99, 4.0, 7.99, 8.0, 100.0)] == [2, 2, 4, 4, 8, 8]
    assert Picture(jpeg(smooth(96, 128)), refused, decode="full").for_crop(9.0).block == 1


# The filter


@given(st.floats(2, 200))
def test_filter_of_reduced_photographs_has_the_variance_of_the_covered_square(factor) -> None:
    block = block_decoded(factor)
    blur = bicubic_blur(factor, block)
    if blur is None:
        whole, n, spacing = area_grid(factor, block)
        assert whole % block == 0 and spacing <= 1.2 * whole
        found = (whole**2 - 1) / 12 + whole**2 / 6 + spacing**2 * (n**2 - 1) / 12
    else:
        assert 0 <= blur <= 0.5
        found = (block**2 - 1) / 12 + block**2 * blur / 3
    assert found == pytest.approx((factor**2 + 1) / 12, rel=1e-9)


@pytest.mark.parametrize("blur", [0.0, 0.2, 0.5])
def test_bicubic_weights_keep_slopes_and_have_their_variance(blur) -> None:
    weights = _bicubic_weights(blur) / 2048
    places = np.arange(-1, 3) - np.arange(len(weights))[:, None] / len(weights)
    np.testing.assert_array_equal(weights.sum(axis=1), 1)
    assert np.abs((weights * places).sum(axis=1)).max() < 2e-3  # px; weights are rounded to 1 / 2048
    assert (weights * places**2).sum(axis=1).mean() == pytest.approx(blur / 3, abs=1e-3)


def slow_bicubic(image: np.ndarray, x: float, y: float, blur: float) -> np.ndarray:
    """Mitchell and Netravali's kernel, 0 outside of the image."""

    def k(d: float) -> float:
        d, b, c = abs(d), blur, (1 - blur) / 2
        if d < 1:
            return ((12 - 9 * b - 6 * c) * d**3 + (-18 + 12 * b + 6 * c) * d**2 + 6 - 2 * b) / 6
        return ((-b - 6 * c) * d**3 + (6 * b + 30 * c) * d**2 + (-12 * b - 48 * c) * d + 8 * b + 24 * c) / 6

    total = np.zeros(3)
    for j in range(int(np.floor(y)) - 1, int(np.floor(y)) + 3):
        for i in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
            if 0 <= i < image.shape[1] and 0 <= j < image.shape[0]:
                total += k(x - i) * k(y - j) * image[j, i]
    return np.clip(total, 0, 255)


@pytest.mark.parametrize("shape", [(3, 2), (1, 9), (7, 5), (14, 13)])
def test_warp_bicubic_equals_slow_kernel_inside_at_the_border_and_outside(shape) -> None:
    image = keyed_generator(3, "noise").integers(0, 256, (*shape, 3), dtype=np.uint8)
    inverse = np.array([[0.7, 0.2, -4.3], [-0.3, 0.8, 1.1]])
    crop = np.full((24, 26, 3), 77, np.uint8)
    kernels.warp_bicubic(image, inverse, _bicubic_weights(0.3), crop)
    for row in range(24):
        for column in range(26):
            x, y = inverse @ [column, row, 1]
            # Weights have 11 bits an axis and places 10: 1.5 levels of noise at most
            assert np.abs(crop[row, column] - slow_bicubic(image, x, y, 0.3)).max() <= 2


@pytest.mark.parametrize("reduced", [0, -2, 1.5, 65])
def test_warp_image_with_a_wrong_reduction_says_so(reduced) -> None:
    with pytest.raises(InputError, match="reduced"):
        warp_image(smooth(16, 16), np.eye(3), 8, reduced=reduced)


def test_warp_image_of_reduced_gray_says_what_it_takes() -> None:
    with pytest.raises(InputError, match=r"image: .*RGB, since it is reduced"):
        warp_image(smooth(16, 16)[..., :1], np.diag([0.2, 0.2, 1]), 8, reduced=2)


# Damage


def test_picture_of_damaged_files_raises_its_error_when_it_is_decoded() -> None:
    data = jpeg(smooth(200, 300))
    with pytest.raises(SampleError, match=r"^photo\.jpg: "):
        Picture(data[:100], refused)
    picture = Picture(data[: len(data) // 2], refused)
    assert picture.shape == (200, 300, 3)
    for decode in (lambda: picture.for_crop(5.0), lambda: picture.pixels):
        with pytest.raises(SampleError, match=r"^photo\.jpg: "):
            decode()


def test_picture_with_stray_bytes_before_the_end_is_reduced_too() -> None:
    data = jpeg(smooth(64, 96))
    found = Picture(data[:-2] + b"\0\0\0" + data[-2:], refused).for_crop(4.0)
    np.testing.assert_array_equal(found.pixels, decode_reduced(data, 4))
    assert found.block == 4


def test_picture_that_the_decoder_gives_another_size_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *_, **__: np.zeros((32, 48, 3), np.uint8))
    with pytest.raises(SampleError, match="decoded to 48 × 32 pixels, expected 24 × 16"):
        Picture(jpeg(smooth(64, 96)), refused).for_crop(4.0)
