"""Whether a video file is as long as its container says: a copy or download that stopped early is not.

FFmpeg takes the end of such a file for the video's. MP4 and MOV, AVI, and Matroska and WebM state how long their parts
are; a file of another kind, or one that leaves it open, as live recordings do, counts as whole.
"""

import os
import struct
from typing import BinaryIO

_BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"styp", b"sidx", b"pnot", b"uuid", b"meta")
_MOST_PARTS = 1_000_000
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_SLACK = 64  # bytes by which programs that write AVI count wrongly


def is_cut_short(file: BinaryIO) -> bool:
    """Whether a part of a video file ends beyond the file's end. The file is left where it was."""
    at = file.tell()
    try:
        size = os.fstat(file.fileno()).st_size
        file.seek(0)
        head = file.read(12)
        if head[4:8] in _BOXES:
            return _boxes_end(file, size) > size
        if head[:4] == b"RIFF" and head[8:] == b"AVI ":
            return _riff_ends(file, size) > size + _SLACK
        return head[:4] == _EBML and _segment_ends(file) > size
    finally:
        file.seek(at)


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Where the boxes of an MP4 or MOV end, up to the first that is none."""
    at = 0
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(16)
        if at >= size or len(head) < 8 or head[4:8] not in _BOXES:
            break
        length = int.from_bytes(head[:4])
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:])
        if length < 8:  # 0: up to the file's end
            break
        at += length
    return at


def _riff_ends(file: BinaryIO, size: int) -> int:
    """Where the RIFF chunks of an AVI end: one of more than a gigabyte has several."""
    at = 0
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(8)
        if at >= size or len(head) < 8 or head[:4] != b"RIFF":
            break
        (length,) = struct.unpack("<I", head[4:])
        if length in (0, 0xFFFFFFFF):  # never finished: it does not say
            break
        at += 8 + length + length % 2
    return at


def _segment_ends(file: BinaryIO) -> int:
    """Where the segment of a Matroska file ends; 0 if it does not say."""
    file.seek(len(_EBML))
    header = _vint(file)
    if header is None:
        return 0
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != _SEGMENT or (length := _vint(file)) is None:
        return 0
    return file.tell() + length


def _vint(file: BinaryIO) -> int | None:
    """A length of EBML; None if it is unknown or none."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    n = 8 - first[0].bit_length()  # bytes that follow
    rest = file.read(n)
    bits = 7 * (n + 1)
    value = int.from_bytes(first + rest) & ((1 << bits) - 1)
    return value if len(rest) == n and value != (1 << bits) - 1 else None
