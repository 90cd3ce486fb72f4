"""Which way up a picture stands: the orientation that EXIF data state, and turning pixels by it."""

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.images.markers import exif_of

_ORIENTATION = 0x0112  # EXIF's tag
_WHOLE = {3: "H", 4: "I", 8: "h", 9: "i"}  # types of whole numbers of 2 and 4 bytes
_RAW_PROFILE, _MOST_RAW = b"Raw profile type exif", 1 << 20  # and what is unpacked of its text
_HAS_EXIF = 8  # in the flags of a WebP


def exif_orientation(data: bytes) -> int:
    """The EXIF orientation of an image file's bytes, 1 to 8; 1, which is upright, if it states no valid one.

    It is looked for here, since Pillow opens no file in which another segment is malformed that decoders pass over.
    """
    if data[:2] == b"\xff\xd8":
        return _orientation(exif_of(data))
    if data[:4] == b"\x89PNG" and b"eXIf" in data:
        return _orientation(_chunk(data, 8, b"eXIf", order=">"))
    if data[:4] == b"\x89PNG" and _RAW_PROFILE in data:
        return _orientation(_raw_profile(data))
    if data[:4] == b"RIFF" and data[12:16] == b"VP8X" and data[20:21] and data[20] & _HAS_EXIF:
        return _orientation(_chunk(data, 12, b"EXIF", order="<"))
    return 1


def _chunk(data: bytes, place: int, kind: bytes, *, order: str, start: bytes = b"") -> bytes:
    """The content of a PNG's or WebP's first chunk of a kind that begins so; empty if it is not there."""
    while place + 8 <= len(data):
        if order == ">":
            (length,), name, after = struct.unpack_from(">I", data, place), data[place + 4 : place + 8], 4  # checksum
        else:
            (length,), name = struct.unpack_from("<I", data, place + 4), data[place : place + 4]
            after = length % 2
        if name == kind and data.startswith(start, place + 8):
            return data[place + 8 : place + 8 + length]
        place += 8 + length + after
    return b""


def _raw_profile(data: bytes) -> bytes:
    """EXIF data in a PNG's text, as ImageMagick and exiftool wrote them before PNG had a chunk of its own; empty if it
    is none. The text, which is packed unless it is short, is lines of a name, the number of bytes, and hexadecimal
    digits.
    """
    packed = _chunk(data, 8, b"zTXt", order=">", start=_RAW_PROFILE + b"\0\0")[len(_RAW_PROFILE) + 2 :]
    plain = _chunk(data, 8, b"tEXt", order=">", start=_RAW_PROFILE + b"\0")[len(_RAW_PROFILE) + 1 :][:_MOST_RAW]
    try:
        text = zlib.decompressobj().decompress(packed, _MOST_RAW) if packed else plain
        lines = text.split(b"\n")
        return bytes.fromhex(b"".join(lines[3:]).decode("ascii"))
    except (zlib.error, ValueError):
        return b""


def _orientation(exif: Any) -> int:
    """The orientation in EXIF data, a TIFF file's first folder, with or without the six bytes that JPEG puts ahead."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8 or sorted(exif[2:4]) != [0, ord("*")]:
        return 1
    (place,) = struct.unpack_from(order + "I", exif, 4)
    if place + 2 > len(exif):
        return 1
    (n,) = struct.unpack_from(order + "H", exif, place)
    for entry in range(place + 2, min(place + 2 + 12 * n, len(exif) - 11), 12):
        tag, kind, count = struct.unpack_from(order + "HHI", exif, entry)
        if tag == _ORIENTATION and count == 1 and kind in _WHOLE:
            (value,) = struct.unpack_from(order + _WHOLE[kind], exif, entry + 8)
            return int(value) if 1 <= value <= 8 else 1
    return 1


def oriented(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """An image (h, w, c) turned and mirrored as an EXIF orientation of 1 to 8 says, so that it stands upright."""
    if orientation >= 5:  # rows and columns exchanged
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
