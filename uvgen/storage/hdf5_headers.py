"""The layout that an HDF5 dataset declares, read from the file's bytes: before HDF5 opens the dataset.

To open a virtual dataset, HDF5 reads its sources from a global heap, and version 2.0.0 may search for them forever. The
object header's format is section IV.A of the HDF5 File Format Specification, for files with offsets of 8 bytes.
"""

import struct
from collections.abc import Callable, Iterator

COMPACT, CONTIGUOUS, CHUNKED = 0, 1, 2
"""Classes of layouts whose bytes lie in the dataset's own places; 3 is virtual."""

UNFILTERED_EDGE = -CHUNKED
"""What stands for chunks of which those that go beyond the dataset's edge are stored without its filters."""

_EDGE_FLAG = 0x01

_LAYOUT, _CONTINUATION = 0x0008, 0x0010
_MAX_BLOCKS, _MAX_BLOCK = 1024, 1 << 24

Read = Callable[[int, int], bytes]
"""Bytes of the file, from an offset on, so many; an error if there are fewer."""


def layout_classes(read: Read, address: int, base: int = 0) -> set[int]:
    """Classes of all layout messages in the object header at an address.

    Parameters
    ----------
    read : callable
        Reads the file.
    address : int
        Of the header, from the file's first byte.
    base : int
        Where the HDF5 content begins, from which the addresses in the file count: the bytes of its user block.

    Returns
    -------
    set of int
        One for a sound dataset.

    Raises
    ------
    ValueError
        If there is no object header; whatever `read` raises.
    """
    return {_layout_class(body) for kind, body in _messages(read, address, base) if kind == _LAYOUT}


def _layout_class(body: bytes) -> int:
    if len(body) < 3:
        raise ValueError("a layout message that is cut short")
    if body[0] > 3 and body[1] == CHUNKED and body[2] & _EDGE_FLAG:
        return UNFILTERED_EDGE
    return body[2] if body[0] < 3 else body[1]


def _messages(read: Read, address: int, base: int) -> Iterator[tuple[int, bytes]]:
    """Kinds and bodies of a header's messages, in all its blocks."""
    head = read(address, 16)
    if head[:4] == b"OHDR" and head[4] == 2:
        flags = head[5]
        start = 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        width = 1 << (flags & 3)
        size = int.from_bytes(read(address + start, width), "little")
        blocks, signature = [(address + start + width, size)], 4
        prefix, n_prefix = ("<BHB", 6 if flags & 0x04 else 4)
    elif head[0] == 1:
        blocks, signature = [(address + 16, struct.unpack_from("<I", head, 8)[0])], 0
        prefix, n_prefix = "<HHB", 8
    else:
        raise ValueError("no object header where one should be")
    seen, total = set[int](), 0
    while blocks:
        start, size = blocks.pop()
        if start in seen or len(seen) == _MAX_BLOCKS or size > _MAX_BLOCK:
            raise ValueError("an object header without end")
        seen.add(start)
        total += size
        if total > _MAX_BLOCK:
            raise ValueError("an object header whose blocks lie over each other, or of more than 16 MiB")
        block, at = read(start, size), 0
        while at + n_prefix <= size:
            kind, length, _ = struct.unpack_from(prefix, block, at)
            body = block[at + n_prefix : at + n_prefix + length]
            at += n_prefix + length
            if len(body) < length or (kind == _CONTINUATION and length < 16):
                raise ValueError("a message that is cut short")
            if kind == _CONTINUATION:
                place, n_bytes = struct.unpack_from("<QQ", body)
                place += base
                blocks.append((place, n_bytes) if not signature else (place + signature, n_bytes - 2 * signature))
            yield kind, body
