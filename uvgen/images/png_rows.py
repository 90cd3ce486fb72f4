"""What Pillow does not look at in a PNG: it leaves rows black without a word where the packed data end too early,
compares no checksum of the pixels, and takes palettes that are not there, or too short, for black.
"""

import zlib
from collections.abc import Iterator
from typing import Any

_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Channels of a PNG by its type of color."""

_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")  # all that may not be passed over
_BESIDE = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")  # a profile of colors and texts, which say nothing of pixels here
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
    if image.mode == "P" and (most := image.getextrema()[1]) >= (n := _n_colors(data)):
        raise ValueError(f"color {most} of a palette of {n}; it is damaged")
    last = image.crop((0, height - 1, width, height))
    if not data[28] and last.getbbox(alpha_only=False) is not None:
        return
    bits, channels = data[24], CHANNELS[data[25]]
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


def check_chunks(data: bytes) -> None:
    """Raise ValueError if a PNG's header is not its first chunk, or one of its palette and pixels is not where it
    belongs, there twice, or not what its checksum says.
    """
    if data[8:16] != b"\0\0\0\x0dIHDR":
        raise ValueError("a PNG that does not begin with its header (perhaps Apple's own kind), save it again")
    if data[26:28] != b"\0\0" or data[28:29] > b"\1":
        raise ValueError("a PNG with packing, filters or interlacing of an unknown kind")
    seen = set[bytes]()
    for kind, place, length in _chunks(data):
        if kind[:1].isupper() and kind not in _CRITICAL:
            raise ValueError(
                f"a PNG with a part of an unknown kind, {kind.decode('latin-1')!r}, that cannot be omitted"
            )
        if kind in (b"PLTE", b"tRNS") and kind in seen:  # Pillow takes the last, and other programs the first
            raise ValueError(f"{kind.decode()} is there twice in a PNG, expected it once; it is damaged")
        if kind in (b"PLTE", b"tRNS") and b"IDAT" in seen:
            raise ValueError(f"{kind.decode()} behind the pixels of a PNG, expected before them; it is damaged")
        if kind == b"IDAT":
            stated = data[place + length : place + length + 4]
            if len(stated) == 4 and zlib.crc32(data[place - 4 : place + length]) != int.from_bytes(stated, "big"):
                raise ValueError("pixels of a PNG that do not have their checksum; it is damaged")
            if data[25] == 3 and b"PLTE" not in seen:
                raise ValueError("a PNG with a palette that is not there; it is damaged")
        seen.add(kind)


def without_texts(data: bytes) -> bytes:
    """A PNG without its profile and texts, because Pillow opens none in which one of them unpacks to more than 1 MB."""
    parts, start = list[bytes](), 0
    for kind, place, length in _chunks(data):
        if kind in _BESIDE:
            parts.append(data[start : place - 8])
            start = place + length + 4
    return b"".join([*parts, data[start:]]) if parts else data


def color_that_is_clear(data: bytes, stated: Any) -> Any:
    """The color that a PNG states to be transparent, as Pillow has the pixels: levels of 1 to 4 bits go up to 255.

    `stated` is Pillow's word for it, which of 1 bit no longer tells whether it is the lowest of the 16.
    """
    bits, color = data[24], data[25]
    if color != 0 or bits > 4 or not isinstance(stated, int):
        return stated
    most = (1 << bits) - 1
    place = next(place for kind, place, _ in _chunks(data) if kind == b"tRNS")
    return (data[place + 1] & most) * (255 // most)


def is_transparent(data: bytes) -> bool:
    """Whether a PNG states that some of its pixels may be transparent."""
    return data[25] in (4, 6) or any(kind == b"tRNS" for kind, _, _ in _chunks(data))


def _n_colors(data: bytes) -> int:
    """How many colors its palette has."""
    return next((length // 3 for kind, _, length in _chunks(data) if kind == b"PLTE"), 0)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and length of the content of each chunk."""
    place = 8
    while place + 8 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        yield kind, place + 8, length
        if kind == b"IEND":  # whatever follows is no part of it
            return
        place += 12 + length


def _pixel_chunks(data: bytes) -> Iterator[bytes]:
    """Content of its IDAT chunks, which follow one another."""
    begun = False
    for kind, place, length in _chunks(data):
        if kind == b"IDAT":
            begun = True
            yield data[place : place + length]
        elif begun:
            return
