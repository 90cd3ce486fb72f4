"""Whether a PNG's pixels are all there: Pillow leaves rows black without a word where the packed data end too early."""

import zlib
from collections.abc import Iterator
from typing import Any

_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of color
_BLOCK = 1 << 20


def check_whole(data: bytes, image: Any) -> None:
    """Raise ValueError if a PNG that Pillow has decoded lacks pixels.

    Parameters
    ----------
    data : bytes
        The file, in which Pillow found no damage.
    image : PIL.Image.Image
        What Pillow made of it. Only if its last row is all 0, or the file is interlaced, the data are unpacked again.
    """
    width, height = image.size
    last = image.crop((0, height - 1, width, height))
    if not data[28] and last.getbbox(alpha_only=False) is not None:
        return
    bits, channels = data[24], _CHANNELS[data[25]]
    passes = _ADAM7 if data[28] else ((0, 0, 1, 1),)
    expected = 0
    for left, top, step_x, step_y in passes:
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        expected += rows * (1 + -(-columns * bits * channels // 8)) if columns > 0 and rows > 0 else 0
    unpacker, n = zlib.decompressobj(), 0
    for packed in _pixel_chunks(data):
        while packed and n < expected and not unpacker.eof:
            n += len(unpacker.decompress(packed, _BLOCK))
            packed = unpacker.unconsumed_tail
    if n + len(unpacker.flush()) < expected:
        raise ValueError(f"{n} bytes of pixels, expected {expected}: it is cut short")


def _pixel_chunks(data: bytes) -> Iterator[bytes]:
    """Content of its IDAT chunks, which follow one another."""
    place, begun = 8, False
    while place + 8 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind == b"IDAT":
            begun = True
            yield data[place + 8 : place + 8 + length]
        elif begun:
            return
        place += 12 + length
