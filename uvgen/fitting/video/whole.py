"""Whether a video file is whole as its container says: a copy or download that stopped early, or has holes, is not.

FFmpeg takes the end of such a file for the video's. MP4 and MOV, AVI, and Matroska and WebM state how long their parts
are; a file of another kind, or one that leaves it open, as live recordings do, counts as whole.
"""

import os
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

_BOXES = (
    b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"styp", b"sidx", b"pnot", b"uuid", b"meta", b"pdin",
    b"prft", b"emsg", b"ssix", b"mfra", b"imda", b"udta", b"meco", b"etyp", b"tyco", b"jumb", b"PICT", b"sefd", b"mpvd",
)  # fmt: skip
_MOST_PARTS = 1_000_000
_PICTURE = re.compile(rb"\x00\x00\x01[\xe0-\xef]")  # with which pictures begin in an MPEG-TS
_SYNC = 0x47  # with which packets do
_LONGEST_START, _BLOCK = 192, 1 << 22  # bytes of a packet before that and with it, of which one is read at once
_EBML, _SEGMENT, _CLUSTER = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
_LISTS, _OPEN_RIFF = (b"RIFF", b"LIST"), (0, 0xFFFFFFFF)
_OPEN = 0  # in place of the end of a part that does not say where that is
_HEAD = 12  # bytes of the longest kind and length of an element of EBML
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


def has_two_indices(file: BinaryIO) -> bool:
    """Whether an MP4 or MOV has two indices (``moov``), as files that were joined byte by byte have: FFmpeg reads what
    is in one of them. The file is left where it was."""
    at = file.tell()
    try:
        size = os.fstat(file.fileno()).st_size
        return sum(kind == b"moov" for kind, _ in _boxes(file, size)) > 1
    finally:
        file.seek(at)


def has_gaps(file: BinaryIO) -> bool:
    """Whether the parts of an AVI, Matroska or WebM file do not follow one another up to its end. The file is left
    where it was.

    FFmpeg passes over what lies between such a place and the next picture that it finds, or takes it for the video's
    end.
    """
    before = file.tell()
    try:
        file.seek(0)
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"AVI ":
            return _riff_has_gaps(file)
        header = _element(file, 0)
        segment = None if header is None or header[0] != _EBML else _element(file, header[2])
        if segment is None or segment[0] != _SEGMENT:
            return False
        size = os.fstat(file.fileno()).st_size
        at, ends = segment[1], [segment[2] or size]  # of the parts that are not yet at their ends, the inner ones last
        for _ in range(_MOST_PARTS):
            while ends and at == ends[-1]:
                ends.pop()
            if not ends:
                return False
            part = _element(file, at)
            if part is None or part[2] > ends[-1]:
                reached = at + _HEAD if part is None else part[2]
                return segment[2] != _OPEN or reached <= size  # a recording that was stopped ends within a part
            kind, begin, end = part
            if end == _OPEN:
                return False
            at = begin if kind == _CLUSTER else end
            ends += [end] * (kind == _CLUSTER)
        return False
    finally:
        file.seek(before)


def begins_anew(file: BinaryIO, number: int) -> bool:
    """Whether an MPEG transport stream has pictures in another stream than that of this number (PID), which are not
    among those of this one but before, between or after many of them, as in recordings that were joined. The file is
    left where it was.

    FFmpeg gives those of one stream alone. Streams that go on side by side, as a broadcast's, are no such.
    """
    before = file.tell()
    try:
        file.seek(0)
        n, gaps = 0, dict[int, dict[int, int]]()  # pictures of this one; of others, after how many of these
        for pid in _pictures(file):
            if pid == number:
                n += 1
            else:
                of_one = gaps.setdefault(pid, {})
                of_one[n] = of_one.get(n, 0) + 1
        return any(len(of_one) * 5 <= n and sum(of_one.values()) >= 2 * len(of_one) for of_one in gaps.values())
    finally:
        file.seek(before)


