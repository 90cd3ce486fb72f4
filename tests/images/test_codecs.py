"""Decoding pictures as cameras, editors and the web leave them: every pixel, or a message that says what it is."""

import io
import struct
import tracemalloc
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from support.toy import HEIGHT, WIDTH, picture

from uvgen.errors import InputError
from uvgen.images import codecs
from uvgen.images.codecs import decode_gray, decode_image, encode_png, save_picture
from uvgen.images.jpeg import decode_jpeg, encode_jpeg
from uvgen.images.markers import segments
from uvgen.images.orientation import exif_orientation

NOISE = np.random.default_rng(0).integers(60, 200, (96, 128, 3), np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(bits: int, color: int, rows: np.ndarray, left: int | None = None, *, first: bytes = b"") -> bytes:
    """A PNG put together by hand: chunks before the pixels, rows (h, bytes), of which the first `left` are in it."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    header = struct.pack(">IIBBBBB", rows.shape[1] * 8 // bits // channels, len(rows), bits, color, 0, 0, 0)
    data = b"".join(b"\0" + row.tobytes() for row in rows[:left])
    pixels = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + first + pixels + chunk(b"IEND", b"")


# JPEG

SOUND = {
    "baseline": encoded(NOISE, "JPEG", quality=95),
    "halved colors": simplejpeg.encode_jpeg(NOISE, 95, colorsubsampling="420"),
    "progressive": encoded(NOISE, "JPEG", quality=95, progressive=True),
    "restart markers": encoded(NOISE, "JPEG", quality=95, restart_marker_rows=2),
    "gray": encoded(NOISE[..., 0], "JPEG", quality=95),
    "CMYK": encoded(Image.fromarray(NOISE).convert("CMYK"), "JPEG", quality=95),
}


@pytest.mark.parametrize("stray", [b"\0", bytes([0, 17, 34, 51]), b"\0" * 12, b"OK"])
@pytest.mark.parametrize("kind", SOUND)
def test_decode_image_with_stray_bytes_before_the_end_gives_the_same_pixels(kind: str, stray: bytes) -> None:
    sound = SOUND[kind]
    found = sound[:-2] + stray + sound[-2:]
    np.testing.assert_array_equal(decode_image(found), decode_image(sound))
    np.testing.assert_array_equal(decode_image(found + sound), decode_image(sound))  # as of a phone's depth picture


@pytest.mark.parametrize("kind", SOUND)
def test_decode_image_with_bytes_after_the_end_gives_the_same_pixels(kind: str) -> None:
    np.testing.assert_array_equal(decode_image(SOUND[kind] + b"tail of a camera" * 9), decode_image(SOUND[kind]))


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", SOUND)
def test_decode_image_cut_short_is_refused(kind: str, kept: float, end: bytes) -> None:
    """Also where a marker was put at the end, or bytes follow, for libjpeg to fill the rest with gray."""
    cut = SOUND[kind][: int(kept * len(SOUND[kind]))] + end
    for data in (cut, cut + b"tail" * (end != b"")):
        with pytest.raises((ValueError, OSError)):
            decode_image(data)


@pytest.mark.parametrize("kind", ["baseline", "halved colors", "restart markers"])
def test_decode_image_that_loses_its_place_is_refused(kind: str) -> None:
    data = bytearray(SOUND[kind])
    data[len(data) // 2 : len(data) // 2 + 50] = b"\x55" * 50
    with pytest.raises(ValueError, match="Corrupt JPEG data"):
        decode_image(bytes(data))


# Depth, transparency and kinds


@pytest.mark.parametrize("color", [0, 2, 4, 6])
def test_decode_image_of_16_bits_is_refused(color: int) -> None:
    data = png(16, color, np.zeros((3, 5 * 2 * {0: 1, 2: 3, 4: 2, 6: 4}[color]), np.uint8))
    for decode in (decode_image, decode_gray):
        with pytest.raises(ValueError, match="16 bits per channel, expected 8 bits"):
            decode(data)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "L", "CMYK", "YCbCr"])
def test_decode_image_of_opaque_modes_is_their_rgb(mode: str) -> None:
    image = Image.fromarray(picture()).convert(mode)
    data = encoded(image, "JPEG" if mode in ("CMYK", "YCbCr") else "PNG")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(data), expected)


def test_decode_image_lays_what_is_transparent_on_black() -> None:
    rgba = np.dstack([NOISE, np.broadcast_to(np.arange(128, dtype=np.uint8) * 2, (96, 128))])
    expected = np.rint(NOISE * (rgba[..., 3:] / 255.0))
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        found = decode_image(encoded(rgba, kind, **options))
        assert np.abs(found - expected).max() <= 1, kind  # rounding of halves
    palette = Image.fromarray(NOISE).convert("P")
    data = encoded(palette, "PNG", transparency=int(np.asarray(palette)[0, 0]))
    there = np.asarray(palette) == np.asarray(palette)[0, 0]
    found = decode_image(data)
    assert (found[there] == 0).all() and found[~there].any(axis=-1).all()


def test_decode_image_of_what_is_transparent_all_over_is_refused() -> None:
    rgba = np.dstack([NOISE, np.zeros(NOISE.shape[:2], np.uint8)])
    for data in (encoded(rgba, "PNG"), encoded(rgba, "WEBP", lossless=True, exact=True)):
        with pytest.raises(ValueError, match="transparent all over, expected a picture"):
            decode_image(data)
    rgba[5, 5, 3] = 1
    assert decode_image(encoded(rgba, "PNG")).shape == NOISE.shape


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PPM", "EPS", "PDF"])
def test_decode_image_of_other_kinds_is_refused_by_name(kind: str) -> None:
    with pytest.raises(ValueError, match=r"^an? .*, expected JPEG or PNG or BMP or WEBP"):
        decode_image(encoded(NOISE, kind))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_decode_image_of_lossless_kinds_gives_the_pixels(kind: str) -> None:
    np.testing.assert_array_equal(decode_image(encoded(NOISE, kind, lossless=True)), NOISE)


def test_what_pillow_passes_over_in_a_picture_warns_nobody(recwarn: pytest.WarningsRecorder) -> None:
    plain = encoded(Image.fromarray(NOISE), "PNG")
    np.testing.assert_array_equal(decode_image(plain[:33] + chunk(b"acTL", bytes(8)) + plain[33:]), NOISE)
    jpeg = encoded(Image.fromarray(NOISE), "JPEG")
    mpf = b"\xff\xe2" + struct.pack(">H", 20) + b"MPF\0II*\0\x08\0\0\0\0\0\0\0\0\0"
    np.testing.assert_array_equal(decode_image(jpeg[:2] + mpf + jpeg[2:]), decode_image(jpeg))
    assert not recwarn.list


def test_decode_image_of_an_animation_is_refused() -> None:
    frames = [Image.fromarray(NOISE), Image.fromarray(255 - NOISE)]
    for kind in ("PNG", "WEBP"):
        with pytest.raises(ValueError, match="an animation, expected one picture"):
            decode_image(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("level", [0, 1, 3])
@pytest.mark.parametrize("beyond", [0, 1, 128])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_level_that_a_gray_png_states_to_be_transparent_is_black(bits: int, level: int, beyond: int) -> None:
    """Of the 16 bits that state it, the lowest count."""
    rows = np.random.default_rng(bits).integers(0, 256, (9, bits), np.uint8)  # 8 pixels each
    levels = np.unpackbits(rows, axis=1).reshape(9, 8, bits) @ (1 << np.arange(bits)[::-1])
    level %= 1 << bits
    levels.ravel()[:2] = level
    rows = np.packbits((levels[..., None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).reshape(9, -1), axis=1)
    data = png(bits, 0, rows, first=chunk(b"tRNS", struct.pack(">H", level | beyond << bits)))
    expected = np.where(levels == level, 0, levels * 255 // ((1 << bits) - 1))
    np.testing.assert_array_equal(decode_image(data), np.repeat(expected[..., None], 3, axis=2))
    with pytest.raises(ValueError, match="transparent pixels"):
        decode_gray(data)


@pytest.mark.parametrize("kind", ["PLTE", "tRNS"])
def test_a_png_with_two_palettes_or_two_of_what_is_clear_is_refused(kind: str) -> None:
    rows = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    parts = {"PLTE": chunk(b"PLTE", bytes(range(9))), "tRNS": chunk(b"tRNS", b"\xff")}
    once = b"".join(parts.values())
    np.testing.assert_array_equal(decode_image(png(8, 3, rows, first=once)), np.arange(9).reshape(3, 3)[rows])
    with pytest.raises(ValueError, match=f"{kind} is there twice in a PNG"):
        decode_image(png(8, 3, rows, first=once + parts[kind]))


def test_a_png_whose_colors_its_palette_lacks_is_refused() -> None:
    rows, palette = np.array([[0, 1, 2], [3, 1, 0]], np.uint8), bytes(range(12))
    colors = np.arange(12).reshape(4, 3)[rows]
    np.testing.assert_array_equal(decode_image(png(8, 3, rows, first=chunk(b"PLTE", palette))), colors)
    with pytest.raises(ValueError, match="color 3 of a palette of 3; it is damaged"):
        decode_image(png(8, 3, rows, first=chunk(b"PLTE", palette[:9])))
    behind = png(8, 3, rows)[:-12] + chunk(b"PLTE", palette) + chunk(b"IEND", b"")
    for data in (png(8, 3, rows), behind):
        with pytest.raises(ValueError, match="a palette that is not there"):
            decode_image(data)


def test_a_png_whose_transparency_follows_its_pixels_is_refused() -> None:
    data = encoded(NOISE, "PNG")
    with pytest.raises(ValueError, match="tRNS behind the pixels"):
        decode_image(data[:-12] + chunk(b"tRNS", struct.pack(">3H", *NOISE[0, 0].tolist())) + data[-12:])


def test_a_png_with_other_pixels_than_its_checksum_says_is_refused() -> None:
    """Also at the end, where the decoder has all rows before it comes to the packed data's own checksum."""
    data = encoded(NOISE, "PNG")
    for place in (60, len(data) // 2, *range(len(data) - 40, len(data) - 16)):
        damaged = bytearray(data)
        damaged[place] ^= 1
        with pytest.raises(ValueError, match="do not have their checksum; it is damaged"):
            decode_image(bytes(damaged))


@pytest.mark.parametrize(
    "first", [chunk(b"CgBI", b"P\0 \2"), chunk(b"teXt", struct.pack(">II5B", 5, 3, 8, 2, 0, 0, 0))]
)
def test_a_png_that_does_not_begin_with_its_header_is_refused(first: bytes) -> None:
    data = png(16, 2, np.zeros((3, 30), np.uint8))
    with pytest.raises(ValueError, match="does not begin with its header"):
        decode_image(data[:8] + first + data[8:])


@pytest.mark.parametrize(("place", "value"), [(26, 1), (27, 1), (28, 2)])
def test_a_png_of_an_unknown_kind_is_refused(place: int, value: int) -> None:
    data = bytearray(png(8, 2, np.zeros((3, 15), np.uint8)))
    data[place] = value
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(ValueError, match="of an unknown kind"):
        decode_image(bytes(data))


def test_a_png_with_parts_of_an_unknown_kind_is_refused_if_they_count() -> None:
    rows = np.arange(45, dtype=np.uint8).reshape(3, 15)
    expected = rows.reshape(3, 5, 3)
    for kind in (b"teXt", b"abCd"):
        data = png(8, 2, rows, first=chunk(kind, b"anything"))
        np.testing.assert_array_equal(decode_image(data), expected)
        np.testing.assert_array_equal(decode_image(data + chunk(b"ABCD", b"behind the end")), expected)
    for other in (png(8, 2, rows, first=chunk(b"ABCD", b"")), data[:-12] + chunk(b"DDAT", b"") + data[-12:]):
        with pytest.raises(ValueError, match="a part of an unknown kind"):
            decode_image(other)


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt"])
@pytest.mark.parametrize("content", [zlib.compress(bytes(1 << 22)), b"damaged"])
def test_a_png_with_a_large_or_damaged_profile_is_decoded_without_it(kind: bytes, content: bytes) -> None:
    rows = np.arange(45, dtype=np.uint8).reshape(3, 15)
    data = png(8, 2, rows, first=chunk(kind, b"name\0\0" + content))
    np.testing.assert_array_equal(decode_image(data + chunk(kind, content)), rows.reshape(3, 5, 3))


@pytest.mark.parametrize("letters", [b"\0\1IM", b"\1\0MI"])
def test_letters_of_matlab_inside_of_a_picture_hide_nothing(letters: bytes) -> None:
    """Of a PNG of 16 bits, Pillow would drop the lower half."""
    lead = chunk(b"tEXt", b"Comment\0".ljust(83, b"x") + letters + b"x" * 30)
    data = png(16, 2, np.zeros((3, 30), np.uint8), first=lead)
    assert data[124:128] == letters
    with pytest.raises(ValueError, match="16 bits per channel"):
        decode_image(data)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "P clear", "RGB", "RGB clear", "RGBA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_decode_image_in_parts_is_decode_image(mode: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large pictures are converted some rows at a time."""
    alpha = np.random.default_rng(1).integers(0, 256, (96, 128, 1), np.uint8)
    plain = Image.fromarray(np.concatenate([NOISE, alpha], axis=2)).convert(mode.split()[0])
    clear: dict[str, Any] = {"P clear": {"transparency": 3}, "RGB clear": {"transparency": (80, 90, 100)}}
    data = encoded(plain, kind, **(clear.get(mode, {}) if kind == "PNG" else {"lossless": True}))
    whole = decode_image(data)
    monkeypatch.setattr(codecs, "_BAND_PIXELS", 5 * 128)  # the last part has one row
    np.testing.assert_array_equal(decode_image(data), whole)


# Gray levels


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_decode_gray_of_gray_pixels_gives_their_levels(mode: str, kind: str) -> None:
    if kind == "BMP" and mode in ("LA", "RGBA"):
        pytest.skip("not written by Pillow, or without alpha")
    levels = (16 * np.arange(16, dtype=np.uint8)).reshape(2, 8)
    image = Image.fromarray(levels).convert("RGB" if mode == "P" else mode)
    image = image.quantize(16) if mode == "P" else image
    np.testing.assert_array_equal(decode_gray(encoded(image, kind)), levels)


def test_decode_gray_of_4_and_1_bits_gives_the_levels_that_they_stand_for() -> None:
    np.testing.assert_array_equal(decode_gray(png(4, 0, np.array([[0x0F, 0x3A]], np.uint8))), [[0, 255, 51, 170]])
    np.testing.assert_array_equal(decode_gray(png(1, 0, np.array([[0b10110000]], np.uint8)))[0, :4], [255, 0, 255, 255])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encoded(NOISE, "PNG"), "has colors, expected gray"),
        (encoded(Image.fromarray(NOISE).convert("P"), "PNG"), "has colors, expected gray"),
        (encoded(Image.fromarray(NOISE[..., 0]).convert("LA"), "PNG", transparency=None), None),
        (encoded(Image.new("LA", (3, 3), (9, 100)), "PNG"), "has transparent pixels"),
        (encoded(NOISE[..., 0].astype(np.uint16) * 100, "PNG"), "16 bits"),
        (encoded(NOISE[..., 0], "JPEG"), "a JPEG image, expected PNG or BMP"),
        (encoded(NOISE[..., 0].astype(np.float32), "TIFF"), "a TIFF image, expected PNG or BMP"),
    ],
)
def test_decode_gray_of_something_else_is_refused(data: bytes, message: str | None) -> None:
    if message is None:
        np.testing.assert_array_equal(decode_gray(data), NOISE[..., 0])
        return
    with pytest.raises(ValueError, match=message):
        decode_gray(data)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "1"])
