"""The elements of a MATLAB 5 to 7 file and the headers of its arrays, see `matfile.py`; no number is read here."""

import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

from uvgen.storage.matfile_simple import COMPRESSED, MATRIX

OPAQUE = 17

_MOST_VARIABLES = 10_000
_MOST_DIMENSIONS = 32
LONGEST_NAME = 255  # bytes; MATLAB's own have 63
_PEEKED = 1024  # bytes of an array, in which its name is
_PART = 1 << 20
_MOST_CHECKED = 1 << 28  # bytes of arrays that are inflated though nobody asks for them


class Budget:
    """Bytes that may still be made of a file."""

    def __init__(self, n_bytes: int) -> None:
        self.left = n_bytes

    def take(self, n_bytes: int, what: str) -> None:
        if n_bytes > self.left:
            raise ValueError(f"{what} is too large for the file; set UVGEN_MAX_BYTES and save it uncompressed ('-v6')")
        self.left -= n_bytes


def tops(file: BinaryIO, size: int, order: str) -> Iterator[tuple[bytes, tuple[int, int, int]]]:
    """Of each array of a file: its first bytes, unpacked, and its (kind, place, bytes)."""
    position = 128
    for _ in range(_MOST_VARIABLES):
        if position >= size:
            return
        file.seek(position)
        tag = file.read(8)
        if len(tag) < 8:
            raise ValueError(f"cut short at byte {position}")
        kind, n = struct.unpack(order + "II", tag)
        start = position + 8
        if kind not in (MATRIX, COMPRESSED):  # as zeros in place of what a disk lost, which would hide what was there
            raise ValueError(f"no array at byte {position}; it is damaged")
        if start + n > size:
            raise ValueError(f"cut short: an element at byte {position} claims {n} bytes")
        if kind == COMPRESSED:
            yield _unpacked(zlib.decompressobj(), file.read(min(n, _PEEKED)), _PEEKED), (kind, start, n)
        else:
            yield tag + file.read(min(n, _PEEKED)), (kind, start, n)
        position = start + n
    raise ValueError(f"more than {_MOST_VARIABLES} variables")


def contents(
    file: BinaryIO, size: int, order: str, budget: Budget, names: Collection[str] | None
) -> Iterator[memoryview]:
    """The content of each array that has one of the names; ValueError if another one is damaged, as its name may be."""
    unchecked = _MOST_CHECKED
    for head, (kind, start, n) in tops(file, size, order):
        if names is not None and header_of(head, order).name not in names:
            if kind == COMPRESSED:
                file.seek(start)
                unchecked -= _inflated(file, n, unchecked)
            continue
        file.seek(start)
        data = file.read(n)
        if kind == MATRIX:
            yield memoryview(data)
        else:
            unpacked = memoryview(_decompress(data, budget))
            kind, content = next(_elements(unpacked, order, padded=False), (0, unpacked))
            if kind != MATRIX:
                raise ValueError("a compressed element without an array; it is damaged")
            rest = unpacked[8 + len(content) :]
            if len(rest) >= 8 and struct.unpack_from(order + "I", rest)[0] == MATRIX:
                raise ValueError("two arrays in one compressed element, expected one in each; save it anew")
            yield content


def _unpacked(stream: Any, data: bytes, most: int) -> bytes:
    try:
        content: bytes = stream.decompress(data, most)
    except zlib.error as error:
        raise ValueError(f"damaged compressed element ({error})") from error
    return content


def _inflated(file: BinaryIO, n: int, most: int) -> int:
    """Inflate the next `n` bytes of a file in parts, to at most so many bytes, and return to how many.

    ValueError if they are damaged: the checksum tells it that follows them.
    """
    stream, done = zlib.decompressobj(), 0
    while n and not stream.eof:
        data = file.read(min(n, _PART))
        n -= len(data)
        while data or stream.unconsumed_tail:
            done += len(_unpacked(stream, data or stream.unconsumed_tail, _PART))
            data = b""
            if done > most:
                return done
    if not stream.eof:
        raise ValueError("compressed element is cut short")
    return done


def _decompress(data: bytes, budget: Budget) -> bytes:
    stream = zlib.decompressobj()
    content = _unpacked(stream, data, max(budget.left, 1))
    if not stream.eof:
        raise ValueError("compressed element is cut short or too large")
    budget.take(len(content), "its content")
    return content


def _elements(data: memoryview, order: str, *, padded: bool) -> Iterator[tuple[int, memoryview]]:
    """Type and data of each element; ValueError if one does not fit."""
    position = 0
    while position < len(data):
        if position + 8 > len(data):
            raise ValueError(f"cut short at byte {position}")
        kind, size = struct.unpack_from(order + "II", data, position)
        start = position + 8
        if kind >> 16:  # small element: 16 bits of bytes, 16 of type, data in the tag
            kind, size = kind & 0xFFFF, kind >> 16
            start = position + 4
            if size > 4:
                raise ValueError(f"damaged element at byte {position}")
        if start + size > len(data):
            raise ValueError(f"cut short: an element at byte {position} claims {size} bytes")
        yield kind, data[start : start + size]
        position = start + size if start == position + 8 else position + 8
        if padded:
            position = -(-position // 8) * 8


@dataclass(slots=True)
class Array:
    """An array's header, and the parts that follow it."""

    flags: int
    shape: tuple[int, ...]
    name: str
    parts: Iterator[tuple[int, memoryview]]

    @property
    def kind(self) -> int:
        """The class: `CLASSES`, `_STRUCT` and so on."""
        return self.flags & 0xFF

    def part(self) -> tuple[int, memoryview]:
        """The next part; ValueError if there is none."""
        for part in self.parts:
            return part
        raise ValueError(f"damaged array {self.name}")


def header_of(start: bytes, order: str) -> Array:
    """The header of an array element of which the first bytes are given, tag and all."""
    return header(memoryview(start)[8:], order)


def header(data: memoryview, order: str) -> Array:
    """The header of an array whose content this is, without its tag; ValueError if it is damaged."""
    parts = _elements(data, order, padded=True)
    first = [part for _, part in islice(parts, 2)]
    if len(first) < 2 or len(first[0]) != 8:
        raise ValueError("damaged array header")
    if struct.unpack_from(order + "I", first[0])[0] & 0xFF == OPAQUE:  # such as a string or a table: no dimensions
        first.insert(1, memoryview(struct.pack(order + "2i", 1, 1)))
    else:
        first += [part for _, part in islice(parts, 1)]
    if len(first) < 3:
        raise ValueError("damaged array header")
    flags, lengths, stored_name = first
    name = text_of(stored_name)
    if len(lengths) % 4 or not 0 < len(lengths) <= 4 * _MOST_DIMENSIONS or len(name) > LONGEST_NAME:
        raise ValueError("damaged array header")
    shape = struct.unpack(f"{order}{len(lengths) // 4}i", lengths)
    if min(shape) < 0:
        raise ValueError("damaged array header")
    return Array(struct.unpack_from(order + "I", flags)[0], shape, name, parts)


def text_of(data: bytes | memoryview) -> str:
    """A name; ValueError if it holds what none does."""
    name = bytes(data).decode("latin-1")
    if not name.isprintable():
        raise ValueError("damaged name of a variable")
    return name