def _pictures(file: BinaryIO) -> Iterator[int]:
    """The numbers of the streams (PID) of a transport stream's pictures, in their order, wherever packets begin."""
    last = b""
    while block := file.read(_BLOCK):
        data = last + block
        for found in _PICTURE.finditer(data):
            if found.end() > len(last) and (packet := _packet_of(data, found.start())) is not None:
                yield int.from_bytes(data[packet + 1 : packet + 3]) & 0x1FFF
        last = data[-_LONGEST_START:]


def _packet_of(data: bytes, content: int) -> int | None:
    """Where the packet begins whose content, the first of a picture, is there; None if there is no such packet."""
    for at in range(content - 4, max(content - _LONGEST_START, -1), -1):
        if data[at] == _SYNC and data[at + 1] & 0x40 and data[at + 3] & 0x10:
            further = 1 + data[at + 4] if data[at + 3] & 0x20 else 0
            if at + 4 + further == content:
                return at
    return None


def _riff_has_gaps(file: BinaryIO) -> bool:
    """Whether in the first RIFF chunk of an AVI something is no chunk. Some programs do not pad odd ones."""
    at, end = 0, _SLACK
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(12)
        if at + 8 > end:
            return False
        if not _is_chunk(head[:4]) and at:
            file.seek(at - 1)
            head, at = file.read(12), at - 1
            if not _is_chunk(head[:4]):
                return True
        length = int.from_bytes(head[4:8], "little")
        if at == 0:
            end = 8 + length if length not in _OPEN_RIFF else 0
        if length in _OPEN_RIFF and head[:4] in _LISTS:  # never finished
            return False
        if at + 8 + length > end + _SLACK:
            return True
        at += 12 if at == 0 or (head[:4] == b"LIST" and head[8:] in (b"movi", b"rec ")) else 8 + length + length % 2
    return False


def _is_chunk(kind: bytes) -> bool:
    return len(kind) == 4 and all(0x20 <= byte < 0x7F for byte in kind)


def _element(file: BinaryIO, at: int) -> tuple[bytes, int, int] | None:
    """Kind of an element of EBML, and where its content begins and ends, `_OPEN` if it does not say that; None if it is
    none."""
    file.seek(at)
    head = file.read(_HEAD)
    n = 9 - head[0].bit_length() if head else 9  # bytes of the kind, which is 0x80 or more in one byte
    if n > 4 or len(head) <= n:
        return None
    m = 9 - head[n].bit_length()
    if m > 8 or len(head) < n + m:
        return None
    most = (1 << 7 * m) - 1
    length = int.from_bytes(head[n : n + m]) & most
    return head[:n], at + n + m, _OPEN if length == most else at + n + m + length


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Where the boxes of an MP4 or MOV end, up to the first that is none; beyond the file's end if fragments should
    go on there.

    What some cameras append to other files is no box, either.
    """
    boxes = [*_boxes(file, size)]
    end = boxes[-1][1] if boxes else 0
    return size + 1 if end < size and any(kind == b"moof" for kind, _ in boxes) else end


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """The kinds of a file's boxes, and where each ends, up to the first that is none, or does not say it."""
    at = 0
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(16)
        if at >= size or len(head) < 8 or head[4:8] not in _BOXES:
            return
        length = int.from_bytes(head[:4])
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:])
        at = at + length if length >= 8 else size  # 0: up to the file's end
        yield head[4:8], at


def _riff_ends(file: BinaryIO, size: int) -> int:
    """Where the RIFF chunks of an AVI end: one of more than a gigabyte has several."""
    at = 0
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(8)
        if at >= size or len(head) < 8 or head[:4] != b"RIFF":
            break
        (length,) = struct.unpack("<I", head[4:])
        if length in _OPEN_RIFF:  # never finished: it does not say
            break
        at += 8 + length + length % 2
    return at


def _segment_ends(file: BinaryIO) -> int:
    """Where the segment of a Matroska file ends; `_OPEN`, which is 0, if it does not say."""
    header = _element(file, 0)
    segment = None if header is None else _element(file, header[2])
    return _OPEN if segment is None or segment[0] != _SEGMENT else segment[2]