def test_decode_gray_converts_a_part_at_a_time(mode: str) -> None:
    data = encoded(Image.new("L", (1500, 1500), 255).convert(mode), "PNG")
    tracemalloc.start()
    try:
        assert (decode_gray(data) == 255).all()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 3 * 1500**2


# Encoding


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (NOISE / 255.0, r"float64 \(96, 128, 3\) within 0 to 1, expected uint8 of shape .*np.rint\(255 \* image\)"),
        (NOISE.astype(np.float32), r"float32 .*, expected uint8 of shape .*; convert it: np.rint\(image\)"),
        (NOISE.astype(np.int32), r"int32 \(96, 128, 3\), expected uint8"),
    ],
)
def test_encoding_of_floats_is_refused_in_words(tmp_path, image: np.ndarray, message: str) -> None:
    for encode in (
        lambda: encode_jpeg(image, 90),
        lambda: encode_png(image),
        lambda: save_picture(image, tmp_path / "a.png"),
    ):
        with pytest.raises(InputError, match=message):
            encode()
    assert not list(tmp_path.iterdir())


def stating(data: bytes, width: int, height: int) -> bytes:
    """A picture whose header states another size."""
    content = bytearray(data)
    if data[:2] == b"\xff\xd8":
        place = content.find(b"\xff\xc0")
        content[place + 5 : place + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    elif data[:2] == b"BM":
        content[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    else:
        content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
        content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((60_000, 60_000), "60000 × 60000 pixels, more than the 134217728"),
        ((11_000, 11_000), "cannot hold the 11000 × 11000"),
    ],
)
def test_pictures_that_state_many_pixels_are_refused(kind: str, size: tuple[int, int], message: str) -> None:
    data = stating(encoded(NOISE[:4, :4], kind), *size)
    for decode in (decode_image, *((decode_jpeg,) if kind == "JPEG" else (decode_gray,))):
        with pytest.raises(ValueError, match=message):
            decode(data)


