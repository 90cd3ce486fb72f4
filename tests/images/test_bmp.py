"""BMP files put together by hand, one for each construct, against the colors that they were made of."""

import struct

import numpy as np
import pytest

from uvgen.images.codecs import decode_gray, decode_image

RNG = np.random.default_rng(0)
GRAY = [[k, k, k] for k in range(256)]
PALETTE = RNG.integers(0, 256, (256, 3)).tolist()
BLACK_WHITE = [[0, 0, 0], [255, 255, 255]]


def entries(palette: list[list[int]], width: int = 4) -> bytes:
    return b"".join(bytes([b, g, r, 0][:width]) for r, g, b in palette)


def bmp(
    width: int, height: int, bits: int, pixels: bytes, *, palette: bytes = b"", n_colors: int = 0,
    compression: int = 0, fields: bytes = b"", n_header: int = 40, offset: int | None = None,
) -> bytes:  # fmt: skip
    """A file with a header of this many bytes, in or behind which the fields are."""
    if n_header == 12:
        head = struct.pack("<I4H", 12, width, height, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", n_header, width, height, 1, bits, compression, 0, 0, 0, n_colors, 0)
        head = (head + fields).ljust(n_header, b"\0")
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, start if offset is None else offset) + head + palette + pixels


def rows_of(codes: np.ndarray, bits: int) -> bytes:
    """Rows (h, w) of numbers of a few bits, from the bottom up, padded."""
    digits = (codes[::-1, :, None] >> np.arange(bits)[::-1] & 1).astype(np.uint8)
    packed = np.packbits(digits.reshape(len(codes), -1), axis=1)
    return b"".join(row.tobytes() + b"\0" * (-len(row) % 4) for row in packed)


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 256])
@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("colors", [GRAY, PALETTE, BLACK_WHITE, BLACK_WHITE[::-1]])
def test_decode_bmp_of_a_palette_gives_its_colors(colors: list[list[int]], bits: int, n: int) -> None:
    n = min(n, 1 << bits, len(colors))
    codes = RNG.integers(0, n, (5, 13))
    for stated in {n, 0 if n == 1 << bits else n}:
        data = bmp(13, 5, bits, rows_of(codes, bits), palette=entries(colors[:n]), n_colors=stated)
        expected = np.array(colors)[codes]
        np.testing.assert_array_equal(decode_image(data), expected)
        if colors is not PALETTE:
            np.testing.assert_array_equal(decode_gray(data), expected[..., 0])


def test_decode_bmp_of_os2_has_three_bytes_per_color() -> None:
    codes = RNG.integers(0, 16, (5, 13))
    data = bmp(13, 5, 4, rows_of(codes, 4), palette=entries(PALETTE[:16], 3), n_header=12)
    np.testing.assert_array_equal(decode_image(data), np.array(PALETTE)[codes])


@pytest.mark.parametrize("bits", [24, 32])
@pytest.mark.parametrize("upward", [True, False])
def test_decode_bmp_of_bytes_of_colors(bits: int, upward: bool) -> None:
    colors = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    stored = np.dstack([colors[..., ::-1], RNG.integers(0, 256, (5, 7), np.uint8)])[..., : bits // 8]
    rows = b"".join(row.tobytes() + b"\0" * (-row.nbytes % 4) for row in (stored[::-1] if upward else stored))
    np.testing.assert_array_equal(decode_image(bmp(7, 5 if upward else -5, bits, rows)), colors)


MASKS = {
    "565": (16, (0xF800, 0x7E0, 0x1F)), "555": (16, (0x7C00, 0x3E0, 0x1F)), "BGR 555": (16, (0x1F, 0x3E0, 0x7C00)),
    "1555": (16, (0x7C00, 0x3E0, 0x1F, 0x8000)), "4444": (16, (0xF00, 0xF0, 0xF, 0xF000)),
    "8888": (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)), "RGBX": (32, (0xFF, 0xFF00, 0xFF0000)),
}  # fmt: skip


