"""BMP files, decoded here: if a palette is black and white, Pillow takes each bit of 4 or 8 for a pixel, and it drops
the alpha of 16-bit files.

Source of the layout: Microsoft, "Bitmap Storage" (BITMAPFILEHEADER, BITMAPINFOHEADER, V4, V5, "Bitmap Compression"),
and IBM's OS/2 1 and 2 headers, of 12 and 64 bytes. Rows are padded to 4 bytes and stored from the bottom up if the
height is positive.
"""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_CORE, _OS2, _INFO = 12, 64, 40  # bytes of headers
_HEADERS = (_CORE, _INFO, 52, 56, _OS2, 108, 124)
_RAW, _RLE8, _RLE4, _FIELDS, _ALPHA_FIELDS = 0, 1, 2, 3, 6
_FIELDS_555 = (0x7C00, 0x3E0, 0x1F, 0)
_FIELDS_8888 = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
_START = 14  # of the second header


class _Header(NamedTuple):
    """A file's headers."""

    width: int
    height: int
    upward: bool  # the bottom row comes first
    bits: int
    compression: int
    masks: tuple[int, ...]  # of red, green, blue and alpha; empty if there is a palette, or a byte for each color
    palette: NDArray[np.uint8]  # (n, 3) RGB
    offset: int


def bmp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a BMP states; None if its first bytes are not all there."""
    if len(data) < _START + 12:
        return None
    if struct.unpack_from("<I", data, _START)[0] == _CORE:
        width, height = struct.unpack_from("<HH", data, _START + 4)
    else:
        width, height = struct.unpack_from("<ii", data, _START + 4)
    return abs(width), abs(height)


def decode_bmp(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a BMP file.

    Parameters
    ----------
    data : bytes
        The file, of which the size is known to be acceptable (`bmp_size`).

    Returns
    -------
    (h, w, 3) or (h, w, 4) uint8
        RGB, or RGBA if the file states which bits are alpha.

    Raises
    ------
    ValueError
        If it is damaged or cut short, or of a kind that hardly any program writes.
    """
    header = _header(data)
    pixels = _colors((_unpacked_runs if header.compression in (_RLE8, _RLE4) else _rows)(data, header), header)
    return np.ascontiguousarray(pixels[::-1] if header.upward else pixels)