def test_the_bound_on_pixels_is_raised_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow's own, which is then out of the way
    for kind in ("PNG", "JPEG", "WEBP", "BMP"):
        assert decode_image(encoded(NOISE, kind)).shape == NOISE.shape
    assert Image.MAX_IMAGE_PIXELS == 10
    monkeypatch.setenv("UVGEN_MAX_PIXELS", "100")
    for kind in ("PNG", "JPEG", "WEBP", "BMP"):
        with pytest.raises(ValueError, match="more than the 100 that are decoded; set UVGEN_MAX_PIXELS"):
            decode_image(encoded(NOISE, kind))


def test_decode_jpeg_into_a_buffer_of_another_size_is_refused() -> None:
    out = np.empty((NOISE.shape[0] + 1, *NOISE.shape[1:]), np.uint8)
    with pytest.raises(ValueError, match=r"a picture of .* pixels, expected"):
        decode_jpeg(encode_jpeg(NOISE, 90), out)


def test_a_jpeg_of_many_scans_is_refused() -> None:
    data = encoded(NOISE, "JPEG")
    with pytest.raises(ValueError, match="more than 100 scans"):
        decode_image(data[:-2] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 101 + data[-2:])


def many_scans(width: int, height: int, n_scans: int) -> bytes:
    """A gray progressive JPEG of a few kB whose refining scans say, for all blocks at once, that there is nothing."""

    def segment(marker: int, data: bytes) -> bytes:
        return bytes([0xFF, marker]) + (len(data) + 2).to_bytes(2, "big") + data

    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    tables = segment(0xC4, b"\x00\x01" + bytes(16)) + segment(0xC4, b"\x10\x01\x01" + bytes(14) + b"\xe0\x00")
    data = b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, b"\x08" + size + b"\x01\x01\x11\0") + tables
    n_blocks = -(-width // 8) * -(-height // 8)
    bits, left = "", n_blocks
    while left >= 1 << 14:
        run = min(left, (1 << 15) - 1)
        bits, left = bits + "0" + format(run - (1 << 14), "014b"), left - run
    bits += "10" * left
    bits += "1" * (-len(bits) % 8)
    empty = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    data += segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes(-(-n_blocks // 8))
    for k in range(n_scans - 1):
        low = 13 - k % 14
        high = 0 if k % 14 == 0 else low + 1
        data += segment(0xDA, bytes([1, 1, 0x10, 1, 63, high * 16 + low])) + empty
    return data + b"\xff\xd9"


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each time that a whole JPEG is decoded."""
    found: list[int] = []
    original = simplejpeg.decode_jpeg
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *a, **k: (found.append(len(found)), original(*a, **k))[1])
    return found


def test_a_jpeg_of_many_scans_is_decoded_where_it_is_small(decodings: list[int]) -> None:
    assert decode_image(many_scans(120, 96, 100)).shape == (96, 120, 3)
    assert len(decodings) == 1


def test_a_crop_of_a_shard_may_have_few_scans() -> None:
    """Each takes as long as a picture, and a shard holds thousands."""
    assert decode_jpeg(many_scans(120, 96, 12), size=(96, 120)).shape == (96, 120, 3)
    with pytest.raises(ValueError, match="more than 12 scans, each of which takes"):
        decode_jpeg(many_scans(120, 96, 13), size=(96, 120))


@pytest.mark.parametrize("decode", [decode_image, decode_jpeg])
@pytest.mark.parametrize(("width", "height", "n_scans", "most"), [(16384, 8192, 13, 12), (6000, 5000, 54, 53)])
def test_a_jpeg_whose_scans_take_long_is_refused_before_it_is_decoded(
    decodings: list[int], decode: Any, width: int, height: int, n_scans: int, most: int
) -> None:
    data = many_scans(width, height, n_scans)
    with pytest.raises(ValueError, match=rf"{n_scans} scans of {width} × {height} pixels, expected {most} at most"):
        decode(data)
    assert not decodings


def test_stray_bytes_in_a_jpeg_are_tried_away_a_few_times_alone(decodings: list[int]) -> None:
    data = many_scans(120, 96, 100)
    with suppress(ValueError):
        decode_image(data[:-2] + b"\x11" * 20 + data[-2:])
    assert len(decodings) <= 10


def test_stray_bytes_in_a_jpeg_that_takes_long_are_refused(decodings: list[int]) -> None:
    data = many_scans(2000, 1500, 20)
    assert decode_image(data).shape == (1500, 2000, 3)
    with pytest.raises(ValueError, match="stray bytes before the end marker of a picture too large to be tried"):
        decode_image(data[:-2] + b"\x11" * 8 + data[-2:])
    assert len(decodings) == 2


@pytest.mark.parametrize("left", [1, 48, 95])
@pytest.mark.parametrize(("bits", "color"), [(8, 2), (8, 0), (1, 0), (8, 6)])
def test_a_png_whose_packed_pixels_end_early_is_refused(bits: int, color: int, left: int) -> None:
    rows = NOISE.reshape(96, -1)[:, :120]
    decode = decode_gray if color == 0 else decode_image
    assert decode(png(bits, color, rows)).any()
    with pytest.raises(ValueError, match=rf"{121 * left} bytes of pixels, expected {121 * 96}: it is cut short"):
        decode(png(bits, color, rows, left))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2), (1, 9), (9, 1), (20, 13)])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_a_png_that_is_black_or_interlaced_is_whole(mode: str, width: int, height: int) -> None:
    black = Image.new(mode, (width, height))
    if mode == "RGBA":
        black.putpixel((0, 0), (0, 0, 0, 255))  # what is transparent all over is no picture
    assert not decode_image(encoded(black, "PNG")).any()
    gray = NOISE[:height, :width, 0]
    first = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    parts = [gray[top::down, left::right] for left, top, right, down in first]
    packed = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    plain = png(8, 0, gray)
    header = bytearray(plain[12:29])
    header[16] = 1

    def interlaced(data: bytes) -> bytes:
        idat = b"IDAT" + zlib.compress(data)
        chunks = (bytes(header), idat, b"IEND")
        return plain[:8] + b"".join(
            struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
        )

    np.testing.assert_array_equal(decode_gray(interlaced(packed)), gray)
    with pytest.raises((ValueError, OSError)):
        decode_gray(interlaced(packed[: len(packed) - len(parts[-1][-1:].ravel()) - 1]))


def test_a_photograph_with_its_video_behind_it_is_decoded(decodings: list[int]) -> None:
    video = np.random.default_rng(0).bytes(100_000) + b"\xff\xda" * 200
    np.testing.assert_array_equal(decode_image(SOUND["baseline"] + video), decode_image(SOUND["baseline"]))


def test_scans_behind_many_segments_count(decodings: list[int]) -> None:
    data = many_scans(120, 96, 101)
    with pytest.raises(ValueError, match="more than 100 scans"):
        decode_image(data[:2] + b"\xff\xe3\0\2" * 10_001 + data[2:])
    assert not decodings


@pytest.mark.parametrize("marker", [0xC0, 0xDA])
def test_a_jpeg_of_very_many_segments_is_refused(marker: int, decodings: list[int]) -> None:
    """Before its frame or before its pixels: they are not looked through to the end."""
    data = SOUND["baseline"]
    place = next(place for found, place in segments(data) if found == marker) - 2
    with pytest.raises(ValueError, match="a JPEG of 10000 segments or more before its pixels; save it again"):
        decode_image(data[:place] + b"\xff\xe3\0\2" * 10_001 + data[place:])


def test_exif_is_found_behind_fill_bytes_and_not_behind_the_pixels() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(NOISE, "JPEG", exif=exif)
    assert exif_orientation(data) == 6 == exif_orientation(data[:2] + b"\xff" * 9 + data[2:])
    assert exif_orientation(SOUND["baseline"][:-2] + data[2:]) == 1
    assert exif_orientation(b"\xff\xd8" + b"\xff\xe3\0\2" * 1_000_000) == 1  # and ends soon


def test_exif_orientation_of_a_png_is_read_as_older_programs_wrote_it() -> None:
    """As packed text, which Pillow reads too."""
    exif = Image.Exif()
    exif[0x0112] = 8
    plain, digits = encoded(NOISE, "PNG"), exif.tobytes().hex()
    lines = "\n".join(["", "exif", f"{len(digits) // 2:8}", digits[:72], digits[72:], ""])
    text = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(lines.encode()))
    comment = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"Raw profile type exif"))
    data = plain[:33] + comment + text + plain[33:]
    assert exif_orientation(data) == 8 == Image.open(io.BytesIO(data)).getexif()[0x0112]
    assert exif_orientation(plain[:33] + comment + plain[33:]) == 1
    short = plain[:33] + comment + chunk(b"tEXt", b"Raw profile type exif\0" + lines.encode()) + plain[33:]
    assert exif_orientation(short) == 8 == Image.open(io.BytesIO(short)).getexif()[0x0112]
    for bad in (b"", b"no zlib", zlib.compress(b"\nexif\n1\nzz"), zlib.compress(bytes(3 << 20))):
        torn = chunk(b"zTXt", b"Raw profile type exif\0\0" + bad)
        assert exif_orientation(plain[:33] + torn + plain[33:]) == 1


def test_a_png_with_a_second_header_of_another_size_is_refused() -> None:
    data = encoded(picture(0), "PNG")
    header = bytearray(data[8:33])
    header[8:16] = struct.pack(">II", WIDTH, HEIGHT // 2)
    header[21:25] = struct.pack(">I", zlib.crc32(header[4:21]))
    with pytest.raises(ValueError, match=f"{WIDTH} × {HEIGHT // 2} pixels, expected {WIDTH} × {HEIGHT} as it begins"):
        decode_image(data[:33] + bytes(header) + data[33:])


def of_entries(order: str, *entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF data: tag, type, count and value of each entry."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries) + b"\0" * 4


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_orientation_is_read_where_other_segments_are_malformed(order: str) -> None:
    """Decoders pass over them, but Pillow does not open the file."""
    short = struct.pack(order + "HH", 6, 0)
    content = b"Exif\0\0" + of_entries(order, (0x0100, 3, 1, short), (0x0112, 3, 1, short))
    exif = b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content
    data = SOUND["baseline"]
    for segment in (b"", b"\xff\xe2\0\x0eICC_PROFILE\0", b"\xff\xee\0\7Adobe", b"\xff\xe0\0\6JFIF", b"\xff\1"):
        turned = data[:2] + segment + exif + data[2:]
        assert exif_orientation(turned) == 6, segment
        np.testing.assert_array_equal(decode_image(turned), decode_image(data))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([(0x0112, 4, 1, b"\3\0\0\0")], 3), ([(0x0112, 3, 1, b"\x08\0\0\0")], 8), ([(0x0112, 3, 1, b"\x09\0\0\0")], 1),
        ([(0x0112, 3, 1, b"\0\0\0\0")], 1), ([(0x0112, 3, 9, b"\6\0\0\0")], 1), ([(0x0112, 2, 1, b"6\0\0\0")], 1),
        ([(0x0112, 3, 1, b"\6\0\0\0"), (0x0112, 3, 1, b"\3\0\0\0")], 6), ([], 1),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Metadata Warning")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_that_of_pillow(
    kind: str, entries: list[tuple[int, int, int, bytes]], expected: int
) -> None:
    data = encoded(NOISE, kind, exif=b"Exif\0\0" + of_entries("<", *entries))
    assert exif_orientation(data) == expected
    with Image.open(io.BytesIO(data)) as image:
        found = image.getexif().get(0x0112, 1)
    assert (found if found in range(1, 9) else 1) == expected


def test_exif_data_that_are_cut_short_anywhere_are_upright_or_as_stated() -> None:
    whole = of_entries(">", (0x0112, 3, 1, b"\0\6\0\0"))
    data = SOUND["baseline"]
    for n in range(len(whole) + 1):
        exif = b"Exif\0\0" + whole[:n]
        segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
        assert exif_orientation(data[:2] + segment + data[2:]) == (6 if n >= 22 else 1)


def lossless(levels: np.ndarray, bits: int) -> bytes:
    """A lossless JPEG of RGB levels (h, w, 3), each as its difference from the one to the left."""

    def segment(marker: int, content: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content

    frame = struct.pack(">BHHB", bits, *levels.shape) + b"".join(bytes([k, 0x11, 0]) for k in (1, 2, 3))
    table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    text = ""
    for y, row in enumerate(levels.tolist()):
        for x, pixel in enumerate(row):
            for k, level in enumerate(pixel):
                near = row[x - 1][k] if x else levels[y - 1, 0, k] if y else 1 << bits - 1
                difference = int(level) - int(near)
                n = abs(difference).bit_length()
                text += f"{n:05b}"
                text += f"{difference if difference > 0 else difference + (1 << n) - 1:0{n}b}" if n else ""
    text += "1" * (-len(text) % 8)
    packed = bytes(int(text[k : k + 8], 2) for k in range(0, len(text), 8)).replace(b"\xff", b"\xff\0")
    scan = segment(0xDA, bytes([3, 1, 0, 2, 0, 3, 0, 1, 0, 0]))
    return b"\xff\xd8" + segment(0xC3, frame) + segment(0xC4, table) + scan + packed + b"\xff\xd9"


def test_a_jpeg_of_other_than_8_bits_is_refused() -> None:
    """libjpeg gives those of fewer bits as they are, nearly black."""
    levels = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    np.testing.assert_array_equal(decode_image(lossless(levels, 8)), levels)
    for bits in (2, 4, 7):
        with pytest.raises(ValueError, match=f"{bits} bits per channel, expected 8 bits"):
            decode_image(lossless(levels >> 8 - bits, bits))


@pytest.mark.parametrize("n", [1, 2])
def test_a_progressive_jpeg_that_lacks_a_channel_is_refused(n: int) -> None:
    """libjpeg takes it for gray if an end marker follows."""
    data = SOUND["progressive"]
    scans = [place - 2 for marker, place in segments(data) if marker == 0xDA]
    assert data[scans[0] + 4] == 3  # channels of the first scan
    alone = b"\xff\xda" + bytes([0, 6 + 2 * n, n, *b"\1\0\2\0"[: 2 * n], 0, 0, 1])
    with pytest.raises(ValueError, match=f"without the pixels of {3 - n} of its channels"):
        decode_image(data[: scans[0]] + alone + b"\0" * 9 + b"\xff\xd9")


def test_a_jpeg_of_unusual_subsampling_says_what_to_do() -> None:
    data = bytearray(SOUND["baseline"])
    place = next(place for marker, place in segments(data) if marker == 0xC0)
    data[place + 9] = 0x31
    with pytest.raises(ValueError, match="subsampled in an unusual way, or damaged; save it again"):
        decode_image(bytes(data))