@pytest.mark.parametrize("name", MASKS)
def test_decode_bmp_of_fields_gives_each_color_its_bits(name: str) -> None:
    bits, masks = MASKS[name]
    sizes = [mask.bit_count() for mask in masks]
    levels = np.stack([RNG.integers(0, 1 << n, (5, 7)) for n in sizes], axis=-1)
    levels[0, 0] = [(1 << n) - 1 for n in sizes]
    values = sum(levels[..., k] * (mask & -mask) for k, mask in enumerate(masks))
    shown = levels * 255 / [(1 << n) - 1 for n in sizes]
    alpha = shown[..., 3:] / 255 if len(masks) == 4 else np.ones((5, 7, 1))
    rows = b"".join(row.tobytes() + b"\0" * (-row.nbytes % 4) for row in values[::-1].astype(f"<u{bits // 8}"))
    fields = struct.pack(f"<{len(masks)}I", *masks)
    n_header = 108 if len(masks) == 4 else 40
    start = 14 + n_header + 12 * (n_header == 40)  # the fields follow a header of 40 bytes, and are in longer ones
    data = bmp(7, 5, bits, rows, compression=3, n_header=n_header, fields=fields, offset=start)
    np.testing.assert_allclose(decode_image(data), shown[..., :3] * alpha, atol=1.5)


def test_decode_bmp_of_overlapping_torn_or_wide_fields_is_refused() -> None:
    for masks in ((0xFF, 0x1FE, 0xFF0000), (0xF0F, 0xF0, 0xF000), (0, 0xFF00, 0xFF), (0x3FF, 0xFFC00, 0x3FF00000)):
        data = bmp(2, 1, 32, bytes(8), compression=3, n_header=52, fields=struct.pack("<3I", *masks))
        with pytest.raises(ValueError, match=r"save it as PNG|10 bits per channel, expected 8"):
            decode_image(data)


def runs(codes: np.ndarray, *, four: bool, odd: bool) -> bytes:
    """Every row as runs of one number, or as it is (`odd`)."""
    data = b""
    for row in codes[::-1].tolist():
        if odd:
            packed = (
                bytes(row) if not four else bytes(a << 4 | b for a, b in zip(row[::2], [*row[1::2], 0], strict=True))
            )
            data += bytes([0, len(row)]) + packed + b"\0" * (len(packed) % 2)
        else:
            data += b"".join(bytes([1, code << 4 if four else code]) for code in row)
        data += b"\0\0"
    return data + b"\0\1"


@pytest.mark.parametrize("shifted", [0, 1])
@pytest.mark.parametrize("odd", [True, False])
@pytest.mark.parametrize("four", [True, False])
def test_decode_bmp_of_runs_gives_the_pixels(four: bool, odd: bool, shifted: int) -> None:
    """Wherever in the file they begin."""
    n = 16 if four else 256
    codes = RNG.integers(0, n, (6, 5))
    data = bmp(
        5, 6, 4 if four else 8, b"x" * shifted + runs(codes, four=four, odd=odd), palette=entries(PALETTE[:n]),
        n_colors=n, compression=2 if four else 1, offset=54 + 4 * n + shifted,
    )  # fmt: skip
    np.testing.assert_array_equal(decode_image(data), np.array(PALETTE)[codes])


def test_decode_bmp_of_runs_with_an_empty_row_and_a_step() -> None:
    stored = b"\5\7" + b"\0\0" + b"\0\0" + b"\2\1" + b"\0\2\1\1" + b"\2\3" + b"\0\0" + b"\5\4" + b"\0\1"
    data = bmp(5, 5, 8, stored, palette=entries(PALETTE), compression=1)
    codes = np.array([[4] * 5, [0, 0, 0, 3, 3], [1, 1, 0, 0, 0], [0] * 5, [7] * 5])
    np.testing.assert_array_equal(decode_image(data), np.array(PALETTE)[codes])


def test_decode_bmp_that_is_cut_short_or_lacks_colors_is_refused() -> None:
    codes = RNG.integers(0, 256, (6, 5))
    palette = entries(PALETTE)
    plain = bmp(5, 6, 8, rows_of(codes, 8), palette=palette)
    packed = bmp(5, 6, 8, runs(codes, four=False, odd=True), palette=palette, compression=1)
    np.testing.assert_array_equal(decode_image(plain[:-3]), np.array(PALETTE)[codes])  # the padding of the last row
    for data in (plain[:-4], packed[:-6], packed[:-8] + b"\0\1", plain[:60], plain[:40]):
        with pytest.raises(ValueError, match=r"cut short|damaged"):
            decode_image(data)
    few = bmp(5, 6, 8, rows_of(np.full((6, 5), 4), 8), palette=entries(PALETTE[:4]), n_colors=4)
    with pytest.raises(ValueError, match="color 4 of a palette of 4; it is damaged"):
        decode_image(few)
    for size in ((0, 6), (5, 0), (-5, 6)):
        with pytest.raises(ValueError, match=r"a BMP of .* pixels|cannot hold"):
            decode_image(bmp(*size, 8, rows_of(codes, 8), palette=palette))