def _header(data: bytes) -> _Header:
    n_header = struct.unpack_from("<I", data, _START)[0] if len(data) >= _START + 4 else 0
    if n_header not in _HEADERS or len(data) < _START + n_header:
        raise ValueError(f"damaged BMP header of {n_header} bytes")
    if n_header == _CORE:
        width, height, _, bits = struct.unpack_from("<4H", data, _START + 4)
        compression = n_colors = 0
    else:
        width, height, _, bits, compression, _, _, _, n_colors = struct.unpack_from("<iiHHIIiiI", data, _START + 4)
    if width <= 0 or not height:
        raise ValueError(f"a BMP of {width} × {height} pixels")
    allowed = {
        _RAW: (1, 4, 8, 16, 24, 32), _RLE8: (8,), _RLE4: (4,),
        _FIELDS: (16, 24, 32) if n_header != _OS2 else (), _ALPHA_FIELDS: (16, 32) if n_header == _INFO else (),
    }  # fmt: skip
    if bits not in allowed.get(compression, ()):
        raise ValueError(f"a BMP of {bits} bits per pixel and compression {compression}; save it as PNG")
    start = _START + n_header
    masks: tuple[int, ...] = ()
    if compression in (_FIELDS, _ALPHA_FIELDS):
        masks, start = _masks(data, n_header, compression, start)
        if bits == 24:
            if masks[:3] != _FIELDS_8888[:3]:
                raise ValueError("a BMP of 24 bits per pixel in another order; save it as PNG")
            masks = ()
    elif bits == 16:
        masks = _FIELDS_555
    offset = struct.unpack_from("<I", data, 10)[0]
    palette = np.zeros((0, 3), np.uint8)
    if bits <= 8:
        entry, n = 3 if n_header == _CORE else 4, min(n_colors or 1 << bits, 1 << bits)
        if offset in (0, start):  # as if there were no palette
            offset = start + n * entry
        n = max(min(n, (min(offset, len(data)) - start) // entry), 0)
        palette = np.frombuffer(data, np.uint8, n * entry, start).reshape(n, entry)[:, 2::-1]
    return _Header(width, abs(height), height > 0, bits, compression, masks, palette, offset or start)


def _masks(data: bytes, n_header: int, compression: int, start: int) -> tuple[tuple[int, ...], int]:
    """Masks of red, green, blue and alpha, and where they end if they follow the header."""
    n = 4 if compression == _ALPHA_FIELDS or n_header >= 56 else 3
    place = _START + _INFO
    if len(data) < place + 4 * n:
        raise ValueError("cut short in the BMP header")
    masks = (*struct.unpack_from(f"<{n}I", data, place), 0)[:4]
    after = start + 4 * n if n_header == _INFO else start
    return (masks if any(masks) else _FIELDS_8888), after


def _rows(data: bytes, header: _Header) -> NDArray[np.uint8]:
    """The bytes of the rows as they are stored, without padding."""
    n_bytes = -(-header.width * header.bits // 8)
    stride = -(-n_bytes // 4) * 4
    expected = stride * (header.height - 1) + n_bytes  # the last row need not be padded
    if header.offset + expected > len(data):
        raise ValueError(f"{max(len(data) - header.offset, 0)} bytes of pixels, expected {expected}: it is cut short")
    whole = np.frombuffer(data, np.uint8, expected, header.offset)
    if expected < stride * header.height:
        whole = np.concatenate([whole, np.zeros(stride * header.height - expected, np.uint8)])
    return whole.reshape(header.height, stride)[:, :n_bytes]


def _colors(codes: NDArray[np.uint8], header: _Header) -> NDArray[np.uint8]:
    """Colors of rows of bytes, or of unpacked numbers of colors."""
    if header.masks:
        return _of_masks(codes, header)
    if header.bits > 8:
        return codes.reshape(header.height, header.width, -1)[:, :, 2::-1]
    if header.bits < 8 and header.compression == _RAW:
        n = 8 // header.bits
        shifts = np.arange(n - 1, -1, -1, dtype=np.uint8) * np.uint8(header.bits)
        codes = (codes[:, :, None] >> shifts & np.uint8((1 << header.bits) - 1)).reshape(header.height, -1)
        codes = codes[:, : header.width]
    if (most := int(codes.max())) >= len(header.palette):
        raise ValueError(f"color {most} of a palette of {len(header.palette)}; it is damaged")
    return header.palette[codes]


def _of_masks(rows: NDArray[np.uint8], header: _Header) -> NDArray[np.uint8]:
    """RGB or RGBA of pixels whose colors are some bits of a number."""
    values = np.ascontiguousarray(rows).view(f"<u{header.bits // 8}")
    channels = 4 if header.masks[3] else 3
    if sum(header.masks) != header.masks[0] | header.masks[1] | header.masks[2] | header.masks[3]:
        raise ValueError("bits of a BMP that belong to two colors; save it as PNG")
    pixels = np.empty((header.height, header.width, channels), np.uint8)
    for k, mask in enumerate(header.masks[:channels]):
        shift = (mask & -mask).bit_length() - 1
        most = mask >> max(shift, 0)
        if not mask or most & (most + 1) or mask >> header.bits:
            raise ValueError(f"colors of a BMP in the bits {mask:#x}; save it as PNG")
        if most > 255:
            raise ValueError(f"{most.bit_length()} bits per channel, expected 8 bits per channel")
        found = values >> values.dtype.type(shift) & values.dtype.type(most)
        pixels[:, :, k] = found if most == 255 else found.astype(np.uint16) * 255 // most
    return pixels


def _unpacked_runs(data: bytes, header: _Header) -> NDArray[np.uint8]:
    """Numbers of colors of a run-length encoded file, from the first row that is stored; those passed over are 0."""
    width, height, four = header.width, header.height, header.compression == _RLE4
    codes = np.zeros((height, width), np.uint8)
    x, y, place = 0, 0, header.offset
    while y < height and (x < width or y + 1 < height):
        if place + 2 > len(data):
            raise ValueError(f"{y} of {height} rows: it is cut short")
        n, value = data[place], data[place + 1]
        place += 2
        if n:
            if four:
                codes[y, x : x + n : 2] = value >> 4
                codes[y, x + 1 : x + n : 2] = value & 15
            else:
                codes[y, x : x + n] = value
            x += n
        elif value == 0:
            x, y = 0, y + 1
        elif value == 1:
            raise ValueError(f"{y} of {height} rows before its end: it is cut short")
        elif value == 2:
            if place + 2 > len(data):
                raise ValueError(f"{y} of {height} rows: it is cut short")
            x, y, place = x + data[place], y + data[place + 1], place + 2
        else:
            n_bytes = (value + 1) // 2 if four else value
            if place + n_bytes > len(data):
                raise ValueError(f"{y} of {height} rows: it is cut short")
            found = np.frombuffer(data, np.uint8, n_bytes, place)
            if four:
                found = np.stack([found >> 4, found & 15], axis=1).ravel()[:value]
            room = max(width - x, 0)
            codes[y, x : x + min(value, room)] = found[:room]
            x, place = x + value, place + n_bytes + n_bytes % 2  # padded to 16 bits, counted from the run's beginning
    return codes
