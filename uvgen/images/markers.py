"""The markers of a JPEG file: where its segments, its pixels and its end are, found without decoding anything."""

import re
from collections.abc import Iterator
from typing import Any

_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # of those that a length follows, or the end's
_END, _SCAN = 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # but for tables
_MOST_SEGMENTS = 10_000  # a file of 4 bytes each would keep Python busy for minutes


def segments(data: Any) -> Iterator[tuple[int, int]]:
    """The markers of a JPEG's bytes up to its end, without those of the thumbnails in its segments.

    Parameters
    ----------
    data : bytes-like
        It is not trusted: at most 10,000 segments are listed.

    Yields
    ------
    (int, int)
        The marker's second byte, and where the segment's length stands.
    """
    place = 2
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, place)
        if found is None or found[0][1] == _END:
            return
        place = found.end()
        yield found[0][1], place
        place += max(int.from_bytes(data[place : place + 2], "big"), 2)  # pixels follow a scan's; no marker is in them


def end_of(data: Any) -> int:
    """Where the marker stands that ends a JPEG; -1 if there is none."""
    place = 2
    for _, start in segments(data):
        place = start + max(int.from_bytes(data[start : start + 2], "big"), 2)
    found = _MARKER.search(data, place)
    return found.start() if found is not None and found[0][1] == _END else -1


def n_scans(data: Any) -> int:
    """How many scans a JPEG has; what follows its end, such as the video of a moving photograph, does not count.

    Of a file with more segments than are listed, every pair of bytes counts that may begin a scan.
    """
    found = list(segments(data))
    n = sum(marker == _SCAN for marker, _ in found)
    return n if len(found) < _MOST_SEGMENTS else n + bytes(data[found[-1][1] :]).count(bytes([0xFF, _SCAN]))


def check_frame(data: Any) -> None:
    """Raise ValueError if a JPEG does not have 8 bits per channel, or lacks a channel's pixels.

    libjpeg takes lossless JPEG of 2 to 7 bits as dark pictures of 8, and channels that are in no scan as gray.
    """
    channels: set[int] | None = None
    n_segments = 0
    for marker, place in segments(data):
        n_segments += 1
        length = int.from_bytes(data[place : place + 2], "big")
        content = bytes(data[place + 2 : place + max(length, 2)])
        if channels is None and marker in _FRAMES and len(content) >= 6:
            if content[0] != 8:
                raise ValueError(f"{content[0]} bits per channel, expected 8 bits per channel")
            channels = set(content[6 : 6 + 3 * content[5] : 3])
        elif channels is not None and marker == _SCAN and content:
            channels -= set(content[1 : 1 + 2 * content[0] : 2])
            if not channels:
                return
    if n_segments == _MOST_SEGMENTS:  # the frame, or a scan, may lie behind them
        raise ValueError(f"a JPEG of {_MOST_SEGMENTS} segments or more before its pixels; save it again")
    if channels:
        raise ValueError(f"a JPEG without the pixels of {len(channels)} of its channels: it is cut short")


def exif_of(data: Any) -> bytes:
    """What a JPEG's Exif segments before its pixels hold, one after the other; empty if there is none."""
    found = []
    for marker, place in segments(data):
        if marker == _SCAN:
            break
        if marker == 0xE1 and data[place + 2 : place + 8] == b"Exif\0\0":
            found.append(bytes(data[place + 8 : place + int.from_bytes(data[place : place + 2], "big")]))
    return b"".join(found)
